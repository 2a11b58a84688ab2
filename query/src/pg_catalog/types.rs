//! The user's types in `pg_type` and `pg_enum`, and their names.

use super::classes::{SYSTEM_ROLE, column_collation, namespace_oid, shown_default};
use super::exported::type_by_oid;
use super::values::{Rows, Value};
use super::{CatalogContext, LiveRows, format_type, function_oid, type_traits};
use catalog::enum_type::EnumLabel;
use catalog::ids::ObjectId;
use catalog::snapshot::Snapshot;
use catalog::type_names::shown_name;
use catalog::user_type::{DomainDefinition, TypeDefinition, TypeKind};

pub(super) fn live_rows(name: &str) -> Option<LiveRows> {
    Some(match name {
        "pg_type" => push_types,
        "pg_enum" => push_labels,
        _ => return None,
    })
}

/// The user's type with an OID, and whether that is the one of arrays of it.
pub(crate) fn user_type(snapshot: &Snapshot, oid: i64) -> Option<(&TypeDefinition, bool)> {
    let id = ObjectId(u32::try_from(oid).ok()?);
    match snapshot.types.get(&id) {
        Some(known) => Some((known, false)),
        None => snapshot.types.values().find(|known| known.array == id).map(|known| (known.as_ref(), true)),
    }
}

/// `format_type` with the user's types.
pub(crate) fn type_name(snapshot: &Snapshot, oid: i64, typmod: Option<i64>) -> String {
    match user_type(snapshot, oid) {
        Some((known, false)) => shown_name(&known.name),
        Some((known, true)) => format!("{}[]", shown_name(&known.name)),
        None => format_type(oid, typmod),
    }
}

/// `pg_type.typname`.
pub(super) fn bare_name(snapshot: &Snapshot, oid: i64) -> Option<String> {
    user_type(snapshot, oid).map(|(known, is_array)| match is_array {
        true => format!("_{}", known.name.name),
        false => known.name.name.clone(),
    })
}

pub(super) fn labels_of(known: &TypeDefinition) -> &[EnumLabel] {
    match &known.kind {
        TypeKind::Enum { labels } => labels,
        TypeKind::Domain(_) => &[],
    }
}

/// The OID of the type that a domain is over.
pub(super) fn base_oid(domain: &DomainDefinition) -> i64 {
    domain.over.as_ref().map_or_else(|| domain.sql_type.oid().into(), |below| below.id.0.into())
}

/// A domain's modifier.
pub(super) fn base_typmod(domain: &DomainDefinition) -> i64 {
    domain.digits.map_or_else(|| domain.sql_type.typmod().into(), i64::from)
}

fn push_types(context: &CatalogContext, rows: &mut Rows) {
    let function = |name: &str| Value::from(function_oid(name));
    for known in context.snapshot.types.values() {
        let namespace = || Value::from(namespace_oid(&context.snapshot, &known.name.schema));
        match &known.kind {
            TypeKind::Domain(domain) => push_domain(context, rows, known, domain),
            TypeKind::Enum { .. } => rows.push([
                ("oid", known.id.into()),
                ("typname", (&known.name.name).into()),
                ("typnamespace", namespace()),
                ("typowner", SYSTEM_ROLE.0.into()),
                ("typlen", 4.into()),
                ("typbyval", true.into()),
                ("typtype", "e".into()),
                ("typcategory", "E".into()),
                ("typisdefined", true.into()),
                ("typdelim", ",".into()),
                ("typarray", known.array.into()),
                ("typinput", function("enum_in")),
                ("typoutput", function("enum_out")),
                ("typreceive", function("enum_recv")),
                ("typsend", function("enum_send")),
                ("typalign", "i".into()),
                ("typstorage", "p".into()),
                ("typtypmod", (-1).into()),
            ]),
        }
        rows.push([
            ("oid", known.array.into()),
            ("typname", format!("_{}", known.name.name).into()),
            ("typnamespace", namespace()),
            ("typowner", SYSTEM_ROLE.0.into()),
            ("typlen", (-1).into()),
            ("typtype", "b".into()),
            ("typcategory", "A".into()),
            ("typisdefined", true.into()),
            ("typdelim", ",".into()),
            ("typelem", known.id.into()),
            ("typinput", function("array_in")),
            ("typoutput", function("array_out")),
            ("typreceive", function("array_recv")),
            ("typsend", function("array_send")),
            ("typsubscript", function("array_subscript_handler")),
            ("typalign", "i".into()),
            ("typstorage", "x".into()),
            ("typtypmod", (-1).into()),
        ]);
    }
}

fn push_domain(context: &CatalogContext, rows: &mut Rows, known: &TypeDefinition, domain: &DomainDefinition) {
    let oid = domain.sql_type.oid();
    let base = type_by_oid(oid.into());
    let length = domain.sql_type.typlen();
    let category = type_traits(oid).map_or(b'E', |traits| traits.category);
    rows.push([
        ("oid", known.id.into()),
        ("typname", (&known.name.name).into()),
        ("typnamespace", Value::from(namespace_oid(&context.snapshot, &known.name.schema))),
        ("typowner", SYSTEM_ROLE.0.into()),
        ("typlen", length.into()),
        ("typbyval", base.map_or(length > 0, |base| base.by_value).into()),
        ("typtype", "d".into()),
        ("typcategory", char::from(category).to_string().into()),
        ("typisdefined", true.into()),
        ("typdelim", ",".into()),
        ("typarray", known.array.into()),
        ("typinput", Value::from(function_oid("domain_in"))),
        ("typreceive", Value::from(function_oid("domain_recv"))),
        ("typalign", base.map_or("i", |base| base.align).into()),
        ("typstorage", base.map_or(if length < 0 { "x" } else { "p" }, |base| base.storage).into()),
        ("typnotnull", domain.not_null.into()),
        ("typbasetype", base_oid(domain).into()),
        ("typtypmod", base_typmod(domain).into()),
        ("typcollation", column_collation(&domain.sql_type).into()),
        (
            "typdefault",
            domain.default.as_deref().map(|default| shown_default(context, default, &domain.sql_type)).into(),
        ),
    ]);
}

fn push_labels(context: &CatalogContext, rows: &mut Rows) {
    for known in context.snapshot.types.values() {
        for label in labels_of(known) {
            rows.push([
                ("oid", label.id.into()),
                ("enumtypid", known.id.into()),
                ("enumsortorder", Value::Float(label.sort_order().into())),
                ("enumlabel", (&label.name).into()),
            ]);
        }
    }
}
