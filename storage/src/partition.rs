//! Partitions: which rows lie together, and in which directory.
//!
//! A `PartitionKey` holds the values of the table's partition columns after their transforms. Keys are worked out a
//! column at a time: each column's values become small ordinals (every distinct value is interned once), the ordinals
//! of several columns are paired into the ordinal of the partition:
//!
//!     region     EMEA  APAC  EMEA        0 1 0  ┐
//!     sale_date  03-01 03-09 04-02  ─▶   0 0 1  ┴▶  partition 0 1 2,  keys (EMEA, 2025-03) (APAC, 2025-03) (EMEA, 2025-04)
//!
//! Invariants: two rows get the same ordinal exactly when their keys are equal (-0.0 equals 0.0, a NaN equals a NaN, NULL
//! equals NULL); a directory belongs to one key only.

use crate::error::StorageError;
use crate::grouping::GroupedBatch;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use catalog::definition::{TableDefinition, Transform};
use catalog::enum_type::stored_array;
use catalog::ids::ObjectId;
use catalog::segment::{Datum, PartitionKey};
use hashbrown::HashMap;

/// The most bytes of a label or of a value in a directory's name; longer ones are cut and end in a hash.
const PATH_PART_BYTES_MAX: usize = 110;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Texts and partitions of the last rows that are known without a look into a map.
const RECENT_TEXTS_MAX: usize = 8;
const RECENT_PARTITIONS: usize = 64;
/// The longest text that lies in its view, which is then equal exactly where the text is.
const TEXT_IN_VIEW_BYTES_MAX: u32 = 12;

/// The partitions of the rows of one batch.
#[derive(Debug, PartialEq)]
pub enum Ordinals {
    /// All rows lie in one partition.
    One(u32),
    /// The partition of each row.
    Each(Vec<u32>),
}

/// Gives the rows of a table's batches their partitions. Ordinals count up from zero in order of appearance and stay
/// valid for the partitioner's life.
pub struct Partitioner {
    table: String,
    columns: Vec<PartitionedColumn>,
}

struct PartitionedColumn {
    position: usize,
    transform: Transform,
    interner: Interner,
    /// From the partition by the columns before this one, and the ordinal of this column's value, to the partition by
    /// the columns up to this one.
    pairs: HashMap<(u32, u32), u32>,
    /// The keys of the partitions by the columns up to this one, by ordinal.
    keys: Vec<PartitionKey>,
}

/// The distinct values of one column, in order of appearance.
#[derive(Default)]
struct Interner {
    values: Vec<Datum>,
    null: Option<u32>,
    integers: HashMap<i64, u32>,
    bytes: HashMap<Vec<u8>, u32>,
}

/// The keys of a table without partition columns.
static ONLY_KEY: [PartitionKey; 1] = [PartitionKey(Vec::new())];

impl Partitioner {
    pub fn new(definition: &TableDefinition) -> Self {
        let columns = definition
            .partition_by
            .iter()
            .map(|item| PartitionedColumn {
                position: definition.position(item.column).expect("a partition column is a column of its table"),
                transform: item.transform,
                interner: Interner::default(),
                pairs: HashMap::new(),
                keys: Vec::new(),
            })
            .collect();
        Self { table: definition.name.name.clone(), columns }
    }

    /// The keys of all partitions seen so far, by ordinal.
    pub fn keys(&self) -> &[PartitionKey] {
        self.columns.last().map_or(&ONLY_KEY, |column| &column.keys)
    }

    /// The partition of each row of a batch of the table's schema.
    pub fn ordinals(&mut self, batch: &RecordBatch) -> Result<Ordinals, StorageError> {
        if self.columns.is_empty() {
            return Ok(Ordinals::One(0));
        }
        let mut combined = vec![0; batch.num_rows()];
        let mut prefixes: &[PartitionKey] = &ONLY_KEY;
        for column in &mut self.columns {
            let own = column.ordinals(batch, &self.table)?;
            column.combine(&mut combined, &own, prefixes);
            prefixes = &column.keys;
        }
        match combined.first() {
            Some(first) if combined.iter().all(|ordinal| ordinal == first) => Ok(Ordinals::One(*first)),
            _ => Ok(Ordinals::Each(combined)),
        }
    }

