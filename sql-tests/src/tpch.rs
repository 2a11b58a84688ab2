//! The 22 queries of TPC-H as materialized views, held to their queries while the benchmark's tables change.
//!
//!     tables ─▶ views ─▶ { refresh 1: new orders, refresh 2: old orders go, changes of single rows } ─▶ compare ─▶ again
//!
//! Data comes from `tpchgen`, queries have the parameters that the specification validates them with. Refreshes are the
//! specification's (§2.5) as far as the generator goes: new orders are copies of orders that it made, under keys from the gaps
//! that it leaves between them.

use crate::meridian::Meridian;
use crate::session::{Session, TextRow};
use crate::view_check::{compare, known_views};
use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tpchgen::csv::{CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

const TABLES: &str = include_str!("tpch/tables.sql");
const VIEWS: &str = include_str!("tpch/views.sql");
/// Orders that a refresh adds or removes, at scale 1.
const REFRESHED_ORDERS: f64 = 1500.0;
/// From a key that the generator uses to one that it leaves free.
const FREE_KEY: i64 = 8;
/// Changes of single rows in each round.
const SINGLE_CHANGES: usize = 6;

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// 1 is 6 million rows of lineitem.
    pub scale: f64,
    pub rounds: usize,
    pub seed: u64,
}

/// What was seen of a view.
#[derive(Clone, Debug)]
pub struct ViewSummary {
    pub name: String,
    pub class: String,
    pub reason: Option<String>,
    pub rows: usize,
    /// Exact reads after a change, all of them together.
    pub read: Duration,
    /// The same answers by the view's query.
    pub queried: Duration,
}

/// What was done and seen; every view was equal to its query after every change.
#[derive(Clone, Debug)]
pub struct Summary {
    pub changes: usize,
    pub views: Vec<ViewSummary>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "view\tclass\trows\tread ms\tquery ms\treason")?;
        let mean = |all: Duration| all.as_secs_f64() * 1e3 / self.changes.max(1) as f64;
        for view in &self.views {
            let ViewSummary { name, class, rows, .. } = view;
            let reason = view.reason.as_deref().unwrap_or_default();
            writeln!(f, "{name}\t{class}\t{rows}\t{:.1}\t{:.1}\t{reason}", mean(view.read), mean(view.queried))?;
        }
        write!(f, "{} changes, {} views equal to their queries after each", self.changes, self.views.len())
    }
}

/// Runs the benchmark's day on a server of its own; fails at the first view that differs from its query.
pub async fn run(settings: &Settings) -> Result<Summary> {
    let folder = TempDir::new()?;
    let server = Meridian::start(&folder.path().join("data"))?;
    let session = Session::connect(server.address()).await?;
    run_all(&session, TABLES).await?;
    load(&session, settings.scale).await?;
    run_all(&session, VIEWS).await?;
    session.run("SET meridian.query_cache = off").await?;
    let mut day = Day::new(&session, settings);
    let mut summary = Summary { changes: 0, views: Vec::new() };
    day.compare(&mut summary, "the load").await?;
    for round in 0..settings.rounds {
        for change in day.changes(round) {
            change.apply(&session).await.with_context(|| change.to_string())?;
            day.compare(&mut summary, &change.to_string()).await?;
        }
    }
    drop(session);
    server.stop()?;
    Ok(summary)
}

/// Runs statements that an empty line or the end of a line parts.
async fn run_all(session: &Session, statements: &str) -> Result<()> {
    for statement in statements.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
        session.run(statement).await.map_err(|failure| anyhow::anyhow!("{statement}: {failure}"))?;
    }
    Ok(())
}

/// Lines of a csv file.
fn lines(rows: impl Iterator<Item = impl fmt::Display>) -> Vec<u8> {
    let mut data = Vec::new();
    for row in rows {
        data.extend_from_slice(format!("{row}\n").as_bytes());
    }
    data
}

async fn copy(session: &Session, table: &str, data: Vec<u8>) -> Result<()> {
    let statement = format!("COPY {table} FROM STDIN (FORMAT csv)");
    session.copy_in(&statement, &data).await.map_err(|failure| anyhow::anyhow!("{table}: {failure}"))?;
    Ok(())
}

