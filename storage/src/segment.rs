//! Segments: the immutable files that hold a table's rows.
//!
//! A segment is one Parquet file with rows of exactly one partition, sorted by the table's sort key. A row exists for
//! readers from the moment a commit names its segment, and not a moment earlier:
//!
//!     write(batch) ─▶ SegmentWriter ─finish()─▶ StagedSegment ─commit─▶ SegmentMeta
//!                     file open                 synced, invisible       visible
//!
//! A file gets its final name at once. Dropping a `SegmentWriter` or a `StagedSegment` deletes its file; a crash leaks
//! the file instead, and recovery deletes whatever no table version names. This module does not know what a commit is.
//!
//! Encodings are chosen by column and segment from a sample of the first rows: a dictionary where values repeat, else
//! delta encoding for integers and plain values for the rest. Building a dictionary that does not pay is what costs
//! most in encoding, because every value is hashed for nothing.
//!
//! Delta encoded integers in no order, such as numbers of customers and amounts, are not compressed: nothing is left to gain (of 90,000 sales
//! zstd makes these columns 50 bytes longer), and to set up a decompressor costs a reader more than to decode them. Neither are columns of
//! few short values: a value takes some bits in the file already, and a compressor that is set up for each such column of each segment
//! costs more than what it gains (a tenth to two fifths of columns that are a seventh of the file). Of what is left a part is compressed
//! on trial, and columns that lose less than a quarter are not compressed: a reader of some rows sets up a decompressor for each of its
//! columns in each segment, which took up to 80 µs, as long as to decode 30,000 values.

use crate::blocks::WrittenBlocks;
use crate::error::StorageError;
use crate::intervals::{is_stored_otherwise, segment_schema, to_segment};
use crate::partition::partition_directory;
use crate::statistics::{OwnStatistics, column_statistics};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use catalog::definition::TableDefinition;
use catalog::files::{AppendFile, FileError, Files};
use catalog::ids::SegmentId;
use catalog::segment::{PartitionKey, SegmentMeta};
use hashbrown::HashSet;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::{Builder, Uuid};

/// The most rows of a row group: the unit of pruning, and of parallel reading.
pub const ROW_GROUP_ROWS_MAX: usize = 131_072;
/// The most rows of a segment.
pub const SEGMENT_ROWS_MAX: usize = 2_097_152;

const ZSTD_LEVEL: i32 = 1;
const WRITE_BUFFER_BYTES: usize = 256 * 1024;
const SAMPLE_ROWS: usize = 1024;
/// The share of distinct values in the sample above which integers are delta encoded: about 750 values in all.
const INTEGER_DICTIONARY_SHARE_MAX: f64 = 0.5;
/// The same for values that are longer than a dictionary's index: about 10,000 values in all.
const DICTIONARY_SHARE_MAX: f64 = 0.95;

/// The share of distinct values in the sample, and the bytes of those, up to which a column is not compressed.
const FEW_VALUES_SHARE_MAX: f64 = 0.05;
const FEW_VALUES_BYTES_MAX: usize = 4096;

/// The rows that are compressed on trial, and what of them must be left for a column not to be compressed.
const TRIAL_ROWS: usize = 4096;
const COMPRESSED_SHARE_MAX: f64 = 0.75;

/// The share of steps upward among integers that are in no order.
const NOISE_ASCENDING_SHARES: std::ops::RangeInclusive<f64> = 0.4..=0.6;

/// Writes one segment. Rows arrive sorted, in batches of the table's schema.
pub struct SegmentWriter {
    definition: Arc<TableDefinition>,
    schema: SchemaRef,
    /// The schema of the file.
    stored: SchemaRef,
    partition: PartitionKey,
    data_dir: Arc<Path>,
    files: Files,
    own: OwnStatistics,
    rows: usize,
    open: Option<OpenSegment>,
}

struct OpenSegment {
    id: SegmentId,
    path: String,
    file: UnkeptFile,
    writer: ArrowWriter<BufWriter<ChecksummedFile>>,
}

/// A segment whose file is complete and synced, but which no commit names yet. Deletes its file when dropped.
#[derive(Debug)]
pub struct StagedSegment {
    meta: Arc<SegmentMeta>,
    file: UnkeptFile,
}

