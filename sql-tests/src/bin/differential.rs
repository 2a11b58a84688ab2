//! Runs the differential tester by hand against servers that are there.
//!
//!     with-postgres.sh sh -c 'differential --meridian 127.0.0.1:5433 --postgres "$MERIDIAN_POSTGRES" --seed 7'

use anyhow::Result;
use clap::Parser;
use sql_tests::differential::{EXAMINED_DEFAULT, Settings, Targets, run};
use std::net::SocketAddr;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Compares Meridian's answers to random statements with PostgreSQL's")]
struct Options {
    /// Where Meridian listens
    #[arg(long, value_name = "HOST:PORT")]
    meridian: SocketAddr,
    /// A PostgreSQL 15 whose tables far, near and plain are replaced
    #[arg(long, value_name = "CONNECTION")]
    postgres: String,
    #[arg(long, default_value_t = 20_000)]
    statements: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many differing statements are shrunk and printed, the worst first
    #[arg(long, default_value_t = EXAMINED_DEFAULT)]
    examined: usize,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let targets = Targets::new(options.meridian, &options.postgres)?;
    let settings = Settings { seed: options.seed, statements: options.statements, examined: options.examined };
    let report = run(&settings, &targets).await?;
    println!("{report}");
    Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
