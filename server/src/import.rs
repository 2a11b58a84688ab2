//! `meridian import`: files into a table, over the wire.
//!
//! ```text
//! FILE|DIR|GLOB ─▶ guess (format, delimiter, header, types) ─▶ COPY … FROM STDIN ─▶ a server that runs,
//!                  shown before anything is loaded               label = path         or one of our own over --data-dir
//! ```
//!
//! Each file is one load with a label made of the table and the file's path as it is given, so that running the same import twice
//! loads once.

mod guess;
mod header;
mod json_lines;
mod rejects;
mod source;
mod survey;

use crate::client::{connect, literal, server_address, server_error};
use crate::config::{ServeConfig, ServeOptions};
use crate::output::say;
use crate::serve;
use crate::start_error::StartError;
use anyhow::{Context, bail};
use catalog::directory::is_data_directory;
use clap::{Args, ValueEnum};
use futures::SinkExt;
use guess::{Guess, Said, Shape, Table};
use header::same_name;
use query::copy_format::CopyEncoding;
use rejects::RejectsFile;
use source::{Pieces, Reading};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};
use tokio_util::sync::CancellationToken;

/// How often progress is said on a terminal, and elsewhere.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Load files into a table.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian import sales.csv --table sales --create
  meridian import 'exports/*.csv.gz' --table sales --rejects wrong.csv
  meridian import events.jsonl --table events --data-dir ./meridian-data      while no server runs")]
pub(crate) struct ImportOptions {
    /// Files, directories or patterns: csv, tsv, JSON lines (.jsonl, .ndjson), Parquet; also .gz and .zst of the first three
    #[arg(required = true, value_name = "FILE|DIR|GLOB")]
    inputs: Vec<String>,
    /// The table to load into
    #[arg(long, value_name = "NAME")]
    table: String,
    /// The server [env: MERIDIAN_LISTEN] [default: 127.0.0.1:5433]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "data_dir")]
    listen: Option<String>,
    /// Load into a data directory that no server holds
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A file whose first line is the server's password [env: MERIDIAN_PASSWORD holds the password itself]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Create the table where there is none, with the types of all values; the files are read once more for that
    #[arg(long)]
    create: bool,
    /// The character between values, where the guess is wrong
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
    /// Whether the first line holds names, where the guess is wrong
    #[arg(long, value_name = "true|false")]
    header: Option<bool>,
    /// The encoding of csv and JSON, where it is not UTF-8: LATIN1, LATIN9 or WIN1252
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// What the load is known by [default: the table and the file's path as it is given]
    #[arg(long, value_name = "NAME", conflicts_with = "no_label")]
    label: Option<String>,
    /// Load again what was loaded before
    #[arg(long)]
    no_label: bool,
    /// Leave out rows whose key is there already, or put them in the place of those that have it
    #[arg(long, value_name = "ignore|update")]
    on_conflict: Option<OnConflict>,
    /// Write what cannot be loaded to this file, and to the table NAME_rejects, and go on
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

/// What becomes of rows whose key is there already.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnConflict {
    Ignore,
    Update,
}

/// Loads what the options name.
pub(crate) async fn run(options: ImportOptions) -> anyhow::Result<()> {
    let files = source::files(&options.inputs)?;
    if options.label.is_some() && files.len() > 1 {
        bail!("--label names one load, but there are {} files", files.len());
    }
    match &options.data_dir {
        None => {
            let server = server_address(options.listen.as_deref());
            load_all(&options, &files, &server).await
        }
        Some(data_dir) => {
            if !options.create && !is_data_directory(data_dir) {
                let missing = StartError::new(format!("there is no data directory \"{}\"", data_dir.display()));
                return Err(missing.hint("Name one that a server made; --create makes it, and the table.").into());
            }
            let config = ServeConfig::load(&ServeOptions {
                data_dir: Some(data_dir.clone()),
                listen: Some("127.0.0.1:0".to_string()),
                ..ServeOptions::default()
            })?;
            let stop = CancellationToken::new();
            let (ready, started) = oneshot::channel();
            let server = serve::serve(config, ready, stop.clone());
            let load = async {
                // Without an answer the server did not start, and says why itself.
                let Ok(ready) = started.await else { return Ok(()) };
                let loaded = load_all(&options, &files, &ready.address.to_string()).await;
                stop.cancel();
                loaded
            };
            let (served, loaded) = tokio::join!(server, load);
            served?;
            loaded
        }
    }
}

/// A column that a file's values may go to.
#[derive(Clone, Debug)]
struct TableColumn {
    name: String,
    sql_type: String,
    has_default: bool,
}

impl TableColumn {
    fn is_named(&self, name: &str) -> bool {
        same_name(&self.name, name)
    }

    /// Whether its values are JSON, so that a text has its quotes.
    fn is_json(&self) -> bool {
        matches!(self.sql_type.as_str(), "json" | "jsonb")
    }
}

