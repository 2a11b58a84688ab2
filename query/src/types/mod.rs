//! Each type's PostgreSQL text and binary form, in and out.
//!
//!     column ──encode_column──▶ text_out / binary_out ──▶ EncodedColumn      DataRow, COPY TO
//!     fields ──ColumnDecoder──▶ text_in / binary_columns ─▶ ArrayRef         COPY FROM, casts from text
//!     Bind   ──decode_parameter▶ text_in / binary_in  ──▶ ScalarValue
//!
//! Work goes by column: the type is matched once, then one loop runs that was compiled for it. What is printed and accepted is
//! what PostgreSQL 15 prints and accepts; where a value has no place in an Arrow type (`NaN` in a numeric column, `infinity`
//! in a date column) it is refused and the message says so. This module knows no session, no statement and no row: the
//! settings that change a printed form come in as an [`OutputStyle`].

mod array_text;
mod binary_columns;
mod binary_in;
mod binary_out;
mod datetime;
mod datetime_fields;
mod datetime_in;
mod datetime_words;
mod float;
mod interval;
mod interval_in;
pub(crate) mod json;
mod numeric;
mod plain_text;
pub(crate) mod shown_digits;
mod text_in;
mod text_out;
pub mod zone;

#[cfg(test)]
mod tests;

pub(crate) use array_text::split_elements;
pub use binary_in::decode_parameter;
pub(crate) use binary_in::{INCORRECT_FORMAT, plain_binary};
pub(crate) use datetime::{
    DAY_MICROS, POSTGRES_EPOCH_MICROS, SECOND_MICROS, civil_from_days, days_from_civil, days_in_month,
};
pub(crate) use datetime_in::{DATE_END, DAY_MIN};
pub(crate) use interval::push_interval;
pub(crate) use interval_in::parse_interval as interval_of_text;
pub(crate) use numeric::{natural_type, overflow as numeric_overflow, shown_digits_of};
pub use plain_text::FieldText;
pub use text_in::{ColumnDecoder, FieldError};
pub(crate) use text_in::{NAME_BYTES_MAX, checked_text, cut_bytes, cut_names, parse_boolean, plain_value};
pub(crate) use text_in::{enum_values, is_of_labels, natural_item_type};
pub use zone::Zone;
pub(crate) use zone::{ABBREVIATIONS, OffsetCache, colon_separated};

use crate::error::{ErrorKind, QueryError};
use crate::response::Format;
use arrow::array::{Array, ArrayRef, TimestampMicrosecondArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use std::sync::Arc;

/// The session's settings that change how values are printed and read. The output date style is always ISO and the interval
/// style always `postgres`; a session refuses the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputStyle {
    pub time_zone: Zone,
    /// How `1/2/2024` is read.
    pub date_order: DateOrder,
    pub bytea_output: ByteaOutput,
    /// Above 0: the shortest text that reads back as the same value. Otherwise so many digits more or less than 15 (6 for `real`).
    pub extra_float_digits: i32,
}

impl Default for OutputStyle {
    fn default() -> Self {
        Self { time_zone: Zone::UTC, date_order: DateOrder::Mdy, bytea_output: ByteaOutput::Hex, extra_float_digits: 1 }
    }
}

/// The second part of the DateStyle setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    #[default]
    Mdy,
    Dmy,
    Ymd,
}

/// The bytea_output setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteaOutput {
    Hex,
    Escape,
}

/// A column's values in a wire format, one after the other.
#[derive(Clone, Debug, Default)]
pub struct EncodedColumn {
    pub bytes: Vec<u8>,
    /// The end of each row's value in `bytes`; it starts where the one before ends. The value of a null is empty.
    pub ends: Vec<u32>,
    pub nulls: Option<NullBuffer>,
}

impl EncodedColumn {
    /// The value of a row; `None` for a null.
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        Some(&self.bytes[start..self.ends[row] as usize])
    }

    /// A column of `rows` nulls.
    pub fn all_null(rows: usize) -> Self {
        Self { bytes: Vec::new(), ends: vec![0; rows], nulls: Some(NullBuffer::new_null(rows)) }
    }

    /// Runs `write` for each row that is not null. `width` is a guess of the bytes that a value takes.
    fn build(array: &dyn Array, width: usize, mut write: impl FnMut(&mut Vec<u8>, usize)) -> Result<Self, QueryError> {
        let rows = array.len();
        let mut bytes = Vec::with_capacity(rows * width);
        let mut ends = Vec::with_capacity(rows);
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        match &nulls {
            None => {
                for row in 0..rows {
                    write(&mut bytes, row);
                    ends.push(bytes.len() as u32);
                }
            }
            Some(nulls) => {
                for row in 0..rows {
                    if nulls.is_valid(row) {
                        write(&mut bytes, row);
                    }
                    ends.push(bytes.len() as u32);
                }
            }
        }
        if u32::try_from(bytes.len()).is_err() {
            return Err(QueryError::new(
                ErrorKind::ProgramLimitExceeded,
                "a column of one batch takes more than 4 GB on the wire",
            ));
        }
        Ok(Self { bytes, ends, nulls })
    }
}

