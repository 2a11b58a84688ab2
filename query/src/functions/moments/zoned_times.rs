//! Kernels of times with a zone: operators, modifiers, fields and AT TIME ZONE.

use super::arithmetic::Direction;
use super::calendar::{Clock, in_range, is_finite, midnight, time_shifted};
use super::columns::{Column, dates, fill, integers, moments, spans, timestamptzs};
use super::failure::Failure;
use super::precision::rounded;
use super::zones::{NamedClocks, whole_displacement};
use crate::error::QueryError;
use crate::functions::overload::Call;
use crate::types::SECOND_MICROS;
use arrow::array::{ArrayRef, PrimitiveArray};
use arrow::datatypes::TimestampMicrosecondType;
use catalog::zoned_time::{TAG, ZonedTime};
use std::sync::Arc;

/// A column of times with a zone, from their integers.
fn zoned(column: Result<PrimitiveArray<TimestampMicrosecondType>, QueryError>) -> Column {
    Ok(Arc::new(column?.with_timezone(TAG)))
}

/// `timetz + interval`: the days of the interval mean nothing.
pub(super) fn shift(arguments: &[ArrayRef], call: &Call, direction: Direction) -> Column {
    let (values, by) = (moments(&arguments[0]), spans(&arguments[1]));
    zoned(fill::<_, Failure>(call.rows, arguments, |row| {
        let time = ZonedTime::unpacked(values[row]);
        let micros = time_shifted(time.micros, direction.of(by.at(row)).micros);
        Ok(ZonedTime { micros, ..time }.packed())
    }))
}

/// `date + timetz`
pub(super) fn join_with_date(arguments: &[ArrayRef], call: &Call) -> Column {
    let (days, values) = (dates(&arguments[0]), moments(&arguments[1]));
    timestamptzs(fill(call.rows, arguments, |row| match midnight(days[row])? {
        moment if is_finite(moment) => {
            let ZonedTime { micros, east } = ZonedTime::unpacked(values[row]);
            in_range(moment.checked_add(micros - i64::from(east) * SECOND_MICROS))
        }
        infinite => Ok(infinite),
    }))
}

/// Some digits behind the second's point.
pub(super) fn round(arguments: &[ArrayRef], call: &Call) -> Column {
    let (values, digits) = (moments(&arguments[0]), integers(&arguments[1]));
    zoned(fill::<_, Failure>(call.rows, arguments, |row| Ok(rounded_packed(values[row], digits[row]))))
}

pub(super) fn rounded_packed(packed: i64, digits: i32) -> i64 {
    let time = ZonedTime::unpacked(packed);
    ZonedTime { micros: rounded(time.micros, digits), ..time }.packed()
}

/// `timezone(text, timetz)`: in a zone as it is now.
pub(super) fn in_named_zone(arguments: &[ArrayRef], call: &Call) -> Column {
    let (mut clocks, values) = (NamedClocks::new(&arguments[0]), moments(&arguments[1]));
    let now = call.now_micros.div_euclid(SECOND_MICROS);
    zoned(fill::<_, QueryError>(call.rows, arguments, |row| {
        let east = clocks.at(row)?.offset_at(now);
        Ok(displaced_packed(values[row], i64::from(east))?)
    }))
}

/// `timezone(interval, timetz)`.
pub(super) fn displaced(arguments: &[ArrayRef], call: &Call) -> Column {
    let (zones, values) = (spans(&arguments[0]), moments(&arguments[1]));
    zoned(fill::<_, Failure>(call.rows, arguments, |row| {
        let east = whole_displacement(zones.at(row))? / SECOND_MICROS;
        displaced_packed(values[row], east)
    }))
}

fn displaced_packed(packed: i64, east: i64) -> Result<i64, Failure> {
    ZonedTime::unpacked(packed).at(east).map(ZonedTime::packed).ok_or(Failure::Displacement)
}
