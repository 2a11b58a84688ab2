//! Literals of types that the parser does not know by their names: `mood 'ok'` is `CAST('ok' AS mood)`.
//!
//! In PostgreSQL's grammar nothing but a literal of a type is a name with a text behind it. So which types there are is not asked here.

use crate::pg_catalog::{is_keyword, type_by_name};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Spells out the literal whose text stands at `index`. Returns how many tokens it has more then.
pub(super) fn spell_out(tokens: &mut Vec<TokenWithSpan>, index: usize) -> usize {
    let Some(start) = name_before(tokens, index) else { return 0 };
    let name: Vec<TokenWithSpan> = tokens[start..index].to_vec();
    let text = tokens[index].clone();
    let at_name = |token: Token| TokenWithSpan { token, span: name[0].span };
    let word = |text: &str| at_name(Token::make_keyword(text));
    let spelt: Vec<TokenWithSpan> = [word("CAST"), at_name(Token::LParen), text, word("AS")]
        .into_iter()
        .chain(name.iter().cloned())
        .chain([at_name(Token::RParen)])
        .collect();
    let more = spelt.len() - name.len() - 1;
    tokens.splice(start..=index, spelt);
    more
}

/// Where the name of a type begins that stands before `index`.
fn name_before(tokens: &[TokenWithSpan], index: usize) -> Option<usize> {
    let word = |index: usize| match &tokens.get(index)?.token {
        Token::Word(word) => Some((word.value.to_ascii_lowercase(), word.quote_style.is_some())),
        _ => None,
    };
    let last = index.checked_sub(1)?;
    let (name, quoted) = word(last)?;
    let is_qualified = last >= 2 && tokens[last - 1].token == Token::Period && word(last - 2).is_some();
    if is_qualified {
        return Some(last - 2);
    }
    let is_type = quoted || !(is_keyword(&name) || type_by_name(&name).is_some());
    is_type.then_some(last)
}
