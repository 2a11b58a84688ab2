//! DELETE: finds rows by their place and marks them dead.
//!
//! `DELETE FROM t WHERE p` is planned as `SELECT __part, __row FROM t WHERE p`, so any predicate that a query can have will do, and
//! segments are pruned as for one. What comes back becomes a deletion vector for each segment and recent batch.

use crate::error::{ErrorKind, QueryError};
use crate::insert::written_table;
use crate::planner::{Planning, Sources};
use crate::prepared::{Prepared, decode_parameters};
use crate::response::{CommandTag, ParameterValue, Response};
use crate::scan::{PART, ROW};
use crate::session::Session;
use crate::statement::Statement;
use crate::transaction::Change;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, UInt32Type};
use catalog::definition::TableDefinition;
use catalog::draft::Op;
use catalog::segment::DeletionVector;
use catalog::snapshot::TableVersion;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, FromTable, Ident, SelectItem, SetExpr, TableFactor};
use futures::StreamExt;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Runs a DELETE.
pub(crate) async fn run(
    session: &mut Session,
    delete: &ast::Delete,
    statement: &Statement,
    prepared: &Prepared,
    parameters: &[ParameterValue],
) -> Result<Response, QueryError> {
    let values = decode_parameters(&prepared.parameters, parameters, &session.output_style())?;
    let table = target(session.planning()?.as_ref(), delete, statement)?;
    let hold = session.engine.holds.hold(table.id).await;
    // The snapshot is taken with the table held, so that what is found stays where it is.
    let planning = session.planning()?;
    let types: Vec<_> = prepared.parameters.iter().cloned().map(Some).collect();
    let (plan, table) = plan(&planning, delete, &types, statement)?;
    let version = planning.snapshot.tables.get(&table.id).cloned().ok_or_else(|| {
        QueryError::new(ErrorKind::UndefinedTable, format!("relation \"{}\" does not exist", table.name.name))
    })?;
    let plan =
        plan.with_param_values(values).map_err(|error| crate::engine_error::translate(error, Some(statement)))?;
    let mut rows = crate::dispatch::run_plan(session, &planning, plan, Some(statement.clone())).await?;
    let mut found: BTreeMap<u32, RoaringBitmap> = BTreeMap::new();
    while let Some(batch) = rows.next().await {
        collect(&batch?, &mut found);
    }
    let count = found.values().map(RoaringBitmap::len).sum();
    let ops = if count == 0 { Vec::new() } else { vec![delete_op(&version, found)] };
    session.add_change(Change { ops, staged: Vec::new(), holds: vec![hold] })?;
    Ok(Response::Command(CommandTag::Rows("DELETE", count)))
}

fn target(
    planning: &Planning,
    delete: &ast::Delete,
    statement: &Statement,
) -> Result<Arc<TableDefinition>, QueryError> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    match from.as_slice() {
        [ast::TableWithJoins { relation: TableFactor::Table { name, .. }, joins }] if joins.is_empty() => {
            written_table(planning, name, statement)
        }
        _ => Err(QueryError::unsupported("DELETE from more than one table")),
    }
}

/// The plan that finds the places of the rows to delete, and their table.
pub(crate) fn plan(
    planning: &Planning,
    delete: &ast::Delete,
    declared: &[Option<SqlType>],
    statement: &Statement,
) -> Result<(LogicalPlan, Arc<TableDefinition>), QueryError> {
    if delete.using.is_some() {
        return Err(QueryError::unsupported("DELETE … USING").hint("Use WHERE … IN (SELECT …) or EXISTS."));
    }
    if delete.returning.is_some() {
        return Err(QueryError::unsupported("DELETE … RETURNING"));
    }
    let table = target(planning, delete, statement)?;
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = delete.from.clone();
    let places = planning.with_sources(Sources::Places(table.name.clone()));
    let query = places_query(from, delete.selection.clone())?;
    Ok((places.query_plan(&query, declared, Some(statement))?, table))
}

/// `SELECT __part, __row FROM … WHERE …`
fn places_query(from: Vec<ast::TableWithJoins>, selection: Option<ast::Expr>) -> Result<ast::Query, QueryError> {
    let template = crate::statement::parse("SELECT 1")?.into_iter().next().map(|statement| statement.kind);
    let Some(crate::statement::StatementKind::Query(mut query)) = template else {
        return Err(QueryError::new(ErrorKind::Internal, "a query was not parsed as one"));
    };
    if let SetExpr::Select(select) = query.body.as_mut() {
        let column = |name: &str| SelectItem::UnnamedExpr(ast::Expr::Identifier(Ident::new(name)));
        select.projection = vec![column(PART), column(ROW)];
        select.from = from;
        select.selection = selection;
    }
    Ok(*query)
}

fn collect(batch: &RecordBatch, found: &mut BTreeMap<u32, RoaringBitmap>) {
    let parts = batch.column(0).as_primitive::<UInt32Type>();
    let rows = batch.column(1).as_primitive::<Int64Type>();
    for (part, row) in parts.values().iter().zip(rows.values()) {
        found.entry(*part).or_default().insert(*row as u32);
    }
}

/// Parts are numbered as [`crate::scan::RowSet::of_table`] numbers them: segments in order, then recent batches.
fn delete_op(version: &TableVersion, found: BTreeMap<u32, RoaringBitmap>) -> Op {
    let segment_ids: Vec<_> = version.segments.keys().copied().collect();
    let mut segments = Vec::new();
    let mut recent = Vec::new();
    for (part, rows) in found {
        let vector = Arc::new(DeletionVector(rows));
        match segment_ids.get(part as usize) {
            Some(id) => segments.push((*id, vector)),
            None => recent.push((version.recent[part as usize - segment_ids.len()].id, vector)),
        }
    }
    Op::Delete { table: version.definition.id, segments, recent }
}
