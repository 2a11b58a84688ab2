//! Typed random SQL expressions over the columns of a source.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// The types that the oracle's columns and expressions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Int,
    BigInt,
    Numeric,
    Float,
    Text,
    Date,
    Timestamp,
    Bool,
}

/// A column that expressions may name.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub name: String,
    pub of_type: Type,
}

impl Column {
    pub(crate) fn new(name: impl Into<String>, of_type: Type) -> Self {
        Self { name: name.into(), of_type }
    }
}

/// What stands behind FROM, and the columns that it offers.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub from: String,
    pub columns: Vec<Column>,
    /// About how many rows it has, so that joins stay small.
    pub rows: usize,
}

impl Type {
    /// The type as CREATE TABLE names it.
    pub(crate) fn declared(self) -> &'static str {
        match self {
            Self::Int => "integer",
            Self::BigInt => "bigint",
            Self::Numeric => "numeric(6,2)",
            Self::Float => "double precision",
            Self::Text => "text",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Bool => "boolean",
        }
    }

    /// The domain, so small that rows meet.
    pub(crate) fn values(self) -> &'static [&'static str] {
        match self {
            Self::Int => &["0", "0", "1", "1", "2", "-1"],
            Self::BigInt => &["0", "1", "1", "2", "9000000000000000000"],
            Self::Numeric => &["0", "1", "1.00", "0.50", "2.25", "-0.50", "99.99"],
            Self::Float => &["0", "1", "0.1", "0.2", "1e16", "-1e16", "-0", "-0", "NaN", "Infinity", "-Infinity"],
            Self::Text => &["", "a", "a", "b", "B", "ä, \"ü\""],
            Self::Date => &["2025-01-31", "2025-01-31", "2025-02-01", "2024-02-29", "2025-12-31"],
            Self::Timestamp => &["2025-01-31 23:59:59.999999", "2025-02-01 00:00:00", "2024-02-29 12:30:00"],
            Self::Bool => &["true", "false"],
        }
    }

    /// A value as a literal of the type.
    pub(crate) fn literal(self, value: Option<&str>) -> String {
        match (value, self) {
            (None, _) => "NULL".to_string(),
            (Some(text), Self::Int | Self::BigInt | Self::Numeric | Self::Bool) => text.to_string(),
            (Some(text), Self::Float) => format!("'{text}'"),
            (Some(text), _) => format!("'{}'", text.replace('\'', "''")),
        }
    }

    /// A random literal of the type, with the type's name where the context may not tell it.
    pub(crate) fn random_literal(self, random: &mut StdRng) -> String {
        let literal = self.literal(self.values().choose(random).copied());
        match self {
            Self::Date => format!("DATE {literal}"),
            Self::Timestamp => format!("TIMESTAMP {literal}"),
            Self::Float => format!("{literal}::double precision"),
            _ => literal,
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::BigInt | Self::Numeric | Self::Float)
    }

    /// True for the types of which min and max exist.
    pub(crate) fn is_ordered(self) -> bool {
        self != Self::Bool
    }
}

impl Source {
    /// The source under an alias, its columns qualified with it.
    pub(crate) fn aliased(&self, alias: &str) -> Self {
        let columns = self.columns.iter();
        let columns = columns.map(|column| Column::new(format!("{alias}.{}", column.name), column.of_type)).collect();
        Self { from: format!("{} AS {alias}", self.from), columns, rows: self.rows }
    }

    /// The source without its columns of doubles: 0 and -0 are equal and not the same.
    pub(crate) fn without_floats(&self) -> Self {
        let columns = self.columns.iter().filter(|column| column.of_type != Type::Float).cloned().collect();
        Self { from: self.from.clone(), columns, rows: self.rows }
    }

    /// A random column, of one of the types where it matters.
    pub(crate) fn column(&self, random: &mut StdRng, accepts: impl Fn(Type) -> bool) -> Option<&Column> {
        let accepted: Vec<&Column> = self.columns.iter().filter(|column| accepts(column.of_type)).collect();
        accepted.choose(random).copied()
    }

    /// A random expression with its type, often just a column.
    pub(crate) fn expression(&self, random: &mut StdRng) -> (String, Type) {
        let Some(Column { name, of_type }) = self.column(random, |_| true) else { return ("1".into(), Type::Int) };
        if random.random_bool(0.45) {
            return (name.clone(), *of_type);
        }
        match of_type {
            Type::Int | Type::BigInt => self.integer_expression(name, *of_type, random),
            Type::Numeric => self.numeric_expression(name, random),
            Type::Float => (format!("{name} * 2"), Type::Float),
            Type::Text => self.text_expression(name, random),
            Type::Date => date_expression(name, random),
            Type::Timestamp => timestamp_expression(name, random),
            Type::Bool => (format!("NOT {name}"), Type::Bool),
        }
    }

