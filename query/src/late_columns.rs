//! Late columns: whether a scan reads the columns of its filters first and the others for the rows that are left.
//!
//! That pays where many columns wait for few rows, such as `SELECT * … WHERE id = 42` or the rows of a top ten, whose
//! bound becomes a filter while the query runs. It costs where the filter's columns are most of what is read. A scan
//! evaluates one condition after the other on the rows that the former left, so only conditions that cannot
//! fail are taken: one that could would have to wait for those before it.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use std::collections::HashSet;

/// How many columns must wait.
const WAITING_MIN: usize = 4;

/// Whether a scan that shows `shown` columns filters before it reads the others.
pub(crate) fn are_read_late(filters: &[Expr], shown: usize) -> bool {
    let filtered: HashSet<_> = filters.iter().flat_map(Expr::column_refs).collect();
    shown >= filtered.len() + WAITING_MIN && filters.iter().all(cannot_fail)
}

/// Comparisons of columns with constants, and what AND, OR and NOT make of them.
pub(crate) fn cannot_fail(filter: &Expr) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            cannot_fail(left) && cannot_fail(right)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => is_comparison(*op) && is_plain(left) && is_plain(right),
        Expr::Not(inner) | Expr::IsTrue(inner) | Expr::IsFalse(inner) => cannot_fail(inner),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => is_plain(inner),
        Expr::InList(list) => is_plain(&list.expr) && list.list.iter().all(is_plain),
        Expr::Between(between) => [&between.expr, &between.low, &between.high].into_iter().all(|part| is_plain(part)),
        Expr::Column(_) | Expr::Literal(..) => true,
        _ => false,
    }
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_plain(part: &Expr) -> bool {
    matches!(part, Expr::Column(_) | Expr::Literal(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{cast, col, lit};

    #[test]
    fn only_conditions_that_cannot_fail_come_first() {
        let equal = col("a").eq(lit(1));
        assert!(are_read_late(&[], 4));
        assert!(are_read_late(&[equal.clone(), col("b").is_null()], 6));
        assert!(!are_read_late(&[cast(col("a"), arrow::datatypes::DataType::Int8).eq(lit(1))], 9));
        assert!(!are_read_late(&[(col("a") + lit(1)).eq(lit(1)).or(equal)], 9));
    }

    #[test]
    fn few_other_columns_are_not_worth_it() {
        assert!(!are_read_late(&[], 3));
        assert!(!are_read_late(&[col("a").gt(col("b"))], 5));
    }
}
