//! Tests of the archive: every commit that is not forgotten can be read as it was, whatever came after it.

use super::*;
use crate::commit::{Catalog, Options};
use crate::draft::CommitDraft;
use crate::entries::{Key, entries};
use crate::ids::ObjectId;
use crate::recovery::RecoveryReport;
use crate::samples::{Step, ops_of, rows, segment, steps, table};
use crate::segment_files::{LostPast, added_segments};
use proptest::prelude::*;
use std::fs;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const SALES: ObjectId = ObjectId(16384);
/// Between two commits.
const SECOND: i64 = 1_000_000;

/// A catalog whose clock is advanced by hand, with small files.
struct Bench {
    directory: TempDir,
    runtime: Runtime,
    clock: Arc<AtomicI64>,
    catalog: Option<Arc<Catalog>>,
}

impl Bench {
    fn new() -> Self {
        let (directory, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(SECOND)));
        let mut bench =
            Self { directory, runtime: Builder::new_current_thread().build().unwrap(), clock, catalog: None };
        bench.restart();
        bench
    }

    fn restart(&mut self) -> RecoveryReport {
        self.catalog = None;
        let clock = Arc::clone(&self.clock);
        let options = Options {
            clock: Box::new(move || clock.load(SeqCst)),
            log_file_bytes_max: 3_000,
            checkpoint_log_bytes: 6_000,
            ..Options::default()
        };
        let (catalog, report) = Catalog::open_with(self.directory.path(), options).unwrap();
        self.catalog = Some(catalog);
        report
    }

    fn catalog(&self) -> &Catalog {
        self.catalog.as_ref().unwrap()
    }

    /// A commit a second after the one before; `None` where it does not fit.
    fn commit(&self, ops: Vec<Op>) -> Option<Arc<Snapshot>> {
        self.clock.fetch_add(SECOND, SeqCst);
        for meta in added_segments(&ops) {
            let path = self.directory.path().join(&meta.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; meta.bytes as usize]).unwrap();
        }
        let draft = CommitDraft::new(self.catalog().snapshot(), ops);
        self.runtime.block_on(self.catalog().commit(draft)).ok().map(|done| done.snapshot)
    }

    fn checkpoint(&self) {
        self.runtime.block_on(self.catalog().checkpoint()).unwrap();
    }

    fn forget(&self, before_micros: i64) {
        self.commit(vec![Op::Forget { before_micros }]).unwrap();
        self.catalog().prune_archive().unwrap();
    }

    fn insert(&self) -> Arc<Snapshot> {
        let id = self.catalog().allocate_recent();
        self.commit(vec![Op::AddRecent { table: SALES, id, batch: rows(0, 60) }]).unwrap()
    }

    fn history(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path().join("history")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// What a reader sees of a snapshot: without states, changes and what is kept for the past.
fn readable(snapshot: &Snapshot) -> Vec<(Key, Vec<u8>)> {
    let settled = settled(snapshot.clone(), &|meta| Some(Arc::new(meta.clone()))).unwrap();
    // How far numbers were given is of no use to readers.
    entries(&settled).into_iter().filter(|(key, _)| *key != Key::Meta).collect()
}

fn run(bench: &mut Bench, steps: &[Step]) -> Vec<Arc<Snapshot>> {
    let mut committed = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        let ops = ops_of(&bench.catalog().snapshot(), *step);
        let ops: Vec<Op> = ops.into_iter().filter(|op| !matches!(op, Op::Forget { .. })).collect();
        committed.extend(bench.commit(ops).map(|snapshot| Arc::new(Snapshot::clone(&snapshot))));
        match position % 10 {
            3 => bench.checkpoint(),
            5 => drop(bench.catalog().reap()),
            9 => drop(bench.restart()),
            _ => {}
        }
    }
    committed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_commit_can_be_read_as_it_was(steps in steps(60), forgotten in 0usize..40) {
        let mut bench = Bench::new();
        let committed = run(&mut bench, &steps);
        let from = committed.get(forgotten).map_or(0, |snapshot| snapshot.at_micros);
        bench.forget(from);
        let expected: Vec<_> =
            committed.iter().map(|snapshot| (snapshot.at_micros, readable(snapshot))).collect();
        drop(committed);
        bench.checkpoint();
        bench.catalog().reap();
        for restarted in [false, true] {
            for (at_micros, expected) in expected.iter().rev() {
                let found = bench.catalog().snapshot_at(at_micros + SECOND / 2, &|| false);
                if *at_micros < from {
                    let earliest = bench.catalog().past_from().unwrap();
                    let refused = matches!(found, Err(PastError::TooEarly { earliest_micros }) if earliest_micros == earliest);
                    prop_assert!(refused && earliest >= from);
                } else {
                    let found = found.unwrap_or_else(|error| panic!("{error}, restarted: {restarted}"));
                    prop_assert_eq!(found.at_micros, *at_micros);
                    prop_assert!(readable(&found) == *expected, "commit {}", found.seq);
                }
            }
            bench.restart();
        }
    }
}

