//! Settings: what SET, SHOW, RESET and the start-up packet can say, per session.
//!
//! One table names every setting with its default, kind and whether clients are told of changes. A name that is not in it is an error,
//! except for customised ones with a dot in them (`app.user`), which PostgreSQL also takes as they come.

use crate::engine::Engine;
use crate::engine_error::nearest;
use crate::error::{ErrorKind, QueryError};
use crate::functions::SessionSettings;
use crate::query_cache::QUERY_CACHE;
use crate::statement::Isolation;
use crate::time_zone_setting;
use crate::types::{ByteaOutput, OutputStyle, Zone};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The PostgreSQL release whose behaviour is matched; clients choose their catalog queries by it.
pub const SERVER_VERSION: &str = "15.0 (Meridian 0.1.0)";
const SERVER_VERSION_NUM: &str = "150000";

/// How long a subscriber may take nothing of what waits for it.
pub(crate) const SUBSCRIBER_TIMEOUT: &str = "meridian.subscriber_timeout";

/// Begins the names of settings that no other server has; a client's own do not begin so.
const OWN: &str = "meridian.";

/// The names of the settings that are roles.
pub(crate) const SESSION_USER: &str = "session_authorization";
pub(crate) const ROLE: &str = "role";
/// What `role` is where SET ROLE names none.
const NO_ROLE: &str = "none";

/// How a value is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    /// A whole number, possibly with a unit of time or memory, which is kept as it was written.
    Number,
    Text,
    /// One of a few words.
    Word(&'static [&'static str]),
    TimeZone,
    DateStyle,
    Encoding,
    /// A role; there is none to change to but the session's user.
    Role,
    /// Shown, never set.
    Fixed,
}

/// One setting. `reported` ones go to the client as ParameterStatus.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    pub reported: bool,
    pub description: &'static str,
}

