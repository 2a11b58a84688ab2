//! Lists and registers: transactions of a few reads and writes over a few keys that everybody wants.
//!
//! After Kingsbury and Alvaro, *Elle: Inferring Isolation Anomalies from Experimental Observations* (VLDB 2020). Keys are spread over
//! several tables, of which the last is partitioned, because SERIALIZABLE is checked by table and by partition.

use super::client::Client;
use super::{Journal, Outcome, Step};
use crate::session::{Session, TextRow};
use adya::{Opts, Valid, Workload, check};
use anyhow::{Context, Result};
use rand::Rng;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

/// The values of column `part`. Each has a table of its own but the last ones, which are partitions of one.
const PARTS: i64 = 5;
const TABLES: i64 = 3;
/// The keys that are in use at a time.
const KEYS_HOT: i64 = 3;
/// A key is put aside when it was drawn about so often.
const DRAWS_PER_KEY: i64 = 80;
const STEPS_MAX: usize = 4;
/// The share of transactions that are one statement without BEGIN.
const ALONE: f64 = 0.15;
/// The share of keys' writes that go through INSERT … ON CONFLICT, others try UPDATE first.
const UPSERTS: f64 = 0.5;

/// What keys stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lists,
    Registers,
}

/// What a history shows that its level forbids.
#[derive(Debug)]
pub struct Anomalies {
    pub types: Vec<String>,
    explained: String,
}

impl fmt::Display for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.types.join(", "), self.explained)
    }
}

/// Searches a history for what a model forbids. A search that comes to no end counts as a find.
pub fn anomalies(kind: Kind, journal: &Journal, model: &str) -> Option<Anomalies> {
    let workload = match kind {
        Kind::Lists => Workload::ListAppend,
        Kind::Registers => Workload::RwRegister,
    };
    let options = Opts { models: vec![model.to_string()], wfr_keys: true, ..Opts::default() };
    let report = check(&journal.history(), workload, &options);
    let alone = report.anomaly_types.iter().all(|found| found == "empty-transaction-graph");
    if report.valid == Valid::True || (report.valid == Valid::Unknown && alone) {
        return None;
    }
    let first = report.anomalies.values().filter_map(|found| found.first());
    let explained = first.map(|found| format!("{}: {}", found.kind, found.explanation)).collect::<Vec<_>>().join("\n");
    Some(Anomalies { types: report.anomaly_types, explained })
}

pub(super) fn set_up() -> Vec<String> {
    let tables = (0..TABLES).flat_map(|table| {
        let partitions = if table == TABLES - 1 { " PARTITION BY (part)" } else { "" };
        let create = |name: &str, value: &str| {
            let columns = format!("part bigint NOT NULL, k bigint PRIMARY KEY, v {value} NOT NULL");
            format!("CREATE TABLE {name}_{table} ({columns}){partitions}")
        };
        [
            format!("DROP TABLE IF EXISTS lists_{table}, registers_{table}"),
            create("lists", "text"),
            create("registers", "bigint"),
        ]
    });
    tables.collect()
}

fn part_of(key: i64) -> i64 {
    key % PARTS
}

fn table_named(name: &str, part: i64) -> String {
    format!("{name}_{}", part.min(TABLES - 1))
}

fn table_of(kind: Kind, key: i64) -> String {
    let name = if kind == Kind::Lists { "lists" } else { "registers" };
    table_named(name, part_of(key))
}

/// What was drawn so far, by all clients: keys go out of use together, and no value comes twice.
static DRAWN: AtomicI64 = AtomicI64::new(0);

fn draw(client: &mut Client, kind: Kind) -> Vec<Step> {
    let count = client.random.random_range(1..=STEPS_MAX);
    let steps = (0..count).map(|_| {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
        let key = drawn / DRAWS_PER_KEY + client.random.random_range(0..KEYS_HOT);
        match (kind, client.random.random_bool(0.5)) {
            (Kind::Lists, true) => Step::ReadList { key, values: None },
            (Kind::Lists, false) => Step::Append { key, value: drawn },
            (Kind::Registers, true) => Step::ReadRegister { key, value: None },
            (Kind::Registers, false) => Step::Write { key, value: drawn },
        }
    });
    steps.collect()
}

/// Runs transactions and notes them.
pub(super) async fn work(mut client: Client, kind: Kind, journal: Journal, transactions: u64) -> Result<()> {
    for _ in 0..transactions {
        client.connect().await?;
        let mut steps = draw(&mut client, kind);
        let alone = client.random.random_bool(ALONE);
        if alone {
            steps.truncate(1);
        }
        let process = client.process;
        journal.begin(process, &steps);
        let outcome =
            if alone { run_alone(&mut client, &mut steps).await? } else { run(&mut client, &mut steps).await? };
        journal.end(process, &steps, outcome);
    }
    Ok(())
}

