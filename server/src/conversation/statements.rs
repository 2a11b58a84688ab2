//! Prepared statements of the extended protocol. The unnamed one stands here; those with names are the session's, which SQL's PREPARE,
//! EXECUTE and DEALLOCATE share.

use query::error::{ErrorKind, QueryError};
use query::{Prepared, Session};
use std::sync::Arc;

/// A statement that Parse has read.
#[derive(Clone)]
pub(crate) struct PreparedStatement {
    pub(crate) text: Arc<str>,
    /// `None` for an empty text.
    pub(crate) prepared: Option<Arc<Prepared>>,
}

#[derive(Default)]
pub(crate) struct Statements {
    unnamed: Option<PreparedStatement>,
}

impl Statements {
    /// Only the unnamed one is replaced; whether another name is free was asked before.
    pub(crate) fn insert(&mut self, session: &mut Session, name: String, statement: PreparedStatement) {
        match name.is_empty() {
            true => self.unnamed = Some(statement),
            false => session.name_statement(name, statement.text, statement.prepared),
        }
    }

    pub(crate) fn get(&self, session: &Session, name: &str) -> Result<PreparedStatement, QueryError> {
        if !name.is_empty() {
            let (text, prepared) = session.named_statement(name)?;
            return Ok(PreparedStatement { text, prepared });
        }
        self.unnamed
            .clone()
            .ok_or_else(|| QueryError::new(ErrorKind::UndefinedStatement, "unnamed prepared statement does not exist"))
    }

    pub(crate) fn remove(&mut self, session: &mut Session, name: &str) {
        match name.is_empty() {
            true => self.unnamed = None,
            false => session.close_statement(name),
        }
    }

    pub(crate) fn forget_unnamed(&mut self) {
        self.unnamed = None;
    }
}
