//! BEGIN, COMMIT, ROLLBACK, savepoints and the modes of transactions, as statements of a session.

use super::Session;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::response::{CommandTag, Response};
use crate::statement::TransactionModes;
use crate::transaction::Transaction;

impl Session {
    pub(super) fn begin(&mut self, modes: TransactionModes) -> Result<Response, QueryError> {
        if self.in_transaction_block() {
            self.notice_of(
                NoticeSeverity::Warning,
                ErrorKind::ActiveTransaction,
                "there is already a transaction in progress",
            );
        }
        self.apply_modes(modes)?;
        self.transaction.as_mut().expect("a statement runs in a transaction").explicit = true;
        Ok(Response::Command(CommandTag::Plain("BEGIN")))
    }

    pub(super) fn set_transaction(&mut self, modes: TransactionModes) -> Result<Response, QueryError> {
        if !self.in_transaction_block() {
            self.notice_of(
                NoticeSeverity::Warning,
                ErrorKind::NoActiveTransaction,
                "SET TRANSACTION can only be used in transaction blocks",
            );
        }
        self.apply_modes(modes)?;
        Ok(Response::Command(CommandTag::Plain("SET")))
    }

    /// What transactions have that begin later.
    pub(super) fn set_characteristics(&mut self, modes: TransactionModes) -> Result<Response, QueryError> {
        if let Some(isolation) = modes.isolation {
            self.settings.set("default_transaction_isolation", isolation.name(), false)?;
        }
        if let Some(read_only) = modes.read_only {
            self.settings.set("default_transaction_read_only", if read_only { "on" } else { "off" }, false)?;
        }
        Ok(Response::Command(CommandTag::Plain("SET")))
    }

    pub(super) fn apply_modes(&mut self, modes: TransactionModes) -> Result<(), QueryError> {
        let transaction = self.transaction.as_mut().expect("a statement runs in a transaction");
        if let Some(isolation) = modes.isolation {
            if transaction.has_read() && isolation != transaction.isolation {
                let message = "SET TRANSACTION ISOLATION LEVEL must be called before any query";
                return Err(QueryError::new(ErrorKind::ActiveTransaction, message));
            }
            transaction.isolation = isolation;
        }
        transaction.read_only = modes.read_only.unwrap_or(transaction.read_only);
        Ok(())
    }

    /// The kind of the transaction that AND CHAIN begins.
    pub(super) fn next_modes(&self, what: &str, chain: bool) -> Result<Option<TransactionModes>, QueryError> {
        match &self.transaction {
            _ if !chain => Ok(None),
            Some(now) if now.explicit => {
                Ok(Some(TransactionModes { isolation: Some(now.isolation), read_only: Some(now.read_only) }))
            }
            _ => {
                let message = format!("{what} AND CHAIN can only be used in transaction blocks");
                Err(QueryError::new(ErrorKind::NoActiveTransaction, message))
            }
        }
    }

    /// Begins the transaction that follows by AND CHAIN.
    pub(super) fn chained(&mut self, next: Option<TransactionModes>) -> Result<(), QueryError> {
        let Some(modes) = next else { return Ok(()) };
        self.ensure_transaction();
        self.begin(modes).map(drop)
    }

    pub(super) async fn commit_explicit(&mut self) -> Result<Response, QueryError> {
        if !self.in_transaction_block() {
            self.notice_of(
                NoticeSeverity::Warning,
                ErrorKind::NoActiveTransaction,
                "there is no transaction in progress",
            );
            self.finish_implicit().await?;
            return Ok(Response::Command(CommandTag::Plain("COMMIT")));
        }
        if self.transaction.as_ref().is_some_and(|transaction| transaction.failed) {
            self.end_transaction(false);
            return Ok(Response::Command(CommandTag::Plain("ROLLBACK")));
        }
        self.commit().await?;
        Ok(Response::Command(CommandTag::Plain("COMMIT")))
    }

    pub(super) fn rollback_explicit(&mut self) -> Result<Response, QueryError> {
        if !self.in_transaction_block() {
            self.notice_of(
                NoticeSeverity::Warning,
                ErrorKind::NoActiveTransaction,
                "there is no transaction in progress",
            );
        }
        self.end_transaction(false);
        Ok(Response::Command(CommandTag::Plain("ROLLBACK")))
    }

    pub(super) fn savepoint(&mut self, name: &str) -> Result<Response, QueryError> {
        let announced = self.announcements.lock().len();
        self.in_block(
            "SAVEPOINT",
            |transaction| {
                transaction.savepoint(name, announced);
                Ok(())
            },
            "SAVEPOINT",
        )
    }

    pub(super) fn in_block(
        &mut self,
        what: &str,
        body: impl FnOnce(&mut Transaction) -> Result<(), QueryError>,
        tag: &'static str,
    ) -> Result<Response, QueryError> {
        match &mut self.transaction {
            Some(transaction) if transaction.explicit => {
                body(transaction)?;
                Ok(Response::Command(CommandTag::Plain(tag)))
            }
            _ => Err(QueryError::new(
                ErrorKind::NoActiveTransaction,
                format!("{what} can only be used in transaction blocks"),
            )),
        }
    }
}
