//! WITH RECURSIVE whose queries name later ones: `WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) …`.
//!
//! The planner knows a query of WITH from its place on, so each is put behind those that it names, as PostgreSQL's `TopologicalSort`
//! does.

use super::self_references::names;
use super::windows::Context;
use crate::error::{ErrorKind, QueryError};
use crate::statement_grammar::fold;
use crate::syntax_walks::walk;
use datafusion::sql::sqlparser::ast::{Query, Visitor, With};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Puts the queries of a WITH RECURSIVE in an order in which each names those before it and itself alone.
pub(super) fn settle(query: &mut Query, context: Context<'_>) -> Result<(), QueryError> {
    let is_several = |with: &&mut With| with.recursive && with.cte_tables.len() > 1;
    let Some(with) = query.with.as_mut().filter(is_several) else { return Ok(()) };
    let tables = &mut with.cte_tables;
    let known: Vec<String> = tables.iter().map(|table| fold(&table.alias.name)).collect();
    let others = tables.iter().enumerate().map(|(own, table)| {
        let is_named = |other: &usize| *other != own && names(&table.query, &known[*other]);
        (0..known.len()).filter(is_named).collect::<BTreeSet<usize>>()
    });
    let mut waiting: Vec<(usize, BTreeSet<usize>)> = others.enumerate().collect();
    if waiting.iter().all(|(own, others)| others.iter().all(|other| other < own)) {
        return Ok(());
    }
    let mut order = Vec::with_capacity(tables.len());
    while !waiting.is_empty() {
        let Some(free) = waiting.iter().position(|(_, others)| others.is_empty()) else {
            let place =
                context.statement.and_then(|statement| statement.place_of(tables[waiting[0].0].alias.name.span));
            let message = "mutual recursion between WITH items is not implemented";
            return Err(QueryError::new(ErrorKind::FeatureNotSupported, message).position(place));
        };
        waiting.swap(0, free);
        let (next, _) = waiting.remove(0);
        waiting.iter_mut().for_each(|(_, others)| {
            others.remove(&next);
        });
        order.push(next);
    }
    *tables = order.into_iter().map(|place| tables[place].clone()).collect();
    Ok(())
}

/// The error of a relation that does not exist, where a query of a WITH has its name and cannot be meant.
pub(crate) fn told_of_later(error: QueryError, query: &Query) -> QueryError {
    let Some(name) = error.table.clone().filter(|_| error.kind == ErrorKind::UndefinedTable) else { return error };
    match walk(query, &mut Finder { name: &name }) {
        ControlFlow::Break(()) => {
            let detail = "but it cannot be referenced from this part of the query.";
            let hint = "Use WITH RECURSIVE, or re-order the WITH items to remove forward references.";
            error.detail(format!("There is a WITH item named \"{name}\", {detail}")).hint(hint)
        }
        ControlFlow::Continue(()) => error,
    }
}

/// Finds a WITH with a query of a name.
struct Finder<'a> {
    name: &'a str,
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let mut tables = query.with.iter().flat_map(|with| &with.cte_tables);
        match tables.any(|table| fold(&table.alias.name) == self.name) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
