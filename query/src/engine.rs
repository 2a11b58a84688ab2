//! The engine: one per process. It owns the catalog, the store, the memory budget and the threads that compute.
//!
//! Sessions come and go; what they share is here. CPU work (planning, execution, decoding, folding) runs on the engine's own
//! threads (`threads`), so that a heavy query never starves the sockets, nor a load the queries. All commits of the query room go through [`Engine::commit`].

use crate::activity::{Activity, Registry};
use crate::background::Background;
use crate::column_dependencies::informed;
use crate::equal_conditions::{self, EqualConditions};
use crate::error::{ErrorKind, QueryError};
use crate::filter_moves::physical_rules;
use crate::filter_places::{self, FilterPlaces};
use crate::functions;
use crate::join_keys::{self, JoinKeys};
use crate::kept_order::KeptOrder;
use crate::kept_states::KeptStates;
use crate::keys::index::KeyIndexes;
use crate::leading_rows::LeadingRowsOfWindows;
use crate::memory::{Budget, cache_bytes};
use crate::notifications::{Channels, watch_views};
use crate::null_calls::NullCalls;
use crate::operators::call::Procedures;
use crate::query_cache::QueryCache;
use crate::row_rules::KnownRules;
use crate::scan::DepartedRows;
use crate::sequences::Sequences;
use crate::session::Session;
use crate::shared_plans::ShownPlans;
use crate::step_plans::StepPlans;
use crate::temporary::SchemaNumbers;
use crate::threads::{STACK_BYTES, Threads};
use crate::turns::Turns;
use crate::view_builds::ViewBuilds;
use crate::view_reading::Programs;
use crate::write_holds::WriteHolds;
use crate::yielding::YieldingJoins;
use catalog::commit::{Catalog, Commit, CommitError};
use catalog::draft::{CommitDraft, Conflict, Op};
use catalog::recovery::{OpenError as CatalogOpenError, RecoveryReport};
use catalog::segment::SegmentMeta;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::SessionConfig;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use storage::reader::{FOOTERS_BYTES_MAX, SegmentStore};
use storage::staging::StagedSegments;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// The one database.
pub const DATABASE: &str = "meridian";
/// What must be left of a stack where a tree is walked by what can add to it, for the walks that cannot.
const STACK_LEFT_BYTES: usize = STACK_BYTES / 2;
/// The share of the machine's memory that queries may use when nothing is said.
const MEMORY_SHARE: f64 = 0.5;
const BATCH_ROWS: usize = 8192;
/// A sort sets aside no more than one part in so many of the memory, for merging what it spills.
const MERGING_SHARE: usize = 64;
/// A commit of no more rows is encoded where it is waited for.
const SMALL_DRAFT_ROWS_MAX: usize = 1_024;
/// So many new segments of a commit are prepared for their first readers.
const PREPARED_MAX: usize = 1_024;

/// What an engine is opened with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub data_dir: PathBuf,
    /// The budget for queries in bytes; by default half of the machine's memory.
    pub memory_bytes: Option<u64>,
    /// What an error is called on the wire; rejected rows are kept with it.
    pub sqlstate: fn(ErrorKind) -> &'static str,
    /// The directory whose files COPY may read and write; none where there is none.
    pub copy_dir: Option<PathBuf>,
    /// How far back tables can be read as they were.
    pub history_retention: Duration,
    /// How many clients the server takes at a time.
    pub connections_max: usize,
}

/// How far back tables can be read as they were where nothing is said.
pub const HISTORY_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Who connects.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub user: String,
    pub database: String,
    pub process_id: i32,
    /// Settings of the start-up packet, `-c` options included.
    pub settings: Vec<(String, String)>,
    /// The client's end of its connection, and the server's.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// Cancelled where another session ends this one; the server closes the connection then.
    pub farewell: CancellationToken,
}

/// Why an engine did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Catalog(#[from] CatalogOpenError),
    #[error(transparent)]
    Storage(#[from] storage::error::StorageError),
    #[error("could not start the engine: {0}")]
    Threads(std::io::Error),
    #[error("could not prepare the spill directory: {0}")]
    Spill(String),
    #[error("could not open the directory for COPY: {0}")]
    CopyDir(String),
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.hint(),
            Self::Storage(error) => error.hint().map(str::to_string),
            Self::Threads(_) => Some("Check the limits on threads and memory of this user.".into()),
            Self::CopyDir(_) => Some("Give --copy-dir a directory that is there.".into()),
            Self::Spill(_) => Some("Check that the data directory is writable and has space.".into()),
        }
    }
}

