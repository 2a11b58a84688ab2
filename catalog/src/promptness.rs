//! Promptness: a thread that hardly computes, and for which many wait, runs as soon as it can.
//!
//! In each round the committer sleeps until the disk has the data, what the file system knows of the file, and its own cache. Each time it
//! could go on, others that compute may have the processors, on a busy machine for longer than the disk has taken. Since 6.12 Linux lets
//! a thread ask for turns that are shorter and come sooner; its share of the processors stays what it is. An older kernel does not listen,
//! and one that refuses loses nothing but time.

/// The shortest turn that the kernel gives.
#[cfg(target_os = "linux")]
const TURN_NANOSECONDS: u64 = 100_000;

/// Asks for short turns for the calling thread.
#[cfg(target_os = "linux")]
pub(crate) fn be_prompt() {
    let asked = attributes().map(|own| libc::sched_attr { sched_runtime: TURN_NANOSECONDS, ..own });
    if let Some(asked) = asked.filter(|asked| asked.sched_policy == libc::SCHED_OTHER as u32) {
        // SAFETY: the kernel reads the structure, whose size stands in it; 0 is the calling thread. Where it refuses, all stays as it is.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const asked, 0) };
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn be_prompt() {}

/// How the calling thread is scheduled.
#[cfg(target_os = "linux")]
fn attributes() -> Option<libc::sched_attr> {
    // SAFETY: the structure has numbers alone, all of which may be zero.
    let mut found: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most as many bytes as it is told that there are.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size_of_val(&found), 0) };
    (outcome == 0).then_some(found)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_thread_has_short_turns_and_stays_as_nice_as_it_is() {
        let before = attributes().unwrap();
        be_prompt();
        let after = attributes().unwrap();
        assert_eq!((after.sched_policy, after.sched_nice), (before.sched_policy, before.sched_nice));
        // An older kernel tells of no turns.
        let expected = if before.sched_runtime == 0 { 0 } else { TURN_NANOSECONDS };
        assert_eq!(after.sched_runtime, expected);
    }
}
