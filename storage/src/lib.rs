//! Storage: how a table's rows lie on disk, and how they come back.
//!
//!     batches ─▶ Staging ─split, sort, encode, sync─▶ StagedSegments ─commit─▶ segments of a TableVersion
//!                partition::Partitioner   segment::SegmentWriter                      │
//!     batches ◀── SegmentStore (cached footers, open files, row selections) ◀─────────┘
//!                     ▲
//!                  rewrite: recent rows and small segments become larger segments
//!
//! This room knows the catalog's nouns, Arrow and Parquet. It knows no SQL, no plan and no commit: what it stages is
//! invisible until a commit names it, and is deleted when nobody keeps it.

pub mod check;
pub mod error;
pub mod external;
pub mod intervals;
pub mod partition;
pub mod reader;
pub mod rewrite;
pub mod segment;
pub mod staging;

mod blocks;
mod gather;
mod grouping;
mod statistics;
mod syncing;

#[cfg(test)]
mod tests;

pub use check::check_segment;
pub use error::StorageError;
pub use grouping::compact;
pub use reader::{CachedReader, SegmentStore, row_selection, row_selection_of};
pub use rewrite::{RewritePlan, choose, fold, fold_unless};
pub use segment::{SegmentWriter, StagedSegment};
pub use staging::{StagedSegments, Staging};
