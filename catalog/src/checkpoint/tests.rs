//! Tests of checkpoints: whole or not at all, and no more of them than are kept.

use super::*;
use crate::draft::Op;
use crate::faults::Faults;
use crate::ids::{ObjectId, RecentId};
use crate::samples::{commit, rows, segment, with_table};
use std::fs;

fn sample() -> Snapshot {
    let table = ObjectId(16384);
    let ops = [
        Op::AddSegments { table, segments: vec![segment(1), segment(2)] },
        Op::AddRecent { table, id: RecentId(1), batch: rows(0, 3) },
    ];
    commit(&with_table(), &ops)
}

#[test]
fn a_snapshot_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::default();
    write(&files, directory.path(), &sample()).unwrap();
    let [(seq, path)] = list(&files, directory.path()).unwrap().try_into().unwrap();
    assert_eq!(seq, CommitSeq(2));
    assert_eq!(entries(&read(&files, &path).unwrap()), entries(&sample()));
    assert_eq!(read_time(&files, &path).unwrap(), sample().at_micros);
}

#[test]
fn a_flipped_bit_or_a_cut_anywhere_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::default();
    write(&files, directory.path(), &sample()).unwrap();
    let (_, path) = list(&files, directory.path()).unwrap().remove(0);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        assert!(read(&files, &path).is_err(), "a bit at {at} went unnoticed");
        fs::write(&path, &whole[..at]).unwrap();
        assert!(read(&files, &path).is_err(), "a cut at {at} went unnoticed");
    }
}

#[test]
fn a_full_disk_leaves_no_checkpoint_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (files, faults) = Faults::files();
    faults.disk_full.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(write(&files, directory.path(), &sample()).unwrap_err().is_disk_full());
    assert!(files.list(directory.path()).unwrap().is_empty());
}

/// The page's checkpoint as another version.
fn of_version(version: u8) -> Vec<u8> {
    let mut bytes = crate::samples::format_block("hex", "checkpoint");
    bytes[8] = version;
    let body = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..body]);
    bytes[body..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn older_versions_are_read_and_newer_ones_are_told_to_be_newer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(file_name(CommitSeq(0)));
    for version in 1..=VERSION as u8 {
        fs::write(&path, of_version(version)).unwrap();
        assert_eq!(read(&Files::default(), &path).unwrap().seq, CommitSeq(0), "version {version}");
    }
    fs::write(&path, of_version(VERSION as u8 + 1)).unwrap();
    let problem = read(&Files::default(), &path).unwrap_err();
    assert!(matches!(problem, CheckpointProblem::Newer { version, .. } if version == VERSION + 1), "{problem}");
    fs::write(&path, of_version(0)).unwrap();
    assert!(matches!(read(&Files::default(), &path), Err(CheckpointProblem::Invalid { .. })));
}

#[test]
fn the_document_has_the_bytes_that_are_written_and_read() {
    let page = crate::samples::format_block("hex", "checkpoint");
    assert_eq!(encode(&Snapshot::empty()), page);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(file_name(CommitSeq(0)));
    std::fs::write(&path, page).unwrap();
    assert_eq!(read(&Files::default(), &path).unwrap().seq, CommitSeq(0));
}
