//! Reading views: `read(V, S) = state(frontier) ⊕ delta(frontier, S]`, or the query at S where no state serves.
//!
//! This is where a view's program meets a snapshot's rows. It decides, never guesses: a state is used when it has a frontier, the
//! table's changes reach back to it and are not more than the table itself; otherwise the definition is planned over the snapshot.

use crate::engine_error::translate;
use crate::error::QueryError;
use crate::functions::signed_sums;
use crate::kept_states::{KeptState, KeptTable, is_keepable};
use crate::planner::{Planning, Sources};
use crate::scan::{Extra, RowSet, external};
use crate::statement::parse_definition;
use catalog::definition::{ObjectName, TableDefinition, ViewDefinition};
use catalog::ids::{CommitSeq, ObjectId};
use catalog::shared_list::Rest;
use catalog::snapshot::{Relation, TableChange, TableVersion, ViewVersion};
use catalog::sql_type::SqlType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource};
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use views::{Bound, Change, Input, InputConditions, Inputs, SignedRows, ViewProgram};

/// So many rows are few: what is computed from them takes less time than planning how.
const FEW_CHANGES_MAX: u64 = 16_384;

/// Compiled programs, one a view definition; rebuilt when asked for, never stored.
#[derive(Debug, Default)]
pub(crate) struct Programs(Mutex<HashMap<ObjectId, Compiled>>);

/// A program with the definitions that it was compiled from.
#[derive(Debug)]
struct Compiled {
    view: Arc<ViewDefinition>,
    inputs: Vec<Defined>,
    program: Arc<ViewProgram>,
}

/// What a view reads, as it was defined.
#[derive(Debug)]
enum Defined {
    Table(Arc<TableDefinition>),
    View(Arc<ViewDefinition>),
}

