//! Mathematics with PostgreSQL's answers and errors.
//!
//!     whole numbers   mod, gcd, lcm, factorial, sign
//!     numeric         ceil, floor, round and trunc to scale 0, div, scale, min_scale, width_bucket
//!     double          powers, logarithms, trigonometry in radians and degrees
//!
//! All functions are strict. Powers and logarithms of numerics are in `numeric_powers`. Functions whose result has the scale or the type of
//! their argument (`round(numeric, integer)`, `trunc(numeric, integer)`, `mod(numeric, numeric)`) are not here.

use super::overload::{Function, Kind, Overload};
use super::strings::{Answer, present};
use crate::error::{ErrorKind, QueryError};
use crate::types::shown_digits_of;
use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, Decimal128Array, Float64Array, Int32Array, PrimitiveArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, DecimalType, Float64Type, Int16Type, Int32Type,
    Int64Type, i256,
};
use std::f64::consts::LN_2;
use std::sync::Arc;

/// Digits of the numeric results.
const PRECISION: u8 = 38;
/// The last factorial with so many digits.
const FACTORIAL_MAX: i64 = 33;

type Number = Result<f64, QueryError>;

pub(super) fn functions() -> Vec<Function> {
    [whole_numbers(), roundings(), exponentials(), radians(), degrees()].into_iter().flatten().collect()
}

fn whole_numbers() -> Vec<Function> {
    use Kind::{Float8, Int2, Int4, Int8, Numeric, NumericOfScale};
    vec![
        Function::immutable(
            "mod",
            vec![
                Overload::new(&[Int2, Int2], Int2, |c, _| of_pair::<Int16Type>(c, remainder)),
                Overload::new(&[Int4, Int4], Int4, |c, _| of_pair::<Int32Type>(c, remainder)),
                Overload::new(&[Int8, Int8], Int8, |c, _| of_pair::<Int64Type>(c, remainder)),
            ],
        ),
        Function::immutable(
            "gcd",
            vec![
                Overload::new(&[Int4, Int4], Int4, |c, _| of_pair::<Int32Type>(c, greatest_common_divisor)),
                Overload::new(&[Int8, Int8], Int8, |c, _| of_pair::<Int64Type>(c, greatest_common_divisor)),
            ],
        ),
        Function::immutable(
            "lcm",
            vec![
                Overload::new(&[Int4, Int4], Int4, |c, _| of_pair::<Int32Type>(c, least_common_multiple)),
                Overload::new(&[Int8, Int8], Int8, |c, _| of_pair::<Int64Type>(c, least_common_multiple)),
            ],
        ),
        Function::immutable("factorial", vec![Overload::new(&[Int8], NumericOfScale(0), |c, _| factorial(c))]),
        Function::immutable("div", vec![Overload::new(&[Numeric, Numeric], NumericOfScale(0), |c, _| quotient(c))]),
        Function::immutable("scale", vec![Overload::new(&[Numeric], Int4, |c, _| scales(c, shown_scale))]),
        Function::immutable("min_scale", vec![Overload::new(&[Numeric], Int4, |c, _| scales(c, least_scale))]),
        Function::immutable(
            "width_bucket",
            vec![
                Overload::new(&[Float8, Float8, Float8, Int4], Int4, |c, _| bucket_of_floats(c)),
                Overload::new(&[Numeric, Numeric, Numeric, Int4], Int4, |c, _| bucket_of_numerics(c)),
            ],
        ),
    ]
}

fn roundings() -> Vec<Function> {
    use Kind::{Float8, Numeric, NumericOfScale};
    let both = |name, exact, float| {
        let exact = Overload::new(&[Numeric], NumericOfScale(0), exact);
        Function::immutable(name, vec![Overload::new(&[Float8], Float8, float), exact])
    };
    vec![
        both("ceil", |c, _| to_whole(c, Direction::Up), |c, _| of_one(c, |x| Ok(x.ceil()))),
        both("ceiling", |c, _| to_whole(c, Direction::Up), |c, _| of_one(c, |x| Ok(x.ceil()))),
        both("floor", |c, _| to_whole(c, Direction::Down), |c, _| of_one(c, |x| Ok(x.floor()))),
        both("round", |c, _| to_whole(c, Direction::Nearest), |c, _| of_one(c, |x| Ok(x.round_ties_even()))),
        both("trunc", |c, _| to_whole(c, Direction::TowardsZero), |c, _| of_one(c, |x| Ok(x.trunc()))),
        both("sign", |c, _| sign_of_numeric(c), |c, _| of_one(c, |x| Ok(sign(x)))),
    ]
}

