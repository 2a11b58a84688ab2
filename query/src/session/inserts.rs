//! INSERTs whose rows need no more than their values: prepared ones, and texts like the one before (`row_inserts`).

use super::Session;
use crate::bound_parameters::BoundParameters;
use crate::error::{ErrorKind, QueryError};
use crate::prepared::Prepared;
use crate::response::{CommandTag, Response, TransactionStatus};
use crate::row_inserts::{self, RowInsert};
use std::sync::Arc;

impl Session {
    /// Runs a prepared statement with its parameters as they came in Bind; see [`Self::execute`].
    pub async fn execute_bound(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: &BoundParameters,
        autocommit: bool,
    ) -> Result<Response, QueryError> {
        let is_alone = autocommit && self.transaction.is_none();
        if is_alone
            && prepared.row_insert.is_plain()
            && let Some(rows) = self.insert_alone(prepared, parameters).await?
        {
            return Ok(Response::Command(CommandTag::Rows("INSERT", rows)));
        }
        self.execute(prepared, parameters.values(), autocommit).await
    }

    /// Commits the rows of a prepared INSERT that need no more than their values. `None` where they do, or lost to another commit: nothing
    /// has happened then.
    async fn insert_alone(
        &mut self,
        prepared: &Prepared,
        parameters: &BoundParameters,
    ) -> Result<Option<u64>, QueryError> {
        self.start_timer();
        self.ensure_transaction();
        let added = row_inserts::add_at_once(self, &prepared.row_insert, &prepared.parameters, parameters)?;
        if added.is_some() {
            match self.finish_implicit().await {
                Err(error) if error.kind == ErrorKind::SerializationFailure => {}
                outcome => return outcome.map(|()| added),
            }
        }
        self.transaction = None;
        Ok(None)
    }

    /// Adds the rows of a prepared INSERT to those that wait in the open transaction. `None` where that needs more than their values:
    /// nothing has happened then, and the statement is to be executed.
    pub fn add_rows(
        &mut self,
        prepared: &Prepared,
        parameters: &BoundParameters,
    ) -> Result<Option<CommandTag>, QueryError> {
        let added = row_inserts::add_at_once(self, &prepared.row_insert, &prepared.parameters, parameters)?;
        if added.is_some() {
            self.statement_started(prepared.statement.text());
        }
        Ok(added.map(|rows| CommandTag::Rows("INSERT", rows)))
    }

    /// The rows of a text that differs from the session's last INSERT in its values alone; `None` for any other.
    pub fn read_insert(&self, text: &str) -> Option<RowInsert> {
        self.row_head.as_ref().and_then(|head| head.read(text))
    }

    /// Runs a text whose rows were read already.
    pub async fn repeat_insert(&mut self, text: &str, read: &RowInsert) -> Result<Response, QueryError> {
        self.statement_started(text.trim().trim_end_matches(';'));
        if self.transaction_status() != TransactionStatus::Failed {
            self.start_timer();
            let alone = self.ensure_transaction();
            if let Some(added) = row_inserts::add_read(self, read).await? {
                let response = Response::Command(CommandTag::Rows("INSERT", added.rows));
                if !alone {
                    return Ok(response);
                }
                match self.finish_implicit().await {
                    Err(error) if error.kind == ErrorKind::SerializationFailure => self.transaction = None,
                    outcome => return outcome.map(|()| response),
                }
            } else if alone {
                self.transaction = None;
            }
        }
        // The long way is another attempt at the same statement.
        let Some(statement) = self.parse(text)?.pop() else { return Ok(Response::Empty) };
        let prepared = self.prepare(&statement, &[]).await?;
        self.execute(&prepared, Vec::new(), true).await
    }
}
