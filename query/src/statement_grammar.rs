//! The grammar of the statements that sqlparser does not read the way PostgreSQL's clients write them.
//!
//! A [`Words`] walks over the tokens of one statement without its white space. Each rule either takes a statement whole or
//! leaves it to sqlparser; nothing is matched as text.

use crate::error::{ErrorKind, QueryError};
use crate::modify::Modification;
use crate::standard_spellings::{mend_spellings, mend_stored, spell_out_tokens};
use crate::statement::{
    CreateTable, CreateView, DeclareCursor, DropObject, DropStatement, ExplainOptions, FetchCount, StatementKind,
    is_blank, near, parse_piece, parse_with,
};
use datafusion::sql::sqlparser::ast::{self, Statement as Ast, VisitMut};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use deriving::{create_from, take_into};
use indexes::create_unique_index;
use std::sync::Arc;
use writing::insert_with;

/// Statements of PostgreSQL that have no meaning here yet, by their first word, with what to say.
const UNSUPPORTED: [&str; 10] =
    ["grant", "revoke", "lock", "cluster", "security", "reassign", "import", "do", "call", "load"];

pub(crate) mod altering;
pub(crate) mod deriving;
mod domains;
mod indexes;
mod maintaining;
mod merging;
mod partitions;
mod sequences;
mod sessions;
mod subscribing;
mod types;
mod unsupported;
mod writing;

struct Words<'a> {
    source: &'a Arc<str>,
    tokens: Vec<TokenWithSpan>,
    next: usize,
}

/// The query that a view's definition is.
pub(crate) fn parse_definition(source: &str, tokens: &[TokenWithSpan]) -> Result<Box<ast::Query>, QueryError> {
    let mut solid = tokens.iter().filter(|token| !is_blank(&token.token)).cloned().collect();
    spell_out_tokens(&mut solid, source)?;
    let mut query = parse_with(source, &solid, |parser| parser.parse_query())?;
    mend_stored(&mut query, source)?;
    Ok(query)
}

pub(crate) fn parse_kind(source: &Arc<str>, tokens: &[TokenWithSpan]) -> Result<StatementKind, QueryError> {
    let mut solid = tokens.iter().filter(|token| !is_blank(&token.token)).cloned().collect();
    spell_out_tokens(&mut solid, source)?;
    let mut words = Words { source, tokens: solid, next: 0 };
    let first = words.peek_word().unwrap_or_default();
    let kind = match first.as_str() {
        "set" => words.set()?,
        "show" => words.show()?,
        "reset" => words.reset()?,
        "begin" | "start" => words.begin()?,
        "commit" | "end" => words.end_with(|chain| StatementKind::Commit { chain })?,
        "abort" => words.end_with(|chain| StatementKind::Rollback { chain })?,
        "rollback" => words.rollback()?,
        "savepoint" => words.savepoint()?,
        "release" => words.release()?,
        "declare" => words.declare()?,
        "fetch" | "move" => words.fetch()?,
        "close" => words.close()?,
        "prepare" => words.prepare()?,
        "execute" => words.execute()?,
        "deallocate" => words.deallocate()?,
        "discard" => words.discard()?,
        "refresh" => words.refresh()?,
        "explain" => words.explain()?,
        "checkpoint" => words.alone(StatementKind::Checkpoint)?,
        "backup" => words.backup()?,
        "vacuum" => words.maintain(true)?,
        "analyze" | "analyse" => words.maintain(false)?,
        "reindex" => words.reindex()?,
        "listen" => words.listen()?,
        "subscribe" => words.subscribe()?,
        "unlisten" => words.unlisten()?,
        "notify" => words.notify()?,
        "create" if words.creates_sequence() => words.create_sequence()?,
        "create" if words.word_at(1).as_deref() == Some("type") => words.create_type()?,
        "create" if words.word_at(1).as_deref() == Some("domain") => words.create_domain()?,
        "create" if words.word_at(1).as_deref() == Some("extension") => words.create_extension()?,
        "create" => match words.unsupported_creation() {
            Some(unsupported) => return Ok(unsupported),
            None => return words.create(),
        },
        "comment" => words.comment()?,
        "alter" if words.word_at(1).as_deref() == Some("sequence") => words.alter_sequence()?,
        "alter" if words.word_at(1).as_deref() == Some("type") => words.alter_type()?,
        "drop" if words.word_at(1).as_deref() == Some("type") => words.drop_type()?,
        "alter" if words.word_at(1).as_deref() == Some("domain") => words.alter_domain()?,
        "drop" if words.word_at(1).as_deref() == Some("domain") => words.drop_domain()?,
        "alter" if words.drops_partition() => words.drop_partition()?,
        "alter" if words.forgets_label() => words.forget_label()?,
        "alter" if words.attaches_partition() => words.attach_partition()?,
        "alter" => return words.alter(),
        "merge" => words.merge()?,
        "with" if words.merges_with() => words.merge()?,
        word if UNSUPPORTED.contains(&word) => return Ok(StatementKind::Unsupported(word.to_uppercase())),
        _ => return words.generic(),
    };
    words.expect_end()?;
    Ok(kind)
}

