//! A system behind the Postgres protocol, driven as an ordinary client would: COPY from a file, prepared INSERTs, queries.

use crate::answer::Answer;
use crate::system::Inserts;
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, mpsc};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// What one CopyData message carries.
const PIECE_BYTES: usize = 128 * 1024;
/// How far the reader of the file runs ahead of the socket.
const PIECES_AHEAD: usize = 16;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(50);

pub(crate) struct Wire {
    config: Config,
    client: Client,
}

impl Wire {
    pub(crate) async fn connect(config: Config) -> anyhow::Result<Self> {
        let client = connect(&config).await.context("connect")?;
        Ok(Self { config, client })
    }

    pub(crate) async fn query(&mut self, sql: &str) -> anyhow::Result<Answer> {
        let started = Instant::now();
        let messages = self.client.simple_query(sql).await.map_err(explain)?;
        let took = started.elapsed();
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(Answer { took, rows: rows.collect() })
    }

    /// From the first byte read to the server's word that all rows are committed.
    pub(crate) async fn copy(&mut self, file: &Path) -> anyhow::Result<Duration> {
        let mut input = File::open(file).with_context(|| format!("open {}", file.display()))?;
        let started = Instant::now();
        let (pieces, mut next_piece) = mpsc::channel(PIECES_AHEAD);
        let reader = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
            loop {
                let mut piece = BytesMut::zeroed(PIECE_BYTES);
                let length = input.read(&mut piece)?;
                piece.truncate(length);
                if length == 0 || pieces.blocking_send(piece.freeze()).is_err() {
                    return Ok(());
                }
            }
        });
        let sink = self.client.copy_in::<_, Bytes>("COPY sales FROM STDIN WITH (FORMAT csv)").await.map_err(explain)?;
        let mut sink = pin!(sink);
        while let Some(piece) = next_piece.recv().await {
            sink.send(piece).await.map_err(explain)?;
        }
        reader.await.context("the file's reader stopped")??;
        sink.finish().await.map_err(explain)?;
        Ok(started.elapsed())
    }

    pub(crate) async fn insert(&mut self, rows: &[Vec<String>], clients: usize) -> anyhow::Result<Inserts> {
        let barrier = Arc::new(Barrier::new(clients + 1));
        let mut tasks = Vec::with_capacity(clients);
        for share in rows.chunks(rows.len().div_ceil(clients)) {
            let client = connect(&self.config).await?;
            let (share, barrier) = (share.to_vec(), Arc::clone(&barrier));
            tasks.push(tokio::spawn(insert_share(client, share, barrier)));
        }
        anyhow::ensure!(tasks.len() == clients, "fewer rows than clients");
        barrier.wait().await;
        let started = Instant::now();
        let mut each = Vec::with_capacity(rows.len());
        for task in tasks {
            each.extend(task.await.context("a client stopped")??);
        }
        Ok(Inserts { each, total: started.elapsed() })
    }
}

/// Connects as soon as a server that was just started answers.
pub(crate) async fn connect_when_ready(
    config: &Config,
    mut alive: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        alive()?;
        match connect(config).await {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed() > START_TIMEOUT => return Err(error.context("the server does not answer")),
            Err(_) => tokio::time::sleep(START_POLL).await,
        }
    }
}

async fn connect(config: &Config) -> anyhow::Result<Client> {
    let (client, connection) = config.connect(NoTls).await.map_err(explain)?;
    // A broken connection shows in the statement that meets it.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

async fn insert_share(client: Client, rows: Vec<Vec<String>>, barrier: Arc<Barrier>) -> anyhow::Result<Vec<Duration>> {
    let columns = rows.first().map_or(0, Vec::len);
    let placeholders: Vec<String> = (1..=columns).map(|number| format!("${number}")).collect();
    let prepared = client.prepare(&format!("INSERT INTO sales VALUES ({})", placeholders.join(", "))).await;
    barrier.wait().await;
    let prepared = prepared.map_err(explain)?;
    let mut each = Vec::with_capacity(rows.len());
    for row in &rows {
        let values: Vec<TextValue<'_>> = row.iter().map(|value| TextValue(value)).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let started = Instant::now();
        client.execute(&prepared, &parameters).await.map_err(explain)?;
        each.push(started.elapsed());
    }
    Ok(each)
}

/// A value of any type in its text form.
#[derive(Debug)]
struct TextValue<'a>(&'a str);

impl ToSql for TextValue<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The server's own words instead of "db error".
fn explain(error: tokio_postgres::Error) -> anyhow::Error {
    match error.as_db_error() {
        Some(server) => anyhow::anyhow!(
            "{} {}: {}{}{}",
            server.severity(),
            server.code().code(),
            server.message(),
            server.detail().map(|detail| format!("; {detail}")).unwrap_or_default(),
            server.where_().map(|context| format!("; {context}")).unwrap_or_default(),
        ),
        None => anyhow::Error::new(error),
    }
}
