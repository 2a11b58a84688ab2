//! Drives the real `meridian` binary over the wire.
//!
//!     Meridian (a child process) ◀── Session (a client) ◀── slt files, oracle, crash test
//!
//! `meridian` starts and ends the process, `session` speaks to it, `view_check` asks whether every materialized view
//! equals its own query, `dialect` says the same things to PostgreSQL. Nothing here links against the server's crates:
//! what is tested is what a client sees.

use std::path::PathBuf;

pub mod copy_corpus;
pub mod copy_fuzz;
pub mod crash;
pub mod dialect;
pub mod differential;
pub mod isolation;
pub mod meridian;
pub mod oracle;
pub mod session;
pub mod slt;
pub mod tpch;
pub mod view_check;
pub mod wire;

/// The folder of this package: the one that cargo names while it runs a program, so that clones may share a target
/// folder; else the one of the build.
pub fn package_folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}
