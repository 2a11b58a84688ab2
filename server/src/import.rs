//! `meridian import`: files into a table, over the wire.
//!
//! ```text
//! FILE|DIR|GLOB ─▶ guess (format, delimiter, header, types) ─▶ COPY … FROM STDIN ─▶ a server that runs,
//!                  shown before anything is loaded               label = file         or one of our own over --data-dir
//! ```
//!
//! Each file is one load with a label made of the table and the file's name, so that running the same import twice loads once.

mod guess;
mod source;

use crate::client::{connect, literal, server_address, server_error};
use crate::config::{ServeConfig, ServeOptions};
use crate::output::say;
use crate::serve;
use crate::start_error::StartError;
use anyhow::{Context, bail};
use catalog::directory::is_data_directory;
use clap::{Args, ValueEnum};
use futures::SinkExt;
use guess::{Guess, Shape};
use source::Pieces;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_postgres::Client;
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
    /// Create the table where there is none, with the guessed types
    #[arg(long)]
    create: bool,
    /// The character between values, where the guess is wrong
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
    /// Whether the first line holds names, where the guess is wrong
    #[arg(long, value_name = "true|false")]
    header: Option<bool>,
    /// What the load is known by [default: the table and the file's name]
    #[arg(long, value_name = "NAME", conflicts_with = "no_label")]
    label: Option<String>,
    /// Load again what was loaded before
    #[arg(long)]
    no_label: bool,
    /// Leave out rows whose key is there already, or put them in the place of those that have it
    #[arg(long, value_name = "ignore|update")]
    on_conflict: Option<OnConflict>,
    /// Write what cannot be loaded to this file, and go on
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

async fn load_all(options: &ImportOptions, files: &[PathBuf], server: &str) -> anyhow::Result<()> {
    let client = connect(server, options.password_file.as_deref(), "meridian import").await?;
    let first = Guess::of(&files[0], options.delimiter, options.header, options.rejects.is_some())
        .with_context(|| format!("could not read \"{}\"", files[0].display()))?;
    say(&format!("{}: {first}", files[0].display()));
    let known = table_columns(&client, &options.table).await?;
    let is_new = known.is_none();
    let columns = match known {
        Some(columns) => columns,
        None if options.create => {
            let statement = first.create_table(&options.table)?;
            say(&statement);
            client.batch_execute(&statement).await.map_err(server_error)?;
            first.names().iter().map(|name| name.to_lowercase()).collect()
        }
        None => bail!("table {} does not exist; --create makes it", options.table),
    };
    let mut total = 0;
    for file in files {
        let guess = Guess::of(file, options.delimiter, options.header, options.rejects.is_some())
            .with_context(|| format!("could not read \"{}\"", file.display()))?;
        let loaded = load(options, &client, file, &guess, &columns).await;
        if loaded.is_err() && is_new && total == 0 {
            // Its columns were guessed; the next try may guess others.
            client.batch_execute(&format!("DROP TABLE {}", options.table)).await.map_err(server_error)?;
        }
        total += loaded?;
    }
    if files.len() > 1 {
        say(&format!("{total} rows from {} files", files.len()));
    }
    if let Some(path) = &options.rejects {
        write_rejects(options, &client, path).await?;
    }
    Ok(())
}

/// The columns of a table, `None` where there is no such table.
async fn table_columns(client: &Client, table: &str) -> anyhow::Result<Option<Vec<String>>> {
    let found = client.query_one("SELECT to_regclass($1)::text IS NOT NULL", &[&table]).await.map_err(server_error)?;
    if !found.get::<_, bool>(0) {
        return Ok(None);
    }
    let statement = client.prepare(&format!("SELECT * FROM {table} LIMIT 0")).await.map_err(server_error)?;
    Ok(Some(statement.columns().iter().map(|column| column.name().to_string()).collect()))
}

async fn load(
    options: &ImportOptions,
    client: &Client,
    file: &Path,
    guess: &Guess,
    columns: &[String],
) -> anyhow::Result<u64> {
    let listed = match guess.shape {
        Shape::Lines { header: false, .. } => String::new(),
        _ => format!(
            " ({})",
            matched(guess, columns, file)?.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
        ),
    };
    let mut with = vec![guess.copy_options()];
    if !options.no_label {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let label = options.label.clone().unwrap_or_else(|| format!("{} {name}", options.table));
        with.push(format!("LABEL {}", literal(&label)));
    }
    with.extend(options.on_conflict.map(|action| match action {
        OnConflict::Ignore => "ON_CONFLICT ignore".to_string(),
        OnConflict::Update => "ON_CONFLICT update".to_string(),
    }));
    if options.rejects.is_some() {
        with.push(format!("REJECT_TABLE {}", literal(&reject_table(options))));
    }
    let statement = format!("COPY {}{listed} FROM STDIN WITH ({})", options.table, with.join(", "));
    let mut pieces = Pieces::open(file, guess)?;
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
    let rows = sink.finish().await.map_err(|error| server_error(error).context(format!("\"{}\"", file.display())))?;
    progress.done(rows, pieces.read());
    Ok(rows)
}

/// The file's columns as the table spells them.
fn matched(guess: &Guess, columns: &[String], file: &Path) -> anyhow::Result<Vec<String>> {
    let names = guess.names();
    let found = names.iter().map(|name| {
        let same = columns.iter().find(|column| column.eq_ignore_ascii_case(name));
        same.cloned().with_context(|| {
            let file = file.display();
            format!("the table has no column \"{name}\" of \"{file}\"; its columns are {}", columns.join(", "))
        })
    });
    found.collect()
}

fn reject_table(options: &ImportOptions) -> String {
    format!("{}_rejects", options.table)
}

/// What this and earlier imports could not load, as csv.
async fn write_rejects(options: &ImportOptions, client: &Client, path: &Path) -> anyhow::Result<()> {
    use futures::TryStreamExt;
    let query =
        format!("COPY (SELECT * FROM {} ORDER BY load, line) TO STDOUT (FORMAT csv, HEADER)", reject_table(options));
    let mut stream = std::pin::pin!(client.copy_out(&query).await.map_err(server_error)?);
    let mut file = std::fs::File::create(path).with_context(|| format!("could not write \"{}\"", path.display()))?;
    while let Some(piece) = stream.try_next().await.map_err(server_error)? {
        file.write_all(&piece).with_context(|| format!("could not write \"{}\"", path.display()))?;
    }
    say(&format!("rejected rows are in \"{}\" and in table {}", path.display(), reject_table(options)));
    Ok(())
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
