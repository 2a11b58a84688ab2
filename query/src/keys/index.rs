//! Indexes: the digests of a part's keys in order, each with its row.
//!
//! A part is a segment or a batch of recent rows. Parts never change, so an index is right for as long as its part
//! exists; which of its rows are dead is the table version's to say. Indexes are made from the key columns alone when
//! they are first asked for, and the least used go when the cache is full.

use super::shape::{KeyShape, internal};
use crate::engine::storage_error;
use crate::error::QueryError;
use crate::memory::cache_bytes;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat, filter};
use catalog::definition::{Column, TableDefinition};
use catalog::draft::select_rows;
use catalog::fitting::fitted_columns;
use catalog::ids::{CommitSeq, ObjectId, RecentId, SegmentId};
use catalog::keys::place_of;
use catalog::segment::{DeletionVector, LiveSegment, SegmentMeta};
use catalog::snapshot::RecentBatch;
use moka::sync::Cache;
use roaring::RoaringBitmap;
use std::sync::Arc;
use storage::reader::SegmentStore;

/// The memory for indexes: the keys of 32 million rows at least that come in order, two thirds of that where they do
/// not.
const CACHE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where rows of a table lie, with those that are dead.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Segment(LiveSegment),
    Recent(Arc<RecentBatch>),
}

/// A part's name. A transaction's batches may grow under their id until it commits, so their length belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PartId {
    Segment(SegmentId),
    Recent(RecentId, usize),
}

/// The digests of one part in order.
pub(crate) struct KeyIndex {
    digests: Vec<u64>,
    /// The row of each digest; `None` where they are in the order of the rows.
    rows: Option<Vec<u32>>,
}

/// The columns of a key, batch by batch.
pub(crate) type KeyColumns = Box<dyn Iterator<Item = Result<Vec<ArrayRef>, QueryError>>>;

/// The indexes that were asked for lately.
pub(crate) struct KeyIndexes {
    store: Arc<SegmentStore>,
    cache: Cache<(PartId, ObjectId), Arc<KeyIndex>>,
}

impl Part {
    fn id(&self) -> PartId {
        match self {
            Self::Segment(segment) => PartId::Segment(segment.meta.id),
            Self::Recent(recent) => PartId::Recent(recent.id, recent.batch.num_rows()),
        }
    }

    pub(crate) fn is_live(&self, row: u32) -> bool {
        let deleted = match self {
            Self::Segment(segment) => &segment.deleted,
            Self::Recent(recent) => &recent.deleted,
        };
        deleted.as_ref().is_none_or(|dead| !dead.0.contains(row))
    }
}

impl KeyIndex {
    /// Takes the digests of a part's rows in order, batch by batch.
    pub(super) fn of(
        batches: impl Iterator<Item = Result<(Vec<u64>, Option<NullBuffer>), QueryError>>,
    ) -> Result<Self, QueryError> {
        let mut pairs: Vec<(u64, u32)> = Vec::new();
        let mut row = 0;
        for batch in batches {
            let (digests, nulls) = batch?;
            for (index, digest) in digests.into_iter().enumerate() {
                if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(index)) {
                    pairs.push((digest, row));
                }
                row += 1;
            }
        }
        let in_order = pairs.len() == row as usize && pairs.is_sorted();
        if !in_order {
            pairs.sort_unstable();
        }
        let rows = (!in_order).then(|| pairs.iter().map(|(_, row)| *row).collect());
        Ok(Self { digests: pairs.into_iter().map(|(digest, _)| digest).collect(), rows })
    }

    fn bytes(&self) -> usize {
        size_of_val(self.digests.as_slice()) + self.rows.as_ref().map_or(0, |rows| size_of_val(rows.as_slice()))
    }

    fn row(&self, place: usize) -> u32 {
        self.rows.as_ref().map_or(place as u32, |rows| rows[place])
    }

    /// The rows with a digest.
    pub(crate) fn rows_of(&self, digest: u64) -> impl Iterator<Item = u32> {
        let start = self.digests.partition_point(|other| *other < digest);
        let same = self.digests[start..].iter().take_while(move |other| **other == digest);
        same.enumerate().map(move |(offset, _)| self.row(start + offset))
    }

    /// Calls `found` with each digest that `sorted` shares and its row. Costs as much as looking up the fewer in the
    /// more.
    pub(crate) fn meet(&self, sorted: &[u64], mut found: impl FnMut(u64, u32)) {
        if sorted.len() <= self.digests.len() {
            let mut start = 0;
            for digest in sorted {
                start += place_of(&self.digests[start..], *digest);
                let same = self.digests[start..].iter().take_while(|other| *other == digest);
                same.enumerate().for_each(|(offset, _)| found(*digest, self.row(start + offset)));
            }
        } else {
            let mut start = 0;
            for (place, digest) in self.digests.iter().enumerate() {
                start += place_of(&sorted[start..], *digest);
                if sorted.get(start) == Some(digest) {
                    found(*digest, self.row(place));
                }
            }
        }
    }
}

