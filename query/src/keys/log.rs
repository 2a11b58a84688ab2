//! The log of a statement's keys: a digest for each of its rows in the order in which they came, and the bounds of
//! the key's columns.
//!
//! Eight bytes for each row, and twice that once they are put in order. They count against the memory of the process; a
//! statement that does not fit gets 53200. While they gather they lie in pieces: one array of all of them would be copied again and
//! again as it grows, and take up to three times as much meanwhile.

use super::shape::KeyShape;
use crate::engine_error::translate;
use crate::error::QueryError;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::compute::{max, max_binary_view, max_boolean, max_fixed_size_binary, max_string_view};
use arrow::compute::{min, min_binary_view, min_boolean, min_fixed_size_binary, min_string_view};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use catalog::segment::{Datum, SegmentMeta};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use std::collections::HashSet;
use std::sync::Arc;

/// The digests of a piece: 1 MiB.
const PIECE_DIGESTS: usize = 128 * 1024;

/// The keys of rows that are being taken in.
pub(crate) struct KeyLog {
    pub shape: Arc<KeyShape>,
    /// In the order of the rows, without those whose key has a NULL. All but the last have [`PIECE_DIGESTS`], and none is empty.
    pieces: Vec<Vec<u64>>,
    ascending: bool,
    rows: u64,
    /// The rows without a digest, in order.
    skipped: Vec<u64>,
    bounds: Vec<Bounds>,
    memory: MemoryReservation,
}

/// What is known of the values of one column of the key.
enum Bounds {
    Nothing,
    Between(Datum, Datum),
    /// Some type or value that has no bounds.
    Anything,
}

impl KeyLog {
    /// An empty log that takes its memory from `pool`.
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>, shape: Arc<KeyShape>) -> Self {
        let memory = MemoryConsumer::new("keys").register(pool);
        let bounds = shape.positions.iter().map(|_| Bounds::Nothing).collect();
        Self { shape, pieces: Vec::new(), ascending: true, rows: 0, skipped: Vec::new(), bounds, memory }
    }

    /// Notes the keys of a batch with the table's columns.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        self.push_columns(&self.shape.columns_of(batch), batch.num_rows())
    }

    /// Notes keys, given the key's columns of so many rows.
    pub(crate) fn push_columns(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(), QueryError> {
        let (digests, nulls) = self.shape.digests(columns)?;
        self.memory.try_grow(size_of_val(digests.as_slice())).map_err(|error| translate(error, None))?;
        match nulls {
            None => self.append(&digests),
            Some(nulls) => {
                let absent = (0..digests.len()).filter(|row| nulls.is_null(*row));
                self.skipped.extend(absent.map(|row| self.rows + row as u64));
                let present = digests.into_iter().enumerate().filter(|(row, _)| nulls.is_valid(*row));
                self.append(&present.map(|(_, digest)| digest).collect::<Vec<_>>());
            }
        }
        self.rows += rows as u64;
        self.bounds.iter_mut().zip(columns).for_each(|(bounds, column)| bounds.widen(column));
        Ok(())
    }

    fn append(&mut self, digests: &[u64]) {
        let last = self.pieces.last().and_then(|piece| piece.last());
        let follows = last.zip(digests.first()).is_none_or(|(last, first)| last < first);
        self.ascending = self.ascending && follows && digests.is_sorted_by(|left, right| left < right);
        let mut rest = digests;
        while !rest.is_empty() {
            match self.pieces.last_mut() {
                Some(piece) if piece.len() < PIECE_DIGESTS => {
                    let (fitting, others) = rest.split_at(rest.len().min(PIECE_DIGESTS - piece.len()));
                    piece.extend_from_slice(fitting);
                    rest = others;
                }
                _ => self.pieces.push(Vec::new()),
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The digests in the order of the rows.
    pub(crate) fn arrived(&self) -> impl Iterator<Item = &u64> {
        self.pieces.iter().flatten()
    }

    /// The digests in their own order.
    pub(crate) fn sorted(&mut self) -> Result<Arc<[u64]>, QueryError> {
        let count: usize = self.pieces.iter().map(Vec::len).sum();
        self.memory.try_grow(count * size_of::<u64>()).map_err(|error| translate(error, None))?;
        let mut sorted: Arc<[u64]> = std::iter::repeat_n(0, count).collect();
        let mut rest = Arc::get_mut(&mut sorted).expect("nobody else has it yet");
        for piece in &self.pieces {
            let (place, others) = rest.split_at_mut(piece.len());
            place.copy_from_slice(piece);
            rest = others;
        }
        if !self.ascending {
            Arc::get_mut(&mut sorted).expect("nobody else has it yet").sort_unstable();
        }
        Ok(sorted)
    }

    /// The digests that more than one row has, given all of them in order.
    pub(crate) fn repeated(&self, sorted: &[u64]) -> HashSet<u64> {
        if self.ascending {
            return HashSet::new();
        }
        sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
    }

    /// The number of the row that the digest at `place` in the order of arrival is of.
    pub(crate) fn row_of(&self, place: usize) -> u64 {
        // Each skipped row at or before the place moves it by one.
        self.skipped.iter().fold(place as u64, |row, skipped| if *skipped <= row { row + 1 } else { row })
    }

    /// Whether a segment can hold one of the keys, by the bounds that the catalog knows.
    pub(crate) fn overlaps(&self, segment: &SegmentMeta) -> bool {
        self.shape.key.columns.iter().zip(&self.bounds).all(|(column, bounds)| {
            let known = segment.statistics.iter().find(|known| known.column == *column);
            match (bounds, known.and_then(|known| known.bounds.as_ref())) {
                (Bounds::Between(least, greatest), Some((low, high))) => !(greatest < low || high < least),
                _ => true,
            }
        })
    }
}

impl Bounds {
    fn widen(&mut self, column: &ArrayRef) {
        if column.null_count() == column.len() {
            return;
        }
        let Some((low, high)) = bounds_of(column) else {
            *self = Self::Anything;
            return;
        };
        match self {
            Self::Nothing => *self = Self::Between(low, high),
            Self::Between(least, greatest) => {
                if low < *least {
                    *least = low;
                }
                if high > *greatest {
                    *greatest = high;
                }
            }
            Self::Anything => {}
        }
    }
}

/// The least and the greatest value, in the form of a segment's statistics; `None` for types that this does not look
/// at.
fn bounds_of(array: &ArrayRef) -> Option<(Datum, Datum)> {
    fn integers<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef) -> Option<(Datum, Datum)> {
        let values = array.as_primitive::<T>();
        Some((Datum::Int(min(values)?.into()), Datum::Int(max(values)?.into())))
    }
    let bytes = |value: &[u8]| Datum::Bytes(value.to_vec());
    match array.data_type() {
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::Date32 => integers::<Date32Type>(array),
        DataType::Time64(TimeUnit::Microsecond) => integers::<Time64MicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => integers::<TimestampMicrosecondType>(array),
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>();
            Some((Datum::Decimal(min(values)?), Datum::Decimal(max(values)?)))
        }
        DataType::Boolean => {
            let values = array.as_boolean();
            Some((Datum::Bool(min_boolean(values)?), Datum::Bool(max_boolean(values)?)))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Some((Datum::Text(min_string_view(values)?.into()), Datum::Text(max_string_view(values)?.into())))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            Some((bytes(min_binary_view(values)?), bytes(max_binary_view(values)?)))
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            Some((bytes(min_fixed_size_binary(values)?), bytes(max_fixed_size_binary(values)?)))
        }
        _ => None,
    }
}
