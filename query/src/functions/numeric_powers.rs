//! Powers, roots and logarithms of numerics.
//!
//! Results have 16 digits after the point, and are right in all of them: the library computes as
//! many digits as that needs, correctly rounded. PostgreSQL shows more digits of small results and fewer of large ones.

use super::mathematics::{Numerics, division_by_zero, failed, numeric_overflow};
use super::overload::{Function, Kind, Overload};
use super::strings::{Answer, present};
use super::wide::{narrow, power_of_ten, rounded_quotient, rounded_root, wide};
use crate::error::{ErrorKind, QueryError};
use arrow::array::{ArrayRef, Decimal128Array, Decimal256Array};
use arrow::datatypes::i256;
use dashu_float::round::mode::HalfAway;
use dashu_float::{ConstCache, Context, FBig, Repr};
use dashu_int::IBig;
use std::sync::Arc;

/// Digits after the point of results.
const POWER_SCALE: i8 = 16;
const NARROW_DIGITS: u8 = 38;
const WIDE_DIGITS: u8 = 76;
/// The power of ten that no result reaches.
const EXPONENT_MAX: f64 = (WIDE_DIGITS as i32 - POWER_SCALE as i32) as f64;
/// The power of ten below which a result shows no digit.
const EXPONENT_MIN: f64 = -(POWER_SCALE as f64) - 1.0;
/// Digits that are computed beyond those that are shown.
const GUARD_DIGITS: usize = 12;

type Number = Result<Decimal, QueryError>;

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Numeric, NumericOfScale, WideNumericOfScale};
    const NARROW: Kind = NumericOfScale(POWER_SCALE);
    const WIDE: Kind = WideNumericOfScale(POWER_SCALE);
    let of_one = |name, result, kernel| Function::immutable(name, vec![Overload::new(&[Numeric], result, kernel)]);
    let power = |name| {
        let overload = Overload::new(&[Numeric, Numeric], WIDE, |columns, _| wide_column(columns, power));
        Function::immutable(name, vec![overload])
    };
    let logarithms = vec![
        Overload::new(&[Numeric], NARROW, |columns, _| narrow_column(columns, logarithm_to_ten)),
        Overload::new(&[Numeric, Numeric], NARROW, |columns, _| narrow_column(columns, logarithm_to_base)),
    ];
    vec![
        power("power"),
        power("pow"),
        of_one("sqrt", NARROW, |columns, _| narrow_column(columns, square_root)),
        of_one("exp", WIDE, |columns, _| wide_column(columns, exponential)),
        of_one("ln", NARROW, |columns, _| narrow_column(columns, natural_logarithm)),
        of_one("log10", NARROW, |columns, _| narrow_column(columns, logarithm_to_ten)),
        Function::immutable("log", logarithms),
    ]
}

/// `digits · 10^exponent`
struct Decimal {
    digits: IBig,
    exponent: isize,
}

impl Decimal {
    fn new(value: i256, scale: i32) -> Self {
        Self { digits: wide(value), exponent: -(scale as isize) }
    }

    fn repr(&self) -> Repr<10> {
        Repr::new(self.digits.clone(), self.exponent)
    }

    fn is_negative(&self) -> bool {
        self.digits < IBig::ZERO
    }

    fn is_whole(&self) -> bool {
        self.digits == IBig::ZERO || self.repr().exponent() >= 0
    }

    /// About the value.
    fn approximate(&self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// In units of 10^-[`POWER_SCALE`], rounded half away from zero; `None` for more than 76 digits.
    fn shown(&self) -> Option<i256> {
        let exponent = self.exponent + isize::from(POWER_SCALE);
        let power = power_of_ten(exponent.unsigned_abs());
        narrow(&if exponent >= 0 { &self.digits * power } else { rounded_quotient(&self.digits, &power) })
    }
}

impl From<FBig<HalfAway, 10>> for Decimal {
    fn from(value: FBig<HalfAway, 10>) -> Self {
        let (digits, exponent) = value.into_repr().into_parts();
        Self { digits, exponent }
    }
}

/// How many digits a result about `10^exponent` is computed to.
fn context(exponent: f64) -> Context<HalfAway> {
    let whole = exponent.clamp(0.0, EXPONENT_MAX) as usize + 1;
    Context::new(whole + POWER_SCALE as usize + GUARD_DIGITS)
}

type Body = fn(&[Decimal], &mut ConstCache) -> Number;

fn values(columns: &[ArrayRef], body: Body) -> Result<Vec<Option<i256>>, QueryError> {
    let numbers: Vec<Numerics> = columns.iter().map(Numerics::new).collect();
    let nulls = present(columns);
    let mut constants = ConstCache::new();
    let of_row = |row| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        let arguments: Vec<Decimal> =
            numbers.iter().map(|numbers| Decimal::new(numbers.value(row), numbers.scale)).collect();
        body(&arguments, &mut constants)?.shown().map(Some).ok_or_else(numeric_overflow)
    };
    (0..columns[0].len()).map(of_row).collect()
}

