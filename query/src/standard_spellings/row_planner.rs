//! Puts a table's columns where its name stands as a value: the operators that [`super::whole_rows`] makes.

use crate::error::{ErrorKind, QueryError};
use crate::functions::concatenation::record;
use crate::output_names::shown_name;
use crate::scan::{PART, ROW, external};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// The row's text.
pub(super) const TEXT: &str = "row@";
/// The row's text, NULL for the row that an outer join adds.
pub(super) const OUTER: &str = "row@outer";
/// Whether all columns are NULL, and whether none is.
pub(super) const IS_NULL: &str = "row@null";
pub(super) const IS_NOT_NULL: &str = "row@notnull";
/// The row as a struct, whose fields have the columns' names.
pub(super) const STRUCT: &str = "row@struct";
/// The same, NULL for the row that an outer join adds.
pub(super) const STRUCT_OUTER: &str = "row@struct@outer";

#[derive(Debug)]
pub(crate) struct RowPlanner;

impl ExprPlanner for RowPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (BinaryOperator::Custom(form), Expr::Literal(ScalarValue::Utf8(Some(table)), _)) = (&expr.op, &expr.left)
        else {
            return Ok(PlannerResult::Original(expr));
        };
        let own = schema.iter().filter(|(qualifier, field)| {
            let is_place = field.name() == PART || field.name() == ROW;
            qualifier.is_some_and(|known| known.table() == table) && !is_place
        });
        let columns: Vec<Expr> = own.map(Expr::from).collect();
        if columns.is_empty() {
            let message = format!("column \"{table}\" does not exist");
            return Err(external(QueryError::new(ErrorKind::UndefinedColumn, message).column(table)));
        }
        let every = |test: fn(Expr) -> Expr| conjunction(columns.iter().cloned().map(test));
        Ok(match form.as_str() {
            TEXT => PlannerResult::Planned(record(false, columns)),
            OUTER => PlannerResult::Planned(record(true, columns)),
            IS_NULL => PlannerResult::Planned(every(Expr::is_null).unwrap_or_else(|| lit(true))),
            IS_NOT_NULL => PlannerResult::Planned(every(Expr::is_not_null).unwrap_or_else(|| lit(true))),
            STRUCT => PlannerResult::Planned(object(columns)),
            STRUCT_OUTER => {
                let is_there = disjunction(columns.iter().cloned().map(Expr::is_not_null)).unwrap_or_else(|| lit(true));
                PlannerResult::Planned(when(is_there, object(columns)).end()?)
            }
            _ => PlannerResult::Original(expr),
        })
    }
}

fn object(columns: Vec<Expr>) -> Expr {
    let fields = columns.into_iter().flat_map(|column| {
        let name = match &column {
            Expr::Column(column) => lit(shown_name(&column.name)),
            other => lit(other.schema_name().to_string()),
        };
        [name, column]
    });
    datafusion::functions::core::expr_fn::named_struct(fields.collect())
}
