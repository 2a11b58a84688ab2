//! INSERT: rows from VALUES or a query into a table.
//!
//! VALUES of plain constants and parameters, cast or not, which is what applications send, are read by the types' own input functions
//! without a plan. Everything else is planned: the source query's columns are cast to the table's and missing ones get their defaults.

use crate::assignment::{
    assigned, default_value, is_assignable, is_default, not_assignable, refuse_declared_value, type_source,
};
use crate::column_defaults::{DefaultValue, Numbering, Numbers, is_computed, numbering_of};
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execution::{compute, joined, stream};
use crate::explained_changes::{Outline, Purpose};
use crate::insert::value_casts::{are_taken, first_casts};
use crate::insert::value_queries::{is_value_query, select_values};
use crate::keys::upsert::{self, Sink, Upsert};
use crate::parameter_types::{all_known, inconsistent};
use crate::plan_constants::fill_values;
use crate::planner::Planning;
use crate::prepared::{Prepared, decode_parameters};
use crate::query_places::{output_place, place_of};
use crate::response::{CommandTag, ParameterValue, Response, ResultColumn};
use crate::returning::{Returning, respond};
use crate::row_rules::{RowRules, Violation};
use crate::session::Session;
use crate::statement::{Overriding, Statement};
use crate::statement_grammar::fold;
use crate::write_holds::WriteHold;
use arrow::array::{ArrayRef, RecordBatch};
use catalog::definition::{Column, IdentityKind, TableDefinition};
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{self, SetExpr};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;

mod constants;
mod targets;
mod value_casts;
mod value_queries;

pub(crate) use constants::{Cell, CellReader, constant_rows, constant_value, numeral, reads_numbers};
use constants::{Constants, check_count};
pub(crate) use targets::{named_column, named_columns, target, target_columns, writable_table, written_table};

/// The types of an INSERT's parameters: those of the columns that they go into.
pub(crate) fn parameters(
    planning: &Planning,
    insert: &ast::Insert,
    overriding: Overriding,
    statement: &Statement,
    declared: &[Option<SqlType>],
) -> Result<Vec<SqlType>, QueryError> {
    let _types = planning.knows_types();
    let definition = target(planning, insert, statement)?;
    let targets = target_columns(&definition, insert, statement)?;
    let upsert = upsert::of_insert(planning, insert, &definition, statement)?;
    let elsewhere = |known: Vec<Option<SqlType>>| {
        let known = match &upsert {
            Some(upsert) => upsert.parameters(planning, &definition, &known, statement)?,
            None => known,
        };
        all_known(match returning(planning, insert, &definition, statement)? {
            Some(returning) => returning.parameters(planning, &definition, &[], known, statement)?,
            None => known,
        })
    };
    let rows = constant_rows(insert, overriding, &definition, &targets, statement, |_| false)?;
    match rows
        .map(|rows| types_in_rows(insert, (&definition, &targets), &rows, declared, statement))
        .transpose()?
        .flatten()
    {
        Some(types) => elsewhere(types),
        None => elsewhere(source_plan(planning, insert, overriding, declared, statement)?.parameters),
    }
}

