//! Data directories that earlier releases wrote must open and answer as they did.
//!
//! `fixtures/format-1` was written by a server of log version 1 and checkpoint version 1, which was killed, so that its log has
//! what came after the checkpoint. It has segments, a deletion vector, recent rows, a view with a state, one that is recomputed,
//! a plain view and dropped things. `fixtures/format-2` was written by the last server of version 2 in the same way. Its log has batches of
//! all kinds, few rows, packed ones and streams, its checkpoints few rows; and it has types of users, labels of loads, one of them forgotten, and
//! an altered table. *Adding a version:* write such a directory with the last server of the old one and list it here.

use sql_tests::meridian::Meridian;
use sql_tests::package_folder;
use sql_tests::slt::{Target, run_file};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

fn fixtures() -> PathBuf {
    package_folder().join("fixtures")
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Opens a copy of a fixture, asks it, writes to it, and asks it again after a restart.
async fn opens_and_answers(name: &str, prepare: impl FnOnce(&Path)) {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    copy_tree(&fixtures().join(name), &data_dir);
    prepare(&data_dir);
    let server = Meridian::start(&data_dir).unwrap();
    let target = Target::Meridian(Arc::new(Mutex::new(Some(server))));
    run_file(&fixtures().join(format!("{name}.slt")), target).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_format_1_is_read() {
    opens_and_answers("format-1", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_format_2_is_read() {
    opens_and_answers("format-2", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_format_2_is_read_from_its_first_commit() {
    opens_and_answers("format-2", |data_dir| std::fs::remove_dir_all(data_dir.join("checkpoint")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_format_1_is_read_from_its_first_commit() {
    opens_and_answers("format-1", |data_dir| std::fs::remove_dir_all(data_dir.join("checkpoint")).unwrap()).await;
}
