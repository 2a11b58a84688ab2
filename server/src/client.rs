//! Commands that speak to a server as a client: import, and generate where it sends.

use crate::output::say;
use anyhow::Context;
use std::error::Error;
use std::path::Path;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket};

/// Where a server listens unless something else is said.
const DEFAULT_SERVER: &str = "127.0.0.1:5433";

/// The server that a command is to speak to, as `HOST:PORT`.
pub(crate) fn server_address(listen: Option<&str>) -> String {
    let named = listen.map(str::to_string).or_else(|| std::env::var("MERIDIAN_LISTEN").ok());
    named.unwrap_or_else(|| DEFAULT_SERVER.to_string())
}

/// Connects to `HOST:PORT` with the password of a file or of the environment, if there is one. Notices go to standard error.
pub(crate) async fn connect(server: &str, password_file: Option<&Path>, name: &str) -> anyhow::Result<Client> {
    let (host, port) = server.rsplit_once(':').context("give the server as HOST:PORT")?;
    let mut config = Config::new();
    config.host(host).port(port.parse().context("the port is not a number")?);
    config.user("meridian").dbname("meridian").application_name(name);
    let file = password_file.map(std::fs::read_to_string).transpose().context("no password file")?;
    let password = file.and_then(|text| text.lines().next().map(str::to_string));
    if let Some(password) = password.or_else(|| std::env::var("MERIDIAN_PASSWORD").ok()) {
        config.password(password);
    }
    let (client, connection) = config.connect(NoTls).await.map_err(|error| match error.as_db_error() {
        Some(_) => server_error(error),
        None if asks_for_password(&error) => {
            anyhow::anyhow!(
                "the server at {server} asks for a password; give it in MERIDIAN_PASSWORD or --password-file"
            )
        }
        None => {
            let reason = reason(&error);
            anyhow::anyhow!("could not connect to {server}: {reason}; start it with \"meridian serve\"")
        }
    })?;
    relay_notices(connection);
    Ok(client)
}

/// Lets a connection work; its notices go to standard error.
pub(crate) fn relay_notices(mut connection: Connection<Socket, NoTlsStream>) {
    tokio::spawn(async move {
        while let Some(message) = futures::future::poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notice(notice)) => {
                    let detail = notice.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
                    say(&format!("{}{detail}", notice.message()));
                }
                Ok(_) => {}
                // Whoever waits for an answer hears of it.
                Err(_) => return,
            }
        }
    });
}

/// Why there is no connection. What the driver says itself does not name it.
pub(crate) fn reason(error: &tokio_postgres::Error) -> String {
    let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    said.split(" (os error ").next().unwrap_or_default().to_string()
}

/// Whether a connection failed because the server wants a password and the client has none. The driver says so in words alone.
pub(crate) fn asks_for_password(error: &tokio_postgres::Error) -> bool {
    reason(error).contains("password missing")
}

/// A server's error with all that it says.
pub(crate) fn server_error(error: tokio_postgres::Error) -> anyhow::Error {
    let Some(known) = error.as_db_error() else { return error.into() };
    let mut text = known.message().to_string();
    for (name, part) in [("detail", known.detail()), ("hint", known.hint()), ("where", known.where_())] {
        if let Some(part) = part {
            text.push_str(&format!("\n  {name}: {part}"));
        }
    }
    anyhow::anyhow!(text)
}

/// A text as SQL spells it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
