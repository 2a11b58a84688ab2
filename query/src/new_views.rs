//! CREATE and REFRESH MATERIALIZED VIEW: a query with a name, whose state is kept from then on.

use crate::background;
use crate::definitions::{
    as_defined, bind_names, done, new_name, refuse_parameters, state_definition, taken, view_columns, volatile_function,
};
use crate::engine::conflict_error;
use crate::engine_error::translate;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::execution::{compute, stream};
use crate::explained_changes::{Outline, Purpose};
use crate::planner::{Planning, Sources, result_columns};
use crate::response::Response;
use crate::session::Session;
use crate::statement::{CreateView, Statement};
use crate::temporary::reads_temporary;
use crate::transaction::Change;
use crate::view_builds::Phase;
use crate::view_reading;
use catalog::definition::{FIRST_VERSION, ViewDefinition};
use catalog::draft::Op;
use catalog::ids::ObjectId;
use catalog::snapshot::{Relation, Snapshot};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;
use views::Class;

/// A CREATE MATERIALIZED VIEW that is planned and has not begun.
pub(crate) struct Ready<'a> {
    create: &'a CreateView,
    statement: &'a Statement,
    planning: Arc<Planning>,
    definition: ViewDefinition,
    class: Class,
    /// The definition's query; not that of WITH NO DATA, but where EXPLAIN shows it.
    physical: Option<Arc<dyn ExecutionPlan>>,
}

/// Runs CREATE MATERIALIZED VIEW.
pub(crate) async fn create_view(
    session: &mut Session,
    create: &CreateView,
    statement: &Statement,
    alone: bool,
) -> Result<Response, QueryError> {
    match ready(session, create, statement, Purpose::Run).await? {
        Some(ready) => ready.run(session, alone).await,
        None => Ok(done("CREATE MATERIALIZED VIEW")),
    }
}

/// Plans a CREATE MATERIALIZED VIEW; `None` where the view is there already and that is fine.
pub(crate) async fn ready<'a>(
    session: &mut Session,
    create: &'a CreateView,
    statement: &'a Statement,
    purpose: Purpose,
) -> Result<Option<Ready<'a>>, QueryError> {
    let planning = session.planning()?;
    let name = new_name(&planning, &create.name)?;
    if planning.snapshot.is_temporary(&name) {
        return Err(QueryError::unsupported("a temporary materialized view").hint("Make a temporary table."));
    }
    if taken(session, &planning, &name, create.if_not_exists)? {
        return Ok(None);
    }
    refuse_parameters(&create.query, statement)?;
    let (bound, inputs) = bind_names(&planning, &create.query, statement, false)?;
    if reads_temporary(&planning.snapshot, &inputs) {
        let message = "materialized views must not use temporary tables or views";
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
    }
    let shown = planning.with_sources(Sources::Schemas).query_plan(&create.query, &[], Some(statement))?;
    let columns = view_columns(&result_columns(&shown, &planning.snapshot)?, &create.columns)?;
    let plan = planning.query_plan(&bound, &[], Some(statement))?;
    refuse_volatile(&plan)?;
    let time_zone = session.settings.get("TimeZone").unwrap_or_default();
    let program = view_reading::compile_query(&planning, &bound, &time_zone)?;
    let id = session.engine.catalog.allocate_object();
    let state =
        program.state_columns().map(|columns| state_definition(session.engine.catalog.allocate_object(), id, columns));
    let (query, populated, version) = (bound.to_string(), create.with_data, FIRST_VERSION);
    let definition = ViewDefinition { id, name, query, time_zone, columns, inputs, state, populated, version };
    let mut physical = None;
    if create.with_data || purpose == Purpose::Explain {
        let (over, owned) = (Arc::clone(&planning), statement.clone());
        let planned = async move { purpose.physical_plan(&over, plan, &owned).await };
        physical = Some(compute(&session.engine, &session.token, planned).await?);
    }
    Ok(Some(Ready { create, statement, planning, definition, class: program.class().clone(), physical }))
}

