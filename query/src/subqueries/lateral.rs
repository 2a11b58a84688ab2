//! Lateral relations: the right side of a join that names columns of the left one.

use super::places::{changes_with_each_call, in_filter, is_affected};
use super::pull::{Asked, pull};
use super::pulled::filtered;
use super::row::{guarded, row};
use super::scope::{Names, Scope, columns_of, extend, join, plain, project, shown_as, substitute};
use crate::error::QueryError;
use crate::scan::external;
use datafusion::common::{Column, JoinType, NullHandling, Result};
use datafusion::logical_expr::logical_plan::{Filter, Join, Unnest};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit, when};
use std::sync::Arc;

/// A join without correlation between its sides.
pub(super) fn decorrelated(node: Join, names: &mut Names) -> Result<LogicalPlan> {
    let scope = Scope::new(&node.left, &node.right);
    if scope.columns.is_empty() {
        return Ok(LogicalPlan::Join(node));
    }
    if !matches!(node.join_type, JoinType::Inner | JoinType::Left) {
        let what = format!("LATERAL on the right of a {} JOIN", node.join_type.to_string().to_uppercase());
        return Err(external(QueryError::unsupported(what)));
    }
    let (affected, on): (Vec<Expr>, Vec<Expr>) = conditions(&node).into_iter().partition(is_affected);
    if !affected.is_empty() && node.join_type == JoinType::Left {
        let what = "a subquery in the condition of LEFT JOIN LATERAL";
        return Err(external(QueryError::unsupported(what)));
    }
    let joined = Lateral { on, node, scope, names }.joined()?;
    match conjunction(affected) {
        Some(predicate) => in_filter(Filter::try_new(predicate, Arc::new(joined))?, false, names),
        None => Ok(joined),
    }
}

/// The join's own conditions.
fn conditions(node: &Join) -> Vec<Expr> {
    let keys = node.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let others = node.filter.iter().flat_map(split_conjunction).cloned();
    keys.chain(others).filter(|condition| *condition != lit(true)).collect()
}

struct Lateral<'a> {
    node: Join,
    on: Vec<Expr>,
    scope: Scope,
    names: &'a mut Names,
}

