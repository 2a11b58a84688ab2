//! The crash test at the length that the environment asks for; see `sql_tests::crash`.

use sql_tests::crash::{Settings, delete_index, run};
use sql_tests::meridian::Meridian;
use sql_tests::session::Session;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
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

/// Numbers that a session was given, until its server was killed.
async fn numbers_until_killed(address: SocketAddr, killed: Arc<AtomicBool>) -> Vec<(&'static str, String)> {
    const STATEMENTS: [(&str, &str); 4] = [
        ("s", "SELECT nextval('s')"),
        ("t", "INSERT INTO t (v) VALUES ('a') RETURNING id"),
        ("t", "INSERT INTO t (v) SELECT 'b' FROM generate_series(1, 50) RETURNING id"),
        ("s", "SELECT nextval('s') FROM generate_series(1, 200)"),
    ];
    let session = Session::connect(address).await.unwrap();
    let mut numbers = Vec::new();
    for (sequence, statement) in STATEMENTS.into_iter().cycle() {
        match session.rows(statement).await {
            Ok(rows) => numbers.extend(rows.into_iter().flatten().flatten().map(|number| (sequence, number))),
            Err(failure) if failure.is_connection_loss() && killed.load(Ordering::SeqCst) => return numbers,
            Err(failure) => panic!("{statement}: {failure}"),
        }
    }
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_a_sequence_is_given_twice() {
    const KILLS: u64 = 5;
    const SESSIONS: usize = 3;
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    let mut given = HashSet::new();
    for kill in 0..KILLS {
        let server = Meridian::start(&data_dir).unwrap();
        if kill == 0 {
            let session = Session::connect(server.address()).await.unwrap();
            session.run("CREATE SEQUENCE s").await.unwrap();
            session.run("CREATE TABLE t (id bigserial, v text)").await.unwrap();
        }
        let killed = Arc::new(AtomicBool::new(false));
        let sessions: Vec<_> =
            (0..SESSIONS).map(|_| tokio::spawn(numbers_until_killed(server.address(), Arc::clone(&killed)))).collect();
        tokio::time::sleep(Duration::from_millis(150 + 70 * kill)).await;
        killed.store(true, Ordering::SeqCst);
        server.kill().unwrap();
        for session in sessions {
            for number in session.await.unwrap() {
                assert!(given.insert(number.clone()), "{number:?} was given twice");
            }
        }
    }
    assert!(given.len() > 100, "only {} numbers were given", given.len());
}
