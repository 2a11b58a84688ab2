//! The log: the authority on what was committed.
//!
//! One file after the other, each named by the first seq in it: `log/00000000000000000001.log`. All numbers are
//! little-endian.
//!
//!     file    magic "MERIDLOG" | version u32 | salt u32 | first seq u64 | crc32c u32 of the 24 bytes before
//!             record, record, …
//!     record  magic "MREC" | payload length u32 | crc32c u32 | seq u64 | append u64 | kind u8 | payload
//!     zeros   room for the records to come, at the end of the newest file; perhaps none
//!
//! The zeros are there because a file that does not grow is synced faster: its data alone, not what the file system knows of it.
//!
//! A record's checksum starts from the file's salt and covers seq, append, kind and payload. The salt keeps blocks of
//! deleted logs, and users' data that look like records, from passing for records of this file. `append` is the seq of the first
//! record that was written by the same call: records of one append share one fdatasync, so none of them is promised before all
//! are, and a crash may leave a later one of them whole and an earlier one torn.
//!
//! *What a bad record means.* It is a torn tail, the trace of an append that nobody was told of, only if no valid record of a
//! later append follows it, in that file or in a later one, and no later file's name says that there was one.
//! A torn tail is cut. Anything else is damage and refused: cutting there would forget acknowledged commits.
//!
//! *Adding a new version.* A file keeps the version that it was created with; a writer always starts a new file in
//! [`VERSION`]. So: raise `VERSION`, write the new layout in [`LogWriter::stage`], and let [`Scanner::next`] choose by the
//! version of the file's header. Readers of older versions stay for ever, and so does the test that reads their bytes. Versions 2 and 3 have
//! the same records as version 1; what their payloads may say is more (see `stored`), so that a server that does not know it says that the file
//! is newer, and not that it is damaged.
//!
//! This module does not know what a payload says; see `stored`.

use crate::files::{AppendFile, FileError, Files};
use crate::ids::CommitSeq;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};

/// The version of the layout that is written.
pub(crate) const VERSION: u32 = 3;
/// The kind of a record whose payload is a commit.
pub(crate) const KIND_COMMIT: u8 = 1;
/// A file that has reached this length is followed by a new one.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 20;
/// Room is made for as much as a file has already, but neither less nor more than this.
const ROOM_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 20;
/// Behind an append of more than this none is made: the zeros would be a good part of what is synced, and an append like it would not find
/// enough of them.
const APPEND_BYTES_BEFORE_ROOM_MAX: usize = 256 << 10;
/// The longest payload of a record.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// The memory for records that is kept from one append to the next.
const STAGED_BYTES_KEPT: usize = 4 << 20;
const FILE_MAGIC: &[u8; 8] = b"MERIDLOG";
const RECORD_MAGIC: &[u8; 4] = b"MREC";
const FILE_HEADER_BYTES: usize = 28;
const RECORD_HEADER_BYTES: usize = 29;
/// The record header's bytes before those that its checksum covers.
const UNCHECKED_BYTES: usize = 12;

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("file \"{}\" is damaged at offset {offset}: {reason}", path.display())]
    Damaged { path: PathBuf, offset: u64, reason: String },
    #[error("the log ends before commit {expected}")]
    Ended { expected: CommitSeq },
    #[error("file \"{}\" has version {version} of the log format, this server reads up to {VERSION}", path.display())]
    Newer { path: PathBuf, version: u32 },
}

/// One record of the log.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) seq: CommitSeq,
    pub(crate) kind: u8,
    pub(crate) payload: &'a [u8],
    /// Of the whole record, header included.
    pub(crate) bytes: u64,
    append: CommitSeq,
}

/// A file of the log as it was found. `length` ends with its last valid record; `cut` counts the torn bytes behind it, without the
/// zeros that they were written over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    pub(crate) first: CommitSeq,
    pub(crate) last: Option<CommitSeq>,
    pub(crate) length: u64,
    pub(crate) cut: u64,
    version: u32,
    salt: u32,
}

/// All files of the log, read and found valid.
#[derive(Debug)]
pub(crate) struct Log {
    files: Files,
    directory: PathBuf,
    pub(crate) list: Vec<LogFile>,
}

impl Log {
    /// Reads and checks every record. Changes nothing on disk.
    pub(crate) fn read(files: &Files, directory: &Path) -> Result<Self, LogError> {
        let mut list: Vec<LogFile> = Vec::new();
        for path in log_paths(files, directory)? {
            let bytes = files.read(&path)?;
            let found = check_file(path, &bytes, list.last())?;
            if found.last.is_some() {
                refuse_cut_before(&list)?;
            }
            list.push(found);
        }
        Ok(Self { files: files.clone(), directory: directory.to_path_buf(), list })
    }

