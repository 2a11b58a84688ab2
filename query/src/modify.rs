//! UPDATE and DELETE: rows are found by their place, marked dead, and for UPDATE written anew.
//!
//! Both are planned as one query over the table with its places, so any predicate that a query can have will do and segments are pruned as
//! for one:
//!
//!     UPDATE t SET a = e FROM u WHERE p   ▶   SELECT t.__part, t.__row, e, t.b, … FROM t, u WHERE p
//!
//! Segments of which a DELETE removes every row are told apart before and not read (`whole_segments`), and rows that lie anywhere are
//! found without a scan where its WHERE is simple (`found_rows`). Places become deletion vectors, new values go through an [`Intake`] as
//! those of an INSERT do. A row that several rows of `u` match is changed once, by the first that comes.

use crate::assignment::{assigned, is_default, refuse_declared_value, type_value};
use crate::changed_rows::{asks_own_table, is_over_own_table, refuse_failing_constants, widened};
use crate::engine_error::{position_of_word, translate};
use crate::error::{ErrorKind, QueryError};
use crate::execution::{compute, joined, stream};
use crate::explained_changes::{Outline, Purpose};
use crate::insert::{always_computed, named_column, written_table};
use crate::parameter_types::all_known;
use crate::plan_constants::fill_values;
use crate::planner::{Planning, Sources};
use crate::prepared::Prepared;
use crate::query_places::place_of;
use crate::response::{CommandTag, ParameterValue, Response, ResultColumn};
use crate::returning::{Extra, Returning, respond, select, target_factor};
use crate::row_calls::refuse_calls;
use crate::row_rules::RowRules;
use crate::scan::{PART, ROW};
use crate::session::Session;
use crate::standard_spellings::assignments::{assigned_item, name_column, set_document};
use crate::statement::Statement;
use crate::statement_grammar::fold;
use crate::transaction::Change;
use crate::whole_segments::{Unscanned, unscanned};
use crate::write_holds::WriteHold;
use catalog::definition::{Column, TableDefinition};
use catalog::draft::Op;
use catalog::ids::ColumnId;
use catalog::segment::DeletionVector;
use catalog::snapshot::{Snapshot, TableVersion};
use catalog::sql_type::SqlType;
use datafusion::common::ParamValues;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{
    self, AssignmentTarget, FromTable, Ident, SelectItem, Spanned, TableAlias, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};
use futures::StreamExt;
use roaring::RoaringBitmap;
use row_values::row_values;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use writer::Writer;

mod row_values;
mod writer;

/// An UPDATE or DELETE as the client wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Modification {
    pub with: Option<ast::With>,
    pub target: TableWithJoins,
    /// What UPDATE sets; `None` for DELETE.
    pub assignments: Option<Vec<ast::Assignment>>,
    /// The relations of FROM or USING.
    pub others: Vec<TableWithJoins>,
    pub selection: Option<ast::Expr>,
    pub returning: Option<Vec<SelectItem>>,
}

impl Modification {
    pub(crate) fn of_delete(with: Option<ast::With>, delete: ast::Delete) -> Result<Self, QueryError> {
        let (FromTable::WithFromKeyword(mut from) | FromTable::WithoutKeyword(mut from)) = delete.from;
        if from.len() != 1 || !delete.tables.is_empty() || !delete.order_by.is_empty() || delete.limit.is_some() {
            return Err(QueryError::new(ErrorKind::Syntax, "DELETE takes one table, without ORDER BY and LIMIT")
                .hint("Name other tables in USING."));
        }
        Ok(Self {
            with,
            target: from.remove(0),
            assignments: None,
            others: delete.using.unwrap_or_default(),
            selection: delete.selection,
            returning: delete.returning,
        })
    }

