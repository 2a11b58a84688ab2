//! Claims about storage, each checked against something simpler than the code it checks.

use crate::partition::{Partitioner, partition_directory};
use crate::*;
use arrow::array::*;
use arrow::compute::{SortOptions, cast, concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::*;
use catalog::definition::{Column, ObjectName, PartitionColumn, TableDefinition, Transform};
use catalog::files::{Fault, Files, Step, Watcher};
use catalog::ids::{ColumnId, CommitSeq, ObjectId, RecentId, SegmentId};
use catalog::segment::{Datum, DeletionVector, LiveSegment, PartitionKey, SegmentMeta};
use catalog::snapshot::{RecentBatch, TableVersion};
use catalog::sql_type::SqlType;
use futures::TryStreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::async_reader::AsyncFileReader;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

mod compressed_columns;
mod damage;

fn table(columns: &[(&str, SqlType)]) -> TableDefinition {
    let columns = columns.iter().enumerate();
    let columns =
        columns.map(|(position, (name, sql_type))| Column::new(ColumnId(position as i32 + 1), *name, sql_type.clone()));
    TableDefinition::new(ObjectId(16384), ObjectName::new("public", "sales"), columns.collect())
}

/// `sales (region text, sale_date date, amount bigint) PARTITION BY (region, month(sale_date))`, sorted by date, amount.
fn sales() -> Arc<TableDefinition> {
    let mut definition = table(&[("region", SqlType::Text), ("sale_date", SqlType::Date), ("amount", SqlType::Int8)]);
    definition.partition_by = vec![item(1, Transform::Identity), item(2, Transform::Month)];
    definition.order_by = vec![ColumnId(2), ColumnId(3)];
    Arc::new(definition)
}

fn item(column: i32, transform: Transform) -> PartitionColumn {
    PartitionColumn { column: ColumnId(column), transform }
}

type Sale = (Option<String>, Option<i32>, Option<i64>);

fn sales_batch(rows: &[Sale]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter(rows.iter().map(|row| row.0.as_deref()))),
        Arc::new(Date32Array::from_iter(rows.iter().map(|row| row.1))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(sales().schema(), columns).unwrap()
}

fn sales_rows(batch: &RecordBatch) -> Vec<Sale> {
    let regions = batch.column(0).as_string_view();
    let dates = batch.column(1).as_primitive::<Date32Type>();
    let amounts = batch.column(2).as_primitive::<Int64Type>();
    let rows = regions.iter().zip(dates.iter()).zip(amounts.iter());
    rows.map(|((region, date), amount)| (region.map(str::to_string), date, amount)).collect()
}

fn sale() -> impl Strategy<Value = Sale> {
    let region = prop_oneof![Just("EMEA"), Just("APAC"), Just(""), Just("a region with a long name / and % signs")];
    (weighted(0.9, region.prop_map(str::to_string)), weighted(0.9, 19_000..19_400), weighted(0.9, -20..20i64))
}

fn naive_key(row: &Sale) -> PartitionKey {
    let region = row.0.clone().map_or(Datum::Null, Datum::Text);
    let month = row.1.map(|day| cast(&Date32Array::from(vec![day]), &DataType::Utf8).unwrap());
    let month = month.map_or(Datum::Null, |text| Datum::Text(text.as_string::<i32>().value(0)[..7].to_string()));
    PartitionKey(vec![region, month])
}

fn order(row: &Sale) -> impl Ord {
    (row.1.is_none(), row.1, row.2.is_none(), row.2)
}

fn sorted(mut rows: Vec<Sale>) -> Vec<Sale> {
    rows.sort();
    rows
}

fn live(meta: &Arc<SegmentMeta>) -> LiveSegment {
    LiveSegment { meta: meta.clone(), added: CommitSeq(0), deleted: None }
}

fn vector(rows: impl IntoIterator<Item = u32>) -> Arc<DeletionVector> {
    Arc::new(DeletionVector(rows.into_iter().collect()))
}

fn read(store: &SegmentStore, segment: &LiveSegment) -> Vec<Sale> {
    store.read_segment(segment, None).unwrap().flat_map(|batch| sales_rows(&batch.unwrap())).collect()
}

fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

fn stage(directory: &TempDir, rows: &[Sale]) -> StagedSegments {
    let mut staging = Staging::new(directory.path().into(), sales(), usize::MAX);
    staging.push(sales_batch(rows)).unwrap();
    staging.finish().unwrap()
}

fn version(segments: Vec<LiveSegment>, recent: Vec<RecentBatch>) -> TableVersion {
    let mut version = TableVersion::empty(sales(), CommitSeq(1));
    version.segments = Arc::new(segments.into_iter().map(|segment| (segment.meta.id, segment)).collect());
    version.recent = recent.into_iter().map(Arc::new).collect();
    version
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_batch_splits_as_row_by_row(batches in vec(vec(sale(), 0..60), 1..4)) {
        let mut partitioner = Partitioner::new(&sales());
        for rows in batches {
            let mut naive: Vec<(PartitionKey, Vec<Sale>)> = Vec::new();
            for row in &rows {
                let key = naive_key(row);
                match naive.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, rows)) => rows.push(row.clone()),
                    None => naive.push((key, vec![row.clone()])),
                }
            }
            let split = partitioner.split(&sales_batch(&rows)).unwrap();
            prop_assert_eq!(split.len(), naive.len());
            for (key, batch) in split {
                let (_, expected) = naive.iter().find(|(known, _)| *known == key).unwrap();
                prop_assert_eq!(&sales_rows(&batch), expected);
            }
        }
    }

    #[test]
    fn staged_segments_hold_the_rows_sorted_and_described(
        batches in vec(vec(sale(), 0..60), 1..6), budget in prop_oneof![Just(2000usize), Just(usize::MAX)]
    ) {
        let directory = TempDir::new().unwrap();
        let store = SegmentStore::open(directory.path());
        let mut staging = Staging::new(directory.path().into(), sales(), budget);
        for rows in &batches {
            staging.push(sales_batch(rows)).unwrap();
        }
        let staged = staging.finish().unwrap();
        let mut found = Vec::new();
        for meta in staged.metas() {
            let rows = read(&store, &live(&meta));
            prop_assert_eq!(rows.len(), meta.rows as usize);
            prop_assert!(rows.is_sorted_by_key(order));
            prop_assert!(rows.iter().all(|row| naive_key(row) == meta.partition));
            prop_assert!(meta.path.starts_with(&partition_directory(&sales(), &meta.partition)));
            check_statistics(&meta, &rows);
            store.verify(&meta).unwrap();
            found.extend(rows);
        }
        prop_assert_eq!(sorted(found), sorted(batches.concat()));
    }

    #[test]
    fn selections_are_the_vectors_rows(rows in 0..300u32, dead in vec(0..320u32, 0..200)) {
        let dead = vector(dead);
        let flags = |selection: RowSelection| -> Vec<bool> {
            let runs: Vec<_> = selection.into();
            runs.iter().flat_map(|run: &parquet::arrow::arrow_reader::RowSelector| vec![!run.skip; run.row_count]).collect()
        };
        let naive: Vec<bool> = (0..rows).map(|row| dead.0.contains(row)).collect();
        let inverse: Vec<bool> = naive.iter().map(|dead| !dead).collect();
        prop_assert_eq!(flags(row_selection(rows, &dead)), inverse);
        prop_assert_eq!(flags(row_selection_of(rows, &dead)), naive);
    }
}