impl ImportOptions {
    fn encoding(&self) -> anyhow::Result<CopyEncoding> {
        let Some(name) = &self.encoding else { return Ok(CopyEncoding::default()) };
        let known = CopyEncoding::named(name).map_err(|error| {
            let hint = error.hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            anyhow::anyhow!("{}{hint}", error.message)
        });
        known?.with_context(|| format!("\"{name}\" is no encoding; UTF8, LATIN1, LATIN9 and WIN1252 are"))
    }

    fn said(&self) -> anyhow::Result<Said> {
        let (delimiter, header, rejects) = (self.delimiter, self.header, self.rejects.is_some());
        Ok(Said { delimiter, header, encoding: self.encoding()?, rejects })
    }

    /// What a file's load is known by.
    fn label(&self, file: &Path) -> String {
        let given = file.strip_prefix(".").unwrap_or(file);
        self.label.clone().unwrap_or_else(|| format!("{} {}", self.table, given.display()))
    }
}

async fn load_all(options: &ImportOptions, files: &[PathBuf], server: &str) -> anyhow::Result<()> {
    let said = options.said()?;
    let client = connect(server, options.password_file.as_deref(), "meridian import").await?;
    let rejects = match &options.rejects {
        Some(path) => Some(RejectsFile::open(path, &options.table, &client).await?),
        None => None,
    };
    let known = table_columns(&client, &options.table).await?;
    let is_new = known.is_none();
    let (guesses, columns) = match known {
        Some(columns) => (guesses_for(files, &said, &columns)?, columns),
        None if options.create => create(options, &client, files, &said).await?,
        None => bail!("table {} does not exist; --create makes it", options.table),
    };
    let mut total = 0;
    for (file, guess) in files.iter().zip(&guesses) {
        let loaded = load(options, &client, file, guess, &columns).await;
        if loaded.is_err() && is_new && total == 0 {
            // Its columns were guessed; the next try may guess others.
            client.batch_execute(&format!("DROP TABLE {}", options.table)).await.map_err(server_error)?;
        }
        total += loaded?;
    }
    if files.len() > 1 {
        say(&format!("{total} rows from {} files", files.len()));
    }
    match rejects {
        Some(rejects) => rejects.write(&client).await,
        None => Ok(()),
    }
}

/// How files look that go to a table that is there.
fn guesses_for(files: &[PathBuf], said: &Said, columns: &[TableColumn]) -> anyhow::Result<Vec<Guess>> {
    let guesses = files.iter().map(|file| guess_of(file, said, Table::Existing(columns)));
    let guesses = guesses.collect::<anyhow::Result<Vec<Guess>>>()?;
    if let (Some(file), Some(first)) = (files.first(), guesses.first()) {
        say(&format!("{}: {first}", file.display()));
    }
    Ok(guesses)
}

fn guess_of(file: &Path, said: &Said, table: Table<'_>) -> anyhow::Result<Guess> {
    Guess::of(file, said, table).with_context(|| format!("could not read \"{}\"", file.display()))
}

/// Makes the table that all files ask for together.
async fn create(
    options: &ImportOptions,
    client: &Client,
    files: &[PathBuf],
    said: &Said,
) -> anyhow::Result<(Vec<Guess>, Vec<TableColumn>)> {
    let mut guesses = vec![guess_of(&files[0], said, Table::New(&[]))?];
    let mut table = guesses[0].clone();
    for file in &files[1..] {
        let guess = guess_of(file, said, Table::New(&table.names()))?;
        table.widen(&guess).with_context(|| format!("\"{}\"", file.display()))?;
        guesses.push(guess);
    }
    say(&format!("{}: {table}", files[0].display()));
    let statement = table.create_table(&options.table)?;
    say(&statement);
    client.batch_execute(&statement).await.map_err(server_error)?;
    let columns = table_columns(client, &options.table).await?;
    Ok((guesses, columns.context("the table is gone again")?))
}

/// The columns of a table that take values, `None` where there is no such table.
async fn table_columns(client: &Client, table: &str) -> anyhow::Result<Option<Vec<TableColumn>>> {
    let found = client.query_one("SELECT to_regclass($1)::text IS NOT NULL", &[&table]).await.map_err(server_error)?;
    if !found.get::<_, bool>(0) {
        return Ok(None);
    }
    let query = format!(
        "SELECT attname::text, format_type(atttypid, atttypmod), atthasdef OR attidentity <> '' FROM pg_attribute \
         WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        literal(table)
    );
    let rows = client.query(&query, &[]).await.map_err(server_error)?;
    let column = |row: &Row| TableColumn { name: row.get(0), sql_type: row.get(1), has_default: row.get(2) };
    Ok(Some(rows.iter().map(column).collect()))
}

