//! What PostgreSQL has and Meridian does not: which statements these are, what they are called, and what is kept of none of them.

use super::Words;
use super::altering::Alteration;
use crate::error::QueryError;
use crate::statement::{DropObject, StatementKind, Unkept, UnkeptTarget};
use datafusion::sql::sqlparser::tokenizer::Token;

/// The words behind CREATE, or CREATE OR REPLACE, of what there is none of.
const CREATED: [&[&str]; 26] = [
    &["access", "method"],
    &["aggregate"],
    &["cast"],
    &["collation"],
    &["conversion"],
    &["database"],
    &["event", "trigger"],
    &["foreign"],
    &["function"],
    &["group"],
    &["language"],
    &["operator"],
    &["policy"],
    &["procedure"],
    &["publication"],
    &["role"],
    &["rule"],
    &["server"],
    &["statistics"],
    &["subscription"],
    &["tablespace"],
    &["text", "search"],
    &["transform"],
    &["trigger"],
    &["user"],
    &["constraint", "trigger"],
];

/// The actions of ALTER that are PostgreSQL's alone, those that begin like others first.
const ACTIONS: [&[&str]; 32] = [
    &["owner", "to"],
    &["enable", "row", "level", "security"],
    &["disable", "row", "level", "security"],
    &["force", "row", "level", "security"],
    &["no", "force", "row", "level", "security"],
    &["enable", "always", "trigger"],
    &["enable", "replica", "trigger"],
    &["enable", "always", "rule"],
    &["enable", "replica", "rule"],
    &["enable", "trigger"],
    &["disable", "trigger"],
    &["enable", "rule"],
    &["disable", "rule"],
    &["inherit"],
    &["no", "inherit"],
    &["attach", "partition"],
    &["detach", "partition"],
    &["replica", "identity"],
    &["cluster", "on"],
    &["set", "without", "cluster"],
    &["set", "without", "oids"],
    &["set", "tablespace"],
    &["set", "access", "method"],
    &["set"],
    &["reset"],
    &["of"],
    &["not", "of"],
    &["depends", "on", "extension"],
    &["no", "depends", "on", "extension"],
    &["alter", "constraint"],
    &["rename", "to"],
    &["add", "exclude"],
];

impl Words<'_> {
    fn begins(&self, index: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.word_at(index + ahead).as_deref() == Some(*word))
    }

    /// CREATE of what there is none of.
    pub(super) fn unsupported_creation(&self) -> Option<StatementKind> {
        let start = if self.begins(1, &["or", "replace"]) { 3 } else { 1 };
        let found = CREATED.iter().find(|words| self.begins(start, words))?;
        Some(StatementKind::Unsupported(format!("CREATE {}", found.join(" ").to_uppercase())))
    }

    /// `CREATE EXTENSION [IF NOT EXISTS] name …`
    pub(super) fn create_extension(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let if_not_exists = self.take_all(&["if", "not", "exists"]);
        let name = self.identifier()?;
        self.next = self.tokens.len();
        if name != "plpgsql" {
            return Ok(StatementKind::Unsupported(format!("CREATE EXTENSION {name}")));
        }
        let skipping = if if_not_exists { ", skipping" } else { "" };
        Ok(StatementKind::Unkept(Unkept {
            command: "CREATE EXTENSION",
            target: UnkeptTarget::Nothing,
            if_exists: false,
            notice: format!("extension \"{name}\" is not made: there are no functions in its language{skipping}"),
        }))
    }

    /// `COMMENT ON kind name IS text`
    pub(super) fn comment(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        self.expect("on")?;
        let start = self.next;
        let is_relation = self.take("table")
            || self.take("view")
            || self.take_all(&["materialized", "view"])
            || self.take("sequence");
        let target = if is_relation {
            UnkeptTarget::Relation(self.object_name()?)
        } else if self.take("column") {
            UnkeptTarget::Column(self.object_name()?)
        } else {
            let count = self.tokens.len();
            self.next = count.checked_sub(2).filter(|place| *place > start).ok_or_else(|| self.unexpected())?;
            UnkeptTarget::Nothing
        };
        self.expect("is")?;
        let is_text = self.take("null")
            || matches!(self.peek(), Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_)));
        if !is_text {
            return Err(self.unexpected());
        }
        self.next = self.tokens.len();
        let notice = "the comment is not kept: there are none".to_string();
        Ok(StatementKind::Unkept(Unkept { command: "COMMENT", target, if_exists: false, notice }))
    }

    /// `OWNER TO role`, where it follows, as all that a statement says of an object.
    pub(super) fn new_owner(
        &mut self,
        command: &'static str,
        target: UnkeptTarget,
        if_exists: bool,
    ) -> Result<Option<StatementKind>, QueryError> {
        if !self.take_all(&["owner", "to"]) {
            return Ok(None);
        }
        self.identifier()?;
        self.expect_end()?;
        let notice = "the owner is not kept: every user may do everything".to_string();
        Ok(Some(StatementKind::Unkept(Unkept { command, target, if_exists, notice })))
    }

    /// ALTER of what is neither a relation nor a schema.
    pub(super) fn unsupported_alteration(&mut self) -> Result<StatementKind, QueryError> {
        let what = self.peek_word().ok_or_else(|| self.unexpected())?;
        let found = CREATED.iter().find(|words| self.begins(self.next, words));
        let what = found.map_or(what, |words| words.join(" "));
        Ok(StatementKind::Unsupported(format!("ALTER {}", what.to_uppercase())))
    }

    /// `ALTER TABLE … ENABLE ROW LEVEL SECURITY`: the command and the whole action, which begins at `start`.
    pub(super) fn unsupported_action(&self, alteration: &Alteration, start: usize) -> String {
        let command = alteration.command();
        let of_column = self.begins(start, &["alter"]) && !self.begins(start, &["alter", "constraint"]);
        if of_column && alteration.object == DropObject::Table {
            return format!("{command} … ALTER COLUMN … {}", self.action_at(self.next));
        }
        let excludes = (start..self.tokens.len()).any(|index| self.begins(index, &["exclude"]));
        if excludes && self.begins(start, &["add"]) {
            return format!("{command} … ADD EXCLUDE");
        }
        format!("{command} … {}", self.action_at(start))
    }

    pub(super) fn action_at(&self, index: usize) -> String {
        let found = ACTIONS.iter().find(|words| self.begins(index, words));
        let words = found.map(|words| words.join(" ")).or_else(|| self.word_at(index)).unwrap_or_default();
        words.to_uppercase()
    }
}
