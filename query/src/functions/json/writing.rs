//! SQL values as JSON: what `to_json` and `to_jsonb` make of a column.
//!
//! Numbers and booleans stay what they are, json is taken over, arrays and rows become arrays and objects, moments
//! their ISO 8601 form in the session's time zone, and everything else a string of its text. As in PostgreSQL the
//! text of json has no spaces inside of arrays and rows; jsonb is written in canonical form.

use super::super::strings::invalid;
use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::{CastContext, cast_array};
use crate::output_names::shown_name;
use crate::response::Format;
use crate::types::json::{canonical, push_number, push_object, push_string};
use crate::types::{EncodedColumn, OutputStyle, Zone, encode_column};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, Field};
use catalog::sql_type::SqlType;
use std::borrow::Cow;

/// A column whose values can be written as JSON.
pub(super) enum Values {
    Null,
    Booleans(EncodedColumn),
    Numbers(EncodedColumn),
    Texts(EncodedColumn),
    Json(EncodedColumn),
    Jsonb(EncodedColumn),
    Arrays(ListArray, Box<Values>),
    Rows(StructArray, Vec<(String, Values)>),
}

impl Values {
    /// Prepares a column; `field` says its type and `zone` is the session's.
    pub(super) fn new(column: &ArrayRef, field: &Field, zone: Zone) -> Result<Self, QueryError> {
        if let DataType::Struct(fields) = column.data_type() {
            let rows = column.as_struct();
            let members = fields
                .iter()
                .zip(rows.columns())
                .map(|(field, column)| Ok((shown_name(field.name()).to_string(), Self::new(column, field, zone)?)));
            return Ok(Self::Rows(rows.clone(), members.collect::<Result<_, QueryError>>()?));
        }
        if let DataType::List(item) = column.data_type() {
            let lists = column.as_list::<i32>();
            return Ok(Self::Arrays(lists.clone(), Box::new(Self::new(lists.values(), item, zone)?)));
        }
        if *column.data_type() == DataType::Null {
            return Ok(Self::Null);
        }
        let sql_type = SqlType::from_field(field)
            .ok_or_else(|| QueryError::new(ErrorKind::CannotCoerce, "a value has a type that JSON cannot show"))?;
        let text = texts(column, &sql_type, zone)?;
        Ok(match sql_type {
            SqlType::Bool => Self::Booleans(text),
            SqlType::Int2
            | SqlType::Int4
            | SqlType::Int8
            | SqlType::Float4
            | SqlType::Float8
            | SqlType::Numeric { .. } => Self::Numbers(text),
            SqlType::Json => Self::Json(text),
            SqlType::Jsonb => Self::Jsonb(text),
            SqlType::Timestamp | SqlType::TimestampTz => Self::Texts(in_iso_form(&text)),
            _ => Self::Texts(text),
        })
    }

    /// Whether the values are arrays or rows, which aggregates put on lines of their own.
    pub(super) fn is_structured(&self) -> bool {
        matches!(self, Self::Arrays(..) | Self::Rows(..))
    }

    /// Writes a value as json. With `lines` the members or items of the value itself stand on lines.
    pub(super) fn push_json(&self, row: usize, lines: bool, out: &mut String) {
        let separator = if lines { ",\n " } else { "," };
        match self {
            Self::Null => out.push_str("null"),
            Self::Booleans(texts) => out.push_str(texts.value(row).map_or("null", boolean)),
            Self::Numbers(texts) => push_or_null(texts, row, out, push_json_number),
            Self::Texts(texts) => push_or_null(texts, row, out, push_string),
            Self::Json(texts) | Self::Jsonb(texts) => push_or_null(texts, row, out, |out, text| out.push_str(text)),
            Self::Arrays(lists, _) if lists.is_null(row) => out.push_str("null"),
            Self::Arrays(lists, items) => {
                out.push('[');
                for (position, item) in range(lists, row).enumerate() {
                    if position > 0 {
                        out.push_str(separator);
                    }
                    items.push_json(item, false, out);
                }
                out.push(']');
            }
            Self::Rows(rows, _) if rows.is_null(row) => out.push_str("null"),
            Self::Rows(_, members) => {
                out.push('{');
                for (position, (name, values)) in members.iter().enumerate() {
                    if position > 0 {
                        out.push_str(separator);
                    }
                    push_string(out, name);
                    out.push(':');
                    values.push_json(row, false, out);
                }
                out.push('}');
            }
        }
    }