const fn setting(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Setting {
    Setting { name, default, kind, reported: false, description }
}

const fn reported(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Setting {
    Setting { name, default, kind, reported: true, description }
}

const ISOLATION: Kind = Kind::Word(&["read committed", "read uncommitted", "repeatable read", "serializable"]);
const MESSAGES: Kind =
    Kind::Word(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]);

pub(crate) const SETTINGS: &[Setting] = &[
    reported("application_name", "", Kind::Text, "The client's name in statistics and logs."),
    setting("backslash_quote", "safe_encoding", Kind::Text, "Accepted for compatibility."),
    setting("bytea_output", "hex", Kind::Word(&["hex", "escape"]), "How bytea is shown as text."),
    setting("check_function_bodies", "on", Kind::Bool, "Accepted for compatibility."),
    reported("client_encoding", "UTF8", Kind::Encoding, "The encoding of text between client and server."),
    setting("client_min_messages", "notice", MESSAGES, "The least severe messages that are sent."),
    reported("DateStyle", "ISO, MDY", Kind::DateStyle, "How dates are shown and read."),
    setting("data_directory", "", Kind::Fixed, "Where the data lies on the server's machine."),
    setting("default_statistics_target", "100", Kind::Number, "Accepted for compatibility."),
    setting("default_transaction_isolation", "read committed", ISOLATION, "Isolation of new transactions."),
    reported("default_transaction_read_only", "off", Kind::Bool, "Whether new transactions refuse to write."),
    setting("escape_string_warning", "on", Kind::Bool, "Accepted for compatibility."),
    setting("extra_float_digits", "1", Kind::Number, "Digits of floating-point values; above 0 they are exact."),
    setting("geqo", "on", Kind::Bool, "Accepted for compatibility."),
    setting("idle_in_transaction_session_timeout", "0", Kind::Number, "Accepted for compatibility."),
    reported("in_hot_standby", "off", Kind::Fixed, "Whether the server only replays."),
    reported("integer_datetimes", "on", Kind::Fixed, "Timestamps are integers."),
    reported("IntervalStyle", "postgres", Kind::Word(&["postgres"]), "How intervals are shown."),
    reported("is_superuser", "on", Kind::Fixed, "Whether the user may do everything."),
    setting("jit", "off", Kind::Bool, "Accepted for compatibility."),
    setting("lock_timeout", "0", Kind::Number, "Accepted for compatibility; nothing waits for locks."),
    setting("max_identifier_length", "63", Kind::Fixed, "The longest name."),
    setting("max_index_keys", "32", Kind::Fixed, "Accepted for compatibility."),
    setting("meridian.history_retention", "1d", Kind::Fixed, "How far back FOR SYSTEM_TIME AS OF can read."),
    setting(QUERY_CACHE, "on", Kind::Bool, "Whether answers are kept until what they were computed from changes."),
    setting(
        SUBSCRIBER_TIMEOUT,
        "10min",
        Kind::Number,
        "How long SUBSCRIBE waits for a client that does not read; 0 for ever.",
    ),
    setting(ROLE, NO_ROLE, Kind::Role, "The role whose rights count, where it is not the session's user."),
    setting("row_security", "on", Kind::Bool, "Accepted for compatibility."),
    setting("search_path", "\"$user\", public", Kind::Text, "Where unqualified names are looked up."),
    reported("server_encoding", "UTF8", Kind::Fixed, "The encoding of stored text."),
    reported("server_version", SERVER_VERSION, Kind::Fixed, "The PostgreSQL release that is matched."),
    setting("server_version_num", SERVER_VERSION_NUM, Kind::Fixed, "The same as a number."),
    reported(SESSION_USER, "meridian", Kind::Role, "The session's user."),
    setting("ssl", "off", Kind::Fixed, "Whether connections can be encrypted."),
    reported("standard_conforming_strings", "on", Kind::Word(&["on"]), "Backslashes in '…' are plain characters."),
    setting("statement_timeout", "0", Kind::Number, "Milliseconds after which a statement is cancelled; 0 never."),
    setting(
        "synchronous_commit",
        "on",
        Kind::Word(&["on", "local", "remote_write", "remote_apply"]),
        "Commits are always synced.",
    ),
    setting("synchronize_seqscans", "on", Kind::Bool, "Accepted for compatibility."),
    reported("TimeZone", "UTC", Kind::TimeZone, "The zone in which instants are shown and read."),
    setting("transaction_isolation", "read committed", ISOLATION, "Isolation of the current transaction."),
    setting("transaction_read_only", "off", Kind::Bool, "Whether the current transaction refuses to write."),
    setting("work_mem", "4MB", Kind::Number, "Accepted for compatibility; memory is budgeted for the process."),
    setting("xmloption", "content", Kind::Text, "Accepted for compatibility."),
];

/// A session's settings. Clones share their values, so that functions such as `set_config` can change them while a statement runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(Arc<Mutex<Values>>);

impl Settings {
    /// Settings of a new session; `start_up` holds what the client asked for. Unknown names are errors as in PostgreSQL.
    pub(crate) fn new(user: &str, engine: &Engine, start_up: &[(String, String)]) -> Result<Self, QueryError> {
        Ok(Self(Arc::new(Mutex::new(Values::new(user, engine, start_up)?))))
    }

    pub(crate) fn get(&self, name: &str) -> Result<String, QueryError> {
        self.0.lock().get(name)
    }

    pub(crate) fn set(&self, name: &str, value: &str, local: bool) -> Result<(), QueryError> {
        self.0.lock().set(name, value, local)
    }

    pub(crate) fn reset(&self, name: &str) -> Result<(), QueryError> {
        self.0.lock().reset(name)
    }

    pub(crate) fn reset_all(&self) {
        self.0.lock().reset_all();
    }

    /// Remembers the values, so that ROLLBACK can bring them back.
    pub(crate) fn begin(&self) {
        self.0.lock().begin();
    }

    /// Ends a transaction: SET LOCAL ends with it, and a rollback undoes SET too.
    pub(crate) fn end(&self, committed: bool) {
        self.0.lock().end(committed);
    }

    /// Reported settings that changed since the last call.
    pub(crate) fn take_changes(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock().changed)
    }

    pub(crate) fn reported(&self) -> Vec<(String, String)> {
        self.0.lock().reported()
    }

    /// Another number after each change, so that what was derived from the values can be kept as long as it is right.
    pub(crate) fn revision(&self) -> u64 {
        self.0.lock().revision
    }

    pub(crate) fn all(&self) -> Vec<(&'static Setting, String)> {
        SETTINGS.iter().map(|setting| (setting, self.get(setting.name).unwrap_or_default())).collect()
    }

    /// The values that differ from the defaults; `None` while some are for one transaction only.
    pub(crate) fn shared_values(&self) -> Option<Arc<BTreeMap<String, String>>> {
        let values = self.0.lock();
        values.local.is_empty().then(|| Arc::clone(&values.values))
    }

    /// What each statement asks for.
    pub(crate) fn often(&self) -> Often {
        let mut values = self.0.lock();
        match values.often {
            Some((revision, often)) if revision == values.revision => often,
            _ => {
                let often = values.compute_often();
                values.often = Some((values.revision, often));
                often
            }
        }
    }

    pub(crate) fn output_style(&self) -> OutputStyle {
        self.often().style
    }

    /// The schemas of `search_path` in order, as they are set.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let path = self.get("search_path").unwrap_or_default();
        let schemas = path.split(',').map(|item| item.trim().trim_matches('"')).filter(|item| !item.is_empty());
        schemas.map(str::to_string).collect()
    }
}

