//! Constraints of tables, in PostgreSQL's relations and in those of information_schema.

use super::classes::{PG_CLASS, PG_CONSTRAINT, named_relations, namespace_oid};
use super::values::{Rows, Value};
use super::{CatalogContext, LiveRows, keys};
use crate::bound_expressions::{columns_of, parse, shown};
use crate::domains::with_value_in_capitals;
use catalog::definition::{CheckConstraint, Column, TableDefinition};
use catalog::ids::{ColumnId, ObjectId};
use catalog::snapshot::{Relation, Snapshot};
use catalog::user_type::{DomainCheck, TypeDefinition};
use std::sync::Arc;

pub(super) fn live_rows(schema: &str, name: &str) -> Option<LiveRows> {
    Some(match (schema, name) {
        ("pg_catalog", "pg_constraint") => push_constraints,
        ("information_schema", "check_constraints") => push_check_clauses,
        ("information_schema", "table_constraints") => push_table_constraints,
        ("information_schema", "constraint_column_usage") => push_column_usage,
        _ => return None,
    })
}

/// The tables in the order of their OIDs.
fn tables(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<TableDefinition>> {
    named_relations(snapshot).into_iter().filter_map(|(_, _, relation)| match relation {
        Relation::Table(table) => Some(&table.definition),
        Relation::View(_) | Relation::Sequence(_) => None,
    })
}

/// The columns that a CHECK constraint names, by their numbers.
fn checked_columns<'a>(definition: &'a TableDefinition, check: &CheckConstraint) -> Vec<&'a Column> {
    let positions = parse(&check.expression.text).map_or_else(|_| Vec::new(), |text| columns_of(&text, definition));
    let mut columns: Vec<&Column> = positions.into_iter().map(|position| &definition.columns[position]).collect();
    columns.sort_unstable_by_key(|column| column.id);
    columns
}

/// The numbers of columns, as `pg_attribute` has them.
pub(super) fn column_numbers(columns: impl IntoIterator<Item = ColumnId>) -> Vec<i64> {
    columns.into_iter().map(|column| i64::from(column.0)).collect()
}

/// The numbers of the columns that a CHECK constraint names.
fn checked_numbers(definition: &TableDefinition, check: &CheckConstraint) -> Vec<i64> {
    column_numbers(checked_columns(definition, check).into_iter().map(|column| column.id))
}

/// `CHECK ((a > 0))`, or `CHECK (a > 0)` as it was written; `None` where there is no such constraint.
pub fn constraint_text(snapshot: &Snapshot, id: ObjectId, pretty: bool) -> Option<String> {
    if let Some((table, key)) = keys::key_by_oid(snapshot, id.0.into()).filter(|(_, key)| !key.index) {
        return Some(keys::key_clause(&table.definition, key));
    }
    if let Some((_, check)) = domain_checks(snapshot).find(|(_, check)| check.id == id) {
        let suffix = if check.not_valid { " NOT VALID" } else { "" };
        return Some(format!("CHECK ({}){suffix}", shown(&domain_text(check), pretty)));
    }
    let mut checks = snapshot.tables.values().flat_map(|table| &table.definition.checks);
    let check = checks.find(|check| check.id == id)?;
    let text = &check.expression.text;
    Some(format!("CHECK ({})", shown(text, pretty)))
}

/// The constraints of domains.
pub(super) fn domain_checks(snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<TypeDefinition>, &DomainCheck)> {
    let domains = snapshot.types.values().filter_map(|known| known.domain().map(|domain| (known, domain)));
    domains.flat_map(|(known, domain)| domain.checks.iter().map(move |check| (known, check)))
}

/// A domain's constraint with VALUE in capitals, as PostgreSQL shows it.
fn domain_text(check: &DomainCheck) -> String {
    let text = &check.expression.text;
    parse(text).map_or_else(|_| text.clone(), |expression| with_value_in_capitals(expression).to_string())
}

fn push_domain_checks(context: &CatalogContext, rows: &mut Rows) {
    for (known, check) in domain_checks(&context.snapshot) {
        rows.push([
            ("oid", check.id.into()),
            ("conname", (&check.name).into()),
            ("connamespace", namespace_oid(&context.snapshot, &known.name.schema).into()),
            ("contype", "c".into()),
            ("convalidated", (!check.not_valid).into()),
            ("contypid", known.id.into()),
            ("confupdtype", " ".into()),
            ("confdeltype", " ".into()),
            ("confmatchtype", " ".into()),
            ("conislocal", true.into()),
            ("conbin", (&check.expression.text).into()),
        ]);
    }
}

