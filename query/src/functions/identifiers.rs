//! parse_ident: a qualified name in its parts.

use super::overload::{Function, Kind, Overload};
use super::strings::{Answer, TextLists, invalid, present, texts};
use crate::error::QueryError;
use arrow::array::{Array, ArrayRef, AsArray};

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Bool, Text, TextArray};
    let parse_ident = vec![
        Overload::new(&[Text], TextArray, |columns, _| parse_identifiers(columns)),
        Overload::new(&[Text, Bool], TextArray, |columns, _| parse_identifiers(columns)),
    ];
    vec![Function::immutable("parse_ident", parse_ident)]
}

fn parse_identifiers(columns: &[ArrayRef]) -> Answer {
    let text = texts(columns, 0);
    let nulls = present(columns);
    let mut lists = TextLists::with_capacity(text.len());
    for row in 0..text.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            lists.finish_null();
            continue;
        }
        let strict = columns.get(1).is_none_or(|strict| strict.as_boolean().value(row));
        parts_of(text.value(row), strict)?.iter().for_each(|part| lists.push(Some(part)));
        lists.finish();
    }
    Ok(lists.into_array())
}

/// The parts of a name. What follows it is an error where `strict` says so.
fn parts_of(text: &str, strict: bool) -> Result<Vec<String>, QueryError> {
    let malformed = || invalid(format!("string is not a valid identifier: \"{text}\""));
    let mut parts = Vec::new();
    let mut rest = trimmed_start(text);
    loop {
        let after_dot = !parts.is_empty();
        if let Some(quoted) = rest.strip_prefix('"') {
            let (part, after) =
                quoted_part(quoted).ok_or_else(|| malformed().detail("String has unclosed double quotes."))?;
            if part.is_empty() {
                return Err(malformed().detail("Quoted identifier must not be empty."));
            }
            parts.push(part);
            rest = after;
        } else {
            let length = plain_length(rest);
            match (length, rest.starts_with('.'), after_dot) {
                (0, true, _) => return Err(malformed().detail("No valid identifier before \".\".")),
                (0, false, true) => return Err(malformed().detail("No valid identifier after \".\".")),
                (0, false, false) => return Err(malformed()),
                _ => parts.push(rest[..length].to_ascii_lowercase()),
            }
            rest = &rest[length..];
        }
        rest = trimmed_start(rest);
        match rest.strip_prefix('.') {
            Some(next) => rest = trimmed_start(next),
            None if rest.is_empty() || !strict => return Ok(parts),
            None => return Err(malformed()),
        }
    }
}

fn trimmed_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}'])
}

/// A part after its opening quote, and what follows its closing one.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, after)),
        }
    }
}

/// The bytes of a part without quotes: letters, digits, `_` and `$`, a letter or `_` first.
fn plain_length(text: &str) -> usize {
    let begins = |character: char| character.is_ascii_alphabetic() || character == '_' || !character.is_ascii();
    if !text.starts_with(begins) {
        return 0;
    }
    let goes_on = |character: char| begins(character) || character.is_ascii_digit() || character == '$';
    text.find(|character| !goes_on(character)).unwrap_or(text.len())
}
