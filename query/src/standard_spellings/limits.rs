//! LIMIT and OFFSET by any expression, and FETCH … WITH TIES.
//!
//! What is not a plain number becomes a call of [`crate::row_counts`], which is evaluated when the query starts.

use super::nesting::each_expr;
use super::trees::bare;
use super::windows::Context;
use crate::error::{ErrorKind, QueryError};
use crate::operators::sites::call;
use crate::query_places::place_of;
use crate::row_counts::{LIMIT, OFFSET, WITH_TIES};
use datafusion::sql::sqlparser::ast::{Expr, LimitClause, Query, UnaryOperator, Value, ValueWithSpan};
use std::ops::ControlFlow;

/// Settles the counts of one query.
pub(super) fn settle(query: &mut Query, context: Context<'_>) -> Result<(), QueryError> {
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
        if let Some(count) = limit {
            *limit = counted(count, LIMIT, context)?;
        }
        if let Some(skipped) = offset {
            match counted(&skipped.value, OFFSET, context)? {
                Some(count) => skipped.value = count,
                None => *offset = None,
            }
        }
    }
    let Some(fetch) = query.fetch.take().filter(|fetch| fetch.with_ties) else { return Ok(()) };
    let count = fetch.quantity.unwrap_or_else(|| Expr::Value(Value::Number("1".into(), false).into()));
    check(&count, LIMIT, context)?;
    let limit = Some(call(WITH_TIES, vec![count]));
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit: known, .. }) => *known = limit,
        clause => *clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() }),
    }
    Ok(())
}

/// The count as the planner takes it; `None` for NULL, which counts as no clause.
fn counted(count: &Expr, function: &str, context: Context<'_>) -> Result<Option<Expr>, QueryError> {
    let value = bare(count);
    match value {
        Expr::Value(ValueWithSpan { value: Value::Null, .. }) => return Ok(None),
        Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }) => return Ok(Some(value.clone())),
        _ if is_whole_number(value) => return Ok(Some(value.clone())),
        _ => {}
    }
    check(count, function, context)?;
    Ok(Some(call(function, vec![count.clone()])))
}

fn is_whole_number(value: &Expr) -> bool {
    match value {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse::<i64>().is_ok(),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_whole_number(expr),
        _ => false,
    }
}

/// A count is the same for all rows: it has neither columns nor aggregates nor window functions outside of subqueries.
fn check(count: &Expr, function: &str, context: Context<'_>) -> Result<(), QueryError> {
    let clause = if function == OFFSET { "OFFSET" } else { "LIMIT" };
    let misplaced = each_expr(count, |part, queries| {
        if queries > 0 {
            return ControlFlow::Continue(());
        }
        let (kind, message) = match part {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                (ErrorKind::InvalidColumnReference, format!("argument of {clause} must not contain variables"))
            }
            Expr::Function(function) if function.over.is_some() => {
                (ErrorKind::Windowing, format!("window functions are not allowed in {clause}"))
            }
            Expr::Function(function) if context.is_aggregate(&function.name.to_string().to_lowercase()) => {
                (ErrorKind::Grouping, format!("aggregate functions are not allowed in {clause}"))
            }
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break((QueryError::new(kind, message), part.clone()))
    });
    match misplaced {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break((error, culprit)) => {
            Err(error.position(context.statement.and_then(|statement| place_of(statement, &culprit))))
        }
    }
}
