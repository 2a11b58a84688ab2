//! What a COPY … ON_CONFLICT remembers: the keys that it met, once each, and rows whose key came before.
//!
//! Both count against the budget of the process with what they hold, and no more: a key that is known already costs nothing, and of rows
//! that are kept their own values alone are. What does not fit is refused with 53200.

use super::shape::internal;
use super::upsert::KeyBytes;
use crate::engine_error::translate;
use crate::error::QueryError;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Later rows are put together when so many of them, and as many again as are the last of their key, have a later one themselves.
const SUPERSEDED_ROWS_MAX: usize = 8_192;
/// Memory for keys is asked for in steps of this size.
const STEP_BYTES: usize = 64 * 1024;

/// Keys of one constraint.
pub(super) struct KnownKeys {
    keys: HashSet<KeyBytes>,
    bytes: usize,
    memory: MemoryReservation,
}

impl KnownKeys {
    pub(super) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        let memory = MemoryConsumer::new("keys of COPY … ON_CONFLICT").register(pool);
        Self { keys: HashSet::new(), bytes: 0, memory }
    }

    pub(super) fn contains(&self, key: &KeyBytes) -> bool {
        self.keys.contains(key)
    }

    /// Whether the key was not known before.
    pub(super) fn insert(&mut self, key: &KeyBytes) -> Result<bool, QueryError> {
        if self.keys.contains(key) {
            return Ok(false);
        }
        self.bytes += bytes_of(key);
        if self.bytes > self.memory.size() {
            let step = (self.bytes - self.memory.size()).max(STEP_BYTES);
            self.memory.try_grow(step).map_err(|error| translate(error, None))?;
        }
        self.keys.insert(key.clone());
        Ok(true)
    }
}

/// Rows whose key a row before them has, in the order in which they came.
pub(super) struct LaterRows {
    batches: Vec<RecordBatch>,
    /// The last row of each key.
    last: HashMap<KeyBytes, (usize, usize)>,
    rows: usize,
    row_bytes: usize,
    key_bytes: usize,
    memory: MemoryReservation,
}

impl LaterRows {
    pub(super) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        let memory = MemoryConsumer::new("later rows of COPY … ON_CONFLICT").register(pool);
        Self { batches: Vec::new(), last: HashMap::new(), rows: 0, row_bytes: 0, key_bytes: 0, memory }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Whether a later row has the key.
    pub(super) fn has(&self, key: &KeyBytes) -> bool {
        self.last.contains_key(key)
    }

    pub(super) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Keeps those rows of a batch that are chosen, given the keys of all of its rows.
    pub(super) fn keep(
        &mut self,
        batch: &RecordBatch,
        chosen: &BooleanArray,
        keys: &[Option<KeyBytes>],
    ) -> Result<(), QueryError> {
        // Without this each row would keep the texts of its whole batch.
        let later = filter_record_batch(batch, chosen).and_then(storage::compact).map_err(internal)?;
        let number = self.batches.len();
        let of_chosen = keys.iter().enumerate().filter(|(row, _)| chosen.value(*row));
        for (row, (_, key)) in of_chosen.enumerate() {
            let Some(key) = key else { continue };
            if self.last.insert(key.clone(), (number, row)).is_none() {
                self.key_bytes += bytes_of(key) + size_of::<(usize, usize)>();
            }
        }
        self.rows += later.num_rows();
        self.row_bytes += later.get_array_memory_size();
        self.batches.push(later);
        if self.rows > 2 * self.last.len() + SUPERSEDED_ROWS_MAX { self.compact() } else { self.count() }
    }

    /// Keeps the last row of each key alone, in their order.
    pub(super) fn compact(&mut self) -> Result<(), QueryError> {
        let mut kept: Vec<(&KeyBytes, (usize, usize))> = self.last.iter().map(|(key, place)| (key, *place)).collect();
        kept.sort_by_key(|(_, place)| *place);
        let places: Vec<(usize, usize)> = kept.iter().map(|(_, place)| *place).collect();
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &places).and_then(storage::compact).map_err(internal)?;
        self.last = kept.into_iter().enumerate().map(|(row, (key, _))| (key.clone(), (0, row))).collect();
        self.rows = rows.num_rows();
        self.row_bytes = rows.get_array_memory_size();
        self.batches = vec![rows];
        self.count()
    }

    /// Gives the rows away.
    pub(super) fn take(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.batches)
    }

    fn count(&mut self) -> Result<(), QueryError> {
        self.memory.try_resize(self.row_bytes + self.key_bytes).map_err(|error| translate(error, None))
    }
}

fn bytes_of(key: &KeyBytes) -> usize {
    size_of::<KeyBytes>() + if key.spilled() { key.len() } else { 0 }
}

#[cfg(test)]
mod tests;
