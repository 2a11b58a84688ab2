//! information_schema: the same objects in the SQL standard's words.

use super::classes::{SYSTEM_ROLE, columns_of, named_relations, shown_default, view_text};
use super::constraints::domain_checks;
use super::exported::type_by_oid;
use super::types::{bare_name, base_oid, user_type};
use super::values::{Rows, Value};
use super::{CatalogContext, LiveRows};
use crate::bound_expressions::shown;
use catalog::definition::{Column, IdentityKind};
use catalog::ids::ColumnId;
use catalog::sequence::SequenceDefinition;
use catalog::snapshot::Relation;
use catalog::sql_type::SqlType;
use catalog::user_type::{DomainDefinition, TypeDefinition};

pub(super) fn live_rows(name: &str) -> Option<LiveRows> {
    Some(match name {
        "tables" => push_tables,
        "columns" => push_columns,
        "schemata" => push_schemata,
        "domains" => push_domains,
        "domain_constraints" => push_domain_constraints,
        "column_domain_usage" => push_domain_columns,
        "views" => push_views,
        "information_schema_catalog_name" => |context: &CatalogContext, rows: &mut Rows| {
            rows.push([("catalog_name", (&context.database).into())]);
        },
        "enabled_roles" => |context: &CatalogContext, rows: &mut Rows| {
            rows.push([("role_name", (&context.user).into())]);
        },
        "character_sets" => push_character_sets,
        "table_privileges" | "role_table_grants" => push_privileges,
        _ => return None,
    })
}

/// The schemas that information_schema shows beside the user's, with their relations' names.
const SYSTEM_SCHEMAS: [&str; 3] = ["information_schema", "meridian", "pg_catalog"];

/// Materialized views are tables that nothing can be inserted into: PostgreSQL leaves them out of `tables`, but a client that
/// lists what it may read from there would never find them.
fn push_tables(context: &CatalogContext, rows: &mut Rows) {
    let mut push = |schema: &str, name: &str, kind: &str, insertable: &str| {
        rows.push([
            ("table_catalog", (&context.database).into()),
            ("table_schema", schema.into()),
            ("table_name", name.into()),
            ("table_type", kind.into()),
            ("is_insertable_into", insertable.into()),
            ("is_typed", "NO".into()),
        ]);
    };
    for (_, name, relation) in named_relations(&context.snapshot) {
        match relation {
            Relation::Table(_) | Relation::View(_) if context.snapshot.is_temporary(name) => {
                let insertable = if matches!(relation, Relation::Table(_)) { "YES" } else { "NO" };
                push(&name.schema, &name.name, "LOCAL TEMPORARY", insertable);
            }
            Relation::Table(_) => push(&name.schema, &name.name, "BASE TABLE", "YES"),
            Relation::View(_) => push(&name.schema, &name.name, "VIEW", "NO"),
            Relation::Sequence(_) => {}
        }
    }
    for schema in SYSTEM_SCHEMAS {
        for name in super::relation_names(schema) {
            push(schema, name, "VIEW", "NO");
        }
    }
}

fn push_columns(context: &CatalogContext, rows: &mut Rows) {
    for (_, name, relation) in named_relations(&context.snapshot) {
        if matches!(relation, Relation::Sequence(_)) {
            continue;
        }
        let updatable = if matches!(relation, Relation::Table(_)) { "YES" } else { "NO" };
        for column in columns_of(&relation) {
            let number = column.id.0 as usize;
            push_column(rows, context, (&name.schema, &name.name), number, column, updatable);
        }
    }
}

