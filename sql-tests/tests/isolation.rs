//! Histories of concurrent transactions at the length that the environment asks for; see `sql_tests::isolation`.

use sql_tests::isolation::{Settings, run};

#[tokio::test(flavor = "multi_thread")]
async fn histories_show_nothing_that_their_level_forbids() {
    let settings = Settings::from_environment().unwrap();
    println!("MERIDIAN_ISOLATION_SEED={} MERIDIAN_ISOLATION_TRANSACTIONS={}", settings.seed, settings.transactions);
    match run(&settings, |_| {}).await {
        Ok(summary) => println!("{summary}"),
        Err(error) => panic!("{error:#}"),
    }
}
