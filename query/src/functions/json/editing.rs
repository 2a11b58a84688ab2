//! Changed values: `||`, `-`, `#-`, jsonb_set, jsonb_insert, strip_nulls and jsonb_pretty.
//!
//! What stays is copied from the text as it is. Paths behave as in PostgreSQL's `setPath`: what lies beyond the last
//! step's parent is not made, a position beyond an array's end is its end.

use super::super::overload::{Function, Kind, Overload};
use super::super::strings::{Answer, integers, texts};
use super::access::array_position;
use super::columns::{Column, Documents, list_texts, written};
use crate::error::{ErrorKind, QueryError};
use crate::types::json::document::{self, Kind as ValueKind};
use crate::types::json::{DEPTH_MAX, push_object, push_string, too_deep};
use arrow::array::{Array, ArrayRef, AsArray};
use std::borrow::Cow;

const INDENT: &str = "    ";

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Bool, Int4, Json, Jsonb, Text, TextArray};
    vec![
        Function::immutable("jsonb_concat", vec![Overload::new(&[Jsonb, Jsonb], Jsonb, |c, _| concat(c))]),
        Function::immutable(
            "jsonb_delete",
            vec![
                Overload::new(&[Jsonb, Text], Jsonb, |c, _| delete_key(c)),
                Overload::new(&[Jsonb, TextArray], Jsonb, |c, _| delete_keys(c)),
                Overload::new(&[Jsonb, Int4], Jsonb, |c, _| delete_position(c)),
            ],
        ),
        Function::immutable(
            "jsonb_delete_path",
            vec![Overload::new(&[Jsonb, TextArray], Jsonb, |c, _| delete_path(c))],
        ),
        Function::immutable(
            "jsonb_set",
            vec![
                Overload::new(&[Jsonb, TextArray, Jsonb], Jsonb, |c, _| edit(c, Editor::Set, true)),
                Overload::new(&[Jsonb, TextArray, Jsonb, Bool], Jsonb, |c, _| edit(c, Editor::Set, true)),
            ],
        ),
        Function::immutable(
            "jsonb_insert",
            vec![
                Overload::new(&[Jsonb, TextArray, Jsonb], Jsonb, |c, _| edit(c, Editor::Insert, false)),
                Overload::new(&[Jsonb, TextArray, Jsonb, Bool], Jsonb, |c, _| edit(c, Editor::Insert, false)),
            ],
        ),
        Function::immutable(
            "jsonb_set_lax",
            vec![
                Overload::new(&[Jsonb, TextArray, Jsonb], Jsonb, |c, _| set_lax(c)),
                Overload::new(&[Jsonb, TextArray, Jsonb, Bool], Jsonb, |c, _| set_lax(c)),
                Overload::new(&[Jsonb, TextArray, Jsonb, Bool, Text], Jsonb, |c, _| set_lax(c)),
            ],
        ),
        Function::immutable("json_strip_nulls", vec![Overload::new(&[Json], Json, |c, _| strip(c, ("", "")))]),
        Function::immutable("jsonb_strip_nulls", vec![Overload::new(&[Jsonb], Jsonb, |c, _| strip(c, (" ", " ")))]),
        Function::immutable("jsonb_pretty", vec![Overload::new(&[Jsonb], Text, |c, _| pretty(c))]),
    ]
}

fn invalid(message: &str) -> QueryError {
    QueryError::new(ErrorKind::InvalidParameterValue, message)
}

// ---- || ----

fn concat(columns: &[ArrayRef]) -> Answer {
    let (lefts, rights) = (Documents::new(&columns[0]), Documents::new(&columns[1]));
    written(columns, Column::of(lefts.form()), |row, out| {
        let (left, right) = (lefts.value(row), rights.value(row));
        if let (ValueKind::Object, ValueKind::Object) = (ValueKind::of(left), ValueKind::of(right)) {
            let members = document::members(left).chain(document::members(right));
            push_object(
                out,
                members.map(|member| Ok((member.key()?, member.value))).collect::<Result<Vec<_>, QueryError>>()?,
            );
            return Ok(true);
        }
        let items = |text| -> Box<dyn Iterator<Item = _>> {
            match ValueKind::of(text) {
                ValueKind::Array => Box::new(document::items(text)),
                _ => Box::new(std::iter::once(text)),
            }
        };
        push_array(out, items(left).chain(items(right)));
        Ok(true)
    })
}

