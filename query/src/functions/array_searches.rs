//! Functions that look for elements in arrays, and array_to_string.
//!
//! Elements are compared as `IS NOT DISTINCT FROM` compares: NULL is equal to NULL.

use super::arrays::{Picks, has_more_dimensions, innermost_item, item_of, leaves, lists, places, too_many_items};
use super::overload::{Call, Function, Kind, Overload};
use super::strings::{Answer, integers, present, texts, written};
use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::out_of_range;
use crate::response::Format;
use crate::types::{OutputStyle, encode_column};
use arrow::array::{Array, ArrayRef, AsArray, DynComparator, Int32Array, ListArray, UInt64Array, make_comparator};
use arrow::compute::{SortOptions, concat, take};
use arrow::datatypes::Int32Type;
use catalog::sql_type::SqlType;
use std::cmp::Ordering;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Array, Element, Int4, ListOf, Text};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    let array_position = vec![
        Overload::new(&[Array, Element], Int4, |columns, _| first_positions(columns)),
        Overload::new(&[Array, Element, Int4], Int4, |columns, _| first_positions(columns)),
    ];
    let array_to_string =
        vec![Overload::new(&[Array, Text], Text, printed), Overload::new(&[Array, Text, Text], Text, printed)];
    vec![
        Function::immutable("array_position", array_position),
        one("array_positions", Overload::new(&[Array, Element], ListOf(&Int4), |columns, _| all_positions(columns))),
        one("array_remove", Overload::new(&[Array, Element], Array, |columns, _| removed(columns))),
        one("array_replace", Overload::new(&[Array, Element, Element], Array, |columns, _| replaced(columns))),
        one("width_bucket", Overload::new(&[Element, Array], Int4, |columns, _| buckets(columns))),
        Function::stable("array_to_string", array_to_string),
    ]
}

/// Compares an item, by its place, to an element, by its row. NULLs are last and equal.
fn comparator(items: &ArrayRef, elements: &ArrayRef) -> Result<DynComparator, QueryError> {
    let options = SortOptions { descending: false, nulls_first: false };
    let comparator = match *items.data_type() == SqlType::Json.data_type() {
        true => None,
        false => make_comparator(items, elements, options).ok(),
    };
    comparator.ok_or_else(|| {
        let shown = SqlType::from_data_type(items.data_type()).map_or("unknown".into(), |known| known.base_name());
        let message = format!("could not identify an equality operator for type {shown}");
        QueryError::new(ErrorKind::UndefinedFunction, message)
    })
}

/// The comparator of items and elements. Arrays of more dimensions are refused; those that are empty have no items.
fn flat_comparator(list: &ListArray, elements: &ArrayRef, refused: &QueryError) -> Result<DynComparator, QueryError> {
    if list.values().as_list_opt::<i32>().is_none() {
        return comparator(list.values(), elements);
    }
    if (0..list.len()).any(|row| list.is_valid(row) && has_more_dimensions(list, row)) {
        return Err(refused.clone());
    }
    Ok(Box::new(|_, _| Ordering::Less))
}

fn unsupported(doing: &str) -> QueryError {
    QueryError::unsupported(format!("{doing} multidimensional arrays"))
}

fn first_positions(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 0);
    let starts = columns.get(2).map(|_| integers(columns, 2));
    let compare = flat_comparator(list, &columns[1], &unsupported("searching for elements in"))?;
    let of_row = |row| {
        if list.is_null(row) || list.value_length(row) == 0 {
            return Ok(None);
        }
        if starts.is_some_and(|starts| starts.is_null(row)) {
            return Err(QueryError::new(ErrorKind::NullNotAllowed, "initial position must not be null"));
        }
        let skipped = starts.map_or(0, |starts| usize::try_from(i64::from(starts.value(row)) - 1).unwrap_or(0));
        let items = places(list, row);
        let found = items.clone().skip(skipped).find(|place| compare(*place, row).is_eq());
        Ok(found.map(|place| (place - items.start + 1) as i32))
    };
    Ok(Arc::new((0..list.len()).map(of_row).collect::<Result<Int32Array, QueryError>>()?))
}

