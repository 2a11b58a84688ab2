//! Percentiles at a place that each group has its own of: functions of the group's values and of the fraction.

use super::ordered_sets::{Answer, Fractions, Values};
use super::overload::no_function;
use super::percentiles::{answer_type, continuous, fraction_type};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    Accumulator, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// `percentile_cont` and `percentile_disc` of an array of values, a fraction or an array of them, and whether the values
/// come in descending order.
pub(crate) const PERCENTILE_CONT_AT: &str = "percentile_cont at";
pub(crate) const PERCENTILE_DISC_AT: &str = "percentile_disc at";

pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    [true, false].map(|continuous| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(PercentileAt { continuous, signature }))
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PercentileAt {
    continuous: bool,
    signature: Signature,
}

impl PercentileAt {
    fn value(&self, values: ArrayRef, fraction: &ScalarValue, descending: bool) -> Result<ScalarValue> {
        let (fractions, data_type) = (Fractions::of(fraction)?, values.data_type().clone());
        let mut accumulator: Box<dyn Accumulator> = if self.continuous {
            continuous(fractions, descending, &data_type)
        } else {
            Box::new(Values::new(Answer::Discrete(fractions), descending, data_type))
        };
        accumulator.update_batch(&[values])?;
        accumulator.evaluate()
    }
}

impl ScalarUDFImpl for PercentileAt {
    fn name(&self) -> &str {
        if self.continuous { PERCENTILE_CONT_AT } else { PERCENTILE_DISC_AT }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let unknown = |value: Option<&DataType>| {
            let name = self.name().trim_end_matches(" at");
            let known = [types.get(1), value].map(|known| known.and_then(SqlType::from_data_type));
            external(no_function(name, &known))
        };
        let [DataType::List(item), fraction, _] = types else { return Err(unknown(None)) };
        let number = item.data_type().is_numeric() || item.data_type().is_null();
        let value = match item.data_type() {
            interval @ DataType::Interval(_) => interval.clone(),
            _ if self.continuous && number => DataType::Float64,
            other if self.continuous => return Err(unknown(Some(other))),
            other => other.clone(),
        };
        let fraction = fraction_type(fraction).ok_or_else(|| unknown(Some(&value)))?;
        let values = DataType::List(Arc::new(Field::new_list_field(value, true)));
        Ok(vec![values, fraction, DataType::Boolean])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            DataType::List(item) => Ok(answer_type(item.data_type(), &types[1])),
            other => Ok(other.clone()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args.args.iter().map(|value| value.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let (lists, fractions, descending) = (columns[0].as_list::<i32>(), &columns[1], columns[2].as_boolean());
        let nothing = ScalarValue::try_from(args.return_field.data_type())?;
        let of_row = |row: usize| {
            let fraction = ScalarValue::try_from_array(fractions, row)?;
            // A fraction is checked also where there are no values.
            let values = if lists.is_null(row) { lists.values().slice(0, 0) } else { lists.value(row) };
            match fraction.is_null() {
                true => Ok(nothing.clone()),
                false => self.value(values, &fraction, descending.value(row)),
            }
        };
        let values = (0..args.number_rows).map(of_row).collect::<Result<Vec<ScalarValue>>>()?;
        if values.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(args.return_field.data_type())));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(values)?))
    }
}
