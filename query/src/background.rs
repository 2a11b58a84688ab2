//! Background work: folding views, folding recent rows into segments, merging small segments, reaping files.
//!
//! One loop wakes up when something was committed and commits have come to rest, when time has passed, or when it is asked to. Each
//! kind of work makes a draft from one snapshot; the draft is committed through the same door as a user's, and loses against a user's
//! where they conflict.

use crate::background_tasks::{TaskKind, TaskLog};
use crate::engine::{Engine, commit_error, now_micros, storage_error};
use crate::error::{ErrorKind, QueryError};
use crate::execution::{AbortOnDrop, joined};
use crate::intake::{RECENT_BYTES_MAX, recent_bytes};
use crate::response::{CommandTag, Response};
use crate::retention;
use crate::rewrites::Rewrites;
use crate::session::Session;
use crate::view_folding::{dropped_state, fold, outdated_states};
use crate::view_folds::{FoldLog, FoldOutcome, FoldRecord};
use catalog::FileError;
use catalog::commit::{Commit, CommitError};
use catalog::definition::FIRST_VERSION;
use catalog::draft::{CommitDraft, Expectation, Op};
use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::Snapshot;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How often the loop looks around when nothing wakes it.
const TICK: Duration = Duration::from_millis(500);
/// How long commits must have been at rest before the loop works on what they left, so that it works once for many small ones, and
/// not while whoever committed reads what came of it.
const REST: Duration = Duration::from_millis(100);
/// How often it looks whether they are: to be woken by each of thousands a second would cost as much as they do.
const LOOK: Duration = Duration::from_millis(25);
/// How long it waits for that.
const REST_AWAITED_MAX: Duration = Duration::from_millis(500);
/// How long a fold that failed rests, first and at most.
const FOLD_PAUSE_MIN: Duration = Duration::from_secs(1);
const FOLD_PAUSE_MAX: Duration = Duration::from_secs(300);
/// How often the history is looked through in the time that it is kept for, and the longest pause in between.
const FORGETS_PER_RETENTION: u32 = 100;
const FORGET_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often rows that are older than their table's retention are looked for.
const RETENTION_PAUSE: Duration = Duration::from_secs(60);
/// The most log that is kept to read the past from, however young it is.
const HISTORY_LOG_BYTES_MAX: u64 = 16 << 30;
/// How often a build is tried when others commit in between.
const BUILD_TRIES_MAX: usize = 100;

/// What the loop is told.
enum Event {
    /// Fold everything that can be folded, then answer.
    FoldAll(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    folds: FoldLog,
    tasks: TaskLog,
    /// Views whose last fold failed.
    failed: Mutex<HashMap<ObjectId, FailedFold>>,
    /// Tables with too many recent rows.
    full: Mutex<HashSet<ObjectId>>,
    /// One fold of a view at a time.
    folding: tokio::sync::Mutex<()>,
}

impl Shared {
    fn note_failure(&self, id: ObjectId, at: CommitSeq) {
        let mut failed = self.failed.lock();
        let next = FailedFold::after(failed.get(&id).copied(), at);
        failed.insert(id, next);
    }
}

/// A fold that failed is tried again when its inputs have changed, and not before it had time to rest.
#[derive(Clone, Copy, Debug)]
struct FailedFold {
    at: CommitSeq,
    rest: Rest,
}

impl FailedFold {
    fn after(previous: Option<Self>, at: CommitSeq) -> Self {
        Self { at, rest: Rest::after(previous.map(|previous| previous.rest)) }
    }

    fn rests(&self, touched: CommitSeq) -> bool {
        touched <= self.at || !self.rest.is_over()
    }
}

/// The pause behind a failure, twice as long as that behind the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    again: Instant,
    pause: Duration,
}

impl Rest {
    pub(crate) fn after(previous: Option<Self>) -> Self {
        let pause = previous.map_or(FOLD_PAUSE_MIN, |previous| (previous.pause * 2).min(FOLD_PAUSE_MAX));
        Self { again: Instant::now() + pause, pause }
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.again
    }
}

/// The handle of the loop.
#[derive(Debug)]
pub(crate) struct Background {
    events: mpsc::Sender<Event>,
    shared: Arc<Shared>,
}

