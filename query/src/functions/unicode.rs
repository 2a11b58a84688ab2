//! Unicode: normal forms and escapes.

use super::overload::{Function, Kind, Overload};
use super::strings::{Answer, invalid, present, texts, written};
use crate::error::{ErrorKind, QueryError};
use arrow::array::{Array, ArrayRef, BooleanArray};
use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// The forms that SQL writes without quotes: `normalize(x, NFC)`.
pub(crate) const NORMAL_FORMS: [&str; 4] = ["nfc", "nfd", "nfkc", "nfkd"];

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Bool, Text};
    let normalize = vec![
        Overload::new(&[Text], Text, |columns, _| normalize(columns)),
        Overload::new(&[Text, Text], Text, |columns, _| normalize(columns)),
    ];
    let is_normalized = vec![
        Overload::new(&[Text], Bool, |columns, _| is_normalized(columns)),
        Overload::new(&[Text, Text], Bool, |columns, _| is_normalized(columns)),
    ];
    vec![
        Function::immutable("normalize", normalize),
        Function::immutable("is_normalized", is_normalized),
        Function::immutable("unistr", vec![Overload::new(&[Text], Text, |columns, _| unescape(columns))]),
    ]
}

/// Writes a text in a normal form.
fn write_normalized(text: &str, form: &str, result: &mut String) -> Result<(), QueryError> {
    match form.to_ascii_lowercase().as_str() {
        "nfc" => result.extend(text.nfc()),
        "nfd" => result.extend(text.nfd()),
        "nfkc" => result.extend(text.nfkc()),
        "nfkd" => result.extend(text.nfkd()),
        _ => return Err(invalid(format!("invalid normalization form: {form}"))),
    }
    Ok(())
}

fn form_at(columns: &[ArrayRef], row: usize) -> &str {
    if columns.len() > 1 { texts(columns, 1).value(row) } else { NORMAL_FORMS[0] }
}

fn normalize(columns: &[ArrayRef]) -> Answer {
    let text = texts(columns, 0);
    written(columns, |row, result| write_normalized(text.value(row), form_at(columns, row), result))
}

fn is_normalized(columns: &[ArrayRef]) -> Answer {
    let text = texts(columns, 0);
    let nulls = present(columns);
    let mut normalized = String::new();
    let mut of_row = |row| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        normalized.clear();
        write_normalized(text.value(row), form_at(columns, row), &mut normalized)?;
        Ok(Some(normalized == text.value(row)))
    };
    Ok(Arc::new((0..text.len()).map(&mut of_row).collect::<Result<BooleanArray, QueryError>>()?))
}

/// `unistr`: `\XXXX`, `\+XXXXXX`, `\uXXXX` and `\UXXXXXXXX` as the characters of these numbers, `\\` as a backslash.
fn unescape(columns: &[ArrayRef]) -> Answer {
    let text = texts(columns, 0);
    written(columns, |row, result| {
        let mut characters = text.value(row).chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if characters.next_if_eq(&'\\').is_some() => result.push('\\'),
                '\\' => result.push(escaped(&mut characters)?),
                other => result.push(other),
            }
        }
        Ok(())
    })
}

/// The character of an escape, which may be a pair of surrogates.
fn escaped(characters: &mut Peekable<Chars<'_>>) -> Result<char, QueryError> {
    let unpaired = || QueryError::new(ErrorKind::Syntax, "invalid Unicode surrogate pair");
    let first = code(characters)?;
    let code = match first {
        0xd800..=0xdbff => {
            characters.next_if_eq(&'\\').ok_or_else(unpaired)?;
            match code(characters)? {
                second @ 0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => return Err(unpaired()),
            }
        }
        0xdc00..=0xdfff => return Err(unpaired()),
        other => other,
    };
    char::from_u32(code).ok_or_else(unpaired)
}

/// The number of an escape, behind its backslash.
fn code(characters: &mut Peekable<Chars<'_>>) -> Result<u32, QueryError> {
    let digits = match characters.peek() {
        Some('+') => 6,
        Some('u') => 4,
        Some('U') => 8,
        _ => 0,
    };
    if digits > 0 {
        characters.next();
    }
    let mut code: u32 = 0;
    for _ in 0..if digits == 0 { 4 } else { digits } {
        let digit = characters.next().and_then(|character| character.to_digit(16)).ok_or_else(|| {
            QueryError::new(ErrorKind::Syntax, "invalid Unicode escape")
                .hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
        })?;
        code = code << 4 | digit;
    }
    if code == 0 || code > 0x10_ffff {
        return Err(invalid(format!("invalid Unicode code point: {code:04X}")));
    }
    Ok(code)
}
