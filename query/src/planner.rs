//! Planning: from a statement's syntax tree to a plan over one snapshot.
//!
//! A [`Planning`] is made for each statement. It holds the snapshot that the statement reads, so every name in it means one thing
//! from parsing to the last row:
//!
//!     syntax tree ──rewrite──▶ ──SqlToRel──▶ logical plan ──optimise──▶ ──▶ physical plan
//!                      names, avg       tables: ScanTable over the snapshot
//!                                       views:  their read plan, inlined
//!                                       pg_catalog: batches computed from the snapshot

use crate::engine::{DATABASE, Engine};
use crate::engine_error::{nearest, translate};
use crate::error::{ErrorKind, QueryError};
use crate::functions::array_aggregates::{ARRAY_OF_VALUES, of_values};
use crate::functions::series::GENERATE_SERIES;
use crate::functions::series_table::SeriesTable;
use crate::functions::{self, SessionFacts, excluded_frames, variadic};
use crate::merged_joins::{self, MergePlanner, Merges};
use crate::operators::averaged_sums::lower_averaged_sums;
use crate::operators::call::{Places, Procedures, SiteKind};
use crate::operators::casts::{CastContext, expression_field};
use crate::operators::float_order::compare_zeros;
use crate::operators::inference::Inference;
use crate::operators::interval_order::compare_by_length;
use crate::operators::lowering::{Argument, lower, lower_expression};
use crate::operators::open_call::opened;
use crate::operators::sites::{Sites, annotate};
use crate::operators::value_lists::{Cells, settle_values};
use crate::operators::window_keys::compute_keys;
use crate::output_names::{name_outputs, shown_name};
use crate::parameter_types::Parameters;
use crate::pg_catalog;
use crate::plan_constants;
use crate::planning_state::PlanningState;
use crate::precedence::mend_precedence;
use crate::query_places::refined;
use crate::response::ResultColumn;
use crate::row_counts;
use crate::scan::{Extra, RowSet, ScanLog, ScanTable, external};
use crate::set_operations::exact_set_operations;
use crate::standard_spellings::whole_rows::with_rows;
use crate::standard_spellings::{direct_arguments, spell_out};
use crate::statement::Statement;
use crate::statement_grammar::fold;
use crate::subqueries::{ARRAY_OF_ROWS, decorrelate, name_subqueries, naming_function, of_rows};
use crate::system_facts::SystemSource;
use crate::transaction::Reads;
use crate::unknown_function::{UnknownFunction, types_of};
use crate::user_types::{KnownTypes, TypeScope};
use crate::view_reading;
use crate::view_verification::{self, VERIFY};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use catalog::definition::ObjectName;
use catalog::ids::{CommitSeq, ObjectId};
use catalog::sequence::SequenceVersion;
use catalog::snapshot::{Relation, Snapshot, TableVersion, ViewVersion};
use catalog::sql_type::SqlType;
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, Result, ScalarValue, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

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
    pub log: Arc<ScanLog>,
    reads: Reads,
    pub facts: Arc<SessionFacts>,
    pub system: Arc<SystemSource>,
    sources: Sources,
    /// Whether the snapshot is a committed one, without what an open transaction did.
    committed: bool,
    /// The operators and casts of the tree that is being planned.
    sites: Arc<Mutex<Arc<Sites>>>,
    /// Plans joins with USING and NATURAL.
    merges: Arc<MergePlanner>,
    relation_planners: [Arc<dyn RelationPlanner>; 1],
    /// The types of the parameters of the query that is being planned, for planning parts of it alone.
    parameters: Mutex<Vec<Option<SqlType>>>,
    /// While a query is planned only to find out the types of its parameters: what is known of them.
    inference: Mutex<Option<Inference>>,
    /// The snapshots of earlier times that the statement reads too.
    pasts: Arc<Mutex<BTreeMap<CommitSeq, Arc<Snapshot>>>>,
    /// Errors of name resolution, which DataFusion would wrap.
    depth: Mutex<usize>,
}

