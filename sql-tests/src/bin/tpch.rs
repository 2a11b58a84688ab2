//! Holds the 22 queries of TPC-H as materialized views to their queries, by hand; see `sql_tests::tpch`.
//!
//!     tpch --scale 0.1 --rounds 10

use anyhow::Result;
use clap::Parser;
use sql_tests::tpch::{Settings, run};

#[derive(Parser)]
#[command(about = "Compares the queries of TPC-H as materialized views with themselves while the tables change")]
struct Options {
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// Refreshes of both kinds, with changes of single rows
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Options { scale, rounds, seed } = Options::parse();
    println!("{}", run(&Settings { scale, rounds, seed }).await?);
    Ok(())
}
