//! Who is admitted when, and what pools give to whom.

use super::*;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::FutureExt;
use std::pin::pin;

const MIB: usize = 1 << 20;
/// Of 400 MiB queries have 300, and leave 37 of them to those who cannot wait.
const MEMORY: usize = 400 * MIB;

fn needs(mebibytes: usize) -> Needs {
    Needs::of_bytes(mebibytes * MIB)
}

/// An execution that is admitted at once.
fn admitted(budget: &Arc<Budget>, mebibytes: usize) -> Admitted {
    budget.admit(needs(mebibytes), || ()).now_or_never().expect("there is room")
}

fn reservation(pool: &Arc<ExecutionPool>, name: &str, can_spill: bool) -> MemoryReservation {
    let pool: Arc<dyn MemoryPool> = Arc::clone(pool) as _;
    MemoryConsumer::new(name).with_can_spill(can_spill).register(&pool)
}

#[test]
fn executions_wait_in_their_order_until_there_is_room() {
    let budget = Budget::new(MEMORY);
    let first: Vec<Admitted> = (0..3).map(|_| admitted(&budget, 75)).collect();
    let queued = std::cell::Cell::new(0);
    let mut large = pin!(budget.admit(needs(75), || queued.set(1)));
    assert!(large.as_mut().now_or_never().is_none());
    assert_eq!(queued.get(), 1);
    // It would fit, but comes later.
    let mut later = pin!(budget.admit(needs(20), || ()));
    assert!(later.as_mut().now_or_never().is_none());
    drop(first);
    let large = large.now_or_never().expect("there is room");
    assert!(large.active.is_some());
    assert!(later.now_or_never().is_some());
}

#[test]
fn what_needs_next_to_nothing_waits_for_nobody() {
    let budget = Budget::new(MEMORY);
    let _all: Vec<Admitted> = (0..3).map(|_| admitted(&budget, 75)).collect();
    let mut waits = pin!(budget.admit(needs(75), || ()));
    assert!(waits.as_mut().now_or_never().is_none());
    assert!(admitted(&budget, 1).active.is_none());
    assert!(admitted(&budget, 0).active.is_none());
}

#[test]
fn who_gives_up_makes_room_for_the_next() {
    let budget = Budget::new(MEMORY);
    let all: Vec<Admitted> = (0..3).map(|_| admitted(&budget, 75)).collect();
    let mut next = pin!(budget.admit(needs(30), || ()));
    {
        let mut first = pin!(budget.admit(needs(75), || ()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(next.as_mut().now_or_never().is_none());
    }
    assert!(next.now_or_never().is_some());
    drop(all);
    assert_eq!(budget.free(Spare::Usable), budget.bytes());
}

#[test]
fn nobody_waits_for_executions_at_rest() {
    let budget = Budget::new(MEMORY);
    let open: Vec<Admitted> = (0..3).map(|_| admitted(&budget, 75)).collect();
    let used: Vec<MemoryReservation> = open.iter().map(|open| reservation(&open.pool, "join", false)).collect();
    used.iter().for_each(|used| used.try_grow(75 * MIB).expect("it was promised"));
    let mut waits = pin!(budget.admit(needs(75), || ()));
    assert!(waits.as_mut().now_or_never().is_none());
    let resting: Vec<Rest<'_>> = open.iter().map(|open| open.active.as_ref().expect("it is large").rest()).collect();
    let begun = waits.now_or_never().expect("the others are at rest");
    // It has what is left without the spare, 37 MiB of 300, and the spare.
    let sort = reservation(&begun.pool, "sort", true);
    assert!(sort.try_grow(30 * MIB).is_ok());
    drop(resting);
    assert!(pin!(budget.admit(needs(75), || ())).now_or_never().is_none());
}

#[test]
fn what_is_at_rest_gives_back_what_it_does_not_use() {
    let budget = Budget::new(MEMORY);
    let open = admitted(&budget, 75);
    let rest = open.active.as_ref().expect("it is large").rest();
    assert_eq!(budget.free(Spare::Usable), budget.bytes());
    drop(rest);
    assert_eq!(budget.free(Spare::Usable), budget.bytes() - 75 * MIB);
    drop(open);
    assert_eq!(budget.free(Spare::Usable), budget.bytes());
}

#[test]
fn one_that_spills_leaves_something_to_the_others_of_its_execution() {
    let budget = Budget::new(MEMORY);
    let execution = admitted(&budget, 75);
    let consumers: Vec<MemoryReservation> =
        ["a", "b", "c"].map(|name| reservation(&execution.pool, name, true)).into_iter().collect();
    let mut taken = 0;
    while consumers[0].try_grow(MIB).is_ok() {
        taken += 1;
    }
    // All but the spare, and a sixth of that for each of the others.
    assert!((150..200).contains(&taken), "{taken} MiB");
    for other in &consumers[1..] {
        assert!(other.try_grow(40 * MIB).is_ok());
    }
    assert!(consumers[0].try_grow(MIB).is_err());
    // What cannot spill has the spare as well.
    let join = reservation(&execution.pool, "join", false);
    assert!(join.try_grow(30 * MIB).is_ok());
    let refused = join.try_grow(30 * MIB).expect_err("there is no more").strip_backtrace();
    assert!(refused.contains("join has 30.0 MB and asked for 30.0 MB more"), "{refused}");
    drop((consumers, join));
    assert_eq!(execution.pool.reserved(), 0);
    assert_eq!(budget.free(Spare::Usable), budget.bytes() - 75 * MIB);
}

#[test]
fn what_was_promised_is_there_when_others_have_taken_the_rest() {
    let budget = Budget::new(MEMORY);
    let [one, other] = [admitted(&budget, 70), admitted(&budget, 70)];
    let [greedy, late] = [&one, &other].map(|execution| reservation(&execution.pool, "sort", true));
    while greedy.try_grow(MIB).is_ok() {}
    assert!(late.try_grow(35 * MIB).is_ok());
    assert!(late.try_grow(35 * MIB).is_ok());
}