    /// One batch for each partition that occurs in `batch`; rows keep their order.
    pub fn split(&mut self, batch: &RecordBatch) -> Result<Vec<(PartitionKey, RecordBatch)>, StorageError> {
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let ordinals = self.ordinals(batch)?;
        let keys = self.keys();
        let grouped = GroupedBatch::new(batch.clone(), &ordinals, keys.len())
            .map_err(|error| StorageError::internal("split", &self.table, error))?;
        let parts = grouped.ordinals().filter_map(|ordinal| Some((ordinal, grouped.rows_of(ordinal)?)));
        Ok(parts.map(|(ordinal, rows)| (keys[ordinal as usize].clone(), rows)).collect())
    }
}

impl PartitionedColumn {
    /// Replaces each row's partition by the columns before this one by its partition including this one.
    fn combine(&mut self, combined: &mut [u32], own: &[u32], prefixes: &[PartitionKey]) {
        // Rows that come in no order alternate between a few partitions.
        let mut recent: [Option<((u32, u32), u32)>; RECENT_PARTITIONS] = [None; RECENT_PARTITIONS];
        for (partition, &value) in combined.iter_mut().zip(own) {
            let pair = (*partition, value);
            let known = &mut recent[pair.0.wrapping_mul(31).wrapping_add(pair.1) as usize % RECENT_PARTITIONS];
            *partition = match known {
                Some((seen, ordinal)) if *seen == pair => *ordinal,
                _ => *self.pairs.entry(pair).or_insert_with(|| {
                    let mut key = prefixes[pair.0 as usize].clone();
                    key.0.push(self.interner.values[value as usize].clone());
                    self.keys.push(key);
                    self.keys.len() as u32 - 1
                }),
            };
            *known = Some((pair, *partition));
        }
    }

    fn ordinals(&mut self, batch: &RecordBatch, table: &str) -> Result<Vec<u32>, StorageError> {
        let array = batch.column(self.position);
        let interner = &mut self.interner;
        match self.transform {
            Transform::Identity => interner.identity(array, table),
            transform => {
                let ordinals = match array.data_type() {
                    DataType::Date32 => {
                        let days = array.as_primitive::<Date32Type>().values();
                        let period = |row| period_of(i64::from(days[row]), transform);
                        interner.integers(array, period, |period| period_text(period, transform))
                    }
                    DataType::Timestamp(TimeUnit::Microsecond, _) => {
                        let micros = array.as_primitive::<TimestampMicrosecondType>().values();
                        let period = |row: usize| period_of(micros[row].div_euclid(MICROS_PER_DAY), transform);
                        interner.integers(array, period, |period| period_text(period, transform))
                    }
                    other => {
                        return Err(StorageError::internal("partition", table, format!("no calendar in {other}")));
                    }
                };
                Ok(ordinals)
            }
        }
    }
}

impl Interner {
    /// The ordinal of each row of an array whose values are their own partition values.
    fn identity(&mut self, array: &ArrayRef, table: &str) -> Result<Vec<u32>, StorageError> {
        macro_rules! integers {
            ($type:ty) => {{
                let values = array.as_primitive::<$type>().values();
                self.integers(array, |row| i64::from(values[row]), Datum::Int)
            }};
        }
        // The partitions of an enum are called as its values are in segments.
        let stored = stored_array(array);
        let array = &stored;
        Ok(match array.data_type() {
            DataType::Int16 => integers!(Int16Type),
            DataType::Int32 => integers!(Int32Type),
            DataType::Int64 => integers!(Int64Type),
            DataType::Date32 => integers!(Date32Type),
            DataType::Time64(TimeUnit::Microsecond) => integers!(Time64MicrosecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => integers!(TimestampMicrosecondType),
            DataType::Boolean => {
                let values = array.as_boolean();
                self.integers(array, |row| i64::from(values.value(row)), |value| Datum::Bool(value != 0))
            }
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>().values();
                self.integers(array, |row| float_bits(f64::from(values[row])), float_datum)
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>().values();
                self.integers(array, |row| float_bits(values[row]), float_datum)
            }
            DataType::Utf8View => self.texts(array.as_string_view()),
            DataType::BinaryView => {
                let values = array.as_binary_view();
                let datum = |bytes: &[u8]| Datum::Bytes(bytes.to_vec());
                self.bytes(array, |row, bytes| bytes.extend_from_slice(values.value(row)), datum)
            }
            DataType::FixedSizeBinary(_) => {
                let values = array.as_fixed_size_binary();
                let datum = |bytes: &[u8]| Datum::Bytes(bytes.to_vec());
                self.bytes(array, |row, bytes| bytes.extend_from_slice(values.value(row)), datum)
            }
            DataType::Decimal128(..) => {
                let values = array.as_primitive::<Decimal128Type>().values();
                let datum = |bytes: &[u8]| Datum::Decimal(i128::from_le_bytes(bytes.try_into().expect("16 bytes")));
                self.bytes(array, |row, bytes| bytes.extend_from_slice(&values[row].to_le_bytes()), datum)
            }
            // A wide decimal does not fit a datum; its text does.
            DataType::Decimal256(..) => {
                let values = array.as_primitive::<Decimal256Type>();
                let text = |bytes: &[u8]| Datum::Text(String::from_utf8_lossy(bytes).into_owned());
                self.bytes(array, |row, bytes| bytes.extend_from_slice(values.value_as_string(row).as_bytes()), text)
            }
            other => {
                return Err(StorageError::internal("partition", table, format!("no partitions by {other}")));
            }
        })
    }

