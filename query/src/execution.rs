//! Execution: a physical plan as a stream of batches that can be cancelled.
//!
//! The plan runs on the engine's computing threads and hands batches over through a short channel, so it works ahead of the socket by a
//! batch or two and not more. Dropping the stream stops the work. A plan that reads segments begins when there is memory for it
//! (`memory`), and gives back what it does not use while its client does not read.

use crate::activity::StatementToken;
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::memory::{Active, Budget, Needs};
use crate::planning_state::PlanningState;
use crate::response::RowStream;
use crate::statement::Statement;
use arrow::array::RecordBatch;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;

/// Batches that may wait for the client.
pub(crate) const BATCHES_AHEAD_MAX: usize = 2;
/// How long a client may leave a batch unread before others need not wait for its execution.
const REST_AFTER: Duration = Duration::from_millis(100);

/// Aborts a task when nobody wants its result any more.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(pub tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs what may take long where the thread has other tasks, among them the one that a cancel request comes to.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Runs work on the computing threads and waits for it; gives up when the statement is cancelled.
pub(crate) async fn compute<T: Send + 'static>(
    engine: &Engine,
    token: &StatementToken,
    work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
) -> Result<T, QueryError> {
    let task = engine.compute().spawn(work);
    let _abort = AbortOnDrop(task.abort_handle());
    token.guard(async { joined(task.await) }).await
}

/// The outcome of a task; a panic becomes an internal error of the statement.
pub(crate) fn joined<T>(outcome: Result<Result<T, QueryError>, tokio::task::JoinError>) -> Result<T, QueryError> {
    outcome.unwrap_or_else(|error| {
        tracing::error!(%error, "a computing task failed");
        Err(QueryError::new(ErrorKind::Internal, "the statement ended by an internal error")
            .detail("The server's log says more."))
    })
}

/// Starts a plan and streams what it gives.
pub(crate) fn stream(
    engine: &Engine,
    token: &StatementToken,
    plan: Arc<dyn ExecutionPlan>,
    state: &PlanningState,
    statement: Option<Statement>,
) -> RowStream {
    let running = Running { plan, state: state.clone(), budget: Arc::clone(&engine.budget), token: token.clone() };
    produced(engine, |sender| async move { running.drive(&sender, statement.as_ref()).await })
}

/// The batches that work on the computing threads sends, at most [`BATCHES_AHEAD_MAX`] ahead of their reader, and then the error that it
/// ends with.
pub(crate) fn produced<F>(engine: &Engine, work: impl FnOnce(mpsc::Sender<RecordBatch>) -> F) -> RowStream
where
    F: Future<Output = Result<(), QueryError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD_MAX);
    let task = engine.compute().spawn(work(sender));
    let abort = AbortOnDrop(task.abort_handle());
    futures::stream::unfold((receiver, abort, Some(task)), |(mut receiver, abort, mut task)| async move {
        match receiver.recv().await {
            Some(batch) => Some((Ok(batch), (receiver, abort, task))),
            // The channel also closes when the task panics.
            None => match joined(task.take()?.await) {
                Ok(()) => None,
                Err(error) => Some((Err(error), (receiver, abort, None))),
            },
        }
    })
    .fuse()
    .boxed()
}

/// An execution from its admission to its end.
struct Running {
    plan: Arc<dyn ExecutionPlan>,
    state: PlanningState,
    budget: Arc<Budget>,
    token: StatementToken,
}

type Sender = mpsc::Sender<RecordBatch>;

impl Running {
    async fn drive(self, sender: &Sender, statement: Option<&Statement>) -> Result<(), QueryError> {
        let Self { plan, state, budget, token } = self;
        let needs = Needs::of(plan.as_ref());
        let admission = async { Ok(budget.admit(needs, || token.queued()).await) };
        let admitted = token.guard(admission).await?;
        let context = state.task_ctx_within(admitted.pool);
        let mut batches = execute_stream(plan, context).map_err(|error| translate(error, statement))?;
        loop {
            let next = tokio::select! {
                biased;
                () = token.cancelled() => return Err(token.error()),
                next = batches.next() => next,
            };
            match next {
                None => return Ok(()),
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => {
                    if !hand_over(sender, batch, admitted.active.as_ref()).await {
                        return Ok(());
                    }
                }
                Some(Err(error)) => return Err(translate(error, statement)),
            }
        }
    }
}

/// Gives a batch to whoever reads; `false` where nobody does any more.
async fn hand_over(sender: &Sender, batch: RecordBatch, active: Option<&Active>) -> bool {
    let mut sending = pin!(sender.send(batch));
    if let Ok(sent) = tokio::time::timeout(REST_AFTER, &mut sending).await {
        return sent.is_ok();
    }
    let _rest = active.map(Active::rest);
    sending.await.is_ok()
}

/// A stream of rows that are already there.
pub(crate) fn ready(batches: Vec<RecordBatch>) -> RowStream {
    futures::stream::iter(batches.into_iter().map(Ok)).boxed()
}
