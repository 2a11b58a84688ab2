//! The query workload: what an analyst asks all day, hot, from a table that was loaded once.
//!
//! The text is the same for all systems. Every order is total and every number exact, so that answers can be compared.

use crate::answer;
use crate::data::Selection;
use crate::report::{Report, Unit};
use crate::system::{Kind, Settle, System, Workshop};

/// How often each system runs a query in each round, after one run that does not count.
const RUNS_PER_ROUND: usize = 7;

struct Query {
    name: &'static str,
    sql: &'static str,
}

const QUERIES: [Query; 12] = [
    Query {
        name: "sum by region and day",
        sql: "SELECT region, sale_date, sum(amount) AS revenue FROM sales GROUP BY region, sale_date",
    },
    Query {
        name: "sum by payment method and status",
        sql: "SELECT payment_method, status, count(*) AS orders, sum(amount) AS revenue FROM sales \
              GROUP BY payment_method, status",
    },
    Query {
        name: "top 10 rows by amount, all columns",
        sql: "SELECT * FROM sales ORDER BY amount DESC, transaction_id LIMIT 10",
    },
    Query {
        name: "top 10 customers of all",
        sql: "SELECT customer_id, sum(amount) AS revenue, count(*) AS orders FROM sales GROUP BY customer_id \
              ORDER BY revenue DESC, customer_id LIMIT 10",
    },
    Query {
        name: "one month of one region",
        sql: "SELECT category, sum(quantity) AS quantity, sum(amount) AS revenue FROM sales \
              WHERE region = 'EMEA' AND sale_date >= DATE '2025-03-01' AND sale_date < DATE '2025-04-01' GROUP BY category",
    },
    Query { name: "count(*)", sql: "SELECT count(*) AS orders FROM sales" },
    Query {
        name: "min and max",
        sql: "SELECT min(sold_at) AS first_sold, max(sold_at) AS last_sold, min(amount) AS least, max(amount) AS most FROM sales",
    },
    Query {
        name: "distinct customers per month",
        sql: "SELECT CAST(date_trunc('month', sale_date) AS date) AS sale_month, count(DISTINCT customer_id) AS customers \
              FROM sales GROUP BY CAST(date_trunc('month', sale_date) AS date)",
    },
    Query {
        name: "last 7 days by category",
        sql: "SELECT sale_date, category, count(*) AS orders, sum(amount) AS revenue FROM sales \
              WHERE sale_date > DATE '2025-12-24' GROUP BY sale_date, category",
    },
    Query { name: "one sale by its number", sql: "SELECT * FROM sales WHERE transaction_id = 123456" },
    Query {
        name: "running total of a region",
        sql: "SELECT sale_date, revenue, sum(revenue) OVER (ORDER BY sale_date) AS running FROM \
              (SELECT sale_date, sum(amount) AS revenue FROM sales WHERE region = 'AMER' GROUP BY sale_date) AS daily \
              ORDER BY sale_date",
    },
    Query {
        name: "year over year by region and month",
        sql: "WITH monthly AS (SELECT region, CAST(extract(year FROM sale_date) AS integer) AS sale_year, \
                CAST(extract(month FROM sale_date) AS integer) AS sale_month, sum(amount) AS revenue FROM sales \
                GROUP BY region, CAST(extract(year FROM sale_date) AS integer), CAST(extract(month FROM sale_date) AS integer)) \
              SELECT later.region, later.sale_month, later.revenue AS revenue, later.revenue - earlier.revenue AS growth \
              FROM monthly AS later JOIN monthly AS earlier ON later.region = earlier.region \
                AND later.sale_month = earlier.sale_month AND later.sale_year = earlier.sale_year + 1 \
              ORDER BY later.region, later.sale_month",
    },
];

pub(crate) async fn run(workshop: &Workshop, report: &mut Report) -> anyhow::Result<()> {
    let options = &workshop.options;
    let selection = Selection { rows: options.rows, seed: 1, first_id: 1, shuffle: options.shuffle };
    let file = workshop.files.csv(selection)?;
    let mut systems = Vec::new();
    for kind in options.kinds() {
        let mut system = workshop.start(kind).await?;
        report.introduce(&system);
        system.create_table(&workshop.files).await?;
        let took = system.load(&file, Settle::Checkpoint).await?;
        system.analyze().await?;
        if kind == Kind::Meridian {
            // Queries are what is measured, and none of the others keeps answers.
            system.execute("SET meridian.query_cache = off").await?;
        }
        eprintln!("{} loaded in {:.2} s", kind.name(), took.as_secs_f64());
        systems.push(system);
    }
    for query in &QUERIES {
        compare(query, &mut systems, report).await;
    }
    for round in 0..options.rounds as usize {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for query in &QUERIES {
            let count = systems.len();
            for position in 0..count {
                time(query, &mut systems[(position + round) % count], report).await;
            }
        }
    }
    Ok(())
}

/// Every system's answer against the first one's.
async fn compare(query: &Query, systems: &mut [System], report: &mut Report) {
    let mut reference: Option<(&'static str, Vec<String>)> = None;
    for system in systems {
        let name = system.kind.name();
        let lines = match system.query(query.sql).await {
            Ok(answer) => answer.canonical(),
            Err(error) => {
                report.problem(format!("{}: {error:#}", query.name));
                continue;
            }
        };
        match &reference {
            None => reference = Some((name, lines)),
            Some((first, expected)) => {
                if let Some(difference) = answer::difference(expected, &lines) {
                    report.problem(format!("{}: {first} and {name} differ: {difference}", query.name));
                }
            }
        }
    }
}

async fn time(query: &Query, system: &mut System, report: &mut Report) {
    for run in 0..=RUNS_PER_ROUND {
        match system.query(query.sql).await {
            Ok(_) if run == 0 => {}
            Ok(answer) => report.record(system.kind, query.name, Unit::Seconds, answer.took.as_secs_f64()),
            // Reported with the comparison.
            Err(_) => return,
        }
    }
}
