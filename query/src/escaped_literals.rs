//! Literals with escapes, read as PostgreSQL reads them (`scan.l`, states `xe` and `xus`; `str_udeescape`).
//!
//! The parser's tokeniser knows neither surrogate pairs nor bytes beyond 127 nor UESCAPE nor names such as `U&"d\0061t"`, and takes
//! a wrong escape for a text that is never closed. So it is shown a text in which letters stand for what is escaped, and its tokens get
//! the values that were read here:
//!
//!     SELECT E'\uD83D\uDE00', 1 AS U&"d!0061t" UESCAPE '!'      the text
//!     SELECT E'xxxxxxxxxxxx', 1 AS   "xxxxxxx"                  as the tokeniser reads it
//!
//! Every character stays in its line and column.

use crate::error::{ErrorKind, QueryError};
use crate::operator_tokens::{piece_end, quoted_length};
use crate::types::checked_text;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};
use std::borrow::Cow;
use std::ops::Range;

/// The escape character of `U&'…'` without UESCAPE.
const ESCAPE: char = '\\';
/// In front of a literal or name with Unicode escapes.
const UNICODE_MARK: usize = "U&".len();

/// A text whose literals hold no escapes, and what these have said.
pub(crate) struct EscapedText<'a> {
    text: Cow<'a, str>,
    /// Each with the byte of `text` at which it begins.
    literals: Vec<(usize, Literal)>,
}

/// A literal or a name that has been read.
struct Literal {
    /// Its bytes in the text with escapes, without UESCAPE.
    range: Range<usize>,
    value: String,
}

/// What is wrong with a literal, and the byte of the text at which it is.
pub(crate) struct Wrong {
    pub error: QueryError,
    pub at: Option<usize>,
}

type Read<T> = Result<T, Wrong>;

impl<'a> EscapedText<'a> {
    pub(crate) fn of(text: &'a str) -> Read<Self> {
        if !may_have_escapes(text.as_bytes()) {
            return Ok(Self { text: Cow::Borrowed(text), literals: Vec::new() });
        }
        let (mut masked, mut literals) = (String::with_capacity(text.len()), Vec::new());
        let mut start = 0;
        while start < text.len() {
            let found = match &text.as_bytes()[start..] {
                [b'e' | b'E', b'\'', ..] => with_backslashes(text, start)?,
                [b'u' | b'U', b'&', b'\'' | b'"', ..] => with_code_points(text, start)?,
                _ => None,
            };
            let end = match found {
                Some((literal, end)) => {
                    let place = masked.len();
                    mask(&text[literal.range.clone()], &mut masked);
                    masked.extend(text[literal.range.end..end].chars().map(|letter| blanked(letter, ' ')));
                    literals.push((place, literal));
                    end
                }
                None => {
                    let (end, _) = piece_end(text.as_bytes(), start);
                    masked.push_str(&text[start..end]);
                    end
                }
            };
            start = end;
        }
        Ok(Self { text: Cow::Owned(masked), literals })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Gives the tokens of the text, which are in its order, the values that were read.
    pub(crate) fn put_back(self, tokens: &mut [TokenWithSpan]) -> Result<(), QueryError> {
        let mut places = Places { rest: self.text.char_indices(), place: Location { line: 1, column: 1 } };
        let mut tokens = tokens.iter_mut();
        for (byte, literal) in self.literals {
            let is_name = self.text.as_bytes()[byte] == b' ';
            let start = places.of_byte(byte);
            let place = places.of_byte(byte + if is_name { UNICODE_MARK } else { 0 });
            // What was shown in the place of a literal must never be taken for it.
            let lost = || QueryError::new(ErrorKind::Internal, "a literal with escapes was not read as one");
            let token = tokens.find(|token| token.span.start == place).ok_or_else(lost)?;
            token.span = Span::new(start, token.span.end);
            match &mut token.token {
                Token::EscapedStringLiteral(value) | Token::UnicodeStringLiteral(value) => *value = literal.value,
                Token::Word(word) => word.value = literal.value,
                _ => return Err(lost()),
            }
        }
        Ok(())
    }
}

/// The line and column of a byte.
pub(crate) fn location_of(text: &str, byte: usize) -> Location {
    Places { rest: text.char_indices(), place: Location { line: 1, column: 1 } }.of_byte(byte)
}

/// Walks over a text; bytes are asked for in their order.
struct Places<'a> {
    rest: std::str::CharIndices<'a>,
    place: Location,
}

