//! `sum` of integers, numerics and intervals: in a type that holds the result, and an error where even that one does
//! not.

use super::float_sums::is_counted;
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, i256,
};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::NullState;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

/// A type whose values are summed as `Sum`.
trait Summand<Sum: ArrowPrimitiveType>: ArrowPrimitiveType + Debug + Send {
    /// Whether the values of one batch cannot overflow the sum, however large they are.
    const BATCH_FITS: bool;
    fn widened(value: Self::Native) -> Sum::Native;
}

impl Summand<Int64Type> for Int16Type {
    const BATCH_FITS: bool = true;
    fn widened(value: i16) -> i64 {
        i64::from(value)
    }
}

impl Summand<Int64Type> for Int32Type {
    const BATCH_FITS: bool = true;
    fn widened(value: i32) -> i64 {
        i64::from(value)
    }
}

impl Summand<Decimal128Type> for Int64Type {
    const BATCH_FITS: bool = true;
    fn widened(value: i64) -> i128 {
        i128::from(value)
    }
}

impl Summand<Decimal128Type> for Decimal128Type {
    const BATCH_FITS: bool = false;
    fn widened(value: i128) -> i128 {
        value
    }
}

impl Summand<Decimal256Type> for Decimal128Type {
    const BATCH_FITS: bool = true;
    fn widened(value: i128) -> i256 {
        i256::from_i128(value)
    }
}

impl Summand<Decimal256Type> for Decimal256Type {
    const BATCH_FITS: bool = false;
    fn widened(value: i256) -> i256 {
        value
    }
}

impl Summand<IntervalMonthDayNanoType> for IntervalMonthDayNanoType {
    const BATCH_FITS: bool = false;
    fn widened(value: Self::Native) -> Self::Native {
        value
    }
}

/// Digits that a sum has more than its values: enough for ten thousand million of the largest.
const HEADROOM_DIGITS: u8 = 10;
const NARROW_DIGITS_MAX: u8 = 38;
const WIDE_DIGITS_MAX: u8 = 76;

/// The type of a sum of values of a type; `None` where there is no such sum here.
pub(super) fn sum_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::Int64 => DataType::Decimal128(19 + HEADROOM_DIGITS, 0),
        DataType::Decimal128(precision, scale) if precision + HEADROOM_DIGITS <= NARROW_DIGITS_MAX => {
            DataType::Decimal128(precision + HEADROOM_DIGITS, *scale)
        }
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            DataType::Decimal256(WIDE_DIGITS_MAX, *scale)
        }
        // Lowering makes intervals of times.
        DataType::Interval(_) | DataType::Time64(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => return None,
    })
}

pub(super) fn state_field(name: String, sum: &DataType) -> FieldRef {
    Arc::new(Field::new(name, sum.clone(), true))
}

macro_rules! for_types {
    ($from:expr, $sum:expr, $kind:ident) => {
        match ($from, $sum) {
            (DataType::Int16, _) => Ok(Box::new($kind::<Int16Type, Int64Type>::new($sum))),
            (DataType::Int32, _) => Ok(Box::new($kind::<Int32Type, Int64Type>::new($sum))),
            (DataType::Int64, _) => Ok(Box::new($kind::<Int64Type, Decimal128Type>::new($sum))),
            (DataType::Decimal128(..), DataType::Decimal128(..)) => {
                Ok(Box::new($kind::<Decimal128Type, Decimal128Type>::new($sum)))
            }
            (DataType::Decimal128(..), _) => Ok(Box::new($kind::<Decimal128Type, Decimal256Type>::new($sum))),
            (DataType::Decimal256(..), _) => Ok(Box::new($kind::<Decimal256Type, Decimal256Type>::new($sum))),
            (DataType::Interval(IntervalUnit::MonthDayNano), _) => {
                Ok(Box::new($kind::<IntervalMonthDayNanoType, IntervalMonthDayNanoType>::new($sum)))
            }
            (from, _) => internal_err!("there is no sum of {from}"),
        }
    };
}

/// The sum of one group or window frame.
pub(super) fn accumulator(from: &DataType, sum: &DataType) -> Result<Box<dyn Accumulator>> {
    for_types!(from, sum, CheckedSum)
}

/// The sums of many groups.
pub(super) fn groups(from: &DataType, sum: &DataType) -> Result<Box<dyn GroupsAccumulator>> {
    for_types!(from, sum, CheckedGroups)
}

fn overflow(sum: &DataType) -> DataFusionError {
    let (kind, message) = match sum {
        DataType::Int64 => (ErrorKind::NumericOutOfRange, "bigint out of range"),
        DataType::Interval(_) => (ErrorKind::DatetimeOutOfRange, "interval out of range"),
        _ => (ErrorKind::NumericOutOfRange, "value overflows numeric format"),
    };
    external(QueryError::new(kind, message))
}

