//! A crowd: 200 clients that send a heavy query each at the same moment, to a server with 2 GB for all of them.
//!
//! Every answer is compared with the one that the query gave alone. A query may be refused with 53200, which is counted; it may not be
//! wrong, fail in another way, or never end.

use crate::machine;
use crate::report::{Report, Unit};
use crate::system::{End, Kind, System, Workshop};
use crate::wire::{Wire, explain};
use anyhow::Context;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Barrier;
use tokio_postgres::error::SqlState;

const CLIENTS: usize = 200;
const MEMORY: &str = "2GB";
/// A query that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(600);
/// About a sixth of all rows. Each query keeps something for each of them, or sorts them.
const HEAVY: [&str; 4] = [
    "SELECT customer_id, count(*) AS orders, sum(amount) AS revenue FROM sales WHERE sale_date >= DATE '2025-10-01' \
     GROUP BY customer_id ORDER BY revenue DESC, customer_id LIMIT 10",
    "SELECT count(*) AS pairs, sum(orders) AS orders FROM (SELECT customer_id, product_id, count(*) AS orders FROM sales \
     WHERE sale_date >= DATE '2025-10-01' GROUP BY customer_id, product_id) AS pairs",
    "SELECT count(*) AS orders, sum(one.amount + other.unit_price) AS total FROM sales AS one \
     JOIN sales AS other ON one.transaction_id = other.transaction_id \
     WHERE one.sale_date >= DATE '2025-10-01' AND other.sale_date >= DATE '2025-10-01'",
    "SELECT count(*) AS orders, sum(place * quantity) AS weighed FROM (SELECT quantity, \
     row_number() OVER (ORDER BY amount DESC, transaction_id) AS place FROM sales \
     WHERE sale_date >= DATE '2025-10-01') AS places",
];

/// How one query ended.
enum Outcome {
    Answered(Vec<String>),
    Refused,
    Failed(anyhow::Error),
    Hung,
}

pub(crate) async fn measure(workshop: &Workshop, system: &mut System, report: &mut Report) -> anyhow::Result<()> {
    let config = workshop.fresh_path("config");
    std::fs::write(&config, format!("max_connections = {}\n", CLIENTS + 10))?;
    let arguments = ["--memory".into(), MEMORY.into(), "--config".into(), config.into()];
    system.set_arguments(arguments.to_vec());
    if system.restart(End::Asked).await?.is_none() {
        eprintln!("  no crowd for a server that this run did not start");
        return Ok(());
    }
    let process_id = system.process_id().context("the server has no process")?;
    let wire = system.wire().context("Meridian is reached by the wire")?;
    wire.compute_each_answer().await?;
    let mut expected = Vec::with_capacity(HEAVY.len());
    for query in HEAVY {
        let answer = wire.query(query).await?;
        eprintln!("  alone {:.2} s", answer.took.as_secs_f64());
        expected.push(answer.canonical());
    }
    let barrier = Arc::new(Barrier::new(CLIENTS + 1));
    let mut clients = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let client = wire.another().await.with_context(|| format!("connect client {number}"))?;
        clients.push(tokio::spawn(ask(client, HEAVY[number % HEAVY.len()], Arc::clone(&barrier))));
    }
    machine::forget_memory_peak(process_id);
    let started = Instant::now();
    barrier.wait().await;
    let mut refused = 0;
    for (number, client) in clients.into_iter().enumerate() {
        match client.await.context("a client stopped")? {
            Outcome::Answered(lines) if lines == expected[number % HEAVY.len()] => {}
            Outcome::Answered(_) => report.problem(format!("client {number} of the crowd has a wrong answer")),
            Outcome::Refused => refused += 1,
            Outcome::Failed(error) => report.problem(format!("client {number} of the crowd: {error:#}")),
            Outcome::Hung => report.problem(format!("client {number} of the crowd waits for ever")),
        }
    }
    let took = started.elapsed();
    let peak = system.usage().and_then(|usage| usage.memory_peak_bytes).context("read the peak of memory")?;
    eprintln!("  {CLIENTS} clients {:.1} s, {:.0} MB, {refused} refused", took.as_secs_f64(), peak as f64 / 1e6);
    let mut record = |name, unit, value| report.record(Kind::Meridian, name, unit, value);
    record("200 clients with heavy queries, --memory 2GB, peak of memory", Unit::Bytes, peak as f64);
    record("  to the last answer", Unit::Seconds, took.as_secs_f64());
    record("  refused with 53200", Unit::Count, f64::from(refused));
    Ok(())
}

async fn ask(mut client: Wire, query: &str, barrier: Arc<Barrier>) -> Outcome {
    barrier.wait().await;
    match tokio::time::timeout(PATIENCE, client.attempt(query)).await {
        Err(_) => Outcome::Hung,
        Ok(Ok(answer)) => Outcome::Answered(answer.canonical()),
        Ok(Err(error)) if error.code() == Some(&SqlState::OUT_OF_MEMORY) => Outcome::Refused,
        Ok(Err(error)) => Outcome::Failed(explain(error)),
    }
}
