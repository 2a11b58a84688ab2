//! Cuts a stream of bytes into chunks of whole records.
//!
//!     push(bytes of any length) ─▶ buffer ─▶ Chunk, Chunk, …  of about 1 MiB, each a piece of the input without a copy more
//!     finish()                  ─▶ the last Chunk
//!
//! This is the part of a load that cannot run in parallel, so it looks at as little as it can: it counts quotes, and searches the
//! last line end from behind. What is inside of records, and whether it is right, is for [`super::CopyDecoder`]. The splitter
//! also takes off the header line and stops at the `\.` marker.

use super::encoding::CopyEncoding;
use super::fields::{QuoteState, Syntax};
use super::lines::LineWalk;
use super::options::{CopyHeader, CopyOptions};
use crate::error::{ErrorKind, QueryError};
use crate::types::checked_text;
use bytes::{Bytes, BytesMut};

/// A chunk is cut as soon as so many bytes have come.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
/// The longest record. A little less than PostgreSQL's 1 GiB, so that a chunk with one is still below that.
pub(super) const RECORD_BYTES_MAX: usize = (1 << 30) - CHUNK_BYTES - 1;
/// The longest character of UTF-8.
const CHARACTER_BYTES_MAX: usize = 4;

/// What ends a line; the first line of the data decides for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnding {
    Newline,
    CarriageReturn,
    CarriageReturnNewline,
}

impl LineEnding {
    /// The byte at which a line is over.
    pub(super) fn terminator(self) -> u8 {
        match self {
            Self::Newline | Self::CarriageReturnNewline => b'\n',
            Self::CarriageReturn => b'\r',
        }
    }

    /// The byte that PostgreSQL counts as a line between quotes. `None` stands for the data's first record: what ends lines is only
    /// known behind it.
    pub(super) fn quoted_line(ending: Option<Self>) -> u8 {
        if ending == Some(Self::Newline) { b'\n' } else { b'\r' }
    }
}

/// Whole records.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub bytes: Bytes,
    /// The number of the chunk's first line in the data, from 1.
    pub first_line: u64,
    pub line_ending: LineEnding,
}

impl Chunk {
    /// Whether these are the first bytes of the data.
    pub(super) fn begins_data(&self) -> bool {
        self.first_line == 1
    }
}

/// Cuts the data of one COPY.
pub struct RecordSplitter {
    table: String,
    syntax: Syntax,
    header: CopyHeader,
    encoding: CopyEncoding,
    columns: Vec<String>,
    record_bytes_max: usize,
    /// Starts with a record.
    buffer: BytesMut,
    /// How much of the buffer was looked at, and whether that ends between quotes.
    scanned: usize,
    quotes: QuoteState,
    /// Where the last whole record ends.
    boundary: usize,
    /// Up to where no end-of-data marker is.
    marker_scanned: usize,
    line_ending: Option<LineEnding>,
    line: u64,
    ended: bool,
}

impl RecordSplitter {
    /// `columns` are those of the statement, which a header is matched with; `table` is for messages.
    pub fn new(table: &str, columns: &[String], options: &CopyOptions) -> Self {
        Self {
            table: table.to_string(),
            syntax: Syntax::new(options),
            header: options.header,
            encoding: options.encoding,
            columns: columns.to_vec(),
            record_bytes_max: RECORD_BYTES_MAX,
            buffer: BytesMut::new(),
            scanned: 0,
            quotes: QuoteState::default(),
            boundary: 0,
            marker_scanned: 0,
            line_ending: None,
            line: 1,
            ended: false,
        }
    }

    /// Sets another limit for the length of one record.
    pub fn with_record_bytes_max(mut self, bytes: usize) -> Self {
        self.record_bytes_max = bytes.min(RECORD_BYTES_MAX);
        self
    }

    /// Bytes that wait for the end of their record.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Takes the next bytes and returns the chunks that they complete.
    pub fn push(&mut self, data: Bytes) -> Result<Vec<Chunk>, QueryError> {
        let mut chunks = Vec::new();
        let mut rest = &data[..];
        while !rest.is_empty() && !self.ended {
            rest = fill(&mut self.buffer, rest);
            self.scan(false)?;
            if self.buffer.len() >= CHUNK_BYTES || self.ended {
                chunks.extend(self.cut(self.boundary)?);
            }
        }
        Ok(chunks)
    }

