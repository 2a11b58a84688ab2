//! The system catalog: what psql, drivers and tools read to find out what there is.
//!
//! Three schemas of relations are computed from a [`Snapshot`] and the session whenever a statement scans them:
//!
//!     pg_catalog, information_schema     PostgreSQL 15's relations, each with all of its columns
//!     meridian                           what only Meridian has: views with frontiers, partitions, segments, commits
//!
//! The columns of the first two, and the rows that every PostgreSQL has from the start (types, functions, operators, …),
//! are exported from a real server (`query/pg_catalog_export`). A relation without rows of its own is empty but typed, so that any query
//! over it plans. OIDs of user objects are the catalog's object ids and never change.
//!
//!     exported.rs    columns and fixed rows from the exported files; look-ups of types and functions
//!     classes.rs     tables, views, columns, schemas           server_state.rs   databases, roles, settings, activity
//!     standard.rs    information_schema                        own.rs            schema meridian
//!     constraints.rs constraints in both                       sequences.rs      sequences in both
//!     rewrite.rs     catalog SQL that DataFusion cannot plan   registered_names.rs  OIDs that print as names
//!     sets.rs        functions that return sets                values.rs            rows to Arrow
//!     signatures.rs  operators, casts, type categories         keys.rs           keys as constraints and indexes
//!     types.rs       the user's types                          set_orders.rs     ORDER BY and GROUP BY beside such functions
//!
//! This module does not know how a statement is planned or who may see what: every object is visible to every role.

mod classes;
mod constraints;
mod exported;
mod json_sets;
mod keys;
mod own;
mod plain_indexes;
mod registered_names;
mod rewrite;
mod sequences;
mod server_state;
mod set_orders;
mod set_places;
mod sets;
mod signatures;
mod standard;
mod types;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use classes::SEQUENCE_COLUMNS;
pub use classes::{
    SYSTEM_ROLE, namespace_name, namespace_oid, partition_expression, relation_name, relation_oid, view_text,
};
pub use constraints::constraint_text;
pub use exported::description;
pub(crate) use exported::is_keyword;
pub use exported::{
    FunctionRow, TypeRow, encodings, format_type, function_by_oid, functions_by_name, type_by_name, type_by_oid,
};
pub(crate) use json_sets::has_members;
pub use keys::{index_statement, key_by_oid};
pub use plain_indexes::{plain_index_by_oid, plain_index_item, plain_index_statement};
pub use registered_names::name_registered_objects;
pub use rewrite::rewrite;
pub(crate) use rewrite::{contains_aggregate, is_known_collation, plain_operator, select_query, unqualify};
pub use server_state::{DATABASE_OID, role_name, role_oid};
pub(crate) use set_orders::settle_set_orders;
pub(crate) use set_places::{is_set_call, refuse_misplaced_sets};
pub(crate) use sets::{returns_set, value_column};
pub(crate) use signatures::{TypeTraits, is_implicit_cast, operators_by_name, type_traits};
pub(crate) use types::{type_name, user_type};
pub use values::{Value, array_from_text, to_array};

use crate::background_tasks::{TaskKey, TaskState};
use crate::copy_progress::CopyProgressRow;
use crate::query_cache::CacheCounts;
use crate::view_builds::ViewBuildRow;
use crate::view_folds::FoldRecord;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::Snapshot;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, OnceLock};
use values::{CatalogColumn, Rows};

/// All that catalog relations are computed from, captured for one statement.
#[derive(Clone, Debug)]
pub struct CatalogContext {
    pub snapshot: Arc<Snapshot>,
    pub database: String,
    pub user: String,
    pub settings: Vec<SettingRow>,
    pub activity: Vec<ActivityRow>,
    pub search_path: Vec<String>,
    /// Put together when it is asked for, because those of earlier starts are read from the disk.
    pub commits: CommitRows,
    pub view_classes: Vec<ViewClassRow>,
    pub view_folds: Vec<FoldRecord>,
    pub view_builds: Vec<ViewBuildRow>,
    pub tasks: Vec<(TaskKey, TaskState)>,
    pub query_cache: CacheCounts,
    /// How far each sequence has come, where it has given a number.
    pub sequence_values: BTreeMap<ObjectId, i64>,
    pub prepared: Vec<PreparedRow>,
    pub cursors: Vec<CursorRow>,
    /// The channels that the session listens to.
    pub listening_channels: Vec<String>,
    pub copies: Vec<CopyRow>,
}

