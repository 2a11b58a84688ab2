//! Expressions that see one row and give one value: what they cannot call.
//!
//! SET of UPDATE, the values and conditions of MERGE and RETURNING are computed within queries of ours, in which an aggregate would make
//! one row of many, and a function that returns a set many of one. So such calls are refused before there is a query. Those in
//! subqueries are the subqueries' own.

use crate::error::{ErrorKind, QueryError};
use crate::pg_catalog::is_set_call;
use crate::planner::Planning;
use crate::query_places::{call_in, is_aggregate_call, place_of};
use crate::statement::Statement;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{Expr, Visit};

/// Fails for the first call of a window function, an aggregate or a set in expressions of a clause.
pub(crate) fn refuse_calls(
    planning: &Planning,
    expressions: &impl Visit,
    clause: &str,
    statement: &Statement,
) -> Result<(), QueryError> {
    let is_aggregate = |name: &str| planning.is_aggregate(name);
    let calls = [
        (call_in(expressions, |function| function.over.is_some()), ErrorKind::Windowing, "window functions"),
        (
            call_in(expressions, |function| is_aggregate_call(function, &is_aggregate)),
            ErrorKind::Grouping,
            "aggregate functions",
        ),
        (call_in(expressions, is_set_call), ErrorKind::FeatureNotSupported, "set-returning functions"),
    ];
    let Some((Some(call), kind, what)) = calls.into_iter().find(|(call, ..)| call.is_some()) else { return Ok(()) };
    let what = if is_grouping(&call) { "grouping operations" } else { what };
    let message = format!("{what} are not allowed in {clause}");
    Err(QueryError::new(kind, message).position(place_of(statement, &call)))
}

fn is_grouping(call: &Expr) -> bool {
    match call {
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            name.is_some_and(|name| fold(name) == "grouping")
        }
        _ => false,
    }
}
