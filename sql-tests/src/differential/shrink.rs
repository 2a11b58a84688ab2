//! Shrinks a statement whose answers differ, and looks for a listed difference that explains them.
//!
//! First the smallest part is looked for that differs when it is asked for by itself. Then clauses and items are left
//! out, and expressions replaced by parts of themselves or by simple values, as long as a difference of the same kind
//! stays.

use super::client::Outcome;
use super::comparison::{Kind, Verdict};
use super::listed::{self, Traits};
use super::servers::{Comparison, Servers};
use super::slots::names_summer_time;
use super::statement::{Part, Scope, Statement};
use super::tables::Table;
use super::tree::{Role, Tree};
use super::workload::has_summer_time;
use anyhow::Result;

/// How many statements may be tried to shrink one.
const TRIES_MAX: usize = 150;

/// A shrunk statement with its answers.
pub(crate) struct Shrunk {
    pub statement: Statement,
    pub kind: Kind,
    pub comparison: Comparison,
    /// The listed difference that explains it.
    pub listed: Option<&'static str>,
}

/// Shrinks a candidate; `None` when it does not differ any more.
pub(crate) async fn shrink(servers: &mut Servers, candidate: &Statement) -> Result<Option<Shrunk>> {
    let mut search = Search { servers, tries: 0 };
    let Some((kind, comparison)) = search.difference(candidate).await? else { return Ok(None) };
    let mut best = Best { statement: candidate.clone(), kind, comparison };
    search.smallest_part(&mut best).await?;
    search.single_row(&mut best).await?;
    while search.simplify(&mut best).await? {}
    if best.statement.is_query {
        search.smallest_part(&mut best).await?;
        search.single_row(&mut best).await?;
        while search.simplify(&mut best).await? {}
    }
    search.values_for_columns(&mut best).await?;
    let listed = search.explain(&best).await?;
    Ok(Some(Shrunk { statement: best.statement, kind: best.kind, comparison: best.comparison, listed }))
}

struct Best {
    statement: Statement,
    kind: Kind,
    comparison: Comparison,
}

struct Search<'a> {
    servers: &'a mut Servers,
    tries: usize,
}

