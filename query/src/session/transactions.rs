//! BEGIN, COMMIT, ROLLBACK, savepoints and the modes of transactions, as statements of a session.

use super::Session;
use crate::engine::commit_error;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::response::{CommandTag, Response};
use crate::statement::TransactionModes;
use crate::transaction::{SessionMark, Transaction};
use crate::transaction_modes::Modes;
use std::sync::Arc;
use std::time::Duration;

/// How long a transaction block waits for its turn on a table that it alters. Without it, it may lose to others' commits.
const LOCK_AWAITED_MAX: Duration = Duration::from_secs(5);

impl Session {
    pub(super) fn begin(&mut self, modes: TransactionModes) -> Result<Response, QueryError> {
        if self.in_transaction_block() {
            self.notice_of(
                NoticeSeverity::Warning,
                ErrorKind::ActiveTransaction,
                "there is already a transaction in progress",
            );
        }
        let transaction = self.transaction.as_mut().expect("a statement runs in a transaction");
        transaction.modes.apply(modes)?;
        transaction.explicit = true;
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
        self.transaction.as_ref().expect("a statement runs in a transaction").modes.apply(modes)?;
        Ok(Response::Command(CommandTag::Plain("SET")))
    }

    /// What transactions have that begin later.
    pub(super) fn set_characteristics(&mut self, modes: TransactionModes) -> Result<Response, QueryError> {
        if let Some(isolation) = modes.isolation {
            self.settings.set("default_transaction_isolation", isolation.name(), false)?;
        }
        let switches =
            [("default_transaction_read_only", modes.read_only), ("default_transaction_deferrable", modes.deferrable)];
        for (setting, on) in switches {
            if let Some(on) = on {
                self.settings.set(setting, if on { "on" } else { "off" }, false)?;
            }
        }
        Ok(Response::Command(CommandTag::Plain("SET")))
    }

    /// The kind of the transaction that AND CHAIN begins.
    pub(super) fn next_modes(&self, what: &str, chain: bool) -> Result<Option<TransactionModes>, QueryError> {
        match &self.transaction {
            _ if !chain => Ok(None),
            Some(now) if now.explicit => {
                let Modes { isolation, read_only, deferrable } = now.modes.now();
                Ok(Some(TransactionModes {
                    isolation: Some(isolation),
                    read_only: Some(read_only),
                    deferrable: Some(deferrable),
                }))
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
        self.publish_announced();
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

    /// Keeps others from committing rows of a table until the open block ends, where that can be had soon.
    pub(crate) async fn lock_rows(&mut self, table: &str) -> Result<(), QueryError> {
        let Some(transaction) = self.transaction.as_ref().filter(|transaction| transaction.explicit) else {
            return Ok(());
        };
        if transaction.locks.iter().any(|lock| lock.is_of(table)) {
            return Ok(());
        }
        let engine = Arc::clone(&self.engine);
        let turn = match transaction.locks.is_empty() {
            true => {
                let turn = async { Ok(tokio::time::timeout(LOCK_AWAITED_MAX, engine.turns.take(table)).await.ok()) };
                self.token.guard(turn).await?
            }
            false => engine.turns.try_take(table),
        };
        let Some(turn) = turn else { return Ok(()) };
        let lock = engine.turns.lock(turn);
        // Who has passed before is on its way to the disk.
        let passed = async {
            engine.turns.passed().await;
            Ok(())
        };
        self.token.guard(passed).await?;
        engine.catalog.settled().await.map_err(commit_error)?;
        if let Some(transaction) = &mut self.transaction {
            transaction.locks.push(lock);
        }
        Ok(())
    }

    pub(super) fn savepoint(&mut self, name: &str) -> Result<Response, QueryError> {
        let announced = self.announcements.lock().mark();
        let mark = SessionMark { announced, settings: self.settings.mark(), cursors: self.cursors_declared };
        self.in_block(
            "SAVEPOINT",
            |transaction| {
                transaction.savepoint(name, mark);
                Ok(())
            },
            "SAVEPOINT",
        )
    }

    /// Undoes SET and NOTIFY and closes cursors like everything else that came after the savepoint.
    pub(super) fn rollback_to(&mut self, name: &str) -> Result<Response, QueryError> {
        let mut mark = None;
        let roll_back = |transaction: &mut Transaction| {
            mark = Some(transaction.rollback_to(name)?);
            Ok(())
        };
        let response = self.in_block("ROLLBACK TO SAVEPOINT", roll_back, "ROLLBACK")?;
        if let Some(mark) = mark {
            self.settings.return_to(mark.settings);
            self.cursors.retain(|_, cursor| cursor.number <= mark.cursors);
            self.return_to_announced(mark.announced);
        }
        Ok(response)
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
