//! Sizes of data in words: pg_size_pretty and pg_size_bytes.

use super::overload::{Function, Kind, Overload};
use super::strings::{Answer, invalid, texts, written};
use crate::error::{ErrorKind, QueryError};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Int64Type, i256};
use std::fmt::Write;
use std::sync::Arc;

/// The units and their powers of two.
const UNITS: [(&str, u32); 6] = [("bytes", 0), ("kB", 10), ("MB", 20), ("GB", 30), ("TB", 40), ("PB", 50)];
/// Digits of a size that are read; the largest size has nineteen before the point.
const DIGITS_MAX: usize = 40;

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Int8, Numeric, Text};
    let pg_size_pretty = vec![
        Overload::new(&[Int8], Text, |columns, _| pretty_integers(columns)),
        Overload::new(&[Numeric], Text, |columns, _| pretty_numerics(columns)),
    ];
    vec![
        Function::immutable("pg_size_pretty", pg_size_pretty),
        Function::immutable("pg_size_bytes", vec![Overload::new(&[Text], Int8, |columns, _| sizes(columns))]),
    ]
}

fn pretty_integers(columns: &[ArrayRef]) -> Answer {
    let sizes = columns[0].as_primitive::<Int64Type>();
    written(columns, |row, result| {
        write_size(i256::from_i128(i128::from(sizes.value(row))), 0, result);
        Ok(())
    })
}

fn pretty_numerics(columns: &[ArrayRef]) -> Answer {
    written(columns, |row, result| {
        let (size, scale) = match columns[0].data_type() {
            DataType::Decimal256(_, scale) => (columns[0].as_primitive::<Decimal256Type>().value(row), *scale),
            DataType::Decimal128(_, scale) => {
                (i256::from_i128(columns[0].as_primitive::<Decimal128Type>().value(row)), *scale)
            }
            other => unreachable!("{other} is no numeric"),
        };
        write_size(size, scale.max(0) as u32, result);
        Ok(())
    })
}

/// Writes an unscaled size: a unit is left when its number reaches ten thousand, halves are rounded up, and what is cut on the way
/// from unit to unit is lost, as PostgreSQL has it.
fn write_size(size: i256, scale: u32, result: &mut String) {
    let number = |value: i128| i256::from_i128(value);
    let one = number(10).wrapping_pow(scale);
    if size.wrapping_abs() < number(10 * 1024).wrapping_mul(one) {
        write_numeric(size, scale, result);
        result.push_str(" bytes");
        return;
    }
    // One bit more than the unit's, kept for rounding.
    let mut half_units = size.wrapping_div(one.wrapping_mul(number(512)));
    for (position, (unit, _)) in UNITS.iter().enumerate().skip(1) {
        if position + 1 == UNITS.len() || half_units.wrapping_abs() < number(20 * 1024 - 1) {
            let away = if half_units.is_negative() { i256::MINUS_ONE } else { i256::ONE };
            let rounded = half_units.wrapping_add(away).wrapping_div(number(2));
            // Writing to a string cannot fail.
            let _ = write!(result, "{rounded} {unit}");
            return;
        }
        half_units = half_units.wrapping_div(number(1024));
    }
}

fn write_numeric(value: i256, scale: u32, result: &mut String) {
    let digits = value.wrapping_abs().to_string();
    let scale = scale as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    if value.is_negative() {
        result.push('-');
    }
    result.push_str(whole);
    if scale > 0 {
        result.push('.');
        result.push_str(fraction);
    }
}

fn sizes(columns: &[ArrayRef]) -> Answer {
    let text = texts(columns, 0);
    let of_row = |row| if text.is_valid(row) { size_of_text(text.value(row)).map(Some) } else { Ok(None) };
    Ok(Arc::new((0..text.len()).map(of_row).collect::<Result<Int64Array, QueryError>>()?))
}

/// A number, also with a fraction and an exponent, and a unit.
fn size_of_text(text: &str) -> Result<i64, QueryError> {
    let malformed = || invalid(format!("invalid size: \"{text}\""));
    let trimmed = text.trim_matches(|character: char| character.is_ascii_whitespace());
    let length = number_length(trimmed);
    let (number, unit) = trimmed.split_at(length);
    if !number.contains(|character: char| character.is_ascii_digit()) {
        return Err(malformed());
    }
    let unit = unit.trim_start_matches(|character: char| character.is_ascii_whitespace());
    let known = UNITS.iter().find(|(name, _)| unit.is_empty() || name.eq_ignore_ascii_case(unit));
    let (_, bits) = known.ok_or_else(|| {
        malformed()
            .detail(format!("Invalid size unit: \"{unit}\"."))
            .hint("Valid units are \"bytes\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".")
    })?;
    bytes_of(number, *bits).ok_or_else(|| QueryError::new(ErrorKind::NumericOutOfRange, "bigint out of range"))
}

fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits_from = |start: usize| start + bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(text.starts_with(['-', '+']));
    let mut end = digits_from(sign);
    if bytes.get(end) == Some(&b'.') {
        end = digits_from(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent_end = if exponent <= bytes.len() { digits_from(exponent) } else { exponent };
        if exponent_end > exponent {
            end = exponent_end;
        }
    }
    end
}

/// `number · 2^bits`, rounded half away from zero; `None` where that is no bigint.
fn bytes_of(number: &str, bits: u32) -> Option<i64> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let negative = mantissa.starts_with('-');
    let (whole, fraction) = mantissa
        .trim_start_matches(['-', '+'])
        .split_once('.')
        .unwrap_or((mantissa.trim_start_matches(['-', '+']), ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let places = exponent.parse::<i32>().ok()?.checked_sub(fraction.len() as i32)?;
    if digits.len() as i64 + i64::from(places) > 20 {
        return None;
    }
    // Digits beyond those that can change the rounding of a bigint are dropped.
    let kept = digits.get(..DIGITS_MAX).unwrap_or(digits);
    let places = places + (digits.len() - kept.len()) as i32;
    let unscaled = i256::from_string(kept)?.checked_mul(i256::from_i128(1_i128 << bits))?;
    let power = i256::from_i128(10).checked_pow(places.unsigned_abs());
    let bytes = match (places >= 0, power) {
        (true, power) => unscaled.checked_mul(power?)?,
        (false, None) => i256::ZERO,
        (false, Some(power)) => {
            let (quotient, rest) = (unscaled.checked_div(power)?, unscaled.checked_rem(power)?);
            if rest >= power.wrapping_sub(rest) { quotient.wrapping_add(i256::ONE) } else { quotient }
        }
    };
    let signed = if negative { bytes.wrapping_neg() } else { bytes };
    i64::try_from(signed.to_i128()?).ok()
}
