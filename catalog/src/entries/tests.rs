//! Tests of keys and values: keys sort, snapshots come back, segments are shared again.

use super::*;
use crate::draft::Op;
use crate::samples::{Step, commit, dead, ops_of, rows, segment, steps, view, with_table};
use crate::segment_files::named_segments;
use proptest::prelude::*;

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::Meta),
        "[a-c]{0,3}".prop_map(Key::Schema),
        any::<u32>().prop_map(|id| Key::Table(ObjectId(id))),
        any::<u32>().prop_map(|id| Key::View(ObjectId(id))),
        (0..3u32, any::<u128>()).prop_map(|(table, id)| Key::Segment(ObjectId(table), SegmentId(id))),
        (0..3u32, any::<u64>()).prop_map(|(table, id)| Key::Recent(ObjectId(table), RecentId(id))),
        (0..3u32, any::<u64>()).prop_map(|(table, seq)| Key::Change(ObjectId(table), CommitSeq(seq))),
        (any::<u64>(), any::<u32>()).prop_map(|(seq, index)| Key::Load(CommitSeq(seq), index)),
    ]
}

proptest! {
    #[test]
    fn keys_sort_and_come_back_as_bytes(left in any_key(), right in any_key()) {
        prop_assert_eq!(left.cmp(&right), left.to_bytes().cmp(&right.to_bytes()));
        prop_assert_eq!(Key::from_bytes(&left.to_bytes()), Some(left.clone()));
        prop_assert!(left == right || !left.to_bytes().starts_with(&right.to_bytes()));
    }

    #[test]
    fn garbage_is_no_key(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
        if let Some(key) = Key::from_bytes(&bytes) {
            prop_assert_eq!(key.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_random_snapshot_comes_back(steps in steps(40)) {
        let snapshot = history(&steps);
        let found = load(Version::Two, entries(&snapshot)).unwrap();
        prop_assert_eq!(entries(&found), entries(&snapshot));
        prop_assert_eq!(&found.names, &snapshot.names);
        let mut shared: HashMap<SegmentId, &Arc<SegmentMeta>> = HashMap::new();
        for meta in named_segments(&found) {
            prop_assert!(Arc::ptr_eq(shared.entry(meta.id).or_insert(meta), meta), "one Arc per segment");
        }
    }
}

fn history(steps: &[Step]) -> Snapshot {
    let mut snapshot = Snapshot::empty();
    for step in steps {
        let ops = ops_of(&snapshot, *step);
        let next = snapshot.apply(snapshot.seq.next(), snapshot.at_micros + 1, &ops);
        snapshot = next.unwrap_or(snapshot);
    }
    snapshot
}

#[test]
fn entries_are_named_one_by_one() {
    let id = ObjectId(16384);
    let view_id = ObjectId(20000);
    let snapshot = commit(&with_table(), &[Op::CreateView(view(20000, "daily", &[id]))]);
    let snapshot = commit(
        &snapshot,
        &[
            Op::AddSegments { table: id, segments: vec![segment(7)] },
            Op::AddRecent { table: id, id: RecentId(9), batch: rows(0, 2) },
        ],
    );
    let fold = Op::Fold {
        view: view_id,
        from: None,
        to: CommitSeq(2),
        replace: false,
        segments: vec![segment(8)],
        recent: vec![(RecentId(10), rows(0, 1))],
    };
    let snapshot = commit(&snapshot, &[fold]);
    let keys: Vec<Key> = entries(&snapshot).into_iter().map(|(key, _)| key).collect();
    let state = ObjectId(20001);
    assert_eq!(
        keys,
        [
            Key::Meta,
            Key::Schema("public".to_string()),
            Key::Table(id),
            Key::View(view_id),
            Key::Segment(id, SegmentId(7)),
            Key::Segment(state, SegmentId(8)),
            Key::Recent(id, RecentId(9)),
            Key::Recent(state, RecentId(10)),
            Key::Change(id, CommitSeq(3)),
        ]
    );
}

#[test]
fn a_change_and_the_live_segment_share_their_metadata_after_loading() {
    let id = ObjectId(16384);
    let snapshot = commit(&with_table(), &[Op::CreateView(view(20000, "daily", &[id]))]);
    let snapshot = commit(&snapshot, &[Op::AddSegments { table: id, segments: vec![segment(7)] }]);
    let snapshot =
        commit(&snapshot, &[Op::Delete { table: id, segments: vec![(SegmentId(7), dead([1]))], recent: vec![] }]);
    let found = load(Version::Two, entries(&snapshot)).unwrap();
    let table = &found.tables[&id];
    let live = &table.segments[&SegmentId(7)].meta;
    let changes: Vec<_> = table.changes.iter().collect();
    assert!(Arc::ptr_eq(live, &changes[0].added_segments[0]));
    assert!(Arc::ptr_eq(live, &changes[1].dead[0].0));
    assert_eq!(Arc::strong_count(live), 3);
}

#[test]
fn entries_that_do_not_belong_together_are_refused() {
    let whole =
        entries(&commit(&with_table(), &[Op::AddSegments { table: ObjectId(16384), segments: vec![segment(7)] }]));
    let without = |gone: Key| whole.clone().into_iter().filter(move |(key, _)| *key != gone);
    assert!(load(Version::Two, without(Key::Meta)).is_err());
    assert!(load(Version::Two, without(Key::Table(ObjectId(16384)))).is_err());
    assert!(load(Version::Two, without(Key::Segment(ObjectId(16384), SegmentId(7)))).is_ok());
}

/// A snapshot with one entry of each kind, recent rows aside: their bytes are Arrow's.
fn pinned() -> Snapshot {
    let id = ObjectId(16384);
    let snapshot = commit(&with_table(), &[Op::CreateView(view(20000, "daily", &[id]))]);
    let fold = |segments| Op::Fold {
        view: ObjectId(20000),
        from: None,
        to: CommitSeq(2),
        replace: false,
        segments,
        recent: vec![],
    };
    let ops = [
        fold(vec![segment(8)]),
        Op::AddSegments { table: id, segments: vec![segment(7)] },
        Op::Delete { table: id, segments: vec![(SegmentId(7), dead([1, 2]))], recent: vec![] },
    ];
    commit(&snapshot, &ops)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// When this fails, the values of checkpoints have changed their shape: give checkpoints a new version, or keep the shape.
#[test]
fn the_bytes_of_the_entries_are_those_of_version_2() {
    let found =
        entries(&pinned()).into_iter().map(|(key, value)| format!("{} {}\n", hex(&key.to_bytes()), hex(&value)));
    assert_eq!(found.collect::<String>(), include_str!("version_2.hex"));
}

#[test]
fn entries_of_version_1_are_read() {
    let lines = include_str!("version_1.hex").lines().map(|line| line.split_once(' ').unwrap());
    let old = lines.map(|(key, value)| (Key::from_bytes(&from_hex(key)).unwrap(), from_hex(value)));
    assert_eq!(entries(&load(Version::One, old).unwrap()), entries(&pinned()));
}
