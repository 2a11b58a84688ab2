//! Tests of the door as a whole: what was acknowledged is there after a restart, whatever happened to the index; groups, failures,
//! checkpoints and reaping.

use super::*;
use crate::draft::Op;
use crate::entries::entries;
use crate::faults::Faults;
use crate::ids::SegmentId;
use crate::recovery::RecoverySource;
use crate::samples::{Step, dead, ops_of, rows, segment, steps, table, view};
use crate::segment_files::added_segments;
use proptest::prelude::*;
use std::fs;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;
use tempfile::TempDir;

const SALES: ObjectId = ObjectId(16384);

fn open(directory: &Path) -> (Arc<Catalog>, RecoveryReport) {
    Catalog::open(directory).unwrap()
}

fn open_breakable(directory: &Path) -> (Arc<Catalog>, Arc<Faults>) {
    let (files, faults) = Faults::files();
    let options = Options { files, ..Options::default() };
    (Catalog::open_with(directory, options).unwrap().0, faults)
}

async fn commit(catalog: &Catalog, ops: Vec<Op>) -> Result<Commit, CommitError> {
    stage_files(catalog.data_dir(), &ops);
    catalog.commit(CommitDraft::new(catalog.snapshot(), ops)).await
}

/// Writes files of the right size for the segments that the operations add.
fn stage_files(root: &Path, ops: &[Op]) {
    for meta in added_segments(ops) {
        let path = root.join(&meta.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![0; meta.bytes as usize]).unwrap();
    }
}

fn insert(catalog: &Catalog) -> Vec<Op> {
    vec![Op::AddRecent { table: SALES, id: catalog.allocate_recent(), batch: rows(0, 2) }]
}

fn path_of(catalog: &Catalog, id: u128) -> PathBuf {
    catalog.data_dir().join(&segment(id).path)
}

async fn with_table(directory: &Path) -> Arc<Catalog> {
    let (catalog, _) = open(directory);
    commit(&catalog, vec![Op::CreateTable(table(16384, "sales"))]).await.unwrap();
    catalog
}

/// Nobody will ask for what was before this moment.
async fn forget(catalog: &Catalog) {
    let before_micros = catalog.snapshot().at_micros;
    commit(catalog, vec![Op::Forget { before_micros }]).await.unwrap();
}

fn assert_same(left: &Snapshot, right: &Snapshot) {
    assert_eq!(entries(left), entries(right));
    assert_eq!(left.names, right.names);
}

#[tokio::test]
async fn a_commit_is_visible_and_survives() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = with_table(directory.path()).await;
    let watch = catalog.watch();
    let before = catalog.snapshot();
    let done = commit(&catalog, insert(&catalog)).await.unwrap();
    assert_eq!(done.seq, CommitSeq(2));
    assert_eq!(catalog.snapshot().seq, CommitSeq(2));
    assert_eq!(*watch.borrow(), CommitSeq(2));
    assert_eq!(before.tables[&SALES].rows_live(), 0, "a snapshot stays as it is");
    drop(catalog);

    let (catalog, report) = open(directory.path());
    assert_eq!((report.seq, report.records_replayed), (CommitSeq(2), 0));
    assert_eq!((report.source, report.created), (RecoverySource::Index, false));
    assert_same(&catalog.snapshot(), &done.snapshot);
}

#[tokio::test]
async fn a_draft_without_operations_takes_no_seq() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = with_table(directory.path()).await;
    assert_eq!(commit(&catalog, vec![]).await.unwrap().seq, CommitSeq(1));
    assert_eq!(commit(&catalog, insert(&catalog)).await.unwrap().seq, CommitSeq(2));
}

#[tokio::test]
async fn a_conflict_is_answered_to_its_writer_alone() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = with_table(directory.path()).await;
    let taken = commit(&catalog, vec![Op::CreateTable(table(17000, "sales"))]);
    let fits = commit(&catalog, insert(&catalog));
    let (taken, fits) = tokio::join!(taken, fits);
    assert!(matches!(taken, Err(CommitError::Conflict(Conflict::NameTaken(_)))));
    assert_eq!(fits.unwrap().seq, CommitSeq(2));
    let summaries: Vec<_> = catalog.recent_commits().into_iter().map(|commit| commit.summary).collect();
    assert_eq!(summaries, ["create table public.sales", "add 2 rows to public.sales"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_get_seqs_of_their_own_and_share_syncs() {
    let directory = tempfile::tempdir().unwrap();
    drop(with_table(directory.path()).await);
    let (catalog, faults) = open_breakable(directory.path());
    let before = faults.syncs.load(SeqCst);
    let writers: Vec<_> = (0..64)
        .map(|_| {
            let catalog = Arc::clone(&catalog);
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for _ in 0..4 {
                    let done = commit(&catalog, insert(&catalog)).await.unwrap();
                    assert_eq!(done.snapshot.seq, done.seq);
                    assert!(catalog.snapshot().seq >= done.seq);
                    seqs.push(done.seq.0);
                }
                seqs
            })
        })
        .collect();
    let mut seqs = Vec::new();
    for writer in writers {
        seqs.extend(writer.await.unwrap());
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (2..258).collect::<Vec<u64>>());
    assert!(faults.syncs.load(SeqCst) - before <= 256);
    let snapshot = catalog.snapshot();
    drop(catalog);
    assert_same(&open(directory.path()).0.snapshot(), &snapshot);
}