fn narrow_column(columns: &[ArrayRef], body: Body) -> Answer {
    let limit = 10_u128.pow(u32::from(NARROW_DIGITS));
    let narrowed = values(columns, body)?.into_iter().map(|value| match value.map(|value| value.to_i128()) {
        None => Ok(None),
        Some(Some(value)) if value.unsigned_abs() < limit => Ok(Some(value)),
        Some(_) => Err(numeric_overflow()),
    });
    let column = narrowed.collect::<Result<Decimal128Array, QueryError>>()?;
    let column = column.with_precision_and_scale(NARROW_DIGITS, POWER_SCALE);
    Ok(Arc::new(column.map_err(|_| numeric_overflow())?))
}

fn wide_column(columns: &[ArrayRef], body: Body) -> Answer {
    let column: Decimal256Array = values(columns, body)?.into_iter().collect();
    let column = column.with_precision_and_scale(WIDE_DIGITS, POWER_SCALE);
    Ok(Arc::new(column.map_err(|_| numeric_overflow())?))
}

fn square_root(arguments: &[Decimal], _: &mut ConstCache) -> Number {
    let Decimal { digits, exponent } = &arguments[0];
    if *digits < IBig::ZERO {
        return Err(failed(ErrorKind::InvalidPowerArgument, "cannot take square root of a negative number"));
    }
    // Half as many digits after the point as the value has, or as many as are shown.
    let scale = exponent.unsigned_abs().div_ceil(2).max(POWER_SCALE as usize);
    let scaled = digits * power_of_ten(2 * scale - exponent.unsigned_abs());
    let root = rounded_root(scaled.try_into().expect("negative numbers are refused"));
    Ok(Decimal { digits: root.into(), exponent: -(scale as isize) })
}

fn exponential(arguments: &[Decimal], constants: &mut ConstCache) -> Number {
    let exponent = arguments[0].approximate() * std::f64::consts::LOG10_E;
    of_size(exponent, |context| context.exp(&arguments[0].repr(), Some(constants)))
}

fn power(arguments: &[Decimal], constants: &mut ConstCache) -> Number {
    let [base, exponent] = arguments else { unreachable!("power has two arguments") };
    if base.digits.is_zero() && exponent.is_negative() {
        return Err(failed(ErrorKind::InvalidPowerArgument, "zero raised to a negative power is undefined"));
    }
    if base.is_negative() && !exponent.is_whole() {
        let message = "a negative number raised to a non-integer power yields a complex result";
        return Err(failed(ErrorKind::InvalidPowerArgument, message));
    }
    if base.digits.is_zero() || exponent.digits.is_zero() {
        let digits = if exponent.digits.is_zero() { IBig::ONE } else { IBig::ZERO };
        return Ok(Decimal { digits, exponent: 0 });
    }
    let size = base.approximate().abs().log10() * exponent.approximate();
    of_size(size, |context| context.powf(&base.repr(), &exponent.repr(), Some(constants)))
}

/// A result about `10^exponent`, unless that is too large or nothing.
fn of_size(
    exponent: f64,
    compute: impl FnOnce(Context<HalfAway>) -> dashu_float::FpResult<FBig<HalfAway, 10>>,
) -> Number {
    if exponent > EXPONENT_MAX + 1.0 {
        return Err(numeric_overflow());
    }
    if exponent < EXPONENT_MIN - 1.0 {
        return Ok(Decimal { digits: IBig::ZERO, exponent: 0 });
    }
    computed(compute(context(exponent + 1.0)))
}

fn computed(result: dashu_float::FpResult<FBig<HalfAway, 10>>) -> Number {
    // The arguments were checked, so that size is all that is left to fail.
    result.map(|rounded| rounded.value().into()).map_err(|_| numeric_overflow())
}

fn refuse_logarithm(argument: &Decimal) -> Result<(), QueryError> {
    if argument.digits.is_zero() {
        return Err(failed(ErrorKind::InvalidLogarithmArgument, "cannot take logarithm of zero"));
    }
    if argument.is_negative() {
        return Err(failed(ErrorKind::InvalidLogarithmArgument, "cannot take logarithm of a negative number"));
    }
    Ok(())
}

/// No logarithm of a numeric has more digits before the point.
const LOGARITHM_EXPONENT: f64 = 3.0;

fn natural_logarithm(arguments: &[Decimal], constants: &mut ConstCache) -> Number {
    refuse_logarithm(&arguments[0])?;
    computed(context(LOGARITHM_EXPONENT).ln(&arguments[0].repr(), Some(constants)))
}

fn logarithm_to_ten(arguments: &[Decimal], constants: &mut ConstCache) -> Number {
    refuse_logarithm(&arguments[0])?;
    computed(context(LOGARITHM_EXPONENT).log10(&arguments[0].repr(), Some(constants)))
}

fn logarithm_to_base(arguments: &[Decimal], constants: &mut ConstCache) -> Number {
    let [base, number] = arguments else { unreachable!("the logarithm to a base has two arguments") };
    refuse_logarithm(base)?;
    refuse_logarithm(number)?;
    // A base near one makes the quotient as large as its logarithm is small.
    let context = context(EXPONENT_MAX);
    let mut logarithm = |argument: &Decimal| computed(context.ln(&argument.repr(), Some(constants)));
    let (divisor, dividend) = (logarithm(base)?, logarithm(number)?);
    if divisor.digits.is_zero() {
        return Err(division_by_zero());
    }
    computed(context.div(&dividend.repr(), &divisor.repr()))
}
