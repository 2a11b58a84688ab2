//! COPY TO: a table, view, query or the rows that a writer returns, as lines of text or csv, as binary records or as Parquet.

use crate::copy_format::{
    CopyDirection, CopyEncoder, CopyEndpoint, CopyFileFormat, CopySource, CopyStatement, EncodedLines,
};
use crate::copy_in::refuse_generated;
use crate::copy_progress::CopyProgress;
use crate::error::{ErrorKind, QueryError};
use crate::execution::joined;
use crate::insert::named_columns;
use crate::planner::Planning;
use crate::prepared::Prepared;
use crate::response::{CommandTag, CopyOutChunk, Format, Response, ResultColumn};
use crate::row_filter::alone_at;
use crate::session::Session;
use crate::statement::{Statement, StatementKind, Subscribe, parse};
use crate::subscription::{self, Subscription};
use crate::{copy_files, copy_parquet};
use arrow::array::RecordBatch;
use bytes::Bytes;
use catalog::ids::ObjectId;
use catalog::snapshot::Relation;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use std::io;
use std::path::Path;
use std::sync::Arc;
use storage::external::NewFile;

pub(crate) fn is_copy_out(copy: &CopyStatement) -> bool {
    copy.direction == CopyDirection::To
}

/// Batches that are encoded at once, or wait for the client in their order.
const BATCHES_AHEAD_MAX: usize = 3;

/// Runs a COPY TO.
pub(crate) async fn run(
    session: &mut Session,
    copy: &CopyStatement,
    statement: &Statement,
) -> Result<Response, QueryError> {
    let file = match &copy.endpoint {
        CopyEndpoint::Stdout | CopyEndpoint::Stdin => None,
        CopyEndpoint::File(name) => {
            let path = copy_files::new_path(&session.engine, name)?;
            if copy_files::is_parquet(&path) {
                check_parquet_format(copy.options.format)?;
            }
            Some(path)
        }
        CopyEndpoint::Program(_) => return Err(QueryError::unsupported("COPY to a program")),
    };
    let planning = session.planning()?;
    let inner = query_of(&planning, copy, statement)?;
    if let StatementKind::Subscribe(subscribe) = &inner.kind {
        return subscribe_to(session, copy, subscribe).await;
    }
    if let Some(command) = inner.kind.writing_command() {
        session.refuse_when_read_only(command)?;
    }
    let relation = relation_of(session, copy)?;
    let is_table = matches!(copy.source, CopySource::Table { .. });
    let prepared = Prepared::plan(session, &inner, &[]).await;
    // The query of a table is not the client's text.
    let prepared = prepared.map_err(|error| if is_table { error.without_position() } else { error })?;
    let prepared = Arc::new(prepared);
    prepared.refuse_parameters()?;
    if prepared.columns.is_none() {
        let message = "COPY query must have a RETURNING clause";
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
    }
    let answer = Box::pin(crate::dispatch::run(session, &prepared, &[], false)).await?;
    let Response::Rows { columns, stream: rows, .. } = answer else {
        return Err(QueryError::new(ErrorKind::Internal, "a query of COPY gave no rows"));
    };
    let kind = if file.is_some() { "FILE" } else { "PIPE" };
    let progress = session.begin_copy(CopyProgress::new("COPY TO", kind, relation));
    let is_parquet =
        copy.options.format == CopyFileFormat::Parquet || file.as_deref().is_some_and(copy_files::is_parquet);
    let pieces = if is_parquet {
        let context = planning.cast_context();
        copy_parquet::file_of(session, &columns, rows, context)?
    } else {
        lines_of(session, copy, &columns, (rows, true))?
    };
    let stream = counted(pieces, progress);
    if let Some(path) = file {
        return Ok(Response::Command(CommandTag::Rows("COPY", write(session, &path, stream).await?)));
    }
    let is_binary = matches!(copy.options.format, CopyFileFormat::Binary | CopyFileFormat::Parquet);
    let format = if is_binary { Format::Binary } else { Format::Text };
    Ok(Response::CopyOut { columns: columns.len(), format, follows: false, stream })
}

