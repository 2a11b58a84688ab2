//! Functions over arrays of any element type.
//!
//! An array of more dimensions is a list of lists. Subscripts begin at 1: arrays have no other lower bounds here. Items of a result
//! are picked from a pool by their places, whatever their type is:
//!
//!     items of the arguments, one after the other ──places of each row──▶ take ──▶ items of the result

use super::overload::{Function, Kind, Overload};
use super::strings::{Answer, integers};
use crate::error::{ErrorKind, QueryError};
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, NullBufferBuilder, StringViewArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type};
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

/// PostgreSQL's limit for the items of an array.
pub(super) const ITEMS_MAX: usize = 134_217_727;
/// The function that says whether the items of an array, which are arrays, have one shape.
pub(crate) const ARRAY_OF_ARRAYS: &str = "array@of_arrays";
/// The function that gives the items of all dimensions, one after the other.
pub(crate) const ITEMS: &str = "unnest@items";

pub(super) fn functions() -> Vec<Function> {
    let mut functions = shapes();
    functions.extend(changes());
    functions
}

fn shapes() -> Vec<Function> {
    use Kind::{Array, Bool, Int4, ListOf, Text};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    let generate_subscripts = vec![
        Overload::new(&[Array, Int4], ListOf(&Int4), |columns, _| subscripts(columns)),
        Overload::new(&[Array, Int4, Bool], ListOf(&Int4), |columns, _| subscripts(columns)),
    ];
    vec![
        one("array_length", Overload::new(&[Array, Int4], Int4, |columns, _| of_dimension(columns, |length| length))),
        one("array_upper", Overload::new(&[Array, Int4], Int4, |columns, _| of_dimension(columns, |length| length))),
        one("array_lower", Overload::new(&[Array, Int4], Int4, |columns, _| of_dimension(columns, |_| 1))),
        one("array_ndims", Overload::new(&[Array], Int4, |columns, _| dimension_counts(columns))),
        one("array_dims", Overload::new(&[Array], Text, |columns, _| dimension_texts(columns))),
        one("cardinality", Overload::new(&[Array], Int4, |columns, _| cardinalities(columns))),
        one(ITEMS, Overload::new(&[Array], ListOf(&Kind::Element), |columns, _| all_items(columns))),
        Function::immutable("generate_subscripts", generate_subscripts),
    ]
}

fn changes() -> Vec<Function> {
    use Kind::{Array, Element, Int4, ListOf};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    let array_fill = vec![
        Overload::new(&[Element, ListOf(&Int4)], Array, |columns, _| filled(columns)),
        Overload::new(&[Element, ListOf(&Int4), ListOf(&Int4)], Array, |columns, _| filled(columns)),
    ];
    vec![
        one("array_append", Overload::new(&[Array, Element], Array, |columns, _| appended(columns))),
        one("array_prepend", Overload::new(&[Element, Array], Array, |columns, _| prepended(columns))),
        one("array_cat", Overload::new(&[Array, Array], Array, |columns, _| joined(columns))),
        one(ARRAY_OF_ARRAYS, Overload::new(&[Array], Array, |columns, _| of_one_shape(columns))),
        one("trim_array", Overload::new(&[Array, Int4], Array, |columns, _| trimmed(columns))),
        Function::immutable("array_fill", array_fill),
    ]
}

/// The items of a result while their places in the pool are put together.
pub(super) struct Picks {
    places: Vec<u64>,
    lengths: Vec<usize>,
    valid: NullBufferBuilder,
    /// Where the places of the row that is not finished begin.
    row_start: usize,
}

impl Picks {
    pub(super) fn with_capacity(rows: usize) -> Self {
        let valid = NullBufferBuilder::new(rows);
        Self { places: Vec::with_capacity(rows), lengths: Vec::with_capacity(rows), valid, row_start: 0 }
    }

    pub(super) fn push(&mut self, place: usize) {
        self.places.push(place as u64);
    }

    pub(super) fn extend(&mut self, places: Range<usize>) {
        self.places.extend(places.start as u64..places.end as u64);
    }

    pub(super) fn finish_row(&mut self) -> Result<(), QueryError> {
        let length = self.places.len() - self.row_start;
        // Offsets of a batch have 31 bits.
        if length > ITEMS_MAX || i32::try_from(self.places.len()).is_err() {
            return Err(too_many_items());
        }
        self.lengths.push(length);
        self.valid.append_non_null();
        self.row_start = self.places.len();
        Ok(())
    }

    /// NULL instead of an array; nothing may have been picked for it.
    pub(super) fn finish_null(&mut self) {
        assert_eq!(self.row_start, self.places.len(), "a NULL has no items");
        self.lengths.push(0);
        self.valid.append_null();
    }

