//! The binary format: a header, records of fields with their lengths, a trailer.
//!
//!     PGCOPY\n\377\r\n\0 | flags | extension | count, (length, bytes)… | count, … | -1
//!
//! [`BinarySplitter`] follows the lengths to where records end; [`locate`] walks them again for a chunk's fields. What is malformed
//! goes on to the decoder with the records before it, so that the first error of the data is the one that is told.

use super::fields::{Scope, ShapeError};
use super::split::{CHUNK_BYTES, Chunk, LineEnding, RECORD_BYTES_MAX, fill};
use crate::error::{ErrorKind, QueryError};
use bytes::{Bytes, BytesMut};

/// What a binary file starts with.
pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Flags and the length of the extension follow.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
/// The count that stands in the place of a record's where there are no more.
pub(super) const TRAILER: i16 = -1;
/// Flags of which a reader must understand each.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
const FLAG_OIDS: u32 = 1 << 16;
/// A field is shorter, as PostgreSQL's `MaxAllocSize` has it.
const FIELD_BYTES_END: i32 = (1 << 30) - 1;
/// The length of a null.
const NULL_LENGTH: u32 = u32::MAX;

/// The place of a field's bytes in its chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct BinaryField {
    start: u32,
    length: u32,
}

impl BinaryField {
    #[inline]
    pub(super) fn bytes_in(self, chunk: &[u8]) -> Option<&[u8]> {
        if self.length == NULL_LENGTH {
            return None;
        }
        let start = self.start as usize;
        Some(&chunk[start..start + self.length as usize])
    }
}

/// The fields of a chunk, `columns` for each record, up to the first record that is malformed.
#[derive(Debug, Default)]
pub(super) struct BinaryLocated {
    pub(super) fields: Vec<BinaryField>,
    pub(super) failure: Option<ShapeError>,
}

/// Finds the fields of all records of a chunk.
pub(super) fn locate(bytes: &[u8], columns: usize) -> BinaryLocated {
    let mut located = BinaryLocated::default();
    located.fields.reserve(bytes.len() / 12);
    let mut at = 0;
    let mut row = 0;
    while let Some(count) = bytes.get(at..at + 2) {
        at += 2;
        match i16::from_be_bytes([count[0], count[1]]) {
            TRAILER if at == bytes.len() => break,
            TRAILER => {
                located.fail(row, 0, bad("received copy data after EOF marker"), columns);
                break;
            }
            count if i32::from(count) != columns as i32 => {
                let message = format!("row field count is {count}, expected {columns}");
                located.fail(row, 0, bad(message), columns);
                break;
            }
            _ => {}
        }
        for column in 0..columns {
            match next_field(bytes, at) {
                Ok((field, end)) => {
                    located.fields.push(field);
                    at = end;
                }
                Err(error) => {
                    located.fail(row, column, error, columns);
                    if let Some(failure) = &mut located.failure {
                        failure.scope = Scope::Column;
                    }
                    return located;
                }
            }
        }
        row += 1;
    }
    located
}

/// The field at a place and where it ends; why there is none.
#[inline]
fn next_field(bytes: &[u8], at: usize) -> Result<(BinaryField, usize), QueryError> {
    const ENDED: &str = "unexpected EOF in COPY data";
    let word = bytes.get(at..at + 4).ok_or_else(|| bad(ENDED))?;
    let length = i32::from_be_bytes([word[0], word[1], word[2], word[3]]);
    let start = at + 4;
    match length {
        -1 => Ok((BinaryField { start: 0, length: NULL_LENGTH }, start)),
        FIELD_BYTES_END.. => Err(too_long(length)),
        0.. => {
            let end = start + length as usize;
            if end > bytes.len() {
                return Err(bad(ENDED));
            }
            Ok((BinaryField { start: start as u32, length: length as u32 }, end))
        }
        _ => Err(bad("invalid field size")),
    }
}

/// PostgreSQL's error for a field that is longer than any of its buffers may be.
fn too_long(length: i32) -> QueryError {
    let detail = format!("Cannot enlarge string buffer containing 0 bytes by {length} more bytes.");
    QueryError::new(ErrorKind::ProgramLimitExceeded, "out of memory").detail(detail)
}

impl BinaryLocated {
    fn fail(&mut self, row: usize, column: usize, error: QueryError, columns: usize) {
        let filled = if column == 0 { row } else { row + 1 };
        self.fields.resize(filled * columns, BinaryField { start: 0, length: NULL_LENGTH });
        self.failure = Some(ShapeError { row, column, scope: Scope::Record, error });
    }
}

/// What stands at the start of some bytes.
enum Next {
    Record(usize),
    Incomplete,
    Trailer,
    Malformed,
}

/// Cuts the binary data of one COPY.
pub(super) struct BinarySplitter {
    columns: usize,
    /// Starts with the header or with a record.
    buffer: BytesMut,
    header_taken: bool,
    /// Where the last whole record ends.
    boundary: usize,
    /// The number of the buffer's first record, from 1, and of those up to the boundary.
    record: u64,
    records: u64,
    /// Nothing that follows is data.
    ended: bool,
    table: String,
}

