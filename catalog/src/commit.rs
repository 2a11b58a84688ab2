//! Commit: the one door through which the database changes.
//!
//!     commit(draft) ──▶ queue ──▶ committer: apply, append, ONE fdatasync ──▶ publish ──▶ answer
//!                                     │                                          └──▶ applier: index, checkpoints
//!                                     └ a conflict is answered to its writer alone
//!
//! `Catalog::commit` is the only function of the program that makes a change durable. When it returns `Ok`, the change
//! survives (Law 1) and every snapshot from then on has it. Readers take a snapshot without waiting for anybody.
//!
//! Two threads stand behind the door; see `committer` and `applier`. This file knows what a caller may do, not how.

use crate::applier::{Applier, Event};
use crate::archive::{Archive, Cancelled, PastError};
use crate::backup::{self, BackupError, BackupReport};
use crate::committer::{Answer, Committer, Waiting};
use crate::directory::DataDirectory;
use crate::draft::{CommitDraft, Conflict};
use crate::files::{FileError, Files};
use crate::history::{CommitSummary, History};
use crate::ids::{CommitSeq, ObjectId, RecentId};
use crate::log::{FILE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::promptness::be_prompt;
use crate::recovery::{OpenError, RecoveryReport, recover};
use crate::segment::SegmentMeta;
use crate::segment_files::{ReapReport, Reaper, named_segments};
use crate::snapshot::Snapshot;
use crate::stored::encode_in_parts;
use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};

/// Drafts that may wait for the committer; more writers than this wait to be let in.
const DRAFTS_WAITING_MAX: usize = 1024;
/// Rounds of commits that may wait for the index; the committer waits for room beyond that.
const EVENTS_WAITING_MAX: usize = 4096;
/// A checkpoint is due after this much log.
const CHECKPOINT_LOG_BYTES: u64 = 64 << 20;

/// What a draft became when it was durable.
#[derive(Clone, Debug)]
pub struct Commit {
    pub seq: CommitSeq,
    /// Microseconds since 1970; never before those of an earlier commit.
    pub at_micros: i64,
    /// The database right after this commit.
    pub snapshot: Arc<Snapshot>,
}

/// Why a draft did not become a commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It does not fit what was committed since its base; it may fit when it is made again on a fresh snapshot.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Nothing happened, and later commits may succeed.
    #[error("could not write the log: {reason}")]
    DiskFull { path: PathBuf, reason: String },
    /// Nothing happened, and it would not happen again either.
    #[error("transaction is too large: {bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}")]
    TooLarge { bytes: usize },
    /// Nothing happened. The catalog takes no more commits until the server is restarted.
    #[error("the database has stopped accepting writes: {reason}")]
    Stopped { reason: String },
    /// The catalog stopped while this draft was being made durable. Only the next start will tell whether it is there, so
    /// the files of its segments must stay: if it is, recovery will ask for them.
    #[error("the database has stopped accepting writes, the fate of this transaction is unknown: {reason}")]
    InDoubt { reason: String },
}

impl CommitError {
    /// Says how the object in whose way the commit came is called in a snapshot that has it.
    pub fn named(self, known: &Snapshot) -> Self {
        match self {
            Self::Conflict(conflict) => Self::Conflict(conflict.named(known)),
            other => other,
        }
    }
}

/// Why a checkpoint was not written. Nothing is lost: the log stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not write a checkpoint: {reason}")]
pub struct CheckpointError {
    pub reason: String,
}

/// What is known of checkpoints since the start. Times are microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct CheckpointWork {
    /// Since when one is written; `None` while none is.
    pub running_since: Option<i64>,
    pub last_at: Option<i64>,
    pub last_micros: Option<u64>,
    /// Why the last one was not written.
    pub last_error: Option<String>,
}

/// What the catalog's threads and its callers share.
pub(crate) struct Shared {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) published: watch::Sender<CommitSeq>,
    pub(crate) reaper: Reaper,
    pub(crate) history: History,
    pub(crate) archive: Archive,
    /// When the first commit was made that is on its way to the disk; nobody can tell yet whether it will be there.
    pub(crate) flying: Flying,
    pub(crate) checkpoint_work: Mutex<CheckpointWork>,
    /// Why no more commits are taken.
    stopped: Mutex<Option<String>>,
    pub(crate) directory: DataDirectory,
}

