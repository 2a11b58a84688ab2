//! Activity: what every session is doing, for `pg_stat_activity` and for cancelling.

use crate::copy_progress::CopyProgress;
use crate::error::{ErrorKind, QueryError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio_util::sync::CancellationToken;

/// A session as others see it. Times are microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity {
    pub process_id: i32,
    pub user: String,
    pub application_name: String,
    pub client: Option<SocketAddr>,
    pub connected_at_micros: i64,
    pub statement_at_micros: Option<i64>,
    pub state: &'static str,
    pub statement: String,
    /// The COPY that it runs.
    pub copy: Weak<CopyProgress>,
    /// How many of its executions wait for memory.
    pub queued: Arc<AtomicUsize>,
}

/// All sessions of a process.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<BTreeMap<i32, Entry>>);

#[derive(Debug)]
struct Entry {
    activity: Arc<Mutex<Activity>>,
    cancel: CancelHandle,
    farewell: CancellationToken,
}

impl Registry {
    /// Adds a session; `farewell` is cancelled where another one ends it.
    pub(crate) fn add(
        &self,
        activity: Activity,
        cancel: CancelHandle,
        farewell: CancellationToken,
    ) -> Arc<Mutex<Activity>> {
        let id = activity.process_id;
        let activity = Arc::new(Mutex::new(activity));
        self.0.lock().insert(id, Entry { activity: Arc::clone(&activity), cancel, farewell });
        activity
    }

    /// Cancels what a session does at the moment, if there is such a session.
    pub(crate) fn cancel(&self, process_id: i32) -> bool {
        let cancel = self.0.lock().get(&process_id).map(|entry| entry.cancel.clone());
        cancel.map(|cancel| cancel.cancel()).is_some()
    }

    /// Ends a session, if there is one.
    pub(crate) fn terminate(&self, process_id: i32) -> bool {
        let farewell = self.0.lock().get(&process_id).map(|entry| entry.farewell.clone());
        farewell.map(|farewell| farewell.cancel()).is_some()
    }

    pub(crate) fn statement(&self, process_id: i32) -> Option<String> {
        self.0.lock().get(&process_id).map(|entry| entry.activity.lock().statement.clone())
    }

    pub(crate) fn remove(&self, process_id: i32) {
        self.0.lock().remove(&process_id);
    }

    pub(crate) fn list(&self) -> Vec<Activity> {
        self.0.lock().values().map(|entry| entry.activity.lock().clone()).collect()
    }
}

/// Ends the statement that a session is running; the session itself goes on. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CancelHandle(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    token: CancellationToken,
    timed_out: Arc<AtomicBool>,
    queued: Arc<AtomicUsize>,
}

/// What a running statement watches.
#[derive(Clone, Debug, Default)]
pub(crate) struct StatementToken {
    token: CancellationToken,
    timed_out: Arc<AtomicBool>,
    /// Shared with the session's [`Activity`].
    queued: Arc<AtomicUsize>,
}

/// An execution that waits for memory, until it is dropped.
pub(crate) struct Queued(Arc<AtomicUsize>);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CancelHandle {
    /// Ends the running statement with `QueryCanceled`. Without one, nothing happens.
    pub fn cancel(&self) {
        self.0.lock().token.cancel();
    }

    /// A token for the next statement; a cancel that came before it is forgotten.
    pub(crate) fn next_statement(&self) -> StatementToken {
        let mut running = self.0.lock();
        *running = Running { queued: Arc::clone(&running.queued), ..Running::default() };
        let (timed_out, queued) = (Arc::clone(&running.timed_out), Arc::clone(&running.queued));
        StatementToken { token: running.token.clone(), timed_out, queued }
    }

    /// Makes the session's token one for the next statement. The last statement's is, where nothing holds it any longer and it was not
    /// cancelled.
    pub(crate) fn renew(&self, token: &mut StatementToken) {
        let is_unused = {
            let running = self.0.lock();
            // The two are this handle's and the session's.
            Arc::ptr_eq(&running.timed_out, &token.timed_out)
                && Arc::strong_count(&running.timed_out) == 2
                && !running.token.is_cancelled()
        };
        if !is_unused {
            *token = self.next_statement();
        }
    }

    /// How many executions of the session wait for memory.
    pub(crate) fn queued(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0.lock().queued)
    }
}

impl StatementToken {
    pub(crate) fn timeout(&self) {
        self.timed_out.store(true, Ordering::SeqCst);
        self.token.cancel();
    }

    /// Notes that an execution waits for memory.
    pub(crate) fn queued(&self) -> Queued {
        self.queued.fetch_add(1, Ordering::Relaxed);
        Queued(Arc::clone(&self.queued))
    }

    pub(crate) async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Why the statement ends.
    pub(crate) fn error(&self) -> QueryError {
        if self.timed_out.load(Ordering::SeqCst) {
            return QueryError::new(ErrorKind::StatementTimeout, "canceling statement due to statement timeout");
        }
        QueryError::new(ErrorKind::QueryCanceled, "canceling statement due to user request")
    }

    /// Runs `work` until it is done or the statement is cancelled.
    pub(crate) async fn guard<T>(&self, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(self.error()),
            outcome = work => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CancelHandle;

    #[test]
    fn a_cancel_ends_one_statement_and_reaches_no_other() {
        let handle = CancelHandle::default();
        let mut token = handle.next_statement();
        handle.renew(&mut token);
        // Rows of the first statement are still being read while the second runs.
        let held = token.clone();
        handle.renew(&mut token);
        handle.cancel();
        assert!(token.is_cancelled() && !held.is_cancelled());
        handle.renew(&mut token);
        assert!(!token.is_cancelled());
        handle.renew(&mut token);
        token.timeout();
        handle.renew(&mut token);
        assert!(!token.is_cancelled());
        handle.cancel();
        assert!(token.is_cancelled());
    }
}
