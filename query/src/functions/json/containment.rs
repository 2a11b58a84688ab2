//! `@>`: whether a jsonb contains another, by structure and by value.
//!
//! The rules are those of `JsonbDeepContains`: an object contains one with some of its members, whose values contain
//! the other's; an array contains one whose every item it contains, in any order; at the top an array also contains a
//! scalar that is one of its items.

use super::super::overload::{Function, Kind, Overload};
use super::super::strings::Answer;
use super::columns::{Documents, Present};
use crate::error::QueryError;
use crate::types::json::document::{self, Kind as ValueKind};
use crate::types::json::{DEPTH_MAX, too_deep};
use arrow::array::{ArrayRef, BooleanArray};
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Bool, Jsonb};
    let one = |name, kernel| Function::immutable(name, vec![Overload::new(&[Jsonb, Jsonb], Bool, kernel)]);
    vec![one("jsonb_contains", |c, _| contained(&c[0], &c[1])), one("jsonb_contained", |c, _| contained(&c[1], &c[0]))]
}

fn contained(whole: &ArrayRef, part: &ArrayRef) -> Answer {
    let columns = [Arc::clone(whole), Arc::clone(part)];
    let (wholes, parts) = (Documents::new(whole), Documents::new(part));
    let present = Present::new(&columns);
    let found =
        present.rows().map(|row| row.map(|row| contains_at_top(wholes.value(row), parts.value(row))).transpose());
    Ok(Arc::new(found.collect::<Result<BooleanArray, QueryError>>()?))
}

fn contains_at_top(whole: &str, part: &str) -> Result<bool, QueryError> {
    match (ValueKind::of(whole), ValueKind::of(part)) {
        (ValueKind::Array, scalar) if scalar.is_scalar() => {
            Ok(document::items(whole).any(|item| equal_scalars(item, part)))
        }
        _ => contains(whole, part, 0),
    }
}

fn contains(whole: &str, part: &str, depth: usize) -> Result<bool, QueryError> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    match (ValueKind::of(whole), ValueKind::of(part)) {
        (ValueKind::Object, ValueKind::Object) => {
            for wanted in document::members(part) {
                let key = wanted.key()?;
                let Some(found) = document::sorted_member(whole, &key) else { return Ok(false) };
                if !contains(found, wanted.value, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (ValueKind::Array, ValueKind::Array) => {
            for wanted in document::items(part) {
                if !has_item(whole, wanted, depth)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (whole_kind, part_kind) if whole_kind.is_scalar() && part_kind.is_scalar() => Ok(equal_scalars(whole, part)),
        _ => Ok(false),
    }
}

/// Whether some item of an array contains a value; a scalar has to be equal.
fn has_item(array: &str, wanted: &str, depth: usize) -> Result<bool, QueryError> {
    let scalar = ValueKind::of(wanted).is_scalar();
    for item in document::items(array) {
        let found = match ValueKind::of(item).is_scalar() {
            true => scalar && equal_scalars(item, wanted),
            false => !scalar && contains(item, wanted, depth + 1)?,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Canonical scalars are equal if their texts are, but for the zeros that end a number's fraction.
fn equal_scalars(left: &str, right: &str) -> bool {
    let significant = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').len(),
        false => text.len(),
    };
    let numbers = ValueKind::of(left) == ValueKind::Number && ValueKind::of(right) == ValueKind::Number;
    if numbers { left[..significant(left)] == right[..significant(right)] } else { left == right }
}
