//! Yielding: joins that compare every row with every row let other tasks run, and a cancel through.
//!
//! Such a join computes for as long as its input gives rows without pause, which may be minutes for a single batch. Its probe side
//! therefore comes in slices, and where computing took longer than a moment the input asks to be called again later.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Rows of the probe side that are joined at a time.
const SLICE_ROWS: usize = 256;
/// How long a join may compute before others have their turn.
const TURN: Duration = Duration::from_millis(10);

/// Puts a [`Yielding`] under the probe side of each nested loop and cross join.
#[derive(Debug)]
pub(crate) struct YieldingJoins;

impl PhysicalOptimizerRule for YieldingJoins {
    fn name(&self) -> &str {
        "yielding_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wrapped = plan.transform_up(|node| {
            if !node.is::<NestedLoopJoinExec>() && !node.is::<CrossJoinExec>() {
                return Ok(Transformed::no(node));
            }
            let mut children: Vec<Arc<dyn ExecutionPlan>> = node.children().into_iter().cloned().collect();
            if let Some(probe) = children.last_mut() {
                *probe = Arc::new(Yielding::new(Arc::clone(probe)));
            }
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            node.replace_children(children, options).map(Transformed::yes)
        })?;
        Ok(wrapped.data)
    }
}

/// Gives its input in slices, with pauses.
#[derive(Debug)]
struct Yielding {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Yielding {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::clone(input.properties());
        Self { input, properties }
    }
}

impl DisplayAs for Yielding {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YieldingExec")
    }
}

impl ExecutionPlan for Yielding {
    fn name(&self) -> &str {
        "YieldingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(Slices { input, batch: None, turn_began: Instant::now() }))
    }
}

struct Slices {
    input: SendableRecordBatchStream,
    /// What is left of a batch.
    batch: Option<RecordBatch>,
    turn_began: Instant,
}

impl Stream for Slices {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.turn_began.elapsed() > TURN {
            self.turn_began = Instant::now();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.batch.is_none() {
            match self.input.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(batch))) => self.batch = Some(batch),
                other => return other,
            }
        }
        let Some(batch) = self.batch.take() else { return Poll::Ready(None) };
        if batch.num_rows() <= SLICE_ROWS {
            return Poll::Ready(Some(Ok(batch)));
        }
        self.batch = Some(batch.slice(SLICE_ROWS, batch.num_rows() - SLICE_ROWS));
        Poll::Ready(Some(Ok(batch.slice(0, SLICE_ROWS))))
    }
}

impl RecordBatchStream for Slices {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
