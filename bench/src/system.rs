//! A system under measurement, whatever it is: something that loads csv, takes rows and answers queries.

use crate::Options;
use crate::answer::Answer;
use crate::data::Files;
use crate::dialect;
use crate::embedded::{Embedded, Environment};
use crate::machine::{self, Usage};
use crate::meridian::{self, MeridianServer};
use crate::postgresql::PostgreSqlServer;
use crate::view_definitions::VIEWS;
use crate::wire::{CopyFormat, Wire};
use anyhow::Context;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Meridian,
    DuckDb,
    PostgreSql,
    ClickHouse,
    /// The engine below Meridian, with its own SQL and arithmetic, over Parquet files of its own. It only answers queries.
    DataFusion,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meridian => "Meridian",
            Self::DuckDb => "DuckDB",
            Self::PostgreSql => "PostgreSQL",
            Self::ClickHouse => "ClickHouse",
            Self::DataFusion => "DataFusion",
        }
    }
}

/// What all systems of a run share: options, data, programs, the directory for their databases.
pub(crate) struct Workshop {
    pub(crate) options: Options,
    pub(crate) files: Files,
    /// Where generated data and the Python environment stay.
    pub(crate) cache: PathBuf,
    meridian: PathBuf,
    environment: Option<Environment>,
    directory: TempDir,
}

impl Workshop {
    /// Finds or prepares everything that can be missing, before the first measurement.
    pub(crate) fn open(options: &Options) -> anyhow::Result<Self> {
        let cache = cache_dir(options)?;
        std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
        let meridian = meridian::program(options.meridian.as_deref())?;
        let kinds = options.kinds();
        if kinds.contains(&Kind::PostgreSql) {
            crate::postgresql::find_program("postgres")?;
        }
        let packages: Vec<&str> = kinds.iter().filter_map(|kind| Embedded::package(*kind)).collect();
        let environment = if packages.is_empty() { None } else { Some(Environment::prepare(&cache, &packages)?) };
        let directory = tempfile::Builder::new()
            .prefix("meridian-bench-")
            .tempdir_in(&options.work_dir)
            .with_context(|| format!("create a directory in {}", options.work_dir.display()))?;
        // PostgreSQL runs as another user than root and has to get to its own directory below.
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let files = Files::new(meridian.clone(), cache.clone());
        Ok(Self { options: options.clone(), files, cache, meridian, environment, directory })
    }

    /// A new, empty directory name; the name says what it is for.
    pub(crate) fn fresh_path(&self, name: &str) -> PathBuf {
        (1..)
            .map(|number| self.directory.path().join(format!("{name}-{number}")))
            .find(|path| !path.exists())
            .expect("numbers do not run out")
    }

    /// Starts a system on an empty database.
    pub(crate) async fn start(&self, kind: Kind) -> anyhow::Result<System> {
        let backend = match kind {
            Kind::Meridian => {
                let server = match &self.options.url {
                    Some(url) => MeridianServer::running(url)?,
                    None => MeridianServer::start(&self.meridian, &self.fresh_path("meridian")).await?,
                };
                Backend::Meridian(Remote::connect(server.config(), server).await?)
            }
            Kind::PostgreSql => {
                let server = PostgreSqlServer::start(&self.fresh_path("postgresql")).await?;
                Backend::PostgreSql(Remote::connect(server.config(), server).await?)
            }
            Kind::DuckDb | Kind::ClickHouse | Kind::DataFusion => {
                let environment = self.environment.as_ref().context("no Python environment was prepared")?;
                Backend::Embedded(Embedded::start(environment, kind, &self.fresh_path(kind.name()))?)
            }
        };
        let mut system = System { kind, version: String::new(), definition: String::new(), backend };
        system.version = system.ask_version().await?;
        Ok(system)
    }
}

fn cache_dir(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(directory) = &options.cache_dir {
        return Ok(directory.clone());
    }
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache"),
        (None, None) => anyhow::bail!("name a folder for generated data with --cache-dir"),
    };
    Ok(base.join("meridian-bench"))
}

