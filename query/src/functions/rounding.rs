//! `round(x, n)` and `trunc(x, n)` of numerics: the result has n digits after the point where n is a constant.
//!
//! Where n comes from a row the value is rounded just so, and shown with the digits that the type of x has.

use super::overload::no_function;
use crate::operators::resolution::as_decimal;
use crate::scan::external;
use crate::types::numeric_overflow;
use arrow::array::{Array, ArrayRef, AsArray, Decimal256Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal256Type, Field, FieldRef, Int32Type, i256};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The names that planning gives to the functions of two arguments.
pub(crate) const ROUND_TO: &str = "round_to";
pub(crate) const TRUNC_TO: &str = "trunc_to";
const DIGITS_MAX: i32 = 76;
/// Digits before the point that zeros behind it leave room for, in a number that may have more.
const WHOLE_DIGITS_KEPT: i32 = 56;

pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    [false, true].map(|truncate| {
        let signature = Signature::any(2, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(RoundTo { truncate, signature }))
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RoundTo {
    truncate: bool,
    signature: Signature,
}

impl ScalarUDFImpl for RoundTo {
    fn name(&self) -> &str {
        if self.truncate { TRUNC_TO } else { ROUND_TO }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the scale depends on the second argument")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let known: Vec<Option<SqlType>> = args.arg_fields.iter().map(|field| SqlType::from_field(field)).collect();
        let number = match known.as_slice() {
            [
                Some(number @ (SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Numeric { .. })),
                Some(SqlType::Int2 | SqlType::Int4 | SqlType::Int8),
            ] => as_decimal(number),
            _ if *args.arg_fields[0].data_type() == DataType::Null => DataType::Decimal128(38, 0),
            _ => return Err(external(no_function(if self.truncate { "trunc" } else { "round" }, &known))),
        };
        let digits = args.scalar_arguments.get(1).copied().flatten().and_then(constant_digits);
        Ok(Arc::new(Field::new(self.name(), rounded_type(&number, digits), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let wide = match args.arg_fields[0].data_type() {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => DataType::Decimal256(76, *scale),
            _ => DataType::Decimal256(76, 0),
        };
        let numbers = cast(&args.args[0].to_array(rows)?, &wide)?;
        let digits = cast(&args.args[1].to_array(rows)?, &DataType::Int32)?;
        let rounded = self.rounded(&numbers, &digits, args.return_field.data_type())?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&rounded, 0)?));
        }
        Ok(ColumnarValue::Array(rounded))
    }
}

impl RoundTo {
    fn rounded(&self, numbers: &ArrayRef, digits: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
        let (precision, scale) = precision_and_scale(to);
        let (_, from_scale) = precision_and_scale(numbers.data_type());
        let overflow = || external(numeric_overflow(precision, scale));
        let numbers = numbers.as_primitive::<Decimal256Type>();
        let digits = digits.as_primitive::<Int32Type>();
        let values = numbers.iter().zip(digits).map(|(number, digits)| match (number, digits) {
            (Some(number), Some(digits)) => {
                let digits = digits.clamp(-DIGITS_MAX, DIGITS_MAX);
                let kept = cut(number, i32::from(from_scale) - digits, self.truncate);
                // What is left counts in units of 10^-digits; a scale finer than the input's needs no cut.
                let unit = digits.min(i32::from(from_scale));
                kept.and_then(|kept| rescaled(kept, i32::from(scale) - unit)).map(Some).ok_or_else(overflow)
            }
            _ => Ok(None),
        });
        let wide: ArrayRef =
            Arc::new(values.collect::<Result<Decimal256Array>>()?.with_precision_and_scale(76, scale)?);
        let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
        arrow::compute::cast_with_options(&wide, to, &options).map_err(|_| overflow())
    }
}

fn constant_digits(value: &ScalarValue) -> Option<i32> {
    let digits = value.cast_to(&DataType::Int32).ok()?;
    match digits {
        ScalarValue::Int32(digits) => digits,
        _ => None,
    }
}

/// n digits after the point, and one more before it than the input has, because rounding may carry.
fn rounded_type(number: &DataType, digits: Option<i32>) -> DataType {
    let (precision, scale) = precision_and_scale(number);
    let whole = i32::from(precision) - i32::from(scale) + 1;
    let to = digits.map_or(i32::from(scale), |digits| digits.clamp(0, DIGITS_MAX));
    // Zeros beyond the digits of the number are shown as far as there is room for them.
    let to = to.min((DIGITS_MAX - whole.min(WHOLE_DIGITS_KEPT)).max(i32::from(scale)));
    let needed = (whole + to).clamp(1, DIGITS_MAX);
    let (needed, to) = (needed.max(to) as u8, to as i8);
    let wide = needed > 38 && (i32::from(precision) > 38 || to > scale);
    if wide { DataType::Decimal256(needed, to) } else { DataType::Decimal128(needed.min(38), to) }
}

fn precision_and_scale(data_type: &DataType) -> (u8, i8) {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => (*precision, *scale),
        _ => (38, 0),
    }
}

/// `number / 10^places`, rounded half away from zero or cut.
fn cut(number: i256, places: i32, truncate: bool) -> Option<i256> {
    if places <= 0 {
        return Some(number);
    }
    let Some(divisor) = i256::from_i128(10).checked_pow(places as u32) else { return Some(i256::ZERO) };
    let (quotient, remainder) = (number.checked_div(divisor)?, number.checked_rem(divisor)?);
    let half = remainder.wrapping_abs() >= divisor.checked_div(i256::from_i128(2))?;
    if truncate || !half {
        return Some(quotient);
    }
    quotient.checked_add(if number.is_negative() { i256::MINUS_ONE } else { i256::ONE })
}

/// `number · 10^places`; places are never negative where digits came from a constant, and cut where they came from a row.
fn rescaled(number: i256, places: i32) -> Option<i256> {
    if places < 0 {
        return cut(number, -places, true);
    }
    number.checked_mul(i256::from_i128(10).checked_pow(places as u32)?)
}