    pub(crate) fn of_update(with: Option<ast::With>, update: ast::Update) -> Result<Self, QueryError> {
        if !update.order_by.is_empty() || update.limit.is_some() || update.or.is_some() {
            return Err(QueryError::new(ErrorKind::Syntax, "UPDATE takes neither ORDER BY nor LIMIT"));
        }
        let others = match update.from {
            None => Vec::new(),
            Some(ast::UpdateTableFromKind::AfterSet(others)) => others,
            Some(ast::UpdateTableFromKind::BeforeSet(_)) => {
                return Err(QueryError::new(ErrorKind::Syntax, "FROM of UPDATE stands behind SET"));
            }
        };
        Ok(Self {
            with,
            target: update.table,
            assignments: Some(update.assignments),
            others,
            selection: update.selection,
            returning: update.returning,
        })
    }

    /// The name of the table that is changed.
    pub(crate) fn table_name(&self) -> Option<&ast::ObjectName> {
        match &self.target.relation {
            ast::TableFactor::Table { name, .. } => Some(name),
            _ => None,
        }
    }

    /// What the statement calls it instead.
    fn target_alias(&self) -> Option<&Ident> {
        match &self.target.relation {
            ast::TableFactor::Table { alias, .. } => alias.as_ref().map(|alias| &alias.name),
            _ => None,
        }
    }

    pub(crate) fn verb(&self) -> &'static str {
        if self.assignments.is_some() { "UPDATE" } else { "DELETE" }
    }
}

impl VisitMut for Modification {
    #[allow(clippy::disallowed_methods, reason = "a part of the one walk")]
    fn visit<V: VisitorMut>(&mut self, visitor: &mut V) -> ControlFlow<V::Break> {
        self.with.visit(visitor)?;
        self.target.visit(visitor)?;
        self.assignments.visit(visitor)?;
        self.others.visit(visitor)?;
        self.selection.visit(visitor)?;
        self.returning.visit(visitor)
    }
}

/// A modification planned over one snapshot.
pub(crate) struct Planned {
    table: Arc<TableDefinition>,
    version: Arc<TableVersion>,
    /// The columns that an UPDATE may change.
    changed: BTreeSet<ColumnId>,
    /// The types of the statement's parameters.
    pub parameters: Vec<SqlType>,
    /// Gives [`PART`], [`ROW`], then the table's columns where they are wanted, then extras.
    plan: LogicalPlan,
    /// Of the table's columns the plan gives those at these positions alone; see [`widened`].
    narrowed_to: Option<Vec<usize>>,
    returning: Option<(Returning, Vec<Extra>)>,
}

impl Planned {
    /// The columns that RETURNING gives.
    pub(crate) fn columns(
        &self,
        planning: &Planning,
        statement: &Statement,
    ) -> Result<Option<Vec<ResultColumn>>, QueryError> {
        let Some((returning, extras)) = &self.returning else { return Ok(None) };
        returning.columns(planning, &self.table, extras, &self.parameters, statement).map(Some)
    }

    /// Makes the plan executable with its parameters bound.
    async fn executable(
        &self,
        planning: &Planning,
        bound: LogicalPlan,
        (statement, purpose): (&Statement, Purpose),
    ) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
        let Some(changed) = &self.narrowed_to else { return purpose.physical_plan(planning, bound, statement).await };
        // Values of parameters may be spelt in another type than the columns beside them.
        let bound = if self.parameters.is_empty() { bound } else { planning.analyzed(bound, Some(statement))? };
        let wide = widened(planning, &self.table, &bound, changed, statement)?;
        planning.executable(wide).await.map_err(|error| translate(error, Some(statement)))
    }
}

/// What an UPDATE or DELETE answers and changes.
pub(crate) struct Modified {
    pub response: Response,
    pub change: Change,
    /// The snapshot in which the rows were found.
    pub read: Arc<Snapshot>,
}

/// An UPDATE or DELETE that is planned with its parameters and has not begun.
pub(crate) struct Ready<'a> {
    modification: &'a Modification,
    statement: &'a Statement,
    planning: Arc<Planning>,
    hold: Option<WriteHold>,
    planned: Planned,
    /// What a DELETE need not scan for.
    unscanned: Option<Unscanned>,
    /// Finds the rows, but for those that need no scan.
    physical: Option<Arc<dyn ExecutionPlan>>,
    values: ParamValues,
    types: Vec<Option<SqlType>>,
}

