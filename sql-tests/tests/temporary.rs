//! Temporary tables: what of them is on disk, for how long, and what is nowhere.

use sql_tests::meridian::Meridian;
use sql_tests::session::Session;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LARGE: &str = "CREATE TEMP TABLE large AS SELECT g AS id, repeat('x', 20) AS filler \
                     FROM generate_series(1, 40000) g";
/// How long the files of a session that has ended may stay.
const REAPED_WITHIN: Duration = Duration::from_secs(30);

fn files_below(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

async fn number(session: &Session, query: &str) -> i64 {
    session.value(query).await.unwrap().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_rows_reach_neither_log_nor_backup() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    let commits = "SELECT max(seq) FROM meridian.commits";
    session.run("CREATE TABLE t (a integer)").await.unwrap();
    let before = number(&session, commits).await;
    session.run(LARGE).await.unwrap();
    session.run("CREATE TEMP TABLE numbered (id serial PRIMARY KEY, a integer)").await.unwrap();
    session.run("INSERT INTO numbered (a) SELECT 1 FROM generate_series(1, 100)").await.unwrap();
    session.run("DELETE FROM large WHERE id % 2 = 0").await.unwrap();
    session.copy_in("COPY numbered (a) FROM STDIN", b"1\n2\n").await.unwrap();
    assert_eq!(number(&session, commits).await, before, "nothing was committed");
    session.run("CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM t").await.unwrap();

    let backup = folder.path().join("backup");
    session.run(&format!("BACKUP TO '{}'", backup.display())).await.unwrap();
    assert!(files_below(&backup) > 0);
    let named = "SELECT count(*) FROM meridian.segments";
    assert!(number(&session, named).await > 0, "the session knows its segments");
    let other = Session::connect(server.address()).await.unwrap();
    assert_eq!(number(&other, named).await, 0);
    let restored = folder.path().join("restored");
    let mut restore = sql_tests::meridian::command().unwrap();
    restore.args(["restore", backup.to_str().unwrap(), "--data-dir", restored.to_str().unwrap()]);
    assert!(restore.output().unwrap().status.success());
    assert_eq!(files_below(&restored.join("segments")), 0);
    server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn their_files_go_with_their_session_or_with_the_server() {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    let segments = data_dir.join("segments");
    let server = Meridian::start(&data_dir).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    session.run(LARGE).await.unwrap();
    assert!(files_below(&segments) > 0);
    session.run("TRUNCATE large").await.unwrap();
    until_no_files(&segments).await;
    session.run("DROP TABLE large").await.unwrap();
    session.run(LARGE).await.unwrap();
    drop(session);
    until_no_files(&segments).await;

    let session = Session::connect(server.address()).await.unwrap();
    session.run(LARGE).await.unwrap();
    server.kill().unwrap();
    assert!(files_below(&segments) > 0, "the kill came while they were there");
    let server = Meridian::start(&data_dir).unwrap();
    assert_eq!(files_below(&segments), 0);
    let session = Session::connect(server.address()).await.unwrap();
    assert_eq!(number(&session, "SELECT count(*) FROM pg_class WHERE relname = 'large'").await, 0);
    server.stop().unwrap();
}

async fn until_no_files(directory: &Path) {
    let deadline = Instant::now() + REAPED_WITHIN;
    while files_below(directory) > 0 {
        assert!(Instant::now() < deadline, "files are still below {}", directory.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_many_small_inserts_are_folded_by_the_session() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    session.run("CREATE DOMAIN positive AS integer CHECK (value > 0)").await.unwrap();
    session.run("CREATE TEMP TABLE small (id integer PRIMARY KEY, n integer, v positive DEFAULT 1)").await.unwrap();
    session.run("CREATE TEMP VIEW seen AS SELECT v FROM small").await.unwrap();
    for id in 0..600 {
        session.run(&format!("INSERT INTO small (id, n) VALUES ({id}, {})", id % 5)).await.unwrap();
    }
    session.run("DELETE FROM small WHERE n = 4").await.unwrap();
    assert_eq!(number(&session, "SELECT count(*) FROM small").await, 480);
    assert_eq!(number(&session, "SELECT sum(n) FROM small").await, 720);
    assert!(number(&session, "SELECT count(*) FROM meridian.segments").await > 0);
    let failure = session.run("INSERT INTO small VALUES (0, 0)").await.unwrap_err();
    assert!(failure.has_code("23505"), "{failure:?}");
    let failure = session.run("INSERT INTO small VALUES (1000, 0, -1)").await.unwrap_err();
    assert!(failure.has_code("23514"), "a fold keeps the domain's rules: {failure:?}");
    assert_eq!(number(&session, "SELECT sum(v) FROM seen").await, 480);
    server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_another_session_drops_leaves_the_values() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    session.run("CREATE DOMAIN positive AS integer CHECK (value > 0)").await.unwrap();
    session.run("CREATE TEMP TABLE kept (a integer, v positive)").await.unwrap();
    session.run("INSERT INTO kept VALUES (1, 1)").await.unwrap();
    let other = Session::connect(server.address()).await.unwrap();
    other.run("DROP DOMAIN positive").await.unwrap();
    session.run("INSERT INTO kept VALUES (2, -2)").await.unwrap();
    session.run("UPDATE kept SET a = a + 1").await.unwrap();
    assert_eq!(number(&session, "SELECT sum(a * 100 + v) FROM kept").await, 499);
    server.stop().unwrap();
}
