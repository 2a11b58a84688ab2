//! What a serializable transaction reads: whole tables, or the regions of partitioned tables that its scans asked for.
//!
//! A plan's source of a table carries a [`TableRead`], which the transaction knows from then on. It is filled in when the
//! plan is run: each scan adds the region of its filters, or makes it a read of the whole table.
//!
//!     resolve(name) ─▶ TableRead ─┬─▶ ScanTable ──scan(filters)──▶ region
//!                                 └─▶ the transaction's Reads ──────▶ at commit: `Expectation::Unchanged`, `ReadRegions`
//!
//! What reads rows in another way, as views by their states and look-ups of keys, notes the whole table. A region is what the filters
//! say of partition columns as constants and whatever they say of others is left out, so it is too large at worst.

use catalog::definition::TableDefinition;
use catalog::ids::{ColumnId, ObjectId};
use catalog::reads::{ColumnValues, Region, ValueRange, order};
use catalog::segment::Datum;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// The most regions of one table that are told apart.
const REGIONS_MAX: usize = 64;
/// The most ranges of one column.
const RANGES_MAX: usize = 256;
/// From so many reads on, those of plans that are gone become regions of their tables.
const READS_MAX: usize = 256;

/// What was read of a table.
#[derive(Clone, Debug, Default)]
pub(crate) enum Extent {
    #[default]
    Nothing,
    Regions(Vec<Region>),
    Whole,
}

impl Extent {
    fn add(&mut self, region: Option<Region>) {
        match (&mut *self, region) {
            (Self::Whole, _) => {}
            (_, None) => *self = Self::Whole,
            (Self::Nothing, Some(region)) => *self = Self::Regions(vec![region]),
            (Self::Regions(known), Some(region)) if known.contains(&region) => {}
            (Self::Regions(known), Some(region)) if known.len() < REGIONS_MAX => known.push(region),
            (Self::Regions(_), Some(_)) => *self = Self::Whole,
        }
    }

    fn join(&mut self, other: Self) {
        match other {
            Self::Nothing => {}
            Self::Regions(regions) => regions.into_iter().for_each(|region| self.add(Some(region))),
            Self::Whole => *self = Self::Whole,
        }
    }
}

/// What the scans of one source of a plan have read.
#[derive(Debug)]
pub(crate) struct TableRead {
    table: ObjectId,
    extent: Mutex<Extent>,
}

impl TableRead {
    /// A scan reads the rows that satisfy all filters.
    pub(crate) fn note_scan(&self, definition: &TableDefinition, filters: &[Expr]) {
        self.extent.lock().add(region_of(definition, filters));
    }
}

/// What the statements of a transaction have read.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    known: BTreeMap<ObjectId, Extent>,
    open: Vec<Arc<TableRead>>,
}

impl Reads {
    /// The rows of a table were read, whichever they are.
    pub(crate) fn note_whole(&mut self, table: ObjectId) {
        self.known.insert(table, Extent::Whole);
    }

    /// A source of a table, of which its scans say what they read.
    pub(crate) fn open(&mut self, table: ObjectId) -> Arc<TableRead> {
        let read = Arc::new(TableRead { table, extent: Mutex::default() });
        self.push(Arc::clone(&read));
        read
    }

    /// What was noted elsewhere, and what its plans will still read.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (table, extent) in &other.known {
            self.known.entry(*table).or_default().join(extent.clone());
        }
        other.open.iter().cloned().for_each(|read| self.push(read));
    }

    /// What has been read of each table by now.
    pub(crate) fn extents(&self) -> BTreeMap<ObjectId, Extent> {
        let mut extents = self.known.clone();
        for read in &self.open {
            extents.entry(read.table).or_default().join(read.extent.lock().clone());
        }
        extents
    }

    fn push(&mut self, read: Arc<TableRead>) {
        if self.open.len() >= READS_MAX {
            let (gone, open) =
                std::mem::take(&mut self.open).into_iter().partition(|read| Arc::strong_count(read) == 1);
            self.open = open;
            let gone: Vec<Arc<TableRead>> = gone;
            for read in gone {
                self.known.entry(read.table).or_default().join(read.extent.lock().clone());
            }
        }
        self.open.push(read);
    }
}

