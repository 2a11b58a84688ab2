//! Intake: rows on their way into a table, from INSERT, UPDATE and COPY alike, once they are checked (`row_rules`).
//!
//! A few rows stay in memory and go inline into the log record. More than that are staged as segments while they still
//! arrive, so memory stays bounded whatever the size. Somewhat more stay in memory too where they scatter over many
//! partitions: their segments would be files of a few rows, each written, synced, opened by every reader and merged again. More than
//! of other statements stay of an UPDATE: its rows leave as many dead ones behind, so that the background will write both anew anyway.
//! Either way nothing is visible before the commit that names them.

use crate::engine::{Engine, storage_error};
use crate::error::{ErrorKind, QueryError};
use crate::keys::log::KeyLog;
use crate::keys::shape::KeyShape;
use crate::transaction::Change;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use catalog::definition::TableDefinition;
use catalog::draft::{Expectation, Op};
use catalog::files::Files;
use catalog::ids::ColumnId;
use catalog::snapshot::TableVersion;
use catalog::temporary::is_temporary_schema;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use storage::partition::Partitioner;
use storage::staging::{PARTITIONS_MAX, Staging};

/// Rows that one commit may put inline into the log.
const INLINE_ROWS_MAX: usize = 8_192;
/// Bytes in memory that one commit may put inline into the log.
const INLINE_BYTES_MAX: usize = 1024 * 1024;
/// The same for rows that scatter over many partitions, and how many of a partition are few.
const SCATTERED_ROWS_MAX: usize = 32_768;
const SCATTERED_BYTES_MAX: usize = 8 * 1024 * 1024;
const SCATTERED_ROWS_PER_PARTITION_MAX: usize = 1_024;
/// Bytes that a transaction's earlier statements may have put inline; beyond it rows are staged from the first one on.
const INLINE_TRANSACTION_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes in memory of rows from many INSERTs of one transaction that go inline into the log. They come in any order, so that segments
/// of them would be many and small.
const INLINE_GATHERED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Rows and bytes in memory of one UPDATE that go inline into the log.
const INLINE_UPDATED_ROWS_MAX: usize = 131_072;
const INLINE_UPDATED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The recent rows of a table beside which an UPDATE has no more than others inline, so that memory stays bounded however fast UPDATEs
/// come.
const RECENT_UPDATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The recent rows of a table beside which nothing else goes inline: rewrites are kept from folding them, so rows are written as segments
/// until those are fewer.
pub(crate) const RECENT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// As many rows are a batch of their own, inline too: it is packed and read by one thread while its columns stay in the processor's cache, and
/// nothing is gained by putting it together with others.
pub(crate) const BATCH_ROWS: usize = 4_096;
/// So many are one too before a batch of [`BATCH_ROWS`], which need not be copied then.
const BATCH_ROWS_BEFORE_MANY: usize = 1_024;
/// Memory for rows that wait for their segment.
const STAGING_BYTES: usize = 512 * 1024 * 1024;

/// Takes batches of a table's schema and stages them.
pub(crate) struct Intake {
    definition: Arc<TableDefinition>,
    data_dir: Arc<Path>,
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
    inline_bytes_max: usize,
    inline_rows_max: usize,
    staging: Option<Staging>,
    rows: u64,
    keys: Vec<KeyLog>,
}

/// The rows that were taken, as a change whose keys are still to be checked.
pub(crate) struct Taken {
    pub rows: u64,
    pub change: Change,
    pub definition: Arc<TableDefinition>,
    pub keys: Vec<KeyLog>,
}

impl Intake {
    pub(crate) fn new(engine: &Engine, definition: Arc<TableDefinition>) -> Result<Self, QueryError> {
        let (shapes, pool) = (KeyShape::of_table(&definition)?.into_iter(), engine.memory_pool());
        let is_full = engine.background.is_full(definition.id);
        Ok(Self {
            keys: shapes.map(|shape| KeyLog::new(&pool, shape)).collect(),
            definition,
            data_dir: Arc::from(engine.catalog.data_dir()),
            waiting: Vec::new(),
            waiting_bytes: 0,
            inline_bytes_max: if is_full { 0 } else { INLINE_BYTES_MAX },
            inline_rows_max: INLINE_ROWS_MAX,
            staging: None,
            rows: 0,
        })
    }

    /// Checks only the keys that have one of these columns: the others stay as they are.
    pub(crate) fn with_keys_of(mut self, changed: &BTreeSet<ColumnId>) -> Self {
        self.keys.retain(|log| log.shape.key.columns.iter().any(|column| changed.contains(column)));
        self
    }

    /// For the new rows of an UPDATE of a table as it is.
    pub(crate) fn updating(self, version: &TableVersion) -> Self {
        if recent_bytes(version) > RECENT_UPDATED_BYTES_MAX {
            return self;
        }
        Self { inline_bytes_max: INLINE_UPDATED_BYTES_MAX, inline_rows_max: INLINE_UPDATED_ROWS_MAX, ..self }
    }

