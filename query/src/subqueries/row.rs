//! Subqueries that give at most one row for each outer row, by their shape: `SELECT a.x + 1`, `SELECT count(*) FROM b WHERE …`.
//!
//! They need no join that may repeat an outer row, and no key for the outer rows: what they compute becomes expressions over the
//! outer plan, which gets columns for the aggregates.

use super::groups::{is_total, or_default};
use super::places::changes_with_each_call;
use super::pull::{Asked, Pull, are_used_again, pull};
use super::scope::{Names, Scope, extend, join, plain, substitute};
use datafusion::common::{JoinType, Result};
use datafusion::logical_expr::logical_plan::{Aggregate, FetchType, Join, SkipType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, when};

/// The row of a subquery beside each outer row.
#[derive(Debug)]
pub(super) struct Row {
    /// The outer plan with more columns behind its own.
    pub plan: LogicalPlan,
    /// The subquery's columns, over the plan's.
    pub outputs: Vec<Expr>,
    /// The row is there where all of these are true.
    pub guards: Vec<Expr>,
}

/// Joins `plan`, whose rows are among those of `base`, with the row of `subquery`. `None` where it may have several.
pub(super) fn row(
    base: &LogicalPlan,
    plan: &LogicalPlan,
    subquery: &LogicalPlan,
    names: &mut Names,
) -> Result<Option<Row>> {
    if !is_row(subquery)? {
        return Ok(None);
    }
    Rows { base, names }.row(plan.clone(), subquery).map(Some)
}

pub(super) fn is_row(plan: &LogicalPlan) -> Result<bool> {
    match plan {
        LogicalPlan::EmptyRelation(empty) => Ok(empty.produce_one_row),
        LogicalPlan::Projection(projection) => is_row(&projection.input),
        LogicalPlan::Filter(filter) => is_row(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => is_row(&alias.input),
        LogicalPlan::Sort(sort) => Ok(sort.fetch.is_none() && is_row(&sort.input)?),
        LogicalPlan::Limit(limit) => {
            let keeps = matches!(limit.get_skip_type()?, SkipType::Literal(0))
                && matches!(limit.get_fetch_type()?, FetchType::Literal(None | Some(1..)));
            Ok(keeps && is_row(&limit.input)?)
        }
        LogicalPlan::Aggregate(aggregate) => Ok(is_total(aggregate)),
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => Ok(is_row(&join.left)? && is_row(&join.right)?),
        _ => Ok(false),
    }
}

struct Rows<'a> {
    base: &'a LogicalPlan,
    names: &'a mut Names,
}

impl Rows<'_> {
    fn row(&mut self, plan: LogicalPlan, subquery: &LogicalPlan) -> Result<Row> {
        match subquery {
            LogicalPlan::Projection(projection) => {
                let input = self.row(plan, &projection.input)?;
                let input = self.computed_once(input, &projection.input, &projection.expr)?;
                let outputs = projection.expr.iter().map(|expr| {
                    let expr = match expr {
                        Expr::Alias(alias) if alias.metadata.is_none() => alias.expr.as_ref().clone(),
                        other => other.clone(),
                    };
                    self.moved(expr, &projection.input, &input.outputs)
                });
                Ok(Row { outputs: outputs.collect::<Result<Vec<_>>>()?, ..input })
            }
            LogicalPlan::Filter(filter) => {
                let input = self.row(plan, &filter.input)?;
                let mut input = self.computed_once(input, &filter.input, std::slice::from_ref(&filter.predicate))?;
                for conjunct in split_conjunction(&filter.predicate) {
                    let guard = self.moved(conjunct.clone(), &filter.input, &input.outputs)?;
                    input.guards.push(guard);
                }
                Ok(input)
            }
            LogicalPlan::SubqueryAlias(alias) => self.row(plan, &alias.input),
            LogicalPlan::Sort(sort) => self.row(plan, &sort.input),
            LogicalPlan::Limit(limit) => self.row(plan, &limit.input),
            LogicalPlan::Join(node) => self.joined(plan, node),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(plan, aggregate),
            _ => Ok(Row { plan, outputs: Vec::new(), guards: Vec::new() }),
        }
    }

    /// Outputs that change with each call become columns of the outer plan where `exprs` compute with them or show them more than once.
    fn computed_once(&mut self, mut row: Row, input: &LogicalPlan, exprs: &[Expr]) -> Result<Row> {
        let changing = row.outputs.iter().map(changes_with_each_call).collect::<Vec<bool>>();
        if !are_used_again(&changing, input.schema(), exprs)? {
            return Ok(row);
        }
        let mut columns = Vec::new();
        for output in row.outputs.iter_mut().filter(|output| changes_with_each_call(output)) {
            let name = self.names.take("column");
            columns.push(guarded(std::mem::replace(output, plain(&name)), &row.guards)?.alias(&name));
        }
        Ok(Row { plan: extend(row.plan, columns)?, ..row })
    }

    /// An expression of the subquery as it reads over the outer plan.
    fn moved(&self, expr: Expr, input: &LogicalPlan, outputs: &[Expr]) -> Result<Expr> {
        let schema = self.base.schema();
        let expr = substitute(expr, input.schema(), outputs)?;
        super::scope::replace_outer(expr, |column| schema.has_column(column).then(|| Expr::Column(column.clone())))
    }

    fn joined(&mut self, plan: LogicalPlan, node: &Join) -> Result<Row> {
        let left = self.row(plan, &node.left)?;
        let right = self.row(left.plan, &node.right)?;
        let mut guards = left.guards;
        guards.extend(right.guards);
        let outputs: Vec<Expr> = left.outputs.iter().chain(&right.outputs).cloned().collect();
        for predicate in super::combinations::predicates(node, &left.outputs, &right.outputs)? {
            let schema = self.base.schema();
            guards.push(super::scope::replace_outer(predicate, |column| {
                schema.has_column(column).then(|| Expr::Column(column.clone()))
            })?);
        }
        Ok(Row { plan: right.plan, outputs, guards })
    }

    fn aggregate(&mut self, plan: LogicalPlan, aggregate: &Aggregate) -> Result<Row> {
        let whole = LogicalPlan::Aggregate(aggregate.clone());
        let scope = Scope::new(self.base, &whole);
        let input = pull(&aggregate.input, Asked::Rows, &scope, self.names)?;
        let mut pull = Pull { scope: &scope, names: self.names, work_tables: Vec::new() };
        let (keyed, groups, outputs) = pull.grouped(aggregate, input)?;
        let conditions = keyed.conditions().into_iter().map(|condition| scope.outside(condition.expr()));
        let conditions = conditions.collect::<Result<Vec<_>>>()?;
        // Without a condition there is one group, also of no rows.
        let join_type = if conditions.is_empty() { JoinType::Inner } else { JoinType::Left };
        let plan = join(plan, groups, join_type, conditions)?;
        Ok(Row { plan, outputs: outputs.into_iter().map(or_default).collect(), guards: Vec::new() })
    }
}

/// `value` where all guards are true, else NULL.
pub(super) fn guarded(value: Expr, guards: &[Expr]) -> Result<Expr> {
    match datafusion::logical_expr::utils::conjunction(guards.to_vec()) {
        Some(guard) => when(guard, value).end(),
        None => Ok(value),
    }
}
