//! Functions over numeric whose result has the digits of their arguments: gcd, lcm and trim_scale.

use super::overload::{Function, Kind, Overload, no_function};
use super::series::value_type;
use super::strings::{Answer, present};
use crate::error::QueryError;
use crate::operators::resolution::as_decimal;
use crate::scan::external;
use crate::types::numeric_overflow;
use arrow::array::{ArrayRef, AsArray, Decimal256Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal256Type, Field, FieldRef, i256};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

const TRIM_SCALE: &str = "trim_scale";

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Numeric, NumericOfArguments};
    let of_two =
        |name, kernel| Function::immutable(name, vec![Overload::new(&[Numeric, Numeric], NumericOfArguments, kernel)]);
    vec![
        of_two("gcd", |columns, _| of_pairs(columns, |left, right| Some(greatest_common_divisor(left, right)))),
        of_two("lcm", |columns, _| of_pairs(columns, least_common_multiple)),
    ]
}

/// Computes on unscaled values of the common scale.
fn of_pairs(columns: &[ArrayRef], body: fn(i256, i256) -> Option<i256>) -> Answer {
    let result_type = value_type(columns);
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

/// `trim_scale(x)`: a constant loses the zeros at its end. The values of a column keep the digits that their type has, because all
/// of them have the same number.
pub(super) fn trim_scale() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(TrimScale::new(false)))
}

/// A call as it is after lowering: a constant, or a function that leaves the type as it is, whatever the optimiser finds out about
/// its argument. `None` for another function.
pub(crate) fn lowered_trim_scale(call: &ScalarFunction) -> Option<Expr> {
    call.func.inner().downcast_ref::<TrimScale>()?;
    if let [Expr::Literal(value, _)] = call.args.as_slice()
        && value.data_type().is_decimal()
        && let Ok(value) = value.cast_to(&trimmed(value, &value.data_type()))
    {
        return Some(Expr::Literal(value, None));
    }
    let function = Arc::new(ScalarUDF::new_from_impl(TrimScale::new(true)));
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(function, call.args.clone())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TrimScale {
    /// Whether the argument is taken for no constant.
    varies: bool,
    signature: Signature,
}

impl TrimScale {
    fn new(varies: bool) -> Self {
        Self { varies, signature: Signature::any(1, Volatility::Immutable) }
    }
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
        let constant = args.scalar_arguments.first().copied().flatten().filter(|_| !self.varies);
        let result = constant.map_or(number.clone(), |value| trimmed(value, &number));
        Ok(Arc::new(Field::new(TRIM_SCALE, result, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args[0].cast_to(args.return_field.data_type(), None)
    }
}

/// The type without the zeros at the end of a constant.
fn trimmed(value: &ScalarValue, number: &DataType) -> DataType {
    let (mut unscaled, scale) = match value {
        ScalarValue::Decimal128(Some(unscaled), _, scale) => (i256::from_i128(*unscaled), *scale),
        ScalarValue::Decimal256(Some(unscaled), _, scale) => (*unscaled, *scale),
        _ => return number.clone(),
    };
    let ten = i256::from_i128(10);
    let mut kept = scale;
    while kept > 0 && unscaled.wrapping_rem(ten) == i256::ZERO {
        unscaled = unscaled.wrapping_div(ten);
        kept -= 1;
    }
    match number {
        DataType::Decimal256(precision, _) => DataType::Decimal256(*precision, kept),
        DataType::Decimal128(precision, _) => DataType::Decimal128(*precision, kept),
        other => other.clone(),
    }
}
