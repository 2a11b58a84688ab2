//! Ordinals, counts and offsets: numbers of the syntax, which are no values and so have no type.
//!
//!     ORDER BY 1     LIMIT 10     ROWS 1 PRECEDING

use super::grouping_sets::settle;
use super::sites::integer_literal;
use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, LimitClause, OrderByKind, Query, Select, SetExpr, Value, ValueWithSpan, WindowFrameBound,
    WindowSpec,
};

/// Ordinals of ORDER BY and GROUP BY and the counts of LIMIT are plain numbers again.
pub(super) fn restore_ordinals(query: &mut Query) {
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
    if let Some(ast::Distinct::On(items)) = &mut select.distinct {
        items.iter_mut().for_each(restore);
    }
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
