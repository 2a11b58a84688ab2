//! sqllogictest files against a running server.
//!
//! Beside the format's own records, a record's text may be
//!
//!     COPY … FROM STDIN …;      with its data on the lines behind it, up to `\.`
//!     \notices                  a query: the notices since the last time, one in a row
//!     \restart and \kill        statements: SIGTERM or SIGKILL, then a start on the same data directory
//!
//! After every statement, every materialized view that exists is compared with its own query, in the session that ran
//! the statement. Of numbers with sixteen decimals and more, which only quotients have, zeros at the end do not count:
//! PostgreSQL shows more of them for small quotients. `skipif` and `onlyif` know `meridian` and `postgresql`. NULL is `NULL`, an empty text `(empty)`.

use crate::dialect;
use crate::meridian::Meridian;
use crate::session::{Answer, Failure, Session, TransactionStatus};
use crate::view_check;
use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Record, Runner, default_column_validator, default_validator};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio_postgres::Config;

/// How many decimals at least PostgreSQL gives a quotient of small numbers.
const QUOTIENT_DECIMALS: usize = 16;

/// Which database answers.
#[derive(Clone)]
pub enum Target {
    /// A server of ours, which a file may restart.
    Meridian(Arc<Mutex<Option<Meridian>>>),
    /// A PostgreSQL, reached by a connection string; it gives the answers that ours must give.
    Postgres(Box<Config>),
}

impl Target {
    /// Which process answers; 0 when none does or when it is not ours.
    fn process_id(&self) -> u32 {
        match self {
            Self::Meridian(server) => {
                let server = server.lock().expect("no thread panics while it holds the server");
                server.as_ref().map_or(0, Meridian::process_id)
            }
            Self::Postgres(_) => 0,
        }
    }
}

