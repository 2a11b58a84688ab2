//! Variances and standard deviations of integers and numerics, with the digits that PostgreSQL's
//! `numeric_stddev_internal` computes.

use super::Sums;
use crate::error::{ErrorKind, QueryError};
use crate::functions::wide::{leading_group, narrow, power_of_ten, rounded_quotient, rounded_root, wide};
use crate::scan::external;
use crate::types::shown_digits::{GROUP_DIGITS, SIGNIFICANT_DIGITS};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Int16Type, Int32Type, Int64Type, i256};
use dashu_int::ops::{DivRem, UnsignedAbs};
use dashu_int::{IBig, UBig};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};

/// Digits of a result.
const WIDE_DIGITS: u8 = 76;

/// Words of a number that need no memory of their own.
const WORDS_INLINE: usize = 2;

/// What is asked of the sums.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spread {
    /// Whether the values are a sample of a population.
    pub sample: bool,
    /// Whether the square root is taken.
    pub deviation: bool,
    /// Digits after the point of the values.
    pub scale: i8,
    /// `Decimal256` of the scale that the result is kept at.
    pub result_type: DataType,
}

/// The number of values, their sum and the sum of their squares, in units of the values' last digit. Squares that 256 bits do not
/// hold, those of quotients above a million already, are added up beside the others.
#[derive(Clone, Debug, Default)]
pub(super) struct NumericSums {
    count: i64,
    sum: i256,
    squares: i256,
    large_squares: IBig,
}

