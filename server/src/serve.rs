//! Serving: from a configuration to an open port, and back to a closed data directory.
//!
//! The port is taken before the data directory is opened, so that two servers find out about each other early. When
//! the server is asked to stop, clients at rest are sent away (57P01), new ones are refused (57P03), and statements that
//! run may finish for a while; then they are cancelled. The engine closes last.

use crate::config::ServeConfig;
use crate::connection::{DATABASE, House, serve_client};
use crate::errors::sqlstate;
use crate::password::PasswordVerifier;
use crate::registry::Registry;
use crate::start_error::StartError;
use crate::wire::Wire;
use catalog::recovery::RecoveryReport;
use catalog::segment_files::LostPast;
use query::types::{Zone, time_text};
use query::{Engine, EngineConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long statements may run on after the server was asked to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How long their connections may take to hear that they were cancelled.
const KILL: Duration = Duration::from_secs(3);
/// How long to wait when the system has no socket to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Clients that may wait to be accepted.
const ACCEPT_BACKLOG: u32 = 1024;
/// Sockets beyond the connection limit, for clients that are still introducing themselves or are about to be refused.
const STRANGERS_MAX: usize = 256;

/// What there is when clients can connect.
pub(crate) struct Ready {
    pub(crate) address: SocketAddr,
    /// For sessions of the program's own.
    pub(crate) engine: Arc<Engine>,
}

/// Serves until `stop` is cancelled. `ready` hears when clients can connect.
pub(crate) async fn serve(
    config: ServeConfig,
    ready: oneshot::Sender<Ready>,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let listeners = listen(&config).await?;
    let address = listeners[0].local_addr().map_err(|error| could_not_listen(&config.listen, &error))?;
    let engine_config = EngineConfig {
        data_dir: config.data_dir.clone(),
        memory_bytes: config.memory_bytes,
        sqlstate,
        copy_dir: config.copy_dir.clone(),
        history_retention: config.history_retention,
        connections_max: config.connections_max,
    };
    let (engine, report) = Engine::open(engine_config).await?;
    log_recovery(&config, &report);
    let house = Arc::new(House {
        engine: Arc::clone(&engine),
        registry: Arc::new(Registry::new(config.connections_max)),
        password: config.password.as_deref().map(PasswordVerifier::new),
        stop: stop.clone(),
        kill: CancellationToken::new(),
    });
    let clients = TaskTracker::new();
    let sockets = Arc::new(Semaphore::new(config.connections_max + STRANGERS_MAX));
    let accepting = listeners.iter().map(|listener| accept(listener, &house, &clients, &sockets));
    let stopping = async {
        stop.cancelled().await;
        tracing::info!(clients = clients.len(), "stopping");
        drain(&clients, &house.kill).await;
    };
    tracing::info!("listening on {address}");
    // Whoever started the server may have stopped listening for it; the server serves all the same.
    let _ = ready.send(Ready { address, engine: Arc::clone(&engine) });
    tokio::select! {
        () = stopping => {}
        _ = futures::future::join_all(accepting) => unreachable!("a listener accepts until it is dropped"),
    }
    drop(listeners);
    engine.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

/// Says what opening the data directory found and did.
fn log_recovery(config: &ServeConfig, report: &RecoveryReport) {
    let data_dir = config.data_dir.display();
    if report.created {
        tracing::info!(%data_dir, "created the data directory");
        return;
    }
    tracing::info!(
        %data_dir,
        seq = report.seq.0,
        source = ?report.source,
        records_replayed = report.records_replayed,
        torn_bytes = report.torn_bytes,
        orphan_files = report.orphan_files,
        orphan_bytes = report.orphan_bytes,
        "recovered the data directory"
    );
    for problem in report.checkpoint_problems.iter().chain(&report.index_problem) {
        tracing::warn!(problem, "recovery worked around a damaged file");
    }
    for problem in &report.dropped_states {
        tracing::warn!(problem, "a file of a view's state is missing or damaged; the state is built again");
    }
    if let Some(LostPast { files, problem, until_micros }) = &report.lost_past {
        let whole_from = time_text(*until_micros, Zone::UTC);
        tracing::warn!(files, problem, whole_from, "files that only earlier times need are missing or damaged");
    }
}

/// A token that the first SIGTERM or SIGINT cancels. A second one ends the process at once.
pub(crate) fn stop_on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        token.cancel();
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        tracing::warn!("stopped at once by a second signal");
        std::process::exit(1);
    });
    Ok(stop)
}