/// A function of one double.
fn float(name: &'static str, kernel: super::overload::Kernel) -> Function {
    Function::immutable(name, vec![Overload::new(&[Kind::Float8], Kind::Float8, kernel)])
}

fn float_pair(name: &'static str, kernel: super::overload::Kernel) -> Function {
    Function::immutable(name, vec![Overload::new(&[Kind::Float8, Kind::Float8], Kind::Float8, kernel)])
}

fn exponentials() -> Vec<Function> {
    vec![
        float_pair("power", |c, _| of_two(c, power)),
        float_pair("pow", |c, _| of_two(c, power)),
        float("sqrt", |c, _| of_one(c, square_root)),
        float("cbrt", |c, _| of_one(c, |x| Ok(x.cbrt()))),
        float("exp", |c, _| of_one(c, exponential)),
        float("ln", |c, _| of_one(c, |x| logarithm(x, f64::ln))),
        float("log10", |c, _| of_one(c, |x| logarithm(x, f64::log10))),
        float("log", |c, _| of_one(c, |x| logarithm(x, f64::log10))),
    ]
}

fn radians() -> Vec<Function> {
    vec![
        float("radians", |c, _| of_one(c, |x| in_range(x * RADIANS_PER_DEGREE, x))),
        float("degrees", |c, _| of_one(c, |x| in_range(x / RADIANS_PER_DEGREE, x))),
        float("sin", |c, _| of_one(c, |x| finite(x).map(f64::sin))),
        float("cos", |c, _| of_one(c, |x| finite(x).map(f64::cos))),
        float("tan", |c, _| of_one(c, |x| finite(x).map(f64::tan))),
        float("cot", |c, _| of_one(c, |x| finite(x).map(|x| x.tan().recip()))),
        float("asin", |c, _| of_one(c, |x| within_one(x).map(f64::asin))),
        float("acos", |c, _| of_one(c, |x| within_one(x).map(f64::acos))),
        float("atan", |c, _| of_one(c, |x| Ok(x.atan()))),
        float_pair("atan2", |c, _| of_two(c, |y, x| Ok(y.atan2(x)))),
        float("sinh", |c, _| of_one(c, |x| Ok(x.sinh()))),
        float("cosh", |c, _| of_one(c, |x| Ok(x.cosh()))),
        float("tanh", |c, _| of_one(c, |x| Ok(x.tanh()))),
        float("asinh", |c, _| of_one(c, |x| Ok(inverse_hyperbolic_sine(x)))),
        float("acosh", |c, _| of_one(c, inverse_hyperbolic_cosine)),
        float("atanh", |c, _| of_one(c, |x| within_one(x).map(inverse_hyperbolic_tangent))),
    ]
}

fn degrees() -> Vec<Function> {
    vec![
        float("sind", |c, _| of_one(c, |x| finite(x).map(sine_of_degrees))),
        float("cosd", |c, _| of_one(c, |x| finite(x).map(cosine_of_degrees))),
        float("tand", |c, _| of_one(c, |x| finite(x).map(tangent_of_degrees))),
        float("cotd", |c, _| of_one(c, |x| finite(x).map(cotangent_of_degrees))),
        float("asind", |c, _| of_one(c, |x| within_one(x).map(arc_sine_in_degrees))),
        float("acosd", |c, _| of_one(c, |x| within_one(x).map(arc_cosine_in_degrees))),
        float("atand", |c, _| of_one(c, |x| Ok(x.atan() / 1.0_f64.atan() * 45.0))),
        float_pair("atan2d", |c, _| of_two(c, |y, x| Ok(y.atan2(x) / 1.0_f64.atan() * 45.0))),
    ]
}

pub(super) fn failed(kind: ErrorKind, message: &str) -> QueryError {
    QueryError::new(kind, message)
}

fn out_of_range() -> QueryError {
    failed(ErrorKind::NumericOutOfRange, "input is out of range")
}

