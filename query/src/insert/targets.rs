//! Targets: the table that a statement writes to, and the columns that it gives values for.

use crate::error::{ErrorKind, QueryError};
use crate::planner::Planning;
use crate::statement::Statement;
use crate::statement_grammar::fold;
use catalog::definition::{Column, TableDefinition};
use catalog::snapshot::Relation;
use datafusion::sql::sqlparser::ast::{self, SetExpr, Spanned};
use std::sync::Arc;

/// The table that an INSERT adds rows to.
pub(crate) fn target(
    planning: &Planning,
    insert: &ast::Insert,
    statement: &Statement,
) -> Result<Arc<TableDefinition>, QueryError> {
    let ast::TableObject::TableName(name) = &insert.table else {
        return Err(QueryError::unsupported("INSERT into a table function"));
    };
    written_table(planning, name, statement)
}

/// The table that a statement writes to; where there is none, the error points at its name.
pub(crate) fn written_table(
    planning: &Planning,
    name: &ast::ObjectName,
    statement: &Statement,
) -> Result<Arc<TableDefinition>, QueryError> {
    writable_table(planning, name).map_err(|error| match error.kind {
        ErrorKind::UndefinedTable => error.position(statement.place_of(name.span())),
        _ => error,
    })
}

/// The table that a writer names; views and system relations are refused.
pub(crate) fn writable_table(planning: &Planning, name: &ast::ObjectName) -> Result<Arc<TableDefinition>, QueryError> {
    let object = planning.object_name(name)?;
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    let shown = parts.join(".");
    if planning.snapshot.relation(&object).is_none()
        && crate::pg_catalog::relation(&object.schema, &object.name).is_some()
    {
        return Err(QueryError::new(
            ErrorKind::InsufficientPrivilege,
            format!("permission denied: \"{shown}\" is a system catalog"),
        ));
    }
    match planning.relation(&object, &shown)? {
        Relation::Table(version) => Ok(Arc::clone(&version.definition)),
        Relation::View(view) if view.definition.is_plain() => {
            Err(QueryError::new(ErrorKind::FeatureNotSupported, format!("cannot change view \"{}\"", object.name))
                .hint("Change the table that it reads."))
        }
        Relation::Sequence(_) => {
            Err(QueryError::new(ErrorKind::WrongObjectType, format!("cannot change sequence \"{}\"", object.name)))
        }
        Relation::View(_) => Err(QueryError::new(
            ErrorKind::WrongObjectType,
            format!("cannot change materialized view \"{}\"", object.name),
        )),
    }
}

/// Positions of the columns that values are given for, in the order of the values.
pub(crate) fn target_columns(
    definition: &TableDefinition,
    insert: &ast::Insert,
    statement: &Statement,
) -> Result<Vec<usize>, QueryError> {
    if insert.columns.is_empty() {
        let listed = match insert.source.as_ref().map(|source| source.body.as_ref()) {
            Some(SetExpr::Values(values)) => values.rows.first().map_or(0, |row| row.len()),
            _ => definition.columns.len(),
        };
        return Ok((0..definition.columns.len().min(listed.max(1))).collect());
    }
    let mut positions = Vec::with_capacity(insert.columns.len());
    for column in &insert.columns {
        let mut names = column.0.iter().filter_map(|part| part.as_ident());
        let Some(name) = names.next() else { continue };
        let position = named_column(definition, &fold(name), &positions);
        let position = position.and_then(|position| match names.next() {
            Some(field) => Err(no_fields(&definition.columns[position], &fold(field))),
            None => Ok(position),
        });
        positions.push(position.map_err(|error| error.position(statement.place_of(column.span())))?);
    }
    Ok(positions)
}

/// What is told where a list of columns names a field of one: no type has any.
fn no_fields(column: &Column, field: &str) -> QueryError {
    let (name, sql_type) = (&column.name, column.sql_type.base_name());
    let message = format!(
        "cannot assign to field \"{field}\" of column \"{name}\" because its type {sql_type} is not a composite type"
    );
    QueryError::new(ErrorKind::DatatypeMismatch, message)
}

/// Positions of named columns; duplicates and unknown names are errors.
pub(crate) fn named_columns(definition: &TableDefinition, names: &[String]) -> Result<Vec<usize>, QueryError> {
    let mut positions = Vec::with_capacity(names.len());
    for name in names {
        positions.push(named_column(definition, name, &positions)?);
    }
    Ok(positions)
}

/// The position of a named column that is not among those `taken`.
pub(crate) fn named_column(definition: &TableDefinition, name: &str, taken: &[usize]) -> Result<usize, QueryError> {
    let position = definition.columns.iter().position(|column| column.name == name).ok_or_else(|| {
        let table = &definition.name.name;
        let message = format!("column \"{name}\" of relation \"{table}\" does not exist");
        let error = QueryError::new(ErrorKind::UndefinedColumn, message).column(name);
        let known = definition.columns.iter().map(|column| column.name.as_str());
        match crate::engine_error::nearest(name, known) {
            Some(near) => error.hint(format!("Perhaps you meant the column \"{near}\".")),
            None => error,
        }
    })?;
    if taken.contains(&position) {
        let message = format!("column \"{name}\" specified more than once");
        return Err(QueryError::new(ErrorKind::DuplicateColumn, message).column(name));
    }
    Ok(position)
}
