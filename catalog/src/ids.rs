//! Identities: the newtypes that the rooms pass to each other.
//!
//! An `ObjectId` is also the object's OID on the wire, so it is stored and never reused. Row, segment and
//! recent-batch identities are allocated before the commit that names them and stay the same after it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The database's clock: every commit takes the next one. Zero is the empty database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommitSeq(pub u64);

impl CommitSeq {
    /// The seq that the next commit takes.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for CommitSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A schema, table or view; its OID on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId(pub u32);

impl ObjectId {
    /// PostgreSQL's first OID for user objects; lower ones belong to the built-in catalog.
    pub const FIRST_USER: Self = Self(16384);
    /// The OID of schema `public` in every PostgreSQL database.
    pub const PUBLIC: Self = Self(2200);
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A column of a table, unique within the table for ever; the Parquet field id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnId(pub i32);

/// A segment: 128 bits, time-ordered (UUID version 7), so that two servers never invent the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentId(pub u128);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentId({self})")
    }
}

/// One batch of recent rows. Unique within a database: the high bits are the seq of the snapshot it was written
/// against, the low ones a process-wide counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecentId(pub u64);
