//! The dialect that statements are parsed in: sqlparser's for PostgreSQL, with what it reads otherwise than PostgreSQL mended.
//!
//! `~` and its kin bind like other operators, closer than IN and the comparisons; prefix operators take sums, signs the least that
//! they can: `@ 1 - 2` is 1 and `-2 ^ 2` is 4. What PostgreSQL does not chain is a syntax error where it goes on, `a < b < c`. The first
//! item of an IN list may begin with a subquery in parentheses, `x IN ((SELECT 1) + 1, 2)`; calls may be nested deeply. Operators are
//! cut by `operator_tokens`, so the tokeniser makes none by itself.

use crate::operator_tokens::is_operator;
use crate::pg_catalog::plain_operator;
use datafusion::sql::sqlparser::ast::{BinaryOperator, CastKind, DataType, Expr, Ident, UnaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use std::any::TypeId;

const BASE: PostgreSqlDialect = PostgreSqlDialect {};
/// How close a sign binds: closer than `^` and AT TIME ZONE, and less close than a subscript.
const SIGN: u8 = 125;
/// What an operator may have before the parentheses of its right side.
const QUANTIFIERS: [Keyword; 3] = [Keyword::ANY, Keyword::SOME, Keyword::ALL];
/// What queries begin with.
const QUERY_WORDS: [Keyword; 4] = [Keyword::SELECT, Keyword::WITH, Keyword::VALUES, Keyword::TABLE];

/// PostgreSQL's SQL.
#[derive(Debug)]
pub(crate) struct StatementDialect;

macro_rules! as_in_base {
    ($($name:ident)*) => {
        $(fn $name(&self) -> bool {
            BASE.$name()
        })*
    };
}

impl Dialect for StatementDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        BASE.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, first: char) -> bool {
        BASE.is_delimited_identifier_start(first)
    }

    fn is_identifier_start(&self, first: char) -> bool {
        BASE.is_identifier_start(first)
    }

    fn is_identifier_part(&self, part: char) -> bool {
        BASE.is_identifier_part(part)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        // What begins so and cannot be read is no name, and is not read again as one, 2ⁿ times where such words are nested.
        matches!(keyword, Keyword::ARRAY | Keyword::CASE | Keyword::CAST | Keyword::NOT)
            || BASE.is_reserved_for_identifier(keyword)
    }

    /// ON is no name of a column: INSERT … SELECT 1 ON CONFLICT goes on behind it.
    fn is_column_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        *keyword != Keyword::ON && BASE.is_column_alias(keyword, parser)
    }

    fn is_custom_operator_part(&self, _: char) -> bool {
        false
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        BASE.prec_value(precedence)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
            | Token::DoubleTilde
            | Token::DoubleTildeAsterisk
            | Token::ExclamationMarkDoubleTilde
            | Token::ExclamationMarkDoubleTildeAsterisk
            | Token::PGSquareRoot
            | Token::PGCubeRoot => Some(Ok(self.prec_value(Precedence::PgOther))),
            Token::Word(word) if word.keyword == Keyword::OPERATOR => Some(Ok(self.prec_value(Precedence::PgOther))),
            _ => BASE.get_next_precedence(parser),
        }
    }

    /// Names of arguments are identifiers. Where they may be expressions, each argument is parsed twice, and so 2ⁿ times below n calls.
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if parser.peek_token_ref().token == Token::LParen {
            return query_of_queries(parser);
        }
        if is_list_of_values(parser, 0) && is_behind_quantifier(parser) {
            return Some(parser.parse_query().map(Expr::Subquery));
        }
        if let Some(sets) = inner_grouping_sets(parser) {
            return Some(sets);
        }
        let named = operator_in_parentheses(parser);
        let place = named.map_or(0, |(place, _)| place);
        let (token, span) = (parser.peek_nth_token_ref(place).token.clone(), parser.peek_token_ref().span);
        let op = match &token {
            Token::Minus => Some(UnaryOperator::Minus),
            Token::Plus => Some(UnaryOperator::Plus),
            Token::Tilde => Some(UnaryOperator::BitwiseNot),
            Token::AtSign => Some(UnaryOperator::PGAbs),
            Token::PGSquareRoot => Some(UnaryOperator::PGSquareRoot),
            Token::PGCubeRoot => Some(UnaryOperator::PGCubeRoot),
            other if is_named_operator(other) => None,
            _ => return None,
        };
        (0..named.map_or(1, |(_, tokens)| tokens)).for_each(|_| parser.advance_token());
        let precedence = match op {
            Some(UnaryOperator::Minus | UnaryOperator::Plus) if named.is_none() => SIGN,
            _ => self.prec_value(Precedence::PgOther),
        };
        Some(parser.parse_subexpr(precedence).map(|operand| match op {
            Some(op) => Expr::UnaryOp { op, expr: Box::new(apart(operand)) },
            None => Expr::Prefixed { prefix: Ident::with_span(span, token.to_string()), value: Box::new(operand) },
        }))
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, _: u8) -> Option<Result<Expr, ParserError>> {
        let chained = Chain::of_next(parser);
        if chained.is_some() && chained == Chain::of(expr) {
            return Some(parser.expected_ref("the end of the expression", parser.peek_token_ref()));
        }
        if let Some(negated) = is_distinct_from(parser) {
            (0..3 + usize::from(negated)).for_each(|_| parser.advance_token());
            let left = Box::new(expr.clone());
            return Some(parser.parse_subexpr(self.prec_value(Precedence::Is)).map(|right| match negated {
                true => Expr::IsNotDistinctFrom(left, Box::new(right)),
                false => Expr::IsDistinctFrom(left, Box::new(right)),
            }));
        }
        if let Some((op, tokens)) = quantified_operator(parser) {
            (0..tokens).for_each(|_| parser.advance_token());
            return Some(quantified(parser, expr, op));
        }
        if parser.peek_token_ref().token == Token::DoubleColon && ends_with_escape(expr) {
            return Some(cast_of_escape(parser).map(|()| expr.clone()));
        }
        let prefix = parser.peek_token_ref().token.clone();
        if matches!(prefix, Token::AtSign | Token::PGSquareRoot | Token::PGCubeRoot) {
            parser.advance_token();
            let (left, op) = (Box::new(expr.clone()), BinaryOperator::Custom(prefix.to_string()));
            let right = parser.parse_subexpr(self.prec_value(Precedence::PgOther));
            return Some(right.map(|right| Expr::BinaryOp { left, op, right: Box::new(right) }));
        }
        let negated = is_keyword(parser, 0, Keyword::NOT);
        let first = usize::from(negated);
        let opens = |place| parser.peek_nth_token_ref(place).token == Token::LParen;
        let in_list = is_keyword(parser, first, Keyword::IN) && opens(first + 1) && opens(first + 2);
        in_list.then(|| {
            (0..first + 1).for_each(|_| parser.advance_token());
            parser.expect_token(&Token::LParen)?;
            let expr = Box::new(expr.clone());
            let found = if is_query_in_parentheses(parser) {
                Expr::InSubquery { expr, subquery: parser.parse_query()?, negated }
            } else {
                Expr::InList { expr, list: parser.parse_comma_separated(Parser::parse_expr)?, negated }
            };
            parser.expect_token(&Token::RParen)?;
            Ok(found)
        })
    }

    as_in_base! {
        supports_unicode_string_literal
        supports_filter_during_aggregation
        supports_group_by_expr
        allow_extract_custom
        allow_extract_single_quotes
        supports_create_index_with_clause
        supports_explain_with_utility_options
        supports_listen_notify
        supports_factorial_operator
        supports_bitwise_shift_operators
        supports_comment_on
        supports_load_extension
        supports_named_fn_args_with_colon_operator
        supports_empty_projections
        supports_nested_comments
        supports_string_escape_constant
        supports_numeric_literal_underscores
        supports_array_typedef_with_brackets
        supports_set_names
        supports_alter_column_type_using
        supports_notnull_operator
        supports_interval_options
        supports_insert_table_alias
        supports_create_table_like_parenthesized
        supports_select_wildcard_with_alias
        supports_comma_separated_trim
        supports_xml_expressions
        supports_comment_optimizer_hint
    }
}

