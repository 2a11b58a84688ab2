//! What stands behind FROM: tables, views, joins of up to three of them; and conditions over subqueries.

use super::expression::{Column, Source, Type};
use super::layout::{self, Table};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// The most rows that a join may have, about; what would have more is filtered by a second equality or left out.
const JOINED_ROWS_MAX: usize = 4_000;
/// One of so many rows of a join's sides meets.
const KEYS: usize = 6;

/// What a view may read.
pub(crate) struct Readable<'a> {
    pub views: &'a [Source],
    /// Whether floats are left out.
    pub mirrored: bool,
}

impl Readable<'_> {
    /// A table or a view; of the tables the fact table most often.
    pub(crate) fn relation(&self, random: &mut StdRng) -> Source {
        let over_view = self.views.choose(random).filter(|_| random.random_bool(0.2));
        let fact = random.random_bool(0.6);
        self.without_floats(match over_view {
            Some(view) => view.clone(),
            None if fact && random.random_bool(0.1) => layout::plain_view(),
            None if fact => Table::Fact.source(),
            None => small_table(random).source(),
        })
    }

    /// What a query reads: one relation, or a join.
    pub(crate) fn source(&self, random: &mut StdRng) -> Source {
        match random.random_range(0..100) {
            0..50 => self.relation(random),
            50..62 => self.relation(random).aliased("r0"),
            62..72 => self.merged(random),
            _ => self.joined(random),
        }
    }

    fn without_floats(&self, source: Source) -> Source {
        if self.mirrored { source.without_floats() } else { source }
    }

    /// Columns of two relations that may be compared.
    pub(crate) fn equality(&self, left: &Source, right: &Source, random: &mut StdRng) -> Option<(String, String)> {
        pair(left, right, random)
    }

    /// Two or three relations, joined one after the other.
    fn joined(&self, random: &mut StdRng) -> Source {
        let mut joined = self.relation(random).aliased("r1");
        let others = if random.random_bool(0.3) { 2 } else { 1 };
        for number in 2..2 + others {
            let other = self.relation(random).aliased(&format!("r{number}"));
            joined = join(joined, &other, random);
        }
        joined
    }

    /// Tables that share the column `k`, joined by USING: it is there once.
    fn merged(&self, random: &mut StdRng) -> Source {
        let first = if random.random_bool(0.5) { Table::Fact } else { small_table(random) };
        let mut merged = without_key(self.without_floats(first.source()).aliased("r1"));
        let others = if random.random_bool(0.3) { 2 } else { 1 };
        for number in 2..2 + others {
            let kind =
                ["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"].choose(random).copied().unwrap_or("JOIN");
            let other = self.without_floats(small_table(random).source()).aliased(&format!("r{number}"));
            let rows = (merged.rows * other.rows / KEYS).max(1);
            let other = without_key(other);
            merged.from = format!("{} {kind} {} USING (k)", merged.from, other.from);
            merged.columns.extend(other.columns);
            merged.rows = rows;
        }
        merged.columns.push(Column::new("k", Type::Int));
        merged
    }

    /// A condition with a subquery over a relation of its own: EXISTS, IN, and comparisons with what it gives.
    pub(crate) fn subquery_condition(&self, outer: &Source, random: &mut StdRng) -> String {
        let inner = self.relation(random).aliased("x");
        let not = if random.random_bool(0.5) { "NOT " } else { "" };
        let filter = if random.random_bool(0.4) { Some(inner.predicate(random, 1)) } else { None };
        let pair = pair(outer, &inner, random);
        let with_filter = |first: Option<String>| {
            let all: Vec<String> = first.into_iter().chain(filter.clone()).collect();
            if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
        };
        match pair {
            Some((left, right)) if random.random_bool(0.45) => {
                // Without NULLs it is another join.
                let known = if random.random_bool(0.3) { Some(format!("{right} IS NOT NULL")) } else { None };
                format!("{left} {not}IN (SELECT {right} FROM {}{})", inner.from, with_filter(known))
            }
            // Without its relation, a name would be taken for one of the subquery's.
            Some((left, right)) if left.contains('.') && random.random_bool(0.8) => {
                let equal = with_filter(Some(format!("{right} = {left}")));
                format!("{not}EXISTS (SELECT 1 FROM {}{equal})", inner.from)
            }
            Some((left, right)) if random.random_bool(0.3) => {
                let quantified = ["= ANY", "<> ALL", "= ALL"].choose(random).copied().unwrap_or("= ANY");
                format!("{left} {quantified} (SELECT {right} FROM {}{})", inner.from, with_filter(None))
            }
            Some((left, right)) if random.random_bool(0.5) && !is_bool(outer, &left) => {
                format!("{left} >= (SELECT min({right}) FROM {}{})", inner.from, with_filter(None))
            }
            _ => format!("{not}EXISTS (SELECT 1 FROM {}{})", inner.from, with_filter(None)),
        }
    }

    /// A sum over the rows of another relation that belong to a row.
    pub(crate) fn subquery_value(&self, outer: &Source, random: &mut StdRng) -> Option<(String, Type)> {
        let inner = self.relation(random).aliased("x");
        let (left, right) = pair(outer, &inner, random).filter(|(left, _)| left.contains('.'))?;
        let (value, of_type) = match inner.column(random, |of_type| of_type == Type::Numeric) {
            Some(column) if random.random_bool(0.7) => (format!("sum({})", column.name), Type::Numeric),
            _ => ("count(*)".to_string(), Type::BigInt),
        };
        Some((format!("(SELECT {value} FROM {} WHERE {right} = {left})", inner.from), of_type))
    }
}