    /// The data is over; the rest is a chunk even when its last line has no end.
    pub fn finish(&mut self) -> Result<Option<Chunk>, QueryError> {
        if !self.ended {
            self.scan(true)?;
        }
        self.ended = true;
        if self.buffer.is_empty() {
            // Nothing is no header.
            self.check_header(&[], LineEnding::Newline, 1)?;
        }
        self.cut(self.buffer.len())
    }

    fn scan(&mut self, last: bool) -> Result<(), QueryError> {
        if self.line_ending.is_none() {
            self.detect_line_ending(last);
        }
        let Some(ending) = self.line_ending else { return self.check_record_length() };
        self.find_boundary(ending);
        self.find_marker(ending, last);
        if self.header != CopyHeader::Absent && self.boundary > 0 {
            self.take_header(ending)?;
        }
        self.check_record_length()
    }

    /// Steps to the first line end that counts as one.
    fn detect_line_ending(&mut self, last: bool) {
        let mut escaped = false;
        if self.scanned == 0 {
            self.quotes = QuoteState::default();
        }
        while let Some(byte) = self.buffer.get(self.scanned) {
            let next = self.buffer.get(self.scanned + 1);
            if matches!(byte, b'\r' | b'\n') && !self.quotes.inside && !escaped {
                self.line_ending = match (byte, next) {
                    (b'\n', _) => Some(LineEnding::Newline),
                    (_, Some(b'\n')) => Some(LineEnding::CarriageReturnNewline),
                    (_, None) if !last => return,
                    _ => Some(LineEnding::CarriageReturn),
                };
                return;
            }
            if self.syntax.csv {
                self.quotes.step(*byte, &self.syntax);
            } else {
                escaped = *byte == b'\\' && !escaped;
                // A backslash whose partner has not come yet is looked at again.
                if escaped && next.is_none() && !last {
                    return;
                }
            }
            self.scanned += 1;
        }
        if last {
            self.line_ending = Some(LineEnding::Newline);
        }
    }

    /// Moves the boundary behind the last line end of the new bytes that ends a record.
    fn find_boundary(&mut self, ending: LineEnding) {
        let terminator = ending.terminator();
        let fresh = &self.buffer[self.scanned..];
        let found = if !self.syntax.csv {
            last_unescaped(&self.buffer, self.scanned, terminator)
        } else if self.syntax.quote == self.syntax.escape {
            self.last_outside_quotes(fresh, terminator)
        } else {
            let mut found = None;
            for (index, byte) in fresh.iter().enumerate() {
                self.quotes.step(*byte, &self.syntax);
                if *byte == terminator && !self.quotes.inside {
                    found = Some(self.scanned + index);
                }
            }
            found
        };
        if self.syntax.csv
            && self.syntax.quote == self.syntax.escape
            && memchr::memchr_iter(self.syntax.quote, fresh).count() % 2 == 1
        {
            self.quotes.inside = !self.quotes.inside;
        }
        if let Some(place) = found {
            self.boundary = place + 1;
        }
        self.scanned = self.buffer.len();
    }

    /// With quotes that only toggle, a place is outside of them when their number before it is even. Searched from behind: the last
    /// line end is nearly always near.
    fn last_outside_quotes(&self, fresh: &[u8], terminator: u8) -> Option<usize> {
        let odd = memchr::memchr_iter(self.syntax.quote, fresh).count() % 2 == 1;
        let mut inside = self.quotes.inside ^ odd;
        let mut end = fresh.len();
        loop {
            let quote = memchr::memrchr(self.syntax.quote, &fresh[..end]);
            let segment = quote.map_or(0, |quote| quote + 1);
            if !inside && let Some(place) = memchr::memrchr(terminator, &fresh[segment..end]) {
                return Some(self.scanned + segment + place);
            }
            end = quote?;
            inside = !inside;
        }
    }

    /// Looks for a `\.` that ends the data; they end before it. One that is in the wrong place is for the decoder.
    fn find_marker(&mut self, ending: LineEnding, last: bool) {
        let mut from = self.marker_scanned;
        let mut walk = Walk::default();
        while let Some(found) = memchr::memmem::find(&self.buffer[from..], b"\\.") {
            let place = from + found;
            match self.ends_line(place, ending, last, &mut walk) {
                Some(true) if self.is_unescaped(place, ending, &mut walk) => {
                    let end = self.data_end(place);
                    self.buffer.truncate(end);
                    (self.boundary, self.scanned, self.ended) = (end, end, true);
                    return;
                }
                None => {
                    self.marker_scanned = place;
                    return;
                }
                _ => from = place + 2,
            }
        }
        // A backslash at the end may be the marker's first half.
        self.marker_scanned = from.max(self.buffer.len().saturating_sub(1));
    }

