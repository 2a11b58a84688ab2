//! Grouping: the rows of one batch, partition after partition.
//!
//! Rows that come in no order are scattered over all partitions. Fetching a partition's rows straight from a gigabyte of
//! batches misses the cache for every value; grouping each batch first, while it fits the cache, makes every partition a
//! few contiguous runs (a radix partitioning step). Text moves along with its rows, for the same reason.

use crate::partition::Ordinals;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use std::sync::Arc;

/// A batch whose rows are in order of their partitions, and otherwise in the order they had.
pub(crate) struct GroupedBatch {
    batch: RecordBatch,
    /// By ascending ordinal.
    runs: Vec<Run>,
}

/// Neighbouring rows of one partition.
struct Run {
    ordinal: u32,
    start: usize,
    rows: usize,
}

impl GroupedBatch {
    /// Groups a batch by the partitions of its rows, all of which are below `partitions`.
    pub(crate) fn new(batch: RecordBatch, ordinals: &Ordinals, partitions: usize) -> Result<Self, ArrowError> {
        let ordinals = match ordinals {
            Ordinals::One(ordinal) => {
                let run = Run { ordinal: *ordinal, start: 0, rows: batch.num_rows() };
                return Ok(Self { batch, runs: vec![run] });
            }
            Ordinals::Each(ordinals) => ordinals,
        };
        // A counting sort.
        let mut next = vec![0u32; partitions];
        for &ordinal in ordinals {
            next[ordinal as usize] += 1;
        }
        let mut runs = Vec::new();
        let mut start = 0;
        for (ordinal, slot) in (0u32..).zip(&mut next).filter(|(_, count)| **count > 0) {
            let rows = *slot as usize;
            *slot = start as u32;
            runs.push(Run { ordinal, start, rows });
            start += rows;
        }
        let mut order = vec![0u32; ordinals.len()];
        for (row, &ordinal) in (0u32..).zip(ordinals) {
            let slot = &mut next[ordinal as usize];
            order[*slot as usize] = row;
            *slot += 1;
        }
        let batch = compact(take_record_batch(&batch, &UInt32Array::from(order))?)?;
        Ok(Self { batch, runs })
    }

    /// The rows of one partition.
    pub(crate) fn rows_of(&self, ordinal: u32) -> Option<RecordBatch> {
        let run = &self.runs[self.runs.binary_search_by_key(&ordinal, |run| run.ordinal).ok()?];
        Some(self.batch.slice(run.start, run.rows))
    }

    /// The partitions that have rows here.
    pub(crate) fn ordinals(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().map(|run| run.ordinal)
    }
}

/// The same rows with their text in order, and without the text that only other rows need.
pub fn compact(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View if !column.as_string_view().data_buffers().is_empty() => {
            Arc::new(column.as_string_view().gc()) as ArrayRef
        }
        DataType::BinaryView if !column.as_binary_view().data_buffers().is_empty() => {
            Arc::new(column.as_binary_view().gc()) as ArrayRef
        }
        _ => column.clone(),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns.collect(), &options)
}
