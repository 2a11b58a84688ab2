//! Generated lines into a server, as fast as it takes them or at a rate.
//!
//! At a rate, what is due goes out as a COPY of its own ten times a second, so that the rows are there for others while the stream goes
//! on. Where the server does not keep up, the stream falls behind and does not catch up in a burst.

use super::PIECE_BYTES;
use super::command::Lines;
use crate::client::{connect, literal, server_error};
use bytes::Bytes;
use futures::SinkExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

const TICK: Duration = Duration::from_millis(100);

/// Where lines go.
pub(super) struct Target<'a> {
    pub(super) server: &'a str,
    pub(super) table: &'a str,
    /// What creates the table where there is none.
    pub(super) definition: Option<String>,
    /// What cannot be loaded goes to a table of its own.
    pub(super) rejects: bool,
    pub(super) rate: Option<u64>,
    pub(super) password_file: Option<&'a Path>,
}

/// Sends all lines and gives the seconds that it took.
pub(super) async fn send(target: &Target<'_>, lines: &mut Lines<'_>) -> anyhow::Result<f64> {
    let client = connect(target.server, target.password_file, "meridian generate").await?;
    if let Some(definition) = &target.definition {
        let statement = definition.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
        client.batch_execute(&statement).await.map_err(server_error)?;
    }
    let rejects = format!(", REJECT_TABLE {}", literal(&format!("{}_rejects", target.table)));
    let rejects = if target.rejects { rejects.as_str() } else { "" };
    let statement = format!("COPY {} FROM STDIN WITH (FORMAT csv{rejects})", target.table);
    let started = Instant::now();
    match target.rate {
        None => drop(copy(&client, &statement, lines, u64::MAX).await?),
        Some(rate) => at_rate(&client, &statement, lines, rate).await?,
    }
    Ok(started.elapsed().as_secs_f64())
}

async fn at_rate(client: &Client, statement: &str, lines: &mut Lines<'_>, rate: u64) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let ticks_per_second = (1_000 / TICK.as_millis()) as u64;
    // What is left of a row when the rate is no multiple of the ticks.
    let mut owed = 0;
    loop {
        ticks.tick().await;
        owed += rate;
        let due = owed / ticks_per_second;
        owed %= ticks_per_second;
        if due > 0 && copy(client, statement, lines, due).await? < due {
            return Ok(());
        }
    }
}

/// Sends up to so many lines in one COPY and gives their number.
async fn copy(client: &Client, statement: &str, lines: &mut Lines<'_>, rows_max: u64) -> anyhow::Result<u64> {
    let mut piece = Vec::with_capacity(PIECE_BYTES + 256);
    let mut sent = 0;
    let mut fill = |piece: &mut Vec<u8>| {
        while sent < rows_max && piece.len() < PIECE_BYTES && lines.write_next(piece) {
            sent += 1;
        }
    };
    fill(&mut piece);
    if piece.is_empty() {
        return Ok(0);
    }
    let sink = client.copy_in::<_, Bytes>(statement).await.map_err(server_error)?;
    let mut sink = std::pin::pin!(sink);
    while !piece.is_empty() {
        if sink.send(Bytes::from(std::mem::take(&mut piece))).await.is_err() {
            // The server has refused something; its error comes with the end.
            break;
        }
        fill(&mut piece);
    }
    sink.finish().await.map_err(server_error)?;
    Ok(sent)
}
