//! Meridian: an analytical database server that speaks the Postgres wire protocol.
//!
//! This room is the server: the command line, the connection loop over pgwire's codec, and the one table of SQLSTATEs.
//!
//! ```text
//!   main ─▶ command_line ─▶ config ─▶ serve ─▶ connection ─▶ startup, password
//!                             │                    └───────▶ conversation ─▶ query
//!                             └▶ demo, generate, import, backup, check     └────────▶ wire (frames, buffers)
//! ```
//!
//! It speaks and does not decide: no SQL is read or rewritten here, and no plan is seen.

mod backup;
mod check;
mod client;
mod command_line;
mod config;
mod connection;
mod conversation;
mod demo;
mod errors;
mod generate;
mod import;
mod logging;
mod output;
mod password;
mod registry;
mod serve;
mod start_error;
mod startup;
#[cfg(test)]
mod test_client;
mod wire;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command_line::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            start_error::print(&error);
            ExitCode::FAILURE
        }
    }
}
