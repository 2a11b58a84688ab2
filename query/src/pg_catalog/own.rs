//! Schema `meridian`: what PostgreSQL has no relation for.

use super::values::{CatalogColumn, Rows, Value};
use super::{CatalogContext, LiveRows};
use crate::background_tasks::{TaskKey, TaskKind, TaskState};
use crate::datum::scalar_of;
use crate::types::{OutputStyle, value_text};
use crate::view_folds::FoldOutcome;
use catalog::definition::TableDefinition;
use catalog::ids::ColumnId;
use catalog::segment::Datum;
use catalog::snapshot::{Relation, Snapshot, TableVersion};
use catalog::sql_type::SqlType;
use std::collections::BTreeMap;

/// The schema's OID; its relations follow. All lie below user objects and above what initdb takes.
pub(super) const SCHEMA_OID: i64 = 15_900;

const BIGINT: SqlType = SqlType::Int8;
const TEXT: SqlType = SqlType::Text;
const NAME: SqlType = SqlType::Name;

type Columns = &'static [(&'static str, SqlType)];

/// Names and columns. New relations go to the end, so that OIDs stay.
const RELATIONS: [(&str, Columns); 10] = [
    (
        "views",
        &[
            ("schema", NAME),
            ("name", NAME),
            ("definition", TEXT),
            ("class", TEXT),
            ("populated", SqlType::Bool),
            ("frontier", BIGINT),
            ("commits_behind", BIGINT),
            ("state_rows", BIGINT),
            ("state_bytes", BIGINT),
            ("last_fold_micros", BIGINT),
            ("last_fold_rows", BIGINT),
            ("reason", TEXT),
            ("state_runs", BIGINT),
            ("last_error", TEXT),
        ],
    ),
    (
        "tables",
        &[
            ("schema", NAME),
            ("name", NAME),
            ("partition_by", TEXT),
            ("order_by", TEXT),
            ("partitions", BIGINT),
            ("segments", BIGINT),
            ("rows", BIGINT),
            ("dead_rows", BIGINT),
            ("recent_rows", BIGINT),
            ("bytes", BIGINT),
            ("changed_at", BIGINT),
            ("retention", TEXT),
        ],
    ),
    (
        "partitions",
        &[
            ("schema", NAME),
            ("table", NAME),
            ("partition", TEXT),
            ("segments", BIGINT),
            ("rows", BIGINT),
            ("dead_rows", BIGINT),
            ("bytes", BIGINT),
            ("min_value", TEXT),
            ("max_value", TEXT),
        ],
    ),
    (
        "segments",
        &[
            ("schema", NAME),
            ("table", NAME),
            ("partition", TEXT),
            ("segment", TEXT),
            ("path", TEXT),
            ("rows", BIGINT),
            ("dead_rows", BIGINT),
            ("bytes", BIGINT),
            ("min_value", TEXT),
            ("max_value", TEXT),
        ],
    ),
    ("commits", &[("seq", BIGINT), ("committed_at", SqlType::TimestampTz), ("summary", TEXT), ("bytes", BIGINT)]),
    (
        "loads",
        &[
            ("seq", BIGINT),
            ("label", TEXT),
            ("loaded_by", NAME),
            ("schema", NAME),
            ("table", NAME),
            ("rows", BIGINT),
            ("rejected", BIGINT),
            ("bytes", BIGINT),
            ("seconds", SqlType::Float8),
            ("segments", BIGINT),
            ("loaded_at", SqlType::TimestampTz),
        ],
    ),
    (
        "view_folds",
        &[
            ("schema", NAME),
            ("name", NAME),
            ("folded_at", SqlType::TimestampTz),
            ("from_commit", BIGINT),
            ("to_commit", BIGINT),
            ("rows", BIGINT),
            ("milliseconds", SqlType::Float8),
            ("outcome", TEXT),
            ("error", TEXT),
        ],
    ),
    (
        "background",
        &[
            ("task", TEXT),
            ("schema", NAME),
            ("name", NAME),
            ("state", TEXT),
            ("since", SqlType::TimestampTz),
            ("rows", BIGINT),
            ("bytes", BIGINT),
            ("last_run_at", SqlType::TimestampTz),
            ("last_milliseconds", SqlType::Float8),
            ("last_error", TEXT),
        ],
    ),
    ("query_cache", &[("answers", BIGINT), ("bytes", BIGINT), ("hits", BIGINT), ("misses", BIGINT)]),
    (
        "view_builds",
        &[
            ("pid", SqlType::Int4),
            ("schema", NAME),
            ("name", NAME),
            ("phase", TEXT),
            ("rows_read", BIGINT),
            ("rows", BIGINT),
            ("since", SqlType::TimestampTz),
        ],
    ),
];

