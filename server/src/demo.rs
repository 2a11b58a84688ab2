//! `meridian demo`: a server with generated sales in it, and something to try.
//!
//!     serve ─ready─▶ table, COPY, views (a session of its own, beside the clients') ─▶ what to try
//!                                                           └─ --live ─▶ a few sales a second until stopped
//!
//! A data directory that holds the demo already is used as it is. Nothing here is special to the engine: the statements are
//! those that a client would send.

use crate::config::{ServeConfig, ServeOptions};
use crate::generate::{Order, SALES_TABLE, Sales};
use crate::output::tell;
use crate::serve::{self, Ready};
use anyhow::Context;
use arrow::array::{Array, Int64Array, RecordBatch};
use bytes::Bytes;
use clap::Args;
use futures::TryStreamExt;
use query::error::{ErrorKind, QueryError};
use query::response::Response;
use query::{ConnectOptions, Session};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

const SEED: u64 = 1;
/// How far the generator runs ahead of the load.
const PIECES_AHEAD: usize = 8;
/// What tells the demo's session from clients', whose ids begin at 1.
const PROCESS_ID: i32 = 0;
const LIVE_INTERVAL: Duration = Duration::from_millis(400);
const LIVE_SALES_MAX: u64 = 4;
/// Every so many intervals a customer changes his mind about the last sale.
const LIVE_WITHDRAWAL_INTERVALS: u64 = 12;

const VIEWS: [&str; 2] = [
    "CREATE MATERIALIZED VIEW IF NOT EXISTS revenue_by_day AS SELECT region, sale_date, sum(amount) AS revenue, \
     count(*) AS orders FROM sales WHERE status = 'completed' GROUP BY region, sale_date",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS product_sales AS SELECT category, product_id, sum(quantity) AS quantity, \
     sum(amount) AS revenue FROM sales GROUP BY category, product_id",
];

const TO_TRY: &str = "\
  try      SELECT region, sum(amount) FROM sales WHERE sale_date >= '2025-06-01' GROUP BY region ORDER BY 2 DESC;
           SELECT * FROM revenue_by_day WHERE region = 'EMEA' ORDER BY sale_date DESC LIMIT 7;
           SELECT * FROM product_sales ORDER BY revenue DESC LIMIT 10;
           EXPLAIN SELECT count(*) FROM sales WHERE region = 'APAC' AND sale_date = '2025-12-24';
           INSERT INTO sales SELECT * FROM sales WHERE transaction_id = 42;    -- and read the views again";

const TO_WATCH: &str = "\
  live     a few sales a second, dated today:
           SELECT region, revenue, orders FROM revenue_by_day WHERE sale_date = current_date ORDER BY region \\watch 1";

/// Serve generated sales, with views on them and queries worth trying.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian demo
  meridian demo --live --rows 5000000
  meridian demo --data-dir ./demo-data           keeps the data for the next time")]
pub(crate) struct DemoOptions {
    /// Keep selling: a few sales a second, so that views visibly move
    #[arg(long)]
    pub(crate) live: bool,
    /// How many sales to load
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) rows: u64,
    /// Where the data lies and stays [default: a temporary directory, deleted on exit]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The address to listen on; port 0 takes a free one [env: MERIDIAN_LISTEN] [default: 127.0.0.1:5433]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
}

/// Serves the demo until the process is asked to stop.
pub(crate) async fn run(options: DemoOptions) -> anyhow::Result<()> {
    let place = Place::find(&options)?;
    let config = ServeConfig::load(&ServeOptions {
        data_dir: Some(place.path.clone()),
        listen: options.listen.clone(),
        ..ServeOptions::default()
    })?;
    let stop = serve::stop_on_signals().context("could not listen for signals")?;
    let (ready, started) = oneshot::channel();
    let server = serve::serve(config, ready, stop.clone());
    let show = async {
        // Without an answer the server did not start, and says why itself.
        let Ok(ready) = started.await else { return Ok(()) };
        let shown = tokio::select! {
            shown = show(&options, &place, ready) => shown,
            () = stop.cancelled() => return Ok(()),
        };
        if shown.is_err() {
            stop.cancel();
        }
        shown
    };
    let (served, shown) = tokio::join!(server, show);
    served?;
    shown
}

