//! Restore: a backup becomes a data directory again.
//!
//! It goes into an empty directory only. Each file is compared with the manifest while it is copied; then the catalog is read from
//! the checkpoint, to see that it is whole and names no segment that is missing. `FORMAT` is written last, so a restore
//! that was interrupted leaves nothing that a server would open.

use super::manifest::Manifest;
use super::{BackupError, BackupSummary, read_all, refuse_inside, stamp, summary};
use crate::checkpoint;
use crate::directory::{CHECKPOINTS_NAME, LOCK_NAME, finish_catalog};
use crate::files::Files;
use crate::recovery::OpenError;
use crate::segment_files::damaged_segments;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Restores the newest backup in `source` whose last commit was made at or before a time, or the newest of all, into `data_dir`.
/// Gives the one that it took.
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
    files.create_directory(data_dir)?;
    let is_harmless = |path: &PathBuf| path.ends_with("lost+found");
    if !files.list(data_dir)?.iter().all(is_harmless) {
        return Err(BackupError::NotEmpty { path: data_dir.to_path_buf() });
    }
    let lock = files.lock(&data_dir.join(LOCK_NAME))?;
    let _lock = lock.map_err(|holder| OpenError::Locked { path: data_dir.into(), process: holder.parse().ok() })?;
    copy_all(files, &backup, &manifest, data_dir)?;
    check_catalog(files, &backup, &manifest, data_dir)?;
    finish_catalog(files, data_dir, manifest.seq)?;
    Ok(summary(name, &manifest))
}

/// The newest backup at or before a time. A damaged one that could be it is refused rather than passed over in silence.
fn choose(files: &Files, source: &Path, to_time_micros: Option<i64>) -> Result<(String, Manifest), BackupError> {
    let found = read_all(files, source)?;
    let path = source.to_path_buf();
    if found.backups.is_empty() {
        return Err(BackupError::NoBackup { path, unfinished: found.unfinished });
    }
    let mut oldest = i64::MAX;
    for (name, manifest) in found.backups.into_iter().rev() {
        let manifest = match manifest {
            Ok(manifest) => manifest,
            // Its name says that it was made later.
            Err(_) if to_time_micros.is_some_and(|time| name > stamp(time)) => continue,
            Err(reason) => return Err(BackupError::DamagedBackup { path: source.join(name), reason }),
        };
        if to_time_micros.is_none_or(|time| manifest.committed_at_micros <= time) {
            return Ok((name, manifest));
        }
        oldest = oldest.min(manifest.committed_at_micros);
    }
    Err(BackupError::NoneBefore { path, oldest_micros: oldest })
}

fn copy_all(files: &Files, backup: &Path, manifest: &Manifest, data_dir: &Path) -> Result<(), BackupError> {
    let mut directories = BTreeSet::new();
    for file in &manifest.files {
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
    let snapshot = checkpoint::read(files, &path).map_err(|problem| damaged(problem.to_string()))?;
    match damaged_segments(files, data_dir, &snapshot)?.into_values().min() {
        Some(first) => Err(damaged(first)),
        None => Ok(()),
    }
}
