//! Tests of what operations do to a snapshot, and of when they conflict.

use super::*;
use crate::definition::{Column, ObjectName, TableDefinition};
use crate::ids::ColumnId;
use crate::samples::{commit, dead, domain, enum_type, rows, segment, sequence, table, view, with_table};
use crate::sql_type::SqlType;
use crate::user_type::{DomainDefinition, TypeDefinition, TypeKind};

const SALES: ObjectId = ObjectId(16384);
const DAILY: ObjectId = ObjectId(20000);

fn with_rows() -> Snapshot {
    let ops = [
        Op::AddSegments { table: SALES, segments: vec![segment(1), segment(2)] },
        Op::AddRecent { table: SALES, id: RecentId(1), batch: rows(0, 4) },
    ];
    commit(&with_table(), &ops)
}

fn delete_from_segment(id: u128, rows: impl IntoIterator<Item = u32>) -> Op {
    Op::Delete { table: SALES, segments: vec![(SegmentId(id), dead(rows))], recent: vec![] }
}

fn delete_from_recent(id: u64, rows: impl IntoIterator<Item = u32>) -> Op {
    Op::Delete { table: SALES, segments: vec![], recent: vec![(RecentId(id), dead(rows))] }
}

fn conflict(snapshot: &Snapshot, op: Op) -> Conflict {
    snapshot.apply(snapshot.seq.next(), 0, &[op]).expect_err("the operation does not fit")
}

fn rows_changed() -> Conflict {
    Conflict::RowsChanged { table: "sales".to_string() }
}

fn fold(from: Option<u64>, to: u64) -> Op {
    Op::Fold {
        view: DAILY,
        from: from.map(CommitSeq),
        to: CommitSeq(to),
        replace: false,
        segments: vec![],
        recent: vec![],
    }
}

#[test]
fn a_row_dies_once() {
    let snapshot = commit(&with_rows(), &[delete_from_segment(1, [3]), delete_from_recent(1, [0])]);
    assert_eq!(conflict(&snapshot, delete_from_segment(1, [2, 3])), rows_changed());
    assert_eq!(conflict(&snapshot, delete_from_recent(1, [0])), rows_changed());
    let after = commit(&snapshot, &[delete_from_segment(1, [2]), delete_from_recent(1, [1])]);
    assert_eq!(after.tables[&SALES].rows_live(), 24 - 4);
}

#[test]
fn what_has_no_live_row_left_is_gone() {
    let snapshot = commit(&with_rows(), &[delete_from_segment(1, 0..10), delete_from_recent(1, 0..4)]);
    let version = &snapshot.tables[&SALES];
    assert_eq!(version.segments.keys().collect::<Vec<_>>(), [&SegmentId(2)]);
    assert!(version.recent.is_empty());
}

#[test]
fn a_delete_in_rows_that_moved_conflicts() {
    let rewrite = Op::Rewrite {
        table: SALES,
        remove_segments: vec![(SegmentId(1), 0)],
        remove_recent: vec![(RecentId(1), 0)],
        add: vec![segment(3)],
    };
    let snapshot = commit(&with_rows(), &[rewrite]);
    assert_eq!(conflict(&snapshot, delete_from_segment(1, [0])), rows_changed());
    assert_eq!(conflict(&snapshot, delete_from_recent(1, [0])), rows_changed());
    commit(&snapshot, &[delete_from_segment(3, [0])]);
}

#[test]
fn a_rewrite_yields_to_any_delete_in_what_it_replaces() {
    let rewrite = |segments: Vec<(SegmentId, u64)>, recent: Vec<(RecentId, u64)>| Op::Rewrite {
        table: SALES,
        remove_segments: segments,
        remove_recent: recent,
        add: vec![segment(3)],
    };
    let snapshot = commit(&with_rows(), &[delete_from_segment(1, [0]), delete_from_recent(1, [0])]);
    assert_eq!(conflict(&snapshot, rewrite(vec![(SegmentId(1), 0)], vec![])), rows_changed());
    assert_eq!(conflict(&snapshot, rewrite(vec![], vec![(RecentId(1), 0)])), rows_changed());
    assert_eq!(conflict(&snapshot, rewrite(vec![(SegmentId(9), 0)], vec![])), rows_changed());
    commit(&snapshot, &[rewrite(vec![(SegmentId(1), 1)], vec![(RecentId(1), 1)])]);
}

