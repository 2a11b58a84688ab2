//! Windows: names that stand for them, and the bounds of their frames.
//!
//! `OVER w` and `OVER (w ORDER BY a)` get what WINDOW says of `w`, which the planner would know in the select list
//! only, and not where something is added to it. Offsets of frames become plain numbers or, for intervals, the text
//! of months, days and microseconds, which [`crate::operators::frames`] gives the type of the ORDER BY column.

use super::constants::constant;
use super::nesting::each_expr_mut;
use super::trees::{bare, quoted};
use crate::error::{ErrorKind, QueryError};
use crate::functions::excluded_frames::Exclusion;
use crate::operators::frames::OPEN_NUMBER;
use crate::planner::Planning;
use crate::query_places::place_of;
use crate::statement::Statement;
use crate::statement_grammar::fold;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, Ident, Interval, NamedWindowExpr, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr,
    UnaryOperator, Value, ValueWithSpan, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};
use std::ops::ControlFlow;

/// What errors and constants need.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub planning: &'a Planning,
    pub statement: Option<&'a Statement>,
}

impl Context<'_> {
    /// Whether a name is an aggregate's.
    pub(super) fn is_aggregate(&self, name: &str) -> bool {
        self.planning.is_aggregate(name)
    }
}

/// Settles the windows of a query's SELECTs, without those of queries inside.
pub(super) fn settle(query: &mut Query, context: Context<'_>) -> Result<(), QueryError> {
    if let SetExpr::Select(select) = query.body.as_mut() {
        return settle_select(select, query.order_by.as_mut(), context);
    }
    settle_body(&mut query.body, context)
}

fn settle_body(body: &mut SetExpr, context: Context<'_>) -> Result<(), QueryError> {
    match body {
        SetExpr::Select(select) => settle_select(select, None, context),
        SetExpr::SetOperation { left, right, .. } => {
            settle_body(left, context)?;
            settle_body(right, context)
        }
        _ => Ok(()),
    }
}

fn settle_select(select: &mut Select, order: Option<&mut OrderBy>, context: Context<'_>) -> Result<(), QueryError> {
    let windows = named(select, context)?;
    // Their definitions stand with each call from here on.
    select.named_window = Vec::new();
    let settler = Settler { windows: &windows, context };
    // Windows of subqueries are their own.
    let settle = |expression: &mut Expr| {
        let settled = each_expr_mut(expression, |part, queries| match part {
            Expr::Function(function) if queries == 0 => match settler.settled(function) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            },
            _ => ControlFlow::Continue(()),
        });
        settled.break_value().map_or(Ok(()), Err)
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } = item {
            settle(expression)?;
        }
    }
    if let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = order {
        items.iter_mut().try_for_each(|item| settle(&mut item.expr))?;
    }
    Ok(())
}

/// The windows that a SELECT names, each complete.
fn named(select: &Select, context: Context<'_>) -> Result<Vec<(String, WindowSpec)>, QueryError> {
    let mut windows: Vec<(String, WindowSpec)> = Vec::new();
    for definition in &select.named_window {
        let name = fold(&definition.0);
        if windows.iter().any(|(known, _)| *known == name) {
            let message = format!("window \"{name}\" is already defined");
            return Err(QueryError::new(ErrorKind::Windowing, message).position(place(&definition.0, context)));
        }
        let spec = match &definition.1 {
            NamedWindowExpr::NamedWindow(other) => found(&windows, other, context)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => completed(&windows, spec.clone(), context)?,
        };
        windows.push((name, spec));
    }
    Ok(windows)
}

fn place(name: &Ident, context: Context<'_>) -> Option<usize> {
    context.statement.and_then(|statement| statement.place_of(name.span))
}

fn found<'a>(
    windows: &'a [(String, WindowSpec)],
    name: &Ident,
    context: Context<'_>,
) -> Result<&'a WindowSpec, QueryError> {
    let wanted = fold(name);
    windows.iter().find(|(known, _)| *known == wanted).map(|(_, spec)| spec).ok_or_else(|| {
        let message = format!("window \"{wanted}\" does not exist");
        QueryError::new(ErrorKind::UndefinedObject, message).position(place(name, context))
    })
}

