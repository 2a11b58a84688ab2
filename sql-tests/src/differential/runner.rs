//! Runs chunks on both servers and keeps the statements whose answers differ.
//!
//! PostgreSQL, which is quick, is asked for each expression alone. Those that it can compute are asked of Meridian
//! together, in one select list; only where that list fails or differs, and where PostgreSQL fails, is Meridian asked
//! for an expression alone. An expression that fails over a whole table is asked for over one of its rows. Statements
//! are sent ahead of the answers to those before them.

use super::client::Outcome;
use super::comparison::{Kind, Verdict, compare};
use super::servers::Servers;
use super::statement::{Scope, Statement};
use super::workload::{Chunk, Group};
use crate::wire::ColumnDescription;
use anyhow::Result;
use std::collections::BTreeMap;

/// What running some chunks gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub statements: usize,
    pub equal: usize,
    pub both_failed: usize,
    pub refused: BTreeMap<String, usize>,
    pub listed: BTreeMap<&'static str, usize>,
    /// The statements whose answers differ, before they are shrunk.
    pub candidates: Vec<(Kind, Statement)>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.statements += other.statements;
        self.equal += other.equal;
        self.both_failed += other.both_failed;
        for (message, count) in other.refused {
            *self.refused.entry(message).or_default() += count;
        }
        for (rule, count) in other.listed {
            *self.listed.entry(rule).or_default() += count;
        }
        self.candidates.extend(other.candidates);
    }

    /// Counts a statement's verdict and keeps it where it differs.
    fn count(&mut self, statement: &Statement, verdict: Verdict) {
        self.statements += 1;
        match verdict {
            Verdict::Equal => self.equal += 1,
            Verdict::BothFail => self.both_failed += 1,
            Verdict::Refused(message) => *self.refused.entry(message).or_default() += 1,
            Verdict::Listed(rule) => *self.listed.entry(rule).or_default() += 1,
            Verdict::Different(kind) => self.candidates.push((kind, statement.clone())),
        }
    }
}

/// Runs a chunk.
pub(crate) async fn run_chunk(servers: &mut Servers, chunk: &Chunk) -> Result<Tally> {
    let mut tally = Tally::default();
    servers.set_zone(chunk.zone).await?;
    for group in &chunk.groups {
        run_group(servers, chunk.zone, group, &mut tally).await?;
    }
    compare_all(servers, &chunk.queries, &mut tally).await?;
    Ok(tally)
}

async fn compare_all(servers: &mut Servers, statements: &[Statement], tally: &mut Tally) -> Result<()> {
    for (statement, comparison) in statements.iter().zip(servers.compare_all(statements).await?) {
        tally.count(statement, comparison.verdict);
    }
    Ok(())
}

async fn run_group(servers: &mut Servers, zone: &'static str, group: &Group, tally: &mut Tally) -> Result<()> {
    let alone = |scope: &Scope| -> Vec<Statement> {
        let one = |tree: &super::tree::Tree| Statement::of_expressions(zone, vec![tree.clone()], scope.clone());
        group.expressions.iter().map(one).collect()
    };
    let statements = alone(&group.scope);
    let outcomes = ask_postgres(servers, &statements).await;
    let mut together = Vec::new();
    let mut failing = Vec::new();
    for (index, (statement, postgres)) in statements.into_iter().zip(outcomes).enumerate() {
        if !postgres.is_failure() {
            together.push((statement, postgres));
            continue;
        }
        let statement = match group.scope {
            // Which row fails first is not defined, so one of them is asked for.
            Scope::Table(table) => {
                let scope = Scope::Row(table, index % ROWS_OF_FAILURES + 1);
                Statement::of_expressions(zone, statement.items, scope)
            }
            _ => statement,
        };
        failing.push(statement);
    }
    compare_all(servers, &failing, tally).await?;
    compare_together(servers, zone, &group.scope, together, tally).await
}

/// Every table has at least so many rows.
const ROWS_OF_FAILURES: usize = 24;

async fn ask_postgres(servers: &mut Servers, statements: &[Statement]) -> Vec<Outcome> {
    let texts: Vec<String> = statements.iter().map(Statement::sql).collect();
    servers.postgres.ask_all(&texts).await
}

/// Asks Meridian for expressions in one select list; where that does not give what PostgreSQL gave, for each alone.
async fn compare_together(
    servers: &mut Servers,
    zone: &'static str,
    scope: &Scope,
    statements: Vec<(Statement, Outcome)>,
    tally: &mut Tally,
) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    let items = statements.iter().flat_map(|(statement, _)| statement.items.clone()).collect();
    let list = Statement::of_expressions(zone, items, scope.clone());
    let answer = servers.meridian.ask(&list.sql()).await;
    let columns = (0..statements.len()).map(|index| column(&answer, index)).collect::<Option<Vec<Outcome>>>();
    if let Some(columns) = columns {
        let verdicts: Vec<Verdict> = statements
            .iter()
            .zip(&columns)
            .map(|((statement, postgres), meridian)| compare(statement, meridian, postgres, None))
            .collect();
        if verdicts.iter().all(|verdict| !matches!(verdict, Verdict::Different(_))) {
            for ((statement, _), verdict) in statements.iter().zip(verdicts) {
                tally.count(statement, verdict);
            }
            return Ok(());
        }
    } else if answer.code().is_none() {
        // A lost connection: the list is judged as a whole, which connects again.
        let postgres = servers.postgres.ask(&list.sql()).await;
        servers.judge(&list, answer.clone(), postgres).await?;
    }
    let mut all_answered = true;
    let alone: Vec<Statement> = statements.into_iter().map(|(statement, _)| statement).collect();
    for (statement, comparison) in alone.iter().zip(servers.compare_all(&alone).await?) {
        all_answered &= matches!(comparison.verdict, Verdict::Equal | Verdict::Listed(_));
        tally.count(statement, comparison.verdict);
    }
    if all_answered {
        // Each alone is right and all together are not.
        let comparison = servers.compare(&list).await?;
        if let Verdict::Different(kind) = comparison.verdict {
            tally.candidates.push((kind, list));
        }
    }
    Ok(())
}

/// One column of an answer as an answer by itself.
fn column(outcome: &Outcome, index: usize) -> Option<Outcome> {
    let Outcome::Rows { columns, rows } = outcome else { return None };
    let column: &ColumnDescription = columns.get(index)?;
    let rows = rows.iter().map(|row| Some(vec![row.get(index)?.clone()])).collect::<Option<Vec<_>>>()?;
    Some(Outcome::Rows { columns: vec![column.clone()], rows })
}
