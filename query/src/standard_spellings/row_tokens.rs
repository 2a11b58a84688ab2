//! Rows among the tokens: stars that the parser cannot read, or takes for something else.
//!
//!     t.*::text, t.* = u.*                (t.*)::text, (t.*) = (u.*)
//!     (t).*                               t.*
//!     (jsonb_each(d)).*                   (jsonb_each(d)).key, (jsonb_each(d)).value
//!     (ROW(a, b)).*                       (ROW(a, b)).f1, (ROW(a, b)).f2
//!
//! What stands in parentheses is left to [`super::star_syntax`].

use super::tokens::{closing, find_outside, keyword, opening, token};
use crate::error::QueryError;
use crate::pg_catalog;
use crate::statement::position_of;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// `(t).*` is `t.*`.
pub(super) fn in_parentheses(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    let called =
        index > 0 && matches!(&tokens[index - 1].token, Token::Word(word) if word.keyword == Keyword::NoKeyword);
    let is_row = matches!(token(tokens, index + 1), Token::Word(_))
        && *token(tokens, index + 2) == Token::RParen
        && *token(tokens, index + 3) == Token::Period
        && *token(tokens, index + 4) == Token::Mul;
    if is_row && !called {
        tokens.remove(index + 2);
        tokens.remove(index);
    }
}

/// `(jsonb_each(d)).*` is both of its columns, `(ROW(a, b)).*` the parts of the row. What the columns of other functions are is not
/// known here. Gives the token to go on behind.
pub(super) fn columns_of_call(
    tokens: &mut Vec<TokenWithSpan>,
    index: usize,
    source: &str,
) -> Result<usize, QueryError> {
    if *token(tokens, index + 1) != Token::Mul {
        return Ok(index);
    }
    let Some(open) = opening(tokens, index - 1) else { return Ok(index) };
    let is_call = *token(tokens, open + 2) == Token::LParen && closing(tokens, open + 2) == Some(index - 2);
    let columns = match token(tokens, open + 1) {
        Token::Word(name) if !is_call || name.quote_style.is_some() => Vec::new(),
        Token::Word(name) if name.keyword == Keyword::ROW => fields_of_row(tokens, open + 2),
        Token::Word(name) if pg_catalog::has_members(&name.value.to_ascii_lowercase()) => {
            vec!["key".into(), "value".into()]
        }
        _ => Vec::new(),
    };
    if columns.is_empty() {
        let error = QueryError::unsupported("the columns of a composite value")
            .hint("Call the function in FROM, as in SELECT f.* FROM t CROSS JOIN LATERAL function(t.a) AS f.");
        return Err(error.position(position_of(source, tokens[open].span.start)));
    }
    let (value, span) = (tokens[open..=index].to_vec(), tokens[index].span);
    let own = |token: Token| TokenWithSpan { token, span };
    let mut spelt = Vec::new();
    for column in &columns {
        spelt.extend((!spelt.is_empty()).then(|| own(Token::Comma)));
        spelt.extend(value.iter().cloned());
        spelt.push(own(Token::make_word(column, Some('"'))));
    }
    let end = open + spelt.len() - 1;
    tokens.splice(open..index + 2, spelt);
    Ok(end)
}

/// The names of the fields of the row whose parts stand behind the parenthesis at `open`.
fn fields_of_row(tokens: &[TokenWithSpan], open: usize) -> Vec<String> {
    let mut fields = Vec::new();
    let mut at = Some(open);
    while let Some(start) = at.filter(|start| *token(tokens, *start) != Token::RParen) {
        at = find_outside(tokens, start + 1, |place| matches!(token(tokens, place), Token::Comma | Token::RParen));
        if at.is_some_and(|end| end > start + 1) {
            fields.push(format!("f{}", fields.len() + 1));
        }
    }
    fields
}

/// `t.*::text`, `t.* IS NULL` and comparisons are about the row, which stands in parentheses for them.
pub(super) fn as_value(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    if *token(tokens, index + 1) != Token::Mul || index == 0 || !matches!(tokens[index - 1].token, Token::Word(_)) {
        return;
    }
    let is_operand = matches!(
        token(tokens, index + 2),
        Token::DoubleColon | Token::Eq | Token::Neq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq
    );
    let is_whole_name = index < 2 || tokens[index - 2].token != Token::Period;
    if is_whole_name && (is_operand || keyword(tokens, index + 2) == Keyword::IS) {
        let span = tokens[index - 1].span;
        tokens.insert(index + 2, TokenWithSpan { token: Token::RParen, span });
        tokens.insert(index - 1, TokenWithSpan { token: Token::LParen, span });
    }
}
