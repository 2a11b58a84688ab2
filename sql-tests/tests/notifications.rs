//! LISTEN and NOTIFY as drivers use them, and the channels of views.

use crate::wire::Fixture;
use sql_tests::wire::Wire;
use std::time::Duration;
use tokio::time::timeout;

/// How long a notification may take that has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a text and gives the notifications that came before its ReadyForQuery, as channel and payload.
async fn run(wire: &mut Wire, sql: &str) -> Vec<(String, String)> {
    let (told, error) = outcome(wire, sql).await;
    assert_eq!(error, None, "{sql}");
    told
}

/// The same for a text that ends with an error.
async fn run_failing(wire: &mut Wire, sql: &str) -> Vec<(String, String)> {
    let (told, error) = outcome(wire, sql).await;
    assert!(error.is_some(), "{sql}");
    told
}

async fn outcome(wire: &mut Wire, sql: &str) -> (Vec<(String, String)>, Option<String>) {
    wire.send_text(b'Q', sql).await.unwrap();
    let (mut told, mut error) = (Vec::new(), None);
    loop {
        let frame = wire.receive().await.unwrap();
        match frame.kind {
            b'A' => told.push(channel_and_payload(&frame.body)),
            b'E' => error = Some(frame.text()),
            b'Z' => return (told, error),
            _ => {}
        }
    }
}

/// The next notification of a client that does nothing but wait.
async fn waited_for(wire: &mut Wire) -> (String, String) {
    let frame = timeout(PATIENCE, wire.receive()).await.expect("no notification came").unwrap();
    assert_eq!(frame.kind, b'A');
    channel_and_payload(&frame.body)
}

fn channel_and_payload(body: &[u8]) -> (String, String) {
    let mut texts = body[4..].split(|byte| *byte == 0).map(|text| String::from_utf8(text.to_vec()).unwrap());
    (texts.next().unwrap(), texts.next().unwrap())
}