#[test]
fn names_are_taken_once() {
    let snapshot = with_table();
    let name = ObjectName::new("public", "sales");
    assert_eq!(conflict(&snapshot, Op::CreateTable(table(17000, "sales"))), Conflict::NameTaken(name.clone()));
    let dropped = commit(&snapshot, &[Op::DropTable(SALES)]);
    let again = commit(&dropped, &[Op::CreateTable(table(17000, "sales"))]);
    assert_eq!(again.names[&name], ObjectId(17000));
    assert_eq!(conflict(&again, Op::DropTable(SALES)), Conflict::ObjectChanged(SALES));
    let insert = Op::AddRecent { table: SALES, id: RecentId(1), batch: rows(0, 1) };
    assert_eq!(conflict(&again, insert), Conflict::ObjectChanged(SALES));
}

#[test]
fn schemas_are_created_and_dropped_empty() {
    let create = Op::CreateSchema { id: ObjectId(17000), name: "extra".to_string() };
    let snapshot = commit(&with_table(), std::slice::from_ref(&create));
    assert_eq!(conflict(&snapshot, create), Conflict::SchemaTaken("extra".to_string()));
    let drop_public = Op::DropSchema { name: "public".to_string() };
    assert_eq!(conflict(&snapshot, drop_public), Conflict::SchemaChanged("public".to_string()));
    let drop_extra = Op::DropSchema { name: "extra".to_string() };
    let snapshot = commit(&snapshot, std::slice::from_ref(&drop_extra));
    assert_eq!(conflict(&snapshot, drop_extra), Conflict::SchemaChanged("extra".to_string()));
}

#[test]
fn what_a_view_reads_stays() {
    let snapshot = commit(&with_table(), &[Op::CreateView(view(20000, "daily", &[SALES]))]);
    let needed = Conflict::StillNeeded { view: ObjectName::new("public", "daily"), input: SALES };
    assert_eq!(conflict(&snapshot, Op::DropTable(SALES)), needed);
    let both = commit(&snapshot, &[Op::DropView(DAILY), Op::DropTable(SALES)]);
    assert!(both.names.is_empty());
    let orphan = Op::CreateView(view(20000, "daily", &[ObjectId(99)]));
    assert_eq!(conflict(&both, orphan), Conflict::ObjectChanged(ObjectId(99)));
}

#[test]
fn changes_are_kept_from_the_view_on_and_trimmed_by_the_slowest_frontier() {
    let insert = |id: u64| Op::AddRecent { table: SALES, id: RecentId(id), batch: rows(0, 1) };
    let before = commit(&with_table(), &[insert(1)]);
    assert!(before.tables[&SALES].changes_since(CommitSeq(2)).is_none(), "nobody needs changes yet");
    let views = [Op::CreateView(view(20000, "daily", &[SALES])), Op::CreateView(view(20010, "hourly", &[SALES]))];
    let mut snapshot = commit(&before, &views);
    for id in 2..5 {
        snapshot = commit(&snapshot, &[insert(id)]);
    }
    let seqs =
        |snapshot: &Snapshot| snapshot.tables[&SALES].changes.iter().map(|change| change.seq.0).collect::<Vec<_>>();
    assert_eq!(seqs(&snapshot), [4, 5, 6]);
    let snapshot = commit(&snapshot, &[fold(None, 5)]);
    assert_eq!(seqs(&snapshot), [4, 5, 6], "the other view is still being built");
    let hourly = Op::Fold {
        view: ObjectId(20010),
        from: None,
        to: CommitSeq(4),
        replace: false,
        segments: vec![],
        recent: vec![],
    };
    let snapshot = commit(&snapshot, &[hourly]);
    assert_eq!(seqs(&snapshot), [5, 6]);
    assert_eq!(snapshot.commits_behind(&snapshot.views[&DAILY]), Some(1));
    assert_eq!(snapshot.commits_behind(&snapshot.views[&ObjectId(20010)]), Some(2));
    let snapshot = commit(&snapshot, &[Op::DropView(ObjectId(20010))]);
    assert_eq!(seqs(&snapshot), [6]);
    assert!(snapshot.tables[&SALES].changes_since(CommitSeq(4)).is_none(), "trimmed");
    let snapshot = commit(&snapshot, &[Op::DropView(DAILY)]);
    assert_eq!(seqs(&snapshot), [0u64; 0]);
}

