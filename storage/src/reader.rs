//! Reading: segments by what a commit says of them, with footers and open files kept at hand.
//!
//!     SegmentMeta ─▶ SegmentStore ─┬─ reader()       ─▶ CachedReader, for DataFusion's Parquet source
//!                    footers, files├─ read_segment() ─▶ live rows, for folding and compaction
//!                                  └─ verify()       ─▶ the whole file against its checksum
//!
//! A file is checked against its `SegmentMeta` when it is opened (size) and when its footer is read (rows, checksums of its
//! blocks); what is read is checked by block, once (`blocks`). `verify` checks every byte. A reader holds the `Arc<SegmentMeta>`, and so the file cannot be reaped under it. The caches do
//! not hold it: what they keep of reaped segments goes at the next [`SegmentStore::forget_reaped`].
//!
//! Reads are plain `pread`s on the calling thread. Callers compute on a runtime of their own, where a read from the page
//! cache is cheaper than a hop to another thread.

use crate::blocks::{Blocks, without_blocks};
use crate::error::StorageError;
use crate::intervals::{batch_schema, from_segment};
use crate::statistics::without_bounds_beside_nan;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use catalog::definition::Column;
use catalog::enum_type::retagged;
use catalog::fitting::position_in;
use catalog::ids::SegmentId;
use catalog::segment::{DeletionVector, LiveSegment, SegmentMeta};
use futures::FutureExt;
use futures::future::BoxFuture;
use moka::sync::Cache;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

/// The memory for footers with their page indexes, where there is enough.
pub const FOOTERS_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The files that are kept open: well below the 1,024 descriptors that a process usually has.
const FILES_MAX: u64 = 256;
/// Ranges with a gap of at most this many bytes are read at once.
const GAP_BYTES_MAX: u64 = 32 * 1024;
/// The most bytes that are read at once for several ranges.
const READ_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// What a footer takes besides its metadata for each column of its schema, about.
const FOOTER_FIELD_BYTES: usize = 512;
const VERIFY_BYTES: usize = 1024 * 1024;
const READ_ROWS: usize = 16_384;

/// All segments below one data directory.
#[derive(Clone)]
pub struct SegmentStore {
    data_dir: Arc<Path>,
    footers: Cache<SegmentId, Footer>,
    files: Cache<SegmentId, OpenFile>,
}

#[derive(Clone)]
struct Footer {
    metadata: Arc<ParquetMetaData>,
    /// The same with the schema of its rows, once somebody has read some: to make that of many columns takes longer than to decode one.
    arrow: Arc<OnceLock<ArrowReaderMetadata>>,
    /// Empty for a segment without blocks.
    blocks: Arc<Option<Blocks>>,
    segment: Weak<SegmentMeta>,
}

impl Footer {
    fn bytes(&self) -> usize {
        self.metadata.memory_size() + self.metadata.file_metadata().schema_descr().num_columns() * FOOTER_FIELD_BYTES
    }

    fn arrow(&self) -> Result<ArrowReaderMetadata, ParquetError> {
        if let Some(known) = self.arrow.get() {
            return Ok(known.clone());
        }
        let made = ArrowReaderMetadata::try_new(self.metadata.clone(), ArrowReaderOptions::new())?;
        Ok(self.arrow.get_or_init(|| made).clone())
    }
}

#[derive(Clone)]
struct OpenFile {
    file: SegmentFile,
    segment: Weak<SegmentMeta>,
}

/// An open segment file.
#[derive(Clone)]
struct SegmentFile {
    file: Arc<File>,
    bytes: u64,
    /// Set once the footer was read.
    blocks: Arc<OnceLock<Arc<Option<Blocks>>>>,
}

impl SegmentStore {
    /// The store over `data_dir`, which need not hold any segment yet.
    pub fn open(data_dir: impl AsRef<Path>) -> Self {
        Self::open_within(data_dir, FOOTERS_BYTES_MAX)
    }

    /// The same, which keeps at most so many bytes of footers.
    pub fn open_within(data_dir: impl AsRef<Path>, footers_bytes_max: u64) -> Self {
        let footers = Cache::builder()
            .max_capacity(footers_bytes_max)
            .weigher(|_, footer: &Footer| u32::try_from(footer.bytes()).unwrap_or(u32::MAX))
            .build();
        Self { data_dir: data_dir.as_ref().into(), footers, files: Cache::new(FILES_MAX) }
    }

    /// The directory that the paths of segments are relative to.
    pub fn data_dir(&self) -> &Arc<Path> {
        &self.data_dir
    }

