//! EXPLAIN: first how much was pruned, then the plan, below what is changed where a statement changes rows; and how a view is kept.

use crate::dispatch::text_rows;
use crate::error::{ErrorKind, QueryError};
use crate::execute_arguments::values_of_call;
use crate::explained_changes::{Outline, OutlinedPlan, Purpose, Ready};
use crate::planner::Planning;
use crate::prepared::{Prepared, with_current_labels};
use crate::response::{ParameterValue, Response};
use crate::session::Session;
use crate::statement::{ExplainOptions, Statement, StatementKind};
use catalog::snapshot::{Relation, ViewVersion};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::sql::sqlparser::ast;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

const TITLE: &str = "QUERY PLAN";

/// Of a statement that has none, as PostgreSQL says it.
const NO_PLAN: &str = "Utility statements have no plan structure";

/// EXPLAIN. What it is asked about stands for EXECUTE, if that is a call of a prepared statement.
pub(crate) async fn run(
    session: &mut Session,
    options: ExplainOptions,
    explained: &Statement,
    bound: (&Prepared, &[ParameterValue]),
    alone: bool,
) -> Result<Response, QueryError> {
    let StatementKind::Execute { name, arguments } = &explained.kind else {
        return explain(session, options, explained, bound, alone).await;
    };
    let Some(prepared) = session.named_statement(name)?.1 else { return Ok(Response::Empty) };
    let prepared = with_current_labels(session, &prepared)?;
    let values = values_of_call(session, (name, arguments), &prepared.parameters, explained).await?;
    explain(session, options, &prepared.statement, (&prepared, &values), alone).await
}

async fn explain(
    session: &mut Session,
    options: ExplainOptions,
    explained: &Statement,
    bound: (&Prepared, &[ParameterValue]),
    alone: bool,
) -> Result<Response, QueryError> {
    let purpose = if options.analyze { Purpose::Run } else { Purpose::Explain };
    let started = Instant::now();
    let ready = Ready::of(session, explained, bound, purpose).await?;
    let planning_ms = started.elapsed().as_secs_f64() * 1e3;
    let Some(outline) = ready.outline() else { return Ok(without_plan(&ready, options)) };
    let mut executed = None;
    if options.analyze {
        let started = Instant::now();
        let rows = ready.run(session, alone).await?;
        executed = Some(Executed { rows, execution_ms: started.elapsed().as_secs_f64() * 1e3 });
    }
    Ok(lines_response(match options.json {
        true => vec![json_plan(&outline, options, planning_ms, executed)],
        false => text_plan(&outline, options, planning_ms, executed),
    }))
}

/// What the execution of a statement came to.
#[derive(Clone, Copy)]
struct Executed {
    /// Those that it changed.
    rows: u64,
    execution_ms: f64,
}

fn without_plan(ready: &Ready<'_>, options: ExplainOptions) -> Response {
    let (line, group) = match ready {
        Ready::Skipped(command) => (None, *command),
        _ => (Some(NO_PLAN), "Utility Statement"),
    };
    match options.json {
        true => lines_response(vec![serde_json::to_string_pretty(&json!([group])).unwrap_or_default()]),
        false => lines_response(line.into_iter().map(str::to_string).collect()),
    }
}

fn lines_response(lines: Vec<String>) -> Response {
    text_rows("EXPLAIN", &[TITLE], lines.into_iter().map(|line| vec![line]).collect())
}

fn text_plan(outline: &Outline, options: ExplainOptions, planning_ms: f64, executed: Option<Executed>) -> Vec<String> {
    let mut lines: Vec<String> = outline.lines.clone();
    lines.extend(outline.scans().iter().map(ToString::to_string));
    for OutlinedPlan { purpose, plan } in &outline.plans {
        let display = match options.analyze {
            true => DisplayableExecutionPlan::with_metrics(plan.as_ref()),
            false => DisplayableExecutionPlan::new(plan.as_ref()),
        };
        let shown = display.indent(options.verbose).to_string();
        let shown = shown.lines().map(|line| shortened(line, options.verbose));
        match purpose {
            None => lines.extend(shown),
            Some(purpose) => {
                lines.push(format!("{purpose}:"));
                lines.extend(shown.map(|line| format!("  {line}")));
            }
        }
    }
    if let Some(change) = &outline.change {
        let changed = executed.map(|executed| format!(", metrics=[rows={}]", executed.rows)).unwrap_or_default();
        let title = format!("{}{changed}", change.title(options.verbose));
        lines = std::iter::once(title).chain(lines.into_iter().map(|line| format!("  {line}"))).collect();
    }
    if let Some(Executed { execution_ms, .. }) = executed {
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

fn json_plan(outline: &Outline, options: ExplainOptions, planning_ms: f64, executed: Option<Executed>) -> String {
    let scans: Vec<Value> = outline
        .scans()
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
    let mut document =
        json!({ "Plan": json_tree(outline, options, executed), "Scans": scans, "Planning Time": planning_ms });
    if let Some(Executed { execution_ms, .. }) = executed {
        document["Execution Time"] = json!(execution_ms);
    }
    serde_json::to_string_pretty(&json!([document])).unwrap_or_default()
}

/// The plan of a query, or the change that stands over the plans which find its rows.
fn json_tree(outline: &Outline, options: ExplainOptions, executed: Option<Executed>) -> Value {
    let mut plans: Vec<Value> = outline
        .plans
        .iter()
        .map(|OutlinedPlan { purpose, plan }| {
            let mut node = json_node(plan);
            if let Some(purpose) = purpose {
                node["Purpose"] = json!(purpose);
            }
            node
        })
        .collect();
    let Some(change) = &outline.change else {
        let mut node = plans.pop().unwrap_or_default();
        if !outline.lines.is_empty() {
            node["Remarks"] = json!(outline.lines);
        }
        return node;
    };
    let (table, name) = change.names();
    let mut node = json!({
        "Node Type": "ModifyTable", "Operation": change.operation, "Relation Name": table, "Alias": name,
        "Detail": change.title(options.verbose),
    });
    if let Some(Executed { rows, .. }) = executed {
        node["Rows"] = json!(rows);
    }
    if !outline.lines.is_empty() {
        node["Remarks"] = json!(outline.lines);
    }
    if !plans.is_empty() {
        node["Plans"] = Value::Array(plans);
    }
    node
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
