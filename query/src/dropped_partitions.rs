//! ALTER TABLE … DROP PARTITION: a DELETE of whole partitions, which are named by the values of the columns that a table is
//! partitioned by.
//!
//!     DROP PARTITION (region = 'EMEA', month < '2024-01')
//!       ▶  DELETE … WHERE region = 'EMEA' AND sold < DATE '2024-01-01'
//!
//! Such a predicate is settled by what the snapshot knows of segments, so no file of theirs is read (`whole_segments`), and views
//! hear of it as of every other DELETE.

use crate::definitions::{done, identifier};
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::insert::writable_table;
use crate::modify;
use crate::pg_catalog::partition_expression;
use crate::prepared::Prepared;
use crate::response::{CommandTag, Response};
use crate::session::Session;
use crate::statement::StatementKind;
use crate::statement_grammar::fold;
use catalog::definition::{Column, PartitionColumn, TableDefinition, Transform};
use catalog::sql_type::SqlType;
use chrono::{Datelike, Months, NaiveDate};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, Value};

/// Runs it. The rows that went are told in a notice.
pub(crate) async fn run(
    session: &mut Session,
    name: &ast::ObjectName,
    conditions: &[Expr],
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let table = writable_table(&planning, name)?;
    if table.partition_by.is_empty() {
        let message = format!("table \"{}\" is not partitioned", table.name.name);
        return Err(QueryError::new(ErrorKind::WrongObjectType, message));
    }
    let wanted = conditions.iter().map(|condition| predicate(&table, condition)).collect::<Result<Vec<_>, _>>()?;
    let text = format!("DELETE FROM {name} WHERE {}", wanted.join(" AND "));
    let deletion = crate::statement::parse(&text)?.into_iter().next();
    let Some((deletion, StatementKind::Modify(modification))) = deletion.map(|one| (one.clone(), one.kind)) else {
        return Err(QueryError::new(ErrorKind::Internal, "a deletion was not parsed as one"));
    };
    // Places in the text are those of the DELETE, which nobody has written.
    let elsewhere = |error: QueryError| error.position(None);
    let prepared = Prepared::plan(session, &deletion, &[]).await.map_err(elsewhere)?;
    let response = modify::run(session, &modification, &deletion, &prepared, &[]).await.map_err(elsewhere)?;
    let told = match response {
        Response::Command(CommandTag::Rows(_, 1)) => "dropped 1 row".to_string(),
        Response::Command(CommandTag::Rows(_, rows)) if rows > 0 => format!("dropped {rows} rows"),
        _ => "no row is in such a partition".to_string(),
    };
    session.notice(NoticeSeverity::Notice, told);
    Ok(done("ALTER TABLE"))
}

fn unclear(table: &TableDefinition, condition: &Expr) -> QueryError {
    QueryError::new(ErrorKind::InvalidParameterValue, format!("partitions cannot be told by {condition}"))
        .detail(format!("The table is partitioned by {}.", partition_expression(table)))
        .hint("Compare what it is partitioned by with constants, such as (region = 'EMEA', month < '2024-01').")
}

/// A condition as a predicate over the table's columns that no partition satisfies in part.
fn predicate(table: &TableDefinition, condition: &Expr) -> Result<String, QueryError> {
    let failed = || unclear(table, condition);
    match condition {
        Expr::Nested(inner) => predicate(table, inner),
        Expr::IsNull(name) => {
            let (column, _) = item(table, name).ok_or_else(failed)?;
            Ok(format!("{} IS NULL", identifier(&column.name)))
        }
        Expr::InList { expr, list, negated: false } => {
            let (column, transform) = item(table, expr).ok_or_else(failed)?;
            let each = list.iter().map(|value| comparison(column, transform, &BinaryOperator::Eq, value));
            let each = each.collect::<Option<Vec<_>>>().ok_or_else(failed)?;
            Ok(format!("({})", each.join(" OR ")))
        }
        Expr::BinaryOp { left, op, right } => {
            let (column, transform) = item(table, left).ok_or_else(failed)?;
            comparison(column, transform, op, right).ok_or_else(failed)
        }
        _ => Err(failed()),
    }
}

