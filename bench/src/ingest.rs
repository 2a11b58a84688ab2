//! The ingest workload: one COPY of everything into an empty partitioned table, then rows that commit one by one.

use crate::data::Selection;
use crate::ingest_roads::Roads;
use crate::machine;
use crate::report::{Report, Unit, percentile};
use crate::system::{Settle, System, Workshop};
use std::path::Path;

const SINGLE_INSERTS: u64 = 1_000;
const CONCURRENT_CLIENTS: usize = 16;
const CONCURRENT_INSERTS: u64 = 4_000;

pub(crate) async fn run(workshop: &Workshop, report: &mut Report) -> anyhow::Result<()> {
    let options = &workshop.options;
    let all = Selection { rows: options.rows, seed: 1, first_id: 1, shuffle: options.shuffle };
    let file = workshop.files.csv(all)?;
    let more =
        Selection { rows: SINGLE_INSERTS + CONCURRENT_INSERTS, seed: 2, first_id: options.rows + 1, shuffle: true };
    let rows = workshop.files.rows(more)?;
    let roads = Roads::prepare(workshop)?;
    let kinds = options.kinds();
    for round in 0..options.rounds {
        // Each round begins with another system.
        for position in 0..kinds.len() {
            let kind = kinds[(position + round as usize) % kinds.len()];
            eprintln!("round {} of {}: {}", round + 1, options.rounds, kind.name());
            let mut system = workshop.start(kind).await?;
            report.introduce(&system);
            system.create_table(&workshop.files).await?;
            load(&mut system, &file, options.rows, report).await?;
            insert(&mut system, &rows, options.rows, report).await?;
            roads.measure(&mut system, report).await?;
        }
    }
    Ok(())
}

async fn load(system: &mut System, file: &Path, rows: u64, report: &mut Report) -> anyhow::Result<()> {
    let kind = system.kind;
    let before = system.usage();
    if let Some(process_id) = system.process_id() {
        machine::forget_memory_peak(process_id);
    }
    let took = system.load(file, Settle::Checkpoint).await?;
    eprintln!("  COPY {:.2} s", took.as_secs_f64());
    let bytes = std::fs::metadata(file)?.len();
    report.record(kind, "COPY to the durable commit", Unit::Seconds, took.as_secs_f64());
    report.record(kind, "  rows", Unit::RowsPerSecond, rows as f64 / took.as_secs_f64());
    report.record(kind, "  csv", Unit::BytesPerSecond, bytes as f64 / took.as_secs_f64());
    if let (Some(before), Some(after)) = (before, system.usage()) {
        let processor_seconds = after.processor_seconds - before.processor_seconds;
        report.record(kind, "  processor time of the system", Unit::Seconds, processor_seconds);
        if let Some(peak) = after.memory_peak_bytes {
            report.record(kind, "  peak of memory", Unit::Bytes, peak as f64);
        }
    }
    if let Some(bytes) = system.disk_bytes().await? {
        report.record(kind, "  on disk", Unit::Bytes, bytes as f64);
    }
    check_count(system, rows, report).await
}

async fn insert(system: &mut System, rows: &[Vec<String>], loaded: u64, report: &mut Report) -> anyhow::Result<()> {
    let kind = system.kind;
    let (single, concurrent) = rows.split_at(SINGLE_INSERTS as usize);
    let inserts = system.insert(single, 1).await?;
    eprintln!("  {} INSERTs {:.2} s", single.len(), inserts.total.as_secs_f64());
    report.record(kind, "single-row INSERT, 1 client, p50", Unit::Seconds, percentile(&inserts.each, 50));
    report.record(kind, "single-row INSERT, 1 client, p99", Unit::Seconds, percentile(&inserts.each, 99));
    let rate = single.len() as f64 / inserts.total.as_secs_f64();
    report.record(kind, "single-row INSERTs, 1 client", Unit::RowsPerSecond, rate);
    let inserts = system.insert(concurrent, CONCURRENT_CLIENTS).await?;
    eprintln!("  {} INSERTs by {CONCURRENT_CLIENTS} clients {:.2} s", concurrent.len(), inserts.total.as_secs_f64());
    let rate = concurrent.len() as f64 / inserts.total.as_secs_f64();
    report.record(kind, "single-row INSERTs, 16 clients", Unit::RowsPerSecond, rate);
    report.record(kind, "single-row INSERT, 16 clients, p99", Unit::Seconds, percentile(&inserts.each, 99));
    check_count(system, loaded + rows.len() as u64, report).await
}

pub(crate) async fn check_count(system: &mut System, expected: u64, report: &mut Report) -> anyhow::Result<()> {
    let answer = system.query("SELECT count(*) FROM sales").await?;
    let found = answer.single().unwrap_or("nothing");
    if found != expected.to_string() {
        report.problem(format!("{} holds {found} rows instead of {expected}", system.kind.name()));
    }
    Ok(())
}
