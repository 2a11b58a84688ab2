//! The store workload: what is promised of the store and does not show in the time of a query.
//!
//! Every system is asked for its bytes on disk, for UPDATEs by a range of keys and for the DELETE of customers. What follows is asked of
//! Meridian alone, each from a file of its own: `look_ups`, `restarts`, `busy_server` and `crowd`.

use crate::answer;
use crate::data::Selection;
use crate::report::{Report, Unit};
use crate::system::{Kind, Settle, System, Workshop};
use crate::{Options, busy_server, crowd, look_ups, restarts};
use clap::Args;
use std::path::Path;

/// One of a hundred rows is changed by each UPDATE.
const UPDATED_SHARE: u64 = 100;
/// Where in the table the UPDATEs begin, in percent of its rows.
const UPDATES_FROM_PERCENT: [u64; 3] = [20, 50, 80];
/// The customers that are deleted; the generator gives the low numbers the most sales.
const CUSTOMERS: [u64; 3] = [42, 43, 44];

#[derive(Args, Clone, Debug)]
pub(crate) struct StoreOptions {
    #[command(flatten)]
    pub(crate) common: Options,
    /// Measure these parts alone.
    #[arg(long, value_name = "PART", value_delimiter = ',', num_args = 1..)]
    pub(crate) parts: Option<Vec<Part>>,
    /// How many segments the server finds when it starts.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    pub(crate) segments: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Bytes of the table after CHECKPOINT.
    Disk,
    /// UPDATE of one row in a hundred by a range of keys, DELETE of a customer.
    Changes,
    /// One row by its primary key, hot.
    LookUps,
    /// The first answer after a kill, with many segments and a long log.
    Restart,
    /// A dashboard's query while rows are loaded and segments are rewritten.
    Busy,
    /// Heavy queries of 200 clients at once.
    Crowd,
}

impl StoreOptions {
    fn has(&self, part: Part) -> bool {
        self.parts.as_ref().is_none_or(|parts| parts.contains(&part))
    }

    /// Whether a system has something to do with the table that all are given.
    fn needs_sales(&self, kind: Kind) -> bool {
        let compared = self.has(Part::Disk) || self.has(Part::Changes);
        compared || kind == Kind::Meridian && (self.has(Part::Busy) || self.has(Part::Crowd))
    }
}

pub(crate) async fn run(workshop: &Workshop, options: &StoreOptions, report: &mut Report) -> anyhow::Result<()> {
    let common = &options.common;
    let kinds = common.kinds();
    let all = Selection { rows: common.rows, seed: 1, first_id: 1, shuffle: common.shuffle };
    let file = workshop.files.csv(all)?;
    for round in 0..common.rounds {
        let mut reference = None;
        for position in 0..kinds.len() {
            let kind = kinds[(position + round as usize) % kinds.len()];
            eprintln!("round {} of {}: {}", round + 1, common.rounds, kind.name());
            if options.needs_sales(kind) {
                let mut system = loaded(workshop, kind, &file, report).await?;
                if options.has(Part::Disk) {
                    disk(&mut system, report).await?;
                }
                if options.has(Part::Changes) {
                    changes(&mut system, common.rows, &mut reference, report).await?;
                }
                if kind == Kind::Meridian && options.has(Part::Busy) {
                    busy_server::measure(workshop, &mut system, report).await?;
                }
                if kind == Kind::Meridian && options.has(Part::Crowd) {
                    crowd::measure(workshop, &mut system, report).await?;
                }
            }
            if kind == Kind::Meridian && options.has(Part::LookUps) {
                look_ups::measure(workshop, &file, report).await?;
            }
            if kind == Kind::Meridian && options.has(Part::Restart) {
                restarts::measure(workshop, options.segments, report).await?;
            }
        }
    }
    Ok(())
}

/// A system with all rows, at rest.
async fn loaded(workshop: &Workshop, kind: Kind, file: &Path, report: &mut Report) -> anyhow::Result<System> {
    let mut system = workshop.start(kind).await?;
    report.introduce(&system);
    system.create_table(&workshop.files).await?;
    let took = system.load(file, Settle::Checkpoint).await?;
    eprintln!("  COPY {:.2} s", took.as_secs_f64());
    if kind != Kind::ClickHouse {
        system.execute("CHECKPOINT").await?;
    }
    system.analyze().await?;
    Ok(system)
}

async fn disk(system: &mut System, report: &mut Report) -> anyhow::Result<()> {
    if let Some(bytes) = system.disk_bytes().await? {
        report.record(system.kind, "on disk after CHECKPOINT (PostgreSQL without its log)", Unit::Bytes, bytes as f64);
    }
    Ok(())
}

/// What a system has after its changes, to compare the others with.
type Reference = Option<(&'static str, Vec<String>)>;

async fn changes(system: &mut System, rows: u64, reference: &mut Reference, report: &mut Report) -> anyhow::Result<()> {
    // ClickHouse changes rows in the background.
    if system.kind == Kind::ClickHouse {
        return Ok(());
    }
    for percent in UPDATES_FROM_PERCENT {
        let first = rows * percent / 100;
        let last = first + rows / UPDATED_SHARE - 1;
        let update = format!(
            "UPDATE sales SET amount = amount + 1, status = 'corrected' WHERE transaction_id BETWEEN {first} AND {last}"
        );
        timed(system, "UPDATE of 1 % of the rows by a range of numbers, without an index", &update, report).await?;
    }
    for customer in CUSTOMERS {
        let delete = format!("DELETE FROM sales WHERE customer_id = {customer}");
        timed(system, "DELETE of a customer", &delete, report).await?;
    }
    let found = system.query(WHAT_IS_LEFT).await?.canonical();
    match reference {
        None => *reference = Some((system.kind.name(), found)),
        Some((first, expected)) => {
            if let Some(difference) = answer::difference(expected, &found) {
                report.problem(format!("changed rows: {first} and {} differ: {difference}", system.kind.name()));
            }
        }
    }
    Ok(())
}

const WHAT_IS_LEFT: &str = "SELECT status, count(*) AS orders, sum(amount) AS revenue, sum(transaction_id) AS numbers, \
                            count(DISTINCT customer_id) AS customers FROM sales GROUP BY status";

async fn timed(system: &mut System, name: &str, sql: &str, report: &mut Report) -> anyhow::Result<()> {
    let took = system.execute(sql).await?;
    eprintln!("  {name} {:.3} s", took.as_secs_f64());
    report.record(system.kind, name, Unit::Seconds, took.as_secs_f64());
    Ok(())
}
