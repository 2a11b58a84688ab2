//! Subqueries as values: each becomes a column beside the outer plan's, and an expression over it.
//!
//!     (SELECT v …)      first value and number of rows by key, joined; an error where the number is above one
//!     EXISTS (…)        the mark of a mark join
//!     x IN (…), x < ANY (…)   a mark, and what makes the answer NULL: `quantified.rs`

use super::combinations::mark_join;
use super::passing::{asked, asked_subquery};
use super::pull::{Asked, pull};
use super::pulled::conditions_of;
use super::row::{guarded, is_row, row};
use super::scope::{Names, Scope, extend, join, outer_columns, plain, project, shown_as};
use super::single_row::single_row;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result};
use datafusion::functions_aggregate::expr_fn::{count, first_value, min};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::logical_plan::{Aggregate, FetchType};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit};
use std::sync::Arc;

/// An outer plan to which the values of subqueries are joined.
pub(super) struct Attachment<'a> {
    /// The plan as it was: outer columns are its columns.
    pub base: LogicalPlan,
    /// The plan with the values. Its rows are those of `base`, or some of them.
    pub plan: LogicalPlan,
    pub names: &'a mut Names,
    /// What was replaced already, and by what.
    done: Vec<(Expr, Expr)>,
}

impl<'a> Attachment<'a> {
    pub(super) fn new(base: LogicalPlan, names: &'a mut Names) -> Self {
        Self { plan: base.clone(), base, names, done: Vec::new() }
    }

    /// Replaces the subqueries in an expression.
    pub(super) fn replace(&mut self, expr: Expr) -> Result<Expr> {
        let replaced = expr.transform_up(|part| {
            if !stands_in_the_way(&part) {
                return Ok(Transformed::no(part));
            }
            if let Some((_, value)) = self.done.iter().find(|(known, _)| *known == part) {
                return Ok(Transformed::yes(value.clone()));
            }
            let value = self.value(&part)?;
            self.done.push((part, value.clone()));
            Ok(Transformed::new(value, true, TreeNodeRecursion::Continue))
        })?;
        Ok(replaced.data)
    }

    /// An expression with subqueries as a column of the plan.
    pub(super) fn column(&mut self, expr: Expr) -> Result<Expr> {
        let name = self.names.take("key");
        let value = self.replace(expr)?.alias(&name);
        self.plan = extend(self.plan.clone(), vec![value])?;
        Ok(plain(&name))
    }

    fn value(&mut self, expr: &Expr) -> Result<Expr> {
        match expr {
            Expr::ScalarSubquery(subquery) => self.scalar(&subquery.subquery),
            Expr::Exists(Exists { subquery, negated }) => {
                let exists = self.exists(&subquery.subquery)?;
                Ok(if *negated { !exists } else { exists })
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let found = self.any(expr, Operator::Eq, &subquery.subquery)?;
                Ok(if *negated { !found } else { found })
            }
            Expr::SetComparison(comparison) => self.set_comparison(comparison),
            Expr::ScalarFunction(call) => match asked_subquery(call) {
                Some(subquery) => self.scalar(subquery),
                None => Ok(expr.clone()),
            },
            other => Ok(other.clone()),
        }
    }

    /// `x < ALL (…)` is `NOT x >= ANY (…)`, with NULL too.
    fn set_comparison(&mut self, comparison: &SetComparison) -> Result<Expr> {
        let SetComparison { expr, subquery, op, quantifier } = comparison;
        match quantifier {
            SetQuantifier::Any => self.any(expr, *op, &subquery.subquery),
            SetQuantifier::All => match op.negate() {
                Some(negated) => Ok(!self.any(expr, negated, &subquery.subquery)?),
                None => {
                    Err(crate::scan::external(crate::error::QueryError::unsupported(format!("{op} ALL (SELECT …)"))))
                }
            },
        }
    }

