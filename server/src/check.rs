//! `meridian check`: whether everything in a data directory is as it should be.

use crate::config::{ServeConfig, ServeOptions};
use crate::errors::sqlstate;
use crate::output::tell;
use crate::start_error::StartError;
use anyhow::Context;
use clap::Args;
use query::EngineConfig;
use std::path::PathBuf;

/// Check a data directory that no server holds
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example: meridian check --data-dir /var/lib/meridian

The log, the checkpoints, the index, every segment and every kept view are read whole and compared with each other. Nothing
is changed. The exit status is 1 when something is wrong.")]
pub(crate) struct CheckOptions {
    /// The data directory [env: MERIDIAN_DATA_DIR] [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Prints what was checked and what is wrong. An error stands for the latter.
pub(crate) async fn run(options: CheckOptions) -> anyhow::Result<()> {
    let config = ServeConfig::load(&ServeOptions { data_dir: options.data_dir, ..ServeOptions::default() })?;
    let scratch = tempfile::tempdir().context("could not make a temporary directory")?;
    let engine_config = EngineConfig {
        data_dir: config.data_dir,
        memory_bytes: None,
        sqlstate,
        copy_dir: None,
        history_retention: config.history_retention,
        connections_max: config.connections_max,
    };
    let report = query::check::check(engine_config, scratch.path()).await.map_err(StartError::from)?;
    for checked in &report.checked {
        tell(&format!("{:<18}{}", checked.kind, checked.counts));
    }
    for problem in &report.problems {
        tell(&format!("PROBLEM:  {}\nHINT:  {}", problem.what, problem.remedy));
    }
    match report.problems.len() {
        0 => {
            tell("No problems were found.");
            Ok(())
        }
        1 => Err(StartError::new("1 problem was found").into()),
        problems => Err(StartError::new(format!("{problems} problems were found")).into()),
    }
}
