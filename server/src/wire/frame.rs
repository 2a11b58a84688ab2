//! Frames: a message's bytes are judged, then decoded.
//!
//! pgwire's decoder reads counts and lengths without asking whether the bytes are there, and turns bad UTF-8 into
//! replacement characters. So every body is walked here first, by the grammar of PostgreSQL's protocol chapter, and the codec only sees
//! bodies that it can read. A body that breaks the grammar, or has text that is not UTF-8, is its message's error: where it ends was told
//! by its length, so the connection goes on behind it.
//!
//! A Bind is read while it is walked, and its parameters stay where they lie: there is one for each row of a client that inserts many.

use bytes::{Bytes, BytesMut};
use pgwire::messages::{DecodeContext, PgWireFrontendMessage, ProtocolVersion};
use query::error::{ErrorKind, QueryError};
use query::place_of_parameter;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A message's type byte and length.
pub(crate) const HEADER_BYTES: usize = 5;
/// The type byte of CopyData.
pub(crate) const COPY_DATA: u8 = b'd';
/// The type byte of CopyFail.
pub(crate) const COPY_FAIL: u8 = b'f';
/// The type byte of Query.
pub(crate) const QUERY: u8 = b'Q';
/// The type byte of Sync.
pub(crate) const SYNC: u8 = b'S';
/// The type byte of Flush.
pub(crate) const FLUSH: u8 = b'H';
/// The type byte of a function call.
pub(crate) const FUNCTION_CALL: u8 = b'F';
/// The type byte of all answers to a request for authentication.
pub(crate) const PASSWORD: u8 = b'p';
/// The type byte of Bind.
const BIND: u8 = b'B';

/// PostgreSQL's limit for messages that hold statements, values or data.
const LARGE_BYTES_MAX: usize = 0x3fff_ffff;
/// PostgreSQL's limit for the others.
const SMALL_BYTES_MAX: usize = 10_000;

/// A message from the client.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(PgWireFrontendMessage),
    Bind(Bind),
    /// Content of one or several CopyData messages, or of a piece of one.
    CopyData(Bytes),
    /// The obsolete function call protocol, which pgwire does not know.
    FunctionCall,
    /// A message of this type that cannot be read.
    Malformed {
        message_type: u8,
        error: Objection,
    },
}

/// A portal's statement and parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) parameter_formats: Vec<i16>,
    /// The parameters, each behind its length, and where in this each lies that is not NULL.
    pub(crate) values: Bytes,
    pub(crate) parameters: Vec<Option<Range<usize>>>,
    pub(crate) result_formats: Vec<i16>,
}

impl Bind {
    fn read(message: &Bytes) -> Result<Self, Objection> {
        let mut body = Body { rest: &message[HEADER_BYTES..] };
        let portal = body.text()?.to_string();
        let statement = body.text()?.to_string();
        let parameter_formats = body.formats()?;
        let count = body.count()?;
        let values = body.rest;
        // Each takes four bytes at least.
        let mut parameters = Vec::with_capacity(count.min(values.len() / 4));
        for number in 1..=count {
            let bytes = body.value().map_err(|error| Box::new(error.within(place_of_parameter(&portal, number))))?;
            let end = values.len() - body.rest.len();
            parameters.push(bytes.map(|bytes| end - bytes..end));
        }
        let values = message.slice_ref(&values[..values.len() - body.rest.len()]);
        let result_formats = body.formats()?;
        body.end()?;
        Ok(Self { portal, statement, parameter_formats, values, parameters, result_formats })
    }
}

/// The longest that a message of this type may be; `None` for a type that clients cannot send.
pub(crate) fn length_max(message_type: u8) -> Option<usize> {
    match message_type {
        QUERY | b'P' | b'B' | FUNCTION_CALL | COPY_DATA => Some(LARGE_BYTES_MAX),
        PASSWORD => Some(64 * 1024),
        b'D' | b'E' | b'C' | FLUSH | SYNC | b'X' | b'c' | COPY_FAIL => Some(SMALL_BYTES_MAX),
        _ => None,
    }
}

