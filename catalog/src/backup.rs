//! Backups: one snapshot's files in another directory.
//!
//!     DIR/BACKUPS                    marks the directory; locked by whoever makes a backup in it
//!     DIR/unfinished/                the backup that is being made, or whose making was interrupted
//!     DIR/2026-11-21T201905Z-42/     one backup, of commit 42
//!         MANIFEST                   every file with its size and checksum, written last
//!         checkpoint/, segments/     the catalog as of commit 42 and the segments that it names, as in a data directory
//!         history/                   the log and the checkpoints that its past is read from
//!
//! A backup is made beside running transactions. It holds a snapshot, which keeps the segments that it copies from being reaped,
//! and no lock. A segment never changes, so one that the backup before has in the same size with the same checksum is linked from
//! there instead of copied; each backup is whole by itself and may be deleted without regard to the others. What is copied is
//! compared with the checksum that its commit recorded, so a backup does not take over damage.
//!
//! Every time that the data directory could be read as of can be restored from its backup too: the segments of its past are among
//! those that it names, and the log is copied up to its last commit. Where a file of the past is lost, the history of the backup
//! begins when it was not needed any more.
//!
//! A backup becomes one by a rename, after everything in it, the manifest last, was synced. What was interrupted stays in
//! `unfinished`; the next backup checks what it finds there and goes on with it. See `restore` for the way back.

mod manifest;
mod restore;

pub use restore::restore;

use crate::archive::{Archive, PastError};
use crate::checkpoint;
use crate::commit::Catalog;
use crate::directory::{CHECKPOINTS_NAME, FORMAT_NAME, HISTORY_NAME, SEGMENTS_NAME};
use crate::files::{FileError, Files, LockFile};
use crate::ids::{CommitSeq, SegmentId};
use crate::past::Removed;
use crate::recovery::OpenError;
use crate::segment::SegmentMeta;
use crate::segment_files::{named_segments, present_segments, sweep_orphans};
use crate::snapshot::Snapshot;
use hashbrown::{HashMap, HashSet};
use manifest::{Manifest, ManifestFile};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const MARK: &str = "BACKUPS";
const UNFINISHED: &str = "unfinished";
const MANIFEST: &str = "MANIFEST";

/// Why a backup was not made, found or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("directory \"{}\" is not empty and is not a directory of backups", path.display())]
    NotABackupDirectory { path: PathBuf },
    #[error("directory \"{}\" lies inside of \"{}\"", path.display(), outer.display())]
    Inside { path: PathBuf, outer: PathBuf },
    #[error("another backup is being made in \"{}\"", path.display())]
    Busy { path: PathBuf },
    #[error("there is no backup in \"{}\"{}", path.display(), if *unfinished { ", only one that was interrupted" } else { "" })]
    NoBackup { path: PathBuf, unfinished: bool },
    #[error("there is no backup of that time or before in \"{}\"", path.display())]
    NoneBefore { path: PathBuf, oldest_micros: i64 },
    /// `before_micros` is the last time before it that can be restored, `after_micros` the first one after it.
    #[error("the backups in \"{}\" do not have that time", path.display())]
    NotCovered { path: PathBuf, before_micros: i64, after_micros: Option<i64> },
    /// The directory to restore into.
    #[error("directory \"{}\" is not empty", path.display())]
    NotEmpty { path: PathBuf },
    /// A backup that cannot be restored.
    #[error("backup \"{}\" is damaged: {reason}", path.display())]
    DamagedBackup { path: PathBuf, reason: String },
    #[error("backup \"{}\" was made by a newer version of the server: {reason}", path.display())]
    NewerBackup { path: PathBuf, reason: String },
    /// A segment of the data directory that is not what its commit wrote.
    #[error("segment file \"{path}\" is damaged: {reason}")]
    DamagedSegment { path: String, reason: String },
    #[error("there is no data directory \"{}\"", path.display())]
    NoDataDirectory { path: PathBuf },
    #[error("the backup was cancelled")]
    Cancelled,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl BackupError {
    /// What to do about it, as a sentence; the times of backups are for the caller to say.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotABackupDirectory { .. } => "Choose an empty directory, or one that has backups already.".into(),
            Self::Inside { .. } => "Choose a directory outside of it, best on another disk.".into(),
            Self::Busy { .. } => "Wait until it is finished.".into(),
            Self::NotEmpty { .. } => "Restore into a new or empty directory.".into(),
            Self::DamagedBackup { .. } => {
                "Restore an older backup with --to-time, or remove this one to have the one before it restored.".into()
            }
            Self::NewerBackup { .. } => "Restore it with the version that made it.".into(),
            Self::DamagedSegment { .. } => {
                "Nothing else of the data directory need be lost: \"meridian check\" lists what is damaged.".into()
            }
            Self::Open(error) => return error.hint(),
            Self::File(error) if error.is_disk_full() => "Free some space and try again.".into(),
            Self::NoBackup { .. } => "Name the directory that \"meridian backup\" was given.".into(),
            Self::NoneBefore { .. }
            | Self::NotCovered { .. }
            | Self::NoDataDirectory { .. }
            | Self::Cancelled
            | Self::File(_) => return None,
        })
    }
}

