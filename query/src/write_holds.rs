//! Write holds: how background rewrites yield to users.
//!
//! A DELETE names rows by where they are. A rewrite that moves them at the same time would make it conflict, so a transaction that
//! deletes *holds* its tables from before it looks at them to its end. It can name only what was there in the snapshot that it looks at, so
//! a rewrite leaves that alone and takes what came later. A rewrite asks right before it commits: with a holder that has come
//! since it began, it gives up and is tried again later. Deleters wait only for a rewrite that is already committing.
//!
//! Who changes rows often does so several times in a row, and a rewrite in between would be for nothing and take a core from them. So
//! a rewrite waits until a table's holders have been at rest for a moment, and stops where one comes. Rewrites that have waited for long
//! are no longer asked to yield, they *insist*:
//!
//!     free ──insist──▶ awaiting: newcomers wait, who is there ends ──▶ committing: all who come wait ──▶ free
//!
//! A transaction that holds the table already is let in while the rewrite awaits the others, for it may be one of those that
//! are awaited. Nobody is awaited for longer than [`HOLDER_AWAITED_MAX`], so whatever a holder waits for in its turn, the wait ends.

use catalog::ids::{CommitSeq, ObjectId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

#[cfg(test)]
mod tests;

/// How long nobody must have come to a table, or left it, before a rewrite begins.
const REST: Duration = Duration::from_secs(1);
/// How long a rewrite waits for that.
const REST_AWAITED_MAX: Duration = Duration::from_secs(10);
/// How long a holder may have held a table for a rewrite that insists to wait for its end.
const HOLDER_AWAITED_MAX: Duration = Duration::from_secs(5);
/// What a holder names that has not looked yet: anything.
const ANYTHING: CommitSeq = CommitSeq(u64::MAX);

/// One who may name rows of a table.
#[derive(Debug)]
struct Holder {
    since: Instant,
    /// It names only rows that were there at this commit.
    names: CommitSeq,
}

/// Who may change a table's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Free,
    /// A rewrite waits for the present holders. Who holds the table already may come again.
    Awaiting,
    /// A rewrite has the right to commit.
    Committing,
}

#[derive(Debug, Default)]
struct TableHolds {
    /// By arrival.
    holders: BTreeMap<u64, Holder>,
    /// Counts every holder that ever came, so that a rewrite notices one that has come and gone.
    arrivals: u64,
    /// When the last holder came or left.
    stirred: Option<Instant>,
    /// Since when rewrites wait.
    awaited: Option<Instant>,
    turn: Turn,
}

impl TableHolds {
    /// Whether the holders have been at rest for long enough.
    fn have_rested(&mut self, now: Instant) -> bool {
        let rested = self.stirred.is_none_or(|stirred| now.saturating_duration_since(stirred) >= REST);
        match rested && self.holders.is_empty() {
            true => self.awaited = None,
            false => _ = self.awaited.get_or_insert(now),
        }
        rested
    }

    /// What was there at this commit may be named by holders; `None` without any.
    fn named(&self) -> Option<CommitSeq> {
        self.holders.values().map(|holder| holder.names).max()
    }

    /// Until when somebody is there who is worth waiting for.
    fn awaits_until(&self, now: Instant) -> Option<Instant> {
        let ends = self.holders.values().map(|holder| holder.since + HOLDER_AWAITED_MAX);
        ends.filter(|end| *end > now).max()
    }
}

#[derive(Debug, Default)]
struct Shared {
    tables: Mutex<HashMap<ObjectId, TableHolds>>,
    /// A rewrite has given up its right.
    committed: Notify,
    /// A holder has left.
    left: Notify,
}

/// The holds on all tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteHolds(Arc<Shared>);

/// A deleter's hold on one table; it ends when dropped.
#[derive(Debug)]
pub(crate) struct WriteHold {
    shared: Arc<Shared>,
    table: ObjectId,
    arrival: u64,
}

/// What a rewrite was told when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RewriteMark {
    arrivals: u64,
    /// What was there at this commit stays where it is.
    pub held: Option<CommitSeq>,
}

/// A rewrite's right to commit; deleters wait until it is dropped.
#[derive(Debug)]
pub(crate) struct RewriteCommit {
    shared: Arc<Shared>,
    table: ObjectId,
    /// What was there at this commit stays where it is.
    pub held: Option<CommitSeq>,
}

impl WriteHolds {
    /// Holds a table for deleting. Waits for a rewrite of it that is committing, and for one that insists unless the transaction
    /// holds the table already. Safe to drop.
    pub(crate) async fn hold(&self, table: ObjectId, again: bool) -> WriteHold {
        loop {
            let notified = self.0.committed.notified();
            if let Some(hold) = self.try_hold(table, again) {
                return hold;
            }
            notified.await;
        }
    }

