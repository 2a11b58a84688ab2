//! Tests of the catalog on disks that lose power, fail and rot.
//!
//! Each runs at a small scale here. `MERIDIAN_FAULT_SEED` chooses another run; `MERIDIAN_FAULT_COMMITS`, of the history whose every step
//! the power is cut behind, and `MERIDIAN_FAULT_ROUNDS`, of flipped bits, longer ones.

use super::FailAt;
use super::crash_disk::{Dice, Journal};
use crate::archive::Archive;
use crate::backup;
use crate::commit::{Catalog, Commit, Options};
use crate::draft::{CommitDraft, Op};
use crate::entries::{Key, entries};
use crate::files::{Fault, Files, Step, Watcher};
use crate::ids::CommitSeq;
use crate::log::{AppendError, Log};
use crate::samples::{ops_of, steps, table, view};
use crate::segment::SegmentMeta;
use crate::segment_files::added_segments;
use crate::snapshot::Snapshot;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

type Entries = Vec<(Key, Vec<u8>)>;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seed() -> u64 {
    let seed = number("MERIDIAN_FAULT_SEED", 1);
    println!("MERIDIAN_FAULT_SEED={seed}");
    seed
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// Small limits, so that a short run has many files of everything.
fn options(files: Files) -> Options {
    Options { files, log_file_bytes_max: 4_000, checkpoint_log_bytes: 10_000, ..Options::default() }
}

/// A random history: what is committed one after the other.
fn history(length: usize, seed: u64) -> Vec<crate::samples::Step> {
    let bytes: Vec<u8> = seed.to_le_bytes().iter().copied().cycle().take(32).collect();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let all = steps(length * 2).prop_filter("long enough", move |steps| steps.len() >= length);
    all.new_tree(&mut runner).unwrap().current()
}

/// What stands in every segment of these tests.
fn content(meta: &SegmentMeta) -> Vec<u8> {
    vec![7; meta.bytes as usize]
}

/// The same operations, with the checksums that the files will have.
fn with_checksums(ops: Vec<Op>) -> Vec<Op> {
    let mend = |metas: Vec<Arc<SegmentMeta>>| {
        let mended = metas.into_iter().map(|meta| {
            let checksum = crc32c::crc32c(&content(&meta));
            Arc::new(SegmentMeta { checksum, ..(*meta).clone() })
        });
        mended.collect()
    };
    let mend_op = |op| match op {
        Op::AddSegments { table, segments } => Op::AddSegments { table, segments: mend(segments) },
        Op::Rewrite { table, remove_segments, remove_recent, add } => {
            Op::Rewrite { table, remove_segments, remove_recent, add: mend(add) }
        }
        Op::Fold { view, from, to, replace, segments, recent } => {
            Op::Fold { view, from, to, replace, segments: mend(segments), recent }
        }
        other => other,
    };
    ops.into_iter().map(mend_op).collect()
}

/// Writes the segments of a commit through the seam, as storage promises it: synced, and their directories too.
fn stage_segments(files: &Files, root: &Path, ops: &[Op]) -> Result<(), crate::files::FileError> {
    for meta in added_segments(ops) {
        let path = root.join(&meta.path);
        files.create_directory(path.parent().unwrap())?;
        files.replace(&path, [content(meta).as_slice()])?;
    }
    Ok(())
}

fn try_commit(runtime: &Runtime, catalog: &Catalog, files: &Files, ops: Vec<Op>) -> Option<Commit> {
    let ops = with_checksums(ops);
    stage_segments(files, catalog.data_dir(), &ops).ok()?;
    let draft = CommitDraft::new(catalog.snapshot(), ops);
    let done = runtime.block_on(catalog.commit(draft));
    done.ok()
}

fn first_ops() -> Vec<Op> {
    vec![Op::CreateTable(table(16384, "sales")), Op::CreateView(view(16390, "totals", &[crate::ids::ObjectId(16384)]))]
}

/// Runs a history and gives the snapshot of every acknowledged commit with what `mark` said right after it.
fn run<T>(
    catalog: &Catalog,
    files: &Files,
    length: usize,
    seed: u64,
    mut mark: impl FnMut() -> T,
) -> Vec<(T, Arc<Snapshot>)> {
    let runtime = runtime();
    let mut acknowledged = Vec::new();
    let mut note = |commit: Option<Commit>| acknowledged.extend(commit.map(|commit| (mark(), commit.snapshot)));
    note(try_commit(&runtime, catalog, files, first_ops()));
    for (position, step) in history(length, seed).into_iter().enumerate() {
        let ops = ops_of(&catalog.snapshot(), step);
        if !ops.is_empty() {
            note(try_commit(&runtime, catalog, files, ops));
        }
        if position % 5 == 4 {
            catalog.reap();
        }
        if position % 12 == 11 {
            // On a broken disk it fails, which costs nothing.
            let _ = runtime.block_on(catalog.checkpoint());
        }
    }
    acknowledged
}

#[test]
fn a_power_cut_behind_any_step_loses_nothing_that_was_acknowledged() {
    let seed = seed();
    let length = number("MERIDIAN_FAULT_COMMITS", 45) as usize;
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("data");
    fs::create_dir(&root).unwrap();
    let journal = Arc::new(Journal::new(&root));
    let files = Files::watched_by(journal.clone());
    let (catalog, _) = Catalog::open_with(&root, options(files.clone())).unwrap();
    let mut copies: Vec<(usize, PathBuf)> = Vec::new();
    let acknowledged = run(&catalog, &files, length, seed, || {
        if copies.len() < 8 {
            let copy = folder.path().join(format!("index-{}", copies.len()));
            copy_tree(&root.join("index"), &copy);
            copies.push((journal.len(), copy));
        }
        journal.len()
    });
    drop(catalog);
    assert!(acknowledged.len() > length / 3, "most of the history fits");
    let by_seq: BTreeMap<u64, Entries> =
        acknowledged.iter().map(|(_, snapshot)| (snapshot.seq.0, entries(snapshot))).collect();
    let mut dice = Dice(seed);
    for steps in 0..=journal.len() {
        let crashed = folder.path().join("crashed");
        let mut choice = dice.clone();
        journal.crash(steps, &mut choice, &crashed);
        let older: Vec<&PathBuf> = copies.iter().filter(|(taken, _)| *taken <= steps).map(|(_, copy)| copy).collect();
        tear_index(&mut choice, &crashed, &older);
        let least = acknowledged.iter().filter(|(taken, _)| *taken <= steps).map(|(_, snapshot)| snapshot.seq.0).max();
        let (catalog, report) = Catalog::open(&crashed).unwrap_or_else(|error| panic!("behind step {steps}: {error}"));
        let seq = report.seq.0;
        assert!(seq >= least.unwrap_or(0), "behind step {steps}: commit {least:?} was acknowledged, {seq} is the last");
        if seq > 0 {
            assert!(entries(&catalog.snapshot()) == by_seq[&seq], "behind step {steps}: commit {seq} is another one");
        }
        drop(catalog);
        fs::remove_dir_all(&crashed).unwrap();
        dice.below(2);
    }
}

/// sled's folder is not there, or is the copy of an older one, as it was, with some blocks torn, or all of them garbage.
fn tear_index(dice: &mut Dice, crashed: &Path, older: &[&PathBuf]) {
    let kind = dice.below(5);
    let Some(copy) = older.get(dice.below(older.len())).filter(|_| kind > 1) else { return };
    let index = crashed.join("index");
    copy_tree(copy, &index);
    let mut paths = Vec::new();
    files_below(&index, &mut paths);
    for path in paths {
        let mut content = fs::read(&path).unwrap();
        for block in content.chunks_mut(4096) {
            if kind == 3 || (kind == 2 && dice.below(3) == 0) {
                block.iter_mut().for_each(|byte| *byte = dice.below(256) as u8);
            }
        }
        fs::write(path, content).unwrap();
    }
}

#[test]
fn any_step_may_fail_once() {
    let seed = seed();
    let folder = TempDir::new().unwrap();
    let mut number = 0;
    loop {
        let mut reached = false;
        for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            let root = folder.path().join(format!("{number}-{kind:?}"));
            reached |= fail_once(&root, number, kind, seed);
            fs::remove_dir_all(&root).unwrap();
        }
        if !reached {
            assert!(number > 60, "the run has only {number} steps");
            return;
        }
        number += 1;
    }
}

