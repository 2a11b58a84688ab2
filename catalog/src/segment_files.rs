//! Segment files: which of them must exist, and which may go.
//!
//! A file below `segments/` is in one of three states. *Named*: the recovered or a published snapshot names its segment, as live, as
//! removed and kept for the past, or in a change that a view still needs. *Unreadable*: no `Arc<SegmentMeta>` of it is left, so no snapshot, no draft and no
//! delta can ever ask for it again; it is reaped. *Orphaned*: a crash came between writing it and the commit; it is
//! swept at the next start, when no writer is at work yet.
//!
//! Reaping is safe against replay: a segment becomes unreadable only after the commit that removed it was durable, so every
//! recovery from then on ends in a snapshot that does not name it, and recovery asks for the files of its final
//! snapshot alone. That the log still has older records with its name does no harm.

use crate::draft::Op;
use crate::files::{FileError, Files};
use crate::ids::{ObjectId, SegmentId};
use crate::segment::SegmentMeta;
use crate::snapshot::{Snapshot, TableChange, TableVersion};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// Every segment that a snapshot names, more than once if several parts of it do.
pub(crate) fn named_segments(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<SegmentMeta>> {
    present_segments(snapshot).chain(snapshot.past.removed().map(|removed| &removed.meta))
}

/// Those of tables and of views' states; the past is left out.
pub(crate) fn present_segments(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<SegmentMeta>> {
    let states = snapshot.views.values().filter_map(|view| view.state.as_ref());
    snapshot.tables.values().map(|table| &**table).chain(states).flat_map(named_by_table)
}

fn named_by_table(table: &TableVersion) -> impl Iterator<Item = &Arc<SegmentMeta>> {
    let live = table.segments.values().map(|segment| &segment.meta);
    live.chain(table.changes.iter().flat_map(|change| named_by_change(change)))
}

fn named_by_change(change: &TableChange) -> impl Iterator<Item = &Arc<SegmentMeta>> {
    change.added_segments.iter().chain(change.dead.iter().map(|(meta, _)| meta))
}

/// The segments that operations bring into the snapshot.
pub(crate) fn added_segments(ops: &[Op]) -> impl Iterator<Item = &Arc<SegmentMeta>> {
    ops.iter().flat_map(|op| match op {
        Op::AddSegments { segments, .. } | Op::Fold { segments, .. } => segments.as_slice(),
        Op::Rewrite { add, .. } => add.as_slice(),
        _ => &[],
    })
}

/// Segments whose file is missing or has another size, with what is wrong.
pub(crate) type Damaged = HashMap<SegmentId, String>;

/// What is wrong with the files of the segments that a snapshot names.
pub(crate) fn damaged_segments(files: &Files, root: &Path, snapshot: &Snapshot) -> Result<Damaged, FileError> {
    let mut seen = HashSet::new();
    let mut damaged = Damaged::new();
    for meta in named_segments(snapshot).filter(|meta| seen.insert(meta.id)) {
        let problem = match files.size(&root.join(&meta.path))? {
            None => format!("file \"{}\" does not exist", meta.path),
            Some(bytes) if bytes != meta.bytes => {
                format!("file \"{}\" has {bytes} bytes instead of {}", meta.path, meta.bytes)
            }
            Some(_) => continue,
        };
        damaged.insert(meta.id, problem);
    }
    Ok(damaged)
}

/// What is wrong with the live segments of tables, which nothing can replace; ordered.
pub(crate) fn damaged_tables(snapshot: &Snapshot, damaged: &Damaged) -> Vec<String> {
    let live = snapshot.tables.values().flat_map(|table| table.segments.keys());
    let mut problems: Vec<String> = live.filter_map(|id| damaged.get(id).cloned()).collect();
    problems.sort();
    problems
}

/// Files of the past alone that are missing or damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPast {
    pub files: usize,
    /// What is wrong with the one that was needed last.
    pub problem: String,
    /// Until when it was needed; microseconds since 1970.
    pub until_micros: i64,
}

/// What of the past cannot be read because a file that it needs is damaged.
pub(crate) fn damaged_past(snapshot: &Snapshot, damaged: &Damaged) -> Option<LostPast> {
    let lost = snapshot.past.removed().filter(|removed| damaged.contains_key(&removed.meta.id));
    let lost: Vec<_> = lost.collect();
    let last = lost.last()?;
    Some(LostPast { files: lost.len(), problem: damaged[&last.meta.id].clone(), until_micros: last.at_micros })
}

/// The views whose state needs a damaged segment, each with what is wrong: one of the state itself, or one that a change names
/// which the state has not taken in yet. They can be computed again.
pub(crate) fn damaged_states(snapshot: &Snapshot, damaged: &Damaged) -> BTreeMap<ObjectId, String> {
    let mut states = BTreeMap::new();
    for (id, view) in snapshot.views.iter() {
        let Some(frontier) = view.frontier else { continue };
        let inputs = view.definition.inputs.iter().filter_map(|input| snapshot.tables.get(input));
        let pending = inputs.flat_map(|table| table.changes.iter()).filter(|change| change.seq > frontier);
        let needed = view.state.iter().flat_map(|state| state.segments.keys().copied());
        let mut needed = needed.chain(pending.flat_map(|change| named_by_change(change)).map(|meta| meta.id));
        if let Some(problem) = needed.find_map(|segment| damaged.get(&segment)) {
            states.insert(*id, problem.clone());
        }
    }
    states
}

/// Deletes every file below `segments` that the snapshot does not name, and the directories that are empty then.
/// Gives the number of files and their bytes.
pub(crate) fn sweep_orphans(
    files: &Files,
    root: &Path,
    segments: &Path,
    snapshot: &Snapshot,
) -> Result<(u64, u64), FileError> {
    let named: HashSet<PathBuf> = named_segments(snapshot).map(|meta| root.join(&meta.path)).collect();
    let mut swept = (0, 0);
    sweep_directory(files, segments, &named, &mut swept)?;
    Ok(swept)
}

/// Gives whether the directory is empty afterwards.
fn sweep_directory(
    files: &Files,
    directory: &Path,
    named: &HashSet<PathBuf>,
    swept: &mut (u64, u64),
) -> Result<bool, FileError> {
    let entries = files.list(directory)?;
    let found = entries.len();
    let mut removed = 0;
    for path in entries {
        if path.is_dir() && !path.is_symlink() {
            if sweep_directory(files, &path, named, swept)? {
                files.remove_directory(&path)?;
                removed += 1;
            }
        } else if !named.contains(&path) {
            swept.1 += files.size(&path)?.unwrap_or(0);
            swept.0 += 1;
            files.remove(&path)?;
            removed += 1;
        }
    }
    if removed > 0 {
        files.sync_directory(directory)?;
    }
    Ok(removed == found)
}

/// What a round of reaping did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReapReport {
    pub files: u64,
    pub bytes: u64,
    /// Files that could not be removed; the next round tries them again.
    pub problems: Vec<String>,
}

