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
//! What needs more than values takes the long way, `insert`: defaults that are computed, other than the next number of a sequence,
//! RETURNING of more than columns, ON CONFLICT. So does every row with an error in it and every row whose key may be taken, so that
//! errors are worded in one place; it gets the numbers that the row was given here.
//!
//! A session remembers the shape of its last such INSERT: the next one into the same columns is only read for its values. Where it has
//! the same text before them, it is not even parsed (`texts`).

use crate::bound_parameters::BoundParameters;
use crate::column_defaults::numbering_of;
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::execution::joined;
use crate::functions::SequenceNumbers;
use crate::insert::{Cell, CellReader};
use crate::intake::{BATCH_ROWS, Intake};
use crate::operators::casts::out_of_range;
use crate::response::{ParameterValue, ResultColumn};
use crate::session::Session;
use crate::statement::{Overriding, Statement, StatementKind};
use crate::types::NAME_BYTES_MAX;
use arrow::array::{ArrayRef, RecordBatch};
use catalog::definition::Column;
use catalog::ids::ObjectId;
use catalog::snapshot::{Snapshot, TableVersion};
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use std::collections::BTreeSet;
use std::sync::Arc;

mod parameters;
mod shapes;
mod texts;
mod values;
mod waiting;

use parameters::Parameters;
pub(crate) use shapes::Shape;
use shapes::{Source, Written, is_numbered, width};
pub(crate) use texts::Head;
use values::Given;
pub(crate) use waiting::WaitingRows;
use waiting::lost;

/// A statement with more rows is run by itself.
const STATEMENT_ROWS_MAX: usize = 1_024;
/// So many rows wait as values before they become arrays: a batch that need not be put together with others.
const VALUES_ROWS_MAX: usize = BATCH_ROWS;
/// So much memory may values take before they become arrays.
const VALUES_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Rows of so many tables may wait in a transaction; those of all go inline into one record of the log.
const TABLES_MAX: usize = 8;

/// A row's values by column, in the columns' own Arrow types.
type Row = Vec<ScalarValue>;

/// An INSERT of constants and parameters, resolved.
#[derive(Debug)]
pub struct RowInsert {
    shape: Arc<Shape>,
    rows: Vec<Vec<Cell>>,
}

/// A row's place and column that wait for a number.
struct Numbered {
    row: usize,
    position: usize,
    sequence: ObjectId,
}

impl RowInsert {
    /// What the statement returns.
    pub(crate) fn columns(&self) -> Option<Vec<ResultColumn>> {
        self.shape.returned.as_ref().map(|returned| returned.columns.clone())
    }

    /// The numbers of the parameters that its rows have.
    fn parameters(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().flatten().filter_map(|cell| match cell {
            Cell::Parameter(number) => Some(*number),
            Cell::Cast(cast) => cast.parameter(),
            _ => None,
        })
    }

    /// The rows of an execution, and which of their values are numbers that are still to be taken; `None` where a value is none or not one
    /// that its column takes.
    fn values(&self, cells: &CellReader<'_>) -> Option<(Vec<Row>, Vec<Numbered>)> {
        let mut numbered = Vec::new();
        let mut rows = Vec::with_capacity(self.rows.len());
        for (row, given) in self.rows.iter().enumerate() {
            let mut values = Row::with_capacity(self.shape.sources.len());
            let columns = self.shape.sources.iter().zip(&self.shape.definition.columns);
            for (position, (source, column)) in columns.enumerate() {
                let sequence = match source {
                    Source::Number(sequence) => Some(*sequence),
                    Source::Given(place) if matches!(given[*place], Cell::Default) => numbering_of(column),
                    _ => None,
                };
                if let Some(sequence) = sequence {
                    numbered.push(Numbered { row, position, sequence });
                    values.push(ScalarValue::Null);
                    continue;
                }
                let value = match source {
                    Source::Given(place) => cells.value(&given[*place], column).ok()?,
                    Source::Default(value) => value.clone(),
                    Source::Number(_) => ScalarValue::Null,
                };
                if !is_taken(&value, column) {
                    return None;
                }
                values.push(value);
            }
            rows.push(values);
        }
        Some((rows, numbered))
    }

