//! Faults: a disk that fails as tests want it to.
//!
//!     Faults       all syncs fail, or the disk is full, while a flag says so
//!     FailAt       one step fails, whichever a test counts off
//!     crash_disk   records every step, and gives what a power cut behind any of them may leave

mod crash_disk;
mod tests;

use crate::files::{Fault, Files, Step, Watcher};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// What is broken at the moment. Syncs are counted, those that fail too.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) fail_syncs: AtomicBool,
    /// Half of a write comes to the file.
    pub(crate) disk_full: AtomicBool,
    pub(crate) syncs: AtomicU64,
}

impl Faults {
    /// Files that break as told.
    pub(crate) fn files() -> (Files, Arc<Self>) {
        let faults = Arc::<Self>::default();
        (Files::watched_by(faults.clone()), faults)
    }
}

impl Watcher for Faults {
    fn before(&self, step: &Step<'_>) -> Result<(), Fault> {
        match step {
            Step::SyncFile(_) | Step::SyncDirectory(_) => {
                self.syncs.fetch_add(1, SeqCst);
                if self.fail_syncs.load(SeqCst) { Err(io::Error::other("input/output error").into()) } else { Ok(()) }
            }
            Step::Write { bytes, .. } if self.disk_full.load(SeqCst) => {
                Err(Fault { error: io::ErrorKind::StorageFull.into(), written: bytes.len() / 2 })
            }
            _ => Ok(()),
        }
    }
}

/// Fails one step, the `number`th that is taken, and keeps a record of all.
#[derive(Debug)]
pub(crate) struct FailAt {
    number: usize,
    kind: io::ErrorKind,
    /// The steps so far as text, the broken one included.
    taken: Mutex<Vec<String>>,
}

impl FailAt {
    pub(crate) fn new(number: usize, kind: io::ErrorKind) -> Arc<Self> {
        Arc::new(Self { number, kind, taken: Mutex::default() })
    }

    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().clone()
    }
}

impl Watcher for FailAt {
    fn before(&self, step: &Step<'_>) -> Result<(), Fault> {
        let mut taken = self.taken.lock();
        let number = taken.len();
        let (text, written) = match step {
            Step::Write { path, bytes, .. } => (format!("Write {}", path.display()), bytes.len() / 2),
            Step::SyncFile(path) => (format!("SyncFile {}", path.display()), 0),
            other => (format!("{other:?}"), 0),
        };
        taken.push(text);
        if number == self.number { Err(Fault { error: self.kind.into(), written }) } else { Ok(()) }
    }
}
