//! Restarts: a server that was killed with many segments and a long log, and how long it takes to its first answer.
//!
//! A table of small partitions gives the segments; rows of another one, which stay inline in the log, make the log almost as long as
//! it gets before a checkpoint would shorten it.

use crate::machine;
use crate::report::{Report, Unit};
use crate::system::{End, Kind, System, Workshop};
use anyhow::Context;

const ROWS_PER_SEGMENT: u64 = 20;
/// A checkpoint is due at 64 MiB of log.
const LOG_BYTES: u64 = 62 << 20;
/// One commit writes about so many rows of so many bytes.
const LOGGED_ROWS: u64 = 900;
const COMMITS_MAX: u64 = 1_000;
const RESTARTS: usize = 3;

pub(crate) async fn measure(workshop: &Workshop, segments: u64, report: &mut Report) -> anyhow::Result<()> {
    let mut system = workshop.start(Kind::Meridian).await?;
    report.introduce(&system);
    if system.data_dir().is_none() {
        eprintln!("  no restart of a server that this run did not start");
        return Ok(());
    }
    fill_segments(&mut system, segments).await?;
    make_texts(&mut system).await?;
    let first_query = format!("SELECT count(*), sum(amount) FROM shops WHERE shop = {}", segments / 2);
    let everything = "SELECT count(*), sum(amount), (SELECT count(*) FROM notes) FROM shops";
    for _ in 0..RESTARTS {
        // A start brings the index up to the log, and leaves nothing for the next one.
        system.execute("CHECKPOINT").await?;
        let log_bytes = fill_log(&mut system).await?;
        report.record(Kind::Meridian, "  log behind the checkpoint", Unit::Bytes, log_bytes as f64);
        let expected = [system.query(&first_query).await?.canonical(), system.query(everything).await?.canonical()];
        let Some(started) = system.restart(End::Killed).await? else { return Ok(()) };
        let first = system.query(&first_query).await?;
        let took = (started + first.took).as_secs_f64();
        eprintln!("  first answer after a kill {took:.3} s");
        report.record(Kind::Meridian, "first answer after a kill", Unit::Seconds, took);
        if expected != [first.canonical(), system.query(everything).await?.canonical()] {
            report.problem("the rows after a kill are not those before it".to_owned());
        }
    }
    let found = system.query("SELECT sum(segments) FROM meridian.tables").await?;
    let found = found.single().and_then(|count| count.parse().ok()).context("count the segments")?;
    report.record(Kind::Meridian, "  segments", Unit::Count, found);
    Ok(())
}

/// As many partitions as segments are wanted, each loaded once.
async fn fill_segments(system: &mut System, segments: u64) -> anyhow::Result<()> {
    system.execute("CREATE TABLE shops (shop integer, amount bigint) PARTITION BY (shop)").await?;
    let rows = segments * ROWS_PER_SEGMENT;
    let insert = format!("INSERT INTO shops SELECT n % {segments}, n FROM generate_series(1, {rows}) AS numbers (n)");
    let mut took = system.execute(&insert).await?;
    // What stayed inline goes into segments, and the log is empty.
    took += system.execute("CHECKPOINT").await?;
    eprintln!("  {segments} partitions in {:.1} s", took.as_secs_f64());
    Ok(())
}

/// What the log is filled with.
async fn make_texts(system: &mut System) -> anyhow::Result<()> {
    system.execute("CREATE TABLE notes (id bigint, note text)").await?;
    // Digests do not compress.
    let note = "(SELECT string_agg(md5((id * 100 + part)::text), '') FROM generate_series(1, 25) AS parts (part))";
    system
        .execute(&format!(
            "CREATE TABLE texts AS SELECT id, {note} AS note FROM generate_series(1, {LOGGED_ROWS}) AS ids (id)"
        ))
        .await?;
    Ok(())
}

/// How much longer the log became, in bytes.
async fn fill_log(system: &mut System) -> anyhow::Result<u64> {
    let before = logged(system)?;
    for number in 0..COMMITS_MAX {
        let grown = logged(system)?.saturating_sub(before);
        if grown >= LOG_BYTES {
            return Ok(grown);
        }
        system.execute(&format!("INSERT INTO notes SELECT id + {}, note FROM texts", number * LOGGED_ROWS)).await?;
    }
    anyhow::bail!("{COMMITS_MAX} commits do not fill the log");
}

/// Bytes of the log's files.
fn logged(system: &mut System) -> anyhow::Result<u64> {
    let data_dir = system.data_dir().context("the server was not started here")?;
    machine::disk_bytes(&data_dir.join("log"))
}
