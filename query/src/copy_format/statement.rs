//! The COPY statement, in all the spellings that PostgreSQL reads.
//!
//! An own small grammar over sqlparser's tokens: sqlparser's COPY lacks `HEADER MATCH`, `FORCE_QUOTE *` and unknown options with
//! their position, and DataFusion's parser takes COPY for a statement of its own.

use super::options::{CopyDirection, CopyOptions, RawOption, RawValue};
use crate::error::{ErrorKind, QueryError};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

#[derive(Clone, Debug, PartialEq)]
pub struct CopyStatement {
    pub source: CopySource,
    pub direction: CopyDirection,
    pub endpoint: CopyEndpoint,
    pub options: CopyOptions,
    /// The text after WHERE and its byte offset in the statement.
    pub where_clause: Option<(String, usize)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CopySource {
    /// A relation; no columns means all of them.
    Table { schema: Option<String>, name: String, columns: Vec<String> },
    /// The text between the parentheses and its byte offset in the statement.
    Query { text: String, offset: usize },
}

#[derive(Clone, Debug, PartialEq)]
pub enum CopyEndpoint {
    Stdin,
    Stdout,
    File(String),
    Program(String),
}

/// Reads one statement; `None` when it is no COPY. Positions in errors count from the start of `sql`.
pub fn parse_copy(sql: &str) -> Option<Result<CopyStatement, QueryError>> {
    let rest = &sql[leading_blank(sql)..];
    let word = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').map_or(rest, |end| &rest[..end]);
    if !word.eq_ignore_ascii_case("copy") {
        return None;
    }
    Some(Cursor::new(sql).and_then(|mut cursor| cursor.statement()))
}

/// Bytes of white space and comments before the first word.
fn leading_blank(sql: &str) -> usize {
    let mut rest = sql;
    loop {
        rest = rest.trim_start();
        if rest.starts_with("--") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = after_comment(rest);
        } else {
            return sql.len() - rest.len();
        }
    }
}

/// What follows a block comment; they nest.
fn after_comment(text: &str) -> &str {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return &text[at..];
                }
            }
            _ => at += 1,
        }
    }
    ""
}

struct Piece {
    token: Token,
    /// Byte offset and 1-based character position of the token's start.
    offset: usize,
    position: usize,
}

struct Cursor<'a> {
    sql: &'a str,
    pieces: Vec<Piece>,
    index: usize,
}

