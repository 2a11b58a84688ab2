//! Records that cannot be loaded: what is kept of them, and reading a chunk around them.
//!
//! A chunk is read as if all were well. Only when that fails, and the statement wants such records skipped, it is read again here:
//! each column once more behind every value that it cannot take, then all of them over the records that are left.

use super::decode::{CopyDecoder, Decoded, Layout, line_end_length};
use super::fields::{Located, Syntax};
use super::split::Chunk;
use crate::error::QueryError;
use arrow::array::ArrayRef;
use std::borrow::Cow;

/// Of a record that was skipped at most so many bytes are kept.
const RAW_BYTES_MAX: usize = 1 << 20;

/// A record that was not loaded.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Its line in the data, the last one where it spans several.
    pub line: u64,
    /// The column whose value could not be read, and the value.
    pub column: Option<(String, String)>,
    /// The record as it came, without its line end.
    pub raw: String,
    /// Why, with the context that it would have stopped the load with.
    pub error: QueryError,
}

/// A record of the chunk that was skipped; the column is missing where the whole record is malformed.
struct Skipped {
    record: usize,
    column: Option<(usize, String)>,
    error: QueryError,
}

impl CopyDecoder {
    /// Records that break a rule of their table, each with the rule's error; in the order of the data.
    pub(crate) fn rejects(&self, chunk: &Chunk, broken: Vec<(usize, QueryError)>) -> Vec<Rejected> {
        let Layout::Lines(syntax) = &self.layout else {
            let rejected = broken.into_iter().map(|(record, error)| {
                let line = chunk.first_line + record as u64;
                Rejected { line, column: None, raw: String::new(), error }
            });
            return rejected.collect();
        };
        let skipped = broken.into_iter().map(|(record, error)| Skipped { record, column: None, error });
        self.described(chunk, syntax, skipped.collect())
    }

    /// Reads a chunk without the records that cannot be read.
    pub(super) fn decode_tolerantly(&self, chunk: &Chunk, syntax: &Syntax) -> Result<Decoded, QueryError> {
        let mut skipped = Vec::new();
        let (text, origins) = if self.rejects_all {
            self.readable_records(chunk, syntax, &mut skipped)
        } else {
            let (text, broken) = self.readable(chunk, syntax);
            // A malformed record before it comes first.
            if let Some(error) = broken {
                self.well_formed(chunk, syntax, &text, None, &mut skipped)?;
                return Err(error);
            }
            (text, None)
        };
        let (located, mut kept) = self.well_formed(chunk, syntax, &text, origins.as_deref(), &mut skipped)?;
        // Positions among the fields of the records that are left.
        let mut rows: Vec<u32> = (0..kept.len() as u32).collect();
        let mut arrays: Vec<Option<ArrayRef>> = Vec::with_capacity(self.columns.len());
        for index in 0..self.columns.len() {
            let (array, bad) = self.readable_values(&text, &located, index, &rows);
            for (row, error) in &bad {
                let value = self.shown_value(&text, &located, *row as usize, index).to_string();
                let record = kept[*row as usize] as usize;
                skipped.push(Skipped { record, column: Some((index, value)), error: error.clone() });
            }
            if !bad.is_empty() {
                let mut bad = bad.iter().map(|(row, _)| *row).peekable();
                rows.retain(|row| bad.next_if_eq(row).is_none());
            }
            arrays.push(array);
        }
        // No row has come since a column was read, so with as many rows they are the same.
        let arrays = arrays.into_iter().enumerate().map(|(index, array)| match array {
            Some(array) if array.len() == rows.len() => Ok(array),
            _ => self.decode_rows(&text, &located, index, &rows).map_err(|failure| failure.error),
        });
        let arrays = arrays.collect::<Result<Vec<ArrayRef>, QueryError>>()?;
        let defaults = located
            .defaults
            .iter()
            .filter_map(|(row, column)| rows.binary_search(&(*row as u32)).ok().map(|position| (position, *column)));
        let defaults = defaults.collect();
        kept = rows.iter().map(|row| kept[*row as usize]).collect();
        let batch = self.batch(arrays, rows.len())?;
        skipped.sort_by_key(|skipped| skipped.record);
        let rejected = self.described(chunk, syntax, skipped);
        Ok(Decoded { batch, records: Some(kept), defaults, rejected, failure: None })
    }

