//! What can go wrong between a batch and a file, one variant for each decision that a caller makes.
//!
//! Paths are relative to the data directory, as `meridian.segments` shows them. Messages are PostgreSQL's.

use parquet::errors::ParquetError;
use std::io;

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The statement fails and the server lives on; space may come back.
    #[error("could not write file \"{path}\": No space left on device")]
    DiskFull { path: String },
    /// The user's partitioning is too fine for the rows of one statement.
    #[error("rows belong to more than {limit} partitions of table \"{table}\"")]
    TooManyPartitions { table: String, limit: usize },
    /// A file that a commit names is not there: data is lost.
    #[error("segment file \"{path}\" is missing")]
    Missing { path: String },
    /// A file is not what the commit said it was: data is lost.
    #[error("segment file \"{path}\" is corrupted: {detail}")]
    Corrupted { path: String, detail: String },
    /// The operating system refused.
    #[error("could not {action} file \"{path}\": {}", reason(source))]
    Io { action: &'static str, path: String, source: io::Error },
    /// Batches that do not fit the table, or a limit of a library: a mistake of ours.
    #[error("could not {action} rows of table \"{table}\": {detail}")]
    Internal { action: &'static str, table: String, detail: String },
}

impl StorageError {
    /// A sentence for the client that says what to do, where there is something to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::DiskFull { .. } => Some("Check free disk space."),
            Self::TooManyPartitions { .. } => {
                Some("Partition by a coarser period such as month, or load fewer rows at a time.")
            }
            Self::Missing { .. } | Self::Corrupted { .. } => Some("Restore the file from a backup."),
            Self::Io { .. } | Self::Internal { .. } => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.to_string() },
            _ => Self::Io { action, path: path.to_string(), source },
        }
    }

    pub(crate) fn corrupted(path: &str, detail: impl ToString) -> Self {
        Self::Corrupted { path: path.to_string(), detail: detail.to_string() }
    }

    pub(crate) fn internal(action: &'static str, table: &str, detail: impl ToString) -> Self {
        Self::Internal { action, table: table.to_string(), detail: detail.to_string() }
    }

    /// The Parquet writer wraps the errors of the file beneath it; a full disk has to stay recognisable.
    pub(crate) fn from_writing(error: ParquetError, path: &str, table: &str) -> Self {
        match error {
            ParquetError::External(source) => match source.downcast::<io::Error>() {
                Ok(source) => Self::io("write", path, *source),
                Err(source) => Self::internal("write", table, source),
            },
            other => Self::internal("write", table, other),
        }
    }
}

/// An operating system error as PostgreSQL prints it, without the number that Rust appends.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}
