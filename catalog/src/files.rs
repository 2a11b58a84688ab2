//! Files: the one seam through which the engine writes to the disk; `storage` writes its segments through it too.
//!
//! What the log, the checkpoints and the backups promise rests on five moves, and each stands here once:
//!
//!     replace      write `<name>.tmp`, sync_all, rename, sync the directory: the file is there whole or not at all
//!     append       write at the end; nothing is promised before `sync_data`
//!     sync_data    fdatasync; when it fails the kernel may have dropped the pages, so nobody may try it again
//!     remove_all   unlink, then sync each directory once, so that a removed file does not come back
//!     copy         write `<name>.tmp` with a checksum on the way, sync_all, rename; the caller syncs the directories
//!
//! Every error names what was attempted and where. Each step passes a [`Watcher`] where there is one: tests record what is done,
//! to crash behind any step of it, and break it. sled does its own input and output; see `index`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The suffix of a file that is not finished; whatever bears it after a crash is garbage.
pub(crate) const UNFINISHED_SUFFIX: &str = ".tmp";

/// How much of a file is copied at a time.
const COPY_BYTES: usize = 1 << 20;

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

    /// The same for those who add where it happened themselves.
    pub fn into_io(self) -> io::Error {
        Arc::try_unwrap(self.source).unwrap_or_else(|shared| shared.kind().into())
    }

    /// Whether the disk, or the user's share of it, is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the disk could not read or write it.
    pub(crate) fn is_medium(&self) -> bool {
        self.source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
    }

    /// Whether the process may not write here.
    pub fn is_not_writable(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }
}

