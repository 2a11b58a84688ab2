//! Statements: from a client's text to what it asks for.
//!
//! A text is tokenised once, cut at top-level semicolons, and each piece is read by the grammar that knows it: COPY by
//! `copy_format`, session and cursor commands and `CREATE TABLE … PARTITION BY` by the small grammar here, everything else by
//! sqlparser. Tokens keep their line and column in the whole text, so every error points at the character that the client sent.

use crate::continued_literals::JoinedText;
use crate::copy_format::{CopyStatement, parse_copy};
use crate::declared_partitions::PartitionMethod;
use crate::dialect::StatementDialect;
use crate::error::{ErrorKind, QueryError};
use crate::escaped_literals::{EscapedText, Wrong, location_of};
use crate::long_chains::{balance, refuse_long_chains};
use crate::merge::Merge;
use crate::modify::Modification;
use crate::operator_tokens::{cut_operators, without_touching_comments};
use crate::sequence_definition::SequenceOptions;
use crate::statement_grammar as grammar;
use crate::statement_grammar::altering::Alteration;
use crate::statement_grammar::deriving::{CreateTableAs, Like};
use crate::unsupported::refusal;
use datafusion::sql::sqlparser::ast::{self, VisitMut};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use std::sync::Arc;

/// The most nested expression that the parser follows before it gives up with an error.
const PARSER_DEPTH_MAX: usize = 200;

/// One statement of a client's text.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The whole text that the client sent; positions count in it.
    pub(crate) source: Arc<str>,
    /// Byte range of this statement in `source`.
    pub(crate) range: std::ops::Range<usize>,
    pub(crate) kind: StatementKind,
}

impl Statement {
    /// The statement's own text, without the semicolon.
    pub fn text(&self) -> &str {
        self.source[self.range.clone()].trim()
    }

    /// The position of the first character of a span.
    pub(crate) fn place_of(&self, span: Span) -> Option<usize> {
        position_of(&self.source, span.start)
    }
}

/// What a statement asks for.
#[derive(Clone, Debug)]
pub(crate) enum StatementKind {
    Query(Box<ast::Query>),
    Insert(Box<ast::Insert>, Overriding),
    Modify(Box<Modification>),
    Merge(Box<Merge>),
    CreateTable(Box<CreateTable>),
    CreateTableAs(Box<CreateTableAs>),
    CreateSchema {
        name: String,
        if_not_exists: bool,
    },
    CreateView(Box<CreateView>),
    Drop(DropStatement),
    CreateSequence {
        name: ast::ObjectName,
        temporary: bool,
        if_not_exists: bool,
        options: Box<SequenceOptions>,
    },
    AlterSequence {
        name: ast::ObjectName,
        if_exists: bool,
        change: AlterSequence,
    },
    CreateEnum {
        name: ast::ObjectName,
        labels: Vec<String>,
    },
    AlterType {
        name: ast::ObjectName,
        change: TypeAlteration,
    },
    CreateDomain {
        name: ast::ObjectName,
        /// Read as that of a column.
        definition: Box<ast::ColumnDef>,
    },
    AlterDomain {
        name: ast::ObjectName,
        change: DomainAlteration,
    },
    DropType {
        /// Whether only domains are meant.
        domains: bool,
        names: Vec<ast::ObjectName>,
        if_exists: bool,
        cascade: bool,
    },
    /// ALTER TABLE … DROP PARTITION.
    DropPartition {
        table: ast::ObjectName,
        conditions: Vec<ast::Expr>,
    },
    /// ALTER TABLE … FORGET LABEL.
    ForgetLabel {
        table: ast::ObjectName,
        label: String,
    },
    AttachPartition {
        table: ast::ObjectName,
        partition: ast::ObjectName,
    },
    /// CREATE INDEX that is not UNIQUE.
    CreatePlainIndex(Box<ast::CreateIndex>),
    Alter(Box<Alteration>),
    Truncate {
        tables: Vec<ast::ObjectName>,
        restart_identity: bool,
    },
    Refresh {
        view: ast::ObjectName,
        concurrently: bool,
        with_data: bool,
    },
    Copy(Box<CopyStatement>),
    Explain {
        options: ExplainOptions,
        statement: Box<Statement>,
    },
    ExplainView(ast::ObjectName),
    Set {
        name: String,
        value: SetValue,
        local: bool,
    },
    Show(String),
    ShowAll,
    Reset(String),
    ResetAll,
    Begin(TransactionModes),
    SetTransaction(TransactionModes),
    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    SetCharacteristics(TransactionModes),
    /// `chain` begins another transaction of the same kind.
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    Declare(Box<DeclareCursor>),
    Fetch {
        cursor: String,
        count: FetchCount,
        moves: bool,
    },
    Close(Option<String>),
    Prepare {
        name: String,
        types: Vec<ast::DataType>,
        statement: Box<Statement>,
    },
    Execute {
        name: String,
        arguments: Vec<ast::Expr>,
    },
    Deallocate(Option<String>),
    Discard(Discarded),
    Checkpoint,
    /// `BACKUP TO 'directory'`, of the server's machine.
    Backup {
        directory: String,
    },
    /// VACUUM or ANALYZE.
    Maintain(Maintenance),
    Reindex(Reindex),
    Listen(String),
    Subscribe(Subscribe),
    /// Of one channel, or of all.
    Unlisten(Option<String>),
    Notify {
        channel: String,
        payload: String,
    },
    /// A statement of which nothing is kept.
    Unkept(Unkept),
    /// A statement that PostgreSQL has and Meridian does not.
    Unsupported(String),
}

