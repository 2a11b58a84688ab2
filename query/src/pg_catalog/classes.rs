//! Tables, views, their columns and their schemas, in PostgreSQL's relations.
//!
//! A partitioned table shows as a plain one (`relkind` `r`): its partitions have no names of their own, and clients that see
//! `p` go looking for them. `relpages` is zero, because clients that see pages read the table by page.

use super::exported::{COLUMN_ROWS, type_by_oid};
use super::values::{Rows, Value};
use super::{CatalogContext, FixedRows, LiveRows, keys, own, plain_indexes};
use crate::bound_expressions::with_relation_names;
use crate::constant_defaults::shown_constant;
use crate::functions::quote_identifier;
use crate::types::{OutputStyle, Zone};
use catalog::definition::{Column, IdentityKind, ObjectName, TableDefinition, Transform, ViewDefinition};
use catalog::ids::{ColumnId, ObjectId};
use catalog::snapshot::{Relation, Snapshot};
use catalog::sql_type::SqlType;
use catalog::type_names::TypeNames;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The OID and name of the role that owns everything.
pub const SYSTEM_ROLE: (i64, &str) = (10, "meridian");

/// The OIDs of relations that comments and dependencies refer to.
pub(super) const PG_CLASS: i64 = 1259;
pub(super) const PG_CONSTRAINT: i64 = 2606;
const PG_REWRITE: i64 = 2618;
const HEAP: i64 = 2;

pub(super) fn fixed_rows(schema: &str, name: &str) -> Option<FixedRows> {
    if schema != "pg_catalog" {
        return None;
    }
    Some(match name {
        "pg_class" => own::push_classes,
        "pg_attribute" => push_system_attributes,
        "pg_namespace" => |rows: &mut Rows| {
            rows.push([
                ("oid", own::SCHEMA_OID.into()),
                ("nspname", "meridian".into()),
                ("nspowner", SYSTEM_ROLE.0.into()),
            ]);
        },
        _ => return None,
    })
}

pub(super) fn live_rows(name: &str) -> Option<LiveRows> {
    Some(match name {
        "pg_class" => push_classes,
        "pg_attribute" => push_attributes,
        "pg_attrdef" => push_defaults,
        "pg_namespace" => push_namespaces,
        "pg_depend" => push_dependencies,
        "pg_rewrite" => push_rules,
        "pg_tables" => push_tables,
        "pg_matviews" => push_materialized_views,
        "pg_views" => push_plain_views,
        "pg_stat_user_tables" | "pg_stat_all_tables" => push_table_statistics,
        "pg_statio_user_tables" | "pg_statio_all_tables" => push_table_io,
        _ => return None,
    })
}

/// The relations of the snapshot that have names, in the order of their OIDs.
pub(super) fn named_relations(snapshot: &Snapshot) -> Vec<(ObjectId, &ObjectName, Relation<'_>)> {
    let mut relations: Vec<_> =
        snapshot.names.iter().filter_map(|(name, id)| Some((*id, name, snapshot.relation_by_id(*id)?))).collect();
    relations.sort_by_key(|(id, _, _)| *id);
    relations
}

pub(super) fn columns_of<'a>(relation: &Relation<'a>) -> &'a [Column] {
    match relation {
        Relation::Table(table) => &table.definition.columns,
        Relation::View(view) => &view.definition.columns,
        Relation::Sequence(_) => &SEQUENCE_COLUMNS,
    }
}

/// The columns of every sequence.
pub(crate) static SEQUENCE_COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    use catalog::sql_type::SqlType;
    let columns = [("last_value", SqlType::Int8), ("log_cnt", SqlType::Int8), ("is_called", SqlType::Bool)];
    let numbered = columns.into_iter().zip(1..);
    let column = |((name, sql_type), id)| Column { not_null: true, ..Column::new(ColumnId(id), name, sql_type) };
    numbered.map(column).collect()
});

/// The number of a relation's columns, dropped ones included.
fn attributes_of(relation: &Relation<'_>) -> i64 {
    match relation {
        Relation::Table(table) => i64::from(table.definition.next_column().0 - 1),
        other => columns_of(other).len() as i64,
    }
}

/// OIDs of the catalog's own relations by schema and name.
pub(super) static SYSTEM_OIDS: LazyLock<HashMap<(&'static str, &'static str), i64>> = LazyLock::new(|| {
    let mut oids: HashMap<(&str, &str), i64> = HashMap::new();
    let exported = include_str!("data/pg_class.tsv");
    for line in exported.lines().skip(1) {
        let mut cells = line.split('\t');
        let oid = cells.next().and_then(|cell| cell.parse().ok());
        let (Some(oid), Some(name), Some(namespace)) = (oid, cells.next(), cells.next()) else { continue };
        let schema = if namespace == "11" { "pg_catalog" } else { "information_schema" };
        oids.insert((schema, name), oid);
    }
    oids.extend(own::relation_oids().map(|(name, oid)| (("meridian", name), oid)));
    oids
});