#[test]
fn all_operations_of_one_commit_on_a_table_share_a_change() {
    let snapshot = commit(&with_rows(), &[Op::CreateView(view(20000, "daily", &[SALES]))]);
    let ops = [
        Op::AddSegments { table: SALES, segments: vec![segment(3)] },
        delete_from_segment(3, [1]),
        delete_from_recent(1, [2]),
        Op::AddRecent { table: SALES, id: RecentId(2), batch: rows(50, 2) },
    ];
    let snapshot = commit(&snapshot, &ops);
    let changes: Vec<_> = snapshot.tables[&SALES].changes.iter().collect();
    let [change] = changes.as_slice() else { panic!("one change") };
    assert_eq!((change.added_segments.len(), change.dead.len()), (1, 1));
    assert_eq!(change.added_rows, [rows(50, 2)]);
    assert_eq!(change.removed_rows, [rows(0, 4).slice(2, 1)]);
    assert!(change.removes());
    assert_eq!(change.rows(), 10 + 1 + 1 + 2);
}

#[test]
fn a_truncation_removes_all_rows_and_all_earlier_changes() {
    let snapshot = commit(&with_rows(), &[Op::CreateView(view(20000, "daily", &[SALES]))]);
    let snapshot = commit(&snapshot, &[delete_from_segment(1, [1])]);
    let insert = Op::AddRecent { table: SALES, id: RecentId(2), batch: rows(50, 2) };
    let snapshot = commit(&snapshot, &[Op::Truncate { table: SALES }, insert]);
    let version = &snapshot.tables[&SALES];
    assert_eq!(version.rows_live(), 2);
    let changes: Vec<_> = version.changes.iter().collect();
    let [change] = changes.as_slice() else { panic!("one change") };
    assert!(change.truncated && change.dead.is_empty());
    assert_eq!(change.added_rows, [rows(50, 2)]);
}

#[test]
fn compaction_leaves_no_change_behind() {
    let snapshot = commit(&with_rows(), &[Op::CreateView(view(20000, "daily", &[SALES]))]);
    let changed_at = snapshot.tables[&SALES].changed_at;
    let rewrite = Op::Rewrite {
        table: SALES,
        remove_segments: vec![(SegmentId(1), 0), (SegmentId(2), 0)],
        remove_recent: vec![],
        add: vec![segment(3)],
    };
    let after = commit(&snapshot, &[rewrite]);
    assert!(after.tables[&SALES].changes.is_empty());
    assert_eq!(after.tables[&SALES].changed_at, changed_at);
}

#[test]
fn a_fold_that_raced_another_conflicts() {
    let snapshot = commit(&with_table(), &[Op::CreateView(view(20000, "daily", &[SALES]))]);
    let folded = commit(&snapshot, &[fold(None, 2)]);
    assert_eq!(folded.views[&DAILY].frontier, Some(CommitSeq(2)));
    assert_eq!(conflict(&folded, fold(None, 2)), Conflict::StateChanged(DAILY));
    assert_eq!(conflict(&snapshot, fold(None, 1)), Conflict::StateChanged(DAILY), "changes are not kept that far back");
    let dropped = commit(&folded, &[Op::DropState { view: DAILY }]);
    assert_eq!(dropped.views[&DAILY].frontier, None);
    assert_eq!(conflict(&dropped, fold(Some(2), 3)), Conflict::StateChanged(DAILY));
}

#[test]
fn a_renamed_view_keeps_its_state() {
    let snapshot = commit(&with_table(), &[Op::CreateView(view(20000, "daily", &[SALES]))]);
    let snapshot = commit(&snapshot, &[fold(None, 2)]);
    let renamed = commit(&snapshot, &[Op::AlterView(view(20000, "by_day", &[SALES]))]);
    assert_eq!(renamed.views[&DAILY].frontier, Some(CommitSeq(2)));
    assert!(renamed.relation(&ObjectName::new("public", "daily")).is_none());
    assert!(renamed.relation(&ObjectName::new("public", "by_day")).is_some());
}

#[test]
fn a_backlog_over_its_cap_costs_the_late_views_their_state() {
    let snapshot = commit(&with_table(), &[Op::CreateView(view(20000, "daily", &[SALES]))]);
    let mut snapshot = commit(&snapshot, &[fold(None, 2)]);
    let version = (*snapshot.tables[&SALES]).clone();
    let filled = (0..CHANGES_MAX as u64)
        .map(|seq| Arc::new(TableChange { seq: CommitSeq(4 + seq), ..TableChange::default() }))
        .collect();
    let version = TableVersion { changes: filled, ..version };
    Arc::make_mut(&mut snapshot.tables).insert(SALES, Arc::new(version));
    snapshot.seq = CommitSeq(4 + CHANGES_MAX as u64);
    let after = commit(&snapshot, &[Op::AddRecent { table: SALES, id: RecentId(1), batch: rows(0, 1) }]);
    assert_eq!(after.views[&DAILY].frontier, None);
    // No view holds them any more, so only what a build may need stays.
    assert_eq!(after.tables[&SALES].changes.len(), BUILD_CHANGES_MAX);
    assert_eq!(after.tables[&SALES].changes_from, Some(CommitSeq(4 + (CHANGES_MAX - BUILD_CHANGES_MAX) as u64)));
}

