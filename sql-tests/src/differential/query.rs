//! Random queries over the tables: grouping, windows, joins, set operations, subqueries, ordering.
//!
//! Each query either orders its rows completely or is compared as a multiset. Clauses that may be left out are trees
//! of their own, so that a difference can be shrunk.

use super::expression::Generator;
use super::statement::{Scope, Statement};
use super::tables::{Column, Table};
use super::tree::{Mark, Role, Tree};
use super::values::Type;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Types of keys, where rows shall meet.
const KEY_TYPES: &[Type] = &[
    Type::Bool,
    Type::Int2,
    Type::Int4,
    Type::Numeric,
    Type::Text,
    Type::Date,
    Type::Timestamp,
    Type::TimestampTz,
    Type::Float8,
    Type::Uuid,
];

/// A random query for sessions of a zone.
pub(crate) fn random_query(random: &mut StdRng, zone: &'static str) -> Statement {
    match random.random_range(0..100) {
        0..16 => aggregates(random, zone),
        16..36 => groups(random, zone),
        36..54 => windows(random, zone),
        54..66 => joins(random, zone),
        66..76 => set_operations(random, zone),
        76..88 => subqueries(random, zone),
        88..95 => orderings(random, zone),
        _ => table_functions(random, zone),
    }
}

fn source(random: &mut StdRng) -> Table {
    if random.random_bool(0.85) { Table::Plain } else { Table::Near }
}

fn statement(zone: &'static str, scope: Scope, items: Vec<Tree>, after: Vec<Tree>, ordered: bool) -> Statement {
    Statement {
        zone,
        before: Tree::fixed("SELECT "),
        items,
        after: Tree::sequence(Role::Fixed, "", after),
        ordered,
        items_fixed: 0,
        scope,
        is_query: true,
    }
}

fn from(table: Table) -> Tree {
    Tree::fixed(format!(" FROM {}", table.name()))
}

/// WHERE with a random condition, or nothing.
fn filter(generator: &mut Generator<'_>, probability: f64) -> Tree {
    if !generator.random.random_bool(probability) {
        return Tree::empty();
    }
    let depth = generator.random.random_range(1..3);
    let condition = generator.value(Type::Bool, depth, true);
    Tree::clause(" WHERE ", vec![condition])
}

fn aggregates(random: &mut StdRng, zone: &'static str) -> Statement {
    let table = source(random);
    let columns = table.columns("");
    let mut generator = Generator::new(random, &columns, table.range());
    let count = generator.random.random_range(1..4);
    let items = (0..count).map(|_| generator.aggregate_expression("id")).collect();
    let filter = filter(&mut generator, 0.3);
    statement(zone, Scope::Table(table.name()), items, vec![from(table), filter], true)
}

fn groups(random: &mut StdRng, zone: &'static str) -> Statement {
    let table = source(random);
    let columns = table.columns("");
    let mut generator = Generator::new(random, &columns, table.range());
    let key_count = generator.random.random_range(1..3);
    let mut items: Vec<Tree> = Vec::new();
    for _ in 0..key_count {
        items.push(group_key(&mut generator));
    }
    let by_position = generator.random.random_bool(0.6);
    let mut keys: Vec<Tree> = (0..key_count)
        .map(|index| if by_position { Tree::fixed((index + 1).to_string()) } else { kept(&items[index]) })
        .collect();
    let aggregates = generator.random.random_range(1..4);
    items.extend((0..aggregates).map(|_| generator.aggregate_expression("id")));
    let mut ordered = generator.random.random_bool(0.5);
    let sets = generator.random.random_range(0..10);
    if sets < 3 && !by_position {
        let texts: Vec<String> = keys.iter().map(Tree::text).collect();
        items.push(Tree::fixed(format!("grouping({})", texts.join(", "))));
        let first = keys[0].clone();
        let all = Tree { role: Role::Fixed, ..Tree::clause("", keys) };
        let text = Tree::fixed;
        let grouped = match sets {
            0 => vec![text("ROLLUP ("), all, text(")")],
            1 => vec![text("CUBE ("), all, text(")")],
            _ => vec![text("GROUPING SETS (("), all, text("), ("), first, text("), ())")],
        };
        keys = vec![Tree::sequence(Role::Fixed, "", grouped)];
        ordered = false;
    }
    let mut after = vec![
        from(table),
        filter(&mut generator, 0.3),
        Tree::sequence(
            Role::Fixed,
            "GROUP BY",
            vec![Tree::fixed(" GROUP BY "), Tree { role: Role::Fixed, ..Tree::clause("", keys) }],
        ),
    ];
    if generator.random.random_bool(0.25) {
        let conditions = ["count(*) > 1", "max(i4) > 0", "sum(n) IS NOT NULL", "bool_or(b)", "min(t) < 'b'"];
        after
            .push(Tree::clause(" HAVING ", vec![Tree::fixed(*conditions.choose(generator.random).unwrap_or(&"true"))]));
    }
    if ordered {
        let keys = (0..key_count).map(|index| order_key(index + 1, generator.random)).collect();
        after.push(Tree { role: Role::Fixed, ..Tree::clause(" ORDER BY ", keys) });
    }
    Statement { items_fixed: key_count, ..statement(zone, Scope::Table(table.name()), items, after, ordered) }
}

