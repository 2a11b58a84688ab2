//! Defaults that are constants: texts that the column's own type reads, so that a row gets its value without a plan.
//!
//! A cast is seen through where it reads what the column would read, as in `'x'::text` of a varchar and `'{}'::jsonb` of a jsonb. Any other
//! one changes the value, or how it is assigned: such a default is computed.

use crate::bound_expressions::parse;
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::insert::{constant_value, numeral, reads_numbers};
use crate::operators::modifiers::modifier_of;
use crate::sql_types::sql_type_of;
use crate::standard_spellings::trees::bare;
use crate::types::{OutputStyle, is_of_labels, value_text};
use crate::user_types::is_called;
use catalog::definition::Column;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, CastKind, DataType, Expr, UnaryOperator, Value};
use std::borrow::Cow;

/// The text of a column's default; `None` inside for NULL, and for no default. `None` for a default that is computed.
pub(crate) fn constant_default(column: &Column) -> Option<Option<String>> {
    match column.missing_value() {
        Some(text) => constant_text(&parse(&text).ok()?, &column.sql_type),
        None => Some(None),
    }
}

/// The value of a column's default in the column's own Arrow type; `None` for a default that is computed.
pub(crate) fn constant_default_value(column: &Column, style: &OutputStyle) -> Result<Option<ScalarValue>, QueryError> {
    let value = match constant_default(column) {
        None => return Ok(None),
        Some(Some(text)) => constant_value(&text, &column.sql_type, style)?,
        Some(None) => ScalarValue::try_from(&column.sql_type.data_type()).map_err(|error| translate(error, None))?,
    };
    Ok(Some(value))
}

/// A default that is a text or a number below zero as PostgreSQL shows it, which keeps the value that its type reads: `5` of `'5'` in an
/// integer column. `None` for any other default.
pub(crate) fn shown_constant(default: &str, sql_type: &SqlType, style: &OutputStyle) -> Option<String> {
    let expression = parse(default).ok()?;
    let (text, sql_type) = read_text(&expression, sql_type)?;
    let text = text.as_ref();
    let text = match &sql_type {
        SqlType::Reg(_) | SqlType::Oid | SqlType::Void => return None,
        SqlType::Numeric { .. } => plain_number(text)?.to_string(),
        sql_type if is_text(sql_type) => text.to_string(),
        sql_type => {
            let value = constant_value(text, sql_type, style).ok()?.to_array().ok()?;
            value_text(&value, 0, sql_type, style)?
        }
    };
    let is_bare = match sql_type {
        SqlType::Bool => return Some(if text == "t" { "true" } else { "false" }.to_string()),
        SqlType::Int4 | SqlType::Numeric { .. } => !text.starts_with('-'),
        _ => false,
    };
    let shown = if is_of_labels(&sql_type) { sql_type.base_name() } else { sql_type.to_string() };
    Some(if is_bare { text } else { format!("'{}'::{shown}", text.replace('\'', "''")) })
}

/// A text, or that of a number below zero, with the type that reads it.
fn read_text<'a>(expression: &'a Expr, sql_type: &SqlType) -> Option<(Cow<'a, str>, SqlType)> {
    match expression {
        Expr::Nested(inner) => read_text(inner, sql_type),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some((Cow::Borrowed(text), sql_type.unmodified())),
            _ => None,
        },
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, array: false, format: None }
            if modifier_of(data_type).is_none() && !matches!(data_type, DataType::Custom(..)) =>
        {
            let to = sql_type_of(data_type).ok()?;
            matches!(bare(expr), Expr::Value(_)).then(|| read_text(expr, &to))?
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let digits = number_of(expr)?;
            let sql_type = match digits {
                digits if digits.parse::<i32>().is_ok() => SqlType::Int4,
                digits if digits.parse::<i64>().is_ok() => SqlType::Int8,
                _ => SqlType::numeric(),
            };
            let text = format!("-{digits}");
            (numeral(&text) == text).then_some((Cow::Owned(text), sql_type))
        }
        _ => None,
    }
}

