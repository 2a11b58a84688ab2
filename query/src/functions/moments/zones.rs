//! Time zones in expressions: AT TIME ZONE by name and by interval, and the session's zone for calendar arithmetic.
//!
//! A name is an abbreviation first, so that `CET` is one hour east of Greenwich in summer as well, then a zone of the database,
//! then a POSIX specification without summer time, whose sign counts westwards. This is the order of PostgreSQL; the TimeZone
//! setting does without the first.

use super::calendar::{Clock, in_range, is_finite};
use super::columns::{Column, fill, moments, spans, texts, timestamps, timestamptzs};
use super::failure::Failure;
use super::span::Span;
use crate::error::{ErrorKind, QueryError};
use crate::functions::overload::Call;
use crate::types::{ABBREVIATIONS, OffsetCache, SECOND_MICROS, Zone, colon_separated, push_interval};
use arrow::array::{ArrayRef, StringViewArray};

const DAY_SECONDS: i64 = 86_400;
/// The largest displacement of a zone is less than 16 hours.
const DISPLACEMENT_HOURS_MAX: u32 = 15;

/// A zone that remembers the day it was last asked about, in both directions.
pub(super) struct ZoneClock {
    zone: Zone,
    utc: OffsetCache,
    local_start: i64,
    local_end: i64,
    local_offset: i32,
}

impl ZoneClock {
    pub(super) fn new(zone: Zone) -> Self {
        Self { zone, utc: OffsetCache::new(zone), local_start: 0, local_end: 0, local_offset: 0 }
    }
}

impl Clock for ZoneClock {
    fn offset_at(&mut self, seconds: i64) -> i32 {
        self.utc.offset_at(seconds)
    }

    fn offset_of_local(&mut self, local_seconds: i64) -> i32 {
        if local_seconds >= self.local_start && local_seconds < self.local_end {
            return self.local_offset;
        }
        let offset = self.zone.offset_of_local(local_seconds);
        // A local day is of one offset if that holds from a day before to a day after it in UTC: no offset is a day.
        let start = local_seconds.div_euclid(DAY_SECONDS) * DAY_SECONDS;
        if (-1..=2).all(|days| self.zone.offset_at(start + days * DAY_SECONDS) == offset) {
            (self.local_start, self.local_end, self.local_offset) = (start, start + DAY_SECONDS, offset);
        }
        offset
    }
}

/// Zones by the names of a column, which mostly repeat.
pub(super) struct NamedClocks<'a> {
    names: &'a StringViewArray,
    last: Option<(&'a str, ZoneClock)>,
}

impl<'a> NamedClocks<'a> {
    pub(super) fn new(column: &'a ArrayRef) -> Self {
        Self { names: texts(column), last: None }
    }

    pub(super) fn at(&mut self, row: usize) -> Result<&mut ZoneClock, QueryError> {
        let name = self.names.value(row);
        let known = self.last.take().filter(|(last, _)| *last == name);
        let entry = match known {
            Some(entry) => entry,
            None => (name, ZoneClock::new(zone_of_expression(name).ok_or_else(|| not_recognized(name))?)),
        };
        Ok(&mut self.last.insert(entry).1)
    }
}

/// `timezone(text, timestamp with time zone)`: what the clocks of a zone show.
pub(super) fn local_by_name(arguments: &[ArrayRef], call: &Call) -> Column {
    let (mut clocks, utc) = (NamedClocks::new(&arguments[0]), moments(&arguments[1]));
    timestamps(fill(call.rows, arguments, |row| match is_finite(utc[row]) {
        true => Ok::<_, QueryError>(in_range(Some(clocks.at(row)?.local(utc[row])))?),
        false => Ok(utc[row]),
    }))
}

