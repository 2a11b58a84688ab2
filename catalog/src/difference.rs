//! Differences: which entries a commit rewrites.
//!
//!     changes(before, after, ops) = the puts and removes that turn entries(before) into entries(after)
//!
//! Two snapshots share by pointer what no commit between them touched, so tables and views are told apart without a look inside. Within
//! a touched table the operations name the segments to compare; where they name none (a truncation, a dropped table), and
//! for view states, whose runs are few, all of them are compared. Of recent batches the list says what it shares. Changes are only
//! ever added at the end and trimmed from the front, so two positions say what happened to them.
//!
//! A property test holds this equal to comparing all entries.

use crate::draft::Op;
use crate::entries::{
    Key, change_value, load_value, meta_value, past_value, recent_value, removed_value, schema_value, segment_value,
    sequence_value, table_value, type_value, view_value,
};
use crate::ids::{CommitSeq, ObjectId, RecentId, SegmentId};
use crate::loads::Loads;
use crate::past::Past;
use crate::segment::LiveSegment;
use crate::shared_list::SharedList;
use crate::snapshot::{RecentBatch, Snapshot, TableVersion, ViewVersion};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Puts (`Some`) and removes (`None`), each key once.
pub(crate) type Changes = Vec<(Key, Option<Vec<u8>>)>;

/// What the commits between two snapshots changed in the entries. `ops` are the operations of those commits.
pub(crate) fn changes<'a>(before: &Snapshot, after: &Snapshot, ops: impl IntoIterator<Item = &'a Op>) -> Changes {
    let touched = touched(ops);
    let untouched = Parts::default();
    let mut changes = vec![(Key::Meta, Some(meta_value(after)))];
    if !Arc::ptr_eq(&before.schemas, &after.schemas) {
        for_each_difference(
            &before.schemas,
            &after.schemas,
            |old, new| old == new,
            |name, new| {
                changes.push((Key::Schema(name.clone()), new.map(|id| schema_value(*id))));
            },
        );
    }
    if !Arc::ptr_eq(&before.loads, &after.loads) {
        push_loads(&mut changes, &before.loads, &after.loads);
    }
    if !Arc::ptr_eq(&before.past, &after.past) {
        push_past(&mut changes, &before.past, &after.past, before.seq);
    }
    for_each_pair(&before.tables, &after.tables, Arc::ptr_eq, |id, old, new| {
        let parts = touched.get(id).unwrap_or(&untouched);
        push_table(&mut changes, *id, (old.map(|old| &**old), new.map(|new| &**new)), before.seq, parts);
    });
    for_each_pair(&before.views, &after.views, Arc::ptr_eq, |id, old, new| {
        push_view(&mut changes, *id, old.map(|old| &**old), new.map(|new| &**new), before.seq);
    });
    for_each_difference(&before.sequences, &after.sequences, Arc::ptr_eq, |id, new| {
        changes.push((Key::Sequence(*id), new.map(|sequence| sequence_value(sequence))));
    });
    for_each_difference(&before.types, &after.types, Arc::ptr_eq, |id, new| {
        changes.push((Key::Type(*id), new.map(|known| type_value(known))));
    });
    changes
}

/// Loads come at the end, lose their label, and go where they are too many.
fn push_loads(changes: &mut Changes, before: &Loads, after: &Loads) {
    for ((seq, index), old) in &before.records {
        match after.records.get(&(*seq, *index)) {
            Some(new) if Arc::ptr_eq(old, new) => {}
            new => changes.push((Key::Load(*seq, *index), new.map(|record| load_value(record)))),
        }
    }
    let start = before.records.last_key_value().map_or(Bound::Unbounded, |(last, _)| Bound::Excluded(*last));
    let new = after.records.range((start, Bound::Unbounded));
    changes.extend(new.map(|((seq, index), record)| (Key::Load(*seq, *index), Some(load_value(record)))));
}

/// What is removed comes at the end, in the order of commits, and what is forgotten goes from the front.
fn push_past(changes: &mut Changes, before: &Past, after: &Past, before_seq: CommitSeq) {
    if before.from_micros != after.from_micros {
        changes.push((Key::Past, Some(past_value(after))));
    }
    let kept_from = after.removed.first_key_value().map_or(Bound::Unbounded, |(first, _)| Bound::Excluded(*first));
    let gone = before.removed.range((Bound::Unbounded, kept_from));
    changes.extend(gone.map(|((seq, id), _)| (Key::Removed(*seq, *id), None)));
    let new = after.removed.range((before_seq.next(), SegmentId(0))..);
    changes.extend(new.map(|((seq, id), removed)| (Key::Removed(*seq, *id), Some(removed_value(removed)))));
}

