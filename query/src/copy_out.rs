//! COPY TO STDOUT: a table, view or query as lines of text or csv.

use crate::copy_format::{CopyDirection, CopyEncoder, CopyEndpoint, CopySource, CopyStatement};
use crate::copy_in::refuse_generated;
use crate::error::{ErrorKind, QueryError};
use crate::execution::compute;
use crate::planner::{Planning, result_columns};
use crate::response::{CopyOutChunk, Response};
use crate::session::Session;
use crate::statement::{Statement, StatementKind, shift};
use bytes::Bytes;
use catalog::snapshot::Relation;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query};
use futures::StreamExt;
use std::sync::Arc;

pub(crate) fn is_copy_out(copy: &CopyStatement) -> bool {
    copy.direction == CopyDirection::To
}

/// Runs a COPY TO.
pub(crate) async fn run(
    session: &mut Session,
    copy: &CopyStatement,
    statement: &Statement,
) -> Result<Response, QueryError> {
    match &copy.endpoint {
        CopyEndpoint::Stdout => {}
        CopyEndpoint::File(_) | CopyEndpoint::Stdin => {
            return Err(QueryError::unsupported("COPY to a file on the server")
                .hint("psql's \\copy writes a file of the client."));
        }
        CopyEndpoint::Program(_) => return Err(QueryError::unsupported("COPY to a program")),
    }
    let planning = session.planning()?;
    let query = query_of(&planning, copy, statement)?;
    let (over, owned) = (Arc::clone(&planning), statement.clone());
    let plan =
        compute(&session.engine, &session.token, async move { over.query_plan(&query, &[], Some(&owned)) }).await?;
    let columns = result_columns(&plan, &planning.snapshot)?;
    let encoder = CopyEncoder::new(&columns, &copy.options, session.output_style())?;
    let rows = crate::dispatch::run_plan(session, &planning, plan, Some(statement.clone())).await?;
    let header =
        encoder.header().map(|line| Ok(CopyOutChunk { ends: vec![line.len()], bytes: Bytes::from(line), rows: 0 }));
    let lines = rows.map(move |batch| {
        let batch = batch?;
        let lines = encoder.encode(&batch)?;
        Ok(CopyOutChunk { bytes: Bytes::from(lines.bytes), ends: lines.ends, rows: batch.num_rows() as u64 })
    });
    Ok(Response::CopyOut { columns: columns.len(), stream: futures::stream::iter(header).chain(lines).boxed() })
}

/// The query whose rows are copied. Positions of its errors count in the client's text.
fn query_of(planning: &Planning, copy: &CopyStatement, statement: &Statement) -> Result<Box<Query>, QueryError> {
    let (text, start) = match &copy.source {
        CopySource::Query { text, offset } => (text.clone(), statement.range.start + offset),
        CopySource::Table { schema, name, columns } => {
            let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
            let columns = copied_columns(planning, schema.as_deref(), name, columns)?;
            let listed = if columns.is_empty() {
                "*".to_string()
            } else {
                columns.iter().map(quoted).collect::<Vec<_>>().join(", ")
            };
            let relation = schema.iter().chain([name]).map(quoted).collect::<Vec<_>>().join(".");
            (format!("SELECT {listed} FROM {relation}"), statement.range.start)
        }
    };
    let parsed = crate::statement::parse(&text).map_err(|error| shift(error, &statement.source, start))?;
    match parsed.into_iter().next().map(|statement| statement.kind) {
        Some(StatementKind::Query(query)) => Ok(query),
        _ => Err(QueryError::new(ErrorKind::Syntax, "COPY takes a query that returns rows")),
    }
}

/// The columns of a table that are copied, without generated ones; none where they are all of a relation's.
fn copied_columns(
    planning: &Planning,
    schema: Option<&str>,
    name: &str,
    listed: &[String],
) -> Result<Vec<String>, QueryError> {
    let parts = schema.into_iter().chain([name]).map(|part| Ident::with_quote('"', part));
    let object = planning.object_name(&ObjectName::from(parts.collect::<Vec<_>>()))?;
    let Some(Relation::Table(version)) = planning.snapshot.relation(&object) else { return Ok(listed.to_vec()) };
    let columns = &version.definition.columns;
    if listed.is_empty() && columns.iter().any(|column| column.generated.is_some()) {
        let kept = columns.iter().filter(|column| column.generated.is_none());
        return Ok(kept.map(|column| column.name.clone()).collect());
    }
    let positions = columns.iter().enumerate().filter(|(_, column)| listed.contains(&column.name));
    refuse_generated(&version.definition, &positions.map(|(position, _)| position).collect::<Vec<_>>())?;
    Ok(listed.to_vec())
}
