//! Chunks of records to typed record batches.
//!
//! The fields of the whole chunk are located first, then each column is read in one loop of its type. So errors are not met in the
//! order of the data; the one that PostgreSQL would have met first is reported: the smallest record, and in it the smallest
//! column.

use super::binary::{self, BinaryLocated};
use super::encoding::CopyEncoding;
use super::fields::{Located, Scope, ShapeError, Syntax};
use super::lines::{self, LineFailure, LineWalk};
use super::options::{CopyFileFormat, CopyOptions, OnError};
use super::rejects::Rejected;
use super::split::{Chunk, LineEnding};
use crate::error::{ErrorKind, QueryError};
use crate::types::{ColumnDecoder, FieldError, FieldText, OutputStyle};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use catalog::sql_type::SqlType;
use std::borrow::Cow;
use std::sync::Arc;

/// PostgreSQL shows so many bytes of a value or line in a message.
const DISPLAYED_BYTES_MAX: usize = 100;

/// A column that the data holds.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyColumn {
    pub name: String,
    pub sql_type: SqlType,
    pub has_default: bool,
}

/// Reads the chunks of one COPY. Shared by all threads that do so.
pub struct CopyDecoder {
    pub(super) table: String,
    pub(super) layout: Layout,
    pub(super) null: String,
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<Column>,
    schema: SchemaRef,
    pub(super) encoding: CopyEncoding,
    on_error: OnError,
    /// Records that are malformed are skipped like those with a bad value.
    pub(super) rejects_all: bool,
}

/// A value that cannot be read: its row, its column, and why.
type FailedValue = (usize, usize, QueryError);

/// How records are laid out.
pub(super) enum Layout {
    Lines(Syntax),
    Binary,
}

pub(super) struct Column {
    pub(super) decoder: ColumnDecoder,
    force_null: bool,
    force_not_null: bool,
}

/// A chunk's rows.
#[derive(Debug)]
pub struct Decoded {
    pub batch: RecordBatch,
    /// For each row its record in the chunk, where not every record became a row.
    pub records: Option<Vec<u32>>,
    /// Row and column of the values that are to be their column's default; the batch has nulls there.
    pub defaults: Vec<(usize, usize)>,
    /// The records that were skipped, in order.
    pub rejected: Vec<Rejected>,
    /// Why the records behind these rows cannot be read. Those before may break a rule of their table, which comes first.
    pub failure: Option<QueryError>,
}

impl Decoded {
    /// The record that a row was.
    pub fn record_of(&self, row: usize) -> usize {
        self.records.as_ref().map_or(row, |records| records[row] as usize)
    }
}

impl CopyDecoder {
    /// `columns` are those of the statement in their order; `table` is for messages.
    pub fn new(
        table: &str,
        columns: &[CopyColumn],
        options: &CopyOptions,
        style: OutputStyle,
    ) -> Result<Self, QueryError> {
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let force_not_null = options.force_not_null.resolve("FORCE_NOT_NULL", &names)?;
        let force_null = options.force_null.resolve("FORCE_NULL", &names)?;
        let fields: Vec<_> = columns.iter().map(|column| column.sql_type.field(&column.name, true)).collect();
        let decoders = columns.iter().zip(force_null.iter().zip(&force_not_null));
        let has_default = columns.iter().map(|column| column.has_default).collect();
        Ok(Self {
            table: table.to_string(),
            layout: match options.format {
                CopyFileFormat::Binary => Layout::Binary,
                _ => Layout::Lines(Syntax::new(options).with_default(options.default.as_deref(), has_default)),
            },
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
            encoding: options.encoding,
            on_error: options.on_error,
            rejects_all: options.reject_table.is_some(),
        })
    }

    /// The schema of the batches: the statement's columns, all nullable.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether rows with values that cannot be read are left out.
    pub fn ignores_errors(&self) -> bool {
        self.on_error == OnError::Ignore
    }

    /// Whether rows that break a rule of their table are rejected too.
    pub fn rejects_all(&self) -> bool {
        self.rejects_all
    }

    /// Reads a chunk. NOT NULL is the caller's to check, see [`Self::context_of`].
    pub fn decode_chunk(&self, chunk: &Chunk) -> Result<Decoded, QueryError> {
        let syntax = match &self.layout {
            Layout::Lines(syntax) => syntax,
            Layout::Binary => return self.decode_binary(chunk),
        };
        let decoded = self.decode_lines(chunk, syntax)?;
        if decoded.failure.is_some() && self.on_error == OnError::Ignore {
            return self.decode_tolerantly(chunk, syntax);
        }
        Ok(decoded)
    }

