//! The shape of a key: from the columns of a batch to digests, and to bytes that are equal exactly for equal keys.
//!
//! Equality is PostgreSQL's: -0.0 is 0.0, NaN is NaN, a day is 24 hours, numerics of one column have one scale. Blanks at the end of a
//! `char(n)` are gone since the rows were taken in. A key with a NULL in it equals no other and has no digest.

use crate::error::{ErrorKind, QueryError};
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, IntervalMonthDayNanoArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use catalog::definition::{Column, Key, TableDefinition};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

/// Digests never leave the process, so their hash is another one in each.
static HASH: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The most digits of a decimal whose unscaled value has 64 bits.
const DIGITS_MAX: u8 = 18;

/// One key of one table, ready to be computed.
#[derive(Debug)]
pub(crate) struct KeyShape {
    pub key: Key,
    /// Of the key's columns in the table's schema.
    pub positions: Vec<usize>,
    /// The key's columns.
    pub columns: Vec<Column>,
    /// Whether equal digests mean equal keys.
    pub exact: bool,
    converter: RowConverter,
}

impl KeyShape {
    pub(crate) fn new(definition: &TableDefinition, key: &Key) -> Result<Self, QueryError> {
        let positions: Vec<usize> = key.columns.iter().filter_map(|column| definition.position(*column)).collect();
        let columns: Vec<Column> = positions.iter().map(|position| definition.columns[*position].clone()).collect();
        let types: Vec<DataType> = columns.iter().map(|column| column.sql_type.data_type()).collect();
        let exact = matches!(types.as_slice(), [one] if is_integral(one));
        let converter = RowConverter::new(types.into_iter().map(SortField::new).collect()).map_err(internal)?;
        Ok(Self { key: key.clone(), positions, columns, exact, converter })
    }

    /// The shapes of all keys of a table.
    pub(crate) fn of_table(definition: &TableDefinition) -> Result<Vec<Arc<Self>>, QueryError> {
        definition.keys.iter().map(|key| Self::new(definition, key).map(Arc::new)).collect()
    }

    /// The key's columns of a batch with the table's, as they are now.
    pub(crate) fn columns_of(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.positions.iter().map(|position| Arc::clone(batch.column(*position))).collect()
    }

    /// The digest of each row of the key's columns; the rows that are null in the second part have none.
    pub(crate) fn digests(&self, columns: &[ArrayRef]) -> Result<(Vec<u64>, Option<NullBuffer>), QueryError> {
        let nulls = columns.iter().fold(None, |nulls, array| NullBuffer::union(nulls.as_ref(), array.nulls()));
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let digests = match columns {
            [one] if self.exact => integers(one).map_err(internal)?,
            _ => self.rows(columns)?.iter().map(|row| HASH.hash_one(row.data())).collect(),
        };
        Ok((digests, nulls))
    }

    /// Bytes that are equal for equal keys, row by row.
    pub(crate) fn rows(&self, columns: &[ArrayRef]) -> Result<Rows, QueryError> {
        let columns: Vec<ArrayRef> = columns.iter().map(canonical).collect();
        self.converter.convert_columns(&columns).map_err(internal)
    }
}

pub(crate) fn internal(error: ArrowError) -> QueryError {
    QueryError::new(ErrorKind::Internal, error.to_string())
}

/// Whether the type's values are 64-bit integers or fewer, in their order.
fn is_integral(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(precision, _) => *precision <= DIGITS_MAX,
        DataType::Interval(_) | DataType::Duration(_) => false,
        other => other.is_signed_integer() || other.is_temporal(),
    }
}

/// The values as unsigned integers in the same order.
fn integers(array: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let ordered = |value: i64| (value as u64) ^ (1 << 63);
    if let Some(decimals) = array.as_primitive_opt::<Decimal128Type>() {
        return Ok(decimals.values().iter().map(|value| ordered(*value as i64)).collect());
    }
    let wide = match array.data_type() {
        // Arrow casts days to 32 bits alone.
        DataType::Date32 => arrow::compute::cast(&arrow::compute::cast(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => arrow::compute::cast(array, &DataType::Int64)?,
    };
    Ok(wide.as_primitive::<Int64Type>().values().iter().map(|value| ordered(*value)).collect())
}

/// Values that SQL calls equal become the same bits.
fn canonical(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let one = |value: f32| if value.is_nan() { f32::NAN } else { value + 0.0 };
            let values: Float32Array = array.as_primitive::<Float32Type>().unary(one);
            Arc::new(values)
        }
        DataType::Float64 => {
            let one = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            let values: Float64Array = array.as_primitive::<Float64Type>().unary(one);
            Arc::new(values)
        }
        DataType::Interval(_) => {
            let values: IntervalMonthDayNanoArray =
                array.as_primitive::<IntervalMonthDayNanoType>().unary(equally_long);
            Arc::new(values)
        }
        _ => Arc::clone(array),
    }
}

/// The interval of the same length, a month having thirty days, whose days and time are less than a month and a day, and not negative.
/// Its months wrap around where an interval is of more than 178 million years.
fn equally_long(interval: IntervalMonthDayNano) -> IntervalMonthDayNano {
    const DAY_NANOS: i64 = 86_400_000_000_000;
    let days = i64::from(interval.days) + interval.nanoseconds.div_euclid(DAY_NANOS);
    let months = i64::from(interval.months) + days.div_euclid(30);
    IntervalMonthDayNano::new(months as i32, days.rem_euclid(30) as i32, interval.nanoseconds.rem_euclid(DAY_NANOS))
}
