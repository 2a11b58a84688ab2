//! Checking a data directory: the catalog, each segment, each kept view against its query.
//!
//! Nothing in the directory is changed. Views are compared by an engine of their own, over a scratch directory whose segments are
//! links to the real ones (`CatalogCheck::mirror`). A view without a state is its query at every read and needs no comparison.

use crate::engine::{ConnectOptions, DATABASE, Engine, EngineConfig, OpenError};
use crate::error::QueryError;
use crate::execution::joined;
use crate::response::Response;
use crate::session::Session;
use crate::types::{Zone, time_text};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use catalog::check::{CatalogCheck, Checked, Problem};
use catalog::definition::{ObjectName, ViewDefinition};
use catalog::segment::SegmentMeta;
use catalog::snapshot::{Snapshot, TableVersion};
use futures::TryStreamExt;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use storage::check::check_segment;
use storage::error::StorageError;
use storage::reader::SegmentStore;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    pub checked: Vec<Checked>,
    pub problems: Vec<Problem>,
}

/// Checks the data directory of `config`, which no server holds. `scratch` is an empty directory with room for the catalog.
pub async fn check(config: EngineConfig, scratch: &Path) -> Result<CheckReport, OpenError> {
    let (index, mirror) = (scratch.join("index"), scratch.join("mirror"));
    for directory in [&index, &mirror] {
        std::fs::create_dir_all(directory).map_err(|error| OpenError::Spill(error.to_string()))?;
    }
    let root = config.data_dir.clone();
    let checking = tokio::task::spawn_blocking(move || {
        let mut catalog = catalog::check::check(&root, &index)?;
        let mut report = CheckReport {
            checked: std::mem::take(&mut catalog.checked),
            problems: std::mem::take(&mut catalog.problems),
        };
        let sound = catalog.snapshot.as_ref().is_some_and(|snapshot| check_segments(&root, snapshot, &mut report));
        Ok::<_, catalog::recovery::OpenError>((catalog, report, sound))
    });
    let (catalog, mut report, sound) =
        checking.await.map_err(|error| OpenError::Threads(std::io::Error::other(error)))??;
    let Some(snapshot) = catalog.snapshot.clone() else { return Ok(report) };
    let kept = kept_views(&snapshot);
    if !sound && !kept.is_empty() {
        report.note("views", "not compared with their queries, because segments are damaged".to_string());
    } else {
        compare_views(&catalog, &snapshot, &kept, EngineConfig { data_dir: mirror, ..config }, &mut report).await?;
    }
    Ok(report)
}

impl CheckReport {
    fn note(&mut self, kind: &'static str, counts: String) {
        self.checked.push(Checked { kind, counts });
    }
}

/// Whether all segments of tables and of views' states are as they should be; those of the past are checked too.
fn check_segments(data_dir: &Path, snapshot: &Snapshot, report: &mut CheckReport) -> bool {
    let store = SegmentStore::open(data_dir);
    let (mut counts, mut sound) = (SegmentCounts::default(), true);
    let mut check_all = |table: &TableVersion, remedy: &str| {
        for segment in table.segments.values() {
            counts.add(&segment.meta);
            if let Err(error) = check_segment(&store, &table.definition, &segment.meta) {
                sound = false;
                report.problems.push(Problem::new(error.to_string(), remedy_for(&error, remedy)));
            }
        }
    };
    for table in snapshot.tables.values() {
        let remedy = format!(
            "Rows of table \"{}\" are lost. Restore the data directory from a backup, or copy the file from one.",
            table.definition.name
        );
        check_all(table, &remedy);
    }
    for view in snapshot.views.values() {
        let remedy = format!(
            "It belongs to the state of view \"{}\". Remove the file: the next start builds the state again.",
            view.definition.name
        );
        view.state.iter().for_each(|state| check_all(state, &remedy));
    }
    report.note("segments", counts.to_string());
    check_past(&store, snapshot, report);
    sound
}

/// Compares the files that only earlier times need with their checksums. What they held may be of tables that are gone.
fn check_past(store: &SegmentStore, snapshot: &Snapshot, report: &mut CheckReport) {
    let mut counts = SegmentCounts::default();
    for removed in snapshot.past.removed() {
        counts.add(&removed.meta);
        let Err(error) = store.verify(&removed.meta) else { continue };
        let remedy = format!(
            "The present is not concerned: only times before {} need it. Copy the file from a backup, or let it be: it is \
             forgotten with them, and backups leave out what was before.",
            time_text(removed.at_micros, Zone::UTC)
        );
        report.problems.push(Problem::new(error.to_string(), remedy_for(&error, &remedy)));
    }
    report.note("past segments", counts.to_string());
}