impl Places<'_> {
    fn of_byte(&mut self, byte: usize) -> Location {
        while self.rest.offset() < byte
            && let Some((_, letter)) = self.rest.next()
        {
            let Location { line, column } = self.place;
            self.place = match letter {
                '\n' => Location { line: line + 1, column: 1 },
                _ => Location { line, column: column + 1 },
            };
        }
        self.place
    }
}

/// Whether there is an escape, or a name or literal that may have some: most texts have none, and are not walked through.
fn may_have_escapes(text: &[u8]) -> bool {
    memchr::memchr(b'\\', text).is_some()
        || memchr::memchr_iter(b'&', text)
            .any(|mark| mark > 0 && text[mark - 1].eq_ignore_ascii_case(&b'u') && is_quote(text.get(mark + 1)))
}

fn is_quote(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b'\'' | b'"'))
}

/// A literal as the tokeniser is shown it: its marks and quotes, and letters between them. A name loses its mark.
fn mask(literal: &str, masked: &mut String) {
    let quote = literal.find(['\'', '"']).unwrap_or_default();
    let (mark, quoted) = literal.split_at(quote);
    match quoted.starts_with('"') {
        true => masked.extend(mark.chars().map(|_| ' ')),
        false => masked.push_str(mark),
    }
    let inside = &quoted[1..quoted.len() - 1];
    masked.push_str(&quoted[..1]);
    masked.extend(inside.chars().map(|letter| blanked(letter, 'x')));
    masked.push_str(&quoted[..1]);
}

fn blanked(letter: char, with: char) -> char {
    if letter == '\n' { letter } else { with }
}

/// The length of the text in quotes that a text begins with; `None` where it is not closed.
fn closed_length(text: &[u8], has_escapes: bool) -> Option<usize> {
    let length = quoted_length(text, has_escapes);
    // What is not closed goes on to the end, wherever that is.
    let is_closed = length < text.len() || quoted_length(&[text, b" "].concat(), has_escapes) == length;
    is_closed.then_some(length)
}

fn syntax(message: impl Into<String>, at: usize) -> Wrong {
    Wrong { error: QueryError::new(ErrorKind::Syntax, message), at: Some(at) }
}

fn near(message: &str, text: &str, range: Range<usize>) -> Wrong {
    syntax(format!("{message} at or near \"{}\"", &text[range.clone()]), range.start)
}

// ---- E'…' ----

/// The literal that begins at a byte, and where it ends; `None` for one that has no escapes or is never closed.
fn with_backslashes(text: &str, start: usize) -> Read<Option<(Literal, usize)>> {
    let inside = start + 2;
    let end = match closed_length(&text.as_bytes()[start + 1..], true) {
        Some(length) if text[inside..start + length].contains('\\') => start + 1 + length,
        _ => return Ok(None),
    };
    let mut reader = Backslashes { text, at: inside, end: end - 1, value: Vec::new(), high: None };
    while reader.at < reader.end {
        reader.step()?;
    }
    if reader.high.is_some() {
        return Err(near("invalid Unicode surrogate pair", text, end - 1..end));
    }
    let value = checked_text(&reader.value).map_err(|error| Wrong { error, at: None })?;
    Ok(Some((Literal { range: start..end, value: value.to_string() }, end)))
}

struct Backslashes<'a> {
    text: &'a str,
    at: usize,
    /// The closing quote.
    end: usize,
    value: Vec<u8>,
    /// The first half of a surrogate pair.
    high: Option<u32>,
}

