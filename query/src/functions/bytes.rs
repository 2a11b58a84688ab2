//! Functions over bytea: single bits and bytes, parts, hashes, and texts in other encodings.
//!
//! Bits count from the lowest of the first byte, bytes from 0. Of the encodings UTF-8, LATIN1 and SQL_ASCII are converted.

use super::overload::{Function, Kind, Overload};
use super::strings::{Answer, binaries, integers, invalid, present, texts, written, written_bytes};
use crate::error::{ErrorKind, QueryError};
use crate::pg_catalog::encodings;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    let mut functions = single_units();
    functions.extend(parts());
    functions.extend(conversions());
    functions.extend(hashes());
    functions
}

fn single_units() -> Vec<Function> {
    use Kind::{Bytea, Int4, Int8};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    vec![
        one("get_bit", Overload::new(&[Bytea, Int8], Int4, |columns, _| get_bit(columns))),
        one("set_bit", Overload::new(&[Bytea, Int8, Int4], Bytea, |columns, _| set_bit(columns))),
        one("get_byte", Overload::new(&[Bytea, Int4], Int4, |columns, _| get_byte(columns))),
        one("set_byte", Overload::new(&[Bytea, Int4, Int4], Bytea, |columns, _| set_byte(columns))),
        one("bit_count", Overload::new(&[Bytea], Int8, |columns, _| count_bits(columns))),
    ]
}

fn parts() -> Vec<Function> {
    use Kind::{Bytea, Int4};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    let overlay = vec![
        Overload::new(&[Bytea, Bytea, Int4], Bytea, |columns, _| overlay(columns)),
        Overload::new(&[Bytea, Bytea, Int4, Int4], Bytea, |columns, _| overlay(columns)),
    ];
    vec![
        one("ltrim", Overload::new(&[Bytea, Bytea], Bytea, |columns, _| trim(columns, true, false))),
        one("rtrim", Overload::new(&[Bytea, Bytea], Bytea, |columns, _| trim(columns, false, true))),
        one("btrim", Overload::new(&[Bytea, Bytea], Bytea, |columns, _| trim(columns, true, true))),
        one("position", Overload::new(&[Bytea, Bytea], Int4, |columns, _| position(columns))),
        one("byteacat", Overload::new(&[Bytea, Bytea], Bytea, |columns, _| concatenated(columns))),
        Function::immutable("overlay", overlay),
    ]
}

fn conversions() -> Vec<Function> {
    use Kind::{Bytea, Int4, Text};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    vec![
        one("convert", Overload::new(&[Bytea, Text, Text], Bytea, |columns, _| convert(columns))),
        one("convert_from", Overload::new(&[Bytea, Text], Text, |columns, _| convert_from(columns))),
        one("convert_to", Overload::new(&[Text, Text], Bytea, |columns, _| convert_to(columns))),
        one("length", Overload::new(&[Bytea, Text], Int4, |columns, _| length_in(columns))),
    ]
}

fn hashes() -> [Function; 4] {
    use datafusion::functions::crypto::{sha224, sha256, sha384, sha512};
    let of_bytes = |name, kernel| Function::immutable(name, vec![Overload::new(&[Kind::Bytea], Kind::Bytea, kernel)]);
    [
        of_bytes("sha224", |columns, _| hash(&sha224(), columns)),
        of_bytes("sha256", |columns, _| hash(&sha256(), columns)),
        of_bytes("sha384", |columns, _| hash(&sha384(), columns)),
        of_bytes("sha512", |columns, _| hash(&sha512(), columns)),
    ]
}

/// What DataFusion's function makes of the bytes.
fn hash(function: &ScalarUDF, columns: &[ArrayRef]) -> Answer {
    let field = |data_type: &DataType| Arc::new(Field::new("bytes", data_type.clone(), true));
    let rows = columns[0].len();
    let args = ScalarFunctionArgs {
        args: vec![ColumnarValue::Array(Arc::clone(&columns[0]))],
        arg_fields: vec![field(columns[0].data_type())],
        number_rows: rows,
        return_field: field(&DataType::Binary),
        config_options: Arc::new(ConfigOptions::default()),
    };
    let hashed = function.invoke_with_args(args).and_then(|hashed| hashed.to_array(rows));
    let hashed = hashed.map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))?;
    cast(&hashed, &DataType::BinaryView).map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))
}

