//! A connection's life: start-up, authentication, conversation, farewell.
//!
//! The order in which a client is refused is PostgreSQL's: shutting down (57P03), too many clients (53300), password
//! (28P01), database (3D000), settings. Only then is there a session.

use crate::conversation::Conversation;
use crate::errors::Fatal;
use crate::password::{self, PasswordVerifier};
use crate::registry::{Registration, Registry, SECRET_BYTES, SHORT_SECRET_BYTES, Seat};
use crate::startup::{self, Opening, SessionRequest};
use crate::wire::{Exit, Wire};
use bytes::Bytes;
use pgwire::messages::ProtocolVersion;
use pgwire::messages::startup::{Authentication, BackendKeyData, ParameterStatus, SecretKey};
use query::error::{ErrorKind, QueryError};
use query::{ConnectOptions, Engine, Session};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

/// The one database.
pub(crate) const DATABASE: &str = "meridian";
/// How long a client may take to say who it is.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(60);
/// The same while the server is stopping.
const STOPPING_TIMEOUT: Duration = Duration::from_secs(1);
/// libpq refuses a ParameterStatus that is longer.
const PARAMETER_BYTES_MAX: usize = 29_000;

/// What all connections share.
pub(crate) struct House {
    pub(crate) engine: Arc<Engine>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) password: Option<PasswordVerifier>,
    /// Cancelled when the server is asked to stop: clients at rest are sent away.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the server does not wait any longer.
    pub(crate) kill: CancellationToken,
}

/// Serves one client from its first byte to its last. `ends` are the client's address and the one that it came to.
#[tracing::instrument(name = "connection", skip_all, fields(client = Empty, process_id = Empty, user = Empty))]
pub(crate) async fn serve_client(house: Arc<House>, mut wire: Wire, ends: Option<(SocketAddr, SocketAddr)>) {
    if let Some((client, _)) = ends {
        tracing::Span::current().record("client", tracing::field::display(client));
    }
    let exit = match open(&house, &mut wire, ends).await {
        Ok(Some((session, registration))) => {
            tracing::debug!("session opened");
            let requests = registration.requests.clone();
            let exit = Conversation::new(&mut wire, session, requests, house.stop.clone()).run().await;
            drop(registration);
            exit
        }
        Ok(None) => return,
        Err(exit) => exit,
    };
    match &exit {
        Exit::Fatal(fatal) => {
            tracing::info!(sqlstate = fatal.sqlstate(), reason = fatal.message(), "connection ended by the server");
        }
        Exit::Disconnected | Exit::Terminated => tracing::debug!("connection closed by the client"),
    }
    wire.part(&exit).await;
}

/// From a socket to a session; `None` for a cancel request, which needs none.
async fn open(
    house: &House,
    wire: &mut Wire,
    ends: Option<(SocketAddr, SocketAddr)>,
) -> Result<Option<(Session, Registration)>, Exit> {
    let introduced = tokio::select! {
        biased;
        introduced = introduce(house, wire) => introduced?,
        fatal = patience(house) => return Err(Exit::Fatal(fatal)),
    };
    let Some((request, seat)) = introduced else {
        return Ok(None);
    };
    check_database(&request).map_err(Exit::Fatal)?;
    let process_id = house.registry.new_process_id();
    let span = tracing::Span::current();
    span.record("process_id", process_id).record("user", request.user.as_str());
    let options = ConnectOptions {
        user: request.user,
        database: DATABASE.to_string(),
        process_id,
        settings: request.settings,
        ends,
        farewell: wire.farewell(),
    };
    let mut session = house.engine.connect(options).map_err(|error| Exit::Fatal(Fatal::from(error)))?;
    let secret = new_secret(request.protocol);
    let registration = house.registry.register(process_id, secret.clone(), session.cancel_handle(), seat);
    wire.authenticated();
    wire.put(&Authentication::Ok)?;
    for (name, value) in session.reported_settings() {
        put_parameter(wire, name, value)?;
    }
    // They are among those just reported.
    drop(session.take_parameter_changes());
    wire.put(&BackendKeyData::new(process_id, SecretKey::Bytes(secret)))?;
    Ok(Some((session, registration)))
}

/// Ends when a client has taken too long to introduce itself: sooner when the server is stopping.
async fn patience(house: &House) -> Fatal {
    let stopping = async {
        house.stop.cancelled().await;
        tokio::time::sleep(STOPPING_TIMEOUT).await;
    };
    match tokio::time::timeout(AUTHENTICATION_TIMEOUT, stopping).await {
        Ok(()) => Fatal::ShuttingDown,
        Err(_) => Fatal::new(ErrorKind::QueryCanceled, "canceling authentication due to timeout"),
    }
}

/// Learns what the client wants and that it may.
async fn introduce(house: &House, wire: &mut Wire) -> Result<Option<(SessionRequest, Seat)>, Exit> {
    let request = match startup::open(wire).await? {
        Opening::Session(request) => request,
        Opening::Cancel { process_id, secret } => {
            house.registry.cancel(process_id, &secret);
            return Ok(None);
        }
    };
    startup::negotiate(wire, &request)?;
    if house.stop.is_cancelled() {
        return Err(Exit::Fatal(Fatal::ShuttingDown));
    }
    let seat = house
        .registry
        .take_seat()
        .ok_or_else(|| Exit::Fatal(Fatal::new(ErrorKind::TooManyConnections, "sorry, too many clients already")))?;
    if let Some(verifier) = &house.password {
        password::authenticate(wire, verifier, &request.user).await?;
    }
    Ok(Some((request, seat)))
}

/// Clients that name no database name their user's, so that is the one database too.
fn check_database(request: &SessionRequest) -> Result<(), Fatal> {
    if request.database == DATABASE || request.database == request.user {
        return Ok(());
    }
    let message = format!("database \"{}\" does not exist", request.database);
    let error = QueryError::new(ErrorKind::UndefinedDatabase, message);
    Err(Fatal::from(error.hint(format!("There is one database, \"{DATABASE}\"."))))
}

fn new_secret(protocol: ProtocolVersion) -> Bytes {
    let secret = rand::random::<[u8; SECRET_BYTES]>();
    match protocol {
        ProtocolVersion::PROTOCOL3_0 => Bytes::copy_from_slice(&secret[..SHORT_SECRET_BYTES]),
        ProtocolVersion::PROTOCOL3_2 | ProtocolVersion::PROTOCOL3_9999 => Bytes::copy_from_slice(&secret),
    }
}

/// Reports a setting, unless it is too long for clients to hear of.
pub(crate) fn put_parameter(wire: &mut Wire, name: String, value: String) -> Result<(), Exit> {
    if name.len() + value.len() > PARAMETER_BYTES_MAX {
        return Ok(());
    }
    wire.put(&ParameterStatus::new(name, value))
}

#[cfg(test)]
mod tests;