/// The types of the parameters in rows of VALUES: of those that are cast first what they are cast to, and then those of columns, without
/// modifiers: each column that a value goes into holds it against its own. `None` for a cast that needs a plan. Errors: 42804 for a parameter that its column is not assigned, 42P08 for one that stands before it is
/// cast to another type.
fn types_in_rows(
    insert: &ast::Insert,
    (definition, targets): (&TableDefinition, &[usize]),
    rows: &[Vec<Cell>],
    declared: &[Option<SqlType>],
    statement: &Statement,
) -> Result<Option<Vec<Option<SqlType>>>, QueryError> {
    let mut types = declared.to_vec();
    let casts = first_casts(rows);
    types.resize(types.len().max(casts.keys().copied().max().unwrap_or(0)), None);
    for (number, (_, cast)) in &casts {
        types[number - 1].get_or_insert_with(|| cast.bare.clone());
    }
    if !are_taken(rows, |number| types[number - 1].as_ref()) {
        return Ok(None);
    }
    let cells = rows.iter().flat_map(|row| row.iter().zip(targets));
    for (place, (cell, position)) in cells.enumerate() {
        let Cell::Parameter(number) = cell else { continue };
        types.resize(types.len().max(*number), None);
        let column = &definition.columns[*position];
        let known: &SqlType = types[number - 1].get_or_insert_with(|| column.sql_type.unmodified());
        if known.oid() == column.sql_type.oid() {
            continue;
        }
        let is_declared = declared.get(number - 1).is_some_and(Option::is_some);
        let refused = match is_declared || casts.get(number).is_some_and(|(cast, _)| *cast < place) {
            true if is_assignable(known, &column.sql_type) => continue,
            true => not_assignable(column, Some(known)),
            false => inconsistent(*number, known, &column.sql_type),
        };
        return Err(refused.position(cell_place(insert, place, statement)));
    }
    Ok(Some(types))
}

/// Fails for a parameter that its column is not assigned, whatever its value: when the statement was prepared, the column may have had
/// another type.
pub(crate) fn refuse_types(
    insert: &ast::Insert,
    targets: (&TableDefinition, &[usize]),
    rows: &[Vec<Cell>],
    parameters: &[SqlType],
    statement: &Statement,
) -> Result<(), QueryError> {
    if parameters.is_empty() {
        return Ok(());
    }
    let declared: Vec<_> = parameters.iter().cloned().map(Some).collect();
    types_in_rows(insert, targets, rows, &declared, statement).map(drop)
}

/// Where a value of VALUES stands, by its number among all.
fn cell_place(insert: &ast::Insert, number: usize, statement: &Statement) -> Option<usize> {
    let SetExpr::Values(values) = insert.source.as_ref()?.body.as_ref() else { return None };
    place_of(statement, values.rows.iter().flat_map(|row| row.iter()).nth(number)?)
}

/// An INSERT that is planned with its parameters and has not begun.
pub(crate) struct Ready<'a> {
    insert: &'a ast::Insert,
    statement: &'a Statement,
    bound: (&'a Prepared, &'a [ParameterValue]),
    planning: Arc<Planning>,
    hold: Option<WriteHold>,
    definition: Arc<TableDefinition>,
    targets: Vec<usize>,
    rules: Arc<RowRules>,
    returning: Option<Returning>,
    upsert: Option<Upsert>,
    source: Source,
}

/// Where the rows of an INSERT come from.
enum Source {
    /// So many rows of values that are there already, by the columns' positions.
    Constants(BTreeMap<usize, ArrayRef>, usize),
    /// The rows of a plan, and the numbers that it leaves open.
    Plan(Arc<dyn ExecutionPlan>, Numbering),
}

/// Runs an INSERT.
pub(crate) async fn run(
    session: &mut Session,
    insert: (&ast::Insert, Overriding),
    statement: &Statement,
    bound: (&Prepared, &[ParameterValue]),
) -> Result<Response, QueryError> {
    ready(session, insert, statement, bound, Purpose::Run).await?.run(session).await
}