impl Shared {
    /// Takes no more commits from now on. The first reason stays.
    pub(crate) fn stop(&self, reason: String) {
        self.stopped.lock().get_or_insert(reason);
    }

    pub(crate) fn stopped(&self) -> Option<String> {
        self.stopped.lock().clone()
    }
}

/// The time of the oldest commit that is not published yet.
#[derive(Default)]
pub(crate) struct Flying {
    since: Mutex<Option<i64>>,
    landed: Condvar,
}

impl Flying {
    /// Takes a commit's time from a clock; from then on whoever waits for that time waits for the commit.
    pub(crate) fn take_off(&self, clock: impl FnOnce() -> i64) -> i64 {
        let mut since = self.since.lock();
        let at_micros = clock();
        since.get_or_insert(at_micros);
        at_micros
    }

    pub(crate) fn land(&self) {
        *self.since.lock() = None;
        self.landed.notify_all();
    }

    /// Waits until no commit of that time or before is on its way.
    fn wait(&self, micros: i64) {
        let mut since = self.since.lock();
        self.landed.wait_while(&mut since, |since| since.is_some_and(|since| since <= micros));
    }
}

/// What tests choose otherwise than the server does.
pub(crate) struct Options {
    pub(crate) files: Files,
    /// Microseconds since 1970.
    pub(crate) clock: Box<dyn Fn() -> i64 + Send>,
    pub(crate) log_file_bytes_max: u64,
    pub(crate) checkpoint_log_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            files: Files::default(),
            clock: Box::new(wall_micros),
            log_file_bytes_max: FILE_BYTES_MAX,
            checkpoint_log_bytes: CHECKPOINT_LOG_BYTES,
        }
    }
}