    /// The last commit in the log: what the name of the last file says where the file is empty. `None` without any file.
    pub(crate) fn last(&self) -> Option<CommitSeq> {
        self.list.last().map(LogFile::last_or_before)
    }

    /// The first seq that a replay can begin with.
    pub(crate) fn first(&self) -> Option<CommitSeq> {
        self.list.first().map(|file| file.first)
    }

    /// Bytes at the end that belong to no valid record.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.list.iter().map(|file| file.cut).sum()
    }

    /// How much log there is after a commit, headers of files left out.
    pub(crate) fn bytes_after(&self, after: CommitSeq) -> Result<u64, LogError> {
        let (begun, whole): (Vec<&LogFile>, Vec<&LogFile>) = self.list.iter().partition(|file| file.first <= after);
        let mut bytes: u64 = whole.iter().map(|file| file.length - FILE_HEADER_BYTES as u64).sum();
        // The commit stands inside of one file at most.
        if let Some(file) = begun.last().filter(|file| file.last_or_before() > after) {
            let content = self.files.read(&file.path)?;
            let mut scanner = Scanner::open(&file.path, &content)?;
            while let Next::Record(record) = scanner.next() {
                bytes += if record.seq > after { record.bytes } else { 0 };
            }
        }
        Ok(bytes)
    }

    /// Gives every record after `after` to `each`, oldest first.
    pub(crate) fn replay<E: From<LogError>>(
        &self,
        after: CommitSeq,
        mut each: impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for file in self.list.iter().filter(|file| file.last.is_some_and(|last| last > after)) {
            let bytes = self.files.read(&file.path).map_err(LogError::from)?;
            let mut scanner = Scanner::open(&file.path, &bytes)?;
            while let Next::Record(record) = scanner.next() {
                if record.seq > after {
                    each(&record)?;
                }
            }
        }
        Ok(())
    }

    /// Cuts the torn tail and opens the log for appending at `next`. What was read may stand in the page cache only, written by a
    /// server that was killed before its fdatasync, so the newest file is synced before anybody sees what it says.
    pub(crate) fn into_writer(self, next: CommitSeq, file_bytes_max: u64) -> Result<LogWriter, FileError> {
        let last = self.list.len().saturating_sub(1);
        for (_, file) in self.list.iter().enumerate().filter(|(position, file)| file.cut > 0 || *position == last) {
            self.files.open_append(&file.path, file.length)?.sync_data()?;
        }
        let goes_on = |file: &&LogFile| file.version == VERSION && file.last_or_before().next() == next;
        match self.list.last().filter(goes_on) {
            Some(found) => {
                let file = self.files.open_append(&found.path, found.length)?;
                Ok(LogWriter::new(self.files, self.directory, file, found.salt, file_bytes_max))
            }
            None => {
                let (file, salt) = create_file(&self.files, &self.directory, next)?;
                Ok(LogWriter::new(self.files, self.directory, file, salt, file_bytes_max))
            }
        }
    }
}

impl LogFile {
    fn last_or_before(&self) -> CommitSeq {
        self.last.unwrap_or(CommitSeq(self.first.0.saturating_sub(1)))
    }
}

/// The files whose every record has a seq of at most `seq`. The newest file is never one of them.
pub(crate) fn paths_through(files: &Files, directory: &Path, seq: CommitSeq) -> Result<Vec<PathBuf>, FileError> {
    let paths = log_paths(files, directory)?;
    // A file ends where the next one begins, and its name says where that is.
    let ended = |pair: &&[PathBuf]| first_from_name(&pair[1]).is_some_and(|first| first <= seq.next());
    Ok(paths.windows(2).filter(ended).map(|pair| pair[0].clone()).collect())
}

/// The files of a directory with the commits that they begin with, oldest first.
pub(crate) fn list(files: &Files, directory: &Path) -> Result<Vec<(CommitSeq, PathBuf)>, FileError> {
    let paths = files.list(directory)?.into_iter();
    let mut found: Vec<_> = paths.filter_map(|path| Some((first_from_name(&path)?, path))).collect();
    found.sort();
    Ok(found)
}

/// The name of the file that begins with a commit.
pub(crate) fn file_name(first: CommitSeq) -> String {
    format!("{:020}.log", first.0)
}

