//! Retyping: columns that change their types. Their rows are computed and written anew, and so are those of a table to which a column comes
//! with a value for each row.

use crate::altered_rules::refuse_retyping;
use crate::altering::Alter;
use crate::assignment::{assigned, retyped_default};
use crate::definitions::{check_defaults, identifier};
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
use crate::sequence_definition::{SequenceOptions, refuse_unnumbered};
use crate::session::Session;
use crate::table_definition::DeclaredType;
use crate::transaction::Change;
use catalog::definition::{Column, TableDefinition};
use catalog::ids::ColumnId;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, TableWithJoins};
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

impl Alter<'_> {
    /// ALTER COLUMN … TYPE. The sequence of an identity column counts in the column's type from then on; that of a serial one does not.
    pub(crate) async fn set_type(
        &mut self,
        session: &mut Session,
        column: &Ident,
        data_type: &ast::DataType,
        using: Option<&ast::Expr>,
    ) -> Result<(), QueryError> {
        let position = self.position(column)?;
        let known = self.next.columns[position].clone();
        let declared = {
            let _types = self.planning.knows_types();
            DeclaredType::of(data_type, &known.name, self.statement)?
        };
        let mut retyped = known.clone();
        declared.give(&mut retyped);
        if retyped == known && using.is_none() {
            return Ok(());
        }
        if self.next.partition_by.iter().any(|item| item.column == known.id) {
            let message = format!("altering the type of column \"{}\", by which the table is partitioned,", known.name);
            return Err(QueryError::unsupported(message)
                .hint("Create a table with other partitions and fill it with INSERT INTO … SELECT."));
        }
        if self.retyped.iter().any(|earlier| earlier.id == known.id) {
            let message = format!("cannot alter type of column \"{}\" twice", known.name);
            return Err(QueryError::new(ErrorKind::FeatureNotSupported, message).column(known.name));
        }
        refuse_retyping(&self.next, &retyped, using)?;
        if let Some(identity) = retyped.identity.as_ref().filter(|_| retyped.sql_type != known.sql_type) {
            refuse_unnumbered(&retyped)?;
            let options = SequenceOptions { data_type: Some(data_type.clone()), ..SequenceOptions::default() };
            self.renumber(session, identity.sequence, &options).await?;
        }
        let (sql_type, digits) = (&retyped.sql_type, retyped.digits);
        let loses_digits = digits.is_some_and(|digits| known.digits.is_none_or(|before| digits < before));
        let joins_domain = retyped.domain.is_some() && retyped.domain != known.domain;
        let same_values = is_relabelling(&known.sql_type, sql_type) && !loses_digits && !joins_domain;
        let keeps_bytes = using.is_none() && same_values;
        retyped.default = retyped_default(self.planning, &known, &retyped)?;
        self.next.columns[position] = retyped;
        let changed = vec![self.next.columns[position].clone()];
        check_defaults(self.planning, &TableDefinition::new(self.next.id, self.next.name.clone(), changed)).await?;
        self.retyped.push(Retyped { id: known.id, name: known.name, using: using.cloned(), keeps_bytes });
        Ok(())
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
            let error = not_automatic(error, &old.name, &column.sql_type, known.is_some()).position(place);
            // There is no USING for a generated column.
            QueryError { hint: error.hint.clone().filter(|_| column.generated.is_none()), ..error }
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
