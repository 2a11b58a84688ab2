//! The settings that there are: PostgreSQL's and a few of Meridian's own.
//!
//! One table names those that do something, the other those of PostgreSQL's planner, memory, log and write-ahead log, which are
//! taken, shown and without effect. What would change the meaning of SQL and is not done is refused: `array_nulls` is on.

use super::quantities::{Quantity, Unit};
use crate::query_cache::QUERY_CACHE;
use crate::transaction_modes::{TRANSACTION_DEFERRABLE, TRANSACTION_ISOLATION, TRANSACTION_READ_ONLY};

/// The PostgreSQL release whose behaviour is matched; clients choose their catalog queries by it.
pub(crate) const SERVER_VERSION: &str = "15.0 (Meridian 0.1.0)";
const SERVER_VERSION_NUM: &str = "150000";

/// How long a subscriber may take nothing of what waits for it.
pub(crate) const SUBSCRIBER_TIMEOUT: &str = "meridian.subscriber_timeout";

/// How long a client may say nothing while its transaction is open.
pub(crate) const IDLE_IN_TRANSACTION_TIMEOUT: &str = "idle_in_transaction_session_timeout";
/// How long a client may say nothing while none is.
pub(crate) const IDLE_TIMEOUT: &str = "idle_session_timeout";

/// The names of the settings that are roles.
pub(crate) const SESSION_USER: &str = "session_authorization";
pub(crate) const ROLE: &str = "role";
/// What `role` is where SET ROLE names none.
pub(crate) const NO_ROLE: &str = "none";

/// How a value is checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Bool,
    Number(Quantity),
    Text,
    /// Names with commas between them, folded where they are not quoted.
    Names,
    /// One of a few words.
    Word(&'static [&'static str]),
    TimeZone,
    DateStyle,
    Encoding,
    /// A role; there is none to change to but the session's user.
    Role,
    /// Shown, never set.
    Fixed,
}

/// One setting. `reported` ones go to the client as ParameterStatus.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    pub reported: bool,
    /// Whether PostgreSQL lets only superusers set it, which everybody is here.
    pub by_superuser: bool,
    pub description: &'static str,
}

const fn setting(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Setting {
    Setting { name, default, kind, reported: false, by_superuser: false, description }
}

const fn reported(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Setting {
    Setting { reported: true, ..setting(name, default, kind, description) }
}

const fn ignored(name: &'static str, default: &'static str, kind: Kind) -> Setting {
    setting(name, default, kind, "Accepted for compatibility.")
}

const fn by_superuser(name: &'static str, default: &'static str, kind: Kind) -> Setting {
    Setting { by_superuser: true, ..ignored(name, default, kind) }
}

/// The most of most whole numbers.
const WHOLE_MOST: i32 = i32::MAX;

const fn whole(unit: Unit, least: i32, most: i32) -> Kind {
    Kind::Number(Quantity { unit, least: least as f64, most: most as f64, is_real: false })
}

const fn fraction(unit: Unit, least: f64, most: f64) -> Kind {
    Kind::Number(Quantity { unit, least, most, is_real: true })
}

const TIMEOUT: Kind = whole(Unit::Milliseconds, 0, WHOLE_MOST);
const ISOLATION: Kind = Kind::Word(&["serializable", "repeatable read", "read committed", "read uncommitted"]);
const MESSAGES: Kind =
    Kind::Word(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]);
const LOG_LEVELS: Kind = Kind::Word(&[
    "debug5", "debug4", "debug3", "debug2", "debug1", "info", "notice", "warning", "error", "log", "fatal", "panic",
]);

/// All settings.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().chain(IGNORED)
}

/// The setting with a name in any case.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

