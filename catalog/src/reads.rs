//! Reads at commit: whether a serializable transaction has read rows that a commit changed which it did not see.
//!
//! A read that asks for some partitions of a table leaves a *region*: the values that it asked of partition columns, not the
//! partitions that it found, so that a partition counts that was not there yet. The committer looks whether what others changed
//! since lies in it:
//!
//!     snapshot 7 ──read──▶ region EMEA, 2025-03 ──▶ committer: commits 8, 9, … changed rows of it?  ──▶ Conflict::ReadChanged
//!
//! What a commit added inline is compared row by row, what it added or deleted in a segment by what the segment knows of its columns.
//! That says "changed" too often at worst. Compaction changes nothing. Only tables with partition columns are
//! followed: every other read is one of the whole table, which is [`Expectation::Unchanged`](crate::draft::Expectation::Unchanged).
//!
//! As with `keys`, changes of a commit are kept while a snapshot before it is alive, up to [`WINDOW_BYTES_MAX`], and nothing of it is on
//! disk. Readers from before what was forgotten for that limit conflict.

use crate::definition::{TableDefinition, Transform};
use crate::draft::{Conflict, Op};
use crate::fitting::fitted_columns;
use crate::ids::{ColumnId, CommitSeq, ObjectId};
use crate::segment::{ColumnStatistics, Datum, DeletionVector, PartitionKey, SegmentMeta};
use crate::snapshot::{Snapshot, TableVersion};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use hashbrown::HashMap;
use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// The memory for what commits changed.
const WINDOW_BYTES_MAX: usize = 64 << 20;
/// What a change counts beside its rows.
const CHANGE_BYTES: usize = 1024;
/// How often values may be compared for one draft while all others wait; beyond that its reads count as changed.
const COMPARISONS_MAX: usize = 1 << 20;

/// Values of a column that follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueRange {
    pub low: Bound<Datum>,
    pub high: Bound<Datum>,
}

/// The values that a read asked of one column: any of these ranges, which are in order and apart, and not NULL.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnValues {
    pub column: ColumnId,
    pub ranges: Vec<ValueRange>,
}

/// The rows that a read asked for: those that have wanted values in all of these columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Region(pub Vec<ColumnValues>);

/// What a transaction read of one table, none of which may have changed when it commits.
#[derive(Clone, Debug)]
pub struct ReadRegions {
    pub table: ObjectId,
    /// The committed snapshot that was read.
    pub read: Arc<Snapshot>,
    pub regions: Vec<Region>,
}

impl ValueRange {
    pub fn point(value: Datum) -> Self {
        Self { low: Bound::Included(value.clone()), high: Bound::Included(value) }
    }

    /// Whether all values of the range are less than a value.
    fn ends_before(&self, least: &Datum) -> bool {
        match &self.high {
            Bound::Unbounded => false,
            Bound::Included(high) => order(high, least).is_some_and(Ordering::is_lt),
            Bound::Excluded(high) => order(high, least).is_some_and(Ordering::is_le),
        }
    }

    /// Whether a value between two others, both included, may lie in the range.
    fn meets(&self, least: &Datum, greatest: &Datum) -> bool {
        let above = match &self.low {
            Bound::Unbounded => true,
            Bound::Included(low) => order(greatest, low).is_none_or(Ordering::is_ge),
            Bound::Excluded(low) => order(greatest, low).is_none_or(Ordering::is_gt),
        };
        let below = match &self.high {
            Bound::Unbounded => true,
            Bound::Included(high) => order(least, high).is_none_or(Ordering::is_le),
            Bound::Excluded(high) => order(least, high).is_none_or(Ordering::is_lt),
        };
        above && below
    }
}

/// How two values of a column compare; `None` for values of different kinds, of which nothing is known.
pub fn order(left: &Datum, right: &Datum) -> Option<Ordering> {
    if std::mem::discriminant(left) == std::mem::discriminant(right) { left.partial_cmp(right) } else { None }
}

impl ColumnValues {
    fn meets(&self, least: &Datum, greatest: &Datum) -> bool {
        let first = self.ranges.partition_point(|range| range.ends_before(least));
        self.ranges.get(first).is_some_and(|range| range.meets(least, greatest))
    }

    /// Whether a row of a segment may have one of the values.
    fn may_be_in(&self, definition: &TableDefinition, segment: &SegmentValues) -> bool {
        // Values that are partitions by themselves stand in the partition's key, however long they are.
        let own = definition.partition_by.iter().zip(&segment.partition.0);
        let mut plain = own.filter(|(item, _)| item.column == self.column && item.transform == Transform::Identity);
        if let Some((_, value)) = plain.next() {
            return *value != Datum::Null && self.meets(value, value);
        }
        let known = segment.statistics.iter().find(|known| known.column == self.column);
        match known.map(|known| (known.null_count, &known.bounds)) {
            Some((_, Some((least, greatest)))) => self.meets(least, greatest),
            Some((nulls, None)) => nulls < u64::from(segment.rows),
            None => true,
        }
    }
}

