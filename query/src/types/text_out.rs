//! Columns as PostgreSQL's text: one loop for each Arrow layout.

use super::array_text::push_element;
use super::datetime::{DAY_MICROS, push_date, push_offset, push_time, push_timestamp, push_timestamptz};
use super::float::{push_double, push_real};
use super::interval::push_interval;
use super::numeric::{push_decimal128, push_decimal256, push_shown};
use super::shown_digits::QUOTIENT_SCALE;
use super::zone::OffsetCache;
use super::{ByteaOutput, EncodedColumn, OutputStyle, encode_column};
use crate::error::{ErrorKind, QueryError};
use crate::response::Format;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, i256,
};
use catalog::enum_type::EnumType;
use catalog::sql_type::SqlType;
use catalog::zoned_time::ZonedTime;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Encodes an array that was normalised for its type.
pub(super) fn encode(array: &ArrayRef, sql_type: &SqlType, style: &OutputStyle) -> Result<EncodedColumn, QueryError> {
    match (sql_type, array.data_type()) {
        (SqlType::Bool, _) => {
            let values = array.as_boolean();
            EncodedColumn::build(array, 1, |out, row| out.push(if values.value(row) { b't' } else { b'f' }))
        }
        (_, DataType::Int16) => integers(array, array.as_primitive::<Int16Type>().values()),
        (_, DataType::Int32) => integers(array, array.as_primitive::<Int32Type>().values()),
        (_, DataType::Int64) => integers(array, array.as_primitive::<Int64Type>().values()),
        (_, DataType::Float32) => {
            let values = array.as_primitive::<Float32Type>().values();
            EncodedColumn::build(array, 10, |out, row| push_real(out, values[row], style.extra_float_digits))
        }
        (_, DataType::Float64) => {
            let values = array.as_primitive::<Float64Type>().values();
            EncodedColumn::build(array, 16, |out, row| push_double(out, values[row], style.extra_float_digits))
        }
        (SqlType::Numeric { declared: false, .. }, DataType::Decimal256(_, scale)) if *scale >= QUOTIENT_SCALE => {
            let values = array.as_primitive::<Decimal256Type>().values();
            EncodedColumn::build(array, 24, |out, row| push_shown(out, values[row], *scale))
        }
        (SqlType::Numeric { declared: false, .. }, DataType::Decimal128(_, scale)) if *scale >= QUOTIENT_SCALE => {
            let values = array.as_primitive::<Decimal128Type>().values();
            EncodedColumn::build(array, 24, |out, row| push_shown(out, i256::from_i128(values[row]), *scale))
        }
        (_, DataType::Decimal128(_, scale)) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            EncodedColumn::build(array, 12, |out, row| push_decimal128(out, values[row], *scale))
        }
        (_, DataType::Decimal256(_, scale)) => {
            let values = array.as_primitive::<Decimal256Type>().values();
            EncodedColumn::build(array, 24, |out, row| push_decimal256(out, values[row], *scale))
        }
        (SqlType::Bytea | SqlType::Uuid, _) => binary(array, sql_type, style),
        (SqlType::Json, _) => bytes_of(array, 32, |out, value| out.extend_from_slice(value)),
        (SqlType::Bpchar { length: Some(length) }, _) => padded(array, *length as usize),
        (_, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => text(array),
        (SqlType::Array(element), DataType::List(_)) => list(array, element, style),
        (SqlType::Vector(element), DataType::List(_)) => vector(array, element, style),
        (SqlType::Enum(known), _) => labels(array, known),
        (SqlType::TimeTz, _) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            EncodedColumn::build(array, 18, |out, row| {
                let time = ZonedTime::unpacked(values[row]);
                push_time(out, time.micros);
                push_offset(out, time.east);
            })
        }
        _ => temporal(array, style),
    }
}

/// The labels of an enum's values, which are their binary form too. A type may have got labels since it was asked for; the values know them.
pub(super) fn labels(array: &ArrayRef, known: &EnumType) -> Result<EncodedColumn, QueryError> {
    let values = array.as_primitive::<TimestampMicrosecondType>().values();
    let newer = EnumType::of_data_type(array.data_type());
    EncodedColumn::build(array, 12, |out, row| {
        let label = known.label_at(values[row]).or_else(|| newer.as_ref()?.label_at(values[row]));
        out.extend(label.into_iter().flat_map(|label| label.name.bytes()));
    })
}

fn integers<N: itoa::Integer + Copy>(array: &ArrayRef, values: &[N]) -> Result<EncodedColumn, QueryError> {
    let mut buffer = itoa::Buffer::new();
    EncodedColumn::build(array, 8, |out, row| out.extend_from_slice(buffer.format(values[row]).as_bytes()))
}

/// Texts with the blanks that make them as long as their type.
pub(super) fn padded(array: &ArrayRef, length: usize) -> Result<EncodedColumn, QueryError> {
    let plain = text(array)?;
    EncodedColumn::build(array, length, |out, row| {
        let value = plain.value(row).unwrap_or_default();
        out.extend_from_slice(value);
        let characters = value.iter().filter(|byte| (**byte as i8) >= -0x40).count();
        out.extend(std::iter::repeat_n(b' ', length.saturating_sub(characters)));
    })
}

/// Strings in any of their layouts, as they are.
pub(super) fn text(array: &ArrayRef) -> Result<EncodedColumn, QueryError> {
    match array.data_type() {
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            EncodedColumn::build(array, 16, |out, row| out.extend_from_slice(values.value(row).as_bytes()))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            EncodedColumn::build(array, 16, |out, row| out.extend_from_slice(values.value(row).as_bytes()))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            EncodedColumn::build(array, 16, |out, row| out.extend_from_slice(values.value(row).as_bytes()))
        }
        other => Err(unexpected(other)),
    }
}

