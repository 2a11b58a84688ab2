//! Samples: small tables, rows, segments and random histories for the tests of this crate.

use crate::definition::{
    BoundExpression, Column, ObjectName, PartitionColumn, TableDefinition, Transform, ViewDefinition,
};
use crate::draft::Op;
use crate::enum_type::EnumType;
use crate::ids::{ColumnId, CommitSeq, ObjectId, RecentId, SegmentId};
use crate::loads::LoadRecord;
use crate::missing::MissingValue;
use crate::segment::{ColumnStatistics, Datum, DeletionVector, PartitionKey, SegmentMeta};
use crate::sequence::{SequenceDefinition, SequenceValue};
use crate::snapshot::{Snapshot, TableVersion};
use crate::sql_type::SqlType;
use crate::user_type::{DomainCheck, DomainDefinition, TypeDefinition, TypeKind};
use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringViewArray};
use proptest::prelude::*;
use std::sync::Arc;

pub(crate) const ROWS: u32 = 10;

/// What FORMAT.md has in the fenced block of this kind and name: the bytes before the words of each line, or the text.
pub(crate) fn format_block(kind: &str, name: &str) -> Vec<u8> {
    let page = include_str!("../FORMAT.md");
    let (_, block) = page.split_once(&format!("```{kind} {name}\n")).expect("the page has the block");
    let (block, _) = block.split_once("```").expect("the block ends");
    if kind == "text" {
        return block.as_bytes().to_vec();
    }
    let digits: String = block.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

pub(crate) fn column(id: i32, name: &str, sql_type: SqlType) -> Column {
    Column { not_null: id == 1, ..Column::new(ColumnId(id), name, sql_type) }
}

pub(crate) fn table(id: u32, name: &str) -> Arc<TableDefinition> {
    let columns = vec![
        column(1, "number", SqlType::Int8),
        column(2, "region", SqlType::Text),
        column(3, "sold_on", SqlType::Date),
    ];
    Arc::new(TableDefinition {
        partition_by: vec![PartitionColumn { column: ColumnId(3), transform: Transform::Month }],
        order_by: vec![ColumnId(3)],
        ..TableDefinition::new(ObjectId(id), ObjectName::new("public", name), columns)
    })
}

pub(crate) fn view(id: u32, name: &str, inputs: &[ObjectId]) -> Arc<ViewDefinition> {
    let state = TableDefinition { state_of: Some(ObjectId(id)), ..(*table(id + 1, "state")).clone() };
    Arc::new(ViewDefinition {
        id: ObjectId(id),
        name: ObjectName::new("public", name),
        query: "SELECT region, count(*) FROM public.sales GROUP BY region".to_string(),
        time_zone: "UTC".to_string(),
        columns: vec![column(1, "region", SqlType::Text), column(2, "count", SqlType::Int8)],
        inputs: inputs.to_vec(),
        state: Some(state),
        populated: true,
        version: 0,
    })
}

/// Rows whose text is longer than what a view array keeps inline.
pub(crate) fn rows(first: i64, count: usize) -> RecordBatch {
    let numbers: Int64Array = (first..first + count as i64).map(Some).collect();
    let regions: StringViewArray = (0..count)
        .map(|row| (row % 3 != 2).then(|| format!("a region with a long name, {}", first + row as i64)))
        .collect();
    let dates: Date32Array = (0..count).map(|row| Some(20_000 + row as i32)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(regions), Arc::new(dates)];
    RecordBatch::try_new(table(1, "t").schema(), columns).unwrap()
}

pub(crate) fn segment(id: u128) -> Arc<SegmentMeta> {
    Arc::new(SegmentMeta {
        id: SegmentId(id),
        partition: PartitionKey(vec![Datum::Text("2025-03".to_string())]),
        path: format!("segments/sales/sold_on_month=2025-03/{id:032x}.parquet"),
        rows: ROWS,
        bytes: 100 + id as u64 % 7,
        checksum: id as u32,
        statistics: vec![ColumnStatistics {
            column: ColumnId(1),
            null_count: 0,
            bounds: Some((Datum::Int(1), Datum::Int(10))),
        }],
    })
}

pub(crate) fn dead(positions: impl IntoIterator<Item = u32>) -> Arc<DeletionVector> {
    Arc::new(DeletionVector(positions.into_iter().collect()))
}

/// Applies operations as the next commit.
pub(crate) fn commit(snapshot: &Snapshot, ops: &[Op]) -> Snapshot {
    snapshot.apply(snapshot.seq.next(), snapshot.at_micros + 1, ops).expect("the sample fits")
}

/// A snapshot with one table, 16384, that nothing was written to.
pub(crate) fn with_table() -> Snapshot {
    commit(&Snapshot::empty(), &[Op::CreateTable(table(16384, "sales"))])
}

pub(crate) fn sequence(id: u32, name: &str) -> Arc<SequenceDefinition> {
    Arc::new(SequenceDefinition {
        id: ObjectId(id),
        name: ObjectName::new("public", name),
        sql_type: SqlType::Int8,
        start: 1,
        increment: 1,
        min: 1,
        max: i64::MAX,
        cache: 1,
        cycle: false,
        owner: None,
        version: 1,
    })
}

/// One of the operations on sequences.
fn of_sequence(snapshot: &Snapshot, step: Step) -> Op {
    let next = snapshot.next_object.0;
    let Some((id, known)) = pick(snapshot.sequences.iter(), step.first) else {
        return Op::CreateSequence(sequence(next, &format!("sequence_{next}")));
    };
    let value = SequenceValue { last: i64::from(step.second), called: step.second.is_multiple_of(2) };
    let version = known.definition.version;
    match step.second % 5 {
        0 => Op::CreateSequence(sequence(next, &format!("sequence_{next}"))),
        1 => Op::DropSequence(*id),
        2 => {
            let name = ObjectName::new("public", format!("renamed_{next}_{}", snapshot.seq));
            let definition = SequenceDefinition { name, version: version + 1, ..(*known.definition).clone() };
            Op::AlterSequence { definition: Arc::new(definition), value: value.called.then_some(value) }
        }
        _ => Op::SetSequence { sequence: *id, version, value },
    }
}

/// A type of two labels.
pub(crate) fn enum_type(id: u32, name: &str) -> Arc<TypeDefinition> {
    let labels = EnumType::declared([(ObjectId(id + 2), "low".to_string()), (ObjectId(id + 3), "high".to_string())]);
    Arc::new(TypeDefinition {
        id: ObjectId(id),
        array: ObjectId(id + 1),
        name: ObjectName::new("public", name),
        version: 1,
        kind: TypeKind::Enum { labels },
    })
}

/// A domain over another.
pub(crate) fn domain(id: u32, name: &str, over: &TypeDefinition) -> Arc<TypeDefinition> {
    let check = DomainCheck {
        id: ObjectId(id + 2),
        name: format!("{name}_check"),
        expression: BoundExpression { text: "VALUE > 0".into(), time_zone: "UTC".into() },
        not_valid: true,
    };
    let kind = TypeKind::Domain(DomainDefinition {
        sql_type: over.sql_type(),
        digits: Some(3),
        over: over.domain_use(),
        not_null: true,
        default: Some("1".into()),
        checks: vec![check],
    });
    let name = ObjectName::new("public", name);
    Arc::new(TypeDefinition { id: ObjectId(id), array: ObjectId(id + 1), name, version: 1, kind })
}

/// One of the operations on types.
fn of_type(snapshot: &Snapshot, step: Step) -> Op {
    let next = snapshot.next_object.0;
    match (pick(snapshot.types.iter(), step.first), step.second % 3) {
        (Some((id, _)), 0) => Op::DropType(*id),
        (Some((_, known)), 1) => {
            let name = ObjectName::new("public", format!("renamed_{next}_{}", snapshot.seq));
            Op::AlterType(Arc::new(TypeDefinition { name, version: known.version + 1, ..(**known).clone() }))
        }
        _ => Op::CreateType(enum_type(next, &format!("type_{next}"))),
    }
}

/// What a random history does next, as dice that are read against the snapshot of the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    kind: u8,
    first: u32,
    second: u32,
}

