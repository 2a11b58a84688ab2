//! Look-ups: one row by its primary key, hot, prepared and over the wire.

use crate::machine;
use crate::report::{Report, Unit, percentile};
use crate::system::{Kind, Settle, Workshop};
use anyhow::Context;
use std::path::Path;

const WARMING_UP: u64 = 200;
const LOOK_UPS: u64 = 2_000;
/// Keys are taken in steps of a prime, so that neighbours are far from each other.
const STEP: u64 = 1_000_003;

pub(crate) async fn measure(workshop: &Workshop, file: &Path, report: &mut Report) -> anyhow::Result<()> {
    let mut system = workshop.start(Kind::Meridian).await?;
    report.introduce(&system);
    system.create_table_as(&keyed(workshop.files.table_definition()?)?).await?;
    if let Some(process_id) = system.process_id() {
        machine::forget_memory_peak(process_id);
    }
    let took = system.load(file, Settle::Checkpoint).await?;
    eprintln!("  COPY with a primary key {:.2} s", took.as_secs_f64());
    report.record(Kind::Meridian, "COPY with a primary key", Unit::Seconds, took.as_secs_f64());
    if let Some(peak) = system.usage().and_then(|usage| usage.memory_peak_bytes) {
        eprintln!("  its peak of memory {} MB", peak / 1_000_000);
        report.record(Kind::Meridian, "  peak of memory", Unit::Bytes, peak as f64);
    }
    system.execute("CHECKPOINT").await?;
    let wire = system.wire().context("Meridian is reached by the wire")?;
    let sql = "SELECT * FROM sales WHERE transaction_id = $1";
    let rows = workshop.options.rows;
    wire.look_up(sql, &keys(rows, 0..WARMING_UP)?).await?;
    let each = wire.look_up(sql, &keys(rows, WARMING_UP..WARMING_UP + LOOK_UPS)?).await?;
    for percent in [50, 99] {
        let name = format!("look-up by primary key, p{percent}");
        eprintln!("  {name} {:.2} ms", percentile(&each, percent) * 1e3);
        report.record(Kind::Meridian, &name, Unit::Seconds, percentile(&each, percent));
    }
    Ok(())
}

/// The definition with a primary key.
fn keyed(definition: &str) -> anyhow::Result<String> {
    let (columns, rest) = definition.split_once("\n) PARTITION BY").context("the table's columns do not end")?;
    Ok(format!("{columns},\n  PRIMARY KEY (transaction_id)\n) PARTITION BY{rest}"))
}

fn keys(rows: u64, numbers: std::ops::Range<u64>) -> anyhow::Result<Vec<i64>> {
    let keys = numbers.map(|number| i64::try_from(number * STEP % rows + 1));
    keys.collect::<Result<_, _>>().context("a key beyond a bigint")
}
