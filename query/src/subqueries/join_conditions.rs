//! Subqueries in the conditions of joins.
//!
//! One that names columns of one side alone becomes a column of that side. One that names both sides is settled for all pairs of
//! the columns that it names, and the right side is joined with those pairs first:
//!
//!     a ⟕ b  on p and S(a.y, b.z)      a ⟕ (b ⋈ P on b.z)  on p and a.y = P.y      P = σ S (distinct a.y × distinct b.z)

use super::attach::{Attachment, stands_in_the_way};
use super::places::{asked_of_each, in_filter, is_affected, is_by_chance};
use super::scope::{Names, columns_of, join, outer_columns, plain, project};
use crate::error::QueryError;
use crate::scan::external;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::logical_plan::{Filter, Join};
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr};
use std::sync::Arc;

/// A join whose conditions have no subqueries that must go.
pub(super) fn in_join(mut node: Join, names: &mut Names) -> Result<LogicalPlan> {
    if let Some(filter) = &node.filter
        && split_conjunction(filter).into_iter().any(is_by_chance)
    {
        let schema = node.left.schema().join(node.right.schema())?;
        let conditions = split_conjunction(filter).into_iter().cloned();
        node.filter = conjunction(conditions.map(|condition| asked_of_each(condition, &schema)));
    }
    if !node.filter.as_ref().is_some_and(is_affected) {
        return Ok(LogicalPlan::Join(node));
    }
    let shown = columns_of(&LogicalPlan::Join(node.clone()));
    let join_type = node.join_type;
    if !matches!(join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) {
        return Err(external(QueryError::unsupported("a subquery in the condition of this join")));
    }
    let (affected, mut own): (Vec<Expr>, Vec<Expr>) =
        node.filter.into_iter().flat_map(split_conjunction_owned).partition(is_affected);
    let equal =
        if node.null_equality == NullEquality::NullEqualsNull { Operator::IsNotDistinctFrom } else { Operator::Eq };
    own.extend(node.on.into_iter().map(|(left, right)| binary_expr(left, equal, right)));
    let (left, right) = (node.left.as_ref().clone(), node.right.as_ref().clone());
    if join_type == JoinType::Inner {
        let predicate = conjunction(affected).expect("there is one at least");
        let filter = Filter::try_new(predicate, Arc::new(join(left, right, join_type, own)?))?;
        return in_filter(filter, false, names);
    }
    // What is done to the right side of a left join is done to the left one of a right join.
    let mirrored = join_type == JoinType::Right;
    let (left, right) = if mirrored { (right, left) } else { (left, right) };
    let mut sides = Sides { left, right, conditions: own, names };
    for condition in affected {
        sides.add(condition, join_type == JoinType::Full)?;
    }
    let join_type = if mirrored { JoinType::Left } else { join_type };
    let joined = join(sides.left, sides.right, join_type, sides.conditions)?;
    project(joined, shown)
}

/// The two sides of a join and its conditions so far.
struct Sides<'a> {
    left: LogicalPlan,
    right: LogicalPlan,
    conditions: Vec<Expr>,
    names: &'a mut Names,
}

impl Sides<'_> {
    fn add(&mut self, condition: Expr, keeps_both: bool) -> Result<()> {
        let named = named_by_subqueries(&condition);
        let all_of = |schema: &DFSchema| named.iter().all(|column| !schema.has_column(column));
        if all_of(self.left.schema()) {
            let mut attachment = Attachment::new(self.right.clone(), self.names);
            self.conditions.push(attachment.replace(condition)?);
            self.right = attachment.plan;
            return Ok(());
        }
        if all_of(self.right.schema()) {
            let mut attachment = Attachment::new(self.left.clone(), self.names);
            self.conditions.push(attachment.replace(condition)?);
            self.left = attachment.plan;
            return Ok(());
        }
        if keeps_both {
            let what = "a subquery over both sides in the condition of a FULL JOIN";
            return Err(external(QueryError::unsupported(what)));
        }
        self.add_for_pairs(condition)
    }

    fn add_for_pairs(&mut self, condition: Expr) -> Result<()> {
        let mut columns = named_by_subqueries(&condition);
        columns.extend(condition.column_refs().into_iter().cloned());
        let of = |schema: &DFSchema| -> Vec<Expr> {
            let mut own: Vec<Expr> = Vec::new();
            for column in &columns {
                if let Ok(found) = schema.qualified_field_from_column(column) {
                    let found = Expr::from(found);
                    if !own.contains(&found) {
                        own.push(found);
                    }
                }
            }
            own
        };
        let (of_left, of_right) = (of(self.left.schema()), of(self.right.schema()));
        let distinct = |plan: &LogicalPlan, columns: &[Expr]| {
            LogicalPlanBuilder::from(project(plan.clone(), columns.to_vec())?).distinct()?.build()
        };
        let pairs =
            join(distinct(&self.left, &of_left)?, distinct(&self.right, &of_right)?, JoinType::Inner, Vec::new())?;
        let pairs = in_filter(Filter::try_new(condition, Arc::new(pairs))?, false, self.names)?;
        let fresh: Vec<String> = of_left.iter().chain(&of_right).map(|_| self.names.take("key")).collect();
        let renamed = of_left.iter().chain(&of_right).zip(&fresh).map(|(column, name)| column.clone().alias(name));
        let pairs = project(pairs, renamed.collect())?;
        let same = |column: &Expr, name: &String| binary_expr(column.clone(), Operator::IsNotDistinctFrom, plain(name));
        let (left_names, right_names) = fresh.split_at(of_left.len());
        let on_right = of_right.iter().zip(right_names).map(|(column, name)| same(column, name)).collect();
        self.right = join(self.right.clone(), pairs, JoinType::Inner, on_right)?;
        self.conditions.extend(of_left.iter().zip(left_names).map(|(column, name)| same(column, name)));
        Ok(())
    }
}

/// The columns that the subqueries of an expression depend on, from inside and as what they are compared with.
fn named_by_subqueries(expr: &Expr) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let visited = expr.apply(|part| {
        if stands_in_the_way(part) {
            let (compared, subquery) = match part {
                Expr::InSubquery(InSubquery { expr, subquery, .. })
                | Expr::SetComparison(SetComparison { expr, subquery, .. }) => (Some(expr), subquery),
                Expr::Exists(Exists { subquery, .. }) | Expr::ScalarSubquery(subquery) => (None, subquery),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            columns.extend(outer_columns(&subquery.subquery));
            columns.extend(compared.into_iter().flat_map(|compared| compared.column_refs().into_iter().cloned()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("the walk itself does not fail");
    columns
}
