//! Checking a segment: is the file what its commit said, and are its rows what a segment promises?
//!
//! The bytes are compared with their checksum first. What passes can still be wrong where the writer was: so the rows are counted,
//! each must belong to the segment's partition, and they must ascend by the table's sort key.

use crate::error::StorageError;
use crate::partition::{Ordinals, Partitioner, key_bytes};
use crate::reader::SegmentStore;
use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use catalog::definition::TableDefinition;
use catalog::ids::CommitSeq;
use catalog::segment::{LiveSegment, SegmentMeta};
use std::sync::Arc;

/// Reads all of a segment of `definition`'s table, dead rows too.
pub fn check_segment(
    store: &SegmentStore,
    definition: &TableDefinition,
    meta: &Arc<SegmentMeta>,
) -> Result<(), StorageError> {
    store.verify(meta)?;
    let corrupted = |detail: String| StorageError::corrupted(&meta.path, detail);
    let mut partitioner = Partitioner::new(definition);
    let mut order = Order::new(definition).map_err(|error| corrupted(error.to_string()))?;
    let mut rows = 0;
    let whole = LiveSegment { meta: meta.clone(), added: CommitSeq(0), deleted: None };
    let schema = definition.schema();
    for batch in store.read_segment(&whole, None)? {
        let batch = definition.fitted(&schema, &batch?).map_err(|error| corrupted(error.to_string()))?;
        rows += batch.num_rows();
        if !is_of_partition(&mut partitioner, &batch, meta)? {
            return Err(corrupted(format!("it holds rows of other partitions than {}", meta.partition)));
        }
        if !order.continues(&batch).map_err(|error| corrupted(error.to_string()))? {
            return Err(corrupted("its rows are not sorted".to_string()));
        }
    }
    if rows != meta.rows as usize {
        return Err(corrupted(format!("it holds {rows} rows instead of {}", meta.rows)));
    }
    Ok(())
}

fn is_of_partition(
    partitioner: &mut Partitioner,
    batch: &RecordBatch,
    meta: &SegmentMeta,
) -> Result<bool, StorageError> {
    let mut seen = match partitioner.ordinals(batch)? {
        Ordinals::One(ordinal) => vec![ordinal],
        Ordinals::Each(ordinals) => ordinals,
    };
    seen.sort_unstable();
    seen.dedup();
    let expected = key_bytes(&meta.partition);
    Ok(seen.into_iter().all(|ordinal| key_bytes(&partitioner.keys()[ordinal as usize]) == expected))
}

/// Follows whether rows ascend from batch to batch.
struct Order {
    positions: Vec<usize>,
    converter: RowConverter,
    last: Option<OwnedRow>,
}

impl Order {
    fn new(definition: &TableDefinition) -> Result<Self, ArrowError> {
        let schema = definition.schema();
        let positions: Vec<usize> =
            definition.order_by.iter().filter_map(|column| definition.position(*column)).collect();
        let options = SortOptions { descending: false, nulls_first: false };
        let field =
            |position: &usize| SortField::new_with_options(schema.field(*position).data_type().clone(), options);
        let converter = RowConverter::new(positions.iter().map(field).collect())?;
        Ok(Self { positions, converter, last: None })
    }

    fn continues(&mut self, batch: &RecordBatch) -> Result<bool, ArrowError> {
        if self.positions.is_empty() || batch.num_rows() == 0 {
            return Ok(true);
        }
        let columns: Vec<_> = self.positions.iter().map(|position| batch.column(*position).clone()).collect();
        let rows = self.converter.convert_columns(&columns)?;
        let after_last = self.last.as_ref().is_none_or(|last| last.row() <= rows.row(0));
        self.last = Some(rows.row(rows.num_rows() - 1).owned());
        Ok(after_last && (1..rows.num_rows()).all(|row| rows.row(row - 1) <= rows.row(row)))
    }
}
