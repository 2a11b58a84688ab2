//! Intervals: months, days and a time, each with its own sign, as PostgreSQL's `postgres` interval style prints them.

use super::datetime::{DAY_MICROS, SECOND_MICROS, push_fraction};
use super::datetime_words::fraction_micros;
use crate::error::{ErrorKind, QueryError};
use arrow::datatypes::IntervalMonthDayNano;

const HOUR_MICROS: i64 = 3600 * SECOND_MICROS;

/// `1 year 2 mons -3 days +04:05:06.789`.
pub(crate) fn push_interval(out: &mut Vec<u8>, months: i32, days: i32, micros: i64) {
    let mut printer = Printer { out, empty: true, negative: false };
    printer.part(i64::from(months / 12), "year");
    printer.part(i64::from(months % 12), "mon");
    printer.part(i64::from(days), "day");
    let Printer { out, empty, negative } = printer;
    if !empty && micros == 0 {
        return;
    }
    if !empty {
        out.push(b' ');
    }
    if micros < 0 {
        out.push(b'-');
    } else if negative {
        out.push(b'+');
    }
    let total = micros.unsigned_abs();
    let seconds = total / SECOND_MICROS as u64;
    push_padded(out, seconds / 3600);
    out.push(b':');
    push_padded(out, seconds / 60 % 60);
    out.push(b':');
    push_padded(out, seconds % 60);
    push_fraction(out, (total % SECOND_MICROS as u64) as u32);
}

struct Printer<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
    negative: bool,
}

impl Printer<'_> {
    fn part(&mut self, value: i64, unit: &str) {
        if value == 0 {
            return;
        }
        if !self.empty {
            self.out.push(b' ');
        }
        if self.negative && value > 0 {
            self.out.push(b'+');
        }
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.push(b' ');
        self.out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            self.out.push(b's');
        }
        self.negative = value < 0;
        self.empty = false;
    }
}

fn push_padded(out: &mut Vec<u8>, value: u64) {
    if value < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Reads `1 year 2 mons 3 days 04:05:06`, `1-2`, `3 4:05:06`, `P1Y2M3DT4H5M6S`, `1 day ago`.
pub(super) fn parse_interval(text: &str) -> Result<IntervalMonthDayNano, QueryError> {
    let total = match text.trim().strip_prefix(['P', 'p']) {
        Some(rest) => iso_8601(rest).or_else(|| iso_alternative(rest)),
        None => words(text),
    };
    let Some(total) = total else {
        if has_impossible_month(text) {
            let message = format!("interval field value out of range: \"{text}\"");
            return Err(QueryError::new(ErrorKind::IntervalOutOfRange, message));
        }
        return Err(QueryError::new(
            ErrorKind::InvalidDatetimeFormat,
            format!("invalid input syntax for type interval: \"{text}\""),
        ));
    };
    total.finish().ok_or_else(|| {
        let message = format!("interval field value out of range: \"{text}\"");
        let is_number_too_large = numbers(text).any(|number| number.parse::<i32>().is_err());
        let kind = if is_number_too_large { ErrorKind::IntervalOutOfRange } else { ErrorKind::DatetimeOutOfRange };
        QueryError::new(kind, message)
    })
}

/// The whole numbers in a text.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty())
}

/// Whether a text begins as years and months do, as in `2023-12-31`, with more months than a year has.
fn has_impossible_month(text: &str) -> bool {
    let Some((_, rest)) = text.trim().trim_start_matches(['-', '+']).split_once('-') else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse::<u32>().is_ok_and(|months| months > 11)
}

#[derive(Default)]
struct Total {
    months: i128,
    days: i128,
    micros: i128,
}

impl Total {
    /// Adds `value` units. A fraction of a unit goes to the next smaller one: months have 30 days, days 24 hours.
    fn add(&mut self, whole: i128, fraction: f64, unit: Unit) {
        match unit {
            Unit::Months(count) => {
                self.months += whole * i128::from(count);
                let months = fraction * f64::from(count);
                if count > 1 {
                    self.months += months.round_ties_even() as i128;
                } else {
                    self.add_days(months * 30.0);
                }
            }
            Unit::Days(count) => {
                self.days += whole * i128::from(count);
                self.add_days(fraction * f64::from(count));
            }
            Unit::Micros(count) => {
                self.micros += whole * i128::from(count) + (fraction * count as f64).round_ties_even() as i128;
            }
        }
    }

    fn add_days(&mut self, days: f64) {
        self.days += days.trunc() as i128;
        self.micros += (days.fract() * DAY_MICROS as f64).round_ties_even() as i128;
    }

    fn finish(&self) -> Option<IntervalMonthDayNano> {
        let nanos = i64::try_from(self.micros.checked_mul(1000)?).ok()?;
        Some(IntervalMonthDayNano::new(i32::try_from(self.months).ok()?, i32::try_from(self.days).ok()?, nanos))
    }