/// One thing that is about to be done to the disk.
#[derive(Debug)]
pub enum Step<'a> {
    CreateDirectory(&'a Path),
    /// A new file, or an old one emptied.
    Create(&'a Path),
    Write {
        path: &'a Path,
        offset: u64,
        bytes: &'a [u8],
    },
    Truncate {
        path: &'a Path,
        length: u64,
    },
    SyncFile(&'a Path),
    SyncDirectory(&'a Path),
    Rename {
        from: &'a Path,
        to: &'a Path,
    },
    Link {
        from: &'a Path,
        to: &'a Path,
    },
    Remove(&'a Path),
    /// A directory with all that is in it.
    RemoveDirectory(&'a Path),
    Read(&'a Path),
}

/// How a step fails that a [`Watcher`] breaks.
#[derive(Debug)]
pub struct Fault {
    pub error: io::Error,
    /// How many bytes of a write come to the file all the same.
    pub written: usize,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self { error, written: 0 }
    }
}

/// Stands between the program and the disk. Servers have none; tests watch what is done, and break it.
pub trait Watcher: fmt::Debug + Send + Sync {
    /// Called before each step, which is not taken on an error.
    fn before(&self, step: &Step<'_>) -> Result<(), Fault>;
}

/// The way to the disk. Clones share their watcher.
#[derive(Clone, Debug, Default)]
pub struct Files {
    watcher: Option<Arc<dyn Watcher>>,
    /// Whether what is written may be lost in a power cut.
    unsynced: bool,
}

impl Files {
    pub fn watched_by(watcher: Arc<dyn Watcher>) -> Self {
        Self { watcher: Some(watcher), unsynced: false }
    }

    /// For files that no start will ask for.
    pub fn unsynced() -> Self {
        Self { unsynced: true, ..Self::default() }
    }

    fn before(&self, step: &Step<'_>) -> Result<(), Fault> {
        self.watcher.as_ref().map_or(Ok(()), |watcher| watcher.before(step))
    }

    /// Takes a step that is no write.
    fn step<T>(&self, step: &Step<'_>, body: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.before(step).map_err(|fault| fault.error)?;
        body()
    }

    /// Creates a directory and the missing ones above it, durably.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<(), FileError> {
        // Above a relative path stands the empty one, which is the working directory.
        let is_missing = |above: &&Path| !above.as_os_str().is_empty() && !above.exists();
        let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
        let fail = |error| FileError::new("create directory", path, error);
        for above in missing.iter().rev() {
            match self.step(&Step::CreateDirectory(above), || fs::create_dir(above)) {
                // Another writer may have made it meanwhile.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail(error)),
                _ => {}
            }
        }
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
        self.step(&Step::Read(path), || fs::read(path)).map_err(|error| FileError::new("read file", path, error))
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
        self.rename(&unfinished, path)?;
        path.parent().map_or(Ok(()), |parent| self.sync_directory(parent))
    }

    fn write_unfinished<'a>(&self, path: &Path, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), FileError> {
        let mut file = self.create(path)?;
        parts.into_iter().try_for_each(|part| file.append(part))?;
        file.sync_all()
    }

    /// Creates a directory and the missing ones above it. What makes them durable is to sync each and those above.
    pub fn create_directory_unsynced(&self, path: &Path) -> Result<(), FileError> {
        self.step(&Step::CreateDirectory(path), || fs::create_dir_all(path))
            .map_err(|error| FileError::new("create directory", path, error))
    }

    /// Creates a file where there is none.
    pub fn create_new(&self, path: &Path) -> Result<AppendFile, FileError> {
        let create = || OpenOptions::new().write(true).create_new(true).open(path);
        let created = self.step(&Step::Create(path), create);
        let file = created.map_err(|error| FileError::new("create file", path, error))?;
        Ok(AppendFile { files: self.clone(), file, path: path.to_path_buf(), length: 0, reserved: 0 })
    }

    /// Creates a file, or empties an old one.
    fn create(&self, path: &Path) -> Result<AppendFile, FileError> {
        let created = self.step(&Step::Create(path), || File::create(path));
        let file = created.map_err(|error| FileError::new("create file", path, error))?;
        Ok(AppendFile { files: self.clone(), file, path: path.to_path_buf(), length: 0, reserved: 0 })
    }

    /// Syncs a file that somebody else may have written.
    pub(crate) fn sync_file(&self, path: &Path) -> Result<(), FileError> {
        let synced = self.step(&Step::SyncFile(path), || File::open(path)?.sync_all());
        synced.map_err(|error| FileError::new("sync file", path, error))
    }

    pub fn sync_directory(&self, path: &Path) -> Result<(), FileError> {
        if self.unsynced {
            return Ok(());
        }
        let synced = self.step(&Step::SyncDirectory(path), || File::open(path)?.sync_all());
        synced.map_err(|error| FileError::new("sync directory", path, error))
    }

    /// Opens an existing file for appending after its first `length` bytes; what stands behind them is cut.
    pub(crate) fn open_append(&self, path: &Path, length: u64) -> Result<AppendFile, FileError> {
        let opened = OpenOptions::new().write(true).open(path);
        let file = opened.map_err(|error| FileError::new("open file", path, error))?;
        let mut append = AppendFile { files: self.clone(), file, path: path.to_path_buf(), length, reserved: length };
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
    pub fn remove(&self, path: &Path) -> Result<(), FileError> {
        match self.step(&Step::Remove(path), || fs::remove_file(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove file", path, error)),
            _ => Ok(()),
        }
    }

    /// Copies a file, synced, to a name whose directory remains to be synced. Gives the bytes and the CRC-32C of what was read.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> Result<(u64, u32), FileError> {
        let unfinished = unfinished_path(to);
        let copied = self.copy_unfinished(from, &unfinished);
        if copied.is_err() {
            // What cannot be removed is overwritten by the next try; on a full disk its room is wanted now.
            let _ = fs::remove_file(&unfinished);
        }
        let copied = copied?;
        self.rename(&unfinished, to)?;
        Ok(copied)
    }

    fn copy_unfinished(&self, from: &Path, to: &Path) -> Result<(u64, u32), FileError> {
        let mut file = self.create(to)?;
        let read = self.read_parts(from, |part| file.append(part))?;
        file.sync_all()?;
        Ok(read)
    }

    /// The bytes of a file and their CRC-32C.
    pub(crate) fn checksum(&self, path: &Path) -> Result<(u64, u32), FileError> {
        self.read_parts(path, |_| Ok(()))
    }

    /// Gives a file to `each` piece by piece; then its bytes and their CRC-32C.
    fn read_parts(
        &self,
        path: &Path,
        mut each: impl FnMut(&[u8]) -> Result<(), FileError>,
    ) -> Result<(u64, u32), FileError> {
        let read_failed = |error| FileError::new("read file", path, error);
        let opened = self.step(&Step::Read(path), || File::open(path));
        let mut file = opened.map_err(|error| FileError::new("open file", path, error))?;
        let mut buffer = vec![0; COPY_BYTES];
        let (mut bytes, mut checksum) = (0, 0);
        loop {
            let length = file.read(&mut buffer).map_err(read_failed)?;
            if length == 0 {
                return Ok((bytes, checksum));
            }
            bytes += length as u64;
            checksum = crc32c::crc32c_append(checksum, &buffer[..length]);
            each(&buffer[..length])?;
        }
    }

    /// Gives a file a second name; durable after the next sync of its directory.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.step(&Step::Link { from, to }, || fs::hard_link(from, to))
            .map_err(|error| FileError::new("link file", to, error))
    }

    /// Makes a symbolic link at `to` that stands for `from`.
    pub(crate) fn point(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let pointed = self.step(&Step::Link { from, to }, || std::os::unix::fs::symlink(from, to));
        pointed.map_err(|error| FileError::new("link file", to, error))
    }

    /// Renames a file or a directory; durable after the next sync of the directories that it leaves and enters.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.step(&Step::Rename { from, to }, || fs::rename(from, to))
            .map_err(|error| FileError::new("rename file", from, error))
    }

    /// Removes what crashed replacements left behind in a directory.
    pub(crate) fn remove_unfinished(&self, directory: &Path) -> Result<(), FileError> {
        let paths = self.list(directory)?;
        let unfinished = paths.iter().filter(|path| path.to_string_lossy().ends_with(UNFINISHED_SUFFIX));
        unfinished.into_iter().try_for_each(|path| self.remove(path))
    }

    pub(crate) fn remove_directory(&self, path: &Path) -> Result<(), FileError> {
        match self.step(&Step::RemoveDirectory(path), || fs::remove_dir_all(path)) {
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
        if let Some(holder) = lock_file(&mut file, path)? {
            return Ok(Err(holder));
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| FileError::new("write to file", path, error))?;
        Ok(Ok(LockFile { _file: file }))
    }

    /// The same for a file that is only looked at: it is neither created nor written to. `None` where there is no such file.
    pub(crate) fn lock_existing(&self, path: &Path) -> Result<Result<Option<LockFile>, String>, FileError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(None)),
            Err(error) => return Err(FileError::new("open file", path, error)),
        };
        Ok(match lock_file(&mut file, path)? {
            Some(holder) => Err(holder),
            None => Ok(Some(LockFile { _file: file })),
        })
    }
}

/// Locks an open file. Where another process has it, gives what that one wrote into it.
fn lock_file(file: &mut File, path: &Path) -> Result<Option<String>, FileError> {
    match rustix::fs::flock(&*file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // What is inside only serves the message.
            let _ = file.read_to_string(&mut holder);
            Ok(Some(holder.trim().to_string()))
        }
        Err(error) => Err(FileError::new("lock file", path, error.into())),
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
pub struct AppendFile {
    files: Files,
    file: File,
    path: PathBuf,
    length: u64,
    /// Where the file ends on disk; what stands behind `length` is zeros.
    reserved: u64,
}

impl AppendFile {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes that can be appended without making the file longer.
    pub(crate) fn room(&self) -> u64 {
        self.reserved.saturating_sub(self.length)
    }

    /// Writes zeros behind the end of the file, so that the next so many bytes do not change its length: to sync them is then to sync
    /// data alone. A disk without room for them gives none; the append itself will tell.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Result<(), FileError> {
        let start = self.reserved.max(self.length);
        let zeros = vec![0; (self.length + bytes).saturating_sub(start) as usize];
        let step = Step::Write { path: &self.path, offset: start, bytes: &zeros };
        let written = match self.files.before(&step) {
            Ok(()) => self.file.write_all_at(&zeros, start),
            Err(Fault { error, written }) => self.file.write_all_at(&zeros[..written], start).and(Err(error)),
        };
        match written.map_err(|error| FileError::new("write to file", &self.path, error)) {
            Err(error) if error.is_disk_full() => self.truncate(self.length),
            written => {
                self.reserved = start + zeros.len() as u64;
                written
            }
        }
    }

    /// Writes at the end. After an error the file may hold a part of `bytes` behind `length`; see [`Self::truncate`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let step = Step::Write { path: &self.path, offset: self.length, bytes };
        let written = match self.files.before(&step) {
            Ok(()) => self.file.write_all(bytes),
            Err(Fault { error, written }) => self.file.write_all(&bytes[..written]).and(Err(error)),
        };
        written.map_err(|error| FileError::new("write to file", &self.path, error))?;
        self.length += bytes.len() as u64;
        self.reserved = self.reserved.max(self.length);
        Ok(())
    }

    pub(crate) fn sync_data(&mut self) -> Result<(), FileError> {
        self.sync(File::sync_data)
    }

    /// Syncs the file with what the system knows of it.
    pub fn sync_all(&mut self) -> Result<(), FileError> {
        self.sync(File::sync_all)
    }

    fn sync(&mut self, sync: impl FnOnce(&File) -> io::Result<()>) -> Result<(), FileError> {
        if self.files.unsynced {
            return Ok(());
        }
        let synced = self.files.step(&Step::SyncFile(&self.path), || sync(&self.file));
        synced.map_err(|error| FileError::new("sync file", &self.path, error))
    }

    /// Cuts the file after its first `length` bytes and appends there from now on.
    pub(crate) fn truncate(&mut self, length: u64) -> Result<(), FileError> {
        let step = Step::Truncate { path: &self.path, length };
        let cut = self.files.step(&step, || self.file.set_len(length));
        let cut = cut.and_then(|()| self.file.seek(io::SeekFrom::Start(length)));
        cut.map_err(|error| FileError::new("truncate file", &self.path, error))?;
        (self.length, self.reserved) = (length, length);
        Ok(())
    }
}
