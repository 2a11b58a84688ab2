//! Few rows: the batches of small commits in few bytes, for the log and what is kept beside it.
//!
//! An Arrow IPC stream begins with its schema and says of each column where its buffers are: more than three kilobytes for a row of fifteen
//! columns that has 150 bytes of values. Most commits are one row, and what a commit takes is written again and again: as room in the log
//! and as a record, to the index, to checkpoints. So up to [`ROWS_MAX`] rows are
//!
//! ```text
//! "MFEW" | rows | schema: names, SQL types, ids | for each column: which rows are NULL, and the values of the others
//! ```
//!
//! in postcard, where small numbers and short texts are short. A schema that does not come back from that exactly as it was, and one with
//! columns that are none of [`is_known`], such as arrays, is left to Arrow. What the bytes mean is described in `FORMAT.md`; another
//! layout needs another magic. This module does not know what rows are for; see `stored`, which decides how a batch is written.

use crate::sql_type::{FIELD_ID_KEY, SqlType, TYPE_KEY};
use crate::stored::{StoredError, decode, encode};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, FixedSizeBinaryArray, GenericByteViewArray,
    LargeBinaryArray, LargeStringArray, PrimitiveArray, RecordBatch, RecordBatchOptions, make_view,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    BinaryViewType, ByteViewType, DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, Schema, SchemaRef, StringViewType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// What the bytes of few rows begin with.
pub(crate) const MAGIC: &[u8; 4] = b"MFEW";
/// The most rows that are few. Which of them are NULL is one number; the schema of more does not weigh.
pub(crate) const ROWS_MAX: usize = u64::BITS as usize;
/// What a value takes, about.
const VALUE_BYTES: usize = 8;
/// The longest text that its view holds itself.
const VIEWED_BYTES_MAX: usize = 12;
/// So many schemas are kept by each thread.
const SCHEMAS_MAX: usize = 16;

/// A column of a schema on disk. The order of fields is the format.
#[derive(Serialize, Deserialize)]
struct StoredField<'a> {
    name: Cow<'a, str>,
    /// `None` for an enum, which its tag among the metadata says whole.
    sql_type: Option<SqlType>,
    nullable: bool,
    id: Option<i32>,
    /// What else its metadata has.
    more: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

thread_local! {
    /// The bytes of some schemas, newest first; `None` for those that are left to Arrow.
    static SCHEMAS: RefCell<VecDeque<(SchemaRef, Option<Vec<u8>>)>> = const { RefCell::new(VecDeque::new()) };
}

/// The bytes of a batch; `None` where it is left to Arrow.
pub(crate) fn encoded(batch: &RecordBatch) -> Option<Vec<u8>> {
    if batch.num_rows() > ROWS_MAX {
        return None;
    }
    SCHEMAS.with_borrow_mut(|known| {
        let place = known.iter().position(|(schema, _)| Arc::ptr_eq(schema, batch.schema_ref()));
        let place = place.unwrap_or_else(|| {
            known.truncate(SCHEMAS_MAX - 1);
            known.push_front((batch.schema(), stored_schema(batch.schema_ref())));
            0
        });
        known[place].1.as_ref().map(|schema| encoded_behind(schema, batch))
    })
}

fn encoded_behind(schema: &[u8], batch: &RecordBatch) -> Vec<u8> {
    let values = batch.num_columns() * batch.num_rows() * VALUE_BYTES;
    let mut bytes = Vec::with_capacity(MAGIC.len() + schema.len() + values + VALUE_BYTES);
    bytes.extend_from_slice(MAGIC);
    put(&mut bytes, &batch.num_rows());
    put_bytes(&mut bytes, schema);
    batch.columns().iter().for_each(|column| put_column(&mut bytes, column));
    bytes
}

/// Whether values of a type are written here.
fn is_known(data_type: &DataType) -> bool {
    use DataType::*;
    let is_number = matches!(data_type, Int16 | Int32 | Int64 | Float32 | Float64 | Decimal128(..));
    let is_time = matches!(data_type, Date32 | Time64(TimeUnit::Microsecond) | Timestamp(TimeUnit::Microsecond, _));
    let is_text = matches!(data_type, Utf8View | BinaryView | LargeUtf8 | LargeBinary);
    is_number || is_time || is_text || matches!(data_type, Boolean | FixedSizeBinary(_))
}

/// The bytes of a schema, from which exactly this one comes back.
fn stored_schema(schema: &Schema) -> Option<Vec<u8>> {
    let fields = schema.fields().iter().map(|field| stored_field(field)).collect::<Option<Vec<_>>>()?;
    let bytes = encode(&fields);
    read_schema(&bytes).is_ok_and(|found| found == *schema).then_some(bytes)
}

