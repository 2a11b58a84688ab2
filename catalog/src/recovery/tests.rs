//! Tests of what a start finds: whose directory it is, what is damaged, what is left over.

use super::*;
use crate::commit::{Catalog, Options};
use crate::draft::{CommitDraft, Op};
use crate::faults::Faults;
use crate::ids::{ObjectId, RecentId};
use crate::samples::{rows, segment, table, view};
use crate::segment_files::added_segments;
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;

const SALES: ObjectId = ObjectId(16384);

/// A directory with commit 1, a table, and commits up to `last`, each of two rows.
fn with_commits(last: u64) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut all = vec![vec![Op::CreateTable(table(16384, "sales"))]];
    all.extend((2..=last).map(|seq| vec![Op::AddRecent { table: SALES, id: RecentId(seq), batch: rows(0, 2) }]));
    commit_all(&directory, all);
    directory
}

fn commit_all(directory: &TempDir, all: Vec<Vec<Op>>) {
    let (catalog, _) = Catalog::open(directory.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for ops in all {
        for meta in added_segments(&ops) {
            add_segment(directory, meta.id.0, meta.bytes as usize);
        }
        let draft = CommitDraft::new(catalog.snapshot(), ops);
        runtime.block_on(catalog.commit(draft)).unwrap();
    }
}

fn open(directory: &TempDir) -> Result<(Arc<Catalog>, RecoveryReport), OpenError> {
    Catalog::open(directory.path())
}

/// The message and the hint.
fn refusal(directory: &TempDir) -> (String, String) {
    let error = open(directory).err().expect("the directory is refused");
    (error.to_string(), error.hint().unwrap_or_default())
}

fn remove_index(directory: &TempDir) {
    fs::remove_dir_all(directory.path().join("index")).unwrap();
}

fn log_file(directory: &TempDir) -> PathBuf {
    directory.path().join("log/00000000000000000001.log")
}

#[test]
fn a_new_directory_is_created_and_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("some/where");
    let (catalog, report) = Catalog::open(&path).unwrap();
    assert!(report.created);
    assert_eq!((report.seq, report.source), (CommitSeq(0), RecoverySource::Log));
    assert_eq!(catalog.data_dir(), path);
    assert_eq!(fs::read_to_string(path.join("FORMAT")).unwrap(), "meridian 1\n");
    drop(catalog);
    assert!(!Catalog::open(&path).unwrap().1.created);
}

#[test]
fn the_directory_of_somebody_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.txt"), "words").unwrap();
    let (message, hint) = refusal(&directory);
    assert!(message.ends_with("is not empty and is not a data directory"), "{message}");
    assert_eq!(hint, "Choose an empty directory, or one that this server created.");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn another_version_is_refused() {
    let directory = with_commits(1);
    fs::write(directory.path().join("FORMAT"), "meridian 2\n").unwrap();
    let (message, _) = refusal(&directory);
    assert!(message.ends_with("has format \"meridian 2\", this server reads \"meridian 1\""), "{message}");
}

#[test]
fn a_directory_of_a_newer_server_is_said_to_be_one() {
    let directory = with_commits(2);
    let mut bytes = fs::read(log_file(&directory)).unwrap();
    bytes[8] += 1;
    let checksum = crc32c::crc32c(&bytes[..24]);
    bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
    fs::write(log_file(&directory), &bytes).unwrap();
    let (message, hint) = refusal(&directory);
    assert!(message.starts_with("data directory was written by a newer version of the server: file \""), "{message}");
    assert_eq!(hint, "Start the version of the server that wrote it.");
    let scratch = tempfile::tempdir().unwrap();
    let checked = crate::check::check(directory.path(), scratch.path());
    assert!(matches!(checked, Err(OpenError::Newer { .. })), "nothing of it is damaged: {checked:?}");
    assert_eq!(fs::read(log_file(&directory)).unwrap(), bytes, "nothing was changed");
}

#[test]
fn a_directory_in_use_is_refused_and_names_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let held = open(&directory).unwrap();
    let (message, hint) = refusal(&directory);
    let expected = format!("is in use by another server (process {})", std::process::id());
    assert!(message.ends_with(&expected), "{message}");
    assert_eq!(hint, "Stop the other server, or choose another data directory.");
    drop(held);
    open(&directory).unwrap();
}

#[test]
fn a_path_that_cannot_be_a_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let error = Catalog::open(&directory.path().join("file/data")).err().unwrap();
    assert!(matches!(error, OpenError::Io(_)), "{error}");
}

