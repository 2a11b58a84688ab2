//! Tests of what a backup says of itself; with the real program more of it is tested in `sql-tests`.

use super::*;
use crate::commit::Catalog;
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;

fn manifest() -> Manifest {
    let file = |path: &str| ManifestFile { path: path.to_string(), bytes: 12, checksum: 0x0a0b_0c0d };
    Manifest {
        seq: CommitSeq(42),
        from_micros: 1_763_751_545_000_000,
        committed_at_micros: 1_763_755_145_000_001,
        made_at_micros: 1_763_755_146_000_000,
        files: vec![file("checkpoint/00000000000000000042.ckpt"), file("segments/16384/region=EMEA/x.parquet")],
    }
}

#[test]
fn the_text_of_a_manifest_is_that_of_version_2() {
    let expected = String::from_utf8(crate::samples::format_block("text", "manifest")).unwrap();
    let text = manifest().to_text();
    let (body, last) = text.split_at(expected.len());
    assert_eq!(body, expected, "FORMAT.md has it so");
    assert_eq!(last, format!("checksum {:08x}\n", crc32c::crc32c(expected.as_bytes())));
    assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest()));
}

#[test]
fn a_manifest_of_version_1_is_read() {
    let body = String::from_utf8(crate::samples::format_block("text", "manifest")).unwrap();
    let body = body.replace("backup 2", "backup 1").replace("from 1763751545000000\n", "");
    let text = format!("{body}checksum {:08x}\n", crc32c::crc32c(body.as_bytes()));
    let expected = Manifest { from_micros: manifest().committed_at_micros, ..manifest() };
    assert_eq!(Manifest::parse(text.as_bytes()), Ok(expected));
}

#[test]
fn a_changed_or_cut_manifest_is_refused() {
    let text = manifest().to_text().into_bytes();
    for place in 0..text.len() {
        for bit in 0..8 {
            let mut changed = text.clone();
            changed[place] ^= 1 << bit;
            // In the checksum's digits a capital letter means the same.
            assert_ne!(Manifest::parse(&changed).ok().filter(|parsed| *parsed != manifest()), Some(manifest()));
            assert!(Manifest::parse(&changed).is_err() || Manifest::parse(&changed) == Ok(manifest()), "{place}");
        }
        assert!(Manifest::parse(&text[..place]).is_err(), "{place}");
    }
}

#[test]
fn a_manifest_cannot_lead_out_of_its_directory() {
    for path in ["../x", "segments/../../x", "/etc/x", "segments//x", "."] {
        let mut manifest = manifest();
        manifest.files[0].path = path.to_string();
        assert!(Manifest::parse(manifest.to_text().as_bytes()).is_err(), "{path}");
    }
}

#[test]
fn names_sort_by_time_and_then_by_commit() {
    let mut names =
        ["2025-01-02T000000Z-9", "2025-01-01T235959Z-100", "2025-01-02T000000Z-10", "2025-01-02T000000Z-9-2"];
    names.sort_by_key(|name| order_of(name).unwrap());
    assert_eq!(
        names,
        ["2025-01-01T235959Z-100", "2025-01-02T000000Z-9", "2025-01-02T000000Z-9-2", "2025-01-02T000000Z-10"]
    );
    assert_eq!(stamp(1_763_755_146_000_000), "2025-11-21T195906Z");
    for other in ["unfinished", "2025-01-02T000000Z", "2025-01-02T000000Z-x", "2025-01-02 000000Z-1", "lost+found"] {
        assert_eq!(order_of(other), None, "{other}");
    }
}

fn catalog(folder: &TempDir) -> Arc<Catalog> {
    Catalog::open(&folder.path().join("data")).unwrap().0
}

#[test]
fn two_backups_do_not_meet_and_a_cancelled_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(&folder);
    let target = folder.path().join("backups");
    let held = occupy(&Files::default(), &target).unwrap();
    let refused = catalog.backup(&target, &AtomicBool::new(false));
    assert!(matches!(refused, Err(BackupError::Busy { .. })), "{refused:?}");
    drop(held);
    let cancelled = catalog.backup(&target, &AtomicBool::new(true));
    assert!(matches!(cancelled, Err(BackupError::Cancelled)), "{cancelled:?}");
    assert_eq!(list(&target).unwrap(), [Listed::Unfinished]);
    let refused = restore(&target, None, &folder.path().join("restored"));
    assert!(matches!(refused, Err(BackupError::NoBackup { unfinished: true, .. })), "{refused:?}");
    assert!(!folder.path().join("restored").exists());
    catalog.backup(&target, &AtomicBool::new(false)).unwrap();
    assert_eq!(list(&target).unwrap().len(), 1);
}

#[test]
fn a_damaged_backup_in_the_way_is_named_unless_an_older_one_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(&folder);
    let target = folder.path().join("backups");
    let first = catalog.backup(&target, &AtomicBool::new(false)).unwrap().backup;
    let later = target.join("2999-01-01T000000Z-1");
    fs::create_dir(&later).unwrap();
    let refused = restore(&target, None, &folder.path().join("restored"));
    assert!(matches!(&refused, Err(BackupError::DamagedBackup { path, .. }) if *path == later), "{refused:?}");
    let restored = restore(&target, Some(first.made_at_micros), &folder.path().join("restored")).unwrap();
    assert_eq!(restored, first);
    let too_early = restore(&target, Some(first.committed_at_micros - 1), &folder.path().join("other"));
    assert!(matches!(too_early, Err(BackupError::NoneBefore { .. })), "{too_early:?}");
}
