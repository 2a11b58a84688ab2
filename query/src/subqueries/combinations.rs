//! Joins and unions inside of a subquery.
//!
//! An inner join passes the conditions of both sides on, and one that keeps rows of its left side alone those of the left. Where
//! the side that may be missing is correlated, both sides get the same keys and are joined by them too.

use super::pull::{Asked, Pull};
use super::pulled::{Condition, Equality, Key, Pulled, renamed};
use super::scope::{columns_of, join, plain, project, replace_outer, substitute};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::logical_plan::{Join, Union};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, binary_expr};
use std::sync::Arc;

impl Pull<'_> {
    pub(super) fn join(&mut self, node: &Join, asked: Asked) -> Result<Pulled> {
        match node.join_type {
            JoinType::Inner => {
                let left = self.plan(&node.left, asked.of_each())?;
                let right = self.plan(&node.right, asked.of_each())?;
                let predicates = predicates(node, &left.outputs, &right.outputs)?;
                self.inner_join(left, right, predicates)
            }
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
                if !self.is_correlated(&node.right) =>
            {
                let left = self.plan(&node.left, Asked::Rows)?;
                let (right, right_outputs) = renamed(node.right.as_ref().clone(), self.names)?;
                let predicates = predicates(node, &left.outputs, &right_outputs)?;
                if predicates.iter().any(|predicate| self.scope.is_named_in(predicate)) {
                    return self.join_by_key(node);
                }
                let (plan, outputs) =
                    self.joined(node.join_type, left.plan, right, predicates, left.outputs, right_outputs)?;
                Ok(Pulled { plan, conditions: left.conditions, outputs, order: Vec::new() })
            }
            _ => self.join_by_key(node),
        }
    }

    fn inner_join(&mut self, left: Pulled, right: Pulled, predicates: Vec<Expr>) -> Result<Pulled> {
        let (mut conditions, mut own) = (left.conditions, Vec::new());
        conditions.extend(right.conditions);
        for predicate in predicates {
            if self.scope.is_named_in(&predicate) {
                conditions.push(Condition::new(predicate, self.scope));
            } else {
                own.push(predicate);
            }
        }
        let outputs = left.outputs.into_iter().chain(right.outputs).collect();
        let plan = join(left.plan, right.plan, JoinType::Inner, own)?;
        Ok(Pulled { plan, conditions, outputs, order: Vec::new() })
    }

    /// Joins two sides and names the columns of the result; the mark of a mark join gets a name of its own.
    fn joined(
        &mut self,
        join_type: JoinType,
        left: LogicalPlan,
        right: LogicalPlan,
        predicates: Vec<Expr>,
        left_outputs: Vec<Expr>,
        right_outputs: Vec<Expr>,
    ) -> Result<(LogicalPlan, Vec<Expr>)> {
        match join_type {
            JoinType::LeftMark => {
                let (plan, mark) = mark_join(left, right, predicates, &self.names.take("mark"))?;
                Ok((plan, left_outputs.into_iter().chain([mark]).collect()))
            }
            JoinType::LeftSemi | JoinType::LeftAnti => Ok((join(left, right, join_type, predicates)?, left_outputs)),
            _ => {
                let plan = join(left, right, join_type, predicates)?;
                Ok((plan, left_outputs.into_iter().chain(right_outputs).collect()))
            }
        }
    }

    /// The rows of both sides for all outer columns, joined where those are the same.
    fn join_by_key(&mut self, node: &Join) -> Result<Pulled> {
        let columns = self.columns_under(&LogicalPlan::Join(node.clone()));
        let left = self.plan(&node.left, Asked::Rows)?;
        let right = self.plan(&node.right, Asked::Rows)?;
        let (left_outputs, right_outputs) = (left.outputs.clone(), right.outputs.clone());
        let (left, left_outputs) = left.keyed_by(&columns, left_outputs, self.scope, self.names)?;
        let (right, right_outputs) = right.keyed_by(&columns, right_outputs, self.scope, self.names)?;
        let known = |column: &Column| {
            let position = columns.iter().position(|known| known == column)?;
            Some(Expr::Column(left.keys[position].column.clone()))
        };
        let mut all: Vec<Expr> = Vec::new();
        for (left, right) in left.keys.iter().zip(&right.keys) {
            let (left, right) = (Expr::Column(left.column.clone()), Expr::Column(right.column.clone()));
            all.push(binary_expr(left, Operator::IsNotDistinctFrom, right));
        }
        for predicate in predicates(node, &left_outputs, &right_outputs)? {
            all.push(replace_outer(predicate, known)?);
        }
        let (left_keys, right_keys) = (left.keys, right.keys);
        let (plan, outputs) = self.joined(node.join_type, left.plan, right.plan, all, left_outputs, right_outputs)?;
        let (plan, keys) = self.surviving_keys(node.join_type, plan, left_keys, right_keys)?;
        Ok(Pulled { plan, conditions: super::pulled::conditions_of(&keys), outputs, order: Vec::new() })
    }

    fn surviving_keys(
        &mut self,
        join_type: JoinType,
        plan: LogicalPlan,
        left: Vec<Key>,
        right: Vec<Key>,
    ) -> Result<(LogicalPlan, Vec<Key>)> {
        match join_type {
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Ok((plan, right)),
            JoinType::Full => {
                let (mut exprs, mut keys) = (columns_of(&plan), Vec::new());
                for (left, right) in left.into_iter().zip(right) {
                    let name = self.names.take("key");
                    let (a, b) = (Expr::Column(left.column), Expr::Column(right.column));
                    exprs.push(datafusion::functions::core::expr_fn::coalesce(vec![a, b]).alias(&name));
                    keys.push(Key { outer: left.outer, column: Column::new_unqualified(name), nulls: true });
                }
                Ok((project(plan, exprs)?, keys))
            }
            _ => Ok((plan, left)),
        }
    }

    /// The branches of a union have the same keys.
    pub(super) fn union(&mut self, union: &Union) -> Result<Pulled> {
        let branches = union.inputs.iter().map(|input| self.plan(input, Asked::Rows));
        let branches = branches.collect::<Result<Vec<_>>>()?;
        let shares_keys = self.have_same_keys(&branches)?;
        let columns = self.columns_under(&LogicalPlan::Union(union.clone()));
        let width = union.schema.fields().len();
        let fresh: Vec<String> = (0..width).map(|_| self.names.take("column")).collect();
        let mut key_names: Vec<String> = Vec::new();
        let mut conditions = Vec::new();
        let mut inputs = Vec::new();
        for branch in branches {
            let outputs = branch.outputs.clone();
            let (keyed, outputs) = if shares_keys {
                branch.keyed(outputs, self.scope, self.names)?
            } else {
                branch.keyed_by(&columns, outputs, self.scope, self.names)?
            };
            if inputs.is_empty() {
                key_names = keyed.keys.iter().map(|_| self.names.take("key")).collect();
                conditions = keyed.conditions();
            }
            let named = keyed.key_columns().into_iter().chain(outputs).zip(key_names.iter().chain(&fresh));
            let exprs = named.map(|(expr, name)| expr.alias(name)).collect();
            inputs.push(Arc::new(project(keyed.plan, exprs)?));
        }
        for (condition, name) in conditions.iter_mut().zip(&key_names) {
            if let Condition::Equal(equality) = condition {
                equality.inner = plain(name);
            }
        }
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        Ok(Pulled { plan, conditions, outputs: fresh.iter().map(|name| plain(name)).collect(), order: Vec::new() })
    }

    /// Whether all branches have equalities with the same outer expressions, in the same order and of the same types.
    fn have_same_keys(&self, branches: &[Pulled]) -> Result<bool> {
        let mut first: Option<Vec<_>> = None;
        for branch in branches {
            if !branch.is_keyed() || branch.outputs.iter().any(|output| self.scope.is_named_in(output)) {
                return Ok(false);
            }
            let mut keys = Vec::new();
            for condition in &branch.conditions {
                if let Condition::Equal(Equality { outer, inner, nulls }) = condition {
                    keys.push((outer.clone(), inner.get_type(branch.plan.schema())?, *nulls));
                }
            }
            match &first {
                Some(known) if *known != keys => return Ok(false),
                Some(_) => {}
                None => first = Some(keys),
            }
        }
        Ok(true)
    }

    /// The outer columns that a plan depends on; through a working table it may be all.
    fn columns_under(&self, plan: &LogicalPlan) -> Vec<Column> {
        if self.work_tables.is_empty() {
            self.scope.columns_in(&plan.all_out_ref_exprs())
        } else {
            self.scope.columns.clone()
        }
    }
}

