//! The receiving end of a COPY: decoded chunks in the order of the data become checked rows of the table.
//!
//! ```text
//! Decoded ─▶ missing columns filled ─▶ WHERE ─▶ NOT NULL and the like ─▶ ON_CONFLICT ─▶ Intake
//!     └─ records that could not be read ──────────────┴─▶ skipped, or into the table of rejects
//! ```
//!
//! Without a table of rejects a row that breaks a rule of its table ends the load, as in PostgreSQL; with one it goes there.

use crate::column_defaults::{DefaultValue, Numbering, Numbers, numbering_of};
use crate::copy_format::{Chunk, CopyDecoder, CopyOptions, Decoded, LogVerbosity, Rejected};
use crate::copy_lines::Lines;
use crate::copy_progress::CopyProgress;
use crate::copy_rejects::RejectTable;
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::intake::{Intake, Taken};
use crate::keys::loading::LoadedKeys;
use crate::planner::Planning;
use crate::row_filter::RowFilter;
use crate::row_rules::{RowRules, Violation};
use crate::transaction::Change;
use crate::types::OutputStyle;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter, filter_record_batch};
use arrow::datatypes::{Field, Schema};
use catalog::definition::TableDefinition;
use parking_lot::Mutex;
use std::sync::Arc;

/// Notices that may wait for the client; what is beyond them is in the table of rejects, or counted.
const NOTICES_WAITING_MAX: usize = 10_000;

/// Everything that stands between a decoded chunk and the intake.
pub(crate) struct CopyTarget {
    pub decoder: Arc<CopyDecoder>,
    pub filler: Filler,
    pub filter: Option<RowFilter>,
    pub rules: Arc<RowRules>,
    pub lines: Lines,
    pub intake: Intake,
    /// What it does with keys that are there already, where that is no error.
    pub keys: Option<LoadedKeys>,
    pub skips: Skips,
    pub reject_table: Option<RejectTable>,
    pub progress: Arc<CopyProgress>,
    pub engine: Arc<Engine>,
}

/// What a COPY did.
pub(crate) struct Loaded {
    /// The rows, whose keys are still to be checked.
    pub taken: Taken,
    pub keys: Option<LoadedKeys>,
    pub lines: Lines,
    /// What adds the rejects to their table.
    pub rejects: Change,
    pub rejected: u64,
}

impl CopyTarget {
    /// Takes the next chunk of the data. CPU-bound.
    pub(crate) fn push(&mut self, chunk: &Chunk, mut decoded: Decoded) -> Result<(), QueryError> {
        let mut rejected = std::mem::take(&mut decoded.rejected);
        let (columns, numbers) = self.filler.fill(&decoded)?;
        let mut rows = Rows { columns, count: decoded.batch.num_rows(), records: decoded.records.take() };
        if let Some(filter) = &self.filter {
            let before = rows.count;
            self.choose(filter, chunk, &mut rows, &mut rejected)?;
            self.progress.add_excluded(before - rows.count);
        }
        let mut sound = Vec::new();
        match self.rules.checked(rows.columns.clone()) {
            Ok(batch) => sound.push(batch),
            Err(violation) if self.is_rejected(&violation) => {
                rows.records = Some(self.check_around(chunk, &rows, violation, &mut sound, &mut rejected)?);
            }
            Err(violation) => {
                if let Some(numbers) = numbers.filter(|_| rows.records.is_none()) {
                    numbers.give_back_behind(&violation);
                }
                let record = rows.record_of(violation.row);
                let Some(position) = violation.domain else {
                    return Err(self.in_context(violation.error, chunk, record));
                };
                let column = &self.rules.definition().columns[position].name;
                return Err(violation.error.context(self.decoder.context_of_field(chunk, record, column)));
            }
        }
        self.skips.note(&rejected)?;
        if let Some(table) = &mut self.reject_table {
            rejected.sort_by_key(|rejected| rejected.line);
            table.push(&rejected, &self.engine)?;
        }
        for batch in sound {
            let batch = match &mut self.keys {
                Some(keys) => admitted(keys, batch, &mut rows)?,
                None => batch,
            };
            self.progress.add_rows(batch.num_rows());
            self.lines.note(&self.decoder, chunk, batch.num_rows(), rows.records.as_deref());
            self.intake.push(batch)?;
        }
        decoded.failure.map_or(Ok(()), Err)
    }

    /// The data has ended: the last segments are written. CPU-bound.
    pub(crate) fn finish(self) -> Result<Loaded, QueryError> {
        let taken = self.intake.finish(&self.engine)?;
        let rejects = self.reject_table.map_or_else(|| Ok(Change::default()), |table| table.finish(&self.engine))?;
        Ok(Loaded { taken, keys: self.keys, lines: self.lines, rejects, rejected: self.skips.skipped })
    }