fn overflow() -> QueryError {
    failed(ErrorKind::NumericOutOfRange, "value out of range: overflow")
}

fn underflow() -> QueryError {
    failed(ErrorKind::NumericOutOfRange, "value out of range: underflow")
}

pub(super) fn numeric_overflow() -> QueryError {
    failed(ErrorKind::NumericOutOfRange, "value overflows numeric format")
}

pub(super) fn division_by_zero() -> QueryError {
    failed(ErrorKind::DivisionByZero, "division by zero")
}

pub(super) fn integer_out_of_range(data_type: &DataType) -> QueryError {
    let name = match data_type {
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        _ => "bigint",
    };
    QueryError::new(ErrorKind::NumericOutOfRange, format!("{name} out of range"))
}

fn of_one(columns: &[ArrayRef], body: fn(f64) -> Number) -> Answer {
    let numbers: &Float64Array = columns[0].as_primitive();
    let results: Float64Array = numbers.try_unary::<_, Float64Type, QueryError>(body)?;
    Ok(Arc::new(results))
}

fn of_two(columns: &[ArrayRef], body: fn(f64, f64) -> Number) -> Answer {
    of_pair::<Float64Type>(columns, body)
}

fn of_pair<T: ArrowPrimitiveType>(
    columns: &[ArrayRef],
    body: impl Fn(T::Native, T::Native) -> Result<T::Native, QueryError>,
) -> Answer {
    let (left, right) = (columns[0].as_primitive::<T>(), columns[1].as_primitive::<T>());
    let nulls = present(columns);
    let mut results = Vec::with_capacity(left.len());
    for row in 0..left.len() {
        let is_present = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        results.push(if is_present { body(left.value(row), right.value(row))? } else { T::Native::default() });
    }
    Ok(Arc::new(PrimitiveArray::<T>::new(results.into(), nulls)))
}

/// The integers that functions are declared over.
trait Integer: ArrowNativeTypeOp {
    const TYPE: DataType;
    fn magnitude(self) -> u64;
    fn from_magnitude(magnitude: u64) -> Option<Self>;
}

macro_rules! integer {
    ($native:ty, $data_type:expr) => {
        impl Integer for $native {
            const TYPE: DataType = $data_type;

            fn magnitude(self) -> u64 {
                i64::from(self).unsigned_abs()
            }

            fn from_magnitude(magnitude: u64) -> Option<Self> {
                Self::try_from(magnitude).ok()
            }
        }
    };
}

integer!(i16, DataType::Int16);
integer!(i32, DataType::Int32);
integer!(i64, DataType::Int64);

fn remainder<N: Integer>(left: N, right: N) -> Result<N, QueryError> {
    if right.is_zero() { Err(division_by_zero()) } else { Ok(left.mod_wrapping(right)) }
}

fn greatest_common_divisor<N: Integer>(left: N, right: N) -> Result<N, QueryError> {
    N::from_magnitude(common_divisor(left.magnitude(), right.magnitude())).ok_or_else(|| integer_out_of_range(&N::TYPE))
}

fn least_common_multiple<N: Integer>(left: N, right: N) -> Result<N, QueryError> {
    let (left, right) = (left.magnitude(), right.magnitude());
    if left == 0 || right == 0 {
        return Ok(N::ZERO);
    }
    let multiple = (left / common_divisor(left, right)).checked_mul(right);
    multiple.and_then(N::from_magnitude).ok_or_else(|| integer_out_of_range(&N::TYPE))
}

/// Euclid's algorithm.
fn common_divisor(mut left: u64, mut right: u64) -> u64 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

fn numeric_column(results: Vec<Option<i128>>) -> Answer {
    let numbers = Decimal128Array::from(results).with_precision_and_scale(PRECISION, 0);
    Ok(Arc::new(numbers.map_err(|_| numeric_overflow())?))
}

/// A numeric of scale 0, if it has no more digits than results may have.
fn checked_numeric(value: Option<i128>) -> Result<i128, QueryError> {
    value.filter(|value| value.unsigned_abs() < 10_u128.pow(u32::from(PRECISION))).ok_or_else(numeric_overflow)
}

