//! `real` and `double precision` as text: the shortest digits that read back as the same value, laid out as PostgreSQL lays
//! them out (fixed between 1e-4 and 1e15, or 1e6 for `real`, else with an exponent of at least two digits).

use crate::error::{ErrorKind, QueryError};

/// Significant digits of each type that survive from text to value and back (C's `DBL_DIG` and `FLT_DIG`).
const DOUBLE_DIGITS: i32 = 15;
const REAL_DIGITS: i32 = 6;
/// Significant digits that are enough to read any double back.
const DIGITS_MAX: usize = 17;

pub(super) fn push_double(out: &mut Vec<u8>, value: f64, extra_float_digits: i32) {
    if push_special(out, value) {
        return;
    }
    if extra_float_digits <= 0 {
        return push_rounded(out, value, DOUBLE_DIGITS + extra_float_digits);
    }
    // Whole numbers of up to 15 digits print as integers.
    if value.abs() < 1e15 && value.fract() == 0.0 {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(value);
    // 53 bits count steps of the size that the exponent says.
    let least = 1_u64 << 52;
    let (bits, exponent) = (value.to_bits() & (least - 1), ((value.to_bits() >> 52) & 0x7ff) as i32 - 1075);
    if is_halfway(shortest, bits + least, least, exponent).unwrap_or(false) {
        let printed = inside(shortest, |places| format!("{value:.places$e}"), |text| text.parse() == Ok(value));
        return push_digits(out, &printed, DOUBLE_DIGITS);
    }
    push_digits(out, shortest, DOUBLE_DIGITS);
}

/// The shortest digits that lie between a value's neighbours, where `shortest` are halfway to one of them.
fn inside(shortest: &str, print: impl Fn(usize) -> String, reads_back: impl Fn(&str) -> bool) -> String {
    let significant = |text: &str| {
        let mantissa = text.split('e').next().unwrap_or_default().replace(['-', '.'], "");
        mantissa.trim_end_matches('0').to_string()
    };
    let is_inside = |text: &String| significant(text) != significant(shortest) && reads_back(text);
    (0..DIGITS_MAX).map(print).find(is_inside).unwrap_or_else(|| shortest.to_string())
}

/// Whether the shortest digits are exactly between two values: PostgreSQL does not rely on the reader to choose the even one. The
/// value is `bits × 2^exponent`, and `least` the least bits that there are. Only large whole numbers have such digits.
fn is_halfway(shortest: &str, bits: u64, least: u64, exponent: i32) -> Option<bool> {
    if exponent < 1 {
        return None;
    }
    let (mantissa, power) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let mantissa = mantissa.trim_start_matches('-').trim_end_matches(".0");
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits: u128 = mantissa.replace('.', "").parse().ok()?;
    let power = u32::try_from(power.parse::<i32>().ok()?.checked_sub(fraction as i32)?).ok()?;
    // What is left of digits × 10^power when its factors of two are taken out; more fives than these are more bits than a value has.
    let fives = 5_u128.checked_pow(power).filter(|fives| *fives < 1 << 64)?;
    let odd = digits.checked_mul(fives)?;
    let twos = odd.trailing_zeros();
    let (odd, twos) = (odd >> twos, (twos + power) as i32);
    // Between it and its neighbours: half a step up or down, and a quarter below a power of two.
    let (is_least, bits) = (bits == least, u128::from(bits));
    let halfway = twos == exponent - 1 && (odd == 2 * bits + 1 || odd == 2 * bits - 1);
    let quarter = is_least && twos == exponent - 2 && odd == 4 * bits - 1;
    Some(halfway || quarter)
}

pub(super) fn push_real(out: &mut Vec<u8>, value: f32, extra_float_digits: i32) {
    if push_special(out, f64::from(value)) {
        return;
    }
    if extra_float_digits <= 0 {
        return push_rounded(out, f64::from(value), REAL_DIGITS + extra_float_digits);
    }
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(value);
    let least = 1_u32 << 23;
    let (bits, exponent) = (value.to_bits() & (least - 1), ((value.to_bits() >> 23) & 0xff) as i32 - 150);
    if is_halfway(shortest, (bits + least).into(), least.into(), exponent).unwrap_or(false) {
        let printed = inside(shortest, |places| format!("{value:.places$e}"), |text| text.parse() == Ok(value));
        return push_digits(out, &printed, REAL_DIGITS);
    }
    push_digits(out, shortest, REAL_DIGITS);
}

pub(super) fn parse_double(text: &str) -> Result<f64, QueryError> {
    let trimmed = text.trim_matches(is_space);
    match parse_special(trimmed).or_else(|| trimmed.parse().ok()).or_else(|| hexadecimal(trimmed)) {
        Some(value) if lost_range(trimmed, value) => Err(out_of_range(trimmed, "double precision")),
        Some(value) => Ok(value),
        None => Err(match leading_number(trimmed) {
            // The range is looked at before what follows the number.
            Some(number) if number.parse().is_ok_and(|value| lost_range(number, value)) => {
                out_of_range(number, "double precision")
            }
            _ => invalid(text, "double precision"),
        }),
    }
}

pub(super) fn parse_real(text: &str) -> Result<f32, QueryError> {
    let trimmed = text.trim_matches(is_space);
    let value: Option<f32> = parse_special(trimmed).map(|value| value as f32).or_else(|| trimmed.parse().ok());
    let value = value.or_else(|| hexadecimal(trimmed).map(|value| value as f32));
    match value {
        Some(value) if lost_range(trimmed, f64::from(value)) => Err(out_of_range(trimmed, "real")),
        Some(value) => Ok(value),
        None => Err(match leading_number(trimmed) {
            Some(number) if number.parse::<f32>().is_ok_and(|value| lost_range(number, value.into())) => {
                out_of_range(trimmed, "real")
            }
            _ => invalid(text, "real"),
        }),
    }
}

/// The decimal number that a text begins with, as C's `strtod` reads it.
fn leading_number(text: &str) -> Option<&str> {
    let digits_from = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let start = usize::from(text.starts_with(['+', '-']));
    let whole = digits_from(start);
    let mut end = start + whole;
    if text[end..].starts_with('.') {
        let fraction = digits_from(end + 1);
        end += if whole + fraction > 0 { 1 + fraction } else { 0 };
    }
    if end == start {
        return None;
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits_from(end + 1 + sign);
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    Some(&text[..end])
}

/// `0x1F`, `-0x1.8p3`: what C's `strtod` reads besides decimals. Digits beyond what a double holds are cut.
fn hexadecimal(text: &str) -> Option<f64> {
    let (negative, body) =
        text.strip_prefix('-').map_or((false, text.strip_prefix('+').unwrap_or(text)), |rest| (true, rest));
    let body = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X"))?;
    let (digits, exponent) = match body.split_once(['p', 'P']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (body, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let places = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    let value = value * 2f64.powi(exponent.checked_sub(places)?);
    Some(if negative { -value } else { value })
}

/// White space as C's `isspace` has it.
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

fn push_special(out: &mut Vec<u8>, value: f64) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value.is_infinite() {
        if value > 0.0 { b"Infinity" } else { b"-Infinity" }
    } else if value == 0.0 {
        if value.is_sign_negative() { b"-0" } else { b"0" }
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

/// Prints with a number of significant digits, as C's `%.*g` does.
fn push_rounded(out: &mut Vec<u8>, value: f64, digits: i32) {
    let digits = digits.max(1);
    push_digits(out, &format!("{value:.*e}", digits as usize - 1), digits);
}

/// Takes the digits and the exponent out of a printed number and lays them out; `fixed_max` is the exponent from which the
/// scientific form is used.
fn push_digits(out: &mut Vec<u8>, printed: &str, fixed_max: i32) {
    let (mantissa, exponent) = match printed.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(0)),
        None => (printed, 0),
    };
    let mut digits = [0u8; 32];
    let mut length = 0;
    let mut point: i32 = 0;
    let mut seen_point = false;
    for byte in mantissa.bytes() {
        match byte {
            b'-' => out.push(b'-'),
            b'.' => seen_point = true,
            b'0' if length == 0 => point -= i32::from(seen_point),
            _ => {
                digits[length] = byte;
                length += 1;
                point += i32::from(!seen_point);
            }
        }
    }
    while length > 1 && digits[length - 1] == b'0' {
        length -= 1;
    }
    lay_out(out, &digits[..length], point - 1 + exponent, fixed_max);
}

/// Writes `d.ddd × 10^exponent`.
fn lay_out(out: &mut Vec<u8>, digits: &[u8], exponent: i32, fixed_max: i32) {
    if exponent < -4 || exponent >= fixed_max {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-1 - exponent) as usize));
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() > whole {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        } else {
            out.extend_from_slice(digits);
            out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
        }
    }
}

fn parse_special(text: &str) -> Option<f64> {
    let (negative, name) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        b'0'..=b'9' | b'.' => return None,
        _ => (false, text),
    };
    if name.eq_ignore_ascii_case("infinity") || name.eq_ignore_ascii_case("inf") {
        return Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    (text.eq_ignore_ascii_case("nan")).then_some(f64::NAN)
}

/// Whether digits became an infinity or a zero.
fn lost_range(text: &str, value: f64) -> bool {
    if value.is_infinite() {
        return text.bytes().any(|byte| byte.is_ascii_digit());
    }
    value == 0.0 && text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| matches!(byte, b'1'..=b'9'))
}

fn out_of_range(text: &str, type_name: &str) -> QueryError {
    QueryError::new(ErrorKind::NumericOutOfRange, format!("\"{text}\" is out of range for type {type_name}"))
}

fn invalid(text: &str, type_name: &str) -> QueryError {
    QueryError::new(
        ErrorKind::InvalidTextRepresentation,
        format!("invalid input syntax for type {type_name}: \"{text}\""),
    )
}