impl Ready<'_> {
    pub(crate) fn outline(&self) -> Outline {
        Outline::of_query(&self.planning)
            .with_lines([format!("class: {}", self.class)])
            .with_plans(self.physical.iter().cloned())
    }

    pub(crate) async fn run(mut self, session: &mut Session, alone: bool) -> Result<Response, QueryError> {
        if let Some(physical) = self.physical.take().filter(|_| self.create.with_data) {
            let statement = Some(self.statement.clone());
            try_query(session, (&self.planning, &self.definition), physical, statement).await?;
        }
        let id = self.definition.id;
        let mut ops = as_defined(&self.planning.snapshot, &self.definition.inputs);
        ops.push(Op::CreateView(Arc::new(self.definition)));
        session.add_change(Change::of(ops))?;
        announce(session, &self.class);
        if alone && self.create.with_data {
            session.finish_implicit().await?;
            if let Some(error) = background::build_view(session, id).await? {
                let shown = self.create.name.to_string();
                session.notice(
                    NoticeSeverity::Warning,
                    format!("view {shown} is read by its query until its state is built: {error}"),
                );
            }
        }
        Ok(done("CREATE MATERIALIZED VIEW"))
    }
}

/// REFRESH changes whether a view may be read. There is nothing to compute anew, but what reads of it would fail with.
pub(crate) async fn refresh(
    session: &mut Session,
    name: &ast::ObjectName,
    (concurrently, with_data): (bool, bool),
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let object = planning.object_name(name)?;
    let view = match planning.relation(&object, &name.to_string())? {
        Relation::View(view) if !view.definition.is_plain() => view,
        _ => {
            return Err(QueryError::new(
                ErrorKind::WrongObjectType,
                format!("\"{}\" is not a materialized view", object.name),
            ));
        }
    };
    if concurrently && !view.definition.populated {
        let message = "CONCURRENTLY cannot be used when the materialized view is not populated";
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
    }
    if concurrently && !with_data {
        let message = "CONCURRENTLY and WITH NO DATA options cannot be used together";
        return Err(QueryError::new(ErrorKind::Syntax, message));
    }
    if with_data {
        let plan = view_reading::read_plan(&planning, view).map_err(|error| translate(error, None))?;
        let over = Arc::clone(&planning);
        let planned = async move { over.physical_plan(&plan, None).await };
        let physical = compute(&session.engine, &session.token, planned).await?;
        try_query(session, (&planning, &view.definition), physical, None).await?;
    }
    if view.definition.populated != with_data {
        let version = view.definition.version + 1;
        let altered = ViewDefinition { populated: with_data, version, ..ViewDefinition::clone(&view.definition) };
        planning
            .snapshot
            .apply(planning.snapshot.seq.next(), 0, &[Op::AlterView(Arc::new(altered.clone()))])
            .map_err(conflict_error)?;
        session.add_change(Change::of(vec![Op::AlterView(Arc::new(altered))]))?;
    }
    Ok(done("REFRESH MATERIALIZED VIEW"))
}

/// A view that fails must fail now: its rows are computed, and told to nobody.
async fn try_query(
    session: &Session,
    (planning, definition): (&Arc<Planning>, &ViewDefinition),
    physical: Arc<dyn ExecutionPlan>,
    statement: Option<Statement>,
) -> Result<(), QueryError> {
    let phase = (Phase::Query, rows_below(&planning.snapshot, &definition.inputs));
    let name = (definition.id, &definition.name);
    let _shown = session.engine.view_builds.show(name, phase, Some(session.process_id), &physical);
    let mut rows = stream(&session.engine, &session.token, physical, &planning.state, statement);
    while let Some(batch) = futures::StreamExt::next(&mut rows).await {
        batch?;
    }
    Ok(())
}

fn announce(session: &mut Session, class: &Class) {
    if let Class::Recompute { reason } = class {
        session.notice(NoticeSeverity::Notice, format!("the view is recomputed at every read, because {reason}"));
    }
}

/// The rows of the tables that relations are computed from, each counted once for each relation that reads it.
fn rows_below(snapshot: &Snapshot, inputs: &[ObjectId]) -> u64 {
    let rows = inputs.iter().map(|input| match snapshot.relation_by_id(*input) {
        Some(Relation::Table(table)) => table.rows_live(),
        Some(Relation::View(view)) => rows_below(snapshot, &view.definition.inputs),
        Some(Relation::Sequence(_)) | None => 0,
    });
    rows.sum()
}

fn refuse_volatile(plan: &LogicalPlan) -> Result<(), QueryError> {
    match volatile_function(plan) {
        None => Ok(()),
        Some(name) => {
            Err(QueryError::new(ErrorKind::InvalidObjectDefinition, format!("a materialized view cannot use {name}()"))
                .detail("Its value changes with every call, so no view could equal its query."))
        }
    }
}
