//! The query cache: a repeated question is answered from it, and never with what is no longer so.

use crate::wire::Fixture;
use sql_tests::session::Session;

const TOTAL: &str = "SELECT sum(a) FROM t";

/// A server with a session, and how often rows were found in the cache so far.
struct Cached {
    fixture: Fixture,
    session: Session,
    hits: i64,
}

impl Cached {
    async fn start(definitions: &[&str]) -> Self {
        let fixture = Fixture::start();
        let session = fixture.session().await;
        for definition in definitions {
            session.run(definition).await.unwrap();
        }
        Self { fixture, session, hits: 0 }
    }

    async fn other(&self) -> Session {
        self.fixture.session().await
    }

    async fn value(&self, query: &str) -> String {
        self.session.value(query).await.unwrap().unwrap_or_else(|| "NULL".into())
    }

    async fn run(&self, statement: &str) {
        self.session.run(statement).await.unwrap();
    }

    /// How often the cache was used since this was last asked.
    async fn hits(&mut self) -> i64 {
        let hits: i64 = self.value("SELECT hits FROM meridian.query_cache").await.parse().unwrap();
        hits - std::mem::replace(&mut self.hits, hits)
    }

    /// Asks twice and says whether the second answer, which must be the same, was kept.
    async fn is_kept(&mut self, query: &str) -> bool {
        let first = self.value(query).await;
        self.hits().await;
        let second = self.value(query).await;
        let kept = self.hits().await == 1;
        assert!(!kept || first == second, "{query}: {first}, then {second}");
        kept
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_until_a_row_changes() {
    let mut cached = Cached::start(&["CREATE TABLE t (a integer)", "CREATE TABLE u (a integer)"]).await;
    cached.run("CREATE MATERIALIZED VIEW sums AS SELECT sum(a) AS total FROM t").await;
    cached.run("CREATE MATERIALIZED VIEW double AS SELECT total * 2 AS total FROM sums").await;
    let questions = [TOTAL, "SELECT total FROM sums", "SELECT total / 2 FROM double"];
    let changes = [
        ("INSERT INTO t VALUES (1), (2)", "3"),
        ("UPDATE t SET a = 5 WHERE a = 2", "6"),
        ("DELETE FROM t WHERE a = 1", "5"),
        ("BEGIN; INSERT INTO t VALUES (7); COMMIT", "12"),
        ("BEGIN; INSERT INTO t VALUES (8); ROLLBACK", "12"),
        ("TRUNCATE t", "NULL"),
    ];
    for (change, total) in changes {
        cached.session.run_all(change).await.unwrap();
        for question in questions {
            assert_eq!(cached.value(question).await, total, "{question} after {change}");
            assert!(cached.is_kept(question).await, "{question} after {change}");
        }
        cached.run("INSERT INTO u VALUES (1)").await;
        cached.hits().await;
        cached.value(TOTAL).await;
        assert_eq!(cached.hits().await, 1, "another table changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_sees_its_own_rows_and_its_own_snapshot() {
    let mut cached = Cached::start(&["CREATE TABLE t (a integer)", "INSERT INTO t VALUES (1)"]).await;
    let older = cached.other().await;
    older.run_all("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    assert_eq!(older.value(TOTAL).await.unwrap().unwrap(), "1");
    assert!(cached.is_kept(TOTAL).await);
    cached.run("BEGIN").await;
    assert!(cached.is_kept(TOTAL).await, "nothing was changed yet");
    cached.run("INSERT INTO t VALUES (10)").await;
    assert_eq!(cached.value(TOTAL).await, "11");
    assert!(!cached.is_kept(TOTAL).await);
    assert_eq!(older.value(TOTAL).await.unwrap().unwrap(), "1");
    cached.run("COMMIT").await;
    assert_eq!(cached.value(TOTAL).await, "11");
    assert!(cached.is_kept(TOTAL).await);
    assert_eq!(older.value(TOTAL).await.unwrap().unwrap(), "1", "the older snapshot stays what it was");
    assert_eq!(cached.value(TOTAL).await, "11");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_settings_mean_what_they_mean_now() {
    let cached = Cached::start(&[
        "CREATE TABLE t (a integer, moment timestamptz)",
        "INSERT INTO t VALUES (1, '2026-01-01 23:30+00')",
        "CREATE SCHEMA first",
        "CREATE VIEW v AS SELECT a FROM t",
        "CREATE TYPE mood AS ENUM ('low', 'high')",
        "CREATE TABLE m (feels mood)",
        "INSERT INTO m VALUES ('high')",
    ])
    .await;
    let steps = [
        ("SELECT 1", "SELECT a FROM t", "1"),
        ("SET search_path = first, public", "SELECT a FROM t", "1"),
        ("CREATE TABLE first.t AS SELECT 2 AS a", "SELECT a FROM t", "2"),
        ("DROP TABLE first.t", "SELECT a FROM t", "1"),
        ("CREATE TEMP TABLE t AS SELECT 3 AS a", "SELECT a FROM t", "3"),
        ("DROP TABLE t", "SELECT a FROM t", "1"),
        ("RESET search_path", "SELECT a FROM v", "1"),
        ("CREATE OR REPLACE VIEW v AS SELECT a + 10 AS a FROM t", "SELECT a FROM v", "11"),
        (
            "ALTER TABLE t ADD COLUMN b integer DEFAULT 7",
            "SELECT (to_jsonb(t) - 'moment')::text FROM t",
            "{\"a\": 1, \"b\": 7}",
        ),
        ("ALTER TABLE t RENAME COLUMN b TO c", "SELECT (to_jsonb(t) - 'moment')::text FROM t", "{\"a\": 1, \"c\": 7}"),
        ("SELECT 1", "SELECT moment::date FROM t", "2026-01-01"),
        ("SET TimeZone = 'Asia/Tokyo'", "SELECT moment::date FROM t", "2026-01-02"),
        ("RESET TimeZone", "SELECT moment::date FROM t", "2026-01-01"),
        ("SELECT 1", "SELECT feels::text FROM m", "high"),
        ("ALTER TYPE mood RENAME VALUE 'high' TO 'fine'", "SELECT feels::text FROM m", "fine"),
        ("SELECT 1", "SELECT 1.5::float8 / 7", "0.21428571428571427"),
        ("SET extra_float_digits = 0", "SELECT 1.5::float8 / 7", "0.214285714285714"),
    ];
    for (change, question, answer) in steps {
        cached.run(change).await;
        for _ in 0..3 {
            assert_eq!(cached.value(question).await, answer, "{question} after {change}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_same_next_time_is_not_kept() {
    let mut cached = Cached::start(&[
        "CREATE TABLE t (a integer)",
        "INSERT INTO t SELECT g FROM generate_series(1, 1000) g",
        "CREATE SEQUENCE s",
        "CREATE VIEW clock AS SELECT a, now() AS moment FROM t",
        "CREATE MATERIALIZED VIEW recent AS SELECT count(*) AS n FROM t WHERE now() > '2020-01-01'",
    ])
    .await;
    let fleeting = [
        "SELECT now() FROM t LIMIT 1",
        "SELECT count(*) FROM t WHERE now() > '2020-01-01'",
        "SELECT count(moment) FROM clock",
        "SELECT n FROM recent",
        "SELECT random() FROM t LIMIT 1",
        "SELECT gen_random_uuid() FROM t LIMIT 1",
        "SELECT nextval('s')",
        "SELECT last_value FROM s",
        "SELECT current_setting('TimeZone')",
        "SELECT count(*) FROM pg_class",
        "SELECT count(*) FROM meridian.commits",
        "SELECT count(*) FROM t TABLESAMPLE BERNOULLI (50)",
        "SELECT count(*) FROM t FOR SYSTEM_TIME AS OF now()",
        "SELECT count(*) FROM generate_series(now() - interval '1 day', now(), interval '1 hour')",
        "SELECT count(*) FROM verify_materialized_view('recent')",
        "SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY moment RANGE BETWEEN (now() - timestamptz '2026-01-01') PRECEDING \
         AND CURRENT ROW) AS n FROM clock) windows",
        "SELECT '12:00'::time::timetz",
        "SELECT '{12:00}'::timetz[]",
        "SELECT timetz '12:00'",
        "SELECT a FROM json_populate_record(NULL::t, '{\"a\": 1}')",
    ];
    for question in fleeting {
        assert!(!cached.is_kept(question).await, "{question}");
    }
    assert!(cached.is_kept("SELECT count(*) FROM t").await);
    assert!(cached.is_kept("SELECT count(*) FROM generate_series(1, 10) g WHERE g > (SELECT min(a) FROM t)").await);
    assert!(!cached.is_kept("SELECT repeat('x', 3000) FROM generate_series(1, 1000)").await, "it is too large");
    cached.run("SET meridian.query_cache = off").await;
    assert!(!cached.is_kept("SELECT count(*) FROM t").await);
    cached.run("RESET meridian.query_cache").await;
    cached.run("BEGIN ISOLATION LEVEL SERIALIZABLE").await;
    assert!(!cached.is_kept("SELECT count(*) FROM t").await, "what it reads has to be noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_part_of_the_question() {
    let mut cached = Cached::start(&[
        "CREATE TABLE t (a integer, s text)",
        "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
        "PREPARE by_number (integer) AS SELECT s FROM t WHERE a = $1",
    ])
    .await;
    assert_eq!(cached.value("EXECUTE by_number (1)").await, "one");
    assert_eq!(cached.value("EXECUTE by_number (2)").await, "two");
    assert!(cached.is_kept("EXECUTE by_number (1)").await);
    assert!(cached.is_kept("EXECUTE by_number (2)").await);
    cached.run("UPDATE t SET s = 'uno' WHERE a = 1").await;
    assert_eq!(cached.value("EXECUTE by_number (1)").await, "uno");

    let client = cached.fixture.client().await;
    for _ in 0..3 {
        let row = client.query_one("SELECT s FROM t WHERE a = $1", &[&2i32]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "two");
    }
    client.batch_execute("ALTER TABLE t ALTER COLUMN a TYPE bigint").await.unwrap();
    let row = client.query_one("SELECT s FROM t WHERE a = $1", &[&2i64]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "two");
}
