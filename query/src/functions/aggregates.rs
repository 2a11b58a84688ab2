//! Sums and averages as PostgreSQL defines them.
//!
//! Sums of double precision and real are exact until they are rounded once, so they do not depend on the order of rows;
//! see `float_sum`. `sum(bigint)` is numeric and cannot wrap, `sum(smallint | integer)` is bigint; see `checked_sums`.
//!
//! `avg(x)` is planned as [`AVERAGE`]`(`[`AVERAGED`]`(x), count(x))`, and that division is the one that `/` uses for
//! numerics, so a view that keeps sums and counts rounds exactly as its query does. The averaged sum is lowered to
//! `sum`, of a double where x is real: the sum of reals would be rounded too early.

use super::checked_sums::{self, average_digits, sum_type};
use super::distinct::{self, DistinctAccumulator};
use super::extrema::extrema;
use super::float_sums::{self, FloatAccumulator, FloatGroups, SlidingFloatAccumulator};
use super::overload::no_function;
use super::wide;
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, FieldRef, Float32Type, Float64Type, Int64Type, IntervalUnit, i256,
};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, GroupsAccumulator, ReversedUDAF,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::{Arc, LazyLock};

/// The function that `avg` becomes.
pub const AVERAGE: &str = "meridian_average";
/// The aggregate that is averaged: until lowering, `sum` with the type that an average needs.
pub const AVERAGED: &str = "meridian_averaged";
/// The function that `/` between numerics becomes.
pub const DIVIDE: &str = "meridian_divide";
/// Digits after the point of a quotient of numerics.
pub(crate) const QUOTIENT_SCALE: i8 = 16;
/// The types of numerics by their digits.
const NARROW_DIGITS: u8 = 38;
const WIDE_DIGITS: u8 = 76;

/// The exact aggregates, under their SQL names.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [Arc::clone(&EXACT_SUM), Arc::clone(&AVERAGED_SUM)]
        .into_iter()
        .chain(extrema())
        .chain(super::ordered_sets::ordered_sets())
        .chain([super::string_aggregate::function(), super::percentiles::function()])
        .chain(super::sliding::functions())
        .chain(super::statistics::statistics())
        .collect()
}

/// The scalar functions that planning puts in for `avg` and `/`.
pub fn arithmetic_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::clone(&AVERAGE_FUNCTION), Arc::clone(&DIVIDE_FUNCTION)]
}

/// `sum`, which [`AVERAGED`] is lowered to.
pub(crate) fn sum_function() -> Arc<AggregateUDF> {
    Arc::clone(&EXACT_SUM)
}

static EXACT_SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(ExactSum::new(false).into()));
static AVERAGED_SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(ExactSum::new(true).into()));
static AVERAGE_FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Quotient::new(AVERAGE))));
static DIVIDE_FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Quotient::new(DIVIDE))));

/// A sum that is exact, or an error.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactSum {
    /// Whether it is there for an average, and so errors name that.
    averaged: bool,
    signature: Signature,
}

