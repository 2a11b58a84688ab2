//! Tests of digests, logs and indexes.

use super::index::KeyIndex;
use super::log::KeyLog;
use super::shape::KeyShape;
use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch,
    StringViewArray,
};
use arrow::datatypes::IntervalMonthDayNano;
use catalog::definition::{Column, Key, ObjectName, TableDefinition};
use catalog::ids::{ColumnId, ObjectId, SegmentId};
use catalog::segment::{ColumnStatistics, Datum, PartitionKey, SegmentMeta};
use catalog::sql_type::SqlType;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, UnboundedMemoryPool};
use std::sync::Arc;

/// A table of columns 1, 2, … with one key over all of them.
fn table(types: &[SqlType]) -> TableDefinition {
    let ids = || (1..).map(ColumnId);
    let columns = ids().zip(types).map(|(id, sql_type)| Column::new(id, format!("c{}", id.0), sql_type.clone()));
    let key = Key {
        id: ObjectId(17000),
        name: "t_key".to_string(),
        columns: ids().take(types.len()).collect(),
        primary: false,
        index: false,
    };
    let name = ObjectName::new("public", "t");
    TableDefinition { keys: vec![key], ..TableDefinition::new(ObjectId(16384), name, columns.collect()) }
}

fn shape(types: &[SqlType]) -> Arc<KeyShape> {
    let table = table(types);
    Arc::new(KeyShape::new(&table, &table.keys[0]).unwrap())
}

fn digests(sql_type: SqlType, array: impl arrow::array::Array + 'static) -> Vec<u64> {
    shape(&[sql_type]).digests(&[Arc::new(array)]).unwrap().0
}

fn unbounded() -> Arc<dyn MemoryPool> {
    Arc::new(UnboundedMemoryPool::default())
}

/// A log of rows of one nullable bigint.
fn log(batches: &[&[Option<i64>]]) -> KeyLog {
    let mut log = KeyLog::new(&unbounded(), shape(&[SqlType::Int8]));
    for batch in batches {
        let array: ArrayRef = Arc::new(Int64Array::from(batch.to_vec()));
        log.push(&RecordBatch::try_from_iter([("c1", array)]).unwrap()).unwrap();
    }
    log
}

#[test]
fn digests_of_one_narrow_column_keep_its_order() {
    assert!(digests(SqlType::Int8, Int64Array::from(vec![i64::MIN, -1, 0, 1, i64::MAX])).is_sorted());
    assert!(digests(SqlType::Date, Date32Array::from(vec![-1, 0, 20_000])).is_sorted());
    let numeric = SqlType::Numeric { precision: 12, scale: 2, declared: true };
    let decimals = Decimal128Array::from(vec![-100, 0, 5]).with_precision_and_scale(12, 2).unwrap();
    assert!(digests(numeric, decimals).is_sorted());
    assert!(shape(&[SqlType::Int8]).exact);
    assert!(!shape(&[SqlType::Text]).exact && !shape(&[SqlType::Int4, SqlType::Int4]).exact);
}

#[test]
fn keys_that_sql_calls_equal_have_equal_digests() {
    let nan = f64::from_bits(f64::NAN.to_bits() | 1);
    let found = digests(SqlType::Float8, Float64Array::from(vec![0.0, -0.0, f64::NAN, nan, 1.0]));
    assert_eq!((found[0], found[2]), (found[1], found[3]));
    assert!(found[0] != found[2] && found[4] != found[0]);
}

#[test]
fn intervals_of_one_length_are_one_key() {
    const HOUR: i64 = 3_600_000_000_000;
    let groups = [
        vec![(0, 0, 0), (0, 1, -24 * HOUR), (1, -30, 0), (1, -31, 24 * HOUR)],
        vec![(0, 1, 0), (0, 0, 24 * HOUR), (1, -29, 0)],
        vec![(0, -1, 0), (0, 0, -24 * HOUR), (-1, 29, 0)],
        vec![(12, 0, 0), (0, 360, 0), (11, 29, 24 * HOUR)],
    ];
    let of_group = |group: &Vec<(i32, i32, i64)>| {
        let values = group.iter().map(|(months, days, nanos)| IntervalMonthDayNano::new(*months, *days, *nanos));
        let mut found = digests(SqlType::Interval, values.map(Some).collect::<IntervalMonthDayNanoArray>());
        found.dedup();
        found
    };
    let mut found = groups.iter().flat_map(of_group).collect::<Vec<_>>();
    assert_eq!(found.len(), groups.len());
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), groups.len());
}

