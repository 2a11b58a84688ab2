//! Random view definitions: what is maintained by deltas, and what is recomputed.

use super::expression::{Column, Source, Type};
use super::layout::Table;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// A query and the columns that a view of it has.
pub(crate) struct ViewQuery {
    pub text: String,
    pub columns: Vec<Column>,
    /// True where the data may make the query fail, so that creating the view may fail too.
    pub may_fail: bool,
}

/// A query over the tables or over the views that exist.
/// With `mirrored`, floats are left out: their sums depend on the order of rows in PostgreSQL.
pub(crate) fn random_view(random: &mut StdRng, views: &[Source], mirrored: bool) -> ViewQuery {
    let mut source = random_source(random, views);
    if mirrored {
        source.columns.retain(|column| column.of_type != Type::Float);
    }
    match random.random_range(0..100) {
        0..62 => grouped(&source, random),
        62..76 => filtered(&source, random),
        76..82 => distinct(&source, random),
        82..90 => windowed(&source, random),
        90..95 => of_sets(&source, random),
        _ => with_subquery(&source, random),
    }
}

fn random_source(random: &mut StdRng, views: &[Source]) -> Source {
    let over_view = views.choose(random).filter(|_| random.random_bool(0.15));
    if let Some(view) = over_view {
        return view.clone();
    }
    if random.random_bool(0.12) { joined(random) } else { Table::Fact.source() }
}

fn joined(random: &mut StdRng) -> Source {
    let join = ["JOIN", "LEFT JOIN", "FULL JOIN"].choose(random).copied().unwrap_or("JOIN");
    let qualified = |table: Table| {
        let columns = table.source().columns;
        columns.into_iter().map(move |column| Column::new(format!("{}.{}", table.name(), column.name), column.of_type))
    };
    let columns = qualified(Table::Fact).chain(qualified(Table::Dimension)).collect();
    Source { from: format!("t {join} u ON t.k = u.k"), columns }
}

fn where_clause(source: &Source, random: &mut StdRng) -> String {
    if random.random_bool(0.45) { format!(" WHERE {}", source.predicate(random, 2)) } else { String::new() }
}

fn grouped(source: &Source, random: &mut StdRng) -> ViewQuery {
    let keys: Vec<(String, Type)> =
        (0..[0, 1, 1, 1, 2, 2, 3].choose(random).copied().unwrap_or(1)).map(|_| source.expression(random)).collect();
    let mut items = keys.clone();
    let mut may_fail = false;
    for _ in 0..random.random_range(usize::from(keys.is_empty())..5) {
        let (item, item_type, fallible) = over_aggregates(source, random);
        may_fail |= fallible;
        items.push((item, item_type));
    }
    let filter = where_clause(source, random);
    let group_by = match keys.len() {
        0 => String::new(),
        count if random.random_bool(0.3) => {
            format!(" GROUP BY {}", (1..=count).map(|position| position.to_string()).collect::<Vec<_>>().join(", "))
        }
        _ => format!(" GROUP BY {}", keys.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(", ")),
    };
    let having = if random.random_bool(0.2) { format!(" HAVING {}", having(source, random)) } else { String::new() };
    let tail = order_and_limit(items.len(), random);
    let (select, columns) = select_list(items);
    let text = format!("SELECT {select} FROM {}{filter}{group_by}{having}{tail}", source.from);
    ViewQuery { text, columns, may_fail }
}

/// An aggregate, or an expression over aggregates; whether the data may make it fail.
fn over_aggregates(source: &Source, random: &mut StdRng) -> (String, Type, bool) {
    let (first, first_type) = aggregate(source, random);
    if random.random_bool(0.7) {
        return (first, first_type, false);
    }
    match (random.random_range(0..6), first_type) {
        (0, Type::Numeric) => (format!("round({first}, 1)"), Type::Numeric, false),
        (1, Type::Numeric) => (format!("coalesce({first}, 0)"), Type::Numeric, false),
        (2, Type::Numeric | Type::BigInt) => (format!("{first} / nullif(count(*), 0)"), first_type, false),
        (3, Type::Numeric) => (format!("{first} / count({})", any_column(source, random)), Type::Numeric, true),
        (4, Type::Numeric) => (format!("100.0 * {first} / nullif(count(*), 0)"), Type::Numeric, false),
        _ => (format!("CASE WHEN count(*) > 1 THEN {first} END"), first_type, false),
    }
}

fn aggregate(source: &Source, random: &mut StdRng) -> (String, Type) {
    let filter = if random.random_bool(0.2) {
        format!(" FILTER (WHERE {})", source.predicate(random, 1))
    } else {
        String::new()
    };
    match random.random_range(0..10) {
        0 | 1 => (format!("count(*){filter}"), Type::BigInt),
        2 => (format!("count({}){filter}", source.expression(random).0), Type::BigInt),
        3 if random.random_bool(0.5) => {
            (format!("count(DISTINCT {}){filter}", any_column(source, random)), Type::BigInt)
        }
        3..=6 => match source.number(random) {
            Some((argument, of_type)) => {
                let (function, result) = match (random.random_range(0..3), of_type) {
                    (0, Type::Float) => ("avg", Type::Float),
                    (_, Type::Float) => ("sum", Type::Float),
                    (0, _) => ("avg", Type::Numeric),
                    (_, Type::Int) => ("sum", Type::BigInt),
                    _ => ("sum", Type::Numeric),
                };
                // An expression over a number may be a condition, which has no sum.
                if of_type.is_number() {
                    (format!("{function}({argument}){filter}"), result)
                } else {
                    (format!("count({argument}){filter}"), Type::BigInt)
                }
            }
            None => (format!("count(*){filter}"), Type::BigInt),
        },
        _ => match source.column(random, Type::is_ordered) {
            Some(column) => {
                let function = if random.random_bool(0.5) { "min" } else { "max" };
                (format!("{function}({}){filter}", column.name), column.of_type)
            }
            None => (format!("count(*){filter}"), Type::BigInt),
        },
    }
}

