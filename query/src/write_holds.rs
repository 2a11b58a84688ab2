//! Write holds: how background rewrites yield to users.
//!
//! A DELETE names rows by where they are. A rewrite that moves them at the same time would make it conflict, so a transaction that
//! deletes *holds* its tables from before it looks at them to its end. A rewrite asks right before it commits: with a holder there, or
//! one since it began, it gives up and is tried again later. Deleters wait only for a rewrite that is already committing.

use catalog::ids::ObjectId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Debug, Default)]
struct TableHolds {
    holders: usize,
    /// Counts every holder that ever came, so that a rewrite notices one that has come and gone.
    arrivals: u64,
    committing: bool,
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

    /// A mark to give to [`Self::may_commit`]; `None` while somebody holds the table.
    pub(crate) fn begin_rewrite(&self, table: ObjectId) -> Option<u64> {
        let mut tables = self.0.tables.lock();
        let holds = tables.entry(table).or_default();
        (holds.holders == 0).then_some(holds.arrivals)
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
