//! Clients: sessions that find the server again after it was killed, and run one transaction after the other.

use super::{Level, Outcome};
use crate::session::{Failure, Session};
use anyhow::{Context, Result};
use rand::rngs::StdRng;
use std::net::SocketAddr;
use tokio::sync::watch;

/// Processes of a client that lost its connection have other numbers; clients are so far apart.
const PROCESSES: i64 = 1_000;

/// Where the server is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    At(SocketAddr),
    /// Killed, and not there again.
    Nowhere,
}

impl Place {
    fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Nowhere => None,
        }
    }
}

/// One of those who run transactions.
pub(crate) struct Client {
    pub random: StdRng,
    pub level: Level,
    pub number: i64,
    /// A process has one transaction at a time, so one whose last is unknown is never heard of again.
    pub process: i64,
    session: Option<Session>,
    place: watch::Receiver<Place>,
}

impl Client {
    pub(super) fn new(number: u64, level: Level, random: StdRng, place: &watch::Receiver<Place>) -> Self {
        Self {
            random,
            level,
            number: number as i64,
            process: number as i64 * PROCESSES,
            session: None,
            place: place.clone(),
        }
    }

    async fn session(&mut self) -> Result<&Session> {
        if self.session.is_none() {
            let session = loop {
                let place = self.place.wait_for(|place| place.address().is_some()).await;
                let address = place.context("the episode is over")?.address().context("a place was waited for")?;
                // The server may be killed right now.
                if let Ok(session) = Session::connect(address).await {
                    break session;
                }
                tokio::task::yield_now().await;
            };
            self.session = Some(session);
        }
        self.session.as_ref().context("a session was just made")
    }

    /// Waits for a connection, so that none of the time that passes for it is a transaction's.
    pub(super) async fn connect(&mut self) -> Result<()> {
        self.session().await.map(drop)
    }

    /// One statement of a transaction; `Err` ends it.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Result<Vec<Vec<Option<String>>>, Outcome>> {
        let answer = self.session().await?.rows(sql).await;
        self.outcome_of(answer, sql, Outcome::Lost)
    }

    /// COMMIT, or a statement that is a transaction by itself.
    pub(super) async fn commit(&mut self, sql: &str) -> Result<Outcome> {
        let answer = self.session().await?.rows(sql).await;
        Ok(match self.outcome_of(answer, sql, Outcome::Unknown)? {
            Ok(_) => Outcome::Committed,
            Err(outcome) => outcome,
        })
    }

    fn outcome_of<T>(&mut self, answer: Result<T, Failure>, sql: &str, lost: Outcome) -> Result<Result<T, Outcome>> {
        match answer {
            Ok(answer) => Ok(Ok(answer)),
            Err(failure) if failure.is_connection_loss() => {
                self.session = None;
                self.process += 1;
                Ok(Err(lost))
            }
            Err(failure) if failure.has_code("40001") => Ok(Err(Outcome::Conflict)),
            Err(failure) => Err(failure).with_context(|| sql.to_string()),
        }
    }

    /// After a transaction that failed while the connection stayed.
    pub(super) async fn roll_back(&mut self) -> Result<()> {
        if let Some(session) = &self.session {
            match session.run("ROLLBACK").await {
                Err(failure) if failure.is_connection_loss() => {
                    self.session = None;
                    self.process += 1;
                }
                other => drop(other?),
            }
        }
        Ok(())
    }
}