/// Runs an UPDATE or DELETE.
pub(crate) async fn run(
    session: &mut Session,
    modification: &Modification,
    statement: &Statement,
    bound: (&Prepared, &[ParameterValue]),
) -> Result<Response, QueryError> {
    ready(session, modification, statement, bound, Purpose::Run).await?.run(session).await
}

/// Plans an UPDATE or DELETE with the values of its parameters.
pub(crate) async fn ready<'a>(
    session: &mut Session,
    modification: &'a Modification,
    statement: &'a Statement,
    (prepared, parameters): (&Prepared, &[ParameterValue]),
    purpose: Purpose,
) -> Result<Ready<'a>, QueryError> {
    let style = session.output_style();
    let (values, types) = session.bind(prepared, parameters)?;
    let (table, _) = target(session.planning()?.as_ref(), modification, statement)?;
    let (hold, fresh) = purpose.planning_over(session, table.id).await?;
    let (planning, known) = match prepared.take_modification(session, &fresh) {
        Some((planning, planned)) => (planning, Some(planned)),
        None => (fresh, None),
    };
    let (over, mut tree, owned) = (Arc::clone(&planning), modification.clone(), statement.clone());
    fill_values(&mut tree, &prepared.parameters, parameters, &style)?;
    let (own_values, own_types) = (values.clone(), types.clone());
    let (planned, unscanned, physical) = compute(&session.engine, &session.token, async move {
        let planned = match known {
            Some(planned) => planned,
            None => plan(&over, &tree, &types, &owned)?,
        };
        let bound = planned.plan.clone().with_param_values(values).map_err(|error| translate(error, Some(&owned)))?;
        if tree.assignments.is_some() {
            refuse_failing_constants(&over, &bound, &owned)?;
        }
        let keeps_rows = tree.assignments.is_some() || planned.returning.is_some();
        let (unscanned, bound) = match keeps_rows {
            true => (None, Some(bound)),
            false => unscanned(&over, &planned.version, bound).map(|(unscanned, bound)| (Some(unscanned), bound))?,
        };
        let physical = match bound {
            Some(bound) => Some(planned.executable(&over, bound, (&owned, purpose)).await?),
            None => None,
        };
        Ok((planned, unscanned, physical))
    })
    .await?;
    let (values, types) = (own_values, own_types);
    Ok(Ready { modification, statement, planning, hold, planned, unscanned, physical, values, types })
}

impl Ready<'_> {
    pub(crate) fn outline(&self) -> Outline {
        let version = &self.planned.version;
        let name = self.modification.target_alias().map(fold);
        let operation = if self.modification.assignments.is_some() { "Update" } else { "Delete" };
        let without_scan = self.unscanned.as_ref().map(|unscanned| unscanned.lines(version)).unwrap_or_default();
        Outline::of_change(operation, &self.planned.table, name, &self.planning)
            .with_lines(without_scan)
            .with_plans(self.physical.iter().cloned())
    }

    pub(crate) async fn run(self, session: &mut Session) -> Result<Response, QueryError> {
        let modified = self.modified(session).await?;
        session.add_change(modified.change)?;
        Ok(modified.response)
    }

    /// Runs it, and leaves it to the caller to add its change to the transaction.
    pub(crate) async fn modified(self, session: &mut Session) -> Result<Modified, QueryError> {
        let Self { modification, statement, planning, planned, .. } = self;
        let updates = modification.assignments.is_some();
        let rules = updates.then(|| RowRules::of(&planning, &planned.table)).transpose()?;
        let rules = rules.map(|rules| rules.of_changed(|column| planned.changed.contains(&column)));
        let mut writer = Writer::new(session, &planned, rules)?;
        if let Some(Unscanned { covered, search }) = self.unscanned {
            writer.found = covered;
            if let Some(search) = search {
                writer.found.extend(search.found(&session.engine, &session.token).await?);
            }
        }
        if let Some(physical) = self.physical {
            let mut rows = stream(&session.engine, &session.token, physical, &planning.state, Some(statement.clone()));
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                let outcome = session.engine.compute().spawn_blocking(move || writer.take(&batch).map(|()| writer));
                writer = joined(outcome.await)?;
            }
        }
        let engine = Arc::clone(&session.engine);
        let (taken, returned) = joined(session.engine.compute().spawn_blocking(move || writer.finish(&engine)).await)?;
        let (rows, mut change) = taken.enforced(session, &planning.snapshot).await.map_err(|failure| failure.error)?;
        let verb = modification.verb();
        let response = match &planned.returning {
            None => Response::Command(CommandTag::Rows(verb, rows)),
            Some((returning, extras)) => {
                let table = (planned.table.as_ref(), extras.as_slice());
                let (over, plan) = returning.plan(&planning, table, returned, &self.types, statement)?;
                respond(session, (&over, &planned.table), (plan, self.values), (verb, rows), statement).await?
            }
        };
        change.holds.extend(self.hold);
        Ok(Modified { response, change, read: Arc::clone(&planning.snapshot) })
    }
}

