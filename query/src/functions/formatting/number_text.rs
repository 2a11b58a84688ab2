//! A number as the digits that a template shows: rounded to its places, and `#` where they do not suffice.
//!
//! Each type has its own rules: numerics round half away from zero and are exact, doubles have at most 15 digits and reals 6, integers
//! multiply for `V` in their own width.

use super::format_error::{Fault, FormatError};
use super::number_template::NumberTemplate;

/// What is left to do is to lay the digits out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NumberText {
    /// Digits with their point; as they are printed for roman numerals and exponents.
    pub(super) digits: String,
    /// `+` or `-`; NUL where the digits have it themselves.
    pub(super) sign: u8,
    /// Places of the template ahead of the first digit.
    pub(super) padding: usize,
    /// Digits before and after the point in the template, as this number uses it.
    pub(super) whole: usize,
    pub(super) fraction: usize,
}

/// The decimal digits that a real and a double hold for sure.
const REAL_DIGITS: usize = 6;
const DOUBLE_DIGITS: usize = 15;
/// No numeral has more letters: MMMDCCCLXXXVIII.
pub(super) const ROMAN_LETTERS: usize = 15;

impl NumberText {
    pub(super) fn of_int4(template: &NumberTemplate, value: i32) -> Self {
        if template.is_roman {
            return Self::verbatim(roman(i64::from(value)));
        }
        if template.has_exponent {
            return Self::verbatim(float_exponent(f64::from(value), template.fraction));
        }
        let shifted = match template.has_shift {
            true => value.wrapping_mul(power_of_ten_int4(template.shift)),
            false => value,
        };
        Self::of_integer(template, i64::from(shifted))
    }

    pub(super) fn of_int8(template: &NumberTemplate, value: i64) -> Result<Self, FormatError> {
        if template.is_roman {
            let small = i32::try_from(value).map_err(|_| out_of_range("integer"))?;
            return Ok(Self::verbatim(roman(i64::from(small))));
        }
        if template.has_exponent {
            let digits = value.unsigned_abs().to_string();
            return Ok(Self::verbatim(decimal_exponent(value < 0, &digits, 0, template.fraction)));
        }
        let shifted = match template.has_shift {
            true => u32::try_from(template.shift)
                .ok()
                .and_then(|shift| 10_i64.checked_pow(shift))
                .and_then(|power| value.checked_mul(power))
                .ok_or_else(|| out_of_range("bigint"))?,
            false => value,
        };
        Ok(Self::of_integer(template, shifted))
    }

    fn of_integer(template: &NumberTemplate, value: i64) -> Self {
        let mut digits = value.unsigned_abs().to_string();
        let whole_digits = digits.len();
        if template.fraction > 0 {
            digits.push('.');
            digits.extend(std::iter::repeat_n('0', template.fraction));
        }
        Self::laid_out(template, value < 0, digits, whole_digits, template.fraction)
    }

    /// `digits × 10^-scale` of a numeric.
    pub(super) fn of_decimal(
        template: &NumberTemplate,
        negative: bool,
        digits: &str,
        scale: i32,
    ) -> Result<Self, FormatError> {
        if template.is_roman {
            let (_, whole) = rounded_decimal(digits, scale, 0);
            let value: i64 = whole.parse().map_err(|_| out_of_range("integer"))?;
            let value = if negative { -value } else { value };
            let value = i32::try_from(value).map_err(|_| out_of_range("integer"))?;
            return Ok(Self::verbatim(roman(i64::from(value))));
        }
        if template.has_exponent {
            return Ok(Self::verbatim(decimal_exponent(negative, digits, scale, template.fraction)));
        }
        let (is_zero, text) = rounded_decimal(digits, scale - template.shift as i32, template.fraction);
        let whole_digits = text.find('.').unwrap_or(text.len());
        Ok(Self::laid_out(template, negative && !is_zero, text, whole_digits, template.fraction))
    }

    pub(super) fn of_real(template: &NumberTemplate, value: f32) -> Self {
        let shifted = match template.has_shift {
            true => value * 10_f64.powf(template.shift as f64) as f32,
            false => value,
        };
        Self::of_float(template, f64::from(value), f64::from(shifted), REAL_DIGITS)
    }

    pub(super) fn of_double(template: &NumberTemplate, value: f64) -> Self {
        let shifted = match template.has_shift {
            true => value * 10_f64.powf(template.shift as f64),
            false => value,
        };
        Self::of_float(template, value, shifted, DOUBLE_DIGITS)
    }

