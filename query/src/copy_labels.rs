//! Labels: a load that has one happens once.
//!
//! The label is part of the load's commit, so two loads of one label conflict there and one of them wins. Whoever comes second, at
//! once or after a year, is told that nothing was to do where the data is the same, and of a conflict where it is not.

use crate::engine::now_micros;
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::session::Session;
use crate::transaction::Change;
use bytes::Bytes;
use catalog::definition::ObjectName;
use catalog::draft::Op;
use catalog::ids::ObjectId;
use catalog::loads::LoadRecord;
use std::sync::Arc;
use std::time::Instant;

/// What will be remembered of a load that runs.
pub(crate) struct LoadNote {
    label: Option<String>,
    user: String,
    table: ObjectName,
    id: ObjectId,
    hasher: blake3::Hasher,
    bytes: u64,
    started: Instant,
}

impl LoadNote {
    pub(crate) fn new(session: &Session, label: Option<&str>, table: &ObjectName, id: ObjectId) -> Self {
        Self {
            label: label.map(str::to_string),
            user: session.user.clone(),
            table: table.clone(),
            id,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            started: Instant::now(),
        }
    }

    /// Takes note of the next bytes of the data.
    pub(crate) fn push(&mut self, data: &Bytes) {
        self.bytes += data.len() as u64;
        if self.label.is_some() {
            self.hasher.update(data);
        }
    }

    pub(crate) fn has_label(&self) -> bool {
        self.label.is_some()
    }

    /// Whether the label was used for this table with this data before: `Some` says when. An error where it was used otherwise.
    pub(crate) fn done_before(&self, session: &mut Session) -> Result<Option<Notice>, QueryError> {
        let Some(label) = &self.label else { return Ok(None) };
        let planning = session.planning()?;
        let Some(record) = planning.snapshot.loads.labelled(label) else { return Ok(None) };
        let at = shown(record);
        if record.schema != self.table.schema || record.table != self.table.name {
            return Err(
                taken(label).detail(format!("It loaded {} rows into table \"{}\" at {at}.", record.rows, record.table))
            );
        }
        if record.digest.as_deref() != Some(self.digest().as_str()) {
            return Err(taken(label).detail(format!(
                "It loaded {} rows from other data ({} bytes, now {}) at {at}.",
                record.rows, record.bytes, self.bytes
            )));
        }
        let rows = if record.rows == 1 { "1 row".to_string() } else { format!("{} rows", record.rows) };
        Ok(Some(Notice {
            severity: NoticeSeverity::Notice,
            kind: None,
            message: format!("load \"{label}\" is done already, skipping"),
            detail: Some(format!("It loaded {rows} at {at}.")),
            hint: None,
        }))
    }

    fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    /// The record of a load that is about to be committed.
    pub(crate) fn record(&self, rows: u64, rejected: u64, change: &Change) -> Op {
        let segments = change.ops.iter().map(|op| match op {
            Op::AddSegments { table, segments } if *table == self.id => segments.len() as u64,
            _ => 0,
        });
        Op::RecordLoad(Arc::new(LoadRecord {
            label: self.label.clone(),
            user: self.user.clone(),
            schema: self.table.schema.clone(),
            table: self.table.name.clone(),
            rows,
            rejected,
            bytes: self.bytes,
            digest: self.label.as_ref().map(|_| self.digest()),
            micros: self.started.elapsed().as_micros() as u64,
            segments: segments.sum(),
            at_micros: now_micros(),
        }))
    }
}

/// The error for a label that another load has.
pub(crate) fn taken(label: &str) -> QueryError {
    QueryError::new(ErrorKind::UniqueViolation, format!("load \"{label}\" already exists"))
        .hint("Give data that is new another label; meridian.loads lists those that are taken.")
}

fn shown(record: &LoadRecord) -> String {
    let at = chrono::DateTime::from_timestamp_micros(record.at_micros);
    at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}
