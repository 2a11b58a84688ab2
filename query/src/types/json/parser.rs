//! The grammar of JSON, read for its errors alone or into the canonical form.
//!
//! Arrays and objects that are open stand on a stack of their own, each with what was read of it; when one closes,
//! its text goes into the one around it. So no text is nested too deeply for the thread that reads it.

use super::canonical::{push_number, push_object, push_string};
use super::lexer::{Lexer, Token};
use super::{DEPTH_MAX, too_deep};
use crate::error::QueryError;
use std::borrow::Cow;

/// Whether a text is JSON, as the input of type `json` asks: escapes need to be well formed, but not to mean a
/// character.
pub(crate) fn check(text: &str) -> Result<&str, QueryError> {
    Parser::<false>::read(text)?;
    Ok(text)
}

/// Reads JSON text and gives it in canonical form.
pub(crate) fn canonical(text: &str) -> Result<String, QueryError> {
    Parser::<true>::read(text)
}

/// What was read of an array or object that is open.
enum Open<'a> {
    /// The items so far, in canonical form.
    Array(String),
    /// The members so far, and the key of the next one.
    Object(Vec<(Cow<'a, str>, String)>, Cow<'a, str>),
}

impl Open<'_> {
    fn closed(self) -> String {
        match self {
            Self::Array(mut items) => {
                items.push(']');
                items
            }
            Self::Object(members, _) => {
                let mut text = String::new();
                push_object(&mut text, members);
                text
            }
        }
    }
}

/// A parser that looks one token ahead. Without `BUILD` values have no text and strings are not decoded.
struct Parser<'a, const BUILD: bool> {
    lexer: Lexer<'a>,
    token: Token,
    open: Vec<Open<'a>>,
}

impl<'a, const BUILD: bool> Parser<'a, BUILD> {
    fn read(text: &'a str) -> Result<String, QueryError> {
        let mut lexer = Lexer::new(text);
        let token = lexer.next()?;
        let mut parser = Self { lexer, token, open: Vec::new() };
        loop {
            if let Some(value) = parser.value()?
                && let Some(whole) = parser.placed(value)?
            {
                return Ok(whole);
            }
        }
    }

    fn advance(&mut self) -> Result<(), QueryError> {
        self.token = self.lexer.next()?;
        Ok(())
    }

    /// Reads a scalar or an empty array or object, or opens one and stops before its first value.
    fn value(&mut self) -> Result<Option<String>, QueryError> {
        let mut text = String::new();
        match self.token {
            Token::ObjectStart => return self.opened(Open::Object(Vec::new(), Cow::Borrowed(""))),
            Token::ArrayStart => return self.opened(Open::Array(String::from(if BUILD { "[" } else { "" }))),
            Token::String if BUILD => push_string(&mut text, &self.lexer.decoded()?),
            Token::Number if BUILD => push_number(&mut text, self.lexer.token_text())?,
            Token::True | Token::False | Token::Null if BUILD => text.push_str(self.lexer.token_text()),
            Token::String | Token::Number | Token::True | Token::False | Token::Null => {}
            _ => return Err(self.lexer.expected("JSON value")),
        }
        self.advance()?;
        Ok(Some(text))
    }

    fn opened(&mut self, open: Open<'a>) -> Result<Option<String>, QueryError> {
        if self.open.len() == DEPTH_MAX {
            return Err(too_deep());
        }
        self.advance()?;
        match (&open, self.token) {
            (Open::Array(_), Token::ArrayEnd) | (Open::Object(..), Token::ObjectEnd) => {
                self.advance()?;
                Ok(Some(open.closed()))
            }
            (Open::Array(_), _) => {
                self.open.push(open);
                Ok(None)
            }
            (Open::Object(..), Token::String) => {
                self.open.push(open);
                self.key().map(|()| None)
            }
            (Open::Object(..), _) => Err(self.lexer.expected("string or \"}\"")),
        }
    }

    /// Reads the key of an object's next member and the colon after it.
    fn key(&mut self) -> Result<(), QueryError> {
        if self.token != Token::String {
            return Err(self.lexer.expected("string"));
        }
        let read = if BUILD { self.lexer.decoded()? } else { Cow::Borrowed("") };
        self.advance()?;
        if self.token != Token::Colon {
            return Err(self.lexer.expected("\":\""));
        }
        if let Some(Open::Object(_, key)) = self.open.last_mut() {
            *key = read;
        }
        self.advance()
    }

    /// Puts a value where it belongs and closes what ends after it. The whole text, where nothing is open any more.
    fn placed(&mut self, mut value: String) -> Result<Option<String>, QueryError> {
        loop {
            let Some(open) = self.open.last_mut() else {
                return if self.token == Token::End {
                    Ok(Some(value))
                } else {
                    Err(self.lexer.expected("end of input"))
                };
            };
            if BUILD {
                match open {
                    Open::Array(items) => {
                        items.push_str(if items.len() > 1 { ", " } else { "" });
                        items.push_str(&value);
                    }
                    Open::Object(members, key) => members.push((std::mem::take(key), value)),
                }
            }
            match (&open, self.token) {
                (Open::Array(_), Token::Comma) => return self.advance().map(|()| None),
                (Open::Object(..), Token::Comma) => {
                    self.advance()?;
                    return self.key().map(|()| None);
                }
                (Open::Array(_), Token::ArrayEnd) | (Open::Object(..), Token::ObjectEnd) => {}
                (Open::Array(_), _) => return Err(self.lexer.expected("\",\" or \"]\"")),
                (Open::Object(..), _) => return Err(self.lexer.expected("\",\" or \"}\"")),
            }
            value = self.open.pop().map(Open::closed).unwrap_or_default();
            self.advance()?;
        }
    }
}