fn check_statistics(meta: &SegmentMeta, rows: &[Sale]) {
    fn bounds<T: Ord + Clone>(
        values: impl Iterator<Item = T> + Clone,
        datum: fn(T) -> Datum,
    ) -> Option<(Datum, Datum)> {
        Some((datum(values.clone().min()?), datum(values.max()?)))
    }
    let naive = [
        bounds(rows.iter().filter_map(|row| row.0.clone()), Datum::Text),
        bounds(rows.iter().filter_map(|row| row.1.map(i64::from)), Datum::Int),
        bounds(rows.iter().filter_map(|row| row.2), Datum::Int),
    ];
    let nulls = [
        rows.iter().filter(|row| row.0.is_none()).count(),
        rows.iter().filter(|row| row.1.is_none()).count(),
        rows.iter().filter(|row| row.2.is_none()).count(),
    ];
    for (statistics, (bounds, nulls)) in meta.statistics.iter().zip(naive.into_iter().zip(nulls)) {
        assert_eq!((&statistics.bounds, statistics.null_count), (&bounds, nulls as u64), "{:?}", statistics.column);
    }
}

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
fn many_texts_of_any_length_partition() {
    let mut definition = table(&[("name", SqlType::Text), ("group", SqlType::Int4)]);
    definition.partition_by = vec![item(1, Transform::Identity), item(2, Transform::Identity)];
    let texts: Vec<Option<String>> = (0..2000u32)
        .map(|row| match row * row % 31 {
            0 => None,
            number if number % 3 == 0 => Some(format!("a text that does not lie in its view {}", number / 2)),
            number => Some("x".repeat(number as usize % 14)),
        })
        .collect();
    let groups: Vec<i32> = (0..2000).map(|row| (row * row + row) % 97).collect();
    let names = StringViewArray::from_iter(texts.iter().map(Option::as_deref));
    let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(Int32Array::from(groups.clone()))];
    let batch = RecordBatch::try_new(definition.schema(), columns).unwrap();
    let mut partitioner = Partitioner::new(&definition);
    // Behind the first half all values are known.
    for start in [0, 1000] {
        let partition::Ordinals::Each(ordinals) = partitioner.ordinals(&batch.slice(start, 1000)).unwrap() else {
            panic!("there are many partitions");
        };
        for (row, ordinal) in (start..).zip(ordinals) {
            let text = texts[row].clone().map_or(Datum::Null, Datum::Text);
            assert_eq!(partitioner.keys()[ordinal as usize].0, [text, Datum::Int(groups[row].into())], "row {row}");
        }
    }
}

