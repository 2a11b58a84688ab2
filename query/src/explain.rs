//! EXPLAIN: first how much was pruned, then the plan; and how a view is kept.

use crate::dispatch::text_rows;
use crate::error::{ErrorKind, QueryError};
use crate::execution::{compute, stream};
use crate::planner::Planning;
use crate::response::Response;
use crate::scan::ScanReport;
use crate::session::Session;
use crate::statement::{ExplainOptions, Statement, StatementKind};
use catalog::snapshot::{Relation, ViewVersion};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

const TITLE: &str = "QUERY PLAN";

/// EXPLAIN of a query.
pub(crate) async fn run(
    session: &mut Session,
    options: ExplainOptions,
    explained: &Statement,
) -> Result<Response, QueryError> {
    let query = match &explained.kind {
        StatementKind::Query(query) => query.clone(),
        StatementKind::Declare(declare) => match &declare.statement.kind {
            StatementKind::Query(query) => query.clone(),
            _ => return Err(only_queries()),
        },
        _ => return Err(only_queries()),
    };
    let planning = session.planning()?;
    let (over, owned) = (Arc::clone(&planning), explained.clone());
    let started = Instant::now();
    let plan = compute(&session.engine, &session.token, async move {
        let plan = over.query_plan(&query, &[], Some(&owned))?;
        over.physical_plan(&plan, Some(&owned)).await
    })
    .await?;
    let planning_ms = started.elapsed().as_secs_f64() * 1e3;
    let mut execution_ms = None;
    if options.analyze {
        let started = Instant::now();
        let (run, owned) = (Arc::clone(&plan), Some(explained.clone()));
        let rows = stream(&session.engine, &session.token, run, &planning.state, owned);
        rows.try_for_each(|_| std::future::ready(Ok(()))).await?;
        execution_ms = Some(started.elapsed().as_secs_f64() * 1e3);
    }
    let scans = planning.log.reports();
    if options.json {
        let text = json_plan(&plan, &scans, planning_ms, execution_ms);
        return Ok(text_rows("EXPLAIN", &[TITLE], vec![vec![text]]));
    }
    Ok(lines_response(text_plan(&plan, &scans, options, planning_ms, execution_ms)))
}

fn only_queries() -> QueryError {
    QueryError::unsupported("EXPLAIN of a statement other than a query").hint("Explain the SELECT inside of it.")
}

fn lines_response(lines: Vec<String>) -> Response {
    text_rows("EXPLAIN", &[TITLE], lines.into_iter().map(|line| vec![line]).collect())
}

fn text_plan(
    plan: &Arc<dyn ExecutionPlan>,
    scans: &[ScanReport],
    options: ExplainOptions,
    planning_ms: f64,
    execution_ms: Option<f64>,
) -> Vec<String> {
    let mut lines: Vec<String> = scans.iter().map(ToString::to_string).collect();
    let display = match options.analyze {
        true => DisplayableExecutionPlan::with_metrics(plan.as_ref()),
        false => DisplayableExecutionPlan::new(plan.as_ref()),
    };
    let shown = display.indent(options.verbose).to_string();
    lines.extend(shown.lines().map(|line| shortened(line, options.verbose)));
    if let Some(execution_ms) = execution_ms {
        lines.push(format!("Planning Time: {planning_ms:.3} ms"));
        lines.push(format!("Execution Time: {execution_ms:.3} ms"));
    }
    lines
}

/// File lists are long and say nothing that the first lines do not; VERBOSE shows them.
fn shortened(line: &str, verbose: bool) -> String {
    if verbose {
        return line.to_string();
    }
    let line = line.find(", pruning_predicate=").map_or(line, |start| &line[..start]);
    match (line.find("file_groups={"), line.find("]]}, ")) {
        (Some(start), Some(end)) if end > start => format!("{}{}", &line[..start], &line[end + 5..]),
        _ => line.to_string(),
    }
}

fn json_plan(
    plan: &Arc<dyn ExecutionPlan>,
    scans: &[ScanReport],
    planning_ms: f64,
    execution_ms: Option<f64>,
) -> String {
    let scans: Vec<Value> = scans
        .iter()
        .map(|scan| {
            json!({
                "Relation Name": scan.table,
                "Partitions Read": scan.partitions.0, "Partitions": scan.partitions.1,
                "Segments Read": scan.segments.0, "Segments": scan.segments.1,
                "Recent Rows": scan.recent_rows,
            })
        })
        .collect();
    let mut document = json!({ "Plan": json_node(plan), "Scans": scans, "Planning Time": planning_ms });
    if let Some(execution_ms) = execution_ms {
        document["Execution Time"] = json!(execution_ms);
    }
    serde_json::to_string_pretty(&json!([document])).unwrap_or_default()
}

fn json_node(plan: &Arc<dyn ExecutionPlan>) -> Value {
    let detail = DisplayableExecutionPlan::new(plan.as_ref()).one_line().to_string();
    let children: Vec<Value> = plan.children().into_iter().map(json_node).collect();
    let mut node = json!({ "Node Type": plan.name(), "Detail": detail.trim() });
    if !children.is_empty() {
        node["Plans"] = Value::Array(children);
    }
    node
}

/// EXPLAIN MATERIALIZED VIEW.
pub(crate) fn run_view(session: &mut Session, name: &ast::ObjectName) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let object = planning.object_name(name)?;
    match planning.relation(&object, &name.to_string())? {
        Relation::View(view) if !view.definition.is_plain() => Ok(lines_response(view_lines(&planning, view)?)),
        _ => {
            Err(QueryError::new(ErrorKind::WrongObjectType, format!("\"{}\" is not a materialized view", object.name)))
        }
    }
}

fn view_lines(planning: &Planning, view: &Arc<ViewVersion>) -> Result<Vec<String>, QueryError> {
    let program = planning.engine.programs.of(planning, &view.definition)?;
    let mut lines = vec![format!("class: {}", program.class())];
    match (&view.state, view.frontier) {
        (None, _) => {}
        (Some(_), None) => lines.push("state: being built; reads run the query".into()),
        (Some(state), Some(frontier)) => {
            let behind =
                planning.snapshot.commits_behind(view).map_or_else(|| "unknown".into(), |commits| commits.to_string());
            lines.push(format!(
                "state: {} rows in {} runs at commit {frontier}, {behind} commits behind",
                state.rows_live(),
                runs(state)
            ));
            if let Some(columns) = program.state_columns() {
                let shown: Vec<String> =
                    columns.iter().map(|column| format!("{} {}", column.name, column.sql_type)).collect();
                lines.push(format!("kept: {}", shown.join(", ")));
            }
        }
    }
    let folds = planning.engine.background.folds();
    lines.extend(folds.summary(view.definition.id));
    lines.extend(folds.error(view.definition.id).map(|error| format!("last error: {error}")));
    lines.push(format!("query: {}", view.definition.query));
    Ok(lines)
}

fn runs(state: &catalog::snapshot::TableVersion) -> usize {
    state.segments.len() + state.recent.len()
}
