//! Tests of loads: labels are taken once, history without labels is bounded.

use super::*;
use crate::definition::TableDefinition;
use crate::draft::Op;
use crate::samples::{commit, load, load_into, table};
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

#[test]
fn a_label_that_is_forgotten_is_free() {
    let id = ObjectId(16384);
    let loaded = [Op::CreateTable(table(16384, "sales")), load_into(id, 2, 5), load_into(id, 4, 6), load(6, 7)];
    let snapshot = commit(&Snapshot::empty(), &loaded);
    let one = commit(&snapshot, &[Op::ForgetLoads { table: id, label: Some("load 2".into()) }]);
    let labels = |snapshot: &Snapshot| -> Vec<String> {
        ["load 2", "load 4", "load 6"]
            .iter()
            .filter(|label| snapshot.loads.labelled(label).is_some())
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(labels(&one), ["load 4", "load 6"]);
    assert_eq!(one.loads.iter().count(), 3, "the load itself is remembered");
    assert_eq!(labels(&commit(&one, &[load_into(id, 2, 5)])), ["load 2", "load 4", "load 6"]);
    assert_eq!(labels(&snapshot), ["load 2", "load 4", "load 6"], "a snapshot stays as it is");
}

#[test]
fn a_table_takes_its_labels_with_it() {
    let id = ObjectId(16384);
    let renamed = ObjectName::new("public", "old");
    let definition = TableDefinition { name: renamed, version: 2, ..(*table(16384, "sales")).clone() };
    let loaded = [Op::CreateTable(table(16384, "sales")), load_into(id, 2, 5), load(4, 6)];
    let snapshot = commit(&Snapshot::empty(), &loaded);
    let snapshot = commit(&snapshot, &[Op::AlterTable(Arc::new(definition))]);
    assert!(snapshot.loads.labelled("load 2").is_some(), "another name is no other table");
    let snapshot = commit(&snapshot, &[Op::DropTable(id)]);
    assert!(snapshot.loads.labelled("load 2").is_none());
    assert!(
        snapshot.loads.labelled("load 4").is_some(),
        "a load from before there were ids is known by its table's name"
    );
}
