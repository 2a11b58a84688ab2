//! The other roads in and out of a system behind the Postgres protocol: a pipeline of INSERTs, batches of drivers, COPY out, as binary, in
//! random order and by four clients at once. Each begins with an empty table but the one out.

use crate::data::Selection;
use crate::driver_batches::{Batch, Drivers};
use crate::ingest::check_count;
use crate::report::{Report, Unit};
use crate::system::{System, Workshop};
use crate::wire::{CopyFormat, Wire};
use anyhow::Context;
use std::path::PathBuf;
use std::time::Duration;

const PIPELINED_INSERTS: u64 = 100_000;
const CLIENTS_AT_ONCE: u64 = 4;

/// The files and rows that are taken along the roads.
pub(crate) struct Roads {
    rows: u64,
    shuffled: PathBuf,
    shares: Vec<PathBuf>,
    pipelined: Vec<Vec<String>>,
    batched: PathBuf,
    drivers: Drivers,
    binary: PathBuf,
}

impl Roads {
    pub(crate) fn prepare(workshop: &Workshop) -> anyhow::Result<Self> {
        let rows = workshop.options.rows;
        let all = Selection { rows, seed: 1, first_id: 1, shuffle: true };
        let share = rows / CLIENTS_AT_ONCE;
        let shares = (0..CLIENTS_AT_ONCE).map(|number| {
            let first_id = number * share + 1;
            workshop.files.csv(Selection {
                rows: share,
                seed: 10 + number,
                first_id,
                shuffle: workshop.options.shuffle,
            })
        });
        let pipelined = Selection { rows: PIPELINED_INSERTS, seed: 3, first_id: 2 * rows, shuffle: true };
        Ok(Self {
            rows,
            shuffled: workshop.files.csv(all)?,
            shares: shares.collect::<anyhow::Result<_>>()?,
            pipelined: workshop.files.rows(pipelined)?,
            batched: workshop.files.csv(pipelined)?,
            drivers: Drivers::prepare(&workshop.cache, &workshop.fresh_path("jdbc"))?,
            binary: workshop.fresh_path("binary"),
        })
    }

    /// Takes all of them; nothing for an embedded system. The table holds the rows that were loaded before.
    pub(crate) async fn measure(&self, system: &mut System, report: &mut Report) -> anyhow::Result<()> {
        let kind = system.kind;
        let Some(wire) = system.wire() else { return Ok(()) };
        let took = wire.copy_out(CopyFormat::Csv, None).await?;
        seconds(report, system, "COPY TO STDOUT as csv", took);
        let took = emptied(system).await?.pipeline(&self.pipelined).await?;
        seconds(report, system, "100,000 pipelined INSERTs in a transaction", took);
        check_count(system, PIPELINED_INSERTS, report).await?;
        self.send_batches(system, report).await?;
        let took = emptied(system).await?.copy(&self.shuffled, CopyFormat::Csv).await?;
        seconds(report, system, "COPY in random order", took);
        check_count(system, self.rows, report).await?;
        if let Some(wire) = system.wire() {
            wire.copy_out(CopyFormat::Binary, Some(&self.binary)).await?;
        }
        let took = emptied(system).await?.copy(&self.binary, CopyFormat::Binary).await?;
        seconds(report, system, "COPY of the same as binary", took);
        check_count(system, self.rows, report).await?;
        std::fs::remove_file(&self.binary)?;
        let took = emptied(system).await?.copy_at_once(&self.shares).await?;
        let loaded = self.rows / CLIENTS_AT_ONCE * CLIENTS_AT_ONCE;
        eprintln!("  {CLIENTS_AT_ONCE} COPYs at once {:.2} s", took.as_secs_f64());
        report.record(kind, "rows, 4 COPYs at once", Unit::RowsPerSecond, loaded as f64 / took.as_secs_f64());
        check_count(system, loaded, report).await
    }

    async fn send_batches(&self, system: &mut System, report: &mut Report) -> anyhow::Result<()> {
        for batch in Batch::ALL {
            let config = emptied(system).await?.config().clone();
            let Some(took) = self.drivers.insert(batch, &config, &self.batched)? else { continue };
            seconds(report, system, batch.name(), Duration::from_secs_f64(took));
            check_count(system, PIPELINED_INSERTS, report).await?;
        }
        Ok(())
    }
}

/// A client of the system, whose table is empty now.
async fn emptied(system: &mut System) -> anyhow::Result<&mut Wire> {
    system.execute("TRUNCATE sales").await?;
    system.wire().context("this system has no Postgres protocol")
}

fn seconds(report: &mut Report, system: &System, name: &str, took: Duration) {
    eprintln!("  {name} {:.2} s", took.as_secs_f64());
    report.record(system.kind, name, Unit::Seconds, took.as_secs_f64());
}
