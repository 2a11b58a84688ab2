//! The values of rows that wait, by column: they are put where their array is made, without a value of any type between.

use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, StringViewBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, TimeUnit};
use catalog::definition::Column;
use datafusion::common::ScalarValue;

/// A guess of the bytes that a value takes besides its letters.
const VALUE_BYTES: usize = 16;

/// A value for a column, in the column's own Arrow type.
pub(super) enum Given<'a> {
    Text(&'a str),
    Scalar(ScalarValue),
}

/// The values of a column.
pub(super) enum Values {
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float8(Float64Builder),
    Numeric(Decimal128Builder),
    Bool(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringViewBuilder),
    Other(Vec<ScalarValue>),
}

impl Values {
    /// None yet, and no room for any: most transactions have one row.
    pub(super) fn of(column: &Column) -> Self {
        match column.sql_type.data_type() {
            DataType::Int16 => Self::Int2(Int16Builder::with_capacity(0)),
            DataType::Int32 => Self::Int4(Int32Builder::with_capacity(0)),
            DataType::Int64 => Self::Int8(Int64Builder::with_capacity(0)),
            DataType::Float64 => Self::Float8(Float64Builder::with_capacity(0)),
            decimal @ DataType::Decimal128(..) => {
                Self::Numeric(Decimal128Builder::with_capacity(0).with_data_type(decimal))
            }
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(0)),
            DataType::Date32 => Self::Date(Date32Builder::with_capacity(0)),
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(0))
            }
            DataType::Utf8View => Self::Text(StringViewBuilder::with_capacity(0)),
            _ => Self::Other(Vec::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Int2(values) => values.len(),
            Self::Int4(values) => values.len(),
            Self::Int8(values) => values.len(),
            Self::Float8(values) => values.len(),
            Self::Numeric(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Date(values) => values.len(),
            Self::Timestamp(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Other(values) => values.len(),
        }
    }

    /// Adds a value of the column's type and gives about how much memory it takes.
    pub(super) fn push(&mut self, value: Given<'_>) -> Result<usize, QueryError> {
        match (self, value) {
            (Self::Text(values), Given::Text(text)) => {
                values.append_value(text);
                Ok(VALUE_BYTES + text.len())
            }
            (values, Given::Text(text)) => values.push_scalar(ScalarValue::Utf8View(Some(text.to_string()))),
            (values, Given::Scalar(value)) => values.push_scalar(value),
        }
    }

    fn push_scalar(&mut self, value: ScalarValue) -> Result<usize, QueryError> {
        match (self, value) {
            (Self::Int2(values), ScalarValue::Int16(value)) => values.append_option(value),
            (Self::Int4(values), ScalarValue::Int32(value)) => values.append_option(value),
            (Self::Int8(values), ScalarValue::Int64(value)) => values.append_option(value),
            (Self::Float8(values), ScalarValue::Float64(value)) => values.append_option(value),
            (Self::Numeric(values), ScalarValue::Decimal128(value, ..)) => values.append_option(value),
            (Self::Bool(values), ScalarValue::Boolean(value)) => values.append_option(value),
            (Self::Date(values), ScalarValue::Date32(value)) => values.append_option(value),
            (Self::Timestamp(values), ScalarValue::TimestampMicrosecond(value, None)) => values.append_option(value),
            (Self::Text(values), ScalarValue::Utf8View(value)) => {
                let bytes = VALUE_BYTES + value.as_ref().map_or(0, String::len);
                values.append_option(value);
                return Ok(bytes);
            }
            (Self::Other(values), value) => {
                let bytes = value.size();
                values.push(value);
                return Ok(bytes);
            }
            _ => return Err(QueryError::new(ErrorKind::Internal, "a value has another type than its column")),
        }
        Ok(VALUE_BYTES)
    }

    /// The values as an array; the next ones begin another.
    pub(super) fn take(&mut self) -> Result<ArrayRef, QueryError> {
        Ok(match self {
            Self::Int2(values) => ArrayBuilder::finish(values),
            Self::Int4(values) => ArrayBuilder::finish(values),
            Self::Int8(values) => ArrayBuilder::finish(values),
            Self::Float8(values) => ArrayBuilder::finish(values),
            Self::Numeric(values) => ArrayBuilder::finish(values),
            Self::Bool(values) => ArrayBuilder::finish(values),
            Self::Date(values) => ArrayBuilder::finish(values),
            Self::Timestamp(values) => ArrayBuilder::finish(values),
            // A builder that is used again takes ever more room for its letters.
            Self::Text(values) => {
                ArrayBuilder::finish(&mut std::mem::replace(values, StringViewBuilder::with_capacity(0)))
            }
            Self::Other(values) => {
                ScalarValue::iter_to_array(values.drain(..)).map_err(|error| translate(error, None))?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Given, Values};
    use arrow::array::Array;
    use catalog::definition::Column;
    use catalog::ids::ColumnId;
    use catalog::sql_type::SqlType;
    use datafusion::common::ScalarValue;

    /// Values of each kind make the array of their column's type, again and again; those of another type are refused.
    #[test]
    fn values_become_arrays_of_their_columns_type() {
        let numeric = SqlType::Numeric { precision: 12, scale: 2, declared: true };
        for sql_type in [
            SqlType::Int2,
            SqlType::Int4,
            SqlType::Int8,
            SqlType::Float4,
            SqlType::Float8,
            numeric,
            SqlType::Bool,
            SqlType::Date,
            SqlType::Time,
            SqlType::Timestamp,
            SqlType::TimestampTz,
            SqlType::Text,
            SqlType::Varchar { length_max: Some(3) },
            SqlType::Uuid,
            SqlType::Jsonb,
        ] {
            let wanted = sql_type.data_type();
            let mut values = Values::of(&Column::new(ColumnId(1), "c", sql_type));
            for _ in 0..2 {
                values.push(Given::Scalar(ScalarValue::try_from(&wanted).unwrap())).unwrap();
                values.push(Given::Scalar(ScalarValue::new_default(&wanted).unwrap())).unwrap();
                assert_eq!(values.len(), 2);
                let array = values.take().unwrap();
                assert_eq!((array.data_type(), array.null_count(), values.len()), (&wanted, 1, 0));
                assert!(array.get_array_memory_size() < 4_000, "{wanted}: {} bytes", array.get_array_memory_size());
            }
        }
        let mut values = Values::of(&Column::new(ColumnId(1), "c", SqlType::Int4));
        assert!(values.push(Given::Scalar(ScalarValue::Int64(Some(1)))).is_err());
        assert!(values.push(Given::Text("1")).is_err());
    }
}
