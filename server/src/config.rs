//! Configuration: flags over environment over file over defaults.

use crate::start_error::StartError;
use clap::Args;
use query::{HISTORY_RETENTION, duration_ms};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

pub(crate) const DEFAULT_DATA_DIR: &str = "./meridian-data";
const DEFAULT_LISTEN: &str = "127.0.0.1:5433";
const DEFAULT_CONNECTIONS_MAX: usize = 200;
/// What the configuration file may say.
const KEYS: [&str; 7] =
    ["data_dir", "listen", "memory", "password_file", "max_connections", "copy_dir", "history_retention"];
/// A misspelt key is shown the nearest known one if it is at least this similar.
const SIMILARITY_MIN: f64 = 0.6;

/// The flags of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServeOptions {
    /// Where the data lies [env: MERIDIAN_DATA_DIR] [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The address to listen on; port 0 takes a free one [env: MERIDIAN_LISTEN] [default: 127.0.0.1:5433]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// A TOML file with settings [env: MERIDIAN_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Memory for queries, as in 512MB or 8GB [env: MERIDIAN_MEMORY]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// A file whose first line is the password that clients are asked for [env: MERIDIAN_PASSWORD_FILE, or the password
    /// itself in MERIDIAN_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Let COPY read and write files of the server below this directory [env: MERIDIAN_COPY_DIR] [default: none]
    #[arg(long, value_name = "DIR")]
    pub(crate) copy_dir: Option<PathBuf>,
    /// How far back FOR SYSTEM_TIME AS OF can read, as in 36h or 7d; 0 for not at all [env: MERIDIAN_HISTORY_RETENTION]
    /// [default: 24h]
    #[arg(long, value_name = "TIME")]
    pub(crate) history_retention: Option<String>,
}

/// What a server needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServeConfig {
    pub(crate) data_dir: PathBuf,
    /// `HOST:PORT`.
    pub(crate) listen: String,
    /// `None` leaves it to the engine.
    pub(crate) memory_bytes: Option<u64>,
    /// `None` lets everybody in who can reach the address.
    pub(crate) password: Option<String>,
    pub(crate) connections_max: usize,
    /// `None` keeps COPY from files of the server.
    pub(crate) copy_dir: Option<PathBuf>,
    pub(crate) history_retention: Duration,
}

impl ServeConfig {
    /// The configuration of this process.
    pub(crate) fn load(options: &ServeOptions) -> Result<Self, StartError> {
        Self::layered(options, &|name| std::env::var_os(name))
    }

    /// The configuration from flags, an environment, and the file that one of them names. An empty variable is not set.
    fn layered(options: &ServeOptions, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, StartError> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let path = |name: &str| variable(name).map(PathBuf::from);
        let text = |name: &str| match variable(name).map(OsString::into_string) {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(StartError::new(format!("the value of {name} is not valid UTF-8"))),
            None => Ok(None),
        };
        let file = match options.config.clone().or_else(|| path("MERIDIAN_CONFIG")) {
            Some(file) => FileLayer::read(&file)?,
            None => FileLayer::default(),
        };
        let memory = options.memory.clone().or(text("MERIDIAN_MEMORY")?).or(file.memory);
        let retention = options.history_retention.clone().or(text("MERIDIAN_HISTORY_RETENTION")?);
        let retention = retention.or(file.history_retention);
        let data_dir = options.data_dir.clone().or_else(|| path("MERIDIAN_DATA_DIR")).or(file.data_dir);
        let listen = options.listen.clone().or(text("MERIDIAN_LISTEN")?).or(file.listen);
        let password = match (&options.password_file, text("MERIDIAN_PASSWORD")?) {
            (Some(file), _) => Some(read_password(file)?),
            (None, Some(password)) => Some(password),
            (None, None) => {
                let file = path("MERIDIAN_PASSWORD_FILE").or(file.password_file);
                file.map(|file| read_password(&file)).transpose()?
            }
        };
        Ok(Self {
            data_dir: data_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR)),
            listen: listen.unwrap_or_else(|| DEFAULT_LISTEN.to_string()),
            memory_bytes: memory.as_deref().map(parse_memory).transpose()?,
            password,
            connections_max: file.connections_max.unwrap_or(DEFAULT_CONNECTIONS_MAX),
            copy_dir: options.copy_dir.clone().or_else(|| path("MERIDIAN_COPY_DIR")).or(file.copy_dir),
            history_retention: retention.as_deref().map_or(Ok(HISTORY_RETENTION), parse_retention)?,
        })
    }
}

/// What a configuration file says.
#[derive(Debug, Default)]
struct FileLayer {
    data_dir: Option<PathBuf>,
    listen: Option<String>,
    memory: Option<String>,
    password_file: Option<PathBuf>,
    connections_max: Option<usize>,
    copy_dir: Option<PathBuf>,
    history_retention: Option<String>,
}