pub(super) fn relation_oids() -> impl Iterator<Item = (&'static str, i64)> {
    RELATIONS.iter().zip(SCHEMA_OID + 1..).map(|((name, _), oid)| (*name, oid))
}

fn catalog_columns(columns: Columns) -> Vec<CatalogColumn> {
    let column = |(name, sql_type): &(&str, SqlType)| CatalogColumn {
        name: (*name).to_string(),
        sql_type: sql_type.clone(),
        not_null: false,
        is_vector: false,
    };
    columns.iter().map(column).collect()
}

pub(super) fn relation_columns() -> Vec<(&'static str, &'static str, Vec<CatalogColumn>)> {
    RELATIONS.iter().map(|(name, columns)| ("meridian", *name, catalog_columns(columns))).collect()
}

/// Relation, 1-based number and description of each column.
pub(super) fn columns() -> Vec<(i64, i64, CatalogColumn)> {
    let of_relation = |((_, oid), (_, columns)): ((&'static str, i64), &(&'static str, Columns))| {
        catalog_columns(columns).into_iter().zip(1..).map(move |(column, number)| (oid, number, column))
    };
    relation_oids().zip(&RELATIONS).flat_map(of_relation).collect()
}

pub(super) fn push_classes(rows: &mut Rows) {
    for ((name, oid), (_, columns)) in relation_oids().zip(&RELATIONS) {
        rows.push([
            ("oid", oid.into()),
            ("relname", name.into()),
            ("relnamespace", SCHEMA_OID.into()),
            ("relowner", super::SYSTEM_ROLE.0.into()),
            ("reltuples", Value::Float(-1.0)),
            ("relpersistence", "p".into()),
            ("relkind", "v".into()),
            ("relnatts", columns.len().into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ]);
    }
}

pub(super) fn live_rows(name: &str) -> Option<LiveRows> {
    Some(match name {
        "views" => push_views,
        "tables" => push_tables,
        "partitions" => push_partitions,
        "segments" => push_segments,
        "commits" => push_commits,
        "loads" => push_loads,
        "view_folds" => push_view_folds,
        "background" => push_background,
        "query_cache" => push_query_cache,
        "view_builds" => push_view_builds,
        _ => return None,
    })
}

fn push_views(context: &CatalogContext, rows: &mut Rows) {
    for view in context.snapshot.views.values().filter(|view| !view.definition.is_plain()) {
        let definition = &view.definition;
        let class = context.view_classes.iter().find(|row| row.view == definition.id);
        rows.push([
            ("schema", (&definition.name.schema).into()),
            ("name", (&definition.name.name).into()),
            ("definition", (&definition.query).into()),
            ("class", class.map(|row| &row.class).into()),
            ("populated", definition.populated.into()),
            ("frontier", view.frontier.map(|seq| seq.0).into()),
            ("commits_behind", context.snapshot.commits_behind(view).into()),
            ("state_rows", view.state.as_ref().map(TableVersion::rows_live).into()),
            ("state_bytes", view.state.as_ref().map(TableVersion::bytes).into()),
            ("last_fold_micros", class.and_then(|row| row.last_fold_micros).into()),
            ("last_fold_rows", class.and_then(|row| row.last_fold_rows).into()),
            ("reason", class.and_then(|row| row.reason.clone()).into()),
            ("state_runs", view.state.as_ref().map(|state| state.segments.len() + state.recent.len()).into()),
            ("last_error", class.and_then(|row| row.last_error.clone()).into()),
        ]);
    }
}

/// Folds of views that are gone are not shown.
fn push_view_folds(context: &CatalogContext, rows: &mut Rows) {
    for fold in &context.view_folds {
        let Some(view) = context.snapshot.views.get(&fold.view) else { continue };
        let error = match &fold.outcome {
            FoldOutcome::Failed(message) => Some(message.clone()),
            _ => None,
        };
        rows.push([
            ("schema", (&view.definition.name.schema).into()),
            ("name", (&view.definition.name.name).into()),
            ("folded_at", fold.at_micros.into()),
            ("from_commit", fold.from.map(|seq| seq.0).into()),
            ("to_commit", fold.to.0.into()),
            ("rows", fold.rows.into()),
            ("milliseconds", Value::Float(fold.micros as f64 / 1e3)),
            ("outcome", fold.outcome.name().into()),
            ("error", error.into()),
        ]);
    }
}

/// Work that runs, that waits, and what was done since the start. Rows and bytes are those that wait, or that the last run had.
fn push_background(context: &CatalogContext, rows: &mut Rows) {
    let mut tasks: BTreeMap<TaskKey, TaskState> = context.tasks.iter().cloned().collect();
    let waiting = waiting_work(&context.snapshot);
    for key in waiting.keys() {
        tasks.entry(*key).or_default();
    }
    for (key @ (kind, object), state) in tasks {
        let name = object.and_then(|id| context.snapshot.relation_by_id(id)).map(|relation| match relation {
            Relation::Table(table) => &table.definition.name,
            Relation::View(view) => &view.definition.name,
            Relation::Sequence(sequence) => &sequence.definition.name,
        });
        let pending = waiting.get(&key);
        let word = match (state.running_since, pending) {
            (Some(_), _) => "running",
            (None, Some(_)) => "waiting",
            (None, None) => "idle",
        };
        rows.push([
            ("task", kind.name().into()),
            ("schema", name.map(|name| &name.schema).into()),
            ("name", name.map(|name| &name.name).into()),
            ("state", word.into()),
            ("since", state.running_since.or(state.last_at.filter(|_| pending.is_none())).into()),
            ("rows", pending.copied().or(state.rows).into()),
            ("bytes", state.bytes.filter(|_| pending.is_none()).into()),
            ("last_run_at", state.last_at.into()),
            ("last_milliseconds", state.last_micros.map_or(Value::Null, |micros| Value::Float(micros as f64 / 1e3))),
            ("last_error", state.last_error.into()),
        ]);
    }
}

/// One row. A question that may be answered from the cache is a hit or a miss.
fn push_query_cache(context: &CatalogContext, rows: &mut Rows) {
    let counts = context.query_cache;
    rows.push([
        ("answers", counts.answers.into()),
        ("bytes", counts.bytes.into()),
        ("hits", counts.hits.into()),
        ("misses", counts.misses.into()),
    ]);
}

/// What is there to be done, and how many rows it is about.
fn waiting_work(snapshot: &Snapshot) -> BTreeMap<TaskKey, u64> {
    let recent = snapshot.tables.values().map(|table| {
        let rows: u64 = table.recent.iter().map(|recent| recent.rows_live()).sum();
        ((TaskKind::FoldRows, Some(table.definition.id)), rows)
    });
    let views = snapshot.views.values().filter(|view| view.frontier.is_some()).map(|view| {
        let frontier = view.frontier.unwrap_or_default();
        let inputs = view.definition.inputs.iter().filter_map(|input| snapshot.tables.get(input));
        let changes = inputs.filter_map(|table| table.changes_since(frontier)).flatten();
        ((TaskKind::FoldView, Some(view.definition.id)), changes.map(|change| change.rows()).sum())
    });
    recent.chain(views).filter(|(_, rows)| *rows > 0).collect()
}

/// Segments of one partition, summed.
#[derive(Default)]
struct PartitionSum {
    segments: u64,
    rows: u64,
    dead_rows: u64,
    bytes: u64,
    bounds: Option<(Datum, Datum)>,
}

/// By partition as it is shown. Recent rows belong to no partition until they are folded.
fn partitions(table: &TableVersion) -> BTreeMap<String, PartitionSum> {
    let mut sums: BTreeMap<String, PartitionSum> = BTreeMap::new();
    for segment in table.segments.values() {
        let sum = sums.entry(segment.meta.partition.to_string()).or_default();
        sum.segments += 1;
        sum.rows += segment.rows_live();
        sum.dead_rows += u64::from(segment.meta.rows) - segment.rows_live();
        sum.bytes += segment.meta.bytes;
        let bounds = first_sort_bounds(&table.definition, segment);
        sum.bounds = match (sum.bounds.take(), bounds) {
            (Some((low, high)), Some((other_low, other_high))) => {
                Some((if other_low < low { other_low } else { low }, if other_high > high { other_high } else { high }))
            }
            (known, other) => known.or(other),
        };
    }
    sums
}

fn first_sort_bounds(definition: &TableDefinition, segment: &catalog::segment::LiveSegment) -> Option<(Datum, Datum)> {
    let column: ColumnId = *definition.order_by.first()?;
    segment.meta.statistics.iter().find(|statistics| statistics.column == column)?.bounds.clone()
}

/// A bound as SQL prints a value of the first sort column.
fn bound_text(definition: &TableDefinition, bound: Option<&Datum>) -> Value {
    let column = definition.order_by.first().and_then(|id| definition.column(*id));
    let (Some(bound), Some(column)) = (bound, column) else { return Value::Null };
    let shown = match (bound, &column.sql_type) {
        (Datum::Int(days), SqlType::Date) => {
            let date = chrono::DateTime::from_timestamp(days.saturating_mul(86_400), 0);
            date.map(|date| date.format("%Y-%m-%d").to_string())
        }
        (Datum::Int(micros), SqlType::Timestamp | SqlType::TimestampTz) => {
            chrono::DateTime::from_timestamp_micros(*micros).map(|at| at.format("%Y-%m-%d %H:%M:%S%.f").to_string())
        }
        (Datum::Int(position), SqlType::Enum(known)) => known.label_at(*position).map(|label| label.name.clone()),
        (Datum::Int(packed), SqlType::TimeTz) => {
            let value = scalar_of(&Datum::Int(*packed), &column.sql_type.data_type());
            let value = value.and_then(|value| value.to_array().ok());
            value.and_then(|value| value_text(&value, 0, &column.sql_type, &OutputStyle::default()))
        }
        (Datum::Decimal(unscaled), SqlType::Numeric { scale, .. }) => Some(decimal_text(*unscaled, *scale)),
        _ => None,
    };
    shown.unwrap_or_else(|| bound.to_string()).into()
}

fn decimal_text(unscaled: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn push_tables(context: &CatalogContext, rows: &mut Rows) {
    for table in context.snapshot.tables.values() {
        let partitions = partitions(table);
        let stored: u64 = partitions.values().map(|sum| sum.dead_rows).sum();
        let recent: u64 = table.recent.iter().map(|recent| recent.rows_live()).sum();
        rows.push([
            ("schema", (&table.definition.name.schema).into()),
            ("name", (&table.definition.name.name).into()),
            ("partition_by", super::classes::partition_expression(&table.definition).into()),
            ("order_by", super::classes::sort_expression(&table.definition).into()),
            ("partitions", partitions.len().into()),
            ("segments", table.segments.len().into()),
            ("rows", table.rows_live().into()),
            ("dead_rows", stored.into()),
            ("recent_rows", recent.into()),
            ("bytes", table.bytes().into()),
            ("changed_at", table.changed_at.0.into()),
            ("retention", table.definition.retention.map(crate::retention::shown).into()),
        ]);
    }
}

fn push_partitions(context: &CatalogContext, rows: &mut Rows) {
    for table in context.snapshot.tables.values() {
        let definition = &table.definition;
        for (partition, sum) in partitions(table) {
            rows.push([
                ("schema", (&definition.name.schema).into()),
                ("table", (&definition.name.name).into()),
                ("partition", partition.into()),
                ("segments", sum.segments.into()),
                ("rows", sum.rows.into()),
                ("dead_rows", sum.dead_rows.into()),
                ("bytes", sum.bytes.into()),
                ("min_value", bound_text(definition, sum.bounds.as_ref().map(|(low, _)| low))),
                ("max_value", bound_text(definition, sum.bounds.as_ref().map(|(_, high)| high))),
            ]);
        }
    }
}

fn push_segments(context: &CatalogContext, rows: &mut Rows) {
    for table in context.snapshot.tables.values() {
        let definition = &table.definition;
        for segment in table.segments.values() {
            let bounds = first_sort_bounds(definition, segment);
            rows.push([
                ("schema", (&definition.name.schema).into()),
                ("table", (&definition.name.name).into()),
                ("partition", segment.meta.partition.to_string().into()),
                ("segment", segment.meta.id.to_string().into()),
                ("path", (&segment.meta.path).into()),
                ("rows", u64::from(segment.meta.rows).into()),
                ("dead_rows", (u64::from(segment.meta.rows) - segment.rows_live()).into()),
                ("bytes", segment.meta.bytes.into()),
                ("min_value", bound_text(definition, bounds.as_ref().map(|(low, _)| low))),
                ("max_value", bound_text(definition, bounds.as_ref().map(|(_, high)| high))),
            ]);
        }
    }
}

fn push_view_builds(context: &CatalogContext, rows: &mut Rows) {
    for build in &context.view_builds {
        rows.push([
            ("pid", build.process_id.map(i64::from).into()),
            ("schema", (&build.name.schema).into()),
            ("name", (&build.name.name).into()),
            ("phase", build.phase.into()),
            ("rows_read", build.rows_read.into()),
            ("rows", build.rows.into()),
            ("since", build.since_micros.into()),
        ]);
    }
}

fn push_loads(context: &CatalogContext, rows: &mut Rows) {
    for ((seq, _), load) in context.snapshot.loads.iter() {
        rows.push([
            ("seq", seq.0.into()),
            ("label", load.label.clone().into()),
            ("loaded_by", (&load.user).into()),
            ("schema", (&load.schema).into()),
            ("table", (&load.table).into()),
            ("rows", load.rows.into()),
            ("rejected", load.rejected.into()),
            ("bytes", load.bytes.into()),
            ("seconds", Value::Float(load.micros as f64 / 1e6)),
            ("segments", load.segments.into()),
            ("loaded_at", load.at_micros.into()),
        ]);
    }
}

fn push_commits(context: &CatalogContext, rows: &mut Rows) {
    for commit in context.commits.iter() {
        rows.push([
            ("seq", commit.seq.0.into()),
            ("committed_at", commit.committed_at_micros.into()),
            ("summary", (&commit.summary).into()),
            ("bytes", commit.bytes.into()),
        ]);
    }
}
