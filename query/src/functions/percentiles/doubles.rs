//! `percentile_cont` of doubles, for one group and for many: the values are kept, and the two beside the wanted place
//! are selected without sorting the others.

use crate::functions::float_sums::is_counted;
use crate::functions::ordered_sets::Fractions;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use std::cell::RefCell;
use std::sync::Arc;

/// What is asked of the values of a group.
#[derive(Debug)]
pub(super) struct Question {
    pub fractions: Fractions,
    pub descending: bool,
}

impl Question {
    fn answer(&self, values: &[f64]) -> Result<ScalarValue> {
        if values.is_empty() {
            return self.fractions.nothing(&DataType::Float64);
        }
        let values = RefCell::new(values.to_vec());
        self.fractions.answers(&DataType::Float64, |fraction| {
            Ok(ScalarValue::Float64(Some(at(&mut values.borrow_mut(), fraction, self.descending))))
        })
    }
}

/// What lies at a fraction of all values, of which there is at least one. They are put in another order.
fn at(values: &mut [f64], fraction: f64, descending: bool) -> f64 {
    let place = fraction * (values.len() - 1) as f64;
    let (index, part) = (place.floor() as usize, place - place.floor());
    let order = |left: &f64, right: &f64| {
        let order = left.total_cmp(right);
        if descending { order.reverse() } else { order }
    };
    let (_, low, above) = values.select_nth_unstable_by(index, order);
    let low = *low;
    match above.iter().copied().min_by(order) {
        Some(high) if part > 0.0 => low + part * (high - low),
        _ => low,
    }
}

/// NaN is above all numbers whatever its sign is.
fn canonical(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

fn list_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float64, true))
}

/// The values of one group.
#[derive(Debug)]
pub(super) struct One {
    question: Question,
    values: Vec<f64>,
}

impl One {
    pub(super) fn new(question: Question) -> Self {
        Self { question, values: Vec::new() }
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(values[0].as_primitive::<Float64Type>().iter().flatten().map(canonical));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|values| self.update_batch(&[values]))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Arc::new(Float64Array::from(self.values.clone()));
        let list = ListArray::new(list_field(), OffsetBuffer::from_lengths([values.len()]), values, None);
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.question.answer(&self.values)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }
}

/// The values of many groups.
#[derive(Debug)]
pub(super) struct Many {
    question: Question,
    data_type: DataType,
    groups: Vec<Vec<f64>>,
    kept: usize,
}

impl Many {
    /// `data_type` is that of the answers.
    pub(super) fn new(question: Question, data_type: DataType) -> Self {
        Self { question, data_type, groups: Vec::new(), kept: 0 }
    }

    fn taken(&mut self, emit_to: EmitTo) -> Vec<Vec<f64>> {
        let taken = emit_to.take_needed(&mut self.groups);
        self.kept -= taken.iter().map(Vec::len).sum::<usize>();
        taken
    }
}

impl GroupsAccumulator for Many {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, Vec::new);
        let values = values[0].as_primitive::<Float64Type>();
        for (row, group) in groups.iter().enumerate() {
            if is_counted(values, filter, row) {
                self.groups[*group].push(canonical(values.value(row)));
                self.kept += 1;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, Vec::new);
        for (values, group) in states[0].as_list::<i32>().iter().zip(groups) {
            let Some(values) = values else { continue };
            let values = values.as_primitive::<Float64Type>();
            self.groups[*group].extend(values.iter().flatten());
            self.kept += values.len() - values.null_count();
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let taken = self.taken(emit_to);
        let offsets = OffsetBuffer::from_lengths(taken.iter().map(Vec::len));
        let values: ArrayRef = Arc::new(Float64Array::from(taken.concat()));
        Ok(vec![Arc::new(ListArray::new(list_field(), offsets, values, None))])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = self.taken(emit_to);
        if taken.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.data_type));
        }
        let answers = taken.iter().map(|values| self.question.answer(values)).collect::<Result<Vec<_>>>()?;
        ScalarValue::iter_to_array(answers)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<Float64Type>();
        let counted: Vec<usize> = (0..values.len()).filter(|row| is_counted(values, filter, *row)).collect();
        let mut lengths = vec![0; values.len()];
        counted.iter().for_each(|row| lengths[*row] = 1);
        let kept = Float64Array::from_iter_values(counted.iter().map(|row| canonical(values.value(*row))));
        let lists = ListArray::new(list_field(), OffsetBuffer::from_lengths(lengths), Arc::new(kept), None);
        Ok(vec![Arc::new(lists)])
    }

    fn size(&self) -> usize {
        // Vectors grow by doubling, so up to twice of what is kept is taken.
        self.groups.capacity() * size_of::<Vec<f64>>() + self.kept * 2 * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::at;

    #[test]
    fn places_between_values_are_computed_as_postgresql_does() {
        let mut values = [2.5, -2.75, 1.5, 0.0, 100.0];
        assert_eq!(at(&mut values, 0.5, false), 1.5);
        assert_eq!(at(&mut values, 0.0, true), 100.0);
        assert_eq!(at(&mut values, 1.0, true), -2.75);
        assert_eq!(at(&mut [1.0, 2.0], 0.1, false), 1.1);
        assert_eq!(at(&mut [1.0, 2.0], 0.1, true), 1.9);
        assert_eq!(at(&mut [7.0], 0.3, false), 7.0);
    }
}