/// Runs `write` over the values of binary arrays in any of their layouts.
pub(super) fn bytes_of(
    array: &ArrayRef,
    width: usize,
    mut write: impl FnMut(&mut Vec<u8>, &[u8]),
) -> Result<EncodedColumn, QueryError> {
    match array.data_type() {
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            EncodedColumn::build(array, width, |out, row| write(out, values.value(row)))
        }
        DataType::LargeBinary => {
            let values = array.as_binary::<i64>();
            EncodedColumn::build(array, width, |out, row| write(out, values.value(row)))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            EncodedColumn::build(array, width, |out, row| write(out, values.value(row)))
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            EncodedColumn::build(array, width, |out, row| write(out, values.value(row)))
        }
        other => Err(unexpected(other)),
    }
}

fn binary(array: &ArrayRef, sql_type: &SqlType, style: &OutputStyle) -> Result<EncodedColumn, QueryError> {
    match (sql_type, style.bytea_output) {
        (SqlType::Uuid, _) => bytes_of(array, 36, push_uuid),
        (_, ByteaOutput::Hex) => bytes_of(array, 34, push_hex),
        (_, ByteaOutput::Escape) => bytes_of(array, 16, push_escaped),
    }
}

fn push_uuid(out: &mut Vec<u8>, value: &[u8]) {
    for (index, byte) in value.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

fn push_hex(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b"\\x");
    out.extend(value.iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]));
}

fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x20..=0x7e => out.push(*byte),
            _ => out.extend_from_slice(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]),
        }
    }
}

fn temporal(array: &ArrayRef, style: &OutputStyle) -> Result<EncodedColumn, QueryError> {
    match array.data_type() {
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            EncodedColumn::build(array, 10, |out, row| push_date(out, values[row]))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let values = array.as_primitive::<Time64MicrosecondType>().values();
            EncodedColumn::build(array, 15, |out, row| push_time(out, values[row]))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            EncodedColumn::build(array, 20, |out, row| push_timestamp(out, values[row]))
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            let mut zone = OffsetCache::new(style.time_zone);
            EncodedColumn::build(array, 23, |out, row| push_timestamptz(out, values[row], &mut zone))
        }
        DataType::Interval(_) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
            EncodedColumn::build(array, 16, |out, row| {
                let value = values[row];
                push_interval(out, value.months, value.days, value.nanoseconds / 1000)
            })
        }
        _ => {
            let micros = duration_micros(array)?;
            EncodedColumn::build(array, 16, |out, row| {
                push_interval(out, 0, (micros[row] / DAY_MICROS) as i32, micros[row] % DAY_MICROS)
            })
        }
    }
}

/// Microseconds of a duration, which is what a difference of two timestamps gives; shown with its whole days taken out, as
/// PostgreSQL shows such a difference.
pub(super) fn duration_micros(array: &ArrayRef) -> Result<Vec<i64>, QueryError> {
    let out_of_range = || QueryError::new(ErrorKind::DatetimeOutOfRange, "interval out of range");
    let scaled = |values: &[i64], factor: i64| -> Result<Vec<i64>, QueryError> {
        let micros = |value: &i64| value.checked_mul(factor).ok_or_else(out_of_range);
        values.iter().map(micros).collect()
    };
    match array.data_type() {
        DataType::Duration(TimeUnit::Second) => scaled(array.as_primitive::<DurationSecondType>().values(), 1_000_000),
        DataType::Duration(TimeUnit::Millisecond) => {
            scaled(array.as_primitive::<DurationMillisecondType>().values(), 1000)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            Ok(array.as_primitive::<DurationMicrosecondType>().values().to_vec())
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            Ok(array.as_primitive::<DurationNanosecondType>().values().iter().map(|nanos| nanos / 1000).collect())
        }
        other => Err(unexpected(other)),
    }
}

fn list(array: &ArrayRef, element: &SqlType, style: &OutputStyle) -> Result<EncodedColumn, QueryError> {
    let values = array.as_list::<i32>();
    let encoded = encode_column(values.values(), element, Format::Text, style)?;
    let nested = matches!(element, SqlType::Array(_));
    let offsets = values.value_offsets();
    EncodedColumn::build(array, 24, |out, row| {
        out.push(b'{');
        for index in offsets[row] as usize..offsets[row + 1] as usize {
            if index > offsets[row] as usize {
                out.push(b',');
            }
            match encoded.value(index) {
                None => out.extend_from_slice(b"NULL"),
                Some(text) if nested => out.extend_from_slice(text),
                Some(text) => push_element(out, text),
            }
        }
        out.push(b'}');
    })
}

/// The elements of `int2vector` and `oidvector`, which are never NULL, with blanks between.
fn vector(array: &ArrayRef, element: &SqlType, style: &OutputStyle) -> Result<EncodedColumn, QueryError> {
    let values = array.as_list::<i32>();
    let encoded = encode_column(values.values(), element, Format::Text, style)?;
    let offsets = values.value_offsets();
    EncodedColumn::build(array, 16, |out, row| {
        for (place, index) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
            if place > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(encoded.value(index).unwrap_or_default());
        }
    })
}

pub(super) fn unexpected(data_type: &DataType) -> QueryError {
    debug_assert!(false, "no encoder for {data_type}");
    QueryError::new(ErrorKind::Internal, "a result column has a layout that cannot be sent")
}
