//! What a session gives names to: prepared statements and cursors, those of SQL and those of the protocol alike.

use super::{Session, failed_transaction};
use crate::cursor::{self, Cursor};
use crate::engine::now_micros;
use crate::error::{ErrorKind, QueryError};
use crate::prepared::{NamedStatement, Prepared};
use crate::response::{Format, ParameterValue, Response, ResultColumn, RowStream, TransactionStatus};
use std::sync::Arc;

/// SQL-level cursors and prepared statements that a session may have open.
const NAMED_OBJECTS_MAX: usize = 10_000;

impl Session {
    /// Fails where a name of a prepared statement is taken.
    pub fn check_statement_name(&self, name: &str) -> Result<(), QueryError> {
        let prepared = self.prepared.lock();
        if prepared.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(QueryError::new(ErrorKind::DuplicateStatement, message));
        }
        self.check_room(prepared.len())
    }

    /// Keeps a statement that the protocol has given a free name.
    pub fn name_statement(&mut self, name: String, text: Arc<str>, prepared: Option<Arc<Prepared>>) {
        let statement = NamedStatement { prepared, text, prepared_at_micros: now_micros(), from_sql: false };
        self.prepared.lock().insert(name, statement);
    }

    /// The text and the statement of a name, whoever gave it.
    pub fn named_statement(&self, name: &str) -> Result<(Arc<str>, Option<Arc<Prepared>>), QueryError> {
        match self.prepared.lock().get(name) {
            Some(statement) => Ok((Arc::clone(&statement.text), statement.prepared.clone())),
            None => {
                let message = format!("prepared statement \"{name}\" does not exist");
                Err(QueryError::new(ErrorKind::UndefinedStatement, message))
            }
        }
    }

    pub fn close_statement(&mut self, name: &str) {
        self.prepared.lock().remove(name);
    }

    /// Fails where a name of a cursor is taken.
    pub fn check_cursor_name(&self, name: &str) -> Result<(), QueryError> {
        if self.cursors.contains_key(name) { Err(cursor::duplicate(name)) } else { self.check_room(self.cursors.len()) }
    }

    /// Runs a prepared query and keeps its rows as a cursor, under a free name.
    pub async fn open_portal(
        &mut self,
        name: String,
        prepared: &Arc<Prepared>,
        parameters: Vec<ParameterValue>,
        formats: Vec<Format>,
    ) -> Result<(), QueryError> {
        let (columns, stream) = self.open_query(prepared, parameters).await?;
        let statement = prepared.statement.text();
        self.open_cursor(name, |number| Cursor { formats, ..Cursor::new(number, columns, statement, stream) });
        Ok(())
    }

    /// Runs a prepared query, whose rows are read later: they are those of now.
    pub async fn open_query(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: Vec<ParameterValue>,
    ) -> Result<(Vec<ResultColumn>, RowStream), QueryError> {
        match self.execute(prepared, parameters, false).await? {
            Response::Rows { columns, stream, .. } => Ok((columns, stream)),
            _ => Err(QueryError::new(ErrorKind::Internal, "a portal was opened for a statement without rows")),
        }
    }

    pub(crate) fn open_cursor(&mut self, name: String, open: impl FnOnce(u64) -> Cursor) {
        self.cursors_declared += 1;
        self.cursors.insert(name, open(self.cursors_declared));
    }

    /// An open cursor, whoever opened it.
    pub fn cursor(&self, name: &str) -> Option<&Cursor> {
        self.cursors.get(name)
    }

    /// Takes a cursor out, to read it. It is to be put back, unless reading fails.
    pub fn take_cursor(&mut self, name: &str) -> Result<Option<Cursor>, QueryError> {
        if self.cursors.contains_key(name) && self.transaction_status() == TransactionStatus::Failed {
            return Err(failed_transaction());
        }
        Ok(self.cursors.remove(name))
    }

    pub fn put_cursor(&mut self, name: String, cursor: Cursor) {
        self.cursors.insert(name, cursor);
    }

    pub fn close_cursor(&mut self, name: &str) {
        self.cursors.remove(name);
    }

    /// Fails where there are as many cursors, or prepared statements, as a session may have.
    pub(crate) fn check_room(&self, open: usize) -> Result<(), QueryError> {
        if open >= NAMED_OBJECTS_MAX {
            let message = format!("a session can have at most {NAMED_OBJECTS_MAX} cursors or prepared statements");
            return Err(QueryError::new(ErrorKind::ProgramLimitExceeded, message));
        }
        Ok(())
    }

    /// Cursors end with their transaction; WITH HOLD ones outlive a commit.
    pub(super) fn close_cursors(&mut self, committed: bool) {
        self.cursors.retain(|_, cursor| cursor.survives(committed));
    }
}
