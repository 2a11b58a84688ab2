//! COPY's options: their checks and defaults, in the order and words of PostgreSQL's `ProcessCopyOptions`.
//!
//! Those of PostgreSQL 15 have its words, DEFAULT those of 16, ON_ERROR, LOG_VERBOSITY and REJECT_LIMIT those of 17 and 18.
//! REJECT_TABLE, LABEL and ON_CONFLICT are Meridian's own.

use super::encoding::CopyEncoding;
use crate::error::{ErrorKind, QueryError};

/// Which way the rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    From,
    To,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFileFormat {
    Text,
    Csv,
    Binary,
    /// A Parquet file.
    Parquet,
}

/// What the first line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHeader {
    Absent,
    Present,
    /// Present, and it must hold the names of the columns in their order.
    Match,
}

/// What becomes of a row with a value that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    #[default]
    Stop,
    Ignore,
}

/// What becomes of a row whose key is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    Ignore,
    Update,
}

/// How much is said of rows that were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogVerbosity {
    Silent,
    #[default]
    Default,
    Verbose,
}

/// The columns that an option names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ColumnSelection {
    #[default]
    None,
    All,
    Named(Vec<String>),
}

impl ColumnSelection {
    pub fn contains(&self, column: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == column),
        }
    }

    /// The columns that are named one by one.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::Named(names) => names,
            Self::None | Self::All => &[],
        }
    }

    /// The columns by position; an error for one that the statement does not copy. `option` is spelled as PostgreSQL does.
    pub(super) fn resolve(&self, option: &str, columns: &[String]) -> Result<Vec<bool>, QueryError> {
        if let Self::Named(names) = self
            && let Some(unknown) = names.iter().find(|name| !columns.contains(name))
        {
            return Err(QueryError::new(
                ErrorKind::InvalidColumnReference,
                format!("{option} column \"{unknown}\" not referenced by COPY"),
            ));
        }
        Ok(columns.iter().map(|column| self.contains(column)).collect())
    }
}

/// Options with their defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    pub format: CopyFileFormat,
    /// Accepted for compatibility; every load is as good as frozen.
    pub freeze: bool,
    pub delimiter: u8,
    pub null: String,
    pub header: CopyHeader,
    pub quote: u8,
    pub escape: u8,
    pub force_quote: ColumnSelection,
    pub force_not_null: ColumnSelection,
    pub force_null: ColumnSelection,
    /// What stands for a column's default.
    pub default: Option<String>,
    pub encoding: CopyEncoding,
    pub on_error: OnError,
    /// The most rows that may be skipped.
    pub reject_limit: Option<u64>,
    pub log_verbosity: LogVerbosity,
    /// The table that takes the rows that were not loaded.
    pub reject_table: Option<String>,
    /// What the load is known by, so that it happens once.
    pub label: Option<String>,
    /// `None` where a key that is there already is an error.
    pub on_conflict: Option<OnConflict>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            format: CopyFileFormat::Text,
            freeze: false,
            delimiter: b'\t',
            null: "\\N".to_string(),
            header: CopyHeader::Absent,
            quote: b'"',
            escape: b'"',
            force_quote: ColumnSelection::None,
            force_not_null: ColumnSelection::None,
            force_null: ColumnSelection::None,
            default: None,
            encoding: CopyEncoding::Utf8,
            on_error: OnError::Stop,
            reject_limit: None,
            log_verbosity: LogVerbosity::Default,
            reject_table: None,
            label: None,
            on_conflict: None,
        }
    }
}

/// An option as the statement has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawOption {
    pub(super) name: String,
    pub(super) value: RawValue,
    /// 1-based character offset of the name.
    pub(super) position: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum RawValue {
    Absent,
    /// A string, a word or a number.
    Text(String),
    Star,
    List(Vec<String>),
}

/// What was said, before the checks of one option against another.
#[derive(Default)]
struct Said {
    format: Option<String>,
    freeze: Option<bool>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<CopyHeader>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<ColumnSelection>,
    force_not_null: Option<ColumnSelection>,
    force_null: Option<ColumnSelection>,
    encoding: Option<CopyEncoding>,
    default: Option<String>,
    on_error: Option<OnError>,
    reject_limit: Option<u64>,
    log_verbosity: Option<LogVerbosity>,
    reject_table: Option<String>,
    label: Option<String>,
    on_conflict: Option<OnConflict>,
}

impl CopyOptions {
    pub(super) fn from_raw(raw: &[RawOption], direction: CopyDirection) -> Result<Self, QueryError> {
        let mut said = Said::default();
        for option in raw {
            said.take(option, direction)?;
        }
        said.check(direction)
    }
}

