//! What rewrites keep, and what they leave: every live row once, and few segments.

use super::{Sale, live, naive_key, order, read, sales, sales_batch, sales_rows, sorted, stage, vector};
use crate::partition::key_bytes;
use crate::rewrite::{self, RewritePlan, choose, fold, fold_unless, is_due};
use crate::*;
use catalog::ids::{CommitSeq, RecentId, SegmentId};
use catalog::segment::LiveSegment;
use catalog::snapshot::{RecentBatch, TableVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tempfile::TempDir;

fn recent(id: u64, rows: &[Sale], dead: &[u32]) -> RecentBatch {
    let deleted = (!dead.is_empty()).then(|| vector(dead.iter().copied()));
    RecentBatch { id: RecentId(id), added: CommitSeq(id), batch: sales_batch(rows), deleted }
}

fn version(segments: Vec<LiveSegment>, recent: Vec<RecentBatch>) -> TableVersion {
    let mut version = TableVersion::empty(sales(), CommitSeq(1));
    version.segments = Arc::new(segments.into_iter().map(|segment| (segment.meta.id, segment)).collect());
    version.recent = recent.into_iter().map(Arc::new).collect();
    version
}

#[test]
fn folding_keeps_exactly_the_live_rows() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let row = |region: &str, day, amount| (Some(region.to_string()), Some(day), Some(amount));
    let batches = vec![
        recent(1, &[row("EMEA", 19_000, 3), row("APAC", 19_000, 4), row("EMEA", 19_000, 1)], &[1]),
        recent(2, &[row("EMEA", 19_000, 2), row("APAC", 19_001, 5)], &[]),
    ];
    assert!(choose(&version(vec![], batches.clone()), false, None).is_empty());
    let plans = choose(&version(vec![], batches), true, None);
    assert_eq!(plans[0].remove_recent(), [(RecentId(1), 1), (RecentId(2), 0)]);
    assert!(fold_unless(&store, &plans[0], 1 << 20, &|| true).unwrap().is_none());
    let staged = fold(&store, &plans[0], 1 << 20).unwrap();
    let found: Vec<_> = staged.metas().iter().map(|meta| read(&store, &live(meta))).collect();
    assert_eq!(
        found,
        [vec![row("APAC", 19_001, 5)], vec![row("EMEA", 19_000, 1), row("EMEA", 19_000, 2), row("EMEA", 19_000, 3)],]
    );
}

#[test]
fn what_was_there_at_a_held_commit_is_not_rewritten() {
    let row = |amount| (Some("EMEA".to_string()), Some(19_000), Some(amount));
    let batches: Vec<_> = (1..=4).map(|id| recent(id, &[row(id as i64)], &[])).collect();
    let plans = choose(&version(vec![], batches.clone()), true, Some(CommitSeq(2)));
    assert_eq!(plans[0].remove_recent(), [(RecentId(3), 0), (RecentId(4), 0)]);
    assert!(choose(&version(vec![], batches), true, Some(CommitSeq(4))).is_empty());

    let directory = TempDir::new().unwrap();
    let rows: Vec<Sale> = (0..100).map(|amount| (None, Some(19_000), Some(amount))).collect();
    let staged = stage(&directory, &rows);
    let meta = &staged.metas()[0];
    let segment = LiveSegment { meta: meta.clone(), added: CommitSeq(3), deleted: Some(vector(0..50)) };
    assert!(choose(&version(vec![segment.clone()], vec![]), false, Some(CommitSeq(3))).is_empty());
    assert_eq!(choose(&version(vec![segment], vec![]), false, Some(CommitSeq(2))).len(), 1);
}

