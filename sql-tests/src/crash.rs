//! The crash test: writers work, the server is killed with SIGKILL, and what it acknowledged must all be there.
//!
//!     start ─▶ writers and a reader ─▶ SIGKILL at a random time ─▶ start ─▶ verify ─▶ the same again, same data
//!
//! Every transaction writes under its own marker: a known number of rows with a known total in `ledger`, and for some
//! one row in `receipts`, over two tables. An acknowledged transaction must be there whole, one whose outcome the kill
//! left unknown wholly or not at all, and nothing else may be there. Every view must equal its query. What was there after earlier
//! kills is read again as of then.

mod ledger;
mod moments;
mod writer;

use crate::meridian::{FREE_PORT, Meridian, Starting};
use crate::oracle::number_from_environment;
use crate::session::Session;
use crate::view_check;
use anyhow::{Context, Result, bail, ensure};
use ledger::Ledger;
use moments::Moments;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use writer::Writer;

/// Where the catalog keeps its index.
const INDEX_FOLDER: &str = "index";
const WRITERS: usize = 4;
/// How long writers work before the kill, at least and at most.
const WORK_MS: std::ops::Range<u64> = 30..900;
/// How long a starting server lives when it is killed during recovery.
const RECOVERY_MS: std::ops::Range<u64> = 1..120;
/// After so many kills the tables are emptied, so that verifying stays quick.
const KILLS_PER_TRUNCATE: u64 = 25;
/// How long writers may take to notice that the server is gone.
const WRITER_TIMEOUT: Duration = Duration::from_secs(60);

const TABLES: &[&str] = &[
    "CREATE TABLE ledger (writer integer NOT NULL, marker bigint NOT NULL, line integer NOT NULL, \
     region text NOT NULL, day date NOT NULL, amount numeric(12,2) NOT NULL) \
     PARTITION BY (region, month(day)) WITH (order_by = 'day')",
    "CREATE TABLE receipts (writer integer NOT NULL, marker bigint NOT NULL, lines integer NOT NULL, \
     total numeric(14,2) NOT NULL)",
];

const VIEWS: &[&str] = &[
    "CREATE MATERIALIZED VIEW by_writer AS SELECT writer, count(*) AS lines, sum(amount) AS total, \
     max(marker) AS last_marker FROM ledger GROUP BY writer",
    "CREATE MATERIALIZED VIEW by_region AS SELECT region, extract(month from day) AS month, count(*) AS lines, \
     sum(amount) AS total, avg(amount) AS average, min(amount) AS least, max(amount) AS most \
     FROM ledger WHERE amount > 0.50 GROUP BY region, extract(month from day)",
    "CREATE MATERIALIZED VIEW receipts_total AS SELECT count(*) AS receipts, sum(lines) AS lines, sum(total) AS total \
     FROM receipts",
    "CREATE MATERIALIZED VIEW large_lines AS SELECT marker, line, amount FROM ledger WHERE amount > 99.50",
];

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub kills: u64,
}

impl Settings {
    /// `MERIDIAN_CRASH_SEED` and `MERIDIAN_CRASH_KILLS`, or what CI runs.
    pub fn from_environment() -> Result<Self> {
        Ok(Self {
            seed: number_from_environment("MERIDIAN_CRASH_SEED", 20_250_602)?,
            kills: number_from_environment("MERIDIAN_CRASH_KILLS", 20)?,
        })
    }
}

/// What a run without a finding did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub kills: u64,
    pub kills_in_recovery: u64,
    pub indexes_deleted: u64,
    pub acknowledged: u64,
    pub unknown_kept: u64,
    pub unknown_lost: u64,
    pub rows_verified: u64,
    pub moments_verified: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills, {} of them during recovery, {} with the index deleted: {} acknowledged transactions all there, \
             {} of unknown outcome whole, {} not at all, {} rows verified, every view equal to its query, {} earlier moments as they were",
            self.kills,
            self.kills_in_recovery,
            self.indexes_deleted,
            self.acknowledged,
            self.unknown_kept,
            self.unknown_lost,
            self.rows_verified,
            self.moments_verified
        )
    }
}

/// Runs the crash test; the error says after which kill what was wrong, and keeps the data directory.
pub async fn run(settings: &Settings) -> Result<Summary> {
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("data");
    let mut summary = Summary::default();
    let result = kill_again_and_again(settings, &data_dir, &mut summary).await;
    let kept = if result.is_err() { Some(folder.keep()) } else { None };
    result.with_context(|| {
        format!(
            "crash test with MERIDIAN_CRASH_SEED={} after {} kills; its data and the server's log are kept in {}",
            settings.seed,
            summary.kills,
            kept.unwrap_or_default().display()
        )
    })?;
    Ok(summary)
}

