//! Where the fields of a chunk's records lie.
//!
//! One pass over the chunk, a block at a time: the few bytes that mean something (delimiter, line end, quote or backslash) are
//! found with exact integer arithmetic and everything between them is skipped. A field with quotes or backslashes leaves that path,
//! is read by itself, and the pass goes on behind it. Fields that are not a piece of the chunk as they stand (an escape was
//! taken out) are copied to a side buffer.
//!
//! The rules are those of PostgreSQL's `CopyReadAttributesText` and `CopyReadAttributesCSV`.

use super::needles::Needles;
use super::options::{CopyFileFormat, CopyOptions};
use super::split::{LineEnding, backslashes_before};
use crate::error::{ErrorKind, QueryError};
use crate::types::{FieldText, checked_text};
use std::ops::Range;

/// What a field is, besides its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// A piece of the chunk, as it stands.
    Plain = 0,
    /// The same, between quotes: never null by itself.
    Quoted = 1,
    /// A piece of the side buffer.
    Rewritten = 2,
    Null = 3,
}

/// The place of a field in eight bytes, since there is one for every value of a chunk: its kind is in the top bits of its length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    start: u32,
    length_and_kind: u32,
}

const LENGTH_BITS: u32 = 30;
/// Nothing that is located may be longer, or lengths would reach into the kind.
const LENGTH_MAX: usize = (1 << LENGTH_BITS) - 1;

impl Field {
    const NULL: Self = Self { start: 0, length_and_kind: (FieldKind::Null as u32) << LENGTH_BITS };

    #[inline]
    fn new(start: usize, length: usize, kind: FieldKind) -> Self {
        debug_assert!(length <= LENGTH_MAX);
        Self { start: start as u32, length_and_kind: length as u32 | (kind as u32) << LENGTH_BITS }
    }

    pub(super) fn kind(self) -> FieldKind {
        match self.length_and_kind >> LENGTH_BITS {
            0 => FieldKind::Plain,
            1 => FieldKind::Quoted,
            2 => FieldKind::Rewritten,
            _ => FieldKind::Null,
        }
    }

    /// The field in its text, which is the chunk or the side buffer; `None` for a null.
    #[inline]
    pub(super) fn field_in<'a>(self, chunk: &'a str, rewritten: &'a str) -> Option<FieldText<'a>> {
        let kind = self.kind();
        if kind == FieldKind::Null {
            return None;
        }
        let source = if kind == FieldKind::Rewritten { rewritten } else { chunk };
        Some(FieldText::new(source, self.start as usize, self.length_and_kind as usize & LENGTH_MAX))
    }

    /// The field's text; `None` for a null.
    #[inline]
    pub(super) fn text_in<'a>(self, chunk: &'a str, rewritten: &'a str) -> Option<&'a str> {
        self.field_in(chunk, rewritten).map(FieldText::text)
    }
}

/// The fields of a chunk, `columns` for each record.
#[derive(Debug, Default)]
pub(super) struct Located {
    pub(super) fields: Vec<Field>,
    pub(super) rewritten: String,
    /// Record and column of the fields that stand for their column's default; they are nulls among the fields.
    pub(super) defaults: Vec<(usize, usize)>,
    /// The first record that has the wrong shape; the fields end with it.
    pub(super) failure: Option<ShapeError>,
}

/// A record that does not have the shape that was expected; values of its columns before `column` can still be read.
#[derive(Debug)]
pub(super) struct ShapeError {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) scope: Scope,
    pub(super) error: QueryError,
}

/// What the context of an error shows besides the line's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nothing: where the record ends is what is wrong.
    Line,
    Record,
    Column,
}

/// The bytes that mean something.
#[derive(Clone, Debug)]
pub(super) struct Syntax {
    pub(super) csv: bool,
    delimiter: u8,
    pub(super) quote: u8,
    pub(super) escape: u8,
    null: Vec<u8>,
    default: Option<DefaultMarker>,
}