async fn load(session: &Session, scale: f64) -> Result<()> {
    copy(session, "region", lines(RegionGenerator::new(scale, 1, 1).iter().map(RegionCsv::new))).await?;
    copy(session, "nation", lines(NationGenerator::new(scale, 1, 1).iter().map(NationCsv::new))).await?;
    copy(session, "part", lines(PartGenerator::new(scale, 1, 1).iter().map(PartCsv::new))).await?;
    copy(session, "supplier", lines(SupplierGenerator::new(scale, 1, 1).iter().map(SupplierCsv::new))).await?;
    copy(session, "partsupp", lines(PartSuppGenerator::new(scale, 1, 1).iter().map(PartSuppCsv::new))).await?;
    copy(session, "customer", lines(CustomerGenerator::new(scale, 1, 1).iter().map(CustomerCsv::new))).await?;
    copy(session, "orders", lines(OrderGenerator::new(scale, 1, 1).iter().map(OrderCsv::new))).await?;
    copy(session, "lineitem", lines(LineItemGenerator::new(scale, 1, 1).iter().map(LineItemCsv::new))).await
}

/// One commit.
enum Change {
    /// Orders with their lines, each a csv file.
    NewOrders {
        orders: Vec<u8>,
        lines: Vec<u8>,
    },
    /// The orders between two keys go.
    OldOrders {
        first: i64,
        last: i64,
    },
    Single(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewOrders { orders, .. } => {
                write!(f, "{} new orders", orders.iter().filter(|byte| **byte == b'\n').count())
            }
            Self::OldOrders { first, last } => write!(f, "orders {first} to {last} are deleted"),
            Self::Single(statement) => f.write_str(statement),
        }
    }
}

impl Change {
    async fn apply(&self, session: &Session) -> Result<()> {
        match self {
            Self::NewOrders { orders, lines } => {
                session.run("BEGIN").await?;
                copy(session, "orders", orders.clone()).await?;
                copy(session, "lineitem", lines.clone()).await?;
                session.run("COMMIT").await?;
            }
            Self::OldOrders { first, last } => {
                session.run("BEGIN").await?;
                session.run(&format!("DELETE FROM lineitem WHERE l_orderkey BETWEEN {first} AND {last}")).await?;
                session.run(&format!("DELETE FROM orders WHERE o_orderkey BETWEEN {first} AND {last}")).await?;
                session.run("COMMIT").await?;
            }
            Self::Single(statement) => {
                session.run(statement).await?;
            }
        }
        Ok(())
    }
}

/// What changes, and the session that asks afterwards.
struct Day<'a> {
    session: &'a Session,
    scale: f64,
    /// The keys of the generator's orders.
    keys: Vec<i64>,
    refreshed: usize,
    random: StdRng,
}

impl<'a> Day<'a> {
    fn new(session: &'a Session, settings: &Settings) -> Self {
        let orders = OrderGenerator::new(settings.scale, 1, 1);
        Self {
            session,
            scale: settings.scale,
            keys: orders.iter().map(|order| order.o_orderkey).collect(),
            refreshed: ((REFRESHED_ORDERS * settings.scale) as usize).max(1),
            random: StdRng::seed_from_u64(settings.seed),
        }
    }

    /// Both refreshes and changes of single rows.
    fn changes(&mut self, round: usize) -> Vec<Change> {
        let batch = |number: usize| -> Vec<i64> {
            self.keys.iter().copied().skip(number * self.refreshed).take(self.refreshed).collect()
        };
        // What is copied lies behind what is deleted.
        let mut changes = vec![self.new_orders(&batch(2 * round + 1))];
        if let [first, .., last] | [first @ last] = batch(2 * round).as_slice() {
            changes.push(Change::OldOrders { first: *first, last: *last });
        }
        changes.extend((0..SINGLE_CHANGES).map(|_| self.single_change()));
        changes
    }

