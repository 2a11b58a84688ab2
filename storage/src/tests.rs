//! Claims about storage, each checked against something simpler than the code it checks. Here are the table and the rows of all of them.

use crate::reader::SegmentStore;
use crate::staging::{StagedSegments, Staging};
use arrow::array::{ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type};
use catalog::definition::{Column, ObjectName, PartitionColumn, TableDefinition, Transform};
use catalog::ids::{ColumnId, CommitSeq, ObjectId};
use catalog::segment::{Datum, DeletionVector, LiveSegment, PartitionKey, SegmentMeta};
use catalog::sql_type::SqlType;
use proptest::option::weighted;
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

mod column_types;
mod compressed_columns;
mod damage;
mod partitions;
mod reading;
mod rewriting;
mod staging;

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
