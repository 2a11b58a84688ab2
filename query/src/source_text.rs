//! A statement's text, and places in it: lines with columns, bytes, and 1-based characters, each from another.
//!
//! A long list of values has thousands of places. So the text is looked through once, and where all of it is ASCII, no place takes
//! another look.

use crate::statement::{byte_offset, position_of};
use datafusion::sql::sqlparser::tokenizer::Location;

pub(crate) struct SourceText<'a> {
    text: &'a str,
    /// Where its lines begin, where all of it is ASCII.
    lines: Option<Vec<usize>>,
}

impl<'a> SourceText<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let lines = || std::iter::once(0).chain(text.match_indices('\n').map(|(newline, _)| newline + 1)).collect();
        Self { text, lines: text.is_ascii().then(lines) }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The byte at a 1-based line and column, at most the end of the text.
    pub(crate) fn byte_of(&self, location: Location) -> usize {
        let Some(lines) = &self.lines else { return byte_offset(self.text, location) };
        let start = lines.get((location.line as usize).saturating_sub(1));
        start.map_or(self.text.len(), |start| {
            (start + (location.column as usize).saturating_sub(1)).min(self.text.len())
        })
    }

    /// The 1-based character at a line and column; `None` for the location that sqlparser gives to things of its own making.
    pub(crate) fn place_of(&self, location: Location) -> Option<usize> {
        match self.lines {
            Some(_) => (location.line > 0).then(|| self.byte_of(location) + 1),
            None => position_of(self.text, location),
        }
    }

    /// The byte of a 1-based character, which is one of the text.
    pub(crate) fn byte_at(&self, place: usize) -> Option<usize> {
        let index = place.checked_sub(1)?;
        match self.lines {
            Some(_) => (index < self.text.len()).then_some(index),
            None => self.text.char_indices().nth(index).map(|(byte, _)| byte),
        }
    }

    /// The 1-based character at a byte.
    pub(crate) fn place_at(&self, byte: usize) -> usize {
        match self.lines {
            Some(_) => byte + 1,
            None => self.text[..byte].chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_ascii_are_those_of_other_texts() {
        let ascii = "SELECT 1,\n  22,\n\n333";
        let same = SourceText { text: ascii, lines: None };
        let indexed = SourceText::new(ascii);
        assert!(indexed.lines.is_some());
        for line in 0..6 {
            for column in 0..9 {
                let location = Location { line, column };
                assert_eq!(indexed.place_of(location).is_some(), line > 0);
                // A column beyond its line counts on into the next.
                assert_eq!(indexed.place_of(location), same.place_of(location), "{location:?}");
                assert_eq!(indexed.byte_of(location), same.byte_of(location), "{location:?}");
            }
        }
        for place in 0..=ascii.len() + 1 {
            assert_eq!(indexed.byte_at(place), same.byte_at(place));
        }
        assert_eq!(SourceText::new("é, x").byte_at(4), Some(4));
        assert_eq!(SourceText::new("é, x").place_at(4), 4);
    }
}
