//! Products of numerics whose scales together leave no room for the digits before the point.
//!
//! Quotients are kept at a scale that is larger than the digits that they have, so the scale of their product is not the
//! sum of both: it is [`PRODUCT_SCALE`], to which the exact product is rounded.

use super::wide::{narrow, power_of_ten, rounded_quotient, wide};
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, AsArray, Decimal256Array};
use arrow::datatypes::{DataType, Decimal256Type, i256};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::{Arc, LazyLock};

/// The digits after the point that a product of quotients keeps: those of two quotients below one.
pub(crate) const PRODUCT_SCALE: i8 = 40;
/// The function that `*` of such numerics becomes.
pub(crate) const PRODUCT: &str = "meridian_multiply";
const WIDE_DIGITS: u8 = 76;

static MULTIPLY_FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(RoundedProduct::new())));

/// The scalar function that planning puts in for `*` where it rounds.
pub fn product_function() -> Arc<ScalarUDF> {
    Arc::clone(&MULTIPLY_FUNCTION)
}

/// The type of a product that is rounded.
pub(crate) fn product_type() -> DataType {
    DataType::Decimal256(WIDE_DIGITS, PRODUCT_SCALE)
}

/// `left * right` of two `Decimal256`, rounded to [`PRODUCT_SCALE`] digits.
pub(crate) fn product(left: Expr, right: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(product_function(), vec![left, right]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RoundedProduct {
    signature: Signature,
}

impl RoundedProduct {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for RoundedProduct {
    fn name(&self) -> &str {
        PRODUCT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Decimal256(..), DataType::Decimal256(..)] => Ok(types.to_vec()),
            _ => plan_err!("{} takes two wide numerics", self.name()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(product_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalars = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let scale = |array: &dyn Array| match array.data_type() {
            DataType::Decimal256(_, scale) => i32::from(*scale),
            _ => 0,
        };
        let cut = scale(&arrays[0]) + scale(&arrays[1]) - i32::from(PRODUCT_SCALE);
        let (left, right) = (arrays[0].as_primitive::<Decimal256Type>(), arrays[1].as_primitive::<Decimal256Type>());
        let products = left.iter().zip(right.iter()).map(|(left, right)| match (left, right) {
            (Some(left), Some(right)) => multiply(left, right, cut.max(0) as u32).map(Some).map_err(external),
            _ => Ok(None),
        });
        let products = products.collect::<Result<Decimal256Array>>()?;
        products.validate_decimal_precision(WIDE_DIGITS).map_err(|_| external(overflow()))?;
        let products = products.with_precision_and_scale(WIDE_DIGITS, PRODUCT_SCALE)?;
        if scalars {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&products, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(products)))
    }
}

fn overflow() -> QueryError {
    QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format")
}

/// `left · right · 10^-cut`, rounded half away from zero.
fn multiply(left: i256, right: i256, cut: u32) -> std::result::Result<i256, QueryError> {
    let exact = wide(left) * wide(right);
    narrow(&rounded_quotient(&exact, &power_of_ten(cut as usize))).ok_or_else(overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_rounded_away_from_zero_and_refused_beyond_76_digits() {
        let of = |left: i128, right: i128, cut| multiply(i256::from_i128(left), i256::from_i128(right), cut);
        assert_eq!(of(5, 5, 1).unwrap(), i256::from_i128(3));
        assert_eq!(of(-5, 5, 1).unwrap(), i256::from_i128(-3));
        assert_eq!(of(12, 2, 1).unwrap(), i256::from_i128(2));
        assert_eq!(of(i128::MAX, i128::MAX, 0).unwrap_err().kind, ErrorKind::NumericOutOfRange);
    }
}
