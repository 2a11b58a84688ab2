//! Aggregates of nothing but an outer query's columns: they are the outer query's own, wherever they stand.
//!
//!     SELECT y, (SELECT sum(o.x)) FROM o GROUP BY y
//!
//!     Projection y, (Projection sum ─ Aggregate sum(outer o.x) ─ …)    Projection y, (Projection outer __aggregate_1 ─ …)
//!     └ Aggregate y                                                    └ Aggregate y: sum(o.x) AS __aggregate_1
//!
//! A subquery that has no other aggregate is no aggregate query any more. A query with such an aggregate is one, also without GROUP BY.

use super::is_of_rows;
use super::scope::{Names, replace_outer};
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Aggregate, Filter, Projection};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Subquery};
use std::sync::Arc;

/// Moves the aggregates of outer columns to the queries that they belong to.
pub(super) fn in_their_queries(plan: LogicalPlan, names: &mut Names) -> Result<LogicalPlan> {
    let moved = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Projection(projection) => in_select(projection, names),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(moved.data)
}

/// Whether an aggregate has outer columns and no others.
pub(super) fn is_of_outer_columns(expr: &Expr) -> bool {
    let is_of_rows = matches!(expr, Expr::AggregateFunction(call) if is_of_rows(&call.func));
    expr.contains_outer() && !expr.any_column_refs() && !is_of_rows
}

/// What was found in the subqueries of one query.
struct Found<'a> {
    /// The columns that are aggregated.
    schema: &'a DFSchema,
    names: &'a mut Names,
    /// Each as the query computes it, and its name.
    aggregates: Vec<(Expr, String)>,
}

fn in_select(projection: Projection, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let having = match projection.input.as_ref() {
        LogicalPlan::Filter(filter) if matches!(filter.input.as_ref(), LogicalPlan::Aggregate(_)) => Some(filter),
        _ => None,
    };
    let grouped = match having.map_or(&projection.input, |filter| &filter.input).as_ref() {
        LogicalPlan::Aggregate(aggregate) => Some(aggregate),
        _ => None,
    };
    let base = grouped.map_or(&projection.input, |aggregate| &aggregate.input);
    let mut found = Found { schema: base.schema(), names, aggregates: Vec::new() };
    let exprs = projection.expr.iter().map(|expr| found.in_expression(expr.clone())).collect::<Result<Vec<_>>>()?;
    let predicate = having.map(|filter| found.in_expression(filter.predicate.clone())).transpose()?;
    if found.aggregates.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Projection(projection)));
    }
    if grouped.is_none() {
        refuse_columns(&exprs)?;
    }
    let computed = found.aggregates.into_iter().map(|(expr, name)| expr.alias(name));
    let (groups, own) = grouped.map_or((Vec::new(), Vec::new()), |own| (own.group_expr.clone(), own.aggr_expr.clone()));
    let computed = own.into_iter().chain(computed).collect();
    let mut input = LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(base), groups, computed)?);
    if let Some(predicate) = predicate {
        input = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?);
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?)))
}

/// Without GROUP BY no column stands beside an aggregate.
fn refuse_columns(exprs: &[Expr]) -> Result<()> {
    let mut columns = exprs.iter().flat_map(|expr| expr.column_refs());
    match columns.next() {
        None => Ok(()),
        Some(column) => {
            let name = column.flat_name();
            let message =
                format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function");
            Err(external(QueryError::new(ErrorKind::Grouping, message)))
        }
    }
}