/// One database, open.
pub struct Engine {
    /// First, so that work ends before what it works on is dropped.
    threads: Threads,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) store: Arc<SegmentStore>,
    pub(crate) programs: Programs,
    pub(crate) kept_states: KeptStates,
    pub(crate) step_plans: StepPlans,
    pub(crate) view_builds: ViewBuilds,
    pub(crate) departed_rows: Arc<DepartedRows>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) query_cache: Arc<QueryCache>,
    pub(crate) sequences: Sequences,
    pub(crate) rules: KnownRules,
    pub(crate) keys: KeyIndexes,
    pub(crate) turns: Turns,
    pub(crate) registry: Registry,
    pub(crate) holds: WriteHolds,
    pub(crate) background: Background,
    pub(crate) channels: Channels,
    pub(crate) temporary_schemas: SchemaNumbers,
    pub(crate) started_at_micros: i64,
    pub(crate) history_retention: Duration,
    pub(crate) connections_max: usize,
    sqlstate: fn(ErrorKind) -> &'static str,
    copy_dir: Option<PathBuf>,
    /// What every session's state is cloned from.
    template: SessionState,
    /// The functions that need no session, by name.
    pub(crate) procedures: Procedures,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("data_dir", &self.catalog.data_dir()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens or creates the database in the data directory and starts its background work.
    pub async fn open(config: EngineConfig) -> Result<(Arc<Self>, RecoveryReport), OpenError> {
        recursive::set_minimum_stack_size(STACK_LEFT_BYTES);
        recursive::set_stack_allocation_size(STACK_BYTES);
        let copy_dir = config.copy_dir.as_deref().map(std::path::Path::canonicalize).transpose();
        let copy_dir = copy_dir.map_err(|error| OpenError::CopyDir(error.to_string()))?;
        let data_dir = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || Catalog::open(&data_dir)).await;
        let (catalog, report) = opened.map_err(|error| OpenError::Threads(std::io::Error::other(error)))??;
        let memory_bytes = config.memory_bytes.map_or_else(default_memory_bytes, |bytes| bytes as usize);
        let store =
            Arc::new(SegmentStore::open_within(catalog.data_dir(), cache_bytes(memory_bytes, FOOTERS_BYTES_MAX)));
        let threads = Threads::start().map_err(OpenError::Threads)?;
        let budget = Budget::new(memory_bytes);
        let template = template_state(&budget, catalog.data_dir())?;
        let engine = Arc::new_cyclic(|this: &Weak<Self>| Self {
            background: Background::start(this.clone(), threads.bulk(), catalog.watch()),
            channels: Channels::default(),
            temporary_schemas: SchemaNumbers::default(),
            catalog,
            keys: KeyIndexes::new(Arc::clone(&store), memory_bytes),
            turns: Turns::default(),
            store,
            programs: Programs::default(),
            kept_states: KeptStates::new(memory_bytes),
            step_plans: StepPlans::default(),
            view_builds: ViewBuilds::default(),
            departed_rows: Arc::default(),
            budget,
            query_cache: Arc::new(QueryCache::new(memory_bytes)),
            sequences: Sequences::default(),
            rules: KnownRules::default(),
            registry: Registry::default(),
            holds: WriteHolds::default(),
            started_at_micros: now_micros(),
            history_retention: config.history_retention,
            connections_max: config.connections_max,
            sqlstate: config.sqlstate,
            copy_dir,
            procedures: Arc::new(template.scalar_functions().clone()),
            template,
            threads,
        });
        let commits = engine.catalog.watch();
        engine.compute().spawn(watch_views(Arc::downgrade(&engine), engine.catalog.snapshot(), commits));
        Ok((engine, report))
    }

    /// A new session. The database must be this one; a client that names its user's name instead gets it too.
    pub fn connect(self: &Arc<Self>, options: ConnectOptions) -> Result<Session, QueryError> {
        if options.database != DATABASE && options.database != options.user {
            let message = format!("database \"{}\" does not exist", options.database);
            return Err(
                QueryError::new(ErrorKind::UndefinedDatabase, message).hint("There is one database, \"meridian\".")
            );
        }
        Session::new(Arc::clone(self), options)
    }

    /// Folds what is pending, checkpoints and stops background work. Sessions must be gone.
    pub async fn shutdown(&self) {
        self.background.stop().await;
        let committed = self.catalog.snapshot();
        let returned = self.sequences.returned(&committed);
        let returned = CommitDraft::new(committed, returned);
        if let Err(error) = self.commit(returned, Vec::new()).await {
            tracing::warn!(%error, "the sequences go on with a gap");
        }
        self.catalog.shutdown().await;
    }

    /// Where CPU work is spawned.
    pub(crate) fn compute(&self) -> &Handle {
        self.threads.compute()
    }

    /// Where CPU work is spawned that gives way to queries.
    pub(crate) fn bulk(&self) -> &Handle {
        self.threads.bulk()
    }

    /// Where everything accounts its memory that is no execution of a plan.
    pub(crate) fn memory_pool(&self) -> Arc<dyn MemoryPool> {
        Arc::clone(&self.template.runtime_env().memory_pool)
    }

    /// A session's state for one statement, in a time zone.
    pub(crate) fn state(&self, time_zone: &str) -> SessionState {
        let mut state = self.template.clone();
        if state.config_options().execution.time_zone.as_deref() != Some(time_zone) {
            state.config_mut().options_mut().execution.time_zone = Some(time_zone.to_string());
        }
        state.mark_start_execution();
        state
    }

    /// Makes a draft durable and publishes it. The staged segments that it names become the table's when it succeeds, stay for
    /// recovery to judge when its fate is unknown, and are deleted when it certainly failed.
    /// It goes on when the caller stops waiting: a client that disconnects does not undo what the log already has.
    pub(crate) async fn commit(&self, draft: CommitDraft, staged: Vec<StagedSegments>) -> Result<Commit, CommitError> {
        if staged.is_empty() && is_small(&draft) {
            // Nothing is left to be cleaned up, and the draft stays queued: no task of its own is needed.
            return make_durable(&self.catalog, draft).await;
        }
        let (catalog, store, bulk) = (Arc::clone(&self.catalog), Arc::clone(&self.store), self.bulk().clone());
        let mut staged = KeptOnDrop(staged);
        let task = self.compute().spawn(async move {
            let outcome = make_durable(&catalog, draft).await;
            if !matches!(outcome, Ok(_) | Err(CommitError::InDoubt { .. })) {
                staged.discard();
            }
            if outcome.is_ok() {
                let new = staged.0.iter().flat_map(StagedSegments::metas).take(PREPARED_MAX);
                prepare(&bulk, store, new.map(|meta| Arc::downgrade(&meta)).collect());
            }
            outcome
        });
        task.await.unwrap_or_else(|error| Err(CommitError::InDoubt { reason: error.to_string() }))
    }

    /// Makes a draft without files durable while a computation waits for it. The catalog's own threads do the work, so it comes
    /// to an end even where every computing thread waits here.
    pub(crate) fn commit_and_wait(&self, draft: CommitDraft) -> Result<Commit, CommitError> {
        // Without this the runtime's budget for one poll could stop a future that nobody polls again.
        futures::executor::block_on(tokio::task::unconstrained(make_durable(&self.catalog, draft)))
    }

    pub(crate) fn copy_dir(&self) -> Option<&std::path::Path> {
        self.copy_dir.as_deref()
    }

    pub(crate) fn sqlstate(&self, kind: ErrorKind) -> &'static str {
        (self.sqlstate)(kind)
    }

    pub(crate) fn activity(&self) -> Vec<Activity> {
        self.registry.list()
    }
}