    fn new_orders(&self, keys: &[i64]) -> Change {
        let (Some(first), Some(last)) = (keys.first().copied(), keys.last().copied()) else {
            return Change::NewOrders { orders: Vec::new(), lines: Vec::new() };
        };
        let orders = OrderGenerator::new(self.scale, 1, 1);
        let orders = orders.iter().filter(|order| (first..=last).contains(&order.o_orderkey)).map(|mut order| {
            order.o_orderkey += FREE_KEY;
            OrderCsv::new(order)
        });
        let items = LineItemGenerator::new(self.scale, 1, 1);
        let items = items.iter().filter(|item| (first..=last).contains(&item.l_orderkey)).map(|mut item| {
            item.l_orderkey += FREE_KEY;
            LineItemCsv::new(item)
        });
        Change::NewOrders { orders: lines(orders), lines: lines(items) }
    }

    fn single_change(&mut self) -> Change {
        let order = self.keys.choose(&mut self.random).copied().unwrap_or(1);
        let number = self.random.random_range(1..1000);
        let percent = self.random.random_range(0..=10);
        let statements = [
            format!(
                "UPDATE lineitem SET l_quantity = {percent} + 1, l_discount = 0.{percent:02} WHERE l_orderkey = {order} AND l_linenumber = 1"
            ),
            format!("UPDATE lineitem SET l_receiptdate = l_commitdate + {percent} - 5 WHERE l_orderkey = {order}"),
            format!("DELETE FROM lineitem WHERE l_orderkey = {order} AND l_linenumber = 2"),
            format!("DELETE FROM orders WHERE o_orderkey = {order}"),
            format!(
                "UPDATE orders SET o_orderpriority = '{}-X', o_orderdate = o_orderdate + {percent} WHERE o_orderkey = {order}",
                percent % 5 + 1
            ),
            format!(
                "UPDATE customer SET c_mktsegment = 'BUILDING', c_acctbal = c_acctbal - {number} WHERE c_custkey = {number}"
            ),
            format!("DELETE FROM customer WHERE c_custkey = {number}"),
            format!(
                "UPDATE part SET p_type = 'PROMO BRASS', p_size = 15, p_brand = 'Brand#23' WHERE p_partkey = {number}"
            ),
            format!(
                "UPDATE partsupp SET ps_supplycost = {percent}.50, ps_availqty = {number} WHERE ps_partkey = {number}"
            ),
            format!(
                "UPDATE supplier SET s_nationkey = {percent}, s_comment = 'Customer Complaints' WHERE s_suppkey = {number} % 100 + 1"
            ),
            format!("DELETE FROM supplier WHERE s_suppkey = {number} % 100 + 1"),
            format!("UPDATE nation SET n_regionkey = {percent} % 5 WHERE n_nationkey = {number} % 25"),
        ];
        Change::Single(statements.choose(&mut self.random).cloned().unwrap_or_default())
    }

    /// Every view against its query, twice: as rows here, and by EXCEPT ALL there.
    async fn compare(&self, summary: &mut Summary, behind: &str) -> Result<()> {
        let classes = self.session.rows("SELECT name, class, reason FROM meridian.views ORDER BY name").await?;
        let views = known_views(self.session).await?;
        ensure!(views.len() == classes.len(), "{} of {} views have a class", classes.len(), views.len());
        for (view, class) in views.iter().zip(&classes) {
            let started = Instant::now();
            let rows = self.session.rows(&format!("SELECT * FROM {}", view.name)).await?.len();
            let read = started.elapsed();
            let started = Instant::now();
            self.session.rows(&view.query).await?;
            let queried = started.elapsed();
            if let Some(difference) = compare(self.session, view).await? {
                bail!("behind {behind}: {difference}");
            }
            note(summary, class, rows, read, queried);
        }
        summary.changes += 1;
        Ok(())
    }
}

fn note(summary: &mut Summary, class: &TextRow, rows: usize, read: Duration, queried: Duration) {
    let text = |place: usize| class.get(place).cloned().flatten();
    let name = text(0).unwrap_or_default();
    match summary.views.iter_mut().find(|view| view.name == name) {
        Some(view) => {
            view.rows = rows;
            view.read += read;
            view.queried += queried;
        }
        None => {
            let class = text(1).unwrap_or_default();
            summary.views.push(ViewSummary { name, class, reason: text(2), rows, read, queried });
        }
    }
}
