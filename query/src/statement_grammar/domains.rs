//! The grammar of domains: CREATE, ALTER and DROP DOMAIN.

use super::Words;
use crate::domain_definition::impossible;
use crate::error::QueryError;
use crate::statement::{DomainAlteration, StatementKind, UnkeptTarget};
use datafusion::sql::sqlparser::ast::TableConstraint;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;

impl Words<'_> {
    /// Behind CREATE. What stands behind the name is read like a column's definition.
    pub(super) fn create_domain(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let name = self.object_name()?;
        let Some(last) = self.next.checked_sub(1).and_then(|last| self.tokens.get(last)).cloned() else {
            return Err(self.unexpected());
        };
        let _ = self.take("as");
        if self.rest().is_empty() {
            return Err(self.unexpected());
        }
        let definition: Vec<TokenWithSpan> = std::iter::once(last).chain(self.rest().iter().cloned()).collect();
        let definition = self.parse_part(&definition, |parser| parser.parse_column_def())?;
        self.next = self.tokens.len();
        Ok(StatementKind::CreateDomain { name, definition: Box::new(definition) })
    }

    /// Behind ALTER.
    pub(super) fn alter_domain(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let name = self.object_name()?;
        if let Some(owned) = self.new_owner("ALTER DOMAIN", UnkeptTarget::Nothing, false)? {
            return Ok(owned);
        }
        let change = if self.take_all(&["set", "default"]) {
            let default = self.parse_part(self.rest(), |parser| parser.parse_expr())?;
            self.next = self.tokens.len();
            DomainAlteration::SetDefault(Some(Box::new(default)))
        } else if self.take_all(&["drop", "default"]) {
            DomainAlteration::SetDefault(None)
        } else if self.take_all(&["set", "not", "null"]) {
            DomainAlteration::SetNotNull(true)
        } else if self.take_all(&["drop", "not", "null"]) {
            DomainAlteration::SetNotNull(false)
        } else if self.take("add") {
            self.added_check()?
        } else if self.take_all(&["drop", "constraint"]) {
            let if_exists = self.take_all(&["if", "exists"]);
            let name = self.identifier()?;
            let _ = self.take("cascade") || self.take("restrict");
            DomainAlteration::DropConstraint { name, if_exists }
        } else if self.take_all(&["validate", "constraint"]) {
            DomainAlteration::ValidateConstraint(self.identifier()?)
        } else if self.take_all(&["rename", "constraint"]) {
            let from = self.identifier()?;
            self.expect("to")?;
            DomainAlteration::RenameConstraint { from, to: self.identifier()? }
        } else if self.take_all(&["rename", "to"]) {
            DomainAlteration::Rename(self.identifier()?)
        } else if self.take_all(&["set", "schema"]) {
            DomainAlteration::SetSchema(self.identifier()?)
        } else {
            return Err(self.unexpected());
        };
        Ok(StatementKind::AlterDomain { name, change })
    }

    /// `[CONSTRAINT name] CHECK (…) [NOT VALID]`.
    fn added_check(&mut self) -> Result<DomainAlteration, QueryError> {
        let start = self.next;
        let end = self.tokens.len();
        let word = |index: usize| index.checked_sub(1).and_then(|index| self.word_at(index));
        let not_valid = word(end).as_deref() == Some("valid") && word(end - 1).as_deref() == Some("not");
        let definition = self.tokens[start..end - if not_valid { 2 } else { 0 }].to_vec();
        let constraint = self.parse_part(&definition, |parser| parser.parse_optional_table_constraint())?;
        let Some(constraint) = constraint else { return Err(self.unexpected()) };
        self.next = end;
        match constraint {
            TableConstraint::Check(check) => {
                Ok(DomainAlteration::AddCheck { name: check.name, expression: check.expr, not_valid })
            }
            other => Err(impossible(&other.to_string())),
        }
    }

    /// Behind DROP.
    pub(super) fn drop_domain(&mut self) -> Result<StatementKind, QueryError> {
        match self.drop_type()? {
            StatementKind::DropType { names, if_exists, cascade, .. } => {
                Ok(StatementKind::DropType { domains: true, names, if_exists, cascade })
            }
            other => Ok(other),
        }
    }
}
