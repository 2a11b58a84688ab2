//! Packed batches: many rows in few bytes, for the log and what is kept beside it.
//!
//! An Arrow IPC stream has 16 bytes for each text and each numeric, however few different values there are. What goes through an
//! fdatasync should be small, and what a writer waits for should be made in one pass. So a column of many rows is one of
//!
//! - *values*: a base, and for each row the distance from it in as many bytes as the largest takes, none where all are equal (frame of
//!   reference): integers, dates, times and numerics of at most 64 bits;
//! - *codes*: the different texts, and for each row the place of its own among them;
//! - *plain*: a column of an Arrow IPC stream: all other types, and texts that hardly repeat.
//!
//! A NULL has the base, or the first text. Bytes begin with [`MAGIC`], which no Arrow IPC stream does. What they hold is described
//! byte by byte in `FORMAT.md`; another way of packing needs another magic. This module does not know what rows are for; see
//! `stored`, which decides what is packed.

use crate::lanes::in_lanes;
use crate::stored::{Blob, ROWS_FOR_LANES, StoredError, decode, encode_behind};
use arrow::array::{Array, ArrayData, ArrayRef, AsArray, StringViewArray, UInt32Array, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::{TakeOptions, take};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What packed batches begin with.
pub(crate) const MAGIC: &[u8; 4] = b"MPAK";
/// The most different texts that a column of codes has.
const TEXTS_MAX: usize = 65_536;
/// The rows that say whether texts repeat.
const SAMPLE_ROWS: usize = 1024;
/// How many views of texts are known without a look into a map; a power of two.
const MET_VIEWS: usize = 256;
/// The most values that a batch's packed columns have together: a column whose values are all equal has none of them in its bytes, so that these
/// do not say how much memory it takes to read them.
const VALUES_MAX: usize = 1 << 26;
/// What a column takes besides its values, about.
const COLUMN_BYTES: usize = 64;
const VALUE_BYTES: usize = size_of::<u64>();

/// A batch on disk. The order of variants and fields is the format.
#[derive(Serialize, Deserialize)]
struct StoredBatch<'a> {
    rows: u32,
    /// An Arrow IPC stream without batches.
    schema: Blob,
    columns: Vec<StoredColumn<'a>>,
    /// An Arrow IPC stream of the columns that are plain, in order; empty where none is.
    plain: Blob,
}

#[derive(Serialize, Deserialize)]
enum StoredColumn<'a> {
    Plain,
    Values { valid: Option<Blob>, base: i64, width: u8, values: Blob },
    Codes { valid: Option<Blob>, texts: Vec<Cow<'a, str>>, width: u8, codes: Blob },
}

impl StoredColumn<'_> {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let of = |blob: &Option<Blob>| blob.as_ref().map_or(0, |blob| blob.0.len());
        COLUMN_BYTES
            + match self {
                Self::Plain => 0,
                Self::Values { valid, values, .. } => of(valid) + values.0.len(),
                Self::Codes { valid, texts, codes, .. } => {
                    let texts: usize = texts.iter().map(|text| text.len() + size_of::<u32>()).sum();
                    of(valid) + texts + codes.0.len()
                }
            }
    }
}

/// The columns of a batch, packed.
pub(crate) struct Packed<'a> {
    rows: u32,
    columns: Vec<StoredColumn<'a>>,
}

impl<'a> Packed<'a> {
    /// Packs columns of `rows` rows. `None` where all of them are plain, or too many for one batch.
    pub(crate) fn new(columns: &'a [ArrayRef], rows: usize) -> Option<Self> {
        let columns: Vec<_> = match rows < ROWS_FOR_LANES {
            true => columns.iter().map(packed).collect(),
            false => in_lanes(columns, packed),
        };
        let values = packed_values(&columns, rows);
        let rows = u32::try_from(rows).ok()?;
        (1..=VALUES_MAX).contains(&values).then_some(Self { rows, columns })
    }

    /// The positions of the columns that are plain.
    pub(crate) fn plain(&self) -> Vec<usize> {
        let places = self.columns.iter().enumerate();
        places.filter(|(_, column)| matches!(column, StoredColumn::Plain)).map(|(place, _)| place).collect()
    }

