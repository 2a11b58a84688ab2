//! Step plans: the plans by which views follow small changes, optimised once and run over other rows each time.
//!
//! A view that is read after each commit is brought up to date by the same few plans, over the rows that the commit changed. To optimise
//! such a plan takes longer than to run it. So it is kept, optimised, over *slots* in the place of rows:
//!
//! ```text
//!     plan over rows ──▶ plan over slots ──known?──▶ optimised plan over slots ──▶ over the rows ──▶ executable
//!                                          └─new──▶ optimise, keep ──────┘
//! ```
//!
//! What the optimiser makes of a plan depends on the plan, on whether its tables take filters, and on settings that are the same for all
//! but the time zone. It knows nothing of rows, so the same plan over slots is always optimised to the same one; how many rows there
//! are and where they lie is asked when the plan is made executable, each time. A slot holds no rows: what is kept here keeps no
//! snapshot alive.
//!
//! Most of these plans are *chains*: one scan, and above it projections, filters and groups. Few rows go through such a plan one operator
//! after the other; what DataFusion does to a plan that is executable already, for orders and for the sake of many threads, is left out. The
//! two halves that it makes of each aggregate, the second of which groups what the first has grouped, are put together again.

use crate::engine_error::translate;
use crate::error::QueryError;
use crate::planner::Planning;
use crate::planning_state::PlanningState;
use crate::scan::ScanTable;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::{MemTable, source_as_provider};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, LogicalPlan, Projection, SubqueryAlias, TableProviderFilterPushDown, TableSource,
};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::combine_partial_final_agg::CombinePartialFinalAggregate;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use moka::sync::Cache;
use std::sync::Arc;

/// How many optimised plans are kept.
const PLANS_MAX: u64 = 512;
/// How many time zones are prepared for.
const TIME_ZONES_MAX: u64 = 16;
/// Rows that a chain takes in one thread.
const CHAIN_ROWS_MAX: u64 = 32_768;

/// What an optimised plan depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    over_slots: LogicalPlan,
    slots: Vec<SlotKind>,
    time_zone: String,
}

/// An optimised plan over slots.
struct Optimised {
    plan: LogicalPlan,
    is_chain: bool,
}

/// Optimised plans; those that are seldom asked for go first.
pub(crate) struct StepPlans {
    plans: Cache<Question, Arc<Optimised>>,
    /// What chains are made executable with, by time zone.
    states: Cache<String, Arc<SessionState>>,
}

impl Default for StepPlans {
    fn default() -> Self {
        Self { plans: Cache::new(PLANS_MAX), states: Cache::new(TIME_ZONES_MAX) }
    }
}

impl StepPlans {
    /// A state by which plans run in one thread as they are.
    fn chain_state(&self, of: &PlanningState) -> Arc<SessionState> {
        self.states.get_with_by_ref(of.time_zone(), || Arc::new(in_one_thread(SessionState::clone(of))))
    }
}

/// The state, but that plans run in one thread as they are, aggregates in one step.
fn in_one_thread(mut state: SessionState) -> SessionState {
    state.config_mut().options_mut().execution.target_partitions = 1;
    let rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(CombinePartialFinalAggregate::new())];
    SessionStateBuilder::new_from_existing(state).with_physical_optimizer_rules(rules).build()
}

impl Planning {
    /// Makes a step of a view executable, which the session, the clock and random numbers have no part in.
    pub(crate) async fn step_plan(
        &self,
        plan: &LogicalPlan,
    ) -> std::result::Result<Arc<dyn ExecutionPlan>, QueryError> {
        let plan_error = |error| translate(error, None);
        let Some((over_slots, sources)) = emptied(plan).map_err(plan_error)? else {
            return self.physical_plan(plan, None).await;
        };
        let slots = sources.iter().filter_map(SlotKind::of).collect();
        let question = Question { over_slots, slots, time_zone: self.state.time_zone().to_string() };
        let known = &self.engine.step_plans.plans;
        let optimised = match known.get(&question) {
            Some(optimised) => optimised,
            None => {
                let plan = self.state.optimize(&question.over_slots).map_err(plan_error)?;
                let optimised = Arc::new(Optimised { is_chain: is_chain(&plan), plan });
                known.insert(question, Arc::clone(&optimised));
                optimised
            }
        };
        let filled = filled(&optimised.plan, &sources).map_err(plan_error)?;
        let are_few = || sources.iter().map(rows_of).fold(0, u64::saturating_add) <= CHAIN_ROWS_MAX;
        if optimised.is_chain
            && are_few()
            && let Some(chain) = self.chain(&filled).await.map_err(plan_error)?
        {
            return Ok(chain);
        }
        self.executable(filled).await.map_err(plan_error)
    }

