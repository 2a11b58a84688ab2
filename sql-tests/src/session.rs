//! A client's connection: statements as text in, results as text out, errors with all their fields.
//!
//! Statements go as simple queries. COPY is said as psql scripts say it, the data behind the statement:
//!
//!     COPY sales FROM STDIN WITH (FORMAT csv);
//!     EMEA,12.50
//!     \.

use crate::wire::Wire;
use anyhow::{Context, Result, anyhow, bail};
use std::fmt;
use std::net::SocketAddr;
use tokio::sync::Mutex;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// How many bytes of COPY data go into one message.
const COPY_CHUNK_BYTES: usize = 8 << 10;

/// A row as text, `None` for NULL.
pub type TextRow = Vec<Option<String>>;

/// What one statement answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Rows {
        columns: Vec<String>,
        rows: Vec<TextRow>,
    },
    /// The number of rows that the command tag named, 0 when it named none.
    Done {
        count: u64,
    },
}

impl Answer {
    /// The rows; none for a statement that returns none.
    pub fn rows(self) -> Vec<TextRow> {
        match self {
            Self::Rows { rows, .. } => rows,
            Self::Done { .. } => Vec::new(),
        }
    }

    /// How many rows the statement returned or changed.
    pub fn count(&self) -> u64 {
        match self {
            Self::Rows { rows, .. } => rows.len() as u64,
            Self::Done { count } => *count,
        }
    }
}

/// An error as the server said it, or the loss of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The SQLSTATE; `None` when the connection broke instead.
    pub code: Option<String>,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub context: Option<String>,
    /// In characters from 1.
    pub position: Option<u32>,
}

impl Failure {
    pub fn is_connection_loss(&self) -> bool {
        self.code.is_none()
    }

    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub(crate) fn lost(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into(), detail: None, hint: None, context: None, position: None }
    }
}

/// One line for each field, as `.slt` files expect them.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_deref().unwrap_or("connection lost"), self.message)?;
        if let Some(position) = self.position {
            write!(f, " (at {position})")?;
        }
        let fields = [("DETAIL", &self.detail), ("HINT", &self.hint), ("CONTEXT", &self.context)];
        for (name, value) in fields {
            if let Some(value) = value {
                write!(f, "\n{name}: {value}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(crate) fn from_fields(fields: Vec<(u8, String)>) -> Self {
        let mut failure = Self::lost("an error without a message");
        for (kind, text) in fields {
            match kind {
                b'C' => failure.code = Some(text),
                b'M' => failure.message = text,
                b'D' => failure.detail = Some(text),
                b'H' => failure.hint = Some(text),
                b'W' => failure.context = Some(text),
                b'P' => failure.position = text.parse().ok(),
                _ => {}
            }
        }
        failure
    }
}

/// Where a session's transaction stands, as the server says with every answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    Open,
    Failed,
}

/// An open connection.
pub struct Session {
    state: Mutex<State>,
}

struct State {
    wire: Wire,
    notices: Vec<String>,
    status: TransactionStatus,
    closed: bool,
}

impl Session {
    /// Connects as `meridian` to the database of that name.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        Self::connect_to(&address.ip().to_string(), address.port(), "meridian", "meridian").await
    }

    /// Connects with what a driver's connection string says; without a password.
    pub async fn connect_with(config: &Config) -> Result<Self> {
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            _ => bail!("the connection string names no host"),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let user = config.get_user().context("the connection string names no user")?;
        Self::connect_to(&host, port, user, config.get_dbname().unwrap_or(user)).await
    }

    async fn connect_to(host: &str, port: u16, user: &str, database: &str) -> Result<Self> {
        let mut wire = Wire::open(host, port).await?;
        wire.send_startup(&[("user", user), ("database", database), ("client_encoding", "UTF8")]).await?;
        let mut state = State { wire, notices: Vec::new(), status: TransactionStatus::Idle, closed: false };
        state.answers(&[]).await?;
        Ok(Self { state: Mutex::new(state) })
    }

    /// Empties a PostgreSQL database: every schema of its users goes, `public` is made anew.
    pub async fn empty_postgres(&self) -> Result<()> {
        let drop_schemas = "DO $$ DECLARE name text; BEGIN
                FOR name IN SELECT nspname FROM pg_namespace
                    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
                LOOP EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP;
            END $$";
        self.run(drop_schemas).await?;
        self.run("CREATE SCHEMA public").await?;
        Ok(())
    }

    /// True when the connection is gone.
    pub async fn is_closed(&self) -> bool {
        self.state.lock().await.closed
    }

    /// The notices since the last call.
    pub async fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().await.notices)
    }

    pub async fn transaction_status(&self) -> TransactionStatus {
        self.state.lock().await.status
    }

    /// Runs one statement, or several separated by semicolons, and gives the last answer.
    pub async fn run(&self, sql: &str) -> Result<Answer, Failure> {
        let mut answers = self.run_all(sql).await?;
        Ok(answers.pop().unwrap_or(Answer::Done { count: 0 }))
    }

    /// Runs a text of statements and gives each answer.
    pub async fn run_all(&self, sql: &str) -> Result<Vec<Answer>, Failure> {
        match split_copy_in(sql) {
            Some((statement, data)) => {
                let pieces: Vec<&[u8]> = data.as_bytes().chunks(COPY_CHUNK_BYTES).collect();
                self.query(statement, &pieces).await
            }
            None => self.query(sql, &[]).await,
        }
    }

    /// The rows of a query.
    pub async fn rows(&self, sql: &str) -> Result<Vec<TextRow>, Failure> {
        Ok(self.run(sql).await?.rows())
    }

    /// The first column of the first row; fails where there is none.
    pub async fn value(&self, sql: &str) -> Result<Option<String>, Failure> {
        let first = self.rows(sql).await?.into_iter().next().and_then(|row| row.into_iter().next());
        first.ok_or_else(|| Failure::lost(format!("the query returned no row: {sql}")))
    }

    /// Sends data through COPY … FROM STDIN and gives the number of rows.
    pub async fn copy_in(&self, statement: &str, data: &[u8]) -> Result<u64, Failure> {
        let pieces: Vec<&[u8]> = data.chunks(COPY_CHUNK_BYTES).collect();
        self.copy_in_pieces(statement, &pieces).await
    }

    /// The same with one message for each piece.
    pub async fn copy_in_pieces(&self, statement: &str, pieces: &[&[u8]]) -> Result<u64, Failure> {
        Ok(self.query(statement, pieces).await?.last().map_or(0, Answer::count))
    }

    async fn query(&self, sql: &str, data: &[&[u8]]) -> Result<Vec<Answer>, Failure> {
        let mut state = self.state.lock().await;
        // What is not read to its end leaves the connection useless.
        state.closed = true;
        let sent = state.wire.send_text(b'Q', sql).await;
        sent.map_err(|error| Failure::lost(format!("{error:#}")))?;
        state.answers(data).await
    }
}

