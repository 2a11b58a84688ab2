//! A subquery without its correlation: a plan that names no outer column, and the conditions under which its rows belong to an
//! outer row.
//!
//! Operators that look at all rows of a subquery at once (groups, limits, windows, sets) need conditions that are equalities:
//! then the rows of each outer row are those with its keys, and the operator works for all keys at a time. Where conditions are
//! anything else, the plan is joined with the distinct outer columns, which become the keys:
//!
//!     b  if b.x = a.x              b               keyed by b.x = a.x
//!     b  if b.x < a.x              D ⋈ b  on b.x < D.x   keyed by D.x = a.x, NULL being equal to NULL;  D = distinct a.x of a

use super::scope::{Names, Scope, columns_of, extend, join, plain, project, replace_outer};
use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, SortExpr, binary_expr,
};

/// A subquery without its correlation.
#[derive(Debug)]
pub(super) struct Pulled {
    /// Its columns have names that no other plan's have.
    pub plan: LogicalPlan,
    /// Over the columns of the plan and outer columns.
    pub conditions: Vec<Condition>,
    /// The subquery's columns in order, over those of the plan and outer columns.
    pub outputs: Vec<Expr>,
    /// The order that its rows should be seen in, over the same.
    pub order: Vec<SortExpr>,
}

/// What an outer row and a row of the plan have to fulfil.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Equal(Equality),
    Other(Expr),
}

/// `outer = inner`, one side being of the outer plan and the other of the subquery's.
#[derive(Clone, Debug)]
pub(super) struct Equality {
    pub outer: Expr,
    pub inner: Expr,
    /// Whether NULL is equal to NULL.
    pub nulls: bool,
}

/// A plan whose rows belong to the outer rows with the same keys.
#[derive(Debug)]
pub(super) struct Keyed {
    /// The keys are columns of it, besides those that it had.
    pub plan: LogicalPlan,
    pub keys: Vec<Key>,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub outer: Expr,
    pub column: Column,
    pub nulls: bool,
}

impl Condition {
    pub(super) fn new(expr: Expr, scope: &Scope) -> Self {
        if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr
            && matches!(op, Operator::Eq | Operator::IsNotDistinctFrom)
        {
            let is_outer = |side: &Expr| scope.is_named_in(side) && !side.any_column_refs();
            let is_inner = |side: &Expr| !scope.is_named_in(side) && side.any_column_refs();
            let nulls = *op == Operator::IsNotDistinctFrom;
            for (outer, inner) in [(left, right), (right, left)] {
                if is_outer(outer) && is_inner(inner) {
                    let (outer, inner) = (outer.as_ref().clone(), inner.as_ref().clone());
                    return Self::Equal(Equality { outer, inner, nulls });
                }
            }
        }
        Self::Other(expr)
    }

    pub(super) fn expr(&self) -> Expr {
        match self {
            Self::Equal(equality) => equality.expr(),
            Self::Other(expr) => expr.clone(),
        }
    }
}

impl Equality {
    fn expr(&self) -> Expr {
        let operator = if self.nulls { Operator::IsNotDistinctFrom } else { Operator::Eq };
        binary_expr(self.outer.clone(), operator, self.inner.clone())
    }
}

impl Keyed {
    pub(super) fn key_columns(&self) -> Vec<Expr> {
        self.keys.iter().map(|key| Expr::Column(key.column.clone())).collect()
    }

    pub(super) fn conditions(&self) -> Vec<Condition> {
        conditions_of(&self.keys)
    }

    /// The same keys over another plan that has them, as a subquery again.
    pub(super) fn pulled(&self, plan: LogicalPlan, outputs: Vec<Expr>) -> Pulled {
        Pulled { plan, conditions: self.conditions(), outputs, order: Vec::new() }
    }
}

pub(super) fn conditions_of(keys: &[Key]) -> Vec<Condition> {
    let equal = |key: &Key| {
        let inner = Expr::Column(key.column.clone());
        Condition::Equal(Equality { outer: key.outer.clone(), inner, nulls: key.nulls })
    };
    keys.iter().map(equal).collect()
}

