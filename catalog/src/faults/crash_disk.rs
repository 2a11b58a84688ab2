//! A disk that lost its power: what may be on it after any step of a recorded run.
//!
//! A [`Journal`] records the steps that are taken below a directory. [`Journal::crash`] replays the first of them onto a model of a
//! disk that keeps what was synced and is free with the rest:
//!
//!     a file       its content as of its last sync; each later write is there, is missing or is torn, in any combination
//!     a directory  its entries as of its last sync, and the first few of the changes after it, in order
//!
//! That is what POSIX leaves open, and more than any one file system does.

use crate::files::{Fault, Step, Watcher};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Numbers for decisions, the same for the same seed: SplitMix64 by Steele, Lea and Flood.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }
}

#[derive(Clone, Debug)]
enum Recorded {
    CreateDirectory(PathBuf),
    Create(PathBuf),
    Write { path: PathBuf, offset: u64, bytes: Vec<u8> },
    Truncate { path: PathBuf, length: u64 },
    SyncFile(PathBuf),
    SyncDirectory(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
    Link { from: PathBuf, to: PathBuf },
    Remove(PathBuf),
    Read,
}

/// All steps below a directory, with paths relative to it.
#[derive(Debug)]
pub(crate) struct Journal {
    root: PathBuf,
    steps: Mutex<Vec<Recorded>>,
}

impl Watcher for Journal {
    fn before(&self, step: &Step<'_>) -> Result<(), Fault> {
        let below = |path: &Path| path.strip_prefix(&self.root).map(Path::to_path_buf).unwrap_or_default();
        let recorded = match step {
            Step::CreateDirectory(path) => Recorded::CreateDirectory(below(path)),
            Step::Create(path) => Recorded::Create(below(path)),
            Step::Write { path, offset, bytes } => {
                Recorded::Write { path: below(path), offset: *offset, bytes: bytes.to_vec() }
            }
            Step::Truncate { path, length } => Recorded::Truncate { path: below(path), length: *length },
            Step::SyncFile(path) => Recorded::SyncFile(below(path)),
            Step::SyncDirectory(path) => Recorded::SyncDirectory(below(path)),
            Step::Rename { from, to } => Recorded::Rename { from: below(from), to: below(to) },
            Step::Link { from, to } => Recorded::Link { from: below(from), to: below(to) },
            Step::Remove(path) | Step::RemoveDirectory(path) => Recorded::Remove(below(path)),
            Step::Read(_) => Recorded::Read,
        };
        self.steps.lock().push(recorded);
        Ok(())
    }
}

impl Journal {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), steps: Mutex::default() }
    }

    /// How many steps were taken so far.
    pub(crate) fn len(&self) -> usize {
        self.steps.lock().len()
    }

    /// Writes to `target` what may be left after the first `steps`.
    pub(crate) fn crash(&self, steps: usize, dice: &mut Dice, target: &Path) {
        let mut disk = Disk { nodes: vec![Node::directory()] };
        for step in &self.steps.lock()[..steps] {
            disk.take(step);
        }
        disk.leave(0, dice, target);
    }
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                content.resize(content.len().max(offset + bytes.len()), 0);
                content[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Self::Truncate(length) => content.resize(*length, 0),
        }
    }
}

/// Names that are set to a node or removed at once; a rename is one change of two names.
type EntryChange = Vec<(OsString, Option<usize>)>;

#[derive(Debug)]
enum Node {
    File { synced: Vec<u8>, pending: Vec<Change> },
    Directory { synced: BTreeMap<OsString, usize>, pending: Vec<EntryChange> },
}

impl Node {
    fn directory() -> Self {
        Self::Directory { synced: BTreeMap::new(), pending: Vec::new() }
    }
}

fn apply_entries(entries: &mut BTreeMap<OsString, usize>, change: &EntryChange) {
    for (name, node) in change {
        match node {
            Some(node) => entries.insert(name.clone(), *node),
            None => entries.remove(name),
        };
    }
}

struct Disk {
    nodes: Vec<Node>,
}