#[test]
fn a_full_disk_is_said_to_be_one() {
    let directory = tempfile::tempdir().unwrap();
    let (files, faults) = Faults::files();
    faults.disk_full.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = Catalog::open_with(directory.path(), Options { files, ..Options::default() }).err().unwrap();
    assert!(matches!(error, OpenError::DiskFull(_)), "{error}");
    open(&directory).unwrap();
}

#[test]
fn the_torn_tail_of_the_last_commit_is_cut_at_every_byte() {
    let pristine = with_commits(3);
    let whole = fs::read(log_file(&pristine)).unwrap();
    let shorter = with_commits(2);
    let good = fs::read(log_file(&shorter)).unwrap().len();
    remove_index(&shorter);
    for length in good..whole.len() {
        // The salt is the file's own, so the tail comes from the file that it is cut in.
        fs::write(log_file(&shorter), &whole[..length]).unwrap();
        let (catalog, report) = open(&shorter).unwrap();
        // Zeros at the end are room for records to come.
        let torn = whole[good..length].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        assert_eq!((report.seq, report.torn_bytes), (CommitSeq(2), torn as u64));
        assert_eq!(catalog.snapshot().tables[&SALES].rows_live(), 2);
        drop(catalog);
        remove_index(&shorter);
    }
}

#[test]
fn a_flipped_byte_in_the_middle_of_the_log_refuses_to_start() {
    let directory = with_commits(3);
    let mut bytes = fs::read(log_file(&directory)).unwrap();
    bytes[100] ^= 1;
    fs::write(log_file(&directory), &bytes).unwrap();
    let (message, hint) = refusal(&directory);
    assert!(message.starts_with("data directory is damaged: file \""), "{message}");
    assert!(message.contains("00000000000000000001.log\" is damaged at offset 28"), "{message}");
    assert!(hint.starts_with("Restore the data directory from a backup."), "{hint}");
    assert_eq!(fs::read(log_file(&directory)).unwrap(), bytes, "nothing was changed");
}

#[test]
fn a_log_that_ends_before_what_the_index_has_seen_is_refused() {
    let directory = with_commits(3);
    let bytes = fs::read(log_file(&directory)).unwrap();
    fs::write(log_file(&directory), &bytes[..bytes.len() - 1]).unwrap();
    let (message, hint) = refusal(&directory);
    assert!(message.ends_with("the log ends at commit 2, the index has seen commit 3"), "{message}");
    assert!(hint.contains("To go on without the commits after 2, remove"), "{hint}");
    assert_eq!(fs::read(log_file(&directory)).unwrap().len(), bytes.len() - 1, "nothing was cut");
    remove_index(&directory);
    assert_eq!(open(&directory).unwrap().1.seq, CommitSeq(2));
}

#[test]
fn a_log_that_is_gone_is_refused() {
    let directory = with_commits(2);
    fs::remove_file(log_file(&directory)).unwrap();
    assert!(refusal(&directory).0.contains("there is no log in"));
}

#[test]
fn a_rotten_checkpoint_is_passed_over_and_reported() {
    let directory = with_commits(2);
    for seq in [1, 2] {
        let (catalog, _) = open(&directory).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ops = vec![Op::AddRecent { table: SALES, id: catalog.allocate_recent(), batch: rows(0, 2) }];
        runtime.block_on(catalog.commit(CommitDraft::new(catalog.snapshot(), ops))).unwrap();
        assert_eq!(runtime.block_on(catalog.checkpoint()).unwrap(), CommitSeq(2 + seq));
    }
    remove_index(&directory);
    let newest = directory.path().join("checkpoint/00000000000000000004.ckpt");
    let mut bytes = fs::read(&newest).unwrap();
    bytes[50] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let (catalog, report) = open(&directory).unwrap();
    assert_eq!((report.source, report.records_replayed), (RecoverySource::Checkpoint(CommitSeq(3)), 1));
    assert!(report.checkpoint_problems[0].ends_with("its checksum does not fit"), "{report:?}");
    assert_eq!(catalog.snapshot().tables[&SALES].rows_live(), 6);
}

#[test]
fn a_broken_index_is_rebuilt_and_reported() {
    let directory = with_commits(3);
    for entry in fs::read_dir(directory.path().join("index")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, "garbage").unwrap();
        }
    }
    let (catalog, report) = open(&directory).unwrap();
    assert!(report.index_problem.is_some());
    assert_eq!((report.seq, report.source), (CommitSeq(3), RecoverySource::Log));
    drop(catalog);
    let (_, report) = open(&directory).unwrap();
    assert_eq!((report.index_problem, report.source), (None, RecoverySource::Index));
}