/// Plans an INSERT with the values of its parameters.
pub(crate) async fn ready<'a>(
    session: &mut Session,
    (insert, overriding): (&'a ast::Insert, Overriding),
    statement: &'a Statement,
    bound: (&'a Prepared, &'a [ParameterValue]),
    purpose: Purpose,
) -> Result<Ready<'a>, QueryError> {
    let mut planning = session.planning()?;
    let definition = target(&planning, insert, statement)?;
    let targets = target_columns(&definition, insert, statement)?;
    refuse_values(insert, overriding, &definition, &targets)?;
    let rules = RowRules::of(&planning, &definition)?;
    let returning = returning(&planning, insert, &definition, statement)?;
    let upsert = upsert::of_insert(&planning, insert, &definition, statement)?;
    let mut hold = None;
    if upsert.as_ref().is_some_and(Upsert::updates) {
        (hold, planning) = purpose.planning_over(session, definition.id).await?;
    }
    let rows = {
        let _types = planning.knows_types();
        constant_rows(insert, overriding, &definition, &targets, statement, |_| false)?
    };
    let (prepared, parameters) = bound;
    let style = session.output_style();
    let source = match rows.filter(|rows| are_taken(rows, |number| prepared.parameters.get(number - 1))) {
        Some(rows) => {
            let cells = CellReader { types: &prepared.parameters, parameters, style: &style };
            let constants = Constants { definition: &definition, targets: &targets, rows: &rows, cells };
            let _types = planning.knows_types();
            // Their values are read first.
            refuse_types(insert, (&definition, &targets), &rows, &prepared.parameters, statement)
                .or_else(|refused| decode_parameters(&prepared.parameters, parameters, &style, "").and(Err(refused)))?;
            Source::Constants(constants.arrays(insert, statement)?, rows.len())
        }
        None => {
            let (values, types) = session.bind(prepared, parameters)?;
            let (over, owned, mut tree) = (Arc::clone(&planning), statement.clone(), insert.clone());
            fill_values(&mut tree.source, &prepared.parameters, parameters, &style)?;
            let (plan, given) = compute(&session.engine, &session.token, async move {
                let SourcePlan { plan, given, .. } = source_plan(&over, &tree, overriding, &types, &owned)?;
                let plan = plan.with_param_values(values).map_err(|error| translate(error, Some(&owned)))?;
                Ok((purpose.physical_plan(&over, plan, &owned).await?, given))
            })
            .await?;
            let unset = unset_columns(&definition, &targets[..given], overriding);
            let numbering = Numbering::of(&planning, &definition, unset);
            Source::Plan(plan, if is_list(insert) { numbering.by_rows() } else { numbering })
        }
    };
    Ok(Ready { insert, statement, bound, planning, hold, definition, targets, rules, returning, upsert, source })
}

impl Ready<'_> {
    pub(crate) fn outline(&self) -> Outline {
        let name = self.insert.table_alias.as_ref().map(|alias| fold(&alias.alias));
        let outline = Outline::of_change("Insert", &self.definition, name, &self.planning);
        let outline = outline.with_lines(self.upsert.iter().flat_map(Upsert::lines));
        match &self.source {
            Source::Constants(_, rows) => outline.with_lines([format!("values: {rows} rows")]),
            Source::Plan(plan, _) => outline.with_plans([Arc::clone(plan)]),
        }
    }

    pub(crate) async fn run(self, session: &mut Session) -> Result<Response, QueryError> {
        let Self { statement, bound, planning, hold, definition, targets, rules, returning, upsert, source, .. } = self;
        let keeps = returning.is_some() && upsert.is_none();
        let mut sink = Sink::new(session, &definition, upsert)?;
        let returned = match source {
            Source::Constants(values, rows) => {
                let batch = constant_batch(session, &planning, &rules, (values, rows), &targets).await?;
                sink.push(batch.clone())?;
                vec![batch]
            }
            Source::Plan(plan, numbering) => {
                let (filled, returned) =
                    from_plan(session, &planning, (plan, numbering), rules, (sink, keeps), statement).await?;
                sink = filled;
                returned
            }
        };
        let (written, mut change) = sink.written(session, &planning, &definition, returned, bound, statement).await?;
        change.holds.extend(hold);
        let response = match returning {
            None => Response::Command(CommandTag::Rows("INSERT", written.rows)),
            Some(returning) => {
                let (values, types) = bound.0.bind(bound.1, &session.output_style())?;
                let (over, plan) =
                    returning.plan(&planning, (&definition, &[]), written.returned, &types, statement)?;
                respond(session, (&over, &definition), (plan, values), ("INSERT", written.rows), statement).await?
            }
        };
        session.add_change(change)?;
        Ok(response)
    }
}