const SETTINGS: &[Setting] = &[
    reported("application_name", "", Kind::Text, "The client's name in statistics and logs."),
    setting("bytea_output", "hex", Kind::Word(&["hex", "escape"]), "How bytea is shown as text."),
    reported("client_encoding", "UTF8", Kind::Encoding, "The encoding of text between client and server."),
    setting("client_min_messages", "notice", MESSAGES, "The least severe messages that are sent."),
    reported("DateStyle", "ISO, MDY", Kind::DateStyle, "How dates are shown and read."),
    setting("data_directory", "", Kind::Fixed, "Where the data lies on the server's machine."),
    setting("default_transaction_deferrable", "off", Kind::Bool, "Whether new transactions may wait; none has to."),
    setting("default_transaction_isolation", "read committed", ISOLATION, "Isolation of new transactions."),
    reported("default_transaction_read_only", "off", Kind::Bool, "Whether new transactions refuse to write."),
    setting(
        "extra_float_digits",
        "1",
        whole(Unit::None, -15, 3),
        "Digits of floating-point values; above 0 they are exact.",
    ),
    setting(IDLE_IN_TRANSACTION_TIMEOUT, "0", TIMEOUT, "How long a client may be idle in a transaction; 0 for ever."),
    setting(IDLE_TIMEOUT, "0", TIMEOUT, "How long a client may be idle outside of a transaction; 0 for ever."),
    reported("in_hot_standby", "off", Kind::Fixed, "Whether the server only replays."),
    reported("integer_datetimes", "on", Kind::Fixed, "Timestamps are integers."),
    reported("IntervalStyle", "postgres", Kind::Word(&["postgres"]), "How intervals are shown."),
    reported("is_superuser", "on", Kind::Fixed, "Whether the user may do everything."),
    setting("max_connections", "200", Kind::Fixed, "How many clients may be connected at a time."),
    setting("max_identifier_length", "63", Kind::Fixed, "The longest name."),
    setting("max_index_keys", "32", Kind::Fixed, "Accepted for compatibility."),
    setting("meridian.history_retention", "1d", Kind::Fixed, "How far back FOR SYSTEM_TIME AS OF can read."),
    setting(QUERY_CACHE, "on", Kind::Bool, "Whether answers are kept until what they were computed from changes."),
    setting(
        SUBSCRIBER_TIMEOUT,
        "10min",
        TIMEOUT,
        "How long SUBSCRIBE waits for a client that does not read; 0 for ever.",
    ),
    setting(ROLE, NO_ROLE, Kind::Role, "The role whose rights count, where it is not the session's user."),
    setting("search_path", "\"$user\", public", Kind::Names, "Where unqualified names are looked up."),
    reported("server_encoding", "UTF8", Kind::Fixed, "The encoding of stored text."),
    reported("server_version", SERVER_VERSION, Kind::Fixed, "The PostgreSQL release that is matched."),
    setting("server_version_num", SERVER_VERSION_NUM, Kind::Fixed, "The same as a number."),
    reported(SESSION_USER, "meridian", Kind::Role, "The session's user."),
    setting("ssl", "off", Kind::Fixed, "Whether connections can be encrypted."),
    reported("standard_conforming_strings", "on", Kind::Word(&["on"]), "Backslashes in '…' are plain characters."),
    setting("statement_timeout", "0", TIMEOUT, "Milliseconds after which a statement is cancelled; 0 never."),
    setting(
        "synchronous_commit",
        "on",
        Kind::Word(&["on", "local", "remote_write", "remote_apply"]),
        "Commits are always synced.",
    ),
    reported("TimeZone", "UTC", Kind::TimeZone, "The zone in which instants are shown and read."),
    setting(TRANSACTION_DEFERRABLE, "off", Kind::Bool, "Whether the current transaction may wait; none has to."),
    setting(TRANSACTION_ISOLATION, "read committed", ISOLATION, "Isolation of the current transaction."),
    setting(TRANSACTION_READ_ONLY, "off", Kind::Bool, "Whether the current transaction refuses to write."),
];

