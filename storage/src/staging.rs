//! Staging: many batches in any order become sorted, synced segments that nobody sees yet.
//!
//!     push ─▶ buffered batches, rows counted by partition ─over budget, or finish─▶ group ─▶ sort ─▶ gather ─▶ encode ─▶ sync
//!                                                                                 by batch  └──── by partition ────┘   beside it
//!
//! Over its budget a staging writes the largest partitions until three quarters of the rows are gone, so that rows that
//! come in date order leave in whole partitions and rows that come in no order make few files. The rest is copied
//! together and stays.
//!
//! Invariants: memory is bounded by the budget and one batch, plus what the encoders hold ([`WRITE_ROWS`] rows and one
//! encoded row group for each core). Until [`StagedSegments::keep`], dropping what this module returns deletes every file.
//! The calls compute and block; callers run them on a thread for that.

use crate::error::StorageError;
use crate::gather::{Address, addresses, gather, sort};
use crate::grouping::{GroupedBatch, compact};
use crate::partition::{Ordinals, Partitioner};
use crate::segment::{SEGMENT_ROWS_MAX, SegmentWriter, StagedSegment, UnsyncedSegment, sync_directories};
use crate::syncing::synced_beside;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use catalog::definition::TableDefinition;
use catalog::files::Files;
use catalog::segment::SegmentMeta;
use hashbrown::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A partition that one core would write alone is cut into segments of at least this many rows for several.
const PARALLEL_SEGMENT_ROWS_MIN: usize = 262_144;
/// The rows that are gathered and encoded at a time. Gathering goes column by column, and a column of a partition of this
/// size stays in the processor's cache: 16,384 rows at a time were 12 % slower.
const WRITE_ROWS: usize = 131_072;
/// The most partitions that one staging may touch: each becomes a file at least.
pub const PARTITIONS_MAX: usize = 20_000;
/// Batches below this size are put together before they are buffered.
const BATCH_ROWS_MIN: usize = 1024;
const BATCH_ROWS_JOINED: usize = 8192;

/// Takes a table's new rows until [`Staging::finish`].
pub struct Staging {
    data_dir: Arc<Path>,
    files: Files,
    definition: Arc<TableDefinition>,
    schema: SchemaRef,
    sort_columns: Vec<usize>,
    partitioner: Partitioner,
    budget_bytes: usize,
    threads: usize,
    partitions_max: usize,
    /// Small batches that were pushed since the last of [`Self::batches`].
    small: Vec<RecordBatch>,
    batches: Vec<(RecordBatch, Ordinals)>,
    /// How many rows each partition has in [`Self::batches`], by ordinal.
    rows: Vec<usize>,
    buffered_bytes: usize,
    /// Text buffers already counted; batches of one origin share them.
    counted_buffers: HashSet<usize>,
    staged: Vec<StagedSegment>,
}

/// Synced segments that no commit names yet. Dropping them deletes their files.
#[derive(Debug, Default)]
pub struct StagedSegments(Vec<StagedSegment>);

