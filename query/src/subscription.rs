//! Subscriptions: a relation's content and then its changes, as long as somebody reads them.
//!
//! ```text
//!     COPY (SUBSCRIBE daily) TO STDOUT
//!
//!     content at S₀ ──▶ wait for a commit ──▶ wait until all was taken ──▶ newest snapshot S₁ ──▶ content(S₁) − content(S₀) ──▶ …
//! ```
//!
//! Each row is sent behind the number of a commit and how many of it came or went. The rows with one number are the whole difference
//! between two committed states, so what was sent up to a number adds up to the content after that commit. Commits that come while a
//! difference is computed or sent are told together, with the last one's number: a slow reader gets fewer and larger differences, and
//! nothing gathers for it. What it holds is the snapshot that it has last seen, and not for longer than `meridian.subscriber_timeout`
//! while it reads nothing.

use crate::activity::StatementToken;
use crate::content::Content;
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execution::{BATCHES_AHEAD_MAX, compute, produced};
use crate::pg_catalog;
use crate::planner::Planning;
use crate::response::{ResultColumn, RowStream};
use crate::session::Session;
use crate::settings::{SUBSCRIBER_TIMEOUT, duration_ms};
use crate::statement::{Isolation, Subscribe, parse_definition};
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_relations;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::{Field, Schema};
use catalog::definition::{ObjectName, ViewDefinition};
use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::{Relation, Snapshot};
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// The longest rest after a difference; it is as long as computing the difference took, so that a subscription leaves half of the time
/// to others.
const REST_MAX: Duration = Duration::from_secs(5);

/// What a client sees of a subscription before its rows.
pub(crate) struct Subscription {
    pub relation: ObjectId,
    pub columns: Vec<ResultColumn>,
    pub rows: RowStream,
}

/// SUBSCRIBE by itself: clients gather the rows of a query until its end, and this has none.
pub(crate) fn outside_of_copy(subscribe: &Subscribe) -> QueryError {
    QueryError::unsupported("SUBSCRIBE outside of COPY")
        .hint(format!("Use COPY (SUBSCRIBE {}) TO STDOUT.", subscribe.relation))
}

/// Starts to follow a relation.
pub(crate) async fn start(session: &mut Session, subscribe: &Subscribe) -> Result<Subscription, QueryError> {
    refuse_in_transaction(session)?;
    let planning = session.planning()?;
    let id = subscribed(&planning, subscribe)?;
    let time_zone = session.settings.get("TimeZone")?;
    let timeout = session.settings.get(SUBSCRIBER_TIMEOUT)?;
    let engine = Arc::clone(&session.engine);
    // What is committed after this is told.
    let commits = engine.catalog.watch();
    let (reader, snapshot) = (Arc::clone(&engine), engine.catalog.snapshot());
    let first = async move { Content::read(&reader, snapshot, id, &time_zone).await };
    let content = compute(&engine, &session.token, first).await?;
    if let Some(transaction) = &mut session.transaction {
        transaction.let_go();
    }
    let columns = told_columns(subscribe.progress, content.columns());
    let follower = Follower {
        token: session.token.clone(),
        patience: duration_ms(&timeout).filter(|milliseconds| *milliseconds > 0).map(Duration::from_millis),
        progress: subscribe.progress,
        engine: Arc::clone(&engine),
        relation: id,
        commits,
        content,
    };
    let with_content = subscribe.snapshot;
    let rows = produced(&engine, move |sender| follower.follow(with_content, sender));
    Ok(Subscription { relation: id, columns, rows })
}

/// A subscription sees each commit, and no change of its own transaction.
fn refuse_in_transaction(session: &Session) -> Result<(), QueryError> {
    let Some(transaction) = &session.transaction else { return Ok(()) };
    let refused = |message: &str| QueryError::new(ErrorKind::ActiveTransaction, message);
    if transaction.explicit && transaction.isolation() != Isolation::ReadCommitted {
        let message = format!("SUBSCRIBE cannot run in a {} transaction", transaction.isolation().name());
        return Err(refused(&message).hint("It reads what each commit leaves; use READ COMMITTED, or no transaction."));
    }
    if transaction.has_changes() {
        let hint = "It reads what is committed; commit the transaction first.";
        return Err(refused("SUBSCRIBE cannot run in a transaction that has changed something").hint(hint));
    }
    Ok(())
}