/// The settings that each statement asks for, read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Often {
    pub style: OutputStyle,
    /// `None` for never.
    pub statement_timeout_ms: Option<u64>,
    /// Of new transactions.
    pub isolation: Isolation,
    /// Whether new transactions only read.
    pub read_only: bool,
    /// Whether answers that were given before are given again.
    pub query_cache: bool,
}

impl SessionSettings for Settings {
    fn get(&self, name: &str) -> Option<String> {
        self.0.lock().get(name).ok()
    }

    fn set(&self, name: &str, value: &str, is_local: bool) -> Result<String, QueryError> {
        let mut values = self.0.lock();
        values.set(name, value, is_local)?;
        values.get(name)
    }
}

/// The values that differ from the defaults, and what to undo at the end of a transaction.
#[derive(Clone, Debug, Default)]
struct Values {
    /// What RESET goes back to: the start-up packet's values.
    base: BTreeMap<String, String>,
    values: Arc<BTreeMap<String, String>>,
    /// The values before the transaction's changes; `None` outside of one.
    saved: Option<Arc<BTreeMap<String, String>>>,
    local: BTreeMap<String, String>,
    changed: Vec<(String, String)>,
    revision: u64,
    /// With the revision that it was read from.
    often: Option<(u64, Often)>,
}

