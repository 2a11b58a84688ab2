//! Column statistics: exact bounds of each column of a segment, or none.
//!
//! The Parquet writer already looks at every value, so its row group statistics are used where they are exact. Some
//! are not: long text and bytes (cut to [`BOUND_BYTES_MAX`] and marked), floats (NaN is left out in silence),
//! decimals above 38 digits (they fit no `Datum`) and the nulls of arrays (an empty array counts as one). Enums are stored as
//! texts, which sort otherwise. [`OwnStatistics`] looks at floats, arrays and enums itself, and what Parquet says of floats beside NaN
//! is not read again ([`without_bounds_beside_nan`]).

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef, TimestampMicrosecondType};
use catalog::definition::TableDefinition;
use catalog::enum_type::EnumType;
use catalog::segment::{ColumnStatistics, Datum, SegmentMeta};
use catalog::zoned_time::is_zoned_time;
use parquet::basic::Type;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

/// The longest text or bytes that serve as a bound; a longer bound is unknown.
pub(crate) const BOUND_BYTES_MAX: usize = 64;

/// Bounds of the columns of floats and enums and nulls of the array columns of a segment while it is being written.
pub(crate) struct OwnStatistics {
    floats: Vec<FloatColumn>,
    arrays: Vec<ArrayColumn>,
    enums: Vec<EnumColumn>,
}

struct EnumColumn {
    position: usize,
    bounds: Option<(i64, i64)>,
}

struct ArrayColumn {
    position: usize,
    nulls: u64,
}

struct FloatColumn {
    position: usize,
    least: f64,
    greatest: f64,
    has_nan: bool,
}

impl OwnStatistics {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        let positions = |kind: fn(&DataType) -> bool| {
            let fields = schema.fields().iter().enumerate();
            fields.filter(move |(_, field)| kind(field.data_type())).map(|(position, _)| position)
        };
        let floats = positions(DataType::is_floating).map(|position| FloatColumn {
            position,
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
            has_nan: false,
        });
        let arrays = positions(DataType::is_nested).map(|position| ArrayColumn { position, nulls: 0 });
        let enums = positions(is_position).map(|position| EnumColumn { position, bounds: None });
        Self { floats: floats.collect(), arrays: arrays.collect(), enums: enums.collect() }
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        for column in &mut self.arrays {
            column.nulls += batch.column(column.position).null_count() as u64;
        }
        for column in &mut self.enums {
            let values = batch.column(column.position).as_primitive::<TimestampMicrosecondType>();
            for value in values.iter().flatten() {
                let (least, greatest) = column.bounds.unwrap_or((value, value));
                column.bounds = Some((least.min(value), greatest.max(value)));
            }
        }
        for column in &mut self.floats {
            let array = batch.column(column.position);
            match array.data_type() {
                DataType::Float32 => {
                    array.as_primitive::<Float32Type>().iter().flatten().for_each(|value| column.add(f64::from(value)));
                }
                _ => array.as_primitive::<Float64Type>().iter().flatten().for_each(|value| column.add(value)),
            }
        }
    }

    fn nulls(&self, position: usize) -> Option<u64> {
        self.arrays.iter().find(|column| column.position == position).map(|column| column.nulls)
    }

    fn bounds(&self, position: usize) -> Option<(Datum, Datum)> {
        if let Some(column) = self.enums.iter().find(|column| column.position == position) {
            return column.bounds.map(|(least, greatest)| (Datum::Int(least), Datum::Int(greatest)));
        }
        let column = self.floats.iter().find(|column| column.position == position)?;
        let known = !column.has_nan && column.least <= column.greatest;
        known.then_some((Datum::Float(column.least), Datum::Float(column.greatest)))
    }
}

impl FloatColumn {
    /// -0 is below 0 here: bounds that are the same say that all values are.
    fn add(&mut self, value: f64) {
        self.has_nan |= value.is_nan();
        if value.total_cmp(&self.least).is_lt() {
            self.least = value;
        }
        if value.total_cmp(&self.greatest).is_gt() {
            self.greatest = value;
        }
    }
}

/// The statistics of every column of a finished segment, in the order of the table's columns.
pub(crate) fn column_statistics(
    definition: &TableDefinition,
    schema: &SchemaRef,
    metadata: &ParquetMetaData,
    own: &OwnStatistics,
) -> Vec<ColumnStatistics> {
    let columns = definition.columns.iter().zip(schema.fields()).enumerate();
    columns
        .map(|(position, (column, field))| {
            if let Some(null_count) = own.nulls(position) {
                return ColumnStatistics { column: column.id, null_count, bounds: None };
            }
            let mut null_count = 0;
            let mut bounds = None;
            let mut known = true;
            for row_group in metadata.row_groups() {
                let chunk = row_group.column(position);
                let nulls = chunk.statistics().and_then(Statistics::null_count_opt).unwrap_or(0);
                null_count += nulls;
                if nulls == row_group.num_rows() as u64 {
                    continue;
                }
                match chunk.statistics().and_then(|statistics| datum_bounds(statistics, field.data_type())) {
                    Some(of_chunk) => bounds = Some(widen(bounds, of_chunk)),
                    None => known = false,
                }
            }
            let bounds = match field.data_type() {
                DataType::Float32 | DataType::Float64 => own.bounds(position),
                other if is_position(other) => own.bounds(position),
                _ => bounds.filter(|_| known),
            };
            ColumnStatistics { column: column.id, null_count, bounds }
        })
        .collect()
}