impl Region {
    fn may_be_in(&self, definition: &TableDefinition, segment: &SegmentValues) -> bool {
        self.0.iter().all(|values| values.may_be_in(definition, segment))
    }

    /// Whether a row with these values lies in the region.
    fn has(&self, row: &[(ColumnId, Option<Datum>)]) -> bool {
        self.0.iter().all(|values| {
            let known = row.iter().find(|(column, _)| *column == values.column).and_then(|(_, value)| value.as_ref());
            known.is_none_or(|value| *value != Datum::Null && values.meets(value, value))
        })
    }
}

/// Whether one of these rows lies in one of the regions, or that would take too long to say.
fn have_rows(
    regions: &[Region],
    definition: &TableDefinition,
    (batch, only): (&RecordBatch, Option<&DeletionVector>),
    left: &mut usize,
) -> bool {
    let asked: BTreeSet<ColumnId> = regions.iter().flat_map(|region| &region.0).map(|values| values.column).collect();
    let array = |id: ColumnId| {
        let column = definition.column(id)?;
        Some((id, fitted_columns(batch, std::slice::from_ref(column)).pop()?))
    };
    let Some(arrays) = asked.into_iter().map(array).collect::<Option<Vec<_>>>() else { return true };
    let mut lies_in = |row: usize| {
        *left = left.saturating_sub(regions.len());
        let values: Vec<_> = arrays.iter().map(|(id, array)| (*id, value_at(array, row))).collect();
        *left == 0 || regions.iter().any(|region| region.has(&values))
    };
    match only {
        Some(rows) => rows.0.iter().any(|row| lies_in(row as usize)),
        None => (0..batch.num_rows()).any(lies_in),
    }
}

