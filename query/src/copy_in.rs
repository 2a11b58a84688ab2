//! COPY FROM STDIN: bytes from the client into rows of a table.
//!
//! ```text
//! push(bytes) ─▶ splitter ─▶ chunks ─▶ decoders, several at once ─▶ in order ─▶ intake (checks, partitions, segments)
//!                                      └─ bounded queue: a full one makes push wait, and with it the socket
//! ```
//!
//! The first error in the order of the data is the one that is told. Whatever ends a load early, dropping [`CopyIn`] stops its
//! work and deletes what was staged.

use crate::column_defaults::DefaultValue;
use crate::copy_format::{
    Chunk, CopyColumn, CopyDecoder, CopyDirection, CopyEndpoint, CopySource, CopyStatement, RecordSplitter,
};
use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};
use crate::execution::{AbortOnDrop, joined};
use crate::insert::{named_columns, writable_table};
use crate::intake::{Intake, Taken};
use crate::keys::check::KeyFailure;
use crate::planner::Planning;
use crate::response::{CommandTag, Format, Response};
use crate::row_rules::RowRules;
use crate::session::Session;
use crate::statement::{Statement, shift};
use crate::types::OutputStyle;
use arrow::array::{ArrayRef, RecordBatch};
use bytes::Bytes;
use catalog::definition::TableDefinition;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Chunks of about 1 MiB that are decoded or wait for their turn.
const CHUNKS_AHEAD_MAX: usize = 8;

type Decoded = Result<(Chunk, RecordBatch), QueryError>;
type Outcome = Result<(Taken, Lines), QueryError>;

/// A COPY that waits for its data.
pub struct CopyIn {
    columns: usize,
    splitter: RecordSplitter,
    decoder: Arc<CopyDecoder>,
    engine: Arc<Engine>,
    queue: Option<mpsc::Sender<JoinHandle<Decoded>>>,
    intake: Option<JoinHandle<Outcome>>,
    _abort: AbortOnDrop,
    /// The statement is alone in its transaction, which it ends itself.
    alone: bool,
}

/// Begins a COPY FROM.
pub(crate) async fn start(
    session: &mut Session,
    copy: &CopyStatement,
    statement: &Statement,
    alone: bool,
) -> Result<Response, QueryError> {
    refuse_unsupported(copy)?;
    let planning = session.planning()?;
    let (definition, columns) = target(&planning, copy, statement)?;
    session.refuse_when_read_only("COPY FROM")?;
    let style = session.output_style();
    let listed: Vec<CopyColumn> = columns
        .iter()
        .map(|position| {
            let column = &definition.columns[*position];
            CopyColumn { name: column.name.clone(), sql_type: column.sql_type.clone() }
        })
        .collect();
    let names: Vec<String> = listed.iter().map(|column| column.name.clone()).collect();
    let table = definition.name.name.clone();
    let filler = Filler::new(&planning, &definition, &columns, &style)?;
    let rules = RowRules::of(&planning, &definition)?;
    let decoder = Arc::new(CopyDecoder::new(&table, &listed, &copy.options, style)?);
    let splitter = RecordSplitter::new(&table, &names, &copy.options);
    let (queue, waiting) = mpsc::channel(CHUNKS_AHEAD_MAX);
    let taking = Taking { engine: Arc::clone(&session.engine), decoder: Arc::clone(&decoder), filler, waiting };
    let intake = session.engine.compute().spawn(taking.run(rules));
    Ok(Response::CopyIn(Box::new(CopyIn {
        columns: names.len(),
        splitter,
        decoder,
        engine: Arc::clone(&session.engine),
        queue: Some(queue),
        _abort: AbortOnDrop(intake.abort_handle()),
        intake: Some(intake),
        alone,
    })))
}

fn refuse_unsupported(copy: &CopyStatement) -> Result<(), QueryError> {
    debug_assert_eq!(copy.direction, CopyDirection::From);
    match &copy.endpoint {
        CopyEndpoint::Stdin => {}
        CopyEndpoint::File(_) | CopyEndpoint::Stdout => {
            return Err(QueryError::unsupported("COPY from a file on the server")
                .hint("psql's \\copy reads a file of the client."));
        }
        CopyEndpoint::Program(_) => return Err(QueryError::unsupported("COPY from a program")),
    }
    if copy.where_clause.is_some() {
        return Err(QueryError::unsupported("COPY … WHERE")
            .hint("Load into another table and use INSERT INTO … SELECT … WHERE."));
    }
    Ok(())
}