    /// The rows of an execution, one behind the other; `None` where a value is none, not one that its column takes, or a number that is
    /// still to be taken.
    fn given<'a>(&self, parameters: &Parameters<'a>) -> Option<Vec<Given<'a>>> {
        let Shape { definition, sources, .. } = self.shape.as_ref();
        let mut values = Vec::with_capacity(self.rows.len() * sources.len());
        for row in &self.rows {
            for (source, column) in sources.iter().zip(&definition.columns) {
                let value = match source {
                    Source::Given(place) => parameters.given(&row[*place], column)?,
                    Source::Default(value) => Given::Scalar(value.clone()),
                    Source::Number(_) => return None,
                };
                if let Given::Scalar(value) = &value
                    && !is_taken(value, column)
                {
                    return None;
                }
                values.push(value);
            }
        }
        Some(values)
    }
}

/// Adds the rows of an INSERT to those of its table that wait in the transaction, or begins with them where none do, if nothing stands
/// against it and nothing has to be waited for. Otherwise nothing has happened: `None`.
pub(crate) fn add_at_once(
    session: &mut Session,
    row_insert: &KnownRowInsert,
    types: &[SqlType],
    parameters: &BoundParameters,
) -> Result<Option<u64>, QueryError> {
    let Some(known) = row_insert.plain().filter(|_| types.len() == parameters.len()) else { return Ok(None) };
    let (revision, style) = (session.settings.revision(), session.output_style());
    let Some(transaction) = session.transaction.as_mut().filter(|open| !open.failed && !open.is_read_only()) else {
        return Ok(None);
    };
    let is_same = |waiting: &WaitingRows| Arc::ptr_eq(waiting.definition(), &known.shape.definition);
    let place = transaction.waiting.iter().position(is_same);
    if place.is_none() && !transaction.waiting.is_empty() {
        return Ok(None);
    }
    let snapshot = transaction.snapshot(&session.engine)?;
    if !known.shape.is_current(&snapshot, revision) {
        return Ok(None);
    }
    let rows = known.rows.len();
    // What fills them up is put away by a computing thread.
    let is_full =
        |waiting: &WaitingRows| waiting.len() + rows >= VALUES_ROWS_MAX || waiting.values_bytes >= VALUES_BYTES_MAX;
    if place.is_some_and(|place| is_full(&transaction.waiting[place])) {
        return Ok(None);
    }
    let Some(given) = known.given(&Parameters::new(parameters, types, &style)) else { return Ok(None) };
    match place {
        Some(place) => transaction.waiting[place].add(given)?,
        None => {
            let base = transaction.base().unwrap_or(snapshot);
            let inline_bytes = transaction.inline_bytes();
            let mut waiting = WaitingRows::new(&session.engine, &known.shape.rules, inline_bytes, base)?;
            waiting.add(given)?;
            if waiting.is_full() {
                return Ok(None);
            }
            transaction.waiting.push(waiting);
        }
    }
    Ok(Some(rows as u64))
}

/// The statement of a shape that the session knows, resolved, where its values are all there.
pub(crate) fn known(
    session: &mut Session,
    insert: &ast::Insert,
    overriding: Overriding,
    statement: &Statement,
) -> Option<Arc<RowInsert>> {
    let shape = known_shape(session, insert, overriding, width(insert)?)?;
    let known = shape.read(insert, statement, &[]).ok()??;
    if known.parameters().next().is_some() {
        return None;
    }
    if !session.row_head.as_ref().is_some_and(|head| head.is_of(&known)) {
        session.row_head = Head::of(statement, &known);
    }
    Some(Arc::new(known))
}

fn known_shape(
    session: &mut Session,
    insert: &ast::Insert,
    overriding: Overriding,
    width: usize,
) -> Option<Arc<Shape>> {
    let engine = Arc::clone(&session.engine);
    let revision = session.settings.revision();
    let snapshot = session.transaction.as_mut()?.snapshot(&engine).ok()?;
    let shape = session.row_shape.clone()?;
    (shape.written.fits(insert, overriding, width) && shape.is_current(&snapshot, revision)).then_some(shape)
}

fn compile(
    session: &mut Session,
    insert: &ast::Insert,
    overriding: Overriding,
    statement: &Statement,
    types: &[SqlType],
) -> Result<Option<RowInsert>, QueryError> {
    let Some(width) = width(insert) else { return Ok(None) };
    let shape = match known_shape(session, insert, overriding, width) {
        Some(shape) => shape,
        None => match Shape::resolve(session, Written::of(insert, overriding, width), insert, statement)? {
            Some(shape) => {
                let shape = Arc::new(shape);
                session.row_shape = Some(Arc::clone(&shape));
                shape
            }
            None => return Ok(None),
        },
    };
    shape.read(insert, statement, types)
}

