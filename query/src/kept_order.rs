//! What is computed of sorted rows keeps their order, and what changes from call to call is computed in it.
//!
//! A query's ORDER BY sorts what its select list computes. PostgreSQL computes volatile outputs after it, so that `SELECT nextval('s'), name
//! … ORDER BY name` numbers the names in their order; [`volatile_last`] puts them there.
//!
//! A statement that writes makes a projection of its query, `INSERT INTO t SELECT … ORDER BY x`. DataFusion spreads sorted rows over
//! several threads for a projection that nothing asks for an order, and rows, and the numbers of sequences with them, come in any.

use crate::bound_expressions::volatility;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Sort, Volatility};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Begins the names of columns that are carried along for what is computed after a sort.
const CARRIED: &str = "__carried_";

/// Moves outputs that are volatile, and not sorted by, from below a sort to above it.
pub(crate) fn volatile_last(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Sort(sort) => match sort.input.as_ref() {
            LogicalPlan::Projection(projection) => {
                let moved = computed_after(sort, projection)?;
                Ok(moved.map_or_else(|| Transformed::no(node), Transformed::yes))
            }
            _ => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    })
    .data()
}

/// `Sort(Projection)` as `Projection(Sort(Projection))`, if there is something to compute after the sort.
fn computed_after(sort: &Sort, projection: &Projection) -> Result<Option<LogicalPlan>> {
    let sorted_by: HashSet<&Column> = sort.expr.iter().flat_map(|key| key.expr.column_refs()).collect();
    let outputs: Vec<(Column, &Expr)> = projection.schema.columns().into_iter().zip(&projection.expr).collect();
    let is_late =
        |(output, value): &(Column, &Expr)| volatility(value) == Volatility::Volatile && !sorted_by.contains(output);
    if !outputs.iter().any(is_late) {
        return Ok(None);
    }
    let (late, early): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| is_late(output));
    let mut below: Vec<Expr> = early.iter().map(|(_, value)| (*value).clone()).collect();
    let mut carried: HashMap<Column, Column> = HashMap::new();
    for column in late.iter().flat_map(|(_, value)| value.column_refs()) {
        if !carried.contains_key(column) {
            let name = format!("{CARRIED}{}", carried.len());
            below.push(Expr::Column(column.clone()).alias(&name));
            carried.insert(column.clone(), Column::new_unqualified(name));
        }
    }
    let above = outputs.iter().map(|output| {
        let (column, value) = output;
        if !is_late(output) {
            return Ok(Expr::Column(column.clone()));
        }
        let value = (*value).clone().transform(|part| match &part {
            Expr::Column(known) if carried.contains_key(known) => {
                Ok(Transformed::yes(Expr::Column(carried[known].clone())))
            }
            _ => Ok(Transformed::no(part)),
        })?;
        match value.data {
            named @ Expr::Alias(_) => Ok(named),
            value => Ok(value.alias_qualified(column.relation.clone(), &column.name)),
        }
    });
    let above = above.collect::<Result<Vec<_>>>()?;
    let below = LogicalPlan::Projection(Projection::try_new(below, Arc::clone(&projection.input))?);
    let sorted = LogicalPlan::Sort(Sort { input: Arc::new(below), ..sort.clone() });
    Projection::try_new(above, Arc::new(sorted)).map(|moved| Some(LogicalPlan::Projection(moved)))
}

/// Computes the last projections of a plan in one stream where their rows are sorted.
#[derive(Debug)]
pub(crate) struct KeptOrder;

impl PhysicalOptimizerRule for KeptOrder {
    fn name(&self) -> &str {
        "kept_order"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        in_one_stream(plan)
    }
}

fn in_one_stream(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(spread) = plan.downcast_ref::<RepartitionExec>()
        && matches!(spread.partitioning(), Partitioning::RoundRobinBatch(_))
        && spread.input().output_partitioning().partition_count() == 1
        && spread.input().output_ordering().is_some()
    {
        return Ok(Arc::clone(spread.input()));
    }
    match plan.downcast_ref::<ProjectionExec>() {
        Some(projection) => {
            let input = in_one_stream(Arc::clone(projection.input()))?;
            replace_children_if_necessary(plan, vec![input])
        }
        None => Ok(plan),
    }
}
