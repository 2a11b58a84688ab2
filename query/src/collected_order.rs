//! What aggregates collect of sorted rows comes in the order of those rows.
//!
//! `string_agg(x, ',')`, `array_agg`, `json_agg` and their like over `(SELECT … ORDER BY y) q` see the rows by y in PostgreSQL, and
//! `ARRAY(SELECT … ORDER BY y)` is such an aggregate here. DataFusion drops a sort that no operator above it asks for, so the aggregates
//! are made to ask:
//!
//! ```text
//!     string_agg(q.x)                     string_agg(q.x ORDER BY q.__ordered_0)
//!       q: Projection x            ─▶       q: Projection x, y AS __ordered_0
//!            Sort y                              Sort y
//! ```
//!
//! The sort is looked for below filters, limits, names and projections. What joins, groups or unites rows in between has no order to
//! keep. An aggregate that names an order of its own has it, and DISTINCT sorts by what it collects.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::logical_plan::{Aggregate, LogicalPlan, Projection, SubqueryAlias};
use datafusion::logical_expr::{Expr, SortExpr};
use std::sync::Arc;

/// Begins the names of columns that are carried along to be sorted by.
const CARRIED: &str = "__ordered_";

/// Gives the aggregates of a plan the order of their input. Correlated subqueries must be joins already; outputs keep their names.
pub(crate) fn collected_in_order(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(takes_order) => {
            match sorted_input(&aggregate.input)? {
                Some(input) => over_sorted(&aggregate, input).map(Transformed::yes),
                None => Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
            }
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// An aggregate that collects values, as `array_agg` does, sees the rows in this order, where it asks for no other.
pub(crate) fn in_order(expr: Expr, order: &[SortExpr]) -> Expr {
    match expr {
        Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
            if func.name().ends_with("_agg") && params.order_by.is_empty() && !params.distinct {
                params.order_by = order.to_vec();
            }
            Expr::AggregateFunction(AggregateFunction { func, params })
        }
        other => other,
    }
}

fn takes_order(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => takes_order(&alias.expr),
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            func.name().ends_with("_agg") && params.order_by.is_empty() && !params.distinct
        }
        _ => false,
    }
}

/// A plan whose rows are sorted, and by what: keys over the plan's own columns.
struct Sorted {
    plan: LogicalPlan,
    keys: Vec<SortExpr>,
}

impl Sorted {
    /// Keys whose columns are replaced.
    fn keys_by(&self, mut column: impl FnMut(Column) -> Result<Column>) -> Result<Vec<SortExpr>> {
        let replaced = self.keys.iter().map(|key| {
            let expr = key.expr.clone().transform(|part| match part {
                Expr::Column(known) => Ok(Transformed::yes(Expr::Column(column(known)?))),
                other => Ok(Transformed::no(other)),
            })?;
            Ok(key.with_expr(expr.data))
        });
        replaced.collect()
    }
}

fn over_sorted(aggregate: &Aggregate, input: Sorted) -> Result<LogicalPlan> {
    let ordered = aggregate.aggr_expr.iter().map(|expr| match expr {
        Expr::Alias(alias) => in_order(expr.clone().unalias(), &input.keys).alias(&alias.name),
        _ if takes_order(expr) => in_order(expr.clone(), &input.keys).alias(expr.schema_name().to_string()),
        _ => expr.clone(),
    });
    let ordered: Vec<Expr> = ordered.collect();
    let groups = aggregate.group_expr.clone();
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input.plan), groups, ordered)?))
}

/// A plan with the keys by which its rows come sorted among its columns; `None` where they come in no order that is known here.
fn sorted_input(plan: &LogicalPlan) -> Result<Option<Sorted>> {
    match plan {
        LogicalPlan::Sort(sort) => Ok(Some(Sorted { plan: plan.clone(), keys: sort.expr.clone() })),
        LogicalPlan::Filter(_) | LogicalPlan::Limit(_) => {
            let [input] = plan.inputs()[..] else { return Ok(None) };
            let Some(sorted) = sorted_input(input)? else { return Ok(None) };
            let plan = plan.with_new_exprs(plan.expressions(), vec![sorted.plan])?;
            Ok(Some(Sorted { plan, keys: sorted.keys }))
        }
        LogicalPlan::SubqueryAlias(alias) => sorted_input(&alias.input)?.map(|sorted| named(alias, sorted)).transpose(),
        LogicalPlan::Projection(projection) => {
            sorted_input(&projection.input)?.map(|sorted| projected(projection, sorted)).transpose()
        }
        _ => Ok(None),
    }
}

fn named(alias: &SubqueryAlias, sorted: Sorted) -> Result<Sorted> {
    let plan = SubqueryAlias::try_new(Arc::new(sorted.plan.clone()), alias.alias.clone())?;
    let keys = sorted.keys_by(|column| {
        let position = sorted.plan.schema().index_of_column(&column)?;
        Ok(Column::from(plan.schema.qualified_field(position)))
    })?;
    Ok(Sorted { plan: LogicalPlan::SubqueryAlias(plan), keys })
}

/// A projection, which also carries the columns of the keys that it has not.
fn projected(projection: &Projection, sorted: Sorted) -> Result<Sorted> {
    let outputs = projection.schema.columns();
    let mut exprs = projection.expr.clone();
    let keys = sorted.keys_by(|column| {
        let is_it = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Column(known) if known == column);
        if let Some(position) = exprs.iter().position(is_it) {
            let carried = || Column::new_unqualified(carried_name(position - outputs.len()));
            return Ok(outputs.get(position).cloned().unwrap_or_else(carried));
        }
        let name = carried_name(exprs.len() - outputs.len());
        exprs.push(Expr::Column(column).alias(&name));
        Ok(Column::new_unqualified(name))
    })?;
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(sorted.plan))?);
    Ok(Sorted { plan, keys })
}

fn carried_name(number: usize) -> String {
    format!("{CARRIED}{number}")
}
