//! Columns of every type that a table may have: they come back, sort and partition, and their bounds are known.

use super::{item, live, table};
use crate::reader::SegmentStore;
use crate::staging::Staging;
use arrow::array::*;
use arrow::compute::{SortOptions, sort_to_indices, take_record_batch};
use arrow::datatypes::i256;
use catalog::definition::{TableDefinition, Transform};
use catalog::segment::Datum;
use catalog::sql_type::SqlType;
use std::sync::Arc;
use tempfile::TempDir;

type Bounds = Option<(Datum, Datum)>;

/// One column of every type that a table may have, with its least and greatest value.
fn every_type() -> (Arc<TableDefinition>, RecordBatch, Vec<Bounds>) {
    let numeric = |precision, scale| SqlType::Numeric { precision, scale, declared: true };
    let wide = |text: &str| i256::from_string(text).unwrap();
    let int = |least, greatest| Some((Datum::Int(least), Datum::Int(greatest)));
    let text = |least: &str, greatest: &str| Some((Datum::Text(least.into()), Datum::Text(greatest.into())));
    let decimal = |least, greatest| Some((Datum::Decimal(least), Datum::Decimal(greatest)));
    let d128 = |values: [i128; 2], precision, scale| -> ArrayRef {
        let array = Decimal128Array::from(vec![Some(values[0]), None, Some(values[1])]);
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
    };
    let d256 = Decimal256Array::from(vec![Some(wide("-1")), None, Some(wide(&"9".repeat(50)))]);
    let uuids =
        FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some([7u8; 16]), None, Some([200; 16])].into_iter(), 16);
    let long = "x".repeat(65);
    let columns: Vec<(&str, SqlType, ArrayRef, Bounds)> = vec![
        (
            "bool",
            SqlType::Bool,
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Some((Datum::Bool(false), Datum::Bool(true))),
        ),
        ("int2", SqlType::Int2, Arc::new(Int16Array::from(vec![Some(-5), None, Some(i16::MAX)])), int(-5, 32767)),
        (
            "int4",
            SqlType::Int4,
            Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(4)])),
            int(i64::from(i32::MIN), 4),
        ),
        (
            "int8",
            SqlType::Int8,
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)])),
            int(i64::MIN, i64::MAX),
        ),
        (
            "float4",
            SqlType::Float4,
            Arc::new(Float32Array::from(vec![Some(-1.5), None, Some(2.0)])),
            Some((Datum::Float(-1.5), Datum::Float(2.0))),
        ),
        ("float8", SqlType::Float8, Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)])), None),
        ("narrow", numeric(9, 2), d128([-7, 12345], 9, 2), decimal(-7, 12345)),
        ("money", numeric(12, 2), d128([-7, 999_999_999_999], 12, 2), decimal(-7, 999_999_999_999)),
        (
            "decimal",
            numeric(38, 10),
            d128([-(10i128.pow(37)), 10i128.pow(37)], 38, 10),
            decimal(-(10i128.pow(37)), 10i128.pow(37)),
        ),
        ("wide", numeric(60, 5), Arc::new(d256.with_precision_and_scale(60, 5).unwrap()), None),
        (
            "text",
            SqlType::Text,
            Arc::new(StringViewArray::from(vec![Some("a text of more than twelve bytes"), None, Some("")])),
            text("", "a text of more than twelve bytes"),
        ),
        ("long", SqlType::Text, Arc::new(StringViewArray::from(vec![Some("a"), None, Some(long.as_str())])), None),
        (
            "varchar",
            SqlType::Varchar { length_max: Some(10) },
            Arc::new(StringViewArray::from(vec![Some("ä"), None, Some("z")])),
            text("z", "ä"),
        ),
        ("date", SqlType::Date, Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)])), int(-1, 20_000)),
        (
            "time",
            SqlType::Time,
            Arc::new(Time64MicrosecondArray::from(vec![Some(0), None, Some(86_399_999_999)])),
            int(0, 86_399_999_999),
        ),
        (
            "timestamp",
            SqlType::Timestamp,
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1)])),
            int(-1, 1),
        ),
        (
            "timestamptz",
            SqlType::TimestampTz,
            Arc::new(TimestampMicrosecondArray::from(vec![Some(3), None, Some(2)]).with_timezone("UTC")),
            int(2, 3),
        ),
        (
            "uuid",
            SqlType::Uuid,
            Arc::new(uuids.unwrap()),
            Some((Datum::Bytes(vec![7; 16]), Datum::Bytes(vec![200; 16]))),
        ),
        (
            "bytea",
            SqlType::Bytea,
            Arc::new(BinaryViewArray::from(vec![Some(&[0u8, 255][..]), None, Some(&[])])),
            Some((Datum::Bytes(vec![]), Datum::Bytes(vec![0, 255]))),
        ),
        ("void", SqlType::Int4, Arc::new(Int32Array::from(vec![None, None, None])), None),
    ];
    let definition = Arc::new(table(&columns.iter().map(|column| (column.0, column.1.clone())).collect::<Vec<_>>()));
    let arrays = columns.iter().map(|column| column.2.clone()).collect();
    let batch = RecordBatch::try_new(definition.schema(), arrays).unwrap();
    (definition, batch, columns.into_iter().map(|column| column.3).collect())
}

