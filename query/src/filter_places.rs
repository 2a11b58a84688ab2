//! Which filters stay above an aggregate.
//!
//! DataFusion moves a filter below an aggregate where it names nothing but groups. A filter that names no column at all
//! is such a one too, but below an aggregate that has a row for no rows, as `SELECT count(*) … HAVING random() < 0`, it
//! would change that row and not take it away.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The name of DataFusion's rule of which this one takes the place.
pub(crate) const REPLACED: &str = "push_down_filter";

/// DataFusion's rule, but for filters that have to stay.
#[derive(Debug)]
pub(crate) struct FilterPlaces {
    rule: PushDownFilter,
}

impl FilterPlaces {
    pub(crate) fn new() -> Self {
        Self { rule: PushDownFilter::new() }
    }
}

impl OptimizerRule for FilterPlaces {
    fn name(&self) -> &str {
        "filter_places"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if stays(&plan, false) { Ok(Transformed::no(plan)) } else { self.rule.rewrite(plan, config) }
    }
}

/// Whether filters, one of which names no column, stand on an aggregate that has a row for no rows.
fn stays(plan: &LogicalPlan, above: bool) -> bool {
    match plan {
        LogicalPlan::Filter(filter) => {
            let own = split_conjunction(&filter.predicate).into_iter().any(|conjunct| !conjunct.any_column_refs());
            stays(&filter.input, above || own)
        }
        LogicalPlan::Aggregate(aggregate) => above && has_total(aggregate),
        _ => false,
    }
}

fn has_total(aggregate: &Aggregate) -> bool {
    let is_total = |group: &Expr| match group {
        Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_)) => true,
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.iter().any(Vec::is_empty),
        _ => false,
    };
    aggregate.group_expr.is_empty() || aggregate.group_expr.iter().any(is_total)
}