/// Between a relation's name and the commit after which it is read.
const PAST: &str = "@commit ";

/// The deepest nesting of views over views.
const VIEW_DEPTH_MAX: usize = 32;

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
        Self {
            engine,
            state,
            snapshot,
            log: Arc::default(),
            reads: Reads::default(),
            facts,
            system,
            sources: Sources::Rows,
            committed: false,
            sites,
            relation_planners: [Arc::clone(&merges) as Arc<dyn RelationPlanner>],
            merges,
            parameters: Mutex::default(),
            inference: Mutex::default(),
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
        Self { log, reads, pasts, sources, committed: self.committed, ..same }
    }

    /// The same for a transaction, which is told what is read.
    pub(crate) fn noting_reads(self, reads: Reads) -> Self {
        Self { reads, ..self }
    }

    /// Notes that a statement depends on the rows of a relation.
    pub(crate) fn note_read(&self, id: ObjectId) {
        match self.snapshot.relation_by_id(id) {
            Some(Relation::View(view)) => view.definition.inputs.iter().for_each(|input| self.note_read(*input)),
            Some(Relation::Table(_)) => drop(self.reads.lock().insert(id)),
            Some(Relation::Sequence(_)) | None => {}
        }
    }

    /// Notes what was read by a plan that another planning made.
    pub(crate) fn note_reads_of(&self, other: &Self) {
        if !Arc::ptr_eq(&self.reads, &other.reads) {
            let read = other.reads.lock().clone();
            self.reads.lock().extend(read);
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
        Self { snapshot: past, reads: Reads::default(), committed: false, ..same }
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
        KnownTypes { types, relations, path: self.facts.effective_path(false) }
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
        let _types = self.knows_types();
        let parameters = Parameters::of(query, statement)?;
        let count = parameters.count().max(declared.len());
        if count == declared.len()
            && let Some(known) = declared.iter().cloned().collect::<Option<Vec<SqlType>>>()
        {
            return Ok(known);
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
        let inherited = self.parameters.lock().clone();
        let parameters = if parameters.is_empty() { inherited.as_slice() } else { parameters };
        *self.parameters.lock() = parameters.to_vec();
        let mut plan = self.spelt_out_plan(query, parameters, statement);
        let mut tree = None;
        while let Err(error) = &plan
            && let Some(with_rows) = with_rows(tree.as_ref().unwrap_or(query), error)
        {
            plan = self.spelt_out_plan(tree.insert(with_rows), parameters, statement);
        }
        let is_aggregate =
            |name: &str| self.get_aggregate_meta(name).is_some() && !self.state.scalar_functions().contains_key(name);
        refined(plan, source, statement, &is_aggregate)
    }

    /// Plans a query, and once more where that has found columns that joins merge.
    fn spelt_out_plan(
        &self,
        query: &ast::Query,
        parameters: &[Option<SqlType>],
        statement: Option<&Statement>,
    ) -> std::result::Result<LogicalPlan, QueryError> {
        let mut known = Merges::default();
        loop {
            let plan = self.merged_plan(query, &known, parameters, statement);
            let found = self.merges.take();
            if found == known {
                return plan;
            }
            known = found;
        }
    }

    fn merged_plan(
        &self,
        query: &ast::Query,
        merges: &Merges,
        parameters: &[Option<SqlType>],
        statement: Option<&Statement>,
    ) -> std::result::Result<LogicalPlan, QueryError> {
        let mut query = query.clone();
        merged_joins::settle(&mut query, merges);
        mend_precedence(&mut query);
        pg_catalog::refuse_misplaced_sets(&query, statement)?;
        if !parameters.is_empty() {
            plan_constants::fill_samples(&mut query, parameters)?;
        }
        spell_out(&mut query, self, statement)?;
        name_outputs(&mut query);
        direct_arguments::settle(&mut query)?;
        let mut tree = ast::Statement::Query(Box::new(query));
        pg_catalog::rewrite(&mut tree);
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
        name_subqueries(&mut tree);
        let sites = annotate(&mut tree, statement).map_err(|error| translate(error, statement))?;
        *self.sites.lock() = Arc::new(sites);
        if !self.infers() {
            settle_values(&mut tree, &PlannedCells { planning: self, parameters })?;
        }
        let mut context = parameter_context(parameters);
        let plan = SqlToRel::new_with_options(self, parser_options())
            .sql_statement_to_plan_with_context(tree, &mut context)
            .map_err(|error| translate(error, statement))?;
        if self.infers() {
            return Ok(plan);
        }
        let plan = lower(plan, self.procedures(), &self.cast_context())
            .and_then(lower_averaged_sums)
            .and_then(exact_set_operations)
            .and_then(row_counts::with_ties)
            .and_then(|plan| compare_by_length(plan, self.procedures(), &self.cast_context()))
            .and_then(compare_zeros)
            .and_then(compute_keys)
            .and_then(decorrelate)
            .and_then(|plan| pg_catalog::name_registered_objects(plan, &self.facts));
        let plan = plan.map_err(|error| translate(error, statement))?;
        // Coercion settles the types of CASE, UNION and the like, which the result's columns must show.
        Ok(self.analyzed(plan.clone(), statement).unwrap_or(plan))
    }

    /// Optimises a plan and makes it executable.
    pub(crate) async fn physical_plan(
        &self,
        plan: &LogicalPlan,
        statement: Option<&Statement>,
    ) -> std::result::Result<Arc<dyn ExecutionPlan>, QueryError> {
        let plan = row_counts::evaluated(plan, &self.state).await.map_err(|error| translate(error, statement))?;
        let optimized = self.state.optimize(&plan).map_err(|error| translate(error, statement))?;
        let physical = self.state.query_planner().create_physical_plan(&optimized, &*self.state).await;
        physical.map_err(|error| translate(error, statement))
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

    /// The tables, views and system relations that a reference may mean, resolved.
    pub(crate) fn object_name(&self, name: &ast::ObjectName) -> std::result::Result<ObjectName, QueryError> {
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
        match parts.as_slice() {
            [name] => Ok(self.visible(name).unwrap_or_else(|| ObjectName::new(self.creation_schema(), name))),
            [schema, name] => Ok(ObjectName::new(schema, name)),
            [database, schema, name] if database == DATABASE => Ok(ObjectName::new(schema, name)),
            [..] => Err(cross_database(&parts.join("."))),
        }
    }

    /// What a name can mean, the first of the search path first.
    pub(crate) fn candidates(&self, name: &ast::ObjectName) -> std::result::Result<Vec<ObjectName>, QueryError> {
        match name.0.as_slice() {
            [only] => {
                let name = only.as_ident().map(fold).unwrap_or_default();
                let path = self.facts.effective_path(false);
                Ok(path.into_iter().map(|schema| ObjectName::new(schema, &name)).collect())
            }
            _ => Ok(vec![self.object_name(name)?]),
        }
    }

    /// The schema that CREATE uses for an unqualified name: the first of the search path that exists.
    pub(crate) fn creation_schema(&self) -> String {
        let path = self.facts.effective_path(false);
        path.iter()
            .find(|schema| self.snapshot.schemas.contains_key(*schema))
            .cloned()
            .unwrap_or_else(|| "public".into())
    }

    fn visible(&self, name: &str) -> Option<ObjectName> {
        let candidates = self.facts.effective_path(false).into_iter().map(|schema| ObjectName::new(schema, name));
        { candidates }.find(|candidate| self.snapshot.names.contains_key(candidate))
    }

    /// A table or view of the user's; an error names the nearest one.
    pub(crate) fn relation(&self, name: &ObjectName, shown: &str) -> std::result::Result<Relation<'_>, QueryError> {
        self.snapshot.relation(name).ok_or_else(|| self.no_relation(shown))
    }

    fn no_relation(&self, shown: &str) -> QueryError {
        let bare = shown.rsplit('.').next().unwrap_or(shown);
        let error =
            QueryError::new(ErrorKind::UndefinedTable, format!("relation \"{shown}\" does not exist")).table(shown);
        let known = self.snapshot.names.keys().map(|name| name.name.as_str());
        match nearest(bare, known) {
            Some(name) if name != bare => error.hint(format!("Perhaps you meant the relation \"{name}\".")),
            _ => error,
        }
    }

    fn resolve(&self, reference: &TableReference) -> Result<Arc<dyn TableSource>> {
        let (schema, name) = match reference {
            TableReference::Bare { table } => (None, table.to_string()),
            TableReference::Partial { schema, table } => (Some(schema.to_string()), table.to_string()),
            TableReference::Full { catalog, schema, table } if **catalog == *DATABASE => {
                (Some(schema.to_string()), table.to_string())
            }
            TableReference::Full { .. } => return Err(external(cross_database(&reference.to_string()))),
        };
        match &self.sources {
            Sources::Target(rows) | Sources::Upsert { target: rows, .. } if schema.is_none() && name == TARGET => {
                return Ok(Arc::clone(rows));
            }
            Sources::Upsert { excluded, .. } if schema.is_none() && name == EXCLUDED => {
                return Ok(Arc::clone(excluded));
            }
            _ => {}
        }
        let system = pg_catalog::relation(schema.as_deref().unwrap_or("pg_catalog"), &name);
        if let Some(relation) = system {
            return self.system_relation(relation);
        }
        if let Some((table, seq)) = name.rsplit_once(PAST) {
            return self.past_source(schema.as_deref(), table, seq);
        }
        let (name, with_places) = name.strip_suffix(PLACES).map_or((name.as_str(), false), |table| (table, true));
        let object = match &schema {
            Some(schema) => ObjectName::new(schema, name),
            None => self.visible(name).ok_or_else(|| external(self.no_relation(name)))?,
        };
        match self.snapshot.relation(&object) {
            Some(Relation::Table(version)) if with_places => Ok(self.places_source(version)),
            Some(Relation::Table(version)) => Ok(self.table_source(version)),
            Some(Relation::View(view)) => self.view_source(view),
            Some(Relation::Sequence(sequence)) => self.sequence_source(sequence),
            None => Err(external(self.no_relation(&reference.to_string()))),
        }
    }

    /// A relation as it was after a commit.
    fn past_source(&self, schema: Option<&str>, name: &str, seq: &str) -> Result<Arc<dyn TableSource>> {
        let past = seq.parse().ok().and_then(|seq| self.pasts.lock().get(&CommitSeq(seq)).cloned());
        let past = past.ok_or_else(|| external(self.no_relation(name)))?;
        let reference = TableReference::partial(schema.unwrap_or("public"), name);
        self.at(past).resolve(&reference)
    }

    fn system_relation(&self, relation: &'static pg_catalog::CatalogRelation) -> Result<Arc<dyn TableSource>> {
        if self.needs_no_rows() {
            return Ok(Arc::new(LogicalTableSource::new(relation.schema())));
        }
        let batch = relation.batch(self.system.context(&self.snapshot));
        Ok(provider_as_source(Arc::new(MemTable::try_new(relation.schema(), vec![vec![batch]])?)))
    }

    fn table_source(&self, version: &Arc<TableVersion>) -> Arc<dyn TableSource> {
        let definition = &version.definition;
        if self.needs_no_rows() {
            return Arc::new(LogicalTableSource::new(definition.schema()));
        }
        self.note_read(definition.id);
        self.rows_source(&definition.name.name, RowSet::of_table(version, Extra::None))
    }

    /// The rows of a table with their places.
    pub(crate) fn places_source(&self, version: &TableVersion) -> Arc<dyn TableSource> {
        self.note_read(version.definition.id);
        self.rows_source(&version.definition.name.name, RowSet::of_table(version, Extra::Place))
    }

    /// A row set as a source; `name` is what EXPLAIN calls it.
    pub(crate) fn rows_source(&self, name: &str, rows: RowSet) -> Arc<dyn TableSource> {
        let table: Arc<dyn TableProvider> =
            Arc::new(ScanTable::new(name, rows, Arc::clone(&self.engine.store), Arc::clone(&self.log)));
        provider_as_source(table)
    }

    fn view_source(&self, view: &Arc<ViewVersion>) -> Result<Arc<dyn TableSource>> {
        if self.needs_no_rows() {
            return Ok(Arc::new(LogicalTableSource::new(view_schema(view))));
        }
        if !view.definition.populated {
            let message = format!("materialized view \"{}\" has not been populated", view.definition.name.name);
            let error = QueryError::new(ErrorKind::ObjectNotReady, message);
            return Err(external(error.hint("Use the REFRESH MATERIALIZED VIEW command.")));
        }
        self.note_read(view.definition.id);
        let plan = self.nested(|| view_reading::read_plan(self, view))?;
        Ok(provider_as_source(Arc::new(ViewTable::new(plan, None))))
    }

    /// The one row of a sequence.
    fn sequence_source(&self, sequence: &SequenceVersion) -> Result<Arc<dyn TableSource>> {
        let fields = pg_catalog::SEQUENCE_COLUMNS.iter().map(|column| column.sql_type.field(&column.name, false));
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        if self.needs_no_rows() {
            return Ok(Arc::new(LogicalTableSource::new(schema)));
        }
        let value = self.facts.sequences.value(sequence.definition.id);
        let (value, reserved) = value.unwrap_or((sequence.value, 0));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![value.last])),
            Arc::new(Int64Array::from(vec![reserved as i64])),
            Arc::new(BooleanArray::from(vec![value.called])),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        Ok(provider_as_source(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?)))
    }

    fn nested<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let depth = {
            let mut depth = self.depth.lock();
            *depth += 1;
            *depth
        };
        let result = if depth > VIEW_DEPTH_MAX {
            Err(external(QueryError::new(ErrorKind::StatementTooComplex, "views are nested too deeply")))
        } else {
            body()
        };
        *self.depth.lock() -= 1;
        result
    }
}

