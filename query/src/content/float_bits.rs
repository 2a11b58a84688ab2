//! Floats as the integers that their bits are, and back: as keys of groups zeros of either sign would become one.

use arrow::array::{Array, make_array};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use std::sync::Arc;

/// The function that gives the bits of a type of floats; `None` for any other type.
pub(super) fn of(data_type: &DataType) -> Option<ScalarUDF> {
    match data_type {
        DataType::Float32 => Some(cast_bits("bits_of_real", DataType::Float32, DataType::Int32)),
        DataType::Float64 => Some(cast_bits("bits_of_double", DataType::Float64, DataType::Int64)),
        _ => None,
    }
}

/// The function that gives floats of a type for their bits.
pub(super) fn back(data_type: &DataType) -> Option<ScalarUDF> {
    match data_type {
        DataType::Float32 => Some(cast_bits("real_of_bits", DataType::Int32, DataType::Float32)),
        DataType::Float64 => Some(cast_bits("double_of_bits", DataType::Int64, DataType::Float64)),
        _ => None,
    }
}

/// Values of one type as those of another of the same width.
fn cast_bits(name: &str, from: DataType, to: DataType) -> ScalarUDF {
    let target = to.clone();
    let compute = move |arguments: &[ColumnarValue]| -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let values = arrays[0].to_data().into_builder().data_type(target.clone());
        Ok(ColumnarValue::Array(make_array(values.build()?)))
    };
    create_udf(name, vec![from], to, Volatility::Immutable, Arc::new(compute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Float64Array};
    use arrow::datatypes::{Float64Type, Int64Type};
    use datafusion::config::ConfigOptions;
    use datafusion::logical_expr::ScalarFunctionArgs;

    fn called(function: &ScalarUDF, array: ArrayRef) -> ArrayRef {
        let rows = array.len();
        let returned = function.return_type(&[array.data_type().clone()]).unwrap();
        let arguments = ScalarFunctionArgs {
            arg_fields: vec![Arc::new(arrow::datatypes::Field::new("x", array.data_type().clone(), true))],
            args: vec![ColumnarValue::Array(array)],
            number_rows: rows,
            return_field: Arc::new(arrow::datatypes::Field::new("y", returned, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        function.invoke_with_args(arguments).unwrap().into_array(rows).unwrap()
    }

    #[test]
    fn zeros_stay_apart_and_all_come_back() {
        let floats: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(0.0), Some(-0.0), None, Some(f64::NAN), Some(1e300)]));
        let bits = called(&of(&DataType::Float64).unwrap(), Arc::clone(&floats));
        let integers = bits.as_primitive::<Int64Type>();
        assert_ne!(integers.value(0), integers.value(1));
        let back = called(&back(&DataType::Float64).unwrap(), bits);
        let bits_of = |array: &ArrayRef| -> Vec<Option<u64>> {
            array.as_primitive::<Float64Type>().iter().map(|value| value.map(f64::to_bits)).collect()
        };
        assert_eq!(bits_of(&back), bits_of(&floats));
    }
}
