//! Check: whether what a data directory says about itself fits together. Nothing in it is changed.
//!
//!     log ──every record's checksum──▶ replayed from each checkpoint, and from the index ──▶ the same catalog each time?
//!                                                                                             └──▶ its deletion vectors
//!
//! The index is read from a copy, because sled writes when it opens. What is inside of segments is for `storage` to check, and
//! views for `query`; both go on from the snapshot that is found here.

use crate::archive::Archive;
use crate::checkpoint;
use crate::directory::{DataDirectory, write_catalog};
use crate::entries::{Key, entries};
use crate::files::{FileError, Files};
use crate::ids::CommitSeq;
use crate::index::{FoundIndex, Index, IndexProblem};
use crate::loads::LoadRecord;
use crate::log::{Log, LogError};
use crate::recovery::{OpenError, refuse_lost_commits, replay, start_from_index};
use crate::segment_files::named_segments;
use crate::snapshot::Snapshot;
use crate::stored::{Document, decode};
use hashbrown::HashSet;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const RESTORE: &str = "Restore the data directory from a backup.";
const UNREADABLE_LOG: &str =
    "The server does not start without it. Keep a copy of the data directory, and restore it from a backup.";

/// Something that is wrong, and what to do about it, as sentences without and with a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    pub remedy: String,
}

impl Problem {
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// What was checked of one kind, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub kind: &'static str,
    pub counts: String,
}

/// What a check of the catalog found. The directory stays locked while this lives.
#[derive(Debug)]
pub struct CatalogCheck {
    pub checked: Vec<Checked>,
    pub problems: Vec<Problem>,
    /// The newest snapshot that can be had; `None` where there is none.
    pub snapshot: Option<Arc<Snapshot>>,
    directory: DataDirectory,
}

impl CatalogCheck {
    /// Makes an ordinary data directory of the snapshot in an empty one. Its segments are symbolic links, so whatever an engine
    /// does there, it does to the links.
    pub fn mirror(&self, snapshot: &Snapshot, target: &Path) -> Result<(), OpenError> {
        let DataDirectory { files, root, .. } = &self.directory;
        let root = root.canonicalize().unwrap_or_else(|_| root.clone());
        for meta in named_segments(snapshot) {
            let path = target.join(&meta.path);
            if !path.is_symlink() {
                files.create_directory(path.parent().unwrap_or(target))?;
                files.point(&root.join(&meta.path), &path)?;
            }
        }
        Ok(write_catalog(files, target, snapshot)?)
    }
}

/// Checks a data directory that no server holds; `scratch` is an empty directory for the index's copy.
pub fn check(data_dir: &Path, scratch: &Path) -> Result<CatalogCheck, OpenError> {
    let directory = DataDirectory::inspect(Files::default(), data_dir)?;
    let mut check = Check { directory: &directory, checked: Vec::new(), problems: Vec::new() };
    let log = check.log()?;
    let index = check.index(scratch)?;
    let bases = check.checkpoints()?;
    let snapshot = match &log {
        Some(log) => {
            check.ends(log, index.as_ref());
            check.replay_all(log, index, bases)
        }
        None => {
            check.note("tables", "not checked: the log says what belongs to them, and it is damaged".to_string());
            None
        }
    };
    if let Some(snapshot) = &snapshot {
        check.contents(snapshot);
        check.history(snapshot);
        check.orphans(snapshot)?;
    }
    let Check { checked, problems, .. } = check;
    Ok(CatalogCheck { checked, problems, snapshot: snapshot.map(Arc::new), directory })
}