/// The table or view that is meant.
fn subscribed(planning: &Planning, subscribe: &Subscribe) -> Result<ObjectId, QueryError> {
    let shown = subscribe.relation.to_string();
    let name = planning.object_name(&subscribe.relation)?;
    let wrong =
        |message: String| Err(QueryError::new(ErrorKind::WrongObjectType, message).position(subscribe.position));
    let parts: Vec<String> = subscribe.relation.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    let schema = if parts.len() > 1 { name.schema.as_str() } else { "pg_catalog" };
    if pg_catalog::relation(schema, &name.name).is_some() {
        return wrong(format!("cannot subscribe to the system relation \"{}\"", name.name));
    }
    let relation = planning.relation(&name, &shown).map_err(|error| error.position(subscribe.position))?;
    if planning.snapshot.is_temporary(&name) {
        return Err(QueryError::unsupported("SUBSCRIBE to a temporary relation").position(subscribe.position));
    }
    match relation {
        Relation::Table(table) => Ok(table.definition.id),
        Relation::View(view) if view.definition.is_plain() && reads_clock(planning, &name)? => {
            let message = format!("view \"{}\" depends on who reads it and when", name.name);
            Err(QueryError::new(ErrorKind::FeatureNotSupported, message)
                .hint("Subscribe to a materialized view.")
                .position(subscribe.position))
        }
        Relation::View(view) => Ok(view.definition.id),
        Relation::Sequence(_) => wrong(format!("\"{}\" is not a table or view", name.name)),
    }
}

/// Whether what a plain view gives is not the same for each reader at each time.
fn reads_clock(planning: &Planning, name: &ObjectName) -> Result<bool, QueryError> {
    let Some(Relation::View(view)) = planning.snapshot.relation(name) else { return Ok(false) };
    Ok(reads_system(&planning.snapshot, &view.definition)
        || planning.engine.programs.of(planning, &view.definition)?.reads_session())
}

