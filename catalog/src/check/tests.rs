//! Tests of the check: damage of each kind is named, and looking changes nothing.

use super::*;
use crate::commit::Catalog;
use crate::draft::{CommitDraft, Op};
use crate::ids::ObjectId;
use crate::samples::{dead, load, rows, segment, table};
use std::fs;
use tempfile::TempDir;

const SALES: ObjectId = ObjectId(16384);

/// A directory with two checkpoints, a segment with dead rows and recent rows.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (catalog, _) = Catalog::open(directory.path()).unwrap();
    let meta = segment(1);
    let path = directory.path().join(&meta.path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, vec![0; meta.bytes as usize]).unwrap();
    let id = meta.id;
    let commits = [
        Op::CreateTable(table(16384, "sales")),
        Op::AddSegments { table: SALES, segments: vec![meta] },
        Op::Delete { table: SALES, segments: vec![(id, dead([1, 2]))], recent: Vec::new() },
        Op::AddRecent { table: SALES, id: catalog.allocate_recent(), batch: rows(0, 2) },
    ];
    for op in commits {
        let draft = CommitDraft::new(catalog.snapshot(), vec![op]);
        let seq = runtime.block_on(catalog.commit(draft)).unwrap().seq;
        if seq.0 == 2 || seq.0 == 3 {
            runtime.block_on(catalog.checkpoint()).unwrap();
        }
    }
    directory
}

fn found(directory: &TempDir) -> CatalogCheck {
    check(directory.path(), tempfile::tempdir().unwrap().path()).unwrap()
}

/// What is said of a directory in which one byte of a file was changed.
fn problem_with(directory: &TempDir, file: &str, place: impl Fn(usize) -> usize) -> String {
    let path = directory.path().join(file);
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[place(whole.len())] ^= 0x10;
    fs::write(&path, damaged).unwrap();
    let check = found(directory);
    fs::write(&path, whole).unwrap();
    let problem = check.problems.first().expect("something is wrong");
    assert!(!problem.remedy.is_empty());
    problem.what.clone()
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            contents.extend(self::contents(&path));
        } else {
            contents.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    contents
}

#[test]
fn a_sound_directory_has_no_problems_and_stays_as_it_is() {
    let directory = directory();
    let before = contents(directory.path());
    let check = found(&directory);
    assert_eq!(check.problems, []);
    assert_eq!(check.snapshot.as_ref().map(|snapshot| snapshot.seq), Some(CommitSeq(4)));
    let counts: Vec<String> = check.checked.iter().map(|line| format!("{}: {}", line.kind, line.counts)).collect();
    assert!(counts.contains(&"log: 1 files, 4 commits".to_string()), "{counts:?}");
    assert!(counts.contains(&"checkpoints: 2 files".to_string()), "{counts:?}");
    assert!(counts.contains(&"recent rows: 2 in 1 batches".to_string()), "{counts:?}");
    assert!(counts.contains(&"deletion vectors: 1 with 2 rows".to_string()), "{counts:?}");
    drop(check);
    assert!(contents(directory.path()) == before);
}

#[test]
fn damage_of_each_kind_is_named() {
    let directory = directory();
    let log = problem_with(&directory, "log/00000000000000000001.log", |_| 60);
    assert!(log.contains("00000000000000000001.log\" is damaged at offset 28"), "{log}");
    let checkpoint = problem_with(&directory, "checkpoint/00000000000000000003.ckpt", |length| length / 2);
    assert!(checkpoint.contains("00000000000000000003.ckpt\" is not valid"), "{checkpoint}");
    fs::write(directory.path().join("index/db"), "garbage").unwrap();
    let index = found(&directory).problems[0].what.clone();
    assert!(index.contains("index\" cannot be used"), "{index}");
}

#[test]
fn a_damaged_log_is_the_one_problem_that_it_makes() {
    let directory = directory();
    let path = directory.path().join("log/00000000000000000001.log");
    let mut damaged = fs::read(&path).unwrap();
    damaged[60] ^= 0x10;
    fs::write(&path, damaged).unwrap();
    let check = found(&directory);
    assert_eq!(check.problems.len(), 1, "{check:?}");
    assert!(check.problems[0].remedy.starts_with("The server does not start without it."), "{check:?}");
    assert!(check.snapshot.is_none(), "nothing is held against a catalog that may be an older one");
}

#[test]
fn a_log_that_lost_its_end_is_named() {
    let directory = directory();
    let path = directory.path().join("log/00000000000000000001.log");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let check = found(&directory);
    assert!(check.problems.iter().any(|problem| problem.what.contains("the index has seen commit 4")), "{check:?}");
}

#[test]
fn catalogs_that_disagree_are_named() {
    let directory = directory();
    let files = Files::default();
    let path = directory.path().join("checkpoint/00000000000000000003.ckpt");
    let mut snapshot = checkpoint::read(&files, &path).unwrap();
    snapshot.at_micros += 1;
    snapshot.next_object.0 += 1;
    checkpoint::write(&files, path.parent().unwrap(), &snapshot).unwrap();
    let check = found(&directory);
    assert!(check.problems.iter().any(|problem| problem.what.contains("1 entries differ")), "{check:?}");
}

/// A label of a load from before there were tables' numbers stayed taken when its table was dropped; now it is free.
#[test]
fn what_earlier_builds_kept_of_loads_is_no_disagreement() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (catalog, _) = Catalog::open(directory.path()).unwrap();
    for ops in [vec![Op::CreateTable(table(16384, "sales")), load(2, 5)], vec![Op::DropTable(SALES)]] {
        runtime.block_on(catalog.commit(CommitDraft::new(catalog.snapshot(), ops))).unwrap();
        runtime.block_on(catalog.checkpoint()).unwrap();
    }
    drop(catalog);
    let files = Files::default();
    let folder = directory.path().join("checkpoint");
    let [mut dropped, loaded] =
        ["2", "1"].map(|seq| checkpoint::read(&files, &folder.join(format!("{seq:0>20}.ckpt"))).unwrap());
    assert!(dropped.loads.labelled("load 2").is_none() && loaded.loads.labelled("load 2").is_some());
    dropped.loads = loaded.loads;
    checkpoint::write(&files, &folder, &dropped).unwrap();
    assert_eq!(found(&directory).problems, []);
}

#[test]
fn a_directory_in_use_or_of_nobody_is_refused() {
    let directory = directory();
    let held = Catalog::open(directory.path()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    assert!(matches!(check(directory.path(), scratch.path()), Err(OpenError::Locked { .. })));
    drop(held);
    let missing = directory.path().join("missing");
    assert!(matches!(check(&missing, scratch.path()), Err(OpenError::NoDataDirectory { .. })));
    assert!(!missing.exists());
    fs::create_dir(&missing).unwrap();
    assert!(matches!(check(&missing, scratch.path()), Err(OpenError::NoDataDirectory { .. })));
    fs::write(missing.join("letter"), "Dear").unwrap();
    assert!(matches!(check(&missing, scratch.path()), Err(OpenError::NoDataDirectory { .. })));
}
