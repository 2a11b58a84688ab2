//! Batches of INSERTs as applications send them: psycopg's executemany and JDBC's batches, each in a process of its own that times itself.
//!
//! psycopg is installed beside the peers. The JDBC driver is Debian's (libpostgresql-jdbc-java, with a JDK); where it is not there, that
//! part is left out.

use crate::embedded::Environment;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

const PSYCOPG: &str = "psycopg[binary]";
const EXECUTEMANY: &str = include_str!("driver_batches/executemany.py");
const JDBC_BATCH: &str = include_str!("driver_batches/JdbcBatch.java");
/// Where Debian puts it.
const JDBC_DRIVER: &str = "/usr/share/java/postgresql.jar";
const JDBC_BATCH_ROWS: &str = "1000";

/// The drivers at hand.
pub(crate) struct Drivers {
    environment: Environment,
    jdbc: Option<JdbcProgram>,
}

/// The Java program, as a file that `java` runs from its source.
struct JdbcProgram(PathBuf);

/// How a batch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    Executemany,
    Jdbc,
    /// With `reWriteBatchedInserts`: the driver makes INSERTs of many rows of them.
    JdbcRewritten,
}

impl Batch {
    pub(crate) const ALL: [Self; 3] = [Self::Executemany, Self::Jdbc, Self::JdbcRewritten];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Executemany => "100,000 rows by psycopg's executemany",
            Self::Jdbc => "100,000 rows by JDBC batches",
            Self::JdbcRewritten => "100,000 rows by rewritten JDBC batches",
        }
    }
}

impl Drivers {
    /// `directory` takes the program for JDBC and must not be there yet.
    pub(crate) fn prepare(cache: &Path, directory: &Path) -> anyhow::Result<Self> {
        let environment = Environment::prepare(cache, &[PSYCOPG])?;
        let has_java = Command::new("java").arg("-version").stderr(Stdio::null()).status().is_ok_and(|it| it.success());
        let jdbc = if has_java && Path::new(JDBC_DRIVER).exists() {
            std::fs::create_dir(directory).with_context(|| format!("create {}", directory.display()))?;
            let program = directory.join("JdbcBatch.java");
            std::fs::write(&program, JDBC_BATCH)?;
            Some(JdbcProgram(program))
        } else {
            eprintln!("JDBC is left out (Debian: apt-get install default-jdk-headless libpostgresql-jdbc-java)");
            None
        };
        Ok(Self { environment, jdbc })
    }

    /// The seconds that a csv file takes into `sales`; `None` where there is no such driver.
    pub(crate) fn insert(&self, batch: Batch, config: &Config, file: &Path) -> anyhow::Result<Option<f64>> {
        let (host, port) = address(config)?;
        let (user, database) = (config.get_user().unwrap_or_default(), config.get_dbname().unwrap_or_default());
        let mut command = match (batch, &self.jdbc) {
            (Batch::Executemany, _) => {
                let mut command = self.environment.python();
                let connection = format!("host={host} port={port} user={user} dbname={database}");
                command.args(["-c", EXECUTEMANY, &connection]).arg(file);
                command
            }
            (_, None) => return Ok(None),
            (_, Some(JdbcProgram(program))) => {
                let rewritten = batch == Batch::JdbcRewritten;
                let url =
                    format!("jdbc:postgresql://{host}:{port}/{database}?user={user}&reWriteBatchedInserts={rewritten}");
                let mut command = Command::new("java");
                command.args(["-cp", JDBC_DRIVER]).arg(program).arg(url).arg(file).arg(JDBC_BATCH_ROWS);
                command
            }
        };
        let output = command.stderr(Stdio::inherit()).output().context("start the driver's program")?;
        anyhow::ensure!(output.status.success(), "{} failed", batch.name());
        let seconds = String::from_utf8_lossy(&output.stdout).trim().parse();
        seconds.map(Some).with_context(|| format!("{} printed no time", batch.name()))
    }
}

fn address(config: &Config) -> anyhow::Result<(&str, u16)> {
    let [Host::Tcp(host), ..] = config.get_hosts() else { anyhow::bail!("drivers reach a server by its address") };
    Ok((host, config.get_ports().first().copied().unwrap_or(5432)))
}