impl Said {
    fn take(&mut self, option: &RawOption, direction: CopyDirection) -> Result<(), QueryError> {
        match option.name.as_str() {
            "format" => {
                let format = text_of(option)?;
                if !matches!(format.as_str(), "text" | "csv" | "binary" | "parquet") {
                    return Err(at(
                        option,
                        ErrorKind::InvalidParameterValue,
                        format!("COPY format \"{format}\" not recognized"),
                    ));
                }
                once(&mut self.format, option, Ok(format))
            }
            "freeze" => once(&mut self.freeze, option, boolean_of(option, "a Boolean value")),
            "delimiter" => once(&mut self.delimiter, option, text_of(option)),
            "null" => once(&mut self.null, option, text_of(option)),
            "header" => once(&mut self.header, option, header_of(option)),
            "quote" => once(&mut self.quote, option, text_of(option)),
            "escape" => once(&mut self.escape, option, text_of(option)),
            "force_quote" => once(&mut self.force_quote, option, columns_of(option)),
            "force_not_null" => once(&mut self.force_not_null, option, columns_of(option)),
            "force_null" => once(&mut self.force_null, option, columns_of(option)),
            "encoding" => once(&mut self.encoding, option, encoding_of(option)),
            "default" => once(&mut self.default, option, text_of(option)),
            "on_error" => once(&mut self.on_error, option, on_error_of(option, direction)),
            "reject_limit" => once(&mut self.reject_limit, option, reject_limit_of(option)),
            "log_verbosity" => once(&mut self.log_verbosity, option, log_verbosity_of(option)),
            "reject_table" => once(&mut self.reject_table, option, name_of(option, direction)),
            "label" => once(&mut self.label, option, name_of(option, direction)),
            "on_conflict" => once(&mut self.on_conflict, option, on_conflict_of(option, direction)),
            name => Err(at(option, ErrorKind::Syntax, format!("option \"{name}\" not recognized"))),
        }
    }

