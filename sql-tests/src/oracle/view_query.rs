//! Random view definitions: what is maintained by deltas, and what is recomputed.

use super::aggregate::{any_column, having, over_aggregates};
use super::expression::{Column, Source, Type};
use super::rarer_query::rarer_query;
use super::relations::{Readable, with_itself};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

/// Above so many rows a query groups them, so that answers stay short.
const SHOWN_ROWS_MAX: usize = 400;
/// About how many groups a query gives.
const GROUPS: usize = 12;

/// A query and the columns that a view of it has.
pub(crate) struct ViewQuery {
    pub text: String,
    pub columns: Vec<Column>,
    /// True where the data may make the query fail, so that creating the view may fail too.
    pub may_fail: bool,
    /// About how many rows it gives.
    pub rows: usize,
}

impl ViewQuery {
    pub(crate) fn new(text: String, columns: Vec<Column>, rows: usize) -> Self {
        Self { text, columns, may_fail: false, rows }
    }

    /// The query as what another one reads.
    pub(crate) fn as_source(&self, from: String) -> Source {
        Source { from, columns: self.columns.clone(), rows: self.rows }
    }
}

/// A query over the tables or over the views that exist.
///
/// With `mirrored`, floats are left out: their sums depend on the order of rows in PostgreSQL.
pub(crate) fn random_view(random: &mut StdRng, views: &[Source], mirrored: bool) -> ViewQuery {
    let readable = Readable { views, mirrored };
    if random.random_bool(0.07) {
        return rarer_query(&readable, random);
    }
    if random.random_bool(0.85) {
        let source = readable.source(random);
        return over(&readable, &source, random);
    }
    let source = readable.source(random);
    let inner = over(&readable, &source, random);
    let (with, source) = match random.random_range(0..4) {
        0 | 1 => (String::new(), inner.as_source(format!("({}) AS d", inner.text))),
        2 => (format!("WITH w AS ({}) ", inner.text), inner.as_source("w".into())),
        _ => {
            let twice = with_itself(&inner.as_source("w".into()), random);
            (format!("WITH w AS ({}) ", inner.text), twice)
        }
    };
    let outer = over(&readable, &source, random);
    ViewQuery { text: format!("{with}{}", outer.text), may_fail: inner.may_fail || outer.may_fail, ..outer }
}

/// A query over one source.
fn over(readable: &Readable, source: &Source, random: &mut StdRng) -> ViewQuery {
    match random.random_range(0..100) {
        _ if source.rows > SHOWN_ROWS_MAX => grouped(readable, source, random),
        0..50 => grouped(readable, source, random),
        50..62 => filtered(readable, source, random),
        62..69 => distinct(readable, source, random),
        69..77 => windowed(readable, source, random),
        77..85 => windows_over_groups(readable, source, random),
        85..92 => first_of_each(readable, source, random),
        _ => of_sets(readable, source, random),
    }
}