/// Whether the run came to the step.
fn fail_once(root: &Path, number: usize, kind: io::ErrorKind, seed: u64) -> bool {
    fs::create_dir(root).unwrap();
    let watcher = FailAt::new(number, kind);
    let files = Files::watched_by(watcher.clone());
    let mut acknowledged = Vec::new();
    // A start that fails says why, and the next one succeeds.
    if let Ok((catalog, _)) = Catalog::open_with(root, options(files.clone())) {
        acknowledged = run(&catalog, &files, 14, seed, || ());
        assert!(entries(&catalog.snapshot()).len() > 1 || acknowledged.is_empty(), "reads go on");
    }
    let taken = watcher.taken();
    if let Some(failed) = taken.get(number).filter(|failed| failed.starts_with("SyncFile") && failed.ends_with(".log"))
    {
        let path = failed.trim_start_matches("SyncFile ");
        let after = taken[number + 1..].iter().filter(|step| !step.starts_with("Read") && step.ends_with(path));
        assert_eq!(after.count(), 0, "the log was touched again after a failed sync: {taken:?}");
    }
    let (catalog, report) = Catalog::open(root).unwrap_or_else(|error| panic!("step {number}, {kind:?}: {error}"));
    if let Some((_, last)) = acknowledged.last() {
        assert!(report.seq >= last.seq, "step {number}, {kind:?}: {taken:?}");
        if report.seq == last.seq {
            assert!(entries(&catalog.snapshot()) == entries(last), "step {number}, {kind:?}");
        }
    }
    number < taken.len()
}

