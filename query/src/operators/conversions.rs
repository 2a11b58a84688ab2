//! Values that become another type: what a cast says, what a literal is beside a typed operand, and what numbers and texts meet in.

use super::array_parameters;
use super::call::{cast_result, is_left_to_arrow};
use super::casts::{cast_array, cast_call, cast_call_clamped, expression_field, is_text, literal};
use super::lowering::{Argument, Lowering, is_array_of_plain, metadata_of};
use crate::error::QueryError;
use crate::functions::constant_value;
use crate::user_types::is_tagged_array;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{Cast, Placeholder};
use std::sync::Arc;

impl Lowering<'_> {
    pub(super) fn cast(&self, operand: Argument, to: &SqlType) -> Result<Expr, QueryError> {
        let value = match &operand.expression {
            Expr::Literal(value, _) => Some(value.clone()),
            _ => None,
        };
        let to = cast_result(&operand.known, to, value.as_ref())?;
        match operand.known.clone() {
            None => self.typed(operand, &to),
            Some(from) if is_text(&to) && is_array_of_plain(&from) => {
                Ok(self.converted(operand.expression, &from, &to))
            }
            Some(SqlType::Char) if to == SqlType::Int4 => Ok(self.converted(operand.expression, &SqlType::Char, &to)),
            // The names of objects are found where names are known.
            Some(from) if is_left_to_arrow(&from) || (operand.is_alias && is_text(&to)) || is_left_to_arrow(&to) => {
                Ok(Expr::Cast(Cast::new_from_field(Box::new(operand.expression), Arc::new(expression_field(&to)))))
            }
            Some(from) if to == SqlType::Bytea => {
                let padded = self.padded(operand.expression, &from)?;
                let from = if matches!(from, SqlType::Bpchar { .. }) { SqlType::Text } else { from };
                Ok(self.converted(padded, &from, &to))
            }
            Some(from) => Ok(self.converted(operand.expression, &from, &to)),
        }
    }

    /// A literal or parameter of unknown type as a value of a type; other expressions as they are.
    pub(super) fn typed(&self, argument: Argument, to: &SqlType) -> Result<Expr, QueryError> {
        if argument.known.is_some() {
            return Ok(argument.expression);
        }
        match argument.expression {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
                let to = &cast_result(&None, to, Some(&ScalarValue::Utf8(Some(text.clone()))))?;
                let to = match to {
                    // Beside a numeric column a literal keeps its own digits.
                    SqlType::Numeric { declared: true, .. } | SqlType::Array(_) => to.clone(),
                    SqlType::Numeric { .. } => {
                        let (precision, scale) =
                            crate::types::natural_type(&text).map_err(|error| error.position(argument.place))?;
                        SqlType::Numeric { precision, scale, declared: false }
                    }
                    other => other.clone(),
                };
                let value = literal(&text, &to, self.context).map_err(|error| error.position(argument.place))?;
                if is_tagged_array(&to) {
                    let text = Expr::Literal(ScalarValue::Utf8View(Some(text)), None);
                    return Ok(cast_call(text, SqlType::Text, to, self.context));
                }
                Ok(Expr::Literal(value, metadata_of(&to)))
            }
            Expr::Literal(ScalarValue::Utf8(None) | ScalarValue::Null, _) if is_tagged_array(to) => {
                let null = Expr::Literal(ScalarValue::Utf8View(None), None);
                Ok(cast_call(null, SqlType::Text, to.clone(), self.context))
            }
            Expr::Literal(ScalarValue::Utf8(None) | ScalarValue::Null, _) => {
                let null = ScalarValue::try_from(&to.data_type()).unwrap_or(ScalarValue::Null);
                Ok(Expr::Literal(null, metadata_of(to)))
            }
            Expr::Placeholder(Placeholder { id, field: None }) => Ok(array_parameters::parameter(id, to, self.context)),
            other => Ok(cast_call(other, SqlType::Text, to.clone(), self.context)),
        }
    }

    pub(super) fn to_common(&self, value: Expr, from: &SqlType, common: &DataType, to: &SqlType) -> Expr {
        if (from, to) == (&SqlType::Timestamp, &SqlType::TimestampTz) {
            // A comparison does not fail where the zone leads out of the calendar.
            return match self.converted(value.clone(), from, to) {
                folded @ Expr::Literal(..) => folded,
                _ => cast_call_clamped(value, from.clone(), to.clone(), self.context),
            };
        }
        if from.data_type() == *common { value } else { self.converted(value, from, to) }
    }

    /// A number as an operand; widening is Arrow's own cast, which the optimiser sees through.
    pub(super) fn to_number(&self, value: Expr, from: &SqlType, to: &DataType) -> Expr {
        if let Expr::Literal(literal, None) = &value
            && literal.data_type() != *to
            && let Ok(widened) = literal.cast_to(to)
            && matches!(
                to,
                DataType::Int16
                    | DataType::Int32
                    | DataType::Int64
                    | DataType::Decimal128(..)
                    | DataType::Decimal256(..)
            )
        {
            return Expr::Literal(widened, None);
        }
        match (from, to) {
            _ if from.data_type() == *to => value,
            (SqlType::Numeric { .. }, DataType::Float64) => self.converted(value, from, &SqlType::Float8),
            (SqlType::Numeric { .. }, DataType::Float32) => self.converted(value, from, &SqlType::Float4),
            _ => datafusion::logical_expr::cast(value, to.clone()),
        }
    }

    pub(super) fn to_text(&self, value: Expr, from: &SqlType) -> Expr {
        match from {
            SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name => value,
            _ => self.converted(value, from, &SqlType::Text),
        }
    }

    pub(super) fn converted(&self, value: Expr, from: &SqlType, to: &SqlType) -> Expr {
        if let Expr::Literal(literal, _) = &value
            && to.data_type() != DataType::Null
            && !is_tagged_array(to)
            && let Ok(array) = literal.to_array()
            && let Ok(cast) = cast_array(&array, from, to, self.context)
            && let Ok(folded) = constant_value(&cast)
        {
            return Expr::Literal(folded, metadata_of(to));
        }
        let widening = matches!(
            (from, to),
            (SqlType::Int2, SqlType::Int4 | SqlType::Int8 | SqlType::Float8)
                | (SqlType::Int4, SqlType::Int8 | SqlType::Float8)
        );
        if widening {
            return datafusion::logical_expr::cast(value, to.data_type());
        }
        cast_call(value, from.clone(), to.clone(), self.context)
    }
}