impl Lateral<'_> {
    fn joined(mut self) -> Result<LogicalPlan> {
        if let Some(plan) = self.as_row()? {
            return Ok(plan);
        }
        match self.as_lists()? {
            Some(plan) => Ok(plan),
            None => self.as_join(),
        }
    }

    /// The columns of the join: those of the left side, and what stands for those of the right.
    fn shown(&self, plan: LogicalPlan, outputs: Vec<Expr>) -> Result<LogicalPlan> {
        let mut exprs = columns_of(&self.node.left);
        for (output, (qualifier, field)) in outputs.into_iter().zip(self.node.right.schema().iter()) {
            exprs.push(shown_as(output, plan.schema(), (qualifier, field))?);
        }
        project(plan, exprs)
    }

    /// The join's conditions over what the columns of the right side have become.
    fn conditions_over(&self, outputs: &[Expr]) -> Result<Vec<Expr>> {
        let all: Vec<Expr> = columns_of(&self.node.left).into_iter().chain(outputs.iter().cloned()).collect();
        let schema = self.node.left.schema().join(self.node.right.schema())?;
        self.on.iter().map(|condition| substitute(condition.clone(), &schema, &all)).collect()
    }

    /// A relation of one row at most.
    fn as_row(&mut self) -> Result<Option<LogicalPlan>> {
        let Some(found) = row(&self.node.left, &self.node.left, &self.node.right, self.names)? else {
            return Ok(None);
        };
        let mut guards = found.guards;
        if self.node.join_type == JoinType::Inner {
            let shown = self.shown(filtered(found.plan, guards)?, found.outputs)?;
            return filtered(shown, self.on.clone()).map(Some);
        }
        guards.extend(self.conditions_over(&found.outputs)?);
        let outputs = found.outputs.into_iter().map(|output| guarded(output, &guards)).collect::<Result<Vec<_>>>()?;
        self.shown(found.plan, outputs).map(Some)
    }

    fn as_join(&mut self) -> Result<LogicalPlan> {
        let mut pulled = pull(&self.node.right, Asked::Rows, &self.scope, self.names)?;
        let mut conditions = pulled.join_conditions(&self.scope)?;
        let outputs = pulled.outputs.clone().into_iter().map(|output| self.scope.outside(output));
        let mut outputs = outputs.collect::<Result<Vec<_>>>()?;
        let left = self.node.left.as_ref().clone();
        // What changes with each call is asked about as it is shown.
        let is_shown_first = self.node.join_type == JoinType::Inner && outputs.iter().any(changes_with_each_call);
        if !is_shown_first {
            conditions.extend(self.conditions_over(&outputs)?);
        }
        if self.node.join_type == JoinType::Left && outputs.iter().any(|output| !matches!(output, Expr::Column(_))) {
            // Where no row matches, what is computed above the join is NULL too.
            let found = self.names.take("found");
            pulled.plan = extend(pulled.plan, vec![lit(true).alias(&found)])?;
            for output in &mut outputs {
                *output = when(plain(&found), output.clone()).end()?;
            }
        }
        let joined = join(left, pulled.plan, self.node.join_type, conditions)?;
        let shown = self.shown(joined, outputs)?;
        if is_shown_first { filtered(shown, self.on.clone()) } else { Ok(shown) }
    }

    /// Sets made of the outer row alone, such as `unnest(a.list)`: the lists are unnested where the outer row is.
    fn as_lists(&mut self) -> Result<Option<LogicalPlan>> {
        let keeps_all = self.node.join_type == JoinType::Left;
        if !is_lists(&self.node.right, keeps_all) || (keeps_all && !self.on.is_empty()) {
            return Ok(None);
        }
        let names: Vec<String> = columns_of(&self.node.left).iter().map(|_| self.names.take("outer")).collect();
        let columns = columns_of(&self.node.left).into_iter().zip(&names).map(|(column, name)| column.alias(name));
        let outer = project(self.node.left.as_ref().clone(), columns.collect())?;
        let stacked = self.stacked(&self.node.right, &outer, &names, keeps_all)?;
        let mut exprs = Vec::new();
        for (name, (qualifier, field)) in names.iter().zip(self.node.left.schema().iter()) {
            exprs.push(plain(name).alias_qualified(qualifier.cloned(), field.name()));
        }
        exprs.extend(columns_of(&self.node.right));
        filtered(project(stacked, exprs)?, self.on.clone()).map(Some)
    }

    /// `plan` over the outer rows instead of over the one row that it makes its lists from; the outer columns come first.
    fn stacked(
        &self,
        plan: &LogicalPlan,
        outer: &LogicalPlan,
        names: &[String],
        keeps_all: bool,
    ) -> Result<LogicalPlan> {
        let outer_columns = || names.iter().map(|name| plain(name));
        match plan {
            LogicalPlan::Projection(projection) => {
                let input = self.stacked(&projection.input, outer, names, keeps_all)?;
                let mut exprs: Vec<Expr> = outer_columns().collect();
                for (expr, (qualifier, field)) in projection.expr.iter().zip(projection.schema.iter()) {
                    let expr = self.over_renamed(expr.clone().unalias(), names)?;
                    exprs.push(shown_as(expr, input.schema(), (qualifier, field))?);
                }
                project(input, exprs)
            }
            LogicalPlan::Filter(filter) => {
                let input = self.stacked(&filter.input, outer, names, keeps_all)?;
                filtered(input, vec![self.over_renamed(filter.predicate.clone(), names)?])
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.stacked(&alias.input, outer, names, keeps_all)?;
                let own = alias.input.schema().columns().into_iter().zip(alias.schema.iter());
                let own = own.map(|(column, (qualifier, field))| {
                    Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
                });
                project(input, outer_columns().chain(own).collect())
            }
            LogicalPlan::Unnest(unnest) => {
                let input = self.stacked(&unnest.input, outer, names, keeps_all)?;
                let mut options = unnest.options.clone();
                if keeps_all {
                    options.null_handling = NullHandling::PreserveAndExpandEmpty;
                }
                LogicalPlanBuilder::from(input)
                    .unnest_columns_with_options(unnest.exec_columns.clone(), options)?
                    .build()
            }
            _ => Ok(outer.clone()),
        }
    }

    fn over_renamed(&self, expr: Expr, names: &[String]) -> Result<Expr> {
        let schema = self.node.left.schema();
        super::scope::replace_outer(expr, |column: &Column| {
            if !self.scope.columns.contains(column) {
                return None;
            }
            Some(plain(&names[schema.index_of_column(column).ok()?]))
        })
    }
}

/// Whether a plan is made of nothing but lists of the outer row. Where all outer rows have to be kept, it may show nothing that is
/// not from those lists, and there is one place where they are unnested.
fn is_lists(plan: &LogicalPlan, keeps_all: bool) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            let passes = projection.expr.iter().all(|expr| matches!(expr.clone().unalias(), Expr::Column(_)));
            (!keeps_all || passes) && is_lists(&projection.input, keeps_all)
        }
        LogicalPlan::Filter(filter) => !keeps_all && is_lists(&filter.input, keeps_all),
        LogicalPlan::SubqueryAlias(alias) => is_lists(&alias.input, keeps_all),
        LogicalPlan::Unnest(unnest) if keeps_all => is_all_unnested(unnest),
        LogicalPlan::Unnest(unnest) => is_lists(&unnest.input, keeps_all),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row && !keeps_all,
        _ => false,
    }
}

/// Whether the lists are all that a set is made of.
fn is_all_unnested(unnest: &Unnest) -> bool {
    let LogicalPlan::Projection(lists) = unnest.input.as_ref() else { return false };
    let one_row = matches!(lists.input.as_ref(), LogicalPlan::EmptyRelation(empty) if empty.produce_one_row);
    one_row && unnest.exec_columns.len() == lists.expr.len() && unnest.struct_type_columns.is_empty()
}
