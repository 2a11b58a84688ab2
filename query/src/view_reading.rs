//! Reading views: `read(V, S) = state(frontier) ⊕ delta(frontier, S]`, or the query at S where no state serves.
//!
//! This is where a view's program meets a snapshot's rows. It decides, never guesses: a state is used when it has a frontier, the
//! table's changes reach back to it and are not more than the table itself; otherwise the definition is planned over the snapshot.

use crate::engine_error::translate;
use crate::error::QueryError;
use crate::planner::{Planning, Sources};
use crate::scan::{Extra, RowSet, external};
use catalog::definition::{ObjectName, ViewDefinition};
use catalog::ids::ObjectId;
use catalog::snapshot::{Relation, TableChange, TableVersion, ViewVersion};
use catalog::sql_type::SqlType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, Result, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use views::{Bound, Class, Delta, SignedRows, ViewProgram};

/// Compiled programs, one a view definition; rebuilt when asked for, never stored.
#[derive(Debug, Default)]
pub(crate) struct Programs(Mutex<HashMap<ObjectId, Compiled>>);

/// A program with the definition that it was compiled from.
type Compiled = (Arc<ViewDefinition>, Arc<ViewProgram>);

impl Programs {
    /// The program of a view's definition.
    pub(crate) fn of(
        &self,
        planning: &Planning,
        definition: &Arc<ViewDefinition>,
    ) -> std::result::Result<Arc<ViewProgram>, QueryError> {
        if let Some((known, program)) = self.0.lock().get(&definition.id)
            && Arc::ptr_eq(known, definition)
        {
            return Ok(Arc::clone(program));
        }
        let program = Arc::new(compile(planning, &definition.query, &definition.time_zone)?);
        if program.reads_session() || definition.is_plain() {
            return Ok(program);
        }
        self.0.lock().insert(definition.id, (Arc::clone(definition), Arc::clone(&program)));
        Ok(program)
    }

    /// Forgets the programs of views that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(ObjectId) -> bool) {
        self.0.lock().retain(|id, _| exists(*id));
    }
}

/// Compiles a definition's text. Tables are known by schema only, so the program serves every snapshot.
///
/// A program that reads the session is compiled for each reader.
pub(crate) fn compile(
    planning: &Planning,
    text: &str,
    time_zone: &str,
) -> std::result::Result<ViewProgram, QueryError> {
    let statements = crate::statement::parse(text)?;
    let Some(crate::statement::StatementKind::Query(query)) =
        statements.into_iter().next().map(|statement| statement.kind)
    else {
        return Err(QueryError::new(crate::error::ErrorKind::Internal, "a view's definition is not a query"));
    };
    compile_query(planning, &query, time_zone)
}

/// Compiles a query in the time zone that the view was defined in, or the session's for a plain one.
pub(crate) fn compile_query(
    planning: &Planning,
    query: &ast::Query,
    time_zone: &str,
) -> std::result::Result<ViewProgram, QueryError> {
    let schemas = planning.with_sources(Sources::Schemas);
    let schemas = if time_zone.is_empty() { schemas } else { schemas.in_time_zone(time_zone) };
    let plan = schemas.analyzed(schemas.query_plan(query, &[], None)?, None)?;
    let maintainable = |table: &TableReference| matches!(relation_of(planning, table), Some(Relation::Table(_)));
    ViewProgram::compile(plan, maintainable).map_err(|error| translate(error, None))
}

fn relation_of<'a>(planning: &'a Planning, table: &TableReference) -> Option<Relation<'a>> {
    planning.snapshot.relation(&ObjectName::new(table.schema()?, table.table()))
}

/// The plan that gives a view's rows at the planning's snapshot, columns named as the view declares them.
pub(crate) fn read_plan(planning: &Planning, view: &ViewVersion) -> Result<LogicalPlan> {
    let zone = &view.definition.time_zone;
    if !zone.is_empty() && !planning.is_in_time_zone(zone) {
        // Plain views below compute in its zone too.
        return read_plan(&planning.again().in_time_zone(zone), view);
    }
    let program = planning.engine.programs.of(planning, &view.definition).map_err(external)?;
    let plan = match usable_state(planning, view) {
        Some(used)
            if matches!(program.class(), Class::Delta { .. }) && (program.is_infallible() || !used.removes()) =>
        {
            let state = planning.rows_source(&format!("state of {}", view.definition.name.name), used.state_rows(view));
            program.read_plan(state, used.delta(planning))?
        }
        _ => definition_plan(planning, &program)?,
    };
    with_declared_names(plan, &view.definition)
}