    /// A chain as it is, if it is one in the end.
    async fn chain(&self, plan: &LogicalPlan) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let state = self.engine.step_plans.chain_state(&self.state);
        let chain = state.query_planner().create_physical_plan(plan, state.as_ref()).await?;
        Ok(runs_as_it_is(&chain).then_some(chain))
    }
}

/// Whether a plan takes the rows of one scan through operators that do not ask for an order.
fn is_chain(plan: &LogicalPlan) -> bool {
    let is_plain = |expression: &Expr| {
        let found = expression.exists(|part| {
            let is_ordered = matches!(part, Expr::AggregateFunction(call) if !call.params.order_by.is_empty());
            Ok(is_ordered || matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_)))
        });
        !found.expect("the walk itself does not fail")
    };
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(Projection { input, .. })
        | LogicalPlan::Filter(Filter { input, .. })
        | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. })
        | LogicalPlan::Aggregate(Aggregate { input, .. }) => plan.expressions().iter().all(is_plain) && is_chain(input),
        _ => false,
    }
}

/// Whether each operator of a plan has all rows in one stream, and wants them in no order.
fn runs_as_it_is(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let children = plan.children();
    plan.output_partitioning().partition_count() == 1
        && children.len() <= 1
        && plan.required_input_ordering().iter().all(Option::is_none)
        && children.into_iter().all(runs_as_it_is)
}

/// The rows of a scan, those that its filters leave out included.
fn rows_of(source: &Arc<dyn TableSource>) -> u64 {
    let Ok(provider) = source_as_provider(source) else { return u64::MAX };
    if let Some(table) = provider.downcast_ref::<ScanTable>() {
        return table.row_count();
    }
    let Some(table) = provider.downcast_ref::<MemTable>() else { return u64::MAX };
    let parts = table.batches.iter().map(|part| part.try_read());
    let rows = parts.map(|part| Some(part.ok()?.iter().map(|batch| batch.num_rows() as u64).sum::<u64>()));
    rows.sum::<Option<u64>>().unwrap_or(u64::MAX)
}

/// What takes the place of rows, as the optimiser sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SlotKind {
    /// Rows that filters may leave out.
    Stored,
    /// Rows in memory.
    Memory,
}

impl SlotKind {
    fn of(source: &Arc<dyn TableSource>) -> Option<Self> {
        let provider = source_as_provider(source).ok()?;
        if provider.downcast_ref::<ScanTable>().is_some() {
            return Some(Self::Stored);
        }
        provider.downcast_ref::<MemTable>().map(|_| Self::Memory)
    }
}

/// A place for the rows of one scan.
struct Slot {
    number: usize,
    kind: SlotKind,
    schema: SchemaRef,
}

impl TableSource for Slot {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let taken = match self.kind {
            SlotKind::Stored => TableProviderFilterPushDown::Inexact,
            SlotKind::Memory => TableProviderFilterPushDown::Unsupported,
        };
        Ok(vec![taken; filters.len()])
    }
}

/// A plan over slots, and what they are to be filled with.
type Emptied = (LogicalPlan, Vec<Arc<dyn TableSource>>);

/// The plan over slots, numbered as its scans come. `None` where other tables are read.
fn emptied(plan: &LogicalPlan) -> Result<Option<Emptied>> {
    let mut sources = Vec::new();
    let mut is_known = true;
    let emptied = plan.clone().transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(kind) = SlotKind::of(&scan.source) else {
            is_known = false;
            return Ok(Transformed::new(LogicalPlan::TableScan(scan), false, TreeNodeRecursion::Stop));
        };
        let slot = Slot { number: sources.len(), kind, schema: scan.source.schema() };
        sources.push(std::mem::replace(&mut scan.source, Arc::new(slot)));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(is_known.then_some((emptied.data, sources)))
}

/// The plan over what belongs into its slots.
fn filled(plan: &LogicalPlan, sources: &[Arc<dyn TableSource>]) -> Result<LogicalPlan> {
    let filled = plan.clone().transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(source) = scan.source.downcast_ref::<Slot>().and_then(|slot| sources.get(slot.number)) else {
            return internal_err!("a kept plan reads what it was not given");
        };
        scan.source = Arc::clone(source);
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(filled.data)
}

#[cfg(test)]
mod tests;
