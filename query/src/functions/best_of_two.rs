//! `greatest` and `least` of arrays and of jsonb, two values at a time.
//!
//! DataFusion puts NULL items below all others for one of them, and jsonb in the order of its text. NULL arguments do not count.

use super::array_sets::comparator;
use super::arrays::too_many_items;
use super::json::sort_keys;
use super::overload::{Function, Kind, Overload};
use super::strings::Answer;
use arrow::array::{Array, ArrayRef, DynComparator};
use arrow::compute::{SortOptions, interleave};
use catalog::sql_type::SqlType;
use std::cmp::Ordering;

const ARRAY_GREATEST: &str = "array@greatest";
const ARRAY_LEAST: &str = "array@least";
const JSONB_GREATEST: &str = "jsonb@greatest";
const JSONB_LEAST: &str = "jsonb@least";

/// The function that gives the better of two values of a type; `None` where DataFusion's is right.
pub(crate) fn best_of(sql_type: &SqlType, greatest: bool) -> Option<&'static str> {
    match (sql_type, greatest) {
        (SqlType::Array(_), true) => Some(ARRAY_GREATEST),
        (SqlType::Array(_), false) => Some(ARRAY_LEAST),
        (SqlType::Jsonb, true) => Some(JSONB_GREATEST),
        (SqlType::Jsonb, false) => Some(JSONB_LEAST),
        _ => None,
    }
}

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Array, Jsonb};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    vec![
        one(ARRAY_GREATEST, Overload::new(&[Array, Array], Array, |columns, _| of_arrays(columns, Ordering::is_gt))),
        one(ARRAY_LEAST, Overload::new(&[Array, Array], Array, |columns, _| of_arrays(columns, Ordering::is_lt))),
        one(JSONB_GREATEST, Overload::new(&[Jsonb, Jsonb], Jsonb, |columns, _| of_documents(columns, Ordering::is_gt))),
        one(JSONB_LEAST, Overload::new(&[Jsonb, Jsonb], Jsonb, |columns, _| of_documents(columns, Ordering::is_lt))),
    ]
}

fn of_arrays(columns: &[ArrayRef], is_better: fn(Ordering) -> bool) -> Answer {
    let options = SortOptions { descending: false, nulls_first: false };
    better(columns, &comparator(&columns[0], &columns[1], options)?, is_better)
}

fn of_documents(columns: &[ArrayRef], is_better: fn(Ordering) -> bool) -> Answer {
    let (left, right) = (sort_keys(&columns[0])?, sort_keys(&columns[1])?);
    better(columns, &comparator(&left, &right, SortOptions::default())?, is_better)
}

/// The second value of each row where it is better than the first, or where that is NULL.
fn better(columns: &[ArrayRef], compare: &DynComparator, is_better: fn(Ordering) -> bool) -> Answer {
    let (first, second) = (&columns[0], &columns[1]);
    let places: Vec<(usize, usize)> = (0..first.len())
        .map(|row| {
            let takes_second = first.is_null(row) || (second.is_valid(row) && is_better(compare(row, row).reverse()));
            (usize::from(takes_second), row)
        })
        .collect();
    interleave(&[first.as_ref(), second.as_ref()], &places).map_err(|_| too_many_items())
}