/// The view's query over the snapshot.
pub(crate) fn definition_plan(planning: &Planning, program: &ViewProgram) -> Result<LogicalPlan> {
    program.definition_plan(|table| match relation_of(planning, table) {
        Some(Relation::Table(version)) => Ok(Bound::Source(
            planning.rows_source(&version.definition.name.name, RowSet::of_table(version, Extra::None)),
        )),
        Some(Relation::View(view)) => Ok(Bound::Plan(read_plan(planning, view)?)),
        Some(Relation::Sequence(_)) | None => {
            use datafusion::logical_expr::planner::ContextProvider;
            Ok(Bound::Source(planning.get_table_source(table.clone())?))
        }
    })
}

fn with_declared_names(plan: LogicalPlan, definition: &ViewDefinition) -> Result<LogicalPlan> {
    let columns: Vec<Column> = plan.schema().columns();
    let shown = columns.into_iter().zip(&definition.columns).map(|(column, declared)| {
        let value = datafusion::logical_expr::cast(Expr::Column(column), declared.sql_type.data_type());
        match &declared.sql_type {
            // Its length, by which it is printed, is lost where it was a key of the state.
            padded @ SqlType::Bpchar { .. } => {
                let metadata = FieldMetadata::new_from_field(&padded.field(&declared.name, true));
                value.alias_with_metadata(&declared.name, Some(metadata))
            }
            _ => value.alias(&declared.name),
        }
    });
    LogicalPlanBuilder::from(plan).project(shown.collect::<Vec<_>>())?.build()
}

/// A state that can serve a read, with what is not folded into it.
pub(crate) struct UsableState<'a> {
    table: &'a Arc<TableVersion>,
    /// The changes after the frontier, or after the truncation that emptied the table.
    pub changes: &'a [Arc<TableChange>],
    /// The state's rows are all gone: the table was truncated after the frontier.
    pub emptied: bool,
}

/// The state of a view, if reading it is right and worth it.
pub(crate) fn usable_state<'a>(planning: &'a Planning, view: &ViewVersion) -> Option<UsableState<'a>> {
    let used = pending(planning, view)?;
    let changed: u64 = used.changes.iter().map(|change| change.rows()).sum();
    (changed <= used.table.rows_live().max(100_000)).then_some(used)
}

/// The state of a view with its pending changes, if the changes reach back to its frontier.
pub(crate) fn pending<'a>(planning: &'a Planning, view: &ViewVersion) -> Option<UsableState<'a>> {
    view.state.as_ref()?;
    let frontier = view.frontier?;
    let [input] = view.definition.inputs.as_slice() else { return None };
    let table = planning.snapshot.tables.get(input)?;
    let changes = table.changes_since(frontier)?;
    let truncated = changes.iter().rposition(|change| change.truncated);
    Some(UsableState { table, changes: &changes[truncated.unwrap_or(0)..], emptied: truncated.is_some() })
}

impl UsableState<'_> {
    /// Whether rows went. An expression that fails on such a row fails in the delta, but not in the query.
    fn removes(&self) -> bool {
        self.changes.iter().any(|change| !change.dead.is_empty() || !change.removed_rows.is_empty())
    }

    /// The runs, or none of them after a truncation.
    pub(crate) fn state_rows(&self, view: &ViewVersion) -> RowSet {
        let state = view.state.as_ref().expect("a usable state is there");
        let mut rows = RowSet::of_table(state, Extra::None);
        if self.emptied {
            rows.segments.clear();
            rows.batches.clear();
        }
        rows
    }

    pub(crate) fn changed_rows(&self) -> RowSet {
        RowSet::of_changes(&self.table.definition, self.changes)
    }

    /// What is not folded yet; `None` when nothing is.
    pub(crate) fn delta(&self, planning: &Planning) -> Option<Delta> {
        let changed = self.changed_rows();
        if changed.rows() == 0 {
            return None;
        }
        let name = &self.table.definition.name.name;
        let removals = changed.with_weight(-1);
        let base = weighted(RowSet::of_table(self.table, Extra::Weight));
        Some(Delta {
            rows: SignedRows {
                removals: removals.rows() > 0,
                source: planning.rows_source(&format!("changes of {name}"), changed),
            },
            removed: planning.rows_source(&format!("removed from {name}"), removals),
            base: planning.rows_source(name, base),
        })
    }
}

fn weighted(mut rows: RowSet) -> RowSet {
    rows.extra = Extra::Weight;
    rows
}

/// All rows of the view's table as signed rows, to build a state from nothing.
pub(crate) fn whole_table(planning: &Planning, view: &ViewVersion) -> Option<SignedRows> {
    let [input] = view.definition.inputs.as_slice() else { return None };
    let table = planning.snapshot.tables.get(input)?;
    let rows = RowSet::of_table(table, Extra::Weight);
    let source = planning.rows_source(&table.definition.name.name, rows);
    Some(SignedRows { source, removals: false })
}
