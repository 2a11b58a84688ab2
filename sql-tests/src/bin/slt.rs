//! Runs sqllogictest files by hand: against a fresh Meridian, or against a PostgreSQL that says what is right.
//!
//!     slt sql-tests/slt/types.slt
//!     slt --postgres 'host=127.0.0.1 user=me dbname=scratch' [--write] FILE …
//!
//! On PostgreSQL the schema `public` is dropped and made again before each file.

use anyhow::{Context, Result};
use clap::Parser;
use sql_tests::oracle;
use sql_tests::session::Session;
use sql_tests::slt::{Target, run_file, run_on_meridian, write_answers};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio_postgres::Config;

#[derive(Parser)]
#[command(about = "Runs sqllogictest files against Meridian or PostgreSQL")]
struct Options {
    /// A PostgreSQL to ask instead; its schema `public` is dropped
    #[arg(long, value_name = "CONNECTION")]
    postgres: Option<String>,
    /// Write PostgreSQL's answers into the files
    #[arg(long, requires = "postgres")]
    write: bool,
    /// Print so many statements of the oracle's first episode instead of running files
    #[arg(long, value_name = "STATEMENTS")]
    sample_oracle: Option<usize>,
    /// The seed of that episode
    #[arg(long, default_value_t = 1)]
    seed: u64,
    files: Vec<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Some(statements) = options.sample_oracle {
        print!("{}", oracle::sample(options.seed, statements));
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = 0;
    for file in &options.files {
        let result = match &options.postgres {
            None => run_on_meridian(file).await,
            Some(connection) => ask_postgres(file, connection, options.write).await,
        };
        match result {
            Ok(()) => println!("ok      {}", file.display()),
            Err(error) => {
                failed += 1;
                println!("FAILED  {}\n{error}", file.display());
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask_postgres(file: &Path, connection: &str, write: bool) -> Result<()> {
    let config: Config = connection.parse().context("this is no connection string")?;
    let session = Session::connect_with(&config).await?;
    session.run("SET client_min_messages = error").await?;
    session.empty_postgres().await?;
    session.run("ALTER DATABASE meridian SET TimeZone = 'UTC'").await?;
    let target = Target::Postgres(Box::new(config));
    if write { write_answers(file, target).await } else { run_file(file, target).await }
}
