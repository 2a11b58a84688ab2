//! Whether two answers to a statement are the same, and if not, in which way.

use super::client::Outcome;
use super::listed;
use super::magnitudes::Magnitudes;
use super::statement::Statement;
use super::tree::Mark;
use crate::session::TextRow;
use crate::wire::ColumnDescription;
use std::fmt;

/// The SQLSTATE of what is not supported.
const NOT_SUPPORTED: &str = "0A000";

/// How two answers compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Equal,
    /// Both fail with the same SQLSTATE.
    BothFail,
    /// Meridian says that it does not support this; its message.
    Refused(String),
    /// A difference that POSTGRES.md lists; the rule.
    Listed(&'static str),
    Different(Kind),
}

/// In which way two answers differ. The order is that of how bad it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Meridian does not answer any more.
    ConnectionLost,
    RowCount,
    Value,
    /// PostgreSQL fails, Meridian answers.
    OnlyPostgresFails {
        code: String,
    },
    Type {
        postgres: u32,
        meridian: u32,
    },
    ColumnCount,
    /// Meridian fails, PostgreSQL answers; the message without names and numbers.
    OnlyMeridianFails {
        code: String,
        message: String,
    },
    Modifier,
    Name,
    Code {
        postgres: String,
        meridian: String,
        message: String,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionLost => f.write_str("connection lost"),
            Self::RowCount => f.write_str("number of rows"),
            Self::Value => f.write_str("value"),
            Self::OnlyPostgresFails { code } => write!(f, "only PostgreSQL fails, {code}"),
            Self::Type { postgres, meridian } => write!(f, "type {postgres} is {meridian}"),
            Self::ColumnCount => f.write_str("number of columns"),
            Self::OnlyMeridianFails { code, message } => write!(f, "only Meridian fails, {code}: {message}"),
            Self::Modifier => f.write_str("type modifier"),
            Self::Name => f.write_str("column name"),
            Self::Code { postgres, meridian, message } => write!(f, "SQLSTATE {postgres} is {meridian}: {message}"),
        }
    }
}

impl Kind {
    /// True where one of the servers fails, or both do.
    pub(crate) fn is_of_errors(&self) -> bool {
        matches!(self, Self::OnlyPostgresFails { .. } | Self::OnlyMeridianFails { .. } | Self::Code { .. })
    }

    /// True for kinds that count as the same while a statement is shrunk.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value | Self::RowCount, Self::Value | Self::RowCount) => true,
            (one, other) => one == other,
        }
    }
}

/// Compares two answers. `magnitudes` is the answer to the statement's `magnitude_query`.
pub(crate) fn compare(
    statement: &Statement,
    meridian: &Outcome,
    postgres: &Outcome,
    magnitudes: Option<&Outcome>,
) -> Verdict {
    match (meridian, postgres) {
        (Outcome::Failure(meridian), postgres) => {
            let Some(code) = &meridian.code else { return Verdict::Different(Kind::ConnectionLost) };
            // What is not supported may hide behind an error of PostgreSQL's, and is as honest there.
            if code == NOT_SUPPORTED && postgres.code() != Some(NOT_SUPPORTED) {
                return Verdict::Refused(skeleton(&meridian.message));
            }
            match postgres.code() {
                Some(expected) if expected == code => Verdict::BothFail,
                Some(expected) => Verdict::Different(Kind::Code {
                    postgres: expected.to_string(),
                    meridian: code.clone(),
                    message: skeleton(&meridian.message),
                }),
                None => Verdict::Different(Kind::OnlyMeridianFails {
                    code: code.clone(),
                    message: skeleton(&meridian.message),
                }),
            }
        }
        (Outcome::Rows { .. }, Outcome::Failure(postgres)) => {
            let code = postgres.code.clone().unwrap_or_else(|| "connection lost".into());
            match (0..statement.items.len())
                .map(|item| statement.mark(item))
                .find(|mark| listed::is_failure_listed(&code, *mark))
            {
                Some(mark) => Verdict::Listed(listed::rule_of(mark)),
                None => Verdict::Different(Kind::OnlyPostgresFails { code }),
            }
        }
        (Outcome::Rows { columns, rows }, Outcome::Rows { columns: expected_columns, rows: expected }) => {
            let marks: Vec<Mark> = expected_columns
                .iter()
                .enumerate()
                .map(|(index, column)| listed::mark_of(statement.mark(index), column))
                .collect();
            let magnitudes = magnitudes.map_or_else(Magnitudes::default, |answer| Magnitudes::of(answer, &marks));
            if columns.len() != expected_columns.len() {
                return Verdict::Different(Kind::ColumnCount);
            }
            if rows.len() != expected.len() {
                return Verdict::Different(Kind::RowCount);
            }
            let compared = if statement.is_query {
                let (rows, expected) = (without_signs_of_zero(rows), without_signs_of_zero(expected));
                compare_rows(&rows, &expected, &marks, &magnitudes, statement.ordered)
            } else {
                compare_rows(rows, expected, &marks, &magnitudes, statement.ordered)
            };
            let described = compare_columns(columns, expected_columns, &marks);
            match (compared, described) {
                (Some(kind), _) | (None, Some(kind)) => Verdict::Different(kind),
                (None, None) => marks_used(rows, expected, columns, expected_columns, &marks),
            }
        }
    }
}

