//! Kept states: the merged states of views that are read, in memory.
//!
//! A kept state is a view's state at a commit of its own, one row a group. To read the view at a later snapshot it is advanced by
//! what changed since, step by step, so that each step reads rows that are there instead of planning over the plans before it:
//!
//!     runs ─merge─▶ kept(at S₀) ──┬─ rows of changed groups, added ──▶ which groups lost a bound? ──┐
//!                                 ├─ rows of pairs, added ──▶ which groups turned? ─────────────────┤
//!                                 └─ or: which groups are touched? ─────────────────────────────────┴▶ those anew ─▶ kept(at S₁)
//!
//! Who reads few groups, by a condition on their keys, has these alone advanced: by the same steps, whose plans are known, over the changed
//! rows that may have a part in them, of which the groups that meet the condition go on; or by steps of their own. What comes of it is not
//! kept.
//!
//! What a kept state says depends on its view's definition, its commit and nothing else, and the tables' changes say whether it
//! is still so: a state whose inputs' changes do not reach back to its commit is not used. States that contain what an open
//! transaction did are not kept. Least used ones go when there are too many; a state too large for memory is read from its runs.

use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::key_sets::{KeySet, Split, one_a_group};
use crate::memory::cache_bytes;
use crate::planner::Planning;
use crate::scan::external;
use crate::view_folding::{computed, computed_once};
use crate::view_reading::{Pending, whole_inputs};
use arrow::array::{Array, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::definition::TableDefinition;
use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::{TableVersion, ViewVersion};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableSource, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{ExecutionPlan, collect};
use moka::sync::Cache;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use views::{Advance, Inputs, ViewProgram};

/// The memory for kept states.
const KEPT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Batches that a state may have beyond those that its rows fill.
const SPARE_BATCHES_MAX: usize = 32;
const BATCH_ROWS: usize = 8192;
/// Changed rows that may have a part in few groups up to which these go the steps of all groups: the plans of those are known, and to plan
/// steps for the conditions alone takes longer than to group so many rows.
const STEPPED_CHANGES_MAX: u64 = 65_536;
/// Groups that are advanced without the others.
const FEW_GROUPS_MAX: usize = 4096;
/// Values of a state that is kept, keys and partial aggregates together.
const KEPT_VALUES_MAX: u64 = 8 * 1024 * 1024;

/// A view's merged state at a commit.
#[derive(Clone)]
pub(crate) struct KeptState {
    /// The hidden table that it is the content of, as the view then had it.
    of: Arc<TableDefinition>,
    view_version: u32,
    pub at: CommitSeq,
    pub rows: Arc<[RecordBatch]>,
}

impl KeptState {
    pub(crate) fn schema(&self) -> SchemaRef {
        self.of.schema()
    }

    /// The memory that its rows hold, of which batches share parts.
    fn bytes(&self) -> usize {
        let mut counted = HashSet::new();
        let arrays = self.rows.iter().flat_map(RecordBatch::columns).map(|array| array.to_data());
        let buffers = arrays.flat_map(|data| data.buffers().to_vec());
        buffers.filter(|buffer| counted.insert(buffer.data_ptr())).map(|buffer| buffer.capacity()).sum()
    }

    fn is_of(&self, view: &ViewVersion) -> bool {
        let state = view.state.as_ref().filter(|_| view.frontier.is_some());
        self.view_version == view.definition.version && state.is_some_and(|state| state.definition == self.of)
    }
}

/// The kept states, the newest of each view.
pub(crate) struct KeptStates {
    states: Cache<ObjectId, Arc<KeptState>>,
    /// One computes the next state of a view; who needs the same waits for it.
    turns: Mutex<HashMap<ObjectId, Arc<tokio::sync::Mutex<()>>>>,
}

impl KeptStates {
    /// No states yet, in a process that may use `memory_bytes`.
    pub(crate) fn new(memory_bytes: usize) -> Self {
        let bytes_max = cache_bytes(memory_bytes, KEPT_BYTES_MAX);
        let kibibytes = |_: &ObjectId, kept: &Arc<KeptState>| (kept.bytes() / 1024 + 1) as u32;
        let states = Cache::builder().max_capacity(bytes_max / 1024).weigher(kibibytes).build();
        Self { states, turns: Mutex::default() }
    }
}

/// Whether a view's state is small enough to be kept, whatever `pending` changed rows add to it.
pub(crate) fn is_keepable(state: &TableVersion, pending: u64) -> bool {
    (state.rows_live() + pending) * state.definition.columns.len() as u64 <= KEPT_VALUES_MAX
}

impl KeptStates {
    /// The newest kept state that a reader of the planning's snapshot can start from.
    pub(crate) fn start(&self, planning: &Planning, view: &ViewVersion) -> Option<Arc<KeptState>> {
        let kept = self.states.get(&view.definition.id)?;
        // What an open transaction did bears the number that comes next, which another's commit may have taken.
        let newest = planning.snapshot.seq;
        let is_before = if planning.is_committed() { kept.at <= newest } else { kept.at < newest };
        (kept.is_of(view) && is_before).then_some(kept)
    }

    /// Forgets the states of views that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(ObjectId) -> bool) {
        for (id, _) in &self.states {
            if !exists(*id) {
                self.states.invalidate(id.as_ref());
            }
        }
        self.turns.lock().retain(|id, _| exists(*id));
    }

    /// The state at the planning's snapshot, beginning from `start` or from the runs. The changes since must reach back to there.
    pub(crate) async fn caught_up(
        &self,
        planning: &Planning,
        view: &ViewVersion,
        program: &ViewProgram,
        start: Option<Arc<KeptState>>,
    ) -> std::result::Result<Arc<KeptState>, QueryError> {
        if let Some(kept) = self.current(planning, view, program) {
            return Ok(kept);
        }
        let turn =
            planning.is_committed().then(|| Arc::clone(self.turns.lock().entry(view.definition.id).or_default()));
        let _turn = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        if let Some(kept) = self.current(planning, view, program) {
            return Ok(kept);
        }
        let newer = self.start(planning, view);
        let newer = newer.filter(|kept| Pending::since(planning, program, kept.at).is_some());
        let rows = match newer.or(start) {
            Some(kept) => advanced_from(planning, view, program, &kept).await,
            None => from_runs(planning, view, program).await,
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(view = %view.definition.name, %error, "a view's state is computed anew");
                anew(planning, view, program).await?
            }
        };
        self.keep(planning, view, rows)
    }

    /// The rows of the groups that meet `conditions` over their keys, at the planning's snapshot. `None` where these groups alone cannot
    /// be told, or all of them may as well.
    pub(crate) async fn few(
        &self,
        planning: &Planning,
        view: &ViewVersion,
        program: &ViewProgram,
        start: Option<Arc<KeptState>>,
        conditions: &[Expr],
    ) -> std::result::Result<Option<Vec<RecordBatch>>, QueryError> {
        let plan_error = |error| translate(error, None);
        if !program.tells_groups(conditions) {
            return Ok(None);
        }
        if let Some(kept) = self.current(planning, view, program) {
            let condition = Condition::new(planning, conditions, &kept.schema()).map_err(plan_error)?;
            return condition.meeting(&kept.rows).map(Some).map_err(plan_error);
        }
        let Some(kept) = self.start(planning, view).or(start) else { return Ok(None) };
        let Some(pending) = Pending::since(planning, program, kept.at).filter(|pending| !pending.emptied) else {
            return Ok(None);
        };
        let condition = Condition::new(planning, conditions, &kept.schema()).map_err(plan_error)?;
        let known = condition.meeting(&kept.rows).map_err(plan_error)?;
        if known.iter().map(RecordBatch::num_rows).sum::<usize>() > FEW_GROUPS_MAX {
            return Ok(None);
        }
        let meeting = program.input_conditions(conditions);
        let meeting = meeting.and_then(|conditions| pending.inputs_meeting(planning, &conditions));
        let (inputs, rows) = meeting.map_err(plan_error)?;
        if rows <= STEPPED_CHANGES_MAX {
            let among_all = of_all_steps(planning, program, &kept.of, known.clone(), &inputs, &condition).await;
            match among_all {
                Ok(Some(few)) => return Ok(Some(few)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(view = %view.definition.name, %error, "what changed in other groups is left out");
                }
            }
        }
        let Some(few) = program.of_groups(conditions).map_err(plan_error)? else { return Ok(None) };
        few_advanced(planning, &few, &kept.of, known, &inputs).await.map(Some)
    }

    /// A kept state since which nothing changed.
    fn current(&self, planning: &Planning, view: &ViewVersion, program: &ViewProgram) -> Option<Arc<KeptState>> {
        let kept = self.start(planning, view)?;
        let pending = Pending::since(planning, program, kept.at)?;
        (pending.rows() == 0 && !pending.emptied).then_some(kept)
    }

    fn keep(
        &self,
        planning: &Planning,
        view: &ViewVersion,
        rows: Vec<RecordBatch>,
    ) -> std::result::Result<Arc<KeptState>, QueryError> {
        let of = &view.state.as_ref().expect("a state that was read is there").definition;
        let rows = compact(&of.schema(), rows).map_err(|error| translate(error, None))?;
        let kept = Arc::new(KeptState {
            of: Arc::clone(of),
            view_version: view.definition.version,
            at: planning.snapshot.seq,
            rows: rows.into(),
        });
        let id = view.definition.id;
        if planning.is_committed() && self.states.get(&id).is_none_or(|known| !known.is_of(view) || known.at <= kept.at)
        {
            self.states.insert(id, Arc::clone(&kept));
        }
        Ok(kept)
    }

    /// The rows that `before` and `now` have of the groups that differ between them, and maybe of others. `None` where the groups
    /// cannot be told from what changed.
    pub(crate) async fn apart(
        planning: &Planning,
        view: &ViewVersion,
        program: &ViewProgram,
        [before, now]: [&KeptState; 2],
    ) -> std::result::Result<Option<[Vec<RecordBatch>; 2]>, QueryError> {
        if !before.is_of(view) || before.of != now.of {
            return Ok(None);
        }
        let pending = Pending::since(planning, program, before.at).filter(|pending| !pending.emptied);
        let Some(pending) = pending else { return Ok(None) };
        let plan_error = |error| translate(error, None);
        let schema = before.of.schema();
        let groups = match program.advance(&pending.inputs(planning)).map_err(plan_error)? {
            Advance::Unchanged => return Ok(Some([Vec::new(), Vec::new()])),
            Advance::Whole(_) => return Ok(None),
            // Rows that only lost a bound are among those that went.
            Advance::Added { rows, .. } | Advance::Paired { rows, .. } => computed(planning, &rows, &before.of).await?,
            Advance::Touched(rows) => {
                collected(planning, &program.touched_groups_plan(rows).map_err(plan_error)?).await?.1
            }
        };
        let keys = KeySet::of(&groups, &schema, program.state_keys()).map_err(plan_error)?;
        let among = |rows: Vec<RecordBatch>| keys.split(rows).map(|split| split.among).map_err(plan_error);
        Ok(Some([among(unshared(before, now))?, among(unshared(now, before))?]))
    }

    /// Takes part in a fold of the planning's snapshot: `rows` were added to the runs, which had followed the inputs up to `from`.
    /// What is kept of the view must follow now, for what changed until here is soon forgotten.
    pub(crate) async fn follow(
        &self,
        planning: &Planning,
        view: &ViewVersion,
        program: &ViewProgram,
        (from, rows): (CommitSeq, &[RecordBatch]),
    ) {
        let Some(kept) = self.start(planning, view) else { return };
        if let Err(error) = self.next(planning, view, program, (from, rows), kept).await {
            tracing::debug!(view = %view.definition.name, %error, "a view's state is no longer kept in memory");
            self.states.invalidate(&view.definition.id);
        }
    }

    async fn next(
        &self,
        planning: &Planning,
        view: &ViewVersion,
        program: &ViewProgram,
        (from, rows): (CommitSeq, &[RecordBatch]),
        kept: Arc<KeptState>,
    ) -> std::result::Result<(), QueryError> {
        let state = &kept.of;
        // Both go back from the same snapshot, so as many rows are the same rows.
        let changed = |at: CommitSeq| {
            let pending = Pending::since(planning, program, at).filter(|pending| !pending.emptied);
            pending.map(|pending| pending.rows())
        };
        let next = match (changed(kept.at), changed(from)) {
            (Some(0), _) => kept.rows.to_vec(),
            (Some(since_kept), Some(since_from)) if since_kept == since_from => {
                let (others, changed) = added(planning, program, state, kept.rows.to_vec(), rows).await?;
                [others, changed].concat()
            }
            _ => return self.caught_up(planning, view, program, Some(kept)).await.map(drop),
        };
        self.keep(planning, view, next).map(drop)
    }
}

