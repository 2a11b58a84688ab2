//! Sources of INSERT in parentheses, of which the parser reads `(SELECT …)` alone: `INSERT INTO t (VALUES (1))`.

use super::tokens::{closing, keyword, token};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Takes the parentheses away that are around the whole source of the INSERT whose INTO stands at `index`.
pub(super) fn spell_out(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    if index == 0 || keyword(tokens, index - 1) != Keyword::INSERT {
        return;
    }
    let mut start = index + 2;
    while *token(tokens, start) == Token::Period {
        start += 2;
    }
    start = match (token(tokens, start), keyword(tokens, start)) {
        (_, Keyword::AS) => start + 2,
        (Token::Word(_), Keyword::SELECT | Keyword::VALUES | Keyword::WITH | Keyword::DEFAULT) => return,
        (Token::Word(_), _) => start + 1,
        _ => start,
    };
    if *token(tokens, start) == Token::LParen
        && !begins_query(tokens, start)
        && let Some(close) = closing(tokens, start)
    {
        // The columns come first.
        start = close + 1;
    }
    while begins_query(tokens, start)
        && let Some(close) = closing(tokens, start)
        && ends_source(tokens, close + 1)
    {
        tokens.remove(close);
        tokens.remove(start);
    }
}

/// Whether the parenthesis at `open` is one around a query, and not around columns.
fn begins_query(tokens: &[TokenWithSpan], open: usize) -> bool {
    let is_word = |word| keyword(tokens, open + 1) == word;
    *token(tokens, open) == Token::LParen
        && (*token(tokens, open + 1) == Token::LParen
            || [Keyword::SELECT, Keyword::WITH, Keyword::TABLE].into_iter().any(is_word)
            || (is_word(Keyword::VALUES) && *token(tokens, open + 2) == Token::LParen))
}

fn ends_source(tokens: &[TokenWithSpan], index: usize) -> bool {
    matches!(token(tokens, index), Token::EOF | Token::RParen)
        || matches!(keyword(tokens, index), Keyword::ON | Keyword::RETURNING)
}
