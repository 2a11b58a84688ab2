//! RANGE frames with offsets: `ORDER BY day RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW`.
//!
//! The planner hands the offset on as text. Here it gets the type that PostgreSQL's `in_range` functions want beside
//! the ORDER BY column:
//!
//!     integer, numeric, double precision    a number
//!     timestamp, timestamptz                an interval
//!     date                                  an interval; days are compared as timestamps: 12 hours before is yesterday
//!     time, timetz                          an interval, whose hours count alone; no time comes after midnight again
//!     interval                              an interval; both are as long as their days, a month having thirty
//!
//! DataFusion has frames over numbers and moments, so times and intervals are counted in microseconds. In other time zones than UTC
//! days of timestamptz are 24 hours long here.

use super::casts::literal;
use super::lowering::Lowering;
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use crate::types::DAY_MICROS;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use catalog::zoned_time;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, SortExpr, Window, WindowFrameBound, WindowFrameUnits, cast,
};
use std::sync::Arc;

const MONTH_DAYS: i128 = 30;
/// Before the digits of an offset in quotes, `'1' PRECEDING`: they are a number or the seconds of an interval, as the key wants.
pub(crate) const OPEN_NUMBER: char = '\'';

/// A window function whose frame fits its order.
pub(super) fn settled(
    mut window: Box<WindowFunction>,
    schema: &DFSchema,
    lowering: &Lowering<'_>,
) -> Result<Transformed<Expr>> {
    let frame = &window.params.window_frame;
    let has_offsets = offset(&frame.start_bound).is_some() || offset(&frame.end_bound).is_some();
    if frame.units != WindowFrameUnits::Range || !has_offsets {
        return Ok(Transformed::no(Expr::WindowFunction(window)));
    }
    let [key] = window.params.order_by.as_mut_slice() else {
        return Ok(Transformed::no(Expr::WindowFunction(window)));
    };
    let (_, field) = key.expr.to_field(schema)?;
    let Some(known) = SqlType::from_field(&field) else { return Ok(Transformed::no(Expr::WindowFunction(window))) };
    let frame = &mut window.params.window_frame;
    close_number(&mut frame.start_bound, &known);
    close_number(&mut frame.end_bound, &known);
    let texts: Vec<String> = [&frame.start_bound, &frame.end_bound].into_iter().filter_map(offset).collect();
    texts.iter().try_for_each(|text| check(&known, text)).map_err(external)?;
    match known {
        // A moment's own zone is UTC, in which Arrow would look it up for every row.
        SqlType::Date | SqlType::TimestampTz => key.expr = cast(key.expr.clone(), SqlType::Timestamp.data_type()),
        SqlType::Time | SqlType::TimeTz => key.expr = cast(key.expr.clone(), DataType::Int64),
        SqlType::Interval => key.expr = lowering.interval_key(key.expr.clone())?.data,
        SqlType::Numeric { .. } => {
            let scale = texts.iter().filter_map(|text| text.split_once('.')).map(|(_, digits)| digits.len()).max();
            if let Some(finer) = finer(field.data_type(), scale.unwrap_or(0)) {
                key.expr = cast(key.expr.clone(), finer);
            }
        }
        _ => {}
    }
    let frame = &mut window.params.window_frame;
    for bound in [&mut frame.start_bound, &mut frame.end_bound] {
        let (WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value)) = bound else { continue };
        if let ScalarValue::Utf8(Some(text)) = value
            && !is_number(text)
        {
            *value = distance(literal(text, &SqlType::Interval, lowering.context).map_err(external)?, &known);
        }
    }
    Ok(Transformed::yes(Expr::WindowFunction(window)))
}

/// Gives an offset that is open the type that it has beside a key.
fn close_number(bound: &mut WindowFrameBound, key: &SqlType) {
    use SqlType::{Date, Interval, Time, TimeTz, Timestamp, TimestampTz};
    let (WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value)) = bound else { return };
    if let ScalarValue::Utf8(Some(text)) = value
        && let Some(number) = text.strip_prefix(OPEN_NUMBER)
    {
        let is_interval = matches!(key, Date | Time | TimeTz | Timestamp | TimestampTz | Interval);
        *text = if is_interval { format!("{number} seconds") } else { number.to_string() };
    }
}

