//! Tests of the index: it gives back what it was given, or says that it cannot.

use super::*;
use crate::ids::ObjectId;
use std::fs;
use tempfile::TempDir;

fn key(name: &str) -> Key {
    Key::Schema(name.to_string())
}

fn open(directory: &TempDir) -> Result<Option<FoundIndex>, IndexProblem> {
    Index::open(&Files::default(), &directory.path().join("index"))
}

fn sample() -> Vec<(Key, Vec<u8>)> {
    vec![
        (Key::Meta, b"counters".to_vec()),
        (key("empty"), Vec::new()),
        (key("exact"), vec![1; CHUNK_BYTES_MAX]),
        (key("large"), (0..50_000u32).map(|byte| byte as u8).collect()),
        (Key::Table(ObjectId(7)), vec![7; 300]),
    ]
}

fn built() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut index = Index::create(&directory.path().join("index")).unwrap();
    index.replace_all(CommitSeq(5), &sample()).unwrap();
    index.flush().unwrap();
    directory
}

#[test]
fn an_empty_directory_is_no_index() {
    assert!(open(&tempfile::tempdir().unwrap()).unwrap().is_none());
}

#[test]
fn entries_of_any_size_come_back() {
    let directory = built();
    let found = open(&directory).unwrap().unwrap();
    assert_eq!(found.applied, CommitSeq(5));
    assert_eq!(found.entries, sample());
}

#[test]
fn changes_shrink_grow_and_remove_entries() {
    let directory = built();
    let mut index = open(&directory).unwrap().unwrap().index;
    let changes: Changes = vec![
        (key("large"), Some(vec![3; 10])),
        (key("empty"), Some(vec![4; 9000])),
        (key("exact"), None),
        (key("absent"), None),
        (key("new"), Some(vec![5])),
    ];
    index.apply(CommitSeq(6), &changes).unwrap();
    drop(index);
    let found = open(&directory).unwrap().unwrap();
    assert_eq!(found.applied, CommitSeq(6));
    let expected = vec![
        (Key::Meta, b"counters".to_vec()),
        (key("empty"), vec![4; 9000]),
        (key("large"), vec![3; 10]),
        (key("new"), vec![5]),
        (Key::Table(ObjectId(7)), vec![7; 300]),
    ];
    assert_eq!(found.entries, expected);
}

#[test]
fn replacing_all_removes_what_is_not_named() {
    let directory = built();
    let mut index = open(&directory).unwrap().unwrap().index;
    index.replace_all(CommitSeq(9), &sample()[3..]).unwrap();
    drop(index);
    let found = open(&directory).unwrap().unwrap();
    assert_eq!((found.applied, found.entries), (CommitSeq(9), sample()[3..].to_vec()));
}

/// sled itself would refuse to open over such a file.
#[test]
fn a_snapshot_that_sled_did_not_finish_is_removed() {
    let directory = built();
    fs::write(directory.path().join("index/snap.0000000000000001.generating"), b"").unwrap();
    assert_eq!(open(&directory).unwrap().unwrap().entries, sample());
}

/// Old values with valid checksums among new ones: only the digest sees it.
#[test]
fn a_mix_of_old_and_new_values_is_noticed() {
    let directory = built();
    let index = open(&directory).unwrap().unwrap().index;
    let name = tree_key(&key("exact").to_bytes(), 0);
    let old = seal(&name, &[2; CHUNK_BYTES_MAX]);
    index.tree.insert(name, old).unwrap();
    drop(index);
    let problem = open(&directory).err().unwrap().to_string();
    assert_eq!(problem, "its digest does not fit its entries");
}

#[test]
fn a_missing_part_of_a_value_is_noticed() {
    let directory = built();
    let index = open(&directory).unwrap().unwrap().index;
    index.tree.remove(tree_key(&key("large").to_bytes(), 2)).unwrap();
    drop(index);
    assert_eq!(open(&directory).err().unwrap().to_string(), "a part of a value is missing");
}

#[test]
fn an_unfinished_index_is_noticed() {
    let directory = built();
    let index = open(&directory).unwrap().unwrap().index;
    index.tree.remove(APPLIED_KEY).unwrap();
    drop(index);
    assert_eq!(open(&directory).err().unwrap().to_string(), "it was not finished");
}

#[test]
fn an_index_of_the_version_before_is_read_and_others_are_built_again() {
    for (version, is_read) in [(1, false), (OLDEST_VERSION, true), (VERSION, true), (VERSION + 1, false)] {
        let directory = built();
        let index = open(&directory).unwrap().unwrap().index;
        let mut applied = version.to_le_bytes().to_vec();
        applied.extend_from_slice(&5u64.to_le_bytes());
        applied.extend_from_slice(&index.digest.to_le_bytes());
        index.tree.insert(APPLIED_KEY, seal(APPLIED_KEY, &applied)).unwrap();
        drop(index);
        match open(&directory) {
            Ok(found) => assert_eq!((found.unwrap().entries, is_read), (sample(), true)),
            Err(problem) => assert_eq!((problem.to_string().as_str(), is_read), ("it is of another version", false)),
        }
    }
}

#[test]
fn damaged_files_give_a_problem_or_the_right_entries() {
    let pristine = built();
    for damage in 0..24usize {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("index")).unwrap();
        for entry in fs::read_dir(pristine.path().join("index")).unwrap() {
            let entry = entry.unwrap();
            if !entry.file_type().unwrap().is_file() {
                continue;
            }
            let mut bytes = fs::read(entry.path()).unwrap();
            match damage {
                0 => bytes.truncate(bytes.len() / 2),
                1 => bytes.clear(),
                2 => bytes.fill(0xa5),
                _ if !bytes.is_empty() => {
                    // The part of the file that sled has written to stands at its beginning.
                    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
                    bytes[written * damage / 24] ^= 0x10;
                }
                _ => {}
            }
            fs::write(directory.path().join("index").join(entry.file_name()), bytes).unwrap();
        }
        if let Ok(Some(found)) = open(&directory) {
            assert_eq!((found.applied, found.entries), (CommitSeq(5), sample()), "damage {damage}");
        }
    }
}
