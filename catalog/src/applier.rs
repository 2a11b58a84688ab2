//! The applier: one thread that carries published commits to the index and writes checkpoints.
//!
//! It runs behind the commits, never in their way: all that waits is applied as one batch, and a commit was durable before it
//! came here. Commits that bring a few rows or mark some dead wait longer than others, because rows that are folded into segments
//! meanwhile never come to the index at all. So whatever fails here fails nothing else. A problem with the index is reported, the index is deleted, and
//! the next start builds it again; a problem with a checkpoint leaves the log longer than it need be.

use crate::checkpoint;
use crate::commit::{CheckpointError, Shared, wall_micros};
use crate::difference::{changes, is_told_by_snapshots};
use crate::draft::Op;
use crate::ids::CommitSeq;
use crate::index::Index;
use crate::snapshot::Snapshot;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

/// How long the first of some commits waits for others: the index is never needed before the next start, and each time that it changes costs
/// more than what changes.
const GATHER: Duration = Duration::from_millis(20);
/// The same where all that was committed are recent rows that come and go, and rows that die: what is folded in between costs nothing
/// then, and the dead rows of a segment are written once for many commits.
const GATHER_ROWS: Duration = Duration::from_secs(5);
/// As much log is applied to the index at once; a start after a crash replays no more of it for the waiting.
const BATCH_LOG_BYTES_MAX: u64 = 16 << 20;

/// What the applier is told.
pub(crate) enum Event {
    /// The commits of a round are visible, the last of which left `snapshot`; `bytes` is the length of their records.
    Published {
        ops: Vec<Op>,
        snapshot: Arc<Snapshot>,
        bytes: u64,
    },
    Checkpoint(oneshot::Sender<Result<CommitSeq, CheckpointError>>),
}

/// Events that are answered together.
#[derive(Default)]
struct Gathered {
    ops: Vec<Op>,
    last: Option<Arc<Snapshot>>,
    log_bytes: u64,
    answers: Vec<oneshot::Sender<Result<CommitSeq, CheckpointError>>>,
    /// An operation is among them that others may want to see applied, such as one that removes files.
    is_urgent: bool,
    /// Nothing follows.
    is_last: bool,
}

impl Gathered {
    fn add(&mut self, event: Event) {
        match event {
            Event::Published { ops, snapshot, bytes } => {
                self.is_urgent |= !ops.iter().all(moves_rows);
                // They would keep rows in memory that are folded before the index hears of them.
                self.ops.extend(ops.into_iter().filter(|op| !is_told_by_snapshots(op)));
                self.last = Some(snapshot);
                self.log_bytes += bytes;
            }
            Event::Checkpoint(answer) => self.answers.push(answer),
        }
    }

    fn is_full(&self) -> bool {
        self.log_bytes >= BATCH_LOG_BYTES_MAX
    }

    /// Takes what waits.
    fn take(&mut self, events: &mut mpsc::Receiver<Event>) {
        while !self.is_full() {
            match events.try_recv() {
                Ok(event) => self.add(event),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.is_last = true;
                    return;
                }
            }
        }
    }

    /// Whether others may still be waited for.
    fn may_wait(&self, since: Instant) -> bool {
        let wait = if self.is_urgent { GATHER } else { GATHER_ROWS };
        self.answers.is_empty() && !self.is_last && !self.is_full() && since.elapsed() < wait
    }
}

/// Whether an operation adds recent rows, folds them or marks rows dead, and no file goes with it.
fn moves_rows(op: &Op) -> bool {
    match op {
        Op::AddRecent { .. } | Op::Delete { .. } | Op::Expect { .. } | Op::SetSequence { .. } => true,
        Op::Rewrite { remove_segments, .. } => remove_segments.is_empty(),
        _ => false,
    }
}

pub(crate) struct Applier {
    shared: Arc<Shared>,
    index: Option<Index>,
    /// The snapshot that the index holds.
    applied: Arc<Snapshot>,
    events: mpsc::Receiver<Event>,
    checkpoint_log_bytes: u64,
    log_bytes_since: u64,
}

