//! Functions over numeric whose result has the digits of their arguments: gcd, lcm and trim_scale.

use super::overload::{Function, Kind, Overload, no_function};
use super::series::value_type;
use super::strings::{Answer, present};
use crate::error::QueryError;
use crate::operators::resolution::as_decimal;
use crate::scan::external;
use crate::types::numeric_overflow;
use crate::types::shown_digits::QUOTIENT_SCALE;
use arrow::array::{ArrayRef, AsArray, Decimal256Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal256Type, Field, FieldRef, i256};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

const TRIM_SCALE: &str = "trim_scale";

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Numeric, NumericOfArguments, WideNumericOfArguments};
    let of_two =
        |name, kernel| Function::immutable(name, vec![Overload::new(&[Numeric, Numeric], NumericOfArguments, kernel)]);
    let lcm = Overload::new(&[Numeric, Numeric], WideNumericOfArguments, |columns, _| {
        of_pairs(columns, DataType::Decimal256(76, scale_of(columns)), least_common_multiple)
    });
    vec![
        of_two("gcd", |columns, _| {
            of_pairs(columns, value_type(columns), |left, right| Some(greatest_common_divisor(left, right)))
        }),
        Function::immutable("lcm", vec![lcm]),
    ]
}

/// The common scale of some numerics.
fn scale_of(columns: &[ArrayRef]) -> i8 {
    match value_type(columns) {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => scale,
        _ => 0,
    }
}

/// Computes on unscaled values of the common scale.
fn of_pairs(columns: &[ArrayRef], result_type: DataType, body: fn(i256, i256) -> Option<i256>) -> Answer {
    let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) = result_type else {
        unreachable!("{result_type} is no numeric");
    };
    let overflow = || numeric_overflow(precision, scale);
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let wide = |column: &ArrayRef| cast_with_options(column, &DataType::Decimal256(76, scale), &options);
    let left = wide(&columns[0]).map_err(|_| overflow())?;
    let right = wide(&columns[1]).map_err(|_| overflow())?;
    let (left, right) = (left.as_primitive::<Decimal256Type>(), right.as_primitive::<Decimal256Type>());
    let nulls = present(columns);
    let of_row = |row| match &nulls {
        Some(nulls) if nulls.is_null(row) => Ok(None),
        _ => body(left.value(row), right.value(row)).map(Some).ok_or_else(overflow),
    };
    let computed = (0..left.len()).map(of_row).collect::<std::result::Result<Decimal256Array, QueryError>>()?;
    let computed: ArrayRef = Arc::new(computed.with_precision_and_scale(76, scale).map_err(|_| overflow())?);
    cast_with_options(&computed, &result_type, &options).map_err(|_| overflow())
}

/// Euclid's algorithm; never negative.
fn greatest_common_divisor(left: i256, right: i256) -> i256 {
    let (mut left, mut right) = (left.wrapping_abs(), right.wrapping_abs());
    while right != i256::ZERO {
        (left, right) = (right, left.wrapping_rem(right));
    }
    left
}

fn least_common_multiple(left: i256, right: i256) -> Option<i256> {
    if left == i256::ZERO || right == i256::ZERO {
        return Some(i256::ZERO);
    }
    let divisor = greatest_common_divisor(left, right);
    left.wrapping_div(divisor).checked_mul(right).map(i256::wrapping_abs)
}

/// `trim_scale(x)`: a numeric of a type that shows no zeros at its end.
pub(super) fn trim_scale() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(TrimScale { signature: Signature::any(1, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TrimScale {
    signature: Signature,
}

impl ScalarUDFImpl for TrimScale {
    fn name(&self) -> &str {
        TRIM_SCALE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the scale depends on the value")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let known = SqlType::from_field(&args.arg_fields[0]);
        let number = match &known {
            _ if *args.arg_fields[0].data_type() == DataType::Null => DataType::Decimal128(38, 0),
            Some(number @ (SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Numeric { .. })) => {
                as_decimal(number)
            }
            _ => return Err(external(no_function(TRIM_SCALE, &[known]))),
        };
        Ok(Arc::new(Field::new(TRIM_SCALE, trimmed(&number), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args[0].cast_to(args.return_field.data_type(), None)
    }
}

/// The type that shows no zeros at the end, where it has room for the values of another, or that is a quotient's.
fn trimmed(number: &DataType) -> DataType {
    let trimmed = SqlType::numeric().data_type();
    let whole_digits = |data_type: &DataType| match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            (i32::from(*precision) - i32::from(*scale), *scale)
        }
        _ => (0, 0),
    };
    let ((whole, scale), (whole_max, scale_max)) = (whole_digits(number), whole_digits(&trimmed));
    let is_quotient = (QUOTIENT_SCALE..=scale_max).contains(&scale);
    if is_quotient || (whole <= whole_max && scale <= scale_max) { trimmed } else { number.clone() }
}
