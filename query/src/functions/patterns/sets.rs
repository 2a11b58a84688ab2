//! regexp_matches and regexp_split_to_table: all matches of a text and what stands between them, as arrays that are unnested.

use super::{Patterns, after, flags_at, prefixes, split, with_flags};
use crate::functions::overload::{Function, Kind};
use crate::functions::strings::{Answer, TextLists, present, texts};
use arrow::array::{Array, ArrayRef, ListArray, NullBufferBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;
use std::sync::Arc;

pub(super) fn functions() -> [Function; 2] {
    use Kind::{ListOf, Text, TextArray};
    let up_to_flags: &[Kind] = &[Text, Text, Text];
    [
        Function::immutable("regexp_matches", prefixes(up_to_flags, 2, ListOf(&TextArray), |c, _| all_matches(c))),
        Function::immutable(
            "regexp_split_to_table",
            prefixes(up_to_flags, 2, TextArray, |c, _| split("regexp_split_to_table", c)),
        ),
    ]
}

/// The groups of each match, or all of it where there are no groups; only the first match without the flag g.
fn all_matches(columns: &[ArrayRef]) -> Answer {
    let (text, pattern) = (texts(columns, 0), texts(columns, 1));
    let nulls = present(columns);
    let mut patterns = Patterns::default();
    let mut matches = TextLists::with_capacity(text.len());
    let (mut lengths, mut valid) = (Vec::with_capacity(text.len()), NullBufferBuilder::new(text.len()));
    for row in 0..text.len() {
        let mut found_in_row = 0;
        let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        if !is_null {
            let text = text.value(row);
            let pattern = patterns.get(pattern.value(row), flags_at(columns, 2, row), with_flags)?;
            let mut search = 0;
            while search <= text.len()
                && let Some(found) = pattern.read(text, search)
            {
                search = after(text, &found);
                pattern.push_groups(text, found, &mut matches);
                found_in_row += 1;
                if !pattern.global {
                    break;
                }
            }
        }
        valid.append(!is_null);
        lengths.push(found_in_row);
    }
    let matches = matches.into_array();
    let item = Arc::new(Field::new("item", matches.data_type().clone(), true));
    Ok(Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), matches, valid.finish())))
}
