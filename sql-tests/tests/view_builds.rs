//! CREATE MATERIALIZED VIEW over much: others see how far it is, go on meanwhile, and can cancel it, which leaves no view.

use crate::wire::Fixture;
use sql_tests::session::{Failure, Session};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Pairs of rows take long to count, in any build.
fn create(rows: usize) -> String {
    format!(
        "CREATE MATERIALIZED VIEW pairs AS SELECT count(*) AS n FROM t a CROSS JOIN t b WHERE a.k <= {rows} AND a.k + b.k > 0"
    )
}

/// Starts a CREATE and waits until it is in a phase; `None` where it ended before.
async fn begun(
    session: Session,
    watcher: &Session,
    rows: usize,
    phase: &str,
) -> (JoinHandle<Result<(), Failure>>, Option<String>) {
    let creating = tokio::spawn(async move { session.run(&create(rows)).await.map(drop) });
    let builds =
        format!("SELECT pid FROM meridian.view_builds WHERE phase = '{phase}' AND name = 'pairs' AND rows >= 20000");
    while !creating.is_finished() {
        if let Some(row) = watcher.rows(&builds).await.unwrap().pop() {
            return (creating, row[0].clone());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (creating, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_cancelled_leaves_no_view_and_others_go_on_meanwhile() {
    let fixture = Fixture::start();
    let watcher = fixture.session().await;
    watcher.run("CREATE TABLE t (k integer); INSERT INTO t SELECT i FROM generate_series(1, 20000) i").await.unwrap();
    watcher.run("CHECKPOINT").await.unwrap();
    // The phase may be over before it is seen; more rows take longer.
    for phase in ["running the query", "building the state"] {
        let mut rows = 20;
        loop {
            let (creating, process) = begun(fixture.session().await, &watcher, rows, phase).await;
            if let Some(process) = process {
                watcher.run("INSERT INTO t VALUES (0); DELETE FROM t WHERE k = 0").await.unwrap();
                watcher.run(&format!("SELECT pg_cancel_backend({process})")).await.unwrap();
            }
            match creating.await.unwrap() {
                Err(failure) => {
                    assert!(failure.has_code("57014"), "{failure}");
                    break;
                }
                Ok(()) => drop(watcher.run("DROP MATERIALIZED VIEW pairs").await.unwrap()),
            }
            rows = (rows * 3).min(20_000);
        }
        let views = watcher.value("SELECT count(*) FROM meridian.views").await.unwrap();
        assert_eq!(views.as_deref(), Some("0"), "{phase}");
        // What computed it ends behind the answer.
        let builds = "SELECT count(*) FROM meridian.view_builds";
        while watcher.value(builds).await.unwrap().as_deref() != Some("0") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
