//! The views workload: ten views that must be exact whenever they are read, and what it costs to have them so.
//!
//! Meridian keeps its views. PostgreSQL refreshes its materialized ones before each read, which is its plain way; DuckDB and
//! ClickHouse compute the query anew. Of the two views of sums, which are measured alone, ClickHouse keeps what it can: it adds up
//! each insert and merges at read.

use crate::answer::{self, Answer};
use crate::data::Selection;
use crate::report::{Report, Unit};
use crate::system::{End, Kind, Settle, System, Workshop};
use crate::view_definitions::{self as definitions, AGGREGATES, Touched, VIEWS, View};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rows of the loads that meet the two aggregate views, and how often.
const LOAD_ROWS: u64 = 100_000;
const LOADS: u64 = 3;
/// Rows that are not folded yet when a view is read.
const PENDING_ROWS: u64 = 10_000;
const PENDING_READS: u64 = 5;
const READS: usize = 50;
/// Single-row commits, and by how many clients.
const COMMITS: u64 = 800;
const CLIENTS: usize = 16;
/// The customer whose rows are read and then deleted, and the product that changes its category.
const CUSTOMER: u64 = 42;
const PRODUCT: u64 = 7;
/// One customer has about so many sales.
const ROWS_PER_CUSTOMER: u64 = 20;

/// The same changes for every system. Each file is loaded once in a round.
struct Inputs {
    all: PathBuf,
    loads: Vec<PathBuf>,
    pending: Vec<PathBuf>,
    single_rows: Vec<Vec<String>>,
    customers: u64,
}

pub(crate) async fn run(workshop: &Workshop, report: &mut Report) -> anyhow::Result<()> {
    let options = &workshop.options;
    let kinds = options.kinds();
    let inputs = prepare(workshop)?;
    for round in 0..options.rounds {
        let mut reference = None;
        for position in 0..kinds.len() {
            let kind = kinds[(position + round as usize) % kinds.len()];
            eprintln!("round {} of {}: {}", round + 1, options.rounds, kind.name());
            without_views(workshop, kind, &inputs, report).await?;
            with_aggregates(workshop, kind, &inputs, report).await?;
            let mut system = with_views(workshop, kind, &inputs, report).await?;
            changes(&mut system, &inputs, report).await?;
            restart(&mut system, report).await?;
            compare(&mut system, &mut reference, report).await?;
        }
    }
    Ok(())
}

fn prepare(workshop: &Workshop) -> anyhow::Result<Inputs> {
    let (options, files) = (&workshop.options, &workshop.files);
    let all = Selection { rows: options.rows, seed: 1, first_id: 1, shuffle: options.shuffle };
    let mut first_id = options.rows + 1;
    let mut next = |rows, seed, shuffle| {
        let selection = Selection { rows, seed, first_id, shuffle };
        first_id += rows;
        selection
    };
    let single_rows = files.rows(next(COMMITS, 2, true))?;
    let loads = (0..LOADS).map(|number| files.csv(next(LOAD_ROWS, 3 + number, false)));
    let loads = loads.collect::<anyhow::Result<_>>()?;
    let pending = (0..PENDING_READS * 2).map(|number| files.csv(next(PENDING_ROWS, 30 + number, false)));
    let pending = pending.collect::<anyhow::Result<_>>()?;
    let customers = (options.rows / ROWS_PER_CUSTOMER).max(LOAD_ROWS);
    Ok(Inputs { all: files.csv(all)?, loads, pending, single_rows, customers })
}

/// The load and the commits that the same with views are measured against.
async fn without_views(workshop: &Workshop, kind: Kind, inputs: &Inputs, report: &mut Report) -> anyhow::Result<()> {
    let mut system = workshop.start(kind).await?;
    report.introduce(&system);
    system.create_table(&workshop.files).await?;
    let took = load(&mut system, &inputs.all, Settle::Checkpoint).await?;
    record(report, kind, "COPY of all rows without views", took);
    commit_rows(&mut system, inputs, "single-row commits, 16 clients, without views", report).await
}

async fn commit_rows(system: &mut System, inputs: &Inputs, name: &str, report: &mut Report) -> anyhow::Result<()> {
    let inserted = system.insert(&inputs.single_rows, CLIENTS).await?;
    let rate = inputs.single_rows.len() as f64 / inserted.total.as_secs_f64();
    report.record(system.kind, name, Unit::RowsPerSecond, rate);
    Ok(())
}

