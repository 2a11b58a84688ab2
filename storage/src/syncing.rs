//! Syncing: files that are complete are synced by threads of their own.
//!
//!     write ─▶ UnsyncedSegment ─▶ bounded queue ─▶ sync ─▶ StagedSegment
//!     └─ encodes the next one meanwhile
//!
//! A sync waits for the disk, milliseconds for a file of some hundred kilobytes. A core that waited with it would encode nothing
//! meanwhile. The first error is the one that is told; files behind it are deleted as they are dropped.

use crate::error::StorageError;
use crate::segment::{StagedSegment, UnsyncedSegment};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Files that may wait for their sync; each is open.
const FILES_WAITING_MAX: usize = 32;

/// Takes a complete file. Waits while many wait for their sync.
pub(crate) type Sink<'a> = &'a (dyn Fn(UnsyncedSegment) -> Result<(), StorageError> + Sync);

/// Calls `write`, which gives complete files to its sink from however many threads, and syncs those on `threads` others; on the thread
/// that gives them where there are none. All are synced when this returns; their directories remain to be synced.
pub(crate) fn synced_beside(
    threads: usize,
    write: impl FnOnce(Sink<'_>) -> Result<(), StorageError>,
) -> Result<Vec<StagedSegment>, StorageError> {
    if threads == 0 {
        let staged = Mutex::new(Vec::new());
        write(&|file| {
            let synced = file.sync()?;
            staged.lock().unwrap_or_else(PoisonError::into_inner).push(synced);
            Ok(())
        })?;
        return Ok(staged.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    let (sender, receiver) = sync_channel(FILES_WAITING_MAX);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| sync_all(&receiver))).collect();
        let written = write(&move |file| {
            sender.send(file).expect("the queue lives as long as its files are written");
            Ok(())
        });
        let mut staged = Vec::new();
        let mut synced = Ok(());
        for worker in workers {
            match worker.join() {
                Ok(Ok(files)) => staged.extend(files),
                Ok(Err(error)) => synced = Err(error),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        written.and(synced).map(|()| staged)
    })
}

/// Syncs files until no more come. Behind an error they are only taken, so that nobody waits for room in the queue.
fn sync_all(queue: &Mutex<Receiver<UnsyncedSegment>>) -> Result<Vec<StagedSegment>, StorageError> {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let mut outcome = Ok(Vec::new());
    while let Ok(file) = next() {
        if let Ok(staged) = &mut outcome {
            match file.sync() {
                Ok(synced) => staged.push(synced),
                Err(error) => outcome = Err(error),
            }
        }
    }
    outcome
}
