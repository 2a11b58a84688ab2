//! Answers, and when two of them are the same.

use std::time::Duration;

/// The rows that a query gave, each value as text, NULL as none.
pub(crate) struct Answer {
    pub(crate) took: Duration,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl Answer {
    /// The first value of the first row.
    pub(crate) fn single(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }

    /// One line for each row, sorted, in a form that does not depend on the system.
    pub(crate) fn canonical(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|value| canonical_value(value.as_deref())).collect::<Vec<_>>().join(" | "))
            .collect();
        lines.sort_unstable();
        lines
    }
}

/// Nothing where the answers agree, otherwise what to tell about them.
pub(crate) fn difference(left: &[String], right: &[String]) -> Option<String> {
    if left == right {
        return None;
    }
    let pair = left.iter().zip(right).find(|(left, right)| left != right);
    Some(match pair {
        Some((left, right)) => format!("{left:?} against {right:?}"),
        None => format!("{} rows against {}", left.len(), right.len()),
    })
}

fn canonical_value(value: Option<&str>) -> String {
    let Some(text) = value else { return "NULL".to_owned() };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_decimal = digits.contains('.') && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_decimal { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
