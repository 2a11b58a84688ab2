//! What a statement answers with: the types that pass through the door between `server` and `query`.
//!
//! Rows stay record batches until the server encodes them; nothing here knows a Postgres message.

use crate::error::QueryError;
use arrow::array::RecordBatch;
use bytes::Bytes;
use catalog::ids::ObjectId;
use catalog::sql_type::SqlType;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;

/// One column of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultColumn {
    pub name: String,
    pub sql_type: SqlType,
    /// The type's modifier; -1 for none.
    pub modifier: i32,
    /// The domain that the values belong to, whose base type is `sql_type`.
    pub domain: Option<ObjectId>,
    /// The table and 1-based column that the value comes from unchanged, where there is one.
    pub origin: Option<(ObjectId, i16)>,
}

/// A wire format of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Text,
    Binary,
}

/// As long as tags mostly are.
const TAG_BYTES: usize = 24;

/// A parameter of Bind; `None` is NULL.
#[derive(Clone, Debug)]
pub struct ParameterValue {
    pub format: Format,
    pub bytes: Option<Bytes>,
}

/// Batches whose columns fit the [`ResultColumn`]s by position. Dropping the stream cancels the work behind it.
pub type RowStream = BoxStream<'static, Result<RecordBatch, QueryError>>;

/// What is left of a stream of which some rows were taken.
pub struct OpenRows {
    /// Only ever reached through `&mut`; the mutex makes the rows shareable, which a stream alone is not.
    stream: Mutex<RowStream>,
    rest: Option<RecordBatch>,
    ended: bool,
}

impl OpenRows {
    pub fn new(stream: RowStream) -> Self {
        Self { stream: Mutex::new(stream), rest: None, ended: false }
    }

    /// `None` after the last batch and after an error.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        if let Some(rest) = self.rest.take() {
            return Some(Ok(rest));
        }
        if self.ended {
            return None;
        }
        let batch = self.stream.get_mut().next().await;
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }

    /// Gives back rows of the last batch, which come next again.
    pub fn put_back(&mut self, rows: RecordBatch) {
        self.rest = Some(rows);
    }
}

/// What CommandComplete says, without the row count where rows are streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandTag {
    /// `SELECT 5`, `FETCH 2`, `COPY 7`, `DELETE 1`, `INSERT 0 3`: the verb and the rows.
    Rows(&'static str, u64),
    /// `CREATE TABLE`, `BEGIN`, …
    Plain(&'static str),
}

impl CommandTag {
    /// What the client is told.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(TAG_BYTES);
        match self {
            Self::Plain(tag) => text.push_str(tag),
            Self::Rows(verb, rows) => {
                text.push_str(verb);
                text.push_str(if *verb == "INSERT" { " 0 " } else { " " });
                text.push_str(itoa::Buffer::new().format(*rows));
            }
        }
        text
    }
}

/// The answer to one statement.
pub enum Response {
    /// An empty statement.
    Empty,
    Command(CommandTag),
    /// Rows to stream; `verb` is the tag's (`SELECT`, `FETCH`, `SHOW`, `EXPLAIN`). A verb that PostgreSQL shows without a count
    /// (`SHOW`, `EXPLAIN`) has `counted` false.
    Rows {
        columns: Vec<ResultColumn>,
        stream: RowStream,
        verb: &'static str,
        counted: bool,
    },
    /// The client is to send data. Feed it to [`crate::copy_in::CopyIn`].
    CopyIn(Box<crate::copy_in::CopyIn>),
    /// Encoded lines to send; the stream's end is the statement's. `rows` is known when the stream has ended. One that `follows` waits for
    /// what others commit: each piece is to be sent at once, and nothing else may wait for its end.
    CopyOut {
        columns: usize,
        format: Format,
        follows: bool,
        stream: BoxStream<'static, Result<CopyOutChunk, QueryError>>,
    },
}

/// A piece of COPY TO's output, of whole lines.
#[derive(Clone, Debug)]
pub struct CopyOutChunk {
    pub bytes: Bytes,
    /// The end of each line; clients expect one in a message.
    pub ends: Vec<usize>,
    /// The header is a line, but not a row.
    pub rows: u64,
}

/// What ReadyForQuery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}
