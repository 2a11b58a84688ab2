//! The history that is kept: how long, what it costs, what is left of it.

use sql_tests::meridian::Meridian;
use sql_tests::session::Session;
use std::path::Path;
use std::time::{Duration, Instant};

fn start(data_dir: &Path, retention: &str) -> Meridian {
    Meridian::start_with(data_dir, "127.0.0.1:0", |command| {
        command.args(["--history-retention", retention]);
    })
    .unwrap()
}

async fn value(session: &Session, sql: &str) -> String {
    session.rows(sql).await.unwrap()[0][0].clone().unwrap()
}

/// The files below a directory that have this ending.
fn files(folder: &Path, ending: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |path: &Path| match path.is_dir() {
        true => files(path, ending),
        false => usize::from(path.extension().is_some_and(|extension| extension == ending)),
    };
    entries.map(|entry| count(&entry.unwrap().path())).sum()
}

async fn load_and_empty(session: &Session) -> String {
    session.run("CREATE TABLE t AS SELECT n FROM generate_series(1, 20000) n").await.unwrap();
    session.run("CHECKPOINT").await.unwrap();
    let loaded = value(session, "SELECT clock_timestamp()").await;
    session.run("TRUNCATE t").await.unwrap();
    loaded
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_retention_goes_with_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), "2s");
    let session = Session::connect(server.address()).await.unwrap();
    assert_eq!(value(&session, "SHOW meridian.history_retention").await, "2s");
    let loaded = load_and_empty(&session).await;
    let past = format!("SELECT count(*) FROM t FOR SYSTEM_TIME AS OF '{loaded}'");
    assert_eq!(value(&session, &past).await, "20000");
    assert_eq!(files(&folder.path().join("segments"), "parquet"), 1);
    let deadline = Instant::now() + Duration::from_secs(60);
    let gone = loop {
        // It looks for what is too old.
        session.run("CHECKPOINT").await.unwrap();
        if let Err(failure) = session.rows(&past).await {
            break format!("{failure:?}");
        }
        assert!(Instant::now() < deadline, "the past is still there");
    };
    assert!(gone.contains("is before the history that is kept"), "{gone}");
    assert!(gone.contains("The earliest time at hand is 20"), "{gone}");
    while files(&folder.path().join("segments"), "parquet") > 0 {
        session.run("CHECKPOINT").await.unwrap();
        assert!(Instant::now() < deadline, "its file is still there");
    }
    assert!(files(&folder.path().join("history"), "ckpt") <= 1);
    assert_eq!(value(&session, "SELECT count(*) FROM t").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_retention_takes_effect_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), "7d");
    let session = Session::connect(server.address()).await.unwrap();
    let loaded = load_and_empty(&session).await;
    server.kill().unwrap();
    let server = start(folder.path(), "0");
    let session = Session::connect(server.address()).await.unwrap();
    session.run("CHECKPOINT").await.unwrap();
    session.run("CHECKPOINT").await.unwrap();
    assert!(session.rows(&format!("SELECT count(*) FROM t FOR SYSTEM_TIME AS OF '{loaded}'")).await.is_err());
    let deadline = Instant::now() + Duration::from_secs(60);
    while files(&folder.path().join("segments"), "parquet") > 0 {
        session.run("CHECKPOINT").await.unwrap();
        assert!(Instant::now() < deadline, "its file is still there");
    }
}