    /// The arrays over a pool that is made of some columns of one type.
    pub(super) fn into_lists(mut self, item: &FieldRef, pool: &[&dyn Array]) -> Answer {
        let pool = concat(pool).map_err(|_| too_many_items())?;
        let items = take(&pool, &UInt64Array::from(self.places), None).map_err(|_| too_many_items())?;
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Ok(Arc::new(ListArray::new(Arc::clone(item), offsets, items, self.valid.finish())))
    }
}

pub(super) fn too_many_items() -> QueryError {
    let message = format!("array size exceeds the maximum allowed ({ITEMS_MAX})");
    QueryError::new(ErrorKind::ProgramLimitExceeded, message)
}

pub(super) fn lists(columns: &[ArrayRef], position: usize) -> &ListArray {
    columns[position].as_list()
}

/// The field of a list column's items.
pub(super) fn item_of(list: &ListArray) -> &FieldRef {
    match list.data_type() {
        DataType::List(item) => item,
        other => unreachable!("{other} is no list"),
    }
}

/// The field of the items of all dimensions.
pub(super) fn innermost_item(list: &ListArray) -> &FieldRef {
    let mut item = item_of(list);
    while let DataType::List(inner) = item.data_type() {
        item = inner;
    }
    item
}

/// Where the items of a row are among all items.
pub(super) fn places(list: &ListArray, row: usize) -> Range<usize> {
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

/// The items of all dimensions, and where those of each row begin; the last number is where they end.
pub(super) fn leaves(list: &ListArray) -> (&ArrayRef, Vec<usize>) {
    let mut starts: Vec<usize> = list.value_offsets().iter().map(|offset| *offset as usize).collect();
    let mut items = list.values();
    while let Some(inner) = items.as_list_opt::<i32>() {
        starts.iter_mut().for_each(|start| *start = inner.value_offsets()[*start] as usize);
        items = inner.values();
    }
    (items, starts)
}

pub(super) fn has_more_dimensions(list: &ListArray, row: usize) -> bool {
    list.values().as_list_opt::<i32>().is_some() && list.value_length(row) > 0
}

/// The length of each dimension; an empty array has none.
pub(super) fn lengths(list: &ListArray, row: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    let (mut list, mut row) = (list, row);
    loop {
        match list.value_length(row) as usize {
            0 => return Vec::new(),
            length => lengths.push(length),
        }
        let Some(inner) = list.values().as_list_opt::<i32>() else { return lengths };
        row = list.value_offsets()[row] as usize;
        list = inner;
    }
}

/// The length of a dimension that is counted from 1, if the array has it.
fn length_of(list: &ListArray, row: usize, dimension: i32) -> Option<usize> {
    let position = usize::try_from(i64::from(dimension) - 1).ok()?;
    lengths(list, row).get(position).copied()
}

fn of_dimension(columns: &[ArrayRef], of_length: fn(usize) -> usize) -> Answer {
    let (list, dimension) = (lists(columns, 0), integers(columns, 1));
    let of_row = |row| {
        let present = list.is_valid(row) && dimension.is_valid(row);
        let length = present.then(|| length_of(list, row, dimension.value(row))).flatten();
        length.map(|length| of_length(length) as i32)
    };
    Ok(Arc::new((0..list.len()).map(of_row).collect::<Int32Array>()))
}

fn dimension_counts(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 0);
    let of_row = |row| {
        let count = if list.is_valid(row) { lengths(list, row).len() } else { 0 };
        (count > 0).then_some(count as i32)
    };
    Ok(Arc::new((0..list.len()).map(of_row).collect::<Int32Array>()))
}

fn dimension_texts(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 0);
    let of_row = |row| {
        let lengths = if list.is_valid(row) { lengths(list, row) } else { Vec::new() };
        let text: String = lengths.iter().map(|length| format!("[1:{length}]")).collect();
        (!text.is_empty()).then_some(text)
    };
    Ok(Arc::new((0..list.len()).map(of_row).collect::<StringViewArray>()))
}

fn cardinalities(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 0);
    let (_, starts) = leaves(list);
    let of_row = |row: usize| list.is_valid(row).then(|| (starts[row + 1] - starts[row]) as i32);
    Ok(Arc::new((0..list.len()).map(of_row).collect::<Int32Array>()))
}

