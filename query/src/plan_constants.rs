//! Parameters that the planner reads: arguments of functions in FROM, offsets of window frames, percentages of
//! TABLESAMPLE, times of FOR SYSTEM_TIME AS OF.
//!
//! A plan keeps a place for most parameters until a value is bound. In these places it needs a constant, so the value
//! is put into the syntax tree and the statement is planned for it:
//!
//!     FROM generate_series(1, $1)     Bind: 5     FROM generate_series(1, '5'::integer)
//!     ROWS $1 PRECEDING               Bind: 2     ROWS '2'::bigint PRECEDING
//!
//! Before there are values a sample of the type stands there, so that the statement's columns can be told.

use crate::assignment::cast_syntax;
use crate::error::QueryError;
use crate::operators::contexts::{ROW_OFFSET, VALUE_OFFSET};
use crate::operators::sites::call;
use crate::parameter_types::parameter_number;
use crate::response::{Format, ParameterValue};
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use crate::types::{OutputStyle, decode_parameter, value_text};
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, NamedWindowExpr, Select, TableFactor, TableSampleKind, TableVersion,
    Value, ValueWithSpan, VisitMut, VisitorMut, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};
use std::ops::ControlFlow;

/// Whether a statement has a parameter in such a place, so that it has to be planned for each of its values.
pub(crate) fn reads_parameters<T: VisitMut + Clone>(tree: &T) -> bool {
    let mut found = false;
    let _ = walk_mut(
        &mut tree.clone(),
        &mut Filler {
            fill: |value: &mut Expr| {
                found |= number(value).is_some();
                Ok::<(), QueryError>(())
            },
        },
    );
    found
}

/// Puts samples where the planner reads parameters. The sample of a time of the past is now, of which there is always something.
pub(crate) fn fill_samples<T: VisitMut>(tree: &mut T, types: &[Option<SqlType>]) -> Result<(), QueryError> {
    let _ = walk_mut(tree, &mut Present);
    fill(tree, |number| {
        let Some(Some(sql_type)) = types.get(number - 1) else { return Ok(None) };
        constant(Some(sample(sql_type)), sql_type).map(Some)
    })
}

/// Puts values where the planner reads parameters.
pub(crate) fn fill_values<T: VisitMut>(
    tree: &mut T,
    types: &[SqlType],
    values: &[ParameterValue],
    style: &OutputStyle,
) -> Result<(), QueryError> {
    fill(tree, |number| {
        let (Some(sql_type), Some(value)) = (types.get(number - 1), values.get(number - 1)) else { return Ok(None) };
        constant(text_of(value, sql_type, style)?, sql_type).map(Some)
    })
}

