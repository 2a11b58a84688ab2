//! Runs steps against the server and checks, after each, that every view equals its query.
//!
//! Three sessions look: the one that writes, which sees its own open transaction; a second one, which must not see it, and
//! which commits some changes beside it; and from time to time an older one, whose snapshot stands still.
//! The executor knows from the steps' outcomes which views exist and what state the transaction is in; it never asks
//! the server for what it is about to check.

use super::Summary;
use super::layout::Table;
use super::mirror::Mirror;
use super::step::{Action, Expect, Step};
use crate::meridian::Meridian;
use crate::session::{Answer, Failure, Session};
use crate::view_check::{self, Compared, Difference, View, What};
use anyhow::{Context, Result, anyhow};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// A statement over tables this small that takes longer hangs.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
const IN_FAILED_TRANSACTION: &str = "25P02";
const NOT_POPULATED: &str = "55000";
/// What a COMMIT answers when another session committed what its transaction cannot be put behind.
const SERIALIZATION_FAILURE: &str = "40001";
/// The class of SQLSTATEs that says the server is at fault.
const INTERNAL_ERROR_CLASS: &str = "XX";

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Finding {
    /// A view differs from its query, as one of the sessions sees it.
    ViewDiffers { session: &'static str, difference: Box<Difference> },
    /// A statement that had to succeed failed, or the other way round, or failed as it must not.
    WrongOutcome { sql: String, expected: Expect, failure: Option<Box<Failure>> },
    /// A read of a view without data did not say so.
    ReadWithoutData { view: String },
    /// PostgreSQL answers something else.
    MirrorDiffers { what: String, explanation: String },
    /// The server is gone, hangs, or does not start.
    ServerLost { sql: String, explanation: String },
}

impl Finding {
    /// Findings of one kind count as the same when a history is shrunk.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::ViewDiffers { difference, .. } => match &difference.what {
                What::Rows { .. } => "rows".into(),
                What::Failures { view, query } => format!("failures {:?} {:?}", code(view), code(query)),
                What::ExceptAll { .. } => "except all".into(),
            },
            Self::WrongOutcome { failure, expected, .. } => format!("outcome {expected:?} {:?}", code(failure)),
            Self::ReadWithoutData { .. } => "read without data".into(),
            Self::MirrorDiffers { .. } => "mirror".into(),
            Self::ServerLost { .. } => "server lost".into(),
        }
    }
}

fn code(failure: &Option<Box<Failure>>) -> Option<&str> {
    failure.as_ref().and_then(|failure| failure.code.as_deref())
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ViewDiffers { session, difference } => write!(f, "in the {session} session, {difference}"),
            Self::WrongOutcome { sql, expected, failure } => {
                let answer = failure.as_ref().map_or_else(|| "succeeded".to_string(), ToString::to_string);
                writeln!(f, "expected {expected:?} of this statement:\n{sql}\nbut it answered: {answer}")
            }
            Self::ReadWithoutData { view } => writeln!(f, "{view} has no data, but can be read"),
            Self::MirrorDiffers { what, explanation } => {
                writeln!(f, "PostgreSQL answers something else for {what}:\n{explanation}")
            }
            Self::ServerLost { sql, explanation } => writeln!(f, "the server was lost at:\n{sql}\n{explanation}"),
        }
    }
}

/// A view that exists.
#[derive(Clone, Debug)]
pub(crate) struct KnownView {
    pub view: View,
    pub populated: bool,
    /// True where its query may fail for some data.
    pub may_fail: bool,
}

/// Where the writing session's transaction stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transaction {
    #[default]
    None,
    Open,
    Failed,
}

/// What the steps so far have led to.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub views: Vec<KnownView>,
    pub transaction: Transaction,
    /// The views as they were at BEGIN, which others see and ROLLBACK brings back.
    before_transaction: Vec<KnownView>,
    /// The views as they were at each SAVEPOINT of the transaction.
    at_savepoints: Vec<Vec<KnownView>>,
    /// The views of the older session's snapshot, while it holds one.
    pinned: Option<Vec<KnownView>>,
    /// True when the second session changed rows since BEGIN, so that COMMIT may meet a conflict.
    changed_beside: bool,
}

impl State {
    /// The views that are committed.
    pub(crate) fn committed_views(&self) -> &[KnownView] {
        if self.transaction == Transaction::None { &self.views } else { &self.before_transaction }
    }