/// Whether a draft is encoded in no time.
fn is_small(draft: &CommitDraft) -> bool {
    let rows = draft.ops.iter().map(|op| match op {
        Op::AddRecent { batch, .. } => batch.num_rows(),
        Op::Expect { .. } => 0,
        _ => SMALL_DRAFT_ROWS_MAX + 1,
    });
    rows.sum::<usize>() <= SMALL_DRAFT_ROWS_MAX
}

/// The one place that commits.
async fn make_durable(catalog: &Catalog, draft: CommitDraft) -> Result<Commit, CommitError> {
    catalog.commit(draft).await
}

impl functions::Backends for Engine {
    fn cancel(&self, process_id: i32) -> bool {
        self.registry.cancel(process_id)
    }

    fn terminate(&self, process_id: i32) -> bool {
        self.registry.terminate(process_id)
    }

    fn statement(&self, process_id: i32) -> Option<String> {
        self.registry.statement(process_id)
    }
}

/// Prepares segments for their first readers. Nobody waits for it, and nothing is kept for it that goes meanwhile.
fn prepare(bulk: &Handle, store: Arc<SegmentStore>, segments: Vec<Weak<SegmentMeta>>) {
    if segments.is_empty() {
        return;
    }
    let prepared = move || segments.iter().filter_map(Weak::upgrade).for_each(|meta| store.prepare(&meta));
    drop(bulk.spawn_blocking(prepared));
}

