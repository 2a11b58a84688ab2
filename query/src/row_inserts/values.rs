//! The values of rows that wait, by column: they are put where their array is made, without a value of any type between.

use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use arrow::array::{
    ArrayBuilder, ArrayRef, ArrowPrimitiveType, BooleanBuilder, NullBufferBuilder, PrimitiveArray, StringViewArray,
    make_view,
};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use catalog::definition::Column;
use datafusion::common::ScalarValue;
use std::sync::Arc;

/// A guess of the bytes that a value takes besides its letters.
const VALUE_BYTES: usize = 16;
/// So many letters of texts stand in one buffer, but for a text that is longer by itself.
const LETTERS_MAX: usize = 2 * 1024 * 1024;

/// A value for a column, in the column's own Arrow type.
pub(super) enum Given<'a> {
    Text(&'a str),
    Scalar(ScalarValue),
}

/// The values of a column.
pub(super) enum Values {
    Int2(Numbers<Int16Type>),
    Int4(Numbers<Int32Type>),
    Int8(Numbers<Int64Type>),
    Float8(Numbers<Float64Type>),
    Numeric(Numbers<Decimal128Type>),
    Bool(BooleanBuilder),
    Date(Numbers<Date32Type>),
    Timestamp(Numbers<TimestampMicrosecondType>),
    Text(Texts),
    Other(Vec<ScalarValue>),
}