    pub(crate) fn has_savepoint(&self) -> bool {
        !self.at_savepoints.is_empty()
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned.is_some()
    }

    /// Takes note of a step without running it; what a failed transaction refuses becomes a failure.
    pub(crate) fn assume_outcome(&mut self, step: &mut Step) {
        let always_runs = self.may_follow_failure(step) || !step.is_of_writing_session();
        if self.transaction == Transaction::Failed && !always_runs {
            step.expect = Expect::Failure;
        }
        match step.expect {
            Expect::Failure => self.assume_failure(),
            Expect::Success | Expect::Either => self.assume_success(step),
        }
    }

    /// Whether a failed transaction takes the step.
    fn may_follow_failure(&self, step: &Step) -> bool {
        match step.action {
            Action::Commit | Action::Rollback | Action::Restart | Action::Kill => true,
            Action::RollbackToSavepoint => self.has_savepoint(),
            _ => false,
        }
    }

    /// Takes note of a step that succeeded.
    fn assume_success(&mut self, step: &Step) {
        match &step.action {
            Action::CreateView { name, query, with_data } => self.views.push(KnownView {
                view: View { name: name.clone(), query: query.clone() },
                populated: *with_data,
                may_fail: step.expect == Expect::Either,
            }),
            Action::DropView { name } => self.views.retain(|known| known.view.name != *name),
            Action::RefreshView { name } => {
                for known in self.views.iter_mut().filter(|known| known.view.name == *name) {
                    known.populated = true;
                }
            }
            Action::Begin if self.transaction == Transaction::None => {
                self.before_transaction = self.views.clone();
                self.transaction = Transaction::Open;
                self.changed_beside = false;
            }
            Action::Commit if self.transaction == Transaction::Open => {
                self.transaction = Transaction::None;
                self.at_savepoints.clear();
            }
            Action::Commit | Action::Rollback => self.roll_back(),
            Action::Restart | Action::Kill => {
                self.roll_back();
                self.pinned = None;
            }
            Action::Savepoint => self.at_savepoints.push(self.views.clone()),
            Action::RollbackToSavepoint => {
                self.views = self.at_savepoints.last().cloned().unwrap_or_default();
                self.transaction = Transaction::Open;
            }
            Action::ReleaseSavepoint => drop(self.at_savepoints.pop()),
            Action::Beside(_) => self.changed_beside = true,
            Action::Pin => self.pinned = Some(self.committed_views().to_vec()),
            Action::Unpin => self.pinned = None,
            Action::Begin | Action::Statement(_) | Action::Insert { .. } | Action::Copy { .. } => {}
        }
    }

    fn assume_failure(&mut self) {
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
    }

    fn roll_back(&mut self) {
        if self.transaction != Transaction::None {
            self.views = std::mem::take(&mut self.before_transaction);
            self.transaction = Transaction::None;
        }
        self.at_savepoints.clear();
    }
}

/// A server, three sessions and what is known of them.
pub(crate) struct Executor {
    server: Option<Meridian>,
    writing: Session,
    second: Session,
    older: Session,
    mirror: Option<Mirror>,
    state: State,
    counts: Summary,
    /// How many steps were taken.
    steps: usize,
    /// Whether every session compares every view in every way after each step.
    thorough: bool,
}

/// A session that computes each answer, so that folds between two equal questions are checked too.
async fn computing(server: &Meridian) -> Result<Session> {
    let session = Session::connect(server.address()).await?;
    session.run("SET meridian.query_cache = off").await.context("the query cache cannot be switched off")?;
    Ok(session)
}

