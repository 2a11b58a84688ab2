//! `SET doc['a'] = value`, which the parser does not read: an assignment of the document with that item.
//!
//!     SET doc['a'][0] = 1, n = 2     SET doc = "assigned item"(doc['a'][0], 1), n = 2
//!
//! Several assignments to items of one column are put together where the column is known, in `modify`.

use super::tokens::{closing_bracket, find_outside, keyword, replace, token};
use crate::functions::json::ASSIGNED_ITEM;
use datafusion::sql::sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Spells out the assignments behind a SET, which stands at `index`, of UPDATE.
pub(super) fn spell_out(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    let mut start = index + 1;
    loop {
        let is_comma = |tokens: &[TokenWithSpan], at: usize| *token(tokens, at) == Token::Comma;
        let Some(equals) = equals_behind_subscripts(tokens, start) else {
            match find_outside(tokens, start, |at| is_comma(tokens, at) || ends_value(tokens, at)) {
                Some(comma) if is_comma(tokens, comma) => start = comma + 1,
                _ => return,
            }
            continue;
        };
        let end = find_outside(tokens, equals + 1, |at| is_comma(tokens, at) || ends_value(tokens, at));
        let end = end.unwrap_or(tokens.len());
        let continues = end < tokens.len() && is_comma(tokens, end);
        let spelt = spelt(tokens, start, equals, end);
        let length = spelt.len();
        tokens.splice(start..end, spelt);
        if !continues {
            return;
        }
        start += length + 1;
    }
}

/// The `=` of `name[…][…] = …`.
fn equals_behind_subscripts(tokens: &[TokenWithSpan], start: usize) -> Option<usize> {
    let named = matches!(token(tokens, start), Token::Word(_)) && *token(tokens, start + 1) == Token::LBracket;
    let mut next = start + 1;
    while named && *token(tokens, next) == Token::LBracket {
        next = closing_bracket(tokens, next)? + 1;
    }
    (named && *token(tokens, next) == Token::Eq).then_some(next)
}

/// Whether a token stands behind the last assignment.
fn ends_value(tokens: &[TokenWithSpan], at: usize) -> bool {
    match keyword(tokens, at) {
        Keyword::FROM => keyword(tokens, at.wrapping_sub(1)) != Keyword::DISTINCT,
        Keyword::WHERE | Keyword::RETURNING | Keyword::WHEN => true,
        _ => false,
    }
}

fn spelt(tokens: &[TokenWithSpan], start: usize, equals: usize, end: usize) -> Vec<TokenWithSpan> {
    let mut call = tokens[equals..=equals].to_vec();
    replace(&mut call, 0..1, vec![Token::make_word(ASSIGNED_ITEM, Some('"')), Token::LParen]);
    let own = |token: Token| TokenWithSpan { token, span: tokens[equals].span };
    let mut spelt = vec![tokens[start].clone(), own(Token::Eq)];
    spelt.append(&mut call);
    spelt.extend_from_slice(&tokens[start..equals]);
    spelt.push(own(Token::Comma));
    spelt.extend_from_slice(&tokens[equals + 1..end]);
    spelt.push(own(Token::RParen));
    spelt
}

/// The item and the value of an assignment that was spelt out.
pub(crate) fn assigned_item(value: &mut Expr) -> Option<(&mut Expr, &mut Expr)> {
    let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = value else { return None };
    let is_call = name.0.first().and_then(|part| part.as_ident()).is_some_and(|ident| ident.value == ASSIGNED_ITEM);
    match list.args.as_mut_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(item)), FunctionArg::Unnamed(FunctionArgExpr::Expr(value)), ..]
            if is_call =>
        {
            Some((item, value))
        }
        _ => None,
    }
}

/// Lets an assignment to an item be about a document other than the column as it was.
pub(crate) fn set_document(item: &mut Expr, document: Expr) {
    if let Expr::CompoundFieldAccess { root, .. } = item {
        **root = document;
    }
}

/// Lets errors name the column; `value` is an assignment that was spelt out.
pub(crate) fn name_column(value: &mut Expr, column: &str) {
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = value {
        let name = Expr::Value(Value::SingleQuotedString(column.to_string()).into());
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(name)));
    }
}