impl Defined {
    fn all_of(planning: &Planning, definition: &ViewDefinition) -> Vec<Self> {
        let inputs = definition.inputs.iter().filter_map(|input| planning.snapshot.relation_by_id(*input));
        let defined = inputs.filter_map(|input| match input {
            Relation::Table(table) => Some(Self::Table(Arc::clone(&table.definition))),
            Relation::View(view) => Some(Self::View(Arc::clone(&view.definition))),
            Relation::Sequence(_) => None,
        });
        defined.collect()
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Table(one), Self::Table(other)) => Arc::ptr_eq(one, other),
            (Self::View(one), Self::View(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Programs {
    /// The program of a view's definition.
    pub(crate) fn of(
        &self,
        planning: &Planning,
        definition: &Arc<ViewDefinition>,
    ) -> std::result::Result<Arc<ViewProgram>, QueryError> {
        let inputs = Defined::all_of(planning, definition);
        if let Some(known) = self.0.lock().get(&definition.id)
            && Arc::ptr_eq(&known.view, definition)
            && known.inputs.iter().zip(&inputs).all(|(known, input)| known.is(input))
        {
            return Ok(Arc::clone(&known.program));
        }
        let program = Arc::new(compile(planning, &definition.query, &definition.time_zone)?);
        if program.reads_session() || definition.is_plain() {
            return Ok(program);
        }
        let compiled = Compiled { view: Arc::clone(definition), inputs, program: Arc::clone(&program) };
        self.0.lock().insert(definition.id, compiled);
        Ok(program)
    }

    /// The places of a table's columns that the states of views are computed from.
    pub(crate) fn columns_of(&self, table: &TableDefinition) -> BTreeSet<usize> {
        let compiled = self.0.lock();
        let readers = compiled.values().filter(|compiled| compiled.view.inputs.contains(&table.id));
        let read: BTreeSet<&str> = readers.flat_map(|compiled| compiled.program.state_reads()).collect();
        let columns = table.columns.iter().enumerate();
        columns.filter(|(_, column)| read.contains(column.name.as_str())).map(|(place, _)| place).collect()
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
    compile_query(planning, &*parse_definition(text)?, time_zone)
}

/// Compiles a query in the time zone that the view was defined in, or the session's for a plain one.
pub(crate) fn compile_query(
    planning: &Planning,
    query: &ast::Query,
    time_zone: &str,
) -> std::result::Result<ViewProgram, QueryError> {
    let schemas = planning.with_sources(Sources::Schemas).noting_dependencies_apart();
    let schemas = if time_zone.is_empty() { schemas } else { schemas.in_time_zone(time_zone) };
    let plan = schemas.analyzed(schemas.query_plan(query, &[], None)?, None)?;
    planning.depend_as(&schemas);
    let maintainable = |table: &TableReference| matches!(relation_of(planning, table), Some(Relation::Table(_)));
    let is_of_now = schemas.dependencies().has_now();
    ViewProgram::compile(plan, is_of_now, maintainable, &signed_sums).map_err(|error| translate(error, None))
}

fn relation_of<'a>(planning: &'a Planning, table: &TableReference) -> Option<Relation<'a>> {
    planning.snapshot.relation(&ObjectName::new(table.schema()?, table.table()))
}

/// The plan that gives a view's rows at the planning's snapshot, columns named as the view declares them.
pub(crate) fn read_plan(planning: &Planning, view: &Arc<ViewVersion>) -> Result<LogicalPlan> {
    let zone = &view.definition.time_zone;
    if !zone.is_empty() && !planning.is_in_time_zone(zone) {
        // Plain views below compute in its zone too.
        return read_plan(&planning.again().in_time_zone(zone), view);
    }
    let program = planning.engine.programs.of(planning, &view.definition).map_err(external)?;
    let plan = match kept_plan(planning, view, &program)? {
        Some(plan) => plan,
        None => definition_plan(planning, &program)?,
    };
    with_declared_names(plan, &view.definition)
}

/// The plan that reads the view's state, if that is right and worth it: in memory where it is small, else from its runs.
fn kept_plan(planning: &Planning, view: &Arc<ViewVersion>, program: &Arc<ViewProgram>) -> Result<Option<LogicalPlan>> {
    let (start, state) = match way(planning, view, program) {
        Way::Query => return Ok(None),
        Way::Runs => return runs_plan(planning, view, program),
        Way::Memory { start, state } => (start, state),
    };
    let schema = state.definition.schema();
    let (view, reader) = (Arc::clone(view), Arc::clone(program));
    let table = KeptTable { planning: planning.again(), view, program: reader, start, schema };
    program.read_kept_plan(provider_as_source(Arc::new(table)), |table| bound(planning, table)).map(Some)
}

/// The plan that gives the view's rows for some rows of the only table that it reads.
pub(crate) fn plan_of_rows(
    view: &ViewVersion,
    program: &ViewProgram,
    rows: Arc<dyn TableSource>,
) -> Result<LogicalPlan> {
    let plan = program.definition_plan(|_| Ok(Bound::Source(Arc::clone(&rows))))?;
    with_declared_names(plan, &view.definition)
}

/// How a view is read.
enum Way<'a> {
    Query,
    /// From the runs of its state.
    Runs,
    /// From its state in memory, brought up to date from `start` where there is one.
    Memory {
        start: Option<Arc<KeptState>>,
        state: &'a TableVersion,
    },
}

fn way<'a>(planning: &Planning, view: &'a ViewVersion, program: &ViewProgram) -> Way<'a> {
    let Some(state) = view.state.as_ref().filter(|state| fits(&state.definition, program)) else { return Way::Query };
    let kept = planning.engine.kept_states.start(planning, view);
    let since_kept = kept.as_ref().and_then(|kept| Pending::since(planning, program, kept.at));
    let start = kept.filter(|_| since_kept.is_some());
    let pending = since_kept.or_else(|| Pending::of(planning, view, program));
    match pending.filter(Pending::is_worth_it) {
        None => Way::Query,
        Some(pending) if is_keepable(state, pending.rows()) => Way::Memory { start, state },
        Some(_) => Way::Runs,
    }
}

/// The view's state at the planning's snapshot, where it is read from memory.
pub(crate) async fn kept_state(
    planning: &Planning,
    view: &ViewVersion,
    program: &ViewProgram,
) -> std::result::Result<Option<Arc<KeptState>>, QueryError> {
    match way(planning, view, program) {
        Way::Memory { start, .. } => {
            planning.engine.kept_states.caught_up(planning, view, program, start).await.map(Some)
        }
        Way::Query | Way::Runs => Ok(None),
    }
}

/// The plan that gives the view's rows for some rows of its state, where these are all that they are computed from.
pub(crate) fn plan_of_groups(
    planning: &Planning,
    view: &ViewVersion,
    program: &ViewProgram,
    rows: Arc<dyn TableSource>,
) -> Result<LogicalPlan> {
    let plan = program.read_kept_plan(rows, |table| bound(planning, table))?;
    with_declared_names(plan, &view.definition)
}

