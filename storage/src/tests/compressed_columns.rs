//! Which columns of a segment are compressed.

use super::{live, table};
use crate::reader::SegmentStore;
use crate::staging::Staging;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use catalog::sql_type::SqlType;
use parquet::basic::Compression;
use std::sync::Arc;
use tempfile::TempDir;

/// Writes one segment of columns of a type, by name, and tells of each whether it is compressed. The rows must come back as they were.
fn compressed<const N: usize>(columns: [(&str, SqlType); N], values: [ArrayRef; N]) -> [bool; N] {
    let directory = TempDir::new().unwrap();
    let definition = Arc::new(table(&columns));
    let batch = RecordBatch::try_new(definition.schema(), values.to_vec()).unwrap();
    let mut staging = Staging::new(directory.path().into(), definition, usize::MAX);
    staging.push(batch.clone()).unwrap();
    let staged = staging.finish().unwrap();
    let store = SegmentStore::open(directory.path());
    let read: Vec<_> = store.read_segment(&live(&staged.metas()[0]), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(concat_batches(&batch.schema(), &read).unwrap(), batch);
    let footer = store.footer(&staged.metas()[0]).unwrap();
    std::array::from_fn(|column| footer.row_group(0).column(column).compression() != Compression::UNCOMPRESSED)
}

#[test]
fn integers_in_no_order_are_not_compressed() {
    fn no_order(row: i64) -> i64 {
        (row * row * 31 + row * 17) % 10_007
    }
    let values: [fn(i64) -> i64; 3] = [no_order, |row| row * 3, |row| no_order(row) * 100];
    let columns = values.map(|value| Arc::new((0..3000).map(value).collect::<Int64Array>()) as ArrayRef);
    let names = ["customer", "number", "hundreds"].map(|name| (name, SqlType::Int8));
    assert_eq!(compressed(names, columns), [false, true, true]);
}

#[test]
fn columns_of_few_short_values_are_not_compressed() {
    let values: [fn(i64) -> String; 3] = [
        |row| format!("status {}", row * row % 7),
        |row| format!("{} {}", row % 7, "status ".repeat(1000)),
        |row| format!("status {}", row % 100),
    ];
    let columns =
        values.map(|value| Arc::new((0..3000).map(|row| Some(value(row))).collect::<StringViewArray>()) as ArrayRef);
    assert_eq!(compressed(["few", "long", "many"].map(|name| (name, SqlType::Text)), columns), [false, true, true]);
}

#[test]
fn columns_that_compression_hardly_shrinks_are_not_compressed() {
    // As good as random: a product whose halves are mixed, twice.
    fn noise(row: i64) -> i64 {
        let mixed = |bits: u64, factor: u64| bits.wrapping_mul(factor) ^ (bits.wrapping_mul(factor) >> 32);
        let bits = mixed(mixed(row as u64 + 1, 0x9e37_79b9_7f4a_7c15), 0xd6e8_feb8_6659_fd93);
        (bits >> 1) as i64
    }
    let rows = 0..10_000;
    let columns: [ArrayRef; 3] = [
        // In order, with steps of which each takes about as many bits as it is given.
        Arc::new(rows.clone().map(|row| row * 64 + (noise(row) & 63)).collect::<Int64Array>()),
        // Multiples of some number, which their bits do not show.
        Arc::new(rows.clone().map(|row| (noise(row) & 1023) << 40).collect::<Int64Array>()),
        Arc::new(rows.map(|row| Some(format!("sale {row} of {}", row % 3000))).collect::<StringViewArray>()),
    ];
    let names = [("number", SqlType::Int8), ("multiple", SqlType::Int8), ("text", SqlType::Text)];
    assert_eq!(compressed(names, columns), [false, true, true]);
}