    /// The batch's bytes; `schema` and `plain` are Arrow IPC streams of the whole schema and of the columns that are plain.
    pub(crate) fn into_bytes(self, schema: Blob, plain: Blob) -> Vec<u8> {
        let columns = self.columns.iter().map(StoredColumn::bytes).sum::<usize>();
        let mut bytes = Vec::with_capacity(MAGIC.len() + schema.0.len() + columns + plain.0.len() + COLUMN_BYTES);
        bytes.extend_from_slice(MAGIC);
        encode_behind(bytes, &StoredBatch { rows: self.rows, schema, columns: self.columns, plain })
    }
}

/// A packed batch that was read.
pub(crate) struct Unpacked<'a>(StoredBatch<'a>);

impl<'a> Unpacked<'a> {
    /// Reads what [`Packed::into_bytes`] wrote; `None` where the bytes are something else.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Result<Self, StoredError>> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let read = || {
            let stored: StoredBatch<'_> = decode("a packed batch of rows", rest)?;
            match packed_values(&stored.columns, stored.rows as usize) {
                0..=VALUES_MAX => Ok(Self(stored)),
                _ => Err(fail("it has too many rows")),
            }
        };
        Some(read())
    }

    pub(crate) fn rows(&self) -> usize {
        self.0.rows as usize
    }

    pub(crate) fn schema(&self) -> &Blob {
        &self.0.schema
    }

    /// The stream of the columns that are plain, if there are any.
    pub(crate) fn plain(&self) -> Option<&Blob> {
        (!self.0.plain.0.is_empty()).then_some(&self.0.plain)
    }

    /// All columns; `plain` are those that are plain.
    pub(crate) fn columns(self, schema: &SchemaRef, plain: &[ArrayRef]) -> Result<Vec<ArrayRef>, StoredError> {
        let rows = self.rows();
        if self.0.columns.len() != schema.fields().len() {
            return Err(fail("it has another number of columns than its schema"));
        }
        let mut plain = plain.iter();
        let columns = self.0.columns.into_iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| match column {
            StoredColumn::Plain => plain.next().cloned().ok_or_else(|| fail("a column is missing")),
            StoredColumn::Values { valid, base, width, values } => {
                let distances = narrow(&values.0, width, rows)?;
                let values = distances.map(|distance| base.wrapping_add_unsigned(distance));
                of_values(field.data_type(), rows, values, validity(valid, rows)?)
            }
            StoredColumn::Codes { valid, texts, width, codes } => {
                let codes = narrow(&codes.0, width, rows)?.map(|code| u32::try_from(code).unwrap_or(u32::MAX));
                of_codes(field.data_type(), &texts, UInt32Array::from_iter_values(codes), validity(valid, rows)?)
            }
        });
        columns.collect()
    }
}

fn fail(reason: impl fmt::Display) -> StoredError {
    StoredError::new("a packed batch of rows", reason)
}

/// How many values columns of so many rows have that are packed.
fn packed_values(columns: &[StoredColumn<'_>], rows: usize) -> usize {
    let packed = columns.iter().filter(|column| !matches!(column, StoredColumn::Plain)).count();
    packed.saturating_mul(rows)
}

fn packed(column: &ArrayRef) -> StoredColumn<'_> {
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    let valid = nulls.map(|nulls| Blob(nulls.inner().sliced().as_slice().to_vec()));
    if column.data_type() == &DataType::Utf8View {
        return match coded(column.as_string_view()) {
            Some((texts, codes)) => {
                let (width, codes) = narrowed(codes.iter().map(|code| u64::from(*code)), texts.len() as u64 - 1);
                let texts = texts.into_iter().map(Cow::Borrowed).collect();
                StoredColumn::Codes { valid, texts, width, codes }
            }
            None => StoredColumn::Plain,
        };
    }
    let data = column.to_data();
    match distances_of(&data, nulls) {
        Some((base, width, values)) => StoredColumn::Values { valid, base, width, values },
        None => StoredColumn::Plain,
    }
}

