//! `x IN (…)`, `x < ANY (…)`: true where a row compares so, else NULL where a comparison was NULL, else false.

use super::attach::Attachment;
use super::pull::{Asked, pull};
use super::pulled::Pulled;
use super::row::row;
use super::scope::{Scope, join, plain};
use arrow::datatypes::DataType;
use datafusion::common::{JoinType, Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, binary_expr, lit, when};
use std::sync::Arc;

/// What is known of the values of a subquery for an outer row: columns of the plan.
struct Summary {
    rows: Expr,
    values: Expr,
    least: Expr,
    greatest: Expr,
}

impl Attachment<'_> {
    /// `x operator ANY (subquery)`.
    pub(super) fn any(&mut self, x: &Expr, operator: Operator, subquery: &LogicalPlan) -> Result<Expr> {
        if let Some(row) = row(&self.base, &self.plan, subquery, self.names)? {
            self.plan = row.plan;
            let compared = binary_expr(x.clone(), operator, row.outputs[0].clone());
            return Ok(match conjunction(row.guards) {
                Some(guard) => when(guard, compared).otherwise(lit(false))?,
                None => compared,
            });
        }
        let scope = Scope::new(&self.base, subquery);
        let pulled = pull(subquery, Asked::Values, &scope, self.names)?;
        let value = scope.outside(pulled.outputs[0].clone())?;
        let with_values = pulled.plan.schema().join(self.plan.schema())?;
        let is_ordered = has_order(&value.get_type(&with_values)?);
        let by_bounds = is_bound(operator) && is_ordered;
        if pulled.is_keyed() && (operator == Operator::Eq || by_bounds) {
            let can_be_null = x.nullable(self.plan.schema())? || value.nullable(&with_values)?;
            if operator == Operator::Eq && !can_be_null {
                return self.found(&pulled, &scope, x.clone().eq(value));
            }
            let summary = self.summary(subquery, &scope, by_bounds)?;
            let found = if operator == Operator::Eq {
                self.found(&pulled, &scope, x.clone().eq(value))?
            } else {
                beyond(x, operator, &summary)
            };
            return three_valued(found, summary.leaves_open(x));
        }
        let compared = binary_expr(x.clone(), operator, value);
        let found = self.found(&pulled, &scope, compared.clone())?;
        let again = pull(subquery, Asked::Values, &scope, self.names)?;
        let value = scope.outside(again.outputs[0].clone())?;
        let open = self.found(&again, &scope, binary_expr(x.clone(), operator, value).is_null())?;
        three_valued(found, open)
    }

    fn found(&mut self, pulled: &Pulled, scope: &Scope, compared: Expr) -> Result<Expr> {
        let mut conditions = pulled.join_conditions(scope)?;
        conditions.push(compared);
        self.mark(pulled.plan.clone(), conditions)
    }

    fn summary(&mut self, subquery: &LogicalPlan, scope: &Scope, bounds: bool) -> Result<Summary> {
        let pulled = pull(subquery, Asked::Values, scope, self.names)?;
        let outputs = pulled.outputs.clone();
        let (keyed, mut outputs) = pulled.keyed(outputs, scope, self.names)?;
        let value = outputs.swap_remove(0);
        let mut named = |what: &str, aggregate: Expr| {
            let name = self.names.take(what);
            (plain(&name), aggregate.alias(name))
        };
        let (rows, counted) = named("rows", count(lit(1_i64)));
        let (values, counted_values) = named("values", count(value.clone()));
        let mut computed = vec![counted, counted_values];
        let (mut least, mut greatest) = (plain(""), plain(""));
        if bounds {
            let (low, first) = named("least", min(value.clone()));
            let (high, last) = named("greatest", max(value));
            (least, greatest) = (low, high);
            computed.extend([first, last]);
        }
        let conditions = keyed.conditions().into_iter().map(|condition| scope.outside(condition.expr()));
        let conditions = conditions.collect::<Result<Vec<_>>>()?;
        let keys = keyed.key_columns();
        let groups = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(keyed.plan), keys, computed)?);
        let join_type = if conditions.is_empty() { JoinType::Inner } else { JoinType::Left };
        self.plan = join(self.plan.clone(), groups, join_type, conditions)?;
        Ok(Summary { rows, values, least, greatest })
    }
}

impl Summary {
    /// Some comparison is NULL. Where there is no row there is no group either, and this is NULL, which counts as false.
    fn leaves_open(&self, x: &Expr) -> Expr {
        let missing = x.clone().is_null().or(self.values.clone().lt(self.rows.clone()));
        self.rows.clone().gt(lit(0_i64)).and(missing)
    }
}

fn three_valued(found: Expr, open: Expr) -> Result<Expr> {
    let null = Expr::Literal(ScalarValue::Boolean(None), None);
    when(found, lit(true)).when(open, null).otherwise(lit(false))
}

fn is_bound(operator: Operator) -> bool {
    use Operator::{Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Lt | LtEq | Gt | GtEq | NotEq)
}

/// Whether some value of the subquery compares so, by its least and its greatest.
fn beyond(x: &Expr, operator: Operator, summary: &Summary) -> Expr {
    let compared = |bound: &Expr| binary_expr(x.clone(), operator, bound.clone());
    match operator {
        Operator::Lt | Operator::LtEq => compared(&summary.greatest),
        Operator::Gt | Operator::GtEq => compared(&summary.least),
        _ => compared(&summary.least).or(compared(&summary.greatest)),
    }
}

/// Types whose minimum and maximum go by the same order as comparisons.
fn has_order(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || data_type.is_string()
        || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Timestamp(..))
}
