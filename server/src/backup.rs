//! `meridian backup` and `meridian restore`: the command line of `catalog::backup`.
//!
//! A data directory that no server holds is copied by this process. Where a server holds it, the server is asked with BACKUP TO,
//! at the address that it would listen on by the same settings, and does the copying itself; so the directory of the backups
//! is one of its machine.

use crate::client::{asks_for_password, reason, relay_notices};
use crate::config::{DEFAULT_DATA_DIR, ServeConfig, ServeOptions};
use crate::connection::DATABASE;
use crate::output::{say, tell};
use crate::start_error::StartError;
use anyhow::{Context, bail};
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use catalog::backup::{self, BackupError, BackupSummary, Listed};
use catalog::recovery::OpenError;
use catalog::sql_type::SqlType;
use clap::Args;
use query::error::Notice;
use query::types::{ColumnDecoder, OutputStyle, Zone};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Back up a database, whether a server runs or not
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian backup /mnt/backups                                  the server on 127.0.0.1:5433, or ./meridian-data
  meridian backup /mnt/backups --data-dir /var/lib/meridian     asks the server that holds it, if one does
  meridian backup /mnt/backups --listen 127.0.0.1:5500          the server at this address
  meridian backup /mnt/backups --list

Each run adds one backup. Segments that the backup before has too are shared with it by hard links. A backup that is not
wanted any more can be removed with rm -r, without regard to the others.")]
pub(crate) struct BackupOptions {
    /// The directory of the backups, made where it is missing; best on another disk
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// List the backups in DIR instead of making one
    #[arg(long, conflicts_with_all = ["data_dir", "listen", "config", "password_file"])]
    list: bool,
    /// The data directory to back up [env: MERIDIAN_DATA_DIR] [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where its server listens [env: MERIDIAN_LISTEN] [default: 127.0.0.1:5433]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The server's TOML file with settings [env: MERIDIAN_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file whose first line is the server's password [env: MERIDIAN_PASSWORD_FILE, MERIDIAN_PASSWORD]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Make a data directory from a backup
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian restore /mnt/backups --data-dir /var/lib/meridian
  meridian restore /mnt/backups --to-time '2026-03-01 12:00' --data-dir ./as-of-noon

The newest backup is restored, or with --to-time what was committed at that time or before. A backup has its own time and
the history that its server kept then, 24 hours where history_retention says nothing else; meridian backup DIR --list shows
from when to when. With a backup at least as often as that, TIME may be any time from the first backup on, and up to the last.")]
pub(crate) struct RestoreOptions {
    /// The directory of the backups
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Where to restore to: a new or empty directory [env: MERIDIAN_DATA_DIR] [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Restore what was committed at this time or before, as in '2026-03-01 12:00:00+01'; UTC without a zone
    #[arg(long, value_name = "TIME")]
    to_time: Option<String>,
}

/// Makes a backup, or lists those that are there.
pub(crate) async fn run_backup(options: BackupOptions) -> anyhow::Result<()> {
    let directory = std::path::absolute(&options.directory).context("the directory has no absolute path")?;
    if options.list {
        return print_list(&directory);
    }
    let config = ServeConfig::load(&ServeOptions {
        data_dir: options.data_dir.clone(),
        listen: options.listen.clone(),
        config: options.config.clone(),
        password_file: options.password_file.clone(),
        ..ServeOptions::default()
    })?;
    if options.listen.is_some() && options.data_dir.is_none() {
        return ask_server(&config, &directory, None).await;
    }
    let data_dir = config.data_dir.clone();
    let target = directory.clone();
    let copying = move || backup::of_directory(&data_dir, &target, &AtomicBool::new(false));
    match tokio::task::spawn_blocking(copying).await.context("the backup failed")? {
        Ok(report) => {
            let made = &report.backup;
            let numbers = [made.seq.0, made.segments, made.bytes, report.copied_segments, report.copied_bytes];
            print_made(&directory, &made.name, numbers);
            if let Some(Notice { message, detail, .. }) = report.left_out.as_ref().map(query::backup::warning) {
                say(&format!("{message} ({})", detail.unwrap_or_default()));
            }
            Ok(())
        }
        Err(BackupError::Open(OpenError::Locked { .. })) => {
            ask_server(&config, &directory, Some(&config.data_dir)).await
        }
        Err(BackupError::NoDataDirectory { .. }) if config.data_dir == Path::new(DEFAULT_DATA_DIR) => {
            ask_server(&config, &directory, None).await
        }
        Err(error) => Err(refused(error)),
    }
}

/// Restores a backup.
pub(crate) fn run_restore(options: &RestoreOptions) -> anyhow::Result<()> {
    let time = options.to_time.as_deref().map(parse_time).transpose()?;
    let config = ServeConfig::load(&ServeOptions { data_dir: options.data_dir.clone(), ..ServeOptions::default() })?;
    let backup = backup::restore(&options.directory, time, &config.data_dir).map_err(refused)?;
    let data_dir = config.data_dir.display();
    tell(&format!(
        "restored commit {} of {} from {} into {data_dir}: {}",
        backup.seq,
        time_text(backup.committed_at_micros),
        options.directory.join(&backup.name).display(),
        contents(&backup)
    ));
    tell(&match time {
        Some(time) => format!("What was committed after {} is left out.", time_text(time)),
        None => {
            let made = time_text(backup.made_at_micros);
            format!("The backup was made at {made}; what was committed later is not in it.")
        }
    });
    tell(&format!("Serve it with: meridian serve --data-dir {data_dir}"));
    Ok(())
}

/// A refusal with what to do about it.
fn refused(error: BackupError) -> anyhow::Error {
    let hint = match &error {
        BackupError::NoneBefore { oldest_micros, .. } if *oldest_micros < i64::MAX => {
            Some(format!("The oldest time that they have is {}.", time_text(*oldest_micros)))
        }
        BackupError::NotCovered { before_micros, after_micros, .. } => Some(match after_micros {
            Some(after) => format!(
                "They have times until {} and again from {} on; more than the history that the server keeps lies in between.",
                time_text(*before_micros),
                time_text(*after)
            ),
            None => format!("The newest was made at {}. Leave out --to-time to restore it.", time_text(*before_micros)),
        }),
        BackupError::NoDataDirectory { .. } => Some("Name the one to back up with --data-dir DIR.".to_string()),
        error => error.hint(),
    };
    StartError { message: error.to_string(), hint }.into()
}

fn print_list(directory: &Path) -> anyhow::Result<()> {
    let listed = backup::list(directory).map_err(refused)?;
    if listed.is_empty() {
        tell(&format!("There is no backup in {} any more.", directory.display()));
    }
    for entry in listed {
        tell(&match entry {
            Listed::Complete(backup) => format!(
                "{}  commit {} of {}: {}, with every time from {} on",
                backup.name,
                backup.seq,
                time_text(backup.committed_at_micros),
                contents(&backup),
                time_text(backup.from_micros)
            ),
            Listed::Damaged { name, reason } => format!("{name}  cannot be restored: {reason}"),
            Listed::Unfinished => {
                "unfinished  a backup that goes on now or was interrupted; the next one uses it".to_string()
            }
        });
    }
    Ok(())
}

/// Says what a backup took; the numbers are those of the row that BACKUP answers with.
fn print_made(directory: &Path, name: &str, [commit, segments, bytes, copied_segments, copied_bytes]: [u64; 5]) {
    tell(&format!("backed up commit {commit} to {}", directory.join(name).display()));
    let all = format!("{segments} segments, {} in all", size_text(bytes));
    if copied_segments == segments {
        tell(&all);
    } else {
        let copied = size_text(copied_bytes);
        tell(&format!("{all}; {copied_segments} segments, {copied}, were copied, the others were backed up before"));
    }
}

fn contents(backup: &BackupSummary) -> String {
    format!("{} segments, {} in all", backup.segments, size_text(backup.bytes))
}

fn size_text(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Sends BACKUP TO to the server that should hold `data_dir`, where one is known.
async fn ask_server(config: &ServeConfig, directory: &Path, data_dir: Option<&Path>) -> anyhow::Result<()> {
    let client = connect(config, data_dir).await?;
    if let Some(data_dir) = data_dir {
        let served = first_row(&client, "SHOW data_directory", &config.listen).await?.swap_remove(0);
        let same = Path::new(&served).canonicalize().ok() == data_dir.canonicalize().ok();
        if !same {
            let message =
                format!("the server at {} serves \"{served}\", not \"{}\"", config.listen, data_dir.display());
            return Err(StartError::new(message)
                .hint("Name the address of the server that holds it with --listen HOST:PORT.")
                .into());
        }
    }
    let quoted = directory.to_str().context("the directory's name is not valid UTF-8")?.replace('\'', "''");
    let row = first_row(&client, &format!("BACKUP TO '{quoted}'"), &config.listen).await?;
    let numbers: Vec<u64> = row.iter().skip(1).filter_map(|text| text.parse().ok()).collect();
    match (row.first(), numbers.try_into()) {
        (Some(name), Ok(numbers)) => print_made(directory, name, numbers),
        _ => bail!("the server at {} answered with something else than a backup", config.listen),
    }
    Ok(())
}

async fn connect(config: &ServeConfig, data_dir: Option<&Path>) -> anyhow::Result<Client> {
    let listen = &config.listen;
    let address = listen.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = address.filter(|(_, port)| *port > 0).ok_or_else(|| {
        StartError::new(format!("invalid address \"{listen}\" of a server"))
            .hint("Give the one that it listens on as HOST:PORT, for example 127.0.0.1:5433.")
    })?;
    let host = match host.trim_start_matches('[').trim_end_matches(']') {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let mut settings = Config::new();
    settings.host(host).port(port).user(DATABASE).dbname(DATABASE).application_name("meridian backup");
    if let Some(password) = &config.password {
        settings.password(password);
    }
    match settings.connect(NoTls).await {
        Ok((client, connection)) => {
            relay_notices(connection);
            Ok(client)
        }
        Err(error) if error.as_db_error().is_some() => Err(answered(&error, listen)),
        Err(error) if config.password.is_none() && asks_for_password(&error) => {
            let message = format!("the server at {listen} asks for a password, and none was given");
            let hint = "Give it with --password-file FILE or in MERIDIAN_PASSWORD.";
            Err(StartError::new(message).hint(hint).into())
        }
        Err(error) => {
            let held = match data_dir {
                Some(data_dir) => format!("a server holds \"{}\", but none could be reached", data_dir.display()),
                None => "no server could be reached".to_string(),
            };
            let hint =
                "Name its address with --listen HOST:PORT, and its password with --password-file or MERIDIAN_PASSWORD.";
            Err(StartError::new(format!("{held} at {listen}: {}", reason(&error))).hint(hint).into())
        }
    }
}

/// The first row of an answer as text.
async fn first_row(client: &Client, sql: &str, listen: &str) -> anyhow::Result<Vec<String>> {
    let messages = client.simple_query(sql).await.map_err(|error| answered(&error, listen))?;
    let row = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.with_context(|| format!("the server at {listen} answered without a row"))?;
    Ok((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_string()).collect())
}

/// What the server said, as this program would have said it.
fn answered(error: &tokio_postgres::Error, listen: &str) -> anyhow::Error {
    match error.as_db_error() {
        Some(said) => StartError { message: said.message().to_string(), hint: said.hint().map(str::to_string) }.into(),
        None => StartError::new(format!("the connection to the server at {listen} broke: {}", reason(error))).into(),
    }
}

/// Microseconds since 1970 of a time as PostgreSQL reads `timestamptz`, in UTC where it names no zone.
fn parse_time(text: &str) -> Result<i64, StartError> {
    let decoder = ColumnDecoder::new(SqlType::TimestampTz, OutputStyle::default());
    let invalid = |reason: String| StartError::new(reason).hint("Give a time as in '2026-03-01 12:00:00+01'.");
    let decoded = decoder.decode([Some(text)].into_iter()).map_err(|error| invalid(error.error.message))?;
    Ok(decoded.as_primitive::<TimestampMicrosecondType>().value(0))
}

/// A time as PostgreSQL shows it in UTC.
fn time_text(micros: i64) -> String {
    query::types::time_text(micros, Zone::UTC)
}