/// The operand of a prefix operator as it is shown: in parentheses where it begins with another one, with which the first would make
/// another operator, or a comment. Definitions are kept as they are shown.
pub(crate) fn apart(operand: Expr) -> Expr {
    match begins_with_operator(&operand) {
        true => Expr::Nested(Box::new(operand)),
        false => operand,
    }
}

fn begins_with_operator(expression: &Expr) -> bool {
    match expression {
        Expr::UnaryOp { op, .. } => *op != UnaryOperator::Not,
        Expr::Prefixed { .. } => true,
        Expr::BinaryOp { left, .. } | Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => begins_with_operator(left),
        Expr::Cast { kind: CastKind::DoubleColon, expr, .. } | Expr::Collate { expr, .. } => begins_with_operator(expr),
        Expr::AtTimeZone { timestamp, .. } => begins_with_operator(timestamp),
        _ => false,
    }
}

/// `ROLLUP (…)`, `CUBE (…)` or `GROUPING SETS (…)` as an element of other sets; elsewhere no expression begins so.
fn inner_grouping_sets(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    type Sets = fn(Vec<Vec<Expr>>) -> Expr;
    let (words, sets): (usize, Sets) = match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => match word.keyword {
            Keyword::ROLLUP => (1, Expr::Rollup),
            Keyword::CUBE => (1, Expr::Cube),
            Keyword::GROUPING if is_keyword(parser, 1, Keyword::SETS) => (2, Expr::GroupingSets),
            _ => return None,
        },
        _ => return None,
    };
    if parser.peek_nth_token_ref(words).token != Token::LParen {
        return None;
    }
    (0..=words).for_each(|_| parser.advance_token());
    let elements = parser.parse_comma_separated(grouping_element);
    Some(elements.and_then(|elements| parser.expect_token(&Token::RParen).map(|_| sets(elements))))
}

