//! Rows that a set-returning function makes several of are no longer unique.
//!
//!     SELECT d, generate_series(1, 2) AS x FROM t GROUP BY d ORDER BY d, x DESC
//!
//! DataFusion takes what groups a query's input for unique behind the function too, and so sorts by `d` alone and leaves DISTINCT out.
//! Below the function such a key becomes a value of which nothing is known.

use crate::functions::plain::its_value;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use std::collections::HashSet;
use std::sync::Arc;

/// Lets a plan forget below each set-returning function of a select list which columns are unique. Below an aggregate they stay known:
/// its keys were completed by what they determine, and are cut again by that.
pub(crate) fn forget_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan.exists(|node| Ok(!keys_below(node).is_empty()))? {
        true => forgotten(plan),
        false => Ok(plan),
    }
}

fn forgotten(node: LogicalPlan) -> Result<LogicalPlan> {
    if matches!(node, LogicalPlan::Aggregate(_)) {
        return Ok(node);
    }
    let node = node.map_children(|input| forgotten(input).map(Transformed::yes))?.data;
    let keys = keys_below(&node);
    let LogicalPlan::Unnest(unnest) = &node else {
        // Schemas above say what is unique too.
        return node.recompute_schema();
    };
    let columns = unnest.input.schema().iter().enumerate().map(|(place, (qualifier, field))| {
        let column = Expr::from((qualifier, field));
        match keys.contains(&place) {
            true => its_value(column).alias_qualified(qualifier.cloned(), field.name()),
            false => column,
        }
    });
    let input = Projection::try_new(columns.collect(), Arc::clone(&unnest.input))?;
    node.with_new_exprs(node.expressions(), vec![LogicalPlan::Projection(input)])
}

/// The columns of a set-returning function's input that are unique there, alone or together.
fn keys_below(node: &LogicalPlan) -> HashSet<usize> {
    let LogicalPlan::Unnest(unnest) = node else { return HashSet::new() };
    let known = unnest.input.schema().functional_dependencies().iter();
    known.flat_map(|known| known.source_indices.iter().copied()).collect()
}
