//! The first argument of `format`: text with places such as `%s`, `%2$I`, `%-10L` and `%*s`.
//!
//!     place   % [position$] [-] [width | * | *position$] (s | I | L)

use super::quote_literal;
use crate::error::{ErrorKind, QueryError};
use crate::functions::names::quote_identifier;
use crate::functions::strings::{TEXT_BYTES_MAX, invalid, too_long};
use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

/// One place of a template.
struct Place {
    /// The argument's number from 1; `None` is the next one.
    position: Option<usize>,
    left: bool,
    width: Width,
    kind: char,
}

enum Width {
    Characters(i32),
    /// The value of an argument, as a place's position names it.
    Argument(Option<usize>),
}

/// The template with its arguments in their places.
pub(super) fn fill(template: &str, arguments: &[Option<Cow<'_, str>>]) -> Result<String, QueryError> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template.chars().peekable();
    let mut taken = 0;
    let mut argument = |position: Option<usize>| {
        taken = position.unwrap_or(taken + 1);
        arguments.get(taken - 1).map(Option::as_deref).ok_or_else(|| invalid("too few arguments for format()"))
    };
    while let Some(character) = rest.next() {
        if character != '%' || rest.next_if_eq(&'%').is_some() {
            filled.push(character);
            continue;
        }
        let place = read_place(&mut rest)?;
        let width = match place.width {
            Width::Characters(width) => width,
            Width::Argument(position) => argument(position)?.map_or(Ok(0), width_of)?,
        };
        let shown = shown(place.kind, argument(place.position)?)?;
        pad(&mut filled, &shown, width, place.left);
        if filled.len() > TEXT_BYTES_MAX {
            return Err(too_long());
        }
    }
    Ok(filled)
}

fn read_place(rest: &mut Peekable<Chars<'_>>) -> Result<Place, QueryError> {
    let mut place = Place { position: None, left: false, width: Width::Characters(0), kind: 's' };
    let number = read_number(rest)?;
    match number {
        Some(number) if rest.next_if_eq(&'$').is_some() => place.position = Some(checked_position(number)?),
        Some(number) => {
            place.width = Width::Characters(number);
            place.kind = read_kind(rest)?;
            return Ok(place);
        }
        None => {}
    }
    while rest.next_if_eq(&'-').is_some() {
        place.left = true;
    }
    if rest.next_if_eq(&'*').is_some() {
        place.width = Width::Argument(read_width_position(rest)?);
    } else if let Some(number) = read_number(rest)? {
        place.width = Width::Characters(number);
    }
    place.kind = read_kind(rest)?;
    Ok(place)
}

fn read_number(rest: &mut Peekable<Chars<'_>>) -> Result<Option<i32>, QueryError> {
    let mut number: Option<i32> = None;
    while let Some(digit) = rest.peek().and_then(|character| character.to_digit(10)) {
        rest.next();
        let larger = number.unwrap_or(0).checked_mul(10).and_then(|number| number.checked_add(digit as i32));
        number = Some(larger.ok_or_else(out_of_range)?);
    }
    if rest.peek().is_none() { Err(unterminated()) } else { Ok(number) }
}

fn read_width_position(rest: &mut Peekable<Chars<'_>>) -> Result<Option<usize>, QueryError> {
    let Some(number) = read_number(rest)? else { return Ok(None) };
    if rest.next_if_eq(&'$').is_none() {
        return Err(invalid("width argument position must be ended by \"$\""));
    }
    checked_position(number).map(Some)
}

fn checked_position(number: i32) -> Result<usize, QueryError> {
    match usize::try_from(number) {
        Ok(position) if position > 0 => Ok(position),
        _ => Err(invalid("format specifies argument 0, but arguments are numbered from 1")),
    }
}

fn read_kind(rest: &mut Peekable<Chars<'_>>) -> Result<char, QueryError> {
    match rest.next() {
        Some(kind @ ('s' | 'I' | 'L')) => Ok(kind),
        Some(other) => Err(invalid(format!("unrecognized format() type specifier \"{other}\"")).hint(PERCENT_HINT)),
        None => Err(unterminated()),
    }
}

const PERCENT_HINT: &str = "For a single \"%\" use \"%%\".";

fn unterminated() -> QueryError {
    invalid("unterminated format() type specifier").hint(PERCENT_HINT)
}

fn out_of_range() -> QueryError {
    QueryError::new(ErrorKind::NumericOutOfRange, "number is out of range")
}

/// A width that an argument gives.
fn width_of(text: &str) -> Result<i32, QueryError> {
    text.trim().parse().map_err(|_| {
        let message = format!("invalid input syntax for type integer: \"{text}\"");
        QueryError::new(ErrorKind::InvalidTextRepresentation, message)
    })
}

fn shown<'a>(kind: char, value: Option<&'a str>) -> Result<Cow<'a, str>, QueryError> {
    match (kind, value) {
        ('I', Some(text)) => Ok(quote_identifier(text).into()),
        ('I', None) => {
            let message = "null values cannot be formatted as an SQL identifier";
            Err(QueryError::new(ErrorKind::NullNotAllowed, message))
        }
        ('L', Some(text)) => Ok(quote_literal(text).into()),
        ('L', None) => Ok("NULL".into()),
        (_, value) => Ok(value.unwrap_or_default().into()),
    }
}

/// Writes a text in so many characters, or more; a width below zero puts it to the left.
fn pad(filled: &mut String, text: &str, width: i32, left: bool) {
    let missing = (width.unsigned_abs() as usize).min(TEXT_BYTES_MAX).saturating_sub(text.chars().count());
    let left = left || width < 0;
    if left {
        filled.push_str(text);
    }
    filled.extend(std::iter::repeat_n(' ', missing));
    if !left {
        filled.push_str(text);
    }
}
