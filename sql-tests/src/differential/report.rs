//! What a run found: each difference once, by its signature, with its smallest statement and both answers.

use super::client::Outcome;
use super::comparison::Kind;
use super::runner::Tally;
use super::shrink::Shrunk;
use super::tree::{Role, Tree};
use crate::session::TextRow;
use std::collections::BTreeMap;
use std::fmt;

/// Rows and characters of an answer that are printed.
const ROWS_SHOWN: usize = 12;
const ANSWER_CHARS_SHOWN: usize = 900;

/// A difference that POSTGRES.md does not list.
#[derive(Clone, Debug)]
pub struct Difference {
    pub(crate) kind: Kind,
    /// The operator, function or clauses with the types of their operands.
    pub signature: String,
    /// How many of the statements that were shrunk came down to it.
    pub count: usize,
    pub zone: &'static str,
    pub sql: String,
    pub meridian: String,
    pub postgres: String,
}

/// What a run found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub statements: usize,
    pub equal: usize,
    pub both_failed: usize,
    pub refused: BTreeMap<String, usize>,
    pub listed: BTreeMap<&'static str, usize>,
    /// The worst first.
    pub differences: Vec<Difference>,
    /// Statements that differ and were not shrunk, because there were too many.
    pub unexamined: usize,
    /// Statements that differed once and not again: how, and what.
    pub gone: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn of(tally: &Tally) -> Self {
        Self {
            statements: tally.statements,
            equal: tally.equal,
            both_failed: tally.both_failed,
            refused: tally.refused.clone(),
            listed: tally.listed.clone(),
            ..Self::default()
        }
    }

    /// Adds a shrunk statement: to a rule, to a difference that is known, or as a new one.
    pub(crate) fn add(&mut self, shrunk: Shrunk) {
        if let Some(rule) = shrunk.listed {
            *self.listed.entry(rule).or_default() += 1;
            return;
        }
        let signature = signature(&shrunk);
        let known = self.differences.iter_mut().find(|known| known.kind == shrunk.kind && known.signature == signature);
        let (sql, ordered) = (shrunk.statement.sql(), shrunk.statement.ordered);
        match known {
            Some(known) => {
                known.count += 1;
                if sql.len() < known.sql.len() {
                    known.sql = sql;
                    known.zone = shrunk.statement.zone;
                    known.meridian = answer(&shrunk.comparison.meridian, ordered);
                    known.postgres = answer(&shrunk.comparison.postgres, ordered);
                }
            }
            None => self.differences.push(Difference {
                kind: shrunk.kind,
                signature,
                count: 1,
                zone: shrunk.statement.zone,
                sql,
                meridian: answer(&shrunk.comparison.meridian, ordered),
                postgres: answer(&shrunk.comparison.postgres, ordered),
            }),
        }
    }

    /// Whether there is no difference that POSTGRES.md does not list, not even once.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty() && self.unexamined == 0 && self.gone.is_empty()
    }

    /// Puts the worst first.
    pub(crate) fn sort(&mut self) {
        self.differences.sort_by(|one, other| {
            (&one.kind, &one.signature, &one.sql).cmp(&(&other.kind, &other.signature, &other.sql))
        });
    }

    /// One line of what was run.
    pub fn summary(&self) -> String {
        let refused: usize = self.refused.values().sum();
        let listed: usize = self.listed.values().sum();
        let differing: usize = self.differences.iter().map(|difference| difference.count).sum();
        format!(
            "{} statements: {} equal, {} fail in both, {refused} refused, {listed} listed differences, {differing} \
             differing in {} ways, {} more not examined, {} gone",
            self.statements,
            self.equal,
            self.both_failed,
            self.differences.len(),
            self.unexamined,
            self.gone.len()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        for (kind, sql) in &self.gone {
            writeln!(f, "--- differed once and not again: {kind}\n{sql};\n")?;
        }
        if !self.refused.is_empty() {
            writeln!(f, "refused by Meridian:")?;
        }
        let mut refused: Vec<_> = self.refused.iter().collect();
        refused.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (message, count) in refused {
            writeln!(f, "{count:6}  {message}")?;
        }
        if !self.listed.is_empty() {
            writeln!(f, "listed in POSTGRES.md:")?;
        }
        for (rule, count) in &self.listed {
            writeln!(f, "{count:6}  {rule}")?;
        }
        write!(f, "{}", self.summary())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "--- {} | {} | {} times | TimeZone {}", self.kind, self.signature, self.count, self.zone)?;
        writeln!(f, "{};", self.sql)?;
        writeln!(f, "  Meridian:   {}", self.meridian)?;
        writeln!(f, "  PostgreSQL: {}", self.postgres)
    }
}

/// What names a difference: the outermost productions of the items with the types below them, and the clauses.
fn signature(shrunk: &Shrunk) -> String {
    let statement = &shrunk.statement;
    let trees = [&statement.before].into_iter().chain(&statement.items).chain([&statement.after]);
    let parts: Vec<String> = trees.map(described).filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}

fn described(tree: &Tree) -> String {
    if tree.label.is_empty() {
        return tree.children().map(described).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    }
    let operands: Vec<&str> = tree
        .children()
        .filter(|child| matches!(child.role, Role::Value(_)))
        .map(|child| child.label.as_str())
        .collect();
    if operands.is_empty() { tree.label.clone() } else { format!("{} of {}", tree.label, operands.join(", ")) }
}

/// An answer in one line: columns with type and modifier, then rows, sorted where they have no order; or the error.
fn answer(outcome: &Outcome, ordered: bool) -> String {
    let text = match outcome {
        Outcome::Failure(failure) => format!("{failure}").replace('\n', " / "),
        Outcome::Rows { columns, rows } => {
            let modifier = |modifier: i32| if modifier < 0 { String::new() } else { format!(" {modifier}") };
            let columns: Vec<String> = columns
                .iter()
                .map(|column| format!("{}:{}{}", column.name, column.type_oid, modifier(column.type_modifier)))
                .collect();
            let value = |value: &Option<String>| value.as_ref().map_or("NULL".to_string(), |text| format!("{text:?}"));
            let mut rows: Vec<&TextRow> = rows.iter().collect();
            if !ordered {
                rows.sort();
            }
            let shown: Vec<String> = rows
                .iter()
                .take(ROWS_SHOWN)
                .map(|row| format!("({})", row.iter().map(value).collect::<Vec<_>>().join(", ")))
                .collect();
            format!("[{}] {} rows {}", columns.join(", "), rows.len(), shown.join(" "))
        }
    };
    text.chars().take(ANSWER_CHARS_SHOWN).collect()
}