impl Executor {
    /// A `thorough` one is slower and misses nothing that a shorter history shows; the other takes turns where sessions see the same.
    pub(crate) async fn start(data_dir: &Path, postgres: Option<&str>, thorough: bool) -> Result<Self> {
        let server = Meridian::start(data_dir)?;
        let mirror = match postgres {
            Some(url) => Some(Mirror::connect(url).await?),
            None => None,
        };
        Ok(Self {
            writing: computing(&server).await?,
            second: Session::connect(server.address()).await?,
            older: computing(&server).await?,
            server: Some(server),
            mirror,
            state: State::default(),
            counts: Summary::default(),
            steps: 0,
            thorough,
        })
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn has_mirror(&self) -> bool {
        self.mirror.is_some()
    }

    pub(crate) fn add_to(&self, summary: &mut Summary) {
        summary.failed_statements += self.counts.failed_statements;
        summary.views_created += self.counts.views_created;
        summary.comparisons += self.counts.comparisons;
        summary.restarts += self.counts.restarts;
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        self.server.take().context("the server is down")?.stop()
    }

    /// Runs a step and every check behind it.
    pub(crate) async fn apply(&mut self, step: &Step) -> Result<(), Finding> {
        match step.sql() {
            None => self.end_and_start(&step.action).await?,
            Some(sql) => self.run_statement(step, &sql).await?,
        }
        self.steps += 1;
        self.check_views().await?;
        self.check_mirror().await
    }

    async fn end_and_start(&mut self, action: &Action) -> Result<(), Finding> {
        let lost = |error: anyhow::Error| Finding::ServerLost {
            sql: format!("{action:?}"),
            explanation: format!("{error:#}"),
        };
        let restarted = async {
            let server = self.server.take().context("the server is down")?;
            let data_dir = server.data_dir().to_path_buf();
            if *action == Action::Kill {
                server.kill()?
            } else {
                server.stop()?
            }
            let server = Meridian::start(&data_dir)?;
            self.writing = computing(&server).await?;
            self.second = Session::connect(server.address()).await?;
            self.older = computing(&server).await?;
            self.server = Some(server);
            Ok(())
        };
        restarted.await.map_err(lost)?;
        if let (Some(mirror), true) = (&self.mirror, self.state.transaction != Transaction::None) {
            mirror.roll_back().await;
        }
        self.state.roll_back();
        self.state.pinned = None;
        self.counts.restarts += 1;
        Ok(())
    }

    async fn run_statement(&mut self, step: &Step, sql: &str) -> Result<(), Finding> {
        let session = match step.action {
            Action::Beside(_) => &self.second,
            Action::Pin | Action::Unpin => &self.older,
            _ => &self.writing,
        };
        let answer = match timeout(STATEMENT_TIMEOUT, session.run(sql)).await {
            Ok(answer) => answer,
            Err(_) => return Err(self.lost(sql, format!("no answer within {STATEMENT_TIMEOUT:?}"))),
        };
        if let Some(mirror) = self.mirror.as_ref().filter(|_| step.is_of_writing_session()) {
            mirror.run(step, sql, &answer).await?;
        }
        self.judge(step, sql, answer)
    }

    /// Compares a statement's outcome with what had to come of it and takes note of it.
    fn judge(&mut self, step: &Step, sql: &str, answer: Result<Answer, Failure>) -> Result<(), Finding> {
        let must_be_refused = self.state.transaction == Transaction::Failed
            && step.is_of_writing_session()
            && !self.state.may_follow_failure(step);
        let may_conflict = step.action == Action::Commit && self.state.changed_beside;
        let wrong = |failure| Finding::WrongOutcome { sql: sql.to_string(), expected: step.expect, failure };
        match answer {
            Err(failure) if failure.is_connection_loss() => Err(self.lost(sql, failure.to_string())),
            Ok(_) if must_be_refused || step.expect == Expect::Failure => Err(wrong(None)),
            Ok(_) => {
                self.counts.views_created += usize::from(matches!(step.action, Action::CreateView { .. }));
                self.state.assume_success(step);
                Ok(())
            }
            Err(failure) if may_conflict && failure.has_code(SERIALIZATION_FAILURE) => {
                self.counts.failed_statements += 1;
                self.state.roll_back();
                Ok(())
            }
            Err(failure) => {
                let refused = failure.has_code(IN_FAILED_TRANSACTION);
                let internal = failure.code.as_deref().is_some_and(|code| code.starts_with(INTERNAL_ERROR_CLASS));
                if refused != must_be_refused || internal || (!refused && step.expect == Expect::Success) {
                    return Err(wrong(Some(Box::new(failure))));
                }
                self.counts.failed_statements += 1;
                self.state.assume_failure();
                Ok(())
            }
        }
    }

    /// Compares all views in the writing session, and in the second one too while it may see other rows. The server's own
    /// EXCEPT ALL takes one view in turn, and so does the older session, whose rows stand still.
    async fn check_views(&mut self) -> Result<(), Finding> {
        let turn = (!self.thorough).then_some(self.steps);
        let transaction = self.state.transaction;
        let writing = match transaction {
            Transaction::Failed => &[],
            Transaction::None if turn.is_some_and(|turn| turn % 2 == 0) => &[],
            Transaction::Open | Transaction::None => self.state.views.as_slice(),
        };
        let second = match transaction {
            Transaction::None if turn.is_some_and(|turn| turn % 2 == 1) => &[],
            _ => self.state.committed_views(),
        };
        let pinned = self.state.pinned.as_deref().unwrap_or_default();
        let older = match turn {
            Some(turn) => pinned.get(turn % pinned.len().max(1)).map_or(&[][..], std::slice::from_ref),
            None => pinned,
        };
        self.counts.comparisons += writing.len() + second.len() + older.len();
        let checks = async {
            check("writing", &self.writing, writing, transaction == Transaction::Open, turn).await?;
            check("second", &self.second, second, false, turn).await?;
            check("older", &self.older, older, true, turn).await
        };
        checks.await.map_err(|error| self.found(error))
    }

    async fn check_mirror(&self) -> Result<(), Finding> {
        let Some(mirror) = &self.mirror else { return Ok(()) };
        if self.state.transaction == Transaction::Failed {
            return Ok(());
        }
        let in_transaction = self.state.transaction == Transaction::Open;
        let readable = self.state.views.iter().filter(|known| known.populated && !(in_transaction && known.may_fail));
        for name in Table::ALL.map(Table::name).into_iter().chain(readable.map(|known| known.view.name.as_str())) {
            mirror.compare(name, &self.writing).await?;
        }
        Ok(())
    }

    fn found(&self, error: CheckError) -> Finding {
        match error {
            CheckError::Found(finding) => *finding,
            CheckError::Lost { view, failure } => self.lost(&format!("SELECT * FROM {view}"), failure.to_string()),
        }
    }

    fn lost(&self, sql: &str, explanation: String) -> Finding {
        let output = self.server.as_ref().map_or_else(String::new, Meridian::output);
        Finding::ServerLost { sql: sql.to_string(), explanation: format!("{explanation}\n{output}") }
    }
}

/// Why a check did not pass.
enum CheckError {
    Found(Box<Finding>),
    Lost { view: String, failure: Failure },
}

/// Compares views in one session. In a transaction, reads that may fail are left out: they would abort it. With a `turn`, the
/// server compares one of them only.
async fn check(
    session_name: &'static str,
    session: &Session,
    views: &[KnownView],
    in_transaction: bool,
    turn: Option<usize>,
) -> Result<(), CheckError> {
    for (position, KnownView { view, populated, may_fail }) in views.iter().enumerate() {
        if in_transaction && (*may_fail || !populated) {
            continue;
        }
        if !populated {
            let read = session.run(&format!("SELECT * FROM {}", view.name)).await;
            if !matches!(&read, Err(failure) if failure.has_code(NOT_POPULATED)) {
                return Err(CheckError::Found(Box::new(Finding::ReadWithoutData { view: view.name.clone() })));
            }
            continue;
        }
        let by_server = turn.is_none_or(|turn| turn / 2 % views.len() == position);
        let compared = async {
            if by_server {
                // First few groups: who reads all of them brings the state up to date.
                let few = if in_transaction { None } else { view_check::compare_few(session, view).await? };
                return if few.is_some() { Ok(few) } else { view_check::compare(session, view).await };
            }
            Ok(match view_check::compare_rows(session, view).await? {
                Compared::Different(difference) => Some(difference),
                Compared::Equal | Compared::Unreadable => None,
            })
        };
        let compared = match timeout(STATEMENT_TIMEOUT, compared).await {
            Ok(compared) => compared.map_err(|failure| (view.name.clone(), failure)),
            Err(_) => Err((view.name.clone(), lost_in_time())),
        };
        match compared {
            Ok(None) => {}
            Ok(Some(difference)) => {
                let finding = Finding::ViewDiffers { session: session_name, difference: Box::new(difference) };
                return Err(CheckError::Found(Box::new(finding)));
            }
            Err((view, failure)) => return Err(CheckError::Lost { view, failure }),
        }
    }
    Ok(())
}

fn lost_in_time() -> Failure {
    let message = anyhow!("no answer within {STATEMENT_TIMEOUT:?}").to_string();
    Failure { code: None, message, detail: None, hint: None, context: None, position: None }
}
