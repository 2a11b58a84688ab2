//! The user's types in `pg_type` and `pg_enum`, and their names.

use super::classes::{SYSTEM_ROLE, namespace_oid};
use super::values::{Rows, Value};
use super::{CatalogContext, LiveRows, format_type, function_oid};
use catalog::enum_type::{EnumLabel, shown_name};
use catalog::ids::ObjectId;
use catalog::snapshot::Snapshot;
use catalog::user_type::{TypeDefinition, TypeKind};

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
    let TypeKind::Enum { labels } = &known.kind;
    labels
}

fn push_types(context: &CatalogContext, rows: &mut Rows) {
    let function = |name: &str| Value::from(function_oid(name));
    for known in context.snapshot.types.values() {
        let namespace = || Value::from(namespace_oid(&context.snapshot, &known.name.schema));
        rows.push([
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
        ]);
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
