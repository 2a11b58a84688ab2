//! Waiting rows: what plain INSERTs of a transaction brought into one table and nobody has read yet.

use super::values::{Given, Values};
use super::{VALUES_BYTES_MAX, VALUES_ROWS_MAX};
use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};
use crate::intake::Intake;
use crate::keys::waiting::WaitingKeys;
use crate::row_rules::RowRules;
use crate::transaction::Change;
use arrow::array::ArrayRef;
use catalog::definition::TableDefinition;
use catalog::snapshot::Snapshot;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The rows of one table that wait in a transaction.
pub(crate) struct WaitingRows {
    pub(super) rules: Arc<RowRules>,
    /// By column.
    pub(super) values: Vec<Values>,
    pub(super) values_bytes: usize,
    /// The rows before; `None` only while a computing thread has it.
    pub(super) intake: Option<Intake>,
    pub(super) keys: WaitingKeys,
    /// What was committed when the first of the rows came.
    pub(super) checked: Arc<Snapshot>,
}

impl std::fmt::Debug for WaitingRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitingRows").field("table", &self.definition().name).finish_non_exhaustive()
    }
}

impl WaitingRows {
    pub(super) fn new(
        engine: &Engine,
        rules: &Arc<RowRules>,
        inline_bytes: usize,
        checked: Arc<Snapshot>,
    ) -> Result<Self, QueryError> {
        let definition = rules.definition();
        // The keys are compared before a row comes here.
        let intake =
            Intake::new(engine, Arc::clone(definition))?.gathering(inline_bytes).with_keys_of(&BTreeSet::new());
        let values = definition.columns.iter().map(Values::of).collect();
        let keys = WaitingKeys::new(definition)?;
        Ok(Self { rules: Arc::clone(rules), values, values_bytes: 0, intake: Some(intake), keys, checked })
    }

    /// The table as its rows were made for it.
    pub(crate) fn definition(&self) -> &Arc<TableDefinition> {
        self.rules.definition()
    }

    /// Adds rows, one behind the other, each with a value for every column.
    pub(super) fn add<'a>(&mut self, values: impl IntoIterator<Item = Given<'a>>) -> Result<(), QueryError> {
        let mut values = values.into_iter().peekable();
        while values.peek().is_some() {
            for (column, value) in self.values.iter_mut().zip(&mut values) {
                self.values_bytes += column.push(value)?;
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.values.first().map_or(0, Values::len)
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= VALUES_ROWS_MAX || self.values_bytes >= VALUES_BYTES_MAX
    }

    /// Makes arrays of the values. CPU-bound, and it may write segments.
    pub(super) fn gather(&mut self) -> Result<(), QueryError> {
        self.values_bytes = 0;
        let columns = self.values.iter_mut().map(Values::take).collect::<Result<Vec<ArrayRef>, _>>()?;
        let batch = self.rules.checked(columns).map_err(|violation| violation.error)?;
        self.intake.as_mut().ok_or_else(lost)?.push(batch)
    }

    pub(super) fn settled(mut self, engine: &Engine) -> Result<Change, QueryError> {
        if self.len() > 0 {
            self.gather()?;
        }
        let mut change = self.intake.take().ok_or_else(lost)?.finish(engine)?.change;
        change.keys = self.keys.into_new_keys();
        Ok(change)
    }
}

pub(super) fn lost() -> QueryError {
    QueryError::new(ErrorKind::Internal, "the rows of this transaction are gone")
}
