//! `verify_materialized_view('v')`: the rows in which a view and its query differ, at the snapshot of the statement that asks.
//!
//! Both are read in the view's time zone and compared as text, so that equal means what a client sees. The query is planned over the
//! tables and the views below, never over the view's own state.

use crate::error::{ErrorKind, QueryError};
use crate::planner::Planning;
use crate::scan::external;
use crate::statement::StatementKind;
use catalog::definition::{ObjectName, ViewDefinition};
use catalog::sql_type::SqlType;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use std::sync::{Arc, LazyLock};

pub(crate) const VERIFY: &str = "verify_materialized_view";

/// What the function returns: `+` for a row that only the view has, `-` for one that only its query has, how many copies too many
/// there are, and the row's values.
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields = [("sign", SqlType::Text), ("copies", SqlType::Int8), ("row_text", SqlType::Text)];
    Arc::new(Schema::new(fields.map(|(name, sql_type)| sql_type.field(name, true)).to_vec()))
});

/// The columns of the function's rows.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The plan of a call.
pub(crate) fn plan(planning: &Planning, argument: &ScalarValue) -> Result<LogicalPlan> {
    let (ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)) | ScalarValue::LargeUtf8(Some(name))) =
        argument
    else {
        let error = QueryError::new(ErrorKind::InvalidParameterValue, format!("{VERIFY} takes the name of a view"));
        return Err(external(error));
    };
    differences(planning, name).map_err(external)
}

fn differences(planning: &Planning, name: &str) -> std::result::Result<LogicalPlan, QueryError> {
    let oid = planning.facts.class_named(name)?;
    let view = planning.snapshot.views.values().find(|view| i64::from(view.definition.id.0) == oid);
    let Some(view) = view.filter(|view| !view.definition.is_plain()) else {
        return Err(QueryError::new(ErrorKind::WrongObjectType, format!("\"{name}\" is not a materialized view")));
    };
    let again = planning.again();
    let zone = &view.definition.time_zone;
    let again = if zone.is_empty() { again } else { again.in_time_zone(zone) };
    let text = comparison(&view.definition);
    let parsed = crate::statement::parse(&text)?.into_iter().next().map(|statement| statement.kind);
    let Some(StatementKind::Query(query)) = parsed else {
        return Err(QueryError::new(ErrorKind::Internal, "a comparison of a view is not a query"));
    };
    // Functions of the zone are bound to it where they are lowered, which whoever reads the rows would do in its own.
    let plan = again.query_plan(&query, &[], None)?;
    again.analyzed(plan, None)
}

/// The query that counts each row's copies on both sides.
fn comparison(view: &ViewDefinition) -> String {
    let columns: Vec<String> = (1..=view.columns.len()).map(|number| format!("c{number}")).collect();
    let columns = columns.join(", ");
    let texts: Vec<String> = (1..=view.columns.len()).map(|number| format!("c{number}::text")).collect();
    let shown: Vec<String> = (1..=view.columns.len()).map(|number| format!("coalesce(c{number}, 'NULL')")).collect();
    let (texts, shown) = (texts.join(", "), shown.join(", "));
    let (name, query) = (quoted(&view.name), &view.query);
    format!(
        "SELECT CASE WHEN sum(weight) > 0 THEN '+' ELSE '-' END AS sign, abs(sum(weight))::bigint AS copies, \
         '(' || concat_ws(', ', {shown}) || ')' AS row_text FROM (\
         SELECT {texts}, 1 FROM {name} AS kept ({columns}) UNION ALL \
         SELECT {texts}, -1 FROM ({query}) AS computed ({columns})) AS compared ({columns}, weight) \
         GROUP BY {columns} HAVING sum(weight) <> 0"
    )
}

fn quoted(name: &ObjectName) -> String {
    let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    format!("{}.{}", quote(&name.schema), quote(&name.name))
}
