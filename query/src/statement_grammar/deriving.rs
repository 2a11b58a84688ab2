//! The grammar of tables that are made from others: CREATE TABLE … AS, SELECT … INTO and LIKE.

use super::{Words, fold};
use crate::error::{ErrorKind, QueryError};
use crate::returning;
use crate::statement::{CreateTable, StatementKind, parse_piece};
use datafusion::sql::sqlparser::ast::{self, Ident, SetExpr, Statement as Ast};
use datafusion::sql::sqlparser::tokenizer::Token;

/// A table that is made from what a query gives.
#[derive(Clone, Debug)]
pub(crate) struct CreateTableAs {
    /// The table without its columns.
    pub table: CreateTable,
    /// Names for the first columns.
    pub names: Vec<Ident>,
    pub query: Box<ast::Query>,
    /// The prepared statement that is the query instead, and its arguments.
    pub execute: Option<(String, Vec<ast::Expr>)>,
    /// False for WITH NO DATA.
    pub with_data: bool,
}

/// `LIKE relation [INCLUDING … | EXCLUDING …]` in a CREATE TABLE.
#[derive(Clone, Debug)]
pub(crate) struct Like {
    pub relation: ast::ObjectName,
    /// How many columns of the statement's own stand before it.
    pub position: usize,
    /// INCLUDING and EXCLUDING, in order.
    options: Vec<(bool, String)>,
}

impl Like {
    pub(crate) fn includes(&self, what: &str) -> bool {
        let said = self.options.iter().rev().find(|(_, name)| name == what || name == "all");
        said.is_some_and(|(including, _)| *including)
    }
}

/// What LIKE can include.
const INCLUDED: [&str; 10] = [
    "all",
    "defaults",
    "comments",
    "compression",
    "constraints",
    "generated",
    "identity",
    "indexes",
    "statistics",
    "storage",
];