/// Sends what is there and then what changes, until the client has enough.
async fn subscribe_to(
    session: &mut Session,
    copy: &CopyStatement,
    subscribe: &Subscribe,
) -> Result<Response, QueryError> {
    let is_file = !matches!(copy.endpoint, CopyEndpoint::Stdout | CopyEndpoint::Stdin);
    if is_file || copy.options.format == CopyFileFormat::Parquet {
        let what = if is_file { "COPY of SUBSCRIBE to a file" } else { "COPY of SUBSCRIBE as Parquet" };
        let hint = "It has no end; use TO STDOUT, as text, csv or binary.";
        return Err(QueryError::unsupported(what).hint(hint));
    }
    let Subscription { relation, columns, rows } = subscription::start(session, subscribe).await?;
    let progress = session.begin_copy(CopyProgress::new("COPY TO", "PIPE", Some(relation)));
    let stream = counted(lines_of(session, copy, &columns, (rows, false))?, progress);
    let format = if copy.options.format == CopyFileFormat::Binary { Format::Binary } else { Format::Text };
    Ok(Response::CopyOut { columns: columns.len(), format, follows: true, stream })
}

type Pieces = BoxStream<'static, Result<CopyOutChunk, QueryError>>;

/// Counts what was sent.
fn counted(pieces: Pieces, progress: Arc<CopyProgress>) -> Pieces {
    let counted = pieces.inspect_ok(move |piece| {
        progress.add_bytes(piece.bytes.len());
        progress.add_rows(piece.rows as usize);
    });
    counted.boxed()
}

/// The name of a file says that it is Parquet; the options must not say that it is something else.
fn check_parquet_format(format: CopyFileFormat) -> Result<(), QueryError> {
    match format {
        CopyFileFormat::Text | CopyFileFormat::Parquet => Ok(()),
        CopyFileFormat::Csv | CopyFileFormat::Binary => {
            let message = "the name of a Parquet file ends in .parquet, and other formats are not written into one";
            Err(QueryError::new(ErrorKind::InvalidParameterValue, message))
        }
    }
}

