//! What damaged files and failing steps must never do: give other rows, or leave something behind.

use super::{Sale, files, live, sales, sales_batch, sales_rows, stage};
use crate::*;
use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use catalog::definition::TableDefinition;
use catalog::files::{Fault, Files, Step, Watcher};
use catalog::segment::{Datum, PartitionKey, SegmentMeta};
use futures::TryStreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

#[test]
fn a_damaged_file_is_found() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<Sale> = (0..5000).map(|row| (Some("EMEA".into()), Some(19_000), Some(row * 7919 % 5000))).collect();
    let staged = stage(&directory, &rows);
    let meta = &staged.metas()[0];
    let path = directory.path().join(&meta.path);
    let whole = fs::read(&path).unwrap();
    let open = || SegmentStore::open(directory.path());
    open().verify(meta).unwrap();
    for position in [0, whole.len() / 2, whole.len() - 20] {
        let mut flipped = whole.clone();
        flipped[position] ^= 1;
        fs::write(&path, flipped).unwrap();
        assert!(matches!(open().verify(meta), Err(StorageError::Corrupted { .. })), "byte {position}");
    }
    let mut no_footer = whole.clone();
    no_footer[whole.len() - 1] ^= 1;
    fs::write(&path, no_footer).unwrap();
    assert!(matches!(open().footer(meta), Err(StorageError::Corrupted { .. })));
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let error = open().read_segment(&live(meta), None).map(|_| ()).unwrap_err();
    let text = format!(
        "segment file \"{}\" is corrupted: it has {} bytes instead of {}",
        meta.path,
        whole.len() - 1,
        whole.len()
    );
    assert_eq!(error.to_string(), text);
    fs::remove_file(&path).unwrap();
    assert!(matches!(open().footer(meta), Err(StorageError::Missing { .. })));
    fs::write(&path, &whole).unwrap();
}

/// What comes back of a segment whose file has these bytes, by the calling thread and by the asynchronous reader.
async fn read_both_ways(path: &Path, store: &SegmentStore, meta: &Arc<SegmentMeta>) -> Result<[Vec<Sale>; 2], String> {
    assert!(path.exists());
    let rows: Result<Vec<_>, _> = match store.read_segment(&live(meta), None) {
        Ok(rows) => rows.collect(),
        Err(error) => Err(error),
    };
    let plainly = rows.map_err(|error| error.to_string())?.iter().flat_map(sales_rows).collect();
    let reader = ParquetRecordBatchStreamBuilder::new(store.reader(meta)).await.map_err(|error| error.to_string())?;
    let stream = reader.build().map_err(|error| error.to_string())?;
    let batches: Vec<_> = stream.try_collect().await.map_err(|error| error.to_string())?;
    Ok([plainly, batches.iter().flat_map(sales_rows).collect()])
}