fn push_column(
    rows: &mut Rows,
    context: &CatalogContext,
    (schema, table): (&str, &str),
    number: usize,
    column: &Column,
    updatable: &str,
) {
    let database = context.database.as_str();
    let sequence = column.identity.as_ref().and_then(|identity| context.snapshot.sequences.get(&identity.sequence));
    let number_of = |value: fn(&SequenceDefinition) -> i64| {
        Value::from(sequence.map(|sequence| value(&sequence.definition).to_string()))
    };
    let domain = column.domain.as_ref().and_then(|domain| context.snapshot.types.get(&domain.id));
    let base = domain.and_then(|known| known.domain());
    let facts = match base.and_then(|base| base.over.as_ref()) {
        Some(_) => TypeFacts::of_user(),
        None => TypeFacts::of(column),
    };
    let oid = base.map_or_else(|| i64::from(column.sql_type.oid()), base_oid);
    let user = user_type(&context.snapshot, oid);
    rows.push([
        ("table_catalog", database.into()),
        ("table_schema", schema.into()),
        ("table_name", table.into()),
        ("column_name", (&column.name).into()),
        ("ordinal_position", number.into()),
        ("column_default", default_value(context, column.default.as_deref(), &column.sql_type)),
        ("is_nullable", if column.not_null { "NO" } else { "YES" }.into()),
        ("data_type", facts.data_type.into()),
        ("character_maximum_length", facts.length.into()),
        ("character_octet_length", facts.octets.into()),
        ("numeric_precision", facts.numeric.0),
        ("numeric_precision_radix", facts.numeric.1),
        ("numeric_scale", facts.numeric.2),
        ("datetime_precision", facts.time_precision.into()),
        ("domain_catalog", domain.map(|_| database).into()),
        ("domain_schema", domain.map(|known| known.name.schema.as_str()).into()),
        ("domain_name", domain.map(|known| known.name.name.as_str()).into()),
        ("udt_catalog", database.into()),
        ("udt_schema", user.map_or("pg_catalog", |(known, _)| known.name.schema.as_str()).into()),
        (
            "udt_name",
            type_by_oid(oid).map(|row| row.name.to_string()).or_else(|| bare_name(&context.snapshot, oid)).into(),
        ),
        ("dtd_identifier", number.to_string().into()),
        ("is_self_referencing", "NO".into()),
        ("is_identity", if column.identity.is_some() { "YES" } else { "NO" }.into()),
        (
            "identity_generation",
            column
                .identity
                .as_ref()
                .map(|identity| match identity.kind {
                    IdentityKind::Always => "ALWAYS",
                    IdentityKind::ByDefault => "BY DEFAULT",
                })
                .into(),
        ),
        ("identity_start", number_of(|sequence| sequence.start)),
        ("identity_increment", number_of(|sequence| sequence.increment)),
        ("identity_maximum", number_of(|sequence| sequence.max)),
        ("identity_minimum", number_of(|sequence| sequence.min)),
        (
            "identity_cycle",
            if sequence.is_some_and(|sequence| sequence.definition.cycle) { "YES" } else { "NO" }.into(),
        ),
        ("is_generated", if column.generated.is_some() { "ALWAYS" } else { "NEVER" }.into()),
        ("generation_expression", column.generated.as_ref().map(|generated| shown(&generated.text, false)).into()),
        ("is_updatable", updatable.into()),
    ]);
}

fn default_value(context: &CatalogContext, default: Option<&str>, sql_type: &SqlType) -> Value {
    default.map(|default| shown(&shown_default(context, default, sql_type), false)).into()
}

fn push_domains(context: &CatalogContext, rows: &mut Rows) {
    let database = context.database.as_str();
    for (known, domain) in domains_of(context) {
        // A domain's facts are those of a column of its base type.
        let column = Column { digits: domain.digits, ..Column::new(ColumnId(0), "", domain.sql_type.clone()) };
        let facts = match (&domain.over, &domain.sql_type) {
            (Some(_), _) => TypeFacts::of_user(),
            (None, SqlType::Array(_)) => TypeFacts { data_type: column.sql_type.base_name(), ..TypeFacts::of(&column) },
            _ => TypeFacts::of(&column),
        };
        let oid = base_oid(domain);
        let user = user_type(&context.snapshot, oid);
        rows.push([
            ("domain_catalog", database.into()),
            ("domain_schema", (&known.name.schema).into()),
            ("domain_name", (&known.name.name).into()),
            ("data_type", facts.data_type.into()),
            ("character_maximum_length", facts.length.into()),
            ("character_octet_length", facts.octets.into()),
            ("numeric_precision", facts.numeric.0),
            ("numeric_precision_radix", facts.numeric.1),
            ("numeric_scale", facts.numeric.2),
            ("datetime_precision", facts.time_precision.into()),
            ("domain_default", default_value(context, domain.default.as_deref(), &domain.sql_type)),
            ("udt_catalog", database.into()),
            ("udt_schema", user.map_or("pg_catalog", |(known, _)| known.name.schema.as_str()).into()),
            (
                "udt_name",
                type_by_oid(oid).map(|row| row.name.to_string()).or_else(|| bare_name(&context.snapshot, oid)).into(),
            ),
            ("dtd_identifier", "1".into()),
        ]);
    }
}

fn domains_of(context: &CatalogContext) -> impl Iterator<Item = (&TypeDefinition, &DomainDefinition)> {
    context.snapshot.types.values().filter_map(|known| known.domain().map(|domain| (known.as_ref(), domain)))
}

fn push_domain_constraints(context: &CatalogContext, rows: &mut Rows) {
    for (known, check) in domain_checks(&context.snapshot) {
        rows.push([
            ("constraint_catalog", (&context.database).into()),
            ("constraint_schema", (&known.name.schema).into()),
            ("constraint_name", (&check.name).into()),
            ("domain_catalog", (&context.database).into()),
            ("domain_schema", (&known.name.schema).into()),
            ("domain_name", (&known.name.name).into()),
            ("is_deferrable", "NO".into()),
            ("initially_deferred", "NO".into()),
        ]);
    }
}

fn push_domain_columns(context: &CatalogContext, rows: &mut Rows) {
    for (_, name, relation) in named_relations(&context.snapshot) {
        if matches!(relation, Relation::Sequence(_)) {
            continue;
        }
        for column in columns_of(&relation) {
            let domain = column.domain.as_ref().and_then(|domain| context.snapshot.types.get(&domain.id));
            let Some(known) = domain else { continue };
            rows.push([
                ("domain_catalog", (&context.database).into()),
                ("domain_schema", (&known.name.schema).into()),
                ("domain_name", (&known.name.name).into()),
                ("table_catalog", (&context.database).into()),
                ("table_schema", (&name.schema).into()),
                ("table_name", (&name.name).into()),
                ("column_name", (&column.name).into()),
            ]);
        }
    }
}