/// A file of the log: where it begins, and where it may lie.
#[derive(Clone, Debug)]
pub(crate) struct LogPath {
    pub(crate) first: CommitSeq,
    pub(crate) paths: Vec<PathBuf>,
}

/// Gives the records after `after` through `through` to `each`, oldest first, until it says that it has enough. The newest file may be written
/// to meanwhile: what is beyond `through` is not looked at.
pub(crate) fn read_range<E: From<LogError>>(
    files: &Files,
    logs: &[LogPath],
    after: CommitSeq,
    through: CommitSeq,
    mut each: impl FnMut(&Record<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    let start = logs.iter().rposition(|log| log.first <= after.next()).unwrap_or(0);
    let mut expected = after.next();
    for (position, log) in logs.iter().enumerate().skip(start).take_while(|(_, log)| log.first <= through) {
        // A restored directory goes on in a file of its own; what the one before it has beyond that never happened there.
        let end = logs.get(position + 1).map_or(through.next(), |next| next.first);
        let path = log.paths.first().cloned().unwrap_or_default();
        let missing = |offset: usize, expected: CommitSeq| {
            let reason = format!("commit {expected} is missing");
            Err(LogError::Damaged { path: path.clone(), offset: offset as u64, reason }.into())
        };
        let read = log.paths.iter().map(|path| files.read(path));
        let bytes = read.reduce(|found, other| found.or(other)).unwrap_or_else(|| Ok(Vec::new()));
        let bytes = bytes.map_err(LogError::from)?;
        let mut scanner = Scanner::open(&path, &bytes)?;
        if log.first > expected {
            return missing(0, expected);
        }
        while let Next::Record(record) = scanner.next() {
            if record.seq < expected {
                continue;
            }
            if record.seq >= end {
                break;
            }
            if record.seq != expected || record.kind != KIND_COMMIT {
                return missing(scanner.offset, expected);
            }
            if expected > through || !each(&record)? {
                return Ok(());
            }
            expected = expected.next();
        }
    }
    if expected > through { Ok(()) } else { Err(LogError::Ended { expected }.into()) }
}

fn log_paths(files: &Files, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    Ok(files.list(directory)?.into_iter().filter(|path| first_from_name(path).is_some()).collect())
}

fn first_from_name(path: &Path) -> Option<CommitSeq> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".log")?.parse().ok().map(CommitSeq)
}

/// Reads one file and decides what its bad record is, if it has one.
fn check_file(path: PathBuf, bytes: &[u8], before: Option<&LogFile>) -> Result<LogFile, LogError> {
    let damaged = |offset: usize, reason: &str| {
        let offset = offset as u64;
        Err(LogError::Damaged { path: path.clone(), offset, reason: reason.to_string() })
    };
    let mut scanner = Scanner::open(&path, bytes)?;
    let (version, first, salt) = (scanner.version, scanner.first, scanner.salt);
    if first_from_name(&path) != Some(first) {
        return damaged(0, "its name does not fit its first commit");
    }
    if let Some(before) = before.filter(|before| before.last_or_before().next() != first) {
        refuse_cut_before(std::slice::from_ref(before))?;
        let missing = before.last_or_before().next();
        return damaged(
            0,
            &format!("it begins with commit {first}, but commit {missing} comes after the file before it"),
        );
    }
    let mut expected = first;
    let mut last = None;
    loop {
        let offset = scanner.offset;
        match scanner.next() {
            Next::Record(record) if record.seq != expected => {
                return damaged(offset, &format!("commit {expected} was expected and {} found", record.seq));
            }
            Next::Record(record) if record.kind != KIND_COMMIT => {
                return damaged(offset, &format!("commit {expected} is of an unknown kind, {}", record.kind));
            }
            Next::Record(record) => {
                last = Some(record.seq);
                expected = record.seq.next();
            }
            Next::End => return Ok(LogFile { path, first, last, length: offset as u64, cut: 0, version, salt }),
            Next::Bad if scanner.later_append_follows(offset + 1, expected) => {
                return damaged(offset, "the record is not valid, and valid commits follow it");
            }
            Next::Bad => {
                let torn = bytes[offset..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                let cut = torn as u64;
                return Ok(LogFile { path, first, last, length: offset as u64, cut, version, salt });
            }
        }
    }
}

/// A valid record in a file says that everything in the files before it was valid once.
fn refuse_cut_before(list: &[LogFile]) -> Result<(), LogError> {
    let Some(file) = list.iter().find(|file| file.cut > 0) else { return Ok(()) };
    let reason = "the record is not valid, and a later file of the log follows it".to_string();
    Err(LogError::Damaged { path: file.path.clone(), offset: file.length, reason })
}

enum Next<'a> {
    Record(Record<'a>),
    Bad,
    End,
}

/// Walks the records of one file.
struct Scanner<'a> {
    bytes: &'a [u8],
    version: u32,
    salt: u32,
    first: CommitSeq,
    offset: usize,
}