impl KeyIndexes {
    /// Indexes over a store's segments, in a process that may use `memory_bytes`.
    pub(crate) fn new(store: Arc<SegmentStore>, memory_bytes: usize) -> Self {
        let cache = Cache::builder()
            .max_capacity(cache_bytes(memory_bytes, CACHE_BYTES_MAX))
            .weigher(|_, index: &Arc<KeyIndex>| u32::try_from(index.bytes() + 128).unwrap_or(u32::MAX))
            .build();
        Self { store, cache }
    }

    /// The index of a part by one key. Reads and blocks where it is not at hand.
    pub(crate) fn of(&self, part: &Part, shape: &KeyShape) -> Result<Arc<KeyIndex>, QueryError> {
        let name = (part.id(), shape.key.id);
        if let Some(index) = self.cache.get(&name) {
            return Ok(index);
        }
        let index = Arc::new(match part {
            Part::Segment(segment) => {
                let batches = self.read(&segment.meta, shape)?;
                KeyIndex::of(batches.map(|columns| shape.digests(&columns?)))?
            }
            Part::Recent(recent) => {
                let columns = fitted_columns(&recent.batch, &shape.columns);
                KeyIndex::of(std::iter::once(shape.digests(&columns)))?
            }
        });
        self.cache.insert(name, Arc::clone(&index));
        Ok(index)
    }

    /// The key's columns of some rows of a part, in their order.
    pub(crate) fn keys_at(
        &self,
        part: &Part,
        rows: &RoaringBitmap,
        shape: &KeyShape,
    ) -> Result<Vec<ArrayRef>, QueryError> {
        self.read_rows(part, rows, &shape.columns)
    }

    /// Some rows of a part, in their order.
    pub(crate) fn rows_at(
        &self,
        part: &Part,
        rows: &RoaringBitmap,
        definition: &TableDefinition,
    ) -> Result<RecordBatch, QueryError> {
        let columns = self.read_rows(part, rows, &definition.columns)?;
        RecordBatch::try_new(definition.schema(), columns).map_err(internal)
    }

    fn read_rows(&self, part: &Part, rows: &RoaringBitmap, columns: &[Column]) -> Result<Vec<ArrayRef>, QueryError> {
        match part {
            Part::Segment(segment) => {
                let batches = self.read_columns(&LiveSegment::of_rows(&segment.meta, rows), columns)?;
                let batches = batches.collect::<Result<Vec<_>, _>>()?;
                let columns = (0..columns.len()).map(|column| {
                    let arrays: Vec<&dyn Array> = batches.iter().map(|columns| columns[column].as_ref()).collect();
                    concat(&arrays).map_err(internal)
                });
                columns.collect()
            }
            Part::Recent(recent) => {
                let batch = select_rows(&recent.batch, &DeletionVector(rows.clone()));
                Ok(fitted_columns(&batch, columns))
            }
        }
    }

    /// The key's columns of a part's live rows, batch by batch.
    pub(crate) fn live(&self, part: &Part, shape: &KeyShape) -> Result<KeyColumns, QueryError> {
        match part {
            Part::Segment(segment) => {
                let batches = self.store.read_columns(segment, shape.columns.clone()).map_err(storage_error)?;
                Ok(Box::new(batches.map(|columns| columns.map_err(storage_error))))
            }
            Part::Recent(recent) => {
                let columns = fitted_columns(&recent.batch, &shape.columns);
                let columns: Result<Vec<ArrayRef>, QueryError> = match &recent.deleted {
                    None => Ok(columns),
                    Some(dead) => {
                        let live = dead.inverse_mask(recent.batch.num_rows());
                        columns.iter().map(|column| filter(column, &live).map_err(internal)).collect()
                    }
                };
                Ok(Box::new(std::iter::once(columns)))
            }
        }
    }

    /// The key's columns of a segment, batch by batch.
    pub(crate) fn read(
        &self,
        meta: &Arc<SegmentMeta>,
        shape: &KeyShape,
    ) -> Result<impl Iterator<Item = Result<Vec<ArrayRef>, QueryError>> + use<>, QueryError> {
        let whole = LiveSegment { meta: Arc::clone(meta), added: CommitSeq(0), deleted: None };
        self.read_columns(&whole, &shape.columns)
    }

    /// Columns of a segment's live rows, batch by batch.
    fn read_columns(
        &self,
        segment: &LiveSegment,
        columns: &[Column],
    ) -> Result<impl Iterator<Item = Result<Vec<ArrayRef>, QueryError>> + use<>, QueryError> {
        let batches = self.store.read_columns(segment, columns.to_vec()).map_err(storage_error)?;
        Ok(batches.map(|columns| columns.map_err(storage_error)))
    }
}
