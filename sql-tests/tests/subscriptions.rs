//! SUBSCRIBE: what is sent up to a commit adds up to the relation's content after it, whatever happened, and it ends as it should.

use crate::wire::Fixture;
use sql_tests::session::Session;
use sql_tests::wire::{Frame, Wire};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer may take that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that adds up what it is sent.
struct Subscriber {
    wire: Wire,
    /// How often each row is there, by its line.
    held: BTreeMap<String, i64>,
    /// The commit up to which everything was sent.
    up_to: u64,
    /// The differences, each with its commit.
    sent: Vec<(u64, i64, String)>,
}

impl Subscriber {
    async fn start(fixture: &Fixture, relation: &str) -> Self {
        let mut wire = fixture.ready_wire().await;
        let sql = format!("COPY (SUBSCRIBE {relation} WITH (PROGRESS)) TO STDOUT");
        wire.send_text(b'Q', &sql).await.unwrap();
        let first = received(&mut wire).await;
        assert_eq!(first.kind, b'H', "{}", first.text());
        let mut subscriber = Self { wire, held: BTreeMap::new(), up_to: 0, sent: Vec::new() };
        while subscriber.up_to == 0 {
            subscriber.take_line().await;
        }
        subscriber
    }

    /// Reads one line: `commit_seq, progressed, diff, columns …`.
    async fn take_line(&mut self) {
        let frame = received(&mut self.wire).await;
        assert_eq!(frame.kind, b'd', "{:?}", frame.fields());
        let line = String::from_utf8(frame.body.to_vec()).unwrap();
        let mut parts = line.trim_end_matches('\n').splitn(4, '\t');
        let seq: u64 = parts.next().unwrap().parse().unwrap();
        if parts.next().unwrap() == "t" {
            assert!(seq >= self.up_to, "{line}");
            self.up_to = seq;
            return;
        }
        assert!(self.up_to == 0 || seq > self.up_to, "{line} came behind {}", self.up_to);
        let diff: i64 = parts.next().unwrap().parse().unwrap();
        let row = parts.next().unwrap_or_default().to_string();
        assert_ne!(diff, 0, "{line}");
        *self.held.entry(row.clone()).or_default() += diff;
        self.held.retain(|_, times| *times != 0);
        self.sent.push((seq, diff, row));
    }

    /// Waits until everything up to now was sent, and compares it with the relation.
    async fn check(&mut self, session: &Session, relation: &str) {
        let newest = session.value("SELECT max(seq) FROM meridian.commits").await.unwrap().unwrap();
        let newest: u64 = newest.parse().unwrap();
        while self.up_to < newest {
            self.take_line().await;
        }
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        for row in session.rows(&format!("SELECT * FROM {relation}")).await.unwrap() {
            let texts: Vec<String> = row.into_iter().map(|value| value.unwrap_or_else(|| "\\N".into())).collect();
            *expected.entry(texts.join("\t")).or_default() += 1;
        }
        assert_eq!(self.held, expected, "{relation} after commit {newest}");
    }

    /// The code and the message of the error that ends it.
    async fn error(&mut self) -> (String, String) {
        loop {
            let frame = received(&mut self.wire).await;
            match frame.kind {
                b'd' => {}
                b'E' => return code_and_message(&frame),
                other => panic!("a frame of type {}", char::from(other)),
            }
        }
    }
}

async fn received(wire: &mut Wire) -> Frame {
    timeout(PATIENCE, wire.receive()).await.expect("nothing came").unwrap()
}

fn code_and_message(frame: &Frame) -> (String, String) {
    let fields = frame.fields();
    let field = |kind: u8| fields.iter().find(|(known, _)| *known == kind).map(|(_, text)| text.clone());
    (field(b'C').unwrap(), field(b'M').unwrap())
}

async fn refused(fixture: &Fixture, sql: &str) -> (String, String) {
    let failure = fixture.session().await.run(sql).await.unwrap_err();
    (failure.code.unwrap(), failure.message)
}

