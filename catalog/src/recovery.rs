//! Recovery: from what is on disk to the last committed snapshot.
//!
//!     1. read and check the whole log (nothing is changed yet)
//!     2. start from the index if all of it checks out, else from the newest valid checkpoint, else from nothing
//!     3. replay the log after that
//!     4. check that every segment that the snapshot names is there in its size; states of views that need one that is not are
//!        dropped by a commit of recovery's own, and built again later; one that only the past needs is reported
//!     5. cut the torn tail, delete the files below `segments/` that nothing names, bring the index up to date
//!
//! Only the final snapshot's segments are checked: the log may name segments that a later commit replaced and that were reaped.
//!
//! The log may never end before what an intact index or a checkpoint has seen, because both are written after the log was synced.
//! Where it does, acknowledged commits were lost from its end, and the server refuses to start instead of forgetting them.

use crate::checkpoint;
use crate::directory::{DataDirectory, FORMAT};
use crate::draft::Op;
use crate::entries::{Version, entries, load};
use crate::files::FileError;
use crate::ids::{CommitSeq, ObjectId};
use crate::index::{FoundIndex, Index, IndexProblem};
use crate::log::{AppendError, Log, LogError, LogWriter, Record};
use crate::segment_files::{LostPast, damaged_past, damaged_segments, damaged_states, damaged_tables, sweep_orphans};
use crate::snapshot::Snapshot;
use crate::stored::{SchemaPool, StoredError, decode_ops, encode_ops};
use std::path::{Path, PathBuf};

/// Why a data directory cannot be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("there is no data directory \"{}\"", path.display())]
    NoDataDirectory { path: PathBuf },
    #[error("directory \"{}\" is not empty and is not a data directory", path.display())]
    NotADataDirectory { path: PathBuf },
    #[error("data directory \"{}\" has format \"{found}\", this server reads \"{FORMAT}\"", path.display())]
    OtherVersion { path: PathBuf, found: String },
    /// A part of it has a version that this server does not know.
    #[error("data directory was written by a newer version of the server: {reason}")]
    Newer { reason: String },
    #[error("data directory \"{}\" is in use by another server{}", path.display(), process_suffix(process))]
    Locked { path: PathBuf, process: Option<u32> },
    #[error("data directory is not writable: {0}")]
    NotWritable(FileError),
    #[error("no space left in the data directory: {0}")]
    DiskFull(FileError),
    #[error("data directory is damaged: {reason}")]
    Damaged { reason: String, hint: String },
    #[error(transparent)]
    Io(FileError),
    #[error("could not start thread \"{name}\": {reason}")]
    Thread { name: String, reason: String },
}

fn process_suffix(process: &Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
}

const RESTORE_HINT: &str = "Restore the data directory from a backup. Keep a copy of it as it is: nothing was changed. \
                            \"meridian check\" lists all that is damaged, \"meridian restore\" restores.";

impl OpenError {
    /// What the operator can do, as a sentence.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoDataDirectory { .. } => "Name the one that a server made with --data-dir DIR.".to_string(),
            Self::NotADataDirectory { .. } => "Choose an empty directory, or one that this server created.".to_string(),
            Self::OtherVersion { .. } | Self::Newer { .. } => {
                "Start the version of the server that wrote it.".to_string()
            }
            Self::Locked { .. } => "Stop the other server, or choose another data directory.".to_string(),
            Self::NotWritable(_) => "Give the server's user write permission on the data directory.".to_string(),
            Self::DiskFull(_) => "Free some space and start again.".to_string(),
            Self::Damaged { hint, .. } => hint.clone(),
            Self::Io(_) | Self::Thread { .. } => return None,
        })
    }

    fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged { reason: reason.into(), hint: RESTORE_HINT.to_string() }
    }
}

