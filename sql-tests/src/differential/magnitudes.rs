//! How large the numbers are that an aggregate of doubles adds up: the scale of its roundings.
//!
//! PostgreSQL rounds after each row. How far that takes a sum depends on Σ|x|. A deviation of x is a difference of
//! numbers as large as max|x|, which is how far it is rounded, and a variance or covariance adds products of deviations:
//! max|x| times the deviation of y, and the other way round. PostgreSQL itself computes the magnitudes, for each row of
//! an answer its own.

use super::client::Outcome;
use super::statement::Statement;
use super::tree::{Mark, Piece, Tree};
use crate::session::TextRow;
use std::collections::BTreeMap;

/// The query that gives the magnitude in place of each sum, average or variance of doubles; `None` where there is none.
pub(crate) fn magnitude_query(statement: &Statement) -> Option<String> {
    let sized = |mark: Mark| matches!(mark, Mark::FloatSum | Mark::RealSum | Mark::Variance);
    let of_item = |(index, item): (usize, &Tree)| if sized(statement.mark(index)) { magnitude(item) } else { None };
    let magnitudes: Vec<Option<String>> = statement.items.iter().enumerate().map(of_item).collect();
    if magnitudes.iter().all(Option::is_none) {
        return None;
    }
    Some(statement.sql_with(|index, item| magnitudes.get(index).cloned().flatten().unwrap_or_else(|| item.text())))
}

/// What an aggregate's roundings are measured by, with the aggregate's own FILTER and OVER.
fn magnitude(item: &Tree) -> Option<String> {
    let aggregate = item.all().into_iter().map(|(_, tree)| tree).find(|tree| tree.mark != Mark::None)?;
    let (name, _) = aggregate.label.split_once('(')?;
    let (arguments, clauses) = call_of(aggregate)?;
    let arguments: Vec<String> = arguments.iter().map(|argument| format!("({argument})::float8")).collect();
    match arguments.as_slice() {
        [x] => magnitude_of_one(name, x, &clauses),
        [y, x] => magnitude_of_two(name, y, x, &clauses),
        _ => None,
    }
}

fn magnitude_of_one(name: &str, x: &str, clauses: &str) -> Option<String> {
    let largest = format!("max(abs({x})){clauses}");
    match name {
        "sum" | "avg" => Some(format!("{name}(abs({x})){clauses}")),
        "stddev" | "stddev_pop" | "stddev_samp" => Some(largest),
        "variance" | "var_pop" | "var_samp" => Some(product(&largest, &format!("stddev_pop({x}){clauses}"))),
        _ => None,
    }
}

fn magnitude_of_two(name: &str, y: &str, x: &str, clauses: &str) -> Option<String> {
    // Only rows count in which neither is NULL.
    let largest = |of: &str, beside: &str| format!("max(abs({of} + 0 * {beside})){clauses}");
    let (largest_y, largest_x) = (largest(y, x), largest(x, y));
    let count = format!("nullif(regr_count({y}, {x}){clauses}, 0)");
    let deviation = |squares: &str| format!("sqrt({squares}({y}, {x}){clauses} / {count})");
    let (deviation_y, deviation_x) = (deviation("regr_syy"), deviation("regr_sxx"));
    let products = format!("({} + {largest_x} * {deviation_y})", product(&largest_y, &deviation_x));
    let slope = format!("{products} / nullif({deviation_x}, 0) ^ 2");
    match name {
        "corr" | "regr_r2" => {
            Some(format!("{largest_x} / nullif({deviation_x}, 0) + {largest_y} / nullif({deviation_y}, 0)"))
        }
        "covar_pop" | "covar_samp" => Some(products),
        "regr_sxx" => Some(format!("{count} * {}", product(&largest_x, &deviation_x))),
        "regr_slope" => Some(slope),
        "regr_intercept" => Some(format!("{largest_y} + {largest_x} * {slope}")),
        "regr_avgx" => Some(largest_x),
        _ => None,
    }
}

/// The scale of the roundings of a product of deviations, which are differences of numbers up to the largest; also where
/// all are equal, and the deviations themselves are nothing but roundings.
fn product(largest: &str, deviation: &str) -> String {
    format!("{largest} * ({deviation} + 1e-12 * {largest})")
}

/// The arguments of a call of an aggregate, and the clauses behind it.
fn call_of(aggregate: &Tree) -> Option<(Vec<String>, String)> {
    let (arguments, behind) = match aggregate.pieces.as_slice() {
        [Piece::Text(call), behind @ ..] if call.ends_with(')') => {
            let (_, columns) = call.strip_suffix(')')?.split_once('(')?;
            (columns.split(", ").map(str::to_string).collect(), behind)
        }
        [Piece::Text(_), Piece::Tree(argument, _), Piece::Text(end), behind @ ..] if end == ")" => {
            (vec![argument.text()], behind)
        }
        _ => return None,
    };
    let clauses = behind.iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Tree(tree, _) => tree.text(),
    });
    Some((arguments, clauses.collect()))
}