fn told(code: &str, message: &str) -> (String, String) {
    (code.to_string(), message.to_string())
}

const TABLES: &str = "
    CREATE TABLE t (k integer, region text, amount numeric(12,2), weight float8);
    CREATE TABLE named (region text, name text)";

/// Relations of all classes, and where they stand: tables, states, keys, recomputed views, views on views, plain ones.
const RELATIONS: [(&str, &str); 9] = [
    (
        "by_region",
        "MATERIALIZED VIEW by_region AS SELECT region, count(*) AS n, sum(amount) AS total, sum(weight) AS w FROM t GROUP BY region",
    ),
    ("total", "MATERIALIZED VIEW total AS SELECT count(*) AS n, avg(amount) AS mean FROM t"),
    (
        "large",
        "MATERIALIZED VIEW large AS SELECT region, sum(amount) AS total FROM t GROUP BY region HAVING sum(amount) > 20",
    ),
    (
        "bounds",
        "MATERIALIZED VIEW bounds AS SELECT region, min(k) AS lo, max(k) AS hi, count(DISTINCT k) AS ks FROM t GROUP BY region",
    ),
    (
        "joined",
        "MATERIALIZED VIEW joined AS SELECT name, count(*) AS n FROM t LEFT JOIN named USING (region) GROUP BY name",
    ),
    ("filtered", "MATERIALIZED VIEW filtered AS SELECT k, amount FROM t WHERE amount > 5"),
    (
        "ranked",
        "MATERIALIZED VIEW ranked AS SELECT region, sum(amount) AS s, rank() OVER (ORDER BY sum(amount)) AS place FROM t GROUP BY region",
    ),
    ("above", "MATERIALIZED VIEW above AS SELECT sum(n) AS n, max(total) AS most FROM by_region"),
    ("plain", "VIEW plain AS SELECT region, total FROM by_region WHERE n > 1"),
];