/// Rows as lines of text or csv, or as binary records; and whether they end, so that a header may wait for the first of them.
fn lines_of(
    session: &Session,
    copy: &CopyStatement,
    columns: &[ResultColumn],
    (rows, end): (BoxStream<'static, Result<RecordBatch, QueryError>>, bool),
) -> Result<Pieces, QueryError> {
    let encoder = CopyEncoder::new(columns, &copy.options, session.output_style())?;
    let around = |bytes: Option<Vec<u8>>| {
        bytes.map(|bytes| Ok(CopyOutChunk { ends: vec![bytes.len()], bytes: Bytes::from(bytes), rows: 0 }))
    };
    let (header, trailer) = (encoder.header()?, around(encoder.trailer()));
    let (encoder, engine) = (Arc::new(encoder), Arc::clone(&session.engine));
    let lines = rows.map(move |batch| {
        let encoder = Arc::clone(&encoder);
        let work = engine.compute().spawn(async move { encoded(&encoder, &batch?) });
        async move { joined(work.await) }
    });
    let pieces = lines.buffered(BATCHES_AHEAD_MAX).chain(futures::stream::iter(trailer));
    Ok(match copy.options.format {
        CopyFileFormat::Binary if end => headed(header, pieces).boxed(),
        _ => futures::stream::iter(around(header)).chain(pieces).boxed(),
    })
}

/// Binary records with their header. It stands in one message with the first of them, or with the trailer where there is none, as
/// PostgreSQL sends it: drivers read a message as a row.
fn headed(
    mut header: Option<Vec<u8>>,
    pieces: impl Stream<Item = Result<CopyOutChunk, QueryError>>,
) -> impl Stream<Item = Result<CopyOutChunk, QueryError>> {
    pieces.map_ok(move |piece| match header.take_if(|_| !piece.ends.is_empty()) {
        Some(header) => CopyOutChunk {
            ends: piece.ends.iter().map(|end| end + header.len()).collect(),
            bytes: Bytes::from([header.as_slice(), &piece.bytes].concat()),
            ..piece
        },
        None => piece,
    })
}

fn encoded(encoder: &CopyEncoder, batch: &RecordBatch) -> Result<CopyOutChunk, QueryError> {
    let EncodedLines { bytes, ends } = encoder.encode(batch)?;
    Ok(CopyOutChunk { bytes: Bytes::from(bytes), ends, rows: batch.num_rows() as u64 })
}

/// Writes what is copied into a file of the server, which is there when it is complete.
async fn write(session: &Session, path: &Path, mut stream: Pieces) -> Result<u64, QueryError> {
    let failed = |error: io::Error| copy_files::write_failed(path, &error);
    let mut file = NewFile::create(path).map_err(failed)?;
    let mut rows = 0;
    while let Some(chunk) = session.token.guard(async { stream.next().await.transpose() }).await? {
        rows += chunk.rows;
        let written = tokio::task::spawn_blocking(move || file.write(&chunk.bytes).map(|()| file));
        file = written.await.map_err(io::Error::other).and_then(|outcome| outcome).map_err(failed)?;
    }
    let finished = tokio::task::spawn_blocking(move || file.finish()).await;
    finished.map_err(io::Error::other).and_then(|outcome| outcome).map_err(failed)?;
    Ok(rows)
}

/// The table that is copied, where it is one; its columns must be there.
fn relation_of(session: &mut Session, copy: &CopyStatement) -> Result<Option<ObjectId>, QueryError> {
    let CopySource::Table { schema, name, columns } = &copy.source else { return Ok(None) };
    let planning = session.planning()?;
    let parts = schema.iter().chain([name]).map(|part| Ident::with_quote('"', part));
    let name = planning.object_name(&ObjectName::from(parts.collect::<Vec<_>>()))?;
    let Some(Relation::Table(table)) = planning.snapshot.relation(&name) else { return Ok(None) };
    named_columns(&table.definition, columns)?;
    Ok(Some(table.definition.id))
}

/// The statement whose rows are copied. Positions of its errors count in the client's text.
fn query_of(planning: &Planning, copy: &CopyStatement, statement: &Statement) -> Result<Statement, QueryError> {
    let text = match &copy.source {
        CopySource::Query { text, offset } => alone_at(&statement.source, statement.range.start + offset, text, ""),
        CopySource::Table { schema, name, columns } => {
            let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
            let columns = copied_columns(planning, schema.as_deref(), name, columns)?;
            let listed = if columns.is_empty() {
                "*".to_string()
            } else {
                columns.iter().map(quoted).collect::<Vec<_>>().join(", ")
            };
            let relation = schema.iter().chain([name]).map(quoted).collect::<Vec<_>>().join(".");
            let parsed = parse(&format!("SELECT {listed} FROM {relation}"))?.into_iter().next();
            return parsed.ok_or_else(|| QueryError::new(ErrorKind::Internal, "a table was not parsed as a query"));
        }
    };
    let inner = parse(&text)?.into_iter().next();
    inner
        .filter(|inner| {
            let kind = &inner.kind;
            matches!(kind, StatementKind::Query(_) | StatementKind::Insert(..) | StatementKind::Modify(_))
                || matches!(kind, StatementKind::Subscribe(_))
        })
        .ok_or_else(|| QueryError::new(ErrorKind::Syntax, "COPY takes a query that returns rows"))
}

/// The columns of a table that are copied, without generated ones; none where they are all of a relation's.
fn copied_columns(
    planning: &Planning,
    schema: Option<&str>,
    name: &str,
    listed: &[String],
) -> Result<Vec<String>, QueryError> {
    let parts = schema.into_iter().chain([name]).map(|part| Ident::with_quote('"', part));
    let object = planning.object_name(&ObjectName::from(parts.collect::<Vec<_>>()))?;
    let Some(Relation::Table(version)) = planning.snapshot.relation(&object) else { return Ok(listed.to_vec()) };
    let columns = &version.definition.columns;
    if listed.is_empty() && columns.iter().any(|column| column.generated.is_some()) {
        let kept = columns.iter().filter(|column| column.generated.is_none());
        return Ok(kept.map(|column| column.name.clone()).collect());
    }
    let positions = columns.iter().enumerate().filter(|(_, column)| listed.contains(&column.name));
    refuse_generated(&version.definition, &positions.map(|(position, _)| position).collect::<Vec<_>>())?;
    Ok(listed.to_vec())
}
