//! Reading segments: rows that are selected, and files and footers that are kept at hand.

use super::{Sale, sales, sales_rows, stage, vector};
use crate::reader::{SegmentStore, row_selection, row_selection_of};
use arrow::compute::concat_batches;
use futures::TryStreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::async_reader::AsyncFileReader;
use proptest::collection::vec;
use proptest::prelude::*;
use std::fs;
use tempfile::TempDir;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn selections_are_the_vectors_rows(rows in 0..300u32, dead in vec(0..320u32, 0..200)) {
        let dead = vector(dead);
        let flags = |selection: RowSelection| -> Vec<bool> {
            let runs: Vec<_> = selection.into();
            runs.iter().flat_map(|run: &RowSelector| vec![!run.skip; run.row_count]).collect()
        };
        let naive: Vec<bool> = (0..rows).map(|row| dead.0.contains(row)).collect();
        let inverse: Vec<bool> = naive.iter().map(|dead| !dead).collect();
        prop_assert_eq!(flags(row_selection(rows, &dead)), inverse);
        prop_assert_eq!(flags(row_selection_of(rows, &dead)), naive);
    }
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
