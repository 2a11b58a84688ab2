//! Names for the columns of a query of WITH, of which there may be fewer than columns.
//!
//!     WITH a(x) AS (SELECT 1, 2)
//!     ▶ WITH a AS (SELECT * FROM (SELECT 1, 2) AS "WITH query@a"(x))
//!
//! The planner wants one for each column, and no name twice, so lists that are short or have names twice are given as an alias, see
//! [`crate::column_aliases`]. In a recursive query it is the first term that has the names.

use super::trees::quoted;
use super::windows::Context;
use crate::column_aliases::{WITH_QUERY, too_many};
use crate::error::QueryError;
use crate::returning;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    Cte, Query, SelectItem, SetExpr, SetOperator, TableAlias, TableFactor, TableWithJoins, WildcardAdditionalOptions,
};
use std::collections::HashSet;
use std::mem;

/// Settles the names of columns in a query's WITH.
pub(super) fn settle(query: &mut Query, context: Context<'_>) -> Result<(), QueryError> {
    let Some(with) = &mut query.with else { return Ok(()) };
    for table in &mut with.cte_tables {
        let named = table.alias.columns.len();
        match columns(&table.query.body) {
            _ if named == 0 => {}
            Some(there) if there == named && !has_repeated(&table.alias) => {}
            Some(there) if there < named => {
                let error = too_many(&format!("WITH query \"{}\"", fold(&table.alias.name)), there, named);
                let place = context.statement.and_then(|statement| statement.place_of(table.alias.name.span));
                return Err(error.position(place));
            }
            _ => name_inside(table, with.recursive)?,
        }
    }
    Ok(())
}

/// Whether two columns of a list have one name.
fn has_repeated(alias: &TableAlias) -> bool {
    let mut seen = HashSet::new();
    !alias.columns.iter().all(|column| seen.insert(fold(&column.name)))
}

/// How many columns a query gives, where it says so itself.
fn columns(body: &SetExpr) -> Option<usize> {
    let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    match body {
        SetExpr::Select(select) if select.projection.iter().any(is_star) => None,
        SetExpr::Select(select) => Some(select.projection.len()),
        SetExpr::Values(values) => values.rows.first().map(|row| row.content.len()),
        SetExpr::Query(query) => columns(&query.body),
        SetExpr::SetOperation { left, .. } => columns(left),
        _ => None,
    }
}

fn name_inside(table: &mut Cte, is_recursive: bool) -> Result<(), QueryError> {
    let alias = TableAlias {
        explicit: true,
        name: quoted(&format!("{WITH_QUERY}{}", fold(&table.alias.name))),
        columns: mem::take(&mut table.alias.columns),
        at: None,
    };
    match table.query.body.as_mut() {
        SetExpr::SetOperation { op: SetOperator::Union, left, .. } if is_recursive => {
            let mut first = returning::select(Vec::new(), Vec::new(), None, None)?;
            mem::swap(&mut first.body, left);
            **left = *star_of(first, alias)?.body;
        }
        _ => {
            let inner = returning::select(Vec::new(), Vec::new(), None, None)?;
            let inner = mem::replace(table.query.as_mut(), inner);
            *table.query = star_of(inner, alias)?;
        }
    }
    Ok(())
}

/// `SELECT * FROM (query) AS alias`
fn star_of(query: Query, alias: TableAlias) -> Result<Query, QueryError> {
    let relation = TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None };
    let star = SelectItem::Wildcard(WildcardAdditionalOptions::default());
    returning::select(vec![star], vec![TableWithJoins { relation, joins: Vec::new() }], None, None)
}
