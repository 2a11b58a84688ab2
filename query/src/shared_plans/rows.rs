//! The rows of a shared query: computed by a task for each partition, kept until all are gone who may read them.
//!
//!     task ──batches──▶ kept: memory, and files where that is short ──▶ each reader at its own pace
//!
//! Readers wait for nobody but the task, so that a join may read one side to its end before it begins with the other.

use arrow::array::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SpillFile, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SpillManager,
};
use futures::StreamExt;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Notify;

const NAME: &str = "SharedExec";

/// What a shared query's plan gives, once it was started.
#[derive(Debug)]
pub(super) struct Output {
    plan: Arc<dyn ExecutionPlan>,
    statistics: Arc<Statistics>,
    partitions: Vec<Mutex<Option<Arc<Partition>>>>,
}

impl Output {
    pub(super) fn new(plan: Arc<dyn ExecutionPlan>) -> Self {
        let count = plan.output_partitioning().partition_count();
        let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
        let statistics = statistics.unwrap_or_else(|_| Arc::new(Statistics::new_unknown(&plan.schema())));
        Self { plan, statistics, partitions: (0..count).map(|_| Mutex::default()).collect() }
    }

    /// A partition, whose task is started by the first who asks.
    fn partition(&self, number: usize, context: &Arc<TaskContext>) -> Result<Arc<Partition>> {
        let mut started = self.partitions[number].lock();
        if let Some(partition) = started.as_ref() {
            return Ok(Arc::clone(partition));
        }
        let input = self.plan.execute(number, Arc::clone(context))?;
        let partition = Arc::new(Partition::start(input, number, context));
        *started = Some(Arc::clone(&partition));
        Ok(partition)
    }
}

#[derive(Debug)]
struct Partition {
    kept: Arc<Kept>,
    spill: SpillManager,
    /// Ends with the last reader.
    _task: SpawnedTask<()>,
}

impl Partition {
    fn start(input: SendableRecordBatchStream, number: usize, context: &Arc<TaskContext>) -> Self {
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), number);
        let spill = SpillManager::new(context.runtime_env(), metrics, input.schema());
        let consumer = MemoryConsumer::new(NAME).with_can_spill(true);
        let reservation = Mutex::new(consumer.register(context.memory_pool()));
        let kept = Arc::new(Kept { rows: Mutex::default(), grown: Notify::new(), reservation });
        let task = SpawnedTask::spawn(fill(input, Arc::clone(&kept), spill.clone()));
        Self { kept, spill, _task: task }
    }
}

#[derive(Debug)]
struct Kept {
    rows: Mutex<Rows>,
    /// Told whenever there is more.
    grown: Notify,
    reservation: Mutex<MemoryReservation>,
}

#[derive(Debug, Default)]
struct Rows {
    batches: Vec<Batch>,
    end: Option<Result<(), Arc<DataFusionError>>>,
}

#[derive(Clone)]
enum Batch {
    Memory(RecordBatch),
    File(Arc<dyn SpillFile>),
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(batch) => write!(f, "{} rows", batch.num_rows()),
            Self::File(_) => f.write_str("a file"),
        }
    }
}

/// Ends what a task leaves open that is stopped or panics, as readers wait for it.
struct EndOnDrop<'a>(&'a Kept);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        if self.0.rows.lock().end.is_none() {
            let error = DataFusionError::Internal("the task of a shared query ended early".into());
            self.0.finish(Err(Arc::new(error)));
        }
    }
}

async fn fill(mut input: SendableRecordBatchStream, kept: Arc<Kept>, spill: SpillManager) {
    let _ended = EndOnDrop(&kept);
    loop {
        let next = match input.next().await {
            Some(Ok(batch)) if batch.num_rows() == 0 => continue,
            Some(batch) => batch.and_then(|batch| kept_batch(batch, &kept, &spill)),
            None => break kept.finish(Ok(())),
        };
        match next {
            Ok(batch) => kept.push(batch),
            Err(error) => break kept.finish(Err(Arc::new(error))),
        }
    }
}

