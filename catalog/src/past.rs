//! The past: what a snapshot remembers of what is gone, so that it can be read as it was.
//!
//!     segment removed by commit 42 at 12:00 ──▶ its file stays ──Op::Forget(13:00)──▶ it may be reaped
//!
//! A table as it was at an earlier time is made of a checkpoint and the log behind it (see `archive`), and of files. Files of
//! segments that a commit removed are named here until [`Op::Forget`](crate::draft::Op::Forget) says that nobody will ask for
//! that time again. They are part of the snapshot: logged by the commits that removed them, in checkpoints and in the index,
//! so they survive whatever the snapshot survives. Segments of views' states are not kept: the past of a view is its query.
//!
//! A file that is lost stays named. Whoever reads its table as of a time that needs it is told, all else of the past can be read, and a
//! copy of the file from a backup mends it.
//!
//! How long the past is to be kept is not known here. It is for whoever commits `Forget`.

use crate::draft::Op;
use crate::ids::{CommitSeq, ObjectId, SegmentId};
use crate::segment::SegmentMeta;
use crate::segment_files::added_segments;
use crate::snapshot::Snapshot;
use hashbrown::HashSet;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A segment that a table does not have any more.
#[derive(Clone, Debug)]
pub struct Removed {
    pub meta: Arc<SegmentMeta>,
    /// When the commit that removed it was made, in microseconds since 1970.
    pub at_micros: i64,
}

/// What is kept of the past.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// What was before this time cannot be read any more; microseconds since 1970.
    pub from_micros: i64,
    /// By the commit that removed it, so that times never go back either.
    pub(crate) removed: BTreeMap<(CommitSeq, SegmentId), Removed>,
}

impl Past {
    /// Segments that are kept for the past alone, oldest removal first.
    pub fn removed(&self) -> impl DoubleEndedIterator<Item = &Removed> {
        self.removed.values()
    }

    /// Forgets what was before a time.
    pub(crate) fn forget(&mut self, before_micros: i64) {
        self.from_micros = self.from_micros.max(before_micros);
        let from = self.from_micros;
        while let Some(oldest) = self.removed.first_entry().filter(|oldest| oldest.get().at_micros <= from) {
            oldest.remove();
        }
    }
}

impl Snapshot {
    /// Notes which segments that the tables of `before` had are not there any more, where `op` could have removed them. Nobody
    /// has ever seen those that the same commit had added.
    pub(crate) fn note_removed(&mut self, removable: Vec<(ObjectId, Arc<SegmentMeta>)>, ops: &[Op]) {
        let is_there = |table: &ObjectId, meta: &SegmentMeta| {
            self.tables.get(table).is_some_and(|version| version.segments.contains_key(&meta.id))
        };
        let gone: Vec<_> = removable.into_iter().filter(|(table, meta)| !is_there(table, meta)).collect();
        if gone.is_empty() {
            return;
        }
        let own: HashSet<SegmentId> = added_segments(ops).map(|meta| meta.id).collect();
        let (seq, at_micros) = (self.seq, self.at_micros);
        let seen = gone.into_iter().filter(|(_, meta)| !own.contains(&meta.id));
        let removed = seen.map(|(_, meta)| ((seq, meta.id), Removed { meta, at_micros }));
        Arc::make_mut(&mut self.past).removed.extend(removed);
    }

    /// The live segments of tables that an operation may remove.
    pub(crate) fn removable(&self, op: &Op) -> Vec<(ObjectId, Arc<SegmentMeta>)> {
        let named = |table: &ObjectId, ids: &mut dyn Iterator<Item = SegmentId>| {
            let version = self.tables.get(table);
            let found = ids.filter_map(|id| Some((*table, Arc::clone(&version?.segments.get(&id)?.meta))));
            found.collect()
        };
        match op {
            Op::Delete { table, segments, .. } => named(table, &mut segments.iter().map(|(id, _)| *id)),
            Op::Rewrite { table, remove_segments, .. } => named(table, &mut remove_segments.iter().map(|(id, _)| *id)),
            Op::Truncate { table } | Op::DropTable(table) => {
                let version = self.tables.get(table).into_iter();
                version
                    .flat_map(|version| version.segments.values())
                    .map(|live| (*table, Arc::clone(&live.meta)))
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