/// The schema that readers of a view see.
pub(crate) fn view_schema(view: &ViewVersion) -> SchemaRef {
    let fields: Vec<_> = view.definition.columns.iter().map(|column| column.field(true)).collect();
    Arc::new(arrow::datatypes::Schema::new(fields))
}

fn cross_database(name: &str) -> QueryError {
    QueryError::new(
        ErrorKind::FeatureNotSupported,
        format!("cross-database references are not implemented: \"{name}\""),
    )
}

/// The columns of a plan's result as the client sees them.
pub(crate) fn result_columns(
    plan: &LogicalPlan,
    snapshot: &Snapshot,
) -> std::result::Result<Vec<ResultColumn>, QueryError> {
    let fields = plan.schema().iter();
    let columns = fields.map(|(qualifier, field)| {
        let name = shown_name(field.name()).to_string();
        let sql_type = SqlType::from_field(field).ok_or_else(|| {
            QueryError::new(
                ErrorKind::FeatureNotSupported,
                format!("column \"{name}\" has a type that clients cannot be sent"),
            )
            .hint("Cast it to text.")
        })?;
        let modifier = sql_type.typmod_of(field);
        Ok(ResultColumn { origin: origin_of(qualifier, field.name(), snapshot), name, sql_type, modifier })
    });
    columns.collect()
}

