//! Arithmetic that fails where DataFusion's wraps.
//!
//! Both operands have the type that `resolution` gave them. Integers are computed by Arrow's checked kernels; a double that was
//! finite and is not any more is an overflow, as in PostgreSQL, and one that has become zero an underflow.

use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use crate::set_operations::opaque;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum};
use arrow::compute::kernels::numeric;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::borrow::Cow;
use std::num::FpCategory;
use std::sync::Arc;

/// `left operator right` over operands of the types it was resolved for.
pub fn arithmetic_call(operator: Operator, left: Expr, right: Expr, result: DataType) -> Expr {
    let function = Arithmetic { operator, result, signature: Signature::any(2, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![left, right]))
}

/// `-value`
pub(crate) fn negation_call(value: Expr, result: DataType) -> Expr {
    let function = Negation { result, signature: Signature::any(1, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![value]))
}

/// `left # right`. The optimiser knows that what is in it twice leaves it again, and forgets that it may be NULL.
pub(crate) fn exclusive_or(left: Expr, right: Expr) -> Expr {
    opaque(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::BitwiseXor, Box::new(opaque(right)))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    operator: Operator,
    result: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.operator {
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            _ => "%",
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("({} {} {})", args[0].schema_name(), self.name(), args[1].schema_name()))
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("({} {} {})", args[0], self.name(), args[1]))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { unreachable!("arithmetic has two operands") };
        let computed = match (left, right) {
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => self.compute(left, right)?,
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
                self.compute(left, &self.beside(right, left).to_scalar()?)?
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
                self.compute(&self.beside(left, right).to_scalar()?, right)?
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let value = self.compute(&left.to_array()?, &right.to_array()?)?;
                return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&value, 0)?));
            }
        };
        Ok(ColumnarValue::Array(computed))
    }
}

impl Arithmetic {
    /// A constant with as many digits behind the point as the rows beside which it is added or subtracted: with fewer, each of them
    /// would be multiplied by a power of ten, if only by one. The result has the same type and the same values.
    fn beside<'a>(&self, constant: &'a ScalarValue, rows: &ArrayRef) -> Cow<'a, ScalarValue> {
        let is_sum = matches!(self.operator, Operator::Plus | Operator::Minus);
        if let (ScalarValue::Decimal128(Some(value), precision, scale), DataType::Decimal128(_, of_rows)) =
            (constant, rows.data_type())
            && is_sum
            && let Ok(digits) = u8::try_from(i16::from(*of_rows) - i16::from(*scale))
            && precision + digits <= DECIMAL128_MAX_PRECISION
            && let Some(value) = 10_i128.checked_pow(digits.into()).and_then(|factor| value.checked_mul(factor))
        {
            return Cow::Owned(ScalarValue::Decimal128(Some(value), precision + digits, *of_rows));
        }
        Cow::Borrowed(constant)
    }

    fn compute(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
        let computed = match self.operator {
            Operator::Plus => numeric::add(left, right),
            Operator::Minus => numeric::sub(left, right),
            Operator::Multiply => numeric::mul(left, right),
            Operator::Divide => numeric::div(left, right),
            _ => numeric::rem(left, right),
        };
        let computed = computed.map_err(|error| arithmetic_error(error, &self.result))?;
        check_floats(self.operator, &computed, left, right).map_err(external)?;
        let computed = with_one_nan(computed);
        if *computed.data_type() == self.result {
            return Ok(computed);
        }
        // A remainder has no more digits than its narrower operand.
        Ok(cast_with_options(&computed, &self.result, &CastOptions { safe: false, ..CastOptions::default() })?)
    }
}

/// `Infinity - Infinity` is a NaN with a sign, which Arrow's order tells from others.
fn with_one_nan(computed: ArrayRef) -> ArrayRef {
    fn mended<T: ArrowPrimitiveType>(computed: &ArrayRef, is_nan: fn(T::Native) -> bool, nan: T::Native) -> ArrayRef {
        let values = computed.as_primitive::<T>();
        if !values.values().iter().any(|value| is_nan(*value)) {
            return Arc::clone(computed);
        }
        Arc::new(values.unary::<_, T>(|value| if is_nan(value) { nan } else { value }))
    }
    match computed.data_type() {
        DataType::Float64 => mended::<Float64Type>(&computed, f64::is_nan, f64::NAN),
        DataType::Float32 => mended::<Float32Type>(&computed, f32::is_nan, f32::NAN),
        _ => computed,
    }
}

