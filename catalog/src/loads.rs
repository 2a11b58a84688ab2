//! Loads: what COPY brought in, remembered beside the rows that it brought.
//!
//! A load with a label happens once: the record is part of the commit that adds the rows, so it is there exactly when they are, and
//! another commit with the same label conflicts. Records with a label are kept for ever, of the others the last
//! [`UNLABELLED_MAX`].

use crate::draft::Conflict;
use crate::ids::CommitSeq;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many loads without a label are remembered.
pub const UNLABELLED_MAX: usize = 1000;

/// What a load is known by: its commit, and its place among that commit's loads.
pub type LoadKey = (CommitSeq, u32);

/// One load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub user: String,
    /// The table as it was called then.
    pub schema: String,
    pub table: String,
    pub rows: u64,
    pub rejected: u64,
    /// Bytes of the data as it came.
    pub bytes: u64,
    /// Of the data as it came, in hexadecimal; only loads with a label have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    pub micros: u64,
    pub segments: u64,
    /// When the rows were ready to be committed, in microseconds since 1970.
    pub at_micros: i64,
}

/// The loads that a snapshot remembers.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    pub(crate) records: BTreeMap<LoadKey, Arc<LoadRecord>>,
    labels: BTreeMap<String, LoadKey>,
    unlabelled: usize,
}

impl Loads {
    /// The load of a label.
    pub fn labelled(&self, label: &str) -> Option<&Arc<LoadRecord>> {
        self.labels.get(label).and_then(|key| self.records.get(key))
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&LoadKey, &Arc<LoadRecord>)> {
        self.records.iter()
    }

    /// Adds a load of the commit `seq`.
    pub(crate) fn add(&mut self, seq: CommitSeq, record: &Arc<LoadRecord>) -> Result<(), Conflict> {
        if let Some(label) = record.label.as_ref().filter(|label| self.labels.contains_key(*label)) {
            return Err(Conflict::LabelTaken(label.clone()));
        }
        let of_commit = self.records.range((seq, 0)..=(seq, u32::MAX)).next_back();
        let index = of_commit.map_or(0, |((_, last), _)| last + 1);
        self.insert((seq, index), Arc::clone(record));
        if self.unlabelled > UNLABELLED_MAX {
            let oldest = self.records.iter().find(|(_, record)| record.label.is_none()).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.records.remove(&oldest);
                self.unlabelled -= 1;
            }
        }
        Ok(())
    }

    /// Puts a record where it was before.
    pub(crate) fn insert(&mut self, key: LoadKey, record: Arc<LoadRecord>) {
        match &record.label {
            Some(label) => drop(self.labels.insert(label.clone(), key)),
            None => self.unlabelled += 1,
        }
        self.records.insert(key, record);
    }
}

#[cfg(test)]
mod tests;