/// The values of a column, where they are integers of at most 64 bits: a base, and the distances from it in as many bytes each.
fn distances_of(data: &ArrayData, nulls: Option<&NullBuffer>) -> Option<(i64, u8, Blob)> {
    let range = data.offset()..data.offset() + data.len();
    let values = data.buffers().first();
    Some(match value_bytes(data.data_type())? {
        2 => distances(&values?.typed_data::<i16>()[range], nulls),
        4 => distances(&values?.typed_data::<i32>()[range], nulls),
        8 => distances(&values?.typed_data::<i64>()[range], nulls),
        _ => distances(&halved(&values?.typed_data::<i128>()[range], nulls)?, nulls),
    })
}

/// What stands in the place of a NULL means nothing, and has no distance.
fn distances<T: Copy + Ord + Into<i64>>(values: &[T], nulls: Option<&NullBuffer>) -> (i64, u8, Blob) {
    let is_valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    let first = (0..values.len()).find(|row| is_valid(*row)).map(|row| values[row]);
    let Some(first) = first else { return (0, 0, Blob(Vec::new())) };
    let wider = |(least, greatest): (T, T), value: &T| (least.min(*value), greatest.max(*value));
    let bounds = match nulls {
        None => values.iter().fold((first, first), wider),
        Some(nulls) => nulls.valid_indices().map(|row| &values[row]).fold((first, first), wider),
    };
    let (base, greatest): (i64, i64) = (bounds.0.into(), bounds.1.into());
    let distance = |value: T| {
        let value: i64 = value.into();
        value.wrapping_sub(base) as u64
    };
    let farthest = greatest.wrapping_sub(base) as u64;
    let (width, bytes) = match nulls {
        None => narrowed(values.iter().map(|value| distance(*value)), farthest),
        Some(_) => {
            let values = values.iter().enumerate();
            narrowed(values.map(|(row, value)| if is_valid(row) { distance(*value) } else { 0 }), farthest)
        }
    };
    (base, width, bytes)
}

/// Values of 128 bits in half as many, where all but NULLs fit.
fn halved(values: &[i128], nulls: Option<&NullBuffer>) -> Option<Vec<i64>> {
    let fits = |value: &i128| i128::from(*value as i64) == *value;
    let all_fit = match nulls {
        // Without a way out of the loop, which would be slower than to look at all of them.
        None => values.iter().fold(true, |fit, value| fit & fits(value)),
        Some(nulls) => nulls.valid_indices().all(|row| fits(&values[row])),
    };
    all_fit.then(|| values.iter().map(|value| *value as i64).collect())
}

/// The bytes that Arrow has for a value of a type whose values are integers.
fn value_bytes(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Int16 => Some(2),
        DataType::Int32 | DataType::Date32 => Some(4),
        DataType::Int64 | DataType::Time64(TimeUnit::Microsecond) | DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(8)
        }
        DataType::Decimal128(..) => Some(16),
        _ => None,
    }
}

/// The different texts of a column in the order in which they come, and for each row the place of its own. `None` where they hardly repeat.
fn coded(column: &StringViewArray) -> Option<(Vec<&str>, Vec<u32>)> {
    let mut texts: Vec<&str> = Vec::new();
    let mut known: HashMap<&str, u32> = HashMap::new();
    // Most texts are short, and a short one is its view.
    let mut views: HashMap<u128, u32> = HashMap::new();
    let mut met = MetViews::default();
    let mut codes = Vec::with_capacity(column.len());
    for (row, view) in column.views().iter().enumerate() {
        if column.is_null(row) {
            codes.push(0);
            continue;
        }
        let code = met.code_of(*view, || {
            *views.entry(*view).or_insert_with(|| {
                let text = column.value(row);
                *known.entry(text).or_insert_with(|| {
                    texts.push(text);
                    texts.len() as u32 - 1
                })
            })
        });
        codes.push(code);
        let hardly_repeat = row + 1 == SAMPLE_ROWS && texts.len() > SAMPLE_ROWS / 2;
        if hardly_repeat || texts.len() > TEXTS_MAX || views.len() > 2 * TEXTS_MAX {
            return None;
        }
    }
    if texts.is_empty() {
        texts.push("");
    }
    Some((texts, codes))
}

/// The codes of views that were met last, each in a place that the view itself says. To look here takes a fraction of what a map does.
struct MetViews([(u128, u32); MET_VIEWS]);

impl Default for MetViews {
    fn default() -> Self {
        Self([(0, Self::UNKNOWN); MET_VIEWS])
    }
}

