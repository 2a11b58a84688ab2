//! The grammar of CREATE INDEX, and CREATE UNIQUE INDEX, which adds a key to a table.

use super::Words;
use super::altering::{AlterAction, Alteration};
use crate::error::{ErrorKind, QueryError};
use crate::statement::{DropObject, StatementKind};
use datafusion::sql::sqlparser::ast::{self, Expr, Ident, IndexColumn, IndexType};
use datafusion::sql::sqlparser::tokenizer::Token;

/// The tablespace of all tables.
const TABLESPACE: &str = "pg_default";
/// The one of PostgreSQL's own tables that all databases share.
const SHARED_TABLESPACE: &str = "pg_global";

impl Words<'_> {
    pub(super) fn creates_index(&self) -> bool {
        let behind = 1 + usize::from(self.word_at(1).as_deref() == Some("unique"));
        self.word_at(behind).as_deref() == Some("index")
    }

    /// Takes ONLY away, as no table has children here, and TABLESPACE.
    pub(super) fn take_index_words(&mut self) -> Result<(), QueryError> {
        if let Some(on) = self.at_top_level("on")
            && self.word_at(on + 1).as_deref() == Some("only")
        {
            self.tokens.remove(on + 1);
        }
        let end = self.at_top_level("where").unwrap_or(self.tokens.len());
        let is_behind_list = |at: usize| self.tokens[..at].iter().any(|token| token.token == Token::RParen);
        let at = self.at_top_level("tablespace").filter(|at| *at < end && is_behind_list(*at));
        let Some(at) = at else { return Ok(()) };
        self.next = at + 1;
        let name = self.identifier()?;
        if name == SHARED_TABLESPACE {
            let message = format!("only shared relations can be placed in {name} tablespace");
            return Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
        }
        if name != TABLESPACE {
            return Err(QueryError::new(ErrorKind::UndefinedObject, format!("tablespace \"{name}\" does not exist")));
        }
        self.tokens.drain(at..self.next);
        self.next = 0;
        Ok(())
    }
}

/// What a key cannot say is refused. The order of its columns means nothing to a key.
pub(super) fn create_unique_index(index: ast::CreateIndex) -> Result<StatementKind, QueryError> {
    let refused = |what: &str| Err(QueryError::unsupported(format!("CREATE UNIQUE INDEX … {what}")));
    if index.predicate.is_some() {
        return refused("WHERE");
    }
    if !index.include.is_empty() {
        return refused("INCLUDE");
    }
    if index.nulls_distinct == Some(false) {
        return refused("NULLS NOT DISTINCT").map_err(|error| error.hint("Make the columns NOT NULL."));
    }
    if !index.with.is_empty() || !index.index_options.is_empty() {
        return refused("WITH");
    }
    if let Some(method) = index.using.filter(|method| *method != IndexType::BTree) {
        let method = method.to_string().to_lowercase();
        let message = format!("access method \"{method}\" does not support unique indexes");
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
    }
    let name = match index.name.as_ref().map(|name| name.0.as_slice()) {
        None => None,
        Some([one]) => one.as_ident().cloned(),
        Some(_) => return Err(QueryError::new(ErrorKind::Syntax, "syntax error at or near \".\"")),
    };
    let columns = index.columns.iter().map(indexed_column).collect::<Result<Vec<_>, _>>()?;
    let action = AlterAction::AddIndex { name, columns, if_not_exists: index.if_not_exists };
    Ok(StatementKind::Alter(Box::new(Alteration {
        object: DropObject::Table,
        name: index.table_name,
        if_exists: false,
        actions: vec![action],
    })))
}

fn indexed_column(column: &IndexColumn) -> Result<Ident, QueryError> {
    match (&column.column.expr, &column.operator_class) {
        (Expr::Identifier(name), None) => Ok(name.clone()),
        (Expr::Identifier(_), Some(class)) => {
            Err(QueryError::unsupported(format!("a unique index with operator class \"{class}\"")))
        }
        (other, _) => Err(QueryError::unsupported(format!("a unique index over the expression {other}"))),
    }
}
