//! The view oracle: random statements, and after each of them every view must equal its own query.
//!
//!     layout ─▶ workload ─▶ step ─▶ executor ─▶ server          a finding ─▶ shrink ─▶ a script for slt/regressions/
//!     (tables)  (what next) (text)  (runs, checks)
//!
//! A run is a chain of episodes on one data directory. Each episode creates its tables and views over tiny domains, so
//! that groups empty and refill, works on them inside and outside transactions, and drops them. Everything
//! follows from the seed. With a PostgreSQL as mirror the same statements run there over plain views, and every view
//! must hold what PostgreSQL answers.

mod aggregate;
mod executor;
mod expression;
mod layout;
mod mirror;
mod rarer_query;
mod relations;
mod shrink;
mod step;
mod view_query;
mod workload;

use crate::package_folder;
use anyhow::{Result, bail};
use executor::Executor;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use step::Step;
use tempfile::TempDir;
use workload::Workload;

/// How many statements make an episode.
const EPISODE_STATEMENTS: usize = 160;
/// How long a finding is shrunk before it is printed as it is.
const SHRINK_TIME_MAX: Duration = Duration::from_secs(120);

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    /// How many statements in all, restarts included.
    pub statements: usize,
    /// A PostgreSQL in which the schema `public` may be dropped, as a connection string.
    pub postgres: Option<String>,
}

impl Settings {
    /// `MERIDIAN_ORACLE_SEED`, `MERIDIAN_ORACLE_STATEMENTS` and `MERIDIAN_ORACLE_POSTGRES`, or what CI runs.
    pub fn from_environment() -> Result<Self> {
        Ok(Self {
            seed: number_from_environment("MERIDIAN_ORACLE_SEED", 20_250_601)?,
            statements: usize::try_from(number_from_environment("MERIDIAN_ORACLE_STATEMENTS", 1_000)?)?,
            postgres: std::env::var("MERIDIAN_ORACLE_POSTGRES").ok(),
        })
    }
}

/// What a run without a finding did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub statements: usize,
    pub failed_statements: usize,
    pub views_created: usize,
    pub comparisons: usize,
    pub restarts: usize,
    pub episodes: usize,
}

/// Runs the oracle; an error is a finding, with the script that shows it.
pub async fn run(settings: &Settings) -> Result<Summary> {
    let folder = TempDir::new()?;
    let mut executor = Executor::start(&folder.path().join("data"), settings.postgres.as_deref(), false).await?;
    let mut summary = Summary::default();
    while summary.statements < settings.statements {
        let episode_seed = settings.seed.wrapping_mul(1_000_003).wrapping_add(summary.episodes as u64);
        let mut workload = Workload::new(StdRng::seed_from_u64(episode_seed), executor.has_mirror());
        let mut history: Vec<Step> = Vec::new();
        while let Some(step) = workload.next(executor.state(), history.len() >= EPISODE_STATEMENTS) {
            history.push(step.clone());
            if let Err(finding) = executor.apply(&step).await {
                let at = summary.statements + history.len();
                drop(executor);
                return Err(report(settings, at, &finding, history).await);
            }
        }
        summary.statements += history.len();
        summary.episodes += 1;
    }
    executor.add_to(&mut summary);
    executor.stop()?;
    Ok(summary)
}

/// Replays steps on a fresh data directory and gives the first finding.
async fn replay(steps: &[Step], postgres: Option<&str>) -> Result<Option<executor::Finding>> {
    let folder = TempDir::new()?;
    let mut executor = Executor::start(&folder.path().join("data"), postgres, true).await?;
    for step in steps {
        if let Err(finding) = executor.apply(step).await {
            return Ok(Some(finding));
        }
    }
    Ok(None)
}

async fn report(settings: &Settings, at: usize, finding: &executor::Finding, history: Vec<Step>) -> anyhow::Error {
    let mut text = format!(
        "the oracle found a difference with seed {} after statement {at}\n\n{finding}\nreplay: \
         MERIDIAN_ORACLE_SEED={} MERIDIAN_ORACLE_STATEMENTS={at} cargo test -p sql-tests the_views_equal\n",
        settings.seed, settings.seed
    );
    let deadline = Instant::now() + SHRINK_TIME_MAX;
    let length = history.len();
    let shrunk = shrink::shrink(history, finding, settings.postgres.as_deref(), deadline).await;
    // Writing to a String cannot fail.
    let _ = match &shrunk.finding {
        Some(finding) => writeln!(text, "\nshrunk from {length} to {} statements:\n{finding}", shrunk.steps.len()),
        None => writeln!(text, "\nthe last {length} statements alone do not show it again; all of them:"),
    };
    let _ = writeln!(text, "--- save as sql-tests/slt/regressions/<claim>.slt\n{}---", step::as_slt(&shrunk.steps));
    anyhow::anyhow!(text)
}

/// A number from an environment variable, or what to use without it.
pub fn number_from_environment(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => match text.trim().replace('_', "").parse() {
            Ok(number) => Ok(number),
            Err(_) => bail!("{name} is no number: {text:?}"),
        },
    }
}

/// The steps of one episode as a script, as if each came out as it is meant to: to be read, or run on a PostgreSQL.
pub fn sample(seed: u64, statements: usize) -> String {
    let mut workload = Workload::new(StdRng::seed_from_u64(seed), true);
    let mut state = executor::State::default();
    let mut steps = Vec::new();
    while let Some(mut step) = workload.next(&state, steps.len() >= statements) {
        state.assume_outcome(&mut step);
        steps.push(step);
    }
    step::as_slt(&steps)
}

/// Where shrunk scripts are kept.
pub fn regressions_folder() -> PathBuf {
    package_folder().join("slt").join("regressions")
}