fn target(
    planning: &Planning,
    modification: &Modification,
    statement: &Statement,
) -> Result<(Arc<TableDefinition>, Ident), QueryError> {
    let TableWithJoins { relation, joins } = &modification.target;
    let alone = joins.is_empty().then_some(relation);
    written_factor(planning, alone, modification.verb(), statement)
}

/// The table that a command writes to, and what it calls it.
pub(crate) fn written_factor(
    planning: &Planning,
    factor: Option<&TableFactor>,
    verb: &str,
    statement: &Statement,
) -> Result<(Arc<TableDefinition>, Ident), QueryError> {
    match factor {
        Some(TableFactor::Table { version: Some(_), .. }) => {
            let error = QueryError::new(ErrorKind::Syntax, "syntax error at or near \"SYSTEM_TIME\"");
            Err(error.position(position_of_word(statement, "SYSTEM_TIME")))
        }
        Some(TableFactor::Table { name, alias, args: None, .. }) => {
            refuse_column_names(alias.as_ref(), statement)?;
            let table = written_table(planning, name, statement)?;
            let bare = || Ident::with_quote('"', &table.name.name);
            let name = alias.as_ref().map_or_else(bare, |alias| alias.name.clone());
            Ok((table, name))
        }
        _ => Err(QueryError::new(ErrorKind::Syntax, format!("{verb} takes one table"))),
    }
}

/// What is changed has a name of its own at most, and none for its columns.
fn refuse_column_names(alias: Option<&TableAlias>, statement: &Statement) -> Result<(), QueryError> {
    let Some(first) = alias.and_then(|alias| alias.columns.first()) else { return Ok(()) };
    let place = statement.place_of(first.name.span).and_then(|name| {
        let before: Vec<char> = statement.source.chars().take(name - 1).collect();
        before.iter().rposition(|character| *character == '(').map(|index| index + 1)
    });
    Err(QueryError::new(ErrorKind::Syntax, "syntax error at or near \"(\"").position(place))
}

