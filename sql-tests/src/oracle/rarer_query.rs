//! Shapes of queries that are seldom written: LATERAL, WITH RECURSIVE, WITH TIES.

use super::expression::{Column, Source, Type};
use super::relations::Readable;
use super::view_query::{ViewQuery, distinct_columns, select_list};
use rand::Rng;
use rand::rngs::StdRng;

/// About how many rows a query of some first rows gives.
const FIRST_ROWS: usize = 12;

pub(crate) fn rarer_query(readable: &Readable, random: &mut StdRng) -> ViewQuery {
    match random.random_range(0..3) {
        0 => lateral(readable, random),
        1 => reached(random),
        _ => first_with_ties(readable, random),
    }
}

/// For each row of a relation what a subquery over another says of it.
fn lateral(readable: &Readable, random: &mut StdRng) -> ViewQuery {
    let (outer, inner) = (readable.relation(random).aliased("r1"), readable.relation(random).aliased("x"));
    let shown = distinct_columns(&outer, 2, random);
    let mut items: Vec<(String, Type)> = shown.iter().map(|column| (column.name.clone(), column.of_type)).collect();
    let of_row =
        readable.equality(&outer, &inner, random).map_or("true".to_string(), |(one, other)| format!("{one} = {other}"));
    let filter = inner.predicate(random, 1);
    let (join, subquery) = match random.random_range(0..3) {
        0 => {
            items.push(("l.v".to_string(), Type::BigInt));
            ("CROSS JOIN LATERAL", format!("SELECT count(*) AS v FROM {} WHERE {of_row} AND {filter}", inner.from))
        }
        kind => {
            // A row that is the first of equal ones is the same as each of them.
            let columns = distinct_columns(&inner.without_floats(), 2, random);
            let named: Vec<String> =
                columns.iter().enumerate().map(|(index, column)| format!("{} AS v{index}", column.name)).collect();
            items.extend(columns.iter().enumerate().map(|(index, column)| (format!("l.v{index}"), column.of_type)));
            let order: Vec<String> = (1..=columns.len()).map(|place| place.to_string()).collect();
            let (named, order) = (named.join(", "), order.join(", "));
            let query =
                format!("SELECT {named} FROM {} WHERE {of_row} AND {filter} ORDER BY {order} LIMIT 1", inner.from);
            (if kind == 1 { "LEFT JOIN LATERAL" } else { "JOIN LATERAL" }, query)
        }
    };
    let on = if join.starts_with("CROSS") { "" } else { " ON true" };
    let (select, columns) = select_list(items);
    ViewQuery::new(format!("SELECT {select} FROM {} {join} ({subquery}) AS l{on}", outer.from), columns, outer.rows)
}

/// The keys that can be reached from those of `u` by the pairs of `p`, with what is counted there.
fn reached(random: &mut StdRng) -> ViewQuery {
    let (from, to) = if random.random_bool(0.5) { ("k", "h") } else { ("h", "k") };
    let reached =
        format!("WITH RECURSIVE w (c) AS (SELECT k FROM u UNION SELECT p.{to} FROM w JOIN p ON p.{from} = w.c)");
    let text = match random.random_range(0..3) {
        0 => format!("{reached} SELECT c AS c1, c + 1 AS c2 FROM w"),
        1 => format!("{reached} SELECT w.c AS c1, count(t.n) AS c2 FROM w LEFT JOIN t ON t.k = w.c GROUP BY w.c"),
        _ => format!("{reached} SELECT count(*) AS c1, sum(c) AS c2 FROM w"),
    };
    ViewQuery::new(text, vec![Column::new("c1", Type::BigInt), Column::new("c2", Type::BigInt)], FIRST_ROWS)
}

/// The first rows in an order with ties, and all that are like the last of them.
fn first_with_ties(readable: &Readable, random: &mut StdRng) -> ViewQuery {
    let source: Source = readable.relation(random);
    let chosen = distinct_columns(&source, 4, random);
    let filter = source.predicate(random, 1);
    let (select, columns) = select_list(chosen.iter().map(|column| (column.name.clone(), column.of_type)).collect());
    let direction = if random.random_bool(0.5) { " DESC" } else { "" };
    let rows = random.random_range(1..4);
    let text = format!(
        "SELECT {select} FROM {} WHERE {filter} ORDER BY 1{direction} FETCH FIRST {rows} ROWS WITH TIES",
        source.from
    );
    ViewQuery::new(text, columns, source.rows)
}
