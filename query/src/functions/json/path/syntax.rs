//! The syntax of jsonpath: from text to a tree.
//!
//!     path       [strict | lax] expression
//!     expression ||, &&, !, comparisons, + -, * / %, signs, in this order of strength
//!     accessor   .key  .*  .**{1 to last}  [*]  [0, 2 to last]  ?(predicate)  .size()
//!
//! The grammar is that of PostgreSQL 15's `jsonpath_gram.y`.

use super::super::super::patterns::Matcher;
use super::super::super::strings::invalid;
use crate::error::{ErrorKind, QueryError};
use crate::types::json::DEPTH_MAX;
use std::sync::Arc;

/// A parsed path.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub lax: bool,
    pub root: Node,
}

/// An expression of a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Root,
    Current,
    Last,
    /// A scalar in canonical form.
    Literal(String),
    Variable(String),
    Key(Box<Node>, String),
    AnyKey(Box<Node>),
    AnyItem(Box<Node>),
    Items(Box<Node>, Vec<(Node, Option<Node>)>),
    /// Everything below, from a level to another; `None` is the last one.
    Below(Box<Node>, Option<u32>, Option<u32>),
    Method(Box<Node>, Method),
    Filter(Box<Node>, Box<Node>),
    Sign(char, Box<Node>),
    Arithmetic(char, Box<Node>, Box<Node>),
    Comparison(Comparison, Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    IsUnknown(Box<Node>),
    Exists(Box<Node>),
    StartsWith(Box<Node>, Box<Node>),
    LikeRegex(Box<Node>, Arc<Matcher>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Method {
    Type,
    Size,
    Double,
    Ceiling,
    Floor,
    Abs,
    KeyValue,
}

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Size => "size",
            Self::Double => "double",
            Self::Ceiling => "ceiling",
            Self::Floor => "floor",
            Self::Abs => "abs",
            Self::KeyValue => "keyvalue",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let all = [Self::Type, Self::Size, Self::Double, Self::Ceiling, Self::Floor, Self::Abs, Self::KeyValue];
        all.into_iter().find(|method| method.name() == name)
    }
}

impl Node {
    /// Whether the expression is true, false or unknown, and not a sequence of values.
    pub(super) fn is_predicate(&self) -> bool {
        matches!(
            self,
            Self::Comparison(..)
                | Self::And(..)
                | Self::Or(..)
                | Self::Not(_)
                | Self::IsUnknown(_)
                | Self::Exists(_)
                | Self::StartsWith(..)
                | Self::LikeRegex(..)
        )
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A bare word or a number's digits with what follows them.
    Word(String),
    Number(String),
    Text(String),
    Variable(String),
    Sign(&'static str),
}

const SIGNS: [&str; 30] = [
    "**", "&&", "||", "==", "!=", "<>", "<=", ">=", "$", "@", ".", "*", "[", "]", "(", ")", "{", "}", ",", "?", "!",
    "<", ">", "=", "+", "-", "/", "%", ":", ";",
];

/// Reads a path.
pub(super) fn parse(text: &str) -> Result<Path, QueryError> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        let message = format!("invalid input syntax for type jsonpath: \"{text}\"");
        return Err(QueryError::new(ErrorKind::InvalidTextRepresentation, message));
    }
    let mut parser = Parser { tokens, next: 0, depth: 0, filters: 0, subscripts: 0 };
    let lax = match parser.peek() {
        Some(Token::Word(word)) if word == "strict" || word == "lax" => {
            let lax = word == "lax";
            parser.next += 1;
            lax
        }
        _ => true,
    };
    let root = parser.disjunction()?;
    match parser.peek() {
        None => Ok(Path { lax, root }),
        Some(_) => Err(parser.unexpected()),
    }
}

fn syntax_error(near: Option<&str>) -> QueryError {
    let message = match near {
        Some(near) => format!("syntax error at or near \"{near}\" of jsonpath input"),
        None => "syntax error at end of jsonpath input".to_string(),
    };
    QueryError::new(ErrorKind::Syntax, message)
}

fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment.find("*/").ok_or_else(|| {
                QueryError::new(ErrorKind::Syntax, "unexpected end of comment at end of jsonpath input")
            })?;
            rest = &comment[end + 2..];
            continue;
        }
        let Some(first) = rest.chars().next() else { return Ok(all) };
        let (token, length) = if first == '"' {
            quoted(rest)?
        } else if first == '$' && rest[1..].starts_with('"') {
            let (token, length) = quoted(&rest[1..])?;
            let Token::Text(name) = token else { return Err(syntax_error(Some("$"))) };
            (Token::Variable(name), length + 1)
        } else if first == '$' && rest[1..].starts_with(is_word_part) {
            let length = word_length(&rest[1..]);
            (Token::Variable(rest[1..=length].to_string()), length + 1)
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|next: char| next.is_ascii_digit()))
        {
            let length = number_length(rest);
            if rest[length..].starts_with(is_word_part) {
                let near: String = rest.chars().take(length + 1).collect();
                let message = format!("trailing junk after numeric literal at or near \"{near}\" of jsonpath input");
                return Err(QueryError::new(ErrorKind::Syntax, message));
            }
            (Token::Number(rest[..length].to_string()), length)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else if is_word_part(first) || first == '\\' {
            let length = word_length(rest);
            (Token::Word(rest[..length].to_string()), length)
        } else {
            return Err(syntax_error(Some(&rest[..first.len_utf8()])));
        };
        all.push(token);
        rest = &rest[length..];
    }
}

fn is_word_part(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || !character.is_ascii()
}

fn word_length(text: &str) -> usize {
    text.find(|character| !is_word_part(character)).unwrap_or(text.len())
}