impl Values {
    fn new(user: &str, engine: &Engine, start_up: &[(String, String)]) -> Result<Self, QueryError> {
        let mut settings = Self::default();
        let data_dir = engine.catalog.data_dir();
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_path_buf());
        let retention = duration_text(engine.history_retention.as_secs());
        settings.base.insert("meridian.history_retention".into(), retention);
        settings.base.insert("data_directory".into(), data_dir.display().to_string());
        settings.base.insert(SESSION_USER.into(), user.into());
        for (name, value) in start_up {
            let (name, value) = checked(name, value)?;
            settings.check_role(&name, &value)?;
            settings.base.insert(name, value);
        }
        settings.values = Arc::new(settings.base.clone());
        Ok(settings)
    }

    fn get(&self, name: &str) -> Result<String, QueryError> {
        let canonical = canonical_name(name)?;
        let set = self.local.get(&canonical).or_else(|| self.values.get(&canonical));
        match (set, find(&canonical)) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(setting)) => Ok(setting.default.to_string()),
            (None, None) => Err(unrecognized(name)),
        }
    }

    fn set(&mut self, name: &str, value: &str, local: bool) -> Result<(), QueryError> {
        let (name, value) = checked(name, value)?;
        self.check_role(&name, &value)?;
        let target = if local { &mut self.local } else { Arc::make_mut(&mut self.values) };
        target.insert(name.clone(), value.clone());
        if !local {
            self.local.remove(&name);
        }
        self.note(&name, value);
        Ok(())
    }

    /// Fails for a role that the session cannot take.
    fn check_role(&self, name: &str, value: &str) -> Result<(), QueryError> {
        let user = self.base.get(SESSION_USER).map(String::as_str);
        let is_none = name == ROLE && value == NO_ROLE;
        if find(name).is_none_or(|setting| setting.kind != Kind::Role) || is_none || user == Some(value) {
            return Ok(());
        }
        Err(QueryError::new(ErrorKind::InvalidParameterValue, format!("role \"{value}\" does not exist")))
    }

    fn reset(&mut self, name: &str) -> Result<(), QueryError> {
        let canonical = canonical_name(name)?;
        if let Some(setting) = find(&canonical)
            && setting.kind == Kind::Fixed
        {
            return Err(cannot_change(setting.name));
        }
        self.local.remove(&canonical);
        let values = Arc::make_mut(&mut self.values);
        match self.base.get(&canonical) {
            Some(value) => values.insert(canonical.clone(), value.clone()),
            None => values.remove(&canonical),
        };
        let value = self.get(&canonical).unwrap_or_default();
        self.note(&canonical, value);
        Ok(())
    }

    fn reset_all(&mut self) {
        let before = self.reported();
        self.values = Arc::new(self.base.clone());
        self.local.clear();
        self.note_differences(&before);
    }

    fn compute_often(&self) -> Often {
        let text = |name: &str| self.get(name).unwrap_or_default();
        let style = OutputStyle {
            time_zone: Zone::of_setting(&text("TimeZone")).unwrap_or(Zone::UTC),
            bytea_output: if text("bytea_output") == "escape" { ByteaOutput::Escape } else { ByteaOutput::Hex },
            extra_float_digits: text("extra_float_digits").parse().unwrap_or(1),
            ..OutputStyle::default()
        };
        Often {
            style,
            statement_timeout_ms: duration_ms(&text("statement_timeout")).filter(|milliseconds| *milliseconds > 0),
            isolation: Isolation::named(&text("default_transaction_isolation")),
            read_only: text("default_transaction_read_only") == "on",
            query_cache: text(QUERY_CACHE) == "on",
        }
    }

    /// Remembers the values, so that ROLLBACK can bring them back.
    fn begin(&mut self) {
        self.saved = Some(self.values.clone());
    }

    /// Ends a transaction: SET LOCAL ends with it, and a rollback undoes SET too.
    fn end(&mut self, committed: bool) {
        let saved = self.saved.take().filter(|saved| !committed && !Arc::ptr_eq(saved, &self.values));
        if self.local.is_empty() && saved.is_none() {
            return;
        }
        let before = self.reported();
        self.local.clear();
        if let Some(saved) = saved {
            self.values = saved;
        }
        self.note_differences(&before);
    }

    fn note(&mut self, name: &str, value: String) {
        self.revision += 1;
        if find(name).is_some_and(|setting| setting.reported) {
            self.changed.push((name.to_string(), value));
        }
    }

    fn note_differences(&mut self, before: &[(String, String)]) {
        self.revision += 1;
        let after = self.reported();
        self.changed.extend(after.into_iter().filter(|pair| !before.contains(pair)));
    }

    fn reported(&self) -> Vec<(String, String)> {
        let names = SETTINGS.iter().filter(|setting| setting.reported).map(|setting| setting.name);
        names.map(|name| (name.to_string(), self.get(name).unwrap_or_default())).collect()
    }
}

