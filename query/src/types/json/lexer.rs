//! Tokens of JSON text, and what is wrong with text that is none.
//!
//! The rules and the words are those of PostgreSQL's `jsonapi.c`: an error tells the token and shows the line up to it.

use crate::error::{ErrorKind, QueryError};
use std::borrow::Cow;

/// The bytes of a line that an error shows before the place.
const CONTEXT_BYTES: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Comma,
    Colon,
    String,
    Number,
    True,
    False,
    Null,
    End,
}

/// Reads tokens one after the other.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the token that was read last starts and ends.
    start: usize,
    end: usize,
    token: Option<Token>,
    line: usize,
    line_start: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, start: 0, end: 0, token: None, line: 1, line_start: 0 }
    }

    /// The text of the token that was read last.
    pub(super) fn token_text(&self) -> &'a str {
        &self.text[self.start..self.end]
    }

    /// The next token. A string is checked but for what only its decoding shows, see [`Lexer::decoded`].
    pub(super) fn next(&mut self) -> Result<Token, QueryError> {
        let bytes = self.text.as_bytes();
        let mut at = self.end;
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
            if bytes[at] == b'\n' {
                self.line += 1;
                self.line_start = at + 1;
            }
            at += 1;
        }
        self.start = at;
        let token = match bytes.get(at) {
            None => {
                self.end = at;
                Token::End
            }
            Some(b'{') => self.mark(Token::ObjectStart),
            Some(b'}') => self.mark(Token::ObjectEnd),
            Some(b'[') => self.mark(Token::ArrayStart),
            Some(b']') => self.mark(Token::ArrayEnd),
            Some(b',') => self.mark(Token::Comma),
            Some(b':') => self.mark(Token::Colon),
            Some(b'"') => self.string()?,
            Some(b'-') => self.number(at + 1)?,
            Some(b'0'..=b'9') => self.number(at)?,
            Some(_) => self.word()?,
        };
        self.token = Some(token);
        Ok(token)
    }

    fn mark(&mut self, token: Token) -> Token {
        self.end = self.start + 1;
        token
    }

    fn word(&mut self) -> Result<Token, QueryError> {
        let bytes = self.text.as_bytes();
        self.end = self.start + bytes[self.start..].iter().take_while(|byte| is_word(**byte)).count();
        if self.end == self.start {
            // Other marks stand alone; a letter beyond ASCII belongs to a word.
            self.end += 1;
            return Err(self.invalid_token());
        }
        match self.token_text() {
            "true" => Ok(Token::True),
            "false" => Ok(Token::False),
            "null" => Ok(Token::Null),
            _ => Err(self.invalid_token()),
        }
    }

    /// `digits` is where they begin, after a minus sign.
    fn number(&mut self, digits: usize) -> Result<Token, QueryError> {
        let bytes = self.text.as_bytes();
        let run = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = match bytes.get(digits) {
            Some(b'0') => 1,
            _ => run(digits),
        };
        let mut valid = whole > 0;
        let mut at = digits + whole;
        if bytes.get(at) == Some(&b'.') {
            let fraction = run(at + 1);
            valid &= fraction > 0;
            at += 1 + fraction;
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            let exponent = run(at);
            valid &= exponent > 0;
            at += exponent;
        }
        // What follows without a space belongs to the token.
        let rest = bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        self.end = at + rest;
        if valid && rest == 0 { Ok(Token::Number) } else { Err(self.invalid_token()) }
    }

    fn string(&mut self) -> Result<Token, QueryError> {
        let bytes = self.text.as_bytes();
        let mut at = self.start + 1;
        loop {
            match bytes.get(at) {
                None => return Err(self.unterminated()),
                Some(b'"') => {
                    self.end = at + 1;
                    return Ok(Token::String);
                }
                Some(b'\\') => at = self.escape(at + 1)?,
                Some(control @ ..32) => {
                    self.end = at;
                    return Err(self.error(&format!("Character with value 0x{control:02x} must be escaped.")));
                }
                Some(_) => at += 1,
            }
        }
    }

    /// Checks the escape whose letter stands at `at` and tells where it ends.
    fn escape(&mut self, at: usize) -> Result<usize, QueryError> {
        let bytes = self.text.as_bytes();
        match bytes.get(at) {
            None => Err(self.unterminated()),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
            Some(b'u') => {
                for digit in at + 1..=at + 4 {
                    match bytes.get(digit) {
                        None => return Err(self.unterminated()),
                        Some(byte) if byte.is_ascii_hexdigit() => {}
                        Some(_) => {
                            self.end = self.after_character(digit);
                            return Err(self.error("\"\\u\" must be followed by four hexadecimal digits."));
                        }
                    }
                }
                Ok(at + 5)
            }
            Some(_) => {
                self.start = at;
                self.end = self.after_character(at);
                let shown = self.token_text();
                Err(self.error(&format!("Escape sequence \"\\{shown}\" is invalid.")))
            }
        }
    }

    fn after_character(&self, at: usize) -> usize {
        self.text[at..].chars().next().map_or(at, |character| at + character.len_utf8())
    }

    /// The value of the string that was read last. It may have escapes that stand for no character.
    pub(super) fn decoded(&mut self) -> Result<Cow<'a, str>, QueryError> {
        let inner = &self.text[self.start + 1..self.end - 1];
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Ok(Cow::Borrowed(inner));
        }
        match unescape(inner) {
            Ok(decoded) => Ok(Cow::Owned(decoded)),
            Err((at, wrong)) => {
                self.end = self.after_character(self.start + 1 + at);
                let mut error = wrong.error();
                error.context = Some(self.context());
                Err(error)
            }
        }
    }

    fn unterminated(&mut self) -> QueryError {
        self.end = self.text.len();
        self.invalid_token()
    }

    fn invalid_token(&self) -> QueryError {
        self.error(&format!("Token \"{}\" is invalid.", self.token_text()))
    }

    /// The error for a token that does not belong where it stands.
    #[cold]
    pub(super) fn expected(&self, what: &str) -> QueryError {
        match self.token {
            Some(Token::End) | None => self.error("The input string ended unexpectedly."),
            Some(_) => self.error(&format!("Expected {what}, but found \"{}\".", self.token_text())),
        }
    }

    #[cold]
    fn error(&self, detail: &str) -> QueryError {
        QueryError::new(ErrorKind::InvalidTextRepresentation, "invalid input syntax for type json")
            .detail(detail)
            .context(self.context())
    }

    /// `JSON data, line 1: {"a" 1...`: the line as far as the token's end.
    fn context(&self) -> String {
        let mut start = self.line_start;
        while self.end - start >= CONTEXT_BYTES {
            start = self.after_character(start);
        }
        if start - self.line_start <= 3 {
            start = self.line_start;
        }
        let next = self.text.as_bytes().get(self.end);
        let ends = self.token == Some(Token::End) || matches!(next, None | Some(b'\n' | b'\r'));
        let (before, after) = (if start > self.line_start { "..." } else { "" }, if ends { "" } else { "..." });
        format!("JSON data, line {}: {before}{}{after}", self.line, &self.text[start..self.end])
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// An escape that stands for no character that text can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrongEscape {
    Zero,
    HighAfterHigh,
    LowAlone,
}

