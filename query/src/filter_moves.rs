//! When filters move down a physical plan.
//!
//! DataFusion finds their columns by name, which need not tell those of a join's sides apart: above `b RIGHT JOIN a` with
//! an `id` on both sides, `b.id IS NULL` may become a filter of `a`. Where that may be, filters stay where the logical plan
//! has them.

use crate::float_limits::{FloatLimits, LIMITING};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use std::collections::HashSet;
use std::sync::Arc;

/// DataFusion's physical rules, with [`FilterMoves`] in the place of those that move filters and [`FloatLimits`] in that of the one
/// that limits aggregations.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let moves = [FilterPushdown::new(), FilterPushdown::new_post_optimization()];
    let moves = moves.map(|rule| rule.name().to_string());
    let rules = PhysicalOptimizer::new().rules.into_iter();
    let own = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
        match rule.name() {
            LIMITING => Arc::new(FloatLimits { rule }),
            name if moves.iter().any(|moving| moving == name) => Arc::new(FilterMoves { rule }),
            _ => rule,
        }
    };
    rules.map(own).collect()
}

/// A rule that moves filters, for plans in which names tell columns apart.
#[derive(Debug)]
struct FilterMoves {
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl PhysicalOptimizerRule for FilterMoves {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if is_at_risk(&plan, false) { Ok(plan) } else { self.rule.optimize(plan, config) }
    }
}

/// Whether a filter from above may be taken for one of another column. `below`: there may be such a filter.
fn is_at_risk(node: &Arc<dyn ExecutionPlan>, below: bool) -> bool {
    let children = node.children();
    // A projection looks for a filter's columns among its own, other nodes among those of what is below.
    let looked_at: Vec<SchemaRef> = match node.is::<ProjectionExec>() {
        true => vec![node.schema()],
        false => children.iter().map(|child| child.schema()).collect(),
    };
    if below && looked_at.iter().any(names_repeat) {
        return true;
    }
    let sends = node.is::<FilterExec>() || node.is::<AggregateExec>() || node.fetch().is_some() || children.len() > 1;
    children.into_iter().any(|child| is_at_risk(child, below || sends))
}

fn names_repeat(schema: &SchemaRef) -> bool {
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name()))
}