/// REINDEX.
#[derive(Clone, Debug)]
pub(crate) struct Reindex {
    pub target: ReindexTarget,
    pub concurrently: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum ReindexTarget {
    Index(ast::ObjectName),
    Table(ast::ObjectName),
    Schema(String),
    Database(String),
    /// The catalog of a database.
    System(String),
}

/// What VACUUM or ANALYZE names; all tables where it names none.
#[derive(Clone, Debug)]
pub(crate) struct Maintenance {
    pub vacuums: bool,
    pub tables: Vec<Maintained>,
}

#[derive(Clone, Debug)]
pub(crate) struct Maintained {
    pub table: ast::ObjectName,
    pub columns: Vec<String>,
}

/// A statement that changes no answer, and of which nothing is kept, as a notice says.
#[derive(Clone, Debug)]
pub(crate) struct Unkept {
    pub command: &'static str,
    pub target: UnkeptTarget,
    pub if_exists: bool,
    pub notice: String,
}

/// What such a statement is about, as far as it is looked for.
#[derive(Clone, Debug)]
pub(crate) enum UnkeptTarget {
    Nothing,
    Schema(String),
    Relation(ast::ObjectName),
    Column(ast::ObjectName),
}

/// `SUBSCRIBE relation WITH (…)`.
#[derive(Clone, Debug)]
pub(crate) struct Subscribe {
    pub relation: ast::ObjectName,
    /// Where the relation's name stands.
    pub position: Option<usize>,
    /// Whether what is there comes first.
    pub snapshot: bool,
    /// Whether it is told up to which commit all was sent.
    pub progress: bool,
}

/// What INSERT says of the values that it gives to identity columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Overriding {
    #[default]
    Nothing,
    /// They count, for GENERATED ALWAYS too.
    System,
    /// They are ignored.
    User,
}

#[derive(Clone, Debug)]
pub(crate) enum AlterSequence {
    Options(Box<SequenceOptions>),
    Rename(String),
    SetSchema(String),
}

/// What ALTER DOMAIN does.
#[derive(Clone, Debug)]
pub(crate) enum DomainAlteration {
    SetDefault(Option<Box<ast::Expr>>),
    SetNotNull(bool),
    AddCheck { name: Option<ast::Ident>, expression: Box<ast::Expr>, not_valid: bool },
    DropConstraint { name: String, if_exists: bool },
    ValidateConstraint(String),
    RenameConstraint { from: String, to: String },
    Rename(String),
    SetSchema(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TypeAlteration {
    AddValue { label: String, if_not_exists: bool, place: ValuePlace },
    RenameValue { from: String, to: String },
    Rename(String),
    SetSchema(String),
}

/// Where ADD VALUE puts a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValuePlace {
    Last,
    Before(String),
    After(String),
}

#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    pub definition: ast::CreateTable,
    pub partition_by: Vec<ast::Expr>,
    /// Where PARTITION BY is spelt as in PostgreSQL.
    pub partition_method: Option<PartitionMethod>,
    pub likes: Vec<Like>,
    pub unlogged: bool,
    /// What SEQUENCE NAME says, for each identity column in order.
    pub identity_names: Vec<Option<ast::ObjectName>>,
}