/// The table and the positions of the columns that the data has.
fn target(
    planning: &Planning,
    copy: &CopyStatement,
    statement: &Statement,
) -> Result<(Arc<TableDefinition>, Vec<usize>), QueryError> {
    let CopySource::Table { schema, name, columns } = &copy.source else {
        return Err(shift(
            QueryError::new(ErrorKind::Syntax, "COPY FROM takes a table"),
            &statement.source,
            statement.range.start,
        ));
    };
    let parts = schema.iter().chain([name]).map(|part| Ident::with_quote('"', part));
    let definition = writable_table(planning, &ObjectName::from(parts.collect::<Vec<_>>()))?;
    if columns.is_empty() {
        let given = definition.columns.iter().enumerate().filter(|(_, column)| column.generated.is_none());
        let positions = given.map(|(position, _)| position).collect();
        return Ok((definition, positions));
    }
    let positions = named_columns(&definition, columns)?;
    refuse_generated(&definition, &positions)?;
    Ok((definition, positions))
}

/// Fails for a column whose value is computed from the others: COPY neither reads nor writes those.
pub(crate) fn refuse_generated(definition: &TableDefinition, positions: &[usize]) -> Result<(), QueryError> {
    let mut columns = positions.iter().map(|position| &definition.columns[*position]);
    let Some(column) = columns.find(|column| column.generated.is_some()) else { return Ok(()) };
    let message = format!("column \"{}\" is a generated column", column.name);
    Err(QueryError::new(ErrorKind::InvalidColumnReference, message)
        .detail("Generated columns cannot be used in COPY.")
        .column(&column.name))
}

/// Puts decoded columns in the table's order and fills the missing ones with their defaults.
struct Filler {
    /// For each column of the table its index in the data, or its default.
    sources: Vec<Result<usize, DefaultValue>>,
}

impl Filler {
    fn new(
        planning: &Planning,
        definition: &TableDefinition,
        listed: &[usize],
        style: &OutputStyle,
    ) -> Result<Self, QueryError> {
        let sources = definition.columns.iter().enumerate().map(|(position, column)| {
            match listed.iter().position(|listed| *listed == position) {
                Some(index) => Ok(Ok(index)),
                None => DefaultValue::of(planning, column, style).map(Err),
            }
        });
        Ok(Self { sources: sources.collect::<Result<_, QueryError>>()? })
    }

    fn fill(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, QueryError> {
        let arrays = self.sources.iter().map(|source| match source {
            Ok(index) => Ok(Arc::clone(batch.column(*index))),
            Err(default) => default.array(batch.num_rows()),
        });
        arrays.collect()
    }
}

/// The receiving end: takes decoded chunks in order.
struct Taking {
    engine: Arc<Engine>,
    decoder: Arc<CopyDecoder>,
    filler: Filler,
    waiting: mpsc::Receiver<JoinHandle<Decoded>>,
}

impl Taking {
    async fn run(mut self, rules: Arc<RowRules>) -> Outcome {
        let definition = rules.definition();
        let mut intake = Intake::new(&self.engine, Arc::clone(definition))?;
        let mut lines = Lines { wanted: !definition.keys.is_empty(), chunks: Vec::new() };
        let shared = Arc::new((self.decoder, self.filler, rules));
        while let Some(chunk) = self.waiting.recv().await {
            let (chunk, batch) = joined(chunk.await)?;
            let shared = Arc::clone(&shared);
            let pushed = tokio::task::spawn_blocking(move || {
                let (decoder, filler, rules) = shared.as_ref();
                let checked = rules
                    .checked(filler.fill(&batch)?)
                    .map_err(|violation| with_context(violation.error, decoder, &chunk, violation.row))?;
                lines.note(decoder, &chunk, checked.num_rows());
                intake.push(checked)?;
                Ok((intake, lines))
            });
            (intake, lines) = joined(pushed.await)?;
        }
        let engine = Arc::clone(&self.engine);
        let taken = joined(tokio::task::spawn_blocking(move || intake.finish(&engine)).await)?;
        Ok((taken, lines))
    }
}

/// The lines of the rows that were taken. Keys are checked when all rows are there, and the error names the line.
struct Lines {
    wanted: bool,
    chunks: Vec<ChunkLines>,
}

struct ChunkLines {
    first_row: u64,
    rows: u64,
    first_line: u64,
    /// For each row how many lines after the first it ends, where records are not single lines.
    each: Option<Vec<u32>>,
}

impl Lines {
    fn note(&mut self, decoder: &CopyDecoder, chunk: &Chunk, rows: usize) {
        if self.wanted && rows > 0 {
            let first_row = self.chunks.last().map_or(0, |last| last.first_row + last.rows);
            let each = decoder.lines_of(chunk, rows);
            self.chunks.push(ChunkLines { first_row, rows: rows as u64, first_line: chunk.first_line, each });
        }
    }