impl<'a> Cursor<'a> {
    fn new(sql: &'a str) -> Result<Self, QueryError> {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().map_err(|error| {
            QueryError::new(ErrorKind::Syntax, error.message.to_ascii_lowercase().trim_end_matches('.').to_string())
        })?;
        let mut pieces = Vec::with_capacity(tokens.len());
        let mut characters = sql.char_indices().enumerate().peekable();
        let (mut line, mut column) = (1, 1);
        for token in tokens {
            let start = token.span.start;
            while (line, column) < (start.line, start.column)
                && let Some((_, (_, character))) = characters.next()
            {
                (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            let (position, offset) =
                characters.peek().map_or((sql.chars().count(), sql.len()), |(index, (offset, _))| (*index, *offset));
            if !matches!(token.token, Token::Whitespace(_) | Token::EOF) {
                pieces.push(Piece { token: token.token, offset, position: position + 1 });
            }
        }
        Ok(Self { sql, pieces, index: 0 })
    }

    fn statement(&mut self) -> Result<CopyStatement, QueryError> {
        self.expect_word("copy")?;
        let mut raw = Vec::new();
        let position = self.position();
        if self.accept_word("binary") {
            raw.push(option("format", "binary", position));
        }
        let is_query = raw.is_empty() && self.peek() == Some(&Token::LParen);
        let source = if is_query { self.query()? } else { self.table()? };
        let direction = if !is_query && self.accept_word("from") {
            CopyDirection::From
        } else {
            self.expect_word("to")?;
            CopyDirection::To
        };
        let endpoint = self.endpoint(direction)?;
        self.old_delimiters(&mut raw)?;
        self.accept_word("with");
        if self.accept(&Token::LParen) {
            self.generic_options(&mut raw)?
        } else {
            self.old_options(&mut raw)?
        }
        let where_clause = if is_query { None } else { self.where_clause(direction)? };
        self.accept(&Token::SemiColon);
        if self.index < self.pieces.len() {
            return Err(self.syntax_error());
        }
        let options = CopyOptions::from_raw(&raw, direction)?;
        Ok(CopyStatement { source, direction, endpoint, options, where_clause })
    }

    fn query(&mut self) -> Result<CopySource, QueryError> {
        self.index += 1;
        let offset = self.pieces.get(self.index).map_or(self.sql.len(), |piece| piece.offset);
        let mut depth = 1;
        while let Some(piece) = self.pieces.get(self.index) {
            match piece.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.index += 1;
            if depth == 0 {
                let text = self.sql[offset..piece.offset].trim_end().to_string();
                return Ok(CopySource::Query { text, offset });
            }
        }
        Err(self.syntax_error())
    }

    fn table(&mut self) -> Result<CopySource, QueryError> {
        let mut names = vec![self.identifier()?];
        while self.accept(&Token::Period) {
            names.push(self.identifier()?);
        }
        let columns = if self.accept(&Token::LParen) { self.column_list()? } else { Vec::new() };
        let name = names.pop().unwrap_or_default();
        let schema = names.pop();
        Ok(CopySource::Table { schema, name, columns })
    }

    /// Names up to the closing parenthesis; the opening one is taken.
    fn column_list(&mut self) -> Result<Vec<String>, QueryError> {
        let mut columns = vec![self.identifier()?];
        while self.accept(&Token::Comma) {
            columns.push(self.identifier()?);
        }
        if self.accept(&Token::RParen) { Ok(columns) } else { Err(self.syntax_error()) }
    }

    fn endpoint(&mut self, direction: CopyDirection) -> Result<CopyEndpoint, QueryError> {
        let program = self.accept_word("program");
        if self.accept_word("stdin") || self.accept_word("stdout") {
            if program {
                return Err(QueryError::new(ErrorKind::Syntax, "STDIN/STDOUT not allowed with PROGRAM"));
            }
            // PostgreSQL takes either word for either direction.
            return Ok(match direction {
                CopyDirection::From => CopyEndpoint::Stdin,
                CopyDirection::To => CopyEndpoint::Stdout,
            });
        }
        let text = self.string()?;
        Ok(if program { CopyEndpoint::Program(text) } else { CopyEndpoint::File(text) })
    }

    fn old_delimiters(&mut self, raw: &mut Vec<RawOption>) -> Result<(), QueryError> {
        let position = self.position();
        let using = self.accept_word("using");
        if self.accept_word("delimiters") {
            let text = self.string()?;
            raw.push(option("delimiter", &text, position));
        } else if using {
            return Err(self.syntax_error());
        }
        Ok(())
    }

    fn generic_options(&mut self, raw: &mut Vec<RawOption>) -> Result<(), QueryError> {
        loop {
            let position = self.position();
            let name = self.identifier()?;
            let value = self.generic_value()?;
            raw.push(RawOption { name, value, position });
            if self.accept(&Token::RParen) {
                return Ok(());
            }
            if !self.accept(&Token::Comma) {
                return Err(self.syntax_error());
            }
        }
    }

    fn generic_value(&mut self) -> Result<RawValue, QueryError> {
        let sign = if self.accept(&Token::Minus) {
            "-"
        } else {
            self.accept(&Token::Plus);
            ""
        };
        match self.peek() {
            Some(Token::Comma | Token::RParen) => Ok(RawValue::Absent),
            Some(Token::Mul) => {
                self.index += 1;
                Ok(RawValue::Star)
            }
            Some(Token::LParen) => {
                self.index += 1;
                Ok(RawValue::List(self.column_list()?))
            }
            Some(Token::Number(number, _)) => {
                let text = format!("{sign}{number}");
                self.index += 1;
                Ok(RawValue::Text(text))
            }
            Some(Token::Word(_)) => Ok(RawValue::Text(self.identifier()?)),
            _ => Ok(RawValue::Text(self.string()?)),
        }
    }

    fn old_options(&mut self, raw: &mut Vec<RawOption>) -> Result<(), QueryError> {
        loop {
            let position = self.position();
            let Some(word) = self.peek_word() else { return Ok(()) };
            if word == "where" {
                return Ok(());
            }
            self.index += 1;
            match word.as_str() {
                "binary" | "csv" => raw.push(option("format", &word, position)),
                "freeze" | "header" => raw.push(RawOption { name: word, value: RawValue::Absent, position }),
                "delimiter" | "null" | "quote" | "escape" => {
                    self.accept_word("as");
                    let text = self.string()?;
                    raw.push(option(&word, &text, position));
                }
                "encoding" => {
                    let text = self.string()?;
                    raw.push(option("encoding", &text, position));
                }
                "force" => raw.push(self.old_force(position)?),
                _ => {
                    self.index -= 1;
                    return Err(self.syntax_error());
                }
            }
        }
    }

    /// What follows FORCE: `QUOTE a, b`, `QUOTE *`, `NOT NULL a, b`, `NULL a`.
    fn old_force(&mut self, position: usize) -> Result<RawOption, QueryError> {
        let name = if self.accept_word("quote") {
            "force_quote"
        } else if self.accept_word("not") {
            self.expect_word("null")?;
            "force_not_null"
        } else {
            self.expect_word("null")?;
            "force_null"
        };
        let value = if self.accept(&Token::Mul) {
            RawValue::Star
        } else {
            let mut columns = vec![self.identifier()?];
            while self.accept(&Token::Comma) {
                columns.push(self.identifier()?);
            }
            RawValue::List(columns)
        };
        Ok(RawOption { name: name.to_string(), value, position })
    }

    fn where_clause(&mut self, direction: CopyDirection) -> Result<Option<(String, usize)>, QueryError> {
        let position = self.position();
        if !self.accept_word("where") {
            return Ok(None);
        }
        if direction == CopyDirection::To {
            return Err(QueryError::new(ErrorKind::Syntax, "WHERE clause not allowed with COPY TO")
                .hint("Try the COPY (SELECT ... WHERE ...) TO variant.")
                .position(Some(position)));
        }
        let Some(first) = self.pieces.get(self.index) else { return Err(self.syntax_error()) };
        let offset = first.offset;
        let is_end = |piece: &Piece| piece.token == Token::SemiColon;
        let count = self.pieces[self.index..].iter().position(is_end).unwrap_or(self.pieces.len() - self.index);
        self.index += count;
        let end = self.pieces.get(self.index).map_or(self.sql.len(), |piece| piece.offset);
        Ok(Some((self.sql[offset..end].trim_end().to_string(), offset)))
    }

    fn peek(&self) -> Option<&Token> {
        self.pieces.get(self.index).map(|piece| &piece.token)
    }

    /// The next token as a lowercase keyword; `None` for anything else, a quoted identifier too.
    fn peek_word(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() => Some(word.value.to_ascii_lowercase()),
            _ => None,
        }
    }

    fn accept(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.index += usize::from(found);
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.peek_word().is_some_and(|found| found == word);
        self.index += usize::from(found);
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), QueryError> {
        if self.accept_word(word) { Ok(()) } else { Err(self.syntax_error()) }
    }

    fn identifier(&mut self) -> Result<String, QueryError> {
        let name = match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
            Some(Token::Word(word)) => word.value.clone(),
            _ => return Err(self.syntax_error()),
        };
        self.index += 1;
        Ok(name)
    }

    fn string(&mut self) -> Result<String, QueryError> {
        let text = match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => text.clone(),
            Some(Token::DollarQuotedString(text)) => text.value.clone(),
            _ => return Err(self.syntax_error()),
        };
        self.index += 1;
        Ok(text)
    }

    /// The character position of the next token.
    fn position(&self) -> usize {
        self.pieces.get(self.index).map_or_else(|| self.sql.chars().count() + 1, |piece| piece.position)
    }

    fn syntax_error(&self) -> QueryError {
        let message = match self.pieces.get(self.index) {
            None => "syntax error at end of input".to_string(),
            Some(piece) => {
                let end = self.pieces.get(self.index + 1).map_or(self.sql.len(), |next| next.offset);
                format!("syntax error at or near \"{}\"", self.sql[piece.offset..end].trim_end())
            }
        };
        QueryError::new(ErrorKind::Syntax, message).position(Some(self.position()))
    }
}

fn option(name: &str, value: &str, position: usize) -> RawOption {
    RawOption { name: name.to_string(), value: RawValue::Text(value.to_string()), position }
}
