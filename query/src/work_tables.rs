//! Work tables that have several readers.
//!
//! A recursive term names its own query once, but where a correlated subquery becomes a join the outer rows are read twice: for the
//! values that the subquery is computed for, and for themselves. DataFusion's work table gives its rows to one reader. Here the
//! first one that comes in an iteration takes them, and all of them read what was taken:
//!
//!     WorkTableExec ──rows of an iteration──▶ Taken ──▶ each WorkTableReader
//!
//! The plan of a recursive query gives itself a new work table whenever it is put together anew, which happens while it is
//! optimised; a reader remembers all that it was given, and only that of the plan that runs has rows.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::{TableType, provider_as_source, source_as_provider};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::logical_plan::{RecursiveQuery, TableScan};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::work_table::WorkTableExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

/// Lets the recursive queries of a plan read their work tables as often as they do.
pub(crate) fn share_work_tables(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::RecursiveQuery(query) => with_readers(query),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(plan.data)
}

fn with_readers(mut query: RecursiveQuery) -> Result<Transformed<LogicalPlan>> {
    let mut schemas = Vec::new();
    query.recursive_term.apply(|node| {
        schemas.extend(scan_of(node, &query.name).map(|scan| scan.source.schema()));
        Ok(TreeNodeRecursion::Continue)
    })?;
    let [first, others @ ..] = schemas.as_slice() else {
        return Ok(Transformed::no(LogicalPlan::RecursiveQuery(query)));
    };
    if others.is_empty() || others.iter().any(|other| other != first) {
        return Ok(Transformed::no(LogicalPlan::RecursiveQuery(query)));
    }
    let table = WorkTable { name: query.name.clone(), schema: Arc::clone(first), taken: Arc::default() };
    let source = provider_as_source(Arc::new(table));
    let term = LogicalPlan::clone(&query.recursive_term).transform_down(|node| match node {
        LogicalPlan::TableScan(mut scan) if is_work_table(&scan, &query.name) => {
            scan.source = Arc::clone(&source);
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    query.recursive_term = Arc::new(term.data);
    Ok(Transformed::yes(LogicalPlan::RecursiveQuery(query)))
}

fn scan_of<'a>(node: &'a LogicalPlan, name: &str) -> Option<&'a TableScan> {
    match node {
        LogicalPlan::TableScan(scan) if is_work_table(scan, name) => Some(scan),
        _ => None,
    }
}

fn is_work_table(scan: &TableScan, name: &str) -> bool {
    let provider = source_as_provider(&scan.source);
    scan.table_name.table() == name && provider.is_ok_and(|provider| provider.downcast_ref::<CteWorkTable>().is_some())
}

/// Whether a scan reads a work table, which has other rows in each iteration.
pub(crate) fn reads_work_table(scan: &TableScan) -> bool {
    source_as_provider(&scan.source).is_ok_and(|provider| {
        provider.downcast_ref::<CteWorkTable>().is_some() || provider.downcast_ref::<WorkTable>().is_some()
    })
}

/// A work table with several readers.
#[derive(Debug)]
struct WorkTable {
    name: String,
    schema: SchemaRef,
    taken: Arc<AllTaken>,
}

#[async_trait]
impl TableProvider for WorkTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let whole = WorkTableExec::new(self.name.clone(), Arc::clone(&self.schema), None)?;
        let shown = WorkTableExec::new(self.name.clone(), Arc::clone(&self.schema), projection.cloned())?;
        Ok(Arc::new(WorkTableReader {
            whole,
            shown,
            projection: projection.cloned(),
            taken: Arc::clone(&self.taken),
            given: Mutex::default(),
        }))
    }
}

/// What was taken from work tables, by the state that is one; plans of one query may run side by side.
#[derive(Debug, Default)]
struct AllTaken(Mutex<Vec<TakenFrom>>);

/// The state that is a work table, and what was taken from it.
type TakenFrom = (Weak<dyn Any + Send + Sync>, Weak<Taken>);

impl AllTaken {
    fn of(&self, state: &Arc<dyn Any + Send + Sync>) -> Arc<Taken> {
        let mut known = self.0.lock();
        known.retain(|(state, taken)| state.strong_count() > 0 && taken.strong_count() > 0);
        let same = known.iter().find(|(known, _)| std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(state)));
        if let Some(taken) = same.and_then(|(_, taken)| taken.upgrade()) {
            return taken;
        }
        let taken = Arc::new(Taken::default());
        known.push((Arc::downgrade(state), Arc::downgrade(&taken)));
        taken
    }
}

/// The rows of the last iteration, as soon as they are there.
type Rows = Shared<BoxFuture<'static, Result<Arc<Held>, Arc<DataFusionError>>>>;

/// What was taken from one work table.
#[derive(Default)]
struct Taken(Mutex<Option<Rows>>);

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taken")
    }
}

/// Batches, with the stream that holds the memory that is reserved for them.
struct Held {
    batches: Vec<RecordBatch>,
    _stream: Mutex<SendableRecordBatchStream>,
}

async fn held(mut stream: SendableRecordBatchStream) -> Result<Arc<Held>, Arc<DataFusionError>> {
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch.map_err(Arc::new)?);
    }
    Ok(Arc::new(Held { batches, _stream: Mutex::new(stream) }))
}

/// What was taken from a work table, and the table.
type Given = (Arc<Taken>, Arc<dyn ExecutionPlan>);

/// Reads what one of the readers takes.
#[derive(Debug)]
struct WorkTableReader {
    /// What reads all columns, once it is given a work table.
    whole: WorkTableExec,
    /// What says the properties of the columns that are read.
    shown: WorkTableExec,
    projection: Option<Vec<usize>>,
    taken: Arc<AllTaken>,
    given: Mutex<Vec<Given>>,
}

impl WorkTableReader {
    /// The rows of this iteration, which are taken if nobody has.
    fn rows(&self, context: &Arc<TaskContext>) -> Result<Rows> {
        let given = self.given.lock();
        for (taken, table) in given.iter().rev() {
            // A table whose rows are taken, or that never has some, refuses.
            if let Ok(stream) = table.execute(0, Arc::clone(context)) {
                let rows: Rows = held(stream).boxed().shared();
                *taken.0.lock() = Some(rows.clone());
                return Ok(rows);
            }
        }
        let rows = given.iter().rev().find_map(|(taken, _)| taken.0.lock().clone());
        rows.ok_or_else(|| DataFusionError::Internal("a work table is read outside of its query".into()))
    }
}

impl DisplayAs for WorkTableReader {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt_as(format, f)
    }
}

impl ExecutionPlan for WorkTableReader {
    fn name(&self) -> &str {
        "WorkTableReader"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.shown.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// Remembers the work table. A node in its place would be the one reader that there may be.
    fn with_new_state(&self, state: Arc<dyn Any + Send + Sync>) -> Option<Arc<dyn ExecutionPlan>> {
        if let Some(table) = self.whole.with_new_state(Arc::clone(&state)) {
            self.given.lock().push((self.taken.of(&state), table));
        }
        None
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.rows(&context)?;
        let projection = self.projection.clone();
        let batches = async move {
            let held = rows.await.map_err(DataFusionError::Shared)?;
            let shown = held.batches.iter().map(|batch| match &projection {
                Some(columns) => Ok(batch.project(columns)?),
                None => Ok(batch.clone()),
            });
            Ok::<_, DataFusionError>(futures::stream::iter(shown.collect::<Vec<Result<RecordBatch>>>()))
        };
        let batches = futures::stream::once(batches).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