/// A number of digits alone, without zeros that say nothing.
fn plain_number(text: &str) -> Option<&str> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_short = whole == "0" || !whole.starts_with('0');
    (is_plain(whole) && is_plain(fraction) && is_short).then_some(text)
}

fn constant_text(expression: &Expr, sql_type: &SqlType) -> Option<Option<String>> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Null => Some(None),
            Value::Number(text, _) => number_text(text, sql_type).map(Some),
            Value::SingleQuotedString(text) => Some(Some(text.clone())),
            Value::Boolean(value) if *sql_type == SqlType::Bool || is_text(sql_type) => Some(Some(value.to_string())),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let turned = format!("-{}", number_text(number_of(expr)?, sql_type)?);
            Some(Some(numeral(&turned).to_string()))
        }
        Expr::Nested(inner) => constant_text(inner, sql_type),
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, array: false, format: None } => {
            match reads_alike(data_type, sql_type) {
                true => constant_text(expr, sql_type),
                false => widened_text(expr, data_type, sql_type),
            }
        }
        _ => None,
    }
}

/// The text of a number that is cast to a type which loses nothing on its way into the column's, as in `'-5'::integer` of a bigint.
fn widened_text(number: &Expr, data_type: &DataType, column: &SqlType) -> Option<Option<String>> {
    let to = sql_type_of(data_type).ok()?;
    let is_wider = matches!(
        (&to, column),
        (SqlType::Int2, SqlType::Int4 | SqlType::Int8)
            | (SqlType::Int4, SqlType::Int8)
            | (
                SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Numeric { declared: false, .. },
                SqlType::Numeric { .. } | SqlType::Float4 | SqlType::Float8,
            )
    );
    match constant_text(number, &to).filter(|_| is_wider)? {
        Some(text) => {
            let unsigned = text.strip_prefix('-').unwrap_or(&text);
            let is_plain = unsigned.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let is_held = match to {
                SqlType::Int2 => text.parse::<i16>().is_ok(),
                SqlType::Int4 => text.parse::<i32>().is_ok(),
                SqlType::Int8 => text.parse::<i64>().is_ok(),
                _ => true,
            };
            (is_plain && is_held).then(|| Some(numeral(&text).to_string()))
        }
        None => Some(None),
    }
}

/// The digits of a number as it is written.
fn number_of(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Nested(inner) => number_of(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// A number's text, where it means for the type what the number means when it is assigned.
fn number_text(text: &str, sql_type: &SqlType) -> Option<String> {
    let is_meant = match sql_type {
        SqlType::Int2 => text.parse::<i16>().is_ok(),
        SqlType::Int4 => text.parse::<i32>().is_ok(),
        SqlType::Int8 => text.parse::<i64>().is_ok(),
        sql_type if is_text(sql_type) => text.parse::<i64>().is_ok_and(|number| number.to_string() == text),
        sql_type => reads_numbers(sql_type, text),
    };
    is_meant.then(|| text.to_string())
}

fn is_text(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. })
}

