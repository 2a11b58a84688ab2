//! What was seen at some moments, and must be seen again of them whatever was killed since.

use crate::session::Session;
use anyhow::{Context, Result, ensure};
use rand::Rng;
use rand::rngs::StdRng;

/// How many moments are looked at again after each kill.
const LOOKED_AT: usize = 4;

/// Times with what the tables and a view had then.
#[derive(Debug, Default)]
pub(super) struct Moments(Vec<(String, String)>);

impl Moments {
    /// Notes what is there now. Nobody may write meanwhile.
    pub(super) async fn note(&mut self, session: &Session) -> Result<()> {
        let seen = value(session, &contents("")).await?;
        self.0.push((value(session, "SELECT clock_timestamp()").await?, seen));
        Ok(())
    }

    /// Reads some of the moments as they were; gives how many.
    pub(super) async fn verify(&self, session: &Session, random: &mut StdRng) -> Result<u64> {
        let looked_at = LOOKED_AT.min(self.0.len());
        for _ in 0..looked_at {
            let (time, expected) = &self.0[random.random_range(0..self.0.len())];
            let seen = value(session, &contents(&format!("FOR SYSTEM_TIME AS OF '{time}'"))).await?;
            ensure!(seen == *expected, "as of {time} there was \"{expected}\", and \"{seen}\" is read of it");
        }
        Ok(looked_at as u64)
    }
}

fn contents(when: &str) -> String {
    format!(
        "SELECT (SELECT concat_ws(' ', count(*), sum(amount), sum(marker), sum(line)) FROM ledger {when}) || ', ' || \
         (SELECT concat_ws(' ', count(*), sum(total)) FROM receipts {when}) || ', ' || \
         (SELECT concat_ws(' ', count(*), sum(lines), sum(total), sum(last_marker)) FROM by_writer {when})"
    )
}

async fn value(session: &Session, sql: &str) -> Result<String> {
    session.value(sql).await.with_context(|| sql.to_string())?.with_context(|| format!("{sql} gave NULL"))
}
