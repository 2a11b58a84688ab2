//! Runs the differential tester, against a Meridian of its own or one that is there.
//!
//!     with-postgres.sh sh -c 'differential --postgres "$MERIDIAN_POSTGRES" --seed 7 --statements 1000000'

use anyhow::Result;
use clap::Parser;
use sql_tests::differential::{EXAMINED_DEFAULT, Settings, Targets, run};
use sql_tests::meridian::Meridian;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Parser)]
#[command(about = "Compares Meridian's answers to random statements with PostgreSQL's")]
struct Options {
    /// Where Meridian listens; without it one is started, and ended afterwards
    #[arg(long, value_name = "HOST:PORT")]
    meridian: Option<SocketAddr>,
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
    let folder = tempfile::tempdir()?;
    let (own, address) = match options.meridian {
        Some(address) => (None, address),
        None => {
            let server = Meridian::start(folder.path())?;
            let address = server.address();
            (Some(server), address)
        }
    };
    let targets = Targets::new(address, &options.postgres)?;
    let settings = Settings { seed: options.seed, statements: options.statements, examined: options.examined };
    let begun = Instant::now();
    let report = run(&settings, &targets).await?;
    let seconds = begun.elapsed().as_secs_f64();
    drop(own);
    println!("{report}");
    println!("seed {}, {seconds:.0} s, {:.0} statements per second", options.seed, report.statements as f64 / seconds);
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