struct KnownFile {
    meta: Weak<SegmentMeta>,
    path: PathBuf,
    bytes: u64,
}

/// Knows every segment that a snapshot has named since the start, without keeping any of them alive.
pub(crate) struct Reaper {
    files: Files,
    root: PathBuf,
    known: Mutex<HashMap<SegmentId, KnownFile>>,
}

impl Reaper {
    pub(crate) fn new(files: Files, root: &Path) -> Self {
        Self { files, root: root.to_path_buf(), known: Mutex::default() }
    }

    /// To be called before the snapshot that names the segments is published.
    pub(crate) fn register<'a>(&self, segments: impl IntoIterator<Item = &'a Arc<SegmentMeta>>) {
        let mut known = self.known.lock();
        for meta in segments {
            let path = self.root.join(&meta.path);
            known.insert(meta.id, KnownFile { meta: Arc::downgrade(meta), path, bytes: meta.bytes });
        }
    }

    /// The metadata of a segment that others hold already, which keep its file; `None` where nobody does.
    pub(crate) fn held(&self, id: SegmentId) -> Option<Arc<SegmentMeta>> {
        self.known.lock().get(&id)?.meta.upgrade()
    }

    /// Removes the files that nobody can read any more.
    pub(crate) fn reap(&self) -> ReapReport {
        // A dead Weak stays dead, so the lock need not be held while files are removed.
        let unreadable: Vec<(SegmentId, KnownFile)> =
            self.known.lock().extract_if(|_, file| file.meta.strong_count() == 0).collect();
        let mut report = ReapReport::default();
        let mut directories = HashSet::new();
        for (id, file) in unreadable {
            match self.files.remove(&file.path) {
                Ok(()) => {
                    report.files += 1;
                    report.bytes += file.bytes;
                    directories.extend(file.path.parent().map(Path::to_path_buf));
                }
                Err(error) => {
                    report.problems.push(error.to_string());
                    self.known.lock().insert(id, file);
                }
            }
        }
        // A file that comes back after a power cut because its directory was not synced is swept as an orphan.
        for directory in directories {
            report.problems.extend(self.files.sync_directory(&directory).err().map(|error| error.to_string()));
        }
        report
    }
}
