//! Names in an ORDER BY behind UNION and the like: those of the result's columns, which are called as in the first SELECT.
//!
//!     SELECT a FROM t UNION SELECT b FROM t ORDER BY a        the column of the result
//!     SELECT a FROM t UNION SELECT b FROM t ORDER BY b        is an error, as t.a and a + 1 are
//!
//! Where a `*` stands in the first SELECT, only the planner knows its names.

use super::names::number_of;
use super::nesting::each_expr;
use super::order_keys::is_ambiguous;
use super::trees::bare;
use crate::error::{ErrorKind, QueryError};
use crate::output_names::output_name;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{Expr, SelectItem, SetExpr};
use std::ops::ControlFlow;

/// What PostgreSQL says of a key that it does not take behind set operations, and the expression that it says it of.
pub(super) fn misplaced(key: &Expr, body: &SetExpr) -> Option<(QueryError, Expr)> {
    if number_of(key).is_some() {
        return None;
    }
    let names = names_of(body);
    match (bare(key), &names) {
        (Expr::Value(_), _) | (Expr::Identifier(_), None) => None,
        (Expr::Identifier(name), Some(names)) if names.contains(&fold(name)) => {
            let name = fold(name);
            let is_several = names.iter().filter(|known| **known == name).count() > 1;
            is_several.then(|| (is_ambiguous("ORDER BY", &name), key.clone()))
        }
        (_, names) => Some(unknown(key, names.as_deref(), body).unwrap_or_else(|| (no_result_column(), key.clone()))),
    }
}

fn no_result_column() -> QueryError {
    QueryError::new(ErrorKind::FeatureNotSupported, "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
        .detail("Only result column names can be used, not expressions or functions.")
        .hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.")
}

/// The first name in a key that no column of the result has.
fn unknown(key: &Expr, names: Option<&[String]>, body: &SetExpr) -> Option<(QueryError, Expr)> {
    let found = each_expr(key, |part, queries| match part {
        Expr::Identifier(name) if queries == 0 => match names {
            Some(names) if !names.contains(&fold(name)) => {
                ControlFlow::Break((no_column(&fold(name), body), part.clone()))
            }
            _ => ControlFlow::Continue(()),
        },
        Expr::CompoundIdentifier(parts) if queries == 0 => {
            let table = parts.iter().rev().nth(1).map(fold).unwrap_or_default();
            let message = format!("missing FROM-clause entry for table \"{table}\"");
            ControlFlow::Break((QueryError::new(ErrorKind::UndefinedTable, message), part.clone()))
        }
        _ => ControlFlow::Continue(()),
    });
    found.break_value()
}

/// The error of a name that is none of the result's, though it may be one of a side's.
fn no_column(name: &str, body: &SetExpr) -> QueryError {
    let message = format!("column \"{name}\" does not exist");
    let error = QueryError::new(ErrorKind::UndefinedColumn, message).column(name);
    let mut all = Vec::new();
    sides(body, &mut all);
    let has_name = |side: &&SetExpr| names_of(side).is_some_and(|names| names.iter().any(|known| known == name));
    match all.iter().position(has_name) {
        Some(place) => error.hint(format!(
            "There is a column named \"{name}\" in table \"*SELECT* {}\", but it cannot be referenced from this part of the query.",
            place + 1
        )),
        None => error,
    }
}

/// The queries that are united, in their order.
fn sides<'a>(body: &'a SetExpr, all: &mut Vec<&'a SetExpr>) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            sides(left, all);
            sides(right, all);
        }
        SetExpr::Query(query) => sides(&query.body, all),
        other => all.push(other),
    }
}

/// The names of a body's columns; `None` where only the planner knows them.
fn names_of(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => select.projection.iter().map(name_of_output).collect(),
        SetExpr::Query(query) => names_of(&query.body),
        SetExpr::SetOperation { left, .. } => names_of(left),
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.len());
            Some((1..=width).map(|number| format!("column{number}")).collect())
        }
        _ => None,
    }
}

/// What an item of a select list is called; `None` of a star.
pub(super) fn name_of_output(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expression) => Some(output_name(expression)),
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    }
}