/// Segments of a commit whose fate is open. They stay unless the commit certainly failed: when the runtime stops before the answer
/// came, the log may name them, and recovery sweeps what it does not.
struct KeptOnDrop(Vec<StagedSegments>);

impl KeptOnDrop {
    fn discard(&mut self) {
        self.0.clear();
    }
}

impl Drop for KeptOnDrop {
    fn drop(&mut self) {
        self.0.drain(..).for_each(StagedSegments::keep);
    }
}

fn template_state(budget: &Arc<Budget>, data_dir: &std::path::Path) -> Result<SessionState, OpenError> {
    let spill = data_dir.join("spill");
    let _ = std::fs::remove_dir_all(&spill);
    std::fs::create_dir_all(&spill).map_err(|error| OpenError::Spill(error.to_string()))?;
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![spill]));
    let environment = RuntimeEnvBuilder::new()
        .with_memory_pool(budget.background_pool())
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|error| OpenError::Spill(error.to_string()))?;
    let mut state = SessionStateBuilder::new()
        .with_config(session_config(budget.bytes()))
        .with_runtime_env(environment)
        .with_default_features()
        .with_optimizer_rules(optimizer_rules())
        .with_physical_optimizer_rules(physical_rules())
        .with_physical_optimizer_rule(Arc::new(KeptOrder))
        .with_physical_optimizer_rule(Arc::new(LeadingRowsOfWindows))
        .with_physical_optimizer_rule(Arc::new(YieldingJoins))
        .with_physical_optimizer_rule(Arc::new(ShownPlans));
    // The first that takes an expression plans it, and DataFusion's takes every subscript for that of an array.
    state.expr_planners().get_or_insert_default().insert(0, Arc::new(functions::json::JsonbSubscripts));
    Ok(with_own_functions(state.build()))
}

/// DataFusion's rules, but for the one that sums sums: a sum's type depends on its argument's. Those that find the keys of joins and
/// the places of filters are our own, those that ask which columns determine others are told so rightly, and two of ours go before
/// conditions are simplified: one takes equal conditions together, one knows what is NULL without being computed.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = Optimizer::new().rules.into_iter();
    let rules = rules.filter(|rule| rule.name() != "single_distinct_aggregation_to_group_by");
    let own = |rule: Arc<dyn OptimizerRule + Send + Sync>| match rule.name() {
        join_keys::REPLACED => Arc::new(JoinKeys) as _,
        filter_places::REPLACED => Arc::new(FilterPlaces::new()) as _,
        _ => informed(rule),
    };
    let before = |rule: Arc<dyn OptimizerRule + Send + Sync>| match rule.name() {
        equal_conditions::FOLLOWED_BY => vec![Arc::new(NullCalls) as _, Arc::new(EqualConditions) as _, rule],
        _ => vec![rule],
    };
    rules.map(own).flat_map(before).collect()
}

/// The state with our functions beside and in the place of DataFusion's.
pub(crate) fn with_own_functions(mut state: SessionState) -> SessionState {
    use datafusion::execution::FunctionRegistry;
    for function in functions::aggregates::aggregate_functions() {
        let _ = state.register_udaf(function);
    }
    for function in functions::windows::functions() {
        let _ = state.register_udwf(function);
    }
    let scalar = functions::quotients::quotient_functions()
        .into_iter()
        .chain([functions::products::product_function()])
        .chain(functions::typed_functions());
    for function in scalar.chain(crate::row_counts::functions()) {
        let _ = state.register_udf(function);
    }
    let _ = state.register_expr_planner(Arc::new(crate::standard_spellings::row_planner::RowPlanner));
    state
}

