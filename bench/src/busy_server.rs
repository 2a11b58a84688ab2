//! A dashboard's query on an idle server and on a busy one: rows are loaded and segments rewritten, in the same table, meanwhile.
//!
//! What is loaded and rewritten lies in other regions than the dashboard's, so that its every answer must be the same.

use crate::data::Selection;
use crate::report::{Report, Unit, percentile};
use crate::system::{Kind, System, Workshop};
use crate::wire::Wire;
use anyhow::Context;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const DASHBOARD: &str = "SELECT sale_date, category, count(*) AS orders, sum(amount) AS revenue FROM sales \
    WHERE region = 'EMEA' AND sale_date >= DATE '2025-03-01' AND sale_date < DATE '2025-04-01' \
    GROUP BY sale_date, category ORDER BY sale_date, category";
const ELSEWHERE: &str = "region <> 'EMEA'";
/// Leaves enough dead rows in the segments of a year for all of them to be rewritten.
const MAKE_DEAD: &str = "DELETE FROM sales WHERE region <> 'EMEA' AND transaction_id % 3 = 0";
const DEAD_ROWS: &str = "SELECT coalesce(sum(dead_rows), 0) FROM meridian.tables WHERE name = 'sales'";
const IDLE_RUNS: usize = 300;
const WARMING_UP: usize = 20;
/// The load comes in so many files, one after the other; together they have half of the table's rows.
const LOADS: u64 = 4;
/// How long the first rewritten segment may take.
const COMPACTION_AWAITED_MAX: Duration = Duration::from_secs(60);

pub(crate) async fn measure(workshop: &Workshop, system: &mut System, report: &mut Report) -> anyhow::Result<()> {
    let rows = workshop.options.rows / 2 / LOADS;
    let file = |number| {
        let first_id = workshop.options.rows + 1 + number * rows;
        workshop.files.csv(Selection { rows, seed: 50 + number, first_id, shuffle: false })
    };
    let files = (0..LOADS).map(file).collect::<anyhow::Result<Vec<_>>>()?;
    system.execute("CHECKPOINT").await?;
    let wire = system.wire().context("Meridian is reached by the wire")?;
    wire.compute_each_answer().await?;
    let expected = wire.query(DASHBOARD).await?.canonical();
    for _ in 0..WARMING_UP {
        wire.query(DASHBOARD).await?;
    }
    let mut idle = Vec::with_capacity(IDLE_RUNS);
    for _ in 0..IDLE_RUNS {
        idle.push(ask(wire, &expected, report).await?);
    }
    wire.query(MAKE_DEAD).await?;
    let dead_before = dead_rows(wire).await?;
    let load = tokio::spawn(load(wire.another().await?, files));
    let (mut busy, mut behind) = (Vec::new(), Vec::new());
    while !load.is_finished() {
        busy.push(ask(wire, &expected, report).await?);
    }
    let loaded = load.await.context("the load stopped")??;
    // Compaction makes way for loads, and goes on behind them.
    let (mut rewritten, started) = (0, Instant::now());
    while rewritten == 0 && started.elapsed() < COMPACTION_AWAITED_MAX {
        behind.push(ask(wire, &expected, report).await?);
        rewritten = dead_before.saturating_sub(dead_rows(wire).await?);
    }
    if rewritten == 0 {
        report.problem("no segment was rewritten while the dashboard was asked".to_owned());
    }
    let (at_rest, meanwhile, later) = (percentile(&idle, 95), percentile(&busy, 95), percentile(&behind, 95));
    let in_ms = [at_rest, meanwhile, later].map(|seconds| seconds * 1e3);
    eprintln!("  dashboard, p95 {:.2} ms, during COPY {:.2} ms, behind it {:.2} ms", in_ms[0], in_ms[1], in_ms[2]);
    let mut record = |name, unit, value| report.record(Kind::Meridian, name, unit, value);
    record("dashboard, idle, p95", Unit::Seconds, at_rest);
    record("dashboard, during COPY, p95", Unit::Seconds, meanwhile);
    record("  queries", Unit::Count, busy.len() as f64);
    record("dashboard, behind COPY until a segment was rewritten, p95", Unit::Seconds, later);
    record("  queries behind COPY", Unit::Count, behind.len() as f64);
    record("  COPY of files with half as many rows, without EMEA's", Unit::Seconds, loaded.as_secs_f64());
    record("  dead rows that went", Unit::Count, rewritten as f64);
    Ok(())
}

async fn ask(wire: &mut Wire, expected: &[String], report: &mut Report) -> anyhow::Result<Duration> {
    let answer = wire.query(DASHBOARD).await?;
    if answer.canonical() != expected {
        report.problem("the dashboard shows other rows than before".to_owned());
    }
    Ok(answer.took)
}

async fn load(mut wire: Wire, files: Vec<PathBuf>) -> anyhow::Result<Duration> {
    let mut took = Duration::ZERO;
    for file in files {
        took += wire.copy_where(&file, ELSEWHERE).await?;
    }
    Ok(took)
}

async fn dead_rows(wire: &mut Wire) -> anyhow::Result<u64> {
    let answer = wire.query(DEAD_ROWS).await?;
    answer.single().and_then(|count| count.parse().ok()).context("count the dead rows")
}
