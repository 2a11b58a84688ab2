//! Sends random COPY files to Meridian and PostgreSQL by hand and shows where they differ.
//!
//!     with-postgres.sh sh -c 'copy-fuzz --meridian 127.0.0.1:5433 --postgres "$MERIDIAN_POSTGRES" --seed 7'

use anyhow::{Context, Result};
use clap::Parser;
use sql_tests::copy_fuzz::{Settings, run};
use sql_tests::session::Session;
use std::net::SocketAddr;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Compares how Meridian and PostgreSQL read random COPY files")]
struct Options {
    /// Where Meridian listens
    #[arg(long, value_name = "HOST:PORT")]
    meridian: SocketAddr,
    /// A PostgreSQL 15 whose tables fuzz_… are replaced
    #[arg(long, value_name = "CONNECTION")]
    postgres: String,
    #[arg(long, default_value_t = 20_000)]
    files: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many files that differ are printed
    #[arg(long, default_value_t = 20)]
    shown: usize,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let meridian = Session::connect(options.meridian).await.context("Meridian does not answer")?;
    let postgres = options.postgres.parse().context("the connection string cannot be read")?;
    let postgres = Session::connect_with(&postgres).await.context("PostgreSQL does not answer")?;
    let settings = Settings { seed: options.seed, files: options.files, shown: options.shown };
    let report = run(&settings, &meridian, &postgres).await?;
    println!("{report}");
    Ok(if report.different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
