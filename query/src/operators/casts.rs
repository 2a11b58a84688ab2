//! Casts over columns, as PostgreSQL makes them.
//!
//! Numerics round half away from zero, doubles half to even; what does not fit is an error and never a NULL or a wrapped value.
//! Text becomes a value by the type's own reader and a value text by its own printer. Between timestamps with and without zone the
//! session's TimeZone decides.

use super::json_casts::{is_scalar_target, json_to_jsonb, jsonb_to_json, jsonb_to_scalar};
use crate::error::{ErrorKind, QueryError};
use crate::functions::constant_value;
use crate::functions::overload::innermost;
use crate::response::Format;
use crate::scan::external;
use crate::types::{ColumnDecoder, OutputStyle, Zone, cut_names, encode_column, numeric_overflow};
use crate::user_types::is_tagged_array;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Date32Array, Float32Array, Float64Array, IntervalMonthDayNanoArray,
    ListArray, PrimitiveArray, StringViewArray, StringViewBuilder, Time64MicrosecondArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, FieldRef, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNano, Time64MicrosecondType, TimestampMicrosecondType, i256,
};
use catalog::enum_type::retagged;
use catalog::sql_type::SqlType;
use catalog::type_names::TypeNames;
use catalog::zoned_time::{self, ZonedTime};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

const SECOND_MICROS: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;
/// The first and last microsecond that a timestamp reaches: 4714-11-24 BC as in PostgreSQL, and the year 294247.
const TIMESTAMP_MICROS: std::ops::RangeInclusive<i64> = -210_866_803_200_000_000..=i64::MAX;

/// What a cast may depend on beside its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CastContext {
    pub zone: Zone,
    pub now_micros: i64,
}

impl CastContext {
    pub(crate) fn from_options(options: &ConfigOptions) -> Self {
        let named = options.execution.time_zone.as_deref();
        let zone = named.and_then(Zone::of_setting).unwrap_or(Zone::UTC);
        Self { zone, now_micros: crate::engine::now_micros() }
    }

    fn style(&self) -> OutputStyle {
        OutputStyle { time_zone: self.zone, ..OutputStyle::default() }
    }
}

type Converted = std::result::Result<ArrayRef, QueryError>;

/// The type that a cast to a type without digits gives: such a numeric keeps those that its source can have.
pub(crate) fn cast_type(from: &SqlType, to: &SqlType) -> SqlType {
    match (from, to) {
        (SqlType::Numeric { precision, scale, .. }, SqlType::Numeric { declared: false, .. }) => {
            SqlType::Numeric { precision: *precision, scale: *scale, declared: false }
        }
        (SqlType::Int2 | SqlType::Int4 | SqlType::Int8, SqlType::Numeric { declared: false, .. }) => {
            match super::resolution::as_decimal(from) {
                DataType::Decimal128(precision, scale) => SqlType::Numeric { precision, scale, declared: false },
                _ => to.clone(),
            }
        }
        (SqlType::Array(from), SqlType::Array(to)) => SqlType::Array(Box::new(cast_type(from, to))),
        _ => to.clone(),
    }
}

/// Whether there is a cast between two types at all.
pub(crate) fn is_castable(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{
        Bool, Bytea, Date, Int2, Int4, Int8, Interval, Json, Jsonb, Time, TimeTz, Timestamp, TimestampTz, Uuid,
    };
    match (from, to) {
        (SqlType::Array(_), SqlType::Array(_)) => return is_castable(innermost(from), innermost(to)),
        (SqlType::Array(_), to) => return is_text(to) && *to != SqlType::Name,
        (from, SqlType::Array(_)) => return is_text(from) && *from != SqlType::Name,
        _ => {}
    }
    let number = |sql_type: &SqlType| {
        matches!(sql_type, Int2 | Int4 | Int8 | SqlType::Float4 | SqlType::Float8 | SqlType::Numeric { .. })
    };
    if is_text(from) || is_text(to) || (number(from) && number(to)) || (*from == Jsonb && is_scalar_target(to)) {
        return true;
    }
    if let (SqlType::Enum(from), SqlType::Enum(to)) = (from, to) {
        return from.parts().id == to.parts().id;
    }
    matches!(
        (from, to),
        (Bool, Bool | Int4)
            | (Int4, Bool)
            | (SqlType::Char, Int4)
            | (Bytea, Bytea)
            | (Uuid, Uuid)
            | (Json | Jsonb, Json | Jsonb)
            | (Date, Date | Timestamp | TimestampTz)
            | (Timestamp | TimestampTz, Date | Time | Timestamp | TimestampTz)
            | (Time | TimeTz | TimestampTz, TimeTz)
            | (TimeTz, Time)
            | (Time, Time | Interval)
            | (Interval, Interval | Time)
    )
}

