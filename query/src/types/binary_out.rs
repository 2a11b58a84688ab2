//! Columns in PostgreSQL's binary format: big-endian numbers, days and microseconds from 2000-01-01.

use super::datetime::{DAY_MICROS, POSTGRES_EPOCH_DAYS, POSTGRES_EPOCH_MICROS};
use super::numeric::{push_binary_shown, push_binary128, push_binary256};
use super::shown_digits::QUOTIENT_SCALE;
use super::text_out::{bytes_of, duration_micros, labels, padded, text, unexpected};
use super::{EncodedColumn, OutputStyle, encode_column};
use crate::error::{ErrorKind, QueryError};
use crate::response::Format;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, i256,
};
use catalog::sql_type::SqlType;
use catalog::zoned_time::ZonedTime;

/// The first byte of a jsonb, before its text.
pub(super) const JSONB_VERSION: u8 = 1;

/// Encodes an array that was normalised for its type.
pub(super) fn encode(array: &ArrayRef, sql_type: &SqlType) -> Result<EncodedColumn, QueryError> {
    match (sql_type, array.data_type()) {
        (SqlType::Bool, _) => {
            let values = array.as_boolean();
            EncodedColumn::build(array, 1, |out, row| out.push(u8::from(values.value(row))))
        }
        (SqlType::Oid | SqlType::Reg(_), DataType::Int64) => {
            let values = array.as_primitive::<Int64Type>().values();
            fixed(array, |row| (values[row] as u32).to_be_bytes())
        }
        (SqlType::Reg(_), _) => reg_names(array, sql_type),
        (_, DataType::Int16) => {
            let values = array.as_primitive::<Int16Type>().values();
            fixed(array, |row| values[row].to_be_bytes())
        }
        (_, DataType::Int32) => {
            let values = array.as_primitive::<Int32Type>().values();
            fixed(array, |row| values[row].to_be_bytes())
        }
        (_, DataType::Int64) => {
            let values = array.as_primitive::<Int64Type>().values();
            fixed(array, |row| values[row].to_be_bytes())
        }
        (_, DataType::Float32) => {
            let values = array.as_primitive::<Float32Type>().values();
            fixed(array, |row| values[row].to_be_bytes())
        }
        (_, DataType::Float64) => {
            let values = array.as_primitive::<Float64Type>().values();
            fixed(array, |row| values[row].to_be_bytes())
        }
        (SqlType::Numeric { declared: false, .. }, DataType::Decimal256(_, scale)) if *scale >= QUOTIENT_SCALE => {
            let values = array.as_primitive::<Decimal256Type>().values();
            EncodedColumn::build(array, 20, |out, row| push_binary_shown(out, values[row], *scale))
        }
        (SqlType::Numeric { declared: false, .. }, DataType::Decimal128(_, scale)) if *scale >= QUOTIENT_SCALE => {
            let values = array.as_primitive::<Decimal128Type>().values();
            EncodedColumn::build(array, 20, |out, row| push_binary_shown(out, i256::from_i128(values[row]), *scale))
        }
        (_, DataType::Decimal128(_, scale)) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            EncodedColumn::build(array, 14, |out, row| push_binary128(out, values[row], *scale))
        }
        (_, DataType::Decimal256(_, scale)) => {
            let values = array.as_primitive::<Decimal256Type>().values();
            EncodedColumn::build(array, 20, |out, row| push_binary256(out, values[row], *scale))
        }
        (SqlType::Bytea | SqlType::Uuid | SqlType::Json, _) => {
            bytes_of(array, 16, |out, value| out.extend_from_slice(value))
        }
        (SqlType::Bpchar { length: Some(length) }, _) => padded(array, *length as usize),
        (SqlType::Jsonb, DataType::LargeUtf8) => {
            let values = array.as_string::<i64>();
            EncodedColumn::build(array, 32, |out, row| {
                out.push(JSONB_VERSION);
                out.extend_from_slice(values.value(row).as_bytes());
            })
        }
        (_, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => text(array),
        (SqlType::Array(element), DataType::List(_)) => list(array, element, 1),
        (SqlType::Vector(element), DataType::List(_)) => list(array, element, 0),
        (SqlType::Enum(known), _) => labels(array, known),
        (SqlType::TimeTz, _) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            fixed(array, |row| {
                let (time, mut bytes) = (ZonedTime::unpacked(values[row]), [0; 12]);
                bytes[..8].copy_from_slice(&time.micros.to_be_bytes());
                bytes[8..].copy_from_slice(&(-time.east).to_be_bytes());
                bytes
            })
        }
        _ => temporal(array),
    }
}