/// How long single-row commits took.
pub(crate) struct Inserts {
    pub(crate) each: Vec<Duration>,
    pub(crate) total: Duration,
}

pub(crate) struct System {
    pub(crate) kind: Kind,
    /// As the system itself gives it.
    pub(crate) version: String,
    /// Of the table that a load is to make, where tables are files.
    definition: String,
    backend: Backend,
}

enum Backend {
    Meridian(Box<Remote<MeridianServer>>),
    PostgreSql(Box<Remote<PostgreSqlServer>>),
    Embedded(Embedded),
}

/// A server and a client of it. Dropping them stops the server.
struct Remote<Server> {
    wire: Wire,
    server: Server,
}

impl<Server> Remote<Server> {
    async fn connect(config: tokio_postgres::Config, server: Server) -> anyhow::Result<Box<Self>> {
        Ok(Box::new(Self { wire: Wire::connect(config).await?, server }))
    }
}

/// By which road a system is reached.
enum Road<'a> {
    Wire(&'a mut Wire),
    Embedded(&'a mut Embedded),
}

impl Backend {
    fn road(&mut self) -> Road<'_> {
        match self {
            Self::Meridian(remote) => Road::Wire(&mut remote.wire),
            Self::PostgreSql(remote) => Road::Wire(&mut remote.wire),
            Self::Embedded(embedded) => Road::Embedded(embedded),
        }
    }
}

impl System {
    pub(crate) async fn execute(&mut self, sql: &str) -> anyhow::Result<Duration> {
        self.query(sql).await.map(|answer| answer.took)
    }

    pub(crate) async fn query(&mut self, sql: &str) -> anyhow::Result<Answer> {
        let answer = match self.backend.road() {
            Road::Wire(wire) => wire.query(sql).await,
            Road::Embedded(embedded) => embedded.run(&[sql]),
        };
        answer.with_context(|| format!("{}: {sql}", self.kind.name()))
    }

    /// An empty table `sales`.
    pub(crate) async fn create_table(&mut self, files: &Files) -> anyhow::Result<()> {
        self.create_table_as(files.table_definition()?).await
    }

    /// An empty table `sales` by a definition as Meridian takes it.
    pub(crate) async fn create_table_as(&mut self, definition: &str) -> anyhow::Result<()> {
        if matches!(&self.backend, Backend::Meridian(remote) if !remote.server.is_ours()) {
            for view in VIEWS.iter().rev() {
                self.execute(&format!("DROP MATERIALIZED VIEW IF EXISTS {}", view.name)).await?;
            }
            self.execute("DROP TABLE IF EXISTS sales, products, customers").await?;
        }
        if self.kind == Kind::DataFusion {
            self.definition = definition.to_owned();
            return Ok(());
        }
        self.execute(&dialect::create_table(self.kind, definition)).await?;
        Ok(())
    }

    /// Loads a csv file into `sales`, to the durable acknowledgement where the system gives one.
    pub(crate) async fn load(&mut self, file: &Path, settle: Settle) -> anyhow::Result<Duration> {
        let loaded = match self.backend.road() {
            Road::Wire(wire) => wire.copy(file, CopyFormat::Csv).await,
            Road::Embedded(embedded) => {
                let statements = match self.kind {
                    Kind::DataFusion => dialect::load_datafusion(&self.definition, file, embedded.directory()),
                    kind => dialect::load(kind, file, settle),
                };
                let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
                embedded.run(&statements).map(|answer| answer.took)
            }
        };
        loaded.with_context(|| format!("{}: load {}", self.kind.name(), file.display()))
    }

    /// Single-row inserts into `sales`, each committed by itself, shared out among `clients`.
    pub(crate) async fn insert(&mut self, rows: &[Vec<String>], clients: usize) -> anyhow::Result<Inserts> {
        let inserted = match self.backend.road() {
            Road::Wire(wire) => wire.insert(rows, clients).await,
            Road::Embedded(embedded) => embedded.insert(rows, clients),
        };
        inserted.with_context(|| format!("{}: insert", self.kind.name()))
    }

