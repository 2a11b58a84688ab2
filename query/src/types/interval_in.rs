//! Intervals from text, as PostgreSQL's `DecodeInterval` and `DecodeISO8601Interval` read them.
//!
//! Fields are read from right to left, because a unit stands behind its number: `1 year 2 mons 3 days 04:05:06`, `1-2`,
//! `3 4:05:06`, `1 day ago`. A text that makes no sense so may be in the form of ISO 8601: `P1Y2M3DT4H5M6S`.

use super::datetime::{DAY_MICROS, SECOND_MICROS};
use super::datetime_fields::{Field, Sort, cut};
use super::datetime_words::fraction_micros;
use crate::error::{ErrorKind, QueryError};
use arrow::datatypes::IntervalMonthDayNano;

const MINUTE_MICROS: i64 = 60 * SECOND_MICROS;
const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;
const MONTHS_PER_YEAR: i32 = 12;
const DAYS_PER_MONTH: i64 = 30;
/// So many letters of a unit's name count.
const UNIT_LETTERS: usize = 10;

/// Reads an interval.
pub(crate) fn parse_interval(text: &str) -> Result<IntervalMonthDayNano, QueryError> {
    let total = match of_fields(text) {
        Err(Failure::Syntax) => of_iso_8601(text).ok_or(Failure::Syntax),
        read => read,
    };
    total.and_then(|total| total.finish()).map_err(|failure| match failure {
        Failure::Syntax => QueryError::new(
            ErrorKind::InvalidDatetimeFormat,
            format!("invalid input syntax for type interval: \"{text}\""),
        ),
        Failure::FieldRange => {
            let message = format!("interval field value out of range: \"{text}\"");
            QueryError::new(ErrorKind::IntervalOutOfRange, message)
        }
        Failure::TotalRange => QueryError::new(ErrorKind::DatetimeOutOfRange, "interval out of range"),
    })
}

#[derive(Debug, PartialEq)]
enum Failure {
    Syntax,
    FieldRange,
    TotalRange,
}

/// What fields add up to.
#[derive(Debug, Default)]
struct Total {
    years: i32,
    months: i32,
    days: i32,
    micros: i64,
}

impl Total {
    /// Adds a number of units. A fraction of a unit goes to the next smaller one: months have 30 days, days 24 hours. `None`
    /// when a part has no room for it.
    fn add(&mut self, whole: i64, fraction: f64, unit: Unit) -> Option<()> {
        match unit {
            Unit::Years(count) => {
                let years = i32::try_from(whole).ok()?.checked_mul(count)?;
                self.years = self.years.checked_add(years)?;
                let months = (fraction * f64::from(count) * f64::from(MONTHS_PER_YEAR)).round_ties_even();
                self.months = self.months.checked_add(months as i32)?;
            }
            Unit::Month => {
                self.months = self.months.checked_add(i32::try_from(whole).ok()?)?;
                self.add_part_of_days(fraction, DAYS_PER_MONTH)?;
            }
            Unit::Week => {
                self.add_days(whole, 7)?;
                self.add_part_of_days(fraction, 7)?;
            }
            Unit::Day => {
                self.add_days(whole, 1)?;
                self.add_part_of_micros(fraction, DAY_MICROS)?;
            }
            Unit::Micros(count) => {
                self.micros = self.micros.checked_add(whole.checked_mul(count)?)?;
                self.add_part_of_micros(fraction, count)?;
            }
        }
        Some(())
    }

    fn add_days(&mut self, whole: i64, count: i32) -> Option<()> {
        self.days = self.days.checked_add(i32::try_from(whole).ok()?.checked_mul(count)?)?;
        Some(())
    }

    fn add_part_of_days(&mut self, fraction: f64, count: i64) -> Option<()> {
        let days = fraction * count as f64;
        self.days = self.days.checked_add(days.trunc() as i32)?;
        self.add_part_of_micros(days.fract(), DAY_MICROS)
    }

    fn add_part_of_micros(&mut self, fraction: f64, count: i64) -> Option<()> {
        let exact = fraction * count as f64;
        let rest = exact.fract();
        let rounded = exact.trunc() as i64 + i64::from(rest > 0.5) - i64::from(rest < -0.5);
        self.micros = self.micros.checked_add(rounded)?;
        Some(())
    }

