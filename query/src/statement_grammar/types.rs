//! The grammar of types: CREATE TYPE … AS ENUM, ALTER TYPE, DROP TYPE.

use super::Words;
use crate::error::QueryError;
use crate::statement::{StatementKind, TypeAlteration, UnkeptTarget, ValuePlace};
use datafusion::sql::sqlparser::tokenizer::Token;

impl Words<'_> {
    /// Behind CREATE.
    pub(super) fn create_type(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let name = self.object_name()?;
        self.expect("as")?;
        if !self.take("enum") {
            let what = if self.take("range") { "CREATE TYPE … AS RANGE" } else { "a composite type" };
            return Err(QueryError::unsupported(what).hint("Use columns of their own, or jsonb."));
        }
        if !self.take_token(&Token::LParen) {
            return Err(self.unexpected());
        }
        let mut labels = Vec::new();
        while !self.take_token(&Token::RParen) {
            if !labels.is_empty() && !self.take_token(&Token::Comma) {
                return Err(self.unexpected());
            }
            labels.push(self.label()?);
        }
        Ok(StatementKind::CreateEnum { name, labels })
    }

    /// Behind ALTER.
    pub(super) fn alter_type(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let name = self.object_name()?;
        if let Some(owned) = self.new_owner("ALTER TYPE", UnkeptTarget::Nothing, false)? {
            return Ok(owned);
        }
        let change = if self.take_all(&["add", "value"]) {
            let if_not_exists = self.take_all(&["if", "not", "exists"]);
            let label = self.label()?;
            let place = if self.take("before") {
                ValuePlace::Before(self.label()?)
            } else if self.take("after") {
                ValuePlace::After(self.label()?)
            } else {
                ValuePlace::Last
            };
            TypeAlteration::AddValue { label, if_not_exists, place }
        } else if self.take_all(&["rename", "value"]) {
            let from = self.label()?;
            self.expect("to")?;
            TypeAlteration::RenameValue { from, to: self.label()? }
        } else if self.take_all(&["rename", "to"]) {
            TypeAlteration::Rename(self.identifier()?)
        } else if self.take_all(&["set", "schema"]) {
            TypeAlteration::SetSchema(self.identifier()?)
        } else {
            return Err(self.unexpected());
        };
        Ok(StatementKind::AlterType { name, change })
    }

    /// Behind DROP.
    pub(super) fn drop_type(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let if_exists = self.take_all(&["if", "exists"]);
        let mut names = vec![self.object_name()?];
        while self.take_token(&Token::Comma) {
            names.push(self.object_name()?);
        }
        let cascade = self.take("cascade");
        let _ = !cascade && self.take("restrict");
        Ok(StatementKind::DropType { domains: false, names, if_exists, cascade })
    }

    pub(super) fn label(&mut self) -> Result<String, QueryError> {
        let label = match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => text.clone(),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(label)
    }
}
