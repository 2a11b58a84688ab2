//! The sets that json_each, json_array_elements and json_object_keys return, as arrays that are unnested.
//!
//! `json_each` has two columns, and so two arrays of equal length: `"json_each@keys"` and `"json_each@values"`.

use super::super::overload::{Function, Kind, Overload};
use super::super::strings::{Answer, invalid};
use super::access::write_part;
use super::columns::{Column, Documents, Form, Present, lists};
use crate::error::{ErrorKind, QueryError};
use crate::types::json::document::{self, Kind as ValueKind};
use crate::types::{ColumnDecoder, OutputStyle};
use arrow::array::{Array, ArrayRef, AsArray};
use catalog::sql_type::SqlType;
use std::sync::Arc;

/// The functions that give the items of a member as texts, and as documents that are texts.
pub(crate) const ITEMS_AS_TEXTS: &str = "json_items@";
pub(crate) const ITEMS_AS_DOCUMENTS: &str = "json_documents@";

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Json, Jsonb, ListOf, Text};
    const OF_JSON: Kind = ListOf(&Json);
    const OF_JSONB: Kind = ListOf(&Jsonb);
    const OF_TEXT: Kind = ListOf(&Text);
    let one = |name, overload| Function::immutable(name, vec![overload]);
    vec![
        one("json_to_recordset@", Overload::new(&[Json], OF_JSON, |c, _| records(c, "json_to_recordset"))),
        one("jsonb_to_recordset@", Overload::new(&[Jsonb], OF_JSONB, |c, _| records(c, "jsonb_to_recordset"))),
        one("json_populate_recordset@", Overload::new(&[Json], OF_JSON, |c, _| records(c, "json_populate_recordset"))),
        one(
            "jsonb_populate_recordset@",
            Overload::new(&[Jsonb], OF_JSONB, |c, _| records(c, "jsonb_populate_recordset")),
        ),
        Function::immutable(
            ITEMS_AS_TEXTS,
            vec![
                Overload::new(&[Json, Text], OF_TEXT, |c, _| items(c, true)),
                Overload::new(&[Jsonb, Text], OF_TEXT, |c, _| items(c, true)),
            ],
        ),
        Function::immutable(
            ITEMS_AS_DOCUMENTS,
            vec![
                Overload::new(&[Json, Text], OF_TEXT, |c, _| items(c, false)),
                Overload::new(&[Jsonb, Text], OF_TEXT, |c, _| items(c, false)),
            ],
        ),
        one("json_to_record@", Overload::new(&[Json], Json, |c, _| record(c))),
        one("jsonb_to_record@", Overload::new(&[Jsonb], Jsonb, |c, _| record(c))),
        one("json_populate_record@", Overload::new(&[Json], Json, |c, _| record(c))),
        one("jsonb_populate_record@", Overload::new(&[Jsonb], Jsonb, |c, _| record(c))),
        one("json_array_elements", Overload::new(&[Json], OF_JSON, |c, _| elements(c, "json_array_elements", false))),
        one(
            "json_array_elements_text",
            Overload::new(&[Json], OF_TEXT, |c, _| elements(c, "json_array_elements_text", true)),
        ),
        one(
            "jsonb_array_elements",
            Overload::new(&[Jsonb], OF_JSONB, |c, _| elements(c, "jsonb_array_elements", false)),
        ),
        one(
            "jsonb_array_elements_text",
            Overload::new(&[Jsonb], OF_TEXT, |c, _| elements(c, "jsonb_array_elements_text", true)),
        ),
        one("json_object_keys", Overload::new(&[Json], OF_TEXT, |c, _| keys(c, not_keyed))),
        one("jsonb_object_keys", Overload::new(&[Jsonb], OF_TEXT, |c, _| keys(c, not_keyed))),
        one("json_each@keys", Overload::new(&[Json], OF_TEXT, |c, _| keys(c, not_deconstructed))),
        one("json_each@values", Overload::new(&[Json], OF_JSON, |c, _| member_values(c, false))),
        one("json_each_text@keys", Overload::new(&[Json], OF_TEXT, |c, _| keys(c, not_deconstructed_as_texts))),
        one("json_each_text@values", Overload::new(&[Json], OF_TEXT, |c, _| member_values(c, true))),
        one("jsonb_each@keys", Overload::new(&[Jsonb], OF_TEXT, |c, _| keys(c, not_deconstructed))),
        one("jsonb_each@values", Overload::new(&[Jsonb], OF_JSONB, |c, _| member_values(c, false))),
        one("jsonb_each_text@keys", Overload::new(&[Jsonb], OF_TEXT, |c, _| keys(c, not_deconstructed_as_texts))),
        one("jsonb_each_text@values", Overload::new(&[Jsonb], OF_TEXT, |c, _| member_values(c, true))),
    ]
}

