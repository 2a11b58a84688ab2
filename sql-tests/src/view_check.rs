//! Law 3 as a client sees it: a materialized view equals its own query.
//!
//! Both are read in the same session and compared twice: here, as bags of rows in text form, and in the server with
//! `(view EXCEPT ALL query) UNION ALL (query EXCEPT ALL view)`. Where the query fails, the view must fail alike.

use crate::session::{Failure, Session, TextRow, TransactionStatus};
use std::collections::BTreeMap;
use std::fmt;

/// How many rows of a difference are shown.
const SHOWN_ROWS_MAX: usize = 10;
/// A read inside a transaction that has already failed says nothing about views.
const IN_FAILED_TRANSACTION: &str = "25P02";
/// What reading a view without data answers.
const NOT_POPULATED: &str = "55000";

/// A view and the query that it must equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub name: String,
    pub query: String,
}

impl View {
    fn differs(&self, what: What) -> Difference {
        Difference { view: self.name.clone(), query: self.query.clone(), what }
    }
}

/// How a view differs from its query.
#[derive(Clone, Debug)]
pub struct Difference {
    pub view: String,
    pub query: String,
    pub what: What,
}

/// The kinds of difference.
#[derive(Clone, Debug)]
pub enum What {
    /// Rows that only the view or only the query has.
    Rows { only_in_view: Vec<String>, only_in_query: Vec<String> },
    /// One of both failed, or both did with different codes; `None` for the one that did not.
    Failures { view: Option<Box<Failure>>, query: Option<Box<Failure>> },
    /// The rows are the same here, but the server's EXCEPT ALL sees a difference, or fails.
    ExceptAll { answer: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "view {} differs from its query: {}", self.view, self.query)?;
        match &self.what {
            What::Rows { only_in_view, only_in_query } => {
                write_rows(f, "only in the view", only_in_view)?;
                write_rows(f, "only in the query", only_in_query)
            }
            What::Failures { view, query } => {
                let said = |failure: &Option<Box<Failure>>| {
                    failure.as_ref().map_or_else(|| "no error".to_string(), ToString::to_string)
                };
                writeln!(f, "  the view answers: {}\n  the query answers: {}", said(view), said(query))
            }
            What::ExceptAll { answer } => {
                writeln!(f, "  the rows are equal, but EXCEPT ALL in both directions answers: {answer}")
            }
        }
    }
}

fn write_rows(f: &mut fmt::Formatter<'_>, title: &str, rows: &[String]) -> fmt::Result {
    writeln!(f, "  {title}: {} rows", rows.len())?;
    for row in rows.iter().take(SHOWN_ROWS_MAX) {
        writeln!(f, "    {row}")?;
    }
    Ok(())
}

/// All materialized views that the server knows, with their bound queries.
pub async fn known_views(session: &Session) -> Result<Vec<View>, Failure> {
    let rows = session.rows("SELECT schema, name, definition FROM meridian.views ORDER BY 1, 2").await?;
    let mut views = Vec::new();
    for row in rows {
        if let [Some(schema), Some(name), Some(query)] = row.as_slice() {
            let query = query.trim().trim_end_matches(';').to_string();
            views.push(View { name: format!("{}.{}", quoted(schema), quoted(name)), query });
        }
    }
    Ok(views)
}

/// Compares one view with its query; `None` when they are equal or when the session's transaction has failed.
pub async fn compare(session: &Session, view: &View) -> Result<Option<Difference>, Failure> {
    match compare_rows(session, view).await? {
        Compared::Equal => Ok(except_all(session, view).await.map(|what| view.differs(what))),
        Compared::Unreadable => Ok(None),
        Compared::Different(difference) => Ok(Some(difference)),
    }
}

/// What comparing the rows came to.
pub enum Compared {
    Equal,
    /// Both failed alike, or nothing can be read in this transaction.
    Unreadable,
    Different(Difference),
}

/// The first half of [`compare`]: the rows as text, here.
pub async fn compare_rows(session: &Session, view: &View) -> Result<Compared, Failure> {
    let differs = |what| Ok(Compared::Different(view.differs(what)));
    let from_view = session.rows(&format!("SELECT * FROM {}", view.name)).await;
    let from_query = match &from_view {
        Err(failure) if failure.is_connection_loss() => return Err(failure.clone()),
        Err(failure) if failure.has_code(IN_FAILED_TRANSACTION) || failure.has_code(NOT_POPULATED) => {
            return Ok(Compared::Unreadable);
        }
        // An error aborts an open transaction; the query could not answer any more, and need not.
        Err(failure) if session.transaction_status().await == TransactionStatus::Failed => {
            return differs(What::Failures { view: Some(Box::new(failure.clone())), query: None });
        }
        _ => session.rows(&view.query).await,
    };
    match (from_view, from_query) {
        (Ok(view_rows), Ok(query_rows)) => match difference(&view_rows, &query_rows) {
            Some(what) => differs(what),
            None => Ok(Compared::Equal),
        },
        (_, Err(failure)) if failure.is_connection_loss() => Err(failure),
        (Err(view), Err(query)) if view.code == query.code => Ok(Compared::Unreadable),
        (from_view, from_query) => {
            differs(What::Failures { view: from_view.err().map(Box::new), query: from_query.err().map(Box::new) })
        }
    }
}