/// A segment whose file is complete, but not yet synced.
pub(crate) struct UnsyncedSegment {
    staged: StagedSegment,
    handle: SharedFile,
}

type SharedFile = Arc<Mutex<AppendFile>>;

impl StagedSegment {
    pub fn meta(&self) -> &Arc<SegmentMeta> {
        &self.meta
    }

    /// Leaves the file in place: the commit that names it is durable. To be called before anything can cancel the
    /// caller, or a committed segment loses its file.
    pub fn keep(mut self) -> Arc<SegmentMeta> {
        self.file.kept = true;
        self.meta.clone()
    }
}

impl UnsyncedSegment {
    /// Syncs the file; its directory remains to be synced.
    pub(crate) fn sync(self) -> Result<StagedSegment, StorageError> {
        let mut file = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = file.sync_all();
        drop(file);
        synced.map_err(|error| StorageError::io("fsync", &self.staged.meta.path, error.into_io()))?;
        Ok(self.staged)
    }
}

impl SegmentWriter {
    /// A segment of `partition` below `data_dir`. The file is created with the first rows.
    pub fn new(data_dir: Arc<Path>, definition: Arc<TableDefinition>, partition: PartitionKey) -> Self {
        let schema = definition.schema();
        let own = OwnStatistics::new(&schema);
        let stored = segment_schema(&schema);
        Self { definition, schema, stored, partition, data_dir, files: Files::default(), own, rows: 0, open: None }
    }

    /// Writes through `files` instead of straight to the disk.
    pub fn through(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// Appends rows: at least as great by the sort key as those before, and not more than [`SEGMENT_ROWS_MAX`] in all.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows();
        assert!(self.rows <= SEGMENT_ROWS_MAX, "a segment holds at most {SEGMENT_ROWS_MAX} rows");
        self.own.add(batch);
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let opened = self.open(batch)?;
                self.open.insert(opened)
            }
        };
        let written = to_segment(batch, &self.stored)
            .map_err(|error| StorageError::internal("encode", &self.definition.name.name, error))
            .map(|stored| open.writer.write(&stored))?;
        written.map_err(|error| StorageError::from_writing(error, &open.path, &self.definition.name.name))
    }

    /// Completes and syncs the file and its directories. `None` where no rows came.
    pub fn finish(self) -> Result<Option<StagedSegment>, StorageError> {
        let (data_dir, files) = (self.data_dir.clone(), self.files.clone());
        let Some(unsynced) = self.close()? else {
            return Ok(None);
        };
        let staged = unsynced.sync()?;
        sync_directories(&files, &data_dir, [staged.meta.path.as_str()])?;
        Ok(Some(staged))
    }

    /// Completes the file without syncing it.
    pub(crate) fn close(self) -> Result<Option<UnsyncedSegment>, StorageError> {
        let Some(OpenSegment { id, path, file, mut writer }) = self.open else {
            return Ok(None);
        };
        let table = &self.definition.name.name;
        // All rows are in the file before the footer is made, which has the checksums of their blocks.
        writer.flush().map_err(|error| StorageError::from_writing(error, &path, table))?;
        writer.sync().map_err(|error| StorageError::io("write", &path, error))?;
        let blocks = writer.inner().get_ref().written.metadata();
        writer.append_key_value_metadata(blocks);
        let metadata = writer.finish().map_err(|error| StorageError::from_writing(error, &path, table))?;
        // `ArrowWriter::into_inner` would write a second footer.
        let sink = writer.inner_mut();
        sink.flush().map_err(|error| StorageError::io("write", &path, error))?;
        let written = sink.get_ref();
        let meta = SegmentMeta {
            id,
            partition: self.partition,
            path,
            rows: self.rows as u32,
            bytes: written.written.bytes(),
            checksum: written.written.checksum(),
            statistics: column_statistics(&self.definition, &self.schema, &metadata, &self.own),
        };
        let staged = StagedSegment { meta: Arc::new(meta), file };
        Ok(Some(UnsyncedSegment { staged, handle: written.file.clone() }))
    }

    fn open(&self, sample: &RecordBatch) -> Result<OpenSegment, StorageError> {
        let id = new_segment_id();
        let directory = partition_directory(&self.definition, &self.partition);
        let path = format!("{directory}/{id}.parquet");
        let full_path = self.data_dir.join(&path);
        let created = self.files.create_directory_unsynced(&self.data_dir.join(&directory));
        let created = created.and_then(|()| self.files.create_new(&full_path));
        let handle = created.map_err(|error| StorageError::io("create", &path, error.into_io()))?;
        let file = UnkeptFile { files: self.files.clone(), path: full_path, kept: false };
        let sink = BufWriter::with_capacity(
            WRITE_BUFFER_BYTES,
            ChecksummedFile { file: Arc::new(Mutex::new(handle)), written: WrittenBlocks::default() },
        );
        let table = &self.definition.name.name;
        let properties = writer_properties(&self.definition, sample)
            .map_err(|error| StorageError::internal("encode", table, error))?;
        let writer = ArrowWriter::try_new(sink, self.stored.clone(), Some(properties))
            .map_err(|error| StorageError::from_writing(error, &path, table))?;
        Ok(OpenSegment { id, path, file, writer })
    }
}