impl CatalogContext {
    /// A context without sessions, settings and history.
    pub fn new(snapshot: Arc<Snapshot>, database: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            snapshot,
            database: database.into(),
            user: user.into(),
            settings: Vec::new(),
            activity: Vec::new(),
            search_path: vec!["public".to_string()],
            commits: Arc::new(LazyLock::new(Box::new(Vec::new))),
            view_classes: Vec::new(),
            view_folds: Vec::new(),
            view_builds: Vec::new(),
            tasks: Vec::new(),
            query_cache: CacheCounts::default(),
            sequence_values: BTreeMap::new(),
            prepared: Vec::new(),
            cursors: Vec::new(),
            listening_channels: Vec::new(),
            copies: Vec::new(),
        }
    }
}

/// A row of `pg_settings`.
#[derive(Clone, Debug, Default)]
pub struct SettingRow {
    pub name: String,
    pub setting: String,
    pub unit: Option<String>,
    pub category: String,
    pub short_desc: String,
    /// `internal`, `postmaster`, `sighup`, `superuser` or `user`.
    pub context: String,
    /// `bool`, `integer`, `real`, `string` or `enum`.
    pub vartype: String,
    /// `default`, `session`, `client`, …
    pub source: String,
    pub boot_val: Option<String>,
    pub reset_val: Option<String>,
    pub min_val: Option<String>,
    pub max_val: Option<String>,
    pub enumvals: Option<Vec<String>>,
}

/// A row of `pg_stat_progress_copy`.
#[derive(Clone, Debug, Default)]
pub struct CopyRow {
    pub pid: i32,
    pub progress: CopyProgressRow,
}

/// A row of `pg_stat_activity`; times are microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct ActivityRow {
    pub pid: i32,
    pub user: String,
    pub database: String,
    pub application_name: String,
    pub client: Option<SocketAddr>,
    pub backend_start_micros: i64,
    pub transaction_start_micros: Option<i64>,
    pub query_start_micros: Option<i64>,
    pub state_change_micros: Option<i64>,
    /// `active`, `idle`, `idle in transaction` or `idle in transaction (aborted)`.
    pub state: String,
    /// Whether it is active and its query has not begun, because others have the memory.
    pub waits_for_memory: bool,
    pub query: String,
}

pub type CommitRows = Arc<LazyLock<Vec<CommitRow>, Box<dyn FnOnce() -> Vec<CommitRow> + Send>>>;

/// A row of `meridian.commits`.
#[derive(Clone, Debug)]
pub struct CommitRow {
    pub seq: CommitSeq,
    pub committed_at_micros: i64,
    pub summary: String,
    pub bytes: u64,
}

/// How a view is maintained, for `meridian.views`.
#[derive(Clone, Debug)]
pub struct ViewClassRow {
    pub view: catalog::ids::ObjectId,
    pub class: String,
    /// Why it is recomputed, where it is.
    pub reason: Option<String>,
    pub last_fold_micros: Option<i64>,
    pub last_fold_rows: Option<u64>,
    pub last_error: Option<String>,
}

/// A row of `pg_prepared_statements`.
#[derive(Clone, Debug)]
pub struct PreparedRow {
    pub name: String,
    pub statement: String,
    pub prepared_at_micros: i64,
    pub parameter_types: Vec<String>,
    pub from_sql: bool,
}

/// A row of `pg_cursors`.
#[derive(Clone, Debug)]
pub struct CursorRow {
    pub name: String,
    pub statement: String,
    pub holdable: bool,
    pub binary: bool,
    pub scrollable: bool,
    pub created_at_micros: i64,
}

