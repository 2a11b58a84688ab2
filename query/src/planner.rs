//! Planning: from a statement's syntax tree to a plan over one snapshot.
//!
//! A [`Planning`] is made for each statement. It holds the snapshot that the statement reads, so every name in it means one thing
//! from parsing to the last row:
//!
//!     syntax tree ──rewrite──▶ ──SqlToRel──▶ logical plan ──optimise──▶ ──▶ physical plan
//!                      names, avg       tables: ScanTable over the snapshot
//!                                       views:  their read plan, inlined
//!                                       pg_catalog: batches computed from the snapshot

use crate::activity::StatementToken;
use crate::collected_order::collected_in_order;
use crate::column_aliases::AliasPlanner;
use crate::column_dependencies::PlainRelations;
use crate::column_origins::Origins;
use crate::domains::domain_of;
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::functions::SessionFacts;
use crate::kept_order::volatile_last;
use crate::merged_joins::{self, MergePlanner, Merges};
use crate::oid_arrays::oid_items;
use crate::operators::averaged_sums::lower_averaged_sums;
use crate::operators::call::{Places, SiteKind};
use crate::operators::casts::expression_field;
use crate::operators::float_order::compare_zeros;
use crate::operators::inference::Inference;
use crate::operators::interval_order::compare_by_length;
use crate::operators::lowering::{Argument, lower};
use crate::operators::repeated_keys::name_keys_once;
use crate::operators::sites::{Sites, annotate};
use crate::operators::value_lists::{Cells, assign_values, open_values, settle_values};
use crate::operators::window_keys::compute_keys;
use crate::output_names::{name_outputs, shown_name};
use crate::parameter_types::{Parameters, all_known};
use crate::planning_state::PlanningState;
use crate::query_cache::Dependencies;
use crate::query_places::{place_of, refined};
use crate::reads::{Reads, TableRead};
use crate::response::ResultColumn;
use crate::scan::ScanLog;
use crate::set_operations::exact_set_operations;
use crate::shared_plans::{Sharing, mark_named, share_equal, share_marked};
use crate::standard_spellings::dependent_columns::{KeyedTable, with_dependents};
use crate::standard_spellings::order_keys::number_outputs;
use crate::standard_spellings::row_stars::{self, StarPlanner, Stars};
use crate::standard_spellings::whole_rows::{with_named_rows, with_rows, without_relation};
use crate::standard_spellings::{direct_arguments, spell_out, told_of_later, with_own_names};
use crate::statement::Statement;
use crate::subqueries::{decorrelate, name_subqueries};
use crate::system_facts::SystemSource;
use crate::user_types::{KnownTypes, TypeScope};
use crate::work_tables::share_work_tables;
use crate::{pg_catalog, plan_constants, row_counts};
use arrow::datatypes::FieldRef;
use catalog::definition::Column;
use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::{Relation, Snapshot};
use catalog::sql_type::SqlType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::planner::{ContextProvider, RelationPlanner};
use datafusion::logical_expr::{ExprSchemable, LogicalPlan, TableSource, Volatility};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

mod context;
mod relations;

/// What tables of a plan are to be.
#[derive(Clone)]
pub(crate) enum Sources {
    /// Rows of the snapshot.
    Rows,
    /// Schemas only, views as opaque tables: for compiling a view's definition.
    Schemas,
    /// Like `Rows`, and [`TARGET`] is the rows that a statement writes or has written.
    Target(Arc<dyn TableSource>),
    /// Like `Rows`; [`TARGET`] is the rows that an upsert changes, [`EXCLUDED`] those that were proposed for them.
    Upsert { target: Arc<dyn TableSource>, excluded: Arc<dyn TableSource> },
}

/// The name in a writer's own queries of the rows that it writes.
pub(crate) const TARGET: &str = "__target";
/// The name in an upsert's own query of the rows that it could not insert.
pub(crate) const EXCLUDED: &str = "__excluded";

/// Behind a table's name: the table with its rows' places, from which a sample is drawn.
pub(crate) const PLACES: &str = "@places";

