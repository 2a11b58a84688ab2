//! Parts of JSON text that is known to be valid: members, items and strings as slices of it.
//!
//! Nothing is built. A value is found by skipping over what stands before it, so what is read of a large document is
//! its beginning. Text that is not JSON has parts that mean nothing, but it is walked through to its end like any
//! other.

use super::lexer::unescape;
use crate::error::QueryError;
use std::borrow::Cow;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    String,
    Number,
    Boolean,
    Array,
    Object,
}

impl Kind {
    /// The kind of a value by its first letter.
    pub(crate) fn of(text: &str) -> Self {
        match text.trim_ascii_start().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }

    /// The word of `json_typeof`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    pub(crate) fn is_scalar(self) -> bool {
        !matches!(self, Self::Array | Self::Object)
    }
}

/// A member of an object: its key with quotes and escapes, and its value without white space around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub quoted: &'a str,
    pub value: &'a str,
}

impl<'a> Member<'a> {
    pub(crate) fn key(&self) -> Result<Cow<'a, str>, QueryError> {
        string_value(self.quoted)
    }
}

/// The members of an object in the order of the text; none of what is no object.
pub(crate) fn members(text: &str) -> impl Iterator<Item = Member<'_>> {
    let mut walk = Walk::into(text, b'{');
    std::iter::from_fn(move || {
        let quoted = walk.value(b'}')?;
        walk.pass(b':');
        let value = walk.value(b'}')?;
        walk.pass(b',');
        Some(Member { quoted, value })
    })
}

/// The items of an array; none of what is no array.
pub(crate) fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut walk = Walk::into(text, b'[');
    std::iter::from_fn(move || {
        let value = walk.value(b']')?;
        walk.pass(b',');
        Some(value)
    })
}

/// A place inside of an array or object.
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    /// After the opening bracket, or at the end where the text does not begin with it.
    fn into(text: &'a str, open: u8) -> Self {
        let start = skip_space(text.as_bytes(), 0);
        let at = if text.as_bytes().get(start) == Some(&open) { start + 1 } else { text.len() };
        Self { text, at }
    }

    /// The value that comes next; `None` before the closing bracket.
    fn value(&mut self, close: u8) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = skip_space(bytes, self.at);
        if bytes.get(start).is_none_or(|byte| *byte == close) {
            self.at = self.text.len();
            return None;
        }
        self.at = skip_value(bytes, start);
        if self.at == start {
            self.at = self.text.len();
            return None;
        }
        Some(&self.text[start..self.at])
    }

    fn pass(&mut self, mark: u8) {
        let bytes = self.text.as_bytes();
        self.at = skip_space(bytes, self.at);
        self.at += usize::from(bytes.get(self.at) == Some(&mark));
    }
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    from + bytes.get(from..).unwrap_or_default().iter().take_while(space).count()
}

/// Where the value that starts at `start` ends.
fn skip_value(bytes: &[u8], start: usize) -> usize {
    match bytes[start] {
        b'"' => skip_string(bytes, start),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut at = start;
            while let Some(byte) = bytes.get(at) {
                match byte {
                    b'"' => {
                        at = skip_string(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    break;
                }
            }
            at
        }
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            start + bytes[start..].iter().position(ends).unwrap_or(bytes.len() - start)
        }
    }
}

fn skip_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// The text that a string with its quotes stands for. Of type `json` it may have escapes that stand for nothing.
pub(crate) fn string_value(quoted: &str) -> Result<Cow<'_, str>, QueryError> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    unescape(inner).map(Cow::Owned).map_err(|(_, wrong)| wrong.error())
}

/// A value as text: a string without its quotes, anything else as it is written, and `None` for a null.
pub(crate) fn value_text(text: &str) -> Result<Option<Cow<'_, str>>, QueryError> {
    let trimmed = text.trim_ascii();
    match Kind::of(trimmed) {
        Kind::Null => Ok(None),
        Kind::String => string_value(trimmed).map(Some),
        Kind::Number | Kind::Boolean => Ok(Some(Cow::Borrowed(trimmed))),
        Kind::Array | Kind::Object => Ok(Some(Cow::Borrowed(text))),
    }
}

/// The item at a position, from the end where it is negative.
pub(crate) fn item(text: &str, position: i32) -> Option<&str> {
    let index = match usize::try_from(position) {
        Ok(index) => index,
        Err(_) => items(text).count().checked_sub(position.unsigned_abs() as usize)?,
    };
    items(text).nth(index)
}

/// The value of the last member with a key.
pub(crate) fn member<'a>(text: &'a str, key: &str) -> Result<Option<&'a str>, QueryError> {
    let mut found = None;
    for member in members(text) {
        // Most keys have no escapes and differ.
        if member.quoted.len() >= key.len() + 2 && member.key()? == key {
            found = Some(member.value);
        }
    }
    Ok(found)
}

/// The value of a key in canonical text, where keys are there once and shorter ones first.
pub(crate) fn sorted_member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    for member in members(text) {
        let found = member.key().ok()?;
        if found == key {
            return Some(member.value);
        }
        if found.len() > key.len() {
            return None;
        }
    }
    None
}
