//! date_trunc and date_bin: the beginning of the hour, week or bin that a moment is in.

use super::calendar::{Clock, in_range, is_finite, weekday};
use super::failure::{Failure, INTERVAL_RANGE, TIMESTAMP_RANGE};
use super::span::{HOUR_MICROS, MINUTE_MICROS, Span, YEAR_MONTHS};
use super::units::Unit;
use crate::types::{DAY_MICROS, SECOND_MICROS, civil_from_days, days_from_civil};

/// Days of which the first moment of the unit around them is remembered.
const DAYS_KNOWN: usize = 1024;
/// A multiplier whose products spread over all bits (Knuth's multiplicative hashing, 2^64 over the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The beginnings of units of days and more, by the day: rows are mostly of few days.
pub(super) struct Beginnings {
    unit: Unit,
    /// Days and what begins there, each at the place that its number says; empty before the first question.
    known: Vec<Option<(i64, i64)>>,
}

impl Beginnings {
    pub(super) fn new() -> Self {
        Self { unit: Unit::Day, known: Vec::new() }
    }

    /// Where the unit around a day begins; `compute` says it of a day that is not known.
    fn of(&mut self, unit: Unit, day: i64, compute: impl FnOnce() -> Result<i64, Failure>) -> Result<i64, Failure> {
        if unit != self.unit || self.known.is_empty() {
            self.known.clear();
            self.known.resize(DAYS_KNOWN, None);
            self.unit = unit;
        }
        let place = (day as u64).wrapping_mul(SPREAD) >> (u64::BITS - DAYS_KNOWN.ilog2());
        let known = &mut self.known[place as usize];
        match known {
            Some((known_day, beginning)) if *known_day == day => Ok(*beginning),
            _ => Ok(known.insert((day, compute()?)).1),
        }
    }
}

/// The local moment at which the unit around a local moment began.
pub(super) fn of_timestamp(unit: Unit, micros: i64, known: &mut Beginnings) -> Result<i64, Failure> {
    if let Some(step) = clock_step(unit) {
        return in_range(micros.checked_sub(micros.rem_euclid(step)));
    }
    let day = micros.div_euclid(DAY_MICROS);
    known.of(unit, day, || in_range(first_day(unit, day)?.checked_mul(DAY_MICROS)))
}

/// The same on the clocks of a zone. Hours and less keep the offset of the moment, so that the two hours of the same name when
/// clocks go back stay two; days and more take the offset that their first moment has. `known` is of this clock.
pub(super) fn of_timestamptz(
    unit: Unit,
    micros: i64,
    clock: &mut impl Clock,
    known: &mut Beginnings,
) -> Result<i64, Failure> {
    let local = clock.local(micros);
    if let Some(step) = clock_step(unit) {
        return in_range(micros.checked_sub(local.rem_euclid(step)));
    }
    let day = local.div_euclid(DAY_MICROS);
    known.of(unit, day, || clock.utc(first_day(unit, day)?.checked_mul(DAY_MICROS).ok_or(TIMESTAMP_RANGE)?))
}

/// An interval without what is finer than a unit, each field towards zero.
pub(super) fn of_interval(unit: Unit, span: Span) -> Result<Span, Failure> {
    if unit == Unit::Day {
        return Ok(Span { micros: 0, ..span });
    }
    if let Some(step) = clock_step(unit) {
        return Ok(Span { micros: span.micros - span.micros % step, ..span });
    }
    let step = match unit {
        Unit::Month => 1,
        Unit::Quarter => 3,
        Unit::Year => YEAR_MONTHS,
        Unit::Decade => 10 * YEAR_MONTHS,
        Unit::Century => 100 * YEAR_MONTHS,
        Unit::Millennium => 1000 * YEAR_MONTHS,
        _ => return Err(Failure::UnsupportedUnit),
    };
    Ok(Span { months: span.months - span.months % step, days: 0, micros: 0 })
}

/// Microseconds of the units that divide a day.
fn clock_step(unit: Unit) -> Option<i64> {
    match unit {
        Unit::Microsecond => Some(1),
        Unit::Millisecond => Some(1000),
        Unit::Second => Some(SECOND_MICROS),
        Unit::Minute => Some(MINUTE_MICROS),
        Unit::Hour => Some(HOUR_MICROS),
        _ => None,
    }
}

/// The first day of the unit around a day. Decades begin with the year ten, centuries and millennia with the year one.
fn first_day(unit: Unit, days: i64) -> Result<i64, Failure> {
    if unit == Unit::Day {
        return Ok(days);
    }
    if unit == Unit::Week {
        return Ok(days - weekday(days));
    }
    let (year, month, _) = civil_from_days(days);
    Ok(match unit {
        Unit::Month => days_from_civil(year, month, 1),
        Unit::Quarter => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        Unit::Year => days_from_civil(year, 1, 1),
        Unit::Decade => days_from_civil(year - year.rem_euclid(10), 1, 1),
        Unit::Century => days_from_civil(year - (year - 1).rem_euclid(100), 1, 1),
        Unit::Millennium => days_from_civil(year - (year - 1).rem_euclid(1000), 1, 1),
        _ => return Err(Failure::UnsupportedUnit),
    })
}

/// The beginning of the bin that a moment is in, where bins are a stride long and one begins at the origin.
pub(super) fn bin(stride: Span, micros: i64, origin: i64) -> Result<i64, Failure> {
    if !is_finite(micros) {
        return Ok(micros);
    }
    if !is_finite(origin) {
        return Err(Failure::OutOfRange("origin out of range".into()));
    }
    if stride.months != 0 {
        return Err(Failure::Unsupported(
            "timestamps cannot be binned into intervals containing months or years".into(),
        ));
    }
    let day_micros = i64::from(stride.days).checked_mul(DAY_MICROS).ok_or(INTERVAL_RANGE)?;
    let stride_micros = day_micros.checked_add(stride.micros).ok_or(INTERVAL_RANGE)?;
    if stride_micros <= 0 {
        return Err(Failure::OutOfRange("stride must be greater than zero".into()));
    }
    let distance = micros.checked_sub(origin).ok_or(INTERVAL_RANGE)?;
    in_range(micros.checked_sub(distance.rem_euclid(stride_micros)))
}
