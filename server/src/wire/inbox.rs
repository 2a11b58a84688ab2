//! Inbox: what the client sends, cut into frames.
//!
//! A frame's length is judged before its bytes are waited for: 10,000 bytes for a start-up packet, 64 KiB before the
//! client has authenticated, PostgreSQL's own limits afterwards. The buffer grows with what arrives, not with what a length
//! promises. CopyData is the exception to whole frames: its content is handed on as it comes, several small messages
//! together and a large one in pieces, so that a COPY needs the same memory whatever a client makes of it.

use super::Exit;
use super::frame::{self, HEADER_BYTES, Incoming};
use crate::errors::Fatal;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// PostgreSQL's limit for a packet of the start-up phase.
const STARTUP_BYTES_MAX: usize = 10_000;
/// A start-up packet has at least its length and its code.
const STARTUP_BYTES_MIN: usize = 8;
/// PostgreSQL's limit for a message of a client that has not authenticated.
const UNAUTHENTICATED_BYTES_MAX: usize = 64 * 1024;
/// Room that is made for one read.
const READ_BYTES: usize = 128 * 1024;
/// What is read ahead while a statement runs.
const EARLY_BYTES_MAX: usize = 1024 * 1024;
/// CopyData of this size is handed on as it lies in the buffer; smaller ones are gathered.
const COPY_WHOLE_BYTES: usize = 16 * 1024;
/// Up to this much CopyData is gathered into one piece.
const COPY_GATHERED_BYTES_MAX: usize = 1024 * 1024;

/// A packet of the start-up phase: its length, its code and what follows.
pub(crate) struct StartupFrame {
    pub(crate) code: i32,
    /// The whole packet, length included.
    pub(crate) bytes: BytesMut,
}

pub(crate) struct Inbox {
    socket: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    authenticated: bool,
    /// Bytes of a CopyData message that have not arrived or not been handed on.
    copy_bytes_left: usize,
}

impl Inbox {
    pub(crate) fn new(socket: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        Self { socket, buffer: BytesMut::new(), authenticated: false, copy_bytes_left: 0 }
    }

    pub(crate) fn authenticated(&mut self) {
        self.authenticated = true;
    }

    pub(crate) async fn next_startup(&mut self) -> Result<StartupFrame, Exit> {
        while self.buffer.len() < STARTUP_BYTES_MIN {
            // A length that cannot be is refused before its packet is waited for.
            if self.buffer.len() >= 4 {
                self.startup_length()?;
            }
            self.fill().await?;
        }
        let length = self.startup_length()?;
        while self.buffer.len() < length {
            self.fill().await?;
        }
        let bytes = self.buffer.split_to(length);
        let code = (&bytes[4..8]).get_i32();
        Ok(StartupFrame { code, bytes })
    }

    pub(crate) async fn next(&mut self) -> Result<Incoming, Exit> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn peek_type(&mut self) -> Result<u8, Exit> {
        while self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(self.buffer[0])
    }

    /// Whether a message is here and [`Self::next`] does not wait.
    pub(crate) fn has_message(&self) -> bool {
        let whole = |(_, length)| self.buffer.len() > length;
        // What is no message is an error, which does not wait either.
        self.copy_bytes_left == 0 && self.header().map_or(true, |header| header.is_some_and(whole))
    }

    /// Reads ahead until the client goes away; with a full buffer it only waits.
    pub(crate) async fn watch(&mut self) -> Exit {
        while self.buffer.len() < EARLY_BYTES_MAX {
            if let Err(exit) = self.fill().await {
                return exit;
            }
        }
        std::future::pending().await
    }

    fn startup_length(&self) -> Result<usize, Exit> {
        let length = (&self.buffer[..4]).get_u32() as usize;
        if (STARTUP_BYTES_MIN..=STARTUP_BYTES_MAX).contains(&length) {
            Ok(length)
        } else {
            Err(Exit::Fatal(Fatal::protocol("invalid length of startup packet")))
        }
    }

    async fn fill(&mut self) -> Result<(), Exit> {
        self.buffer.reserve(READ_BYTES);
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(Exit::Disconnected),
            Ok(_) => Ok(()),
        }
    }

    /// The next message, if the buffer has it.
    pub(crate) fn take(&mut self) -> Result<Option<Incoming>, Exit> {
        if let Some(data) = self.take_copy_data()? {
            return Ok(Some(Incoming::CopyData(data)));
        }
        if self.copy_bytes_left > 0 {
            return Ok(None);
        }
        let Some((_, length)) = self.header()? else {
            return Ok(None);
        };
        if self.buffer.len() < 1 + length {
            return Ok(None);
        }
        let frame = self.buffer.split_to(1 + length);
        Ok(Some(frame::decode(frame)))
    }

    /// The type and the length of the message at the head of the buffer; the length counts itself but not the type.
    fn header(&self) -> Result<Option<(u8, usize)>, Exit> {
        let Some(&message_type) = self.buffer.first() else {
            return Ok(None);
        };
        // Who has authenticated has nothing to say of that any more.
        let is_late = self.authenticated && message_type == frame::PASSWORD;
        let Some(mut length_max) = frame::length_max(message_type).filter(|_| !is_late) else {
            return Err(Exit::Fatal(Fatal::protocol(format!("invalid frontend message type {message_type}"))));
        };
        if self.buffer.len() < HEADER_BYTES {
            return Ok(None);
        }
        if !self.authenticated {
            length_max = length_max.min(UNAUTHENTICATED_BYTES_MAX);
        }
        let length = (&self.buffer[1..HEADER_BYTES]).get_u32() as usize;
        if !(4..=length_max).contains(&length) {
            return Err(Exit::Fatal(Fatal::protocol("invalid message length")));
        }
        Ok(Some((message_type, length)))
    }

    fn take_copy_data(&mut self) -> Result<Option<Bytes>, Exit> {
        let mut gathered = BytesMut::new();
        while gathered.len() < COPY_GATHERED_BYTES_MAX {
            if self.copy_bytes_left == 0 {
                // An error in what follows is reported when it is reached.
                let Some((frame::COPY_DATA, length)) = self.header().unwrap_or(None) else {
                    break;
                };
                self.buffer.advance(HEADER_BYTES);
                self.copy_bytes_left = length - 4;
            }
            let bytes = self.copy_bytes_left.min(self.buffer.len());
            if bytes == 0 && self.copy_bytes_left > 0 {
                break;
            }
            self.copy_bytes_left -= bytes;
            if gathered.is_empty() && bytes >= COPY_WHOLE_BYTES {
                return Ok(Some(self.buffer.split_to(bytes).freeze()));
            }
            if gathered.is_empty() {
                gathered.reserve(self.buffer.len().min(COPY_GATHERED_BYTES_MAX));
            }
            gathered.extend_from_slice(&self.buffer[..bytes]);
            self.buffer.advance(bytes);
        }
        Ok((!gathered.is_empty()).then(|| gathered.freeze()))
    }
}

#[cfg(test)]
mod tests;
