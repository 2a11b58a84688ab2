//! Which conditions of a join are its keys.
//!
//! A join of DataFusion takes NULL as equal to NULL for all of its keys or for none, and its rules move keys from one
//! join to another without a look at that: `a.x IS NOT DISTINCT FROM b.x AND a.y = b.y` may find rows whose `y` is
//! NULL. So the first of the two becomes two equalities that are never NULL, `coalesce(a.x, 0) = coalesce(b.x, 0)` and
//! `(a.x IS NULL) = (b.x IS NULL)`.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{NullEquality, Result, ScalarValue};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::utils::{can_hash, conjunction, find_valid_equijoin_key_pair, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The name of DataFusion's rule of which this one takes the place.
pub(crate) const REPLACED: &str = "extract_equijoin_predicate";

/// Makes keys of the equalities in a join's condition.
#[derive(Debug)]
pub(crate) struct JoinKeys;

impl OptimizerRule for JoinKeys {
    fn name(&self) -> &str {
        "join_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            // What takes NULL as equal to NULL has its keys already: it is a set operation.
            LogicalPlan::Join(join)
                if join.filter.is_some() && join.null_equality == NullEquality::NullEqualsNothing =>
            {
                with_keys(join)
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn with_keys(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for condition in join.filter.take().into_iter().flat_map(split_conjunction_owned) {
        match keys(&condition, &join)? {
            Some(keys) => found.extend(keys),
            None => others.push(condition),
        }
    }
    join.filter = conjunction(others);
    let changed = !found.is_empty();
    join.on.extend(found);
    let plan = LogicalPlan::Join(join);
    Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
}

/// The keys that say the same as a condition; `None` where there are none.
fn keys(condition: &Expr, join: &Join) -> Result<Option<Vec<(Expr, Expr)>>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return Ok(None) };
    // A join for NOT IN has one key.
    if *op != Operator::Eq && (*op != Operator::IsNotDistinctFrom || join.null_aware) {
        return Ok(None);
    }
    let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
    let Some((left, right)) = find_valid_equijoin_key_pair(left, right, left_schema, right_schema)? else {
        return Ok(None);
    };
    let (left_type, right_type) = (left.get_type(left_schema)?, right.get_type(right_schema)?);
    if !can_hash(&left_type) || !can_hash(&right_type) {
        return Ok(None);
    }
    let is_plain = *op == Operator::Eq || !left.nullable(left_schema)? || !right.nullable(right_schema)?;
    if is_plain {
        return Ok(Some(vec![(left, right)]));
    }
    let default = ScalarValue::new_default(&left_type)?;
    if left_type != right_type || default.data_type() != left_type {
        return Ok(None);
    }
    let default = Expr::Literal(default, None);
    let or_default = |side: &Expr| coalesce(vec![side.clone(), default.clone()]);
    Ok(Some(vec![(or_default(&left), or_default(&right)), (left.is_null(), right.is_null())]))
}
