//! Parameters of Bind as scalar values.
//!
//! A parameter keeps what its value has: a numeric becomes a decimal of exactly its digits, so that nothing is rounded before the
//! statement sees it. Strings become `Utf8`, the type that DataFusion's own string literals have and coerces everywhere.

use super::OutputStyle;
use super::array_text::split_elements;
use super::binary_out::JSONB_VERSION;
use super::datetime::{DAY_MICROS, POSTGRES_EPOCH_DAYS, POSTGRES_EPOCH_MICROS};
use super::datetime_in::{DATE_END, DAY_MIN};
use super::numeric::Digits;
use super::text_in::{ColumnDecoder, NAME_BYTES_MAX, checked_text, is_plain, single};
use crate::error::{ErrorKind, QueryError};
use crate::response::{Format, ParameterValue};
use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use catalog::sql_type::SqlType;
use catalog::zoned_time::{ZONE_END_SECONDS, ZonedTime};
use datafusion::common::ScalarValue;
use std::sync::Arc;

/// The most elements that an array parameter can have; PostgreSQL's own limit is of the same size.
const ELEMENTS_MAX: usize = 1 << 26;

/// The most dimensions that PostgreSQL's arrays have.
const DIMENSIONS_MAX: i32 = 6;
/// What is said of a value with bytes behind its end; for parameters the caller adds which one it is.
pub(crate) const INCORRECT_FORMAT: &str = "incorrect binary data format";

/// Reads a parameter in either format.
pub fn decode_parameter(
    value: &ParameterValue,
    sql_type: &SqlType,
    style: &OutputStyle,
) -> Result<ScalarValue, QueryError> {
    let Some(bytes) = &value.bytes else { return null(sql_type) };
    match value.format {
        Format::Text => from_text(checked_text(bytes)?, sql_type, style),
        Format::Binary => from_binary(bytes, sql_type, style),
    }
}

fn null(sql_type: &SqlType) -> Result<ScalarValue, QueryError> {
    ScalarValue::try_from(&parameter_data_type(sql_type)).map_err(|_| internal())
}

/// The Arrow type of a parameter: a column's, but for strings.
fn parameter_data_type(sql_type: &SqlType) -> DataType {
    match sql_type.data_type() {
        DataType::Utf8View => DataType::Utf8,
        other => other,
    }
}

fn internal() -> QueryError {
    QueryError::new(ErrorKind::Internal, "a parameter could not be made a value")
}

/// A value with bytes behind its end.
pub(super) fn malformed() -> QueryError {
    invalid_representation(INCORRECT_FORMAT)
}

fn invalid_representation(message: impl Into<String>) -> QueryError {
    QueryError::new(ErrorKind::InvalidBinaryRepresentation, message)
}

/// A value that ends too early.
pub(super) fn insufficient() -> QueryError {
    QueryError::new(ErrorKind::ProtocolViolation, "insufficient data left in message")
}

fn from_text(text: &str, sql_type: &SqlType, style: &OutputStyle) -> Result<ScalarValue, QueryError> {
    match sql_type {
        SqlType::Numeric { declared: false, .. } => decimal(&Digits::parse(text)?),
        SqlType::Array(element) => {
            let elements = split_elements(text)?;
            let scalars: Result<Vec<_>, _> = elements
                .iter()
                .map(|element_text| match element_text {
                    Some(text) => from_text(text, element, style),
                    None => null(element),
                })
                .collect();
            list(scalars?, element)
        }
        _ => {
            if let Some(value) = single(text, sql_type, style) {
                return value;
            }
            let array = ColumnDecoder::new(sql_type.clone(), *style)
                .decode(std::iter::once(Some(text)))
                .map_err(|failure| failure.error)?;
            scalar_of(&array)
        }
    }
}

fn scalar_of(array: &ArrayRef) -> Result<ScalarValue, QueryError> {
    match ScalarValue::try_from_array(array, 0) {
        Ok(ScalarValue::Utf8View(text)) => Ok(ScalarValue::Utf8(text)),
        Ok(scalar) => Ok(scalar),
        Err(_) => Err(internal()),
    }
}