impl<'a> Scanner<'a> {
    /// Checks the header. A file appears under its name with a synced header, so a bad one is damage, never a torn tail.
    fn open(path: &Path, bytes: &'a [u8]) -> Result<Self, LogError> {
        let damaged = |reason: &str| {
            let (path, reason) = (path.to_path_buf(), reason.to_string());
            LogError::Damaged { path, offset: 0, reason }
        };
        let header = bytes.get(..FILE_HEADER_BYTES).ok_or_else(|| damaged("its header is cut short"))?;
        if !header.starts_with(FILE_MAGIC) || crc32c::crc32c(&header[..24]) != u32_at(header, 24) {
            return Err(damaged("its header is not valid"));
        }
        let version = u32_at(header, 8);
        match version {
            0 => return Err(damaged("its version is none")),
            1..=VERSION => {}
            _ => return Err(LogError::Newer { path: path.to_path_buf(), version }),
        }
        let (salt, first) = (u32_at(header, 12), CommitSeq(u64_at(header, 16)));
        Ok(Self { bytes, version, salt, first, offset: FILE_HEADER_BYTES })
    }

    /// The record at the offset; only a valid one moves it.
    fn next(&mut self) -> Next<'a> {
        if self.ends_here() {
            return Next::End;
        }
        match self.record_at(self.offset) {
            Some(record) => {
                self.offset += record.bytes as usize;
                Next::Record(record)
            }
            None => Next::Bad,
        }
    }

    /// Whether nothing follows but room for records to come.
    fn ends_here(&self) -> bool {
        let rest = &self.bytes[self.offset..];
        rest.first().is_none_or(|first| *first == 0) && rest.iter().all(|byte| *byte == 0)
    }

    fn record_at(&self, offset: usize) -> Option<Record<'a>> {
        let rest = &self.bytes[offset..];
        let header = rest.get(..RECORD_HEADER_BYTES)?;
        let length = u32_at(header, 4) as usize;
        if !header.starts_with(RECORD_MAGIC) || length > PAYLOAD_BYTES_MAX {
            return None;
        }
        let record = rest.get(..RECORD_HEADER_BYTES + length)?;
        if crc32c::crc32c_append(self.salt, &record[UNCHECKED_BYTES..]) != u32_at(header, 8) {
            return None;
        }
        Some(Record {
            seq: CommitSeq(u64_at(header, 12)),
            append: CommitSeq(u64_at(header, 20)),
            kind: header[28],
            payload: &record[RECORD_HEADER_BYTES..],
            bytes: record.len() as u64,
        })
    }

    /// Whether a valid record stands at or after `offset` that was appended after the record of `bad` was.
    fn later_append_follows(&self, mut offset: usize, bad: CommitSeq) -> bool {
        while let Some(found) = self.bytes[offset..].windows(RECORD_MAGIC.len()).position(|four| four == RECORD_MAGIC) {
            offset += found;
            if self.record_at(offset).is_some_and(|record| record.append > bad) {
                return true;
            }
            offset += 1;
        }
        false
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}

/// Why an append failed, by what the committer has to do about it.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// Nothing of the append is in the log, and the log can go on.
    DiskFull(FileError),
    /// Whether the append is on disk is unknown. The log must not be written any more.
    Broken(FileError),
}

/// The end of the log, where records are staged and then appended together.
#[derive(Debug)]
pub(crate) struct LogWriter {
    files: Files,
    directory: PathBuf,
    file: AppendFile,
    salt: u32,
    file_bytes_max: u64,
    staged: Vec<u8>,
    staged_first: Option<CommitSeq>,
    /// Cleared when it is unknown what is on disk.
    is_sound: bool,
}

/// Gives back the room behind the last record. Where that fails it stays, and means nothing.
impl Drop for LogWriter {
    fn drop(&mut self) {
        if self.is_sound && self.file.room() > 0 {
            let _ = self.file.truncate(self.file.length());
        }
    }
}

impl LogWriter {
    fn new(files: Files, directory: PathBuf, file: AppendFile, salt: u32, file_bytes_max: u64) -> Self {
        Self { files, directory, file, salt, file_bytes_max, staged: Vec::new(), staged_first: None, is_sound: true }
    }

