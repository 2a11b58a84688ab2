//! SET, SHOW, RESET and DISCARD; BEGIN and all that ends or parts a transaction; LISTEN and NOTIFY.

use super::Words;
use crate::error::{ErrorKind, QueryError};
use crate::settings::{ROLE, SESSION_USER};
use crate::statement::{Discarded, Isolation, SetItem, SetValue, StatementKind, TransactionModes};
use crate::transaction_modes::TRANSACTION_ISOLATION;
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
        let (name, value) = match self.set_by_words(session)? {
            Some(set) => set,
            None => {
                let name = self.setting_name()?;
                if !self.take_token(&Token::Eq) {
                    self.expect("to")?;
                }
                (name, if self.take("default") { SetValue::Default } else { self.set_items()? })
            }
        };
        Ok(StatementKind::Set { name, value, local })
    }

    /// What SET says of the settings that have words of their own.
    fn set_by_words(&mut self, session: bool) -> Result<Option<(String, SetValue)>, QueryError> {
        let (name, value) = if self.take_all(&["time", "zone"]) {
            ("TimeZone", self.zone()?)
        } else if (session && self.take("authorization")) || self.take_all(&["session", "authorization"]) {
            (SESSION_USER, if self.take("default") { SetValue::Default } else { self.role()? })
        } else if self.names_role() {
            self.next += 1;
            (ROLE, self.role()?)
        } else if self.take("names") {
            let is_default = self.rest().is_empty() || self.take("default");
            ("client_encoding", if is_default { SetValue::Default } else { self.set_items()? })
        } else if self.takes_text_behind("schema") {
            ("search_path", self.set_items()?)
        } else if self.takes_text_behind("catalog") {
            let error = QueryError::new(ErrorKind::FeatureNotSupported, "current database cannot be changed");
            return Err(error.position(self.position()));
        } else if self.take_all(&["xml", "option"]) {
            ("xmloption", self.set_items()?)
        } else {
            return Ok(None);
        };
        Ok(Some((name.to_string(), value)))
    }

    /// Takes a word that a string stands behind.
    fn takes_text_behind(&mut self, word: &str) -> bool {
        let text = self.tokens.get(self.next + 1).map(|token| &token.token);
        matches!(text, Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_))) && self.take(word)
    }

    fn zone(&mut self) -> Result<SetValue, QueryError> {
        if self.take("local") || self.take("default") {
            return Ok(SetValue::Default);
        }
        if self.take("interval") {
            return self.displacement();
        }
        Ok(SetValue::Items(vec![self.set_item()?]))
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
        Ok(SetValue::Items(vec![SetItem::Text(format!("INTERVAL '{text}'{fields}"))]))
    }

    /// Whether `ROLE name` comes, and not an assignment to the setting of that name.
    fn names_role(&self) -> bool {
        let behind = self.tokens.get(self.next + 1).map(|token| &token.token);
        let is_assigned = behind == Some(&Token::Eq) || self.word_at(self.next + 1).as_deref() == Some("to");
        self.peek_word().as_deref() == Some(ROLE) && !is_assigned
    }

    /// A role, as a name or as a string.
    fn role(&mut self) -> Result<SetValue, QueryError> {
        match self.set_item()? {
            SetItem::Number(_) => {
                self.next -= 1;
                Err(self.unexpected())
            }
            role => Ok(SetValue::Items(vec![role])),
        }
    }

    fn setting_name(&mut self) -> Result<String, QueryError> {
        let mut name = self.identifier()?;
        while self.take_token(&Token::Period) {
            name = format!("{name}.{}", self.identifier()?);
        }
        Ok(name)
    }

    /// A list of words, strings and numbers, as `SET search_path = a, "B"` has it.
    fn set_items(&mut self) -> Result<SetValue, QueryError> {
        let mut items = vec![self.set_item()?];
        while self.take_token(&Token::Comma) {
            items.push(self.set_item()?);
        }
        Ok(SetValue::Items(items))
    }

    fn set_item(&mut self) -> Result<SetItem, QueryError> {
        let sign = if self.take_token(&Token::Minus) { "-" } else { "" };
        let is_signed = !sign.is_empty() || self.take_token(&Token::Plus);
        let item = match self.peek() {
            Some(Token::Number(text, _)) => SetItem::Number(format!("{sign}{text}")),
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) if !is_signed => {
                SetItem::Text(text.clone())
            }
            Some(Token::Word(_)) if !is_signed => return self.identifier().map(SetItem::Text),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(item)
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
            return Ok(StatementKind::Show(TRANSACTION_ISOLATION.into()));
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
        if self.take_all(&["transaction", "isolation", "level"]) {
            return Ok(StatementKind::Reset(TRANSACTION_ISOLATION.into()));
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
