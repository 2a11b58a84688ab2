//! The catalog against what real clients send: every captured query plans and runs over a snapshot with a partitioned table
//! and a materialized view, and the main ones give what PostgreSQL gives.

use super::{CatalogContext, SettingRow, name_registered_objects, relation, rewrite};
use crate::engine::with_own_functions;
use crate::error::QueryError;
use crate::functions::array_aggregates::{ARRAY_OF_VALUES, of_values};
use crate::functions::series_table::SeriesTable;
use crate::functions::{Backends, SequenceNumbers, SessionFacts, SessionSettings, session_function, typed_functions};
use crate::operators::call::Procedures;
use crate::operators::casts::CastContext;
use crate::operators::lowering::{lower, lower_expression};
use crate::operators::sites::{Sites, annotate};
use crate::output_names::name_outputs;
use crate::scan::external;
use crate::sql_types::PostgresTypes;
use crate::subqueries::decorrelate;
use crate::subqueries::{ARRAY_OF_ROWS, naming_function, of_rows};
use crate::threads::STACK_BYTES;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::array_value_to_string;
use catalog::definition::{Column, ObjectName, PartitionColumn, TableDefinition, Transform, ViewDefinition};
use catalog::draft::Op;
use catalog::ids::{ColumnId, CommitSeq, ObjectId, SegmentId};
use catalog::segment::{ColumnStatistics, Datum, PartitionKey, SegmentMeta};
use catalog::sequence::SequenceValue;
use catalog::snapshot::Snapshot;
use catalog::sql_type::SqlType;
use datafusion::common::{Result, TableReference, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::execution::config::SessionConfig;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::prelude::SessionContext;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

const SALES: ObjectId = ObjectId(16388);
const DAILY: ObjectId = ObjectId(16394);
const STAGING: ObjectId = ObjectId(16400);
const EVENTS: ObjectId = ObjectId(16401);

fn column(id: i32, name: &str, sql_type: SqlType, not_null: bool, default: Option<&str>) -> Column {
    Column { not_null, default: default.map(str::to_string), ..Column::new(ColumnId(id), name, sql_type) }
}

/// Tables and OIDs as in the database that the queries were captured from.
fn snapshot() -> Snapshot {
    let amount = SqlType::Numeric { precision: 12, scale: 2, declared: true };
    let sales = TableDefinition {
        id: SALES,
        name: ObjectName::new("public", "sales"),
        columns: vec![
            column(1, "transaction_id", SqlType::Int8, true, None),
            column(2, "sold_at", SqlType::Timestamp, true, None),
            column(3, "sale_date", SqlType::Date, true, None),
            column(4, "region", SqlType::Text, true, None),
            column(5, "product", SqlType::Varchar { length_max: Some(20) }, false, None),
            column(6, "quantity", SqlType::Int4, false, Some("1")),
            column(7, "amount", amount, true, None),
        ],
        partition_by: vec![
            PartitionColumn { column: ColumnId(4), transform: Transform::Identity },
            PartitionColumn { column: ColumnId(3), transform: Transform::Month },
        ],
        order_by: vec![ColumnId(3)],
        version: 1,
        state_of: None,
        checks: Vec::new(),
        keys: Vec::new(),
        rows_fit_from: 0,
        last_dropped: None,
        plain_indexes: Vec::new(),
        retention: None,
        known_schema: Default::default(),
    };
    let columns = vec![column(1, "id", SqlType::Int8, false, None), column(2, "at", SqlType::TimestampTz, false, None)];
    let events = TableDefinition::new(EVENTS, ObjectName::new("staging", "events"), columns);
    let daily = ViewDefinition {
        id: DAILY,
        name: ObjectName::new("public", "daily"),
        query: "SELECT sale_date, region, sum(amount) AS total FROM public.sales GROUP BY sale_date, region".into(),
        time_zone: "UTC".into(),
        columns: vec![
            column(1, "sale_date", SqlType::Date, false, None),
            column(2, "region", SqlType::Text, false, None),
            column(3, "total", SqlType::Numeric { precision: 38, scale: 2, declared: false }, false, None),
        ],
        inputs: vec![SALES],
        state: None,
        populated: true,
        version: 1,
    };
    let segment = |id: u128, month: &str, first: i64, rows: u32| {
        Arc::new(SegmentMeta {
            id: SegmentId(id),
            partition: PartitionKey(vec![Datum::Text("EMEA".into()), Datum::Text(month.into())]),
            path: format!("tables/{SALES}/region=EMEA/sale_date_month={month}/{id}.parquet"),
            rows,
            bytes: 20_000,
            checksum: 0,
            statistics: vec![ColumnStatistics {
                column: ColumnId(3),
                null_count: 0,
                bounds: Some((Datum::Int(first), Datum::Int(first + 9))),
            }],
        })
    };
    let ops = [
        Op::CreateTable(Arc::new(sales)),
        Op::CreateSchema { id: STAGING, name: "staging".into() },
        Op::CreateTable(Arc::new(events)),
        Op::AddSegments {
            table: SALES,
            segments: vec![
                segment(1, "2025-03", 20_150, 100),
                segment(2, "2025-03", 20_155, 50),
                segment(3, "2025-04", 20_180, 7),
            ],
        },
        Op::CreateView(Arc::new(daily)),
    ];
    Snapshot::empty().apply(CommitSeq(1), 0, &ops).unwrap()
}

#[derive(Debug)]
struct NoSettings;

impl SessionSettings for NoSettings {
    fn get(&self, name: &str) -> Option<String> {
        (!name.starts_with("missing")).then(|| "heap".to_string())
    }

    fn set(&self, _: &str, value: Option<&str>, _: bool) -> std::result::Result<String, QueryError> {
        Ok(value.unwrap_or_default().to_string())
    }
}

#[derive(Debug)]
struct NoSequences;

impl SequenceNumbers for NoSequences {
    fn next(&self, _: ObjectId, _: usize) -> std::result::Result<Vec<i64>, QueryError> {
        Err(QueryError::unsupported("nextval"))
    }

    fn give_back(&self, _: ObjectId, _: &[i64], _: usize) {}

    fn current(&self, _: ObjectId) -> std::result::Result<i64, QueryError> {
        Err(QueryError::unsupported("currval"))
    }

    fn last(&self) -> std::result::Result<i64, QueryError> {
        Err(QueryError::unsupported("lastval"))
    }

    fn set(&self, _: ObjectId, _: SequenceValue) -> std::result::Result<(), QueryError> {
        Err(QueryError::unsupported("setval"))
    }

    fn is_own(&self, _: ObjectId) -> bool {
        false
    }

    fn value(&self, _: ObjectId) -> Option<(SequenceValue, usize)> {
        None
    }
}

#[derive(Debug)]
struct NoBackends;

impl Backends for NoBackends {
    fn cancel(&self, _: i32) -> bool {
        false
    }

    fn terminate(&self, _: i32) -> bool {
        false
    }

    fn statement(&self, _: i32) -> Option<String> {
        None
    }
}

/// What a session would be to the planner.
struct Database {
    context: CatalogContext,
    facts: Arc<SessionFacts>,
    session: SessionContext,
    state: SessionState,
    /// The functions that need no session.
    procedures: Procedures,
    sites: Mutex<Arc<Sites>>,
}

impl Database {
    fn new() -> Self {
        let snapshot = Arc::new(snapshot());
        let mut context = CatalogContext::new(Arc::clone(&snapshot), "postgres", "meridian");
        context.settings = vec![SettingRow {
            name: "work_mem".into(),
            setting: "4096".into(),
            context: "user".into(),
            ..Default::default()
        }];
        let facts = Arc::new(SessionFacts {
            snapshot,
            database: "postgres".into(),
            user: "meridian".into(),
            search_path: vec!["$user".into(), "public".into()],
            process_id: 42,
            version: "PostgreSQL 15.20 (Meridian)".into(),
            ends: None,
            server_started_at_micros: 0,
            settings_loaded_at_micros: 0,
            statement_began_micros: 0,
            settings: Arc::new(NoSettings),
            backends: Arc::new(NoBackends),
            sequences: Arc::new(NoSequences),
            announcements: Arc::default(),
            random: Arc::default(),
        });
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
        let session = SessionContext::new_with_config(config);
        let by_name = |functions: Vec<Arc<ScalarUDF>>| -> HashMap<String, Arc<ScalarUDF>> {
            functions.into_iter().map(|function| (function.name().to_string(), function)).collect()
        };
        let procedures = by_name(typed_functions());
        let (procedures, sites) = (Arc::new(procedures), Mutex::default());
        Self { context, facts, state: with_own_functions(session.state()), session, procedures, sites }
    }

    fn plan(&self, mut statement: Statement) -> Result<LogicalPlan> {
        if let Statement::Query(query) = &mut statement {
            name_outputs(query);
        }
        rewrite(&mut statement);
        *self.sites.lock() = Arc::new(annotate(&mut statement, None)?);
        let planner = SqlToRel::new_with_options(self, ParserOptions::new().with_parse_float_as_decimal(true));
        let plan = lower(planner.sql_statement_to_plan(statement)?, &self.procedures, &self.cast_context())?;
        name_registered_objects(decorrelate(plan)?, &self.facts)
    }

    fn cast_context(&self) -> CastContext {
        CastContext::from_options(self.state.config_options())
    }

    async fn run(&self, statement: Statement) -> Result<RecordBatch> {
        let plan = self.plan(statement)?;
        let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
        let optimized = self.state.optimize(&plan)?;
        let physical = self.state.query_planner().create_physical_plan(&optimized, &self.state).await?;
        let batches = datafusion::physical_plan::collect(physical, self.session.task_ctx()).await?;
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        Ok(arrow::compute::concat_batches(&schema, &batches)?)
    }

    async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql)?;
        let statement = statements.remove(0);
        // Deep plans need the stack that the server's threads have.
        let batch = std::thread::scope(|scope| {
            let run = || tokio::runtime::Builder::new_current_thread().build()?.block_on(self.run(statement));
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run)?;
            thread.join().unwrap()
        })?;
        let cell = |column: &arrow::array::ArrayRef, row| match column.is_null(row) {
            true => "∅".to_string(),
            false => array_value_to_string(column, row).unwrap(),
        };
        let line = |row| batch.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join("|");
        Ok((0..batch.num_rows()).map(line).collect())
    }
}