#[test]
fn a_key_with_a_null_has_no_digest() {
    let shape = shape(&[SqlType::Int8, SqlType::Text]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), None, Some(1)])),
        Arc::new(StringViewArray::from(vec![Some("a"), Some("a"), None])),
    ];
    let nulls = shape.digests(&columns).unwrap().1.unwrap();
    assert_eq!(nulls.iter().collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn a_log_in_order_repeats_nothing_and_one_out_of_order_says_what() {
    let mut ordered = log(&[&[Some(1), Some(2)], &[Some(5)]]);
    let sorted = ordered.sorted().unwrap();
    assert!(ordered.repeated(&sorted).is_empty());
    let mut again = log(&[&[Some(3), Some(1)], &[None, Some(3)]]);
    let sorted = again.sorted().unwrap();
    assert!(sorted.is_sorted());
    assert_eq!(again.repeated(&sorted), [*again.arrived().next().unwrap()].into());
    let mut twice = log(&[&[Some(1)], &[Some(1)]]);
    let sorted = twice.sorted().unwrap();
    assert_eq!(twice.repeated(&sorted).len(), 1, "equal neighbours in two batches");
}

#[test]
fn a_log_of_several_pieces_is_one_log() {
    let rows: Vec<Option<i64>> = (0..300_000).map(Some).collect();
    let mut ordered = log(&[&rows[..100_000], &rows[100_000..]]);
    let sorted = ordered.sorted().unwrap();
    assert!(sorted.len() == rows.len() && ordered.arrived().eq(sorted.iter()) && sorted.is_sorted());
    let mut turned = log(&[&rows[100_000..], &rows[..100_000]]);
    assert_eq!(turned.sorted().unwrap(), sorted);
    assert!(turned.repeated(&sorted).is_empty());
    assert_eq!(turned.arrived().next(), sorted.get(100_000));
}

#[test]
fn places_in_the_log_are_rows_of_the_statement() {
    let log = log(&[&[None, Some(7), None], &[None, Some(8), Some(9), None]]);
    assert_eq!((0..3).map(|place| log.row_of(place)).collect::<Vec<_>>(), [1, 4, 5]);
}

#[test]
fn a_log_stays_inside_its_memory() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(20));
    let mut log = KeyLog::new(&pool, shape(&[SqlType::Int8]));
    let batch = |rows| {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1; rows]));
        RecordBatch::try_from_iter([("c1", array)]).unwrap()
    };
    log.push(&batch(2)).unwrap();
    let error = log.push(&batch(1)).unwrap_err();
    assert_eq!(error.kind, crate::error::ErrorKind::OutOfMemory);
}

#[test]
fn only_segments_whose_bounds_overlap_are_looked_at() {
    let log = log(&[&[Some(10), Some(20)]]);
    let segment = |bounds: Option<(i64, i64)>| SegmentMeta {
        id: SegmentId(1),
        partition: PartitionKey::default(),
        path: String::new(),
        rows: 1,
        bytes: 1,
        checksum: 0,
        statistics: vec![ColumnStatistics {
            column: ColumnId(1),
            null_count: 0,
            bounds: bounds.map(|(least, greatest)| (Datum::Int(least), Datum::Int(greatest))),
        }],
    };
    assert!(!log.overlaps(&segment(Some((1, 9)))) && !log.overlaps(&segment(Some((21, 30)))));
    assert!(log.overlaps(&segment(Some((1, 10)))) && log.overlaps(&segment(Some((12, 13)))));
    assert!(log.overlaps(&segment(None)));
}

#[test]
fn an_index_finds_each_row_of_each_digest() {
    for digests in [vec![4, 1, 4, 9], vec![1, 4, 9, 12]] {
        let index = KeyIndex::of(std::iter::once(Ok((digests.clone(), None)))).unwrap();
        for sorted in [vec![4], vec![0, 4, 5, 9, 10, 11, 12, 13, 14, 15]] {
            let mut met = Vec::new();
            index.meet(&sorted, |digest, row| met.push((digest, row)));
            let mut expected: Vec<(u64, u32)> =
                (0u32..).zip(&digests).filter(|(_, d)| sorted.contains(*d)).map(|(row, d)| (*d, row)).collect();
            expected.sort_unstable();
            assert_eq!(met, expected);
        }
        let rows: Vec<u32> = index.rows_of(4).collect();
        assert_eq!(rows.len(), digests.iter().filter(|digest| **digest == 4).count());
    }
}
