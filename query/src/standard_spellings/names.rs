//! Output names: where they count and where only the table's columns do.
//!
//! PostgreSQL knows a name of the select list where an item of ORDER BY, GROUP BY or DISTINCT ON is that name and
//! nothing else; in HAVING and inside of expressions it means the table's column. The planner prefers the output
//! everywhere. Where such an expression has the name of an output, the output is called something else that the
//! client is not shown. So is what stands beside a `*`, which may have a column of the same name.

use super::trees::{bare, quoted};
use crate::error::QueryError;
use crate::output_names::{hidden_name, output_name};
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    Cte, Distinct, Expr, GroupByExpr, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, UnaryOperator, Value,
    ValueWithSpan, Visit, Visitor,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Renames the outputs of a query whose names nobody outside refers to: that of the whole statement.
pub(super) fn hide_outputs(query: &mut Query) {
    let order = query.order_by.as_mut();
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let mut keys: Vec<&mut Expr> = match order {
        Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) => {
            items.iter_mut().map(|item| &mut item.expr).collect()
        }
        _ => Vec::new(),
    };
    let mut used = HashSet::new();
    let mut collect = |expression: &Expr| {
        let _ = Visit::visit(expression, &mut Collector { names: &mut used, queries: 0 });
    };
    keys.iter().filter(|key| !is_name(key)).for_each(|key| collect(key));
    select.having.iter().for_each(&mut collect);
    let group_keys = group_keys(select);
    group_keys.iter().filter(|key| !is_name(key)).for_each(|key| collect(key));
    let grouped: HashSet<String> = group_keys.into_iter().filter_map(name_of).collect();
    let mut hidden = HashSet::new();
    let starred = select.projection.iter().any(is_star);
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expression) = item
            && starred
        {
            let alias = quoted(&hidden_name(&output_name(expression)));
            *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias };
            continue;
        }
        if let SelectItem::UnnamedExpr(expression) = item
            && !is_name(expression)
        {
            let name = output_name(expression);
            if used.contains(&name) {
                let alias = quoted(&hidden_name(&name));
                *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias };
                hidden.insert(name);
            }
            continue;
        }
        let SelectItem::ExprWithAlias { expr, alias } = item else { continue };
        let name = fold(alias);
        let itself = matches!(bare(expr), Expr::Identifier(column) if fold(column) == name);
        if (starred && !grouped.contains(&name)) || (used.contains(&name) && !itself) {
            *alias = quoted(&hidden_name(&name));
            hidden.insert(name);
        }
    }
    if let Some(Distinct::On(items)) = &mut select.distinct {
        keys.extend(items);
    }
    for key in keys {
        if let Expr::Identifier(name) = bare(key)
            && hidden.contains(&fold(name))
        {
            *key = Expr::Identifier(quoted(&hidden_name(&fold(name))));
        }
    }
}

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

/// A constant that orders or groups without being the number of a column, and the clause that it stands in.
pub(super) fn misplaced_constant(query: &Query) -> Option<(&'static str, &Expr)> {
    let order = match &query.order_by {
        Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) => items.as_slice(),
        _ => &[],
    };
    let ordered = order.iter().map(|item| ("ORDER BY", &item.expr));
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => Some(select),
        _ => None,
    };
    let grouped = select.into_iter().flat_map(|select| match &select.group_by {
        GroupByExpr::Expressions(items, _) => items.as_slice(),
        GroupByExpr::All(_) => &[],
    });
    let distinct = select.into_iter().flat_map(|select| match &select.distinct {
        Some(Distinct::On(items)) => items.as_slice(),
        _ => &[],
    });
    let named = |clause| move |item| (clause, item);
    let mut all = ordered.chain(grouped.map(named("GROUP BY"))).chain(distinct.map(named("DISTINCT ON")));
    all.find(|(_, item)| is_misplaced(item))
}

fn is_misplaced(item: &Expr) -> bool {
    match item {
        Expr::Nested(inner) => is_misplaced(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            matches!(bare(expr), Expr::Value(ValueWithSpan { value: Value::Number(..), .. })) && is_misplaced(expr)
        }
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse::<i32>().is_err(),
        Expr::Value(ValueWithSpan { value, .. }) => !matches!(value, Value::Placeholder(_)),
        _ => false,
    }
}

/// The number of a column that ORDER BY counts below zero, as no column is, with its digits.
pub(super) fn negative_position(query: &Query) -> Option<(String, &Expr)> {
    let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &query.order_by else { return None };
    items.iter().find_map(|item| {
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
pub(super) fn absent_position(query: &Query) -> Option<(String, &Expr)> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
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
pub(super) fn bare_positions(query: &mut Query) {
    let is_number = |item: &Expr| {
        matches!(item, Expr::Nested(_))
            && matches!(bare(item), Expr::Value(ValueWithSpan { value: Value::Number(..), .. }))
    };
    let strip = |item: &mut Expr| {
        if is_number(item) {
            *item = bare(item).clone();
        }
    };
    if let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by {
        items.iter_mut().for_each(|item| strip(&mut item.expr));
    }
    if let SetExpr::Select(select) = query.body.as_mut() {
        if let GroupByExpr::Expressions(items, _) = &mut select.group_by {
            items.iter_mut().for_each(strip);
        }
        if let Some(Distinct::On(items)) = &mut select.distinct {
            items.iter_mut().for_each(strip);
        }
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

/// In a subquery a column beside `*` is there twice, and nobody can refer to it.
pub(super) fn hide_repeated(select: &mut Select) {
    if !select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_))) {
        return;
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item {
            let alias = quoted(&hidden_name(&fold(name)));
            *item = SelectItem::ExprWithAlias { expr: Expr::Identifier(name.clone()), alias };
        }
    }
}

/// What a SELECT groups by, also inside of grouping sets.
fn group_keys(select: &Select) -> Vec<&Expr> {
    let GroupByExpr::Expressions(items, _) = &select.group_by else { return Vec::new() };
    let keys = items.iter().flat_map(|item| match item {
        Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => sets.iter().flatten().collect(),
        other => vec![other],
    });
    keys.collect()
}

fn is_name(expression: &Expr) -> bool {
    name_of(expression).is_some()
}

fn name_of(expression: &Expr) -> Option<String> {
    match bare(expression) {
        Expr::Identifier(name) => Some(fold(name)),
        _ => None,
    }
}

struct Collector<'a> {
    names: &'a mut HashSet<String>,
    queries: usize,
}

impl Visitor for Collector<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expression
            && self.queries == 0
        {
            self.names.insert(fold(name));
        }
        ControlFlow::Continue(())
    }
}

/// `DISTINCT ON (1)` is about the first column of the select list.
pub(super) fn resolve_distinct(select: &mut Select) {
    let Some(Distinct::On(items)) = &mut select.distinct else { return };
    for item in items {
        *item = meant(item, &select.projection);
    }
}