/// What the table is partitioned by under a name: a column's, or `day`, `month`, `quarter`, `year` where it is that of one.
fn item<'a>(table: &'a TableDefinition, name: &Expr) -> Option<(&'a Column, Transform)> {
    let Expr::Identifier(name) = name else { return None };
    let name = fold(name);
    let column_of = |item: &PartitionColumn| table.column(item.column).map(|column| (column, item.transform));
    let by_column = table.partition_by.iter().filter_map(column_of).find(|(column, _)| column.name == name);
    let transform = match name.as_str() {
        "day" => Transform::Day,
        "month" => Transform::Month,
        "quarter" => Transform::Quarter,
        "year" => Transform::Year,
        _ => return by_column,
    };
    let by_word = || match table.partition_by.iter().filter(|item| item.transform == transform).collect::<Vec<_>>()[..]
    {
        [only] => column_of(only),
        _ => None,
    };
    by_column.or_else(by_word)
}

/// A comparison with a constant; `None` where it is none, or says something else than whole partitions.
fn comparison(column: &Column, transform: Transform, operator: &BinaryOperator, value: &Expr) -> Option<String> {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq};
    let name = identifier(&column.name);
    if !matches!(operator, Eq | Gt | GtEq | Lt | LtEq) || !matches!(value, Expr::Value(_) | Expr::TypedString { .. }) {
        return None;
    }
    if transform == Transform::Identity {
        return Some(format!("{name} {operator} {value}"));
    }
    let text = match value {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.clone(),
            other => other.clone().into_string()?,
        },
        Expr::TypedString(typed) => typed.value.value.clone().into_string()?,
        _ => return None,
    };
    let (first, next) = period(&text, transform)?;
    let (first, next) = (instant(first, &column.sql_type), instant(next, &column.sql_type));
    Some(match operator {
        Lt => format!("{name} < {first}"),
        LtEq => format!("{name} < {next}"),
        Gt => format!("{name} >= {next}"),
        GtEq => format!("{name} >= {first}"),
        _ => format!("({name} >= {first} AND {name} < {next})"),
    })
}

/// The first day of a period, and of the one after it: `2024`, `2024-Q1`, `2024-01` or `2024-01-31`, or a day inside of it.
pub(crate) fn period(text: &str, transform: Transform) -> Option<(NaiveDate, NaiveDate)> {
    let mut parts = text.trim().split('-');
    let year: i32 = parts.next()?.parse().ok()?;
    let month = parts.next();
    let day = parts.next();
    let (month, finest) = match month {
        None => (1, Transform::Year),
        Some(quarter) if quarter.starts_with(['q', 'Q']) => {
            let quarter: u32 = quarter[1..].parse().ok().filter(|quarter| (1..=4).contains(quarter))?;
            (quarter * 3 - 2, Transform::Quarter)
        }
        Some(month) => (month.parse().ok()?, if day.is_some() { Transform::Day } else { Transform::Month }),
    };
    let day = match day {
        Some(day) if finest == Transform::Day && parts.next().is_none() => day.parse().ok()?,
        Some(_) => return None,
        None => 1,
    };
    let date = NaiveDate::from_ymd_opt(year, month, day)?;
    // A text that says less than a partition does not name one.
    if rank(finest) < rank(transform) {
        return None;
    }
    let (first, months) = match transform {
        Transform::Year => (date.with_day(1)?.with_month(1)?, 12),
        Transform::Quarter => (date.with_day(1)?.with_month(date.month0() / 3 * 3 + 1)?, 3),
        Transform::Month => (date.with_day(1)?, 1),
        Transform::Day => return Some((date, date.succ_opt()?)),
        Transform::Identity => return None,
    };
    Some((first, first.checked_add_months(Months::new(months))?))
}

fn rank(transform: Transform) -> u8 {
    match transform {
        Transform::Year => 1,
        Transform::Quarter => 2,
        Transform::Month => 3,
        Transform::Day | Transform::Identity => 4,
    }
}

/// The beginning of a day as partitions see it, which is in UTC.
pub(crate) fn instant(day: NaiveDate, sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::TimestampTz => format!("TIMESTAMP WITH TIME ZONE '{day} 00:00:00+00'"),
        SqlType::Timestamp => format!("TIMESTAMP '{day}'"),
        _ => format!("DATE '{day}'"),
    }
}
