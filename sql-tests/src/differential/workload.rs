//! Chunks of statements: what one worker makes from one seed and runs in one time zone.

use super::expression::Generator;
use super::query::random_query;
use super::statement::{Scope, Statement};
use super::tables::{Column, Table};
use super::tree::Tree;
use super::values::Range;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// How many statements make a chunk.
pub(crate) const CHUNK_STATEMENTS: usize = 64;
/// How many expressions are asked for together.
const GROUP_EXPRESSIONS: usize = 11;
/// How many statements of a chunk are expressions; the rest are queries.
const EXPRESSIONS: usize = 4 * GROUP_EXPRESSIONS;

/// The zones of sessions, and whether they know summer time.
const ZONES: &[(&str, bool)] = &[
    ("UTC", false),
    ("Asia/Kolkata", false),
    ("Europe/Berlin", true),
    ("America/New_York", true),
    ("Australia/Lord_Howe", true),
    ("America/St_Johns", true),
];

/// Expressions over the same rows.
pub(crate) struct Group {
    pub scope: Scope,
    pub expressions: Vec<Tree>,
}

/// The statements of one seed.
pub(crate) struct Chunk {
    pub zone: &'static str,
    pub groups: Vec<Group>,
    pub queries: Vec<Statement>,
}

/// True for a session's zone that knows summer time.
pub(crate) fn has_summer_time(zone: &str) -> bool {
    ZONES.iter().any(|(name, summer_time)| *name == zone && *summer_time)
}

impl Chunk {
    pub(crate) fn new(seed: u64, number: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let (zone, summer_time) = ZONES.choose(&mut random).copied().unwrap_or(("UTC", false));
        // Far dates are only the same where summer time does not matter.
        let edges = if summer_time { Table::Near } else { Table::Far };
        let scopes = [
            (Scope::Constant, edges.range()),
            (row(edges, &mut random), edges.range()),
            (row(edges, &mut random), edges.range()),
            (Scope::Table(if random.random_bool(0.5) { edges.name() } else { Table::Plain.name() }), Range::Plain),
        ];
        let groups = scopes.into_iter().map(|(scope, range)| group(scope, range, edges, &mut random)).collect();
        let queries = (EXPRESSIONS..CHUNK_STATEMENTS).map(|_| random_query(&mut random, zone)).collect();
        Self { zone, groups, queries }
    }
}

fn row(table: Table, random: &mut StdRng) -> Scope {
    Scope::Row(table.name(), random.random_range(1..=table.rows()))
}

fn group(scope: Scope, range: Range, table: Table, random: &mut StdRng) -> Group {
    let columns: Vec<Column> = if scope == Scope::Constant { Vec::new() } else { table.columns("") };
    let mut generator = Generator::new(random, &columns, range);
    let expression = |generator: &mut Generator<'_>| {
        if generator.random.random_bool(0.25) {
            return generator.probe();
        }
        let depth = generator.random.random_range(1..4);
        generator.any(depth)
    };
    let expressions = (0..GROUP_EXPRESSIONS).map(|_| expression(&mut generator)).collect();
    Group { scope, expressions }
}

#[cfg(test)]
mod tests {
    use super::Chunk;

    #[test]
    fn a_seed_makes_the_same_statements_each_time() {
        let texts = |seed: u64| -> Vec<String> {
            let chunk = Chunk::new(seed, 3);
            let expressions = chunk.groups.iter().flat_map(|group| group.expressions.iter().map(|tree| tree.text()));
            expressions.chain(chunk.queries.iter().map(|query| query.sql())).collect()
        };
        assert_eq!(texts(5), texts(5));
        assert_ne!(texts(5), texts(6));
    }
}