fn push_array<T: AsRef<str>>(out: &mut String, items: impl Iterator<Item = T>) {
    out.push('[');
    for (position, item) in items.enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        out.push_str(item.as_ref());
    }
    out.push(']');
}

// ---- - ----

/// Writes a value without some of its keys, or of an array without the strings that are called so.
fn without_keys(text: &str, keys: &[&str], out: &mut String) -> Result<(), QueryError> {
    match ValueKind::of(text) {
        ValueKind::Object => {
            let members = document::members(text).map(|member| Ok((member.key()?, member.value)));
            let kept = members.filter(|member| !matches!(member, Ok((key, _)) if keys.contains(&key.as_ref())));
            push_object(out, kept.collect::<Result<Vec<_>, QueryError>>()?);
        }
        ValueKind::Array => {
            let named = |item: &str| -> bool {
                ValueKind::of(item) == ValueKind::String
                    && document::string_value(item).is_ok_and(|name| keys.contains(&name.as_ref()))
            };
            push_array(out, document::items(text).filter(|item| !named(item)));
        }
        _ => return Err(invalid("cannot delete from scalar")),
    }
    Ok(())
}

fn delete_key(columns: &[ArrayRef]) -> Answer {
    let (documents, keys) = (Documents::new(&columns[0]), texts(columns, 1));
    written(columns, Column::of(documents.form()), |row, out| {
        without_keys(documents.value(row), &[keys.value(row)], out).map(|()| true)
    })
}

fn delete_keys(columns: &[ArrayRef]) -> Answer {
    let (documents, lists) = (Documents::new(&columns[0]), columns[1].as_list::<i32>());
    written(columns, Column::of(documents.form()), |row, out| {
        let keys = list_texts(lists, row);
        let keys: Vec<&str> = keys.iter().flatten().map(String::as_str).collect();
        without_keys(documents.value(row), &keys, out).map(|()| true)
    })
}

fn delete_position(columns: &[ArrayRef]) -> Answer {
    let (documents, positions) = (Documents::new(&columns[0]), integers(columns, 1));
    written(columns, Column::of(documents.form()), |row, out| {
        let text = documents.value(row);
        match ValueKind::of(text) {
            ValueKind::Array => {}
            ValueKind::Object => return Err(invalid("cannot delete from object using integer index")),
            _ => return Err(invalid("cannot delete from scalar")),
        }
        let position = i64::from(positions.value(row));
        let count = document::items(text).count() as i64;
        let index = if position < 0 { count + position } else { position };
        let kept = document::items(text).enumerate().filter(|(at, _)| *at as i64 != index);
        push_array(out, kept.map(|(_, item)| item));
        Ok(true)
    })
}

// ---- paths ----

/// What is done at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Delete,
    Replace,
    /// Replaces what is there and adds what is not.
    Create,
    InsertBefore,
    InsertAfter,
}