    /// An expression of a number type, for sum and avg.
    pub(crate) fn number(&self, random: &mut StdRng) -> Option<(String, Type)> {
        let Column { name, of_type } = self.column(random, Type::is_number)?;
        if random.random_bool(0.6) {
            return Some((name.clone(), *of_type));
        }
        Some(match of_type {
            Type::Int | Type::BigInt => self.integer_expression(name, *of_type, random),
            Type::Numeric => self.numeric_expression(name, random),
            _ => (format!("-{name}"), Type::Float),
        })
    }

    fn integer_expression(&self, name: &str, of_type: Type, random: &mut StdRng) -> (String, Type) {
        match random.random_range(0..6) {
            0 => (format!("coalesce({name}, -1)"), of_type),
            1 => (format!("{name} % 2"), of_type),
            2 => (format!("{name} - 1"), of_type),
            3 => (format!("CASE WHEN {} THEN {name} ELSE 0 END", self.predicate(random, 1)), of_type),
            4 => match self.column(random, |other| other == Type::Numeric) {
                Some(other) => (format!("{name} + {}", other.name), Type::Numeric),
                None => (format!("abs({name})"), of_type),
            },
            _ => (format!("{name} IS NULL"), Type::Bool),
        }
    }

    fn numeric_expression(&self, name: &str, random: &mut StdRng) -> (String, Type) {
        match random.random_range(0..6) {
            0 => (format!("coalesce({name}, 0)"), Type::Numeric),
            1 => (format!("{name} * 2"), Type::Numeric),
            2 => (format!("{name} > 0.5"), Type::Bool),
            3 => (format!("round({name})"), Type::Numeric),
            4 => (format!("CASE WHEN {} THEN {name} END", self.predicate(random, 1)), Type::Numeric),
            _ => (format!("abs({name})"), Type::Numeric),
        }
    }

    fn text_expression(&self, name: &str, random: &mut StdRng) -> (String, Type) {
        match random.random_range(0..5) {
            0 => (format!("upper({name})"), Type::Text),
            1 => (format!("coalesce({name}, 'none')"), Type::Text),
            2 => (format!("length({name})"), Type::Int),
            3 => (format!("{name} || '!'"), Type::Text),
            _ => (format!("nullif({name}, 'a')"), Type::Text),
        }
    }

    /// A random condition; `depth` bounds how many AND, OR and NOT it nests.
    pub(crate) fn predicate(&self, random: &mut StdRng, depth: u32) -> String {
        if depth > 0 && random.random_bool(0.35) {
            let left = self.predicate(random, depth - 1);
            return match random.random_range(0..3) {
                0 => format!("({left} AND {})", self.predicate(random, depth - 1)),
                1 => format!("({left} OR {})", self.predicate(random, depth - 1)),
                _ => format!("NOT ({left})"),
            };
        }
        let Some(Column { name, of_type }) = self.column(random, |_| true) else { return "true".into() };
        let (name, of_type) = (name.as_str(), *of_type);
        let literal = of_type.random_literal(random);
        let other = self.column(random, |other| other == of_type).map_or("NULL", |column| column.name.as_str());
        match random.random_range(0..9) {
            _ if of_type == Type::Bool => ["{}", "NOT {}", "{} IS TRUE", "{} IS NOT FALSE", "{} IS NULL"]
                .choose(random)
                .map_or_else(String::new, |form| form.replace("{}", name)),
            0 => format!("{name} IS NULL"),
            1 => format!("{name} IS NOT NULL"),
            2 => format!("{name} = {literal}"),
            3 => format!("{name} <> {literal}"),
            4 => format!("{name} >= {literal}"),
            5 => format!("{name} < {literal}"),
            6 => format!("{name} IN ({literal}, {})", of_type.random_literal(random)),
            7 => format!("{name} IS DISTINCT FROM {other}"),
            _ => special_predicate(name, of_type, random),
        }
    }
}

fn special_predicate(name: &str, of_type: Type, random: &mut StdRng) -> String {
    match of_type {
        Type::Int | Type::BigInt => format!("{name} BETWEEN 0 AND {}", random.random_range(0..3)),
        Type::Numeric => format!("{name} * 2 > 1"),
        Type::Float => format!("{name} > 0.15"),
        Type::Text => format!("{name} LIKE 'a%'"),
        Type::Date | Type::Timestamp => format!("extract(month from {name}) = {}", random.random_range(1..3)),
        Type::Bool => name.to_string(),
    }
}

fn date_expression(name: &str, random: &mut StdRng) -> (String, Type) {
    match random.random_range(0..5) {
        0 => (format!("extract(month from {name})"), Type::Numeric),
        1 => (format!("extract(year from {name})"), Type::Numeric),
        2 => (format!("date_trunc('month', {name}::timestamp)"), Type::Timestamp),
        3 => (format!("date_trunc('month', {name})::date"), Type::Date),
        _ => (format!("{name} + 1"), Type::Date),
    }
}

fn timestamp_expression(name: &str, random: &mut StdRng) -> (String, Type) {
    match random.random_range(0..4) {
        0 => (format!("date_trunc('day', {name})"), Type::Timestamp),
        1 => (format!("{name}::date"), Type::Date),
        2 => (format!("extract(day from {name})"), Type::Numeric),
        _ => (format!("date_trunc('month', {name})"), Type::Timestamp),
    }
}