/// Everything that planning one statement needs.
pub(crate) struct Planning {
    pub engine: Arc<Engine>,
    pub state: PlanningState,
    pub snapshot: Arc<Snapshot>,
    /// Says when the statement is not wanted any more.
    pub token: StatementToken,
    pub log: Arc<ScanLog>,
    reads: Arc<Mutex<Reads>>,
    /// What the plan is made from.
    dependencies: Arc<Mutex<Dependencies>>,
    pub facts: Arc<SessionFacts>,
    pub system: Arc<SystemSource>,
    sources: Sources,
    /// Whether the snapshot is a committed one, without what an open transaction did.
    committed: bool,
    /// The operators and casts of the tree that is being planned.
    sites: Arc<Mutex<Arc<Sites>>>,
    /// Plans joins with USING and NATURAL.
    merges: Arc<MergePlanner>,
    /// Finds out what columns stars stand for.
    stars: Arc<StarPlanner>,
    relation_planners: [Arc<dyn RelationPlanner>; 4],
    /// The types of the parameters of the query that is being planned, for planning parts of it alone.
    parameters: Mutex<Vec<Option<SqlType>>>,
    /// While a query is planned only to find out the types of its parameters: what is known of them.
    inference: Mutex<Option<Inference>>,
    /// The columns that the values of the INSERT go into whose source is being planned.
    targets: Mutex<Vec<Column>>,
    /// The snapshots of earlier times that the statement reads too.
    pasts: Arc<Mutex<BTreeMap<CommitSeq, Arc<Snapshot>>>>,
    /// Errors of name resolution, which DataFusion would wrap.
    depth: Mutex<usize>,
}

/// Between a relation's name and the commit after which it is read.
const PAST: &str = "@commit ";

impl Planning {
    pub(crate) fn new(
        engine: Arc<Engine>,
        state: PlanningState,
        snapshot: Arc<Snapshot>,
        facts: Arc<SessionFacts>,
        system: Arc<SystemSource>,
    ) -> Self {
        let sites: Arc<Mutex<Arc<Sites>>> = Arc::default();
        let merges = Arc::new(MergePlanner::new(Arc::clone(&sites)));
        let stars = Arc::new(StarPlanner::default());
        Self {
            engine,
            state,
            snapshot,
            token: StatementToken::default(),
            log: Arc::default(),
            reads: Arc::default(),
            dependencies: Arc::default(),
            facts,
            system,
            sources: Sources::Rows,
            committed: false,
            sites,
            relation_planners: [
                Arc::clone(&merges) as Arc<dyn RelationPlanner>,
                Arc::clone(&stars) as Arc<dyn RelationPlanner>,
                Arc::new(AliasPlanner),
                Arc::new(PlainRelations::default()),
            ],
            merges,
            stars,
            parameters: Mutex::default(),
            inference: Mutex::default(),
            targets: Mutex::default(),
            pasts: Arc::default(),
            depth: Mutex::new(0),
        }
    }

    /// The same over a snapshot that everybody else sees too.
    pub(crate) fn over_committed(self) -> Self {
        Self { committed: true, ..self }
    }

    pub(crate) fn is_committed(&self) -> bool {
        self.committed
    }

    /// The same statement's planning with other sources.
    pub(crate) fn with_sources(&self, sources: Sources) -> Self {
        let (engine, snapshot) = (Arc::clone(&self.engine), Arc::clone(&self.snapshot));
        let same = Self::new(engine, self.state.clone(), snapshot, Arc::clone(&self.facts), Arc::clone(&self.system));
        let (log, reads, pasts) = (Arc::clone(&self.log), Arc::clone(&self.reads), Arc::clone(&self.pasts));
        let (token, dependencies) = (self.token.clone(), Arc::clone(&self.dependencies));
        Self { token, log, reads, dependencies, pasts, sources, committed: self.committed, ..same }
    }

    /// The same for a statement that can be cancelled.
    pub(crate) fn of_statement(self, token: StatementToken) -> Self {
        Self { token, ..self }
    }

    /// The same for a transaction, which is told what is read.
    pub(crate) fn noting_reads(self, reads: Arc<Mutex<Reads>>) -> Self {
        Self { reads, ..self }
    }

    /// Notes that a statement depends on the rows of a relation.
    pub(crate) fn note_read(&self, id: ObjectId) {
        match self.snapshot.relation_by_id(id) {
            Some(Relation::View(view)) => view.definition.inputs.iter().for_each(|input| self.note_read(*input)),
            Some(Relation::Table(_)) => self.reads.lock().note_whole(id),
            Some(Relation::Sequence(_)) | None => {}
        }
    }

    /// Lets the scans of a source of a table note what they read of it.
    fn open_read(&self, table: ObjectId) -> Arc<TableRead> {
        self.reads.lock().open(table)
    }

