//! Intake: rows on their way into a table, from INSERT and COPY alike.
//!
//! A few rows stay in memory and go inline into the log record. More than that are staged as segments while they still
//! arrive, so memory stays bounded whatever the size. Either way nothing is visible before the commit that names them.

use crate::engine::{Engine, storage_error};
use crate::error::{ErrorKind, QueryError};
use crate::transaction::Change;
use crate::types::{OutputStyle, value_text};
use arrow::array::{Array, ArrayRef, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use catalog::definition::{Column, TableDefinition};
use catalog::draft::Op;
use catalog::sql_type::SqlType;
use std::path::Path;
use std::sync::Arc;
use storage::staging::Staging;

/// Rows that one commit may put inline into the log.
const INLINE_ROWS_MAX: usize = 8_192;
/// Bytes in memory that one commit may put inline into the log.
const INLINE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that a transaction's earlier statements may have put inline; beyond it rows are staged from the first one on.
const INLINE_TRANSACTION_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Memory for rows that wait for their segment.
const STAGING_BYTES: usize = 512 * 1024 * 1024;

/// Takes batches of a table's schema, checks them and stages them.
pub(crate) struct Intake {
    definition: Arc<TableDefinition>,
    data_dir: Arc<Path>,
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
    inline_bytes_max: usize,
    staging: Option<Staging>,
    rows: u64,
}

impl Intake {
    pub(crate) fn new(engine: &Engine, definition: Arc<TableDefinition>) -> Self {
        Self {
            definition,
            data_dir: Arc::from(engine.catalog.data_dir()),
            waiting: Vec::new(),
            waiting_bytes: 0,
            inline_bytes_max: INLINE_BYTES_MAX,
            staging: None,
            rows: 0,
        }
    }

    /// The same beside rows that the transaction has put inline before.
    pub(crate) fn beside(mut self, inline_bytes: usize) -> Self {
        if inline_bytes > INLINE_TRANSACTION_BYTES_MAX {
            self.inline_bytes_max = 0;
        }
        self
    }

    /// Takes rows that are already checked. CPU-bound.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), QueryError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        if let Some(staging) = &mut self.staging {
            return staging.push(batch).map_err(storage_error);
        }
        self.waiting_bytes += batch.get_array_memory_size();
        self.waiting.push(batch);
        let large = self.waiting_bytes > self.inline_bytes_max && (self.rows > 1 || self.inline_bytes_max == 0);
        if self.rows as usize > INLINE_ROWS_MAX || large {
            let mut staging = Staging::new(Arc::clone(&self.data_dir), Arc::clone(&self.definition), STAGING_BYTES);
            for batch in self.waiting.drain(..) {
                staging.push(batch).map_err(storage_error)?;
            }
            self.staging = Some(staging);
        }
        Ok(())
    }

    /// The rows taken and the change that adds them. CPU-bound: the last segments are written and synced here.
    pub(crate) fn finish(self, engine: &Engine) -> Result<(u64, Change), QueryError> {
        let table = self.definition.id;
        if let Some(staging) = self.staging {
            let staged = staging.finish().map_err(storage_error)?;
            let ops = vec![Op::AddSegments { table, segments: staged.metas() }];
            return Ok((self.rows, Change { ops, staged: vec![staged], holds: Vec::new() }));
        }
        if self.waiting.is_empty() {
            return Ok((0, Change::default()));
        }
        let batch = concat_batches(&self.definition.schema(), &self.waiting)
            .map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))?;
        let id = engine.catalog.allocate_recent();
        Ok((self.rows, Change::of(vec![Op::AddRecent { table, id, batch }])))
    }
}

/// A row that breaks a rule of its table.
#[derive(Debug)]
pub(crate) struct Violation {
    pub row: usize,
    pub error: QueryError,
}

/// Checks NOT NULL and lengths, and gives the columns the table's exact schema.
pub(crate) fn checked(definition: &TableDefinition, mut columns: Vec<ArrayRef>) -> Result<RecordBatch, Violation> {
    for (position, column) in definition.columns.iter().enumerate() {
        let array = &columns[position];
        if column.not_null && array.null_count() > 0 {
            let row = (0..array.len()).find(|row| array.is_null(*row)).unwrap_or(0);
            return Err(Violation { row, error: null_violation(definition, position, &columns, row) });
        }
        match &column.sql_type {
            SqlType::Varchar { length_max: Some(limit) } => {
                columns[position] = within_length(column, array, *limit)?;
            }
            SqlType::Bpchar { length } => columns[position] = without_padding(column, array, *length)?,
            _ => {}
        }
    }
    RecordBatch::try_new(definition.schema(), columns)
        .map_err(|error| Violation { row: 0, error: QueryError::new(ErrorKind::DatatypeMismatch, error.to_string()) })
}

/// The texts of a varchar. What is too long by blanks at its end loses those that are too many.
fn within_length(column: &Column, array: &ArrayRef, limit: u32) -> Result<ArrayRef, Violation> {
    let limit = limit as usize;
    let Some(texts) = array.as_any().downcast_ref::<StringViewArray>() else { return Ok(Arc::clone(array)) };
    let end = |text: &str| if text.len() > limit { text.char_indices().nth(limit).map(|(end, _)| end) } else { None };
    let Some(first) = texts.iter().position(|text| text.is_some_and(|text| end(text).is_some())) else {
        return Ok(Arc::clone(array));
    };
    let too_long = |text: &str| end(text).is_some_and(|end| !text[end..].bytes().all(|byte| byte == b' '));
    if let Some(row) = (first..texts.len()).find(|row| texts.is_valid(*row) && too_long(texts.value(*row))) {
        let message = format!("value too long for type character varying({limit})");
        return Err(Violation { row, error: QueryError::new(ErrorKind::StringTooLong, message).column(&column.name) });
    }
    let cut = texts.iter().map(|text| text.map(|text| &text[..end(text).unwrap_or(text.len())]));
    Ok(Arc::new(cut.collect::<StringViewArray>()))
}

/// The values of a `char(n)`, which are kept without the blanks at their end.
fn without_padding(column: &Column, array: &ArrayRef, length: Option<u32>) -> Result<ArrayRef, Violation> {
    let Some(texts) = array.as_any().downcast_ref::<StringViewArray>() else { return Ok(Arc::clone(array)) };
    let limit = length.map_or(usize::MAX, |length| length as usize);
    let kept: StringViewArray = texts.iter().map(|text| text.map(|text| text.trim_end_matches(' '))).collect();
    let long = |text: &str| text.len() > limit && text.chars().count() > limit;
    match kept.iter().position(|text| text.is_some_and(long)) {
        None => Ok(Arc::new(kept)),
        Some(row) => {
            let message = format!("value too long for type character({limit})");
            Err(Violation { row, error: QueryError::new(ErrorKind::StringTooLong, message).column(&column.name) })
        }
    }
}

fn null_violation(definition: &TableDefinition, position: usize, columns: &[ArrayRef], row: usize) -> QueryError {
    let column = &definition.columns[position].name;
    let table = &definition.name.name;
    let style = OutputStyle::default();
    let values = definition.columns.iter().zip(columns);
    let shown =
        values.map(|(column, array)| value_text(array, row, &column.sql_type, &style).unwrap_or_else(|| "null".into()));
    let mut error = QueryError::new(
        ErrorKind::NotNullViolation,
        format!("null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"),
    )
    .detail(format!("Failing row contains ({}).", shown.collect::<Vec<_>>().join(", ")))
    .table(table)
    .column(column);
    error.schema = Some(definition.name.schema.clone());
    error
}
