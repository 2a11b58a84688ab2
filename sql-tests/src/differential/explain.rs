//! Looks for the listed difference behind what is left of a statement.
//!
//! Both servers are asked for the statement's parts, by which `listed` judges. Where there is a cube root, PostgreSQL is
//! asked for the statement with Meridian's roots in the place of its own.

use super::client::Outcome;
use super::comparison::{Kind, Verdict, compare};
use super::listed::{self, Traits};
use super::servers::Servers;
use super::shrink::Shrunk;
use super::slots::names_summer_time;
use super::statement::{Scope, Statement};
use super::tree::{Mark, Role, Tree, is_cube_root};
use super::values::Type;
use super::workload::has_summer_time;
use anyhow::Result;

/// The listed difference behind the answers to a shrunk statement.
pub(crate) async fn explain(servers: &mut Servers, shrunk: &Shrunk) -> Result<Option<&'static str>> {
    if is_of_cube_roots(servers, shrunk).await? {
        return Ok(Some(listed::rule_of(Mark::CubeRoot)));
    }
    let (mut postgres, mut meridian) = ask_parts(servers, &shrunk.kind, &shrunk.statement).await?;
    postgres.push(shrunk.comparison.postgres.clone());
    meridian.push(shrunk.comparison.meridian.clone());
    Ok(listed::explanation(&shrunk.kind, &postgres, &meridian, traits_of(&shrunk.statement)))
}

/// The listed difference behind answers that differ no more: only which of several errors is told may change from one
/// time to the next.
pub(crate) async fn explain_gone(
    servers: &mut Servers,
    kind: &Kind,
    statement: &Statement,
) -> Result<Option<&'static str>> {
    if !matches!(kind, Kind::Code { .. }) {
        return Ok(None);
    }
    let (postgres, meridian) = ask_parts(servers, kind, statement).await?;
    Ok(listed::explanation_of_errors(kind, &postgres, &meridian))
}

/// What PostgreSQL and Meridian say of each part of a statement by itself.
async fn ask_parts(servers: &mut Servers, kind: &Kind, statement: &Statement) -> Result<(Vec<Outcome>, Vec<Outcome>)> {
    let values = statement.all().into_iter().filter(|(_, _, tree)| matches!(tree.role, Role::Value(_)));
    let values: Vec<String> = values.map(|(_, _, tree)| tree.text()).collect();
    let mut scopes = vec![statement.scope.clauses()];
    if kind.is_of_errors() {
        // Either server may come to another row first.
        scopes.extend(statement.scope.single_rows());
    }
    let sql = statement.sql();
    if is_set_operation(&sql) {
        let tables = ["far", "near", "plain"].into_iter().filter(|table| sql.contains(&format!(" FROM {table}")));
        scopes.extend(tables.map(|table| Scope::Table(table).clauses()));
    }
    let texts = scopes.iter().flat_map(|scope| values.iter().map(move |value| format!("SELECT {value}{scope}")));
    let texts: Vec<String> = texts.collect();
    servers.set_zone(statement.zone).await?;
    let meridian = servers.meridian.ask_all(&texts).await;
    Ok((servers.postgres.ask_all(&texts).await, meridian))
}

fn traits_of(statement: &Statement) -> Traits {
    let sql = statement.sql();
    let any_part = |holds: fn(&Tree) -> bool| statement.all().iter().any(|(_, _, tree)| holds(tree));
    Traits {
        has_summer_time: has_summer_time(statement.zone) || names_summer_time(&sql),
        is_ordered: statement.ordered,
        takes_first: ["DISTINCT ON (", " OVER ("].iter().any(|form| sql.contains(form)),
        is_decided: any_part(is_decided),
        has_meeting: any_part(is_meeting) || is_set_operation(&sql),
        has_open_set: ["ROLLUP (", "CUBE (", "GROUPING SETS ("].iter().any(|sets| sql.contains(sets)),
        has_collation: sql.contains("COLLATE \"C\"") && !sql.is_ascii(),
        has_interval_zone: any_part(|tree| tree.label.ends_with(" AT TIME ZONE {interval}")),
    }
}