const IGNORED: &[Setting] = &[
    ignored("array_nulls", "on", Kind::Word(&["on"])),
    ignored("backend_flush_after", "0", whole(Unit::Pages, 0, 256)),
    ignored("backslash_quote", "safe_encoding", Kind::Word(&["safe_encoding", "on", "off"])),
    ignored("check_function_bodies", "on", Kind::Bool),
    ignored("client_connection_check_interval", "0", whole(Unit::Milliseconds, 0, WHOLE_MOST)),
    by_superuser("commit_delay", "0", whole(Unit::None, 0, 100000)),
    ignored("commit_siblings", "5", whole(Unit::None, 0, 1000)),
    by_superuser("compute_query_id", "auto", Kind::Word(&["auto", "regress", "on", "off"])),
    ignored("constraint_exclusion", "partition", Kind::Word(&["partition", "on", "off"])),
    ignored("cpu_index_tuple_cost", "0.005", fraction(Unit::None, 0.0, f64::MAX)),
    ignored("cpu_operator_cost", "0.0025", fraction(Unit::None, 0.0, f64::MAX)),
    ignored("cpu_tuple_cost", "0.01", fraction(Unit::None, 0.0, f64::MAX)),
    ignored("cursor_tuple_fraction", "0.1", fraction(Unit::None, 0.0, 1.0)),
    by_superuser("deadlock_timeout", "1s", whole(Unit::Milliseconds, 1, WHOLE_MOST)),
    ignored("debug_pretty_print", "on", Kind::Bool),
    ignored("debug_print_parse", "off", Kind::Bool),
    ignored("debug_print_plan", "off", Kind::Bool),
    ignored("debug_print_rewritten", "off", Kind::Bool),
    ignored("default_statistics_target", "100", whole(Unit::None, 1, 10000)),
    ignored("default_table_access_method", "heap", Kind::Word(&["heap"])),
    ignored("default_tablespace", "", Kind::Word(&["", "pg_default"])),
    ignored("default_text_search_config", "pg_catalog.simple", Kind::Text),
    ignored("default_toast_compression", "pglz", Kind::Word(&["pglz", "lz4"])),
    ignored("default_with_oids", "off", Kind::Word(&["off"])),
    by_superuser("dynamic_library_path", "$libdir", Kind::Text),
    ignored("effective_cache_size", "4GB", whole(Unit::Pages, 1, WHOLE_MOST)),
    ignored("effective_io_concurrency", "1", whole(Unit::None, 0, 1000)),
    ignored("enable_async_append", "on", Kind::Bool),
    ignored("enable_bitmapscan", "on", Kind::Bool),
    ignored("enable_gathermerge", "on", Kind::Bool),
    ignored("enable_hashagg", "on", Kind::Bool),
    ignored("enable_hashjoin", "on", Kind::Bool),
    ignored("enable_incremental_sort", "on", Kind::Bool),
    ignored("enable_indexonlyscan", "on", Kind::Bool),
    ignored("enable_indexscan", "on", Kind::Bool),
    ignored("enable_material", "on", Kind::Bool),
    ignored("enable_memoize", "on", Kind::Bool),
    ignored("enable_mergejoin", "on", Kind::Bool),
    ignored("enable_nestloop", "on", Kind::Bool),
    ignored("enable_parallel_append", "on", Kind::Bool),
    ignored("enable_parallel_hash", "on", Kind::Bool),
    ignored("enable_partition_pruning", "on", Kind::Bool),
    ignored("enable_partitionwise_aggregate", "off", Kind::Bool),
    ignored("enable_partitionwise_join", "off", Kind::Bool),
    ignored("enable_seqscan", "on", Kind::Bool),
    ignored("enable_sort", "on", Kind::Bool),
    ignored("enable_tidscan", "on", Kind::Bool),
    ignored("escape_string_warning", "on", Kind::Bool),
    ignored("exit_on_error", "off", Kind::Word(&["off"])),
    ignored("force_parallel_mode", "off", Kind::Word(&["off", "on", "regress"])),
    ignored("from_collapse_limit", "8", whole(Unit::None, 1, WHOLE_MOST)),
    ignored("geqo", "on", Kind::Bool),
    ignored("geqo_effort", "5", whole(Unit::None, 1, 10)),
    ignored("geqo_generations", "0", whole(Unit::None, 0, WHOLE_MOST)),
    ignored("geqo_pool_size", "0", whole(Unit::None, 0, WHOLE_MOST)),
    ignored("geqo_seed", "0", fraction(Unit::None, 0.0, 1.0)),
    ignored("geqo_selection_bias", "2", fraction(Unit::None, 1.5, 2.0)),
    ignored("geqo_threshold", "12", whole(Unit::None, 2, WHOLE_MOST)),
    ignored("gin_fuzzy_search_limit", "0", whole(Unit::None, 0, WHOLE_MOST)),
    ignored("gin_pending_list_limit", "4MB", whole(Unit::Kilobytes, 64, WHOLE_MOST)),
    ignored("hash_mem_multiplier", "2", fraction(Unit::None, 1.0, 1000.0)),
    ignored("jit", "off", Kind::Bool),
    ignored("jit_above_cost", "100000", fraction(Unit::None, -1.0, f64::MAX)),
    ignored("jit_inline_above_cost", "500000", fraction(Unit::None, -1.0, f64::MAX)),
    ignored("jit_optimize_above_cost", "500000", fraction(Unit::None, -1.0, f64::MAX)),
    ignored("join_collapse_limit", "8", whole(Unit::None, 1, WHOLE_MOST)),
    by_superuser("lc_messages", "C", Kind::Text),
    ignored("lc_monetary", "C", Kind::Text),
    ignored("lc_numeric", "C", Kind::Text),
    ignored("lc_time", "C", Kind::Text),
    by_superuser("lo_compat_privileges", "off", Kind::Bool),
    ignored("local_preload_libraries", "", Kind::Names),
    ignored("lock_timeout", "0", whole(Unit::Milliseconds, 0, WHOLE_MOST)),
    by_superuser("log_duration", "off", Kind::Bool),
    by_superuser("log_error_verbosity", "default", Kind::Word(&["terse", "default", "verbose"])),
    by_superuser("log_executor_stats", "off", Kind::Bool),
    by_superuser("log_lock_waits", "off", Kind::Bool),
    by_superuser("log_min_duration_sample", "-1", whole(Unit::Milliseconds, -1, WHOLE_MOST)),
    by_superuser("log_min_duration_statement", "-1", whole(Unit::Milliseconds, -1, WHOLE_MOST)),
    by_superuser("log_min_error_statement", "error", LOG_LEVELS),
    by_superuser("log_min_messages", "warning", LOG_LEVELS),
    by_superuser("log_parameter_max_length", "-1", whole(Unit::Bytes, -1, 1073741823)),
    ignored("log_parameter_max_length_on_error", "0", whole(Unit::Bytes, -1, 1073741823)),
    by_superuser("log_parser_stats", "off", Kind::Bool),
    by_superuser("log_planner_stats", "off", Kind::Bool),
    by_superuser("log_replication_commands", "off", Kind::Bool),
    by_superuser("log_statement", "none", Kind::Word(&["none", "ddl", "mod", "all"])),
    by_superuser("log_statement_sample_rate", "1", fraction(Unit::None, 0.0, 1.0)),
    by_superuser("log_statement_stats", "off", Kind::Bool),
    by_superuser("log_temp_files", "-1", whole(Unit::Kilobytes, -1, WHOLE_MOST)),
    by_superuser("log_transaction_sample_rate", "0", fraction(Unit::None, 0.0, 1.0)),
    ignored("logical_decoding_work_mem", "64MB", whole(Unit::Kilobytes, 64, WHOLE_MOST)),
    ignored("maintenance_io_concurrency", "10", whole(Unit::None, 0, 1000)),
    ignored("maintenance_work_mem", "64MB", whole(Unit::Kilobytes, 1024, WHOLE_MOST)),
    ignored("max_parallel_maintenance_workers", "2", whole(Unit::None, 0, 1024)),
    ignored("max_parallel_workers", "8", whole(Unit::None, 0, 1024)),
    ignored("max_parallel_workers_per_gather", "2", whole(Unit::None, 0, 1024)),
    by_superuser("max_stack_depth", "2MB", whole(Unit::Kilobytes, 100, WHOLE_MOST)),
    ignored("min_parallel_index_scan_size", "512kB", whole(Unit::Pages, 0, 715827882)),
    ignored("min_parallel_table_scan_size", "8MB", whole(Unit::Pages, 0, 715827882)),
    ignored("parallel_leader_participation", "on", Kind::Bool),
    ignored("parallel_setup_cost", "1000", fraction(Unit::None, 0.0, f64::MAX)),
    ignored("parallel_tuple_cost", "0.1", fraction(Unit::None, 0.0, f64::MAX)),
    ignored("password_encryption", "scram-sha-256", Kind::Word(&["md5", "scram-sha-256"])),
    ignored("plan_cache_mode", "auto", Kind::Word(&["auto", "force_generic_plan", "force_custom_plan"])),
    ignored("quote_all_identifiers", "off", Kind::Bool),
    ignored("random_page_cost", "4", fraction(Unit::None, 0.0, f64::MAX)),
    ignored("recursive_worktable_factor", "10", fraction(Unit::None, 0.001, 1000000.0)),
    ignored("row_security", "on", Kind::Bool),
    ignored("seq_page_cost", "1", fraction(Unit::None, 0.0, f64::MAX)),
    by_superuser("session_preload_libraries", "", Kind::Names),
    by_superuser("session_replication_role", "origin", Kind::Word(&["origin", "replica", "local"])),
    ignored("stats_fetch_consistency", "cache", Kind::Word(&["none", "cache", "snapshot"])),
    ignored("synchronize_seqscans", "on", Kind::Bool),
    ignored("tcp_keepalives_count", "0", whole(Unit::None, 0, WHOLE_MOST)),
    ignored("tcp_keepalives_idle", "0", whole(Unit::Seconds, 0, WHOLE_MOST)),
    ignored("tcp_keepalives_interval", "0", whole(Unit::Seconds, 0, WHOLE_MOST)),
    ignored("tcp_user_timeout", "0", whole(Unit::Milliseconds, 0, WHOLE_MOST)),
    ignored("temp_buffers", "8MB", whole(Unit::Pages, 100, 1073741823)),
    by_superuser("temp_file_limit", "-1", whole(Unit::Kilobytes, -1, WHOLE_MOST)),
    ignored("temp_tablespaces", "", Kind::Names),
    ignored("timezone_abbreviations", "Default", Kind::Text),
    by_superuser("track_activities", "on", Kind::Bool),
    by_superuser("track_counts", "on", Kind::Bool),
    by_superuser("track_functions", "none", Kind::Word(&["none", "pl", "all"])),
    by_superuser("track_io_timing", "off", Kind::Bool),
    by_superuser("track_wal_io_timing", "off", Kind::Bool),
    ignored("transform_null_equals", "off", Kind::Word(&["off"])),
    by_superuser("update_process_title", "on", Kind::Bool),
    ignored("vacuum_cost_delay", "0", fraction(Unit::Milliseconds, 0.0, 100.0)),
    ignored("vacuum_cost_limit", "200", whole(Unit::None, 1, 10000)),
    ignored("vacuum_cost_page_dirty", "20", whole(Unit::None, 0, 10000)),
    ignored("vacuum_cost_page_hit", "1", whole(Unit::None, 0, 10000)),
    ignored("vacuum_cost_page_miss", "2", whole(Unit::None, 0, 10000)),
    ignored("vacuum_failsafe_age", "1600000000", whole(Unit::None, 0, 2100000000)),
    ignored("vacuum_freeze_min_age", "50000000", whole(Unit::None, 0, 1000000000)),
    ignored("vacuum_freeze_table_age", "150000000", whole(Unit::None, 0, 2000000000)),
    ignored("vacuum_multixact_failsafe_age", "1600000000", whole(Unit::None, 0, 2100000000)),
    ignored("vacuum_multixact_freeze_min_age", "5000000", whole(Unit::None, 0, 1000000000)),
    ignored("vacuum_multixact_freeze_table_age", "150000000", whole(Unit::None, 0, 2000000000)),
    by_superuser("wal_compression", "off", Kind::Word(&["pglz", "lz4", "zstd", "on", "off"])),
    by_superuser("wal_init_zero", "on", Kind::Bool),
    by_superuser("wal_recycle", "on", Kind::Bool),
    ignored("wal_sender_timeout", "1min", whole(Unit::Milliseconds, 0, WHOLE_MOST)),
    ignored("wal_skip_threshold", "2MB", whole(Unit::Kilobytes, 0, WHOLE_MOST)),
    ignored("work_mem", "4MB", whole(Unit::Kilobytes, 64, WHOLE_MOST)),
    ignored("xmlbinary", "base64", Kind::Word(&["base64", "hex"])),
    ignored("xmloption", "content", Kind::Word(&["content", "document"])),
];
