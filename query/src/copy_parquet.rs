//! COPY TO in Parquet: batches as a file that other tools read.
//!
//! Numbers, texts, dates, times, timestamps, bytes and arrays of them keep their types; what Parquet does not have, such as
//! intervals, enums and json, is text as PostgreSQL prints it. Columns are found by name, so two of one name are refused.

use crate::error::{ErrorKind, QueryError};
use crate::execution::joined;
use crate::operators::casts::{CastContext, cast_array};
use crate::response::{CopyOutChunk, ResultColumn};
use crate::session::Session;
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use catalog::sql_type::SqlType;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use storage::external::ParquetBytes;

/// What is written of each column.
struct Exported {
    types: Vec<(SqlType, SqlType)>,
    schema: SchemaRef,
    context: CastContext,
}

/// Where the file is: its columns, and the encoder while it is not finished.
struct State {
    exported: Arc<Exported>,
    encoder: Option<ParquetBytes>,
    rows: BoxStream<'static, Result<RecordBatch, QueryError>>,
}

/// The file with these rows, in pieces. A piece counts the rows that came in since the one before it.
pub(crate) fn file_of(
    session: &Session,
    columns: &[ResultColumn],
    rows: BoxStream<'static, Result<RecordBatch, QueryError>>,
    context: CastContext,
) -> Result<BoxStream<'static, Result<CopyOutChunk, QueryError>>, QueryError> {
    let exported = Arc::new(Exported::new(columns, context)?);
    let encoder = ParquetBytes::new(Arc::clone(&exported.schema)).map_err(not_written)?;
    let engine = Arc::clone(&session.engine);
    let state = State { exported, encoder: Some(encoder), rows };
    let pieces = futures::stream::try_unfold(state, move |state| {
        let work = engine.compute().spawn(next(state));
        async move { joined(work.await) }
    });
    // Most batches complete nothing, but their rows count.
    Ok(pieces.try_filter(|piece| std::future::ready(piece.rows > 0 || !piece.bytes.is_empty())).boxed())
}

async fn next(mut state: State) -> Result<Option<(CopyOutChunk, State)>, QueryError> {
    let Some(mut encoder) = state.encoder.take() else { return Ok(None) };
    let (bytes, rows) = match state.rows.next().await.transpose()? {
        Some(batch) => {
            let bytes = encoder.write(&state.exported.batch(&batch)?).map_err(not_written)?;
            state.encoder = Some(encoder);
            (bytes, batch.num_rows() as u64)
        }
        None => (encoder.finish().map_err(not_written)?, 0),
    };
    let ends = if bytes.is_empty() { Vec::new() } else { vec![bytes.len()] };
    Ok(Some((CopyOutChunk { bytes: Bytes::from(bytes), ends, rows }, state)))
}

fn not_written(error: io::Error) -> QueryError {
    QueryError::new(ErrorKind::IoError, format!("could not write Parquet: {error}"))
}

impl Exported {
    fn new(columns: &[ResultColumn], context: CastContext) -> Result<Self, QueryError> {
        let mut names = HashSet::new();
        if let Some(twice) = columns.iter().find(|column| !names.insert(column.name.as_str())) {
            let message = format!("column \"{}\" specified more than once", twice.name);
            return Err(QueryError::new(ErrorKind::DuplicateColumn, message)
                .hint("Columns of a Parquet file are found by name; give one of them another with AS."));
        }
        let types = columns.iter().map(|column| (column.sql_type.clone(), exported_type(&column.sql_type)));
        let types: Vec<(SqlType, SqlType)> = types.collect();
        let field = |(column, (_, to)): (&ResultColumn, &(SqlType, SqlType))| {
            let plain = to.field(&column.name, true);
            Field::new(&column.name, plain.data_type().clone(), true)
        };
        let fields: Vec<Field> = columns.iter().zip(&types).map(field).collect();
        Ok(Self { types, schema: Arc::new(Schema::new(fields)), context })
    }

    fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        let columns = batch.columns().iter().zip(&self.types).zip(self.schema.fields());
        let columns = columns.map(|((column, (from, to)), field)| {
            let column = cast_array(column, from, to, &self.context)?;
            // The items of lists say in their metadata what they are.
            arrow::compute::cast(&column, field.data_type()).map_err(|error| not_written(io::Error::other(error)))
        });
        let columns = columns.collect::<Result<Vec<_>, QueryError>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| not_written(io::Error::other(error)))
    }
}

/// The type that a column has in the file.
fn exported_type(sql_type: &SqlType) -> SqlType {
    use SqlType::{Bool, Bytea, Date, Float4, Float8, Int2, Int4, Int8, Numeric, Text, Time, Timestamp, TimestampTz};
    match sql_type {
        Bool
        | Int2
        | Int4
        | Int8
        | Float4
        | Float8
        | Numeric { .. }
        | Date
        | Time
        | Timestamp
        | TimestampTz
        | Bytea => sql_type.clone(),
        SqlType::Array(item) if !matches!(item.as_ref(), SqlType::Array(_)) => {
            SqlType::Array(Box::new(exported_type(item)))
        }
        _ => Text,
    }
}
