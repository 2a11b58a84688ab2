//! Shrinks a statement whose answers differ, until `explain` may name the listed difference behind them.
//!
//! First the smallest part is looked for that differs when it is asked for by itself. Then clauses and items are left
//! out, and expressions replaced by parts of themselves or by simple values, as long as a difference of the same kind
//! stays.

use super::client::Outcome;
use super::comparison::{Kind, Verdict};
use super::explain::{explain, explain_gone};
use super::servers::{Comparison, Servers};
use super::statement::{Part, Scope, Statement};
use super::tables::Table;
use super::tree::{Role, Tree};
use anyhow::Result;

/// How many statements may be tried to shrink one.
const TRIES_MAX: usize = 150;
/// How often a statement that differed is asked again where it does not differ at once.
const ASKED_AGAIN_MAX: usize = 10;

/// A shrunk statement with its answers.
pub(crate) struct Shrunk {
    pub statement: Statement,
    pub kind: Kind,
    pub comparison: Comparison,
    /// The listed difference that explains it.
    pub listed: Option<&'static str>,
}

/// What became of a statement whose answers differed.
pub(crate) enum Found {
    Shrunk(Box<Shrunk>),
    /// The answers do not differ any more, and a listed difference explains that they may.
    GoneAsListed(&'static str),
    /// The answers do not differ any more.
    Gone,
}

/// Shrinks a candidate, which differed in the way of `kind`.
pub(crate) async fn shrink(servers: &mut Servers, kind: &Kind, candidate: &Statement) -> Result<Found> {
    let mut search = Search { servers, tries: 0 };
    let Some((kind, comparison)) = search.difference_again(candidate).await? else {
        let listed = explain_gone(search.servers, kind, candidate).await?;
        return Ok(listed.map_or(Found::Gone, Found::GoneAsListed));
    };
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
    let mut shrunk = Shrunk { statement: best.statement, kind: best.kind, comparison: best.comparison, listed: None };
    shrunk.listed = explain(search.servers, &shrunk).await?;
    Ok(Found::Shrunk(Box::new(shrunk)))
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

    /// How a statement's answers differ that differed before, which may depend on who is first.
    async fn difference_again(&mut self, statement: &Statement) -> Result<Option<(Kind, Comparison)>> {
        for _ in 0..ASKED_AGAIN_MAX {
            if let Some(found) = self.difference(statement).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
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
