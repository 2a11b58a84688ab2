//! Casts of parameters and texts in VALUES, `$1::integer` or `CAST('2025-01-01' AS date)`: some drivers write one around every value
//! that they send. A value is read as it would be without a column, cast by what plans cast with, and then assigned like any other.
//!
//! What needs names, modifiers of times, or rules of a domain for its cast is left to a plan.

use super::Cell;
use crate::assignment::is_assignable;
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::operators::call::{cast_result, is_left_to_arrow};
use crate::operators::casts::{CastContext, cast_array, is_castable};
use crate::operators::modifiers::modifier_of;
use crate::parameter_types::{has_free_digits, parameter_number};
use crate::response::{Format, ParameterValue};
use crate::sql_types::sql_type_of;
use crate::standard_spellings::trees::bare;
use crate::types::{OutputStyle, decode_parameter};
use crate::user_types::type_of_oid;
use bytes::Bytes;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{CastKind, Expr, Value, ValueWithSpan};
use std::collections::HashMap;

/// `operand::to`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueCast {
    pub operand: Operand,
    to: SqlType,
    /// The type without its modifier, which is that of a text and of a parameter that the client did not declare.
    pub bare: SqlType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Parameter(usize),
    Text(String),
}

impl ValueCast {
    /// Of a value in VALUES for a column of a type; `None` for everything else. The user's types must be known.
    pub(super) fn of(value: &Expr, column: &SqlType) -> Option<Self> {
        let Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, array: false, format: None } =
            bare(value)
        else {
            return None;
        };
        let Expr::Value(ValueWithSpan { value: literal, .. }) = bare(expr) else { return None };
        let operand = match literal {
            Value::Placeholder(name) => Operand::Parameter(parameter_number(name)?),
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Operand::Text(text.clone()),
            _ => return None,
        };
        let to = sql_type_of(data_type).ok().filter(|_| modifier_of(data_type).is_none())?;
        let bare = type_of_oid(to.oid()).unwrap_or_else(|| to.clone());
        (!is_left_to_arrow(&to) && is_assignable(&to, column)).then_some(Self { operand, to, bare })
    }

    pub(crate) fn parameter(&self) -> Option<usize> {
        match self.operand {
            Operand::Parameter(number) => Some(number),
            Operand::Text(_) => None,
        }
    }

    /// Whether it can be made here of a value of a type.
    fn takes(&self, known: &SqlType) -> bool {
        known.oid() == self.to.oid() || (is_castable(known, &self.to) && !is_left_to_arrow(known))
    }

    /// What a text means that is cast.
    pub(super) fn read(&self, text: &str, style: &OutputStyle) -> Result<ScalarValue, QueryError> {
        let value = ParameterValue { format: Format::Text, bytes: Some(Bytes::copy_from_slice(text.as_bytes())) };
        decode_parameter(&value, &self.bare, style)
    }

    /// The cast value, and its type.
    pub(super) fn cast(
        &self,
        value: ScalarValue,
        known: &SqlType,
        context: &CastContext,
    ) -> Result<(ScalarValue, SqlType), QueryError> {
        let own = SqlType::from_data_type(&value.data_type()).filter(|_| has_free_digits(known));
        let from = own.unwrap_or_else(|| known.clone());
        let is_plain = self.to.typmod() == -1 && !matches!(self.to, SqlType::Bpchar { .. });
        if is_plain && from.oid() == self.to.oid() {
            return Ok((value, from));
        }
        if !self.takes(&from) {
            return Err(QueryError::unsupported(format!("a cast of type {} without a plan", from.base_name())));
        }
        let to = cast_result(&Some(from.clone()), &self.to, None)?;
        let array = value.to_array().map_err(|error| translate(error, None))?;
        let cast = cast_array(&array, &from, &to, context)?;
        let cast = ScalarValue::try_from_array(&cast, 0).map_err(|error| translate(error, None))?;
        Ok((cast, to))
    }
}

/// Whether all casts among rows can be made here of parameters of types that are known.
pub(super) fn are_taken<'a>(rows: &[Vec<Cell>], known: impl Fn(usize) -> Option<&'a SqlType>) -> bool {
    rows.iter().flatten().all(|cell| match cell {
        Cell::Cast(cast) => cast.parameter().and_then(&known).is_none_or(|known| cast.takes(known)),
        _ => true,
    })
}

/// For each parameter that is cast, which of all cells it is that does so first.
pub(super) fn first_casts(rows: &[Vec<Cell>]) -> HashMap<usize, (usize, &ValueCast)> {
    let mut first = HashMap::new();
    for (place, cell) in rows.iter().flatten().enumerate() {
        if let Cell::Cast(cast) = cell
            && let Some(number) = cast.parameter()
        {
            first.entry(number).or_insert((place, cast));
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound_expressions::parse;
    use crate::types::Zone;

    fn cast(value: &str, column: &SqlType) -> Option<ValueCast> {
        ValueCast::of(&parse(value).unwrap(), column)
    }

    #[test]
    fn a_value_that_is_cast_to_a_plain_type_needs_no_plan() {
        let text = SqlType::Text;
        let whole = cast("$1::integer", &SqlType::Int8).unwrap();
        assert_eq!((whole.parameter(), whole.to), (Some(1), SqlType::Int4));
        assert_eq!(cast("((CAST(($12) AS text)))", &text).unwrap().parameter(), Some(12));
        assert!(cast("$1::varchar(3)", &text).is_some());
        assert!(cast("$1::numeric(10, 2)", &SqlType::Float8).is_some());
        assert!(cast("$1::integer[]", &SqlType::Array(Box::new(SqlType::Int4))).is_some());
        assert_eq!(cast("'2025-01-01'::date", &SqlType::Date).unwrap().operand, Operand::Text("2025-01-01".into()));
    }

    #[test]
    fn other_casts_are_planned() {
        let text = SqlType::Text;
        for value in [
            "$1",
            "$1::integer + 1",
            "$1::integer::text",
            "$1::timestamp(0)",
            "$1::regclass",
            "$1::unheard_of",
            "1::text",
        ] {
            assert_eq!(cast(value, &text), None, "{value}");
        }
        assert_eq!(cast("$1::text", &SqlType::Int4), None);
    }

    #[test]
    fn values_are_cut_and_rounded_by_casts() {
        let context = CastContext { zone: Zone::UTC, now_micros: 0 };
        let made = |value: &str, of: ScalarValue, known: &SqlType| {
            cast(value, &SqlType::Text).unwrap().cast(of, known, &context).unwrap().0
        };
        let cut = made("$1::varchar(2)", ScalarValue::from("abc"), &SqlType::Text);
        assert_eq!(cut, ScalarValue::Utf8View(Some("ab".into())));
        assert_eq!(made("$1::integer", ScalarValue::from(2.5), &SqlType::Float8), ScalarValue::from(2));
        let exact = made("$1::numeric(4, 1)", ScalarValue::Decimal128(Some(125), 3, 2), &SqlType::numeric());
        assert_eq!(exact, ScalarValue::Decimal128(Some(13), 4, 1));
    }
}