/// Whether a column surely takes a value as it is.
fn is_taken(value: &ScalarValue, column: &Column) -> bool {
    let length = || value.try_as_str().flatten().map_or(0, str::len);
    let fits = match &column.sql_type {
        SqlType::Varchar { length_max: Some(limit) } => length() <= *limit as usize,
        SqlType::Bpchar { length: Some(limit) } => length() <= *limit as usize,
        SqlType::Name => length() <= NAME_BYTES_MAX,
        _ => true,
    };
    fits && !(column.not_null && value.is_null())
}

/// What an INSERT has added.
pub(crate) struct Added {
    pub rows: u64,
    /// What RETURNING gives.
    pub returned: Option<(Vec<ResultColumn>, RecordBatch)>,
}

/// Adds the rows of an INSERT to those that wait; `None` for one that takes the long way.
pub(crate) async fn add(
    session: &mut Session,
    row_insert: &KnownRowInsert,
    statement: &Statement,
    types: &[SqlType],
    parameters: &[ParameterValue],
) -> Result<Option<Added>, QueryError> {
    let StatementKind::Insert(insert, overriding) = &statement.kind else { return Ok(None) };
    let engine = Arc::clone(&session.engine);
    let Some(transaction) = session.transaction.as_mut().filter(|transaction| !transaction.is_read_only()) else {
        return Ok(None);
    };
    let snapshot = transaction.snapshot(&engine)?;
    let revision = session.settings.revision();
    let known = row_insert.0.lock().clone().filter(|known| known.shape.is_current(&snapshot, revision));
    let compiled = match known {
        Some(known) => known,
        None => {
            let Ok(Some(compiled)) = compile(session, insert, *overriding, statement, types) else {
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
    add_rows(session, &compiled, snapshot, types, parameters).await
}

/// Adds rows that were read from a text to those that wait; `None` where they take the long way.
pub(crate) async fn add_read(session: &mut Session, read: &RowInsert) -> Result<Option<Added>, QueryError> {
    let engine = Arc::clone(&session.engine);
    let revision = session.settings.revision();
    let Some(transaction) = session.transaction.as_mut().filter(|transaction| !transaction.is_read_only()) else {
        return Ok(None);
    };
    let snapshot = transaction.snapshot(&engine)?;
    if !read.shape.is_current(&snapshot, revision) {
        return Ok(None);
    }
    add_rows(session, read, snapshot, &[], &[]).await
}

async fn add_rows(
    session: &mut Session,
    compiled: &RowInsert,
    snapshot: Arc<Snapshot>,
    types: &[SqlType],
    parameters: &[ParameterValue],
) -> Result<Option<Added>, QueryError> {
    let engine = Arc::clone(&session.engine);
    let base = session.committed().unwrap_or_else(|| Arc::clone(&snapshot));
    let shape = &compiled.shape;
    let style = session.output_style();
    let Some((mut rows, numbered)) = compiled.values(&CellReader { types, parameters, style: &style }) else {
        return Ok(None);
    };
    if is_refused_at_once(shape, &rows, &numbered)? {
        return Ok(None);
    }
    let mut numbers = Taken::new();
    if number(session, &snapshot, shape, (&mut rows, &numbered), &mut numbers).await.is_err() {
        session.numbers.lock().keep_for_retry(numbers);
        return Ok(None);
    }
    let mut waiting = match session.take_waiting(&shape.definition) {
        Some(waiting) => waiting,
        None => {
            if session.transaction.as_ref().is_some_and(|transaction| transaction.waiting.len() >= TABLES_MAX) {
                settle(session).await?;
            }
            WaitingRows::new(&engine, &shape.rules, session.inline_bytes(), base)?
        }
    };
    let mut added = Added { rows: rows.len() as u64, returned: None };
    let mut is_admitted = true;
    match snapshot.tables.get(&shape.definition.id).filter(|_| shape.is_strict()) {
        None => waiting.add(rows.into_iter().flatten().map(Given::Scalar))?,
        Some(version) => {
            let (judged, admitted) = judge(&engine, waiting, version, rows).await?;
            waiting = judged;
            match admitted {
                Some((rows, checked)) => {
                    waiting.add(rows.into_iter().flatten().map(Given::Scalar))?;
                    added.returned = shape.returned.as_ref().map(|returned| returned.of(&checked)).transpose()?;
                }
                None => {
                    session.numbers.lock().keep_for_retry(numbers);
                    is_admitted = false;
                }
            }
        }
    }
    if waiting.is_full() {
        let work = engine.compute().spawn_blocking(move || {
            waiting.gather()?;
            Ok(waiting)
        });
        waiting = joined(work.await)?;
    }
    session.transaction.as_mut().ok_or_else(lost)?.waiting.push(waiting);
    Ok(is_admitted.then_some(added))
}

/// Whether a domain refuses the first row before it is given a number.
fn is_refused_at_once(shape: &Shape, rows: &[Row], numbered: &[Numbered]) -> Result<bool, QueryError> {
    let Some(first) = rows.first().filter(|_| !numbered.is_empty()) else { return Ok(false) };
    let given = shape.rules.domain_positions().filter(|position| numbered.iter().all(|one| one.position != *position));
    let values = given.map(|position| first[position].to_array().map(|array| (position, array)));
    let values = values.collect::<Result<Vec<_>, _>>().map_err(|error| translate(error, None))?;
    Ok(shape.rules.refused_at_once(values.iter().map(|(position, array)| (*position, array))).is_some())
}

/// Numbers of sequences that rows were given.
type Taken = Vec<(ObjectId, Vec<i64>)>;

/// Takes the numbers that rows wait for, row by row. After an error `taken` are those that were.
async fn number(
    session: &Session,
    snapshot: &Arc<Snapshot>,
    shape: &Shape,
    (rows, numbered): (&mut [Row], &[Numbered]),
    taken: &mut Taken,
) -> Result<(), QueryError> {
    if numbered.is_empty() {
        return Ok(());
    }
    let sequences = Arc::new(session.sequences(snapshot));
    let different: BTreeSet<ObjectId> = numbered.iter().map(|one| one.sequence).collect();
    for sequence in different {
        let places: Vec<&Numbered> = numbered.iter().filter(|one| one.sequence == sequence).collect();
        let numbers = match sequences.next_at_hand(sequence, places.len())? {
            Some(numbers) => numbers,
            None => {
                let (sequences, count) = (Arc::clone(&sequences), places.len());
                let work = session.engine.compute().spawn_blocking(move || sequences.next(sequence, count));
                joined(work.await)?
            }
        };
        let values = places.into_iter().zip(&numbers).map(|(place, number)| {
            let sql_type = &shape.definition.columns[place.position].sql_type;
            Ok((place, integer(*number, sql_type).ok_or_else(|| out_of_range(sql_type))?))
        });
        let values: Result<Vec<_>, QueryError> = values.collect();
        taken.push((sequence, numbers));
        for (place, value) in values? {
            rows[place.row][place.position] = value;
        }
    }
    Ok(())
}

/// A number in the Arrow type of an integer column.
fn integer(number: i64, sql_type: &SqlType) -> Option<ScalarValue> {
    match sql_type {
        SqlType::Int2 => i16::try_from(number).ok().map(ScalarValue::from),
        SqlType::Int4 => i32::try_from(number).ok().map(ScalarValue::from),
        _ => Some(ScalarValue::from(number)),
    }
}

/// Holds rows against the rules and keys of their table, and gives them with what is computed for them, also as a batch; none where they
/// are refused, or may be.
async fn judge(
    engine: &Arc<Engine>,
    mut waiting: WaitingRows,
    version: &Arc<TableVersion>,
    rows: Vec<Row>,
) -> Result<(WaitingRows, Option<(Vec<Row>, RecordBatch)>), QueryError> {
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
        return Ok((waiting, Some((rows, checked))));
    }
    let row = |row: usize| checked.columns().iter().map(|array| ScalarValue::try_from_array(array, row)).collect();
    let rows: Result<Vec<Row>, _> = (0..checked.num_rows()).map(row).collect();
    Ok((waiting, Some((rows.map_err(|error| translate(error, None))?, checked))))
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

impl KnownRowInsert {
    /// The INSERT, where nothing is asked of its rows but their values.
    fn plain(&self) -> Option<Arc<RowInsert>> {
        self.0.lock().clone().filter(|known| !known.shape.is_strict())
    }

    /// Whether [`add_at_once`] may do with its parameters as they came.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|known| !known.shape.is_strict())
    }

    /// Whether [`add_at_once`] reads each of so many parameters.
    pub(crate) fn reads_all(&self, parameters: usize) -> bool {
        let Some(known) = self.plain() else { return false };
        let mut read = vec![false; parameters];
        for number in known.parameters() {
            if let Some(is_read) = read.get_mut(number - 1) {
                *is_read = true;
            }
        }
        read.into_iter().all(|is_read| is_read)
    }
}

impl From<Arc<RowInsert>> for KnownRowInsert {
    fn from(known: Arc<RowInsert>) -> Self {
        Self(parking_lot::Mutex::new(Some(known)))
    }
}