#[test]
fn calendar_transforms_name_their_period() {
    let mut definition = table(&[("at", SqlType::TimestampTz), ("day", SqlType::Date)]);
    definition.partition_by = [Transform::Day, Transform::Month, Transform::Quarter, Transform::Year]
        .map(|transform| item(1, transform))
        .into_iter()
        .chain([item(2, Transform::Day)])
        .collect();
    let micros = vec![Some(-1), Some(1_709_164_800_000_000), None];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")),
        Arc::new(Date32Array::from(vec![Some(0), Some(-719_528), None])),
    ];
    let batch = RecordBatch::try_new(definition.schema(), columns).unwrap();
    let split = Partitioner::new(&definition).split(&batch).unwrap();
    let keys: Vec<String> = split.iter().map(|(key, _)| key.to_string()).collect();
    let nulls = "(__null__, __null__, __null__, __null__, __null__)";
    assert_eq!(
        keys,
        ["(1969-12-31, 1969-12, 1969-Q4, 1969, 1970-01-01)", "(2024-02-29, 2024-02, 2024-Q1, 2024, 0000-01-01)", nulls,]
    );
}

#[test]
fn floats_that_sql_calls_equal_share_a_partition() {
    let mut definition = table(&[("rate", SqlType::Float8)]);
    definition.partition_by = vec![item(1, Transform::Identity)];
    let values = Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]);
    let batch = RecordBatch::try_new(definition.schema(), vec![Arc::new(values)]).unwrap();
    assert_eq!(Partitioner::new(&definition).split(&batch).unwrap().len(), 2);
}

