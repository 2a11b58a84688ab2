//! Threads: where the engine computes.
//!
//! Two runtimes, so that a load, a fold or a rewrite keeps nobody waiting who asks for an answer:
//!
//!     planning, queries, DML, builds of views ─▶ compute
//!     COPY FROM, folds of views, rewrites     ─▶ bulk, which the system lets run where compute leaves a core free, and a little beside
//!
//! Each has queues of its own, so that no query's task waits behind the chunks of a COPY. Threads that a bulk thread starts give way as
//! it does. Without other work a load has all cores, as before.

use std::num::NonZeroUsize;
use tokio::runtime::{Builder, Handle, Runtime};

/// Stack of the threads that plan and compute. Walks over a chain of as many operators as are accepted need it, in a debug build too;
/// memory that is never touched costs nothing.
pub const STACK_BYTES: usize = 64 * 1024 * 1024;
/// A plan has one task for each core; with as many threads again, a task that computes for long leaves room for other statements, and
/// one that waits for what other threads write leaves room for decoding.
const THREADS_PER_CORE: usize = 2;
/// How much nicer than the process bulk threads are; see nice(2). With 10 they get a tenth of a core that somebody else wants too.
const BULK_NICENESS: i32 = 10;

/// The runtimes of an engine. Dropping them leaves work that goes on behind.
pub(crate) struct Threads {
    compute: Option<Runtime>,
    bulk: Option<Runtime>,
}

impl Threads {
    pub(crate) fn start() -> std::io::Result<Self> {
        let bulk = runtime("bulk").on_thread_start(give_way).build()?;
        Ok(Self { compute: Some(runtime("compute").build()?), bulk: Some(bulk) })
    }

    pub(crate) fn compute(&self) -> &Handle {
        self.compute.as_ref().expect("the runtimes live as long as their owner").handle()
    }

    pub(crate) fn bulk(&self) -> &Handle {
        self.bulk.as_ref().expect("the runtimes live as long as their owner").handle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for runtime in [self.compute.take(), self.bulk.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

fn runtime(name: &str) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(THREADS_PER_CORE * std::thread::available_parallelism().map_or(2, NonZeroUsize::get))
        .thread_name(name)
        .thread_stack_size(STACK_BYTES)
        .enable_all();
    builder
}

/// Makes the calling thread nicer. Only Linux knows of a thread's niceness; elsewhere it would be that of the process.
fn give_way() {
    #[cfg(target_os = "linux")]
    // SAFETY: both calls take and return numbers. 0 stands for the calling thread, and the process's own number for its first thread,
    // whose niceness is what the process was started with. To become nicer is allowed to everybody.
    unsafe {
        let own = libc::getpriority(libc::PRIO_PROCESS, std::process::id());
        libc::setpriority(libc::PRIO_PROCESS, 0, own + BULK_NICENESS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The niceness of the calling thread, the 19th field of its `stat`.
    #[cfg(target_os = "linux")]
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let behind_name = stat.rsplit(") ").next().unwrap();
        behind_name.split(' ').nth(16).unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn bulk_threads_and_those_that_they_start_give_way() {
        let threads = Threads::start().unwrap();
        let own = niceness();
        let of = |handle: &Handle| {
            let worker = handle.spawn(async { niceness() });
            let blocking = handle.spawn_blocking(|| (niceness(), std::thread::spawn(niceness).join().unwrap()));
            let (blocking, started) = futures::executor::block_on(blocking).unwrap();
            [futures::executor::block_on(worker).unwrap(), blocking, started]
        };
        assert_eq!(of(threads.compute()), [own; 3]);
        assert_eq!(of(threads.bulk()), [(own + BULK_NICENESS).min(19); 3]);
    }
}
