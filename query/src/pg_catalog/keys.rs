//! Keys in PostgreSQL's relations: each is an index and, unless CREATE INDEX made it, a constraint of the same name and OID.
//!
//! The index is what clients ask for when they look for keys. It shows as a B-tree, because that is what a key is
//! there.

use super::classes::{PG_CLASS, PG_CONSTRAINT, SYSTEM_ROLE, column_collation, namespace_oid, persistence};
use super::constraints::column_numbers;
use super::values::{Rows, Value};
use super::{CatalogContext, LiveRows, plain_indexes};
use crate::functions::quote_identifier;
use catalog::definition::{Column, Key, TableDefinition};
use catalog::ids::ObjectId;
use catalog::snapshot::{Snapshot, TableVersion};
use catalog::sql_type::SqlType;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The access method of B-trees.
const BTREE: i64 = 403;

pub(super) fn live_rows(name: &str) -> Option<LiveRows> {
    Some(match name {
        "pg_index" => push_indexes,
        "pg_indexes" => push_index_list,
        _ => return None,
    })
}

pub(super) fn standard_rows(name: &str) -> Option<LiveRows> {
    Some(match name {
        "key_column_usage" => push_key_columns,
        "constraint_table_usage" => push_constraint_tables,
        _ => return None,
    })
}

/// All keys with their tables, in the order of their OIDs. Keys of dropped tables and hidden ones are not among them.
pub(super) fn keys(snapshot: &Snapshot) -> Vec<(&Arc<TableVersion>, &Key)> {
    let tables = snapshot.tables.values();
    let mut keys: Vec<_> =
        tables.flat_map(|version| version.definition.keys.iter().map(move |key| (version, key))).collect();
    keys.sort_by_key(|(_, key)| key.id);
    keys
}

/// The keys that are constraints.
fn constraints(snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<TableVersion>, &Key)> {
    keys(snapshot).into_iter().filter(|(_, key)| !key.index)
}

/// The key with that OID, and its table.
pub fn key_by_oid(snapshot: &Snapshot, oid: i64) -> Option<(&Arc<TableVersion>, &Key)> {
    let id = u32::try_from(oid).ok().map(ObjectId)?;
    snapshot
        .tables
        .values()
        .find_map(|version| version.definition.keys.iter().find(|key| key.id == id).map(|key| (version, key)))
}

/// `PRIMARY KEY (id)`
pub(super) fn key_clause(definition: &TableDefinition, key: &Key) -> String {
    let kind = if key.primary { "PRIMARY KEY" } else { "UNIQUE" };
    format!("{kind} ({})", column_list(definition, key))
}

/// `CREATE UNIQUE INDEX sales_pkey ON public.sales USING btree (id)`, given how the table is to be called.
pub fn index_statement(table: &str, definition: &TableDefinition, key: &Key) -> String {
    let name = quote_identifier(&key.name);
    format!("CREATE UNIQUE INDEX {name} ON {table} USING btree ({})", column_list(definition, key))
}

fn column_list(definition: &TableDefinition, key: &Key) -> String {
    key_columns(definition, key).map(|column| quote_identifier(&column.name)).collect::<Vec<_>>().join(", ")
}

pub(super) fn key_columns<'a>(definition: &'a TableDefinition, key: &'a Key) -> impl Iterator<Item = &'a Column> {
    key.columns.iter().filter_map(|id| definition.column(*id))
}

/// The B-tree operator class of a type.
pub(super) fn operator_class(sql_type: &SqlType) -> i64 {
    static CLASSES: LazyLock<HashMap<i64, i64>> = LazyLock::new(|| {
        let rows = include_str!("data/pg_opclass.tsv").lines().skip(1);
        let of_type = rows.filter_map(|row| {
            let cells: Vec<&str> = row.split('\t').collect();
            let usual = cells.get(1) == Some(&"403") && cells.get(7) == Some(&"t");
            let number = |at: usize| cells.get(at).and_then(|cell| cell.parse().ok());
            usual.then(|| Some((number(6)?, number(0)?))).flatten()
        });
        of_type.collect()
    });
    // varchar is compared as text.
    let oid = match sql_type {
        SqlType::Varchar { .. } => SqlType::Text.oid(),
        other => other.oid(),
    };
    CLASSES.get(&i64::from(oid)).copied().unwrap_or(0)
}