    fn negated(&self) -> Option<Self> {
        Some(Self {
            years: self.years.checked_neg()?,
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }

    fn finish(&self) -> Result<IntervalMonthDayNano, Failure> {
        let months = i64::from(self.years) * i64::from(MONTHS_PER_YEAR) + i64::from(self.months);
        let months = i32::try_from(months).map_err(|_| Failure::TotalRange)?;
        // Nanoseconds have room for 292 years; PostgreSQL counts microseconds.
        let nanos = self.micros.checked_mul(1000).ok_or(Failure::TotalRange)?;
        Ok(IntervalMonthDayNano::new(months, self.days, nanos))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Years(i32),
    Month,
    Week,
    Day,
    Micros(i64),
}

/// The parts of an interval that a text has said already; each is said once.
#[derive(Default)]
struct Said(u16);

impl Said {
    const SECOND: u16 = 1 << 0;
    const MILLISECOND: u16 = 1 << 1;
    const MICROSECOND: u16 = 1 << 2;
    const MINUTE: u16 = 1 << 3;
    const HOUR: u16 = 1 << 4;
    const DAY: u16 = 1 << 5;
    const WEEK: u16 = 1 << 6;
    const MONTH: u16 = 1 << 7;
    const YEAR: u16 = 1 << 8;
    const DECADE: u16 = 1 << 9;
    const CENTURY: u16 = 1 << 10;
    const MILLENNIUM: u16 = 1 << 11;
    const SECONDS: u16 = Self::SECOND | Self::MILLISECOND | Self::MICROSECOND;
    const CLOCK: u16 = Self::HOUR | Self::MINUTE | Self::SECONDS;

    fn say(&mut self, parts: u16) -> Result<(), Failure> {
        if self.0 & parts != 0 {
            return Err(Failure::Syntax);
        }
        self.0 |= parts;
        Ok(())
    }
}

/// The parts that a number of a unit says.
fn parts_of(unit: Unit, has_fraction: bool) -> u16 {
    match unit {
        Unit::Micros(1) => Said::MICROSECOND,
        Unit::Micros(1000) => Said::MILLISECOND,
        Unit::Micros(SECOND_MICROS) if has_fraction => Said::SECONDS,
        Unit::Micros(SECOND_MICROS) => Said::SECOND,
        Unit::Micros(MINUTE_MICROS) => Said::MINUTE,
        Unit::Micros(_) => Said::HOUR,
        Unit::Day => Said::DAY,
        Unit::Week => Said::WEEK,
        Unit::Month => Said::MONTH,
        Unit::Years(1) => Said::YEAR,
        Unit::Years(10) => Said::DECADE,
        Unit::Years(100) => Said::CENTURY,
        Unit::Years(_) => Said::MILLENNIUM,
    }
}

fn unit_of(word: &str) -> Option<Unit> {
    let counted = word.get(..UNIT_LETTERS).unwrap_or(word);
    Some(match counted {
        "mil" | "mils" | "millennia" | "millennium" => Unit::Years(1000),
        "c" | "cent" | "century" | "centuries" => Unit::Years(100),
        "dec" | "decs" | "decade" | "decades" => Unit::Years(10),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Years(1),
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "w" | "week" | "weeks" => Unit::Week,
        "d" | "day" | "days" => Unit::Day,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Micros(HOUR_MICROS),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Micros(MINUTE_MICROS),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Micros(SECOND_MICROS),
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => Unit::Micros(1000),
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Unit::Micros(1),
        _ => return None,
    })
}

fn of_fields(text: &str) -> Result<Total, Failure> {
    let fields = cut(text).map_err(|_| Failure::Syntax)?;
    let mut total = Total::default();
    let mut said = Said::default();
    let mut is_before = false;
    // What a number counts: seconds, until a unit or a time stands behind it.
    let mut unit = None;
    for Field { sort, text } in fields.iter().rev() {
        match sort {
            Sort::Clock => {
                said.say(Said::CLOCK)?;
                total.micros = clock(text)?;
                unit = Some(Unit::Day);
            }
            Sort::Signed if let Some(micros) = signed_clock(text) => {
                said.say(Said::CLOCK)?;
                total.micros = micros;
                unit = Some(Unit::Day);
            }
            Sort::Signed | Sort::Joined | Sort::Number => {
                let (whole, fraction, counted) = number(text, unit.unwrap_or(Unit::Micros(SECOND_MICROS)))?;
                total.add(whole, fraction, counted).ok_or(Failure::FieldRange)?;
                said.say(parts_of(counted, fraction != 0.0))?;
                unit = Some(if counted == Unit::Micros(HOUR_MICROS) { Unit::Day } else { counted });
            }
            Sort::Word | Sort::SignedWord if text == "ago" => is_before = true,
            Sort::Word | Sort::SignedWord => unit = Some(unit_of(text).ok_or(Failure::Syntax)?),
        }
    }
    match (said.0, is_before) {
        (0, _) => Err(Failure::Syntax),
        (_, true) => total.negated().ok_or(Failure::FieldRange),
        (_, false) => Ok(total),
    }
}

/// A whole number at the start of a text, and what follows it; no digits are zero.
fn leading_whole(text: &str) -> Result<(i64, &str), Failure> {
    let signs = usize::from(text.starts_with(['+', '-']));
    let digits = text[signs..].bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok((0, text));
    }
    let (number, rest) = text.split_at(signs + digits);
    Ok((number.parse().map_err(|_| Failure::FieldRange)?, rest))
}

/// A number with its fraction, or years and months with a line between them, which count months.
fn number(text: &str, unit: Unit) -> Result<(i64, f64, Unit), Failure> {
    let (whole, rest) = leading_whole(text)?;
    let negative = text.starts_with('-');
    if let Some(months) = rest.strip_prefix('-') {
        let (months, rest) = leading_whole(months)?;
        if !(0..i64::from(MONTHS_PER_YEAR)).contains(&months) {
            return Err(Failure::FieldRange);
        }
        if !rest.is_empty() {
            return Err(Failure::Syntax);
        }
        let years = whole.checked_mul(MONTHS_PER_YEAR.into()).ok_or(Failure::FieldRange)?;
        let total = years.checked_add(if negative { -months } else { months }).ok_or(Failure::FieldRange)?;
        return Ok((total, 0.0, Unit::Month));
    }
    if rest.is_empty() {
        return Ok((whole, 0.0, unit));
    }
    let digits = rest.strip_prefix('.').ok_or(Failure::Syntax)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::Syntax);
    }
    let fraction: f64 = if digits.is_empty() { 0.0 } else { rest.parse().map_err(|_| Failure::Syntax)? };
    Ok((whole, if negative { -fraction } else { fraction }, unit))
}