/// Sums with the digits of their type, of which the integer that holds them may have a few more.
fn checked<S: ArrowPrimitiveType>(sums: PrimitiveArray<S>, data_type: &DataType) -> Result<ArrayRef> {
    let sums: ArrayRef = Arc::new(sums.with_data_type(data_type.clone()));
    let valid = match data_type {
        DataType::Decimal128(precision, _) => {
            sums.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)
        }
        DataType::Decimal256(precision, _) => {
            sums.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision)
        }
        _ => Ok(()),
    };
    valid.map_err(|_| overflow(data_type))?;
    Ok(sums)
}

#[derive(Debug)]
struct CheckedSum<F, S: ArrowPrimitiveType> {
    sum: S::Native,
    count: usize,
    data_type: DataType,
    from: PhantomData<fn() -> F>,
}

impl<F: Summand<S>, S: ArrowPrimitiveType> CheckedSum<F, S> {
    fn new(sum: &DataType) -> Self {
        Self { sum: S::Native::default(), count: 0, data_type: sum.clone(), from: PhantomData }
    }

    fn add(&mut self, value: S::Native) -> Result<()> {
        self.sum = self.sum.add_checked(value).map_err(|_| overflow(&self.data_type))?;
        Ok(())
    }

    /// The sum of a batch that cannot overflow.
    fn batch_sum(values: &PrimitiveArray<F>) -> S::Native {
        let zero = S::Native::default();
        match values.nulls() {
            None => values.values().iter().fold(zero, |sum, value| sum.add_wrapping(F::widened(*value))),
            Some(nulls) => values.values().iter().zip(nulls).fold(zero, |sum, (value, is_valid)| {
                sum.add_wrapping(if is_valid { F::widened(*value) } else { zero })
            }),
        }
    }
}

impl<F: Summand<S>, S: ArrowPrimitiveType + Debug + Send> Accumulator for CheckedSum<F, S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<F>();
        self.count += values.len() - values.null_count();
        if F::BATCH_FITS {
            return self.add(Self::batch_sum(values));
        }
        values.iter().flatten().try_for_each(|value| self.add(F::widened(value)))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<F>();
        self.count -= values.len() - values.null_count();
        for value in values.iter().flatten() {
            self.sum = self.sum.sub_checked(F::widened(value)).map_err(|_| overflow(&self.data_type))?;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let sums = states[0].as_primitive::<S>();
        self.count += sums.len() - sums.null_count();
        sums.iter().flatten().try_for_each(|sum| self.add(sum))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (self.count > 0).then_some(self.sum);
        let sum = checked::<S>(std::iter::once(sum).collect(), &self.data_type)?;
        ScalarValue::try_from_array(&sum, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[derive(Debug)]
struct CheckedGroups<F, S: ArrowPrimitiveType> {
    sums: Vec<S::Native>,
    seen: NullState,
    data_type: DataType,
    from: PhantomData<fn() -> F>,
}

impl<F: Summand<S>, S: ArrowPrimitiveType> CheckedGroups<F, S> {
    fn new(sum: &DataType) -> Self {
        Self { sums: Vec::new(), seen: NullState::new(), data_type: sum.clone(), from: PhantomData }
    }

    /// Adds values that `widened` makes sums of.
    fn add<T: ArrowPrimitiveType + Send>(
        &mut self,
        values: &PrimitiveArray<T>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
        widened: impl Fn(T::Native) -> S::Native + Send + Sync,
    ) -> Result<()> {
        self.sums.resize(total, S::Native::default());
        let mut fits = true;
        let sums = &mut self.sums;
        self.seen.accumulate(groups, values, filter, total, |group, value| {
            match sums[group].add_checked(widened(value)) {
                Ok(sum) => sums[group] = sum,
                Err(_) => fits = false,
            }
        });
        if fits { Ok(()) } else { Err(overflow(&self.data_type)) }
    }
}

impl<F: Summand<S>, S: ArrowPrimitiveType + Debug + Send> GroupsAccumulator for CheckedGroups<F, S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.add(values[0].as_primitive::<F>(), groups, filter, total, F::widened)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.add(states[0].as_primitive::<S>(), groups, None, total, |sum| sum)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let seen = self.seen.build(emit_to);
        checked(PrimitiveArray::<S>::new(sums.into(), seen), &self.data_type)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<F>();
        let sums = (0..values.len()).map(|row| is_counted(values, filter, row).then(|| F::widened(values.value(row))));
        Ok(vec![checked(sums.collect::<PrimitiveArray<S>>(), &self.data_type)?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<S::Native>() + self.seen.size()
    }
}