/// Loads into a table with two views of sums, each with an exact read of both.
async fn with_aggregates(workshop: &Workshop, kind: Kind, inputs: &Inputs, report: &mut Report) -> anyhow::Result<()> {
    let mut system = workshop.start(kind).await?;
    system.create_table(&workshop.files).await?;
    for view in AGGREGATES {
        system.execute(&definitions::create_sums(kind, view)).await?;
    }
    load(&mut system, &inputs.all, Settle::Checkpoint).await?;
    refresh(&mut system, &AGGREGATES).await?;
    for file in &inputs.loads {
        let loaded = load(&mut system, file, Settle::Commit).await?;
        let mut fresh = loaded + refresh(&mut system, &AGGREGATES).await?;
        for view in AGGREGATES {
            fresh += system.execute(&format!("SELECT {} FROM {}", view.total, view.name)).await?;
        }
        record(report, kind, "COPY of 100,000 rows with two aggregate views", loaded);
        record(report, kind, "  and an exact read of both", fresh);
    }
    Ok(())
}

/// The load with all ten views, and the first read of all of them.
async fn with_views(workshop: &Workshop, kind: Kind, inputs: &Inputs, report: &mut Report) -> anyhow::Result<System> {
    let mut system = workshop.start(kind).await?;
    system.create_table(&workshop.files).await?;
    for statement in definitions::create_dimensions(kind, inputs.customers) {
        system.execute(&statement).await?;
    }
    for view in &VIEWS {
        system.execute(&definitions::create(kind, view)).await?;
    }
    let loaded = load(&mut system, &inputs.all, Settle::Checkpoint).await?;
    record(report, kind, "COPY of all rows with the ten views", loaded);
    let mut fresh = refresh_all(&mut system).await?;
    for view in &VIEWS {
        let took = system.execute(&format!("SELECT {} FROM {}", view.total, view.name)).await?;
        eprintln!("  {} {:.3} s", view.name, took.as_secs_f64());
        fresh += took;
    }
    record(report, kind, "  first exact read of all ten after it", fresh);
    system.analyze().await?;
    Ok(system)
}

async fn changes(system: &mut System, inputs: &Inputs, report: &mut Report) -> anyhow::Result<()> {
    let kind = system.kind;
    let customer = format!("SELECT * FROM customer_sums WHERE customer_id = {CUSTOMER}");
    let reads = [("daily, all groups", "SELECT * FROM daily"), ("one group of customer sums", customer.as_str())];
    let views = [&VIEWS[0], &VIEWS[2]];
    for (name, sql) in reads {
        for _ in 0..READS {
            let took = system.execute(sql).await?;
            record(report, kind, &format!("read of {name}"), took);
        }
    }
    for (number, file) in inputs.pending.iter().enumerate() {
        let ((name, sql), view) = (reads[number % 2], views[number % 2]);
        load(system, file, Settle::Commit).await?;
        let took = refresh(system, &[view]).await? + system.execute(sql).await?;
        record(report, kind, &format!("read of {name}, 10,000 rows pending"), took);
    }
    commit_rows(system, inputs, "single-row commits, 16 clients, with the ten views", report).await?;
    delete_customer(system, report).await?;
    change_category(system, report).await
}

async fn delete_customer(system: &mut System, report: &mut Report) -> anyhow::Result<()> {
    let mut list = async |column: &str, quoted: bool| -> anyhow::Result<String> {
        let sql = format!("SELECT DISTINCT {column} FROM sales WHERE customer_id = {CUSTOMER} ORDER BY {column}");
        let answer = system.query(&sql).await?;
        let values = answer.rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
        let shown = values.map(|value| if quoted { format!("'{value}'") } else { value });
        Ok(shown.collect::<Vec<_>>().join(", "))
    };
    let touched = Touched {
        customer: CUSTOMER,
        region: list("region", false).await?,
        dates: list("sale_date", true).await?,
        products: list("product_id", false).await?,
        stores: list("store_id", false).await?,
    };
    anyhow::ensure!(!touched.dates.is_empty(), "customer {CUSTOMER} bought nothing");
    refresh_all(system).await?;
    let mut took = system.execute(&format!("DELETE FROM sales WHERE customer_id = {CUSTOMER}")).await?;
    eprintln!("  DELETE {:.3} s", took.as_secs_f64());
    took += refresh_all(system).await?;
    for view in &VIEWS {
        let read = system.execute(&format!("SELECT * FROM {} WHERE {}", view.name, touched.filter(view))).await?;
        eprintln!("  touched groups of {} {:.3} s", view.name, read.as_secs_f64());
        took += read;
    }
    record(report, system.kind, "DELETE of a customer's rows and a read of the touched groups of all ten", took);
    Ok(())
}

