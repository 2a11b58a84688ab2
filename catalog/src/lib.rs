//! The catalog: what the database remembers, and the one door through which it changes.
//!
//!     CommitDraft ──Catalog::commit──▶ log record ──fdatasync──▶ Snapshot published ──▶ Commit
//!                                                                     └──▶ sled index, by one thread
//!
//! The log is the authority, sled its index, checkpoints bound the log's length. This room knows no SQL, no plan and no
//! Parquet: a segment is a path with statistics to it.
//!
//!     what there is       ids, sql_type, definition, missing, segment, snapshot, shared_list, past, fitting
//!     what nobody else sees  temporary
//!     how it changes      draft (what an operation does), commit (the door), keys (of two drafts), committer, promptness, applier
//!     how it is kept      files, log, stored, few, packed, streams, lanes, entries, difference, index, checkpoint, archive
//!     how it comes back   directory, recovery, segment_files
//!     how it is copied    backup

pub mod archive;
pub mod backup;
pub mod check;
pub mod commit;
pub mod definition;
pub mod directory;
pub mod draft;
pub mod enum_type;
pub mod files;
pub mod fitting;
pub mod history;
pub mod ids;
pub mod keys;
pub mod lanes;
pub mod loads;
pub mod missing;
mod packed;
pub mod past;
mod promptness;
pub mod reads;
pub mod recovery;
pub mod segment;
pub mod segment_files;
pub mod sequence;
pub mod shared_list;
pub mod snapshot;
pub mod sql_type;
pub mod temporary;
pub mod type_names;
pub mod user_type;
pub mod zoned_time;

mod applier;
mod checkpoint;
mod committer;
mod definition_v1;
mod difference;
mod entries;
#[cfg(test)]
mod faults;
mod few;
mod index;
mod log;
#[cfg(test)]
mod samples;
mod stored;
mod streams;

pub use files::FileError;