/// Compares the rows of a view that have one of the values in its first column, for which the server may follow the changes of few
/// groups alone. What cannot be asked for, as a value of a type without `=`, is no difference.
pub async fn compare_few(session: &Session, view: &View) -> Result<Option<Difference>, Failure> {
    let readable = |rows: Result<Vec<TextRow>, Failure>| match rows {
        Err(failure) if failure.is_connection_loss() => Err(failure),
        rows => Ok(rows.ok()),
    };
    let Some(query_rows) = readable(session.rows(&view.query).await)? else { return Ok(None) };
    let Some(asked) = asked_value(&query_rows) else { return Ok(None) };
    let few = format!("SELECT * FROM {} AS few (asked) WHERE asked = '{asked}'", view.name);
    let Some(view_rows) = readable(session.rows(&few).await)? else { return Ok(None) };
    let of_value = |row: &TextRow| row.first().and_then(Option::as_deref).is_some_and(|value| is_equal(value, &asked));
    let expected: Vec<TextRow> = query_rows.into_iter().filter(of_value).collect();
    Ok(difference(&view_rows, &expected).map(|what| view.differs(what)))
}

/// A value in the first column whose equal ones are written alike.
fn asked_value(rows: &[TextRow]) -> Option<String> {
    let value = rows.get(rows.len() / 2)?.first()?.clone()?;
    let is_plain = value.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    (is_plain && value != "-0").then_some(value)
}

/// Whether values are equal, of which one is plain: zeros of two signs are.
fn is_equal(value: &str, plain: &str) -> bool {
    value == plain || (value == "-0" && plain == "0")
}

/// The first difference of any view that exists, found by asking the server for the views.
pub async fn first_difference(session: &Session) -> Result<Option<Difference>, Failure> {
    let views = match known_views(session).await {
        Err(failure) if failure.has_code(IN_FAILED_TRANSACTION) => return Ok(None),
        views => views?,
    };
    for view in &views {
        if let Some(difference) = compare(session, view).await? {
            return Ok(Some(difference));
        }
    }
    Ok(None)
}

/// Asks the server itself for the rows in which the two differ.
async fn except_all(session: &Session, view: &View) -> Option<What> {
    let View { name, query } = view;
    let statement = format!(
        "SELECT count(*) FROM ((SELECT * FROM {name} EXCEPT ALL ({query})) UNION ALL (({query}) EXCEPT ALL \
         SELECT * FROM {name})) AS difference"
    );
    match session.value(&statement).await {
        Ok(Some(count)) if count == "0" => None,
        Ok(count) => Some(What::ExceptAll { answer: format!("{} rows", count.unwrap_or_default()) }),
        Err(failure) => Some(What::ExceptAll { answer: failure.to_string() }),
    }
}

/// The difference of two bags of rows.
pub fn difference(view: &[TextRow], query: &[TextRow]) -> Option<What> {
    let mut counts: BTreeMap<&TextRow, i64> = BTreeMap::new();
    for row in view {
        *counts.entry(row).or_default() += 1;
    }
    for row in query {
        *counts.entry(row).or_default() -= 1;
    }
    let only = |sign: i64| -> Vec<String> {
        let surplus = counts.iter().filter(|(_, count)| **count * sign > 0);
        surplus.flat_map(|(row, count)| std::iter::repeat_n(shown(row), count.unsigned_abs() as usize)).collect()
    };
    let (only_in_view, only_in_query) = (only(1), only(-1));
    let equal = only_in_view.is_empty() && only_in_query.is_empty();
    if equal { None } else { Some(What::Rows { only_in_view, only_in_query }) }
}

fn shown(row: &TextRow) -> String {
    let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
    format!("({})", values.join(", "))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::{What, difference};

    #[test]
    fn bags_differ_in_how_often_a_row_is_there() {
        let row = |text: &str| vec![Some(text.to_string()), None];
        assert!(difference(&[row("a"), row("b")], &[row("b"), row("a")]).is_none());
        let found = difference(&[row("a"), row("a")], &[row("a"), row("b")]);
        let Some(What::Rows { only_in_view, only_in_query }) = found else { panic!("no difference was found") };
        assert_eq!((only_in_view, only_in_query), (vec!["(a, NULL)".into()], vec!["(b, NULL)".into()]));
    }
}