impl Backslashes<'_> {
    /// Reads one character or escape.
    fn step(&mut self) -> Read<()> {
        let rest = &self.text.as_bytes()[self.at..self.end];
        let digits = match rest {
            [b'\\', b'u', ..] => 4,
            [b'\\', b'U', ..] => 8,
            _ => 0,
        };
        if digits > 0 {
            if let Some(code) = hexadecimal(rest.get(2..2 + digits)) {
                return self.code_point(code, 2 + digits);
            }
            if self.high.is_none() {
                let error = QueryError::new(ErrorKind::InvalidEscapeSequence, "invalid Unicode escape");
                let error = error.hint("Unicode escapes must be \\uXXXX or \\UXXXXXXXX.");
                return Err(Wrong { error, at: Some(self.at) });
            }
        }
        if self.high.is_some() {
            let letter = self.text[self.at..].chars().next().map_or(1, char::len_utf8);
            return Err(near("invalid Unicode surrogate pair", self.text, self.at..self.at + letter));
        }
        let (byte, length) = match rest {
            [b'\'', b'\'', ..] => (b'\'', 2),
            [b'\\', b'0'..=b'7', ..] => number(&rest[1..], 8, 3),
            [b'\\', b'x', digit, ..] if digit.is_ascii_hexdigit() => {
                let (byte, length) = number(&rest[2..], 16, 2);
                (byte, length + 1)
            }
            [b'\\', b'b', ..] => (b'\x08', 2),
            [b'\\', b'f', ..] => (b'\x0c', 2),
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', other, ..] => (*other, 2),
            [other, ..] => (*other, 1),
            [] => return Ok(()),
        };
        self.value.push(byte);
        self.at += length;
        Ok(())
    }

    fn code_point(&mut self, code: u32, length: usize) -> Read<()> {
        let escape = self.at..self.at + length;
        let wrong = |message| near(message, self.text, escape.clone());
        let whole = match (self.high.take(), code) {
            (Some(high), LOW_FIRST..=LOW_LAST) => Some(paired(high, code)),
            (Some(_), _) | (None, LOW_FIRST..=LOW_LAST) => return Err(wrong("invalid Unicode surrogate pair")),
            (None, HIGH_FIRST..=HIGH_LAST) => None,
            (None, whole) => Some(whole),
        };
        match whole {
            None => self.high = Some(code),
            Some(whole) => {
                let letter = letter(whole).ok_or_else(|| wrong("invalid Unicode escape value"))?;
                self.value.extend(letter.encode_utf8(&mut [0; 4]).bytes());
            }
        }
        self.at = escape.end;
        Ok(())
    }
}

/// The byte that up to so many digits say, of which only the low bits count, and how long they are with the backslash.
fn number(rest: &[u8], radix: u32, digits_max: usize) -> (u8, usize) {
    let digits = rest.iter().take(digits_max).map_while(|byte| char::from(*byte).to_digit(radix));
    let (value, count) = digits.fold((0, 0), |(value, count), digit| (value * radix + digit, count + 1));
    (value as u8, 1 + count)
}

// ---- code points ----

const HIGH_FIRST: u32 = 0xd800;
const HIGH_LAST: u32 = 0xdbff;
const LOW_FIRST: u32 = 0xdc00;
const LOW_LAST: u32 = 0xdfff;

fn paired(high: u32, low: u32) -> u32 {
    0x10000 + ((high - HIGH_FIRST) << 10) + (low - LOW_FIRST)
}

/// The letter of a code point; zero is none.
fn letter(code: u32) -> Option<char> {
    char::from_u32(code).filter(|letter| *letter != '\0')
}

