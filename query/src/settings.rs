//! Settings: what SET, SHOW, RESET and the start-up packet can say, per session.
//!
//! `known` names every setting with its default, kind and whether clients are told of changes. A name that is not in it is an error,
//! except for customised ones with a dot in them (`app.user`), which PostgreSQL also takes as they come. The modes of the open
//! transaction are not kept here but shared with it (`transaction_modes`).

mod known;
mod quantities;

pub(crate) use known::{Kind, ROLE, SERVER_VERSION, SESSION_USER, SUBSCRIBER_TIMEOUT, Setting};

use crate::engine::Engine;
use crate::engine_error::nearest;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::functions::{SessionSettings, quote_identifier, split_identifiers};
use crate::query_cache::QUERY_CACHE;
use crate::statement::{Isolation, SetItem};
use crate::time_zone_setting;
use crate::transaction_modes::{
    Modes, SharedModes, TRANSACTION_DEFERRABLE, TRANSACTION_ISOLATION, TRANSACTION_READ_ONLY,
};
use crate::types::{ByteaOutput, OutputStyle, Zone};
use known::{IDLE_IN_TRANSACTION_TIMEOUT, IDLE_TIMEOUT, NO_ROLE, find};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Begins the names of settings that no other server has; a client's own do not begin so.
const OWN: &str = "meridian.";

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

    /// Sets what SET lists; the names of a list are kept as they would be written.
    pub(crate) fn set_items(&self, name: &str, items: &[SetItem], local: bool) -> Result<(), QueryError> {
        self.set(name, &joined(name, items)?, local)
    }

    /// Gives a setting the value that it had when the session began; `local`, for the open transaction alone.
    pub(crate) fn reset(&self, name: &str, local: bool) -> Result<(), QueryError> {
        self.0.lock().reset(name, local)
    }

    pub(crate) fn reset_all(&self) {
        self.0.lock().reset_all();
    }

    /// Remembers the values, so that ROLLBACK can bring them back, and shows the modes of the transaction from now on.
    pub(crate) fn begin(&self, modes: SharedModes) {
        self.0.lock().begin(modes);
    }

    /// What a savepoint brings back.
    pub(crate) fn mark(&self) -> SettingsMark {
        let values = self.0.lock();
        SettingsMark { values: Arc::clone(&values.values), local: values.local.clone() }
    }

    pub(crate) fn return_to(&self, mark: SettingsMark) {
        self.0.lock().return_to(mark);
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
        let mut all: Vec<_> =
            known::all().map(|setting| (setting, self.get(setting.name).unwrap_or_default())).collect();
        all.sort_by_key(|(setting, _)| setting.name.to_lowercase());
        all
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
        split_identifiers(&path, ',').unwrap_or_default()
    }
}

/// The settings that each statement asks for, read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Often {
    pub style: OutputStyle,
    /// `None` for never.
    pub statement_timeout_ms: Option<u64>,
    /// Of new transactions.
    pub modes: Modes,
    /// Whether answers that were given before are given again.
    pub query_cache: bool,
    /// The least severe messages that the client is told.
    pub told: Told,
    /// How long the client may say nothing in a transaction, and outside of one. `None` for ever.
    pub idle_in_transaction: Option<Duration>,
    pub idle: Option<Duration>,
}

/// What `client_min_messages` lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    All,
    Warnings,
    Errors,
}

impl Told {
    fn of(least: &str) -> Self {
        match least {
            "error" => Self::Errors,
            "warning" => Self::Warnings,
            _ => Self::All,
        }
    }

    pub(crate) fn includes(self, severity: NoticeSeverity) -> bool {
        match severity {
            NoticeSeverity::Info => true,
            NoticeSeverity::Warning => self != Self::Errors,
            NoticeSeverity::Notice => self == Self::All,
        }
    }
}

/// The values at a savepoint.
#[derive(Clone, Debug)]
pub(crate) struct SettingsMark {
    values: Arc<BTreeMap<String, String>>,
    local: BTreeMap<String, String>,
}

impl SessionSettings for Settings {
    fn get(&self, name: &str) -> Option<String> {
        self.0.lock().get(name).ok()
    }