fn stored_field(field: &Field) -> Option<StoredField<'_>> {
    let sql_type = SqlType::from_field(field).filter(|_| is_known(field.data_type()))?;
    let sql_type = (!matches!(sql_type, SqlType::Enum(_))).then_some(sql_type);
    let metadata = field.metadata();
    let is_said = |key: &str| key == FIELD_ID_KEY || key == TYPE_KEY && sql_type.is_some();
    let more = metadata.iter().filter(|(key, _)| !is_said(key));
    let more = more.map(|(key, value)| (Cow::from(key), Cow::from(value))).collect();
    let id = metadata.get(FIELD_ID_KEY).and_then(|id| id.parse().ok());
    Some(StoredField { name: Cow::from(field.name()), sql_type, nullable: field.is_nullable(), id, more })
}

/// The schema of few rows, from the bytes that [`FewRows::schema`] gives.
pub(crate) fn read_schema(bytes: &[u8]) -> Result<Schema, StoredError> {
    let stored: Vec<StoredField<'_>> = decode("the schema of few rows", bytes)?;
    let fields = stored.into_iter().map(|stored| {
        let tagged = || SqlType::parse(stored.more.get(TYPE_KEY)?);
        let sql_type = stored.sql_type.or_else(tagged).ok_or_else(|| fail("a column has no type"))?;
        let field = sql_type.field(&stored.name, stored.nullable);
        let mut metadata = field.metadata().clone();
        metadata.extend(stored.id.map(|id| (FIELD_ID_KEY.to_string(), id.to_string())));
        metadata.extend(stored.more.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned())));
        Ok::<_, StoredError>(field.with_metadata(metadata))
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>, _>>()?))
}

fn put(bytes: &mut Vec<u8>, value: &impl Serialize) {
    postcard::to_io(value, bytes).expect("a vector grows without error");
}

fn put_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    put(bytes, &value.len());
    bytes.extend_from_slice(value);
}

/// The rows that are NULL as the bits of one number, and the values of the others.
fn put_column(bytes: &mut Vec<u8>, column: &ArrayRef) {
    let nulls = (0..column.len()).filter(|row| column.is_null(*row));
    put(bytes, &nulls.fold(0u64, |bits, row| bits | (1 << row)));
    match column.data_type() {
        DataType::Boolean => column.as_boolean().iter().flatten().for_each(|value| put(bytes, &value)),
        DataType::Int16 => put_numbers::<Int16Type>(bytes, column),
        DataType::Int32 => put_numbers::<Int32Type>(bytes, column),
        DataType::Int64 => put_numbers::<Int64Type>(bytes, column),
        DataType::Float32 => put_numbers::<Float32Type>(bytes, column),
        DataType::Float64 => put_numbers::<Float64Type>(bytes, column),
        DataType::Date32 => put_numbers::<Date32Type>(bytes, column),
        DataType::Decimal128(..) => put_numbers::<Decimal128Type>(bytes, column),
        DataType::Time64(_) => put_numbers::<Time64MicrosecondType>(bytes, column),
        DataType::Timestamp(..) => put_numbers::<TimestampMicrosecondType>(bytes, column),
        DataType::FixedSizeBinary(_) => {
            column.as_fixed_size_binary().iter().flatten().for_each(|value| bytes.extend_from_slice(value));
        }
        DataType::Utf8View => {
            column.as_string_view().iter().flatten().for_each(|value| put_bytes(bytes, value.as_bytes()));
        }
        DataType::BinaryView => column.as_binary_view().iter().flatten().for_each(|value| put_bytes(bytes, value)),
        DataType::LargeUtf8 => {
            column.as_string::<i64>().iter().flatten().for_each(|value| put_bytes(bytes, value.as_bytes()));
        }
        DataType::LargeBinary => column.as_binary::<i64>().iter().flatten().for_each(|value| put_bytes(bytes, value)),
        other => unreachable!("a schema with {other} is left to Arrow"),
    }
}

fn put_numbers<T: ArrowPrimitiveType<Native: Serialize>>(bytes: &mut Vec<u8>, column: &ArrayRef) {
    column.as_primitive::<T>().iter().flatten().for_each(|value| put(bytes, &value));
}

/// Few rows whose columns are still to be read.
pub(crate) struct FewRows<'a> {
    rows: usize,
    schema: &'a [u8],
    columns: &'a [u8],
}

impl<'a> FewRows<'a> {
    /// Begins to read what [`encoded`] wrote; `None` where the bytes are something else.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Result<Self, StoredError>> {
        let mut values = StoredValues(bytes.strip_prefix(MAGIC)?);
        let mut begin = || {
            let rows: usize = values.take()?;
            if rows > ROWS_MAX {
                return Err(fail("they are too many"));
            }
            let schema = values.take()?;
            Ok(Self { rows, schema, columns: values.0 })
        };
        Some(begin())
    }

    /// The bytes of the schema. Those of batches of one table are the same.
    pub(crate) fn schema(&self) -> &'a [u8] {
        self.schema
    }

    /// The rows; `schema` is what [`read_schema`] made of that of their own.
    pub(crate) fn batch(self, schema: SchemaRef) -> Result<RecordBatch, StoredError> {
        let mut values = StoredValues(self.columns);
        let columns = schema.fields().iter().map(|field| values.column(field.data_type(), self.rows));
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        if !values.0.is_empty() {
            return Err(fail(format_args!("{} bytes too many", values.0.len())));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(fail)
    }
}

