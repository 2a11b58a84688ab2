//! `numeric` in its text and binary form, straight from and to the unscaled integer.
//!
//! The binary form is `ndigits, weight, sign, dscale` as four 16-bit numbers and then digits in base 10000, aligned at the
//! decimal point: the value is `Σ digit[i] × 10000^(weight - i)`. Leading and trailing zero digits are left out.

use super::binary_in::{insufficient, malformed};
use super::float::is_space;
use super::shown_digits::{QUOTIENT_SCALE, shown_digits};
use crate::error::{ErrorKind, QueryError};
use arrow::datatypes::i256;
use catalog::sql_type::NUMERIC_PRECISION_MAX;

/// The most decimal digits that an i128 always holds, and 10 to that power.
const LOW_DIGITS: usize = 38;
const LOW_POWER: u128 = 10u128.pow(LOW_DIGITS as u32);
const WORD_DIGITS: usize = 19;
const WORD_POWER: u128 = 10u128.pow(WORD_DIGITS as u32);
/// PostgreSQL's own limits: digits before and after the point.
const EXPONENT_MAX: i64 = 131_072;

const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;

/// A decimal number as digits, most significant first and without leading zeros: `digits × 10^-fraction`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Digits {
    negative: bool,
    digits: Vec<u8>,
    fraction: i64,
}

pub(super) fn push_decimal128(out: &mut Vec<u8>, value: i128, scale: i8) {
    if value < 0 {
        out.push(b'-');
    }
    let magnitude = value.unsigned_abs();
    // Most values fit into 64 bits, whose division is much faster.
    match u64::try_from(magnitude) {
        Ok(small) => push_scaled(out, itoa::Buffer::new().format(small).as_bytes(), scale),
        Err(_) => push_magnitude(out, 0, magnitude, scale),
    }
}

pub(super) fn push_decimal256(out: &mut Vec<u8>, value: i256, scale: i8) {
    if let Some(small) = value.to_i128() {
        return push_decimal128(out, small, scale);
    }
    if value.is_negative() {
        out.push(b'-');
    }
    let (high, low) = halves(value);
    push_magnitude(out, high, low, scale);
}

/// Both halves of a magnitude, each below 10^38 for a value of at most 76 digits.
fn halves(value: i256) -> (u128, u128) {
    let power = i256::from_i128(LOW_POWER as i128);
    let half = |part: i256| part.to_i128().map_or(0, i128::unsigned_abs);
    (half(value.wrapping_div(power)), half(value.wrapping_rem(power)))
}

/// The digits after the point that PostgreSQL shows of a value of a decimal of this scale without modifier.
pub(crate) fn shown_digits_of(value: i256, scale: i8) -> i8 {
    if scale < QUOTIENT_SCALE {
        return scale;
    }
    let (high, low) = halves(value);
    let mut buffer = [0; 2 * LOW_DIGITS + 4];
    let start = write_digits(&mut buffer, high, low);
    shown_digits(&buffer[start..], scale)
}

/// A value of a type without modifier as text, with the digits that PostgreSQL shows of it.
pub(super) fn push_shown(out: &mut Vec<u8>, value: i256, scale: i8) {
    if value.is_negative() {
        out.push(b'-');
    }
    with_shown_digits(value, scale, |digits, shown| push_scaled(out, digits, shown));
}

/// The same in binary form.
pub(super) fn push_binary_shown(out: &mut Vec<u8>, value: i256, scale: i8) {
    with_shown_digits(value, scale, |digits, shown| push_binary_digits(out, value.is_negative(), digits, shown));
}

/// The digits of a magnitude without the zeros at its end that are not shown, and how many stand after the point.
fn with_shown_digits(value: i256, scale: i8, push: impl FnOnce(&[u8], i8)) {
    let (high, low) = halves(value);
    let mut buffer = [0; 2 * LOW_DIGITS + 4];
    let start = write_digits(&mut buffer, high, low);
    let digits = &buffer[start..];
    let shown = shown_digits(digits, scale);
    match digits.len().checked_sub((scale - shown) as usize) {
        None | Some(0) => push(b"0", shown),
        Some(length) => push(&digits[..length], shown),
    }
}

fn push_magnitude(out: &mut Vec<u8>, high: u128, low: u128, scale: i8) {
    let mut buffer = [0; 2 * LOW_DIGITS + 4];
    let start = write_digits(&mut buffer, high, low);
    push_scaled(out, &buffer[start..], scale);
}

