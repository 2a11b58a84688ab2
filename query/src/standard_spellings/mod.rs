//! Spellings of standard SQL that the parser or the planner does not know, said in words that they do.
//!
//!     text ──tokens──▶ parser ──▶ syntax tree ──syntax──▶ ──spell_out──▶ planner
//!
//! [`tokens`] puts right what the parser cannot read, [`syntax`] what it reads and PostgreSQL does not, or reads
//! otherwise. Both come before anything is known of the tables. Before a query is planned [`spell_out`] rewrites it
//! by topic:
//!
//!     row_fields           (ROW(a, b)).f1
//!     rows, quantified     (a, b) = (1, 2); (a, b) IN (SELECT …); LIKE ANY (SELECT …)
//!     windows              OVER w, offsets of frames
//!     groups               HAVING without groups and aggregates
//!     limits               LIMIT (SELECT …), FETCH FIRST … WITH TIES
//!     samples              TABLESAMPLE
//!     past                 FOR SYSTEM_TIME AS OF
//!     records              json_to_recordset(j) AS x(a int), json_populate_record(NULL::t, j)
//!     verification         verify_materialized_view(name), which is refused
//!     names                numbers of outputs in ORDER BY, GROUP BY and DISTINCT ON
//!     hidden_outputs       names of outputs that mean columns there and in HAVING
//!     open_outputs         SELECT 1 + (SELECT NULL)
//!     later_tables         WITH RECURSIVE a AS (SELECT * FROM b), b AS …
//!     column_lists         WITH a(x) AS (SELECT 1, 2)
//!     common_tables        names of WITH that hide those of a query further out
//!     recursion            the types of WITH RECURSIVE, and where it names itself (self_references)
//!     whole_rows, row_…    SELECT t FROM t, ROW(t.*)
//!
//! The keys of `SELECT DISTINCT upper(a) … ORDER BY upper(a)` are settled first, in the query as it was written ([`order_keys`]).
//!
//! A definition of a view is kept as it was before [`spell_out`].

pub(crate) mod assignments;
mod bare_texts;
mod column_lists;
mod common_tables;
mod constants;
pub(crate) mod dependent_columns;
pub(crate) mod direct_arguments;
mod from_columns;
mod groups;
mod hidden_outputs;
mod insert_sources;
mod later_tables;
mod likeness;
mod limits;
mod names;
pub(crate) mod nesting;
mod open_outputs;
pub(crate) mod order_keys;
mod parentheses;
mod past;
mod plain_forms;
mod quantified;
mod record_values;
mod records;
mod recursion;
mod row_documents;
mod row_fields;
mod row_names;
pub(crate) mod row_planner;
pub(crate) mod row_stars;
mod row_tokens;
mod rows;
mod samples;
mod self_references;
mod set_names;
pub(crate) mod star_keys;
pub(crate) mod star_syntax;
mod syntax;
mod tokens;
pub(crate) mod trees;
mod typed_literals;
mod verification;
pub(crate) mod whole_rows;
mod windows;

pub(crate) use common_tables::with_own_names;
pub(crate) use later_tables::told_of_later;
pub(crate) use names::{is_star, number_of};
pub(crate) use syntax::{mend_spellings, mend_stored};
pub(crate) use tokens::{ROWS_FROM, spell_out_tokens};

use crate::error::{ErrorKind, QueryError};
use crate::pg_catalog::is_known_collation;
use crate::planner::Planning;
use crate::query_places::{place_of, position_message};
use crate::statement::Statement;
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::{Expr, Query, Select, Spanned, TableFactor, VisitorMut};
use std::ops::ControlFlow;
use windows::Context;

/// Rewrites a query in place before it is planned.
pub(crate) fn spell_out(
    query: &mut Query,
    planning: &Planning,
    statement: Option<&Statement>,
) -> Result<(), QueryError> {
    let context = Context { planning, statement };
    match walk_mut(query, &mut Speller { context }) {
        ControlFlow::Break(error) => return Err(error),
        ControlFlow::Continue(()) => {}
    }
    hidden_outputs::hide_outputs(query);
    Ok(())
}

struct Speller<'a> {
    context: Context<'a>,
}