async fn change_category(system: &mut System, report: &mut Report) -> anyhow::Result<()> {
    // ClickHouse changes rows in the background.
    if system.kind == Kind::ClickHouse {
        return Ok(());
    }
    let view = &VIEWS[3];
    let update = format!("UPDATE products SET category = 'Category 1' WHERE product_id = {PRODUCT}");
    let mut took = system.execute(&update).await?;
    took += refresh(system, &[view]).await?;
    took += system.execute(&format!("SELECT * FROM {}", view.name)).await?;
    record(report, system.kind, "UPDATE of a product's category and a read of the join view", took);
    Ok(())
}

/// From the start of the server to the first exact read, where the server is ours to stop.
async fn restart(system: &mut System, report: &mut Report) -> anyhow::Result<()> {
    let Some(started) = system.restart(End::Asked).await? else { return Ok(()) };
    let took = started + system.execute(&format!("SELECT {} FROM {}", VIEWS[0].total, VIEWS[0].name)).await?;
    record(report, system.kind, "start of the server to the first exact read", took);
    Ok(())
}

async fn load(system: &mut System, file: &Path, settle: Settle) -> anyhow::Result<Duration> {
    let took = system.load(file, settle).await?;
    eprintln!("  COPY {:.3} s", took.as_secs_f64());
    Ok(took)
}

fn record(report: &mut Report, kind: Kind, name: &str, took: Duration) {
    report.record(kind, name, Unit::Seconds, took.as_secs_f64());
}

async fn refresh_all(system: &mut System) -> anyhow::Result<Duration> {
    let all: Vec<&View> = VIEWS.iter().collect();
    refresh(system, &all).await
}

async fn refresh(system: &mut System, views: &[&View]) -> anyhow::Result<Duration> {
    let kind = system.kind;
    let mut took = Duration::ZERO;
    for statement in views.iter().filter_map(|view| definitions::refresh(kind, view)) {
        took += system.execute(&statement).await?;
    }
    Ok(took)
}

/// Every view against its own query, and against the same view of the system that came first.
async fn compare(
    system: &mut System,
    reference: &mut Option<(Kind, Vec<Vec<String>>)>,
    report: &mut Report,
) -> anyhow::Result<()> {
    refresh_all(system).await?;
    let mut contents = Vec::new();
    for view in &VIEWS {
        let kept =
            system.query(&format!("SELECT * FROM {}", view.name)).await.map(|answer| Answer::canonical(&answer))?;
        if matches!(system.kind, Kind::Meridian | Kind::PostgreSql) {
            let computed = system.query(view.query).await.context("compute a view's query")?.canonical();
            if let Some(difference) = answer::difference(&kept, &computed) {
                report.problem(format!("{}: {} is not its query: {difference}", system.kind.name(), view.name));
            }
        }
        contents.push(kept);
    }
    // A product's category stays what it was there.
    let comparable = |view: &View| !matches!(view.name, "category_segments" | "all_products");
    match reference {
        None => *reference = Some((system.kind, contents)),
        Some((first, expected)) => {
            let all_changed = system.kind != Kind::ClickHouse && *first != Kind::ClickHouse;
            let pairs = VIEWS.iter().zip(expected.iter().zip(&contents));
            for (view, (expected, found)) in pairs.filter(|(view, _)| all_changed || comparable(view)) {
                if let Some(difference) = answer::difference(expected, found) {
                    let (first, second) = (first.name(), system.kind.name());
                    report.problem(format!("{}: {first} and {second} differ: {difference}", view.name));
                }
            }
        }
    }
    Ok(())
}