fn fill<T: VisitMut>(
    tree: &mut T,
    constant: impl Fn(usize) -> Result<Option<Expr>, QueryError>,
) -> Result<(), QueryError> {
    let fill = |value: &mut Expr| {
        if let Some(number) = number(value)
            && let Some(known) = constant(number)?
        {
            *value = known;
        }
        Ok(())
    };
    match walk_mut(tree, &mut Filler { fill }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn constant(text: Option<String>, sql_type: &SqlType) -> Result<Expr, QueryError> {
    cast_syntax(Expr::value(text.map_or(Value::Null, Value::SingleQuotedString)), sql_type)
}

/// Text that the type reads, and that is fit for a count and for a distance.
fn sample(sql_type: &SqlType) -> String {
    let text = match sql_type {
        SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz => "2000-01-01",
        SqlType::Time => "00:00",
        SqlType::TimeTz => "00:00+00",
        SqlType::Interval => "1 day",
        SqlType::Uuid => "00000000-0000-0000-0000-000000000000",
        SqlType::Array(_) => "{}",
        _ => "1",
    };
    text.to_string()
}

fn text_of(value: &ParameterValue, sql_type: &SqlType, style: &OutputStyle) -> Result<Option<String>, QueryError> {
    let Some(bytes) = &value.bytes else { return Ok(None) };
    if value.format == Format::Text {
        return Ok(Some(String::from_utf8_lossy(bytes).into_owned()));
    }
    let array = decode_parameter(value, sql_type, style)?.to_array();
    Ok(array.ok().and_then(|array| value_text(&array, 0, sql_type, style)))
}

/// For finding out types: what the offsets of frames are to be is asked by calls beside the frames, which are taken
/// away. The percentages of TABLESAMPLE and times of the past get a sample and are returned with their type.
pub(crate) fn open<T: VisitMut>(tree: &mut T) -> Vec<(usize, SqlType)> {
    let mut opener = Opener { percentages: Vec::new() };
    let _ = walk_mut(tree, &mut opener);
    opener.percentages
}

fn number(value: &Expr) -> Option<usize> {
    match value {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => parameter_number(name),
        _ => None,
    }
}

/// Calls `fill` with every expression inside of a place that the planner reads.
struct Filler<F> {
    fill: F,
}

impl<F: FnMut(&mut Expr) -> Result<(), QueryError>> Filler<F> {
    fn inside(&mut self, expression: &mut Expr) -> ControlFlow<QueryError> {
        walk_mut(expression, &mut Inside { fill: &mut self.fill })
    }

    fn window(&mut self, window: &mut WindowSpec) -> ControlFlow<QueryError> {
        offsets(window).into_iter().try_for_each(|offset| self.inside(offset))
    }
}

impl<F: FnMut(&mut Expr) -> Result<(), QueryError>> VisitorMut for Filler<F> {
    type Break = QueryError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        named_windows(select).try_for_each(|window| self.window(window))
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<QueryError> {
        match window_of(expression) {
            Some(window) => self.window(window),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        if let Some(percentage) = percentage(factor) {
            self.inside(percentage)?;
        }
        if let Some(time) = past_time(factor) {
            self.inside(time)?;
        }
        arguments(factor).into_iter().try_for_each(|argument| self.inside(argument))
    }
}

/// Calls `fill` with an expression and all its parts.
struct Inside<'a, F> {
    fill: &'a mut F,
}

impl<F: FnMut(&mut Expr) -> Result<(), QueryError>> VisitorMut for Inside<'_, F> {
    type Break = QueryError;

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<QueryError> {
        match (self.fill)(expression) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

struct Opener {
    percentages: Vec<(usize, SqlType)>,
}

impl VisitorMut for Opener {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        named_windows(select).for_each(open_window);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Some(window) = window_of(expression) {
            open_window(window);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let Some(percentage) = percentage(factor)
            && let Some(number) = number(percentage)
        {
            self.percentages.push((number, SqlType::Float4));
            *percentage = Expr::value(Value::Number("1".into(), false));
        }
        if let Some(time) = past_time(factor)
            && let Some(number) = number(time)
        {
            self.percentages.push((number, SqlType::TimestampTz));
            *time = call("now", Vec::new());
        }
        ControlFlow::Continue(())
    }
}

fn open_window(window: &mut WindowSpec) {
    let Some(frame) = &mut window.window_frame else { return };
    let order = window.order_by.first().filter(|_| frame.units == WindowFrameUnits::Range);
    let order = order.map(|order| order.expr.clone());
    let start = (&mut frame.start_bound, WindowFrameBound::Preceding(None));
    let end = frame.end_bound.as_mut().map(|bound| (bound, WindowFrameBound::Following(None)));
    for (bound, unbounded) in std::iter::once(start).chain(end) {
        let (WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset)) = bound else { continue };
        let Some(offset) = offset.take_if(|offset| mentions_parameter(offset)) else { continue };
        *bound = unbounded;
        let asked = match &order {
            Some(order) => call(VALUE_OFFSET, vec![order.clone(), *offset]),
            None => call(ROW_OFFSET, vec![*offset]),
        };
        window.partition_by.push(asked);
    }
}

fn mentions_parameter(expression: &mut Expr) -> bool {
    let mut found = false;
    let mut look = |part: &mut Expr| {
        found |= number(part).is_some();
        Ok::<(), QueryError>(())
    };
    let _ = walk_mut(expression, &mut Inside { fill: &mut look });
    found
}

fn named_windows(select: &mut Select) -> impl Iterator<Item = &mut WindowSpec> {
    select.named_window.iter_mut().filter_map(|window| match &mut window.1 {
        NamedWindowExpr::WindowSpec(window) => Some(window),
        NamedWindowExpr::NamedWindow(_) => None,
    })
}

fn window_of(expression: &mut Expr) -> Option<&mut WindowSpec> {
    match expression {
        Expr::Function(Function { over: Some(WindowType::WindowSpec(window)), .. }) => Some(window),
        _ => None,
    }
}

fn offsets(window: &mut WindowSpec) -> Vec<&mut Expr> {
    let Some(frame) = &mut window.window_frame else { return Vec::new() };
    let bounds = std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound);
    let offsets = bounds.filter_map(|bound| match bound {
        WindowFrameBound::Preceding(Some(offset)) | WindowFrameBound::Following(Some(offset)) => Some(offset.as_mut()),
        _ => None,
    });
    offsets.collect()
}

fn percentage(factor: &mut TableFactor) -> Option<&mut Expr> {
    let TableFactor::Table { sample: Some(sample), .. } = factor else { return None };
    let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample;
    sample.quantity.as_mut().map(|quantity| &mut quantity.value)
}

fn past_time(factor: &mut TableFactor) -> Option<&mut Expr> {
    match factor {
        TableFactor::Table { version: Some(TableVersion::ForSystemTimeAsOf(time)), .. } => Some(time),
        _ => None,
    }
}

/// Puts now where a parameter says what time is read.
struct Present;

impl VisitorMut for Present {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let Some(time) = past_time(factor)
            && mentions_parameter(time)
        {
            *time = call("now", Vec::new());
        }
        ControlFlow::Continue(())
    }
}

/// The arguments of a function in FROM; `unnest` takes them from rows.
fn arguments(factor: &mut TableFactor) -> Vec<&mut Expr> {
    let (name, arguments) = match factor {
        TableFactor::Table { name, args: Some(arguments), .. } => (name, &mut arguments.args),
        TableFactor::Function { name, args, .. } => (name, args),
        _ => return Vec::new(),
    };
    if name.0.last().and_then(|part| part.as_ident()).is_some_and(|name| fold(name) == "unnest") {
        return Vec::new();
    }
    let values = arguments.iter_mut().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(value), .. } => Some(value),
        _ => None,
    });
    values.collect()
}