impl Speller<'_> {
    fn outcome(result: Result<(), QueryError>) -> ControlFlow<QueryError> {
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn placed(&self, error: QueryError, expression: &Expr) -> QueryError {
        match (error.position, self.context.statement) {
            (None, Some(statement)) => error.position(place_of(statement, expression)),
            _ => error,
        }
    }

    fn refuse_constant(&self, query: &Query) -> Result<(), QueryError> {
        if let Some((number, place)) = names::negative_position(query) {
            let message = position_message("ORDER BY", &number);
            return Err(self.placed(QueryError::new(ErrorKind::InvalidColumnReference, message), place));
        }
        names::ordering_constant(query).map_or(Ok(()), |constant| self.misplaced("ORDER BY", constant))
    }

    fn refuse_group(&self, select: &Select) -> Result<(), QueryError> {
        if let Some((number, place)) = names::absent_position(select) {
            let message = position_message("DISTINCT ON", &number);
            return Err(self.placed(QueryError::new(ErrorKind::InvalidColumnReference, message), place));
        }
        names::grouping_constant(select).map_or(Ok(()), |(clause, constant)| self.misplaced(clause, constant))
    }

    fn misplaced(&self, clause: &str, constant: &Expr) -> Result<(), QueryError> {
        let error = QueryError::new(ErrorKind::Syntax, format!("non-integer constant in {clause}"));
        Err(self.placed(error, constant))
    }

    fn select(&self, select: &mut Select) -> Result<(), QueryError> {
        self.refuse_group(select)?;
        names::bare_groups(select);
        names::resolve_distinct(select);
        names::hide_repeated(select);
        row_fields::in_select(select, self.context)?;
        rows::in_select(select);
        quantified::name_outputs(select);
        groups::in_select(select);
        for condition in select.selection.iter_mut().chain(&mut select.having) {
            quantified::in_condition(condition).map_err(|error| self.placed(error, condition))?;
        }
        Ok(())
    }

    fn expression(&self, expression: &Expr) -> Result<Option<Expr>, QueryError> {
        if let Expr::Collate { expr, collation } = expression
            && !is_known_collation(collation)
        {
            let name = collation.0.last().and_then(|part| part.as_ident()).map(crate::statement_grammar::fold);
            let message = format!("collation \"{}\" for encoding \"UTF8\" does not exist", name.unwrap_or_default());
            let error = QueryError::new(ErrorKind::UndefinedObject, message);
            let statement = self.context.statement;
            let before = statement.and_then(|statement| statement.place_of(expr.span()));
            return Err(error.position(before.or_else(|| statement?.place_of(collation.span()))));
        }
        if let Some(field) = row_fields::spelt_out(expression, self.context)? {
            return Ok(Some(field));
        }
        match rows::spelt_out(expression)? {
            Some(spelt) => Ok(Some(spelt)),
            None => quantified::spelt_out(expression),
        }
    }
}

impl VisitorMut for Speller<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        open_outputs::in_with(query);
        let settled = names::refuse_writers(query)
            .and_then(|()| later_tables::settle(query, self.context))
            .and_then(|()| column_lists::settle(query, self.context))
            .and_then(|()| recursion::settle(query, self.context))
            .and_then(|()| windows::settle(query, self.context))
            .and_then(|()| limits::settle(query, self.context));
        Self::outcome(settled.and_then(|()| self.refuse_constant(query)))?;
        names::bare_order(query);
        names::order_distinct(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        let settled = self.select(select);
        Self::outcome(settled)
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        open_outputs::in_factor(factor);
        let context = self.context;
        for spell in [past::spelt_out, samples::spelt_out, records::spelt_out, verification::spelt_out] {
            match spell(factor, context) {
                Ok(Some(spelt)) => *factor = spelt,
                Ok(None) => {}
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<QueryError> {
        open_outputs::in_expression(expression);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<QueryError> {
        if let Expr::Function(function) = expression {
            Self::outcome(records::refuse_call(function))?;
        }
        match self.expression(expression) {
            Ok(Some(spelt)) => *expression = spelt,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(self.placed(error, expression)),
        }
        ControlFlow::Continue(())
    }
}
