//! SET, SHOW, RESET and DISCARD; BEGIN and all that ends or parts a transaction; LISTEN and NOTIFY.

use super::Words;
use crate::error::QueryError;
use crate::settings::{ROLE, SESSION_USER};
use crate::statement::{Discarded, Isolation, SetValue, StatementKind, TransactionModes};
use datafusion::sql::sqlparser::tokenizer::Token;

impl Words<'_> {
    // ---- sessions ----

    pub(super) fn set(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let local = self.take("local");
        let session = !local && self.take("session");
        if session && self.take_all(&["characteristics", "as", "transaction"]) {
            return Ok(StatementKind::SetCharacteristics(self.transaction_modes()?));
        }
        if !session && self.take("transaction") {
            return Ok(StatementKind::SetTransaction(self.transaction_modes()?));
        }
        if self.take_all(&["time", "zone"]) {
            let value = if self.take("local") || self.take("default") {
                SetValue::Default
            } else if self.take("interval") {
                self.displacement()?
            } else {
                self.set_value()?
            };
            return Ok(StatementKind::Set { name: "TimeZone".into(), value, local });
        }
        if (session && self.take("authorization")) || self.take_all(&["session", "authorization"]) {
            let value = if self.take("default") { SetValue::Default } else { self.role()? };
            return Ok(StatementKind::Set { name: SESSION_USER.into(), value, local });
        }
        if self.names_role() {
            self.next += 1;
            return Ok(StatementKind::Set { name: ROLE.into(), value: self.role()?, local });
        }
        if self.take("names") {
            let value = self.set_value()?;
            return Ok(StatementKind::Set { name: "client_encoding".into(), value, local });
        }
        let sets_role =
            self.peek_word().as_deref() == Some("role") && self.word_at(self.next + 1).as_deref() != Some("to");
        if sets_role && self.tokens.get(self.next + 1).is_some_and(|token| token.token != Token::Eq) {
            self.next = self.tokens.len();
            return Ok(StatementKind::Unsupported("SET ROLE".into()));
        }
        if session && self.take("authorization") {
            self.next = self.tokens.len();
            return Ok(StatementKind::Unsupported("SET SESSION AUTHORIZATION".into()));
        }
        let name = self.setting_name()?;
        if !self.take_token(&Token::Eq) {
            self.expect("to")?;
        }
        let value = if self.take("default") { SetValue::Default } else { self.set_value()? };
        Ok(StatementKind::Set { name, value, local })
    }

    /// `'-08:00' HOUR TO MINUTE`, behind INTERVAL
    fn displacement(&mut self) -> Result<SetValue, QueryError> {
        let Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) = self.peek() else {
            return Err(self.unexpected());
        };
        let text = text.clone();
        self.next += 1;
        let fields = match self.take("hour") {
            true if self.take_all(&["to", "minute"]) => " HOUR TO MINUTE",
            true => " HOUR",
            false => "",
        };
        Ok(SetValue::Text(format!("INTERVAL '{text}'{fields}")))
    }

    /// Whether `ROLE name` comes, and not an assignment to the setting of that name.
    fn names_role(&self) -> bool {
        let behind = self.tokens.get(self.next + 1).map(|token| &token.token);
        let is_assigned = behind == Some(&Token::Eq) || self.word_at(self.next + 1).as_deref() == Some("to");
        self.peek_word().as_deref() == Some(ROLE) && !is_assigned
    }

    /// A role, as a name or as a string.
    fn role(&mut self) -> Result<SetValue, QueryError> {
        match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                let text = text.clone();
                self.next += 1;
                Ok(SetValue::Text(text))
            }
            _ => self.identifier().map(SetValue::Text),
        }
    }

    fn setting_name(&mut self) -> Result<String, QueryError> {
        let mut name = self.identifier()?;
        while self.take_token(&Token::Period) {
            name = format!("{name}.{}", self.identifier()?);
        }
        Ok(name)
    }

    /// A list of words, strings and numbers, as `SET search_path = a, "B"` has it; items are joined by a comma.
    fn set_value(&mut self) -> Result<SetValue, QueryError> {
        let mut items = Vec::new();
        loop {
            let sign = if self.take_token(&Token::Minus) { "-" } else { "" };
            let _ = sign.is_empty() && self.take_token(&Token::Plus);
            let item = match self.peek() {
                Some(Token::Word(word)) => word.value.clone(),
                Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => text.clone(),
                Some(Token::Number(text, _)) => text.clone(),
                _ => return Err(self.unexpected()),
            };
            self.next += 1;
            items.push(format!("{sign}{item}"));
            if !self.take_token(&Token::Comma) {
                return Ok(SetValue::Text(items.join(", ")));
            }
        }
    }

    pub(super) fn show(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        if self.take("all") {
            return Ok(StatementKind::ShowAll);
        }
        if self.take_all(&["time", "zone"]) {
            return Ok(StatementKind::Show("TimeZone".into()));
        }
        if self.take_all(&["transaction", "isolation", "level"]) {
            return Ok(StatementKind::Show("transaction_isolation".into()));
        }
        if self.take_all(&["session", "authorization"]) {
            return Ok(StatementKind::Show(SESSION_USER.into()));
        }
        Ok(StatementKind::Show(self.setting_name()?))
    }

    pub(super) fn reset(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        if self.take("all") {
            return Ok(StatementKind::ResetAll);
        }
        if self.take_all(&["time", "zone"]) {
            return Ok(StatementKind::Reset("TimeZone".into()));
        }
        if self.take_all(&["session", "authorization"]) {
            return Ok(StatementKind::Reset(SESSION_USER.into()));
        }
        Ok(StatementKind::Reset(self.setting_name()?))
    }

    pub(super) fn discard(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let what = match self.peek_word().as_deref() {
            Some("all") => Discarded::All,
            Some("plans") => Discarded::Plans,
            Some("sequences") => Discarded::Sequences,
            Some("temp" | "temporary") => Discarded::Temporary,
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(StatementKind::Discard(what))
    }

    // ---- transactions ----

    pub(super) fn begin(&mut self) -> Result<StatementKind, QueryError> {
        if self.take("start") {
            self.expect("transaction")?;
        } else {
            self.next += 1;
            let _ = self.take("work") || self.take("transaction");
        }
        Ok(StatementKind::Begin(self.transaction_modes()?))
    }

    fn transaction_modes(&mut self) -> Result<TransactionModes, QueryError> {
        let mut modes = TransactionModes::default();
        while self.next < self.tokens.len() {
            if self.take_all(&["isolation", "level"]) {
                modes.isolation = Some(self.isolation()?);
            } else if self.take_all(&["read", "only"]) {
                modes.read_only = Some(true);
            } else if self.take_all(&["read", "write"]) {
                modes.read_only = Some(false);
            } else if self.take_all(&["not", "deferrable"]) {
                modes.deferrable = Some(false);
            } else if self.take("deferrable") {
                modes.deferrable = Some(true);
            } else if !self.take_token(&Token::Comma) {
                return Err(self.unexpected());
            }
        }
        Ok(modes)
    }

    fn isolation(&mut self) -> Result<Isolation, QueryError> {
        if self.take("serializable") {
            return Ok(Isolation::Serializable);
        }
        if self.take_all(&["repeatable", "read"]) {
            return Ok(Isolation::RepeatableRead);
        }
        if self.take_all(&["read", "committed"]) || self.take_all(&["read", "uncommitted"]) {
            return Ok(Isolation::ReadCommitted);
        }
        Err(self.unexpected())
    }

    /// COMMIT, or ABORT; `end` makes the statement where it is known whether another transaction follows.
    pub(super) fn end_with(&mut self, end: fn(bool) -> StatementKind) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let _ = self.take("work") || self.take("transaction");
        if self.take("prepared") {
            return Ok(StatementKind::Unsupported("two-phase commit".into()));
        }
        Ok(end(self.chain()?))
    }

    /// `AND [NO] CHAIN`
    fn chain(&mut self) -> Result<bool, QueryError> {
        if !self.take("and") {
            return Ok(false);
        }
        let chain = !self.take("no");
        self.expect("chain")?;
        Ok(chain)
    }

    pub(super) fn rollback(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let _ = self.take("work") || self.take("transaction");
        if self.take("to") {
            let _ = self.take("savepoint");
            return Ok(StatementKind::RollbackTo(self.identifier()?));
        }
        Ok(StatementKind::Rollback { chain: self.chain()? })
    }

    pub(super) fn listen(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        Ok(StatementKind::Listen(self.identifier()?))
    }

    pub(super) fn unlisten(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let all = self.take_token(&Token::Mul);
        Ok(StatementKind::Unlisten(if all { None } else { Some(self.identifier()?) }))
    }

    pub(super) fn notify(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let channel = self.identifier()?;
        if !self.take_token(&Token::Comma) {
            return Ok(StatementKind::Notify { channel, payload: String::new() });
        }
        let payload = match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => text.clone(),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(StatementKind::Notify { channel, payload })
    }

    pub(super) fn savepoint(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        Ok(StatementKind::Savepoint(self.identifier()?))
    }

    pub(super) fn release(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let _ = self.take("savepoint");
        Ok(StatementKind::Release(self.identifier()?))
    }
}
