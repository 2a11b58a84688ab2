//! Moments and intervals as a modifier of their type leaves them: `timestamp(0)`, `interval day`.

use super::columns::{Column, fill, integers, intervals, moments, spans, texts, times};
use super::failure::Failure;
use super::zoned_times::rounded_packed;
use crate::functions::overload::Call;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType};
use catalog::zoned_time::{TAG, is_zoned_time};
use std::convert::Infallible;
use std::sync::Arc;

const SECOND_MICROS: i64 = 1_000_000;
/// 2000-01-01 in microseconds since 1970.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800 * SECOND_MICROS;
const MINUTE_MICROS: i64 = 60 * SECOND_MICROS;
const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;

impl From<Infallible> for crate::error::QueryError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Microseconds with some digits behind the second's point, rounded half away from zero.
pub(super) fn rounded(micros: i64, digits: i32) -> i64 {
    let unit = 10_i64.pow((6 - digits).clamp(0, 6) as u32);
    let towards = if micros < 0 { -(unit / 2) } else { unit / 2 };
    micros.saturating_add(towards) / unit * unit
}

/// A moment with some digits. PostgreSQL counts from the year 2000, and so rounds half away from there.
fn rounded_moment(micros: i64, digits: i32) -> i64 {
    match micros.checked_sub(POSTGRES_EPOCH_MICROS) {
        Some(since) => rounded(since, digits).saturating_add(POSTGRES_EPOCH_MICROS),
        None => micros,
    }
}

/// Times or timestamps with so many digits, as a column of them keeps them; other arrays as they are.
pub(crate) fn rounded_moments(array: &ArrayRef, digits: u8) -> ArrayRef {
    let digits = i32::from(digits);
    match array.data_type() {
        DataType::Time64(TimeUnit::Microsecond) => Arc::new(
            array
                .as_primitive::<Time64MicrosecondType>()
                .unary::<_, Time64MicrosecondType>(|micros| rounded(micros, digits)),
        ),
        zoned if is_zoned_time(zoned) => {
            let packed = array.as_primitive::<TimestampMicrosecondType>();
            let rounded = packed.unary::<_, TimestampMicrosecondType>(|packed| rounded_packed(packed, digits));
            Arc::new(rounded.with_timezone(TAG))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let moments = array.as_primitive::<TimestampMicrosecondType>();
            let rounded = moments.unary::<_, TimestampMicrosecondType>(|micros| rounded_moment(micros, digits));
            Arc::new(rounded.with_timezone_opt(zone.clone()))
        }
        _ => Arc::clone(array),
    }
}

/// Timestamps with some digits, without time zone.
pub(super) fn round_timestamps(columns: &[ArrayRef], call: &Call) -> Column {
    let (values, digits) = (moments(&columns[0]), integers(&columns[1]));
    let rounded = fill::<TimestampMicrosecondType, Infallible>(call.rows, columns, |row| {
        Ok(rounded_moment(values[row], digits[row]))
    })?;
    Ok(Arc::new(rounded))
}

/// The same with time zone.
pub(super) fn round_timestamptzs(columns: &[ArrayRef], call: &Call) -> Column {
    let (values, digits) = (moments(&columns[0]), integers(&columns[1]));
    let rounded = fill::<TimestampMicrosecondType, Infallible>(call.rows, columns, |row| {
        Ok(rounded_moment(values[row], digits[row]))
    })?;
    Ok(Arc::new(rounded.with_timezone("UTC")))
}

pub(super) fn round_times(columns: &[ArrayRef], call: &Call) -> Column {
    let (values, digits) = (times(&columns[0]), integers(&columns[1]));
    let rounded =
        fill::<Time64MicrosecondType, Infallible>(call.rows, columns, |row| Ok(rounded(values[row], digits[row])))?;
    Ok(Arc::new(rounded))
}

pub(super) fn round_intervals(columns: &[ArrayRef], call: &Call) -> Column {
    let (values, digits) = (spans(&columns[0]), integers(&columns[1]));
    intervals(call.rows, columns, |row| -> Result<_, Failure> {
        let mut span = values.at(row);
        span.micros = rounded(span.micros, digits[row]);
        Ok(span)
    })
}

/// Intervals without what is smaller than a unit: `year`, `month`, `day`, `hour` or `minute`.
pub(super) fn cut_intervals(columns: &[ArrayRef], call: &Call) -> Column {
    let (values, units) = (spans(&columns[0]), texts(&columns[1]));
    intervals(call.rows, columns, |row| -> Result<_, Failure> {
        let mut span = values.at(row);
        match units.value(row) {
            "year" => {
                span.months = span.months / 12 * 12;
                (span.days, span.micros) = (0, 0);
            }
            "month" => (span.days, span.micros) = (0, 0),
            "day" => span.micros = 0,
            "hour" => span.micros = span.micros / HOUR_MICROS * HOUR_MICROS,
            _ => span.micros = span.micros / MINUTE_MICROS * MINUTE_MICROS,
        }
        Ok(span)
    })
}
