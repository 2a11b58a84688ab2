//! Drives the real `meridian` binary over the wire.
//!
//!     Meridian (a child process) ◀── Session (a client) ◀── slt files, oracle, crash test
//!
//! `meridian` starts and ends the process, `session` speaks to it, `view_check` asks whether every materialized view
//! equals its own query, `dialect` says the same things to PostgreSQL. Nothing here links against the server's crates:
//! what is tested is what a client sees.

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
