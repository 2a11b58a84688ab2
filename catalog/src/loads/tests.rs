//! Tests of loads: labels are taken once, history without labels is bounded.

use super::*;
use crate::draft::Op;
use crate::samples::{commit, load};
use crate::snapshot::Snapshot;

#[test]
fn a_label_is_taken_once() {
    let snapshot = commit(&Snapshot::empty(), &[load(2, 5)]);
    assert_eq!(snapshot.loads.labelled("load 2").unwrap().rows, 5);
    assert!(snapshot.loads.labelled("load 4").is_none());
    let conflict = snapshot.apply(snapshot.seq.next(), 1, &[load(2, 6)]).unwrap_err();
    assert_eq!(conflict, Conflict::LabelTaken("load 2".to_string()));
    let both = snapshot.apply(snapshot.seq.next(), 1, &[load(4, 1), load(3, 1)]).unwrap();
    assert_eq!(both.loads.iter().count(), 3);
}

#[test]
fn loads_without_a_label_are_forgotten_and_others_are_not() {
    let mut snapshot = commit(&Snapshot::empty(), &[load(2, 5)]);
    let unlabelled: Vec<Op> = (0..UNLABELLED_MAX as u32 + 10).map(|row| load(3, row)).collect();
    snapshot = commit(&snapshot, &unlabelled);
    assert_eq!(snapshot.loads.iter().count(), UNLABELLED_MAX + 1);
    assert!(snapshot.loads.labelled("load 2").is_some());
    assert!(snapshot.loads.iter().all(|(_, record)| record.label.is_some() || record.rows >= 10));
}
