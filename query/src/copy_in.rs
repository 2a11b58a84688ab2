//! COPY FROM: bytes from the client, or from files of the server, into rows of a table.
//!
//! ```text
//! push(bytes) ─▶ splitter ─▶ chunks ─▶ decoders, several at once ─▶ in order ─▶ CopyTarget (WHERE, checks) ─▶ intake
//!                                      └─ bounded queue: a full one makes push wait, and with it the socket
//! ```
//!
//! The first error in the order of the data is the one that is told. Whatever ends a load early, dropping [`CopyIn`] stops its
//! work and deletes what was staged.

use crate::copy_files;
use crate::copy_format::{
    Chunk, ColumnSelection, CopyColumn, CopyDecoder, CopyDirection, CopyEndpoint, CopyFileFormat, CopyOptions,
    CopySource, CopyStatement, Decoded, LogVerbosity, OnConflict, Splitter,
};
use crate::copy_labels::LoadNote;
use crate::copy_lines::Lines;
use crate::copy_progress::CopyProgress;
use crate::copy_rejects::{self, RejectTable, RejectTarget};
use crate::copy_target::{CopyTarget, Filler, Loaded, Skips};
use crate::engine::Engine;
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::execution::{AbortOnDrop, joined};
use crate::insert::{named_columns, writable_table};
use crate::intake::Intake;
use crate::keys::loading::LoadedKeys;
use crate::planner::Planning;
use crate::response::{CommandTag, Format, Response};
use crate::row_filter::RowFilter;
use crate::row_rules::RowRules;
use crate::session::Session;
use crate::statement::{Statement, shift};
use crate::transaction::Change;
use crate::turns::Turn;
use bytes::Bytes;
use catalog::definition::TableDefinition;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Chunks of about 1 MiB that are decoded or wait for their turn.
const CHUNKS_AHEAD_MAX: usize = 8;

/// A chunk, what was read of it, and the file that it is of where there are several.
type Work = Result<(Chunk, Decoded, Option<Arc<str>>), QueryError>;

/// A COPY that waits for its data.
pub struct CopyIn {
    table: String,
    names: Vec<String>,
    options: CopyOptions,
    /// The file that is read, where there are several.
    file: Option<Arc<str>>,
    format: Format,
    splitter: Splitter,
    decoder: Arc<CopyDecoder>,
    engine: Arc<Engine>,
    /// `None` where the data is not loaded but compared with what its label loaded before, and when the data has ended.
    queue: Option<mpsc::Sender<JoinHandle<Work>>>,
    intake: Option<JoinHandle<Result<Loaded, QueryError>>>,
    _abort: AbortOnDrop,
    progress: Arc<CopyProgress>,
    note: LoadNote,
    notices: Arc<Mutex<Vec<Notice>>>,
    /// The table of rejects that is made with the load.
    new_rejects: Option<Arc<TableDefinition>>,
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
    debug_assert_eq!(copy.direction, CopyDirection::From);
    let files = match &copy.endpoint {
        CopyEndpoint::Stdin | CopyEndpoint::Stdout => None,
        CopyEndpoint::File(pattern) => Some(copy_files::files(&session.engine, pattern)?),
        CopyEndpoint::Program(_) => return Err(QueryError::unsupported("COPY from a program")),
    };
    if files.is_none() && copy.options.format == CopyFileFormat::Parquet {
        let error = QueryError::unsupported("COPY FROM STDIN of a Parquet file");
        return Err(
            error.hint("A Parquet file is read from its end: name a file of the server, or use meridian import.")
        );
    }
    let for_parquet = files.as_deref().map(|files| parquet_statement(copy, files)).transpose()?.flatten();
    let copy = for_parquet.as_ref().unwrap_or(copy);
    let mut planning = session.planning()?;
    let (definition, columns) = target(&planning, copy, statement)?;
    let is_temporary = planning.snapshot.is_temporary(&definition.name);
    if is_temporary && copy.options.label.is_some() {
        return Err(QueryError::unsupported("LABEL for a temporary table").hint("Load without a label."));
    }
    // The table of rejects may have to be made.
    if !is_temporary || copy.options.reject_table.is_some() {
        session.refuse_when_read_only("COPY FROM")?;
    }
    let rejects = match &copy.options.reject_table {
        Some(name) => Some(copy_rejects::target(session, name, alone)?),
        None => None,
    };
    if rejects.is_some() {
        planning = session.planning()?;
    }
    let mut copy_in = begin(session, &planning, copy, statement, (definition, &columns), rejects, alone)?;
    match files {
        None => Ok(Response::CopyIn(Box::new(copy_in))),
        Some(files) => {
            copy_in.read(session, &files).await?;
            Ok(Response::Command(Box::new(copy_in).finish(session).await?))
        }
    }
}