/// A backup as it lies in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// Its directory below that of the backups.
    pub name: String,
    /// The last commit that it has.
    pub seq: CommitSeq,
    /// When that commit was made; microseconds since 1970, like all times here.
    pub committed_at_micros: i64,
    /// The earliest time that can be restored.
    pub from_micros: i64,
    pub made_at_micros: i64,
    pub segments: u64,
    pub bytes: u64,
}

/// What making a backup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    pub backup: BackupSummary,
    /// Segments, and their bytes, that were copied now; the others are shared with the backup before.
    pub copied_segments: u64,
    pub copied_bytes: u64,
    pub left_out: Option<LeftOut>,
}

/// History that a backup does not have because a segment file of it is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub path: String,
    pub reason: String,
    /// When the file was not needed any more, which is where the backup's history begins; microseconds since 1970.
    pub until_micros: i64,
}

/// What stands in a directory of backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    Complete(BackupSummary),
    Damaged {
        name: String,
        reason: String,
    },
    /// The making of one was interrupted, or goes on.
    Unfinished,
}

/// The backups in a directory that backups were made in, oldest first.
pub fn list(target: &Path) -> Result<Vec<Listed>, BackupError> {
    let found = read_all(&Files::default(), target)?;
    let mut listed: Vec<Listed> = found
        .backups
        .into_iter()
        .map(|(name, manifest)| match manifest {
            Ok(manifest) => Listed::Complete(summary(name, &manifest)),
            Err(reason) => Listed::Damaged { name, reason },
        })
        .collect();
    listed.extend(found.unfinished.then_some(Listed::Unfinished));
    Ok(listed)
}

/// Makes a backup of a data directory that no server holds. Opening it recovers it, as a start of the server would.
pub fn of_directory(data_dir: &Path, target: &Path, cancelled: &AtomicBool) -> Result<BackupReport, BackupError> {
    if Files::default().size(&data_dir.join(FORMAT_NAME))?.is_none() {
        return Err(BackupError::NoDataDirectory { path: data_dir.to_path_buf() });
    }
    let (catalog, _) = Catalog::open(data_dir)?;
    catalog.backup(target, cancelled)
}

/// What is copied, and where to.
pub(crate) struct Source<'a> {
    pub(crate) files: &'a Files,
    pub(crate) data_dir: &'a Path,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) archive: &'a Archive,
    pub(crate) now_micros: i64,
    pub(crate) cancelled: &'a AtomicBool,
}

/// Makes a backup below `target`, which is created where it is missing.
pub(crate) fn make(source: &Source<'_>, target: &Path) -> Result<BackupReport, BackupError> {
    refuse_inside(source.data_dir, target)?;
    let _lock = occupy(source.files, target)?;
    let newest = newest_complete(source.files, target)?;
    let unfinished = target.join(UNFINISHED);
    let snapshot = source.snapshot.clone();
    let mut work = Work { source, snapshot, unfinished: &unfinished, newest, left_out: None };
    let segments = work.take_segments()?;
    let history = work.take_history()?;
    let checkpoint = work.write_checkpoint()?;
    let manifest = Manifest {
        seq: source.snapshot.seq,
        from_micros: work.first_time()?,
        committed_at_micros: source.snapshot.at_micros,
        made_at_micros: source.now_micros,
        files: [checkpoint].into_iter().chain(segments.iter().map(|taken| taken.file.clone())).chain(history).collect(),
    };
    work.refuse_when_cancelled()?;
    source.files.replace(&unfinished.join(MANIFEST), [manifest.to_text().as_bytes()])?;
    let name = free_name(source.files, target, &manifest)?;
    source.files.rename(&unfinished, &target.join(&name))?;
    source.files.sync_directory(target)?;
    let copied = segments.iter().filter(|taken| taken.copied);
    Ok(BackupReport {
        backup: summary(name, &manifest),
        copied_segments: copied.clone().count() as u64,
        copied_bytes: copied.map(|taken| taken.file.bytes).sum(),
        left_out: work.left_out,
    })
}

