//! Pools: the part of the budget that one execution has, as DataFusion's operators account to it.
//!
//! A consumer that can spill may take what it finds, as long as each other one of the execution still finds a little: it cannot
//! make others spill, and they must be able to begin. What cannot spill is served as long as there is anything, from the spare too.

use super::admission::{Budget, Spare};
use datafusion::common::{DataFusionError, Result, human_readable_size};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Of what spilling consumers can have, one part in so many is divided among those that have not asked for theirs yet.
const LEFT_SHARE: usize = 2;

/// The memory of one execution. What it holds goes back when the last reservation of it is gone.
#[derive(Debug)]
pub(crate) struct ExecutionPool {
    budget: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What the execution was admitted with, and what of that it may keep unused at the moment.
    admitted_with: usize,
    promise: usize,
    /// Its part of the budget: at least the promise, at least what is used.
    held: usize,
    /// What decoding takes, which nothing accounts for.
    unaccounted: usize,
    reserved: usize,
    /// What consumers that can spill have reserved of that, by their id.
    spilling: HashMap<usize, usize>,
}

impl State {
    fn used(&self) -> usize {
        self.unaccounted + self.reserved
    }

    /// What each consumer that spills can count on, of a part of so many bytes.
    fn floor(&self, part: usize) -> usize {
        let others = self.used() - self.spilling.values().sum::<usize>();
        part.saturating_sub(others) / (LEFT_SHARE * self.spilling.len().max(1))
    }

    /// What the other spilling consumers have not asked for yet.
    fn left_for_others(&self, id: usize, floor: usize) -> usize {
        let others = self.spilling.iter().filter(|(other, _)| **other != id);
        others.map(|(_, bytes)| floor.saturating_sub(*bytes)).sum()
    }

    fn add(&mut self, reservation: &MemoryReservation, additional: usize) {
        self.reserved += additional;
        if let Some(bytes) = self.spilling.get_mut(&reservation.consumer().id()) {
            *bytes += additional;
        }
    }
}

impl ExecutionPool {
    /// A pool with a part that was taken from the budget already.
    pub(super) fn new(budget: Arc<Budget>, part: usize, unaccounted: usize) -> Self {
        let unaccounted = unaccounted.min(part);
        let spilling = HashMap::new();
        let state = State { admitted_with: part, promise: part, held: part, unaccounted, reserved: 0, spilling };
        Self { budget, state: Mutex::new(state) }
    }

    /// Sets what decoding takes, as much of it as the part has.
    pub(super) fn note_unaccounted(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.unaccounted = bytes.min(state.held);
    }

    /// Keeps what is used and no more.
    pub(super) fn rest(&self) {
        let mut state = self.state.lock();
        state.promise = 0;
        self.give_back(&mut state);
    }

    /// Takes again what it was admitted with, or what there is of it.
    pub(super) fn resume(&self) {
        let mut state = self.state.lock();
        let missing = state.admitted_with.saturating_sub(state.held);
        let missing = missing.min(self.budget.free(Spare::Left));
        if self.budget.take(missing, Spare::Left) {
            state.held += missing;
        }
        state.promise = state.held.min(state.admitted_with);
    }

    /// Takes what is used beyond the part, however little is left.
    fn cover(&self, state: &mut State) {
        let missing = state.used().saturating_sub(state.held);
        self.budget.take_anyway(missing);
        state.held += missing;
    }

    /// Makes the part larger, if it must be and there is so much.
    fn extend(&self, state: &mut State, used: usize, spare: Spare) -> bool {
        let missing = used.saturating_sub(state.held);
        let extended = missing == 0 || self.budget.take(missing, spare);
        state.held += if extended { missing } else { 0 };
        extended
    }

    fn give_back(&self, state: &mut State) {
        let needed = state.used().max(state.promise);
        let unused = state.held.saturating_sub(needed);
        state.held -= unused;
        self.budget.give_back(unused);
    }

    /// Whether a consumer that can spill may have so much more; the part is large enough then.
    fn grows_spilling(&self, state: &mut State, id: usize, additional: usize) -> bool {
        let wanted = state.spilling.get(&id).copied().unwrap_or_default() + additional;
        let used = state.used() + additional;
        if wanted <= state.floor(state.promise) {
            // It was admitted for that, whatever its siblings have taken since.
            let missing = used.saturating_sub(state.held);
            self.budget.take_anyway(missing);
            state.held += missing;
            return true;
        }
        let reachable = state.held + self.budget.free(Spare::Left);
        let floor = state.floor(state.held + self.budget.free(Spare::Usable));
        match wanted <= floor {
            true => self.extend(state, used, Spare::Usable),
            false => used + state.left_for_others(id, floor) <= reachable && self.extend(state, used, Spare::Left),
        }
    }
}

impl MemoryPool for ExecutionPool {
    fn name(&self) -> &str {
        "execution"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.state.lock().spilling.insert(consumer.id(), 0);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.state.lock().spilling.remove(&consumer.id());
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut state = self.state.lock();
        state.add(reservation, additional);
        self.cover(&mut state);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut state = self.state.lock();
        state.reserved -= shrink;
        if let Some(bytes) = state.spilling.get_mut(&reservation.consumer().id()) {
            *bytes -= shrink;
        }
        self.give_back(&mut state);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.state.lock();
        let consumer = reservation.consumer();
        let used = state.used() + additional;
        let grows = match consumer.can_spill() {
            true => self.grows_spilling(&mut state, consumer.id(), additional),
            false => self.extend(&mut state, used, Spare::Usable),
        };
        if grows {
            state.add(reservation, additional);
            return Ok(());
        }
        let free = state.held.saturating_sub(state.used()) + self.budget.free(Spare::Usable);
        Err(exhausted(reservation, additional, free, self.budget.bytes()))
    }

    fn reserved(&self) -> usize {
        self.state.lock().reserved
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.budget.bytes())
    }
}

impl Drop for ExecutionPool {
    fn drop(&mut self) {
        let held = self.state.get_mut().held;
        self.budget.give_back(held);
    }
}

impl fmt::Display for ExecutionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", human_readable_size(self.reserved()), human_readable_size(self.budget.bytes()))
    }
}

fn exhausted(reservation: &MemoryReservation, additional: usize, free: usize, budget: usize) -> DataFusionError {
    let [additional, has, free, budget] = [additional, reservation.size(), free, budget].map(human_readable_size);
    let consumer = reservation.consumer().name();
    DataFusionError::ResourcesExhausted(format!(
        "{consumer} has {has} and asked for {additional} more; {free} of {budget} are free."
    ))
}
