//! A key of DISTINCT ON or of its order that is named a second time decides nothing, and is left out.
//!
//!     DISTINCT ON (a, a) … ORDER BY a, b, b DESC   ▶   DISTINCT ON (a) … ORDER BY a, b
//!
//! DataFusion leaves repeated keys out in one place and counts them in another. An output that is named like another input repeats
//! a key without its being seen: `SELECT DISTINCT ON (a) b AS a … ORDER BY a, b`.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, LogicalPlan};
use std::collections::HashSet;

/// Names each key once.
pub(crate) fn name_keys_once(plan: LogicalPlan) -> Result<LogicalPlan> {
    let named = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Distinct(Distinct::On(on)) => distinct_on(on),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(named.data)
}

fn distinct_on(on: DistinctOn) -> Result<Transformed<LogicalPlan>> {
    let keys = once(on.on_expr.clone(), |key| key);
    let sorts = on.sort_expr.clone().map(|sorts| once(sorts, |sort| &sort.expr));
    if keys.len() == on.on_expr.len() && sorts.as_ref().map(Vec::len) == on.sort_expr.as_ref().map(Vec::len) {
        return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::On(on))));
    }
    let on = DistinctOn::try_new(keys, on.select_expr, sorts, on.input)?;
    Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(on))))
}

/// The first of those with the same expression.
fn once<T>(mut keys: Vec<T>, expression: impl Fn(&T) -> &Expr) -> Vec<T> {
    let mut known = HashSet::new();
    keys.retain(|key| known.insert(expression(key).clone().unalias()));
    keys
}