impl ExactSum {
    fn new(averaged: bool) -> Self {
        Self { averaged, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn plain(from: &DataType, sum: &DataType) -> Result<Box<dyn Accumulator>> {
        match from {
            DataType::Float64 => Ok(Box::new(FloatAccumulator::<Float64Type>::new())),
            DataType::Float32 => Ok(Box::new(FloatAccumulator::<Float32Type>::new())),
            _ => checked_sums::accumulator(from, sum),
        }
    }
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        if self.averaged { AVERAGED } else { "sum" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let shown = if self.averaged { "avg" } else { "sum" };
        match types {
            [data_type] if summed(data_type).is_some() => Ok(summed(data_type).into_iter().collect()),
            _ => Err(external(no_function(shown, &types.iter().map(SqlType::from_data_type).collect::<Vec<_>>()))),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Float32] if !self.averaged => Ok(DataType::Float32),
            [DataType::Float32 | DataType::Float64] => Ok(DataType::Float64),
            [data_type] => match summed(data_type).as_ref().and_then(sum_type) {
                Some(sum) => Ok(sum),
                None => plan_err!("there is no sum of {data_type}"),
            },
            _ => plan_err!("a sum has one argument"),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (from, sum) = (args.expr_fields[0].data_type().clone(), args.return_field.data_type().clone());
        if !args.is_distinct {
            return Self::plain(&from, &sum);
        }
        let types = [from.clone()];
        let inner = move || Self::plain(&from, &sum);
        Ok(Box::new(DistinctAccumulator::new(&types, Box::new(inner))?))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return Ok(distinct::state_fields(&args));
        }
        let name = format_state_name(args.name, "sum");
        if args.input_fields[0].data_type().is_floating() {
            return Ok(float_sums::state_fields(&name));
        }
        Ok(vec![checked_sums::state_field(name, args.return_field.data_type())])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match args.expr_fields[0].data_type() {
            DataType::Float64 => Ok(Box::new(FloatGroups::<Float64Type>::new())),
            DataType::Float32 => Ok(Box::new(FloatGroups::<Float32Type>::new())),
            from => checked_sums::groups(from, args.return_field.data_type()),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.expr_fields[0].data_type() {
            DataType::Float64 => Ok(Box::new(SlidingFloatAccumulator::<Float64Type>::new())),
            DataType::Float32 => Ok(Box::new(SlidingFloatAccumulator::<Float32Type>::new())),
            from => checked_sums::accumulator(from, args.return_field.data_type()),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The type that values are summed as; `None` for what has no sum.
fn summed(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::Null => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Duration(_) | DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => data_type.clone(),
        _ => return None,
    })
}

/// `left / right`, exact and rounded half away from zero to [`QUOTIENT_SCALE`] digits for numerics.
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
        // An average is no larger than what was averaged; other quotients may be of any size.
        let is_wide =
            self.name == AVERAGE && average_digits(&types[0]) + i32::from(QUOTIENT_SCALE) > i32::from(NARROW_DIGITS);
        Ok(if is_wide {
            DataType::Decimal256(WIDE_DIGITS, QUOTIENT_SCALE)
        } else {
            DataType::Decimal128(NARROW_DIGITS, QUOTIENT_SCALE)
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalars = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let quotient: ArrayRef = match arrays[0].data_type() {
            DataType::Float64 => Arc::new(divide_floats(&arrays[0], &arrays[1])?),
            _ => divide_numerics(&arrays[0], &arrays[1], args.return_field.data_type())?,
        };
        if scalars {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&quotient, 0)?));
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
            count if by_count => quotient_in_range(left.value(row) + 0.0, count).map(Some).map_err(external),
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
    let (left_scale, right_scale) = (scale_of(left.data_type()), scale_of(right.data_type()));
    let shift = i32::from(QUOTIENT_SCALE) + i32::from(right_scale) - i32::from(left_scale);
    let (left, right) = (wide_values(left), wide_values(right));
    let quotients = left.zip(right).map(|(left, right)| match (left, right) {
        (Some(left), Some(right)) => divide(left, right, shift).map(Some).map_err(external),
        _ => Ok(None),
    });
    if let DataType::Decimal256(precision, scale) = to {
        let quotients = quotients.collect::<Result<Decimal256Array>>()?;
        quotients.validate_decimal_precision(*precision).map_err(|_| external(overflow()))?;
        return Ok(Arc::new(quotients.with_precision_and_scale(*precision, *scale)?));
    }
    let narrow = quotients.map(|quotient| quotient?.map(narrowed).transpose());
    let narrow = narrow.collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(narrow.with_precision_and_scale(NARROW_DIGITS, QUOTIENT_SCALE)?))
}

fn narrowed(value: i256) -> Result<i128> {
    let digits = 10_u128.pow(u32::from(NARROW_DIGITS));
    value.to_i128().filter(|value| value.unsigned_abs() < digits).ok_or_else(|| external(overflow()))
}

fn overflow() -> QueryError {
    QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format")
}

fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
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

/// `left · 10^shift / right`, rounded half away from zero.
fn divide(left: i256, right: i256, shift: i32) -> std::result::Result<i256, QueryError> {
    if right == i256::ZERO {
        return Err(QueryError::new(ErrorKind::DivisionByZero, "division by zero"));
    }
    if let Some(quotient) = divide_narrow(left, right, shift) {
        return Ok(quotient);
    }
    let power = wide::power_of_ten(shift.unsigned_abs() as usize);
    let (left, right) = (wide::wide(left), wide::wide(right));
    let (dividend, divisor) = if shift >= 0 { (left * power, right) } else { (left, right * power) };
    wide::narrow(&wide::rounded_quotient(&dividend, &divisor)).ok_or_else(overflow)
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

/// `left / right` of numerics or doubles.
pub(crate) fn quotient(left: Expr, right: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&DIVIDE_FUNCTION), vec![left, right]))
}