fn factorial(columns: &[ArrayRef]) -> Answer {
    let numbers: &PrimitiveArray<Int64Type> = columns[0].as_primitive();
    let of_number = |number: Option<i64>| match number {
        None => Ok(None),
        Some(..0) => Err(failed(ErrorKind::NumericOutOfRange, "factorial of a negative number is undefined")),
        Some(number) if number > FACTORIAL_MAX => Err(numeric_overflow()),
        Some(number) => Ok(Some((1..=i128::from(number)).product())),
    };
    numeric_column(numbers.iter().map(of_number).collect::<Result<_, _>>()?)
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
    /// Halves away from zero.
    Nearest,
    TowardsZero,
}

fn to_whole(columns: &[ArrayRef], direction: Direction) -> Answer {
    match columns[0].data_type() {
        DataType::Decimal256(_, scale) => {
            let divisor = power_of_ten_256(*scale);
            let numbers = columns[0].as_primitive::<Decimal256Type>();
            whole_column(numbers, |value| whole(value, divisor, direction).to_i128())
        }
        _ => {
            let numbers = columns[0].as_primitive::<Decimal128Type>();
            let divisor = 10_i128.pow(scale_of(&columns[0]).unsigned_abs());
            whole_column(numbers, |value| Some(whole(value, divisor, direction)))
        }
    }
}

fn sign_of_numeric(columns: &[ArrayRef]) -> Answer {
    let sign = |is_positive, is_negative| Some(i128::from(is_positive) - i128::from(is_negative));
    match columns[0].data_type() {
        DataType::Decimal256(..) => whole_column(columns[0].as_primitive::<Decimal256Type>(), |value| {
            sign(value.is_gt(i256::ZERO), value.is_lt(i256::ZERO))
        }),
        _ => whole_column(columns[0].as_primitive::<Decimal128Type>(), |value| sign(value > 0, value < 0)),
    }
}

fn whole_column<T: DecimalType>(numbers: &PrimitiveArray<T>, body: impl Fn(T::Native) -> Option<i128>) -> Answer {
    let of_number = |number: Option<T::Native>| number.map(|number| checked_numeric(body(number))).transpose();
    numeric_column(numbers.iter().map(of_number).collect::<Result<_, _>>()?)
}

/// A value in units of `1 / divisor` as a whole number.
fn whole<N: ArrowNativeTypeOp>(value: N, divisor: N, direction: Direction) -> N {
    let quotient = value.div_wrapping(divisor);
    let rest = value.mod_wrapping(divisor);
    if rest.is_zero() {
        return quotient;
    }
    let is_positive = rest.is_gt(N::ZERO);
    let distance = if is_positive { rest } else { rest.neg_wrapping() };
    let away = match direction {
        Direction::Up => is_positive,
        Direction::Down => !is_positive,
        Direction::Nearest => distance.is_ge(divisor.sub_wrapping(distance)),
        Direction::TowardsZero => false,
    };
    match (away, is_positive) {
        (false, _) => quotient,
        (true, true) => quotient.add_wrapping(N::ONE),
        (true, false) => quotient.sub_wrapping(N::ONE),
    }
}

fn scale_of(column: &ArrayRef) -> i32 {
    match column.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => i32::from((*scale).max(0)),
        _ => 0,
    }
}

fn power_of_ten_256(scale: i8) -> i256 {
    i256::from_i128(10).wrapping_pow(u32::from(scale.max(0).unsigned_abs()))
}

/// A column of numerics, read one by one as wide integers in units of its scale.
pub(super) struct Numerics<'a> {
    column: &'a ArrayRef,
    pub(super) scale: i32,
}

impl<'a> Numerics<'a> {
    pub(super) fn new(column: &'a ArrayRef) -> Self {
        Self { column, scale: scale_of(column) }
    }

    pub(super) fn value(&self, row: usize) -> i256 {
        match self.column.data_type() {
            DataType::Decimal256(..) => self.column.as_primitive::<Decimal256Type>().value(row),
            _ => i256::from_i128(self.column.as_primitive::<Decimal128Type>().value(row)),
        }
    }

    /// The value in units of a larger scale.
    fn scaled(&self, row: usize, scale: i32) -> Result<i256, QueryError> {
        let missing = (scale - self.scale).unsigned_abs();
        let factor = i256::from_i128(10).checked_pow(missing);
        factor.and_then(|factor| self.value(row).checked_mul(factor)).ok_or_else(numeric_overflow)
    }
}