/// Whether the type of a cast makes of every constant what a column's type makes of it. Needs no scope of known types.
fn reads_alike(data_type: &DataType, column: &SqlType) -> bool {
    match (data_type, column) {
        (DataType::Array(ArrayElemTypeDef::SquareBracket(item, _)), SqlType::Array(column)) => {
            reads_alike(item, column)
        }
        (DataType::Custom(name, _), SqlType::Enum(known)) => is_called(name, &known.parts().name),
        _ if modifier_of(data_type).is_some() => false,
        _ => sql_type_of(data_type).is_ok_and(|to| match (&to, column) {
            (SqlType::Text | SqlType::Varchar { length_max: None }, column) if is_text(column) => true,
            (SqlType::Bpchar { length: None }, SqlType::Bpchar { .. }) => true,
            (SqlType::Varchar { .. } | SqlType::Bpchar { .. }, _) => false,
            (SqlType::Numeric { declared: false, .. }, SqlType::Numeric { .. }) => true,
            (to, column) => to == column,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::ids::ColumnId;

    fn constant(default: &str, sql_type: &SqlType) -> Option<Option<String>> {
        let mut column = Column::new(ColumnId(1), "a", sql_type.clone());
        column.default = Some(default.into());
        constant_default(&column)
    }

    fn texts() -> [SqlType; 3] {
        [SqlType::Text, SqlType::Varchar { length_max: Some(3) }, SqlType::Bpchar { length: Some(3) }]
    }

    #[test]
    fn what_the_column_would_read_itself_is_a_constant() {
        let known = |default, sql_type: &SqlType, text: &str| {
            assert_eq!(constant(default, sql_type), Some(Some(text.to_string())), "{default}");
        };
        for sql_type in &texts() {
            known("'x'::text", sql_type, "x");
            known("'x'::character varying", sql_type, "x");
            known("5", sql_type, "5");
            known("true", sql_type, "true");
        }
        known("'-5'::integer", &SqlType::Int8, "-5");
        known("'-0'::integer", &SqlType::Float8, "0");
        known("'-1.5'::numeric", &SqlType::Float8, "-1.5");
        known("'x'::bpchar", &SqlType::Bpchar { length: Some(3) }, "x");
        known("'-1'::integer", &SqlType::Int4, "-1");
        known("(-1)", &SqlType::Int4, "-1");
        known("-0.0", &SqlType::Float8, "0.0");
        known("'1.555'::numeric", &SqlType::Numeric { precision: 5, scale: 2, declared: true }, "1.555");
        known("1.555", &SqlType::Numeric { precision: 5, scale: 2, declared: true }, "1.555");
        known("'2025-01-01 00:00:00'::timestamp without time zone", &SqlType::Timestamp, "2025-01-01 00:00:00");
        known("'{a}'::text[]", &SqlType::Array(Box::new(SqlType::Text)), "{a}");
        known("CAST(('{}') AS jsonb)", &SqlType::Jsonb, "{}");
        assert_eq!(constant("NULL::character varying", &SqlType::Varchar { length_max: Some(3) }), Some(None));
    }

    #[test]
    fn what_a_cast_changes_is_computed() {
        let numeric = SqlType::Numeric { precision: 5, scale: 2, declared: true };
        for (default, sql_type) in [
            ("'abcdef'::varchar(3)", &SqlType::Text),
            ("'abcdef'::varchar(3)", &SqlType::Varchar { length_max: Some(3) }),
            ("'x '::bpchar", &SqlType::Text),
            ("'1.50'::numeric(4,1)", &SqlType::Text),
            ("1.5::int", &numeric),
            ("'1.55'::numeric(5,1)", &numeric),
            ("'1.5'::float8", &SqlType::Int4),
            ("1.5", &SqlType::Int4),
            ("99999999999", &SqlType::Int4),
            ("1.50", &SqlType::Text),
            ("007", &SqlType::Text),
            ("'2025-01-01 12:00'::date", &SqlType::Timestamp),
            ("'2025-01-01 12:00:00.6'::timestamp(0)", &SqlType::Timestamp),
            ("'{1.55}'::numeric(5,1)[]", &SqlType::Array(Box::new(numeric.clone()))),
            ("- -5", &SqlType::Int4),
            ("-'5'", &SqlType::Int4),
            ("1", &SqlType::Bool),
            ("'70000'::smallint", &SqlType::Int8),
            ("'5'::bigint", &SqlType::Int4),
            ("'Infinity'::numeric", &SqlType::Float8),
        ] {
            assert_eq!(constant(default, sql_type), None, "{default} in {sql_type}");
        }
    }
}