/// An array for each row: `push` adds the items of a row's value and tells how many they were.
fn built(
    columns: &[ArrayRef],
    item: &SqlType,
    mut values: Column,
    mut push: impl FnMut(&str, &mut Column) -> Result<usize, QueryError>,
) -> Answer {
    let documents = Documents::new(&columns[0]);
    let present = Present::new(columns);
    let lengths = present.rows().map(|row| row.map(|row| push(documents.value(row), &mut values)).transpose());
    let lengths = lengths.collect::<Result<Vec<_>, QueryError>>()?;
    Ok(lists(item, &lengths, values.finish()))
}

fn column_of(form: Form, as_text: bool) -> (SqlType, Column) {
    if as_text { (SqlType::Text, Column::text()) } else { (form.sql_type(), Column::of(form)) }
}

fn elements(columns: &[ArrayRef], name: &str, as_text: bool) -> Answer {
    let form = Documents::new(&columns[0]).form();
    let wrong = |kind: ValueKind| match (form, kind) {
        (Form::Json, ValueKind::Object) => invalid(format!("cannot call {name} on a non-array")),
        (Form::Json, _) => invalid(format!("cannot call {name} on a scalar")),
        (Form::Jsonb, ValueKind::Object) => invalid("cannot extract elements from an object"),
        (Form::Jsonb, _) => invalid("cannot extract elements from a scalar"),
    };
    let (item, values) = column_of(form, as_text);
    let mut text = String::new();
    built(columns, &item, values, |array, values| {
        let kind = ValueKind::of(array);
        if kind != ValueKind::Array {
            return Err(wrong(kind));
        }
        let mut length = 0;
        for item in document::items(array) {
            text.clear();
            let given = write_part(Some(item), as_text, &mut text)?;
            values.push(given.then_some(text.as_str()));
            length += 1;
        }
        Ok(length)
    })
}

/// The objects of an array, for json_to_recordset, which takes nothing else.
fn records(columns: &[ArrayRef], name: &str) -> Answer {
    let form = Documents::new(&columns[0]).form();
    built(columns, &form.sql_type(), Column::of(form), |array, values| {
        match (form, ValueKind::of(array)) {
            (_, ValueKind::Array) => {}
            (Form::Jsonb, _) => return Err(invalid(format!("cannot call {name} on a non-array"))),
            (Form::Json, ValueKind::Object) => return Err(invalid(format!("cannot call {name} on an object"))),
            (Form::Json, _) => return Err(invalid(format!("cannot call {name} on a scalar"))),
        }
        let mut length = 0;
        for item in document::items(array) {
            if ValueKind::of(item) != ValueKind::Object {
                return Err(invalid(format!("argument of {name} must be an array of objects")));
            }
            values.push(Some(item));
            length += 1;
        }
        Ok(length)
    })
}