/// One column, or none or more in parentheses.
fn grouping_element(parser: &mut Parser) -> Result<Vec<Expr>, ParserError> {
    if parser.consume_tokens(&[Token::LParen, Token::RParen]) {
        return Ok(Vec::new());
    }
    Ok(match parser.parse_expr()? {
        Expr::Tuple(columns) => columns,
        column => vec![column],
    })
}

/// Whether the last word of an expression is what ESCAPE names.
fn ends_with_escape(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::Like { escape_char: Some(_), .. }
            | Expr::ILike { escape_char: Some(_), .. }
            | Expr::SimilarTo { escape_char: Some(_), .. }
    )
}

/// A cast of what ESCAPE names, which is a text already.
fn cast_of_escape(parser: &mut Parser) -> Result<(), ParserError> {
    parser.advance_token();
    let place = parser.peek_token_ref().clone();
    match parser.parse_data_type()? {
        DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::Char(_) => Ok(()),
        _ => parser.expected("a type of texts", place),
    }
}

/// The place of the operator's token in an `OPERATOR(schema.operator)` that comes next, and how many tokens that has.
fn operator_in_parentheses(parser: &Parser) -> Option<(usize, usize)> {
    let token = |place| &parser.peek_nth_token_ref(place).token;
    if !is_keyword(parser, 0, Keyword::OPERATOR) || *token(1) != Token::LParen {
        return None;
    }
    let mut place = 2;
    while matches!(token(place), Token::Word(_)) && *token(place + 1) == Token::Period {
        place += 2;
    }
    (is_operator(&token(place).to_string()) && *token(place + 1) == Token::RParen).then_some((place, place + 2))
}