/// A relation joined with itself.
pub(crate) fn with_itself(relation: &Source, random: &mut StdRng) -> Source {
    join(relation.aliased("r1"), &relation.aliased("r2"), random)
}

fn is_bool(source: &Source, name: &str) -> bool {
    source.columns.iter().any(|column| column.name == name && column.of_type == Type::Bool)
}

fn small_table(random: &mut StdRng) -> Table {
    Table::SMALL.choose(random).copied().unwrap_or(Table::Dimension)
}

fn without_key(mut source: Source) -> Source {
    source.columns.retain(|column| !column.name.ends_with(".k"));
    source
}

/// Columns of one type, one of each; their keys most often.
fn pair(left: &Source, right: &Source, random: &mut StdRng) -> Option<(String, String)> {
    let is_key = |column: &&Column| column.name == "k" || column.name.ends_with(".k");
    let keys = (left.columns.iter().rfind(is_key), right.columns.iter().find(is_key));
    if let (Some(left), Some(right)) = keys
        && random.random_bool(0.6)
    {
        return Some((left.name.clone(), right.name.clone()));
    }
    let meets = |one: &Column| right.columns.iter().any(|other| other.of_type == one.of_type);
    let candidates: Vec<&Column> = left.columns.iter().filter(|column| meets(column)).collect();
    let left = candidates.choose(random).copied()?;
    let right = right.column(random, |of_type| of_type == left.of_type)?;
    Some((left.name.clone(), right.name.clone()))
}

fn join(left: Source, right: &Source, random: &mut StdRng) -> Source {
    let columns: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
    let of_all = left.rows * right.rows;
    let equality = pair(&left, right, random);
    let crossed = equality.is_none() || random.random_bool(0.08);
    if crossed && of_all <= JOINED_ROWS_MAX {
        let comma = if random.random_bool(0.5) { "CROSS JOIN" } else { "JOIN" };
        let on = if comma == "JOIN" { " ON true" } else { "" };
        return Source { from: format!("{} {comma} {}{on}", left.from, right.from), columns, rows: of_all };
    }
    let Some((one, other)) = equality else { return left };
    let kinds = ["JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"];
    let kind = kinds.choose(random).copied().unwrap_or("JOIN");
    let mut on = format!("{one} = {other}");
    let mut rows = (of_all / KEYS).max(1);
    if rows > JOINED_ROWS_MAX / 4 || random.random_bool(0.15) {
        match pair(&left, right, random) {
            Some((one, other)) => on = format!("{on} AND {one} = {other}"),
            None => return left,
        }
        rows = (rows / KEYS).max(1);
    }
    if rows > JOINED_ROWS_MAX {
        return left;
    }
    // PostgreSQL joins fully by equalities alone.
    if kind != "FULL JOIN" && random.random_bool(0.25) {
        let sides = Source { from: String::new(), columns: columns.clone(), rows };
        on = format!("{on} AND {}", sides.predicate(random, 1));
    }
    Source { from: format!("{} {kind} {} ON {on}", left.from, right.from), columns, rows }
}
