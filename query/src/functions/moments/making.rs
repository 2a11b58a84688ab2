//! Kernels of make_date and its kin, and of to_timestamp.

use super::calendar::Clock;
use super::columns::{Column, fill, floats, integers, intervals, texts, timestamps, timestamptzs};
use super::construction::{self, DateFields, SpanFields, TimeFields};
use super::failure::Failure;
use super::zones::{ZoneClock, zone_of_construction};
use crate::error::QueryError;
use crate::functions::overload::Call;
use arrow::array::ArrayRef;
use arrow::datatypes::{Date32Type, Time64MicrosecondType};
use std::sync::Arc;

/// Columns of year, month and day.
struct DateColumns<'a>([&'a [i32]; 3]);

impl<'a> DateColumns<'a> {
    fn new(arguments: &'a [ArrayRef]) -> Self {
        Self([0, 1, 2].map(|position| integers(&arguments[position])))
    }

    fn at(&self, row: usize) -> DateFields {
        let [year, month, day] = self.0.map(|column| column[row]);
        DateFields { year, month, day }
    }
}

/// Columns of hour, minute and second.
struct TimeColumns<'a> {
    hours: &'a [i32],
    minutes: &'a [i32],
    seconds: &'a [f64],
}

impl<'a> TimeColumns<'a> {
    fn new(arguments: &'a [ArrayRef]) -> Self {
        Self { hours: integers(&arguments[0]), minutes: integers(&arguments[1]), seconds: floats(&arguments[2]) }
    }

    fn at(&self, row: usize) -> TimeFields {
        TimeFields { hour: self.hours[row], minute: self.minutes[row], second: self.seconds[row] }
    }
}

pub(super) fn make_date(arguments: &[ArrayRef], call: &Call) -> Column {
    let date = DateColumns::new(arguments);
    Ok(Arc::new(fill::<Date32Type, _>(call.rows, arguments, |row| date.at(row).date())?))
}

pub(super) fn make_time(arguments: &[ArrayRef], call: &Call) -> Column {
    let time = TimeColumns::new(arguments);
    Ok(Arc::new(fill::<Time64MicrosecondType, _>(call.rows, arguments, |row| time.at(row).time())?))
}

pub(super) fn make_timestamp(arguments: &[ArrayRef], call: &Call) -> Column {
    let (date, time) = (DateColumns::new(arguments), TimeColumns::new(&arguments[3..]));
    timestamps(fill(call.rows, arguments, |row| construction::timestamp(date.at(row), time.at(row))))
}

/// In the session's zone.
pub(super) fn make_timestamptz(arguments: &[ArrayRef], call: &Call) -> Column {
    let (date, time) = (DateColumns::new(arguments), TimeColumns::new(&arguments[3..]));
    let mut clock = ZoneClock::new(call.zone);
    timestamptzs(fill(call.rows, arguments, |row| clock.utc(construction::timestamp(date.at(row), time.at(row))?)))
}

/// In the zone that the last argument names.
pub(super) fn make_timestamptz_in_zone(arguments: &[ArrayRef], call: &Call) -> Column {
    let (date, time) = (DateColumns::new(arguments), TimeColumns::new(&arguments[3..]));
    let names = texts(&arguments[6]);
    let mut last: Option<(&str, ZoneClock)> = None;
    timestamptzs(fill(call.rows, arguments, |row| {
        let local = construction::timestamp(date.at(row), time.at(row))?;
        let name = names.value(row);
        let known = last.take().filter(|(known, _)| *known == name);
        let entry = match known {
            Some(entry) => entry,
            None => (name, ZoneClock::new(zone_of_construction(name)?)),
        };
        Ok::<_, QueryError>(last.insert(entry).1.utc(local)?)
    }))
}

/// The first of seven counts, from years to seconds, as many as there are; the others are 0.
pub(super) fn make_interval(arguments: &[ArrayRef], call: &Call) -> Column {
    let counts: Vec<&[i32]> = arguments.iter().take(6).map(integers).collect();
    let seconds = arguments.get(6).map(floats);
    intervals::<Failure>(call.rows, arguments, |row| {
        let count = |position: usize| counts.get(position).map_or(0, |column| column[row]);
        construction::interval(SpanFields {
            years: count(0),
            months: count(1),
            weeks: count(2),
            days: count(3),
            hours: count(4),
            minutes: count(5),
            seconds: seconds.map_or(0.0, |column| column[row]),
        })
    })
}

/// Seconds since 1970.
pub(super) fn to_timestamp(arguments: &[ArrayRef], call: &Call) -> Column {
    let seconds = floats(&arguments[0]);
    timestamptzs(fill(call.rows, arguments, |row| construction::moment_of_epoch(seconds[row])))
}
