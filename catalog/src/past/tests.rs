//! Tests of the past: what is kept, and for how long.

use crate::draft::Op;
use crate::ids::{ObjectId, SegmentId};
use crate::samples::{commit, dead, segment, with_table};
use crate::snapshot::Snapshot;

const SALES: ObjectId = ObjectId(16384);

fn add(ids: &[u128]) -> Op {
    Op::AddSegments { table: SALES, segments: ids.iter().map(|id| segment(*id)).collect() }
}

fn kept(snapshot: &Snapshot) -> Vec<u128> {
    snapshot.past.removed().map(|removed| removed.meta.id.0).collect()
}

#[test]
fn whatever_removes_a_segment_keeps_it() {
    let mut snapshot = commit(&with_table(), &[add(&[1, 2, 3, 4])]);
    let all = dead(0..10);
    snapshot = commit(&snapshot, &[Op::Delete { table: SALES, segments: vec![(SegmentId(1), all)], recent: vec![] }]);
    assert_eq!(kept(&snapshot), [1]);
    let remove_segments = vec![(SegmentId(2), 0)];
    let rewrite = Op::Rewrite { table: SALES, remove_segments, remove_recent: vec![], add: vec![segment(5)] };
    snapshot = commit(&snapshot, &[rewrite]);
    assert_eq!(kept(&snapshot), [1, 2]);
    snapshot = commit(&snapshot, &[Op::DropTable(SALES)]);
    assert_eq!(kept(&snapshot), [1, 2, 3, 4, 5]);
}

#[test]
fn what_only_its_own_commit_saw_is_not_kept() {
    let snapshot = commit(&with_table(), &[add(&[1])]);
    let snapshot = commit(&snapshot, &[add(&[2]), Op::Truncate { table: SALES }, add(&[3])]);
    assert_eq!(kept(&snapshot), [1]);
}

#[test]
fn forgetting_goes_forward_only() {
    let added = commit(&with_table(), &[add(&[1])]);
    let emptied = commit(&added, &[Op::Truncate { table: SALES }]);
    let forget = |snapshot: &Snapshot, before_micros| commit(snapshot, &[Op::Forget { before_micros }]);
    assert_eq!(kept(&forget(&emptied, added.at_micros)), [1], "it was there then");
    let forgotten = forget(&emptied, emptied.at_micros);
    assert_eq!(kept(&forgotten), []);
    assert_eq!(forget(&forgotten, 0).past.from_micros, emptied.at_micros);
}
