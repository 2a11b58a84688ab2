//! Databases, roles, settings, sessions and cursors: what is true of the server and not of its tables.

use super::classes::SYSTEM_ROLE;
use super::values::Rows;
use super::{CatalogContext, CopyRow, LiveRows};

/// PostgreSQL's OID of its first database, and of the default tablespace.
pub const DATABASE_OID: i64 = 5;
const DEFAULT_TABLESPACE: i64 = 1663;
const GLOBAL_TABLESPACE: i64 = 1664;
const UTF8: i64 = 6;
/// The OID of a session's role that is not the owner of the system; below those of user objects.
const SESSION_ROLE_OID: i64 = 15_899;

pub(super) fn live_rows(name: &str) -> Option<LiveRows> {
    Some(match name {
        "pg_database" => push_databases,
        "pg_tablespace" => push_tablespaces,
        "pg_roles" => push_roles,
        "pg_authid" => push_authentication,
        "pg_user" => push_users,
        "pg_shadow" => push_users,
        "pg_settings" => push_settings,
        "pg_stat_activity" => push_activity,
        "pg_stat_progress_copy" => push_copies,
        "pg_prepared_statements" => push_prepared,
        "pg_cursors" => push_cursors,
        "pg_listening_channels" => push_listening_channels,
        "pg_timezone_names" => push_time_zones,
        "pg_stat_database" => push_database_statistics,
        _ => return None,
    })
}

/// The OID of a role by name.
pub fn role_oid(context_user: &str, role: &str) -> Option<i64> {
    if role == SYSTEM_ROLE.1 {
        return Some(SYSTEM_ROLE.0);
    }
    (role == context_user).then_some(SESSION_ROLE_OID)
}

/// The name of a role by OID.
pub fn role_name(context_user: &str, oid: i64) -> Option<&str> {
    if oid == SYSTEM_ROLE.0 {
        return Some(SYSTEM_ROLE.1);
    }
    (oid == SESSION_ROLE_OID).then_some(context_user)
}

fn roles(context: &CatalogContext) -> Vec<(i64, &str)> {
    let mut roles = vec![SYSTEM_ROLE];
    if context.user != SYSTEM_ROLE.1 {
        roles.push((SESSION_ROLE_OID, &context.user));
    }
    roles
}

fn push_databases(context: &CatalogContext, rows: &mut Rows) {
    rows.push([
        ("oid", DATABASE_OID.into()),
        ("datname", (&context.database).into()),
        ("datdba", SYSTEM_ROLE.0.into()),
        ("encoding", UTF8.into()),
        ("datlocprovider", "c".into()),
        ("datallowconn", true.into()),
        ("datconnlimit", (-1).into()),
        ("dattablespace", DEFAULT_TABLESPACE.into()),
        ("datcollate", "C.UTF-8".into()),
        ("datctype", "C.UTF-8".into()),
    ]);
}

fn push_tablespaces(_: &CatalogContext, rows: &mut Rows) {
    for (oid, name) in [(DEFAULT_TABLESPACE, "pg_default"), (GLOBAL_TABLESPACE, "pg_global")] {
        rows.push([("oid", oid.into()), ("spcname", name.into()), ("spcowner", SYSTEM_ROLE.0.into())]);
    }
}