pub(crate) fn steps(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..33, any::<u32>(), any::<u32>()).prop_map(|(kind, first, second)| Step { kind, first, second });
    prop::collection::vec(step, 1..length)
}

/// The operations of one commit that fits `snapshot`, most of the time.
pub(crate) fn ops_of(snapshot: &Snapshot, step: Step) -> Vec<Op> {
    let Some((_, table)) = pick(snapshot.tables.iter(), step.first) else {
        return vec![Op::CreateTable(self::table(snapshot.next_object.0, "first"))];
    };
    let id = table.definition.id;
    let new_segment = segment(u128::from(snapshot.seq.0) * 10 + 1);
    let add_recent = |extra: u64| Op::AddRecent {
        table: id,
        id: RecentId(snapshot.next_recent.0 + extra),
        batch: rows(i64::from(step.second % 100), 1 + step.second as usize % 5),
    };
    match step.kind {
        0 => vec![Op::CreateTable(self::table(snapshot.next_object.0, &format!("table_{}", snapshot.next_object)))],
        1 => vec![Op::DropTable(id)],
        2..5 => vec![Op::AddSegments { table: id, segments: vec![new_segment] }],
        5..8 => vec![add_recent(0)],
        8 => vec![
            add_recent(1),
            Op::AddSegments { table: id, segments: vec![new_segment] },
            add_recent(0),
            load_into(id, step.first, step.second),
        ],
        9..12 => vec![delete(table, step)],
        12 => vec![Op::Truncate { table: id }, Op::ForgetLoads { table: id, label: None }, add_recent(0)],
        13 => vec![add_recent(0), Op::Truncate { table: id }],
        14..16 => vec![rewrite(table, step, new_segment)],
        16 => {
            let name = format!("view_{}", snapshot.next_object);
            vec![Op::CreateView(view(snapshot.next_object.0, &name, &[id]))]
        }
        24..28 => vec![of_sequence(snapshot, step)],
        32.. => vec![of_type(snapshot, step)],
        17 => vec![Op::CreateSchema { id: snapshot.next_object, name: format!("schema_{}", snapshot.next_object) }],
        28..31 => vec![alter(table, step)],
        31 => vec![Op::Forget { before_micros: snapshot.at_micros - i64::from(step.second % 20) }],
        18 => pick(snapshot.schemas.keys(), step.second)
            .map(|name| Op::DropSchema { name: name.clone() })
            .into_iter()
            .collect(),
        kind => view_ops(snapshot, kind, step, new_segment),
    }
}