    /// A reader of a segment's file for Parquet's asynchronous readers. Its errors are `ParquetError::External` around a
    /// [`StorageError`].
    pub fn reader(&self, meta: &Arc<SegmentMeta>) -> CachedReader {
        CachedReader { store: self.clone(), meta: meta.clone(), file: None }
    }

    /// The footer with its page index.
    pub fn footer(&self, meta: &Arc<SegmentMeta>) -> Result<Arc<ParquetMetaData>, StorageError> {
        self.read_footer(meta).map(|footer| footer.metadata)
    }

    fn read_footer(&self, meta: &Arc<SegmentMeta>) -> Result<Footer, StorageError> {
        if let Some(footer) = self.footers.get(&meta.id) {
            return Ok(footer);
        }
        let file = self.file(meta)?;
        let metadata = parse_footer(&file).map_err(|error| from_reading(error, &meta.path))?;
        let blocks = Blocks::open(&file.file, meta, &metadata).map_err(|error| from_io(error, &meta.path))?;
        let blocks = Arc::new(blocks);
        // Another thread may have been faster; it found the same.
        let _ = file.blocks.set(blocks.clone());
        let metadata = without_bounds_beside_nan(without_blocks(metadata), meta);
        let rows = metadata.file_metadata().num_rows();
        if rows != i64::from(meta.rows) {
            return Err(StorageError::corrupted(&meta.path, format!("it holds {rows} rows instead of {}", meta.rows)));
        }
        let (metadata, arrow) = (Arc::new(metadata), Arc::default());
        let footer = Footer { metadata, arrow, blocks, segment: Arc::downgrade(meta) };
        self.footers.insert(meta.id, footer.clone());
        Ok(footer)
    }

    /// Takes note of what readers of a new segment's rows ask for first, so that the first of them need not. What cannot be read is told to
    /// them.
    pub fn prepare(&self, meta: &Arc<SegmentMeta>) {
        if let Err(error) = self.arrow_footer(meta) {
            tracing::warn!(path = %meta.path, %error, "the footer of a new segment cannot be read");
        }
    }

    /// The footer as readers of rows take it.
    fn arrow_footer(&self, meta: &Arc<SegmentMeta>) -> Result<ArrowReaderMetadata, StorageError> {
        self.read_footer(meta)?.arrow().map_err(|error| from_reading(error, &meta.path))
    }