/// A column of numbers of a strict function.
fn numbers<T: ArrowPrimitiveType>(
    columns: &[ArrayRef],
    mut body: impl FnMut(usize) -> Result<T::Native, QueryError>,
) -> Answer {
    let nulls = present(columns);
    let of_row = |row| match &nulls {
        Some(nulls) if nulls.is_null(row) => Ok(None),
        _ => body(row).map(Some),
    };
    Ok(Arc::new((0..columns[0].len()).map(of_row).collect::<Result<PrimitiveArray<T>, QueryError>>()?))
}

/// An index that has to be below the number of units.
fn checked_index(index: i64, units: usize) -> Result<usize, QueryError> {
    let checked = usize::try_from(index).ok().filter(|index| *index < units);
    checked.ok_or_else(|| {
        let message = format!("index {index} out of valid range, 0..{}", units as i64 - 1);
        QueryError::new(ErrorKind::ArraySubscript, message)
    })
}

fn get_bit(columns: &[ArrayRef]) -> Answer {
    let (bytes, index) = (binaries(columns, 0), columns[1].as_primitive::<Int64Type>());
    numbers::<Int32Type>(columns, |row| {
        let bytes = bytes.value(row);
        let bit = checked_index(index.value(row), bytes.len() * 8)?;
        Ok(i32::from(bytes[bit / 8] >> (bit % 8) & 1))
    })
}

fn set_bit(columns: &[ArrayRef]) -> Answer {
    let (bytes, index, value) = (binaries(columns, 0), columns[1].as_primitive::<Int64Type>(), integers(columns, 2));
    written_bytes(columns, |row, result| {
        result.extend_from_slice(bytes.value(row));
        let bit = checked_index(index.value(row), result.len() * 8)?;
        let mask = 1 << (bit % 8);
        match value.value(row) {
            0 => result[bit / 8] &= !mask,
            1 => result[bit / 8] |= mask,
            _ => return Err(invalid("new bit must be 0 or 1")),
        }
        Ok(())
    })
}

fn get_byte(columns: &[ArrayRef]) -> Answer {
    let (bytes, index) = (binaries(columns, 0), integers(columns, 1));
    numbers::<Int32Type>(columns, |row| {
        let bytes = bytes.value(row);
        Ok(i32::from(bytes[checked_index(i64::from(index.value(row)), bytes.len())?]))
    })
}

/// Of the new value the lowest eight bits are taken.
fn set_byte(columns: &[ArrayRef]) -> Answer {
    let (bytes, index, value) = (binaries(columns, 0), integers(columns, 1), integers(columns, 2));
    written_bytes(columns, |row, result| {
        result.extend_from_slice(bytes.value(row));
        let place = checked_index(i64::from(index.value(row)), result.len())?;
        result[place] = value.value(row) as u8;
        Ok(())
    })
}

fn count_bits(columns: &[ArrayRef]) -> Answer {
    let bytes = binaries(columns, 0);
    numbers::<Int64Type>(columns, |row| Ok(bytes.value(row).iter().map(|byte| i64::from(byte.count_ones())).sum()))
}

/// Takes off bytes that are among the second argument's.
fn trim(columns: &[ArrayRef], at_start: bool, at_end: bool) -> Answer {
    let (bytes, set) = (binaries(columns, 0), binaries(columns, 1));
    written_bytes(columns, |row, result| {
        let (mut kept, set) = (bytes.value(row), set.value(row));
        while let [first, rest @ ..] = kept
            && at_start
            && set.contains(first)
        {
            kept = rest;
        }
        while let [rest @ .., last] = kept
            && at_end
            && set.contains(last)
        {
            kept = rest;
        }
        result.extend_from_slice(kept);
        Ok(())
    })
}

fn position(columns: &[ArrayRef]) -> Answer {
    let (bytes, wanted) = (binaries(columns, 0), binaries(columns, 1));
    numbers::<Int32Type>(columns, |row| {
        let found = memchr::memmem::find(bytes.value(row), wanted.value(row));
        Ok(found.map_or(0, |place| place as i32 + 1))
    })
}

/// `overlay(bytes, placing, start [, length])`; without a length as many bytes are replaced as are put in.
fn concatenated(columns: &[ArrayRef]) -> Answer {
    let (left, right) = (binaries(columns, 0), binaries(columns, 1));
    written_bytes(columns, |row, result| {
        result.extend_from_slice(left.value(row));
        result.extend_from_slice(right.value(row));
        Ok(())
    })
}

