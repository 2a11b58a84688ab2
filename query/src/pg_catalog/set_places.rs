//! Places in which PostgreSQL takes no function that returns a set: conditions, CASE and COALESCE.

use super::rewrite::last_part;
use super::sets::returns_set;
use crate::error::{ErrorKind, QueryError};
use crate::query_places::{call_in, place_of};
use crate::standard_spellings::trees::condition_of;
use crate::statement::Statement;
use crate::syntax_walks::walk;
use datafusion::sql::sqlparser::ast::{Expr, Function, Query, Select, Visitor};
use std::ops::ControlFlow;

/// Fails for the first such call of a query.
pub(crate) fn refuse_misplaced_sets(query: &Query, statement: Option<&Statement>) -> Result<(), QueryError> {
    match walk(query, &mut Places { statement }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Places<'a> {
    statement: Option<&'a Statement>,
}

impl Places<'_> {
    fn refused(&self, expression: &Expr, place: &str, movable: bool) -> ControlFlow<QueryError> {
        let Some(call) = first_set(expression) else { return ControlFlow::Continue(()) };
        let message = format!("set-returning functions are not allowed in {place}");
        let error = QueryError::new(ErrorKind::FeatureNotSupported, message);
        let error = error.position(self.statement.and_then(|statement| place_of(statement, &call)));
        let hint = "You might be able to move the set-returning function into a LATERAL FROM item.";
        ControlFlow::Break(if movable { error.hint(hint) } else { error })
    }
}

impl Visitor for Places<'_> {
    type Break = QueryError;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<QueryError> {
        let joins = select.from.iter().flat_map(|tables| &tables.joins);
        for condition in joins.filter_map(|join| condition_of(&join.join_operator)) {
            self.refused(condition, "JOIN conditions", false)?;
        }
        if let Some(condition) = &select.selection {
            self.refused(condition, "WHERE", false)?;
        }
        if let Some(condition) = &select.having {
            self.refused(condition, "HAVING", false)?;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<QueryError> {
        match expression {
            Expr::Case { .. } => self.refused(expression, "CASE", true),
            Expr::Function(function) if last_part(&function.name) == "coalesce" => {
                self.refused(expression, "COALESCE", true)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The first call of a set in an expression; subqueries have places of their own.
fn first_set(expression: &Expr) -> Option<Expr> {
    call_in(expression, is_set_call)
}

/// Whether a call's function returns a set.
pub(crate) fn is_set_call(function: &Function) -> bool {
    returns_set(&last_part(&function.name))
}