impl Change {
    fn adds(self) -> bool {
        matches!(self, Self::Create | Self::InsertBefore | Self::InsertAfter)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Editor {
    Set,
    Insert,
}

/// `jsonb_set` and `jsonb_insert`; the last argument says whether to create, or to insert after.
fn edit(columns: &[ArrayRef], editor: Editor, default: bool) -> Answer {
    let (documents, paths) = (Documents::new(&columns[0]), columns[1].as_list::<i32>());
    let values = Documents::new(&columns[2]);
    let flags = columns.get(3).map(|flags| flags.as_boolean());
    written(columns, Column::of(documents.form()), |row, out| {
        let change = match (editor, flags.map_or(default, |flags| flags.value(row))) {
            (Editor::Set, true) => Change::Create,
            (Editor::Set, false) => Change::Replace,
            (Editor::Insert, true) => Change::InsertAfter,
            (Editor::Insert, false) => Change::InsertBefore,
        };
        changed(documents.value(row), &list_texts(paths, row), values.value(row), change, out).map(|()| true)
    })
}

fn delete_path(columns: &[ArrayRef]) -> Answer {
    let (documents, paths) = (Documents::new(&columns[0]), columns[1].as_list::<i32>());
    written(columns, Column::of(documents.form()), |row, out| {
        changed(documents.value(row), &list_texts(paths, row), "", Change::Delete, out).map(|()| true)
    })
}

/// `jsonb_set` that is called for a NULL value too and has a word for what to do then.
fn set_lax(columns: &[ArrayRef]) -> Answer {
    let (documents, paths) = (Documents::new(&columns[0]), columns[1].as_list::<i32>());
    let values = Documents::new(&columns[2]);
    let flags = columns.get(3).map(|flags| flags.as_boolean());
    let mut built = Column::of(documents.form());
    let mut out = String::new();
    for row in 0..columns[0].len() {
        let strict = [Some(0), Some(1), flags.map(|_| 3)];
        if strict.into_iter().flatten().any(|position| columns[position].is_null(row)) {
            built.push(None);
            continue;
        }
        out.clear();
        let (text, path) = (documents.value(row), list_texts(paths, row));
        let change = if flags.is_none_or(|flags| flags.value(row)) { Change::Create } else { Change::Replace };
        match null_treatment(columns, row)? {
            None => changed(text, &path, values.value(row), change, &mut out)?,
            Some("use_json_null") => changed(text, &path, "null", change, &mut out)?,
            Some("delete_key") => changed(text, &path, "", Change::Delete, &mut out)?,
            Some(_) => out.push_str(text),
        }
        built.push(Some(&out));
    }
    Ok(built.finish())
}

/// What a NULL value at a row means; `None` where the value is none.
fn null_treatment(columns: &[ArrayRef], row: usize) -> Result<Option<&str>, QueryError> {
    let word = match columns.get(4) {
        None => "use_json_null",
        Some(words) if words.is_valid(row) => words.as_string_view().value(row),
        Some(_) => "",
    };
    if !word.is_empty() && columns[2].is_valid(row) {
        return Ok(None);
    }
    match word {
        "use_json_null" | "delete_key" | "return_target" => Ok(Some(word)),
        "raise_exception" => Err(QueryError::new(ErrorKind::NullNotAllowed, "JSON value must not be null")
            .detail("Exception was raised because null_value_treatment is \"raise_exception\".")
            .hint(
                "To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.",
            )),
        _ => Err(invalid(
            "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"",
        )),
    }
}

/// Writes a value with something changed at a path.
fn changed(text: &str, path: &[Option<String>], new: &str, change: Change, out: &mut String) -> Result<(), QueryError> {
    if ValueKind::of(text).is_scalar() {
        let what = if change == Change::Delete { "delete" } else { "set" };
        return Err(invalid(&format!("cannot {what} path in scalar")));
    }
    if path.is_empty() {
        out.push_str(text);
        return Ok(());
    }
    Edit { path, new, change }.write(text, 0, out)
}

struct Edit<'a> {
    path: &'a [Option<String>],
    new: &'a str,
    change: Change,
}

impl Edit<'_> {
    /// Writes the value that the path reaches after `level` steps.
    fn write(&self, text: &str, level: usize, out: &mut String) -> Result<(), QueryError> {
        if level > DEPTH_MAX {
            return Err(too_deep());
        }
        let kind = ValueKind::of(text);
        if level == 0 && !self.change.adds() && matches!(text, "{}" | "[]") {
            // Nothing to delete or replace, whatever the step is.
            out.push_str(text);
            return Ok(());
        }
        let Some(step) = &self.path[level] else {
            let message = format!("path element at position {} is null", level + 1);
            return Err(QueryError::new(ErrorKind::NullNotAllowed, message));
        };
        match kind {
            ValueKind::Object => self.write_object(text, step, level, out),
            ValueKind::Array => self.write_array(text, step, level, out),
            _ => {
                out.push_str(text);
                Ok(())
            }
        }
    }

    fn is_last(&self, level: usize) -> bool {
        level + 1 == self.path.len()
    }

    fn write_object(&self, text: &str, step: &str, level: usize, out: &mut String) -> Result<(), QueryError> {
        let mut members: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        let mut found = false;
        for member in document::members(text) {
            let key = member.key()?;
            if key != step {
                members.push((key, Cow::Borrowed(member.value)));
                continue;
            }
            found = true;
            match (self.is_last(level), self.change) {
                (true, Change::Delete) => {}
                (true, Change::Replace | Change::Create) => members.push((key, Cow::Borrowed(self.new))),
                (true, _) => {
                    return Err(invalid("cannot replace existing key")
                        .hint("Try using the function jsonb_set to replace key value."));
                }
                (false, _) => {
                    let mut inner = String::new();
                    self.write(member.value, level + 1, &mut inner)?;
                    members.push((key, Cow::Owned(inner)));
                }
            }
        }
        if !found && self.is_last(level) && self.change.adds() {
            members.push((Cow::Borrowed(step), Cow::Borrowed(self.new)));
        }
        push_object(out, members);
        Ok(())
    }

