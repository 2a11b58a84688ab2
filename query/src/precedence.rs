//! Mends what sqlparser reads with the wrong precedence.
//!
//! It takes everything after `IS [NOT] DISTINCT FROM` as the right operand, AND and OR included. Parentheses leave a
//! `Nested` in the tree, so an AND or OR that stands there bare was not meant to. It takes a power for the operand of the
//! sign before it, which belongs to the base: `-2 ^ 2` is 4. It takes `@ a + b` for a sum, of which PostgreSQL takes the
//! absolute value.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// Gives `IS DISTINCT FROM` its precedence back in every expression of a statement.
pub(crate) fn mend_precedence<T: VisitMut>(node: &mut T) {
    let _ = node.visit(&mut Mender);
}

struct Mender;

impl VisitorMut for Mender {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::IsDistinctFrom(left, right) if is_logic(right) => {
                *expression = hoisted(left, right, &Expr::IsDistinctFrom);
            }
            Expr::IsNotDistinctFrom(left, right) if is_logic(right) => {
                *expression = hoisted(left, right, &Expr::IsNotDistinctFrom);
            }
            Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr } if is_power(expr) => {
                *expression = signed(*op, expr);
            }
            Expr::BinaryOp { left, op: op @ (BinaryOperator::Plus | BinaryOperator::Minus), right } => {
                if let Expr::UnaryOp { op: prefix, expr } = left.as_ref()
                    && is_loose(*prefix)
                {
                    let sum = Expr::BinaryOp { left: expr.clone(), op: op.clone(), right: right.clone() };
                    *expression = Expr::UnaryOp { op: *prefix, expr: Box::new(sum) };
                }
            }
            // `x AND (p OR q)` without parentheses was `x AND p OR q`.
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                if let Expr::BinaryOp { left: first, op: BinaryOperator::Or, right: last } = right.as_ref() {
                    let both = Expr::BinaryOp { left: left.clone(), op: BinaryOperator::And, right: first.clone() };
                    *expression = Expr::BinaryOp { left: Box::new(both), op: BinaryOperator::Or, right: last.clone() };
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Operators that PostgreSQL's grammar does not know by name take sums for their operand.
fn is_loose(prefix: UnaryOperator) -> bool {
    use UnaryOperator::{BitwiseNot, PGAbs, PGCubeRoot, PGSquareRoot};
    matches!(prefix, BitwiseNot | PGAbs | PGCubeRoot | PGSquareRoot)
}

fn is_power(expression: &Expr) -> bool {
    matches!(expression, Expr::BinaryOp { op: BinaryOperator::PGExp, .. })
}

/// A power whose base has the sign.
fn signed(sign: UnaryOperator, power: &Expr) -> Expr {
    match power {
        Expr::BinaryOp { left, op: BinaryOperator::PGExp, right } => {
            Expr::BinaryOp { left: Box::new(signed(sign, left)), op: BinaryOperator::PGExp, right: right.clone() }
        }
        base => Expr::UnaryOp { op: sign, expr: Box::new(base.clone()) },
    }
}

fn is_logic(expression: &Expr) -> bool {
    matches!(expression, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// Moves the comparison to the leftmost operand of the logic that it swallowed.
fn hoisted(left: &Expr, swallowed: &Expr, comparison: &dyn Fn(Box<Expr>, Box<Expr>) -> Expr) -> Expr {
    match swallowed {
        Expr::BinaryOp { left: first, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
            Expr::BinaryOp { left: Box::new(hoisted(left, first, comparison)), op: op.clone(), right: right.clone() }
        }
        operand => comparison(Box::new(left.clone()), Box::new(operand.clone())),
    }
}