    /// Adds a commit to the next append, beginning a new file if it is time; gives the bytes of its record. The payload is the
    /// concatenation of `parts`.
    pub(crate) fn stage(&mut self, seq: CommitSeq, parts: &[&[u8]]) -> Result<u64, FileError> {
        let has_records = self.file.length() > FILE_HEADER_BYTES as u64;
        if self.staged.is_empty() && has_records && self.file.length() >= self.file_bytes_max {
            self.rotate(seq)?;
        }
        let append = *self.staged_first.get_or_insert(seq);
        let length: usize = parts.iter().map(|part| part.len()).sum();
        assert!(length <= PAYLOAD_BYTES_MAX, "the committer refuses payloads that are too long");
        let start = self.staged.len();
        self.staged.extend_from_slice(RECORD_MAGIC);
        self.staged.extend_from_slice(&(length as u32).to_le_bytes());
        self.staged.extend_from_slice(&[0; 4]);
        self.staged.extend_from_slice(&seq.0.to_le_bytes());
        self.staged.extend_from_slice(&append.0.to_le_bytes());
        self.staged.push(KIND_COMMIT);
        parts.iter().for_each(|part| self.staged.extend_from_slice(part));
        let checksum = crc32c::crc32c_append(self.salt, &self.staged[start + UNCHECKED_BYTES..]);
        self.staged[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
        Ok((RECORD_HEADER_BYTES + length) as u64)
    }

    pub(crate) fn staged_bytes(&self) -> usize {
        self.staged.len()
    }

    /// Appends what was staged and makes it durable with one fdatasync.
    pub(crate) fn append_staged(&mut self) -> Result<(), AppendError> {
        let appended = self.try_append();
        self.is_sound &= !matches!(appended, Err(AppendError::Broken(_)));
        appended
    }

    fn try_append(&mut self) -> Result<(), AppendError> {
        let staged = std::mem::take(&mut self.staged);
        self.staged_first = None;
        let length = self.file.length();
        if let Err(error) = self.file.append(&staged) {
            if !error.is_disk_full() {
                return Err(AppendError::Broken(error));
            }
            // Whole records may have been written, whose writers are told that they are not there: a power cut must not bring them back.
            self.file.truncate(length).map_err(AppendError::Broken)?;
            self.file.sync_data().map_err(AppendError::Broken)?;
            return Err(AppendError::DiskFull(error));
        }
        if self.file.room() == 0 && staged.len() <= APPEND_BYTES_BEFORE_ROOM_MAX {
            // The file has just grown, so this sync is a slow one anyway.
            let room = length.clamp(*ROOM_BYTES.start(), *ROOM_BYTES.end());
            self.file.reserve(room).map_err(AppendError::Broken)?;
        }
        self.file.sync_data().map_err(AppendError::Broken)?;
        self.staged = staged;
        self.staged.clear();
        self.staged.shrink_to(STAGED_BYTES_KEPT);
        Ok(())
    }

    /// All records so far are synced, so the new file's name, being durable, vouches for them.
    fn rotate(&mut self, first: CommitSeq) -> Result<(), FileError> {
        match create_file(&self.files, &self.directory, first) {
            Ok((file, salt)) => (self.file, self.salt) = (file, salt),
            // Without the new file the old one can still grow if the disk gets room again; the append itself will tell.
            // With it, that would put one commit where two files claim it.
            Err(error) if error.is_disk_full() && self.files.size(&file_path(&self.directory, first))?.is_none() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn file_path(directory: &Path, first: CommitSeq) -> PathBuf {
    directory.join(file_name(first))
}

/// Begins a log that goes on after a checkpoint of the commit before `first`.
pub(crate) fn create_empty(files: &Files, directory: &Path, first: CommitSeq) -> Result<(), FileError> {
    create_file(files, directory, first).map(drop)
}

fn file_header(salt: u32, first: CommitSeq) -> Vec<u8> {
    let mut header = FILE_MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&salt.to_le_bytes());
    header.extend_from_slice(&first.0.to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}

fn create_file(files: &Files, directory: &Path, first: CommitSeq) -> Result<(AppendFile, u32), FileError> {
    let salt = RandomState::new().build_hasher().finish() as u32;
    let header = file_header(salt, first);
    let path = file_path(directory, first);
    files.replace(&path, [header.as_slice()])?;
    Ok((files.open_append(&path, header.len() as u64)?, salt))
}

#[cfg(test)]
mod tests;
