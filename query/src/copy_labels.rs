//! Labels: a load that has one happens once.
//!
//! The label is part of the load's commit, so two loads of one label conflict there and one of them wins. Whoever comes second, at
//! once or after a year, is told that nothing was to do where the data is the same, and of a conflict where it is not.
//!
//! A label belongs to the table that was loaded, whatever it is called by now. It is free again when the table is dropped or truncated, and
//! when somebody says so, who has undone the load in another way: ALTER TABLE … FORGET LABEL.

use crate::definitions::done;
use crate::engine::now_micros;
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::functions::quote_identifier;
use crate::insert::writable_table;
use crate::planner::Planning;
use crate::response::Response;
use crate::session::Session;
use crate::transaction::Change;
use bytes::Bytes;
use catalog::definition::{ObjectName, TableDefinition};
use catalog::draft::Op;
use catalog::ids::ObjectId;
use catalog::loads::LoadRecord;
use datafusion::sql::sqlparser::ast;
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
        if !record.is_of(self.id, &self.table) {
            let loaded = record.table_id.and_then(|id| planning.snapshot.tables.get(&id));
            let table = loaded.map_or(&record.table, |version| &version.definition.name.name);
            let detail = format!("It loaded {} into table \"{table}\" at {at}.", counted(record.rows));
            return Err(taken(label).detail(detail));
        }
        if record.digest.as_deref() != Some(self.digest().as_str()) {
            return Err(taken(label).detail(format!(
                "It loaded {} from other data ({} bytes, now {}) at {at}.",
                counted(record.rows),
                record.bytes,
                self.bytes
            )));
        }
        let (table, quoted) = (quote_identifier(&self.table.name), label.replace('\'', "''"));
        let forget = format!("ALTER TABLE {table} FORGET LABEL '{quoted}'");
        Ok(Some(Notice {
            severity: NoticeSeverity::Notice,
            kind: None,
            message: format!("load \"{label}\" is done already, skipping"),
            detail: Some(format!("It loaded {} at {at}.", counted(record.rows))),
            hint: Some(format!("If its rows are gone and it is to be loaded again, say {forget} before.")),
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
            table_id: Some(self.id),
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

/// Runs ALTER TABLE … FORGET LABEL.
pub(crate) fn forget(session: &mut Session, name: &ast::ObjectName, label: &str) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let table = writable_table(&planning, name)?;
    if !planning.snapshot.loads.labels_of(table.id, &table.name).any(|known| known == label) {
        let message = format!("load \"{label}\" of table \"{}\" does not exist", table.name.name);
        return Err(
            QueryError::new(ErrorKind::UndefinedObject, message).hint("meridian.loads lists labels and tables.")
        );
    }
    let forgotten = Op::ForgetLoads { table: table.id, label: Some(label.to_string()) };
    session.add_change(Change::of(vec![forgotten]))?;
    Ok(done("ALTER TABLE"))
}

/// The operation for the labels of a table whose rows are all gone. A load that is committed in between loses its rows too, so that it does
/// not matter whether there are labels now. No load of a temporary table is remembered.
pub(crate) fn forget_all(planning: &Planning, table: &TableDefinition) -> Option<Op> {
    let is_temporary = planning.snapshot.is_temporary(&table.name);
    (!is_temporary).then_some(Op::ForgetLoads { table: table.id, label: None })
}

fn counted(rows: u64) -> String {
    if rows == 1 { "1 row".to_string() } else { format!("{rows} rows") }
}

fn shown(record: &LoadRecord) -> String {
    let at = chrono::DateTime::from_timestamp_micros(record.at_micros);
    at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}
