//! Rows in memory that meet conditions: the others are left out before a plan reads the set, as if they were deleted.
//!
//! For a step whose plan is kept, so that the conditions of one reader cannot be part of it. Segments stay as they are: to leave their rows
//! out they would have to be read.

use super::{BATCH_ROWS, BatchRows, RowSet};
use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::concat_batches;
use catalog::segment::DeletionVector;
use datafusion::catalog::Session;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use std::sync::Arc;

impl RowSet {
    /// The set without those rows in memory that do not meet all conditions, which are over the bare names of the table's columns.
    pub(crate) fn meeting(mut self, state: &dyn Session, conditions: &[Expr]) -> Result<Self> {
        let Some(condition) = conjunction(conditions.to_vec()) else { return Ok(self) };
        let table = self.definition.schema();
        let read = condition.column_refs();
        if read.is_empty() {
            return Ok(self);
        }
        let places = table
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| read.iter().any(|column| column.name() == field.name()));
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        let schema = Arc::new(table.project(&places)?);
        let condition = state.create_physical_expr(condition, &DFSchema::try_from(schema.as_ref().clone())?)?;
        let mut kept = Vec::new();
        let mut rest = std::mem::take(&mut self.batches).into_iter().peekable();
        while rest.peek().is_some() {
            let (mut group, mut values, mut rows) = (Vec::new(), Vec::new(), 0);
            while let Some(batch) = rest.next_if(|next| rows == 0 || rows + next.batch.num_rows() <= BATCH_ROWS) {
                rows += batch.batch.num_rows();
                values.push(self.definition.fitted(&table, &batch.batch)?.project(&places)?);
                group.push(batch);
            }
            let values: RecordBatch =
                if values.len() == 1 { values.remove(0) } else { concat_batches(&schema, &values)? };
            let met = condition.evaluate(&values)?.into_array(rows)?;
            let met = as_boolean_array(&met)?;
            let mut start = 0;
            for batch in group {
                let count = batch.batch.num_rows();
                kept.extend(among(batch, &met.slice(start, count)));
                start += count;
            }
        }
        self.batches = kept;
        Ok(self)
    }
}

/// The rows of a batch that `met` the conditions; `None` where none did.
fn among(rows: BatchRows, met: &BooleanArray) -> Option<BatchRows> {
    let count = met.true_count();
    if count == 0 || count == met.len() {
        return (count > 0).then_some(rows);
    }
    let unmet = (0..met.len()).filter(|row| !met.is_valid(*row) || !met.value(*row));
    let mut dead = DeletionVector(unmet.map(|row| row as u32).collect());
    if let Some(deleted) = &rows.deleted {
        dead.0 |= &deleted.0;
    }
    Some(BatchRows { deleted: Some(Arc::new(dead)), ..rows })
}
