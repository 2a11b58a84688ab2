//! BACKUP TO: a backup of everything that is committed, while the server runs.
//!
//! The catalog copies from a snapshot and nobody waits for it; see `catalog::backup`. The directory is one of the server's
//! machine. One row tells what was done; `meridian backup` sends the statement and puts the row into words.

use crate::dispatch::text_rows;
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::execution::joined;
use crate::response::Response;
use crate::session::Session;
use crate::types::{Zone, time_text};
use catalog::backup::{BackupError, BackupReport, LeftOut};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The columns of the row that BACKUP answers with.
pub(crate) const COLUMNS: [&str; 6] = ["backup", "commit", "segments", "bytes", "copied_segments", "copied_bytes"];

/// Asks the copying thread to stop when the statement ends, whether it was cancelled or not.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) async fn run(session: &mut Session, directory: &str) -> Result<Response, QueryError> {
    if session.in_transaction_block() {
        return Err(QueryError::new(ErrorKind::ActiveTransaction, "BACKUP cannot run inside a transaction block"));
    }
    let target = PathBuf::from(directory);
    if !target.is_absolute() {
        let error = QueryError::new(ErrorKind::InvalidParameterValue, "relative path not allowed for BACKUP");
        return Err(error.hint("Give the whole path of a directory on the server's machine."));
    }
    let engine = Arc::clone(&session.engine);
    let cancelled = CancelOnDrop(Arc::default());
    let watched = Arc::clone(&cancelled.0);
    let task = session
        .engine
        .compute()
        .spawn_blocking(move || engine.catalog.backup(&target, &watched).map_err(|error| backup_error(&error)));
    let report = session.token.guard(async { joined(task.await) }).await?;
    if let Some(left_out) = &report.left_out {
        let LeftOut { path, reason, .. } = left_out;
        tracing::warn!(backup = report.backup.name, segment = path, reason, "a backup has less history");
        session.push_notice(warning(left_out));
    }
    Ok(text_rows("BACKUP", &COLUMNS, vec![row(&report)]))
}

/// What a client is told of history that a backup does not have.
pub fn warning(LeftOut { path, reason, until_micros }: &LeftOut) -> Notice {
    Notice {
        severity: NoticeSeverity::Warning,
        kind: None,
        message: format!("the history of this backup begins at {}", time_text(*until_micros, Zone::UTC)),
        detail: Some(format!("Segment file \"{path}\", which earlier times need, is lost: {reason}.")),
        hint: Some("Nothing of the present is left out. An earlier backup may have the file.".to_string()),
    }
}

fn row(report: &BackupReport) -> Vec<String> {
    let BackupReport { backup, copied_segments, copied_bytes, .. } = report;
    let numbers = [backup.seq.0, backup.segments, backup.bytes, *copied_segments, *copied_bytes];
    std::iter::once(backup.name.clone()).chain(numbers.iter().map(u64::to_string)).collect()
}

fn backup_error(error: &BackupError) -> QueryError {
    let kind = match error {
        BackupError::Busy { .. } => ErrorKind::ObjectInUse,
        BackupError::DamagedSegment { .. } => ErrorKind::DataCorrupted,
        BackupError::Cancelled => ErrorKind::QueryCanceled,
        BackupError::File(file) if file.is_disk_full() => ErrorKind::DiskFull,
        BackupError::File(file) if file.is_not_writable() => ErrorKind::InsufficientPrivilege,
        BackupError::File(_) | BackupError::Open(_) => ErrorKind::IoError,
        _ => ErrorKind::InvalidParameterValue,
    };
    let translated = QueryError::new(kind, error.to_string());
    match error.hint() {
        Some(hint) => translated.hint(hint),
        None => translated,
    }
}
