//! Aggregates of one name that compute in several ways: lowering chooses, as it sees what the arguments are.

use super::contexts::known_function;
use super::lowering::{Argument, Lowering};
use super::modifiers::unmodified;
use super::resolution::{Operand, oid_of};
use crate::error::{ErrorKind, QueryError};
use crate::functions::aggregates::AVERAGED;
use crate::functions::array_aggregates::of_arrays;
use crate::functions::overload::{common_element, differ, no_function};
use crate::functions::string_aggregate;
use crate::scan::external;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, WindowFunctionDefinition};
use std::sync::Arc;

/// Window functions that give back a value of their first argument.
const VALUES_GIVEN_BACK: [&str; 5] = ["first_value", "last_value", "nth_value", "lag", "lead"];

/// Aggregates whose answer is one of the arrays that they are of, or has them as its items.
const ARRAYS_GIVEN_BACK: [&str; 5] = ["array_agg", "max", "min", "mode", "percentile_disc"];

/// Aggregates of intervals that take times too.
const TIMES_AS_INTERVALS: [&str; 3] = ["percentile_cont", "sum", AVERAGED];

/// The array_agg of arrays, where the arguments are some.
fn array_aggregate(
    function: &Arc<AggregateUDF>,
    arguments: &[Expr],
    schema: &DFSchema,
) -> Result<Option<Arc<AggregateUDF>>> {
    match arguments.first() {
        Some(value) if matches!(value.get_type(schema)?, DataType::List(_)) => Ok(of_arrays(function)),
        _ => Ok(None),
    }
}

/// Takes the modifier away that the items of an aggregate's arrays have.
fn unmodified_array(arguments: &mut [Expr], schema: &DFSchema) -> Result<()> {
    if let Some(value) = arguments.first_mut()
        && matches!(value.get_type(schema)?, DataType::List(_))
    {
        *value = unmodified(std::mem::take(value), schema)?;
    }
    Ok(())
}

impl Lowering<'_> {
    pub(super) fn chosen_aggregate(&self, mut call: AggregateFunction, schema: &DFSchema) -> Result<AggregateFunction> {
        if let Some(chosen) = self.string_aggregate(&call.func, &mut call.params.args, false, schema)? {
            call.func = chosen;
        }
        if let Some(chosen) = array_aggregate(&call.func, &call.params.args, schema)? {
            call.func = chosen;
        }
        if ARRAYS_GIVEN_BACK.contains(&call.func.name()) {
            unmodified_array(&mut call.params.args, schema)?;
        }
        if TIMES_AS_INTERVALS.contains(&call.func.name()) {
            self.times_as_intervals(&mut call.params.args, schema)?;
        }
        Ok(call)
    }

    /// Aggregates that know intervals and not times take a time for one.
    fn times_as_intervals(&self, arguments: &mut [Expr], schema: &DFSchema) -> Result<()> {
        let Some(value) = arguments.first_mut() else { return Ok(()) };
        let times = Argument::new(value.clone(), None, schema)?;
        if matches!(times.known, Some(SqlType::Time)) {
            *value = self.met(times, &SqlType::Interval).map_err(external)?;
        }
        Ok(())
    }

    pub(super) fn chosen_window(
        &self,
        mut call: Box<WindowFunction>,
        schema: &DFSchema,
    ) -> Result<Box<WindowFunction>> {
        if call.params.distinct && matches!(call.fun, WindowFunctionDefinition::AggregateUDF(_)) {
            let message = "DISTINCT is not implemented for window functions";
            return Err(external(QueryError::new(ErrorKind::FeatureNotSupported, message)));
        }
        self.settle_default(&mut call, schema)?;
        if VALUES_GIVEN_BACK.contains(&call.fun.name())
            && let Some(value) = call.params.args.first_mut()
        {
            *value = unmodified(std::mem::take(value), schema)?;
        }
        if TIMES_AS_INTERVALS.contains(&call.fun.name()) {
            self.times_as_intervals(&mut call.params.args, schema)?;
        }
        let moves = !call.params.window_frame.start_bound.is_unbounded();
        if let WindowFunctionDefinition::AggregateUDF(function) = &call.fun
            && let Some(chosen) = self.string_aggregate(&Arc::clone(function), &mut call.params.args, moves, schema)?
        {
            call.fun = WindowFunctionDefinition::AggregateUDF(chosen);
        }
        if let WindowFunctionDefinition::AggregateUDF(function) = &call.fun
            && let Some(chosen) = array_aggregate(function, &call.params.args, schema)?
        {
            call.fun = WindowFunctionDefinition::AggregateUDF(chosen);
        }
        if ARRAYS_GIVEN_BACK.contains(&call.fun.name()) {
            unmodified_array(&mut call.params.args, schema)?;
        }
        Ok(call)
    }

    /// The value that `lag` and `lead` give beyond the rows has one type with the others.
    fn settle_default(&self, call: &mut WindowFunction, schema: &DFSchema) -> Result<()> {
        let ("lag" | "lead", [_, _, _]) = (call.fun.name(), call.params.args.as_slice()) else { return Ok(()) };
        let arguments = call.params.args.iter().map(|value| Argument::new(value.clone(), None, schema));
        let arguments = arguments.collect::<Result<Vec<Argument>>>()?;
        let operands: Vec<Operand> = arguments.iter().map(Argument::operand).collect();
        let types: Vec<_> = operands.iter().map(oid_of).collect();
        if known_function(call.fun.name(), &types).map_err(external)?.is_none() {
            return Err(external(no_function(call.fun.name(), &operands)));
        }
        if let (Some(value), Some(default)) = (&operands[0], &operands[2])
            && differ(value, default)
            && let Some(common) = common_element(value, default)
        {
            for (place, argument) in arguments.into_iter().enumerate().filter(|(place, _)| *place != 1) {
                call.params.args[place] = self.met(argument, &common).map_err(external)?;
            }
        }
        Ok(())
    }

    /// The string_agg that collects rows, where the other one does not do: see `functions/string_aggregate`.
    fn string_aggregate(
        &self,
        function: &AggregateUDF,
        arguments: &mut [Expr],
        moves: bool,
        schema: &DFSchema,
    ) -> Result<Option<Arc<AggregateUDF>>> {
        let (Some(by_row), [value, delimiter]) = (string_aggregate::by_row(function), arguments) else {
            return Ok(None);
        };
        let is_bytea = matches!(value.get_type(schema)?, DataType::Binary | DataType::BinaryView);
        let is_constant =
            matches!(delimiter, Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) | ScalarValue::Null, _));
        if is_constant && !is_bytea && !moves {
            return Ok(None);
        }
        let open = Argument::new(delimiter.clone(), None, schema)?;
        if is_bytea && open.known.is_none() {
            *delimiter = self.typed(open, &SqlType::Bytea).map_err(external)?;
        }
        Ok(Some(by_row))
    }
}
