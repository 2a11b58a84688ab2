//! Functions over text and bytes, with PostgreSQL's answers where DataFusion has others or none.
//!
//! Positions and lengths count characters, not bytes, and are 1-based. All functions but `string_to_array` are strict. Results are
//! written through one buffer per column. A function whose result may be larger than its arguments is limited by
//! [`TEXT_BYTES_MAX`] for a value and [`COLUMN_BYTES_MAX`] for a batch.

use super::overload::{Function, Kind, Overload};
use crate::error::{ErrorKind, QueryError};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, Int32Array, ListArray, PrimitiveArray,
    StringViewArray, StringViewBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int32Type, Int64Type};
use std::fmt::Write;
use std::sync::Arc;

pub(super) type Answer = Result<ArrayRef, QueryError>;

/// PostgreSQL's limit for a value.
pub(super) const TEXT_BYTES_MAX: usize = 0x3fff_ffff;
/// What one batch of results may take together.
const COLUMN_BYTES_MAX: usize = 1 << 30;

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Int4, Int8, Text, TextArray};
    let one = |name, overload| Function::immutable(name, vec![overload]);
    let mut functions = vec![
        one("left", Overload::new(&[Text, Int4], Text, |c, _| left(c))),
        one("right", Overload::new(&[Text, Int4], Text, |c, _| right(c))),
        one("repeat", Overload::new(&[Text, Int4], Text, |c, _| repeat(c))),
        one("replace", Overload::new(&[Text, Text, Text], Text, |c, _| replace(c))),
        one("split_part", Overload::new(&[Text, Text, Int4], Text, |c, _| split_part(c))),
        one("strpos", Overload::new(&[Text, Text], Int4, |c, _| strpos(c))),
        one("position", Overload::new(&[Text, Text], Int4, |c, _| strpos(c))),
        one("translate", Overload::new(&[Text, Text, Text], Text, |c, _| translate(c))),
        one("initcap", Overload::new(&[Text], Text, |c, _| initcap(c))),
        one("lower", Overload::new(&[Text], Text, |c, _| map_characters(c, simple_lower, str::make_ascii_lowercase))),
        one("upper", Overload::new(&[Text], Text, |c, _| map_characters(c, simple_upper, str::make_ascii_uppercase))),
        one("reverse", Overload::new(&[Text], Text, |c, _| reverse(c))),
        one("ascii", Overload::new(&[Text], Int4, |c, _| ascii(c))),
        one("chr", Overload::new(&[Int4], Text, |c, _| character_of_code(c))),
        Function::immutable(
            "to_hex",
            vec![
                Overload::new(&[Int4], Text, |c, _| to_hex::<Int32Type>(c)),
                Overload::new(&[Int8], Text, |c, _| to_hex::<Int64Type>(c)),
            ],
        ),
        Function::immutable(
            "overlay",
            vec![
                Overload::new(&[Text, Text, Int4], Text, |c, _| overlay(c)),
                Overload::new(&[Text, Text, Int4, Int4], Text, |c, _| overlay(c)),
            ],
        ),
        Function::immutable(
            "string_to_array",
            vec![
                Overload::new(&[Text, Text], TextArray, |c, _| string_to_array(c)),
                Overload::new(&[Text, Text, Text], TextArray, |c, _| string_to_array(c)),
            ],
        ),
        Function::immutable(
            "string_to_table",
            vec![
                Overload::new(&[Text, Text], TextArray, |c, _| string_to_array(c)),
                Overload::new(&[Text, Text, Text], TextArray, |c, _| string_to_array(c)),
            ],
        ),
    ];
    functions.extend(measures());
    functions.extend(["substr", "substring"].map(substring_function));
    functions.extend(paddings());
    functions.extend(trimmings());
    functions
}

fn measures() -> Vec<Function> {
    use Kind::{Bytea, Int4, Text};
    let characters = Overload::new(&[Text], Int4, |c, _| measure_text(c, character_count));
    let bytes = Overload::new(&[Text], Int4, |c, _| measure_text(c, str::len));
    let bits = Overload::new(&[Text], Int4, |c, _| measure_text(c, |text| text.len() * 8));
    let raw_bytes = Overload::new(&[Bytea], Int4, |c, _| measure_bytes(c, 1));
    let raw_bits = Overload::new(&[Bytea], Int4, |c, _| measure_bytes(c, 8));
    vec![
        Function::immutable("length", vec![characters, raw_bytes]),
        Function::immutable("char_length", vec![characters]),
        Function::immutable("character_length", vec![characters]),
        Function::immutable("octet_length", vec![bytes, raw_bytes]),
        Function::immutable("bit_length", vec![bits, raw_bits]),
    ]
}