fn view_ops(snapshot: &Snapshot, kind: u8, step: Step, new_segment: Arc<SegmentMeta>) -> Vec<Op> {
    let Some((id, view)) = pick(snapshot.views.iter(), step.second) else { return Vec::new() };
    match kind {
        19 => vec![Op::DropView(*id)],
        20 => vec![Op::DropState { view: *id }],
        21 => {
            let name = ObjectName::new("public", format!("renamed_{}", snapshot.seq));
            let version = view.definition.version + 1;
            vec![Op::AlterView(Arc::new(ViewDefinition { name, version, ..(*view.definition).clone() }))]
        }
        _ => {
            let lag = u64::from(step.first % 3);
            let to = CommitSeq(snapshot.seq.0.saturating_sub(lag)).max(view.frontier.unwrap_or_default());
            let recent = vec![(snapshot.next_recent, rows(1, 2))];
            let replace = step.first.is_multiple_of(5);
            vec![Op::Fold { view: *id, from: view.frontier, to, replace, segments: vec![new_segment], recent }]
        }
    }
}

/// A load whose label may be taken.
pub(crate) fn load(first: u32, second: u32) -> Op {
    Op::RecordLoad(Arc::new(load_record(first, second)))
}

/// The same, into a table.
pub(crate) fn load_into(table: ObjectId, first: u32, second: u32) -> Op {
    Op::RecordLoad(Arc::new(LoadRecord { table_id: Some(table), ..load_record(first, second) }))
}

