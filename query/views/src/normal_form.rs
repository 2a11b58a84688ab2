//! Normal form: the plan of a definition as cores are looked for in it. Nothing here depends on data.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use std::sync::Arc;

/// `SELECT DISTINCT` is grouping by all output columns.
pub(crate) fn distinct_to_aggregate(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up(|node| {
        let LogicalPlan::Distinct(Distinct::All(input)) = &node else { return Ok(Transformed::no(node)) };
        let keys: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let aggregate = Aggregate::try_new(Arc::clone(input), keys, Vec::new())?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    })?;
    Ok(rewritten.data)
}

/// The plan with EXISTS and IN of its filters as semi and anti joins; `None` where it has none that can be written so.
pub(crate) fn decorrelated(plan: &LogicalPlan) -> Option<LogicalPlan> {
    if !has_predicate_subquery(plan) {
        return None;
    }
    let optimizer = Optimizer::with_rules(vec![Arc::new(DecorrelatePredicateSubquery::new())]);
    let context = OptimizerContext::new().with_max_passes(1);
    let joined = optimizer.optimize(plan.clone(), &context, |_, _| {}).ok()?;
    (joined != *plan).then_some(joined)
}

fn has_predicate_subquery(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply(|node| {
        let LogicalPlan::Filter(filter) = node else { return Ok(TreeNodeRecursion::Continue) };
        found |= filter.predicate.exists(|part| Ok(matches!(part, Expr::Exists(_) | Expr::InSubquery(_))))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.expect("the walk itself does not fail");
    found
}