fn decimal(digits: &Digits) -> Result<ScalarValue, QueryError> {
    let (precision, scale) = digits.natural_type()?;
    decimal_of(digits, precision, scale)
}

fn decimal_of(digits: &Digits, precision: u8, scale: i8) -> Result<ScalarValue, QueryError> {
    let value = digits.to_scale(precision, scale)?;
    Ok(match value.to_i128() {
        Some(small) if precision <= 38 => ScalarValue::Decimal128(Some(small), precision, scale),
        _ => ScalarValue::Decimal256(Some(value), precision, scale),
    })
}

/// A value of a type that [`is_plain`] in its binary form; `None` for any other type, and for what [`decode_parameter`] refuses.
pub(crate) fn plain_binary(bytes: &[u8], sql_type: &SqlType, style: &OutputStyle) -> Option<ScalarValue> {
    is_plain(sql_type).then(|| from_binary(bytes, sql_type, style).ok()).flatten()
}

pub(super) fn from_binary(bytes: &[u8], sql_type: &SqlType, style: &OutputStyle) -> Result<ScalarValue, QueryError> {
    Ok(match sql_type {
        SqlType::Bool => ScalarValue::Boolean(Some(boolean(bytes)?)),
        SqlType::Int2 => ScalarValue::Int16(Some(i16::from_be_bytes(exactly(bytes)?))),
        SqlType::Int4 => ScalarValue::Int32(Some(i32::from_be_bytes(exactly(bytes)?))),
        SqlType::Int8 => ScalarValue::Int64(Some(i64::from_be_bytes(exactly(bytes)?))),
        SqlType::Oid => ScalarValue::Int64(Some(i64::from(u32::from_be_bytes(exactly(bytes)?)))),
        SqlType::Reg(_) => ScalarValue::Utf8(Some(u32::from_be_bytes(exactly(bytes)?).to_string())),
        SqlType::Float4 => ScalarValue::Float32(Some(f32::from_be_bytes(exactly(bytes)?))),
        SqlType::Float8 => ScalarValue::Float64(Some(f64::from_be_bytes(exactly(bytes)?))),
        SqlType::Numeric { precision, scale, declared } => {
            let digits = Digits::from_binary(bytes)?;
            if *declared { decimal_of(&digits, *precision, *scale)? } else { decimal(&digits)? }
        }
        SqlType::Text
        | SqlType::Varchar { .. }
        | SqlType::Bpchar { .. }
        | SqlType::Char
        | SqlType::Enum(_)
        | SqlType::Json => from_text(checked_text(bytes)?, sql_type, style)?,
        SqlType::Name => ScalarValue::Utf8(Some(name(bytes)?.to_string())),
        SqlType::Jsonb => from_text(jsonb(bytes)?, sql_type, style)?,
        SqlType::Date => ScalarValue::Date32(Some(date(i32::from_be_bytes(exactly(bytes)?))?)),
        SqlType::Time => ScalarValue::Time64Microsecond(Some(time(bytes)?)),
        SqlType::TimeTz => {
            ScalarValue::TimestampMicrosecond(Some(zoned_time(bytes)?), Some(catalog::zoned_time::TAG.into()))
        }
        SqlType::Timestamp => {
            ScalarValue::TimestampMicrosecond(Some(moment(i64::from_be_bytes(exactly(bytes)?))?), None)
        }
        SqlType::TimestampTz => {
            ScalarValue::TimestampMicrosecond(Some(moment(i64::from_be_bytes(exactly(bytes)?))?), Some("UTC".into()))
        }
        SqlType::Interval => ScalarValue::IntervalMonthDayNano(Some(interval(bytes)?)),
        SqlType::Uuid => ScalarValue::FixedSizeBinary(16, Some(exactly::<16>(bytes)?.to_vec())),
        SqlType::Bytea => ScalarValue::BinaryView(Some(bytes.to_vec())),
        SqlType::Array(element) | SqlType::Vector(element) => array(bytes, element, style)?,
        SqlType::Void => return Err(QueryError::unsupported("a value of type void")),
    })
}

#[inline]
pub(super) fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], QueryError> {
    bytes.try_into().map_err(|_| if bytes.len() < N { insufficient() } else { malformed() })
}

