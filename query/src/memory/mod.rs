//! Memory: the one budget of the process, and how executions come to their parts of it.
//!
//! What decoded pages, batches between operators and caches take is known to no operator, so plans that all ran at once would take
//! several times what their operators account for. An execution therefore asks for what it needs before it begins, and waits
//! until that is free:
//!
//!     plan ──needs──▶ bytes ──admission──▶ waits, first come first served ──▶ pool: its part of the budget
//!                                                                              │ operators account here;
//!                                                                              ▼ more is borrowed while some is free
//!     budget ├── parts of executions, used or not ──┤├ what else accounts ┤├ free ┤├ spare, for what cannot spill ┤
//!
//! Invariants: parts never exceed the budget but for what must not fail (`grow`); an execution that computes always ends or can be
//! cancelled, so whoever waits for one is served; one whose client does not read counts as *at rest*, keeps only what it uses, and
//! nobody waits for it. Where all are at rest, the next one begins with what there is. So no circle of waiting can close, however
//! many cursors a session leaves open.

mod admission;
mod needs;
mod pool;

pub(crate) use admission::{Active, Budget};
pub(crate) use needs::Needs;
pub(crate) use pool::ExecutionPool;

/// A cache may take so much of the memory that the process was given, and no more than it has use for.
pub(crate) fn cache_bytes(memory_bytes: usize, wanted_max: u64) -> u64 {
    const CACHE_SHARE: usize = 16;
    wanted_max.min((memory_bytes / CACHE_SHARE) as u64)
}