#[test]
fn the_files_of_the_past_go_when_it_is_forgotten() {
    let bench = Bench::new();
    bench.commit(vec![Op::CreateTable(table(16384, "sales"))]).unwrap();
    let added = bench.commit(vec![Op::AddSegments { table: SALES, segments: vec![segment(1)] }]).unwrap().at_micros;
    bench.commit(vec![Op::Truncate { table: SALES }]).unwrap();
    for _ in 0..20 {
        bench.insert();
        bench.checkpoint();
    }
    assert_eq!(bench.catalog().reap().files, 0, "the past needs it");
    let past = bench.catalog().snapshot_at(added, &|| false).unwrap();
    assert_eq!(past.tables[&SALES].segments.len(), 1);
    assert!(bench.history().len() > 4, "{:?}", bench.history());
    let checkpoints = bench.history().iter().filter(|name| name.ends_with(".ckpt")).count();
    let logs = bench.history().len() - checkpoints;
    assert!(checkpoints <= logs + 1, "one for each log file: {:?}", bench.history());

    let limit = bench.catalog().snapshot().at_micros;
    assert_eq!(bench.catalog().forgettable(added, u64::MAX).unwrap(), None, "nothing would be freed");
    assert_eq!(bench.catalog().forgettable(limit, u64::MAX).unwrap(), Some(limit));
    bench.forget(limit);
    bench.checkpoint();
    bench.checkpoint();
    assert_eq!(bench.catalog().reap().files, 0, "a reader holds it");
    assert_eq!(bench.catalog().forgettable(limit, u64::MAX).unwrap(), None);
    drop(past);
    assert_eq!(bench.catalog().reap().files, 1);
    assert!(matches!(bench.catalog().snapshot_at(added, &|| false), Err(PastError::TooEarly { .. })));
    assert!(bench.history().len() <= 3, "{:?}", bench.history());
    assert!(bench.catalog().snapshot_at(limit, &|| false).is_ok());
}

#[test]
fn too_much_log_moves_the_beginning_of_the_past() {
    let bench = Bench::new();
    bench.commit(vec![Op::CreateTable(table(16384, "sales"))]).unwrap();
    for _ in 0..20 {
        bench.insert();
        bench.checkpoint();
    }
    let before = bench.catalog().forgettable(0, 5_000).unwrap().unwrap();
    bench.forget(before);
    let logs = bench.history().into_iter().filter(|name| name.ends_with(".log"));
    let bytes = logs.map(|name| fs::metadata(bench.directory.path().join("history").join(name)).unwrap().len());
    assert!(bytes.sum::<u64>() <= 5_000);
    assert_eq!(bench.catalog().past_from().unwrap(), before);
    assert!(bench.catalog().snapshot_at(before, &|| false).is_ok());
}

#[test]
fn a_lost_history_is_said_and_costs_nothing_else() {
    let mut bench = Bench::new();
    bench.commit(vec![Op::CreateTable(table(16384, "sales"))]).unwrap();
    let first = bench.insert().at_micros;
    for _ in 0..20 {
        bench.insert();
        bench.checkpoint();
    }
    let last = bench.catalog().snapshot();
    for name in bench.history() {
        fs::remove_file(bench.directory.path().join("history").join(name)).unwrap();
    }
    bench.restart();
    assert_eq!(entries(&bench.catalog().snapshot()), entries(&last));
    assert!(
        matches!(bench.catalog().snapshot_at(first, &|| false), Err(PastError::TooEarly { earliest_micros }) if earliest_micros > first)
    );
    assert!(bench.catalog().snapshot_at(last.at_micros - SECOND, &|| false).is_ok());
}

