//! Kernels of EXTRACT, date_part, date_trunc and date_bin.
//!
//! The unit is a column like any other argument, though nearly always of one value; its name is read when it changes. EXTRACT
//! is planned as a function for each scale that its result may have, since a numeric column has one.

use super::calendar::{Clock, is_finite, midnight};
use super::columns::{
    Column, common_nulls, dates, fill, fill_or_null, intervals, moments, spans, texts, times, timestamps, timestamptzs,
};
use super::failure::Failure;
use super::fields::{self, Part};
use super::truncation::{self, Beginnings};
use super::units::{Unit, folded};
use super::zones::{NamedClocks, ZoneClock};
use crate::error::{ErrorKind, QueryError};
use crate::functions::overload::Call;
use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringViewArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, TimestampMicrosecondType};
use catalog::zoned_time::ZonedTime;
use std::sync::Arc;

const NUMERIC_PRECISION: u8 = 38;
/// Days between the first and the last date of a batch up to which each day's part is computed once.
const DAYS_NEAR: i64 = 8192;

/// What a field is taken from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Date,
    /// date_part sees a date as its midnight, which has an hour of zero.
    Midnight,
    Timestamp,
    TimestampTz,
    Time,
    TimeTz,
    Interval,
}

impl Source {
    fn type_name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Midnight | Self::Timestamp => "timestamp without time zone",
            Self::TimestampTz => "timestamp with time zone",
            Self::Time => "time without time zone",
            Self::TimeTz => "time with time zone",
            Self::Interval => "interval",
        }
    }

    /// The unit of a name. A few words are units to dates and timestamps only, which then do not have them.
    fn extracted(self, name: &str) -> Option<Unit> {
        let has_words = !matches!(self, Self::Time | Self::TimeTz | Self::Interval);
        Unit::of_extraction(name).filter(|unit| *unit != Unit::Reserved || has_words)
    }
}

/// Units by the names of a column.
struct Units<'a> {
    names: &'a StringViewArray,
    source: Source,
    /// For date_trunc, which knows fewer names.
    is_truncation: bool,
    /// The unit of the last row, with the view of its name.
    last: Option<(u128, Unit)>,
}

impl<'a> Units<'a> {
    fn extracted(column: &'a ArrayRef, source: Source) -> Self {
        Self { names: texts(column), source, is_truncation: false, last: None }
    }

    fn truncated(column: &'a ArrayRef, source: Source) -> Self {
        Self { names: texts(column), source, is_truncation: true, last: None }
    }

    fn at(&mut self, row: usize) -> Result<Unit, QueryError> {
        // The same view is the same text; that two views of one text may differ costs a look-up.
        let view = self.names.views()[row];
        if let Some((last, unit)) = self.last
            && last == view
        {
            return Ok(unit);
        }
        let key = folded(self.names.value(row));
        let unit = if self.is_truncation { Unit::of_truncation(&key) } else { self.source.extracted(&key) };
        let unit = unit.ok_or_else(|| self.not_recognized(&key))?;
        self.last = Some((view, unit));
        Ok(unit)
    }

    #[cold]
    fn not_recognized(&self, name: &str) -> QueryError {
        let type_name = self.source.type_name();
        QueryError::new(
            ErrorKind::InvalidParameterValue,
            format!("unit \"{name}\" not recognized for type {type_name}"),
        )
    }

    /// Gives a failure that is about the unit its words.
    #[cold]
    fn worded(&self, failure: Failure, unit: Unit, row: usize) -> QueryError {
        if failure != Failure::UnsupportedUnit {
            return failure.into();
        }
        let (name, type_name) = (folded(self.names.value(row)), self.source.type_name());
        let error = QueryError::new(
            ErrorKind::FeatureNotSupported,
            format!("unit \"{name}\" not supported for type {type_name}"),
        );
        match (self.source, unit) {
            (Source::Interval, Unit::Week) if self.is_truncation => {
                error.detail("Months usually have fractional weeks.")
            }
            _ => error,
        }
    }
}