impl Words<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|token| &token.token)
    }

    /// The next word, folded to lower case unless it is quoted (a quoted word never matches a keyword).
    fn peek_word(&self) -> Option<String> {
        self.word_at(self.next)
    }

    fn word_at(&self, index: usize) -> Option<String> {
        match &self.tokens.get(index)?.token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_lowercase()),
            _ => None,
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek_word().is_some_and(|next| next == word);
        self.next += usize::from(found);
        found
    }

    fn take_all(&mut self, words: &[&str]) -> bool {
        let all =
            words.iter().enumerate().all(|(ahead, word)| self.word_at(self.next + ahead).as_deref() == Some(*word));
        self.next += if all { words.len() } else { 0 };
        all
    }

    fn take_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), QueryError> {
        if self.take(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_end(&self) -> Result<(), QueryError> {
        if self.next >= self.tokens.len() { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> QueryError {
        let end = TokenWithSpan { token: Token::EOF, span: Span::empty() };
        near(self.source, self.tokens.get(self.next).unwrap_or(&end))
    }

    /// An identifier, folded as PostgreSQL folds it.
    fn identifier(&mut self) -> Result<String, QueryError> {
        let name = match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_some() => word.value.clone(),
            Some(Token::Word(word)) => word.value.to_ascii_lowercase(),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(name)
    }

    fn rest(&self) -> &[TokenWithSpan] {
        &self.tokens[self.next.min(self.tokens.len())..]
    }

    fn parse_rest<T: VisitMut>(
        &mut self,
        body: impl FnOnce(&mut Parser<'_>) -> Result<T, datafusion::sql::sqlparser::parser::ParserError>,
    ) -> Result<T, QueryError> {
        let parsed = parse_with(self.source, self.rest(), body)?;
        self.next = self.tokens.len();
        Ok(parsed)
    }

    /// What sqlparser reads of a part of the statement.
    fn parse_part<T: VisitMut>(
        &self,
        tokens: &[TokenWithSpan],
        body: impl FnOnce(&mut Parser<'_>) -> Result<T, datafusion::sql::sqlparser::parser::ParserError>,
    ) -> Result<T, QueryError> {
        let mut parsed = parse_with(self.source, tokens, body)?;
        mend_spellings(&mut parsed, self.source)?;
        Ok(parsed)
    }

    /// A statement that sqlparser reads.
    fn parsed(&mut self) -> Result<Ast, QueryError> {
        let mut statement = self.parse_rest(|parser| parser.parse_statement())?;
        mend_spellings(&mut statement, self.source)?;
        Ok(statement)
    }

    fn alone(&mut self, kind: StatementKind) -> Result<StatementKind, QueryError> {
        self.next += 1;
        Ok(kind)
    }

    // ---- cursors and prepared statements ----

    fn declare(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let name = self.identifier()?;
        while self.take("binary")
            || self.take("insensitive")
            || self.take("asensitive")
            || self.take_all(&["no", "scroll"])
            || self.take("scroll")
        {}
        self.expect("cursor")?;
        let hold = self.take_all(&["with", "hold"]);
        let _ = self.take_all(&["without", "hold"]);
        self.expect("for")?;
        let statement = parse_piece(self.source, self.rest())?;
        if !matches!(statement.kind, StatementKind::Query(_) | StatementKind::Unsupported(_)) {
            return Err(self.unexpected());
        }
        self.next = self.tokens.len();
        Ok(StatementKind::Declare(Box::new(DeclareCursor { name, hold, statement })))
    }

    fn fetch(&mut self) -> Result<StatementKind, QueryError> {
        let moves = self.take("move");
        self.next += usize::from(!moves);
        let _ = self.take("next");
        let forward = self.take("forward");
        let count = match self.peek().cloned() {
            Some(Token::Number(text, _)) => {
                let rows = text.parse().map_err(|_| self.unexpected())?;
                self.next += 1;
                FetchCount::Rows(rows)
            }
            Some(Token::Minus) => return Err(backward()),
            _ if self.take("all") => FetchCount::All,
            _ => FetchCount::Rows(1),
        };
        let backwards = ["backward", "prior", "first", "last", "absolute", "relative"];
        if !forward && backwards.iter().any(|word| self.peek_word().as_deref() == Some(*word)) {
            return Err(backward());
        }
        let _ = self.take("from") || self.take("in");
        Ok(StatementKind::Fetch { cursor: self.identifier()?, count, moves })
    }

    fn close(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        if self.take("all") {
            return Ok(StatementKind::Close(None));
        }
        Ok(StatementKind::Close(Some(self.identifier()?)))
    }

    /// `BACKUP TO 'directory'`.
    fn backup(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        self.expect("to")?;
        let Some(Token::SingleQuotedString(directory)) = self.peek() else { return Err(self.unexpected()) };
        let directory = directory.clone();
        self.next += 1;
        Ok(StatementKind::Backup { directory })
    }

    fn prepare(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        if self.take("transaction") {
            self.next = self.tokens.len();
            return Ok(StatementKind::Unsupported("two-phase commit".into()));
        }
        let name = self.identifier()?;
        let mut types = Vec::new();
        if self.peek() == Some(&Token::LParen) {
            let close = self.closing(self.next)?;
            let inner = self.tokens[self.next + 1..close].to_vec();
            types = self.parse_part(&inner, |parser| parser.parse_comma_separated(Parser::parse_data_type))?;
            self.next = close + 1;
        }
        self.expect("as")?;
        let statement = parse_piece(self.source, self.rest())?;
        self.next = self.tokens.len();
        Ok(StatementKind::Prepare { name, types, statement: Box::new(statement) })
    }

    fn execute(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let name = self.identifier()?;
        let mut arguments = Vec::new();
        if self.peek() == Some(&Token::LParen) {
            let close = self.closing(self.next)?;
            let inner = self.tokens[self.next + 1..close].to_vec();
            arguments = self.parse_part(&inner, |parser| parser.parse_comma_separated(Parser::parse_expr))?;
            self.next = close + 1;
        }
        Ok(StatementKind::Execute { name, arguments })
    }

    fn deallocate(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let _ = self.take("prepare");
        if self.take("all") {
            return Ok(StatementKind::Deallocate(None));
        }
        Ok(StatementKind::Deallocate(Some(self.identifier()?)))
    }

    /// The index of the parenthesis that closes the one at `open`.
    fn closing(&self, open: usize) -> Result<usize, QueryError> {
        let mut depth = 0;
        for (index, token) in self.tokens.iter().enumerate().skip(open) {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(index);
            }
        }
        let end = TokenWithSpan { token: Token::EOF, span: Span::empty() };
        Err(near(self.source, &end))
    }

    // ---- views, EXPLAIN ----

    fn refresh(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        self.expect("materialized")?;
        self.expect("view")?;
        let concurrently = self.take("concurrently");
        let with_data = self.take_with_data();
        let view = self.parse_rest(|parser| parser.parse_object_name(false))?;
        Ok(StatementKind::Refresh { view, concurrently, with_data })
    }

    fn explain(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        if self.take_all(&["materialized", "view"]) {
            return Ok(StatementKind::ExplainView(self.parse_rest(|parser| parser.parse_object_name(false))?));
        }
        let options = self.explain_options()?;
        let statement = Box::new(parse_piece(self.source, self.rest())?);
        if !statement.kind.is_explainable() {
            return Err(self.unexpected());
        }
        self.next = self.tokens.len();
        Ok(StatementKind::Explain { options, statement })
    }

    fn explain_options(&mut self) -> Result<ExplainOptions, QueryError> {
        let mut options = ExplainOptions::default();
        let listed = self.peek() == Some(&Token::LParen)
            && !matches!(self.word_at(self.next + 1).as_deref(), Some("select" | "with" | "values"));
        if !listed {
            options.analyze = self.take("analyze") || self.take("analyse");
            options.verbose = self.take("verbose");
            return Ok(options);
        }
        self.next += 1;
        loop {
            let name = self.identifier()?;
            if name == "format" {
                options.json = self.explains_json()?;
            } else {
                let message = format!("{name} requires a Boolean value");
                let on = self.boolean().ok_or_else(|| QueryError::new(ErrorKind::Syntax, message));
                match name.as_str() {
                    "analyze" | "analyse" => options.analyze = on?,
                    "verbose" => options.verbose = on?,
                    "costs" | "settings" | "buffers" | "wal" | "timing" | "summary" | "generic_plan" => on.map(drop)?,
                    _ => {
                        let message = format!("unrecognized EXPLAIN option \"{name}\"");
                        return Err(QueryError::new(ErrorKind::Syntax, message));
                    }
                }
            }
            if self.take_token(&Token::RParen) {
                return Ok(options);
            }
            if !self.take_token(&Token::Comma) {
                return Err(self.unexpected());
            }
        }
    }

    /// The value of FORMAT.
    fn explains_json(&mut self) -> Result<bool, QueryError> {
        let format = match self.peek() {
            Some(Token::SingleQuotedString(text)) => {
                let text = text.clone();
                self.next += 1;
                text
            }
            _ => self.identifier()?,
        };
        match format.as_str() {
            "json" => Ok(true),
            "text" => Ok(false),
            _ => {
                let error = QueryError::unsupported(format!("EXPLAIN format \"{format}\""));
                Err(error.hint("Use FORMAT TEXT or FORMAT JSON."))
            }
        }
    }

    // ---- definitions ----

    fn create(&mut self) -> Result<StatementKind, QueryError> {
        let unlogged = self.take_unlogged()?;
        let table = (1..4).any(|index| self.word_at(index).as_deref() == Some("table"));
        if self.creates_index() {
            self.take_index_words()?;
        }
        let (partition_method, partition_by) = if table { self.take_partition_by()? } else { (None, Vec::new()) };
        if table {
            self.take_nulls_distinct()?;
        }
        let with_data = self.take_with_data();
        if table && let Some(derived) = self.create_table_as((&partition_by, unlogged), with_data)? {
            return Ok(derived);
        }
        let likes = if table { self.take_likes()? } else { Vec::new() };
        self.next = 0;
        let mut identity_names = Vec::new();
        if table {
            identity_names = self.take_identity_names()?;
            self.order_identity_options()?;
        }
        match self.parsed()? {
            Ast::CreateTable(definition) => {
                let create =
                    CreateTable { definition, partition_by, partition_method, likes, unlogged, identity_names };
                Ok(StatementKind::CreateTable(Box::new(create)))
            }
            Ast::CreateView(view) => {
                if view.temporary && view.materialized {
                    // CREATE [LOCAL] TEMPORARY: PostgreSQL expects TABLE, VIEW and the like here.
                    self.next =
                        (1..4).find(|index| self.word_at(*index).as_deref() == Some("materialized")).unwrap_or(1);
                    return Err(self.unexpected());
                }
                if view.or_replace && view.materialized {
                    return Err(
                        QueryError::unsupported("CREATE OR REPLACE MATERIALIZED VIEW").hint("Drop the view first.")
                    );
                }
                let columns = view.columns.iter().map(|column| fold(&column.name)).collect();
                Ok(StatementKind::CreateView(Box::new(CreateView {
                    materialized: view.materialized,
                    temporary: view.temporary,
                    or_replace: view.or_replace,
                    name: view.name,
                    columns,
                    query: view.query,
                    if_not_exists: view.if_not_exists,
                    with_data,
                })))
            }
            Ast::CreateSchema { schema_name, if_not_exists, .. } => {
                let name = match schema_name {
                    ast::SchemaName::Simple(name) | ast::SchemaName::NamedAuthorization(name, _) => name,
                    ast::SchemaName::UnnamedAuthorization(name) => ast::ObjectName::from(vec![name]),
                };
                let name = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
                Ok(StatementKind::CreateSchema { name, if_not_exists })
            }
            Ast::CreateIndex(index) if index.unique => create_unique_index(index),
            Ast::CreateIndex(index) => Ok(StatementKind::CreatePlainIndex(Box::new(index))),
            _ => {
                let what = self.word_at(1).unwrap_or_default().to_uppercase();
                Ok(StatementKind::Unsupported(format!("CREATE {what}")))
            }
        }
    }

    /// Takes UNLOGGED away from `CREATE UNLOGGED TABLE`.
    fn take_unlogged(&mut self) -> Result<bool, QueryError> {
        if self.word_at(1).as_deref() != Some("unlogged") {
            return Ok(false);
        }
        match self.word_at(2).as_deref() {
            Some("table") => {
                self.tokens.remove(1);
                Ok(true)
            }
            Some("view") => {
                let message = "views cannot be unlogged because they do not have storage";
                Err(QueryError::new(ErrorKind::Syntax, message))
            }
            Some("materialized") => {
                Err(QueryError::new(ErrorKind::FeatureNotSupported, "materialized views cannot be unlogged"))
            }
            _ => {
                self.next = 2;
                Err(self.unexpected())
            }
        }
    }

    /// Takes `NULLS DISTINCT` away from keys, which says what holds without it; the opposite is refused.
    pub(super) fn take_nulls_distinct(&mut self) -> Result<(), QueryError> {
        let word = |words: &Self, index: usize, wanted: &str| words.word_at(index).as_deref() == Some(wanted);
        while let Some(index) = (0..self.tokens.len()).find(|index| {
            let nulls = word(self, *index, "unique") && word(self, index + 1, "nulls");
            let equal = word(self, index + 2, "not") && word(self, index + 3, "distinct");
            nulls && (equal || word(self, index + 2, "distinct"))
        }) {
            if word(self, index + 2, "not") {
                let place = crate::statement::position_of(self.source, self.tokens[index].span.start);
                return Err(QueryError::unsupported("UNIQUE NULLS NOT DISTINCT")
                    .hint("Make the columns NOT NULL.")
                    .position(place));
            }
            self.tokens.drain(index + 1..index + 3);
        }
        Ok(())
    }

    /// Takes a closing `WITH [NO] DATA` off; true unless it said NO.
    fn take_with_data(&mut self) -> bool {
        let count = self.tokens.len();
        let ends = |words: &[&str]| {
            count >= words.len()
                && words
                    .iter()
                    .enumerate()
                    .all(|(index, word)| self.word_at(count - words.len() + index).as_deref() == Some(*word))
        };
        if ends(&["with", "no", "data"]) {
            self.tokens.truncate(count - 3);
            return false;
        }
        if ends(&["with", "data"]) {
            self.tokens.truncate(count - 2);
        }
        true
    }

    fn generic(&mut self) -> Result<StatementKind, QueryError> {
        let first = self.peek_word().unwrap_or_default();
        let overriding = self.take_overriding();
        if self.take_all(&["drop", "index", "concurrently"]) {
            // Nobody waits for a DROP INDEX, whether it says so or not.
            self.tokens.remove(self.next - 1);
            self.next = 0;
        }
        let mut statement = self.parse_rest(|parser| parser.parse_statement())?;
        let into = take_into(&mut statement);
        mend_spellings(&mut statement, self.source)?;
        match statement {
            Ast::Query(query) if into.is_some() => create_from(query, into),
            Ast::Query(query) => self.query_or_writer(*query, overriding),
            Ast::Insert(insert) => insert_with(None, insert, overriding),
            Ast::Delete(delete) => Ok(StatementKind::Modify(Box::new(Modification::of_delete(None, delete)?))),
            Ast::Update(update) => Ok(StatementKind::Modify(Box::new(Modification::of_update(None, update)?))),
            Ast::Truncate(truncate) => Ok(StatementKind::Truncate {
                tables: truncate.table_names.into_iter().map(|target| target.name).collect(),
                restart_identity: truncate.identity == Some(ast::TruncateIdentityOption::Restart),
            }),
            Ast::Drop { object_type, if_exists, names, cascade, .. } => {
                let object = match object_type {
                    ast::ObjectType::Table => DropObject::Table,
                    ast::ObjectType::MaterializedView => DropObject::MaterializedView,
                    ast::ObjectType::View => DropObject::View,
                    ast::ObjectType::Schema => DropObject::Schema,
                    ast::ObjectType::Sequence => DropObject::Sequence,
                    ast::ObjectType::Index => DropObject::Index,
                    other => return Ok(StatementKind::Unsupported(format!("DROP {other}"))),
                };
                Ok(StatementKind::Drop(DropStatement { object, names, if_exists, cascade }))
            }
            _ if first == "drop" => {
                let what = self.word_at(1).unwrap_or_default();
                Ok(StatementKind::Unsupported(format!("DROP {}", what.to_uppercase())))
            }
            _ => Ok(StatementKind::Unsupported(first.to_uppercase())),
        }
    }
}

fn backward() -> QueryError {
    QueryError::new(ErrorKind::ObjectNotReady, "cursor can only scan forward")
        .hint("Declare it again to read from the start.")
}

/// An identifier as PostgreSQL folds it: of its letters those of ASCII alone.
pub(crate) fn fold(identifier: &ast::Ident) -> String {
    if identifier.quote_style.is_some() { identifier.value.clone() } else { identifier.value.to_ascii_lowercase() }
}
