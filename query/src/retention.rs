//! Retention by age: partitions that go by themselves when they are old enough.
//!
//!     WITH (retention = '24 months')  ▶  every minute: DELETE FROM sales WHERE sale_date < DATE '2024-03-01'
//!
//! Only whole partitions go: the first period that has a younger day stays. The deletion is an ordinary commit of whole segments
//! (see `whole_segments`), so views hear of it as of every other DELETE. Rows without a date stay. Days are those of UTC, as in
//! partitions.

use crate::background_tasks::TaskKind;
use crate::definitions::identifier;
use crate::dropped_partitions::{Period, instant};
use crate::engine::{ConnectOptions, DATABASE, Engine, now_micros};
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::response::{CommandTag, Response};
use crate::types::{ColumnDecoder, OutputStyle, value_text};
use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{Date32Type, IntervalMonthDayNano, IntervalMonthDayNanoType};
use catalog::definition::{Column, Retention, TableDefinition, Transform};
use catalog::segment::Datum;
use catalog::snapshot::{Snapshot, TableVersion};
use catalog::sql_type::SqlType;
use chrono::{DateTime, Days, Months, NaiveDate, NaiveTime};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const USER: &str = "meridian";

/// The value of the table option for a table that is otherwise defined.
pub(crate) fn option(definition: &TableDefinition, text: &str) -> Result<Retention, QueryError> {
    let decoded = ColumnDecoder::new(SqlType::Interval, OutputStyle::default()).decode([Some(text)].into_iter());
    let invalid = || {
        let message = format!("invalid value for parameter \"retention\": \"{text}\"");
        QueryError::new(ErrorKind::InvalidParameterValue, message)
            .hint("Give whole days, months or years, as in '24 months'.")
    };
    let age = decoded.map_err(|_| invalid())?.as_primitive::<IntervalMonthDayNanoType>().value(0);
    let (Ok(months), Ok(days)) = (u32::try_from(age.months), u32::try_from(age.days)) else { return Err(invalid()) };
    if age.nanoseconds != 0 || (months, days) == (0, 0) {
        return Err(invalid());
    }
    if dated(definition).is_none() {
        let message = format!("table \"{}\" is not partitioned by a date", definition.name.name);
        let error = QueryError::new(ErrorKind::InvalidTableDefinition, message);
        return Err(error.hint("Retention drops whole partitions: use PARTITION BY (month(a_date_column))."));
    }
    Ok(Retention { months, days })
}

/// The age as PostgreSQL shows an interval.
pub(crate) fn shown(retention: Retention) -> String {
    let age = IntervalMonthDayNano::new(retention.months as i32, retention.days as i32, 0);
    let value: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![age]));
    value_text(&value, 0, &SqlType::Interval, &OutputStyle::default()).unwrap_or_default()
}

/// What is said when a retention is set.
pub(crate) fn notice(snapshot: &Snapshot, definition: &TableDefinition) -> Option<Notice> {
    let (retention, (column, transform)) = (definition.retention?, dated(definition)?);
    let grain = match transform {
        Transform::Day | Transform::Identity => "day",
        Transform::Month => "month",
        Transform::Quarter => "quarter",
        Transform::Year => "year",
    };
    let message = format!(
        "rows of table \"{}\" are dropped when they are older than {}, a whole {grain} of \"{}\" at a time",
        definition.name.name,
        shown(retention),
        column.name
    );
    let mut views: Vec<&str> =
        snapshot.dependents(definition.id).map(|view| view.definition.name.name.as_str()).collect();
    views.sort_unstable();
    let detail = (!views.is_empty()).then(|| format!("They go from the views over it too: {}.", views.join(", ")));
    Some(Notice { severity: NoticeSeverity::Notice, kind: None, message, detail, hint: None })
}

/// The first partition column that is a date.
fn dated(definition: &TableDefinition) -> Option<(&Column, Transform)> {
    let items = definition.partition_by.iter();
    let mut columns = items.filter_map(|item| Some((definition.column(item.column)?, item.transform)));
    columns.find(|(column, transform)| *transform != Transform::Identity || column.sql_type == SqlType::Date)
}

/// The first day that stays on a day; `None` where that is before the calendar.
fn boundary(retention: Retention, transform: Transform, today: NaiveDate) -> Option<NaiveDate> {
    let oldest = today.checked_sub_months(Months::new(retention.months))?;
    let oldest = oldest.checked_sub_days(Days::new(retention.days.into()))?;
    match transform {
        Transform::Identity => Some(oldest),
        _ => Period::of(oldest, transform).map(|period| period.first),
    }
}

/// The predicate of the rows to drop, if a whole segment of them is there. Recent rows wait until they are in segments.
fn due(version: &TableVersion, today: NaiveDate) -> Option<String> {
    let definition = &version.definition;
    let (column, transform) = dated(definition)?;
    let first_kept = boundary(definition.retention?, transform, today)?;
    let limit = match column.sql_type {
        SqlType::Date => i64::from(Date32Type::from_naive_date(first_kept)),
        _ => first_kept.and_time(NaiveTime::MIN).and_utc().timestamp_micros(),
    };
    let is_old = |bound: &Datum| matches!(bound, Datum::Int(value) if *value < limit);
    let mut bounds = version.segments.values().filter_map(|segment| {
        let statistics = segment.meta.statistics.iter().find(|statistics| statistics.column == column.id)?;
        statistics.bounds.as_ref()
    });
    let found = bounds.any(|(_, greatest)| is_old(greatest));
    found.then(|| format!("{} < {}", identifier(&column.name), instant(first_kept, &column.sql_type)))
}

/// Whether some table has rows to drop.
pub(crate) fn is_due(snapshot: &Snapshot) -> bool {
    let Some(today) = today() else { return false };
    snapshot.tables.values().any(|version| due(version, today).is_some())
}

fn today() -> Option<NaiveDate> {
    DateTime::from_timestamp_micros(now_micros()).map(|now| now.date_naive())
}

/// Drops what is too old in all tables.
pub(crate) async fn drop_old_rows(engine: &Arc<Engine>) {
    let (snapshot, Some(today)) = (engine.catalog.snapshot(), today()) else { return };
    for version in snapshot.tables.values() {
        let Some(predicate) = due(version, today) else { continue };
        let (table, name) = (version.definition.id, &version.definition.name);
        let task = engine.background.tasks().begin(TaskKind::Retention, Some(table));
        let text = format!("DELETE FROM {}.{} WHERE {predicate}", identifier(&name.schema), identifier(&name.name));
        match run(engine, &text).await {
            Ok(rows) => {
                task.end(Some(rows), None, None);
                tracing::info!(table = %name, predicate, rows, "dropped rows that are older than the retention");
            }
            Err(error) => {
                task.end(None, None, Some(error.to_string()));
                tracing::warn!(table = %name, %error, "rows that are older than the retention could not be dropped");
            }
        }
    }
}

/// Runs a deletion like a client's; gives how many rows went.
async fn run(engine: &Arc<Engine>, text: &str) -> Result<u64, QueryError> {
    let mut session = engine.connect(ConnectOptions {
        user: USER.into(),
        database: DATABASE.into(),
        process_id: 0,
        settings: vec![("application_name".into(), "retention".into())],
        ends: None,
        farewell: CancellationToken::new(),
    })?;
    let mut deleted = 0;
    for statement in session.parse(text)? {
        session.statement_started(text);
        let prepared = session.prepare(&statement, &[]).await?;
        if let Response::Command(CommandTag::Rows(_, rows)) = session.execute(&prepared, Vec::new(), true).await? {
            deleted += rows;
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests;