impl ContextProvider for Database {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let schema = name.schema().unwrap_or("pg_catalog");
        let Some(found) = relation(schema, name.table()) else { return plan_err!("relation {name} does not exist") };
        let batch = found.batch(&self.context);
        Ok(provider_as_source(Arc::new(MemTable::try_new(found.schema(), vec![vec![batch]])?)))
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let constants = args.into_iter().map(|argument| {
            match lower_expression(argument, &self.procedures, &self.cast_context())? {
                Expr::Literal(value, _) => Ok((value.clone(), SqlType::from_data_type(&value.data_type()))),
                other => plan_err!("{other} is no constant argument of {name}"),
            }
        });
        let table = SeriesTable::new(&constants.collect::<Result<Vec<_>>>()?, self.cast_context());
        Ok(provider_as_source(Arc::new(table.map_err(external)?)))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(PostgresTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if let Some(naming) = naming_function(name) {
            return Some(naming);
        }
        let site = self.sites.lock().function(name, &self.procedures);
        let own = || session_function(name, &self.facts).or_else(|| self.procedures.get(name).cloned());
        site.or_else(own).or_else(|| self.state.scalar_functions().get(name).cloned())
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        if name == ARRAY_OF_ROWS {
            return self.state.aggregate_functions().get("array_agg").map(of_rows);
        }
        if name == ARRAY_OF_VALUES {
            return self.state.aggregate_functions().get("array_agg").map(of_values);
        }
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The commands of a file of captured queries, with the statements of each.
fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    let mut statement = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("-- ") {
            commands.push((name.to_string(), Vec::new()));
            continue;
        }
        statement.push_str(line);
        statement.push('\n');
        if line.ends_with(';') {
            let taken = std::mem::take(&mut statement);
            commands.last_mut().unwrap().1.push(taken.trim().to_string());
        }
    }
    commands
}

