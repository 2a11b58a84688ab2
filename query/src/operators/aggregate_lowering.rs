//! Aggregates of one name that compute in several ways: lowering chooses, as it sees what the arguments are.

use super::casts::{CastContext, cast_call};
use super::contexts::known_function;
use super::lowering::{Argument, Lowering};
use super::modifiers::unmodified;
use super::resolution::{Operand, oid_of};
use crate::error::{ErrorKind, QueryError};
use crate::functions::array_aggregates::of_arrays;
use crate::functions::overload::no_function;
use crate::functions::string_aggregate;
use crate::scan::external;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, LogicalPlan, Projection, WindowFunctionDefinition};
use std::sync::Arc;

/// Window functions that give back a value of their first argument.
const VALUES_GIVEN_BACK: [&str; 5] = ["first_value", "last_value", "nth_value", "lag", "lead"];

/// Arrays of varchar and char(n) say what their items are, which `array_agg` forgets.
pub(super) fn with_item_types(node: LogicalPlan, context: &CastContext) -> Result<LogicalPlan> {
    let calls: Vec<&Expr> = match &node {
        LogicalPlan::Aggregate(aggregate) => aggregate.aggr_expr.iter().collect(),
        LogicalPlan::Window(window) => window.window_expr.iter().collect(),
        _ => return Ok(node),
    };
    let input = merge_schema(&node.inputs());
    let types = calls.into_iter().map(|call| item_type(call, &input)).collect::<Result<Vec<_>>>()?;
    if types.iter().all(Option::is_none) {
        return Ok(node);
    }
    let first = node.schema().fields().len() - types.len();
    let shown = node.schema().iter().enumerate().map(|(index, (qualifier, field))| {
        let column = Expr::from((qualifier, field));
        match index.checked_sub(first).and_then(|index| types[index].clone()) {
            Some(item) => {
                let plain = SqlType::Array(Box::new(SqlType::Text));
                let named = cast_call(column, plain, SqlType::Array(Box::new(item)), context);
                let named = unmodified(named, node.schema())?;
                Ok(named.alias_qualified(qualifier.cloned(), field.name()))
            }
            None => Ok(column),
        }
    });
    let shown = shown.collect::<Result<Vec<_>>>()?;
    Projection::try_new(shown, Arc::new(node)).map(LogicalPlan::Projection)
}

/// The type of the items that an `array_agg` collects, where their Arrow type does not say it.
fn item_type(call: &Expr, input: &DFSchema) -> Result<Option<SqlType>> {
    let (name, arguments) = match call {
        Expr::Alias(alias) => return item_type(&alias.expr, input),
        Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
        Expr::WindowFunction(call) => (call.fun.name(), &call.params.args),
        _ => return Ok(None),
    };
    let ("array_agg", Some(value)) = (name, arguments.first()) else { return Ok(None) };
    let (_, field) = value.to_field(input)?;
    Ok(match SqlType::from_field(&field) {
        Some(SqlType::Varchar { .. }) => Some(SqlType::Varchar { length_max: None }),
        Some(SqlType::Bpchar { length }) => Some(SqlType::Bpchar { length }),
        _ => None,
    })
}

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

impl Lowering<'_> {
    pub(super) fn chosen_aggregate(&self, mut call: AggregateFunction, schema: &DFSchema) -> Result<AggregateFunction> {
        if let Some(chosen) = self.string_aggregate(&call.func, &mut call.params.args, false, schema)? {
            call.func = chosen;
        }
        if let Some(chosen) = array_aggregate(&call.func, &call.params.args, schema)? {
            call.func = chosen;
        }
        Ok(call)
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
        self.check_default(&call, schema)?;
        if VALUES_GIVEN_BACK.contains(&call.fun.name())
            && let Some(value) = call.params.args.first_mut()
        {
            *value = unmodified(std::mem::take(value), schema)?;
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
        Ok(call)
    }

    /// The value that `lag` and `lead` give beyond the rows is of a type that goes together with that of the others.
    fn check_default(&self, call: &WindowFunction, schema: &DFSchema) -> Result<()> {
        let ("lag" | "lead", [_, _, _]) = (call.fun.name(), call.params.args.as_slice()) else { return Ok(()) };
        let operands = call.params.args.iter().map(|value| Ok(Argument::new(value.clone(), None, schema)?.operand()));
        let operands = operands.collect::<Result<Vec<Operand>>>()?;
        let types: Vec<_> = operands.iter().map(oid_of).collect();
        match known_function(call.fun.name(), &types).map_err(external)? {
            Some(_) => Ok(()),
            None => Err(external(no_function(call.fun.name(), &operands))),
        }
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
