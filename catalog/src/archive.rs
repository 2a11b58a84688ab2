//! The archive: log files and checkpoints that a start does not need any more, kept to read the past.
//!
//!     checkpoint/, log/ ──superseded──▶ history/ ──forgotten──▶ removed
//!
//!     the snapshot at T  =  the newest checkpoint at or before T  +  the commits behind it up to T
//!
//! Files move here under the names that they had, so they say the same things as before and need no format of their own. Of the
//! checkpoints of one log file the first is kept: a reader never replays much more than one file. What is lost from `history/`
//! costs the past and nothing else; no start reads it.
//!
//! A snapshot of the past has neither states of views nor changes: a view is read by its query there. Its segments' files are
//! kept by the newest snapshot (see `past`); a segment that nobody holds any more makes that time too early.

use crate::checkpoint::{self, CheckpointProblem, KEPT};
use crate::directory::{CHECKPOINTS_NAME, HISTORY_NAME, LOG_NAME};
use crate::draft::{Op, empty_state};
use crate::files::{FileError, Files};
use crate::ids::{CommitSeq, SegmentId};
use crate::log::{self, LogError, LogPath};
use crate::recovery::read_commit;
use crate::segment::{LiveSegment, SegmentMeta};
use crate::shared_list::SharedList;
use crate::snapshot::{Snapshot, TableVersion, ViewVersion};
use crate::stored::SchemaPool;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many snapshots of the past stay in memory: whoever asks for one asks again, or for one shortly after it.
const MADE_MAX: usize = 4;

