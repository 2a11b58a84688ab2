//! Folding views: moving a view's frontier by adding what changed to its state.
//!
//! A fold reads one snapshot, computes state rows by the view's program and returns an operation that moves the frontier there. It never
//! changes what a reader sees: `state ⊕ delta` is the same before and after. When computing fails, the state is dropped; the query
//! decides what the view is, and it decides at read.

use crate::altered_views::next_state;
use crate::engine::{Engine, storage_error};
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::kept_states::is_keepable;
use crate::planner::Planning;
use crate::system_facts::background_planning;
use crate::transaction::Change;
use crate::view_builds::Phase;
use crate::view_reading::{Pending, whole_inputs};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use catalog::definition::{TableDefinition, ViewDefinition};
use catalog::draft::{CommitDraft, Expectation, Op};
use catalog::ids::{CommitSeq, ObjectId};
use catalog::shared_list::Rest;
use catalog::snapshot::{Snapshot, ViewVersion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use std::path::Path;
use std::sync::Arc;
use storage::staging::Staging;
use views::ViewProgram;

/// Runs of a state that a read merges before they are merged for good.
const RUNS_MAX: usize = 16;
/// Commits that a frontier stays behind when nothing changed for the state itself; what they changed is kept until then.
const COMMITS_BEHIND_MAX: usize = 64;
/// State rows that one fold puts inline into the log, and the bytes of what they keep of sums and values.
const INLINE_ROWS_MAX: usize = 8_192;
const INLINE_BYTES_MAX: usize = 1024 * 1024;
const STAGING_BYTES: usize = 64 * 1024 * 1024;

/// A fold that is ready to be committed.
pub(crate) struct Folded {
    pub draft: CommitDraft,
    pub change: Change,
    /// The frontier that the fold comes to.
    pub to: CommitSeq,
    /// Rows of the table that it folded.
    pub rows: u64,
}

/// What there is to do for a view at a snapshot; `None` when nothing is. A session may wait for the view to be built.
pub(crate) async fn fold(
    engine: &Arc<Engine>,
    snapshot: &Arc<Snapshot>,
    view: &Arc<ViewVersion>,
    waiting: Option<i32>,
) -> Result<Option<Folded>, QueryError> {
    let planning = background_planning(engine, Arc::clone(snapshot));
    let Some(work) = work_for(&planning, view)? else { return Ok(None) };
    let state = view.state.as_ref().expect("a view to be folded has a state");
    let definition = Arc::clone(&state.definition);
    let batches = match &work.plan {
        // The state as a whole is what readers need too.
        Some(_) if work.replace && view.frontier.is_some() && is_keepable(state, work.rows) => {
            let start = engine.kept_states.start(&planning, view);
            engine.kept_states.caught_up(&planning, view, &work.program, start).await?.rows.to_vec()
        }
        Some(plan) => {
            let physical = planning.step_plan(plan).await?;
            let shown = (view.definition.id, &view.definition.name);
            let builds = view.frontier.is_none().then_some(&engine.view_builds);
            let _shown = builds.map(|builds| builds.show(shown, (Phase::State, work.rows), waiting, &physical));
            executed(&planning, physical, &definition).await?
        }
        None => Vec::new(),
    };
    if let Some(from) = view.frontier.filter(|_| !work.replace) {
        engine.kept_states.follow(&planning, view, &work.program, (from, &batches)).await;
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut segments = Vec::new();
    let mut recent = Vec::new();
    let mut staged = Vec::new();
    if rows > INLINE_ROWS_MAX || kept_bytes(&batches) > INLINE_BYTES_MAX {
        let written = stage(engine, definition, batches).await?;
        segments = written.metas();
        staged.push(written);
    } else if rows > 0 {
        let batch = concat_batches(&definition.schema(), &batches).map_err(|error| translate(error.into(), None))?;
        let batch = storage::compact(batch).map_err(|error| translate(error.into(), None))?;
        recent.push((engine.catalog.allocate_recent(), batch));
    }
    let fold = Op::Fold {
        view: view.definition.id,
        from: view.frontier,
        to: work.to,
        replace: work.replace,
        segments,
        recent,
    };
    // A definition that was altered meanwhile may have begun another state, which these rows are not for.
    let same = Expectation::Version(view.definition.version);
    let expected = Op::Expect { relation: view.definition.id, that: same };
    let draft = CommitDraft::new(Arc::clone(snapshot), vec![expected, fold]);
    Ok(Some(Folded { draft, change: Change { staged, ..Change::default() }, to: work.to, rows: work.rows }))
}

/// The draft that forgets a view's state.
pub(crate) fn dropped_state(snapshot: &Arc<Snapshot>, view: ObjectId) -> CommitDraft {
    CommitDraft::new(Arc::clone(snapshot), vec![Op::DropState { view }])
}

/// Begins a state anew for each view whose program keeps another than the view has: an earlier build kept less of it.
pub(crate) fn outdated_states(engine: &Arc<Engine>, snapshot: &Arc<Snapshot>) -> Vec<CommitDraft> {
    let planning = background_planning(engine, Arc::clone(snapshot));
    let kept = snapshot.views.values().filter(|view| !view.definition.is_plain());
    let begun = kept.filter_map(|view| {
        let before = &view.definition;
        let program = match engine.programs.of(&planning, before) {
            Ok(program) => program,
            Err(error) => {
                tracing::warn!(view = %before.name, %error, "a view's query does not compile");
                return None;
            }
        };
        let state = next_state(engine, before, &program);
        if state == before.state {
            return None;
        }
        let next = ViewDefinition { state, version: before.version + 1, ..ViewDefinition::clone(before) };
        Some(CommitDraft::new(Arc::clone(snapshot), vec![Op::AlterView(Arc::new(next))]))
    });
    begun.collect()
}

struct Work {
    program: Arc<ViewProgram>,
    plan: Option<LogicalPlan>,
    to: CommitSeq,
    replace: bool,
    rows: u64,
}

fn work_for(planning: &Planning, view: &Arc<ViewVersion>) -> Result<Option<Work>, QueryError> {
    let plan_error = |error| translate(error, None);
    let Some(state) = &view.state else { return Ok(None) };
    let program = planning.engine.programs.of(planning, &view.definition)?;
    let to = planning.snapshot.seq;
    let Some(frontier) = view.frontier else {
        let Some((inputs, rows)) = whole_inputs(planning, view, &program) else { return Ok(None) };
        let fold = program.fold_plan(None, &inputs, true).map_err(plan_error)?;
        return Ok(Some(Work { program, plan: fold.plan, to, replace: true, rows }));
    };
    let Some(pending) = Pending::of(planning, view, &program) else {
        return Err(QueryError::new(ErrorKind::Internal, "the changes behind a view's frontier do not lead to it"));
    };
    let source = |rows| planning.rows_source("state", rows);
    let merge = state.segments.len() + state.recent.len() >= RUNS_MAX;
    let rows = pending.rows();
    if rows == 0 && !pending.emptied {
        if behind(planning, view, frontier) >= COMMITS_BEHIND_MAX {
            return Ok(Some(Work { program, plan: None, to, replace: false, rows }));
        }
        if !merge {
            return Ok(None);
        }
        let fold = program.fold_plan(pending.state_rows(view).map(source), &pending.inputs(planning), true);
        return Ok(Some(Work { plan: fold.map_err(plan_error)?.plan, program, to: frontier, replace: true, rows }));
    }
    let fold = program.fold_plan(pending.state_rows(view).map(source), &pending.inputs(planning), merge);
    let fold = fold.map_err(plan_error)?;
    Ok(Some(Work { program, plan: fold.plan, to, replace: fold.replace, rows }))
}

/// How many commits to any of its relations a view's frontier lies behind, those included that do not touch the state.
fn behind(planning: &Planning, view: &ViewVersion, frontier: CommitSeq) -> usize {
    let tables = view.definition.inputs.iter().filter_map(|input| planning.snapshot.tables.get(input));
    tables.filter_map(|table| table.changes_since(frontier)).map(Rest::len).max().unwrap_or(0)
}

/// Computes a step's rows in the state's schema.
pub(crate) async fn computed(
    planning: &Planning,
    plan: &LogicalPlan,
    definition: &Arc<TableDefinition>,
) -> Result<Vec<RecordBatch>, QueryError> {
    executed(planning, planning.step_plan(plan).await?, definition).await
}

/// The same of a step that names what it is about, and so will not come again.
pub(crate) async fn computed_once(
    planning: &Planning,
    plan: &LogicalPlan,
    definition: &Arc<TableDefinition>,
) -> Result<Vec<RecordBatch>, QueryError> {
    executed(planning, planning.physical_plan(plan, None).await?, definition).await
}

async fn executed(
    planning: &Planning,
    physical: Arc<dyn ExecutionPlan>,
    definition: &Arc<TableDefinition>,
) -> Result<Vec<RecordBatch>, QueryError> {
    let mut rows = execute_stream(physical, planning.state.task_ctx()).map_err(|error| translate(error, None))?;
    let schema = definition.schema();
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|error| translate(error, None))?;
        if batch.num_rows() == 0 {
            continue;
        }
        let columns = batch.columns().iter().zip(schema.fields()).map(|(array, field)| cast(array, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| translate(error.into(), None))?;
        batches
            .push(RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| translate(error.into(), None))?);
    }
    Ok(batches)
}

/// The bytes of sums and values in state rows.
fn kept_bytes(batches: &[RecordBatch]) -> usize {
    let columns = batches.iter().flat_map(RecordBatch::columns);
    columns
        .filter_map(|column| column.as_binary_view_opt())
        .flat_map(|bytes| bytes.lengths())
        .map(|length| length as usize)
        .sum()
}

async fn stage(
    engine: &Engine,
    definition: Arc<TableDefinition>,
    batches: Vec<RecordBatch>,
) -> Result<storage::staging::StagedSegments, QueryError> {
    let data_dir: Arc<Path> = Arc::from(engine.catalog.data_dir());
    let task = engine.compute().spawn_blocking(move || {
        let mut staging = Staging::new(data_dir, definition, STAGING_BYTES);
        for batch in batches {
            staging.push(batch).map_err(storage_error)?;
        }
        staging.finish().map_err(storage_error)
    });
    crate::execution::joined(task.await)
}
