//! What the columns of a relation are called that is a query: in FROM, or behind a name of WITH.
//!
//!     planned as         called        because
//!     outer_ref(t.a)     a             DataFusion calls a column of an outer query so
//!     a⌑                 a             within the query an expression means another `a`
//!     a, a:1             a⌑2, a⌑3      both are called a: `*` shows them so, and no name means one of them
//!
//! The marks cannot be typed in SQL. Relations that are made when a query is rewritten have an `@` in their names. Whoever made them asks
//! for what was planned; only `a:1`, which `*` gives, is called `a⌑2` there.

use crate::merged_joins::is_hidden;
use crate::output_names::{asked_name, numbered_name, shown_name};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, SubqueryAlias};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How DataFusion's name of an unnamed column of an outer query begins.
const OUTER: &str = "outer_ref(";

/// The plan of a relation of FROM whose columns are called so.
pub(crate) fn with_shown_names(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::SubqueryAlias(relation) = &plan else { return Ok(plan) };
    let Some(names) = names(relation) else { return Ok(plan) };
    let columns = relation.input.schema().iter().zip(names).map(|((qualifier, field), name)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        if *field.name() == name { column } else { column.alias(name) }
    });
    let named = Projection::try_new(columns.collect(), Arc::clone(&relation.input))?;
    let named = SubqueryAlias::try_new(Arc::new(LogicalPlan::Projection(named)), relation.alias.clone())?;
    Ok(LogicalPlan::SubqueryAlias(named))
}

/// The names of a relation's columns; `None` where they are those that were planned.
fn names(relation: &SubqueryAlias) -> Option<Vec<String>> {
    let fields = relation.input.schema().fields();
    let planned: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let is_marked = |name: &&str| shown_name(name) != *name || name.contains(':') || name.starts_with(OUTER);
    if !planned.iter().any(is_marked) {
        return None;
    }
    let is_rewritten = relation.alias.table().contains('@');
    let outer = if is_rewritten { HashMap::new() } else { outer_names(&relation.input, &planned) };
    let asked = |(place, name): (usize, &&str)| match repeated(&relation.input, place) {
        Some(column) => shown_name(column).to_string(),
        None if is_rewritten || is_hidden(name) => name.to_string(),
        None => outer.get(*name).map_or_else(|| asked_name(name).to_string(), String::clone),
    };
    let asked: Vec<String> = planned.iter().enumerate().map(asked).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    asked.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let mut taken: HashSet<String> = planned.iter().map(|name| name.to_string()).collect();
    let named = asked.iter().zip(&planned).enumerate().map(|(place, (name, planned))| {
        let is_kept = asked_name(planned) == name && repeated(&relation.input, place).is_none();
        match counts.get(name.as_str()) {
            Some(1) => name.clone(),
            _ if is_kept && (is_rewritten || *planned != name) => planned.to_string(),
            _ => numbered(name, &mut taken),
        }
    });
    let named: Vec<String> = named.collect();
    (named != planned).then_some(named)
}

/// A name with the first number that is free.
fn numbered(name: &str, taken: &mut HashSet<String>) -> String {
    let mut number = 2;
    while !taken.insert(numbered_name(name, number)) {
        number += 1;
    }
    numbered_name(name, number)
}

/// The column that DataFusion has given a number, because another one has its name.
fn repeated(plan: &LogicalPlan, place: usize) -> Option<&str> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => repeated(&alias.input, place),
        // What a query calls a column is no name in a relation.
        LogicalPlan::Projection(projection) => match projection.expr.get(place)? {
            Expr::Alias(Alias { expr, relation: Some(_), name, .. }) => {
                let column = expr.try_as_col()?.name();
                name.strip_prefix(column)?.starts_with(':').then_some(column)
            }
            _ => None,
        },
        _ => None,
    }
}

/// What the columns of outer queries are called there, by DataFusion's names for them.
fn outer_names(plan: &LogicalPlan, planned: &[&str]) -> HashMap<String, String> {
    if !planned.iter().any(|name| name.starts_with(OUTER)) {
        return HashMap::new();
    }
    let names = plan.all_out_ref_exprs().into_iter().filter_map(|expression| match &expression {
        Expr::OuterReferenceColumn(_, column) => {
            Some((expression.schema_name().to_string(), asked_name(&column.name).to_string()))
        }
        _ => None,
    });
    names.collect()
}
