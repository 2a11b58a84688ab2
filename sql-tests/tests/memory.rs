//! Memory that many share: heavy queries wait for each other, can be seen and cancelled while they do, and wait for nobody who does not
//! read.

use crate::wire::{Fixture, peak_memory_kib};
use sql_tests::session::Session;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

const MEMORY: &str = "64MB";
const ROWS: usize = 300_000;
/// Three quarters of the memory are for queries, of which one asks for a quarter at most: a fourth one of these waits.
const AT_ONCE: usize = 3;
/// Asks for as much as one may, takes little, and computes for longer than any test.
const ENDLESS: &str = "SELECT count(*) FROM t AS a JOIN generate_series(1, 1000000000000) AS s (n) ON a.k + s.n < a.v \
                       WHERE a.k <= 100";
/// What they ask of the table keeps something for each of its rows, or sorts them.
const HEAVY: [&str; 3] = [
    "SELECT count(*)::text || ' ' || sum(n) FROM (SELECT v, count(*) AS n FROM t GROUP BY v) AS groups",
    "SELECT sum(place * k)::text FROM (SELECT k, row_number() OVER (ORDER BY v, k) AS place FROM t) AS places",
    "SELECT count(*)::text || ' ' || sum(a.v) FROM t AS a JOIN t AS b ON a.k = b.v",
];
const CROWD: usize = 30;
/// Beside the 64 MB: what the program takes itself, in a debug build, and what it keeps of what was freed.
const GROWTH_KIB_MAX: u64 = 160 << 10;
/// What is slow on a loaded machine is not stuck.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server with little memory and a table in segments.
async fn small_server() -> Fixture {
    let fixture = Fixture::start_with(|command| {
        command.args(["--memory", MEMORY]);
    });
    let session = fixture.session().await;
    session.run("CREATE TABLE t (k bigint NOT NULL, v bigint NOT NULL)").await.unwrap();
    let rows = format!("INSERT INTO t SELECT n, n::bigint * 7919 % {ROWS} FROM generate_series(1, {ROWS}) AS s (n)");
    session.run(&rows).await.unwrap();
    session.run("CHECKPOINT").await.unwrap();
    fixture
}

/// A driver whose every query is computed.
async fn computing(fixture: &Fixture) -> Client {
    let client = fixture.client().await;
    client.batch_execute("SET meridian.query_cache = off").await.unwrap();
    client
}

async fn answer(client: &Client, query: &str) -> Result<String, tokio_postgres::Error> {
    let row = timeout(PATIENCE, client.query_one(query, &[])).await.expect("it is answered")?;
    Ok(row.get(0))
}

fn code(failure: &tokio_postgres::Error) -> Option<&str> {
    failure.code().map(|code| code.code())
}

/// Waits until so many queries over the table wait for memory.
async fn until_queued(session: &Session, wanted: usize) {
    let queued = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'IPC' \
                  AND wait_event = 'MemoryGrant'";
    let counted = async {
        while session.value(queued).await.unwrap() != Some(wanted.to_string()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, counted).await.expect("they are seen to wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_answered_inside_of_the_memory() {
    let fixture = small_server().await;
    let alone = computing(&fixture).await;
    let mut expected = Vec::new();
    for query in HEAVY {
        expected.push(answer(&alone, query).await.unwrap());
    }
    let before = peak_memory_kib(fixture.process_id());
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let client = computing(&fixture).await;
        crowd.push(tokio::spawn(async move { answer(&client, HEAVY[number % HEAVY.len()]).await }));
    }
    for (number, member) in crowd.into_iter().enumerate() {
        let found = member.await.unwrap().unwrap_or_else(|failure| panic!("query {number}: {failure:?}"));
        assert_eq!(found, expected[number % HEAVY.len()], "query {number}");
    }
    let growth = peak_memory_kib(fixture.process_id()).saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "the server grew by {growth} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_memory_can_be_seen_and_cancelled() {
    let fixture = small_server().await;
    let watching = fixture.session().await;
    let mut running = Vec::new();
    for _ in 0..=AT_ONCE {
        let client = computing(&fixture).await;
        running.push((client.cancel_token(), tokio::spawn(async move { client.batch_execute(ENDLESS).await })));
    }
    until_queued(&watching, 1).await;
    // Who needs next to nothing does not wait, and who waits has a timeout.
    assert_eq!(watching.value("SELECT v FROM t WHERE k = 1").await.unwrap().as_deref(), Some("7919"));
    let impatient = computing(&fixture).await;
    impatient.batch_execute("SET statement_timeout = 1000").await.unwrap();
    let failure = impatient.batch_execute(ENDLESS).await.unwrap_err();
    assert_eq!(code(&failure), Some("57014"), "{failure}");
    // One that has gone without a word does not keep its place.
    let mut gone = fixture.ready_wire().await;
    gone.send_text(b'Q', ENDLESS).await.unwrap();
    until_queued(&watching, 2).await;
    drop(gone);
    until_queued(&watching, 1).await;
    let patient = computing(&fixture).await;
    let patient = tokio::spawn(async move { answer(&patient, HEAVY[0]).await });
    until_queued(&watching, 2).await;
    for (cancel, query) in running {
        cancel.cancel_query(NoTls).await.unwrap();
        let failure = timeout(PATIENCE, query).await.expect("it ends").unwrap().unwrap_err();
        assert_eq!(code(&failure), Some("57014"), "{failure}");
    }
    assert_eq!(patient.await.unwrap().unwrap(), format!("{ROWS} {ROWS}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_cursors_that_are_left_open() {
    let fixture = small_server().await;
    // As far as planning knows this sorts all rows. It sorts a fifth, and has some batches left after the first rows.
    let open = "BEGIN; DECLARE c CURSOR FOR SELECT k, v FROM t WHERE k <= 60000 ORDER BY v";
    let mut sessions = Vec::new();
    for _ in 0..2 * AT_ONCE {
        let session = computing(&fixture).await;
        timeout(PATIENCE, session.batch_execute(open)).await.expect("it is opened").unwrap();
        let first = timeout(PATIENCE, session.query("FETCH 10 FROM c", &[])).await.expect("it gives rows").unwrap();
        assert_eq!(first.len(), 10);
        sessions.push(session);
    }
    // Each of them asks for more memory with its cursor open.
    let all = sessions.iter().map(|session| answer(session, HEAVY[0]));
    for found in futures::future::join_all(all).await {
        assert_eq!(found.unwrap(), format!("{ROWS} {ROWS}"));
    }
    for session in &sessions {
        let rest = timeout(PATIENCE, session.query("FETCH ALL FROM c", &[])).await.expect("it goes on").unwrap();
        assert_eq!(rest.len(), 60_000 - 10);
    }
}
