//! The tables of an episode: the same columns, another partitioning and sort key each time; and their tiny domains.

use super::expression::{Column, Source, Type};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// The columns of the fact table `t`: a name, a type, whether NULL is allowed.
const FACT_COLUMNS: &[(&str, Type, bool)] = &[
    ("g", Type::Text, true),
    ("d", Type::Date, true),
    ("k", Type::Int, true),
    ("a", Type::Numeric, true),
    ("b", Type::BigInt, true),
    ("s", Type::Text, true),
    ("f", Type::Float, true),
    ("at", Type::Timestamp, true),
    ("flag", Type::Bool, true),
    ("n", Type::Int, false),
];

/// The columns of the dimension table `u`.
const DIMENSION_COLUMNS: &[(&str, Type, bool)] =
    &[("k", Type::Int, true), ("label", Type::Text, true), ("w", Type::Numeric, true)];

/// The columns of `p`, which has the fact table's keys at a coarser grain.
const TARGET_COLUMNS: &[(&str, Type, bool)] =
    &[("k", Type::Int, true), ("g", Type::Text, true), ("m", Type::Numeric, true), ("h", Type::Int, true)];

/// The columns of `q`, whose sums are of doubles.
const EVENT_COLUMNS: &[(&str, Type, bool)] =
    &[("k", Type::Int, true), ("d", Type::Date, true), ("e", Type::Float, true), ("y", Type::Int, false)];

const PARTITIONINGS: &[&str] = &[
    "",
    " PARTITION BY (g)",
    " PARTITION BY (month(d))",
    " PARTITION BY (g, month(d))",
    " PARTITION BY (year(d), k)",
    " PARTITION BY (day(d))",
    " PARTITION BY (month(at))",
    " PARTITION BY (s, g)",
];

const SORT_KEYS: &[&str] = &["", "", "d", "d, k", "k", "at, g", "a", "s, n"];

/// The name of a plain view over the fact table, and what it may be.
pub(crate) const PLAIN_VIEW: &str = "l";
const PLAIN_VIEWS: &[&str] = &[
    "SELECT k, g, d, a FROM t",
    "SELECT k, g, d, a + 1 AS a FROM t WHERE flag IS NOT FALSE",
    "SELECT coalesce(t.k, -1) AS k, label AS g, d, w AS a FROM t LEFT JOIN u ON t.k = u.k",
    "SELECT k, g, max(d) AS d, sum(a) AS a FROM t GROUP BY k, g",
    "SELECT k, g, d, a FROM t UNION ALL SELECT k, label, NULL, w FROM u",
    "SELECT DISTINCT k, g, d, a FROM t",
];

/// A table of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Fact,
    Dimension,
    Target,
    Event,
}

impl Table {
    pub(crate) const ALL: [Self; 4] = [Self::Fact, Self::Dimension, Self::Target, Self::Event];
    /// Those that have few rows.
    pub(crate) const SMALL: [Self; 3] = [Self::Dimension, Self::Target, Self::Event];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fact => "t",
            Self::Dimension => "u",
            Self::Target => "p",
            Self::Event => "q",
        }
    }

    pub(crate) fn columns(self) -> &'static [(&'static str, Type, bool)] {
        match self {
            Self::Fact => FACT_COLUMNS,
            Self::Dimension => DIMENSION_COLUMNS,
            Self::Target => TARGET_COLUMNS,
            Self::Event => EVENT_COLUMNS,
        }
    }

    /// The table as a FROM item.
    pub(crate) fn source(self) -> Source {
        let columns = self.columns().iter().map(|(name, of_type, _)| Column::new(*name, *of_type)).collect();
        let rows = if self == Self::Fact { 100 } else { 10 };
        Source { from: self.name().to_string(), columns, rows }
    }
}

/// CREATE TABLE for every table, and CREATE VIEW for what [`plain_view`] reads.
pub(crate) fn create_tables(random: &mut StdRng) -> Vec<String> {
    let tables = Table::ALL.iter().map(|table| create_table(*table, random));
    let mut statements: Vec<String> = tables.collect();
    let query = PLAIN_VIEWS.choose(random).copied().unwrap_or("SELECT k, g, d, a FROM t");
    statements.push(format!("CREATE VIEW {PLAIN_VIEW} AS {query}"));
    statements
}

/// The plain view over the fact table as a FROM item.
pub(crate) fn plain_view() -> Source {
    let columns = [("k", Type::Int), ("g", Type::Text), ("d", Type::Date), ("a", Type::Numeric)];
    let columns = columns.into_iter().map(|(name, of_type)| Column::new(name, of_type)).collect();
    Source { from: PLAIN_VIEW.to_string(), columns, rows: 100 }
}

fn create_table(table: Table, random: &mut StdRng) -> String {
    let declared = table.columns().iter().map(|(name, of_type, nullable)| {
        let not_null = if *nullable { "" } else { " NOT NULL" };
        format!("{name} {}{not_null}", of_type.declared())
    });
    let columns = declared.collect::<Vec<_>>().join(", ");
    let layout = match table {
        Table::Fact => {
            let partitioning = PARTITIONINGS.choose(random).copied().unwrap_or_default();
            let sort_key = SORT_KEYS.choose(random).copied().unwrap_or_default();
            let with = if sort_key.is_empty() { String::new() } else { format!(" WITH (order_by = '{sort_key}')") };
            format!("{partitioning}{with}")
        }
        Table::Event if random.random_bool(0.5) => " PARTITION BY (month(d))".to_string(),
        Table::Dimension | Table::Target | Table::Event => String::new(),
    };
    format!("CREATE TABLE {} ({columns}){layout}", table.name())
}

/// A row of values, `None` for NULL, without quotes.
pub(crate) fn row(table: Table, random: &mut StdRng) -> Vec<Option<&'static str>> {
    let value = |(_, of_type, nullable): &(&str, Type, bool), random: &mut StdRng| {
        if *nullable && random.random_bool(0.15) { None } else { of_type.values().choose(random).copied() }
    };
    table.columns().iter().map(|column| value(column, random)).collect()
}

/// A row as `(…)` of VALUES.
pub(crate) fn values_row(table: Table, row: &[Option<&str>]) -> String {
    let literals = row.iter().zip(table.columns()).map(|(value, (_, of_type, _))| of_type.literal(*value));
    format!("({})", literals.collect::<Vec<_>>().join(", "))
}

/// A row as a line of COPY's csv format: NULL is empty, an empty text is quoted.
pub(crate) fn csv_line(row: &[Option<&str>]) -> String {
    let fields = row.iter().map(|value| match value {
        None => String::new(),
        Some("") => "\"\"".to_string(),
        Some(text) if text.contains([',', '"']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Some(text) => (*text).to_string(),
    });
    fields.collect::<Vec<_>>().join(",") + "\n"
}

/// A row as a line of COPY's text format.
pub(crate) fn text_line(row: &[Option<&str>]) -> String {
    let fields = row.iter().map(|value| value.unwrap_or("\\N"));
    fields.collect::<Vec<_>>().join("\t") + "\n"
}
