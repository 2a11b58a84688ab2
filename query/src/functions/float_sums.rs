//! `sum` of double precision and real over columns, for one group and for many.

use super::float_sum::{FloatSum, Long, Pair, to_f32, to_f64};
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Float64Array, PrimitiveArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

/// The types whose sums are here; a sum has its argument's type.
pub(super) trait FloatType: ArrowPrimitiveType + Debug {
    fn doubles(values: &[Self::Native]) -> Cow<'_, [f64]>;
    /// The sum rounded once; `None` where no finite value is near it, though all values were finite.
    fn rounded(pair: Pair, long: Option<&Long>) -> Option<Self::Native>;
    fn double(value: Self::Native) -> f64;
    fn negative_zero() -> Self::Native;
}

impl FloatType for Float64Type {
    fn doubles(values: &[f64]) -> Cow<'_, [f64]> {
        Cow::Borrowed(values)
    }

    fn rounded(pair: Pair, long: Option<&Long>) -> Option<f64> {
        to_f64(pair, long)
    }

    fn double(value: f64) -> f64 {
        value
    }

    fn negative_zero() -> f64 {
        -0.0
    }
}

impl FloatType for Float32Type {
    fn doubles(values: &[f32]) -> Cow<'_, [f64]> {
        values.iter().copied().map(f64::from).collect()
    }

    fn rounded(pair: Pair, long: Option<&Long>) -> Option<f32> {
        to_f32(pair, long)
    }

    fn double(value: f32) -> f64 {
        f64::from(value)
    }

    fn negative_zero() -> f32 {
        -0.0
    }
}

/// The state of a partial sum: the two doubles of a [`Pair`], NULL where there is none, and the bytes of a [`Long`].
pub(super) fn state_fields(name: &str) -> Vec<FieldRef> {
    let field = |part: &str, data_type| Arc::new(Field::new(format!("{name}[{part}]"), data_type, true));
    vec![field("high", DataType::Float64), field("low", DataType::Float64), field("long", DataType::Binary)]
}

fn overflow() -> DataFusionError {
    external(QueryError::new(ErrorKind::NumericOutOfRange, "value out of range: overflow"))
}

fn long_from(mut bytes: &[u8]) -> Result<Long> {
    let count = bytes.len();
    Long::from_bytes(&mut bytes).ok_or_else(|| exec_datafusion_err!("a partial sum of doubles has {count} bytes"))
}

/// The columns of partial sums.
struct States<'a> {
    high: &'a Float64Array,
    low: &'a Float64Array,
    long: &'a BinaryArray,
}

impl<'a> States<'a> {
    fn of(columns: &'a [ArrayRef]) -> Self {
        Self { high: columns[0].as_primitive(), low: columns[1].as_primitive(), long: columns[2].as_binary() }
    }

    fn pair(&self, row: usize) -> Option<Pair> {
        self.high.is_valid(row).then(|| Pair { high: self.high.value(row), low: self.low.value(row) })
    }

    fn long(&self, row: usize) -> Result<Option<Long>> {
        if self.long.is_null(row) { Ok(None) } else { long_from(self.long.value(row)).map(Some) }
    }
}

/// The sum of one group.
#[derive(Debug)]
pub(super) struct FloatAccumulator<T> {
    sum: FloatSum,
    data_type: PhantomData<fn() -> T>,
}

impl<T: FloatType> FloatAccumulator<T> {
    pub(super) fn new() -> Self {
        Self { sum: FloatSum::default(), data_type: PhantomData }
    }

    fn result(&self) -> Result<Option<T::Native>> {
        if self.sum.is_empty() {
            return Ok(None);
        }
        let (pair, long) = self.sum.parts();
        T::rounded(pair, long).map(Some).ok_or_else(overflow)
    }
}

fn scalar<T: FloatType>(value: Option<T::Native>) -> Result<ScalarValue> {
    ScalarValue::new_primitive::<T>(value, &T::DATA_TYPE)
}

