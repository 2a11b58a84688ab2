//! Both servers: a connection to each, in the same time zone, asked the same statement.

use super::client::{Client, Outcome};
use super::comparison::{Kind, Verdict, compare};
use super::magnitudes::magnitude_query;
use super::statement::Statement;
use super::tables::Table;
use super::values::quoted;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use tokio_postgres::Config;

/// A statement over tables this small that takes longer hangs.
const STATEMENT_TIMEOUT_MS: u32 = 20_000;

/// Where the servers are.
#[derive(Clone, Debug)]
pub struct Targets {
    pub meridian: Config,
    pub postgres: Config,
}

impl Targets {
    /// A Meridian at an address, and a PostgreSQL by its connection string.
    pub fn new(meridian: SocketAddr, postgres: &str) -> Result<Self> {
        let mut config = Config::new();
        config.host(meridian.ip().to_string()).port(meridian.port()).user("meridian").dbname("meridian");
        Ok(Self { meridian: config, postgres: postgres.parse().context("this is no connection string")? })
    }
}

/// A statement's answers and how they compare.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub verdict: Verdict,
    pub meridian: Outcome,
    pub postgres: Outcome,
}

pub(crate) struct Servers {
    pub meridian: Client,
    pub postgres: Client,
    zone: &'static str,
}

impl Servers {
    pub(crate) async fn connect(targets: &Targets) -> Result<Self> {
        let meridian = Client::connect(&targets.meridian).await.context("Meridian cannot be reached")?;
        let postgres = Client::connect(&targets.postgres).await.context("PostgreSQL cannot be reached")?;
        let mut servers = Self { meridian, postgres, zone: "" };
        servers.set_up().await?;
        Ok(servers)
    }

    /// Makes the tables on both servers.
    pub(crate) async fn create_tables(&mut self, seed: u64) -> Result<()> {
        for sql in Table::ALL.iter().flat_map(|table| table.creation(seed)) {
            self.run_on_both(&sql).await?;
        }
        Ok(())
    }

    /// Sets the time zone of both sessions.
    pub(crate) async fn set_zone(&mut self, zone: &'static str) -> Result<()> {
        if self.zone != zone {
            self.run_on_both(&format!("SET TimeZone = {}", quoted(zone))).await?;
            self.zone = zone;
        }
        Ok(())
    }

    /// Asks both and compares.
    pub(crate) async fn compare(&mut self, statement: &Statement) -> Result<Comparison> {
        self.set_zone(statement.zone).await?;
        let sql = statement.sql();
        let (meridian, postgres) = tokio::join!(self.meridian.ask(&sql), self.postgres.ask(&sql));
        self.judge(statement, meridian, postgres).await
    }

    /// Asks both for statements of one zone, all of which are sent before the first answer is read, and compares each.
    pub(crate) async fn compare_all(&mut self, statements: &[Statement]) -> Result<Vec<Comparison>> {
        let Some(first) = statements.first() else { return Ok(Vec::new()) };
        self.set_zone(first.zone).await?;
        let texts: Vec<String> = statements.iter().map(Statement::sql).collect();
        let (meridian, postgres) = tokio::join!(self.meridian.ask_all(&texts), self.postgres.ask_all(&texts));
        let mut answers = meridian.into_iter().zip(postgres);
        let mut comparisons = Vec::with_capacity(statements.len());
        for statement in statements {
            // Behind a lost connection there are no answers.
            comparisons.push(match answers.next() {
                Some((meridian, postgres)) => self.judge(statement, meridian, postgres).await?,
                None => self.compare(statement).await?,
            });
        }
        Ok(comparisons)
    }

    /// Compares what both have answered.
    pub(crate) async fn judge(
        &mut self,
        statement: &Statement,
        meridian: Outcome,
        postgres: Outcome,
    ) -> Result<Comparison> {
        let mut verdict = compare(statement, &meridian, &postgres, None);
        if let (Verdict::Different(Kind::Value), Some(magnitudes)) = (&verdict, magnitude_query(statement)) {
            let magnitudes = self.postgres.ask(&magnitudes).await;
            verdict = compare(statement, &meridian, &postgres, Some(&magnitudes));
        }
        if verdict == Verdict::Different(Kind::ConnectionLost) {
            self.meridian.reconnect().await.with_context(|| format!("Meridian is gone after: {}", statement.sql()))?;
            self.zone = "";
            self.set_up().await?;
        }
        Ok(Comparison { verdict, meridian, postgres })
    }

    async fn set_up(&mut self) -> Result<()> {
        self.run_on_both(&format!("SET statement_timeout = {STATEMENT_TIMEOUT_MS}")).await
    }

    async fn run_on_both(&mut self, sql: &str) -> Result<()> {
        let (meridian, postgres) = tokio::join!(self.meridian.ask(sql), self.postgres.ask(sql));
        for (server, outcome) in [("Meridian", meridian), ("PostgreSQL", postgres)] {
            if let Outcome::Failure(failure) = outcome {
                bail!("{server} refuses {sql}: {failure}");
            }
        }
        Ok(())
    }
}
