//! What the system catalog and the session functions are told of the server and the session.

use crate::activity::Activity;
use crate::background_tasks::{TaskKey, TaskKind, TaskState};
use crate::engine::{DATABASE, Engine, now_micros};
use crate::execution::blocking;
use crate::functions::{Backends, SequenceNumbers, SessionFacts};
use crate::pg_catalog::{
    ActivityRow, CatalogContext, CommitRow, CommitRows, CopyRow, CursorRow, PreparedRow, SettingRow, ViewClassRow,
};
use crate::planner::Planning;
use crate::planning_state::PlanningState;
use crate::prepared::{NamedStatement, NamedStatements};
use crate::sequences::StatementSequences;
use crate::session::Session;
use crate::settings::{Kind, SERVER_VERSION, Setting, Settings};
use crate::types::OutputStyle;
use catalog::ids::ObjectId;
use catalog::snapshot::Snapshot;
use catalog::sql_type::SqlType;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, OnceLock};

/// The user that background work plans as.
const SYSTEM_USER: &str = "meridian";

/// The facts of one statement of a session.
pub(crate) fn session_facts(session: &Session, sequences: Arc<StatementSequences>) -> SessionFacts {
    let facts = facts(sequences, &session.user, session.process_id, session.settings.clone());
    let (announcements, random) = (Arc::clone(&session.announcements), Arc::clone(&session.random));
    let transaction = session.transaction.as_ref().filter(|transaction| !transaction.explicit);
    let statement_began_micros = match transaction {
        Some(transaction) => transaction.began.timestamp_micros(),
        None => facts.statement_began_micros,
    };
    SessionFacts { announcements, random, statement_began_micros, ends: session.ends, ..facts }
}

fn facts(sequences: Arc<StatementSequences>, user: &str, process_id: i32, settings: Settings) -> SessionFacts {
    let engine = &sequences.engine;
    SessionFacts {
        snapshot: Arc::clone(&sequences.snapshot),
        database: DATABASE.to_string(),
        user: user.to_string(),
        search_path: settings.search_path(),
        process_id,
        version: format!("PostgreSQL {SERVER_VERSION} on {}, compiled by rustc, 64-bit", std::env::consts::ARCH),
        ends: None,
        server_started_at_micros: engine.started_at_micros,
        settings_loaded_at_micros: engine.started_at_micros,
        statement_began_micros: now_micros(),
        settings: Arc::new(settings),
        backends: Arc::clone(engine) as Arc<dyn Backends>,
        sequences,
        announcements: Arc::default(),
        random: Arc::default(),
    }
}

/// Planning for background work over a snapshot.
pub(crate) fn background_planning(engine: &Arc<Engine>, snapshot: Arc<Snapshot>) -> Planning {
    let settings = Settings::default();
    let sequences = StatementSequences {
        engine: Arc::clone(engine),
        snapshot: Arc::clone(&snapshot),
        base: Arc::clone(&snapshot),
        own: Arc::default(),
        temporary: Arc::default(),
        session: Arc::default(),
        read_only: true,
    };
    let facts = Arc::new(facts(Arc::new(sequences), SYSTEM_USER, 0, settings.clone()));
    let system = SystemSource {
        engine: Arc::clone(engine),
        user: SYSTEM_USER.to_string(),
        settings,
        ..SystemSource::empty(engine)
    };
    Planning::new(Arc::clone(engine), PlanningState::new(engine, "UTC"), snapshot, facts, Arc::new(system))
        .over_committed()
}

/// What system relations are computed from, put together when the first of them is read.
pub(crate) struct SystemSource {
    engine: Arc<Engine>,
    user: String,
    settings: Settings,
    prepared: NamedStatements,
    cursors: Vec<CursorRow>,
    listening_channels: Vec<String>,
    sequences: Option<Arc<StatementSequences>>,
    context: OnceLock<CatalogContext>,
}

impl SystemSource {
    fn empty(engine: &Arc<Engine>) -> Self {
        Self {
            engine: Arc::clone(engine),
            user: String::new(),
            settings: Settings::default(),
            prepared: NamedStatements::default(),
            cursors: Vec::new(),
            listening_channels: Vec::new(),
            sequences: None,
            context: OnceLock::new(),
        }
    }

    pub(crate) fn of(session: &Session, sequences: Arc<StatementSequences>) -> Self {
        let cursors = session.cursors.iter().map(|(name, cursor)| CursorRow {
            name: name.clone(),
            statement: cursor.statement.clone(),
            holdable: cursor.hold,
            binary: false,
            scrollable: false,
            created_at_micros: cursor.opened_at_micros,
        });
        Self {
            user: session.user.clone(),
            settings: session.settings.clone(),
            prepared: Arc::clone(&session.prepared),
            cursors: cursors.collect(),
            listening_channels: session.engine.channels.of(session.process_id),
            sequences: Some(sequences),
            ..Self::empty(&session.engine)
        }
    }

    /// How the session shows values.
    pub(crate) fn output_style(&self) -> OutputStyle {
        self.settings.output_style()
    }

