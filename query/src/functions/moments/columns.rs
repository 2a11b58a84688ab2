//! Columns in and out of the kernels: one loop for all of them, and what Arrow and the arithmetic call the same things.
//!
//! Every function here is strict: where an argument is NULL the row is NULL and nothing is computed for it.

use super::failure::Failure;
use super::span::Span;
use crate::error::{ErrorKind, QueryError};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, NullBufferBuilder, PrimitiveArray, StringViewArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    Date32Type, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use std::sync::Arc;

pub(super) type Column = Result<ArrayRef, QueryError>;

const MICRO_NANOS: i64 = 1000;

impl From<Failure> for QueryError {
    #[cold]
    fn from(failure: Failure) -> Self {
        let (kind, message) = match failure {
            Failure::OutOfRange(message) => (ErrorKind::DatetimeOutOfRange, message),
            Failure::InvalidParameter(message) => (ErrorKind::InvalidParameterValue, message),
            Failure::Unsupported(message) => (ErrorKind::FeatureNotSupported, message),
            Failure::DivisionByZero => (ErrorKind::DivisionByZero, "division by zero".into()),
            Failure::Displacement => (ErrorKind::DisplacementOutOfRange, "time zone displacement out of range".into()),
            Failure::IntegerRange(name) => (ErrorKind::NumericOutOfRange, format!("{name} out of range").into()),
            Failure::UnsupportedUnit => (ErrorKind::FeatureNotSupported, "unit not supported".into()),
        };
        Self::new(kind, message)
    }
}

/// Rows in which an argument is NULL.
pub(super) fn common_nulls(arguments: &[ArrayRef]) -> Option<NullBuffer> {
    arguments.iter().fold(None, |nulls, argument| NullBuffer::union(nulls.as_ref(), argument.nulls()))
}

/// Computes each row that has all its arguments.
pub(super) fn fill<R, E>(
    rows: usize,
    arguments: &[ArrayRef],
    mut compute: impl FnMut(usize) -> Result<R::Native, E>,
) -> Result<PrimitiveArray<R>, QueryError>
where
    R: ArrowPrimitiveType,
    QueryError: From<E>,
{
    let nulls = common_nulls(arguments);
    let mut values = Vec::with_capacity(rows);
    match &nulls {
        None => {
            for row in 0..rows {
                values.push(compute(row)?);
            }
        }
        Some(nulls) => {
            for row in 0..rows {
                values.push(if nulls.is_valid(row) { compute(row)? } else { R::Native::default() });
            }
        }
    }
    Ok(PrimitiveArray::new(values.into(), nulls))
}

/// The same where the result may be NULL for other reasons too.
pub(super) fn fill_or_null<R: ArrowPrimitiveType>(
    rows: usize,
    arguments: &[ArrayRef],
    mut compute: impl FnMut(usize) -> Result<Option<R::Native>, QueryError>,
) -> Result<PrimitiveArray<R>, QueryError> {
    let nulls = common_nulls(arguments);
    let mut values = Vec::with_capacity(rows);
    let mut valid = NullBufferBuilder::new(rows);
    for row in 0..rows {
        let has_arguments = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let value = if has_arguments { compute(row)? } else { None };
        valid.append(value.is_some());
        values.push(value.unwrap_or_default());
    }
    Ok(PrimitiveArray::new(values.into(), valid.finish()))
}

/// Computes every row, as that costs less than to look which are NULL.
pub(super) fn fill_booleans(rows: usize, arguments: &[ArrayRef], compute: impl FnMut(usize) -> bool) -> Column {
    let values = BooleanBuffer::collect_bool(rows, compute);
    Ok(Arc::new(BooleanArray::new(values, common_nulls(arguments))))
}

pub(super) fn timestamps(column: Result<PrimitiveArray<TimestampMicrosecondType>, QueryError>) -> Column {
    Ok(Arc::new(column?))
}

pub(super) fn timestamptzs(column: Result<PrimitiveArray<TimestampMicrosecondType>, QueryError>) -> Column {
    Ok(Arc::new(column?.with_timezone("UTC")))
}

pub(super) fn intervals<E>(
    rows: usize,
    arguments: &[ArrayRef],
    mut compute: impl FnMut(usize) -> Result<Span, E>,
) -> Column
where
    E: From<Failure>,
    QueryError: From<E>,
{
    let column = fill::<IntervalMonthDayNanoType, E>(rows, arguments, |row| Ok(arrow_interval(compute(row)?)?))?;
    Ok(Arc::new(column))
}

pub(super) fn arrow_interval(span: Span) -> Result<IntervalMonthDayNano, Failure> {
    let nanos = span.micros.checked_mul(MICRO_NANOS).ok_or(super::failure::INTERVAL_RANGE)?;
    Ok(IntervalMonthDayNano::new(span.months, span.days, nanos))
}

/// Microseconds of timestamps, with and without time zone.
pub(super) fn moments(column: &ArrayRef) -> &[i64] {
    column.as_primitive::<TimestampMicrosecondType>().values()
}

pub(super) fn times(column: &ArrayRef) -> &[i64] {
    column.as_primitive::<Time64MicrosecondType>().values()
}

pub(super) fn dates(column: &ArrayRef) -> &[i32] {
    column.as_primitive::<Date32Type>().values()
}

pub(super) fn integers(column: &ArrayRef) -> &[i32] {
    column.as_primitive::<Int32Type>().values()
}

pub(super) fn floats(column: &ArrayRef) -> &[f64] {
    column.as_primitive::<Float64Type>().values()
}

pub(super) fn texts(column: &ArrayRef) -> &StringViewArray {
    column.as_string_view()
}

/// An interval as the arithmetic sees it.
pub(super) fn span_of(value: IntervalMonthDayNano) -> Span {
    Span { months: value.months, days: value.days, micros: value.nanoseconds / MICRO_NANOS }
}

/// A column of intervals.
#[derive(Clone, Copy)]
pub(super) struct Spans<'a>(&'a [IntervalMonthDayNano]);

pub(super) fn spans(column: &ArrayRef) -> Spans<'_> {
    Spans(column.as_primitive::<IntervalMonthDayNanoType>().values())
}

impl Spans<'_> {
    pub(super) fn at(self, row: usize) -> Span {
        span_of(self.0[row])
    }
}
