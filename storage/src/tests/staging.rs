//! What staging makes of rows: sorted segments that say what they hold, within its memory, or nothing.

use super::{Sale, files, live, naive_key, order, read, sale, sales, sales_batch, sorted, stage};
use crate::partition::partition_directory;
use crate::reader::SegmentStore;
use crate::segment::SegmentWriter;
use crate::staging::{PARTITIONS_MAX, Staging};
use catalog::segment::{Datum, PartitionKey, SegmentMeta};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

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
    let rows: Vec<Sale> = (0..PARTITIONS_MAX + 1).map(|row| (Some(row.to_string()), Some(19_000), Some(1))).collect();
    let mut staging = Staging::new(directory.path().into(), sales(), usize::MAX);
    let error = staging.push(sales_batch(&rows)).unwrap_err();
    assert_eq!(error.to_string(), "rows belong to more than 20000 partitions of table \"sales\"");
}
