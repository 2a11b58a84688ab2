//! Tests of what a backup says of itself; with the real program more of it is tested in `sql-tests`.

use super::*;
use crate::commit::Catalog;
use crate::draft::{CommitDraft, Op};
use crate::files::{Fault, Step, Watcher};
use crate::ids::ObjectId;
use crate::samples::table;
use std::fs;
use std::io;
use std::sync::atomic::AtomicUsize;
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

/// Two tables with a segment each, emptied one after the other: the segments, and when they were added and the tables emptied.
fn with_removed(catalog: &Catalog) -> ([Arc<SegmentMeta>; 2], [i64; 3]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let commit = |ops| {
        let draft = CommitDraft::new(catalog.snapshot(), ops);
        runtime.block_on(catalog.commit(draft)).unwrap().at_micros
    };
    let (first, second) = (ObjectId(16384), ObjectId(16385));
    let segments = [1, 2].map(|id| written_segment(catalog.data_dir(), id));
    let add = |table, number: usize| Op::AddSegments { table, segments: vec![Arc::clone(&segments[number])] };
    commit(vec![Op::CreateTable(table(16384, "first")), Op::CreateTable(table(16385, "second"))]);
    let added = commit(vec![add(first, 0), add(second, 1)]);
    let emptied = [first, second].map(|table| commit(vec![Op::Truncate { table }]));
    commit(vec![Op::CreateTable(table(16386, "third"))]);
    (segments, [added, emptied[0], emptied[1]])
}

/// A segment whose file has the checksum that is said of it.
fn written_segment(data_dir: &Path, id: u128) -> Arc<SegmentMeta> {
    let content = vec![id as u8; 100];
    let sample = crate::samples::segment(id);
    let meta = SegmentMeta { bytes: 100, checksum: crc32c::crc32c(&content), ..SegmentMeta::clone(&sample) };
    let path = data_dir.join(&meta.path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    Arc::new(meta)
}

#[test]
fn a_lost_file_of_the_past_is_left_out_with_what_was_before_it() {
    for missing in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(&folder);
        let (target, restored) = (folder.path().join("backups"), folder.path().join("restored"));
        let (segments, [added, first_emptied, second_emptied]) = with_removed(&catalog);
        let lost = catalog.data_dir().join(&segments[0].path);
        let whole = fs::read(&lost).unwrap();
        if missing {
            fs::remove_file(&lost).unwrap();
        } else {
            fs::write(&lost, vec![9; 100]).unwrap();
        }
        let report = catalog.backup(&target, &AtomicBool::new(false)).unwrap();
        let left_out = report.left_out.expect("it is told");
        assert_eq!((&left_out.path, left_out.until_micros), (&segments[0].path, first_emptied));
        assert_eq!((report.backup.segments, report.copied_segments, report.copied_bytes), (1, 1, 100));
        assert_eq!(report.backup.from_micros, first_emptied);
        restore(&target, None, &restored).unwrap();
        let (again, recovered) = Catalog::open(&restored).unwrap();
        assert_eq!(recovered.lost_past, None, "the backup is whole");
        let names = |snapshot: &Snapshot| named_segments(snapshot).map(|meta| meta.id).collect::<Vec<_>>();
        assert_eq!(names(&again.snapshot()), [segments[1].id]);
        let then = again.snapshot_at(first_emptied, &|| false).unwrap();
        assert_eq!(names(&then), [segments[1].id], "the second table had it still");
        assert!(matches!(again.snapshot_at(added, &|| false), Err(PastError::TooEarly { .. })));
        assert!(again.snapshot_at(second_emptied, &|| false).is_ok());
        drop(again);
        fs::remove_dir_all(&restored).unwrap();
        let refused = restore(&target, Some(added), &restored);
        assert!(matches!(refused, Err(BackupError::NoneBefore { .. })), "{refused:?}");
        restore(&target, Some(first_emptied), &restored).unwrap();
        // The file comes back.
        fs::write(&lost, whole).unwrap();
        let report = catalog.backup(&target, &AtomicBool::new(false)).unwrap();
        assert!(report.left_out.is_none() && report.backup.from_micros <= added, "{report:?}");
    }
}