/// `div(a, b)`: the quotient without its fraction.
fn quotient(columns: &[ArrayRef]) -> Answer {
    let (left, right) = (Numerics::new(&columns[0]), Numerics::new(&columns[1]));
    let scale = left.scale.max(right.scale);
    let nulls = present(columns);
    let of_row = |row| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        let divisor = right.scaled(row, scale)?;
        if divisor == i256::ZERO {
            return Err(division_by_zero());
        }
        checked_numeric(left.scaled(row, scale)?.wrapping_div(divisor).to_i128()).map(Some)
    };
    numeric_column((0..columns[0].len()).map(of_row).collect::<Result<_, _>>()?)
}

fn scales(columns: &[ArrayRef], body: fn(i256, i32) -> i32) -> Answer {
    let numbers = Numerics::new(&columns[0]);
    let of_row = |row| columns[0].is_valid(row).then(|| body(numbers.value(row), numbers.scale));
    Ok(Arc::new((0..columns[0].len()).map(of_row).collect::<Int32Array>()))
}

/// Digits after the point that are shown.
fn shown_scale(value: i256, scale: i32) -> i32 {
    i32::from(shown_digits_of(value, scale as i8))
}

/// Digits after the point without trailing zeros.
fn least_scale(mut value: i256, mut scale: i32) -> i32 {
    let ten = i256::from_i128(10);
    while scale > 0 && value.wrapping_rem(ten) == i256::ZERO {
        value = value.wrapping_div(ten);
        scale -= 1;
    }
    scale
}

fn sign(x: f64) -> f64 {
    f64::from(i8::from(x > 0.0) - i8::from(x < 0.0))
}

fn square_root(x: f64) -> Number {
    if x < 0.0 {
        return Err(failed(ErrorKind::InvalidPowerArgument, "cannot take square root of a negative number"));
    }
    Ok(x.sqrt())
}

fn exponential(x: f64) -> Number {
    let result = x.exp();
    if result.is_infinite() && x.is_finite() {
        return Err(overflow());
    }
    if result == 0.0 && x.is_finite() {
        return Err(underflow());
    }
    Ok(result)
}

fn power(base: f64, exponent: f64) -> Number {
    if base == 0.0 && exponent < 0.0 {
        return Err(failed(ErrorKind::InvalidPowerArgument, "zero raised to a negative power is undefined"));
    }
    if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
        let message = "a negative number raised to a non-integer power yields a complex result";
        return Err(failed(ErrorKind::InvalidPowerArgument, message));
    }
    let result = base.powf(exponent);
    if base.is_finite() && exponent.is_finite() {
        if result.is_infinite() {
            return Err(overflow());
        }
        if result == 0.0 && base != 0.0 {
            return Err(underflow());
        }
    }
    Ok(result)
}

fn logarithm(x: f64, function: fn(f64) -> f64) -> Number {
    if x == 0.0 {
        return Err(failed(ErrorKind::InvalidLogarithmArgument, "cannot take logarithm of zero"));
    }
    if x < 0.0 {
        return Err(failed(ErrorKind::InvalidLogarithmArgument, "cannot take logarithm of a negative number"));
    }
    Ok(function(x))
}

fn finite(x: f64) -> Number {
    if x.is_infinite() { Err(out_of_range()) } else { Ok(x) }
}

fn within_one(x: f64) -> Number {
    if x.abs() > 1.0 { Err(out_of_range()) } else { Ok(x) }
}

/// The result of a multiplication by a number near one.
fn in_range(result: f64, argument: f64) -> Number {
    if result.is_infinite() && argument.is_finite() {
        return Err(overflow());
    }
    if result == 0.0 && argument != 0.0 { Err(underflow()) } else { Ok(result) }
}

// The inverse hyperbolic functions are those of fdlibm, which C libraries have; the standard library's differ in their last digits.

/// From here on they are the logarithm of twice the number.
const HYPERBOLIC_LARGE: f64 = 268_435_456.0;
/// Up to here they are the number itself.
const HYPERBOLIC_SMALL: f64 = 1.0 / HYPERBOLIC_LARGE;