/// The region of a partitioned table that rows lie in which satisfy all filters; `None` where that may be all of it.
fn region_of(definition: &TableDefinition, filters: &[Expr]) -> Option<Region> {
    let columns: BTreeSet<ColumnId> = definition.partition_by.iter().map(|item| item.column).collect();
    let mut region = Vec::new();
    for column in columns {
        let Some(known) = definition.column(column).filter(|known| is_ordered(&known.sql_type)) else { continue };
        let asked = Asked { name: &known.name, sql_type: &known.sql_type };
        let wanted = filters.iter().filter_map(|filter| asked.values(filter)).reduce(both);
        region.extend(wanted.map(|ranges| ColumnValues { column, ranges }));
    }
    if region.is_empty() { None } else { Some(Region(region)) }
}

/// Whether a type's data are ordered as its values are compared, and equal where those are.
fn is_ordered(sql_type: &SqlType) -> bool {
    use SqlType::*;
    let numbers = matches!(sql_type, Bool | Int2 | Int4 | Int8 | Numeric { .. });
    let times = matches!(sql_type, Date | Time | Timestamp | TimestampTz);
    numbers || times || matches!(sql_type, Text | Varchar { .. } | Bpchar { .. } | Uuid | Bytea)
}

/// A column that filters may ask values of.
struct Asked<'a> {
    name: &'a str,
    sql_type: &'a SqlType,
}

impl Asked<'_> {
    /// The values that a row has where it satisfies the filter, at most [`RANGES_MAX`] ranges in order and apart; `None` where they
    /// may be any.
    fn values(&self, filter: &Expr) -> Option<Vec<ValueRange>> {
        let parts = split_conjunction(filter);
        if parts.len() > 1 {
            return parts.into_iter().filter_map(|part| self.values(part)).reduce(both);
        }
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                let mut either = self.values(left)?;
                either.extend(self.values(right)?);
                Some(united(either)).filter(|either| either.len() <= RANGES_MAX)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if self.is_meant(left) {
                    return compared(*op, self.datum(right)?);
                }
                if self.is_meant(right) { compared(op.swap()?, self.datum(left)?) } else { None }
            }
            Expr::InList(list) if !list.negated && self.is_meant(&list.expr) && list.list.len() <= RANGES_MAX => {
                let points = list.list.iter().map(|item| self.datum(item).map(ValueRange::point));
                points.collect::<Option<Vec<_>>>().map(united)
            }
            Expr::Between(between) if !between.negated && self.is_meant(&between.expr) => {
                let (low, high) = (self.datum(&between.low)?, self.datum(&between.high)?);
                Some(vec![ValueRange { low: Bound::Included(low), high: Bound::Included(high) }])
            }
            _ => None,
        }
    }

    fn is_meant(&self, expression: &Expr) -> bool {
        matches!(expression, Expr::Column(column) if column.name == self.name)
    }

    /// A constant of the column's own type.
    fn datum(&self, expression: &Expr) -> Option<Datum> {
        let Expr::Literal(value, _) = expression else { return None };
        if value.data_type() != self.sql_type.data_type() {
            return None;
        }
        Some(match value {
            ScalarValue::Boolean(Some(value)) => Datum::Bool(*value),
            ScalarValue::Int16(Some(value)) => Datum::Int((*value).into()),
            ScalarValue::Int32(Some(value)) | ScalarValue::Date32(Some(value)) => Datum::Int((*value).into()),
            ScalarValue::Int64(Some(value))
            | ScalarValue::Time64Microsecond(Some(value))
            | ScalarValue::TimestampMicrosecond(Some(value), _) => Datum::Int(*value),
            ScalarValue::Decimal128(Some(value), _, _) => Datum::Decimal(*value),
            ScalarValue::Utf8View(Some(value)) => Datum::Text(value.clone()),
            ScalarValue::BinaryView(Some(value)) | ScalarValue::FixedSizeBinary(_, Some(value)) => {
                Datum::Bytes(value.clone())
            }
            _ => return None,
        })
    }
}