    fn integers(
        &mut self,
        array: &ArrayRef,
        value_of: impl Fn(usize) -> i64,
        datum: impl Fn(i64) -> Datum,
    ) -> Vec<u32> {
        let mut last: Option<(i64, u32)> = None;
        let mut ordinals = Vec::with_capacity(array.len());
        for row in 0..array.len() {
            if array.is_null(row) {
                ordinals.push(self.null());
                continue;
            }
            let value = value_of(row);
            let ordinal = match last {
                Some((seen, ordinal)) if seen == value => ordinal,
                _ => *self.integers.entry(value).or_insert_with(|| {
                    self.values.push(datum(value));
                    self.values.len() as u32 - 1
                }),
            };
            last = Some((value, ordinal));
            ordinals.push(ordinal);
        }
        ordinals
    }

    fn texts(&mut self, array: &StringViewArray) -> Vec<u32> {
        let mut recent: Vec<(u128, u32)> = Vec::with_capacity(RECENT_TEXTS_MAX);
        let mut ordinals = Vec::with_capacity(array.len());
        for (row, view) in array.views().iter().enumerate() {
            if array.is_null(row) {
                ordinals.push(self.null());
                continue;
            }
            // A view begins with the text's length.
            let is_whole = *view as u32 <= TEXT_IN_VIEW_BYTES_MAX;
            if is_whole && let Some((_, ordinal)) = recent.iter().find(|(seen, _)| seen == view) {
                ordinals.push(*ordinal);
                continue;
            }
            let text = array.value(row);
            let ordinal = self.ordinal_of(text.as_bytes(), |_| Datum::Text(text.to_string()));
            ordinals.push(ordinal);
            if is_whole {
                if recent.len() == RECENT_TEXTS_MAX {
                    recent.clear();
                }
                recent.push((*view, ordinal));
            }
        }
        ordinals
    }

    fn ordinal_of(&mut self, value: &[u8], datum: impl Fn(&[u8]) -> Datum) -> u32 {
        if let Some(ordinal) = self.bytes.get(value) {
            return *ordinal;
        }
        let ordinal = self.values.len() as u32;
        self.values.push(datum(value));
        self.bytes.insert(value.to_vec(), ordinal);
        ordinal
    }

    fn bytes(
        &mut self,
        array: &ArrayRef,
        append: impl Fn(usize, &mut Vec<u8>),
        datum: impl Fn(&[u8]) -> Datum,
    ) -> Vec<u32> {
        let mut value = Vec::new();
        let mut ordinals = Vec::with_capacity(array.len());
        for row in 0..array.len() {
            if array.is_null(row) {
                ordinals.push(self.null());
                continue;
            }
            value.clear();
            append(row, &mut value);
            let ordinal = self.ordinal_of(&value, &datum);
            ordinals.push(ordinal);
        }
        ordinals
    }