impl Background {
    /// Starts it on threads that give way: hardly anybody waits for what it does, and who reads a view meanwhile brings it up to date alone.
    pub(crate) fn start(
        engine: Weak<Engine>,
        bulk: &tokio::runtime::Handle,
        commits: watch::Receiver<CommitSeq>,
    ) -> Self {
        let (events, received) = mpsc::channel(16);
        bulk.spawn(run(engine, commits, received));
        Self { events, shared: Arc::default() }
    }

    /// Ends the loop after the work it is at.
    pub(crate) async fn stop(&self) {
        self.ask(Event::Stop).await;
    }

    /// Folds all that is pending.
    pub(crate) async fn fold_all(&self) {
        self.ask(Event::FoldAll).await;
    }

    async fn ask(&self, event: impl FnOnce(oneshot::Sender<()>) -> Event) {
        let (answer, answered) = oneshot::channel();
        if self.events.send(event(answer)).await.is_ok() {
            let _ = answered.await;
        }
    }

    /// What it works on, and what it did.
    pub(crate) fn tasks(&self) -> &TaskLog {
        &self.shared.tasks
    }

    /// Whether a table had more recent rows, when it was last looked at, than may be in memory.
    pub(crate) fn is_full(&self, table: ObjectId) -> bool {
        self.shared.full.lock().contains(&table)
    }

    /// Notes which tables have too many recent rows.
    pub(crate) fn note_full(&self, full: HashSet<ObjectId>) {
        *self.shared.full.lock() = full;
    }

    /// What the last folds did.
    pub(crate) fn folds(&self) -> &FoldLog {
        &self.shared.folds
    }
}

/// When there is work for the loop.
#[derive(Clone, Copy)]
struct Due {
    /// When the first commit was seen that it has not worked on, and when another one was seen last.
    commits: Option<(Instant, Instant)>,
    /// When to look again.
    look: Instant,
}

impl Due {
    fn in_a_tick() -> Self {
        Self { commits: None, look: Instant::now() + TICK }
    }

    fn note_commit(&mut self) {
        let now = Instant::now();
        self.commits = Some((self.commits.map_or(now, |(first, _)| first), now));
        self.look = now + LOOK;
    }

    /// Whether commits should rest first; then it is looked after them again.
    fn awaits_rest(&mut self) -> bool {
        let now = Instant::now();
        let rested = self.commits.map(|(first, last)| (last + REST).min(first + REST_AWAITED_MAX));
        let awaits = rested.is_some_and(|rested| now < rested);
        if let Some(rested) = rested.filter(|_| awaits) {
            self.look = (now + LOOK).min(rested);
        }
        awaits
    }
}

async fn run(engine: Weak<Engine>, mut commits: watch::Receiver<CommitSeq>, mut events: mpsc::Receiver<Event>) {
    let mut rounds = Rounds::default();
    let mut due = Due::in_a_tick();
    loop {
        let event = tokio::select! {
            event = events.recv() => match event {
                Some(event) => Some(event),
                None => return,
            },
            changed = commits.changed(), if due.commits.is_none() => match changed {
                Ok(()) => {
                    due.note_commit();
                    continue;
                }
                Err(_) => return,
            },
            () = tokio::time::sleep_until(due.look.into()) => {
                match commits.has_changed() {
                    Ok(true) => {
                        commits.mark_unchanged();
                        due.note_commit();
                    }
                    Ok(false) => {}
                    Err(_) => return,
                }
                if due.awaits_rest() {
                    continue;
                }
                None
            }
        };
        let Some(engine) = engine.upgrade() else { return };
        match event {
            Some(Event::Stop(answer)) => {
                let _ = answer.send(());
                return;
            }
            Some(Event::FoldAll(answer)) => {
                rounds = awaited(&engine, rounds).await;
                let _ = answer.send(());
            }
            None => rounds.work(&engine, false).await,
        }
        due = Due::in_a_tick();
    }
}