#[test]
fn dead_rows_are_written_away() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let rows: Vec<Sale> = (0..100).map(|row| (None, Some(19_000), Some(row))).collect();
    let staged = stage(&directory, &rows);
    let meta = &staged.metas()[0];
    let with_dead = |count| LiveSegment { meta: meta.clone(), added: CommitSeq(0), deleted: Some(vector(0..count)) };
    assert!(choose(&version(vec![with_dead(20)], vec![]), true, None).is_empty());
    let plans = choose(&version(vec![with_dead(21)], vec![]), false, None);
    assert_eq!(plans[0].remove_segments(), [(meta.id, 21)]);
    assert!(fold_unless(&store, &plans[0], 1 << 20, &|| true).unwrap().is_none());
    let rewritten = fold(&store, &plans[0], 1 << 20).unwrap();
    assert_eq!(read(&store, &live(&rewritten.metas()[0])), rows[21..]);
    let plans = choose(&version(vec![with_dead(100)], vec![]), false, None);
    assert!(fold(&store, &plans[0], 1 << 20).unwrap().is_empty());
}

#[test]
fn merging_small_segments_ends_with_few() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let mut segments: BTreeMap<SegmentId, LiveSegment> = BTreeMap::new();
    let mut kept = Vec::new();
    let mut expected = Vec::new();
    for round in 0..40i64 {
        let rows: Vec<Sale> = (0..50).map(|row| (None, Some(19_000), Some(row * 40 + round))).collect();
        let mut staged = vec![stage(&directory, &rows)];
        expected.extend(rows);
        loop {
            segments.extend(staged.iter().flat_map(StagedSegments::metas).map(|meta| (meta.id, live(&meta))));
            kept.append(&mut staged);
            let plans = choose(&version(segments.values().cloned().collect(), vec![]), false, None);
            for plan in plans {
                plan.segments.iter().for_each(|segment| drop(segments.remove(&segment.meta.id)));
                staged.push(fold(&store, &plan, 1000).unwrap());
            }
            if staged.is_empty() {
                break;
            }
        }
        assert!(segments.len() < rewrite::SMALL_SEGMENTS_MAX);
    }
    let found = segments.values().flat_map(|segment| read(&store, segment)).collect();
    assert_eq!(sorted(found), sorted(expected));
}

/// A table whose rewrites are done at once.
#[derive(Default)]
struct Rewritten {
    segments: BTreeMap<SegmentId, LiveSegment>,
    staged: Vec<StagedSegments>,
    files_written: usize,
}

impl Rewritten {
    fn replace(&mut self, store: &SegmentStore, plan: &RewritePlan) {
        let staged = fold(store, plan, 1 << 20).unwrap();
        plan.segments.iter().for_each(|segment| drop(self.segments.remove(&segment.meta.id)));
        self.segments.extend(staged.metas().iter().map(|meta| (meta.id, live(meta))));
        self.files_written += staged.metas().len();
        self.staged.push(staged);
    }

    fn in_partition(&self) -> BTreeMap<Vec<u8>, usize> {
        let mut counts = BTreeMap::new();
        self.segments.values().for_each(|segment| *counts.entry(key_bytes(&segment.meta.partition)).or_default() += 1);
        counts
    }
}

#[test]
fn scattered_rows_that_are_folded_again_and_again_lie_in_one_small_segment_of_each_partition() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let (mut table, mut expected) = (Rewritten::default(), Vec::new());
    for round in 0..40u64 {
        // Four regions and six months, a row in each commit.
        let ids = (1..=10).map(|id| round * 10 + id);
        let row = |id: u64| (Some(format!("region {}", id % 4)), Some(19_000 + (id * 7 % 180) as i32), Some(id as i64));
        let batches: Vec<_> = ids.map(|id| recent(id, &[row(id)], &[])).collect();
        expected.extend(batches.iter().flat_map(|recent| sales_rows(&recent.batch)));
        let plans = choose(&version(table.segments.values().cloned().collect(), batches), true, None);
        assert_eq!(plans.len(), 1, "no segments are left that would be merged");
        table.replace(&store, &plans[0]);
        assert_eq!(table.in_partition().into_values().max(), Some(1), "after {round} folds");
    }
    let written = expected.chunks(10).map(|rows| {
        let partitions: BTreeSet<_> = rows.iter().map(|row| key_bytes(&naive_key(row))).collect();
        partitions.len()
    });
    assert_eq!(table.files_written, written.sum::<usize>(), "as many files as there are partitions with new rows");
    let found: Vec<Sale> = table.segments.values().flat_map(|segment| read(&store, segment)).collect();
    assert_eq!(sorted(found), sorted(expected));
    for segment in table.segments.values() {
        assert!(read(&store, segment).is_sorted_by_key(order), "the rows are in the table's order");
    }
}

