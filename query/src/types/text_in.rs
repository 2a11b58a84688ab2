//! Columns from PostgreSQL's text: one loop for each type, chosen once per column.

use super::OutputStyle;
use super::array_text::split_elements;
use super::datetime_in::{parse_date, parse_time, parse_timestamp, parse_timestamptz, parse_zoned_time};
use super::float::{is_space, parse_double, parse_real};
use super::interval_in::parse_interval;
use super::json;
use super::numeric::{parse_decimal128, parse_decimal256};
use super::plain_text::{FieldText, PlainDecimals, plain_integer};
use crate::error::{ErrorKind, QueryError};
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewBuilder, BooleanArray, BooleanBufferBuilder, FixedSizeBinaryArray,
    GenericByteBuilder, ListArray, NullBufferBuilder, PrimitiveArray, StringViewArray, StringViewBuilder,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ByteArrayType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, LargeBinaryType, LargeUtf8Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use catalog::enum_type::EnumType;
use catalog::sql_type::{NUMERIC_PRECISION_MAX, SqlType};
use catalog::type_names::TypeNames;
use catalog::zoned_time;
use datafusion::common::ScalarValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A guess of the bytes of a JSON value.
const DOCUMENT_BYTES: usize = 64;
/// The longest `name`, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// Reads fields of one type into an array of [`SqlType::data_type`].
#[derive(Clone, Debug)]
pub struct ColumnDecoder {
    pub(super) sql_type: SqlType,
    pub(super) style: OutputStyle,
    /// What errors call the type of labels.
    pub(super) names: Option<TypeNames>,
}

/// A field that could not be read: which one, counted from 0, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub row: usize,
    pub error: QueryError,
}

impl ColumnDecoder {
    pub fn new(sql_type: SqlType, style: OutputStyle) -> Self {
        let names = if is_of_labels(&sql_type) { TypeNames::current() } else { None };
        Self { sql_type, style, names }
    }

    pub fn sql_type(&self) -> &SqlType {
        &self.sql_type
    }

