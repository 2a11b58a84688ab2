//! Keys under concurrency: whatever order commits come in, no key is there twice and nothing is counted twice.

use crate::wire::Fixture;
use sql_tests::session::Session;
use std::sync::Arc;
use std::time::Duration;

const WRITERS: i64 = 8;

async fn start(table: &str) -> (Arc<Fixture>, Session) {
    let fixture = Arc::new(Fixture::start());
    let session = fixture.session().await;
    session.run(table).await.unwrap();
    (fixture, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_transactions_that_add_the_same_key_one_commits() {
    let (fixture, first) = start("CREATE TABLE t (id integer PRIMARY KEY, who text UNIQUE)").await;
    let second = fixture.session().await;
    for session in [&first, &second] {
        session.run("BEGIN").await.unwrap();
    }
    first.run("INSERT INTO t VALUES (1, 'first')").await.unwrap();
    second.run("INSERT INTO t VALUES (2, 'second')").await.unwrap();
    second.copy_in("COPY t FROM STDIN", b"3\tthird\n1\tfourth\n").await.unwrap();
    first.run("COMMIT").await.unwrap();
    let failure = second.run("COMMIT").await.unwrap_err();
    assert!(failure.has_code("40001"), "{failure:?}");
    assert_eq!(
        failure.detail.as_deref(),
        Some("Rows with the same key were added to table \"t\" by a concurrent commit.")
    );
    assert_eq!(first.value("SELECT string_agg(who, ',') FROM t").await.unwrap().as_deref(), Some("first"));
    let failure = second.run("INSERT INTO t VALUES (1, 'again')").await.unwrap_err();
    assert!(failure.has_code("23505"), "{failure:?}");
    second.run("INSERT INTO t VALUES (2, 'second')").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_each_statement_are_checked_as_of_its_own_snapshot() {
    let (fixture, other) = start("CREATE TABLE t (id integer PRIMARY KEY)").await;
    let session = fixture.session().await;
    session.run("BEGIN").await.unwrap();
    session.run("INSERT INTO t VALUES (1)").await.unwrap();
    other.run("INSERT INTO t VALUES (1), (2)").await.unwrap();
    // This statement reads a snapshot that has the other's rows already.
    let failure = session.run("INSERT INTO t VALUES (3), (2)").await.unwrap_err();
    assert!(failure.has_code("23505"), "{failure:?}");
    session.run("ROLLBACK").await.unwrap();
    session.run("BEGIN").await.unwrap();
    session.run("INSERT INTO t VALUES (4)").await.unwrap();
    other.run("INSERT INTO t VALUES (4)").await.unwrap();
    session.run("INSERT INTO t VALUES (5)").await.unwrap();
    let failure = session.run("COMMIT").await.unwrap_err();
    assert!(failure.has_code("40001"), "{failure:?}");
    assert_eq!(other.value("SELECT count(*) FROM t").await.unwrap().as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_freed_can_be_taken_and_repeatable_reads_do_not_hide_it() {
    let (fixture, other) = start("CREATE TABLE t (id integer PRIMARY KEY, n integer)").await;
    other.run("INSERT INTO t VALUES (1, 0), (2, 0)").await.unwrap();
    let session = fixture.session().await;
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    session.run("SELECT count(*) FROM t").await.unwrap();
    other.run("INSERT INTO t VALUES (3, 1)").await.unwrap();
    other.run("DELETE FROM t WHERE id = 2").await.unwrap();
    other.run("INSERT INTO t VALUES (2, 1)").await.unwrap();
    session.run("INSERT INTO t VALUES (3, 2)").await.unwrap();
    let failure = session.run("COMMIT").await.unwrap_err();
    assert!(failure.has_code("40001"), "{failure:?}");
    assert_eq!(other.value("SELECT sum(n) FROM t").await.unwrap().as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_alone_hear_of_the_key_and_not_of_the_conflict() {
    let (fixture, session) = start("CREATE TABLE t (id integer PRIMARY KEY, who integer)").await;
    let writers = (0..WRITERS).map(|writer| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move {
            let session = fixture.session().await;
            let mut won = 0;
            for id in 0..30 {
                match session.run(&format!("INSERT INTO t VALUES ({id}, {writer})")).await {
                    Ok(_) => won += 1,
                    Err(failure) => assert!(failure.has_code("23505"), "{failure:?}"),
                }
            }
            won
        })
    });
    let mut won = 0;
    for writer in writers.collect::<Vec<_>>() {
        won += writer.await.unwrap();
    }
    assert_eq!(won, 30);
    let found = session.rows("SELECT count(*), count(DISTINCT id) FROM t").await.unwrap();
    assert_eq!(found, [[Some("30".to_string()), Some("30".to_string())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_that_many_sessions_upsert_add_up() {
    let (fixture, session) = start("CREATE TABLE counts (id integer PRIMARY KEY, n integer)").await;
    let writers = (0..WRITERS).map(|writer| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move {
            let session = fixture.session().await;
            for round in 0..20 {
                let id = (writer + round) % 3;
                let upsert = format!(
                    "INSERT INTO counts VALUES ({id}, 1) ON CONFLICT (id) DO UPDATE SET n = counts.n + excluded.n"
                );
                assert_eq!(session.run(&upsert).await.unwrap().count(), 1);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let found = session.rows("SELECT count(*), sum(n) FROM counts").await.unwrap();
    assert_eq!(found, [[Some("3".to_string()), Some((WRITERS * 20).to_string())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_that_comes_and_rows_that_come_beside_it_meet() {
    let (fixture, alterer) = start("CREATE TABLE t (id integer, who text)").await;
    let writer = fixture.session().await;
    alterer.run("INSERT INTO t VALUES (1, 'first')").await.unwrap();
    writer.run("BEGIN").await.unwrap();
    writer.run("INSERT INTO t VALUES (1, 'second')").await.unwrap();
    alterer.run("ALTER TABLE t ADD PRIMARY KEY (id)").await.unwrap();
    let failure = writer.run("COMMIT").await.unwrap_err();
    assert!(failure.has_code("40001"), "{failure:?}");
    alterer.run("BEGIN").await.unwrap();
    alterer.run("ALTER TABLE t ADD UNIQUE (who), ADD CHECK (id < 2)").await.unwrap();
    // Rows wait for a block that alters their table, and meet what it leaves.
    let waiting = tokio::spawn(async move { writer.run("INSERT INTO t VALUES (2, 'first')").await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    alterer.run("COMMIT").await.unwrap();
    let failure = waiting.await.unwrap().unwrap_err();
    assert!(failure.has_code("23514"), "{failure:?}");
    assert_eq!(alterer.value("SELECT count(*) FROM t").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_key_was_taken_meanwhile_is_told_to_run_again() {
    let (fixture, session) = start("CREATE TABLE t (id integer PRIMARY KEY, v integer)").await;
    let other = fixture.session().await;
    let upsert = "INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET v = t.v + 1";
    session.run("BEGIN").await.unwrap();
    session.run(upsert).await.unwrap();
    other.run(upsert).await.unwrap();
    // Both rows are seen now, and only one of them can be changed.
    let failure = session.run(upsert).await.unwrap_err();
    assert!(failure.has_code("40001"), "{failure:?}");
    session.run("ROLLBACK").await.unwrap();
    session.run(upsert).await.unwrap();
    let failure = session.run("INSERT INTO t VALUES (1, 9)").await.unwrap_err();
    assert!(failure.has_code("23505"), "{failure:?}");
    assert_eq!(session.value("SELECT v FROM t").await.unwrap().as_deref(), Some("2"));
}
