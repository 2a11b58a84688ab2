//! A connection that says all that a server answers: names, types and modifiers of columns, rows, errors.
//!
//! Statements are pipelined: all are sent before the first answer is read, so that a round trip is paid once.

use crate::session::{Failure, TextRow};
use crate::wire::{ColumnDescription, Wire};
use anyhow::{Result, bail, ensure};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// A statement that is not answered in this time has lost the connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How many statements are sent ahead of their answers.
const PIPELINE_MAX: usize = 32;
/// Rows beyond so many are not kept; no statement of the tester has so many.
const ROWS_MAX: usize = 100_000;

/// What a server answered to one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Rows { columns: Vec<ColumnDescription>, rows: Vec<TextRow> },
    Failure(Box<Failure>),
}

impl Outcome {
    /// The SQLSTATE of an error.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Rows { .. } => None,
            Self::Failure(failure) => failure.code.as_deref(),
        }
    }

    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Failure(_))
    }
}

/// A connection to one of the two servers.
pub(crate) struct Client {
    config: Config,
    wire: Wire,
}

impl Client {
    pub(crate) async fn connect(config: &Config) -> Result<Self> {
        Ok(Self { config: config.clone(), wire: open(config).await? })
    }

    /// Connects again, after the connection was lost.
    pub(crate) async fn reconnect(&mut self) -> Result<()> {
        self.wire = open(&self.config).await?;
        Ok(())
    }

    /// Runs one statement. The connection is lost where the failure has no SQLSTATE.
    pub(crate) async fn ask(&mut self, sql: &str) -> Outcome {
        self.ask_all(&[sql.to_string()]).await.pop().unwrap_or_else(|| lost("there was no statement"))
    }

    /// Runs each statement by itself. Behind a lost connection there are no further answers.
    pub(crate) async fn ask_all(&mut self, statements: &[String]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(statements.len());
        for some in statements.chunks(PIPELINE_MAX) {
            for sql in some {
                if let Err(error) = self.wire.send_text(b'Q', sql).await {
                    outcomes.push(lost(format!("{error:#}")));
                    return outcomes;
                }
            }
            for _ in some {
                match timeout(ANSWER_TIMEOUT, answer(&mut self.wire)).await {
                    Ok(Ok(outcome)) => outcomes.push(outcome),
                    Ok(Err(error)) => outcomes.push(lost(format!("{error:#}"))),
                    Err(_) => outcomes.push(lost(format!("no answer within {ANSWER_TIMEOUT:?}"))),
                }
                if outcomes.last().is_some_and(|outcome| outcome.is_failure() && outcome.code().is_none()) {
                    return outcomes;
                }
            }
        }
        outcomes
    }
}

fn lost(message: impl Into<String>) -> Outcome {
    Outcome::Failure(Box::new(Failure::lost(message)))
}

async fn open(config: &Config) -> Result<Wire> {
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { bail!("the connection string names no host") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().unwrap_or("meridian");
    let mut wire = Wire::open(host, port).await?;
    let database = config.get_dbname().unwrap_or(user);
    wire.send_startup(&[("user", user), ("database", database), ("client_encoding", "UTF8")]).await?;
    let outcome = answer(&mut wire).await?;
    ensure!(!outcome.is_failure(), "the server refused the connection: {outcome:?}");
    Ok(wire)
}

/// Reads until the server is ready again.
async fn answer(wire: &mut Wire) -> Result<Outcome> {
    let mut columns = Vec::new();
    let mut rows = Vec::new();
    let mut failure = None;
    loop {
        let frame = wire.receive().await?;
        match frame.kind {
            b'T' => columns = frame.column_descriptions()?,
            b'D' if rows.len() < ROWS_MAX => rows.push(frame.values()?),
            b'E' => failure = Some(Failure::from_fields(frame.fields())),
            b'R' => ensure!(frame.body.as_ref() == [0; 4], "the server asks for a password"),
            b'Z' => break,
            _ => {}
        }
    }
    Ok(match failure {
        Some(failure) => Outcome::Failure(Box::new(failure)),
        None => Outcome::Rows { columns, rows },
    })
}
