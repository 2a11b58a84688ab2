//! Checkpoints: the whole catalog in one file, so that the log before it can go.
//!
//!     checkpoint/<seq, 20 digits>.ckpt, numbers little-endian:
//!     magic "MERIDCKP" | version u32 | seq u64 | number of entries u64
//!     per entry: key length u32 | value length u32 | crc32c u32 of (key, value) | key | value
//!     crc32c u32 of everything before it
//!
//! A file appears under its name whole and synced or not at all. The newest two stay here, and the log back to the older of them, so a
//! checkpoint that has rotted costs a longer replay and nothing else.
//!
//! *Adding a new version.* Raise [`VERSION`], write the new layout in [`write`], and let [`read`] choose by the version that it
//! finds; earlier ones stay readable. The layout of the values is that of `entries`, and a new one of those is a new version here.
//! Version 1 differs from 2 in the values of definitions alone. Version 3 has more kinds of batches in its values, which tell themselves by how
//! they begin.

use crate::entries::{Key, Version, entries, load, meta_time};
use crate::files::{FileError, Files};
use crate::ids::CommitSeq;
use crate::snapshot::Snapshot;
use std::fmt;
use std::path::{Path, PathBuf};

/// How many checkpoints are kept.
pub(crate) const KEPT: usize = 2;

const VERSION: u32 = 3;
const MAGIC: &[u8; 8] = b"MERIDCKP";
const HEADER_BYTES: usize = 28;

/// Why a checkpoint is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointProblem {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("checkpoint \"{}\" is not valid: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("checkpoint \"{}\" has version {version}, this server reads up to {VERSION}", path.display())]
    Newer { path: PathBuf, version: u32 },
}

/// The checkpoints of a directory by their names, newest first.
pub(crate) fn list(files: &Files, directory: &Path) -> Result<Vec<(CommitSeq, PathBuf)>, FileError> {
    let paths = files.list(directory)?;
    let seq_of = |path: &PathBuf| path.file_name()?.to_str()?.strip_suffix(".ckpt")?.parse().ok();
    let mut found: Vec<_> = paths.into_iter().filter_map(|path| Some((CommitSeq(seq_of(&path)?), path))).collect();
    found.sort_by(|left, right| right.cmp(left));
    Ok(found)
}

/// The name of the checkpoint of a commit.
pub(crate) fn file_name(seq: CommitSeq) -> String {
    format!("{:020}.ckpt", seq.0)
}

/// Writes a snapshot durably.
pub(crate) fn write(files: &Files, directory: &Path, snapshot: &Snapshot) -> Result<(), FileError> {
    files.replace(&directory.join(file_name(snapshot.seq)), [encode(snapshot).as_slice()])
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let entries = entries(snapshot);
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&snapshot.seq.0.to_le_bytes());
    bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    for (key, value) in &entries {
        let key = key.to_bytes();
        let length = u32::try_from(value.len()).expect("a value comes from one log record, which is shorter");
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c_append(crc32c::crc32c(&key), value).to_le_bytes());
        bytes.extend_from_slice(&key);
        bytes.extend_from_slice(value);
    }
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// Reads a checkpoint that [`write`] wrote.
pub(crate) fn read(files: &Files, path: &Path) -> Result<Snapshot, CheckpointProblem> {
    let bytes = files.read(path)?;
    let (version, body) = checked_body(path, &bytes)?;
    let entries = split_entries(body).ok_or_else(|| invalid(path, "an entry fails its checksum"))?;
    load(version, entries).map_err(|error| invalid(path, error))
}

/// When the commit of a checkpoint was made, without reading all that it says; microseconds since 1970.
pub(crate) fn read_time(files: &Files, path: &Path) -> Result<i64, CheckpointProblem> {
    let bytes = files.read(path)?;
    let (_, body) = checked_body(path, &bytes)?;
    let (_, first, _) =
        split_entry(&body[HEADER_BYTES..]).ok_or_else(|| invalid(path, "its first entry is damaged"))?;
    meta_time(&first).map_err(|error| invalid(path, error))
}

fn invalid(path: &Path, reason: impl fmt::Display) -> CheckpointProblem {
    CheckpointProblem::Invalid { path: path.to_path_buf(), reason: reason.to_string() }
}

/// The header and the entries of a file whose checksum fits and whose version is known.
fn checked_body<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Version, &'a [u8]), CheckpointProblem> {
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or_else(|| invalid(path, "it is cut short"))?;
    if body.len() < HEADER_BYTES || !body.starts_with(MAGIC) {
        return Err(invalid(path, "it does not begin like a checkpoint"));
    }
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return Err(invalid(path, "its checksum does not fit"));
    }
    match u32::from_le_bytes([body[8], body[9], body[10], body[11]]) {
        0 => Err(invalid(path, "its version is none")),
        1 => Ok((Version::One, body)),
        2..=VERSION => Ok((Version::Two, body)),
        version => Err(CheckpointProblem::Newer { path: path.to_path_buf(), version }),
    }
}

fn split_entries(body: &[u8]) -> Option<Vec<(Key, Vec<u8>)>> {
    let (header, mut rest) = body.split_at_checked(HEADER_BYTES)?;
    let count = u64::from_le_bytes(header[20..28].try_into().ok()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        let (key, value, tail) = split_entry(rest)?;
        entries.push((key, value));
        rest = tail;
    }
    rest.is_empty().then_some(entries)
}

/// The first entry of some bytes, and what follows it.
fn split_entry(bytes: &[u8]) -> Option<(Key, Vec<u8>, &[u8])> {
    let (lengths, tail) = bytes.split_first_chunk::<12>()?;
    let number = |at: usize| u32::from_le_bytes([lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]]);
    let (key, tail) = tail.split_at_checked(number(0) as usize)?;
    let (value, tail) = tail.split_at_checked(number(4) as usize)?;
    let fits = crc32c::crc32c_append(crc32c::crc32c(key), value) == number(8);
    fits.then_some((Key::from_bytes(key)?, value.to_vec(), tail))
}

#[cfg(test)]
mod tests;
