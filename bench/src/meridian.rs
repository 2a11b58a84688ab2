//! The Meridian under measurement: built if need be, started on a fresh data directory, or one that runs already.

use crate::{machine, wire};
use anyhow::Context;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
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
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", "server"])
        .current_dir(package.parent().context("find the workspace")?)
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

/// How long a server may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_POLL: Duration = Duration::from_millis(10);

/// Dropping it stops the server, if it was started here.
pub(crate) struct MeridianServer {
    config: Config,
    started: Option<Started>,
}

struct Started {
    child: Child,
    program: PathBuf,
    data_dir: PathBuf,
    /// Beside those that say where it is.
    arguments: Vec<OsString>,
}

impl MeridianServer {
    pub(crate) fn running(url: &str) -> anyhow::Result<Self> {
        Ok(Self { config: url.parse().context("read --url")?, started: None })
    }

    pub(crate) async fn start(program: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        let (child, config) = spawn(program, data_dir, &[])?;
        let (program, data_dir) = (program.to_owned(), data_dir.to_owned());
        let started = Started { child, program, data_dir, arguments: Vec::new() };
        let mut server = Self { config, started: Some(started) };
        server.connected().await?;
        Ok(server)
    }

    /// Asks the server to stop and waits until it has.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        let started = self.started.as_mut().context("the server was not started here")?;
        let process_id = started.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &process_id]).status().context("run kill")?;
        anyhow::ensure!(asked.success(), "kill -TERM {process_id} failed");
        let deadline = Instant::now() + STOP_TIMEOUT;
        while started.child.try_wait()?.is_none() {
            anyhow::ensure!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(STOP_POLL);
        }
        Ok(())
    }

    /// Ends the server as a crash would.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        let started = self.started.as_mut().context("the server was not started here")?;
        started.child.kill().context("kill the server")?;
        started.child.wait().context("wait for the server's end")?;
        Ok(())
    }

    /// With what arguments it is started from now on.
    pub(crate) fn set_arguments(&mut self, arguments: Vec<OsString>) {
        if let Some(started) = &mut self.started {
            started.arguments = arguments;
        }
    }

    /// Starts it on its data again, and waits until it answers.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        let started = self.started.as_mut().context("the server was not started here")?;
        (started.child, self.config) = spawn(&started.program, &started.data_dir, &started.arguments)?;
        self.connected().await
    }

    async fn connected(&mut self) -> anyhow::Result<()> {
        let config = self.config.clone();
        wire::connect_when_ready(&config, || self.check_alive()).await
    }

    pub(crate) fn config(&self) -> Config {
        self.config.clone()
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.started.is_some()
    }

    pub(crate) fn process_id(&self) -> Option<u32> {
        self.started.as_ref().map(|started| started.child.id())
    }

    pub(crate) fn data_dir(&self) -> Option<&Path> {
        self.started.as_ref().map(|started| started.data_dir.as_path())
    }

    fn check_alive(&mut self) -> anyhow::Result<()> {
        if let Some(started) = &mut self.started
            && let Some(status) = started.child.try_wait()?
        {
            let log = std::fs::read_to_string(log_path(&started.data_dir)).unwrap_or_default();
            anyhow::bail!("meridian serve ended with {status}:\n{log}");
        }
        Ok(())
    }
}

impl Drop for MeridianServer {
    fn drop(&mut self) {
        if let Some(started) = &mut self.started {
            // The data directory goes too, so that there is nothing to save.
            let _ = started.child.kill();
            let _ = started.child.wait();
        }
    }
}

fn log_path(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("log")
}

/// A server on a data directory and a free port, and how to reach it.
fn spawn(program: &Path, data_dir: &Path, arguments: &[OsString]) -> anyhow::Result<(Child, Config)> {
    let port = machine::free_port()?;
    let log = File::options().create(true).append(true).open(log_path(data_dir))?;
    let child = Command::new(program)
        .arg("serve")
        .arg("--data-dir")
        .arg(data_dir)
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("meridian").dbname("meridian").application_name("bench");
    Ok((child, config))
}