fn hexadecimal(digits: Option<&[u8]>) -> Option<u32> {
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

// ---- U&'…' and U&"…" ----

/// The literal or name that begins at a byte, and where it ends with its UESCAPE; `None` for one that is never closed.
fn with_code_points(text: &str, start: usize) -> Read<Option<(Literal, usize)>> {
    let opening = start + UNICODE_MARK;
    let Some(length) = closed_length(&text.as_bytes()[opening..], false) else { return Ok(None) };
    let end = opening + length;
    if text.as_bytes()[opening] == b'"' && end == opening + 2 {
        return Err(near("zero-length delimited identifier", text, start..end));
    }
    let (escape, after) = escape_character(text, end)?;
    let value = unescaped(text, opening + 1..end - 1, escape)?;
    Ok(Some((Literal { range: start..end, value }, after)))
}

/// The escape character that `UESCAPE 'c'` names behind a literal, and where that ends.
fn escape_character(text: &str, end: usize) -> Read<(char, usize)> {
    let bytes = text.as_bytes();
    let word = behind_blanks(bytes, end);
    let (word_end, _) = if word < bytes.len() { piece_end(bytes, word) } else { (word, false) };
    if !text[word..word_end].eq_ignore_ascii_case("uescape") {
        return Ok((ESCAPE, end));
    }
    let place = behind_blanks(bytes, word_end);
    if place == bytes.len() {
        return Err(syntax("UESCAPE must be followed by a simple string literal at end of input", place));
    }
    let (after, _) = piece_end(bytes, place);
    let literal = &text[place..after];
    let Some(inside) = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) else {
        return Err(near("UESCAPE must be followed by a simple string literal", text, place..after));
    };
    let mut letters = inside.chars();
    match (letters.next(), letters.next()) {
        (Some(escape), None)
            if escape.is_ascii()
                && !escape.is_ascii_hexdigit()
                && !escape.is_ascii_whitespace()
                && !['+', '\'', '"'].contains(&escape) =>
        {
            Ok((escape, after))
        }
        _ => Err(near("invalid Unicode escape character", text, place..after)),
    }
}

/// The first byte from one on that is neither white space nor in a comment.
fn behind_blanks(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < text.len() {
        at = match piece_end(text, at) {
            (end, true) => end,
            _ if text[at].is_ascii_whitespace() => at + 1,
            _ => break,
        };
    }
    at
}

/// What stands between the quotes, without its escapes.
fn unescaped(text: &str, inside: Range<usize>, escape: char) -> Read<String> {
    let quote = text[inside.start - 1..].chars().next().unwrap_or('\'');
    let pair = |at: usize| syntax("invalid Unicode surrogate pair", at);
    let (mut value, mut high, mut at) = (String::new(), None, inside.start);
    while at < inside.end {
        let rest = &text[at..inside.end];
        let mut letters = rest.chars();
        let first = letters.next().unwrap_or(quote);
        let second = letters.next();
        if first != escape || second == Some(escape) {
            if high.is_some() {
                return Err(pair(at));
            }
            value.push(first);
            at += first.len_utf8();
            at += if first == escape || (first == quote && second == Some(quote)) { first.len_utf8() } else { 0 };
            continue;
        }
        let (code, length) = code_of(rest.as_bytes()).ok_or_else(|| {
            let wrong = syntax("invalid Unicode escape", at);
            Wrong { error: wrong.error.hint("Unicode escapes must be \\XXXX or \\+XXXXXX."), ..wrong }
        })?;
        let whole = match (high.take(), code) {
            (Some(first), LOW_FIRST..=LOW_LAST) => Some(paired(first, code)),
            (Some(_), _) | (None, LOW_FIRST..=LOW_LAST) => return Err(pair(at)),
            (None, HIGH_FIRST..=HIGH_LAST) => None,
            (None, whole) => Some(whole),
        };
        match whole {
            None => high = Some(code),
            Some(whole) => value.push(letter(whole).ok_or_else(|| syntax("invalid Unicode escape value", at))?),
        }
        at += length;
    }
    if high.is_some() { Err(pair(inside.end)) } else { Ok(value) }
}

/// The code point behind an escape character of one byte, and how long the escape is.
fn code_of(rest: &[u8]) -> Option<(u32, usize)> {
    match rest {
        [_, b'+', ..] => Some((hexadecimal(rest.get(2..8))?, 8)),
        _ => Some((hexadecimal(rest.get(1..5))?, 5)),
    }
}

#[cfg(test)]
mod tests {
    use super::EscapedText;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

    fn values(text: &str) -> Vec<String> {
        let read = EscapedText::of(text).map_err(|wrong| wrong.error.message);
        read.unwrap().literals.into_iter().map(|(_, literal)| literal.value).collect()
    }

    fn message(text: &str) -> (String, Option<usize>) {
        let wrong = EscapedText::of(text).err().unwrap();
        (wrong.error.message, wrong.at)
    }