    fn of_float(template: &NumberTemplate, value: f64, shifted: f64, digits_max: usize) -> Self {
        if template.is_roman {
            return Self::verbatim(roman(value.round_ties_even() as i64));
        }
        if template.has_exponent && value.is_finite() {
            return Self::verbatim(float_exponent(value, template.fraction));
        }
        if template.has_exponent {
            // Sign, point, `e`, the sign of the exponent and its two digits.
            let mut digits = "#".repeat(template.whole + template.fraction + 6);
            digits.replace_range(0..1, " ");
            digits.replace_range(template.whole + 1..template.whole + 2, ".");
            return Self::verbatim(digits);
        }
        let fraction = match fixed(shifted.abs(), 0).len() {
            whole if whole >= digits_max => 0,
            whole => template.fraction.min(digits_max - whole),
        };
        let text = fixed(shifted, fraction);
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits.to_string()),
            None => (false, text),
        };
        let whole_digits = digits.find('.').unwrap_or(digits.len());
        Self::laid_out(template, negative, digits, whole_digits, fraction)
    }

    fn verbatim(digits: String) -> Self {
        Self { digits, sign: 0, padding: 0, whole: 0, fraction: 0 }
    }

    fn laid_out(
        template: &NumberTemplate,
        negative: bool,
        digits: String,
        whole_digits: usize,
        fraction: usize,
    ) -> Self {
        let whole = template.whole + template.shift;
        let digits = match whole_digits > whole {
            true => format!("{}.{}", "#".repeat(whole), "#".repeat(fraction)),
            false => digits,
        };
        let sign = if negative { b'-' } else { b'+' };
        Self { digits, sign, padding: whole.saturating_sub(whole_digits), whole, fraction }
    }
}

fn out_of_range(type_name: &str) -> FormatError {
    FormatError::new(Fault::NumberOutOfRange, format!("{type_name} out of range"))
}

/// 10 to a power as an int4. Too large a power is the least int4, which is what PostgreSQL's machines make of it.
fn power_of_ten_int4(power: usize) -> i32 {
    u32::try_from(power).ok().and_then(|power| 10_i32.checked_pow(power)).unwrap_or(i32::MIN)
}

/// Digits after the point as C prints them.
fn fixed(value: f64, fraction: usize) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    format!("{value:.fraction$}")
}

/// A float with an exponent of at least two digits; a space stands for its plus.
fn float_exponent(value: f64, fraction: usize) -> String {
    let text = format!("{:.fraction$e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    with_exponent(value.is_sign_negative(), mantissa, exponent)
}

fn with_exponent(negative: bool, mantissa: &str, exponent: i32) -> String {
    let sign = if negative { '-' } else { ' ' };
    format!("{sign}{mantissa}e{exponent:+03}")
}

/// The same for a numeric: the exponent is that of the unrounded value, so that 9.99 may become 10.0e+00.
fn decimal_exponent(negative: bool, digits: &str, scale: i32, fraction: usize) -> String {
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return with_exponent(false, &rounded_decimal("0", 0, fraction).1, 0);
    }
    let exponent = digits.len() as i32 - 1 - scale;
    let (_, mantissa) = rounded_decimal(digits, digits.len() as i32 - 1, fraction);
    with_exponent(negative, &mantissa, exponent)
}

/// `digits × 10^-scale` with so many digits after the point, rounded half away from zero, and whether that is zero.
fn rounded_decimal(digits: &str, scale: i32, fraction: usize) -> (bool, String) {
    let shift = fraction as i32 - scale;
    let mut kept: Vec<u8> = digits.trim_start_matches('0').bytes().collect();
    if shift >= 0 {
        kept.extend(std::iter::repeat_n(b'0', shift as usize));
    } else {
        let dropped = shift.unsigned_abs() as usize;
        let round_up = dropped <= kept.len() && kept[kept.len() - dropped] >= b'5';
        kept.truncate(kept.len().saturating_sub(dropped));
        if round_up {
            increment(&mut kept);
        }
    }
    let is_zero = kept.iter().all(|digit| *digit == b'0');
    let missing = (fraction + 1).saturating_sub(kept.len());
    let mut text = "0".repeat(missing);
    text.extend(kept.iter().map(|digit| char::from(*digit)));
    if is_zero {
        text = "0".repeat(fraction + 1);
    }
    if fraction > 0 {
        text.insert(text.len() - fraction, '.');
    }
    (is_zero, text)
}

fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

/// The English ending of a number: `1st`, `2nd`, `3rd`, `4th`, `11th`.
pub(super) fn ordinal_ending(number: &str, upper: bool) -> Result<&'static str, FormatError> {
    let bytes = number.as_bytes();
    let last = match bytes.last() {
        Some(last) if last.is_ascii_digit() => *last,
        _ => return Err(FormatError::new(Fault::InvalidText, format!("\"{number}\" is not a number"))),
    };
    let teen = bytes.len() > 1 && bytes[bytes.len() - 2] == b'1';
    Ok(match (last, upper) {
        (b'1', true) if !teen => "ST",
        (b'1', false) if !teen => "st",
        (b'2', true) if !teen => "ND",
        (b'2', false) if !teen => "nd",
        (b'3', true) if !teen => "RD",
        (b'3', false) if !teen => "rd",
        (_, true) => "TH",
        (_, false) => "th",
    })
}

/// 1 to 3999; `#` for others.
fn roman(value: i64) -> String {
    const STEPS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if !(1..=3999).contains(&value) {
        return "#".repeat(ROMAN_LETTERS);
    }
    let mut rest = value;
    let mut out = String::with_capacity(ROMAN_LETTERS);
    for (step, letters) in STEPS {
        while rest >= step {
            out.push_str(letters);
            rest -= step;
        }
    }
    out
}
