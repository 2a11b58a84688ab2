//! A client of the crash test: it writes transaction after transaction and remembers which were acknowledged.

use super::ledger::{Change, Entry};
use crate::session::{Failure, Session};
use anyhow::{Context, Result};
use rand::Rng;
use rand::rngs::StdRng;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Markers of one writer differ from another's by this factor.
const MARKERS_PER_WRITER: i64 = 1_000_000_000;
const REGIONS: &[&str] = &["EMEA", "APAC", "AMER"];

/// What a writer knows at the end of its work.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub acknowledged: Vec<Change>,
    /// The transaction whose answer never came.
    pub unknown: Option<Change>,
}

/// One writer, across restarts.
pub(crate) struct Writer {
    number: usize,
    random: StdRng,
    next_marker: i64,
    /// The markers of this writer that have rows, to delete some later.
    alive: Vec<(i64, Entry)>,
    report: Report,
}

/// The statements of one transaction and what they amount to.
struct Plan {
    statements: Vec<Work>,
    change: Change,
}

enum Work {
    Sql(String),
    Copy(String),
}

impl Writer {
    pub(crate) fn new(number: usize, random: StdRng) -> Self {
        let next_marker = number as i64 * MARKERS_PER_WRITER + 1;
        Self { number, random, next_marker, alive: Vec::new(), report: Report::default() }
    }

    /// Works until the server is gone. Any error before the kill is a finding.
    pub(crate) async fn work(mut self, address: SocketAddr, killed: Arc<AtomicBool>) -> Result<Self> {
        let over = |failure: &Failure| failure.is_connection_loss() && killed.load(Ordering::SeqCst);
        let session = match Session::connect(address).await {
            Ok(session) => session,
            Err(_) if killed.load(Ordering::SeqCst) => return Ok(self),
            Err(error) => return Err(error),
        };
        loop {
            let plan = self.plan();
            match run(&session, &plan).await {
                Ok(()) => {
                    self.settle(&plan.change, true);
                    self.report.acknowledged.push(plan.change);
                }
                Err(failure) if over(&failure) => {
                    self.report.unknown = Some(plan.change);
                    return Ok(self);
                }
                Err(failure) => {
                    return Err(failure).with_context(|| format!("writer {}: {}", self.number, plan.change.what));
                }
            }
        }
    }

    pub(crate) fn take_report(&mut self) -> Report {
        std::mem::take(&mut self.report)
    }

    /// Takes note of a change that is known to be kept, or not.
    pub(crate) fn settle(&mut self, change: &Change, kept: bool) {
        if !kept {
            return;
        }
        for (marker, entry) in &change.after {
            self.alive.retain(|(alive, _)| alive != marker);
            if *entry != Entry::default() {
                self.alive.push((*marker, *entry));
            }
        }
    }

    /// Forgets all markers, as the tables were emptied.
    pub(crate) fn forget(&mut self) {
        self.alive.clear();
    }

    fn plan(&mut self) -> Plan {
        match self.random.random_range(0..10) {
            0..3 => self.copy(),
            3..5 => self.single_insert(),
            5..7 => self.sale(),
            7 => self.delete(),
            8 => self.replace(),
            _ => self.rolled_back(),
        }
    }

    fn copy(&mut self) -> Plan {
        let rows = self.random.random_range(50..2_500);
        let (marker, entry, data) = self.lines(rows, '\t', |text| text.to_string());
        Plan { statements: vec![Work::Copy(data)], change: Change { what: "copy", after: vec![(marker, entry)] } }
    }

    fn single_insert(&mut self) -> Plan {
        let (marker, entry, insert) = self.insert(1);
        Plan { statements: vec![Work::Sql(insert)], change: Change { what: "insert", after: vec![(marker, entry)] } }
    }

    /// Rows in both tables, by one or two statements and sometimes a COPY.
    fn sale(&mut self) -> Plan {
        let rows = self.random.random_range(1..20);
        let (marker, mut entry, first) = if self.random.random_bool(0.3) {
            let (marker, entry, data) = self.lines(rows * 10, '\t', |text| text.to_string());
            (marker, entry, Work::Copy(data))
        } else {
            let (marker, entry, insert) = self.insert(rows);
            (marker, entry, Work::Sql(insert))
        };
        let receipt = self.receipt(marker, &mut entry);
        let mut statements = vec![Work::Sql("BEGIN".into()), first, Work::Sql(receipt), Work::Sql("COMMIT".into())];
        if self.random.random_bool(0.5) {
            statements.swap(1, 2);
        }
        Plan { statements, change: Change { what: "sale", after: vec![(marker, entry)] } }
    }