fn overflow() -> DataFusionError {
    external(QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format"))
}

fn square(value: i256) -> Option<i256> {
    match value.to_i128().map(i128::unsigned_abs) {
        Some(small) if small <= u128::from(u64::MAX) => Some(i256::from_parts(small * small, 0)),
        _ => value.checked_mul(value),
    }
}

impl Sums for NumericSums {
    type Row = i256;
    type Statistic = Spread;

    fn rows(arguments: &[ArrayRef], each: impl FnMut(usize, i256) -> Result<()>) -> Result<()> {
        let of_small = |value: i128| i256::from_i128(value);
        let column = &arguments[0];
        match column.data_type() {
            DataType::Int16 => each_value::<Int16Type>(column, |value| of_small(value.into()), each),
            DataType::Int32 => each_value::<Int32Type>(column, |value| of_small(value.into()), each),
            DataType::Int64 => each_value::<Int64Type>(column, |value| of_small(value.into()), each),
            DataType::Decimal128(..) => each_value::<Decimal128Type>(column, of_small, each),
            DataType::Decimal256(..) => each_value::<Decimal256Type>(column, |value| value, each),
            other => exec_err!("there is no variance of {other}"),
        }
    }

    fn add(&mut self, row: i256, _: &Spread) -> Result<()> {
        self.count += 1;
        self.sum = self.sum.checked_add(row).ok_or_else(overflow)?;
        match square(row).and_then(|square| self.squares.checked_add(square)) {
            Some(squares) => self.squares = squares,
            None => self.large_squares += wide(row).sqr(),
        }
        Ok(())
    }

    fn subtract(&mut self, row: i256, _: &Spread) -> Result<()> {
        self.count -= 1;
        self.sum = self.sum.checked_sub(row).ok_or_else(overflow)?;
        match square(row).and_then(|square| self.squares.checked_sub(square)) {
            Some(squares) => self.squares = squares,
            None => self.large_squares -= wide(row).sqr(),
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.count += other.count;
        self.sum = self.sum.checked_add(other.sum).ok_or_else(overflow)?;
        match self.squares.checked_add(other.squares) {
            Some(squares) => self.squares = squares,
            None => self.large_squares += wide(other.squares),
        }
        self.large_squares += &other.large_squares;
        Ok(())
    }

    /// Large squares are the bytes behind the others, if there are any.
    fn to_bytes(&self) -> Vec<u8> {
        let large = if self.large_squares.is_zero() { Box::default() } else { self.large_squares.to_le_bytes() };
        [&self.count.to_le_bytes()[..], &self.sum.to_le_bytes(), &self.squares.to_le_bytes(), &large].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let (squares, large) = rest.split_first_chunk()?;
        Some(Self {
            count: i64::from_le_bytes(*count),
            sum: i256::from_le_bytes(*sum),
            squares: i256::from_le_bytes(*squares),
            large_squares: IBig::from_le_bytes(large),
        })
    }

    fn heap_bytes(&self) -> usize {
        self.large_squares.as_sign_words().1.len().saturating_sub(WORDS_INLINE) * size_of::<dashu_int::Word>()
    }

    fn result(&self, spread: &Spread) -> Result<ScalarValue> {
        let divisor = if spread.sample { self.count - 1 } else { self.count };
        if divisor <= 0 {
            return ScalarValue::try_from(&spread.result_type);
        }
        let count = IBig::from(self.count);
        let sum = wide(self.sum);
        let numerator = ((wide(self.squares) + &self.large_squares) * &count - &sum * &sum).unsigned_abs();
        let denominator = (count * IBig::from(divisor)).unsigned_abs();
        let DataType::Decimal256(_, kept) = spread.result_type else {
            return exec_err!("a variance is no {}", spread.result_type);
        };
        let shown = spread_of(numerator, denominator, spread, i64::from(kept));
        let value = narrow(&shown).ok_or_else(overflow)?;
        Ok(ScalarValue::Decimal256(Some(value), WIDE_DIGITS, kept))
    }
}

fn each_value<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    widened: impl Fn(T::Native) -> i256,
    mut each: impl FnMut(usize, i256) -> Result<()>,
) -> Result<()> {
    let column = column.as_primitive::<T>();
    if column.null_count() == 0 {
        return column.values().iter().enumerate().try_for_each(|(row, value)| each(row, widened(*value)));
    }
    let rows = (0..column.len()).filter(|row| column.is_valid(*row));
    { rows }.try_for_each(|row| each(row, widened(column.value(row))))
}

/// The variance `numerator / denominator · 10^(−2 · scale)`, or its root, in units of `10^-kept`.
fn spread_of(numerator: UBig, denominator: UBig, spread: &Spread, kept: i64) -> IBig {
    if numerator.is_zero() {
        return IBig::ZERO;
    }
    let scale = i64::from(spread.scale);
    // PostgreSQL rounds the variance to so many digits before it takes the root: large ones have none after the point.
    let digits = quotient_scale(&numerator, 2 * scale, &denominator).max(2 * scale).max(0);
    let variance = scaled_quotient(&numerator, &denominator, digits - 2 * scale);
    let value =
        if spread.deviation { rounded_root(variance * UBig::from(10u8).pow(digits as usize)) } else { variance };
    match usize::try_from(digits - kept) {
        Ok(more) => rounded_quotient(&value.into(), &power_of_ten(more)),
        Err(_) => IBig::from(value) * power_of_ten((kept - digits) as usize),
    }
}

/// `numerator / denominator · 10^digits`, rounded half up.
fn scaled_quotient(numerator: &UBig, denominator: &UBig, digits: i64) -> UBig {
    let power = UBig::from(10u8).pow(digits.unsigned_abs() as usize);
    let (numerator, denominator) =
        if digits >= 0 { (numerator * power, denominator.clone()) } else { (numerator.clone(), denominator * power) };
    let (quotient, rest) = numerator.div_rem(&denominator);
    if (rest << 1) >= denominator { quotient + UBig::ONE } else { quotient }
}

/// The scale that PostgreSQL's `select_div_scale` gives the quotient of a number with `scale` digits after the point
/// and a whole one.
fn quotient_scale(numerator: &UBig, scale: i64, denominator: &UBig) -> i64 {
    let (weight, first) = leading_group(numerator, scale);
    let (divisor_weight, divisor_first) = leading_group(denominator, 0);
    let quotient_weight = weight - divisor_weight - i64::from(first <= divisor_first);
    i64::from(SIGNIFICANT_DIGITS) - quotient_weight * i64::from(GROUP_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variances_have_postgresql_s_digits() {
        let spread =
            |deviation| Spread { sample: true, deviation, scale: 2, result_type: DataType::Decimal256(76, 16) };
        let mut sums = NumericSums::default();
        for value in [110, 220, 350] {
            sums.add(i256::from_i128(value), &spread(false)).unwrap();
        }
        let shown = |deviation| sums.result(&spread(deviation)).unwrap();
        let expected = |digits| ScalarValue::Decimal256(Some(i256::from_i128(digits)), 76, 16);
        // SELECT variance(x), stddev(x) FROM (VALUES (1.10), (2.20), (3.50)) v(x)
        assert_eq!(shown(false), expected(1_4433333333333333));
        assert_eq!(shown(true), expected(1_2013880860626733));
    }

    #[test]
    fn squares_have_any_size() {
        let spread = Spread { sample: true, deviation: false, scale: 32, result_type: DataType::Decimal256(76, 38) };
        let large = i256::from_i128(10).wrapping_pow(44);
        let mut sums = NumericSums::default();
        for value in [large, i256::from_i128(-7), large.wrapping_neg()] {
            sums.add(value, &spread).unwrap();
        }
        let mut others = NumericSums::from_bytes(&sums.to_bytes()).unwrap();
        others.subtract(i256::from_i128(-7), &spread).unwrap();
        sums.merge(&others).unwrap();
        sums.add(i256::ZERO, &spread).unwrap();
        // SELECT variance(x) FROM (VALUES (1e12), (-1e12), (-7e-32), (1e12), (-1e12), (0)) v(x)
        let expected = i256::from_i128(8).wrapping_mul(i256::from_i128(10).wrapping_pow(23 + 38));
        assert_eq!(sums.result(&spread).unwrap(), ScalarValue::Decimal256(Some(expected), 76, 38));
        sums.subtract(large, &spread).unwrap();
        sums.subtract(large, &spread).unwrap();
        let kept = NumericSums::from_bytes(&sums.to_bytes()).unwrap();
        assert_eq!(kept.large_squares, wide(large).sqr() * IBig::from(2));
    }

    #[test]
    fn large_variances_are_whole() {
        let spread =
            |deviation| Spread { sample: true, deviation, scale: 0, result_type: DataType::Decimal256(76, 16) };
        let mut sums = NumericSums::default();
        for value in [12, -5, 4_000_000_000, 12] {
            sums.add(i256::from_i128(value), &spread(false)).unwrap();
        }
        let shown = |deviation| sums.result(&spread(deviation)).unwrap();
        let whole = |value: i128| {
            let unscaled = i256::from_i128(value).wrapping_mul(i256::from_i128(10_i128.pow(16)));
            ScalarValue::Decimal256(Some(unscaled), 76, 16)
        };
        // SELECT variance(x), stddev(x) FROM (VALUES (12), (-5), (4000000000), (12)) v(x)
        assert_eq!(shown(false), whole(3_999_999_987_333_333_408));
        assert_eq!(shown(true), whole(1_999_999_997));
    }
}
