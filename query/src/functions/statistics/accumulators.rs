//! Accumulators over [`Sums`]. Their state is one column with the bytes of the sums.

use super::Sums;
use crate::functions::float_sums::is_counted;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray};
use arrow::compute::filter;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use std::sync::Arc;

/// The sums of one group or window frame.
#[derive(Debug)]
pub(super) struct One<S: Sums> {
    sums: S,
    statistic: S::Statistic,
}

impl<S: Sums> One<S> {
    pub(super) fn new(statistic: S::Statistic) -> Self {
        Self { sums: S::default(), statistic }
    }
}

/// The sums that bytes are of.
pub(super) fn partial<S: Sums>(bytes: &[u8]) -> Result<S> {
    S::from_bytes(bytes).ok_or_else(|| exec_datafusion_err!("the sums of a statistic have {} bytes", bytes.len()))
}

impl<S: Sums> Accumulator for One<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        S::rows(values, |_, row| self.sums.add(row, &self.statistic))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        S::rows(values, |_, row| self.sums.subtract(row, &self.statistic))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_binary::<i32>().iter().flatten().try_for_each(|bytes| self.sums.merge(&partial(bytes)?))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.sums.to_bytes()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.sums.result(&self.statistic)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.heap_bytes()
    }
}

/// The sums of many groups.
#[derive(Debug)]
pub(super) struct Many<S: Sums> {
    sums: Vec<S>,
    statistic: S::Statistic,
    result_type: DataType,
    heap_bytes: usize,
}

impl<S: Sums> Many<S> {
    pub(super) fn new(statistic: S::Statistic, result_type: DataType) -> Self {
        Self { sums: Vec::new(), statistic, result_type, heap_bytes: 0 }
    }

    fn change(&mut self, group: usize, change: impl FnOnce(&mut S, &S::Statistic) -> Result<()>) -> Result<()> {
        let sums = &mut self.sums[group];
        let before = sums.heap_bytes();
        change(sums, &self.statistic)?;
        self.heap_bytes += sums.heap_bytes() - before;
        Ok(())
    }

    fn taken(&mut self, emit_to: EmitTo) -> Vec<S> {
        let taken = emit_to.take_needed(&mut self.sums);
        self.heap_bytes = self.sums.iter().map(S::heap_bytes).sum();
        taken
    }
}

/// The rows that an aggregate's FILTER lets through, and their groups.
pub(super) fn filtered(
    values: &[ArrayRef],
    groups: &[usize],
    predicate: &BooleanArray,
) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
    let values = values.iter().map(|column| Ok(filter(column, predicate)?)).collect::<Result<Vec<ArrayRef>>>()?;
    let groups = groups.iter().zip(predicate).filter(|(_, passes)| *passes == Some(true)).map(|(group, _)| *group);
    Ok((values, groups.collect()))
}

impl<S: Sums> GroupsAccumulator for Many<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        predicate: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.resize_with(total, S::default);
        match predicate {
            None => S::rows(values, |row, value| self.change(groups[row], |sums, kind| sums.add(value, kind))),
            Some(predicate) => {
                let (values, groups) = filtered(values, groups, predicate)?;
                S::rows(&values, |row, value| self.change(groups[row], |sums, kind| sums.add(value, kind)))
            }
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.sums.resize_with(total, S::default);
        for (bytes, group) in states[0].as_binary::<i32>().iter().zip(groups) {
            if let Some(bytes) = bytes {
                let added = partial::<S>(bytes)?;
                self.change(*group, |sums, _| sums.merge(&added))?;
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let states: BinaryArray = self.taken(emit_to).iter().map(|sums| Some(sums.to_bytes())).collect();
        Ok(vec![Arc::new(states)])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = self.taken(emit_to);
        if taken.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.result_type));
        }
        let results = taken.iter().map(|sums| sums.result(&self.statistic)).collect::<Result<Vec<_>>>()?;
        ScalarValue::iter_to_array(results)
    }

    fn convert_to_state(&self, values: &[ArrayRef], predicate: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut states: Vec<Option<Vec<u8>>> = vec![None; values[0].len()];
        S::rows(values, |row, value| {
            if is_counted(&values[0], predicate, row) {
                let mut sums = S::default();
                sums.add(value, &self.statistic)?;
                states[row] = Some(sums.to_bytes());
            }
            Ok(())
        })?;
        Ok(vec![Arc::new(states.into_iter().collect::<BinaryArray>())])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<S>() + self.heap_bytes
    }
}
