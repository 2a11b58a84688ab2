//! How many digits after the point a computed numeric shows.
//!
//! A numeric of PostgreSQL carries its own display scale; a column here has one scale for all of its values. What
//! PostgreSQL gives a scale by the size of the value, quotients and variances, is therefore kept at a scale that no
//! declared column has by chance, and rounded to the digits that PostgreSQL's `select_div_scale` gives it. From the
//! digits of such a value, its scale can be read again: at least 16 significant digits in groups of four, and more
//! where there are more. What becomes a numeric from doubles and texts is kept at [`NUMERIC_SCALE`] and has no zeros at
//! its end.

use catalog::sql_type::NUMERIC_SCALE;

/// The scale of averages and quotients. Types of this scale and more show their values by size.
pub(crate) const QUOTIENT_SCALE: i8 = 32;
/// The scale of variances, of which zero has no digits.
pub(crate) const VARIANCE_SCALE: i8 = 38;
/// The scale of standard deviations, which have the digits of the variance.
pub(crate) const DEVIATION_SCALE: i8 = 39;
/// Digits of a quotient that PostgreSQL sees to.
pub(crate) const SIGNIFICANT_DIGITS: i32 = 16;
/// Decimal digits of one of PostgreSQL's digits.
pub(crate) const GROUP_DIGITS: i32 = 4;

/// The digits after the point that PostgreSQL shows of a value of a type without modifier: all that the type has, or so
/// many as the size asks for. `digits` are those of the unscaled magnitude, most significant first, without leading
/// zeros but for a single one.
pub(crate) fn shown_digits(digits: &[u8], scale: i8) -> i8 {
    if scale < QUOTIENT_SCALE {
        return scale;
    }
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    if scale == NUMERIC_SCALE {
        return (i32::from(scale) - zeros as i32).max(0) as i8 * i8::from(zeros < digits.len());
    }
    if zeros == digits.len() {
        let shown = if scale == QUOTIENT_SCALE { SIGNIFICANT_DIGITS + GROUP_DIGITS } else { 0 };
        return shown.min(i32::from(scale)) as i8;
    }
    let exponent = digits.len() as i32 - 1 - i32::from(scale);
    let by_size = match scale {
        DEVIATION_SCALE => by_size_of_square(digits, exponent),
        _ => by_size(exponent, zeros == digits.len() - 1 && digits[0] == b'1'),
    };
    let needed = i32::from(scale) - zeros as i32;
    let more = ((needed - by_size).max(0) + GROUP_DIGITS - 1) / GROUP_DIGITS * GROUP_DIGITS;
    (by_size + more).min(i32::from(scale)) as i8
}

/// The scale of a quotient whose first digit stands for `10^exponent`. A power of 10000 is a quotient of two numbers that
/// begin alike, and has a group more.
fn by_size(exponent: i32, is_power_of_ten: bool) -> i32 {
    let begins_alike = is_power_of_ten && exponent.rem_euclid(GROUP_DIGITS) == 0;
    let weight = exponent.div_euclid(GROUP_DIGITS) - i32::from(begins_alike);
    (SIGNIFICANT_DIGITS - weight * GROUP_DIGITS).max(0)
}

/// The scale of the square of a number whose first digit stands for `10^exponent`.
fn by_size_of_square(digits: &[u8], exponent: i32) -> i32 {
    let leading = digits.iter().take(16).fold(0.0, |number, digit| number * 10.0 + f64::from(digit - b'0'));
    let mantissa: f64 = leading / 10_f64.powi(digits.len().min(16) as i32 - 1);
    by_size(2 * exponent + i32::from(mantissa * mantissa >= 10.0), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(digits: &str, scale: i8) -> i8 {
        shown_digits(digits.as_bytes(), scale)
    }

    /// The digits of a value in units of 10^-scale.
    fn unscaled(text: &str, scale: usize) -> String {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{fraction:0<scale$}");
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() { "0".to_string() } else { significant.to_string() }
    }

    #[test]
    fn declared_scales_are_shown_whole() {
        assert_eq!(shown("0", 2), 2);
        assert_eq!(shown("100", 31), 31);
    }

    #[test]
    fn quotients_have_the_digits_that_postgresql_gives_them() {
        // SELECT scale(1 / 3.0), scale(10 / 4.0), scale(7 / 7.0), scale(0 / 7.0), scale(123456 / 10.0) …
        for (value, digits) in [
            ("0.33333333333333333333", 20),
            ("2.5", 16),
            ("1", 20),
            ("0", 20),
            ("12345.6", 12),
            ("0.00001", 24),
            ("0.0000333333333333333333333333", 28),
            ("123456789.5", 8),
            ("1.00009999000099990001", 20),
        ] {
            assert_eq!(shown(&unscaled(value, 32), QUOTIENT_SCALE), digits, "{value}");
        }
    }

    #[test]
    fn numerics_of_unknown_digits_have_no_zeros_at_the_end() {
        for (value, digits) in [("1.5", 1), ("100", 0), ("0", 0), ("0.00001", 5)] {
            assert_eq!(shown(&unscaled(value, 36), NUMERIC_SCALE), digits, "{value}");
        }
    }

    #[test]
    fn deviations_have_the_digits_of_their_variances() {
        for (value, digits) in [("1.5", 16), ("100", 12), ("99.5", 16), ("0", 0), ("12345.5", 8)] {
            assert_eq!(shown(&unscaled(value, 39), DEVIATION_SCALE), digits, "{value}");
        }
        assert_eq!(shown("0", VARIANCE_SCALE), 0);
    }
}
