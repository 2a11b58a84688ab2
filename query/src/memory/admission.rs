//! Admission: the budget, and the queue of executions that wait for a part of it.
//!
//! First come, first served: a large execution is not overtaken for ever by smaller ones. Only what needs next to nothing, such as
//! the look-up of a row, goes past the queue, into the spare.

use super::Needs;
use super::pool::ExecutionPool;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What queries may use of the memory that the process was given. The rest is for caches, for what operators do not account for and
/// for what the allocator keeps.
const QUERIES_PERCENT: usize = 75;
/// One part in so many is left free by whoever can wait or spill.
const SPARE_SHARE: usize = 8;
/// One part in so many is promised to folds, compaction, and whatever else is no execution of a plan.
const BACKGROUND_SHARE: usize = 16;
/// An execution that needs one part in so many waits for nobody, nor does one that needs next to nothing.
const SMALL_SHARE: usize = 256;
const SMALL_BYTES: usize = 1 << 20;
/// One part in so many is the most that an execution waits for; more it borrows as it goes.
const PROMISE_SHARE_MAX: usize = 4;

/// The memory that queries share.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What pools hold, used or not.
    held: usize,
    /// Executions that compute; those at rest and small ones are not among them.
    active: usize,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    promise: usize,
    admitted: oneshot::Sender<Admitted>,
}

/// An execution that may begin.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) pool: Arc<ExecutionPool>,
    /// `None` for one that nobody need wait for.
    pub(crate) active: Option<Active>,
}

/// One execution that computes, until it is dropped.
#[derive(Debug)]
pub(crate) struct Active {
    budget: Arc<Budget>,
    pool: Arc<ExecutionPool>,
}

/// An execution whose client does not read, until it is dropped.
pub(crate) struct Rest<'a>(&'a Active);

impl Budget {
    /// The budget of a process that may use `memory_bytes`.
    pub(crate) fn new(memory_bytes: usize) -> Arc<Self> {
        let bytes = memory_bytes / 100 * QUERIES_PERCENT;
        Arc::new(Self { bytes, state: Mutex::default() })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The pool of what is no execution of a client's plan.
    pub(crate) fn background_pool(self: &Arc<Self>) -> Arc<ExecutionPool> {
        let promise = self.bytes / BACKGROUND_SHARE;
        self.state.lock().held += promise;
        Arc::new(ExecutionPool::new(Arc::clone(self), promise, 0))
    }

    /// Waits until an execution may begin. Where that is not at once, what `queued` returns is kept until then. Dropping the future
    /// leaves the queue.
    pub(crate) async fn admit<T>(self: &Arc<Self>, needs: Needs, queued: impl FnOnce() -> T) -> Admitted {
        let wanted = needs.promise();
        if wanted <= (self.bytes / SMALL_SHARE).max(SMALL_BYTES) && self.take(wanted, Spare::Usable) {
            let pool = Arc::new(ExecutionPool::new(Arc::clone(self), wanted, needs.unaccounted));
            return Admitted { pool, active: None };
        }
        let (sender, mut receiver) = oneshot::channel();
        let promise = wanted.min(self.bytes / PROMISE_SHARE_MAX);
        self.state.lock().waiting.push_back(Waiting { promise, admitted: sender });
        let _left = Left(self);
        self.admit_next();
        let admitted = match receiver.try_recv() {
            Ok(admitted) => admitted,
            Err(_) => {
                let _queued = queued();
                receiver.await.expect("the queue keeps its senders until they are served")
            }
        };
        admitted.pool.note_unaccounted(needs.unaccounted);
        admitted
    }

    /// Admits as many as there is room for, in their order.
    fn admit_next(self: &Arc<Self>) {
        while let Some((waiting, part)) = self.next() {
            let pool = Arc::new(ExecutionPool::new(Arc::clone(self), part, 0));
            let active = Active { budget: Arc::clone(self), pool: Arc::clone(&pool) };
            // Where nobody waits any more, dropping it makes room for the next one.
            drop(waiting.admitted.send(Admitted { pool, active: Some(active) }));
        }
    }

    /// The first in the queue and its part, both counted already; `None` where it must wait.
    fn next(&self) -> Option<(Waiting, usize)> {
        let mut state = self.state.lock();
        while state.waiting.front().is_some_and(|first| first.admitted.is_closed()) {
            state.waiting.pop_front();
        }
        let wanted = state.waiting.front()?.promise;
        let room = self.room(&state, Spare::Left);
        if wanted > room && state.active > 0 {
            return None;
        }
        let part = wanted.min(room);
        state.held += part;
        state.active += 1;
        Some((state.waiting.pop_front()?, part))
    }

    fn room(&self, state: &State, spare: Spare) -> usize {
        let usable = match spare {
            Spare::Usable => self.bytes,
            Spare::Left => self.bytes - self.bytes / SPARE_SHARE,
        };
        usable.saturating_sub(state.held)
    }

    /// What could be taken now.
    pub(super) fn free(&self, spare: Spare) -> usize {
        self.room(&self.state.lock(), spare)
    }

    /// Takes a part, if there is so much.
    pub(super) fn take(&self, bytes: usize, spare: Spare) -> bool {
        let mut state = self.state.lock();
        let fits = bytes <= self.room(&state, spare);
        if fits {
            state.held += bytes;
        }
        fits
    }

    /// Takes a part that cannot be refused.
    pub(super) fn take_anyway(&self, bytes: usize) {
        self.state.lock().held += bytes;
    }

    pub(super) fn give_back(self: &Arc<Self>, bytes: usize) {
        if bytes > 0 {
            self.state.lock().held -= bytes;
            self.admit_next();
        }
    }
}

/// Whether what is kept for those who can neither wait nor spill may be taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spare {
    Usable,
    Left,
}

/// Looks at the queue again when somebody left it: the next one may fit.
struct Left<'a>(&'a Arc<Budget>);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.admit_next();
    }
}

impl Active {
    /// Gives back what the execution does not use, and lets others not wait for it.
    pub(crate) fn rest(&self) -> Rest<'_> {
        self.pool.rest();
        self.budget.state.lock().active -= 1;
        self.budget.admit_next();
        Rest(self)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.budget.state.lock().active -= 1;
        self.budget.admit_next();
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.budget.state.lock().active += 1;
        self.0.pool.resume();
    }
}

#[cfg(test)]
mod tests;
