//! The queries of TPC-H as views, at a scale that takes seconds.

use sql_tests::tpch::{Settings, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_tpch_stay_equal_to_their_views() {
    let summary = run(&Settings { scale: 0.01, rounds: 1, seed: 1 }).await.unwrap();
    assert_eq!(summary.views.len(), 22);
    println!("{summary}");
}
