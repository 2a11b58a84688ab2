//! Tests of differences: they are exactly what comparing all entries would find.

use super::*;
use crate::entries::entries;
use crate::samples::{ops_of, rows, segment, steps, view, with_table};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// `group` commits at a time, and without the operations that the applier does not keep.
    #[test]
    fn changes_turn_the_entries_before_into_those_after(steps in steps(60), group in 1usize..5) {
        let mut snapshot = Snapshot::empty();
        let mut kept: BTreeMap<Key, Vec<u8>> = entries(&snapshot).into_iter().collect();
        for group in steps.chunks(group) {
            let before = snapshot.clone();
            let mut all = Vec::new();
            for step in group {
                let ops = ops_of(&snapshot, *step);
                if let Ok(next) = snapshot.apply(snapshot.seq.next(), snapshot.at_micros + 1, &ops) {
                    snapshot = next;
                    all.extend(ops.into_iter().filter(|op| !is_told_by_snapshots(op)));
                }
            }
            let mut named = BTreeSet::new();
            for (key, value) in changes(&before, &snapshot, &all) {
                prop_assert!(named.insert(key.clone()), "{key:?} is changed twice");
                match value {
                    Some(value) => drop(kept.insert(key, value)),
                    None => prop_assert!(kept.remove(&key).is_some(), "{key:?} is removed without being there"),
                }
            }
            let expected: BTreeMap<Key, Vec<u8>> = entries(&snapshot).into_iter().collect();
            prop_assert_eq!(&kept, &expected);
        }
    }
}

#[test]
fn a_small_commit_rewrites_a_few_entries_of_a_large_table() {
    let id = ObjectId(16384);
    let many: Vec<_> = (1..1000).map(segment).collect();
    let before = crate::samples::commit(&with_table(), &[Op::AddSegments { table: id, segments: many }]);
    let ops = [Op::AddRecent { table: id, id: RecentId(1), batch: rows(0, 1) }];
    let after = crate::samples::commit(&before, &ops);
    let keys: Vec<Key> = changes(&before, &after, &ops).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [Key::Meta, Key::Table(id), Key::Recent(id, RecentId(1))]);
}

#[test]
fn folding_trims_the_changes_of_the_inputs() {
    let id = ObjectId(16384);
    let mut before = crate::samples::commit(&with_table(), &[Op::CreateView(view(20000, "daily", &[id]))]);
    for recent in 1..4 {
        let ops = [Op::AddRecent { table: id, id: RecentId(recent), batch: rows(0, 1) }];
        before = crate::samples::commit(&before, &ops);
    }
    let view = ObjectId(20000);
    let fold = Op::Fold { view, from: None, to: CommitSeq(4), replace: false, segments: vec![], recent: vec![] };
    let after = crate::samples::commit(&before, std::slice::from_ref(&fold));
    let found = changes(&before, &after, [&fold]);
    let removed: Vec<Key> = found.into_iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key).collect();
    assert_eq!(removed, [Key::Change(id, CommitSeq(3)), Key::Change(id, CommitSeq(4))]);
}