/// A footer whose bounds hold for all values. Parquet leaves NaN, which is greater than every other number, out of the bounds of floats;
/// they go where the segment is not known to be without it.
pub(crate) fn without_bounds_beside_nan(footer: ParquetMetaData, segment: &SegmentMeta) -> ParquetMetaData {
    let schema = footer.file_metadata().schema_descr_ptr();
    let is_float = |place: &usize| matches!(schema.column(*place).physical_type(), Type::FLOAT | Type::DOUBLE);
    let is_unknown = |place: &usize| segment.statistics.get(*place).is_none_or(|known| known.bounds.is_none());
    let unknown: Vec<usize> = (0..schema.num_columns()).filter(is_float).filter(is_unknown).collect();
    if unknown.is_empty() {
        return footer;
    }
    let mut footer = footer.into_builder();
    let mut row_groups = footer.take_row_groups();
    for row_group in &mut row_groups {
        for (place, chunk) in row_group.columns_mut().iter_mut().enumerate() {
            if unknown.contains(&place) {
                *chunk = without_bounds(chunk.clone());
            }
        }
    }
    let mut pages = footer.take_column_index();
    for of_row_group in pages.iter_mut().flatten() {
        unknown.iter().for_each(|place| of_row_group[*place] = ColumnIndexMetaData::NONE);
    }
    footer.set_row_groups(row_groups).set_column_index(pages).build()
}

/// A column of doubles or reals in a row group of which only the NULLs are known.
fn without_bounds(chunk: ColumnChunkMetaData) -> ColumnChunkMetaData {
    let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
    let statistics = match chunk.column_type() {
        Type::FLOAT => Statistics::float(None, None, None, nulls, false),
        _ => Statistics::double(None, None, None, nulls, false),
    };
    chunk.into_builder().set_statistics(statistics).build().expect("a column has what it had before")
}

/// Whether the values of a type are integers in memory that segments have in another form.
fn is_position(data_type: &DataType) -> bool {
    is_zoned_time(data_type) || EnumType::of_data_type(data_type).is_some()
}

fn widen(bounds: Option<(Datum, Datum)>, own: (Datum, Datum)) -> (Datum, Datum) {
    let Some((least, greatest)) = bounds else {
        return own;
    };
    let least = if own.0 < least { own.0 } else { least };
    let greatest = if own.1 > greatest { own.1 } else { greatest };
    (least, greatest)
}

/// The exact bounds of one column of one row group.
fn datum_bounds(statistics: &Statistics, data_type: &DataType) -> Option<(Datum, Datum)> {
    if !statistics.min_is_exact() || !statistics.max_is_exact() {
        return None;
    }
    let integer = |value: i64| match data_type {
        DataType::Decimal128(..) => Datum::Decimal(i128::from(value)),
        _ => Datum::Int(value),
    };
    match statistics {
        Statistics::Boolean(typed) => Some((Datum::Bool(*typed.min_opt()?), Datum::Bool(*typed.max_opt()?))),
        Statistics::Int32(typed) if is_integral(data_type) => {
            Some((integer(i64::from(*typed.min_opt()?)), integer(i64::from(*typed.max_opt()?))))
        }
        Statistics::Int64(typed) if is_integral(data_type) => {
            Some((integer(*typed.min_opt()?), integer(*typed.max_opt()?)))
        }
        Statistics::ByteArray(typed) => {
            Some((bytes_datum(typed.min_opt()?.data(), data_type)?, bytes_datum(typed.max_opt()?.data(), data_type)?))
        }
        Statistics::FixedLenByteArray(typed) => {
            Some((bytes_datum(typed.min_opt()?.data(), data_type)?, bytes_datum(typed.max_opt()?.data(), data_type)?))
        }
        _ => None,
    }
}

/// Whether Parquet's integers under this type are the datum's integer (or a narrow decimal's unscaled value).
fn is_integral(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || data_type.is_temporal() || matches!(data_type, DataType::Decimal128(..))
}

fn bytes_datum(bytes: &[u8], data_type: &DataType) -> Option<Datum> {
    match data_type {
        DataType::Utf8View if bytes.len() <= BOUND_BYTES_MAX => String::from_utf8(bytes.to_vec()).ok().map(Datum::Text),
        DataType::BinaryView | DataType::FixedSizeBinary(_) if bytes.len() <= BOUND_BYTES_MAX => {
            Some(Datum::Bytes(bytes.to_vec()))
        }
        // Big-endian two's complement of up to 16 bytes.
        DataType::Decimal128(..) => {
            let mut wide = if bytes.first()? & 0x80 == 0 { [0; 16] } else { [0xff; 16] };
            wide.get_mut(16_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
            Some(Datum::Decimal(i128::from_be_bytes(wide)))
        }
        _ => None,
    }
}