/// Types that are text, whatever their length may be.
pub(crate) fn is_text(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name)
}

/// A column as another type, a numeric in exactly the digits that `to` has. [`cast_type`] is one in which it keeps its own.
pub(crate) fn cast_array(array: &ArrayRef, from: &SqlType, to: &SqlType, context: &CastContext) -> Converted {
    if *array.data_type() == DataType::Null {
        return Ok(new_null_array(&to.data_type(), array.len()));
    }
    // Operators may give another layout or unit of the same type.
    let array = &match from {
        SqlType::Numeric { .. } | SqlType::Array(_) => Arc::clone(array),
        SqlType::Enum(_) => retagged(array, &from.data_type()),
        _ => native_cast(array, &from.data_type()).map_err(|_| out_of_range(from))?,
    };
    match (from, to) {
        (SqlType::Array(from), SqlType::Array(to)) => cast_items(array, from, to, context),
        (SqlType::Char, SqlType::Int4) => Ok(codes(array)),
        (from, _) if is_text(from) || *from == SqlType::Char => from_text(array, to, context),
        (_, to) if is_text(to) => cut_to_length(&to_text(array, from, context)?, to),
        (SqlType::Json, SqlType::Jsonb) => json_to_jsonb(array, context.style()),
        (SqlType::Jsonb, SqlType::Json) => Ok(jsonb_to_json(array)),
        (SqlType::Jsonb, _) if is_scalar_target(to) => jsonb_to_scalar(array, to, context.style()),
        (SqlType::Float4 | SqlType::Float8, SqlType::Int2 | SqlType::Int4 | SqlType::Int8) => {
            float_to_integer(array, to)
        }
        (SqlType::Float4 | SqlType::Float8, SqlType::Numeric { precision, scale, .. }) => {
            float_to_numeric(array, from, *precision, *scale)
        }
        (SqlType::Float8, SqlType::Float4) => double_to_real(array),
        (SqlType::Numeric { .. }, SqlType::Int2 | SqlType::Int4 | SqlType::Int8) => numeric_to_integer(array, to),
        (SqlType::Numeric { .. }, SqlType::Float4 | SqlType::Float8) => numeric_to_float(array, to),
        (_, SqlType::Numeric { precision, scale, .. }) => match as_narrow(array, &to.data_type()) {
            Some(same) => Ok(same),
            None => native_cast(array, &to.data_type()).map_err(|_| numeric_overflow(*precision, *scale)),
        },
        (SqlType::Date, SqlType::Timestamp) => date_to_timestamp(array, |local| local),
        (SqlType::Date, SqlType::TimestampTz) => {
            date_to_timestamp(array, |local| to_instant(local, &context.zone)).map(|instants| with_utc(&instants))
        }
        (SqlType::Timestamp, SqlType::TimestampTz) => {
            in_range(map_moments(array, |local| to_instant(local, &context.zone))).map(|instants| with_utc(&instants))
        }
        (SqlType::TimestampTz, SqlType::Timestamp) => {
            in_range(map_moments(array, |instant| to_local(instant, &context.zone)))
        }
        (SqlType::Timestamp, SqlType::Date) => Ok(moments_to_dates(array, |local| local)),
        (SqlType::TimestampTz, SqlType::Date) => {
            Ok(moments_to_dates(array, |instant| to_local(instant, &context.zone)))
        }
        (SqlType::Timestamp, SqlType::Time) => Ok(moments_to_times(array, |local| local)),
        (SqlType::TimestampTz, SqlType::Time) => {
            Ok(moments_to_times(array, |instant| to_local(instant, &context.zone)))
        }
        (SqlType::TimeTz, SqlType::Time) => Ok(without_zones(array)),
        (SqlType::Time, SqlType::TimeTz) => Ok(times_in_zone(array, context)),
        (SqlType::TimestampTz, SqlType::TimeTz) => Ok(clocks_in_zone(array, context)),
        (SqlType::Time, SqlType::Interval) => Ok(times_to_intervals(array)),
        (SqlType::Interval, SqlType::Time) => Ok(intervals_to_times(array)),
        _ => native_cast(array, &to.data_type()).map_err(|_| out_of_range(to)),
    }
}