/// The state from the rows that the view's query reads. What changed may hold rows on which an expression fails, and that are gone
/// again; then this is what decides.
async fn anew(
    planning: &Planning,
    view: &ViewVersion,
    program: &ViewProgram,
) -> std::result::Result<Vec<RecordBatch>, QueryError> {
    let (inputs, _) = whole_inputs(planning, view, program).ok_or_else(out_of_reach)?;
    let definition = &view.state.as_ref().ok_or_else(out_of_reach)?.definition;
    let plan = program.state_plan(None, &inputs).map_err(|error| translate(error, None))?;
    computed(planning, &plan, definition).await
}

/// The state from its runs and all that changed since its frontier.
async fn from_runs(
    planning: &Planning,
    view: &ViewVersion,
    program: &ViewProgram,
) -> std::result::Result<Vec<RecordBatch>, QueryError> {
    let pending = Pending::of(planning, view, program).ok_or_else(out_of_reach)?;
    let definition = &view.state.as_ref().ok_or_else(out_of_reach)?.definition;
    let Some(runs) = pending.state_rows(view) else {
        return whole(planning, program, definition, &pending).await;
    };
    let plan =
        program.merged_plan(vec![planning.rows_source("state", runs)]).map_err(|error| translate(error, None))?;
    let known = computed(planning, &plan, definition).await?;
    advanced(planning, program, definition, known, &pending.inputs(planning)).await
}