/// Plans the query that finds the rows and computes what they become.
pub(crate) fn plan(
    planning: &Planning,
    modification: &Modification,
    declared: &[Option<SqlType>],
    statement: &Statement,
) -> Result<Planned, QueryError> {
    let (table, name) = target(planning, modification, statement)?;
    let version = planning.snapshot.tables.get(&table.id).cloned().ok_or_else(|| {
        QueryError::new(ErrorKind::UndefinedTable, format!("relation \"{}\" does not exist", table.name.name))
    })?;
    let assignments = modification.assignments.as_deref();
    let others = modification.others.iter().flat_map(relation_names).collect();
    let returning = match &modification.returning {
        Some(items) => Some(Returning::new(planning, items, (&table, &name), others, statement)?),
        None => None,
    };
    refuse_calls(planning, &assigned_values(assignments.unwrap_or_default()), "UPDATE", statement)?;
    let wanted = assignments.is_some() || modification.returning.is_some();
    let values = match wanted {
        true => new_values(&table, &name, assignments, statement)?,
        false => Vec::new(),
    };
    let values: Vec<(usize, ast::Expr)> = values.into_iter().enumerate().collect();
    let _types = planning.knows_types();
    refuse_declared(&table, assignments.unwrap_or_default(), declared, statement)?;
    let changed = changed_columns(&table, assignments.unwrap_or_default());
    let rows = RowsQuery { planning, modification, name: &name, version: &version, statement };
    if asks_own_table(modification) {
        let of_changed = |(position, _): &&(usize, ast::Expr)| changed.contains(&table.columns[*position].id);
        let narrow: Vec<_> = values.iter().filter(of_changed).cloned().collect();
        let (plan, types) = rows.planned(&narrow, &[], declared)?;
        let plan = in_types_of_columns(planning, plan, &table, &narrow, statement)?;
        if is_over_own_table(&plan) {
            let narrowed_to = Some(narrow.into_iter().map(|(position, _)| position).collect());
            let parameters = all_known(types)?;
            return Ok(Planned { table, version, changed, parameters, plan, narrowed_to, returning: None });
        }
    }
    let extras: Vec<_> = returning.iter().flat_map(Returning::extra_items).collect();
    let (plan, mut types) = rows.planned(&values, &extras, declared)?;
    let returning = returning.map(|returning| {
        let extras = returning.extras(&plan, 2 + values.len());
        (returning, extras)
    });
    if let Some((returning, extras)) = &returning {
        types = returning.parameters(planning, &table, extras, types, statement)?;
    }
    let parameters = all_known(types)?;
    let plan = in_types_of_columns(planning, plan, &table, &values, statement)?;
    Ok(Planned { table, version, changed, parameters, plan, narrowed_to: None, returning })
}

/// What the queries of a modification have in common.
struct RowsQuery<'a> {
    planning: &'a Planning,
    modification: &'a Modification,
    name: &'a Ident,
    version: &'a TableVersion,
    statement: &'a Statement,
}

/// Types of parameters, as far as they are known.
type KnownTypes = Vec<Option<SqlType>>;

impl RowsQuery<'_> {
    /// The query for places, the values of columns and other items, and the types of the statement's parameters.
    fn planned(
        &self,
        values: &[(usize, ast::Expr)],
        extras: &[SelectItem],
        declared: &[Option<SqlType>],
    ) -> Result<(LogicalPlan, KnownTypes), QueryError> {
        let Self { modification, name, statement, .. } = self;
        let own = |column: &str| {
            let column = vec![(*name).clone(), Ident::with_quote('"', column)];
            SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(column))
        };
        let mut items = vec![own(PART), own(ROW)];
        items.extend(values.iter().map(|(position, value)| SelectItem::ExprWithAlias {
            expr: value.clone(),
            alias: Ident::new(format!("__value{position}")),
        }));
        items.extend(extras.iter().cloned());
        let mut from = vec![TableWithJoins { relation: target_factor(name), joins: Vec::new() }];
        from.extend(modification.others.iter().cloned());
        let query = select(items, from, modification.selection.clone(), modification.with.clone())?;
        let over = self.planning.with_sources(Sources::Target(self.planning.places_source(self.version)));
        let types = over.types_so_far(&query, declared, Some(statement))?;
        let plan = over.query_plan(&query, &types, Some(statement))?;
        Ok((plan, types))
    }
}

/// What assignments give their columns.
pub(crate) fn assigned_values(assignments: &[ast::Assignment]) -> Vec<ast::Expr> {
    assignments.iter().map(|assignment| assignment.value.clone()).collect()
}

/// The columns that assignments name, and those that are computed; names that are none were refused before.
pub(crate) fn changed_columns(table: &TableDefinition, assignments: &[ast::Assignment]) -> BTreeSet<ColumnId> {
    let named = assignments.iter().flat_map(|assignment| match &assignment.target {
        AssignmentTarget::ColumnName(column) => vec![column],
        AssignmentTarget::Tuple(columns) => columns.iter().collect(),
    });
    let names = named.filter_map(|column| column.0.last().and_then(|part| part.as_ident()).map(fold));
    let set = names.filter_map(|name| table.columns.iter().find(|column| column.name == name));
    set.chain(table.columns.iter().filter(|column| column.generated.is_some())).map(|column| column.id).collect()
}