/// `substring` also takes patterns, as in `substring(a FROM 'pattern')`.
fn substring_function(name: &'static str) -> Function {
    use Kind::{Bytea, Int4, Text};
    let mut overloads = vec![
        Overload::new(&[Text, Int4], Text, |c, _| substring(c)),
        Overload::new(&[Text, Int4, Int4], Text, |c, _| substring(c)),
        Overload::new(&[Bytea, Int4], Bytea, |c, _| substring_of_bytes(c)),
        Overload::new(&[Bytea, Int4, Int4], Bytea, |c, _| substring_of_bytes(c)),
    ];
    if name == "substring" {
        overloads.extend(super::patterns::substring_overloads());
    }
    Function::immutable(name, overloads)
}

fn paddings() -> [Function; 2] {
    use Kind::{Int4, Text};
    let left = vec![
        Overload::new(&[Text, Int4], Text, |c, _| pad(c, Side::Left)),
        Overload::new(&[Text, Int4, Text], Text, |c, _| pad(c, Side::Left)),
    ];
    let right = vec![
        Overload::new(&[Text, Int4], Text, |c, _| pad(c, Side::Right)),
        Overload::new(&[Text, Int4, Text], Text, |c, _| pad(c, Side::Right)),
    ];
    [Function::immutable("lpad", left), Function::immutable("rpad", right)]
}

/// `trim` is what the grammar makes of `trim(a)` without a side.
fn trimmings() -> Vec<Function> {
    use Kind::Text;
    let left = vec![
        Overload::new(&[Text], Text, |c, _| trim(c, true, false)),
        Overload::new(&[Text, Text], Text, |c, _| trim(c, true, false)),
    ];
    let right = vec![
        Overload::new(&[Text], Text, |c, _| trim(c, false, true)),
        Overload::new(&[Text, Text], Text, |c, _| trim(c, false, true)),
    ];
    let both = || {
        vec![
            Overload::new(&[Text], Text, |c, _| trim(c, true, true)),
            Overload::new(&[Text, Text], Text, |c, _| trim(c, true, true)),
        ]
    };
    vec![
        Function::immutable("ltrim", left),
        Function::immutable("rtrim", right),
        Function::immutable("btrim", both()),
        Function::immutable("trim", both()),
    ]
}

/// The rows in which every argument has a value.
pub(super) fn present(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()))
}

fn is_present(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_none_or(|nulls| nulls.is_valid(row))
}

pub(super) fn texts(columns: &[ArrayRef], position: usize) -> &StringViewArray {
    columns[position].as_string_view()
}

pub(super) fn integers(columns: &[ArrayRef], position: usize) -> &Int32Array {
    columns[position].as_primitive()
}

pub(super) fn binaries(columns: &[ArrayRef], position: usize) -> &BinaryViewArray {
    columns[position].as_binary_view()
}

pub(super) fn too_long() -> QueryError {
    QueryError::new(ErrorKind::ProgramLimitExceeded, "requested length too large")
}

pub(super) fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::new(ErrorKind::InvalidParameterValue, message)
}

/// A text column of a strict function whose body writes each row's text into a shared buffer.
pub(super) fn written(
    columns: &[ArrayRef],
    mut body: impl FnMut(usize, &mut String) -> Result<(), QueryError>,
) -> Answer {
    let rows = columns[0].len();
    let nulls = present(columns);
    let mut built = StringViewBuilder::with_capacity(rows);
    let mut text = String::new();
    let mut bytes = 0;
    for row in 0..rows {
        if !is_present(nulls.as_ref(), row) {
            built.append_null();
            continue;
        }
        text.clear();
        body(row, &mut text)?;
        bytes += text.len();
        if text.len() > TEXT_BYTES_MAX || bytes > COLUMN_BYTES_MAX {
            return Err(too_long());
        }
        built.append_value(&text);
    }
    Ok(Arc::new(built.finish()))
}

