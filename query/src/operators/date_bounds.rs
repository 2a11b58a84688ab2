//! Dates beside timestamps: a comparison with a constant moment is one with a date, which no cast can overflow and which
//! prunes.
//!
//!     day >= timestamp '2024-02-29 12:00'      day >= date '2024-03-01'
//!     day <  timestamptz '2024-02-29 12:00Z'   day <  date '2024-02-29' or '2024-03-01', as the time zone has it
//!
//! A date is the moment at which it begins. Beside a moment that is not constant it is cast; a date beyond the last timestamp
//! is then later than every one of them.

use super::casts::{CastContext, cast_call_clamped, cast_date, to_instant, to_local};
use super::lowering::binary_expression;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};

const DAY_MICROS: i64 = 86_400_000_000;

/// `left operator right`, of which one is a date and the other of type `moments`.
pub(super) fn compared_dates(
    (left, left_type): (Expr, &SqlType),
    operator: Operator,
    (right, right_type): (Expr, &SqlType),
    moments: &SqlType,
    context: &CastContext,
) -> Expr {
    let is_left = *left_type == SqlType::Date;
    let (date, moment) = if is_left { (&left, &right) } else { (&right, &left) };
    let seen = if is_left { Some(operator) } else { operator.swap() };
    if let (Some(seen), Some(moment)) = (seen, constant_moment(moment, moments))
        && let Some(bounded) = bounded(date, seen, moment, moments, context)
    {
        return bounded;
    }
    let cast = |value: Expr, from: &SqlType| match from {
        SqlType::Date => cast_call_clamped(value, from.clone(), moments.clone(), context),
        _ => value,
    };
    binary_expression(cast(left, left_type), operator, cast(right, right_type))
}

/// The same for a date that was cast to the moments' type, beside a constant one; `None` for other comparisons.
pub(super) fn compared_casts(
    left: &Expr,
    operator: Operator,
    right: &Expr,
    moments: &SqlType,
    context: &CastContext,
) -> Option<Expr> {
    match (
        cast_date(left, moments),
        constant_moment(right, moments),
        cast_date(right, moments),
        constant_moment(left, moments),
    ) {
        (Some(date), Some(moment), ..) => bounded(date, operator, moment, moments, context),
        (_, _, Some(date), Some(moment)) => bounded(date, operator.swap()?, moment, moments, context),
        _ => None,
    }
}

/// A literal of the moments' type: an instant is no local time.
fn constant_moment(value: &Expr, moments: &SqlType) -> Option<i64> {
    match value {
        Expr::Literal(ScalarValue::TimestampMicrosecond(moment, zone), _)
            if zone.is_some() == (*moments == SqlType::TimestampTz) =>
        {
            *moment
        }
        _ => None,
    }
}

/// `date operator moment` as a comparison with the first date that begins at the moment, or after it. `None` for equality
/// with a moment at which no date begins.
fn bounded(date: &Expr, operator: Operator, moment: i64, moments: &SqlType, context: &CastContext) -> Option<Expr> {
    let begin = |day: i64| {
        let local = day * DAY_MICROS;
        if *moments == SqlType::TimestampTz { to_instant(local, &context.zone) } else { local }
    };
    let local = if *moments == SqlType::TimestampTz { to_local(moment, &context.zone) } else { moment };
    // A change of the clocks moves a date's begin by less than two days.
    let earliest = local.div_euclid(DAY_MICROS) - 2;
    let first = |holds: &dyn Fn(i64) -> bool| (earliest..=earliest + 5).find(|day| holds(begin(*day)));
    let (from, after) = (first(&|begin| begin >= moment)?, first(&|begin| begin > moment)?);
    let (operator, day) = match operator {
        Operator::GtEq => (Operator::GtEq, from),
        Operator::Gt => (Operator::GtEq, after),
        Operator::Lt => (Operator::Lt, from),
        Operator::LtEq => (Operator::Lt, after),
        Operator::Eq | Operator::NotEq if begin(from) == moment => (operator, from),
        _ => return None,
    };
    let day = Expr::Literal(ScalarValue::Date32(Some(i32::try_from(day).ok()?)), None);
    Some(binary_expression(date.clone(), operator, day))
}
