//! The sums below averages.
//!
//! `avg(x)` is planned with an aggregate of its own, [`AVERAGED`], because the average of reals is a double while their
//! sum is a real. Here it becomes `sum`, so that `sum(x)` beside `avg(x)` is one aggregate and views keep it as one.

use crate::functions::aggregates::{AVERAGED, sum_function};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, Window, WindowFunctionDefinition, cast};
use std::sync::Arc;

/// Replaces the averaged sums of a plan.
pub(crate) fn lower_averaged_sums(plan: LogicalPlan) -> Result<LogicalPlan> {
    let lowered = plan.transform_up_with_subqueries(|node| {
        if !matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_)) {
            return Ok(Transformed::no(node));
        }
        let schema = merge_schema(&node.inputs());
        let preserver = NamePreserver::new(&node);
        let is_window = matches!(node, LogicalPlan::Window(_));
        let lowered = node.map_expressions(|expression| {
            let name = preserver.save(&expression);
            let lowered = expression.transform_up(|part| sum_for_average(part, &schema))?;
            Ok(if lowered.transformed { lowered.update_data(|expression| name.restore(expression)) } else { lowered })
        })?;
        match lowered.transformed && is_window {
            true => lowered.map_data(with_aliases),
            false => Ok(lowered),
        }
    })?;
    Ok(lowered.data)
}

/// Every function of a window under an alias. The optimiser takes keys out of all of them or of none, and where it names what it took
/// depends on the alias, so that those of one window would have different keys. A function that is there twice, as the sum beside the
/// average of one argument, is computed once: the optimiser would take it out of the window, where nothing computes it.
fn with_aliases(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Window(Window { input, window_expr, .. }) = node else { return Ok(node) };
    let mut outputs: Vec<Expr> = input.schema().iter().map(Expr::from).collect();
    let mut functions: Vec<Expr> = Vec::with_capacity(window_expr.len());
    for function in window_expr {
        let name = function.schema_name().to_string();
        let bare = function.unalias();
        match functions.iter().find(|known| matches!(known, Expr::Alias(known) if *known.expr == bare)) {
            Some(known) => outputs.push(Expr::Column(Column::from_name(known.schema_name().to_string())).alias(name)),
            None => {
                outputs.push(Expr::Column(Column::from_name(&name)));
                functions.push(bare.alias(name));
            }
        }
    }
    let has_repeated = outputs.iter().any(|output| matches!(output, Expr::Alias(_)));
    let window = LogicalPlan::Window(Window::try_new(functions, input)?);
    match has_repeated {
        true => Ok(LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(window))?)),
        false => Ok(window),
    }
}

fn sum_for_average(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expression {
        Expr::AggregateFunction(mut call) if call.func.name() == AVERAGED => {
            call.params.args = doubles(call.params.args, schema)?;
            call.func = sum_function();
            Ok(Transformed::yes(Expr::AggregateFunction(call)))
        }
        Expr::WindowFunction(mut call) if call.fun.name() == AVERAGED => {
            call.params.args = doubles(call.params.args, schema)?;
            call.fun = WindowFunctionDefinition::AggregateUDF(sum_function());
            Ok(Transformed::yes(Expr::WindowFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Reals as doubles, other values as they are.
fn doubles(arguments: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    let widened = arguments.into_iter().map(|argument| match argument.get_type(schema)? {
        DataType::Float32 => Ok(cast(argument, DataType::Float64)),
        _ => Ok(argument),
    });
    widened.collect()
}