#[test]
fn a_directory_belongs_to_one_key() {
    let directory_of =
        |value: Datum| partition_directory(&sales(), &PartitionKey(vec![value, Datum::Text("2025-03".into())]));
    let text = |text: &str| directory_of(Datum::Text(text.to_string()));
    assert_eq!(text("EMEA"), "segments/16384/region=EMEA/sale_date_month=2025-03");
    assert_eq!(text("../a b%ä"), "segments/16384/region=..%2Fa%20b%25%C3%A4/sale_date_month=2025-03");
    assert_eq!(directory_of(Datum::Null), "segments/16384/region=__null__/sale_date_month=2025-03");
    assert_eq!(text(""), "segments/16384/region=__empty__/sale_date_month=2025-03");
    assert_eq!(text("__null__"), "segments/16384/region=%5F_null__/sale_date_month=2025-03");
    let (long, longer) = (text(&"a/".repeat(200)), text(&"a/".repeat(201)));
    assert_ne!(long, longer);
    assert!(long.split('/').all(|part| part.len() <= 255));
}

#[test]
fn what_is_dropped_leaves_no_file_behind() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<Sale> =
        (0..4000).map(|row| (Some("EMEA".into()), Some(19_000 + row % 90), Some(row.into()))).collect();
    let mut staging = Staging::new(directory.path().into(), sales(), 10_000);
    staging.push(sales_batch(&rows)).unwrap();
    assert!(files(directory.path()) > 0, "the budget made it write");
    drop(staging);
    assert_eq!(files(directory.path()), 0);

    let mut writer = SegmentWriter::new(directory.path().into(), sales(), PartitionKey(vec![Datum::Null, Datum::Null]));
    writer.write(&sales_batch(&rows)).unwrap();
    assert_eq!(files(directory.path()), 1);
    drop(writer);
    drop(stage(&directory, &rows));
    assert_eq!(files(directory.path()), 0);

    let staged = stage(&directory, &rows);
    let metas = staged.metas();
    staged.keep();
    assert_eq!(files(directory.path()), metas.len());
}

#[test]
fn the_budget_bounds_what_is_buffered() {
    let directory = TempDir::new().unwrap();
    let budget = 400_000;
    let mut staging = Staging::new(directory.path().into(), sales(), budget);
    for round in 0..20 {
        let rows: Vec<Sale> = (0..2000)
            .map(|row| {
                (
                    Some(format!("a region with a long name {}", row % 3)),
                    Some(19_000 + (row * 7 + round) % 400),
                    Some(row.into()),
                )
            })
            .collect();
        staging.push(sales_batch(&rows)).unwrap();
        assert!(staging.buffered_bytes() <= budget, "{} bytes", staging.buffered_bytes());
    }
    let staged = staging.finish().unwrap();
    assert_eq!(staged.rows(), 40_000);
}

#[test]
fn a_partition_for_each_row_is_refused() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<Sale> =
        (0..staging::PARTITIONS_MAX + 1).map(|row| (Some(row.to_string()), Some(19_000), Some(1))).collect();
    let mut staging = Staging::new(directory.path().into(), sales(), usize::MAX);
    let error = staging.push(sales_batch(&rows)).unwrap_err();
    assert_eq!(error.to_string(), "rows belong to more than 20000 partitions of table \"sales\"");
}

#[tokio::test]
async fn the_cached_reader_serves_selected_rows() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let rows: Vec<Sale> = (0..50_000).map(|row| (Some("EMEA".into()), Some(19_000), Some(row))).collect();
    let staged = stage(&directory, &rows);
    let meta = &staged.metas()[0];
    let dead = vector((0..50_000).filter(|row| row % 1000 < 990));
    let builder = ParquetRecordBatchStreamBuilder::new(store.reader(meta)).await.unwrap();
    assert!(builder.metadata().offset_index().is_some(), "the page index is cached with the footer");
    let stream = builder.with_row_selection(row_selection(meta.rows, &dead)).build().unwrap();
    let batches: Vec<_> = stream.try_collect().await.unwrap();
    let found = sales_rows(&concat_batches(&sales().schema(), &batches).unwrap());
    assert_eq!(found, rows.iter().filter(|row| row.2.unwrap() % 1000 >= 990).cloned().collect::<Vec<_>>());

    let whole = fs::read(directory.path().join(&meta.path)).unwrap();
    let ranges = vec![50..60, 4..9, meta.bytes - 10..meta.bytes, 5..5, 0..meta.bytes];
    let parts = store.reader(meta).get_byte_ranges(ranges.clone()).await.unwrap();
    for (range, part) in ranges.into_iter().zip(parts) {
        assert_eq!(part, whole[range.start as usize..range.end as usize]);
    }
    assert!(store.reader(meta).get_bytes(0..meta.bytes + 1).await.is_err());
}