/// The statement that loads Parquet files: their columns by name, as lines of the text format.
fn parquet_statement(copy: &CopyStatement, files: &[PathBuf]) -> Result<Option<CopyStatement>, QueryError> {
    let Some(first) = files.iter().find(|path| copy_files::is_parquet(path)) else {
        return match copy.options.format {
            CopyFileFormat::Parquet => {
                let message = "the name of a Parquet file ends in .parquet";
                Err(QueryError::new(ErrorKind::InvalidParameterValue, message))
            }
            _ => Ok(None),
        };
    };
    if !files.iter().all(|path| copy_files::is_parquet(path)) {
        let message = "COPY takes either Parquet files or others";
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
    }
    let mut copy = copy.clone();
    copy.options = CopyOptions {
        freeze: copy.options.freeze,
        on_error: copy.options.on_error,
        reject_limit: copy.options.reject_limit,
        log_verbosity: copy.options.log_verbosity,
        reject_table: copy.options.reject_table.take(),
        label: copy.options.label.take(),
        on_conflict: copy.options.on_conflict,
        ..CopyOptions::default()
    };
    if let CopySource::Table { columns, .. } = &mut copy.source
        && columns.is_empty()
    {
        *columns = copy_files::parquet_columns(first)?;
    }
    Ok(Some(copy))
}

