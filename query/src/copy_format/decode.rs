//! Chunks of records to typed record batches.
//!
//! The fields of the whole chunk are located first, then each column is read in one loop of its type. So errors are not met in the
//! order of the data; the one that PostgreSQL would have met first is reported: the smallest record, and in it the smallest
//! column.

use super::fields::{Located, Syntax};
use super::options::CopyOptions;
use super::split::{Chunk, LineEnding};
use crate::error::{ErrorKind, QueryError};
use crate::types::{ColumnDecoder, OutputStyle, checked_text};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use catalog::sql_type::SqlType;
use std::sync::Arc;

/// PostgreSQL shows so many bytes of a value or line in a message.
const DISPLAYED_BYTES_MAX: usize = 100;

/// A column that the data holds.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyColumn {
    pub name: String,
    pub sql_type: SqlType,
}

/// Reads the chunks of one COPY. Shared by all threads that do so.
pub struct CopyDecoder {
    table: String,
    syntax: Syntax,
    null: String,
    names: Vec<String>,
    columns: Vec<Column>,
    schema: SchemaRef,
}

struct Column {
    decoder: ColumnDecoder,
    force_null: bool,
    force_not_null: bool,
}

impl CopyDecoder {
    /// `columns` are those of the statement in their order; `table` is for messages.
    pub fn new(
        table: &str,
        columns: &[CopyColumn],
        options: &CopyOptions,
        style: OutputStyle,
    ) -> Result<Self, QueryError> {
        options.check_supported()?;
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let force_not_null = options.force_not_null.resolve("FORCE_NOT_NULL", &names)?;
        let force_null = options.force_null.resolve("FORCE_NULL", &names)?;
        let fields: Vec<_> = columns.iter().map(|column| column.sql_type.field(&column.name, true)).collect();
        let decoders = columns.iter().zip(force_null.iter().zip(&force_not_null));
        Ok(Self {
            table: table.to_string(),
            syntax: Syntax::new(options),
            null: options.null.clone(),
            names,
            columns: decoders
                .map(|(column, (force_null, force_not_null))| Column {
                    decoder: ColumnDecoder::new(column.sql_type.clone(), style),
                    force_null: *force_null,
                    force_not_null: *force_not_null,
                })
                .collect(),
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// The schema of the batches: the statement's columns, all nullable.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Reads a chunk; row `n` of the batch is its record `n`. NOT NULL is the caller's to check, see [`Self::context_of`].
    pub fn decode_chunk(&self, chunk: &Chunk) -> Result<RecordBatch, QueryError> {
        let (text, broken) = self.readable(chunk);
        let located = self.syntax.locate(text, chunk.line_ending, &self.names);
        let rows = located.fields.len() / self.names.len().max(1);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        let mut first: Option<(usize, usize, QueryError)> = None;
        for (index, column) in self.columns.iter().enumerate() {
            let wanted = match (&first, &located.failure) {
                // Later records cannot hold the first error any more; nor can what was only filled up.
                (Some((row, ..)), _) => *row,
                (None, Some(failure)) if index >= failure.column => failure.row,
                _ => rows,
            };
            match self.decode_column(text, &located, index, wanted.min(rows), column) {
                Ok(array) => arrays.push(array),
                Err(failure) => first = Some((failure.row, index, failure.error)),
            }
        }
        if let Some((row, column, error)) = first {
            let field = located.fields[row * self.names.len() + column];
            let value = field.text_in(text, &located.rewritten).unwrap_or(&self.null);
            let (line, _) = self.syntax.record(text.as_bytes(), chunk.line_ending, row);
            let (table, name, line) = (&self.table, &self.names[column], chunk.first_line + line);
            return Err(error.within(format!("COPY {table}, line {line}, column {name}: \"{}\"", displayed(value))));
        }
        if let Some(failure) = located.failure {
            return Err(failure.error.context(self.context_of(chunk, failure.row)));
        }
        if let Some(error) = broken {
            return Err(error);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|_| QueryError::new(ErrorKind::Internal, "COPY read a column into another type than its own"))
    }

    /// The context line of an error that belongs to a whole record: `COPY sales, line 3: "the line"`.
    pub fn context_of(&self, chunk: &Chunk, row: usize) -> String {
        let (line, range) = self.syntax.record(&chunk.bytes, chunk.line_ending, row);
        let text = String::from_utf8_lossy(&chunk.bytes[range]);
        format!("COPY {}, line {}: \"{}\"", self.table, chunk.first_line + line, displayed(&text))
    }

    /// For each of a chunk's rows how many lines after the chunk's first it ends; `None` where each row is one line.
    pub fn lines_of(&self, chunk: &Chunk, rows: usize) -> Option<Vec<u32>> {
        let terminator = chunk.line_ending.terminator();
        let ended = memchr::memchr_iter(terminator, &chunk.bytes).count();
        if ended + usize::from(chunk.bytes.last() != Some(&terminator)) == rows {
            return None;
        }
        let (mut start, mut before) = (0, 0);
        let lines = (0..rows).map(|_| {
            let rest = &chunk.bytes[start..];
            let (line, range) = self.syntax.record(rest, chunk.line_ending, 0);
            start += range.end + line_end_length(&rest[range.end..], chunk.line_ending);
            let ends = before + line as u32;
            before = ends + 1;
            ends
        });
        Some(lines.collect())
    }

    /// The chunk's text. Where a byte is not text, the records before it are, and the error comes with them.
    fn readable<'a>(&self, chunk: &'a Chunk) -> (&'a str, Option<QueryError>) {
        let error = match checked_text(&chunk.bytes) {
            Ok(text) => return (text, None),
            Err(error) => error,
        };
        let text_end = match std::str::from_utf8(&chunk.bytes) {
            Ok(text) => text.len(),
            Err(invalid) => invalid.valid_up_to(),
        };
        let bad = memchr::memchr(0, &chunk.bytes[..text_end]).unwrap_or(text_end);
        let mut start = 0;
        let mut row = 0;
        loop {
            let (line, range) = self.syntax.record(&chunk.bytes[start..], chunk.line_ending, 0);
            let end = start + range.end + line_end_length(&chunk.bytes[start + range.end..], chunk.line_ending);
            if bad < end || end <= start {
                let (lines, _) = self.syntax.record(&chunk.bytes, chunk.line_ending, row);
                let error = error.context(format!("COPY {}, line {}", self.table, chunk.first_line + lines - line));
                let text = std::str::from_utf8(&chunk.bytes[..start]).unwrap_or_default();
                return (text, Some(error));
            }
            start = end;
            row += 1;
        }
    }

    fn decode_column(
        &self,
        text: &str,
        located: &Located,
        index: usize,
        rows: usize,
        column: &Column,
    ) -> Result<ArrayRef, crate::types::FieldError> {
        let records = located.fields.chunks_exact(self.names.len()).take(rows);
        let rewritten = located.rewritten.as_str();
        if !column.force_null && !column.force_not_null {
            return column.decoder.decode(records.map(|record| record[index].text_in(text, rewritten)));
        }
        column.decoder.decode(records.map(|record| match record[index].text_in(text, rewritten) {
            None if column.force_not_null => Some(self.null.as_str()),
            Some(value) if column.force_null && value == self.null => None,
            other => other,
        }))
    }
}

/// The length of the line end that a text starts with.
fn line_end_length(bytes: &[u8], ending: LineEnding) -> usize {
    match (bytes, ending) {
        ([b'\r', b'\n', ..], LineEnding::CarriageReturnNewline) => 2,
        ([], _) => 0,
        _ => 1,
    }
}

/// The start of a text as a message shows it.
pub(super) fn displayed(text: &str) -> String {
    if text.len() <= DISPLAYED_BYTES_MAX {
        return text.to_string();
    }
    format!("{}...", &text[..text.floor_char_boundary(DISPLAYED_BYTES_MAX)])
}