/// How much was read.
#[derive(Default)]
struct SegmentCounts {
    files: u64,
    rows: u64,
    bytes: u64,
}

impl SegmentCounts {
    fn add(&mut self, meta: &SegmentMeta) {
        self.files += 1;
        self.rows += u64::from(meta.rows);
        self.bytes += meta.bytes;
    }
}

impl fmt::Display for SegmentCounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} files, {} rows, {} bytes", self.files, self.rows, self.bytes)
    }
}

fn remedy_for(error: &StorageError, remedy: &str) -> String {
    match error {
        StorageError::Missing { .. } | StorageError::Corrupted { .. } => remedy.to_string(),
        _ => "Check the disk and the permissions of the file.".to_string(),
    }
}

/// The views that have a state to be compared.
fn kept_views(snapshot: &Snapshot) -> Vec<Arc<ViewDefinition>> {
    let kept = snapshot.views.values().filter(|view| view.frontier.is_some() && view.definition.populated);
    kept.map(|view| Arc::clone(&view.definition)).collect()
}

async fn compare_views(
    catalog: &CatalogCheck,
    snapshot: &Arc<Snapshot>,
    kept: &[Arc<ViewDefinition>],
    mirrored: EngineConfig,
    report: &mut CheckReport,
) -> Result<(), OpenError> {
    let others = snapshot.views.len() - kept.len();
    report.note("views", format!("{} compared with their queries, {others} without a state", kept.len()));
    if kept.is_empty() {
        return Ok(());
    }
    catalog.mirror(snapshot, &mirrored.data_dir)?;
    let (engine, _) = Engine::open(mirrored).await?;
    for view in kept {
        let (task_engine, task_view) = (Arc::clone(&engine), Arc::clone(view));
        let compared = engine.compute().spawn(async move { differing_rows(&task_engine, &task_view).await });
        match joined(compared.await) {
            Ok(0) => {}
            Ok(rows) => report.problems.push(Problem::new(
                format!("view \"{}\" differs from its query in {rows} rows", view.name),
                "Drop the view and create it again.",
            )),
            Err(error) => report.problems.push(Problem::new(
                format!("view \"{}\" could not be compared with its query: {error}", view.name),
                "Read the view and its query by hand once the server runs.",
            )),
        }
    }
    engine.shutdown().await;
    Ok(())
}

/// How many rows only the view or only its query has. Where the query itself fails, the view may fail too.
async fn differing_rows(engine: &Arc<Engine>, view: &ViewDefinition) -> Result<u64, QueryError> {
    let options = ConnectOptions {
        user: DATABASE.to_string(),
        database: DATABASE.to_string(),
        process_id: 0,
        settings: vec![("TimeZone".to_string(), view.time_zone.clone())],
        ends: None,
        farewell: tokio_util::sync::CancellationToken::new(),
    };
    let mut session = engine.connect(options)?;
    let query = &view.query;
    if count(&mut session, &format!("SELECT count(*) FROM ({query}) AS query")).await.is_err() {
        return Ok(0);
    }
    let name = quoted(&view.name);
    let sql = format!(
        "SELECT count(*) FROM ((SELECT * FROM {name} EXCEPT ALL ({query})) UNION ALL (({query}) EXCEPT ALL SELECT * FROM {name})) \
         AS difference"
    );
    count(&mut session, &sql).await
}

fn quoted(name: &ObjectName) -> String {
    let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    format!("{}.{}", quote(&name.schema), quote(&name.name))
}

/// The single number that a query gives.
async fn count(session: &mut Session, sql: &str) -> Result<u64, QueryError> {
    session.statement_started(sql);
    let outcome = first_batches(session, sql).await;
    if outcome.is_err() {
        session.abort();
    }
    session.statement_ended();
    let batches = outcome?;
    let column = batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0));
    let values = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    Ok(values.map_or(0, |values| values.value(0).unsigned_abs()))
}

async fn first_batches(session: &mut Session, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
    let mut batches = Vec::new();
    for statement in session.parse(sql)? {
        let prepared = session.prepare(&statement, &[]).await?;
        if let Response::Rows { stream, .. } = session.execute(&prepared, Vec::new(), true).await? {
            batches = stream.try_collect().await?;
        }
    }
    session.finish_implicit().await?;
    Ok(batches)
}