/// Writes the digits of `high × 10^38 + low` to the end of the buffer and returns where they start.
fn write_digits(buffer: &mut [u8], high: u128, low: u128) -> usize {
    let mut end = buffer.len();
    let (high, low) = if low >= LOW_POWER { (high + low / LOW_POWER, low % LOW_POWER) } else { (high, low) };
    for word in [low % WORD_POWER, low / WORD_POWER, high % WORD_POWER, high / WORD_POWER] {
        let mut word = word as u64;
        let stop = end.saturating_sub(WORD_DIGITS);
        while end > stop {
            end -= 1;
            buffer[end] = b'0' + (word % 10) as u8;
            word /= 10;
        }
    }
    let zeros = buffer[end..].iter().take_while(|digit| **digit == b'0').count();
    (end + zeros).min(buffer.len() - 1)
}

/// Sets the point into digits.
fn push_scaled(out: &mut Vec<u8>, digits: &[u8], scale: i8) {
    if scale <= 0 {
        out.extend_from_slice(digits);
        if digits != b"0" {
            out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        }
        return;
    }
    let scale = scale as usize;
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
        out.extend_from_slice(digits);
    }
}

pub(super) fn push_binary128(out: &mut Vec<u8>, value: i128, scale: i8) {
    let magnitude = value.unsigned_abs();
    if let Ok(small) = u64::try_from(magnitude)
        && small < 10u64.pow(15)
        && (0..=16).contains(&scale)
    {
        return push_binary_small(out, value < 0, small, scale as u16);
    }
    let mut buffer = [0; 2 * LOW_DIGITS + 4];
    let start = write_digits(&mut buffer, 0, magnitude);
    push_binary_digits(out, value < 0, &buffer[start..], scale);
}

pub(super) fn push_binary256(out: &mut Vec<u8>, value: i256, scale: i8) {
    if let Some(small) = value.to_i128() {
        return push_binary128(out, small, scale);
    }
    let (high, low) = halves(value);
    let mut buffer = [0; 2 * LOW_DIGITS + 4];
    let start = write_digits(&mut buffer, high, low);
    push_binary_digits(out, value.is_negative(), &buffer[start..], scale);
}

