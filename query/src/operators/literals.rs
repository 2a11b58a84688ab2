//! Literals in the types that they have: numbers by their digits, `N'…'` as char, bits as nothing but integers.
//!
//!     1, 3000000000, 1.50, 1e300     integer, bigint, numeric(3,2), a long number
//!     N'a'                           character
//!     X'1f'::integer                 31; without such a cast it is a bit string, a type that is not kept
//!     'x1f'::bit(8)::integer         31 too; see `functions/bits`

use super::long_numbers::is_long;
use super::sites::{Annotator, LITERAL_INT4, call, marked};
use crate::error::{ErrorKind, QueryError};
use crate::functions::bits::{BITS_TO_BIGINT, BITS_TO_INTEGER, check_bits};
use crate::sql_types::sql_type_of;
use crate::standard_spellings::trees::bare;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{CastKind, DataType, Expr, Value, ValueWithSpan};
use datafusion::sql::sqlparser::tokenizer::Span;

/// PostgreSQL's own.
const BIT_LENGTH_MAX: u64 = 83_886_080;

type Result<T> = std::result::Result<T, QueryError>;

impl Annotator<'_> {
    pub(super) fn literal(&mut self, literal: ValueWithSpan) -> Result<Expr> {
        let ValueWithSpan { value, span } = literal;
        let text = |text: String| Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span });
        Ok(match value {
            Value::Number(digits, long) => self.number(digits, long, span),
            Value::UnicodeStringLiteral(letters) if letters.contains('\0') => {
                let error = QueryError::new(ErrorKind::Syntax, "invalid Unicode escape value");
                return Err(error.position(self.place(&text(letters))));
            }
            Value::UnicodeStringLiteral(letters) => text(letters),
            Value::NationalStringLiteral(letters) => self.cast(text(letters), SqlType::Bpchar { length: None }),
            Value::HexStringLiteral(digits) | Value::SingleQuotedByteStringLiteral(digits) => {
                let error =
                    QueryError::unsupported("type bit").hint("Use an integer, as in X'1F'::integer, or a bytea.");
                return Err(error.position(self.place(&text(digits))));
            }
            other => Expr::Value(ValueWithSpan { value: other, span }),
        })
    }

    /// What stands for a value that is cast to bits and then to an integer type.
    pub(super) fn number_of_bits(&self, expression: &Expr) -> Result<Option<Expr>> {
        let Expr::Cast { expr, data_type, .. } = expression else { return Ok(None) };
        let Expr::Cast { kind, expr: operand, data_type: bits @ DataType::Bit(length), .. } = bare(expr) else {
            return Ok(None);
        };
        let function = match sql_type_of(data_type) {
            Ok(SqlType::Int4) => BITS_TO_INTEGER,
            Ok(SqlType::Int8) => BITS_TO_BIGINT,
            _ => return Ok(None),
        };
        let length = length.unwrap_or(1);
        if !(1..=BIT_LENGTH_MAX).contains(&length) {
            let what =
                if length == 0 { "must be at least 1".into() } else { format!("cannot exceed {BIT_LENGTH_MAX}") };
            let message = format!("length for type bit {what}");
            let place = match kind {
                CastKind::DoubleColon => self.cast_place(operand, kind).and_then(|place| self.after_symbol(place)),
                _ => self.name_place(bits),
            };
            return Err(QueryError::new(ErrorKind::InvalidParameterValue, message).position(place));
        }
        let digits = match bare(operand) {
            Expr::Value(literal) => match &literal.value {
                Value::HexStringLiteral(digits) => Some(format!("x{digits}")),
                Value::SingleQuotedByteStringLiteral(digits) => Some(format!("b{digits}")),
                Value::SingleQuotedString(digits) => Some(digits.clone()),
                _ => None,
            },
            _ => None,
        };
        if let Some(digits) = &digits {
            check_bits(digits).map_err(|error| error.position(self.place(operand)))?;
        }
        let operand = match digits {
            Some(digits) => Expr::Value(Value::SingleQuotedString(digits).into()),
            None => (**operand).clone(),
        };
        let length = Expr::Value(Value::Number(length.to_string(), false).into());
        Ok(Some(call(function, vec![operand, length])))
    }

    /// Makes a number of bits that are cast to an integer type.
    pub(super) fn spell_bits(&self, operand: &mut Expr, to: &DataType) -> Result<()> {
        let place = self.place(operand);
        let Expr::Value(literal) = operand else { return Ok(()) };
        let (digits, radix, digit_bits) = match &literal.value {
            Value::HexStringLiteral(digits) => (digits, 16, 4),
            Value::SingleQuotedByteStringLiteral(digits) => (digits, 2, 1),
            _ => return Ok(()),
        };
        let (name, bits_max) = match sql_type_of(to) {
            Ok(SqlType::Int4) => ("integer", 32),
            Ok(SqlType::Int8) => ("bigint", 64),
            _ => return Ok(()),
        };
        if digits.len() * digit_bits > bits_max {
            return Err(QueryError::new(ErrorKind::NumericOutOfRange, format!("{name} out of range")));
        }
        let bits = match digits.as_str() {
            "" => 0,
            digits => u64::from_str_radix(digits, radix).map_err(|_| {
                let message = format!("\"{digits}\" is not a string of bits");
                QueryError::new(ErrorKind::InvalidTextRepresentation, message).position(place)
            })?,
        };
        let number = if bits_max == 32 { i64::from(bits as u32 as i32) } else { bits as i64 };
        literal.value = Value::Number(number.to_string(), false);
        Ok(())
    }

    /// An integer is of the first type that holds it: integer, bigint, numeric. Other numbers are numeric, without an exponent.
    pub(super) fn number(&mut self, digits: String, long: bool, span: Span) -> Expr {
        let value = |text: String| Expr::Value(ValueWithSpan { value: Value::Number(text, long), span });
        if digits.parse::<i32>().is_ok() {
            return marked(value(digits), LITERAL_INT4);
        }
        if is_long(&digits) {
            return self.long_number(Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(digits), span }));
        }
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
        let whole = plain && !digits.contains('.');
        if digits.parse::<i64>().is_ok() || (plain && !whole) {
            return value(digits);
        }
        let text = Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(digits), span });
        self.cast(text, SqlType::numeric())
    }
}