/// The table and column that an output column is, where its qualifier names a table.
fn origin_of(
    qualifier: Option<&TableReference>,
    column: &str,
    snapshot: &Snapshot,
) -> Option<(catalog::ids::ObjectId, i16)> {
    let qualifier = qualifier?;
    let name = ObjectName::new(qualifier.schema().unwrap_or("public"), qualifier.table());
    let id = *snapshot.names.get(&name)?;
    let columns = match snapshot.relation_by_id(id)? {
        Relation::Table(version) => &version.definition.columns,
        Relation::View(view) => &view.definition.columns,
        Relation::Sequence(_) => return None,
    };
    let column = columns.iter().find(|known| known.name == column)?;
    Some((id, column.id.0 as i16))
}

impl ContextProvider for Planning {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        self.resolve(&name)
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        if name == VERIFY && args.len() == 1 {
            if self.needs_no_rows() {
                return Ok(Arc::new(LogicalTableSource::new(view_verification::schema())));
            }
            let plan = self.nested(|| match self.constants(args)?.first() {
                Some((argument, _)) => view_verification::plan(self, argument),
                None => view_verification::plan(self, &ScalarValue::Null),
            })?;
            return Ok(provider_as_source(Arc::new(ViewTable::new(plan, None))));
        }
        if name != GENERATE_SERIES {
            return Err(external(functions::overload::no_function(name, &types_of(&args)?)));
        }
        let args = match self.inference.lock().as_mut() {
            Some(inference) => inference.constants(name, args)?,
            None => args,
        };
        let table = SeriesTable::new(&self.constants(args)?, self.cast_context()).map_err(external)?;
        Ok(provider_as_source(Arc::new(table)))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(crate::sql_types::PostgresTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if let Some(naming) = naming_function(name) {
            return Some(naming);
        }
        let function = self.scalar_function(name)?;
        Some(if self.infers() { opened(function) } else { function })
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        if name == ARRAY_OF_ROWS {
            return self.state.aggregate_functions().get("array_agg").map(of_rows);
        }
        if name == ARRAY_OF_VALUES {
            return self.state.aggregate_functions().get("array_agg").map(of_values);
        }
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        let known = self.state.window_functions().get(name).cloned();
        known.or_else(|| excluded_frames::function(name, |aggregate| self.get_aggregate_meta(aggregate)))
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

impl Planning {
    /// What a name means that is called: a site, a function, or the error that there is none.
    fn scalar_function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if let Some(site) = self.sites.lock().function(name, self.procedures()) {
            return Some(site);
        }
        if let Some(variadic) = variadic::function(name, |inner| self.scalar_function(inner)) {
            return Some(variadic);
        }
        let own = functions::session_function(name, &self.facts);
        let known = own.or_else(|| self.state.scalar_functions().get(name).cloned());
        known.or_else(|| UnknownFunction::for_name(name, &self.state))
    }

    /// The functions that operators over dates and intervals are.
    fn procedures(&self) -> &Procedures {
        &self.engine.procedures
    }

    pub(crate) fn cast_context(&self) -> CastContext {
        CastContext::from_options(self.state.config_options())
    }

    /// The values of constant expressions, with their types.
    fn constants(&self, expressions: Vec<Expr>) -> Result<Vec<(ScalarValue, Option<SqlType>)>> {
        let (schema, context) = (DFSchema::empty(), self.cast_context());
        let no_columns = RecordBatch::try_new_with_options(
            Arc::new(arrow::datatypes::Schema::empty()),
            Vec::new(),
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        let values = expressions.into_iter().map(|expression| {
            let lowered = lower_expression(expression, self.procedures(), &context)?;
            let known = types_of(std::slice::from_ref(&lowered))?.remove(0);
            let value = self.state.create_physical_expr(lowered, &schema)?.evaluate(&no_columns)?;
            Ok((ScalarValue::try_from_array(&value.into_array(1)?, 0)?, known))
        });
        values.collect()
    }
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
    parameters: &'a [Option<SqlType>],
}

impl Cells for PlannedCells<'_> {
    fn planned(&self, cell: &ast::Expr) -> Option<Argument> {
        let schema = DFSchema::empty();
        let planner = SqlToRel::new_with_options(self.planning, parser_options());
        let planned = planner.sql_to_expr(cell.clone(), &schema, &mut parameter_context(self.parameters)).ok()?;
        Argument::new(planned, None, &schema).ok()
    }

    fn add(&self, kind: SiteKind, places: Places) -> String {
        Arc::make_mut(&mut *self.planning.sites.lock()).add(kind, places)
    }
}