impl State {
    /// Reads what the server answers until it is ready again. The first error is the answer to the whole text.
    async fn answers(&mut self, data: &[&[u8]]) -> Result<Vec<Answer>, Failure> {
        self.closed = true;
        let mut answers = Vec::new();
        let mut failure = None;
        let mut open: Option<(Vec<String>, Vec<TextRow>)> = None;
        let mut copied = Vec::new();
        loop {
            let frame = match self.wire.receive().await {
                Ok(frame) => frame,
                // An error that ends the connection says more than its end.
                Err(error) => return Err(failure.unwrap_or_else(|| Failure::lost(format!("{error:#}")))),
            };
            let read = match frame.kind {
                b'T' => frame.column_names().map(|names| open = Some((names, Vec::new()))),
                b'D' => frame.values().map(|row| open.iter_mut().for_each(|(_, rows)| rows.push(row.clone()))),
                b'G' => self.send_copy_data(data).await,
                b'H' => {
                    open = Some((vec!["line".to_string()], Vec::new()));
                    Ok(())
                }
                b'd' => {
                    copied.extend_from_slice(&frame.body);
                    Ok(())
                }
                b'C' => {
                    answers.push(answer(&frame.text(), open.take(), std::mem::take(&mut copied)));
                    Ok(())
                }
                b'E' => {
                    open = None;
                    failure = failure.or_else(|| Some(Failure::from_fields(frame.fields())));
                    Ok(())
                }
                b'N' => {
                    self.notices.push(notice(&frame.fields()));
                    Ok(())
                }
                b'R' if frame.body.as_ref() != [0; 4] => Err(anyhow!("the server asks for a password")),
                b'Z' => {
                    self.closed = false;
                    self.status = match frame.body.first() {
                        Some(b'T') => TransactionStatus::Open,
                        Some(b'E') => TransactionStatus::Failed,
                        _ => TransactionStatus::Idle,
                    };
                    return failure.map_or(Ok(answers), Err);
                }
                _ => Ok(()),
            };
            read.map_err(|error| Failure::lost(format!("{error:#}")))?;
        }
    }

    async fn send_copy_data(&mut self, pieces: &[&[u8]]) -> Result<()> {
        // Many short messages go out together.
        let mut messages = Vec::new();
        for piece in pieces {
            let length = i32::try_from(piece.len() + 4)?;
            messages.extend_from_slice(&[&[b'd'][..], &length.to_be_bytes(), piece].concat());
            if messages.len() >= COPY_CHUNK_BYTES {
                self.wire.send_bytes(&messages).await?;
                messages.clear();
            }
        }
        self.wire.send_bytes(&messages).await?;
        self.wire.send(b'c', &[]).await
    }
}

fn answer(tag: &str, open: Option<(Vec<String>, Vec<TextRow>)>, copied: Vec<u8>) -> Answer {
    match open {
        Some((columns, _)) if tag.starts_with("COPY") => {
            let text = String::from_utf8_lossy(&copied).into_owned();
            Answer::Rows { columns, rows: text.lines().map(|line| vec![Some(line.to_string())]).collect() }
        }
        Some((columns, rows)) => Answer::Rows { columns, rows },
        None => Answer::Done { count: tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0) },
    }
}

fn notice(fields: &[(u8, String)]) -> String {
    let field = |wanted: u8| fields.iter().find(|(kind, _)| *kind == wanted).map_or("", |(_, text)| text.as_str());
    format!("{} {}: {}", field(b'S'), field(b'C'), field(b'M'))
}

/// Splits `COPY … FROM STDIN …;` from the data that follows on the next lines, up to a final `\.`.
fn split_copy_in(sql: &str) -> Option<(&str, &str)> {
    if !starts_with_copy(sql) {
        return None;
    }
    let (statement, data) = sql.split_once(";\n")?;
    Some((statement, data.strip_suffix("\\.").unwrap_or(data)))
}

fn starts_with_copy(sql: &str) -> bool {
    sql.trim_start().get(..5).is_some_and(|word| word.eq_ignore_ascii_case("copy "))
}