/// Makes the names of files durable: syncs the directories of all `paths` (relative to `data_dir`) and of everything
/// above them up to the data directory, each once. Directories that another writer just made are among them, whether
/// that writer has synced them yet or not.
pub(crate) fn sync_directories<'a>(
    files: &Files,
    data_dir: &Path,
    paths: impl IntoIterator<Item = &'a str>,
) -> Result<(), StorageError> {
    let directories: BTreeSet<&Path> = paths.into_iter().flat_map(|path| Path::new(path).ancestors().skip(1)).collect();
    for directory in directories {
        files
            .sync_directory(&data_dir.join(directory))
            .map_err(|error| StorageError::io("fsync", &directory.to_string_lossy(), error.into_io()))?;
    }
    Ok(())
}

/// A UUID of version 7 from the wall clock and 74 random bits.
fn new_segment_id() -> SegmentId {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64);
    let mut random = [0; 10];
    random.copy_from_slice(&Uuid::new_v4().as_bytes()[6..]);
    // The version and variant bits of a version 4 are fixed; fill them from its random half.
    let other = *Uuid::new_v4().as_bytes();
    random[0] = other[0];
    random[2] = other[1];
    SegmentId(Builder::from_unix_timestamp_millis(millis, &random).into_uuid().as_u128())
}

/// Deletes its file when dropped, unless it was kept.
#[derive(Debug)]
struct UnkeptFile {
    files: Files,
    path: PathBuf,
    kept: bool,
}

impl Drop for UnkeptFile {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = self.files.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove staged segment; recovery will");
        }
    }
}

/// A file that counts and checksums what is written to it.
struct ChecksummedFile {
    file: SharedFile,
    written: WrittenBlocks,
}

impl Write for ChecksummedFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.append(buffer).map_err(FileError::into_io)?;
        self.written.add(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn writer_properties(
    definition: &TableDefinition,
    sample: &RecordBatch,
) -> Result<WriterProperties, Box<dyn std::error::Error>> {
    // Rows are sorted by values, and what an enum's are stored as does not sort as they do.
    let keys = definition.order_by.iter().filter_map(|column| definition.position(*column));
    let sorting = keys
        .take_while(|position| !is_stored_otherwise(&definition.columns[*position].sql_type.data_type()))
        .map(|position| SortingColumn { column_idx: position as i32, descending: false, nulls_first: false })
        .collect();
    let mut builder = WriterProperties::builder()
        .set_compression(compression()?)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(crate::statistics::BOUND_BYTES_MAX))
        .set_sorting_columns(Some(sorting));
    let stride = sample.num_rows().div_ceil(SAMPLE_ROWS).max(1);
    let rows = UInt32Array::from_iter_values((0..sample.num_rows() as u32).step_by(stride));
    for (field, array) in sample.schema().fields().iter().zip(sample.columns()) {
        let distinct = Distinct::of(&take(array, &rows, None)?)?;
        let path = ColumnPath::new(vec![field.name().clone()]);
        let is_noise = is_delta_encoded(field.data_type(), distinct.share) && is_noise(array)?;
        if distinct.are_few() || is_noise || hardly_shrinks(field, array, distinct.share)? {
            builder = builder.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
        }
        builder = choose_encoding(builder, path, field.data_type(), distinct.share);
    }
    Ok(builder.build())
}

