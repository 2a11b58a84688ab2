//! The checker of isolation: clients run transactions at one level, the server is killed meanwhile, and what they saw is searched
//! for what that level forbids.
//!
//!     clients ──transactions──▶ Meridian ◀── SIGKILL, start
//!        │                                     lists      appends and reads of lists     ┐ `adya` finds cycles of who came
//!        └──▶ Journal ──▶ verdict of each      registers  writes and reads of registers ┘ before whom (Adya's G0, G1, G-single, G2)
//!                         workload             bank       transfers, whose sum never changes
//!
//! Each episode has tables, clients and a history of its own, so memory does not grow with the number of transactions. Lists say
//! most: whoever reads one sees the order of all that was appended. A transaction that failed is counted and not tried again; one that
//! was committing when the server went is known to neither have happened nor not.
//!
//! Of the levels more is asked than their names say: a transaction that was acknowledged before another began comes before it, in
//! whatever session.

mod bank;
mod client;
mod elle;
mod journal;

use crate::meridian::Meridian;
use crate::oracle::number_from_environment;
use crate::session::Session;
use anyhow::{Context, Result, bail};
use client::Place;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

pub use elle::{Anomalies, Kind, anomalies};
pub use journal::{Journal, Outcome, Step};

/// The transactions of an episode.
const EPISODE_TRANSACTIONS: u64 = 700;
/// How long the clients work before a kill, at least and at most.
const WORK_MS: std::ops::Range<u64> = 200..5_000;
/// How long an episode may take.
const EPISODE_TIMEOUT: Duration = Duration::from_secs(600);

/// An isolation level and what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Level {
    const ALL: [Self; 3] = [Self::ReadCommitted, Self::RepeatableRead, Self::Serializable];

    fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }

    /// The model that histories must follow, as the checker calls it.
    pub fn model(self) -> &'static str {
        match self {
            Self::ReadCommitted => "strong-read-committed",
            Self::RepeatableRead => "strong-snapshot-isolation",
            Self::Serializable => "strict-serializable",
        }
    }

    /// Whether all statements of a transaction read one snapshot.
    fn reads_one_snapshot(self) -> bool {
        self != Self::ReadCommitted
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub transactions: u64,
    /// Kills of the server in each episode.
    pub kills: u64,
    /// Asked of every level in the place of its own model.
    pub model: Option<String>,
}

impl Settings {
    /// `MERIDIAN_ISOLATION_SEED` and `MERIDIAN_ISOLATION_TRANSACTIONS`, or what CI runs.
    pub fn from_environment() -> Result<Self> {
        Ok(Self {
            seed: number_from_environment("MERIDIAN_ISOLATION_SEED", 20_260_101)?,
            transactions: number_from_environment("MERIDIAN_ISOLATION_TRANSACTIONS", 2_100)?,
            kills: 1,
            model: None,
        })
    }
}

/// What a run without a finding did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub episodes: u64,
    pub kills: u64,
    pub committed: u64,
    /// Refused with 40001.
    pub conflicts: u64,
    /// Lost with the connection, before anything was to be committed.
    pub lost: u64,
    pub unknown: u64,
}

impl Summary {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Committed => self.committed += 1,
            Outcome::Conflict => self.conflicts += 1,
            Outcome::Lost => self.lost += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }

    pub fn transactions(&self) -> u64 {
        self.committed + self.conflicts + self.lost + self.unknown
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} transactions in {} episodes with {} kills: {} committed, {} refused with 40001, {} lost with the \
             connection, {} of unknown outcome; nothing that their levels forbid",
            self.transactions(),
            self.episodes,
            self.kills,
            self.committed,
            self.conflicts,
            self.lost,
            self.unknown
        )
    }
}

/// Runs episodes, level after level, until there are enough transactions. The error says what was seen.
pub async fn run(settings: &Settings, told: impl Fn(&Summary)) -> Result<Summary> {
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("data");
    let mut summary = Summary::default();
    let outcome = run_episodes(settings, &data_dir, &mut summary, told).await;
    let kept = if outcome.is_err() { Some(folder.keep()) } else { None };
    outcome.with_context(|| {
        format!(
            "MERIDIAN_ISOLATION_SEED={} in episode {}; the data is kept in {}",
            settings.seed,
            summary.episodes,
            kept.unwrap_or_default().display()
        )
    })?;
    Ok(summary)
}

