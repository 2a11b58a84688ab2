//! Definitions that change while other transactions write: who comes second hears which table it was.

use crate::wire::Fixture;
use sql_tests::session::Session;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_table_that_changed() {
    let fixture = Fixture::start();
    let (first, second) = (fixture.session().await, fixture.session().await);
    for change in ["ALTER TABLE orders ALTER id SET NOT NULL", "DROP TABLE orders"] {
        first.run("CREATE TABLE IF NOT EXISTS orders (id integer)").await.unwrap();
        first.run("BEGIN").await.unwrap();
        first.run("INSERT INTO orders VALUES (NULL)").await.unwrap();
        second.run(change).await.unwrap();
        let failure = first.run("COMMIT").await.unwrap_err();
        assert!(failure.has_code("40001"), "{change}: {failure:?}");
        let detail = "Table \"orders\" was dropped or altered by a concurrent commit.";
        assert_eq!(failure.detail.as_deref(), Some(detail), "{change}");
        second.run("DROP TABLE IF EXISTS orders").await.unwrap();
    }
}

/// Adds rows to the table `orders` one by one while something else is done, and gives their number.
async fn adding_meanwhile(writer: &Session, other: impl Future<Output = ()>) -> u64 {
    let ended = AtomicBool::new(false);
    let adding = async {
        let mut rows = 0;
        while !ended.load(Ordering::Relaxed) {
            writer.run(&format!("INSERT INTO orders (id, amount) VALUES ({rows}, 1)")).await.unwrap();
            rows += 1;
        }
        rows
    };
    let other = async {
        other.await;
        ended.store(true, Ordering::Relaxed);
    };
    tokio::join!(adding, other).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_alters_a_table_does_not_lose_to_rows_that_come_meanwhile() {
    let fixture = Fixture::start();
    let (altering, adding) = (fixture.session().await, fixture.session().await);
    altering.run("CREATE TABLE orders (id integer, amount integer)").await.unwrap();
    let changes = [
        "ALTER id TYPE bigint",
        "ADD CHECK (amount > 0)",
        "ADD COLUMN note text DEFAULT clock_timestamp()::text",
        "ALTER amount SET NOT NULL",
        "ADD PRIMARY KEY (id)",
    ];
    let rows = adding_meanwhile(&adding, async {
        for (number, change) in changes.into_iter().enumerate() {
            altering.run("BEGIN").await.unwrap();
            altering.run(&format!("ALTER TABLE orders {change}")).await.unwrap();
            altering.run("SELECT count(*) FROM orders").await.unwrap();
            altering.run(&format!("ALTER TABLE orders ADD COLUMN more_{number} integer")).await.unwrap();
            altering.run("COMMIT").await.unwrap();
        }
    });
    let rows = rows.await;
    assert_eq!(altering.value("SELECT count(*) FROM orders").await.unwrap(), Some(rows.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_behind_a_truncate_in_a_block_stay() {
    let fixture = Fixture::start();
    let (emptying, adding) = (fixture.session().await, fixture.session().await);
    emptying.run("CREATE TABLE orders (id integer, amount integer)").await.unwrap();
    emptying.run("CREATE TABLE kept (id integer, amount integer)").await.unwrap();
    let rows = adding_meanwhile(&adding, async {
        for _ in 0..20 {
            emptying.run("BEGIN").await.unwrap();
            emptying.run("TRUNCATE orders").await.unwrap();
            emptying.run("SAVEPOINT emptied").await.unwrap();
            emptying.run("ROLLBACK").await.unwrap();
        }
        for _ in 0..20 {
            emptying.run("BEGIN").await.unwrap();
            emptying.run("ALTER TABLE orders ALTER amount SET NOT NULL").await.unwrap();
            emptying.run("INSERT INTO kept SELECT * FROM orders").await.unwrap();
            emptying.run("TRUNCATE orders").await.unwrap();
            emptying.run("COMMIT").await.unwrap();
        }
    });
    let rows = rows.await;
    let there = "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM kept)";
    assert_eq!(emptying.value(there).await.unwrap(), Some(rows.to_string()));
    emptying.run("BEGIN").await.unwrap();
    emptying.run("TRUNCATE orders").await.unwrap();
    let comes = adding.run("INSERT INTO orders VALUES (-1, 1)");
    let empties = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        emptying.run("COMMIT").await.unwrap();
    };
    let (came, ()) = tokio::join!(comes, empties);
    came.unwrap();
    assert_eq!(emptying.value("SELECT sum(id) FROM orders").await.unwrap(), Some("-1".to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_that_waited_for_a_load_frees_its_label() {
    let fixture = Fixture::start();
    let (loading, emptying) = (fixture.session().await, fixture.session().await);
    loading.run("CREATE TABLE orders (id integer)").await.unwrap();
    loading.run("BEGIN").await.unwrap();
    loading.run("TRUNCATE orders").await.unwrap();
    let load = "COPY orders FROM STDIN WITH (LABEL 'first')";
    let empties = emptying.run("TRUNCATE orders");
    let loads = async {
        let begun = "SELECT count(*) FROM pg_stat_activity WHERE query = 'TRUNCATE orders' AND state = 'active'";
        while loading.value(begun).await.unwrap() != Some("1".to_string()) {}
        assert_eq!(loading.copy_in(load, b"1\n").await.unwrap(), 1);
        loading.run("COMMIT").await.unwrap();
    };
    let (emptied, ()) = tokio::join!(empties, loads);
    emptied.unwrap();
    assert_eq!(loading.value("SELECT count(*) FROM orders").await.unwrap(), Some("0".to_string()));
    assert_eq!(loading.copy_in(load, b"1\n").await.unwrap(), 1, "its rows are gone, and so is its label");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_table_that_is_truncated_hinders_nobody_elses_of_its_name() {
    let fixture = Fixture::start();
    let (emptying, adding) = (fixture.session().await, fixture.session().await);
    adding.run("CREATE TABLE orders (id integer)").await.unwrap();
    emptying.run("CREATE TEMPORARY TABLE orders (id integer)").await.unwrap();
    emptying.run("BEGIN").await.unwrap();
    emptying.run("TRUNCATE orders").await.unwrap();
    adding.run("SET statement_timeout = '10s'").await.unwrap();
    adding.run("INSERT INTO orders VALUES (1)").await.unwrap();
    emptying.run("COMMIT").await.unwrap();
    assert_eq!(adding.value("SELECT count(*) FROM orders").await.unwrap(), Some("1".to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_of_an_older_snapshot_does_not_take_newer_rows() {
    let fixture = Fixture::start();
    let (emptying, adding) = (fixture.session().await, fixture.session().await);
    emptying.run("CREATE TABLE orders (id integer)").await.unwrap();
    emptying.run("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    emptying.run("SELECT count(*) FROM orders").await.unwrap();
    adding.run("INSERT INTO orders VALUES (1)").await.unwrap();
    emptying.run("TRUNCATE orders").await.unwrap();
    let failure = emptying.run("COMMIT").await.unwrap_err();
    assert!(failure.has_code("40001"), "{failure:?}");
    assert_eq!(adding.value("SELECT count(*) FROM orders").await.unwrap(), Some("1".to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_tried_again_tells_its_notices_once() {
    let fixture = Fixture::start();
    let (altering, adding) = (fixture.session().await, fixture.session().await);
    altering.run("CREATE TABLE orders (id integer, amount integer)").await.unwrap();
    adding_meanwhile(&adding, async {
        for to in ["bigint", "integer"].repeat(2) {
            altering
                .run(&format!("ALTER TABLE orders ALTER id SET STATISTICS 5, ALTER amount TYPE {to}"))
                .await
                .unwrap();
            let notices = altering.take_notices().await;
            assert_eq!(notices.len(), 1, "{notices:?}");
        }
    })
    .await;
}