/// A text column of a strict function that gives a part of an argument, or NULL.
pub(super) fn selected<'a>(
    columns: &'a [ArrayRef],
    mut body: impl FnMut(usize) -> Result<Option<&'a str>, QueryError>,
) -> Answer {
    let nulls = present(columns);
    let mut built = StringViewBuilder::with_capacity(columns[0].len());
    for row in 0..columns[0].len() {
        let text = if is_present(nulls.as_ref(), row) { body(row)? } else { None };
        built.append_option(text);
    }
    Ok(Arc::new(built.finish()))
}

/// An int4 column of a strict function.
pub(super) fn counted(columns: &[ArrayRef], mut body: impl FnMut(usize) -> Result<usize, QueryError>) -> Answer {
    let nulls = present(columns);
    let number = |row| match is_present(nulls.as_ref(), row) {
        true => to_int4(body(row)?).map(Some),
        false => Ok(None),
    };
    let numbers: Int32Array = (0..columns[0].len()).map(number).collect::<Result<_, _>>()?;
    Ok(Arc::new(numbers))
}

fn to_int4(number: usize) -> Result<i32, QueryError> {
    i32::try_from(number).map_err(|_| QueryError::new(ErrorKind::NumericOutOfRange, "integer out of range"))
}

pub(super) fn character_count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// The byte at which the character with this 0-based number begins; the text's end if it has no such character.
pub(super) fn byte_offset(text: &str, character: usize) -> usize {
    if text.is_ascii() {
        return character.min(text.len());
    }
    text.char_indices().nth(character).map_or(text.len(), |(offset, _)| offset)
}

/// The byte at which the last characters of this number begin.
fn byte_offset_from_end(text: &str, characters: usize) -> usize {
    match characters.checked_sub(1) {
        None => text.len(),
        Some(last) => text.char_indices().rev().nth(last).map_or(0, |(offset, _)| offset),
    }
}

fn measure_text(columns: &[ArrayRef], measure: fn(&str) -> usize) -> Answer {
    let text = texts(columns, 0);
    counted(columns, |row| Ok(measure(text.value(row))))
}

fn measure_bytes(columns: &[ArrayRef], units_per_byte: usize) -> Answer {
    let bytes = binaries(columns, 0);
    counted(columns, |row| Ok(bytes.value(row).len() * units_per_byte))
}

fn left(columns: &[ArrayRef]) -> Answer {
    let (text, count) = (texts(columns, 0), integers(columns, 1));
    selected(columns, |row| {
        let (text, count) = (text.value(row), count.value(row));
        let characters = count.unsigned_abs() as usize;
        let end = if count >= 0 { byte_offset(text, characters) } else { byte_offset_from_end(text, characters) };
        Ok(Some(&text[..end]))
    })
}

fn right(columns: &[ArrayRef]) -> Answer {
    let (text, count) = (texts(columns, 0), integers(columns, 1));
    selected(columns, |row| {
        let (text, count) = (text.value(row), count.value(row));
        let characters = count.unsigned_abs() as usize;
        let start = if count >= 0 { byte_offset_from_end(text, characters) } else { byte_offset(text, characters) };
        Ok(Some(&text[start..]))
    })
}

fn repeat(columns: &[ArrayRef]) -> Answer {
    let (text, count) = (texts(columns, 0), integers(columns, 1));
    written(columns, |row, result| {
        let (text, count) = (text.value(row), usize::try_from(count.value(row)).unwrap_or(0));
        if text.len().saturating_mul(count) > TEXT_BYTES_MAX {
            return Err(too_long());
        }
        (0..count).for_each(|_| result.push_str(text));
        Ok(())
    })
}

fn replace(columns: &[ArrayRef]) -> Answer {
    let (text, from, to) = (texts(columns, 0), texts(columns, 1), texts(columns, 2));
    written(columns, |row, result| {
        let (text, from, to) = (text.value(row), from.value(row), to.value(row));
        if from.is_empty() {
            result.push_str(text);
            return Ok(());
        }
        let mut copied = 0;
        for (offset, found) in text.match_indices(from) {
            result.push_str(&text[copied..offset]);
            result.push_str(to);
            copied = offset + found.len();
            if result.len() > TEXT_BYTES_MAX {
                return Err(too_long());
            }
        }
        result.push_str(&text[copied..]);
        Ok(())
    })
}