pub(super) fn boolean(bytes: &[u8]) -> Result<bool, QueryError> {
    match bytes {
        [value] => Ok(*value != 0),
        [] => Err(QueryError::new(ErrorKind::ProtocolViolation, "no data left in message")),
        _ => Err(malformed()),
    }
}

pub(super) fn time(bytes: &[u8]) -> Result<i64, QueryError> {
    match i64::from_be_bytes(exactly(bytes)?) {
        micros @ 0..=DAY_MICROS => Ok(micros),
        _ => Err(QueryError::new(ErrorKind::DatetimeOutOfRange, "time out of range")),
    }
}

/// Microseconds, and seconds west of Greenwich.
pub(super) fn zoned_time(bytes: &[u8]) -> Result<i64, QueryError> {
    let bytes: [u8; 12] = exactly(bytes)?;
    let micros = time(&bytes[..8])?;
    let mut west = [0; 4];
    west.copy_from_slice(&bytes[8..]);
    match i32::from_be_bytes(west) {
        west if (-ZONE_END_SECONDS + 1..ZONE_END_SECONDS).contains(&west) => {
            Ok(ZonedTime { micros, east: -west }.packed())
        }
        _ => Err(QueryError::new(ErrorKind::DisplacementOutOfRange, "time zone displacement out of range")),
    }
}

/// A name, which the binary format does not cut.
pub(super) fn name(bytes: &[u8]) -> Result<&str, QueryError> {
    if bytes.len() > NAME_BYTES_MAX {
        return Err(QueryError::new(ErrorKind::NameTooLong, "identifier too long")
            .detail(format!("Identifier must be less than {} characters.", NAME_BYTES_MAX + 1)));
    }
    checked_text(bytes)
}

/// The text of a jsonb, behind its version.
pub(super) fn jsonb(bytes: &[u8]) -> Result<&str, QueryError> {
    match bytes.split_first() {
        Some((&JSONB_VERSION, text)) => checked_text(text),
        Some((version, _)) => Err(invalid_representation(format!("unsupported jsonb version number {version}"))),
        None => Err(insufficient()),
    }
}

pub(super) fn date(days: i32) -> Result<i32, QueryError> {
    if matches!(days, i32::MIN | i32::MAX) {
        return Err(QueryError::unsupported("an infinite date"));
    }
    days.checked_add(POSTGRES_EPOCH_DAYS)
        .filter(|days| (DAY_MIN..DATE_END).contains(&i64::from(*days)))
        .ok_or_else(|| QueryError::new(ErrorKind::DatetimeOutOfRange, "date out of range"))
}

pub(super) fn moment(micros: i64) -> Result<i64, QueryError> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return Err(QueryError::unsupported("an infinite timestamp"));
    }
    micros
        .checked_add(POSTGRES_EPOCH_MICROS)
        .filter(|micros| *micros >= DAY_MIN * DAY_MICROS)
        .ok_or_else(|| QueryError::new(ErrorKind::DatetimeOutOfRange, "timestamp out of range"))
}

pub(super) fn interval(bytes: &[u8]) -> Result<IntervalMonthDayNano, QueryError> {
    let bytes: [u8; 16] = exactly(bytes)?;
    let (micros, rest) = bytes.split_at(8);
    let (days, months) = rest.split_at(4);
    let nanos = i64::from_be_bytes(exactly(micros)?).checked_mul(1000);
    let nanos = nanos.ok_or_else(|| QueryError::new(ErrorKind::DatetimeOutOfRange, "interval out of range"))?;
    Ok(IntervalMonthDayNano::new(i32::from_be_bytes(exactly(months)?), i32::from_be_bytes(exactly(days)?), nanos))
}

