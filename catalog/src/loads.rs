//! Loads: what COPY brought in, remembered beside the rows that it brought.
//!
//! A load with a label happens once: the record is part of the commit that adds the rows, so it is there exactly when they are, and
//! another commit with the same label conflicts. Records with a label are kept for ever, of the others the last
//! [`UNLABELLED_MAX`]. A label that is forgotten is free again, and its load becomes one without: those of a table go with it.

use crate::definition::ObjectName;
use crate::draft::Conflict;
use crate::ids::{CommitSeq, ObjectId};
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
    /// The table; `None` in records of versions that knew its name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_id: Option<ObjectId>,
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

impl LoadRecord {
    /// Whether the load was into a table, which is called `name`.
    pub fn is_of(&self, table: ObjectId, name: &ObjectName) -> bool {
        match self.table_id {
            Some(loaded) => loaded == table,
            None => self.schema == name.schema && self.table == name.name,
        }
    }
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
        self.trim();
        Ok(())
    }

    /// The labels of a table's loads, sorted. `name` is what the table is called: loads of before there were ids are found by it.
    pub fn labels_of<'a>(&'a self, table: ObjectId, name: &'a ObjectName) -> impl Iterator<Item = &'a str> {
        let labels = self
            .labels
            .iter()
            .filter(move |(_, key)| self.records.get(*key).is_some_and(|record| record.is_of(table, name)));
        labels.map(|(label, _)| label.as_str())
    }

    /// Frees a label, or those of all loads of a table.
    pub(crate) fn forget(&mut self, table: ObjectId, name: &ObjectName, only: Option<&str>) {
        let wanted = |label: &&str| only.is_none_or(|only| only == *label);
        let labels: Vec<String> = self.labels_of(table, name).filter(wanted).map(str::to_string).collect();
        for label in labels {
            let Some(key) = self.labels.remove(&label) else { continue };
            let Some(record) = self.records.get_mut(&key) else { continue };
            // Who holds an older snapshot goes on to see it with its label.
            *record = Arc::new(LoadRecord { label: None, digest: None, ..LoadRecord::clone(record) });
            self.unlabelled += 1;
        }
        self.trim();
    }

    /// Drops the oldest of too many records without a label.
    fn trim(&mut self) {
        while self.unlabelled > UNLABELLED_MAX {
            let oldest = self.records.iter().find(|(_, record)| record.label.is_none()).map(|(key, _)| *key);
            let Some(oldest) = oldest else { return };
            self.records.remove(&oldest);
            self.unlabelled -= 1;
        }
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