fn where_clause(readable: &Readable, source: &Source, random: &mut StdRng) -> String {
    let mut conditions = Vec::new();
    if random.random_bool(0.4) {
        conditions.push(source.predicate(random, 2));
    }
    if random.random_bool(0.15) {
        conditions.push(readable.subquery_condition(source, random));
    }
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

fn grouped(readable: &Readable, source: &Source, random: &mut StdRng) -> ViewQuery {
    if random.random_bool(0.15) {
        return grouping_sets(readable, source, random);
    }
    let keys: Vec<(String, Type)> =
        (0..[0, 1, 1, 1, 2, 2, 3].choose(random).copied().unwrap_or(1)).map(|_| source.expression(random)).collect();
    let group_by = match keys.len() {
        0 => String::new(),
        count if random.random_bool(0.3) => {
            format!(" GROUP BY {}", (1..=count).map(|position| position.to_string()).collect::<Vec<_>>().join(", "))
        }
        _ => format!(" GROUP BY {}", keys.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(", ")),
    };
    aggregated(readable, source, keys, &group_by, random)
}

/// ROLLUP, CUBE and GROUPING SETS over plain columns, of which some stand beside them or in several sets alike.
fn grouping_sets(readable: &Readable, source: &Source, random: &mut StdRng) -> ViewQuery {
    let keys = distinct_columns(source, 3, random);
    let names: Vec<&str> = keys.iter().map(|column| column.name.as_str()).collect();
    let (all, first) = (names.join(", "), names.first().copied().unwrap_or("1"));
    let group_by = match random.random_range(0..8) {
        0 | 1 => format!("ROLLUP ({all})"),
        2 | 3 => format!("CUBE ({all})"),
        4 => format!("GROUPING SETS (({all}), ({first}), ())"),
        5 => format!("GROUPING SETS (({first}), ({all}), ({first}))"),
        6 => format!("{first}, ROLLUP ({all})"),
        _ => format!("GROUPING SETS ((), ({all}), ({first}), ())"),
    };
    let mut items: Vec<(String, Type)> = keys.iter().map(|column| (column.name.clone(), column.of_type)).collect();
    match random.random_range(0..4) {
        0 => items.push((format!("grouping({first})"), Type::Int)),
        1 | 2 => items.push((format!("grouping({all})"), Type::Int)),
        _ => {}
    }
    aggregated(readable, source, items, &format!(" GROUP BY {group_by}"), random)
}

/// The items that stand before the aggregates, and some aggregates.
fn aggregated(
    readable: &Readable,
    source: &Source,
    mut items: Vec<(String, Type)>,
    group_by: &str,
    random: &mut StdRng,
) -> ViewQuery {
    let mut may_fail = false;
    for _ in 0..random.random_range(usize::from(items.is_empty())..5) {
        let (item, item_type, fallible) = over_aggregates(source, readable.mirrored, random);
        may_fail |= fallible;
        items.push((item, item_type));
    }
    let filter = where_clause(readable, source, random);
    let having = if random.random_bool(0.2) { format!(" HAVING {}", having(source, random)) } else { String::new() };
    let tail = order_and_limit(items.len(), random);
    let (select, columns) = select_list(items);
    let text = format!("SELECT {select} FROM {}{filter}{group_by}{having}{tail}", source.from);
    ViewQuery { may_fail, ..ViewQuery::new(text, columns, GROUPS) }
}

/// ORDER BY over every column, so that LIMIT has no ties but those of equal rows.
fn order_and_limit(columns: usize, random: &mut StdRng) -> String {
    if random.random_bool(0.8) {
        return String::new();
    }
    let direction = ["", " DESC", " NULLS FIRST", " DESC NULLS LAST"].choose(random).copied().unwrap_or_default();
    let keys: Vec<String> = (1..=columns).map(|position| format!("{position}{direction}")).collect();
    let offset = if random.random_bool(0.3) { " OFFSET 1" } else { "" };
    format!(" ORDER BY {} LIMIT {}{offset}", keys.join(", "), random.random_range(0..4))
}

fn filtered(readable: &Readable, source: &Source, random: &mut StdRng) -> ViewQuery {
    let mut may_fail = false;
    let mut items: Vec<(String, Type)> = (0..random.random_range(1..5)).map(|_| source.expression(random)).collect();
    if random.random_bool(0.06)
        && let Some(column) = source.column(random, |of_type| of_type == Type::Int)
    {
        items.push((format!("10 / {}", column.name), Type::Int));
        may_fail = true;
    }
    if random.random_bool(0.15)
        && let Some(value) = readable.subquery_value(source, random)
    {
        items.push(value);
    }
    let filter = where_clause(readable, source, random);
    let tail = order_and_limit(items.len(), random);
    let (select, columns) = select_list(items);
    let text = format!("SELECT {select} FROM {}{filter}{tail}", source.from);
    ViewQuery { may_fail, ..ViewQuery::new(text, columns, source.rows) }
}

fn distinct(readable: &Readable, source: &Source, random: &mut StdRng) -> ViewQuery {
    let items: Vec<(String, Type)> = (0..random.random_range(1..4)).map(|_| source.expression(random)).collect();
    let filter = where_clause(readable, source, random);
    let (select, columns) = select_list(items);
    ViewQuery::new(format!("SELECT DISTINCT {select} FROM {}{filter}", source.from), columns, source.rows)
}

fn windowed(readable: &Readable, source: &Source, random: &mut StdRng) -> ViewQuery {
    let chosen = source.column(random, |of_type| of_type != Type::Float);
    let (partition, partition_type) = chosen.map_or(("1", Type::Int), |column| (column.name.as_str(), column.of_type));
    let all: Vec<&str> = source.columns.iter().map(|column| column.name.as_str()).collect();
    let order = all.join(", ");
    let window = match random.random_range(0..7) {
        4 => (format!("ntile(3) OVER (PARTITION BY {partition} ORDER BY {order})"), Type::Int),
        5 => (format!("lead({partition}, 2) OVER (ORDER BY {order})"), partition_type),
        6 => {
            let exclude = if random.random_bool(0.5) { "" } else { " EXCLUDE CURRENT ROW" };
            let frame = format!("ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING{exclude}");
            (format!("count(*) OVER (PARTITION BY {partition} ORDER BY {order} {frame})"), Type::BigInt)
        }
        0 => (format!("row_number() OVER (PARTITION BY {partition} ORDER BY {order})"), Type::BigInt),
        1 => (format!("rank() OVER (PARTITION BY {partition} ORDER BY {})", any_column(source, random)), Type::BigInt),
        2 => (format!("count(*) OVER (PARTITION BY {partition})"), Type::BigInt),
        _ => match source.column(random, |of_type| of_type == Type::Numeric) {
            Some(column) => (format!("sum({}) OVER (PARTITION BY {partition})", column.name), Type::Numeric),
            None => (format!("count(*) OVER (ORDER BY {order})"), Type::BigInt),
        },
    };
    let items = vec![source.expression(random), window];
    let filter = where_clause(readable, source, random);
    let (select, columns) = select_list(items);
    ViewQuery::new(format!("SELECT {select} FROM {}{filter}", source.from), columns, source.rows)
}

/// Ranks, shares, differences and moving averages of groups. The keys order them without ties.
fn windows_over_groups(readable: &Readable, source: &Source, random: &mut StdRng) -> ViewQuery {
    let keys = distinct_columns(source, 2, random);
    let names: Vec<&str> = keys.iter().map(|column| column.name.as_str()).collect();
    let (all, first) = (names.join(", "), names.first().copied().unwrap_or("1"));
    let value = match source.column(random, |of_type| matches!(of_type, Type::Int | Type::Numeric)) {
        Some(column) if random.random_bool(0.7) => format!("sum({})", column.name),
        _ => "count(*)".to_string(),
    };
    let window = match random.random_range(0..6) {
        0 => (format!("rank() OVER (ORDER BY {value} DESC)"), Type::BigInt),
        1 => (format!("sum({value}) OVER (PARTITION BY {first})"), Type::Numeric),
        2 => (format!("{value} - lag({value}) OVER (ORDER BY {all})"), Type::Numeric),
        3 => (format!("sum({value}) OVER (ORDER BY {all})"), Type::Numeric),
        4 => (format!("max({value}) OVER (PARTITION BY {first} ORDER BY {all} DESC)"), Type::Numeric),
        _ => (format!("avg({value}) OVER (ORDER BY {all} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"), Type::Numeric),
    };
    let mut items: Vec<(String, Type)> = keys.iter().map(|column| (column.name.clone(), column.of_type)).collect();
    items.push(window);
    let filter = where_clause(readable, source, random);
    let (select, columns) = select_list(items);
    let text = format!("SELECT {select} FROM {}{filter} GROUP BY {all}", source.from);
    ViewQuery::new(text, columns, GROUPS)
}

/// The first rows of each group, in an order without ties but those of equal rows.
fn first_of_each(readable: &Readable, source: &Source, random: &mut StdRng) -> ViewQuery {
    let chosen = distinct_columns(&source.without_floats(), 4, random);
    let names: Vec<&str> = chosen.iter().map(|column| column.name.as_str()).collect();
    let items = chosen.iter().map(|column| (column.name.clone(), column.of_type)).collect();
    let filter = where_clause(readable, source, random);
    let (select, columns) = select_list(items);
    let (all, first) = (names.join(", "), names.first().copied().unwrap_or("1"));
    let from = &source.from;
    if random.random_bool(0.4) {
        let text = format!("SELECT DISTINCT ON ({first}) {select} FROM {from}{filter} ORDER BY {all}");
        return ViewQuery::new(text, columns, GROUPS);
    }
    let shown: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let text = format!(
        "SELECT {} FROM (SELECT {select}, row_number() OVER (PARTITION BY {first} ORDER BY {all}) AS place \
         FROM {from}{filter}) AS placed WHERE place <= {}",
        shown.join(", "),
        random.random_range(1..4)
    );
    ViewQuery::new(text, columns, GROUPS)
}

/// UNION, INTERSECT and EXCEPT of two or three selections, from the source and from another relation.
fn of_sets(readable: &Readable, source: &Source, random: &mut StdRng) -> ViewQuery {
    let other = if random.random_bool(0.5) { source.clone() } else { readable.relation(random) };
    let mut pairs = Vec::new();
    for _ in 0..random.random_range(1..3) {
        let Some(left) = source.column(random, |of_type| other.columns.iter().any(|column| column.of_type == of_type))
        else {
            continue;
        };
        if let Some(right) = other.column(random, |of_type| of_type == left.of_type) {
            pairs.push((left.clone(), right.clone()));
        }
    }
    if pairs.is_empty() {
        pairs.push((Column::new("1", Type::Int), Column::new("2", Type::Int)));
    }
    let (left, columns) = select_list(pairs.iter().map(|(left, _)| (left.name.clone(), left.of_type)).collect());
    let right = pairs.iter().map(|(_, right)| right.name.as_str()).collect::<Vec<_>>().join(", ");
    let left = format!("SELECT {left} FROM {} WHERE {}", source.from, source.predicate(random, 1));
    let right = format!("SELECT {right} FROM {}{}", other.from, where_clause(readable, &other, random));
    let mut text = format!("{left} {} {right}", set_operator(random));
    if random.random_bool(0.2) {
        text = format!("({text}) {} {right}", set_operator(random));
    }
    ViewQuery::new(text, columns, source.rows + other.rows)
}

fn set_operator(random: &mut StdRng) -> &'static str {
    let operators = ["UNION ALL", "UNION ALL", "UNION", "EXCEPT ALL", "EXCEPT", "INTERSECT", "INTERSECT ALL"];
    operators.choose(random).copied().unwrap_or("UNION ALL")
}

/// Between one and `most` of the source's columns, each once.
pub(crate) fn distinct_columns(source: &Source, most: usize, random: &mut StdRng) -> Vec<Column> {
    let mut columns = source.columns.clone();
    columns.shuffle(random);
    columns.truncate(random.random_range(1..=most));
    if columns.is_empty() {
        columns.push(Column::new("1", Type::Int));
    }
    columns
}

/// The items under the names `c1`, `c2`, …
pub(crate) fn select_list(items: Vec<(String, Type)>) -> (String, Vec<Column>) {
    let mut select = Vec::new();
    let mut columns = Vec::new();
    for (index, (text, of_type)) in items.into_iter().enumerate() {
        let name = format!("c{}", index + 1);
        select.push(format!("{text} AS {name}"));
        columns.push(Column::new(name, of_type));
    }
    (select.join(", "), columns)
}
