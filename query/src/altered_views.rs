//! Views over a relation that changes: which of them follow, and which stand in the way.
//!
//! The same commit that changes the relation gives each view over it the text that still means the same (`view_following`). A state
//! stays where the new text keeps the same groups and sums, which it nearly always does; else it begins anew. What the draft has
//! seen of the views is among its expectations, so that a view which is created meanwhile is never left behind.

use crate::definitions::state_definition;
use crate::dropping::{cascades, dependencies, shown, tell_cascade};
use crate::engine::Engine;
use crate::engine::conflict_error;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::planner::{Planning, Sources, result_columns};
use crate::session::Session;
use crate::statement::parse_definition;
use crate::view_following::{Change, followed};
use crate::view_reading::compile_query;
use catalog::definition::{Column, ObjectName, TableDefinition, ViewDefinition};
use catalog::draft::{Expectation, Op};
use catalog::ids::ObjectId;
use catalog::snapshot::{Snapshot, ViewVersion};
use catalog::user_type::{TypeDefinition, with_user_type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use std::collections::BTreeSet;
use std::sync::Arc;
use views::ViewProgram;

/// What a relation is about to become.
pub(crate) struct Altered<'a> {
    pub id: ObjectId,
    /// What errors call it, such as `table sales`.
    pub shown: String,
    pub before: &'a ObjectName,
    /// The operation that changes it.
    pub op: Op,
    pub change: Change,
    /// The columns that it loses, in the order in which they are told.
    pub dropped: Vec<DroppedColumn>,
    /// The columns that change their type, which no view may use.
    pub retyped: Vec<String>,
}

/// A column that a relation loses.
pub(crate) struct DroppedColumn {
    pub name: String,
    /// Whether the views that use it go too.
    pub cascade: bool,
    /// Whether it goes with a column that it was computed from.
    pub follows: bool,
}

/// The operations that change a relation with all views over it.
pub(crate) fn with_views(
    session: &mut Session,
    planning: &Planning,
    altered: Altered<'_>,
) -> Result<Vec<Op>, QueryError> {
    let snapshot = Arc::clone(&planning.snapshot);
    let views: Vec<Arc<ViewVersion>> = snapshot.dependents(altered.id).cloned().collect();
    let known = views.iter().map(|view| view.definition.id).collect();
    let mut ops = vec![Op::Expect { relation: altered.id, that: Expectation::Dependents(known) }];
    let after = snapshot.apply(snapshot.seq.next(), 0, std::slice::from_ref(&altered.op)).map_err(conflict_error)?;
    let after = session.planning_at(Arc::new(after));
    let mut doomed: Vec<Vec<ObjectId>> = vec![Vec::new(); altered.dropped.len()];
    let mut alters = Vec::new();
    for view in &views {
        if let Some(column) = altered.retyped.iter().find(|column| uses(planning, view, altered.before, column)) {
            return Err(in_use(&snapshot, view, column));
        }
        let used = altered.dropped.iter().position(|column| uses(planning, view, altered.before, &column.name));
        let text = followed(&view.definition.query, &altered.change)?;
        let next = text.ok_or_else(positional).and_then(|text| next_definition(session, &after, view, text));
        let first = (next.is_err() && !altered.dropped.is_empty()).then_some(0);
        match used.or(first) {
            None => alters.extend(next?.map(|next| Op::AlterView(Arc::new(next)))),
            Some(place) if altered.dropped[place].cascade => doomed[place].push(view.definition.id),
            Some(place) => return Err(restricted(&snapshot, view, &altered.shown, &altered.dropped[place].name)),
        }
    }
    tell_cascade(session, &lost(&snapshot, &altered, &doomed));
    ops.extend(cascades(&snapshot, &doomed.concat()).0);
    ops.push(altered.op);
    ops.extend(alters);
    Ok(ops)
}

/// What goes with the columns that are dropped: those computed from them, and of each column the views over it.
fn lost(snapshot: &Snapshot, altered: &Altered<'_>, views: &[Vec<ObjectId>]) -> Vec<String> {
    let (mut told, mut lost) = (BTreeSet::new(), Vec::new());
    for (column, views) in altered.dropped.iter().zip(views) {
        lost.extend(column.follows.then(|| format!("column {} of {}", column.name, altered.shown)));
        lost.extend(cascades(snapshot, views).1.into_iter().filter(|view| told.insert(view.clone())));
    }
    lost
}

fn positional() -> QueryError {
    QueryError::unsupported("dropping a column of a relation whose columns a view names by position")
}

/// A view's definition after its input changed; `None` where it stays as it is.
fn next_definition(
    session: &Session,
    after: &Planning,
    view: &ViewVersion,
    text: String,
) -> Result<Option<ViewDefinition>, QueryError> {
    let before = &view.definition;
    let query = parse_definition(&text)?;
    let schemas = after.with_sources(Sources::Schemas);
    let columns = result_columns(&schemas.query_plan(&query, &[], None)?, &after.snapshot)?;
    let types = columns.iter().map(|column| &column.sql_type);
    if !types.eq(before.columns.iter().map(|column| &column.sql_type)) {
        let message = format!("cannot keep the columns of {} \"{}\"", before.kind(), before.name.name);
        return Err(QueryError::new(ErrorKind::InvalidTableDefinition, message).hint("Drop the view first."));
    }
    let state = match before.is_plain() {
        true => None,
        false => {
            let program = compile_query(after, &query, &before.time_zone)?;
            next_state(&session.engine, before, &program)
        }
    };
    let next = ViewDefinition { query: text, state, version: before.version + 1, ..ViewDefinition::clone(before) };
    Ok((next.query != before.query || next.state != before.state).then_some(next))
}

