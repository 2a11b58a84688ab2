//! Rewriting: recent rows and small segments become larger ones, with exactly the rows that live.

use super::{Sale, live, read, sales, sales_batch, sorted, stage, vector};
use crate::reader::SegmentStore;
use crate::rewrite::{SMALL_SEGMENTS_MAX, choose, fold, fold_unless};
use crate::staging::StagedSegments;
use catalog::ids::{CommitSeq, RecentId, SegmentId};
use catalog::segment::LiveSegment;
use catalog::snapshot::{RecentBatch, TableVersion};
use std::collections::BTreeMap;
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
        assert!(segments.len() < SMALL_SEGMENTS_MAX);
    }
    let found = segments.values().flat_map(|segment| read(&store, segment)).collect();
    assert_eq!(sorted(found), sorted(expected));
}