impl From<FileError> for OpenError {
    fn from(error: FileError) -> Self {
        if error.is_disk_full() {
            Self::DiskFull(error)
        } else if error.is_not_writable() {
            Self::NotWritable(error)
        } else {
            Self::Io(error)
        }
    }
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::File(error) => error.into(),
            LogError::Damaged { .. } | LogError::Ended { .. } => Self::damaged(error.to_string()),
            LogError::Newer { .. } => Self::Newer { reason: error.to_string() },
        }
    }
}

/// Where recovery started from, before it replayed the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoverySource {
    Index,
    Checkpoint(CommitSeq),
    /// The log reaches back to the first commit.
    Log,
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the data directory is a new one.
    pub created: bool,
    pub seq: CommitSeq,
    pub source: RecoverySource,
    /// Log records that were applied on top of the source.
    pub records_replayed: u64,
    /// Bytes of an unfinished append that were cut from the log.
    pub torn_bytes: u64,
    /// Checkpoints that could not be read and were passed over.
    pub checkpoint_problems: Vec<String>,
    /// Why the index was thrown away.
    pub index_problem: Option<String>,
    /// Files below `segments/` that nothing named and that were deleted.
    pub orphan_files: u64,
    pub orphan_bytes: u64,
    /// Views whose state was dropped because a file of it is missing or damaged, with what is wrong. It is built again.
    pub dropped_states: Vec<String>,
    /// Files that only the past needs and that are missing or damaged. Nothing was done about them.
    pub lost_past: Option<LostPast>,
}

/// A recovered catalog. Without `index` it runs without one.
pub(crate) struct Recovered {
    pub(crate) snapshot: Snapshot,
    pub(crate) index: Option<Index>,
    pub(crate) log: LogWriter,
    /// Bytes of the log after the newest checkpoint.
    pub(crate) log_bytes_since: u64,
    pub(crate) report: RecoveryReport,
}

/// Recovers a directory whose log goes on in files of at most about `log_file_bytes_max`.
pub(crate) fn recover(directory: &DataDirectory, log_file_bytes_max: u64) -> Result<Recovered, OpenError> {
    let files = &directory.files;
    let Examined { log, snapshot, index, mut report } = examine(directory)?;
    let damaged = damaged_segments(files, &directory.root, &snapshot)?;
    let lost = damaged_tables(&snapshot, &damaged);
    if let Some(first) = lost.first() {
        return Err(OpenError::damaged(format!("{} segments are missing or damaged: {first}", lost.len())));
    }
    let newest = checkpoint::list(files, &directory.checkpoints())?.first().map_or(CommitSeq(0), |(seq, _)| *seq);
    let log_bytes_since = log.bytes_after(newest)?;
    let mut log = log.into_writer(snapshot.seq.next(), log_file_bytes_max)?;
    let states = damaged_states(&snapshot, &damaged);
    let name = |id: &ObjectId| &snapshot.views[id].definition.name;
    report.dropped_states = states.iter().map(|(id, problem)| format!("view \"{}\": {problem}", name(id))).collect();
    report.lost_past = damaged_past(&snapshot, &damaged);
    let mending: Vec<Op> = states.keys().map(|view| Op::DropState { view: *view }).collect();
    let mended = u64::from(!mending.is_empty());
    let snapshot = mend(&mut log, snapshot, &mending)?;
    (report.orphan_files, report.orphan_bytes) =
        sweep_orphans(files, &directory.root, &directory.segments(), &snapshot)?;
    report.seq = snapshot.seq;
    let index = bring_index_up(directory, index, &snapshot, report.records_replayed + mended);
    Ok(Recovered { snapshot, index, log, log_bytes_since, report })
}

/// What the log, the checkpoints and the index say, before anything is changed.
struct Examined {
    log: Log,
    snapshot: Snapshot,
    index: Option<Index>,
    report: RecoveryReport,
}