impl<T: FloatType> Accumulator for FloatAccumulator<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<T>();
        if values.null_count() == 0 {
            self.sum.add_all(&T::doubles(values.values()));
        } else {
            self.sum.add_all(&values.iter().flatten().map(T::double).collect::<Vec<f64>>());
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states = States::of(states);
        for row in 0..states.high.len() {
            if let Some(pair) = states.pair(row) {
                self.sum.add_pair(pair);
            }
            if let Some(long) = states.long(row)? {
                self.sum.add_long(&long);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (pair, long) = self.sum.parts();
        let half = |value| ScalarValue::Float64((!pair.is_empty()).then_some(value));
        Ok(vec![half(pair.high), half(pair.low), ScalarValue::Binary(long.map(Long::to_bytes))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        scalar::<T>(self.result()?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sum.heap_bytes()
    }
}

/// The sum of a window frame, out of which rows go.
#[derive(Debug)]
pub(super) struct SlidingFloatAccumulator<T> {
    inner: FloatAccumulator<T>,
    count: usize,
    negative_zeros: usize,
}

impl<T: FloatType> SlidingFloatAccumulator<T> {
    pub(super) fn new() -> Self {
        Self { inner: FloatAccumulator::new(), count: 0, negative_zeros: 0 }
    }
}

/// How many values there are, and how many of them are −0.
fn counted<T: FloatType>(values: &PrimitiveArray<T>) -> (usize, usize) {
    let negative_zero = (-0.0_f64).to_bits();
    let negative_zeros = values.iter().flatten().filter(|value| T::double(*value).to_bits() == negative_zero).count();
    (values.len() - values.null_count(), negative_zeros)
}

impl<T: FloatType> Accumulator for SlidingFloatAccumulator<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (count, negative_zeros) = counted::<T>(values[0].as_primitive());
        self.count += count;
        self.negative_zeros += negative_zeros;
        self.inner.update_batch(values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<T>();
        let (count, negative_zeros) = counted(values);
        self.count -= count;
        self.negative_zeros -= negative_zeros;
        values.iter().flatten().for_each(|value| self.inner.sum.subtract(T::double(value)));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(exec_datafusion_err!("sums of window frames are not merged"))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.count {
            0 => scalar::<T>(None),
            count if count == self.negative_zeros => scalar::<T>(Some(T::negative_zero())),
            _ => self.inner.evaluate(),
        }
    }

    fn size(&self) -> usize {
        self.inner.size() + 2 * size_of::<usize>()
    }
}

/// Whether a row has a value that an aggregate's FILTER lets through.
pub(super) fn is_counted(values: &dyn Array, filter: Option<&BooleanArray>, row: usize) -> bool {
    values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// The sums of many groups: a [`Pair`] for each, and a [`Long`] for those that need it.
#[derive(Debug)]
pub(super) struct FloatGroups<T> {
    high: Vec<f64>,
    low: Vec<f64>,
    long: HashMap<usize, Long>,
    long_heap_bytes: usize,
    data_type: PhantomData<fn() -> T>,
}

/// Groups that are ready.
struct Taken {
    high: Vec<f64>,
    low: Vec<f64>,
    long: HashMap<usize, Long>,
}

impl<T: FloatType> FloatGroups<T> {
    pub(super) fn new() -> Self {
        Self { high: Vec::new(), low: Vec::new(), long: HashMap::new(), long_heap_bytes: 0, data_type: PhantomData }
    }

    fn grow(&mut self, total: usize) {
        self.high.resize(total, Pair::EMPTY.high);
        self.low.resize(total, Pair::EMPTY.low);
    }

    #[inline(always)]
    fn add(&mut self, group: usize, value: f64) {
        let pair = Pair { high: self.high[group], low: self.low[group] };
        match pair.plus(value) {
            Some(pair) => (self.high[group], self.low[group]) = (pair.high, pair.low),
            None => self.spill(group, pair, value),
        }
    }

    #[cold]
    fn spill(&mut self, group: usize, mut pair: Pair, value: f64) {
        self.change_long(group, |long| pair.spill(value, long));
        (self.high[group], self.low[group]) = (pair.high, pair.low);
    }

    fn change_long(&mut self, group: usize, change: impl FnOnce(&mut Long)) {
        let long = self.long.entry(group).or_default();
        let before = long.heap_bytes();
        change(long);
        self.long_heap_bytes += long.heap_bytes() - before;
    }

    fn taken(&mut self, emit_to: EmitTo) -> Taken {
        let (high, low) = (emit_to.take_needed(&mut self.high), emit_to.take_needed(&mut self.low));
        let (taken, kept): (HashMap<_, _>, HashMap<_, _>) =
            std::mem::take(&mut self.long).into_iter().partition(|(group, _)| *group < high.len());
        self.long = kept.into_iter().map(|(group, long)| (group - high.len(), long)).collect();
        self.long_heap_bytes = self.long.values().map(Long::heap_bytes).sum();
        Taken { high, low, long: taken }
    }
}

impl Taken {
    fn pair(&self, group: usize) -> Pair {
        Pair { high: self.high[group], low: self.low[group] }
    }

    fn sum<T: FloatType>(&self, group: usize) -> Result<Option<T::Native>> {
        let (pair, long) = (self.pair(group), self.long.get(&group));
        if pair.is_empty() && long.is_none() {
            return Ok(None);
        }
        T::rounded(pair, long).map(Some).ok_or_else(overflow)
    }
}

impl<T: FloatType> GroupsAccumulator for FloatGroups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let values = values[0].as_primitive::<T>();
        if values.null_count() == 0 && filter.is_none() {
            for (value, group) in values.values().iter().zip(groups) {
                self.add(*group, T::double(*value));
            }
            return Ok(());
        }
        for (row, group) in groups.iter().enumerate() {
            if is_counted(values, filter, row) {
                self.add(*group, T::double(values.value(row)));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let states = States::of(states);
        for (row, group) in groups.iter().enumerate() {
            if let Some(pair) = states.pair(row) {
                self.add(*group, pair.high);
                if pair.low != 0.0 {
                    self.add(*group, pair.low);
                }
            }
            if let Some(long) = states.long(row)? {
                self.change_long(*group, |sum| sum.merge(&long));
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let taken = self.taken(emit_to);
        let groups = 0..taken.high.len();
        let long: BinaryArray = groups.clone().map(|group| taken.long.get(&group).map(Long::to_bytes)).collect();
        let present: NullBuffer = groups.map(|group| !taken.pair(group).is_empty()).collect::<Vec<bool>>().into();
        let high = Float64Array::new(taken.high.into(), Some(present.clone()));
        let low = Float64Array::new(taken.low.into(), Some(present));
        Ok(vec![Arc::new(high), Arc::new(low), Arc::new(long)])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = self.taken(emit_to);
        let sums = (0..taken.high.len()).map(|group| taken.sum::<T>(group));
        Ok(Arc::new(sums.collect::<Result<PrimitiveArray<T>>>()?))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<T>();
        let rows = 0..values.len();
        let present: NullBuffer = rows.map(|row| is_counted(values, filter, row)).collect::<Vec<bool>>().into();
        let high = Float64Array::new(T::doubles(values.values()).into_owned().into(), Some(present.clone()));
        let low = Float64Array::new(vec![0.0; values.len()].into(), Some(present));
        Ok(vec![Arc::new(high), Arc::new(low), Arc::new(BinaryArray::new_null(values.len()))])
    }

    fn size(&self) -> usize {
        let long = self.long.capacity() * size_of::<(usize, Long)>() + self.long_heap_bytes;
        (self.high.capacity() + self.low.capacity()) * size_of::<f64>() + long
    }
}
