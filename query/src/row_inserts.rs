//! Row inserts: plain INSERTs of a few rows, which need no plan and become one batch.
//!
//! ```text
//! INSERT … VALUES ──compile, once──▶ RowInsert ──rows of each execution──▶ WaitingRows ──settle──▶ Change
//!   (a, $1), …                       cells by column                      of the transaction       one batch or its segments
//! ```
//!
//! A client that sends its rows one by one pays for each what reading its values costs. The rows wait in their transaction until another
//! statement runs in it or it ends; then they settle, that is, they become a change as if one INSERT had brought them. Nobody can see the
//! difference: whatever could read them settles them before, and a row that its table would refuse never waits.
//!
//! What needs more than values takes the long way, `insert`: defaults that are computed, RETURNING, ON CONFLICT. So does every row with
//! an error in it and every row whose key may be taken, so that errors are worded in one place.

use crate::column_defaults::is_computed;
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execution::joined;
use crate::insert::{Cell, CellReader, constant_default_value, constant_rows, refuse_values, target, target_columns};
use crate::intake::Intake;
use crate::keys::waiting::WaitingKeys;
use crate::planner::Planning;
use crate::response::ParameterValue;
use crate::row_rules::RowRules;
use crate::session::Session;
use crate::statement::{Overriding, Statement, StatementKind};
use crate::transaction::Change;
use arrow::array::ArrayRef;
use catalog::definition::{Column, ObjectName, TableDefinition};
use catalog::ids::ObjectId;
use catalog::snapshot::{Snapshot, TableVersion};
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A statement with more rows is run by itself.
const STATEMENT_ROWS_MAX: usize = 1_024;
/// So many rows wait as values before they become arrays.
const VALUES_ROWS_MAX: usize = 1_024;
/// So much memory may values take before they become arrays.
const VALUES_BYTES_MAX: usize = 1024 * 1024;

/// Rows of so many tables may wait in a transaction; those of all go inline into one record of the log.
const TABLES_MAX: usize = 8;

/// A row's values by column, in the columns' own Arrow types.
type Row = Vec<ScalarValue>;

/// Where the value of a column comes from.
#[derive(Debug)]
enum Source {
    Cell(Cell),
    /// What the column has where a statement gives nothing.
    Default(ScalarValue),
}

/// An INSERT of constants and parameters, resolved.
#[derive(Debug)]
pub(crate) struct RowInsert {
    /// The names and settings that it was resolved by; with others its table may be another.
    names: Arc<BTreeMap<ObjectName, ObjectId>>,
    settings_revision: u64,
    definition: Arc<TableDefinition>,
    rules: Arc<RowRules>,
    /// For each row its sources by column.
    rows: Vec<Vec<Source>>,
}

impl RowInsert {
    /// `None` for an INSERT that takes the long way.
    fn compile(
        session: &mut Session,
        insert: &ast::Insert,
        overriding: Overriding,
        statement: &Statement,
    ) -> Result<Option<Self>, QueryError> {
        if insert.on.is_some() || insert.returning.is_some() {
            return Ok(None);
        }
        let planning: Arc<Planning> = session.planning()?;
        let definition = target(&planning, insert, statement)?;
        let targets = target_columns(&definition, insert, statement)?;
        refuse_values(insert, overriding, &definition, &targets)?;
        let rules = RowRules::of(&planning, &definition)?;
        let Some(rows) = constant_rows(insert, overriding, &definition, &targets, statement)? else { return Ok(None) };
        if rows.len() > STATEMENT_ROWS_MAX || !rules.is_immutable() {
            return Ok(None);
        }
        let style = session.output_style();
        let mut defaults: BTreeMap<usize, ScalarValue> = BTreeMap::new();
        for (position, column) in definition.columns.iter().enumerate() {
            if targets.contains(&position) {
                continue;
            }
            if is_computed(column) {
                return Ok(None);
            }
            let value = constant_default_value(column.missing_value().as_deref(), &column.sql_type, &style)?;
            defaults.insert(position, value);
        }
        let by_column = |cells: Vec<Cell>| {
            let mut cells: BTreeMap<usize, Cell> = targets.iter().copied().zip(cells).collect();
            let sources = (0..definition.columns.len()).map(|position| match cells.remove(&position) {
                Some(cell) => Some(Source::Cell(cell)),
                None => defaults.get(&position).cloned().map(Source::Default),
            });
            sources.collect::<Option<Vec<_>>>()
        };
        let Some(rows) = rows.into_iter().map(by_column).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let settings_revision = session.settings.revision();
        Ok(Some(Self { names: Arc::clone(&planning.snapshot.names), settings_revision, definition, rules, rows }))
    }