/// A catalog with table sales whose committer takes no draft before `gate` opens.
async fn open_gated(directory: &Path) -> (Arc<Catalog>, Arc<Faults>, Arc<Mutex<()>>) {
    drop(with_table(directory).await);
    let (files, faults) = Faults::files();
    let gate = Arc::new(Mutex::new(()));
    let held = Arc::clone(&gate);
    let clock = Box::new(move || {
        drop(held.lock());
        1
    });
    let options = Options { files, clock, ..Options::default() };
    (Catalog::open_with(directory, options).unwrap().0, faults, gate)
}

/// Commits all drafts in one round: they are queued while the gate is closed. The answers in the order of the drafts, each with
/// what was published when it came; the last draft's is awaited first.
async fn in_one_round(
    catalog: &Catalog,
    gate: &Mutex<()>,
    drafts: Vec<Vec<Op>>,
) -> Vec<(Result<Commit, CommitError>, CommitSeq)> {
    let closed = gate.lock();
    let mut queued: Vec<_> = drafts.into_iter().map(|ops| Box::pin(commit(catalog, ops))).collect();
    for draft in &mut queued {
        // The first poll queues a draft.
        let waker = std::task::Waker::noop();
        assert!(draft.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    drop(closed);
    let mut answers = Vec::new();
    for draft in queued.into_iter().rev() {
        answers.push((draft.await, catalog.snapshot().seq));
    }
    answers.reverse();
    answers
}

#[tokio::test]
async fn waiting_drafts_share_one_sync() {
    let directory = tempfile::tempdir().unwrap();
    let (catalog, faults, gate) = open_gated(directory.path()).await;
    let before = faults.syncs.load(SeqCst);
    let drafts = (0..40).map(|_| insert(&catalog)).collect();
    for (answer, _) in in_one_round(&catalog, &gate, drafts).await {
        answer.unwrap();
    }
    assert_eq!(faults.syncs.load(SeqCst) - before, 1);
}

#[tokio::test]
async fn what_a_draft_is_refused_for_is_published_when_it_hears_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (catalog, faults, gate) = open_gated(directory.path()).await;
    let both = || vec![vec![Op::CreateTable(table(17000, "stores"))], vec![Op::CreateTable(table(17001, "stores"))]];
    faults.disk_full.store(true, SeqCst);
    for (answer, _) in in_one_round(&catalog, &gate, both()).await {
        assert!(matches!(answer, Err(CommitError::DiskFull { .. })), "{answer:?}");
    }
    faults.disk_full.store(false, SeqCst);
    let answers = in_one_round(&catalog, &gate, both()).await;
    assert_eq!(answers[0].0.as_ref().unwrap().seq, CommitSeq(2));
    assert!(matches!(answers[1].0, Err(CommitError::Conflict(Conflict::NameTaken(_)))), "{:?}", answers[1].0);
    assert_eq!(answers[1].1, CommitSeq(2));
}

#[tokio::test]
async fn wall_time_never_goes_back() {
    let directory = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(5_000));
    let clock = |now: &Arc<AtomicI64>| {
        let now = Arc::clone(now);
        Options { clock: Box::new(move || now.load(SeqCst)), ..Options::default() }
    };
    let catalog = Catalog::open_with(directory.path(), clock(&now)).unwrap().0;
    let first = commit(&catalog, vec![Op::CreateTable(table(16384, "sales"))]).await.unwrap();
    now.store(4_000, SeqCst);
    let second = commit(&catalog, insert(&catalog)).await.unwrap();
    assert_eq!((first.at_micros, second.at_micros), (5_000, 5_000));
    drop(catalog);
    let catalog = Catalog::open_with(directory.path(), clock(&now)).unwrap().0;
    assert_eq!(commit(&catalog, insert(&catalog)).await.unwrap().at_micros, 5_000);
}

