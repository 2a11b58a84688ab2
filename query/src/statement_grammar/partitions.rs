//! The grammar of partitions: PARTITION BY of CREATE TABLE, and ALTER TABLE … ATTACH or DROP PARTITION; and that of labels of loads.

use super::Words;
use crate::declared_partitions::PartitionMethod;
use crate::error::QueryError;
use crate::statement::StatementKind;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

impl Words<'_> {
    /// Takes `PARTITION BY [RANGE | LIST | HASH] (…)` out of a CREATE TABLE, since it may stand before `WITH (…)`.
    pub(super) fn take_partition_by(&mut self) -> Result<(Option<PartitionMethod>, Vec<ast::Expr>), QueryError> {
        let mut depth = 0usize;
        for index in 0..self.tokens.len() {
            match self.tokens[index].token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            let here = depth == 0 && self.word_at(index).as_deref() == Some("partition");
            if here && self.word_at(index + 1).as_deref() == Some("by") {
                let method = self.word_at(index + 2).as_deref().and_then(PartitionMethod::parse);
                let open = index + 2 + usize::from(method.is_some());
                if self.tokens.get(open).map(|token| &token.token) != Some(&Token::LParen) {
                    self.next = open;
                    return Err(self.unexpected());
                }
                let close = self.closing(open)?;
                let inner = self.tokens[open + 1..close].to_vec();
                let items = self.parse_part(&inner, |parser| parser.parse_comma_separated(Parser::parse_expr))?;
                self.tokens.drain(index..=close);
                return Ok((method, items));
            }
        }
        Ok((None, Vec::new()))
    }

    /// Whether the statement is ALTER TABLE … DROP PARTITION (…).
    pub(super) fn drops_partition(&self) -> bool {
        let word = |index| self.word_at(index);
        let is_drop = |index: usize| {
            word(index).as_deref() == Some("drop")
                && word(index + 1).as_deref() == Some("partition")
                && self.tokens.get(index + 2).is_some_and(|token| token.token == Token::LParen)
        };
        word(1).as_deref() == Some("table") && (2..self.tokens.len()).any(is_drop)
    }

    /// Behind ALTER.
    pub(super) fn drop_partition(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let _ = self.take("only");
        let table = self.object_name()?;
        self.expect("drop")?;
        self.expect("partition")?;
        let close = self.closing(self.next)?;
        let inner = self.tokens[self.next + 1..close].to_vec();
        let conditions = self.parse_part(&inner, |parser| parser.parse_comma_separated(Parser::parse_expr))?;
        self.next = close + 1;
        Ok(StatementKind::DropPartition { table, conditions })
    }

    /// Whether the statement is ALTER TABLE … FORGET LABEL.
    pub(super) fn forgets_label(&self) -> bool {
        let word = |index| self.word_at(index);
        word(1).as_deref() == Some("table")
            && (2..self.tokens.len())
                .any(|index| word(index).as_deref() == Some("forget") && word(index + 1).as_deref() == Some("label"))
    }

    /// Behind ALTER.
    pub(super) fn forget_label(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let table = self.object_name()?;
        self.expect("forget")?;
        self.expect("label")?;
        Ok(StatementKind::ForgetLabel { table, label: self.label()? })
    }

    /// Whether the statement is ALTER TABLE … ATTACH PARTITION.
    pub(super) fn attaches_partition(&self) -> bool {
        let word = |index| self.word_at(index);
        word(1).as_deref() == Some("table")
            && (2..self.tokens.len()).any(|index| {
                word(index).as_deref() == Some("attach") && word(index + 1).as_deref() == Some("partition")
            })
    }

    /// Behind ALTER. The bounds mean nothing here and are not looked at.
    pub(super) fn attach_partition(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let _ = self.take("only");
        let table = self.object_name()?;
        self.expect("attach")?;
        self.expect("partition")?;
        let partition = self.object_name()?;
        if !(self.take_all(&["for", "values"]) || self.take("default")) {
            return Err(self.unexpected());
        }
        self.next = self.tokens.len();
        Ok(StatementKind::AttachPartition { table, partition })
    }
}