impl BinarySplitter {
    pub(super) fn new(table: &str, columns: usize) -> Self {
        Self {
            columns,
            buffer: BytesMut::new(),
            header_taken: false,
            boundary: 0,
            record: 1,
            records: 0,
            ended: false,
            table: table.to_string(),
        }
    }

    pub(super) fn push(&mut self, data: Bytes) -> Result<Vec<Chunk>, QueryError> {
        let mut chunks = Vec::new();
        let mut rest = &data[..];
        while !rest.is_empty() && !self.ended {
            rest = fill(&mut self.buffer, rest);
            if !self.header_taken && !self.take_header(false)? {
                continue;
            }
            self.follow();
            if self.ended {
                chunks.extend(self.cut(self.buffer.len()));
            } else if self.buffer.len() >= CHUNK_BYTES {
                chunks.extend(self.cut(self.boundary));
                self.check_record_length()?;
            }
        }
        Ok(chunks)
    }

    /// The data is over; a trailer is not asked for.
    pub(super) fn finish(&mut self) -> Result<Option<Chunk>, QueryError> {
        if !self.header_taken && !self.ended {
            self.take_header(true)?;
        }
        self.ended = true;
        Ok(self.cut(self.buffer.len()))
    }

    /// Takes the header off when it is there; `last` says that no more will come.
    fn take_header(&mut self, last: bool) -> Result<bool, QueryError> {
        let is_short = |wanted: usize| self.buffer.len() < wanted;
        let known = self.buffer.len().min(SIGNATURE.len());
        if self.buffer[..known] != SIGNATURE[..known] || (last && known < SIGNATURE.len()) {
            return Err(bad("COPY file signature not recognized"));
        }
        let word = |at: usize| {
            let bytes = self.buffer.get(at..at + 4)?;
            Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let (flags, extension) = (word(SIGNATURE.len()), word(SIGNATURE.len() + 4));
        if flags.is_some_and(|flags| flags & FLAG_OIDS != 0) {
            return Err(bad("invalid COPY file header (WITH OIDS)"));
        }
        if flags.is_some_and(|flags| flags & CRITICAL_FLAGS != 0) {
            return Err(bad("unrecognized critical flags in COPY file header"));
        }
        let Some(extension) = extension else {
            let missing = if flags.is_none() { "flags" } else { "length" };
            return if last { Err(bad(format!("invalid COPY file header (missing {missing})"))) } else { Ok(false) };
        };
        if extension > i32::MAX as u32 {
            return Err(bad("invalid COPY file header (missing length)"));
        }
        let length = HEADER_BYTES + extension as usize;
        if extension as usize > RECORD_BYTES_MAX || (last && is_short(length)) {
            return Err(bad("invalid COPY file header (wrong length)"));
        }
        if is_short(length) {
            return Ok(false);
        }
        let _ = self.buffer.split_to(length);
        self.header_taken = true;
        Ok(true)
    }

    /// Moves the boundary behind the last whole record.
    fn follow(&mut self) {
        loop {
            match self.next() {
                Next::Record(length) => {
                    self.boundary += length;
                    self.records += 1;
                }
                Next::Incomplete => return,
                Next::Trailer if self.buffer.len() == self.boundary + 2 => return,
                Next::Trailer | Next::Malformed => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn next(&self) -> Next {
        let bytes = &self.buffer[self.boundary..];
        let Some(count) = bytes.get(..2) else { return Next::Incomplete };
        match i16::from_be_bytes([count[0], count[1]]) {
            TRAILER => return Next::Trailer,
            count if i32::from(count) != self.columns as i32 => return Next::Malformed,
            _ => {}
        }
        let mut at = 2;
        for _ in 0..self.columns {
            let Some(word) = bytes.get(at..at + 4) else { return Next::Incomplete };
            match i32::from_be_bytes([word[0], word[1], word[2], word[3]]) {
                -1 => at += 4,
                length @ 0..FIELD_BYTES_END => at += 4 + length as usize,
                _ => return Next::Malformed,
            }
        }
        if at > bytes.len() { Next::Incomplete } else { Next::Record(at) }
    }

    fn check_record_length(&self) -> Result<(), QueryError> {
        if self.buffer.len() - self.boundary <= RECORD_BYTES_MAX {
            return Ok(());
        }
        let message = format!("a record of COPY is longer than {RECORD_BYTES_MAX} bytes");
        Err(QueryError::new(ErrorKind::ProgramLimitExceeded, message)
            .context(format!("COPY {}, line {}", self.table, self.record)))
    }

    fn cut(&mut self, end: usize) -> Option<Chunk> {
        if end == 0 {
            return None;
        }
        let bytes = self.buffer.split_to(end).freeze();
        let first_line = self.record;
        self.record += self.records;
        (self.boundary, self.records) = (0, 0);
        Some(Chunk { bytes, first_line, line_ending: LineEnding::Newline })
    }
}

fn bad(message: impl Into<String>) -> QueryError {
    QueryError::new(ErrorKind::BadCopyFormat, message)
}

#[cfg(test)]
mod tests;
