//! The view oracle at the length that the environment asks for; see `sql_tests::oracle`.

use sql_tests::oracle::{Settings, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_views_equal_their_queries_after_every_statement() {
    let settings = Settings::from_environment().unwrap();
    println!("MERIDIAN_ORACLE_SEED={} MERIDIAN_ORACLE_STATEMENTS={}", settings.seed, settings.statements);
    match run(&settings).await {
        Ok(summary) => println!("{summary:?}"),
        Err(error) => panic!("{error:#}"),
    }
}
