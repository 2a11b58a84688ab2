//! What was measured, as a table for people and as JSON for programs.
//!
//! A measure has samples for each system. Shown are medians, and for each peer Meridian's median divided by the peer's.

use crate::system::{Kind, System};
use crate::{Options, machine};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    RowsPerSecond,
    BytesPerSecond,
    Count,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::RowsPerSecond => "rows per second",
            Self::BytesPerSecond => "bytes per second",
            Self::Count => "count",
        }
    }

    fn more_is_better(self) -> bool {
        matches!(self, Self::RowsPerSecond | Self::BytesPerSecond)
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 0.001 => format!("{:.0} µs", value * 1e6),
            Self::Seconds if value < 0.1 => format!("{:.2} ms", value * 1e3),
            Self::Seconds if value < 1.0 => format!("{:.0} ms", value * 1e3),
            Self::Seconds => format!("{value:.2} s"),
            Self::Bytes => format!("{:.1} MB", value / 1e6),
            Self::RowsPerSecond => format!("{} rows/s", with_commas(value as u64)),
            Self::BytesPerSecond => format!("{:.1} MB/s", value / 1e6),
            Self::Count => with_commas(value as u64),
        }
    }
}

struct Measure {
    name: String,
    unit: Unit,
    samples: Vec<(Kind, Vec<f64>)>,
}

impl Measure {
    fn median(&self, kind: Kind) -> Option<f64> {
        let (_, samples) = self.samples.iter().find(|(owner, _)| *owner == kind)?;
        median(samples)
    }

    /// Meridian's median divided by the peer's.
    fn ratio(&self, peer: Kind) -> Option<f64> {
        Some(self.median(Kind::Meridian)? / self.median(peer)?)
    }
}

pub(crate) struct Report {
    workload: &'static str,
    options: Options,
    systems: Vec<(Kind, String)>,
    measures: Vec<Measure>,
    problems: Vec<String>,
}

impl Report {
    pub(crate) fn new(workload: &'static str, options: &Options) -> Self {
        Self { workload, options: options.clone(), systems: Vec::new(), measures: Vec::new(), problems: Vec::new() }
    }

    /// A system takes part.
    pub(crate) fn introduce(&mut self, system: &System) {
        if !self.systems.iter().any(|(kind, _)| *kind == system.kind) {
            self.systems.push((system.kind, system.version.clone()));
        }
    }

    pub(crate) fn record(&mut self, kind: Kind, name: &str, unit: Unit, value: f64) {
        let position = self.measures.iter().position(|measure| measure.name == name).unwrap_or_else(|| {
            self.measures.push(Measure { name: name.to_owned(), unit, samples: Vec::new() });
            self.measures.len() - 1
        });
        let samples = &mut self.measures[position].samples;
        match samples.iter_mut().find(|(owner, _)| *owner == kind) {
            Some((_, values)) => values.push(value),
            None => samples.push((kind, vec![value])),
        }
    }

    /// A failure, or an answer that is not the others'. The run goes on and ends with an exit status of 1.
    pub(crate) fn problem(&mut self, text: String) {
        eprintln!("  ! {text}");
        self.problems.push(text);
    }

    pub(crate) fn answers_agree(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn to_json(&self) -> Value {
        let measures = self.measures.iter().map(|measure| {
            let systems = measure.samples.iter().map(|(kind, samples)| {
                let entry = json!({
                    "median": median(samples),
                    "samples": samples,
                    "meridian_divided_by_this": self.peers().find(|peer| peer == kind).and_then(|peer| measure.ratio(peer)),
                });
                (kind.name().to_owned(), entry)
            });
            json!({
                "name": measure.name,
                "unit": measure.unit.name(),
                "more_is_better": measure.unit.more_is_better(),
                "systems": systems.collect::<serde_json::Map<_, _>>(),
            })
        });
        json!({
            "workload": self.workload,
            "rows": self.options.rows,
            "rounds": self.options.rounds,
            "order": if self.options.shuffle { "random" } else { "by date" },
            "machine": machine::describe(),
            "systems": self.systems.iter().map(|(kind, version)| (kind.name().to_owned(), json!(version)))
                .collect::<serde_json::Map<_, _>>(),
            "measures": measures.collect::<Vec<_>>(),
            "problems": self.problems,
        })
    }

    fn peers(&self) -> impl Iterator<Item = Kind> {
        self.options.kinds().into_iter().filter(|kind| *kind != Kind::Meridian)
    }

    fn table(&self) -> Vec<Vec<String>> {
        let kinds: Vec<Kind> = self
            .options
            .kinds()
            .into_iter()
            .filter(|kind| self.systems.iter().any(|(known, _)| known == kind))
            .collect();
        let title = |kind: &Kind| {
            let version = self.systems.iter().find(|(known, _)| known == kind).map_or("", |(_, version)| version);
            format!("{} {version}", kind.name())
        };
        let heading = std::iter::once(self.workload.to_owned()).chain(kinds.iter().map(title)).collect();
        let lines = self.measures.iter().map(|measure| {
            let cell = |kind: &Kind| {
                let Some(value) = measure.median(*kind) else {
                    return "–".to_owned();
                };
                let ratio = if *kind == Kind::Meridian { None } else { measure.ratio(*kind) };
                let ratio = ratio.map(|ratio| format!("  ({ratio:.2}×)")).unwrap_or_default();
                measure.unit.show(value) + &ratio
            };
            std::iter::once(measure.name.clone()).chain(kinds.iter().map(cell)).collect()
        });
        std::iter::once(heading).chain(lines).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { rows, rounds, shuffle, .. } = &self.options;
        let order = if *shuffle { "random order" } else { "order of date" };
        let (plural, cores) = (if *rounds == 1 { "" } else { "s" }, machine::cores());
        writeln!(f, "\n{} sales in {order}, {rounds} round{plural}, {cores} cores, medians\n", with_commas(*rows))?;
        let table = self.table();
        let columns = table.first().map_or(0, Vec::len);
        let width = |column: usize| table.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in &table {
            write!(f, "{:<1$}", line[0], widths[0])?;
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                write!(f, "   {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        if self.peers().next().is_some() && !self.options.peers_only {
            writeln!(
                f,
                "\n(n×) is Meridian's figure divided by the peer's: less than 1 is better for times and sizes, more for rates."
            )?;
        }
        for problem in &self.problems {
            writeln!(f, "PROBLEM: {problem}")?;
        }
        Ok(())
    }
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The time that so many percent of all are not above.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).map_or(f64::NAN, Duration::as_secs_f64)
}

pub(crate) fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
