//! Ordered-set aggregates by their direct arguments, those in front of WITHIN GROUP.
//!
//! The hypothetical rows of rank and its like are counts of the rows before them, and a percentile whose fraction is no
//! constant is a function of all values and of the fraction, which the query must have one of for each group:
//!
//!     rank(a) WITHIN GROUP (ORDER BY k)              1 + count(*) FILTER (WHERE k < a)
//!     percentile_disc(p) WITHIN GROUP (ORDER BY k)   "percentile_disc at"(array_agg(k), p, false)

use super::trees::{binary, case, joined, null};
use crate::error::{ErrorKind, QueryError};
use crate::functions::percentiles_at::{PERCENTILE_CONT_AT, PERCENTILE_DISC_AT};
use crate::operators::sites::{call, call_quoted};
use crate::statement_grammar::fold;
use crate::syntax_walks::{walk_expressions, walk_mut};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, OrderByExpr, Query, Value, VisitorMut,
};
use std::ops::ControlFlow;

/// Rewrites the calls of a query in place.
pub(crate) fn settle(query: &mut Query) -> Result<(), QueryError> {
    match walk_mut(query, &mut Settler) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Settler;

impl VisitorMut for Settler {
    type Break = QueryError;

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<QueryError> {
        let Expr::Function(function) = expression else { return ControlFlow::Continue(()) };
        if function.within_group.is_empty() {
            return ControlFlow::Continue(());
        }
        match settled(function) {
            Ok(Some(settled)) => *expression = settled,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

fn settled(function: &Function) -> Result<Option<Expr>, QueryError> {
    let [name] = function.name.0.as_slice() else { return Ok(None) };
    let Some(name) = name.as_ident().map(fold) else { return Ok(None) };
    let Some(direct) = direct_arguments(&function.args) else { return Ok(None) };
    let keys = function.within_group.as_slice();
    match name.as_str() {
        "percentile_cont" | "percentile_disc" => Ok(percentile(function, &name, &direct, keys)),
        "rank" | "dense_rank" | "percent_rank" | "cume_dist" => {
            if direct.len() != keys.len() {
                let message = format!("function {name} does not exist with {} direct arguments", direct.len());
                let error = QueryError::new(ErrorKind::UndefinedFunction, message);
                return Err(error.hint(format!(
                    "To use the hypothetical-set aggregate {name}, the number of hypothetical direct arguments (here {}) \
                     must match the number of ordering columns (here {}).",
                    direct.len(),
                    keys.len()
                )));
            }
            Ok(Some(hypothetical(function, &name, &direct, keys)))
        }
        _ => Ok(None),
    }
}

fn direct_arguments(arguments: &FunctionArguments) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = arguments else { return None };
    let plain = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression.clone()),
        _ => None,
    };
    list.args.iter().map(plain).collect()
}

/// Whether a value is another one in other groups, or known only while the query runs.
fn varies(expression: &Expr) -> bool {
    let found = walk_expressions(expression, |part| match part {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn percentile(function: &Function, name: &str, direct: &[Expr], keys: &[OrderByExpr]) -> Option<Expr> {
    let ([fraction], [key]) = (direct, keys) else { return None };
    if !varies(fraction) {
        return None;
    }
    let present = Expr::IsNotNull(Box::new(key.expr.clone()));
    let values = with_filter(call("array_agg", vec![key.expr.clone()]), both(function.filter.as_deref(), present));
    let descending = Expr::Value(Value::Boolean(key.options.asc == Some(false)).into());
    let at = if name == "percentile_cont" { PERCENTILE_CONT_AT } else { PERCENTILE_DISC_AT };
    Some(call_quoted(at, vec![values, fraction.clone(), descending]))
}

/// What the row of the direct arguments would have among the others.
fn hypothetical(function: &Function, name: &str, direct: &[Expr], keys: &[OrderByExpr]) -> Expr {
    let filter = function.filter.as_deref();
    let count = |condition: Option<Expr>| match condition {
        Some(condition) => with_filter(count_all(), both(filter, condition)),
        None => filter.map_or(count_all(), |filter| with_filter(count_all(), filter.clone())),
    };
    let before = before(direct, keys);
    let value = match name {
        "rank" => after_all(count(Some(before))),
        "dense_rank" => {
            let rows = keys.iter().map(|key| key.expr.clone()).collect();
            let mut distinct = call("count", vec![text(call("jsonb_build_array", rows))]);
            if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut distinct {
                list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
            }
            after_all(with_filter(distinct, both(filter, before)))
        }
        "percent_rank" => {
            let share = binary(double(count(Some(before))), BinaryOperator::Divide, count(None));
            let none = binary(count(None), BinaryOperator::Eq, number("0"));
            case(vec![(none, double(number("0")))], share)
        }
        _ => {
            let equal =
                joined(direct.iter().zip(keys).map(|(value, key)| equal(value, key)).collect(), &BinaryOperator::And);
            let up_to = joined(vec![before, equal], &BinaryOperator::Or);
            let share = double(Expr::Nested(Box::new(after_all(count(Some(up_to))))));
            binary(share, BinaryOperator::Divide, Expr::Nested(Box::new(after_all(count(None)))))
        }
    };
    // The planner checks here that the query has one such value for each group.
    let varying = direct.iter().filter(|value| varies(value)).cloned();
    let value = varying.fold(value, |value, direct| case(vec![(Expr::IsNull(Box::new(direct)), value.clone())], value));
    Expr::Nested(Box::new(value))
}

/// Whether a row comes before that of the direct arguments.
fn before(direct: &[Expr], keys: &[OrderByExpr]) -> Expr {
    let alternatives = (0..keys.len()).map(|place| {
        let mut conditions: Vec<Expr> =
            direct.iter().zip(keys).take(place).map(|(value, key)| equal(value, key)).collect();
        conditions.push(less(&direct[place], &keys[place]));
        joined(conditions, &BinaryOperator::And)
    });
    joined(alternatives.collect(), &BinaryOperator::Or)
}

fn equal(value: &Expr, key: &OrderByExpr) -> Expr {
    Expr::Nested(Box::new(Expr::IsNotDistinctFrom(Box::new(key.expr.clone()), Box::new(value.clone()))))
}

fn less(value: &Expr, key: &OrderByExpr) -> Expr {
    let descending = key.options.asc == Some(false);
    let nulls_first = key.options.nulls_first.unwrap_or(descending);
    let operator = if descending { BinaryOperator::Gt } else { BinaryOperator::Lt };
    let compared = binary(key.expr.clone(), operator, value.clone());
    let (none, some) = if nulls_first { (&key.expr, value) } else { (value, &key.expr) };
    let by_null =
        binary(Expr::IsNull(Box::new(none.clone())), BinaryOperator::And, Expr::IsNotNull(Box::new(some.clone())));
    let sorted = binary(compared, BinaryOperator::Or, Expr::Nested(Box::new(by_null)));
    // A comparison with NULL says nothing.
    call("coalesce", vec![Expr::Nested(Box::new(sorted)), Expr::Value(Value::Boolean(false).into())])
}

fn both(filter: Option<&Expr>, condition: Expr) -> Expr {
    match filter {
        Some(filter) => joined(vec![filter.clone(), condition], &BinaryOperator::And),
        None => condition,
    }
}

fn with_filter(mut aggregate: Expr, filter: Expr) -> Expr {
    if let Expr::Function(function) = &mut aggregate {
        function.filter = Some(Box::new(filter));
    }
    aggregate
}

fn count_all() -> Expr {
    let mut count = call("count", vec![null()]);
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut count {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
    }
    count
}

fn after_all(count: Expr) -> Expr {
    binary(number("1"), BinaryOperator::Plus, count)
}

fn number(digits: &str) -> Expr {
    Expr::Value(Value::Number(digits.into(), false).into())
}

fn cast(expression: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expression), data_type, array: false, format: None }
}

fn double(expression: Expr) -> Expr {
    cast(expression, DataType::DoublePrecision)
}

fn text(expression: Expr) -> Expr {
    cast(expression, DataType::Text)
}