    /// Whether the statement still means the same.
    fn is_current(&self, snapshot: &Snapshot, settings_revision: u64) -> bool {
        let version = snapshot.tables.get(&self.definition.id);
        Arc::ptr_eq(&self.names, &snapshot.names)
            && self.settings_revision == settings_revision
            && self.rules.mean_types(&snapshot.types)
            && version.is_some_and(|version| Arc::ptr_eq(&version.definition, &self.definition))
    }

    /// Whether there is more to ask of a row than its values.
    fn is_strict(&self) -> bool {
        self.rules.has_expressions() || !self.definition.keys.is_empty()
    }

    /// The rows of an execution; `None` where a value is none or not one that its column takes.
    fn values(&self, cells: &CellReader<'_>) -> Option<Vec<Row>> {
        let row = |sources: &Vec<Source>| {
            let values = sources.iter().zip(&self.definition.columns).map(|(source, column)| {
                let value = match source {
                    Source::Cell(cell) => cells.value(cell, column).ok()?,
                    Source::Default(value) => value.clone(),
                };
                is_taken(&value, column).then_some(value)
            });
            values.collect::<Option<Row>>()
        };
        self.rows.iter().map(row).collect()
    }
}

/// Whether a column surely takes a value as it is.
fn is_taken(value: &ScalarValue, column: &Column) -> bool {
    let length = || value.try_as_str().flatten().map_or(0, str::len);
    let fits = match &column.sql_type {
        SqlType::Varchar { length_max: Some(limit) } => length() <= *limit as usize,
        SqlType::Bpchar { length: Some(limit) } => length() <= *limit as usize,
        _ => true,
    };
    fits && !(column.not_null && value.is_null())
}

/// The rows of one table that wait in a transaction.
pub(crate) struct WaitingRows {
    rules: Arc<RowRules>,
    /// By column.
    values: Vec<Vec<ScalarValue>>,
    values_bytes: usize,
    /// The rows before; `None` only while a computing thread has it.
    intake: Option<Intake>,
    keys: WaitingKeys,
    /// What was committed when the first of the rows came.
    checked: Arc<Snapshot>,
}

impl std::fmt::Debug for WaitingRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitingRows").field("table", &self.definition().name).finish_non_exhaustive()
    }
}

impl WaitingRows {
    fn new(
        engine: &Engine,
        rules: &Arc<RowRules>,
        inline_bytes: usize,
        checked: Arc<Snapshot>,
    ) -> Result<Self, QueryError> {
        let definition = rules.definition();
        // The keys are compared before a row comes here.
        let intake =
            Intake::new(engine, Arc::clone(definition))?.gathering(inline_bytes).with_keys_of(&BTreeSet::new());
        let values = definition.columns.iter().map(|_| Vec::new()).collect();
        let keys = WaitingKeys::new(definition)?;
        Ok(Self { rules: Arc::clone(rules), values, values_bytes: 0, intake: Some(intake), keys, checked })
    }

    /// The table as its rows were made for it.
    pub(crate) fn definition(&self) -> &Arc<TableDefinition> {
        self.rules.definition()
    }

