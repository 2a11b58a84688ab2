//! When filters and projections move down a physical plan.
//!
//! DataFusion finds their columns by name, which need not tell those of a join's sides apart: above `b RIGHT JOIN a` with
//! an `id` on both sides, `b.id IS NULL` may become a filter of `a`. Where that may be, filters stay where the logical plan
//! has them.
//!
//! And it moves what a projection computes below filters and sorts where that narrows their rows. Then `a / b` is computed of rows that
//! `b <> 0` leaves out, and a sequence gives its numbers before the rows are in order. Where a projection computes something, it stays
//! above what chooses or orders rows.

use crate::float_limits::{FloatLimits, LIMITING};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, remove_unnecessary_projections, try_embed_projection};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use std::collections::HashSet;
use std::sync::Arc;

/// DataFusion's physical rules, with [`FilterMoves`] in the place of those that move filters, [`ProjectionMoves`] of those that move
/// projections and [`FloatLimits`] of the one that limits aggregations.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let moves = [FilterPushdown::new(), FilterPushdown::new_post_optimization()];
    let moves = moves.map(|rule| rule.name().to_string());
    let rules = PhysicalOptimizer::new().rules.into_iter();
    let own = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
        match rule.name() {
            LIMITING => Arc::new(FloatLimits { rule }),
            "ProjectionPushdown" => Arc::new(ProjectionMoves),
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

/// Moves projections down as DataFusion does, one by one, but for those that compute something above what chooses or orders rows.
#[derive(Debug)]
struct ProjectionMoves;

impl PhysicalOptimizerRule for ProjectionMoves {
    fn name(&self) -> &str {
        "projection_moves"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(moved_down).data()
    }
}

fn moved_down(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(plan)) };
    let computes = projection.expr().iter().any(|output| !output.expr.is::<Column>());
    let input = projection.input();
    let orders = input.is::<SortExec>() || input.is::<SortPreservingMergeExec>();
    match input.downcast_ref::<FilterExec>() {
        // The filter passes on only the columns that are computed with.
        Some(filter) if computes => {
            let narrowed =
                try_embed_projection(projection, filter)?.filter(|narrowed| narrowed.schema() == plan.schema());
            Ok(narrowed.map_or_else(|| Transformed::no(plan), Transformed::yes))
        }
        _ if computes && (orders || input.fetch().is_some()) => Ok(Transformed::no(plan)),
        _ => remove_unnecessary_projections(plan),
    }
}
