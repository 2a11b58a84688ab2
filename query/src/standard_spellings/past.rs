//! `sales FOR SYSTEM_TIME AS OF x`: a table or view as it was.
//!
//! The time is computed before the query is planned. The snapshot of that time joins the planning, and the relation gets a name
//! under which [`Planning`] finds it there. Its columns are those that it had then.

use super::constants::constant;
use super::trees::quoted;
use super::windows::Context;
use crate::engine::now_micros;
use crate::error::{ErrorKind, QueryError};
use crate::execution::blocking;
use crate::pg_catalog;
use crate::planner::Planning;
use crate::query_places::place_of;
use crate::statement_grammar::fold;
use crate::types::{self, Zone};
use catalog::archive::PastError;
use catalog::snapshot::{Relation, Snapshot};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, ObjectName, ObjectNamePart, Spanned, TableAlias, TableFactor, TableVersion, TimezoneInfo,
};
use std::sync::Arc;

const CLAUSE: &str = "FOR SYSTEM_TIME";

/// Replaces a table as it was.
pub(super) fn spelt_out(factor: &TableFactor, context: Context<'_>) -> Result<Option<TableFactor>, QueryError> {
    let TableFactor::Table { name, alias, version: Some(TableVersion::ForSystemTimeAsOf(time)), .. } = factor else {
        return Ok(None);
    };
    let planning = context.planning;
    if planning.defines_view() {
        let error = QueryError::unsupported(format!("{CLAUSE} in the definition of a view"));
        return Err(error.hint("Say it where the view is read: a view is what its query was then."));
    }
    let micros = instant(time, context)?;
    let placed = |error: QueryError| match context.statement {
        Some(statement) if error.position.is_none() => error.position(place_of(statement, time)),
        _ => error,
    };
    let snapshot = snapshot_at(planning, micros).map_err(placed)?;
    let then = planning.at(Arc::clone(&snapshot));
    let object = then.object_name(name)?;
    match snapshot.relation(&object) {
        Some(Relation::Table(_) | Relation::View(_)) => {}
        Some(Relation::Sequence(_)) => {
            let message = format!("{CLAUSE} is for tables and views, \"{}\" is a sequence", object.name);
            return Err(QueryError::new(ErrorKind::WrongObjectType, message));
        }
        None => {
            let place = context.statement.and_then(|statement| statement.place_of(name.span()));
            return Err(absent(planning, name, micros).position(place));
        }
    }
    planning.add_past(Arc::clone(&snapshot));
    let mut spelt = factor.clone();
    if let TableFactor::Table { name, alias: shown, version, .. } = &mut spelt {
        *version = None;
        let own = || TableAlias { explicit: true, name: quoted(&object.name), columns: Vec::new(), at: None };
        *shown = Some(alias.clone().unwrap_or_else(own));
        *name = ObjectName(vec![
            ObjectNamePart::Identifier(quoted(&object.schema)),
            ObjectNamePart::Identifier(quoted(&Planning::past_name(&object.name, snapshot.seq))),
        ]);
    }
    Ok(Some(spelt))
}

/// The time that an expression without columns gives, in microseconds since 1970.
fn instant(time: &Expr, context: Context<'_>) -> Result<i64, QueryError> {
    let cast = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(time.clone()),
        data_type: DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        array: false,
        format: None,
    };
    match constant(&cast, CLAUSE, context)? {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => Ok(micros),
        _ => {
            let error =
                QueryError::new(ErrorKind::NullNotAllowed, format!("the time of {CLAUSE} AS OF cannot be null"));
            Err(error.position(context.statement.and_then(|statement| place_of(statement, time))))
        }
    }
}

fn snapshot_at(planning: &Planning, micros: i64) -> Result<Arc<Snapshot>, QueryError> {
    if micros > now_micros() {
        let message = format!("time {} is in the future", time_text(planning, micros));
        return Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
    }
    let replayed = || planning.engine.catalog.snapshot_at(micros, &|| planning.token.is_cancelled());
    blocking(replayed).map_err(|error| match error {
        PastError::Cancelled => planning.token.error(),
        PastError::TooEarly { earliest_micros } => {
            let message = format!("time {} is before the history that is kept", time_text(planning, micros));
            let hint = "The setting meridian.history_retention says how far back the server keeps it. Backups may \
                        reach further: see meridian restore --to-time.";
            QueryError::new(ErrorKind::SnapshotTooOld, message).detail(earliest(planning, earliest_micros)).hint(hint)
        }
        PastError::Damaged(reason) => {
            let message = format!("the history cannot be read: {reason}");
            let hint = "The present is not concerned. A backup may have that time: see meridian restore --to-time.";
            QueryError::new(ErrorKind::DataCorrupted, message).hint(hint)
        }
        PastError::File(error) => QueryError::new(ErrorKind::IoError, format!("the history cannot be read: {error}")),
    })
}

/// A relation that was not there yet, or not any more.
fn absent(planning: &Planning, name: &ObjectName, micros: i64) -> QueryError {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    let (schema, last) = match parts.as_slice() {
        [.., schema, name] => (schema.as_str(), name.as_str()),
        [name] => ("pg_catalog", name.as_str()),
        [] => ("", ""),
    };
    if pg_catalog::relation(schema, last).is_some() {
        return QueryError::unsupported(format!("{CLAUSE} of system relations"));
    }
    let message = format!("relation \"{}\" did not exist at {}", parts.join("."), time_text(planning, micros));
    let error = QueryError::new(ErrorKind::UndefinedTable, message).table(parts.join("."));
    let error = error.hint("meridian.commits shows what the last commits did, and when.");
    match planning.engine.catalog.past_from() {
        Ok(from) => error.detail(earliest(planning, from)),
        Err(_) => error,
    }
}

fn earliest(planning: &Planning, micros: i64) -> String {
    match micros {
        0 => "The history that is kept reaches back to the first commit.".to_string(),
        _ => format!("The earliest time at hand is {}.", time_text(planning, micros)),
    }
}

/// A time as the session shows it.
fn time_text(planning: &Planning, micros: i64) -> String {
    types::time_text(micros, Zone::of_setting(planning.state.time_zone()).unwrap_or(Zone::UTC))
}
