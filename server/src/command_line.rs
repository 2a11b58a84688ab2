//! The command line: what the program can be asked to do.

use crate::backup::{self, BackupOptions, RestoreOptions};
use crate::check::{self, CheckOptions};
use crate::config::{ServeConfig, ServeOptions};
use crate::demo::{self, DemoOptions};
use crate::generate::{self, GenerateOptions};
use crate::import::{self, ImportOptions};
use crate::{logging, serve};
use anyhow::Context;
use clap::{Parser, Subcommand};
use std::future::Future;
use tokio::sync::oneshot;

/// Threads for sockets. Statements run on the engine's own threads.
const WIRE_THREADS: usize = 2;

const EXAMPLES: &str = "\
Examples:
  meridian demo                                      a server with generated sales, and queries worth trying
  meridian serve                                     a server on 127.0.0.1:5433 with its data in ./meridian-data
  meridian serve --data-dir /var/lib/meridian --config /etc/meridian.toml
  MERIDIAN_PASSWORD=... meridian serve --listen 0.0.0.0:5433
  meridian backup /mnt/backups                       a backup of the server on 127.0.0.1:5433 or of ./meridian-data
  meridian restore /mnt/backups --data-dir ./again   the newest backup as a data directory
  psql -h 127.0.0.1 -p 5433 -U meridian

Settings come from flags, then from the environment (MERIDIAN_DATA_DIR, MERIDIAN_LISTEN, MERIDIAN_CONFIG,
MERIDIAN_MEMORY, MERIDIAN_PASSWORD, MERIDIAN_PASSWORD_FILE, MERIDIAN_COPY_DIR,
MERIDIAN_HISTORY_RETENTION), then from the configuration file
(data_dir, listen, memory, password_file, max_connections, copy_dir,
history_retention), then from defaults. MERIDIAN_LOG says what is logged, as in \"info,meridian=debug\".";

/// An analytical database that speaks Postgres and keeps its materialized views fresh.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a data directory
    #[command(after_help = "Example: meridian serve --data-dir /var/lib/meridian --memory 8GB")]
    Serve(ServeOptions),
    /// Serve generated sales, with views on them and queries worth trying
    Demo(DemoOptions),
    /// Back up a database, whether a server runs or not
    Backup(BackupOptions),
    /// Make a data directory from a backup
    Restore(RestoreOptions),
    /// Check a data directory that no server holds
    Check(CheckOptions),
    /// Write generated sales and what belongs to them as csv, or send them to a server
    Generate(GenerateOptions),
    /// Load files into a table
    Import(ImportOptions),
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> anyhow::Result<()> {
    match CommandLine::parse().command {
        Command::Serve(options) => {
            logging::start("info")?;
            block_on(serve_until_signal(options))
        }
        Command::Demo(options) => {
            // The demo says on the screen what there is to know.
            logging::start("warn")?;
            block_on(demo::run(options))
        }
        Command::Backup(options) => {
            logging::start("warn")?;
            block_on(backup::run_backup(options))
        }
        Command::Restore(options) => {
            logging::start("warn")?;
            backup::run_restore(&options)
        }
        Command::Check(options) => {
            // What recovery would log is what this command prints.
            logging::start("error")?;
            block_on(check::run(options))
        }
        Command::Generate(options) => {
            logging::start("warn")?;
            block_on(generate::run(options))
        }
        Command::Import(options) => {
            // What there is to know is said by the command itself.
            logging::start("warn")?;
            block_on(import::run(options))
        }
    }
}

/// Runs a command on the threads for sockets.
fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WIRE_THREADS)
        .thread_stack_size(query::STACK_BYTES)
        .thread_name("meridian-wire")
        .enable_all()
        .build()
        .context("could not start threads")?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome
}

async fn serve_until_signal(options: ServeOptions) -> anyhow::Result<()> {
    let config = ServeConfig::load(&options)?;
    let stop = serve::stop_on_signals().context("could not listen for signals")?;
    let (ready, started) = oneshot::channel::<serve::Ready>();
    let hint = async {
        if let Ok(ready) = started.await {
            tracing::info!("connect with: {}", serve::psql_command(ready.address));
        }
    };
    let (outcome, ()) = tokio::join!(serve::serve(config, ready, stop), hint);
    Ok(outcome?)
}