/// The rows of constants with all columns of the table, checked.
async fn constant_batch(
    session: &Session,
    planning: &Arc<Planning>,
    rules: &RowRules,
    (mut values, rows): (BTreeMap<usize, ArrayRef>, usize),
    targets: &[usize],
) -> Result<RecordBatch, QueryError> {
    let definition = rules.definition();
    // Who gives what is no value of a column takes no numbers for it.
    let given = values.iter().map(|(position, array)| (*position, array));
    if let Some(Violation { domain: Some(position), error, .. }) = rules.refused_at_once(given) {
        // Alone in its list, a row is computed column by column.
        if rows == 1 {
            let before: Vec<usize> = (position..definition.columns.len()).chain(targets.iter().copied()).collect();
            missing_values(session, planning, definition, &before, 1).await?;
        }
        return Err(error);
    }
    let (missing, numbers) = missing_values(session, planning, definition, targets, rows).await?;
    values.extend(missing);
    rules.checked(values.into_values().collect()).map_err(|violation| {
        numbers.give_back_behind(&violation);
        violation.error
    })
}

/// Whether an INSERT's source is a list of several rows.
fn is_list(insert: &ast::Insert) -> bool {
    let source = insert.source.as_ref().filter(|source| !is_value_query(source));
    source.is_some_and(|source| matches!(source.body.as_ref(), SetExpr::Values(values) if values.rows.len() > 1))
}

/// The columns that RETURNING gives.
pub(crate) fn columns(
    planning: &Planning,
    insert: &ast::Insert,
    parameters: &[SqlType],
    statement: &Statement,
) -> Result<Option<Vec<ResultColumn>>, QueryError> {
    let definition = target(planning, insert, statement)?;
    let returning = returning(planning, insert, &definition, statement)?;
    returning.map(|returning| returning.columns(planning, &definition, &[], parameters, statement)).transpose()
}

fn returning(
    planning: &Planning,
    insert: &ast::Insert,
    definition: &TableDefinition,
    statement: &Statement,
) -> Result<Option<Returning>, QueryError> {
    let Some(items) = &insert.returning else { return Ok(None) };
    let bare = || ast::Ident::with_quote('"', &definition.name.name);
    let name = insert.table_alias.as_ref().map_or_else(bare, |alias| alias.alias.clone());
    Returning::new(planning, items, (definition, &name), Vec::new(), statement).map(Some)
}

/// The rows that were written; `returned` keeps them where RETURNING wants them.
pub(crate) struct Written {
    pub rows: u64,
    pub returned: Vec<RecordBatch>,
}

/// Positions of the columns that get their defaults.
fn unset_columns(definition: &TableDefinition, targets: &[usize], overriding: Overriding) -> Vec<usize> {
    let ignored = |column: &Column| overriding == Overriding::User && column.identity.is_some();
    let columns = definition.columns.iter().enumerate();
    let unset = columns.filter(|(position, column)| !targets.contains(position) || ignored(column));
    unset.map(|(position, _)| position).collect()
}

/// The values of the columns that a statement gives none for, by position, and the numbers among them.
async fn missing_values(
    session: &Session,
    planning: &Arc<Planning>,
    definition: &Arc<TableDefinition>,
    targets: &[usize],
    rows: usize,
) -> Result<(BTreeMap<usize, ArrayRef>, Numbers), QueryError> {
    let columns = (0..definition.columns.len()).filter(|position| !targets.contains(position));
    let (columns, style): (Vec<usize>, _) = (columns.collect(), session.output_style());
    let (over, table) = (Arc::clone(planning), Arc::clone(definition));
    let computes = columns.iter().any(|position| is_computed(&definition.columns[*position]));
    let work = move || -> Result<(BTreeMap<usize, ArrayRef>, Numbers), QueryError> {
        let numbering = Numbering::of(&over, &table, columns.iter().copied());
        let numbering = if rows > 1 { numbering.by_rows() } else { numbering };
        let numbers = numbering.take(rows, |_, _| true)?;
        let others = columns.into_iter().filter(|position| numbering_of(&table.columns[*position]).is_none());
        let values = others.map(|position| {
            let default = DefaultValue::of(&over, &table.columns[position], &style)?;
            Ok((position, default.array(rows)?))
        });
        let mut values = values.collect::<Result<BTreeMap<_, _>, QueryError>>()?;
        values.extend(numbers.columns.iter().map(|(position, array)| (*position, Arc::clone(array))));
        Ok((values, numbers))
    };
    if computes { compute(&session.engine, &session.token, async move { work() }).await } else { work() }
}