#[tokio::test]
async fn a_failed_sync_stops_all_writing_for_good_and_no_reading() {
    let directory = tempfile::tempdir().unwrap();
    drop(with_table(directory.path()).await);
    let (catalog, faults) = open_breakable(directory.path());
    faults.fail_syncs.store(true, SeqCst);
    let failed = commit(&catalog, insert(&catalog)).await.unwrap_err();
    assert!(matches!(&failed, CommitError::InDoubt { reason } if reason.contains("input/output error")), "{failed}");
    faults.fail_syncs.store(false, SeqCst);
    let syncs = faults.syncs.load(SeqCst);
    let refused = commit(&catalog, insert(&catalog)).await.unwrap_err();
    assert!(matches!(&refused, CommitError::Stopped { reason } if reason.contains("input/output error")), "{refused}");
    assert_eq!(faults.syncs.load(SeqCst), syncs, "nobody tries again");
    assert_eq!(catalog.snapshot().seq, CommitSeq(1));
    assert!(catalog.stopped_reason().is_some());
    drop(catalog);
    let (catalog, _) = open(directory.path());
    commit(&catalog, insert(&catalog)).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_fails_the_commit_and_not_the_next() {
    let directory = tempfile::tempdir().unwrap();
    drop(with_table(directory.path()).await);
    let (catalog, faults) = open_breakable(directory.path());
    faults.disk_full.store(true, SeqCst);
    let failed = commit(&catalog, insert(&catalog)).await.unwrap_err();
    assert!(matches!(failed, CommitError::DiskFull { .. }), "{failed}");
    assert_eq!(catalog.snapshot().seq, CommitSeq(1));
    faults.disk_full.store(false, SeqCst);
    let done = commit(&catalog, insert(&catalog)).await.unwrap();
    assert_eq!(done.seq, CommitSeq(2));
    drop(catalog);
    let (catalog, report) = open(directory.path());
    assert_eq!(report.torn_bytes, 0);
    assert_same(&catalog.snapshot(), &done.snapshot);
}

#[tokio::test]
async fn ids_are_not_given_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = with_table(directory.path()).await;
    assert_eq!(catalog.allocate_object(), ObjectId(16384), "the sample chose its id itself");
    assert_eq!(catalog.allocate_object(), ObjectId(16385));
    let ops = insert(&catalog);
    let Op::AddRecent { id, .. } = &ops[0] else { panic!("an insert") };
    let id = *id;
    commit(&catalog, ops).await.unwrap();
    drop(catalog);
    let (catalog, _) = open(directory.path());
    assert_eq!(catalog.allocate_object(), ObjectId(16385));
    assert!(catalog.allocate_recent() > id);
}

#[tokio::test]
async fn a_checkpoint_and_the_log_after_it_are_enough() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { log_file_bytes_max: 1, ..Options::default() };
    let catalog = Catalog::open_with(directory.path(), options).unwrap().0;
    commit(&catalog, vec![Op::CreateTable(table(16384, "sales"))]).await.unwrap();
    for seq in 2..8 {
        commit(&catalog, insert(&catalog)).await.unwrap();
        assert_eq!(catalog.checkpoint().await.unwrap(), CommitSeq(seq));
    }
    let done = commit(&catalog, insert(&catalog)).await.unwrap();
    drop(catalog);
    let logs = fs::read_dir(directory.path().join("log")).unwrap().count();
    assert_eq!(logs, 2, "the log after the older of two checkpoints");
    fs::remove_dir_all(directory.path().join("index")).unwrap();
    let (catalog, report) = open(directory.path());
    assert_eq!((report.source, report.records_replayed), (RecoverySource::Checkpoint(CommitSeq(7)), 1));
    assert_same(&catalog.snapshot(), &done.snapshot);
}

#[tokio::test]
async fn checkpoints_come_by_themselves_as_the_log_grows() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { checkpoint_log_bytes: 1, ..Options::default() };
    let catalog = Catalog::open_with(directory.path(), options).unwrap().0;
    commit(&catalog, vec![Op::CreateTable(table(16384, "sales"))]).await.unwrap();
    drop(catalog);
    assert_eq!(fs::read_dir(directory.path().join("checkpoint")).unwrap().count(), 1);
}

#[tokio::test]
async fn shutdown_writes_a_checkpoint_and_refuses_what_comes_later() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = with_table(directory.path()).await;
    catalog.shutdown().await;
    let refused = commit(&catalog, insert(&catalog)).await.unwrap_err();
    assert!(matches!(&refused, CommitError::Stopped { reason } if reason.contains("shutting down")));
    assert!(catalog.checkpoint().await.is_err());
    drop(catalog);
    fs::remove_dir_all(directory.path().join("index")).unwrap();
    let (_, report) = open(directory.path());
    assert_eq!((report.source, report.records_replayed), (RecoverySource::Checkpoint(CommitSeq(1)), 0));
}