    /// The context of a statement that reads `snapshot`.
    pub(crate) fn context(&self, snapshot: &Arc<Snapshot>) -> &CatalogContext {
        self.context.get_or_init(|| CatalogContext {
            snapshot: Arc::clone(snapshot),
            database: DATABASE.to_string(),
            user: self.user.clone(),
            settings: self.settings.all().into_iter().map(|(setting, value)| setting_row(setting, value)).collect(),
            copies: self.engine.activity().iter().filter_map(copy_row).collect(),
            activity: self.engine.activity().into_iter().map(activity_row).collect(),
            search_path: self.settings.search_path(),
            commits: self.commits(),
            view_classes: self.view_classes(snapshot),
            view_folds: self.engine.background.folds().all(),
            view_builds: self.engine.view_builds.all(),
            tasks: self.tasks(),
            query_cache: self.engine.query_cache.counts(),
            sequence_values: self.sequence_values(snapshot),
            prepared: self.prepared.lock().iter().map(prepared_row).collect(),
            cursors: self.cursors.clone(),
            listening_channels: self.listening_channels.clone(),
        })
    }

    fn sequence_values(&self, snapshot: &Snapshot) -> BTreeMap<ObjectId, i64> {
        let Some(sequences) = &self.sequences else { return BTreeMap::new() };
        let values = snapshot.sequences.keys().filter_map(|id| Some((*id, sequences.value(*id)?.0)));
        values.filter(|(_, value)| value.called).map(|(id, value)| (id, value.last)).collect()
    }

    fn commits(&self) -> CommitRows {
        let catalog = Arc::clone(&self.engine.catalog);
        Arc::new(LazyLock::new(Box::new(move || {
            let commits = blocking(|| catalog.recent_commits()).into_iter().map(|commit| CommitRow {
                seq: commit.seq,
                committed_at_micros: commit.at_micros,
                summary: commit.summary,
                bytes: commit.bytes,
            });
            commits.collect()
        })))
    }

    /// Checkpoints are the catalog's own work.
    fn tasks(&self) -> Vec<(TaskKey, TaskState)> {
        let mut tasks = self.engine.background.tasks().all();
        let work = self.engine.catalog.checkpoint_work();
        if work.running_since.is_some() || work.last_at.is_some() {
            let state = TaskState {
                running_since: work.running_since,
                last_at: work.last_at,
                last_micros: work.last_micros,
                last_error: work.last_error,
                ..TaskState::default()
            };
            tasks.push(((TaskKind::Checkpoint, None), state));
        }
        tasks
    }

    fn view_classes(&self, snapshot: &Arc<Snapshot>) -> Vec<ViewClassRow> {
        let planning = background_planning(&self.engine, Arc::clone(snapshot));
        let views = snapshot.views.values().filter(|view| !view.definition.is_plain()).map(|view| {
            let program = self.engine.programs.of(&planning, &view.definition);
            let fold = self.engine.background.folds().last(view.definition.id);
            let class = program.map_or_else(|error| format!("broken: {error}"), |program| program.class().to_string());
            ViewClassRow {
                view: view.definition.id,
                reason: class.split_once(": ").map(|(_, reason)| reason.to_string()),
                class,
                last_error: self.engine.background.folds().error(view.definition.id),
                last_fold_micros: fold.as_ref().map(|fold| fold.micros as i64),
                last_fold_rows: fold.map(|fold| fold.rows),
            }
        });
        views.collect()
    }
}

fn setting_row(setting: &Setting, value: String) -> SettingRow {
    let (vartype, enumvals) = match setting.kind {
        Kind::Bool => ("bool", None),
        Kind::Number(quantity) if quantity.is_real => ("real", None),
        Kind::Number(_) => ("integer", None),
        Kind::Word(words) => ("enum", Some(words.iter().map(|word| (*word).to_string()).collect())),
        _ => ("string", None),
    };
    let quantity = match setting.kind {
        Kind::Number(quantity) => Some(quantity),
        _ => None,
    };
    let bare = |shown: &str| quantity.map_or_else(|| shown.to_string(), |quantity| quantity.bare(shown));
    let context = match setting.kind {
        Kind::Fixed => "internal",
        _ if setting.by_superuser => "superuser",
        _ => "user",
    };
    SettingRow {
        name: setting.name.to_string(),
        source: if value == setting.default { "default" } else { "session" }.to_string(),
        setting: bare(&value),
        unit: quantity.and_then(|quantity| quantity.unit.name()).map(str::to_string),
        min_val: quantity.map(|quantity| quantity.least.to_string()),
        max_val: quantity.map(|quantity| quantity.most.to_string()),
        category: "Client Connection Defaults".into(),
        short_desc: setting.description.to_string(),
        context: context.to_string(),
        vartype: vartype.to_string(),
        boot_val: Some(bare(setting.default)),
        reset_val: Some(bare(setting.default)),
        enumvals,
    }
}

fn prepared_row((name, named): (&String, &NamedStatement)) -> PreparedRow {
    let parameters = named.prepared.iter().flat_map(|known| &known.parameters);
    PreparedRow {
        name: name.clone(),
        statement: named.text.to_string(),
        prepared_at_micros: named.prepared_at_micros,
        parameter_types: parameters.map(SqlType::base_name).collect(),
        from_sql: named.from_sql,
    }
}

fn copy_row(activity: &Activity) -> Option<CopyRow> {
    activity.copy.upgrade().map(|progress| CopyRow { pid: activity.process_id, progress: progress.row() })
}

fn activity_row(activity: Activity) -> ActivityRow {
    let waits_for_memory = activity.queued.load(Ordering::Relaxed) > 0;
    ActivityRow {
        pid: activity.process_id,
        user: activity.user,
        database: DATABASE.to_string(),
        application_name: activity.application_name,
        client: activity.client,
        backend_start_micros: activity.connected_at_micros,
        transaction_start_micros: None,
        query_start_micros: activity.statement_at_micros,
        state_change_micros: activity.statement_at_micros,
        state: activity.state.to_string(),
        waits_for_memory,
        query: activity.statement,
    }
}