    fn decode_lines(&self, chunk: &Chunk, syntax: &Syntax) -> Result<Decoded, QueryError> {
        let (text, broken) = self.readable(chunk, syntax);
        let located = syntax.locate(&text, chunk.line_ending, &self.names);
        let rows = located.fields.len() / self.names.len().max(1);
        let column = |index: usize, rows: usize| {
            let records = located.fields.chunks_exact(self.names.len()).take(rows);
            let fields = records.map(|record| record[index].field_in(&text, &located.rewritten));
            self.columns[index].decode(fields, &self.null)
        };
        let (batch, failed) = self.decode_columns(rows, located.failure.as_ref(), column)?;
        let failure = match (failed, located.failure) {
            (Some((row, column, error)), _) => {
                let field = located.fields[row * self.names.len() + column];
                let value = field.text_in(&text, &located.rewritten).unwrap_or(&self.null);
                let (line, _) = syntax.record(text.as_bytes(), chunk.line_ending, chunk.begins_data(), row);
                Some(error.within(self.value_context(chunk.first_line + line, column, value)))
            }
            (None, Some(failure)) => Some(self.shape_error(chunk, failure)),
            (None, None) => broken,
        };
        let mut defaults = located.defaults;
        defaults.retain(|(row, _)| *row < batch.num_rows());
        Ok(Decoded { batch, records: None, defaults, rejected: Vec::new(), failure })
    }