/// The conditions of a join over what its sides' columns have become.
pub(super) fn predicates(node: &Join, left: &[Expr], right: &[Expr]) -> Result<Vec<Expr>> {
    let operator = match node.null_equality {
        NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
        NullEquality::NullEqualsNothing => Operator::Eq,
    };
    let mut found = Vec::new();
    for (a, b) in &node.on {
        let a = substitute(a.clone(), node.left.schema(), left)?;
        let b = substitute(b.clone(), node.right.schema(), right)?;
        found.push(binary_expr(a, operator, b));
    }
    if let Some(filter) = &node.filter {
        let schema = node.left.schema().join(node.right.schema())?;
        let outputs: Vec<Expr> = left.iter().chain(right).cloned().collect();
        for predicate in split_conjunction(filter) {
            found.push(substitute(predicate.clone(), &schema, &outputs)?);
        }
    }
    Ok(found)
}

/// The left plan and a column of that name, whether some row of the right one fulfils the conditions.
pub(super) fn mark_join(
    left: LogicalPlan,
    right: LogicalPlan,
    conditions: Vec<Expr>,
    name: &str,
) -> Result<(LogicalPlan, Expr)> {
    let mut exprs = columns_of(&left);
    // The mark is named by the relation on the right, so that it is not taken for a column of the left that is called so.
    let inside: Vec<Column> = right.schema().columns();
    let right = datafusion::logical_expr::LogicalPlanBuilder::from(right).alias(name)?.build()?;
    let qualified = |expr: Expr| {
        use datafusion::common::tree_node::{Transformed, TreeNode};
        let replaced = expr.transform(|part| match part {
            Expr::Column(column) if inside.contains(&column) => {
                Ok(Transformed::yes(Expr::Column(Column::new(Some(name.to_string()), column.name))))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(replaced.data)
    };
    let conditions = conditions.into_iter().map(qualified).collect::<Result<Vec<_>>>()?;
    let marked = join(left, right, JoinType::LeftMark, conditions)?;
    exprs.push(Expr::Column(Column::new(Some(name.to_string()), "mark")).alias(name));
    Ok((project(marked, exprs)?, plain(name)))
}
