//! What the operations of a draft do to the rows of a table: segments and recent batches that come, die and are rewritten.

use super::Conflict;
use crate::ids::{CommitSeq, RecentId, SegmentId};
use crate::segment::{DeletionVector, LiveSegment, SegmentMeta};
use crate::snapshot::{RecentBatch, TableChange, TableVersion};
use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

pub(super) fn insert_segments(version: &mut TableVersion, added: CommitSeq, segments: &[Arc<SegmentMeta>]) {
    let live = Arc::make_mut(&mut version.segments);
    for meta in segments {
        live.insert(meta.id, LiveSegment { meta: Arc::clone(meta), added, deleted: None });
    }
}

pub(super) fn push_recent(version: &mut TableVersion, added: CommitSeq, id: RecentId, batch: &RecordBatch) {
    let recent = RecentBatch { id, added, batch: batch.clone(), deleted: None };
    version.recent.push(Arc::new(recent));
}

/// The union of two vectors; `None` when they share a row, which then would die twice.
fn disjoint_union(old: Option<&Arc<DeletionVector>>, new: &DeletionVector) -> Option<Arc<DeletionVector>> {
    let Some(old) = old else { return Some(Arc::new(new.clone())) };
    old.0.is_disjoint(&new.0).then(|| Arc::new(DeletionVector(&old.0 | &new.0)))
}

pub(super) fn delete_from_segments(
    version: &mut TableVersion,
    change: &mut TableChange,
    dead: &[(SegmentId, Arc<DeletionVector>)],
) -> Result<(), Conflict> {
    let table = version.definition.name.name.clone();
    let live = Arc::make_mut(&mut version.segments);
    for (id, vector) in dead {
        let moved = || Conflict::RowsChanged { table: table.clone() };
        let segment = live.get_mut(id).ok_or_else(moved)?;
        let union = disjoint_union(segment.deleted.as_ref(), vector).ok_or_else(moved)?;
        assert!(union.0.max() < Some(segment.meta.rows), "a dead row lies inside its segment");
        change.dead.push((Arc::clone(&segment.meta), Arc::clone(vector)));
        if union.len() == u64::from(segment.meta.rows) {
            live.remove(id);
        } else {
            segment.deleted = Some(union);
        }
    }
    Ok(())
}

pub(super) fn delete_from_recent(
    version: &mut TableVersion,
    change: &mut TableChange,
    dead: &[(RecentId, Arc<DeletionVector>)],
) -> Result<(), Conflict> {
    let table = version.definition.name.name.clone();
    let live = &mut version.recent;
    for (id, vector) in dead {
        let moved = || Conflict::RowsChanged { table: table.clone() };
        let position = live.iter().position(|recent| recent.id == *id).ok_or_else(moved)?;
        let recent = live.get(position).ok_or_else(moved)?;
        let union = disjoint_union(recent.deleted.as_ref(), vector).ok_or_else(moved)?;
        assert!(union.0.max() < Some(recent.batch.num_rows() as u32), "a dead row lies inside its batch");
        change.removed_rows.push(select_rows(&recent.batch, vector));
        if union.len() == recent.batch.num_rows() as u64 {
            live.remove(position);
        } else {
            let recent = RecentBatch { deleted: Some(union), ..RecentBatch::clone(recent) };
            live.set(position, Arc::new(recent));
        }
    }
    Ok(())
}

/// The rows of `batch` whose positions are in `vector`.
pub fn select_rows(batch: &RecordBatch, vector: &DeletionVector) -> RecordBatch {
    filter_record_batch(batch, &vector.mask(batch.num_rows())).expect("a mask as long as its batch")
}

pub(super) fn rewrite(
    version: &mut TableVersion,
    seq: CommitSeq,
    remove_segments: &[(SegmentId, u64)],
    remove_recent: &[(RecentId, u64)],
    add: &[Arc<SegmentMeta>],
) -> Result<(), Conflict> {
    let moved = || Conflict::RowsChanged { table: version.definition.name.name.clone() };
    let dead_rows = |deleted: &Option<Arc<DeletionVector>>| deleted.as_ref().map_or(0, |deleted| deleted.len());
    for (id, dead) in remove_segments {
        version.segments.get(id).filter(|segment| dead_rows(&segment.deleted) == *dead).ok_or_else(moved)?;
    }
    if !remove_recent.is_empty() {
        let found: HashMap<RecentId, &Arc<RecentBatch>> =
            version.recent.iter().map(|recent| (recent.id, recent)).collect();
        for (id, dead) in remove_recent {
            found.get(id).filter(|recent| dead_rows(&recent.deleted) == *dead).ok_or_else(moved)?;
        }
    }
    let segments = Arc::make_mut(&mut version.segments);
    remove_segments.iter().for_each(|(id, _)| drop(segments.remove(id)));
    if !remove_recent.is_empty() {
        let removed: HashSet<RecentId> = remove_recent.iter().map(|(id, _)| *id).collect();
        version.recent.retain(|batch| !removed.contains(&batch.id));
    }
    insert_segments(version, seq, add);
    Ok(())
}