/// An array with its items as another type. Beside arrays of several dimensions `to` names their innermost items.
fn cast_items(array: &ArrayRef, from: &SqlType, to: &SqlType, context: &CastContext) -> Converted {
    let Some(lists) = array.as_list_opt::<i32>() else {
        return native_cast(array, &SqlType::Array(Box::new(to.clone())).data_type()).map_err(|_| out_of_range(to));
    };
    let items = match (from, to) {
        (SqlType::Array(from), SqlType::Array(to)) => cast_items(lists.values(), from, to, context)?,
        (SqlType::Array(from), to) => cast_items(lists.values(), from, to, context)?,
        _ => cast_array(lists.values(), from, to, context)?,
    };
    let field = to.item_field().with_data_type(items.data_type().clone());
    Ok(Arc::new(ListArray::new(Arc::new(field), lists.offsets().clone(), items, lists.nulls().cloned())))
}

/// A numeric as one of the same scale, without a copy: all of its values have as few digits. `None` where they have not, or it is none.
fn as_narrow(array: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    let (DataType::Decimal128(_, scale), DataType::Decimal128(digits, same)) = (array.data_type(), to) else {
        return None;
    };
    let limit = 10_u128.checked_pow((*digits).into()).filter(|_| scale == same)?;
    let numbers = array.as_primitive::<Decimal128Type>();
    if numbers.values().iter().any(|value| value.unsigned_abs() >= limit) {
        return None;
    }
    Some(Arc::new(numbers.clone().with_precision_and_scale(*digits, *scale).ok()?))
}

fn native_cast(array: &ArrayRef, to: &DataType) -> std::result::Result<ArrayRef, arrow::error::ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

pub(crate) fn out_of_range(to: &SqlType) -> QueryError {
    QueryError::new(ErrorKind::NumericOutOfRange, format!("{} out of range", to.base_name()))
}

fn from_text(array: &ArrayRef, to: &SqlType, context: &CastContext) -> Converted {
    let texts = native_cast(array, &DataType::Utf8View).map_err(|error| QueryError::unsupported(error.to_string()))?;
    if matches!(to, SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. }) {
        return cut_to_length(&texts, to);
    }
    let decoder = ColumnDecoder::new(to.clone(), context.style());
    decoder.decode(texts.as_string_view().iter()).map_err(|failure| failure.error)
}

/// The number of a byte, which shows as itself or as three octal digits.
fn codes(array: &ArrayRef) -> ArrayRef {
    let code = |shown: &str| match shown.strip_prefix('\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
        Some(byte) => i32::from(byte as i8),
        None => shown.bytes().next().map_or(0, i32::from),
    };
    let shown = array.as_string_view().iter().map(|shown| shown.map(code));
    Arc::new(shown.collect::<PrimitiveArray<Int32Type>>())
}

