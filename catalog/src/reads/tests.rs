//! Tests of regions and of the window: what counts as changed, what does not, and that forgetting is never silent.

use super::*;
use crate::definition::{ObjectName, PartitionColumn};
use crate::ids::{RecentId, SegmentId};
use crate::samples::{column, commit, dead};
use crate::sql_type::SqlType;
use arrow::array::{Date32Array, StringViewArray};

const TABLE: ObjectId = ObjectId(16384);
const REGION: ColumnId = ColumnId(1);
const SOLD_ON: ColumnId = ColumnId(2);
const MARCH: i64 = 20_148;

fn sales() -> Arc<TableDefinition> {
    let columns = vec![column(1, "region", SqlType::Text), column(2, "sold_on", SqlType::Date)];
    let partition_by = vec![
        PartitionColumn { column: REGION, transform: Transform::Identity },
        PartitionColumn { column: SOLD_ON, transform: Transform::Month },
    ];
    Arc::new(TableDefinition {
        partition_by,
        ..TableDefinition::new(TABLE, ObjectName::new("public", "sales"), columns)
    })
}

fn start() -> (ReadWindow, Arc<Snapshot>) {
    let head = Arc::new(commit(&Snapshot::empty(), &[Op::CreateTable(sales())]));
    (ReadWindow::new(head.seq), head)
}

fn batch(rows: &[(&str, i64)]) -> RecordBatch {
    let regions: StringViewArray = rows.iter().map(|(region, _)| Some(*region)).collect();
    let days: Date32Array = rows.iter().map(|(_, day)| Some(*day as i32)).collect();
    RecordBatch::try_new(sales().schema(), vec![Arc::new(regions), Arc::new(days)]).unwrap()
}

fn add_rows(id: u64, rows: &[(&str, i64)]) -> Op {
    Op::AddRecent { table: TABLE, id: RecentId(id), batch: batch(rows) }
}

fn segment(id: u128, region: &str, days: (i64, i64)) -> Arc<SegmentMeta> {
    let bounds = |column, low, high| ColumnStatistics { column, null_count: 0, bounds: Some((low, high)) };
    Arc::new(SegmentMeta {
        id: SegmentId(id),
        partition: PartitionKey(vec![Datum::Text(region.into()), Datum::Text("2025-03".into())]),
        path: format!("{id}.parquet"),
        rows: 10,
        bytes: 100,
        checksum: 0,
        statistics: vec![bounds(SOLD_ON, Datum::Int(days.0), Datum::Int(days.1))],
    })
}

fn commit_next(window: &mut ReadWindow, head: &mut Arc<Snapshot>, ops: &[Op]) {
    let next = Arc::new(commit(head, ops));
    window.push(next.seq, head, ops);
    *head = next;
}

fn text(value: &str) -> ColumnValues {
    ColumnValues { column: REGION, ranges: vec![ValueRange::point(Datum::Text(value.into()))] }
}

fn days(low: Bound<i64>, high: Bound<i64>) -> ColumnValues {
    let range = ValueRange { low: low.map(Datum::Int), high: high.map(Datum::Int) };
    ColumnValues { column: SOLD_ON, ranges: vec![range] }
}

/// What a reader of one region meets at commit.
fn check(
    window: &ReadWindow,
    head: &Snapshot,
    read: &Arc<Snapshot>,
    region: Vec<ColumnValues>,
) -> Result<(), Conflict> {
    window.check(head, &[ReadRegions { table: TABLE, read: Arc::clone(read), regions: vec![Region(region)] }])
}

fn changed() -> Result<(), Conflict> {
    Err(Conflict::ReadChanged { table: "sales".to_string() })
}

#[test]
fn rows_of_other_partitions_are_no_conflict() {
    let (mut window, mut head) = start();
    let read = Arc::clone(&head);
    commit_next(&mut window, &mut head, &[add_rows(1, &[("AMER", MARCH), ("EMEA", MARCH + 40)])]);
    let march = || days(Bound::Included(MARCH), Bound::Excluded(MARCH + 31));
    assert_eq!(check(&window, &head, &read, vec![text("EMEA"), march()]), Ok(()), "neither row is both");
    assert_eq!(check(&window, &head, &read, vec![text("APAC")]), Ok(()));
    assert_eq!(check(&window, &head, &read, vec![text("EMEA")]), changed());
    assert_eq!(check(&window, &head, &read, vec![march()]), changed());
    assert_eq!(check(&window, &head, &head, vec![march()]), Ok(()), "who read later has seen it");
    assert_eq!(check(&window, &head, &read, vec![ColumnValues { column: REGION, ranges: Vec::new() }]), Ok(()));
}