fn add_segment(directory: &TempDir, id: u128, bytes: usize) {
    let path = directory.path().join(&segment(id).path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, vec![0; bytes]).unwrap();
}

#[test]
fn a_missing_or_resized_segment_refuses_to_start() {
    let directory = with_commits(1);
    commit_all(&directory, vec![vec![Op::AddSegments { table: SALES, segments: vec![segment(1)] }]]);
    open(&directory).unwrap();
    add_segment(&directory, 1, 5);
    assert!(refusal(&directory).0.ends_with("has 5 bytes instead of 101"));
    fs::remove_file(directory.path().join(&segment(1).path)).unwrap();
    let (message, _) = refusal(&directory);
    assert!(message.starts_with("data directory is damaged: 1 segments are missing or damaged: file \"segments/"));
}

#[test]
fn orphans_are_swept_with_their_empty_directories() {
    let directory = with_commits(1);
    commit_all(&directory, vec![vec![Op::AddSegments { table: SALES, segments: vec![segment(1)] }]]);
    add_segment(&directory, 2, 40);
    let other = directory.path().join("segments/other/region=EMEA");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("x.parquet"), [0; 2]).unwrap();
    let (_, report) = open(&directory).unwrap();
    assert_eq!((report.orphan_files, report.orphan_bytes), (2, 42));
    assert!(directory.path().join(&segment(1).path).exists());
    assert!(!directory.path().join("segments/other").exists());
}

#[test]
fn unfinished_files_of_a_crash_are_removed() {
    let directory = with_commits(1);
    let left = directory.path().join("checkpoint/00000000000000000009.ckpt.tmp");
    fs::write(&left, "half").unwrap();
    open(&directory).unwrap();
    assert!(!left.exists());
}

/// A directory whose table has segment 1 and whose view's state has segment 2.
fn with_state() -> TempDir {
    let directory = with_commits(1);
    let to = CommitSeq(3);
    commit_all(
        &directory,
        vec![
            vec![Op::CreateView(view(16390, "totals", &[SALES]))],
            vec![Op::AddSegments { table: SALES, segments: vec![segment(1)] }],
            vec![Op::Fold {
                view: ObjectId(16390),
                from: None,
                to,
                replace: true,
                segments: vec![segment(2)],
                recent: Vec::new(),
            }],
        ],
    );
    directory
}

#[test]
fn a_missing_file_of_a_state_drops_the_state_and_nothing_else() {
    for index in [true, false] {
        let directory = with_state();
        if !index {
            remove_index(&directory);
        }
        fs::remove_file(directory.path().join(&segment(2).path)).unwrap();
        let (catalog, report) = open(&directory).unwrap();
        let expected = format!("view \"public.totals\": file \"{}\" does not exist", segment(2).path);
        assert_eq!(report.dropped_states, [expected]);
        assert_eq!(catalog.snapshot().views[&ObjectId(16390)].frontier, None);
        assert_eq!(catalog.snapshot().tables[&SALES].rows_live(), 10);
        drop(catalog);
        let (catalog, report) = open(&directory).unwrap();
        assert_eq!((report.dropped_states.len(), report.seq), (0, CommitSeq(5)), "the log has it");
        assert_eq!(catalog.snapshot().views[&ObjectId(16390)].frontier, None);
    }
}

#[test]
fn a_missing_file_that_a_table_has_and_a_change_names_refuses_to_start() {
    let directory = with_state();
    fs::remove_file(directory.path().join(&segment(1).path)).unwrap();
    let (message, hint) = refusal(&directory);
    assert!(message.contains(&format!("file \"{}\" does not exist", segment(1).path)), "{message}");
    assert!(hint.contains("meridian restore"), "{hint}");
}

#[test]
fn a_crash_loop_does_not_let_the_log_grow_without_bound() {
    let directory = with_commits(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let limit = 4_000;
    for _ in 0..30 {
        let options = Options { checkpoint_log_bytes: limit, log_file_bytes_max: 2_000, ..Options::default() };
        let (catalog, _) = Catalog::open_with(directory.path(), options).unwrap();
        // Less than makes a checkpoint due, and no orderly end.
        let ops = vec![Op::AddRecent { table: SALES, id: catalog.allocate_recent(), batch: rows(0, 20) }];
        runtime.block_on(catalog.commit(CommitDraft::new(catalog.snapshot(), ops))).unwrap();
    }
    let logs = fs::read_dir(directory.path().join("log")).unwrap();
    let bytes: u64 = logs.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 5 * limit, "{bytes} bytes of log");
}
