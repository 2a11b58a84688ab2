//! Partners: outer joins of which each group of a core tells by itself whether its rows have a match.
//!
//! Where a core groups `A LEFT JOIN B ON A.k = B.k` by `k`, and by nothing but columns of `A`, all rows of a group have one `k`: all of them
//! have partners in `B`, or none has. The state counts the rows with partners, as one more argument, and then a change of `B` is a delta,
//!
//! ```text
//!     d(A ⟕ B) = A ⋈ dB        in groups whose rows have partners before and after, or neither
//! ```
//!
//! A group that came to its first partners or lost its last ones gains or loses rows with NULLs in their place. Such groups *turned*, and
//! are computed anew by their keys.

use datafusion::common::NullEquality;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, Operator};

/// A column that is NULL in just those rows of the tree that have no partner; `None` where groups by these keys do not tell.
pub(crate) fn told_by(tree: &LogicalPlan, keys: &[Expr]) -> Option<Expr> {
    match tree {
        LogicalPlan::Filter(filter) => {
            let told = told_by(&filter.input, keys)?;
            is_over(&filter.predicate, sides(outer_join(&filter.input)?)?.preserved).then_some(told)
        }
        LogicalPlan::Join(join) => {
            let sides = sides(join)?;
            if !keys.iter().all(|key| is_over(key, sides.preserved)) {
                return None;
            }
            let mut told = None;
            for equality in join.on.iter().map(|(left, right)| sides.in_order(left, right)) {
                told = told.or(sides.partner_of(equality, keys)?);
            }
            for part in join.filter.iter().flat_map(split_conjunction) {
                if !is_over(part, sides.other) {
                    told = told.or(sides.partner_of(sides.equality(part)?, keys)?);
                }
            }
            told
        }
        _ => None,
    }
}

/// The join below a tree's filters.
fn outer_join(tree: &LogicalPlan) -> Option<&Join> {
    match tree {
        LogicalPlan::Filter(filter) => outer_join(&filter.input),
        LogicalPlan::Join(join) => Some(join),
        _ => None,
    }
}

/// The inputs of an outer join.
struct Sides<'a> {
    preserved: &'a LogicalPlan,
    other: &'a LogicalPlan,
    is_left_preserved: bool,
}

fn sides(join: &Join) -> Option<Sides<'_>> {
    let is_plain = !join.null_aware && join.null_equality == NullEquality::NullEqualsNothing;
    let (left, right): (&LogicalPlan, &LogicalPlan) = (&join.left, &join.right);
    match join.join_type {
        JoinType::Left if is_plain => Some(Sides { preserved: left, other: right, is_left_preserved: true }),
        JoinType::Right if is_plain => Some(Sides { preserved: right, other: left, is_left_preserved: false }),
        _ => None,
    }
}

impl Sides<'_> {
    /// The operands of an equality of the join, that of the preserved side first.
    fn in_order<'e>(&self, left: &'e Expr, right: &'e Expr) -> (&'e Expr, &'e Expr) {
        if self.is_left_preserved { (left, right) } else { (right, left) }
    }

    /// A condition as an equality of the sides.
    fn equality<'e>(&self, condition: &'e Expr) -> Option<(&'e Expr, &'e Expr)> {
        let Expr::BinaryExpr(binary) = condition else { return None };
        let (one, other) = (binary.left.as_ref(), binary.right.as_ref());
        match binary.op {
            Operator::Eq if is_over(one, self.preserved) && is_over(other, self.other) => Some((one, other)),
            Operator::Eq if is_over(other, self.preserved) && is_over(one, self.other) => Some((other, one)),
            _ => None,
        }
    }

    /// The column of the other side that an equality says is not NULL, if there is one. `None` where rows of one group may differ in
    /// what is compared.
    fn partner_of(&self, (own, others): (&Expr, &Expr), keys: &[Expr]) -> Option<Option<Expr>> {
        let is_of_key = keys.contains(own) || widened(own).is_some_and(|own| keys.contains(own));
        let column = widened(others).unwrap_or(others);
        is_of_key.then(|| matches!(column, Expr::Column(_)).then(|| column.clone()))
    }
}

/// What a cast that changes no value is of.
fn widened(expression: &Expr) -> Option<&Expr> {
    match expression {
        Expr::Cast(cast) if cast.field.data_type().is_integer() => Some(&cast.expr),
        _ => None,
    }
}

/// Whether an expression reads columns, and those of a side alone.
pub(crate) fn is_over(expression: &Expr, side: &LogicalPlan) -> bool {
    let columns = expression.column_refs();
    !columns.is_empty() && columns.iter().all(|column| side.schema().has_column(column))
}