fn number_length(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = &text[from..];
        from + rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len())
    };
    let mut end = digits(0);
    if text[end..].starts_with('.') && !text[end + 1..].starts_with('*') {
        let fraction = digits(end + 1);
        // `1.type()` is a number and a method.
        if fraction > end + 1 || !text[end + 1..].starts_with(is_word_part) {
            end = fraction;
        }
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// A string in double quotes, with JSON's escapes.
fn quoted(text: &str) -> Result<(Token, usize), QueryError> {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, character)| {
        let ends = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    });
    let Some((end, _)) = end else {
        return Err(QueryError::new(ErrorKind::Syntax, "unterminated quoted string at end of jsonpath input"));
    };
    let value = crate::types::json::document::string_value(&text[..=end])?.into_owned();
    Ok((Token::Text(value), end + 1))
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    /// Filters and subscripts around what is read.
    filters: usize,
    subscripts: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn is(&self, sign: &str) -> bool {
        self.peek() == Some(&Token::Sign(SIGNS.iter().copied().find(|known| *known == sign).unwrap_or_default()))
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.next += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(known)) if known.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), QueryError> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> QueryError {
        match self.peek() {
            Some(Token::Word(text) | Token::Number(text) | Token::Text(text)) => syntax_error(Some(text)),
            Some(Token::Variable(name)) => syntax_error(Some(&format!("${name}"))),
            Some(Token::Sign(sign)) => syntax_error(Some(sign)),
            None => syntax_error(None),
        }
    }

    fn value(&self, node: Node) -> Result<Node, QueryError> {
        if node.is_predicate() { Err(self.unexpected()) } else { Ok(node) }
    }

    fn predicate(&self, node: Node) -> Result<Node, QueryError> {
        if node.is_predicate() { Ok(node) } else { Err(self.unexpected()) }
    }

    fn disjunction(&mut self) -> Result<Node, QueryError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(crate::types::json::too_deep());
        }
        let mut left = self.conjunction()?;
        while self.take("||") {
            let right = self.conjunction()?;
            left = Node::Or(Box::new(self.predicate(left)?), Box::new(self.predicate(right)?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Node, QueryError> {
        let mut left = self.negation()?;
        while self.take("&&") {
            let right = self.negation()?;
            left = Node::And(Box::new(self.predicate(left)?), Box::new(self.predicate(right)?));
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Node, QueryError> {
        if !self.take("!") {
            return self.comparison();
        }
        if !self.is("(") && !matches!(self.peek(), Some(Token::Word(word)) if word == "exists") {
            return Err(self.unexpected());
        }
        let inner = self.primary()?;
        Ok(Node::Not(Box::new(self.predicate(inner)?)))
    }

    fn comparison(&mut self) -> Result<Node, QueryError> {
        let left = self.sum()?;
        let operator = match self.peek() {
            Some(Token::Sign("==" | "=")) => Comparison::Equal,
            Some(Token::Sign("!=" | "<>")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            Some(Token::Word(word)) if word == "starts" => return self.starts_with(left),
            Some(Token::Word(word)) if word == "like_regex" => return self.like_regex(left),
            _ => return Ok(left),
        };
        let left = self.value(left)?;
        self.next += 1;
        let right = self.sum()?;
        Ok(Node::Comparison(operator, Box::new(left), Box::new(self.value(right)?)))
    }

    fn starts_with(&mut self, left: Node) -> Result<Node, QueryError> {
        self.next += 1;
        if !self.take_word("with") {
            return Err(self.unexpected());
        }
        let prefix = match self.peek().cloned() {
            Some(Token::Text(text)) => Node::Literal(string(&text)),
            Some(Token::Variable(name)) => Node::Variable(name),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(Node::StartsWith(Box::new(self.value(left)?), Box::new(prefix)))
    }

    fn like_regex(&mut self, left: Node) -> Result<Node, QueryError> {
        self.next += 1;
        let Some(Token::Text(pattern)) = self.peek().cloned() else { return Err(self.unexpected()) };
        self.next += 1;
        let mut flags = String::new();
        if self.take_word("flag") {
            let Some(Token::Text(given)) = self.peek().cloned() else { return Err(self.unexpected()) };
            self.next += 1;
            flags = given;
        }
        let matcher = Matcher::new(&with_flags(&pattern, &flags)?)?;
        Ok(Node::LikeRegex(Box::new(self.value(left)?), Arc::new(matcher)))
    }

    fn sum(&mut self) -> Result<Node, QueryError> {
        let mut left = self.product()?;
        while let Some(Token::Sign(sign @ ("+" | "-"))) = self.peek() {
            let operator = if *sign == "+" { '+' } else { '-' };
            left = self.value(left)?;
            self.next += 1;
            let right = self.product()?;
            left = Node::Arithmetic(operator, Box::new(left), Box::new(self.value(right)?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Node, QueryError> {
        let mut left = self.signed()?;
        while let Some(Token::Sign(sign @ ("*" | "/" | "%"))) = self.peek() {
            let operator = sign.chars().next().unwrap_or('*');
            left = self.value(left)?;
            self.next += 1;
            let right = self.signed()?;
            left = Node::Arithmetic(operator, Box::new(left), Box::new(self.value(right)?));
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Node, QueryError> {
        let sign = if self.take("-") {
            '-'
        } else if self.take("+") {
            '+'
        } else {
            return self.primary();
        };
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(crate::types::json::too_deep());
        }
        let inner = self.signed()?;
        self.depth -= 1;
        Ok(Node::Sign(sign, Box::new(self.value(inner)?)))
    }

    fn primary(&mut self) -> Result<Node, QueryError> {
        let Some(token) = self.peek().cloned() else { return Err(self.unexpected()) };
        self.next += 1;
        let node = match token {
            Token::Sign("$") => Node::Root,
            Token::Sign("@") if self.filters > 0 => Node::Current,
            Token::Sign("@") => {
                return Err(QueryError::new(ErrorKind::Syntax, "@ is not allowed in root expressions"));
            }
            Token::Variable(name) => Node::Variable(name),
            Token::Text(text) => Node::Literal(string(&text)),
            Token::Number(digits) => Node::Literal(number(&digits)?),
            Token::Word(word) if ["null", "true", "false"].contains(&word.as_str()) => Node::Literal(word),
            Token::Word(word) if word == "last" && self.subscripts > 0 => Node::Last,
            Token::Word(word) if word == "last" => {
                return Err(QueryError::new(ErrorKind::Syntax, "LAST is allowed only in array subscripts"));
            }
            Token::Word(word) if word == "exists" && self.is("(") => {
                self.next += 1;
                let inner = self.disjunction()?;
                self.expect(")")?;
                return Ok(Node::Exists(Box::new(self.value(inner)?)));
            }
            Token::Sign("(") => {
                let inner = self.disjunction()?;
                self.expect(")")?;
                if inner.is_predicate() && self.take_word("is") {
                    return match self.take_word("unknown") {
                        true => Ok(Node::IsUnknown(Box::new(inner))),
                        false => Err(self.unexpected()),
                    };
                }
                inner
            }
            _ => {
                self.next -= 1;
                return Err(self.unexpected());
            }
        };
        self.accessors(node)
    }

    fn accessors(&mut self, mut node: Node) -> Result<Node, QueryError> {
        loop {
            node = if self.take(".") {
                self.member(node)?
            } else if self.take("[") {
                self.subscript(node)?
            } else if self.take("?") {
                self.expect("(")?;
                self.filters += 1;
                let predicate = self.disjunction()?;
                self.filters -= 1;
                self.expect(")")?;
                Node::Filter(Box::new(node), Box::new(self.predicate(predicate)?))
            } else {
                return Ok(node);
            };
        }
    }

    /// What stands behind a point.
    fn member(&mut self, node: Node) -> Result<Node, QueryError> {
        let node = Box::new(node);
        if self.take("*") {
            return Ok(Node::AnyKey(node));
        }
        if self.take("**") {
            if !self.take("{") {
                return Ok(Node::Below(node, Some(0), None));
            }
            let first = self.level()?;
            let last = if self.take_word("to") { self.level()? } else { first };
            self.expect("}")?;
            return Ok(Node::Below(node, first, last));
        }
        let name = match self.peek().cloned() {
            Some(Token::Text(name)) => {
                self.next += 1;
                return Ok(Node::Key(node, name));
            }
            Some(Token::Word(name)) => name,
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        if !self.is("(") {
            return Ok(Node::Key(node, name));
        }
        if name == "datetime" {
            return Err(QueryError::unsupported("jsonpath item method .datetime()"));
        }
        let Some(method) = Method::of(&name) else { return Err(self.unexpected()) };
        self.next += 1;
        self.expect(")")?;
        Ok(Node::Method(node, method))
    }

    fn level(&mut self) -> Result<Option<u32>, QueryError> {
        if self.take_word("last") {
            return Ok(None);
        }
        match self.peek() {
            Some(Token::Number(digits)) => {
                let level = digits.parse().map_err(|_| self.unexpected())?;
                self.next += 1;
                Ok(Some(level))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn subscript(&mut self, node: Node) -> Result<Node, QueryError> {
        let node = Box::new(node);
        if self.take("*") {
            self.expect("]")?;
            return Ok(Node::AnyItem(node));
        }
        let mut places = Vec::new();
        self.subscripts += 1;
        loop {
            let first = self.sum()?;
            let last = if self.take_word("to") { Some(self.sum()?) } else { None };
            places.push((self.value(first)?, last));
            if !self.take(",") {
                break;
            }
        }
        self.subscripts -= 1;
        self.expect("]")?;
        Ok(Node::Items(node, places))
    }
}

fn string(text: &str) -> String {
    let mut quoted = String::new();
    crate::types::json::push_string(&mut quoted, text);
    quoted
}

fn number(digits: &str) -> Result<String, QueryError> {
    let digits = digits.strip_suffix('.').unwrap_or(digits);
    let digits = if digits.starts_with('.') { format!("0{digits}") } else { digits.to_string() };
    crate::types::json::canonical(&digits)
}

/// XQuery's flags as PostgreSQL's expressions have them in front.
fn with_flags(pattern: &str, flags: &str) -> Result<String, QueryError> {
    let mut embedded = String::new();
    let (mut dot_matches_line_end, mut lines) = (false, false);
    for flag in flags.chars() {
        match flag {
            'i' => embedded.push('i'),
            's' => dot_matches_line_end = true,
            'm' => lines = true,
            'q' => return Ok(format!("***={pattern}")),
            'x' => {
                let what = "XQuery \"x\" flag (expanded regular expressions)";
                return Err(QueryError::unsupported(what));
            }
            other => {
                return Err(invalid("invalid input syntax for type jsonpath")
                    .detail(format!("Unrecognized flag character \"{other}\" in LIKE_REGEX predicate.")));
            }
        }
    }
    embedded.push(match (dot_matches_line_end, lines) {
        (true, true) => 'w',
        (true, false) => 's',
        (false, true) => 'n',
        (false, false) => 'p',
    });
    Ok(format!("(?{embedded}){pattern}"))
}