fn compression() -> Result<Compression, ParquetError> {
    Ok(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
}

/// Whether compression leaves most of a column, by a part of it from the middle. Few rows tell nothing.
fn hardly_shrinks(field: &FieldRef, array: &ArrayRef, distinct_share: f64) -> Result<bool, Box<dyn std::error::Error>> {
    let data_type = field.data_type();
    if array.len() < TRIAL_ROWS || data_type.is_nested() || is_stored_otherwise(data_type) {
        return Ok(false);
    }
    let part = array.slice((array.len() - TRIAL_ROWS) / 2, TRIAL_ROWS);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![Arc::clone(field)])), vec![part])?;
    let builder = WriterProperties::builder().set_compression(compression()?);
    let builder = builder.set_statistics_enabled(EnabledStatistics::None);
    let properties = choose_encoding(builder, ColumnPath::new(vec![field.name().clone()]), data_type, distinct_share);
    let mut writer = ArrowWriter::try_new(io::sink(), batch.schema(), Some(properties.build()))?;
    writer.write(&batch)?;
    let trial = writer.close()?;
    let column = trial.row_group(0).column(0);
    Ok(column.compressed_size() as f64 > column.uncompressed_size() as f64 * COMPRESSED_SHARE_MAX)
}

fn choose_encoding(
    builder: WriterPropertiesBuilder,
    path: ColumnPath,
    data_type: &DataType,
    distinct_share: f64,
) -> WriterPropertiesBuilder {
    if is_delta_encoded(data_type, distinct_share) {
        return builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    builder.set_column_dictionary_enabled(path, distinct_share <= DICTIONARY_SHARE_MAX)
}

fn is_delta_encoded(data_type: &DataType, distinct_share: f64) -> bool {
    is_stored_as_integer(data_type) && distinct_share > INTEGER_DICTIONARY_SHARE_MAX
}

/// Whether neighbours among integers are in no order and differ by no multiples of some number, so that their differences take all the
/// bits that they are given. Few rows tell nothing.
fn is_noise(array: &ArrayRef) -> Result<bool, Box<dyn std::error::Error>> {
    if array.len() < SAMPLE_ROWS {
        return Ok(false);
    }
    let sample = array.slice((array.len() - SAMPLE_ROWS) / 2, SAMPLE_ROWS);
    let values: Vec<i128> = match sample.data_type() {
        DataType::Decimal128(..) => sample.as_primitive::<Decimal128Type>().iter().flatten().collect(),
        _ => cast(&sample, &DataType::Int64)?.as_primitive::<Int64Type>().iter().flatten().map(i128::from).collect(),
    };
    let steps = || values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let ascending = steps().filter(|step| *step > 0).count() as f64 / SAMPLE_ROWS as f64;
    let divisor = steps().fold(0, |divisor: u128, step| greatest_divisor(divisor, step.unsigned_abs()));
    Ok(NOISE_ASCENDING_SHARES.contains(&ascending) && divisor == 1)
}

/// The greatest common divisor, by Euclid; that of 0 and a number is the number.
fn greatest_divisor(mut left: u128, mut right: u128) -> u128 {
    while right > 0 {
        (left, right) = (right, left % right);
    }
    left
}

/// Whether Parquet stores the type as 32 or 64 bit integers.
fn is_stored_as_integer(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(precision, _) => *precision <= 18,
        other => !is_stored_otherwise(other) && (other.is_signed_integer() || other.is_temporal()),
    }
}

/// The distinct values of a sample.
struct Distinct {
    /// Their share of the values that are not null.
    share: f64,
    /// What they take, about.
    bytes: usize,
}

impl Distinct {
    fn of(array: &ArrayRef) -> Result<Self, Box<dyn std::error::Error>> {
        let rows = RowConverter::new(vec![SortField::new(array.data_type().clone())])?
            .convert_columns(std::slice::from_ref(array))?;
        let distinct: HashSet<&[u8]> = rows.iter().map(|row| row.data()).collect();
        let share = distinct.len() as f64 / (array.len() - array.null_count()).max(1) as f64;
        Ok(Self { share, bytes: distinct.iter().map(|value| value.len()).sum() })
    }

    fn are_few(&self) -> bool {
        self.share <= FEW_VALUES_SHARE_MAX && self.bytes <= FEW_VALUES_BYTES_MAX
    }
}
