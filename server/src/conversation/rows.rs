//! Rows: record batches on their way into DataRow messages.
//!
//! A batch is encoded column by column, each in one pass over its values, and the columns are then dealt out to rows in
//! the wire's buffer. It is done in slices whose row count follows the size of the rows seen so far, so that neither
//! wide rows nor a billion narrow ones need more than a slice's memory.

use crate::errors::Fatal;
use crate::wire::frame::guarded;
use crate::wire::{Exit, Failure, Wire};
use arrow::array::RecordBatch;
use bytes::{BufMut, BytesMut};
use pgwire::messages::data::{FieldDescription, RowDescription};
use query::error::{ErrorKind, QueryError};
use query::response::{CommandTag, Format, OpenRows, ResultColumn};
use query::types::{EncodedColumn, OutputStyle, encode_column};

/// The bytes that a slice should come to.
const SLICE_BYTES: usize = 256 * 1024;
/// Rows of the first slice, before anything is known of their size.
const SLICE_ROWS_FIRST: usize = 128;
const SLICE_ROWS_MAX: usize = 8192;
/// PostgreSQL's limit for a message, and so for a row.
const ROW_BYTES_MAX: usize = 0x3fff_ffff;

/// The result of a statement, partly sent.
pub(crate) struct Rows {
    columns: Vec<ResultColumn>,
    formats: Vec<Format>,
    rows: OpenRows,
    verb: &'static str,
    counted: bool,
    slice_rows: usize,
}

/// How far [`Rows::send`] came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All rows are sent; this many by the last call.
    Ended { rows: u64 },
    /// The limit was reached. There may be more rows.
    Suspended,
}

impl Rows {
    pub(crate) fn new(
        columns: Vec<ResultColumn>,
        formats: Vec<Format>,
        rows: OpenRows,
        verb: &'static str,
        counted: bool,
    ) -> Self {
        assert_eq!(columns.len(), formats.len(), "one format for each column");
        Self { columns, formats, rows, verb, counted, slice_rows: SLICE_ROWS_FIRST }
    }

    pub(crate) fn description(&self) -> RowDescription {
        describe(&self.columns, &self.formats)
    }

    /// What is not sent yet.
    pub(crate) fn into_rest(self) -> OpenRows {
        self.rows
    }

    /// What CommandComplete says after `rows` rows.
    pub(crate) fn tag(&self, rows: u64) -> CommandTag {
        if self.counted { CommandTag::Rows(self.verb, rows) } else { CommandTag::Plain(self.verb) }
    }

    /// Sends rows until they end or `limit` of them are sent. As in PostgreSQL a limit that is reached suspends, even with the
    /// last row.
    pub(crate) async fn send(
        &mut self,
        wire: &mut Wire,
        style: &OutputStyle,
        limit: Option<u64>,
    ) -> Result<Progress, Failure> {
        let mut sent = 0;
        while let Some(batch) = wire.run(self.rows.next()).await?.transpose()? {
            let mut offset = 0;
            while offset < batch.num_rows() {
                let room = limit.map_or(usize::MAX, |limit| usize::try_from(limit - sent).unwrap_or(usize::MAX));
                let rows = self.slice_rows.min(batch.num_rows() - offset).min(room);
                self.put_slice(wire, &batch.slice(offset, rows), style)?;
                wire.flush_if_full().await?;
                offset += rows;
                sent += rows as u64;
                if limit == Some(sent) {
                    if offset < batch.num_rows() {
                        self.rows.put_back(batch.slice(offset, batch.num_rows() - offset));
                    }
                    return Ok(Progress::Suspended);
                }
            }
        }
        Ok(Progress::Ended { rows: sent })
    }

    fn put_slice(&mut self, wire: &mut Wire, slice: &RecordBatch, style: &OutputStyle) -> Result<(), Failure> {
        let before = wire.pending().len();
        guarded(|| put_rows(slice, &self.columns, &self.formats, style, wire.pending()))
            .ok_or_else(|| Exit::Fatal(Fatal::internal()))??;
        let row_bytes = (wire.pending().len() - before) / slice.num_rows().max(1);
        self.slice_rows = (SLICE_BYTES / row_bytes.max(1)).clamp(1, SLICE_ROWS_MAX).min(self.slice_rows * 4);
        Ok(())
    }
}

/// The RowDescription of columns in their formats.
pub(crate) fn describe(columns: &[ResultColumn], formats: &[Format]) -> RowDescription {
    let fields = columns.iter().zip(formats).map(|(column, format)| {
        let (table, number) = column.origin.map_or((0, 0), |(table, number)| (table.0 as i32, number));
        let sql_type = &column.sql_type;
        let name = column.name.replace('\0', "\u{fffd}");
        FieldDescription::new(
            name,
            table,
            number,
            sql_type.oid(),
            sql_type.typlen(),
            column.modifier,
            format_code(*format),
        )
    });
    RowDescription::new(fields.collect())
}

pub(crate) fn format_code(format: Format) -> i16 {
    match format {
        Format::Text => 0,
        Format::Binary => 1,
    }
}

/// Appends one DataRow for each row of the batch. On an error `out` is as it was.
fn put_rows(
    batch: &RecordBatch,
    columns: &[ResultColumn],
    formats: &[Format],
    style: &OutputStyle,
    out: &mut BytesMut,
) -> Result<(), QueryError> {
    if batch.num_columns() != columns.len() {
        let message = format!("a result of {} columns came with {}", columns.len(), batch.num_columns());
        return Err(QueryError::new(ErrorKind::Internal, message));
    }
    let encoded = (batch.columns().iter().zip(columns).zip(formats))
        .map(|((array, column), format)| encode_column(array, &column.sql_type, *format, style))
        .collect::<Result<Vec<EncodedColumn>, QueryError>>()?;
    let row_overhead = 1 + 4 + 2 + 4 * columns.len();
    let value_bytes: usize = encoded.iter().map(|column| column.bytes.len()).sum();
    out.reserve(value_bytes + batch.num_rows() * row_overhead);
    let before = out.len();
    for row in 0..batch.num_rows() {
        let start = out.len();
        out.put_u8(b'D');
        out.put_i32(0);
        out.put_i16(columns.len() as i16);
        for column in &encoded {
            put_value(column, row, out);
        }
        let length = out.len() - start - 1;
        if length > ROW_BYTES_MAX {
            out.truncate(before);
            let error = QueryError::new(ErrorKind::ProgramLimitExceeded, "a row is too large to be sent");
            return Err(error.detail(format!("It has {length} bytes, at most {ROW_BYTES_MAX} can be sent.")));
        }
        out[start + 1..start + 5].copy_from_slice(&(length as u32).to_be_bytes());
    }
    Ok(())
}

fn put_value(column: &EncodedColumn, row: usize, out: &mut BytesMut) {
    if column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
        return out.put_i32(-1);
    }
    let start = if row == 0 { 0 } else { column.ends[row - 1] as usize };
    let value = &column.bytes[start..column.ends[row] as usize];
    out.put_i32(value.len() as i32);
    out.put_slice(value);
}
