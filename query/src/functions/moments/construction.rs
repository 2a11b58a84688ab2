//! Dates, times, timestamps and intervals made of numbers: make_date and its kin, to_timestamp.

use super::calendar::{date_in_range, in_range};
use super::failure::{Failure, INTERVAL_RANGE};
use super::span::{HOUR_MICROS, MINUTE_MICROS, Span, YEAR_MONTHS, whole_i64};
use crate::types::{DAY_MICROS, POSTGRES_EPOCH_MICROS, SECOND_MICROS, days_from_civil, days_in_month};

const MINUTE_SECONDS: f64 = 60.0;

#[derive(Clone, Copy, Debug)]
pub(super) struct DateFields {
    /// Negative for years before Christ.
    pub(super) year: i32,
    pub(super) month: i32,
    pub(super) day: i32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct TimeFields {
    pub(super) hour: i32,
    pub(super) minute: i32,
    pub(super) second: f64,
}

/// Counts as in make_interval, the seconds in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SpanFields {
    pub(super) years: i32,
    pub(super) months: i32,
    pub(super) weeks: i32,
    pub(super) days: i32,
    pub(super) hours: i32,
    pub(super) minutes: i32,
    pub(super) seconds: f64,
}

impl DateFields {
    /// Days since 1970.
    pub(super) fn date(self) -> Result<i32, Failure> {
        // Where this fails, a year before Christ has already been counted with a year zero, and the message shows that.
        let shown_year = if self.year < 0 && self.year != i32::MIN { self.year + 1 } else { self.year };
        self.days(shown_year)
    }

    fn days(self, shown_year: i32) -> Result<i32, Failure> {
        let Self { year, month, day } = self;
        // 1 BC is the year zero of the calendar.
        let year = if year < 0 { i64::from(year) + 1 } else { i64::from(year) };
        let has_month = self.year != 0 && self.year != i32::MIN && (1..=12).contains(&month) && day >= 1;
        if !has_month || day as u32 > days_in_month(year, month as u32) {
            return Err(out_of_range("date field value", &self.shown(shown_year)));
        }
        let days = days_from_civil(year, month as u32, day as u32);
        date_in_range(days).map_err(|_| out_of_range("date", &self.shown(shown_year)))
    }

    fn shown(&self, year: i32) -> String {
        format!("{year}-{:02}-{:02}", self.month, self.day)
    }
}

impl TimeFields {
    /// Microseconds since midnight, up to 24:00:00.
    pub(super) fn time(self) -> Result<i64, Failure> {
        let second_micros = (self.second * SECOND_MICROS as f64).round_ties_even();
        let is_clock = (0..=24).contains(&self.hour)
            && (0..=59).contains(&self.minute)
            && (0.0..=MINUTE_SECONDS * SECOND_MICROS as f64).contains(&second_micros);
        if !is_clock {
            return Err(out_of_range("time field value", &self.shown()));
        }
        let micros = i64::from(self.hour) * HOUR_MICROS + i64::from(self.minute) * MINUTE_MICROS + second_micros as i64;
        if micros <= DAY_MICROS { Ok(micros) } else { Err(out_of_range("time field value", &self.shown())) }
    }

    fn shown(&self) -> String {
        format!("{}:{:02}:{:0>2}", self.hour, self.minute, general(self.second))
    }
}

/// A local timestamp.
pub(super) fn timestamp(date: DateFields, time: TimeFields) -> Result<i64, Failure> {
    let days = date.days(date.year)?;
    let time_micros = time.time()?;
    let micros = i64::from(days).checked_mul(DAY_MICROS).and_then(|micros| micros.checked_add(time_micros));
    in_range(micros).map_err(|_| out_of_range("timestamp", &format!("{} {}", date.shown(date.year), time.shown())))
}

pub(super) fn interval(fields: SpanFields) -> Result<Span, Failure> {
    if !fields.seconds.is_finite() {
        return Err(INTERVAL_RANGE);
    }
    let second_micros = whole_i64((fields.seconds * SECOND_MICROS as f64).round_ties_even())?;
    let months = i64::from(fields.years) * i64::from(YEAR_MONTHS) + i64::from(fields.months);
    let days = i64::from(fields.weeks) * 7 + i64::from(fields.days);
    let micros = i64::from(fields.hours) * HOUR_MICROS + i64::from(fields.minutes) * MINUTE_MICROS;
    let sum = || {
        Some(Span {
            months: i32::try_from(months).ok()?,
            days: i32::try_from(days).ok()?,
            micros: micros.checked_add(second_micros)?,
        })
    };
    sum().ok_or(INTERVAL_RANGE)
}

/// The moment so many seconds after 1970 UTC.
pub(super) fn moment_of_epoch(seconds: f64) -> Result<i64, Failure> {
    if seconds.is_nan() {
        return Err(Failure::OutOfRange("timestamp cannot be NaN".into()));
    }
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 { i64::MAX } else { i64::MIN });
    }
    // PostgreSQL rounds to microseconds counted from 2000, where doubles are finer for the times of now.
    let epoch_seconds = (POSTGRES_EPOCH_MICROS / SECOND_MICROS) as f64;
    let micros = ((seconds - epoch_seconds) * SECOND_MICROS as f64).round_ties_even();
    let micros = whole_i64(micros).ok().and_then(|micros| micros.checked_add(POSTGRES_EPOCH_MICROS));
    in_range(micros)
        .map_err(|_| Failure::OutOfRange(format!("timestamp out of range: \"{}\"", general(seconds)).into()))
}

#[cold]
fn out_of_range(what: &str, shown: &str) -> Failure {
    Failure::OutOfRange(format!("{what} out of range: {shown}").into())
}

/// A double as C's `%g` prints it: six significant digits. What is no number has PostgreSQL's names.
fn general(value: f64) -> String {
    if !value.is_finite() {
        let infinity = if value > 0.0 { "Infinity" } else { "-Infinity" };
        return if value.is_nan() { "NaN".into() } else { infinity.into() };
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if (-4..6).contains(&exponent) {
        return trimmed(&format!("{value:.*}", (5 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}