#[test]
fn time_and_ids_never_go_back() {
    let snapshot = with_table();
    let after = snapshot.apply(CommitSeq(2), -5, &[Op::CreateTable(table(30_000, "late"))]).unwrap();
    assert_eq!(after.at_micros, snapshot.at_micros);
    assert_eq!(after.next_object, ObjectId(30_001));
    let dropped = commit(&after, &[Op::DropTable(ObjectId(30_000))]);
    assert_eq!(dropped.next_object, ObjectId(30_001));
}

#[test]
fn a_sequence_that_was_altered_takes_no_numbers_of_its_version_before() {
    let snapshot = commit(&Snapshot::empty(), &[Op::CreateSequence(sequence(17000, "s"))]);
    let id = ObjectId(17000);
    let reserve =
        |version, last| Op::SetSequence { sequence: id, version, value: SequenceValue { last, called: true } };
    let snapshot = commit(&snapshot, &[reserve(1, 33)]);
    let altered = SequenceDefinition { increment: 5, version: 2, ..(*sequence(17000, "s")).clone() };
    let alter = Op::AlterSequence { definition: Arc::new(altered), value: None };
    let snapshot = commit(&snapshot, std::slice::from_ref(&alter));
    assert_eq!(snapshot.sequences[&id].value, SequenceValue { last: 33, called: true });
    let refused = |op: Op| snapshot.apply(snapshot.seq.next(), 0, &[op]).unwrap_err();
    assert_eq!(refused(reserve(1, 66)), Conflict::ObjectChanged(id));
    assert_eq!(refused(alter), Conflict::ObjectChanged(id));
    assert_eq!(refused(Op::CreateTable(table(17001, "s"))), Conflict::NameTaken(ObjectName::new("public", "s")));
    let dropped = commit(&snapshot, &[Op::DropSequence(id)]);
    assert!(dropped.names.is_empty() && dropped.sequences.is_empty());
}

fn altered(snapshot: &Snapshot, change: impl FnOnce(&mut TableDefinition)) -> Op {
    let mut next = TableDefinition::clone(&snapshot.tables[&SALES].definition);
    next.version += 1;
    change(&mut next);
    Op::AlterTable(Arc::new(next))
}

fn expect(relation: ObjectId, that: Expectation) -> Op {
    Op::Expect { relation, that }
}

#[test]
fn a_table_changes_one_version_at_a_time() {
    let snapshot = with_rows();
    let rename = altered(&snapshot, |next| next.name.name = "facts".to_string());
    let after = commit(&snapshot, std::slice::from_ref(&rename));
    assert_eq!(after.tables[&SALES].rows_live(), snapshot.tables[&SALES].rows_live());
    assert_eq!(after.names.keys().map(|name| name.name.as_str()).collect::<Vec<_>>(), ["facts"]);
    let changed = conflict(&after, rename);
    assert_eq!(changed, Conflict::ObjectChanged(SALES));
    let named = changed.named(&after).to_string();
    assert_eq!(named, "table \"facts\" was dropped or altered by a concurrent commit");
    let other = commit(&after, &[Op::CreateTable(table(16500, "other"))]);
    let taken = altered(&other, |next| next.name.name = "other".to_string());
    assert!(matches!(conflict(&other, taken), Conflict::NameTaken(_)));
}

#[test]
fn rows_of_an_older_definition_fit_until_one_says_otherwise() {
    let snapshot = with_rows();
    let insert = [expect(SALES, Expectation::RowsFit(1)), Op::AddSegments { table: SALES, segments: vec![segment(9)] }];
    let renamed = commit(&snapshot, &[altered(&snapshot, |next| next.columns[1].name = "zone".to_string())]);
    commit(&renamed, &insert);
    let stricter = commit(&renamed, &[altered(&renamed, |next| next.rows_fit_from = next.version)]);
    let refused = stricter.apply(stricter.seq.next(), 0, &insert);
    assert_eq!(refused.expect_err("the rows may not fit"), Conflict::ObjectChanged(SALES));
    commit(&stricter, &[expect(SALES, Expectation::RowsFit(3))]);
}

