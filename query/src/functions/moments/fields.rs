//! Fields of dates, times, timestamps and intervals: what EXTRACT and date_part give.
//!
//! There is no year zero: 1 BC is year -1, and centuries and millennia begin with their year 1. A [`Part`] keeps a field exact;
//! it becomes a numeric of some scale for EXTRACT, or a double for date_part, by the same steps as in PostgreSQL, so that the
//! last bit agrees.

use super::calendar::{Clock, clock_fields, is_finite, is_finite_date, iso_week, weekday};
use super::failure::Failure;
use super::span::{Span, YEAR_MONTHS};
use super::units::Unit;
use crate::types::{DAY_MICROS, SECOND_MICROS, civil_from_days, days_from_civil};
use catalog::zoned_time::ZonedTime;

/// The Julian day of 1970-01-01.
const EPOCH_JULIAN_DAY: i64 = 2_440_588;
const DAY_SECONDS: i64 = 86_400;
const QUARTER_MONTHS: i64 = 3;
/// A year has 365 1/4 days; fourfold it is whole.
const FOUR_YEAR_DAYS: i64 = 1_461;
const FOUR_MONTH_DAYS: i64 = 120;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    Whole(i64),
    /// Milliseconds of the minute, given in microseconds.
    Milliseconds(i64),
    /// Seconds of the minute, given in microseconds.
    Seconds(i64),
    /// Seconds altogether, given in microseconds.
    Epoch(i64),
    SpanEpoch(Span),
    /// A Julian day and the microseconds since its midnight.
    Julian {
        day: i64,
        time: i64,
    },
    /// A field that grows without end, of an infinite moment.
    Infinite {
        negative: bool,
    },
    /// A field that comes and goes, of an infinite moment: NULL.
    Unknown,
}

impl Part {
    /// The unscaled number at a scale of decimal digits, rounded half away from zero; `None` is NULL.
    pub(super) fn unscaled(self, scale: u32) -> Result<Option<i128>, Failure> {
        let (numerator, denominator) = match self {
            Self::Whole(value) => return Ok(Some(i128::from(value) * 10i128.pow(scale))),
            Self::Milliseconds(micros) => (i128::from(micros), 1_000),
            Self::Seconds(micros) | Self::Epoch(micros) => (i128::from(micros), i128::from(SECOND_MICROS)),
            Self::SpanEpoch(span) => (span_epoch_micros(span), i128::from(SECOND_MICROS)),
            Self::Julian { day, time } => {
                let micros = i128::from(day) * i128::from(DAY_MICROS) + i128::from(time);
                (micros, i128::from(DAY_MICROS))
            }
            Self::Infinite { .. } => {
                return Err(Failure::Unsupported("infinite values of type numeric are not supported".into()));
            }
            Self::Unknown => return Ok(None),
        };
        // Only the fraction is scaled before the division: a Julian day in microseconds and twenty decimals would not fit.
        let (whole, rest) = (numerator / denominator, numerator % denominator);
        let power = 10i128.pow(scale);
        let fraction = rest * power;
        let rounded = (fraction.abs() + denominator / 2) / denominator;
        Ok(Some(whole * power + if fraction < 0 { -rounded } else { rounded }))
    }

    /// The double; `None` is NULL.
    pub(super) fn float(self) -> Option<f64> {
        Some(match self {
            Self::Whole(value) => value as f64,
            Self::Milliseconds(micros) => {
                (micros / SECOND_MICROS) as f64 * 1000.0 + (micros % SECOND_MICROS) as f64 / 1000.0
            }
            Self::Seconds(micros) => (micros / SECOND_MICROS) as f64 + (micros % SECOND_MICROS) as f64 / 1e6,
            Self::Epoch(micros) => micros as f64 / 1e6,
            Self::SpanEpoch(span) => span_epoch_float(span),
            Self::Julian { day, time } => {
                let seconds = (time / SECOND_MICROS) as f64 + (time % SECOND_MICROS) as f64 / 1e6;
                day as f64 + seconds / DAY_SECONDS as f64
            }
            Self::Infinite { negative } => {
                if negative {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                }
            }
            Self::Unknown => return None,
        })
    }
}

/// Seconds of an interval, with years of 365 1/4 days and months of 30.
fn span_epoch_micros(span: Span) -> i128 {
    let years = i64::from(span.months / YEAR_MONTHS);
    let months = i64::from(span.months % YEAR_MONTHS);
    let fourfold_days = years * FOUR_YEAR_DAYS + months * FOUR_MONTH_DAYS + i64::from(span.days) * 4;
    i128::from(fourfold_days) * i128::from(DAY_MICROS / 4) + i128::from(span.micros)
}

fn span_epoch_float(span: Span) -> f64 {
    let mut seconds = span.micros as f64 / 1e6;
    seconds += 365.25 * DAY_SECONDS as f64 * f64::from(span.months / YEAR_MONTHS);
    seconds += 30.0 * DAY_SECONDS as f64 * f64::from(span.months % YEAR_MONTHS);
    seconds + DAY_SECONDS as f64 * f64::from(span.days)
}

/// A field of a date. Fields of a time of day it has none, not even as zero.
pub(super) fn of_date(unit: Unit, days: i32) -> Result<Part, Failure> {
    let part = match unit {
        Unit::Epoch => Some(Part::Whole(i64::from(days) * DAY_SECONDS)),
        Unit::Julian => Some(Part::Whole(i64::from(days) + EPOCH_JULIAN_DAY)),
        _ => of_day(unit, i64::from(days)),
    };
    let part = part.ok_or(Failure::UnsupportedUnit)?;
    Ok(if is_finite_date(days) { part } else { of_infinity(unit, days < 0) })
}