/// Decodes a whole frame, type byte and length included.
pub(crate) fn decode(frame: BytesMut) -> Incoming {
    let message_type = frame[0];
    let decoded = match message_type {
        BIND => Bind::read(&frame.freeze()).map(Incoming::Bind),
        _ => check(message_type, &frame[HEADER_BYTES..]).and_then(|()| decode_checked(frame)),
    };
    decoded.unwrap_or_else(|error| Incoming::Malformed { message_type, error })
}

fn decode_checked(mut frame: BytesMut) -> Result<Incoming, Objection> {
    if frame[0] == FUNCTION_CALL {
        return Ok(Incoming::FunctionCall);
    }
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    match guarded(|| PgWireFrontendMessage::decode(&mut frame, &context)) {
        Some(Ok(Some(message))) => Ok(Incoming::Message(message)),
        Some(Ok(None)) | Some(Err(_)) | None => Err(violation(INVALID_FORMAT)),
    }
}

/// Calls into the codec with bytes from a client; a panic there costs the message, not more.
pub(crate) fn guarded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decode)).ok()
}

/// What is wrong with a body.
pub(crate) type Objection = Box<QueryError>;

const INVALID_FORMAT: &str = "invalid message format";

fn violation(message: impl Into<String>) -> Objection {
    Box::new(QueryError::new(ErrorKind::ProtocolViolation, message))
}

fn check(message_type: u8, body: &[u8]) -> Result<(), Objection> {
    let mut body = Body { rest: body };
    match message_type {
        QUERY | COPY_FAIL => {
            body.text()?;
        }
        b'P' => {
            body.text()?;
            body.text()?;
            let types = body.count()?;
            body.skip(4 * types)?;
        }
        b'D' | b'C' => {
            let (subtype, _) = body.rest.split_first().ok_or_else(|| violation("no data left in message"))?;
            body.skip(1)?;
            body.text()?;
            body.end()?;
            if !matches!(subtype, b'S' | b'P') {
                let name = if message_type == b'D' { "DESCRIBE" } else { "CLOSE" };
                return Err(violation(format!("invalid {name} message subtype {subtype}")));
            }
        }
        b'E' => {
            body.text()?;
            body.skip(4)?;
        }
        // A function call is refused, a password's meaning depends on the exchange; both bodies are looked at there.
        FUNCTION_CALL | PASSWORD => return Ok(()),
        // Flush and Sync have no body; what Terminate and CopyDone may have is not looked at.
        FLUSH | SYNC => {}
        _ => return Ok(()),
    }
    body.end()
}

/// A body that is being walked.
pub(crate) struct Body<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Objection> {
        let parts = self.rest.split_at_checked(bytes);
        let (head, rest) = parts.ok_or_else(|| violation("insufficient data left in message"))?;
        self.rest = rest;
        Ok(head)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Objection> {
        self.take(bytes).map(|_| ())
    }

    fn count(&mut self) -> Result<usize, Objection> {
        let bytes = self.take(2)?;
        Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    }

    fn formats(&mut self) -> Result<Vec<i16>, Objection> {
        let formats = self.count()?;
        let codes = self.take(2 * formats)?;
        Ok(codes.chunks_exact(2).map(|code| i16::from_be_bytes([code[0], code[1]])).collect())
    }

    /// A length and that many bytes, and how many; -1 stands for NULL, without bytes.
    pub(crate) fn value(&mut self) -> Result<Option<usize>, Objection> {
        let length = self.take(4)?;
        match i32::from_be_bytes([length[0], length[1], length[2], length[3]]) {
            -1 => Ok(None),
            bytes => {
                // No body has as many bytes as a negative length becomes.
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                self.skip(bytes)?;
                Ok(Some(bytes))
            }
        }
    }

    /// A string that ends with a NUL.
    pub(crate) fn text(&mut self) -> Result<&'a str, Objection> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| violation("invalid string in message"))?;
        let text = self.take(end)?;
        self.skip(1)?;
        std::str::from_utf8(text).map_err(|error| {
            let byte = text[error.valid_up_to()];
            let message = format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}");
            Box::new(QueryError::new(ErrorKind::CharacterNotInRepertoire, message))
        })
    }

    pub(crate) fn end(&self) -> Result<(), Objection> {
        if self.rest.is_empty() { Ok(()) } else { Err(violation(INVALID_FORMAT)) }
    }
}

#[cfg(test)]
mod tests;