    /// Whether the line's end stands behind a marker; `None` where that has not come yet. Before the first line end any will do.
    fn ends_line(&self, place: usize, ending: LineEnding, last: bool, walk: &mut Walk) -> Option<bool> {
        match (&self.buffer[place + 2..], ending) {
            ([], _) => last.then_some(false),
            ([b'\r'], LineEnding::CarriageReturnNewline) if !last => None,
            ([b'\r', b'\n', ..], LineEnding::CarriageReturnNewline) => Some(true),
            ([byte @ (b'\r' | b'\n'), ..], _) => {
                let is_end = *byte == ending.terminator() && ending != LineEnding::CarriageReturnNewline;
                Some(is_end || (self.line == 1 && !walk.to(place, &self.buffer, &self.syntax).has_line_end))
            }
            _ => Some(false),
        }
    }

    /// Whether a marker at the end of a line means what it says: in csv where a record begins, in text wherever its backslash is not
    /// escaped, and what stands before it is the last record.
    fn is_unescaped(&self, place: usize, ending: LineEnding, walk: &mut Walk) -> bool {
        let before = &self.buffer[..place];
        if !self.syntax.csv {
            return backslashes_before(before, place).is_multiple_of(2);
        }
        let Some(last) = before.last() else { return true };
        if *last != ending.terminator() {
            return false;
        }
        !walk.to(place, &self.buffer, &self.syntax).quotes.inside
    }

    /// Where the data ends that a marker ends. A character that the marker cuts short is refused with the marker's bytes for its own.
    fn data_end(&self, marker: usize) -> usize {
        let is_cut = (1..CHARACTER_BYTES_MAX.min(marker + 1)).any(|length| {
            let tail = &self.buffer[marker - length..marker];
            let wanted = match tail[0] {
                0xC0..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF7 => 4,
                _ => 1,
            };
            wanted > length && self.encoding.text_of(tail).is_err()
        });
        if is_cut { self.buffer.len().min(marker + CHARACTER_BYTES_MAX - 1) } else { marker }
    }

    fn take_header(&mut self, ending: LineEnding) -> Result<(), QueryError> {
        self.check_header_line()?;
        let (line, record) = self.syntax.record(&self.buffer, ending, true, 0);
        // The record may lack a line end of its own only when it is the last.
        let mut length = record.end;
        length += usize::from(ending == LineEnding::CarriageReturnNewline && self.buffer.get(length) == Some(&b'\r'));
        length += usize::from(self.buffer.get(length) == Some(&ending.terminator()));
        self.check_header(&self.buffer[record], ending, self.line + line)?;
        self.header = CopyHeader::Absent;
        let _ = self.buffer.split_to(length);
        self.line += line + 1;
        self.boundary = self.boundary.saturating_sub(length);
        self.scanned = self.scanned.saturating_sub(length);
        self.marker_scanned = self.marker_scanned.saturating_sub(length);
        Ok(())
    }

    /// A header must be a line.
    fn check_header_line(&self) -> Result<(), QueryError> {
        let (length, broken) = match self.encoding.text_of(&self.buffer) {
            Ok(_) => (self.buffer.len(), None),
            // A character of which not all has come.
            Err((place, _)) if !self.ended && is_incomplete(&self.buffer[place..]) => (place, None),
            Err((place, error)) => (place, Some(error)),
        };
        match LineWalk::new(&self.syntax, &self.buffer[..length], broken, None).failure(true) {
            None => Ok(()),
            Some(failure) => {
                Err(failure.error.context(format!("COPY {}, line {}", self.table, self.line + failure.lines)))
            }
        }
    }

