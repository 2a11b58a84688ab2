//! Tests of what is laid over a snapshot and taken from it, and of what stays for the catalog.

use super::*;
use crate::draft::CommitDraft;
use crate::ids::{CommitSeq, RecentId};
use crate::samples::{commit, rows, segment, sequence, table, view, with_table};

const SALES: ObjectId = ObjectId(16384);
const OWN: ObjectId = ObjectId(30000);

fn own_table() -> Arc<TableDefinition> {
    let name = ObjectName::new("pg_temp_1", "own");
    Arc::new(TableDefinition { name, ..TableDefinition::clone(&table(OWN.0, "own")) })
}

fn own_view(id: u32, input: ObjectId) -> Arc<ViewDefinition> {
    let name = ObjectName::new("pg_temp_1", format!("view_{id}"));
    let known = ViewDefinition::clone(&view(id, "v", &[input]));
    Arc::new(ViewDefinition { name, state: None, ..known })
}

fn objects() -> TemporaryObjects {
    TemporaryObjects::new("pg_temp_1", ObjectId(29999))
}

/// The objects after operations of a transaction over a committed snapshot.
fn after(objects: &TemporaryObjects, committed: &Snapshot, ops: &[Op]) -> TemporaryObjects {
    objects.taken_from(&commit(&objects.lay_over(committed), ops), &BTreeMap::new())
}

fn add_rows() -> Op {
    Op::AddRecent { table: OWN, id: RecentId(9), batch: rows(0, 4) }
}

#[test]
fn what_is_laid_over_a_snapshot_is_taken_from_it_again() {
    let committed = with_table();
    let known = after(&objects(), &committed, &[Op::CreateTable(own_table()), add_rows()]);
    let laid = known.lay_over(&committed);
    assert!(laid.is_temporary(&own_table().name));
    assert_eq!(laid.tables[&OWN].rows_live(), 4);
    assert!(laid.tables.contains_key(&SALES));
    assert!(Arc::ptr_eq(&laid.names, &known.lay_over(&committed).names));
    let emptied = after(&known, &committed, &[Op::DropTable(OWN)]);
    assert!(emptied.tables().next().is_none());
    assert!(emptied.lay_over(&committed).schemas.contains_key("pg_temp_1"));
    assert!(!committed.schemas.contains_key("pg_temp_1"));
}

#[test]
fn only_what_everybody_sees_is_for_the_catalog() {
    let known = after(&objects(), &with_table(), &[Op::CreateTable(own_table())]);
    let shared = Op::AddSegments { table: SALES, segments: vec![segment(1)] };
    let ops = vec![add_rows(), Op::CreateView(own_view(30001, SALES)), shared.clone(), Op::Truncate { table: OWN }];
    assert_eq!(format!("{:?}", known.permanent(ops.clone())), format!("{:?}", vec![shared]));
    assert_eq!(known.among(&ops), BTreeSet::from([OWN, ObjectId(30001)]));
}

#[test]
fn expectations_alone_are_nothing_to_commit() {
    let expect = |that| Op::Expect { relation: SALES, that };
    let read = expect(Expectation::Unchanged(CommitSeq(1)));
    assert!(objects().permanent(vec![add_rows_to_new(), read.clone()]).is_empty());
    let known = after(&objects(), &with_table(), &[Op::CreateView(own_view(30001, SALES))]);
    let dependents = expect(Expectation::Dependents(vec![ObjectId(30001)]));
    let kept = known.permanent(vec![dependents, Op::Truncate { table: SALES }]);
    let committed = with_table();
    let draft = CommitDraft::new(Arc::new(committed.clone()), kept);
    committed.apply(committed.seq.next(), 0, &draft.ops).expect("the catalog does not know of the view");
}

fn add_rows_to_new() -> Op {
    Op::CreateTable(own_table())
}

#[test]
fn a_view_over_what_another_session_changed_is_outdated() {
    let committed = with_table();
    let known = after(&objects(), &committed, &[Op::CreateView(own_view(30001, SALES))]);
    let outdated = |objects: &TemporaryObjects, committed: &Snapshot| {
        objects.lay_over(committed).temporary.expect("a schema was laid over it").outdated.clone()
    };
    assert!(outdated(&known, &committed).is_empty());
    let filled = commit(&committed, &[Op::AddSegments { table: SALES, segments: vec![segment(1)] }]);
    assert!(outdated(&known, &filled).is_empty(), "rows are no change of a definition");
    let definition = TableDefinition::clone(&committed.tables[&SALES].definition);
    let altered = Op::AlterTable(Arc::new(TableDefinition { version: definition.version + 1, ..definition }));
    let own_change = after(&known, &committed, std::slice::from_ref(&altered));
    let changed = commit(&committed, &[altered]);
    assert_eq!(outdated(&known, &changed), BTreeSet::from([ObjectId(30001)]));
    assert!(outdated(&own_change, &changed).is_empty(), "the session's own views follow its own changes");
    let still = after(&known, &changed, &[Op::CreateTable(own_table())]);
    assert_eq!(outdated(&still, &changed), BTreeSet::from([ObjectId(30001)]), "it does not become right by itself");
    let dropped = commit(&changed, &[Op::DropTable(SALES)]);
    assert_eq!(outdated(&known, &dropped), BTreeSet::from([ObjectId(30001)]));
}

#[test]
fn operations_apply_to_the_objects_alone() {
    let name = ObjectName::new("pg_temp_1", "numbers");
    let numbers = Arc::new(crate::sequence::SequenceDefinition { name, ..(*sequence(30002, "numbers")).clone() });
    let ops = [Op::CreateTable(own_table()), add_rows(), Op::CreateSequence(numbers)];
    let known = after(&objects(), &with_table(), &ops);
    let known = known.applied(&[Op::Truncate { table: OWN }]).expect("the table is there");
    assert!(known.has_sequence(ObjectId(30002)));
    assert_eq!(known.lay_over(&with_table()).tables[&OWN].rows_live(), 0);
}

#[test]
fn a_table_that_goes_takes_what_was_said_of_its_end_with_it() {
    let created = commit(&objects().lay_over(&with_table()), &[Op::CreateTable(own_table())]);
    let known = objects().taken_from(&created, &BTreeMap::from([(OWN, OnCommit::DeleteRows), (SALES, OnCommit::Drop)]));
    assert_eq!(Vec::from_iter(known.on_commit()), [(OWN, OnCommit::DeleteRows)]);
    let gone = after(&known, &with_table(), &[Op::DropTable(OWN)]);
    assert_eq!(gone.on_commit().count(), 0);
}