    fn check(self, direction: CopyDirection) -> Result<CopyOptions, QueryError> {
        let binary = self.format.as_deref() == Some("binary");
        let parquet = self.format.as_deref() == Some("parquet");
        if binary || parquet {
            self.check_binary(if binary { "BINARY" } else { "PARQUET" })?;
        }
        let csv = self.format.as_deref() == Some("csv");
        let delimiter = self.check_delimiter(csv)?;
        let null = self.null.clone().unwrap_or_else(|| if csv { String::new() } else { "\\N".to_string() });
        if null.contains(['\r', '\n']) {
            return Err(invalid("COPY null representation cannot use newline or carriage return"));
        }
        if !csv && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
            return Err(invalid(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
        }
        let quote = only_csv_byte(self.quote.as_deref(), "quote", csv)?.unwrap_or(b'"');
        if csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        let escape = only_csv_byte(self.escape.as_deref(), "escape", csv)?.unwrap_or(quote);
        self.check_forced(csv, direction)?;
        if null.as_bytes().contains(&delimiter) {
            return Err(unsupported("COPY delimiter must not appear in the NULL specification"));
        }
        if csv && null.as_bytes().contains(&quote) {
            return Err(unsupported("CSV quote character must not appear in the NULL specification"));
        }
        self.check_default(delimiter, quote, &null, csv, direction)?;
        self.check_rejects(binary)?;
        if self.header == Some(CopyHeader::Match) && direction == CopyDirection::To {
            return Err(unsupported("cannot use \"match\" with HEADER in COPY TO"));
        }
        Ok(CopyOptions {
            format: match self.format.as_deref() {
                Some("csv") => CopyFileFormat::Csv,
                Some("binary") => CopyFileFormat::Binary,
                Some("parquet") => CopyFileFormat::Parquet,
                _ => CopyFileFormat::Text,
            },
            freeze: self.freeze.unwrap_or(false),
            delimiter,
            null,
            header: self.header.unwrap_or(CopyHeader::Absent),
            quote,
            escape,
            force_quote: self.force_quote.unwrap_or_default(),
            force_not_null: self.force_not_null.unwrap_or_default(),
            force_null: self.force_null.unwrap_or_default(),
            default: self.default,
            encoding: self.encoding.unwrap_or_default(),
            on_error: self.on_error.unwrap_or(match self.reject_table {
                Some(_) => OnError::Ignore,
                None => OnError::Stop,
            }),
            reject_limit: self.reject_limit,
            log_verbosity: self.log_verbosity.unwrap_or_default(),
            reject_table: self.reject_table,
            label: self.label,
            on_conflict: self.on_conflict,
        })
    }

    /// Formats that are no lines have none of their options.
    fn check_binary(&self, mode: &str) -> Result<(), QueryError> {
        let refused =
            |option: &str| QueryError::new(ErrorKind::Syntax, format!("cannot specify {option} in {mode} mode"));
        if self.delimiter.is_some() {
            return Err(refused("DELIMITER"));
        }
        if self.null.is_some() {
            return Err(refused("NULL"));
        }
        if self.default.is_some() {
            return Err(refused("DEFAULT"));
        }
        if self.header.is_some_and(|header| header != CopyHeader::Absent) {
            return Err(unsupported(format!("cannot specify HEADER in {mode} mode")));
        }
        Ok(())
    }

    fn check_default(
        &self,
        delimiter: u8,
        quote: u8,
        null: &str,
        csv: bool,
        direction: CopyDirection,
    ) -> Result<(), QueryError> {
        let Some(default) = self.default.as_deref() else { return Ok(()) };
        if direction == CopyDirection::To {
            return Err(unsupported("COPY DEFAULT only available using COPY FROM"));
        }
        if default.contains(['\r', '\n']) {
            return Err(invalid("COPY default representation cannot use newline or carriage return"));
        }
        if default.as_bytes().contains(&delimiter) {
            return Err(unsupported("COPY delimiter must not appear in the DEFAULT specification"));
        }
        if csv && default.as_bytes().contains(&quote) {
            return Err(unsupported("CSV quote character must not appear in the DEFAULT specification"));
        }
        if default == null {
            return Err(unsupported("NULL specification and DEFAULT specification cannot be the same"));
        }
        Ok(())
    }

    fn check_rejects(&self, binary: bool) -> Result<(), QueryError> {
        let requires = |option: &str| invalid(format!("COPY {option} requires ON_ERROR to be set to IGNORE"));
        let ignores =
            self.on_error == Some(OnError::Ignore) || (self.on_error.is_none() && self.reject_table.is_some());
        if binary && ignores {
            return Err(QueryError::new(ErrorKind::Syntax, "only ON_ERROR STOP is allowed in BINARY mode"));
        }
        if self.reject_table.is_some() && !ignores {
            return Err(requires("REJECT_TABLE"));
        }
        if self.reject_limit.is_some() && !ignores {
            return Err(requires("REJECT_LIMIT"));
        }
        Ok(())
    }

    fn check_delimiter(&self, csv: bool) -> Result<u8, QueryError> {
        let Some(delimiter) = self.delimiter.as_deref() else { return Ok(if csv { b',' } else { b'\t' }) };
        match single_byte(delimiter) {
            None => Err(unsupported("COPY delimiter must be a single one-byte character")),
            Some(b'\r' | b'\n') => Err(invalid("COPY delimiter cannot be newline or carriage return")),
            Some(byte) => Ok(byte),
        }
    }

    fn check_forced(&self, csv: bool, direction: CopyDirection) -> Result<(), QueryError> {
        let options = [
            (&self.force_quote, "force quote", CopyDirection::To, "TO"),
            (&self.force_not_null, "force not null", CopyDirection::From, "FROM"),
            (&self.force_null, "force null", CopyDirection::From, "FROM"),
        ];
        for (option, name, only, word) in options {
            if option.is_none() {
                continue;
            }
            if !csv {
                return Err(unsupported(format!("COPY {name} available only in CSV mode")));
            }
            if direction != only {
                return Err(unsupported(format!("COPY {name} only available using COPY {word}")));
            }
        }
        Ok(())
    }
}

fn once<T>(place: &mut Option<T>, option: &RawOption, value: Result<T, QueryError>) -> Result<(), QueryError> {
    if place.is_some() {
        return Err(at(option, ErrorKind::Syntax, "conflicting or redundant options"));
    }
    *place = Some(value?);
    Ok(())
}

fn single_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    }
}

fn only_csv_byte(value: Option<&str>, name: &str, csv: bool) -> Result<Option<u8>, QueryError> {
    let Some(value) = value else { return Ok(None) };
    if !csv {
        return Err(unsupported(format!("COPY {name} available only in CSV mode")));
    }
    match single_byte(value) {
        Some(byte) => Ok(Some(byte)),
        None => Err(unsupported(format!("COPY {name} must be a single one-byte character"))),
    }
}

fn text_of(option: &RawOption) -> Result<String, QueryError> {
    match &option.value {
        RawValue::Text(text) => Ok(text.clone()),
        RawValue::Absent => Err(QueryError::new(ErrorKind::Syntax, format!("{} requires a parameter", option.name))),
        RawValue::Star => Ok("*".to_string()),
        RawValue::List(names) => Ok(names.join(", ")),
    }
}

fn boolean_of(option: &RawOption, wanted: &str) -> Result<bool, QueryError> {
    let text = match &option.value {
        RawValue::Absent => return Ok(true),
        RawValue::Text(text) => text.to_ascii_lowercase(),
        RawValue::Star | RawValue::List(_) => String::new(),
    };
    match text.as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(QueryError::new(ErrorKind::Syntax, format!("{} requires {wanted}", option.name))),
    }
}

