//! Unique rows: whether a plan says by itself that no two of its rows are alike in some columns.
//!
//!     Projection: region, n + 1      {region} below
//!       Aggregate: by region         unique, as all keys are among the columns
//!
//! What it says holds whatever the tables hold. `false` means that nothing is known.

use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use std::collections::BTreeSet;

/// Whether the columns at some places tell all rows apart.
pub(crate) fn are_unique(plan: &LogicalPlan, columns: &BTreeSet<usize>) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            let schema = projection.input.schema();
            let shown = columns.iter().filter_map(|place| match projection.expr[*place].clone().unalias() {
                Expr::Column(column) => schema.maybe_index_of_column(&column),
                _ => None,
            });
            are_unique(&projection.input, &shown.collect())
        }
        LogicalPlan::Filter(filter) => are_unique(&filter.input, columns),
        LogicalPlan::Sort(sort) => are_unique(&sort.input, columns),
        LogicalPlan::Limit(limit) => are_unique(&limit.input, columns),
        LogicalPlan::SubqueryAlias(alias) => are_unique(&alias.input, columns),
        LogicalPlan::Window(window) => {
            let below = window.input.schema().fields().len();
            are_unique(&window.input, &columns.range(..below).copied().collect())
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            columns.len() == input.schema().fields().len() || are_unique(input, columns)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let keys = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            let of_sets = aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_)));
            !of_sets && (0..keys).all(|key| columns.contains(&key))
        }
        _ => false,
    }
}
