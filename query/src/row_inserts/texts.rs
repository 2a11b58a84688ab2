//! Texts of row inserts: a statement that differs from an earlier one in its values alone is read without being parsed.
//!
//! ```text
//! INSERT INTO t (a, b) VALUES (1, 'x')      parsed; its head is kept with its shape
//! INSERT INTO t (a, b) VALUES (2, NULL);    the same head: the values are read from the text
//! └───────── head ──────────┘
//! ```
//!
//! Only values are read that stand for themselves: plain numbers, texts in simple quotes, NULL. Whatever else stands there, a comment
//! among it, is left to the parser, and so is every text with an error in it.

use super::{RowInsert, STATEMENT_ROWS_MAX, Shape};
use crate::insert::{Cell, reads_numbers};
use crate::statement::Statement;
use catalog::definition::Column;
use std::sync::Arc;

/// An INSERT up to its values.
#[derive(Debug)]
pub(crate) struct Head {
    /// Through the word VALUES.
    text: Box<str>,
    shape: Arc<Shape>,
}

impl Head {
    /// `None` for a statement whose values are not read in this way, or that does not begin its text.
    pub(crate) fn of(statement: &Statement, known: &RowInsert) -> Option<Self> {
        if statement.range.start > 0 || known.shape.returned.is_some() {
            return None;
        }
        let text = statement.text();
        let end = head_length(text)?;
        let head = Self { text: text[..end].into(), shape: Arc::clone(&known.shape) };
        // What is read in two ways must be the same in both.
        (head.read(text)?.rows == known.rows).then_some(head)
    }

    /// Whether it is the head of statements of this shape.
    pub(crate) fn is_of(&self, known: &RowInsert) -> bool {
        Arc::ptr_eq(&self.shape, &known.shape)
    }

    /// The rows of a text with this head.
    pub(crate) fn read(&self, text: &str) -> Option<RowInsert> {
        let mut values = Values { text: text.strip_prefix(&*self.text)?, at: 0 };
        let shape = &self.shape;
        let columns: Vec<&Column> = shape.targets.iter().map(|target| &shape.definition.columns[*target]).collect();
        if columns.len() != shape.written.width {
            return None;
        }
        let mut rows = Vec::new();
        loop {
            rows.push(values.row(&columns)?);
            if !values.takes(b',') {
                break;
            }
            if rows.len() == STATEMENT_ROWS_MAX {
                return None;
            }
        }
        values.takes(b';');
        values.is_at_end().then(|| RowInsert { shape: Arc::clone(shape), rows })
    }
}

/// The length of a text through its first word VALUES, before which there are only names, commas and parentheses.
fn head_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at += 2 + memchr::memchr(b'"', &bytes[at + 1..])?,
            byte if is_word(&byte) => {
                let length = bytes[at..].iter().take_while(|byte| is_word(byte)).count();
                let word = &bytes[at..at + length];
                at += length;
                if word.eq_ignore_ascii_case(b"values") {
                    return Some(at);
                }
            }
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b'.' | b'(' | b')' => at += 1,
            _ => return None,
        }
    }
    None
}