#[test]
fn a_lost_segment_of_a_table_is_never_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(&folder);
    let (segments, _) = with_removed(&catalog);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let third = written_segment(catalog.data_dir(), 3);
    let add = Op::AddSegments { table: ObjectId(16386), segments: vec![Arc::clone(&third)] };
    runtime.block_on(catalog.commit(CommitDraft::new(catalog.snapshot(), vec![add]))).unwrap();
    fs::remove_file(catalog.data_dir().join(&third.path)).unwrap();
    fs::remove_file(catalog.data_dir().join(&segments[0].path)).unwrap();
    let refused = catalog.backup(&folder.path().join("backups"), &AtomicBool::new(false));
    assert!(matches!(&refused, Err(BackupError::DamagedSegment { path, .. }) if *path == third.path), "{refused:?}");
}

/// A disk of which one step fails, or all from one on.
#[derive(Debug)]
struct Failing {
    good: usize,
    taken: AtomicUsize,
    for_ever: bool,
}

impl Watcher for Failing {
    fn before(&self, _: &Step<'_>) -> Result<(), Fault> {
        let taken = self.taken.fetch_add(1, Ordering::SeqCst);
        if taken == self.good || (self.for_ever && taken > self.good) {
            Err(io::Error::other("the disk is broken").into())
        } else {
            Ok(())
        }
    }
}

#[test]
fn a_restore_whose_any_step_fails_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(&folder);
    let (target, restored) = (folder.path().join("backups"), folder.path().join("restored"));
    let (_, [_, emptied, _]) = with_removed(&catalog);
    let expected = catalog.backup(&target, &AtomicBool::new(false)).unwrap().backup;
    for (for_ever, is_there, time) in [(false, false, None), (false, true, Some(emptied)), (true, true, None)] {
        for good in 0.. {
            if is_there {
                fs::create_dir(&restored).unwrap();
            }
            let watcher = Arc::new(Failing { good, taken: AtomicUsize::new(0), for_ever });
            let files = Files::watched_by(Arc::clone(&watcher) as Arc<dyn Watcher>);
            let done = restore::restore_with(&files, &target, time, &restored);
            if done.is_ok() {
                fs::remove_dir_all(&restored).unwrap();
                match watcher.taken.load(Ordering::SeqCst) > good {
                    true => continue,
                    false => break,
                }
            }
            let left: Vec<PathBuf> = Files::default().list(&restored).unwrap();
            assert!(for_ever || left.iter().all(|path| path.ends_with("LOCK")), "step {good}: {left:?}");
            // Where only the mark could not be removed, the restore is whole.
            if !restored.join(FORMAT_NAME).exists() {
                assert_eq!(restore(&target, None, &restored).unwrap(), expected, "step {good}: {done:?}");
                assert!(!restored.join("RESTORE.tmp").exists());
            }
            assert_eq!(Catalog::open(&restored).unwrap().0.snapshot().seq, expected.seq);
            assert!(!restored.join("RESTORE.tmp").exists());
            fs::remove_dir_all(&restored).unwrap();
        }
    }
}

#[test]
fn a_backup_of_a_newer_server_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("backups");
    let made = catalog(&folder).backup(&target, &AtomicBool::new(false)).unwrap().backup;
    let backup = target.join(&made.name);
    let path = format!("{CHECKPOINTS_NAME}/{}", checkpoint::file_name(made.seq));
    let mut bytes = fs::read(backup.join(&path)).unwrap();
    bytes[8] += 1;
    let body = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..body]);
    bytes[body..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(backup.join(&path), &bytes).unwrap();
    let mut manifest = Manifest::parse(&fs::read(backup.join(MANIFEST)).unwrap()).unwrap();
    let file = manifest.files.iter_mut().find(|file| file.path == path).unwrap();
    file.checksum = crc32c::crc32c(&bytes);
    fs::write(backup.join(MANIFEST), manifest.to_text()).unwrap();
    let refused = restore(&target, None, &folder.path().join("restored")).unwrap_err();
    assert!(matches!(refused, BackupError::NewerBackup { .. }), "{refused}");
    assert_eq!(refused.hint().as_deref(), Some("Restore it with the version that made it."));
    assert!(!folder.path().join("restored").exists());
}
