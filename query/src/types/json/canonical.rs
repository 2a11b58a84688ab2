//! Objects, strings and numbers in the canonical form, which is what PostgreSQL prints of a jsonb.

use crate::error::{ErrorKind, QueryError};
use std::cmp::Ordering;
use std::fmt::Write;

/// The most digits of a number before and after its point, as PostgreSQL's numeric has them.
const DIGITS_BEFORE_MAX: usize = 131_072;
const DIGITS_AFTER_MAX: i64 = 16_383;
/// The longest run of zeros that is written at once.
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes an object of decoded keys and canonical values: sorted, and of members with one key the last.
pub(crate) fn push_object<K: AsRef<str>, V: AsRef<str>>(out: &mut String, mut members: Vec<(K, V)>) {
    members.sort_by(|(left, _), (right, _)| key_order(left.as_ref(), right.as_ref()));
    out.push('{');
    let mut first = true;
    for (position, (key, value)) in members.iter().enumerate() {
        if members.get(position + 1).is_some_and(|(next, _)| next.as_ref() == key.as_ref()) {
            continue;
        }
        if !first {
            out.push_str(", ");
        }
        first = false;
        push_member(out, key.as_ref(), value.as_ref());
    }
    out.push('}');
}

/// The order of members: shorter keys first, those of one length by their bytes.
fn key_order(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// Writes `"key": value`.
fn push_member(out: &mut String, key: &str, value: &str) {
    push_string(out, key);
    out.push_str(": ");
    out.push_str(value);
}

/// Writes text in quotes, with the escapes that JSON needs.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x0c => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            ..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        plain = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// Writes a JSON number as a numeric prints it: `1e2` as 100, `1.50` as it is, `-0` as 0.
pub(crate) fn push_number(out: &mut String, text: &str) -> Result<(), QueryError> {
    let overflow = || QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format");
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i64 = match exponent {
        Some(digits) => digits.parse::<i32>().map_err(|_| overflow())?.into(),
        None => 0,
    };
    let zero = mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    // Digits after the point, and where in all the digits the point is.
    let scale = (fraction.len() as i64 - exponent).max(0);
    let point = whole.len() as i64 + exponent;
    let leading = whole.bytes().chain(fraction.bytes()).take_while(|byte| *byte == b'0').count() as i64;
    if scale > DIGITS_AFTER_MAX || (!zero && point - leading > DIGITS_BEFORE_MAX as i64) {
        return Err(overflow());
    }
    if zero {
        out.push('0');
        if scale > 0 {
            out.push('.');
            push_zeros(out, scale as usize);
        }
        return Ok(());
    }
    if negative {
        out.push('-');
    }
    if exponent == 0 {
        out.push_str(mantissa);
        return Ok(());
    }
    let digits = format!("{whole}{fraction}");
    let first = leading as usize;
    if point <= leading {
        // Nothing but zeros before the point.
        out.push_str("0.");
        push_zeros(out, (-point).max(0) as usize);
        out.push_str(&digits[point.max(0) as usize..]);
        return Ok(());
    }
    let whole_end = (point as usize).min(digits.len());
    out.push_str(&digits[first..whole_end]);
    push_zeros(out, point as usize - whole_end);
    if scale > 0 {
        out.push('.');
        out.push_str(&digits[whole_end..]);
    }
    Ok(())
}

fn push_zeros(out: &mut String, mut count: usize) {
    while count > 0 {
        let run = count.min(ZEROS.len());
        out.push_str(&ZEROS[..run]);
        count -= run;
    }
}
