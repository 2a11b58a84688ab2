//! What must be said differently to different systems: the table, the load, the views.

use crate::system::{Kind, Settle};
use std::path::Path;

/// An aggregate over `sales`.
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) query: &'static str,
}

pub(crate) const VIEWS: [View; 2] = [
    View {
        name: "bench_daily",
        query: "SELECT region, sale_date, sum(amount) AS revenue, count(*) AS orders FROM sales \
                WHERE status = 'completed' GROUP BY region, sale_date",
    },
    View {
        name: "bench_products",
        query: "SELECT product_id, category, sum(quantity) AS quantity, sum(amount) AS revenue, count(*) AS orders \
                FROM sales GROUP BY product_id, category",
    },
];

/// The definition as Meridian takes it, brought to another system.
pub(crate) fn create_table(kind: Kind, definition: &str) -> String {
    let columns = definition.split("PARTITION BY").next().unwrap_or(definition).trim_end();
    match kind {
        Kind::Meridian => definition.trim_end().trim_end_matches(';').to_owned(),
        Kind::DuckDb | Kind::PostgreSql => columns.to_owned(),
        Kind::ClickHouse => {
            let columns = columns.replace(" NOT NULL", "").replace(" timestamp", " DateTime");
            format!(
                "{columns} ENGINE = MergeTree PARTITION BY (region, toYYYYMM(sale_date)) ORDER BY (sale_date, sold_at)"
            )
        }
    }
}

/// The statements by which an embedded system loads a csv file by itself.
pub(crate) fn load(kind: Kind, file: &Path, settle: Settle) -> Vec<String> {
    let file = file.display();
    if kind == Kind::ClickHouse {
        return vec![format!("INSERT INTO sales SELECT * FROM file('{file}', 'CSV')")];
    }
    // Guessing what the file looks like would cost more than a small load itself.
    let mut statements = vec![format!("COPY sales FROM '{file}' (FORMAT csv, HEADER false, AUTO_DETECT false)")];
    if settle == Settle::Checkpoint {
        statements.push("CHECKPOINT".to_owned());
    }
    statements
}

/// How a system keeps or computes a view; nothing for one that takes no part.
pub(crate) fn create_view(kind: Kind, view: &View) -> String {
    let View { name, query } = view;
    match kind {
        Kind::Meridian | Kind::PostgreSql => format!("CREATE MATERIALIZED VIEW {name} AS {query}"),
        Kind::DuckDb | Kind::ClickHouse => format!("CREATE VIEW {name} AS {query}"),
    }
}

/// What brings a view up to date before it is read, where that is the user's business.
pub(crate) fn refresh_view(kind: Kind, view: &View) -> Option<String> {
    (kind == Kind::PostgreSql).then(|| format!("REFRESH MATERIALIZED VIEW {}", view.name))
}
