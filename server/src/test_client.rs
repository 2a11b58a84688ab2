//! For tests: a house with a real engine in a temporary directory, and a client that speaks raw bytes to it.

use crate::connection::{House, serve_client};
use crate::password::PasswordVerifier;
use crate::registry::Registry;
use crate::wire::Wire;
use query::{Engine, EngineConfig};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

/// What fits between client and server before one of them has to wait.
const PIPE_BYTES: usize = 64 * 1024;

pub(crate) struct TestServer {
    pub(crate) house: Arc<House>,
    _data_dir: tempfile::TempDir,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(None, 10).await
    }

    pub(crate) async fn with(password: Option<&str>, connections_max: usize) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let config = EngineConfig {
            data_dir: data_dir.path().join("data"),
            memory_bytes: None,
            sqlstate: crate::errors::sqlstate,
            copy_dir: None,
            history_retention: query::HISTORY_RETENTION,
            connections_max,
        };
        let (engine, _) = Engine::open(config).await.unwrap();
        let house = House {
            engine,
            registry: Arc::new(Registry::new(connections_max)),
            password: password.map(PasswordVerifier::new),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        };
        Self { house: Arc::new(house), _data_dir: data_dir }
    }

    /// A socket on which nothing has been said.
    pub(crate) fn socket(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        let (reader, writer) = tokio::io::split(server);
        let wire = Wire::new(reader, writer, self.house.kill.clone());
        tokio::spawn(serve_client(Arc::clone(&self.house), wire, None));
        client
    }

    pub(crate) fn connect(&self) -> TestClient {
        TestClient { socket: self.socket() }
    }

    /// A client that has the word.
    pub(crate) async fn session(&self) -> TestClient {
        let mut client = self.connect();
        client.send(&startup(&[("user", "ada")])).await;
        let answers = client.answers().await;
        assert!(answers.ends_with("Ready(I)"), "{answers}");
        client
    }

    /// A session with `CREATE TABLE t (a bigint, b text)`.
    pub(crate) async fn session_with_table(&self) -> TestClient {
        let mut client = self.session().await;
        assert_eq!(client.query("CREATE TABLE t (a bigint, b text)").await, "Complete(CREATE TABLE) Ready(I)");
        client
    }
}

pub(crate) struct TestClient {
    socket: DuplexStream,
}

impl TestClient {
    /// Sends bytes; a server that has closed the connection already is not an error here.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
    }

    /// Sends a Query and returns its answers.
    pub(crate) async fn query(&mut self, text: &str) -> String {
        self.send(&query(text)).await;
        self.answers().await
    }

    /// Sends messages, and Sync behind them, and returns the answers.
    pub(crate) async fn group(&mut self, messages: &[Vec<u8>]) -> String {
        self.send(&messages.concat()).await;
        self.send(&frame(b'S', b"")).await;
        self.answers().await
    }

    /// Everything up to ReadyForQuery or the end of the connection, one word for each message.
    pub(crate) async fn answers(&mut self) -> String {
        self.answers_until("Ready").await
    }

    /// Everything up to the first message whose word begins so, or the end of the connection.
    pub(crate) async fn answers_until(&mut self, last: &str) -> String {
        let mut words = Vec::new();
        loop {
            let word = self.answer().await.unwrap_or_else(|| "End".to_string());
            let ended = word == "End" || word.starts_with(last);
            words.push(word);
            if ended {
                return words.join(" ");
            }
        }
    }

    /// The next message, `None` at the end of the connection.
    pub(crate) async fn answer(&mut self) -> Option<String> {
        let (message_type, body) = self.raw_answer().await?;
        Some(shown(message_type, &body))
    }

    pub(crate) async fn raw_answer(&mut self) -> Option<(u8, Vec<u8>)> {
        let message_type = self.socket.read_u8().await.ok()?;
        let length = self.socket.read_u32().await.ok()?;
        let mut body = vec![0; length as usize - 4];
        self.socket.read_exact(&mut body).await.ok()?;
        Some((message_type, body))
    }
}

/// A message: its type, its length, its body.
pub(crate) fn frame(message_type: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[message_type], &length[..], body].concat()
}

