//! Prepared statements of the extended protocol, by name; the unnamed one has the empty name.

use query::Prepared;
use query::error::{ErrorKind, QueryError};
use std::collections::HashMap;
use std::sync::Arc;

/// A client that prepares more than this has a leak.
const STATEMENTS_MAX: usize = 10_000;

/// A statement that Parse has read.
#[derive(Clone)]
pub(crate) struct PreparedStatement {
    pub(crate) text: Arc<str>,
    /// `None` for an empty text.
    pub(crate) prepared: Option<Arc<Prepared>>,
}

#[derive(Default)]
pub(crate) struct Statements {
    by_name: HashMap<String, PreparedStatement>,
}

impl Statements {
    /// Whether a statement may be kept under this name. Only the unnamed one is replaced.
    pub(crate) fn check_free(&self, name: &str) -> Result<(), QueryError> {
        if self.by_name.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(QueryError::new(ErrorKind::DuplicateStatement, message));
        }
        if self.by_name.len() >= STATEMENTS_MAX {
            let error = QueryError::new(ErrorKind::ProgramLimitExceeded, "too many prepared statements");
            return Err(error.hint("Close statements that are not needed any longer."));
        }
        Ok(())
    }

    pub(crate) fn insert(&mut self, name: String, statement: PreparedStatement) {
        self.by_name.insert(name, statement);
    }

    pub(crate) fn get(&self, name: &str) -> Result<PreparedStatement, QueryError> {
        self.by_name.get(name).cloned().ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_string()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            QueryError::new(ErrorKind::UndefinedStatement, message)
        })
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    pub(crate) fn clear(&mut self) {
        self.by_name.clear();
    }
}