/// The OID of a relation, the catalog's own ones included.
pub fn relation_oid(snapshot: &Snapshot, schema: &str, name: &str) -> Option<i64> {
    let user = snapshot.names.get(&ObjectName::new(schema, name)).map(|id| i64::from(id.0));
    let index = || snapshot.index_named(&ObjectName::new(schema, name)).map(|(_, id)| i64::from(id.0));
    user.or_else(index).or_else(|| SYSTEM_OIDS.get(&(schema, name)).copied())
}

/// The OID of a schema, the catalog's own ones included.
pub fn namespace_oid(snapshot: &Snapshot, schema: &str) -> Option<i64> {
    match schema {
        "pg_catalog" => Some(11),
        "pg_toast" => Some(99),
        "information_schema" => Some(*INFORMATION_SCHEMA),
        "meridian" => Some(own::SCHEMA_OID),
        _ => snapshot.schemas.get(schema).map(|id| i64::from(id.0)),
    }
}

/// The name of the schema with that OID.
pub fn namespace_name(snapshot: &Snapshot, oid: i64) -> Option<String> {
    let system = ["pg_catalog", "pg_toast", "information_schema", "meridian"];
    let found = system.into_iter().find(|name| namespace_oid(snapshot, name) == Some(oid));
    let user = || snapshot.schemas.iter().find(|(_, id)| i64::from(id.0) == oid).map(|(name, _)| name.clone());
    found.map(str::to_string).or_else(user)
}

static INFORMATION_SCHEMA: LazyLock<i64> = LazyLock::new(|| {
    let rows = include_str!("data/pg_namespace.tsv").lines();
    let row = rows.filter_map(|line| line.split_once('\t')).find(|(_, rest)| rest.starts_with("information_schema"));
    row.and_then(|(oid, _)| oid.parse().ok()).expect("the export has information_schema")
});

/// Schema and name of the relation with that OID.
pub fn relation_name(snapshot: &Snapshot, oid: i64) -> Option<ObjectName> {
    let id = u32::try_from(oid).ok().map(ObjectId)?;
    match snapshot.relation_by_id(id) {
        Some(Relation::Table(table)) => Some(table.definition.name.clone()),
        Some(Relation::View(view)) => Some(view.definition.name.clone()),
        Some(Relation::Sequence(sequence)) => Some(sequence.definition.name.clone()),
        None => {
            if let Some((version, key)) = keys::key_by_oid(snapshot, oid) {
                return Some(ObjectName::new(&version.definition.name.schema, &key.name));
            }
            if let Some((version, index)) = plain_indexes::plain_index_by_oid(snapshot, oid) {
                return Some(ObjectName::new(&version.definition.name.schema, &index.name));
            }
            let found = SYSTEM_OIDS.iter().find(|(_, system)| **system == oid);
            found.map(|((schema, name), _)| ObjectName::new(*schema, *name))
        }
    }
}

/// `region, month(sale_date)`: the list of PARTITION BY.
pub fn partition_expression(definition: &TableDefinition) -> String {
    let item = |item: &catalog::definition::PartitionColumn| {
        let name = definition.column(item.column).map_or("", |column| column.name.as_str());
        match item.transform {
            Transform::Identity => name.to_string(),
            Transform::Day => format!("day({name})"),
            Transform::Month => format!("month({name})"),
            Transform::Quarter => format!("quarter({name})"),
            Transform::Year => format!("year({name})"),
        }
    };
    definition.partition_by.iter().map(item).collect::<Vec<_>>().join(", ")
}

