//! Sequences, in PostgreSQL's relations and in those of information_schema.

use super::classes::{PG_CLASS, SYSTEM_ROLE, default_oid};
use super::values::{Rows, Value};
use super::{CatalogContext, LiveRows};
use crate::bound_expressions::takes_numbers;
use catalog::sequence::SequenceDefinition;
use catalog::sql_type::SqlType;
use std::sync::Arc;

/// The OID of `pg_attrdef`, to which defaults belong.
const PG_ATTRDEF: i64 = 2604;

pub(super) fn live_rows(schema: &str, name: &str) -> Option<LiveRows> {
    Some(match (schema, name) {
        ("pg_catalog", "pg_sequence") => push_sequences,
        ("pg_catalog", "pg_sequences") => push_sequence_values,
        ("information_schema", "sequences") => push_standard,
        _ => return None,
    })
}

/// By OID.
fn definitions(context: &CatalogContext) -> impl Iterator<Item = &Arc<SequenceDefinition>> {
    context.snapshot.sequences.values().map(|sequence| &sequence.definition)
}

fn push_sequences(context: &CatalogContext, rows: &mut Rows) {
    for sequence in definitions(context) {
        rows.push([
            ("seqrelid", sequence.id.into()),
            ("seqtypid", sequence.sql_type.oid().into()),
            ("seqstart", sequence.start.into()),
            ("seqincrement", sequence.increment.into()),
            ("seqmax", sequence.max.into()),
            ("seqmin", sequence.min.into()),
            ("seqcache", sequence.cache.into()),
            ("seqcycle", sequence.cycle.into()),
        ]);
    }
}

fn push_sequence_values(context: &CatalogContext, rows: &mut Rows) {
    for sequence in definitions(context) {
        rows.push([
            ("schemaname", (&sequence.name.schema).into()),
            ("sequencename", (&sequence.name.name).into()),
            ("sequenceowner", SYSTEM_ROLE.1.into()),
            ("data_type", sequence.sql_type.oid().into()),
            ("start_value", sequence.start.into()),
            ("min_value", sequence.min.into()),
            ("max_value", sequence.max.into()),
            ("increment_by", sequence.increment.into()),
            ("cycle", sequence.cycle.into()),
            ("cache_size", sequence.cache.into()),
            ("last_value", context.sequence_values.get(&sequence.id).copied().into()),
        ]);
    }
}

/// A sequence goes with its column, and a column's default needs the sequences that it takes numbers from.
pub(super) fn push_dependencies(context: &CatalogContext, rows: &mut Rows) {
    for sequence in definitions(context) {
        let Some(owner) = sequence.owner else { continue };
        let Some(table) = context.snapshot.tables.get(&owner.table) else { continue };
        let Some(column) = table.definition.column(owner.column) else { continue };
        rows.push([
            ("classid", PG_CLASS.into()),
            ("objid", sequence.id.into()),
            ("refclassid", PG_CLASS.into()),
            ("refobjid", owner.table.into()),
            ("refobjsubid", i64::from(column.id.0).into()),
            ("deptype", if column.identity.is_some() { "i" } else { "a" }.into()),
        ]);
    }
    for table in context.snapshot.tables.values() {
        for column in &table.definition.columns {
            if column.default.is_none() {
                continue;
            }
            for sequence in definitions(context).filter(|sequence| takes_numbers(column, sequence.id)) {
                rows.push([
                    ("classid", PG_ATTRDEF.into()),
                    ("objid", default_oid(table.definition.id, column.id).into()),
                    ("refclassid", PG_CLASS.into()),
                    ("refobjid", sequence.id.into()),
                    ("deptype", "n".into()),
                ]);
            }
        }
    }
}

fn push_standard(context: &CatalogContext, rows: &mut Rows) {
    // Those of identity columns are a part of their tables here.
    let is_identity = |sequence: &SequenceDefinition| {
        let table = sequence.owner.and_then(|owner| Some((context.snapshot.tables.get(&owner.table)?, owner.column)));
        let column = table.and_then(|(table, column)| table.definition.column(column));
        column.is_some_and(|column| column.identity.is_some())
    };
    for sequence in definitions(context).filter(|sequence| !is_identity(sequence)) {
        let bits = match sequence.sql_type {
            SqlType::Int2 => 16,
            SqlType::Int4 => 32,
            _ => 64,
        };
        rows.push([
            ("sequence_catalog", (&context.database).into()),
            ("sequence_schema", (&sequence.name.schema).into()),
            ("sequence_name", (&sequence.name.name).into()),
            ("data_type", sequence.sql_type.base_name().into()),
            ("numeric_precision", bits.into()),
            ("numeric_precision_radix", 2.into()),
            ("numeric_scale", 0.into()),
            ("start_value", sequence.start.to_string().into()),
            ("minimum_value", sequence.min.to_string().into()),
            ("maximum_value", sequence.max.to_string().into()),
            ("increment", sequence.increment.to_string().into()),
            ("cycle_option", Value::from(if sequence.cycle { "YES" } else { "NO" })),
        ]);
    }
}