/// Whether [`changes`] finds what an operation did without it: recent rows are told apart by their lists.
pub(crate) fn is_told_by_snapshots(op: &Op) -> bool {
    matches!(op, Op::AddRecent { .. } | Op::Expect { .. })
}

/// The parts of a table that operations named.
#[derive(Default)]
struct Parts {
    all: bool,
    segments: BTreeSet<SegmentId>,
}

impl Parts {
    fn all() -> Self {
        Self { all: true, ..Self::default() }
    }
}

fn touched<'a>(ops: impl IntoIterator<Item = &'a Op>) -> HashMap<ObjectId, Parts> {
    let mut touched: HashMap<ObjectId, Parts> = HashMap::new();
    for op in ops {
        match op {
            Op::AddSegments { table, segments } => {
                let parts = touched.entry(*table).or_default();
                parts.segments.extend(segments.iter().map(|meta| meta.id));
            }
            Op::Delete { table, segments, .. } => {
                let parts = touched.entry(*table).or_default();
                parts.segments.extend(segments.iter().map(|(id, _)| *id));
            }
            Op::Rewrite { table, remove_segments, add, .. } => {
                let parts = touched.entry(*table).or_default();
                parts.segments.extend(remove_segments.iter().map(|(id, _)| *id));
                parts.segments.extend(add.iter().map(|meta| meta.id));
            }
            Op::Truncate { table } => touched.entry(*table).or_default().all = true,
            // What these touch is compared whole, or has no parts.
            Op::CreateSchema { .. }
            | Op::DropSchema { .. }
            | Op::CreateTable(_)
            | Op::DropTable(_)
            | Op::AddRecent { .. }
            | Op::CreateView(_)
            | Op::AlterView(_)
            | Op::DropView(_)
            | Op::Fold { .. }
            | Op::DropState { .. }
            | Op::CreateSequence(_)
            | Op::AlterSequence { .. }
            | Op::SetSequence { .. }
            | Op::DropSequence(_)
            | Op::RecordLoad(_)
            | Op::AlterTable(_)
            | Op::Expect { .. }
            | Op::Forget { .. }
            | Op::CreateType(_)
            | Op::AlterType(_)
            | Op::DropType(_)
            | Op::ForgetLoads { .. } => {}
        }
    }
    touched
}

/// Walks two maps at once and shows the keys whose values differ, or that only one of them has.
fn for_each_pair<K: Ord, V>(
    before: &Arc<BTreeMap<K, V>>,
    after: &Arc<BTreeMap<K, V>>,
    same: impl Fn(&V, &V) -> bool,
    mut show: impl FnMut(&K, Option<&V>, Option<&V>),
) {
    if Arc::ptr_eq(before, after) {
        return;
    }
    for (key, old) in before.iter() {
        match after.get(key) {
            Some(new) if same(old, new) => {}
            new => show(key, Some(old), new),
        }
    }
    for (key, new) in after.iter().filter(|(key, _)| !before.contains_key(key)) {
        show(key, None, Some(new));
    }
}

fn for_each_difference<K: Ord, V>(
    before: &Arc<BTreeMap<K, V>>,
    after: &Arc<BTreeMap<K, V>>,
    same: impl Fn(&V, &V) -> bool,
    mut show: impl FnMut(&K, Option<&V>),
) {
    for_each_pair(before, after, same, |key, _, new| show(key, new));
}

fn push_table(
    changes: &mut Changes,
    id: ObjectId,
    (old, new): (Option<&TableVersion>, Option<&TableVersion>),
    before: CommitSeq,
    parts: &Parts,
) {
    match (old, new) {
        (Some(old), Some(new)) if same_head(old, new) => {}
        (_, new) => changes.push((Key::Table(id), new.map(table_value))),
    }
    let all = Parts::all();
    let parts = if old.is_some() && new.is_some() { parts } else { &all };
    push_contents(changes, id, (old, new), before, parts);
}

fn same_head(old: &TableVersion, new: &TableVersion) -> bool {
    Arc::ptr_eq(&old.definition, &new.definition)
        && old.changed_at == new.changed_at
        && old.changes_from == new.changes_from
}