    /// Notes that the plan is made from a relation.
    pub(super) fn depend_on(&self, id: ObjectId) {
        self.dependencies.lock().add(&self.snapshot, id);
    }

    /// Notes that the plan is made from what is no relation of the snapshot.
    pub(crate) fn depend_on_others(&self) {
        self.dependencies.lock().add_others();
    }

    /// Notes that the plan holds a constant that depends on when it is planned.
    pub(crate) fn depend_on_now(&self) {
        self.dependencies.lock().add_now();
    }

    /// Notes what a plan depends on that another planning made.
    pub(crate) fn depend_as(&self, part: &Self) {
        let part = part.dependencies();
        self.dependencies.lock().extend(&part);
    }

    /// The same, which notes for itself what its plan is made from.
    pub(crate) fn noting_dependencies_apart(self) -> Self {
        Self { dependencies: Arc::default(), ..self }
    }

    /// What plans were made from so far.
    pub(crate) fn dependencies(&self) -> Dependencies {
        self.dependencies.lock().clone()
    }

    /// Notes what was read, or will be, by a plan that another planning made.
    pub(crate) fn note_reads_of(&self, other: &Self) {
        if !Arc::ptr_eq(&self.reads, &other.reads) {
            let read = other.reads.lock();
            self.reads.lock().extend(&read);
        }
    }

    /// The same again, for planning a part of the statement alone.
    pub(crate) fn again(&self) -> Self {
        Self { parameters: Mutex::new(self.parameters.lock().clone()), ..self.with_sources(self.sources.clone()) }
    }

    /// The same over a snapshot of an earlier time, of which nothing is noted: it never changes.
    pub(crate) fn at(&self, past: Arc<Snapshot>) -> Self {
        let sources = if self.needs_no_rows() { Sources::Schemas } else { Sources::Rows };
        let same = self.with_sources(sources);
        Self { snapshot: past, reads: Arc::default(), committed: false, ..same }
    }

    /// Lets relations be named as they were in a snapshot.
    pub(crate) fn add_past(&self, past: Arc<Snapshot>) {
        self.pasts.lock().insert(past.seq, past);
    }

    /// What a relation is called as it was after a commit.
    pub(crate) fn past_name(name: &str, seq: CommitSeq) -> String {
        format!("{name}{PAST}{seq}")
    }

    /// Whether what is planned is a view's definition.
    pub(crate) fn defines_view(&self) -> bool {
        matches!(self.sources, Sources::Schemas)
    }

    /// Whether statements are planned in a time zone.
    pub(crate) fn is_in_time_zone(&self, time_zone: &str) -> bool {
        self.state.time_zone() == time_zone
    }

    /// The same with another time zone.
    pub(crate) fn in_time_zone(mut self, time_zone: &str) -> Self {
        self.state = self.state.in_time_zone(time_zone);
        self
    }

    /// The user's types and where their names are looked for.
    pub(crate) fn known_types(&self) -> KnownTypes {
        let (types, relations) = (Arc::clone(&self.snapshot.types), Arc::clone(&self.snapshot.names));
        KnownTypes { types, relations, path: self.facts.lookup_path() }
    }

    /// Lets the user's types be known on this thread while planning lasts.
    pub(crate) fn knows_types(&self) -> TypeScope {
        self.known_types().enter()
    }

    /// The types of `$1`, `$2`, … in a query: those that the client declared, the others as PostgreSQL infers them.
    pub(crate) fn parameter_types(
        &self,
        query: &ast::Query,
        declared: &[Option<SqlType>],
        statement: Option<&Statement>,
    ) -> std::result::Result<Vec<SqlType>, QueryError> {
        all_known(self.types_so_far(query, declared, statement)?)
    }

    /// The same for a query that is a part of a statement: parameters are left open that do not stand in it.
    pub(crate) fn types_so_far(
        &self,
        query: &ast::Query,
        declared: &[Option<SqlType>],
        statement: Option<&Statement>,
    ) -> std::result::Result<Vec<Option<SqlType>>, QueryError> {
        let _types = self.knows_types();
        let parameters = Parameters::of(query, statement)?;
        if parameters.count() <= declared.len() && declared.iter().all(Option::is_some) {
            return Ok(declared.to_vec());
        }
        let mut query = query.clone();
        let percentages = plan_constants::open(&mut query);
        *self.inference.lock() = Some(Inference::new(parameters, declared, percentages));
        let plan = self.query_plan(&query, declared, statement);
        let inference = self.inference.lock().take();
        let plan = plan?;
        let types = inference.map_or_else(|| Ok(Vec::new()), |inference| inference.types(plan));
        types.map_err(|error| translate(error, statement))
    }