fn having(source: &Source, random: &mut StdRng) -> String {
    match random.random_range(0..3) {
        0 => format!("count(*) > {}", random.random_range(0..4)),
        1 => format!("count({}) >= 1", any_column(source, random)),
        _ => match source.column(random, |of_type| of_type == Type::Numeric) {
            Some(column) => format!("sum({}) > 1", column.name),
            None => "count(*) <> 2".to_string(),
        },
    }
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

fn filtered(source: &Source, random: &mut StdRng) -> ViewQuery {
    let mut may_fail = false;
    let mut items: Vec<(String, Type)> = (0..random.random_range(1..5)).map(|_| source.expression(random)).collect();
    if random.random_bool(0.06)
        && let Some(column) = source.column(random, |of_type| of_type == Type::Int)
    {
        items.push((format!("10 / {}", column.name), Type::Int));
        may_fail = true;
    }
    let filter = where_clause(source, random);
    let tail = order_and_limit(items.len(), random);
    let (select, columns) = select_list(items);
    ViewQuery { text: format!("SELECT {select} FROM {}{filter}{tail}", source.from), columns, may_fail }
}

fn distinct(source: &Source, random: &mut StdRng) -> ViewQuery {
    let items: Vec<(String, Type)> = (0..random.random_range(1..4)).map(|_| source.expression(random)).collect();
    let filter = where_clause(source, random);
    let (select, columns) = select_list(items);
    ViewQuery { text: format!("SELECT DISTINCT {select} FROM {}{filter}", source.from), columns, may_fail: false }
}

fn windowed(source: &Source, random: &mut StdRng) -> ViewQuery {
    let partition = any_column(source, random);
    let all: Vec<&str> = source.columns.iter().map(|column| column.name.as_str()).collect();
    let order = all.join(", ");
    let window = match random.random_range(0..4) {
        0 => (format!("row_number() OVER (PARTITION BY {partition} ORDER BY {order})"), Type::BigInt),
        1 => (format!("rank() OVER (PARTITION BY {partition} ORDER BY {})", any_column(source, random)), Type::BigInt),
        2 => (format!("count(*) OVER (PARTITION BY {partition})"), Type::BigInt),
        _ => match source.column(random, |of_type| of_type == Type::Numeric) {
            Some(column) => (format!("sum({}) OVER (PARTITION BY {partition})", column.name), Type::Numeric),
            None => (format!("count(*) OVER (ORDER BY {order})"), Type::BigInt),
        },
    };
    let items = vec![source.expression(random), window];
    let filter = where_clause(source, random);
    let (select, columns) = select_list(items);
    ViewQuery { text: format!("SELECT {select} FROM {}{filter}", source.from), columns, may_fail: false }
}

fn of_sets(source: &Source, random: &mut StdRng) -> ViewQuery {
    let column = source.column(random, |_| true).cloned().unwrap_or_else(|| Column::new("1", Type::Int));
    let operator = ["UNION ALL", "UNION", "EXCEPT ALL", "EXCEPT", "INTERSECT", "INTERSECT ALL"].choose(random).copied();
    let (left, right) = (source.predicate(random, 1), source.predicate(random, 1));
    let text = format!(
        "SELECT {name} AS c1 FROM {from} WHERE {left} {operator} SELECT {name} FROM {from} WHERE {right}",
        name = column.name,
        from = source.from,
        operator = operator.unwrap_or("UNION ALL")
    );
    ViewQuery { text, columns: vec![Column::new("c1", column.of_type)], may_fail: false }
}

fn with_subquery(source: &Source, random: &mut StdRng) -> ViewQuery {
    let items: Vec<(String, Type)> = (0..random.random_range(1..4)).map(|_| source.expression(random)).collect();
    let filter = match source.column(random, |of_type| of_type == Type::Int) {
        Some(column) if random.random_bool(0.5) => format!("{} IN (SELECT k FROM u)", column.name),
        Some(column) => format!("{} >= (SELECT min(k) FROM u)", column.name),
        None => "EXISTS (SELECT 1 FROM u WHERE w > 1)".to_string(),
    };
    let (select, columns) = select_list(items);
    ViewQuery { text: format!("SELECT {select} FROM {} WHERE {filter}", source.from), columns, may_fail: false }
}

fn any_column(source: &Source, random: &mut StdRng) -> String {
    source.column(random, |_| true).map_or_else(|| "1".to_string(), |column| column.name.clone())
}

/// The items under the names `c1`, `c2`, …
fn select_list(items: Vec<(String, Type)>) -> (String, Vec<Column>) {
    let mut select = Vec::new();
    let mut columns = Vec::new();
    for (index, (text, of_type)) in items.into_iter().enumerate() {
        let name = format!("c{}", index + 1);
        select.push(format!("{text} AS {name}"));
        columns.push(Column::new(name, of_type));
    }
    (select.join(", "), columns)
}
