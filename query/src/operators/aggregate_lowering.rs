//! Aggregates of one name that compute in several ways: lowering chooses, as it sees what the arguments are.

use super::lowering::{Argument, Lowering};
use crate::error::{ErrorKind, QueryError};
use crate::functions::string_aggregate;
use crate::scan::external;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, WindowFunctionDefinition};
use std::sync::Arc;

impl Lowering<'_> {
    pub(super) fn chosen_aggregate(&self, mut call: AggregateFunction, schema: &DFSchema) -> Result<AggregateFunction> {
        if let Some(chosen) = self.string_aggregate(&call.func, &mut call.params.args, false, schema)? {
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
        let moves = !call.params.window_frame.start_bound.is_unbounded();
        if let WindowFunctionDefinition::AggregateUDF(function) = &call.fun
            && let Some(chosen) = self.string_aggregate(&Arc::clone(function), &mut call.params.args, moves, schema)?
        {
            call.fun = WindowFunctionDefinition::AggregateUDF(chosen);
        }
        Ok(call)
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