/// What the relations of a FROM are called.
fn relation_names(table: &TableWithJoins) -> Vec<String> {
    let factors = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
    let names = factors.filter_map(|factor| match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => Some(fold(&alias.name)),
        TableFactor::Table { name, alias: None, .. } => name.0.last().and_then(|part| part.as_ident()).map(fold),
        _ => None,
    });
    names.collect()
}

/// The values of all columns after an UPDATE, and the old ones without assignments.
pub(crate) fn new_values(
    table: &TableDefinition,
    name: &Ident,
    assignments: Option<&[ast::Assignment]>,
    statement: &Statement,
) -> Result<Vec<ast::Expr>, QueryError> {
    let mut set: BTreeMap<usize, ast::Expr> = BTreeMap::new();
    for assignment in assignments.into_iter().flatten() {
        for (column, value) in single_assignments(assignment, table, statement)? {
            let position = named_column(table, &fold(column), &[])
                .map_err(|error| error.position(statement.place_of(column.span)))?;
            if !is_default(&value) {
                refuse_update(&table.columns[position])?;
            }
            let mut value = value;
            let before = set.remove(&position);
            let is_other = match assigned_item(&mut value) {
                Some((item, new)) => {
                    let target = &table.columns[position];
                    refuse_subscript(target).map_err(|error| error.position(statement.place_of(column.span)))?;
                    type_value(new, target)?;
                    let old =
                        || ast::Expr::CompoundIdentifier(vec![name.clone(), Ident::with_quote('"', &target.name)]);
                    let is_other = before.as_ref().is_some_and(|before| assigned_item(&mut before.clone()).is_none());
                    set_document(item, before.unwrap_or_else(old));
                    name_column(&mut value, &target.name);
                    is_other
                }
                None => before.is_some(),
            };
            set.insert(position, value);
            if is_other {
                let message = format!("multiple assignments to same column \"{}\"", fold(column));
                return Err(QueryError::new(ErrorKind::Syntax, message));
            }
        }
    }
    let values = table.columns.iter().enumerate().map(|(position, column)| match set.remove(&position) {
        Some(mut value) => {
            type_value(&mut value, column)?;
            Ok(value)
        }
        // It is computed from the others, where they change.
        None if column.generated.is_some() && assignments.is_some() => Ok(ast::Expr::value(ast::Value::Null)),
        None => Ok(ast::Expr::CompoundIdentifier(vec![name.clone(), Ident::with_quote('"', &column.name)])),
    });
    values.collect()
}

/// Fails for a parameter alone that was declared with a type which its column is not assigned.
pub(crate) fn refuse_declared(
    table: &TableDefinition,
    assignments: &[ast::Assignment],
    declared: &[Option<SqlType>],
    statement: &Statement,
) -> Result<(), QueryError> {
    for assignment in assignments {
        for (name, value) in single_assignments(assignment, table, statement)? {
            let position = named_column(table, &fold(name), &[])?;
            refuse_declared_value(&value, &table.columns[position], declared)
                .map_err(|error| error.position(place_of(statement, &value)))?;
        }
    }
    Ok(())
}

/// Fails for a column whose items cannot be assigned.
fn refuse_subscript(column: &Column) -> Result<(), QueryError> {
    match &column.sql_type {
        SqlType::Jsonb => Ok(()),
        SqlType::Array(_) => Err(QueryError::unsupported("assignment to an item of an array")
            .hint("Assign the whole array, as in SET a = a[:1] || 5 || a[3:].")),
        other => {
            let message =
                format!("cannot subscript type {} because it does not support subscripting", other.base_name());
            Err(QueryError::new(ErrorKind::DatatypeMismatch, message))
        }
    }
}

/// Fails for a column that is never given a value.
fn refuse_update(column: &Column) -> Result<(), QueryError> {
    let Some(detail) = always_computed(column) else { return Ok(()) };
    let message = format!("column \"{}\" can only be updated to DEFAULT", column.name);
    Err(QueryError::new(ErrorKind::GeneratedAlways, message).detail(detail).column(&column.name))
}

