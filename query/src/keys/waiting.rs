//! The keys of rows that wait in their transaction to become a batch (see `row_inserts`).
//!
//! A row may wait only if its keys are free: no live row of the table that its statement reads has them, no row that waits, and
//! no other row of its statement. Digests decide, so a row whose digest is met by chance does not wait either; the long way tells
//! whether its key is taken.

use super::index::{KeyIndexes, Part};
use super::log::KeyLog;
use super::shape::KeyShape;
use crate::error::QueryError;
use crate::transaction::NewKeys;
use arrow::array::RecordBatch;
use catalog::definition::TableDefinition;
use catalog::ids::ObjectId;
use catalog::snapshot::TableVersion;
use datafusion::execution::memory_pool::MemoryPool;
use std::collections::HashSet;
use std::sync::Arc;

/// The keys of one table's waiting rows.
#[derive(Debug)]
pub(crate) struct WaitingKeys {
    table: ObjectId,
    of_shapes: Vec<(Arc<KeyShape>, HashSet<u64>)>,
}

/// The keys of a statement's rows, one log for each shape.
pub(crate) struct StatementKeys(Vec<KeyLog>);

impl StatementKeys {
    /// Whether comparing them reads files; then it is work for a computing thread.
    pub(crate) fn meets_segments(&self, version: &TableVersion) -> bool {
        let met = |log: &KeyLog| version.segments.values().any(|segment| log.overlaps(&segment.meta));
        self.0.iter().any(met)
    }
}

impl WaitingKeys {
    pub(crate) fn new(definition: &TableDefinition) -> Result<Self, QueryError> {
        let of_shapes = KeyShape::of_table(definition)?.into_iter().map(|shape| (shape, HashSet::new()));
        Ok(Self { table: definition.id, of_shapes: of_shapes.collect() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of_shapes.is_empty()
    }

    /// The keys of rows in the table's schema.
    pub(crate) fn of_rows(&self, pool: &Arc<dyn MemoryPool>, rows: &RecordBatch) -> Result<StatementKeys, QueryError> {
        let logs = self.of_shapes.iter().map(|(shape, _)| {
            let mut log = KeyLog::new(pool, Arc::clone(shape));
            log.push(rows).map(|()| log)
        });
        logs.collect::<Result<_, _>>().map(StatementKeys)
    }

    /// Takes the keys in if they are free, and says whether they are. CPU-bound, and it may read.
    pub(crate) fn admit(
        &mut self,
        indexes: &KeyIndexes,
        version: &TableVersion,
        mut keys: StatementKeys,
    ) -> Result<bool, QueryError> {
        let mut admitted = Vec::with_capacity(keys.0.len());
        for ((_, waiting), log) in self.of_shapes.iter().zip(&mut keys.0) {
            let sorted = log.sorted()?;
            let is_known = sorted.iter().any(|digest| waiting.contains(digest));
            if is_known || !log.repeated(&sorted).is_empty() || is_taken(indexes, version, log, &sorted)? {
                return Ok(false);
            }
            admitted.push(sorted);
        }
        for ((_, waiting), sorted) in self.of_shapes.iter_mut().zip(admitted) {
            waiting.extend(sorted.iter());
        }
        Ok(true)
    }

    /// The keys as a change has them.
    pub(crate) fn into_new_keys(self) -> Vec<NewKeys> {
        let table = self.table;
        let new_keys = self.of_shapes.into_iter().filter(|(_, digests)| !digests.is_empty());
        let new_keys = new_keys.map(|(shape, digests)| {
            let mut digests: Vec<u64> = digests.into_iter().collect();
            digests.sort_unstable();
            NewKeys { table, constraint: shape.key.id, digests: digests.into() }
        });
        new_keys.collect()
    }
}

/// Whether a live row of the table has one of the digests.
fn is_taken(indexes: &KeyIndexes, version: &TableVersion, log: &KeyLog, sorted: &[u64]) -> Result<bool, QueryError> {
    let segments = version.segments.values().filter(|segment| log.overlaps(&segment.meta));
    let parts = segments.cloned().map(Part::Segment);
    for part in parts.chain(version.recent.iter().cloned().map(Part::Recent)) {
        let mut taken = false;
        indexes.of(&part, &log.shape)?.meet(sorted, |_, row| taken |= part.is_live(row));
        if taken {
            return Ok(true);
        }
    }
    Ok(false)
}