fn begin(
    session: &mut Session,
    planning: &Planning,
    copy: &CopyStatement,
    statement: &Statement,
    (definition, columns): (Arc<TableDefinition>, &[usize]),
    rejects: Option<RejectTarget>,
    alone: bool,
) -> Result<CopyIn, QueryError> {
    let style = session.output_style();
    let listed = columns.iter().map(|position| {
        let column = &definition.columns[*position];
        CopyColumn {
            name: column.name.clone(),
            sql_type: column.sql_type.clone(),
            has_default: column.missing_value().is_some(),
        }
    });
    let listed: Vec<CopyColumn> = listed.collect();
    let names: Vec<String> = listed.iter().map(|column| column.name.clone()).collect();
    let table = definition.name.name.clone();
    let forced = [&copy.options.force_null, &copy.options.force_not_null];
    for column in forced.into_iter().flat_map(ColumnSelection::names) {
        named_columns(&definition, std::slice::from_ref(column))?;
    }
    let filler = Filler::new(planning, &definition, columns, copy.options.default.is_some(), &style)?;
    let filter = copy
        .where_clause
        .as_ref()
        .map(|(text, offset)| RowFilter::new(planning, &definition, *offset, text.len(), statement));
    let decoder = {
        let _types = planning.knows_types();
        Arc::new(CopyDecoder::new(&table, &listed, &copy.options, style)?)
    };
    let kind = if matches!(copy.endpoint, CopyEndpoint::File(_)) { "FILE" } else { "PIPE" };
    let progress = session.begin_copy(CopyProgress::new("COPY FROM", kind, Some(definition.id)));
    let notices = Arc::default();
    let label = copy.options.label.as_deref();
    let reject_table =
        rejects.as_ref().map(|rejects| RejectTable::open(planning, &rejects.definition, label)).transpose()?;
    let new_rejects = rejects.filter(|rejects| rejects.is_new).map(|rejects| rejects.definition);
    let keys = copy.options.on_conflict.map(|action| LoadedKeys::new(&session.engine, planning, &definition, action));
    let target = CopyTarget {
        decoder: Arc::clone(&decoder),
        filler,
        filter: filter.transpose()?,
        intake: Intake::new(&session.engine, Arc::clone(&definition))?.beside(session.inline_bytes()),
        keys: keys.transpose()?,
        lines: Lines::new(!definition.keys.is_empty()),
        rules: RowRules::of(planning, &definition)?,
        skips: Skips::new(&copy.options, Arc::clone(&notices)),
        reject_table,
        progress: Arc::clone(&progress),
        engine: Arc::clone(&session.engine),
    };
    // What is loaded already is only compared.
    let note = LoadNote::new(session, label, &definition.name, definition.id);
    let known = label.is_some_and(|label| planning.snapshot.loads.labelled(label).is_some());
    let (queue, waiting) = mpsc::channel(CHUNKS_AHEAD_MAX);
    let intake = session.engine.bulk().spawn(take(target, waiting));
    Ok(CopyIn {
        format: if copy.options.format == CopyFileFormat::Binary { Format::Binary } else { Format::Text },
        splitter: Splitter::new(&table, &names, &copy.options),
        table,
        names,
        options: copy.options.clone(),
        file: None,
        decoder,
        engine: Arc::clone(&session.engine),
        queue: (!known).then_some(queue),
        _abort: AbortOnDrop(intake.abort_handle()),
        intake: Some(intake),
        progress,
        note,
        notices,
        new_rejects,
        alone,
    })
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

/// The receiving end: takes decoded chunks in order.
async fn take(mut target: CopyTarget, mut waiting: mpsc::Receiver<JoinHandle<Work>>) -> Result<Loaded, QueryError> {
    while let Some(chunk) = waiting.recv().await {
        let (chunk, decoded, file) = joined(chunk.await)?;
        let pushed = tokio::task::spawn_blocking(move || {
            target.push(&chunk, decoded).map_err(|error| of_file(error, file.as_deref()))?;
            Ok(target)
        });
        target = joined(pushed.await)?;
    }
    joined(tokio::task::spawn_blocking(move || target.finish()).await)
}

/// An error of a file's data.
fn of_file(error: QueryError, file: Option<&str>) -> QueryError {
    match file {
        Some(file) => error.within(format!("file \"{file}\"")),
        None => error,
    }
}

impl CopyIn {
    /// Takes the data of files of the server, one after the other, each with a header of its own.
    async fn read(&mut self, session: &Session, files: &[PathBuf]) -> Result<(), QueryError> {
        self.progress.bytes_total.store(copy_files::sizes(files), Ordering::Relaxed);
        let several = files.len() > 1;
        for (index, path) in files.iter().enumerate() {
            if index > 0 {
                let last = self.splitter.finish()?;
                self.enqueue(last).await?;
                self.splitter = self.fresh_splitter();
            }
            self.file = several.then(|| Arc::from(path.display().to_string()));
            let style = session.output_style();
            let mut pieces = copy_files::pieces(&self.engine, path.clone(), self.names.clone(), style);
            let token = session.token.clone();
            while let Some(piece) = token.guard(async { Ok(pieces.recv().await) }).await? {
                let piece = piece?;
                token.guard(self.push(piece)).await?;
            }
        }
        Ok(())
    }

    fn fresh_splitter(&self) -> Splitter {
        Splitter::new(&self.table, &self.names, &self.options)
    }

    /// How many columns the data has.
    pub fn columns(&self) -> usize {
        self.names.len()
    }

    /// The format of CopyInResponse.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the statement ends its transaction itself.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Leaves the end of the transaction to the session: other statements follow in it.
    pub fn share_transaction(&mut self) {
        self.alone = false;
    }

    /// What there is to say about rows so far.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.notices.lock())
    }

    /// Takes the next bytes, cut anywhere. Waits while enough chunks are in work.
    pub async fn push(&mut self, data: Bytes) -> Result<(), QueryError> {
        self.progress.add_bytes(data.len());
        self.note.push(&data);
        if self.queue.is_none() {
            return Ok(());
        }
        match self.splitter.push(data) {
            Ok(chunks) => self.enqueue(chunks).await,
            Err(error) => Err(self.earlier_error(error).await),
        }
    }

    async fn enqueue(&mut self, chunks: impl IntoIterator<Item = Chunk>) -> Result<(), QueryError> {
        for chunk in chunks {
            let (decoder, file) = (Arc::clone(&self.decoder), self.file.clone());
            let work = self.engine.bulk().spawn(async move {
                let decoded = decoder.decode_chunk(&chunk).map_err(|error| of_file(error, file.as_deref()))?;
                Ok((chunk, decoded, file))
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
        if let Some(notice) = self.note.done_before(session)? {
            return self.skip(session, notice, None).await;
        }
        if self.queue.is_none() {
            let message = "the load with this label was undone while its data was compared";
            return Err(QueryError::new(ErrorKind::SerializationFailure, message));
        }
        match self.splitter.finish() {
            Ok(last) => self.enqueue(last).await?,
            Err(error) => return Err(self.earlier_error(error).await),
        }
        self.queue = None;
        let intake = self.intake.take().expect("a COPY is finished once");
        let token = session.token.clone();
        let Loaded { taken, keys, lines, rejects, rejected } = token.guard(async { joined(intake.await) }).await?;
        // Held until the load is committed.
        let making = self.making_rejects(session).await?;
        // A load that replaces rows holds their table from before it looks for them.
        let (hold, planning) = match self.options.on_conflict {
            Some(OnConflict::Update) => {
                let (hold, planning) = session.hold(taken.definition.id).await?;
                (Some(hold), planning)
            }
            _ => (None, session.planning()?),
        };
        let name = taken.definition.name.clone();
        let left_out = keys.as_ref().and_then(LoadedKeys::told);
        let checked = match keys {
            Some(keys) => keys.settled(session, &planning.snapshot, taken).await,
            None => taken.enforced(session, &planning.snapshot).await,
        };
        let (rows, mut change) = checked.map_err(|failure| lines.located(&self.table, failure))?;
        change.holds.extend(hold);
        // Whoever looks for the load would not find its table.
        if !planning.snapshot.is_temporary(&name) {
            change.ops.push(self.note.record(rows, rejected, &change));
        }
        let rejects = match &self.new_rejects {
            Some(new) => copy_rejects::made(&session.engine.catalog.snapshot(), new, rejects)?,
            None => rejects,
        };
        change.ops.extend(rejects.ops);
        change.staged.extend(rejects.staged);
        let added = session.add_change(change);
        let ended = match added {
            Ok(()) => {
                self.tell(session, rejected, left_out);
                self.end(session, rows).await
            }
            Err(error) => Err(error),
        };
        match ended {
            // Another load of the same label was faster.
            Err(error) if error.kind == ErrorKind::UniqueViolation && self.alone && self.note.has_label() => {
                let notice = self.note.done_before(session)?.ok_or(error)?;
                self.skip(session, notice, making).await
            }
            outcome => outcome,
        }
    }

    /// The turn of a load that makes a table of rejects. In a transaction of several statements others are not kept waiting.
    async fn making_rejects(&self, session: &Session) -> Result<Option<Turn>, QueryError> {
        match &self.new_rejects {
            Some(new) if self.alone => copy_rejects::making(session, new).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The load was done before: nothing is loaded. Its table of rejects is there afterwards all the same.
    async fn skip(
        &self,
        session: &mut Session,
        notice: Notice,
        making: Option<Turn>,
    ) -> Result<CommandTag, QueryError> {
        session.push_notice(notice);
        let Some(new) = &self.new_rejects else { return self.end(session, 0).await };
        let _making = match making {
            Some(turn) => Some(turn),
            None => self.making_rejects(session).await?,
        };
        session.planning()?;
        let change = copy_rejects::made(&session.engine.catalog.snapshot(), new, Change::default())?;
        session.add_change(change)?;
        self.end(session, 0).await
    }

    /// Commits where the statement is alone, and says how many rows there are.
    async fn end(&self, session: &mut Session, rows: u64) -> Result<CommandTag, QueryError> {
        if self.alone {
            session.finish_implicit().await?;
        }
        Ok(CommandTag::Rows("COPY", rows))
    }

    fn tell(&self, session: &mut Session, rejected: u64, left_out: Option<String>) {
        for notice in self.take_notices() {
            session.push_notice(notice);
        }
        if self.options.log_verbosity == LogVerbosity::Silent {
            return;
        }
        if let Some(message) = left_out {
            session.notice(NoticeSeverity::Notice, message);
        }
        if rejected > 0 {
            let rows = if rejected == 1 { "row was" } else { "rows were" };
            let message = format!("{} {rows} skipped due to data type incompatibility", rejected);
            session.notice(NoticeSeverity::Notice, message);
        }
    }
}