pub(crate) fn wall_micros() -> i64 {
    // A clock before 1970 counts as 1970; commits never go back in time anyway.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// The catalog of one data directory. One per process; dropping it ends its threads and releases the directory.
pub struct Catalog {
    shared: Arc<Shared>,
    drafts: Mutex<Option<mpsc::Sender<Waiting>>>,
    events: Mutex<Option<mpsc::Sender<Event>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
    applier: Mutex<Option<JoinHandle<()>>>,
    next_object: AtomicU32,
    next_recent: AtomicU64,
}

impl Catalog {
    /// Opens a data directory, creating it where there is none, and recovers what was committed. Blocks while it reads.
    pub fn open(data_dir: &Path) -> Result<(Arc<Self>, RecoveryReport), OpenError> {
        Self::open_with(data_dir, Options::default())
    }

    pub(crate) fn open_with(data_dir: &Path, options: Options) -> Result<(Arc<Self>, RecoveryReport), OpenError> {
        let directory = DataDirectory::open(options.files, data_dir)?;
        let recovered = recover(&directory, options.log_file_bytes_max)?;
        let snapshot = Arc::new(recovered.snapshot);
        let reaper = Reaper::new(directory.files.clone(), &directory.root);
        reaper.register(named_segments(&snapshot));
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::new(Arc::clone(&snapshot)),
            published: watch::Sender::new(snapshot.seq),
            reaper,
            history: History::new(snapshot.seq),
            archive: Archive::of(&directory.files, &directory.root),
            flying: Flying::default(),
            checkpoint_work: Mutex::default(),
            stopped: Mutex::default(),
            directory,
        });
        let (drafts, waiting) = mpsc::channel(DRAFTS_WAITING_MAX);
        let (events, published) = mpsc::channel(EVENTS_WAITING_MAX);
        let committer = Committer::new(Arc::clone(&shared), recovered.log, waiting, events.clone(), options.clock);
        let applier = Applier::new(
            Arc::clone(&shared),
            recovered.index,
            published,
            options.checkpoint_log_bytes,
            recovered.log_bytes_since,
        );
        let catalog = Self {
            shared,
            drafts: Mutex::new(Some(drafts)),
            events: Mutex::new(Some(events)),
            committer: Mutex::new(Some(spawn("committer", move || {
                be_prompt();
                committer.run();
            })?)),
            applier: Mutex::new(Some(spawn("applier", move || applier.run())?)),
            next_object: AtomicU32::new(snapshot.next_object.0),
            next_recent: AtomicU64::new(snapshot.next_recent.0),
        };
        Ok((Arc::new(catalog), recovered.report))
    }

    /// The last published snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// The database as it was at a time, in microseconds since 1970: after all commits that were made then or before. Views of it
    /// have no states. The time must not be in the future, or the answer is not the last word. Blocks while it reads; `cancelled` ends it.
    pub fn snapshot_at(&self, micros: i64, cancelled: Cancelled<'_>) -> Result<Arc<Snapshot>, PastError> {
        self.shared.flying.wait(micros);
        let held = |meta: &SegmentMeta| self.shared.reaper.held(meta.id);
        self.shared.archive.at(&self.snapshot(), micros, &held, cancelled)
    }

    /// From when on [`Self::snapshot_at`] can answer; microseconds since 1970, 0 for the first commit.
    pub fn past_from(&self) -> Result<i64, FileError> {
        self.shared.archive.earliest(&self.snapshot())
    }

    /// The time to forget the past before, where that frees something: `before_micros`, or later where the archived log has more than
    /// so many bytes. What is to be forgotten is said by a commit of [`Op::Forget`](crate::draft::Op::Forget). Reads directories.
    pub fn forgettable(&self, before_micros: i64, log_bytes_max: u64) -> Result<Option<i64>, FileError> {
        let archive = &self.shared.archive;
        let before = archive.excess(log_bytes_max)?.map_or(before_micros, |excess| excess.max(before_micros));
        let snapshot = self.snapshot();
        let removed = snapshot.past.removed().next().is_some_and(|oldest| oldest.at_micros <= before);
        let frees = removed || !archive.spare(before)?.is_empty();
        Ok((frees && before > snapshot.past.from_micros).then_some(before))
    }

    /// Removes the files of the archive that only serve what was forgotten. Gives their number.
    pub fn prune_archive(&self) -> Result<usize, FileError> {
        self.shared.archive.prune(self.snapshot().past.from_micros)
    }

    /// The seq of the last published snapshot, and whenever it grows.
    pub fn watch(&self) -> watch::Receiver<CommitSeq> {
        self.shared.published.subscribe()
    }

    /// Makes a draft durable and visible. A draft without operations takes no seq and answers with the current snapshot.
    ///
    /// The draft stays queued when the future is dropped, so whoever may be cancelled must not own files that its segments name: let
    /// a task of its own await this and decide from the answer. See also [`CommitError::InDoubt`].
    pub async fn commit(&self, draft: CommitDraft) -> Result<Commit, CommitError> {
        // The base is let go here: held until the answer it would keep alive what other commits have removed meanwhile.
        let CommitDraft { base: _, ops, keys, reads } = draft;
        if ops.is_empty() {
            let snapshot = self.snapshot();
            return Ok(Commit { seq: snapshot.seq, at_micros: snapshot.at_micros, snapshot });
        }
        let payload = encode_in_parts(&ops);
        let bytes = payload.iter().map(Vec::len).sum::<usize>();
        if bytes + size_of::<i64>() > PAYLOAD_BYTES_MAX {
            return Err(CommitError::TooLarge { bytes });
        }
        self.queue(|answer| Waiting { ops, keys, reads, payload, answer }).await
    }

    /// Ends when all drafts that were handed in before are published or refused.
    pub async fn settled(&self) -> Result<(), CommitError> {
        let nothing = |answer| Waiting { ops: vec![], keys: vec![], reads: vec![], payload: vec![], answer };
        self.queue(nothing).await.map(drop)
    }

    async fn queue(&self, waiting: impl FnOnce(Answer) -> Waiting) -> Result<Commit, CommitError> {
        let drafts = self.drafts.lock().clone().ok_or_else(|| self.stopped())?;
        let (answer, answered) = oneshot::channel();
        drafts.send(waiting(answer)).await.map_err(|_| self.stopped())?;
        drop(drafts);
        let lost = |_| Err(CommitError::InDoubt { reason: self.stop_reason() });
        answered.await.unwrap_or_else(lost)
    }

    fn stop_reason(&self) -> String {
        self.shared.stopped().unwrap_or_else(|| "the server is shutting down".to_string())
    }

    fn stopped(&self) -> CommitError {
        CommitError::Stopped { reason: self.stop_reason() }
    }

    /// A new id for a schema, table or view. Never given twice by one process, nor after it was committed.
    pub fn allocate_object(&self) -> ObjectId {
        ObjectId(self.next_object.fetch_add(1, Ordering::Relaxed))
    }

    /// A new id for a batch of recent rows, under the same promise.
    pub fn allocate_recent(&self) -> RecentId {
        RecentId(self.next_recent.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes everything that is published now to a checkpoint and lets go of the log before the one before it. Gives the
    /// checkpoint's seq once it is durable.
    pub async fn checkpoint(&self) -> Result<CommitSeq, CheckpointError> {
        let closed = || CheckpointError { reason: "the server is shutting down".to_string() };
        let events = self.events.lock().clone().ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        events.send(Event::Checkpoint(answer)).await.map_err(|_| closed())?;
        drop(events);
        answered.await.map_err(|_| closed())?
    }

    /// The checkpoint that is being written, and the last one.
    pub fn checkpoint_work(&self) -> CheckpointWork {
        self.shared.checkpoint_work.lock().clone()
    }

    /// Takes no more commits, finishes those that wait, writes a checkpoint and ends both threads. What the checkpoint misses
    /// is in the log, so a failure here costs time at the next start and nothing else.
    pub async fn shutdown(&self) {
        self.shared.stop("the server is shutting down".to_string());
        drop(self.drafts.lock().take());
        let committer = self.committer.lock().take();
        join(committer).await;
        if let Err(error) = self.checkpoint().await {
            tracing::warn!(%error, "shut down without a checkpoint");
        }
        drop(self.events.lock().take());
        let applier = self.applier.lock().take();
        join(applier).await;
    }

    /// Copies everything that is published now to a backup in `target`; nobody waits for it. Blocks while it does; `cancelled` ends
    /// it between two files, and the next backup goes on from there.
    pub fn backup(&self, target: &Path, cancelled: &AtomicBool) -> Result<BackupReport, BackupError> {
        let DataDirectory { files, root, .. } = &self.shared.directory;
        let snapshot = self.snapshot();
        let source = backup::Source {
            files,
            data_dir: root,
            snapshot: &snapshot,
            archive: &self.shared.archive,
            now_micros: wall_micros(),
            cancelled,
        };
        backup::make(&source, target)
    }

    /// Removes the files of segments that nobody can read any more. Blocks while it does; for a background loop.
    pub fn reap(&self) -> ReapReport {
        self.shared.reaper.reap()
    }

    /// The last commits, at most 1,000, oldest first. Those before the start are read from the disk the first time.
    pub fn recent_commits(&self) -> Vec<CommitSummary> {
        self.shared.history.list(&self.shared.archive, &self.snapshot())
    }

    /// Lets the files of segments go, which no commit names, when nobody can read them any more.
    pub fn adopt<'a>(&self, segments: impl IntoIterator<Item = &'a Arc<SegmentMeta>>) {
        self.shared.reaper.register(segments);
    }

    /// Why commits are refused; `None` while they are not.
    pub fn stopped_reason(&self) -> Option<String> {
        self.shared.stopped()
    }

    pub fn data_dir(&self) -> &Path {
        &self.shared.directory.root
    }
}

impl Drop for Catalog {
    /// Ends the threads as a crash would, but in order: what was queued is still committed, no checkpoint is written.
    fn drop(&mut self) {
        drop(self.drafts.get_mut().take());
        drop(self.events.get_mut().take());
        for thread in [self.committer.get_mut().take(), self.applier.get_mut().take()].into_iter().flatten() {
            // Its panic was already reported and has stopped the catalog.
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let spawned = std::thread::Builder::new().name(name.to_string()).spawn(body);
    spawned.map_err(|error| OpenError::Thread { name: name.to_string(), reason: error.to_string() })
}

/// Waits for a thread without holding up the runtime.
async fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        // A panic in it was already reported and has stopped the catalog.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

#[cfg(test)]
mod tests;