fn overlay(columns: &[ArrayRef]) -> Answer {
    let (bytes, placed, start) = (binaries(columns, 0), binaries(columns, 1), integers(columns, 2));
    let length = columns.get(3).map(|_| integers(columns, 3));
    written_bytes(columns, |row, result| {
        let (bytes, placed, start) = (bytes.value(row), placed.value(row), start.value(row));
        if start <= 0 {
            return Err(QueryError::new(ErrorKind::InvalidSubstringLength, "negative substring length not allowed"));
        }
        let replaced = length.map_or(placed.len() as i32, |length| length.value(row));
        let rest = start.checked_add(replaced);
        let rest = rest.ok_or_else(|| QueryError::new(ErrorKind::NumericOutOfRange, "integer out of range"))?;
        let before = (start as usize - 1).min(bytes.len());
        let after = usize::try_from(i64::from(rest) - 1).unwrap_or(0).min(bytes.len());
        result.extend_from_slice(&bytes[..before]);
        result.extend_from_slice(placed);
        result.extend_from_slice(&bytes[after..]);
        Ok(())
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
    /// Bytes of which only those below 128 are known to be characters. Beside UTF-8 it is taken for that.
    SqlAscii,
}

impl Encoding {
    /// The encoding of a name, which PostgreSQL reads without regard to case and punctuation. `role` is for the error.
    fn named(name: &str, role: &str) -> Result<Self, QueryError> {
        let plain =
            |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        match plain(name).as_str() {
            "utf8" | "unicode" => Ok(Self::Utf8),
            "latin1" | "iso88591" => Ok(Self::Latin1),
            "sqlascii" => Ok(Self::SqlAscii),
            wanted if encodings().iter().any(|(_, known)| plain(known) == wanted) => {
                Err(QueryError::unsupported(format!("encoding \"{name}\"")).hint("UTF8, LATIN1 and SQL_ASCII are."))
            }
            _ => Err(invalid(format!("invalid {role}encoding name \"{name}\""))),
        }
    }

    fn read(self, bytes: &[u8]) -> Result<String, QueryError> {
        if let Some(zero) = bytes.iter().position(|byte| *byte == 0) {
            return Err(not_utf8(&bytes[zero..=zero]));
        }
        if self == Self::Latin1 {
            return Ok(bytes.iter().map(|byte| char::from(*byte)).collect());
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_string()),
            Err(error) => {
                let rest = &bytes[error.valid_up_to()..];
                Err(not_utf8(&rest[..sequence_length(rest[0]).min(rest.len())]))
            }
        }
    }

    fn write(self, text: &str, result: &mut Vec<u8>) -> Result<(), QueryError> {
        if self != Self::Latin1 {
            result.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        for character in text.chars() {
            let byte = u8::try_from(u32::from(character)).map_err(|_| no_equivalent(character))?;
            result.push(byte);
        }
        Ok(())
    }
}

/// How long a sequence of UTF-8 is by its first byte, as errors show it.
fn sequence_length(first: u8) -> usize {
    match first {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn not_utf8(bytes: &[u8]) -> QueryError {
    let message = format!("invalid byte sequence for encoding \"UTF8\": {}", hex(bytes));
    QueryError::new(ErrorKind::CharacterNotInRepertoire, message)
}

fn no_equivalent(character: char) -> QueryError {
    let bytes = hex(character.encode_utf8(&mut [0; 4]).as_bytes());
    let message =
        format!("character with byte sequence {bytes} in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"");
    QueryError::new(ErrorKind::UntranslatableCharacter, message)
}

fn convert(columns: &[ArrayRef]) -> Answer {
    let (bytes, from, to) = (binaries(columns, 0), texts(columns, 1), texts(columns, 2));
    written_bytes(columns, |row, result| {
        let from = Encoding::named(from.value(row), "source ")?;
        let to = Encoding::named(to.value(row), "destination ")?;
        to.write(&from.read(bytes.value(row))?, result)
    })
}

fn convert_from(columns: &[ArrayRef]) -> Answer {
    let (bytes, from) = (binaries(columns, 0), texts(columns, 1));
    written(columns, |row, result| {
        result.push_str(&Encoding::named(from.value(row), "source ")?.read(bytes.value(row))?);
        Ok(())
    })
}

fn convert_to(columns: &[ArrayRef]) -> Answer {
    let (text, to) = (texts(columns, 0), texts(columns, 1));
    written_bytes(columns, |row, result| Encoding::named(to.value(row), "destination ")?.write(text.value(row), result))
}

/// How many characters bytes are in an encoding.
fn length_in(columns: &[ArrayRef]) -> Answer {
    let (bytes, encoding) = (binaries(columns, 0), texts(columns, 1));
    numbers::<Int32Type>(columns, |row| {
        let bytes = bytes.value(row);
        match Encoding::named(encoding.value(row), "")? {
            Encoding::SqlAscii => Ok(bytes.len() as i32),
            encoding => Ok(encoding.read(bytes)?.chars().count() as i32),
        }
    })
}