async fn advanced_from(
    planning: &Planning,
    view: &ViewVersion,
    program: &ViewProgram,
    kept: &KeptState,
) -> std::result::Result<Vec<RecordBatch>, QueryError> {
    match Pending::since(planning, program, kept.at) {
        Some(pending) if pending.emptied => whole(planning, program, &kept.of, &pending).await,
        Some(pending) => advanced(planning, program, &kept.of, kept.rows.to_vec(), &pending.inputs(planning)).await,
        None => from_runs(planning, view, program).await,
    }
}

fn out_of_reach() -> QueryError {
    QueryError::new(crate::error::ErrorKind::Internal, "the changes behind a view's state do not lead to it")
}

async fn whole(
    planning: &Planning,
    program: &ViewProgram,
    definition: &Arc<TableDefinition>,
    pending: &Pending<'_>,
) -> std::result::Result<Vec<RecordBatch>, QueryError> {
    let plan = program.state_plan(None, &pending.inputs(planning)).map_err(|error| translate(error, None))?;
    computed(planning, &plan, definition).await
}

/// The state after what changed in its inputs.
async fn advanced(
    planning: &Planning,
    program: &ViewProgram,
    definition: &Arc<TableDefinition>,
    known: Vec<RecordBatch>,
    inputs: &Inputs,
) -> std::result::Result<Vec<RecordBatch>, QueryError> {
    let advance = program.advance(inputs).map_err(|error| translate(error, None))?;
    stepped(planning, program, definition, known, (inputs, advance), &Condition::default()).await
}

