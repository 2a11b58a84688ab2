//! Runs the kept corpus of hard COPY files on a server, or keeps what the server makes of them.
//!
//!     with-postgres.sh sh -c 'copy-corpus --postgres "$MERIDIAN_POSTGRES" --write'      PostgreSQL's outcomes
//!     copy-corpus --write                                  where those of a fresh Meridian are others

use anyhow::{Context, Result};
use clap::Parser;
use sql_tests::copy_corpus::{Corpus, Server, files, on_meridian};
use sql_tests::session::Session;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Runs the corpus of hard COPY files on Meridian or PostgreSQL")]
struct Options {
    /// A PostgreSQL 15 to ask instead; its database is emptied
    #[arg(long, value_name = "CONNECTION")]
    postgres: Option<String>,
    /// Keep the outcomes instead of comparing them
    #[arg(long)]
    write: bool,
    /// Files of the corpus; all without any
    files: Vec<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let mut different = 0;
    for file in if options.files.is_empty() { files()? } else { options.files } {
        let corpus = Corpus::read(&file)?;
        let differences = match &options.postgres {
            None if options.write => {
                let text = on_meridian(async |session| corpus.rewritten(session, Server::Meridian).await).await?;
                std::fs::write(&file, text)?;
                continue;
            }
            None => on_meridian(async |session| corpus.differences(session, Server::Meridian).await).await?,
            Some(postgres) => {
                let postgres = postgres.parse().context("the connection string cannot be read")?;
                let session = Session::connect_with(&postgres).await?;
                session.empty_postgres().await?;
                if options.write {
                    std::fs::write(&file, corpus.rewritten(&session, Server::Postgres).await?)?;
                    continue;
                }
                corpus.differences(&session, Server::Postgres).await?
            }
        };
        println!("{}: {} files, {} differ", file.display(), corpus.files(), differences.len());
        differences.iter().for_each(|difference| println!("{difference}\n"));
        different += differences.len();
    }
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