fn compared(op: Operator, value: Datum) -> Option<Vec<ValueRange>> {
    let range = match op {
        Operator::Eq => ValueRange::point(value),
        Operator::Lt => ValueRange { low: Bound::Unbounded, high: Bound::Excluded(value) },
        Operator::LtEq => ValueRange { low: Bound::Unbounded, high: Bound::Included(value) },
        Operator::Gt => ValueRange { low: Bound::Excluded(value), high: Bound::Unbounded },
        Operator::GtEq => ValueRange { low: Bound::Included(value), high: Bound::Unbounded },
        _ => return None,
    };
    Some(vec![range])
}

/// The values that lie in a range of both lists, each in order and apart; those of the first alone where that is too many ranges.
fn both(left: Vec<ValueRange>, right: Vec<ValueRange>) -> Vec<ValueRange> {
    let pairs = left.iter().flat_map(|one| right.iter().map(move |other| (one, other)));
    let common = pairs.map(|(one, other)| ValueRange {
        low: tighter(&one.low, &other.low, Ordering::Greater),
        high: tighter(&one.high, &other.high, Ordering::Less),
    });
    let common: Vec<ValueRange> = common.filter(|range| !is_void(range)).collect();
    if common.len() > RANGES_MAX { left } else { common }
}

/// The same values in ranges that are in order and do not meet.
fn united(mut ranges: Vec<ValueRange>) -> Vec<ValueRange> {
    ranges.retain(|range| !is_void(range));
    ranges.sort_by(|one, other| begins(&one.low, &other.low));
    let mut apart: Vec<ValueRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match apart.last_mut() {
            Some(last) if reaches(&last.high, &range.low) => last.high = looser(&last.high, &range.high),
            _ => apart.push(range),
        }
    }
    apart
}

/// Which of two lower bounds comes first.
fn begins(one: &Bound<Datum>, other: &Bound<Datum>) -> Ordering {
    match (value_of(one), value_of(other)) {
        (None, None) => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(first), Some(second)) => {
            let excludes = |bound| matches!(bound, &Bound::Excluded(_));
            order(first, second).unwrap_or(Ordering::Equal).then(excludes(one).cmp(&excludes(other)))
        }
    }
}

/// Whether a range that ends with `high` overlaps one that begins, no earlier, with `low`.
fn reaches(high: &Bound<Datum>, low: &Bound<Datum>) -> bool {
    let (Some(end), Some(start)) = (value_of(high), value_of(low)) else { return true };
    match order(start, end) {
        Some(Ordering::Greater) => false,
        Some(Ordering::Equal) => !matches!((high, low), (Bound::Excluded(_), _) | (_, Bound::Excluded(_))),
        _ => true,
    }
}

/// The upper bound that lies further out.
fn looser(one: &Bound<Datum>, other: &Bound<Datum>) -> Bound<Datum> {
    let (Some(first), Some(second)) = (value_of(one), value_of(other)) else { return Bound::Unbounded };
    match order(first, second) {
        Some(Ordering::Less) => other.clone(),
        Some(Ordering::Equal) if matches!(other, Bound::Included(_)) => other.clone(),
        _ => one.clone(),
    }
}

/// The bound that lies further in the direction in which bounds get tighter.
fn tighter(one: &Bound<Datum>, other: &Bound<Datum>, inwards: Ordering) -> Bound<Datum> {
    let (first, second) = match (value_of(one), value_of(other)) {
        (None, _) => return other.clone(),
        (_, None) => return one.clone(),
        (Some(first), Some(second)) => (first, second),
    };
    match order(first, second) {
        Some(Ordering::Equal) if matches!(other, Bound::Excluded(_)) => other.clone(),
        Some(direction) if direction == inwards || direction == Ordering::Equal => one.clone(),
        Some(_) => other.clone(),
        None => one.clone(),
    }
}

fn value_of(bound: &Bound<Datum>) -> Option<&Datum> {
    match bound {
        Bound::Included(value) | Bound::Excluded(value) => Some(value),
        Bound::Unbounded => None,
    }
}

/// Whether no value lies in a range.
fn is_void(range: &ValueRange) -> bool {
    let (Some(low), Some(high)) = (value_of(&range.low), value_of(&range.high)) else { return false };
    let closed = matches!((&range.low, &range.high), (Bound::Included(_), Bound::Included(_)));
    match order(low, high) {
        Some(Ordering::Greater) => true,
        Some(Ordering::Equal) => !closed,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