fn summary(name: String, manifest: &Manifest) -> BackupSummary {
    BackupSummary {
        name,
        seq: manifest.seq,
        committed_at_micros: manifest.committed_at_micros,
        from_micros: manifest.from_micros,
        made_at_micros: manifest.made_at_micros,
        segments: manifest.files.iter().filter(|file| file.path.starts_with(SEGMENTS_NAME)).count() as u64,
        bytes: manifest.bytes(),
    }
}

/// A backup inside the data directory would be lost with it, and a data directory among backups is none of them.
fn refuse_inside(outer: &Path, path: &Path) -> Result<(), BackupError> {
    let existing = path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let inside = match (existing.canonicalize(), outer.canonicalize()) {
        (Ok(existing), Ok(outer)) => existing.starts_with(outer),
        // What cannot be resolved cannot be written either, and that is reported where it is tried.
        _ => false,
    };
    if inside {
        return Err(BackupError::Inside { path: path.to_path_buf(), outer: outer.to_path_buf() });
    }
    Ok(())
}

/// Makes sure that the directory is for backups, and that nobody else makes one in it.
fn occupy(files: &Files, target: &Path) -> Result<LockFile, BackupError> {
    files.create_directory(target)?;
    let mark = target.join(MARK);
    let found = files.list(target)?;
    let is_harmless = |path: &PathBuf| *path == mark || path.ends_with("lost+found");
    if !found.contains(&mark) && !found.iter().all(is_harmless) {
        return Err(BackupError::NotABackupDirectory { path: target.to_path_buf() });
    }
    let lock = files.lock(&mark)?.map_err(|_| BackupError::Busy { path: target.to_path_buf() })?;
    files.sync_directory(target)?;
    Ok(lock)
}

/// All that a directory of backups has.
struct Found {
    /// Oldest first by name; the error says why a manifest is of no use.
    backups: Vec<(String, Result<Manifest, String>)>,
    unfinished: bool,
}

fn read_all(files: &Files, target: &Path) -> Result<Found, BackupError> {
    let paths = files.list(target)?;
    if !paths.contains(&target.join(MARK)) {
        return Err(BackupError::NoBackup { path: target.to_path_buf(), unfinished: false });
    }
    let mut found = Found { backups: Vec::new(), unfinished: false };
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name == UNFINISHED {
            found.unfinished = true;
        } else if order_of(name).is_some() {
            found.backups.push((name.to_string(), read_manifest(files, &path)?));
        }
    }
    found.backups.sort_by(|(left, _), (right, _)| order_of(left).cmp(&order_of(right)));
    Ok(found)
}

/// The error inside says why it is of no use.
fn read_manifest(files: &Files, backup: &Path) -> Result<Result<Manifest, String>, FileError> {
    let path = backup.join(MANIFEST);
    if files.size(&path)?.is_none() {
        return Ok(Err("it has no MANIFEST".to_string()));
    }
    let parsed = Manifest::parse(&files.read(&path)?);
    Ok(parsed.map_err(|reason| format!("its MANIFEST cannot be used: {reason}")))
}

/// The newest backup whose manifest is good: where it lies, and the files in it by path.
struct Newest {
    directory: PathBuf,
    by_path: HashMap<String, ManifestFile>,
}

fn newest_complete(files: &Files, target: &Path) -> Result<Option<Newest>, BackupError> {
    let mut backups = read_all(files, target)?.backups.into_iter().rev();
    let newest = backups.find_map(|(name, manifest)| Some((name, manifest.ok()?)));
    Ok(newest.map(|(name, manifest)| {
        let by_path = manifest.files.into_iter().map(|file| (file.path.clone(), file));
        Newest { directory: target.join(name), by_path: by_path.collect() }
    }))
}

/// A time as names of backups begin: `2026-11-21T201905Z`.
fn stamp(micros: i64) -> String {
    let time = arrow::temporal_conversions::timestamp_us_to_datetime(micros);
    time.map_or_else(|| micros.to_string(), |time| time.format("%Y-%m-%dT%H%M%SZ").to_string())
}

/// The first of the names of that second that nobody has: two backups of one commit may follow each other quickly.
fn free_name(files: &Files, target: &Path, manifest: &Manifest) -> Result<String, FileError> {
    let name = format!("{}-{}", stamp(manifest.made_at_micros), manifest.seq);
    let taken = files.list(target)?;
    let mut free = name.clone();
    for number in 2.. {
        if !taken.contains(&target.join(&free)) {
            break;
        }
        free = format!("{name}-{number}");
    }
    Ok(free)
}