    /// The same as [`Self::decode`] of the fields' texts; plain numbers are read faster, because more than their own text is known.
    pub fn decode_fields<'a>(
        &self,
        fields: impl ExactSizeIterator<Item = Option<FieldText<'a>>>,
    ) -> Result<ArrayRef, FieldError> {
        match &self.sql_type {
            SqlType::Int2 => primitive::<Int16Type, _>(fields, |field| read_integer(field, "smallint")),
            SqlType::Int4 => primitive::<Int32Type, _>(fields, |field| read_integer(field, "integer")),
            SqlType::Int8 => primitive::<Int64Type, _>(fields, |field| read_integer(field, "bigint")),
            SqlType::Numeric { precision, scale, .. } => match PlainDecimals::of(*precision, *scale) {
                Some(plain) => {
                    let array = primitive_array::<Decimal128Type, _>(fields, |field| match plain.read(field) {
                        Some(value) => Ok(value),
                        None => parse_decimal128(field.text(), *precision, *scale),
                    })?;
                    Ok(Arc::new(array.with_data_type(DataType::Decimal128(*precision, *scale))))
                }
                None => self.decode(fields.map(|field| field.map(FieldText::text))),
            },
            _ => self.decode(fields.map(|field| field.map(FieldText::text))),
        }
    }

    /// Reads the fields in their order; `None` is a null. Stops at the first field that is not a value of the type.
    pub fn decode<'a>(&self, fields: impl ExactSizeIterator<Item = Option<&'a str>>) -> Result<ArrayRef, FieldError> {
        let _names = self.names.as_ref().map(TypeNames::enter);
        let style = &self.style;
        match &self.sql_type {
            SqlType::Bool => booleans(fields, parse_boolean),
            SqlType::Int2 => primitive::<Int16Type, _>(fields, |text| parse_integer(text, "smallint")),
            SqlType::Int4 => primitive::<Int32Type, _>(fields, |text| parse_integer(text, "integer")),
            SqlType::Int8 => primitive::<Int64Type, _>(fields, |text| parse_integer(text, "bigint")),
            SqlType::Oid => primitive::<Int64Type, _>(fields, parse_oid),
            SqlType::Float4 => primitive::<Float32Type, _>(fields, parse_real),
            SqlType::Float8 => primitive::<Float64Type, _>(fields, parse_double),
            SqlType::Numeric { precision, scale, .. } if *precision <= 38 => {
                let array =
                    primitive_array::<Decimal128Type, _>(fields, |text| parse_decimal128(text, *precision, *scale))?;
                Ok(Arc::new(array.with_data_type(DataType::Decimal128(*precision, *scale))))
            }
            SqlType::Numeric { precision, scale, .. } => {
                let array =
                    primitive_array::<Decimal256Type, _>(fields, |text| parse_decimal256(text, *precision, *scale))?;
                Ok(Arc::new(array.with_data_type(DataType::Decimal256(*precision, *scale))))
            }
            SqlType::Text | SqlType::Reg(_) | SqlType::Void => strings(fields, Ok),
            SqlType::Varchar { length_max: None } => strings(fields, Ok),
            SqlType::Varchar { length_max: Some(length) } => {
                strings(fields, |text| fit_varchar(text, *length as usize))
            }
            SqlType::Bpchar { length } => strings(fields, |text| fit_bpchar(text, *length)),
            SqlType::Name => strings(fields, |text| Ok(cut_bytes(text, NAME_BYTES_MAX))),
            SqlType::Char => strings(fields, |text| Ok(cut_bytes(text, 1))),
            SqlType::Json => documents::<LargeBinaryType, _, _>(fields, json::check),
            SqlType::Jsonb => documents::<LargeUtf8Type, _, _>(fields, json::canonical),
            SqlType::Date => primitive::<Date32Type, _>(fields, |text| parse_date(text, style)),
            SqlType::Time => primitive::<Time64MicrosecondType, _>(fields, |text| parse_time(text, style)),
            SqlType::TimeTz => {
                let array =
                    primitive_array::<TimestampMicrosecondType, _>(fields, |text| parse_zoned_time(text, style))?;
                Ok(Arc::new(array.with_timezone(zoned_time::TAG)))
            }
            SqlType::Timestamp => primitive::<TimestampMicrosecondType, _>(fields, |text| parse_timestamp(text, style)),
            SqlType::TimestampTz => {
                let array =
                    primitive_array::<TimestampMicrosecondType, _>(fields, |text| parse_timestamptz(text, style))?;
                Ok(Arc::new(array.with_timezone("UTC")))
            }
            SqlType::Interval => primitive::<IntervalMonthDayNanoType, _>(fields, parse_interval),
            SqlType::Uuid => uuids(fields, parse_uuid),
            SqlType::Bytea => byteas(fields, parse_bytea),
            SqlType::Array(element) | SqlType::Vector(element) => arrays(fields, element, style),
            SqlType::Enum(known) => enums(fields, known, Ok),
        }
    }
}

/// Whether values are labels of an enum, or arrays of such.
pub(crate) fn is_of_labels(sql_type: &SqlType) -> bool {
    match sql_type {
        SqlType::Array(element) => is_of_labels(element),
        other => matches!(other, SqlType::Enum(_)),
    }
}

/// Labels as the values that they stand for.
pub(super) fn enums<'a, V>(
    fields: impl ExactSizeIterator<Item = Option<V>>,
    known: &EnumType,
    text: impl Fn(V) -> Result<&'a str, QueryError>,
) -> Result<ArrayRef, FieldError> {
    let labels = &known.parts().labels;
    let positions: HashMap<&str, i64> = labels.iter().map(|label| (label.name.as_str(), label.position)).collect();
    let array = primitive_array::<TimestampMicrosecondType, _>(fields, |field| {
        let label = text(field)?;
        positions.get(label).copied().ok_or_else(|| {
            let message = format!("invalid input value for enum {}: \"{label}\"", known.shown_name());
            QueryError::new(ErrorKind::InvalidTextRepresentation, message)
        })
    })?;
    Ok(Arc::new(array.with_timezone(Arc::clone(known.tag()))))
}

/// The values that labels stand for.
pub(crate) fn enum_values<'a>(
    labels: impl ExactSizeIterator<Item = Option<&'a str>>,
    known: &EnumType,
) -> Result<ArrayRef, QueryError> {
    enums(labels, known, Ok).map_err(|failure| failure.error)
}