async fn load(
    options: &ImportOptions,
    client: &Client,
    file: &Path,
    guess: &Guess,
    columns: &[TableColumn],
) -> anyhow::Result<u64> {
    let statement = copy_statement(options, file, guess, columns)?;
    let reading = Reading {
        shape: guess.shape,
        encoding: options.encoding()?,
        columns: columns.to_vec(),
        rejects: options.rejects.is_some(),
    };
    let mut pieces = Pieces::open(file, reading)?;
    let sink = client.copy_in::<_, bytes::Bytes>(&statement).await.map_err(server_error)?;
    let mut sink = std::pin::pin!(sink);
    let mut progress = Progress::new(file, pieces.total());
    while let Some(piece) = pieces.next().await {
        let piece = piece.with_context(|| format!("could not read \"{}\"", file.display()))?;
        if sink.send(piece).await.is_err() {
            // The server has refused something; its error comes with the end.
            break;
        }
        progress.show(pieces.read());
    }
    let rows = sink.finish().await.map_err(|error| load_error(error, file))?;
    progress.done(rows, pieces.read());
    Ok(rows)
}

fn copy_statement(
    options: &ImportOptions,
    file: &Path,
    guess: &Guess,
    columns: &[TableColumn],
) -> anyhow::Result<String> {
    let listed: Vec<String> = match guess.shape {
        Shape::Lines { header: false, .. } => Vec::new(),
        Shape::Json => columns.iter().map(|column| quoted(&column.name)).collect(),
        _ => matched(guess, columns, file)?.into_iter().map(quoted).collect(),
    };
    let listed = if listed.is_empty() { String::new() } else { format!(" ({})", listed.join(", ")) };
    let mut with = vec![guess.copy_options()];
    if guess.shape == Shape::Json && columns.iter().any(|column| column.has_default) {
        with.push(format!("DEFAULT {}", literal(json_lines::DEFAULT)));
    }
    if let (Shape::Lines { .. }, Some(encoding)) = (guess.shape, &options.encoding) {
        with.push(format!("ENCODING {}", literal(encoding)));
    }
    if !options.no_label {
        with.push(format!("LABEL {}", literal(&options.label(file))));
    }
    with.extend(options.on_conflict.map(|action| match action {
        OnConflict::Ignore => "ON_CONFLICT ignore".to_string(),
        OnConflict::Update => "ON_CONFLICT update".to_string(),
    }));
    if options.rejects.is_some() {
        with.push(format!("REJECT_TABLE {}", literal(&rejects::table_of(&options.table))));
    }
    Ok(format!("COPY {}{listed} FROM STDIN WITH ({})", options.table, with.join(", ")))
}

/// The error of a file's load, with a hint where bytes are no text.
fn load_error(error: tokio_postgres::Error, file: &Path) -> anyhow::Error {
    let is_encoding = error.code() == Some(&SqlState::CHARACTER_NOT_IN_REPERTOIRE);
    let context = format!("\"{}\"", file.display());
    let error = server_error(error);
    if is_encoding {
        let hint = "If the file is not UTF-8, --encoding says what it is: LATIN1, LATIN9 or WIN1252.";
        return anyhow::anyhow!("{error}\n  hint: {hint}").context(context);
    }
    error.context(context)
}

/// The file's columns as the table spells them.
fn matched<'a>(guess: &Guess, columns: &'a [TableColumn], file: &Path) -> anyhow::Result<Vec<&'a str>> {
    let names = guess.names();
    let found = names.iter().map(|name| {
        let same = columns.iter().find(|column| column.is_named(name));
        same.map(|column| column.name.as_str()).with_context(|| {
            let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let hint = match guess.shape {
                Shape::Lines { .. } => "; --header false says that the first line holds no names",
                Shape::Json | Shape::Parquet => "",
            };
            let (file, known) = (file.display(), known.join(", "));
            format!("the table has no column \"{name}\" of \"{file}\"; its columns are {known}{hint}")
        })
    });
    found.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// How far a file is: one line that changes on a terminal, a line now and then elsewhere.
struct Progress {
    name: String,
    total: u64,
    started: Instant,
    shown: Instant,
    terminal: bool,
}

impl Progress {
    fn new(file: &Path, total: u64) -> Self {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        let terminal = std::io::stderr().is_terminal();
        Self { name, total, started: Instant::now(), shown: Instant::now(), terminal }
    }

    fn show(&mut self, read: u64) {
        let interval = if self.terminal { TERMINAL_INTERVAL } else { PLAIN_INTERVAL };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = read as f64 / seconds;
        let left = self.total.saturating_sub(read) as f64 / rate.max(1.0);
        let percent = (read * 100).checked_div(self.total).unwrap_or(100).min(100);
        let line = format!(
            "{}: {percent} %, {} of {}, {}/s, {left:.0} s left",
            self.name,
            size(read),
            size(self.total),
            size(rate as u64)
        );
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        } else {
            say(&line);
        }
    }

    fn done(&self, rows: u64, read: u64) {
        let seconds = self.started.elapsed().as_secs_f64();
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        say(&format!("{start}{}: {rows} rows, {} in {seconds:.1} s", self.name, size(read)));
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}
