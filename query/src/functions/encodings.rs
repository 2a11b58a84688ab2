//! encode and decode: bytes as text in hex, base64 or PostgreSQL's escape format, and back.

use super::overload::{Function, Kind, Overload};
use super::strings::{Answer, binaries, invalid, texts, written, written_bytes};
use crate::error::{ErrorKind, QueryError};
use arrow::array::ArrayRef;
use std::fmt::Write;

/// Characters in a line of base64.
const BASE64_LINE: usize = 76;
const BASE64_DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Bytea, Text};
    let encode = Overload::new(&[Bytea, Text], Text, |columns, _| encode(columns));
    let decode = Overload::new(&[Text, Text], Bytea, |columns, _| decode(columns));
    vec![Function::immutable("encode", vec![encode]), Function::immutable("decode", vec![decode])]
}

#[derive(Clone, Copy)]
enum Encoding {
    Hex,
    Base64,
    Escape,
}

impl Encoding {
    fn named(name: &str) -> Result<Self, QueryError> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match () {
            () if is("hex") => Ok(Self::Hex),
            () if is("base64") => Ok(Self::Base64),
            () if is("escape") => Ok(Self::Escape),
            () => Err(invalid(format!("unrecognized encoding: \"{name}\""))),
        }
    }
}

fn encode(columns: &[ArrayRef]) -> Answer {
    let (bytes, encoding) = (binaries(columns, 0), texts(columns, 1));
    written(columns, |row, result| {
        let bytes = bytes.value(row);
        match Encoding::named(encoding.value(row))? {
            Encoding::Hex => write_hex(bytes, result),
            Encoding::Base64 => write_base64(bytes, result),
            Encoding::Escape => write_escaped(bytes, result),
        }
        Ok(())
    })
}

fn write_hex(bytes: &[u8], result: &mut String) {
    for byte in bytes {
        result.push(char::from(HEX_DIGITS[usize::from(byte >> 4)]));
        result.push(char::from(HEX_DIGITS[usize::from(byte & 15)]));
    }
}

/// MIME's base64: padded, with a line feed after each full line, also the last one unless it ends in padding.
fn write_base64(bytes: &[u8], result: &mut String) {
    for (group, chunk) in bytes.chunks(3).enumerate() {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) as usize & 63;
            result.push(if digit > chunk.len() { '=' } else { char::from(BASE64_DIGITS[index]) });
        }
        if chunk.len() == 3 && ((group + 1) * 4).is_multiple_of(BASE64_LINE) {
            result.push('\n');
        }
    }
}

fn write_escaped(bytes: &[u8], result: &mut String) {
    for byte in bytes {
        match byte {
            b'\\' => result.push_str("\\\\"),
            0 | 128.. => write!(result, "\\{byte:03o}").expect("a String takes everything"),
            _ => result.push(char::from(*byte)),
        }
    }
}

fn decode(columns: &[ArrayRef]) -> Answer {
    let (text, encoding) = (texts(columns, 0), texts(columns, 1));
    written_bytes(columns, |row, result| match Encoding::named(encoding.value(row))? {
        Encoding::Hex => read_hex(text.value(row), result),
        Encoding::Base64 => read_base64(text.value(row), result),
        Encoding::Escape => read_escaped(text.value(row).as_bytes(), result),
    })
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\n' | '\t' | '\r')
}

fn read_hex(text: &str, result: &mut Vec<u8>) -> Result<(), QueryError> {
    let mut digits = text.chars();
    let digit = |character: char| {
        let value = character.to_digit(16).and_then(|value| u8::try_from(value).ok());
        value.ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{character}\"")))
    };
    // Spaces may stand between bytes, not within one.
    while let Some(first) = digits.find(|character| !is_space(*character)) {
        let high = digit(first)?;
        let second = digits.next().ok_or_else(|| invalid("invalid hexadecimal data: odd number of digits"))?;
        result.push(high << 4 | digit(second)?);
    }
    Ok(())
}

fn read_base64(text: &str, result: &mut Vec<u8>) -> Result<(), QueryError> {
    // Bytes of each group of four digits; the first padding decides for all that follows, as in PostgreSQL.
    let (mut bits, mut digits, mut bytes_kept) = (0_u32, 0, 3);
    for character in text.chars().filter(|character| !is_space(*character)) {
        let value = match character {
            '=' if bytes_kept == 3 && digits < 2 => {
                return Err(invalid("unexpected \"=\" while decoding base64 sequence"));
            }
            '=' => {
                bytes_kept = if bytes_kept == 3 { digits - 1 } else { bytes_kept };
                0
            }
            _ => base64_value(character)?,
        };
        bits = bits << 6 | value;
        digits += 1;
        if digits == 4 {
            result.extend_from_slice(&bits.to_be_bytes()[1..=bytes_kept]);
            (bits, digits) = (0, 0);
        }
    }
    if digits == 0 {
        return Ok(());
    }
    Err(invalid("invalid base64 end sequence")
        .hint("Input data is missing padding, is truncated, or is otherwise corrupted."))
}

fn base64_value(character: char) -> Result<u32, QueryError> {
    let value = match character {
        'A'..='Z' => u32::from(character) - u32::from('A'),
        'a'..='z' => u32::from(character) - u32::from('a') + 26,
        '0'..='9' => u32::from(character) - u32::from('0') + 52,
        '+' => 62,
        '/' => 63,
        _ => return Err(invalid(format!("invalid symbol \"{character}\" found while decoding base64 sequence"))),
    };
    Ok(value)
}

fn read_escaped(text: &[u8], result: &mut Vec<u8>) -> Result<(), QueryError> {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let (byte, read) = match (first, after) {
            (b'\\', [high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', ..]) => {
                ((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'), 4)
            }
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', _) => {
                let message = "invalid input syntax for type bytea";
                return Err(QueryError::new(ErrorKind::InvalidTextRepresentation, message));
            }
            _ => (*first, 1),
        };
        result.push(byte);
        rest = &rest[read..];
    }
    Ok(())
}
