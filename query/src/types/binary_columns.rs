//! Columns from PostgreSQL's binary format: one loop for each type, chosen once per column, into the builders of text.

use super::binary_in::{boolean, date, exactly, from_binary, interval, jsonb, moment, name, time, zoned_time};
use super::numeric::{Digits, binary_decimal128};
use super::text_in::{
    ColumnDecoder, FieldError, booleans, byteas, checked_text, cut_bytes, documents, enums, fit_bpchar, fit_varchar,
    primitive, primitive_array, strings, uuids,
};
use super::{OutputStyle, json};
use crate::error::{ErrorKind, QueryError};
use arrow::array::{ArrayRef, ListArray, NullBufferBuilder, make_array, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, LargeBinaryType, LargeUtf8Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use catalog::sql_type::SqlType;
use catalog::type_names::TypeNames;
use datafusion::common::ScalarValue;
use std::sync::Arc;

impl ColumnDecoder {
    /// Reads fields in the binary format, as [`Self::decode`] reads text.
    pub fn decode_binary<'a>(
        &self,
        fields: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) -> Result<ArrayRef, FieldError> {
        let _names = self.names.as_ref().map(TypeNames::enter);
        match &self.sql_type {
            SqlType::Bool => booleans(fields, boolean),
            SqlType::Int2 => primitive::<Int16Type, _>(fields, |bytes| Ok(i16::from_be_bytes(exactly(bytes)?))),
            SqlType::Int4 => primitive::<Int32Type, _>(fields, |bytes| Ok(i32::from_be_bytes(exactly(bytes)?))),
            SqlType::Int8 => primitive::<Int64Type, _>(fields, |bytes| Ok(i64::from_be_bytes(exactly(bytes)?))),
            SqlType::Oid => primitive::<Int64Type, _>(fields, |bytes| Ok(u32::from_be_bytes(exactly(bytes)?).into())),
            SqlType::Float4 => primitive::<Float32Type, _>(fields, |bytes| Ok(f32::from_be_bytes(exactly(bytes)?))),
            SqlType::Float8 => primitive::<Float64Type, _>(fields, |bytes| Ok(f64::from_be_bytes(exactly(bytes)?))),
            SqlType::Numeric { precision, scale, .. } => numerics(fields, *precision, *scale),
            SqlType::Date => primitive::<Date32Type, _>(fields, |bytes| date(i32::from_be_bytes(exactly(bytes)?))),
            SqlType::Time => primitive::<Time64MicrosecondType, _>(fields, time),
            SqlType::TimeTz => {
                let array = primitive_array::<TimestampMicrosecondType, _>(fields, zoned_time)?;
                Ok(Arc::new(array.with_timezone(catalog::zoned_time::TAG)))
            }
            SqlType::Timestamp => primitive::<TimestampMicrosecondType, _>(fields, micros),
            SqlType::TimestampTz => {
                let array = primitive_array::<TimestampMicrosecondType, _>(fields, micros)?;
                Ok(Arc::new(array.with_timezone("UTC")))
            }
            SqlType::Interval => primitive::<IntervalMonthDayNanoType, _>(fields, interval),
            SqlType::Uuid => uuids(fields, exactly),
            SqlType::Bytea => byteas(fields, Ok),
            SqlType::Array(element) => arrays(fields, element, &self.sql_type, &self.style),
            SqlType::Enum(known) => enums(fields, known, checked_text),
            _ => self.decode_texts(fields),
        }
    }

    /// The types whose binary form is their text.
    fn decode_texts<'a>(
        &self,
        fields: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) -> Result<ArrayRef, FieldError> {
        match &self.sql_type {
            SqlType::Varchar { length_max: Some(length) } => {
                strings(fields, |bytes| fit_varchar(checked_text(bytes)?, *length as usize))
            }
            SqlType::Bpchar { length } => strings(fields, |bytes| fit_bpchar(checked_text(bytes)?, *length)),
            SqlType::Name => strings(fields, name),
            SqlType::Char => strings(fields, |bytes| Ok(cut_bytes(checked_text(bytes)?, 1))),
            SqlType::Json => documents::<LargeBinaryType, _, _>(fields, |bytes| json::check(checked_text(bytes)?)),
            SqlType::Jsonb => documents::<LargeUtf8Type, _, _>(fields, |bytes| json::canonical(jsonb(bytes)?)),
            SqlType::Reg(_) => {
                let names = fields.map(|field| {
                    field.map(|bytes| Ok::<_, QueryError>(u32::from_be_bytes(exactly(bytes)?).to_string()))
                });
                let mut builder = arrow::array::StringViewBuilder::new();
                for (row, name) in names.enumerate() {
                    builder.append_option(name.transpose().map_err(|error| FieldError { row, error })?);
                }
                Ok(Arc::new(builder.finish()))
            }
            _ => strings(fields, checked_text),
        }
    }
}

fn micros(bytes: &[u8]) -> Result<i64, QueryError> {
    moment(i64::from_be_bytes(exactly(bytes)?))
}

fn numerics<'a>(
    fields: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    precision: u8,
    scale: i8,
) -> Result<ArrayRef, FieldError> {
    if precision <= 38 {
        let read = |bytes: &[u8]| binary_decimal128(bytes, precision, scale);
        let array = primitive_array::<Decimal128Type, _>(fields, read)?;
        return Ok(Arc::new(array.with_data_type(DataType::Decimal128(precision, scale))));
    }
    let read = |bytes: &[u8]| Digits::from_binary(bytes)?.to_scale(precision, scale);
    let array = primitive_array::<Decimal256Type, _>(fields, read)?;
    Ok(Arc::new(array.with_data_type(DataType::Decimal256(precision, scale))))
}

/// Arrays are read one by one as parameters are, and their elements put behind each other.
fn arrays<'a>(
    fields: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    element: &SqlType,
    sql_type: &SqlType,
    style: &OutputStyle,
) -> Result<ArrayRef, FieldError> {
    let item = element.data_type();
    let mut parts: Vec<ArrayRef> = Vec::new();
    let mut lengths = Vec::with_capacity(fields.len());
    let mut nulls = NullBufferBuilder::new(fields.len());
    for (row, field) in fields.enumerate() {
        let Some(bytes) = field else {
            nulls.append_null();
            lengths.push(0);
            continue;
        };
        let values = from_binary(bytes, sql_type, style).and_then(|scalar| match scalar {
            ScalarValue::List(list) => arrow::compute::cast(&list.value(0), &item).map_err(|_| array_failed()),
            _ => Err(array_failed()),
        });
        let values = values.map_err(|error| FieldError { row, error })?;
        nulls.append_non_null();
        lengths.push(values.len());
        parts.push(values);
    }
    let slices: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
    let values = match slices.as_slice() {
        [] => new_empty_array(&item),
        [one] => make_array(one.to_data()),
        several => arrow::compute::concat(several).map_err(|_| FieldError { row: 0, error: array_failed() })?,
    };
    let field = Arc::new(element.item_field());
    Ok(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, nulls.finish())))
}

fn array_failed() -> QueryError {
    QueryError::new(ErrorKind::Internal, "the elements of an array do not have its type")
}