/// `sale_date, sold_at`: the sort key.
pub fn sort_expression(definition: &TableDefinition) -> String {
    let names = definition.order_by.iter().filter_map(|id| definition.column(*id));
    names.map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn table_options(definition: &TableDefinition) -> Value {
    let retention = definition.retention.map(crate::retention::shown).unwrap_or_default();
    let options = [
        ("partition_by", partition_expression(definition)),
        ("order_by", sort_expression(definition)),
        ("retention", retention),
    ];
    let named: Vec<String> = options
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if named.is_empty() { Value::Null } else { named.into() }
}

fn push_classes(context: &CatalogContext, rows: &mut Rows) {
    for (id, name, relation) in named_relations(&context.snapshot) {
        let checks = match &relation {
            Relation::Table(table) => table.definition.checks.len(),
            Relation::View(_) | Relation::Sequence(_) => 0,
        };
        let (kind, row_count, populated, options) = match &relation {
            Relation::Table(table) => ("r", Some(table.rows_live()), true, table_options(&table.definition)),
            Relation::View(view) => {
                let kind = if view.definition.is_plain() { "v" } else { "m" };
                (kind, None, view.definition.populated, Value::Null)
            }
            Relation::Sequence(_) => ("S", Some(1), true, Value::Null),
        };
        rows.push([
            ("oid", id.into()),
            ("relname", (&name.name).into()),
            ("relnamespace", namespace_oid(&context.snapshot, &name.schema).into()),
            ("relowner", SYSTEM_ROLE.0.into()),
            ("relam", HEAP.into()),
            ("relfilenode", id.into()),
            ("reltuples", Value::Float(row_count.map_or(-1.0, |rows| rows as f64))),
            ("relpersistence", persistence(context, name).into()),
            ("relkind", kind.into()),
            ("relhasindex", has_indexes(&relation).into()),
            ("relnatts", attributes_of(&relation).into()),
            ("relchecks", checks.into()),
            ("relhasrules", (kind == "v" || kind == "m").into()),
            ("relispopulated", populated.into()),
            ("relreplident", "d".into()),
            ("reloptions", options),
        ]);
    }
    keys::push_classes(context, rows);
    plain_indexes::push_classes(context, rows);
}

/// Whether a relation stays, or goes with the session.
pub(super) fn persistence(context: &CatalogContext, name: &ObjectName) -> &'static str {
    if context.snapshot.is_temporary(name) { "t" } else { "p" }
}

fn has_indexes(relation: &Relation<'_>) -> bool {
    matches!(relation, Relation::Table(table) if table.definition.indexes().next().is_some())
}

fn push_system_attributes(rows: &mut Rows) {
    for column in COLUMN_ROWS.iter() {
        let Some(relation) = SYSTEM_OIDS.get(&(column.schema, column.relation)) else { continue };
        push_attribute(
            rows,
            &Attribute {
                relation: *relation,
                name: column.name,
                number: column.number,
                type_oid: column.type_oid,
                base: column.type_oid,
                length: type_by_oid(column.type_oid).map_or(-1, |row| row.length),
                typmod: column.typmod,
                dimensions: column.dimensions,
                not_null: column.not_null,
                has_default: false,
                generated: "",
                identity: "",
                collation: column.collation,
            },
        );
    }
    for (relation, number, column) in own::columns() {
        let column = Column {
            not_null: column.not_null,
            ..Column::new(ColumnId(number as i32), &column.name, column.sql_type.clone())
        };
        push_column(rows, relation, number, &column);
    }
}

fn push_attributes(context: &CatalogContext, rows: &mut Rows) {
    for (id, _, relation) in named_relations(&context.snapshot) {
        for column in columns_of(&relation) {
            push_column(rows, id.0.into(), column.id.0.into(), column);
        }
        if let Relation::Table(table) = relation {
            push_dropped_columns(rows, &table.definition);
        }
    }
    for (version, key) in keys::keys(&context.snapshot) {
        for (column, number) in keys::key_columns(&version.definition, key).zip(1..) {
            let plain =
                Column { digits: column.digits, ..Column::new(column.id, &column.name, column.sql_type.clone()) };
            push_column(rows, key.id.0.into(), number, &plain);
        }
    }
    plain_indexes::push_attributes(context, rows);
}

/// Dropped columns keep their numbers, as in PostgreSQL.
fn push_dropped_columns(rows: &mut Rows, table: &TableDefinition) {
    let last = table.last_dropped.map_or(0, |last| last.0);
    for number in (1..=last).filter(|number| table.column(ColumnId(*number)).is_none()) {
        rows.push([
            ("attrelid", table.id.into()),
            ("attname", format!("........pg.dropped.{number}........").into()),
            ("attnum", i64::from(number).into()),
            ("attisdropped", true.into()),
            ("attislocal", true.into()),
        ]);
    }
}

/// The collation of a column's values.
pub(super) fn column_collation(sql_type: &SqlType) -> i64 {
    match sql_type {
        SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } => 100,
        SqlType::Name => 950,
        _ => 0,
    }
}