/// The groups that meet a condition, of which `known` are all that the state had, by the steps that advance all groups. `None` where
/// these compute groups anew without knowing which have changed.
async fn of_all_steps(
    planning: &Planning,
    program: &ViewProgram,
    definition: &Arc<TableDefinition>,
    known: Vec<RecordBatch>,
    inputs: &Inputs,
    condition: &Condition,
) -> std::result::Result<Option<Vec<RecordBatch>>, QueryError> {
    match program.advance(inputs).map_err(|error| translate(error, None))? {
        Advance::Touched(_) | Advance::Whole(_) => Ok(None),
        advance => stepped(planning, program, definition, known, (inputs, advance), condition).await.map(Some),
    }
}

/// Goes the steps of an advance for the groups that meet a condition, of which `known` are all that the state had.
async fn stepped(
    planning: &Planning,
    program: &ViewProgram,
    definition: &Arc<TableDefinition>,
    known: Vec<RecordBatch>,
    (inputs, advance): (&Inputs, Advance),
    condition: &Condition,
) -> std::result::Result<Vec<RecordBatch>, QueryError> {
    let plan_error = |error| translate(error, None);
    let schema = definition.schema();
    let (mut others, known, touched) = match advance {
        Advance::Unchanged => return Ok(known),
        Advance::Whole(plan) => return computed(planning, &plan, definition).await,
        Advance::Added { rows, lost } => {
            let rows = computed(planning, &rows, definition).await?;
            let rows = condition.meeting(&rows).map_err(plan_error)?;
            let (others, changed) = added(planning, program, definition, known, &rows).await?;
            if lost.is_empty() || changed.is_empty() || program.none_undone(&rows, &changed).map_err(plan_error)? {
                return Ok([others, changed].concat());
            }
            let groups = program.undone_groups_plan(in_memory(&schema, changed.clone()).map_err(plan_error)?, lost);
            (others, changed, groups)
        }
        Advance::Paired { rows, .. } => {
            let rows = computed(planning, &rows, definition).await?;
            let rows = condition.meeting(&rows).map_err(plan_error)?;
            let (others, changed) = added(planning, program, definition, known, &rows).await?;
            if program.none_turned(&rows, &changed).map_err(plan_error)? {
                return Ok([others, changed].concat());
            }
            let [known, rows] = [changed.clone(), rows].map(|rows| in_memory(&schema, rows));
            let groups = program.turned_groups_plan(known.map_err(plan_error)?, rows.map_err(plan_error)?);
            (others, changed, groups)
        }
        Advance::Touched(rows) => (Vec::new(), known, program.touched_groups_plan(rows)),
    };
    let (touched_schema, touched) = collected(planning, &touched.map_err(plan_error)?).await?;
    if touched.is_empty() {
        others.extend(known);
        return Ok(others);
    }
    let keys = program.state_keys();
    let groups = one_a_group(&touched, &schema, keys).map_err(plan_error)?;
    let split = KeySet::of(&groups, &schema, keys).and_then(|keys| keys.split(known)).map_err(plan_error)?;
    let touched = in_memory(&touched_schema, groups.clone()).map_err(plan_error)?;
    let fresh = program.recomputed_plan(touched, &groups, inputs).map_err(plan_error)?;
    others.extend(split.others);
    others.extend(computed_once(planning, &fresh, definition).await?);
    Ok(others)
}

