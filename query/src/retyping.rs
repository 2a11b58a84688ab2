//! Retyping: the rows of a table whose columns change their types, computed and written anew.

use crate::assignment::assigned;
use crate::definitions::identifier;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execution::joined;
use crate::intake::Intake;
use crate::planner::{Planning, Sources};
use crate::query_places::place_of;
use crate::returning::{select, target_factor};
use crate::row_rules::RowRules;
use crate::scan::{Extra, RowSet};
use crate::session::Session;
use crate::statement::Statement;
use crate::transaction::Change;
use catalog::definition::TableDefinition;
use catalog::ids::ColumnId;
use catalog::snapshot::TableVersion;
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
    planning: &Planning,
    version: &TableVersion,
    next: &Arc<TableDefinition>,
    retyped: &[Retyped],
    statement: &Statement,
) -> Result<Change, QueryError> {
    let kept: Vec<_> = version.definition.columns.iter().filter(|column| next.column(column.id).is_some()).collect();
    let plan = new_rows(planning, version, next, retyped, statement)?;
    let shown = TableDefinition {
        columns: kept.iter().filter_map(|column| next.column(column.id).cloned()).collect(),
        ..TableDefinition::clone(next)
    };
    let (shown, schema) = (Arc::new(shown), next.schema());
    let rules = Arc::new(RowRules::compile(planning, &shown)?);
    // Rows that were unique stay so: no column of a key changes its type.
    let keyless = Arc::new(TableDefinition { keys: Vec::new(), ..TableDefinition::clone(next) });
    let planning = Arc::new(planning.again());
    let mut rows = crate::dispatch::run_plan(session, &planning, plan, Some(statement.clone())).await?;
    let mut intake = Intake::new(&session.engine, keyless)?.beside(session.inline_bytes());
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let (rules, next, schema) = (Arc::clone(&rules), Arc::clone(next), Arc::clone(&schema));
        let pushed = session.engine.compute().spawn_blocking(move || {
            let shown = rules.definition();
            let columns = shown.columns.iter().zip(batch.columns()).map(|(column, array)| {
                arrow::compute::cast(array, &column.sql_type.data_type()).map_err(|error| translate(error.into(), None))
            });
            let columns = columns.collect::<Result<_, _>>()?;
            let rows = rules.checked(columns).map_err(|violation| in_words_of_alter(violation.error, shown))?;
            let rows = next.fitted(&schema, &rows).map_err(|error| translate(error.into(), None))?;
            intake.push(rows)?;
            Ok(intake)
        });
        intake = joined(pushed.await)?;
    }
    let engine = Arc::clone(&session.engine);
    let finished = session.engine.compute().spawn_blocking(move || intake.finish(&engine));
    joined(finished.await).map(|taken| taken.change)
}

/// A NULL that was computed is told as one that was there.
fn in_words_of_alter(mut error: QueryError, table: &TableDefinition) -> QueryError {
    if let (ErrorKind::NotNullViolation, Some(column)) = (error.kind, &error.column) {
        error.message = format!("column \"{column}\" of relation \"{}\" contains null values", table.name.name);
        error.detail = None;
    }
    error
}

/// The plan of the rows in the columns that stay, in their new types.
fn new_rows(
    planning: &Planning,
    version: &TableVersion,
    next: &TableDefinition,
    retyped: &[Retyped],
    statement: &Statement,
) -> Result<LogicalPlan, QueryError> {
    let table = identifier(&version.definition.name.name);
    let kept: Vec<_> = version.definition.columns.iter().filter(|column| next.column(column.id).is_some()).collect();
    let using =
        |id: ColumnId| retyped.iter().find(|retyped| retyped.id == id).and_then(|retyped| retyped.using.clone());
    let items = kept.iter().enumerate().map(|(index, column)| SelectItem::ExprWithAlias {
        expr: using(column.id).unwrap_or_else(|| {
            ast::Expr::CompoundIdentifier(vec![table.clone(), ast::Ident::with_quote('"', &column.name)])
        }),
        alias: ast::Ident::new(format!("__value{index}")),
    });
    let from = vec![TableWithJoins { relation: target_factor(&table), joins: Vec::new() }];
    let query = select(items.collect(), from, None, None)?;
    let source = planning.rows_source(&version.definition.name.name, RowSet::of_table(version, Extra::None));
    let over = planning.with_sources(Sources::Target(source));
    let plan = over.query_plan(&query, &[], Some(statement))?;
    let context = planning.cast_context();
    let columns = plan.schema().columns();
    let values = kept.iter().zip(columns).enumerate().map(|(index, (column, value))| {
        let target = next.column(column.id).unwrap_or(column);
        let assigned = assigned(Expr::Column(value), plan.schema().field(index), target, &context);
        let assigned = assigned.map_err(|error| {
            let known = using(column.id);
            let place = known.as_ref().and_then(|expression| place_of(statement, expression));
            not_automatic(error, &column.name, &target.sql_type, known.is_some()).position(place)
        });
        Ok(assigned?.alias(&target.name))
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