async fn run_alone(client: &mut Client, steps: &mut [Step]) -> Result<Outcome> {
    let Some(step) = steps.first_mut() else { return Ok(Outcome::Committed) };
    if let Step::ReadList { .. } | Step::ReadRegister { .. } = step {
        return Ok(match client.ask(&statement(step, true)).await? {
            Ok(rows) => {
                note(step, &rows)?;
                Outcome::Committed
            }
            Err(outcome) => outcome,
        });
    }
    client.commit(&statement(step, true)).await
}

async fn run(client: &mut Client, steps: &mut [Step]) -> Result<Outcome> {
    let begin = format!("BEGIN ISOLATION LEVEL {}", client.level.sql());
    if let Err(outcome) = client.ask(&begin).await? {
        return Ok(outcome);
    }
    for step in steps.iter_mut() {
        if let Err(outcome) = take(client, step).await? {
            client.roll_back().await?;
            return Ok(outcome);
        }
    }
    client.commit("COMMIT").await
}

async fn take(client: &mut Client, step: &mut Step) -> Result<Result<(), Outcome>> {
    let reads = matches!(step, Step::ReadList { .. } | Step::ReadRegister { .. });
    let upserts = reads || client.random.random_bool(UPSERTS);
    match client.ask(&statement(step, upserts)).await? {
        Err(outcome) => Ok(Err(outcome)),
        Ok(rows) if reads => note(step, &rows).map(Ok),
        Ok(rows) if upserts || !rows.is_empty() => Ok(Ok(())),
        // There was no such row yet.
        Ok(_) => Ok(client.ask(&statement(step, true)).await?.map(drop)),
    }
}

fn statement(step: &Step, upserts: bool) -> String {
    let (kind, key) = match step {
        Step::Append { key, .. } | Step::ReadList { key, .. } => (Kind::Lists, *key),
        Step::Write { key, .. } | Step::ReadRegister { key, .. } => (Kind::Registers, *key),
    };
    let (table, part) = (table_of(kind, key), part_of(key));
    let chosen = format!("part = {part} AND k = {key}");
    match (step, upserts) {
        (Step::ReadList { .. } | Step::ReadRegister { .. }, _) => format!("SELECT v FROM {table} WHERE {chosen}"),
        (Step::Append { value, .. }, true) => format!(
            "INSERT INTO {table} VALUES ({part}, {key}, '{value}') \
             ON CONFLICT (k) DO UPDATE SET v = {table}.v || ' ' || excluded.v"
        ),
        (Step::Append { value, .. }, false) => {
            format!("UPDATE {table} SET v = v || ' {value}' WHERE {chosen} RETURNING 1")
        }
        (Step::Write { value, .. }, true) => {
            format!("INSERT INTO {table} VALUES ({part}, {key}, {value}) ON CONFLICT (k) DO UPDATE SET v = excluded.v")
        }
        (Step::Write { value, .. }, false) => format!("UPDATE {table} SET v = {value} WHERE {chosen} RETURNING 1"),
    }
}

/// Puts what was read into a step.
fn note(step: &mut Step, rows: &[TextRow]) -> Result<()> {
    let text = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
    match step {
        Step::ReadList { values, .. } => {
            let read = text.unwrap_or_default().split_whitespace().map(str::parse);
            *values = Some(read.collect::<Result<_, _>>().context("a list of numbers was read")?);
        }
        Step::ReadRegister { value, .. } => *value = text.map(str::parse).transpose().context("a number was read")?,
        Step::Append { .. } | Step::Write { .. } => {}
    }
    Ok(())
}

/// Reads all keys in a transaction of its own, when nobody works any more.
pub(super) async fn read_all(session: &Session, kind: Kind, journal: &Journal) -> Result<()> {
    const PROCESS: i64 = -1;
    let mut steps = Vec::new();
    for table in 0..TABLES {
        for row in session.rows(&format!("SELECT k, v FROM {}", table_of(kind, table))).await? {
            let key = row.first().and_then(Option::as_deref).context("a key was read")?.parse()?;
            let mut step = match kind {
                Kind::Lists => Step::ReadList { key, values: None },
                Kind::Registers => Step::ReadRegister { key, value: None },
            };
            note(&mut step, &[row[1..].to_vec()])?;
            steps.push(step);
        }
    }
    journal.begin(PROCESS, &steps);
    journal.end(PROCESS, &steps, Outcome::Committed);
    Ok(())
}
