//! The operators of json and jsonb, by the functions that PostgreSQL's `pg_operator` names.

use super::resolution::Resolved;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::Operator;
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Whether a type is json or jsonb.
pub(crate) fn is_document(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Json | SqlType::Jsonb)
}

/// Operators that only json and jsonb have.
pub(super) fn is_document_operator(operator: &BinaryOperator) -> bool {
    use BinaryOperator::{
        Arrow, AtAt, AtQuestion, HashArrow, HashLongArrow, HashMinus, LongArrow, Question, QuestionAnd, QuestionPipe,
    };
    matches!(
        operator,
        Arrow
            | LongArrow
            | HashArrow
            | HashLongArrow
            | HashMinus
            | Question
            | QuestionPipe
            | QuestionAnd
            | AtQuestion
            | AtAt
    )
}

/// What an operator with a json or jsonb on one side computes; `None` where there is none.
pub(super) fn resolve(operator: &BinaryOperator, left: &SqlType, right: &SqlType) -> Option<Resolved> {
    let procedure = |name| Some(Resolved::Procedure { name, swapped: false });
    let by = |json, jsonb| procedure(if *left == SqlType::Json { json } else { jsonb });
    let key = matches!(right, SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name);
    let position = matches!(right, SqlType::Int2 | SqlType::Int4);
    let path = *right == SqlType::Array(Box::new(SqlType::Text));
    match operator {
        BinaryOperator::Arrow if key => by("json_object_field", "jsonb_object_field"),
        BinaryOperator::Arrow if position => by("json_array_element", "jsonb_array_element"),
        BinaryOperator::LongArrow if key => by("json_object_field_text", "jsonb_object_field_text"),
        BinaryOperator::LongArrow if position => by("json_array_element_text", "jsonb_array_element_text"),
        BinaryOperator::HashArrow if path => by("json_extract_path", "jsonb_extract_path"),
        BinaryOperator::HashLongArrow if path => by("json_extract_path_text", "jsonb_extract_path_text"),
        _ if *left != SqlType::Jsonb => None,
        BinaryOperator::Question if key => procedure("jsonb_exists"),
        BinaryOperator::QuestionPipe if path => procedure("jsonb_exists_any"),
        BinaryOperator::QuestionAnd if path => procedure("jsonb_exists_all"),
        BinaryOperator::AtQuestion if key => procedure("jsonb_path_exists_opr"),
        BinaryOperator::AtAt if key => procedure("jsonb_path_match_opr"),
        BinaryOperator::HashMinus if path => procedure("jsonb_delete_path"),
        BinaryOperator::Minus if key || position || path => procedure("jsonb_delete"),
        _ if *right != SqlType::Jsonb => None,
        BinaryOperator::AtArrow => procedure("jsonb_contains"),
        BinaryOperator::ArrowAt => Some(Resolved::Procedure { name: "jsonb_contains", swapped: true }),
        BinaryOperator::StringConcat => procedure("jsonb_concat"),
        other => comparison(other).map(Resolved::Keyed),
    }
}

fn comparison(operator: &BinaryOperator) -> Option<Operator> {
    Some(match operator {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}
