//! Quotients and averages: `/` of numerics and of doubles, and what `avg` divides.
//!
//! A numeric quotient is rounded half away from zero to the digits that PostgreSQL's `select_div_scale` gives it, and
//! kept at [`QUOTIENT_SCALE`]; `types::shown_digits` says how many of them are shown.

use super::wide::{leading_group, narrow, power_of_ten, rounded_quotient, wide};
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use crate::types::shown_digits::{GROUP_DIGITS, QUOTIENT_SCALE, SIGNIFICANT_DIGITS};
use crate::types::shown_digits_of;
use arrow::array::{Array, ArrayRef, AsArray, Decimal256Array, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Float64Type, Int64Type, i256};
use dashu_int::ops::UnsignedAbs;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::{Arc, LazyLock};

/// The function that `avg` becomes.
pub const AVERAGE: &str = "meridian_average";
/// The function that `/` between numerics becomes.
pub const DIVIDE: &str = "meridian_divide";
const WIDE_DIGITS: u8 = 76;

static AVERAGE_FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Quotient::new(AVERAGE))));
static DIVIDE_FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Quotient::new(DIVIDE))));

/// The scalar functions that planning puts in for `avg` and `/`.
pub fn quotient_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::clone(&AVERAGE_FUNCTION), Arc::clone(&DIVIDE_FUNCTION)]
}

/// The type of `/` between numerics.
pub(crate) fn quotient_type() -> DataType {
    DataType::Decimal256(WIDE_DIGITS, QUOTIENT_SCALE)
}

/// `left / right` of numerics or doubles.
pub(crate) fn quotient(left: Expr, right: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&DIVIDE_FUNCTION), vec![left, right]))
}

/// `left / right`
#[derive(Debug, PartialEq, Eq, Hash)]
struct Quotient {
    name: &'static str,
    signature: Signature,
}

impl Quotient {
    fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Quotient {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = types else { return plan_err!("{} takes two arguments", self.name) };
        if matches!(left, DataType::Interval(_)) {
            // Lowering divides the interval itself.
            return Ok(vec![left.clone(), DataType::Int64]);
        }
        if left.is_floating() || right.is_floating() {
            return Ok(vec![DataType::Float64, if self.name == AVERAGE { DataType::Int64 } else { DataType::Float64 }]);
        }
        let numeric = |data_type: &DataType| match data_type {
            DataType::Decimal128(..) | DataType::Decimal256(..) => data_type.clone(),
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                DataType::Decimal128(*precision, *scale)
            }
            _ => DataType::Decimal128(20, 0),
        };
        Ok(vec![numeric(left), numeric(right)])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if matches!(types[0], DataType::Interval(_)) {
            return Ok(types[0].clone());
        }
        if types[0].is_floating() {
            return Ok(DataType::Float64);
        }
        Ok(quotient_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalars = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let quotient: ArrayRef = match arrays[0].data_type() {
            DataType::Float64 => Arc::new(divide_floats(&arrays[0], &arrays[1])?),
            _ => divide_numerics(&arrays[0], &arrays[1], args.return_field.data_type())?,
        };
        if scalars {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&quotient, 0)?));
        }
        Ok(ColumnarValue::Array(quotient))
    }
}

fn divide_floats(left: &ArrayRef, right: &ArrayRef) -> Result<Float64Array> {
    let left = left.as_primitive::<Float64Type>();
    let by_count = right.data_type() == &DataType::Int64;
    let right = if by_count { cast(right, &DataType::Float64)? } else { Arc::clone(right) };
    let right = right.as_primitive::<Float64Type>();
    let values = (0..left.len()).map(|row| {
        if left.is_null(row) || right.is_null(row) {
            return Ok(None);
        }
        match right.value(row) {
            0.0 if by_count => Ok(None),
            // PostgreSQL begins the sum of an average with 0, so that of negative zeros is 0.
            count if by_count => Ok(Some((left.value(row) + 0.0) / count)),
            0.0 if !left.value(row).is_nan() => {
                Err(external(QueryError::new(ErrorKind::DivisionByZero, "division by zero")))
            }
            divisor => quotient_in_range(left.value(row), divisor).map(Some).map_err(external),
        }
    });
    values.collect()
}

fn quotient_in_range(dividend: f64, divisor: f64) -> std::result::Result<f64, QueryError> {
    let quotient = dividend / divisor;
    let out_of_range =
        |what: &str| Err(QueryError::new(ErrorKind::NumericOutOfRange, format!("value out of range: {what}")));
    if quotient.is_infinite() && !dividend.is_infinite() {
        return out_of_range("overflow");
    }
    if quotient == 0.0 && dividend != 0.0 && !divisor.is_infinite() {
        return out_of_range("underflow");
    }
    Ok(quotient)
}

fn divide_numerics(left: &ArrayRef, right: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal256(precision, scale) = *to else { return plan_err!("a quotient is no {to}") };
    let (left_scale, right_scale) = (scale_of(left.data_type()), scale_of(right.data_type()));
    let divide = |left, right| {
        let dividend = Numeric { value: left, scale: left_scale };
        let divisor = Numeric { value: right, scale: right_scale };
        divide(dividend, divisor, i32::from(scale)).map_err(external)
    };
    let quotients = wide_values(left).zip(wide_values(right)).map(|(left, right)| match (left, right) {
        (Some(left), Some(right)) => divide(left, right).map(Some),
        _ => Ok(None),
    });
    let quotients = quotients.collect::<Result<Decimal256Array>>()?;
    quotients.validate_decimal_precision(precision).map_err(|_| external(overflow()))?;
    Ok(Arc::new(quotients.with_precision_and_scale(precision, scale)?))
}