/// How a backup's name sorts: by the time, the commit and the number behind it. `None` for the name of anything else.
fn order_of(name: &str) -> Option<(&str, u64, u64)> {
    let shape = "dddd-dd-ddTddddddZ";
    let (stamp, rest) = name.split_at_checked(shape.len())?;
    let mut pairs = stamp.bytes().zip(shape.bytes());
    let fits = pairs.all(|(byte, wanted)| if wanted == b'd' { byte.is_ascii_digit() } else { byte == wanted });
    let (seq, number) = rest.strip_prefix('-').map(|rest| rest.split_once('-').unwrap_or((rest, "1")))?;
    Some((fits.then_some(stamp)?, seq.parse().ok()?, number.parse().ok()?))
}

/// A segment that is in the backup now.
struct Taken {
    file: ManifestFile,
    /// Not there before and not shared with another backup.
    copied: bool,
}

/// A backup in the making.
struct Work<'a> {
    source: &'a Source<'a>,
    /// What the backup has: the snapshot of the source, but for the past that is left out.
    snapshot: Snapshot,
    unfinished: &'a Path,
    newest: Option<Newest>,
    left_out: Option<LeftOut>,
}

impl Work<'_> {
    fn refuse_when_cancelled(&self) -> Result<(), BackupError> {
        if self.source.cancelled.load(Ordering::Relaxed) { Err(BackupError::Cancelled) } else { Ok(()) }
    }

    /// Brings every segment that the snapshot names into the backup, but for what is lost of the past, and syncs the directories.
    fn take_segments(&mut self) -> Result<Vec<Taken>, BackupError> {
        let Source { files, snapshot, .. } = *self.source;
        let below = self.unfinished.join(SEGMENTS_NAME);
        files.create_directory(&below)?;
        sweep_orphans(files, self.unfinished, &below, snapshot)?;
        files.create_directory(&below)?;
        let mut seen: HashSet<SegmentId> = HashSet::new();
        let mut directories = BTreeSet::from([below.clone()]);
        let present = present_segments(snapshot).filter(|meta| seen.insert(meta.id));
        let taken = present.map(|meta| self.take_segment(meta, &mut directories)).collect::<Result<_, _>>();
        let mut taken: Vec<Taken> = taken?;
        // The newest first: with one that is lost the history ends, and what was removed before it is not wanted.
        for removed in snapshot.past.removed().rev().filter(|removed| seen.insert(removed.meta.id)) {
            match self.take_segment(&removed.meta, &mut directories) {
                Ok(segment) => taken.push(segment),
                Err(error) => {
                    self.leave_out(removed, error)?;
                    break;
                }
            }
        }
        if self.left_out.is_some() {
            let kept: HashSet<&str> = named_segments(&self.snapshot).map(|meta| meta.path.as_str()).collect();
            taken.retain(|taken| kept.contains(taken.file.path.as_str()));
            sweep_orphans(files, self.unfinished, &below, &self.snapshot)?;
            directories.retain(|directory| directory.exists());
        }
        directories.iter().try_for_each(|directory| files.sync_directory(directory))?;
        Ok(taken)
    }

    /// Has the history begin where a lost segment of the past was not needed any more. Other errors are given back.
    fn leave_out(&mut self, lost: &Removed, error: BackupError) -> Result<(), BackupError> {
        let from = self.source.data_dir.join(&lost.meta.path);
        let reason = match error {
            BackupError::DamagedSegment { reason, .. } => reason,
            BackupError::File(error) if error.is_medium() && error.path == from => error.to_string(),
            error => return Err(error),
        };
        Arc::make_mut(&mut self.snapshot.past).forget(lost.at_micros);
        self.left_out = Some(LeftOut { path: lost.meta.path.clone(), reason, until_micros: lost.at_micros });
        Ok(())
    }

    /// Brings a segment into the backup, in a directory that is among `directories` then.
    fn take_segment(&self, meta: &SegmentMeta, directories: &mut BTreeSet<PathBuf>) -> Result<Taken, BackupError> {
        self.refuse_when_cancelled()?;
        let files = self.source.files;
        let path = self.unfinished.join(&meta.path);
        let parent = path.parent().unwrap_or(self.unfinished);
        if !directories.contains(parent) {
            files.create_directory(parent)?;
            directories.insert(parent.to_path_buf());
        }
        let expected = (meta.bytes, meta.checksum);
        let file = ManifestFile { path: meta.path.clone(), bytes: meta.bytes, checksum: meta.checksum };
        if files.size(&path)?.is_some() {
            // An interrupted backup left it; that it was synced cannot be known.
            if files.checksum(&path)? == expected {
                files.sync_file(&path)?;
                return Ok(Taken { file, copied: false });
            }
            files.remove(&path)?;
        }
        if self.link_from_newest(meta, &path)? {
            return Ok(Taken { file, copied: false });
        }
        let damaged = |reason| BackupError::DamagedSegment { path: meta.path.clone(), reason };
        let from = self.source.data_dir.join(&meta.path);
        if files.size(&from)?.is_none() {
            return Err(damaged("it does not exist".to_string()));
        }
        let found = files.copy(&from, &path)?;
        if found != expected {
            files.remove(&path)?;
            return Err(damaged(format!(
                "it has {} bytes with checksum {:08x} instead of {} with {:08x}",
                found.0, found.1, expected.0, expected.1
            )));
        }
        Ok(Taken { file, copied: true })
    }

    /// Whether the newest backup has the segment and gave it a second name. File systems without links have it copied.
    fn link_from_newest(&self, meta: &SegmentMeta, path: &Path) -> Result<bool, FileError> {
        let Some(Newest { directory, by_path }) = &self.newest else { return Ok(false) };
        let same = |file: &&ManifestFile| file.bytes == meta.bytes && file.checksum == meta.checksum;
        if by_path.get(&meta.path).filter(same).is_none() {
            return Ok(false);
        }
        let files = self.source.files;
        let existing = directory.join(&meta.path);
        Ok(files.size(&existing)? == Some(meta.bytes) && files.link(&existing, path).is_ok())
    }

    /// Brings the log and the checkpoints of the past into the backup.
    fn take_history(&mut self) -> Result<Vec<ManifestFile>, BackupError> {
        let Source { files, archive, .. } = *self.source;
        let below = self.unfinished.join(HISTORY_NAME);
        // What an interrupted backup left may be of another time.
        files.remove_directory(&below)?;
        files.create_directory(&below)?;
        let mut taken = Vec::new();
        for (name, places) in archive.all(&self.snapshot)? {
            self.refuse_when_cancelled()?;
            let to = below.join(&name);
            // It may move into the archive at any time, and be forgotten there.
            let Some(found) = places.iter().find_map(|from| self.take_file(&name, from, &to).transpose()) else {
                continue;
            };
            taken.push(found?);
        }
        files.sync_directory(&below)?;
        Ok(taken)
    }

    /// Links a file of the history from the newest backup, or copies it; `None` where it is not there any more.
    fn take_file(&self, name: &str, from: &Path, to: &Path) -> Result<Option<ManifestFile>, FileError> {
        let files = self.source.files;
        let Some(size) = files.size(from)? else { return Ok(None) };
        let path = format!("{HISTORY_NAME}/{name}");
        if let Some(Newest { directory, by_path }) = &self.newest
            && let Some(known) = by_path.get(&path).filter(|known| known.bytes == size)
            && files.checksum(from)? == (known.bytes, known.checksum)
            && files.link(&directory.join(&path), to).is_ok()
        {
            return Ok(Some(known.clone()));
        }
        let (bytes, checksum) = files.copy(from, to)?;
        Ok(Some(ManifestFile { path, bytes, checksum }))
    }

    /// The earliest time that the backup has.
    fn first_time(&self) -> Result<i64, BackupError> {
        let archive = Archive::of_backup(
            self.source.files,
            &self.unfinished.join(HISTORY_NAME),
            &self.unfinished.join(CHECKPOINTS_NAME),
        );
        match archive.first_time(&self.snapshot) {
            Ok(time) => Ok(time),
            Err(PastError::File(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the history is damaged; the backup has its last commit alone");
                Ok(self.snapshot.at_micros)
            }
        }
    }

    fn write_checkpoint(&self) -> Result<ManifestFile, BackupError> {
        let (files, snapshot) = (self.source.files, &self.snapshot);
        let directory = self.unfinished.join(CHECKPOINTS_NAME);
        // An interrupted backup may have left the checkpoint of another commit.
        files.remove_directory(&directory)?;
        files.create_directory(&directory)?;
        checkpoint::write(files, &directory, snapshot)?;
        let name = checkpoint::file_name(snapshot.seq);
        let (bytes, checksum) = files.checksum(&directory.join(&name))?;
        Ok(ManifestFile { path: format!("{CHECKPOINTS_NAME}/{name}"), bytes, checksum })
    }
}

#[cfg(test)]
mod tests;