/// The operator of `OPERATOR(schema.operator) ANY (`, or of `@> ANY (` and its like, which sqlparser takes for no comparison, where that
/// comes next, and how many tokens stand before ANY.
fn quantified_operator(parser: &Parser) -> Option<(BinaryOperator, usize)> {
    let is_containment =
        |token: &Token| matches!(token, Token::AtArrow | Token::ArrowAt | Token::Overlap | Token::CaretAt);
    let plain = || is_containment(&parser.peek_token_ref().token).then_some((0, 1));
    let (place, tokens) = operator_in_parentheses(parser).or_else(plain)?;
    let is_quantifier = QUANTIFIERS.into_iter().any(|keyword| is_keyword(parser, tokens, keyword));
    if !is_quantifier || parser.peek_nth_token_ref(tokens + 1).token != Token::LParen {
        return None;
    }
    let op = plain_operator(vec![parser.peek_nth_token_ref(place).token.to_string()]);
    Some((op, tokens))
}

/// `ANY (…)` or `ALL (…)` behind its operator.
fn quantified(parser: &mut Parser, left: &Expr, compare_op: BinaryOperator) -> Result<Expr, ParserError> {
    let keyword = parser.expect_one_of_keywords(&QUANTIFIERS)?;
    let is_query = [Keyword::SELECT, Keyword::WITH].into_iter().any(|keyword| is_keyword(parser, 1, keyword));
    let right = if is_query {
        // The parentheses are the query's.
        parser.parse_subexpr(SIGN)?
    } else {
        parser.expect_token(&Token::LParen)?;
        let right = parser.parse_expr()?;
        parser.expect_token(&Token::RParen)?;
        right
    };
    let (left, right) = (Box::new(left.clone()), Box::new(right));
    Ok(match keyword {
        Keyword::ALL => Expr::AllOp { left, compare_op, right },
        _ => Expr::AnyOp { left, compare_op, right, is_some: keyword == Keyword::SOME },
    })
}

/// A query in parentheses that begins with one in parentheses, `((SELECT 1) UNION SELECT 2)`, or what is behind ANY's parenthesis of it,
/// or a list of values, `(VALUES (1))`.
fn query_of_queries(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    if is_first_of_queries(parser, 0) && is_behind_quantifier(parser) {
        return Some(parser.parse_query().map(Expr::Subquery));
    }
    if !is_list_of_values(parser, 1) && !is_first_of_queries(parser, 1) {
        return None;
    }
    parser.advance_token();
    let query = parser.parse_query();
    Some(query.and_then(|query| parser.expect_token(&Token::RParen).map(|_| Expr::Subquery(query))))
}

/// Whether `VALUES (` comes behind so many tokens; no function has that name.
fn is_list_of_values(parser: &Parser, place: usize) -> bool {
    is_keyword(parser, place, Keyword::VALUES) && parser.peek_nth_token_ref(place + 1).token == Token::LParen
}

/// Whether the last tokens were ANY, SOME or ALL and a parenthesis.
fn is_behind_quantifier(parser: &mut Parser) -> bool {
    const TOKENS_LEAST: usize = 4;
    if parser.get_current_token().token != Token::LParen || parser.index() < TOKENS_LEAST {
        return false;
    }
    parser.prev_token();
    parser.prev_token();
    let found = QUANTIFIERS.into_iter().any(|keyword| is_keyword(parser, 0, keyword));
    parser.advance_token();
    parser.advance_token();
    found
}

/// Whether a query in parentheses begins behind so many tokens, and is united with or limited by what follows it.
fn is_first_of_queries(parser: &Parser, skipped: usize) -> bool {
    let tokens = (0..).map(|place| parser.peek_nth_token_no_skip(place).token);
    let mut tokens = tokens.filter(|token| !matches!(token, Token::Whitespace(_))).skip(skipped).peekable();
    let mut open = 0_usize;
    while tokens.next_if_eq(&Token::LParen).is_some() {
        open += 1;
    }
    let begins = matches!(tokens.peek(), Some(Token::Word(word)) if QUERY_WORDS.contains(&word.keyword));
    if open == 0 || !begins {
        return false;
    }
    while open > 0 {
        match tokens.next() {
            Some(Token::LParen) => open += 1,
            Some(Token::RParen) => open -= 1,
            Some(Token::EOF) | None => return false,
            Some(_) => {}
        }
    }
    matches!(tokens.peek(), Some(token @ Token::Word(_)) if goes_on_with_query(token))
}