async fn check_all(text: &str) {
    let database = Database::new();
    let mut failures: Vec<String> = Vec::new();
    for (name, statements) in commands(text) {
        for sql in statements {
            if let Err(error) = database.rows(&sql).await {
                failures.push(format!("{name}: {error}\n{sql}\n"));
            }
        }
    }
    assert!(failures.is_empty(), "{} queries failed:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn every_query_of_psql_runs() {
    check_all(include_str!("queries/psql.sql")).await;
}

#[tokio::test]
async fn every_query_of_drivers_runs() {
    check_all(include_str!("queries/drivers.sql")).await;
}

/// The statements of one captured command.
fn captured(command: &str) -> Vec<String> {
    let all = commands(include_str!("queries/psql.sql"));
    all.into_iter().find(|(name, _)| name == command).map(|(_, statements)| statements).unwrap()
}

async fn check(sql: &str, expected: &[&str]) {
    let rows = Database::new().rows(sql).await.unwrap();
    assert_eq!(rows, expected, "{sql}");
}

#[tokio::test]
async fn psql_lists_databases_schemas_roles_tables_and_views() {
    check(&captured("\\l")[0], &["postgres|meridian|UTF8|C.UTF-8|C.UTF-8|∅|libc|∅"]).await;
    check(&captured("\\dn")[0], &["meridian|meridian", "public|meridian", "staging|meridian"]).await;
    check(&captured("\\du")[0], &["meridian|true|true|true|true|true|-1|∅|[]|false|true"]).await;
    check(&captured("\\d")[0], &["public|daily|materialized view|meridian", "public|sales|table|meridian"]).await;
    check(&captured("\\dt")[0], &["public|sales|table|meridian"]).await;
    check(&captured("\\dt+")[0], &["public|sales|table|meridian|permanent|heap|59 kB|∅"]).await;
    check(&captured("\\dm")[0], &["public|daily|materialized view|meridian"]).await;
    check(&captured("\\dv")[0], &[]).await;
    check(&captured("\\di")[0], &[]).await;
}

#[tokio::test]
async fn psql_describes_a_table() {
    let queries = captured("\\d sales");
    check(&queries[0], &["16388|public|sales"]).await;
    check(&queries[1], &["0|r|false|false|false|false|false|false|false||0||p|d|heap"]).await;
    let columns = [
        "transaction_id|bigint|∅|true|∅||",
        "sold_at|timestamp without time zone|∅|true|∅||",
        "sale_date|date|∅|true|∅||",
        "region|text|∅|true|∅||",
        "product|character varying(20)|∅|false|∅||",
        "quantity|integer|1|false|∅||",
        "amount|numeric(12,2)|∅|true|∅||",
    ];
    check(&queries[2], &columns).await;
    for rest in &queries[3..] {
        check(rest, &[]).await;
    }
}

#[tokio::test]
async fn psql_describes_a_materialized_view() {
    check(&captured("\\d daily")[0], &["16394|public|daily"]).await;
    let queries = captured("\\d+ daily");
    check(&queries[0], &["0|m|false|true|false|false|false|false|false||0||p|d|heap"]).await;
    let columns =
        ["sale_date|date|∅|false|∅|||p||∅|∅", "region|text|∅|false|∅|||x||∅|∅", "total|numeric|∅|false|∅|||m||∅|∅"];
    check(&queries[1], &columns).await;
    let definition = " SELECT sale_date, region, sum(amount) AS total FROM public.sales GROUP BY sale_date, region;";
    check(&queries[2], &[definition]).await;
}

#[tokio::test]
async fn psql_describes_the_catalog_itself() {
    let rows = Database::new().rows(&captured("\\d pg_class")[2]).await.unwrap();
    assert_eq!(rows.len(), 33);
    assert_eq!(rows[0], "oid|oid|∅|true|∅||");
    assert_eq!(rows[31], "reloptions|text[]|∅|false|C||");
}

#[tokio::test]
async fn psql_completes_names_of_tables() {
    let completion = &captured("completion")[0];
    check(completion, &["sales|∅"]).await;
}

#[tokio::test]
async fn oid_aliases_compare_as_numbers_and_print_as_names() {
    check("SELECT 'sales'::regclass", &["sales"]).await;
    check("SELECT 'sales'::regclass::oid, 'public.sales'::regclass::int8", &["16388|16388"]).await;
    check(
        "SELECT 16401::regclass, 'staging.events'::regclass::text, 1::regclass",
        &["staging.events|staging.events|1"],
    )
    .await;
    check("SELECT relname FROM pg_class WHERE oid = 'sales'::regclass", &["sales"]).await;
    check("SELECT attname FROM pg_attribute WHERE attrelid = 'daily'::regclass AND attnum = 1", &["sale_date"]).await;
    check("SELECT oid::regclass FROM pg_class WHERE relname = 'events'", &["staging.events"]).await;
    check("SELECT typname FROM pg_type WHERE typinput = 'array_in'::regproc AND typelem = 23", &["_int4"]).await;
    check("SELECT typinput, typelem::regtype FROM pg_type WHERE typname = '_int4'", &["array_in|integer"]).await;
    check("SELECT p.proname FROM pg_type t JOIN pg_proc p ON p.oid = t.typreceive WHERE t.oid = 1007", &["array_recv"])
        .await;
    check("SELECT 'int4'::regtype, 'numeric(3,1)'::regtype, 'text[]'::regtype::oid", &["integer|numeric|1009"]).await;
    check("SELECT to_regclass('nosuch') IS NULL, to_regtype('timestamptz')", &["true|timestamp with time zone"]).await;
    check("SELECT 'public'::regnamespace::oid, 11::regnamespace", &["2200|pg_catalog"]).await;
    check("SELECT count(*) FROM pg_class WHERE oid::regclass::text = 'staging.events'", &["1"]).await;
    check("SELECT pg_typeof(1::int8), pg_typeof('a'::name)", &["bigint|name"]).await;
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_an_error_of_its_kind() {
    let database = Database::new();
    let message = |sql: &'static str| async { database.rows(sql).await.unwrap_err().to_string() };
    assert!(message("SELECT 'nosuch'::regclass").await.contains("relation \"nosuch\" does not exist"));
    assert!(message("SELECT 'nosuch'::regtype").await.contains("type \"nosuch\" does not exist"));
    assert!(message("SELECT current_setting('missing.one')").await.contains("unrecognized configuration parameter"));
}

#[tokio::test]
async fn sets_work_in_select_lists_and_in_from() {
    check("SELECT generate_series(1, 3)", &["1", "2", "3"]).await;
    check("SELECT g FROM generate_series(1, 2) AS g", &["1", "2"]).await;
    check("SELECT * FROM unnest(ARRAY['a', 'b']) WITH ORDINALITY AS u(item, number)", &["a|1", "b|2"]).await;
    check("SELECT nsp FROM unnest(current_schemas(true)) AS nsp", &["pg_catalog", "public"]).await;
    check("SELECT (_pg_expandarray(ARRAY[7, 8])).n", &["1", "2"]).await;
    check("SELECT word FROM pg_get_keywords() WHERE word = 'select'", &["select"]).await;
    let lateral = "SELECT p.proname, u.kind FROM pg_proc p, unnest(p.proargtypes) AS u(kind)
        WHERE p.proname = 'date_part' AND u.kind = 1082";
    check(lateral, &["date_part|1082"]).await;
    let arrays = "SELECT array(SELECT typname FROM pg_type WHERE oid IN (16, 25) ORDER BY 1 DESC)";
    check(arrays, &["[text, bool]"]).await;
}

#[tokio::test]
async fn correlated_subqueries_of_any_shape_find_their_rows() {
    let counted =
        "SELECT nspname, (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind <> n.nspname)
        FROM pg_namespace n WHERE nspname IN ('public', 'staging', 'pg_toast') ORDER BY 1";
    check(counted, &["pg_toast|0", "public|2", "staging|1"]).await;
    let first =
        "SELECT relname, (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid ORDER BY attnum DESC LIMIT 1)
        FROM pg_class c WHERE relname IN ('sales', 'daily') ORDER BY 1";
    check(first, &["daily|total", "sales|amount"]).await;
    let in_filter =
        "SELECT relname FROM pg_class c WHERE (SELECT max(attnum) FROM pg_attribute a WHERE a.attrelid = c.oid) = 7
        AND relkind = 'r' AND c.oid > 16384";
    check(in_filter, &["sales"]).await;
}

#[tokio::test]
async fn meridian_shows_partitions_and_segments() {
    let partitions =
        "SELECT partition, segments, rows, bytes, min_value, max_value FROM meridian.partitions ORDER BY 1";
    check(
        partitions,
        &["(EMEA, 2025-03)|2|150|40000|2025-03-03|2025-03-17", "(EMEA, 2025-04)|1|7|20000|2025-04-02|2025-04-11"],
    )
    .await;
    check(
        "SELECT name, partition_by, order_by, rows FROM meridian.tables ORDER BY 1",
        &["events|||0", "sales|region, month(sale_date)|sale_date|157"],
    )
    .await;
    check("SELECT name, populated, frontier FROM meridian.views", &["daily|true|∅"]).await;
}

#[tokio::test]
async fn information_schema_speaks_of_tables_and_columns() {
    check(
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
        &["daily|VIEW", "sales|BASE TABLE"],
    )
    .await;
    let columns = "SELECT column_name, data_type, is_nullable, numeric_precision, numeric_scale, udt_name
        FROM information_schema.columns WHERE table_name = 'sales' AND ordinal_position > 5 ORDER BY ordinal_position";
    check(columns, &["quantity|integer|YES|32|0|int4", "amount|numeric|NO|12|2|numeric"]).await;
}
