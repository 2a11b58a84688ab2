//! VACUUM and ANALYZE: the background does the work, so only what they name is looked at.

use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::pg_catalog;
use crate::planner::Planning;
use crate::response::{CommandTag, Response};
use crate::session::Session;
use crate::statement::{Maintained, Maintenance};
use catalog::snapshot::Relation;

/// Whether a relation has rows of its own, and the names of its columns.
struct Found {
    has_rows: bool,
    columns: Vec<String>,
}

pub(crate) fn run(session: &mut Session, maintenance: &Maintenance) -> Result<Response, QueryError> {
    let Maintenance { vacuums, tables } = maintenance;
    if *vacuums && session.in_transaction_block() {
        let message = "VACUUM cannot run inside a transaction block";
        return Err(QueryError::new(ErrorKind::ActiveTransaction, message));
    }
    let planning = session.planning()?;
    let found = tables.iter().map(|maintained| find(&planning, maintained));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    for (maintained, found) in tables.iter().zip(&found) {
        if found.has_rows {
            check_columns(maintained, found)?;
            continue;
        }
        let what = if *vacuums { "vacuum" } else { "analyze" };
        let name = name_of(maintained);
        let message = format!("skipping \"{name}\" --- cannot {what} non-tables or special system tables");
        session.notice(NoticeSeverity::Warning, message);
    }
    Ok(Response::Command(CommandTag::Plain(if *vacuums { "VACUUM" } else { "ANALYZE" })))
}

fn find(planning: &Planning, maintained: &Maintained) -> Result<Found, QueryError> {
    let object = planning.object_name(&maintained.table)?;
    let schema = if maintained.table.0.len() == 1 { "pg_catalog" } else { object.schema.as_str() };
    if let Some(system) = pg_catalog::relation(schema, &object.name) {
        let columns = system.schema().fields().iter().map(|field| field.name().clone()).collect();
        return Ok(Found { has_rows: true, columns });
    }
    let columns_of =
        |columns: &[catalog::definition::Column]| columns.iter().map(|column| column.name.clone()).collect();
    Ok(match planning.relation(&object, &maintained.table.to_string())? {
        Relation::Table(table) => Found { has_rows: true, columns: columns_of(&table.definition.columns) },
        Relation::View(view) => {
            Found { has_rows: !view.definition.is_plain(), columns: columns_of(&view.definition.columns) }
        }
        Relation::Sequence(_) => Found { has_rows: false, columns: Vec::new() },
    })
}

fn check_columns(maintained: &Maintained, found: &Found) -> Result<(), QueryError> {
    for (place, column) in maintained.columns.iter().enumerate() {
        let table = name_of(maintained);
        if !found.columns.contains(column) {
            let message = format!("column \"{column}\" of relation \"{table}\" does not exist");
            return Err(QueryError::new(ErrorKind::UndefinedColumn, message));
        }
        if maintained.columns[..place].contains(column) {
            let message = format!("column \"{column}\" of relation \"{table}\" appears more than once");
            return Err(QueryError::new(ErrorKind::DuplicateColumn, message));
        }
    }
    Ok(())
}

/// The relation's own name.
fn name_of(maintained: &Maintained) -> String {
    let last = maintained.table.0.last().and_then(|part| part.as_ident());
    last.map(crate::statement_grammar::fold).unwrap_or_default()
}