/// Inserts, updates, deletes, transactions, and groups that empty and come back.
const CHANGES: [&str; 16] = [
    "INSERT INTO t VALUES (1, 'EMEA', 10, 0.1), (2, 'EMEA', 15, 0.2), (3, 'APAC', 7.5, NULL), (3, 'APAC', 7.5, NULL)",
    "INSERT INTO named VALUES ('EMEA', 'Europe'), ('APAC', 'Asia')",
    "UPDATE t SET amount = amount + 1 WHERE region = 'EMEA'",
    "DELETE FROM t WHERE k = 1",
    "INSERT INTO t VALUES (4, NULL, 30, 1e10), (5, 'AMER', NULL, -0.0)",
    "BEGIN; INSERT INTO t VALUES (6, 'AMER', 1, 1); DELETE FROM t WHERE k = 6; INSERT INTO t VALUES (7, 'AMER', 2, 'NaN'); COMMIT",
    "UPDATE named SET name = 'Middle East' WHERE region = 'EMEA'",
    "DELETE FROM t WHERE region = 'APAC'",
    "BEGIN; INSERT INTO t VALUES (8, 'APAC', 1, 1); ROLLBACK",
    "INSERT INTO t SELECT i, CASE WHEN i % 3 = 0 THEN 'APAC' ELSE 'EMEA' END, i, i FROM generate_series(1, 3000) i",
    "DELETE FROM t WHERE k % 7 = 0",
    "CHECKPOINT",
    "UPDATE t SET region = 'AMER' WHERE k > 2990",
    "DELETE FROM named",
    "TRUNCATE t",
    "INSERT INTO t VALUES (1, 'EMEA', 6, 2)",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_adds_up_to_the_content_after_each_commit() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run(TABLES).await.unwrap();
    session.run("INSERT INTO t VALUES (0, 'EMEA', 1, 1), (0, 'EMEA', 1, 1)").await.unwrap();
    for (_, definition) in RELATIONS {
        session.run(&format!("CREATE {definition}")).await.unwrap();
    }
    let mut subscribers = Vec::new();
    for relation in RELATIONS.map(|(name, _)| name).into_iter().chain(["t", "named"]) {
        subscribers.push((relation, Subscriber::start(&fixture, relation).await));
    }
    for (relation, subscriber) in &mut subscribers {
        subscriber.check(&session, relation).await;
    }
    for change in CHANGES {
        session.run(change).await.unwrap();
        for (relation, subscriber) in &mut subscribers {
            subscriber.check(&session, relation).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_sends_the_rows_that_it_changed_and_no_others() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TABLE t (k integer, x integer)").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW v AS SELECT k, sum(x) AS s FROM t GROUP BY k").await.unwrap();
    session.run("INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i").await.unwrap();
    let mut subscriber = Subscriber::start(&fixture, "v").await;
    subscriber.sent.clear();
    session.run("UPDATE t SET x = 0 WHERE k = 17").await.unwrap();
    subscriber.check(&session, "v").await;
    let rows: Vec<_> = subscriber.sent.drain(..).map(|(_, diff, row)| (diff, row)).collect();
    assert_eq!(rows, [(-1, "17\t17".to_string()), (1, "17\t0".to_string())]);
    // What changes and is the same again is no difference.
    session.run("BEGIN; DELETE FROM t WHERE k = 3; INSERT INTO t VALUES (3, 3); COMMIT").await.unwrap();
    session.run("CREATE TABLE other (k integer); INSERT INTO other VALUES (1)").await.unwrap();
    subscriber.check(&session, "v").await;
    assert_eq!(subscriber.sent, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_snapshot_and_progress_only_differences_come() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TABLE t (k integer); INSERT INTO t VALUES (1)").await.unwrap();
    let mut wire = fixture.ready_wire().await;
    let sql = "COPY (SUBSCRIBE TO public.t WITH (SNAPSHOT = false)) TO STDOUT WITH (FORMAT csv, HEADER)";
    wire.send_text(b'Q', sql).await.unwrap();
    assert_eq!(received(&mut wire).await.kind, b'H');
    assert_eq!(received(&mut wire).await.body, "commit_seq,diff,k\n");
    session.run("INSERT INTO t VALUES (2), (2)").await.unwrap();
    let line = String::from_utf8(received(&mut wire).await.body.to_vec()).unwrap();
    assert!(line.ends_with(",2,2\n"), "{line}");
    let newest = session.value("SELECT max(seq) FROM meridian.commits").await.unwrap().unwrap();
    assert_eq!(line, format!("{newest},2,2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_records_come_as_they_are_committed() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TABLE t (k integer)").await.unwrap();
    let mut wire = fixture.ready_wire().await;
    wire.send_text(b'Q', "COPY (SUBSCRIBE t) TO STDOUT (FORMAT binary)").await.unwrap();
    assert_eq!(received(&mut wire).await.kind, b'H');
    assert!(received(&mut wire).await.body.starts_with(b"PGCOPY\n"));
    session.run("INSERT INTO t VALUES (258)").await.unwrap();
    let record = received(&mut wire).await.body;
    assert_eq!((&record[..2], &record[2..6]), (&[0, 3][..], &[0, 0, 0, 8][..]));
    assert!(record.ends_with(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 1, 2]), "{record:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_by_cancel_timeout_drop_and_change_of_columns() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TABLE t (k integer); CREATE TABLE u (k integer)").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS n FROM t GROUP BY k").await.unwrap();
    let mut cancelled = Subscriber::start(&fixture, "v").await;
    let shown = session
        .rows(
            "SELECT a.pid, a.state, p.command, p.type FROM pg_stat_activity a JOIN pg_stat_progress_copy p USING (pid)",
        )
        .await
        .unwrap();
    let texts: Vec<_> = shown[0][1..].iter().flatten().map(String::as_str).collect();
    assert_eq!((shown.len(), texts), (1, vec!["active", "COPY TO", "PIPE"]));
    session.run(&format!("SELECT pg_cancel_backend({})", shown[0][0].as_deref().unwrap())).await.unwrap();
    assert_eq!(cancelled.error().await, told("57014", "canceling statement due to user request"));
    assert_eq!(received(&mut cancelled.wire).await.kind, b'Z');
    cancelled.wire.send_text(b'Q', "SELECT 1").await.unwrap();
    assert_eq!(received(&mut cancelled.wire).await.kind, b'T');

    let mut renamed = Subscriber::start(&fixture, "v").await;
    session.run("ALTER MATERIALIZED VIEW v RENAME TO w; INSERT INTO t VALUES (1)").await.unwrap();
    renamed.check(&session, "w").await;
    session.run("DROP MATERIALIZED VIEW w").await.unwrap();
    assert_eq!(renamed.error().await, told("42P01", "relation \"w\" was dropped"));

    let mut altered = Subscriber::start(&fixture, "t").await;
    session.run("ALTER TABLE t ADD COLUMN x integer").await.unwrap();
    assert_eq!(altered.error().await, told("0A000", "the columns of \"t\" have changed"));

    let limited = "SET statement_timeout = 200; COPY (SUBSCRIBE u) TO STDOUT";
    assert_eq!(refused(&fixture, limited).await, told("57014", "canceling statement due to statement timeout"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_is_replaced_changes_those_above_it() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session
        .run("CREATE TABLE p (k integer, v integer); INSERT INTO p VALUES (1, 1), (-1, 2), (NULL, 3)")
        .await
        .unwrap();
    session.run("CREATE VIEW a AS SELECT k FROM p; CREATE VIEW b AS SELECT k FROM a").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW m AS SELECT k, count(*) AS n FROM a GROUP BY k").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW above AS SELECT sum(n) AS n FROM m").await.unwrap();
    let mut subscribers = Vec::new();
    for relation in ["a", "b", "m", "above"] {
        subscribers.push((relation, Subscriber::start(&fixture, relation).await));
    }
    for change in [
        "CREATE OR REPLACE VIEW a AS SELECT k FROM p WHERE k > 0",
        "INSERT INTO p VALUES (5, 5), (-5, 5)",
        "BEGIN; CREATE OR REPLACE VIEW a AS SELECT k FROM p WHERE k < 0; DELETE FROM p WHERE v = 5; COMMIT",
        "ALTER VIEW a RENAME TO a2; ALTER VIEW a2 RENAME TO a; ALTER TABLE p RENAME COLUMN k TO key",
        "UPDATE p SET key = -7 WHERE key = 1",
    ] {
        session.run(change).await.unwrap();
        for (relation, subscriber) in &mut subscribers {
            subscriber.check(&session, relation).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_enums_that_come_or_change_end_a_subscription() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TYPE mood AS ENUM ('x', 'y'); CREATE TABLE t (k integer, m mood, ms mood[])").await.unwrap();
    session.run("INSERT INTO t VALUES (1, 'x', '{x}'), (2, 'y', NULL)").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW v AS SELECT m, count(*) AS n FROM t GROUP BY m").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW w AS SELECT m::text AS m, count(*) AS n FROM t GROUP BY 1").await.unwrap();
    let mut subscribers = Vec::new();
    for relation in ["t", "v", "w"] {
        subscribers.push((relation, Subscriber::start(&fixture, relation).await));
    }
    session.run("UPDATE t SET m = 'y' WHERE k = 1").await.unwrap();
    for (relation, subscriber) in &mut subscribers {
        subscriber.check(&session, relation).await;
    }
    // So does a label that comes; what follows knows it.
    let mut later = Subscriber::start(&fixture, "t").await;
    session.run("ALTER TYPE mood ADD VALUE 'a' BEFORE 'x'; INSERT INTO t VALUES (3, 'a', '{a,y}')").await.unwrap();
    assert_eq!(later.error().await, told("0A000", "the columns of \"t\" have changed"));
    Subscriber::start(&fixture, "t").await.check(&session, "t").await;
    session.run("ALTER TYPE mood RENAME VALUE 'y' TO 'why'; INSERT INTO t VALUES (5, 'x', NULL)").await.unwrap();
    for (relation, subscriber) in &mut subscribers {
        match *relation {
            "w" => subscriber.check(&session, relation).await,
            other => {
                let message = format!("the columns of \"{other}\" have changed");
                assert_eq!(subscriber.error().await, told("0A000", &message));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_gets_one_difference_for_many_commits_or_is_ended() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TABLE t (k integer, note text)").await.unwrap();
    let mut patient = Subscriber::start(&fixture, "t").await;
    let mut hasty = fixture.ready_wire().await;
    hasty.send_text(b'Q', "SET meridian.subscriber_timeout = '1s'").await.unwrap();
    while received(&mut hasty).await.kind != b'Z' {}
    hasty.send_text(b'Q', "COPY (SUBSCRIBE t) TO STDOUT").await.unwrap();
    // More than the buffers of both sockets and the server take.
    let insert = "INSERT INTO t SELECT i, repeat(md5(i::text), 40) FROM generate_series(1, 20000) i";
    for _ in 0..3 {
        session.run(insert).await.unwrap();
        session.run("DELETE FROM t WHERE k <= 10000").await.unwrap();
    }
    patient.check(&session, "t").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    session.run("INSERT INTO t VALUES (0, 'late')").await.unwrap();
    let ended = loop {
        let frame = received(&mut hasty).await;
        if frame.kind == b'E' {
            break code_and_message(&frame);
        }
    };
    assert_eq!(ended, told("57014", "canceling subscription because the client does not read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_refused_with_a_reason() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TABLE t (k integer); CREATE SEQUENCE s; CREATE VIEW clock AS SELECT now() AS t").await.unwrap();
    for (sql, code, message) in [
        ("SUBSCRIBE t", "0A000", "SUBSCRIBE outside of COPY is not supported"),
        ("COPY (SUBSCRIBE nosuch) TO STDOUT", "42P01", "relation \"nosuch\" does not exist"),
        ("COPY (SUBSCRIBE s) TO STDOUT", "42809", "\"s\" is not a table or view"),
        ("COPY (SUBSCRIBE pg_class) TO STDOUT", "42809", "cannot subscribe to the system relation \"pg_class\""),
        ("COPY (SUBSCRIBE clock) TO STDOUT", "0A000", "view \"clock\" depends on who reads it and when"),
        ("COPY (SUBSCRIBE t WITH (SPEED = 9)) TO STDOUT", "42601", "speed requires a Boolean value"),
        ("COPY (SUBSCRIBE t WITH (SPEED)) TO STDOUT", "42601", "option \"speed\" not recognized"),
        ("COPY (SUBSCRIBE t WITH (PROGRESS, PROGRESS)) TO STDOUT", "42601", "conflicting or redundant options"),
        ("COPY (SUBSCRIBE t) TO STDOUT (FORMAT parquet)", "0A000", "COPY of SUBSCRIBE as Parquet is not supported"),
        (
            "BEGIN ISOLATION LEVEL REPEATABLE READ; COPY (SUBSCRIBE t) TO STDOUT",
            "25001",
            "SUBSCRIBE cannot run in a repeatable read transaction",
        ),
        (
            "BEGIN; INSERT INTO t VALUES (1); COPY (SUBSCRIBE t) TO STDOUT",
            "25001",
            "SUBSCRIBE cannot run in a transaction that has changed something",
        ),
    ] {
        assert_eq!(refused(&fixture, sql).await, told(code, message), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_does_not_wait_for_its_subscribers() {
    let fixture = Fixture::start();
    fixture.session().await.run("CREATE TABLE t (k integer)").await.unwrap();
    let mut subscriber = Subscriber::start(&fixture, "t").await;
    let stopped = tokio::task::spawn_blocking(move || fixture.stop());
    assert_eq!(subscriber.error().await.0, "57P01");
    stopped.await.unwrap();
}
