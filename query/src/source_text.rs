//! A statement's text, and places in it: lines with columns, bytes, and 1-based characters, each from another.
//!
//! A long list of values has thousands of places. So the text is looked through once, and no place takes more than a look at the
//! characters behind the last mark before it. Where all of a text is ASCII, characters are bytes.

use datafusion::sql::sqlparser::tokenizer::Location;

/// So many characters lie between two marks.
const STRIDE: usize = 64;

pub(crate) struct SourceText<'a> {
    text: &'a str,
    /// The character, counted from 0, that each line begins with.
    lines: Vec<usize>,
    /// The byte of each [`STRIDE`]th character, from the first on; `None` where all of the text is ASCII.
    marks: Option<Vec<usize>>,
}

impl<'a> SourceText<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut lines = vec![0];
        if text.is_ascii() {
            lines.extend(text.match_indices('\n').map(|(newline, _)| newline + 1));
            return Self { text, lines, marks: None };
        }
        let mut marks = Vec::with_capacity(text.len() / STRIDE + 1);
        for (index, (byte, character)) in text.char_indices().enumerate() {
            if index % STRIDE == 0 {
                marks.push(byte);
            }
            if character == '\n' {
                lines.push(index + 1);
            }
        }
        Self { text, lines, marks: Some(marks) }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The byte at a 1-based line and column, at most the end of the text.
    pub(crate) fn byte_of(&self, location: Location) -> usize {
        let byte = self.index_of(location).and_then(|index| self.byte_of_index(index));
        byte.unwrap_or(self.text.len())
    }

    /// The 1-based character at a line and column; `None` for the location that sqlparser gives to things of its own making.
    pub(crate) fn place_of(&self, location: Location) -> Option<usize> {
        (location.line > 0).then(|| self.place_at(self.byte_of(location)))
    }

    /// The byte of a 1-based character, which is one of the text.
    pub(crate) fn byte_at(&self, place: usize) -> Option<usize> {
        self.byte_of_index(place.checked_sub(1)?)
    }

    /// The 1-based character at a byte.
    pub(crate) fn place_at(&self, byte: usize) -> usize {
        let Some(marks) = &self.marks else { return byte + 1 };
        let behind = marks.partition_point(|mark| *mark <= byte).saturating_sub(1);
        behind * STRIDE + self.text[marks[behind]..byte].chars().count() + 1
    }

    /// The character at a line and column, counted from 0; `None` behind the last line.
    fn index_of(&self, location: Location) -> Option<usize> {
        let start = self.lines.get((location.line as usize).saturating_sub(1))?;
        Some(start + (location.column as usize).saturating_sub(1))
    }

    fn byte_of_index(&self, index: usize) -> Option<usize> {
        let Some(marks) = &self.marks else { return (index < self.text.len()).then_some(index) };
        let mark = *marks.get(index / STRIDE)?;
        let (byte, _) = self.text[mark..].char_indices().nth(index % STRIDE)?;
        Some(mark + byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{byte_offset, position_of};

    #[test]
    fn places_are_those_that_a_walk_through_the_text_finds() {
        let long =
            format!("SELECT '{}',\n'{}é',\n{}", "é".repeat(STRIDE), "a".repeat(3 * STRIDE), "1, ".repeat(STRIDE));
        for text in ["SELECT 1,\n  22,\n\n333", "é, x", "SELECT 'é',\n\n'ü'\n", "é", long.as_str()] {
            let indexed = SourceText::new(text);
            for line in 0..6 {
                for column in 0..4 * STRIDE as u64 {
                    // A column beyond its line counts on into the next.
                    let location = Location { line, column };
                    assert_eq!(indexed.place_of(location), position_of(text, location), "{location:?}");
                    assert_eq!(indexed.byte_of(location), byte_offset(text, location), "{location:?}");
                }
            }
            for (index, (byte, _)) in text.char_indices().enumerate() {
                assert_eq!(indexed.byte_at(index + 1), Some(byte));
                assert_eq!(indexed.place_at(byte), index + 1);
            }
            let characters = text.chars().count();
            assert_eq!(indexed.place_at(text.len()), characters + 1);
            assert_eq!((indexed.byte_at(0), indexed.byte_at(characters + 1)), (None, None));
        }
    }
}