/// Equal, or the rule without which the answers would differ.
fn marks_used(
    rows: &[TextRow],
    expected: &[TextRow],
    columns: &[ColumnDescription],
    expected_columns: &[ColumnDescription],
    marks: &[Mark],
) -> Verdict {
    let mark = marks.iter().max().copied().unwrap_or_default();
    let equal = columns == expected_columns && rows == expected;
    if mark == Mark::None || equal { Verdict::Equal } else { Verdict::Listed(listed::rule_of(mark)) }
}

fn compare_rows(
    rows: &[TextRow],
    expected: &[TextRow],
    marks: &[Mark],
    magnitudes: &Magnitudes,
    ordered: bool,
) -> Option<Kind> {
    let mark_of = |column: usize| marks.get(column).copied().unwrap_or_default();
    let (mut rows, mut expected): (Vec<&TextRow>, Vec<&TextRow>) = (rows.iter().collect(), expected.iter().collect());
    if !ordered {
        rows.sort_by_cached_key(|row| sort_key(row, marks));
        expected.sort_by_cached_key(|row| sort_key(row, marks));
    }
    for (row, expected_row) in rows.iter().zip(expected) {
        for (column, (value, expected)) in row.iter().zip(expected_row).enumerate() {
            let magnitude = magnitudes.get(expected_row, column);
            let same = match (value, expected) {
                (Some(value), Some(expected)) => listed::is_same(value, expected, mark_of(column), magnitude),
                (value, expected) => value == expected,
            };
            if !same {
                return Some(Kind::Value);
            }
        }
    }
    None
}

/// Which of 0 and -0 stands for a group, or comes first, is not defined.
fn without_signs_of_zero(rows: &[TextRow]) -> Vec<TextRow> {
    let unsigned = |value: &Option<String>| match value.as_deref() {
        Some("-0") => Some("0".to_string()),
        _ => value.clone(),
    };
    rows.iter().map(|row| row.iter().map(unsigned).collect()).collect()
}

/// Exact columns first; values that may differ a little count with few digits, and last.
fn sort_key(row: &TextRow, marks: &[Mark]) -> (Vec<Option<String>>, Vec<Option<String>>) {
    let mut exact = Vec::new();
    let mut rough = Vec::new();
    for (column, value) in row.iter().enumerate() {
        if marks.get(column).copied().unwrap_or_default() == Mark::None {
            exact.push(value.clone());
        } else {
            let number = value.as_ref().map(|text| text.parse::<f64>().map_or(text.clone(), |n| format!("{n:.6e}")));
            rough.push(number);
        }
    }
    (exact, rough)
}

fn compare_columns(columns: &[ColumnDescription], expected: &[ColumnDescription], marks: &[Mark]) -> Option<Kind> {
    for (index, (column, expected)) in columns.iter().zip(expected).enumerate() {
        let mark = marks.get(index).copied().unwrap_or_default();
        if column.type_oid != expected.type_oid && !listed::is_type_listed(column, expected, mark) {
            return Some(Kind::Type { postgres: expected.type_oid, meridian: column.type_oid });
        }
    }
    for (column, expected) in columns.iter().zip(expected) {
        if column.type_oid == expected.type_oid && column.type_modifier != expected.type_modifier {
            return Some(Kind::Modifier);
        }
    }
    columns.iter().zip(expected).any(|(column, expected)| column.name != expected.name).then_some(Kind::Name)
}

/// A message without what is quoted in it and without its numbers.
pub(crate) fn skeleton(message: &str) -> String {
    let mut text = String::new();
    let mut quoted = false;
    for c in message.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                text.push(c);
            }
            _ if quoted => {}
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            '\n' => break,
            c => text.push(c),
        }
    }
    text.chars().take(110).collect()
}
