//! Keys of windows and sorts that are computed below them, where each is one column.
//!
//! A subquery, `OVER (PARTITION BY EXISTS (…))`, becomes a join, once for each place where it stands. Several functions of one window
//! would come to have keys of their own, while the executor sorts the rows once for all of them.
//!
//! An operator over a call or a cast, `OVER (PARTITION BY length(name) > 5)`, is sorted by, and then DataFusion does not know it again: it
//! compares the bounds of the operands, and those of a call have no type.
//!
//! What is another value at each call, `OVER (ORDER BY random())`, may be all that rows are sorted by, and rows without columns are not
//! sorted.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Sort, Window};
use std::sync::Arc;

/// Before the number of a key; cannot be typed in SQL.
const KEY: &str = "window\u{1}key";

/// Computes the keys of a plan's windows and sorts below them, where the executor needs it.
pub(crate) fn compute_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    let computed = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(window) => window_with_columns(window),
        LogicalPlan::Sort(sort) => sort_with_columns(sort),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(computed.data)
}

fn window_with_columns(window: Window) -> Result<Transformed<LogicalPlan>> {
    let mut keys: Vec<Expr> = Vec::new();
    for key in window.window_expr.iter().flat_map(keys_of).filter(|key| holds_subquery(key) || is_computed(key)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    // Those of windows below have the first numbers.
    let below = window.input.schema().fields().iter().filter(|field| field.name().starts_with(KEY)).count();
    let name = |number: usize| format!("{KEY}{}", below + number);
    let columns = window.input.schema().iter().map(Expr::from);
    let computed = keys.iter().enumerate().map(|(number, key)| key.clone().alias(name(number)));
    let below = Projection::try_new(columns.chain(computed).collect(), Arc::clone(&window.input))?;
    let with_column = |key: Expr| match keys.iter().position(|known| *known == key) {
        Some(number) => Expr::Column(Column::from_name(name(number))),
        None => key,
    };
    let functions = window.window_expr.into_iter().map(|function| {
        let shown = function.schema_name().to_string();
        with_keys(function, &with_column).alias(shown)
    });
    let window = Window::try_new(functions.collect(), Arc::new(LogicalPlan::Projection(below)))?;
    Ok(Transformed::yes(LogicalPlan::Window(window)))
}

fn sort_with_columns(sort: Sort) -> Result<Transformed<LogicalPlan>> {
    if !sort.expr.iter().any(|key| is_computed(&key.expr)) {
        return Ok(Transformed::no(LogicalPlan::Sort(sort)));
    }
    let shown: Vec<Expr> = sort.input.schema().iter().map(Expr::from).collect();
    let mut columns = shown.clone();
    let keys = sort.expr.into_iter().enumerate().map(|(number, key)| {
        if !is_computed(&key.expr) {
            return key;
        }
        let name = format!("{KEY}{number}");
        columns.push(key.expr.alias(&name));
        SortExpr { expr: Expr::Column(Column::from_name(name)), ..key }
    });
    let expr = keys.collect();
    let below = Projection::try_new(columns, sort.input)?;
    let sorted = Sort { expr, input: Arc::new(LogicalPlan::Projection(below)), fetch: sort.fetch };
    let shown = Projection::try_new(shown, Arc::new(LogicalPlan::Sort(sorted)))?;
    Ok(Transformed::yes(LogicalPlan::Projection(shown)))
}

/// What a window function's rows are divided and ordered by.
fn keys_of(function: &Expr) -> Vec<Expr> {
    match function {
        Expr::Alias(alias) => keys_of(&alias.expr),
        Expr::WindowFunction(call) => {
            let order = call.params.order_by.iter().map(|key| key.expr.clone());
            call.params.partition_by.iter().cloned().chain(order).collect()
        }
        _ => Vec::new(),
    }
}

fn holds_subquery(key: &Expr) -> bool {
    let is_subquery = |part: &Expr| {
        matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_))
    };
    key.exists(|part| Ok(is_subquery(part))).unwrap_or(false)
}

fn is_computed(key: &Expr) -> bool {
    key.is_volatile() || holds_operator_over_call(key)
}

fn holds_operator_over_call(key: &Expr) -> bool {
    let is_call = |part: &Expr| Ok(matches!(part, Expr::ScalarFunction(_) | Expr::Cast(_)));
    let is_operator = |part: &Expr| matches!(part, Expr::BinaryExpr(_) | Expr::Not(_) | Expr::Negative(_));
    key.exists(|part| Ok(is_operator(part) && part.exists(is_call)?)).unwrap_or(false)
}

fn with_keys(function: Expr, with_column: &dyn Fn(Expr) -> Expr) -> Expr {
    match function {
        Expr::Alias(alias) => with_keys(*alias.expr, with_column),
        Expr::WindowFunction(mut call) => {
            call.params.partition_by = call.params.partition_by.into_iter().map(with_column).collect();
            for key in &mut call.params.order_by {
                key.expr = with_column(std::mem::take(&mut key.expr));
            }
            Expr::WindowFunction(call)
        }
        other => other,
    }
}