/// Values of one width. An array of one of them takes little more than the value: most transactions have one row, which stays in memory
/// until it is folded.
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn of(data_type: DataType) -> Self {
        Self { data_type, values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    fn push(&mut self, value: Option<T::Native>) {
        self.nulls.append(value.is_some());
        self.values.push(value.unwrap_or_default());
    }

    fn take(&mut self) -> ArrayRef {
        let values = ScalarBuffer::from(std::mem::take(&mut self.values));
        Arc::new(PrimitiveArray::<T>::new(values, self.nulls.finish()).with_data_type(self.data_type.clone()))
    }
}

/// Texts, with no more room for their letters than these need: a builder of Arrow takes 16 KiB for the first that is longer than twelve.
pub(super) struct Texts {
    views: Vec<u128>,
    /// Buffers that are full.
    full: Vec<Buffer>,
    letters: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl Texts {
    /// The longest text that its view holds itself.
    const VIEWED_BYTES_MAX: usize = 12;

    fn new() -> Self {
        Self { views: Vec::new(), full: Vec::new(), letters: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    fn push(&mut self, text: Option<&str>) {
        self.nulls.append(text.is_some());
        let text = text.unwrap_or_default().as_bytes();
        if text.len() > Self::VIEWED_BYTES_MAX && self.letters.len() + text.len() > LETTERS_MAX {
            self.close();
        }
        // Closed before it would be too long for its numbers.
        self.views.push(make_view(text, self.full.len() as u32, self.letters.len() as u32));
        if text.len() > Self::VIEWED_BYTES_MAX {
            self.letters.extend_from_slice(text);
        }
    }

    fn close(&mut self) {
        if !self.letters.is_empty() {
            self.full.push(Buffer::from_vec(std::mem::take(&mut self.letters)));
        }
    }

    fn take(&mut self) -> Result<ArrayRef, QueryError> {
        self.close();
        let (views, full) = (std::mem::take(&mut self.views), std::mem::take(&mut self.full));
        let texts = StringViewArray::try_new(ScalarBuffer::from(views), full, self.nulls.finish());
        texts.map(|texts| Arc::new(texts) as ArrayRef).map_err(|error| translate(error.into(), None))
    }
}

impl Values {
    /// None yet, and no room for any.
    pub(super) fn of(column: &Column) -> Self {
        match column.sql_type.data_type() {
            DataType::Int16 => Self::Int2(Numbers::of(DataType::Int16)),
            DataType::Int32 => Self::Int4(Numbers::of(DataType::Int32)),
            DataType::Int64 => Self::Int8(Numbers::of(DataType::Int64)),
            DataType::Float64 => Self::Float8(Numbers::of(DataType::Float64)),
            decimal @ DataType::Decimal128(..) => Self::Numeric(Numbers::of(decimal)),
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(0)),
            DataType::Date32 => Self::Date(Numbers::of(DataType::Date32)),
            timestamp @ DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp(Numbers::of(timestamp)),
            DataType::Utf8View => Self::Text(Texts::new()),
            _ => Self::Other(Vec::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Int2(values) => values.values.len(),
            Self::Int4(values) => values.values.len(),
            Self::Int8(values) => values.values.len(),
            Self::Float8(values) => values.values.len(),
            Self::Numeric(values) => values.values.len(),
            Self::Bool(values) => values.len(),
            Self::Date(values) => values.values.len(),
            Self::Timestamp(values) => values.values.len(),
            Self::Text(values) => values.views.len(),
            Self::Other(values) => values.len(),
        }
    }

    /// Adds a value of the column's type and gives about how much memory it takes.
    pub(super) fn push(&mut self, value: Given<'_>) -> Result<usize, QueryError> {
        match (self, value) {
            (Self::Text(values), Given::Text(text)) => {
                values.push(Some(text));
                Ok(VALUE_BYTES + text.len())
            }
            (values, Given::Text(text)) => values.push_scalar(ScalarValue::Utf8View(Some(text.to_string()))),
            (values, Given::Scalar(value)) => values.push_scalar(value),
        }
    }

    fn push_scalar(&mut self, value: ScalarValue) -> Result<usize, QueryError> {
        match (self, value) {
            (Self::Int2(values), ScalarValue::Int16(value)) => values.push(value),
            (Self::Int4(values), ScalarValue::Int32(value)) => values.push(value),
            (Self::Int8(values), ScalarValue::Int64(value)) => values.push(value),
            (Self::Float8(values), ScalarValue::Float64(value)) => values.push(value),
            (Self::Numeric(values), ScalarValue::Decimal128(value, precision, scale))
                if values.data_type == DataType::Decimal128(precision, scale) =>
            {
                values.push(value);
            }
            (Self::Bool(values), ScalarValue::Boolean(value)) => values.append_option(value),
            (Self::Date(values), ScalarValue::Date32(value)) => values.push(value),
            (Self::Timestamp(values), ScalarValue::TimestampMicrosecond(value, None)) => values.push(value),
            (Self::Text(values), ScalarValue::Utf8View(value)) => {
                values.push(value.as_deref());
                return Ok(VALUE_BYTES + value.map_or(0, |text| text.len()));
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
            Self::Int2(values) => values.take(),
            Self::Int4(values) => values.take(),
            Self::Int8(values) => values.take(),
            Self::Float8(values) => values.take(),
            Self::Numeric(values) => values.take(),
            Self::Bool(values) => ArrayBuilder::finish(values),
            Self::Date(values) => values.take(),
            Self::Timestamp(values) => values.take(),
            Self::Text(values) => values.take()?,
            Self::Other(values) => {
                ScalarValue::iter_to_array(values.drain(..)).map_err(|error| translate(error, None))?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Given, LETTERS_MAX, Values};
    use arrow::array::{Array, AsArray};
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
        let numeric = SqlType::Numeric { precision: 12, scale: 2, declared: true };
        let mut values = Values::of(&Column::new(ColumnId(1), "c", numeric));
        assert!(values.push(Given::Scalar(ScalarValue::Decimal128(Some(5), 12, 1))).is_err());
    }

    /// Rows that wait to be folded are counted by the memory that they hold.
    #[test]
    fn one_row_takes_little_memory() {
        for (sql_type, value) in [
            (SqlType::Int8, Given::Scalar(ScalarValue::Int64(Some(7)))),
            (SqlType::Text, Given::Text("a text that does not fit into its view")),
        ] {
            let mut values = Values::of(&Column::new(ColumnId(1), "c", sql_type));
            values.push(value).unwrap();
            let bytes = values.take().unwrap().get_array_memory_size();
            assert!(bytes < 400, "{bytes} bytes");
        }
    }

    #[test]
    fn texts_of_more_than_one_buffer_come_back() {
        let long = |letter: &str| letter.repeat(LETTERS_MAX / 2 + 1);
        let texts = [Some(long("a")), Some("short".to_string()), None, Some(long("b")), Some("c".repeat(13))];
        let mut values = Values::of(&Column::new(ColumnId(1), "c", SqlType::Text));
        for _ in 0..2 {
            for text in &texts {
                values.push(Given::Scalar(ScalarValue::Utf8View(text.clone()))).unwrap();
            }
            let array = values.take().unwrap();
            let found: Vec<_> = array.as_string_view().iter().map(|text| text.map(str::to_string)).collect();
            assert_eq!((found.as_slice(), array.as_string_view().data_buffers().len()), (texts.as_slice(), 2));
        }
    }
}
