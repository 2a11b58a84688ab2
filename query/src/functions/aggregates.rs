//! Sums and averages as PostgreSQL defines them.
//!
//! Sums of double precision are exact until they are rounded once, so they do not depend on the order of rows; see `float_sum`.
//! `sum(bigint)` is numeric and cannot wrap, `sum(smallint | integer)` is bigint. `avg(x)` is planned as
//! [`AVERAGE`]`(sum(x), count(x))`, and that division is the one that `/` uses for numerics, so a view that keeps sums and counts
//! rounds exactly as its query does.

use super::casting::{CastingAccumulator, CastingGroups};
use super::extrema::extrema;
use super::float_sums::{FloatAccumulator, FloatGroups, state_field};
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, FieldRef, Float64Type, Int64Type, i256};
use datafusion::common::{Result, plan_err};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, GroupsAccumulator, ReversedUDAF,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::{Arc, LazyLock};

/// The function that `avg` becomes.
pub const AVERAGE: &str = "meridian_average";
/// The function that `/` between numerics becomes.
pub const DIVIDE: &str = "meridian_divide";
/// Digits after the point of a quotient of numerics.
pub(crate) const QUOTIENT_SCALE: i8 = 16;

/// The exact aggregates, under their SQL names.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    std::iter::once(Arc::clone(&EXACT_SUM)).chain(extrema()).chain(super::ordered_sets::ordered_sets()).collect()
}

/// The scalar functions that planning puts in for `avg` and `/`.
pub fn arithmetic_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::clone(&AVERAGE_FUNCTION), Arc::clone(&DIVIDE_FUNCTION)]
}

static EXACT_SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(ExactSum { signature, inner: sum_udaf() }))
});
static AVERAGE_FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Quotient::new(AVERAGE))));
static DIVIDE_FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Quotient::new(DIVIDE))));

/// DataFusion's sum over a type that holds the result.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactSum {
    signature: Signature,
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [data_type] = types else { return plan_err!("function sum(…) takes one argument") };
        let kept = match data_type {
            data_type if data_type.is_integer() => data_type.clone(),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
            DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Duration(_) | DataType::Interval(_) => {
                data_type.clone()
            }
            DataType::Null => DataType::Int64,
            other => {
                let shown = catalog::sql_type::SqlType::from_data_type(other)
                    .map_or_else(|| "unknown".into(), |known| known.base_name());
                let error =
                    QueryError::new(ErrorKind::UndefinedFunction, format!("function sum({shown}) does not exist"));
                return Err(external(error.hint(
                    "No function matches the given name and argument types. You might need to add explicit type casts.",
                )));
            }
        };
        Ok(vec![kept])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types {
            [data_type] if accumulated(data_type) != *data_type => match accumulated(data_type) {
                DataType::Decimal128(_, scale) => DataType::Decimal128(38, scale),
                DataType::Decimal256(_, scale) => DataType::Decimal256(76, scale),
                other => other,
            },
            [DataType::Decimal128(_, scale)] => DataType::Decimal128(38, *scale),
            [DataType::Decimal256(_, scale)] => DataType::Decimal256(76, *scale),
            _ => self.inner.return_type(types)?,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if *args.expr_fields[0].data_type() == DataType::Float64 && !args.is_distinct {
            return Ok(Box::new(FloatAccumulator::default()));
        }
        let to = accumulated(args.expr_fields[0].data_type());
        Ok(Box::new(CastingAccumulator { inner: self.inner.accumulator(args)?, to }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if *args.input_fields[0].data_type() == DataType::Float64 && !args.is_distinct {
            return Ok(vec![state_field(format_state_name(args.name, "sum"))]);
        }
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        if *args.expr_fields[0].data_type() == DataType::Float64 && !args.is_distinct {
            return true;
        }
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if *args.expr_fields[0].data_type() == DataType::Float64 {
            return Ok(Box::new(FloatGroups::default()));
        }
        let to = accumulated(args.expr_fields[0].data_type());
        Ok(Box::new(CastingGroups { inner: self.inner.create_groups_accumulator(args)?, to }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if *args.expr_fields[0].data_type() == DataType::Float64 && !args.is_distinct {
            return Ok(Box::new(FloatAccumulator::default()));
        }
        let to = accumulated(args.expr_fields[0].data_type());
        Ok(Box::new(CastingAccumulator { inner: self.inner.create_sliding_accumulator(args)?, to }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// The type that sums of a type are computed in. Ten digits more than a value has hold ten thousand million of them.
fn accumulated(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => DataType::Int64,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => DataType::Decimal128(38, 0),
        DataType::Decimal128(precision, scale) if *precision > 28 => DataType::Decimal256(76, *scale),
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        DataType::Decimal256(_, scale) => DataType::Decimal256(76, *scale),
        other => other.clone(),
    }
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
        Ok(if types[0].is_floating() { DataType::Float64 } else { DataType::Decimal128(38, QUOTIENT_SCALE) })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalars = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let quotient: ArrayRef = match arrays[0].data_type() {
            DataType::Float64 => Arc::new(divide_floats(&arrays[0], &arrays[1])?),
            _ => Arc::new(divide_numerics(&arrays[0], &arrays[1])?),
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
            0.0 => Err(external(QueryError::new(ErrorKind::DivisionByZero, "division by zero"))),
            divisor => Ok(Some(left.value(row) / divisor)),
        }
    });
    values.collect()
}

fn divide_numerics(left: &ArrayRef, right: &ArrayRef) -> Result<Decimal128Array> {
    let (left_scale, right_scale) = (scale_of(left.data_type()), scale_of(right.data_type()));
    let shift = i32::from(QUOTIENT_SCALE) + i32::from(right_scale) - i32::from(left_scale);
    let (left, right) = (wide_values(left), wide_values(right));
    let quotients = left.zip(right).map(|(left, right)| match (left, right) {
        (Some(left), Some(right)) => divide(left, right, shift).map(Some).map_err(external),
        _ => Ok(None),
    });
    Ok(quotients.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(38, QUOTIENT_SCALE)?)
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
fn divide(left: i256, right: i256, shift: i32) -> std::result::Result<i128, QueryError> {
    if right == i256::ZERO {
        return Err(QueryError::new(ErrorKind::DivisionByZero, "division by zero"));
    }
    let overflow = || QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format");
    let ten = i256::from_i128(10);
    let power = ten.checked_pow(shift.unsigned_abs()).ok_or_else(overflow)?;
    let (dividend, divisor) = if shift >= 0 {
        (left.checked_mul(power).ok_or_else(overflow)?, right)
    } else {
        (left, right.checked_mul(power).ok_or_else(overflow)?)
    };
    let quotient = dividend.checked_div(divisor).ok_or_else(overflow)?;
    let remainder = dividend.checked_rem(divisor).ok_or_else(overflow)?;
    let doubled = remainder.wrapping_abs().checked_mul(i256::from_i128(2)).ok_or_else(overflow)?;
    let away = if doubled >= divisor.wrapping_abs() {
        if dividend.is_negative() == divisor.is_negative() { 1 } else { -1 }
    } else {
        0
    };
    let rounded = quotient.checked_add(i256::from_i128(away)).ok_or_else(overflow)?;
    let narrow = rounded.to_i128().ok_or_else(overflow)?;
    if narrow.unsigned_abs() >= 10_u128.pow(38) { Err(overflow()) } else { Ok(narrow) }
}

/// `left / right` of numerics or doubles.
pub(crate) fn quotient(left: Expr, right: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&DIVIDE_FUNCTION), vec![left, right]))
}