    /// Reads the columns of the records that were located, up to the first that fails: its row and column, and why.
    fn decode_columns(
        &self,
        rows: usize,
        failure: Option<&ShapeError>,
        decode: impl Fn(usize, usize) -> Result<ArrayRef, FieldError>,
    ) -> Result<(RecordBatch, Option<FailedValue>), QueryError> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        let mut first: Option<FailedValue> = None;
        for index in 0..self.columns.len() {
            let wanted = match (&first, failure) {
                // Later records cannot hold the first error any more; nor can what was only filled up.
                (Some((row, ..)), _) => *row,
                (None, Some(failure)) if index >= failure.column => failure.row,
                _ => rows,
            };
            match decode(index, wanted.min(rows)) {
                Ok(array) => arrays.push(array),
                Err(failure) => first = Some((failure.row, index, failure.error)),
            }
        }
        let sound = match (&first, failure) {
            (Some((row, ..)), _) => *row,
            (None, Some(failure)) => failure.row,
            (None, None) => return Ok((self.batch(arrays, rows)?, None)),
        };
        let arrays = (0..self.columns.len()).map(|index| decode(index, sound).map_err(|failure| failure.error));
        Ok((self.batch(arrays.collect::<Result<_, _>>()?, sound)?, first))
    }

    fn decode_binary(&self, chunk: &Chunk) -> Result<Decoded, QueryError> {
        let columns = self.names.len();
        let BinaryLocated { fields, failure } = binary::locate(&chunk.bytes, columns);
        let rows = fields.len() / columns.max(1);
        let (batch, failed) = self.decode_columns(rows, failure.as_ref(), |index, rows| {
            let records = fields.chunks_exact(columns).take(rows);
            self.columns[index].decoder.decode_binary(records.map(|record| record[index].bytes_in(&chunk.bytes)))
        })?;
        let place = |row: usize| format!("COPY {}, line {}", self.table, chunk.first_line + row as u64);
        let of_column = |row: usize, column: usize| format!("{}, column {}", place(row), self.names[column]);
        let failure = match (failed, failure) {
            (Some((row, column, error)), _) => Some(error.within(of_column(row, column))),
            (None, Some(ShapeError { row, column, scope: Scope::Column, error })) => {
                Some(error.context(of_column(row, column)))
            }
            (None, Some(ShapeError { row, error, .. })) => Some(error.context(place(row))),
            (None, None) => None,
        };
        Ok(Decoded { batch, records: None, defaults: Vec::new(), rejected: Vec::new(), failure })
    }

    pub(super) fn batch(&self, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, QueryError> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|_| QueryError::new(ErrorKind::Internal, "COPY read a column into another type than its own"))
    }

    /// A value as messages show it.
    pub(super) fn shown_value<'a>(&'a self, text: &'a str, located: &'a Located, row: usize, column: usize) -> &'a str {
        let field = located.fields[row * self.names.len() + column];
        field.text_in(text, &located.rewritten).unwrap_or(&self.null)
    }

    pub(super) fn value_context(&self, line: u64, column: usize, value: &str) -> String {
        format!("COPY {}, line {line}, column {}: \"{}\"", self.table, self.names[column], displayed(value))
    }

    /// The context line of an error that belongs to a whole record: `COPY sales, line 3: "the line"`.
    pub fn context_of(&self, chunk: &Chunk, record: usize) -> String {
        let Layout::Lines(syntax) = &self.layout else {
            return format!("COPY {}, line {}", self.table, chunk.first_line + record as u64);
        };
        let (line, range) = syntax.record(&chunk.bytes, chunk.line_ending, chunk.begins_data(), record);
        let text = self.raw_text(&chunk.bytes[range]);
        format!("COPY {}, line {}: \"{}\"", self.table, chunk.first_line + line, displayed(&text))
    }

    /// The context line of an error that belongs to a column's value: `COPY sales, line 3, column amount: "x"`. A value that does not
    /// come from the file has that of its record.
    pub fn context_of_field(&self, chunk: &Chunk, record: usize, column: &str) -> String {
        let whole = self.context_of(chunk, record);
        let Some(index) = self.names.iter().position(|name| name == column) else { return whole };
        let Layout::Lines(syntax) = &self.layout else { return format!("{whole}, column {column}") };
        let (line, range) = syntax.record(&chunk.bytes, chunk.line_ending, chunk.begins_data(), record);
        let text = self.raw_text(&chunk.bytes[range]);
        let located = syntax.locate(&text, chunk.line_ending, &self.names);
        let field = located.fields.get(index).map(|field| field.text_in(&text, &located.rewritten));
        let line = chunk.first_line + line;
        match field {
            Some(Some(value)) => self.value_context(line, index, value),
            Some(None) => format!("COPY {}, line {line}, column {column}: null input", self.table),
            None => whole,
        }
    }

    /// The error of a record that has not the right shape.
    pub(super) fn shape_error(&self, chunk: &Chunk, failure: ShapeError) -> QueryError {
        let context = self.context_of(chunk, failure.row);
        failure.error.context(match (failure.scope, context.split_once(": ")) {
            (Scope::Line, Some((place, _))) => place.to_string(),
            _ => context,
        })
    }

    /// For each of a chunk's rows how many lines after the chunk's first it ends; `None` where each row is one line. `records` says which
    /// records the rows were, where not every record became one.
    pub fn lines_of(&self, chunk: &Chunk, rows: usize, records: Option<&[u32]>) -> Option<Vec<u32>> {
        let Layout::Lines(syntax) = &self.layout else { return records.map(<[u32]>::to_vec) };
        let lines = syntax.lines(&chunk.bytes, chunk.line_ending, chunk.begins_data());
        if records.is_none() && lines == rows as u64 {
            return None;
        }
        let (mut start, mut before) = (0, 0);
        let count = records.map_or(rows, |records| records.last().map_or(0, |last| *last as usize + 1));
        let lines = (0..count).map(|_| {
            let rest = &chunk.bytes[start..];
            let (line, range) = syntax.record(rest, chunk.line_ending, chunk.begins_data() && start == 0, 0);
            start += range.end + line_end_length(&rest[range.end..], chunk.line_ending);
            let ends = before + line as u32;
            before = ends + 1;
            ends
        });
        let lines: Vec<u32> = lines.collect();
        Some(
            records.map_or_else(
                || lines.clone(),
                |records| records.iter().map(|record| lines[*record as usize]).collect(),
            ),
        )
    }

    /// Bytes of the data as text, as far as they are.
    pub(super) fn raw_text(&self, bytes: &[u8]) -> String {
        let (text, undefined) = self.encoding.decode(bytes);
        let text = String::from_utf8_lossy(&text).into_owned();
        if undefined.is_some() { String::from_utf8_lossy(bytes).into_owned() } else { text }
    }

    /// The chunk's text. Where its lines cannot be cut, the records before are there, and the error comes with them.
    pub(super) fn readable<'a>(&self, chunk: &'a Chunk, syntax: &Syntax) -> (Cow<'a, str>, Option<QueryError>) {
        let (length, broken) = match self.encoding.text_of(&chunk.bytes) {
            Ok(text) if !lines::are_doubtful(syntax, &chunk.bytes, chunk.line_ending) => return (text, None),
            Ok(_) => (chunk.bytes.len(), None),
            Err((place, error)) => (place, Some(error)),
        };
        let ending = (!chunk.begins_data()).then_some(chunk.line_ending);
        let failure = LineWalk::new(syntax, &chunk.bytes[..length], broken, ending).failure(false);
        let end = failure.as_ref().map_or(chunk.bytes.len(), |failure| failure.start);
        let text = self.encoding.text_of(&chunk.bytes[..end]).unwrap_or_default();
        let in_context = |LineFailure { lines, error, .. }| {
            error.context(format!("COPY {}, line {}", self.table, chunk.first_line + lines))
        };
        (text, failure.map(in_context))
    }
}

impl Column {
    /// Reads the fields of the column; `null` is the text of a null.
    pub(super) fn decode<'a>(
        &self,
        fields: impl ExactSizeIterator<Item = Option<FieldText<'a>>>,
        null: &'a str,
    ) -> Result<ArrayRef, FieldError> {
        if !self.force_null && !self.force_not_null {
            return self.decoder.decode_fields(fields);
        }
        self.decoder.decode_fields(fields.map(|field| match field {
            None if self.force_not_null => Some(FieldText::whole(null)),
            Some(value) if self.force_null && value.text() == null => None,
            other => other,
        }))
    }
}

/// The length of the line end that a text starts with.
pub(super) fn line_end_length(bytes: &[u8], ending: LineEnding) -> usize {
    match (bytes, ending) {
        ([b'\r', b'\n', ..], LineEnding::CarriageReturnNewline) => 2,
        ([], _) => 0,
        _ => 1,
    }
}

/// The start of a text as a message shows it.
pub(crate) fn displayed(text: &str) -> String {
    if text.len() <= DISPLAYED_BYTES_MAX {
        return text.to_string();
    }
    format!("{}...", &text[..text.floor_char_boundary(DISPLAYED_BYTES_MAX)])
}