    /// Keeps the rows that WHERE is true of.
    fn choose(
        &self,
        row_filter: &RowFilter,
        chunk: &Chunk,
        rows: &mut Rows,
        rejected: &mut Vec<Rejected>,
    ) -> Result<(), QueryError> {
        let batch = rows.unchecked(self.rules.definition())?;
        let chosen = match row_filter.chosen(&batch) {
            Ok(chosen) => chosen,
            Err(failure) if self.decoder.rejects_all() => {
                let mut chosen = Vec::with_capacity(rows.count);
                let mut broken = Vec::new();
                for row in 0..rows.count {
                    chosen.push(match row_filter.chosen(&batch.slice(row, 1)) {
                        Ok(one) => one.value(0),
                        Err(failure) => {
                            broken.push((rows.record_of(row), failure.error));
                            false
                        }
                    });
                }
                rejected.extend(self.decoder.rejects(chunk, broken));
                debug_assert!(!chosen[failure.row]);
                BooleanArray::from(chosen)
            }
            Err(failure) => return Err(self.in_context(failure.error, chunk, rows.record_of(failure.row))),
        };
        rows.keep(&chosen)
    }

    /// Checks rows of which some break a rule: halves that are sound pass as a whole. Returns the records of the rows that are left.
    fn check_around(
        &self,
        chunk: &Chunk,
        rows: &Rows,
        violation: Violation,
        sound: &mut Vec<RecordBatch>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Vec<u32>, QueryError> {
        let mut kept = Vec::with_capacity(rows.count);
        let mut violation = Some(violation);
        let mut ranges = vec![(0, rows.count)];
        let (mut pieces, mut broken) = (Vec::new(), Vec::new());
        while let Some((start, length)) = ranges.pop() {
            let outcome = match violation.take() {
                Some(known) => Err(known),
                None => self.rules.checked(rows.slice(start, length)),
            };
            match outcome {
                Ok(batch) => {
                    kept.extend((start..start + length).map(|row| rows.record_of(row) as u32));
                    pieces.push(batch);
                }
                Err(violation) if length == 1 && !self.is_rejected(&violation) => {
                    return Err(self.in_context(violation.error, chunk, rows.record_of(start)));
                }
                Err(violation) if length == 1 => broken.push((rows.record_of(start), violation.error)),
                Err(_) => {
                    let half = length / 2;
                    ranges.push((start + half, length - half));
                    ranges.push((start, half));
                }
            }
        }
        // All at once: each would be looked for from the chunk's beginning.
        rejected.extend(self.decoder.rejects(chunk, broken));
        let schema = self.rules.definition().schema();
        sound.push(concat_batches(&schema, &pieces).map_err(|error| translate(error.into(), None))?);
        Ok(kept)
    }

    /// Whether a row that breaks a rule is left out: a value that is none of its domain is like one that cannot be read.
    fn is_rejected(&self, violation: &Violation) -> bool {
        self.decoder.rejects_all() || (violation.domain.is_some() && self.decoder.ignores_errors())
    }

    fn in_context(&self, error: QueryError, chunk: &Chunk, record: usize) -> QueryError {
        let context = self.decoder.context_of(chunk, record);
        error.context(context)
    }
}

/// The rows of a batch whose keys are free; `rows` loses the records of the others.
fn admitted(keys: &mut LoadedKeys, batch: RecordBatch, rows: &mut Rows) -> Result<RecordBatch, QueryError> {
    let Some(chosen) = keys.admit(&batch)? else { return Ok(batch) };
    let records = (0..batch.num_rows()).filter(|row| chosen.value(*row)).map(|row| rows.record_of(row) as u32);
    rows.records = Some(records.collect());
    filter_record_batch(&batch, &chosen).map_err(|error| translate(error.into(), None))
}

/// Rows in the table's columns, before they are checked.
struct Rows {
    columns: Vec<ArrayRef>,
    count: usize,
    /// For each row its record in the chunk, where not every record is a row.
    records: Option<Vec<u32>>,
}

impl Rows {
    fn record_of(&self, row: usize) -> usize {
        self.records.as_ref().map_or(row, |records| records[row] as usize)
    }

    fn slice(&self, start: usize, length: usize) -> Vec<ArrayRef> {
        self.columns.iter().map(|column| column.slice(start, length)).collect()
    }

    /// The rows as a batch that may have nulls anywhere.
    fn unchecked(&self, definition: &TableDefinition) -> Result<RecordBatch, QueryError> {
        let nullable = |field: &Arc<Field>| Field::clone(field).with_nullable(true);
        let fields: Vec<Field> = definition.schema().fields().iter().map(nullable).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), self.columns.clone())
            .map_err(|error| translate(error.into(), None))
    }

    fn keep(&mut self, chosen: &BooleanArray) -> Result<(), QueryError> {
        if chosen.true_count() == self.count {
            return Ok(());
        }
        for column in &mut self.columns {
            *column = filter(column, chosen).map_err(|error| translate(error.into(), None))?;
        }
        let records = (0..self.count).filter(|row| chosen.value(*row)).map(|row| self.record_of(row) as u32);
        self.records = Some(records.collect());
        self.count = chosen.true_count();
        Ok(())
    }
}