/// A view's definition after a type changed; `None` where it stays as it is. Where `begins_anew`, what its state keeps may be of the type as
/// it was, such as the text of a label.
pub(crate) fn next_types(
    session: &Session,
    after: &Planning,
    view: &ViewVersion,
    text: String,
    (changed, begins_anew): (&TypeDefinition, bool),
) -> Result<Option<ViewDefinition>, QueryError> {
    let before = &view.definition;
    let query = parse_definition(&text)?;
    let schemas = after.with_sources(Sources::Schemas);
    schemas.query_plan(&query, &[], None)?;
    let state = match before.is_plain() {
        true => None,
        false => {
            let program = compile_query(after, &query, &before.time_zone)?;
            if begins_anew {
                new_state(&session.engine, before, &program)
            } else {
                next_state(&session.engine, before, &program)
            }
        }
    };
    let mut next = ViewDefinition { query: text, state, version: before.version + 1, ..ViewDefinition::clone(before) };
    for column in &mut next.columns {
        if let Some(sql_type) = with_user_type(&column.sql_type, changed) {
            column.sql_type = sql_type;
        }
    }
    let same = next.query == before.query && next.state == before.state && next.columns == before.columns;
    Ok((!same).then_some(next))
}

/// The hidden table of a view's state: the one that there is, where it still serves.
pub(crate) fn next_state(engine: &Engine, before: &ViewDefinition, program: &ViewProgram) -> Option<TableDefinition> {
    let columns = program.state_columns()?;
    let known = before.state.as_ref();
    let same = known.map(|known| state_definition(known.id, before.id, columns)).filter(|same| Some(same) == known);
    same.or_else(|| new_state(engine, before, program))
}

/// Another hidden table for a view's state.
fn new_state(engine: &Engine, before: &ViewDefinition, program: &ViewProgram) -> Option<TableDefinition> {
    let columns = program.state_columns()?;
    Some(state_definition(engine.catalog.allocate_object(), before.id, columns))
}

/// Whether a view computes with a column that has another type in one of these next definitions of tables.
pub(crate) fn reads_retyped(planning: &Planning, view: &ViewVersion, tables: &[Arc<TableDefinition>]) -> bool {
    let read = tables.iter().filter(|table| view.definition.inputs.contains(&table.id));
    let versions = read.filter_map(|next| Some((planning.snapshot.tables.get(&next.id)?, next)));
    let mut columns = versions.flat_map(|(before, next)| {
        let pairs = before.definition.columns.iter().zip(&next.columns);
        let changed = pairs.filter(|(before, next)| before.sql_type != next.sql_type);
        changed.map(|(column, _)| (&before.definition.name, &column.name))
    });
    columns.any(|(table, column)| uses(planning, view, table, column))
}

/// Whether a view reads a column of a relation. One whose plan cannot be made counts as reading all.
fn uses(planning: &Planning, view: &ViewVersion, relation: &ObjectName, column: &str) -> bool {
    reads(planning, view, relation, column).unwrap_or(true)
}

fn reads(planning: &Planning, view: &ViewVersion, relation: &ObjectName, column: &str) -> Result<bool, QueryError> {
    let schemas = planning.with_sources(Sources::Schemas);
    let plan = schemas.query_plan(&*parse_definition(&view.definition.query)?, &[], None)?;
    let plan = planning.state.optimize(&plan).map_err(|error| translate(error, None))?;
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.schema() == Some(relation.schema.as_str())
            && scan.table_name.table() == relation.name
        {
            let filtered =
                scan.filters.iter().any(|filter| filter.column_refs().iter().any(|used| used.name == column));
            found |= filtered || scan.projected_schema.has_column_with_unqualified_name(column);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map(|_| found).map_err(|error| translate(error, None))
}

/// 2BP01: a view uses a column that is to be dropped.
fn restricted(snapshot: &Snapshot, view: &ViewVersion, table: &str, column: &str) -> QueryError {
    let what = format!("column {column} of {table}");
    let mut lines = vec![format!("{} depends on {what}", shown(snapshot, view.definition.id))];
    dependencies(snapshot, view.definition.id, &mut BTreeSet::new(), &mut lines);
    depended_on(&what, &lines)
}

/// 2BP01: generated columns are computed from a column that is to be dropped.
pub(crate) fn computed_from(
    planning: &Planning,
    table: &TableDefinition,
    column: &str,
    generated: &[Column],
) -> QueryError {
    let snapshot = &planning.snapshot;
    let of_table = |column: &str| format!("column {column} of {}", shown(snapshot, table.id));
    let (mut seen, mut lines) = (BTreeSet::new(), Vec::new());
    for name in generated.iter().map(|column| column.name.as_str()).chain([column]) {
        if name != column {
            lines.push(format!("{} depends on {}", of_table(name), of_table(column)));
        }
        for view in snapshot.dependents(table.id).filter(|view| uses(planning, view, &table.name, name)) {
            if seen.insert(view.definition.id) {
                lines.push(format!("{} depends on {}", shown(snapshot, view.definition.id), of_table(name)));
                dependencies(snapshot, view.definition.id, &mut seen, &mut lines);
            }
        }
    }
    depended_on(&of_table(column), &lines)
}

fn depended_on(what: &str, lines: &[String]) -> QueryError {
    QueryError::new(ErrorKind::DependentObjects, format!("cannot drop {what} because other objects depend on it"))
        .detail(lines.join("\n"))
        .hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

fn in_use(snapshot: &Snapshot, view: &ViewVersion, column: &str) -> QueryError {
    let message = "cannot alter type of a column used by a view or rule";
    let view = shown(snapshot, view.definition.id);
    QueryError::new(ErrorKind::FeatureNotSupported, message)
        .detail(format!("rule _RETURN on {view} depends on column \"{column}\""))
        .hint("Drop the view, alter the column, and create the view again.")
}
