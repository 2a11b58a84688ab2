//! The values of rows that only join others: parameters are read where they lie in their message, without a value of their own between.
//!
//! What is not read like this (arrays, times with a zone, casts, everything that the column refuses) is read as any other statement
//! reads it.

use super::values::Given;
use super::{integer, is_numbered};
use crate::bound_parameters::{BoundParameters, Piece, Pieces};
use crate::insert::{Cell, CellReader};
use crate::response::ParameterValue;
use crate::types::{OutputStyle, plain_binary, plain_value};
use catalog::definition::Column;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use std::cell::OnceCell;

/// Reads the cells of one execution.
pub(super) struct Parameters<'a> {
    bound: &'a BoundParameters,
    pieces: Pieces<'a>,
    types: &'a [SqlType],
    style: &'a OutputStyle,
    /// Each as a value of its own, once one is needed.
    values: OnceCell<Vec<ParameterValue>>,
}

impl<'a> Parameters<'a> {
    pub(super) fn new(bound: &'a BoundParameters, types: &'a [SqlType], style: &'a OutputStyle) -> Self {
        Self { bound, pieces: bound.pieces(), types, style, values: OnceCell::new() }
    }

    /// The value of a cell, in its column's type; `None` where it is none, or a number that is still to be taken.
    pub(super) fn given(&self, cell: &Cell, column: &Column) -> Option<Given<'a>> {
        if matches!(cell, Cell::Default) && is_numbered(column) {
            return None;
        }
        let known = match cell {
            Cell::Parameter(number) => self.plain(number - 1, &column.sql_type),
            _ => None,
        };
        known.or_else(|| {
            let parameters = self.values.get_or_init(|| self.bound.values());
            let cells = CellReader { types: self.types, parameters, style: self.style };
            cells.value(cell, column).ok().map(Given::Scalar)
        })
    }

    /// A parameter that has its column's type, or nearly so. It has no modifier: a text is as long as it came, and a numeric is rounded to
    /// the column's digits.
    fn plain(&self, index: usize, sql_type: &SqlType) -> Option<Given<'a>> {
        let known = self.types.get(index)?;
        let is_same = known.oid() == sql_type.oid();
        let Some(piece) = self.pieces.at(index)? else {
            return if is_same { ScalarValue::try_from(&sql_type.data_type()).ok().map(Given::Scalar) } else { None };
        };
        match sql_type {
            SqlType::Text if is_same => text(&piece, None),
            SqlType::Varchar { length_max } if is_same || *known == SqlType::Text => text(&piece, *length_max),
            SqlType::Int2 | SqlType::Int4 | SqlType::Int8 if !is_same => {
                let number = match self.read(&piece, known)? {
                    ScalarValue::Int16(value) => i64::from(value?),
                    ScalarValue::Int32(value) => i64::from(value?),
                    ScalarValue::Int64(value) => value?,
                    _ => return None,
                };
                integer(number, sql_type).map(Given::Scalar)
            }
            _ if is_same => self.read(&piece, sql_type).map(Given::Scalar),
            _ => None,
        }
    }

    fn read(&self, piece: &Piece<'_>, sql_type: &SqlType) -> Option<ScalarValue> {
        match piece {
            Piece::Text(field) => plain_value(*field, sql_type, self.style),
            Piece::Binary(bytes) => plain_binary(bytes, sql_type, self.style),
        }
    }
}

/// A text of at most so many letters, which is the same in both formats. Bytes stand for letters here: whoever counts more closely
/// looks again.
fn text<'a>(piece: &Piece<'a>, letters_max: Option<u32>) -> Option<Given<'a>> {
    let text = match piece {
        Piece::Text(field) => field.text(),
        Piece::Binary(bytes) => std::str::from_utf8(bytes).ok()?,
    };
    let fits = letters_max.is_none_or(|limit| text.len() <= limit as usize);
    (fits && memchr::memchr(0, text.as_bytes()).is_none()).then_some(Given::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Format;
    use bytes::Bytes;
    use catalog::ids::ColumnId;

    /// What the first of the parameters becomes without a value of its own between, for a column of a type.
    fn plain(text: &'static str, sql_type: &SqlType) -> Option<String> {
        let bound =
            BoundParameters::new(Bytes::from_static(text.as_bytes()), vec![(Format::Text, Some(0..text.len()))]);
        let (types, style) = ([sql_type.unmodified()], OutputStyle::default());
        let parameters = Parameters::new(&bound, &types, &style);
        Some(match parameters.plain(0, sql_type)? {
            Given::Text(text) => text.to_string(),
            Given::Scalar(value) => value.to_string(),
        })
    }

    #[test]
    fn a_parameter_without_modifier_is_read_for_its_column() {
        let numeric = |precision, scale| SqlType::Numeric { precision, scale, declared: true };
        let varchar = |length_max| SqlType::Varchar { length_max };
        assert_eq!(plain("1.2345", &numeric(4, 1)), plain("1.2", &numeric(4, 1)));
        assert_ne!(plain("1.2345", &numeric(10, 4)), plain("1.2", &numeric(10, 4)));
        assert_eq!(plain("12345", &numeric(4, 1)), None);
        assert_eq!(plain("abc", &varchar(Some(3))), Some("abc".to_string()));
        assert_eq!(plain("abcd", &varchar(Some(3))), None);
        assert_eq!(plain("abcd", &varchar(None)), Some("abcd".to_string()));
    }

    #[test]
    fn a_null_is_one_of_its_column() {
        let bound = BoundParameters::new(Bytes::new(), vec![(Format::Text, None)]);
        let column = Column::new(ColumnId(1), "c", SqlType::Numeric { precision: 4, scale: 1, declared: true });
        let (types, style) = ([column.sql_type.unmodified()], OutputStyle::default());
        let given = Parameters::new(&bound, &types, &style).given(&Cell::Parameter(1), &column);
        assert!(matches!(given, Some(Given::Scalar(ScalarValue::Decimal128(None, 4, 1)))));
    }
}
