//! Sessions: one client's state, and the life of a statement.
//!
//! 1. `parse` cuts the client's text into statements (`statement`).
//! 2. `prepare` plans a statement far enough to know its parameters and columns (`planner`).
//! 3. `execute` takes the snapshot that the statement reads: the committed one with the transaction's own draft on top (`transaction`).
//! 4. Queries become a physical plan whose batches stream to the server (`execution`); writers return a change (`insert`, `delete`,
//!    `copy_in`, `definitions`), which is added to the transaction's draft.
//! 5. The end of the transaction gives the draft to the catalog, which makes it durable and publishes it (`Engine::commit`).
//!
//! A statement alone in its transaction that conflicts with another commit is run again on a fresh snapshot.

mod inserts;
mod names;
mod parameters;
mod transactions;

use crate::activity::{Activity, CancelHandle, StatementToken};
use crate::copy_progress::CopyProgress;
use crate::cursor::Cursor;
use crate::engine::{ConnectOptions, Engine, commit_error, now_micros};
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::execution::{AbortOnDrop, ready};
use crate::functions::RandomNumbers;
use crate::notifications::{AnnouncementMark, Announcements, Mailbox, Notification};
use crate::planner::Planning;
use crate::planning_state::PlanningState;
use crate::prepared::{NamedStatements, Planned, Prepared, with_current_labels};
use crate::response::{CommandTag, ParameterValue, Response, TransactionStatus};
use crate::row_inserts::{self, Head, Shape, WaitingRows};
use crate::sequences::{SessionNumbers, StatementSequences};
use crate::settings::Settings;
use crate::statement::{Statement, StatementKind};
use crate::system_facts::{self, SystemSource};
use crate::temporary::TemporarySpace;
use crate::transaction::{Change, Ended, Transaction};
use crate::transaction_modes::SharedModes;
use crate::turns::{Passage, Reservation, Turn, UNRESERVED_TRIES_MAX, pause_after};
use crate::types::OutputStyle;
use crate::write_holds::WriteHold;
use catalog::commit::CommitError;
use catalog::definition::TableDefinition;
use catalog::draft::{CommitDraft, Op};
use catalog::ids::ObjectId;
use catalog::snapshot::Snapshot;
use catalog::sql_type::SqlType;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use storage::staging::StagedSegments;

/// How often a statement alone in its transaction is run again after a conflict.
const RETRIES_MAX: usize = 20;
/// As much of a running statement's text as others see.
const STATEMENT_SHOWN_BYTES_MAX: usize = 1024;

