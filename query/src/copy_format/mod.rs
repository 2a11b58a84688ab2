//! COPY's statement and its file formats.
//!
//!     COPY … ──parse_copy──▶ CopyStatement
//!     bytes ──Splitter──▶ Chunk ──CopyDecoder──▶ Decoded                  FROM: one splitter, many decoders at once
//!     RecordBatch ──CopyEncoder──▶ bytes                                  TO
//!
//! The splitter is the only part that sees bytes in their order; it cuts them where records end. Everything that costs time
//! happens behind it on chunks that are independent of each other. Values are read and printed by [`crate::types`]; this
//! module knows the rules of the text and csv formats around them, and no table beyond the names and types of its columns.

mod binary;
mod decode;
mod encode;
mod encoding;
mod fields;
mod lines;
mod needles;
mod options;
mod rejects;
mod split;
mod statement;

#[cfg(test)]
mod tests;

pub(crate) use decode::displayed;
pub use decode::{CopyColumn, CopyDecoder, Decoded};
pub use encode::{CopyEncoder, EncodedLines};
pub use encoding::CopyEncoding;
pub use options::{
    ColumnSelection, CopyDirection, CopyFileFormat, CopyHeader, CopyOptions, LogVerbosity, OnConflict, OnError,
};
pub use rejects::Rejected;
pub use split::{Chunk, LineEnding, RecordSplitter};
pub use statement::{CopyEndpoint, CopySource, CopyStatement, parse_copy};

use crate::error::QueryError;
use binary::BinarySplitter;
use bytes::Bytes;

/// Cuts the data of one COPY into chunks of whole records.
pub struct Splitter(Format);

enum Format {
    Lines(Box<RecordSplitter>),
    Binary(Box<BinarySplitter>),
}

impl Splitter {
    /// `columns` are those of the statement, which a header is matched with; `table` is for messages.
    pub fn new(table: &str, columns: &[String], options: &CopyOptions) -> Self {
        Self(match options.format {
            CopyFileFormat::Binary => Format::Binary(Box::new(BinarySplitter::new(table, columns.len()))),
            _ => Format::Lines(Box::new(RecordSplitter::new(table, columns, options))),
        })
    }

    /// Takes the next bytes and returns the chunks that they complete.
    pub fn push(&mut self, data: Bytes) -> Result<Vec<Chunk>, QueryError> {
        match &mut self.0 {
            Format::Lines(splitter) => splitter.push(data),
            Format::Binary(splitter) => splitter.push(data),
        }
    }

    /// The data is over; the rest is a chunk.
    pub fn finish(&mut self) -> Result<Option<Chunk>, QueryError> {
        match &mut self.0 {
            Format::Lines(splitter) => splitter.finish(),
            Format::Binary(splitter) => splitter.finish(),
        }
    }
}
