//! The query room: decides what statements mean and runs them.
//!
//! Statements come in as text, record batches go out; see `session` for the life of a statement. This room plans with
//! DataFusion over a catalog snapshot, reads segments through storage and keeps views by the programs of `views`. It knows neither
//! sockets nor protocol messages nor SQLSTATEs, and it writes no file.
//!
//! ```text
//!     the door         session, response, error, copy_in      what the server drives
//!     statements       statement, syntax_walks, source_text, continued_literals, escaped_literals, operator_tokens, dialect, statement_grammar,
//!                      standard_spellings, output_names, dispatch, prepared, execute_arguments, cursor, settings, time_zone_setting,
//!                      maintenance, reindexing
//!     planning         planner, planning_state, scan, datum, sql_types, parameter_types, plan_constants, set_operations, row_counts,
//!                      column_origins, column_aliases, subqueries, column_dependencies, join_keys, filter_places, filter_moves, float_limits, kept_order,
//!                      collected_order, equal_conditions, null_calls, shared_plans, unknown_function, query_places, engine_error
//!     writing          insert, row_inserts, modify, merge, whole_segments, copy_in, copy_target, copy_rejects, found_rows,
//!                      copy_labels, copy_lines, copy_files, copy_parquet, row_filter, assignment, column_defaults, row_rules, intake, transaction, transaction_modes, write_holds,
//!                      definitions, table_definition, table_rules, new_views, declared_partitions, bound_expressions, sequence_definition, sequences
//!     reading          execution, copy_out, explain, explained_changes, view_reading, step_plans, subscription, content
//!     background       background, view_folding, view_builds
//!     values           types, copy_format, functions
//!     the system       pg_catalog, system_facts, activity, copy_progress
//! ```

pub mod backup;
pub mod check;
pub mod copy_format;
pub mod copy_in;
pub mod error;
pub mod functions;
pub mod operators;
pub mod pg_catalog;
pub mod response;
pub mod types;

mod activity;
mod added_columns;
mod altered_constraints;
mod altered_identity;
mod altered_nulls;
mod altered_rules;
mod altered_views;
mod altering;
mod assignment;
mod background;
mod background_tasks;
mod bound_expressions;
mod bound_parameters;
mod changed_rows;
mod collected_order;
mod column_aliases;
mod column_defaults;
mod column_dependencies;
mod column_origins;
mod constant_defaults;
mod content;
mod continued_literals;
mod copy_files;
mod copy_labels;
mod copy_lines;
mod copy_out;
mod copy_parquet;
mod copy_progress;
mod copy_rejects;
mod copy_target;
mod cursor;
mod datum;
mod declared_partitions;
mod definitions;
mod derived_tables;
mod dialect;
mod dispatch;
mod domain_definition;
mod domains;
mod dropped_partitions;
mod dropping;
mod engine;
mod engine_error;
mod equal_conditions;
mod escaped_literals;
mod execute_arguments;
mod execution;
mod explain;
mod explained_changes;
mod filter_moves;
mod filter_places;
mod float_limits;
mod found_rows;
mod insert;
mod intake;
mod join_keys;
mod kept_order;
mod kept_states;
mod key_sets;
mod keys;
mod late_columns;
mod leading_rows;
mod long_chains;
mod look_ups;
mod maintenance;
mod memory;
mod merge;
mod merged_joins;
mod modify;
mod new_views;
mod notifications;
mod null_calls;
mod oid_arrays;
mod operator_tokens;
mod output_names;
mod parameter_types;
mod plain_indexes;
mod plan_constants;
mod planner;
mod planning_state;
mod prepared;
mod query_cache;
mod query_places;
mod reads;
mod reindexing;
mod retention;
mod returning;
mod retyping;
mod rewrites;
mod row_calls;
mod row_counts;
mod row_filter;
mod row_inserts;
mod row_rules;
mod scan;
mod segment_columns;
mod sequence_definition;
mod sequences;
mod session;
mod set_operations;
mod settings;
mod shared_plans;
mod shown_names;
mod source_text;
mod sql_types;
mod standard_spellings;
mod statement;
mod statement_grammar;
mod step_plans;
mod stored_intervals;
mod subqueries;
mod subscription;
mod syntax_walks;
mod system_facts;
mod table_definition;
mod table_rules;
mod temporary;
mod threads;
mod time_zone_setting;
mod transaction;
mod transaction_modes;
mod turns;
mod type_definition;
mod unique_rows;
mod unknown_function;
mod unsupported;
mod user_types;
mod view_builds;
mod view_folding;
mod view_folds;
mod view_following;
mod view_inputs;
mod view_reading;
mod view_verification;
mod whole_segments;
mod work_tables;
mod write_holds;
mod yielding;

/// Files that are not the database's own.
pub use storage::external as files;

pub use activity::CancelHandle;
pub use bound_parameters::{BoundParameters, place_of_parameter};
pub use cursor::Cursor;
pub use engine::{ConnectOptions, DATABASE, Engine, EngineConfig, HISTORY_RETENTION, OpenError};
pub use notifications::Notification;
pub use prepared::Prepared;
pub use row_inserts::RowInsert;
pub use session::Session;
pub use settings::duration_ms;
pub use statement::Statement;
pub use threads::STACK_BYTES;
