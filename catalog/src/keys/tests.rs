//! Tests of the key window: what it finds, what it forgets, and that forgetting is never silent.

use super::*;
use crate::samples::{commit, with_table};
use proptest::prelude::*;

const TABLE: ObjectId = ObjectId(16384);
const KEY: ObjectId = ObjectId(16390);

fn added(checked: &Arc<Snapshot>, digests: &[u64]) -> AddedKeys {
    AddedKeys { table: TABLE, constraint: KEY, checked: Arc::clone(checked), digests: digests.into() }
}

/// Publishes the next commit, which adds `digests`.
fn publish(window: &mut KeyWindow, head: &mut Arc<Snapshot>, digests: &[u64]) {
    let next = Arc::new(commit(head, &[]));
    window.push(next.seq, vec![added(head, digests)]);
    *head = next;
    window.published(head);
}

fn taken() -> Result<(), Conflict> {
    Err(Conflict::KeyTaken { table: "sales".to_string() })
}

#[test]
fn a_key_that_was_added_since_the_check_is_taken() {
    let mut head = Arc::new(with_table());
    let mut window = KeyWindow::new(&head);
    let before = Arc::clone(&head);
    publish(&mut window, &mut head, &[1, 5, 9]);
    publish(&mut window, &mut head, &[20]);
    assert_eq!(window.check(&head, &[added(&before, &[2, 5])]), taken());
    assert_eq!(window.check(&head, &[added(&before, &[20])]), taken());
    assert_eq!(window.check(&head, &[added(&before, &[0, 2, 8, 10])]), Ok(()));
    assert_eq!(window.check(&head, &[added(&head, &[5])]), Ok(()), "its writer has seen the other");
    let other = AddedKeys { constraint: ObjectId(16391), ..added(&before, &[5]) };
    assert_eq!(window.check(&head, &[other]), Ok(()), "another constraint");
}

#[test]
fn digests_go_with_the_last_snapshot_that_has_not_seen_them() {
    let mut head = Arc::new(with_table());
    let mut window = KeyWindow::new(&head);
    let reader = Arc::clone(&head);
    publish(&mut window, &mut head, &[1]);
    publish(&mut window, &mut head, &[2]);
    assert_eq!((window.commits.len(), window.bytes), (2, 16));
    drop(reader);
    publish(&mut window, &mut head, &[3]);
    assert_eq!((window.commits.len(), window.bytes, window.alive.len()), (0, 0, 1));
}

#[test]
fn drafts_from_before_what_was_forgotten_conflict() {
    let mut head = Arc::new(with_table());
    let mut window = KeyWindow { bytes_max: 24, ..KeyWindow::new(&head) };
    let before = Arc::clone(&head);
    publish(&mut window, &mut head, &[1, 2]);
    let between = Arc::clone(&head);
    publish(&mut window, &mut head, &[3, 4]);
    assert_eq!(window.check(&head, &[added(&before, &[7])]), taken());
    assert_eq!(window.check(&head, &[added(&between, &[7])]), Ok(()));
    assert_eq!(window.check(&head, &[added(&between, &[4])]), taken());
}

#[test]
fn what_did_not_become_durable_takes_no_key() {
    let head = Arc::new(with_table());
    let mut window = KeyWindow::new(&head);
    window.push(head.seq.next(), vec![added(&head, &[1])]);
    assert_eq!(window.check(&head, &[added(&head, &[1])]), taken());
    window.roll_back(head.seq);
    assert_eq!(window.check(&head, &[added(&head, &[1])]), Ok(()));
    assert_eq!(window.bytes, 0);
}

proptest! {
    #[test]
    fn sorted_lists_intersect_where_sets_do(
        left in prop::collection::btree_set(0u64..200, 0..40),
        right in prop::collection::btree_set(0u64..200, 0..40),
    ) {
        let (lefts, rights): (Vec<u64>, Vec<u64>) = (left.iter().copied().collect(), right.iter().copied().collect());
        prop_assert_eq!(intersect(&lefts, &rights), !left.is_disjoint(&right));
    }
}