    /// Writes a value in canonical form.
    pub(super) fn push_jsonb(&self, row: usize, out: &mut String) -> Result<(), QueryError> {
        match self {
            Self::Numbers(texts) => match texts.value(row).map(text) {
                Some(text) if is_number(&text) => push_number(out, &text)?,
                _ => self.push_json(row, false, out),
            },
            Self::Json(texts) => match texts.value(row).map(text) {
                Some(text) => out.push_str(&canonical(&text)?),
                None => out.push_str("null"),
            },
            Self::Arrays(lists, items) if lists.is_valid(row) => {
                out.push('[');
                for (position, item) in range(lists, row).enumerate() {
                    if position > 0 {
                        out.push_str(", ");
                    }
                    items.push_jsonb(item, out)?;
                }
                out.push(']');
            }
            Self::Rows(rows, members) if rows.is_valid(row) => {
                let written = members.iter().map(|(name, values)| {
                    let mut value = String::new();
                    values.push_jsonb(row, &mut value)?;
                    Ok((name, value))
                });
                push_object(out, written.collect::<Result<Vec<_>, QueryError>>()?);
            }
            _ => self.push_json(row, false, out),
        }
        Ok(())
    }

    /// A value as the key of an object; `None` for a NULL.
    pub(super) fn key(&self, row: usize) -> Result<Option<String>, QueryError> {
        match self {
            Self::Null => Ok(None),
            Self::Booleans(texts) => Ok(texts.value(row).map(|value| boolean(value).to_string())),
            Self::Numbers(texts) | Self::Texts(texts) => Ok(texts.value(row).map(|value| text(value).into_owned())),
            _ => Err(invalid("key value must be scalar, not array, composite, or json")),
        }
    }

    /// Whether a value is NULL.
    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Booleans(texts)
            | Self::Numbers(texts)
            | Self::Texts(texts)
            | Self::Json(texts)
            | Self::Jsonb(texts) => texts.value(row).is_none(),
            Self::Arrays(lists, _) => lists.is_null(row),
            Self::Rows(rows, _) => rows.is_null(row),
        }
    }
}

fn texts(column: &ArrayRef, sql_type: &SqlType, zone: Zone) -> Result<EncodedColumn, QueryError> {
    let style = OutputStyle { time_zone: zone, ..OutputStyle::default() };
    // Operators may have given another unit than the type's own.
    let column = match sql_type {
        SqlType::Timestamp | SqlType::TimestampTz => {
            cast_array(column, sql_type, sql_type, &CastContext { zone, now_micros: 0 })?
        }
        _ => ArrayRef::clone(column),
    };
    encode_column(&column, sql_type, Format::Text, &style)
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn boolean(printed: &[u8]) -> &'static str {
    if printed == b"t" { "true" } else { "false" }
}

fn push_or_null(texts: &EncodedColumn, row: usize, out: &mut String, push: impl Fn(&mut String, &str)) {
    match texts.value(row) {
        Some(value) => push(out, &text(value)),
        None => out.push_str("null"),
    }
}

/// `NaN` and infinities are no numbers to JSON.
fn is_number(printed: &str) -> bool {
    printed.ends_with(|last: char| last.is_ascii_digit())
}

fn push_json_number(out: &mut String, printed: &str) {
    if is_number(printed) { out.push_str(printed) } else { push_string(out, printed) }
}

fn range(lists: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = lists.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

/// `2024-01-02 03:04:05+02` as `2024-01-02T03:04:05+02:00`.
fn in_iso_form(printed: &EncodedColumn) -> EncodedColumn {
    let mut built = EncodedColumn { nulls: printed.nulls.clone(), ..EncodedColumn::default() };
    for row in 0..printed.ends.len() {
        if let Some(value) = printed.value(row) {
            built.bytes.extend_from_slice(iso_form(&text(value)).as_bytes());
        }
        built.ends.push(built.bytes.len() as u32);
    }
    built
}

fn iso_form(printed: &str) -> String {
    let (moment, era) = match printed.strip_suffix(" BC") {
        Some(moment) => (moment, " BC"),
        None => (printed, ""),
    };
    let Some((date, time)) = moment.split_once(' ') else { return printed.to_string() };
    let offset = time.find(['+', '-']).map_or("", |at| &time[at..]);
    // An offset of whole hours is printed without minutes.
    let minutes = if offset.len() == 3 { ":00" } else { "" };
    format!("{date}T{time}{minutes}{era}")
}