/// The wire form of a column. Any Arrow layout that an operator may produce for the type is accepted.
pub fn encode_column(
    array: &ArrayRef,
    sql_type: &SqlType,
    format: Format,
    style: &OutputStyle,
) -> Result<EncodedColumn, QueryError> {
    if matches!(array.data_type(), DataType::Null) {
        return Ok(EncodedColumn::all_null(array.len()));
    }
    let array = normalise(array, sql_type)?;
    match format {
        Format::Text => text_out::encode(&array, sql_type, style),
        Format::Binary => binary_out::encode(&array, sql_type),
    }
}

/// The text of one value, for partition labels and messages; `None` for a null or a value that cannot be printed.
pub fn value_text(array: &ArrayRef, row: usize, sql_type: &SqlType, style: &OutputStyle) -> Option<String> {
    let encoded = encode_column(&array.slice(row, 1), sql_type, Format::Text, style).ok()?;
    encoded.value(0).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// A time in microseconds since 1970 as PostgreSQL shows it in a time zone.
pub fn time_text(micros: i64, time_zone: Zone) -> String {
    let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"));
    let style = OutputStyle { time_zone, ..OutputStyle::default() };
    value_text(&array, 0, &SqlType::TimestampTz, &style).unwrap_or_else(|| micros.to_string())
}

/// Brings an array to one of the layouts that the encoders have a loop for.
fn normalise(array: &ArrayRef, sql_type: &SqlType) -> Result<ArrayRef, QueryError> {
    let target = match (sql_type, array.data_type()) {
        (_, DataType::Dictionary(_, value)) => {
            let flat = cast(array, value, sql_type)?;
            return normalise(&flat, sql_type);
        }
        (_, DataType::RunEndEncoded(_, value)) => {
            let flat = cast(array, value.data_type(), sql_type)?;
            return normalise(&flat, sql_type);
        }
        (
            SqlType::Text
            | SqlType::Varchar { .. }
            | SqlType::Bpchar { .. }
            | SqlType::Name
            | SqlType::Char
            | SqlType::Reg(_),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View,
        )
        | (SqlType::Bytea | SqlType::Uuid, DataType::Binary | DataType::BinaryView)
        | (SqlType::Bytea, DataType::FixedSizeBinary(_))
        | (SqlType::Numeric { .. }, DataType::Decimal128(..) | DataType::Decimal256(..))
        | (SqlType::Interval, DataType::Duration(_))
        | (SqlType::Array(_) | SqlType::Vector(_), DataType::List(_)) => return Ok(array.clone()),
        (SqlType::Timestamp | SqlType::TimestampTz, DataType::Timestamp(_, zone)) => {
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, zone.clone())
        }
        (SqlType::Numeric { .. }, DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale)) => {
            DataType::Decimal128(*precision, *scale)
        }
        (
            SqlType::Array(_) | SqlType::Vector(_),
            DataType::LargeList(element) | DataType::FixedSizeList(element, _),
        ) => DataType::List(element.clone()),
        (SqlType::Oid | SqlType::Reg(_), data_type) if data_type.is_integer() => DataType::Int64,
        (SqlType::Char | SqlType::Reg(_), _) => DataType::Utf8View,
        (other, _) => other.data_type(),
    };
    if *array.data_type() == target { Ok(array.clone()) } else { cast(array, &target, sql_type) }
}

/// A cast that fails rather than yields null.
fn cast(array: &ArrayRef, target: &DataType, sql_type: &SqlType) -> Result<ArrayRef, QueryError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, target, &options).map_err(|error| match error {
        arrow::error::ArrowError::NotYetImplemented(_) => QueryError::new(
            ErrorKind::CannotCoerce,
            format!("a value of the result cannot be shown as type {sql_type}"),
        ),
        _ => QueryError::new(ErrorKind::NumericOutOfRange, format!("{} out of range", sql_type.base_name())),
    })
}