fn recent(id: u64, rows: &[Sale], dead: &[u32]) -> RecentBatch {
    let deleted = (!dead.is_empty()).then(|| vector(dead.iter().copied()));
    RecentBatch { id: RecentId(id), added: CommitSeq(id), batch: sales_batch(rows), deleted }
}

#[test]
fn folding_keeps_exactly_the_live_rows() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let row = |region: &str, day, amount| (Some(region.to_string()), Some(day), Some(amount));
    let batches = vec![
        recent(1, &[row("EMEA", 19_000, 3), row("APAC", 19_000, 4), row("EMEA", 19_000, 1)], &[1]),
        recent(2, &[row("EMEA", 19_000, 2), row("APAC", 19_001, 5)], &[]),
    ];
    assert!(choose(&version(vec![], batches.clone()), false, None).is_empty());
    let plans = choose(&version(vec![], batches), true, None);
    assert_eq!(plans[0].remove_recent(), [(RecentId(1), 1), (RecentId(2), 0)]);
    assert!(fold_unless(&store, &plans[0], 1 << 20, &|| true).unwrap().is_none());
    let staged = fold(&store, &plans[0], 1 << 20).unwrap();
    let found: Vec<_> = staged.metas().iter().map(|meta| read(&store, &live(meta))).collect();
    assert_eq!(
        found,
        [vec![row("APAC", 19_001, 5)], vec![row("EMEA", 19_000, 1), row("EMEA", 19_000, 2), row("EMEA", 19_000, 3)],]
    );
}

#[test]
fn what_was_there_at_a_held_commit_is_not_rewritten() {
    let row = |amount| (Some("EMEA".to_string()), Some(19_000), Some(amount));
    let batches: Vec<_> = (1..=4).map(|id| recent(id, &[row(id as i64)], &[])).collect();
    let plans = choose(&version(vec![], batches.clone()), true, Some(CommitSeq(2)));
    assert_eq!(plans[0].remove_recent(), [(RecentId(3), 0), (RecentId(4), 0)]);
    assert!(choose(&version(vec![], batches), true, Some(CommitSeq(4))).is_empty());

    let directory = TempDir::new().unwrap();
    let rows: Vec<Sale> = (0..100).map(|amount| (None, Some(19_000), Some(amount))).collect();
    let staged = stage(&directory, &rows);
    let meta = &staged.metas()[0];
    let segment = LiveSegment { meta: meta.clone(), added: CommitSeq(3), deleted: Some(vector(0..50)) };
    assert!(choose(&version(vec![segment.clone()], vec![]), false, Some(CommitSeq(3))).is_empty());
    assert_eq!(choose(&version(vec![segment], vec![]), false, Some(CommitSeq(2))).len(), 1);
}

#[test]
fn dead_rows_are_written_away() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let rows: Vec<Sale> = (0..100).map(|row| (None, Some(19_000), Some(row))).collect();
    let staged = stage(&directory, &rows);
    let meta = &staged.metas()[0];
    let with_dead = |count| LiveSegment { meta: meta.clone(), added: CommitSeq(0), deleted: Some(vector(0..count)) };
    assert!(choose(&version(vec![with_dead(20)], vec![]), true, None).is_empty());
    let plans = choose(&version(vec![with_dead(21)], vec![]), false, None);
    assert_eq!(plans[0].remove_segments(), [(meta.id, 21)]);
    assert!(fold_unless(&store, &plans[0], 1 << 20, &|| true).unwrap().is_none());
    let rewritten = fold(&store, &plans[0], 1 << 20).unwrap();
    assert_eq!(read(&store, &live(&rewritten.metas()[0])), rows[21..]);
    let plans = choose(&version(vec![with_dead(100)], vec![]), false, None);
    assert!(fold(&store, &plans[0], 1 << 20).unwrap().is_empty());
}