/// Counts and tells of records that were skipped.
pub(crate) struct Skips {
    skipped: u64,
    limit: Option<u64>,
    verbosity: LogVerbosity,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl Skips {
    pub(crate) fn new(options: &CopyOptions, notices: Arc<Mutex<Vec<Notice>>>) -> Self {
        Self { skipped: 0, limit: options.reject_limit, verbosity: options.log_verbosity, notices }
    }

    fn note(&mut self, rejected: &[Rejected]) -> Result<(), QueryError> {
        for rejected in rejected {
            self.skipped += 1;
            if let Some(limit) = self.limit
                && self.skipped > limit
            {
                let message = format!("skipped more than REJECT_LIMIT ({limit}) rows due to data type incompatibility");
                let error = QueryError::new(ErrorKind::InvalidTextRepresentation, message);
                return Err(error.context(rejected.error.context.clone().unwrap_or_default()));
            }
            if self.verbosity == LogVerbosity::Verbose {
                self.tell(rejected);
            }
        }
        Ok(())
    }

    fn tell(&self, rejected: &Rejected) {
        let line = rejected.line;
        let message = match &rejected.column {
            Some((column, value)) => format!(
                "skipping row due to data type incompatibility at line {line} for column \"{column}\": \"{}\"",
                crate::copy_format::displayed(value)
            ),
            None => format!("skipping row at line {line}: {}", rejected.error.message),
        };
        let mut notices = self.notices.lock();
        if notices.len() < NOTICES_WAITING_MAX {
            let severity = NoticeSeverity::Notice;
            notices.push(Notice { severity, kind: None, message, detail: None, hint: None });
        }
    }
}

/// Puts decoded columns in the table's order and fills in defaults.
pub(crate) struct Filler {
    /// For each column of the table its index in the data.
    sources: Vec<Option<usize>>,
    /// For each column of the table its default, where it may be needed and is no number.
    defaults: Vec<Option<DefaultValue>>,
    numbering: Numbering,
}

impl Filler {
    /// `marked` says that any value of the data may ask for its column's default.
    pub(crate) fn new(
        planning: &Planning,
        definition: &TableDefinition,
        listed: &[usize],
        marked: bool,
        style: &OutputStyle,
    ) -> Result<Self, QueryError> {
        let (mut sources, mut defaults, mut numbered) = (Vec::new(), Vec::new(), Vec::new());
        for (position, column) in definition.columns.iter().enumerate() {
            let source = listed.iter().position(|listed| *listed == position);
            sources.push(source);
            if source.is_some() && !(marked && column.missing_value().is_some()) {
                defaults.push(None);
                continue;
            }
            if numbering_of(column).is_some() {
                numbered.push(position);
                defaults.push(None);
            } else {
                defaults.push(Some(DefaultValue::of(planning, column, style)?));
            }
        }
        Ok(Self { sources, defaults, numbering: Numbering::of(planning, definition, numbered).by_rows() })
    }

    /// The table's columns, and the numbers among them.
    fn fill(&self, decoded: &Decoded) -> Result<(Vec<ArrayRef>, Option<Numbers>), QueryError> {
        let rows = decoded.batch.num_rows();
        let marked: Vec<Option<Vec<bool>>> = self.sources.iter().map(|source| marks(decoded, (*source)?)).collect();
        let numbers = match self.numbering.is_empty() {
            true => None,
            false => Some(self.numbering.take(rows, |position, row| {
                self.sources[position].is_none() || marked[position].as_ref().is_some_and(|marked| marked[row])
            })?),
        };
        let number = |position: usize| {
            let mut columns = numbers.iter().flat_map(|numbers| &numbers.columns);
            columns.find(|(of, _)| *of == position).map(|(_, array)| Arc::clone(array))
        };
        let arrays = self.sources.iter().zip(&self.defaults).enumerate().map(|(position, (source, default))| {
            let default = || default.as_ref().map(|default| default.array(rows)).or_else(|| number(position).map(Ok));
            match (source, &marked[position]) {
                (Some(index), None) => Ok(Arc::clone(decoded.batch.column(*index))),
                (Some(index), Some(marked)) => {
                    let (column, default) = (decoded.batch.column(*index), default().ok_or_else(without_source)??);
                    arrow::compute::kernels::zip::zip(&BooleanArray::from(marked.clone()), &default, column)
                        .map_err(|error| translate(error.into(), None))
                }
                (None, _) => default().ok_or_else(without_source)?,
            }
        });
        let arrays = arrays.collect::<Result<Vec<ArrayRef>, QueryError>>()?;
        Ok((arrays, numbers))
    }
}

/// The rows that ask for the default of a column of the data; `None` where none does.
fn marks(decoded: &Decoded, index: usize) -> Option<Vec<bool>> {
    let mut own = decoded.defaults.iter().filter(|(_, column)| *column == index).peekable();
    own.peek()?;
    let mut marked = vec![false; decoded.batch.num_rows()];
    own.for_each(|(row, _)| marked[*row] = true);
    Some(marked)
}

fn without_source() -> QueryError {
    QueryError::new(ErrorKind::Internal, "a column of COPY has no source")
}