    fn write_array(&self, text: &str, step: &str, level: usize, out: &mut String) -> Result<(), QueryError> {
        let position = array_position(step, level)?;
        let count = document::items(text).count();
        // `None` is before the first item.
        let index = match usize::try_from(position) {
            Ok(index) => Some(index.min(count)),
            Err(_) => count.checked_sub(position.unsigned_abs() as usize),
        };
        let adds = self.is_last(level) && self.change.adds();
        let mut items: Vec<Cow<'_, str>> = Vec::with_capacity(count + 1);
        if adds && index.is_none() {
            items.push(Cow::Borrowed(self.new));
        }
        for (at, item) in document::items(text).enumerate() {
            if Some(at) != index {
                items.push(Cow::Borrowed(item));
            } else if !self.is_last(level) {
                let mut inner = String::new();
                self.write(item, level + 1, &mut inner)?;
                items.push(Cow::Owned(inner));
            } else {
                let (old, new) = (Cow::Borrowed(item), Cow::Borrowed(self.new));
                match self.change {
                    Change::Delete => {}
                    Change::Replace | Change::Create => items.push(new),
                    Change::InsertBefore => items.extend([new, old]),
                    Change::InsertAfter => items.extend([old, new]),
                }
            }
        }
        if adds && index == Some(count) {
            items.push(Cow::Borrowed(self.new));
        }
        push_array(out, items.iter());
        Ok(())
    }
}

// ---- whole values ----

/// A value without the members that are null, at any depth. `spaces` stand behind a colon and a comma.
fn strip(columns: &[ArrayRef], spaces: (&str, &str)) -> Answer {
    let documents = Documents::new(&columns[0]);
    written(columns, Column::of(documents.form()), |row, out| {
        push_stripped(out, documents.value(row), spaces, 0).map(|()| true)
    })
}

fn push_stripped(out: &mut String, text: &str, spaces: (&str, &str), depth: usize) -> Result<(), QueryError> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    let mut first = true;
    let mut separate = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.push(',');
            out.push_str(spaces.1);
        }
    };
    match ValueKind::of(text) {
        ValueKind::Object => {
            out.push('{');
            for member in document::members(text) {
                if ValueKind::of(member.value) == ValueKind::Null {
                    continue;
                }
                separate(out);
                push_string(out, &member.key()?);
                out.push(':');
                out.push_str(spaces.0);
                push_stripped(out, member.value, spaces, depth + 1)?;
            }
            out.push('}');
        }
        ValueKind::Array => {
            out.push('[');
            for item in document::items(text) {
                separate(out);
                push_stripped(out, item, spaces, depth + 1)?;
            }
            out.push(']');
        }
        ValueKind::String => push_string(out, &document::string_value(text.trim_ascii())?),
        _ => out.push_str(text.trim_ascii()),
    }
    Ok(())
}

/// One member or item on a line, each level four spaces deeper.
fn pretty(columns: &[ArrayRef]) -> Answer {
    let documents = Documents::new(&columns[0]);
    written(columns, Column::text(), |row, out| {
        push_pretty(out, documents.value(row));
        Ok(true)
    })
}

fn push_pretty(out: &mut String, text: &str) {
    let mut depth = 0_usize;
    let mut plain = 0;
    let mut in_string = false;
    let mut bytes = text.bytes().enumerate();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str(INDENT));
    };
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                out.push_str(&text[plain..=at]);
                plain = at + 1;
                if !matches!(text.as_bytes().get(at + 1), Some(b'}' | b']')) {
                    new_line(out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                out.push_str(&text[plain..at]);
                plain = at;
                new_line(out, depth);
            }
            b',' => {
                out.push_str(&text[plain..=at]);
                // The space behind the comma becomes the line's end.
                plain = at + 1 + usize::from(text.as_bytes().get(at + 1) == Some(&b' '));
                new_line(out, depth);
            }
            _ => {}
        }
    }
    out.push_str(&text[plain..]);
}