/// Whether PostgreSQL answers as Meridian does when it is given Meridian's cube roots, each of which is as good as its own.
async fn is_of_cube_roots(servers: &mut Servers, shrunk: &Shrunk) -> Result<bool> {
    let Some(given) = with_meridians_roots(servers, &shrunk.statement).await? else { return Ok(false) };
    let postgres = servers.postgres.ask(&given.sql()).await;
    let verdict = compare(&given, &shrunk.comparison.meridian, &postgres, None);
    Ok(matches!(verdict, Verdict::Equal | Verdict::BothFail))
}

/// The statement with Meridian's values in place of its cube roots; `None` where there are none, or they have no single
/// value, or one that is not PostgreSQL's but for the last digit.
async fn with_meridians_roots(servers: &mut Servers, statement: &Statement) -> Result<Option<Statement>> {
    let mut given = statement.clone();
    if statement.is_query || !matches!(statement.scope, Scope::Constant | Scope::Row(..)) {
        return Ok(None);
    }
    servers.set_zone(statement.zone).await?;
    let mut replaced = false;
    loop {
        let all = given.all();
        // The last one has no other inside of it.
        let Some((part, path, root)) = all.into_iter().rfind(|(_, _, tree)| is_cube_root(tree)) else { break };
        let sql = format!("SELECT {}{}", root.text(), statement.scope.clauses());
        let (meridian, postgres) = (servers.meridian.ask(&sql).await, servers.postgres.ask(&sql).await);
        let literal = match (single_value(&meridian), single_value(&postgres)) {
            (Some(None), Some(None)) => format!("NULL::{}", Type::Float8.name()),
            (Some(Some(value)), Some(Some(expected))) if listed::is_same(value, expected, Mark::CubeRoot, 0.0) => {
                Type::Float8.literal(value)
            }
            _ => return Ok(None),
        };
        let literal = Tree::leaf(root.role, Type::Float8.name(), literal);
        given = given.replaced(part, &path, literal);
        replaced = true;
    }
    Ok(replaced.then_some(given))
}

/// The value of an answer that has one.
fn single_value(outcome: &Outcome) -> Option<Option<&String>> {
    match outcome {
        Outcome::Rows { rows, .. } => match rows.as_slice() {
            [row] => row.first().map(Option::as_ref),
            _ => None,
        },
        Outcome::Failure(_) => None,
    }
}

/// Whether a CASE, a coalesce or a WHERE is decided without a row: what it asks first names no column, or one of the
/// values of a coalesce does not.
fn is_decided(tree: &Tree) -> bool {
    let is_constant = |asked: &Tree| !asked.all().iter().any(|(_, part)| part.is_column());
    if tree.label.starts_with("coalesce(") {
        return tree.children().any(is_constant);
    }
    let asks = tree.label.starts_with("CASE ") || tree.label == "WHERE";
    asks && tree.children().next().is_some_and(is_constant)
}

/// Whether numerics may meet in a part, or are quotients.
fn is_meeting(tree: &Tree) -> bool {
    const MEETINGS: [&str; 14] = [
        "lag(",
        "lead(",
        "least(",
        "greatest(",
        "coalesce(",
        "nullif(",
        "CASE ",
        "ARRAY[",
        "[]",
        "::numeric",
        " / ",
        "avg(",
        "VALUES",
        "array_",
    ];
    let label = tree.label.as_str();
    label.matches("{T}").count() > 1 || MEETINGS.iter().any(|form| label.contains(form))
}

fn is_set_operation(sql: &str) -> bool {
    [" UNION ", " INTERSECT ", " EXCEPT "].iter().any(|operation| sql.contains(operation))
}
