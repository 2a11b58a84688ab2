//! Arithmetic that fails where DataFusion's wraps.
//!
//! Both operands have the type that `resolution` gave them. Integers are computed by Arrow's checked kernels; a double that was
//! finite and is not any more is an overflow, as in PostgreSQL.

use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// `left operator right` over operands of the types it was resolved for.
pub(crate) fn arithmetic_call(operator: Operator, left: Expr, right: Expr, result: DataType) -> Expr {
    let function = Arithmetic { operator, result, signature: Signature::any(2, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![left, right]))
}

/// `-value`
pub(crate) fn negation_call(value: Expr, result: DataType) -> Expr {
    let function = Negation { result, signature: Signature::any(1, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![value]))
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
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => self.compute(left, &right.to_scalar()?)?,
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => self.compute(&left.to_scalar()?, right)?,
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let value = self.compute(&left.to_array()?, &right.to_array()?)?;
                return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&value, 0)?));
            }
        };
        Ok(ColumnarValue::Array(computed))
    }
}

impl Arithmetic {
    fn compute(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
        let computed = match self.operator {
            Operator::Plus => numeric::add(left, right),
            Operator::Minus => numeric::sub(left, right),
            Operator::Multiply => numeric::mul(left, right),
            Operator::Divide => numeric::div(left, right),
            _ => numeric::rem(left, right),
        };
        let computed = computed.map_err(|error| arithmetic_error(error, &self.result))?;
        check_floats(&computed, left.get().0, right.get().0).map_err(external)?;
        Ok(computed)
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

/// Infinity from finite operands is an overflow.
fn check_floats(computed: &ArrayRef, left: &dyn Array, right: &dyn Array) -> std::result::Result<(), QueryError> {
    let grew = match computed.data_type() {
        DataType::Float64 => {
            let infinite = |array: &dyn Array| {
                array.as_primitive::<Float64Type>().values().iter().any(|value| value.is_infinite())
            };
            infinite(computed) && !infinite(left) && !infinite(right)
        }
        DataType::Float32 => {
            let infinite = |array: &dyn Array| {
                array.as_primitive::<Float32Type>().values().iter().any(|value| value.is_infinite())
            };
            infinite(computed) && !infinite(left) && !infinite(right)
        }
        _ => false,
    };
    if grew { Err(overflow(computed.data_type())) } else { Ok(()) }
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
        let negate =
            |array: &ArrayRef| numeric::neg(array.as_ref()).map_err(|error| arithmetic_error(error, &self.result));
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(negate(array)?)),
            ColumnarValue::Scalar(value) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&negate(&value.to_array()?)?, 0)?))
            }
        }
    }
}