/// What stands for a column's default, and which columns have one.
#[derive(Clone, Debug)]
struct DefaultMarker {
    text: Vec<u8>,
    columns: Vec<bool>,
}

impl Syntax {
    pub(super) fn new(options: &CopyOptions) -> Self {
        Self {
            csv: options.format == CopyFileFormat::Csv,
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null: options.null.clone().into_bytes(),
            default: None,
        }
    }

    /// The same where a field may stand for its column's default; `columns` says which have one.
    pub(super) fn with_default(mut self, marker: Option<&str>, columns: Vec<bool>) -> Self {
        self.default = marker.map(|text| DefaultMarker { text: text.as_bytes().to_vec(), columns });
        self
    }

    /// Finds the fields of all records. `names` are the columns that a record must have.
    pub(super) fn locate(&self, text: &str, ending: LineEnding, names: &[String]) -> Located {
        let mut pass = self.pass(text, ending, names);
        // The marker for a column that is too many stops the pass; the failure tells.
        let _ = pass.run(0);
        pass.located
    }

    /// The same around records of the wrong shape, which are given beside; their `row` counts all records.
    pub(super) fn locate_all(&self, text: &str, ending: LineEnding, names: &[String]) -> (Located, Vec<ShapeError>) {
        let mut pass = self.pass(text, ending, names);
        let mut failures = Vec::new();
        let (mut from, mut rows) = (0, 0);
        while pass.run(from).is_err()
            && let Some(mut failure) = pass.located.failure.take()
        {
            let row = failure.row;
            // The records since the last failure, and the one that failed.
            for _ in rows..=row {
                from += self.record_end(&text.as_bytes()[from..], ending, false).0;
            }
            rows = row;
            pass.located.fields.truncate(row * names.len());
            pass.located.defaults.retain(|(other, _)| *other < row);
            (pass.row, pass.column) = (row, 0);
            failure.row += failures.len();
            failures.push(failure);
        }
        (pass.located, failures)
    }

