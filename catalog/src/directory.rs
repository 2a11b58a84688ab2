//! The data directory: whose it is, which version it has, and that nobody else uses it.
//!
//!     FORMAT       "meridian 1", written when the directory is created
//!     LOCK         flocked by the server that runs, with its process id inside
//!     log/         the authority on what was committed
//!     checkpoint/  the catalog as of a commit
//!     index/       the same in sled, derived
//!     history/     what log/ and checkpoint/ do not need any more, for reading the past
//!     segments/    the rows; paths in segment metadata are relative to the data directory
//!
//! A directory that has anything in it and no FORMAT belongs to somebody else: nothing in it is touched.

use crate::checkpoint;
use crate::files::{FileError, Files, LockFile, UNFINISHED_SUFFIX};
use crate::ids::CommitSeq;
use crate::log;
use crate::recovery::OpenError;
use crate::snapshot::Snapshot;
use std::path::{Path, PathBuf};

/// What FORMAT says. *Adding a new version:* raise the number when a server of the older version must not open the
/// directory any more, and convert here, before anything else is read.
pub(crate) const FORMAT: &str = "meridian 1";

pub(crate) const FORMAT_NAME: &str = "FORMAT";
pub(crate) const LOCK_NAME: &str = "LOCK";
pub(crate) const LOG_NAME: &str = "log";
pub(crate) const CHECKPOINTS_NAME: &str = "checkpoint";
pub(crate) const SEGMENTS_NAME: &str = "segments";
pub(crate) const HISTORY_NAME: &str = "history";

/// A data directory that this process holds.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    pub(crate) files: Files,
    pub(crate) root: PathBuf,
    /// Whether the directory was created by this start.
    pub(crate) created: bool,
    /// A directory that is only looked at and that no server ever had has no file to lock.
    _lock: Option<LockFile>,
}

impl DataDirectory {
    /// Locks the directory, creating it where there is none.
    pub(crate) fn open(files: Files, root: &Path) -> Result<Self, OpenError> {
        let format = root.join(FORMAT_NAME);
        let is_ours = |path: &PathBuf| *path == format;
        files.create_directory(root)?;
        let found = files.list(root)?;
        if !found.iter().any(is_ours) && found.iter().any(|path| !is_harmless(path)) {
            return Err(OpenError::NotADataDirectory { path: root.to_path_buf() });
        }
        let lock = match files.lock(&root.join(LOCK_NAME))? {
            Ok(lock) => lock,
            Err(holder) => return Err(OpenError::Locked { path: root.to_path_buf(), process: holder.parse().ok() }),
        };
        // Only the holder of the lock may look again: another server could have created the database meanwhile.
        let created = files.size(&format)?.is_none();
        if created {
            files.replace(&format, [FORMAT.as_bytes(), b"\n"])?;
        }
        let found = String::from_utf8_lossy(&files.read(&format)?).trim().to_string();
        if found != FORMAT {
            return Err(OpenError::OtherVersion { path: root.to_path_buf(), found });
        }
        let directory = Self { files, root: root.to_path_buf(), created, _lock: Some(lock) };
        directory.prepare()?;
        Ok(directory)
    }

    /// Locks a directory that exists, to look at it and change nothing.
    pub(crate) fn inspect(files: Files, root: &Path) -> Result<Self, OpenError> {
        let format = root.join(FORMAT_NAME);
        if files.size(&format)?.is_none() {
            return Err(OpenError::NoDataDirectory { path: root.to_path_buf() });
        }
        let lock = files.lock_existing(&root.join(LOCK_NAME))?;
        let lock =
            lock.map_err(|holder| OpenError::Locked { path: root.to_path_buf(), process: holder.parse().ok() })?;
        let found = String::from_utf8_lossy(&files.read(&format)?).trim().to_string();
        if found != FORMAT {
            return Err(OpenError::OtherVersion { path: root.to_path_buf(), found });
        }
        Ok(Self { files, root: root.to_path_buf(), created: false, _lock: lock })
    }

    fn prepare(&self) -> Result<(), FileError> {
        for path in [self.log(), self.checkpoints(), self.history(), self.segments()] {
            self.files.create_directory(&path)?;
        }
        for path in [self.root.clone(), self.log(), self.checkpoints(), self.history()] {
            self.files.remove_unfinished(&path)?;
        }
        Ok(())
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join(LOG_NAME)
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.root.join(CHECKPOINTS_NAME)
    }

    pub(crate) fn history(&self) -> PathBuf {
        self.root.join(HISTORY_NAME)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join(SEGMENTS_NAME)
    }
}

/// Whether a database was made in a directory.
pub fn is_data_directory(root: &Path) -> bool {
    root.join(FORMAT_NAME).is_file()
}

/// Makes a directory of segments a data directory: a checkpoint, an empty log that goes on after it, and `FORMAT` last, so that
/// nobody opens what is not whole.
pub(crate) fn write_catalog(files: &Files, root: &Path, snapshot: &Snapshot) -> Result<(), FileError> {
    let checkpoints = root.join(CHECKPOINTS_NAME);
    files.create_directory(&checkpoints)?;
    checkpoint::write(files, &checkpoints, snapshot)?;
    finish_catalog(files, root, snapshot.seq)
}

/// The same where the checkpoint of `seq` is there already.
pub(crate) fn finish_catalog(files: &Files, root: &Path, seq: CommitSeq) -> Result<(), FileError> {
    let logs = root.join(LOG_NAME);
    files.create_directory(&logs)?;
    log::create_empty(files, &logs, seq.next())?;
    files.replace(&root.join(FORMAT_NAME), [FORMAT.as_bytes(), b"\n"])
}

/// What an interrupted creation leaves, and what every new file system has.
pub(crate) fn is_harmless(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name == LOCK_NAME || name == "lost+found" || name == format!("{FORMAT_NAME}{UNFINISHED_SUFFIX}")
}