/// The magnitudes of an answer's rows, found by what is exact in a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Magnitudes {
    exact: Vec<usize>,
    rows: BTreeMap<Vec<Option<String>>, Vec<f64>>,
}

impl Magnitudes {
    /// From the answer to a [`magnitude_query`]; the largest ones where several rows have the same exact columns.
    pub(crate) fn of(answer: &Outcome, marks: &[Mark]) -> Self {
        let Outcome::Rows { rows, .. } = answer else { return Self::default() };
        let exact = (0..marks.len()).filter(|column| marks[*column] == Mark::None).collect();
        let mut magnitudes = Self { exact, rows: BTreeMap::new() };
        for row in rows {
            let sizes = row.iter().map(|value| value.as_ref().map_or(0.0, |text| size_of(text)));
            let key = magnitudes.key(row);
            let known = magnitudes.rows.entry(key).or_insert_with(|| vec![0.0; row.len()]);
            known.iter_mut().zip(sizes).for_each(|(known, size)| *known = known.max(size));
        }
        magnitudes
    }

    /// The magnitude of a value of a row.
    pub(crate) fn get(&self, row: &TextRow, column: usize) -> f64 {
        self.rows.get(&self.key(row)).and_then(|sizes| sizes.get(column)).copied().unwrap_or_default()
    }

    fn key(&self, row: &TextRow) -> Vec<Option<String>> {
        let unsigned = |text: &String| if text == "-0" { "0".to_string() } else { text.clone() };
        self.exact.iter().map(|column| row.get(*column).cloned().flatten().as_ref().map(unsigned)).collect()
    }
}

/// A finite number; what is none measures nothing.
fn size_of(text: &str) -> f64 {
    text.parse().ok().filter(|size: &f64| size.is_finite()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Magnitudes, magnitude};
    use crate::differential::client::Outcome;
    use crate::differential::tree::{Mark, Piece, Role, Tree};

    fn aggregate(label: &str, pieces: Vec<Piece>) -> Tree {
        Tree { role: Role::Value(None), label: label.into(), mark: Mark::Variance, pieces }
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn a_variance_is_measured_by_what_its_own_rows_deviate() {
        let argument = Piece::Tree(Box::new(Tree::fixed("f8")), false);
        let filter = Piece::Tree(Box::new(Tree::fixed(" FILTER (WHERE b)")), false);
        let variance = aggregate("var_pop({float8})", vec![text("var_pop("), argument, text(")"), filter]);
        let expected = "max(abs((f8)::float8)) FILTER (WHERE b) * (stddev_pop((f8)::float8) FILTER (WHERE b) + \
                        1e-12 * max(abs((f8)::float8)) FILTER (WHERE b))";
        assert_eq!(magnitude(&variance).as_deref(), Some(expected));
    }

    #[test]
    fn a_covariance_is_measured_by_rows_that_have_both() {
        let covariance = aggregate("covar_pop(i2, i8)", vec![text("covar_pop(i2, i8)")]);
        let magnitude = magnitude(&covariance).unwrap_or_default();
        assert!(magnitude.contains("max(abs((i2)::float8 + 0 * (i8)::float8)) * (sqrt(regr_sxx("), "{magnitude}");
        assert!(magnitude.contains("max(abs((i8)::float8 + 0 * (i2)::float8)) * sqrt(regr_syy("), "{magnitude}");
    }

    #[test]
    fn a_sum_is_measured_by_the_sum_of_its_sizes() {
        let argument = Piece::Tree(Box::new(Tree::fixed("f8 + 1")), false);
        let sum = aggregate("sum({float8})", vec![text("sum("), argument, text(")")]);
        assert_eq!(magnitude(&sum).as_deref(), Some("sum(abs((f8 + 1)::float8))"));
    }

    #[test]
    fn each_row_has_the_magnitude_of_its_group() {
        let row = |key: &str, value: &str| vec![Some(key.to_string()), Some(value.to_string())];
        let rows = vec![row("a", "1e300"), row("b", "2"), row("-0", "3"), row("c", "Infinity")];
        let answer = Outcome::Rows { columns: Vec::new(), rows };
        let magnitudes = Magnitudes::of(&answer, &[Mark::None, Mark::FloatSum]);
        assert_eq!(magnitudes.get(&row("b", "0.1"), 1), 2.0);
        assert_eq!(magnitudes.get(&row("0", "0.1"), 1), 3.0);
        assert_eq!(magnitudes.get(&row("c", "NaN"), 1), 0.0);
        assert_eq!(magnitudes.get(&row("none", "0.1"), 1), 0.0);
    }
}