/// `generate_subscripts(array, dimension [, reverse])`.
fn subscripts(columns: &[ArrayRef]) -> Answer {
    let (list, dimension) = (lists(columns, 0), integers(columns, 1));
    let reverse = columns.get(2).map(|column| column.as_boolean());
    let of_row = |row| {
        let complete = columns.iter().all(|column| column.is_valid(row));
        let length = complete.then(|| length_of(list, row, dimension.value(row))).flatten().unwrap_or(0) as i32;
        let backwards = reverse.is_some_and(|reverse| complete && reverse.value(row));
        Some((1..=length).map(move |number| Some(if backwards { length + 1 - number } else { number })))
    };
    Ok(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..list.len()).map(of_row))))
}

fn all_items(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 0);
    if list.values().as_list_opt::<i32>().is_none() {
        return Ok(Arc::clone(&columns[0]));
    }
    let (items, starts) = leaves(list);
    let offsets = starts.into_iter().map(|start| start as i32).collect::<Vec<_>>();
    let offsets = OffsetBuffer::new(offsets.into());
    Ok(Arc::new(ListArray::new(Arc::clone(innermost_item(list)), offsets, Arc::clone(items), list.nulls().cloned())))
}

fn appended(columns: &[ArrayRef]) -> Answer {
    one_more(lists(columns, 0), &columns[1], false)
}

fn prepended(columns: &[ArrayRef]) -> Answer {
    one_more(lists(columns, 1), &columns[0], true)
}

/// Each array with one element more; NULL is an array without elements here.
fn one_more(list: &ListArray, elements: &ArrayRef, first: bool) -> Answer {
    if list.values().as_list_opt::<i32>().is_some() {
        let message = "argument must be empty or one-dimensional array";
        return Err(QueryError::new(ErrorKind::DataException, message));
    }
    let pool_start = list.values().len();
    let mut picks = Picks::with_capacity(list.len());
    for row in 0..list.len() {
        let items = if list.is_valid(row) { places(list, row) } else { 0..0 };
        if first {
            picks.push(pool_start + row);
        }
        picks.extend(items);
        if !first {
            picks.push(pool_start + row);
        }
        picks.finish_row()?;
    }
    picks.into_lists(item_of(list), &[list.values().as_ref(), elements.as_ref()])
}

/// `array_cat`: arrays of as many dimensions one after the other, or an array as one more item of one with one dimension more.
fn joined(columns: &[ArrayRef]) -> Answer {
    let (left, right) = (lists(columns, 0), lists(columns, 1));
    let (left_depth, right_depth) = (depth(left.data_type()), depth(right.data_type()));
    if left_depth.abs_diff(right_depth) > 1 {
        return Err(incompatible(&format!("Arrays of {left_depth} and {right_depth} dimensions")));
    }
    match left_depth.cmp(&right_depth) {
        Ordering::Equal => one_after_the_other(left, right, "differing element dimensions"),
        Ordering::Greater => one_after_the_other(left, &as_items(right)?, "differing dimensions"),
        Ordering::Less => one_after_the_other(&as_items(left)?, right, "differing dimensions"),
    }
}

fn depth(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(item) => 1 + depth(item.data_type()),
        _ => 0,
    }
}

/// Arrays of one item each, which is the array that was; NULL and the empty array are no item.
fn as_items(list: &ListArray) -> Result<ListArray, QueryError> {
    let field = Field::new("item", list.data_type().clone(), true);
    let lengths = (0..list.len()).map(|row| usize::from(list.is_valid(row) && list.value_length(row) > 0));
    let lengths: Vec<usize> = lengths.collect();
    let kept: UInt64Array =
        lengths.iter().enumerate().filter(|(_, length)| **length > 0).map(|(row, _)| row as u64).collect();
    let items = take(list, &kept, None).map_err(|_| too_many_items())?;
    let nulls = list.nulls().cloned();
    Ok(ListArray::new(Arc::new(field), OffsetBuffer::from_lengths(lengths), items, nulls))
}

fn one_after_the_other(left: &ListArray, right: &ListArray, difference: &str) -> Answer {
    let pool_start = left.values().len();
    let mut picks = Picks::with_capacity(left.len());
    for row in 0..left.len() {
        if left.is_null(row) && right.is_null(row) {
            picks.finish_null();
            continue;
        }
        if left.is_valid(row) && right.is_valid(row) && !is_compatible(left, right, row) {
            return Err(incompatible(&format!("Arrays with {difference}")));
        }
        if left.is_valid(row) {
            picks.extend(places(left, row));
        }
        if right.is_valid(row) {
            let added = places(right, row);
            picks.extend(pool_start + added.start..pool_start + added.end);
        }
        picks.finish_row()?;
    }
    picks.into_lists(item_of(left), &[left.values().as_ref(), right.values().as_ref()])
}

