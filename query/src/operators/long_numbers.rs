//! Literal numbers with more digits than a numeric holds.
//!
//! To PostgreSQL they are numerics. Those that meet doubles become doubles, which need no more digits than a double has:
//!
//!     d IN (1e300, 2), coalesce(d, 1e-300), sin(1e-300), interval '1 day' * 1e-100     a double precision
//!     1e300 + 1, abs(1e300), SELECT 1e300             a numeric value of 301 digits is not supported
//!
//! Annotation makes a site of each, whose type is numeric while the planner works. Lowering asks what stands around it which type it
//! takes there, as it would ask for a parameter.

use super::call::{Places, SiteCall, SiteKind};
use super::casts::literal;
use super::contexts::wanted;
use super::inference::operand;
use super::lowering::Lowering;
use super::sites::Annotator;
use crate::error::QueryError;
use crate::scan::external;
use crate::types::natural_type;
use crate::user_types::type_of_oid;
use catalog::sql_type::{NUMERIC_PRECISION_MAX, SqlType};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast;

/// Whether a number as it is written has more digits than a numeric.
pub(crate) fn is_long(number: &str) -> bool {
    let has_exponent = || number.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    (number.len() > usize::from(NUMERIC_PRECISION_MAX) || has_exponent()) && natural_type(number).is_err()
}

impl Annotator<'_> {
    /// The site of a long number, by its text.
    pub(super) fn long_number(&mut self, text: ast::Expr) -> ast::Expr {
        let place = self.place(&text);
        self.add(SiteKind::LongNumber, Places { site: place, operands: vec![place] }, vec![text])
    }
}

/// The digits of a long number and its place in the text.
fn long_number(expression: &Expr) -> Option<(&str, Option<usize>)> {
    let Expr::ScalarFunction(call) = expression else { return None };
    let site = call.func.inner().downcast_ref::<SiteCall>().filter(|site| site.kind == SiteKind::LongNumber)?;
    match call.args.as_slice() {
        [Expr::Literal(ScalarValue::Utf8(Some(digits)), _)] => Some((digits, site.places.site)),
        _ => None,
    }
}

pub(super) fn is_long_number(expression: &Expr) -> bool {
    long_number(expression).is_some()
}

/// Fails for an expression that is a long number and nothing else.
pub(super) fn refuse_alone(expression: &Expr) -> Result<()> {
    match long_number(expression) {
        Some((digits, place)) => Err(refusal(digits, place)),
        None => Ok(()),
    }
}

fn refusal(digits: &str, place: Option<usize>) -> datafusion::error::DataFusionError {
    let error = natural_type(digits).err();
    let error = error.unwrap_or_else(|| QueryError::unsupported("this number"));
    external(error.position(place))
}

impl Lowering<'_> {
    /// An expression in which the operands that are long numbers are doubles or reals, as it takes them.
    pub(super) fn with_long_numbers(&self, expression: Expr, schema: &DFSchema) -> Result<Expr> {
        let mut has_one = false;
        expression.apply_children(|child| {
            has_one |= is_long_number(child);
            Ok(if has_one { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !has_one {
            return Ok(expression);
        }
        let mut operands = Vec::new();
        expression.apply_children(|child| {
            operands.push(operand(child, schema));
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut types = wanted(&expression, &operands).unwrap_or_default().into_iter();
        let typed = expression.map_children(|child| {
            let taken = types.next().and_then(type_of_oid);
            let Some((digits, place)) = long_number(&child) else { return Ok(Transformed::no(child)) };
            match taken {
                Some(to @ (SqlType::Float4 | SqlType::Float8)) => {
                    let value = literal(digits, &to, self.context).map_err(|error| external(error.position(place)))?;
                    Ok(Transformed::yes(Expr::Literal(value, None)))
                }
                _ => Err(refusal(digits, place)),
            }
        })?;
        Ok(typed.data)
    }
}
