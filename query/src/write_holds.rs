//! Write holds: how background rewrites yield to users.
//!
//! A DELETE names rows by where they are. A rewrite that moves them at the same time would make it conflict, so a transaction that
//! deletes *holds* its tables from before it looks at them to its end. A rewrite asks right before it commits: with a holder there, or
//! one since it began, it gives up and is tried again later. Deleters wait only for a rewrite that is already committing.
//!
//! Who changes rows often does so several times in a row, and a rewrite in between would be for nothing and take a core from them. So
//! a rewrite waits until a table's holders have been at rest for a moment, though not for ever, and stops where one comes.

use catalog::ids::ObjectId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long nobody must have held a table before a rewrite begins.
const REST: Duration = Duration::from_secs(1);
/// How long a rewrite waits for that.
const REST_AWAITED_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct TableHolds {
    holders: usize,
    /// Counts every holder that ever came, so that a rewrite notices one that has come and gone.
    arrivals: u64,
    /// When the last holder left.
    left: Option<Instant>,
    /// Since when rewrites wait for a rest.
    awaited: Option<Instant>,
    committing: bool,
}

impl TableHolds {
    /// Whether the holders have been at rest for long enough, or a rewrite has waited for long enough.
    fn have_rested(&mut self, now: Instant) -> bool {
        let rested = self.left.is_none_or(|left| now.saturating_duration_since(left) >= REST);
        let awaited = *self.awaited.get_or_insert(now);
        let done = rested || now.saturating_duration_since(awaited) >= REST_AWAITED_MAX;
        if done {
            self.awaited = None;
        }
        done
    }
}

#[derive(Debug, Default)]
struct Shared {
    tables: Mutex<HashMap<ObjectId, TableHolds>>,
    committed: Notify,
}

/// The holds on all tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteHolds(Arc<Shared>);

/// A deleter's hold on one table; it ends when dropped.
#[derive(Debug)]
pub(crate) struct WriteHold {
    shared: Arc<Shared>,
    table: ObjectId,
}

/// A rewrite's right to commit; deleters wait until it is dropped.
#[derive(Debug)]
pub(crate) struct RewriteCommit {
    shared: Arc<Shared>,
    table: ObjectId,
}

impl WriteHolds {
    /// Holds a table for deleting. Waits for a rewrite of it that is committing.
    pub(crate) async fn hold(&self, table: ObjectId) -> WriteHold {
        loop {
            let notified = self.0.committed.notified();
            {
                let mut tables = self.0.tables.lock();
                let holds = tables.entry(table).or_default();
                if !holds.committing {
                    holds.holders += 1;
                    holds.arrivals += 1;
                    return WriteHold { shared: Arc::clone(&self.0), table };
                }
            }
            notified.await;
        }
    }

    /// A mark to give to [`Self::may_commit`]; `None` while somebody holds the table, or has a moment before `now`. Without a `now` a moment
    /// before does not matter.
    pub(crate) fn begin_rewrite(&self, table: ObjectId, now: Option<Instant>) -> Option<u64> {
        let mut tables = self.0.tables.lock();
        let holds = tables.entry(table).or_default();
        (holds.holders == 0 && now.is_none_or(|now| holds.have_rested(now))).then_some(holds.arrivals)
    }

    /// Whether somebody has held the table since `mark`, so that a rewrite is for nothing.
    pub(crate) fn held_since(&self, table: ObjectId, mark: u64) -> bool {
        self.0.tables.lock().get(&table).is_some_and(|holds| holds.arrivals != mark)
    }

    /// Lets a rewrite commit if nobody has held the table since `mark`.
    pub(crate) fn may_commit(&self, table: ObjectId, mark: u64) -> Option<RewriteCommit> {
        let mut tables = self.0.tables.lock();
        let holds = tables.entry(table).or_default();
        if holds.holders > 0 || holds.arrivals != mark || holds.committing {
            return None;
        }
        holds.committing = true;
        Some(RewriteCommit { shared: Arc::clone(&self.0), table })
    }
}

impl Drop for WriteHold {
    fn drop(&mut self) {
        if let Some(holds) = self.shared.tables.lock().get_mut(&self.table) {
            holds.holders -= 1;
            holds.left = Some(Instant::now());
        }
    }
}

impl Drop for RewriteCommit {
    fn drop(&mut self) {
        if let Some(holds) = self.shared.tables.lock().get_mut(&self.table) {
            holds.committing = false;
        }
        self.shared.committed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: ObjectId = ObjectId(16384);

    #[tokio::test]
    async fn a_rewrite_waits_until_holders_have_rested() {
        let holds = WriteHolds::default();
        let begun = Instant::now();
        let mark = holds.begin_rewrite(TABLE, Some(begun)).expect("nobody has held the table");
        assert!(!holds.held_since(TABLE, mark));

        let hold = holds.hold(TABLE).await;
        assert!(holds.held_since(TABLE, mark));
        assert_eq!(holds.begin_rewrite(TABLE, None), None);
        drop(hold);
        let left = Instant::now();
        assert_eq!(holds.begin_rewrite(TABLE, Some(left)), None);
        assert!(holds.begin_rewrite(TABLE, None).is_some());
        assert!(holds.begin_rewrite(TABLE, Some(left + REST)).is_some());
    }

    #[tokio::test]
    async fn a_rewrite_does_not_wait_for_ever() {
        let holds = WriteHolds::default();
        drop(holds.hold(TABLE).await);
        let first = Instant::now();
        assert_eq!(holds.begin_rewrite(TABLE, Some(first)), None);
        let late = first + REST_AWAITED_MAX;
        // Somebody has just left again.
        holds.0.tables.lock().entry(TABLE).or_default().left = Some(late);
        assert_eq!(holds.begin_rewrite(TABLE, Some(late - REST)), None);
        assert!(holds.begin_rewrite(TABLE, Some(late)).is_some());
    }
}