/// A directory that was closed in order, with its snapshot.
fn closed(root: &Path, seed: u64) -> Entries {
    fs::create_dir(root).unwrap();
    let files = Files::default();
    let (catalog, _) = Catalog::open_with(root, options(files.clone())).unwrap();
    run(&catalog, &files, 40, seed, || ());
    let last = entries(&catalog.snapshot());
    drop(catalog);
    last
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if !path.ends_with("LOCK") {
            found.push(path);
        }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    let mut found = Vec::new();
    files_below(from, &mut found);
    for path in found {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

/// A disk that is full for half of a write, where it is told to be.
#[derive(Debug)]
struct FullDisk {
    journal: Journal,
    is_full: AtomicBool,
}

impl Watcher for FullDisk {
    fn before(&self, step: &Step<'_>) -> Result<(), Fault> {
        match step {
            Step::Write { path, offset, bytes } if self.is_full.load(Ordering::SeqCst) => {
                let written = bytes.len() / 2;
                self.journal.before(&Step::Write { path, offset: *offset, bytes: &bytes[..written] })?;
                Err(Fault { error: io::ErrorKind::StorageFull.into(), written })
            }
            other => self.journal.before(other),
        }
    }
}

#[test]
fn what_a_full_disk_refused_does_not_come_back_after_a_power_cut() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("log");
    fs::create_dir(&root).unwrap();
    let disk = Arc::new(FullDisk { journal: Journal::new(&root), is_full: AtomicBool::new(false) });
    let files = Files::watched_by(disk.clone());
    let mut writer = Log::read(&files, &root).unwrap().into_writer(CommitSeq(1), u64::MAX).unwrap();
    let mut append = |seqs: &[u64]| {
        for seq in seqs {
            writer.stage(CommitSeq(*seq), &[b"payload"]).unwrap();
        }
        writer.append_staged()
    };
    append(&[1]).unwrap();
    disk.is_full.store(true, Ordering::SeqCst);
    // The half that is written is the first of the two.
    assert!(matches!(append(&[2, 3]), Err(AppendError::DiskFull(_))));
    for seed in 0..20 {
        let left = folder.path().join(format!("left {seed}"));
        disk.journal.crash(disk.journal.len(), &mut Dice(seed), &left);
        assert_eq!(Log::read(&Files::default(), &left).unwrap().last(), Some(CommitSeq(1)), "seed {seed}");
    }
}

#[test]
fn a_flipped_bit_or_a_cut_is_found_or_does_no_harm() {
    let seed = seed();
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("data");
    let expected = closed(&root, seed);
    let mut paths = Vec::new();
    files_below(&root, &mut paths);
    // Of segments the catalog knows the size; `storage` reads what is in them.
    paths.retain(|path| !path.starts_with(root.join("segments")));
    paths.sort();
    let mut dice = Dice(seed);
    let mut refused = 0;
    let rounds = number("MERIDIAN_FAULT_ROUNDS", 250);
    for round in 0..rounds {
        let damaged = folder.path().join("damaged");
        copy_tree(&root, &damaged);
        let path = damaged.join(paths[dice.below(paths.len())].strip_prefix(&root).unwrap());
        let mut content = fs::read(&path).unwrap();
        let place = dice.below(content.len());
        if dice.below(3) == 0 {
            content.truncate(place);
        } else {
            content[place] ^= 1 << dice.below(8);
        }
        fs::write(&path, content).unwrap();
        match Catalog::open(&damaged) {
            Ok((catalog, _)) => assert!(
                entries(&catalog.snapshot()) == expected,
                "round {round}: byte {place} of {} made another catalog",
                path.display()
            ),
            Err(_) => refused += 1,
        }
        fs::remove_dir_all(&damaged).unwrap();
    }
    assert!(refused > rounds / 20 && refused < rounds, "{refused} of {rounds} were refused");
}

#[test]
fn a_backup_whose_any_step_fails_is_no_backup_and_the_next_one_is() {
    let seed = seed();
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("data");
    let expected = closed(&root, seed);
    for number in 0.. {
        let target = folder.path().join("backups");
        let watcher = FailAt::new(number, io::ErrorKind::Other);
        let files = Files::watched_by(watcher.clone());
        let (catalog, _) = Catalog::open(&root).unwrap();
        let snapshot = catalog.snapshot();
        let source = backup::Source {
            files: &files,
            data_dir: &root,
            snapshot: &snapshot,
            archive: &Archive::of(&files, &root),
            now_micros: 1_700_000_000_000_000,
            cancelled: &AtomicBool::new(false),
        };
        let made = backup::make(&source, &target);
        let reached = number < watcher.taken().len();
        assert_eq!(made.is_err(), reached && !watcher.taken()[number].starts_with("Link"), "{made:?}");
        catalog.backup(&target, &AtomicBool::new(false)).unwrap();
        let restored = folder.path().join("restored");
        backup::restore(&target, None, &restored).unwrap();
        assert!(entries(&Catalog::open(&restored).unwrap().0.snapshot()) == expected);
        fs::remove_dir_all(&restored).unwrap();
        fs::remove_dir_all(&target).unwrap();
        if !reached {
            return;
        }
    }
}