impl StagedSegments {
    /// What a commit says of the segments.
    pub fn metas(&self) -> Vec<Arc<SegmentMeta>> {
        self.0.iter().map(|segment| segment.meta().clone()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn rows(&self) -> u64 {
        self.0.iter().map(|segment| u64::from(segment.meta().rows)).sum()
    }

    /// Leaves the files in place: the commit that names them is durable. To be called before anything can cancel the
    /// caller.
    pub fn keep(self) {
        for segment in self.0 {
            segment.keep();
        }
    }

    /// Joins what two stagings of one commit made.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

impl From<Vec<StagedSegment>> for StagedSegments {
    fn from(segments: Vec<StagedSegment>) -> Self {
        Self(segments)
    }
}

impl Staging {
    /// Rows for `definition`'s table below `data_dir`, buffered in about `budget_bytes` of memory.
    pub fn new(data_dir: Arc<Path>, definition: Arc<TableDefinition>, budget_bytes: usize) -> Self {
        let sort_columns = definition.order_by.iter().filter_map(|column| definition.position(*column)).collect();
        Self {
            data_dir,
            files: Files::default(),
            schema: definition.schema(),
            sort_columns,
            partitioner: Partitioner::new(&definition),
            definition,
            budget_bytes,
            threads: thread::available_parallelism().map_or(1, usize::from),
            partitions_max: PARTITIONS_MAX,
            small: Vec::new(),
            batches: Vec::new(),
            rows: Vec::new(),
            buffered_bytes: 0,
            counted_buffers: HashSet::new(),
            staged: Vec::new(),
        }
    }

    /// Writes through `files` instead of straight to the disk.
    pub fn through(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// Takes rows that the table has already, in however many partitions they are.
    pub fn of_known_rows(mut self) -> Self {
        self.partitions_max = usize::MAX;
        self
    }

    /// Sorts and encodes on at most `threads` threads instead of all cores; one thread makes the fewest segments.
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Bytes of the rows that are buffered.
    pub fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Takes rows of the table's columns, in the table's types. May write segments, when the budget is used up.
    pub fn push(&mut self, batch: RecordBatch) -> Result<(), StorageError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec())
            .map_err(|error| self.internal(error))?;
        self.buffered_bytes += self.count_bytes(&batch);
        if batch.num_rows() < BATCH_ROWS_MIN {
            self.small.push(batch);
            if self.small.iter().map(RecordBatch::num_rows).sum::<usize>() >= BATCH_ROWS_JOINED {
                self.join_small()?;
            }
        } else {
            self.join_small()?;
            self.buffer(batch)?;
        }
        if self.buffered_bytes > self.budget_bytes {
            self.flush(false)?;
            // What is left can be few rows with long values.
            if self.buffered_bytes > self.budget_bytes {
                self.flush(true)?;
            }
        }
        Ok(())
    }

    /// Writes what is buffered. All files and their directories are synced when this returns.
    pub fn finish(mut self) -> Result<StagedSegments, StorageError> {
        self.flush(true)?;
        sync_directories(&self.files, &self.data_dir, self.staged.iter().map(|segment| segment.meta().path.as_str()))?;
        self.staged.sort_by(|left, right| left.meta().path.cmp(&right.meta().path));
        Ok(StagedSegments(self.staged))
    }

    fn internal(&self, detail: impl ToString) -> StorageError {
        StorageError::internal("stage", &self.definition.name.name, detail)
    }

    fn join_small(&mut self) -> Result<(), StorageError> {
        let small = std::mem::take(&mut self.small);
        if small.is_empty() {
            return Ok(());
        }
        let batch = concat_batches(&self.schema, &small).map_err(|error| self.internal(error))?;
        self.buffer(batch)
    }

    fn buffer(&mut self, batch: RecordBatch) -> Result<(), StorageError> {
        let ordinals = self.partitioner.ordinals(&batch)?;
        let partitions = self.partitioner.keys().len();
        if partitions > self.partitions_max {
            let table = self.definition.name.name.clone();
            return Err(StorageError::TooManyPartitions { table, limit: self.partitions_max });
        }
        self.rows.resize(partitions, 0);
        match &ordinals {
            Ordinals::One(ordinal) => self.rows[*ordinal as usize] += batch.num_rows(),
            Ordinals::Each(ordinals) => ordinals.iter().for_each(|ordinal| self.rows[*ordinal as usize] += 1),
        }
        self.batches.push((batch, ordinals));
        Ok(())
    }

    /// The memory that holding a batch takes, its ordinals included; shared text buffers count once.
    fn count_bytes(&mut self, batch: &RecordBatch) -> usize {
        let mut bytes = batch.num_rows() * size_of::<u32>();
        for column in batch.columns() {
            let buffers = match column.data_type() {
                DataType::Utf8View => column.as_string_view().data_buffers(),
                DataType::BinaryView => column.as_binary_view().data_buffers(),
                _ => {
                    bytes += column.to_data().get_slice_memory_size().unwrap_or(0);
                    continue;
                }
            };
            bytes += column.len() * size_of::<u128>() + column.nulls().map_or(0, |_| column.len() / 8);
            let fresh =
                buffers.iter().filter(|buffer| self.counted_buffers.insert(buffer.data_ptr().as_ptr() as usize));
            bytes += fresh.map(|buffer| buffer.capacity()).sum::<usize>();
        }
        bytes
    }

    /// Writes the largest partitions until three quarters of the rows are gone, or everything.
    fn flush(&mut self, everything: bool) -> Result<(), StorageError> {
        self.join_small()?;
        let rows = std::mem::take(&mut self.rows);
        let total: usize = rows.iter().sum();
        let mut largest: Vec<u32> = (0..rows.len() as u32).filter(|ordinal| rows[*ordinal as usize] > 0).collect();
        largest.sort_by_key(|ordinal| std::cmp::Reverse(rows[*ordinal as usize]));
        let mut taken = 0;
        let written = largest.iter().take_while(|ordinal| {
            let wanted = everything || taken * 4 < total * 3;
            taken += rows[**ordinal as usize];
            wanted
        });
        let kept = largest.split_off(written.count());

        let grouped = self.group()?;
        self.buffered_bytes = 0;
        self.counted_buffers.clear();
        let sizes = largest.into_iter().map(|ordinal| (ordinal, rows[ordinal as usize])).collect();
        let staged = self.write(&grouped, sizes)?;
        self.staged.extend(staged);
        for ordinal in kept {
            let parts: Vec<_> = grouped.iter().filter_map(|batch| batch.rows_of(ordinal)).collect();
            let rows = concat_batches(&self.schema, &parts).and_then(compact);
            let rows = rows.map_err(|error| self.internal(error))?;
            self.buffered_bytes += self.count_bytes(&rows);
            self.buffer(rows)?;
        }
        Ok(())
    }

    /// Takes what is buffered, in order of arrival, each batch grouped by partition.
    fn group(&mut self) -> Result<Vec<GroupedBatch>, StorageError> {
        let batches = std::mem::take(&mut self.batches);
        let partitions = self.partitioner.keys().len();
        let numbered = batches.into_iter().enumerate().collect();
        let mut grouped = in_parallel(self.threads, numbered, |(position, (batch, ordinals))| {
            let batch = GroupedBatch::new(batch, &ordinals, partitions).map_err(|error| self.internal(error))?;
            Ok((position, batch))
        })?;
        grouped.sort_by_key(|(position, _)| *position);
        Ok(grouped.into_iter().map(|(_, batch)| batch).collect())
    }

    /// Sorts and writes some partitions, given with their rows, largest first. One core takes one partition; only a
    /// partition that is more than a core's share is cut into segments for all of them.
    fn write(&self, grouped: &[GroupedBatch], sizes: Vec<(u32, usize)>) -> Result<Vec<StagedSegment>, StorageError> {
        let total: usize = sizes.iter().map(|(_, rows)| rows).sum();
        let rows_max = total.div_ceil(self.threads).clamp(PARALLEL_SEGMENT_ROWS_MIN, SEGMENT_ROWS_MAX);
        let (large, small): (Vec<_>, Vec<_>) = sizes.into_iter().partition(|(_, rows)| *rows > rows_max);
        // With one thread nothing goes on beside it.
        let syncing = if self.threads < 2 { 0 } else { self.threads };
        synced_beside(syncing, |sink| {
            for (ordinal, rows) in large {
                let (batches, order) = self.sorted(grouped, ordinal)?;
                let pieces = order.chunks(rows.div_ceil(rows.div_ceil(rows_max))).collect();
                in_parallel(self.threads, pieces, |piece| sink(self.write_segment(ordinal, &batches, piece)?))?;
            }
            in_parallel(self.threads, small, |(ordinal, _)| {
                let (batches, order) = self.sorted(grouped, ordinal)?;
                sink(self.write_segment(ordinal, &batches, &order)?)
            })?;
            Ok(())
        })
    }

    /// The rows of one partition, and their order.
    fn sorted(&self, grouped: &[GroupedBatch], ordinal: u32) -> Result<(Vec<RecordBatch>, Vec<Address>), StorageError> {
        let batches: Vec<_> = grouped.iter().filter_map(|batch| batch.rows_of(ordinal)).collect();
        let order = sort(&batches, &self.sort_columns, addresses(&batches)).map_err(|error| self.internal(error))?;
        Ok((batches, order))
    }

    fn write_segment(
        &self,
        ordinal: u32,
        batches: &[RecordBatch],
        order: &[Address],
    ) -> Result<UnsyncedSegment, StorageError> {
        let key = self.partitioner.keys()[ordinal as usize].clone();
        let mut writer =
            SegmentWriter::new(self.data_dir.clone(), self.definition.clone(), key).through(self.files.clone());
        for addresses in order.chunks(WRITE_ROWS) {
            let rows = gather(&self.schema, batches, addresses).map_err(|error| self.internal(error))?;
            writer.write(&rows)?;
        }
        Ok(writer.close()?.expect("a partition that is written has rows"))
    }
}

/// Does the work on up to `threads` threads; results come in no particular order. The first error ends it.
fn in_parallel<T: Send, R: Send>(
    threads: usize,
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, StorageError> + Sync,
) -> Result<Vec<R>, StorageError> {
    if threads < 2 || items.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    let threads = threads.min(items.len());
    let queue = Mutex::new(items.into_iter());
    let failed = AtomicBool::new(false);
    let run = || {
        let mut results = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let Some(item) = queue.lock().expect("taking an item does not panic").next() else {
                break;
            };
            results.push(work(item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?);
        }
        Ok(results)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let mut results = Vec::new();
        let mut outcome = Ok(());
        for worker in workers {
            match worker.join() {
                Ok(Ok(done)) => results.extend(done),
                Ok(Err(error)) => outcome = Err(error),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        outcome.map(|()| results)
    })
}
