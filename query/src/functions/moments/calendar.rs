//! Moments on the calendar: what they range over, what an interval adds to them, how old they are.
//!
//! A moment is a number of microseconds since 1970, a date a number of days since then. Both are either local, in no particular
//! zone, or UTC; what crosses between the two asks a [`Clock`]. The extreme numbers stand for infinity and stay what they are
//! under any addition.

use super::failure::{DATE_AS_TIMESTAMP_RANGE, DATE_RANGE, Failure, TIMESTAMP_RANGE};
use super::span::{HOUR_MICROS, MINUTE_MICROS, Span, YEAR_MONTHS};
use crate::types::{DATE_END, DAY_MICROS, DAY_MIN, SECOND_MICROS, civil_from_days, days_from_civil, days_in_month};

/// The offsets of a time zone, in seconds east of Greenwich.
pub(super) trait Clock {
    fn offset_at(&mut self, seconds: i64) -> i32;
    fn offset_of_local(&mut self, local_seconds: i64) -> i32;

    /// What the clocks on the wall show at a moment. Beyond the range of timestamps it stops at the last one.
    fn local(&mut self, utc_micros: i64) -> i64 {
        let offset = self.offset_at(utc_micros.div_euclid(SECOND_MICROS));
        utc_micros.saturating_add(i64::from(offset) * SECOND_MICROS)
    }

    /// The moment at which the clocks on the wall show this.
    fn utc(&mut self, local_micros: i64) -> Result<i64, Failure> {
        let offset = self.offset_of_local(local_micros.div_euclid(SECOND_MICROS));
        in_range(local_micros.checked_sub(i64::from(offset) * SECOND_MICROS))
    }
}

pub(super) fn is_finite(micros: i64) -> bool {
    micros != i64::MAX && micros != i64::MIN
}

pub(super) fn is_finite_date(days: i32) -> bool {
    days != i32::MAX && days != i32::MIN
}

/// A timestamp that exists; `None` is one beyond 64 bits.
pub(super) fn in_range(micros: Option<i64>) -> Result<i64, Failure> {
    micros.filter(|micros| *micros >= DAY_MIN * DAY_MICROS && *micros != i64::MAX).ok_or(TIMESTAMP_RANGE)
}

pub(super) fn date_in_range(days: i64) -> Result<i32, Failure> {
    if (DAY_MIN..DATE_END).contains(&days) { Ok(days as i32) } else { Err(DATE_RANGE) }
}

/// The first moment of a date.
pub(super) fn midnight(days: i32) -> Result<i64, Failure> {
    match days {
        i32::MAX => Ok(i64::MAX),
        i32::MIN => Ok(i64::MIN),
        _ => i64::from(days).checked_mul(DAY_MICROS).ok_or(DATE_AS_TIMESTAMP_RANGE),
    }
}

/// A local timestamp and an interval later: months first, then days, then time, and each step has to arrive in range.
pub(super) fn shifted(micros: i64, span: Span) -> Result<i64, Failure> {
    if !is_finite(micros) {
        return Ok(micros);
    }
    let mut moment = micros;
    if span.months != 0 {
        moment = in_range(plus_months(moment, span.months))?;
    }
    if span.days != 0 {
        moment = in_range(plus_days(moment, span.days))?;
    }
    in_range(moment.checked_add(span.micros))
}

/// The same for a moment of a zone: months and days pass on the wall, time passes everywhere alike.
pub(super) fn shifted_in_zone(utc_micros: i64, span: Span, clock: &mut impl Clock) -> Result<i64, Failure> {
    if !is_finite(utc_micros) {
        return Ok(utc_micros);
    }
    let mut moment = utc_micros;
    if span.months != 0 {
        let local = plus_months(clock.local(moment), span.months).ok_or(TIMESTAMP_RANGE)?;
        moment = clock.utc(local)?;
    }
    if span.days != 0 {
        let local = plus_days(clock.local(moment), span.days).ok_or(TIMESTAMP_RANGE)?;
        moment = clock.utc(local)?;
    }
    in_range(moment.checked_add(span.micros))
}