fn runs_plan(planning: &Planning, view: &ViewVersion, program: &ViewProgram) -> Result<Option<LogicalPlan>> {
    let Some(pending) = Pending::of(planning, view, program).filter(Pending::is_worth_it) else { return Ok(None) };
    let inputs = pending.inputs(planning);
    if !program.fails_with_its_query(&inputs)? {
        return Ok(None);
    }
    let state = pending.state_rows(view);
    let state = state.map(|rows| planning.rows_source(&format!("state of {}", view.definition.name.name), rows));
    program.read_plan(state, &inputs, |table| bound(planning, table)).map(Some)
}

/// The view's query over the snapshot.
pub(crate) fn definition_plan(planning: &Planning, program: &ViewProgram) -> Result<LogicalPlan> {
    program.definition_plan(|table| bound(planning, table))
}

/// What a table of a definition stands for at the planning's snapshot.
fn bound(planning: &Planning, table: &TableReference) -> Result<Bound> {
    match relation_of(planning, table) {
        Some(Relation::Table(version)) => Ok(Bound::Source(planning.table_source(version))),
        Some(Relation::View(view)) => {
            planning.note_view(view);
            Ok(Bound::Plan(read_plan(planning, view)?))
        }
        Some(Relation::Sequence(_)) | None => {
            use datafusion::logical_expr::planner::ContextProvider;
            Ok(Bound::Source(planning.get_table_source(table.clone())?))
        }
    }
}

fn with_declared_names(plan: LogicalPlan, definition: &ViewDefinition) -> Result<LogicalPlan> {
    let columns: Vec<Column> = plan.schema().columns();
    let says_more: Vec<bool> = plan.schema().fields().iter().map(|field| !field.metadata().is_empty()).collect();
    let shown = columns.into_iter().zip(says_more).zip(&definition.columns).map(|((column, says_more), declared)| {
        let value = datafusion::logical_expr::cast(Expr::Column(column), declared.sql_type.data_type());
        // What Arrow's type does not say, such as that a text is a varchar(5), is lost where it was a key of the state; and the least of
        // a numeric(8,2) may come as one, which a result has no digits of.
        let is_plain = declared.digits.is_none() && declared.domain.is_none() && !says_more;
        let implied = SqlType::from_data_type(&declared.sql_type.data_type());
        let is_said = is_plain && implied.as_ref() == Some(&declared.sql_type);
        let metadata = (!is_said).then(|| FieldMetadata::new_from_field(&declared.field(true)));
        value.alias_with_metadata(&declared.name, metadata)
    });
    LogicalPlanBuilder::from(plan).project(shown.collect::<Vec<_>>())?.build()
}

/// What a view's state lacks at a snapshot.
pub(crate) struct Pending<'a> {
    tables: Vec<PendingTable<'a>>,
    /// The state's rows are all gone: a table without which the view has no groups was truncated after the frontier.
    pub emptied: bool,
}

/// An input of a state with what changed in it.
struct PendingTable<'a> {
    reference: TableReference,
    version: &'a Arc<TableVersion>,
    changes: Rest<'a, Arc<TableChange>>,
}

impl<'a> Pending<'a> {
    /// What the state lacks, if the changes of its inputs reach back to its frontier.
    pub(crate) fn of(planning: &'a Planning, view: &ViewVersion, program: &ViewProgram) -> Option<Self> {
        let state = view.state.as_ref()?;
        let frontier = view.frontier?;
        if !fits(&state.definition, program) {
            return None;
        }
        Self::since(planning, program, frontier)
    }

    /// What changed in the inputs after a commit, if their changes reach back to it.
    pub(crate) fn since(planning: &'a Planning, program: &ViewProgram, frontier: CommitSeq) -> Option<Self> {
        let mut truncated: Vec<TableReference> = Vec::new();
        let mut tables = Vec::new();
        for (reference, version) in input_tables(planning, program)? {
            let changes = version.changes_since(frontier)?;
            if changes.iter().any(|change| change.truncated) {
                truncated.push(reference.clone());
            }
            tables.push(PendingTable { reference, version, changes });
        }
        let emptied = !truncated.is_empty();
        if emptied && !program.is_empty_with(|table| truncated.contains(table)) {
            return None;
        }
        Some(Self { tables, emptied })
    }

    /// Whether bringing the state up to date costs less than the query.
    fn is_worth_it(&self) -> bool {
        let live: u64 = self.tables.iter().map(|table| table.version.rows_live()).sum();
        self.emptied || self.rows() <= live.max(100_000)
    }

    /// The rows that came and went.
    pub(crate) fn rows(&self) -> u64 {
        self.tables.iter().flat_map(|table| table.changes).map(|change| change.rows()).sum()
    }