/// Where the demo's data lies.
struct Place {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Place {
    fn find(options: &DemoOptions) -> anyhow::Result<Self> {
        if let Some(path) = &options.data_dir {
            return Ok(Self { path: path.clone(), temporary: None });
        }
        let directory = tempfile::Builder::new().prefix("meridian-demo-").tempdir();
        let directory = directory.context("could not create a temporary directory")?;
        Ok(Self { path: directory.path().join("data"), temporary: Some(directory) })
    }
}

/// Loads what is missing, says what there is, and sells on if that is wanted.
async fn show(options: &DemoOptions, place: &Place, ready: Ready) -> anyhow::Result<()> {
    let session = ready.engine.connect(ConnectOptions {
        user: "meridian".to_string(),
        database: "meridian".to_string(),
        process_id: PROCESS_ID,
        settings: vec![("application_name".to_string(), "meridian demo".to_string())],
        ends: None,
        farewell: CancellationToken::new(),
    })?;
    let mut client = Client { session };
    let kept = if place.temporary.is_some() { ", deleted on exit" } else { "" };
    tell(&format!("  meridian {}   data: {}{kept}", env!("CARGO_PKG_VERSION"), place.path.display()));
    prepare(options.rows, &mut client).await?;
    tell("  views    revenue_by_day, product_sales: never stale");
    tell(&format!("  sql      {}\n", serve::psql_command(ready.address)));
    tell(TO_TRY);
    if options.live {
        tell(TO_WATCH);
    }
    tell("\n  Ctrl-C stops the demo.");
    if options.live {
        client.sell(options.rows).await?;
    }
    Ok(())
}

/// Makes the table, its rows and its views, so far as they are missing.
async fn prepare(rows: u64, client: &mut Client) -> anyhow::Result<()> {
    let held = match client.number("SELECT count(*) FROM sales").await {
        Ok(held) => held,
        Err(error) if error.kind == ErrorKind::UndefinedTable => {
            client.run(SALES_TABLE).await?;
            0
        }
        Err(error) => return Err(error.into()),
    };
    if held > 0 {
        tell(&format!("  found    sales   {} rows, used as they are", with_commas(held)));
    } else {
        let started = Instant::now();
        client.load(Sales::new(rows, SEED, 1)).await?;
        let seconds = started.elapsed().as_secs_f64();
        tell(&format!("  loaded   sales   {} rows   4 regions × 24 months   {seconds:.1} s", with_commas(rows)));
    }
    for view in VIEWS {
        client.run(view).await?;
    }
    Ok(())
}

/// A client inside the process.
struct Client {
    session: Session,
}

impl Client {
    /// Runs one statement whose rows do not matter.
    async fn run(&mut self, sql: &str) -> Result<(), QueryError> {
        self.rows(sql).await.map(drop)
    }

    /// The single bigint that a query gives, 0 for NULL.
    async fn number(&mut self, sql: &str) -> Result<u64, QueryError> {
        let batches = self.rows(sql).await?;
        let column = batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0));
        let values = column.and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        Ok(values.filter(|values| !values.is_null(0)).map_or(0, |values| values.value(0).unsigned_abs()))
    }

    async fn rows(&mut self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        let outcome = self.try_rows(sql).await;
        self.end(outcome)
    }

    async fn try_rows(&mut self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        let batches = match self.respond(sql).await? {
            Response::Rows { stream, .. } => stream.try_collect().await?,
            Response::Empty | Response::Command(_) | Response::CopyIn(_) | Response::CopyOut { .. } => Vec::new(),
        };
        self.session.finish_implicit().await?;
        Ok(batches)
    }

    async fn load(&mut self, sales: Sales) -> anyhow::Result<()> {
        let outcome = self.try_load(sales).await;
        self.end(outcome)
    }

    /// COPY, with the rows generated on another thread while they are loaded.
    async fn try_load(&mut self, sales: Sales) -> anyhow::Result<()> {
        let Response::CopyIn(mut copy) = self.respond("COPY sales FROM STDIN WITH (FORMAT csv)").await? else {
            anyhow::bail!("COPY did not ask for data");
        };
        let (sender, mut pieces) = mpsc::channel(PIECES_AHEAD);
        // It ends by itself when nobody takes its pieces any more.
        let generator = tokio::task::spawn_blocking(move || {
            sales.csv_pieces(Order::ByDate).try_for_each(|piece| sender.blocking_send(Bytes::from(piece)))
        });
        while let Some(piece) = pieces.recv().await {
            copy.push(piece).await?;
        }
        generator.await.context("the generator stopped")?.context("the generator was cut off")?;
        copy.finish(&mut self.session).await?;
        Ok(self.session.finish_implicit().await?)
    }

    /// Sells until it is dropped.
    async fn sell(&mut self, rows: u64) -> anyhow::Result<()> {
        let sales = Sales::new(rows, SEED, 1);
        let mut next_id = 1 + self.number("SELECT max(transaction_id) FROM sales").await?;
        let mut interval = tokio::time::interval(LIVE_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        for round in 1.. {
            interval.tick().await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
            let sold: Vec<_> = (0..1 + next_id % LIVE_SALES_MAX)
                .map(|number| sales.sale_on(next_id + number, now.as_secs() as i64))
                .collect();
            next_id += sold.len() as u64;
            let values: Vec<String> = sold.iter().map(|sale| sale.sql_values()).collect();
            self.run(&format!("INSERT INTO sales VALUES {}", values.join(", "))).await?;
            if round % LIVE_WITHDRAWAL_INTERVALS == 0 {
                self.run(&format!("DELETE FROM sales WHERE transaction_id = {}", next_id - 1)).await?;
            }
        }
        Ok(())
    }

    async fn respond(&mut self, sql: &str) -> Result<Response, QueryError> {
        self.session.statement_started(sql);
        let mut response = Response::Empty;
        for statement in self.session.parse(sql)? {
            let prepared = self.session.prepare(&statement, &[]).await?;
            response = self.session.execute(&prepared, Vec::new(), true).await?;
        }
        Ok(response)
    }

    /// What a connection does when a statement is over.
    fn end<T, E>(&mut self, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_err() {
            self.session.abort();
        }
        self.session.statement_ended();
        outcome
    }
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