/// Does a round that somebody waits for, on threads that do not give way.
async fn awaited(engine: &Arc<Engine>, mut rounds: Rounds) -> Rounds {
    let worker = Arc::clone(engine);
    let round = engine.compute().spawn(async move {
        rounds.work(&worker, true).await;
        Ok(rounds)
    });
    joined(round.await).unwrap_or_default()
}

/// Reads the states of all views whole, once after a start. One that is damaged is dropped and built again: it is derived, and
/// nobody should have to restore it.
async fn drop_damaged_states(engine: &Arc<Engine>) {
    let snapshot = engine.catalog.snapshot();
    for (id, view) in snapshot.views.iter() {
        let metas: Vec<_> = view.state.iter().flat_map(|state| state.segments.values()).collect();
        let metas: Vec<_> = metas.into_iter().map(|segment| Arc::clone(&segment.meta)).collect();
        if view.frontier.is_none() || metas.is_empty() {
            continue;
        }
        let worker = Arc::clone(engine);
        let task = engine
            .compute()
            .spawn_blocking(move || metas.iter().try_for_each(|meta| worker.store.verify(meta)).map_err(storage_error));
        let Err(error) = joined(task.await) else { continue };
        tracing::warn!(view = %view.definition.name, %error, "a view's state is damaged; it is built again");
        let dropped = engine.commit(dropped_state(&snapshot, *id), Vec::new()).await;
        if let Err(error) = note_outcome(dropped.map(drop)) {
            tracing::warn!(view = %view.definition.name, %error, "a damaged state could not be dropped");
        }
    }
}

/// Gives every view the state that this build keeps of it, once after a start.
async fn begin_outdated_states(engine: &Arc<Engine>) {
    for draft in outdated_states(engine, &engine.catalog.snapshot()) {
        if let Err(error) = note_outcome(engine.commit(draft, Vec::new()).await.map(drop)) {
            tracing::warn!(%error, "a view's state could not be begun; the view is read by its query");
        }
    }
}

/// What the loop remembers from round to round.
#[derive(Default)]
struct Rounds {
    rewrites: Rewrites,
    /// Whether the states that the start found were read.
    states_checked: bool,
    /// When old rows of tables with a retention were last looked for.
    looked_for_old_rows: Option<Instant>,
    /// When the history was last looked through for what is too old.
    forgot: Option<Instant>,
}

impl Rounds {
    async fn work(&mut self, engine: &Arc<Engine>, force: bool) {
        if engine.catalog.stopped_reason().is_some() {
            return;
        }
        if !std::mem::replace(&mut self.states_checked, true) {
            drop_damaged_states(engine).await;
            begin_outdated_states(engine).await;
        }
        note_full_tables(engine);
        self.drop_old_rows(engine, force).await;
        fold_views(engine).await;
        let snapshot = engine.catalog.snapshot();
        self.rewrites.retain(|id| snapshot.tables.contains_key(&id));
        for version in snapshot.tables.values() {
            self.rewrites.of_table(engine, &snapshot, version, force).await;
        }
        note_full_tables(engine);
        self.forget(engine, force).await;
        engine.programs.retain(|id| snapshot.views.contains_key(&id));
        engine.kept_states.retain(|id| snapshot.views.contains_key(&id));
        engine.background.shared.folds.retain(|id| snapshot.views.contains_key(&id));
        engine.background.shared.tasks.retain(|id| snapshot.relation_by_id(id).is_some());
        engine.rules.retain(|id| snapshot.tables.contains_key(&id));
        drop(snapshot);
        reap(engine).await;
    }

    /// Drops the rows of tables with a retention that are too old.
    async fn drop_old_rows(&mut self, engine: &Arc<Engine>, force: bool) {
        let looked = self.looked_for_old_rows.is_some_and(|looked| looked.elapsed() < RETENTION_PAUSE);
        if (looked && !force) || !retention::is_due(&engine.catalog.snapshot()) {
            return;
        }
        self.looked_for_old_rows = Some(Instant::now());
        retention::drop_old_rows(engine).await;
    }