pub(super) fn push_column(rows: &mut Rows, relation: i64, number: i64, column: &Column) {
    let sql_type = &column.sql_type;
    push_attribute(
        rows,
        &Attribute {
            relation,
            name: &column.name,
            number,
            base: sql_type.oid().into(),
            type_oid: column.domain.as_ref().map_or_else(|| sql_type.oid(), |domain| domain.id.0).into(),
            length: sql_type.typlen().into(),
            // A domain's modifier is its own.
            typmod: if column.domain.is_some() { -1 } else { column.typmod().into() },
            dimensions: i64::from(matches!(sql_type, SqlType::Array(_))),
            not_null: column.not_null,
            has_default: column.default.is_some() || column.generated.is_some(),
            generated: if column.generated.is_some() { "s" } else { "" },
            identity: match column.identity.as_ref().map(|identity| identity.kind) {
                Some(IdentityKind::Always) => "a",
                Some(IdentityKind::ByDefault) => "d",
                None => "",
            },
            collation: column_collation(sql_type),
        },
    );
}

struct Attribute<'a> {
    relation: i64,
    name: &'a str,
    number: i64,
    type_oid: i64,
    /// The type below a domain.
    base: i64,
    /// `pg_type.typlen`.
    length: i64,
    typmod: i64,
    dimensions: i64,
    not_null: bool,
    has_default: bool,
    generated: &'a str,
    identity: &'a str,
    collation: i64,
}

fn push_attribute(rows: &mut Rows, attribute: &Attribute) {
    let row = type_by_oid(attribute.base);
    rows.push([
        ("attrelid", attribute.relation.into()),
        ("attname", attribute.name.into()),
        ("atttypid", attribute.type_oid.into()),
        ("attstattarget", (-1).into()),
        ("attlen", attribute.length.into()),
        ("attnum", attribute.number.into()),
        ("attndims", attribute.dimensions.into()),
        ("attcacheoff", (-1).into()),
        ("atttypmod", attribute.typmod.into()),
        ("attbyval", row.map_or(attribute.length > 0, |row| row.by_value).into()),
        ("attalign", row.map_or("i", |row| row.align).into()),
        ("attstorage", row.map_or(if attribute.length < 0 { "x" } else { "p" }, |row| row.storage).into()),
        ("attnotnull", attribute.not_null.into()),
        ("atthasdef", attribute.has_default.into()),
        ("attgenerated", attribute.generated.into()),
        ("attidentity", attribute.identity.into()),
        ("attislocal", true.into()),
        ("attcollation", attribute.collation.into()),
    ]);
}

/// A default has no object of its own; its OID is made from its table's and column's, above those of user objects.
pub(super) fn default_oid(table: ObjectId, column: ColumnId) -> i64 {
    0x8000_0000 | (i64::from(table.0) & 0xf_ffff) << 11 | (i64::from(column.0) & 0x7ff)
}

fn push_defaults(context: &CatalogContext, rows: &mut Rows) {
    for (id, _, relation) in named_relations(&context.snapshot) {
        for column in columns_of(&relation) {
            let default = column.default.as_ref().map(|default| shown_default(context, default, &column.sql_type));
            let generated = || column.generated.as_ref().map(|generated| with_shown_names(context, &generated.text));
            let Some(shown) = default.or_else(generated) else { continue };
            rows.push([
                ("oid", default_oid(id, column.id).into()),
                ("adrelid", id.into()),
                ("adnum", i64::from(column.id.0).into()),
                ("adbin", shown.into()),
            ]);
        }
    }
}

/// A default of a column or domain of a type.
pub(super) fn shown_default(context: &CatalogContext, text: &str, sql_type: &SqlType) -> String {
    let _names = TypeNames::new(Arc::clone(&context.snapshot.types), context.search_path.clone()).enter();
    let time_zone = context.settings.iter().find(|row| row.name == "TimeZone");
    let time_zone = time_zone.and_then(|row| Zone::of_setting(&row.setting)).unwrap_or(Zone::UTC);
    let style = OutputStyle { time_zone, ..OutputStyle::default() };
    shown_constant(text, sql_type, &style).unwrap_or_else(|| with_shown_names(context, text))
}

/// An expression with the names of its sequences, qualified where the search path does not lead to them.
fn with_shown_names(context: &CatalogContext, text: &str) -> String {
    with_relation_names(text, |oid| {
        let name = relation_name(&context.snapshot, oid)?;
        let own = context.snapshot.temporary.iter().map(|schema| &schema.name);
        let mut path = own.chain(&context.search_path);
        let seen = path.find_map(|schema| relation_oid(&context.snapshot, schema, &name.name));
        let bare = quote_identifier(&name.name);
        Some(if seen == Some(oid) { bare } else { format!("{}.{bare}", quote_identifier(&name.schema)) })
    })
}