/// A batch in memory if there is some for it, else in a file.
fn kept_batch(batch: RecordBatch, kept: &Kept, spill: &SpillManager) -> Result<Batch> {
    // Batches may be slices of one array.
    let sizes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    let bytes = sizes.sum::<Result<usize, _>>().unwrap_or_else(|_| batch.get_array_memory_size());
    if kept.reservation.lock().try_grow(bytes).is_ok() {
        return Ok(Batch::Memory(batch));
    }
    let file = spill.spill_record_batch_and_finish(std::slice::from_ref(&batch), NAME)?;
    Ok(file.map_or(Batch::Memory(batch), Batch::File))
}

impl Kept {
    fn push(&self, batch: Batch) {
        self.rows.lock().batches.push(batch);
        self.grown.notify_waiters();
    }

    fn finish(&self, end: Result<(), Arc<DataFusionError>>) {
        self.rows.lock().end = Some(end);
        self.grown.notify_waiters();
    }

    /// The batch at a place, as soon as it is there; `None` behind the last one.
    async fn batch(&self, place: usize) -> Option<Result<Batch>> {
        loop {
            let mut grown = std::pin::pin!(self.grown.notified());
            // What comes between the look and the waiting is not missed.
            grown.as_mut().enable();
            {
                let rows = self.rows.lock();
                match (rows.batches.get(place), &rows.end) {
                    (Some(batch), _) => return Some(Ok(batch.clone())),
                    (None, Some(Ok(()))) => return None,
                    (None, Some(Err(error))) => return Some(Err(DataFusionError::Shared(Arc::clone(error)))),
                    (None, None) => {}
                }
            }
            grown.await;
        }
    }
}

/// Where a reader is.
struct Reader {
    partition: Arc<Partition>,
    place: usize,
    file: Option<SendableRecordBatchStream>,
    failed: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        if self.failed {
            return None;
        }
        loop {
            if let Some(file) = &mut self.file {
                match file.next().await {
                    Some(batch) => return Some(batch),
                    None => self.file = None,
                }
            }
            match self.partition.kept.batch(self.place).await? {
                Ok(Batch::Memory(batch)) => {
                    self.place += 1;
                    return Some(Ok(batch));
                }
                Ok(Batch::File(file)) => {
                    self.place += 1;
                    match self.partition.spill.read_spill_as_stream(file, None) {
                        Ok(stream) => self.file = Some(stream),
                        Err(error) => return Some(Err(error)),
                    }
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Reads what a shared query gives.
#[derive(Debug)]
pub(super) struct SharedExec {
    output: Arc<Output>,
    /// Rules must not change what is below in one of its places alone, and see it when all are through.
    is_shown: bool,
}

impl SharedExec {
    pub(super) fn new(output: Arc<Output>) -> Self {
        Self { output, is_shown: false }
    }
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &str {
        NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.output.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        if self.is_shown { vec![&self.output.plan] } else { Vec::new() }
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

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partition = self.output.partition(partition, &context)?;
        let reader = Reader { partition, place: 0, file: None, failed: false };
        let batches = futures::stream::unfold(reader, |mut reader| async move {
            let next = reader.next().await?;
            Some((next, reader))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], asked: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(match asked.partition() {
            None => Arc::clone(&self.output.statistics),
            Some(_) => Arc::new(Statistics::new_unknown(&self.schema())),
        })
    }
}

/// Shows the plans of shared queries, behind all other rules.
#[derive(Debug)]
pub(crate) struct ShownPlans;

impl PhysicalOptimizerRule for ShownPlans {
    fn name(&self) -> &str {
        "shown_plans"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let shown = plan.transform_up(|node| match node.downcast_ref::<SharedExec>() {
            Some(SharedExec { output, is_shown: false }) => {
                let shown = SharedExec { output: Arc::clone(output), is_shown: true };
                Ok(Transformed::yes(Arc::new(shown) as Arc<dyn ExecutionPlan>))
            }
            _ => Ok(Transformed::no(node)),
        })?;
        Ok(shown.data)
    }
}