    /// The same beside rows that the transaction has put inline before.
    pub(crate) fn beside(mut self, inline_bytes: usize) -> Self {
        if inline_bytes > INLINE_TRANSACTION_BYTES_MAX {
            self.inline_bytes_max = 0;
        }
        self
    }

    /// For rows that many statements gather, beside those that the transaction has put inline before.
    pub(crate) fn gathering(self, inline_bytes: usize) -> Self {
        if self.inline_bytes_max == 0 {
            return self;
        }
        let inline_bytes_max = INLINE_GATHERED_BYTES_MAX.saturating_sub(inline_bytes);
        Self { inline_bytes_max, inline_rows_max: usize::MAX, ..self }
    }

    /// Whether nothing was taken and a batch of some rows would stay in memory.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0 && self.inline_bytes_max > 0
    }

    /// Takes rows that are already checked. CPU-bound.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), QueryError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        self.keys.iter_mut().try_for_each(|log| log.push(&batch))?;
        if let Some(staging) = &mut self.staging {
            return staging.push(batch).map_err(storage_error);
        }
        self.waiting_bytes += batch.get_array_memory_size();
        self.waiting.push(batch);
        if !self.is_few() && !self.may_be_scattered() {
            self.stage()?;
        }
        Ok(())
    }

    /// Whether the waiting rows go inline into the log wherever they belong.
    fn is_few(&self) -> bool {
        let large = self.waiting_bytes > self.inline_bytes_max && (self.rows > 1 || self.inline_bytes_max == 0);
        self.rows as usize <= self.inline_rows_max && !large
    }

    /// Whether the waiting rows go inline where they scatter.
    fn may_be_scattered(&self) -> bool {
        self.inline_bytes_max > 0
            && !self.definition.partition_by.is_empty()
            && self.rows as usize <= SCATTERED_ROWS_MAX
            && self.waiting_bytes <= SCATTERED_BYTES_MAX
    }

    fn is_scattered(&self) -> Result<bool, QueryError> {
        let mut partitioner = Partitioner::new(&self.definition);
        for batch in &self.waiting {
            partitioner.ordinals(batch).map_err(storage_error)?;
        }
        let partitions = partitioner.keys().len();
        Ok(partitions <= PARTITIONS_MAX && self.rows as usize <= partitions * SCATTERED_ROWS_PER_PARTITION_MAX)
    }

    fn stage(&mut self) -> Result<(), QueryError> {
        let mut staging = Staging::new(Arc::clone(&self.data_dir), Arc::clone(&self.definition), STAGING_BYTES);
        if is_temporary_schema(&self.definition.name.schema) {
            staging = staging.through(Files::unsynced());
        }
        for batch in self.waiting.drain(..) {
            staging.push(batch).map_err(storage_error)?;
        }
        self.staging = Some(staging);
        Ok(())
    }

    /// The rows taken and the change that adds them. CPU-bound: the last segments are written and synced here.
    pub(crate) fn finish(mut self, engine: &Engine) -> Result<Taken, QueryError> {
        if self.staging.is_none() && !self.is_few() && !self.is_scattered()? {
            self.stage()?;
        }
        let table = self.definition.id;
        let fits = Op::Expect { relation: table, that: Expectation::RowsFit(self.definition.version) };
        let (rows, definition, keys) = (self.rows, self.definition, self.keys);
        let taken = |change| Taken { rows, change, definition: Arc::clone(&definition), keys };
        if let Some(staging) = self.staging {
            let staged = staging.finish().map_err(storage_error)?;
            let ops = vec![fits, Op::AddSegments { table, segments: staged.metas() }];
            return Ok(taken(Change { ops, staged: vec![staged], ..Change::default() }));
        }
        if self.waiting.is_empty() {
            return Ok(taken(Change::default()));
        }
        let batches = put_together(&definition.schema(), &self.waiting)
            .map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))?;
        let added = batches.into_iter().map(|batch| {
            let id = engine.catalog.allocate_recent();
            Op::AddRecent { table, id, batch }
        });
        Ok(taken(Change::of(std::iter::once(fits).chain(added).collect())))
    }
}

/// The rows of batches in their order, in batches of at least [`BATCH_ROWS`] rows, save the last and those that stand before a batch of
/// as many.
fn put_together(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
    let (mut together, mut rows) = (Vec::new(), 0);
    let mut rest = batches;
    for (place, batch) in batches.iter().enumerate() {
        rows += batch.num_rows();
        let many_follow = batches.get(place + 1).is_some_and(|next| next.num_rows() >= BATCH_ROWS);
        let are_enough = rows >= if many_follow { BATCH_ROWS_BEFORE_MANY } else { BATCH_ROWS };
        if !are_enough && place + 1 < batches.len() {
            continue;
        }
        let (some, others) = rest.split_at(rest.len() - (batches.len() - place - 1));
        together.push(match some {
            [only] => only.clone(),
            some => concat_batches(schema, some)?,
        });
        (rest, rows) = (others, 0);
    }
    Ok(together)
}

/// Memory of a table's recent rows.
pub(crate) fn recent_bytes(version: &TableVersion) -> usize {
    version.recent.iter().map(|recent| recent.batch.get_array_memory_size()).sum()
}

#[cfg(test)]
mod tests;
