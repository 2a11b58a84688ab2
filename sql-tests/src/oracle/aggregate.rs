//! Random aggregates, and expressions over them.

use super::expression::{Source, Type};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// An aggregate, or an expression over aggregates; whether the data may make it fail.
pub(crate) fn over_aggregates(source: &Source, mirrored: bool, random: &mut StdRng) -> (String, Type, bool) {
    let (first, first_type) = aggregate(source, mirrored, random);
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

/// An aggregate over the source's rows, or over those that a FILTER keeps.
fn aggregate(source: &Source, mirrored: bool, random: &mut StdRng) -> (String, Type) {
    let (call, of_type) = match random.random_range(0..10) {
        0..7 => common(source, random),
        _ => rarer(source, mirrored, random).unwrap_or_else(|| common(source, random)),
    };
    if random.random_bool(0.2) {
        return (format!("{call} FILTER (WHERE {})", source.predicate(random, 1)), of_type);
    }
    (call, of_type)
}

fn common(source: &Source, random: &mut StdRng) -> (String, Type) {
    match random.random_range(0..9) {
        0 | 1 => ("count(*)".into(), Type::BigInt),
        2 => (format!("count({})", source.expression(random).0), Type::BigInt),
        3..=6 => source.number(random).map_or_else(|| ("count(*)".into(), Type::BigInt), |number| sum(number, random)),
        _ => match source.column(random, Type::is_ordered) {
            Some(column) => {
                let function = if random.random_bool(0.5) { "min" } else { "max" };
                (format!("{function}({})", column.name), column.of_type)
            }
            None => ("count(*)".into(), Type::BigInt),
        },
    }
}

fn sum((argument, of_type): (String, Type), random: &mut StdRng) -> (String, Type) {
    // An expression over a number may be a condition, which has no sum.
    if !of_type.is_number() {
        return (format!("count({argument})"), Type::BigInt);
    }
    let (function, result) = match (random.random_range(0..3), of_type) {
        (0, Type::Float) => ("avg", Type::Float),
        (_, Type::Float) => ("sum", Type::Float),
        (0, _) => ("avg", Type::Numeric),
        (_, Type::Int) => ("sum", Type::BigInt),
        _ => ("sum", Type::Numeric),
    };
    (format!("{function}({argument})"), result)
}

/// Aggregates that are seldom seen; `None` where the source has no column for the one that was drawn.
fn rarer(source: &Source, mirrored: bool, random: &mut StdRng) -> Option<(String, Type)> {
    let exact = |of_type: Type| of_type.is_number() && of_type != Type::Float;
    let small = |of_type: Type| matches!(of_type, Type::Int | Type::Numeric);
    Some(match random.random_range(0..12) {
        10 => {
            let column = source.column(random, |of_type| of_type == Type::Text)?;
            (format!("max(length({}))", column.name), Type::Int)
        }
        11 => {
            let column = source.column(random, |of_type| matches!(of_type, Type::Int | Type::Text | Type::Date))?;
            (format!("mode() WITHIN GROUP (ORDER BY {})", column.name), column.of_type)
        }
        0 => (format!("count(DISTINCT {})", source.expression(random).0), Type::BigInt),
        1 => {
            let function = ["sum", "avg"].choose(random).copied()?;
            (format!("{function}(DISTINCT {})", source.column(random, small)?.name), Type::Numeric)
        }
        2 | 3 => {
            let column = source.column(random, Type::is_number)?;
            let names = ["stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop"];
            let result = if column.of_type == Type::Float { Type::Float } else { Type::Numeric };
            (format!("{}({})", names.choose(random)?, column.name), result)
        }
        4 => {
            let function = ["bool_and", "bool_or", "every"].choose(random).copied()?;
            (format!("{function}({})", source.predicate(random, 1)), Type::Bool)
        }
        5 => {
            let column = source.column(random, |of_type| of_type == Type::Int)?;
            let function = ["bit_and", "bit_or", "bit_xor"].choose(random).copied()?;
            (format!("{function}({})", column.name), Type::Int)
        }
        6 => {
            let name = &source.column(random, |of_type| of_type == Type::Text)?.name;
            let distinct = if random.random_bool(0.3) { "DISTINCT " } else { "" };
            let order = if distinct.is_empty() && random.random_bool(0.5) { " DESC" } else { "" };
            (format!("string_agg({distinct}{name}, ',' ORDER BY {name}{order})"), Type::Text)
        }
        7 => {
            let ordered = |of_type| matches!(of_type, Type::Int | Type::Text | Type::Date);
            let name = &source.column(random, ordered)?.name;
            (format!("array_to_string(array_agg({name} ORDER BY {name}), ',', '*')"), Type::Text)
        }
        8 => {
            let paired = |of_type: Type| small(of_type) || of_type == Type::Float;
            let (one, other) = (&source.column(random, paired)?.name, &source.column(random, paired)?.name);
            let names = ["corr", "covar_pop", "regr_slope", "regr_r2", "regr_avgx", "regr_intercept"];
            // PostgreSQL's answers depend on the order of rows in the last digits.
            if mirrored {
                return Some((format!("regr_count({one}, {other})"), Type::BigInt));
            }
            (format!("{}({one}, {other})", names.choose(random)?), Type::Float)
        }
        _ if random.random_bool(0.5) => {
            let column = source.column(random, exact)?;
            (format!("percentile_disc(0.5) WITHIN GROUP (ORDER BY {})", column.name), column.of_type)
        }
        _ => {
            let column = source.column(random, small)?;
            (format!("percentile_cont(0.5) WITHIN GROUP (ORDER BY {})", column.name), Type::Float)
        }
    })
}

/// A condition over aggregates.
pub(crate) fn having(source: &Source, random: &mut StdRng) -> String {
    match random.random_range(0..3) {
        0 => format!("count(*) > {}", random.random_range(0..4)),
        1 => format!("count({}) >= 1", any_column(source, random)),
        _ => match source.column(random, |of_type| of_type == Type::Numeric) {
            Some(column) => format!("sum({}) > 1", column.name),
            None => "count(*) <> 2".to_string(),
        },
    }
}

/// The name of any column.
pub(crate) fn any_column(source: &Source, random: &mut StdRng) -> String {
    source.column(random, |_| true).map_or_else(|| "1".to_string(), |column| column.name.clone())
}
