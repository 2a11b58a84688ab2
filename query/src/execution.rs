//! Execution: a physical plan as a stream of batches that can be cancelled.
//!
//! The plan runs on the engine's computing threads and hands batches over through a short channel, so it works ahead of the socket by a
//! batch or two and not more. Dropping the stream stops the work.

use crate::activity::StatementToken;
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::planning_state::PlanningState;
use crate::response::RowStream;
use crate::statement::Statement;
use arrow::array::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use std::sync::Arc;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;

/// Batches that may wait for the client.
const BATCHES_AHEAD_MAX: usize = 2;

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
    let context = state.task_ctx();
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD_MAX);
    let token = token.clone();
    let task = engine.compute().spawn(async move {
        if let Err(error) = drive(plan, context, &token, &sender, statement.as_ref()).await {
            let _ = sender.send(Err(error)).await;
        }
    });
    let abort = AbortOnDrop(task.abort_handle());
    futures::stream::unfold((receiver, abort, Some(task)), |(mut receiver, abort, mut task)| async move {
        match receiver.recv().await {
            Some(item) => Some((item, (receiver, abort, task))),
            // The channel also closes when the task panics.
            None => match task.take()?.await {
                Ok(()) => None,
                Err(error) => Some((joined::<RecordBatch>(Err(error)), (receiver, abort, None))),
            },
        }
    })
    .fuse()
    .boxed()
}

async fn drive(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    token: &StatementToken,
    sender: &mpsc::Sender<Result<RecordBatch, QueryError>>,
    statement: Option<&Statement>,
) -> Result<(), QueryError> {
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
                if sender.send(Ok(batch)).await.is_err() {
                    return Ok(());
                }
            }
            Some(Err(error)) => return Err(translate(error, statement)),
        }
    }
}

/// A stream of rows that are already there.
pub(crate) fn ready(batches: Vec<RecordBatch>) -> RowStream {
    futures::stream::iter(batches.into_iter().map(Ok)).boxed()
}
