//! `op ANY (SELECT …)`, `op ALL (SELECT …)` and `IN (SELECT …)` beside rows and for patterns.
//!
//! Each becomes EXISTS over the subquery with the comparison as a condition:
//!
//!     (a, b) IN (SELECT …)          EXISTS (SELECT FROM (…) s(x, y) WHERE a = x AND b = y)
//!     (a, b) NOT IN (SELECT …)      NOT EXISTS (SELECT FROM (…) s(x, y) WHERE (a <> x OR b <> y) IS NOT TRUE)
//!
//! Where a condition filters rows, unknown is as good as false. As a value it is told apart by a second EXISTS.
//! Comparisons of one column that the planner knows itself are left to it.

use super::rows::{check_width, column_names, compared, is_comparison, parts};
use super::trees::{bare, binary, boolean, case, nested, not, null, quoted, select_over};
use crate::error::QueryError;
use crate::output_names::output_name;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, Query, Select, SelectItem, UnaryOperator, Value};

/// A comparison of a row or a value with every row of a subquery.
struct Quantified<'a> {
    left: Vec<Expr>,
    op: BinaryOperator,
    all: bool,
    query: &'a Query,
}

/// Rewrites the conditions of a clause that keeps rows where it is true.
pub(super) fn in_condition(condition: &mut Expr) -> Result<(), QueryError> {
    if let Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } = condition {
        in_condition(left)?;
        return in_condition(right);
    }
    if let Expr::Nested(inner) = condition {
        return in_condition(inner);
    }
    let positive = match &*condition {
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => quantified(expr)?.and_then(Quantified::negated),
        other => quantified(other)?,
    };
    if let Some(quantified) = positive {
        *condition = quantified.filter()?;
    }
    Ok(())
}

/// Items that are such comparisons keep having no name.
pub(super) fn name_outputs(select: &mut Select) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(shown) = item
            && is_spelt_out(bare(shown))
        {
            let alias = Ident::with_quote('"', output_name(shown));
            *item = SelectItem::ExprWithAlias { expr: shown.clone(), alias };
        }
    }
}

/// Whether an expression becomes another one, which may have a name: long rows are compared by a CASE.
fn is_spelt_out(shown: &Expr) -> bool {
    match shown {
        Expr::BinaryOp { left, op, .. } => is_comparison(op) && parts(left).is_some(),
        other => matches!(other, Expr::InSubquery { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. }),
    }
}

/// Rewrites one expression where its value counts.
pub(super) fn spelt_out(expression: &Expr) -> Result<Option<Expr>, QueryError> {
    quantified(expression)?.map(|quantified| quantified.value()).transpose()
}

fn quantified(expression: &Expr) -> Result<Option<Quantified<'_>>, QueryError> {
    let (left, op, all, query) = match bare(expression) {
        Expr::InSubquery { expr, subquery, negated } => {
            let op = if *negated { BinaryOperator::NotEq } else { BinaryOperator::Eq };
            (expr, op, *negated, subquery.as_ref())
        }
        Expr::AnyOp { left, compare_op, right, .. } => match bare(right) {
            Expr::Subquery(query) => (left, compare_op.clone(), false, query.as_ref()),
            _ => return Ok(None),
        },
        Expr::AllOp { left, compare_op, right } => match bare(right) {
            Expr::Subquery(query) => (left, compare_op.clone(), true, query.as_ref()),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let row = parts(left);
    check_width(query, row.as_ref().map_or(1, Vec::len))?;
    let left = match row {
        Some(row) => row,
        None if is_comparison(&op) => return Ok(None),
        None => vec![left.as_ref().clone()],
    };
    Ok(Some(Quantified { left, op, all, query }))
}

impl Quantified<'_> {
    /// NOT of the whole: the opposite comparison with the other quantifier. `None` where the operator has no opposite.
    fn negated(self) -> Option<Self> {
        use BinaryOperator as Op;
        let op = match self.op {
            Op::Eq => Op::NotEq,
            Op::NotEq => Op::Eq,
            Op::Lt => Op::GtEq,
            Op::LtEq => Op::Gt,
            Op::Gt => Op::LtEq,
            Op::GtEq => Op::Lt,
            Op::PGRegexMatch => Op::PGRegexNotMatch,
            Op::PGRegexIMatch => Op::PGRegexNotIMatch,
            Op::PGRegexNotMatch => Op::PGRegexMatch,
            Op::PGRegexNotIMatch => Op::PGRegexIMatch,
            Op::PGLikeMatch => Op::PGNotLikeMatch,
            Op::PGILikeMatch => Op::PGNotILikeMatch,
            Op::PGNotLikeMatch => Op::PGLikeMatch,
            Op::PGNotILikeMatch => Op::PGILikeMatch,
            _ => return None,
        };
        Some(Self { op, all: !self.all, ..self })
    }

    fn comparison(&self) -> Result<Expr, QueryError> {
        let columns = column_names(self.left.len());
        let columns: Vec<Expr> = columns.iter().map(|name| Expr::Identifier(quoted(name))).collect();
        match self.left.as_slice() {
            [left] => Ok(nested(binary(left.clone(), self.op.clone(), columns[0].clone()))),
            row => Ok(nested(compared(row, &self.op, &columns)?)),
        }
    }

    /// `EXISTS (SELECT 1 FROM (query) WHERE condition)`
    fn exists(&self, condition: Expr) -> Result<Expr, QueryError> {
        let one = Expr::Value(Value::Number("1".into(), false).into());
        let items = vec![SelectItem::ExprWithAlias { expr: one, alias: Ident::new("found") }];
        let names = column_names(self.left.len());
        let subquery = select_over(self.query.clone(), "any@", &names, items, Some(condition))?;
        Ok(Expr::Exists { subquery: Box::new(subquery), negated: false })
    }

    /// True where the whole is true, otherwise false.
    fn filter(&self) -> Result<Expr, QueryError> {
        let comparison = self.comparison()?;
        if !self.all {
            return self.exists(comparison);
        }
        Ok(not(self.exists(Expr::IsNotTrue(Box::new(comparison)))?))
    }

    /// True, false or unknown.
    fn value(&self) -> Result<Expr, QueryError> {
        let comparison = self.comparison()?;
        let decides = if self.all { Expr::IsFalse(Box::new(comparison.clone())) } else { comparison.clone() };
        let branches = vec![
            (self.exists(decides)?, boolean(!self.all)),
            (self.exists(Expr::IsNull(Box::new(comparison)))?, null()),
        ];
        Ok(nested(case(branches, boolean(self.all))))
    }
}