/// A window that begins with another one's name.
fn completed(
    windows: &[(String, WindowSpec)],
    mut spec: WindowSpec,
    context: Context<'_>,
) -> Result<WindowSpec, QueryError> {
    let Some(mut name) = spec.window_name.take() else { return Ok(spec) };
    // What the frame leaves out stands behind the name.
    if let Some((base, exclusion)) = Exclusion::of_name(&name.value) {
        spec.window_name = Some(quoted(exclusion.mark()));
        if base.is_empty() {
            return Ok(spec);
        }
        name.value = base.to_string();
    }
    let base = found(windows, &name, context)?;
    let shown = fold(&name);
    let refused = |message: String| Err(QueryError::new(ErrorKind::Windowing, message).position(place(&name, context)));
    if !spec.partition_by.is_empty() {
        return refused(format!("cannot override PARTITION BY clause of window \"{shown}\""));
    }
    if !spec.order_by.is_empty() && !base.order_by.is_empty() {
        return refused(format!("cannot override ORDER BY clause of window \"{shown}\""));
    }
    if base.window_frame.is_some() {
        return refused(format!("cannot copy window \"{shown}\" because it has a frame clause"));
    }
    spec.partition_by = base.partition_by.clone();
    if spec.order_by.is_empty() {
        spec.order_by = base.order_by.clone();
    }
    Ok(spec)
}

struct Settler<'a> {
    windows: &'a [(String, WindowSpec)],
    context: Context<'a>,
}

impl Settler<'_> {
    fn settled(&self, function: &mut Function) -> Result<(), QueryError> {
        let mut spec = match function.over.take() {
            None => return Ok(()),
            Some(WindowType::NamedWindow(name)) => found(self.windows, &name, self.context)?.clone(),
            Some(WindowType::WindowSpec(spec)) => completed(self.windows, spec, self.context)?,
        };
        if let Some(frame) = &mut spec.window_frame {
            check_order(frame)?;
            self.settle_bounds(frame, spec.order_by.len())?;
        }
        function.over = Some(WindowType::WindowSpec(spec));
        Ok(())
    }

    fn settle_bounds(&self, frame: &mut WindowFrame, keys: usize) -> Result<(), QueryError> {
        let units = frame.units;
        let bounds = [Some(("starting", &mut frame.start_bound)), frame.end_bound.as_mut().map(|end| ("ending", end))];
        for (which, bound) in bounds.into_iter().flatten() {
            let (WindowFrameBound::Preceding(Some(offset)) | WindowFrameBound::Following(Some(offset))) = bound else {
                continue;
            };
            if is_parameter(offset) {
                continue;
            }
            if units == WindowFrameUnits::Range && keys != 1 {
                let message = "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column";
                return Err(QueryError::new(ErrorKind::Windowing, message));
            }
            let place = self.context.statement.and_then(|statement| place_of(statement, offset));
            let settled = match units {
                WindowFrameUnits::Range => self.distance(offset),
                WindowFrameUnits::Rows | WindowFrameUnits::Groups => self.count(offset, units, which),
            };
            **offset = settled.map_err(|error| match error.kind {
                ErrorKind::InvalidFrameOffset | ErrorKind::NullNotAllowed => error,
                _ => error.position(place),
            })?;
        }
        Ok(())
    }

    /// The offset of ROWS and GROUPS: a number of rows or groups.
    fn count(&self, offset: &Expr, units: WindowFrameUnits, which: &str) -> Result<Expr, QueryError> {
        let value = self.value(offset, units)?;
        if value.is_null() {
            let message = format!("frame {which} offset must not be null");
            return Err(QueryError::new(ErrorKind::NullNotAllowed, message));
        }
        match whole(&value) {
            Some(count) if count < 0 => {
                let message = format!("frame {which} offset must not be negative");
                Err(QueryError::new(ErrorKind::InvalidFrameOffset, message))
            }
            Some(count) => Ok(number(count.to_string())),
            None => {
                let message = format!("argument of {units} must be type bigint");
                Err(QueryError::new(ErrorKind::DatatypeMismatch, message))
            }
        }
    }

    /// The offset of RANGE: a number, or the text of an interval.
    fn distance(&self, offset: &Expr) -> Result<Expr, QueryError> {
        let negative =
            || QueryError::new(ErrorKind::InvalidFrameOffset, "invalid preceding or following size in window function");
        let open = quoted_number(offset);
        let is_open = open.is_some();
        let value = open.map_or_else(|| self.value(offset, WindowFrameUnits::Range), Ok)?;
        let text = match &value {
            ScalarValue::IntervalMonthDayNano(Some(interval)) => {
                if interval.months < 0 || interval.days < 0 || interval.nanoseconds < 0 {
                    return Err(negative());
                }
                let micros = interval.nanoseconds / 1000;
                let text = format!("{} months {} days {micros} microseconds", interval.months, interval.days);
                return Ok(Expr::Value(Value::SingleQuotedString(text).into()));
            }
            value if value.is_null() => {
                return Err(QueryError::new(ErrorKind::NullNotAllowed, "frame offset must not be null"));
            }
            value if value.data_type().is_numeric() => value.cast_to(&DataType::Utf8).ok().map(|text| text.to_string()),
            _ => None,
        };
        match text {
            Some(text) if text.starts_with('-') => Err(negative()),
            Some(text) if is_open => {
                let open = format!("{OPEN_NUMBER}{}", plain_digits(&text));
                Ok(Expr::Value(Value::SingleQuotedString(open).into()))
            }
            Some(text) => Ok(number(text)),
            None => Err(QueryError::unsupported("an offset of RANGE that is neither a number nor an interval")),
        }
    }

    fn value(&self, offset: &Expr, units: WindowFrameUnits) -> Result<ScalarValue, QueryError> {
        match bare(offset) {
            Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => Ok(literal_number(digits)),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match bare(expr) {
                Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => {
                    Ok(literal_number(&format!("-{digits}")))
                }
                _ => constant(offset, &units.to_string(), self.context),
            },
            _ => constant(offset, &units.to_string(), self.context),
        }
    }
}