/// One value, as [`ColumnDecoder::decode`] reads it; `None` for types whose values are read by the column only.
pub(super) fn single(text: &str, sql_type: &SqlType, style: &OutputStyle) -> Option<Result<ScalarValue, QueryError>> {
    Some(match sql_type {
        SqlType::Bool => parse_boolean(text).map(|value| ScalarValue::Boolean(Some(value))),
        SqlType::Int2 => parse_integer(text, "smallint").map(|value| ScalarValue::Int16(Some(value))),
        SqlType::Int4 => parse_integer(text, "integer").map(|value| ScalarValue::Int32(Some(value))),
        SqlType::Int8 => parse_integer(text, "bigint").map(|value| ScalarValue::Int64(Some(value))),
        SqlType::Float8 => parse_double(text).map(|value| ScalarValue::Float64(Some(value))),
        SqlType::Numeric { precision, scale, .. } if *precision <= 38 => parse_decimal128(text, *precision, *scale)
            .map(|value| ScalarValue::Decimal128(Some(value), *precision, *scale)),
        SqlType::Text | SqlType::Varchar { length_max: None } => Ok(ScalarValue::Utf8(Some(text.to_string()))),
        SqlType::Date => parse_date(text, style).map(|value| ScalarValue::Date32(Some(value))),
        SqlType::Timestamp => {
            parse_timestamp(text, style).map(|value| ScalarValue::TimestampMicrosecond(Some(value), None))
        }
        _ => return None,
    })
}

/// A value of a type that [`is_plain`]; `None` for any other type, and for what [`super::decode_parameter`] refuses.
pub(crate) fn plain_value(field: FieldText<'_>, sql_type: &SqlType, style: &OutputStyle) -> Option<ScalarValue> {
    let usual = match sql_type {
        SqlType::Int2 => plain_integer(field).map(|value| ScalarValue::Int16(Some(value))),
        SqlType::Int4 => plain_integer(field).map(|value| ScalarValue::Int32(Some(value))),
        SqlType::Int8 => plain_integer(field).map(|value| ScalarValue::Int64(Some(value))),
        SqlType::Numeric { precision, scale, declared: true } => PlainDecimals::of(*precision, *scale)
            .and_then(|plain| plain.read(field))
            .map(|value| ScalarValue::Decimal128(Some(value), *precision, *scale)),
        _ => None,
    };
    match usual {
        None if is_plain(sql_type) => single(field.text(), sql_type, style)?.ok(),
        usual => usual,
    }
}

/// Whether values of a type have one Arrow type, their column's, and need no memory of their own.
pub(crate) fn is_plain(sql_type: &SqlType) -> bool {
    match sql_type {
        SqlType::Bool | SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Float8 => true,
        SqlType::Date | SqlType::Timestamp => true,
        SqlType::Numeric { precision, declared, .. } => *declared && *precision <= 38,
        _ => false,
    }
}

/// The error for bytes that are not UTF-8, from the first wrong one on.
#[cold]
pub(crate) fn invalid_utf8(bytes: &[u8]) -> QueryError {
    let length = match bytes.first() {
        Some(0xC0..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF7) => 4,
        _ => 1,
    };
    let shown: Vec<String> = bytes.iter().take(length).map(|byte| format!("0x{byte:02x}")).collect();
    QueryError::new(
        ErrorKind::CharacterNotInRepertoire,
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
}

/// Checks that bytes are text as PostgreSQL has it: UTF-8 without a zero byte.
pub(crate) fn checked_text(bytes: &[u8]) -> Result<&str, QueryError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let end = error.valid_up_to();
        invalid_utf8(&bytes[memchr::memchr(0, &bytes[..end]).unwrap_or(end)..])
    })?;
    match memchr::memchr(0, bytes) {
        Some(zero) => Err(invalid_utf8(&bytes[zero..])),
        None => Ok(text),
    }
}

pub(super) fn primitive<T: ArrowPrimitiveType, V>(
    fields: impl ExactSizeIterator<Item = Option<V>>,
    parse: impl Fn(V) -> Result<T::Native, QueryError>,
) -> Result<ArrayRef, FieldError> {
    Ok(Arc::new(primitive_array::<T, V>(fields, parse)?))
}

#[inline]
pub(super) fn primitive_array<T: ArrowPrimitiveType, V>(
    fields: impl ExactSizeIterator<Item = Option<V>>,
    parse: impl Fn(V) -> Result<T::Native, QueryError>,
) -> Result<PrimitiveArray<T>, FieldError> {
    let mut values: Vec<T::Native> = Vec::with_capacity(fields.len());
    let mut nulls = NullBufferBuilder::new(fields.len());
    for (row, field) in fields.enumerate() {
        match field {
            Some(text) => match parse(text) {
                Ok(value) => {
                    values.push(value);
                    nulls.append_non_null();
                }
                Err(error) => return Err(FieldError { row, error }),
            },
            None => {
                values.push(T::Native::default());
                nulls.append_null();
            }
        }
    }
    Ok(PrimitiveArray::new(ScalarBuffer::from(values), nulls.finish()))
}

