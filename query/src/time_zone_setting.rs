//! The TimeZone setting: what SET TIME ZONE takes, and the name that is kept and shown for it.
//!
//!     Europe/Berlin             a zone of the database, by its own name
//!     5, '-3.5'                 hours east of Greenwich                        <+05>-05, <-03:30>+03:30
//!     INTERVAL '-08:00'         the same as a displacement                     <-08>+08
//!     'UTC+3', '+02:00'         POSIX, whose sign counts westwards             UTC+3, +02:00
//!
//! Hours and displacements become POSIX specifications, as in PostgreSQL, so what is kept is always the name of a zone.

use crate::error::QueryError;
use crate::types::{SECOND_MICROS, Zone, interval_of_text};
use arrow::datatypes::IntervalMonthDayNano;

const HOUR_SECONDS: i64 = 3600;
const MINUTE_SECONDS: i64 = 60;
const INTERVAL: &str = "interval";

/// The name of the zone that a value means; `invalid` says that it means none.
pub(crate) fn canonical(value: &str, invalid: impl Fn() -> QueryError) -> Result<String, QueryError> {
    let value = value.trim();
    let out_of_range = || invalid().detail("UTC timezone offset is out of range.");
    if value.get(..INTERVAL.len()).is_some_and(|word| word.eq_ignore_ascii_case(INTERVAL)) {
        let displacement = displacement(&value[INTERVAL.len()..], &invalid)?;
        return specification(displacement).ok_or_else(out_of_range);
    }
    if let Ok(hours) = value.parse::<f64>() {
        let east = Some(hours * HOUR_SECONDS as f64).filter(|seconds| seconds.is_finite());
        return east.and_then(|seconds| specification(seconds as i64)).ok_or_else(out_of_range);
    }
    match Zone::of_setting(value).ok_or_else(&invalid)? {
        Zone::Named(zone) => Ok(zone.name().to_string()),
        Zone::Fixed(_) => Ok(value.to_uppercase()),
    }
}

/// The seconds of `'-08:00' HOUR TO MINUTE`; smaller units than the last one named do not count, and a number alone is of that unit.
fn displacement(interval: &str, invalid: impl Fn() -> QueryError) -> Result<i64, QueryError> {
    let quoted = interval.trim().strip_prefix('\'').and_then(|rest| rest.split_once('\''));
    let (text, fields) = quoted.ok_or_else(&invalid)?;
    let (unit, seconds) = match fields.trim().to_lowercase().as_str() {
        "" => ("", 1),
        "hour" => (" hours", HOUR_SECONDS),
        "hour to minute" => (" minutes", MINUTE_SECONDS),
        _ => return Err(invalid()),
    };
    let is_number = text.trim().parse::<f64>().is_ok();
    let read = if is_number { interval_of_text(&format!("{text}{unit}")) } else { interval_of_text(text) };
    let IntervalMonthDayNano { months, days, nanoseconds } = read?;
    if months != 0 {
        return Err(invalid().detail("Cannot specify months in time zone interval."));
    }
    if days != 0 {
        return Err(invalid().detail("Cannot specify days in time zone interval."));
    }
    let whole = nanoseconds / (SECOND_MICROS * 1000);
    Ok(whole / seconds * seconds)
}

/// The POSIX specification of a displacement in seconds east; `None` where it is too far.
fn specification(east: i64) -> Option<String> {
    let distance = east.checked_abs()?;
    let (hours, minutes, seconds) =
        (distance / HOUR_SECONDS, distance / MINUTE_SECONDS % 60, distance % MINUTE_SECONDS);
    let shown = match (minutes, seconds) {
        (0, 0) => format!("{hours:02}"),
        (_, 0) => format!("{hours:02}:{minutes:02}"),
        _ => format!("{hours:02}:{minutes:02}:{seconds:02}"),
    };
    let (sign, opposite) = if east < 0 { ('-', '+') } else { ('+', '-') };
    let name = format!("<{sign}{shown}>{opposite}{shown}");
    Zone::of_setting(&name).map(|_| name)
}