impl MetViews {
    /// No column has so many codes.
    const UNKNOWN: u32 = u32::MAX;
    /// An odd number whose bits are spread, as in the finalizer of SplitMix64.
    const SPREAD: u64 = 0xbf58_476d_1ce4_e5b9;

    fn code_of(&mut self, view: u128, otherwise: impl FnOnce() -> u32) -> u32 {
        let folded = (view as u64 ^ (view >> 64) as u64).wrapping_mul(Self::SPREAD);
        let place = &mut self.0[(folded >> (u64::BITS - MET_VIEWS.ilog2())) as usize];
        if place.0 != view || place.1 == Self::UNKNOWN {
            *place = (view, otherwise());
        }
        place.1
    }
}

/// Numbers up to `greatest` in as few bytes each as they all fit in, little-endian.
fn narrowed(numbers: impl ExactSizeIterator<Item = u64>, greatest: u64) -> (u8, Blob) {
    let width = VALUE_BYTES - greatest.leading_zeros() as usize / 8;
    // A loop for each width, so that none has a length to look at in it.
    let bytes = match width {
        0 => Vec::new(),
        1 => lowest::<1>(numbers),
        2 => lowest::<2>(numbers),
        3 => lowest::<3>(numbers),
        4 => lowest::<4>(numbers),
        5 => lowest::<5>(numbers),
        6 => lowest::<6>(numbers),
        7 => lowest::<7>(numbers),
        _ => lowest::<VALUE_BYTES>(numbers),
    };
    (width as u8, Blob(bytes))
}

/// The lowest bytes of each number.
fn lowest<const WIDTH: usize>(numbers: impl Iterator<Item = u64>) -> Vec<u8> {
    let bytes = |number: u64| {
        let bytes = number.to_le_bytes();
        std::array::from_fn(|place| bytes[place])
    };
    numbers.map(bytes).collect::<Vec<[u8; WIDTH]>>().into_flattened()
}

/// Reads what [`narrowed`] wrote.
fn narrow(bytes: &[u8], width: u8, rows: usize) -> Result<impl Iterator<Item = u64>, StoredError> {
    let width = usize::from(width);
    if width > VALUE_BYTES || bytes.len() != rows * width {
        return Err(fail("a column has another number of rows"));
    }
    Ok((0..rows).map(move |row| {
        let mut number = [0; VALUE_BYTES];
        number[..width].copy_from_slice(&bytes[row * width..(row + 1) * width]);
        u64::from_le_bytes(number)
    }))
}

fn validity(valid: Option<Blob>, rows: usize) -> Result<Option<NullBuffer>, StoredError> {
    let Some(Blob(bytes)) = valid else { return Ok(None) };
    if bytes.len() < rows.div_ceil(8) {
        return Err(fail("the NULLs of a column are missing"));
    }
    Ok(Some(NullBuffer::new(BooleanBuffer::new(Buffer::from(bytes), 0, rows))))
}

fn of_values(
    data_type: &DataType,
    rows: usize,
    values: impl Iterator<Item = i64>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, StoredError> {
    // Written by the same function as another type: what does not fit was never there.
    let buffer = match value_bytes(data_type) {
        Some(2) => Buffer::from_vec(values.map(|value| value as i16).collect::<Vec<_>>()),
        Some(4) => Buffer::from_vec(values.map(|value| value as i32).collect::<Vec<_>>()),
        Some(8) => Buffer::from_vec(values.collect::<Vec<_>>()),
        Some(_) => Buffer::from_vec(values.map(i128::from).collect::<Vec<_>>()),
        None => return Err(fail(format_args!("values of type {data_type}"))),
    };
    let data = ArrayData::builder(data_type.clone()).len(rows).nulls(nulls).add_buffer(buffer).build();
    data.map(make_array).map_err(fail)
}

fn of_codes(
    data_type: &DataType,
    texts: &[Cow<'_, str>],
    codes: UInt32Array,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, StoredError> {
    if data_type != &DataType::Utf8View {
        return Err(fail(format_args!("codes of type {data_type}")));
    }
    let texts = StringViewArray::from_iter_values(texts);
    let codes = UInt32Array::new(codes.values().clone(), nulls);
    take(&texts, &codes, Some(TakeOptions { check_bounds: true })).map_err(fail)
}

#[cfg(test)]
mod tests;
