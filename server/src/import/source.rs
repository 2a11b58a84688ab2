//! The files of an import: which they are, and their bytes as COPY takes them.

use super::TableColumn;
use super::guess::Shape;
use super::json_lines::{LineWriter, Lines, text_of};
use crate::output::say;
use anyhow::{Context, bail};
use arrow::array::RecordBatch;
use bytes::Bytes;
use catalog::sql_type::SqlType;
use query::copy_format::{CopyEncoder, CopyEncoding, CopyOptions};
use query::files::{ParquetRows, open_packed};
use query::response::ResultColumn;
use query::types::OutputStyle;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

const PIECE_BYTES: usize = 256 * 1024;
const PIECES_AHEAD: usize = 8;
/// Wrong lines of a file that are said one by one.
const WRONG_LINES_SAID_MAX: u64 = 5;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What a directory is looked through for.
const KNOWN: [&str; 7] = ["csv", "tsv", "txt", "jsonl", "ndjson", "parquet", "json"];

/// The files that the arguments name, in the order of their names.
pub(super) fn files(inputs: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for input in inputs {
        let path = PathBuf::from(input);
        let mut found: Vec<PathBuf> = if path.is_dir() {
            let entries = std::fs::read_dir(&path).with_context(|| format!("could not read \"{input}\""))?;
            entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| is_known(path)).collect()
        } else if path.exists() {
            vec![path]
        } else {
            let matches = glob::glob(input).with_context(|| format!("\"{input}\" is no pattern"))?;
            matches.filter_map(Result::ok).filter(|path| !path.is_dir()).collect()
        };
        if found.is_empty() {
            bail!("there is no file \"{input}\"");
        }
        if let Some(other) = found.iter().find(|path| !path.is_file()) {
            bail!(
                "\"{}\" is no regular file, and a file is read more than once; psql loads what comes from a pipe, with \\copy … FROM STDIN or FROM PROGRAM",
                other.display()
            );
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn is_known(path: &Path) -> bool {
    path.is_file() && KNOWN.contains(&kind(path).as_str())
}

/// The end of a file's name, below that of its packing.
pub(super) fn kind(path: &Path) -> String {
    let end = |path: &Path| path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    match end(path).as_str() {
        "gz" | "zst" | "zstd" => end(Path::new(path.file_stem().unwrap_or_default())),
        other => other.to_string(),
    }
}

/// A file that counts what is read of it, unpacked, without a mark of its byte order.
pub(super) fn unpacked(path: &Path, read: Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let mut reader = open_packed(path, Counting { inner: File::open(path)?, read })?;
    let mut start = Vec::new();
    reader.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut start)?;
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        let hint = "the file is UTF-16; convert it, for example with iconv -f UTF-16 -t UTF-8";
        return Err(io::Error::new(io::ErrorKind::InvalidData, hint));
    }
    if start == BYTE_ORDER_MARK {
        start.clear();
    }
    Ok(Box::new(Cursor::new(start).chain(reader)))
}

struct Counting {
    inner: File,
    read: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A file in pieces, read on a thread of its own.
pub(super) struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    read: Arc<AtomicU64>,
    total: u64,
}

/// How a file becomes lines for COPY.
pub(super) struct Reading {
    pub(super) shape: Shape,
    pub(super) encoding: CopyEncoding,
    /// The columns that members of objects go to.
    pub(super) columns: Vec<TableColumn>,
    /// Wrong lines have a place to go.
    pub(super) rejects: bool,
}

impl Pieces {
    pub(super) fn open(path: &Path, reading: Reading) -> anyhow::Result<Self> {
        let total = std::fs::metadata(path).with_context(|| format!("could not read \"{}\"", path.display()))?.len();
        let read = Arc::new(AtomicU64::new(0));
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let (path, counter) = (path.to_path_buf(), Arc::clone(&read));
        tokio::task::spawn_blocking(move || {
            let outcome = match reading.shape {
                Shape::Lines { .. } => send_bytes(&path, counter, &sender),
                Shape::Json => send_json(&path, &reading, counter, &sender),
                Shape::Parquet => send_parquet(&path, total, &counter, &sender),
            };
            if let Err(error) = outcome {
                // Nobody waits for the pieces any more where the load has ended.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(Self { receiver, read, total })
    }

    pub(super) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        self.receiver.recv().await
    }

    /// Bytes of the file that were read, as they lie on disk.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

type Sender = mpsc::Sender<io::Result<Bytes>>;

fn send_bytes(path: &Path, read: Arc<AtomicU64>, sender: &Sender) -> io::Result<()> {
    let mut reader = unpacked(path, read)?;
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        reader.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        if piece.is_empty() || sender.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
}

fn send_json(path: &Path, reading: &Reading, read: Arc<AtomicU64>, sender: &Sender) -> io::Result<()> {
    let mut lines = Lines::new(unpacked(path, read)?);
    let mut writer = LineWriter::new(&reading.columns);
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let mut wrong = 0;
    while let Some((number, line)) = lines.next()? {
        let written = text_of(line, reading.encoding).and_then(|text| writer.write(&text, &mut piece));
        if let Err(reason) = written {
            if !reading.rejects {
                return Err(io::Error::other(format!("line {number}: {reason}")));
            }
            wrong += 1;
            if wrong <= WRONG_LINES_SAID_MAX {
                say(&format!("{}: line {number} is rejected: {reason}", path.display()));
            }
            writer.write_wrong(line, &mut piece);
        }
        if piece.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE_BYTES));
            if sender.blocking_send(Ok(full.into())).is_err() {
                return Ok(());
            }
        }
    }
    // Nobody waits for it any more where the load has ended.
    let _ = sender.blocking_send(Ok(piece.into()));
    Ok(())
}

fn send_parquet(path: &Path, total: u64, read: &AtomicU64, sender: &Sender) -> io::Result<()> {
    let rows = ParquetRows::open(path)?;
    let schema = rows.schema();
    let columns = schema.fields().iter().map(|field| {
        let sql_type = SqlType::from_field(field)
            .ok_or_else(|| io::Error::other(format!("column \"{}\" has type {}", field.name(), field.data_type())))?;
        Ok((field.name().clone(), sql_type))
    });
    let encoder = encoder(columns.collect::<io::Result<Vec<_>>>()?.into_iter())?;
    let positions: Vec<usize> = (0..schema.fields().len()).collect();
    let all = rows.count().max(1);
    let mut done = 0;
    for batch in rows.batches(&positions)? {
        let batch = batch?;
        done += batch.num_rows() as u64;
        read.store(total * done / all, Ordering::Relaxed);
        if !send_batch(&encoder, &batch, sender)? {
            return Ok(());
        }
    }
    Ok(())
}

fn encoder(columns: impl Iterator<Item = (String, SqlType)>) -> io::Result<CopyEncoder> {
    let columns: Vec<ResultColumn> = columns
        .map(|(name, sql_type)| ResultColumn { name, sql_type, modifier: -1, domain: None, origin: None })
        .collect();
    CopyEncoder::new(&columns, &CopyOptions::default(), OutputStyle::default()).map_err(io::Error::other)
}

/// Sends a batch as lines of the text format; false where nobody takes them any more.
fn send_batch(encoder: &CopyEncoder, batch: &RecordBatch, sender: &Sender) -> io::Result<bool> {
    let lines = encoder.encode(batch).map_err(io::Error::other)?;
    Ok(sender.blocking_send(Ok(lines.bytes.into())).is_ok())
}