fn is_parameter(offset: &Expr) -> bool {
    matches!(bare(offset), Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }))
}

fn literal_number(digits: &str) -> ScalarValue {
    match digits.parse::<i64>() {
        Ok(whole) => ScalarValue::Int64(Some(whole)),
        Err(_) => ScalarValue::try_from_string(digits.to_string(), &DataType::Decimal128(38, 18))
            .unwrap_or(ScalarValue::Float64(digits.parse().ok())),
    }
}

/// `'1'`, which the parser takes for an interval, or `interval '1'`.
fn quoted_number(offset: &Expr) -> Option<ScalarValue> {
    let Expr::Interval(Interval { value, leading_field: None, last_field: None, .. }) = bare(offset) else {
        return None;
    };
    match value.as_ref() {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
            text.trim().parse::<f64>().is_ok().then(|| literal_number(text.trim()))
        }
        _ => None,
    }
}

fn whole(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int64(value) => *value,
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        _ => None,
    }
}

/// A number as the planner reads it.
fn number(text: String) -> Expr {
    Expr::Value(Value::Number(plain_digits(&text).to_string(), false).into())
}

/// A number without digits that say nothing.
fn plain_digits(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// A frame begins where or before it ends, as far as its kind of bounds tells.
fn check_order(frame: &WindowFrame) -> Result<(), QueryError> {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    let end = frame.end_bound.as_ref().unwrap_or(&CurrentRow);
    let message = match (&frame.start_bound, end) {
        (Following(None), _) => "frame start cannot be UNBOUNDED FOLLOWING",
        (_, Preceding(None)) => "frame end cannot be UNBOUNDED PRECEDING",
        (CurrentRow, Preceding(_)) => "frame starting from current row cannot have preceding rows",
        (Following(_), Preceding(_)) => "frame starting from following row cannot have preceding rows",
        (Following(_), CurrentRow) => "frame starting from following row cannot end with current row",
        _ => return Ok(()),
    };
    Err(QueryError::new(ErrorKind::Windowing, message))
}