    fn pass<'a>(&'a self, text: &'a str, ending: LineEnding, names: &'a [String]) -> Pass<'a> {
        let strict = mixes_line_endings(text.as_bytes(), ending);
        let mut located = Located::default();
        // Each field has a byte that ends it.
        let lines = memchr::memchr_iter(ending.terminator(), text.as_bytes()).count() + 1;
        located.fields.reserve(lines.saturating_mul(names.len()).min(text.len() + 1));
        Pass {
            syntax: self,
            text,
            bytes: text.as_bytes(),
            ending,
            strict,
            careful: strict || self.default.is_some(),
            names,
            column: 0,
            row: 0,
            located,
        }
    }

    pub(super) fn is_delimiter(&self, byte: u8) -> bool {
        byte == self.delimiter
    }

    pub(super) fn null_text(&self) -> String {
        String::from_utf8_lossy(&self.null).into_owned()
    }

    /// The lines of whole records, the last of which may lack its line end. They are counted as PostgreSQL counts them: an escaped
    /// line end of the text format is none, and between quotes one kind of byte is. `begins_data`: the records are the data's first.
    pub(super) fn lines(&self, bytes: &[u8], ending: LineEnding, begins_data: bool) -> u64 {
        let terminator = ending.terminator();
        // Elsewhere the first record is counted as the others are.
        let is_first_own = self.csv && begins_data && ending == LineEnding::Newline;
        let (length, mut lines) = match is_first_own.then(|| self.record_end(bytes, ending, true)) {
            Some((length, lines, _)) => (length, lines),
            None => (0, 0),
        };
        let rest = &bytes[length..];
        lines += u64::from(rest.last().is_some_and(|last| *last != terminator));
        if self.csv {
            // Outside of quotes, too, there is one in each line end.
            return lines + memchr::memchr_iter(LineEnding::quoted_line(Some(ending)), rest).count() as u64;
        }
        let places = memchr::memchr_iter(terminator, rest);
        if memchr::memmem::find(rest, &[b'\\', terminator]).is_none() {
            return lines + places.count() as u64;
        }
        lines + places.filter(|place| backslashes_before(rest, *place).is_multiple_of(2)).count() as u64
    }

    /// The lines that a record takes (its last one counts, from 0) and its bytes without the line end. `begins_data`: the bytes are
    /// the data's first. For messages only: it walks from the chunk's start.
    pub(super) fn record(
        &self,
        bytes: &[u8],
        ending: LineEnding,
        begins_data: bool,
        row: usize,
    ) -> (u64, Range<usize>) {
        let mut start = 0;
        let mut line = 0;
        for index in 0..row {
            let (length, lines, _) = self.record_end(&bytes[start..], ending, begins_data && index == 0);
            start += length;
            line += lines;
        }
        let (length, lines, is_ended) = self.record_end(&bytes[start..], ending, begins_data && row == 0);
        let mut end = start + length;
        if is_ended {
            end -= 1;
            if ending == LineEnding::CarriageReturnNewline && end > start && bytes[end - 1] == b'\r' {
                end -= 1;
            }
        }
        (line + lines - 1, start..end)
    }

    /// The length of the first record with its line end, the lines that it takes, and whether it has a line end.
    fn record_end(&self, bytes: &[u8], ending: LineEnding, begins_data: bool) -> (usize, u64, bool) {
        let quoted_line = LineEnding::quoted_line((!begins_data).then_some(ending));
        let mut quotes = QuoteState::default();
        let mut lines = 1;
        let mut escaped = false;
        for (index, byte) in bytes.iter().enumerate() {
            if self.csv {
                quotes.step(*byte, self);
                lines += u64::from(quotes.inside && *byte == quoted_line);
            }
            if *byte == ending.terminator() && !quotes.inside && !escaped {
                return (index + 1, lines, true);
            }
            escaped = !self.csv && *byte == b'\\' && !escaped;
        }
        (bytes.len(), lines, false)
    }
}

/// Whether a place is between quotes, as PostgreSQL's `CopyReadLineText` follows it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuoteState {
    pub(super) inside: bool,
    last_was_escape: bool,
}

impl QuoteState {
    pub(super) fn step(&mut self, byte: u8, syntax: &Syntax) {
        if self.inside && byte == syntax.escape && syntax.escape != syntax.quote {
            self.last_was_escape = !self.last_was_escape;
        }
        if byte == syntax.quote && !self.last_was_escape {
            self.inside = !self.inside;
        }
        if byte != syntax.escape {
            self.last_was_escape = false;
        }
    }
}

/// Whether a chunk holds line ends of another kind than its own, which are only right between quotes.
pub(super) fn mixes_line_endings(bytes: &[u8], ending: LineEnding) -> bool {
    match ending {
        LineEnding::Newline => memchr::memchr(b'\r', bytes).is_some(),
        LineEnding::CarriageReturn => memchr::memchr(b'\n', bytes).is_some(),
        LineEnding::CarriageReturnNewline => {
            let mut newlines = 0;
            let alone = memchr::memchr_iter(b'\n', bytes).any(|place| {
                newlines += 1;
                place == 0 || bytes[place - 1] != b'\r'
            });
            alone || memchr::memchr_iter(b'\r', bytes).count() != newlines
        }
    }
}

/// The pass ended early; `Located::failure` says why.
struct Stopped;

struct Pass<'a> {
    syntax: &'a Syntax,
    text: &'a str,
    bytes: &'a [u8],
    ending: LineEnding,
    strict: bool,
    /// A plain field has to be looked at: for line ends, or because it may be the marker of a default.
    careful: bool,
    names: &'a [String],
    column: usize,
    row: usize,
    located: Located,
}