impl WrongEscape {
    pub(super) fn error(self) -> QueryError {
        let syntax = |detail: &str| {
            QueryError::new(ErrorKind::InvalidTextRepresentation, "invalid input syntax for type json").detail(detail)
        };
        match self {
            Self::Zero => QueryError::new(ErrorKind::UntranslatableCharacter, "unsupported Unicode escape sequence")
                .detail("\\u0000 cannot be converted to text."),
            Self::HighAfterHigh => syntax("Unicode high surrogate must not follow a high surrogate."),
            Self::LowAlone => syntax("Unicode low surrogate must follow a high surrogate."),
        }
    }
}

/// The text that a checked string without its quotes stands for, or the byte at which an escape is found to be wrong.
pub(super) fn unescape(inner: &str) -> Result<String, (usize, WrongEscape)> {
    let bytes = inner.as_bytes();
    let mut decoded = String::with_capacity(inner.len());
    let mut high: Option<u32> = None;
    let mut at = 0;
    while at < bytes.len() {
        let plain = memchr::memchr(b'\\', &bytes[at..]).unwrap_or(bytes.len() - at);
        if plain > 0 {
            if high.is_some() {
                return Err((at, WrongEscape::LowAlone));
            }
            decoded.push_str(&inner[at..at + plain]);
            at += plain;
            continue;
        }
        let letter = inner[at + 1..].chars().next().unwrap_or('\\');
        let Some(digits) = inner.get(at + 2..at + 6).filter(|_| letter == 'u') else {
            if high.is_some() {
                return Err((at + 1, WrongEscape::LowAlone));
            }
            decoded.push(simple_escape(letter));
            at += 1 + letter.len_utf8();
            continue;
        };
        let unit = digits.chars().filter_map(|digit| digit.to_digit(16)).fold(0, |sum, digit| sum * 16 + digit);
        let end = at + 5;
        at += 6;
        match (unit, high) {
            (0xD800..=0xDBFF, None) => high = Some(unit),
            (0xD800..=0xDBFF, Some(_)) => return Err((end, WrongEscape::HighAfterHigh)),
            (0xDC00..=0xDFFF, Some(first)) => {
                let code = 0x10000 + ((first & 0x3ff) << 10) + (unit & 0x3ff);
                decoded.push(char::from_u32(code).expect("two surrogates make a character"));
                high = None;
            }
            (0xDC00..=0xDFFF, None) | (_, Some(_)) => return Err((end, WrongEscape::LowAlone)),
            (0, None) => return Err((end, WrongEscape::Zero)),
            (code, None) => decoded.push(char::from_u32(code).expect("all but surrogates are characters")),
        }
    }
    if high.is_some() { Err((inner.len(), WrongEscape::LowAlone)) } else { Ok(decoded) }
}

fn simple_escape(letter: char) -> char {
    match letter {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    }
}