    fn try_hold(&self, table: ObjectId, again: bool) -> Option<WriteHold> {
        let mut tables = self.0.tables.lock();
        let holds = tables.entry(table).or_default();
        let comes_in = holds.turn == Turn::Free || (again && holds.turn == Turn::Awaiting);
        comes_in.then(|| {
            let now = Instant::now();
            holds.arrivals += 1;
            holds.stirred = Some(now);
            holds.holders.insert(holds.arrivals, Holder { since: now, names: ANYTHING });
            WriteHold { shared: Arc::clone(&self.0), table, arrival: holds.arrivals }
        })
    }

    /// What was there in a table at this commit may be named by its holders; `None` without any.
    pub(crate) fn named(&self, table: ObjectId) -> Option<CommitSeq> {
        self.0.tables.lock().get(&table).and_then(TableHolds::named)
    }

    /// A mark to give to [`Self::may_commit`]; `None` where somebody has come or left a moment before `now`. Without a `now` that does not
    /// matter.
    pub(crate) fn begin_rewrite(&self, table: ObjectId, now: Option<Instant>) -> Option<RewriteMark> {
        let mut tables = self.0.tables.lock();
        let holds = tables.entry(table).or_default();
        let rested = now.is_none_or(|now| holds.have_rested(now));
        rested.then(|| RewriteMark { arrivals: holds.arrivals, held: holds.named() })
    }

    /// Whether rewrites of a table have waited for so long that they insist. Their waiting begins anew.
    pub(crate) fn may_insist(&self, table: ObjectId, now: Instant) -> bool {
        let mut tables = self.0.tables.lock();
        let holds = tables.get_mut(&table).filter(|holds| {
            holds.awaited.is_some_and(|since| now.saturating_duration_since(since) >= REST_AWAITED_MAX)
        });
        holds.is_some_and(|holds| holds.awaited.take().is_some())
    }

    /// The right to commit, once those have left who hold the table and are worth waiting for. Who comes to delete waits until it is
    /// dropped. `None` while another rewrite has it. Safe to drop.
    pub(crate) async fn insist(&self, table: ObjectId) -> Option<RewriteCommit> {
        let begun = Instant::now();
        let mut right = self.take(table, Turn::Awaiting, None)?;
        loop {
            let left = self.0.left.notified();
            let until = {
                let mut tables = self.0.tables.lock();
                let holds = tables.entry(table).or_default();
                // Holders that come again do not make the wait longer.
                let latest = begun + HOLDER_AWAITED_MAX;
                let until = holds.awaits_until(Instant::now()).filter(|_| Instant::now() < latest);
                let Some(until) = until.map(|until| until.min(latest)) else {
                    holds.turn = Turn::Committing;
                    right.held = holds.named();
                    return Some(right);
                };
                until
            };
            tokio::select! {
                () = left => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// Whether somebody has come to the table since `mark`, so that a rewrite is for nothing.
    pub(crate) fn held_since(&self, table: ObjectId, mark: RewriteMark) -> bool {
        self.0.tables.lock().get(&table).is_some_and(|holds| holds.arrivals != mark.arrivals)
    }

    /// Lets a rewrite commit if nobody has come to the table since `mark`.
    pub(crate) fn may_commit(&self, table: ObjectId, mark: RewriteMark) -> Option<RewriteCommit> {
        self.take(table, Turn::Committing, Some(mark))
    }

    fn take(&self, table: ObjectId, turn: Turn, mark: Option<RewriteMark>) -> Option<RewriteCommit> {
        let mut tables = self.0.tables.lock();
        let holds = tables.entry(table).or_default();
        if holds.turn != Turn::Free || mark.is_some_and(|mark| mark.arrivals != holds.arrivals) {
            return None;
        }
        holds.turn = turn;
        Some(RewriteCommit { shared: Arc::clone(&self.0), table, held: holds.named() })
    }
}

impl WriteHold {
    pub(crate) fn table(&self) -> ObjectId {
        self.table
    }

    /// Says that the holder looks at a snapshot of this commit, and names nothing that came later.
    pub(crate) fn looks_at(&self, seq: CommitSeq) {
        if let Some(holds) = self.shared.tables.lock().get_mut(&self.table)
            && let Some(holder) = holds.holders.get_mut(&self.arrival)
        {
            holder.names = seq;
        }
    }
}

impl Drop for WriteHold {
    fn drop(&mut self) {
        if let Some(holds) = self.shared.tables.lock().get_mut(&self.table) {
            holds.holders.remove(&self.arrival);
            holds.stirred = Some(Instant::now());
        }
        self.shared.left.notify_waiters();
    }
}

impl Drop for RewriteCommit {
    fn drop(&mut self) {
        if let Some(holds) = self.shared.tables.lock().get_mut(&self.table) {
            holds.turn = Turn::Free;
        }
        self.shared.committed.notify_waiters();
    }
}