/// Few groups of a state after what changed in the inputs: in one step where that is a matter of adding.
async fn few_advanced(
    planning: &Planning,
    program: &ViewProgram,
    definition: &Arc<TableDefinition>,
    known: Vec<RecordBatch>,
    inputs: &Inputs,
) -> std::result::Result<Vec<RecordBatch>, QueryError> {
    match program.advance(inputs).map_err(|error| translate(error, None))? {
        Advance::Added { lost, .. } if lost.is_empty() => {
            let known = in_memory(&definition.schema(), known);
            let plan = known.and_then(|known| program.state_plan(Some(known), inputs));
            computed_once(planning, &plan.map_err(|error| translate(error, None))?, definition).await
        }
        _ => advanced(planning, program, definition, known, inputs).await,
    }
}

/// What the keys of some groups meet; by default all groups are meant.
#[derive(Default)]
struct Condition(Option<Arc<dyn PhysicalExpr>>);

impl Condition {
    /// All of these conditions over the columns of a state.
    fn new(planning: &Planning, conditions: &[Expr], state: &SchemaRef) -> Result<Self> {
        let Some(condition) = conjunction(conditions.to_vec()) else { return Ok(Self::default()) };
        let schema = DFSchema::try_from(state.as_ref().clone())?;
        planning.state.create_physical_expr(condition, &schema).map(Some).map(Self)
    }

    /// The state rows that meet it.
    fn meeting(&self, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let Some(condition) = &self.0 else { return Ok(rows.to_vec()) };
        let mut met = Vec::new();
        for batch in rows {
            let among = condition.evaluate(batch)?.into_array(batch.num_rows())?;
            let few = filter_record_batch(batch, as_boolean_array(&among)?)?;
            if few.num_rows() > 0 {
                met.push(few);
            }
        }
        Ok(met)
    }
}