fn split_part(columns: &[ArrayRef]) -> Answer {
    let (text, delimiter, field) = (texts(columns, 0), texts(columns, 1), integers(columns, 2));
    selected(columns, |row| {
        let field = field.value(row);
        if field == 0 {
            return Err(invalid("field position must not be zero"));
        }
        Ok(Some(field_of(text.value(row), delimiter.value(row), field)))
    })
}

/// The field with this number, from the end if it is negative; nothing where there is no such field.
fn field_of<'a>(text: &'a str, delimiter: &str, field: i32) -> &'a str {
    if delimiter.is_empty() {
        return if field.unsigned_abs() == 1 { text } else { "" };
    }
    let from_start = |position: usize| text.split(delimiter).nth(position).unwrap_or("");
    let distance = field.unsigned_abs() as usize;
    if field > 0 {
        return from_start(distance - 1);
    }
    // Delimiters are looked for from the start also here: "aaa" has the delimiter "aa" before its last "a".
    let fields = text.split(delimiter).count();
    fields.checked_sub(distance).map_or("", from_start)
}

fn strpos(columns: &[ArrayRef]) -> Answer {
    let (text, wanted) = (texts(columns, 0), texts(columns, 1));
    counted(columns, |row| {
        let text = text.value(row);
        Ok(text.find(wanted.value(row)).map_or(0, |offset| character_count(&text[..offset]) + 1))
    })
}

/// Begin and end of a substring in units from 0, cut to what is before the text's end by the caller. A start before the text takes
/// characters away from the length.
fn substring_range(start: i32, length: Option<i32>) -> Result<(usize, usize), QueryError> {
    let begin = usize::try_from(i64::from(start) - 1).unwrap_or(0);
    let Some(length) = length else { return Ok((begin, usize::MAX)) };
    if length < 0 {
        return Err(QueryError::new(ErrorKind::InvalidSubstringLength, "negative substring length not allowed"));
    }
    let end = usize::try_from(i64::from(start) - 1 + i64::from(length)).unwrap_or(0);
    Ok((begin, end.max(begin)))
}

fn substring(columns: &[ArrayRef]) -> Answer {
    let (text, start) = (texts(columns, 0), integers(columns, 1));
    let length = columns.get(2).map(|_| integers(columns, 2));
    selected(columns, |row| {
        let (begin, end) = substring_range(start.value(row), length.map(|length| length.value(row)))?;
        let rest = &text.value(row)[byte_offset(text.value(row), begin)..];
        Ok(Some(&rest[..byte_offset(rest, end - begin)]))
    })
}

fn substring_of_bytes(columns: &[ArrayRef]) -> Answer {
    let (bytes, start) = (binaries(columns, 0), integers(columns, 1));
    let length = columns.get(2).map(|_| integers(columns, 2));
    written_bytes(columns, |row, result| {
        let (begin, end) = substring_range(start.value(row), length.map(|length| length.value(row)))?;
        let bytes = bytes.value(row);
        result.extend_from_slice(&bytes[begin.min(bytes.len())..end.min(bytes.len())]);
        Ok(())
    })
}

/// A bytea column of a strict function whose body writes each row's bytes into a shared buffer.
pub(super) fn written_bytes(
    columns: &[ArrayRef],
    mut body: impl FnMut(usize, &mut Vec<u8>) -> Result<(), QueryError>,
) -> Answer {
    let nulls = present(columns);
    let mut built = BinaryViewBuilder::with_capacity(columns[0].len());
    let mut bytes = Vec::new();
    for row in 0..columns[0].len() {
        if !is_present(nulls.as_ref(), row) {
            built.append_null();
            continue;
        }
        bytes.clear();
        body(row, &mut bytes)?;
        built.append_value(&bytes);
    }
    Ok(Arc::new(built.finish()))
}

