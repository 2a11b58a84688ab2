//! The crash test at the length that the environment asks for; see `sql_tests::crash`.

use sql_tests::crash::{Settings, delete_index, run};
use sql_tests::meridian::Meridian;
use sql_tests::session::Session;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_and_leave_no_view_unequal() {
    let settings = Settings::from_environment().unwrap();
    println!("MERIDIAN_CRASH_SEED={} MERIDIAN_CRASH_KILLS={}", settings.seed, settings.kills);
    match run(&settings).await {
        Ok(summary) => println!("{summary}"),
        Err(error) => panic!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_can_be_deleted_at_any_time() {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    let server = Meridian::start(&data_dir).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    session.run("CREATE TABLE t (g text, k int)").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW v AS SELECT g, sum(k) AS total FROM t GROUP BY g").await.unwrap();
    session.run("INSERT INTO t VALUES ('a', 1), ('b', 2)").await.unwrap();
    session.run("CHECKPOINT").await.unwrap();
    session.run("INSERT INTO t VALUES ('a', 3)").await.unwrap();
    server.kill().unwrap();
    delete_index(&data_dir).unwrap();
    let server = Meridian::start(&data_dir).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    let rows = session.rows("SELECT g, total FROM v ORDER BY g").await.unwrap();
    let row = |g: &str, total: &str| vec![Some(g.to_string()), Some(total.to_string())];
    assert_eq!(rows, vec![row("a", "4"), row("b", "2")]);
    server.stop().unwrap();
    delete_index(&data_dir).unwrap();
    let server = Meridian::start(&data_dir).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    assert_eq!(session.rows("SELECT g, total FROM v ORDER BY g").await.unwrap(), rows);
}