#[test]
fn segments_count_by_their_key_and_bounds() {
    let (mut window, mut head) = start();
    let read = Arc::clone(&head);
    let added = Op::AddSegments { table: TABLE, segments: vec![segment(7, "EMEA", (MARCH + 4, MARCH + 9))] };
    commit_next(&mut window, &mut head, &[added]);
    let between = |low, high| vec![text("EMEA"), days(low, high)];
    assert_eq!(check(&window, &head, &read, vec![text("AMER")]), Ok(()));
    assert_eq!(check(&window, &head, &read, between(Bound::Unbounded, Bound::Excluded(MARCH + 4))), Ok(()));
    assert_eq!(check(&window, &head, &read, between(Bound::Excluded(MARCH + 9), Bound::Unbounded)), Ok(()));
    assert_eq!(check(&window, &head, &read, between(Bound::Included(MARCH + 9), Bound::Unbounded)), changed());
    assert_eq!(check(&window, &head, &read, between(Bound::Unbounded, Bound::Included(MARCH + 4))), changed());
}

#[test]
fn deleted_rows_count_and_rewritten_ones_do_not() {
    let (mut window, mut head) = start();
    let segments = vec![segment(7, "EMEA", (MARCH, MARCH + 5))];
    let rows = add_rows(1, &[("AMER", MARCH), ("APAC", MARCH)]);
    commit_next(&mut window, &mut head, &[Op::AddSegments { table: TABLE, segments }, rows]);
    let read = Arc::clone(&head);
    let rewrite = Op::Rewrite {
        table: TABLE,
        remove_segments: vec![(SegmentId(7), 0)],
        remove_recent: Vec::new(),
        add: vec![segment(8, "EMEA", (MARCH, MARCH + 5))],
    };
    commit_next(&mut window, &mut head, &[rewrite]);
    assert_eq!(check(&window, &head, &read, vec![text("EMEA")]), Ok(()));
    let delete = Op::Delete { table: TABLE, segments: Vec::new(), recent: vec![(RecentId(1), dead([1]))] };
    commit_next(&mut window, &mut head, &[delete]);
    assert_eq!(check(&window, &head, &read, vec![text("AMER")]), Ok(()));
    assert_eq!(check(&window, &head, &read, vec![text("APAC")]), changed());
    let delete = Op::Delete { table: TABLE, segments: vec![(SegmentId(8), dead([3]))], recent: Vec::new() };
    commit_next(&mut window, &mut head, &[delete]);
    assert_eq!(check(&window, &head, &read, vec![text("EMEA")]), changed());
    assert_eq!(check(&window, &head, &read, vec![text("AMER")]), Ok(()));
}

#[test]
fn truncation_and_a_new_definition_change_everything() {
    let altered = Op::AlterTable(Arc::new(TableDefinition { version: 2, ..(*sales()).clone() }));
    for op in [Op::Truncate { table: TABLE }, altered] {
        let (mut window, mut head) = start();
        let read = Arc::clone(&head);
        commit_next(&mut window, &mut head, &[op]);
        assert_eq!(check(&window, &head, &read, vec![text("EMEA")]), changed());
    }
    let (mut window, mut head) = start();
    let read = Arc::clone(&head);
    commit_next(&mut window, &mut head, &[Op::DropTable(TABLE)]);
    assert_eq!(check(&window, &head, &read, vec![text("EMEA")]), Err(Conflict::ObjectChanged(TABLE)));
}

#[test]
fn readers_from_before_what_was_forgotten_conflict() {
    let (mut window, mut head) = start();
    window.bytes_max = CHANGE_BYTES;
    let read = Arc::clone(&head);
    let add = |id| Op::AddSegments { table: TABLE, segments: vec![segment(id, "AMER", (MARCH, MARCH))] };
    commit_next(&mut window, &mut head, &[add(1)]);
    let between = Arc::clone(&head);
    assert_eq!(check(&window, &head, &read, vec![text("EMEA")]), Ok(()));
    commit_next(&mut window, &mut head, &[add(2)]);
    assert_eq!(check(&window, &head, &read, vec![text("EMEA")]), changed(), "the first commit's changes are lost");
    assert_eq!(check(&window, &head, &between, vec![text("EMEA")]), Ok(()));
    window.forget(head.seq);
    assert_eq!((window.changes.len(), window.bytes, window.forgotten.len()), (0, 0, 0));
    assert_eq!(check(&window, &head, &between, vec![text("EMEA")]), changed(), "nobody was thought to hold it");
}

#[test]
fn what_did_not_become_durable_changed_nothing() {
    let (mut window, head) = start();
    let op = add_rows(1, &[("EMEA", MARCH)]);
    let next = commit(&head, std::slice::from_ref(&op));
    window.push(next.seq, &head, &[op]);
    assert_eq!(check(&window, &next, &head, vec![text("EMEA")]), changed());
    window.roll_back(head.seq);
    assert_eq!(check(&window, &next, &head, vec![text("EMEA")]), Ok(()));
    assert_eq!(window.bytes, 0);
}