/// `overlay(text, placing, start [, length])`; without a length as many characters are replaced as are put in.
fn overlay(columns: &[ArrayRef]) -> Answer {
    let (text, placed, start) = (texts(columns, 0), texts(columns, 1), integers(columns, 2));
    let length = columns.get(3).map(|_| integers(columns, 3));
    written(columns, |row, result| {
        let (text, placed, start) = (text.value(row), placed.value(row), start.value(row));
        if start <= 0 {
            return Err(QueryError::new(ErrorKind::InvalidSubstringLength, "negative substring length not allowed"));
        }
        let replaced = match length {
            Some(length) => length.value(row),
            None => to_int4(character_count(placed))?,
        };
        let rest = start.checked_add(replaced);
        let rest = rest.ok_or_else(|| QueryError::new(ErrorKind::NumericOutOfRange, "integer out of range"))?;
        let before = byte_offset(text, start as usize - 1);
        let after = byte_offset(text, usize::try_from(i64::from(rest) - 1).unwrap_or(0));
        result.push_str(&text[..before]);
        result.push_str(placed);
        result.push_str(&text[after..]);
        Ok(())
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A text that is too long loses its end on either side of padding.
fn pad(columns: &[ArrayRef], side: Side) -> Answer {
    let (text, length) = (texts(columns, 0), integers(columns, 1));
    let fill = columns.get(2).map(|_| texts(columns, 2));
    written(columns, |row, result| {
        let (text, length) = (text.value(row), usize::try_from(length.value(row)).unwrap_or(0));
        let fill = fill.map_or(" ", |fill| fill.value(row));
        let kept = &text[..byte_offset(text, length)];
        let missing = if fill.is_empty() { 0 } else { length - character_count(kept) };
        // PostgreSQL counts the widest character of the encoding, four bytes.
        if missing > 0 && length > TEXT_BYTES_MAX / 4 {
            return Err(too_long());
        }
        let padding = fill.chars().cycle().take(missing);
        if side == Side::Left {
            result.extend(padding);
            result.push_str(kept);
        } else {
            result.push_str(kept);
            result.extend(padding);
        }
        Ok(())
    })
}

fn trim(columns: &[ArrayRef], at_start: bool, at_end: bool) -> Answer {
    let text = texts(columns, 0);
    let characters = columns.get(1).map(|_| texts(columns, 1));
    selected(columns, |row| {
        let unwanted = characters.map_or(" ", |characters| characters.value(row));
        let is_unwanted = |character: char| unwanted.contains(character);
        let text = text.value(row);
        let text = if at_start { text.trim_start_matches(is_unwanted) } else { text };
        Ok(Some(if at_end { text.trim_end_matches(is_unwanted) } else { text }))
    })
}

fn translate(columns: &[ArrayRef]) -> Answer {
    let (text, from, to) = (texts(columns, 0), texts(columns, 1), texts(columns, 2));
    written(columns, |row, result| {
        let (from, to) = (from.value(row), to.value(row));
        for character in text.value(row).chars() {
            match from.chars().position(|other| other == character) {
                None => result.push(character),
                Some(position) => result.extend(to.chars().nth(position)),
            }
        }
        Ok(())
    })
}

fn reverse(columns: &[ArrayRef]) -> Answer {
    let text = texts(columns, 0);
    written(columns, |row, result| {
        result.extend(text.value(row).chars().rev());
        Ok(())
    })
}

fn map_characters(columns: &[ArrayRef], map: fn(char) -> char, map_ascii: fn(&mut str)) -> Answer {
    let text = texts(columns, 0);
    written(columns, |row, result| {
        let text = text.value(row);
        if text.is_ascii() {
            result.push_str(text);
            map_ascii(result);
        } else {
            result.extend(text.chars().map(map));
        }
        Ok(())
    })
}

fn initcap(columns: &[ArrayRef]) -> Answer {
    let text = texts(columns, 0);
    written(columns, |row, result| {
        let mut in_word = false;
        for character in text.value(row).chars() {
            result.push(if in_word { simple_lower(character) } else { simple_upper(character) });
            in_word = character.is_alphanumeric();
        }
        Ok(())
    })
}

/// The one capital letter of a character, itself where there is none: 'ß' has only the two letters "SS".
fn simple_upper(character: char) -> char {
    match character {
        // Greek letters with an iota below have a single capital, but Rust writes them in full.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            char::from_u32(u32::from(character) + 8).unwrap_or(character)
        }
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => char::from_u32(u32::from(character) + 9).unwrap_or(character),
        _ => single(character.to_uppercase()).unwrap_or(character),
    }
}

fn simple_lower(character: char) -> char {
    match character {
        'İ' => 'i',
        _ => single(character.to_lowercase()).unwrap_or(character),
    }
}

fn single(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next();
    if characters.next().is_none() { first } else { None }
}

fn ascii(columns: &[ArrayRef]) -> Answer {
    let text = texts(columns, 0);
    counted(columns, |row| Ok(text.value(row).chars().next().map_or(0, |first| u32::from(first) as usize)))
}

fn character_of_code(columns: &[ArrayRef]) -> Answer {
    let codes = integers(columns, 0);
    let refused = |message: String| QueryError::new(ErrorKind::ProgramLimitExceeded, message);
    written(columns, |row, result| {
        let code = codes.value(row);
        let Ok(positive) = u32::try_from(code) else {
            return Err(invalid("character number must be positive"));
        };
        if positive == 0 {
            return Err(refused("null character not permitted".into()));
        }
        if positive > u32::from(char::MAX) {
            return Err(refused(format!("requested character too large for encoding: {code}")));
        }
        let character = char::from_u32(positive)
            .ok_or_else(|| refused(format!("requested character not valid for encoding: {code}")))?;
        result.push(character);
        Ok(())
    })
}

/// Negative numbers show their two's complement in the type's width.
fn to_hex<T: ArrowPrimitiveType>(columns: &[ArrayRef]) -> Answer
where
    T::Native: std::fmt::LowerHex,
{
    let numbers: &PrimitiveArray<T> = columns[0].as_primitive();
    written(columns, |row, result| {
        write!(result, "{:x}", numbers.value(row)).expect("a String takes everything");
        Ok(())
    })
}

/// Not strict: a NULL delimiter takes the text apart into characters, and a NULL third argument stands for no text.
fn string_to_array(columns: &[ArrayRef]) -> Answer {
    let (text, delimiter) = (texts(columns, 0), texts(columns, 1));
    let null_text = columns.get(2).map(|_| texts(columns, 2));
    let mut lists = TextLists::with_capacity(text.len());
    for row in 0..text.len() {
        if text.is_null(row) {
            lists.finish_null();
            continue;
        }
        let (whole, null_text) = (text.value(row), null_text.filter(|nulls| nulls.is_valid(row)));
        let null_text = null_text.map(|nulls| nulls.value(row));
        let mut add = |item: &str| lists.push((Some(item) != null_text).then_some(item));
        if whole.is_empty() {
            // An empty text has no items, not an empty one.
        } else if delimiter.is_null(row) {
            let mut buffer = [0; 4];
            whole.chars().for_each(|character| add(character.encode_utf8(&mut buffer)));
        } else if delimiter.value(row).is_empty() {
            add(whole);
        } else {
            whole.split(delimiter.value(row)).for_each(add);
        }
        lists.finish();
    }
    Ok(lists.into_array())
}

/// A column of type text[] that is being built.
pub(super) struct TextLists {
    items: StringViewBuilder,
    lengths: Vec<usize>,
    validity: Vec<bool>,
    /// Items of the list that is not finished yet.
    pending: usize,
}

impl TextLists {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            items: StringViewBuilder::with_capacity(rows),
            lengths: Vec::with_capacity(rows),
            validity: Vec::with_capacity(rows),
            pending: 0,
        }
    }

    pub(super) fn push(&mut self, item: Option<&str>) {
        self.items.append_option(item);
        self.pending += 1;
    }

    pub(super) fn finish(&mut self) {
        self.lengths.push(std::mem::take(&mut self.pending));
        self.validity.push(true);
    }

    /// NULL instead of a list; nothing may have been pushed for it.
    pub(super) fn finish_null(&mut self) {
        assert_eq!(self.pending, 0, "a NULL has no items");
        self.lengths.push(0);
        self.validity.push(false);
    }

    pub(super) fn into_array(mut self) -> ArrayRef {
        let DataType::List(item) = Kind::TextArray.sql_type().data_type() else {
            unreachable!("an array's Arrow type is a list");
        };
        let offsets = OffsetBuffer::<i32>::from_lengths(self.lengths);
        let nulls = Some(NullBuffer::from(self.validity)).filter(|nulls| nulls.null_count() > 0);
        Arc::new(ListArray::new(item, offsets, Arc::new(self.items.finish()), nulls))
    }
}
