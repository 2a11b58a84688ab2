//! -0 and 0 are equal, though Arrow's order tells them apart.
//!
//! Grouping and comparisons know that. Where a plan divides or orders rows by doubles, or counts different ones, a
//! [`float_key`] stands for them: the keys of windows, DISTINCT ON, the arguments of distinct aggregates and of mode,
//! and the keys of a sort but for the last, whose ties have no order anyway. Frames over keys without a distance become
//! those of groups, and where NULLs do not come as the greatest value, arrays are ordered by two keys.

use crate::functions::float_keys::float_key;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{AggregateFunction, Sort as SortExpr, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, ExprSchemable, LogicalPlan, WindowFrame, WindowFrameBound, WindowFrameUnits,
};

/// Lets a plan hold zeros of either sign for equal.
pub(crate) fn compare_zeros(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(node)?.data)
}

fn node(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Sort(mut sort) => {
            let schema = sort.input.schema().clone();
            let changed = place_nulls(&mut sort.expr, &schema) | sort_keys(&mut sort.expr, &schema);
            Ok(Transformed::new_transformed(LogicalPlan::Sort(sort), changed))
        }
        LogicalPlan::Distinct(Distinct::On(on)) => distinct_on(on),
        LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => {
            let schema = merge_schema(&node.inputs());
            let preserver = NamePreserver::new(&node);
            node.map_expressions(|expression| {
                let name = preserver.save(&expression);
                let keyed = expression.transform_up(|part| Ok(call(part, &schema)))?;
                Ok(if keyed.transformed { keyed.update_data(|expression| name.restore(expression)) } else { keyed })
            })
        }
        other => Ok(Transformed::no(other)),
    }
}

/// What has no type yet, such as a parameter, is no double.
fn is_float(expression: &Expr, schema: &DFSchema) -> bool {
    expression.get_type(schema).is_ok_and(|data_type| data_type.is_floating())
}

fn make_key(expression: &mut Expr, schema: &DFSchema) -> bool {
    let is_float = is_float(expression, schema);
    if is_float {
        *expression = float_key(std::mem::take(expression).unalias());
    }
    is_float
}

fn make_keys<'a>(expressions: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let changed: Vec<bool> = expressions.into_iter().map(|expression| make_key(expression, schema)).collect();
    changed.contains(&true)
}

/// The keys of a sort but for the last.
fn sort_keys(keys: &mut [SortExpr], schema: &DFSchema) -> bool {
    let before_last = keys.len().saturating_sub(1);
    make_keys(keys[..before_last].iter_mut().map(|key| &mut key.expr), schema)
}

fn call(expression: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expression {
        Expr::WindowFunction(mut call) => {
            let changed = window_function(&mut call, schema);
            Transformed::new_transformed(Expr::WindowFunction(call), changed)
        }
        Expr::AggregateFunction(mut call) => {
            let changed = aggregate_function(&mut call, schema);
            Transformed::new_transformed(Expr::AggregateFunction(call), changed)
        }
        other => Transformed::no(other),
    }
}

/// NULLs among the items of arrays are above all others, wherever NULL instead of an array comes: that is a key of its own.
fn place_nulls(keys: &mut Vec<SortExpr>, schema: &DFSchema) -> bool {
    let is_array = |key: &SortExpr| matches!(key.expr.get_type(schema), Ok(DataType::List(_)));
    let is_apart = |key: &SortExpr| key.asc == key.nulls_first && is_array(key);
    if !keys.iter().any(is_apart) {
        return false;
    }
    let placed = std::mem::take(keys).into_iter().flat_map(|key| match is_apart(&key) {
        true => {
            let nulls = SortExpr::new(key.expr.clone().is_null(), !key.nulls_first, false);
            vec![nulls, SortExpr { nulls_first: !key.asc, ..key }]
        }
        false => vec![key],
    });
    *keys = placed.collect();
    true
}

fn window_function(call: &mut WindowFunction, schema: &DFSchema) -> bool {
    let counted = count_groups(call, schema) | place_nulls(&mut call.params.order_by, schema);
    let orders = call.params.order_by.iter_mut().map(|key| &mut key.expr);
    make_keys(call.params.partition_by.iter_mut().chain(orders), schema) || counted
}

/// A frame that ends with rows whose keys are equal needs no distance of keys: over keys that DataFusion finds none for it is one of
/// groups.
fn count_groups(call: &mut WindowFunction, schema: &DFSchema) -> bool {
    let is_plain = |bound: &WindowFrameBound| bound.is_unbounded() || matches!(bound, WindowFrameBound::CurrentRow);
    let frame = &call.params.window_frame;
    let Some(key) = call.params.order_by.first() else { return false };
    if frame.units != WindowFrameUnits::Range || key.expr.get_type(schema).map_or(true, |known| has_distance(&known)) {
        return false;
    }
    if !is_plain(&frame.start_bound) || !is_plain(&frame.end_bound) {
        return false;
    }
    let (start, end) = (frame.start_bound.clone(), frame.end_bound.clone());
    call.params.window_frame = WindowFrame::new_bounds(WindowFrameUnits::Groups, start, end);
    true
}

/// Whether DataFusion has RANGE frames over keys of a type.
fn has_distance(data_type: &DataType) -> bool {
    use DataType::{Boolean, Date32, List, Timestamp};
    let is_known = matches!(data_type, Boolean | Date32 | List(_) | Timestamp(..));
    is_known || data_type.is_numeric() || data_type.is_string() || data_type.is_null()
}

fn aggregate_function(call: &mut AggregateFunction, schema: &DFSchema) -> bool {
    let parameters = &mut call.params;
    // The order of distinct values is over the arguments, and mode counts what it is ordered by.
    if parameters.distinct || call.func.name() == "mode" {
        let orders = parameters.order_by.iter_mut().map(|key| &mut key.expr);
        return make_keys(parameters.args.iter_mut().chain(orders), schema);
    }
    place_nulls(&mut parameters.order_by, schema) | sort_keys(&mut parameters.order_by, schema)
}

fn distinct_on(mut on: DistinctOn) -> Result<Transformed<LogicalPlan>> {
    let schema = on.input.schema().clone();
    let mut changed = make_keys(&mut on.on_expr, &schema);
    if let Some(sorts) = &mut on.sort_expr {
        changed |= make_keys(sorts.iter_mut().map(|key| &mut key.expr), &schema);
        // The keys come first in the order, and each of them with the keys that are made of it.
        let mut rest = sorts.split_off(on.on_expr.len());
        let placed = place_nulls(sorts, &schema);
        if placed {
            on.on_expr = sorts.iter().map(|key| key.expr.clone()).collect();
        }
        changed |= place_nulls(&mut rest, &schema) | placed;
        sorts.append(&mut rest);
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::On(on))));
    }
    let keyed = DistinctOn::try_new(on.on_expr, on.select_expr, on.sort_expr, on.input)?;
    Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(keyed))))
}
