//! Everything that drives the real binary over the wire, in one executable, and the tidy test of the whole workspace.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod backup;
mod bad_input;
mod command_line;
mod concurrent_definitions;
mod copy_corpus;
mod crash;
mod driver_protocol;
mod formats;
mod idle_clients;
mod imports;
mod isolation;
mod keys;
mod loads;
mod long_statements;
mod memory;
mod notifications;
mod oracle;
mod parameters;
mod query_cache;
mod slt;
mod subscriptions;
mod temporary;
mod tidy;
mod time_travel;
mod tpch;
mod view_builds;
mod view_clock;
mod wire;
