//! Plans over slots, without an optimiser.

use super::{emptied, filled, in_one_thread, is_chain, runs_as_it_is};
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, TableSource, col, lit};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use futures::executor::block_on;
use std::sync::Arc;

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]))
}

fn rows(values: &[i64]) -> Arc<dyn TableSource> {
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap();
    provider_as_source(Arc::new(MemTable::try_new(schema(), vec![vec![batch]]).unwrap()))
}

/// The rows of both that are greater than a number.
fn plan(first: &Arc<dyn TableSource>, second: &Arc<dyn TableSource>, least: i64) -> LogicalPlan {
    let scan = |source: &Arc<dyn TableSource>| LogicalPlanBuilder::scan("state", Arc::clone(source), None).unwrap();
    let both = scan(first).union(scan(second).build().unwrap()).unwrap();
    both.filter(col("k").gt(lit(least))).unwrap().build().unwrap()
}

fn sources_of(plan: &LogicalPlan) -> Vec<Arc<dyn TableSource>> {
    let mut sources = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            sources.push(Arc::clone(&scan.source));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    sources
}

#[test]
fn a_plan_over_other_rows_is_the_same_over_slots() {
    let [one, two, three] = [rows(&[1]), rows(&[2]), rows(&[3, 3])];
    let (first, _) = emptied(&plan(&one, &two, 0)).unwrap().unwrap();
    let (again, sources) = emptied(&plan(&three, &one, 0)).unwrap().unwrap();
    assert!(first == again, "only its rows are others");
    let is_given = |source: &Arc<dyn TableSource>| [&one, &two, &three].iter().any(|rows| Arc::ptr_eq(rows, source));
    assert!(!sources_of(&first).iter().any(is_given), "a plan over slots holds no rows");
    let found = sources_of(&filled(&first, &sources).unwrap());
    assert!(Arc::ptr_eq(&found[0], &three) && Arc::ptr_eq(&found[1], &one) && found.len() == 2);
    let (other, _) = emptied(&plan(&one, &two, 1)).unwrap().unwrap();
    assert!(first != other, "another condition is another plan");
}

#[test]
fn a_table_that_plans_itself_is_no_slot() {
    let opaque: Arc<dyn TableSource> = Arc::new(LogicalTableSource::new(schema()));
    assert!(emptied(&plan(&rows(&[1]), &opaque, 0)).unwrap().is_none());
    let (over_slots, _) = emptied(&plan(&rows(&[1]), &rows(&[2]), 0)).unwrap().unwrap();
    assert!(filled(&over_slots, &[rows(&[1])]).is_err(), "a slot that nothing is given for");
}

#[test]
fn a_chain_groups_its_rows_once() {
    let context = SessionContext::new();
    let grouped = LogicalPlanBuilder::scan("state", rows(&[1, 2, 2]), None).unwrap();
    let grouped = grouped.aggregate(vec![col("k")], vec![sum(col("k"))]).unwrap().build().unwrap();
    assert!(is_chain(&grouped));
    let state = in_one_thread(context.state());
    let made = block_on(state.query_planner().create_physical_plan(&grouped, &state)).unwrap();
    assert!(runs_as_it_is(&made));
    let aggregate = made.downcast_ref::<AggregateExec>().expect("nothing stands above the groups");
    assert_eq!(*aggregate.mode(), AggregateMode::Single);
    let found = block_on(collect(Arc::clone(&made), context.task_ctx())).unwrap();
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}