async fn kill_again_and_again(settings: &Settings, data_dir: &Path, summary: &mut Summary) -> Result<()> {
    let mut random = StdRng::seed_from_u64(settings.seed);
    let mut server = Meridian::start(data_dir)?;
    let mut ledger = Ledger::default();
    let mut moments = Moments::default();
    create(server.address()).await?;
    let mut writers: Vec<Writer> =
        (0..WRITERS).map(|number| Writer::new(number, StdRng::seed_from_u64(random.random()))).collect();
    while summary.kills < settings.kills {
        let after = Duration::from_millis(random.random_range(WORK_MS));
        writers = work_until_killed(server, writers, after).await?;
        summary.kills += 1;
        if random.random_bool(0.2) {
            kill_in_recovery(data_dir, &mut random, summary)?;
        }
        if random.random_bool(0.15) {
            delete_index(data_dir)?;
            summary.indexes_deleted += 1;
        }
        server = Meridian::start(data_dir)?;
        verify(server.address(), &mut writers, &mut ledger, summary).await?;
        let session = Session::connect(server.address()).await?;
        summary.moments_verified += moments.verify(&session, &mut random).await?;
        moments.note(&session).await?;
        if random.random_bool(0.3) {
            session.run("CHECKPOINT").await?;
        }
        if summary.kills.is_multiple_of(KILLS_PER_TRUNCATE) {
            session.run("TRUNCATE ledger").await?;
            session.run("TRUNCATE receipts").await?;
            ledger = Ledger::default();
            writers.iter_mut().for_each(Writer::forget);
        }
    }
    server.stop()
}

async fn create(address: SocketAddr) -> Result<()> {
    let session = Session::connect(address).await?;
    for statement in TABLES.iter().chain(VIEWS) {
        session.run(statement).await.with_context(|| (*statement).to_string())?;
    }
    Ok(())
}

/// Lets the writers work, kills the server and waits until each writer has noticed.
async fn work_until_killed(server: Meridian, writers: Vec<Writer>, after: Duration) -> Result<Vec<Writer>> {
    let address = server.address();
    let killed = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_views(address, Arc::clone(&killed)));
    let working: Vec<_> =
        writers.into_iter().map(|writer| tokio::spawn(writer.work(address, Arc::clone(&killed)))).collect();
    tokio::time::sleep(after).await;
    killed.store(true, Ordering::SeqCst);
    let output = server.output();
    server.kill()?;
    let mut writers = Vec::new();
    for writer in working {
        let writer = tokio::time::timeout(WRITER_TIMEOUT, writer).await.context("a writer did not notice the kill")?;
        writers.push(writer?.with_context(|| format!("the server's last output:\n{output}"))?);
    }
    tokio::time::timeout(WRITER_TIMEOUT, reader).await.context("the reader did not notice the kill")???;
    Ok(writers)
}

/// Reads each view and its query in one statement, which sees one snapshot whatever the writers do meanwhile.
async fn read_views(address: SocketAddr, killed: Arc<AtomicBool>) -> Result<()> {
    let over = |killed: &AtomicBool| killed.load(Ordering::SeqCst);
    let Ok(session) = Session::connect(address).await else {
        ensure!(over(&killed), "a reader could not connect");
        return Ok(());
    };
    loop {
        for statement in VIEWS {
            let (name, query) = view_and_query(statement);
            let difference = format!(
                "SELECT count(*) FROM ((SELECT * FROM {name} EXCEPT ALL ({query})) UNION ALL (({query}) EXCEPT ALL \
                 SELECT * FROM {name})) AS difference"
            );
            match session.value(&difference).await {
                Ok(count) if count.as_deref() == Some("0") => {}
                Ok(count) => bail!("{name} differs from its query by {} rows under load", count.unwrap_or_default()),
                Err(failure) if failure.is_connection_loss() && over(&killed) => return Ok(()),
                Err(failure) => return Err(failure).with_context(|| format!("reading {name} under load")),
            }
        }
    }
}

fn view_and_query(statement: &'static str) -> (&'static str, &'static str) {
    let rest = statement.trim_start_matches("CREATE MATERIALIZED VIEW ");
    rest.split_once(" AS ").unwrap_or((rest, ""))
}

fn kill_in_recovery(data_dir: &Path, random: &mut StdRng, summary: &mut Summary) -> Result<()> {
    let mut starting = Starting::spawn(data_dir, FREE_PORT, |_| {})?;
    let lifetime = Duration::from_millis(random.random_range(RECOVERY_MS));
    let started = Instant::now();
    // Whether it listens by then or not, it is killed once its time is over.
    if starting.lives_for(lifetime)?.is_none() {
        bail!("the server ended by itself {:?} after a start that followed a kill", started.elapsed());
    }
    starting.kill()?;
    summary.kills += 1;
    summary.kills_in_recovery += 1;
    Ok(())
}

/// Deletes the catalog's index, which the log can rebuild.
pub fn delete_index(data_dir: &Path) -> Result<()> {
    let index = data_dir.join(INDEX_FOLDER);
    std::fs::remove_dir_all(&index).with_context(|| format!("there is no index in {}", index.display()))
}

/// Compares what is there with what was acknowledged, settles unknown outcomes, and compares the views.
async fn verify(address: SocketAddr, writers: &mut [Writer], ledger: &mut Ledger, summary: &mut Summary) -> Result<()> {
    let session = Session::connect(address).await?;
    let actual = Ledger::read(&session).await?;
    for writer in writers {
        let report = writer.take_report();
        summary.acknowledged += report.acknowledged.len() as u64;
        for change in report.acknowledged {
            ledger.apply(&change);
        }
        if let Some(change) = report.unknown {
            let kept = actual.settle(ledger, &change)?;
            writer.settle(&change, kept);
            if kept {
                ledger.apply(&change);
                summary.unknown_kept += 1;
            } else {
                summary.unknown_lost += 1;
            }
        }
    }
    summary.rows_verified += actual.row_count();
    actual.ensure_equals(ledger)?;
    match view_check::first_difference(&session).await? {
        Some(difference) => bail!("{difference}"),
        None => Ok(()),
    }
}