fn to_text(array: &ArrayRef, from: &SqlType, context: &CastContext) -> Converted {
    if *from == SqlType::Bool && *array.data_type() == DataType::Boolean {
        let words = array.as_boolean().iter().map(|value| value.map(|value| if value { "true" } else { "false" }));
        return Ok(Arc::new(words.collect::<StringViewArray>()));
    }
    let encoded = encode_column(array, from, Format::Text, &context.style())?;
    let mut texts = StringViewBuilder::with_capacity(array.len());
    for row in 0..array.len() {
        match encoded.value(row) {
            Some(bytes) => texts.append_value(String::from_utf8_lossy(bytes)),
            None => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// An explicit cast to `varchar(n)`, `char(n)` or name cuts what is longer; of the second, blanks at the end are not kept.
fn cut_to_length(texts: &ArrayRef, to: &SqlType) -> Converted {
    let (length, keeps_blanks) = match to {
        SqlType::Name => return Ok(cut_names(texts)),
        SqlType::Varchar { length_max: Some(length) } => (*length as usize, true),
        SqlType::Bpchar { length } => (length.map_or(usize::MAX, |length| length as usize), false),
        _ => return Ok(Arc::clone(texts)),
    };
    let cut = texts.as_string_view().iter().map(|text| {
        text.map(|text| {
            let kept = if text.len() > length { text.char_indices().nth(length) } else { None };
            let cut = kept.map_or(text, |(end, _)| &text[..end]);
            if keeps_blanks { cut } else { cut.trim_end_matches(' ') }
        })
    });
    Ok(Arc::new(cut.collect::<StringViewArray>()))
}

fn float_to_integer(array: &ArrayRef, to: &SqlType) -> Converted {
    let doubles = as_doubles(array);
    let whole = |low: f64, high: f64| {
        doubles.iter().map(move |value| match value.map(f64::round_ties_even) {
            Some(value) if value >= low && value < high => Ok(Some(value)),
            Some(_) => Err(out_of_range(to)),
            None => Ok(None),
        })
    };
    let power = |bits: i32| 2f64.powi(bits);
    Ok(match to {
        SqlType::Int2 => {
            let values = whole(-power(15), power(15)).map(|value| value.map(|value| value.map(|value| value as i16)));
            Arc::new(values.collect::<std::result::Result<PrimitiveArray<Int16Type>, _>>()?)
        }
        SqlType::Int4 => {
            let values = whole(-power(31), power(31)).map(|value| value.map(|value| value.map(|value| value as i32)));
            Arc::new(values.collect::<std::result::Result<PrimitiveArray<Int32Type>, _>>()?)
        }
        _ => {
            let values = whole(-power(63), power(63)).map(|value| value.map(|value| value.map(|value| value as i64)));
            Arc::new(values.collect::<std::result::Result<PrimitiveArray<Int64Type>, _>>()?)
        }
    })
}

fn as_doubles(array: &ArrayRef) -> Float64Array {
    match array.as_primitive_opt::<Float32Type>() {
        Some(reals) => reals.unary(f64::from),
        None => array.as_primitive::<Float64Type>().clone(),
    }
}

fn double_to_real(array: &ArrayRef) -> Converted {
    let reals = array.as_primitive::<Float64Type>().iter().map(|value| match value {
        Some(value) if (value as f32).is_infinite() && value.is_finite() => {
            Err(QueryError::new(ErrorKind::NumericOutOfRange, "value out of range: overflow"))
        }
        Some(value) if value as f32 == 0.0 && value != 0.0 => {
            Err(QueryError::new(ErrorKind::NumericOutOfRange, "value out of range: underflow"))
        }
        value => Ok(value.map(|value| value as f32)),
    });
    Ok(Arc::new(reals.collect::<std::result::Result<Float32Array, _>>()?))
}

/// A float has the digits that PostgreSQL's conversion takes from it: 15 of a double, 6 of a real.
fn float_to_numeric(array: &ArrayRef, from: &SqlType, precision: u8, scale: i8) -> Converted {
    let digits = if *from == SqlType::Float4 { 5 } else { 14 };
    let texts: StringViewArray = as_doubles(array)
        .iter()
        .map(|value| {
            value.map(|value| if value.is_finite() { format!("{value:.digits$e}") } else { format!("{value}") })
        })
        .collect();
    let to = SqlType::Numeric { precision, scale, declared: true };
    ColumnDecoder::new(to, OutputStyle::default()).decode(texts.iter()).map_err(|failure| failure.error)
}

/// Unscaled values and their scale, in 256 bits.
fn unscaled(array: &ArrayRef) -> (Box<dyn Iterator<Item = Option<i256>> + '_>, i8) {
    match array.data_type() {
        DataType::Decimal256(_, scale) => (Box::new(array.as_primitive::<Decimal256Type>().iter()), *scale),
        DataType::Decimal128(_, scale) => {
            (Box::new(array.as_primitive::<Decimal128Type>().iter().map(|value| value.map(i256::from_i128))), *scale)
        }
        other => unreachable!("{other} is no numeric"),
    }
}

fn numeric_to_integer(array: &ArrayRef, to: &SqlType) -> Converted {
    if let (Some(values), DataType::Decimal128(_, scale @ 0..=38)) =
        (array.as_primitive_opt::<Decimal128Type>(), array.data_type())
    {
        let divisor = 10_i128.pow(u32::from(scale.unsigned_abs()));
        return Ok(match to {
            SqlType::Int2 => Arc::new(whole_numbers::<Int16Type>(values, divisor, to)?),
            SqlType::Int4 => Arc::new(whole_numbers::<Int32Type>(values, divisor, to)?),
            _ => Arc::new(whole_numbers::<Int64Type>(values, divisor, to)?),
        });
    }
    let (values, scale) = unscaled(array);
    let divisor = i256::from_i128(10).checked_pow(u32::from(scale.unsigned_abs())).ok_or_else(|| out_of_range(to))?;
    let whole = values.map(|value| match value {
        Some(value) => rounded(value, divisor, scale < 0)
            .and_then(|value| value.to_i128())
            .and_then(|value| i64::try_from(value).ok())
            .map(Some)
            .ok_or_else(|| out_of_range(to)),
        None => Ok(None),
    });
    let wide: ArrayRef = Arc::new(whole.collect::<std::result::Result<PrimitiveArray<Int64Type>, _>>()?);
    native_cast(&wide, &to.data_type()).map_err(|_| out_of_range(to))
}

/// Values over a power of ten, rounded half away from zero.
fn whole_numbers<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<Decimal128Type>,
    divisor: i128,
    to: &SqlType,
) -> std::result::Result<PrimitiveArray<T>, QueryError>
where
    T::Native: TryFrom<i128>,
{
    values.try_unary(|value| {
        let whole = if divisor == 1 {
            value
        } else {
            let away = (value % divisor).unsigned_abs() * 2 >= divisor.unsigned_abs();
            value / divisor + if away { value.signum() } else { 0 }
        };
        T::Native::try_from(whole).map_err(|_| out_of_range(to))
    })
}

/// `value / divisor` rounded half away from zero, or `value · divisor` for a negative scale.
fn rounded(value: i256, divisor: i256, multiply: bool) -> Option<i256> {
    if multiply {
        return value.checked_mul(divisor);
    }
    let (quotient, remainder) = (value.checked_div(divisor)?, value.checked_rem(divisor)?);
    let away = remainder.wrapping_abs().checked_mul(i256::from_i128(2))? >= divisor;
    match (away, value.is_negative()) {
        (false, _) => Some(quotient),
        (true, false) => quotient.checked_add(i256::ONE),
        (true, true) => quotient.checked_sub(i256::ONE),
    }
}

/// The double nearest to each numeric. Up to 2^53 and 10^22 both are exact and one division rounds correctly.
fn numeric_to_float(array: &ArrayRef, to: &SqlType) -> Converted {
    let doubles: Float64Array = match array.data_type() {
        DataType::Decimal128(_, scale) if (0..=22).contains(scale) => {
            let power = 10f64.powi(i32::from(*scale));
            let texts = scale;
            array.as_primitive::<Decimal128Type>().unary(|value| {
                if value.unsigned_abs() < 1 << 53 {
                    value as f64 / power
                } else {
                    nearest(&i256::from_i128(value), *texts)
                }
            })
        }
        _ => {
            let (values, scale) = unscaled(array);
            values.map(|value| value.map(|value| nearest(&value, scale))).collect()
        }
    };
    let doubles: ArrayRef = Arc::new(doubles);
    if *to == SqlType::Float4 { double_to_real(&doubles) } else { Ok(doubles) }
}

fn nearest(value: &i256, scale: i8) -> f64 {
    format!("{value}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN)
}

fn map_moments(array: &ArrayRef, change: impl Fn(i64) -> i64) -> ArrayRef {
    let moments: TimestampMicrosecondArray = array.as_primitive::<TimestampMicrosecondType>().unary(change);
    Arc::new(moments.with_timezone_opt(None::<Arc<str>>))
}

/// Moments before PostgreSQL's calendar begins, to which a zone may lead, are refused.
fn in_range(moments: ArrayRef) -> Converted {
    let values = moments.as_primitive::<TimestampMicrosecondType>();
    let is_outside = |moment: i64| moment < *TIMESTAMP_MICROS.start();
    if values.values().iter().any(|moment| is_outside(*moment)) && values.iter().flatten().any(is_outside) {
        return Err(QueryError::new(ErrorKind::DatetimeOutOfRange, "timestamp out of range"));
    }
    Ok(moments)
}

fn with_utc(array: &ArrayRef) -> ArrayRef {
    Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC"))
}

/// The moment that a local time in a zone is.
pub(crate) fn to_instant(local: i64, zone: &Zone) -> i64 {
    local.saturating_sub(i64::from(zone.offset_of_local(local.div_euclid(SECOND_MICROS))) * SECOND_MICROS)
}

/// What the clocks of a zone show at a moment.
pub(crate) fn to_local(instant: i64, zone: &Zone) -> i64 {
    instant.saturating_add(i64::from(zone.offset_at(instant.div_euclid(SECOND_MICROS))) * SECOND_MICROS)
}

fn date_to_timestamp(array: &ArrayRef, change: impl Fn(i64) -> i64) -> Converted {
    // Rows that stand together are mostly of one day.
    let mut last = None;
    let moments = array.as_primitive::<Date32Type>().iter().map(|day| match (day, last) {
        (Some(day), Some((known, moment))) if day == known => Ok(Some(moment)),
        (Some(day), _) => {
            let midnight = i64::from(day).checked_mul(DAY_MICROS).filter(|micros| TIMESTAMP_MICROS.contains(micros));
            let midnight = midnight
                .ok_or_else(|| QueryError::new(ErrorKind::DatetimeOutOfRange, "date out of range for timestamp"))?;
            let moment = change(midnight);
            // Where a zone leads before PostgreSQL's calendar begins.
            if moment < *TIMESTAMP_MICROS.start() {
                return Err(QueryError::new(ErrorKind::DatetimeOutOfRange, "date out of range for timestamp"));
            }
            last = Some((day, moment));
            Ok(Some(moment))
        }
        (None, _) => Ok(None),
    });
    Ok(Arc::new(moments.collect::<std::result::Result<TimestampMicrosecondArray, QueryError>>()?))
}

/// Dates of which those beyond the last timestamp are its date.
fn within_timestamps(dates: &ArrayRef) -> ArrayRef {
    let last = (TIMESTAMP_MICROS.end() / DAY_MICROS) as i32;
    let dates: Date32Array = dates.as_primitive::<Date32Type>().unary(|day| day.min(last));
    Arc::new(dates)
}

fn moments_to_dates(array: &ArrayRef, local: impl Fn(i64) -> i64) -> ArrayRef {
    let moments = array.as_primitive::<TimestampMicrosecondType>();
    let dates: Date32Array = moments.unary(|moment| local(moment).div_euclid(DAY_MICROS) as i32);
    Arc::new(dates)
}

fn moments_to_times(array: &ArrayRef, local: impl Fn(i64) -> i64) -> ArrayRef {
    let moments = array.as_primitive::<TimestampMicrosecondType>();
    let times: Time64MicrosecondArray = moments.unary(|moment| local(moment).rem_euclid(DAY_MICROS));
    Arc::new(times)
}

fn without_zones(array: &ArrayRef) -> ArrayRef {
    let times: Time64MicrosecondArray =
        array.as_primitive::<TimestampMicrosecondType>().unary(|packed| ZonedTime::unpacked(packed).micros);
    Arc::new(times)
}

/// Times in the session's zone as it is today.
fn times_in_zone(array: &ArrayRef, context: &CastContext) -> ArrayRef {
    let today = to_local(context.now_micros, &context.zone).div_euclid(DAY_MICROS) * DAY_MICROS;
    zoned_times(array.as_primitive::<Time64MicrosecondType>().unary(|micros| {
        let east = context.zone.offset_of_local((today + micros).div_euclid(SECOND_MICROS));
        ZonedTime { micros, east }.packed()
    }))
}

/// What the session's clocks show at moments.
fn clocks_in_zone(array: &ArrayRef, context: &CastContext) -> ArrayRef {
    zoned_times(array.as_primitive::<TimestampMicrosecondType>().unary(|instant| {
        let east = context.zone.offset_at(instant.div_euclid(SECOND_MICROS));
        ZonedTime { micros: to_local(instant, &context.zone).rem_euclid(DAY_MICROS), east }.packed()
    }))
}

fn zoned_times(packed: TimestampMicrosecondArray) -> ArrayRef {
    Arc::new(packed.with_timezone(zoned_time::TAG))
}

fn times_to_intervals(array: &ArrayRef) -> ArrayRef {
    let times = array.as_primitive::<Time64MicrosecondType>();
    let intervals: IntervalMonthDayNanoArray = times.unary(|micros| IntervalMonthDayNano::new(0, 0, micros * 1000));
    Arc::new(intervals)
}

fn intervals_to_times(array: &ArrayRef) -> ArrayRef {
    let intervals = array.as_primitive::<arrow::datatypes::IntervalMonthDayNanoType>();
    let times: Time64MicrosecondArray =
        intervals.unary(|interval| (interval.nanoseconds / 1000).rem_euclid(DAY_MICROS));
    Arc::new(times)
}

/// A value of a literal's text, for plans.
pub(crate) fn literal(text: &str, to: &SqlType, context: &CastContext) -> std::result::Result<ScalarValue, QueryError> {
    let array: ArrayRef = Arc::new(StringViewArray::from(vec![text]));
    let value = cast_array(&array, &SqlType::Text, to, context)?;
    constant_value(&value).map_err(|error| QueryError::unsupported(error.to_string()))
}

/// The field of an expression's value: what its Arrow type does not imply stands in the metadata, and nothing else, because rows of
/// VALUES and the sides of UNION must agree in it.
pub(crate) fn expression_field(sql_type: &SqlType) -> Field {
    let plain = Field::new("value", sql_type.data_type(), true);
    let implied = SqlType::from_field(&plain).is_some_and(|implied| implied.oid() == sql_type.oid());
    if implied && sql_type.typmod() == -1 { plain } else { sql_type.field("value", true) }
}

/// `x::type` in a plan.
pub(crate) fn cast_call(argument: Expr, from: SqlType, to: SqlType, context: &CastContext) -> Expr {
    let function = ScalarUDF::new_from_impl(CastFunction::new(from, to, context.zone));
    Expr::ScalarFunction(datafusion::logical_expr::expr::ScalarFunction::new_udf(Arc::new(function), vec![argument]))
}

/// The same as comparisons take it, of dates and timestamps: what lies beyond the calendar is later or earlier than all else.
pub(crate) fn cast_call_clamped(argument: Expr, from: SqlType, to: SqlType, context: &CastContext) -> Expr {
    let cast = CastFunction { is_clamped: true, ..CastFunction::new(from, to, context.zone) };
    let function = Arc::new(ScalarUDF::new_from_impl(cast));
    Expr::ScalarFunction(datafusion::logical_expr::expr::ScalarFunction::new_udf(function, vec![argument]))
}

/// A value without the casts in it to the type that is there, which change nothing of it but what its field knows.
pub(super) fn without_own_casts(value: Expr) -> Expr {
    let stripped = value.transform_up(|part| match part {
        Expr::ScalarFunction(mut call) if is_own_cast(&call) && call.args.len() == 1 => {
            Ok(Transformed::yes(call.args.remove(0)))
        }
        other => Ok(Transformed::no(other)),
    });
    stripped.expect("taking casts away does not fail").data
}

fn is_own_cast(call: &datafusion::logical_expr::expr::ScalarFunction) -> bool {
    call.func.inner().downcast_ref::<CastFunction>().is_some_and(|cast| cast.from == cast.to)
}

/// The date behind a cast to a type of moments.
pub(super) fn cast_date<'a>(value: &'a Expr, moments: &SqlType) -> Option<&'a Expr> {
    let Expr::ScalarFunction(call) = value else { return None };
    let cast = call.func.inner().downcast_ref::<CastFunction>()?;
    (cast.from == SqlType::Date && cast.to == *moments).then(|| call.args.first()).flatten()
}

/// A cast as a function of one argument.
#[derive(Debug)]
struct CastFunction {
    from: SqlType,
    to: SqlType,
    /// The session's time zone, where it has a say; so a plan's casts are immutable.
    zone: Zone,
    /// Whether dates and timestamps beyond the calendar are no errors, as in comparisons.
    is_clamped: bool,
    /// What errors call types.
    names: Option<TypeNames>,
    signature: Signature,
}

impl CastFunction {
    fn new(from: SqlType, to: SqlType, zone: Zone) -> Self {
        let is_zoned = |known: &SqlType| matches!(innermost(known), SqlType::TimestampTz | SqlType::TimeTz);
        let zone = if is_zoned(&from) || is_zoned(&to) { zone } else { Zone::UTC };
        let depends_on_today = *innermost(&to) == SqlType::TimeTz && !is_zoned(&from);
        let volatility = match is_tagged_array(&to) {
            true => Volatility::Volatile,
            false if depends_on_today => Volatility::Stable,
            false => Volatility::Immutable,
        };
        let names = TypeNames::current();
        Self { from, to, zone, is_clamped: false, names, signature: Signature::any(1, volatility) }
    }
}

impl PartialEq for CastFunction {
    fn eq(&self, other: &Self) -> bool {
        self.from == other.from && self.to == other.to && self.zone == other.zone && self.is_clamped == other.is_clamped
    }
}

impl Eq for CastFunction {}

impl Hash for CastFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.from.hash(state);
        self.to.hash(state);
    }
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        "cast"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("{}::{}", args[0].schema_name(), self.to))
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("{}::{}", args[0], self.to))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields[0].is_nullable();
        Ok(Arc::new(expression_field(&self.to).with_nullable(nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let _names = self.names.as_ref().map(TypeNames::enter);
        let context = CastContext { zone: self.zone, ..CastContext::from_options(&args.config_options) };
        let convert = |array: &ArrayRef| match (&self.from, self.is_clamped) {
            // The optimiser asks what becomes of columns that hold nothing.
            _ if *array.data_type() == DataType::Null => Ok(new_null_array(&self.to.data_type(), array.len())),
            (SqlType::Timestamp, true) => Ok(with_utc(&map_moments(array, |local| to_instant(local, &context.zone)))),
            (_, true) => cast_array(&within_timestamps(array), &self.from, &self.to, &context).map_err(external),
            (_, false) => cast_array(array, &self.from, &self.to, &context).map_err(external),
        };
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(convert(array)?)),
            ColumnarValue::Scalar(value) => {
                let converted = convert(&value.to_array()?)?;
                constant_value(&converted).map(ColumnarValue::Scalar)
            }
        }
    }
}
