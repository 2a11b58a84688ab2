//! Runs the checker of isolation by hand, as long as it is wanted; see `sql_tests::isolation`.
//!
//!     isolation --transactions 1000000 --seed 7

use anyhow::Result;
use clap::Parser;
use sql_tests::isolation::{Settings, run};
use std::time::Instant;

#[derive(Parser)]
#[command(about = "Searches histories of concurrent transactions for what their isolation level forbids")]
struct Options {
    #[arg(long, default_value_t = 100_000)]
    transactions: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kills of the server in each episode of 700 transactions
    #[arg(long, default_value_t = 1)]
    kills: u64,
    /// Ask this of all levels instead, such as "serializable", to see that the histories have something to be found
    #[arg(long)]
    model: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Options { transactions, seed, kills, model } = Options::parse();
    let started = Instant::now();
    let settings = Settings { seed, transactions, kills, model };
    let summary = run(&settings, |summary| {
        eprintln!("{} transactions after {} s", summary.transactions(), started.elapsed().as_secs());
    })
    .await?;
    println!("{summary}; {} s", started.elapsed().as_secs());
    Ok(())
}
