//! What the background does and did, for `meridian.background`.
//!
//! One row for each kind of work on each object, since the start. It decides nothing.

use crate::engine::now_micros;
use catalog::ids::ObjectId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A kind of work. What it is called in SQL stands in [`TaskKind::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    FoldView,
    FoldRows,
    Compact,
    Retention,
    Checkpoint,
    Reap,
    Forget,
}

impl TaskKind {
    /// The word that `meridian.background` shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::FoldView => "fold view",
            Self::FoldRows => "fold rows",
            Self::Compact => "compact",
            Self::Retention => "retention",
            Self::Checkpoint => "checkpoint",
            Self::Reap => "reap",
            Self::Forget => "forget history",
        }
    }
}

/// What is known of one kind of work on one object. Times are microseconds since 1970, durations microseconds.
#[derive(Clone, Debug, Default)]
pub struct TaskState {
    /// Since when it runs; `None` while it does not.
    pub running_since: Option<i64>,
    /// When it last ended.
    pub last_at: Option<i64>,
    pub last_micros: Option<u64>,
    /// Rows and bytes that the last run took in, where it counts them.
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    /// Why the last run failed.
    pub last_error: Option<String>,
}

/// What is worked on: a kind of work, and the table or view that it is done for.
pub type TaskKey = (TaskKind, Option<ObjectId>);

/// All work since the start.
#[derive(Clone, Debug, Default)]
pub struct TaskLog(Arc<Mutex<BTreeMap<TaskKey, TaskState>>>);

impl TaskLog {
    /// Notes that work begins, until it is ended or dropped.
    pub(crate) fn begin(&self, kind: TaskKind, object: Option<ObjectId>) -> RunningTask {
        self.0.lock().entry((kind, object)).or_default().running_since = Some(now_micros());
        RunningTask { log: self.clone(), key: (kind, object), started: Instant::now() }
    }

    pub(crate) fn all(&self) -> Vec<(TaskKey, TaskState)> {
        self.0.lock().iter().map(|(key, state)| (*key, state.clone())).collect()
    }

    /// Forgets objects that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(ObjectId) -> bool) {
        self.0.lock().retain(|(_, object), _| object.is_none_or(&exists));
    }
}

/// Work that goes on.
#[derive(Debug)]
pub(crate) struct RunningTask {
    log: TaskLog,
    key: TaskKey,
    started: Instant,
}

impl RunningTask {
    /// Notes how it ended.
    pub(crate) fn end(self, rows: Option<u64>, bytes: Option<u64>, error: Option<String>) {
        let mut tasks = self.log.0.lock();
        let state = tasks.entry(self.key).or_default();
        state.last_at = Some(now_micros());
        state.last_micros = Some(self.started.elapsed().as_micros() as u64);
        (state.rows, state.bytes, state.last_error) = (rows, bytes, error);
    }
}

/// Work that came to nothing leaves what the last run did.
impl Drop for RunningTask {
    fn drop(&mut self) {
        if let Some(state) = self.log.0.lock().get_mut(&self.key) {
            state.running_since = None;
        }
    }
}
