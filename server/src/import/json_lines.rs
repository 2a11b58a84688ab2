//! JSON lines: each line an object, its members the values of a table's columns.
//!
//! ```text
//! {"id": 1, "tags": ["a"]} ─▶ members ─▶ values as they are spelled ─▶ a line of COPY's text format
//! ```
//!
//! Numbers keep all their digits, and arrays and objects are JSON. A member that no column takes is an error: nothing of a file is
//! left out silently. A column whose member is missing gets its default.

use super::TableColumn;
use query::copy_format::CopyEncoding;
use serde::de::IgnoredAny;
use serde_json::Deserializer;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};

#[cfg(test)]
mod tests;

/// What stands for a column's default among the values, where a column has one.
pub(super) const DEFAULT: &str = "\\D";

/// A member's value as the line spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    /// A text in its quotes.
    Text(&'a str),
    /// A number, `true` or `false`.
    Plain(&'a str),
    /// An array or an object.
    Nested(&'a str),
}

/// The lines of a file that are not blank, with their numbers, which start at 1.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new(), number: 0 }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            self.line.clear();
            if self.reader.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.number, self.line.trim_ascii())));
            }
        }
    }
}

/// A line as text; the error says why it is none.
pub(super) fn text_of(line: &[u8], encoding: CopyEncoding) -> Result<Cow<'_, str>, String> {
    encoding.text_of(line).map_err(|(_, error)| format!("{}; --encoding says what the file is", error.message))
}

/// Calls `member` with the name, in its quotes, and the value of each member of the object that a line is.
pub(super) fn members<'a>(
    line: &'a str,
    mut member: impl FnMut(&'a str, Value<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let Some(mut rest) = line.strip_prefix('{') else {
        let hint = if line.starts_with('[') { "; jq -c '.[]' makes lines of an array" } else { "" };
        return Err(format!("the line is no JSON object{hint}"));
    };
    if rest.trim_ascii_start().starts_with('}') {
        return ended(rest.trim_ascii_start());
    }
    loop {
        let name = next_value(&mut rest)?;
        if !name.starts_with('"') {
            return Err(format!("{name} is no name of a member"));
        }
        rest = rest.trim_ascii_start().strip_prefix(':').ok_or_else(|| format!("no value stands behind {name}"))?;
        let value = next_value(&mut rest)?;
        member(name, Value::of(value))?;
        match rest.trim_ascii_start().strip_prefix(',') {
            Some(behind) => rest = behind,
            None => return ended(rest.trim_ascii_start()),
        }
    }
}

/// An object ends with its brace and nothing behind it.
fn ended(rest: &str) -> Result<(), String> {
    match rest.strip_prefix('}').map(str::trim_ascii) {
        Some("") => Ok(()),
        Some(_) => Err("something stands behind the object".to_string()),
        None if rest.is_empty() => Err("the object is cut off".to_string()),
        None => Err("a comma or the object's end is missing".to_string()),
    }
}

/// Takes the next value of a text, and checks that it is one.
fn next_value<'a>(rest: &mut &'a str) -> Result<&'a str, String> {
    let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => {
            let (value, behind) = rest.split_at(values.byte_offset());
            *rest = behind;
            Ok(value.trim_ascii_start())
        }
        Some(Err(error)) if !error.is_eof() => {
            // Its place is that in the value, which nobody sees.
            let error = error.to_string();
            Err(error.split(" at line ").next().unwrap_or_default().to_string())
        }
        _ => Err("the object is cut off".to_string()),
    }
}

/// What a text in quotes says.
pub(super) fn unquoted(quoted: &str) -> Result<Cow<'_, str>, String> {
    if quoted.contains('\\') {
        return serde_json::from_str::<String>(quoted).map(Cow::Owned).map_err(|_| format!("{quoted} is no text"));
    }
    Ok(Cow::Borrowed(quoted.trim_matches('"')))
}

impl<'a> Value<'a> {
    fn of(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b'"') => Self::Text(text),
            Some(b'{' | b'[') => Self::Nested(text),
            _ if text == "null" => Self::Null,
            _ => Self::Plain(text),
        }
    }
}

/// Writes objects as lines of COPY's text format.
pub(super) struct LineWriter {
    columns: Vec<TableColumn>,
    /// The column that a name means, by its spelling in the file.
    places: HashMap<String, usize>,
}

impl LineWriter {
    pub(super) fn new(columns: &[TableColumn]) -> Self {
        Self { columns: columns.to_vec(), places: HashMap::new() }
    }

    /// Adds the object of a line. The error says what is wrong with it, and then nothing is added.
    pub(super) fn write(&mut self, line: &str, out: &mut Vec<u8>) -> Result<(), String> {
        let mut values: Vec<Option<Value<'_>>> = vec![None; self.columns.len()];
        members(line, |name, value| {
            let place = self.place(name)?;
            match values[place].replace(value) {
                None => Ok(()),
                Some(_) => Err(format!("member {name} stands there twice")),
            }
        })?;
        let start = out.len();
        let written = self.write_values(&values, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write_values(&self, values: &[Option<Value<'_>>], out: &mut Vec<u8>) -> Result<(), String> {
        for (index, (column, value)) in self.columns.iter().zip(values).enumerate() {
            if index > 0 {
                out.push(b'\t');
            }
            match value {
                None if column.has_default => out.extend_from_slice(DEFAULT.as_bytes()),
                None | Some(Value::Null) => out.extend_from_slice(b"\\N"),
                Some(Value::Text(quoted)) if !column.is_json() => escape(&unquoted(quoted)?, out),
                Some(Value::Text(spelled) | Value::Plain(spelled) | Value::Nested(spelled)) => escape(spelled, out),
            }
        }
        out.push(b'\n');
        Ok(())
    }

    /// Adds a line that COPY is to reject: it has more values than there are columns.
    pub(super) fn write_wrong(&self, line: &[u8], out: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line).replace('\r', " ");
        out.extend_from_slice(text.as_bytes());
        // A backslash at the end takes the first of them.
        out.resize(out.len() + self.columns.len() + 1, b'\t');
        out.push(b'\n');
    }

    fn place(&mut self, quoted: &str) -> Result<usize, String> {
        if let Some(place) = self.places.get(quoted) {
            return Ok(*place);
        }
        let name = unquoted(quoted)?;
        let exact = self.columns.iter().position(|column| column.name == name);
        let place = exact.or_else(|| self.columns.iter().position(|column| column.is_named(&name)));
        let place = place.ok_or_else(|| {
            let known: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            format!("the table has no column for member {quoted}; its columns are {}", known.join(", "))
        })?;
        self.places.insert(quoted.to_string(), place);
        Ok(place)
    }
}

/// A value as the text format has it.
fn escape(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.push(byte),
        }
    }
}