/// Whether a plain view is of system relations, itself or by the plain views that it reads.
fn reads_system(snapshot: &Snapshot, view: &ViewDefinition) -> bool {
    let is_system = |name: &ast::ObjectName| match name.0.as_slice() {
        [schema, _] => schema.as_ident().is_some_and(|schema| pg_catalog::is_system_schema(&fold(schema))),
        _ => false,
    };
    let visit = |query: &ast::Query| {
        walk_relations(query, |name| if is_system(name) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    let is_direct = parse_definition(&view.query).is_ok_and(|query| visit(&query).is_break());
    let below = view.inputs.iter().filter_map(|input| match snapshot.relation_by_id(*input)? {
        Relation::View(view) if view.definition.is_plain() => Some(&view.definition),
        _ => None,
    });
    is_direct || { below }.any(|below| reads_system(snapshot, below))
}

fn told_columns(progress: bool, content: &[ResultColumn]) -> Vec<ResultColumn> {
    let column = |name: &str, sql_type: SqlType| ResultColumn {
        name: name.to_string(),
        modifier: sql_type.typmod(),
        sql_type,
        domain: None,
        origin: None,
    };
    let mut columns = vec![column("commit_seq", SqlType::Int8)];
    columns.extend(progress.then(|| column("progressed", SqlType::Bool)));
    columns.push(column("diff", SqlType::Int8));
    columns.extend_from_slice(content);
    columns
}

/// What follows a relation.
struct Follower {
    engine: Arc<Engine>,
    token: StatementToken,
    /// How long the reader may read nothing; `None` for ever.
    patience: Option<Duration>,
    progress: bool,
    relation: ObjectId,
    commits: watch::Receiver<CommitSeq>,
    /// What the reader has, or will have when it has read what was sent.
    content: Content,
}

impl Follower {
    /// Sends until the statement is cancelled, the relation is gone or nobody reads any more, which is how a subscription ends.
    async fn follow(mut self, with_content: bool, sender: mpsc::Sender<RecordBatch>) -> Result<(), QueryError> {
        if with_content {
            let rows = self.content.run(self.content.rows().await?, &self.token);
            self.send(&sender, rows, self.content.seq()).await?;
        }
        self.tell_progress(&sender).await?;
        loop {
            let token = self.token.clone();
            if token.guard(async { Ok(self.commits.changed().await) }).await?.is_err() {
                return Err(QueryError::new(
                    ErrorKind::AdminShutdown,
                    "terminating connection due to administrator command",
                ));
            }
            // What comes while the reader is not done becomes part of the next difference.
            drop(self.wait(sender.reserve_many(BATCHES_AHEAD_MAX)).await?);
            self.commits.borrow_and_update();
            let started = Instant::now();
            self.go_on(&sender).await?;
            self.tell_progress(&sender).await?;
            let rest = started.elapsed().min(REST_MAX);
            self.rest(rest).await?;
        }
    }

    async fn rest(&self, time: Duration) -> Result<(), QueryError> {
        let rested = async {
            tokio::time::sleep(time).await;
            Ok(())
        };
        self.token.guard(rested).await
    }

    /// Goes on to the newest snapshot.
    async fn go_on(&mut self, sender: &mpsc::Sender<RecordBatch>) -> Result<(), QueryError> {
        let snapshot = self.engine.catalog.snapshot();
        if snapshot.relation_by_id(self.relation).is_none() {
            return Err(self.dropped());
        }
        let changed_by = self.content.changed_by(&snapshot);
        let token = self.token.clone();
        let next = token.guard(self.content.at(Arc::clone(&snapshot))).await?;
        if let Some(seq) = changed_by {
            let changes = token.guard(next.changes_since(&self.content)).await?;
            self.send(sender, next.run(changes, &token), seq).await?;
        }
        self.content = next;
        Ok(())
    }

    fn dropped(&self) -> QueryError {
        let name = self.content.name();
        QueryError::new(ErrorKind::UndefinedTable, format!("relation \"{name}\" was dropped"))
            .detail(format!("What was sent is its content after commit {}.", self.content.seq()))
            .table(name)
    }

    /// Sends rows that begin with how many of them there are.
    async fn send(
        &self,
        sender: &mpsc::Sender<RecordBatch>,
        mut rows: RowStream,
        seq: CommitSeq,
    ) -> Result<(), QueryError> {
        while let Some(batch) = rows.next().await {
            self.wait(sender.send(self.told(seq, &batch?)?)).await?;
        }
        Ok(())
    }

    /// Says that all up to the content's commit was sent.
    async fn tell_progress(&self, sender: &mpsc::Sender<RecordBatch>) -> Result<(), QueryError> {
        if !self.progress {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![self.content.seq().0 as i64])),
            Arc::new(BooleanArray::from(vec![true])),
            Arc::new(Int64Array::new_null(1)),
        ];
        let content = self.content.columns().iter();
        columns.extend(content.map(|column| new_null_array(&column.sql_type.data_type(), 1)));
        self.wait(sender.send(batch_of(columns)?)).await
    }

    /// A batch as it is told.
    fn told(&self, seq: CommitSeq, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![seq.0 as i64; rows]))];
        if self.progress {
            columns.push(Arc::new(BooleanArray::from(vec![false; rows])));
        }
        columns.extend(batch.columns().iter().cloned());
        batch_of(columns)
    }

    /// Waits for the reader, which may be gone: then the task is about to be ended.
    async fn wait<T, E>(&self, room: impl Future<Output = Result<T, E>>) -> Result<T, QueryError> {
        let limited = async {
            match self.patience {
                Some(patience) => tokio::time::timeout(patience, room).await.map_err(|_| self.too_slow(patience)),
                None => Ok(room.await),
            }
        };
        let outcome = self.token.guard(limited).await?;
        outcome.map_err(|_| QueryError::new(ErrorKind::QueryCanceled, "the subscription is not read any more"))
    }

    fn too_slow(&self, patience: Duration) -> QueryError {
        let message = "canceling subscription because the client does not read";
        QueryError::new(ErrorKind::QueryCanceled, message)
            .detail(format!("It took nothing for {} s.", patience.as_secs()))
            .hint(format!("Read faster, or raise \"{SUBSCRIBER_TIMEOUT}\"."))
    }
}

fn batch_of(columns: Vec<ArrayRef>) -> Result<RecordBatch, QueryError> {
    let fields = columns.iter().map(|column| Field::new("", column.data_type().clone(), true));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns);
    batch.map_err(|error| translate(error.into(), None))
}