impl Pulled {
    /// The conditions as they read in a join of the outer plan with this one.
    pub(super) fn join_conditions(&self, scope: &Scope) -> Result<Vec<Expr>> {
        self.conditions.iter().map(|condition| scope.outside(condition.expr())).collect()
    }

    /// Whether its conditions are equalities alone.
    pub(super) fn is_keyed(&self) -> bool {
        self.conditions.iter().all(|condition| matches!(condition, Condition::Equal(_)))
    }

    /// With keys instead of conditions. `exprs` are over this plan's and outer columns; they come back without outer ones.
    pub(super) fn keyed(self, exprs: Vec<Expr>, scope: &Scope, names: &mut Names) -> Result<(Keyed, Vec<Expr>)> {
        let known = self.known_columns(scope)?;
        let is_known = |column: &Column| known.iter().any(|(outer, _)| outer == column);
        if !self.needed_columns(&exprs, scope).iter().all(is_known) {
            let columns = self.all_columns(&exprs, scope);
            return self.joined_with_domain(&columns, exprs, scope, names);
        }
        let (mut keys, mut columns, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for condition in self.conditions {
            match condition {
                Condition::Equal(Equality { outer, inner, nulls }) => {
                    let name = names.take("key");
                    columns.push(inner.alias(&name));
                    keys.push(Key { outer, column: Column::new_unqualified(name), nulls });
                }
                Condition::Other(expr) => others.push(inside(expr, &known)?),
            }
        }
        let plan = filtered(extend(self.plan, columns)?, others)?;
        let exprs = exprs.into_iter().map(|expr| inside(expr, &known)).collect::<Result<Vec<_>>>()?;
        Ok((Keyed { plan, keys }, exprs))
    }

    /// With `columns` of the outer plan as keys, in that order, NULL being equal to NULL.
    pub(super) fn keyed_by(
        self,
        columns: &[Column],
        exprs: Vec<Expr>,
        scope: &Scope,
        names: &mut Names,
    ) -> Result<(Keyed, Vec<Expr>)> {
        let known = self.known_columns(scope)?;
        let mut needed = self.all_columns(&exprs, scope);
        needed.extend(columns.iter().cloned());
        if !needed.iter().all(|column| known.iter().any(|(outer, _)| outer == column)) {
            return self.joined_with_domain(columns, exprs, scope, names);
        }
        let conditions = self.conditions.iter().map(|condition| inside(condition.expr(), &known));
        let plan = filtered(self.plan, conditions.collect::<Result<Vec<_>>>()?)?;
        let mut keys = Vec::new();
        let mut added = Vec::new();
        for column in columns {
            let name = names.take("key");
            added.push(inside(scope.named(column)?, &known)?.alias(&name));
            keys.push(Key { outer: scope.named(column)?, column: Column::new_unqualified(name), nulls: true });
        }
        let exprs = exprs.into_iter().map(|expr| inside(expr, &known)).collect::<Result<Vec<_>>>()?;
        Ok((Keyed { plan: extend(plan, added)?, keys }, exprs))
    }

    fn joined_with_domain(
        self,
        columns: &[Column],
        exprs: Vec<Expr>,
        scope: &Scope,
        names: &mut Names,
    ) -> Result<(Keyed, Vec<Expr>)> {
        let (domain, keys) = domain(columns, scope, names)?;
        let known: Vec<(Column, Expr)> =
            columns.iter().cloned().zip(keys.iter().map(|key| Expr::Column(key.column.clone()))).collect();
        let conditions = self.conditions.iter().map(|condition| inside(condition.expr(), &known));
        let plan = join(domain, self.plan, JoinType::Inner, conditions.collect::<Result<Vec<_>>>()?)?;
        let exprs = exprs.into_iter().map(|expr| inside(expr, &known)).collect::<Result<Vec<_>>>()?;
        Ok((Keyed { plan, keys }, exprs))
    }

    /// Outer columns whose value a column of the plan has, and that one.
    fn known_columns(&self, scope: &Scope) -> Result<Vec<(Column, Expr)>> {
        let mut known = Vec::new();
        for condition in &self.conditions {
            if let Condition::Equal(Equality { outer: Expr::OuterReferenceColumn(_, column), inner, .. }) = condition {
                let outer_type = scope.outside(Expr::Column(column.clone()))?.get_type(scope.base.schema())?;
                let inner_type = inner.get_type(self.plan.schema())?;
                // Zero and minus zero are equal and not the same.
                if outer_type == inner_type && !has_equal_values(&inner_type) {
                    known.push((column.clone(), inner.clone()));
                }
            }
        }
        Ok(known)
    }

    /// The outer columns that are needed besides the keys.
    fn needed_columns(&self, exprs: &[Expr], scope: &Scope) -> Vec<Column> {
        let others = self.conditions.iter().filter_map(|condition| match condition {
            Condition::Other(expr) => Some(expr),
            Condition::Equal(_) => None,
        });
        scope.columns_in(others.chain(exprs))
    }

    fn all_columns(&self, exprs: &[Expr], scope: &Scope) -> Vec<Column> {
        let conditions: Vec<Expr> = self.conditions.iter().map(Condition::expr).collect();
        scope.columns_in(conditions.iter().chain(exprs))
    }
}

/// Types that have values which are equal and yet differ.
fn has_equal_values(data_type: &DataType) -> bool {
    data_type.is_floating() || data_type.is_nested() || matches!(data_type, DataType::Interval(_))
}

fn inside(expr: Expr, known: &[(Column, Expr)]) -> Result<Expr> {
    replace_outer(expr, |column| known.iter().find(|(outer, _)| outer == column).map(|(_, inner)| inner.clone()))
}

pub(super) fn filtered(plan: LogicalPlan, conditions: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(conditions) {
        Some(predicate) => LogicalPlanBuilder::from(plan).filter(predicate)?.build(),
        None => Ok(plan),
    }
}

/// The distinct values of outer columns, under names of their own.
pub(super) fn domain(columns: &[Column], scope: &Scope, names: &mut Names) -> Result<(LogicalPlan, Vec<Key>)> {
    let mut keys = Vec::new();
    let mut exprs = Vec::new();
    for column in columns {
        let name = names.take("key");
        exprs.push(Expr::Column(column.clone()).alias(&name));
        keys.push(Key { outer: scope.named(column)?, column: Column::new_unqualified(name), nulls: true });
    }
    let source = narrowed(&scope.base, columns).clone();
    let plan = LogicalPlanBuilder::from(project(source, exprs)?).distinct()?.build()?;
    Ok((plan, keys))
}

/// The part of a plan that all of `columns` come from: keys that no outer row has do no harm.
fn narrowed<'a>(plan: &'a LogicalPlan, columns: &[Column]) -> &'a LogicalPlan {
    let has_all = |part: &LogicalPlan| columns.iter().all(|column| part.schema().has_column(column));
    match plan {
        // The columns of an outer join's inner side are NULL where nothing matches.
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
                if has_all(&join.left) =>
            {
                narrowed(&join.left, columns)
            }
            JoinType::Inner | JoinType::Right if has_all(&join.right) => narrowed(&join.right, columns),
            _ => plan,
        },
        LogicalPlan::Projection(projection) => {
            let passed = |column: &Column| projection.expr.iter().any(|expr| *expr == Expr::Column(column.clone()));
            let all_passed = has_all(&projection.input) && columns.iter().all(passed);
            if all_passed { narrowed(&projection.input, columns) } else { plan }
        }
        _ => plan,
    }
}

/// The columns of a plan under new names, and those.
pub(super) fn renamed(plan: LogicalPlan, names: &mut Names) -> Result<(LogicalPlan, Vec<Expr>)> {
    let fresh: Vec<String> = plan.schema().fields().iter().map(|_| names.take("column")).collect();
    if fresh.is_empty() {
        return Ok((plan, Vec::new()));
    }
    let exprs = columns_of(&plan).into_iter().zip(&fresh).map(|(column, name)| column.alias(name)).collect();
    Ok((project(plan, exprs)?, fresh.iter().map(|name| plain(name)).collect()))
}
