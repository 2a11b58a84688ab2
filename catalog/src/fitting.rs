//! Fitting: rows of an older definition in the columns of the newest.
//!
//! A table's segments, recent rows and changes stay as they were written when its definition changes. Columns are known by their id,
//! which is the Parquet field id in every schema:
//!
//!     written   1 region, 2 amount, 3 note             table   1 zone, 2 amount, 4 tax
//!     fitted    1 as zone, 2 as amount, 4 from its missing value;  3 was dropped and is left out

use crate::definition::{Column, TableDefinition};
use crate::enum_type::retagged;
use crate::ids::ColumnId;
use crate::sql_type::FIELD_ID_KEY;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The id of the column that a field was written for; `None` for a field that is no table's column.
pub fn column_of(field: &Field) -> Option<ColumnId> {
    field.metadata().get(FIELD_ID_KEY)?.parse().ok().map(ColumnId)
}

/// The position of a column in a schema of any age.
pub fn position_in(schema: &Schema, id: ColumnId) -> Option<usize> {
    schema.fields().iter().position(|field| column_of(field) == Some(id))
}

impl Column {
    /// What so many rows have in this column that were written before there was one.
    pub fn missing_rows(&self, rows: usize) -> ArrayRef {
        match &self.missing {
            Some(value) => retagged(&value.repeated(rows), &self.sql_type.data_type()),
            None => new_null_array(&self.sql_type.data_type(), rows),
        }
    }
}

/// Columns of a table from a batch of its rows, whichever definition the batch was written under.
pub fn fitted_columns(batch: &RecordBatch, columns: &[Column]) -> Vec<ArrayRef> {
    let fitted = columns.iter().map(|column| match position_in(batch.schema_ref(), column.id) {
        Some(position) => retagged(batch.column(position), &column.sql_type.data_type()),
        None => column.missing_rows(batch.num_rows()),
    });
    fitted.collect()
}

impl TableDefinition {
    /// The columns of a batch of this table, whichever definition it was written under, in the columns and with the
    /// `schema` of this one, which the caller has at hand.
    pub fn fitted(&self, schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let written = batch.schema_ref();
        if Arc::ptr_eq(written, schema) || written == schema {
            return Ok(batch.clone());
        }
        let columns = fitted_columns(batch, &self.columns);
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
    }
}

#[cfg(test)]
mod tests;