/// `(a, b) = (1, 2)` is two assignments, and so is `(a, b) = (SELECT x, y …)`.
fn single_assignments<'a>(
    assignment: &'a ast::Assignment,
    table: &TableDefinition,
    statement: &Statement,
) -> Result<Vec<(&'a Ident, ast::Expr)>, QueryError> {
    match &assignment.target {
        AssignmentTarget::ColumnName(column) => {
            Ok(vec![(assigned_column(column, table, statement)?, assignment.value.clone())])
        }
        AssignmentTarget::Tuple(columns) => {
            let names = columns.iter().map(|column| assigned_column(column, table, statement));
            let names = names.collect::<Result<Vec<_>, _>>()?;
            let values = row_values(&assignment.value, statement)?;
            if names.len() != values.len() {
                let message = "number of columns does not match number of values";
                return Err(
                    QueryError::new(ErrorKind::Syntax, message).position(place_of(statement, &assignment.value))
                );
            }
            Ok(names.into_iter().zip(values).collect())
        }
    }
}

fn assigned_column<'a>(
    column: &'a ast::ObjectName,
    table: &TableDefinition,
    statement: &Statement,
) -> Result<&'a Ident, QueryError> {
    let first = column.0.first().and_then(|part| part.as_ident());
    match first {
        Some(name) if column.0.len() == 1 => Ok(name),
        // PostgreSQL reads `t.a` as field a of a column t.
        first => {
            let shown = first.map(fold).unwrap_or_default();
            let message = format!("column \"{shown}\" of relation \"{}\" does not exist", table.name.name);
            Err(QueryError::new(ErrorKind::UndefinedColumn, message).position(statement.place_of(column.span())))
        }
    }
}

/// Casts the new values of all columns to the columns' types, by assignment. Two columns stand before them.
pub(crate) fn in_column_types(
    planning: &Planning,
    plan: LogicalPlan,
    table: &TableDefinition,
    values: &[ast::Expr],
    statement: &Statement,
) -> Result<LogicalPlan, QueryError> {
    let values: Vec<_> = values.iter().cloned().enumerate().collect();
    in_types_of_columns(planning, plan, table, &values, statement)
}

/// The same for the new values of the columns at their positions.
fn in_types_of_columns(
    planning: &Planning,
    plan: LogicalPlan,
    table: &TableDefinition,
    values: &[(usize, ast::Expr)],
    statement: &Statement,
) -> Result<LogicalPlan, QueryError> {
    if values.is_empty() {
        return Ok(plan);
    }
    let _types = planning.knows_types();
    let context = planning.cast_context();
    let columns = plan.schema().columns();
    let projected = columns.iter().enumerate().map(|(index, column)| {
        let value = datafusion::logical_expr::Expr::Column(column.clone());
        let Some((position, given)) = values.get(index.wrapping_sub(2)) else { return Ok(value) };
        assigned(value, plan.schema().field(index), &table.columns[*position], &context)
            .map(|value| value.alias(format!("__new{position}")))
            .map_err(|error| error.position(place_of(statement, given)))
    });
    let projected = projected.collect::<Result<Vec<_>, QueryError>>()?;
    let plan = LogicalPlanBuilder::from(plan).project(projected).and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| translate(error, Some(statement)))
}

/// Parts are numbered as [`crate::scan::RowSet::of_table`] numbers them: segments in order, then recent batches.
pub(crate) fn delete_op(version: &TableVersion, found: BTreeMap<u32, RoaringBitmap>) -> Op {
    let segment_ids: Vec<_> = version.segments.keys().copied().collect();
    let mut segments = Vec::new();
    let mut recent = Vec::new();
    for (part, rows) in found {
        let vector = Arc::new(DeletionVector(rows));
        match segment_ids.get(part as usize) {
            Some(id) => segments.push((*id, vector)),
            None => {
                let batch = version.recent.get(part as usize - segment_ids.len());
                recent.push((batch.expect("a part of this version").id, vector));
            }
        }
    }
    Op::Delete { table: version.definition.id, segments, recent }
}
