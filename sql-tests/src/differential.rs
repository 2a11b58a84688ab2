//! The differential tester: random statements on Meridian and on PostgreSQL, whose answers must be the same.
//!
//!     workload ─▶ runner ─▶ Meridian ─┐                       shrink ─▶ report
//!     (query,     (asks     PostgreSQL┴▶ comparison ─differs─▶ (smallest statement,
//!      expression) both)                 (listed, magnitudes)   explain: listed or not)
//!
//! Compared are values in text, types and modifiers of columns, their names, the order of rows where ORDER BY defines
//! it, and SQLSTATEs. What POSTGRES.md lists is compared by a measure of its own (`listed`), and what Meridian says it
//! does not support is counted by its message. What differed once and not again fails a run too, unless both servers
//! failed and either error may come first. Everything follows from the seed.

mod aggregate;
mod client;
mod comparison;
mod document_productions;
mod explain;
mod expression;
mod listed;
mod magnitudes;
mod moment_productions;
mod productions;
mod query;
mod report;
mod runner;
mod servers;
mod shrink;
mod slots;
mod statement;
mod tables;
mod text_productions;
mod tree;
mod values;
mod workload;

use anyhow::{Context, Result};
pub use report::{Difference, Report};
use runner::{Tally, run_chunk};
use servers::Servers;
pub use servers::Targets;
use shrink::{Found, shrink};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use workload::{CHUNK_STATEMENTS, Chunk};

/// How many differing statements are shrunk unless the caller says otherwise.
pub const EXAMINED_DEFAULT: usize = 600;
/// How many connections to each server work at once, at least.
const WORKERS_MIN: usize = 2;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub seed: u64,
    pub statements: usize,
    /// How many differing statements are shrunk, the worst first; there are more only where much is wrong.
    pub examined: usize,
}

/// Runs the statements of a seed. Tables `far`, `near` and `plain` are made anew on both servers. An error means that
/// a server could not be reached or is gone.
pub async fn run(settings: &Settings, targets: &Targets) -> Result<Report> {
    let mut servers = Servers::connect(targets).await?;
    servers.create_tables(settings.seed).await?;
    let mut tally = run_chunks(settings, targets).await?;
    tally.candidates.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut report = Report::of(&tally);
    report.unexamined = tally.candidates.len().saturating_sub(settings.examined);
    for (kind, candidate) in tally.candidates.iter().take(settings.examined) {
        match shrink(&mut servers, kind, candidate).await? {
            Found::Shrunk(shrunk) => report.add(*shrunk),
            Found::GoneAsListed(rule) => *report.listed.entry(rule).or_default() += 1,
            Found::Gone => report.gone.push((kind.to_string(), candidate.sql())),
        }
    }
    report.sort();
    Ok(report)
}

/// Runs all chunks on some connections at once and gives what they found in the order of the chunks.
async fn run_chunks(settings: &Settings, targets: &Targets) -> Result<Tally> {
    let count = settings.statements.div_ceil(CHUNK_STATEMENTS);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..cores.max(WORKERS_MIN) {
        let mut servers = Servers::connect(targets).await?;
        let (next, seed) = (Arc::clone(&next), settings.seed);
        workers.push(tokio::spawn(async move {
            let mut tallies = BTreeMap::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, anyhow::Error>(tallies);
                }
                tallies.insert(number, run_chunk(&mut servers, &Chunk::new(seed, number)).await?);
            }
        }));
    }
    let mut by_chunk = BTreeMap::new();
    for worker in workers {
        by_chunk.extend(worker.await.context("a worker panicked")??);
    }
    let mut all = Tally::default();
    by_chunk.into_values().for_each(|tally| all.add(tally));
    Ok(all)
}
