//! Derived tables: CREATE TABLE … AS, SELECT … INTO, and what LIKE copies: columns, keys and CHECK constraints.

use crate::column_defaults::Numbering;
use crate::definitions::{done, stays_logged, stored_type, taken, view_columns};
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execute_arguments::values_of_call;
use crate::execution::{compute, joined};
use crate::explained_changes::{Outline, Purpose};
use crate::insert::from_plan;
use crate::intake::Intake;
use crate::keys::definition::{KeyClause, NewKeys, add as add_keys};
use crate::keys::upsert::Sink;
use crate::plain_indexes::copied;
use crate::plan_constants::fill_values;
use crate::planner::{Planning, result_columns};
use crate::prepared::{Prepared, with_current_labels};
use crate::response::{CommandTag, ParameterValue, Response};
use crate::retention;
use crate::row_rules::RowRules;
use crate::session::Session;
use crate::statement::{Statement, StatementKind};
use crate::statement_grammar::deriving::{CreateTableAs, Like};
use crate::statement_grammar::fold;
use crate::table_definition::{define, storable};
use crate::temporary::{self, new_relation, warn_global};
use crate::transaction::Change;
use catalog::definition::{CheckConstraint, Column, TableDefinition};
use catalog::draft::Op;
use catalog::snapshot::Relation;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Spanned};
use std::sync::Arc;

/// A CREATE TABLE … AS that is planned and has not begun.
pub(crate) struct Ready<'a> {
    create: &'a CreateTableAs,
    statement: &'a Statement,
    planning: Arc<Planning>,
    definition: Arc<TableDefinition>,
    /// Gives the table's rows; WITH NO DATA has none, but where EXPLAIN shows it.
    physical: Option<Arc<dyn ExecutionPlan>>,
}

/// Runs CREATE TABLE … AS.
pub(crate) async fn create_table_as(
    session: &mut Session,
    create: &CreateTableAs,
    statement: &Statement,
    bound: (&Prepared, &[ParameterValue]),
) -> Result<Response, QueryError> {
    match ready(session, create, statement, bound, Purpose::Run).await? {
        Some(ready) => ready.run(session).await,
        None => Ok(done("CREATE TABLE AS")),
    }
}

/// Plans a CREATE TABLE … AS; `None` where the table is there already and that is fine.
pub(crate) async fn ready<'a>(
    session: &mut Session,
    create: &'a CreateTableAs,
    statement: &'a Statement,
    (prepared, values): (&Prepared, &[ParameterValue]),
    purpose: Purpose,
) -> Result<Option<Ready<'a>>, QueryError> {
    warn_global(session, &create.table.definition);
    let (planning, name) = new_relation(session, &create.table.definition.name, create.table.definition.temporary)?;
    if taken(session, &planning, &name, create.table.definition.if_not_exists)? {
        return Ok(None);
    }
    let plan = match &create.execute {
        Some(call) => executed(session, &planning, call, statement).await?,
        None => bound_plan(session, &planning, (prepared, values), &create.query, statement)?,
    };
    let mut columns = view_columns(&result_columns(&plan, &planning.snapshot)?, &create.names())?;
    for column in &mut columns {
        column.sql_type = stored_type(&column.sql_type);
        storable(&column.sql_type, &column.name)?;
        follow_domain(&planning, column);
    }
    let id = session.engine.catalog.allocate_object();
    let new_keys = NewKeys { snapshot: &planning.snapshot, catalog: &session.engine.catalog };
    let definition = Arc::new(define(&create.table, vec![(0, columns)], id, name, &new_keys, statement)?);
    let mut physical = None;
    if create.with_data || purpose == Purpose::Explain {
        let (over, owned) = (Arc::clone(&planning), statement.clone());
        let planned = async move { purpose.physical_plan(&over, plan, &owned).await };
        physical = Some(compute(&session.engine, &session.token, planned).await?);
    }
    Ok(Some(Ready { create, statement, planning, definition, physical }))
}

impl Ready<'_> {
    pub(crate) fn outline(&self) -> Outline {
        Outline::of_query(&self.planning).with_plans(self.physical.iter().cloned())
    }

    pub(crate) async fn run(self, session: &mut Session) -> Result<Response, QueryError> {
        let Self { create, statement, planning, definition, physical } = self;
        temporary::settle(session, &planning, &create.table.definition, &definition)?;
        if let Some(notice) = retention::notice(&planning.snapshot, &definition) {
            session.push_notice(notice);
        }
        if create.table.unlogged {
            stays_logged(session, &definition.name.name);
        }
        let mut change = Change::of(vec![Op::CreateTable(Arc::clone(&definition))]);
        let tag = match physical.filter(|_| create.with_data) {
            None => CommandTag::Plain("CREATE TABLE AS"),
            Some(plan) => {
                let rules = Arc::new(RowRules::compile(&planning, &definition)?);
                let numbering = Numbering::of(&planning, &definition, []);
                let intake = Intake::new(&session.engine, Arc::clone(&definition))?.beside(session.inline_bytes());
                let (sink, _) =
                    from_plan(session, &planning, (plan, numbering), rules, (Sink::Intake(intake), false), statement)
                        .await?;
                let Sink::Intake(intake) = sink else {
                    return Err(QueryError::new(ErrorKind::Internal, "the rows of a new table wait for conflicts"));
                };
                let engine = Arc::clone(&session.engine);
                let taken = joined(session.engine.compute().spawn_blocking(move || intake.finish(&engine)).await)?;
                change.ops.extend(taken.change.ops);
                change.staged = taken.change.staged;
                CommandTag::Rows("SELECT", taken.rows)
            }
        };
        session.add_change(change)?;
        Ok(Response::Command(tag))
    }
}

