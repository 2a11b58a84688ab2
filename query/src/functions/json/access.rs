//! Parts of a value: `->`, `->>`, `#>`, `#>>` and the functions that they are, types, lengths and `?`.
//!
//! A part is a slice of the text that it is in, so nothing is parsed beyond it.

use super::super::overload::{Function, Kind, Overload};
use super::super::strings::{Answer, integers, texts};
use super::columns::{Column, Documents, Form, Present, list_texts, written};
use crate::error::{ErrorKind, QueryError};
use crate::types::json::document::{self, Kind as ValueKind};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array};
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Bool, Int4, Json, Jsonb, Text, TextArray};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    vec![
        one("json_object_field", Overload::new(&[Json, Text], Json, |c, _| field(c, false))),
        one("json_object_field_text", Overload::new(&[Json, Text], Text, |c, _| field(c, true))),
        one("json_array_element", Overload::new(&[Json, Int4], Json, |c, _| element(c, false))),
        one("json_array_element_text", Overload::new(&[Json, Int4], Text, |c, _| element(c, true))),
        one("jsonb_object_field", Overload::new(&[Jsonb, Text], Jsonb, |c, _| field(c, false))),
        one("jsonb_object_field_text", Overload::new(&[Jsonb, Text], Text, |c, _| field(c, true))),
        one("jsonb_array_element", Overload::new(&[Jsonb, Int4], Jsonb, |c, _| element(c, false))),
        one("jsonb_array_element_text", Overload::new(&[Jsonb, Int4], Text, |c, _| element(c, true))),
        one("json_typeof", Overload::new(&[Json], Text, |c, _| type_word(c))),
        one("jsonb_typeof", Overload::new(&[Jsonb], Text, |c, _| type_word(c))),
        one("json_array_length", Overload::new(&[Json], Int4, |c, _| array_length(c))),
        one("jsonb_array_length", Overload::new(&[Jsonb], Int4, |c, _| array_length(c))),
        one("jsonb_exists", Overload::new(&[Jsonb, Text], Bool, |c, _| exists(c))),
        one("jsonb_exists_any", Overload::new(&[Jsonb, TextArray], Bool, |c, _| exist(c, false))),
        one("jsonb_exists_all", Overload::new(&[Jsonb, TextArray], Bool, |c, _| exist(c, true))),
    ]
}

/// The column that a part goes into: as text, or as a value of the type that it comes from.
fn target(form: Form, as_text: bool) -> Column {
    if as_text { Column::text() } else { Column::of(form) }
}

/// Writes a part; `false` for one that is not there, and for a JSON null that is to be text.
pub(super) fn write_part(part: Option<&str>, as_text: bool, out: &mut String) -> Result<bool, QueryError> {
    let Some(part) = part else { return Ok(false) };
    if !as_text {
        out.push_str(part);
        return Ok(true);
    }
    let text = document::value_text(part)?;
    out.push_str(text.as_deref().unwrap_or_default());
    Ok(text.is_some())
}

fn field(columns: &[ArrayRef], as_text: bool) -> Answer {
    let (documents, keys) = (Documents::new(&columns[0]), texts(columns, 1));
    let form = documents.form();
    written(columns, target(form, as_text), |row, out| {
        write_part(member(documents.value(row), keys.value(row), form)?, as_text, out)
    })
}

fn element(columns: &[ArrayRef], as_text: bool) -> Answer {
    let (documents, positions) = (Documents::new(&columns[0]), integers(columns, 1));
    let of_jsonb = documents.form() == Form::Jsonb;
    written(columns, target(documents.form(), as_text), |row, out| {
        let (document, position) = (documents.value(row), positions.value(row));
        let is_scalar = !matches!(ValueKind::of(document), ValueKind::Object | ValueKind::Array);
        // A jsonb that is a scalar is stored as an array of one.
        let item = match position {
            0 | -1 if of_jsonb && is_scalar => Some(document),
            _ => document::item(document, position),
        };
        write_part(item, as_text, out)
    })
}