/// The same day of another month, or that month's last.
fn plus_months(micros: i64, months: i32) -> Option<i64> {
    let (year, month, day) = civil_from_days(micros.div_euclid(DAY_MICROS));
    let index = year * 12 + i64::from(month) - 1 + i64::from(months);
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12) as u32 + 1);
    let days = days_from_civil(year, month, day.min(days_in_month(year, month)));
    days.checked_mul(DAY_MICROS)?.checked_add(micros.rem_euclid(DAY_MICROS))
}

fn plus_days(micros: i64, days: i32) -> Option<i64> {
    micros.checked_add(i64::from(days).checked_mul(DAY_MICROS)?)
}

pub(super) fn date_plus(days: i32, count: i64) -> Result<i32, Failure> {
    if !is_finite_date(days) { Ok(days) } else { date_in_range(i64::from(days) + count) }
}

/// Days from the earlier to the later date.
pub(super) fn days_between(later: i32, earlier: i32) -> Result<i32, Failure> {
    if !is_finite_date(later) || !is_finite_date(earlier) {
        return Err(Failure::OutOfRange("cannot subtract infinite dates".into()));
    }
    later.checked_sub(earlier).ok_or(DATE_RANGE)
}

/// What lies between two moments, in days and time.
pub(super) fn between(later: i64, earlier: i64) -> Result<Span, Failure> {
    if !is_finite(later) || !is_finite(earlier) {
        return Err(Failure::OutOfRange("cannot subtract infinite timestamps".into()));
    }
    let micros = later.checked_sub(earlier).ok_or(super::failure::INTERVAL_RANGE)?;
    Span { micros, ..Span::default() }.justified_hours()
}

/// The time of day after an interval's time; its months and days do not count.
pub(super) fn time_shifted(time: i64, micros: i64) -> i64 {
    (time + micros.rem_euclid(DAY_MICROS)).rem_euclid(DAY_MICROS)
}

/// A local moment in calendar fields, signed so that differences can be taken field by field.
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    time: i64,
}

impl Fields {
    fn of(micros: i64) -> Self {
        let (year, month, day) = civil_from_days(micros.div_euclid(DAY_MICROS));
        Self { year, month: i64::from(month), day: i64::from(day), time: micros.rem_euclid(DAY_MICROS) }
    }

    fn month_length(&self) -> i64 {
        i64::from(days_in_month(self.year, self.month as u32))
    }
}

/// The difference of two local moments in years, months, days and time. `is_negative` says that the first is before the second;
/// it is asked of the moments in UTC, because clocks that go back can turn the local order round.
pub(super) fn age(local: i64, other: i64, is_negative: bool) -> Result<Span, Failure> {
    if !is_finite(local) || !is_finite(other) {
        return Err(TIMESTAMP_RANGE);
    }
    let (first, second) = (Fields::of(local), Fields::of(other));
    let sign = if is_negative { -1 } else { 1 };
    let mut time = sign * (first.time - second.time);
    let mut days = sign * (first.day - second.day);
    let mut months = sign * (first.month - second.month);
    let mut years = sign * (first.year - second.year);
    while time < 0 {
        time += DAY_MICROS;
        days -= 1;
    }
    // Days are borrowed from the month of the earlier moment.
    let borrowed_days = if is_negative { first.month_length() } else { second.month_length() };
    while days < 0 {
        days += borrowed_days;
        months -= 1;
    }
    while months < 0 {
        months += i64::from(YEAR_MONTHS);
        years -= 1;
    }
    let months = sign * (years * i64::from(YEAR_MONTHS) + months);
    Ok(Span { months: months as i32, days: (sign * days) as i32, micros: sign * time })
}

/// Monday is 0.
pub(super) fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7)
}

/// Year and number of the week that a day is in; a week belongs to the year of its Thursday.
pub(super) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - weekday(days) + 3;
    let (year, _, _) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// Hours, minutes and microseconds within the minute of a time or an interval's time; each has its sign.
pub(super) fn clock_fields(time: i64) -> (i64, i64, i64) {
    (time / HOUR_MICROS, time / MINUTE_MICROS % 60, time % MINUTE_MICROS)
}
