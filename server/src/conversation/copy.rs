//! COPY over the wire: data in until CopyDone, data out until it ends.
//!
//! Nothing that a client sent is kept before `CopyIn::finish` says so: an error, CopyFail, a cancel request and a
//! disconnect all drop the `CopyIn`, which leaves nothing behind.

use super::Conversation;
use crate::errors::{Fatal, notice_response};
use crate::wire::{Exit, Failure, Incoming, frame};
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use pgwire::messages::PgWireFrontendMessage as Message;
use pgwire::messages::copy::{CopyDone, CopyInResponse, CopyOutResponse};
use query::copy_in::CopyIn;
use query::error::{ErrorKind, QueryError};
use query::response::{CommandTag, CopyOutChunk, Format};

use super::rows::format_code;

/// What the client says next in a COPY.
enum Step {
    Data(Bytes),
    Done,
}

impl Conversation<'_> {
    /// Takes the client's data and returns what CommandComplete says. With `last` no other statement follows in its transaction;
    /// without, the message behind the data says so.
    pub(super) async fn copy_in(&mut self, mut copy: Box<CopyIn>, last: bool) -> Result<CommandTag, Failure> {
        self.cancel_requests.mark_unchanged();
        let (format, columns) = (format_code(copy.format()), copy.columns());
        self.wire.put(&CopyInResponse::new(format as i8, columns as i16, vec![format; columns]))?;
        self.wire.flush().await?;
        loop {
            match self.next_copy_step().await? {
                Step::Data(data) => {
                    self.wire.run(copy.push(data)).await??;
                    for notice in copy.take_notices() {
                        self.wire.put(&notice_response(&notice))?;
                        self.wire.flush_if_full().await?;
                    }
                }
                Step::Done => {
                    // A Sync before the data has ended nothing.
                    if !last && copy.is_alone() && self.wire.peek_type().await? != frame::SYNC {
                        copy.share_transaction();
                    }
                    return Ok(self.wire.run(copy.finish(&mut self.session)).await??);
                }
            }
        }
    }

    /// Sends the statement's data and returns what CommandComplete says.
    pub(super) async fn copy_out(
        &mut self,
        columns: usize,
        format: Format,
        mut stream: BoxStream<'static, Result<CopyOutChunk, QueryError>>,
    ) -> Result<CommandTag, Failure> {
        let format = format_code(format);
        self.wire.put(&CopyOutResponse::new(format as i8, columns as i16, vec![format; columns]))?;
        let mut rows = 0;
        while let Some(chunk) = self.wire.run(stream.next()).await? {
            let chunk = chunk?;
            rows += chunk.rows;
            self.put_lines(&chunk).await?;
        }
        self.wire.put(&CopyDone::new())?;
        Ok(CommandTag::Rows("COPY", rows))
    }

    /// Sends what is committed as it comes, until it fails, is cancelled or the server stops.
    pub(super) async fn follow(
        &mut self,
        columns: usize,
        format: Format,
        mut stream: BoxStream<'static, Result<CopyOutChunk, QueryError>>,
    ) -> Result<CommandTag, Failure> {
        let format = format_code(format);
        self.wire.put(&CopyOutResponse::new(format as i8, columns as i16, vec![format; columns]))?;
        let mut rows = 0;
        loop {
            self.wire.flush().await?;
            let chunk = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Exit::Fatal(Fatal::administrator()).into()),
                chunk = self.wire.run(stream.next()) => chunk?,
            };
            let Some(chunk) = chunk else { break };
            let chunk = chunk?;
            rows += chunk.rows;
            self.put_lines(&chunk).await?;
        }
        self.wire.put(&CopyDone::new())?;
        Ok(CommandTag::Rows("COPY", rows))
    }

    async fn put_lines(&mut self, chunk: &CopyOutChunk) -> Result<(), Exit> {
        let mut start = 0;
        for end in &chunk.ends {
            put_copy_data(self.wire.pending(), &chunk.bytes[start..*end]);
            self.wire.flush_if_full().await?;
            start = *end;
        }
        Ok(())
    }

    async fn next_copy_step(&mut self) -> Result<Step, Failure> {
        loop {
            let incoming = tokio::select! {
                biased;
                // The sender lives as long as the registration of this session, so an error cannot come.
                _ = self.cancel_requests.changed() => {
                    return Err(QueryError::new(ErrorKind::QueryCanceled, "canceling statement due to user request").into());
                }
                incoming = self.wire.next() => incoming?,
            };
            match incoming {
                Incoming::CopyData(data) => return Ok(Step::Data(data)),
                Incoming::Message(Message::CopyDone(_)) => return Ok(Step::Done),
                Incoming::Message(Message::CopyFail(fail)) => {
                    let message = format!("COPY from stdin failed: {}", fail.message);
                    return Err(QueryError::new(ErrorKind::QueryCanceled, message).into());
                }
                Incoming::Malformed { message_type: frame::COPY_FAIL, error } => return Err(Failure::Statement(error)),
                // libpq sends these behind an Execute, before it knows that it was a COPY.
                Incoming::Message(Message::Flush(_) | Message::Sync(_))
                | Incoming::Malformed { message_type: frame::FLUSH | frame::SYNC, .. } => {}
                Incoming::Message(Message::Terminate(_)) => return Err(Exit::Terminated.into()),
                _ => return Err(Exit::Fatal(Fatal::protocol("unexpected message during COPY from stdin")).into()),
            }
        }
    }
}

/// A CopyData message, without a copy of its line in between.
fn put_copy_data(out: &mut BytesMut, line: &[u8]) {
    out.reserve(line.len() + frame::HEADER_BYTES);
    out.put_u8(frame::COPY_DATA);
    // The length counts itself.
    out.put_i32(line.len() as i32 + 4);
    out.put_slice(line);
}