/// EXTRACT as a numeric of a scale.
pub(super) fn numeric_part<const SCALE: u8>(arguments: &[ArrayRef], call: &Call, source: Source) -> Column {
    let column = part::<Decimal128Type>(arguments, call, source, |part| part.unscaled(u32::from(SCALE)))?;
    let column = column.with_precision_and_scale(NUMERIC_PRECISION, SCALE as i8);
    Ok(Arc::new(column.map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))?))
}

/// EXTRACT of a field without fractions as an integer.
pub(super) fn integer_part<R: ArrowPrimitiveType>(arguments: &[ArrayRef], call: &Call, source: Source) -> Column
where
    R::Native: TryFrom<i128>,
{
    let integer =
        |whole: i128| R::Native::try_from(whole).map_err(|_| Failure::IntegerRange(integer_name(&R::DATA_TYPE)));
    Ok(Arc::new(part::<R>(arguments, call, source, |part| part.unscaled(0)?.map(integer).transpose())?))
}

fn integer_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        _ => "bigint",
    }
}

/// date_part.
pub(super) fn float_part(arguments: &[ArrayRef], call: &Call, source: Source) -> Column {
    Ok(Arc::new(part::<Float64Type>(arguments, call, source, |part| Ok(part.float()))?))
}

fn part<R: ArrowPrimitiveType>(
    arguments: &[ArrayRef],
    call: &Call,
    source: Source,
    convert: impl Fn(Part) -> Result<Option<R::Native>, Failure>,
) -> Result<PrimitiveArray<R>, QueryError> {
    let column = &arguments[1];
    let mut units = Units::extracted(&arguments[0], source);
    let mut clock = ZoneClock::new(call.zone);
    let mut each = |take: &mut dyn FnMut(Unit, usize) -> Result<Part, Failure>| {
        fill_or_null::<R>(call.rows, arguments, |row| {
            let unit = units.at(row)?;
            take(unit, row).and_then(&convert).map_err(|failure| units.worded(failure, unit, row))
        })
    };
    match source {
        Source::Date => {
            let days = dates(column);
            if let Some(column) = parts_by_day(call.rows, arguments, days, source, &convert)? {
                return Ok(column);
            }
            each(&mut |unit, row| fields::of_date(unit, days[row]))
        }
        Source::Midnight => {
            let days = dates(column);
            each(&mut |unit, row| fields::of_timestamp(unit, midnight(days[row])?))
        }
        Source::Timestamp => {
            let micros = moments(column);
            each(&mut |unit, row| fields::of_timestamp(unit, micros[row]))
        }
        Source::TimestampTz => {
            let micros = moments(column);
            each(&mut |unit, row| fields::of_timestamptz(unit, micros[row], &mut clock))
        }
        Source::Time => {
            let micros = times(column);
            each(&mut |unit, row| fields::of_time(unit, micros[row]))
        }
        Source::TimeTz => {
            let packed = moments(column);
            each(&mut |unit, row| fields::of_zoned_time(unit, ZonedTime::unpacked(packed[row])))
        }
        Source::Interval => {
            let values = spans(column);
            each(&mut |unit, row| fields::of_interval(unit, values.at(row)))
        }
    }
}

/// Parts of dates that lie near each other: each day's is computed once. `None` where the unit changes from row to row, days are far
/// apart, or a part is NULL.
fn parts_by_day<R: ArrowPrimitiveType>(
    rows: usize,
    arguments: &[ArrayRef],
    days: &[i32],
    source: Source,
    convert: &impl Fn(Part) -> Result<Option<R::Native>, Failure>,
) -> Result<Option<PrimitiveArray<R>>, QueryError> {
    let mut units = Units::extracted(&arguments[0], source);
    let views = units.names.views();
    let (Some(first), Some(least), Some(most)) = (views.first(), days.iter().min(), days.iter().max()) else {
        return Ok(None);
    };
    let nulls = common_nulls(arguments);
    let is_near = i64::from(*most) - i64::from(*least) < DAYS_NEAR;
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    if !is_near || is_null(0) || views.iter().any(|view| view != first) {
        return Ok(None);
    }
    let unit = units.at(0)?;
    let mut known: Vec<Option<R::Native>> = vec![None; (most - least) as usize + 1];
    let mut values = Vec::with_capacity(rows);
    for (row, day) in days.iter().enumerate() {
        let known = &mut known[(day - least) as usize];
        if known.is_none() && !is_null(row) {
            let part = fields::of_date(unit, *day).and_then(convert);
            *known = part.map_err(|failure| units.worded(failure, unit, row))?;
            if known.is_none() {
                return Ok(None);
            }
        }
        values.push(known.unwrap_or_default());
    }
    Ok(Some(PrimitiveArray::new(values.into(), nulls)))
}

