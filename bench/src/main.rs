//! `bench`: the workloads that Meridian is measured with, and the peers that run the same work beside it.
//!
//!     data::Files ──csv──▶ System { Wire: Meridian, PostgreSQL │ Embedded: DuckDB, ClickHouse }
//!                              │ seconds, answers, bytes
//!                              ▼
//!     ingest, query, views, store ──▶ Report ──▶ table, JSON
//!
//! Every system runs in the same process tree on the same machine, round by round in turn, so that a busy minute hits all of
//! them. Meridian is driven over the wire like any server; nothing here links it.

mod answer;
mod busy_server;
mod crowd;
mod data;
mod dialect;
mod driver_batches;
mod embedded;
mod ingest;
mod ingest_roads;
mod look_ups;
mod machine;
mod meridian;
mod postgresql;
mod query;
mod report;
mod restarts;
mod store;
mod system;
mod view_definitions;
mod views;
mod wire;

use crate::report::Report;
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use store::StoreOptions;
use system::{Kind, Workshop};

/// Measure Meridian over the wire, and other systems with the same work beside it.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  cargo run --release -p bench -- ingest --rows 5000000 --peers
  cargo run --release -p bench -- query --peers duckdb --json query.json
  cargo run --release -p bench -- views --rows 1000000 --rounds 1
  cargo run --release -p bench -- store --rounds 1 --peers duckdb
  cargo run --release -p bench -- store --parts look-ups --rows 50000000 --rounds 1"
)]
struct Command {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// COPY of all rows to the durable commit, single-row INSERTs by one client, by 16, in a pipeline and in batches of psycopg and JDBC, the
    /// rows in random order, as binary and by four clients at once, and out again.
    Ingest(Options),
    /// An analyst's twelve queries, hot, every answer compared between the systems first.
    Query(Options),
    /// Loads, inserts, deletes and updates under ten views, and exact reads of the views right after.
    Views(Options),
    /// What the store promises: bytes on disk, UPDATE and DELETE beside the peers; by Meridian alone look-ups by key, a start after
    /// a kill, a dashboard while rows are loaded and segments rewritten, and 200 clients with heavy queries in 2 GB.
    Store(StoreOptions),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// How many sales to load.
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) rows: u64,
    /// How often to do everything.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: u64,
    /// Load the rows in random order instead of by date.
    #[arg(long)]
    pub(crate) shuffle: bool,
    /// Run the same work on other systems: duckdb, postgresql, clickhouse; for `query` also datafusion, which
    /// shows what exactness costs. The first two if none is named.
    #[arg(long, value_name = "PEER", value_delimiter = ',', num_args = 0.., default_missing_value = "duckdb,postgresql")]
    pub(crate) peers: Option<Vec<Peer>>,
    /// Measure the peers alone.
    #[arg(long, requires = "peers")]
    pub(crate) peers_only: bool,
    /// Write all samples, medians and ratios to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// A running Meridian to measure, instead of one started for the purpose. Its table `sales` is dropped.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The `meridian` to start; by default the one beside this program, built first where cargo is at hand.
    #[arg(long, value_name = "FILE")]
    pub(crate) meridian: Option<PathBuf>,
    /// Where databases are made and deleted again. It should be on the disk that is to be measured.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    pub(crate) work_dir: PathBuf,
    /// Where generated data and the peers' Python environment stay between runs.
    #[arg(long, value_name = "DIR", env = "MERIDIAN_BENCH_CACHE")]
    pub(crate) cache_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    Duckdb,
    Postgresql,
    Clickhouse,
    Datafusion,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    let work = tokio::spawn(run(command.workload));
    let abort = work.abort_handle();
    let outcome = tokio::select! {
        outcome = work => outcome.context("the workload stopped unexpectedly").and_then(|result| result),
        _ = tokio::signal::ctrl_c() => {
            // Dropping the workload stops what it started and deletes what it made.
            abort.abort();
            Err(anyhow::anyhow!("interrupted"))
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all answers agreed.
async fn run(workload: Workload) -> anyhow::Result<bool> {
    let (name, options) = match &workload {
        Workload::Ingest(options) => ("ingest", options.clone()),
        Workload::Query(options) => ("query", options.clone()),
        Workload::Views(options) => ("views", options.clone()),
        Workload::Store(options) => ("store", options.common.clone()),
    };
    let only_asked = options.kinds().contains(&Kind::DataFusion);
    anyhow::ensure!(
        !only_asked || name == "query",
        "datafusion keeps nothing by itself; it is a peer of `query` alone"
    );
    let workshop = Workshop::open(&options)?;
    let mut report = Report::new(name, &options);
    match workload {
        Workload::Ingest(_) => ingest::run(&workshop, &mut report).await?,
        Workload::Query(_) => query::run(&workshop, &mut report).await?,
        Workload::Views(_) => views::run(&workshop, &mut report).await?,
        Workload::Store(options) => store::run(&workshop, &options, &mut report).await?,
    }
    print!("{report}");
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{:#}\n", report.to_json()))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(report.answers_agree())
}

impl Options {
    /// The systems to measure, Meridian first.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let peers = self.peers.iter().flatten().map(|peer| match peer {
            Peer::Duckdb => Kind::DuckDb,
            Peer::Postgresql => Kind::PostgreSql,
            Peer::Clickhouse => Kind::ClickHouse,
            Peer::Datafusion => Kind::DataFusion,
        });
        let own = (!self.peers_only).then_some(Kind::Meridian);
        own.into_iter().chain(peers).collect()
    }
}
