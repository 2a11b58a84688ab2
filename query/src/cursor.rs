//! Cursors: results that are read as they are asked for. DECLARE opens one, and so does the protocol with a named portal of a query; FETCH,
//! MOVE, CLOSE and the protocol find both kinds.

use crate::error::{ErrorKind, QueryError};
use crate::execution::ready;
use crate::response::{CommandTag, Format, OpenRows, Response, ResultColumn, RowStream};
use crate::session::Session;
use crate::statement::FetchCount;
use arrow::array::RecordBatch;

/// An open cursor: the rest of a stream. It can only go forward.
pub struct Cursor {
    pub columns: Vec<ResultColumn>,
    /// How the protocol sends the rows: empty for text, one for all columns, or one for each. FETCH has formats of its own.
    pub formats: Vec<Format>,
    pub rows: OpenRows,
    pub(crate) statement: String,
    pub(crate) hold: bool,
    pub(crate) opened_at_micros: i64,
    /// Counts the cursors that the session has declared, from 1.
    pub(crate) number: u64,
    /// The row that it stands on: the last one that FETCH or MOVE took, until it has gone past the end.
    pub(crate) current: Option<RecordBatch>,
    /// Set when a commit has come after DECLARE … WITH HOLD.
    pub(crate) held: bool,
}

impl Cursor {
    /// One that ends with its transaction.
    pub(crate) fn new(number: u64, columns: Vec<ResultColumn>, statement: &str, stream: RowStream) -> Self {
        Self {
            columns,
            formats: Vec::new(),
            rows: OpenRows::new(stream),
            statement: statement.to_string(),
            hold: false,
            opened_at_micros: crate::engine::now_micros(),
            number,
            current: None,
            held: false,
        }
    }

    /// Whether the cursor stays open after its transaction, or a later one, ended.
    pub(crate) fn survives(&mut self, committed: bool) -> bool {
        let survives = self.held || (self.hold && committed);
        self.held = survives;
        survives
    }

    async fn take(&mut self, count: FetchCount) -> Result<(Vec<RecordBatch>, u64), QueryError> {
        let wanted = match count {
            FetchCount::Rows(0) => {
                return Ok((self.current.clone().into_iter().collect(), u64::from(self.current.is_some())));
            }
            FetchCount::Rows(rows) => rows,
            FetchCount::All => u64::MAX,
        };
        let mut taken = Vec::new();
        let mut rows = 0;
        while rows < wanted {
            let Some(batch) = self.rows.next().await.transpose()? else { break };
            let fits = (wanted - rows).min(batch.num_rows() as u64) as usize;
            if fits < batch.num_rows() {
                self.rows.put_back(batch.slice(fits, batch.num_rows() - fits));
            }
            rows += fits as u64;
            taken.push(batch.slice(0, fits));
        }
        let last = taken.last().filter(|_| rows == wanted);
        self.current = last.map(|batch: &RecordBatch| batch.slice(batch.num_rows() - 1, 1));
        Ok((taken, rows))
    }
}

/// FETCH and MOVE.
pub(crate) async fn fetch(
    session: &mut Session,
    name: &str,
    count: FetchCount,
    moves: bool,
) -> Result<Response, QueryError> {
    let token = session.token.clone();
    let cursor = session.cursors.get_mut(name).ok_or_else(|| missing(name))?;
    let (batches, rows) = token.guard(cursor.take(count)).await?;
    if moves {
        return Ok(Response::Command(CommandTag::Rows("MOVE", rows)));
    }
    Ok(Response::Rows { columns: cursor.columns.clone(), stream: ready(batches), verb: "FETCH", counted: true })
}

/// CLOSE; without a name, all of them.
pub(crate) fn close(session: &mut Session, name: Option<&str>) -> Result<Response, QueryError> {
    let Some(name) = name else {
        session.cursors.clear();
        return Ok(Response::Command(CommandTag::Plain("CLOSE CURSOR ALL")));
    };
    session.cursors.remove(name).ok_or_else(|| missing(name))?;
    Ok(Response::Command(CommandTag::Plain("CLOSE CURSOR")))
}

pub(crate) fn duplicate(name: &str) -> QueryError {
    QueryError::new(ErrorKind::DuplicateCursor, format!("cursor \"{name}\" already exists"))
}

pub(crate) fn missing(name: &str) -> QueryError {
    QueryError::new(ErrorKind::UndefinedCursor, format!("cursor \"{name}\" does not exist"))
}