    #[test]
    fn escapes_are_read_as_postgresql_reads_them() {
        for (text, value) in [
            (r"E'\uD83D\uDE00'", "😀"),
            (r"e'\U0000D83D\U0000DE00\U0001F600'", "😀😀"),
            (r"E'\xc3\xa9\303\251\x414\1234'", "ééA4S4"),
            (r"E'\x\xg\8\q\'''\\\t'", "xxg8q''\\\t"),
            (r"U&'\0061\+01F600d\\''x'", "a😀d\\'x"),
            (r"U&'\D83D\DE00'", "😀"),
            ("U&'!0061!!\\' /* c */ -- d\n uescape '!'", "a!\\"),
            (r#"u&"d\0061t""a""#, "dat\"a"),
        ] {
            assert_eq!(values(text), [value], "{text}");
        }
    }

    #[test]
    fn wrong_escapes_are_said_where_they_are() {
        for (text, wrong, at) in [
            (r"E'\uD83D'", "invalid Unicode surrogate pair at or near \"'\"", Some(8)),
            (r"E'\uD83Dä'", "invalid Unicode surrogate pair at or near \"ä\"", Some(8)),
            (r"E'\uDE00'", "invalid Unicode surrogate pair at or near \"\\uDE00\"", Some(2)),
            (r"E'\uD83D\u0041'", "invalid Unicode surrogate pair at or near \"\\u0041\"", Some(8)),
            (r"E'\u00'", "invalid Unicode escape", Some(2)),
            (r"E'\u0000'", "invalid Unicode escape value at or near \"\\u0000\"", Some(2)),
            (r"E'\xff'", "invalid byte sequence for encoding \"UTF8\": 0xff", None),
            (r"U&'\D83Dx'", "invalid Unicode surrogate pair", Some(8)),
            (r"U&'\D83D'", "invalid Unicode surrogate pair", Some(8)),
            (r"U&'\00'", "invalid Unicode escape", Some(3)),
            (r"U&'\+110000'", "invalid Unicode escape value", Some(3)),
            ("U&'a' UESCAPE 'ab'", "invalid Unicode escape character at or near \"'ab'\"", Some(14)),
            ("U&'a' UESCAPE 1", "UESCAPE must be followed by a simple string literal at or near \"1\"", Some(14)),
            ("U&\"\"", "zero-length delimited identifier at or near \"U&\"\"\"", Some(0)),
        ] {
            assert_eq!(message(text), (wrong.to_string(), at), "{text}");
        }
    }

    #[test]
    fn values_come_back_behind_letters_of_any_length() {
        let text = r#"E'é\t' 'ü' E'😀\\' U&'\00e9ß' U&"d\0061t😀" x, E'\\'"#;
        let read = EscapedText::of(text).map_err(|wrong| wrong.error.message).unwrap();
        let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, read.text()).tokenize_with_location().unwrap();
        read.put_back(&mut tokens).unwrap();
        let values: Vec<String> = tokens
            .into_iter()
            .filter_map(|token| match token.token {
                Token::EscapedStringLiteral(value) | Token::UnicodeStringLiteral(value) => Some(value),
                Token::Word(word) => Some(word.value),
                _ => None,
            })
            .collect();
        assert_eq!(values, ["é\t", "😀\\", "éß", "dat😀", "x", "\\"]);
    }

    #[test]
    fn the_tokeniser_sees_letters_for_escapes() {
        for (text, masked) in [
            (r"f(E'\n''\'', 'a\')", "f(E'xxxxxx', 'a\\')"),
            ("U&\"a\n\" UESCAPE\n'!', x", "  \"x\n\"        \n   , x"),
            ("-- E'\\n\n'E''\\n' E'a'", "-- E'\\n\n'E''\\n' E'a'"),
            ("E'\\'", "E'\\'"),
            ("E'\\n''", "E'\\n''"),
        ] {
            let read = EscapedText::of(text).map_err(|wrong| wrong.error.message).unwrap();
            assert_eq!(read.text(), masked, "{text}");
        }
    }
}