/// What information_schema says of a type.
struct TypeFacts {
    data_type: String,
    length: Option<i64>,
    octets: Option<i64>,
    numeric: (Value, Value, Value),
    time_precision: Option<i64>,
}

impl TypeFacts {
    /// Of a type of the user's, of which nothing else is said.
    fn of_user() -> Self {
        let numeric = (Value::Null, Value::Null, Value::Null);
        Self { data_type: "USER-DEFINED".to_string(), length: None, octets: None, numeric, time_precision: None }
    }

    fn of(column: &Column) -> Self {
        let length = match &column.sql_type {
            SqlType::Varchar { length_max } | SqlType::Bpchar { length: length_max } => length_max.map(i64::from),
            _ => None,
        };
        let octets = match &column.sql_type {
            SqlType::Varchar { length_max: Some(length) } | SqlType::Bpchar { length: Some(length) } => {
                Some(i64::from(*length) * 4)
            }
            SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name => Some(1 << 30),
            _ => None,
        };
        let time_precision = match &column.sql_type {
            SqlType::Date => Some(0),
            SqlType::Time | SqlType::TimeTz | SqlType::Timestamp | SqlType::TimestampTz | SqlType::Interval => {
                Some(column.digits.map_or(6, i64::from))
            }
            _ => None,
        };
        let data_type = match &column.sql_type {
            SqlType::Array(_) => "ARRAY".to_string(),
            SqlType::Enum(_) => "USER-DEFINED".to_string(),
            other => other.base_name(),
        };
        Self { data_type, length, octets, numeric: numeric_facts(&column.sql_type), time_precision }
    }
}

/// Precision, its radix, and scale.
fn numeric_facts(sql_type: &SqlType) -> (Value, Value, Value) {
    let binary = |bits: i64| (bits.into(), 2.into(), 0.into());
    match sql_type {
        SqlType::Int2 => binary(16),
        SqlType::Int4 => binary(32),
        SqlType::Int8 => binary(64),
        SqlType::Float4 => (24.into(), 2.into(), Value::Null),
        SqlType::Float8 => (53.into(), 2.into(), Value::Null),
        SqlType::Numeric { precision, scale, .. } => {
            (i64::from(*precision).into(), 10.into(), i64::from(*scale).into())
        }
        _ => (Value::Null, Value::Null, Value::Null),
    }
}

fn push_schemata(context: &CatalogContext, rows: &mut Rows) {
    let user = context.snapshot.schemas.keys().map(String::as_str);
    for schema in SYSTEM_SCHEMAS.into_iter().chain(user) {
        rows.push([
            ("catalog_name", (&context.database).into()),
            ("schema_name", schema.into()),
            ("schema_owner", SYSTEM_ROLE.1.into()),
        ]);
    }
}

/// Views, materialized ones too; see [`push_tables`].
fn push_views(context: &CatalogContext, rows: &mut Rows) {
    for (_, name, relation) in named_relations(&context.snapshot) {
        let Relation::View(view) = relation else { continue };
        rows.push([
            ("table_catalog", (&context.database).into()),
            ("table_schema", (&name.schema).into()),
            ("table_name", (&name.name).into()),
            ("view_definition", view_text(&view.definition).into()),
            ("check_option", "NONE".into()),
            ("is_updatable", "NO".into()),
            ("is_insertable_into", "NO".into()),
            ("is_trigger_updatable", "NO".into()),
            ("is_trigger_deletable", "NO".into()),
            ("is_trigger_insertable_into", "NO".into()),
        ]);
    }
}

fn push_character_sets(context: &CatalogContext, rows: &mut Rows) {
    rows.push([
        ("character_set_name", "UTF8".into()),
        ("character_repertoire", "UCS".into()),
        ("form_of_use", "UTF8".into()),
        ("default_collate_catalog", (&context.database).into()),
        ("default_collate_schema", "pg_catalog".into()),
        ("default_collate_name", "C.UTF-8".into()),
    ]);
}

fn push_privileges(context: &CatalogContext, rows: &mut Rows) {
    for (_, name, relation) in named_relations(&context.snapshot) {
        let privileges: &[&str] = match relation {
            Relation::Table(_) => &["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE"],
            Relation::View(_) => &["SELECT"],
            Relation::Sequence(_) => continue,
        };
        for privilege in privileges {
            rows.push([
                ("grantor", SYSTEM_ROLE.1.into()),
                ("grantee", (&context.user).into()),
                ("table_catalog", (&context.database).into()),
                ("table_schema", (&name.schema).into()),
                ("table_name", (&name.name).into()),
                ("privilege_type", (*privilege).into()),
                ("is_grantable", "YES".into()),
                ("with_hierarchy", if *privilege == "SELECT" { "YES" } else { "NO" }.into()),
            ]);
        }
    }
}
