//! The ten views of the views workload, the tables beside `sales` that they join, and what each system makes of them.

use crate::system::Kind;

/// How many products the generator knows.
const PRODUCTS: u64 = 5_000;
const CATEGORIES: u64 = 12;
const SEGMENTS: u64 = 5;

/// A view over `sales`, in SQL that all systems take.
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) query: &'static str,
    /// A select list that needs every row of it.
    pub(crate) total: &'static str,
    /// Which of its rows a customer's sales touch; see [`Touched::filter`].
    touched: &'static str,
}

/// Views that come later may read earlier ones.
pub(crate) const VIEWS: [View; 10] = [
    View {
        name: "daily",
        query: "SELECT region, sale_date, sum(amount) AS revenue, count(*) AS orders FROM sales \
                GROUP BY region, sale_date",
        total: "sum(revenue), sum(orders)",
        touched: "region = {region} AND sale_date IN ({dates})",
    },
    View {
        name: "product_sums",
        query: "SELECT product_id, sum(quantity) AS quantity, sum(amount) AS revenue FROM sales GROUP BY product_id",
        total: "sum(quantity), sum(revenue)",
        touched: "product_id IN ({products})",
    },
    View {
        name: "customer_sums",
        query: "SELECT customer_id, sum(amount) AS revenue, count(*) AS orders FROM sales GROUP BY customer_id",
        total: "sum(revenue), sum(orders)",
        touched: "customer_id = {customer}",
    },
    View {
        name: "category_segments",
        query: "SELECT p.category AS category, c.segment AS segment, sum(s.amount) AS revenue, count(*) AS orders \
                FROM sales AS s JOIN products AS p ON s.product_id = p.product_id \
                JOIN customers AS c ON s.customer_id = c.customer_id GROUP BY p.category, c.segment",
        total: "sum(revenue), sum(orders)",
        touched: "true",
    },
    View {
        name: "extremes",
        query: "SELECT store_id, min(amount) AS least, max(amount) AS most FROM sales GROUP BY store_id",
        total: "sum(least), sum(most)",
        touched: "store_id IN ({stores})",
    },
    View {
        name: "buyers",
        query: "SELECT region, sale_date, count(DISTINCT customer_id) AS buyers FROM sales GROUP BY region, sale_date",
        total: "sum(buyers)",
        touched: "region = {region} AND sale_date IN ({dates})",
    },
    View {
        name: "all_products",
        query: "SELECT p.product_id AS product_id, p.category AS category, count(s.transaction_id) AS orders, \
                sum(s.amount) AS revenue FROM products AS p LEFT JOIN sales AS s ON s.product_id = p.product_id \
                GROUP BY p.product_id, p.category",
        total: "sum(orders), sum(revenue)",
        touched: "product_id IN ({products})",
    },
    View {
        name: "monthly",
        query: "SELECT region, CAST(date_trunc('month', sale_date) AS date) AS sale_month, sum(revenue) AS revenue, \
                sum(orders) AS orders FROM daily GROUP BY region, CAST(date_trunc('month', sale_date) AS date)",
        total: "sum(revenue), sum(orders)",
        touched: "region = {region}",
    },
    View {
        name: "top_sales",
        query: "SELECT region, transaction_id, amount FROM (SELECT region, transaction_id, amount, row_number() OVER \
                (PARTITION BY region ORDER BY amount DESC, transaction_id) AS place FROM sales) AS placed \
                WHERE place <= 10",
        total: "sum(amount)",
        touched: "region = {region}",
    },
    // Seven times the moving average, whose digits would be each system's own.
    View {
        name: "moving_week",
        query: "SELECT region, sale_date, sum(revenue) OVER (PARTITION BY region ORDER BY sale_date \
                ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS revenue FROM daily",
        total: "sum(revenue)",
        touched: "region = {region}",
    },
];

/// The two that are measured alone, as pg_ivm and ClickHouse keep them too.
pub(crate) const AGGREGATES: [&View; 2] = [&VIEWS[0], &VIEWS[1]];

/// What a customer bought, and where and when, as SQL lists.
pub(crate) struct Touched {
    pub(crate) customer: u64,
    pub(crate) region: String,
    pub(crate) dates: String,
    pub(crate) products: String,
    pub(crate) stores: String,
}

impl Touched {
    /// The condition for the rows of a view that deleting the customer's sales touches.
    pub(crate) fn filter(&self, view: &View) -> String {
        view.touched
            .replace("{customer}", &self.customer.to_string())
            .replace("{region}", &format!("'{}'", self.region))
            .replace("{dates}", &self.dates)
            .replace("{products}", &self.products)
            .replace("{stores}", &self.stores)
    }
}

/// The tables that sales are joined with, and their rows.
pub(crate) fn create_dimensions(kind: Kind, customers: u64) -> Vec<String> {
    let tables = [
        ("products", "product_id", "category", "Category", PRODUCTS, CATEGORIES),
        ("customers", "customer_id", "segment", "Segment", customers, SEGMENTS),
    ];
    let statements = tables.map(|(table, key, column, word, rows, kinds)| match kind {
        Kind::ClickHouse => [
            format!("CREATE TABLE {table} ({key} integer, {column} text) ENGINE = MergeTree ORDER BY {key}"),
            format!(
                "INSERT INTO {table} SELECT number, concat('{word} ', toString(number % {kinds})) FROM numbers(1, {rows})"
            ),
        ],
        Kind::Meridian | Kind::DuckDb | Kind::PostgreSql | Kind::DataFusion => [
            format!("CREATE TABLE {table} ({key} integer NOT NULL, {column} text NOT NULL)"),
            format!(
                "INSERT INTO {table} SELECT n, '{word} ' || CAST(n % {kinds} AS text) \
                 FROM generate_series(1, {rows}) AS numbers (n)"
            ),
        ],
    });
    statements.into_iter().flatten().collect()
}

/// How a system keeps or computes a view.
pub(crate) fn create(kind: Kind, view: &View) -> String {
    let View { name, query, .. } = view;
    match kind {
        Kind::Meridian | Kind::PostgreSql => format!("CREATE MATERIALIZED VIEW {name} AS {query}"),
        Kind::DuckDb | Kind::DataFusion => format!("CREATE VIEW {name} AS {query}"),
        // Rows without a partner have NULL, as in the other systems.
        Kind::ClickHouse => format!("CREATE VIEW {name} AS {query} SETTINGS join_use_nulls = 1"),
    }
}

/// The same for a view of sums, which ClickHouse keeps by inserts.
pub(crate) fn create_sums(kind: Kind, view: &View) -> String {
    match (kind, view.query.rsplit_once("GROUP BY ")) {
        (Kind::ClickHouse, Some((_, keys))) => format!(
            "CREATE MATERIALIZED VIEW {} ENGINE = SummingMergeTree ORDER BY ({keys}) AS {}",
            view.name, view.query
        ),
        _ => create(kind, view),
    }
}

/// What brings a view up to date before it is read, where that is the user's business.
pub(crate) fn refresh(kind: Kind, view: &View) -> Option<String> {
    (kind == Kind::PostgreSql).then(|| format!("REFRESH MATERIALIZED VIEW {}", view.name))
}
