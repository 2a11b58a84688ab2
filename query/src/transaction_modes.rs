//! Modes of a transaction: its isolation, whether it only reads, and whether it may wait for a snapshot.
//!
//! They are what the settings `transaction_isolation`, `transaction_read_only` and `transaction_deferrable` show, so the transaction
//! and the session's settings share them: SET TRANSACTION, SET of a setting and `set_config` in a query all come to the same. What may
//! be changed when is PostgreSQL's (`check_XactIsoLevel`, `check_XactReadOnly`, `check_transaction_deferrable`).

use crate::error::{ErrorKind, QueryError};
use crate::statement::{Isolation, TransactionModes};
use parking_lot::Mutex;
use std::sync::Arc;

pub(crate) const TRANSACTION_ISOLATION: &str = "transaction_isolation";
pub(crate) const TRANSACTION_READ_ONLY: &str = "transaction_read_only";
pub(crate) const TRANSACTION_DEFERRABLE: &str = "transaction_deferrable";

/// The modes as they are at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    pub isolation: Isolation,
    pub read_only: bool,
    /// Nothing waits for a snapshot, so this is kept and shown, no more.
    pub deferrable: bool,
}

#[derive(Debug, Default)]
struct State {
    modes: Modes,
    /// Whether a statement has read under them.
    has_read: bool,
    /// How many savepoints are open.
    savepoints: usize,
}

/// The modes of one transaction. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedModes(Arc<Mutex<State>>);

impl SharedModes {
    pub(crate) fn new(modes: Modes) -> Self {
        Self(Arc::new(Mutex::new(State { modes, ..State::default() })))
    }

    pub(crate) fn now(&self) -> Modes {
        self.0.lock().modes
    }

    /// Brings back what was, whatever has been read since.
    pub(crate) fn restore(&self, modes: Modes) {
        self.0.lock().modes = modes;
    }

    pub(crate) fn note_read(&self) {
        self.0.lock().has_read = true;
    }

    pub(crate) fn note_savepoints(&self, open: usize) {
        self.0.lock().savepoints = open;
    }

    /// Takes what BEGIN or SET TRANSACTION says.
    pub(crate) fn apply(&self, wanted: TransactionModes) -> Result<(), QueryError> {
        let mut state = self.0.lock();
        if let Some(isolation) = wanted.isolation {
            state.set_isolation(isolation)?;
        }
        if let Some(read_only) = wanted.read_only {
            state.set_read_only(read_only)?;
        }
        wanted.deferrable.map_or(Ok(()), |deferrable| state.set_deferrable(deferrable))
    }

    /// Takes a setting's value, which was checked; does nothing for settings that are no mode.
    pub(crate) fn set(&self, setting: &str, value: &str) -> Result<(), QueryError> {
        let mut state = self.0.lock();
        match setting {
            TRANSACTION_ISOLATION => state.set_isolation(Isolation::named(value)),
            TRANSACTION_READ_ONLY => state.set_read_only(value == "on"),
            TRANSACTION_DEFERRABLE => state.set_deferrable(value == "on"),
            _ => Ok(()),
        }
    }
}

impl Modes {
    /// The value of a setting that is a mode.
    pub(crate) fn get(&self, setting: &str) -> Option<&'static str> {
        let switch = |on| if on { "on" } else { "off" };
        match setting {
            TRANSACTION_ISOLATION => Some(self.isolation.name()),
            TRANSACTION_READ_ONLY => Some(switch(self.read_only)),
            TRANSACTION_DEFERRABLE => Some(switch(self.deferrable)),
            _ => None,
        }
    }
}

impl State {
    fn set_isolation(&mut self, isolation: Isolation) -> Result<(), QueryError> {
        if isolation != self.modes.isolation {
            refuse(self.has_read, "SET TRANSACTION ISOLATION LEVEL must be called before any query")?;
            let inside = "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction";
            refuse(self.savepoints > 0, inside)?;
        }
        self.modes.isolation = isolation;
        Ok(())
    }

    fn set_read_only(&mut self, read_only: bool) -> Result<(), QueryError> {
        if self.modes.read_only && !read_only {
            let inside = "cannot set transaction read-write mode inside a read-only transaction";
            refuse(self.savepoints > 0, inside)?;
            refuse(self.has_read, "transaction read-write mode must be set before any query")?;
        }
        self.modes.read_only = read_only;
        Ok(())
    }

    fn set_deferrable(&mut self, deferrable: bool) -> Result<(), QueryError> {
        let inside = "SET TRANSACTION [NOT] DEFERRABLE cannot be called within a subtransaction";
        refuse(self.savepoints > 0, inside)?;
        refuse(self.has_read, "SET TRANSACTION [NOT] DEFERRABLE must be called before any query")?;
        self.modes.deferrable = deferrable;
        Ok(())
    }
}

fn refuse(is_late: bool, message: &str) -> Result<(), QueryError> {
    if is_late { Err(QueryError::new(ErrorKind::ActiveTransaction, message)) } else { Ok(()) }
}