/// Why a column is never given a value; `None` for one that may be.
pub(crate) fn always_computed(column: &Column) -> Option<String> {
    let name = &column.name;
    match &column.identity {
        Some(identity) if identity.kind == IdentityKind::Always => {
            Some(format!("Column \"{name}\" is an identity column defined as GENERATED ALWAYS."))
        }
        _ => column.generated.as_ref().map(|_| format!("Column \"{name}\" is a generated column.")),
    }
}

/// Why a value is refused that is given for a column; `None` where it is taken.
pub(crate) fn value_refused(column: &Column, overriding: Overriding) -> Option<QueryError> {
    let detail = always_computed(column)?;
    let overridden = column.identity.is_some() && overriding != Overriding::Nothing;
    if overridden {
        return None;
    }
    let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
    let error = QueryError::new(ErrorKind::GeneratedAlways, message).detail(detail).column(&column.name);
    Some(match column.identity {
        Some(_) => error.hint("Use OVERRIDING SYSTEM VALUE to override."),
        None => error,
    })
}

/// Fails for a value in VALUES, other than DEFAULT, for a column that takes none.
pub(crate) fn refuse_values(
    insert: &ast::Insert,
    overriding: Overriding,
    definition: &TableDefinition,
    targets: &[usize],
) -> Result<(), QueryError> {
    let Some(SetExpr::Values(values)) = insert.source.as_ref().map(|source| source.body.as_ref()) else {
        return Ok(());
    };
    let given = |index: usize| values.rows.iter().filter_map(move |row| row.get(index)).any(|value| !is_default(value));
    let refused = targets.iter().enumerate().filter(|(index, _)| given(*index));
    let mut errors = refused.filter_map(|(_, position)| value_refused(&definition.columns[*position], overriding));
    errors.next().map_or(Ok(()), Err)
}

// ---- queries ----

/// The rows to insert, from a query.
struct SourcePlan {
    /// The types of the source's parameters.
    parameters: Vec<Option<SqlType>>,
    /// Gives the table's columns in their types: what the source gives, by assignment, and defaults.
    plan: LogicalPlan,
    /// How many of the targets the source gives values for, from the first on: a query behind no list of columns may give fewer.
    given: usize,
}

fn source_plan(
    planning: &Planning,
    insert: &ast::Insert,
    overriding: Overriding,
    declared: &[Option<SqlType>],
    statement: &Statement,
) -> Result<SourcePlan, QueryError> {
    let definition = target(planning, insert, statement)?;
    let targets = target_columns(&definition, insert, statement)?;
    let Some(mut source) = insert.source.clone() else {
        return Err(QueryError::new(ErrorKind::Syntax, "INSERT without rows"));
    };
    let target_columns: Vec<&Column> = targets.iter().map(|target| &definition.columns[*target]).collect();
    let _types = planning.knows_types();
    refuse_declared_source(&source.body, &target_columns, declared, statement)?;
    let is_value_query = is_value_query(&source);
    if is_value_query {
        select_values(&mut source.body, statement)?;
    }
    type_source(&mut source.body, &target_columns)?;
    let parameters = planning.types_so_far(&source, declared, Some(statement))?;
    let plan = planning.source_plan(&source, &target_columns, &parameters, Some(statement))?;
    let columns = plan.schema().columns();
    check_count(insert, columns.len(), targets.len(), statement)?;
    let context = planning.cast_context();
    let is_query = !matches!(source.body.as_ref(), SetExpr::Values(_));
    let values = definition.columns.iter().enumerate().map(|(position, column)| {
        let index = targets.iter().position(|target| *target == position);
        let given = index.and_then(|index| Some((index, columns.get(index)?)));
        if let Some(error) = given.filter(|_| is_query).and_then(|_| value_refused(column, overriding)) {
            return Err(error);
        }
        let ignored = overriding == Overriding::User && column.identity.is_some();
        let value = match given.filter(|_| !ignored) {
            Some((index, given)) => assigned(Expr::Column(given.clone()), plan.schema().field(index), column, &context)
                .map_err(|error| match is_value_query {
                    true => error,
                    false => error.position(output_place(statement, &source.body, index)),
                })?,
            // What writes the rows numbers them.
            None if numbering_of(column).is_some() => null_of(column)?,
            None => default_value(planning, column)?,
        };
        Ok(value.alias(&column.name))
    });
    let values = values.collect::<Result<Vec<_>, QueryError>>()?;
    let projected = LogicalPlanBuilder::from(plan).project(values).and_then(LogicalPlanBuilder::build);
    let plan = projected.map_err(|error| translate(error, Some(statement)))?;
    Ok(SourcePlan { parameters, plan, given: columns.len().min(targets.len()) })
}