fn member<'a>(text: &'a str, key: &str, form: Form) -> Result<Option<&'a str>, QueryError> {
    match form {
        Form::Json => document::member(text, key),
        Form::Jsonb => Ok(document::sorted_member(text, key)),
    }
}

/// The value at a path of keys and positions; `None` where the path leads nowhere or has a null.
pub(super) fn at_path<'a>(text: &'a str, path: &[Option<String>], form: Form) -> Result<Option<&'a str>, QueryError> {
    let mut value = text;
    for step in path {
        let Some(step) = step else { return Ok(None) };
        let next = match ValueKind::of(value) {
            ValueKind::Object => member(value, step, form)?,
            ValueKind::Array => path_position(step).and_then(|position| document::item(value, position)),
            _ => None,
        };
        match next {
            Some(part) => value = part,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// A step of a path as a position: an integer as C's `strtol` reads it to the end.
pub(super) fn path_position(step: &str) -> Option<i32> {
    step.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']).parse().ok()
}

/// The position that a step of a path must be in an array, counted from 0 or, below 0, from the end; `level` is the steps before it.
pub(super) fn array_position(step: &str, level: usize) -> Result<i32, QueryError> {
    path_position(step).ok_or_else(|| {
        let message = format!("path element at position {} is not an integer: \"{step}\"", level + 1);
        QueryError::new(ErrorKind::InvalidTextRepresentation, message)
    })
}

fn type_word(columns: &[ArrayRef]) -> Answer {
    let documents = Documents::new(&columns[0]);
    written(columns, Column::text(), |row, out| {
        out.push_str(ValueKind::of(documents.value(row)).word());
        Ok(true)
    })
}

fn array_length(columns: &[ArrayRef]) -> Answer {
    let documents = Documents::new(&columns[0]);
    let wrong =
        |what: &str| QueryError::new(ErrorKind::InvalidParameterValue, format!("cannot get array length of a {what}"));
    let present = Present::new(columns);
    let lengths = present.rows().map(|row| {
        let Some(row) = row else { return Ok(None) };
        let text = documents.value(row);
        match ValueKind::of(text) {
            ValueKind::Array => Ok(Some(document::items(text).count() as i32)),
            ValueKind::Object => Err(wrong("non-array")),
            _ => Err(wrong("scalar")),
        }
    });
    Ok(Arc::new(lengths.collect::<Result<Int32Array, QueryError>>()?))
}

/// Whether a key is one of an object, or a string an item of an array or the value itself.
fn has(text: &str, key: &str) -> Result<bool, QueryError> {
    let is_key = |value: &str| Ok(ValueKind::of(value) == ValueKind::String && document::string_value(value)? == key);
    match ValueKind::of(text) {
        ValueKind::Object => Ok(document::sorted_member(text, key).is_some()),
        ValueKind::Array => document::items(text).try_fold(false, |found, item| Ok(found || is_key(item)?)),
        _ => is_key(text),
    }
}

fn exists(columns: &[ArrayRef]) -> Answer {
    let (documents, keys) = (Documents::new(&columns[0]), texts(columns, 1));
    let present = Present::new(columns);
    let found = present.rows().map(|row| row.map(|row| has(documents.value(row), keys.value(row))).transpose());
    Ok(Arc::new(found.collect::<Result<BooleanArray, QueryError>>()?))
}

/// `?|` and `?&`; nulls among the keys are left out.
fn exist(columns: &[ArrayRef], all: bool) -> Answer {
    let (documents, keys) = (Documents::new(&columns[0]), columns[1].as_list::<i32>());
    let present = Present::new(columns);
    let found = present.rows().map(|row| {
        let Some(row) = row else { return Ok(None) };
        for key in list_texts(keys, row).into_iter().flatten() {
            if has(documents.value(row), &key)? != all {
                return Ok(Some(!all));
            }
        }
        Ok(Some(all))
    });
    Ok(Arc::new(found.collect::<Result<BooleanArray, QueryError>>()?))
}
