//! Files: the one seam through which this crate touches the disk.
//!
//! What the log and the checkpoints promise rests on four moves, and each stands here once:
//!
//!     replace      write `<name>.tmp`, sync_all, rename, sync the directory: the file is there whole or not at all
//!     append       write at the end; nothing is promised before `sync_data`
//!     sync_data    fdatasync; when it fails the kernel may have dropped the pages, so nobody may try it again
//!     remove_all   unlink, then sync each directory once, so that a removed file does not come back
//!
//! Every error names what was attempted and where. Tests break the seam through [`Files::faults`], which does not exist
//! outside of them. sled does its own input and output; see `index`.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The suffix of a file that is not finished; whatever bears it after a crash is garbage.
pub(crate) const UNFINISHED_SUFFIX: &str = ".tmp";

/// An operation on a file that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("could not {verb} \"{}\": {source}", path.display())]
pub struct FileError {
    /// E.g. `write to file`.
    pub verb: &'static str,
    pub path: PathBuf,
    pub source: Arc<io::Error>,
}

impl FileError {
    fn new(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self { verb, path: path.to_path_buf(), source: Arc::new(source) }
    }

    /// Whether the disk, or the user's share of it, is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the process may not write here.
    pub fn is_not_writable(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }
}

/// What tests can break. One per [`Files`], so that tests do not break each other.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) fail_syncs: std::sync::atomic::AtomicBool,
    pub(crate) disk_full: std::sync::atomic::AtomicBool,
    pub(crate) syncs: std::sync::atomic::AtomicU64,
}

/// The way to the disk. Clones share their faults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    #[cfg(test)]
    pub(crate) faults: Arc<Faults>,
}

