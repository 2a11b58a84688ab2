//! Retyping: the rows of a table whose columns change their types, or come with a value for each row, computed and written anew.

use crate::altering::Alter;
use crate::assignment::assigned;
use crate::definitions::identifier;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execution::joined;
use crate::intake::Intake;
use crate::keys::existing::verified_anew;
use crate::planner::Sources;
use crate::query_places::place_of;
use crate::returning::{select, target_factor};
use crate::row_rules::RowRules;
use crate::scan::{Extra, RowSet};
use crate::session::Session;
use crate::transaction::Change;
use catalog::definition::{Column, TableDefinition};
use catalog::ids::ColumnId;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, SelectItem, TableWithJoins};
use futures::StreamExt;
use std::sync::Arc;

/// A column that changes its type.
#[derive(Debug)]
pub(crate) struct Retyped {
    pub id: ColumnId,
    /// As it is called before.
    pub name: String,
    /// What its new values are; the old ones, assigned, where nothing is said.
    pub using: Option<ast::Expr>,
    /// Whether every value is the same in the new type.
    pub keeps_bytes: bool,
}

/// Whether each value of a type is one of the other, as it is stored.
pub(crate) fn is_relabelling(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{Text, Varchar};
    match (from, to) {
        (Text | Varchar { .. }, Text | Varchar { length_max: None }) => true,
        (Varchar { length_max: Some(from) }, Varchar { length_max: Some(to) }) => from <= to,
        _ => from == to,
    }
}

/// The change that puts all rows of a table into the columns of its next definition.
pub(crate) async fn rewritten(
    session: &Session,
    alter: &Alter<'_>,
    next: &Arc<TableDefinition>,
) -> Result<Change, QueryError> {
    let plan = new_rows(alter, next)?;
    let read: Vec<bool> = next.columns.iter().map(|column| is_read(alter, column.id)).collect();
    // What held before holds still: no column of an older rule changes its type.
    let checked = TableDefinition { checks: alter.new_checks(), ..TableDefinition::clone(next) };
    let rules = Arc::new(RowRules::compile(alter.planning, &Arc::new(checked))?);
    let is_new =
        |id| alter.retyped.iter().any(|retyped| retyped.id == id) || alter.version.definition.column(id).is_none();
    let rules = rules.of_changed(is_new);
    let keyed = Arc::new(TableDefinition { keys: alter.new_keys(), ..TableDefinition::clone(next) });
    let planning = Arc::new(alter.planning.again());
    let mut rows = crate::dispatch::run_plan(session, &planning, plan, Some(alter.statement.clone())).await?;
    let mut intake = Intake::new(&session.engine, keyed)?.beside(session.inline_bytes());
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let (rules, read) = (Arc::clone(&rules), read.clone());
        let pushed = session.engine.compute().spawn_blocking(move || {
            let mut arrays = batch.columns().iter();
            let table = rules.definition();
            let columns =
                table.columns.iter().zip(read).map(|(column, read)| match if read { arrays.next() } else { None } {
                    Some(array) => arrow::compute::cast(array, &column.sql_type.data_type())
                        .map_err(|error| translate(error.into(), None)),
                    None => Ok(column.missing_rows(batch.num_rows())),
                });
            let columns = columns.collect::<Result<_, _>>()?;
            let rows = rules.checked(columns).map_err(|violation| in_words_of_alter(violation.error, table))?;
            intake.push(rows)?;
            Ok(intake)
        });
        intake = joined(pushed.await)?;
    }
    let engine = Arc::clone(&session.engine);
    let finished = session.engine.compute().spawn_blocking(move || intake.finish(&engine));
    verified_anew(session, joined(finished.await)?).await
}

/// Whether the new rows' query gives a column: the others have the same value in all rows, or are generated.
fn is_read(alter: &Alter<'_>, id: ColumnId) -> bool {
    let computed = alter.computed.iter().any(|computed| computed.id == id && computed.value.is_some());
    computed || alter.version.definition.column(id).is_some()
}

/// A value that was computed is told as one that was there.
fn in_words_of_alter(mut error: QueryError, table: &TableDefinition) -> QueryError {
    let of_table = error.table.is_some();
    if let (ErrorKind::CheckViolation, Some(name), true) = (error.kind, &error.constraint, of_table) {
        error.message =
            format!("check constraint \"{name}\" of relation \"{}\" is violated by some row", table.name.name);
        error.detail = None;
    }
    if let (ErrorKind::NotNullViolation, Some(column)) = (error.kind, &error.column) {
        error.message = format!("column \"{column}\" of relation \"{}\" contains null values", table.name.name);
        error.detail = None;
    }
    error
}

/// The plan of the rows in the columns that stay, in their new types, and in those that are computed.
fn new_rows(alter: &Alter<'_>, next: &TableDefinition) -> Result<LogicalPlan, QueryError> {
    let (planning, before, statement) = (alter.planning, &alter.version.definition, alter.statement);
    let table = identifier(&before.name.name);
    let using = |id: ColumnId| {
        let retyped = alter.retyped.iter().find(|retyped| retyped.id == id).and_then(|retyped| retyped.using.clone());
        let computed = || alter.computed.iter().find(|computed| computed.id == id)?.value.clone();
        retyped.or_else(computed)
    };
    let columns: Vec<&Column> = next.columns.iter().filter(|column| is_read(alter, column.id)).collect();
    let items = columns.iter().enumerate().map(|(index, column)| SelectItem::ExprWithAlias {
        expr: using(column.id).unwrap_or_else(|| {
            let old = before.column(column.id).unwrap_or(column);
            ast::Expr::CompoundIdentifier(vec![table.clone(), ast::Ident::with_quote('"', &old.name)])
        }),
        alias: ast::Ident::new(format!("__value{index}")),
    });
    let from = vec![TableWithJoins { relation: target_factor(&table), joins: Vec::new() }];
    let query = select(items.collect(), from, None, None)?;
    let source = planning.rows_source(&before.name.name, RowSet::of_table(alter.version, Extra::None));
    let over = planning.with_sources(Sources::Target(source));
    let plan = over.query_plan(&query, &[], Some(statement))?;
    let context = planning.cast_context();
    let values = plan.schema().columns();
    let values = columns.iter().zip(values).enumerate().map(|(index, (column, value))| {
        let assigned = assigned(Expr::Column(value), plan.schema().field(index), column, &context);
        let assigned = assigned.map_err(|error| {
            let known = using(column.id);
            let place = known.as_ref().and_then(|expression| place_of(statement, expression));
            let old = before.column(column.id).unwrap_or(column);
            not_automatic(error, &old.name, &column.sql_type, known.is_some()).position(place)
        });
        Ok(assigned?.alias(&column.name))
    });
    let values = values.collect::<Result<Vec<_>, QueryError>>()?;
    let plan = LogicalPlanBuilder::from(plan).project(values).and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| translate(error, Some(statement)))
}

fn not_automatic(mut error: QueryError, column: &str, to: &SqlType, using: bool) -> QueryError {
    if error.kind == ErrorKind::DatatypeMismatch {
        let what = if using { "result of USING clause for column" } else { "column" };
        let to = to.base_name();
        error.message = format!("{what} \"{column}\" cannot be cast automatically to type {to}");
        error.hint = Some(match using {
            true => "You might need to add an explicit cast.".into(),
            false => format!("You might need to specify \"USING {}::{to}\".", identifier(column)),
        });
    }
    error
}