fn arithmetic_error(error: ArrowError, result: &DataType) -> datafusion::common::DataFusionError {
    match error {
        ArrowError::ArithmeticOverflow(_) => external(overflow(result)),
        ArrowError::DivideByZero => external(QueryError::new(ErrorKind::DivisionByZero, "division by zero")),
        other => other.into(),
    }
}

fn overflow(result: &DataType) -> QueryError {
    let message = match SqlType::from_data_type(result) {
        Some(SqlType::Numeric { .. }) => "value overflows numeric format".to_string(),
        Some(SqlType::Float4 | SqlType::Float8) | None => "value out of range: overflow".to_string(),
        Some(integer) => format!("{} out of range", integer.base_name()),
    };
    QueryError::new(ErrorKind::NumericOutOfRange, message)
}

fn check_floats(operator: Operator, computed: &ArrayRef, left: &dyn Datum, right: &dyn Datum) -> Checked {
    match computed.data_type() {
        DataType::Float64 => check_rows::<Float64Type>(operator, computed, left, right, f64::classify),
        DataType::Float32 => check_rows::<Float32Type>(operator, computed, left, right, f32::classify),
        _ => Ok(()),
    }
}

type Checked = std::result::Result<(), QueryError>;

/// What PostgreSQL's `float8_mul` and the like refuse: infinity from finite operands, zero from others, division by zero.
fn check_rows<T: ArrowPrimitiveType>(
    operator: Operator,
    computed: &ArrayRef,
    left: &dyn Datum,
    right: &dyn Datum,
    classify: fn(T::Native) -> FpCategory,
) -> Checked {
    use FpCategory::{Infinite, Nan, Zero};
    let scales = matches!(operator, Operator::Multiply | Operator::Divide);
    let is_open = |kind: FpCategory| matches!(kind, Infinite | Nan) || (scales && kind == Zero);
    let results = computed.as_primitive::<T>();
    if !results.values().iter().any(|value| is_open(classify(*value))) {
        return Ok(());
    }
    let ((left, left_is_one), (right, right_is_one)) = (left.get(), right.get());
    let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
    for row in (0..results.len()).filter(|row| results.is_valid(*row)) {
        let result = classify(results.value(row));
        if !is_open(result) {
            continue;
        }
        let left = classify(left.value(if left_is_one { 0 } else { row }));
        let right = classify(right.value(if right_is_one { 0 } else { row }));
        let divides = operator == Operator::Divide;
        if divides && right == Zero && left != Nan {
            return Err(QueryError::new(ErrorKind::DivisionByZero, "division by zero"));
        }
        if result == Infinite && left != Infinite && (divides || right != Infinite) {
            return Err(overflow(computed.data_type()));
        }
        let vanished = if divides { right != Infinite } else { right != Zero };
        if scales && result == Zero && left != Zero && vanished {
            return Err(QueryError::new(ErrorKind::NumericOutOfRange, "value out of range: underflow"));
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Negation {
    result: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Negation {
    fn name(&self) -> &str {
        "-"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("(- {})", args[0].schema_name()))
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("(- {})", args[0]))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let negate = |array: &ArrayRef| match array.data_type() {
            // A NaN keeps its sign: one that has another is another value to whoever compares bits.
            DataType::Float64 => Ok(Arc::new(
                array
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(|value| if value.is_nan() { value } else { -value }),
            ) as ArrayRef),
            DataType::Float32 => Ok(Arc::new(
                array
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(|value| if value.is_nan() { value } else { -value }),
            ) as ArrayRef),
            _ => numeric::neg(array.as_ref()).map_err(|error| arithmetic_error(error, &self.result)),
        };
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(negate(array)?)),
            ColumnarValue::Scalar(value) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&negate(&value.to_array()?)?, 0)?))
            }
        }
    }
}