/// An expression in a place that is not left out, and does not become a simpler one by itself.
fn kept(expression: &Tree) -> Tree {
    Tree::sequence(Role::Fixed, "", vec![expression.clone()])
}

/// An expression over a column: a constant would be a position or an error.
fn group_key(generator: &mut Generator<'_>) -> Tree {
    loop {
        let depth = u32::from(generator.random.random_bool(0.3));
        let key = generator.any_of(KEY_TYPES, depth);
        if key.all().into_iter().any(|(_, tree)| tree.is_column()) {
            return key;
        }
    }
}

fn order_key(position: usize, random: &mut StdRng) -> Tree {
    let direction = ["", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST"].choose(random).copied().unwrap_or_default();
    Tree::fixed(format!("{position}{direction}"))
}

fn windows(random: &mut StdRng, zone: &'static str) -> Statement {
    let table = source(random);
    let columns = table.columns("");
    let mut generator = Generator::new(random, &columns, table.range());
    let count = generator.random.random_range(1..3);
    let mut items = vec![Tree::fixed("id")];
    items.extend((0..count).map(|_| generator.window_call("id")));
    let filter = filter(&mut generator, 0.2);
    let after = vec![from(table), filter, Tree::fixed(" ORDER BY id")];
    statement(zone, Scope::Table(table.name()), items, after, true)
}

fn joins(random: &mut StdRng, zone: &'static str) -> Statement {
    let (left, right) = (source(random), source(random));
    let columns: Vec<Column> = [left.columns("l"), right.columns("r")].concat();
    let mut generator = Generator::new(random, &columns, left.range());
    let key = generator.any_of(KEY_TYPES, 0).value_type().unwrap_or(Type::Int4);
    let name =
        Table::Plain.columns("").into_iter().find(|column| column.of_type == key).map_or_else(String::new, |c| c.name);
    let kind = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"].choose(generator.random).copied();
    let kind = kind.unwrap_or("JOIN");
    let condition = match generator.random.random_range(0..8) {
        _ if kind == "CROSS JOIN" => Tree::empty(),
        0 if matches!(kind, "JOIN" | "LEFT JOIN") => Tree::fixed(format!(" USING ({name})")),
        1 if matches!(kind, "JOIN" | "LEFT JOIN") => Tree::fixed(format!(" ON l.{name} < r.{name}")),
        2 => {
            let extra = generator.value(Type::Bool, 1, true);
            let extra = Tree::sequence(Role::Optional, "AND", vec![Tree::fixed(" AND ("), extra, Tree::fixed(")")]);
            Tree::sequence(Role::Fixed, "ON", vec![Tree::fixed(format!(" ON l.{name} = r.{name}")), extra])
        }
        _ => Tree::fixed(format!(" ON l.{name} = r.{name}")),
    };
    let mut items = vec![Tree::fixed("l.id"), Tree::fixed("r.id")];
    for _ in 0..generator.random.random_range(1..3) {
        items.push(generator.any(1));
    }
    let tables = format!(" FROM {} l {kind} {} r", left.name(), right.name());
    let filter = filter(&mut generator, 0.4);
    let after = vec![Tree::leaf(Role::Fixed, kind, tables), condition, filter, Tree::fixed(" ORDER BY l.id, r.id")];
    statement(zone, Scope::Pair(left.name(), right.name()), items, after, true)
}

fn set_operations(random: &mut StdRng, zone: &'static str) -> Statement {
    let table = source(random);
    let columns = table.columns("");
    let mut generator = Generator::new(random, &columns, table.range());
    let count = generator.random.random_range(1..3);
    let mut items = Vec::new();
    let mut others = Vec::new();
    for _ in 0..count {
        let of = KEY_TYPES.choose(generator.random).copied().unwrap_or(Type::Int4);
        let other = match (of, generator.random.random_range(0..4)) {
            (Type::Int4, 0) => Type::Int8,
            (Type::Int2, 0) => Type::Numeric,
            (Type::Text, 0) => Type::Varchar,
            (Type::Date, 0) => Type::Timestamp,
            _ => of,
        };
        let mut item = generator.value(of, 1, true);
        // "Numerics that meet in UNION show their common scale."
        if of == Type::Numeric || other == Type::Numeric {
            item.mark = Mark::Scale;
        }
        let other = generator.value(other, 1, true);
        for mark in [Mark::CubeRoot, Mark::Double] {
            if other.has_mark(mark) {
                item.mark = item.mark.max(mark);
            }
        }
        items.push(item);
        others.push(other);
    }
    let operations = ["UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"];
    let operation = operations.choose(generator.random).copied().unwrap_or("UNION");
    let other = source(generator.random);
    let filters = [filter(&mut generator, 0.3), filter(&mut generator, 0.3)];
    let [first, second] = filters;
    let after = vec![
        from(table),
        first,
        Tree::leaf(Role::Fixed, operation, format!(" {operation} SELECT ")),
        Tree { role: Role::Fixed, ..Tree::clause("", others) },
        from(other),
        second,
    ];
    Statement { items_fixed: count, ..statement(zone, Scope::Table(table.name()), items, after, false) }
}

/// Conditions and values with subqueries over the row `l`. `{…}` is a condition on the row `r`.
const SUBQUERY_CONDITIONS: &[&str] = &[
    "l.i4 IN (SELECT r.i4 FROM plain r WHERE {})",
    "l.i4 NOT IN (SELECT r.i4 FROM plain r WHERE r.i4 IS NOT NULL AND {})",
    "l.t NOT IN (SELECT r.t FROM near r)",
    "EXISTS (SELECT 1 FROM near r WHERE r.i4 = l.i4 AND {})",
    "NOT EXISTS (SELECT FROM near r WHERE r.t = l.t)",
    "EXISTS (SELECT 1 FROM near r WHERE r.i4 < l.i4 AND r.b = l.b)",
    "l.i4 > (SELECT avg(r.i4) FROM plain r WHERE {})",
    "l.n >= ALL (SELECT r.n FROM plain r WHERE r.b = l.b AND r.n IS NOT NULL)",
    "l.f8 = ANY (SELECT r.f8 FROM plain r WHERE {})",
    "l.d = (SELECT max(r.d) FROM plain r WHERE r.b = l.b)",
    "(SELECT count(*) FROM near r WHERE r.i2 = l.i2) > 1",
    "l.i4 = (SELECT r.i4 FROM plain r WHERE r.id = l.id)",
    "l.v = (SELECT r.v FROM plain r)",
];

const SUBQUERY_VALUES: &[&str] = &[
    "(SELECT max(r.i4) FROM near r WHERE r.t = l.t)",
    "(SELECT count(*) FROM plain r WHERE r.b = l.b AND {})",
    "(SELECT count(*) FROM near r WHERE r.i4 < l.i4)",
    "(SELECT sum(r.n) FROM plain r WHERE r.i2 = l.i2)",
    "(SELECT r.d FROM plain r WHERE r.id = l.id + 1)",
    "(SELECT min(r.t) FROM near r)",
    "coalesce((SELECT max(r.tz) FROM plain r WHERE {}), l.tz)",
    "ARRAY(SELECT r.i4 FROM plain r WHERE r.id < 5 ORDER BY r.id)",
    "EXISTS (SELECT 1 FROM near r WHERE r.i4 = l.i4)",
    "l.i4 IN (SELECT r.i4 FROM near r)",
    "(SELECT r.t FROM near r WHERE r.i4 = l.i4 ORDER BY r.id LIMIT 1)",
    "(SELECT string_agg(r.t, ',' ORDER BY r.id) FROM near r WHERE r.b = l.b)",
];

/// What may stand in FROM in place of a table, with the columns of `plain`.
const DERIVED_TABLES: &[&str] = &[
    "(SELECT * FROM plain) l",
    "(SELECT DISTINCT ON (i4) * FROM plain ORDER BY i4, id) l",
    "(SELECT * FROM plain ORDER BY id LIMIT 7 OFFSET 2) l",
    "(SELECT * FROM plain UNION ALL SELECT * FROM near) l",
    "(SELECT p.* FROM plain p JOIN near q ON p.id = q.id) l",
    "(SELECT * FROM plain WHERE b) l",
];

fn subqueries(random: &mut StdRng, zone: &'static str) -> Statement {
    let outer = Table::Plain.columns("l");
    let inner = Table::Plain.columns("r");
    let mut items = vec![Tree::fixed("l.id")];
    if random.random_bool(0.4) {
        let value = subquery(random, SUBQUERY_VALUES, &inner);
        items.push(value);
    }
    let mut conditions = Vec::new();
    if random.random_bool(0.6) || items.len() == 1 {
        conditions.push(subquery(random, SUBQUERY_CONDITIONS, &inner));
    }
    let shape = random.random_range(0..4);
    let derived = DERIVED_TABLES.choose(random).copied().unwrap_or("plain l");
    let mut generator = Generator::new(random, &outer, Table::Plain.range());
    items.push(generator.any(1));
    let filter = if conditions.is_empty() { filter(&mut generator, 0.5) } else { Tree::clause(" WHERE ", conditions) };
    let (before, source) = match shape {
        0 => ("SELECT ".to_string(), derived.to_string()),
        1 => (format!("WITH c AS (SELECT * FROM {derived}) SELECT "), "c l".to_string()),
        _ => ("SELECT ".to_string(), "plain l".to_string()),
    };
    let after = vec![Tree::fixed(format!(" FROM {source}")), filter];
    let scope = Scope::Pair(Table::Plain.name(), Table::Plain.name());
    Statement { before: Tree::fixed(before), ..statement(zone, scope, items, after, false) }
}

/// A template whose `{}` becomes a condition on the inner row.
fn subquery(random: &mut StdRng, templates: &[&str], inner: &[Column]) -> Tree {
    let template = templates.choose(random).copied().unwrap_or("true");
    let tree = match template.split_once("{}") {
        None => Tree::leaf(Role::Value(None), template, template),
        Some((before, after)) => {
            let condition = Generator::new(random, inner, Table::Plain.range()).value(Type::Bool, 1, true);
            let trees = vec![Tree::fixed(format!("{before}(")), condition, Tree::fixed(format!("){after}"))];
            Tree::sequence(Role::Value(None), template, trees)
        }
    };
    Tree { role: Role::Value(None), ..tree }
}

fn orderings(random: &mut StdRng, zone: &'static str) -> Statement {
    let table = source(random);
    let columns = table.columns("");
    let mut generator = Generator::new(random, &columns, table.range());
    let count = generator.random.random_range(1..4);
    let items: Vec<Tree> = (0..count).map(|_| generator.any_of(KEY_TYPES, 1)).collect();
    let filter = filter(&mut generator, 0.3);
    let limit =
        [" LIMIT 5", " LIMIT 3 OFFSET 2", " OFFSET 30", " FETCH FIRST 4 ROWS ONLY", " LIMIT 0", " LIMIT ALL", ""];
    let limit = Tree::leaf(Role::Optional, "LIMIT", *limit.choose(generator.random).unwrap_or(&""));
    let positions: Vec<Tree> = (1..=count).map(|position| order_key(position, generator.random)).collect();
    let positions = Tree { role: Role::Fixed, ..Tree::clause(" ORDER BY ", positions) };
    let scope = Scope::Table(table.name());
    match generator.random.random_range(0..4) {
        0 => {
            let after = vec![from(table), filter, positions, limit];
            let distinct = statement(zone, scope, items, after, true);
            Statement { before: Tree::fixed("SELECT DISTINCT "), items_fixed: count, ..distinct }
        }
        1 => {
            let key = items[0].clone();
            let direction = Tree::fixed(", id");
            let order = Tree::sequence(Role::Fixed, "", vec![Tree::fixed(" ORDER BY "), key.clone(), direction]);
            let after = vec![from(table), filter, order, limit];
            let before = Tree::fixed(format!("SELECT DISTINCT ON ({}) ", key.text()));
            let distinct = statement(zone, scope, items, after, true);
            Statement { before, items_fixed: 1, ..distinct }
        }
        _ => {
            let key = generator.any_of(KEY_TYPES, 1);
            let direction = ["", " DESC", " NULLS FIRST"].choose(generator.random).copied().unwrap_or_default();
            let key = Tree::sequence(Role::Fixed, "ORDER BY", vec![key, Tree::fixed(direction)]);
            let order = Tree { role: Role::Fixed, ..Tree::clause(" ORDER BY ", vec![key, Tree::fixed("id")]) };
            statement(zone, scope, items, vec![from(table), filter, order, limit], true)
        }
    }
}

/// What else may stand in FROM, and its columns.
const TABLE_FUNCTIONS: &[(&str, &[(&str, Type)])] = &[
    ("generate_series(1, 5) AS g(x)", &[("x", Type::Int4)]),
    ("generate_series(10, 1, -3) AS g(x)", &[("x", Type::Int4)]),
    ("generate_series(3000000000, 3000000004, 2) x", &[("x", Type::Int8)]),
    (
        "generate_series(timestamp '2024-03-30', timestamp '2024-04-01', interval '9 hours') AS g(x)",
        &[("x", Type::Timestamp)],
    ),
    ("unnest(ARRAY[3, NULL, 1]) WITH ORDINALITY AS u(x, o)", &[("x", Type::Int4), ("o", Type::Int8)]),
    ("unnest(ARRAY['a', 'b', NULL]) AS u(x)", &[("x", Type::Text)]),
    ("(VALUES (1, 'a'), (2, NULL), (NULL, 'c')) AS v(x, y)", &[("x", Type::Int4), ("y", Type::Text)]),
    ("(VALUES (1, 1.5), (2.5, 2)) AS v(x, y)", &[("x", Type::Numeric), ("y", Type::Numeric)]),
    (
        "(VALUES (date '2024-01-01', NULL::interval), (NULL, '1 day')) AS v(x, y)",
        &[("x", Type::Date), ("y", Type::Interval)],
    ),
    ("regexp_matches('abcabd', 'ab(.)', 'g') AS r(x)", &[("x", Type::TextArray)]),
    ("regexp_split_to_table('a,b,c', ',') AS r(x)", &[("x", Type::Text)]),
    ("string_to_table('a,b,c', ',', 'b') AS r(x)", &[("x", Type::Text)]),
];

fn table_functions(random: &mut StdRng, zone: &'static str) -> Statement {
    let (table, columns) = TABLE_FUNCTIONS.choose(random).copied().unwrap_or(("generate_series(1, 2) AS g(x)", &[]));
    let columns: Vec<Column> = columns.iter().map(|(name, of_type)| Column::new(*name, *of_type)).collect();
    let mut generator = Generator::new(random, &columns, Table::Plain.range());
    let mut items = Vec::new();
    for Column { name, of_type } in &columns {
        // "Numerics that meet in VALUES show their common scale."
        let mark = if *of_type == Type::Numeric { Mark::Scale } else { Mark::None };
        items.push(Tree { mark, ..Tree::leaf(Role::Value(Some(*of_type)), of_type.name(), name.as_str()) });
    }
    for column in &columns {
        let exact = column.of_type == Type::Numeric;
        items.push(generator.value(if exact { Type::Bool } else { column.of_type }, 2, true));
    }
    let filter = filter(&mut generator, 0.3);
    let after = vec![Tree::leaf(Role::Fixed, table, format!(" FROM {table}")), filter];
    statement(zone, Scope::Source(table), items, after, false)
}