fn fixed<const N: usize>(array: &ArrayRef, value: impl Fn(usize) -> [u8; N]) -> Result<EncodedColumn, QueryError> {
    EncodedColumn::build(array, N, |out, row| out.extend_from_slice(&value(row)))
}

/// `regclass` and its like travel as OIDs, which names do not have here; a name that is a number is one.
fn reg_names(array: &ArrayRef, sql_type: &SqlType) -> Result<EncodedColumn, QueryError> {
    let names = text(array)?;
    let mut encoded = EncodedColumn { bytes: Vec::new(), ends: Vec::new(), nulls: names.nulls.clone() };
    for row in 0..array.len() {
        if let Some(name) = names.value(row) {
            let number = std::str::from_utf8(name).ok().and_then(|name| name.parse::<u32>().ok());
            let Some(number) = number else {
                return Err(QueryError::unsupported(format!("the binary format of type {sql_type}"))
                    .hint("Cast the column to text or to oid."));
            };
            encoded.bytes.extend_from_slice(&number.to_be_bytes());
        }
        encoded.ends.push(encoded.bytes.len() as u32);
    }
    Ok(encoded)
}

fn temporal(array: &ArrayRef) -> Result<EncodedColumn, QueryError> {
    match array.data_type() {
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            fixed(array, |row| match values[row] {
                infinity @ (i32::MIN | i32::MAX) => infinity.to_be_bytes(),
                days => days.saturating_sub(POSTGRES_EPOCH_DAYS).to_be_bytes(),
            })
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let values = array.as_primitive::<Time64MicrosecondType>().values();
            fixed(array, |row| values[row].to_be_bytes())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            fixed(array, |row| match values[row] {
                infinity @ (i64::MIN | i64::MAX) => infinity.to_be_bytes(),
                micros => micros.saturating_sub(POSTGRES_EPOCH_MICROS).to_be_bytes(),
            })
        }
        DataType::Interval(_) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
            fixed(array, |row| interval(values[row].months, values[row].days, values[row].nanoseconds / 1000))
        }
        DataType::Duration(_) => {
            let micros = duration_micros(array)?;
            fixed(array, |row| interval(0, (micros[row] / DAY_MICROS) as i32, micros[row] % DAY_MICROS))
        }
        other => Err(unexpected(other)),
    }
}

fn interval(months: i32, days: i32, micros: i64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&micros.to_be_bytes());
    bytes[8..12].copy_from_slice(&days.to_be_bytes());
    bytes[12..].copy_from_slice(&months.to_be_bytes());
    bytes
}

/// Dimensions, whether there are nulls, the element's OID, each dimension's size and lower bound, then the elements.
fn list(array: &ArrayRef, element: &SqlType, lower_bound: i32) -> Result<EncodedColumn, QueryError> {
    if matches!(element, SqlType::Array(_)) {
        return Err(QueryError::unsupported("the binary format of arrays of arrays"));
    }
    let values = array.as_list::<i32>();
    let encoded = encode_column(values.values(), element, Format::Binary, &OutputStyle::default())?;
    let offsets = values.value_offsets();
    let encoded_column = EncodedColumn::build(array, 48, |out, row| {
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        let has_null = range.clone().any(|index| encoded.value(index).is_none());
        out.extend_from_slice(&i32::from(!range.is_empty()).to_be_bytes());
        out.extend_from_slice(&i32::from(has_null).to_be_bytes());
        out.extend_from_slice(&element.oid().to_be_bytes());
        if !range.is_empty() {
            out.extend_from_slice(&(range.len() as i32).to_be_bytes());
            out.extend_from_slice(&lower_bound.to_be_bytes());
        }
        for index in range {
            match encoded.value(index) {
                None => out.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(value) => {
                    out.extend_from_slice(&(value.len() as i32).to_be_bytes());
                    out.extend_from_slice(value);
                }
            }
        }
    })?;
    if encoded_column.bytes.len() > i32::MAX as usize {
        return Err(QueryError::new(ErrorKind::ProgramLimitExceeded, "array size exceeds the maximum allowed"));
    }
    Ok(encoded_column)
}
