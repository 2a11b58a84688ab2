//! The text form of arrays: `{1,NULL,"b c"}`.

use crate::error::{ErrorKind, QueryError};
use std::borrow::Cow;

/// Writes one element, in quotes where PostgreSQL's `array_out` sets them.
pub(super) fn push_element(out: &mut Vec<u8>, element: &[u8]) {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t'..=b'\r');
    if !element.is_empty() && !element.eq_ignore_ascii_case(b"null") && !element.iter().any(special) {
        out.extend_from_slice(element);
        return;
    }
    out.push(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Cuts the text of an array of one dimension into its elements; `None` is a null.
pub(crate) fn split_elements(text: &str) -> Result<Vec<Option<Cow<'_, str>>>, QueryError> {
    let malformed = |detail: &str| {
        QueryError::new(ErrorKind::InvalidTextRepresentation, format!("malformed array literal: \"{text}\""))
            .detail(detail.to_string())
    };
    let trimmed = text.trim();
    if trimmed.starts_with('[') && trimmed.contains("]=") {
        return Err(QueryError::unsupported("an array with bounds as input"));
    }
    let Some(rest) = trimmed.strip_prefix('{') else {
        return Err(malformed("Array value must start with \"{\" or dimension information."));
    };
    let Some(body) = rest.strip_suffix('}') else { return Err(malformed("Unexpected end of input.")) };
    let mut elements = Vec::new();
    if body.trim().is_empty() {
        return Ok(elements);
    }
    let mut rest = body;
    loop {
        rest = rest.trim_start();
        let (element, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let (value, after) = quoted_element(quoted).ok_or_else(|| malformed("Unexpected end of input."))?;
            (Some(Cow::Owned(value)), after)
        } else {
            let (value, after) = plain_element(rest).ok_or_else(|| malformed("Unexpected end of input."))?;
            match value {
                _ if value.contains(['{', '}']) => {
                    return Err(QueryError::unsupported("an array of more than one dimension as input"));
                }
                _ if value.is_empty() => return Err(malformed("Unexpected \",\" character.")),
                _ if value.eq_ignore_ascii_case("null") => (None, after),
                _ => (Some(value), after),
            }
        };
        elements.push(element);
        let after = after.trim_start();
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(elements),
            None => return Err(malformed("Unexpected array element.")),
        }
    }
}

/// An element after its opening quote, and what follows its closing one.
fn quoted_element(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

fn plain_element(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(end) = text.find([',', '\\', '"']) else { return Some((Cow::Borrowed(text.trim_end()), "")) };
    if text[end..].starts_with(',') {
        return Some((Cow::Borrowed(text[..end].trim_end()), &text[end..]));
    }
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            ',' => return Some((Cow::Owned(value.trim_end().to_string()), &text[index..])),
            '\\' => value.push(characters.next()?.1),
            '"' => return None,
            _ => value.push(character),
        }
    }
    Some((Cow::Owned(value.trim_end().to_string()), ""))
}