#[test]
fn every_type_comes_back_as_it_was_written() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let (definition, batch, bounds) = every_type();
    let mut staging = Staging::new(directory.path().into(), definition.clone(), usize::MAX);
    staging.push(batch.clone()).unwrap();
    let staged = staging.finish().unwrap();
    let meta = &staged.metas()[0];
    let back: Vec<_> = store.read_segment(&live(meta), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(back[0].schema(), definition.schema());
    assert_eq!(back, std::slice::from_ref(&batch));
    for ((statistics, expected), column) in meta.statistics.iter().zip(&bounds).zip(batch.columns()) {
        assert_eq!((&statistics.bounds, statistics.null_count), (expected, column.null_count() as u64));
    }
    let projected: Vec<_> = store.read_segment(&live(meta), Some(&[12, 3])).unwrap().map(Result::unwrap).collect();
    assert_eq!(projected, [batch.project(&[12, 3]).unwrap()]);
}

#[test]
fn every_type_partitions_and_sorts() {
    let (definition, batch, _) = every_type();
    for position in 0..batch.num_columns() - 1 {
        let directory = TempDir::new().unwrap();
        let store = SegmentStore::open(directory.path());
        let column = batch.column(position);
        let mut definition = definition.as_ref().clone();
        definition.order_by = vec![definition.columns[position].id];
        let ascending = SortOptions { descending: false, nulls_first: false };
        let expected = take_record_batch(&batch, &sort_to_indices(column, Some(ascending), None).unwrap()).unwrap();
        for partitioned in [false, true] {
            if partitioned {
                definition.partition_by = vec![item(definition.columns[position].id.0, Transform::Identity)];
            }
            let definition = Arc::new(definition.clone());
            let mut staging = Staging::new(directory.path().into(), definition, usize::MAX);
            staging.push(batch.clone()).unwrap();
            let staged = staging.finish().unwrap();
            assert_eq!(staged.metas().len(), if partitioned { 3 } else { 1 });
            if !partitioned {
                let back: Vec<_> =
                    store.read_segment(&live(&staged.metas()[0]), None).unwrap().map(Result::unwrap).collect();
                assert_eq!(back, std::slice::from_ref(&expected));
            }
        }
    }
}

#[test]
fn bounds_of_zeros_have_their_signs() {
    let directory = TempDir::new().unwrap();
    let definition =
        Arc::new(table(&[("one", SqlType::Float8), ("both", SqlType::Float8), ("small", SqlType::Float4)]));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![-0.0, -0.0])),
        Arc::new(Float64Array::from(vec![0.0, -0.0])),
        Arc::new(Float32Array::from(vec![0.0, -0.0])),
    ];
    let batch = RecordBatch::try_new(definition.schema(), arrays).unwrap();
    let mut staging = Staging::new(directory.path().into(), definition, usize::MAX);
    staging.push(batch).unwrap();
    let staged = staging.finish().unwrap();
    let signs: Vec<_> = staged.metas()[0]
        .statistics
        .iter()
        .map(|column| match column.bounds {
            Some((Datum::Float(least), Datum::Float(greatest))) => [least, greatest].map(f64::is_sign_negative),
            _ => panic!("floats have bounds"),
        })
        .collect();
    assert_eq!(signs, [[true, true], [true, false], [true, false]]);
}

#[test]
fn nothing_is_said_of_floats_beside_nan_but_their_nulls() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let definition =
        Arc::new(table(&[("nan", SqlType::Float8), ("small", SqlType::Float4), ("plain", SqlType::Float8)]));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)])),
        Arc::new(Float32Array::from(vec![Some(f32::NAN), None, None])),
        Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0])),
    ];
    let batch = RecordBatch::try_new(definition.schema(), arrays).unwrap();
    let mut staging = Staging::new(directory.path().into(), definition, usize::MAX);
    staging.push(batch).unwrap();
    let staged = staging.finish().unwrap();
    let footer = store.footer(&staged.metas()[0]).unwrap();
    let known = |place: usize| {
        let statistics = footer.row_group(0).column(place).statistics().unwrap();
        (statistics.null_count_opt(), statistics.min_bytes_opt().is_some(), statistics.max_bytes_opt().is_some())
    };
    assert_eq!([known(0), known(1)], [(Some(1), false, false), (Some(2), false, false)]);
    assert_eq!(known(2), (Some(0), true, true));
}
