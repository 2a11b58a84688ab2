//! Restore: a backup becomes a data directory again.
//!
//!     --to-time T: a backup whose history has T ──replay──▶ the snapshot at T ──▶ its segments and a checkpoint of it
//!
//! It goes into an empty directory only. Each file is compared with the manifest while it is copied; then the catalog is read from
//! the checkpoint, to see that it is whole and names no segment that is missing. `FORMAT` is written last, so a restore
//! that was interrupted leaves nothing that a server would open.
//!
//! A restore that fails removes what it wrote, so it can be tried again. One that was interrupted leaves `RESTORE.tmp` beside it, by
//! which the next one knows what it may remove.

use super::manifest::{Manifest, ManifestFile};
use super::{BackupError, BackupSummary, read_all, refuse_inside, stamp, summary};
use crate::archive::{Archive, PastError};
use crate::checkpoint::{self, CheckpointProblem};
use crate::directory::{
    CHECKPOINTS_NAME, FORMAT_NAME, HISTORY_NAME, LOCK_NAME, finish_catalog, is_harmless, write_catalog,
};
use crate::files::Files;
use crate::recovery::OpenError;
use crate::segment::SegmentMeta;
use crate::segment_files::{damaged_segments, named_segments};
use hashbrown::HashSet;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// In a directory that a restore writes into, until it has ended. It is named as what a crash leaves, so a start removes it.
const MARK: &str = "RESTORE.tmp";

/// Restores what was committed at or before a time from a backup in `source` that has it, or the newest of all as it is, into
/// `data_dir`. Gives the backup that it took, with the last commit that was restored.
pub fn restore(source: &Path, to_time_micros: Option<i64>, data_dir: &Path) -> Result<BackupSummary, BackupError> {
    restore_with(&Files::default(), source, to_time_micros, data_dir)
}

pub(super) fn restore_with(
    files: &Files,
    source: &Path,
    to_time_micros: Option<i64>,
    data_dir: &Path,
) -> Result<BackupSummary, BackupError> {
    let (name, manifest) = choose(files, source, to_time_micros)?;
    let backup = source.join(&name);
    refuse_inside(source, data_dir)?;
    let is_new = !data_dir.exists();
    files.create_directory(data_dir)?;
    refuse_occupied(files, data_dir)?;
    let lock = files.lock(&data_dir.join(LOCK_NAME))?;
    let _lock = lock.map_err(|holder| OpenError::Locked { path: data_dir.into(), process: holder.parse().ok() })?;
    // Another restore could have ended meanwhile.
    refuse_occupied(files, data_dir)?;
    let restored = summary(name, &manifest);
    let time = to_time_micros.filter(|time| *time < manifest.committed_at_micros);
    let done = clear(files, data_dir).and_then(|()| {
        files.create_new(&data_dir.join(MARK))?;
        files.sync_directory(data_dir)?;
        let restored = match time {
            Some(time) => restore_past(files, &backup, &manifest, time, data_dir, restored)?,
            None => restore_all(files, &backup, &manifest, data_dir).map(|()| restored)?,
        };
        files.remove_all([data_dir.join(MARK).as_path()])?;
        Ok(restored)
    });
    if done.is_err() {
        // What cannot be removed bears the mark, and the error that there was says more.
        let cleared = clear(files, data_dir);
        if is_new && cleared.is_ok() {
            let _ = files.remove_directory(data_dir);
        }
    }
    done
}

/// Makes sure that a directory is empty, or what a restore that was interrupted has left.
fn refuse_occupied(files: &Files, data_dir: &Path) -> Result<(), BackupError> {
    let found = files.list(data_dir)?;
    let is_left = found.contains(&data_dir.join(MARK)) && !found.contains(&data_dir.join(FORMAT_NAME));
    if is_left || found.iter().all(|path| is_harmless(path)) {
        return Ok(());
    }
    Err(BackupError::NotEmpty { path: data_dir.to_path_buf() })
}

/// Removes what a restore wrote, its mark last.
fn clear(files: &Files, data_dir: &Path) -> Result<(), BackupError> {
    let mark = data_dir.join(MARK);
    let kept = |path: &PathBuf| path.ends_with("lost+found") || path.ends_with(LOCK_NAME) || *path == mark;
    for path in files.list(data_dir)?.into_iter().filter(|path| !kept(path)) {
        if path.is_dir() {
            files.remove_directory(&path)?;
        } else {
            files.remove(&path)?;
        }
    }
    files.remove(&mark)?;
    Ok(files.sync_directory(data_dir)?)
}

/// Restores a backup as it is.
fn restore_all(files: &Files, backup: &Path, manifest: &Manifest, data_dir: &Path) -> Result<(), BackupError> {
    copy_all(files, backup, manifest.files.iter(), data_dir)?;
    check_catalog(files, backup, manifest, data_dir)?;
    Ok(finish_catalog(files, data_dir, manifest.seq)?)
}