/// `timezone(text, timestamp)`: when the clocks of a zone show it.
pub(super) fn utc_by_name(arguments: &[ArrayRef], call: &Call) -> Column {
    let (mut clocks, local) = (NamedClocks::new(&arguments[0]), moments(&arguments[1]));
    timestamptzs(fill(call.rows, arguments, |row| match is_finite(local[row]) {
        true => Ok::<_, QueryError>(clocks.at(row)?.utc(local[row])?),
        false => Ok(local[row]),
    }))
}

/// `timezone(interval, timestamp with time zone)`.
pub(super) fn local_by_offset(arguments: &[ArrayRef], call: &Call) -> Column {
    let (zones, utc) = (spans(&arguments[0]), moments(&arguments[1]));
    timestamps(fill(call.rows, arguments, |row| displaced(utc[row], zones.at(row), 1)))
}

/// `timezone(interval, timestamp)`.
pub(super) fn utc_by_offset(arguments: &[ArrayRef], call: &Call) -> Column {
    let (zones, local) = (spans(&arguments[0]), moments(&arguments[1]));
    timestamptzs(fill(call.rows, arguments, |row| displaced(local[row], zones.at(row), -1)))
}

fn displaced(micros: i64, zone: Span, sign: i64) -> Result<i64, Failure> {
    if !is_finite(micros) {
        return Ok(micros);
    }
    in_range(micros.checked_add(sign * whole_displacement(zone)?))
}

/// The microseconds of an interval that is a displacement, in whole seconds.
pub(super) fn whole_displacement(zone: Span) -> Result<i64, Failure> {
    if zone.months != 0 || zone.days != 0 {
        let mut shown = Vec::new();
        push_interval(&mut shown, zone.months, zone.days, zone.micros);
        let shown = String::from_utf8_lossy(&shown);
        let message = format!("interval time zone \"{shown}\" must not include months or days");
        return Err(Failure::InvalidParameter(message.into()));
    }
    Ok(zone.micros / SECOND_MICROS * SECOND_MICROS)
}

/// A zone as expressions name it.
pub(super) fn zone_of_expression(name: &str) -> Option<Zone> {
    let abbreviation = ABBREVIATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    match abbreviation {
        Some((_, minutes)) => Some(Zone::Fixed(minutes * 60)),
        None => Zone::of_setting(name),
    }
}

#[cold]
pub(super) fn not_recognized(name: &str) -> QueryError {
    QueryError::new(ErrorKind::InvalidParameterValue, format!("time zone \"{name}\" not recognized"))
}

/// The zone of make_timestamptz: `+05:30` counts eastwards here, other names are as in expressions.
pub(super) fn zone_of_construction(name: &str) -> Result<Zone, QueryError> {
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(QueryError::new(
            ErrorKind::InvalidParameterValue,
            format!("invalid input syntax for type numeric time zone: \"{name}\""),
        )
        .hint("Numeric time zones must have \"-\" or \"+\" as first character."));
    }
    let Some((negative, hours, minutes, seconds)) = numeric_zone(name) else {
        return zone_of_expression(name).ok_or_else(|| not_recognized(name));
    };
    if hours > DISPLACEMENT_HOURS_MAX || minutes > 59 || seconds > 59 {
        return Err(QueryError::new(
            ErrorKind::InvalidParameterValue,
            format!("numeric time zone \"{name}\" out of range"),
        ));
    }
    let offset = (hours * 3600 + minutes * 60 + seconds) as i32;
    Ok(Zone::Fixed(if negative { -offset } else { offset }))
}

/// `+hh`, `+hhmm`, `+hh:mm` or `+hh:mm:ss`: whether it is negative, and its numbers in whatever range. A missing number is 0.
fn numeric_zone(name: &str) -> Option<(bool, u32, u32, u32)> {
    let body = name.strip_prefix(['+', '-'])?;
    let [hours, minutes, seconds] = colon_separated(body)?;
    let (hours, minutes) =
        if body.len() > 2 && !body.contains(':') { (hours / 100, hours % 100) } else { (hours, minutes) };
    Some((name.starts_with('-'), hours, minutes, seconds))
}