    fn add(&mut self, rows: Vec<Row>) {
        for row in rows {
            for (column, value) in self.values.iter_mut().zip(row) {
                self.values_bytes += value.size();
                column.push(value);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.values.first().is_some_and(|values| values.len() >= VALUES_ROWS_MAX)
            || self.values_bytes >= VALUES_BYTES_MAX
    }

    /// Makes arrays of the values. CPU-bound, and it may write segments.
    fn gather(&mut self) -> Result<(), QueryError> {
        self.values_bytes = 0;
        let columns = self.values.iter_mut().map(|values| {
            let values = std::mem::take(values);
            ScalarValue::iter_to_array(values).map_err(|error| translate(error, None))
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        let batch = self.rules.checked(columns).map_err(|violation| violation.error)?;
        self.intake.as_mut().ok_or_else(lost)?.push(batch)
    }

    fn settled(mut self, engine: &Engine) -> Result<Change, QueryError> {
        if self.values.first().is_some_and(|values| !values.is_empty()) {
            self.gather()?;
        }
        let mut change = self.intake.take().ok_or_else(lost)?.finish(engine)?.change;
        change.keys = self.keys.into_new_keys();
        Ok(change)
    }
}

fn lost() -> QueryError {
    QueryError::new(ErrorKind::Internal, "the rows of this transaction are gone")
}

/// Adds the rows of an INSERT to those that wait and gives their number; `None` for one that takes the long way.
pub(crate) async fn add(
    session: &mut Session,
    row_insert: &KnownRowInsert,
    statement: &Statement,
    types: &[SqlType],
    parameters: &[ParameterValue],
) -> Result<Option<u64>, QueryError> {
    let StatementKind::Insert(insert, overriding) = &statement.kind else { return Ok(None) };
    let engine = Arc::clone(&session.engine);
    let Some(transaction) = session.transaction.as_mut().filter(|transaction| !transaction.read_only) else {
        return Ok(None);
    };
    let snapshot = transaction.snapshot(&engine)?;
    let base = transaction.base().unwrap_or_else(|| Arc::clone(&snapshot));
    let revision = session.settings.revision();
    let known = row_insert.0.lock().clone().filter(|known| known.is_current(&snapshot, revision));
    let compiled = match known {
        Some(known) => known,
        None => {
            let Ok(Some(compiled)) = RowInsert::compile(session, insert, *overriding, statement) else {
                return Ok(None);
            };
            let compiled = Arc::new(compiled);
            *row_insert.0.lock() = Some(Arc::clone(&compiled));
            compiled
        }
    };
    if types.len() != parameters.len() {
        return Ok(None);
    }
    let style = session.output_style();
    let Some(rows) = compiled.values(&CellReader { types, parameters, style: &style }) else { return Ok(None) };
    let mut waiting = match session.take_waiting(&compiled.definition) {
        Some(waiting) => waiting,
        None => {
            if session.transaction.as_ref().is_some_and(|transaction| transaction.waiting.len() >= TABLES_MAX) {
                settle(session).await?;
            }
            WaitingRows::new(&engine, &compiled.rules, session.inline_bytes(), base)?
        }
    };
    let mut admitted = Some(rows);
    if compiled.is_strict()
        && let (Some(rows), Some(version)) = (admitted.take(), snapshot.tables.get(&compiled.definition.id))
    {
        (waiting, admitted) = judge(&engine, waiting, version, rows).await?;
    }
    let count = admitted.as_ref().map(|rows| rows.len() as u64);
    waiting.add(admitted.unwrap_or_default());
    if waiting.is_full() {
        let work = engine.compute().spawn_blocking(move || {
            waiting.gather()?;
            Ok(waiting)
        });
        waiting = joined(work.await)?;
    }
    session.transaction.as_mut().ok_or_else(lost)?.waiting.push(waiting);
    Ok(count)
}

/// Holds rows against the rules and keys of their table, and gives them with what is computed for them; none where they are refused,
/// or may be.
async fn judge(
    engine: &Arc<Engine>,
    mut waiting: WaitingRows,
    version: &Arc<TableVersion>,
    rows: Vec<Row>,
) -> Result<(WaitingRows, Option<Vec<Row>>), QueryError> {
    let column = |position: usize| ScalarValue::iter_to_array(rows.iter().map(|row| row[position].clone()));
    let columns = (0..waiting.values.len()).map(column).collect::<Result<Vec<ArrayRef>, _>>();
    let columns = columns.map_err(|error| translate(error, None))?;
    let Ok(checked) = waiting.rules.checked(columns) else { return Ok((waiting, None)) };
    if !waiting.keys.is_empty() {
        let keys = waiting.keys.of_rows(&engine.memory_pool(), &checked)?;
        let is_free = if keys.meets_segments(version) {
            let (engine, version) = (Arc::clone(engine), Arc::clone(version));
            let work = engine.compute().clone().spawn_blocking(move || {
                let is_free = waiting.keys.admit(&engine.keys, &version, keys)?;
                Ok((waiting, is_free))
            });
            let (judged, is_free) = joined(work.await)?;
            waiting = judged;
            is_free
        } else {
            waiting.keys.admit(&engine.keys, version, keys)?
        };
        if !is_free {
            return Ok((waiting, None));
        }
    }
    if !waiting.rules.has_expressions() {
        return Ok((waiting, Some(rows)));
    }
    let row = |row: usize| checked.columns().iter().map(|array| ScalarValue::try_from_array(array, row)).collect();
    let rows: Result<Vec<Row>, _> = (0..checked.num_rows()).map(row).collect();
    Ok((waiting, Some(rows.map_err(|error| translate(error, None))?)))
}

/// Makes a change of the rows that wait, before a statement that could see them or the end of the transaction.
pub(crate) async fn settle(session: &mut Session) -> Result<(), QueryError> {
    let Some(transaction) = session.transaction.as_mut().filter(|transaction| !transaction.waiting.is_empty()) else {
        return Ok(());
    };
    for waiting in std::mem::take(&mut transaction.waiting) {
        let (engine, checked) = (Arc::clone(&session.engine), Arc::clone(&waiting.checked));
        let is_small = waiting.intake.as_ref().is_some_and(Intake::is_empty);
        let change = match is_small {
            true => waiting.settled(&engine)?,
            false => {
                let work = session.engine.compute().spawn_blocking(move || waiting.settled(&engine));
                joined(work.await)?
            }
        };
        session.transaction.as_mut().ok_or_else(lost)?.add_rows(change, &checked);
    }
    Ok(())
}

/// What is known of a prepared INSERT; empty before it is first run.
#[derive(Debug, Default)]
pub(crate) struct KnownRowInsert(parking_lot::Mutex<Option<Arc<RowInsert>>>);