/// The items of a member that becomes an array, which the second column names; `null` is NULL.
fn items(columns: &[ArrayRef], as_text: bool) -> Answer {
    let (documents, keys) = (Documents::new(&columns[0]), columns[1].as_string_view());
    let (mut values, mut text) = (Column::text(), String::new());
    let present = Present::new(&columns[..1]);
    let lengths = present.rows().map(|row| {
        let Some(row) = row else { return Ok(None) };
        let member = documents.value(row);
        match ValueKind::of(member) {
            ValueKind::Null => return Ok(None),
            ValueKind::Array => {}
            // A text is read as an array's is.
            ValueKind::String => {
                text.clear();
                write_part(Some(member), true, &mut text)?;
                let read = ColumnDecoder::new(SqlType::Array(Box::new(SqlType::Text)), OutputStyle::default());
                let read = read.decode([Some(text.as_str())].into_iter()).map_err(|failure| failure.error)?;
                let list = read.as_list::<i32>().value(0);
                list.as_string_view().iter().for_each(|item| values.push(item));
                return Ok(Some(list.len()));
            }
            _ => {
                let hint = format!("See the value of key \"{}\".", keys.value(row));
                return Err(QueryError::new(ErrorKind::InvalidTextRepresentation, "expected JSON array").hint(hint));
            }
        }
        let mut length = 0;
        for item in document::items(member) {
            text.clear();
            let given = write_part(Some(item), as_text, &mut text)? && ValueKind::of(item) != ValueKind::Null;
            values.push(given.then_some(text.as_str()));
            length += 1;
        }
        Ok(Some(length))
    });
    let lengths = lengths.collect::<Result<Vec<_>, QueryError>>()?;
    Ok(lists(&SqlType::Text, &lengths, values.finish()))
}

/// An object as it is, for json_to_record.
fn record(columns: &[ArrayRef]) -> Answer {
    let documents = Documents::new(&columns[0]);
    for row in Present::new(columns).rows().flatten() {
        match ValueKind::of(documents.value(row)) {
            ValueKind::Object => {}
            ValueKind::Array => return Err(invalid("cannot call populate_composite on an array")),
            _ => return Err(invalid("cannot call populate_composite on a scalar")),
        }
    }
    Ok(Arc::clone(&columns[0]))
}

/// The error of `json_object_keys` for a value that is no object.
fn not_keyed(form: Form, kind: ValueKind) -> QueryError {
    let what = if kind == ValueKind::Array { "an array" } else { "a scalar" };
    invalid(format!("cannot call {}_object_keys on {what}", form.prefix()))
}

/// The error of `json_each` for a value that is no object.
fn not_deconstructed(form: Form, kind: ValueKind) -> QueryError {
    match (form, kind) {
        (Form::Json, ValueKind::Array) => invalid("cannot deconstruct an array as an object"),
        (Form::Json, _) => invalid("cannot deconstruct a scalar"),
        (Form::Jsonb, _) => invalid("cannot call jsonb_each on a non-object"),
    }
}

/// The same of `json_each_text`.
fn not_deconstructed_as_texts(form: Form, kind: ValueKind) -> QueryError {
    match form {
        Form::Json => not_deconstructed(form, kind),
        Form::Jsonb => invalid("cannot call jsonb_each_text on a non-object"),
    }
}

fn keys(columns: &[ArrayRef], wrong: fn(Form, ValueKind) -> QueryError) -> Answer {
    let form = Documents::new(&columns[0]).form();
    built(columns, &SqlType::Text, Column::text(), |object, values| {
        let kind = ValueKind::of(object);
        if kind != ValueKind::Object {
            return Err(wrong(form, kind));
        }
        let mut length = 0;
        for member in document::members(object) {
            values.push(Some(&member.key()?));
            length += 1;
        }
        Ok(length)
    })
}

fn member_values(columns: &[ArrayRef], as_text: bool) -> Answer {
    let form = Documents::new(&columns[0]).form();
    let (item, values) = column_of(form, as_text);
    let mut text = String::new();
    built(columns, &item, values, |object, values| {
        let kind = ValueKind::of(object);
        if kind != ValueKind::Object {
            let wrong = if as_text { not_deconstructed_as_texts } else { not_deconstructed };
            return Err(wrong(form, kind));
        }
        let mut length = 0;
        for member in document::members(object) {
            text.clear();
            let given = write_part(Some(member.value), as_text, &mut text)?;
            values.push(given.then_some(text.as_str()));
            length += 1;
        }
        Ok(length)
    })
}
