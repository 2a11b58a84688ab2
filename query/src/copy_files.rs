//! Files of the server in COPY: which may be named, and their bytes on the way in and out.
//!
//! There are no roles, so files are allowed as a whole: below one directory that the server was started with, and nowhere else. A
//! name may be a pattern for COPY FROM; links that lead out of the directory are refused.

use crate::copy_format::{CopyEncoder, CopyOptions};
use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};
use crate::response::ResultColumn;
use crate::types::OutputStyle;
use bytes::Bytes;
use catalog::sql_type::SqlType;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use storage::external::{Packing, ParquetRows, open_bytes};
use tokio::sync::mpsc;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces that may wait for the load.
const PIECES_AHEAD: usize = 4;
/// Files that one COPY may read.
const FILES_MAX: usize = 10_000;

fn not_allowed(verb: &str) -> QueryError {
    let direction = if verb == "reads" { "from" } else { "to" };
    let message = format!("COPY {direction} a file on the server is not allowed");
    QueryError::new(ErrorKind::InsufficientPrivilege, message).hint(format!(
        "psql's \\copy {verb} a file of the client. A server that is started with --copy-dir DIR allows files below DIR."
    ))
}

fn outside(path: &Path, directory: &Path) -> QueryError {
    let message = format!("file \"{}\" is outside of the directory for COPY", path.display());
    QueryError::new(ErrorKind::InsufficientPrivilege, message)
        .hint(format!("Files below \"{}\" are allowed.", directory.display()))
}

fn directory<'a>(engine: &'a Engine, verb: &str) -> Result<&'a Path, QueryError> {
    engine.copy_dir().ok_or_else(|| not_allowed(verb))
}

fn could_not(action: &str, path: &Path, error: &io::Error) -> QueryError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::UndefinedFile,
        io::ErrorKind::PermissionDenied => ErrorKind::InsufficientPrivilege,
        io::ErrorKind::StorageFull => ErrorKind::DiskFull,
        _ => ErrorKind::IoError,
    };
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "No such file or directory".to_string(),
        io::ErrorKind::PermissionDenied => "Permission denied".to_string(),
        _ => error.to_string(),
    };
    QueryError::new(kind, format!("could not {action} file \"{}\": {reason}", path.display()))
}

/// The files that a name or pattern means, in the order of their names.
pub(crate) fn files(engine: &Engine, pattern: &str) -> Result<Vec<PathBuf>, QueryError> {
    let root = directory(engine, "reads")?;
    let full = root.join(pattern);
    let missing = || could_not("open", &full, &io::ErrorKind::NotFound.into());
    let paths: Vec<PathBuf> = if full.exists() {
        vec![full.clone()]
    } else {
        let text = full.to_str().ok_or_else(missing)?;
        let matches = glob::glob(text).map_err(|error| {
            QueryError::new(ErrorKind::InvalidParameterValue, format!("invalid pattern \"{pattern}\": {}", error.msg))
        })?;
        matches.filter_map(Result::ok).take(FILES_MAX + 1).collect()
    };
    if paths.len() > FILES_MAX {
        let message = format!("pattern \"{pattern}\" matches more than {FILES_MAX} files");
        return Err(QueryError::new(ErrorKind::ProgramLimitExceeded, message));
    }
    if paths.is_empty() {
        return Err(missing());
    }
    paths.iter().map(|path| confined(path, root)).collect()
}

/// The real path of a file below the directory.
fn confined(path: &Path, root: &Path) -> Result<PathBuf, QueryError> {
    let real = path.canonicalize().map_err(|error| could_not("open", path, &error))?;
    if !real.starts_with(root) {
        return Err(outside(path, root));
    }
    if real.is_dir() {
        let message = format!("\"{}\" is a directory", path.display());
        return Err(
            QueryError::new(ErrorKind::WrongObjectType, message).hint("Name its files, for example with *.csv.")
        );
    }
    Ok(real)
}