/// Restores what a backup's database was at a time before its last commit.
fn restore_past(
    files: &Files,
    backup: &Path,
    manifest: &Manifest,
    time_micros: i64,
    data_dir: &Path,
    restored: BackupSummary,
) -> Result<BackupSummary, BackupError> {
    let damaged = |reason: String| BackupError::DamagedBackup { path: backup.to_path_buf(), reason };
    let checkpoints = backup.join(CHECKPOINTS_NAME);
    let head = checkpoint::read(files, &checkpoints.join(checkpoint::file_name(manifest.seq)));
    let head = Arc::new(head.map_err(|problem| unreadable(backup, &problem))?);
    let archive = Archive::of_backup(files, &backup.join(HISTORY_NAME), &checkpoints);
    let held = |meta: &SegmentMeta| Some(Arc::new(meta.clone()));
    let past = archive.at(&head, time_micros, &held, &|| false).map_err(|error| match error {
        PastError::File(error) => BackupError::File(error),
        PastError::Damaged(reason) => damaged(reason),
        PastError::Cancelled => damaged("reading its history was cancelled".to_string()),
        PastError::TooEarly { .. } => {
            damaged("its history does not reach back as far as its MANIFEST says".to_string())
        }
    })?;
    let wanted: HashSet<&str> = named_segments(&past).map(|meta| meta.path.as_str()).collect();
    let segments = manifest.files.iter().filter(|file| wanted.contains(file.path.as_str()));
    copy_all(files, backup, segments, data_dir)?;
    if let Some(missing) = damaged_segments(files, data_dir, &past)?.into_values().min() {
        return Err(damaged(missing));
    }
    write_catalog(files, data_dir, &past)?;
    let (segments, bytes) = (wanted.len() as u64, named_segments(&past).map(|meta| meta.bytes).sum());
    Ok(BackupSummary { seq: past.seq, committed_at_micros: past.at_micros, segments, bytes, ..restored })
}

/// The backup that has a time, or the newest. A damaged one that could be it is refused rather than passed over in silence.
fn choose(files: &Files, source: &Path, to_time_micros: Option<i64>) -> Result<(String, Manifest), BackupError> {
    let found = read_all(files, source)?;
    let path = source.to_path_buf();
    if found.backups.is_empty() {
        return Err(BackupError::NoBackup { path, unfinished: found.unfinished });
    }
    let mut damaged = None;
    let mut good = Vec::new();
    for (name, manifest) in found.backups.into_iter().rev() {
        match manifest {
            Ok(manifest) => {
                // A history begins no earlier than that of a backup before it, but where a file of it had been lost meanwhile.
                damaged = damaged.filter(|_| to_time_micros.is_none_or(|time| manifest.from_micros <= time));
                good.push((name, manifest));
            }
            Err(reason) if to_time_micros.is_none() && good.is_empty() => {
                return Err(BackupError::DamagedBackup { path: source.join(name), reason });
            }
            Err(reason) => damaged = Some((name, reason)),
        }
    }
    let Some(time) = to_time_micros else {
        return good.into_iter().next().ok_or(BackupError::NoBackup { path, unfinished: false });
    };
    let has = |(_, manifest): &(String, Manifest)| (manifest.from_micros..=manifest.made_at_micros).contains(&time);
    if let Some(found) = good.iter().position(has) {
        return Ok(good.swap_remove(found));
    }
    // One that was made later may have it.
    if let Some((name, reason)) = damaged.filter(|(name, _)| *name >= stamp(time)) {
        return Err(BackupError::DamagedBackup { path: source.join(name), reason });
    }
    let manifests = good.iter().map(|(_, manifest)| manifest);
    let before = manifests.clone().map(|manifest| manifest.made_at_micros).filter(|made| *made < time).max();
    let after = manifests.map(|manifest| manifest.from_micros).filter(|from| *from > time).min();
    Err(match (before, after) {
        (Some(before_micros), after_micros) => BackupError::NotCovered { path, before_micros, after_micros },
        (None, oldest) => BackupError::NoneBefore { path, oldest_micros: oldest.unwrap_or(i64::MAX) },
    })
}

fn copy_all<'a>(
    files: &Files,
    backup: &Path,
    wanted: impl Iterator<Item = &'a ManifestFile>,
    data_dir: &Path,
) -> Result<(), BackupError> {
    let mut directories = BTreeSet::new();
    for file in wanted {
        let (from, to) = (backup.join(&file.path), data_dir.join(&file.path));
        let parent = to.parent().unwrap_or(data_dir);
        if directories.insert(parent.to_path_buf()) {
            files.create_directory(parent)?;
        }
        let damaged = |reason: String| BackupError::DamagedBackup { path: backup.to_path_buf(), reason };
        if files.size(&from)?.is_none() {
            return Err(damaged(format!("file \"{}\" is missing", file.path)));
        }
        let (bytes, checksum) = files.copy(&from, &to)?;
        if (bytes, checksum) != (file.bytes, file.checksum) {
            return Err(damaged(format!(
                "file \"{}\" has {bytes} bytes with checksum {checksum:08x} instead of {} with {:08x}",
                file.path, file.bytes, file.checksum
            )));
        }
    }
    Ok(directories.iter().try_for_each(|directory| files.sync_directory(directory))?)
}

/// Reads what was restored as a start would.
fn check_catalog(files: &Files, backup: &Path, manifest: &Manifest, data_dir: &Path) -> Result<(), BackupError> {
    let damaged = |reason: String| BackupError::DamagedBackup { path: backup.to_path_buf(), reason };
    let path = data_dir.join(CHECKPOINTS_NAME).join(checkpoint::file_name(manifest.seq));
    let snapshot = checkpoint::read(files, &path).map_err(|problem| unreadable(backup, &problem))?;
    match damaged_segments(files, data_dir, &snapshot)?.into_values().min() {
        Some(first) => Err(damaged(first)),
        None => Ok(()),
    }
}

/// Why a backup whose catalog cannot be read is of no use.
fn unreadable(backup: &Path, problem: &CheckpointProblem) -> BackupError {
    let (path, reason) = (backup.to_path_buf(), problem.to_string());
    match problem {
        CheckpointProblem::Newer { .. } => BackupError::NewerBackup { path, reason },
        _ => BackupError::DamagedBackup { path, reason },
    }
}