#[tokio::test]
async fn reaping_waits_for_the_last_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = with_table(directory.path()).await;
    let add = Op::AddSegments { table: SALES, segments: vec![segment(1), segment(2)] };
    commit(&catalog, vec![add]).await.unwrap();
    let reader = catalog.snapshot();
    let rewrite = Op::Rewrite {
        table: SALES,
        remove_segments: vec![(SegmentId(1), 0)],
        remove_recent: vec![],
        add: vec![segment(3)],
    };
    commit(&catalog, vec![rewrite]).await.unwrap();
    forget(&catalog).await;
    // The applier holds snapshots too; a checkpoint answers after everything before it was applied.
    catalog.checkpoint().await.unwrap();
    assert_eq!(catalog.reap(), ReapReport::default());
    assert!(path_of(&catalog, 1).exists());
    drop(reader);
    let report = catalog.reap();
    assert_eq!((report.files, report.bytes, report.problems.len()), (1, 101, 0));
    assert!(!path_of(&catalog, 1).exists());
    assert!(path_of(&catalog, 2).exists() && path_of(&catalog, 3).exists());
    assert_eq!(catalog.reap(), ReapReport::default());
    drop(catalog);
    fs::remove_dir_all(directory.path().join("index")).unwrap();
    let (catalog, _) = open(directory.path());
    assert_eq!(catalog.snapshot().tables[&SALES].segments.len(), 2, "replay passes over the reaped segment");
}

#[tokio::test]
async fn a_segment_that_a_change_names_is_not_reaped_until_the_view_has_folded_it() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = with_table(directory.path()).await;
    commit(&catalog, vec![Op::CreateView(view(20000, "daily", &[SALES]))]).await.unwrap();
    commit(&catalog, vec![Op::AddSegments { table: SALES, segments: vec![segment(1)] }]).await.unwrap();
    let delete = Op::Delete { table: SALES, segments: vec![(SegmentId(1), dead(0..10))], recent: vec![] };
    commit(&catalog, vec![delete]).await.unwrap();
    forget(&catalog).await;
    catalog.checkpoint().await.unwrap();
    assert_eq!(catalog.reap().files, 0);
    drop(catalog);
    let (catalog, _) = open(directory.path());
    assert_eq!(catalog.reap().files, 0, "nor after a restart");
    let (from, to) = (None, CommitSeq(5));
    let fold = Op::Fold { view: ObjectId(20000), from, to, replace: false, segments: vec![], recent: vec![] };
    commit(&catalog, vec![fold]).await.unwrap();
    // The applier may hold the last snapshot for a moment after it answered; a second checkpoint comes after that moment.
    catalog.checkpoint().await.unwrap();
    catalog.checkpoint().await.unwrap();
    assert_eq!(catalog.reap().files, 1);
}

/// What happens to the directory between two starts.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    IndexDeleted,
    IndexGarbage,
    IndexTruncated,
    IndexOfAnEarlierCommit,
    Checkpoint,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_random_history_survives_restarts(
        histories in prop::collection::vec((steps(12), between()), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        for (history, between) in histories {
            let expected = runtime.block_on(run_history(&directory, &history, between));
            let (catalog, _) = open(directory.path());
            assert_same(&catalog.snapshot(), &expected);
        }
    }
}

fn between() -> impl Strategy<Value = Between> {
    prop::sample::select(vec![
        Between::Nothing,
        Between::IndexDeleted,
        Between::IndexGarbage,
        Between::IndexTruncated,
        Between::IndexOfAnEarlierCommit,
        Between::Checkpoint,
    ])
}

async fn run_history(directory: &TempDir, history: &[Step], between: Between) -> Arc<Snapshot> {
    let index = directory.path().join("index");
    let earlier = directory.path().join("earlier");
    if matches!(between, Between::IndexOfAnEarlierCommit) && index.exists() {
        fs::create_dir(&earlier).unwrap();
        for file in files_of(&index) {
            fs::copy(&file, earlier.join(file.file_name().unwrap())).unwrap();
        }
    }
    let options = Options { log_file_bytes_max: 1000, ..Options::default() };
    let catalog = Catalog::open_with(directory.path(), options).unwrap().0;
    for step in history {
        let ops = ops_of(&catalog.snapshot(), *step);
        match commit(&catalog, ops).await {
            Ok(_) | Err(CommitError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    if matches!(between, Between::Checkpoint) {
        catalog.checkpoint().await.unwrap();
    }
    let expected = catalog.snapshot();
    drop(catalog);
    match between {
        Between::Nothing | Between::Checkpoint => {}
        Between::IndexDeleted => fs::remove_dir_all(&index).unwrap(),
        Between::IndexGarbage => files_of(&index).iter().for_each(|file| fs::write(file, [0xa5; 5000]).unwrap()),
        Between::IndexTruncated => files_of(&index).iter().for_each(|file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        Between::IndexOfAnEarlierCommit if earlier.exists() => {
            fs::remove_dir_all(&index).unwrap();
            fs::rename(&earlier, &index).unwrap();
        }
        Between::IndexOfAnEarlierCommit => {}
    }
    expected
}

fn files_of(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}
