//! PostgreSQL as a peer: a cluster of its own on a free port, as durable as PostgreSQL is by default.
//!
//! Memory is set as its manual advises for the machine, because the defaults are for a machine of long ago.

use crate::{machine, wire};
use anyhow::Context;
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio_postgres::Config;

/// Where Debian and Ubuntu put version 15, which is not in the PATH there.
const DEBIAN_PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const CONNECTIONS_MAX: usize = 64;

/// Dropping it stops the server.
pub(crate) struct PostgreSqlServer {
    config: Config,
    child: Child,
    data_dir: PathBuf,
}

impl PostgreSqlServer {
    pub(crate) async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir(data_dir).with_context(|| format!("create {}", data_dir.display()))?;
        let account = Account::for_server()?;
        if let Some(account) = &account {
            chown(data_dir, Some(account.user), Some(account.group)).context("give PostgreSQL its directory")?;
        }
        let output = as_account("initdb", account.as_ref(), data_dir)?
            .args(["--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--pgdata"])
            .arg(data_dir)
            .output()
            .context("run initdb")?;
        anyhow::ensure!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));
        let port = machine::free_port()?;
        let log_path = data_dir.with_extension("log");
        let log = File::create(&log_path)?;
        let mut command = as_account("postgres", account.as_ref(), data_dir)?;
        command.arg("-D").arg(data_dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        for setting in settings(port) {
            command.args(["-c", &setting]);
        }
        let mut config = Config::new();
        config.host("127.0.0.1").port(port).user("postgres").dbname("postgres").application_name("bench");
        let child = command.spawn().context("start postgres")?;
        let mut server = Self { config: config.clone(), child, data_dir: data_dir.to_owned() };
        wire::connect_when_ready(&config, || server.check_alive(&log_path)).await?;
        Ok(server)
    }

    pub(crate) fn config(&self) -> Config {
        self.config.clone()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    fn check_alive(&mut self, log_path: &Path) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(log_path).unwrap_or_default();
            anyhow::bail!("postgres ended with {status}:\n{log}");
        }
        Ok(())
    }
}

impl Drop for PostgreSqlServer {
    fn drop(&mut self) {
        let stopped = Account::for_server()
            .and_then(|account| as_account("pg_ctl", account.as_ref(), &self.data_dir))
            .and_then(|mut command| {
                command.args(["stop", "--mode", "immediate", "--silent", "--pgdata"]).arg(&self.data_dir);
                Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).status()?)
            });
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// In the PATH, or where Debian puts it.
pub(crate) fn find_program(name: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from(DEBIAN_PROGRAMS)])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!("{name} was not found; install PostgreSQL 15 (Debian: apt-get install postgresql-15), or leave it out: --peers duckdb")
        })
}

fn settings(port: u16) -> Vec<String> {
    let memory_mib = machine::memory_bytes().unwrap_or(4 << 30) >> 20;
    vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        format!("max_connections={CONNECTIONS_MAX}"),
        format!("shared_buffers={}MB", memory_mib / 4),
        format!("effective_cache_size={}MB", memory_mib / 2),
        format!("work_mem={}MB", (memory_mib / 64).clamp(16, 1024)),
        "max_wal_size=8GB".to_owned(),
    ]
}

/// The user that PostgreSQL runs as, because it refuses to run as root.
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    fn for_server() -> anyhow::Result<Option<Self>> {
        if fs::metadata("/proc/self").context("look at this process")?.uid() != 0 {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("read the accounts")?;
        let find = |name: &str| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(Self { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
        };
        let account = find("postgres").or_else(|| find("nobody"));
        Ok(Some(account.context("PostgreSQL does not run as root, and there is no user postgres or nobody")?))
    }
}

fn as_account(program: &str, account: Option<&Account>, directory: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(find_program(program)?);
    command.current_dir(directory).env("LC_ALL", "C");
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
    Ok(command)
}