struct Check<'a> {
    directory: &'a DataDirectory,
    checked: Vec<Checked>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn note(&mut self, kind: &'static str, counts: String) {
        self.checked.push(Checked { kind, counts });
    }

    fn problem(&mut self, what: impl Into<String>, remedy: &str) {
        self.problems.push(Problem::new(what, remedy));
    }

    fn log(&mut self) -> Result<Option<Log>, OpenError> {
        let log = match Log::read(&self.directory.files, &self.directory.log()) {
            Ok(log) => log,
            Err(error @ (LogError::File(_) | LogError::Newer { .. })) => return Err(error.into()),
            Err(error) => {
                self.problem(error.to_string(), UNREADABLE_LOG);
                self.note("log", "damaged".to_string());
                return Ok(None);
            }
        };
        let commits = log.last().map_or(0, |last| last.0 + 1).saturating_sub(log.first().map_or(1, |first| first.0));
        let torn = match log.torn_bytes() {
            0 => String::new(),
            torn => format!("; {torn} bytes of a commit that was never acknowledged will be cut"),
        };
        self.note("log", format!("{} files, {commits} commits{torn}", log.list.len()));
        Ok(Some(log))
    }

    /// The checkpoints that can be read, newest first.
    fn checkpoints(&mut self) -> Result<Vec<(PathBuf, Snapshot)>, FileError> {
        let files = &self.directory.files;
        let found = checkpoint::list(files, &self.directory.checkpoints())?;
        self.note("checkpoints", format!("{} files", found.len()));
        let mut readable = Vec::new();
        for (seq, path) in found {
            let remedy =
                "The server starts without it as long as the log reaches back further. CHECKPOINT writes a new one.";
            match checkpoint::read(files, &path) {
                Ok(snapshot) if snapshot.seq == seq => readable.push((path, snapshot)),
                Ok(snapshot) => {
                    let what = format!("checkpoint \"{}\" is of commit {}", path.display(), snapshot.seq);
                    self.problem(what, remedy);
                }
                Err(problem) => self.problem(problem.to_string(), remedy),
            }
        }
        Ok(readable)
    }

    fn index(&mut self, scratch: &Path) -> Result<Option<FoundIndex>, FileError> {
        let files = &self.directory.files;
        for path in files.list(&self.directory.index())?.iter().filter(|path| path.is_file()) {
            files.copy(path, &scratch.join(path.file_name().unwrap_or_default()))?;
        }
        let blobs = self.directory.index().join("blobs");
        for path in files.list(&blobs)? {
            files.create_directory(&scratch.join("blobs"))?;
            files.copy(&path, &scratch.join("blobs").join(path.file_name().unwrap_or_default()))?;
        }
        match Index::open(files, scratch) {
            Ok(Some(found)) => {
                self.note("index", format!("{} entries as of commit {}", found.entries.len(), found.applied));
                Ok(Some(found))
            }
            Ok(None) => {
                self.note("index", "none; the next start builds it".to_string());
                Ok(None)
            }
            Err(problem) => {
                self.note("index", "damaged".to_string());
                self.index_problem(&problem);
                Ok(None)
            }
        }
    }

    fn index_problem(&mut self, problem: &IndexProblem) {
        let path = self.directory.index();
        let what = format!("index \"{}\" cannot be used: {problem}", path.display());
        self.problem(what, "Nothing need be done: the next start of the server builds it again.");
    }

    /// Whether the log ends before what was only ever written after it.
    fn ends(&mut self, log: &Log, index: Option<&FoundIndex>) {
        if let Err(error) = refuse_lost_commits(self.directory, log, index.map(|index| index.applied)) {
            let remedy = error.hint().unwrap_or_else(|| RESTORE.to_string());
            self.problem(error.to_string(), &remedy);
        }
    }

    /// Replays the log from everything that it can be replayed from; all must come to the same catalog.
    fn replay_all(
        &mut self,
        log: &Log,
        index: Option<FoundIndex>,
        checkpoints: Vec<(PathBuf, Snapshot)>,
    ) -> Option<Snapshot> {
        let first = log.first().unwrap_or(CommitSeq(1));
        let mut bases = Vec::new();
        for (path, snapshot) in checkpoints {
            if first <= snapshot.seq.next() {
                bases.push((format!("checkpoint \"{}\"", path.display()), snapshot));
            }
        }
        if first == CommitSeq(1) {
            bases.push(("the first commit".to_string(), Snapshot::empty()));
        }
        match index.map(|index| start_from_index(index, log)) {
            Some(Ok((_, snapshot))) => bases.push(("the index".to_string(), snapshot)),
            Some(Err(problem)) => self.index_problem(&problem),
            None => {}
        }
        if bases.is_empty() {
            let what = format!("the log begins at commit {first}, and there is no checkpoint that it could go on from");
            self.problem(what, RESTORE);
        }
        let mut agreed: Option<(String, Snapshot)> = None;
        for (name, base) in bases {
            match (replay(log, base), &agreed) {
                (Err(error), _) => self.problem(format!("from {name}: {error}"), RESTORE),
                (Ok((snapshot, _)), None) => agreed = Some((name, snapshot)),
                (Ok((snapshot, _)), Some((other, known))) => {
                    let differing = difference(&snapshot, known);
                    if differing > 0 {
                        let what = format!(
                            "{name} and the log give another catalog than {other} and the log: {differing} entries differ"
                        );
                        self.problem(what, "Keep a copy of the data directory, and restore it from a backup.");
                    }
                }
            }
        }
        agreed.map(|(_, snapshot)| snapshot)
    }

    /// What the catalog itself holds of tables: deletion vectors inside of what they are about, recent rows.
    fn contents(&mut self, snapshot: &Snapshot) {
        let states = snapshot.views.values().filter_map(|view| view.state.as_ref());
        let (mut batches, mut rows, mut vectors, mut dead) = (0, 0, 0, 0);
        for table in snapshot.tables.values().map(|table| &**table).chain(states) {
            for segment in table.segments.values() {
                let Some(deleted) = &segment.deleted else { continue };
                (vectors, dead) = (vectors + 1, dead + deleted.len());
                if deleted.0.max() >= Some(segment.meta.rows) {
                    self.problem(
                        format!("a deletion vector reaches beyond segment file \"{}\"", segment.meta.path),
                        RESTORE,
                    );
                }
            }
            for recent in table.recent.iter() {
                (batches, rows) = (batches + 1, rows + recent.batch.num_rows());
            }
        }
        self.note("recent rows", format!("{rows} in {batches} batches"));
        self.note("deletion vectors", format!("{vectors} with {dead} rows"));
    }

    /// What is kept to read the past; nothing else needs it.
    fn history(&mut self, snapshot: &Snapshot) {
        match Archive::of(&self.directory.files, &self.directory.root).verify(snapshot) {
            Ok((logs, checkpoints)) => self.note("history", format!("{logs} log files, {checkpoints} checkpoints")),
            Err(error) => {
                self.note("history", "damaged".to_string());
                self.problem(error.to_string(), "The present is not concerned. Earlier times may be in a backup.");
            }
        }
    }

    /// Files below `segments/` that nothing names are no problem; the next start sweeps them.
    fn orphans(&mut self, snapshot: &Snapshot) -> Result<(), FileError> {
        let root = &self.directory.root;
        let named: HashSet<PathBuf> = named_segments(snapshot).map(|meta| root.join(&meta.path)).collect();
        let mut folders = vec![self.directory.segments()];
        let mut orphans = 0;
        while let Some(folder) = folders.pop() {
            for path in self.directory.files.list(&folder)? {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    orphans += usize::from(!named.contains(&path));
                }
            }
        }
        if orphans > 0 {
            self.note("unused files", format!("{orphans}, which the next start removes"));
        }
        Ok(())
    }
}

/// In how many entries two snapshots differ. What is kept of the past is left out, of which earlier builds noted nothing, and so are loads that
/// do not know the number of their table: those builds kept their labels when the table was dropped.
fn difference(left: &Snapshot, right: &Snapshot) -> usize {
    let present = |(key, value): &(Key, Vec<u8>)| match key {
        Key::Past | Key::Removed(..) => false,
        Key::Load(..) => {
            let load: Result<Document<'_, LoadRecord>, _> = decode("a load", value);
            load.is_ok_and(|load| load.0.table_id.is_some())
        }
        _ => true,
    };
    let collect = |snapshot| entries(snapshot).into_iter().filter(present).collect::<BTreeMap<_, _>>();
    let (left, right) = (collect(left), collect(right));
    let changed = left.iter().filter(|(key, value)| right.get(key) != Some(value)).count();
    changed + right.keys().filter(|key| !left.contains_key(key)).count()
}

#[cfg(test)]
mod tests;