/// One client's session. Not shared: the server drives it one message at a time.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) user: String,
    pub(crate) process_id: i32,
    /// The two ends of the client's connection.
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
    pub(crate) settings: Settings,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) temporary: Option<TemporarySpace>,
    pub(crate) cursors: BTreeMap<String, Cursor>,
    /// How many cursors have ever been declared.
    pub(crate) cursors_declared: u64,
    pub(crate) prepared: NamedStatements,
    pub(crate) planned: Option<Planned>,
    /// What the last INSERT of plain rows had in common with the next one like it.
    pub(crate) row_shape: Option<Arc<Shape>>,
    /// What texts of it begin with.
    pub(crate) row_head: Option<Head>,
    pub(crate) numbers: Arc<Mutex<SessionNumbers>>,
    pub(crate) random: Arc<RandomNumbers>,
    pub(crate) token: StatementToken,
    /// Of the statement that runs, where it has lost to others too often.
    reservation: Weak<Reservation>,
    /// Of the open transaction, and of rows that are still computed for one that is committed.
    pub(crate) announcements: Arc<Mutex<Announcements>>,
    mailbox: Arc<Mailbox>,
    notices: Vec<Notice>,
    cancel: CancelHandle,
    activity: Arc<Mutex<Activity>>,
    timer: Option<AbortOnDrop>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("process_id", &self.process_id)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, options: ConnectOptions) -> Result<Self, QueryError> {
        let settings = Settings::new(&options.user, &engine, &options.settings)?;
        let cancel = CancelHandle::default();
        let activity = Activity {
            process_id: options.process_id,
            user: options.user.clone(),
            application_name: settings.get("application_name").unwrap_or_default(),
            client: options.ends.map(|(client, _)| client),
            connected_at_micros: now_micros(),
            state: "idle",
            queued: cancel.queued(),
            ..Activity::default()
        };
        let activity = engine.registry.add(activity, cancel.clone(), options.farewell);
        Ok(Self {
            engine,
            user: options.user,
            process_id: options.process_id,
            ends: options.ends,
            settings,
            transaction: None,
            temporary: None,
            cursors: BTreeMap::new(),
            cursors_declared: 0,
            prepared: NamedStatements::default(),
            planned: None,
            row_shape: None,
            row_head: None,
            numbers: Arc::default(),
            random: Arc::default(),
            token: cancel.next_statement(),
            reservation: Weak::new(),
            announcements: Arc::default(),
            mailbox: Arc::default(),
            notices: Vec::new(),
            cancel,
            activity,
            timer: None,
        })
    }

    /// Cuts a text into its statements; an error's position counts in the whole text.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>, QueryError> {
        crate::statement::parse(sql)
    }

    /// Finds a statement's parameters and columns. `parameter_types` are those that the client declared; missing ones are inferred.
    pub async fn prepare(
        &mut self,
        statement: &Statement,
        parameter_types: &[Option<SqlType>],
    ) -> Result<Arc<Prepared>, QueryError> {
        self.refuse_when_failed(&statement.kind)?;
        if !matches!(statement.kind, StatementKind::Insert(..)) {
            row_inserts::settle(self).await?;
        }
        let begun = self.ensure_transaction();
        // The times of FOR SYSTEM_TIME are read here.
        self.start_timer();
        let prepared = Prepared::plan(self, statement, parameter_types).await;
        self.timer = None;
        if begun && self.transaction.as_ref().is_some_and(|transaction| !transaction.has_changes()) {
            self.transaction = None;
        }
        prepared.map(Arc::new)
    }

    /// Runs a prepared statement. With `autocommit` it is alone in its implicit transaction: it is committed here, and run again
    /// on a fresh snapshot where it conflicted.
    pub async fn execute(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: Vec<ParameterValue>,
        autocommit: bool,
    ) -> Result<Response, QueryError> {
        self.refuse_when_failed(&prepared.statement.kind)?;
        self.start_timer();
        let alone = autocommit && self.transaction.is_none();
        let mut turn: Option<Turn> = None;
        // Ends with the statement.
        let mut reservation: Option<Arc<Reservation>> = None;
        let notices_before = self.notices.len();
        for attempt in 0.. {
            self.notices.truncate(notices_before);
            self.ensure_transaction();
            let outcome = self.execute_once(prepared, &parameters, alone).await;
            let outcome = match outcome {
                Ok(response) if alone && self.transaction.as_ref().is_some_and(|transaction| !transaction.explicit) => {
                    self.commit_if_done(response).await
                }
                other => other,
            };
            match outcome {
                Err(error) if alone && error.kind == ErrorKind::SerializationFailure && attempt < RETRIES_MAX => {
                    self.transaction = None;
                    self.announcements = Arc::default();
                    if turn.is_none()
                        && let Some(table) = &error.table
                    {
                        let engine = Arc::clone(&self.engine);
                        turn = Some(self.token.guard(async { Ok(engine.turns.take(table).await) }).await?);
                    }
                    if attempt >= UNRESERVED_TRIES_MAX && reservation.is_none() {
                        let reserved = turn.as_ref().map(|turn| Arc::new(self.engine.turns.reserve(turn)));
                        self.reservation = reserved.as_ref().map(Arc::downgrade).unwrap_or_default();
                        reservation = reserved;
                    }
                    if let Some(pause) = pause_after(attempt) {
                        let paused = async {
                            tokio::time::sleep(pause).await;
                            Ok(())
                        };
                        self.token.guard(paused).await?;
                    }
                }
                other => return other,
            }
        }
        unreachable!("the loop above ends by returning")
    }

    /// Commits after a statement that is done; a COPY that waits for data commits when it has it. Rows that are still to be computed may
    /// announce something, and may fail: what is announced waits for their end.
    async fn commit_if_done(&mut self, response: Response) -> Result<Response, QueryError> {
        match response {
            Response::CopyIn(_) => {}
            Response::Rows { .. } | Response::CopyOut { .. } => self.commit().await?,
            Response::Command(_) | Response::Empty => self.finish_implicit().await?,
        }
        Ok(response)
    }

    async fn execute_once(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: &[ParameterValue],
        alone: bool,
    ) -> Result<Response, QueryError> {
        let prepared = &with_current_labels(self, prepared)?;
        let statement = &prepared.statement;
        let types = &prepared.parameters;
        if let Some(added) = row_inserts::add(self, &prepared.row_insert, statement, types, parameters).await? {
            let Some((columns, batch)) = added.returned else {
                return Ok(Response::Command(CommandTag::Rows("INSERT", added.rows)));
            };
            let response = Response::Rows { columns, stream: ready(vec![batch]), verb: "INSERT", counted: true };
            prepared.check_columns(&response)?;
            return Ok(response);
        }
        row_inserts::settle(self).await?;
        match &statement.kind {
            StatementKind::Begin(modes) => self.begin(*modes),
            StatementKind::Commit { chain } => {
                let next = self.next_modes("COMMIT", *chain)?;
                let response = self.commit_explicit().await?;
                self.chained(next).map(|()| response)
            }
            StatementKind::Rollback { chain } => {
                let next = self.next_modes("ROLLBACK", *chain)?;
                let response = self.rollback_explicit()?;
                self.chained(next).map(|()| response)
            }
            StatementKind::Savepoint(name) => self.savepoint(name),
            StatementKind::Release(name) => {
                self.in_block("RELEASE SAVEPOINT", |transaction| transaction.release(name), "RELEASE")
            }
            StatementKind::RollbackTo(name) => self.rollback_to(name),
            StatementKind::SetTransaction(modes) => self.set_transaction(*modes),
            StatementKind::SetCharacteristics(modes) => self.set_characteristics(*modes),
            _ => {
                let response = crate::dispatch::run(self, prepared, parameters, alone).await?;
                prepared.check_columns(&response)?;
                Ok(response)
            }
        }
    }

    /// Ends the implicit transaction, if one is open: at the end of a query string, and at Sync.
    pub async fn finish_implicit(&mut self) -> Result<(), QueryError> {
        match &self.transaction {
            Some(transaction) if !transaction.explicit => self.commit().await?,
            Some(_) => return Ok(()),
            // A statement alone was committed before its rows were computed.
            None => {}
        }
        self.publish_announced();
        Ok(())
    }

    /// After an error was sent: an implicit transaction is rolled back, an explicit one waits for ROLLBACK.
    pub fn abort(&mut self) {
        self.timer = None;
        match &mut self.transaction {
            Some(transaction) if transaction.explicit => transaction.failed = true,
            Some(_) => self.end_transaction(false),
            None => self.announcements = Arc::default(),
        }
    }

    pub fn transaction_status(&self) -> TransactionStatus {
        match &self.transaction {
            Some(transaction) if transaction.failed => TransactionStatus::Failed,
            Some(transaction) if transaction.explicit => TransactionStatus::InTransaction,
            _ => TransactionStatus::Idle,
        }
    }

    /// How long the client may say nothing now, and what ends its connection then.
    pub fn idle_limit(&self) -> Option<(Duration, QueryError)> {
        let often = self.settings.often();
        let (limit, kind, what) = match self.transaction_status() {
            TransactionStatus::Idle => (often.idle, ErrorKind::IdleSession, "idle-session"),
            TransactionStatus::InTransaction | TransactionStatus::Failed => {
                (often.idle_in_transaction, ErrorKind::IdleInTransaction, "idle-in-transaction")
            }
        };
        limit.map(|limit| (limit, QueryError::new(kind, format!("terminating connection due to {what} timeout"))))
    }

    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Ends when there is something to be told. Safe to drop.
    pub async fn notified(&self) {
        self.mailbox.arrived().await;
    }

    /// What the session is to be told, outside of a transaction.
    pub fn take_notifications(&mut self) -> Vec<Notification> {
        self.mailbox.take()
    }

    /// Reported settings that changed since the last call.
    pub fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        let changes = self.settings.take_changes();
        if let Some((_, name)) = changes.iter().find(|(name, _)| name == "application_name") {
            self.activity.lock().application_name.clone_from(name);
        }
        changes
    }

    /// All reported settings, for the start of a connection.
    pub fn reported_settings(&self) -> Vec<(String, String)> {
        self.settings.reported()
    }

    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Notes what runs from now on. A cancel that came before is forgotten.
    pub fn statement_started(&mut self, text: &str) {
        self.cancel.renew(&mut self.token);
        self.numbers.lock().forget_retry();
        let mut activity = self.activity.lock();
        activity.state = "active";
        let shown = &text[..text.floor_char_boundary(STATEMENT_SHOWN_BYTES_MAX)];
        if activity.statement != shown {
            activity.statement.clear();
            activity.statement.push_str(shown);
        }
        activity.statement_at_micros = Some(now_micros());
    }

    /// Notes that the client has its answer.
    pub fn statement_ended(&mut self) {
        self.planned = None;
        self.timer = None;
        self.activity.lock().state = match self.transaction_status() {
            TransactionStatus::Idle => "idle",
            TransactionStatus::InTransaction => "idle in transaction",
            TransactionStatus::Failed => "idle in transaction (aborted)",
        };
    }

    /// Memory of the rows that the open transaction will put inline into the log.
    pub(crate) fn inline_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, Transaction::inline_bytes)
    }

    pub fn output_style(&self) -> OutputStyle {
        self.settings.output_style()
    }

    /// The type that a client means by an OID; `None` for one that there is not.
    pub fn type_of_oid(&mut self, oid: u32) -> Result<Option<SqlType>, QueryError> {
        if let Some(known) = SqlType::from_oid(oid) {
            return Ok(Some(known));
        }
        let _types = self.planning()?.knows_types();
        Ok(crate::user_types::type_of_oid(oid))
    }

    // ---- for the rooms behind ----

    pub(crate) fn notice(&mut self, severity: NoticeSeverity, message: impl Into<String>) {
        self.push_notice(Notice { severity, kind: None, message: message.into(), detail: None, hint: None });
    }

    /// Keeps a notice for the client, if it is told such.
    pub(crate) fn push_notice(&mut self, notice: Notice) {
        if self.settings.often().told.includes(notice.severity) {
            self.notices.push(notice);
        }
    }

    /// Shows others how far a COPY is, as long as the counters live.
    pub(crate) fn begin_copy(&mut self, progress: CopyProgress) -> Arc<CopyProgress> {
        let progress = Arc::new(progress);
        self.activity.lock().copy = Arc::downgrade(&progress);
        progress
    }

    /// A notice with a code of its own.
    pub(crate) fn notice_of(&mut self, severity: NoticeSeverity, kind: ErrorKind, message: impl Into<String>) {
        self.push_notice(Notice { severity, kind: Some(kind), message: message.into(), detail: None, hint: None });
    }

    /// Planning over the snapshot that this statement reads.
    pub(crate) fn planning(&mut self) -> Result<Arc<Planning>, QueryError> {
        let engine = Arc::clone(&self.engine);
        self.ensure_transaction();
        let transaction = self.transaction.as_mut().expect("just ensured");
        let snapshot = transaction.snapshot(&engine)?;
        Ok(Arc::new(self.planning_at(snapshot)))
    }

    /// Holds a table whose rows the statement will name, and plans over a snapshot that is taken with the table held, so that what is
    /// found there stays where it is.
    pub(crate) async fn hold(&mut self, table: ObjectId) -> Result<(WriteHold, Arc<Planning>), QueryError> {
        let again = self.transaction.as_ref().is_some_and(|transaction| transaction.holds(table));
        let holds = self.engine.holds.clone();
        let hold = self.token.guard(async { Ok(holds.hold(table, again).await) }).await?;
        let planning = self.planning()?;
        if let Some(committed) = self.committed() {
            hold.looks_at(committed.seq);
        }
        Ok((hold, planning))
    }

    pub(crate) fn planning_at(&self, snapshot: Arc<Snapshot>) -> Planning {
        let time_zone = self.settings.get("TimeZone").unwrap_or_else(|_| "UTC".into());
        let state = PlanningState::new(&self.engine, time_zone);
        let transaction = self.transaction.as_ref();
        let state = match transaction {
            Some(transaction) => state.at(transaction.began),
            None => state,
        };
        let sequences = Arc::new(self.sequences(&snapshot));
        let facts = Arc::new(system_facts::session_facts(self, Arc::clone(&sequences)));
        let system = Arc::new(SystemSource::of(self, Arc::clone(&sequences)));
        let committed = match transaction {
            Some(transaction) => transaction.is_unchanged(&snapshot),
            None => Arc::ptr_eq(&snapshot, &sequences.base),
        };
        let reads = transaction.map(Transaction::reads).unwrap_or_default();
        let planning = Planning::new(Arc::clone(&self.engine), state, snapshot, facts, system);
        let planning = planning.noting_reads(reads).of_statement(self.token.clone());
        if committed { planning.over_committed() } else { planning }
    }

    /// The sequences as a statement over the snapshot may use them.
    pub(crate) fn sequences(&self, snapshot: &Arc<Snapshot>) -> StatementSequences {
        let transaction = self.transaction.as_ref();
        StatementSequences {
            engine: Arc::clone(&self.engine),
            base: transaction.and_then(Transaction::base).unwrap_or_else(|| Arc::clone(snapshot)),
            snapshot: Arc::clone(snapshot),
            own: transaction.map(Transaction::numbers).unwrap_or_default(),
            temporary: self.temporary.as_ref().map(|space| Arc::clone(&space.numbers)).unwrap_or_default(),
            session: Arc::clone(&self.numbers),
            read_only: transaction.is_some_and(Transaction::is_read_only),
        }
    }

    /// The committed state that the statement reads, without what its own transaction did.
    pub(crate) fn committed(&self) -> Option<Arc<Snapshot>> {
        self.transaction.as_ref().and_then(Transaction::base)
    }

    /// Adds what a statement changes to its transaction.
    pub(crate) fn add_change(&mut self, change: Change) -> Result<(), QueryError> {
        let transaction = self.transaction.as_mut().expect("a statement runs in a transaction");
        for op in &change.ops {
            // A definition that was undone may have had the same version, and numbers taken of it.
            if let (Op::AlterSequence { definition, .. }, Some(space)) = (op, &self.temporary) {
                space.numbers.lock().remove(&(definition.id, definition.version));
            }
        }
        transaction.add(change)
    }

    /// Refuses a command that writes where the transaction only reads.
    pub(crate) fn refuse_when_read_only(&self, command: &str) -> Result<(), QueryError> {
        match &self.transaction {
            Some(transaction) if transaction.is_read_only() => Err(QueryError::new(
                ErrorKind::ReadOnlyTransaction,
                format!("cannot execute {command} in a read-only transaction"),
            )),
            _ => Ok(()),
        }
    }

    /// Whether a transaction block, begun by the client, is open.
    pub(crate) fn in_transaction_block(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.explicit)
    }

    /// The rows that wait in the transaction for a table as it is defined now.
    pub(crate) fn take_waiting(&mut self, definition: &Arc<TableDefinition>) -> Option<WaitingRows> {
        let waiting = &mut self.transaction.as_mut()?.waiting;
        let place = waiting.iter().position(|rows| Arc::ptr_eq(rows.definition(), definition))?;
        Some(waiting.swap_remove(place))
    }

    // ---- transactions ----

    fn ensure_transaction(&mut self) -> bool {
        if self.transaction.is_some() {
            return false;
        }
        let modes = SharedModes::new(self.settings.often().modes);
        self.transaction = Some(Transaction::new(modes.clone()));
        self.share_temporary();
        self.settings.begin(modes);
        true
    }

    /// Lets the open transaction see the session's temporary objects.
    pub(crate) fn share_temporary(&mut self) {
        self.ensure_transaction();
        if let (Some(transaction), Some(space)) = (&mut self.transaction, &self.temporary) {
            transaction.share(&space.current);
        }
    }

    fn refuse_when_failed(&self, kind: &StatementKind) -> Result<(), QueryError> {
        if kind.ends_failed_block() { Ok(()) } else { self.refuse_in_failed_block() }
    }

    /// Fails in a transaction block that an error has ended for all but what leaves it.
    pub fn refuse_in_failed_block(&self) -> Result<(), QueryError> {
        let failed = self.transaction_status() == TransactionStatus::Failed;
        if failed { Err(failed_transaction()) } else { Ok(()) }
    }

    /// Commits the open transaction. What it announced is left to be published.
    async fn commit(&mut self) -> Result<(), QueryError> {
        let settled = row_inserts::settle(self).await;
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        let outcome = match settled.and_then(|()| transaction.into_ended()) {
            Err(error) => Err(error),
            Ok(None) => Ok(()),
            Ok(Some(ended)) => self.make_so(ended).await,
        };
        if outcome.is_err() {
            self.announcements = Arc::default();
        }
        self.settings.end(outcome.is_ok());
        self.close_cursors(outcome.is_ok());
        outcome
    }

    /// Tells what was announced by a transaction that is committed. The next one has a list of its own, which no task of this one
    /// reaches; cursors that stay open go on with theirs.
    fn publish_announced(&mut self) {
        let announced = std::mem::take(&mut *self.announcements.lock());
        if !announced.is_empty() && self.cursors.is_empty() {
            self.announcements = Arc::default();
        }
        self.engine.channels.publish(self.process_id, &self.mailbox, announced);
    }

    /// Forgets what was announced since a savepoint, and what a statement that failed may still announce. Cursors that stay open go on
    /// with their list.
    fn return_to_announced(&mut self, mark: AnnouncementMark) {
        let mut announced = std::mem::take(&mut *self.announcements.lock());
        announced.return_to(mark);
        match self.cursors.is_empty() {
            true => self.announcements = Arc::new(Mutex::new(announced)),
            false => *self.announcements.lock() = announced,
        }
    }

    /// Commits what a transaction leaves: what everybody sees, and then what only the session does.
    async fn make_so(&mut self, ended: Ended) -> Result<(), QueryError> {
        let Ended { draft, staged, holds: _holds, locks, temporary } = ended;
        let _passage = match locks.is_empty() {
            true => self.pass_reservations(&draft).await?,
            false => None,
        };
        let base = Arc::clone(&draft.base);
        let failed = |error: CommitError| commit_error(error.named(&base));
        let Some(objects) = temporary else {
            return self.engine.commit(draft, staged).await.map(drop).map_err(failed);
        };
        let added: Vec<_> = staged.iter().flat_map(StagedSegments::metas).collect();
        if draft.ops.is_empty() {
            staged.into_iter().for_each(StagedSegments::keep);
        } else {
            self.engine.commit(draft, staged).await.map_err(failed)?;
        }
        self.engine.catalog.adopt(&added);
        if let Some(space) = &mut self.temporary {
            space.replace(objects).await;
        }
        Ok(())
    }

    /// Waits while somebody else has reserved a table whose rows a draft changes. Nobody goes on who locks one before the passage has
    /// ended.
    async fn pass_reservations(&self, draft: &CommitDraft) -> Result<Option<Passage>, QueryError> {
        if self.reservation.strong_count() > 0 {
            return Ok(None);
        }
        let changed = draft.ops.iter().filter_map(|op| match op {
            Op::AddSegments { table, .. }
            | Op::AddRecent { table, .. }
            | Op::Delete { table, .. }
            | Op::Truncate { table } => draft.base.tables.get(table),
            _ => None,
        });
        let tables: HashSet<String> = changed.map(|version| version.definition.name.name.clone()).collect();
        if tables.is_empty() {
            return Ok(None);
        }
        self.token.guard(async { Ok(Some(self.engine.turns.pass(&tables).await)) }).await
    }

    fn end_transaction(&mut self, committed: bool) {
        self.transaction = None;
        self.announcements = Arc::default();
        self.settings.end(committed);
        self.close_cursors(committed);
    }

    /// Starts the clock of `statement_timeout`.
    fn start_timer(&mut self) {
        self.timer = self.settings.often().statement_timeout_ms.map(|milliseconds| {
            let token = self.token.clone();
            // Not where statements compute: a busy thread there would hold the clock.
            let task = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                token.timeout();
            });
            AbortOnDrop(task.abort_handle())
        });
    }
}

fn failed_transaction() -> QueryError {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    QueryError::new(ErrorKind::InFailedTransaction, message)
}

impl Drop for Session {
    fn drop(&mut self) {
        self.engine.registry.remove(self.process_id);
        self.engine.channels.remove(self.process_id);
    }
}
