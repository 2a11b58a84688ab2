//! REINDEX: indexes are right whatever happens, so only what it names is looked at.

use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::pg_catalog;
use crate::planner::Planning;
use crate::response::{CommandTag, Response};
use crate::session::Session;
use crate::statement::{Reindex, ReindexTarget};
use catalog::snapshot::Relation;
use datafusion::sql::sqlparser::ast::ObjectName;

pub(crate) fn run(session: &mut Session, reindex: &Reindex) -> Result<Response, QueryError> {
    if let Some(what) = alone(reindex)
        && session.in_transaction_block()
    {
        let message = format!("REINDEX {what} cannot run inside a transaction block");
        return Err(QueryError::new(ErrorKind::ActiveTransaction, message));
    }
    let planning = session.planning()?;
    match &reindex.target {
        ReindexTarget::Index(name) => check_index(&planning, name)?,
        ReindexTarget::Table(name) => {
            if let Some(table) = table_without_indexes(&planning, name)? {
                let which = if reindex.concurrently { "that can be reindexed concurrently" } else { "to reindex" };
                session.notice(NoticeSeverity::Notice, format!("table \"{table}\" has no indexes {which}"));
            }
        }
        ReindexTarget::Schema(name) if pg_catalog::namespace_oid(&planning.snapshot, name).is_none() => {
            return Err(QueryError::new(ErrorKind::UndefinedSchema, format!("schema \"{name}\" does not exist")));
        }
        ReindexTarget::Database(name) | ReindexTarget::System(name) if *name != planning.facts.database => {
            let message = "can only reindex the currently open database";
            return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
        }
        ReindexTarget::Schema(_) | ReindexTarget::Database(_) | ReindexTarget::System(_) => {}
    }
    Ok(Response::Command(CommandTag::Plain("REINDEX")))
}

/// What of a statement has to be alone in its transaction.
fn alone(reindex: &Reindex) -> Option<&'static str> {
    match &reindex.target {
        _ if reindex.concurrently => Some("CONCURRENTLY"),
        ReindexTarget::Schema(_) => Some("SCHEMA"),
        ReindexTarget::Database(_) => Some("DATABASE"),
        ReindexTarget::System(_) => Some("SYSTEM"),
        ReindexTarget::Index(_) | ReindexTarget::Table(_) => None,
    }
}

fn check_index(planning: &Planning, name: &ObjectName) -> Result<(), QueryError> {
    let candidates = planning.candidates(name)?;
    let Some(found) = candidates.iter().find(|candidate| planning.snapshot.has_name(candidate)) else {
        let message = format!("relation \"{name}\" does not exist");
        return Err(QueryError::new(ErrorKind::UndefinedTable, message));
    };
    match planning.snapshot.index_named(found) {
        Some(_) => Ok(()),
        None => Err(QueryError::new(ErrorKind::WrongObjectType, format!("\"{}\" is not an index", found.name))),
    }
}

/// The name of the table or materialized view, where it has no index.
fn table_without_indexes(planning: &Planning, name: &ObjectName) -> Result<Option<String>, QueryError> {
    let object = planning.object_name(name)?;
    let schema = if name.0.len() == 1 { "pg_catalog" } else { object.schema.as_str() };
    if pg_catalog::relation(schema, &object.name).is_some() {
        return Ok(None);
    }
    let wrong = |name: &str| {
        let message = format!("\"{name}\" is not a table or materialized view");
        Err(QueryError::new(ErrorKind::WrongObjectType, message))
    };
    let is_index =
        planning.candidates(name)?.iter().any(|candidate| planning.snapshot.index_named(candidate).is_some());
    if is_index && planning.snapshot.relation(&object).is_none() {
        return wrong(&object.name);
    }
    match planning.relation(&object, &name.to_string())? {
        Relation::Table(table) => Ok(table.definition.indexes().next().is_none().then_some(object.name)),
        Relation::View(view) if !view.definition.is_plain() => Ok(Some(object.name)),
        Relation::View(_) | Relation::Sequence(_) => wrong(&object.name),
    }
}