/// What went wrong in a record.
#[derive(Debug)]
pub enum RecordError {
    Statement(Failure),
    ViewDiffers(String),
    Harness(String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement(failure) => failure.fmt(f),
            Self::ViewDiffers(message) | Self::Harness(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for RecordError {}

impl From<Failure> for RecordError {
    fn from(failure: Failure) -> Self {
        Self::Statement(failure)
    }
}

/// One connection of a file.
pub struct Connection {
    target: Target,
    session: Session,
    /// The process that the session is connected to.
    process_id: u32,
}

/// Runs one file on a fresh data directory.
pub async fn run_on_meridian(file: &Path) -> Result<()> {
    let folder = TempDir::new()?;
    let server = Meridian::start(&folder.path().join("data"))?;
    let target = Target::Meridian(Arc::new(Mutex::new(Some(server))));
    run_file(file, target.clone()).await?;
    let Target::Meridian(server) = target else { unreachable!("the target was made above") };
    let server = server.lock().expect("no thread panics while it holds the server").take();
    server.context("the file left no server")?.stop()
}

/// Runs one file on a database that is prepared for it. The error tells of every record that went wrong.
pub async fn run_file(file: &Path, target: Target) -> Result<()> {
    let mut runner = Runner::new(|| Connection::open(target.clone()));
    runner.with_normalizer(normalised);
    let mut errors = Vec::new();
    for record in sqllogictest::parse_file(file).map_err(|error| anyhow!("{error}"))? {
        if matches!(record, Record::Halt { .. }) {
            break;
        }
        if let Err(error) = runner.run_async(record).await {
            errors.push(error.to_string());
        }
    }
    runner.shutdown_async().await;
    if errors.is_empty() { Ok(()) } else { bail!("{} records went wrong\n{}", errors.len(), errors.join("\n")) }
}

/// Runs one file and writes what the database answered into it.
pub async fn write_answers(file: &Path, target: Target) -> Result<()> {
    let mut runner = Runner::new(|| Connection::open(target.clone()));
    let result = runner
        .update_test_file(file, " ", default_validator, normalised, default_column_validator)
        .await
        .map_err(|error| anyhow!("{error}"));
    runner.shutdown_async().await;
    result
}

impl Connection {
    async fn open(target: Target) -> Result<Self, RecordError> {
        let process_id = target.process_id();
        let session = connect(&target).await.map_err(|error| RecordError::Harness(format!("{error:#}")))?;
        Ok(Self { target, session, process_id })
    }

    async fn run_statement(&mut self, sql: &str) -> Result<Answer, RecordError> {
        if self.session.is_closed().await || self.process_id != self.target.process_id() {
            *self = Self::open(self.target.clone()).await?;
        }
        match (sql.trim(), &self.target) {
            ("\\notices", _) => Ok(as_rows(self.session.take_notices().await)),
            ("\\restart", Target::Meridian(server)) => restart(server, Meridian::stop),
            ("\\kill", Target::Meridian(server)) => restart(server, Meridian::kill),
            // There, only this session ends.
            ("\\restart" | "\\kill", Target::Postgres(_)) => {
                *self = Self::open(self.target.clone()).await?;
                Ok(Answer::Done { count: 0 })
            }
            (_, Target::Meridian(_)) => Ok(self.session.run(sql).await?),
            (_, Target::Postgres(_)) => match dialect::for_postgres(sql) {
                Some(sql) => Ok(self.session.run(&sql).await?),
                None => Ok(Answer::Done { count: 0 }),
            },
        }
    }

    /// Compares the views, except where a read would change what the next statement may do.
    async fn check_views(&self, sql: &str) -> Result<(), RecordError> {
        let first_word = sql.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        // The first read of a transaction fixes its snapshot.
        let starts_transaction = matches!(first_word.as_str(), "begin" | "start" | "set" | "savepoint");
        let is_hook = first_word.starts_with('\\');
        let failed = self.session.transaction_status().await == TransactionStatus::Failed;
        if starts_transaction || is_hook || failed || matches!(self.target, Target::Postgres(_)) {
            return Ok(());
        }
        match view_check::first_difference(&self.session).await? {
            Some(difference) => Err(RecordError::ViewDiffers(format!("after this statement: {difference}"))),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = RecordError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, RecordError> {
        let answer = self.run_statement(sql).await;
        // A difference outweighs the statement's own answer, which might be an expected error.
        self.check_views(sql).await?;
        Ok(match answer? {
            Answer::Rows { columns, rows } => DBOutput::Rows {
                types: vec![DefaultColumnType::Any; columns.len()],
                rows: rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect(),
            },
            Answer::Done { count } => DBOutput::StatementComplete(count),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        match self.target {
            Target::Meridian(_) => "meridian",
            Target::Postgres(_) => "postgresql",
        }
    }

    fn error_sql_state(error: &RecordError) -> Option<String> {
        match error {
            RecordError::Statement(failure) => failure.code.clone(),
            _ => None,
        }
    }
}

async fn connect(target: &Target) -> Result<Session> {
    match target {
        Target::Meridian(server) => {
            let address = {
                let server = server.lock().expect("no thread panics while it holds the server");
                server.as_ref().context("the server is down")?.address()
            };
            Session::connect(address).await
        }
        Target::Postgres(config) => Session::connect_with(config).await,
    }
}

fn restart(server: &Mutex<Option<Meridian>>, end: impl FnOnce(Meridian) -> Result<()>) -> Result<Answer, RecordError> {
    let harness = |error: anyhow::Error| RecordError::Harness(format!("{error:#}"));
    let mut server = server.lock().expect("no thread panics while it holds the server");
    let running = server.take().context("the server is down").map_err(harness)?;
    let data_dir = running.data_dir().to_path_buf();
    end(running).map_err(harness)?;
    *server = Some(Meridian::start(&data_dir).map_err(harness)?);
    Ok(Answer::Done { count: 0 })
}

/// Single spaces between words, and no zeros at the end of a quotient.
#[expect(clippy::ptr_arg, reason = "the runner asks for a function of this type")]
fn normalised(text: &String) -> String {
    let word = |word: &str| match word.split_once('.') {
        Some((_, decimals))
            if decimals.len() >= QUOTIENT_DECIMALS && decimals.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            word.trim_end_matches('0').trim_end_matches('.').to_string()
        }
        _ => word.to_string(),
    };
    text.split_ascii_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

fn as_rows(lines: Vec<String>) -> Answer {
    Answer::Rows { columns: vec!["notice".to_string()], rows: lines.into_iter().map(|line| vec![Some(line)]).collect() }
}

fn shown(value: Option<String>) -> String {
    match value {
        None => "NULL".to_string(),
        Some(text) if text.is_empty() => "(empty)".to_string(),
        // A row is one line of a file.
        Some(text) => text.replace('\n', " "),
    }
}