pub(super) fn booleans<V>(
    fields: impl ExactSizeIterator<Item = Option<V>>,
    parse: impl Fn(V) -> Result<bool, QueryError>,
) -> Result<ArrayRef, FieldError> {
    let mut values = BooleanBufferBuilder::new(fields.len());
    let mut nulls = NullBufferBuilder::new(fields.len());
    for (row, field) in fields.enumerate() {
        match field {
            Some(text) => {
                values.append(parse(text).map_err(|error| FieldError { row, error })?);
                nulls.append_non_null();
            }
            None => {
                values.append(false);
                nulls.append_null();
            }
        }
    }
    Ok(Arc::new(BooleanArray::new(values.finish(), nulls.finish())))
}

#[inline]
pub(super) fn strings<'a, V>(
    fields: impl ExactSizeIterator<Item = Option<V>>,
    check: impl Fn(V) -> Result<&'a str, QueryError>,
) -> Result<ArrayRef, FieldError> {
    let mut builder = StringViewBuilder::with_capacity(fields.len());
    for (row, field) in fields.enumerate() {
        match field {
            Some(text) => builder.append_value(check(text).map_err(|error| FieldError { row, error })?),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Values of a type that is text inside.
pub(super) fn documents<T: ByteArrayType, V, D: AsRef<T::Native>>(
    fields: impl ExactSizeIterator<Item = Option<V>>,
    read: impl Fn(V) -> Result<D, QueryError>,
) -> Result<ArrayRef, FieldError> {
    let mut builder = GenericByteBuilder::<T>::with_capacity(fields.len(), fields.len() * DOCUMENT_BYTES);
    for (row, field) in fields.enumerate() {
        match field {
            Some(text) => builder.append_value(read(text).map_err(|error| FieldError { row, error })?),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

pub(super) fn uuids<V>(
    fields: impl ExactSizeIterator<Item = Option<V>>,
    parse: impl Fn(V) -> Result<[u8; 16], QueryError>,
) -> Result<ArrayRef, FieldError> {
    let mut values = Vec::with_capacity(fields.len() * 16);
    let mut nulls = NullBufferBuilder::new(fields.len());
    let rows = fields.len();
    for (row, field) in fields.enumerate() {
        match field {
            Some(text) => {
                values.extend_from_slice(&parse(text).map_err(|error| FieldError { row, error })?);
                nulls.append_non_null();
            }
            None => {
                values.extend_from_slice(&[0; 16]);
                nulls.append_null();
            }
        }
    }
    let array = FixedSizeBinaryArray::try_new_with_len(16, Buffer::from_vec(values), nulls.finish(), rows);
    Ok(Arc::new(array.expect("sixteen bytes were written for each row")))
}

pub(super) fn byteas<V, B: AsRef<[u8]>>(
    fields: impl ExactSizeIterator<Item = Option<V>>,
    parse: impl Fn(V) -> Result<B, QueryError>,
) -> Result<ArrayRef, FieldError> {
    let mut builder = BinaryViewBuilder::with_capacity(fields.len());
    for (row, field) in fields.enumerate() {
        match field {
            Some(text) => builder.append_value(parse(text).map_err(|error| FieldError { row, error })?),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn arrays<'a>(
    fields: impl ExactSizeIterator<Item = Option<&'a str>>,
    element: &SqlType,
    style: &OutputStyle,
) -> Result<ArrayRef, FieldError> {
    let mut elements: Vec<Option<Cow<'a, str>>> = Vec::new();
    let mut lengths = Vec::with_capacity(fields.len());
    let mut nulls = NullBufferBuilder::new(fields.len());
    for (row, field) in fields.enumerate() {
        let before = elements.len();
        match field {
            Some(text) => {
                elements.extend(split_elements(text).map_err(|error| FieldError { row, error })?);
                nulls.append_non_null();
            }
            None => nulls.append_null(),
        }
        lengths.push(elements.len() - before);
    }
    let decoder = ColumnDecoder::new(element.clone(), *style);
    let texts: Vec<Option<&str>> = elements.iter().map(Option::as_deref).collect();
    let values = decoder.decode(texts.into_iter()).map_err(|failure| {
        let mut end = 0;
        let row = lengths.iter().position(|length| {
            end += length;
            failure.row < end
        });
        FieldError { row: row.unwrap_or(0), error: failure.error }
    })?;
    let field = Arc::new(element.item_field());
    Ok(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, nulls.finish())))
}

/// The precision and scale that keep every digit of the numerics in an array's text.
pub(crate) fn natural_item_type(text: &str) -> Result<(u8, i8), QueryError> {
    let (mut whole, mut fraction) = (1_i16, 0_i16);
    for item in split_elements(text)?.iter().flatten() {
        let (precision, scale) = super::numeric::natural_type(item)?;
        whole = whole.max(i16::from(precision) - i16::from(scale));
        fraction = fraction.max(i16::from(scale));
    }
    Ok(((whole + fraction).min(NUMERIC_PRECISION_MAX.into()) as u8, fraction as i8))
}

/// The integer types of PostgreSQL, each within its range.
trait Integer: TryFrom<i64> {}
impl Integer for i16 {}
impl Integer for i32 {}
impl Integer for i64 {}

#[inline]
fn read_integer<T: Integer>(field: FieldText<'_>, type_name: &str) -> Result<T, QueryError> {
    match plain_integer(field) {
        Some(value) => Ok(value),
        None => parse_integer(field.text(), type_name),
    }
}

#[inline]
fn parse_integer<T: Integer>(text: &str, type_name: &str) -> Result<T, QueryError> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, bytes),
    };
    // Eighteen digits cannot leave 64 bits.
    if !digits.is_empty() && digits.len() <= 18 {
        let mut value: i64 = 0;
        let mut plain = true;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            plain &= digit <= 9;
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        }
        if plain && let Ok(value) = T::try_from(if negative { -value } else { value }) {
            return Ok(value);
        }
    }
    slow_integer(text, type_name)
}

/// Integers with white space around them, a plus sign or nineteen digits, and all errors.
#[cold]
fn slow_integer<T: Integer>(text: &str, type_name: &str) -> Result<T, QueryError> {
    let out_of_range = || {
        QueryError::new(ErrorKind::NumericOutOfRange, format!("value \"{text}\" is out of range for type {type_name}"))
    };
    let invalid = || {
        QueryError::new(
            ErrorKind::InvalidTextRepresentation,
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        )
    };
    let trimmed = text.trim_start_matches(is_space);
    let negative = trimmed.starts_with('-');
    let body = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let length = body.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = body.split_at(length);
    if digits.is_empty() {
        return Err(invalid());
    }
    // Below zero there is room for one more; what follows the digits is looked at before the sign.
    let mut value: i64 = 0;
    for digit in digits.bytes() {
        let next = value.checked_mul(10).and_then(|value| value.checked_sub(i64::from(digit - b'0')));
        value = next.filter(|value| T::try_from(*value).is_ok()).ok_or_else(out_of_range)?;
    }
    if !rest.trim_start_matches(is_space).is_empty() {
        return Err(invalid());
    }
    let value = if negative { value } else { value.checked_neg().ok_or_else(out_of_range)? };
    T::try_from(value).map_err(|_| out_of_range())
}

fn parse_oid(text: &str) -> Result<i64, QueryError> {
    let value: i64 = parse_integer(text, "oid")?;
    if !(i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&value) {
        return Err(QueryError::new(
            ErrorKind::NumericOutOfRange,
            format!("value \"{text}\" is out of range for type oid"),
        ));
    }
    Ok(i64::from(value as u32))
}

/// `t`, `true`, `y`, `yes`, `on`, `1` and their opposites; any unique prefix, in any case.
pub(crate) fn parse_boolean(text: &str) -> Result<bool, QueryError> {
    match text.as_bytes() {
        b"t" | b"1" | b"true" => return Ok(true),
        b"f" | b"0" | b"false" => return Ok(false),
        _ => {}
    }
    let trimmed = text.trim_matches(is_space);
    let is_prefix = |word: &str, least: usize| {
        trimmed.len() >= least && word.get(..trimmed.len()).is_some_and(|start| start.eq_ignore_ascii_case(trimmed))
    };
    if is_prefix("true", 1) || is_prefix("yes", 1) || is_prefix("on", 2) || trimmed == "1" {
        return Ok(true);
    }
    if is_prefix("false", 1) || is_prefix("no", 1) || is_prefix("off", 2) || trimmed == "0" {
        return Ok(false);
    }
    Err(QueryError::new(
        ErrorKind::InvalidTextRepresentation,
        format!("invalid input syntax for type boolean: \"{text}\""),
    ))
}

/// Cuts spaces beyond the length and refuses anything else there; the length counts characters.
pub(super) fn fit_varchar(text: &str, length: usize) -> Result<&str, QueryError> {
    if text.len() <= length {
        return Ok(text);
    }
    match text.char_indices().nth(length) {
        None => Ok(text),
        Some((end, _)) if text[end..].bytes().all(|byte| byte == b' ') => Ok(&text[..end]),
        Some(_) => Err(QueryError::new(
            ErrorKind::StringTooLong,
            format!("value too long for type character varying({length})"),
        )),
    }
}

/// Takes the blanks at the end away, which mean nothing, and refuses what is longer without them.
pub(super) fn fit_bpchar(text: &str, length: Option<u32>) -> Result<&str, QueryError> {
    let kept = text.trim_end_matches(' ');
    match length {
        Some(length) if kept.len() > length as usize && kept.chars().count() > length as usize => {
            Err(QueryError::new(ErrorKind::StringTooLong, format!("value too long for type character({length})")))
        }
        _ => Ok(kept),
    }
}

pub(crate) fn cut_bytes(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}

/// Texts as names, which end with the last whole character within [`NAME_BYTES_MAX`] bytes.
pub(crate) fn cut_names(texts: &ArrayRef) -> ArrayRef {
    match texts.as_string_view_opt() {
        Some(texts) if texts.lengths().any(|length| length as usize > NAME_BYTES_MAX) => {
            let cut = texts.iter().map(|text| text.map(|text| cut_bytes(text, NAME_BYTES_MAX)));
            Arc::new(cut.collect::<StringViewArray>())
        }
        _ => Arc::clone(texts),
    }
}

/// Hexadecimal digits with hyphens after any group of four, and braces around them or not.
fn parse_uuid(text: &str) -> Result<[u8; 16], QueryError> {
    let invalid = || {
        QueryError::new(ErrorKind::InvalidTextRepresentation, format!("invalid input syntax for type uuid: \"{text}\""))
    };
    let mut body = text.as_bytes();
    if let [b'{', inner @ .., b'}'] = body {
        body = inner;
    }
    let mut value = [0; 16];
    for (index, byte) in value.iter_mut().enumerate() {
        let [high, low, rest @ ..] = body else { return Err(invalid()) };
        *byte = hex_digit(*high).ok_or_else(invalid)? << 4 | hex_digit(*low).ok_or_else(invalid)?;
        body = rest;
        if index % 2 == 1
            && index < 15
            && let [b'-', rest @ ..] = body
        {
            body = rest;
        }
    }
    if body.is_empty() { Ok(value) } else { Err(invalid()) }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// `\x00ff` or the older form with `\\` and `\377`.
fn parse_bytea(text: &str) -> Result<Vec<u8>, QueryError> {
    match text.strip_prefix("\\x") {
        Some(digits) => parse_hex(digits),
        None => parse_escaped(text.as_bytes()).ok_or_else(|| {
            QueryError::new(ErrorKind::InvalidTextRepresentation, "invalid input syntax for type bytea")
        }),
    }
}

fn parse_hex(text: &str) -> Result<Vec<u8>, QueryError> {
    let mut value = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for character in text.chars() {
        let digit = u8::try_from(character).ok().and_then(hex_digit);
        match (digit, high) {
            (Some(digit), None) => high = Some(digit << 4),
            (Some(digit), Some(first)) => {
                value.push(first | digit);
                high = None;
            }
            (None, None) if matches!(character, ' ' | '\n' | '\t' | '\r') => {}
            (None, _) => {
                return Err(QueryError::new(
                    ErrorKind::InvalidParameterValue,
                    format!("invalid hexadecimal digit: \"{character}\""),
                ));
            }
        }
    }
    if high.is_some() {
        return Err(QueryError::new(
            ErrorKind::InvalidParameterValue,
            "invalid hexadecimal data: odd number of digits",
        ));
    }
    Ok(value)
}

fn parse_escaped(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        (text, value) = match (first, rest) {
            (b'\\', [b'\\', rest @ ..]) => (rest, push(value, b'\\')),
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..]) => {
                (rest, push(value, (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')))
            }
            (b'\\', _) => return None,
            _ => (rest, push(value, *first)),
        };
    }
    Some(value)
}

fn push(mut value: Vec<u8>, byte: u8) -> Vec<u8> {
    value.push(byte);
    value
}
