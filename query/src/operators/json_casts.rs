//! Casts from json and jsonb.
//!
//! Both print as their text. A jsonb that is a number or a boolean is cast as that number or boolean; json has no
//! such casts.

use super::casts::out_of_range;
use crate::error::{ErrorKind, QueryError};
use crate::types::json::document::Kind;
use crate::types::{ColumnDecoder, OutputStyle};
use arrow::array::{ArrayRef, AsArray, BooleanArray, LargeBinaryArray, LargeStringArray, PrimitiveArray};
use arrow::datatypes::{Int16Type, Int32Type, Int64Type};
use catalog::sql_type::SqlType;
use std::sync::Arc;

type Converted = Result<ArrayRef, QueryError>;

/// What a jsonb can be cast to beside text and json.
pub(super) fn is_scalar_target(to: &SqlType) -> bool {
    use SqlType::{Bool, Float4, Float8, Int2, Int4, Int8, Numeric};
    matches!(to, Bool | Int2 | Int4 | Int8 | Float4 | Float8 | Numeric { .. })
}

/// The texts of a `json` column.
pub(crate) fn json_texts(array: &LargeBinaryArray) -> impl ExactSizeIterator<Item = Option<&str>> {
    array.iter().map(|value| value.map(|bytes| std::str::from_utf8(bytes).unwrap_or_default()))
}

/// A `json` column as jsonb.
pub(super) fn json_to_jsonb(array: &ArrayRef, style: OutputStyle) -> Converted {
    let decoder = ColumnDecoder::new(SqlType::Jsonb, style);
    decoder.decode(json_texts(array.as_binary::<i64>())).map_err(|failure| failure.error)
}

/// A `jsonb` column as json: its text.
pub(super) fn jsonb_to_json(array: &ArrayRef) -> ArrayRef {
    Arc::new(LargeBinaryArray::from_iter(array.as_string::<i64>().iter().map(|text| text.map(str::as_bytes))))
}

/// A `jsonb` column of booleans or numbers as their SQL type.
pub(super) fn jsonb_to_scalar(array: &ArrayRef, to: &SqlType, style: OutputStyle) -> Converted {
    let texts = array.as_string::<i64>();
    let wanted = if *to == SqlType::Bool { Kind::Boolean } else { Kind::Number };
    for text in texts.iter().flatten() {
        let kind = Kind::of(text);
        if kind != wanted {
            return Err(not_castable(kind, to));
        }
    }
    Ok(match to {
        SqlType::Bool => Arc::new(texts.iter().map(|text| text.map(|text| text == "true")).collect::<BooleanArray>()),
        SqlType::Int2 => Arc::new(rounded(texts, to).collect::<Result<PrimitiveArray<Int16Type>, _>>()?),
        SqlType::Int4 => Arc::new(rounded(texts, to).collect::<Result<PrimitiveArray<Int32Type>, _>>()?),
        SqlType::Int8 => Arc::new(rounded(texts, to).collect::<Result<PrimitiveArray<Int64Type>, _>>()?),
        _ => {
            let decoder = ColumnDecoder::new(to.clone(), style);
            decoder.decode(texts.iter()).map_err(|failure| failure.error)?
        }
    })
}

/// Numbers as integers, half away from zero.
fn rounded<'a, T: TryFrom<i64> + 'a>(
    texts: &'a LargeStringArray,
    to: &'a SqlType,
) -> impl Iterator<Item = Result<Option<T>, QueryError>> + 'a {
    let whole = |text: &str| -> Option<T> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let away = fraction.as_bytes().first().is_some_and(|digit| *digit >= b'5');
        let step = if text.starts_with('-') { -1 } else { 1 };
        let value = whole.parse::<i64>().ok()?;
        T::try_from(if away { value.checked_add(step)? } else { value }).ok()
    };
    texts.iter().map(move |text| text.map(|text| whole(text).ok_or_else(|| out_of_range(to))).transpose())
}

fn not_castable(kind: Kind, to: &SqlType) -> QueryError {
    let what = match kind {
        Kind::Number => "numeric",
        other => other.word(),
    };
    let message = format!("cannot cast jsonb {what} to type {}", to.base_name());
    QueryError::new(ErrorKind::InvalidParameterValue, message)
}
