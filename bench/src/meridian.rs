//! The Meridian under measurement: built if need be, started on a fresh data directory, or one that runs already.

use crate::{machine, wire};
use anyhow::Context;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio_postgres::Config;

/// The program to measure. Under cargo it is built first, so that no stale one is measured.
pub(crate) fn program(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let beside = env::current_exe().context("find this program")?.with_file_name("meridian");
    if beside.exists() && env::var_os("CARGO").is_none() {
        return Ok(beside);
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", "server"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("find the workspace")?)
        .status()
        .context("run cargo build --release --package server")?;
    anyhow::ensure!(status.success(), "cargo build --release --package server failed");
    anyhow::ensure!(
        beside.exists(),
        "there is no {}; run this with --release, or name the program with --meridian",
        beside.display()
    );
    Ok(beside)
}

/// Dropping it stops the server, if it was started here.
pub(crate) struct MeridianServer {
    config: Config,
    started: Option<(Child, PathBuf)>,
}

impl MeridianServer {
    pub(crate) fn running(url: &str) -> anyhow::Result<Self> {
        Ok(Self { config: url.parse().context("read --url")?, started: None })
    }

    pub(crate) async fn start(program: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        let port = machine::free_port()?;
        let log_path = data_dir.with_extension("log");
        let log = File::create(&log_path)?;
        let child = Command::new(program)
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut config = Config::new();
        config.host("127.0.0.1").port(port).user("meridian").dbname("meridian").application_name("bench");
        let mut server = Self { config: config.clone(), started: Some((child, data_dir.to_owned())) };
        wire::connect_when_ready(&config, || server.check_alive(&log_path)).await?;
        Ok(server)
    }

    pub(crate) fn config(&self) -> Config {
        self.config.clone()
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.started.is_some()
    }

    pub(crate) fn process_id(&self) -> Option<u32> {
        self.started.as_ref().map(|(child, _)| child.id())
    }

    pub(crate) fn data_dir(&self) -> Option<&Path> {
        self.started.as_ref().map(|(_, data_dir)| data_dir.as_path())
    }

    fn check_alive(&mut self, log_path: &Path) -> anyhow::Result<()> {
        if let Some((child, _)) = &mut self.started
            && let Some(status) = child.try_wait()?
        {
            let log = std::fs::read_to_string(log_path).unwrap_or_default();
            anyhow::bail!("meridian serve ended with {status}:\n{log}");
        }
        Ok(())
    }
}

impl Drop for MeridianServer {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.started {
            // The data directory goes too, so that there is nothing to save.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
