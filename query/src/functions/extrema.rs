//! min and max of floating-point values, the same whatever the order of rows.
//!
//! NaN is above every number, as in PostgreSQL, and -0 is below 0, so that equal inputs give the same bits. Other types are DataFusion's.

use super::overload::no_function;
use crate::operators::json_operators::is_document;
use crate::operators::modifiers::unmodified_field;
use crate::scan::external;
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};
use std::sync::Arc;

/// `min` and `max` under their SQL names.
pub(super) fn extrema() -> [Arc<AggregateUDF>; 2] {
    let extremum = |inner, greatest| Arc::new(AggregateUDF::new_from_impl(Extremum { inner, greatest }));
    [extremum(min_udaf(), false), extremum(max_udaf(), true)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extremum {
    inner: Arc<AggregateUDF>,
    greatest: bool,
}

impl Extremum {
    fn is_total(args: &AccumulatorArgs) -> bool {
        args.return_field.data_type().is_floating()
    }
}

/// The types that sort but have no `min` and `max` in PostgreSQL.
fn has_no_extremum(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Bool | SqlType::Uuid | SqlType::Bytea)
}

impl AggregateUDFImpl for Extremum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    /// The number of an object stays one.
    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        let is_oid =
            fields.iter().any(|field| matches!(SqlType::from_field(field), Some(SqlType::Oid | SqlType::Reg(_))));
        // So does char(n), while those of varchar are text.
        if let [only] = fields
            && matches!(SqlType::from_field(only), Some(SqlType::Bpchar { .. }))
        {
            return Ok(Arc::new(unmodified_field(only).with_name(self.name())));
        }
        Ok(Arc::new(if is_oid { SqlType::Oid.field(self.name(), true) } else { field }))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let known: Vec<Option<SqlType>> = types.iter().map(SqlType::from_data_type).collect();
        if known.iter().flatten().any(|known| is_document(known) || has_no_extremum(known)) {
            return Err(external(no_function(self.name(), &known)));
        }
        self.inner.coerce_types(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !Self::is_total(&args) {
            return self.inner.accumulator(args);
        }
        let data_type = args.return_field.data_type().clone();
        Ok(Box::new(TotalExtremum { greatest: self.greatest, data_type, value: None }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !Self::is_total(&args) && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        if statistics.return_type.is_floating() {
            return None;
        }
        self.inner.value_from_stats(statistics)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }
}

#[derive(Debug)]
struct TotalExtremum {
    greatest: bool,
    data_type: DataType,
    value: Option<f64>,
}

impl Accumulator for TotalExtremum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let doubles = cast(&values[0], &DataType::Float64)?;
        let doubles = doubles.as_primitive::<Float64Type>();
        for value in doubles.iter().flatten() {
            let value = if value.is_nan() { f64::NAN } else { value };
            let wins = |best: f64| {
                let order = value.total_cmp(&best);
                if self.greatest { order.is_gt() } else { order.is_lt() }
            };
            if self.value.is_none_or(wins) {
                self.value = Some(value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::Float64(self.value).cast_to(&self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}
