//! How far a COPY is, for `pg_stat_progress_copy`. A session's activity holds it weakly: its row goes when the COPY does.

use catalog::ids::ObjectId;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one COPY that runs.
#[derive(Debug)]
pub(crate) struct CopyProgress {
    pub command: &'static str,
    /// `PIPE` or `FILE`.
    pub kind: &'static str,
    pub table: Option<ObjectId>,
    pub bytes_total: AtomicU64,
    bytes: AtomicU64,
    rows: AtomicU64,
    excluded: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct CopyProgressRow {
    pub command: &'static str,
    pub kind: &'static str,
    pub table: Option<ObjectId>,
    pub bytes_processed: u64,
    /// 0 where it is not known.
    pub bytes_total: u64,
    pub tuples_processed: u64,
    pub tuples_excluded: u64,
}

impl CopyProgress {
    pub(crate) fn new(command: &'static str, kind: &'static str, table: Option<ObjectId>) -> Self {
        Self {
            command,
            kind,
            table,
            bytes_total: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            excluded: AtomicU64::new(0),
        }
    }

    pub(crate) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
    }

    pub(crate) fn add_excluded(&self, rows: usize) {
        self.excluded.fetch_add(rows as u64, Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn row(&self) -> CopyProgressRow {
        CopyProgressRow {
            command: self.command,
            kind: self.kind,
            table: self.table,
            bytes_processed: self.bytes(),
            bytes_total: self.bytes_total.load(Relaxed),
            tuples_processed: self.rows.load(Relaxed),
            tuples_excluded: self.excluded.load(Relaxed),
        }
    }
}