fn all_positions(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 0);
    let compare = flat_comparator(list, &columns[1], &unsupported("searching for elements in"))?;
    let of_row = |row| {
        if list.is_null(row) {
            return Ok(None);
        }
        let items = places(list, row);
        let found = items.clone().filter(|place| compare(*place, row).is_eq());
        Ok(Some(found.map(|place| Some((place - items.start + 1) as i32)).collect::<Vec<_>>()))
    };
    let found = (0..list.len()).map(of_row).collect::<Result<Vec<_>, QueryError>>()?;
    Ok(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(found)))
}

fn removed(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 0);
    let compare = flat_comparator(list, &columns[1], &unsupported("removing elements from"))?;
    let mut picks = Picks::with_capacity(list.len());
    for row in 0..list.len() {
        if list.is_null(row) {
            picks.finish_null();
            continue;
        }
        places(list, row).filter(|place| compare(*place, row).is_ne()).for_each(|place| picks.push(place));
        picks.finish_row()?;
    }
    picks.into_lists(item_of(list), &[list.values().as_ref()])
}

/// Items of all dimensions are replaced in their places; the shape stays.
fn replaced(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 0);
    let (items, starts) = leaves(list);
    let compare = comparator(items, &columns[1])?;
    let mut taken: Vec<u64> = (0..items.len() as u64).collect();
    for row in 0..list.len() {
        let places = starts[row]..starts[row + 1];
        for (place, source) in places.clone().zip(&mut taken[places]) {
            if compare(place, row).is_eq() {
                *source = (items.len() + row) as u64;
            }
        }
    }
    let pool = concat(&[items.as_ref(), columns[2].as_ref()]).map_err(|_| too_many_items())?;
    let items = take(&pool, &UInt64Array::from(taken), None).map_err(|_| too_many_items())?;
    Ok(with_leaves(list, items))
}

/// The same lists over other items in the innermost ones.
fn with_leaves(list: &ListArray, leaves: ArrayRef) -> ArrayRef {
    let values = match list.values().as_list_opt::<i32>() {
        Some(inner) => with_leaves(inner, leaves),
        None => leaves,
    };
    let item = Arc::clone(item_of(list));
    Arc::new(ListArray::new(item, list.offsets().clone(), values, list.nulls().cloned()))
}

/// `width_bucket(operand, thresholds)`: how many thresholds, which rise, are not above the operand.
fn buckets(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 1);
    let nulls = present(columns);
    let not_flat = QueryError::new(ErrorKind::ArraySubscript, "thresholds must be one-dimensional array");
    let compare = flat_comparator(list, &columns[0], &not_flat)?;
    let of_row = |row| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        let items = places(list, row);
        if items.clone().any(|place| list.values().is_null(place)) {
            return Err(QueryError::new(ErrorKind::NullNotAllowed, "thresholds array must not contain NULLs"));
        }
        let (mut low, mut high) = (items.start, items.end);
        while low < high {
            let middle = low.midpoint(high);
            match compare(middle, row) {
                Ordering::Greater => high = middle,
                Ordering::Less | Ordering::Equal => low = middle + 1,
            }
        }
        i32::try_from(low - items.start).map(Some).map_err(|_| out_of_range(&SqlType::Int4))
    };
    Ok(Arc::new((0..list.len()).map(of_row).collect::<Result<Int32Array, QueryError>>()?))
}

/// `array_to_string(array, delimiter [, text for NULL])`; without that text NULLs are left out.
fn printed(columns: &[ArrayRef], call: &Call) -> Answer {
    let (list, delimiter) = (lists(columns, 0), texts(columns, 1));
    let null_text = columns.get(2).map(|_| texts(columns, 2));
    let (items, starts) = leaves(list);
    let element = SqlType::from_field(innermost_item(list)).unwrap_or(SqlType::Text);
    let style = OutputStyle { time_zone: call.zone, ..OutputStyle::default() };
    let encoded = encode_column(items, &element, Format::Text, &style)?;
    written(&columns[..2], |row, result| {
        let null_text = null_text.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row));
        let mut first = true;
        for place in starts[row]..starts[row + 1] {
            let shown = encoded.value(place).map(String::from_utf8_lossy);
            let Some(shown) = shown.as_deref().or(null_text) else { continue };
            if !std::mem::take(&mut first) {
                result.push_str(delimiter.value(row));
            }
            result.push_str(shown);
        }
        Ok(())
    })
}