/// Milliseconds from a length of time as PostgreSQL writes it: `30s`, `24h`, `7d`; a number without a unit is milliseconds.
pub fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.trim().trim_end_matches(|character: char| character.is_alphabetic() || character == ' ');
    let number: u64 = digits.parse().ok()?;
    let factor = match text.trim()[digits.len()..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Seconds in the largest unit that has no rest, as PostgreSQL shows settings of time.
fn duration_text(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let fits = units.into_iter().find(|(_, length)| seconds > 0 && seconds.is_multiple_of(*length));
    fits.map_or_else(|| "0".to_string(), |(unit, length)| format!("{}{unit}", seconds / length))
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

fn canonical_name(name: &str) -> Result<String, QueryError> {
    match find(name) {
        Some(setting) => Ok(setting.name.to_string()),
        None if name.contains('.') && !name.to_lowercase().starts_with(OWN) => Ok(name.to_lowercase()),
        None => Err(unrecognized(name)),
    }
}

fn unrecognized(name: &str) -> QueryError {
    let error = QueryError::new(ErrorKind::UndefinedObject, format!("unrecognized configuration parameter \"{name}\""));
    match nearest(name, SETTINGS.iter().map(|setting| setting.name)) {
        Some(near) => error.hint(format!("Perhaps you meant \"{near}\".")),
        None => error.hint("SHOW ALL lists the parameters."),
    }
}

fn cannot_change(name: &str) -> QueryError {
    QueryError::new(ErrorKind::ObjectNotReady, format!("parameter \"{name}\" cannot be changed"))
}

/// The canonical name and value, or why the value does not do.
fn checked(name: &str, value: &str) -> Result<(String, String), QueryError> {
    let Some(setting) = find(name) else { return Ok((canonical_name(name)?, value.to_string())) };
    let invalid = || {
        QueryError::new(
            ErrorKind::InvalidParameterValue,
            format!("invalid value for parameter \"{}\": \"{value}\"", setting.name),
        )
    };
    let lower = value.trim().to_lowercase();
    let kept = match setting.kind {
        Kind::Fixed => return Err(cannot_change(setting.name)),
        Kind::Text | Kind::Role => value.to_string(),
        Kind::Bool => match lower.as_str() {
            "on" | "true" | "yes" | "1" | "t" | "y" => "on".into(),
            "off" | "false" | "no" | "0" | "f" | "n" => "off".into(),
            _ => {
                let message = format!("parameter \"{}\" requires a Boolean value", setting.name);
                return Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
            }
        },
        Kind::Number if lower.trim_start_matches('-').starts_with(|first: char| first.is_ascii_digit()) => {
            value.trim().to_string()
        }
        Kind::Number => return Err(invalid()),
        Kind::Word(words) if words.contains(&lower.as_str()) => lower,
        Kind::Word(words) => return Err(invalid().hint(format!("Available values: {}.", words.join(", ")))),
        Kind::TimeZone => time_zone_setting::canonical(value, invalid)?,
        Kind::DateStyle => match lower.split(',').map(str::trim).collect::<Vec<_>>().as_slice() {
            ["iso"] | ["iso", "mdy"] | ["mdy"] | ["mdy", "iso"] | ["iso", "us"] => "ISO, MDY".into(),
            _ => return Err(invalid().hint("Dates are shown in ISO style and read as month, day, year: use ISO, MDY.")),
        },
        Kind::Encoding => match lower.trim_matches('\'').replace(['-', '_'], "").as_str() {
            "utf8" | "unicode" => "UTF8".into(),
            _ => return Err(invalid().hint("Text is UTF8 between client and server.")),
        },
    };
    Ok((setting.name.to_string(), kept))
}
