//! Registry: who is connected.
//!
//! It gives out seats up to the connection limit and process ids, and finds the session that a CancelRequest names.
//! A session leaves when its [`Registration`] is dropped, and what it was doing is cancelled then.

use bytes::Bytes;
use query::CancelHandle;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// A secret as long as protocol 3.2 may carry; 3.0 has room for four bytes.
pub(crate) const SECRET_BYTES: usize = 32;
/// See [`SECRET_BYTES`].
pub(crate) const SHORT_SECRET_BYTES: usize = 4;

pub(crate) struct Registry {
    seats: Arc<Semaphore>,
    next_process_id: AtomicI32,
    sessions: Mutex<HashMap<i32, Entry>>,
}

struct Entry {
    secret: Bytes,
    cancel: CancelHandle,
    /// Counts cancel requests, for those moments in which the server itself waits for the client.
    requests: watch::Sender<u64>,
}

/// A connection's place among the connections; gives it back when dropped.
pub(crate) struct Seat {
    _permit: OwnedSemaphorePermit,
}

/// A session that can be cancelled; leaves the registry when dropped.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    process_id: i32,
    cancel: CancelHandle,
    pub(crate) requests: watch::Receiver<u64>,
    _seat: Seat,
}

impl Registry {
    pub(crate) fn new(connections_max: usize) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(connections_max)),
            next_process_id: AtomicI32::new(1),
            sessions: Mutex::default(),
        }
    }

    /// `None` when all seats are taken.
    pub(crate) fn take_seat(&self) -> Option<Seat> {
        Arc::clone(&self.seats).try_acquire_owned().ok().map(|permit| Seat { _permit: permit })
    }

    /// A number that no session has at the moment, always positive.
    pub(crate) fn new_process_id(&self) -> i32 {
        loop {
            let process_id = self.next_process_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if process_id != 0 && !self.sessions().contains_key(&process_id) {
                return process_id;
            }
        }
    }

    pub(crate) fn register(
        self: &Arc<Self>,
        process_id: i32,
        secret: Bytes,
        cancel: CancelHandle,
        seat: Seat,
    ) -> Registration {
        let (sender, requests) = watch::channel(0);
        self.sessions().insert(process_id, Entry { secret, cancel: cancel.clone(), requests: sender });
        Registration { registry: Arc::clone(self), process_id, cancel, requests, _seat: seat }
    }

    /// Cancels what the session does at the moment, if the secret is right. Says nothing either way, by protocol.
    pub(crate) fn cancel(&self, process_id: i32, secret: &[u8]) {
        if let Some(entry) = self.sessions().get(&process_id)
            && same(&entry.secret, secret)
        {
            entry.cancel.cancel();
            entry.requests.send_modify(|requests| *requests += 1);
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<i32, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.sessions().remove(&self.process_id);
        self.cancel.cancel();
    }
}

/// Compares in a time that does not tell how much of a guess was right.
fn same(secret: &[u8], guess: &[u8]) -> bool {
    secret.len() == guess.len() && secret.iter().zip(guess).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}