#[derive(Clone, Debug)]
pub(crate) struct CreateView {
    pub materialized: bool,
    pub temporary: bool,
    pub or_replace: bool,
    pub name: ast::ObjectName,
    pub columns: Vec<String>,
    pub query: Box<ast::Query>,
    pub if_not_exists: bool,
    pub with_data: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct DropStatement {
    pub object: DropObject,
    pub names: Vec<ast::ObjectName>,
    pub if_exists: bool,
    pub cascade: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropObject {
    Table,
    MaterializedView,
    View,
    Schema,
    Sequence,
    Index,
}

/// The right side of SET; `Default` is the reset value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetValue {
    Default,
    Items(Vec<SetItem>),
}

/// One of the values that SET lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetItem {
    /// A word, folded, or a string.
    Text(String),
    Number(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TransactionModes {
    pub isolation: Option<Isolation>,
    pub read_only: Option<bool>,
    pub deferrable: Option<bool>,
}

/// What DISCARD names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discarded {
    All,
    Plans,
    Sequences,
    Temporary,
}

/// Transaction isolation as PostgreSQL names it; READ UNCOMMITTED is READ COMMITTED.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    #[default]
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    /// The isolation with a name that SET takes.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "repeatable read" => Self::RepeatableRead,
            "serializable" => Self::Serializable,
            _ => Self::ReadCommitted,
        }
    }

    /// The name that SHOW and SET use.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DeclareCursor {
    pub name: String,
    pub hold: bool,
    pub statement: Statement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchCount {
    Rows(u64),
    All,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExplainOptions {
    pub analyze: bool,
    pub verbose: bool,
    pub json: bool,
}

impl StatementKind {
    /// Whether it leaves a transaction block that has failed, at least up to a savepoint.
    pub(crate) fn ends_failed_block(&self) -> bool {
        matches!(self, Self::Commit { .. } | Self::Rollback { .. } | Self::RollbackTo(_))
    }

    /// Whether PostgreSQL has EXPLAIN of it.
    pub(crate) fn is_explainable(&self) -> bool {
        match self {
            Self::Query(_) | Self::Insert(..) | Self::Modify(_) | Self::Merge(_) | Self::Declare(_) => true,
            Self::CreateTableAs(_) | Self::Refresh { .. } | Self::Execute { .. } | Self::Unsupported(_) => true,
            Self::CreateView(create) => create.materialized,
            _ => false,
        }
    }

    /// The command's name, if it writes and is refused for that in a read-only transaction. COPY FROM looks for its table first.
    pub(crate) fn writing_command(&self) -> Option<&'static str> {
        Some(match self {
            Self::Insert(..) => "INSERT",
            Self::Modify(modification) => modification.verb(),
            Self::Merge(_) => "MERGE",
            Self::Truncate { .. } => "TRUNCATE TABLE",
            Self::CreateTable(_) => "CREATE TABLE",
            Self::CreateTableAs(_) => "CREATE TABLE AS",
            Self::CreateSchema { .. } => "CREATE SCHEMA",
            Self::CreateSequence { .. } => "CREATE SEQUENCE",
            Self::AlterSequence { .. } => "ALTER SEQUENCE",
            Self::CreateEnum { .. } => "CREATE TYPE",
            Self::AlterType { .. } => "ALTER TYPE",
            Self::CreateDomain { .. } => "CREATE DOMAIN",
            Self::AlterDomain { .. } => "ALTER DOMAIN",
            Self::DropType { domains: true, .. } => "DROP DOMAIN",
            Self::DropType { .. } => "DROP TYPE",
            Self::AttachPartition { .. } | Self::DropPartition { .. } | Self::ForgetLabel { .. } => "ALTER TABLE",
            Self::CreateView(create) if create.materialized => "CREATE MATERIALIZED VIEW",
            Self::CreateView(_) => "CREATE VIEW",
            Self::Refresh { .. } => "REFRESH MATERIALIZED VIEW",
            Self::Drop(drop) => drop.object.command(),
            Self::Alter(alteration) => alteration.command(),
            Self::CreatePlainIndex(_) => "CREATE INDEX",
            _ => return None,
        })
    }
}

impl DeclareCursor {
    /// The query that it is declared for.
    pub(crate) fn query(&self) -> Result<&ast::Query, QueryError> {
        match &self.statement.kind {
            StatementKind::Query(query) => Ok(query),
            StatementKind::Unsupported(what) => Err(refusal(what)),
            _ => Err(QueryError::new(ErrorKind::Internal, "a cursor was declared for what is no query")),
        }
    }
}