fn fail(reason: impl fmt::Display) -> StoredError {
    StoredError::new("few rows", reason)
}

/// Values that are read one after the other.
struct StoredValues<'a>(&'a [u8]);

impl<'a> StoredValues<'a> {
    fn take<T: Deserialize<'a>>(&mut self) -> Result<T, StoredError> {
        let (value, rest) = postcard::take_from_bytes(self.0).map_err(fail)?;
        self.0 = rest;
        Ok(value)
    }

    fn column(&mut self, data_type: &DataType, rows: usize) -> Result<ArrayRef, StoredError> {
        let bits: u64 = self.take()?;
        let valid: Vec<bool> = (0..rows).map(|row| (bits >> row) & 1 == 0).collect();
        let nulls = (bits != 0).then(|| NullBuffer::from(valid.as_slice()));
        Ok(match data_type {
            DataType::Boolean => {
                let values = valid.iter().map(|valid| if *valid { self.take() } else { Ok(false) });
                let values = values.collect::<Result<Vec<bool>, _>>()?;
                Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
            }
            DataType::Int16 => self.numbers::<Int16Type>(data_type, &valid, nulls)?,
            DataType::Int32 => self.numbers::<Int32Type>(data_type, &valid, nulls)?,
            DataType::Int64 => self.numbers::<Int64Type>(data_type, &valid, nulls)?,
            DataType::Float32 => self.numbers::<Float32Type>(data_type, &valid, nulls)?,
            DataType::Float64 => self.numbers::<Float64Type>(data_type, &valid, nulls)?,
            DataType::Date32 => self.numbers::<Date32Type>(data_type, &valid, nulls)?,
            DataType::Decimal128(..) => self.numbers::<Decimal128Type>(data_type, &valid, nulls)?,
            DataType::Time64(TimeUnit::Microsecond) => {
                self.numbers::<Time64MicrosecondType>(data_type, &valid, nulls)?
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.numbers::<TimestampMicrosecondType>(data_type, &valid, nulls)?
            }
            DataType::FixedSizeBinary(width) => self.fixed(*width, &valid, nulls)?,
            DataType::Utf8View => self.views::<StringViewType>(&valid, nulls)?,
            DataType::BinaryView => self.views::<BinaryViewType>(&valid, nulls)?,
            DataType::LargeUtf8 => Arc::new(LargeStringArray::from(self.options::<&str>(&valid)?)),
            DataType::LargeBinary => Arc::new(LargeBinaryArray::from(self.options::<&[u8]>(&valid)?)),
            other => return Err(fail(format_args!("values of type {other}"))),
        })
    }

    fn numbers<T: ArrowPrimitiveType<Native: Deserialize<'a>>>(
        &mut self,
        data_type: &DataType,
        valid: &[bool],
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, StoredError> {
        let values = valid.iter().map(|valid| if *valid { self.take() } else { Ok(T::Native::default()) });
        let values = ScalarBuffer::from(values.collect::<Result<Vec<T::Native>, _>>()?);
        Ok(Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(data_type.clone())))
    }

    fn options<T: Deserialize<'a>>(&mut self, valid: &[bool]) -> Result<Vec<Option<T>>, StoredError> {
        valid.iter().map(|valid| valid.then(|| self.take()).transpose()).collect()
    }

    fn fixed(&mut self, width: i32, valid: &[bool], nulls: Option<NullBuffer>) -> Result<ArrayRef, StoredError> {
        let bytes_each = usize::try_from(width).map_err(fail)?;
        let mut values = vec![0; bytes_each * valid.len()];
        for (row, _) in valid.iter().enumerate().filter(|(_, valid)| **valid) {
            let (value, rest) = self.0.split_at_checked(bytes_each).ok_or_else(|| fail("a value is cut"))?;
            values[row * bytes_each..][..bytes_each].copy_from_slice(value);
            self.0 = rest;
        }
        FixedSizeBinaryArray::try_new(width, Buffer::from_vec(values), nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(fail)
    }

    /// Texts or bytes, with no more room for them than they need.
    fn views<T: ByteViewType>(&mut self, valid: &[bool], nulls: Option<NullBuffer>) -> Result<ArrayRef, StoredError> {
        let (mut views, mut held) = (Vec::with_capacity(valid.len()), Vec::new());
        for valid in valid {
            let value: &[u8] = if *valid { self.take()? } else { &[] };
            let offset = u32::try_from(held.len()).map_err(fail)?;
            views.push(make_view(value, 0, offset));
            if value.len() > VIEWED_BYTES_MAX {
                held.extend_from_slice(value);
            }
        }
        let buffers = if held.is_empty() { Vec::new() } else { vec![Buffer::from_vec(held)] };
        GenericByteViewArray::<T>::try_new(ScalarBuffer::from(views), buffers, nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(fail)
    }
}

#[cfg(test)]
mod tests;