    /// Forgets what was before the history that is kept, where that frees something.
    async fn forget(&mut self, engine: &Arc<Engine>, force: bool) {
        let pause = (engine.history_retention / FORGETS_PER_RETENTION).min(FORGET_PAUSE_MAX);
        if !force && self.forgot.is_some_and(|forgot| forgot.elapsed() < pause) {
            return;
        }
        self.forgot = Some(Instant::now());
        let task = engine.background.tasks().begin(TaskKind::Forget, None);
        let forgotten = forget(engine).await;
        task.end(None, None, forgotten.as_ref().err().map(ToString::to_string));
        if let Err(error) = forgotten {
            tracing::warn!(%error, "the history that is too old could not be removed");
        }
    }
}

/// Notes where the rows that rewrites were kept from folding are too many for memory.
fn note_full_tables(engine: &Engine) {
    let snapshot = engine.catalog.snapshot();
    let full = snapshot.tables.iter().filter(|(_, version)| recent_bytes(version) > RECENT_BYTES_MAX);
    engine.background.note_full(full.map(|(table, _)| *table).collect());
}

async fn forget(engine: &Arc<Engine>) -> Result<(), QueryError> {
    let kept = engine.history_retention.as_micros().try_into().unwrap_or(i64::MAX);
    let before = now_micros().saturating_sub(kept);
    let worker = Arc::clone(engine);
    let look = move || worker.catalog.forgettable(before, HISTORY_LOG_BYTES_MAX).map_err(file_error);
    if let Some(before_micros) = joined(engine.compute().spawn_blocking(look).await)? {
        let draft = CommitDraft::new(engine.catalog.snapshot(), vec![Op::Forget { before_micros }]);
        note_outcome(engine.commit(draft, Vec::new()).await.map(drop))?;
    }
    let worker = Arc::clone(engine);
    let prune = move || worker.catalog.prune_archive().map_err(file_error);
    joined(engine.compute().spawn_blocking(prune).await).map(drop)
}

fn file_error(error: FileError) -> QueryError {
    QueryError::new(ErrorKind::IoError, error.to_string())
}

async fn fold_views(engine: &Arc<Engine>) {
    let ids: Vec<ObjectId> = engine.catalog.snapshot().views.keys().copied().collect();
    for id in ids {
        if let Err(error) = fold_view(engine, id, None).await {
            tracing::warn!(view = %id, %error, "a view's state could not be folded; it is read by its query");
        }
    }
}

/// Folds one view to the current snapshot, for a session that waits for it or for nobody. An error leaves it without a state.
async fn fold_view(engine: &Arc<Engine>, id: ObjectId, waiting: Option<i32>) -> Result<(), QueryError> {
    let shared = &engine.background.shared;
    let _one = shared.folding.lock().await;
    let snapshot = engine.catalog.snapshot();
    let Some(view) = snapshot.views.get(&id).filter(|view| view.state.is_some()) else { return Ok(()) };
    let touched = newest_input(&snapshot, &view.definition.inputs);
    if shared.failed.lock().get(&id).is_some_and(|failed| failed.rests(touched)) {
        return Ok(());
    }
    let started = Instant::now();
    let task = engine.background.tasks().begin(TaskKind::FoldView, Some(id));
    let from = view.frontier;
    let note = |to, rows, outcome| {
        let micros = started.elapsed().as_micros() as u64;
        shared.folds.note(FoldRecord { view: id, at_micros: now_micros(), from, to, rows, micros, outcome });
    };
    match fold(engine, &snapshot, view, waiting).await {
        Ok(None) => Ok(()),
        Ok(Some(folded)) => {
            let outcome = engine.commit(folded.draft, folded.change.staged).await;
            let ended = fold_outcome(&outcome, from, folded.to);
            let error = if let FoldOutcome::Failed(error) = &ended { Some(error.clone()) } else { None };
            task.end(Some(folded.rows), None, error);
            note(folded.to, folded.rows, ended);
            note_outcome(outcome.map(drop))?;
            shared.failed.lock().remove(&id);
            Ok(())
        }
        Err(error) => {
            note(snapshot.seq, 0, FoldOutcome::Failed(error.to_string()));
            task.end(None, None, Some(error.to_string()));
            shared.note_failure(id, snapshot.seq);
            if view.frontier.is_some() {
                note_outcome(engine.commit(dropped_state(&snapshot, id), Vec::new()).await.map(drop))?;
            }
            Err(error)
        }
    }
}

