//! The writer of UPDATE and DELETE: notes the places of the rows that were found, and takes in what they become.

use super::{Planned, delete_op};
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::intake::{Intake, Taken};
use crate::returning::{Extra, with_extras};
use crate::row_rules::RowRules;
use crate::session::Session;
use crate::transaction::Change;
use arrow::array::{ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, UInt32Type};
use catalog::definition::TableDefinition;
use catalog::snapshot::TableVersion;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes the rows that were found.
pub(super) struct Writer {
    table: Arc<TableDefinition>,
    version: Arc<TableVersion>,
    /// The places of rows that are changed, by part.
    pub(super) found: BTreeMap<u32, RoaringBitmap>,
    /// What an UPDATE's new rows must keep, and where they go.
    added: Option<(Arc<RowRules>, Intake)>,
    extras: Option<Vec<Extra>>,
    returned: Vec<RecordBatch>,
}

impl Writer {
    pub(super) fn new(session: &Session, planned: &Planned, rules: Option<Arc<RowRules>>) -> Result<Self, QueryError> {
        let added = rules.map(|rules| {
            let intake = Intake::new(&session.engine, Arc::clone(&planned.table))?.updating(&planned.version);
            Ok::<_, QueryError>((rules, intake.beside(session.inline_bytes()).with_keys_of(&planned.changed)))
        });
        Ok(Self {
            table: Arc::clone(&planned.table),
            version: Arc::clone(&planned.version),
            found: BTreeMap::new(),
            added: added.transpose()?,
            extras: planned.returning.as_ref().map(|(_, extras)| extras.clone()),
            returned: Vec::new(),
        })
    }

    /// Takes a batch of the modification's query. CPU-bound.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let first = self.note_places(batch);
        let count = self.table.columns.len();
        if self.added.is_none() && self.extras.is_none() {
            return Ok(());
        }
        let batch = if first.false_count() == 0 {
            batch.clone()
        } else {
            filter_record_batch(batch, &first).map_err(|error| translate(error.into(), None))?
        };
        let values = self.table.columns.iter().zip(&batch.columns()[2..]).map(|(column, array)| {
            arrow::compute::cast(array, &column.sql_type.data_type()).map_err(|error| translate(error.into(), None))
        });
        let values = values.collect::<Result<Vec<ArrayRef>, _>>()?;
        let rows = match &self.added {
            Some((rules, _)) => rules.checked(values).map_err(|violation| violation.error)?,
            None => RecordBatch::try_new(self.table.schema(), values).map_err(|error| translate(error.into(), None))?,
        };
        if let Some(extras) = &self.extras {
            self.returned.push(with_extras(&rows, &self.table, extras, &batch.columns()[2 + count..])?);
        }
        match &mut self.added {
            Some((_, intake)) => intake.push(rows),
            None => Ok(()),
        }
    }

    /// Notes where rows are, and which of them are met for the first time.
    fn note_places(&mut self, batch: &RecordBatch) -> BooleanArray {
        let parts = batch.column(0).as_primitive::<UInt32Type>().values();
        let rows = batch.column(1).as_primitive::<Int64Type>().values();
        let mut first = BooleanBufferBuilder::new(batch.num_rows());
        let mut start = 0;
        while start < parts.len() {
            let is_next = |place: &usize| parts[*place] == parts[start] && rows[*place] == rows[*place - 1] + 1;
            let end = (start + 1..parts.len()).take_while(is_next).last().unwrap_or(start) + 1;
            let found = self.found.entry(parts[start]).or_default();
            let run = rows[start] as u32..=rows[end - 1] as u32;
            if found.range_cardinality(run.clone()) == 0 {
                found.insert_range(run);
                first.append_n(end - start, true);
            } else {
                run.for_each(|row| first.append(found.insert(row)));
            }
            start = end;
        }
        BooleanArray::new(first.finish(), None)
    }

    /// The change that all of it is, and the rows for RETURNING: the table's columns and the extras. CPU-bound: the last new
    /// segments are written here.
    pub(super) fn finish(mut self, engine: &Engine) -> Result<(Taken, Vec<RecordBatch>), QueryError> {
        // As runs, so that the log's record stays small.
        for rows in self.found.values_mut() {
            rows.optimize();
        }
        let rows = self.found.values().map(RoaringBitmap::len).sum();
        let mut change = Change::default();
        if rows > 0 {
            change.ops.push(delete_op(&self.version, self.found));
        }
        let mut keys = Vec::new();
        if let Some((_, intake)) = self.added {
            let added = intake.finish(engine)?;
            change.ops.extend(added.change.ops);
            change.staged.extend(added.change.staged);
            keys = added.keys;
        }
        Ok((Taken { rows, change, definition: self.table, keys }, self.returned))
    }
}