impl Search<'_> {
    async fn difference(&mut self, statement: &Statement) -> Result<Option<(Kind, Comparison)>> {
        self.tries += 1;
        let comparison = self.servers.compare(statement).await?;
        Ok(match &comparison.verdict {
            Verdict::Different(kind) => Some((kind.clone(), comparison)),
            _ => None,
        })
    }

    /// Takes a statement in place of the best one if it differs in the same way, or in any.
    async fn try_instead(&mut self, best: &mut Best, statement: Statement, any_kind: bool) -> Result<bool> {
        if self.tries >= TRIES_MAX {
            return Ok(false);
        }
        match self.difference(&statement).await? {
            Some((kind, comparison)) if any_kind || kind.is_like(&best.kind) => {
                *best = Best { statement, kind, comparison };
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Goes down to the smallest expression that differs by itself.
    async fn smallest_part(&mut self, best: &mut Best) -> Result<()> {
        let statement = &best.statement;
        let whole = statement.items.iter().map(Tree::size).sum();
        let mut parts: Vec<Tree> = statement
            .all()
            .into_iter()
            .filter(|(_, _, tree)| match tree.role {
                // What has no type in a query is an aggregate or a subquery, which is nothing by itself.
                Role::Value(of_type) if statement.is_query => of_type.is_some(),
                Role::Value(_) => tree.size() < whole,
                Role::Fixed | Role::Optional => false,
            })
            .map(|(_, _, tree)| tree.clone())
            .collect();
        parts.sort_by_key(Tree::size);
        parts.dedup();
        let (zone, scope) = (statement.zone, statement.scope.clone());
        for part in parts {
            let alone = Statement::of_expressions(zone, vec![part], scope.clone());
            if self.try_instead(best, alone, true).await? {
                break;
            }
        }
        Ok(())
    }

    /// Goes down to one row of a table.
    async fn single_row(&mut self, best: &mut Best) -> Result<()> {
        let Scope::Table(name) = best.statement.scope else { return Ok(()) };
        if best.statement.is_query {
            return Ok(());
        }
        let rows = Table::ALL.iter().find(|table| table.name() == name).map_or(0, |table| table.rows());
        for id in 1..=rows {
            let scope = Scope::Row(name, id);
            let row = Statement::of_expressions(best.statement.zone, best.statement.items.clone(), scope);
            if self.try_instead(best, row, false).await? {
                break;
            }
        }
        Ok(())
    }

    /// Writes the values of a single row in place of its columns.
    async fn values_for_columns(&mut self, best: &mut Best) -> Result<()> {
        let (Scope::Row(..), false) = (&best.statement.scope, best.statement.is_query) else { return Ok(()) };
        let mut constant = best.statement.clone();
        for (part, path, tree) in best.statement.all() {
            let (Some(of_type), true) = (tree.value_type(), tree.is_column()) else { continue };
            let value = format!("SELECT ({})::text{}", tree.text(), best.statement.scope.clauses());
            let Outcome::Rows { rows, .. } = self.servers.postgres.ask(&value).await else { return Ok(()) };
            let Some(value) = rows.first().and_then(|row| row.first()) else { return Ok(()) };
            let null = || format!("NULL::{}", of_type.name());
            let literal = value.as_ref().map_or_else(null, |value| of_type.literal(value));
            let literal = Tree::leaf(tree.role, of_type.name(), literal);
            constant = constant.replaced(part, &path, literal);
        }
        let constant = Statement::of_expressions(constant.zone, constant.items, Scope::Constant);
        self.try_instead(best, constant, false).await?;
        Ok(())
    }

    /// One step to a simpler statement; false when there is none.
    async fn simplify(&mut self, best: &mut Best) -> Result<bool> {
        if best.statement.items.len() > 1 {
            for index in best.statement.items_fixed..best.statement.items.len() {
                let mut shorter = best.statement.clone();
                shorter.items.remove(index);
                if self.try_instead(best, shorter, false).await? {
                    return Ok(true);
                }
            }
        }
        for statement in simpler(&best.statement) {
            if self.try_instead(best, statement, false).await? {
                return Ok(true);
            }
        }
        if best.statement.scope != Scope::Constant && !best.statement.is_query {
            let items = best.statement.items.clone();
            let constant = Statement::of_expressions(best.statement.zone, items, Scope::Constant);
            return self.try_instead(best, constant, false).await;
        }
        Ok(false)
    }

    /// The listed difference behind what is left of the statement.
    async fn explain(&mut self, best: &Best) -> Result<Option<&'static str>> {
        let scope = best.statement.scope.clauses();
        let values = best.statement.all().into_iter().filter(|(_, _, tree)| matches!(tree.role, Role::Value(_)));
        let values: Vec<String> = values.map(|(_, _, tree)| tree.text()).collect();
        let mut scopes = vec![scope];
        if best.kind.is_of_errors() {
            // Either server may come to another row first.
            scopes.extend(best.statement.scope.single_rows());
        }
        let sql = best.statement.sql();
        if is_set_operation(&sql) {
            let tables = ["far", "near", "plain"].into_iter().filter(|table| sql.contains(&format!(" FROM {table}")));
            scopes.extend(tables.map(|table| Scope::Table(table).clauses()));
        }
        let texts = scopes.iter().flat_map(|scope| values.iter().map(move |value| format!("SELECT {value}{scope}")));
        let texts: Vec<String> = texts.collect();
        self.servers.set_zone(best.statement.zone).await?;
        let mut meridian = self.servers.meridian.ask_all(&texts).await;
        let mut parts: Vec<Outcome> = self.servers.postgres.ask_all(&texts).await;
        parts.push(best.comparison.postgres.clone());
        meridian.push(best.comparison.meridian.clone());
        let traits = Traits {
            has_summer_time: has_summer_time(best.statement.zone) || names_summer_time(&sql),
            is_ordered: best.statement.ordered,
            takes_first: ["DISTINCT ON (", " OVER ("].iter().any(|form| sql.contains(form)),
            is_decided: best.statement.all().iter().any(|(_, _, tree)| is_decided(tree)),
            has_meeting: best.statement.all().iter().any(|(_, _, tree)| is_meeting(tree)) || is_set_operation(&sql),
            has_open_set: ["ROLLUP (", "CUBE (", "GROUPING SETS ("].iter().any(|sets| sql.contains(sets)),
        };
        Ok(listed::explanation(&best.kind, &parts, &meridian, traits))
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

/// Statements that are simpler in one place, those first that leave out most.
fn simpler(statement: &Statement) -> Vec<Statement> {
    let mut found: Vec<(usize, Statement)> = Vec::new();
    for (part, path, tree) in statement.all() {
        let size = tree.text().len();
        match tree.role {
            Role::Optional if size > 0 => found.push((size, statement.replaced(part, &path, Tree::empty()))),
            Role::Value(Some(of_type)) => {
                let hoisted = tree.all().into_iter().skip(1).filter(|(_, inner)| inner.value_type() == Some(of_type));
                for (_, inner) in hoisted {
                    found.push((size - inner.text().len().min(size), statement.replaced(part, &path, inner.clone())));
                }
                if !is_simple(tree, of_type) && !is_column_of_query(statement, part, tree) {
                    for value in of_type.simple() {
                        let literal = Tree::leaf(tree.role, of_type.name(), of_type.literal(value));
                        found.push((size, statement.replaced(part, &path, literal)));
                    }
                }
            }
            _ => {}
        }
    }
    found.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    found.into_iter().map(|(_, statement)| statement).collect()
}

fn is_simple(tree: &Tree, of_type: super::values::Type) -> bool {
    let text = tree.text();
    of_type.simple().iter().any(|value| of_type.literal(value) == text)
}

/// A column stays in a query: a constant says less there.
fn is_column_of_query(statement: &Statement, part: Part, tree: &Tree) -> bool {
    statement.is_query && part != Part::Before && tree.is_column()
}
