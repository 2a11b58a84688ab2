//! The committer: one thread that turns waiting drafts into commits.
//!
//! A round takes all drafts that wait, applies each to the head that the one before it left, stages their records, appends them with one
//! fdatasync, publishes the last snapshot and answers everybody. While a round waits for the disk the next one's drafts
//! gather, so the slower the disk, the larger the groups.
//!
//! What can go wrong: a *conflict* concerns one draft. Where it conflicts with a draft of its own round, it is answered when that
//! one is published: whoever is refused sees in the next snapshot what it was refused for. A *full disk* fails the round; the log is cut back to what it was and the next round
//! may succeed. Any other error, above all of fdatasync, leaves the log in an unknown state: the catalog stops for
//! good, because the kernel may have dropped the pages that it could not write, and a second fdatasync would then lie.

use crate::applier::Event;
use crate::commit::{Commit, CommitError, Shared};
use crate::draft::Op;
use crate::files::FileError;
use crate::history::{CommitSummary, summarize};
use crate::keys::{AddedKeys, KeyWindow};
use crate::log::{AppendError, LogWriter};
use crate::reads::{ReadRegions, ReadWindow};
use crate::segment_files::added_segments;
use crate::snapshot::Snapshot;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A round takes no more drafts once its records have this many bytes.
const ROUND_BYTES_MAX: usize = 16 << 20;

pub(crate) type Answer = oneshot::Sender<Result<Commit, CommitError>>;

/// A draft in the queue; `payload` is its encoded operations, in parts. One without operations asks for the snapshot behind those before it.
pub(crate) struct Waiting {
    pub(crate) ops: Vec<Op>,
    pub(crate) keys: Vec<AddedKeys>,
    pub(crate) reads: Vec<ReadRegions>,
    pub(crate) payload: Vec<Vec<u8>>,
    pub(crate) answer: Answer,
}

/// A draft that fits and whose record is staged.
struct Accepted {
    ops: Vec<Op>,
    snapshot: Arc<Snapshot>,
    bytes: u64,
    summary: String,
    answer: Answer,
}

/// What a round made of its drafts.
#[derive(Default)]
struct Round {
    accepted: Vec<Accepted>,
    /// Drafts that did not fit behind the accepted ones.
    refused: Vec<(Answer, CommitError)>,
    /// Who waits for what came before.
    behind: Vec<Answer>,
}

pub(crate) struct Committer {
    shared: Arc<Shared>,
    /// The snapshot after the last accepted draft; ahead of the published one during a round only.
    head: Arc<Snapshot>,
    keys: KeyWindow,
    reads: ReadWindow,
    log: LogWriter,
    drafts: mpsc::Receiver<Waiting>,
    events: mpsc::Sender<Event>,
    clock: Box<dyn Fn() -> i64 + Send>,
    /// Why the log must not be written any more.
    broken: Option<String>,
}