    /// The live rows of a segment in their order, all columns or those at `projection` in its order. The columns are
    /// those of the definition that the segment was written under; see [`catalog::fitting`].
    pub fn read_segment(
        &self,
        segment: &LiveSegment,
        projection: Option<&[usize]>,
    ) -> Result<SegmentRows, StorageError> {
        let meta = &segment.meta;
        let corrupted = |error: ParquetError| from_reading(error, &meta.path);
        let arrow_metadata = self.arrow_footer(meta)?;
        let full_schema = arrow_metadata.schema().clone();
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file(meta)?, arrow_metadata)
            .with_batch_size(READ_ROWS);
        if let Some(deleted) = &segment.deleted {
            builder = builder.with_row_selection(row_selection(meta.rows, deleted));
        }
        let mut order = None;
        let mut schema = full_schema.clone();
        if let Some(positions) = projection {
            let mask = ProjectionMask::roots(builder.parquet_schema(), positions.iter().copied());
            builder = builder.with_projection(mask);
            // The reader gives columns in the file's order, each once.
            let mut in_file: Vec<usize> = positions.to_vec();
            in_file.sort_unstable();
            in_file.dedup();
            order = Some(positions.iter().filter_map(|wanted| in_file.binary_search(wanted).ok()).collect());
            schema =
                Arc::new(full_schema.project(positions).map_err(|error| StorageError::corrupted(&meta.path, error))?);
        }
        let rows = builder.build().map_err(corrupted)?;
        Ok(SegmentRows { rows, order, schema: batch_schema(&schema), meta: meta.clone() })
    }

    /// Columns of a table from the live rows of a segment, in their order, whichever definition the segment was written
    /// under. A column that came later has its missing value.
    pub fn read_columns(
        &self,
        segment: &LiveSegment,
        columns: Vec<Column>,
    ) -> Result<impl Iterator<Item = Result<Vec<ArrayRef>, StorageError>> + use<>, StorageError> {
        let written = self.arrow_footer(&segment.meta)?;
        let written = written.schema();
        let places: Vec<Option<usize>> = columns.iter().map(|column| position_in(written, column.id)).collect();
        let present: Vec<usize> = places.iter().copied().flatten().collect();
        let batches = self.read_segment(segment, Some(&present))?;
        Ok(batches.map(move |batch| {
            let batch = batch?;
            let mut read = batch.columns().iter();
            let fitted = columns.iter().zip(&places).map(|(column, place)| match place.and_then(|_| read.next()) {
                Some(array) => retagged(array, &column.sql_type.data_type()),
                None => column.missing_rows(batch.num_rows()),
            });
            Ok(fitted.collect())
        }))
    }

    /// Reads the whole file and compares its size and checksum with what the commit says.
    pub fn verify(&self, meta: &Arc<SegmentMeta>) -> Result<(), StorageError> {
        let file = self.file(meta)?;
        let mut buffer = vec![0; VERIFY_BYTES];
        let mut checksum = 0;
        let mut offset = 0;
        while offset < file.bytes {
            let length = (file.bytes - offset).min(VERIFY_BYTES as u64) as usize;
            let part = &mut buffer[..length];
            file.file.read_exact_at(part, offset).map_err(|error| from_io(error, &meta.path))?;
            checksum = crc32c::crc32c_append(checksum, part);
            offset += length as u64;
        }
        if checksum != meta.checksum {
            let detail = format!("its checksum is {checksum:08x} instead of {:08x}", meta.checksum);
            return Err(StorageError::corrupted(&meta.path, detail));
        }
        Ok(())
    }

    /// Closes the files of segments that nothing names any more, so that the disk gets its space back, and drops their
    /// footers.
    pub fn forget_reaped(&self) {
        for (id, open) in &self.files {
            if open.segment.strong_count() == 0 {
                self.files.invalidate(id.as_ref());
            }
        }
        for (id, footer) in &self.footers {
            if footer.segment.strong_count() == 0 {
                self.footers.invalidate(id.as_ref());
            }
        }
        self.files.run_pending_tasks();
        self.footers.run_pending_tasks();
    }

    fn file(&self, meta: &Arc<SegmentMeta>) -> Result<SegmentFile, StorageError> {
        if let Some(open) = self.files.get(&meta.id) {
            return Ok(open.file);
        }
        let file = File::open(self.data_dir.join(&meta.path)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StorageError::Missing { path: meta.path.clone() },
            _ => StorageError::io("open", &meta.path, error),
        })?;
        let bytes = file.metadata().map_err(|error| StorageError::io("stat", &meta.path, error))?.len();
        if bytes != meta.bytes {
            return Err(StorageError::corrupted(&meta.path, format!("it has {bytes} bytes instead of {}", meta.bytes)));
        }
        let file = SegmentFile { file: Arc::new(file), bytes, blocks: Arc::default() };
        if let Some(footer) = self.footers.get(&meta.id) {
            // The footer stayed while the file was closed.
            let _ = file.blocks.set(footer.blocks);
        }
        self.files.insert(meta.id, OpenFile { file: file.clone(), segment: Arc::downgrade(meta) });
        Ok(file)
    }
}

fn parse_footer(file: &SegmentFile) -> Result<ParquetMetaData, ParquetError> {
    ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional).parse_and_finish(file)
}

/// A segment's file behind Parquet's `AsyncFileReader`, with the footer from the store's cache.
#[derive(Clone)]
pub struct CachedReader {
    store: SegmentStore,
    meta: Arc<SegmentMeta>,
    file: Option<SegmentFile>,
}

impl CachedReader {
    pub fn meta(&self) -> &Arc<SegmentMeta> {
        &self.meta
    }

    fn read(&mut self, ranges: &[Range<u64>]) -> parquet::errors::Result<Vec<Bytes>> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.store.file(&self.meta).map_err(external)?),
        };
        file.read_ranges(ranges).map_err(|error| external(from_io(error, &self.meta.path)))
    }
}

impl AsyncFileReader for CachedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { Ok(self.read(&[range])?.swap_remove(0)) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.read(&ranges) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move { self.store.footer(&self.meta).map_err(external) }.boxed()
    }
}

/// The live rows of one segment in batches of the columns that it has.
pub struct SegmentRows {
    rows: ParquetRecordBatchReader,
    /// Positions in the reader's batches of the columns that were asked for.
    order: Option<Vec<usize>>,
    schema: SchemaRef,
    /// Keeps the file from being reaped.
    meta: Arc<SegmentMeta>,
}

