//! A system behind the Postgres protocol, driven as an ordinary client would: COPY from a file, prepared INSERTs, queries.

use crate::answer::Answer;
use crate::system::Inserts;
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, mpsc};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Statement};

/// What one CopyData message carries.
const PIECE_BYTES: usize = 128 * 1024;
/// How far the reader of the file runs ahead of the socket.
const PIECES_AHEAD: usize = 16;
/// How many statements of a pipeline wait for their answers.
const PIPELINE_AHEAD: usize = 1_000;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(5);

pub(crate) struct Wire {
    config: Config,
    client: Client,
}

impl Wire {
    pub(crate) async fn connect(config: Config) -> anyhow::Result<Self> {
        let client = connect(&config).await.context("connect")?;
        Ok(Self { config, client })
    }

    /// How it is reached.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Another client of the same server.
    pub(crate) async fn another(&self) -> anyhow::Result<Self> {
        Self::connect(self.config.clone()).await
    }

    /// From now on this client of Meridian, and others made from it, get no answers that the server kept.
    pub(crate) async fn compute_each_answer(&mut self) -> anyhow::Result<()> {
        self.config.options("-c meridian.query_cache=off");
        self.query("SET meridian.query_cache = off").await.map(drop)
    }

    pub(crate) async fn query(&mut self, sql: &str) -> anyhow::Result<Answer> {
        self.attempt(sql).await.map_err(explain)
    }

    /// The answer, or the error that whoever asks wants to look at.
    pub(crate) async fn attempt(&mut self, sql: &str) -> Result<Answer, tokio_postgres::Error> {
        let started = Instant::now();
        let messages = self.client.simple_query(sql).await?;
        let took = started.elapsed();
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(Answer { took, rows: rows.collect() })
    }

    /// How long each execution of a prepared query takes that gives one row for one number.
    pub(crate) async fn look_up(&mut self, sql: &str, numbers: &[i64]) -> anyhow::Result<Vec<Duration>> {
        let prepared = self.client.prepare(sql).await.map_err(explain)?;
        let mut each = Vec::with_capacity(numbers.len());
        for number in numbers {
            let started = Instant::now();
            let rows = self.client.query(&prepared, &[number]).await.map_err(explain)?;
            each.push(started.elapsed());
            anyhow::ensure!(rows.len() == 1, "{} rows for {number} in {sql}", rows.len());
        }
        Ok(each)
    }

    /// Loads those rows of a csv file into `sales` that meet a condition.
    pub(crate) async fn copy_where(&mut self, file: &Path, condition: &str) -> anyhow::Result<Duration> {
        copy_by(&self.client, file, &format!("COPY sales FROM STDIN WITH (FORMAT csv) WHERE {condition}")).await
    }

    /// From the first byte read to the server's word that all rows are committed.
    pub(crate) async fn copy(&mut self, file: &Path, format: CopyFormat) -> anyhow::Result<Duration> {
        copy(&self.client, file, format).await
    }

    /// Several files at once, each by a client of its own.
    pub(crate) async fn copy_at_once(&mut self, files: &[PathBuf]) -> anyhow::Result<Duration> {
        let mut clients = Vec::with_capacity(files.len());
        for _ in files {
            clients.push(connect(&self.config).await?);
        }
        let started = Instant::now();
        let loads = clients.into_iter().zip(files).map(|(client, file)| {
            let file = file.clone();
            tokio::spawn(async move { copy(&client, &file, CopyFormat::Csv).await })
        });
        for load in loads.collect::<Vec<_>>() {
            load.await.context("a client stopped")??;
        }
        Ok(started.elapsed())
    }

    /// Everything out of `sales`, to the last byte; it is kept only where a file is named.
    pub(crate) async fn copy_out(&mut self, format: CopyFormat, file: Option<&Path>) -> anyhow::Result<Duration> {
        let mut output = file.map(File::create).transpose().context("create the file for COPY TO")?;
        let started = Instant::now();
        let statement = format!("COPY sales TO STDOUT WITH (FORMAT {})", format.name());
        let mut stream = pin!(self.client.copy_out(&statement).await.map_err(explain)?);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(explain)?;
            if let Some(output) = &mut output {
                output.write_all(&piece)?;
            }
        }
        Ok(started.elapsed())
    }

    /// One transaction of single-row INSERTs that are sent without waiting for answers, to its durable end.
    pub(crate) async fn pipeline(&mut self, rows: &[Vec<String>]) -> anyhow::Result<Duration> {
        let prepared = prepare_insert(&self.client, rows).await?;
        let (client, prepared) = (&self.client, &prepared);
        let started = Instant::now();
        client.batch_execute("BEGIN").await.map_err(explain)?;
        // Each future owns its row: borrowed ones would tie the workload's own future to them.
        let inserts = rows.iter().cloned().map(|row| insert_one(client, prepared, row));
        let mut inserts = futures::stream::iter(inserts).buffered(PIPELINE_AHEAD);
        while let Some(inserted) = inserts.next().await {
            inserted.map_err(explain)?;
        }
        client.batch_execute("COMMIT").await.map_err(explain)?;
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

/// How rows are written in a COPY.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CopyFormat {
    Csv,
    Binary,
}

impl CopyFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Binary => "binary",
        }
    }
}

async fn copy(client: &Client, file: &Path, format: CopyFormat) -> anyhow::Result<Duration> {
    copy_by(client, file, &format!("COPY sales FROM STDIN WITH (FORMAT {})", format.name())).await
}

async fn copy_by(client: &Client, file: &Path, statement: &str) -> anyhow::Result<Duration> {
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
    let sink = client.copy_in::<_, Bytes>(statement).await.map_err(explain)?;
    let mut sink = pin!(sink);
    while let Some(piece) = next_piece.recv().await {
        sink.send(piece).await.map_err(explain)?;
    }
    reader.await.context("the file's reader stopped")??;
    sink.finish().await.map_err(explain)?;
    Ok(started.elapsed())
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

async fn prepare_insert(client: &Client, rows: &[Vec<String>]) -> anyhow::Result<Statement> {
    let columns = rows.first().map_or(0, Vec::len);
    let placeholders: Vec<String> = (1..=columns).map(|number| format!("${number}")).collect();
    let prepared = client.prepare(&format!("INSERT INTO sales VALUES ({})", placeholders.join(", "))).await;
    prepared.map_err(explain)
}

async fn insert_share(client: Client, rows: Vec<Vec<String>>, barrier: Arc<Barrier>) -> anyhow::Result<Vec<Duration>> {
    let prepared = prepare_insert(&client, &rows).await;
    barrier.wait().await;
    let prepared = prepared?;
    let mut each = Vec::with_capacity(rows.len());
    for row in rows {
        let started = Instant::now();
        insert_one(&client, &prepared, row).await.map_err(explain)?;
        each.push(started.elapsed());
    }
    Ok(each)
}

async fn insert_one(client: &Client, prepared: &Statement, row: Vec<String>) -> Result<u64, tokio_postgres::Error> {
    let values: Vec<TextValue<'_>> = row.iter().map(|value| TextValue(value)).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    client.execute(prepared, &parameters).await
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
pub(crate) fn explain(error: tokio_postgres::Error) -> anyhow::Error {
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
