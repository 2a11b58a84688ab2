//! What lies between two versions of a table: rows of either that the other one may not have.
//!
//! Versions share the segments and batches that no commit between them touched, and those cancel out unread. A rewrite in between makes the
//! same rows come and go: the sum of the signed rows is right, but they are not the least. See
//! [`TableVersion::changes_since`] for those, where they are kept.

use super::{BatchRows, Extra, RowSet, SegmentRows, Wanted};
use catalog::segment::{DeletionVector, LiveSegment};
use catalog::shared_list::SharedList;
use catalog::snapshot::{RecentBatch, TableVersion};
use std::collections::BTreeMap;
use std::sync::Arc;

impl RowSet {
    /// The signed rows that make `before` into `now`, another version of the same definition.
    pub(crate) fn between(before: &TableVersion, now: &TableVersion) -> Self {
        let definition = Arc::clone(&now.definition);
        let mut set = Self { definition, segments: Vec::new(), batches: Vec::new(), extra: Extra::Weight };
        for (id, segment) in now.segments.iter() {
            match before.segments.get(id) {
                Some(known) => set.segments.extend(died(known, segment).map(|dead| rows_of(segment, dead, -1))),
                None => set.segments.push(rows_of(segment, live(segment), 1)),
            }
        }
        let gone = before.segments.iter().filter(|(id, _)| !now.segments.contains_key(id));
        set.segments.extend(gone.map(|(_, segment)| rows_of(segment, live(segment), -1)));
        set.add_batches(&before.recent, &now.recent);
        set
    }

    /// The batches that only one version has, or has more rows of.
    fn add_batches(&mut self, before: &SharedList<Arc<RecentBatch>>, now: &SharedList<Arc<RecentBatch>>) {
        let (before, now) = before.unshared(now);
        let known: BTreeMap<_, _> = before.map(|batch| (batch.id, batch)).collect();
        let kept: BTreeMap<_, _> = now.map(|batch| (batch.id, batch)).collect();
        let is_same = |one: &RecentBatch, other: &RecentBatch| one.rows_live() == other.rows_live();
        let came = kept.values().filter(|batch| !known.get(&batch.id).is_some_and(|other| is_same(batch, other)));
        let went = known.values().filter(|batch| !kept.get(&batch.id).is_some_and(|other| is_same(batch, other)));
        let signed = |batch: &Arc<RecentBatch>, weight| {
            let (rows, deleted) = (batch.batch.clone(), batch.deleted.clone());
            BatchRows { batch: rows, deleted, weight }
        };
        self.batches.extend(came.map(|batch| signed(batch, 1)));
        self.batches.extend(went.map(|batch| signed(batch, -1)));
    }
}

fn rows_of(segment: &LiveSegment, wanted: Wanted, weight: i8) -> SegmentRows {
    SegmentRows { meta: Arc::clone(&segment.meta), wanted, weight }
}

fn live(segment: &LiveSegment) -> Wanted {
    segment.deleted.as_ref().map_or(Wanted::All, |dead| Wanted::Except(Arc::clone(dead)))
}

/// The rows of a segment that died after the first of two versions, if any; a dead row stays dead.
fn died(before: &LiveSegment, now: &LiveSegment) -> Option<Wanted> {
    let dead = now.deleted.as_ref()?;
    let new = match &before.deleted {
        Some(known) if Arc::ptr_eq(known, dead) => return None,
        Some(known) => Arc::new(DeletionVector(&dead.0 - &known.0)),
        None => Arc::clone(dead),
    };
    (!new.is_empty()).then_some(Wanted::Only(new))
}
