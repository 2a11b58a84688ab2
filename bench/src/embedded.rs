//! Systems that live inside a Python process: DuckDB, ClickHouse (chdb) and DataFusion.
//!
//! The process stays alive for all of a round and times its own work, so that starting Python costs nobody anything:
//!
//!     bench ─{"run": ["SELECT …"]}─▶ peer.py ─{"seconds": 0.04, "rows": […]}─▶ bench        one JSON line each

use crate::answer::Answer;
use crate::system::{Inserts, Kind};
use anyhow::Context;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = include_str!("peer.py");

/// A Python that can import what the peers need.
pub(crate) struct Environment {
    python: PathBuf,
}

impl Environment {
    /// Makes the environment in the cache folder, once, and installs what is missing.
    pub(crate) fn prepare(cache: &Path, packages: &[&str]) -> anyhow::Result<Self> {
        let folder = cache.join("python");
        let python = folder.join("bin/python");
        if !python.exists() {
            let status = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
            let made = status.is_ok_and(|status| status.success());
            anyhow::ensure!(made, "python3 -m venv failed; install it (Debian: apt-get install python3-venv)");
        }
        for package in packages {
            // What stands in brackets is an extra.
            let module = package.split('[').next().unwrap_or(package);
            let import = format!("import {module}");
            let found = Command::new(&python).args(["-c", &import]).stderr(Stdio::null()).status()?;
            if !found.success() {
                eprintln!("installing {package} from PyPI into {}", folder.display());
                let status = Command::new(&python).args(["-m", "pip", "install", "--quiet", package]).status()?;
                anyhow::ensure!(status.success(), "pip could not install {package}; leave it out with --peers");
            }
        }
        Ok(Self { python })
    }

    /// Its interpreter, to be given a program.
    pub(crate) fn python(&self) -> Command {
        Command::new(&self.python)
    }
}

/// Dropping it ends the process.
pub(crate) struct Embedded {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
}

impl Embedded {
    /// What a system is called on PyPI; nothing for one that is not there.
    pub(crate) fn package(kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::DuckDb => Some("duckdb"),
            Kind::ClickHouse => Some("chdb"),
            Kind::DataFusion => Some("datafusion"),
            Kind::Meridian | Kind::PostgreSql => None,
        }
    }

    pub(crate) fn start(environment: &Environment, kind: Kind, directory: &Path) -> anyhow::Result<Self> {
        let package = Self::package(kind).context("this system is not a Python package")?;
        std::fs::create_dir(directory).with_context(|| format!("create {}", directory.display()))?;
        let mut child = Command::new(&environment.python)
            .args(["-c", PROGRAM, package])
            .arg(directory)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start Python")?;
        let requests = child.stdin.take().context("write to Python")?;
        let answers = BufReader::new(child.stdout.take().context("read from Python")?);
        Ok(Self { child, requests, answers, directory: directory.to_owned() })
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs statements in turn; the rows are the last one's, the time is that of all.
    pub(crate) fn run(&mut self, statements: &[&str]) -> anyhow::Result<Answer> {
        let answer = self.ask(&json!({ "run": statements }))?;
        let rows = answer["rows"].as_array().context("rows are missing")?;
        let value = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Answer {
            took: seconds(&answer["seconds"])?,
            rows: rows.iter().map(|row| row.as_array().into_iter().flatten().map(value).collect()).collect(),
        })
    }

    pub(crate) fn insert(&mut self, rows: &[Vec<String>], clients: usize) -> anyhow::Result<Inserts> {
        let answer = self.ask(&json!({ "insert": rows, "clients": clients }))?;
        let each = answer["each"].as_array().context("times are missing")?;
        Ok(Inserts {
            each: each.iter().map(seconds).collect::<anyhow::Result<_>>()?,
            total: seconds(&answer["seconds"])?,
        })
    }

    fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        writeln!(self.requests, "{request}").context("write to Python")?;
        self.requests.flush().context("write to Python")?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context("read from Python")?;
        let answer: Value = serde_json::from_str(&line).context("Python stopped")?;
        match answer["error"].as_str() {
            Some(error) => Err(anyhow::anyhow!("{error}")),
            None => Ok(answer),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn seconds(value: &Value) -> anyhow::Result<Duration> {
    Ok(Duration::from_secs_f64(value.as_f64().context("a time is missing")?))
}
