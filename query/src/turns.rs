//! Turns: how statements that lost to another commit take their next try.
//!
//! A statement alone in its transaction that conflicts runs again on a fresh snapshot. Many writers of the same rows
//! would keep overtaking each other like that, so from its second try on a statement waits for its turn, one for each
//! table and in the order of asking. Nobody waits who has not lost, so a turn does not promise to win; it only meets
//! fewer others.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::{Mutex as TurnMutex, OwnedMutexGuard};

/// The turns of all tables, by the name that conflicts tell.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Weak<TurnMutex<()>>>>);

/// A turn; the next begins when it is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits for a turn on a table.
    pub(crate) async fn take(&self, table: &str) -> Turn {
        let queue = {
            let mut queues = self.0.lock();
            queues.retain(|_, queue| queue.strong_count() > 0);
            match queues.get(table).and_then(Weak::upgrade) {
                Some(queue) => queue,
                None => {
                    let queue = Arc::new(TurnMutex::new(()));
                    queues.insert(table.to_string(), Arc::downgrade(&queue));
                    queue
                }
            }
        };
        queue.lock_owned().await
    }
}