#[test]
fn what_a_draft_relies_on_is_checked_when_it_is_applied() {
    let snapshot = commit(&with_rows(), &[Op::CreateView(view(DAILY.0, "daily", &[SALES]))]);
    let at = snapshot.tables[&SALES].changed_at;
    commit(&snapshot, &[expect(SALES, Expectation::Unchanged(at)), expect(DAILY, Expectation::Version(0))]);
    commit(&snapshot, &[expect(SALES, Expectation::Dependents(vec![DAILY]))]);
    for that in [Expectation::Dependents(vec![]), Expectation::Version(2)] {
        assert_eq!(conflict(&snapshot, expect(SALES, that)), Conflict::ObjectChanged(SALES));
    }
    let after = commit(&snapshot, &[delete_from_segment(1, [1])]);
    let table = after.tables[&SALES].definition.name.name.clone();
    assert_eq!(conflict(&after, expect(SALES, Expectation::Unchanged(at))), Conflict::ReadChanged { table });
    assert_eq!(conflict(&after, expect(ObjectId(7), Expectation::Version(1))), Conflict::ObjectChanged(ObjectId(7)));
}

#[test]
fn a_view_keeps_its_state_with_its_hidden_table() {
    let definition = view(DAILY.0, "daily", &[SALES]);
    let snapshot = commit(&with_rows(), &[Op::CreateView(Arc::clone(&definition))]);
    let built = commit(&snapshot, &[fold(None, snapshot.seq.0)]);
    let next = ViewDefinition { version: 1, query: "SELECT 2".to_string(), ..ViewDefinition::clone(&definition) };
    let kept = commit(&built, &[Op::AlterView(Arc::new(next.clone()))]);
    assert_eq!(kept.views[&DAILY].frontier, Some(snapshot.seq));
    assert_eq!(conflict(&kept, Op::AlterView(Arc::new(next.clone()))), Conflict::ObjectChanged(DAILY));
    let state = next.state.clone().map(|state| TableDefinition { id: ObjectId(30000), ..state });
    let begun = commit(&kept, &[Op::AlterView(Arc::new(ViewDefinition { version: 2, state, ..next }))]);
    assert_eq!(begun.views[&DAILY].frontier, None);
    assert_eq!(begun.views[&DAILY].state.as_ref().map(|state| state.definition.id), Some(ObjectId(30000)));
    assert!(begun.next_object > ObjectId(30000));
}

#[test]
fn a_domain_changes_with_all_that_has_it() {
    let base = domain(16500, "positive", &enum_type(16490, "mood"));
    let base = with_base(&base, SqlType::Int4);
    let table = |id: u32, version: u32, of: &TypeDefinition| {
        let column = Column { domain: of.domain_use(), ..Column::new(ColumnId(1), "n", of.sql_type()) };
        let name = ObjectName::new("public", format!("t{id}"));
        Arc::new(TableDefinition { version, ..TableDefinition::new(ObjectId(id), name, vec![column]) })
    };
    let snapshot = commit(&with_table(), &[Op::CreateType(Arc::clone(&base)), Op::CreateTable(table(16600, 1, &base))]);
    let next = Arc::new(TypeDefinition { version: 2, ..TypeDefinition::clone(&base) });
    let changed = Conflict::ObjectChanged(base.id);
    assert_eq!(conflict(&snapshot, Op::AlterType(Arc::clone(&next))), changed);
    let after = commit(&snapshot, &[Op::AlterTable(table(16600, 2, &next)), Op::AlterType(Arc::clone(&next))]);
    assert_eq!(conflict(&after, Op::CreateTable(table(16700, 1, &base))), changed);
    assert_eq!(conflict(&after, Op::AlterTable(table(16600, 3, &base))), changed);
    commit(&after, &[Op::CreateTable(table(16700, 1, &next))]);
    assert_eq!(conflict(&after, Op::DropType(base.id)), changed);
    let above = domain(16800, "small", &next);
    let with_two = commit(&after, &[Op::DropTable(ObjectId(16600)), Op::CreateType(above)]);
    assert_eq!(conflict(&with_two, Op::DropType(base.id)), changed);
    commit(&with_two, &[Op::DropType(ObjectId(16800)), Op::DropType(base.id)]);
}

fn with_base(known: &TypeDefinition, sql_type: SqlType) -> Arc<TypeDefinition> {
    let domain = known.domain().expect("a domain").clone();
    Arc::new(TypeDefinition { kind: TypeKind::Domain(DomainDefinition { sql_type, ..domain }), ..known.clone() })
}