fn inverse_hyperbolic_sine(x: f64) -> f64 {
    let size = x.abs();
    if !x.is_finite() || size < HYPERBOLIC_SMALL {
        return x;
    }
    let result = if size > HYPERBOLIC_LARGE {
        size.ln() + LN_2
    } else if size > 2.0 {
        (2.0 * size + 1.0 / ((x * x + 1.0).sqrt() + size)).ln()
    } else {
        let square = x * x;
        (size + square / (1.0 + (1.0 + square).sqrt())).ln_1p()
    };
    result.copysign(x)
}

fn inverse_hyperbolic_cosine(x: f64) -> Number {
    if x < 1.0 {
        return Err(out_of_range());
    }
    Ok(if !x.is_finite() {
        x
    } else if x > HYPERBOLIC_LARGE {
        x.ln() + LN_2
    } else if x > 2.0 {
        (2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt())).ln()
    } else {
        let above = x - 1.0;
        (above + (2.0 * above + above * above).sqrt()).ln_1p()
    })
}

fn inverse_hyperbolic_tangent(x: f64) -> f64 {
    let size = x.abs();
    if size < HYPERBOLIC_SMALL {
        return x;
    }
    let twice = size + size;
    let result = if size < 0.5 {
        0.5 * (twice + twice * size / (1.0 - size)).ln_1p()
    } else {
        0.5 * (twice / (1.0 - size)).ln_1p()
    };
    result.copysign(x)
}

const RADIANS_PER_DEGREE: f64 = 0.017_453_292_519_943_295;

// In degrees the functions are exact at multiples of 30 and 45, as in PostgreSQL's float.c: each is computed near zero and
// divided by its own value at the known angle.

fn sine_to_30(x: f64) -> f64 {
    (x * RADIANS_PER_DEGREE).sin() / (30.0 * RADIANS_PER_DEGREE).sin() / 2.0
}

fn cosine_to_60(x: f64) -> f64 {
    let lost = 1.0 - (x * RADIANS_PER_DEGREE).cos();
    1.0 - lost / (1.0 - (60.0 * RADIANS_PER_DEGREE).cos()) / 2.0
}

/// For angles up to 90.
fn sine_to_90(x: f64) -> f64 {
    if x <= 30.0 { sine_to_30(x) } else { cosine_to_60(90.0 - x) }
}

fn cosine_to_90(x: f64) -> f64 {
    if x <= 60.0 { cosine_to_60(x) } else { sine_to_30(90.0 - x) }
}

/// The angle from 0 to 180 with the same cosine, and the sign that the sine changes by.
fn folded(x: f64) -> (f64, f64) {
    let turned = x % 360.0;
    let (angle, sign) = if turned < 0.0 { (-turned, -1.0) } else { (turned, 1.0) };
    if angle > 180.0 { (360.0 - angle, -sign) } else { (angle, sign) }
}

fn sine_of_degrees(x: f64) -> f64 {
    let (angle, sign) = folded(x);
    sign * sine_to_90(if angle > 90.0 { 180.0 - angle } else { angle })
}

fn cosine_of_degrees(x: f64) -> f64 {
    let (angle, _) = folded(x);
    if angle > 90.0 { -cosine_to_90(180.0 - angle) } else { cosine_to_90(angle) }
}

fn tangent_of_degrees(x: f64) -> f64 {
    let (angle, sign) = folded(x);
    let (angle, sign) = if angle > 90.0 { (180.0 - angle, -sign) } else { (angle, sign) };
    let at_45 = sine_to_90(45.0) / cosine_to_90(45.0);
    // Zero has no sign here.
    sign * (sine_to_90(angle) / cosine_to_90(angle) / at_45) + 0.0
}

fn cotangent_of_degrees(x: f64) -> f64 {
    let (angle, sign) = folded(x);
    let (angle, sign) = if angle > 90.0 { (180.0 - angle, -sign) } else { (angle, sign) };
    let at_45 = cosine_to_90(45.0) / sine_to_90(45.0);
    sign * (cosine_to_90(angle) / sine_to_90(angle) / at_45) + 0.0
}

/// For arguments from 0 to 1.
fn arc_sine_from_zero(x: f64) -> f64 {
    if x <= 0.5 { x.asin() / 0.5_f64.asin() * 30.0 } else { 90.0 - x.acos() / 0.5_f64.acos() * 60.0 }
}

