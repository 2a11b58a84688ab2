//! `ARRAY[…]` in the syntax tree: where it stands, and casts of it, which are casts of its items.
//!
//!     ARRAY['1', x]::int[]     ARRAY['1'::int, x::int]

use super::call::{Places, SiteKind, is_left_to_arrow};
use super::meetings::Meeting;
use super::sites::{Annotator, plain_values};
use crate::error::{ErrorKind, QueryError};
use crate::functions::overload::innermost;
use crate::standard_spellings::trees::bare;
use crate::user_types::is_tagged_array;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{Expr, Function, FunctionArguments, Value};

/// What arrays begin with.
const WORD: &str = "array";

impl Annotator<'_> {
    pub(super) fn array(&mut self, items: Vec<Expr>) -> Expr {
        let operands: Vec<Option<usize>> = items.iter().map(|item| self.place(item)).collect();
        let first = operands.first().copied().flatten();
        let site = first.and_then(|first| self.array_place(first)).or(first);
        self.add(SiteKind::Meeting(Meeting::Array), Places { site, operands }, items)
    }

    /// The place of the word ARRAY, or of the bracket where there is none, before the first item.
    fn array_place(&self, first: usize) -> Option<usize> {
        let source = self.source.as_ref()?;
        let bracket = source.text()[..source.byte_at(first)?].rfind('[')?;
        let before = source.text()[..bracket].trim_end();
        let word = before
            .len()
            .checked_sub(WORD.len())
            .filter(|start| before.get(*start..).is_some_and(|word| word.eq_ignore_ascii_case(WORD)));
        Some(source.place_at(word.unwrap_or(bracket)))
    }

    /// An array that was written out, cast item by item to an array of a type; `None` for what is none.
    pub(super) fn cast_items(&mut self, array: &Expr, to: &SqlType) -> Option<Expr> {
        let is_array = matches!(self.site_of(array), Some((SiteKind::Meeting(Meeting::Array), _)));
        let item = match to {
            SqlType::Array(item) if !matches!(item.as_ref(), SqlType::Array(_)) => item.as_ref(),
            _ => return None,
        };
        if !is_array || is_left_to_arrow(innermost(to)) || is_tagged_array(to) {
            return None;
        }
        let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = array else { return None };
        let items = plain_values(&list.args)?.into_iter().map(|value| match self.cast_items(&value, to) {
            Some(row) => row,
            None => {
                let place = self.place(&value);
                let places = Places { site: place, operands: vec![place] };
                self.add(SiteKind::Cast(item.clone()), places, vec![value])
            }
        });
        let items = items.collect();
        Some(self.array(items))
    }
}

/// Whether an array has no items, in any depth.
pub(super) fn is_empty_array(items: &[Expr]) -> bool {
    items.iter().all(|item| matches!(item, Expr::Array(inner) if is_empty_array(&inner.elem)))
}

/// An empty array that is cast to a type of arrays is spelt as the text of one.
pub(super) fn spell_empty_array(operand: &mut Expr) {
    if matches!(bare(operand), Expr::Array(array) if is_empty_array(&array.elem)) {
        *operand = Expr::Value(Value::SingleQuotedString("{}".to_string()).into());
    }
}

/// What an empty array is that is cast to no type; the place is that of the first in the text that no `::` follows.
pub(super) fn empty_array(source: Option<&str>) -> QueryError {
    let brackets = |source: &str, (at, bracket): (usize, &str)| {
        let inside = source[at + bracket.len()..].trim_start();
        let behind = inside.strip_prefix(']')?.trim_start();
        let word = source[..at].trim_end();
        let start = word.len().checked_sub(WORD.len())?;
        let is_array = word.get(start..)?.eq_ignore_ascii_case(WORD) && !behind.starts_with("::");
        is_array.then(|| source[..start].chars().count() + 1)
    };
    let place = source.and_then(|source| source.match_indices('[').find_map(|found| brackets(source, found)));
    QueryError::new(ErrorKind::IndeterminateDatatype, "cannot determine type of empty array")
        .position(place)
        .hint("Explicitly cast to the desired type, for example ARRAY[]::integer[].")
}

/// Whether the items of an array are values of types, and not rows.
pub(crate) fn is_array_of_values(items: &[Expr]) -> bool {
    let is_value = |item: &Expr| match item {
        Expr::Tuple(_) => false,
        Expr::Array(inner) => is_array_of_values(&inner.elem),
        Expr::Function(function) => {
            let name = function.name.to_string();
            !["row", "named_struct", "make_array"].contains(&name.trim_matches('"'))
        }
        _ => true,
    };
    !items.is_empty() && items.iter().all(is_value)
}
