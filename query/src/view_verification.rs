//! `verify_materialized_view('v')`: the rows in which a view and its query differ, at the snapshot of the statement that asks.
//! `verify_materialized_view()` is of all views that may be read, and says of which one a row is.
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
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use std::sync::{Arc, LazyLock};

pub(crate) const VERIFY: &str = "verify_materialized_view";

/// What the function returns: `+` for a row that only the view has, `-` for one that only its query has, how many copies too many
/// there are, and the row's values.
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields = [("sign", SqlType::Text), ("copies", SqlType::Int8), ("row_text", SqlType::Text)];
    Arc::new(Schema::new(fields.map(|(name, sql_type)| sql_type.field(name, true)).to_vec()))
});

/// The column in front of the others where the call is of all views.
const VIEW: &str = "view_name";

/// The columns of the function's rows.
pub(crate) fn schema(of_all: bool) -> SchemaRef {
    if !of_all {
        return Arc::clone(&SCHEMA);
    }
    let name = Arc::new(SqlType::Text.field(VIEW, true));
    Arc::new(Schema::new(std::iter::once(name).chain(SCHEMA.fields().iter().cloned()).collect::<Vec<_>>()))
}

/// The plan of a call without an argument.
pub(crate) fn plan_of_all(planning: &Planning) -> Result<LogicalPlan> {
    let views = planning.snapshot.views.values().map(|view| &view.definition);
    let views = views.filter(|definition| !definition.is_plain() && definition.populated);
    let plans = views.map(|definition| {
        let plan = differences_of(planning, definition).map_err(external)?;
        let columns = plan.schema().columns().into_iter().map(Expr::Column);
        let name = cast(lit(definition.name.to_string()), SqlType::Text.data_type()).alias(VIEW);
        LogicalPlanBuilder::from(plan).project(std::iter::once(name).chain(columns))
    });
    let none = LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: false,
        schema: Arc::new(DFSchema::try_from(schema(true).as_ref().clone())?),
    });
    let all = { plans }.try_fold(LogicalPlanBuilder::from(none), |all, plan| all.union(plan?.build()?))?;
    all.build()
}

/// The plan of a call with one.
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
    differences_of(planning, &view.definition)
}

fn differences_of(planning: &Planning, view: &ViewDefinition) -> std::result::Result<LogicalPlan, QueryError> {
    let again = planning.again();
    let zone = &view.time_zone;
    let again = if zone.is_empty() { again } else { again.in_time_zone(zone) };
    let text = comparison(view);
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
