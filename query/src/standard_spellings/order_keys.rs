//! Keys of ORDER BY that must be outputs: of rows that are DISTINCT, and of those of UNION and the like, nothing else is left to order by.
//!
//!     SELECT DISTINCT upper(c) FROM t ORDER BY upper(c)   ▶   SELECT DISTINCT upper(c) FROM t ORDER BY 1
//!     SELECT DISTINCT a FROM t ORDER BY a + 0             is an error
//!
//! The planner looks for the columns inside of a key and not for the key. An expression that an item of the select list is becomes the
//! number of that output; [`misplaced_key`] finds what PostgreSQL refuses in a query that the planner takes. What may be one with an output
//! ([`super::likeness`] tells) is left to the planner. DISTINCT ON has rules of its own.

use super::likeness::{Comparison, Likeness};
use super::names::{is_star, number_of};
use super::set_names::{self, name_of_output};
use super::trees::bare;
use crate::error::{ErrorKind, QueryError};
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Value, VisitorMut,
};
use std::ops::ControlFlow;

/// Gives keys that are outputs of a SELECT DISTINCT the numbers of these, in a query as it was written and in those inside of it.
pub(crate) fn number_outputs(query: &mut Query) {
    let _ = walk_mut(query, &mut Numberer);
}

struct Numberer;

impl VisitorMut for Numberer {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        number_keys(query);
        ControlFlow::Continue(())
    }
}

fn number_keys(query: &mut Query) {
    let Query { body, order_by: Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }), .. } = query else {
        return;
    };
    let SetExpr::Select(select) = body.as_ref() else { return };
    if !matches!(select.distinct, Some(Distinct::Distinct)) {
        return;
    }
    let comparison = Comparison::of(select);
    for key in keys.iter_mut().filter(|key| name_of(&key.expr).is_none() && !is_constant(&key.expr)) {
        // From a star on only the planner knows the numbers.
        let mut known = select.projection.iter().take_while(|item| !is_star(item)).filter_map(expression_of);
        if let Some(place) = known.position(|output| comparison.likeness(&key.expr, output) == Likeness::Same) {
            key.expr = Expr::Value(Value::Number((place + 1).to_string(), false).into());
        }
    }
}

/// A key of a query's ORDER BY or DISTINCT ON that PostgreSQL does not take, and what it says of it.
pub(crate) fn misplaced_key(query: &Query) -> Option<(QueryError, Expr)> {
    let keys = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(keys)) => keys.as_slice(),
        _ => &[],
    };
    let mut keys = keys.iter().map(|key| &key.expr);
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => select,
        body @ SetExpr::SetOperation { .. } => return keys.find_map(|key| set_names::misplaced(key, body)),
        _ => return None,
    };
    let on = match &select.distinct {
        Some(Distinct::On(on)) => on.as_slice(),
        _ => &[],
    };
    let comparison = Comparison::of(select);
    let is_distinct = matches!(select.distinct, Some(Distinct::Distinct));
    let misplaced = |clause: &str, key: &Expr| {
        let error = match name_of(key) {
            Some(name) => ambiguous(clause, &name, select, &comparison)?,
            None if is_distinct && !may_be_output(key, select, &comparison) => {
                QueryError::new(ErrorKind::InvalidColumnReference, ABSENT)
            }
            None => return None,
        };
        Some((error, key.clone()))
    };
    let ordered = keys.find_map(|key| misplaced("ORDER BY", key));
    ordered.or_else(|| on.iter().find_map(|key| misplaced("DISTINCT ON", key)))
}

/// The key of a SELECT DISTINCT after which the planner has found that one is no output.
pub(crate) fn absent_key(query: &Query) -> Option<Expr> {
    let OrderBy { kind: OrderByKind::Expressions(keys), .. } = query.order_by.as_ref()? else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    if !matches!(select.distinct, Some(Distinct::Distinct)) {
        return None;
    }
    let comparison = Comparison::of(select);
    let is_output = |key: &Expr| {
        let name = name_of(key);
        let is_item = |item: &SelectItem| {
            let is_named = name.is_some() && name_of_output(item) == name;
            is_named || expression_of(item).is_none_or(|output| comparison.likeness(key, output) == Likeness::Same)
        };
        matches!(bare(key), Expr::Value(_)) || select.projection.iter().any(is_item)
    };
    keys.iter().map(|key| &key.expr).find(|key| !is_output(key)).cloned()
}

/// What a key of distinct rows lacks that is no output.
pub(crate) const ABSENT: &str = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";

/// The error of a name that outputs have which are surely not the same.
pub(super) fn ambiguous(clause: &str, name: &str, select: &Select, comparison: &Comparison) -> Option<QueryError> {
    let mut outputs = called(name, select);
    let first = outputs.next()?;
    outputs.any(|output| comparison.likeness(first, output) == Likeness::Different).then(|| is_ambiguous(clause, name))
}

/// The same behind UNION and the like, where each column is one of its own.
pub(super) fn ambiguous_in_union(name: &str, select: &Select) -> Option<QueryError> {
    (called(name, select).count() > 1).then(|| is_ambiguous("ORDER BY", name))
}

/// The outputs of that name.
fn called<'a>(name: &'a str, select: &'a Select) -> impl Iterator<Item = &'a Expr> {
    let is_called = move |item: &&SelectItem| name_of_output(item).as_deref() == Some(name);
    select.projection.iter().filter(is_called).filter_map(expression_of)
}

pub(super) fn is_ambiguous(clause: &str, name: &str) -> QueryError {
    QueryError::new(ErrorKind::AmbiguousColumn, format!("{clause} \"{name}\" is ambiguous"))
}

/// Whether a key that is an expression may be an item of a select list.
fn may_be_output(key: &Expr, select: &Select, comparison: &Comparison) -> bool {
    let may_be = |item: &SelectItem| match expression_of(item) {
        Some(output) => comparison.likeness(key, output) != Likeness::Different,
        None => comparison.may_be_column(key),
    };
    is_name_or_number(key) || select.projection.iter().any(may_be)
}

/// What needs no comparison, or is none by its words alone.
fn is_name_or_number(key: &Expr) -> bool {
    matches!(bare(key), Expr::Identifier(_) | Expr::CompoundIdentifier(_)) || is_constant(key)
}

fn is_constant(key: &Expr) -> bool {
    matches!(bare(key), Expr::Value(_)) || number_of(key).is_some()
}

pub(super) fn name_of(key: &Expr) -> Option<String> {
    match bare(key) {
        Expr::Identifier(name) => Some(fold(name)),
        _ => None,
    }
}

fn expression_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => Some(expression),
        _ => None,
    }
}