/// What to type to connect to a server at this address.
pub(crate) fn psql_command(address: SocketAddr) -> String {
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip.to_string(),
        _ => "127.0.0.1".to_string(),
    };
    format!("psql -h {host} -p {} -U {DATABASE}", address.port())
}

/// One listener for each address that the configured name stands for.
async fn listen(config: &ServeConfig) -> Result<Vec<TcpListener>, StartError> {
    let invalid = || {
        StartError::new(format!("invalid listen address \"{}\"", config.listen))
            .hint("Give it as HOST:PORT, for example 127.0.0.1:5433.")
    };
    let (host, port) = config.listen.rsplit_once(':').ok_or_else(invalid)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(invalid());
    }
    let addresses = tokio::net::lookup_host(&config.listen).await;
    let mut addresses: Vec<SocketAddr> = addresses
        .map_err(|error| StartError::new(format!("could not resolve listen address \"{}\": {error}", config.listen)))?
        .collect();
    if config.password.is_none() && addresses.iter().any(|address| !address.ip().is_loopback()) {
        let message = format!("refusing to listen on \"{}\" without a password", config.listen);
        return Err(StartError::new(message)
            .hint("Set MERIDIAN_PASSWORD or --password-file, or listen on a loopback address such as 127.0.0.1."));
    }
    // IPv4 first: it is the address that is shown, and that clients without IPv6 reach.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    if port == "0" {
        // The free port would be another one for each address.
        addresses.truncate(1);
    }
    let mut listeners = Vec::new();
    for address in addresses {
        match bind(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && !listeners.is_empty() => {
                tracing::warn!(%address, "an address of this name is not available");
            }
            Err(error) => return Err(could_not_listen(&address.to_string(), &error)),
        }
    }
    if listeners.is_empty() { Err(invalid()) } else { Ok(listeners) }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it: a client whose machine is gone is found out.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)
}

fn could_not_listen(address: &str, error: &io::Error) -> StartError {
    let (reason, hint) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "the port is in use".to_string(),
            "Perhaps another server runs already; stop it, or choose another port with --listen HOST:PORT.",
        ),
        io::ErrorKind::PermissionDenied => (
            "permission denied".to_string(),
            "Ports below 1024 need privileges; choose a higher one with --listen HOST:PORT.",
        ),
        io::ErrorKind::AddrNotAvailable => (
            "this machine does not have that address".to_string(),
            "Choose one of its addresses with --listen HOST:PORT.",
        ),
        _ => (error.to_string(), "Choose another address with --listen HOST:PORT."),
    };
    StartError::new(format!("could not listen on {address}: {reason}")).hint(hint)
}

/// Accepts clients until it is dropped.
async fn accept(listener: &TcpListener, house: &Arc<House>, clients: &TaskTracker, sockets: &Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((socket, client)) => {
                // With all sockets taken this one is closed without a word: there is no room to read what it wants.
                let Ok(permit) = Arc::clone(sockets).try_acquire_owned() else {
                    continue;
                };
                let house = Arc::clone(house);
                let ends = socket.local_addr().ok().map(|server| (client, server));
                clients.spawn(async move {
                    serve_client(Arc::clone(&house), wire(socket, &house), ends).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn wire(socket: TcpStream, house: &House) -> Wire {
    // Messages leave in large writes already; waiting for more would only delay the last one.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "could not turn off delayed sending");
    }
    let (reader, writer) = socket.into_split();
    Wire::new(reader, writer, house.kill.clone())
}

/// Waits for clients to finish, then makes them.
async fn drain(clients: &TaskTracker, kill: &CancellationToken) {
    clients.close();
    if tokio::time::timeout(DRAIN, clients.wait()).await.is_ok() {
        return;
    }
    tracing::warn!(clients = clients.len(), "cancelling statements that still run");
    kill.cancel();
    if tokio::time::timeout(KILL, clients.wait()).await.is_err() {
        tracing::warn!(clients = clients.len(), "some connections did not end");
    }
}