    fn infers(&self) -> bool {
        self.inference.lock().is_some()
    }

    /// Whether tables are their columns only.
    fn needs_no_rows(&self) -> bool {
        matches!(self.sources, Sources::Schemas) || self.infers()
    }

    /// Plans a query. `parameters` are the types that are known of `$1`, `$2`, …
    pub(crate) fn query_plan(
        &self,
        query: &ast::Query,
        parameters: &[Option<SqlType>],
        statement: Option<&Statement>,
    ) -> std::result::Result<LogicalPlan, QueryError> {
        let _types = self.knows_types();
        let source = query;
        let named = with_named_rows(query);
        let query = named.as_ref();
        let inherited = self.parameters.lock().clone();
        let parameters = if parameters.is_empty() { inherited.as_slice() } else { parameters };
        *self.parameters.lock() = parameters.to_vec();
        let mut plan = self.spelt_out_plan(query, parameters, statement);
        let mut tree = None;
        let table = |name: &ast::ObjectName| self.keyed_table(name);
        while let Err(error) = &plan
            && let known = tree.as_ref().unwrap_or(query)
            && let Some(spelt) = with_rows(known, error, statement)
                .or_else(|| with_dependents(known, error, &table))
                .or_else(|| with_own_names(known, error))
        {
            plan = self.spelt_out_plan(tree.insert(spelt), parameters, statement);
        }
        let plan = plan.map_err(|error| told_of_later(without_relation(error, statement), source));
        refined(plan, source, statement, &|name: &str| self.is_aggregate(name))
    }