fn load_record(first: u32, second: u32) -> LoadRecord {
    LoadRecord {
        label: first.is_multiple_of(2).then(|| format!("load {}", first % 7)),
        user: "meridian".to_string(),
        schema: "public".to_string(),
        table: "sales".to_string(),
        table_id: None,
        rows: u64::from(second),
        rejected: 0,
        bytes: 100,
        digest: None,
        micros: 1,
        segments: 1,
        at_micros: 1,
    }
}

/// A column that comes, one that goes, or another name.
fn alter(table: &TableVersion, step: Step) -> Op {
    let before = &*table.definition;
    let mut next = TableDefinition { version: before.version + 1, ..before.clone() };
    match step.kind {
        28 => {
            let mut added = Column::new(next.next_column(), format!("c{}", next.next_column().0), SqlType::Int8);
            added.missing = MissingValue::new(Arc::new(Int64Array::from(vec![i64::from(step.second)])));
            next.columns.push(added);
        }
        29 if next.columns.len() > 3 => {
            let dropped = next.columns.remove(3 + step.second as usize % (next.columns.len() - 3));
            next.last_dropped = next.last_dropped.max(Some(dropped.id));
        }
        _ => next.name.name = format!("renamed_{}_{}", before.id, before.version),
    }
    Op::AlterTable(Arc::new(next))
}

fn delete(table: &TableVersion, step: Step) -> Op {
    let alive = |deleted: &Option<Arc<DeletionVector>>, rows: u32| {
        let gone = |row: &u32| deleted.as_ref().is_some_and(|deleted| deleted.0.contains(*row));
        dead((0..rows).filter(|row| !gone(row) && (step.second >> (row % 16)) & 1 == 1))
    };
    let segments = pick(table.segments.values(), step.second)
        .map(|segment| (segment.meta.id, alive(&segment.deleted, segment.meta.rows)));
    let recent = pick(table.recent.iter().collect::<Vec<_>>().into_iter(), step.second)
        .map(|recent| (recent.id, alive(&recent.deleted, recent.batch.num_rows() as u32)));
    Op::Delete {
        table: table.definition.id,
        segments: segments.into_iter().collect(),
        recent: recent.into_iter().collect(),
    }
}

fn rewrite(table: &TableVersion, step: Step, add: Arc<SegmentMeta>) -> Op {
    let dead_rows = |deleted: &Option<Arc<DeletionVector>>| deleted.as_ref().map_or(0, |deleted| deleted.len());
    let chosen = |position: usize| (step.second >> (position % 32)) & 1 == 1;
    let segments = table.segments.values().enumerate().filter(|(position, _)| chosen(*position));
    let recent = table.recent.iter().enumerate().filter(|(position, _)| chosen(*position));
    Op::Rewrite {
        table: table.definition.id,
        remove_segments: segments.map(|(_, segment)| (segment.meta.id, dead_rows(&segment.deleted))).collect(),
        remove_recent: recent.map(|(_, recent)| (recent.id, dead_rows(&recent.deleted))).collect(),
        add: vec![add],
    }
}

fn pick<T>(mut items: impl ExactSizeIterator<Item = T>, dice: u32) -> Option<T> {
    let count = items.len();
    if count == 0 { None } else { items.nth(dice as usize % count) }
}