/// Why the database cannot be read as it was.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// Microseconds since 1970.
    #[error("the past is kept from {earliest_micros} on")]
    TooEarly { earliest_micros: i64 },
    #[error("the history is damaged: {0}")]
    Damaged(String),
    #[error("whoever asked does not want to know any more")]
    Cancelled,
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<LogError> for PastError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::File(error) => Self::File(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Where the history of one database lies: the archive, and what is still in use.
#[derive(Debug)]
pub(crate) struct Archive {
    files: Files,
    history: PathBuf,
    /// Before the archive, so that a file which moves while they are listed is seen in one of them.
    log_folders: Vec<PathBuf>,
    checkpoint_folders: Vec<PathBuf>,
    /// When the commits of checkpoints were made; names do not say it.
    times: Mutex<HashMap<CommitSeq, i64>>,
    /// The newest last.
    made: Mutex<Vec<Arc<Snapshot>>>,
}

/// Gives the metadata of a segment whose file is there.
pub(crate) type Held<'a> = &'a dyn Fn(&SegmentMeta) -> Option<Arc<SegmentMeta>>;

/// Says whether an answer is still wanted.
pub type Cancelled<'a> = &'a dyn Fn() -> bool;

impl Archive {
    /// The history of a data directory.
    pub(crate) fn of(files: &Files, root: &Path) -> Self {
        let history = root.join(HISTORY_NAME);
        let folders = |used: &str| vec![root.join(used), history.clone()];
        Self::over(files, folders(LOG_NAME), folders(CHECKPOINTS_NAME), history.clone())
    }

    /// The history that a backup has.
    pub(crate) fn of_backup(files: &Files, history: &Path, checkpoints: &Path) -> Self {
        let folders = vec![checkpoints.to_path_buf(), history.to_path_buf()];
        Self::over(files, vec![history.to_path_buf()], folders, history.to_path_buf())
    }

    fn over(files: &Files, log_folders: Vec<PathBuf>, checkpoint_folders: Vec<PathBuf>, history: PathBuf) -> Self {
        let (times, made) = (Mutex::default(), Mutex::default());
        Self { files: files.clone(), history, log_folders, checkpoint_folders, times, made }
    }

    /// Takes over the checkpoints and log files that a start does not need any more: all but the newest two checkpoints, and
    /// the log through the older one of them.
    pub(crate) fn take_superseded(&self) -> Result<(), FileError> {
        let (checkpoints, logs) = (&self.checkpoint_folders[0], &self.log_folders[0]);
        let mut found = checkpoint::list(&self.files, checkpoints)?;
        let Some((older, _)) = found.get(KEPT - 1).cloned() else { return Ok(()) };
        let superseded = found.split_off(KEPT);
        let sealed = log::paths_through(&self.files, logs, older)?;
        if superseded.is_empty() && sealed.is_empty() {
            return Ok(());
        }
        for (seq, path) in superseded.iter().rev() {
            if self.serves(*seq)? {
                self.give_name(path)?;
            }
        }
        sealed.iter().try_for_each(|path| self.give_name(path))?;
        // The new names come first: a power cut in between leaves a file in both places rather than in none.
        self.files.sync_directory(&self.history)?;
        self.files
            .remove_all(superseded.iter().map(|(_, path)| path.as_path()).chain(sealed.iter().map(PathBuf::as_path)))
    }

    /// Gives a file a name in the archive; file systems without links have it copied.
    fn give_name(&self, path: &Path) -> Result<(), FileError> {
        let archived = self.history.join(path.file_name().unwrap_or_default());
        if self.files.size(&archived)?.is_some() || self.files.link(path, &archived).is_ok() {
            return Ok(());
        }
        self.files.copy(path, &archived).map(drop)
    }

    /// Whether a checkpoint is the first one of its log file.
    fn serves(&self, seq: CommitSeq) -> Result<bool, FileError> {
        let logs = self.logs()?;
        let file_of = |seq: CommitSeq| logs.iter().rposition(|log| log.first <= seq.next());
        let archived = checkpoint::list(&self.files, &self.history)?;
        Ok(!archived.iter().any(|(other, _)| *other != seq && file_of(*other) == file_of(seq)))
    }

    /// All log files by their first commit.
    fn logs(&self) -> Result<Vec<LogPath>, FileError> {
        let mut logs: BTreeMap<CommitSeq, Vec<PathBuf>> = BTreeMap::new();
        for folder in &self.log_folders {
            for (first, path) in log::list(&self.files, folder)? {
                logs.entry(first).or_default().push(path);
            }
        }
        // One that is listed where it was may be in the archive by the time that it is read.
        let moved = |first: &CommitSeq, paths: &mut Vec<PathBuf>| {
            let archived = self.history.join(log::file_name(*first));
            if !paths.contains(&archived) {
                paths.push(archived);
            }
        };
        logs.iter_mut().for_each(|(first, paths)| moved(first, paths));
        Ok(logs.into_iter().map(|(first, paths)| LogPath { first, paths }).collect())
    }

    /// All checkpoints by their commit, each with where it may lie and when its commit was made. Rotten ones are passed over.
    fn checkpoints(&self) -> Result<BTreeMap<CommitSeq, (PathBuf, i64)>, FileError> {
        let mut found = BTreeMap::new();
        for folder in &self.checkpoint_folders {
            for (seq, path) in checkpoint::list(&self.files, folder)? {
                let known = self.times.lock().get(&seq).copied();
                let time = match known.map_or_else(|| checkpoint::read_time(&self.files, &path), Ok) {
                    Ok(time) => time,
                    // One that has moved is found where it is now.
                    Err(CheckpointProblem::File(error)) if self.files.size(&path)?.is_some() => return Err(error),
                    Err(_) => continue,
                };
                self.times.lock().insert(seq, time);
                found.insert(seq, (path, time));
            }
        }
        Ok(found)
    }

    /// From when on the past can be read; microseconds since 1970, 0 where it can be read from the first commit on.
    pub(crate) fn earliest(&self, head: &Snapshot) -> Result<i64, FileError> {
        let from = head.past.from_micros;
        let logs = self.logs()?;
        let Some(first) = unbroken(&logs) else { return Ok(head.at_micros) };
        if first == CommitSeq(1) {
            return Ok(from);
        }
        let reached = self.checkpoints()?.into_iter().find(|(seq, _)| seq.next() >= first);
        Ok(from.max(reached.map_or(head.at_micros, |(_, (_, time))| time)))
    }

    /// The database as it was at a time: after all commits that were made then or before. `head` is the newest snapshot. `cancelled` is
    /// asked before each commit that is replayed.
    pub(crate) fn at(
        &self,
        head: &Arc<Snapshot>,
        micros: i64,
        held: Held<'_>,
        cancelled: Cancelled<'_>,
    ) -> Result<Arc<Snapshot>, PastError> {
        if micros >= head.at_micros {
            return Ok(Arc::clone(head));
        }
        let too_early = || Ok(PastError::TooEarly { earliest_micros: self.earliest(head)? });
        if micros < head.past.from_micros {
            return Err(too_early().unwrap_or_else(PastError::File));
        }
        let logs = self.logs()?;
        let Some(base) = self.base(&logs, micros)? else { return Err(too_early().unwrap_or_else(PastError::File)) };
        let replayed = replay(&self.files, &logs, base, (head.seq, micros), cancelled)?;
        let Some(settled) = settled(replayed, held) else {
            return Err(too_early().unwrap_or_else(PastError::File));
        };
        let settled = Arc::new(settled);
        let mut made = self.made.lock();
        made.retain(|known| known.seq != settled.seq);
        if made.len() == MADE_MAX {
            made.remove(0);
        }
        made.push(Arc::clone(&settled));
        Ok(settled)
    }

    /// The newest of all snapshots at or before a time that the log goes on from.
    fn base(&self, logs: &[LogPath], micros: i64) -> Result<Option<Snapshot>, PastError> {
        let made = self.made.lock().iter().filter(|made| made.at_micros <= micros).max_by_key(|made| made.seq).cloned();
        let Some(first) = unbroken(logs) else { return Ok(None) };
        let usable = |seq: CommitSeq| seq.next() >= first && made.as_ref().is_none_or(|made| made.seq < seq);
        for (seq, (path, time)) in self.checkpoints()?.into_iter().rev() {
            if time > micros || !usable(seq) {
                continue;
            }
            let archived = self.history.join(checkpoint::file_name(seq));
            let read = checkpoint::read(&self.files, &path).or_else(|_| checkpoint::read(&self.files, &archived));
            match read {
                Ok(snapshot) if snapshot.seq == seq => return Ok(Some(snapshot)),
                // The one before it serves too, only later.
                _ => tracing::warn!(path = %path.display(), "a checkpoint of the history cannot be read"),
            }
        }
        let made = made.filter(|made| made.seq.next() >= first).map(Arc::unwrap_or_clone);
        Ok(made.or_else(|| (first == CommitSeq(1)).then(Snapshot::empty)))
    }

    /// Removes what only serves times before `from`. Gives the number of files.
    pub(crate) fn prune(&self, from_micros: i64) -> Result<usize, FileError> {
        self.made.lock().retain(|made| made.at_micros >= from_micros);
        let spare = self.spare(from_micros)?;
        if !spare.is_empty() {
            self.files.remove_all(spare.iter().map(PathBuf::as_path))?;
        }
        Ok(spare.len())
    }

    /// The files of the archive that only serve times before `from`.
    pub(crate) fn spare(&self, from_micros: i64) -> Result<Vec<PathBuf>, FileError> {
        let serving = self.checkpoints()?.into_iter().rev().find(|(_, (_, time))| *time <= from_micros);
        let Some((base, _)) = serving else { return Ok(Vec::new()) };
        let archived = checkpoint::list(&self.files, &self.history)?;
        let mut spare: Vec<PathBuf> =
            archived.into_iter().filter(|(seq, _)| *seq < base).map(|(_, path)| path).collect();
        let archived = log::list(&self.files, &self.history)?;
        for pair in self.logs()?.windows(2).filter(|pair| pair[1].first <= base.next()) {
            spare.extend(archived.iter().filter(|(first, _)| *first == pair[0].first).map(|(_, path)| path.clone()));
        }
        Ok(spare)
    }

    /// The time before which the past must be forgotten for the archive's log to take no more than so many bytes; `None` where it does not.
    pub(crate) fn excess(&self, bytes_max: u64) -> Result<Option<i64>, FileError> {
        let mut kept = 0;
        for (first, path) in log::list(&self.files, &self.history)?.into_iter().rev() {
            kept += self.files.size(&path)?.unwrap_or(0);
            if kept > bytes_max {
                let next = self.checkpoints()?.into_iter().find(|(seq, _)| *seq > first);
                return Ok(next.map(|(_, (_, time))| time));
            }
        }
        Ok(None)
    }

    /// Every file that the past of `head` is read from: its name in an archive, and where it may lie.
    pub(crate) fn all(&self, head: &Snapshot) -> Result<Vec<(String, Vec<PathBuf>)>, FileError> {
        let spare = self.spare(head.past.from_micros)?;
        let logs = self.logs()?.into_iter().filter(|log| log.first <= head.seq);
        let logs = logs.map(|log| (log::file_name(log.first), log.paths));
        let checkpoints = self.checkpoints()?.into_iter().filter(|(seq, _)| *seq < head.seq);
        let checkpoints = checkpoints.map(|(seq, (path, _))| {
            let name = checkpoint::file_name(seq);
            let archived = self.history.join(&name);
            (name, vec![path, archived])
        });
        let wanted = |(_, paths): &(String, Vec<PathBuf>)| !paths.iter().any(|path| spare.contains(path));
        Ok(logs.chain(checkpoints).filter(wanted).collect())
    }

    /// When the first commit was made that can be read; the time of `head` where it is the only one.
    pub(crate) fn first_time(&self, head: &Snapshot) -> Result<i64, PastError> {
        let earliest = self.earliest(head)?;
        if earliest > 0 {
            return Ok(earliest);
        }
        let mut first = head.at_micros;
        log::read_range(&self.files, &self.logs()?, CommitSeq(0), head.seq, |record| {
            let read = read_commit(record.payload, &mut SchemaPool::default());
            first = read.map_err(|error| PastError::Damaged(error.to_string()))?.0;
            Ok::<bool, PastError>(false)
        })?;
        Ok(first)
    }

    /// Gives the last commits through one, at most so many and as far as the log reaches back, oldest first: seq, time in microseconds
    /// since 1970, bytes of the record, operations.
    pub(crate) fn last_commits(
        &self,
        through: CommitSeq,
        count: u64,
        mut each: impl FnMut(CommitSeq, i64, u64, &[Op]),
    ) -> Result<(), PastError> {
        let logs = self.logs()?;
        let Some(first) = unbroken(&logs).filter(|first| *first <= through) else { return Ok(()) };
        let after = CommitSeq(through.0.saturating_sub(count).max(first.0 - 1));
        let mut schemas = SchemaPool::default();
        log::read_range(&self.files, &logs, after, through, |record| {
            let (at_micros, ops) =
                read_commit(record.payload, &mut schemas).map_err(|error| PastError::Damaged(error.to_string()))?;
            each(record.seq, at_micros, record.bytes, &ops);
            Ok::<bool, PastError>(true)
        })
    }

    /// Reads everything that the past of `head` is read from. Gives the numbers of log files and of checkpoints.
    pub(crate) fn verify(&self, head: &Snapshot) -> Result<(usize, usize), PastError> {
        let logs = self.logs()?;
        let archived = checkpoint::list(&self.files, &self.history)?;
        for (_, path) in &archived {
            checkpoint::read(&self.files, path).map_err(|problem| PastError::Damaged(problem.to_string()))?;
        }
        if let Some(first) = logs.first().filter(|log| log.first <= head.seq) {
            let after = CommitSeq(first.first.0 - 1);
            log::read_range(&self.files, &logs, after, head.seq, |_| Ok::<bool, PastError>(true))?;
        }
        Ok((log::list(&self.files, &self.history)?.len(), archived.len()))
    }
}

/// Where the newest log files that follow each other begin. Their names tell no more; a gap inside of one is found when it is read.
fn unbroken(logs: &[LogPath]) -> Option<CommitSeq> {
    logs.first().map(|log| log.first)
}

/// The snapshot after the commits behind `base` that were made at or before a time, at most through commit `through`.
fn replay(
    files: &Files,
    logs: &[LogPath],
    base: Snapshot,
    (through, micros): (CommitSeq, i64),
    cancelled: Cancelled<'_>,
) -> Result<Snapshot, PastError> {
    let after = base.seq;
    let mut schemas = SchemaPool::default();
    let mut snapshot = Some(base);
    log::read_range(files, logs, after, through, |record| {
        if cancelled() {
            return Err(PastError::Cancelled);
        }
        let (at_micros, ops) =
            read_commit(record.payload, &mut schemas).map_err(|error| PastError::Damaged(error.to_string()))?;
        if at_micros > micros {
            return Ok(false);
        }
        let ops: Vec<Op> = ops.into_iter().filter(|op| !concerns_present(op)).collect();
        let before = snapshot.take().expect("it was put back");
        let next = before.into_applied(record.seq, at_micros, &ops);
        snapshot = Some(next.map_err(|conflict| PastError::Damaged(format!("commit {}: {conflict}", record.seq)))?);
        Ok::<bool, PastError>(true)
    })?;
    Ok(snapshot.expect("it was put back"))
}

/// Whether an operation is about states of views and what is kept, which a snapshot of the past has not.
fn concerns_present(op: &Op) -> bool {
    matches!(op, Op::Fold { .. } | Op::DropState { .. } | Op::Forget { .. })
}

/// A snapshot for reading: without states and changes, its segments held. `None` where the file of one is gone.
pub(crate) fn settled(mut snapshot: Snapshot, held: Held<'_>) -> Option<Snapshot> {
    snapshot.past = Arc::default();
    let tables = snapshot.tables.iter().map(|(id, version)| {
        let segments = version.segments.iter().map(|(id, live)| Some((*id, hold(live, held)?)));
        let segments: BTreeMap<SegmentId, LiveSegment> = segments.collect::<Option<_>>()?;
        let version = TableVersion {
            segments: Arc::new(segments),
            changes: SharedList::default(),
            changes_from: None,
            ..TableVersion::clone(version)
        };
        Some((*id, Arc::new(version)))
    });
    let tables = tables.collect::<Option<_>>()?;
    let views = snapshot.views.iter().map(|(id, view)| {
        let definition = Arc::clone(&view.definition);
        let state = empty_state(&definition, snapshot.seq);
        (*id, Arc::new(ViewVersion { definition, state, frontier: None, replaced_at: view.replaced_at }))
    });
    let views = views.collect();
    snapshot.tables = Arc::new(tables);
    snapshot.views = Arc::new(views);
    Some(snapshot)
}

fn hold(live: &LiveSegment, held: Held<'_>) -> Option<LiveSegment> {
    Some(LiveSegment { meta: held(&live.meta)?, added: live.added, deleted: live.deleted.clone() })
}

#[cfg(test)]
mod tests;
