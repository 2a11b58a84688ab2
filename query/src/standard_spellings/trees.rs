//! Small pieces of syntax trees.

use crate::error::QueryError;
use crate::returning;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinConstraint,
    JoinOperator, Query, SelectItem, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator,
    Value, helpers::attached_token::AttachedToken,
};

pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

pub(super) fn nested(expression: Expr) -> Expr {
    Expr::Nested(Box::new(expression))
}

pub(super) fn not(expression: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expression) }
}

pub(super) fn boolean(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).into())
}

pub(super) fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// Conditions joined by AND or OR, as a tree that is no deeper than it must be. There is at least one.
pub(super) fn joined(mut conditions: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while conditions.len() > 1 {
        let mut pairs = conditions.into_iter();
        let mut halved = Vec::new();
        while let Some(left) = pairs.next() {
            halved.push(match pairs.next() {
                Some(right) => nested(binary(left, op.clone(), right)),
                None => left,
            });
        }
        conditions = halved;
    }
    conditions.pop().unwrap_or_else(null)
}

/// An expression without the parentheses around it.
pub(crate) fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Nested(inner) => bare(inner),
        other => other,
    }
}

/// `CASE WHEN … THEN … … ELSE … END`
pub(super) fn case(branches: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: branches.into_iter().map(|(condition, result)| CaseWhen { condition, result }).collect(),
        else_result: Some(Box::new(otherwise)),
    }
}

/// `SELECT items FROM (query) AS name(columns) [WHERE …]`
pub(super) fn select_over(
    query: Query,
    name: &str,
    columns: &[String],
    items: Vec<SelectItem>,
    selection: Option<Expr>,
) -> Result<Query, QueryError> {
    let columns = columns.iter().map(|column| TableAliasColumnDef { name: quoted(column), data_type: None }).collect();
    let alias = Some(TableAlias { explicit: true, name: quoted(name), columns, at: None });
    let relation = TableFactor::Derived { lateral: false, subquery: Box::new(query), alias, sample: None };
    returning::select(items, vec![TableWithJoins { relation, joins: Vec::new() }], selection, None)
}

/// `SELECT items`
pub(super) fn select(items: Vec<Expr>) -> Result<Query, QueryError> {
    returning::select(items.into_iter().map(SelectItem::UnnamedExpr).collect(), Vec::new(), None, None)
}

/// The arguments of a call by an unquoted name that is neither an aggregate's nor a window function's way of calling.
pub(super) fn arguments_of<'a>(expression: &'a Expr, name: &str) -> Option<Vec<&'a Expr>> {
    let Expr::Function(function) = expression else { return None };
    let [part] = function.name.0.as_slice() else { return None };
    let ident = part.as_ident()?;
    let plain = function.over.is_none() && function.filter.is_none() && ident.quote_style.is_none();
    let FunctionArguments::List(list) = &function.args else { return None };
    if !plain || !ident.value.eq_ignore_ascii_case(name) || list.duplicate_treatment.is_some() {
        return None;
    }
    let expression = |argument: &'a FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
        _ => None,
    };
    list.args.iter().map(expression).collect()
}

/// What is said of the rows that a join pairs.
pub(crate) fn constraint_of(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

/// The condition that a join is made on.
pub(crate) fn condition_of(operator: &JoinOperator) -> Option<&Expr> {
    match constraint_of(operator)? {
        JoinConstraint::On(condition) => Some(condition),
        _ => None,
    }
}