fn arc_cosine_from_zero(x: f64) -> f64 {
    if x <= 0.5 { 90.0 - x.asin() / 0.5_f64.asin() * 30.0 } else { x.acos() / 0.5_f64.acos() * 60.0 }
}

fn arc_sine_in_degrees(x: f64) -> f64 {
    if x >= 0.0 { arc_sine_from_zero(x) } else { -arc_sine_from_zero(-x) }
}

fn arc_cosine_in_degrees(x: f64) -> f64 {
    if x >= 0.0 { arc_cosine_from_zero(x) } else { 90.0 + arc_sine_from_zero(-x) }
}

fn bucket_error(message: &str) -> QueryError {
    failed(ErrorKind::InvalidBucketArgument, message)
}

fn buckets(columns: &[ArrayRef], body: impl Fn(usize, i32) -> Result<i32, QueryError>) -> Answer {
    let counts: &Int32Array = columns[3].as_primitive();
    let nulls = present(columns);
    let of_row = |row| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        match counts.value(row) {
            ..=0 => Err(bucket_error("count must be greater than zero")),
            count => body(row, count).map(Some),
        }
    };
    Ok(Arc::new((0..counts.len()).map(of_row).collect::<Result<Int32Array, QueryError>>()?))
}

fn above_all(count: i32) -> Result<i32, QueryError> {
    count.checked_add(1).ok_or_else(|| integer_out_of_range(&DataType::Int32))
}

fn bucket_of_floats(columns: &[ArrayRef]) -> Answer {
    let values = |position: usize| columns[position].as_primitive::<Float64Type>();
    let (operands, lows, highs) = (values(0), values(1), values(2));
    buckets(columns, |row, count| float_bucket(operands.value(row), lows.value(row), highs.value(row), count))
}

fn float_bucket(operand: f64, low: f64, high: f64, count: i32) -> Result<i32, QueryError> {
    if operand.is_nan() || low.is_nan() || high.is_nan() {
        return Err(bucket_error("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(bucket_error("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(bucket_error("lower bound cannot equal upper bound"));
    }
    // Bounds that fall are those that rise, seen from the other side.
    let (operand, low, high) = if low > high { (-operand, -low, -high) } else { (operand, low, high) };
    if operand < low {
        return Ok(0);
    }
    if operand >= high {
        return above_all(count);
    }
    // Halved where the width of all buckets is beyond the range of double precision.
    let unit = if (high - low).is_infinite() { 0.5 } else { 1.0 };
    let above_low = f64::from(count) * (operand * unit - low * unit) / (high * unit - low * unit);
    // The quotient may be rounded up to the count although the operand is below the bound.
    Ok((above_low as i32).min(count - 1) + 1)
}

fn bucket_of_numerics(columns: &[ArrayRef]) -> Answer {
    let numbers: Vec<Numerics> = columns[..3].iter().map(Numerics::new).collect();
    let scale = numbers.iter().map(|numbers| numbers.scale).max().unwrap_or(0);
    buckets(columns, |row, count| {
        let value = |position: usize| numbers[position].scaled(row, scale);
        numeric_bucket(value(0)?, value(1)?, value(2)?, count)
    })
}

fn numeric_bucket(operand: i256, low: i256, high: i256, count: i32) -> Result<i32, QueryError> {
    if low == high {
        return Err(bucket_error("lower bound cannot equal upper bound"));
    }
    let is_falling = low > high;
    let is_below = if is_falling { operand > low } else { operand < low };
    let is_above = if is_falling { operand <= high } else { operand >= high };
    if is_below {
        return Ok(0);
    }
    if is_above {
        return above_all(count);
    }
    // Both differences have the same sign.
    let distance = operand.checked_sub(low).and_then(|part| part.checked_mul(i256::from_i128(i128::from(count))));
    let width = high.checked_sub(low);
    let (Some(distance), Some(width)) = (distance, width) else { return Err(numeric_overflow()) };
    let bucket = distance.wrapping_div(width).to_i128().and_then(|bucket| i32::try_from(bucket).ok());
    bucket.and_then(|bucket| bucket.checked_add(1)).ok_or_else(|| integer_out_of_range(&DataType::Int32))
}