impl Words<'_> {
    /// `CREATE TABLE name [(names)] [WITH (…)] AS query`, or `AS EXECUTE name (…)`; `None` for a table with columns of its own.
    pub(super) fn create_table_as(
        &mut self,
        (partition_by, unlogged): (&[ast::Expr], bool),
        with_data: bool,
    ) -> Result<Option<StatementKind>, QueryError> {
        let Some(at) = self.at_top_level("as") else { return Ok(None) };
        self.next = at + 1;
        let parsed = parse_piece(self.source, self.rest())?;
        let (query, execute) = match parsed.kind {
            StatementKind::Query(query) => (query, None),
            StatementKind::Execute { name, arguments } => {
                (Box::new(returning::select(Vec::new(), Vec::new(), None, None)?), Some((name, arguments)))
            }
            _ => {
                self.next = at + 1;
                return Err(self.unexpected());
            }
        };
        self.tokens.truncate(at);
        let names = self.take_names()?;
        self.next = 0;
        let Ast::CreateTable(definition) = self.parsed()? else { return Err(self.unexpected()) };
        let partition_by = partition_by.to_vec();
        let likes = Vec::new();
        let identity_names = Vec::new();
        let table = CreateTable { definition, partition_by, partition_method: None, likes, unlogged, identity_names };
        Ok(Some(StatementKind::CreateTableAs(Box::new(CreateTableAs { table, names, query, execute, with_data }))))
    }

    /// The index of a word that stands outside of all parentheses.
    pub(super) fn at_top_level(&self, word: &str) -> Option<usize> {
        let mut depth = 0usize;
        (0..self.tokens.len()).find(|index| {
            match self.tokens[*index].token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && self.word_at(*index).as_deref() == Some(word)
        })
    }

    /// Takes `(a, b)` behind the table's name, before any WITH.
    fn take_names(&mut self) -> Result<Vec<Ident>, QueryError> {
        let Some(open) = self.list_of_columns() else { return Ok(Vec::new()) };
        let close = self.closing(open)?;
        self.next = open + 1;
        let mut names = Vec::new();
        loop {
            names.push(self.ident()?);
            if self.next == close {
                break;
            }
            if !self.take_token(&Token::Comma) {
                return Err(self.unexpected());
            }
        }
        self.tokens.drain(open..=close);
        Ok(names)
    }

    /// The parenthesis that opens the columns of a CREATE TABLE.
    fn list_of_columns(&self) -> Option<usize> {
        let open = self.tokens.iter().position(|token| token.token == Token::LParen)?;
        let before = self.word_at(open.checked_sub(1)?);
        (before.as_deref() != Some("with")).then_some(open)
    }

    /// Takes the LIKE clauses out of the columns of a CREATE TABLE.
    pub(super) fn take_likes(&mut self) -> Result<Vec<Like>, QueryError> {
        let mut likes = Vec::new();
        let Some(open) = self.list_of_columns() else { return Ok(likes) };
        let mut columns = 0;
        let mut start = open + 1;
        loop {
            let end = self.end_of_item(start);
            if self.word_at(start).as_deref() == Some("like") {
                likes.push(self.like(start, end, columns)?);
                let last = self.tokens.get(end).is_none_or(|token| token.token != Token::Comma);
                // The comma before the last item goes with it.
                let from = if last && start > open + 1 { start - 1 } else { start };
                self.tokens.drain(from..if last { end } else { end + 1 });
                if last {
                    break;
                }
            } else {
                let constraints = ["constraint", "primary", "unique", "foreign", "check", "exclude"];
                let constraint = self.word_at(start).is_some_and(|word| constraints.contains(&word.as_str()));
                columns += usize::from(!constraint);
                if self.tokens.get(end).is_none_or(|token| token.token != Token::Comma) {
                    break;
                }
                start = end + 1;
            }
        }
        let emptied = self.tokens.get(open + 1).is_some_and(|token| token.token == Token::RParen);
        if emptied && !likes.is_empty() {
            self.tokens.drain(open..open + 2);
        }
        Ok(likes)
    }

    /// The index of the comma or parenthesis that ends an item of a list.
    fn end_of_item(&self, start: usize) -> usize {
        let mut depth = 0usize;
        for (index, token) in self.tokens.iter().enumerate().skip(start) {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen | Token::Comma if depth == 0 => return index,
                Token::RParen => depth -= 1,
                _ => {}
            }
        }
        self.tokens.len()
    }

    fn like(&mut self, start: usize, end: usize, position: usize) -> Result<Like, QueryError> {
        self.next = start + 1;
        let relation = self.object_name()?;
        let mut like = Like { relation, position, options: Vec::new() };
        while self.next < end {
            let including = self.take("including");
            if !including {
                self.expect("excluding")?;
            }
            let Some(what) = self.peek_word().filter(|word| INCLUDED.contains(&word.as_str())) else {
                return Err(self.unexpected());
            };
            self.next += 1;
            like.options.push((including, what));
        }
        self.next = 0;
        Ok(like)
    }
}

/// Takes INTO off a statement's outermost SELECT, where alone it may stand.
pub(super) fn take_into(statement: &mut Ast) -> Option<ast::SelectInto> {
    let Ast::Query(query) = statement else { return None };
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    select.into.take()
}

/// `SELECT … INTO table FROM …` is CREATE TABLE AS.
pub(super) fn create_from(query: Box<ast::Query>, into: Option<ast::SelectInto>) -> Result<StatementKind, QueryError> {
    let Some(into) = into else { return Ok(StatementKind::Query(query)) };
    let bare = crate::statement::parse("CREATE TABLE t AS SELECT 1")?.into_iter().next();
    let Some(StatementKind::CreateTableAs(mut create)) = bare.map(|statement| statement.kind) else {
        return Err(QueryError::new(ErrorKind::Internal, "a template was not parsed as what it is"));
    };
    create.table.definition.name = into.name;
    create.table.definition.temporary = into.temporary;
    create.table.unlogged = into.unlogged;
    create.query = query;
    Ok(StatementKind::CreateTableAs(create))
}

impl CreateTableAs {
    /// The names that the statement gives its columns.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.iter().map(fold).collect()
    }
}