/// `-02:03:04`; `None` for what is no time, and so a number.
fn signed_clock(text: &str) -> Option<i64> {
    let micros = text.get(1..).filter(|rest| rest.contains(':')).and_then(|rest| clock(rest).ok())?;
    Some(if text.starts_with('-') { -micros } else { micros })
}

/// Microseconds of `04:05`, `04:05:06.789`, or minutes and seconds with a fraction, `04:05.6`.
fn clock(text: &str) -> Result<i64, Failure> {
    let (first, rest) = leading_whole(text)?;
    let (second, rest) = leading_whole(rest.strip_prefix(':').ok_or(Failure::Syntax)?)?;
    let (hours, minutes, seconds, rest) = match rest.strip_prefix(':') {
        Some(rest) => {
            let (seconds, rest) = leading_whole(rest)?;
            (first, second, seconds, rest)
        }
        None if rest.starts_with('.') => (0, first, second, rest),
        None => (first, second, 0, rest),
    };
    let fraction = match rest.strip_prefix('.') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            fraction_micros(digits).map_err(|_| Failure::Syntax)?
        }
        None if rest.is_empty() => 0,
        _ => return Err(Failure::Syntax),
    };
    if hours < 0 || !(0..60).contains(&minutes) || !(0..=60).contains(&seconds) {
        return Err(Failure::FieldRange);
    }
    let below_hours = minutes * MINUTE_MICROS + seconds * SECOND_MICROS + fraction;
    hours.checked_mul(HOUR_MICROS).and_then(|micros| micros.checked_add(below_hours)).ok_or(Failure::FieldRange)
}

fn of_iso_8601(text: &str) -> Option<Total> {
    let rest = text.strip_prefix('P').filter(|rest| !rest.is_empty())?;
    with_designators(rest).or_else(|| without_designators(rest))
}

/// `1Y2M3DT4H5M6S`
fn with_designators(text: &str) -> Option<Total> {
    let mut total = Total::default();
    let mut in_time = false;
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            in_time = true;
            rest = after;
            continue;
        }
        let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
        let (value, after) = rest.split_at(rest.bytes().take_while(|byte| is_part(*byte)).count());
        if !value.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let unit = match (after.bytes().next()?, in_time) {
            (b'Y', false) => Unit::Years(1),
            (b'M', false) => Unit::Month,
            (b'W', false) => Unit::Week,
            (b'D', false) => Unit::Day,
            (b'H', true) => Unit::Micros(HOUR_MICROS),
            (b'M', true) => Unit::Micros(MINUTE_MICROS),
            (b'S', true) => Unit::Micros(SECOND_MICROS),
            _ => return None,
        };
        let (whole, fraction, counted) = number(value, unit).ok()?;
        if counted != unit {
            return None;
        }
        total.add(whole, fraction, unit)?;
        rest = &after[1..];
    }
    Some(total)
}

/// `0001-02-03T04:05:06`: years, months and days, then hours, minutes and seconds.
fn without_designators(text: &str) -> Option<Total> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let mut total = Total::default();
    let parts: Vec<&str> = date.split('-').collect();
    if parts.len() > 3 || (parts.len() < 2 && time.is_empty()) {
        return None;
    }
    for (part, unit) in parts.iter().zip([Unit::Years(1), Unit::Month, Unit::Day]) {
        if !date.is_empty() {
            total.add(part.parse::<u32>().ok()?.into(), 0.0, unit)?;
        }
    }
    if !time.is_empty() {
        total.micros = clock(time).ok()?;
    }
    Some(total)
}