    /// The text of the records that are text, and which they are where some are not.
    fn readable_records<'a>(
        &self,
        chunk: &'a Chunk,
        syntax: &Syntax,
        skipped: &mut Vec<Skipped>,
    ) -> (Cow<'a, str>, Option<Vec<u32>>) {
        if let Ok(text) = self.encoding.text_of(&chunk.bytes) {
            return (text, None);
        }
        let mut text = String::with_capacity(chunk.bytes.len());
        let mut origins = Vec::new();
        let mut start = 0;
        for record in 0.. {
            if start >= chunk.bytes.len() {
                break;
            }
            let (_, range) = syntax.record(&chunk.bytes[start..], chunk.line_ending, false, 0);
            let end = start + range.end;
            let end = end + line_end_length(&chunk.bytes[end..], chunk.line_ending);
            match self.encoding.text_of(&chunk.bytes[start..end]) {
                Ok(piece) => {
                    text.push_str(&piece);
                    origins.push(record as u32);
                }
                Err((_, error)) => skipped.push(Skipped { record, column: None, error }),
            }
            start = end;
        }
        (Cow::Owned(text), Some(origins))
    }

    /// The fields of the records that have the right shape, and which records of the chunk those are.
    fn well_formed(
        &self,
        chunk: &Chunk,
        syntax: &Syntax,
        text: &str,
        origins: Option<&[u32]>,
        skipped: &mut Vec<Skipped>,
    ) -> Result<(Located, Vec<u32>), QueryError> {
        let (located, malformed) = syntax.locate_all(text, chunk.line_ending, &self.names);
        let rows = located.fields.len() / self.names.len().max(1);
        let origin = |record: usize| origins.map_or(record as u32, |origins| origins[record]);
        let mut kept = Vec::with_capacity(rows);
        let mut malformed = malformed.into_iter().peekable();
        for record in 0..rows + malformed.len() {
            match malformed.next_if(|failure| failure.row == record) {
                Some(failure) if self.rejects_all => {
                    skipped.push(Skipped { record: origin(record) as usize, column: None, error: failure.error });
                }
                Some(failure) => return Err(self.shape_error(chunk, failure)),
                None => kept.push(origin(record)),
            }
        }
        Ok((located, kept))
    }

    /// A column over some rows where all of its values can be read, or the rows whose value cannot.
    fn readable_values(
        &self,
        text: &str,
        located: &Located,
        index: usize,
        rows: &[u32],
    ) -> (Option<ArrayRef>, Vec<(u32, QueryError)>) {
        let mut bad = Vec::new();
        let mut start = 0;
        loop {
            match self.decode_rows(text, located, index, &rows[start..]) {
                Ok(array) => return (bad.is_empty().then_some(array), bad),
                Err(failure) => {
                    bad.push((rows[start + failure.row], failure.error));
                    start += failure.row + 1;
                }
            }
        }
    }

    fn decode_rows(
        &self,
        text: &str,
        located: &Located,
        index: usize,
        rows: &[u32],
    ) -> Result<ArrayRef, crate::types::FieldError> {
        let width = self.names.len();
        let fields = rows.iter().map(|row| &located.fields[*row as usize * width + index]);
        self.columns[index].decode(fields.map(|field| field.field_in(text, &located.rewritten)), &self.null)
    }

    /// What is kept of skipped records; one walk over the chunk finds all of them.
    fn described(&self, chunk: &Chunk, syntax: &Syntax, skipped: Vec<Skipped>) -> Vec<Rejected> {
        let (mut start, mut record, mut lines) = (0, 0, 0);
        let described = skipped.into_iter().map(|skipped| {
            let begins_data = chunk.begins_data() && start == 0;
            let ahead = skipped.record - record;
            let (line, range) = syntax.record(&chunk.bytes[start..], chunk.line_ending, begins_data, ahead);
            let (from, end) = (start + range.start, start + range.end);
            let raw = self.raw_text(&chunk.bytes[from..end.min(from + RAW_BYTES_MAX)]);
            let number = chunk.first_line + lines + line;
            let context = match &skipped.column {
                Some((column, value)) => self.value_context(number, *column, value),
                None => format!("COPY {}, line {number}: \"{}\"", self.table, super::decode::displayed(&raw)),
            };
            // The next one is looked for behind this one.
            start = end + line_end_length(&chunk.bytes[end..], chunk.line_ending);
            record = skipped.record + 1;
            lines += line + 1;
            let column = skipped.column.map(|(column, value)| (self.names[column].clone(), value));
            Rejected { line: number, column, raw, error: skipped.error.within(context) }
        });
        described.collect()
    }
}

#[cfg(test)]
mod tests;