/// The text behind VALUES, and how much of it was read.
struct Values<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Values<'a> {
    /// The next letter behind blanks; it is not taken.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes the next letter if it is this one.
    fn takes(&mut self, letter: u8) -> bool {
        let is_next = self.peek() == Some(letter);
        self.at += usize::from(is_next);
        is_next
    }

    fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    fn row(&mut self, columns: &[&Column]) -> Option<Vec<Cell>> {
        if !self.takes(b'(') {
            return None;
        }
        let mut cells = Vec::with_capacity(columns.len());
        for (place, column) in columns.iter().enumerate() {
            if place > 0 && !self.takes(b',') {
                return None;
            }
            cells.push(self.cell(column)?);
        }
        self.takes(b')').then_some(cells)
    }

    fn cell(&mut self, column: &Column) -> Option<Cell> {
        match self.peek()? {
            b'\'' => self.quoted().map(Cell::Text),
            b'-' | b'0'..=b'9' => {
                let text = self.number()?;
                let digits = text.strip_prefix('-').unwrap_or(text);
                reads_numbers(&column.sql_type, digits).then(|| Cell::Number(text.to_string()))
            }
            b'n' | b'N' => {
                let word = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                (word.eq_ignore_ascii_case("null") && self.ends_here()).then_some(Cell::Null)
            }
            _ => None,
        }
    }

    /// Digits, perhaps with a point between them and a minus right before them.
    fn number(&mut self) -> Option<&'a str> {
        let text = self.text;
        let rest = &text[self.at..];
        let unsigned = rest.strip_prefix('-').unwrap_or(rest);
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut length = digits(unsigned);
        if length > 0 && unsigned.as_bytes().get(length) == Some(&b'.') {
            let behind = digits(&unsigned[length + 1..]);
            length = if behind > 0 { length + 1 + behind } else { 0 };
        }
        let signed = rest.len() - unsigned.len() + length;
        self.at += signed;
        (length > 0 && self.ends_here()).then_some(&rest[..signed])
    }

    /// A text in simple quotes; two of them stand for one.
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        loop {
            self.at += 1;
            let length = memchr::memchr(b'\'', &self.text.as_bytes()[self.at..])?;
            value.push_str(&self.text[self.at..self.at + length]);
            self.at += length + 1;
            if self.text.as_bytes().get(self.at) != Some(&b'\'') {
                return Some(value);
            }
            value.push('\'');
        }
    }

    /// Whether nothing follows right here that would belong to the value.
    fn ends_here(&self) -> bool {
        matches!(self.text.as_bytes().get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b')'))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Values, head_length};
    use catalog::definition::Column;
    use catalog::ids::ColumnId;
    use catalog::sql_type::SqlType;

    fn row(types: &[SqlType], text: &str) -> Option<Vec<Cell>> {
        let columns: Vec<Column> =
            types.iter().map(|sql_type| Column::new(ColumnId(1), "c", sql_type.clone())).collect();
        Values { text, at: 0 }.row(&columns.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_head_ends_with_the_first_word_values() {
        for (text, head) in [
            ("insert into t values (1)", Some("insert into t values")),
            ("INSERT INTO s.t (a, \"values\") Values(1)", Some("INSERT INTO s.t (a, \"values\") Values")),
            ("insert into \"a--b\" values (1)", Some("insert into \"a--b\" values")),
            ("insert into t /* values */ values (1)", None),
            ("insert into t select 'values'", None),
        ] {
            assert_eq!(head_length(text).map(|end| &text[..end]), head, "{text}");
        }
    }

    #[test]
    fn values_that_stand_for_themselves_are_read() {
        let types = [SqlType::Int4, SqlType::Text, SqlType::Float8];
        let number = |text: &str| Cell::Number(text.to_string());
        let text = |text: &str| Cell::Text(text.to_string());
        for (values, cells) in [
            ("(1, 'x', 2.5)", Some(vec![number("1"), text("x"), number("2.5")])),
            (" ( -1\n,'it''s; (a)', NULL )", Some(vec![number("-1"), text("it's; (a)"), Cell::Null])),
            ("(null,'',-0.0)", Some(vec![Cell::Null, text(""), number("-0.0")])),
            ("('7', 'ä\\', 1)", Some(vec![text("7"), text("ä\\"), number("1")])),
            ("(1.5, 'x', 1)", None),
            ("(1, 5, 1)", None),
            ("(1, 'x', 1e3)", None),
            ("(1, 'x', 1.)", None),
            ("(1, 'x', - 1)", None),
            ("(1, 'x', --1\n)", None),
            ("(1, 'x', 1/*c*/)", None),
            ("(1, e'x', 1)", None),
            ("(1, 'x' 'y', 1)", None),
            ("(1, 'x'::text, 1)", None),
            ("(1, 'x', nulls)", None),
            ("(1, 'x', $1)", None),
            ("(1, 'x')", None),
            ("(1, 'x', 1, 1)", None),
            ("(1, 'x", None),
            ("(1, 'x', nul", None),
        ] {
            assert_eq!(row(&types, values), cells, "{values}");
        }
    }
}
