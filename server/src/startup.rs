//! Start-up: from a new socket to a client with a name.
//!
//!     SSLRequest, GSSENCRequest ─▶ 'N' (there is no encryption yet)
//!     CancelRequest             ─▶ the session it names; no answer, by protocol
//!     StartupMessage            ─▶ user, database, settings
//!
//! Everything here comes from somebody that nobody has authenticated, so everything is bounded and nothing is believed.

use crate::errors::Fatal;
use crate::wire::frame::{Body, guarded};
use crate::wire::{Exit, StartupFrame, Wire};
use bytes::Bytes;
use pgwire::messages::startup::{NegotiateProtocolVersion, Startup};
use pgwire::messages::{DecodeContext, Message, ProtocolVersion};
use query::error::{ErrorKind, QueryError};

const CANCEL_CODE: i32 = 80_877_102;
const SSL_CODE: i32 = 80_877_103;
const GSS_CODE: i32 = 80_877_104;
/// A client may ask for each kind of encryption once.
const ENCRYPTION_REQUESTS_MAX: usize = 2;
/// The newest minor version of protocol 3 that is spoken here.
const MINOR_VERSION_MAX: u16 = 2;

/// What a new connection wants.
#[derive(Debug)]
pub(crate) enum Opening {
    Session(SessionRequest),
    Cancel { process_id: i32, secret: Bytes },
}

/// A start-up message, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    pub(crate) protocol: ProtocolVersion,
    pub(crate) user: String,
    pub(crate) database: String,
    /// Settings from the packet and from its `options`, in that order.
    pub(crate) settings: Vec<(String, String)>,
    /// Whether the client must hear that it gets another version or fewer options than it asked for.
    pub(crate) negotiation: Option<Vec<String>>,
}

/// Reads packets until one says what the client wants.
pub(crate) async fn open(wire: &mut Wire) -> Result<Opening, Exit> {
    for _ in 0..=ENCRYPTION_REQUESTS_MAX {
        let frame = wire.next_startup().await?;
        match frame.code {
            SSL_CODE | GSS_CODE => {
                wire.pending().extend_from_slice(b"N");
                wire.flush().await?;
            }
            CANCEL_CODE => return read_cancel(&frame).map_err(Exit::Fatal),
            _ => return read_startup(frame).map(Opening::Session).map_err(Exit::Fatal),
        }
    }
    Err(Exit::Fatal(Fatal::protocol("too many requests for encryption")))
}

/// Tells a client that asked for more than this server speaks what it gets.
pub(crate) fn negotiate(wire: &mut Wire, request: &SessionRequest) -> Result<(), Exit> {
    match &request.negotiation {
        Some(options) => wire.put(&NegotiateProtocolVersion::new(request.protocol.into(), options.clone())),
        None => Ok(()),
    }
}

fn read_cancel(frame: &StartupFrame) -> Result<Opening, Fatal> {
    // Length, code, process id; then a secret of 4 bytes, or of up to 256 from protocol 3.2 on.
    let (process_id, secret) =
        frame.bytes[8..].split_first_chunk::<4>().ok_or_else(|| Fatal::protocol("invalid length of cancel request"))?;
    if !(4..=256).contains(&secret.len()) {
        return Err(Fatal::protocol("invalid length of cancel request"));
    }
    Ok(Opening::Cancel { process_id: i32::from_be_bytes(*process_id), secret: Bytes::copy_from_slice(secret) })
}

fn read_startup(mut frame: StartupFrame) -> Result<SessionRequest, Fatal> {
    let (major, minor) = ((frame.code >> 16) as u16, frame.code as u16);
    if major != 3 {
        return Err(Fatal::new(
            ErrorKind::FeatureNotSupported,
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{MINOR_VERSION_MAX}"),
        ));
    }
    check_layout(&frame.bytes[8..])?;
    let context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    let startup = match guarded(|| Startup::decode(&mut frame.bytes, &context)) {
        Some(Ok(Some(startup))) => startup,
        Some(Ok(None)) | Some(Err(_)) | None => return Err(Fatal::protocol("invalid startup packet layout")),
    };
    interpret(startup, minor)
}

/// Pairs of strings, and one NUL at the very end.
fn check_layout(body: &[u8]) -> Result<(), Fatal> {
    let layout = || Fatal::protocol("invalid startup packet layout: expected terminator as last byte");
    let mut body = Body { rest: body };
    while body.rest.first().is_some_and(|byte| *byte != 0) {
        body.text().and_then(|_| body.text()).map_err(|_| layout())?;
    }
    if body.rest == [0] { Ok(()) } else { Err(layout()) }
}

fn interpret(startup: Startup, minor: u16) -> Result<SessionRequest, Fatal> {
    let (mut user, mut database, mut settings) = (String::new(), String::new(), Vec::new());
    let (mut options, mut unknown) = (String::new(), Vec::new());
    for (name, value) in startup.parameters {
        match name.as_str() {
            "user" => user = value,
            "database" => database = value,
            "options" => options = value,
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "replication" => {
                let error = QueryError::unsupported("the replication protocol");
                return Err(Fatal::from(error.hint("Connect without the parameter \"replication\".")));
            }
            _ if name.starts_with("_pq_.") => unknown.push(name),
            _ => settings.push((name, value)),
        }
    }
    if user.is_empty() {
        return Err(Fatal::UserMissing);
    }
    if database.is_empty() {
        database.clone_from(&user);
    }
    settings.extend(read_options(&options)?);
    // Version 3.1 is reserved and nobody's; a client that asks for it gets 3.0, as from PostgreSQL.
    let protocol = if minor >= 2 { ProtocolVersion::PROTOCOL3_2 } else { ProtocolVersion::PROTOCOL3_0 };
    let negotiation = (!matches!(minor, 0 | MINOR_VERSION_MAX) || !unknown.is_empty()).then_some(unknown);
    Ok(SessionRequest { protocol, user, database, settings, negotiation })
}

/// The settings in `options`: `-c name=value`, `-cname=value` or `--name=value`, with backslashes before spaces that
/// belong to a value.
fn read_options(options: &str) -> Result<Vec<(String, String)>, Fatal> {
    let invalid = |word: &str| {
        let message = format!("invalid command-line argument for server process: {word}");
        Fatal::from(QueryError::new(ErrorKind::Syntax, message).hint("Settings are given as \"-c name=value\"."))
    };
    let mut settings = Vec::new();
    let mut words = split_options(options).into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().ok_or_else(|| invalid(&word))?
        } else if let Some(setting) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            setting.to_string()
        } else {
            return Err(invalid(&word));
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| invalid(&setting))?;
        settings.push((name.replace('-', "_"), value.to_string()));
    }
    Ok(settings)
}

fn split_options(options: &str) -> Vec<String> {
    let (mut words, mut word, mut inside) = (Vec::new(), String::new(), false);
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        if character.is_ascii_whitespace() {
            if inside {
                words.push(std::mem::take(&mut word));
            }
            inside = false;
            continue;
        }
        inside = true;
        word.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    if inside {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests;
