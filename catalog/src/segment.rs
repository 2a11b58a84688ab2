//! Segments as the catalog knows them: where the file is, what it holds, which of its rows are dead.

use crate::ids::{ColumnId, CommitSeq, SegmentId};
use arrow::array::{BooleanArray, BooleanBufferBuilder};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One value, outside of a batch: a bound of a column or an item of a partition key.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Datum {
    Null,
    Bool(bool),
    /// Integers, dates (days since 1970), times and timestamps (microseconds), in their Arrow units.
    Int(i64),
    /// A decimal's unscaled value.
    Decimal(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// As a partition path and `meridian.partitions` show it; NULL is `__null__`.
impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("__null__"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Decimal(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Bytes(value) => value.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// The values of a table's partition columns after their transforms, in the order of `PARTITION BY`. Dates under a
/// transform are text (`2025-03`); plain columns keep their value.
#[derive(Clone, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct PartitionKey(pub Vec<Datum>);

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (position, value) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{value}")?;
        }
        f.write_str(")")
    }
}

/// Bounds of one column over all rows of a segment, dead ones included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    pub column: ColumnId,
    pub null_count: u64,
    /// The least and greatest non-null value; `None` where unknown (long text, floats with NaN) or all null.
    pub bounds: Option<(Datum, Datum)>,
}

/// One immutable Parquet file holding rows of exactly one partition, sorted by the table's sort key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentMeta {
    pub id: SegmentId,
    pub partition: PartitionKey,
    /// Relative to the data directory.
    pub path: String,
    pub rows: u32,
    pub bytes: u64,
    /// CRC-32C of the whole file.
    pub checksum: u32,
    pub statistics: Vec<ColumnStatistics>,
}

/// A roaring bitmap of the dead rows of one segment or recent batch, by position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeletionVector(pub RoaringBitmap);

impl DeletionVector {
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For each of so many rows whether it is in the vector; all rows of the vector are among them.
    pub fn mask(&self, rows: usize) -> BooleanArray {
        self.marked(rows, true)
    }

    /// For each of so many rows whether it is not in the vector.
    pub fn inverse_mask(&self, rows: usize) -> BooleanArray {
        self.marked(rows, false)
    }

    /// The rows of the vector have the value, and all others the other one.
    fn marked(&self, rows: usize, value: bool) -> BooleanArray {
        let mut marked = BooleanBufferBuilder::new(rows);
        marked.append_n(rows, !value);
        self.0.iter().for_each(|row| marked.set_bit(row as usize, value));
        BooleanArray::new(marked.finish(), None)
    }

    /// The roaring portable serialisation.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.serialized_size());
        self.0.serialize_into(&mut bytes).expect("a vector grows without error");
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        RoaringBitmap::deserialize_from(bytes).ok().map(Self)
    }
}

/// A segment of a table version with its dead rows.
#[derive(Clone, Debug)]
pub struct LiveSegment {
    pub meta: Arc<SegmentMeta>,
    /// The commit that put it into the table; zero where it was read from the disk, which is before anything that still runs.
    pub added: CommitSeq,
    pub deleted: Option<Arc<DeletionVector>>,
}

impl LiveSegment {
    /// A segment of which these rows alone live.
    pub fn of_rows(meta: &Arc<SegmentMeta>, rows: &RoaringBitmap) -> Self {
        let mut others = RoaringBitmap::new();
        others.insert_range(0..meta.rows);
        let deleted = Some(Arc::new(DeletionVector(others - rows)));
        Self { meta: Arc::clone(meta), added: CommitSeq(0), deleted }
    }

    pub fn rows_live(&self) -> u64 {
        u64::from(self.meta.rows) - self.deleted.as_ref().map_or(0, |deleted| deleted.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_mark_the_rows_of_a_vector_and_no_others() {
        let vector = DeletionVector([0_u32, 3, 4, 5, 63, 64, 99].into_iter().collect());
        let (mask, inverse) = (vector.mask(100), vector.inverse_mask(100));
        for row in 0..100 {
            assert_eq!(mask.value(row), vector.0.contains(row as u32));
            assert_eq!(inverse.value(row), !mask.value(row));
        }
        assert_eq!((mask.len(), inverse.len()), (100, 100));
    }
}