    fn set(&self, name: &str, value: Option<&str>, is_local: bool) -> Result<String, QueryError> {
        let mut values = self.0.lock();
        match value {
            Some(value) => values.set(name, value, is_local)?,
            None => values.reset(name, is_local)?,
        }
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
    /// The customised settings that were ever named: each is empty where it has no value.
    customised: BTreeSet<String>,
    /// Of the open transaction.
    modes: Option<SharedModes>,
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
        settings.base.insert("max_connections".into(), engine.connections_max.to_string());
        settings.base.insert("data_directory".into(), data_dir.display().to_string());
        settings.base.insert(SESSION_USER.into(), user.into());
        for (name, value) in start_up {
            let (name, value) = checked(name, value)?;
            settings.check_role(&name, &value)?;
            if !is_mode(&name) {
                settings.base.insert(name, value);
            }
        }
        settings.values = Arc::new(settings.base.clone());
        Ok(settings)
    }

    fn get(&self, name: &str) -> Result<String, QueryError> {
        let canonical = canonical_name(name)?;
        if is_mode(&canonical) {
            return Ok(self.mode(&canonical));
        }
        let set = self.local.get(&canonical).or_else(|| self.values.get(&canonical));
        match (set, find(&canonical)) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(setting)) => Ok(setting.default.to_string()),
            (None, None) if self.customised.contains(&canonical) => Ok(String::new()),
            (None, None) => Err(unrecognized(name)),
        }
    }

    fn set(&mut self, name: &str, value: &str, local: bool) -> Result<(), QueryError> {
        let (name, value) = checked(name, value)?;
        self.check_role(&name, &value)?;
        if is_mode(&name) {
            return self.modes.as_ref().map_or(Ok(()), |modes| modes.set(&name, &value));
        }
        self.keep_customised(&name);
        let target = if local { &mut self.local } else { Arc::make_mut(&mut self.values) };
        target.insert(name.clone(), value.clone());
        if !local {
            self.local.remove(&name);
        }
        self.note(&name, value);
        Ok(())
    }

    fn keep_customised(&mut self, name: &str) {
        if find(name).is_none() && !self.customised.contains(name) {
            self.customised.insert(name.to_string());
        }
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

    /// A mode of the open transaction, or of the next one.
    fn mode(&self, name: &str) -> String {
        let modes = self.modes.as_ref().map_or_else(|| self.default_modes(), SharedModes::now);
        modes.get(name).unwrap_or_default().to_string()
    }

    fn default_modes(&self) -> Modes {
        let text = |name: &str| self.get(name).unwrap_or_default();
        Modes {
            isolation: Isolation::named(&text("default_transaction_isolation")),
            read_only: text("default_transaction_read_only") == "on",
            deferrable: text("default_transaction_deferrable") == "on",
        }
    }

    fn reset(&mut self, name: &str, local: bool) -> Result<(), QueryError> {
        let canonical = canonical_name(name)?;
        if let Some(setting) = find(&canonical)
            && setting.kind == Kind::Fixed
        {
            return Err(cannot_change(setting.name));
        }
        if is_mode(&canonical) || local {
            let default = find(&canonical).map_or_else(String::new, |setting| setting.default.to_string());
            let value = self.base.get(&canonical).cloned().unwrap_or(default);
            return self.set(&canonical, &value, local);
        }
        self.keep_customised(&canonical);
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
            modes: self.default_modes(),
            query_cache: text(QUERY_CACHE) == "on",
            told: Told::of(&text("client_min_messages")),
            idle_in_transaction: patience(&text(IDLE_IN_TRANSACTION_TIMEOUT)),
            idle: patience(&text(IDLE_TIMEOUT)),
        }
    }

    fn begin(&mut self, modes: SharedModes) {
        self.saved = Some(self.values.clone());
        self.modes = Some(modes);
    }

    fn return_to(&mut self, mark: SettingsMark) {
        if Arc::ptr_eq(&mark.values, &self.values) && mark.local == self.local {
            return;
        }
        let before = self.reported();
        (self.values, self.local) = (mark.values, mark.local);
        self.note_differences(&before);
    }

    /// Ends a transaction: SET LOCAL ends with it, and a rollback undoes SET too.
    fn end(&mut self, committed: bool) {
        self.modes = None;
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
        let names = known::all().filter(|setting| setting.reported).map(|setting| setting.name);
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

/// A length of time that has an end; `None` for 0.
fn patience(text: &str) -> Option<Duration> {
    duration_ms(text).filter(|milliseconds| *milliseconds > 0).map(Duration::from_millis)
}

/// Whether a setting is a mode of the open transaction.
fn is_mode(name: &str) -> bool {
    matches!(name, TRANSACTION_DEFERRABLE | TRANSACTION_ISOLATION | TRANSACTION_READ_ONLY)
}

/// The name as it is shown, whatever case it was asked for in.
pub(crate) fn shown_name(name: &str) -> &str {
    find(name).map_or(name, |setting| setting.name)
}

fn canonical_name(name: &str) -> Result<String, QueryError> {
    match find(name) {
        Some(setting) => Ok(setting.name.to_string()),
        None if name.contains('.') && !name.to_ascii_lowercase().starts_with(OWN) => Ok(name.to_ascii_lowercase()),
        None => Err(unrecognized(name)),
    }
}

fn unrecognized(name: &str) -> QueryError {
    let error = QueryError::new(ErrorKind::UndefinedObject, format!("unrecognized configuration parameter \"{name}\""));
    match nearest(name, known::all().map(|setting| setting.name)) {
        Some(near) => error.hint(format!("Perhaps you meant \"{near}\".")),
        None => error.hint("SHOW ALL lists the parameters."),
    }
}

fn cannot_change(name: &str) -> QueryError {
    let refused = |message: String| QueryError::new(ErrorKind::FixedAtStart, message);
    let said_by = match name {
        "meridian.history_retention" => "--history-retention or history_retention in meridian.toml",
        "max_connections" => "max_connections in meridian.toml",
        "data_directory" => "--data-dir or data_dir in meridian.toml",
        _ => return refused(format!("parameter \"{name}\" cannot be changed")),
    };
    refused(format!("parameter \"{name}\" cannot be changed without restarting the server"))
        .hint(format!("It is given to meridian serve when it starts, by {said_by}."))
}

/// What the items of SET come to as one text.
fn joined(name: &str, items: &[SetItem]) -> Result<String, QueryError> {
    let kind = find(name).map(|setting| setting.kind);
    if items.len() != 1 && !matches!(kind, Some(Kind::Names | Kind::DateStyle)) {
        let message = format!("SET {name} takes only one argument");
        return Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
    }
    let texts: Vec<String> = items
        .iter()
        .map(|item| match item {
            SetItem::Text(text) if kind == Some(Kind::Names) => quote_identifier(text),
            SetItem::Text(text) | SetItem::Number(text) => text.clone(),
        })
        .collect();
    Ok(texts.join(", "))
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
        Kind::Names => match split_identifiers(value, ',') {
            Some(_) => value.to_string(),
            None => return Err(invalid().detail("List syntax is invalid.")),
        },
        Kind::Bool => switch(&lower).map(str::to_string).ok_or_else(|| {
            let message = format!("parameter \"{}\" requires a Boolean value", setting.name);
            QueryError::new(ErrorKind::InvalidParameterValue, message)
        })?,
        Kind::Number(quantity) => quantity.shown(quantity.read(setting.name, value)?),
        Kind::Word(words) => {
            let word = [Some(lower.as_str()), switch(&lower), hidden_word(&lower)];
            let known = word.into_iter().flatten().find(|word| words.contains(word));
            known.ok_or_else(|| invalid().hint(format!("Available values: {}.", words.join(", "))))?.to_string()
        }
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

/// What a word says of a switch; it may be cut short as long as it cannot mean the other.
fn switch(word: &str) -> Option<&'static str> {
    let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(word);
    if word == "1" || word == "on" || begins("true", 1) || begins("yes", 1) {
        return Some("on");
    }
    (word == "0" || begins("off", 2) || begins("false", 1) || begins("no", 1)).then_some("off")
}

/// What a word means that PostgreSQL takes and does not name.
fn hidden_word(word: &str) -> Option<&'static str> {
    match word {
        "debug" => Some("debug2"),
        "info" => Some("log"),
        _ => None,
    }
}