fn push_view(
    changes: &mut Changes,
    id: ObjectId,
    old: Option<&ViewVersion>,
    new: Option<&ViewVersion>,
    before: CommitSeq,
) {
    changes.push((Key::View(id), new.map(view_value)));
    let old = old.and_then(|old| old.state.as_ref());
    let new = new.and_then(|new| new.state.as_ref());
    match (old, new) {
        (Some(old), Some(new)) if old.definition.id != new.definition.id => {
            push_contents(changes, old.definition.id, (Some(old), None), before, &Parts::all());
            push_contents(changes, new.definition.id, (None, Some(new)), before, &Parts::all());
        }
        _ => {
            if let Some(table) = new.or(old) {
                push_contents(changes, table.definition.id, (old, new), before, &Parts::all());
            }
        }
    }
}

fn push_contents(
    changes: &mut Changes,
    id: ObjectId,
    (old, new): (Option<&TableVersion>, Option<&TableVersion>),
    before: CommitSeq,
    parts: &Parts,
) {
    push_segments(changes, id, (old, new), parts);
    push_recent(changes, id, (old, new));
    push_changes(changes, id, (old, new), before);
}

fn push_segments(
    changes: &mut Changes,
    id: ObjectId,
    (old, new): (Option<&TableVersion>, Option<&TableVersion>),
    parts: &Parts,
) {
    let none = Arc::default();
    let old = old.map_or(&none, |old| &old.segments);
    let new = new.map_or(&none, |new| &new.segments);
    let mut push = |segment: &SegmentId, new: Option<&LiveSegment>| {
        changes.push((Key::Segment(id, *segment), new.map(segment_value)));
    };
    if parts.all {
        return for_each_difference(old, new, same_segment, push);
    }
    for segment in &parts.segments {
        match (old.get(segment), new.get(segment)) {
            (None, None) => {}
            (Some(old), Some(new)) if same_segment(old, new) => {}
            (_, new) => push(segment, new),
        }
    }
}

fn same_segment(old: &LiveSegment, new: &LiveSegment) -> bool {
    Arc::ptr_eq(&old.meta, &new.meta) && same_vector(&old.deleted, &new.deleted)
}

fn same_vector<T>(old: &Option<Arc<T>>, new: &Option<Arc<T>>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (None, None) => true,
        _ => false,
    }
}

/// Batches that both versions share by their place in the list are the same, so only those behind them are compared.
fn push_recent(changes: &mut Changes, id: ObjectId, (old, new): (Option<&TableVersion>, Option<&TableVersion>)) {
    let none = SharedList::default();
    let old = old.map_or(&none, |old| &old.recent);
    let new = new.map_or(&none, |new| &new.recent);
    let (old, new) = old.unshared(new);
    let mut by_id: HashMap<RecentId, &RecentBatch> = new.map(|recent| (recent.id, recent.as_ref())).collect();
    for batch in old {
        match by_id.remove(&batch.id) {
            // A batch never changes under its id; only its dead rows do.
            Some(new) if same_vector(&batch.deleted, &new.deleted) => {}
            new => changes.push((Key::Recent(id, batch.id), new.map(recent_value))),
        }
    }
    let added: BTreeMap<RecentId, &RecentBatch> = by_id.into_iter().collect();
    changes.extend(added.into_iter().map(|(added, batch)| (Key::Recent(id, added), Some(recent_value(batch)))));
}

/// `before` is the seq up to which the old changes reach; a change that is not later never changes.
fn push_changes(
    changes: &mut Changes,
    id: ObjectId,
    (old, new): (Option<&TableVersion>, Option<&TableVersion>),
    before: CommitSeq,
) {
    let none = SharedList::default();
    let old = old.map_or(&none, |old| &old.changes);
    let new = new.map_or(&none, |new| &new.changes);
    if old.is_same(new) {
        return;
    }
    let added = new.rest(|change| change.seq <= before);
    let kept = added.start();
    let trimmed = old.len().checked_sub(kept).expect("old changes are only trimmed");
    let first_kept = old.get(trimmed).map(|change| change.seq);
    assert!(kept == 0 || first_kept == new.first().map(|new| new.seq), "old changes are only trimmed from the front");
    changes.extend(old.iter().take(trimmed).map(|change| (Key::Change(id, change.seq), None)));
    changes.extend(added.into_iter().map(|change| (Key::Change(id, change.seq), Some(change_value(change)))));
}

#[cfg(test)]
mod tests;
