//! The views workload: two aggregates that must be fresh, and what it costs to have them so.
//!
//! Meridian and PostgreSQL keep materialized views, PostgreSQL's being refreshed before each read, which is its plain way;
//! DuckDB computes the query anew. ClickHouse takes no part: its views see single inserts only and are merged at read.

use crate::answer;
use crate::data::Selection;
use crate::dialect::{self, VIEWS};
use crate::report::{Report, Unit, with_commas};
use crate::system::{Kind, Settle, System, Workshop};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rows of a change, and how often a round makes it.
const CHANGES: [(u64, u64); 3] = [(1, 10), (1_000, 5), (100_000, 3)];
const READS: usize = 20;
const READ_WEEK: &str =
    "SELECT sale_date, revenue, orders FROM bench_daily WHERE region = 'EMEA' ORDER BY sale_date DESC LIMIT 7";
const READ_ALL: &str = "SELECT * FROM bench_daily";

/// The same changes for every system.
struct Inputs {
    all: PathBuf,
    single_rows: Vec<Vec<String>>,
    loads: Vec<(u64, Vec<PathBuf>)>,
}

pub(crate) async fn run(workshop: &Workshop, report: &mut Report) -> anyhow::Result<()> {
    let options = &workshop.options;
    let kinds: Vec<Kind> = options.kinds().into_iter().filter(|kind| *kind != Kind::ClickHouse).collect();
    anyhow::ensure!(!kinds.is_empty(), "no system that takes part in this workload was named");
    let inputs = prepare(workshop)?;
    for round in 0..options.rounds {
        let mut reference = None;
        for position in 0..kinds.len() {
            let kind = kinds[(position + round as usize) % kinds.len()];
            eprintln!("round {} of {}: {}", round + 1, options.rounds, kind.name());
            if kind == Kind::Meridian {
                load_without_views(workshop, &inputs.all, report).await?;
            }
            let mut system = workshop.start(kind).await?;
            report.introduce(&system);
            load_with_views(workshop, &mut system, &inputs.all, report).await?;
            change(&mut system, &inputs, report).await?;
            read(&mut system, report).await?;
            compare(&mut system, &mut reference, report).await?;
        }
    }
    Ok(())
}

fn prepare(workshop: &Workshop) -> anyhow::Result<Inputs> {
    let options = &workshop.options;
    let files = &workshop.files;
    let all = Selection { rows: options.rows, seed: 1, first_id: 1, shuffle: options.shuffle };
    let mut inputs = Inputs { all: files.csv(all)?, single_rows: Vec::new(), loads: Vec::new() };
    for (rows, times) in CHANGES {
        if rows == 1 {
            inputs.single_rows =
                files.rows(Selection { rows: times, seed: 2, first_id: options.rows + 1, shuffle: true })?;
            continue;
        }
        let selection =
            |number| Selection { rows, seed: 3 + number, first_id: options.rows * 2 + number * rows, shuffle: false };
        let paths = (0..times).map(|number| files.csv(selection(number))).collect::<anyhow::Result<_>>()?;
        inputs.loads.push((rows, paths));
    }
    Ok(inputs)
}

async fn load_without_views(workshop: &Workshop, file: &Path, report: &mut Report) -> anyhow::Result<()> {
    let mut system = workshop.start(Kind::Meridian).await?;
    system.create_table(&workshop.files).await?;
    let took = system.load(file, Settle::Checkpoint).await?;
    report.record(Kind::Meridian, "COPY of all rows without views", Unit::Seconds, took.as_secs_f64());
    Ok(())
}

async fn load_with_views(
    workshop: &Workshop,
    system: &mut System,
    file: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    system.create_table(&workshop.files).await?;
    for view in &VIEWS {
        system.execute(&dialect::create_view(system.kind, view)).await?;
    }
    let loaded = system.load(file, Settle::Checkpoint).await?;
    eprintln!("  COPY {:.2} s", loaded.as_secs_f64());
    system.analyze().await?;
    let fresh = loaded + refresh(system).await? + system.execute(READ_WEEK).await?;
    report.record(system.kind, "COPY of all rows with two views", Unit::Seconds, loaded.as_secs_f64());
    report.record(system.kind, "  and a fresh read of a view", Unit::Seconds, fresh.as_secs_f64());
    Ok(())
}

async fn change(system: &mut System, inputs: &Inputs, report: &mut Report) -> anyhow::Result<()> {
    for row in inputs.single_rows.chunks(1) {
        let changed = system.insert(row, 1).await?.total;
        record_change(system, "INSERT of 1 row", changed, report).await?;
    }
    for (rows, files) in &inputs.loads {
        for file in files {
            let changed = system.load(file, Settle::Commit).await?;
            record_change(system, &format!("COPY of {} rows", with_commas(*rows)), changed, report).await?;
        }
    }
    Ok(())
}

async fn record_change(system: &mut System, name: &str, changed: Duration, report: &mut Report) -> anyhow::Result<()> {
    let fresh = changed + refresh(system).await? + system.execute(READ_WEEK).await?;
    eprintln!("  {name}: {:.4} s, fresh after {:.4} s", changed.as_secs_f64(), fresh.as_secs_f64());
    report.record(system.kind, name, Unit::Seconds, changed.as_secs_f64());
    report.record(system.kind, &format!("{name} and a fresh read of a view"), Unit::Seconds, fresh.as_secs_f64());
    Ok(())
}

async fn refresh(system: &mut System) -> anyhow::Result<Duration> {
    let kind = system.kind;
    let mut took = Duration::ZERO;
    for statement in VIEWS.iter().filter_map(|view| dialect::refresh_view(kind, view)) {
        took += system.execute(&statement).await?;
    }
    Ok(took)
}

async fn read(system: &mut System, report: &mut Report) -> anyhow::Result<()> {
    for (name, sql) in [("read of a week of a region", READ_WEEK), ("read of the whole view", READ_ALL)] {
        for _ in 0..READS {
            let took = system.execute(sql).await?;
            report.record(system.kind, name, Unit::Seconds, took.as_secs_f64());
        }
    }
    Ok(())
}

/// Every view against its own query, and against the same view of the system that came first.
async fn compare(
    system: &mut System,
    reference: &mut Option<(Kind, Vec<Vec<String>>)>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut contents = Vec::new();
    for view in &VIEWS {
        let kept = system.query(&format!("SELECT * FROM {}", view.name)).await?.canonical();
        let computed = system.query(view.query).await?.canonical();
        if let Some(difference) = answer::difference(&kept, &computed) {
            report.problem(format!("{}: {} is not its query: {difference}", system.kind.name(), view.name));
        }
        contents.push(kept);
    }
    match reference {
        None => *reference = Some((system.kind, contents)),
        Some((first, expected)) => {
            for (view, (expected, found)) in VIEWS.iter().zip(expected.iter().zip(&contents)) {
                if let Some(difference) = answer::difference(expected, found) {
                    let (first, second) = (first.name(), system.kind.name());
                    report.problem(format!("{}: {first} and {second} differ: {difference}", view.name));
                }
            }
        }
    }
    Ok(())
}