/// An interval as the distance of keys that stand for values of a type.
fn distance(offset: ScalarValue, of: &SqlType) -> ScalarValue {
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = offset else { return offset };
    let micros = interval.nanoseconds / 1_000;
    match of {
        SqlType::Time => ScalarValue::Int64(Some(micros)),
        SqlType::TimeTz => ScalarValue::Int64(Some(zoned_time::distance(micros))),
        SqlType::Interval => {
            let days = i128::from(interval.months) * MONTH_DAYS + i128::from(interval.days);
            ScalarValue::Decimal128(Some(days * i128::from(DAY_MICROS) + i128::from(micros)), 38, 0)
        }
        _ => offset,
    }
}

/// Windows that no longer have one order, because a frame has changed the key of some of them, as one node each.
pub(super) fn one_order_each(window: Window) -> Result<LogicalPlan> {
    let mut orders: Vec<(Vec<Expr>, Vec<SortExpr>, Vec<Expr>)> = Vec::new();
    for expression in window.window_expr {
        let call = match &expression {
            Expr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        let (partition_by, order_by) = match call {
            Expr::WindowFunction(call) => (call.params.partition_by.clone(), call.params.order_by.clone()),
            _ => (Vec::new(), Vec::new()),
        };
        match orders.iter_mut().find(|(keys, order, _)| *keys == partition_by && *order == order_by) {
            Some((_, _, windows)) => windows.push(expression),
            None => orders.push((partition_by, order_by, vec![expression])),
        }
    }
    let mut plan = window.input;
    for (_, _, windows) in orders {
        plan = Arc::new(LogicalPlan::Window(Window::try_new(windows, plan)?));
    }
    Ok(Arc::unwrap_or_clone(plan))
}

/// The text of an offset that was not settled yet.
fn offset(bound: &WindowFrameBound) -> Option<String> {
    match bound {
        WindowFrameBound::Preceding(ScalarValue::Utf8(Some(text)))
        | WindowFrameBound::Following(ScalarValue::Utf8(Some(text))) => Some(text.clone()),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

/// Whether an offset can be added to values of the ORDER BY column.
fn check(key: &SqlType, text: &str) -> Result<(), QueryError> {
    use SqlType::{Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Time, TimeTz, Timestamp, TimestampTz};
    let offset = match text {
        text if !is_number(text) => "interval",
        text if text.contains('.') => "numeric",
        _ => "integer",
    };
    let fits = match key {
        Int2 | Int4 | Int8 => Some(offset == "integer"),
        Numeric { .. } | Float4 | Float8 => Some(offset != "interval"),
        Date | Time | TimeTz | Timestamp | TimestampTz | Interval => Some(offset == "interval"),
        _ => None,
    };
    let name = key.base_name();
    let message = "RANGE with offset PRECEDING/FOLLOWING is not supported for column type";
    match fits {
        Some(true) => Ok(()),
        Some(false) => {
            let message = format!("{message} {name} and offset type {offset}");
            Err(QueryError::new(ErrorKind::FeatureNotSupported, message)
                .hint("Cast the offset value to an appropriate type."))
        }
        None => Err(QueryError::new(ErrorKind::FeatureNotSupported, format!("{message} {name}"))),
    }
}

/// The decimal that holds a column's values and an offset with more digits after the point.
fn finer(data_type: &DataType, scale: usize) -> Option<DataType> {
    let (DataType::Decimal128(precision, known) | DataType::Decimal256(precision, known)) = data_type else {
        return None;
    };
    let scale = i8::try_from(scale).ok().filter(|scale| scale > known)?;
    let precision = (i16::from(*precision) - i16::from(*known) + i16::from(scale)).clamp(1, 76) as u8;
    Some(if precision <= 38 && matches!(data_type, DataType::Decimal128(..)) {
        DataType::Decimal128(precision, scale)
    } else {
        DataType::Decimal256(precision, scale)
    })
}