/// One dimension: `1, has nulls, element OID, size, lower bound`, then a length and the bytes of each element.
fn array(bytes: &[u8], element: &SqlType, style: &OutputStyle) -> Result<ScalarValue, QueryError> {
    let mut rest = bytes;
    let mut next = || -> Result<i32, QueryError> {
        let (word, after) = rest.split_at_checked(4).ok_or_else(insufficient)?;
        rest = after;
        exactly(word).map(i32::from_be_bytes)
    };
    let dimensions = next()?;
    check_dimensions(dimensions)?;
    // Whether there are NULLs is told by the lengths.
    if !matches!(next()?, 0 | 1) {
        return Err(invalid_representation("invalid array flags"));
    }
    check_element(next()? as u32, element)?;
    match dimensions {
        0 => return list(Vec::new(), element),
        1 => {}
        _ => return Err(QueryError::unsupported("an array of more than one dimension as input")),
    }
    let size = usize::try_from(next()?).map_err(|_| malformed())?;
    let _lower_bound = next()?;
    if size > ELEMENTS_MAX {
        return Err(malformed());
    }
    // Each element takes at least its length word.
    if size > rest.len() / 4 {
        return Err(insufficient());
    }
    let mut scalars = Vec::with_capacity(size);
    for _ in 0..size {
        let (word, after) = rest.split_at_checked(4).ok_or_else(insufficient)?;
        let length = i32::from_be_bytes(exactly(word)?);
        rest = after;
        if length == -1 {
            scalars.push(null(element)?);
            continue;
        }
        let length = usize::try_from(length).map_err(|_| insufficient())?;
        let (value, after) = rest.split_at_checked(length).ok_or_else(insufficient)?;
        rest = after;
        scalars.push(from_binary(value, element, style)?);
    }
    if rest.is_empty() { list(scalars, element) } else { Err(malformed()) }
}

fn check_dimensions(dimensions: i32) -> Result<(), QueryError> {
    match dimensions {
        0..=DIMENSIONS_MAX => Ok(()),
        ..0 => Err(invalid_representation(format!("invalid number of dimensions: {dimensions}"))),
        _ => {
            let message =
                format!("number of array dimensions ({dimensions}) exceeds the maximum allowed ({DIMENSIONS_MAX})");
            Err(QueryError::new(ErrorKind::ProgramLimitExceeded, message))
        }
    }
}

/// Refuses elements that are told to be of another type.
fn check_element(oid: u32, element: &SqlType) -> Result<(), QueryError> {
    if oid == element.oid() {
        return Ok(());
    }
    let told = SqlType::from_oid(oid).map_or_else(|| "???".to_string(), |known| known.base_name());
    let (expected, name) = (element.oid(), element.base_name());
    let message = format!("binary data has array element type {oid} ({told}) instead of expected {expected} ({name})");
    Err(QueryError::new(ErrorKind::DatatypeMismatch, message))
}

/// A list value over elements; decimals of different scales get one type that holds them all.
fn list(scalars: Vec<ScalarValue>, element: &SqlType) -> Result<ScalarValue, QueryError> {
    let data_type = match element {
        SqlType::Numeric { declared: false, .. } => common_decimal(&scalars)?,
        _ => parameter_data_type(element),
    };
    let mut field = element.item_field();
    field.set_data_type(data_type.clone());
    let values = if scalars.is_empty() {
        arrow::array::new_empty_array(&data_type)
    } else {
        let cast: Result<Vec<_>, _> = scalars.iter().map(|scalar| scalar.cast_to(&data_type)).collect();
        ScalarValue::iter_to_array(cast.map_err(|_| internal())?).map_err(|_| internal())?
    };
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::new(Arc::new(field), offsets, values, None))))
}

fn common_decimal(scalars: &[ScalarValue]) -> Result<DataType, QueryError> {
    let (mut whole, mut scale) = (1u8, 0i8);
    for scalar in scalars {
        let (precision, own_scale) = match scalar {
            ScalarValue::Decimal128(Some(_), precision, scale) | ScalarValue::Decimal256(Some(_), precision, scale) => {
                (*precision, *scale)
            }
            _ => continue,
        };
        whole = whole.max(precision.saturating_sub(own_scale.unsigned_abs()));
        scale = scale.max(own_scale);
    }
    match whole + scale.unsigned_abs() {
        precision @ 0..=38 => Ok(DataType::Decimal128(precision, scale)),
        precision @ 39..=76 => Ok(DataType::Decimal256(precision, scale)),
        _ => Err(QueryError::new(
            ErrorKind::NumericOutOfRange,
            "the numeric elements of an array differ too much in size",
        )),
    }
}
