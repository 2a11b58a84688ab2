//! Texts in quotes that go on in a later line: `'a'` and, behind the end of the line, `'b'` are `'ab'`.
//!
//! Between the pieces there is white space with the end of a line in it; a comment to the line's end counts as white space, one with
//! `/*` does not. E'', U&'', B'', X'' and N'' go on in plain quotes and are read to their end as what they began as (`scan.l`, rule
//! `quotecontinue`). Texts between dollars and names in double quotes do not go on.
//!
//!     SELECT 'a'  -- first          tokenised as     SELECT 'ab', x
//!            'b', x                 places in the text as sent
//!
//! The tokeniser reads the text without the gaps, and its tokens are given back the places that they have in the client's text.

use crate::operator_tokens::{piece_end, quoted_length};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, TokenWithSpan};
use std::borrow::Cow;
use std::ops::Range;

/// A text whose literals are in one piece each.
pub(crate) struct JoinedText<'a> {
    source: &'a str,
    text: Cow<'a, str>,
    /// What is left out of the source: from a piece's closing quote through the opening one of the next.
    gaps: Vec<Range<usize>>,
}

impl<'a> JoinedText<'a> {
    pub(crate) fn of(source: &'a str) -> Self {
        let gaps = if may_go_on(source.as_bytes()) { gaps(source.as_bytes()) } else { Vec::new() };
        if gaps.is_empty() {
            return Self { source, text: Cow::Borrowed(source), gaps };
        }
        let mut text = String::with_capacity(source.len());
        let mut end = 0;
        for gap in &gaps {
            text.push_str(&source[end..gap.start]);
            end = gap.end;
        }
        text.push_str(&source[end..]);
        Self { source, text: Cow::Owned(text), gaps }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Gives tokens of the text, which are in its order, the places that they have in the source.
    pub(crate) fn put_back(&self, tokens: &mut [TokenWithSpan]) {
        if self.gaps.is_empty() {
            return;
        }
        let mut places = Places::of(self);
        for token in tokens {
            let start = places.of_place(token.span.start);
            token.span = Span::new(start, places.of_place(token.span.end));
        }
    }

    /// The place in the source of one in the text.
    pub(crate) fn place_in_source(&self, place: Location) -> Location {
        if self.gaps.is_empty() { place } else { Places::of(self).of_place(place) }
    }
}

/// Walks over the source and tells which place of the text each one is.
struct Places<'a> {
    rest: std::str::CharIndices<'a>,
    gaps: std::iter::Peekable<std::slice::Iter<'a, Range<usize>>>,
    in_text: Location,
    in_source: Location,
}

impl<'a> Places<'a> {
    fn of(joined: &'a JoinedText<'_>) -> Self {
        let first = Location { line: 1, column: 1 };
        let (rest, gaps) = (joined.source.char_indices(), joined.gaps.iter().peekable());
        Self { rest, gaps, in_text: first, in_source: first }
    }

    /// Places are asked for in their order.
    fn of_place(&mut self, wanted: Location) -> Location {
        while (self.in_text.line, self.in_text.column) < (wanted.line, wanted.column)
            && let Some((at, letter)) = self.rest.next()
        {
            self.in_source = behind(self.in_source, letter);
            while self.gaps.next_if(|gap| gap.end <= at).is_some() {}
            if !self.gaps.peek().is_some_and(|gap| gap.contains(&at)) {
                self.in_text = behind(self.in_text, letter);
            }
        }
        self.in_source
    }
}

fn behind(place: Location, letter: char) -> Location {
    match letter {
        '\n' => Location { line: place.line + 1, column: 1 },
        _ => Location { line: place.line, column: place.column + 1 },
    }
}

/// Whether a quote ends a line somewhere, or stands before what may be a comment: most texts have no such, and are not walked through.
fn may_go_on(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\'', text).any(|quote| {
        let next = text[quote + 1..].iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\x0c'));
        matches!(next, Some(b'\n' | b'\r' | b'-'))
    })
}

fn gaps(text: &[u8]) -> Vec<Range<usize>> {
    let mut gaps = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let (mut end, _) = piece_end(text, start);
        let has_escapes = matches!(text[start..end], [b'e' | b'E', b'\'', ..]);
        if has_escapes || text[start] == b'\'' {
            while let Some(length) = gap_length(&text[end..]) {
                let next = end + length;
                gaps.push(end - 1..next + 1);
                end = next + quoted_length(&text[next..], has_escapes);
            }
        }
        start = end;
    }
    gaps
}

/// How much there is between the end of a piece and the quote of the next one; `None` where there is no next one.
fn gap_length(text: &[u8]) -> Option<usize> {
    let (mut at, mut ends_line) = (0, false);
    loop {
        match &text[at..] {
            [b'\n' | b'\r', ..] => (at, ends_line) = (at + 1, true),
            [b' ' | b'\t' | b'\x0c', ..] => at += 1,
            [b'-', b'-', ..] => at += memchr::memchr2(b'\n', b'\r', &text[at..])?,
            [b'\'', ..] if ends_line => return Some(at),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::JoinedText;
    use datafusion::sql::sqlparser::tokenizer::Location;

    #[test]
    fn texts_go_on_behind_the_end_of_a_line() {
        for (source, joined) in [
            ("'a'\n'b'", "'ab'"),
            ("'a' -- c\n  -- d\n\t'b'\r'c' 'd'", "'abc' 'd'"),
            ("'a''\n'\n'''b'", "'a''\n''b'"),
            ("e'\\''\n'\\'b', 'x'", "e'\\'\\'b', 'x'"),
            ("u&'\\00'\n'41'", "u&'\\0041'"),
            ("x'1'\n'2'", "x'12'"),
            ("'a' 'b'", "'a' 'b'"),
            ("'a'\n/* c */ 'b'", "'a'\n/* c */ 'b'"),
            ("'a' -- c", "'a' -- c"),
            ("'a', 'b'\n, 'c'", "'a', 'b'\n, 'c'"),
            ("\"a\"\n'b'", "\"a\"\n'b'"),
            ("$$a$$\n'b'", "$$a$$\n'b'"),
            ("-- it's\n'a'\n'b'", "-- it's\n'ab'"),
            ("/* ' */ 'a'\n'b", "/* ' */ 'ab"),
        ] {
            assert_eq!(JoinedText::of(source).text(), joined, "{source}");
        }
    }

    #[test]
    fn places_are_those_of_the_source() {
        let joined = JoinedText::of("f('ä'\n 'b') +\ng('c'\n'd', h)");
        for (text, source) in
            [((1, 3), (1, 3)), ((1, 7), (2, 5)), ((1, 10), (2, 8)), ((2, 1), (3, 1)), ((2, 9), (4, 6))]
        {
            let (place, expected) =
                (Location { line: text.0, column: text.1 }, Location { line: source.0, column: source.1 });
            assert_eq!(joined.place_in_source(place), expected, "{text:?}");
        }
    }
}