/// Whether the items of both arrays are of one shape.
fn is_compatible(left: &ListArray, right: &ListArray, row: usize) -> bool {
    let (left, right) = (lengths(left, row), lengths(right, row));
    left.is_empty() || right.is_empty() || left[1..] == right[1..]
}

fn incompatible(what: &str) -> QueryError {
    QueryError::new(ErrorKind::ArraySubscript, "cannot concatenate incompatible arrays")
        .detail(format!("{what} are not compatible for concatenation."))
}

/// `trim_array(array, n)`: without the last n items.
fn trimmed(columns: &[ArrayRef]) -> Answer {
    let (list, counts) = (lists(columns, 0), integers(columns, 1));
    let mut picks = Picks::with_capacity(list.len());
    for row in 0..list.len() {
        if list.is_null(row) || counts.is_null(row) {
            picks.finish_null();
            continue;
        }
        let items = places(list, row);
        let cut = usize::try_from(counts.value(row)).ok().filter(|cut| *cut <= items.len());
        let cut = cut.ok_or_else(|| {
            let message = format!("number of elements to trim must be between 0 and {}", items.len());
            QueryError::new(ErrorKind::ArraySubscript, message)
        })?;
        picks.extend(items.start..items.end - cut);
        picks.finish_row()?;
    }
    picks.into_lists(item_of(list), &[list.values().as_ref()])
}

/// `ARRAY[a, b]` of arrays, which have one shape. Where all are empty or NULL, so is the array.
fn of_one_shape(columns: &[ArrayRef]) -> Answer {
    let list = lists(columns, 0);
    let Some(inner) = list.values().as_list_opt::<i32>() else { return Ok(Arc::clone(&columns[0])) };
    let shape = |place| if inner.is_null(place) { Vec::new() } else { lengths(inner, place) };
    let mut picks = Picks::with_capacity(list.len());
    for row in 0..list.len() {
        if list.is_null(row) {
            picks.finish_null();
            continue;
        }
        let items = places(list, row);
        let first = items.clone().next().map(shape).unwrap_or_default();
        if items.clone().skip(1).any(|place| shape(place) != first) {
            let message = "multidimensional arrays must have array expressions with matching dimensions";
            return Err(QueryError::new(ErrorKind::ArraySubscript, message));
        }
        if !first.is_empty() {
            picks.extend(items);
        }
        picks.finish_row()?;
    }
    picks.into_lists(item_of(list), &[list.values().as_ref()])
}

/// `array_fill(value, lengths [, lower bounds])`, for one dimension and the bound 1.
fn filled(columns: &[ArrayRef]) -> Answer {
    let elements = &columns[0];
    let mut picks = Picks::with_capacity(elements.len());
    for row in 0..elements.len() {
        let length = fill_length(lists(columns, 1), columns.get(2).map(|_| lists(columns, 2)), row)?;
        if length > ITEMS_MAX {
            return Err(too_many_items());
        }
        (0..length).for_each(|_| picks.push(row));
        picks.finish_row()?;
    }
    let item = Field::new("item", elements.data_type().clone(), true);
    picks.into_lists(&Arc::new(item), &[elements.as_ref()])
}

fn fill_length(lengths: &ListArray, bounds: Option<&ListArray>, row: usize) -> Result<usize, QueryError> {
    let missing = |message: &str| QueryError::new(ErrorKind::NullNotAllowed, message);
    if lengths.is_null(row) || bounds.is_some_and(|bounds| bounds.is_null(row)) {
        return Err(missing("dimension array or low bound array cannot be null"));
    }
    let numbers = |list: &ListArray| list.value(row).as_primitive::<Int32Type>().iter().collect::<Option<Vec<i32>>>();
    let null_inside = || missing("dimension values cannot be null");
    let lengths = numbers(lengths).ok_or_else(null_inside)?;
    let bounds = bounds.map(|bounds| numbers(bounds).ok_or_else(null_inside)).transpose()?;
    if bounds.as_ref().is_some_and(|bounds| bounds.len() != lengths.len()) {
        let error = QueryError::new(ErrorKind::ArraySubscript, "wrong number of array subscripts");
        return Err(error.detail("Low bound array has different size than dimensions array."));
    }
    if bounds.is_some_and(|bounds| bounds.iter().any(|bound| *bound != 1)) {
        return Err(QueryError::unsupported("an array with another lower bound than 1"));
    }
    match lengths.as_slice() {
        [] => Ok(0),
        [length] => usize::try_from(*length).map_err(|_| too_many_items()),
        [..] => Err(QueryError::unsupported("array_fill with more than one dimension")),
    }
}
