//! Whole numbers without limit, for what 256 bits do not hold on the way to a numeric.

use arrow::datatypes::i256;
use dashu_int::ops::{Abs, DivRem, SquareRoot};
use dashu_int::{IBig, Sign, UBig};

/// Decimal digits of one of PostgreSQL's digits.
const GROUP_DIGITS: i64 = 4;
/// The most digits of a numeric.
const DIGITS_MAX: usize = 76;

pub(super) fn wide(value: i256) -> IBig {
    match value.to_i128() {
        Some(value) => IBig::from(value),
        None => IBig::from_le_bytes(&value.to_le_bytes()),
    }
}

/// The number in 256 bits; `None` for more than 76 digits.
pub(super) fn narrow(value: &IBig) -> Option<i256> {
    if let Ok(value) = i128::try_from(value) {
        return Some(i256::from_i128(value));
    }
    if value.clone().abs() >= power_of_ten(DIGITS_MAX) {
        return None;
    }
    let fill = if value.sign() == Sign::Negative { 0xff } else { 0 };
    let mut bytes = [fill; 32];
    let written = value.to_le_bytes();
    bytes[..written.len()].copy_from_slice(&written);
    Some(i256::from_le_bytes(bytes))
}

pub(super) fn power_of_ten(exponent: usize) -> IBig {
    IBig::from(10).pow(exponent)
}

/// `dividend / divisor`, rounded half away from zero. The divisor is not zero.
pub(super) fn rounded_quotient(dividend: &IBig, divisor: &IBig) -> IBig {
    let (quotient, rest) = dividend.div_rem(divisor);
    if (rest << 1).abs() < divisor.clone().abs() {
        return quotient;
    }
    let away = if dividend.sign() == divisor.sign() { IBig::ONE } else { IBig::NEG_ONE };
    quotient + away
}

/// The square root, rounded; no whole number's is halfway.
pub(super) fn rounded_root(value: UBig) -> UBig {
    let root = value.sqrt();
    // The root is above the half where the value is above root² + root.
    if value > &root * &root + &root { root + UBig::ONE } else { root }
}

/// The first four decimal digits that stand together, counted from the point, and their place in such groups.
pub(super) fn leading_group(value: &UBig, scale: i64) -> (i64, u64) {
    let text = value.to_string();
    let weight = (text.len() as i64 - 1 - scale).div_euclid(GROUP_DIGITS);
    // Digits before the end of the group; a group that reaches below the last digit is filled up with zeros.
    let length = text.len() as i64 - scale - weight * GROUP_DIGITS;
    let digits = text.bytes().chain(std::iter::repeat(b'0')).take(length as usize);
    (weight, digits.fold(0, |group, digit| group * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_four_start_at_the_point() {
        let group = |digits: u64, scale| leading_group(&UBig::from(digits), scale);
        assert_eq!(group(1, 0), (0, 1));
        assert_eq!(group(12_345, 0), (1, 1));
        assert_eq!(group(99_999_999, 0), (1, 9999));
        assert_eq!(group(12_345, 2), (0, 123));
        assert_eq!(group(5, 1), (-1, 5000));
        assert_eq!(group(5, 4), (-1, 5));
        assert_eq!(group(15, 6), (-2, 1500));
    }
}
