//! COPY's statement and its file formats.
//!
//!     COPY … ──parse_copy──▶ CopyStatement
//!     bytes ──RecordSplitter──▶ Chunk ──CopyDecoder──▶ RecordBatch        FROM: one splitter, many decoders at once
//!     RecordBatch ──CopyEncoder──▶ bytes                                  TO
//!
//! The splitter is the only part that sees bytes in their order; it cuts them where records end. Everything that costs time
//! happens behind it on chunks that are independent of each other. Values are read and printed by [`crate::types`]; this
//! module knows the rules of the text and csv formats around them, and no table beyond the names and types of its columns.

mod decode;
mod encode;
mod fields;
mod needles;
mod options;
mod split;
mod statement;

#[cfg(test)]
mod tests;

pub use decode::{CopyColumn, CopyDecoder};
pub use encode::{CopyEncoder, EncodedLines};
pub use options::{ColumnSelection, CopyDirection, CopyFileFormat, CopyHeader, CopyOptions};
pub use split::{Chunk, LineEnding, RecordSplitter};
pub use statement::{CopyEndpoint, CopySource, CopyStatement, parse_copy};