impl Found<'_> {
    fn in_expression(&mut self, expr: Expr) -> Result<Expr> {
        let moved = expr.transform_down(|part| {
            let part = match part {
                Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(self.in_subquery(subquery)?),
                Expr::Exists(Exists { subquery, negated }) => {
                    Expr::Exists(Exists { subquery: self.in_subquery(subquery)?, negated })
                }
                Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                    Expr::InSubquery(InSubquery { expr, subquery: self.in_subquery(subquery)?, negated })
                }
                Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                    Expr::SetComparison(SetComparison { expr, subquery: self.in_subquery(subquery)?, op, quantifier })
                }
                other => return Ok(Transformed::no(other)),
            };
            Ok(Transformed::new(part, true, TreeNodeRecursion::Continue))
        })?;
        Ok(moved.data)
    }

    fn in_subquery(&mut self, subquery: Subquery) -> Result<Subquery> {
        let before = self.aggregates.len();
        let mut moved: Vec<(Column, Expr)> = Vec::new();
        let plan = Arc::unwrap_or_clone(Arc::clone(&subquery.subquery)).transform_up(|node| match node {
            LogicalPlan::Aggregate(aggregate) => self.without_outer(aggregate, &mut moved),
            other if moved.is_empty() => Ok(Transformed::no(other)),
            other => with_moved(other, &moved),
        })?;
        if moved.is_empty() {
            debug_assert_eq!(before, self.aggregates.len());
            return Ok(subquery);
        }
        let outer_ref_columns = plan.data.all_out_ref_exprs();
        Ok(Subquery { subquery: Arc::new(plan.data), outer_ref_columns, spans: subquery.spans })
    }

    /// The node without what is aggregated outside; `moved` says what its columns become.
    fn without_outer(
        &mut self,
        aggregate: Aggregate,
        moved: &mut Vec<(Column, Expr)>,
    ) -> Result<Transformed<LogicalPlan>> {
        let aggregates = aggregate.schema.columns().into_iter().rev().take(aggregate.aggr_expr.len());
        let columns: Vec<Column> = aggregates.collect::<Vec<_>>().into_iter().rev().collect();
        let mut own = Vec::new();
        for (expr, column) in aggregate.aggr_expr.iter().zip(columns) {
            match self.outer(expr)? {
                Some(outer) => moved.push((column, outer)),
                None => own.push(expr.clone()),
            }
        }
        if own.len() == aggregate.aggr_expr.len() {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        if own.is_empty() && aggregate.group_expr.is_empty() {
            return Ok(Transformed::yes(Arc::unwrap_or_clone(aggregate.input)));
        }
        let rest = Aggregate::try_new(aggregate.input, aggregate.group_expr, own)?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(rest)))
    }

    /// The outer column that an aggregate of this query's columns becomes.
    fn outer(&mut self, expr: &Expr) -> Result<Option<Expr>> {
        if !is_of_outer_columns(expr) {
            return Ok(None);
        }
        let schema = self.schema;
        let known = |column: &Column| schema.has_column(column).then(|| Expr::Column(column.clone()));
        let inside = replace_outer(expr.clone().unalias(), known)?;
        if inside.contains_outer() {
            return Ok(None);
        }
        let (_, field) = inside.to_field(schema)?;
        let name = match self.aggregates.iter().find(|(same, _)| *same == inside) {
            Some((_, name)) => name.clone(),
            None => {
                let name = self.names.take("aggregate");
                self.aggregates.push((inside, name.clone()));
                name
            }
        };
        let field = Arc::new(field.as_ref().clone().with_name(&name));
        Ok(Some(Expr::OuterReferenceColumn(field, Column::new_unqualified(name))))
    }
}

/// A node above an aggregate that has gone.
fn with_moved(node: LogicalPlan, moved: &[(Column, Expr)]) -> Result<Transformed<LogicalPlan>> {
    let preserver = NamePreserver::new(&node);
    let replaced = node.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let replaced = expr.transform(|part| match &part {
            Expr::Column(column) => match moved.iter().find(|(known, _)| known == column) {
                Some((_, outer)) => Ok(Transformed::yes(outer.clone())),
                None => Ok(Transformed::no(part)),
            },
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(replaced.update_data(|expr| name.restore(expr)))
    })?;
    replaced.map_data(LogicalPlan::recompute_schema)
}
