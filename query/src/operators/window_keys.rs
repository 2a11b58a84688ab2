//! Keys of windows, sorts and ordered aggregates that are computed below them, where each is one column.
//!
//! A subquery, `OVER (PARTITION BY EXISTS (…))`, becomes a join, once for each place where it stands. Several functions of one window
//! would come to have keys of their own, while the executor sorts the rows once for all of them.
//!
//! An operator over a call or a cast, `OVER (PARTITION BY length(name) > 5)`, is sorted by, and then DataFusion does not know it again: it
//! compares the bounds of the operands, and those of a call have no type.
//!
//! What is another value at each call, `OVER (ORDER BY random())`, may be all that rows are sorted by, and rows without columns are not
//! sorted.
//!
//! The state of `array_agg(x ORDER BY (SELECT …))` has a field for each key that is called as the key is shown, and a subquery is shown
//! with its value as soon as it has one. An argument that is such a key is the same column.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, Sort, Window};
use std::sync::Arc;

/// Before the number of a key; cannot be typed in SQL.
const KEY: &str = "window\u{1}key";

/// Computes the keys of a plan's windows, sorts and ordered aggregates below them, where the executor needs it.
pub(crate) fn compute_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    let computed = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(window) => window_with_columns(window),
        LogicalPlan::Aggregate(aggregate) => aggregate_with_columns(aggregate),
        LogicalPlan::Sort(sort) => sort_with_columns(sort),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(computed.data)
}

fn window_with_columns(window: Window) -> Result<Transformed<LogicalPlan>> {
    let keys = window.window_expr.iter().flat_map(keys_of).filter(|key| holds_subquery(key) || is_computed(key));
    let Some((below, columns)) = computed_below(keys, &window.input)? else {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    };
    let functions = window.window_expr.into_iter().map(|function| with_columns(function, &columns));
    let window = Window::try_new(functions.collect(), Arc::new(below))?;
    Ok(Transformed::yes(LogicalPlan::Window(window)))
}

fn aggregate_with_columns(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let keys = aggregate.aggr_expr.iter().flat_map(keys_of).filter(holds_subquery);
    let Some((below, columns)) = computed_below(keys, &aggregate.input)? else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    };
    let functions = aggregate.aggr_expr.into_iter().map(|function| with_columns(function, &columns));
    let aggregate = Aggregate::try_new(Arc::new(below), aggregate.group_expr, functions.collect())?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
}

/// The columns that keys become.
type KeyColumns = Vec<(Expr, Column)>;

/// The input with a column more for each key; `None` where there are no keys.
fn computed_below(
    keys: impl Iterator<Item = Expr>,
    input: &Arc<LogicalPlan>,
) -> Result<Option<(LogicalPlan, KeyColumns)>> {
    // Those of windows below have the first numbers.
    let first = input.schema().fields().iter().filter(|field| field.name().starts_with(KEY)).count();
    let mut columns: KeyColumns = Vec::new();
    for key in keys {
        if !columns.iter().any(|(known, _)| *known == key) {
            let name = format!("{KEY}{}", first + columns.len());
            columns.push((key, Column::from_name(name)));
        }
    }
    if columns.is_empty() {
        return Ok(None);
    }
    let computed = columns.iter().map(|(key, column)| key.clone().alias(column.name()));
    let all = input.schema().iter().map(Expr::from).chain(computed).collect();
    let below = Projection::try_new(all, Arc::clone(input))?;
    Ok(Some((LogicalPlan::Projection(below), columns)))
}

/// A function with columns for its keys, called as it was.
fn with_columns(function: Expr, columns: &[(Expr, Column)]) -> Expr {
    let shown = function.schema_name().to_string();
    let with_column = |key: Expr| match columns.iter().find(|(known, _)| *known == key) {
        Some((_, column)) => Expr::Column(column.clone()),
        None => key,
    };
    with_keys(function, &with_column).alias(shown)
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

/// What a window function's rows are divided and ordered by, and those of an aggregate.
fn keys_of(function: &Expr) -> Vec<Expr> {
    match function {
        Expr::Alias(alias) => keys_of(&alias.expr),
        Expr::AggregateFunction(call) => call.params.order_by.iter().map(|key| key.expr.clone()).collect(),
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
        Expr::AggregateFunction(mut call) => {
            // Rows that are DISTINCT are ordered by arguments, which are known again by being the same.
            call.params.args = call.params.args.into_iter().map(with_column).collect();
            order_with_columns(&mut call.params.order_by, with_column);
            Expr::AggregateFunction(call)
        }
        Expr::WindowFunction(mut call) => {
            call.params.partition_by = call.params.partition_by.into_iter().map(with_column).collect();
            order_with_columns(&mut call.params.order_by, with_column);
            Expr::WindowFunction(call)
        }
        other => other,
    }
}

fn order_with_columns(keys: &mut [SortExpr], with_column: &dyn Fn(Expr) -> Expr) {
    for key in keys {
        key.expr = with_column(std::mem::take(&mut key.expr));
    }
}