    /// The runs; `None` after a truncation.
    pub(crate) fn state_rows(&self, view: &ViewVersion) -> Option<RowSet> {
        let state = view.state.as_ref().filter(|_| !self.emptied);
        state.map(|state| RowSet::of_table(state, Extra::None))
    }

    /// The inputs as the program takes them.
    pub(crate) fn inputs(&self, planning: &Planning) -> Inputs {
        let inputs = self.tables.iter().map(|table| {
            let mut input = unchanged(planning, table.version);
            if !self.emptied {
                input.change = table.change(planning, table.changed());
            }
            (table.reference.clone(), input)
        });
        inputs.collect()
    }

    /// The inputs without changed rows in memory that do not meet conditions, and how many changed rows they have. Must not be called after
    /// a truncation.
    pub(crate) fn inputs_meeting(&self, planning: &Planning, conditions: &InputConditions) -> Result<(Inputs, u64)> {
        let mut rows = 0;
        let inputs = self.tables.iter().map(|table| {
            let conditions = conditions.get(&table.reference).map_or(&[][..], Vec::as_slice);
            let changed = table.changed().meeting(&*planning.state, conditions)?;
            rows += changed.rows();
            let input = Input { change: table.change(planning, changed), ..unchanged(planning, table.version) };
            Ok((table.reference.clone(), input))
        });
        let inputs = inputs.collect::<Result<_>>()?;
        Ok((inputs, rows))
    }
}

impl PendingTable<'_> {
    /// The rows that came and went.
    fn changed(&self) -> RowSet {
        RowSet::of_changes(&self.version.definition, self.changes)
    }

    /// What is to be followed where these rows are all that came and went.
    fn change(&self, planning: &Planning, rows: RowSet) -> Option<Change> {
        if rows.rows() == 0 {
            return None;
        }
        let name = &self.version.definition.name.name;
        let sources = planning.row_sources();
        let (count, removes) = (rows.rows(), rows.removes());
        let rows = Arc::new(rows);
        let late = |name: String, gather: fn(&TableVersion, &RowSet) -> RowSet| {
            let (version, changes) = (Arc::clone(self.version), Arc::clone(&rows));
            sources.late(name, move || gather(&version, &changes))
        };
        Some(Change {
            is_large: count > self.version.rows_live() / 2,
            // Whether rows go is no reason for another plan where planning costs more than signs.
            rows: SignedRows {
                removals: removes || count <= FEW_CHANGES_MAX,
                source: late(format!("changes of {name}"), |_, changes| changes.clone()),
            },
            removed: removes.then(|| late(format!("removed from {name}"), |_, changes| changes.with_weight(-1))),
            before: SignedRows {
                removals: true,
                source: late(format!("{name} before"), |version, changes| {
                    RowSet::of_table(version, Extra::Weight).without(changes)
                }),
            },
            either: late(format!("{name} before and now"), |version, changes| {
                RowSet::of_table(version, Extra::None).and_removed(changes)
            }),
        })
    }
}

fn unchanged(planning: &Planning, version: &Arc<TableVersion>) -> Input {
    let (name, version) = (version.definition.name.name.clone(), Arc::clone(version));
    let now = planning.row_sources().late(name, move || RowSet::of_table(&version, Extra::None));
    Input { now, change: None }
}

/// Whether a state has the columns that the program keeps.
fn fits(state: &TableDefinition, program: &ViewProgram) -> bool {
    let kept = program.state_columns().unwrap_or_default();
    kept.len() == state.columns.len()
        && kept
            .iter()
            .zip(&state.columns)
            .all(|(kept, stored)| kept.name == stored.name && kept.sql_type.data_type() == stored.sql_type.data_type())
}

fn input_tables<'a>(
    planning: &'a Planning,
    program: &ViewProgram,
) -> Option<Vec<(TableReference, &'a Arc<TableVersion>)>> {
    let tables = program.inputs().into_iter().map(|reference| match relation_of(planning, &reference) {
        Some(Relation::Table(version)) => Some((reference, version)),
        _ => None,
    });
    tables.collect()
}

/// All inputs of a view's state and the number of their rows, to build the state from nothing.
pub(crate) fn whole_inputs(planning: &Planning, view: &ViewVersion, program: &ViewProgram) -> Option<(Inputs, u64)> {
    if !view.state.as_ref().is_some_and(|state| fits(&state.definition, program)) {
        return None;
    }
    let tables = input_tables(planning, program)?;
    let rows = tables.iter().map(|(_, version)| version.rows_live()).sum();
    let inputs = tables.into_iter().map(|(reference, version)| (reference, unchanged(planning, version)));
    Some((inputs.collect(), rows))
}