impl Pass<'_> {
    fn run(&mut self, from: usize) -> Result<(), Stopped> {
        let (delimiter, terminator) = (self.syntax.delimiter, self.ending.terminator());
        let special = if self.syntax.csv { self.syntax.quote } else { b'\\' };
        let needles = Needles::new(delimiter, terminator, special);
        let mut start = from;
        let mut at = from;
        'blocks: while at < self.bytes.len() {
            let mut hits = needles.find(self.bytes, at);
            while hits != 0 {
                let place = at + hits.trailing_zeros() as usize;
                hits &= hits - 1;
                let byte = self.bytes[place];
                if byte == delimiter {
                    self.plain_field(start, place)?;
                    start = place + 1;
                } else if byte == terminator {
                    let end = self.line_end(start, place)?;
                    self.plain_field(start, end)?;
                    self.end_record()?;
                    start = place + 1;
                } else {
                    start = self.special_field(start, place)?;
                    if start - at >= Needles::BLOCK_BYTES {
                        at = start;
                        continue 'blocks;
                    }
                    hits &= u64::MAX << (start - at);
                }
            }
            at += Needles::BLOCK_BYTES;
        }
        // The last record may lack its line end; one that ended with a delimiter has an empty last field.
        if start < self.bytes.len() || self.column > 0 {
            self.plain_field(start, self.bytes.len())?;
            self.end_record()?;
        }
        Ok(())
    }

    /// Where the last field of a record ends when its line ends at `place`.
    fn line_end(&mut self, start: usize, place: usize) -> Result<usize, Stopped> {
        if self.ending != LineEnding::CarriageReturnNewline {
            return Ok(place);
        }
        if place > start && self.bytes[place - 1] == b'\r' { Ok(place - 1) } else { self.mixed(b'\n') }
    }

    #[inline(always)]
    fn plain_field(&mut self, start: usize, end: usize) -> Result<(), Stopped> {
        let bytes = &self.bytes[start..end];
        if self.careful && self.is_default(bytes)? {
            return self.push(Field::NULL);
        }
        let null = &self.syntax.null;
        let kind = if bytes.len() == null.len() && bytes == null { FieldKind::Null } else { FieldKind::Plain };
        self.push(Field::new(start, end - start, kind))
    }

    #[inline(always)]
    fn push(&mut self, field: Field) -> Result<(), Stopped> {
        if self.column >= self.names.len() {
            let error = bad("extra data after last expected column");
            return self.stop(0, error);
        }
        self.located.fields.push(field);
        self.column += 1;
        Ok(())
    }

    #[inline(always)]
    fn end_record(&mut self) -> Result<(), Stopped> {
        if self.column < self.names.len() {
            let column = self.column;
            let error = bad(format!("missing data for column \"{}\"", self.names[column]));
            return self.stop(column, error);
        }
        self.column = 0;
        self.row += 1;
        Ok(())
    }

    /// Fills the record up, so that its columns before `column` can be read, and stops.
    #[cold]
    fn stop<T>(&mut self, column: usize, error: QueryError) -> Result<T, Stopped> {
        self.located.fields.resize((self.row + 1) * self.names.len(), Field::NULL);
        if column == 0 {
            self.located.fields.truncate(self.row * self.names.len());
        }
        self.located.failure = Some(ShapeError { row: self.row, column, scope: Scope::Record, error });
        Err(Stopped)
    }

    /// Checks a plain field's line ends, and notes it where it is the marker of a default.
    #[cold]
    fn is_default(&mut self, bytes: &[u8]) -> Result<bool, Stopped> {
        if self.strict {
            self.check_line_endings(bytes)?;
        }
        let Some(marker) = &self.syntax.default else { return Ok(false) };
        if bytes != marker.text || self.column >= self.names.len() {
            return Ok(false);
        }
        if !marker.columns[self.column] {
            let detail = format!("Column \"{}\" has no default value.", self.names[self.column]);
            return self.stop(0, bad("unexpected default marker in COPY data").detail(detail));
        }
        self.located.defaults.push((self.row, self.column));
        Ok(true)
    }

    #[cold]
    fn check_line_endings(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        match bytes.iter().find(|byte| matches!(byte, b'\r' | b'\n')) {
            Some(byte) => self.mixed(*byte),
            None => Ok(()),
        }
    }

    #[cold]
    fn mixed<T>(&mut self, byte: u8) -> Result<T, Stopped> {
        let error = mixed_line_ends(byte, self.syntax.csv);
        self.stop_in_line(error)
    }

    #[cold]
    fn stop_in_line<T>(&mut self, error: QueryError) -> Result<T, Stopped> {
        let stopped = self.stop(0, error);
        if let Some(failure) = &mut self.located.failure {
            failure.scope = Scope::Line;
        }
        stopped
    }

    /// Reads a field that has a quote or backslash at `place`, with what ends it, and returns where the next one starts.
    fn special_field(&mut self, start: usize, place: usize) -> Result<usize, Stopped> {
        let (field, end) =
            if self.syntax.csv { self.quoted_field(start, place)? } else { self.escaped_field(start, place)? };
        self.push(field)?;
        match self.bytes.get(end) {
            Some(byte) if *byte == self.syntax.delimiter => Ok(end + 1),
            Some(b'\r') if self.ending == LineEnding::CarriageReturnNewline => {
                self.end_record()?;
                Ok(end + 2)
            }
            Some(_) => {
                self.end_record()?;
                Ok(end + 1)
            }
            None => {
                self.end_record()?;
                Ok(end)
            }
        }
    }

    /// Whether the field ends at a place: at a delimiter, at a line's end, at the end of all.
    fn is_field_end(&self, place: usize) -> bool {
        match self.bytes.get(place) {
            None => true,
            Some(byte) if *byte == self.syntax.delimiter => true,
            Some(b'\r') if self.ending == LineEnding::CarriageReturnNewline => {
                self.bytes.get(place + 1) == Some(&b'\n')
            }
            Some(byte) => *byte == self.ending.terminator() && self.ending != LineEnding::CarriageReturnNewline,
        }
    }

    fn quoted_field(&mut self, start: usize, place: usize) -> Result<(Field, usize), Stopped> {
        let Syntax { quote, escape, .. } = *self.syntax;
        // Nearly always the quotes stand around the whole field and nothing is escaped.
        if place == start
            && let Some(length) = memchr::memchr2(quote, escape, &self.bytes[start + 1..])
            && self.bytes[start + 1 + length] == quote
            && self.is_field_end(start + length + 2)
        {
            return Ok((Field::new(start + 1, length, FieldKind::Quoted), start + length + 2));
        }
        let from = self.located.rewritten.len();
        let mut at = start;
        loop {
            // Outside of quotes, up to the next quote or the field's end.
            let piece = at;
            while !self.is_field_end(at) && self.bytes[at] != quote {
                at += 1;
            }
            if self.strict {
                self.check_line_endings(&self.bytes[piece..at])?;
            }
            self.located.rewritten.push_str(&self.text[piece..at]);
            if self.bytes.get(at) != Some(&quote) || self.is_field_end(at) {
                break;
            }
            at = self.quoted_part(at + 1)?;
        }
        Ok((self.rewritten_field(from), at))
    }

    /// Reads from behind an opening quote to behind the closing one.
    fn quoted_part(&mut self, mut at: usize) -> Result<usize, Stopped> {
        let Syntax { quote, escape, .. } = *self.syntax;
        loop {
            let Some(length) = memchr::memchr2(quote, escape, &self.bytes[at..]) else {
                return self.stop(0, bad("unterminated CSV quoted field"));
            };
            self.located.rewritten.push_str(&self.text[at..at + length]);
            at += length;
            let next = self.bytes.get(at + 1);
            if self.bytes[at] == escape && next.is_some_and(|next| *next == escape || *next == quote) {
                self.located.rewritten.push_str(&self.text[at + 1..at + 2]);
                at += 2;
            } else if self.bytes[at] == quote {
                return Ok(at + 1);
            } else {
                self.located.rewritten.push_str(&self.text[at..at + 1]);
                at += 1;
            }
        }
    }

    fn escaped_field(&mut self, start: usize, place: usize) -> Result<(Field, usize), Stopped> {
        let mut end = place;
        while !self.is_field_end(end) {
            end += if self.bytes[end] == b'\\' && end + 1 < self.bytes.len() { 2 } else { 1 };
        }
        let raw = &self.bytes[start..end];
        // A backslash before nothing at all is no part of the field.
        let raw = if ends_with_lone_backslash(raw) { &raw[..raw.len() - 1] } else { raw };
        if raw == self.syntax.null {
            return Ok((Field::NULL, end));
        }
        if self.syntax.default.as_ref().is_some_and(|marker| marker.text == raw) && self.is_default(raw)? {
            return Ok((Field::NULL, end));
        }
        if self.strict {
            self.check_unescaped_line_endings(start, end)?;
        }
        let from = self.located.rewritten.len();
        let Some(bytes) = unescape(raw) else { return self.stop_in_line(bad("end-of-copy marker corrupt")) };
        match checked_text(&bytes) {
            Ok(text) => self.located.rewritten.push_str(text),
            Err(error) => return self.stop(0, error),
        }
        Ok((self.rewritten_field(from), end))
    }

    fn check_unescaped_line_endings(&mut self, start: usize, end: usize) -> Result<(), Stopped> {
        let mut at = start;
        while at < end {
            match self.bytes[at] {
                b'\\' => at += 2,
                byte @ (b'\r' | b'\n') => return self.mixed(byte),
                _ => at += 1,
            }
        }
        Ok(())
    }

    fn rewritten_field(&self, from: usize) -> Field {
        Field::new(from, self.located.rewritten.len() - from, FieldKind::Rewritten)
    }
}