fn overflow() -> QueryError {
    QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format")
}

fn scale_of(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => i32::from(*scale),
        _ => 0,
    }
}

fn wide_values(array: &ArrayRef) -> Box<dyn Iterator<Item = Option<i256>> + '_> {
    match array.data_type() {
        DataType::Decimal256(..) => Box::new(array.as_primitive::<Decimal256Type>().iter()),
        DataType::Int64 => Box::new(
            array.as_primitive::<Int64Type>().iter().map(|value| value.map(|value| i256::from_i128(i128::from(value)))),
        ),
        _ => Box::new(array.as_primitive::<Decimal128Type>().iter().map(|value| value.map(i256::from_i128))),
    }
}

/// `value · 10^-scale`
#[derive(Clone, Copy, Debug)]
struct Numeric {
    value: i256,
    scale: i32,
}

impl Numeric {
    /// The digits after the point that PostgreSQL keeps of it.
    fn shown_digits(self) -> i32 {
        i32::from(shown_digits_of(self.value, self.scale as i8))
    }

    /// The first group of four digits, counted from the point, that is not zero, and the place of that group.
    fn leading_group(self) -> (i64, u64) {
        let Some(magnitude) = self.value.to_i128().map(i128::unsigned_abs) else {
            return leading_group(&wide(self.value).unsigned_abs(), i64::from(self.scale));
        };
        let Some(digits) = magnitude.checked_ilog10() else { return (0, 0) };
        let weight = (digits as i32 - self.scale).div_euclid(GROUP_DIGITS);
        let below = self.scale + GROUP_DIGITS * weight;
        let power = 10_u128.pow(below.unsigned_abs());
        let first = if below >= 0 { magnitude / power } else { magnitude * power };
        (i64::from(weight), first as u64)
    }
}

/// The digits after the point that PostgreSQL's `select_div_scale` gives a quotient.
fn quotient_digits(dividend: Numeric, divisor: Numeric) -> i32 {
    let ((weight, first), (divisor_weight, divisor_first)) = (dividend.leading_group(), divisor.leading_group());
    let quotient_weight = weight - divisor_weight - i64::from(first <= divisor_first);
    (SIGNIFICANT_DIGITS - quotient_weight as i32 * GROUP_DIGITS)
        .max(dividend.shown_digits())
        .max(divisor.shown_digits())
}

/// `dividend / divisor` in units of `10^-scale`, rounded half away from zero to the digits that PostgreSQL gives it, or to
/// those of a scale that has fewer.
fn divide(dividend: Numeric, divisor: Numeric, scale: i32) -> std::result::Result<i256, QueryError> {
    if divisor.value == i256::ZERO {
        return Err(QueryError::new(ErrorKind::DivisionByZero, "division by zero"));
    }
    let digits = if scale == i32::from(QUOTIENT_SCALE) { quotient_digits(dividend, divisor).min(scale) } else { scale };
    let shift = digits + divisor.scale - dividend.scale;
    let (left, right) = (dividend.value, divisor.value);
    let quotient = match divide_small(left, right, shift).or_else(|| divide_narrow(left, right, shift)) {
        Some(quotient) => quotient,
        None => divide_wide(left, right, shift)?,
    };
    let power = i256::from_i128(10_i128.pow((scale - digits) as u32));
    quotient.checked_mul(power).ok_or_else(overflow)
}

/// `left · 10^shift / right`, rounded half away from zero; `None` where 128 bits do not hold the dividend.
fn divide_small(left: i256, right: i256, shift: i32) -> Option<i256> {
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    let (left, right) = (left.to_i128()?, right.to_i128()?);
    let (dividend, divisor) =
        if shift >= 0 { (left.checked_mul(power)?, right) } else { (left, right.checked_mul(power)?) };
    let (quotient, remainder) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    if remainder.unsigned_abs() < divisor.unsigned_abs() - remainder.unsigned_abs() {
        return Some(i256::from_i128(quotient));
    }
    let away = if (dividend < 0) == (divisor < 0) { 1 } else { -1 };
    Some(i256::from_i128(quotient.checked_add(away)?))
}

/// The same; `None` where 256 bits do not hold the dividend.
fn divide_narrow(left: i256, right: i256, shift: i32) -> Option<i256> {
    let power = i256::from_i128(10).checked_pow(shift.unsigned_abs())?;
    let (dividend, divisor) =
        if shift >= 0 { (left.checked_mul(power)?, right) } else { (left, right.checked_mul(power)?) };
    let (quotient, remainder) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    if remainder.wrapping_abs().checked_mul(i256::from_i128(2))? < divisor.wrapping_abs() {
        return Some(quotient);
    }
    let away = if dividend.is_negative() == divisor.is_negative() { i256::ONE } else { i256::MINUS_ONE };
    quotient.checked_add(away)
}

/// The same of any size.
fn divide_wide(left: i256, right: i256, shift: i32) -> std::result::Result<i256, QueryError> {
    let power = power_of_ten(shift.unsigned_abs() as usize);
    let (left, right) = (wide(left), wide(right));
    let (dividend, divisor) = if shift >= 0 { (left * power, right) } else { (left, right * power) };
    narrow(&rounded_quotient(&dividend, &divisor)).ok_or_else(overflow)
}
