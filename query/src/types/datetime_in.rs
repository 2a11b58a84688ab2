//! Reading dates, times and timestamps.
//!
//! The plain ISO forms take a path of a few dozen instructions. Anything else goes through [`super::datetime_words`], which cuts
//! the text into fields the way PostgreSQL's `ParseDateTime` does.

use super::OutputStyle;
use super::datetime::{DAY_MICROS, SECOND_MICROS, days_in_month};
use super::datetime_words::{Failure, Moment, read_clock, read_fields, read_zoned_clock};
use super::zone::Zone;
use crate::error::{ErrorKind, QueryError};
use catalog::zoned_time::ZonedTime;

/// Julian day 0, where PostgreSQL's calendar begins, as days from 1970.
pub(crate) const DAY_MIN: i64 = -2_440_588;
/// The first day after PostgreSQL's last date, 5874897-12-31.
pub(crate) const DATE_END: i64 = 2_145_042_906;

pub(super) fn parse_date(text: &str, style: &OutputStyle) -> Result<i32, QueryError> {
    let bytes = text.as_bytes();
    if bytes.len() == 10
        && let Some(days) = plain_date(bytes)
    {
        return Ok(days);
    }
    slow_date(text, style).map_err(|failure| failed(failure, "date", "date", text))
}

pub(super) fn parse_timestamp(text: &str, style: &OutputStyle) -> Result<i64, QueryError> {
    if let Some((micros, rest)) = plain_timestamp(text.as_bytes())
        && rest.is_empty()
    {
        return Ok(micros);
    }
    let slow = || -> Result<i64, Failure> {
        let moment = read_fields(text, style)?;
        in_range(local_micros(&moment)?)
    };
    slow().map_err(|failure| failed(failure, "timestamp", "timestamp", text))
}

pub(super) fn parse_timestamptz(text: &str, style: &OutputStyle) -> Result<i64, QueryError> {
    if let Some((micros, rest)) = plain_timestamp(text.as_bytes()) {
        let offset = match rest {
            b"" => Some(style.time_zone.offset_of_local(micros.div_euclid(SECOND_MICROS))),
            _ => plain_offset(rest),
        };
        if let Some(offset) = offset {
            return Ok(micros - i64::from(offset) * SECOND_MICROS);
        }
    }
    let slow = || -> Result<i64, Failure> {
        let moment = read_fields(text, style)?;
        let local = local_micros(&moment)?;
        let seconds = i64::try_from(local.div_euclid(i128::from(SECOND_MICROS))).map_err(|_| Failure::TotalRange)?;
        let offset = moment.zone.unwrap_or(style.time_zone).offset_of_local(seconds);
        in_range(local - i128::from(offset) * i128::from(SECOND_MICROS))
    };
    slow().map_err(|failure| failed(failure, "timestamp with time zone", "timestamp", text))
}

pub(super) fn parse_time(text: &str, style: &OutputStyle) -> Result<i64, QueryError> {
    if let Some((micros, b"")) = plain_time(text.as_bytes()) {
        return Ok(micros);
    }
    let slow = || read_clock(text, style)?.ok_or(Failure::Syntax);
    slow().map_err(|failure| failed(failure, "time", "time", text))
}

/// A time of day in its zone, or in the session's as it is on the day that is told or today; as `catalog::zoned_time` packs it.
pub(super) fn parse_zoned_time(text: &str, style: &OutputStyle) -> Result<i64, QueryError> {
    let slow = || -> Result<i64, Failure> {
        let moment = read_zoned_clock(text, style)?;
        let micros = moment.time.ok_or(Failure::Syntax)?;
        let zone = moment.zone.unwrap_or(style.time_zone);
        let days = moment.days.unwrap_or_else(|| today(&style.time_zone));
        let east = zone.offset_of_local(days * DAY_MICROS / SECOND_MICROS + micros / SECOND_MICROS);
        Ok(ZonedTime { micros, east }.packed())
    };
    slow().map_err(|failure| failed(failure, "time with time zone", "time", text))
}

/// The day in a zone, counted from 1970.
fn today(zone: &Zone) -> i64 {
    let seconds = crate::engine::now_micros() / SECOND_MICROS;
    (seconds + i64::from(zone.offset_at(seconds))).div_euclid(DAY_MICROS / SECOND_MICROS)
}

/// `2024-01-31` and nothing else; `None` sends the text to the slow path, which also words the error.
#[inline]
fn plain_date(bytes: &[u8]) -> Option<i32> {
    let bytes: &[u8; 10] = bytes.try_into().ok()?;
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = u32::from(two_digits(bytes[0], bytes[1])?) * 100 + u32::from(two_digits(bytes[2], bytes[3])?);
    let month = u32::from(two_digits(bytes[5], bytes[6])?);
    let day = u32::from(two_digits(bytes[8], bytes[9])?);
    if year == 0 || month == 0 || month > 12 || day == 0 || (day > 28 && day > days_in_month(i64::from(year), month)) {
        return None;
    }
    Some(days_of_plain_date(year, month, day))
}