/// The rows of `pg_class` for the indexes.
pub(super) fn push_classes(context: &CatalogContext, rows: &mut Rows) {
    for (version, key) in keys(&context.snapshot) {
        rows.push([
            ("oid", key.id.into()),
            ("relname", (&key.name).into()),
            ("relnamespace", namespace_oid(&context.snapshot, &version.definition.name.schema).into()),
            ("relowner", SYSTEM_ROLE.0.into()),
            ("relam", BTREE.into()),
            ("relfilenode", key.id.into()),
            ("reltuples", Value::Float(version.rows_live() as f64)),
            ("relpersistence", persistence(context, &version.definition.name).into()),
            ("relkind", "i".into()),
            ("relnatts", key.columns.len().into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ]);
    }
}

fn push_indexes(context: &CatalogContext, rows: &mut Rows) {
    for (version, key) in keys(&context.snapshot) {
        let definition = &version.definition;
        let columns: Vec<&Column> = key_columns(definition, key).collect();
        let collations: Vec<i64> = columns.iter().map(|column| column_collation(&column.sql_type)).collect();
        let classes: Vec<i64> = columns.iter().map(|column| operator_class(&column.sql_type)).collect();
        rows.push([
            ("indexrelid", key.id.into()),
            ("indrelid", definition.id.into()),
            ("indnatts", columns.len().into()),
            ("indnkeyatts", columns.len().into()),
            ("indisunique", true.into()),
            ("indisprimary", key.primary.into()),
            ("indimmediate", true.into()),
            ("indisvalid", true.into()),
            ("indisready", true.into()),
            ("indislive", true.into()),
            ("indkey", column_numbers(key.columns.iter().copied()).into()),
            ("indcollation", collations.into()),
            ("indclass", classes.into()),
            ("indoption", vec![0_i64; columns.len()].into()),
        ]);
    }
    plain_indexes::push_indexes(context, rows);
}

pub(super) fn push_constraints(context: &CatalogContext, rows: &mut Rows) {
    for (version, key) in constraints(&context.snapshot) {
        let definition = &version.definition;
        rows.push([
            ("oid", key.id.into()),
            ("conname", (&key.name).into()),
            ("connamespace", namespace_oid(&context.snapshot, &definition.name.schema).into()),
            ("contype", if key.primary { "p" } else { "u" }.into()),
            ("convalidated", true.into()),
            ("conrelid", definition.id.into()),
            ("conindid", key.id.into()),
            ("confupdtype", " ".into()),
            ("confdeltype", " ".into()),
            ("confmatchtype", " ".into()),
            ("conislocal", true.into()),
            ("connoinherit", true.into()),
            ("conkey", column_numbers(key.columns.iter().copied()).into()),
        ]);
    }
}

/// The rows of `pg_depend`: an index belongs to its constraint, if it has one, and that to the columns.
pub(super) fn push_dependencies(context: &CatalogContext, rows: &mut Rows) {
    for (version, key) in keys(&context.snapshot) {
        let holder = if key.index { PG_CLASS } else { PG_CONSTRAINT };
        if !key.index {
            rows.push([
                ("classid", PG_CLASS.into()),
                ("objid", key.id.into()),
                ("refclassid", PG_CONSTRAINT.into()),
                ("refobjid", key.id.into()),
                ("deptype", "i".into()),
            ]);
        }
        for number in column_numbers(key.columns.iter().copied()) {
            rows.push([
                ("classid", holder.into()),
                ("objid", key.id.into()),
                ("refclassid", PG_CLASS.into()),
                ("refobjid", version.definition.id.into()),
                ("refobjsubid", number.into()),
                ("deptype", "a".into()),
            ]);
        }
    }
}

fn push_index_list(context: &CatalogContext, rows: &mut Rows) {
    for (version, key) in keys(&context.snapshot) {
        let name = &version.definition.name;
        let table = format!("{}.{}", quote_identifier(&name.schema), quote_identifier(&name.name));
        rows.push([
            ("schemaname", (&name.schema).into()),
            ("tablename", (&name.name).into()),
            ("indexname", (&key.name).into()),
            ("indexdef", index_statement(&table, &version.definition, key).into()),
        ]);
    }
    plain_indexes::push_index_list(context, rows);
}

// ---- information_schema ----

/// The columns that say which constraint of which table a row is about.
fn constraint_of(context: &CatalogContext, definition: &TableDefinition, key: &Key) -> [(&'static str, Value); 6] {
    [
        ("constraint_catalog", (&context.database).into()),
        ("constraint_schema", (&definition.name.schema).into()),
        ("constraint_name", (&key.name).into()),
        ("table_catalog", (&context.database).into()),
        ("table_schema", (&definition.name.schema).into()),
        ("table_name", (&definition.name.name).into()),
    ]
}

pub(super) fn push_table_constraints(context: &CatalogContext, rows: &mut Rows) {
    for (version, key) in constraints(&context.snapshot) {
        let kind = if key.primary { "PRIMARY KEY" } else { "UNIQUE" };
        let nulls = if key.primary { Value::Null } else { "YES".into() };
        let rest = [
            ("constraint_type", kind.into()),
            ("is_deferrable", "NO".into()),
            ("initially_deferred", "NO".into()),
            ("enforced", "YES".into()),
            ("nulls_distinct", nulls),
        ];
        rows.push(constraint_of(context, &version.definition, key).into_iter().chain(rest));
    }
}

fn push_key_columns(context: &CatalogContext, rows: &mut Rows) {
    for (version, key) in constraints(&context.snapshot) {
        for (column, number) in key_columns(&version.definition, key).zip(1_i64..) {
            let rest = [("column_name", (&column.name).into()), ("ordinal_position", number.into())];
            rows.push(constraint_of(context, &version.definition, key).into_iter().chain(rest));
        }
    }
}

pub(super) fn push_constraint_columns(context: &CatalogContext, rows: &mut Rows) {
    for (version, key) in constraints(&context.snapshot) {
        for column in key_columns(&version.definition, key) {
            let rest = [("column_name", (&column.name).into())];
            rows.push(constraint_of(context, &version.definition, key).into_iter().chain(rest));
        }
    }
}

fn push_constraint_tables(context: &CatalogContext, rows: &mut Rows) {
    for (version, key) in constraints(&context.snapshot) {
        rows.push(constraint_of(context, &version.definition, key));
    }
}
