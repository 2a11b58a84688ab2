//! Intervals, enums and times with a zone in segments. Parquet has no interval that keeps microseconds, so each is 16 bytes; a value of an enum is the
//! text by which its label is stored (see `catalog::enum_type`), a time with a zone its integer (`catalog::zoned_time`).
//!
//!     months: i32 │ days: i32 │ microseconds: i64      big-endian, two's complement
//!
//! The bytes do not sort as intervals do, and equal intervals may have different ones. So they have no bounds, and they
//! are no keys of partitions or of the order in a segment. Everywhere else an interval is Arrow's `MonthDayNano`.
//! The texts of an enum's values do not sort as the values do either; their bounds are those of the values.

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, IntervalMonthDayNanoArray, RecordBatch};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, Schema, SchemaRef};
use arrow::error::ArrowError;
use catalog::enum_type::{array_of_stored, stored_array, stored_type};
use catalog::sql_type::{SqlType, TYPE_KEY};
use std::sync::Arc;

const BYTES: i32 = 16;
const NANOS_PER_MICRO: i64 = 1_000;

/// Whether a column of a segment holds intervals.
fn is_stored_interval(field: &Field) -> bool {
    let named = field.metadata().get(TYPE_KEY).is_some_and(|name| *name == SqlType::Interval.to_string());
    named && *field.data_type() == DataType::FixedSizeBinary(BYTES)
}

/// The Arrow type in segments of a column that is another one there.
fn other_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Interval(_) => Some(DataType::FixedSizeBinary(BYTES)),
        other => stored_type(other),
    }
}

/// Whether a column of this Arrow type is another one in segments.
pub fn is_stored_otherwise(data_type: &DataType) -> bool {
    other_type(data_type).is_some()
}

/// The schema of the segments of a table whose batches have this schema.
pub fn segment_schema(schema: &SchemaRef) -> SchemaRef {
    mapped(schema, |field| match other_type(field.data_type()) {
        Some(stored) => field.clone().with_data_type(stored),
        None => field.clone(),
    })
}

/// The enum, or array of enums, that a column of a segment holds.
fn stored_enum(field: &Field) -> Option<DataType> {
    let data_type = SqlType::parse(field.metadata().get(TYPE_KEY)?)?.data_type();
    let stored = stored_type(&data_type)?;
    (stored == *field.data_type() || (stored.is_nested() && field.data_type().is_nested())).then_some(data_type)
}

/// The schema of the batches whose segments have this schema.
pub(crate) fn batch_schema(schema: &SchemaRef) -> SchemaRef {
    mapped(schema, |field| match is_stored_interval(field) {
        true => field.clone().with_data_type(SqlType::Interval.data_type()),
        false => match stored_enum(field) {
            Some(data_type) => field.clone().with_data_type(data_type),
            None => field.clone(),
        },
    })
}

fn mapped(schema: &SchemaRef, field: impl Fn(&Field) -> Field) -> SchemaRef {
    let fields: Vec<Field> = schema.fields().iter().map(|known| field(known)).collect();
    if fields.iter().zip(schema.fields()).all(|(new, known)| new.data_type() == known.data_type()) {
        return Arc::clone(schema);
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// A batch as segments have it, of the schema that [`segment_schema`] gave.
pub(crate) fn to_segment(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if !batch.schema().fields().iter().any(|field| is_stored_otherwise(field.data_type())) {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().map(stored);
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?)
}

/// A batch of a segment as everybody else has it.
pub(crate) fn from_segment(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch_schema(batch.schema_ref());
    if Arc::ptr_eq(&schema, batch.schema_ref()) {
        return Ok(batch);
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| shown(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(&schema), columns.collect())
}

/// A column of a segment as the Arrow type that it has everywhere else.
pub fn shown(column: &ArrayRef, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Interval(_) => intervals_of(column),
        other => array_of_stored(column, other),
    }
}

/// A column of a batch as segments have it.
pub fn stored(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Interval(_) => bytes_of(column.as_primitive()),
        _ => Ok(stored_array(column)),
    }
}

fn bytes_of(intervals: &IntervalMonthDayNanoArray) -> Result<ArrayRef, ArrowError> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(intervals.len(), BYTES);
    for interval in intervals {
        match interval {
            None => builder.append_null(),
            Some(IntervalMonthDayNano { months, days, nanoseconds }) => {
                let mut bytes = [0; BYTES as usize];
                bytes[..4].copy_from_slice(&months.to_be_bytes());
                bytes[4..8].copy_from_slice(&days.to_be_bytes());
                bytes[8..].copy_from_slice(&(nanoseconds / NANOS_PER_MICRO).to_be_bytes());
                builder.append_value(bytes)?;
            }
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// The intervals that a segment's column of 16 bytes holds. What is not such a column stays as it is.
fn intervals_of(column: &ArrayRef) -> ArrayRef {
    let Some(bytes) = column.as_fixed_size_binary_opt() else { return Arc::clone(column) };
    let read = |bytes: &[u8]| -> Option<IntervalMonthDayNano> {
        let (months, rest) = bytes.split_first_chunk::<4>()?;
        let (days, micros) = rest.split_first_chunk::<4>()?;
        let micros = i64::from_be_bytes(micros.try_into().ok()?);
        let (months, days) = (i32::from_be_bytes(*months), i32::from_be_bytes(*days));
        // What was written came from nanoseconds.
        Some(IntervalMonthDayNano::new(months, days, micros.saturating_mul(NANOS_PER_MICRO)))
    };
    let values = bytes.iter().map(|bytes| bytes.and_then(read));
    Arc::new(arrow::array::PrimitiveArray::<IntervalMonthDayNanoType>::from_iter(values))
}