/// The plan of a prepared statement with its arguments.
async fn executed(
    session: &mut Session,
    planning: &Planning,
    (name, arguments): &(String, Vec<Expr>),
    statement: &Statement,
) -> Result<LogicalPlan, QueryError> {
    let prepared =
        session.named_statement(name)?.1.map(|prepared| with_current_labels(session, &prepared)).transpose()?;
    let Some((prepared, StatementKind::Query(query))) =
        prepared.as_ref().map(|prepared| (prepared, &prepared.statement.kind))
    else {
        return Err(QueryError::new(ErrorKind::WrongObjectType, "prepared statement is not a SELECT"));
    };
    let values =
        values_of_call(session, (name.as_str(), arguments.as_slice()), &prepared.parameters, statement).await?;
    bound_plan(session, planning, (prepared, &values), query, &prepared.statement)
}

/// The plan of a query with the values of its statement's parameters.
fn bound_plan(
    session: &mut Session,
    planning: &Planning,
    (prepared, values): (&Prepared, &[ParameterValue]),
    query: &ast::Query,
    statement: &Statement,
) -> Result<LogicalPlan, QueryError> {
    let style = session.output_style();
    let (bound, types) = session.bind(prepared, values)?;
    let mut query = query.clone();
    fill_values(&mut query, &prepared.parameters, values, &style)?;
    let plan = planning.query_plan(&query, &types, Some(statement))?;
    plan.with_param_values(bound).map_err(|error| translate(error, Some(statement)))
}

/// The columns that LIKE clauses copy, each with the number of the statement's own columns before them.
pub(crate) fn like_columns(
    planning: &Planning,
    likes: &[Like],
    statement: &Statement,
) -> Result<Vec<(usize, Vec<Column>)>, QueryError> {
    let copied = likes.iter().map(|like| {
        let name = planning.object_name(&like.relation)?;
        let written: Vec<String> = like.relation.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
        let relation = planning.relation(&name, &written.join("."));
        let columns = match relation.map_err(|error| error.position(statement.place_of(like.relation.span())))? {
            Relation::Table(table) => {
                refuse_rules(&table.definition, like)?;
                &table.definition.columns
            }
            Relation::View(view) => &view.definition.columns,
            Relation::Sequence(_) => {
                let message = format!("relation \"{}\" is invalid in LIKE clause", name.name);
                return Err(QueryError::new(ErrorKind::WrongObjectType, message));
            }
        };
        let copy = |column: &Column| {
            let sql_type = stored_type(&column.sql_type);
            storable(&sql_type, &column.name)?;
            let default = column.default.clone().filter(|_| like.includes("defaults"));
            let plain = Column::new(column.id, &column.name, sql_type);
            let (digits, domain) = (column.digits, column.domain.clone());
            let mut copied = Column { not_null: column.not_null, digits, domain, default, ..plain };
            follow_domain(planning, &mut copied);
            Ok(copied)
        };
        Ok((like.position, columns.iter().map(copy).collect::<Result<_, QueryError>>()?))
    });
    copied.collect()
}

/// Gives a column the domain as it is now.
fn follow_domain(planning: &Planning, column: &mut Column) {
    let domain = column.domain.as_ref().and_then(|domain| planning.snapshot.types.get(&domain.id));
    column.domain = domain.and_then(|known| known.domain_use());
}

/// Adds the keys, plain indexes and CHECK constraints that LIKE clauses copy. Keys and indexes get names of their own, CHECK constraints
/// keep theirs.
pub(crate) fn add_like_rules(
    planning: &Planning,
    definition: &mut TableDefinition,
    likes: &[Like],
    new_keys: &NewKeys<'_>,
    statement: &Statement,
) -> Result<(), QueryError> {
    for like in likes {
        let Relation::Table(table) = planning.relation(&planning.object_name(&like.relation)?, "")? else { continue };
        let table = &table.definition;
        for check in table.checks.iter().filter(|_| like.includes("constraints")) {
            if definition.checks.iter().any(|known| known.name == check.name) {
                let message = format!("check constraint \"{}\" already exists", check.name);
                return Err(QueryError::new(ErrorKind::DuplicateObject, message));
            }
            definition.checks.push(CheckConstraint { id: new_keys.catalog.allocate_object(), ..check.clone() });
        }
        for key in table.keys.iter().filter(|_| like.includes("indexes")) {
            let names = key.columns.iter().filter_map(|id| table.column(*id));
            let names: Vec<Ident> = names.map(|column| Ident::with_quote('"', &column.name)).collect();
            // One by one: a key that says the same as another is copied all the same.
            add_keys(definition, vec![KeyClause::copied(key, &names)], new_keys, statement)?;
        }
        for index in table.plain_indexes.iter().filter(|_| like.includes("indexes")) {
            let id = new_keys.catalog.allocate_object();
            let copy = copied(index, (table, definition), id, |name| new_keys.snapshot.has_name(name));
            definition.plain_indexes.extend(copy);
        }
    }
    Ok(())
}

/// Rules that LIKE should copy and cannot are refused, not forgotten.
fn refuse_rules(table: &TableDefinition, like: &Like) -> Result<(), QueryError> {
    let generated = table.columns.iter().any(|column| column.generated.is_some());
    let identity = table.columns.iter().any(|column| column.identity.is_some());
    let there = [("generated", generated), ("identity", identity)];
    match there.iter().find(|(what, there)| *there && like.includes(what)) {
        Some((what, _)) => {
            let what = what.to_uppercase();
            Err(QueryError::unsupported(format!("LIKE … INCLUDING {what} of a table that has some"))
                .hint(format!("Say EXCLUDING {what}, and declare them for the new table.")))
        }
        None => Ok(()),
    }
}