impl Committer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        log: LogWriter,
        drafts: mpsc::Receiver<Waiting>,
        events: mpsc::Sender<Event>,
        clock: Box<dyn Fn() -> i64 + Send>,
    ) -> Self {
        let head = shared.snapshot.load_full();
        let (keys, reads) = (KeyWindow::new(&head), ReadWindow::new(head.seq));
        Self { shared, head, keys, reads, log, drafts, events, clock, broken: None }
    }

    /// Runs until the catalog lets go of the queue. A panic stops the catalog; drafts that waited learn of it by their
    /// answers being dropped.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            while let Some(first) = self.drafts.blocking_recv() {
                self.round(first);
            }
        }));
        if ended.is_err() {
            shared.flying.land();
            tracing::error!("the committer failed; no more commits are accepted");
            shared.stop("internal error in the committer".to_string());
        }
    }

    fn round(&mut self, first: Waiting) {
        let mut round = Round::default();
        let mut next = Some(first);
        while let Some(waiting) = next {
            self.accept(waiting, &mut round);
            let room = self.log.staged_bytes() < ROUND_BYTES_MAX;
            next = if room { self.drafts.try_recv().ok() } else { None };
        }
        if round.accepted.is_empty() {
            self.shared.flying.land();
            return answer_behind(round.behind, &self.head);
        }
        match self.log.append_staged() {
            Ok(()) => self.publish(round),
            Err(AppendError::DiskFull(error)) => {
                self.head = self.shared.snapshot.load_full();
                self.keys.roll_back(self.head.seq);
                self.reads.roll_back(self.head.seq);
                self.shared.flying.land();
                let (path, reason) = (error.path.clone(), error.to_string());
                round.fail(&CommitError::DiskFull { path, reason });
            }
            Err(AppendError::Broken(error)) => {
                let reason = self.stop_for_good(&error);
                self.shared.flying.land();
                round.fail(&CommitError::InDoubt { reason });
            }
        }
    }

    /// Applies a draft to the head and stages its record, or refuses it.
    fn accept(&mut self, waiting: Waiting, round: &mut Round) {
        let Waiting { ops, keys, reads, payload, answer } = waiting;
        if ops.is_empty() {
            return round.behind.push(answer);
        }
        match self.try_accept(&ops, &keys, &reads, &payload) {
            Ok((snapshot, bytes)) => {
                self.keys.push(snapshot.seq, keys);
                let before = std::mem::replace(&mut self.head, Arc::clone(&snapshot));
                self.reads.push(snapshot.seq, &before, &ops);
                let summary = summarize(&before, &snapshot, &ops);
                round.accepted.push(Accepted { ops, snapshot, bytes, summary, answer });
            }
            Err(error) if round.accepted.is_empty() => send(answer, Err(error)),
            Err(error) => round.refused.push((answer, error)),
        }
    }

    fn try_accept(
        &mut self,
        ops: &[Op],
        keys: &[AddedKeys],
        reads: &[ReadRegions],
        payload: &[Vec<u8>],
    ) -> Result<(Arc<Snapshot>, u64), CommitError> {
        // What was queued before a shutdown is still committed; what was queued before a failure is not.
        if let Some(reason) = self.broken.clone() {
            return Err(CommitError::Stopped { reason });
        }
        let seq = self.head.seq.next();
        let at_micros = self.shared.flying.take_off(|| (self.clock)().max(self.head.at_micros));
        self.keys.check(&self.head, keys)?;
        self.reads.check(&self.head, reads)?;
        let next = self.head.apply(seq, at_micros, ops)?;
        let at_bytes = at_micros.to_le_bytes();
        let parts: Vec<&[u8]> = std::iter::once(at_bytes.as_slice()).chain(payload.iter().map(Vec::as_slice)).collect();
        let staged = self.log.stage(seq, &parts);
        let bytes = staged.map_err(|error| CommitError::Stopped { reason: self.stop_for_good(&error) })?;
        Ok((Arc::new(next), bytes))
    }

    fn stop_for_good(&mut self, error: &FileError) -> String {
        let reason = error.to_string();
        tracing::error!(%error, "the log cannot be written; no more commits are accepted until a restart");
        self.broken = Some(reason.clone());
        self.shared.stop(reason.clone());
        reason
    }

    fn publish(&mut self, round: Round) {
        let Round { accepted, refused, behind } = round;
        for commit in &accepted {
            self.shared.reaper.register(added_segments(&commit.ops));
            self.shared.history.push(CommitSummary {
                seq: commit.snapshot.seq,
                at_micros: commit.snapshot.at_micros,
                summary: commit.summary.clone(),
                bytes: commit.bytes,
            });
        }
        self.shared.snapshot.store(Arc::clone(&self.head));
        self.shared.flying.land();
        self.reads.forget(self.keys.published(&self.head));
        self.shared.published.send_replace(self.head.seq);
        let (mut all, mut log_bytes) = (Vec::new(), 0);
        for Accepted { ops, snapshot, bytes, answer, .. } in accepted {
            all.extend(ops);
            log_bytes += bytes;
            send(answer, Ok(Commit { seq: snapshot.seq, at_micros: snapshot.at_micros, snapshot }));
        }
        for (answer, error) in refused {
            send(answer, Err(error));
        }
        answer_behind(behind, &self.head);
        let event = Event::Published { ops: all, snapshot: Arc::clone(&self.head), bytes: log_bytes };
        // The applier ends before the committer only if it failed, which it reports itself.
        let _ = self.events.blocking_send(event);
    }
}

impl Round {
    /// Answers everybody: nothing of the round happened, so neither did what others were refused for.
    fn fail(self, error: &CommitError) {
        let accepted = self.accepted.into_iter().map(|commit| commit.answer);
        let refused = self.refused.into_iter().map(|(answer, _)| answer);
        for answer in accepted.chain(refused).chain(self.behind) {
            send(answer, Err(error.clone()));
        }
    }
}

fn answer_behind(behind: Vec<Answer>, snapshot: &Arc<Snapshot>) {
    for answer in behind {
        let commit = Commit { seq: snapshot.seq, at_micros: snapshot.at_micros, snapshot: Arc::clone(snapshot) };
        send(answer, Ok(commit));
    }
}

fn send(answer: Answer, outcome: Result<Commit, CommitError>) {
    // Nobody may wait for the answer any more.
    let _ = answer.send(outcome);
}
