//! About the session and the server: who, where, which settings, which privileges.
//!
//! There are no privileges yet: every role may do everything, and the functions say so.

use super::names::read_class;
use super::{Definition, SessionFacts};
use crate::error::{ErrorKind, QueryError};
use crate::pg_catalog::{Value, encodings, namespace_oid};
use catalog::sql_type::SqlType;
use std::net::SocketAddr;

type Answer = Result<Value, QueryError>;

pub(super) fn definitions() -> Vec<Definition> {
    let mut all = identity();
    all.extend(settings());
    all.extend(server());
    all.extend(privileges());
    all.extend(encoding());
    all.push(Definition::new("pg_notify", 2..=2, SqlType::Text, notify).called_on_null().volatile());
    all
}

/// As in PostgreSQL, NULL is an empty text: a payload, but no channel.
fn notify(facts: &SessionFacts, args: &[Value]) -> Answer {
    let channel = args[0].as_text().unwrap_or_default();
    facts.announcements.lock().notify(channel, args[1].as_text().unwrap_or_default())?;
    Ok("".into())
}

fn identity() -> Vec<Definition> {
    let user: super::Body = |facts, _| Ok((&facts.user).into());
    let database: super::Body = |facts, _| Ok((&facts.database).into());
    let mut all: Vec<Definition> = ["current_user", "session_user", "user", "current_role"]
        .into_iter()
        .map(|name| Definition::new(name, 0..=0, SqlType::Name, user))
        .collect();
    all.extend(
        ["current_database", "current_catalog"].map(|name| Definition::new(name, 0..=0, SqlType::Name, database)),
    );
    all.extend([
        Definition::new("version", 0..=0, SqlType::Text, |facts, _| Ok((&facts.version).into())),
        Definition::new("current_schema", 0..=0, SqlType::Name, |facts, _| {
            Ok(facts.effective_path(false).into_iter().next().into())
        }),
        Definition::new("current_schemas", 1..=1, SqlType::Array(Box::new(SqlType::Name)), |facts, args| {
            Ok(facts.effective_path(args[0].as_bool() == Some(true)).into())
        }),
        Definition::new("pg_backend_pid", 0..=0, SqlType::Int4, |facts, _| Ok(facts.process_id.into())),
        Definition::new("current_query", 0..=0, SqlType::Text, |facts, _| {
            Ok(facts.backends.statement(facts.process_id).into())
        })
        .volatile(),
        Definition::new("pg_cancel_backend", 1..=1, SqlType::Bool, |facts, args| {
            Ok(process_id(&args[0]).is_some_and(|id| facts.backends.cancel(id)).into())
        })
        .volatile(),
        Definition::new("pg_terminate_backend", 1..=2, SqlType::Bool, terminate_backend).volatile(),
        Definition::new("inet_client_addr", 0..=0, SqlType::Text, |facts, _| Ok(address(client_end(facts)))),
        Definition::new("inet_client_port", 0..=0, SqlType::Int4, |facts, _| Ok(port(client_end(facts)))),
        Definition::new("inet_server_addr", 0..=0, SqlType::Text, |facts, _| Ok(address(server_end(facts)))),
        Definition::new("inet_server_port", 0..=0, SqlType::Int4, |facts, _| Ok(port(server_end(facts)))),
    ]);
    all
}

fn client_end(facts: &SessionFacts) -> Option<SocketAddr> {
    facts.ends.map(|(client, _)| client)
}

fn server_end(facts: &SessionFacts) -> Option<SocketAddr> {
    facts.ends.map(|(_, server)| server)
}

fn address(end: Option<SocketAddr>) -> Value {
    end.map(|end| end.ip().to_string()).into()
}

fn port(end: Option<SocketAddr>) -> Value {
    end.map(|end| i32::from(end.port())).into()
}

fn process_id(argument: &Value) -> Option<i32> {
    argument.as_int().and_then(|id| i32::try_from(id).ok())
}

/// Says that the session was told to end; it does not wait until it has.
fn terminate_backend(facts: &SessionFacts, args: &[Value]) -> Answer {
    if args.get(1).and_then(Value::as_int).is_some_and(|timeout| timeout < 0) {
        return Err(QueryError::new(ErrorKind::NumericOutOfRange, "\"timeout\" must not be negative"));
    }
    Ok(process_id(&args[0]).is_some_and(|id| facts.backends.terminate(id)).into())
}

fn settings() -> Vec<Definition> {
    vec![
        Definition::new("current_setting", 1..=2, SqlType::Text, current_setting),
        Definition::new("set_config", 3..=3, SqlType::Text, set_config).called_on_null().volatile(),
    ]
}

fn current_setting(facts: &SessionFacts, args: &[Value]) -> Answer {
    let name = args[0].as_text().unwrap_or_default();
    match facts.settings.get(name) {
        Some(value) => Ok(value.into()),
        None if args.get(1).and_then(Value::as_bool) == Some(true) => Ok(Value::Null),
        None => {
            Err(QueryError::new(ErrorKind::UndefinedObject, format!("unrecognized configuration parameter \"{name}\"")))
        }
    }
}