/// Where COPY TO may write.
pub(crate) fn new_path(engine: &Engine, name: &str) -> Result<PathBuf, QueryError> {
    let root = directory(engine, "writes")?;
    let full = root.join(name);
    let parent = full.parent().unwrap_or(root);
    let parent = parent.canonicalize().map_err(|error| could_not("open", &full, &error))?;
    let Some(file) = full.file_name() else { return Err(outside(&full, root)) };
    let path = parent.join(file);
    if !path.starts_with(root) {
        return Err(outside(&full, root));
    }
    if path.is_dir() {
        return Err(QueryError::new(ErrorKind::WrongObjectType, format!("\"{}\" is a directory", full.display())));
    }
    Ok(path)
}

pub(crate) fn write_failed(path: &Path, error: &io::Error) -> QueryError {
    could_not("write", path, error)
}

pub(crate) fn is_parquet(path: &Path) -> bool {
    Packing::of(path) == Packing::Parquet
}

/// Bytes of some files; 0 where one of them is packed, so that its bytes are not known before they are read.
pub(crate) fn sizes(paths: &[PathBuf]) -> u64 {
    if paths.iter().any(|path| Packing::of(path) != Packing::Plain) {
        return 0;
    }
    paths.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.len()).sum()
}

/// The columns of a Parquet file.
pub(crate) fn parquet_columns(path: &Path) -> Result<Vec<String>, QueryError> {
    let rows = ParquetRows::open(path).map_err(|error| could_not("read", path, &error))?;
    Ok(rows.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// The pieces of a file, read on a thread of its own; Parquet as lines of the text format with these columns.
pub(crate) fn pieces(
    engine: &Engine,
    path: PathBuf,
    columns: Vec<String>,
    style: OutputStyle,
) -> mpsc::Receiver<Result<Bytes, QueryError>> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    engine.bulk().spawn_blocking(move || {
        let outcome =
            if is_parquet(&path) { send_parquet(&path, &columns, style, &sender) } else { send_bytes(&path, &sender) };
        if let Err(error) = outcome {
            // Nobody waits for the pieces any more where the load has ended.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

type Sender = mpsc::Sender<Result<Bytes, QueryError>>;

fn send_bytes(path: &Path, sender: &Sender) -> Result<(), QueryError> {
    let mut reader = open_bytes(path).map_err(|error| could_not("open", path, &error))?;
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = reader.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece);
        read.map_err(|error| could_not("read", path, &error))?;
        if piece.is_empty() || sender.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
}

fn send_parquet(path: &Path, columns: &[String], style: OutputStyle, sender: &Sender) -> Result<(), QueryError> {
    let failed = |error: io::Error| could_not("read", path, &error);
    let rows = ParquetRows::open(path).map_err(failed)?;
    let schema = rows.schema();
    let position = |column: &String| {
        schema.index_of(column).map_err(|_| {
            let message = format!("column \"{column}\" does not exist in file \"{}\"", path.display());
            QueryError::new(ErrorKind::UndefinedColumn, message)
        })
    };
    let positions = columns.iter().map(position).collect::<Result<Vec<usize>, QueryError>>()?;
    let listed = positions.iter().map(|position| {
        let field = schema.field(*position);
        let sql_type = SqlType::from_field(field).ok_or_else(|| {
            QueryError::unsupported(format!(
                "column \"{}\" of type {} in a Parquet file",
                field.name(),
                field.data_type()
            ))
        })?;
        Ok(ResultColumn { name: field.name().clone(), sql_type, modifier: -1, domain: None, origin: None })
    });
    let listed = listed.collect::<Result<Vec<_>, QueryError>>()?;
    let encoder = CopyEncoder::new(&listed, &CopyOptions::default(), style)?;
    // The file's order is not the statement's.
    let mut sorted = positions.clone();
    sorted.sort_unstable();
    let order: Vec<usize> = positions.iter().filter_map(|position| sorted.binary_search(position).ok()).collect();
    for batch in rows.batches(&positions).map_err(failed)? {
        let batch = batch.map_err(failed)?;
        let batch = batch.project(&order).map_err(|error| failed(io::Error::other(error)))?;
        let lines = encoder.encode(&batch)?;
        if sender.blocking_send(Ok(lines.bytes.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