impl DropObject {
    /// The command that drops it, as the client is told when it is done.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Table => "DROP TABLE",
            Self::MaterializedView => "DROP MATERIALIZED VIEW",
            Self::View => "DROP VIEW",
            Self::Schema => "DROP SCHEMA",
            Self::Sequence => "DROP SEQUENCE",
            Self::Index => "DROP INDEX",
        }
    }
}

/// Cuts a text into its statements. Empty ones are left out.
pub(crate) fn parse(sql: &str) -> Result<Vec<Statement>, QueryError> {
    let source: Arc<str> = Arc::from(sql);
    let tokens = tokenize(&source)?;
    let mut statements = Vec::new();
    for piece in split(&tokens) {
        if piece.iter().any(|token| !is_blank(&token.token)) {
            refuse_long_chains(&source, piece)?;
            statements.push(parse_piece(&source, piece)?);
        }
    }
    Ok(statements)
}

/// Parses the definition of a view, which a client's statement was when it was taken: what has become an error since then is none in it.
pub(crate) fn parse_definition(text: &str) -> Result<Box<ast::Query>, QueryError> {
    let tokens = tokenize(text)?;
    let query = split(&tokens).next().unwrap_or_default();
    refuse_long_chains(text, query)?;
    grammar::parse_definition(text, query)
}

/// Parses exactly one statement that stands inside another (`EXPLAIN …`, `DECLARE … FOR …`).
pub(crate) fn parse_piece(source: &Arc<str>, tokens: &[TokenWithSpan]) -> Result<Statement, QueryError> {
    let start =
        tokens.iter().find(|token| !is_blank(&token.token)).map_or(0, |token| byte_offset(source, token.span.start));
    let end = tokens.last().map_or(source.len(), |token| byte_offset(source, token.span.end));
    let text = &source[start..end.max(start)];
    let kind = match parse_copy(text) {
        Some(copy) => StatementKind::Copy(Box::new(copy.map_err(|error| shift(error, source, start))?)),
        None => grammar::parse_kind(source, tokens)?,
    };
    Ok(Statement { source: Arc::clone(source), range: start..end.max(start), kind })
}

/// A parser that nesting cannot take beyond its stack.
pub(crate) fn statement_parser<'a>(dialect: &'a StatementDialect, tokens: &[TokenWithSpan]) -> Parser<'a> {
    Parser::new(dialect).with_recursion_limit(PARSER_DEPTH_MAX).with_tokens_with_locations(tokens.to_vec())
}

/// Runs sqlparser over tokens of `source` and insists that it uses all of them.
pub(crate) fn parse_with<T: VisitMut>(
    source: &str,
    tokens: &[TokenWithSpan],
    body: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, QueryError> {
    let mut parser = statement_parser(&StatementDialect, tokens);
    let mut parsed = body(&mut parser).map_err(|error| syntax_error(source, error))?;
    balance(&mut parsed);
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(near(source, &rest));
    }
    Ok(parsed)
}

/// `syntax error at or near "x"` at a token, or `at end of input`.
pub(crate) fn near(source: &str, token: &TokenWithSpan) -> QueryError {
    let position = position_of(source, token.span.start);
    let message = match &token.token {
        Token::EOF => "syntax error at end of input".to_string(),
        other => format!("syntax error at or near \"{other}\""),
    };
    let position = if token.token == Token::EOF { Some(source.chars().count() + 1) } else { position };
    QueryError::new(ErrorKind::Syntax, message).position(position)
}

/// 1-based character offset of a location; `None` for the location that sqlparser gives to things of its own making.
pub(crate) fn position_of(source: &str, location: Location) -> Option<usize> {
    if location.line == 0 {
        return None;
    }
    let byte = byte_offset(source, location);
    Some(source[..byte].chars().count() + 1)
}

/// Moves an error that counts in a piece starting at byte `start` to the whole text.
pub(crate) fn shift(mut error: QueryError, source: &str, start: usize) -> QueryError {
    let before = source[..start].chars().count();
    error.position = error.position.map(|position| position + before);
    error
}