/// `date_trunc(text, timestamp)`.
pub(super) fn truncate_timestamps(arguments: &[ArrayRef], call: &Call) -> Column {
    let (mut units, micros) = (Units::truncated(&arguments[0], Source::Timestamp), moments(&arguments[1]));
    let mut known = Beginnings::new();
    timestamps(fill(call.rows, arguments, |row| {
        if !is_finite(micros[row]) {
            return Ok(micros[row]);
        }
        let unit = units.at(row)?;
        truncation::of_timestamp(unit, micros[row], &mut known).map_err(|failure| units.worded(failure, unit, row))
    }))
}

/// `date_trunc(text, timestamp with time zone)`, in the session's zone.
pub(super) fn truncate_timestamptzs(arguments: &[ArrayRef], call: &Call) -> Column {
    let (mut units, micros) = (Units::truncated(&arguments[0], Source::TimestampTz), moments(&arguments[1]));
    let (mut clock, mut known) = (ZoneClock::new(call.zone), Beginnings::new());
    timestamptzs(fill(call.rows, arguments, |row| truncated(&mut units, row, micros[row], &mut clock, &mut known)))
}

/// `date_trunc(text, timestamp with time zone, text)`, in the zone that the last argument names.
pub(super) fn truncate_timestamptzs_in_zone(arguments: &[ArrayRef], call: &Call) -> Column {
    let (mut units, micros) = (Units::truncated(&arguments[0], Source::TimestampTz), moments(&arguments[1]));
    let (mut clocks, mut known, mut last) = (NamedClocks::new(&arguments[2]), Beginnings::new(), None);
    timestamptzs(fill(call.rows, arguments, |row| {
        if !is_finite(micros[row]) {
            return Ok(micros[row]);
        }
        let name = texts(&arguments[2]).value(row);
        if last.replace(name).is_some_and(|last| last != name) {
            known = Beginnings::new();
        }
        truncated(&mut units, row, micros[row], clocks.at(row)?, &mut known)
    }))
}

fn truncated(
    units: &mut Units,
    row: usize,
    micros: i64,
    clock: &mut impl Clock,
    known: &mut Beginnings,
) -> Result<i64, QueryError> {
    if !is_finite(micros) {
        return Ok(micros);
    }
    let unit = units.at(row)?;
    truncation::of_timestamptz(unit, micros, clock, known).map_err(|failure| units.worded(failure, unit, row))
}

/// `date_trunc(text, interval)`.
pub(super) fn truncate_intervals(arguments: &[ArrayRef], call: &Call) -> Column {
    let (mut units, values) = (Units::truncated(&arguments[0], Source::Interval), spans(&arguments[1]));
    intervals(call.rows, arguments, |row| {
        let unit = units.at(row)?;
        truncation::of_interval(unit, values.at(row)).map_err(|failure| units.worded(failure, unit, row))
    })
}

/// `date_bin(interval, timestamp, timestamp)`.
pub(super) fn bin_timestamps(arguments: &[ArrayRef], call: &Call) -> Column {
    timestamps(binned(arguments, call))
}

/// The same for timestamps with time zone; bins know no zone.
pub(super) fn bin_timestamptzs(arguments: &[ArrayRef], call: &Call) -> Column {
    timestamptzs(binned(arguments, call))
}

fn binned(arguments: &[ArrayRef], call: &Call) -> Result<PrimitiveArray<TimestampMicrosecondType>, QueryError> {
    let (strides, micros, origins) = (spans(&arguments[0]), moments(&arguments[1]), moments(&arguments[2]));
    fill(call.rows, arguments, |row| truncation::bin(strides.at(row), micros[row], origins[row]))
}