#[tokio::test]
async fn a_flipped_bit_in_a_segment_is_found_when_it_is_read_or_does_no_harm() {
    let directory = TempDir::new().unwrap();
    // Values that do not compress, so that the file has several blocks.
    let mixed = |row: u64| (row.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (row << 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let sale = |row: u64| (Some("EMEA".to_string()), Some(19_000), Some((mixed(row) >> 1) as i64));
    let rows: Vec<Sale> = (0..60_000).map(sale).collect();
    let staged = stage(&directory, &rows);
    let meta = &staged.metas()[0];
    assert!(meta.bytes > 3 * 65_536, "{} bytes", meta.bytes);
    let path = directory.path().join(&meta.path);
    let whole = fs::read(&path).unwrap();
    assert_eq!(crc32c::crc32c(&whole), meta.checksum);
    let expected = read_both_ways(&path, &SegmentStore::open(directory.path()), meta).await.unwrap();
    let mut found = 0;
    // One byte of each so many, and each of the footer's last ones.
    let places = (0..whole.len()).step_by(9_973).chain(whole.len() - 60..whole.len());
    let places: Vec<usize> = places.collect();
    for place in &places {
        let mut damaged = whole.clone();
        damaged[*place] ^= 1 << (place % 8);
        fs::write(&path, &damaged).unwrap();
        match read_both_ways(&path, &SegmentStore::open(directory.path()), meta).await {
            Ok(rows) => assert!(rows == expected, "byte {place}"),
            Err(error) => {
                found += 1;
                assert!(error.contains("is corrupted"), "byte {place}: {error}");
            }
        }
        let checked = check_segment(&SegmentStore::open(directory.path()), &sales(), meta);
        assert!(matches!(checked, Err(StorageError::Corrupted { .. })), "byte {place}: {checked:?}");
    }
    assert!(found + 5 > places.len(), "{found} of {} were found by reading", places.len());
    fs::write(&path, &whole).unwrap();
}

#[test]
fn a_check_finds_rows_of_other_partitions_and_rows_out_of_order() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<Sale> = (0..500).map(|row| (Some("EMEA".into()), Some(19_000), Some(row % 7))).collect();
    let staged = stage(&directory, &rows);
    let meta = &staged.metas()[0];
    let store = SegmentStore::open(directory.path());
    check_segment(&store, &sales(), meta).unwrap();
    let elsewhere =
        SegmentMeta { partition: PartitionKey(vec![Datum::Null; meta.partition.0.len()]), ..(**meta).clone() };
    let error = check_segment(&store, &sales(), &Arc::new(elsewhere)).unwrap_err().to_string();
    assert!(error.contains("rows of other partitions"), "{error}");
    let unsorted = TableDefinition { order_by: Vec::new(), ..(*sales()).clone() };
    let data_dir: Arc<Path> = directory.path().into();
    let mut writer = SegmentWriter::new(data_dir, Arc::new(unsorted), meta.partition.clone());
    let whole = store.read_segment(&live(meta), None).unwrap().next().unwrap().unwrap();
    let backwards = UInt32Array::from_iter_values((0..whole.num_rows() as u32).rev());
    writer.write(&take_record_batch(&whole, &backwards).unwrap()).unwrap();
    let staged = writer.finish().unwrap().unwrap();
    let error = check_segment(&store, &sales(), staged.meta()).unwrap_err().to_string();
    assert!(error.contains("not sorted"), "{error}");
}

/// Fails one step, the `number`th that is taken.
#[derive(Debug)]
struct FailAt {
    number: usize,
    kind: std::io::ErrorKind,
    taken: std::sync::Mutex<Vec<String>>,
}

impl Watcher for FailAt {
    fn before(&self, step: &Step<'_>) -> Result<(), Fault> {
        let mut taken = self.taken.lock().unwrap();
        let (text, written) = match step {
            Step::Write { bytes, .. } => ("Write".to_string(), bytes.len() / 2),
            other => (format!("{other:?}"), 0),
        };
        taken.push(text);
        if taken.len() == self.number + 1 { Err(Fault { error: self.kind.into(), written }) } else { Ok(()) }
    }
}

#[test]
fn a_staging_whose_any_step_fails_is_an_error_and_leaves_nothing() {
    let rows: Vec<Sale> = (0..400)
        .map(|row| (Some(["EMEA", "APAC"][row as usize % 2].into()), Some(19_000 + row % 40), Some(i64::from(row))))
        .collect();
    for number in 0.. {
        let mut reached = false;
        for kind in [std::io::ErrorKind::Other, std::io::ErrorKind::StorageFull] {
            let directory = TempDir::new().unwrap();
            let watcher = Arc::new(FailAt { number, kind, taken: std::sync::Mutex::default() });
            let staging = Staging::new(directory.path().into(), sales(), usize::MAX).with_threads(1);
            let mut staging = staging.through(Files::watched_by(watcher.clone()));
            let staged = staging.push(sales_batch(&rows)).and_then(|()| staging.finish());
            reached = number < watcher.taken.lock().unwrap().len();
            assert_eq!(staged.is_err(), reached, "step {number}: {:?}", watcher.taken);
            if let Err(error) = &staged {
                let full = matches!(error, StorageError::DiskFull { .. });
                assert_eq!(full, kind == std::io::ErrorKind::StorageFull, "step {number}: {error}");
                assert_eq!(files(directory.path()), 0, "step {number}: {:?}", watcher.taken);
            } else {
                let store = SegmentStore::open(directory.path());
                let staged = staged.unwrap();
                staged.metas().iter().for_each(|meta| check_segment(&store, &sales(), meta).unwrap());
                staged.keep();
            }
        }
        if !reached {
            assert!(number > 15, "there are only {number} steps");
            return;
        }
    }
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