/// Whether a query in parentheses stands here and is no operand: behind each of the parentheses that open before it, closed again, the
/// query goes on or ends. Trying it would parse everything inside twice, and so 2ⁿ times where such lists are nested.
fn is_query_in_parentheses(parser: &Parser) -> bool {
    let tokens = (0..).map(|place| parser.peek_nth_token_no_skip(place).token);
    let mut tokens = tokens.filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    let mut around = 0_usize;
    while tokens.next_if_eq(&Token::LParen).is_some() {
        around += 1;
    }
    if !matches!(tokens.peek(), Some(Token::Word(word)) if QUERY_WORDS.contains(&word.keyword)) {
        return false;
    }
    let mut open = around;
    while open > 0 {
        match tokens.next() {
            Some(Token::LParen) => open += 1,
            Some(Token::RParen) => open -= 1,
            Some(Token::EOF) | None => return true,
            Some(_) => {}
        }
        // One of the first has closed, and no other has opened in its place.
        if open < around {
            around = open;
            if !tokens.peek().is_none_or(goes_on_with_query) {
                return false;
            }
        }
    }
    true
}

/// What may stand behind a query in parentheses that is no operand.
fn goes_on_with_query(token: &Token) -> bool {
    use Keyword::{EXCEPT, FETCH, FOR, INTERSECT, LIMIT, OFFSET, ORDER, UNION};
    match token {
        Token::Word(word) => {
            matches!(word.keyword, EXCEPT | FETCH | FOR | INTERSECT | LIMIT | OFFSET | ORDER | UNION)
        }
        Token::RParen | Token::EOF => true,
        _ => false,
    }
}

/// Constructs that do not follow another one of their kind without parentheses, because their last operand would be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    Comparison,
    /// BETWEEN, IN, LIKE and SIMILAR TO.
    Range,
    /// IS and what begins with it.
    Is,
}

impl Chain {
    /// What a whole expression ends with; parentheses and lists close it.
    fn of(expression: &Expr) -> Option<Self> {
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        match expression {
            Expr::BinaryOp { op: Eq | NotEq | Lt | LtEq | Gt | GtEq, .. } => Some(Self::Comparison),
            Expr::Between { .. } | Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => Some(Self::Range),
            Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => Some(Self::Is),
            _ => None,
        }
    }

    /// What comes next in the text.
    fn of_next(parser: &Parser) -> Option<Self> {
        match &parser.peek_token_ref().token {
            Token::Eq | Token::Neq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq => Some(Self::Comparison),
            Token::Word(word) => match word.keyword {
                Keyword::BETWEEN | Keyword::IN | Keyword::LIKE | Keyword::ILIKE | Keyword::SIMILAR | Keyword::NOT => {
                    Some(Self::Range)
                }
                Keyword::IS | Keyword::NOTNULL => Some(Self::Is),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether `IS DISTINCT FROM` comes next, and whether it is negated.
fn is_distinct_from(parser: &Parser) -> Option<bool> {
    let negated = is_keyword(parser, 1, Keyword::NOT);
    let first = 1 + usize::from(negated);
    let found = is_keyword(parser, 0, Keyword::IS)
        && is_keyword(parser, first, Keyword::DISTINCT)
        && is_keyword(parser, first + 1, Keyword::FROM);
    found.then_some(negated)
}

/// Whether a token is an operator that the grammar does not know by name, and so may be a prefix to it.
fn is_named_operator(token: &Token) -> bool {
    match token {
        Token::Mul | Token::Div | Token::Mod | Token::Caret | Token::Neq | Token::RArrow => false,
        Token::Lt | Token::LtEq | Token::Gt | Token::GtEq | Token::Eq => false,
        Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::LParen => false,
        other => is_operator(&other.to_string()),
    }
}

fn is_keyword(parser: &Parser, place: usize, keyword: Keyword) -> bool {
    matches!(&parser.peek_nth_token_ref(place).token, Token::Word(word) if word.keyword == keyword)
}