    /// Ends a Meridian that this run started and starts it again on its data; how long the start took to the first connection.
    pub(crate) async fn restart(&mut self, end: End) -> anyhow::Result<Option<Duration>> {
        let Some(remote) = self.own_meridian() else { return Ok(None) };
        match end {
            End::Asked => remote.server.stop()?,
            End::Killed => remote.server.kill()?,
        }
        let started = Instant::now();
        remote.server.start_again().await?;
        remote.wire = Wire::connect(remote.server.config()).await?;
        Ok(Some(started.elapsed()))
    }

    /// With what arguments a Meridian that this run started is started the next time.
    pub(crate) fn set_arguments(&mut self, arguments: Vec<OsString>) {
        if let Some(remote) = self.own_meridian() {
            remote.server.set_arguments(arguments);
        }
    }

    /// The data directory of a Meridian that this run started.
    pub(crate) fn data_dir(&mut self) -> Option<&Path> {
        self.own_meridian()?.server.data_dir()
    }

    fn own_meridian(&mut self) -> Option<&mut Remote<MeridianServer>> {
        match &mut self.backend {
            Backend::Meridian(remote) if remote.server.is_ours() => Some(remote),
            _ => None,
        }
    }

    /// The client of a system that is reached by the Postgres protocol.
    pub(crate) fn wire(&mut self) -> Option<&mut Wire> {
        match self.backend.road() {
            Road::Wire(wire) => Some(wire),
            Road::Embedded(_) => None,
        }
    }

    /// What planners want to know after a load, outside of any measurement.
    pub(crate) async fn analyze(&mut self) -> anyhow::Result<()> {
        if self.kind == Kind::PostgreSql {
            self.execute("ANALYZE sales").await?;
        }
        Ok(())
    }

    /// The process's processor time and peak of memory; nothing for a server that this run did not start.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match &self.backend {
            Backend::Meridian(remote) => remote.server.process_id().map(Usage::of_process),
            // Its processes share most of their memory, so that adding up their peaks would mean nothing.
            Backend::PostgreSql(remote) => {
                let usage = Usage::of_tree(remote.server.process_id());
                Some(Usage { memory_peak_bytes: None, ..usage })
            }
            Backend::Embedded(embedded) => Some(Usage::of_process(embedded.process_id())),
        }
    }

    /// The one process whose memory tells something.
    pub(crate) fn process_id(&self) -> Option<u32> {
        match &self.backend {
            Backend::Meridian(remote) => remote.server.process_id(),
            Backend::PostgreSql(_) => None,
            Backend::Embedded(embedded) => Some(embedded.process_id()),
        }
    }

    /// What the database takes on the disk.
    pub(crate) async fn disk_bytes(&mut self) -> anyhow::Result<Option<u64>> {
        match &mut self.backend {
            Backend::Meridian(remote) => remote.server.data_dir().map(machine::disk_bytes).transpose(),
            Backend::PostgreSql(remote) => {
                let answer = remote.wire.query("SELECT pg_total_relation_size('sales')").await?;
                Ok(answer.single().and_then(|bytes| bytes.parse().ok()))
            }
            Backend::Embedded(embedded) => machine::disk_bytes(embedded.directory()).map(Some),
        }
    }

    async fn ask_version(&mut self) -> anyhow::Result<String> {
        let answer = self.query("SELECT version()").await?;
        let text = answer.single().unwrap_or_default().to_owned();
        // "PostgreSQL 15.18 (Debian …) on …" and "PostgreSQL 15.0 (Meridian 0.1.0)" say more than the number.
        let numbers: Vec<&str> =
            text.split_whitespace().filter(|word| word.contains(|c: char| c.is_ascii_digit())).collect();
        let number = match self.kind {
            Kind::Meridian => text.split("Meridian ").nth(1).and_then(|rest| rest.split([')', ' ', ',']).next()),
            _ => numbers.first().copied(),
        };
        Ok(number.unwrap_or(&text).trim_matches(['v', ',']).to_owned())
    }
}

/// How a server comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Asked,
    Killed,
}

/// Whether a load ends with a checkpoint, in systems that would otherwise leave the rows in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    Checkpoint,
    Commit,
}
