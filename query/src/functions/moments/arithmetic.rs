//! Kernels of the operators `+ - * /` and the comparisons, and of the functions that are arithmetic by name: age, justify_…,
//! isfinite, overlaps.

use super::calendar::{
    Clock, age, between, date_plus, days_between, in_range, is_finite, is_finite_date, midnight, shifted,
    shifted_in_zone, time_shifted,
};
use super::columns::{
    Column, dates, fill, fill_booleans, floats, integers, intervals, moments, spans, times, timestamps, timestamptzs,
};
use super::failure::Failure;
use super::span::Span;
use super::zones::ZoneClock;
use crate::functions::overload::Call;
use crate::types::DAY_MICROS;
use arrow::array::{Array, ArrayRef, BooleanArray, Decimal128Array};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Time64MicrosecondType};
use std::cmp::Ordering;
use std::sync::Arc;

/// Whether an interval is added to a moment or taken from it.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Later,
    Earlier,
}

impl Direction {
    pub(super) fn of(self, span: Span) -> Span {
        match self {
            Self::Later => span,
            Self::Earlier => span.opposite(),
        }
    }
}

/// The arguments of an operator whose operands stand the other way round.
pub(super) fn swapped(arguments: &[ArrayRef]) -> [ArrayRef; 2] {
    [Arc::clone(&arguments[1]), Arc::clone(&arguments[0])]
}

pub(super) fn shift_dates(arguments: &[ArrayRef], call: &Call, direction: Direction) -> Column {
    let (days, by) = (dates(&arguments[0]), spans(&arguments[1]));
    timestamps(fill(call.rows, arguments, |row| shifted(midnight(days[row])?, direction.of(by.at(row)))))
}

pub(super) fn shift_timestamps(arguments: &[ArrayRef], call: &Call, direction: Direction) -> Column {
    let (micros, by) = (moments(&arguments[0]), spans(&arguments[1]));
    timestamps(fill(call.rows, arguments, |row| shifted(micros[row], direction.of(by.at(row)))))
}

/// In the session's zone.
pub(super) fn shift_timestamptzs(arguments: &[ArrayRef], call: &Call, direction: Direction) -> Column {
    let (micros, by, mut clock) = (moments(&arguments[0]), spans(&arguments[1]), ZoneClock::new(call.zone));
    timestamptzs(fill(call.rows, arguments, |row| shifted_in_zone(micros[row], direction.of(by.at(row)), &mut clock)))
}

pub(super) fn shift_times(arguments: &[ArrayRef], call: &Call, direction: Direction) -> Column {
    let (micros, by) = (times(&arguments[0]), spans(&arguments[1]));
    let column = fill::<Time64MicrosecondType, Failure>(call.rows, arguments, |row| {
        Ok(time_shifted(micros[row], direction.of(by.at(row)).micros))
    })?;
    Ok(Arc::new(column))
}

/// `date + integer`, and `date - integer` with a sign of -1.
pub(super) fn count_days(arguments: &[ArrayRef], call: &Call, sign: i64) -> Column {
    let (days, by) = (dates(&arguments[0]), integers(&arguments[1]));
    let column = fill::<Date32Type, _>(call.rows, arguments, |row| date_plus(days[row], sign * i64::from(by[row])))?;
    Ok(Arc::new(column))
}

pub(super) fn subtract_dates(arguments: &[ArrayRef], call: &Call) -> Column {
    let (later, earlier) = (dates(&arguments[0]), dates(&arguments[1]));
    let column = fill::<Int32Type, _>(call.rows, arguments, |row| days_between(later[row], earlier[row]))?;
    Ok(Arc::new(column))
}

pub(super) fn subtract_moments(arguments: &[ArrayRef], call: &Call) -> Column {
    let (later, earlier) = (moments(&arguments[0]), moments(&arguments[1]));
    intervals(call.rows, arguments, |row| between(later[row], earlier[row]))
}