fn told(channel: &str, payload: &str) -> (String, String) {
    (channel.to_string(), payload.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_come_with_the_commit_once_a_text_and_to_their_own_session_too() {
    let fixture = Fixture::start();
    let (mut first, mut second) = (fixture.ready_wire().await, fixture.ready_wire().await);
    assert!(run(&mut first, "LISTEN jobs").await.is_empty());
    assert!(run(&mut second, "BEGIN; LISTEN jobs; NOTIFY jobs, 'a'; NOTIFY jobs, 'a'").await.is_empty());
    let own =
        run(&mut second, "SELECT pg_notify('jobs', 'b'); SAVEPOINT s; NOTIFY jobs, 'c'; ROLLBACK TO s; COMMIT").await;
    assert_eq!(own, [told("jobs", "a"), told("jobs", "b")]);
    assert_eq!(waited_for(&mut first).await, told("jobs", "a"));
    assert_eq!(waited_for(&mut first).await, told("jobs", "b"));
    assert!(run(&mut second, "BEGIN; NOTIFY jobs, 'd'; ROLLBACK").await.is_empty());
    let alone = "SELECT pg_notify('jobs', 'x' || g) FROM generate_series(1, 2) g";
    assert_eq!(run(&mut second, alone).await, [told("jobs", "x1"), told("jobs", "x2")]);
    assert_eq!(waited_for(&mut first).await, told("jobs", "x1"));
    assert_eq!(waited_for(&mut first).await, told("jobs", "x2"));
    run(&mut first, "UNLISTEN *").await;
    assert_eq!(run(&mut second, "NOTIFY jobs, 'e'").await, [told("jobs", "e")]);
    assert!(run(&mut first, "SELECT 1").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_when_a_transaction_is_done_is_told_all_of_it() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    assert_eq!(run(&mut wire, "BEGIN; NOTIFY jobs, 'a'; LISTEN jobs; COMMIT").await, [told("jobs", "a")]);
    assert!(run(&mut wire, "BEGIN; NOTIFY jobs, 'b'; UNLISTEN jobs; COMMIT").await.is_empty());
    run(&mut wire, "LISTEN jobs").await;
    assert_eq!(run(&mut wire, "SELECT pg_notify('jobs', NULL)").await, [told("jobs", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_statement_that_failed_is_told() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    run(&mut wire, "LISTEN jobs").await;
    // Batches are announced and sent before the error comes.
    let failing = "SELECT pg_notify('jobs', 'x' || g), 1 / (100000 - g) FROM generate_series(1, 100000) g";
    assert!(run_failing(&mut wire, failing).await.is_empty());
    assert_eq!(run(&mut wire, "NOTIFY jobs, 'alone'").await, [told("jobs", "alone")]);
    run(&mut wire, "BEGIN; NOTIFY jobs, 'kept'; SAVEPOINT s").await;
    assert!(run_failing(&mut wire, failing).await.is_empty());
    assert_eq!(run(&mut wire, "ROLLBACK TO s; COMMIT").await, [told("jobs", "kept")]);
    let many = "SELECT count(pg_notify('jobs', 'x' || g)) FROM generate_series(1, 9000) g";
    assert_eq!(run(&mut wire, many).await.len(), 9000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_hears_of_others_when_it_is_over() {
    let fixture = Fixture::start();
    let (mut first, mut second) = (fixture.ready_wire().await, fixture.ready_wire().await);
    run(&mut first, "LISTEN jobs").await;
    run(&mut first, "BEGIN").await;
    run(&mut second, "NOTIFY jobs").await;
    assert!(run(&mut first, "SELECT 1").await.is_empty());
    assert_eq!(run(&mut first, "COMMIT").await, [told("jobs", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_views_channel_tells_of_commits_below_it() {
    let fixture = Fixture::start();
    let (mut first, mut second) = (fixture.ready_wire().await, fixture.ready_wire().await);
    run(&mut second, "CREATE TABLE t (k integer); CREATE TABLE other (k integer)").await;
    run(&mut second, "CREATE MATERIALIZED VIEW daily AS SELECT k, count(*) AS n FROM t GROUP BY k").await;
    run(&mut second, "CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n FROM daily").await;
    run(&mut first, "LISTEN \"view:total\"").await;
    run(&mut second, "INSERT INTO other VALUES (1)").await;
    run(&mut second, "INSERT INTO t VALUES (1)").await;
    let (channel, seq) = waited_for(&mut first).await;
    assert_eq!(channel, "view:total");
    run(&mut second, "DELETE FROM t").await;
    let (_, later) = waited_for(&mut first).await;
    assert!(later.parse::<u64>().unwrap() > seq.parse::<u64>().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_views_channel_is_that_of_the_view_that_its_name_means_to_who_listens() {
    let fixture = Fixture::start();
    let (mut first, mut second) = (fixture.ready_wire().await, fixture.ready_wire().await);
    run(&mut second, "CREATE SCHEMA s; CREATE TABLE t (k integer); CREATE TABLE s.t (k integer)").await;
    run(&mut second, "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM t").await;
    run(&mut second, "CREATE MATERIALIZED VIEW s.total AS SELECT count(*) AS n FROM s.t").await;
    run(&mut first, "SET search_path = s; LISTEN \"view:total\"; SET search_path = public").await;
    run(&mut second, "INSERT INTO s.t VALUES (1)").await;
    let (channel, seq) = waited_for(&mut first).await;
    assert_eq!(channel, "view:total");
    run(&mut second, "INSERT INTO t VALUES (1)").await;
    assert!(run(&mut first, "SELECT 1").await.is_empty());
    run(&mut first, "UNLISTEN *; LISTEN \"view:s.total\"").await;
    run(&mut second, "INSERT INTO s.t VALUES (2)").await;
    let (channel, later) = waited_for(&mut first).await;
    assert_eq!(channel, "view:s.total");
    assert!(later.parse::<u64>().unwrap() > seq.parse::<u64>().unwrap());
    // The name may be that of a view that is made later.
    run(&mut first, "UNLISTEN *; SET search_path = s; LISTEN \"view:later\"").await;
    run(&mut second, "CREATE MATERIALIZED VIEW s.later AS SELECT max(k) AS k FROM s.t").await;
    run(&mut second, "INSERT INTO s.t VALUES (3)").await;
    assert_eq!(waited_for(&mut first).await.0, "view:later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_views_channel_tells_of_views_that_are_replaced_below_it() {
    let fixture = Fixture::start();
    let (mut first, mut second) = (fixture.ready_wire().await, fixture.ready_wire().await);
    run(
        &mut second,
        "CREATE TABLE t (k integer); CREATE VIEW low AS SELECT k FROM t; CREATE VIEW other AS SELECT 1 AS k",
    )
    .await;
    run(&mut second, "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM low").await;
    run(&mut first, "LISTEN \"view:total\"").await;
    run(&mut second, "CREATE OR REPLACE VIEW other AS SELECT 2 AS k").await;
    run(&mut second, "CREATE OR REPLACE VIEW low AS SELECT k FROM t WHERE k > 0").await;
    let (_, seq) = waited_for(&mut first).await;
    assert!(run(&mut second, "LISTEN \"view:other\"").await.is_empty());
    // It may be told with the statement's own answer.
    let mut newest = run(&mut second, "CREATE OR REPLACE VIEW other AS SELECT 3 AS k").await;
    if newest.is_empty() {
        newest.push(waited_for(&mut second).await);
    }
    assert_eq!(newest[0].0, "view:other");
    assert!(newest[0].1.parse::<u64>().unwrap() > seq.parse::<u64>().unwrap());
}
