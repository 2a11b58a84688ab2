//! Top groups by a double are computed from all groups.
//!
//! DataFusion keeps the first groups alone where a query wants no more, `GROUP BY x ORDER BY x LIMIT 3`, and compares their keys and
//! extrema as the processor compares doubles, to which a NaN is no value of its own: such groups are found twice, or panic.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use std::sync::Arc;

/// DataFusion's rule that limits aggregations.
pub(crate) const LIMITING: &str = "LimitAggregation";

/// That rule, but for doubles.
#[derive(Debug)]
pub(crate) struct FloatLimits {
    pub(crate) rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl PhysicalOptimizerRule for FloatLimits {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let limited = self.rule.optimize(plan, config)?;
        let whole = limited.transform_down(|node| {
            Ok(match node.downcast_ref::<AggregateExec>() {
                Some(aggregate) if aggregate.limit_options().is_some() && is_of_doubles(aggregate)? => {
                    Transformed::yes(Arc::new(aggregate.with_new_limit_options(None)) as Arc<dyn ExecutionPlan>)
                }
                _ => Transformed::no(node),
            })
        });
        whole.map(|whole| whole.data)
    }
}

/// Whether groups are told apart, or ranked, by a double.
fn is_of_doubles(aggregate: &AggregateExec) -> Result<bool> {
    let is_double = |data_type: &DataType| data_type.is_floating();
    let input = aggregate.input().schema();
    for (key, _) in aggregate.group_expr().expr() {
        if is_double(&key.data_type(&input)?) {
            return Ok(true);
        }
    }
    Ok(aggregate.get_minmax_desc().is_some_and(|(field, _)| is_double(field.data_type())))
}