/// The same as [`super::datetime::days_from_civil`] for the years 1 to 9999, without a division of 64 bits.
#[inline]
fn days_of_plain_date(year: u32, month: u32, day: u32) -> i32 {
    const DAYS_BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    /// From 0001-01-01 to 1970-01-01.
    const EPOCH: i32 = 719_162;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let before = year - 1;
    let years = before * 365 + before / 4 - before / 100 + before / 400;
    let days = years + DAYS_BEFORE[month as usize - 1] + u32::from(is_leap && month > 2) + day - 1;
    days as i32 - EPOCH
}

/// A plain date, a space or `T`, a plain time; returns what follows.
#[inline]
fn plain_timestamp(bytes: &[u8]) -> Option<(i64, &[u8])> {
    if bytes.len() < 16 || !matches!(bytes[10], b' ' | b'T') {
        return None;
    }
    let days = plain_date(&bytes[..10])?;
    let (time, rest) = plain_time(&bytes[11..])?;
    Some((i64::from(days) * DAY_MICROS + time, rest))
}

/// `10:11`, `10:11:12` or `10:11:12.123456` in the ranges of a clock; returns what follows.
#[inline]
fn plain_time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (head, mut rest) = bytes.split_at_checked(5)?;
    let hour = two_digits(head[0], head[1])?;
    let minute = two_digits(head[3], head[4])?;
    if head[2] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let mut micros = (i64::from(hour) * 60 + i64::from(minute)) * 60 * SECOND_MICROS;
    if let [b':', tens, ones, after @ ..] = rest {
        let second = two_digits(*tens, *ones)?;
        if second > 59 {
            return None;
        }
        micros += i64::from(second) * SECOND_MICROS;
        rest = after;
        if let [b'.', digits @ ..] = rest {
            let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 || length > 6 {
                return None;
            }
            let fraction = digits[..length].iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
            micros += fraction * 10i64.pow(6 - length as u32);
            rest = &digits[length..];
        }
    }
    Some((micros, rest))
}

/// `Z`, `+05` or `-03:30`, in seconds.
fn plain_offset(bytes: &[u8]) -> Option<i32> {
    let (sign, hours, minutes) = match bytes {
        [b'Z'] => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2] => (*sign, two_digits(*h1, *h2)?, 0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => (*sign, two_digits(*h1, *h2)?, two_digits(*m1, *m2)?),
        _ => return None,
    };
    if hours > 15 || minutes > 59 {
        return None;
    }
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    Some(if sign == b'-' { -seconds } else { seconds })
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<u8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| tens * 10 + ones)
}

fn slow_date(text: &str, style: &OutputStyle) -> Result<i32, Failure> {
    let days = read_fields(text, style)?.days.ok_or(Failure::Syntax)?;
    if (DAY_MIN..DATE_END).contains(&days) { Ok(days as i32) } else { Err(Failure::TotalRange) }
}

fn local_micros(moment: &Moment) -> Result<i128, Failure> {
    let days = moment.days.ok_or(Failure::Syntax)?;
    Ok(i128::from(days) * i128::from(DAY_MICROS) + i128::from(moment.time.unwrap_or(0)))
}

fn in_range(micros: i128) -> Result<i64, Failure> {
    if micros < i128::from(DAY_MIN) * i128::from(DAY_MICROS) {
        return Err(Failure::TotalRange);
    }
    // The last value means infinity.
    i64::try_from(micros).ok().filter(|micros| *micros < i64::MAX).ok_or(Failure::TotalRange)
}

/// Words a failure as PostgreSQL does; `range_name` is what it calls the type where the whole value is out of range.
#[cold]
fn failed(failure: Failure, type_name: &str, range_name: &str, text: &str) -> QueryError {
    match failure {
        Failure::Syntax => QueryError::new(
            ErrorKind::InvalidDatetimeFormat,
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        ),
        Failure::FieldRange => {
            QueryError::new(ErrorKind::DatetimeOutOfRange, format!("date/time field value out of range: \"{text}\""))
        }
        Failure::MonthOrDayRange => {
            QueryError::new(ErrorKind::DatetimeOutOfRange, format!("date/time field value out of range: \"{text}\""))
                .hint("Perhaps you need a different \"datestyle\" setting.")
        }
        Failure::TotalRange => {
            QueryError::new(ErrorKind::DatetimeOutOfRange, format!("{range_name} out of range: \"{text}\""))
        }
        Failure::Displacement => QueryError::new(
            ErrorKind::DisplacementOutOfRange,
            format!("time zone displacement out of range: \"{text}\""),
        ),
        Failure::Zone(name) => {
            QueryError::new(ErrorKind::InvalidParameterValue, format!("time zone \"{name}\" not recognized"))
        }
        Failure::Infinity => QueryError::new(
            ErrorKind::FeatureNotSupported,
            format!("infinite values of type {type_name} are not supported: \"{text}\""),
        )
        .hint("Use NULL, or a date far away such as 9999-12-31."),
        Failure::Relative(word) => QueryError::new(
            ErrorKind::FeatureNotSupported,
            format!("\"{word}\" is not supported as input of type {type_name}"),
        )
        .hint("Use CURRENT_DATE or now() in an expression."),
    }
}
