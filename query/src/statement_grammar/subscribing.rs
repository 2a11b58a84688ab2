//! SUBSCRIBE: `SUBSCRIBE [TO] relation [WITH (SNAPSHOT [= boolean], PROGRESS [= boolean])]`.

use super::Words;
use crate::error::{ErrorKind, QueryError};
use crate::statement::{StatementKind, Subscribe, position_of};
use datafusion::sql::sqlparser::tokenizer::Token;

impl Words<'_> {
    pub(super) fn subscribe(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let _ = self.take("to");
        let position = self.position();
        let relation = self.object_name()?;
        let mut subscribe = Subscribe { relation, position, snapshot: true, progress: false };
        if self.take("with") {
            self.subscription_options(&mut subscribe)?;
        }
        Ok(StatementKind::Subscribe(subscribe))
    }

    pub(super) fn position(&self) -> Option<usize> {
        self.tokens.get(self.next).and_then(|token| position_of(self.source, token.span.start))
    }

    fn subscription_options(&mut self, subscribe: &mut Subscribe) -> Result<(), QueryError> {
        self.expect_token(&Token::LParen)?;
        let mut seen: Vec<String> = Vec::new();
        loop {
            let position = self.position();
            let at = |message: String| Err(QueryError::new(ErrorKind::Syntax, message).position(position));
            let name = self.identifier()?;
            let _ = self.take_token(&Token::Eq);
            let Some(value) = self.boolean() else {
                return at(format!("{name} requires a Boolean value"));
            };
            match name.as_str() {
                _ if seen.contains(&name) => return at("conflicting or redundant options".into()),
                "snapshot" => subscribe.snapshot = value,
                "progress" => subscribe.progress = value,
                _ => {
                    return at(format!("option \"{name}\" not recognized")).map_err(|error: QueryError| {
                        error.hint("The options of SUBSCRIBE are SNAPSHOT and PROGRESS.")
                    });
                }
            }
            seen.push(name);
            if self.take_token(&Token::RParen) {
                return Ok(());
            }
            self.expect_token(&Token::Comma)?;
        }
    }

    /// The value of an option, as COPY reads it; without one it is on.
    pub(super) fn boolean(&mut self) -> Option<bool> {
        let text = match self.peek() {
            None | Some(Token::Comma | Token::RParen) => return Some(true),
            Some(Token::Word(word)) => word.value.to_ascii_lowercase(),
            Some(Token::SingleQuotedString(text)) => text.to_ascii_lowercase(),
            Some(Token::Number(text, _)) => text.clone(),
            Some(_) => return None,
        };
        self.next += 1;
        match text.as_str() {
            "true" | "on" | "1" => Some(true),
            "false" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> Result<(), QueryError> {
        if self.take_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }
}