    /// Whether a function is called over the rows of a group.
    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        self.get_aggregate_meta(name).is_some() && !self.state.scalar_functions().contains_key(name)
    }

    /// Plans the source of an INSERT into columns: each value of a VALUES list is assigned by itself.
    pub(crate) fn source_plan(
        &self,
        source: &ast::Query,
        targets: &[&Column],
        parameters: &[Option<SqlType>],
        statement: Option<&Statement>,
    ) -> std::result::Result<LogicalPlan, QueryError> {
        *self.targets.lock() = targets.iter().copied().cloned().collect();
        let plan = self.query_plan(source, parameters, statement);
        self.targets.lock().clear();
        plan
    }

    /// The columns that this tree's values go into: views below it are no sources of the INSERT.
    fn assigned_columns(&self) -> Vec<Column> {
        if *self.depth.lock() == 0 { self.targets.lock().clone() } else { Vec::new() }
    }

    /// The columns of a table that has a primary key.
    fn keyed_table(&self, name: &ast::ObjectName) -> Option<KeyedTable> {
        let object = self.object_name(name).ok()?;
        let Some(Relation::Table(version)) = self.snapshot.relation(&object) else { return None };
        let definition = &version.definition;
        let key = definition.keys.iter().find(|key| key.primary)?;
        let of_key = definition.columns.iter().filter(|column| key.columns.contains(&column.id));
        let key = of_key.map(|column| column.name.clone()).collect();
        Some(KeyedTable { columns: definition.columns.iter().map(|column| column.name.clone()).collect(), key })
    }

    /// Plans a query, and once more where that has found columns that joins merge or that stars stand for.
    fn spelt_out_plan(
        &self,
        query: &ast::Query,
        parameters: &[Option<SqlType>],
        statement: Option<&Statement>,
    ) -> std::result::Result<LogicalPlan, QueryError> {
        let (mut known, mut stars) = (Merges::default(), Stars::default());
        loop {
            let mut query = query.clone();
            number_outputs(&mut query);
            let settled = row_stars::settle(&mut query, &stars);
            let plan = self.merged_plan(query, &known, parameters, statement);
            let (found, columns) = (self.merges.take(), self.stars.take());
            let learns = columns.into_iter().filter(|(number, _)| !stars.contains_key(number)).collect::<Stars>();
            let is_over = found == known && (settled.is_complete || learns.is_empty());
            known = found;
            stars.extend(learns);
            if is_over {
                let is_ambiguous = |error: &QueryError| error.kind == ErrorKind::AmbiguousColumn;
                // The definition of a view, which is no statement, is planned whatever has become an error since it was taken.
                if let Some(statement) = statement.filter(|_| plan.as_ref().err().is_none_or(is_ambiguous))
                    && let Some((error, key)) = settled.keys.misplaced(&stars)
                {
                    return Err(error.position(place_of(statement, &key)));
                }
                return match plan {
                    Ok(_) if !settled.is_complete => Err(QueryError::unsupported("the star of this relation in a row")),
                    plan => plan,
                };
            }
        }
    }

    fn merged_plan(
        &self,
        mut query: ast::Query,
        merges: &Merges,
        parameters: &[Option<SqlType>],
        statement: Option<&Statement>,
    ) -> std::result::Result<LogicalPlan, QueryError> {
        merged_joins::settle(&mut query, merges);
        pg_catalog::refuse_misplaced_sets(&query, statement)?;
        if !parameters.is_empty() {
            plan_constants::fill_samples(&mut query, parameters)?;
        }
        spell_out(&mut query, self, statement)?;
        name_outputs(&mut query);
        direct_arguments::settle(&mut query)?;
        let mut tree = ast::Statement::Query(Box::new(query));
        pg_catalog::rewrite(&mut tree);
        let is_query = |query: ast::Query| {
            let query = ast::Statement::Query(Box::new(query));
            self.statement_plan(query, parameters, statement).is_ok()
        };
        pg_catalog::settle_set_orders(&mut tree, &|name| self.is_volatile(name), &is_query);
        self.statement_plan(tree, parameters, statement)
    }

    /// Plans a rewritten statement.
    pub(crate) fn statement_plan(
        &self,
        tree: ast::Statement,
        parameters: &[Option<SqlType>],
        statement: Option<&Statement>,
    ) -> std::result::Result<LogicalPlan, QueryError> {
        let _types = self.knows_types();
        let mut tree = tree;
        mark_named(&mut tree, &|name| self.is_volatile(name));
        name_subqueries(&mut tree);
        let sites = annotate(&mut tree, statement).map_err(|error| translate(error, statement))?;
        *self.sites.lock() = Arc::new(sites);
        let cells = PlannedCells { planning: self, context: parameter_context(parameters) };
        if self.infers() {
            open_values(&mut tree, &cells);
        } else {
            assign_values(&mut tree, &self.assigned_columns(), &cells, statement)?;
            settle_values(&mut tree, &cells)?;
        }
        let mut context = parameter_context(parameters);
        let plan = SqlToRel::new_with_options(self, parser_options())
            .sql_statement_to_plan_with_context(tree, &mut context)
            .map_err(|error| translate(error, statement))?;
        if self.infers() {
            return Ok(plan);
        }
        let plan = lower(plan, self.procedures(), &self.cast_context())
            .and_then(name_keys_once)
            .and_then(lower_averaged_sums)
            .and_then(exact_set_operations)
            .and_then(row_counts::with_ties)
            .and_then(|plan| compare_by_length(plan, self.procedures(), &self.cast_context()))
            .and_then(compare_zeros)
            .and_then(compute_keys)
            .and_then(decorrelate)
            .and_then(share_work_tables)
            .and_then(volatile_last)
            .and_then(collected_in_order)
            .and_then(|plan| pg_catalog::name_registered_objects(plan, &self.facts));
        let plan = plan.map_err(|error| translate(error, statement))?;
        // Coercion settles the types of CASE, UNION and the like, which the result's columns must show.
        Ok(self.analyzed(plan.clone(), statement).unwrap_or(plan))
    }

    /// Whether a function gives another value at each call.
    fn is_volatile(&self, name: &str) -> bool {
        self.get_function_meta(name).is_some_and(|function| function.signature().volatility == Volatility::Volatile)
    }

    /// Optimises a plan and makes it executable.
    pub(crate) async fn physical_plan(
        &self,
        plan: &LogicalPlan,
        statement: Option<&Statement>,
    ) -> std::result::Result<Arc<dyn ExecutionPlan>, QueryError> {
        let plan = row_counts::evaluated(plan, &self.state).await.map_err(|error| translate(error, statement))?;
        let physical = async {
            let Sharing { plan, tables } = share_marked(plan)?;
            for table in tables {
                table.settle(self.executable(self.state.optimize(&table.plan)?).await?);
            }
            self.executable(self.state.optimize(&plan)?).await
        };
        physical.await.map_err(|error| translate(error, statement))
    }

    /// Makes an optimised plan executable, and what it has more than once a plan of its own.
    pub(crate) fn executable(
        &self,
        plan: LogicalPlan,
    ) -> BoxFuture<'_, datafusion::common::Result<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let Sharing { plan, tables } = share_equal(plan)?;
            for table in tables {
                table.settle(self.executable(table.plan.clone()).await?);
            }
            self.state.query_planner().create_physical_plan(&plan, &*self.state).await
        })
    }

    /// Type coercion and checks, without optimisation.
    pub(crate) fn analyzed(
        &self,
        plan: LogicalPlan,
        statement: Option<&Statement>,
    ) -> std::result::Result<LogicalPlan, QueryError> {
        let options = self.state.config_options();
        let analyzed = self.state.analyzer().execute_and_check(plan, options, |_, _| {});
        analyzed.map_err(|error| translate(error, statement))
    }
}