impl Applier {
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: Option<Index>,
        events: mpsc::Receiver<Event>,
        checkpoint_log_bytes: u64,
        log_bytes_since: u64,
    ) -> Self {
        let applied = shared.snapshot.load_full();
        Self { shared, index, applied, events, checkpoint_log_bytes, log_bytes_since }
    }

    /// Runs until nobody can tell it anything any more. A panic ends the index and the checkpoints, not the commits.
    pub(crate) fn run(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            // A server that is killed again and again would otherwise never get to the end of what makes a checkpoint due.
            if self.log_bytes_since >= self.checkpoint_log_bytes {
                // What went wrong is logged.
                let _ = self.checkpoint();
            }
            while let Some(event) = self.events.blocking_recv() {
                self.round(event);
            }
            if let Some(problem) = self.index.as_ref().and_then(|index| index.flush().err()) {
                tracing::warn!(%problem, "the index was not flushed");
            }
        }));
        if ended.is_err() {
            tracing::error!("the applier failed; there will be no checkpoints until a restart");
        }
    }

    fn round(&mut self, first: Event) {
        let began = Instant::now();
        let mut gathered = Gathered::default();
        gathered.add(first);
        let is_due = |gathered: &Gathered| self.log_bytes_since + gathered.log_bytes >= self.checkpoint_log_bytes;
        while gathered.may_wait(began) && !is_due(&gathered) {
            // Asleep, because to be woken for each commit costs more than to look after all of them.
            std::thread::sleep(GATHER);
            gathered.take(&mut self.events);
        }
        let Gathered { ops, last, log_bytes, answers, .. } = gathered;
        self.log_bytes_since += log_bytes;
        if let Some(last) = last {
            self.apply(&last, &ops);
            self.applied = last;
        }
        // They name segments, which whoever waits for a checkpoint may want to see reaped.
        drop(ops);
        if !answers.is_empty() || self.log_bytes_since >= self.checkpoint_log_bytes {
            let written = self.checkpoint();
            for answer in answers {
                // Nobody may wait for the answer any more.
                let _ = answer.send(written.clone());
            }
        }
    }

    fn apply(&mut self, after: &Snapshot, ops: &[Op]) {
        let Some(index) = &mut self.index else { return };
        let changes = changes(&self.applied, after, ops);
        if let Err(problem) = index.apply(after.seq, &changes) {
            tracing::error!(%problem, "the index failed and is deleted; it is built again at the next start");
            self.delete_index();
        }
    }

    fn delete_index(&mut self) {
        // sled may panic once more when it is closed.
        let index = self.index.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(index)));
        let directory = &self.shared.directory;
        if let Err(error) = directory.files.remove_directory(&directory.index()) {
            tracing::error!(%error, "the failed index could not be deleted; its checksums will give it away");
        }
    }

    /// Writes the published snapshot, which may be ahead of the index: a caller means the commits that it knows of.
    fn checkpoint(&mut self) -> Result<CommitSeq, CheckpointError> {
        let started = Instant::now();
        self.shared.checkpoint_work.lock().running_since = Some(wall_micros());
        let written = self.write_checkpoint();
        let mut work = self.shared.checkpoint_work.lock();
        (work.running_since, work.last_at) = (None, Some(wall_micros()));
        work.last_micros = Some(started.elapsed().as_micros() as u64);
        work.last_error = written.as_ref().err().map(|error| error.reason.clone());
        written
    }

    fn write_checkpoint(&mut self) -> Result<CommitSeq, CheckpointError> {
        let snapshot = self.shared.snapshot.load_full();
        let directory = &self.shared.directory;
        let newest = checkpoint::list(&directory.files, &directory.checkpoints());
        let written = newest.and_then(|found| {
            if found.first().is_some_and(|(seq, _)| *seq == snapshot.seq) {
                return Ok(());
            }
            checkpoint::write(&directory.files, &directory.checkpoints(), &snapshot)?;
            self.shared.archive.take_superseded()
        });
        self.log_bytes_since = 0;
        written.map(|()| snapshot.seq).map_err(|error| {
            tracing::error!(%error, "a checkpoint could not be written; the log is kept");
            CheckpointError { reason: error.to_string() }
        })
    }
}