fn push_namespaces(context: &CatalogContext, rows: &mut Rows) {
    for (name, id) in context.snapshot.schemas.iter() {
        rows.push([("oid", (*id).into()), ("nspname", name.into()), ("nspowner", SYSTEM_ROLE.0.into())]);
    }
}

/// Each view's rule depends on its inputs; the rule bears the view's own number, for `pg_rewrite` counts by itself.
fn push_dependencies(context: &CatalogContext, rows: &mut Rows) {
    for view in context.snapshot.views.values() {
        let own = [(view.definition.id, "i")];
        let inputs = view.definition.inputs.iter().map(|input| (*input, "n"));
        for (referenced, kind) in own.into_iter().chain(inputs) {
            rows.push([
                ("classid", PG_REWRITE.into()),
                ("objid", view.definition.id.into()),
                ("refclassid", PG_CLASS.into()),
                ("refobjid", referenced.into()),
                ("deptype", kind.into()),
            ]);
        }
    }
    keys::push_dependencies(context, rows);
    plain_indexes::push_dependencies(context, rows);
    super::constraints::push_dependencies(context, rows);
    super::sequences::push_dependencies(context, rows);
}

fn push_rules(context: &CatalogContext, rows: &mut Rows) {
    for view in context.snapshot.views.values() {
        rows.push([
            ("oid", view.definition.id.into()),
            ("rulename", "_RETURN".into()),
            ("ev_class", view.definition.id.into()),
            ("ev_type", "1".into()),
            ("ev_enabled", "O".into()),
            ("is_instead", true.into()),
            ("ev_qual", "<>".into()),
            ("ev_action", (&view.definition.query).into()),
        ]);
    }
}

fn push_tables(context: &CatalogContext, rows: &mut Rows) {
    for (_, name, relation) in named_relations(&context.snapshot) {
        if let Relation::Table(_) = &relation {
            rows.push([
                ("schemaname", (&name.schema).into()),
                ("tablename", (&name.name).into()),
                ("tableowner", SYSTEM_ROLE.1.into()),
                ("hasindexes", has_indexes(&relation).into()),
                ("hasrules", false.into()),
                ("hastriggers", false.into()),
                ("rowsecurity", false.into()),
            ]);
        }
    }
}

/// A view's query as PostgreSQL prints one: with a space before and a semicolon behind.
pub fn view_text(definition: &ViewDefinition) -> String {
    let query = definition.query.trim().trim_end_matches(';');
    format!(" {query};")
}

fn push_plain_views(context: &CatalogContext, rows: &mut Rows) {
    for (_, name, relation) in named_relations(&context.snapshot) {
        if let Relation::View(view) = relation
            && view.definition.is_plain()
        {
            rows.push([
                ("schemaname", (&name.schema).into()),
                ("viewname", (&name.name).into()),
                ("viewowner", SYSTEM_ROLE.1.into()),
                ("definition", view_text(&view.definition).into()),
            ]);
        }
    }
}

fn push_materialized_views(context: &CatalogContext, rows: &mut Rows) {
    for (_, name, relation) in named_relations(&context.snapshot) {
        if let Relation::View(view) = relation
            && !view.definition.is_plain()
        {
            rows.push([
                ("schemaname", (&name.schema).into()),
                ("matviewname", (&name.name).into()),
                ("matviewowner", SYSTEM_ROLE.1.into()),
                ("hasindexes", false.into()),
                ("ispopulated", view.definition.populated.into()),
                ("definition", view_text(&view.definition).into()),
            ]);
        }
    }
}

fn push_table_statistics(context: &CatalogContext, rows: &mut Rows) {
    for (id, name, relation) in named_relations(&context.snapshot) {
        let Relation::Table(table) = relation else { continue };
        let stored: u64 = table.segments.values().map(|segment| u64::from(segment.meta.rows)).sum();
        let recent: u64 = table.recent.iter().map(|recent| recent.batch.num_rows() as u64).sum();
        rows.push([
            ("relid", id.into()),
            ("schemaname", (&name.schema).into()),
            ("relname", (&name.name).into()),
            ("seq_scan", 0.into()),
            ("seq_tup_read", 0.into()),
            ("n_live_tup", table.rows_live().into()),
            ("n_dead_tup", (stored + recent - table.rows_live()).into()),
        ]);
    }
}

fn push_table_io(context: &CatalogContext, rows: &mut Rows) {
    for (id, name, relation) in named_relations(&context.snapshot) {
        if let Relation::Table(_) = relation {
            rows.push([("relid", id.into()), ("schemaname", (&name.schema).into()), ("relname", (&name.name).into())]);
        }
    }
}