fn session_config(memory_bytes: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_batch_size(BATCH_ROWS).with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    // `SELECT … FROM (SELECT … ORDER BY x)` comes in that order in PostgreSQL, and people count on it.
    options.sql_parser.enable_subquery_sort_elimination = false;
    options.execution.parquet.pushdown_filters = false;
    options.execution.parquet.enable_page_index = true;
    options.execution.collect_statistics = true;
    // A view's residual keeps the nullability that its query had; values are the same, and the check is about nothing else.
    options.execution.skip_physical_aggregate_schema_check = true;
    options.execution.enforce_batch_size_in_joins = true;
    let merging = options.execution.sort_spill_reservation_bytes;
    options.execution.sort_spill_reservation_bytes = merging.min(memory_bytes / MERGING_SHARE);
    config
}

/// Half of what the machine has, from `/proc/meminfo`; 1 GiB where that cannot be read.
fn default_memory_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    total.map_or(1 << 30, |kibibytes| (kibibytes * 1024.0 * MEMORY_SHARE) as usize)
}

/// Wall time in microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}

/// A commit's failure as the writer hears of it.
pub(crate) fn commit_error(error: CommitError) -> QueryError {
    match error {
        CommitError::Conflict(conflict) => conflict_error(conflict),
        CommitError::DiskFull { reason, .. } => {
            QueryError::new(ErrorKind::DiskFull, format!("could not commit: {reason}")).hint(
                "Free space on the disk of the data directory and try again. The files of rows that were dropped stay \
                     there for meridian.history_retention.",
            )
        }
        CommitError::TooLarge { .. } => {
            QueryError::new(ErrorKind::ProgramLimitExceeded, error.to_string()).hint("Load the rows with COPY.")
        }
        CommitError::Stopped { .. } | CommitError::InDoubt { .. } => {
            QueryError::new(ErrorKind::ReadOnlyServer, error.to_string())
                .hint("The log could not be synced. Check the disk, then restart the server.")
        }
    }
}

pub(crate) fn conflict_error(conflict: Conflict) -> QueryError {
    match conflict {
        Conflict::NameTaken(name) => {
            QueryError::new(ErrorKind::DuplicateTable, format!("relation \"{}\" already exists", name.name))
                .table(name.name)
        }
        Conflict::SchemaTaken(name) => {
            QueryError::new(ErrorKind::DuplicateSchema, format!("schema \"{name}\" already exists"))
        }
        Conflict::StillNeeded { view, .. } => {
            QueryError::new(ErrorKind::DependentObjects, "cannot drop because other objects depend on it")
                .detail(format!("materialized view {} depends on it.", view.name))
                .hint("Use DROP ... CASCADE to drop the dependent objects too.")
        }
        Conflict::SchemaChanged(name) => {
            QueryError::new(ErrorKind::UndefinedSchema, format!("schema \"{name}\" does not exist or is not empty"))
        }
        Conflict::LabelTaken(label) => crate::copy_labels::taken(&label),
        conflict @ (Conflict::RowsChanged { .. }
        | Conflict::ReadChanged { .. }
        | Conflict::KeyTaken { .. }
        | Conflict::ObjectChanged(_)
        | Conflict::NamedChanged { .. }
        | Conflict::StateChanged(_)) => {
            let cause = match conflict {
                Conflict::ReadChanged { .. } => "read/write dependencies among transactions",
                _ => "concurrent update",
            };
            let message = format!("could not serialize access due to {cause}");
            let error = QueryError::new(ErrorKind::SerializationFailure, message)
                .detail(sentence(&conflict.to_string()))
                .hint("The transaction might succeed if retried.");
            match conflict {
                Conflict::RowsChanged { table }
                | Conflict::ReadChanged { table }
                | Conflict::KeyTaken { table }
                | Conflict::NamedChanged { kind: "table", name: table } => error.table(table),
                _ => error,
            }
        }
    }
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

/// A storage failure as a statement's error.
pub(crate) fn storage_error(error: storage::error::StorageError) -> QueryError {
    QueryError::of_storage(&error)
}