/// The columns of a plan's result as the client sees them.
pub(crate) fn result_columns(
    plan: &LogicalPlan,
    snapshot: &Snapshot,
) -> std::result::Result<Vec<ResultColumn>, QueryError> {
    columns_from(plan, &Origins { snapshot, target: None })
}

/// The same, whose origins are to be found so.
pub(crate) fn columns_from(
    plan: &LogicalPlan,
    origins: &Origins<'_>,
) -> std::result::Result<Vec<ResultColumn>, QueryError> {
    let fields = plan.schema().fields().iter().enumerate();
    let columns = fields.map(|(index, field)| {
        let name = shown_name(field.name()).to_string();
        let sql_type = SqlType::from_field(field).ok_or_else(|| {
            QueryError::new(
                ErrorKind::FeatureNotSupported,
                format!("column \"{name}\" has a type that clients cannot be sent"),
            )
            .hint("Cast it to text.")
        })?;
        let modifier = sql_type.typmod_of(field);
        let domain = domain_of(field).filter(|id| origins.snapshot.types.contains_key(id));
        Ok(ResultColumn { origin: origins.of(plan, index), name, sql_type, modifier, domain })
    });
    columns.collect()
}

/// The columns as a client is told of them, to whom some arrays of the catalog are vectors and some of bigint are of OIDs.
pub(crate) fn told_columns(
    plan: &LogicalPlan,
    snapshot: &Snapshot,
) -> std::result::Result<Vec<ResultColumn>, QueryError> {
    let mut columns = result_columns(plan, snapshot)?;
    for (index, (column, field)) in columns.iter_mut().zip(plan.schema().fields()).enumerate() {
        if let Some(vector) = SqlType::vector_of(field) {
            column.sql_type = vector;
        } else if column.sql_type == SqlType::Array(Box::new(SqlType::Int8))
            && let Some(item) = oid_items(plan, index)
        {
            column.sql_type = SqlType::Array(Box::new(item));
        }
    }
    Ok(columns)
}

fn parser_options() -> ParserOptions {
    ParserOptions::new().with_parse_float_as_decimal(true).with_collect_spans(true)
}

/// What the planner knows of `$1`, `$2`, …
fn parameter_context(parameters: &[Option<SqlType>]) -> PlannerContext {
    let fields =
        parameters.iter().map(|known| known.as_ref().map(|sql_type| Arc::new(expression_field(sql_type)) as FieldRef));
    PlannerContext::new().with_prepare_param_data_types(fields.collect::<Vec<_>>())
}

/// The values of VALUES lists, planned one by one.
struct PlannedCells<'a> {
    planning: &'a Planning,
    /// Of the statement's parameters, which are too many to be told anew for each value.
    context: PlannerContext,
}

impl Cells for PlannedCells<'_> {
    fn planned(&self, cell: &ast::Expr) -> Option<(Argument, FieldRef)> {
        let schema = DFSchema::empty();
        let planner = SqlToRel::new_with_options(self.planning, parser_options());
        let planned = planner.sql_to_expr(cell.clone(), &schema, &mut self.context.clone()).ok()?;
        let (_, field) = planned.to_field(&schema).ok()?;
        Some((Argument::new(planned, None, &schema).ok()?, field))
    }

    fn add(&self, kind: SiteKind, places: Places) -> String {
        Arc::make_mut(&mut *self.planning.sites.lock()).add(kind, places)
    }
}