    /// A header holds the columns' names where the statement insists on it. `number` is that of its line.
    fn check_header(&self, line: &[u8], ending: LineEnding, number: u64) -> Result<(), QueryError> {
        if self.header != CopyHeader::Match {
            return Ok(());
        }
        let line = self.encoding.decode(line).0;
        let text = checked_text(&line)?;
        let in_context = |error: QueryError| {
            error.context(format!("COPY {}, line {number}: \"{}\"", self.table, super::decode::displayed(text)))
        };
        // As many columns as there are delimiters and one, so that any shape can be told.
        let names = vec![String::new(); line.iter().filter(|byte| self.syntax.is_delimiter(**byte)).count() + 1];
        let located = self.syntax.locate(text, ending, &names);
        let found = match located.failure {
            None => names.len(),
            Some(failure) if failure.column > 0 => failure.column,
            Some(failure) => return Err(in_context(failure.error)),
        };
        let fields = located.fields.iter().map(|field| field.text_in(text, &located.rewritten));
        let mut fields: Vec<Option<&str>> = fields.collect();
        // A line with nothing in it has one field.
        if fields.is_empty() {
            fields.push(Some("").filter(|empty| **empty != self.syntax.null_text()));
        }
        if found != self.columns.len() {
            return Err(in_context(QueryError::new(
                ErrorKind::BadCopyFormat,
                format!("wrong number of fields in header line: got {found}, expected {}", self.columns.len()),
            )));
        }
        for (index, (field, column)) in fields.iter().zip(&self.columns).enumerate() {
            let got = match field {
                Some(name) if name == column => continue,
                Some(name) => format!("\"{name}\""),
                None => format!("null value (\"{}\")", self.syntax.null_text()),
            };
            return Err(in_context(QueryError::new(
                ErrorKind::BadCopyFormat,
                format!("column name mismatch in header line field {}: got {got}, expected \"{column}\"", index + 1),
            )));
        }
        Ok(())
    }

    fn check_record_length(&self) -> Result<(), QueryError> {
        if self.buffer.len() - self.boundary <= self.record_bytes_max {
            return Ok(());
        }
        let ending = self.line_ending.unwrap_or(LineEnding::Newline);
        let line = self.line + self.syntax.lines(&self.buffer[..self.boundary], ending, self.line == 1);
        let error = QueryError::new(
            ErrorKind::ProgramLimitExceeded,
            format!("a record of COPY is longer than {} bytes", self.record_bytes_max),
        )
        .context(format!("COPY {}, line {line}", self.table));
        Err(if self.quotes.inside { error.hint("A quote that is opened in this record is not closed.") } else { error })
    }

    fn cut(&mut self, end: usize) -> Result<Option<Chunk>, QueryError> {
        let line_ending = self.line_ending.unwrap_or(LineEnding::Newline);
        if self.header != CopyHeader::Absent && end > 0 && self.ended {
            // Nothing but a header without a line end.
            self.take_header(line_ending)?;
            return Ok(None);
        }
        if end == 0 || end > self.buffer.len() {
            return Ok(None);
        }
        let bytes = self.buffer.split_to(end).freeze();
        self.scanned = self.scanned.saturating_sub(end);
        self.marker_scanned = self.marker_scanned.saturating_sub(end);
        self.boundary = self.boundary.saturating_sub(end);
        let first_line = self.line;
        self.line += self.syntax.lines(&bytes, line_ending, first_line == 1);
        Ok(Some(Chunk { bytes, first_line, line_ending }))
    }
}

/// What was met on the way to a place of the buffer, walked once for all places in order.
#[derive(Default)]
struct Walk {
    place: usize,
    quotes: QuoteState,
    escaped: bool,
    has_line_end: bool,
}

impl Walk {
    fn to(&mut self, place: usize, buffer: &[u8], syntax: &Syntax) -> &Self {
        for byte in &buffer[self.place..place] {
            if syntax.csv {
                self.quotes.step(*byte, syntax);
            }
            self.has_line_end |= matches!(byte, b'\r' | b'\n') && !self.quotes.inside && !self.escaped;
            self.escaped = !syntax.csv && *byte == b'\\' && !self.escaped;
        }
        self.place = place;
        self
    }
}

/// Moves bytes of the data into a buffer until it holds about a chunk; gives those that are left.
pub(super) fn fill<'a>(buffer: &mut BytesMut, data: &'a [u8]) -> &'a [u8] {
    let room = CHUNK_BYTES.saturating_sub(buffer.len()).max(CHUNK_BYTES / 16);
    let (now, later) = data.split_at(room.min(data.len()));
    buffer.reserve(now.len().max(if later.is_empty() { 0 } else { CHUNK_BYTES }));
    buffer.extend_from_slice(now);
    later
}

/// Whether some bytes are the beginning of a character of UTF-8.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}

pub(super) fn backslashes_before(bytes: &[u8], place: usize) -> usize {
    bytes[..place].iter().rev().take_while(|byte| **byte == b'\\').count()
}

/// The last line end at or after `from` that no backslash escapes.
fn last_unescaped(bytes: &[u8], from: usize, terminator: u8) -> Option<usize> {
    let mut end = bytes.len();
    loop {
        let place = from + memchr::memrchr(terminator, &bytes[from..end])?;
        if backslashes_before(bytes, place).is_multiple_of(2) {
            return Some(place);
        }
        end = place;
    }
}
