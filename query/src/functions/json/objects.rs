//! `json_object` and `jsonb_object`: objects of strings from arrays of text.

use super::super::overload::{Function, Kind, Overload};
use super::super::strings::Answer;
use super::columns::{Column, Form, list_texts, written};
use crate::error::{ErrorKind, QueryError};
use crate::types::json::{push_object, push_string};
use arrow::array::{ArrayRef, AsArray};

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Json, Jsonb, TextArray};
    vec![
        Function::immutable(
            "json_object",
            vec![
                Overload::new(&[TextArray], Json, |c, _| of_pairs(c, Form::Json)),
                Overload::new(&[TextArray, TextArray], Json, |c, _| of_keys_and_values(c, Form::Json)),
            ],
        ),
        Function::immutable(
            "jsonb_object",
            vec![
                Overload::new(&[TextArray], Jsonb, |c, _| of_pairs(c, Form::Jsonb)),
                Overload::new(&[TextArray, TextArray], Jsonb, |c, _| of_keys_and_values(c, Form::Jsonb)),
            ],
        ),
    ]
}

/// Keys and values one after the other.
fn of_pairs(columns: &[ArrayRef], form: Form) -> Answer {
    let lists = columns[0].as_list::<i32>();
    written(columns, Column::of(form), |row, out| {
        let texts = list_texts(lists, row);
        if !texts.len().is_multiple_of(2) {
            return Err(QueryError::new(ErrorKind::ArraySubscript, "array must have even number of elements"));
        }
        push(form, texts.chunks_exact(2).map(|pair| (&pair[0], &pair[1])), out)
    })
}

fn of_keys_and_values(columns: &[ArrayRef], form: Form) -> Answer {
    let (keys, values) = (columns[0].as_list::<i32>(), columns[1].as_list::<i32>());
    written(columns, Column::of(form), |row, out| {
        let (keys, values) = (list_texts(keys, row), list_texts(values, row));
        if keys.len() != values.len() {
            return Err(QueryError::new(ErrorKind::ArraySubscript, "mismatched array dimensions"));
        }
        push(form, keys.iter().zip(&values), out)
    })
}

fn push<'a>(
    form: Form,
    pairs: impl Iterator<Item = (&'a Option<String>, &'a Option<String>)>,
    out: &mut String,
) -> Result<bool, QueryError> {
    let members = pairs.map(|(key, value)| {
        let key = key
            .as_deref()
            .ok_or_else(|| QueryError::new(ErrorKind::NullNotAllowed, "null value not allowed for object key"))?;
        let mut written = String::new();
        match value {
            Some(text) => push_string(&mut written, text),
            None => written.push_str("null"),
        }
        Ok((key, written))
    });
    let members = members.collect::<Result<Vec<_>, QueryError>>()?;
    if form == Form::Jsonb {
        push_object(out, members);
        return Ok(true);
    }
    out.push('{');
    for (position, (key, value)) in members.iter().enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        push_string(out, key);
        out.push_str(" : ");
        out.push_str(value);
    }
    out.push('}');
    Ok(true)
}
