//! What is known of changes of views and below them, without a watcher that may look too late.

use super::newest_change;
use catalog::definition::{Column, ObjectName, TableDefinition, ViewDefinition};
use catalog::draft::Op;
use catalog::ids::{ColumnId, ObjectId};
use catalog::snapshot::Snapshot;
use catalog::sql_type::SqlType;
use std::sync::Arc;

const TABLE: ObjectId = ObjectId(16400);
const LOW: ObjectId = ObjectId(16500);
const TOTAL: ObjectId = ObjectId(16600);

fn number() -> Vec<Column> {
    vec![Column::new(ColumnId(1), "k", SqlType::Int4)]
}

fn view(id: ObjectId, name: &str, inputs: &[ObjectId]) -> ViewDefinition {
    ViewDefinition {
        id,
        name: ObjectName::new("public", name),
        query: "SELECT k".to_string(),
        time_zone: String::new(),
        columns: number(),
        inputs: inputs.to_vec(),
        state: None,
        populated: true,
        version: 0,
    }
}

fn commit(snapshot: &Snapshot, op: Op) -> Snapshot {
    snapshot.apply(snapshot.seq.next(), 0, &[op]).expect("the operation fits")
}

#[test]
fn a_view_that_is_replaced_changes_what_is_above_it_however_new_it_is() {
    let table = TableDefinition::new(TABLE, ObjectName::new("public", "t"), number());
    let snapshot = commit(&Snapshot::empty(), Op::CreateTable(Arc::new(table)));
    let table_changed_at = snapshot.seq;
    let low = view(LOW, "low", &[TABLE]);
    let snapshot = commit(&snapshot, Op::CreateView(Arc::new(low.clone())));
    let snapshot = commit(&snapshot, Op::CreateView(Arc::new(view(TOTAL, "total", &[LOW]))));
    assert_eq!(newest_change(&snapshot, TOTAL), table_changed_at, "to be created is no change");
    let replaced = ViewDefinition { query: "SELECT k WHERE k > 0".to_string(), version: 1, ..low };
    let snapshot = commit(&snapshot, Op::AlterView(Arc::new(replaced.clone())));
    let replaced_at = snapshot.seq;
    assert_eq!([LOW, TOTAL].map(|id| newest_change(&snapshot, id)), [replaced_at; 2]);
    let renamed = ViewDefinition { name: ObjectName::new("public", "lower"), version: 2, ..replaced };
    let snapshot = commit(&snapshot, Op::AlterView(Arc::new(renamed)));
    assert_eq!(newest_change(&snapshot, TOTAL), replaced_at, "names are no content");
}