fn push_constraints(context: &CatalogContext, rows: &mut Rows) {
    keys::push_constraints(context, rows);
    push_domain_checks(context, rows);
    for definition in tables(&context.snapshot) {
        for check in &definition.checks {
            rows.push([
                ("oid", check.id.into()),
                ("conname", (&check.name).into()),
                ("connamespace", namespace_oid(&context.snapshot, &definition.name.schema).into()),
                ("contype", "c".into()),
                ("convalidated", true.into()),
                ("conrelid", definition.id.into()),
                ("confupdtype", " ".into()),
                ("confdeltype", " ".into()),
                ("confmatchtype", " ".into()),
                ("conislocal", true.into()),
                ("conkey", checked_numbers(definition, check).into()),
                ("conbin", (&check.expression.text).into()),
            ]);
        }
    }
}

/// What a constraint depends on: the columns that it names.
pub(super) fn push_dependencies(context: &CatalogContext, rows: &mut Rows) {
    for definition in tables(&context.snapshot) {
        for check in &definition.checks {
            for number in checked_numbers(definition, check) {
                rows.push([
                    ("classid", PG_CONSTRAINT.into()),
                    ("objid", check.id.into()),
                    ("refclassid", PG_CLASS.into()),
                    ("refobjid", definition.id.into()),
                    ("refobjsubid", number.into()),
                    ("deptype", "a".into()),
                ]);
            }
        }
    }
}

/// A NOT NULL is a constraint here, under a name of its own.
fn not_null_names(context: &CatalogContext, definition: &TableDefinition) -> Vec<(String, String)> {
    let schema = namespace_oid(&context.snapshot, &definition.name.schema).unwrap_or(0);
    let columns = definition.columns.iter().filter(|column| column.not_null);
    let named =
        columns.map(|column| (format!("{schema}_{}_{}_not_null", definition.id, column.id.0), column.name.clone()));
    named.collect()
}

fn push_check_clauses(context: &CatalogContext, rows: &mut Rows) {
    for (known, check) in domain_checks(&context.snapshot) {
        rows.push([
            ("constraint_catalog", (&context.database).into()),
            ("constraint_schema", (&known.name.schema).into()),
            ("constraint_name", (&check.name).into()),
            ("check_clause", format!("({})", shown(&domain_text(check), false)).into()),
        ]);
    }
    for definition in tables(&context.snapshot) {
        let mut push = |name: String, clause: String| {
            rows.push([
                ("constraint_catalog", (&context.database).into()),
                ("constraint_schema", (&definition.name.schema).into()),
                ("constraint_name", name.into()),
                ("check_clause", clause.into()),
            ]);
        };
        for check in &definition.checks {
            push(check.name.clone(), format!("({})", shown(&check.expression.text, false)));
        }
        for (name, column) in not_null_names(context, definition) {
            push(name, format!("{column} IS NOT NULL"));
        }
    }
}

fn push_table_constraints(context: &CatalogContext, rows: &mut Rows) {
    keys::push_table_constraints(context, rows);
    for definition in tables(&context.snapshot) {
        let checks = definition.checks.iter().map(|check| check.name.clone());
        let not_null = not_null_names(context, definition).into_iter().map(|(name, _)| name);
        for name in checks.chain(not_null) {
            rows.push([
                ("constraint_catalog", (&context.database).into()),
                ("constraint_schema", (&definition.name.schema).into()),
                ("constraint_name", name.into()),
                ("table_catalog", (&context.database).into()),
                ("table_schema", (&definition.name.schema).into()),
                ("table_name", (&definition.name.name).into()),
                ("constraint_type", "CHECK".into()),
                ("is_deferrable", "NO".into()),
                ("initially_deferred", "NO".into()),
                ("enforced", "YES".into()),
                ("nulls_distinct", Value::Null),
            ]);
        }
    }
}

fn push_column_usage(context: &CatalogContext, rows: &mut Rows) {
    keys::push_constraint_columns(context, rows);
    for definition in tables(&context.snapshot) {
        for check in &definition.checks {
            for column in checked_columns(definition, check) {
                rows.push([
                    ("table_catalog", (&context.database).into()),
                    ("table_schema", (&definition.name.schema).into()),
                    ("table_name", (&definition.name.name).into()),
                    ("column_name", (&column.name).into()),
                    ("constraint_catalog", (&context.database).into()),
                    ("constraint_schema", (&definition.name.schema).into()),
                    ("constraint_name", (&check.name).into()),
                ]);
            }
        }
    }
}
