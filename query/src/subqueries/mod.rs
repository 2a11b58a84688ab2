//! Subqueries wherever PostgreSQL takes them: correlated ones become joins.
//!
//! DataFusion's own rules turn a correlated subquery into a join where its correlation is a plain condition and its value an
//! aggregate, and know EXISTS and IN only in WHERE. This pass does it for any subquery in any place, as in "Unnesting Arbitrary
//! Queries" (Neumann and Kemper, BTW 2015), before they see the plan. What depends on no outer row is left to them: values, which
//! are computed once, and EXISTS and IN as conditions of WHERE.
//!
//! ```text
//!     P with S(x), x of P      P ⋈ S'  on the conditions of S for x
//!
//!     pull.rs        S without its correlation: a plan, conditions, outputs        groups.rs, combinations.rs, recursion.rs
//!     pulled.rs      conditions to keys, by the distinct x of P where they are no equalities
//!     row.rs         S of one row by its shape: expressions over P
//!     attach.rs      S as a value: scalar, EXISTS                                   quantified.rs: IN, ANY, ALL
//!     places.rs      where S stands: WHERE, the select list, GROUP BY, VALUES …     join_conditions.rs, lateral.rs
//!     outer_aggregates.rs    (SELECT sum(x)) of outer x
//!     syntax.rs      what has to be done before there is a plan
//! ```
//!
//! Inner subqueries go first, so that a name always belongs to the nearest scope that has it; names of scopes further out stay
//! outer columns until it is their turn. Nothing here depends on the statement's snapshot or its rows.

mod attach;
mod combinations;
mod groups;
mod join_conditions;
mod lateral;
mod outer_aggregates;
mod passing;
mod places;
mod pull;
mod pulled;
mod quantified;
mod recursion;
mod row;
mod scope;
mod single_row;
mod syntax;

pub(crate) use syntax::{name_subqueries, naming_function};

use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, Subquery};
use scope::{Names, outer_columns};
use std::sync::Arc;

/// Replaces the correlated subqueries of a plan by joins, and EXISTS, IN, ANY and ALL where they are values. What changes with every call
/// is computed where rows are: cells of VALUES not with the plan, conditions not of one side of a join. The plan comes from SQL and is not
/// optimised yet. Errors: an ungrouped outer column, and what is not supported (0A000).
pub(crate) fn decorrelate(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_work(&plan)? {
        return Ok(plan);
    }
    let mut names = Names::default();
    let plan = outer_aggregates::in_their_queries(plan, &mut names)?;
    let plan = Unnesting { names }.plan(plan, 0)?;
    match outer_columns(&plan).first() {
        None => Ok(plan),
        Some(column) => {
            let message = format!("subquery uses ungrouped column \"{}\" from outer query", column.flat_name());
            Err(external(QueryError::new(ErrorKind::Grouping, message).column(&column.name)))
        }
    }
}

fn has_work(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= match node {
            LogicalPlan::Subquery(_) => true,
            LogicalPlan::Values(values) => values.values.iter().flatten().any(places::changes_with_each_call),
            LogicalPlan::Filter(filter) => split_conjunction(&filter.predicate).into_iter().any(places::is_by_chance),
            LogicalPlan::Join(join) => join.filter.iter().flat_map(split_conjunction).any(places::is_by_chance),
            _ => false,
        };
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

struct Unnesting {
    names: Names,
}

impl Unnesting {
    /// `depth` counts the subqueries around the plan.
    fn plan(&mut self, plan: LogicalPlan, depth: usize) -> Result<LogicalPlan> {
        let below = if matches!(plan, LogicalPlan::Subquery(_)) { depth + 1 } else { depth };
        let plan = plan.map_children(|child| self.plan(child, below).map(Transformed::yes))?.data;
        let preserver = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let inner = expr.transform(|part| self.inner(part, depth + 1))?.data;
            Ok(Transformed::yes(name.restore(attach::computed_where_asked(inner)?)))
        })?;
        let names = &mut self.names;
        match plan.data {
            LogicalPlan::Filter(filter) => places::in_filter(filter, depth == 0, names),
            LogicalPlan::Join(join) => match lateral::decorrelated(join, names)? {
                LogicalPlan::Join(join) => join_conditions::in_join(join, names),
                other => Ok(other),
            },
            LogicalPlan::Sort(sort) => places::in_sort(sort, names),
            LogicalPlan::Values(values) => places::in_values(values, names),
            // What is lateral is seen by the names in it.
            LogicalPlan::Subquery(subquery) => Ok(Arc::unwrap_or_clone(subquery.subquery)),
            LogicalPlan::Limit(limit) => Ok(LogicalPlan::Limit(limit)),
            LogicalPlan::Aggregate(aggregate) => {
                refuse_outer_aggregates(&aggregate)?;
                places::in_expressions(LogicalPlan::Aggregate(aggregate), names)
            }
            other => places::in_expressions(other, names),
        }
    }

    /// The plan inside of a subquery expression, done first.
    fn inner(&mut self, expr: Expr, depth: usize) -> Result<Transformed<Expr>> {
        let mut done = |subquery: Subquery| -> Result<Subquery> {
            let plan = self.plan(Arc::unwrap_or_clone(subquery.subquery), depth)?;
            let outer_ref_columns = plan.all_out_ref_exprs();
            Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans })
        };
        Ok(Transformed::yes(match expr {
            Expr::ScalarSubquery(subquery) => {
                let mut subquery = done(subquery)?;
                if subquery.outer_ref_columns.is_empty() {
                    subquery.subquery = Arc::new(without_rows(Arc::unwrap_or_clone(subquery.subquery))?);
                }
                Expr::ScalarSubquery(subquery)
            }
            Expr::Exists(Exists { subquery, negated }) => Expr::Exists(Exists { subquery: done(subquery)?, negated }),
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                Expr::InSubquery(InSubquery { expr, subquery: done(subquery)?, negated })
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                Expr::SetComparison(SetComparison { expr, subquery: done(subquery)?, op, quantifier })
            }
            Expr::ScalarFunction(call) => match passing::named_subquery(&call) {
                Some(subquery) => subquery.clone(),
                None => return Ok(Transformed::no(Expr::ScalarFunction(call))),
            },
            other => return Ok(Transformed::no(other)),
        }))
    }
}

/// A value that is computed once is NULL where there is no row, which DataFusion does not see.
fn without_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let (qualifier, field) = plan.schema().qualified_field(0);
    if field.is_nullable() {
        return Ok(plan);
    }
    let column = passing::nullable(Expr::from((qualifier, field)));
    let shown = column.alias_qualified(qualifier.cloned(), field.name());
    scope::project(plan, vec![shown])
}

/// The aggregate that `array(SELECT …)` is: it belongs to its own query, whatever columns it names.
pub(crate) const ARRAY_OF_ROWS: &str = "array of rows";

/// An array_agg that is known for that.
pub(crate) fn of_rows(array_agg: &Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    Arc::new(array_agg.as_ref().clone().with_aliases([ARRAY_OF_ROWS]))
}

fn is_of_rows(function: &AggregateUDF) -> bool {
    function.aliases().iter().any(|alias| alias == ARRAY_OF_ROWS)
}

/// What [`outer_aggregates`] left: aggregates of the columns of a query further out, or of one that has them in WHERE.
fn refuse_outer_aggregates(aggregate: &Aggregate) -> Result<()> {
    if aggregate.aggr_expr.iter().any(outer_aggregates::is_of_outer_columns) {
        let what = "an aggregate of an outer query's columns in a subquery";
        return Err(external(QueryError::unsupported(what)));
    }
    Ok(())
}