fn header_of(option: &RawOption) -> Result<CopyHeader, QueryError> {
    if matches!(&option.value, RawValue::Text(text) if text.eq_ignore_ascii_case("match")) {
        return Ok(CopyHeader::Match);
    }
    let present = boolean_of(option, "a Boolean value or \"match\"")?;
    Ok(if present { CopyHeader::Present } else { CopyHeader::Absent })
}

fn columns_of(option: &RawOption) -> Result<ColumnSelection, QueryError> {
    match &option.value {
        RawValue::Star => Ok(ColumnSelection::All),
        RawValue::List(names) => Ok(ColumnSelection::Named(names.clone())),
        _ => Err(at(
            option,
            ErrorKind::InvalidParameterValue,
            format!("argument to option \"{}\" must be a list of column names", option.name),
        )),
    }
}

fn encoding_of(option: &RawOption) -> Result<CopyEncoding, QueryError> {
    let name = text_of(option)?;
    let found = CopyEncoding::named(&name).map_err(|error| error.position(Some(option.position)))?;
    found.ok_or_else(|| {
        let message = "argument to option \"encoding\" must be a valid encoding name";
        at(option, ErrorKind::InvalidParameterValue, message)
    })
}

fn on_error_of(option: &RawOption, direction: CopyDirection) -> Result<OnError, QueryError> {
    only_from(option, direction)?;
    match choice_of(option)?.as_deref() {
        None | Some("stop") => Ok(OnError::Stop),
        Some("ignore") => Ok(OnError::Ignore),
        Some(_) => Err(unrecognized(option)),
    }
}

fn on_conflict_of(option: &RawOption, direction: CopyDirection) -> Result<OnConflict, QueryError> {
    only_from(option, direction)?;
    match choice_of(option)?.as_deref() {
        Some("ignore") => Ok(OnConflict::Ignore),
        Some("update") => Ok(OnConflict::Update),
        _ => Err(unrecognized(option)),
    }
}

fn log_verbosity_of(option: &RawOption) -> Result<LogVerbosity, QueryError> {
    match choice_of(option)?.as_deref() {
        Some("silent") => Ok(LogVerbosity::Silent),
        None | Some("default") => Ok(LogVerbosity::Default),
        Some("verbose") => Ok(LogVerbosity::Verbose),
        Some(_) => Err(unrecognized(option)),
    }
}

fn reject_limit_of(option: &RawOption) -> Result<u64, QueryError> {
    if option.value == RawValue::Absent {
        return Err(QueryError::new(ErrorKind::Syntax, "reject_limit requires a numeric value"));
    }
    let text = text_of(option)?;
    let number: i64 = text.parse().map_err(|_| {
        let message = format!("invalid input syntax for type bigint: \"{text}\"");
        at(option, ErrorKind::InvalidTextRepresentation, message)
    })?;
    u64::try_from(number)
        .ok()
        .filter(|limit| *limit > 0)
        .ok_or_else(|| invalid(format!("REJECT_LIMIT ({number}) must be greater than zero")))
}

/// A text that is not empty, for COPY FROM.
fn name_of(option: &RawOption, direction: CopyDirection) -> Result<String, QueryError> {
    only_from(option, direction)?;
    let text = text_of(option)?;
    if text.trim().is_empty() {
        let message = format!("COPY {} must not be empty", option.name.to_uppercase());
        return Err(at(option, ErrorKind::InvalidParameterValue, message));
    }
    Ok(text)
}

fn choice_of(option: &RawOption) -> Result<Option<String>, QueryError> {
    if option.value == RawValue::Absent { Ok(None) } else { text_of(option).map(|text| Some(text.to_lowercase())) }
}

fn only_from(option: &RawOption, direction: CopyDirection) -> Result<(), QueryError> {
    if direction == CopyDirection::From {
        return Ok(());
    }
    let message = format!("COPY {} cannot be used with COPY TO", option.name.to_uppercase());
    Err(at(option, ErrorKind::InvalidParameterValue, message))
}

fn unrecognized(option: &RawOption) -> QueryError {
    let value = text_of(option).unwrap_or_default();
    let message = format!("COPY {} \"{value}\" not recognized", option.name.to_uppercase());
    at(option, ErrorKind::InvalidParameterValue, message)
}

fn at(option: &RawOption, kind: ErrorKind, message: impl Into<String>) -> QueryError {
    QueryError::new(kind, message).position(Some(option.position))
}

fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::new(ErrorKind::InvalidParameterValue, message)
}

fn unsupported(message: impl Into<String>) -> QueryError {
    QueryError::new(ErrorKind::FeatureNotSupported, message)
}