fn push_roles(context: &CatalogContext, rows: &mut Rows) {
    for (oid, name) in roles(context) {
        rows.push([
            ("oid", oid.into()),
            ("rolname", name.into()),
            ("rolsuper", true.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", true.into()),
            ("rolcreatedb", true.into()),
            ("rolcanlogin", true.into()),
            ("rolreplication", false.into()),
            ("rolconnlimit", (-1).into()),
            ("rolpassword", "********".into()),
            ("rolbypassrls", true.into()),
        ]);
    }
}

fn push_authentication(context: &CatalogContext, rows: &mut Rows) {
    for (oid, name) in roles(context) {
        rows.push([
            ("oid", oid.into()),
            ("rolname", name.into()),
            ("rolsuper", true.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", true.into()),
            ("rolcreatedb", true.into()),
            ("rolcanlogin", true.into()),
            ("rolbypassrls", true.into()),
            ("rolconnlimit", (-1).into()),
        ]);
    }
}

fn push_users(context: &CatalogContext, rows: &mut Rows) {
    for (oid, name) in roles(context) {
        rows.push([
            ("usename", name.into()),
            ("usesysid", oid.into()),
            ("usecreatedb", true.into()),
            ("usesuper", true.into()),
            ("userepl", false.into()),
            ("usebypassrls", true.into()),
        ]);
    }
}

fn push_settings(context: &CatalogContext, rows: &mut Rows) {
    for row in &context.settings {
        rows.push([
            ("name", (&row.name).into()),
            ("setting", (&row.setting).into()),
            ("unit", row.unit.clone().into()),
            ("category", (&row.category).into()),
            ("short_desc", (&row.short_desc).into()),
            ("context", (&row.context).into()),
            ("vartype", (&row.vartype).into()),
            ("source", (&row.source).into()),
            ("min_val", row.min_val.clone().into()),
            ("max_val", row.max_val.clone().into()),
            ("enumvals", row.enumvals.clone().into()),
            ("boot_val", row.boot_val.clone().into()),
            ("reset_val", row.reset_val.clone().into()),
            ("pending_restart", false.into()),
        ]);
    }
}

fn push_activity(context: &CatalogContext, rows: &mut Rows) {
    for row in &context.activity {
        let waits_for = match (row.state.as_str(), row.waits_for_memory) {
            ("active", true) => Some(("IPC", "MemoryGrant")),
            ("active", false) => None,
            _ => Some(("Client", "ClientRead")),
        };
        rows.push([
            ("datid", DATABASE_OID.into()),
            ("datname", (&row.database).into()),
            ("pid", row.pid.into()),
            ("usesysid", role_oid(&context.user, &row.user).into()),
            ("usename", (&row.user).into()),
            ("application_name", (&row.application_name).into()),
            ("client_addr", row.client.map(|client| client.ip().to_string()).into()),
            ("client_port", row.client.map(|client| i32::from(client.port())).into()),
            ("backend_start", row.backend_start_micros.into()),
            ("xact_start", row.transaction_start_micros.into()),
            ("query_start", row.query_start_micros.into()),
            ("state_change", row.state_change_micros.into()),
            ("wait_event_type", waits_for.map(|(kind, _)| kind).into()),
            ("wait_event", waits_for.map(|(_, event)| event).into()),
            ("state", (&row.state).into()),
            ("query", (&row.query).into()),
            ("backend_type", "client backend".into()),
        ]);
    }
}

fn push_copies(context: &CatalogContext, rows: &mut Rows) {
    for CopyRow { pid, progress } in &context.copies {
        rows.push([
            ("pid", (*pid).into()),
            ("datid", DATABASE_OID.into()),
            ("datname", (&context.database).into()),
            ("relid", progress.table.map_or(0, |table| i64::from(table.0)).into()),
            ("command", progress.command.into()),
            ("type", progress.kind.into()),
            ("bytes_processed", progress.bytes_processed.into()),
            ("bytes_total", progress.bytes_total.into()),
            ("tuples_processed", progress.tuples_processed.into()),
            ("tuples_excluded", progress.tuples_excluded.into()),
        ]);
    }
}

fn push_prepared(context: &CatalogContext, rows: &mut Rows) {
    for row in &context.prepared {
        rows.push([
            ("name", (&row.name).into()),
            ("statement", (&row.statement).into()),
            ("prepare_time", row.prepared_at_micros.into()),
            ("parameter_types", row.parameter_types.clone().into()),
            ("from_sql", row.from_sql.into()),
            ("generic_plans", 0.into()),
            ("custom_plans", 0.into()),
        ]);
    }
}

fn push_cursors(context: &CatalogContext, rows: &mut Rows) {
    for row in &context.cursors {
        rows.push([
            ("name", (&row.name).into()),
            ("statement", (&row.statement).into()),
            ("is_holdable", row.holdable.into()),
            ("is_binary", row.binary.into()),
            ("is_scrollable", row.scrollable.into()),
            ("creation_time", row.created_at_micros.into()),
        ]);
    }
}

fn push_listening_channels(context: &CatalogContext, rows: &mut Rows) {
    for channel in &context.listening_channels {
        rows.push([("pg_listening_channels", channel.into())]);
    }
}

fn push_time_zones(_: &CatalogContext, rows: &mut Rows) {
    for zone in chrono_tz::TZ_VARIANTS {
        rows.push([("name", zone.name().into())]);
    }
}

fn push_database_statistics(context: &CatalogContext, rows: &mut Rows) {
    let connections = context.activity.iter().filter(|row| row.database == context.database).count();
    rows.push([
        ("datid", DATABASE_OID.into()),
        ("datname", (&context.database).into()),
        ("numbackends", connections.into()),
        ("xact_commit", context.snapshot.seq.0.into()),
    ]);
}