impl SegmentRows {
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Iterator for SegmentRows {
    type Item = Result<RecordBatch, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.rows.next()?;
        let ordered = batch.and_then(|batch| match &self.order {
            Some(order) => batch.project(order),
            None => Ok(batch),
        });
        let ordered = ordered.and_then(from_segment);
        Some(ordered.map_err(|error| StorageError::corrupted(&self.meta.path, error)))
    }
}

/// The live rows of a segment of `rows` rows.
pub fn row_selection(rows: u32, deleted: &DeletionVector) -> RowSelection {
    selection(rows, deleted, RowSelector::skip, RowSelector::select)
}

/// Only the rows in `only` of a segment of `rows` rows.
pub fn row_selection_of(rows: u32, only: &DeletionVector) -> RowSelection {
    selection(rows, only, RowSelector::select, RowSelector::skip)
}

/// One selector for each run of rows inside and outside of the vector.
fn selection(
    rows: u32,
    vector: &DeletionVector,
    inside: fn(usize) -> RowSelector,
    outside: fn(usize) -> RowSelector,
) -> RowSelection {
    let mut selectors = Vec::new();
    let mut next = 0;
    let mut runs = vector.0.iter();
    while let Some(run) = runs.next_range() {
        let start = (*run.start()).min(rows);
        let end = run.end().saturating_add(1).min(rows);
        if start == end {
            break;
        }
        if next < start {
            selectors.push(outside((start - next) as usize));
        }
        selectors.push(inside((end - start) as usize));
        next = end;
    }
    if next < rows {
        selectors.push(outside((rows - next) as usize));
    }
    RowSelection::from(selectors)
}

impl SegmentFile {
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.start > range.end || range.end > self.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.verify(range.clone())?;
        let length = (range.end - range.start) as usize;
        let mut buffer = Vec::with_capacity(length);
        // Into memory that nobody has cleared: to clear it takes as long as to read it.
        while buffer.len() < length {
            let offset = range.start + buffer.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut buffer), offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        buffer.truncate(length);
        Ok(buffer.into())
    }

    /// Compares what is about to be read with its checksums, where they are known and it was not compared before.
    fn verify(&self, range: Range<u64>) -> io::Result<()> {
        match self.blocks.get().and_then(|blocks| blocks.as_ref().as_ref()) {
            Some(blocks) => blocks.verify(&self.file, range),
            None => Ok(()),
        }
    }

    /// Reads ranges in as few calls as their gaps allow; results in the order of `ranges`.
    fn read_ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        if let [range] = ranges {
            return Ok(vec![self.read(range.clone())?]);
        }
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_unstable_by_key(|position| ranges[*position].start);
        let mut parts = vec![Bytes::new(); ranges.len()];
        let mut first = 0;
        while first < order.len() {
            let mut span = ranges[order[first]].clone();
            let mut end = first + 1;
            while let Some(next) = order.get(end).map(|position| &ranges[*position]) {
                let joined = span.end.max(next.end);
                if next.start > span.end + GAP_BYTES_MAX || joined - span.start > READ_BYTES_MAX {
                    break;
                }
                span.end = joined;
                end += 1;
            }
            let bytes = self.read(span.clone())?;
            for position in &order[first..end] {
                let range = &ranges[*position];
                parts[*position] = bytes.slice((range.start - span.start) as usize..(range.end - span.start) as usize);
            }
            first = end;
        }
        Ok(parts)
    }
}

impl Length for SegmentFile {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for SegmentFile {
    type T = BufReader<ReadFrom>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(ReadFrom { file: self.clone(), offset: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        Ok(self.read(start..start + length as u64)?)
    }
}

/// Sequential reads of a shared file, which has no cursor of its own.
struct ReadFrom {
    file: SegmentFile,
    offset: u64,
}

impl Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.verify(self.offset..(self.offset + buffer.len() as u64).min(self.file.bytes))?;
        let read = self.file.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

fn external(error: StorageError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

fn from_io(error: io::Error, path: &str) -> StorageError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => StorageError::corrupted(path, "it ends too early"),
        io::ErrorKind::InvalidData => StorageError::corrupted(path, error),
        _ => StorageError::io("read", path, error),
    }
}

/// What Parquet cannot read is corrupted, unless the operating system refused.
fn from_reading(error: ParquetError, path: &str) -> StorageError {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => from_io(*source, path),
            Err(source) => StorageError::corrupted(path, source),
        },
        other => StorageError::corrupted(path, other),
    }
}