fn examine(directory: &DataDirectory) -> Result<Examined, OpenError> {
    let files = &directory.files;
    let log = Log::read(files, &directory.log())?;
    let (found, mut index_problem) = match Index::open(files, &directory.index()) {
        Ok(found) => (found, None),
        Err(problem) => (None, Some(problem.to_string())),
    };
    refuse_lost_commits(directory, &log, found.as_ref().map(|found| found.applied))?;
    let mut checkpoint_problems = Vec::new();
    let (source, base, index) = match found.map(|found| start_from_index(found, &log)) {
        Some(Ok((index, base))) => (RecoverySource::Index, base, Some(index)),
        other => {
            if let Some(Err(problem)) = other {
                index_problem = Some(problem.to_string());
            }
            let (source, base) = start_from_checkpoint(directory, &log, &mut checkpoint_problems)?;
            (source, base, None)
        }
    };
    let (snapshot, records_replayed) = replay(&log, base)?;
    let report = RecoveryReport {
        created: directory.created,
        seq: snapshot.seq,
        source,
        records_replayed,
        torn_bytes: log.torn_bytes(),
        checkpoint_problems,
        index_problem,
        orphan_files: 0,
        orphan_bytes: 0,
        dropped_states: Vec::new(),
        lost_past: None,
    };
    Ok(Examined { log, snapshot, index, report })
}

/// Drops what cannot be had any more in one commit, which the log must have: later commits build upon it.
fn mend(log: &mut LogWriter, snapshot: Snapshot, ops: &[Op]) -> Result<Snapshot, OpenError> {
    if ops.is_empty() {
        return Ok(snapshot);
    }
    let (seq, at_micros) = (snapshot.seq.next(), snapshot.at_micros);
    let dropped = snapshot.apply(seq, at_micros, ops);
    let dropped = dropped.map_err(|conflict| OpenError::damaged(conflict.to_string()))?;
    log.stage(seq, &[&at_micros.to_le_bytes(), &encode_ops(ops)])?;
    match log.append_staged() {
        Ok(()) => Ok(dropped),
        Err(AppendError::DiskFull(error) | AppendError::Broken(error)) => Err(error.into()),
    }
}

/// Checks the end of the log against everything that is only ever written after it.
pub(crate) fn refuse_lost_commits(
    directory: &DataDirectory,
    log: &Log,
    index: Option<CommitSeq>,
) -> Result<(), OpenError> {
    let checkpoints = checkpoint::list(&directory.files, &directory.checkpoints())?;
    let newest = checkpoints.first().map(|(seq, _)| *seq);
    let Some(last) = log.last() else {
        let segments = directory.files.list(&directory.segments())?;
        if newest.is_some() || index.is_some() || !segments.is_empty() {
            return Err(OpenError::damaged(format!("there is no log in \"{}\"", directory.log().display())));
        }
        return Ok(());
    };
    if let Some(newest) = newest.filter(|newest| *newest > last) {
        return Err(OpenError::damaged(format!("the log ends at commit {last}, a checkpoint has commit {newest}")));
    }
    if let Some(index) = index.filter(|index| *index > last) {
        let reason = format!("the log ends at commit {last}, the index has seen commit {index}");
        let path = directory.index();
        let hint = format!(
            "Restore the data directory from a backup. To go on without the commits after {last}, remove \"{}\".",
            path.display()
        );
        return Err(OpenError::Damaged { reason, hint });
    }
    Ok(())
}

/// The snapshot that an index holds, if the log goes on from there.
pub(crate) fn start_from_index(found: FoundIndex, log: &Log) -> Result<(Index, Snapshot), IndexProblem> {
    if log.first().is_none_or(|first| first > found.applied.next()) {
        return Err(IndexProblem::new(format!("it ends at commit {}, before the log begins", found.applied)));
    }
    let snapshot = load(Version::Two, found.entries).map_err(|error| IndexProblem::new(error.to_string()))?;
    if snapshot.seq != found.applied {
        return Err(IndexProblem::new("its entries are of another commit than it says"));
    }
    Ok((found.index, snapshot))
}

