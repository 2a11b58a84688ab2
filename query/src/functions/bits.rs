//! Numbers of bit strings. There is no type bit, but what becomes one on its way to an integer can do without it:
//!
//!     ('x' || md5(key))::bit(64)::bigint      bits_to_bigint('x' || md5(key), 64)
//!
//! A text is digits of bits, behind `x` hexadecimal ones. It is cut behind its first bits or gets zeros there, an integer keeps its last ones.

use super::overload::{Function, Kernel, Kind, Overload};
use super::strings::{Answer, integers, present, texts};
use crate::error::{ErrorKind, QueryError};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{Int32Type, Int64Type};
use std::sync::Arc;

/// The functions that casts of a bit string to integer and to bigint become.
pub(crate) const BITS_TO_INTEGER: &str = "bits_to_integer";
pub(crate) const BITS_TO_BIGINT: &str = "bits_to_bigint";

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Int4, Int8, Text};
    let both = |name: &'static str, result: Kind, of_texts: Kernel, of_numbers: Kernel| {
        Function::immutable(
            name,
            vec![Overload::new(&[Text, Int4], result, of_texts), Overload::new(&[Int8, Int4], result, of_numbers)],
        )
    };
    vec![
        both(
            BITS_TO_INTEGER,
            Int4,
            |columns, _| of_texts::<Int32Type>(columns, |bits| bits as u32 as i32),
            |columns, _| of_numbers::<Int32Type>(columns, |bits| bits as u32 as i32),
        ),
        both(
            BITS_TO_BIGINT,
            Int8,
            |columns, _| of_texts::<Int64Type>(columns, |bits| bits as i64),
            |columns, _| of_numbers::<Int64Type>(columns, |bits| bits as i64),
        ),
    ]
}

fn of_texts<T: ArrowPrimitiveType>(columns: &[ArrayRef], number: impl Fn(u64) -> T::Native) -> Answer {
    let texts = texts(columns, 0);
    of_rows::<T>(columns, number, |row, length| bits_of_text(texts.value(row), length))
}

fn of_numbers<T: ArrowPrimitiveType>(columns: &[ArrayRef], number: impl Fn(u64) -> T::Native) -> Answer {
    let numbers = columns[0].as_primitive::<Int64Type>();
    of_rows::<T>(columns, number, |row, length| {
        let bits = numbers.value(row) as u64;
        Ok(if length < u64::BITS { bits & ((1 << length) - 1) } else { bits })
    })
}

/// The numbers of rows' bits, of which there may be no more than an integer of the type has.
fn of_rows<T: ArrowPrimitiveType>(
    columns: &[ArrayRef],
    number: impl Fn(u64) -> T::Native,
    bits: impl Fn(usize, u32) -> Result<u64, QueryError>,
) -> Answer {
    let (lengths, nulls) = (integers(columns, 1), present(columns));
    let (name, bits_max) = if size_of::<T::Native>() == 4 { ("integer", 32) } else { ("bigint", 64) };
    let of_row = |row| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        let length = lengths.value(row).unsigned_abs();
        let found = bits(row, length.min(u64::BITS))?;
        if length > bits_max {
            return Err(QueryError::new(ErrorKind::NumericOutOfRange, format!("{name} out of range")));
        }
        Ok(Some(number(found)))
    };
    Ok(Arc::new((0..columns[0].len()).map(of_row).collect::<Result<PrimitiveArray<T>, QueryError>>()?))
}

/// Fails where a text is no string of bits.
pub(crate) fn check_bits(text: &str) -> Result<(), QueryError> {
    bits_of_text(text, 0).map(drop)
}

/// The first bits of a text, of which all digits are read, and zeros where it has less.
fn bits_of_text(text: &str, length: u32) -> Result<u64, QueryError> {
    let (digits, radix, digit_bits, what) = match text.as_bytes().first() {
        Some(b'x' | b'X') => (&text[1..], 16, 4, "hexadecimal"),
        Some(b'b' | b'B') => (&text[1..], 2, 1, "binary"),
        _ => (text, 2, 1, "binary"),
    };
    let (mut bits, mut room) = (0_u64, length);
    for digit in digits.chars() {
        let value = digit.to_digit(radix).ok_or_else(|| {
            let message = format!("\"{digit}\" is not a valid {what} digit");
            QueryError::new(ErrorKind::InvalidTextRepresentation, message)
        })?;
        let taken = room.min(digit_bits);
        bits = bits << taken | u64::from(value >> (digit_bits - taken));
        room -= taken;
    }
    Ok(bits.checked_shl(room).unwrap_or(0))
}
