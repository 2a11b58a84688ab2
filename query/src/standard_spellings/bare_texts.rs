//! Texts where only a name could stand, which no text is in PostgreSQL: `1 'a'`, `now() 'a'`, `INSERT INTO 'a'`.
//!
//! The parser takes a text for a name wherever it wants one. In PostgreSQL a text stands behind a word or a parenthesis only where these
//! are a type: `date '2025-01-31'`, `numeric(5,2) '1'`.

use super::tokens::{keyword, opening, token};
use crate::pg_catalog::{is_keyword, type_by_name};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use std::ops::Range;

/// Whether a token is a literal in quotes or between dollars.
pub(super) fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::HexStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
    )
}

/// Whether the text at `index` stands where only a name could, which no text is: `1 'a'`, `'a' 'b'` on one line, `1 AS 'a'`,
/// `now() 'a'`, `INSERT INTO 'a'`.
pub(super) fn is_bare_text(tokens: &[TokenWithSpan], index: usize) -> bool {
    let Some(before) = index.checked_sub(1) else { return false };
    let defines_body = || {
        let is_body = |place| matches!(keyword(tokens, place), Keyword::FUNCTION | Keyword::PROCEDURE);
        keyword(tokens, 0) == Keyword::CREATE && (1..4).any(is_body)
    };
    let is_cast = |place: usize| place > 0 && *token(tokens, place - 1) == Token::DoubleColon;
    match &tokens[before].token {
        Token::Number(..) | Token::Placeholder(_) | Token::Period | Token::RBracket => true,
        Token::Word(_) => match keyword(tokens, before) {
            Keyword::AS => !defines_body(),
            Keyword::END | Keyword::TRUE | Keyword::FALSE => true,
            // `COPY … (NULL 'none')`
            Keyword::NULL => keyword(tokens, 0) != Keyword::COPY,
            Keyword::CURRENT_DATE | Keyword::CURRENT_TIME | Keyword::CURRENT_TIMESTAMP => true,
            Keyword::LOCALTIME | Keyword::LOCALTIMESTAMP => true,
            Keyword::CURRENT_USER | Keyword::SESSION_USER | Keyword::USER | Keyword::CURRENT_ROLE => true,
            Keyword::CURRENT_CATALOG | Keyword::CURRENT_SCHEMA => true,
            Keyword::INTO | Keyword::JOIN | Keyword::SET | Keyword::TABLE | Keyword::UPDATE | Keyword::WITH => true,
            Keyword::FROM => begins_tables(tokens, before),
            _ => is_cast(before),
        },
        // A type may have its modifier before the text, `numeric(5,2) '1'`.
        Token::RParen => match opening(tokens, before).and_then(|open| open.checked_sub(1).map(|name| (open, name))) {
            // `a OPERATOR(pg_catalog.~) 'b'`, `DISTINCT ON (a) 'b'`
            Some((_, name)) if matches!(keyword(tokens, name), Keyword::OPERATOR | Keyword::ON) => false,
            Some((open, name)) => !may_be_type(tokens, name..open, before) || is_cast(name),
            None => true,
        },
        other => is_text(other),
    }
}

/// Whether FROM is that of a query or of DELETE, and not one among the arguments of a function.
fn begins_tables(tokens: &[TokenWithSpan], from: usize) -> bool {
    let first = opening(tokens, from).map_or(0, |open| open + 1);
    matches!(keyword(tokens, first), Keyword::SELECT | Keyword::WITH | Keyword::DELETE)
        && keyword(tokens, from.saturating_sub(1)) != Keyword::DISTINCT
}

/// Whether a name with something in parentheses behind it may be that of a type.
fn may_be_type(tokens: &[TokenWithSpan], name: Range<usize>, close: usize) -> bool {
    use Keyword::{CHARACTER, DEC, DECIMAL, FLOAT, NCHAR, VARYING};
    let Token::Word(word) = token(tokens, name.start) else { return false };
    let has_modifier = close > name.end + 1 && *token(tokens, name.end + 1) != Token::Mul;
    let folded = word.value.to_lowercase();
    let is_name = word.quote_style.is_some()
        || [CHARACTER, DEC, DECIMAL, FLOAT, NCHAR, VARYING].contains(&word.keyword)
        || type_by_name(&folded).is_some()
        || !is_keyword(&folded);
    // What FILTER and OVER have behind them is no modifier.
    has_modifier && is_name && !matches!(word.keyword, Keyword::FILTER | Keyword::OVER)
}
