//! Intervals: months, days and microseconds, each with its own sign, and their arithmetic.
//!
//! A month counts as 30 days and a day as 24 hours where intervals are compared, justified, multiplied or divided; nowhere
//! else does one field flow into another. Fractions only ever go down: from months to days to time, as PostgreSQL has it.

use super::failure::{Failure, INTERVAL_RANGE};
use crate::types::{DAY_MICROS, SECOND_MICROS};

pub(super) const MONTH_DAYS: i32 = 30;
pub(super) const YEAR_MONTHS: i32 = 12;
pub(super) const MINUTE_MICROS: i64 = 60 * SECOND_MICROS;
pub(super) const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;
const DAY_SECONDS: f64 = 86_400.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) months: i32,
    pub(super) days: i32,
    pub(super) micros: i64,
}

impl Span {
    /// The length with months of 30 days and days of 24 hours: what comparisons go by.
    pub(super) fn normalised_micros(self) -> i128 {
        let days = i64::from(self.months) * i64::from(MONTH_DAYS) + i64::from(self.days);
        i128::from(days) * i128::from(DAY_MICROS) + i128::from(self.micros)
    }

    pub(super) fn plus(self, other: Self) -> Result<Self, Failure> {
        let sum = || {
            Some(Self {
                months: self.months.checked_add(other.months)?,
                days: self.days.checked_add(other.days)?,
                micros: self.micros.checked_add(other.micros)?,
            })
        };
        sum().ok_or(INTERVAL_RANGE)
    }

    pub(super) fn minus(self, other: Self) -> Result<Self, Failure> {
        let difference = || {
            Some(Self {
                months: self.months.checked_sub(other.months)?,
                days: self.days.checked_sub(other.days)?,
                micros: self.micros.checked_sub(other.micros)?,
            })
        };
        difference().ok_or(INTERVAL_RANGE)
    }

    pub(super) fn negated(self) -> Result<Self, Failure> {
        Self::default().minus(self)
    }

    /// The opposite for a subtraction from a moment. A field at its lower limit stays as it is; it takes any moment out
    /// of range in either direction.
    pub(super) fn opposite(self) -> Self {
        Self { months: self.months.wrapping_neg(), days: self.days.wrapping_neg(), micros: self.micros.wrapping_neg() }
    }

    pub(super) fn multiplied(self, factor: f64) -> Result<Self, Failure> {
        self.scaled(|part| part * factor)
    }

    pub(super) fn divided(self, divisor: f64) -> Result<Self, Failure> {
        if divisor == 0.0 {
            return Err(Failure::DivisionByZero);
        }
        self.scaled(|part| part / divisor)
    }

    /// Scales every field. What a month's fraction makes in days and a day's fraction in seconds is rounded to a millionth
    /// before it is carried, so that a third of a month is ten days and not a hair less.
    fn scaled(self, scale: impl Fn(f64) -> f64) -> Result<Self, Failure> {
        let exact_months = scale(f64::from(self.months));
        let exact_days = scale(f64::from(self.days));
        let months = whole_i32(exact_months)?;
        let days = whole_i32(exact_days)?;
        let month_days = to_millionths((exact_months - f64::from(months)) * f64::from(MONTH_DAYS));
        let day_fraction = exact_days - f64::from(days) + month_days - month_days.trunc();
        let mut seconds = to_millionths(day_fraction * DAY_SECONDS);
        let mut carried_days = 0.0;
        if seconds.abs() >= DAY_SECONDS {
            carried_days = (seconds / DAY_SECONDS).trunc();
            seconds -= carried_days * DAY_SECONDS;
        }
        let days = days.checked_add(carried_days as i32).and_then(|days| days.checked_add(month_days as i32));
        let micros = (scale(self.micros as f64) + seconds * SECOND_MICROS as f64).round_ties_even();
        Ok(Self { months, days: days.ok_or(INTERVAL_RANGE)?, micros: whole_i64(micros)? })
    }

    /// Whole days out of the time, both with one sign.
    pub(super) fn justified_hours(self) -> Result<Self, Failure> {
        let whole_days = (self.micros / DAY_MICROS) as i32;
        let days = self.days.checked_add(whole_days).ok_or(INTERVAL_RANGE)?;
        Ok(Self { days, micros: self.micros % DAY_MICROS, ..self }.with_time_signed_as_days())
    }

    /// Whole months out of the days, both with one sign.
    pub(super) fn justified_days(self) -> Result<Self, Failure> {
        let mut span = self.with_months_out_of_days()?;
        if span.months > 0 && span.days < 0 {
            span.days += MONTH_DAYS;
            span.months -= 1;
        } else if span.months < 0 && span.days > 0 {
            span.days -= MONTH_DAYS;
            span.months += 1;
        }
        Ok(span)
    }

    /// Both of the above, and one sign for all three fields.
    pub(super) fn justified(self) -> Result<Self, Failure> {
        let mut span = self;
        // With equal signs the days could overflow when the time's days join them; their months go first.
        if (span.days > 0 && span.micros > 0) || (span.days < 0 && span.micros < 0) {
            span = span.with_months_out_of_days()?;
        }
        span.days = span.days.checked_add((span.micros / DAY_MICROS) as i32).ok_or(INTERVAL_RANGE)?;
        span.micros %= DAY_MICROS;
        span = span.with_months_out_of_days()?;
        if span.months > 0 && (span.days < 0 || (span.days == 0 && span.micros < 0)) {
            span.days += MONTH_DAYS;
            span.months -= 1;
        } else if span.months < 0 && (span.days > 0 || (span.days == 0 && span.micros > 0)) {
            span.days -= MONTH_DAYS;
            span.months += 1;
        }
        Ok(span.with_time_signed_as_days())
    }

    fn with_months_out_of_days(self) -> Result<Self, Failure> {
        let months = self.months.checked_add(self.days / MONTH_DAYS).ok_or(INTERVAL_RANGE)?;
        Ok(Self { months, days: self.days % MONTH_DAYS, ..self })
    }

    /// For a time of less than a day.
    fn with_time_signed_as_days(mut self) -> Self {
        if self.days > 0 && self.micros < 0 {
            self.micros += DAY_MICROS;
            self.days -= 1;
        } else if self.days < 0 && self.micros > 0 {
            self.micros -= DAY_MICROS;
            self.days += 1;
        }
        self
    }
}

fn to_millionths(value: f64) -> f64 {
    (value * 1e6).round_ties_even() / 1e6
}

/// Rounds towards zero; NaN is out of range like any value that does not fit.
fn whole_i32(value: f64) -> Result<i32, Failure> {
    // What is cut off may lie beyond.
    let fits = (f64::from(i32::MIN)..-f64::from(i32::MIN)).contains(&value);
    if fits { Ok(value as i32) } else { Err(INTERVAL_RANGE) }
}

pub(super) fn whole_i64(value: f64) -> Result<i64, Failure> {
    // 2^63 is the first value above; its negative is the lowest value itself.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    if fits { Ok(value as i64) } else { Err(INTERVAL_RANGE) }
}