impl Files {
    #[cfg(test)]
    fn before_sync(&self) -> io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        self.faults.syncs.fetch_add(1, SeqCst);
        if self.faults.fail_syncs.load(SeqCst) { Err(io::Error::other("input/output error")) } else { Ok(()) }
    }

    #[cfg(not(test))]
    fn before_sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Writes all of `bytes`; on a full disk of a test, half of them.
    fn write(&self, file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if self.faults.disk_full.load(std::sync::atomic::Ordering::SeqCst) {
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all(bytes)
    }

    /// Creates a directory and the missing ones above it, durably.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<(), FileError> {
        let missing: Vec<&Path> = path.ancestors().take_while(|above| !above.exists()).collect();
        fs::create_dir_all(path).map_err(|error| FileError::new("create directory", path, error))?;
        for parent in missing.iter().filter_map(|created| created.parent()) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            self.sync_directory(parent)?;
        }
        Ok(())
    }

    /// The entries of a directory, sorted by name; none where there is no directory.
    pub(crate) fn list(&self, path: &Path) -> Result<Vec<PathBuf>, FileError> {
        let fail = |error| FileError::new("read directory", path, error);
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(fail)?;
        paths.sort();
        Ok(paths)
    }

    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        fs::read(path).map_err(|error| FileError::new("read file", path, error))
    }

    /// The size of a file in bytes; `None` where there is none.
    pub(crate) fn size(&self, path: &Path) -> Result<Option<u64>, FileError> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::new("read the size of file", path, error)),
        }
    }

    /// Creates or replaces a file so that after a crash it is there whole or as it was before.
    pub(crate) fn replace<'a>(&self, path: &Path, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), FileError> {
        let unfinished = unfinished_path(path);
        let written = self.write_unfinished(&unfinished, parts);
        if let Err(error) = written {
            // The unfinished file would be swept at the next start; on a full disk its room is wanted now.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        fs::rename(&unfinished, path).map_err(|error| FileError::new("rename file", &unfinished, error))?;
        path.parent().map_or(Ok(()), |parent| self.sync_directory(parent))
    }

    fn write_unfinished<'a>(&self, path: &Path, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), FileError> {
        let file = File::create(path).map_err(|error| FileError::new("create file", path, error))?;
        let mut buffered = io::BufWriter::with_capacity(1 << 20, file);
        let write_failed = |error| FileError::new("write to file", path, error);
        for part in parts {
            self.write(&mut buffered, part).map_err(write_failed)?;
        }
        let file = buffered.into_inner().map_err(|error| write_failed(error.into_error()))?;
        let synced = self.before_sync().and_then(|()| file.sync_all());
        synced.map_err(|error| FileError::new("sync file", path, error))
    }

    pub(crate) fn sync_directory(&self, path: &Path) -> Result<(), FileError> {
        let synced = self.before_sync().and_then(|()| File::open(path)).and_then(|directory| directory.sync_all());
        synced.map_err(|error| FileError::new("sync directory", path, error))
    }

    /// Opens an existing file for appending after its first `length` bytes; what stands behind them is cut.
    pub(crate) fn open_append(&self, path: &Path, length: u64) -> Result<AppendFile, FileError> {
        let opened = OpenOptions::new().write(true).open(path);
        let file = opened.map_err(|error| FileError::new("open file", path, error))?;
        let mut append = AppendFile { files: self.clone(), file, path: path.to_path_buf(), length };
        append.truncate(length)?;
        Ok(append)
    }

    /// Unlinks files and makes that durable. A file that is already gone is no error.
    pub(crate) fn remove_all<'a>(&self, paths: impl IntoIterator<Item = &'a Path>) -> Result<(), FileError> {
        let mut directories = BTreeSet::new();
        for path in paths {
            self.remove(path)?;
            directories.extend(path.parent());
        }
        directories.into_iter().try_for_each(|directory| self.sync_directory(directory))
    }

    /// Unlinks a file; durable after the next sync of its directory.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), FileError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove file", path, error)),
            _ => Ok(()),
        }
    }

    /// Removes what crashed replacements left behind in a directory.
    pub(crate) fn remove_unfinished(&self, directory: &Path) -> Result<(), FileError> {
        let paths = self.list(directory)?;
        let unfinished = paths.iter().filter(|path| path.to_string_lossy().ends_with(UNFINISHED_SUFFIX));
        unfinished.into_iter().try_for_each(|path| self.remove(path))
    }

    pub(crate) fn remove_directory(&self, path: &Path) -> Result<(), FileError> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::new("remove directory", path, error))
            }
            _ => Ok(()),
        }
    }

    /// Takes the lock of a file that is created where it is missing. `Err(text)` inside is what the holder wrote into it.
    pub(crate) fn lock(&self, path: &Path) -> Result<Result<LockFile, String>, FileError> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| FileError::new("open file", path, error))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // What is inside only serves the message.
                let _ = file.read_to_string(&mut holder);
                return Ok(Err(holder.trim().to_string()));
            }
            Err(error) => return Err(FileError::new("lock file", path, error.into())),
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| FileError::new("write to file", path, error))?;
        Ok(Ok(LockFile { _file: file }))
    }
}

pub(crate) fn unfinished_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(UNFINISHED_SUFFIX);
    PathBuf::from(name)
}

/// Holds a lock until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct LockFile {
    _file: File,
}

/// A file that grows at its end. `length` counts what was written whole.
#[derive(Debug)]
pub(crate) struct AppendFile {
    files: Files,
    file: File,
    path: PathBuf,
    length: u64,
}

impl AppendFile {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Writes at the end. After an error the file may hold a part of `bytes` behind `length`; see [`Self::truncate`].
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let written = self.files.write(&mut self.file, bytes);
        written.map_err(|error| FileError::new("write to file", &self.path, error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn sync_data(&mut self) -> Result<(), FileError> {
        let synced = self.files.before_sync().and_then(|()| self.file.sync_data());
        synced.map_err(|error| FileError::new("sync file", &self.path, error))
    }

    /// Cuts the file after its first `length` bytes and appends there from now on.
    pub(crate) fn truncate(&mut self, length: u64) -> Result<(), FileError> {
        let cut = self.file.set_len(length).and_then(|()| self.file.seek(io::SeekFrom::Start(length)));
        cut.map_err(|error| FileError::new("truncate file", &self.path, error))?;
        self.length = length;
        Ok(())
    }
}