fn fold_outcome(outcome: &Result<Commit, CommitError>, from: Option<CommitSeq>, to: CommitSeq) -> FoldOutcome {
    match (outcome, from) {
        (Err(CommitError::Conflict(_)), _) => FoldOutcome::Conflict,
        (Err(error), _) => FoldOutcome::Failed(error.to_string()),
        (Ok(_), None) => FoldOutcome::Built,
        (Ok(_), Some(from)) if from == to => FoldOutcome::Merged,
        (Ok(_), Some(_)) => FoldOutcome::Folded,
    }
}

fn newest_input(snapshot: &Snapshot, inputs: &[ObjectId]) -> CommitSeq {
    let changed = inputs.iter().filter_map(|input| snapshot.tables.get(input)).map(|table| table.changed_at);
    changed.max().unwrap_or_default()
}

/// A conflict is a user's commit that came first; the next round tries again.
pub(crate) fn note_outcome(outcome: Result<(), CommitError>) -> Result<(), QueryError> {
    match outcome {
        Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
        Err(other) => Err(commit_error(other)),
    }
}

async fn reap(engine: &Arc<Engine>) {
    let running = engine.background.tasks().begin(TaskKind::Reap, None);
    let worker = Arc::clone(engine);
    let task = engine.compute().spawn_blocking(move || {
        let report = worker.catalog.reap();
        if report.files > 0 {
            worker.store.forget_reaped();
        }
        Ok(report)
    });
    match joined(task.await) {
        Ok(report) if report.files > 0 || !report.problems.is_empty() => {
            tracing::debug!(files = report.files, bytes = report.bytes, "reaped");
            running.end(None, Some(report.bytes), report.problems.into_iter().next());
        }
        Ok(_) => {}
        Err(error) => {
            running.end(None, None, Some(error.to_string()));
            tracing::warn!(%error, "files could not be reaped");
        }
    }
}

/// Builds a new view's state before CREATE answers. Gives the error of a build that failed: its view is read by its query until the
/// background has built it. An error that ends the statement is that of its cancellation, and the view is gone.
pub(crate) async fn build_view(session: &Session, id: ObjectId) -> Result<Option<QueryError>, QueryError> {
    let engine = Arc::clone(&session.engine);
    for _ in 0..BUILD_TRIES_MAX {
        let worker = Arc::clone(&engine);
        let waiting = Some(session.process_id);
        let task = engine.compute().spawn(async move { fold_view(&worker, id, waiting).await });
        // Nobody else builds the view as long as this goes on, so it ends behind the view.
        let _abort = AbortOnDrop(task.abort_handle());
        if let Err(error) = session.token.guard(async { joined(task.await) }).await {
            let was_cancelled = session.token.is_cancelled();
            return if was_cancelled && take_back(&engine, id).await { Err(error) } else { Ok(Some(error)) };
        }
        let snapshot = engine.catalog.snapshot();
        if snapshot.views.get(&id).is_none_or(|view| view.state.is_none() || view.frontier.is_some()) {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Takes back a view whose CREATE was cancelled while its state was built; false where something has come to depend on it.
async fn take_back(engine: &Engine, id: ObjectId) -> bool {
    let expected = Op::Expect { relation: id, that: Expectation::Version(FIRST_VERSION) };
    let draft = CommitDraft::new(engine.catalog.snapshot(), vec![expected, Op::DropView(id)]);
    engine.commit(draft, Vec::new()).await.is_ok()
}

/// CHECKPOINT: folds what is pending and makes the log short.
pub(crate) async fn checkpoint_now(session: &mut Session) -> Result<Response, QueryError> {
    if session.in_transaction_block() {
        return Err(QueryError::new(ErrorKind::ActiveTransaction, "CHECKPOINT cannot run inside a transaction block"));
    }
    let engine = Arc::clone(&session.engine);
    session
        .token
        .guard(async {
            engine.background.fold_all().await;
            engine.catalog.checkpoint().await.map_err(|error| QueryError::new(ErrorKind::IoError, error.to_string()))
        })
        .await?;
    Ok(Response::Command(CommandTag::Plain("CHECKPOINT")))
}
