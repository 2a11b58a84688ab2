//! The wire: one client's socket, as messages.
//!
//!     socket ─▶ Inbox ─▶ frame (bounds checked) ─▶ message        the codec is pgwire's
//!     socket ◀─ Outbox ◀───────────────────────── message
//!
//! Nothing is decoded before its lengths were checked, and nothing waits on the socket without watching it: while a
//! statement runs or its rows are written, [`Wire::run`] and [`Wire::flush`] keep reading, so that a client that goes
//! away ends its own work, and messages that come early wait in a buffer of bounded size.
//!
//! This module knows no SQL and no session.

pub(crate) mod frame;
mod inbox;
mod outbox;

use crate::errors::Fatal;
use futures::FutureExt;
use inbox::Inbox;
use outbox::Outbox;
use pgwire::messages::Message;
use query::error::QueryError;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub(crate) use frame::Incoming;
pub(crate) use inbox::StartupFrame;

/// How long a client that is being sent away may take to read the last message.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a conversation ends.
#[derive(Debug)]
pub(crate) enum Exit {
    /// The client closed the connection or it broke.
    Disconnected,
    /// The client said goodbye.
    Terminated,
    /// The server ends the connection and says why.
    Fatal(Fatal),
}

/// What stops a statement: an error that the client hears of and survives, or the end of the conversation.
#[derive(Debug)]
pub(crate) enum Failure {
    Statement(Box<QueryError>),
    Exit(Exit),
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::Statement(Box::new(error))
    }
}

impl From<Exit> for Failure {
    fn from(exit: Exit) -> Self {
        Self::Exit(exit)
    }
}

/// One client's socket.
pub(crate) struct Wire {
    inbox: Inbox,
    outbox: Outbox,
    /// The client waits for what the outbox has: it leaves as soon as there is something to wait for.
    owed: bool,
    /// Cancelled when this client is sent away, or when the server does not wait for any client any longer.
    kill: CancellationToken,
}

impl Wire {
    pub(crate) fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        kill: CancellationToken,
    ) -> Self {
        let kill = kill.child_token();
        Self { inbox: Inbox::new(Box::new(reader)), outbox: Outbox::new(Box::new(writer)), owed: false, kill }
    }

    /// What sends this client away when it is cancelled.
    pub(crate) fn farewell(&self) -> CancellationToken {
        self.kill.clone()
    }

    /// The next packet of the start-up phase, which has no type byte.
    pub(crate) async fn next_startup(&mut self) -> Result<StartupFrame, Exit> {
        self.inbox.next_startup().await
    }

    /// From here on messages may be as long as PostgreSQL's.
    pub(crate) fn authenticated(&mut self) {
        self.inbox.authenticated();
    }

    /// The next message, if it is here.
    pub(crate) fn at_hand(&mut self) -> Result<Option<Incoming>, Exit> {
        self.inbox.take()
    }

    /// The next message; waits for it. Safe to drop while it waits.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Exit> {
        if let Some(message) = self.at_hand()? {
            return Ok(message);
        }
        if self.owed {
            self.flush().await?;
        }
        tokio::select! {
            biased;
            message = self.inbox.next() => message,
            () = self.kill.cancelled() => Err(Exit::Fatal(Fatal::administrator())),
        }
    }

    /// The type byte of the next message, which stays where it is.
    pub(crate) async fn peek_type(&mut self) -> Result<u8, Exit> {
        if self.owed && !self.inbox.has_message() {
            self.flush().await?;
        }
        tokio::select! {
            biased;
            message_type = self.inbox.peek_type() => message_type,
            () = self.kill.cancelled() => Err(Exit::Fatal(Fatal::administrator())),
        }
    }

    /// Runs work for this client. It is dropped when the client goes away or the server stops waiting; a panic in it
    /// costs this connection only.
    pub(crate) async fn run<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Exit> {
        // Pinned first: a statement's work is some kilobytes, which would be moved into what surrounds it.
        let work = pin!(work);
        let mut work = AssertUnwindSafe(work).catch_unwind();
        if let Some(outcome) = (&mut work).now_or_never() {
            return outcome.map_err(|_| Exit::Fatal(Fatal::internal()));
        }
        if self.owed {
            tokio::select! {
                biased;
                outcome = &mut work => return outcome.map_err(|_| Exit::Fatal(Fatal::internal())),
                sent = self.outbox.flush() => sent?,
                exit = self.inbox.watch() => return Err(exit),
                () = self.kill.cancelled() => return Err(Exit::Fatal(Fatal::administrator())),
            }
            self.owed = false;
        }
        tokio::select! {
            biased;
            outcome = work => outcome.map_err(|_| Exit::Fatal(Fatal::internal())),
            exit = self.inbox.watch() => Err(exit),
            () = self.kill.cancelled() => Err(Exit::Fatal(Fatal::administrator())),
        }
    }

    /// Adds a message to what will be sent.
    pub(crate) fn put(&mut self, message: &impl Message) -> Result<(), Exit> {
        self.outbox.put(message)
    }

    /// The bytes that wait to be sent, for those who write messages in bulk.
    pub(crate) fn pending(&mut self) -> &mut bytes::BytesMut {
        self.outbox.pending()
    }

    /// Sends what waits, if it is much.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), Exit> {
        if self.outbox.is_full() { self.flush().await } else { Ok(()) }
    }

    /// Sends what waits; returns when the socket has taken it.
    pub(crate) async fn flush(&mut self) -> Result<(), Exit> {
        tokio::select! {
            biased;
            sent = self.outbox.flush() => sent?,
            exit = self.inbox.watch() => return Err(exit),
            () = self.kill.cancelled() => return Err(Exit::Fatal(Fatal::administrator())),
        }
        self.owed = false;
        Ok(())
    }

    /// Sends what waits before the server waits for anything itself. Answers to messages that came together leave together.
    pub(crate) async fn flush_soon(&mut self) -> Result<(), Exit> {
        self.owed = true;
        if self.inbox.has_message() { self.flush_if_full().await } else { self.flush().await }
    }

    /// Says why the connection ends, if the server ends it, and closes it.
    pub(crate) async fn part(mut self, exit: &Exit) {
        let Exit::Fatal(fatal) = exit else {
            if self.owed {
                let _ = tokio::time::timeout(FAREWELL, self.outbox.flush()).await;
            }
            return;
        };
        if self.outbox.put(&fatal.response()).is_ok() {
            // A client that does not read its last message is not waited for.
            let _ = tokio::time::timeout(FAREWELL, self.outbox.close()).await;
        }
    }
}
