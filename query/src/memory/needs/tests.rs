//! What plans are thought to take.

use super::*;
use arrow::datatypes::{Field, SchemaRef};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::empty::EmptyExec;
use std::sync::Arc;

const MIB: usize = 1 << 20;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("amount", DataType::Decimal128(12, 2), false),
    ]))
}

/// A file of so many rows and bytes.
fn file(rows: usize, bytes: u64) -> PartitionedFile {
    let statistics = Statistics { num_rows: Precision::Exact(rows), ..Statistics::new_unknown(&schema()) };
    PartitionedFile::new("segment.parquet", bytes).with_statistics(Arc::new(statistics))
}

/// A scan of files in as many partitions, of so many rows and bytes each.
fn scan(partitions: usize, rows: usize, bytes: u64) -> Arc<dyn ExecutionPlan> {
    scan_of(vec![file(rows, bytes); partitions])
}

/// A scan with a partition for each file.
fn scan_of(files: Vec<PartitionedFile>) -> Arc<dyn ExecutionPlan> {
    let groups = files.into_iter().map(|file| FileGroup::new(vec![file])).collect();
    let source = Arc::new(ParquetSource::new(schema()));
    let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source).with_file_groups(groups);
    DataSourceExec::from_data_source(scan.build())
}

fn sorted(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let by = PhysicalSortExpr::new_default(col("id", &schema()).expect("it is a column"));
    Arc::new(SortExec::new([by].into(), input))
}

#[test]
fn what_reads_no_segments_asks_for_nothing() {
    assert_eq!(Needs::of(sorted(Arc::new(EmptyExec::new(schema()))).as_ref()), Needs::default());
}

#[test]
fn a_scan_asks_for_a_row_group_of_each_partition() {
    let small = Needs::of(scan(1, 100, 4096).as_ref());
    assert!(small.promise() < MIB / 8, "{small:?}");
    let large = Needs::of(scan(2, ROW_GROUP_ROWS_MAX * 10, 100 * MIB as u64).as_ref());
    assert_eq!(large.operators, 0);
    assert!((20 * MIB..26 * MIB).contains(&large.unaccounted), "{large:?}");
}

#[test]
fn an_operator_is_promised_no_more_than_its_rows_take() {
    let few = Needs::of(sorted(scan(1, 100, 4096)).as_ref());
    assert!(few.operators < MIB / 8, "{few:?}");
    let many = Needs::of(sorted(scan(1, 10_000_000, 100 * MIB as u64)).as_ref());
    assert_eq!(many.operators, 2 * OPERATOR_BYTES);
}

#[test]
fn a_look_up_needs_next_to_nothing() {
    let file = file(ROW_GROUP_ROWS_MAX, 2 * MIB as u64).with_extension(FewRows);
    let needs = Needs::of(sorted(scan_of(vec![file])).as_ref());
    assert!(needs.promise() < MIB, "{needs:?}");
}
