//! Conditions of a filter that say the same.
//!
//! DataFusion takes two equalities of one column for a contradiction where they are not written alike: `1 = x AND x = 1`,
//! which it makes itself of `a LEFT JOIN b ON a.x = b.x AND 1 = a.x`. So before its rules look at them, the conditions of
//! joins have their constants on the right, and of a filter's equalities with one value the first is kept.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The name of DataFusion's rule before which this one stands.
pub(crate) const FOLLOWED_BY: &str = "simplify_expressions";

/// Leaves out equalities that another one says.
#[derive(Debug)]
pub(crate) struct EqualConditions;

impl OptimizerRule for EqualConditions {
    fn name(&self) -> &str {
        "equal_conditions"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) => without_repeated(filter),
            LogicalPlan::Join(mut join) => {
                let Some(filter) = join.filter.take() else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
                let turned = filter.transform_up(|condition| Ok(with_constant_right(condition)))?;
                join.filter = Some(turned.data);
                Ok(Transformed::new_transformed(LogicalPlan::Join(join), turned.transformed))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn with_constant_right(condition: Expr) -> Transformed<Expr> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
            if matches!(left.as_ref(), Expr::Literal(..)) && !matches!(right.as_ref(), Expr::Literal(..)) =>
        {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: right, op: Operator::Eq, right: left }))
        }
        other => Transformed::no(other),
    }
}

fn without_repeated(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let mut said: Vec<(Expr, ScalarValue)> = Vec::new();
    let (mut kept, mut repeated) = (Vec::new(), false);
    for condition in split_conjunction_owned(filter.predicate.clone()) {
        if let Some((subject, value)) = equality(&condition) {
            if said.iter().any(|(known, said)| *known == subject && is_same(said, &value)) {
                repeated = true;
                continue;
            }
            said.push((subject, value));
        }
        kept.push(condition);
    }
    match conjunction(kept) {
        Some(predicate) if repeated => {
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
        }
        _ => Ok(Transformed::no(LogicalPlan::Filter(filter))),
    }
}

/// What a condition says to be equal to which constant.
fn equality(condition: &Expr) -> Option<(Expr, ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Literal(..), Expr::Literal(..)) => None,
        (Expr::Literal(value, _), subject) | (subject, Expr::Literal(value, _)) => {
            Some((subject.clone(), value.clone()))
        }
        _ => None,
    }
}

fn is_same(one: &ScalarValue, other: &ScalarValue) -> bool {
    one == other || other.cast_to(&one.data_type()).is_ok_and(|other| *one == other)
}