/// The rows of `known` in whose groups nothing changed, and the others with `rows` added.
async fn added(
    planning: &Planning,
    program: &ViewProgram,
    definition: &Arc<TableDefinition>,
    known: Vec<RecordBatch>,
    rows: &[RecordBatch],
) -> std::result::Result<(Vec<RecordBatch>, Vec<RecordBatch>), QueryError> {
    let schema = definition.schema();
    if rows.is_empty() {
        return Ok((known, Vec::new()));
    }
    let split = KeySet::of(rows, &schema, program.state_keys()).and_then(|keys| keys.split(known));
    let Split { others, among } = split.map_err(|error| translate(error, None))?;
    let plan = in_memory(&schema, [among, rows.to_vec()].concat()).and_then(|rows| program.merged_plan(vec![rows]));
    let changed = computed(planning, &plan.map_err(|error| translate(error, None))?, definition).await?;
    Ok((others, changed))
}

/// The batches of a state that are not those of another one: batches without a row of a changed group stay as they are.
fn unshared(state: &KeptState, other: &KeptState) -> Vec<RecordBatch> {
    let place = |batch: &RecordBatch| -> Vec<*const ()> {
        batch.columns().iter().map(|column| Arc::as_ptr(column).cast::<()>()).collect()
    };
    let known: HashSet<_> = other.rows.iter().map(place).collect();
    state.rows.iter().filter(|batch| !known.contains(&place(batch))).cloned().collect()
}

/// The same rows in few batches. Each change may leave one more.
fn compact(schema: &SchemaRef, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let total: usize = rows.iter().map(RecordBatch::num_rows).sum();
    if rows.len() <= SPARE_BATCHES_MAX + 2 * total / BATCH_ROWS {
        return Ok(rows);
    }
    // Rows that were replaced have left their texts and bytes behind.
    let all = storage::compact(concat_batches(schema, &rows)?)?;
    let starts = (0..total).step_by(BATCH_ROWS);
    Ok(starts.map(|start| all.slice(start, BATCH_ROWS.min(total - start))).collect())
}

/// The schema and the rows of a step, without empty batches.
async fn collected(
    planning: &Planning,
    plan: &LogicalPlan,
) -> std::result::Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
    let physical = planning.step_plan(plan).await?;
    let schema = physical.schema();
    let rows = collect(physical, planning.state.task_ctx()).await;
    let mut rows = rows.map_err(|error| translate(error, None))?;
    rows.retain(|batch| batch.num_rows() > 0);
    Ok((schema, rows))
}

pub(crate) fn in_memory(schema: &SchemaRef, rows: Vec<RecordBatch>) -> Result<Arc<dyn TableSource>> {
    Ok(provider_as_source(Arc::new(MemTable::try_new(Arc::clone(schema), vec![rows])?)))
}

/// A view's state at a snapshot as a table. It is computed, where it is not kept, when the plan over it is made executable.
pub(crate) struct KeptTable {
    pub planning: Planning,
    pub view: Arc<ViewVersion>,
    pub program: Arc<ViewProgram>,
    pub start: Option<Arc<KeptState>>,
    pub schema: SchemaRef,
}

impl KeptTable {
    fn engine(&self) -> &Engine {
        &self.planning.engine
    }

    /// The rows of the groups that meet filters, if these alone can be told. What fails here may not when all groups are.
    async fn few(&self, filters: &[Expr]) -> Option<Vec<RecordBatch>> {
        if filters.is_empty() {
            return None;
        }
        let states = &self.engine().kept_states;
        let few = states.few(&self.planning, &self.view, &self.program, self.start.clone(), filters).await;
        few.unwrap_or_else(|error| {
            tracing::debug!(view = %self.view.definition.name, %error, "all groups of a view are brought up to date");
            None
        })
    }
}

impl fmt::Debug for KeptTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptTable({})", self.view.definition.name)
    }
}

#[async_trait]
impl TableProvider for KeptTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let told = filters.iter().map(|filter| {
            let is_of_keys = self.program.tells_groups(std::slice::from_ref(*filter));
            if is_of_keys { TableProviderFilterPushDown::Inexact } else { TableProviderFilterPushDown::Unsupported }
        });
        Ok(told.collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = match self.few(filters).await {
            Some(few) => few,
            None => {
                let states = &self.engine().kept_states;
                let kept = states.caught_up(&self.planning, &self.view, &self.program, self.start.clone()).await;
                kept.map_err(external)?.rows.to_vec()
            }
        };
        self.planning.log.note_kept(&self.view.definition.name.name, rows.iter().map(RecordBatch::num_rows).sum());
        Ok(MemorySourceConfig::try_new_exec(&[rows], self.schema(), projection.cloned())?)
    }
}
