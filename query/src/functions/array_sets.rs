//! Arrays as sets, the functions behind `@>`, `<@` and `&&`, and arrays in order, those behind `<` and its kin.
//!
//! In a set elements of all dimensions count, how often they are there does not, and NULL is equal to nothing. In order NULL elements
//! are equal, and above all others.

use super::arrays::{leaves, lists};
use super::overload::{Function, Kind, Overload};
use super::strings::Answer;
use crate::error::{ErrorKind, QueryError};
use arrow::array::{Array, ArrayRef, BooleanArray, DynComparator, make_comparator};
use arrow::compute::SortOptions;
use catalog::sql_type::SqlType;
use std::cmp::Ordering;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Array, Bool};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    vec![
        one("arraycontains", Overload::new(&[Array, Array], Bool, |columns, _| contains(columns))),
        one("arrayoverlap", Overload::new(&[Array, Array], Bool, |columns, _| overlaps(columns))),
        one("array_lt", Overload::new(&[Array, Array], Bool, |columns, _| ordered(columns, Ordering::is_lt))),
        one("array_le", Overload::new(&[Array, Array], Bool, |columns, _| ordered(columns, Ordering::is_le))),
        one("array_gt", Overload::new(&[Array, Array], Bool, |columns, _| ordered(columns, Ordering::is_gt))),
        one("array_ge", Overload::new(&[Array, Array], Bool, |columns, _| ordered(columns, Ordering::is_ge))),
    ]
}

fn ordered(columns: &[ArrayRef], holds: fn(Ordering) -> bool) -> Answer {
    let (left, right) = (&columns[0], &columns[1]);
    let compare = comparator(left, right, SortOptions { descending: false, nulls_first: false })?;
    let answers =
        (0..left.len()).map(|row| (left.is_valid(row) && right.is_valid(row)).then(|| holds(compare(row, row))));
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}

fn contains(columns: &[ArrayRef]) -> Answer {
    by_row(columns, |right, found| right.into_iter().all(found))
}

fn overlaps(columns: &[ArrayRef]) -> Answer {
    by_row(columns, |right, found| right.into_iter().any(found))
}

/// Asks for each row about the places of the right array's elements; `found` tells whether the left array has one of
/// them.
fn by_row(columns: &[ArrayRef], ask: impl Fn(std::ops::Range<usize>, &dyn Fn(usize) -> bool) -> bool) -> Answer {
    let (left, right) = (lists(columns, 0), lists(columns, 1));
    let ((left_items, left_starts), (right_items, right_starts)) = (leaves(left), leaves(right));
    let compare = comparator(left_items, right_items, SortOptions::default())?;
    let answers = (0..left.len()).map(|row| {
        if left.is_null(row) || right.is_null(row) {
            return None;
        }
        let own = left_starts[row]..left_starts[row + 1];
        let found = |place: usize| {
            right_items.is_valid(place)
                && own.clone().any(|known| left_items.is_valid(known) && compare(known, place).is_eq())
        };
        Some(ask(right_starts[row]..right_starts[row + 1], &found))
    });
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}

/// Compares rows of two columns.
pub(super) fn comparator(left: &ArrayRef, right: &ArrayRef, options: SortOptions) -> Result<DynComparator, QueryError> {
    make_comparator(left, right, options).map_err(|_| {
        let shown = SqlType::from_data_type(left.data_type()).map_or("unknown".into(), |known| known.base_name());
        let message = format!("could not identify an equality operator for type {shown}");
        QueryError::new(ErrorKind::UndefinedFunction, message)
    })
}