    fn delete(&mut self) -> Plan {
        let Some((marker, entry)) = self.some_marker() else { return self.single_insert() };
        let mut statements = vec![Work::Sql(format!("DELETE FROM ledger WHERE marker = {marker}"))];
        if entry.receipts > 0 {
            statements.insert(0, Work::Sql("BEGIN".into()));
            statements.push(Work::Sql(format!("DELETE FROM receipts WHERE marker = {marker}")));
            statements.push(Work::Sql("COMMIT".into()));
        }
        Plan { statements, change: Change { what: "delete", after: vec![(marker, Entry::default())] } }
    }

    /// Deletes one marker and writes another in its place.
    fn replace(&mut self) -> Plan {
        let Some((old, _)) = self.some_marker() else { return self.sale() };
        let (marker, mut entry, insert) = self.insert(3);
        let receipt = self.receipt(marker, &mut entry);
        let statements = [
            "BEGIN".to_string(),
            format!("DELETE FROM ledger WHERE marker = {old}"),
            insert,
            format!("DELETE FROM receipts WHERE marker = {old}"),
            receipt,
            "COMMIT".to_string(),
        ];
        Plan {
            statements: statements.into_iter().map(Work::Sql).collect(),
            change: Change { what: "replacement", after: vec![(old, Entry::default()), (marker, entry)] },
        }
    }

    fn rolled_back(&mut self) -> Plan {
        let (marker, _, data) = self.lines(200, '\t', |text| text.to_string());
        let statements = vec![Work::Sql("BEGIN".into()), Work::Copy(data), Work::Sql("ROLLBACK".into())];
        Plan { statements, change: Change { what: "rollback", after: vec![(marker, Entry::default())] } }
    }

    fn some_marker(&mut self) -> Option<(i64, Entry)> {
        if self.alive.is_empty() {
            return None;
        }
        let index = self.random.random_range(0..self.alive.len());
        Some(self.alive[index])
    }

    fn insert(&mut self, rows: u64) -> (i64, Entry, String) {
        let (marker, entry, lines) = self.lines(rows, ',', |text| format!("'{text}'"));
        let values: Vec<String> = lines.lines().map(|line| format!("({line})")).collect();
        (marker, entry, format!("INSERT INTO ledger VALUES {}", values.join(", ")))
    }

    fn receipt(&self, marker: i64, entry: &mut Entry) -> String {
        (entry.receipts, entry.receipt_lines, entry.receipt_cents) = (1, entry.lines, entry.total_cents);
        let (lines, total) = (entry.lines, decimal(entry.total_cents));
        format!("INSERT INTO receipts VALUES ({}, {marker}, {lines}, {total})", self.number)
    }

    /// Rows under a new marker, one in a line, with their sum.
    fn lines(&mut self, rows: u64, separator: char, quoted: impl Fn(&str) -> String) -> (i64, Entry, String) {
        let marker = self.next_marker;
        self.next_marker += 1;
        let mut text = String::new();
        let mut total_cents = 0;
        for line in 1..=rows {
            let cents = self.random.random_range(1..10_001);
            total_cents += cents;
            let region = quoted(REGIONS[self.random.random_range(0..REGIONS.len())]);
            let day =
                quoted(&format!("2025-{:02}-{:02}", self.random.random_range(1..5), self.random.random_range(1..29)));
            let fields = [self.number.to_string(), marker.to_string(), line.to_string(), region, day, decimal(cents)];
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", fields.join(&separator.to_string()));
        }
        (marker, Entry { lines: rows, total_cents, ..Entry::default() }, text)
    }
}

async fn run(session: &Session, plan: &Plan) -> Result<(), Failure> {
    for work in &plan.statements {
        match work {
            Work::Sql(sql) => {
                session.run(sql).await?;
            }
            Work::Copy(data) => {
                session.copy_in("COPY ledger FROM STDIN", data.as_bytes()).await?;
            }
        }
    }
    Ok(())
}

fn decimal(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
