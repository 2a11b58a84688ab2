//! `array_agg` of arrays, which makes one of one more dimension: all must be of the same lengths, and none NULL or empty.
//!
//! DataFusion's makes a list of lists of any lengths. That is also how json_agg and its like collect their values, so they ask for it
//! under a name of their own.

use super::arrays::lengths;
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunctionParams, WindowFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};
use std::sync::Arc;

/// What json_agg and its like collect their values with.
pub(crate) const ARRAY_OF_VALUES: &str = "array of values";

/// An array_agg that takes values of any shape, under another name in a plan: the same arguments may be asked for both.
pub(crate) fn of_values(array_agg: &Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(ArrayAggregate { inner: Arc::clone(array_agg), takes: Takes::Values }))
}

/// The array_agg for arguments that are arrays; `None` for another aggregate, and for one that has been chosen.
pub(crate) fn of_arrays(function: &Arc<AggregateUDF>) -> Option<Arc<AggregateUDF>> {
    if function.name() != "array_agg" || function.inner().downcast_ref::<ArrayAggregate>().is_some() {
        return None;
    }
    let chosen = ArrayAggregate { inner: Arc::clone(function), takes: Takes::ArraysOfOneShape };
    Some(Arc::new(AggregateUDF::new_from_impl(chosen)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Takes {
    Values,
    ArraysOfOneShape,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayAggregate {
    inner: Arc<AggregateUDF>,
    takes: Takes,
}

impl ArrayAggregate {
    fn named(&self, name: String) -> String {
        match self.takes {
            Takes::Values => format!("{ARRAY_OF_VALUES} {name}"),
            Takes::ArraysOfOneShape => name,
        }
    }

    fn watched(&self, accumulator: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
        match self.takes {
            Takes::Values => accumulator,
            Takes::ArraysOfOneShape => Box::new(Checked(accumulator)),
        }
    }
}

impl AggregateUDFImpl for ArrayAggregate {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.schema_name(params).map(|name| self.named(name))
    }

    fn window_function_schema_name(&self, params: &WindowFunctionParams) -> Result<String> {
        self.inner.window_function_schema_name(params).map(|name| self.named(name))
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(fields)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(self.watched(self.inner.accumulator(args)?))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(self.watched(self.inner.create_sliding_accumulator(args)?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.takes == Takes::Values && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn with_beneficial_ordering(self: Arc<Self>, is_ordered: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = self.inner.as_ref().clone().with_beneficial_ordering(is_ordered)?;
        Ok(inner.map(|inner| Arc::new(Self { inner: Arc::new(inner), takes: self.takes }) as Arc<dyn AggregateUDFImpl>))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_udf()
    }
}

/// Looks at what another one has collected.
#[derive(Debug)]
struct Checked(Box<dyn Accumulator>);

impl Accumulator for Checked {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let collected = self.0.evaluate()?;
        if let ScalarValue::List(list) = &collected
            && list.is_valid(0)
        {
            check(&list.value(0)).map_err(external)?;
        }
        Ok(collected)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }
}

fn check(arrays: &ArrayRef) -> std::result::Result<(), QueryError> {
    let Some(arrays) = arrays.as_list_opt::<i32>() else { return Ok(()) };
    let mut first = None;
    for row in 0..arrays.len() {
        if arrays.is_null(row) {
            return Err(QueryError::new(ErrorKind::NullNotAllowed, "cannot accumulate null arrays"));
        }
        let shape = lengths(arrays, row);
        let message = match &first {
            None if shape.is_empty() => "cannot accumulate empty arrays",
            Some(first) if *first != shape => "cannot accumulate arrays of different dimensionality",
            _ => {
                first = Some(shape);
                continue;
            }
        };
        return Err(QueryError::new(ErrorKind::ArraySubscript, message));
    }
    Ok(())
}