/// The tokens of a text, as PostgreSQL cuts it.
pub(crate) fn tokenize(source: &str) -> Result<Vec<TokenWithSpan>, QueryError> {
    if let Some(zero) = source.find('\0') {
        return Err(QueryError::new(
            ErrorKind::CharacterNotInRepertoire,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        )
        .position(Some(source[..zero].chars().count() + 1)));
    }
    let dialect = StatementDialect;
    let readable = without_touching_comments(source);
    let joined = JoinedText::of(&readable);
    let place_in_source = |place| position_of(source, joined.place_in_source(place));
    let escaped = EscapedText::of(joined.text()).map_err(|Wrong { error, at }| {
        error.position(at.and_then(|at| place_in_source(location_of(joined.text(), at))))
    })?;
    let mut tokens = Tokenizer::new(&dialect, escaped.text()).tokenize_with_location().map_err(|error| {
        let position = place_in_source(error.location);
        let rest = position.map_or("", |position| tail(source, position));
        let unterminated = error.message.starts_with("Unterminated") || error.message.contains("Unexpected EOF");
        let what = if unterminated { "unterminated quoted string" } else { "syntax error" };
        QueryError::new(ErrorKind::Syntax, format!("{what} at or near \"{}\"", rest.trim_end())).position(position)
    })?;
    escaped.put_back(&mut tokens)?;
    joined.put_back(&mut tokens);
    refuse_junk(&tokens, source)?;
    Ok(cut_operators(tokens, source))
}

/// A word right behind a number is an error, and so is a number that PostgreSQL does not know, such as `0x10` or `1_000`.
fn refuse_junk(tokens: &[TokenWithSpan], source: &str) -> Result<(), QueryError> {
    let mut behind = tokens.iter().skip(1);
    for token in tokens {
        let next = behind.next();
        let start = || byte_offset(source, token.span.start);
        let word = next.filter(|next| matches!(&next.token, Token::Word(word) if word.quote_style.is_none()));
        let is_junk = match &token.token {
            Token::Number(text, long) => *long || text.contains('_') || word.is_some(),
            Token::HexStringLiteral(_) => source[start()..].starts_with('0'),
            _ => false,
        };
        if is_junk {
            let word = word.filter(|_| matches!(token.token, Token::Number(..)));
            let end = byte_offset(source, word.unwrap_or(token).span.end);
            let junk = &source[start()..end];
            let message = format!("trailing junk after numeric literal at or near \"{junk}\"");
            let position = position_of(source, token.span.start);
            return Err(QueryError::new(ErrorKind::Syntax, message).position(position));
        }
    }
    Ok(())
}

fn tail(source: &str, position: usize) -> &str {
    let start = source.char_indices().nth(position - 1).map_or(source.len(), |(byte, _)| byte);
    &source[start..]
}

fn split(tokens: &[TokenWithSpan]) -> impl Iterator<Item = &[TokenWithSpan]> {
    tokens.split(|token| token.token == Token::SemiColon)
}

pub(crate) fn is_blank(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_) | Token::EOF)
}

/// sqlparser says where in words: `Expected: x, found: y at Line: 1, Column: 8`. The found token is the one PostgreSQL names.
pub(crate) fn syntax_error(source: &str, error: ParserError) -> QueryError {
    match error {
        ParserError::RecursionLimitExceeded => {
            QueryError::new(ErrorKind::StatementTooComplex, "stack depth limit exceeded")
                .hint("Split the expression into smaller ones.")
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            let position = location_in(&message).and_then(|location| position_of(source, location));
            let found = message.rsplit_once("found: ").map(|(_, rest)| rest.split(" at Line:").next().unwrap_or(rest));
            match found {
                Some("EOF") => QueryError::new(ErrorKind::Syntax, "syntax error at end of input")
                    .position(Some(source.trim_end().trim_end_matches(';').chars().count() + 1)),
                Some(found) => {
                    // The parser has one name for `<>` and `!=`.
                    let at = position.map_or("", |position| tail(source, position));
                    let found = if found == "<>" && at.starts_with("!=") { "!=" } else { found };
                    QueryError::new(ErrorKind::Syntax, format!("syntax error at or near \"{found}\""))
                        .position(position)
                }
                None => QueryError::new(ErrorKind::Syntax, format!("syntax error: {}", lower_first(&message)))
                    .position(position),
            }
        }
    }
}

fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

fn location_in(message: &str) -> Option<Location> {
    let (_, rest) = message.rsplit_once("at Line: ")?;
    let (line, column) = rest.split_once(", Column: ")?;
    Some(Location { line: line.parse().ok()?, column: column.trim().parse().ok()? })
}

/// The byte at a 1-based line and column (in characters), at most the end of the text.
pub(crate) fn byte_offset(source: &str, location: Location) -> usize {
    let mut line_start = 0;
    for _ in 1..location.line {
        match source[line_start..].find('\n') {
            Some(newline) => line_start += newline + 1,
            None => return source.len(),
        }
    }
    let column = (location.column as usize).saturating_sub(1);
    source[line_start..].char_indices().nth(column).map_or(source.len(), |(byte, _)| line_start + byte)
}