pub(super) fn subtract_times(arguments: &[ArrayRef], call: &Call) -> Column {
    let (later, earlier) = (times(&arguments[0]), times(&arguments[1]));
    intervals::<Failure>(call.rows, arguments, |row| Ok(Span { micros: later[row] - earlier[row], ..Span::default() }))
}

/// `date + time`.
pub(super) fn join_date_and_time(arguments: &[ArrayRef], call: &Call) -> Column {
    let (days, time) = (dates(&arguments[0]), times(&arguments[1]));
    timestamps(fill(call.rows, arguments, |row| match midnight(days[row])? {
        moment if is_finite(moment) => in_range(moment.checked_add(time[row])),
        infinite => Ok(infinite),
    }))
}

pub(super) fn combine_spans(
    arguments: &[ArrayRef],
    call: &Call,
    combine: fn(Span, Span) -> Result<Span, Failure>,
) -> Column {
    let (left, right) = (spans(&arguments[0]), spans(&arguments[1]));
    intervals(call.rows, arguments, |row| combine(left.at(row), right.at(row)))
}

pub(super) fn scale_spans(
    arguments: &[ArrayRef],
    call: &Call,
    scale: fn(Span, f64) -> Result<Span, Failure>,
) -> Column {
    let (left, factors) = (spans(&arguments[0]), floats(&arguments[1]));
    intervals(call.rows, arguments, |row| scale(left.at(row), factors[row]))
}

pub(super) fn map_spans(arguments: &[ArrayRef], call: &Call, map: fn(Span) -> Result<Span, Failure>) -> Column {
    let values = spans(&arguments[0]);
    intervals(call.rows, arguments, |row| map(values.at(row)))
}

/// The length in microseconds, with months of 30 days and days of 24 hours.
pub(super) fn measure_spans(arguments: &[ArrayRef], _: &Call) -> Column {
    let values = spans(&arguments[0]);
    let nulls = arguments[0].nulls();
    let lengths = (0..arguments[0].len())
        .map(|row| nulls.is_none_or(|nulls| nulls.is_valid(row)).then(|| values.at(row).normalised_micros()));
    let lengths = lengths.collect::<Decimal128Array>().with_data_type(DataType::Decimal128(38, 0));
    Ok(Arc::new(lengths))
}

/// Compares by length, with months of 30 days and days of 24 hours.
pub(super) fn compare_spans(arguments: &[ArrayRef], call: &Call, accept: fn(Ordering) -> bool) -> Column {
    let (left, right) = (spans(&arguments[0]), spans(&arguments[1]));
    fill_booleans(call.rows, arguments, |row| {
        accept(left.at(row).normalised_micros().cmp(&right.at(row).normalised_micros()))
    })
}

pub(super) fn ages(arguments: &[ArrayRef], call: &Call) -> Column {
    let (first, second) = (moments(&arguments[0]), moments(&arguments[1]));
    intervals(call.rows, arguments, |row| age(first[row], second[row], first[row] < second[row]))
}

pub(super) fn ages_in_zone(arguments: &[ArrayRef], call: &Call) -> Column {
    let (first, second, mut clock) = (moments(&arguments[0]), moments(&arguments[1]), ZoneClock::new(call.zone));
    intervals(call.rows, arguments, |row| {
        let is_negative = first[row] < second[row];
        age(clock.local(first[row]), clock.local(second[row]), is_negative)
    })
}

/// The age at the midnight with which the session's current date began.
pub(super) fn ages_today(arguments: &[ArrayRef], call: &Call) -> Column {
    let (births, today) = (moments(&arguments[0]), today(call));
    intervals(call.rows, arguments, |row| age(today, births[row], today < births[row]))
}

pub(super) fn ages_today_in_zone(arguments: &[ArrayRef], call: &Call) -> Column {
    let (births, today, mut clock) = (moments(&arguments[0]), today(call), ZoneClock::new(call.zone));
    let today_utc = clock.utc(today)?;
    intervals(call.rows, arguments, |row| age(today, clock.local(births[row]), today_utc < births[row]))
}