/// Adds rows that are the same in every database.
type FixedRows = fn(&mut Rows);
/// Adds rows that depend on the statement's context.
type LiveRows = fn(&CatalogContext, &mut Rows);

/// A relation of one of the three catalog schemas.
pub struct CatalogRelation {
    pub schema_name: &'static str,
    pub name: &'static str,
    columns: Vec<CatalogColumn>,
    schema: SchemaRef,
    exported: Option<&'static str>,
    fixed: Option<FixedRows>,
    live: Option<LiveRows>,
    cache: OnceLock<RecordBatch>,
}

impl CatalogRelation {
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// All rows, in the order of OIDs or names where there is one.
    pub fn batch(&self, context: &CatalogContext) -> RecordBatch {
        let fixed = self.cache.get_or_init(|| {
            let mut rows = Rows::new(&self.columns);
            if let Some(exported) = self.exported {
                rows.push_exported(exported);
            }
            if let Some(fixed) = self.fixed {
                fixed(&mut rows);
            }
            rows.finish(&self.schema)
        });
        let Some(live) = self.live else { return fixed.clone() };
        let mut rows = Rows::new(&self.columns);
        live(context, &mut rows);
        let live = rows.finish(&self.schema);
        concat_batches(&self.schema, [fixed, &live]).expect("both batches have the relation's schema")
    }
}

/// The OID of the function of a name that only one has; 0 where none has.
fn function_oid(name: &str) -> i64 {
    functions_by_name(name).first().copied().unwrap_or(0)
}

type Registry = BTreeMap<(&'static str, &'static str), CatalogRelation>;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let described = exported::relation_columns().into_iter().chain(own::relation_columns());
    described
        .map(|(schema_name, name, columns)| {
            let relation = CatalogRelation {
                schema_name,
                name,
                schema: values::schema_of(&columns),
                columns,
                exported: exported::fixed_rows(schema_name, name),
                fixed: classes::fixed_rows(schema_name, name),
                live: live_rows(schema_name, name),
                cache: OnceLock::new(),
            };
            ((schema_name, name), relation)
        })
        .collect()
});

fn live_rows(schema: &str, name: &str) -> Option<LiveRows> {
    let constraints = constraints::live_rows(schema, name);
    let other = match schema {
        "pg_catalog" => {
            let classes = classes::live_rows(name).or_else(|| keys::live_rows(name));
            classes.or_else(|| server_state::live_rows(name)).or_else(|| types::live_rows(name))
        }
        "information_schema" => standard::live_rows(name).or_else(|| keys::standard_rows(name)),
        "meridian" => own::live_rows(name),
        _ => None,
    };
    constraints.or(other).or_else(|| sequences::live_rows(schema, name))
}

/// The relation of that name; also the sets that only functions return (`pg_get_keywords`), which no listing shows.
pub fn relation(schema: &str, name: &str) -> Option<&'static CatalogRelation> {
    // The map's keys are 'static, so the look-up borrows shorter names by comparing, not by building a key.
    let (_, found) = REGISTRY.range((schema_key(schema)?, "")..).find(|((s, n), _)| *s != schema || *n >= name)?;
    (found.schema_name == schema && found.name == name).then_some(found)
}

fn schema_key(schema: &str) -> Option<&'static str> {
    ["information_schema", "meridian", "pg_catalog"].into_iter().find(|known| *known == schema)
}

/// The names of a schema's relations, in order.
pub fn relation_names(schema: &str) -> Vec<&'static str> {
    let of_schema = REGISTRY.values().filter(|relation| relation.schema_name == schema);
    of_schema.map(|relation| relation.name).filter(|name| !exported::is_function_set(name)).collect()
}

/// Whether a schema is one of the catalog's own, whose relations only this module defines.
pub fn is_system_schema(schema: &str) -> bool {
    schema_key(schema).is_some() || schema == "pg_toast"
}