/// A field of a timestamp without time zone.
pub(super) fn of_timestamp(unit: Unit, micros: i64) -> Result<Part, Failure> {
    let part = match unit {
        Unit::Epoch => Some(Part::Epoch(micros)),
        _ => of_local(unit, micros),
    };
    let part = part.ok_or(Failure::UnsupportedUnit)?;
    Ok(if is_finite(micros) { part } else { of_infinity(unit, micros < 0) })
}

/// A field of a timestamp with time zone, as the clocks of the zone show it.
pub(super) fn of_timestamptz(unit: Unit, micros: i64, clock: &mut impl Clock) -> Result<Part, Failure> {
    let offset = i64::from(clock.offset_at(micros.div_euclid(SECOND_MICROS)));
    let part = match unit {
        Unit::Epoch => Some(Part::Epoch(micros)),
        Unit::Timezone => Some(Part::Whole(offset)),
        Unit::TimezoneHour => Some(Part::Whole(offset / 3600)),
        Unit::TimezoneMinute => Some(Part::Whole(offset / 60 % 60)),
        _ => of_local(unit, micros.saturating_add(offset * SECOND_MICROS)),
    };
    let part = part.ok_or(Failure::UnsupportedUnit)?;
    Ok(if is_finite(micros) { part } else { of_infinity(unit, micros < 0) })
}

/// A field of a time of day.
pub(super) fn of_time(unit: Unit, micros: i64) -> Result<Part, Failure> {
    let part = if unit == Unit::Epoch { Some(Part::Epoch(micros)) } else { of_clock(unit, micros) };
    part.ok_or(Failure::UnsupportedUnit)
}

/// A field of a time with a zone. Its epoch is that of Greenwich.
pub(super) fn of_zoned_time(unit: Unit, time: ZonedTime) -> Result<Part, Failure> {
    let east = i64::from(time.east);
    match unit {
        Unit::Epoch => Ok(Part::Epoch(time.micros - east * SECOND_MICROS)),
        Unit::Timezone => Ok(Part::Whole(east)),
        Unit::TimezoneHour => Ok(Part::Whole(east / 3600)),
        Unit::TimezoneMinute => Ok(Part::Whole(east / 60 % 60)),
        _ => of_time(unit, time.micros),
    }
}

/// A field of an interval. Each comes from the months, the days or the time alone.
pub(super) fn of_interval(unit: Unit, span: Span) -> Result<Part, Failure> {
    let years = i64::from(span.months / YEAR_MONTHS);
    let months = i64::from(span.months % YEAR_MONTHS);
    Ok(Part::Whole(match unit {
        Unit::Epoch => return Ok(Part::SpanEpoch(span)),
        Unit::Day => i64::from(span.days),
        Unit::Month => months,
        Unit::Quarter => months / QUARTER_MONTHS + 1,
        Unit::Year => years,
        Unit::Decade => years / 10,
        Unit::Century => years / 100,
        Unit::Millennium => years / 1000,
        _ => return of_clock(unit, span.micros).ok_or(Failure::UnsupportedUnit),
    }))
}

fn of_local(unit: Unit, micros: i64) -> Option<Part> {
    let (days, time) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
    match unit {
        Unit::Julian => Some(Part::Julian { day: days + EPOCH_JULIAN_DAY, time }),
        _ => of_clock(unit, time).or_else(|| of_day(unit, days)),
    }
}

fn of_clock(unit: Unit, time: i64) -> Option<Part> {
    let (hours, minutes, micros) = clock_fields(time);
    Some(match unit {
        Unit::Microsecond => Part::Whole(micros),
        Unit::Millisecond => Part::Milliseconds(micros),
        Unit::Second => Part::Seconds(micros),
        Unit::Minute => Part::Whole(minutes),
        Unit::Hour => Part::Whole(hours),
        _ => return None,
    })
}

fn of_day(unit: Unit, days: i64) -> Option<Part> {
    let (year, month, day) = civil_from_days(days);
    Some(Part::Whole(match unit {
        Unit::Day => i64::from(day),
        Unit::Month => i64::from(month),
        Unit::Quarter => (i64::from(month) - 1) / QUARTER_MONTHS + 1,
        Unit::Week => iso_week(days).1,
        Unit::Year => without_zero(year),
        Unit::IsoYear => without_zero(iso_week(days).0),
        Unit::Decade => year.div_euclid(10),
        Unit::Century => counted_from_one(year, 100),
        Unit::Millennium => counted_from_one(year, 1000),
        Unit::DayOfWeek => (weekday(days) + 1) % 7,
        Unit::IsoDayOfWeek => weekday(days) + 1,
        Unit::DayOfYear => days - days_from_civil(year, 1, 1) + 1,
        _ => return None,
    }))
}

/// The year as it is called: 1 BC, which is 0 in arithmetic, is -1.
fn without_zero(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

/// The century or millennium of a year: the first begins with year 1, the one before it is -1.
fn counted_from_one(year: i64, years: i64) -> i64 {
    without_zero((year + years - 1).div_euclid(years))
}

fn of_infinity(unit: Unit, negative: bool) -> Part {
    match unit {
        Unit::Year | Unit::Decade | Unit::Century | Unit::Millennium | Unit::Julian | Unit::IsoYear | Unit::Epoch => {
            Part::Infinite { negative }
        }
        _ => Part::Unknown,
    }
}