async fn run_episodes(
    settings: &Settings,
    data_dir: &Path,
    summary: &mut Summary,
    told: impl Fn(&Summary),
) -> Result<()> {
    let mut random = StdRng::seed_from_u64(settings.seed);
    let mut server = Meridian::start(data_dir)?;
    for level in Level::ALL.into_iter().cycle() {
        let left = settings.transactions.saturating_sub(summary.transactions());
        if left == 0 {
            break;
        }
        let model = settings.model.as_deref().unwrap_or(level.model());
        let episode = Episode { level, model, transactions: left.min(EPISODE_TRANSACTIONS), kills: settings.kills };
        let played = episode.play(server, &mut random, summary);
        server = tokio::time::timeout(EPISODE_TIMEOUT, played).await.context("the clients came to no end")??;
        summary.episodes += 1;
        told(summary);
    }
    server.stop()
}

struct Episode<'a> {
    level: Level,
    model: &'a str,
    transactions: u64,
    kills: u64,
}

impl Episode<'_> {
    /// Gives the server that runs at the end.
    async fn play(&self, server: Meridian, random: &mut StdRng, summary: &mut Summary) -> Result<Meridian> {
        let session = Session::connect(server.address()).await?;
        for statement in elle::set_up().into_iter().chain(bank::set_up()) {
            session.run(&statement).await.with_context(|| statement.clone())?;
        }
        let (address, addresses) = watch::channel(Place::At(server.address()));
        let (lists, registers) = (Journal::default(), Journal::default());
        let transfers = bank::Journal::default();
        let share = self.transactions / 5;
        let seed = u64::from(random.random::<u32>());
        let mut clients = tokio::task::JoinSet::new();
        let start = |number| client::Client::new(number, self.level, StdRng::seed_from_u64(seed + number), &addresses);
        // The lists have more clients than others: they tell most.
        for (number, part) in [(0, &lists), (1, &lists), (2, &lists), (3, &lists), (4, &registers), (5, &registers)] {
            let kind = if number < 4 { Kind::Lists } else { Kind::Registers };
            let count = if number < 4 { share * 2 / 4 } else { share / 2 };
            clients.spawn(elle::work(start(number), kind, part.clone(), count));
        }
        let rest = self.transactions - share / 2 * 4 - share / 2 * 2;
        for number in [6, 7] {
            let count = if number == 6 { rest / 2 } else { rest - rest / 2 };
            clients.spawn(bank::work(start(number), transfers.clone(), count));
        }
        drop(addresses);
        let server = self.kill_meanwhile(server, &address, random, summary, &mut clients).await?;
        self.judge(&server, &lists, &registers, &transfers, summary).await?;
        Ok(server)
    }

    /// Waits for the clients and kills the server while they work.
    async fn kill_meanwhile(
        &self,
        mut server: Meridian,
        address: &watch::Sender<Place>,
        random: &mut StdRng,
        summary: &mut Summary,
        clients: &mut tokio::task::JoinSet<Result<()>>,
    ) -> Result<Meridian> {
        for _ in 0..self.kills {
            let until_kill = tokio::time::sleep(Duration::from_millis(random.random_range(WORK_MS)));
            tokio::pin!(until_kill);
            loop {
                tokio::select! {
                    () = &mut until_kill => break,
                    ended = clients.join_next() => match ended {
                        Some(ended) => ended??,
                        None => return Ok(server),
                    },
                }
            }
            let data_dir = server.data_dir().to_path_buf();
            address.send_replace(Place::Nowhere);
            server.kill()?;
            summary.kills += 1;
            server = Meridian::start(&data_dir)?;
            address.send_replace(Place::At(server.address()));
        }
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        Ok(server)
    }

    async fn judge(
        &self,
        server: &Meridian,
        lists: &Journal,
        registers: &Journal,
        transfers: &bank::Journal,
        summary: &mut Summary,
    ) -> Result<()> {
        let session = Session::connect(server.address()).await?;
        // Reads behind everything, so that the end of each history is known.
        for (kind, journal) in [(Kind::Lists, lists), (Kind::Registers, registers)] {
            elle::read_all(&session, kind, journal).await?;
            journal.outcomes().into_iter().for_each(|outcome| summary.count(outcome));
            let found = anomalies(kind, journal, self.model);
            if let Some(found) = found {
                bail!("{} histories of {kind:?} are not {}:\n{found}", self.level.sql(), self.model);
            }
        }
        transfers.outcomes().into_iter().for_each(|outcome| summary.count(outcome));
        bank::judge(&session, transfers).await.with_context(|| format!("transfers at {}", self.level.sql()))
    }
}

#[cfg(test)]
mod tests;