#[test]
fn recent_rows_are_folded_into_small_segments_of_their_own_partition_alone() {
    let directory = TempDir::new().unwrap();
    let row = |region: &str, amount| (Some(region.to_string()), Some(19_000), Some(amount));
    let rows_of = |region: &str, count| (0..count).map(|amount| row(region, amount)).collect::<Vec<Sale>>();
    let staged: Vec<_> = [("EMEA", 200), ("EMEA", 400), ("EMEA", 5_000), ("APAC", 3)]
        .map(|(region, count)| stage(&directory, &rows_of(region, count)))
        .into();
    let metas: Vec<_> = staged.iter().map(|staged| staged.metas()[0].clone()).collect();
    let segment = |place: usize, added, dead: u32| {
        let deleted = (dead > 0).then(|| vector(0..dead));
        LiveSegment { meta: metas[place].clone(), added: CommitSeq(added), deleted }
    };
    let folded = |segments: Vec<LiveSegment>, recent, held| {
        let plans = choose(&version(segments, vec![recent]), true, held);
        let alone = plans[1..].iter().map(|plan| plan.remove_segments()).collect::<Vec<_>>();
        (plans[0].remove_segments(), alone)
    };
    let of_emea = || recent(9, &[row("EMEA", 1), row("APAC", 2)], &[1]);
    let all = || (0..4).map(|place| segment(place, 1, 0)).collect::<Vec<_>>();
    // The second one has no more rows than twice those that are written with the first, the third has.
    assert_eq!(folded(all(), of_emea(), None), (vec![(metas[0].id, 0), (metas[1].id, 0)], vec![]));
    // A row that is dead brings nothing into its partition.
    let of_apac = recent(9, &[row("EMEA", 1), row("APAC", 2)], &[0]);
    assert_eq!(folded(all(), of_apac, None), (vec![(metas[3].id, 0)], vec![]));
    // What was there at a commit that is held stays where it is.
    let held = vec![segment(0, 6, 0), segment(1, 5, 0)];
    assert_eq!(folded(held, of_emea(), Some(CommitSeq(5))), (vec![(metas[0].id, 0)], vec![]));
    // A segment with many dead rows is not written twice.
    assert_eq!(folded(vec![segment(0, 1, 150)], of_emea(), None), (vec![(metas[0].id, 150)], vec![]));
    let many_rows = recent(9, &rows_of("EMEA", 3_000), &[]);
    let others = vec![segment(2, 1, 0), segment(3, 1, 2)];
    assert_eq!(folded(others, many_rows, None), (vec![(metas[2].id, 0)], vec![vec![(metas[3].id, 2)]]));
}

#[test]
fn what_is_due_is_chosen() {
    let directory = TempDir::new().unwrap();
    let row: Sale = (Some("EMEA".into()), Some(19_000), Some(1));
    let staged: Vec<_> = (0..rewrite::SMALL_SEGMENTS_MAX).map(|_| stage(&directory, &vec![row.clone(); 10])).collect();
    let segments: Vec<_> = staged.iter().map(|staged| live(&staged.metas()[0])).collect();
    let dead = |count| LiveSegment { deleted: Some(vector(0..count)), ..segments[0].clone() };
    let none: Option<CommitSeq> = None;
    for (state, forced, due) in [
        (version(vec![], vec![]), true, false),
        (version(segments.clone(), vec![]), false, true),
        (version(segments[1..].to_vec(), vec![]), true, false),
        (version(vec![dead(2)], vec![]), true, false),
        (version(vec![dead(3)], vec![]), false, true),
        (version(vec![], vec![recent(1, std::slice::from_ref(&row), &[])]), false, false),
        (version(vec![], vec![recent(1, std::slice::from_ref(&row), &[])]), true, true),
    ] {
        assert_eq!((is_due(&state, forced, none), choose(&state, forced, none).is_empty()), (due, !due));
        assert!(!is_due(&state, forced, Some(CommitSeq(1))));
    }
}
