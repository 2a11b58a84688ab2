//! Ordinals, counts and offsets: numbers of the syntax, which are no values and so have no type.
//!
//!     ORDER BY 1     LIMIT 10     ROWS 1 PRECEDING

use super::grouping_sets::settle;
use super::repeated_keys::OUTPUT_COLUMN;
use super::sites::{call_quoted, integer_literal};
use crate::standard_spellings::is_star;
use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, LimitClause, OrderByKind, Query, Select, SetExpr, Value, ValueWithSpan, WindowFrameBound,
    WindowSpec,
};
use std::collections::HashSet;

/// Ordinals of ORDER BY and GROUP BY and the counts of LIMIT are plain numbers again.
pub(super) fn restore_ordinals(query: &mut Query) {
    name_distinct_outputs(query);
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(items) = &mut order.kind
    {
        items.iter_mut().for_each(|item| restore(&mut item.expr));
    }
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            limit.iter_mut().for_each(restore);
            offset.iter_mut().for_each(|offset| restore(&mut offset.value));
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            restore(offset);
            restore(limit);
        }
        None => {}
    }
    if let Some(fetch) = &mut query.fetch {
        fetch.quantity.iter_mut().for_each(restore);
    }
    restore_in_body(&mut query.body);
}

fn restore_in_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => restore_in_select(select),
        SetExpr::SetOperation { left, right, .. } => {
            restore_in_body(left);
            restore_in_body(right);
        }
        _ => {}
    }
}

fn restore_in_select(select: &mut Select) {
    if let GroupByExpr::Expressions(items, _) = &mut select.group_by {
        for item in items {
            match item {
                Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => settle(item, &select.projection),
                plain => restore(plain),
            }
        }
    }
    for window in &mut select.named_window {
        if let ast::NamedWindowExpr::WindowSpec(window) = &mut window.1 {
            restore_in_window(window);
        }
    }
}

/// `SELECT DISTINCT ON (2) *` counts the columns that `*` stands for, which the planner alone knows: the number becomes a call of
/// [`OUTPUT_COLUMN`], in ORDER BY too. What ORDER BY has in its place must be that column: `DISTINCT ON (1) * … ORDER BY id`. Without a
/// star the numbers were names before, and what is left are constants.
fn name_distinct_outputs(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    if !select.projection.iter().any(is_star) {
        return;
    }
    let Some(ast::Distinct::On(items)) = &mut select.distinct else { return };
    let order: &mut [ast::OrderByExpr] = match &mut query.order_by {
        Some(ast::OrderBy { kind: OrderByKind::Expressions(order), .. }) => order,
        _ => &mut [],
    };
    let digits = |item: &Expr| integer_literal(item).map(|(digits, _)| digits.to_string());
    let numbers: HashSet<String> = order.iter().filter_map(|key| digits(&key.expr)).collect();
    let first = order.iter_mut().take(items.len()).map(|key| &mut key.expr);
    let mut named = first.filter(|key| digits(key).is_none() && !items.contains(key)).collect::<Vec<_>>().into_iter();
    let mut asked = HashSet::new();
    for item in items {
        let Some(number) = digits(item) else { continue };
        let key = if numbers.contains(&number) { None } else { named.next() };
        name_output(item, key.as_deref());
        if let Some(key) = key {
            *key = item.clone();
        }
        asked.insert(number);
    }
    for key in order {
        if digits(&key.expr).is_some_and(|number| asked.contains(&number)) {
            name_output(&mut key.expr, None);
        }
    }
}

/// Makes a call of a number, and of the key that names the column with that number.
fn name_output(item: &mut Expr, key: Option<&Expr>) {
    restore(item);
    *item = call_quoted(OUTPUT_COLUMN, std::iter::once(&*item).chain(key).cloned().collect());
}

/// An interval's text in RANGE, which was kept from becoming a site.
fn restore_interval(offset: &mut Expr) {
    if matches!(offset, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. })) {
        let value = Box::new(offset.clone());
        let interval = ast::Interval {
            value,
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        };
        *offset = Expr::Interval(interval);
    }
}

/// `ROWS 1 PRECEDING` counts rows.
pub(super) fn restore_in_window(window: &mut WindowSpec) {
    let Some(frame) = &mut window.window_frame else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound) {
        if let WindowFrameBound::Preceding(Some(count)) | WindowFrameBound::Following(Some(count)) = bound {
            restore(count);
            restore_interval(count);
        }
    }
}

fn restore(expression: &mut Expr) {
    if let Some((digits, span)) = integer_literal(expression) {
        let value = Value::Number(digits.to_string(), false);
        *expression = Expr::Value(ValueWithSpan { value, span });
    }
}
