//! PostgreSQL beside the server: the same statements over plain views, and what each view must hold.
//!
//! Rows are compared as text, numbers by value to fifteen digits: how many an average shows is another
//! test's business.

use super::executor::Finding;
use super::step::{Action, Step};
use crate::dialect;
use crate::session::{Answer, Failure, Session, TextRow};
use crate::view_check::{self, What};
use anyhow::{Context, Result};

/// How many decimals of a number count.
const DECIMALS: usize = 12;
/// How many digits of a number count: PostgreSQL gives at least one more of any quotient.
const SIGNIFICANT_DIGITS: usize = 15;

/// A connection to PostgreSQL.
pub(crate) struct Mirror {
    session: Session,
}

impl Mirror {
    /// Connects and empties the database.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let config = url.parse().context("MERIDIAN_ORACLE_POSTGRES is no connection string")?;
        let session = Session::connect_with(&config).await?;
        session.run("SET client_min_messages = error; SET TimeZone = 'UTC'").await?;
        session.empty_postgres().await?;
        Ok(Self { session })
    }

    /// Rolls back what a restart of the server has rolled back there.
    pub(crate) async fn roll_back(&self) {
        // It only warns when there is no transaction.
        let _ = self.session.run("ROLLBACK").await;
    }

    /// Runs the step's text and compares success, SQLSTATE and the number of rows.
    pub(crate) async fn run(&self, step: &Step, sql: &str, ours: &Result<Answer, Failure>) -> Result<(), Finding> {
        let Some(translated) = dialect::for_postgres(sql) else { return Ok(()) };
        let theirs = self.session.run(&translated).await;
        let agree = match (ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                let changes_rows =
                    matches!(step.action, Action::Statement(_) | Action::Insert { .. } | Action::Copy { .. });
                !changes_rows || ours.count() == theirs.count()
            }
            (Err(ours), Err(theirs)) => ours.code == theirs.code,
            // A plain view is not computed when it is created, so that an error shows only when it is read.
            (Err(_), Ok(_)) if matches!(step.action, Action::CreateView { .. }) => {
                self.forget_view(step).await;
                true
            }
            _ => false,
        };
        if agree {
            return Ok(());
        }
        let explanation = format!("meridian: {}\npostgres: {}", outcome(ours), outcome(&theirs));
        Err(Finding::MirrorDiffers { what: sql.to_string(), explanation })
    }

    async fn forget_view(&self, step: &Step) {
        if let Action::CreateView { name, .. } = &step.action {
            // Inside a transaction that has failed on our side the next statement is a ROLLBACK for both.
            let _ = self.session.run(&format!("DROP VIEW {name}")).await;
        }
    }

    /// Compares what a relation holds here and there.
    pub(crate) async fn compare(&self, relation: &str, ours: &Session) -> Result<(), Finding> {
        let sql = format!("SELECT * FROM {relation}");
        let differs = |explanation| Finding::MirrorDiffers { what: sql.clone(), explanation };
        match (ours.rows(&sql).await, self.session.rows(&sql).await) {
            (Ok(ours), Ok(theirs)) => match view_check::difference(&normalised(ours), &normalised(theirs)) {
                None => Ok(()),
                Some(What::Rows { only_in_view, only_in_query }) => Err(differs(format!(
                    "only in meridian: {}\nonly in postgres: {}",
                    only_in_view.join(" "),
                    only_in_query.join(" ")
                ))),
                Some(other) => Err(differs(format!("{other:?}"))),
            },
            (Err(ours), Err(theirs)) if ours.code == theirs.code => Ok(()),
            // Tables do not exist at both ends of an episode.
            (ours, theirs) => {
                let said =
                    |rows: Result<Vec<TextRow>, Failure>| rows.map(|rows| Answer::Done { count: rows.len() as u64 });
                let explanation = format!("meridian: {}\npostgres: {}", outcome(&said(ours)), outcome(&said(theirs)));
                Err(differs(explanation))
            }
        }
    }
}

fn outcome(answer: &Result<Answer, Failure>) -> String {
    match answer {
        Ok(answer) => format!("{} rows", answer.count()),
        Err(failure) => failure.to_string(),
    }
}

fn normalised(rows: Vec<TextRow>) -> Vec<TextRow> {
    let cell = |value: Option<String>| value.map(|text| normalised_number(&text).unwrap_or(text));
    rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect()
}

/// A number, rounded to digits that PostgreSQL gives of any quotient, without trailing zeros.
fn normalised_number(text: &str) -> Option<String> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(decimals) {
        return None;
    }
    let digits = format!("{whole}{decimals}");
    let kept = SIGNIFICANT_DIGITS.min(whole.len() + DECIMALS).min(digits.len());
    let rounds_up = digits.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5');
    let rounded = digits[..kept].parse::<u128>().ok()? + u128::from(rounds_up);
    let rounded = format!("{rounded:0>kept$}{}", "0".repeat(digits.len() - kept));
    let (whole, decimals) = rounded.split_at(rounded.len() - decimals.len());
    let decimals = decimals.trim_end_matches('0');
    Some(if decimals.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals}") })
}

#[cfg(test)]
mod tests {
    use super::normalised_number;

    #[test]
    fn digits_that_no_quotient_has_do_not_count() {
        assert_eq!(normalised_number("562500000000000000.125").as_deref(), Some("562500000000000000"));
        assert_eq!(normalised_number("-6000000000000000002.6666666666666667").as_deref(), Some("-6000000000000000000"));
        assert_eq!(normalised_number("99999999999999999.5").as_deref(), Some("100000000000000000"));
        assert_eq!(normalised_number("0.0999999999999999").as_deref(), Some("0.1"));
        assert_eq!(normalised_number("1.5000000000000000").as_deref(), Some("1.5"));
        assert_eq!(normalised_number("-2.00").as_deref(), Some("-2"));
        assert_eq!(normalised_number("3600000000000000002").as_deref(), Some("3600000000000000000"));
        assert_eq!(normalised_number("007").as_deref(), Some("007"));
        assert_eq!(normalised_number("2025-01-31 23:59:59.999999"), None);
    }
}
