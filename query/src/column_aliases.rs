//! Names for the columns of an item of FROM: as many as are given, from the first column on.
//!
//!     t has a, b       FROM t AS v(x)      v.x, v.b
//!                      FROM t AS v(x, y, z) is an error
//!                      FROM t AS v(b)       v.b is ambiguous
//!
//! DataFusion wants a name for each column.

use crate::error::{ErrorKind, QueryError};
use crate::output_names::{asked_name, numbered_name};
use crate::scan::external;
use datafusion::common::{Result, TableReference};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{TableAlias, TableFactor};
use std::collections::{HashMap, HashSet};

/// Before the name of a query of WITH whose columns are named: what errors call it.
pub(crate) const WITH_QUERY: &str = "WITH query@";

/// Plans relations whose columns an alias names.
#[derive(Debug, Default)]
pub(crate) struct AliasPlanner;

impl RelationPlanner for AliasPlanner {
    fn plan_relation(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let Some(alias) = take_alias(&mut relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let kind = if matches!(relation, TableFactor::NestedJoin { .. }) { "join expression" } else { "table" };
        let plan = context.plan(relation)?;
        let names = alias.columns.into_iter().map(|column| context.normalize_ident(column.name));
        let plan = with_names(plan, names.collect(), kind, context.normalize_ident(alias.name))?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

/// The alias of an item of FROM, if it names columns.
fn take_alias(relation: &mut TableFactor) -> Option<TableAlias> {
    let alias = match relation {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias,
        _ => return None,
    };
    alias.take_if(|alias| !alias.columns.is_empty())
}

fn with_names(plan: LogicalPlan, names: Vec<String>, kind: &str, table: String) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    if names.len() > columns.len() {
        let what = match table.strip_prefix(WITH_QUERY) {
            Some(query) => format!("WITH query \"{query}\""),
            None => format!("{kind} \"{table}\""),
        };
        return Err(external(too_many(&what, columns.len(), names.len())));
    }
    let shown = columns.iter().enumerate().map(|(index, column)| match names.get(index) {
        Some(name) => name.clone(),
        None => asked_name(column.name()).to_string(),
    });
    let outputs =
        columns.iter().zip(distinct(shown.collect())).map(|(column, name)| Expr::Column(column.clone()).alias(name));
    let outputs: Vec<Expr> = outputs.collect();
    LogicalPlanBuilder::from(plan).project(outputs)?.alias(TableReference::bare(table))?.build()
}

/// Names of which none is there twice. Those that several columns have get numbers, all of them: none of the columns is meant by the name.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let mut taken = HashSet::new();
    let numbered = names.iter().map(|name| match counts.get(name.as_str()) {
        Some(1) => name.clone(),
        _ => {
            let number = (2..).find(|number| taken.insert(numbered_name(name, *number))).unwrap_or_default();
            numbered_name(name, number)
        }
    });
    numbered.collect()
}

/// The error of names for columns that are not there.
pub(crate) fn too_many(what: &str, there: usize, named: usize) -> QueryError {
    let message = format!("{what} has {there} columns available but {named} columns specified");
    QueryError::new(ErrorKind::InvalidColumnReference, message)
}