impl FileLayer {
    fn read(path: &Path) -> Result<Self, StartError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            StartError::new(format!("could not read configuration file \"{}\": {error}", path.display()))
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, StartError> {
        let at = |offset: usize| {
            let line = text[..offset.min(text.len())].matches('\n').count() + 1;
            format!("in file \"{}\" line {line}", path.display())
        };
        let table = DeTable::parse(text).map_err(|error| {
            let place = at(error.span().map_or(0, |span| span.start));
            StartError::new(format!("syntax error {place}: {}", error.message()))
        })?;
        let mut layer = Self::default();
        for (key, value) in table.get_ref() {
            let name: &str = key.get_ref();
            if !KEYS.contains(&name) {
                let place = at(key.span().start);
                return Err(unknown_key(name, &place));
            }
            layer.set(name, value.get_ref()).map_err(|wanted| {
                StartError::new(format!("invalid value for setting \"{name}\" {}", at(value.span().start)))
                    .hint(format!("It takes {wanted}."))
            })?;
        }
        Ok(layer)
    }

    /// Takes one setting; the error says what it takes.
    fn set(&mut self, key: &str, value: &DeValue<'_>) -> Result<(), &'static str> {
        let text = || value.as_str().map(str::to_string);
        match key {
            "data_dir" => self.data_dir = Some(text().ok_or("a path in quotes")?.into()),
            "copy_dir" => self.copy_dir = Some(text().ok_or("a path in quotes")?.into()),
            "history_retention" => {
                self.history_retention = Some(text().ok_or("a length of time in quotes, as in \"36h\"")?);
            }
            "password_file" => self.password_file = Some(text().ok_or("a path in quotes")?.into()),
            "listen" => self.listen = Some(text().ok_or("an address in quotes, as in \"127.0.0.1:5433\"")?),
            "memory" => self.memory = Some(text().ok_or("a size in quotes, as in \"8GB\"")?),
            _ => {
                let number = value.as_integer().and_then(|number| number.as_str().parse().ok());
                self.connections_max = Some(number.filter(|number| *number > 0).ok_or("a number above zero")?);
            }
        }
        Ok(())
    }
}

fn unknown_key(name: &str, place: &str) -> StartError {
    let similarity = |key: &&&str| strsim::jaro_winkler(name, key);
    let nearest = KEYS.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let hint = match nearest.filter(|key| similarity(key) >= SIMILARITY_MIN) {
        Some(key) => format!("Perhaps you meant \"{key}\"."),
        None => format!("Known settings are: {}.", KEYS.join(", ")),
    };
    StartError::new(format!("unrecognized setting \"{name}\" {place}")).hint(hint)
}

fn read_password(path: &Path) -> Result<String, StartError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| StartError::new(format!("could not read password file \"{}\": {error}", path.display())))?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(password.to_string()),
        _ => Err(StartError::new(format!("password file \"{}\" is empty", path.display()))
            .hint("Write the password in its first line.")),
    }
}

/// Bytes from a size as PostgreSQL writes it: units are powers of 1024. A number without one would be bytes there, which nobody means.
pub(crate) fn parse_memory(text: &str) -> Result<u64, StartError> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let exponent = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 0,
        "kb" | "kib" | "k" => 1,
        "mb" | "mib" | "m" => 2,
        "gb" | "gib" | "g" => 3,
        "tb" | "tib" | "t" => 4,
        _ => return Err(invalid_memory(text)),
    };
    let number: u64 = number.parse().map_err(|_| invalid_memory(text))?;
    number.checked_mul(1 << (10 * exponent)).filter(|bytes| *bytes > 0).ok_or_else(|| invalid_memory(text))
}

/// A length of time as PostgreSQL writes it, with its unit.
fn parse_retention(text: &str) -> Result<Duration, StartError> {
    let has_unit = text.trim().ends_with(|last: char| last.is_ascii_alphabetic());
    let milliseconds = duration_ms(text).filter(|milliseconds| *milliseconds == 0 || has_unit);
    let milliseconds = milliseconds.filter(|milliseconds| *milliseconds < i64::MAX as u64 / 1_000);
    milliseconds.map(Duration::from_millis).ok_or_else(|| {
        StartError::new(format!("invalid value for history_retention: \"{text}\""))
            .hint("Give a time with a unit of s, min, h or d, as in 36h; 0 keeps no history.")
    })
}

fn invalid_memory(text: &str) -> StartError {
    StartError::new(format!("invalid value for memory: \"{text}\""))
        .hint("Give a size above zero with a unit of kB, MB, GB or TB, as in 8GB.")
}

#[cfg(test)]
mod tests;