/// A value of a column as a datum; `None` for types of which partitions are not told apart.
fn value_at(array: &ArrayRef, row: usize) -> Option<Datum> {
    if array.is_null(row) {
        return Some(Datum::Null);
    }
    Some(match array.data_type() {
        DataType::Boolean => Datum::Bool(array.as_boolean().value(row)),
        DataType::Int16 => Datum::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Datum::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Datum::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Date32 => Datum::Int(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Time64(TimeUnit::Microsecond) => Datum::Int(array.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Datum::Int(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Decimal128(..) => Datum::Decimal(array.as_primitive::<Decimal128Type>().value(row)),
        DataType::Utf8View => Datum::Text(array.as_string_view().value(row).to_owned()),
        DataType::BinaryView => Datum::Bytes(array.as_binary_view().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => Datum::Bytes(array.as_fixed_size_binary().value(row).to_vec()),
        _ => return None,
    })
}

/// What a segment says of its partition columns. The segment itself is not held, or its file would be kept for nobody.
struct SegmentValues {
    partition: PartitionKey,
    rows: u32,
    statistics: Vec<ColumnStatistics>,
}

impl SegmentValues {
    fn of(definition: &TableDefinition, segment: &SegmentMeta) -> Self {
        let is_meant = |column: ColumnId| definition.partition_by.iter().any(|item| item.column == column);
        let statistics = segment.statistics.iter().filter(|known| is_meant(known.column)).cloned();
        Self { partition: segment.partition.clone(), rows: segment.rows, statistics: statistics.collect() }
    }
}

/// Rows that a commit added or removed.
enum Changed {
    All,
    Segment(SegmentValues),
    Rows(RecordBatch),
    RowsOf(RecordBatch, Arc<DeletionVector>),
}

impl Changed {
    fn bytes(&self) -> usize {
        match self {
            Self::All | Self::Segment(_) => CHANGE_BYTES,
            Self::Rows(batch) | Self::RowsOf(batch, _) => CHANGE_BYTES + batch.get_array_memory_size(),
        }
    }

    /// Whether a row of the change lies in one of the regions. `left` is how many comparisons there may still be.
    fn meets(&self, definition: &TableDefinition, regions: &[Region], left: &mut usize) -> bool {
        match self {
            Self::All => true,
            Self::Segment(segment) => {
                *left = left.saturating_sub(regions.len());
                *left == 0 || regions.iter().any(|region| region.may_be_in(definition, segment))
            }
            Self::Rows(batch) => have_rows(regions, definition, (batch, None), left),
            Self::RowsOf(batch, rows) => have_rows(regions, definition, (batch, Some(rows)), left),
        }
    }
}

struct CommittedChange {
    seq: CommitSeq,
    definition: Arc<TableDefinition>,
    changed: Changed,
}

/// The changes of the commits that some reader has not seen.
pub(crate) struct ReadWindow {
    changes: VecDeque<CommittedChange>,
    bytes: usize,
    bytes_max: usize,
    /// For each table the last commit whose changes were given up for the limit.
    forgotten: HashMap<ObjectId, CommitSeq>,
    /// Every holder of a snapshot has seen the commits up to this one.
    seen: CommitSeq,
}

impl ReadWindow {
    pub(crate) fn new(published: CommitSeq) -> Self {
        Self {
            changes: VecDeque::new(),
            bytes: 0,
            bytes_max: WINDOW_BYTES_MAX,
            forgotten: HashMap::new(),
            seen: published,
        }
    }

    /// Whether no commit since they were read changed rows of the regions.
    pub(crate) fn check(&self, head: &Snapshot, reads: &[ReadRegions]) -> Result<(), Conflict> {
        let mut left = COMPARISONS_MAX;
        for ReadRegions { table, read, regions } in reads {
            let Some(version) = head.tables.get(table) else { return Err(Conflict::ObjectChanged(*table)) };
            let unseen = |seq: CommitSeq| seq > read.seq;
            if !unseen(version.changed_at) {
                continue;
            }
            let lost = unseen(self.seen) || self.forgotten.get(table).is_some_and(|seq| unseen(*seq));
            let newest_first = self.changes.iter().rev().take_while(|change| unseen(change.seq));
            let mut same = newest_first.filter(|change| change.definition.id == *table);
            let meets = |change: &CommittedChange| change.changed.meets(&change.definition, regions, &mut left);
            if lost || same.any(meets) {
                return Err(Conflict::ReadChanged { table: version.definition.name.name.clone() });
            }
        }
        Ok(())
    }

    /// Takes what a draft changes in the snapshot before it, which became commit `seq`, published or not yet.
    pub(crate) fn push(&mut self, seq: CommitSeq, before: &Snapshot, ops: &[Op]) {
        for op in ops {
            let Some(version) = changed_table(before, op) else { continue };
            for changed in changes_of(version, op) {
                self.bytes += changed.bytes();
                self.changes.push_back(CommittedChange { seq, definition: Arc::clone(&version.definition), changed });
            }
        }
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.pop() else { break };
            self.forgotten.insert(oldest.definition.id, oldest.seq);
        }
    }

    /// Forgets what was pushed after `head`: it never became durable.
    pub(crate) fn roll_back(&mut self, head: CommitSeq) {
        while self.changes.back().is_some_and(|last| last.seq > head) {
            if let Some(undone) = self.changes.pop_back() {
                self.bytes -= undone.changed.bytes();
            }
        }
    }

    /// Forgets the commits up to one that every holder of a snapshot has seen.
    pub(crate) fn forget(&mut self, seen: CommitSeq) {
        self.seen = seen;
        while self.changes.front().is_some_and(|first| first.seq <= seen) {
            self.pop();
        }
        self.forgotten.retain(|_, seq| *seq > seen);
    }

    fn pop(&mut self) -> Option<CommittedChange> {
        let oldest = self.changes.pop_front()?;
        self.bytes -= oldest.changed.bytes();
        Some(oldest)
    }
}

/// The partitioned table whose rows or definition an operation changes. One that the same commit makes was read by nobody.
fn changed_table<'a>(before: &'a Snapshot, op: &Op) -> Option<&'a TableVersion> {
    let id = match op {
        Op::AddSegments { table, .. } | Op::AddRecent { table, .. } | Op::Delete { table, .. } => *table,
        Op::Truncate { table } => *table,
        Op::AlterTable(definition) => definition.id,
        _ => return None,
    };
    before.tables.get(&id).map(Arc::as_ref).filter(|version| !version.definition.partition_by.is_empty())
}

fn changes_of(version: &TableVersion, op: &Op) -> Vec<Changed> {
    let values_of = |meta: &SegmentMeta| Changed::Segment(SegmentValues::of(&version.definition, meta));
    match op {
        Op::AddSegments { segments, .. } => segments.iter().map(|meta| values_of(meta)).collect(),
        Op::AddRecent { batch, .. } => vec![Changed::Rows(batch.clone())],
        Op::Delete { segments, recent, .. } => {
            let of_segment = |id| version.segments.get(id).map(|live| values_of(&live.meta));
            let segments = segments.iter().filter_map(|(id, _)| of_segment(id));
            // What the same commit has added is there as added.
            let recent = recent.iter().filter_map(|(id, rows)| {
                let known = version.recent.iter().find(|recent| recent.id == *id)?;
                Some(Changed::RowsOf(known.batch.clone(), Arc::clone(rows)))
            });
            segments.chain(recent).collect()
        }
        _ => vec![Changed::All],
    }
}

#[cfg(test)]
mod tests;
