//! The bank: money goes from account to account and is never more or less, in tables and in views over them.
//!
//! Each transfer writes a line with its number, so that at the end each account can be computed again from the lines, and a transfer
//! that was refused is seen if it is there all the same.

use super::Outcome;
use super::client::Client;
use crate::session::Session;
use anyhow::{Result, ensure};
use rand::Rng;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const ACCOUNTS: i64 = 8;
const BALANCE: i64 = 1_000;
const AMOUNT_MAX: i64 = 20;
/// The numbers of a client's transfers begin so far behind those of the one before.
const NUMBERS: i64 = 10_000_000;
/// The share of transactions that only look.
const LOOKS: f64 = 0.3;

/// What was done, and how it ended. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<Noted>>>);

#[derive(Clone, Copy, Debug)]
struct Noted {
    /// The number of a transfer; `None` where somebody only looked.
    transfer: Option<i64>,
    outcome: Outcome,
}

impl Journal {
    fn note(&self, transfer: Option<i64>, outcome: Outcome) {
        self.0.lock().expect("no thread panics while it writes").push(Noted { transfer, outcome });
    }

    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        self.0.lock().expect("no thread panics while it writes").iter().map(|noted| noted.outcome).collect()
    }
}

pub(super) fn set_up() -> Vec<String> {
    [
        "DROP MATERIALIZED VIEW IF EXISTS total".to_string(),
        "DROP TABLE IF EXISTS accounts, transfers".to_string(),
        "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL)".to_string(),
        "CREATE TABLE transfers (id bigint PRIMARY KEY, source bigint NOT NULL, target bigint NOT NULL, \
         amount bigint NOT NULL)"
            .to_string(),
        "CREATE MATERIALIZED VIEW total AS SELECT sum(balance) AS total, count(*) AS n FROM accounts".to_string(),
        format!("INSERT INTO accounts SELECT g, {BALANCE} FROM generate_series(0, {}) g", ACCOUNTS - 1),
    ]
    .into()
}

pub(super) async fn work(mut client: Client, journal: Journal, transactions: u64) -> Result<()> {
    for number in 0..transactions as i64 {
        client.connect().await?;
        let transfer = (!client.random.random_bool(LOOKS)).then_some(client.number * NUMBERS + number);
        let outcome = match transfer {
            None => look(&mut client).await?,
            Some(transfer) => move_money(&mut client, transfer).await?,
        };
        if let Outcome::Conflict | Outcome::Lost = outcome {
            client.roll_back().await?;
        }
        journal.note(transfer, outcome);
    }
    Ok(())
}

/// Reads the sum twice, once from the view, and all accounts one by one where they are of one snapshot.
async fn look(client: &mut Client) -> Result<Outcome> {
    let mut statements = vec!["SELECT sum(balance) FROM accounts".to_string(), "SELECT total FROM total".to_string()];
    let one_by_one = client.level.reads_one_snapshot();
    if one_by_one {
        statements.extend((0..ACCOUNTS).map(|account| format!("SELECT balance FROM accounts WHERE id = {account}")));
    }
    if let Err(outcome) = client.ask(&format!("BEGIN ISOLATION LEVEL {}", client.level.sql())).await? {
        return Ok(outcome);
    }
    let mut seen = Vec::new();
    for statement in &statements {
        match client.ask(statement).await? {
            Ok(rows) => seen.push(rows[0][0].as_deref().unwrap_or_default().parse::<i64>()?),
            Err(outcome) => return Ok(outcome),
        }
    }
    let expected = ACCOUNTS * BALANCE;
    ensure!(seen[0] == expected, "the accounts summed up to {} instead of {expected}", seen[0]);
    ensure!(seen[1] == expected, "the view said {} instead of {expected}", seen[1]);
    let sum: i64 = seen[2..].iter().sum();
    ensure!(!one_by_one || sum == expected, "the accounts, read one by one, summed up to {sum} instead of {expected}");
    client.commit("COMMIT").await
}

async fn move_money(client: &mut Client, transfer: i64) -> Result<Outcome> {
    let source = client.random.random_range(0..ACCOUNTS);
    let target = (source + client.random.random_range(1..ACCOUNTS)) % ACCOUNTS;
    let amount = client.random.random_range(1..=AMOUNT_MAX);
    let mut statements = vec![format!("BEGIN ISOLATION LEVEL {}", client.level.sql())];
    for (account, change) in [(source, -amount), (target, amount)] {
        if !client.level.reads_one_snapshot() {
            statements.push(format!("UPDATE accounts SET balance = balance + ({change}) WHERE id = {account}"));
        }
    }
    statements.push(format!("INSERT INTO transfers VALUES ({transfer}, {source}, {target}, {amount})"));
    for statement in &statements {
        if let Err(outcome) = client.ask(statement).await? {
            return Ok(outcome);
        }
    }
    if client.level.reads_one_snapshot()
        && let Err(outcome) = set_balances(client, [(source, -amount), (target, amount)]).await?
    {
        return Ok(outcome);
    }
    client.commit("COMMIT").await
}

/// Writes balances that were computed from what was read, as applications do.
async fn set_balances(client: &mut Client, changes: [(i64, i64); 2]) -> Result<Result<(), Outcome>> {
    for (account, change) in changes {
        let balance = match client.ask(&format!("SELECT balance FROM accounts WHERE id = {account}")).await? {
            Ok(rows) => rows[0][0].as_deref().unwrap_or_default().parse::<i64>()? + change,
            Err(outcome) => return Ok(Err(outcome)),
        };
        let update = format!("UPDATE accounts SET balance = {balance} WHERE id = {account}");
        if let Err(outcome) = client.ask(&update).await? {
            return Ok(Err(outcome));
        }
    }
    Ok(Ok(()))
}

/// Compares the accounts with the lines, and the lines with what was acknowledged.
pub(super) async fn judge(session: &Session, journal: &Journal) -> Result<()> {
    let wrong = session
        .rows(&format!(
            "SELECT id, balance FROM accounts a WHERE balance <> {BALANCE} \
             + coalesce((SELECT sum(amount) FROM transfers WHERE target = a.id), 0) \
             - coalesce((SELECT sum(amount) FROM transfers WHERE source = a.id), 0)"
        ))
        .await?;
    ensure!(wrong.is_empty(), "accounts are not what their transfers make of them: {wrong:?}");
    let there = session.rows("SELECT id FROM transfers").await?;
    let there =
        there.iter().filter_map(|row| row[0].as_deref()).map(str::parse).collect::<Result<BTreeSet<i64>, _>>()?;
    let noted = journal.0.lock().expect("no thread panics while it writes");
    for (transfer, outcome) in noted.iter().filter_map(|noted| Some((noted.transfer?, noted.outcome))) {
        let is_there = there.contains(&transfer);
        match outcome {
            Outcome::Committed => ensure!(is_there, "transfer {transfer} was acknowledged and is not there"),
            Outcome::Conflict | Outcome::Lost => ensure!(!is_there, "transfer {transfer} was refused and is there"),
            Outcome::Unknown => {}
        }
    }
    Ok(())
}
