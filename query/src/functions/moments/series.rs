//! Moments an interval apart, for generate_series, and what lies between two intervals, for percentile_cont.

use super::calendar::{is_finite, shifted, shifted_in_zone};
use super::columns::{arrow_interval, span_of};
use super::span::Span;
use super::zones::ZoneClock;
use crate::error::QueryError;
use crate::types::Zone;
use arrow::datatypes::IntervalMonthDayNano;

/// Microseconds from a start to a stop, both included. With a zone they are UTC, and days and months pass on its clocks.
pub(in crate::functions) struct MomentSeries {
    next: Option<i64>,
    stop: i64,
    step: Span,
    rises: bool,
    clock: Option<ZoneClock>,
}

impl MomentSeries {
    /// `None` for a step without length.
    pub(in crate::functions) fn new(
        start: i64,
        stop: i64,
        step: IntervalMonthDayNano,
        zone: Option<Zone>,
    ) -> Option<Self> {
        let step = span_of(step);
        let length = step.normalised_micros();
        let clock = zone.map(ZoneClock::new);
        (length != 0).then_some(Self { next: Some(start), stop, step, rises: length > 0, clock })
    }

    fn after(&mut self, moment: i64) -> Result<Option<i64>, QueryError> {
        if !is_finite(moment) {
            return Ok(None);
        }
        let shifted = match &mut self.clock {
            Some(clock) => shifted_in_zone(moment, self.step, clock),
            None => shifted(moment, self.step),
        };
        Ok(shifted.map(Some)?)
    }
}

impl Iterator for MomentSeries {
    type Item = Result<i64, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let moment = self.next.take()?;
        if if self.rises { moment > self.stop } else { moment < self.stop } {
            return None;
        }
        match self.after(moment) {
            Ok(next) => {
                self.next = next;
                Some(Ok(moment))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// The interval at a fraction of the way from one to another.
pub(in crate::functions) fn interpolated(
    low: IntervalMonthDayNano,
    high: IntervalMonthDayNano,
    fraction: f64,
) -> Result<IntervalMonthDayNano, QueryError> {
    let low = span_of(low);
    let part = span_of(high).minus(low).and_then(|way| way.multiplied(fraction));
    Ok(arrow_interval(part.and_then(|part| low.plus(part))?)?)
}

/// The length of an interval in microseconds, with months of 30 days and days of 24 hours.
pub(in crate::functions) fn span_micros(value: IntervalMonthDayNano) -> i64 {
    let micros = span_of(value).normalised_micros();
    micros.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