/// Fails for a parameter alone in VALUES or a select list that was declared with a type which its column is not assigned.
fn refuse_declared_source(
    body: &SetExpr,
    targets: &[&Column],
    declared: &[Option<SqlType>],
    statement: &Statement,
) -> Result<(), QueryError> {
    let check = |(value, column): (&ast::Expr, &&Column)| {
        refuse_declared_value(value, column, declared).map_err(|error| error.position(place_of(statement, value)))
    };
    match body {
        SetExpr::Values(values) => values.rows.iter().flat_map(|row| row.iter().zip(targets)).try_for_each(check),
        SetExpr::Select(select) => {
            let items = select.projection.iter().map_while(|item| match item {
                ast::SelectItem::UnnamedExpr(value) | ast::SelectItem::ExprWithAlias { expr: value, .. } => Some(value),
                _ => None,
            });
            items.zip(targets).try_for_each(check)
        }
        SetExpr::Query(query) => refuse_declared_source(&query.body, targets, declared, statement),
        _ => Ok(()),
    }
}

fn null_of(column: &Column) -> Result<Expr, QueryError> {
    let null = ScalarValue::try_from(&column.sql_type.data_type());
    null.map(|null| Expr::Literal(null, None)).map_err(|error| translate(error, None))
}

/// Writes the rows of a plan, with the numbers of the columns that it leaves open.
pub(crate) async fn from_plan(
    session: &mut Session,
    planning: &Arc<Planning>,
    (plan, numbering): (Arc<dyn ExecutionPlan>, Numbering),
    rules: Arc<RowRules>,
    (mut sink, keeps): (Sink, bool),
    statement: &Statement,
) -> Result<(Sink, Vec<RecordBatch>), QueryError> {
    let mut rows = stream(&session.engine, &session.token, plan, &planning.state, Some(statement.clone()));
    let mut returned = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let (rules, numbering) = (Arc::clone(&rules), numbering.clone());
        let pushed = session.engine.compute().spawn_blocking(move || {
            let columns = rules.definition().columns.iter().zip(batch.columns()).map(|(column, array)| {
                arrow::compute::cast(array, &column.sql_type.data_type()).map_err(|error| translate(error.into(), None))
            });
            let mut columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
            let given = columns.iter().enumerate().filter(|(position, _)| !numbering.numbers(*position));
            if let Some(violation) = rules.refused_at_once(given) {
                numbering.take_before(&violation)?;
                return Err(violation.error);
            }
            let numbers = numbering.take(batch.num_rows(), |_, _| true)?;
            for (position, array) in &numbers.columns {
                columns[*position] = Arc::clone(array);
            }
            let checked = rules.checked(columns).map_err(|violation| {
                numbers.give_back_behind(&violation);
                violation.error
            })?;
            sink.push(checked.clone())?;
            Ok((sink, checked))
        });
        let (next, batch) = joined(pushed.await)?;
        sink = next;
        if keeps {
            returned.push(batch);
        }
    }
    Ok((sink, returned))
}