impl Disk {
    /// The node of a path as the running program sees it.
    fn find(&self, path: &Path) -> Option<usize> {
        path.components().try_fold(0, |node, name| {
            let Node::Directory { synced, pending } = &self.nodes[node] else { return None };
            let mut entries = synced.clone();
            pending.iter().for_each(|change| apply_entries(&mut entries, change));
            entries.get(name.as_os_str()).copied()
        })
    }

    fn change_entries(&mut self, directory: &Path, change: EntryChange) {
        if let Some(Node::Directory { pending, .. }) = self.find(directory).map(|node| &mut self.nodes[node]) {
            pending.push(change);
        }
    }

    fn add(&mut self, path: &Path, node: usize) {
        let (parent, name) = split(path);
        self.change_entries(parent, vec![(name, Some(node))]);
    }

    fn change_file(&mut self, path: &Path, change: Change) {
        if let Some(Node::File { pending, .. }) = self.find(path).map(|node| &mut self.nodes[node]) {
            pending.push(change);
        }
    }

    fn take(&mut self, step: &Recorded) {
        match step {
            Recorded::CreateDirectory(path) if self.find(path).is_none() => {
                self.nodes.push(Node::directory());
                self.add(path, self.nodes.len() - 1);
            }
            Recorded::Create(path) => match self.find(path) {
                Some(_) => self.change_file(path, Change::Truncate(0)),
                None => {
                    self.nodes.push(Node::File { synced: Vec::new(), pending: Vec::new() });
                    self.add(path, self.nodes.len() - 1);
                }
            },
            Recorded::Write { path, offset, bytes } => {
                self.change_file(path, Change::Write { offset: *offset as usize, bytes: bytes.clone() });
            }
            Recorded::Truncate { path, length } => self.change_file(path, Change::Truncate(*length as usize)),
            Recorded::SyncFile(path) | Recorded::SyncDirectory(path) => self.sync(path),
            Recorded::Rename { from, to } => {
                let Some(node) = self.find(from) else { return };
                let ((parent, old), (target, new)) = (split(from), split(to));
                assert_eq!(parent, target, "nothing is moved between directories");
                self.change_entries(parent, vec![(old, None), (new, Some(node))]);
            }
            Recorded::Link { from, to } => {
                if let Some(node) = self.find(from) {
                    self.add(to, node);
                }
            }
            Recorded::Remove(path) => {
                let (parent, name) = split(path);
                self.change_entries(parent, vec![(name, None)]);
            }
            Recorded::CreateDirectory(_) | Recorded::Read => {}
        }
    }

    fn sync(&mut self, path: &Path) {
        let Some(node) = self.find(path) else { return };
        match &mut self.nodes[node] {
            Node::File { synced, pending } => pending.drain(..).for_each(|change| change.apply(synced)),
            Node::Directory { synced, pending } => {
                pending.drain(..).for_each(|change| apply_entries(synced, &change));
            }
        }
    }

    /// Writes what the dice leave of a node.
    fn leave(&self, node: usize, dice: &mut Dice, target: &Path) {
        match &self.nodes[node] {
            Node::File { synced, pending } => {
                let mut content = synced.clone();
                for change in pending {
                    match (dice.below(4), change) {
                        (0, _) => {}
                        (1, Change::Write { offset, bytes }) => {
                            let (start, length) = (dice.below(bytes.len() + 1), dice.below(bytes.len() + 1));
                            let torn = bytes[start..(start + length).min(bytes.len())].to_vec();
                            Change::Write { offset: offset + start, bytes: torn }.apply(&mut content);
                        }
                        _ => change.apply(&mut content),
                    }
                }
                fs::write(target, content).unwrap();
            }
            Node::Directory { synced, pending } => {
                fs::create_dir_all(target).unwrap();
                let mut entries = synced.clone();
                let kept = dice.below(pending.len() + 1);
                pending[..kept].iter().for_each(|change| apply_entries(&mut entries, change));
                entries.iter().for_each(|(name, node)| self.leave(*node, dice, &target.join(name)));
            }
        }
    }
}

fn split(path: &Path) -> (&Path, OsString) {
    (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default().to_os_string())
}
