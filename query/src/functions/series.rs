//! generate_series: numbers and moments from a start to a stop, as arrays and as a table.
//!
//! In a select list, and where an argument is not a constant, the series of each row is an array that is unnested. With constants
//! in FROM it is a table whose rows are made while they are read, so that a long series takes no memory.

use super::arrays::{ITEMS_MAX, too_many_items};
use super::moments::MomentSeries;
use super::overload::{Function, Kind, Overload};
use super::strings::{Answer, invalid};
use crate::error::QueryError;
use crate::types::{Zone, numeric_overflow};
use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Int32Array, Int64Array, ListArray, NullBufferBuilder,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, Int32Type, Int64Type, IntervalMonthDayNanoType,
    TimestampMicrosecondType, i256,
};
use std::sync::Arc;

/// The function's name, which is also its column's.
pub(crate) const GENERATE_SERIES: &str = "generate_series";
/// Values that are made between two looks at the limit.
const CHUNK_ROWS: usize = 8192;

pub(super) fn functions() -> Vec<Function> {
    vec![generate_series()]
}

/// The overloads. Of two that fit alike the first is meant: with timestamps of unknown type, the one with time zone.
pub(crate) fn generate_series() -> Function {
    use Kind::{Int4, Int8, Interval, ListOf, Numeric, NumericOfArguments, Timestamp, TimestampTz};
    let overloads = vec![
        Overload::new(&[Int4, Int4], ListOf(&Int4), |columns, call| arrays(columns, call.zone)),
        Overload::new(&[Int4, Int4, Int4], ListOf(&Int4), |columns, call| arrays(columns, call.zone)),
        Overload::new(&[Int8, Int8], ListOf(&Int8), |columns, call| arrays(columns, call.zone)),
        Overload::new(&[Int8, Int8, Int8], ListOf(&Int8), |columns, call| arrays(columns, call.zone)),
        Overload::new(&[Numeric, Numeric], ListOf(&NumericOfArguments), |columns, call| arrays(columns, call.zone)),
        Overload::new(&[Numeric, Numeric, Numeric], ListOf(&NumericOfArguments), |columns, call| {
            arrays(columns, call.zone)
        }),
        Overload::new(&[TimestampTz, TimestampTz, Interval], ListOf(&TimestampTz), |columns, call| {
            arrays(columns, call.zone)
        }),
        Overload::new(&[Timestamp, Timestamp, Interval], ListOf(&Timestamp), |columns, call| {
            arrays(columns, call.zone)
        }),
    ];
    Function::stable(GENERATE_SERIES, overloads)
}

/// The series of each row as an array; NULL where an argument is NULL.
fn arrays(columns: &[ArrayRef], zone: Zone) -> Answer {
    let value_type = value_type(columns);
    let rows = columns[0].len();
    let (mut values, mut lengths, mut valid) =
        (Values::new(&value_type), Vec::with_capacity(rows), NullBufferBuilder::new(rows));
    for row in 0..rows {
        let series = Series::at(columns, row, zone)?;
        valid.append(series.is_some());
        let before = values.len();
        if let Some(mut series) = series {
            while series.fill(&mut values, CHUNK_ROWS)? == CHUNK_ROWS {
                if values.len() - before > ITEMS_MAX || i32::try_from(values.len()).is_err() {
                    return Err(too_many_items());
                }
            }
        }
        lengths.push(values.len() - before);
    }
    let item = Arc::new(Field::new("item", value_type.clone(), true));
    let values = values.into_array(&value_type)?;
    Ok(Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), values, valid.finish())))
}

/// The type of the values over arguments of the declared types.
pub(super) fn value_type(columns: &[ArrayRef]) -> DataType {
    let scale = columns.iter().map(|column| scale_of(column.data_type())).max().unwrap_or(0);
    match columns[0].data_type() {
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let is_wide = |column: &ArrayRef| matches!(column.data_type(), DataType::Decimal256(..));
            if columns.iter().any(is_wide) { DataType::Decimal256(76, scale) } else { DataType::Decimal128(38, scale) }
        }
        other => other.clone(),
    }
}

fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

/// Values of a series: integers and microseconds, or unscaled numerics.
pub(super) enum Values {
    Narrow(Vec<i64>),
    Wide(Vec<i256>),
}

impl Values {
    pub(super) fn new(value_type: &DataType) -> Self {
        if value_type.is_decimal() { Self::Wide(Vec::new()) } else { Self::Narrow(Vec::new()) }
    }

    fn len(&self) -> usize {
        match self {
            Self::Narrow(values) => values.len(),
            Self::Wide(values) => values.len(),
        }
    }

