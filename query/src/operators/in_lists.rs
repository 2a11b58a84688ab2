//! Lists of IN, in the type that all of their items have together.
//!
//! DataFusion's simplifier brings two lists of one value together as sets: `x IN (1, 2) AND x IN (3)` is false to it, and
//! `x NOT IN (1) OR x NOT IN (2)` is true, also where `x` is NULL, and a list with a NULL or a column loses rows. So only lists of
//! values stay lists, and two of them side by side are kept from each other.

use super::call::is_left_to_arrow;
use super::lowering::{Argument, Lowering, binary_expression};
use super::meetings::{Guest, common};
use super::whole_expressions::of_one;
use crate::error::QueryError;
use crate::scan::external;
use crate::set_operations::opaque;
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::disjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;

const BPCHAR_OID: u32 = 1042;
const VARCHAR_OID: u32 = 1043;

impl Lowering<'_> {
    /// The items of IN and what is looked for in the type of all of them; where there is none, each is compared by itself.
    pub(super) fn in_list(&self, list: InList, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let InList { expr, list, negated } = list;
        let arguments = std::iter::once(*expr).chain(list).map(|item| Argument::new(item, None, schema));
        let arguments = arguments.collect::<Result<Vec<Argument>>>()?;
        let native = |argument: &Argument| argument.known.as_ref().is_some_and(is_left_to_arrow);
        if arguments.iter().any(native) {
            let mut items = arguments.into_iter().map(|argument| argument.expression);
            let expr = Box::new(items.next().unwrap_or_default());
            return Ok(Transformed::no(Expr::InList(InList { expr, list: items.collect(), negated })));
        }
        let guests: Vec<Guest<'_>> = arguments.iter().map(Argument::guest).collect();
        let is = |oid: u32| guests.iter().any(|guest| guest.known.as_ref().is_some_and(|known| known.oid() == oid));
        let whole = match common("IN", &guests) {
            // Beside a char(n) the blanks at the end of a varchar mean nothing.
            Ok(_) if is(BPCHAR_OID) && is(VARCHAR_OID) => self.in_any(arguments, negated),
            Ok(common) => self.in_common(arguments, &common, negated),
            Err(_) => self.in_any(arguments, negated),
        };
        whole.map(Transformed::yes).map_err(external)
    }

    fn in_common(
        &self,
        arguments: Vec<Argument>,
        common: &SqlType,
        negated: bool,
    ) -> std::result::Result<Expr, QueryError> {
        let by_key = *common == SqlType::Jsonb;
        let met = arguments.into_iter().map(|argument| {
            let value = self.met(argument, common)?;
            if by_key { self.sort_key(value) } else { Ok(value) }
        });
        let mut met = met.collect::<std::result::Result<Vec<Expr>, QueryError>>()?.into_iter();
        let expr = met.next().unwrap_or_default();
        let list: Vec<Expr> = met.collect();
        if list.iter().all(is_value) && !list.iter().any(is_zero) {
            return Ok(Expr::InList(InList { expr: Box::new(expr), list, negated }));
        }
        of_one(expr, |expr| {
            let compared = list.into_iter().map(|item| {
                let is_zero = is_zero(&item);
                let equal = binary_expression(expr.clone(), Operator::Eq, item);
                // The simplifier would make a list of it again.
                if is_zero { opaque(equal) } else { equal }
            });
            Ok(any(compared.collect(), negated))
        })
    }

    /// `x = a OR x = b`, each with the operator for its types.
    fn in_any(&self, arguments: Vec<Argument>, negated: bool) -> std::result::Result<Expr, QueryError> {
        let mut arguments = arguments.into_iter();
        let Some(probe) = arguments.next() else { return Err(QueryError::unsupported("IN of nothing")) };
        of_one(probe.expression.clone(), |expression| {
            let probe = || probe.standing_in(expression.clone());
            let compared = arguments.map(|item| self.binary(&BinaryOperator::Eq, probe(), item));
            Ok(any(compared.collect::<std::result::Result<Vec<Expr>, QueryError>>()?, negated))
        })
    }
}

fn is_value(item: &Expr) -> bool {
    matches!(item, Expr::Literal(value, _) if !value.is_null())
}

/// A zero of floating point, from which a list would tell the other one.
fn is_zero(item: &Expr) -> bool {
    match item {
        Expr::Literal(ScalarValue::Float64(Some(value)), _) => *value == 0.0,
        Expr::Literal(ScalarValue::Float32(Some(value)), _) => *value == 0.0,
        _ => false,
    }
}

/// Whether one of some comparisons holds, or none of them.
fn any(compared: Vec<Expr>, negated: bool) -> Expr {
    let any = disjunction(compared).unwrap_or_else(|| Expr::Literal(ScalarValue::Boolean(Some(false)), None));
    if negated { Expr::Not(Box::new(any)) } else { any }
}

/// AND or OR of lists of one value, of which only the first stays one.
pub(super) fn keep_lists_apart(both: BinaryExpr) -> Transformed<Expr> {
    let BinaryExpr { left, op, right } = both;
    let mut listed = Vec::new();
    listed_values(&left, op, &mut listed);
    let right = if listed.is_empty() { *right } else { without_lists(*right, op, &listed) };
    Transformed::yes(binary_expression(*left, op, right))
}

/// What lists are about on one side of an operator.
fn listed_values(side: &Expr, operator: Operator, listed: &mut Vec<Expr>) {
    match side {
        Expr::InList(list) => listed.push(list.expr.as_ref().clone()),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == operator => {
            listed_values(left, operator, listed);
            listed_values(right, operator, listed);
        }
        _ => {}
    }
}

fn without_lists(side: Expr, operator: Operator, listed: &[Expr]) -> Expr {
    match side {
        Expr::InList(list) if listed.contains(&list.expr) => opaque(Expr::InList(list)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op == operator => {
            binary_expression(without_lists(*left, operator, listed), op, without_lists(*right, operator, listed))
        }
        other => other,
    }
}
