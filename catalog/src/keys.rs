//! Keys at commit: whether two drafts that never saw each other add the same key.
//!
//! A writer checks the keys of its rows against the snapshot that it reads. What was committed since then it could
//! not see, so its draft carries a *digest* of each key that it adds, 64 bits each, and the committer looks for them
//! among the digests that other commits brought since that snapshot:
//!
//!     snapshot 7 ──checked──▶ draft {17, 42} ──▶ committer: commits 8, 9, … added {42}?  ──▶ Conflict::KeyTaken
//!
//! Equal keys have equal digests. The reverse need not be true, so a conflict here says no more than that the writer
//! has to look again on a fresh snapshot, and there it finds the duplicate or succeeds. Nothing of this is on disk:
//! after a restart there are no drafts.
//!
//! Digests of a commit are kept while a snapshot before it is alive, because only its holder can hand in a draft that
//! did not see it, and up to [`WINDOW_BYTES_MAX`]. Drafts from before what was forgotten for that limit conflict.
//! This module does not know how a digest is made of a key.

use crate::draft::Conflict;
use crate::ids::{CommitSeq, ObjectId};
use crate::snapshot::Snapshot;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// The memory for digests of commits: 33 million keys.
const WINDOW_BYTES_MAX: usize = 256 << 20;

/// The keys that a draft adds to one unique constraint.
#[derive(Clone, Debug)]
pub struct AddedKeys {
    pub table: ObjectId,
    pub constraint: ObjectId,
    /// The committed snapshot that they were checked against.
    pub checked: Arc<Snapshot>,
    /// Sorted.
    pub digests: Arc<[u64]>,
}

/// The keys of one commit in one constraint.
struct CommittedKeys {
    seq: CommitSeq,
    table: ObjectId,
    constraint: ObjectId,
    digests: Arc<[u64]>,
}

/// The digests of the commits that some draft has not seen.
pub(crate) struct KeyWindow {
    /// Published snapshots that somebody may still hold, oldest first.
    alive: Vec<(CommitSeq, Weak<Snapshot>)>,
    commits: VecDeque<CommittedKeys>,
    bytes: usize,
    bytes_max: usize,
    /// For each table the last commit whose digests were given up for the limit.
    forgotten: HashMap<ObjectId, CommitSeq>,
    /// Every holder of a snapshot has seen the commits up to this one.
    seen: CommitSeq,
}

impl KeyWindow {
    pub(crate) fn new(published: &Arc<Snapshot>) -> Self {
        Self {
            alive: vec![(published.seq, Arc::downgrade(published))],
            commits: VecDeque::new(),
            bytes: 0,
            bytes_max: WINDOW_BYTES_MAX,
            forgotten: HashMap::new(),
            seen: published.seq,
        }
    }

    /// Whether no commit since they were checked added one of the keys.
    pub(crate) fn check(&self, head: &Snapshot, added: &[AddedKeys]) -> Result<(), Conflict> {
        for keys in added {
            let unseen = |seq: CommitSeq| seq > keys.checked.seq;
            let lost = unseen(self.seen) || self.forgotten.get(&keys.table).is_some_and(|seq| unseen(*seq));
            let newest_first = self.commits.iter().rev().take_while(|commit| unseen(commit.seq));
            let mut same = newest_first.filter(|commit| commit.constraint == keys.constraint);
            if lost || same.any(|commit| intersect(&commit.digests, &keys.digests)) {
                let name = head.tables.get(&keys.table).map(|version| version.definition.name.name.clone());
                return Err(Conflict::KeyTaken { table: name.ok_or(Conflict::ObjectChanged(keys.table))? });
            }
        }
        Ok(())
    }

    /// Takes the keys of a draft that became commit `seq`, published or not yet.
    pub(crate) fn push(&mut self, seq: CommitSeq, added: Vec<AddedKeys>) {
        for AddedKeys { table, constraint, digests, .. } in added {
            self.bytes += size_of_val(&*digests);
            self.commits.push_back(CommittedKeys { seq, table, constraint, digests });
        }
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.pop() else { break };
            self.forgotten.insert(oldest.table, oldest.seq);
        }
    }

    /// Forgets what was pushed after `head`: it never became durable.
    pub(crate) fn roll_back(&mut self, head: CommitSeq) {
        while self.commits.back().is_some_and(|last| last.seq > head) {
            if let Some(undone) = self.commits.pop_back() {
                self.bytes -= size_of_val(&*undone.digests);
            }
        }
    }

    /// Notes a snapshot that readers can get from now on, and forgets what every holder of a snapshot has seen: the commits up to
    /// the one that it gives.
    pub(crate) fn published(&mut self, snapshot: &Arc<Snapshot>) -> CommitSeq {
        self.alive.push((snapshot.seq, Arc::downgrade(snapshot)));
        self.alive.retain(|(_, held)| held.strong_count() > 0);
        self.seen = self.alive.first().map_or(snapshot.seq, |(seq, _)| *seq);
        while self.commits.front().is_some_and(|first| first.seq <= self.seen) {
            self.pop();
        }
        self.forgotten.retain(|_, seq| *seq > self.seen);
        self.seen
    }

    fn pop(&mut self) -> Option<CommittedKeys> {
        let oldest = self.commits.pop_front()?;
        self.bytes -= size_of_val(&*oldest.digests);
        Some(oldest)
    }
}

/// Whether two sorted lists share a value. Costs as much as looking up the shorter one's values in the longer one.
fn intersect(left: &[u64], right: &[u64]) -> bool {
    let (few, mut many) = if left.len() < right.len() { (left, right) } else { (right, left) };
    for value in few {
        many = &many[place_of(many, *value)..];
        match many.first() {
            Some(first) if first == value => return true,
            Some(_) => {}
            None => return false,
        }
    }
    false
}

/// The place of the first value that is not less, in a sorted list. Values near the front are found in few comparisons,
/// so that two lists that advance alike are walked in steps that fit their lengths.
pub fn place_of(sorted: &[u64], value: u64) -> usize {
    let mut step = 1;
    while step < sorted.len() && sorted[step] < value {
        step *= 2;
    }
    let start = step / 2;
    let end = sorted.len().min(step + 1);
    start + sorted[start..end].partition_point(|other| *other < value)
}

#[cfg(test)]
mod tests;