    pub(super) fn into_array(self, value_type: &DataType) -> Answer {
        Ok(match (self, value_type) {
            (Self::Narrow(values), DataType::Int32) => {
                Arc::new(values.into_iter().map(|value| value as i32).collect::<Int32Array>())
            }
            (Self::Narrow(values), DataType::Timestamp(_, zone)) => {
                Arc::new(TimestampMicrosecondArray::from(values).with_timezone_opt(zone.clone()))
            }
            (Self::Narrow(values), _) => Arc::new(Int64Array::from(values)),
            (Self::Wide(values), DataType::Decimal256(precision, scale)) => {
                let overflow = |_| numeric_overflow(*precision, *scale);
                let numbers = Decimal256Array::from(values);
                Arc::new(numbers.with_precision_and_scale(*precision, *scale).map_err(overflow)?)
            }
            (Self::Wide(values), other) => {
                let overflow = || numeric_overflow(38, scale_of(other));
                let numbers = values.into_iter().map(|value| value.to_i128()).collect::<Option<Vec<i128>>>();
                let numbers = Decimal128Array::from(numbers.ok_or_else(overflow)?);
                Arc::new(numbers.with_precision_and_scale(38, scale_of(other)).map_err(|_| overflow())?)
            }
        })
    }
}

/// One series, which goes on where it was left.
pub(super) enum Series {
    Integers(IntegerSeries),
    Numerics(NumericSeries),
    Moments(MomentSeries),
}

pub(super) struct IntegerSeries {
    next: Option<i64>,
    stop: i64,
    step: i64,
}

pub(super) struct NumericSeries {
    next: Option<i256>,
    stop: i256,
    step: i256,
}

impl Series {
    /// The series that a row of arguments asks for; `None` where one of them is NULL.
    pub(super) fn at(columns: &[ArrayRef], row: usize, zone: Zone) -> Result<Option<Self>, QueryError> {
        if columns.iter().any(|column| column.is_null(row)) {
            return Ok(None);
        }
        let series = match columns[0].data_type() {
            DataType::Int32 => {
                let value = |position: usize| i64::from(columns[position].as_primitive::<Int32Type>().value(row));
                integers(value(0), value(1), columns.get(2).map_or(1, |_| value(2)))
            }
            DataType::Int64 => {
                let value = |position: usize| columns[position].as_primitive::<Int64Type>().value(row);
                integers(value(0), value(1), columns.get(2).map_or(1, |_| value(2)))
            }
            DataType::Timestamp(_, of_zone) => {
                let value = |position: usize| columns[position].as_primitive::<TimestampMicrosecondType>().value(row);
                let step = columns[2].as_primitive::<IntervalMonthDayNanoType>().value(row);
                let zone = of_zone.as_ref().map(|_| zone);
                MomentSeries::new(value(0), value(1), step, zone).map(Self::Moments)
            }
            _ => numerics(columns, row)?,
        };
        series.map(Some).ok_or_else(|| invalid("step size cannot equal zero"))
    }

    /// Adds the next values, at most so many; returns how many there were.
    pub(super) fn fill(&mut self, values: &mut Values, rows_max: usize) -> Result<usize, QueryError> {
        let before = values.len();
        match (self, &mut *values) {
            (Self::Integers(series), Values::Narrow(values)) => values.extend(series.take(rows_max)),
            (Self::Numerics(series), Values::Wide(values)) => values.extend(series.take(rows_max)),
            (Self::Moments(series), Values::Narrow(values)) => {
                for moment in series.take(rows_max) {
                    values.push(moment?);
                }
            }
            _ => unreachable!("values are made for their series"),
        }
        Ok(values.len() - before)
    }
}

fn integers(start: i64, stop: i64, step: i64) -> Option<Series> {
    (step != 0).then_some(Series::Integers(IntegerSeries { next: Some(start), stop, step }))
}

impl Iterator for IntegerSeries {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let value = self.next.take()?;
        if if self.step > 0 { value > self.stop } else { value < self.stop } {
            return None;
        }
        self.next = value.checked_add(self.step);
        Some(value)
    }
}

fn numerics(columns: &[ArrayRef], row: usize) -> Result<Option<Series>, QueryError> {
    let scale = scale_of(&value_type(columns));
    let value = |column: &ArrayRef| {
        let unscaled = match column.data_type() {
            DataType::Decimal256(..) => column.as_primitive::<Decimal256Type>().value(row),
            _ => i256::from_i128(column.as_primitive::<Decimal128Type>().value(row)),
        };
        rescaled(unscaled, scale - scale_of(column.data_type())).ok_or_else(|| numeric_overflow(76, scale))
    };
    let one = rescaled(i256::ONE, scale).ok_or_else(|| numeric_overflow(76, scale))?;
    let step = columns.get(2).map_or(Ok(one), value)?;
    let (start, stop) = (value(&columns[0])?, value(&columns[1])?);
    Ok((step != i256::ZERO).then_some(Series::Numerics(NumericSeries { next: Some(start), stop, step })))
}

fn rescaled(unscaled: i256, places: i8) -> Option<i256> {
    unscaled.checked_mul(i256::from_i128(10).checked_pow(u32::from(places.unsigned_abs()))?)
}

impl Iterator for NumericSeries {
    type Item = i256;

    fn next(&mut self) -> Option<i256> {
        let value = self.next.take()?;
        if if self.step.is_negative() { value < self.stop } else { value > self.stop } {
            return None;
        }
        self.next = value.checked_add(self.step);
        Some(value)
    }
}
