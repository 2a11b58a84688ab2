//! Write holds: how background rewrites yield to users.
//!
//! A DELETE names rows by where they are. A rewrite that moves them at the same time would make it conflict, so a transaction that
//! deletes *holds* its tables from before it looks at them to its end. A rewrite asks right before it commits: with a holder there, or
//! one since it began, it gives up and is tried again later. Deleters wait only for a rewrite that is already committing.
//!
//! Who changes rows often does so several times in a row, and a rewrite in between would be for nothing and take a core from them. So
//! a rewrite waits until a table's holders have been at rest for a moment, and stops where one comes. Rewrites that have waited for long
//! are no longer asked to yield: in the next moment without a holder they take the right to commit before they begin, and who deletes
//! waits for them.

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
    /// Whether the holders have been at rest for long enough.
    fn have_rested(&mut self, now: Instant) -> bool {
        let rested = self.left.is_none_or(|left| now.saturating_duration_since(left) >= REST);
        match rested && self.holders == 0 {
            true => self.awaited = None,
            false => _ = self.awaited.get_or_insert(now),
        }
        rested
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
        let rested = now.is_none_or(|now| holds.have_rested(now));
        (holds.holders == 0 && rested).then_some(holds.arrivals)
    }

    /// The right to commit for rewrites of a table that have waited for a rest for long enough, where nobody holds it now. Those who
    /// come to delete wait until it is dropped.
    pub(crate) fn insist(&self, table: ObjectId, now: Instant) -> Option<RewriteCommit> {
        let mut tables = self.0.tables.lock();
        let holds = tables.get_mut(&table)?;
        let waited = holds.awaited.is_some_and(|since| now.saturating_duration_since(since) >= REST_AWAITED_MAX);
        if !waited || holds.holders > 0 || holds.committing {
            return None;
        }
        holds.awaited = None;
        holds.committing = true;
        Some(RewriteCommit { shared: Arc::clone(&self.0), table })
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
    async fn rewrites_that_have_waited_insist_once_nobody_holds_the_table() {
        let holds = WriteHolds::default();
        let hold = holds.hold(TABLE).await;
        let first = Instant::now();
        assert_eq!(holds.begin_rewrite(TABLE, Some(first)), None);
        let late = first + REST_AWAITED_MAX;
        assert!(holds.insist(TABLE, late).is_none(), "somebody holds the table");
        drop(hold);
        holds.0.tables.lock().entry(TABLE).or_default().left = Some(late);
        assert_eq!(holds.begin_rewrite(TABLE, Some(late)), None, "somebody has just left");
        assert!(holds.insist(TABLE, late - REST).is_none(), "they have not waited for long");
        let commit = holds.insist(TABLE, late).expect("nobody holds the table");
        let deleter = tokio::spawn({
            let holds = holds.clone();
            async move { holds.hold(TABLE).await }
        });
        tokio::task::yield_now().await;
        assert!(!deleter.is_finished());
        drop(commit);
        drop(deleter.await.expect("the deleter goes on"));
        assert!(holds.insist(TABLE, late).is_none(), "waiting begins anew");
    }
}