    fn scalar(&mut self, subquery: &LogicalPlan) -> Result<Expr> {
        let place = subquery.schema().qualified_field(0);
        if let Some(row) = row(&self.base, &self.plan, subquery, self.names)? {
            self.plan = row.plan;
            let value = guarded(row.outputs[0].clone(), &row.guards)?;
            return shown_as(value, self.plan.schema(), (None, place.1));
        }
        let scope = Scope::new(&self.base, subquery);
        let pulled = pull(subquery, Asked::Rows, &scope, self.names)?;
        let outputs = pulled.outputs.clone();
        let (keyed, outputs) = pulled.keyed(outputs, &scope, self.names)?;
        let value = outputs[0].clone();
        let witness = keyed.keys.first().map_or(Ok(lit(true)), |key| scope.outside(key.outer.clone()))?;
        let conditions = conditions_of(&keyed.keys).into_iter().map(|condition| scope.outside(condition.expr()));
        let conditions = conditions.collect::<Result<Vec<_>>>()?;
        let name = self.names.take("value");
        if is_at_most_one(subquery)? {
            let columns = keyed.key_columns().into_iter().chain([value.alias(&name)]).collect();
            let found = project(keyed.plan, columns)?;
            self.plan = join(self.plan.clone(), found, JoinType::Left, conditions)?;
            return Ok(plain(&name));
        }
        let rows = self.names.take("rows");
        let first = if has_fast_minimum(&value.get_type(keyed.plan.schema())?) {
            min(value.clone())
        } else {
            first_value(value.clone(), Vec::new())
        };
        let computed = vec![first.alias(&name), count(lit(1_i64)).alias(&rows)];
        let keys = keyed.key_columns();
        let found = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(keyed.plan), keys, computed)?);
        self.plan = join(self.plan.clone(), found, JoinType::Left, conditions)?;
        let first = shown_as(plain(&name), self.plan.schema(), (None, place.1))?;
        Ok(single_row(first, plain(&rows), witness))
    }

    fn exists(&mut self, subquery: &LogicalPlan) -> Result<Expr> {
        if outer_columns(subquery).is_empty() {
            return exists_anywhere(subquery);
        }
        if let Some(row) = row(&self.base, &self.plan, subquery, self.names)? {
            self.plan = row.plan;
            let guard = datafusion::logical_expr::utils::conjunction(row.guards);
            return Ok(guard.map_or(lit(true), Expr::is_true));
        }
        let scope = Scope::new(&self.base, subquery);
        let pulled = pull(subquery, Asked::Existence, &scope, self.names)?;
        let conditions = pulled.join_conditions(&scope)?;
        self.mark(pulled.plan, conditions)
    }

    /// A column that says whether some row of `plan` fulfils the conditions.
    pub(super) fn mark(&mut self, plan: LogicalPlan, conditions: Vec<Expr>) -> Result<Expr> {
        let (plan, mark) = mark_join(self.plan.clone(), plan, conditions, &self.names.take("mark"))?;
        self.plan = plan;
        Ok(mark)
    }

    /// Keeps the rows for which a subquery has a row (or has none); `compared` says which rows of it count, by its column.
    pub(super) fn keep(
        &mut self,
        subquery: &LogicalPlan,
        negated: bool,
        compared: Option<impl FnOnce(Expr) -> Expr>,
    ) -> Result<()> {
        let scope = Scope::new(&self.base, subquery);
        let asked = if compared.is_some() { Asked::Values } else { Asked::Existence };
        let pulled = pull(subquery, asked, &scope, self.names)?;
        let mut conditions = pulled.join_conditions(&scope)?;
        if let Some(compared) = compared {
            conditions.push(compared(scope.outside(pulled.outputs[0].clone())?));
        }
        let join_type = if negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
        self.plan = join(self.plan.clone(), pulled.plan, join_type, conditions)?;
        Ok(())
    }
}

/// Subqueries that DataFusion does not compute where they stand: all but most values that depend on no outer row.
pub(super) fn stands_in_the_way(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarSubquery(subquery) => !outer_columns(&subquery.subquery).is_empty(),
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
        Expr::ScalarFunction(call) => asked_subquery(call).is_some(),
        _ => false,
    }
}

/// Marks the values in CASE that depend on no outer row and may have too many rows: DataFusion computes those in any case.
pub(super) fn computed_where_asked(expr: Expr) -> Result<Expr> {
    let marked = expr.transform_down(|part| {
        if !matches!(part, Expr::Case(_)) {
            return Ok(Transformed::no(part));
        }
        let case = part.transform_down(|inner| match inner {
            Expr::ScalarSubquery(subquery) if may_have_several(&subquery.subquery)? => {
                Ok(Transformed::new(asked(Expr::ScalarSubquery(subquery)), true, TreeNodeRecursion::Jump))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(Transformed::new(case.data, true, TreeNodeRecursion::Jump))
    })?;
    Ok(marked.data)
}

fn may_have_several(subquery: &LogicalPlan) -> Result<bool> {
    Ok(outer_columns(subquery).is_empty() && !is_row(subquery)? && !is_at_most_one(subquery)?)
}

/// EXISTS of a subquery that depends on no outer row: computed once.
fn exists_anywhere(subquery: &LogicalPlan) -> Result<Expr> {
    let counted = LogicalPlanBuilder::from(subquery.clone())
        .limit(0, Some(1))?
        .aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64)).alias("rows")])?
        .project(vec![plain("rows").gt(lit(0_i64)).alias("exists")])?
        .build()?;
    let spans = datafusion::common::Spans::new();
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(counted), outer_ref_columns: Vec::new(), spans }))
}

/// Whether a subquery has one row at most for each outer row.
fn is_at_most_one(plan: &LogicalPlan) -> Result<bool> {
    match plan {
        LogicalPlan::Projection(projection) => is_at_most_one(&projection.input),
        LogicalPlan::Filter(filter) => is_at_most_one(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => is_at_most_one(&alias.input),
        LogicalPlan::Sort(sort) => is_at_most_one(&sort.input),
        LogicalPlan::Aggregate(aggregate) => Ok(aggregate.group_expr.is_empty()),
        LogicalPlan::Limit(limit) => {
            let few = matches!(limit.get_fetch_type()?, FetchType::Literal(Some(0 | 1)));
            Ok(few || is_at_most_one(&limit.input)?)
        }
        _ => Ok(false),
    }
}

/// Types whose least value of a group is found without a state for each group on the heap; of one value it is that value.
fn has_fast_minimum(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || data_type.is_string()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Date32
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Binary
                | DataType::BinaryView
        )
}