fn set_config(facts: &SessionFacts, args: &[Value]) -> Answer {
    let Some(name) = args[0].as_text() else {
        return Err(QueryError::new(ErrorKind::NullNotAllowed, "SET requires parameter name"));
    };
    let is_local = args[2].as_bool() == Some(true);
    facts.settings.set(name, args[1].as_text(), is_local).map(Value::from)
}

fn server() -> Vec<Definition> {
    let no: super::Body = |_, _| Ok(false.into());
    let null: super::Body = |_, _| Ok(Value::Null);
    let sequence: super::Body = |facts, _| Ok(facts.snapshot.seq.0.into());
    vec![
        Definition::new("pg_is_in_recovery", 0..=0, SqlType::Bool, no),
        Definition::new("pg_is_wal_replay_paused", 0..=0, SqlType::Bool, no),
        Definition::new("pg_jit_available", 0..=0, SqlType::Bool, no),
        Definition::new("pg_last_wal_receive_lsn", 0..=0, SqlType::Text, null),
        Definition::new("pg_last_wal_replay_lsn", 0..=0, SqlType::Text, null),
        Definition::new("pg_last_xact_replay_timestamp", 0..=0, SqlType::TimestampTz, null),
        Definition::new("pg_postmaster_start_time", 0..=0, SqlType::TimestampTz, |facts, _| {
            Ok(facts.server_started_at_micros.into())
        }),
        Definition::new("pg_conf_load_time", 0..=0, SqlType::TimestampTz, |facts, _| {
            Ok(facts.settings_loaded_at_micros.into())
        }),
        Definition::new("statement_timestamp", 0..=0, SqlType::TimestampTz, |facts, _| {
            Ok(facts.statement_began_micros.into())
        })
        .volatile(),
        Definition::new("txid_current", 0..=0, SqlType::Int8, sequence),
        Definition::new("pg_current_xact_id", 0..=0, SqlType::Int8, sequence),
        Definition::new("txid_current_if_assigned", 0..=0, SqlType::Int8, null),
        Definition::new("pg_current_xact_id_if_assigned", 0..=0, SqlType::Int8, null),
        Definition::new("pg_my_temp_schema", 0..=0, SqlType::Oid, |facts, _| {
            let oid = facts.temporary_schema().and_then(|schema| namespace_oid(&facts.snapshot, schema));
            Ok(oid.unwrap_or(0).into())
        }),
        Definition::new("pg_is_other_temp_schema", 1..=1, SqlType::Bool, no),
        Definition::new("pg_advisory_unlock_all", 0..=0, SqlType::Text, |_, _| Ok("".into())),
        Definition::new("pg_blocking_pids", 1..=1, SqlType::Array(Box::new(SqlType::Int4)), |_, _| {
            Ok(Value::List(Vec::new()))
        }),
        Definition::new("pg_trigger_depth", 0..=0, SqlType::Int4, |_, _| Ok(0.into())),
        Definition::new("pg_export_snapshot", 0..=0, SqlType::Text, |_, _| {
            Err(QueryError::unsupported("exporting a snapshot").hint("Use one connection, or REPEATABLE READ."))
        })
        .volatile(),
    ]
}

fn privileges() -> Vec<Definition> {
    let names = [
        "has_table_privilege",
        "has_any_column_privilege",
        "has_column_privilege",
        "has_schema_privilege",
        "has_database_privilege",
        "has_function_privilege",
        "has_sequence_privilege",
        "has_tablespace_privilege",
        "has_type_privilege",
        "has_language_privilege",
        "has_foreign_data_wrapper_privilege",
        "has_server_privilege",
        "has_parameter_privilege",
        "pg_has_role",
    ];
    let yes: super::Body = |_, _| Ok(true.into());
    let mut all: Vec<Definition> =
        names.into_iter().map(|name| Definition::new(name, 2..=4, SqlType::Bool, yes)).collect();
    all.push(Definition::new("row_security_active", 1..=1, SqlType::Bool, |facts, args| {
        read_class(facts, &args[0]).map(|_| false.into())
    }));
    all
}

fn encoding() -> Vec<Definition> {
    let utf8: super::Body = |_, _| Ok("UTF8".into());
    vec![
        Definition::new("pg_client_encoding", 0..=0, SqlType::Name, utf8),
        Definition::new("getdatabaseencoding", 0..=0, SqlType::Name, utf8),
        Definition::new("pg_encoding_max_length", 1..=1, SqlType::Int4, |_, _| Ok(4.into())),
        Definition::new("pg_encoding_to_char", 1..=1, SqlType::Name, |_, args| {
            let code = args[0].as_int();
            let found = encodings().iter().find(|(known, _)| Some(*known) == code);
            Ok(found.map_or("", |(_, name)| name).into())
        }),
        Definition::new("pg_char_to_encoding", 1..=1, SqlType::Int4, |_, args| {
            let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
            let wanted = plain(args[0].as_text().unwrap_or_default());
            let wanted = if wanted == "unicode" { "utf8".to_string() } else { wanted };
            let found = encodings().iter().find(|(_, name)| plain(name) == wanted);
            Ok(found.map_or(-1, |(code, _)| *code).into())
        }),
    ]
}
