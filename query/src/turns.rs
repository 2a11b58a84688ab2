//! Turns: how statements that lost to another commit take their next try.
//!
//! A statement alone in its transaction that conflicts runs again on a fresh snapshot. Many writers of the same rows
//! would keep overtaking each other like that, so from its second try on a statement waits for its turn, one for each
//! table and in the order of asking. Nobody waits who has not lost.
//!
//! A turn does not promise to win: an ALTER TABLE that writes all rows anew loses to each row that comes meanwhile. So who goes on
//! losing in its turn *reserves* the table: whoever else would commit rows of it waits, as for PostgreSQL's lock.
//!
//! Who loses even then lost to a commit that is on its way to the disk, and pauses before the next try.
//!
//! A transaction block that alters a table *locks* it: it takes a turn and reserves the table until it ends.
//!
//! Who commits rows *passes* the reservations: from the look at them to the end of the commit. Who locks a table waits for those who passed
//! before, so that it sees their rows, or what comes behind it would find them neither taken nor there.
//!
//! Who has reserved a table waits for no other reservation, and who waits for one has done all that it does but to commit. Who has locked a
//! table waits for no other turn, and who passes waits for nothing but the disk. So nobody waits in a circle.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as TurnMutex, Notify, OwnedMutexGuard, OwnedRwLockReadGuard, RwLock};

/// After how many tries in its turn such a statement keeps others from committing rows of the table.
pub(crate) const UNRESERVED_TRIES_MAX: usize = 3;
/// The longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_millis(128);

/// The turns and reservations of all tables, by the name that conflicts tell.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    queues: Mutex<HashMap<String, Weak<TurnMutex<()>>>>,
    reserved: Arc<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    tables: Mutex<HashSet<String>>,
    ended: Notify,
    /// Read by those who pass.
    passing: Arc<RwLock<()>>,
}

/// The way of a commit past the reservations; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Passage(#[expect(dead_code, reason = "held to its end")] OwnedRwLockReadGuard<()>);

/// A turn; the next begins when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    table: String,
    _guard: OwnedMutexGuard<()>,
}

/// A reserved table; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    reserved: Arc<Reserved>,
    table: String,
}

/// A table that is reserved until a transaction ends. Fields are dropped in this order.
#[derive(Debug)]
pub(crate) struct TableLock {
    reservation: Reservation,
    _turn: Turn,
}

impl TableLock {
    pub(crate) fn is_of(&self, table: &str) -> bool {
        self.reservation.table == table
    }
}

impl Turns {
    /// Waits for a turn on a table.
    pub(crate) async fn take(&self, table: &str) -> Turn {
        Turn { table: table.to_string(), _guard: self.queue(table).lock_owned().await }
    }

    /// A turn on a table that nobody has and nobody waits for.
    pub(crate) fn try_take(&self, table: &str) -> Option<Turn> {
        Some(Turn { table: table.to_string(), _guard: self.queue(table).try_lock_owned().ok()? })
    }

    fn queue(&self, table: &str) -> Arc<TurnMutex<()>> {
        let mut queues = self.queues.lock();
        queues.retain(|_, queue| queue.strong_count() > 0);
        match queues.get(table).and_then(Weak::upgrade) {
            Some(queue) => queue,
            None => {
                let queue = Arc::new(TurnMutex::new(()));
                queues.insert(table.to_string(), Arc::downgrade(&queue));
                queue
            }
        }
    }

    /// Locks the table of a turn.
    pub(crate) fn lock(&self, turn: Turn) -> TableLock {
        TableLock { reservation: self.reserve(&turn), _turn: turn }
    }

    /// Reserves the table of a turn.
    pub(crate) fn reserve(&self, turn: &Turn) -> Reservation {
        self.reserved.tables.lock().insert(turn.table.clone());
        Reservation { reserved: Arc::clone(&self.reserved), table: turn.table.clone() }
    }

    /// Passes when none of these tables is reserved. Safe to drop.
    pub(crate) async fn pass(&self, tables: &HashSet<String>) -> Passage {
        loop {
            self.unreserved(tables).await;
            let passage = Passage(Arc::clone(&self.reserved.passing).read_owned().await);
            if self.reserved.tables.lock().is_disjoint(tables) {
                return passage;
            }
        }
    }

    /// Waits for all who pass now. Safe to drop.
    pub(crate) async fn passed(&self) {
        drop(self.reserved.passing.write().await);
    }

    /// Waits until none of these tables is reserved. Safe to drop.
    async fn unreserved(&self, tables: &HashSet<String>) {
        loop {
            let ended = self.reserved.ended.notified();
            if self.reserved.tables.lock().is_disjoint(tables) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.reserved.tables.lock().remove(&self.table);
        self.reserved.ended.notify_waiters();
    }
}

/// The pause behind a try that was lost though the table was reserved: the commit that it was lost to is on its way to the disk, which may
/// take long, and can be seen only then.
pub(crate) fn pause_after(attempt: usize) -> Option<Duration> {
    let doublings = attempt.checked_sub(UNRESERVED_TRIES_MAX + 1)?;
    Some(PAUSE_MAX.min(Duration::from_millis(1 << doublings.min(10))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_would_commit_rows_of_a_reserved_table_waits() {
        let turns = Turns::default();
        let turn = turns.take("sales").await;
        let (sales, others) = (HashSet::from(["sales".to_string()]), HashSet::from(["orders".to_string()]));
        assert!(futures::poll!(Box::pin(turns.unreserved(&sales))).is_ready(), "a turn hinders nobody");

        let reservation = turns.reserve(&turn);
        let mut waiting = Box::pin(turns.unreserved(&sales));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert!(futures::poll!(Box::pin(turns.unreserved(&others))).is_ready());
        drop(reservation);
        assert!(futures::poll!(&mut waiting).is_ready());
    }

    #[tokio::test]
    async fn who_reserves_a_table_waits_for_those_who_pass() {
        let turns = Turns::default();
        let sales = HashSet::from(["sales".to_string()]);
        let passage = turns.pass(&sales).await;
        let reservation = turns.reserve(&turns.take("sales").await);
        let mut passed = Box::pin(turns.passed());
        assert!(futures::poll!(&mut passed).is_pending(), "a commit is on its way");
        let mut later = Box::pin(turns.pass(&sales));
        assert!(futures::poll!(&mut later).is_pending());
        drop(passage);
        assert!(futures::poll!(&mut passed).is_ready());
        assert!(futures::poll!(&mut later).is_pending(), "the table is reserved");
        drop(reservation);
        assert!(futures::poll!(&mut later).is_ready());
    }

    #[tokio::test]
    async fn a_turn_begins_when_the_one_before_ends() {
        let turns = Turns::default();
        let first = turns.take("sales").await;
        let mut second = Box::pin(turns.take("sales"));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert!(futures::poll!(&mut second).is_ready());
    }
}
