//! Where a chunk's lines stop being lines.
//!
//! Nearly every file has lines of one kind and nothing but text, and is never looked at here. Of one that has line ends of several
//! kinds, bytes that are no text, or a `\.`, this walk says which record PostgreSQL would refuse, on which line, and why: it is
//! `CopyReadLineText` of PostgreSQL 15, byte by byte, its looking ahead included.

use super::fields::{QuoteState, Syntax, bad, mixed_line_ends, mixes_line_endings};
use super::split::LineEnding;
use crate::error::QueryError;

/// The first record that cannot be cut off its line.
#[derive(Debug)]
pub(super) struct LineFailure {
    /// Where the record begins.
    pub(super) start: usize,
    /// How many lines there are before the one that it fails on.
    pub(super) lines: u64,
    pub(super) error: QueryError,
}

/// A walk through lines.
pub(super) struct LineWalk<'a> {
    syntax: &'a Syntax,
    bytes: &'a [u8],
    /// Why what follows the bytes is no text; without it nothing follows.
    broken: Option<QueryError>,
    /// What ends lines, once that is known.
    ending: Option<LineEnding>,
    at: usize,
    lines: u64,
}

/// How a line ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Line,
    Data,
}

impl<'a> LineWalk<'a> {
    /// `ending` is `None` at the start of the data. `broken` says why the bytes behind these are no text.
    pub(super) fn new(
        syntax: &'a Syntax,
        bytes: &'a [u8],
        broken: Option<QueryError>,
        ending: Option<LineEnding>,
    ) -> Self {
        Self { syntax, bytes, broken, ending, at: 0, lines: 0 }
    }

    /// Walks through all lines, or through the first.
    pub(super) fn failure(mut self, first_only: bool) -> Option<LineFailure> {
        loop {
            let start = self.at;
            match self.line() {
                Ok(End::Line) if !first_only => self.lines += 1,
                Ok(_) => return None,
                Err(error) => return Some(LineFailure { start, lines: self.lines, error }),
            }
        }
    }

    /// The next byte, which is not taken; `None` at the end of the data.
    fn peek(&self) -> Result<Option<u8>, QueryError> {
        match (self.bytes.get(self.at), &self.broken) {
            (Some(byte), _) => Ok(Some(*byte)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        }
    }

    fn line(&mut self) -> Result<End, QueryError> {
        let csv = self.syntax.csv;
        let mut quotes = QuoteState::default();
        let mut is_first = true;
        while let Some(byte) = self.peek()? {
            self.at += 1;
            if csv {
                if matches!(byte, b'\\' | b'\r') {
                    self.peek()?;
                }
                quotes.step(byte, self.syntax);
                self.lines += u64::from(quotes.inside && byte == LineEnding::quoted_line(self.ending));
            }
            match byte {
                b'\r' | b'\n' if !quotes.inside => {
                    self.line_end(byte)?;
                    return Ok(End::Line);
                }
                b'\\' if !csv || is_first => match self.peek()? {
                    None => return Ok(End::Data),
                    Some(b'.') => {
                        if self.is_marker()? {
                            return Ok(End::Data);
                        }
                    }
                    // What a backslash stands before means nothing else.
                    Some(_) if !csv => self.at += 1,
                    Some(_) => {}
                },
                _ => {}
            }
            is_first = false;
        }
        Ok(End::Data)
    }

    /// Takes the rest of a line end.
    fn line_end(&mut self, byte: u8) -> Result<(), QueryError> {
        let found = match (byte, self.ending) {
            (b'\n', _) => LineEnding::Newline,
            (_, None | Some(LineEnding::CarriageReturnNewline)) if self.peek()? == Some(b'\n') => {
                self.at += 1;
                LineEnding::CarriageReturnNewline
            }
            _ => LineEnding::CarriageReturn,
        };
        if *self.ending.get_or_insert(found) == found { Ok(()) } else { Err(mixed_line_ends(byte, self.syntax.csv)) }
    }

    /// Whether the backslash that was taken begins an end-of-data marker. In csv anything else is data, in text it is an error.
    fn is_marker(&mut self) -> Result<bool, QueryError> {
        let behind = self.at;
        self.at += 1;
        let csv = self.syntax.csv;
        let not_one = |walk: &mut Self, error: QueryError| {
            walk.at = behind;
            if csv { Ok(false) } else { Err(error) }
        };
        if self.ending == Some(LineEnding::CarriageReturnNewline) {
            match self.take()? {
                Some(b'\r') => {}
                Some(b'\n') => return not_one(self, mismatch()),
                _ => return not_one(self, corrupt()),
            }
        }
        match (self.take()?, self.ending) {
            (Some(b'\r' | b'\n'), None) => Ok(true),
            (Some(byte @ (b'\r' | b'\n')), Some(ending)) if byte == ending.terminator() => Ok(true),
            (Some(b'\r' | b'\n'), _) => Err(mismatch()),
            _ => not_one(self, corrupt()),
        }
    }

    fn take(&mut self) -> Result<Option<u8>, QueryError> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }
}

/// Whether lines have to be walked through although all of it is text.
pub(super) fn are_doubtful(syntax: &Syntax, bytes: &[u8], ending: LineEnding) -> bool {
    mixes_line_endings(bytes, ending)
        // A backslash takes the first half of a line end.
        || (!syntax.csv
            && ending == LineEnding::CarriageReturnNewline
            && memchr::memmem::find(bytes, b"\\\r").is_some())
        || memchr::memmem::find(bytes, b"\\.").is_some_and(|_| !syntax.csv || begins_a_line(bytes))
}

/// Whether a `\.` stands where a line begins.
fn begins_a_line(bytes: &[u8]) -> bool {
    memchr::memmem::find_iter(bytes, b"\\.").any(|place| place == 0 || matches!(bytes[place - 1], b'\r' | b'\n'))
}

fn corrupt() -> QueryError {
    bad("end-of-copy marker corrupt")
}

fn mismatch() -> QueryError {
    bad("end-of-copy marker does not match previous newline style")
}
