//! Folding views: moving a view's frontier by adding what changed to its state.
//!
//! A fold reads one snapshot, computes state rows by the view's program and returns an operation that moves the frontier there. It never
//! changes what a reader sees: `state ⊕ delta` is the same before and after. When computing fails, the state is dropped; the query
//! decides what the view is, and it decides at read.

use crate::engine::{Engine, storage_error};
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::planner::Planning;
use crate::system_facts::background_planning;
use crate::transaction::Change;
use crate::view_reading::{pending, whole_table};
use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use catalog::definition::TableDefinition;
use catalog::draft::{CommitDraft, Op};
use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::{Snapshot, ViewVersion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use std::path::Path;
use std::sync::Arc;
use storage::staging::Staging;
use views::SignedRows;

/// Runs of a state that a read merges before they are merged for good.
const RUNS_MAX: usize = 16;
/// State rows that one fold puts inline into the log.
const INLINE_ROWS_MAX: usize = 8_192;
const STAGING_BYTES: usize = 64 * 1024 * 1024;

/// A fold that is ready to be committed.
pub(crate) struct Folded {
    pub draft: CommitDraft,
    pub change: Change,
    /// Rows of the table that it folded.
    pub rows: u64,
}

/// What there is to do for a view at a snapshot; `None` when nothing is.
pub(crate) async fn fold(
    engine: &Arc<Engine>,
    snapshot: &Arc<Snapshot>,
    view: &Arc<ViewVersion>,
) -> Result<Option<Folded>, QueryError> {
    let planning = background_planning(engine, Arc::clone(snapshot));
    let Some(work) = work_for(&planning, view)? else { return Ok(None) };
    let definition = Arc::clone(&view.state.as_ref().expect("a view to be folded has a state").definition);
    let batches = run(&planning, &work.plan, &definition).await?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut segments = Vec::new();
    let mut recent = Vec::new();
    let mut staged = Vec::new();
    if rows > INLINE_ROWS_MAX {
        let written = stage(engine, definition, batches).await?;
        segments = written.metas();
        staged.push(written);
    } else if rows > 0 {
        let batch = concat_batches(&definition.schema(), &batches).map_err(|error| translate(error.into(), None))?;
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
    let draft = CommitDraft::new(Arc::clone(snapshot), vec![fold]);
    Ok(Some(Folded { draft, change: Change { staged, ..Change::default() }, rows: work.rows }))
}

/// The draft that forgets a view's state.
pub(crate) fn dropped_state(snapshot: &Arc<Snapshot>, view: ObjectId) -> CommitDraft {
    CommitDraft::new(Arc::clone(snapshot), vec![Op::DropState { view }])
}

struct Work {
    plan: LogicalPlan,
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
        let Some(rows) = whole_table(planning, view) else { return Ok(None) };
        let plan = program.run_plan(&rows).map_err(plan_error)?;
        let count = view
            .definition
            .inputs
            .first()
            .and_then(|input| planning.snapshot.tables.get(input))
            .map_or(0, |table| table.rows_live());
        return Ok(Some(Work { plan, to, replace: true, rows: count }));
    };
    let Some(used) = pending(planning, view) else {
        return Err(QueryError::new(ErrorKind::Internal, "the changes behind a view's frontier are gone"));
    };
    let state_source = || planning.rows_source("state", used.state_rows(view));
    let changed = used.changed_rows();
    let rows = changed.rows();
    if rows == 0 && !used.emptied {
        if state.segments.len() + state.recent.len() <= RUNS_MAX {
            return Ok(None);
        }
        let plan = program.merged_state_plan(Some(state_source()), None).map_err(plan_error)?;
        return Ok(Some(Work { plan, to: frontier, replace: true, rows: 0 }));
    }
    let removals = changed.with_weight(-1).rows() > 0;
    let replace = used.emptied
        || (removals && program.removals_replace())
        || state.segments.len() + state.recent.len() >= RUNS_MAX;
    let plan = if replace {
        program.merged_state_plan(Some(state_source()), used.delta(planning))
    } else {
        program.run_plan(&SignedRows { source: planning.rows_source("changes", changed), removals })
    };
    Ok(Some(Work { plan: plan.map_err(plan_error)?, to, replace, rows }))
}

/// Computes a plan's rows in the state's schema.
async fn run(
    planning: &Planning,
    plan: &LogicalPlan,
    definition: &Arc<TableDefinition>,
) -> Result<Vec<RecordBatch>, QueryError> {
    let physical = planning.physical_plan(plan, None).await?;
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
