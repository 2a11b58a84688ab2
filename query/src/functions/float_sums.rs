//! `sum(double precision)` over columns, for one group and for many.

use super::float_sum::FloatSum;
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use std::sync::Arc;

/// The state of a partial sum: the bytes of a [`FloatSum`].
pub(super) fn state_field(name: String) -> FieldRef {
    Arc::new(Field::new(name, DataType::Binary, true))
}

fn result(sum: &FloatSum) -> Result<Option<f64>> {
    if sum.count() == 0 {
        return Ok(None);
    }
    let overflow = || external(QueryError::new(ErrorKind::NumericOutOfRange, "value out of range: overflow"));
    sum.value().map(Some).ok_or_else(overflow)
}

fn partial(bytes: &[u8]) -> Result<FloatSum> {
    match FloatSum::from_bytes(bytes) {
        Some(sum) => Ok(sum),
        None => exec_err!("a partial sum of doubles has {} bytes", bytes.len()),
    }
}

/// The sum of one group or window frame.
#[derive(Debug, Default)]
pub(super) struct FloatAccumulator(FloatSum);

impl FloatAccumulator {
    fn add(&mut self, values: &ArrayRef, sign: i64) {
        values.as_primitive::<Float64Type>().iter().flatten().for_each(|value| self.0.add(value, sign));
    }
}

impl Accumulator for FloatAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], 1);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], -1);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_binary::<i32>().iter().flatten().try_for_each(|bytes| {
            self.0.merge(&partial(bytes)?);
            Ok(())
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.0.to_bytes()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(result(&self.0)?))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.heap_bytes()
    }
}

/// Whether a row has a value that an aggregate's FILTER lets through.
fn is_counted(values: &Float64Array, filter: Option<&BooleanArray>, row: usize) -> bool {
    values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// The sums of many groups.
#[derive(Debug, Default)]
pub(super) struct FloatGroups {
    sums: Vec<FloatSum>,
    heap_bytes: usize,
}

impl FloatGroups {
    fn taken(&mut self, emit_to: EmitTo) -> Vec<FloatSum> {
        let taken = emit_to.take_needed(&mut self.sums);
        self.heap_bytes = self.sums.iter().map(FloatSum::heap_bytes).sum();
        taken
    }

    fn change(&mut self, group: usize, change: impl FnOnce(&mut FloatSum)) {
        let sum = &mut self.sums[group];
        let before = sum.heap_bytes();
        change(sum);
        self.heap_bytes += sum.heap_bytes() - before;
    }
}

impl GroupsAccumulator for FloatGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.resize_with(total, FloatSum::default);
        let values = values[0].as_primitive::<Float64Type>();
        for (row, group) in groups.iter().enumerate() {
            if is_counted(values, filter, row) {
                self.change(*group, |sum| sum.add(values.value(row), 1));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.sums.resize_with(total, FloatSum::default);
        for (bytes, group) in states[0].as_binary::<i32>().iter().zip(groups) {
            if let Some(bytes) = bytes {
                let added = partial(bytes)?;
                self.change(*group, |sum| sum.merge(&added));
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let states: BinaryArray = self.taken(emit_to).iter().map(|sum| Some(sum.to_bytes())).collect();
        Ok(vec![Arc::new(states)])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.taken(emit_to);
        let results = sums.iter().map(result).collect::<Result<Float64Array>>()?;
        Ok(Arc::new(results))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<Float64Type>();
        let of_row = |row| {
            let mut sum = FloatSum::default();
            sum.add(values.value(row), 1);
            sum.to_bytes()
        };
        let rows = 0..values.len();
        let states: BinaryArray = rows.map(|row| is_counted(values, filter, row).then(|| of_row(row))).collect();
        Ok(vec![Arc::new(states)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<FloatSum>() + self.heap_bytes
    }
}
