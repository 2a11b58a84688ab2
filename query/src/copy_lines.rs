//! The lines of a load's rows. Keys are checked when all rows are there, and the error names the line.

use crate::copy_format::{Chunk, CopyDecoder};
use crate::error::QueryError;
use crate::keys::check::KeyFailure;

/// The lines of the rows that were taken.
pub(crate) struct Lines {
    wanted: bool,
    chunks: Vec<ChunkLines>,
}

struct ChunkLines {
    first_row: u64,
    rows: u64,
    first_line: u64,
    /// For each row how many lines after the first it ends, where records are not single lines.
    each: Option<Vec<u32>>,
}

impl Lines {
    /// Lines are kept only where a key may ask for them.
    pub(crate) fn new(wanted: bool) -> Self {
        Self { wanted, chunks: Vec::new() }
    }

    /// Takes note of a chunk's rows that were taken; `records` as for [`CopyDecoder::lines_of`].
    pub(crate) fn note(&mut self, decoder: &CopyDecoder, chunk: &Chunk, rows: usize, records: Option<&[u32]>) {
        if self.wanted && rows > 0 {
            let first_row = self.chunks.last().map_or(0, |last| last.first_row + last.rows);
            let each = decoder.lines_of(chunk, rows, records);
            self.chunks.push(ChunkLines { first_row, rows: rows as u64, first_line: chunk.first_line, each });
        }
    }

    /// The line of a row of the load, counted from one.
    fn line_of(&self, row: u64) -> Option<u64> {
        let next = self.chunks.partition_point(|chunk| chunk.first_row <= row);
        let chunk = self.chunks.get(next.checked_sub(1)?)?;
        let within = row - chunk.first_row;
        let offset = chunk.each.as_ref().map_or(within, |each| each[within as usize].into());
        Some(chunk.first_line + offset)
    }

    /// The error of a broken key, with its line.
    pub(crate) fn located(&self, table: &str, failure: KeyFailure) -> QueryError {
        match failure.row.and_then(|row| self.line_of(row)) {
            Some(line) => failure.error.context(format!("COPY {table}, line {line}")),
            None => failure.error,
        }
    }
}