    /// The line of a row of the load, counted from one.
    fn line_of(&self, row: u64) -> Option<u64> {
        let next = self.chunks.partition_point(|chunk| chunk.first_row <= row);
        let chunk = self.chunks.get(next.checked_sub(1)?)?;
        let within = row - chunk.first_row;
        let offset = chunk.each.as_ref().map_or(within, |each| each[within as usize].into());
        Some(chunk.first_line + offset)
    }

    /// The error of a broken key, with its line.
    fn located(&self, table: &str, failure: KeyFailure) -> QueryError {
        match failure.row.and_then(|row| self.line_of(row)) {
            Some(line) => failure.error.context(format!("COPY {table}, line {line}")),
            None => failure.error,
        }
    }
}

fn with_context(error: QueryError, decoder: &CopyDecoder, chunk: &Chunk, row: usize) -> QueryError {
    let context = decoder.context_of(chunk, row);
    error.context(context)
}

impl CopyIn {
    /// How many columns the data has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The format of CopyInResponse.
    pub fn format(&self) -> Format {
        Format::Text
    }

    /// Takes the next bytes, cut anywhere. Waits while enough chunks are in work.
    pub async fn push(&mut self, data: Bytes) -> Result<(), QueryError> {
        match self.splitter.push(data) {
            Ok(chunks) => self.enqueue(chunks).await,
            Err(error) => Err(self.earlier_error(error).await),
        }
    }

    async fn enqueue(&mut self, chunks: impl IntoIterator<Item = Chunk>) -> Result<(), QueryError> {
        for chunk in chunks {
            let decoder = Arc::clone(&self.decoder);
            let work = self.engine.compute().spawn(async move {
                let batch = decoder.decode_chunk(&chunk)?;
                Ok((chunk, batch))
            });
            let queue = self.queue.as_ref().expect("the queue is open until the data has ended");
            if queue.send(work).await.is_err() {
                return Err(self.failure().await);
            }
        }
        Ok(())
    }

    /// Why the receiving end stopped.
    async fn failure(&mut self) -> QueryError {
        self.queue = None;
        let stopped = match self.intake.take() {
            Some(intake) => joined(intake.await).err(),
            None => None,
        };
        stopped.unwrap_or_else(|| QueryError::new(ErrorKind::Internal, "COPY ended without a reason"))
    }

    /// The error that comes first in the data: one in a chunk already taken, else the splitter's.
    async fn earlier_error(&mut self, splitting: QueryError) -> QueryError {
        self.queue = None;
        match self.intake.take() {
            Some(intake) => joined(intake.await).err().unwrap_or(splitting),
            None => splitting,
        }
    }

    /// The data has ended: stages what is left and adds it to the session's transaction.
    pub async fn finish(mut self: Box<Self>, session: &mut Session) -> Result<CommandTag, QueryError> {
        match self.splitter.finish() {
            Ok(last) => self.enqueue(last).await?,
            Err(error) => return Err(self.earlier_error(error).await),
        }
        self.queue = None;
        let intake = self.intake.take().expect("a COPY is finished once");
        let token = session.token.clone();
        let (taken, lines) = token.guard(async { joined(intake.await) }).await?;
        let planning = session.planning()?;
        let table = taken.definition.name.name.clone();
        let checked = taken.enforced(session, &planning.snapshot).await;
        let (rows, change) = checked.map_err(|failure| lines.located(&table, failure))?;
        session.add_change(change)?;
        if self.alone {
            session.finish_implicit().await?;
        }
        Ok(CommandTag::Rows("COPY", rows))
    }
}