    fn negate(&mut self) {
        (self.months, self.days, self.micros) = (-self.months, -self.days, -self.micros);
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Months(i32),
    Days(i32),
    Micros(i64),
}

fn unit_of(word: &str) -> Option<Unit> {
    let lower = word.to_ascii_lowercase();
    Some(match lower.as_str() {
        "millennium" | "millennia" | "mil" | "mils" => Unit::Months(12_000),
        "century" | "centuries" | "cent" | "c" => Unit::Months(1200),
        "decade" | "decades" | "dec" | "decs" => Unit::Months(120),
        "year" | "years" | "yr" | "yrs" | "y" => Unit::Months(12),
        "month" | "months" | "mon" | "mons" => Unit::Months(1),
        "week" | "weeks" | "w" => Unit::Days(7),
        "day" | "days" | "d" => Unit::Days(1),
        "hour" | "hours" | "hr" | "hrs" | "h" => Unit::Micros(HOUR_MICROS),
        "minute" | "minutes" | "min" | "mins" | "m" => Unit::Micros(60 * SECOND_MICROS),
        "second" | "seconds" | "sec" | "secs" | "s" => Unit::Micros(SECOND_MICROS),
        "millisecond" | "milliseconds" | "msec" | "msecs" | "ms" => Unit::Micros(1000),
        "microsecond" | "microseconds" | "usec" | "usecs" | "us" => Unit::Micros(1),
        _ => return None,
    })
}

/// A number with an optional sign and fraction at the start of a text, and what follows it.
fn leading_number(text: &str) -> Option<(bool, i128, f64, &str)> {
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, mut rest) = body.split_at(digits);
    let mut fraction = 0.0;
    if let Some(after) = rest.strip_prefix('.') {
        let length = after.bytes().take_while(u8::is_ascii_digit).count();
        if digits + length == 0 {
            return None;
        }
        fraction = format!("0.{}", &after[..length]).parse().unwrap_or(0.0);
        rest = &after[length..];
    } else if digits == 0 {
        return None;
    }
    if digits > 18 {
        return None;
    }
    let whole = whole.parse().unwrap_or(0i128);
    Some(if negative { (true, -whole, -fraction, rest) } else { (false, whole, fraction, rest) })
}

fn words(text: &str) -> Option<Total> {
    let mut total = Total::default();
    let mut rest = text.trim().strip_prefix('@').unwrap_or(text.trim()).trim_start();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        if rest.eq_ignore_ascii_case("ago") {
            total.negate();
            break;
        }
        let (negative, whole, fraction, after) = leading_number(rest)?;
        if let Some(clock) = after.strip_prefix(':') {
            let (micros, after) = clock_time(whole.abs(), clock)?;
            total.micros += if negative { -micros } else { micros };
            rest = after.trim_start();
        } else if after.starts_with('-') && after[1..].starts_with(|digit: char| digit.is_ascii_digit()) {
            let (_, months, _, after) = leading_number(&after[1..])?;
            // A date is no interval.
            if after.starts_with('-') {
                return None;
            }
            total.months += whole * 12 + if negative { -months } else { months };
            rest = after.trim_start();
        } else {
            let after = after.trim_start();
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit = match (letters, after) {
                (0, "") => Unit::Micros(SECOND_MICROS),
                // `3 4:05:06`: a number before a time counts days.
                (0, _) => Unit::Days(1),
                _ => unit_of(&after[..letters])?,
            };
            total.add(whole, fraction, unit);
            rest = after[letters..].trim_start();
        }
    }
    Some(total)
}

/// What follows the hours' colon: minutes, and seconds with a fraction.
fn clock_time(hours: i128, text: &str) -> Option<(i128, &str)> {
    let end = text.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.')).count();
    let (body, rest) = text.split_at(end);
    let (minutes, seconds) = body.split_once(':').unwrap_or((body, "0"));
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let (minutes, seconds): (u32, u32) = (minutes.parse().ok()?, seconds.parse().ok()?);
    if minutes > 59 || seconds > 60 {
        return None;
    }
    let micros = hours * i128::from(HOUR_MICROS) + i128::from(minutes * 60 + seconds) * i128::from(SECOND_MICROS);
    Some((micros + i128::from(fraction_micros(fraction).ok()?), rest))
}

/// `0001-02-03T04:05:06`: years, months and days, then hours, minutes and seconds.
fn iso_alternative(text: &str) -> Option<Total> {
    let (date, time) = text.split_once(['T', 't']).unwrap_or((text, ""));
    let mut total = Total::default();
    let parts: Vec<&str> = date.split('-').collect();
    if parts.len() > 3 || (parts.len() < 2 && time.is_empty()) {
        return None;
    }
    for (part, unit) in parts.iter().zip([Unit::Months(12), Unit::Months(1), Unit::Days(1)]) {
        if !date.is_empty() {
            total.add(part.parse::<u32>().ok()?.into(), 0.0, unit);
        }
    }
    if !time.is_empty() {
        let (hours, rest) = time.split_once(':')?;
        let (micros, rest) = clock_time(hours.parse::<u32>().ok()?.into(), rest)?;
        if !rest.is_empty() {
            return None;
        }
        total.micros += micros;
    }
    Some(total)
}

fn iso_8601(text: &str) -> Option<Total> {
    let mut total = Total::default();
    let mut in_time = false;
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(['T', 't']) {
            in_time = true;
            rest = after;
            continue;
        }
        let (_, whole, fraction, after) = leading_number(rest)?;
        let unit = match (after.bytes().next()?.to_ascii_uppercase(), in_time) {
            (b'Y', false) => Unit::Months(12),
            (b'M', false) => Unit::Months(1),
            (b'W', false) => Unit::Days(7),
            (b'D', false) => Unit::Days(1),
            (b'H', true) => Unit::Micros(HOUR_MICROS),
            (b'M', true) => Unit::Micros(60 * SECOND_MICROS),
            (b'S', true) => Unit::Micros(SECOND_MICROS),
            _ => return None,
        };
        total.add(whole, fraction, unit);
        rest = &after[1..];
    }
    (!text.is_empty()).then_some(total)
}
