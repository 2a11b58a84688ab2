//! Sort keys: bytes that compare as PostgreSQL compares values of type jsonb.
//!
//!     object > array > boolean > number > string > null; an empty array at the top is below everything
//!
//! Of two arrays or objects the one with fewer items is less; of equal length the items decide one after the other,
//! of an object a key before its value. Numbers compare by value, so `1.0` and `1.00` have one key; strings by their
//! bytes. Sources: `compareJsonbContainers` in PostgreSQL's `jsonb_util.c`.

use super::document::{Kind, items, members, string_value};
use super::{DEPTH_MAX, too_deep};
use crate::error::QueryError;

const EMPTY_AT_TOP: u8 = 0;
const NULL: u8 = 1;
const STRING: u8 = 2;
const NUMBER: u8 = 3;
const FALSE: u8 = 4;
const TRUE: u8 = 5;
const ARRAY: u8 = 6;
const OBJECT: u8 = 7;

const NEGATIVE: u8 = 0;
const ZERO: u8 = 1;
const POSITIVE: u8 = 2;

/// Writes the key of a value in canonical form.
pub(crate) fn push_sort_key(out: &mut Vec<u8>, text: &str) -> Result<(), QueryError> {
    if Kind::of(text) == Kind::Array && items(text).next().is_none() {
        out.push(EMPTY_AT_TOP);
        return Ok(());
    }
    push_value(out, text, 0)
}

fn push_value(out: &mut Vec<u8>, text: &str, depth: usize) -> Result<(), QueryError> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    match Kind::of(text) {
        Kind::Null => out.push(NULL),
        Kind::Boolean => out.push(if text.starts_with('t') { TRUE } else { FALSE }),
        Kind::String => {
            out.push(STRING);
            push_text(out, text)?;
        }
        Kind::Number => {
            out.push(NUMBER);
            push_number_key(out, text);
        }
        Kind::Array => {
            out.push(ARRAY);
            let count = push_count(out);
            let mut length = 0_u32;
            for item in items(text) {
                push_value(out, item, depth + 1)?;
                length += 1;
            }
            out[count..count + 4].copy_from_slice(&length.to_be_bytes());
        }
        Kind::Object => {
            out.push(OBJECT);
            let count = push_count(out);
            let mut length = 0_u32;
            for member in members(text) {
                push_text(out, member.quoted)?;
                push_value(out, member.value, depth + 1)?;
                length += 1;
            }
            out[count..count + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

/// Leaves room for the number of items, which is known after them.
fn push_count(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    at
}

/// Text holds no zero byte, so that one ends it.
fn push_text(out: &mut Vec<u8>, quoted: &str) -> Result<(), QueryError> {
    out.extend_from_slice(string_value(quoted)?.as_bytes());
    out.push(0);
    Ok(())
}

/// Sign, place of the first digit, digits; all turned round for a negative number.
fn push_number_key(out: &mut Vec<u8>, text: &str) {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all = || whole.bytes().chain(fraction.bytes());
    let leading = all().take_while(|digit| *digit == b'0').count();
    let count = whole.len() + fraction.len();
    let trailing = all().rev().take_while(|digit| *digit == b'0').count();
    if leading == count {
        out.push(ZERO);
        return;
    }
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let start = out.len();
    // The digits before the point, which are negative for a number that begins with zeros after it.
    let place = whole.len() as i32 - leading as i32;
    out.extend_from_slice(&(place as u32 ^ 0x8000_0000).to_be_bytes());
    out.extend(all().skip(leading).take(count - leading - trailing));
    out.push(0);
    if negative {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}
