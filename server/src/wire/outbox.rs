//! Outbox: messages on their way to the client.
//!
//! Messages gather in one buffer and leave in large writes. `flush` waits until the socket has taken everything: that
//! is the back-pressure which keeps a result of any size in constant memory.

use super::Exit;
use crate::errors::Fatal;
use bytes::{Buf, BytesMut};
use pgwire::messages::Message;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// From here on a writer should flush before it adds more.
const FLUSH_BYTES: usize = 64 * 1024;
/// A buffer that one large row made larger than this is given back.
const KEEP_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(crate) struct Outbox {
    socket: Box<dyn AsyncWrite + Send + Unpin>,
    buffer: BytesMut,
}

impl Outbox {
    pub(crate) fn new(socket: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        Self { socket, buffer: BytesMut::new() }
    }

    /// Adds a message. One that the codec refuses is a mistake of ours, and ends the connection before it can confuse the
    /// client.
    pub(crate) fn put(&mut self, message: &impl Message) -> Result<(), Exit> {
        let before = self.buffer.len();
        message.encode(&mut self.buffer).map_err(|error| {
            self.buffer.truncate(before);
            tracing::error!(%error, "a message could not be encoded");
            Exit::Fatal(Fatal::internal())
        })
    }

    pub(crate) fn pending(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= FLUSH_BYTES
    }

    /// Writes everything. What is written leaves the buffer at once, so the future may be dropped at any point.
    pub(crate) async fn flush(&mut self) -> Result<(), Exit> {
        while self.buffer.has_remaining() {
            match self.socket.write_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(Exit::Disconnected),
                Ok(_) => {}
            }
        }
        if self.buffer.capacity() > KEEP_BYTES_MAX {
            self.buffer = BytesMut::new();
        }
        self.socket.flush().await.map_err(|_| Exit::Disconnected)
    }

    /// Writes everything and says that nothing follows.
    pub(crate) async fn close(&mut self) -> Result<(), Exit> {
        self.flush().await?;
        self.socket.shutdown().await.map_err(|_| Exit::Disconnected)
    }
}
