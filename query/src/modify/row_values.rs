//! Values of `(a, b) = …`: one expression for each column.
//!
//!     (a, b) = (1, 2)                                        1                                           2
//!     (a, b) = (SELECT x, y FROM u WHERE p)            ▶     (SELECT x FROM u WHERE p)                   (SELECT y FROM u WHERE p)
//!     (a, b) = (SELECT x, y FROM u ORDER BY 2 LIMIT 1)       (SELECT c0 FROM (SELECT …) AS r (c0, c1))   (SELECT c1 FROM …)
//!
//! What an item of a query's list is may depend on the others: they are named by position, aggregate the rows, or tell them apart. A
//! query of which that may be so stays whole.

use crate::error::{ErrorKind, QueryError};
use crate::query_places::{place_of, width};
use crate::returning::select;
use crate::statement::Statement;
use crate::syntax_walks::walk_expressions;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr,
    TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins,
};
use std::ops::ControlFlow;

/// The expressions of a row, or of a query that gives one.
pub(super) fn row_values(value: &Expr, statement: &Statement) -> Result<Vec<Expr>, QueryError> {
    match value {
        Expr::Tuple(values) => Ok(values.clone()),
        Expr::Nested(inner) => row_values(inner, statement),
        Expr::Function(row) if row.name.to_string().eq_ignore_ascii_case("row") => match &row.args {
            FunctionArguments::List(list) => list
                .args
                .iter()
                .map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Ok(value.clone()),
                    _ => Err(QueryError::new(ErrorKind::Syntax, "a row is a list of values")),
                })
                .collect(),
            _ => Ok(Vec::new()),
        },
        Expr::Subquery(query) => {
            let Some(width) = width(&query.body) else {
                return Err(QueryError::unsupported("a row from a query whose columns are not listed")
                    .hint("Name the columns instead of *.")
                    .position(place_of(statement, value)));
            };
            (0..width).map(|place| column_of(query, place, width)).collect()
        }
        other => Err(QueryError::new(
            ErrorKind::FeatureNotSupported,
            "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
        )
        .position(place_of(statement, other))),
    }
}

/// A query of one of the columns that a query gives.
fn column_of(query: &Query, place: usize, width: usize) -> Result<Expr, QueryError> {
    let mut alone = query.clone();
    if let SetExpr::Select(select) = alone.body.as_mut()
        && has_independent_items(query, select)
    {
        select.projection = vec![select.projection.swap_remove(place)];
        return Ok(Expr::Subquery(Box::new(alone)));
    }
    let name = |place: usize| Ident::new(format!("__column{place}"));
    let columns = (0..width).map(|place| TableAliasColumnDef { name: name(place), data_type: None });
    let alias = TableAlias { explicit: true, name: Ident::new("__row"), columns: columns.collect(), at: None };
    let relation = TableFactor::Derived { lateral: false, subquery: Box::new(alone), alias: Some(alias), sample: None };
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    let column = select(vec![SelectItem::UnnamedExpr(Expr::Identifier(name(place)))], from, None, None)?;
    Ok(Expr::Subquery(Box::new(column)))
}

/// Whether each item of a list is the same without the others. Any call may be an aggregate's.
fn has_independent_items(query: &Query, select: &Select) -> bool {
    let is_call = |expression: &Expr| match expression {
        Expr::Function(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let is_ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.distinct.is_none()
        && is_ungrouped
        && select.having.is_none()
        && walk_expressions(&select.projection, is_call).is_continue()
}
