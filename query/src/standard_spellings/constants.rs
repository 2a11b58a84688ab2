//! Expressions that must be constant: offsets of window frames, parameters of TABLESAMPLE.

use super::trees::select;
use super::windows::Context;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::query_cache::is_repeatable;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr as Planned, LogicalPlan};
use datafusion::sql::sqlparser::ast::Expr;

/// The value of an expression without columns; `clause` is what an error calls the place where it stands.
pub(super) fn constant(expression: &Expr, clause: &str, context: Context<'_>) -> Result<ScalarValue, QueryError> {
    let query = select(vec![expression.clone()])?;
    let planning = context.planning.again();
    let plan = match planning.query_plan(&query, &[], context.statement) {
        Err(error) if error.kind == ErrorKind::UndefinedColumn => {
            let message = format!("argument of {clause} must not contain variables");
            return Err(QueryError::new(ErrorKind::InvalidColumnReference, message).position(error.position));
        }
        plan => plan?,
    };
    if !is_repeatable(&plan).map_err(|error| translate(error, context.statement))? {
        context.planning.depend_on_now();
    }
    let optimized = planning.state.optimize(&plan).map_err(|error| translate(error, context.statement))?;
    let value = match optimized {
        LogicalPlan::Projection(projection) => projection.expr.into_iter().next().map(Planned::unalias),
        LogicalPlan::Values(values) => values.values.into_iter().flatten().next().map(Planned::unalias),
        _ => None,
    };
    match value {
        Some(Planned::Literal(value, _)) => Ok(value),
        _ => Err(QueryError::unsupported(format!("an argument of {clause} that is not constant"))),
    }
}