    fn null(&mut self) -> u32 {
        *self.null.get_or_insert_with(|| {
            self.values.push(Datum::Null);
            self.values.len() as u32 - 1
        })
    }
}

/// A float's bits, the same for all floats that SQL calls equal.
fn float_bits(value: f64) -> i64 {
    let canonical = if value.is_nan() { f64::NAN } else { value + 0.0 };
    canonical.to_bits() as i64
}

fn float_datum(bits: i64) -> Datum {
    Datum::Float(f64::from_bits(bits as u64))
}

/// The number of the calendar period that holds a day (counted from 1970-01-01).
fn period_of(day: i64, transform: Transform) -> i64 {
    if matches!(transform, Transform::Identity | Transform::Day) {
        return day;
    }
    let (year, month, _) = civil_from_day(day);
    match transform {
        Transform::Year => year,
        Transform::Quarter => year * 4 + (month - 1) / 3,
        _ => year * 12 + month - 1,
    }
}

fn period_text(period: i64, transform: Transform) -> Datum {
    Datum::Text(match transform {
        Transform::Year => format!("{period:04}"),
        Transform::Quarter => format!("{:04}-Q{}", period.div_euclid(4), period.rem_euclid(4) + 1),
        Transform::Month => format!("{:04}-{:02}", period.div_euclid(12), period.rem_euclid(12) + 1),
        Transform::Identity | Transform::Day => {
            let (year, month, day) = civil_from_day(period);
            format!("{year:04}-{month:02}-{day:02}")
        }
    })
}

/// Year, month and day of the proleptic Gregorian calendar: Howard Hinnant's `civil_from_days`.
fn civil_from_day(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_month)
}

/// The directory of a table's segments relative to the data directory.
pub fn table_directory(table: ObjectId) -> String {
    format!("{SEGMENTS_DIRECTORY}/{table}")
}

/// Where all segments lie, relative to the data directory.
pub const SEGMENTS_DIRECTORY: &str = "segments";

/// The directory of a partition relative to the data directory, e.g.
/// `segments/16384/region=EMEA/sale_date_month=2025-03`.
pub fn partition_directory(definition: &TableDefinition, key: &PartitionKey) -> String {
    let mut path = table_directory(definition.id);
    for (item, value) in definition.partition_by.iter().zip(&key.0) {
        path.push('/');
        path.push_str(&path_part(&definition.partition_label(item)));
        path.push('=');
        match value {
            Datum::Null => path.push_str("__null__"),
            Datum::Text(text) if text.is_empty() => path.push_str("__empty__"),
            Datum::Bytes(bytes) if bytes.is_empty() => path.push_str("__empty__"),
            value => path.push_str(&path_part(&value.to_string())),
        }
    }
    path
}

/// Bytes that are equal exactly for equal keys; a `PartitionKey` itself holds floats and cannot be a map's key.
pub fn key_bytes(key: &PartitionKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in &key.0 {
        let (tag, content) = match value {
            Datum::Null => (0, Vec::new()),
            Datum::Bool(value) => (1, vec![u8::from(*value)]),
            Datum::Int(value) => (2, value.to_be_bytes().to_vec()),
            Datum::Decimal(value) => (3, value.to_be_bytes().to_vec()),
            Datum::Float(value) => (4, float_bits(*value).to_be_bytes().to_vec()),
            Datum::Text(value) => (5, value.as_bytes().to_vec()),
            Datum::Bytes(value) => (6, value.clone()),
        };
        bytes.push(tag);
        bytes.extend_from_slice(&(content.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&content);
    }
    bytes
}

/// A label or a value as part of a directory's name: percent-encoded, of limited length, and never one of the reserved
/// `__null__` and `__empty__`.
fn path_part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for (position, byte) in text.bytes().enumerate() {
        let reserved = position == 0 && text.starts_with("__") && text.ends_with("__");
        if !reserved && (byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')) {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    if part.len() > PATH_PART_BYTES_MAX {
        // `~` occurs in no other part, so a cut value meets no whole one.
        part.truncate(PATH_PART_BYTES_MAX - 17);
        part.push_str(&format!("~{:016x}", fnv_1a(text.as_bytes())));
    }
    part
}

/// FNV-1a with 64 bits: a name must be the same in every release.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