#[test]
fn merging_small_segments_ends_with_few() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let mut segments: BTreeMap<SegmentId, LiveSegment> = BTreeMap::new();
    let mut kept = Vec::new();
    let mut expected = Vec::new();
    for round in 0..40i64 {
        let rows: Vec<Sale> = (0..50).map(|row| (None, Some(19_000), Some(row * 40 + round))).collect();
        let mut staged = vec![stage(&directory, &rows)];
        expected.extend(rows);
        loop {
            segments.extend(staged.iter().flat_map(StagedSegments::metas).map(|meta| (meta.id, live(&meta))));
            kept.append(&mut staged);
            let plans = choose(&version(segments.values().cloned().collect(), vec![]), false, None);
            for plan in plans {
                plan.segments.iter().for_each(|segment| drop(segments.remove(&segment.meta.id)));
                staged.push(fold(&store, &plan, 1000).unwrap());
            }
            if staged.is_empty() {
                break;
            }
        }
        assert!(segments.len() < rewrite::SMALL_SEGMENTS_MAX);
    }
    let found = segments.values().flat_map(|segment| read(&store, segment)).collect();
    assert_eq!(sorted(found), sorted(expected));
}

#[test]
fn a_file_that_cannot_be_synced_ends_a_staging_and_leaves_nothing_behind() {
    #[derive(Debug)]
    struct NoSync;
    impl Watcher for NoSync {
        fn before(&self, step: &Step<'_>) -> Result<(), Fault> {
            match step {
                Step::SyncFile(_) => Err(std::io::Error::other("the disk is gone").into()),
                _ => Ok(()),
            }
        }
    }
    // More files than may wait for their sync.
    let rows: Vec<Sale> =
        (0..4000).map(|row| (Some(format!("region {}", row % 100)), Some(19_000), Some(row.into()))).collect();
    for threads in [1, 2] {
        let directory = TempDir::new().unwrap();
        let broken = Files::watched_by(Arc::new(NoSync));
        let staging = Staging::new(directory.path().into(), sales(), usize::MAX).through(broken);
        let mut staging = staging.with_threads(threads);
        staging.push(sales_batch(&rows)).unwrap();
        let error = staging.finish().unwrap_err();
        assert!(error.to_string().contains("fsync"), "{error}");
        assert_eq!(files(directory.path()), 0);
    }
}

#[test]
fn the_footer_of_a_prepared_segment_is_at_hand() {
    let directory = TempDir::new().unwrap();
    let staged = stage(&directory, &[(None, None, Some(1)), (None, None, Some(2))]);
    let meta = &staged.metas()[0];
    let (prepared, other) = (SegmentStore::open(directory.path()), SegmentStore::open(directory.path()));
    prepared.prepare(meta);
    fs::remove_file(directory.path().join(&meta.path)).unwrap();
    assert_eq!(prepared.footer(meta).unwrap().file_metadata().num_rows(), 2);
    assert!(other.footer(meta).is_err());
}

#[test]
fn a_reaped_segments_file_is_closed() {
    let directory = TempDir::new().unwrap();
    let store = SegmentStore::open(directory.path());
    let staged = stage(&directory, &[(None, None, None)]);
    store.footer(&staged.metas()[0]).unwrap();
    let path = directory.path().join(&staged.metas()[0].path);
    let is_open = || {
        let handles =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        handles
            .into_iter()
            .any(|target| target.starts_with(&path) || target.to_string_lossy().starts_with(&*path.to_string_lossy()))
    };
    store.forget_reaped();
    assert!(is_open());
    drop(staged);
    store.forget_reaped();
    assert!(!is_open());
}
