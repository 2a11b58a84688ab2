//! What is computed of sorted rows keeps their order.
//!
//! A statement that writes makes a projection of its query, `INSERT INTO t SELECT … ORDER BY x`. DataFusion spreads sorted rows over
//! several threads for a projection that nothing asks for an order, and rows, and the numbers of sequences with them, come in any.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use std::sync::Arc;

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