/// A start-up packet of protocol 3.0.
pub(crate) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    startup_version(0x0003_0000, parameters)
}

pub(crate) fn startup_version(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(text(name));
        body.extend(text(value));
    }
    body.push(0);
    packet(&body)
}

/// A packet of the start-up phase: its length and its body.
pub(crate) fn packet(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

pub(crate) fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', &text(sql))
}

/// Parse, without parameter types.
pub(crate) fn parse(name: &str, sql: &str) -> Vec<u8> {
    frame(b'P', &[text(name), text(sql), vec![0, 0]].concat())
}

/// Bind of text parameters, with result formats.
pub(crate) fn bind(portal: &str, statement: &str, values: &[&str], formats: &[i16]) -> Vec<u8> {
    let values: Vec<_> = values.iter().map(|value| Some(value.as_bytes())).collect();
    bind_with(portal, statement, &[], &values, formats)
}

pub(crate) fn bind_with(
    portal: &str,
    statement: &str,
    parameter_formats: &[i16],
    values: &[Option<&[u8]>],
    formats: &[i16],
) -> Vec<u8> {
    let mut body = [text(portal), text(statement)].concat();
    let put_formats = |body: &mut Vec<u8>, formats: &[i16]| {
        body.extend((formats.len() as u16).to_be_bytes());
        formats.iter().for_each(|format| body.extend(format.to_be_bytes()));
    };
    put_formats(&mut body, parameter_formats);
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        body.extend(value.map_or(-1, |value| value.len() as i32).to_be_bytes());
        body.extend(value.unwrap_or_default());
    }
    put_formats(&mut body, formats);
    frame(b'B', &body)
}

/// Describe of a statement (`S`) or a portal (`P`).
pub(crate) fn describe(target: u8, name: &str) -> Vec<u8> {
    frame(b'D', &[vec![target], text(name)].concat())
}

pub(crate) fn execute(portal: &str, rows_max: i32) -> Vec<u8> {
    frame(b'E', &[text(portal), rows_max.to_be_bytes().to_vec()].concat())
}

fn shown(message_type: u8, body: &[u8]) -> String {
    let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_string();
    match message_type {
        b'1' => "Parsed".to_string(),
        b'2' => "Bound".to_string(),
        b'3' => "Closed".to_string(),
        b'n' => "NoData".to_string(),
        b's' => "Suspended".to_string(),
        b'I' => "Empty".to_string(),
        b'c' => "CopyDone".to_string(),
        b'C' => format!("Complete({})", string(body)),
        b'Z' => format!("Ready({})", string(body)),
        b'd' => format!("CopyData({})", string(body).escape_debug()),
        b'G' => format!("CopyIn({})", body[2]),
        b'H' => format!("CopyOut({})", body[2]),
        b't' => format!("Parameters({})", u16::from_be_bytes([body[0], body[1]])),
        b'T' => format!("Columns({})", column_names(body)),
        b'D' => format!("Row({})", values(body)),
        b'S' => format!("Setting({})", string(body).replace('\0', "=")),
        b'R' => format!("Authentication({})", body[3]),
        b'E' => format!("Error({})", error_fields(body)),
        b'N' => format!("Notice({})", error_fields(body)),
        other => format!("{}({})", other as char, body.len()),
    }
}

fn error_fields(body: &[u8]) -> String {
    let text = |wanted: u8| {
        let mut fields = body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
        fields.find(|field| field[0] == wanted).map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    };
    format!("{} {}", text(b'S').unwrap_or_default(), text(b'C').unwrap_or_default())
}

fn column_names(body: &[u8]) -> String {
    let mut rest = &body[2..];
    let mut names = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        rest = &rest[end + 1 + 18..];
    }
    names.join(",")
}

fn values(body: &[u8]) -> String {
    let mut rest = &body[2..];
    let mut values = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        rest = tail;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            values.push("NULL".to_string());
            continue;
        };
        let value = &rest[..length];
        rest = &rest[length..];
        values.push(match std::str::from_utf8(value) {
            Ok(text) if !text.contains(char::is_control) => text.to_string(),
            _ => value.iter().map(|byte| format!("{byte:02x}")).collect(),
        });
    }
    values.join(",")
}
