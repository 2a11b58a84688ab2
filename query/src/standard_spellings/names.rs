//! Names and numbers of outputs in ORDER BY, GROUP BY and DISTINCT ON.
//!
//! A number is that of an output, in parentheses too; any other constant is none. What names mean is settled by
//! [`super::hidden_outputs`].

use super::trees::{bare, quoted};
use crate::error::QueryError;
use crate::output_names::hidden_name;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    Cte, Distinct, Expr, GroupByExpr, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    UnaryOperator, Value, ValueWithSpan,
};

/// Statements that write may stand behind WITH, but not in it.
pub(super) fn refuse_writers(query: &Query) -> Result<(), QueryError> {
    let tables = query.with.iter().flat_map(|with| &with.cte_tables);
    let is_writer = |cte: &Cte| {
        matches!(*cte.query.body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
    };
    match tables.into_iter().any(is_writer) {
        true => Err(QueryError::unsupported("INSERT, UPDATE and DELETE inside WITH")
            .hint("Run one statement after the other in a transaction.")),
        false => Ok(()),
    }
}

/// A constant in ORDER BY that is not the number of a column.
pub(super) fn ordering_constant(query: &Query) -> Option<&Expr> {
    order_keys(query).iter().map(|item| &item.expr).find(|item| is_misplaced(item))
}

/// A constant that groups without being the number of a column, and the clause that it stands in.
pub(super) fn grouping_constant(select: &Select) -> Option<(&'static str, &Expr)> {
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(items, _) => items.as_slice(),
        GroupByExpr::All(_) => &[],
    };
    let distinct = match &select.distinct {
        Some(Distinct::On(items)) => items.as_slice(),
        _ => &[],
    };
    let named = |clause| move |item| (clause, item);
    let mut all = grouped.iter().map(named("GROUP BY")).chain(distinct.iter().map(named("DISTINCT ON")));
    all.find(|(_, item)| is_misplaced(item))
}

fn order_keys(query: &Query) -> &[OrderByExpr] {
    match &query.order_by {
        Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) => items,
        _ => &[],
    }
}

fn is_misplaced(item: &Expr) -> bool {
    match item {
        Expr::Nested(inner) => is_misplaced(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match bare(expr) {
            number @ (Expr::Value(ValueWithSpan { value: Value::Number(..), .. })
            | Expr::UnaryOp { op: UnaryOperator::Minus, .. }) => is_misplaced(number),
            _ => false,
        },
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse::<i32>().is_err(),
        Expr::Value(ValueWithSpan { value, .. }) => !matches!(value, Value::Placeholder(_)),
        _ => false,
    }
}

/// The number of a column that ORDER BY counts below zero, as no column is, with its digits.
pub(super) fn negative_position(query: &Query) -> Option<(String, &Expr)> {
    order_keys(query).iter().find_map(|item| {
        let Expr::UnaryOp { op: UnaryOperator::Minus, expr } = bare(&item.expr) else { return None };
        match bare(expr) {
            Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) if digits.parse::<i32>().is_ok() => {
                Some((format!("-{digits}"), &item.expr))
            }
            _ => None,
        }
    })
}

/// The number of a column in DISTINCT ON that the select list has not, with its digits.
pub(super) fn absent_position(select: &Select) -> Option<(String, &Expr)> {
    let Some(Distinct::On(items)) = &select.distinct else { return None };
    if select.projection.iter().any(is_star) {
        return None;
    }
    items.iter().find_map(|item| {
        let (sign, number) = match bare(item) {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => ("-", bare(expr)),
            number => ("", number),
        };
        let Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) = number else { return None };
        let position = digits.parse::<i32>().ok()?;
        let exists = sign.is_empty() && (1..=select.projection.len()).contains(&(position as usize));
        (!exists).then(|| (format!("{sign}{digits}"), item))
    })
}

/// Numbers of columns stay such in parentheses, which the planner takes for constants: `ORDER BY (2)`.
pub(super) fn bare_order(query: &mut Query) {
    if let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by {
        items.iter_mut().for_each(|item| strip(&mut item.expr));
    }
}

/// The same in GROUP BY and DISTINCT ON.
pub(super) fn bare_groups(select: &mut Select) {
    if let GroupByExpr::Expressions(items, _) = &mut select.group_by {
        items.iter_mut().for_each(strip);
    }
    if let Some(Distinct::On(items)) = &mut select.distinct {
        items.iter_mut().for_each(strip);
    }
}

/// Takes the parentheses away that are around a number.
fn strip(item: &mut Expr) {
    if let Some(number) = number_of(item) {
        *item = number.clone();
    }
}

/// A number in parentheses, or behind two signs that undo each other.
pub(crate) fn number_of(item: &Expr) -> Option<&Expr> {
    match bare(item) {
        number @ Expr::Value(ValueWithSpan { value: Value::Number(..), .. }) => Some(number),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match bare(expr) {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number_of(expr),
            _ => None,
        },
        _ => None,
    }
}

/// What DISTINCT ON names comes in any order, and may come twice; the planner wants it once and in that of ORDER BY.
pub(super) fn order_distinct(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let Select { distinct: Some(Distinct::On(items)), projection, .. } = select.as_mut() else { return };
    let mut known: Vec<Expr> = Vec::new();
    items.retain(|item| {
        let key = meant(item, projection);
        let is_first = !known.contains(&key);
        known.push(key);
        is_first
    });
    let Some(OrderBy { kind: OrderByKind::Expressions(order), .. }) = &query.order_by else { return };
    let order: Vec<Expr> = order.iter().map(|key| meant(&key.expr, projection)).collect();
    items.sort_by_key(|item| {
        let key = meant(item, projection);
        order.iter().position(|known| *known == key).unwrap_or(order.len())
    });
}

/// A key as the output that its number is of, where it is of one; any other key as it is.
fn meant(key: &Expr, outputs: &[SelectItem]) -> Expr {
    let key = bare(key);
    let Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) = key else { return key.clone() };
    let place = digits.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    // From a star on the numbers count columns that only the planner knows, and a number beside one is always such a number.
    let is_known = |place: &usize| !outputs.iter().take(*place).any(is_star);
    let is_number = |shown: &Expr| matches!(bare(shown), Expr::Value(_)) && outputs.iter().any(is_star);
    match place.filter(is_known).and_then(|place| outputs.get(place)) {
        Some(SelectItem::UnnamedExpr(shown)) if !is_number(shown) => bare(shown).clone(),
        Some(SelectItem::ExprWithAlias { alias, .. }) => Expr::Identifier(alias.clone()),
        _ => key.clone(),
    }
}

/// `*` or `t.*`.
pub(crate) fn is_star(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}

/// In a subquery a column beside `*` is there twice, and nobody can refer to it; so is one beside `t.*` of the only relation.
pub(super) fn hide_repeated(select: &mut Select) {
    let is_alone = matches!(select.from.as_slice(), [tables] if tables.joins.is_empty());
    let is_whole = |item: &SelectItem| match item {
        SelectItem::Wildcard(_) => true,
        item => is_alone && is_star(item),
    };
    if !select.projection.iter().any(is_whole) {
        return;
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item {
            let alias = quoted(&hidden_name(&fold(name)));
            *item = SelectItem::ExprWithAlias { expr: Expr::Identifier(name.clone()), alias };
        }
    }
}

/// `DISTINCT ON (1)` is about the first column of the select list.
pub(super) fn resolve_distinct(select: &mut Select) {
    let Some(Distinct::On(items)) = &mut select.distinct else { return };
    for item in items {
        *item = meant(item, &select.projection);
    }
}
