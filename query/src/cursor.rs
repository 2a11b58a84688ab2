//! Cursors: DECLARE, FETCH, MOVE and CLOSE over a result that is read as it is asked for.

use crate::error::{ErrorKind, QueryError};
use crate::execution::ready;
use crate::response::{CommandTag, Response, ResultColumn, RowStream};
use crate::session::Session;
use crate::statement::{DeclareCursor, FetchCount};
use arrow::array::RecordBatch;
use futures::StreamExt;
use parking_lot::Mutex;

/// An open cursor: the rest of a stream. It can only go forward.
pub(crate) struct Cursor {
    pub columns: Vec<ResultColumn>,
    pub statement: String,
    pub hold: bool,
    pub opened_at_micros: i64,
    /// Counts the cursors that the session has declared, from 1.
    pub number: u64,
    /// Only ever reached through `&mut`; the mutex makes the cursor shareable, which a stream alone is not.
    stream: Mutex<RowStream>,
    rest: Option<RecordBatch>,
    /// Set when a commit has come after DECLARE … WITH HOLD.
    held: bool,
}

impl Cursor {
    pub(crate) fn new(number: u64, columns: Vec<ResultColumn>, declare: &DeclareCursor, stream: RowStream) -> Self {
        let opened_at_micros = crate::engine::now_micros();
        let (statement, hold) = (declare.statement.text().to_string(), declare.hold);
        Self { columns, statement, hold, opened_at_micros, number, stream: Mutex::new(stream), rest: None, held: false }
    }

    /// Whether the cursor stays open after its transaction, or a later one, ended.
    pub(crate) fn survives(&mut self, committed: bool) -> bool {
        let survives = self.held || (self.hold && committed);
        self.held = survives;
        survives
    }

    async fn take(&mut self, count: FetchCount) -> Result<(Vec<RecordBatch>, u64), QueryError> {
        let wanted = match count {
            FetchCount::Rows(rows) => rows,
            FetchCount::All => u64::MAX,
        };
        let mut taken = Vec::new();
        let mut rows = 0;
        while rows < wanted {
            let batch = match self.rest.take() {
                Some(rest) => rest,
                None => match self.stream.get_mut().next().await {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            let fits = (wanted - rows).min(batch.num_rows() as u64) as usize;
            if fits < batch.num_rows() {
                self.rest = Some(batch.slice(fits, batch.num_rows() - fits));
            }
            rows += fits as u64;
            taken.push(batch.slice(0, fits));
        }
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

pub(crate) fn missing(name: &str) -> QueryError {
    QueryError::new(ErrorKind::UndefinedCursor, format!("cursor \"{name}\" does not exist"))
}