fn start_from_checkpoint(
    directory: &DataDirectory,
    log: &Log,
    problems: &mut Vec<String>,
) -> Result<(RecoverySource, Snapshot), OpenError> {
    // Without a log the directory is new: `refuse_lost_commits` has made sure of it.
    let first = log.first().unwrap_or(CommitSeq(1));
    for (seq, path) in checkpoint::list(&directory.files, &directory.checkpoints())? {
        match checkpoint::read(&directory.files, &path) {
            Ok(snapshot) if snapshot.seq == seq && first <= seq.next() => {
                return Ok((RecoverySource::Checkpoint(seq), snapshot));
            }
            Ok(_) => problems.push(format!("checkpoint \"{}\" does not fit the log", path.display())),
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    if first == CommitSeq(1) {
        return Ok((RecoverySource::Log, Snapshot::empty()));
    }
    let problems = if problems.is_empty() { "there is none".to_string() } else { problems.join(", ") };
    Err(OpenError::damaged(format!("the log begins at commit {first} and needs a checkpoint: {problems}")))
}

/// Why a record that is valid as bytes cannot be replayed.
enum ReplayError {
    Log(LogError),
    Record(CommitSeq, String),
}

impl From<LogError> for ReplayError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// The snapshot after all of the log that comes after `base`, and how many records that was.
pub(crate) fn replay(log: &Log, base: Snapshot) -> Result<(Snapshot, u64), OpenError> {
    let mut snapshot = base;
    let mut records = 0;
    let mut schemas = SchemaPool::default();
    let replayed = log.replay(snapshot.seq, |record| {
        snapshot =
            replay_one(&snapshot, record, &mut schemas).map_err(|reason| ReplayError::Record(record.seq, reason))?;
        records += 1;
        Ok(())
    });
    match replayed {
        Ok(()) => Ok((snapshot, records)),
        Err(ReplayError::Log(error)) => Err(error.into()),
        Err(ReplayError::Record(seq, reason)) => {
            Err(OpenError::damaged(format!("commit {seq} of the log cannot be replayed: {reason}")))
        }
    }
}

fn replay_one(before: &Snapshot, record: &Record<'_>, schemas: &mut SchemaPool) -> Result<Snapshot, String> {
    let (at_micros, ops) = read_commit(record.payload, schemas).map_err(|error| error.to_string())?;
    before.apply(record.seq, at_micros, &ops).map_err(|conflict| conflict.to_string())
}

/// What a commit's payload says: when it was made, in microseconds since 1970, and what it did.
pub(crate) fn read_commit(payload: &[u8], schemas: &mut SchemaPool) -> Result<(i64, Vec<Op>), StoredError> {
    let (at_micros, ops) = split_commit(payload)?;
    Ok((at_micros, decode_ops(ops, schemas)?))
}

/// A commit's payload is the time in microseconds, as an i64, and the operations.
fn split_commit(payload: &[u8]) -> Result<(i64, &[u8]), StoredError> {
    let (at_micros, ops) = payload.split_first_chunk::<8>().ok_or_else(|| StoredError("it is too short".into()))?;
    Ok((i64::from_le_bytes(*at_micros), ops))
}

/// Gives the index that goes with `snapshot`, built anew where there is none to bring up to date.
fn bring_index_up(
    directory: &DataDirectory,
    index: Option<Index>,
    snapshot: &Snapshot,
    replayed: u64,
) -> Option<Index> {
    let built = match index {
        Some(index) if replayed == 0 => Ok(index),
        Some(mut index) => index.replace_all(snapshot.seq, &entries(snapshot)).map(|()| index),
        None => build_index(directory, &directory.index(), snapshot),
    };
    built.inspect_err(|problem| tracing::error!(%problem, "the index cannot be built; going on without it")).ok()
}

fn build_index(directory: &DataDirectory, path: &Path, snapshot: &Snapshot) -> Result<Index, IndexProblem> {
    directory.files.remove_directory(path).map_err(|error| IndexProblem::new(error.to_string()))?;
    let mut index = Index::create(path)?;
    index.replace_all(snapshot.seq, &entries(snapshot))?;
    Ok(index)
}

#[cfg(test)]
mod tests;