/// A magnitude below 10^15: aligned at the point it is below 10^18.
fn push_binary_small(out: &mut Vec<u8>, negative: bool, magnitude: u64, scale: u16) {
    let padding = (4 - scale % 4) % 4;
    let mut rest = magnitude * 10u64.pow(u32::from(padding));
    let fraction_groups = i32::from(scale.div_ceil(4));
    let mut groups = [0u16; 5];
    let mut count = 0;
    while rest != 0 {
        groups[count] = (rest % 10_000) as u16;
        rest /= 10_000;
        count += 1;
    }
    let zeros = groups[..count].iter().take_while(|group| **group == 0).count();
    let weight = if count == 0 { 0 } else { count as i32 - 1 - fraction_groups };
    push_header(out, (count - zeros) as u16, weight, negative && count > 0, scale);
    for group in groups[zeros..count].iter().rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

fn push_header(out: &mut Vec<u8>, groups: u16, weight: i32, negative: bool, scale: u16) {
    out.extend_from_slice(&groups.to_be_bytes());
    out.extend_from_slice(&(weight as i16).to_be_bytes());
    out.extend_from_slice(&(if negative { SIGN_NEGATIVE } else { 0 }).to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
}

fn push_binary_digits(out: &mut Vec<u8>, negative: bool, digits: &[u8], scale: i8) {
    // A digit at index i stands for 10^(top - i); groups of four begin where that power is 3 modulo 4.
    let top = digits.len() as i32 - 1 - i32::from(scale);
    let mut groups: Vec<u16> = Vec::with_capacity(digits.len() / 4 + 2);
    let mut weight = top.div_euclid(4);
    for (index, digit) in digits.iter().enumerate() {
        let power = top - index as i32;
        let group = (top.div_euclid(4) - power.div_euclid(4)) as usize;
        groups.resize(group + 1, 0);
        groups[group] += u16::from(digit - b'0') * 10u16.pow(power.rem_euclid(4) as u32);
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    weight -= leading as i32;
    let groups = &groups[leading..];
    let weight = if groups.is_empty() { 0 } else { weight };
    push_header(out, groups.len() as u16, weight, negative && !groups.is_empty(), scale.max(0) as u16);
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// Reads text into the unscaled integer of `numeric(precision, scale)`, up to 38 digits.
#[inline]
pub(super) fn parse_decimal128(text: &str, precision: u8, scale: i8) -> Result<i128, QueryError> {
    if let Some(value) = plain_decimal(text.as_bytes(), precision, scale) {
        return Ok(value);
    }
    let digits = Digits::parse(text)?;
    let value = digits.to_scale(precision, scale)?;
    value.to_i128().ok_or_else(|| overflow(precision, scale))
}

pub(super) fn parse_decimal256(text: &str, precision: u8, scale: i8) -> Result<i256, QueryError> {
    Digits::parse(text)?.to_scale(precision, scale)
}

/// The binary form of a numeric at a scale.
#[inline]
pub(super) fn binary_decimal128(bytes: &[u8], precision: u8, scale: i8) -> Result<i128, QueryError> {
    match plain_binary(bytes, precision, scale) {
        Some(value) => Ok(value),
        None => {
            let value = Digits::from_binary(bytes)?.to_scale(precision, scale)?;
            value.to_i128().ok_or_else(|| overflow(precision, scale))
        }
    }
}

/// The unscaled integer of a value of few digits that needs no rounding; `None` for all others and for what is wrong.
fn plain_binary(bytes: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (header, body) = bytes.split_at_checked(8)?;
    let word = |index: usize| u16::from_be_bytes([header[2 * index], header[2 * index + 1]]);
    let (groups, weight, sign, shown) = (usize::from(word(0)), i32::from(word(1) as i16), word(2), i32::from(word(3)));
    if groups == 0 || groups > 4 || body.len() != groups * 2 || !matches!(sign, 0 | SIGN_NEGATIVE) {
        return None;
    }
    let mut value: u64 = 0;
    for pair in body.chunks_exact(2) {
        let group = u16::from_be_bytes([pair[0], pair[1]]);
        if group > 9999 {
            return None;
        }
        value = value * 10_000 + u64::from(group);
    }
    // What stands behind the shown digits is cut off, which the other way does.
    let held = 4 * (groups as i32 - 1 - weight);
    let surplus = held - i32::from(scale).min(shown);
    if surplus > 0 {
        let power = 10u64.checked_pow(surplus as u32)?;
        if !value.is_multiple_of(power) {
            return None;
        }
    }
    let shift = i32::from(scale) - held;
    let value = if shift < 0 {
        i128::from(value / 10u64.checked_pow(shift.unsigned_abs())?)
    } else {
        i128::from(value).checked_mul(10i128.checked_pow(shift.unsigned_abs())?)?
    };
    let limit = 10i128.pow(u32::from(precision));
    (value < limit).then_some(if sign == SIGN_NEGATIVE { -value } else { value })
}

/// `-123.45` of up to 18 digits that needs no rounding; `None` sends the text to the slow path, which also words the error.
#[inline]
fn plain_decimal(bytes: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, body) = match bytes {
        [b'-', body @ ..] => (true, body),
        _ => (false, bytes),
    };
    if body.is_empty() || body.len() > 19 {
        return None;
    }
    let mut value: u64 = 0;
    let mut point = body.len();
    for (index, byte) in body.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if *byte == b'.' && point == body.len() {
            point = index;
        } else {
            return None;
        }
    }
    let fraction = (body.len() - point).saturating_sub(1);
    let has_digits = body.len() > usize::from(point < body.len());
    // Nineteen bytes with a point among them are eighteen digits.
    if !has_digits || (body.len() == 19 && point == 19) {
        return None;
    }
    let shift = u32::try_from(i32::from(scale) - fraction as i32).ok()?;
    if shift > 18 || precision > 38 {
        return None;
    }
    let scaled = u128::from(value) * u128::from(10u64.pow(shift));
    if scaled >= 10u128.pow(u32::from(precision)) {
        return None;
    }
    Some(if negative { -(scaled as i128) } else { scaled as i128 })
}

/// The precision and scale that keep every digit of a numeric's text.
pub(crate) fn natural_type(text: &str) -> Result<(u8, i8), QueryError> {
    Digits::parse(text)?.natural_type()
}

impl Digits {
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let invalid = || {
            QueryError::new(
                ErrorKind::InvalidTextRepresentation,
                format!("invalid input syntax for type numeric: \"{text}\""),
            )
        };
        let trimmed = text.trim_matches(is_space);
        let (negative, body) = match trimmed.as_bytes().first() {
            Some(b'-') => (true, &trimmed[1..]),
            Some(b'+') => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        if ["nan", "inf", "infinity"].iter().any(|name| body.eq_ignore_ascii_case(name)) {
            return Err(not_finite(trimmed));
        }
        let (mantissa, exponent) = match body.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent).ok_or_else(invalid)?),
            None => (body, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return Err(invalid());
        }
        let mut digits = Vec::with_capacity(whole.len() + fraction.len());
        digits.extend(whole.bytes().chain(fraction.bytes()).skip_while(|byte| *byte == b'0').map(|byte| byte - b'0'));
        let fraction = fraction.len() as i64 - exponent;
        if digits.len() as i64 - fraction > EXPONENT_MAX || fraction > EXPONENT_MAX {
            return Err(QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format"));
        }
        Ok(Self { negative, digits, fraction })
    }

    /// Reads the binary form.
    pub(super) fn from_binary(bytes: &[u8]) -> Result<Self, QueryError> {
        let (header, body) = bytes.split_at_checked(8).ok_or_else(insufficient)?;
        let word = |index: usize| u16::from_be_bytes([header[2 * index], header[2 * index + 1]]);
        let (groups, weight, sign, scale) =
            (usize::from(word(0)), i64::from(word(1) as i16), word(2), i64::from(word(3)));
        match sign {
            0 | SIGN_NEGATIVE => {}
            SIGN_NAN => return Err(not_finite("NaN")),
            0xD000 => return Err(not_finite("Infinity")),
            0xF000 => return Err(not_finite("-Infinity")),
            _ => return Err(invalid_external("sign")),
        }
        if scale > 0x3FFF {
            return Err(invalid_external("scale"));
        }
        let mut digits = Vec::with_capacity(body.len() * 2);
        let mut pairs = body.chunks_exact(2);
        for _ in 0..groups {
            let pair = pairs.next().ok_or_else(insufficient)?;
            let group = u16::from_be_bytes([pair[0], pair[1]]);
            if group > 9999 {
                return Err(invalid_external("digit"));
            }
            digits.extend([group / 1000, group / 100 % 10, group / 10 % 10, group % 10].map(|digit| digit as u8));
        }
        if body.len() > groups * 2 {
            return Err(malformed());
        }
        // The display scale may be above or below what the groups hold.
        let held = 4 * (groups as i64 - 1 - weight);
        if groups == 0 {
            return Ok(Self { negative: false, digits, fraction: scale });
        }
        if scale >= held {
            if scale - held > EXPONENT_MAX {
                return Err(QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format"));
            }
            digits.extend(std::iter::repeat_n(0, (scale - held) as usize));
        } else {
            digits.truncate(digits.len().saturating_sub((held - scale) as usize));
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        Ok(Self { negative: sign == SIGN_NEGATIVE, digits, fraction: scale })
    }

    /// The precision and scale that keep every digit of the value.
    pub(super) fn natural_type(&self) -> Result<(u8, i8), QueryError> {
        let scale = self.fraction.max(0);
        let whole = (self.digits.len() as i64 - self.fraction).max(0);
        let precision = (whole + scale).max(1);
        if precision > i64::from(NUMERIC_PRECISION_MAX) {
            return Err(QueryError::new(
                ErrorKind::NumericOutOfRange,
                format!("a numeric value of {precision} digits is not supported"),
            )
            .hint(format!("At most {NUMERIC_PRECISION_MAX} digits are.")));
        }
        Ok((precision as u8, scale as i8))
    }

    /// The unscaled integer at a scale, rounded half away from zero.
    pub(super) fn to_scale(&self, precision: u8, scale: i8) -> Result<i256, QueryError> {
        let kept = self.digits.len() as i64 + i64::from(scale) - self.fraction;
        // One more digit may come from rounding up; it is checked below.
        if !self.digits.is_empty() && kept > i64::from(precision) {
            return Err(overflow(precision, scale));
        }
        let ten = i256::from_i128(10);
        let mut value = i256::ZERO;
        for index in 0..kept.max(0) as usize {
            let digit = self.digits.get(index).copied().unwrap_or(0);
            value = value.wrapping_mul(ten).wrapping_add(i256::from_i128(i128::from(digit)));
        }
        if kept >= 0 && self.digits.get(kept as usize).is_some_and(|digit| *digit >= 5) {
            value = value.wrapping_add(i256::ONE);
        }
        if value >= ten.wrapping_pow(u32::from(precision)) {
            return Err(overflow(precision, scale));
        }
        Ok(if self.negative { value.wrapping_neg() } else { value })
    }
}

/// As `strtol` reads it, white space in front included.
fn parse_exponent(text: &str) -> Option<i64> {
    let text = text.trim_start_matches(is_space);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: i64 = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -value } else { value })
}

#[cold]
pub(crate) fn overflow(precision: u8, scale: i8) -> QueryError {
    let whole = i32::from(precision) - i32::from(scale);
    let limit = if whole == 0 { "1".to_string() } else { format!("10^{whole}") };
    QueryError::new(ErrorKind::NumericOutOfRange, "numeric field overflow").detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
    ))
}

#[cold]
fn invalid_external(part: &str) -> QueryError {
    let message = format!("invalid {part} in external \"numeric\" value");
    QueryError::new(ErrorKind::InvalidBinaryRepresentation, message)
}

fn not_finite(text: &str) -> QueryError {
    QueryError::new(ErrorKind::FeatureNotSupported, format!("\"{text}\" is not supported in type numeric"))
        .hint("Use NULL, or a column of type double precision.")
}