/// The error for a line end of another kind than the first.
pub(super) fn mixed_line_ends(byte: u8, csv: bool) -> QueryError {
    let (name, letter) = if byte == b'\n' { ("newline", 'n') } else { ("carriage return", 'r') };
    if csv {
        bad(format!("unquoted {name} found in data")).hint(format!("Use quoted CSV field to represent {name}."))
    } else {
        bad(format!("literal {name} found in data")).hint(format!("Use \"\\{letter}\" to represent {name}."))
    }
}

pub(super) fn bad(message: impl Into<String>) -> QueryError {
    QueryError::new(ErrorKind::BadCopyFormat, message)
}

fn ends_with_lone_backslash(raw: &[u8]) -> bool {
    raw.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Takes the backslashes out of a field of the text format; `None` where the end-of-data marker stands in it.
fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(place) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..place]);
        rest = &rest[place + 1..];
        // One at the very end means nothing.
        let Some((letter, after)) = rest.split_first() else { break };
        let (byte, taken) = match letter {
            b'b' => (0x08, 0),
            b'f' => (0x0c, 0),
            b'n' => (b'\n', 0),
            b'r' => (b'\r', 0),
            b't' => (b'\t', 0),
            b'v' => (0x0b, 0),
            b'0'..=b'7' => number(letter - b'0', after, 8, 2),
            b'.' => return None,
            b'x' if after.first().is_some_and(u8::is_ascii_hexdigit) => number(0, after, 16, 2),
            other => (*other, 0),
        };
        out.push(byte);
        rest = &after[taken..];
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// Continues a number with up to `digits_max` digits; returns its low byte and the digits taken.
fn number(first: u8, text: &[u8], radix: u32, digits_max: usize) -> (u8, usize) {
    let mut value = u32::from(first);
    let mut taken = 0;
    while taken < digits_max
        && let Some(digit) = text.get(taken).and_then(|byte| char::from(*byte).to_digit(radix))
    {
        value = value * radix + digit;
        taken += 1;
    }
    (value as u8, taken)
}