/// The local midnight before now.
fn today(call: &Call) -> i64 {
    let local = ZoneClock::new(call.zone).local(call.now_micros);
    local - local.rem_euclid(DAY_MICROS)
}

pub(super) fn finite_dates(arguments: &[ArrayRef], call: &Call) -> Column {
    let days = dates(&arguments[0]);
    fill_booleans(call.rows, arguments, |row| is_finite_date(days[row]))
}

pub(super) fn finite_moments(arguments: &[ArrayRef], call: &Call) -> Column {
    let micros = moments(&arguments[0]);
    fill_booleans(call.rows, arguments, |row| is_finite(micros[row]))
}

pub(super) fn finite_spans(arguments: &[ArrayRef], call: &Call) -> Column {
    fill_booleans(call.rows, arguments, |_| true)
}

/// Whether two periods share a moment. Not strict: a period with one known end may be known to overlap all the same.
fn overlap(first: [Option<i64>; 2], second: [Option<i64>; 2]) -> Option<bool> {
    let (first_start, first_end) = ordered(first)?;
    let (second_start, second_end) = ordered(second)?;
    // The later of the two has to start before the other one ends.
    let (start, own_end, other_end) = match first_start.cmp(&second_start) {
        Ordering::Equal => return (first_end.is_some() && second_end.is_some()).then_some(true),
        Ordering::Greater => (first_start, first_end, second_end),
        Ordering::Less => (second_start, second_end, first_end),
    };
    if start < other_end? { Some(true) } else { own_end.map(|_| false) }
}

/// The earlier end first; an end that is not known is last.
fn ordered(ends: [Option<i64>; 2]) -> Option<(i64, Option<i64>)> {
    match ends {
        [Some(start), Some(end)] => Some((start.min(end), Some(start.max(end)))),
        [Some(known), None] | [None, Some(known)] => Some((known, None)),
        [None, None] => None,
    }
}

/// Over the raw microseconds of four columns of one type.
fn overlaps(arguments: &[ArrayRef], call: &Call, values: fn(&ArrayRef) -> &[i64]) -> Column {
    let columns: Vec<(&ArrayRef, &[i64])> = arguments.iter().map(|column| (column, values(column))).collect();
    let end = |position: usize, row: usize| {
        let (column, values) = columns[position];
        column.is_valid(row).then(|| values[row])
    };
    let result: BooleanArray =
        (0..call.rows).map(|row| overlap([end(0, row), end(1, row)], [end(2, row), end(3, row)])).collect();
    Ok(Arc::new(result))
}

pub(super) fn overlapping_moments(arguments: &[ArrayRef], call: &Call) -> Column {
    overlaps(arguments, call, moments)
}

pub(super) fn overlapping_times(arguments: &[ArrayRef], call: &Call) -> Column {
    overlaps(arguments, call, times)
}

/// What adds the interval of a period to its start.
type Shift = fn(&[ArrayRef], &Call, Direction) -> Column;

/// Overlaps with the ends at some positions given as intervals after the start before them.
fn overlaps_with_lengths(
    arguments: &[ArrayRef],
    call: &Call,
    ends: &[usize],
    shift: Shift,
    values: fn(&ArrayRef) -> &[i64],
) -> Column {
    let mut columns = arguments.to_vec();
    for end in ends {
        columns[*end] = shift(&arguments[end - 1..=*end], call, Direction::Later)?;
    }
    overlaps(&columns, call, values)
}

pub(super) fn overlapping_timestamps_with_lengths(arguments: &[ArrayRef], call: &Call, ends: &[usize]) -> Column {
    overlaps_with_lengths(arguments, call, ends, shift_timestamps, moments)
}

pub(super) fn overlapping_timestamptzs_with_lengths(arguments: &[ArrayRef], call: &Call, ends: &[usize]) -> Column {
    overlaps_with_lengths(arguments, call, ends, shift_timestamptzs, moments)
}

pub(super) fn overlapping_times_with_lengths(arguments: &[ArrayRef], call: &Call, ends: &[usize]) -> Column {
    overlaps_with_lengths(arguments, call, ends, shift_times, times)
}
