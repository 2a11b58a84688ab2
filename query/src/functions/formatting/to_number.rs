//! to_number, whose result has the digits after the point that its template has.
//!
//! PostgreSQL's result has as many as were read, row by row. A column here has one scale, so it comes from a template that
//! is a literal; other templates get [`OTHER_SCALE`].

use super::super::overload::no_function;
use super::super::result_field;
use super::Templates;
use super::number_reading::{ReadNumber, read_number};
use super::number_template::NumberTemplate;
use crate::error::{ErrorKind, QueryError};
use crate::operators::resolution::{implicit_cost, unknown_field};
use crate::scan::external;
use crate::types::numeric_overflow;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, i256};
use catalog::sql_type::{NUMERIC_PRECISION_MAX, SqlType};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// Digits after the point where the planner does not know the template.
const OTHER_SCALE: i8 = 6;
const NAME: &str = "to_number";
/// Digits of a `Decimal128`.
const LOW_PRECISION: u8 = 38;

/// The function under its SQL name.
pub(in super::super) fn to_number() -> Arc<ScalarUDF> {
    let signature = Signature::any(2, Volatility::Stable);
    Arc::new(ScalarUDF::new_from_impl(ToNumber { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToNumber {
    signature: Signature,
}

impl ScalarUDFImpl for ToNumber {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of to_number depends on its template")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check_arguments(&args).map_err(external)?;
        let template = args.scalar_arguments.get(1).copied().flatten().and_then(literal_text);
        let sql_type = template.map_or(Ok(numeric(LOW_PRECISION, OTHER_SCALE)), type_of_template).map_err(external)?;
        Ok(Arc::new(result_field(NAME, &sql_type)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let mut columns = Vec::with_capacity(args.args.len());
        for argument in &args.args {
            columns.push(cast(&argument.to_array(rows)?, &DataType::Utf8View)?);
        }
        let numbers = read_numbers(&columns, args.return_field.data_type()).map_err(external)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&numbers, 0)?));
        }
        Ok(ColumnarValue::Array(numbers))
    }
}

/// Both arguments are texts.
fn check_arguments(args: &ReturnFieldArgs) -> std::result::Result<(), QueryError> {
    let literals = args.scalar_arguments.iter().copied().chain(std::iter::repeat(None));
    let known: Vec<Option<SqlType>> = args
        .arg_fields
        .iter()
        .zip(literals)
        .map(|(field, literal)| if unknown_field(field, literal) { None } else { SqlType::from_field(field) })
        .collect();
    let fits =
        |known: &Option<SqlType>| known.as_ref().is_none_or(|from| implicit_cost(from, &SqlType::Text).is_some());
    if known.len() == 2 && known.iter().all(fits) { Ok(()) } else { Err(no_function(NAME, &known)) }
}

fn literal_text(literal: &ScalarValue) -> Option<&str> {
    literal.try_as_str().flatten()
}

fn numeric(precision: u8, scale: i8) -> SqlType {
    SqlType::Numeric { precision, scale, declared: false }
}

/// A template that is wrong is so when it is used.
fn type_of_template(text: &str) -> std::result::Result<SqlType, QueryError> {
    let Ok(template) = NumberTemplate::parse(text) else { return Ok(numeric(LOW_PRECISION, OTHER_SCALE)) };
    let scale = template.fraction + template.shift;
    let digits = template.whole + template.shift + scale;
    match (u8::try_from(digits), i8::try_from(scale)) {
        (Ok(..=LOW_PRECISION), Ok(scale)) => Ok(numeric(LOW_PRECISION, scale)),
        (Ok(..=NUMERIC_PRECISION_MAX), Ok(scale)) => Ok(numeric(NUMERIC_PRECISION_MAX, scale)),
        _ => Err(QueryError::new(
            ErrorKind::NumericOutOfRange,
            format!("a numeric value of {digits} digits is not supported"),
        )
        .hint(format!("At most {NUMERIC_PRECISION_MAX} digits are."))),
    }
}

/// Reads a column of texts by a column of templates. An empty template gives NULL.
fn read_numbers(columns: &[ArrayRef], data_type: &DataType) -> std::result::Result<ArrayRef, QueryError> {
    let (precision, scale) = match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => (*precision, *scale),
        _ => (LOW_PRECISION, OTHER_SCALE),
    };
    let texts = columns[0].as_string_view();
    let nulls = super::common_nulls(columns);
    let mut templates = Templates::of_numbers(&columns[1]);
    let mut values: Vec<Option<i256>> = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) || templates.is_empty_at(row) {
            values.push(None);
            continue;
        }
        let number = read_number(templates.at(row)?, texts.value(row))?;
        values.push(Some(unscaled(&number, precision, scale).ok_or_else(|| numeric_overflow(precision, scale))?));
    }
    if precision > LOW_PRECISION {
        let numbers = Decimal256Array::from(values).with_precision_and_scale(precision, scale);
        return numbers.map(|numbers| Arc::new(numbers) as ArrayRef).map_err(|_| numeric_overflow(precision, scale));
    }
    let numbers: Decimal128Array = values.into_iter().map(|value| value.and_then(|value| value.to_i128())).collect();
    let numbers = numbers.with_precision_and_scale(precision, scale);
    numbers.map(|numbers| Arc::new(numbers) as ArrayRef).map_err(|_| numeric_overflow(precision, scale))
}

/// The unscaled integer at a scale, rounded half away from zero; `None` where the precision does not suffice.
fn unscaled(number: &ReadNumber, precision: u8, scale: i8) -> Option<i256> {
    let zeros = number.digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = &number.digits[zeros..];
    let kept = digits.len() as i64 + i64::from(scale) - number.scale as i64;
    if !digits.is_empty() && kept > i64::from(precision) {
        return None;
    }
    let ten = i256::from_i128(10);
    let mut value = i256::ZERO;
    for index in 0..usize::try_from(kept).unwrap_or(0) {
        let digit = digits.get(index).map_or(0, |digit| digit - b'0');
        value = value.wrapping_mul(ten).wrapping_add(i256::from_i128(i128::from(digit)));
    }
    let next = usize::try_from(kept).ok().and_then(|kept| digits.get(kept));
    if next.is_some_and(|digit| *digit >= b'5') {
        value = value.wrapping_add(i256::ONE);
    }
    if value >= ten.wrapping_pow(u32::from(precision)) {
        return None;
    }
    Some(if number.negative { value.wrapping_neg() } else { value })
}