#[test]
fn a_removed_file_that_is_missing_at_a_start_is_reported_and_costs_no_other() {
    let mut bench = Bench::new();
    bench.commit(vec![Op::CreateTable(table(16384, "sales"))]).unwrap();
    bench.commit(vec![Op::CreateTable(table(16385, "other"))]).unwrap();
    let kept = segment(2);
    bench.commit(vec![Op::AddSegments { table: ObjectId(16385), segments: vec![Arc::clone(&kept)] }]).unwrap();
    bench.commit(vec![Op::Truncate { table: ObjectId(16385) }]).unwrap();
    let added = bench.commit(vec![Op::AddSegments { table: SALES, segments: vec![segment(1)] }]).unwrap().at_micros;
    let emptied = bench.commit(vec![Op::Truncate { table: SALES }]).unwrap().at_micros;
    bench.insert();
    let (lost, bytes) = (bench.directory.path().join(&segment(1).path), segment(1).bytes as usize);
    fs::remove_file(&lost).unwrap();
    let problem = format!("file \"{}\" does not exist", segment(1).path);
    assert_eq!(bench.restart().lost_past, Some(LostPast { files: 1, problem, until_micros: emptied }));
    assert!(bench.directory.path().join(&kept.path).exists(), "another segment of the past");
    assert_eq!(bench.catalog().snapshot_at(emptied, &|| false).unwrap().tables[&SALES].rows_live(), 0);
    // The file comes back from a backup.
    fs::write(&lost, vec![0; bytes]).unwrap();
    assert_eq!(bench.restart().lost_past, None);
    assert_eq!(bench.catalog().snapshot_at(added, &|| false).unwrap().tables[&SALES].segments.len(), 1);
    fs::remove_file(&lost).unwrap();
    bench.restart();
    bench.forget(emptied);
    assert_eq!(bench.catalog().reap().problems, Vec::<String>::new());
    assert_eq!(bench.restart().lost_past, None, "nobody asks for it any more");
}

#[test]
fn reading_the_past_ends_when_it_is_cancelled() {
    let bench = Bench::new();
    bench.commit(vec![Op::CreateTable(table(16384, "sales"))]).unwrap();
    let commits: Vec<i64> = (0..20).map(|_| bench.insert().at_micros).collect();
    let asked = std::cell::Cell::new(0);
    let cancelled = || {
        asked.set(asked.get() + 1);
        true
    };
    let found = bench.catalog().snapshot_at(commits[15], &cancelled);
    assert!(matches!(found, Err(PastError::Cancelled)));
    assert_eq!(asked.get(), 1, "it did not go on");
    let found = bench.catalog().snapshot_at(commits[15], &|| false).unwrap();
    assert_eq!(found.at_micros, commits[15]);
}

#[test]
fn the_last_commits_are_told_after_a_restart_too() {
    let mut bench = Bench::new();
    bench.commit(vec![Op::CreateTable(table(16384, "sales"))]).unwrap();
    bench.insert();
    bench.commit(vec![Op::CreateTable(table(16400, "gone"))]).unwrap();
    bench.commit(vec![Op::DropTable(ObjectId(16400))]).unwrap();
    for _ in 0..30 {
        bench.insert();
        bench.checkpoint();
    }
    let told = bench.catalog().recent_commits();
    assert_eq!(told.len(), 34);
    assert_eq!(told[3].summary, "drop table public.gone");
    for _ in 0..2 {
        bench.restart();
        assert_eq!(bench.catalog().recent_commits(), told);
    }
    let next = bench.insert();
    let more = bench.catalog().recent_commits();
    assert_eq!((more.len(), more[34].seq, &more[..34]), (35, next.seq, &told[..]));

    let through = told[20].seq;
    let mut last = Vec::new();
    let archive = Archive::of(&Files::default(), bench.directory.path());
    archive.last_commits(through, 5, |seq, _, _, _| last.push(seq)).unwrap();
    assert_eq!(last, (17..=21).map(CommitSeq).collect::<Vec<_>>(), "no more than are asked for");
}
