//! Files that are not ours: csv and the like, plain or compressed, and Parquet, as COPY reads and writes them on the server.
//!
//! What a file is follows from the end of its name: `.gz`, `.zst`, `.parquet`. Nothing here knows a table.
//!
//! Arrow's large layouts of texts and bytes mean jsonb and json to Meridian. Other writers use them for any text, so here they mean
//! that only where a field's metadata says so.

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use catalog::sql_type::TYPE_KEY;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::ZstdLevel;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(test)]
mod tests;

const BATCH_ROWS: usize = 8192;
const ZSTD_LEVEL: i32 = 3;
/// The most rows and bytes of a row group of a Parquet file that is written.
const ROW_GROUP_ROWS: usize = 122_880;
const ROW_GROUP_BYTES: usize = 64 << 20;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
    Parquet,
}

impl Packing {
    /// The packing that a file's name tells.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("gz") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            Some("parquet") => Self::Parquet,
            _ => Self::Plain,
        }
    }
}

/// Opens a file for reading what is packed in it.
pub fn open_bytes(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    open_packed(path, File::open(path)?)
}

/// The same from a reader of the file, which may count what is read of it.
pub fn open_packed(path: &Path, file: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    Ok(match Packing::of(path) {
        Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
        Packing::Zstd => Box::new(zstd::Decoder::new(file)?),
        Packing::Plain | Packing::Parquet => Box::new(file),
    })
}

/// The rows of a Parquet file.
pub struct ParquetRows {
    builder: ParquetRecordBatchReaderBuilder<File>,
    schema: SchemaRef,
}

impl ParquetRows {
    pub fn open(path: &Path) -> io::Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?).map_err(io::Error::other)?;
        let fields: Vec<FieldRef> = builder.schema().fields().iter().map(plain).collect();
        Ok(Self { builder: builder.with_batch_size(BATCH_ROWS), schema: Arc::new(Schema::new(fields)) })
    }

    /// The columns as [`Self::batches`] has them.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// How many rows there are.
    pub fn count(&self) -> u64 {
        self.builder.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// The batches, with only the columns at these positions, in the file's order.
    pub fn batches(self, columns: &[usize]) -> io::Result<impl Iterator<Item = io::Result<RecordBatch>> + Send> {
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), columns.iter().copied());
        let reader: ParquetRecordBatchReader = self.builder.with_projection(mask).build().map_err(io::Error::other)?;
        let mut positions = columns.to_vec();
        positions.sort_unstable();
        positions.dedup();
        let schema = Arc::new(self.schema.project(&positions).map_err(io::Error::other)?);
        Ok(reader.map(move |batch| batch.and_then(|batch| with_schema(&batch, &schema)).map_err(io::Error::other)))
    }
}

/// A field whose type alone says no more than the file does.
fn plain(field: &FieldRef) -> FieldRef {
    if field.metadata().contains_key(TYPE_KEY) {
        return Arc::clone(field);
    }
    let data_type = plain_type(field.data_type());
    Arc::new(Field::clone(field).with_data_type(data_type))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 => DataType::Utf8View,
        DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, value) if plain_type(value) != **value => plain_type(value),
        DataType::List(item) => DataType::List(plain(item)),
        DataType::LargeList(item) => DataType::LargeList(plain(item)),
        other => other.clone(),
    }
}

fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<Vec<_>, _>>()?)
}

/// Encodes batches as one Parquet file, of which bytes come out as they are complete.
pub struct ParquetBytes {
    writer: ArrowWriter<Vec<u8>>,
}

impl ParquetBytes {
    /// Begins a file with these columns. Nested and plain Arrow types that Parquet has a logical type for are taken.
    pub fn new(schema: SchemaRef) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(parquet::basic::Compression::ZSTD(
                ZstdLevel::try_new(ZSTD_LEVEL).map_err(io::Error::other)?,
            ))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
        // Other readers go by the types of Parquet alone.
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(io::Error::other)?;
        Ok(Self { writer })
    }

    /// Adds rows and takes the bytes that are complete, none for most batches.
    pub fn write(&mut self, batch: &RecordBatch) -> io::Result<Vec<u8>> {
        self.writer.write(batch).map_err(io::Error::other)?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// The bytes of the file's end.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.writer.into_inner().map_err(io::Error::other)
    }
}

/// A file that is written under another name and gets its own when it is complete.
pub struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    writer: Option<Packer>,
}

enum Packer {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl NewFile {
    /// Begins a file beside the one that it will replace.
    pub fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        let partial = path.with_file_name(format!(".{name}.{}.partial", uuid::Uuid::new_v4()));
        let file = BufWriter::new(File::options().write(true).create_new(true).open(&partial)?);
        let writer = match Packing::of(path) {
            Packing::Gzip => Packer::Gzip(GzEncoder::new(file, Compression::default())),
            Packing::Zstd => Packer::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL)?),
            Packing::Plain | Packing::Parquet => Packer::Plain(file),
        };
        Ok(Self { path: path.to_path_buf(), partial, writer: Some(writer) })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.writer.as_mut() {
            Some(Packer::Plain(writer)) => writer.write_all(bytes),
            Some(Packer::Gzip(writer)) => writer.write_all(bytes),
            Some(Packer::Zstd(writer)) => writer.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The file is complete: it is synced and takes its name.
    pub fn finish(mut self) -> io::Result<()> {
        let buffered = match self.writer.take() {
            Some(Packer::Plain(writer)) => writer,
            Some(Packer::Gzip(writer)) => writer.finish()?,
            Some(Packer::Zstd(writer)) => writer.finish()?,
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After `finish` nothing has this name any more.
        let _ = std::fs::remove_file(&self.partial);
    }
}
