//! The catalog: what the database remembers, and the one door through which it changes.
//!
//!     CommitDraft ──Catalog::commit──▶ log record ──fdatasync──▶ Snapshot published ──▶ Commit
//!                                                                     └──▶ sled index, by one thread
//!
//! The log is the authority, sled its index, checkpoints bound the log's length. This room knows no SQL, no plan and no
//! Parquet: a segment is a path with statistics to it.

pub mod definition;
pub mod draft;
pub mod ids;
pub mod segment;
pub mod snapshot;
pub mod sql_type;
