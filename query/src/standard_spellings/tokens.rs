//! Spellings that are put right before the parser sees them, token by token.
//!
//!     TABLE t                             SELECT * FROM t
//!     FETCH FIRST 5 ROWS ONLY             LIMIT 5
//!     FETCH FIRST 5 ROWS WITH TIES        LIMIT "with ties"(5)
//!     x IN ((SELECT 1), 2)                x IN ("in list"((SELECT 1)), 2)
//!     x BETWEEN SYMMETRIC a AND b         x BETWEEN "between symmetric"(a) AND b
//!     trim(LEADING FROM x)                ltrim(x)
//!     substring(x SIMILAR p ESCAPE e)     substring(x FROM p FOR e)
//!     x NOT LIKE ANY (…)                  x !~~ ANY (…)
//!     t.*::text, (t).*                    (t.*)::text, t.*
//!     t.* = u.*                           (t.*) = (u.*)
//!     (jsonb_each(d)).*                   (jsonb_each(d)).key, (jsonb_each(d)).value
//!     GROUP BY DISTINCT CUBE (a), b       GROUP BY "distinct sets"(), CUBE (a), b
//!     f(a, VARIADIC b)                    f(a, "variadic argument"(b))
//!     OVER (… EXCLUDE TIES)               OVER ("exclude ties" …)
//!     ROWS FROM (f(), g())                "rows from"(f(), g())
//!     FROM ONLY t ORDER BY a USING >      FROM t ORDER BY a DESC; also FROM ONLY (t), UPDATE ONLY t
//!     t FOR SYSTEM_TIME AS OF x a         t a SAMPLE BLOCK ("system time"(x))
//!     mood 'ok'                           CAST('ok' AS mood)
//!     x ISNULL                            x IS NULL
//!     a integer ARRAY                     a integer[]
//!     FOR NO KEY UPDATE, FOR KEY SHARE    FOR UPDATE, FOR SHARE
//!     FOR UPDATE OF t LIMIT 1             LIMIT 1
//!     INSERT INTO t (VALUES (1))          INSERT INTO t VALUES (1)
//!     SET doc['a'] = 1                    SET doc = "assigned item"(doc['a'], 1)
//!
//!     x::varchar(3) COLLATE "C"           x::varchar(3)
//!
//! The calls in double quotes are read by [`super::syntax`] and never leave this folder, but for ROWS FROM, which is a
//! set. Tokens keep the place that
//! they had, so that errors point into the client's text. Words that sqlparser knows as keywords of other databases
//! are names again.

use super::bare_texts::{is_bare_text, is_text};
use super::{assignments, insert_sources, row_tokens, typed_literals};
use crate::dialect::StatementDialect;
use crate::error::{ErrorKind, QueryError};
use crate::functions::excluded_frames::Exclusion;
use crate::functions::variadic::VARIADIC;
use crate::pg_catalog::is_known_collation;
use crate::statement::{near, position_of, statement_parser, syntax_error};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// The call around the count of FETCH FIRST … WITH TIES.
pub(super) const WITH_TIES: &str = "with ties";
/// The relation that ROWS FROM is, whose arguments are calls.
pub(crate) const ROWS_FROM: &str = "rows from";
/// The call around the first bound of BETWEEN SYMMETRIC.
pub(super) const SYMMETRIC: &str = "between symmetric";
/// The call in front of what GROUP BY DISTINCT groups by.
pub(super) const DISTINCT_SETS: &str = "distinct sets";
/// The call around a subquery that is the first of several items.
pub(super) const IN_LIST: &str = "in list";
/// The call around the time of FOR SYSTEM_TIME AS OF.
pub(super) const SYSTEM_TIME: &str = "system time";
/// The farthest that the end of a cast may be from a window frame's offset, in tokens.
const OFFSET_TOKENS_MAX: usize = 8;

/// Spells out the tokens of one statement, which are without white space.
pub(crate) fn spell_out_tokens(tokens: &mut Vec<TokenWithSpan>, source: &str) -> Result<(), QueryError> {
    let commands = TableCommands::of(tokens);
    let mut index = 0;
    while index < tokens.len() {
        match keyword(tokens, index) {
            Keyword::TABLE => commands.spell_out(tokens, index),
            Keyword::FETCH if index > 0 => fetch(tokens, index),
            Keyword::SET => assignments::spell_out(tokens, index),
            Keyword::INTO => insert_sources::spell_out(tokens, index),
            Keyword::BETWEEN => between(tokens, index),
            Keyword::IN => in_list(tokens, index),
            Keyword::TRIM => trim(tokens, index),
            Keyword::SUBSTRING => similar_part(tokens, index),
            Keyword::LIKE | Keyword::ILIKE => quantified_like(tokens, index),
            _ if is_word(tokens, index, "variadic") && is_argument_start(tokens, index) => {
                variadic(tokens, index, source)?
            }
            Keyword::EXCLUDE => exclusion(tokens, index, source)?,
            Keyword::TABLESAMPLE => check_sample(tokens, index, source)?,
            Keyword::ONLY if is_only_table(tokens, index) => {
                only_table(tokens, index);
                continue;
            }
            Keyword::FOR if keyword(tokens, index + 1) == Keyword::SYSTEM_TIME => {
                index += system_time(tokens, index, source)?;
            }
            Keyword::FOR if locking(tokens, index) => continue,
            Keyword::USING => order_operator(tokens, index),
            Keyword::COLLATE if is_collation_of_cast(tokens, index) => {
                tokens.drain(index..index + 2);
                continue;
            }
            Keyword::ROWS if keyword(tokens, index + 1) == Keyword::FROM => rows_from(tokens, index),
            Keyword::ALL if index >= 2 && is_group_by(tokens, index - 2) => {
                tokens.remove(index);
                continue;
            }
            Keyword::DISTINCT if index >= 2 && is_group_by(tokens, index - 2) => {
                let mark = Token::make_word(DISTINCT_SETS, Some('"'));
                replace(tokens, index..index + 1, vec![mark, Token::LParen, Token::RParen, Token::Comma]);
            }
            _ if is_null_test(tokens, index) => {
                replace(tokens, index..index + 1, vec![Token::make_keyword("IS"), Token::make_keyword("NULL")]);
            }
            Keyword::ARRAY if ends_array_type(tokens, index) => {
                replace(tokens, index..index + 1, vec![Token::LBracket, Token::RBracket]);
            }
            other if is_foreign(other, keyword(tokens, index + 1)) => forget_keyword(tokens, index),
            _ if let Some(clause) = path_clause(tokens, index) => {
                let error = QueryError::unsupported(format!("{clause} of WITH RECURSIVE")).hint(
                    "Collect the keys of the path in an array, order by it, or stop where it has the key already.",
                );
                return Err(error.position(position_of(source, tokens[index].span.start)));
            }
            _ if is_text(&tokens[index].token) && is_bare_text(tokens, index) => {
                return Err(near(source, &tokens[index]));
            }
            _ => match tokens[index].token {
                Token::SingleQuotedString(_) => match typed_literals::spell_out(tokens, index) {
                    0 => cast_offset(tokens, index),
                    more => index += more,
                },
                Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_) | Token::UnicodeStringLiteral(_) => {
                    index += typed_literals::spell_out(tokens, index);
                }
                Token::LParen => row_tokens::in_parentheses(tokens, index),
                Token::Period if index > 0 && *token(tokens, index - 1) == Token::RParen => {
                    index = row_tokens::columns_of_call(tokens, index, source)?;
                }
                Token::Period => row_tokens::as_value(tokens, index),
                _ => {}
            },
        }
        index += 1;
    }
    Ok(())
}

/// The keyword of an unquoted word; `NoKeyword` for everything else.
pub(super) fn keyword(tokens: &[TokenWithSpan], index: usize) -> Keyword {
    match tokens.get(index).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Spells out a locking clause, which locks nothing here: the weaker ones as those that the parser knows, and none before LIMIT, where it
/// takes none. Whether something changed.
fn locking(tokens: &mut Vec<TokenWithSpan>, index: usize) -> bool {
    let words = |words: &[&str]| words.iter().enumerate().all(|(place, word)| is_word(tokens, index + 1 + place, word));
    if words(&["no", "key", "update"]) {
        tokens.drain(index + 1..index + 3);
        return true;
    }
    if words(&["key", "share"]) {
        tokens.remove(index + 1);
        return true;
    }
    if !words(&["update"]) && !words(&["share"]) {
        return false;
    }
    let mut end = index + 2;
    if is_word(tokens, end, "of") {
        end += 2;
        while matches!(token(tokens, end), Token::Comma | Token::Period) {
            end += 2;
        }
    }
    if is_word(tokens, end, "nowait") {
        end += 1;
    } else if is_word(tokens, end, "skip") && is_word(tokens, end + 1, "locked") {
        end += 2;
    }
    let is_before_limit = matches!(keyword(tokens, end), Keyword::LIMIT | Keyword::OFFSET | Keyword::FETCH);
    if is_before_limit {
        tokens.drain(index..end);
    }
    is_before_limit
}

/// The name of a SEARCH or CYCLE clause that begins at a token, behind a query of WITH.
fn path_clause(tokens: &[TokenWithSpan], index: usize) -> Option<&'static str> {
    if index == 0 || *token(tokens, index - 1) != Token::RParen || !matches!(token(tokens, index + 1), Token::Word(_)) {
        return None;
    }
    let sets = || find_outside(tokens, index + 1, |at| keyword(tokens, at) == Keyword::SET).is_some();
    match is_word(tokens, index, "search") {
        true => is_word(tokens, index + 2, "first").then_some("SEARCH"),
        false => (is_word(tokens, index, "cycle") && sets()).then_some("CYCLE"),
    }
}

/// `x ISNULL`; the word may also be a function's, or a label behind AS.
fn is_null_test(tokens: &[TokenWithSpan], index: usize) -> bool {
    use Keyword::{
        ALL, AND, AS, BY, CASE, DISTINCT, ELSE, HAVING, LIMIT, NOT, OFFSET, ON, OR, SELECT, THEN, WHEN, WHERE,
    };
    let begins =
        [ALL, AND, AS, BY, CASE, DISTINCT, ELSE, HAVING, LIMIT, NOT, OFFSET, ON, OR, SELECT, THEN, WHEN, WHERE];
    let follows = index.checked_sub(1).is_some_and(|before| match &tokens[before].token {
        Token::Word(_) => !begins.contains(&keyword(tokens, before)),
        Token::RParen | Token::RBracket | Token::Number(..) | Token::Placeholder(_) => true,
        token => is_text(token),
    });
    follows && is_word(tokens, index, "isnull") && *token(tokens, index + 1) != Token::LParen
}

/// `integer ARRAY`; the word also begins an array, and is a label behind AS.
fn ends_array_type(tokens: &[TokenWithSpan], index: usize) -> bool {
    let follows = index.checked_sub(1).is_some_and(|before| match &tokens[before].token {
        Token::Word(_) => !matches!(keyword(tokens, before), Keyword::AS | Keyword::SELECT),
        other => *other == Token::RParen,
    });
    follows && !matches!(token(tokens, index + 1), Token::LBracket | Token::LParen)
}

/// Whether the collation that everything has is named behind a cast to text, where the parser takes none.
fn is_collation_of_cast(tokens: &[TokenWithSpan], index: usize) -> bool {
    let is_text = |index| ["text", "varchar", "bpchar", "char", "name"].iter().any(|name| is_word(tokens, index, name));
    let is_known = match token(tokens, index + 1) {
        Token::Word(word) => is_known_collation(&ObjectName::from(vec![Ident::new(&word.value)])),
        _ => false,
    };
    let is_cast = |at: usize| at >= 1 && *token(tokens, at - 1) == Token::DoubleColon;
    let Some(last) = index.checked_sub(1).filter(|_| is_known) else { return false };
    let name = match token(tokens, last) {
        // The most letters that a varchar may have.
        Token::RParen => opening(tokens, last).and_then(|open| open.checked_sub(1)),
        _ => Some(last),
    };
    name.is_some_and(|name| match name.checked_sub(1) {
        Some(before) if is_word(tokens, name, "varying") => is_word(tokens, before, "character") && is_cast(before),
        _ => is_text(name) && is_cast(name),
    })
}

pub(super) fn token(tokens: &[TokenWithSpan], index: usize) -> &Token {
    tokens.get(index).map_or(&Token::EOF, |token| &token.token)
}

/// Whether an unquoted word that is no keyword to the parser stands there.
fn is_word(tokens: &[TokenWithSpan], index: usize, wanted: &str) -> bool {
    match token(tokens, index) {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    }
}

pub(super) fn replace(tokens: &mut Vec<TokenWithSpan>, range: std::ops::Range<usize>, with: Vec<Token>) {
    let span = tokens[range.start].span;
    tokens.splice(range, with.into_iter().map(|token| TokenWithSpan { token, span }));
}

/// The first token from `start` on that is `wanted` and not inside parentheses, brackets or CASE that begin after
/// `start`.
pub(super) fn find_outside(tokens: &[TokenWithSpan], start: usize, wanted: impl Fn(usize) -> bool) -> Option<usize> {
    let mut depth = 0usize;
    for index in start..tokens.len() {
        if depth == 0 && wanted(index) {
            return Some(index);
        }
        match (&tokens[index].token, keyword(tokens, index)) {
            (Token::LParen | Token::LBracket, _) | (_, Keyword::CASE) => depth += 1,
            (Token::RParen | Token::RBracket, _) | (_, Keyword::END) => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// The parenthesis that closes the one at `open`.
pub(super) fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    find_outside(tokens, open + 1, |index| tokens[index].token == Token::RParen)
}

/// The bracket that closes the one at `open`.
pub(super) fn closing_bracket(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    find_outside(tokens, open + 1, |index| tokens[index].token == Token::RBracket)
}

// ---- TABLE t ----

/// Where TABLE begins a query depends on the statement that it stands in.
struct TableCommands {
    reads: bool,
    inserts: bool,
    creates: bool,
}

impl TableCommands {
    fn of(tokens: &[TokenWithSpan]) -> Self {
        let first = keyword(tokens, 0);
        let commands =
            [Keyword::TABLE, Keyword::SELECT, Keyword::WITH, Keyword::VALUES, Keyword::INSERT, Keyword::CREATE];
        Self {
            reads: *token(tokens, 0) == Token::LParen || commands.contains(&first),
            inserts: first == Keyword::INSERT,
            creates: first == Keyword::CREATE,
        }
    }

    /// `SELECT * FROM` in place of a TABLE that begins a query.
    fn spell_out(&self, tokens: &mut Vec<TokenWithSpan>, index: usize) {
        let named = matches!(token(tokens, index + 1), Token::Word(_));
        if self.reads && named && (self.begins_query(tokens, index) || (self.inserts && !is_label(tokens, index))) {
            let spelt = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
            replace(tokens, index..index + 1, spelt.to_vec());
        }
    }

    fn begins_query(&self, tokens: &[TokenWithSpan], index: usize) -> bool {
        let Some(before) = index.checked_sub(1) else { return true };
        match keyword(tokens, before) {
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::ALL | Keyword::DISTINCT => true,
            // `CREATE MATERIALIZED VIEW v AS TABLE t`; elsewhere a column may be called so.
            Keyword::AS => self.creates,
            _ => *token(tokens, before) == Token::LParen,
        }
    }
}

/// After AS or a period the word is a name.
fn is_label(tokens: &[TokenWithSpan], index: usize) -> bool {
    let Some(before) = index.checked_sub(1) else { return false };
    *token(tokens, before) == Token::Period || keyword(tokens, before) == Keyword::AS
}

// ---- clauses ----

/// `FETCH { FIRST | NEXT } [ count ] { ROW | ROWS } { ONLY | WITH TIES }` is LIMIT, where any count and any order
/// with OFFSET is read.
fn fetch(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    if !matches!(keyword(tokens, index + 1), Keyword::FIRST | Keyword::NEXT) {
        return;
    }
    let is_rows = |index: usize| matches!(keyword(tokens, index), Keyword::ROW | Keyword::ROWS);
    let Some(rows) = find_outside(tokens, index + 2, is_rows) else { return };
    let (end, with_ties) = match (keyword(tokens, rows + 1), keyword(tokens, rows + 2)) {
        (Keyword::ONLY, _) => (rows + 2, false),
        (Keyword::WITH, Keyword::TIES) => (rows + 3, true),
        _ => return,
    };
    let mut count: Vec<TokenWithSpan> = tokens[index + 2..rows].to_vec();
    let span = tokens[index].span;
    let own = |token: Token| TokenWithSpan { token, span };
    if count.is_empty() {
        count.push(own(Token::Number("1".into(), false)));
    }
    let mut spelt = vec![own(Token::make_keyword("LIMIT"))];
    if with_ties {
        spelt.extend([own(Token::make_word(WITH_TIES, Some('"'))), own(Token::LParen)]);
        spelt.extend(count);
        spelt.push(own(Token::RParen));
    } else {
        spelt.extend(count);
    }
    tokens.splice(index..end, spelt);
}

/// `FROM ONLY t`: no table has children here. The word is reserved, so nothing else is called so.
fn is_only_table(tokens: &[TokenWithSpan], index: usize) -> bool {
    let Some(before) = index.checked_sub(1) else { return false };
    let begins = [Keyword::FROM, Keyword::JOIN, Keyword::USING, Keyword::INTO, Keyword::UPDATE];
    let named = match token(tokens, index + 1) {
        Token::Word(_) => true,
        Token::LParen => matches!(token(tokens, index + 2), Token::Word(_)),
        _ => false,
    };
    named && (begins.contains(&keyword(tokens, before)) || *token(tokens, before) == Token::Comma)
}

/// Removes ONLY, and the parentheses around the name.
fn only_table(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    if let Some(close) = closing(tokens, index + 1).filter(|_| *token(tokens, index + 1) == Token::LParen) {
        tokens.remove(close);
        tokens.remove(index + 1);
    }
    tokens.remove(index);
}

/// `ORDER BY a USING >` is descending.
fn order_operator(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    let direction = match token(tokens, index + 1) {
        Token::Lt => "ASC",
        Token::Gt => "DESC",
        _ => return,
    };
    replace(tokens, index..index + 2, vec![Token::make_keyword(direction)]);
}

/// `t FOR SYSTEM_TIME AS OF x a` is `t a SAMPLE BLOCK ("system time"(x))`: PostgreSQL has nothing like it, and the parser reads this
/// behind every table. Gives how many tokens come before the time.
fn system_time(tokens: &mut Vec<TokenWithSpan>, index: usize, source: &str) -> Result<usize, QueryError> {
    if (keyword(tokens, index + 2), keyword(tokens, index + 3)) != (Keyword::AS, Keyword::OF) {
        let error = QueryError::unsupported("FOR SYSTEM_TIME with anything but AS OF");
        return Err(error.position(position_of(source, tokens[index].span.start)));
    }
    let start = index + 4;
    let mut parser = statement_parser(&StatementDialect, &tokens[start..]);
    if let Err(error) = parser.parse_expr() {
        return Err(syntax_error(source, error));
    }
    let alias_start = start + parser.index();
    // What is no alias is for the parser of the whole statement to judge.
    let end = if parser.maybe_parse_table_alias().is_ok() { start + parser.index() } else { alias_start };
    let (time, alias) = (&tokens[start..alias_start], &tokens[alias_start..end]);
    let span = tokens[index].span;
    let own = |token: Token| TokenWithSpan { token, span };
    let mut spelt = alias.to_vec();
    spelt.extend([own(Token::make_keyword("SAMPLE")), own(Token::make_keyword("BLOCK")), own(Token::LParen)]);
    spelt.extend([own(Token::make_word(SYSTEM_TIME, Some('"'))), own(Token::LParen)]);
    let before_time = spelt.len();
    spelt.extend_from_slice(time);
    spelt.extend([own(Token::RParen), own(Token::RParen)]);
    tokens.splice(index..end, spelt);
    Ok(before_time - 1)
}

fn is_group_by(tokens: &[TokenWithSpan], index: usize) -> bool {
    keyword(tokens, index) == Keyword::GROUP && keyword(tokens, index + 1) == Keyword::BY
}

/// What a window frame leaves out is said by the window's name, see [`Exclusion`]. Nothing is what it leaves out without
/// the clause.
fn exclusion(tokens: &mut Vec<TokenWithSpan>, index: usize, source: &str) -> Result<(), QueryError> {
    let (length, exclusion) = match keyword(tokens, index + 1) {
        Keyword::NO if is_word(tokens, index + 2, "others") => (3, None),
        Keyword::CURRENT if keyword(tokens, index + 2) == Keyword::ROW => (3, Some(Exclusion::CurrentRow)),
        Keyword::GROUP => (2, Some(Exclusion::Group)),
        Keyword::TIES => (2, Some(Exclusion::Ties)),
        _ => return Ok(()),
    };
    if *token(tokens, index + length) != Token::RParen {
        return Ok(());
    }
    let Some(open) = opening(tokens, index) else { return Ok(()) };
    let begins_frame = |at: &usize| matches!(keyword(tokens, *at), Keyword::ROWS | Keyword::RANGE | Keyword::GROUPS);
    if (open..index).rev().find(begins_frame).is_none() {
        let error = QueryError::new(ErrorKind::Syntax, "syntax error at or near \"EXCLUDE\"");
        return Err(error.position(position_of(source, tokens[index].span.start)));
    }
    // The parenthesis takes the place, so that the walk goes on behind it.
    tokens.drain(index..index + length);
    let Some(exclusion) = exclusion else { return Ok(()) };
    let named = match &tokens[open + 1].token {
        Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
        Token::Word(word) if !is_window_clause(word.keyword) => Some(word.value.to_ascii_lowercase()),
        _ => None,
    };
    let mark = exclusion.mark();
    match named {
        Some(name) => replace(tokens, open + 1..open + 2, vec![Token::make_word(&format!("{name} {mark}"), Some('"'))]),
        None => {
            let span = tokens[open].span;
            tokens.insert(open + 1, TokenWithSpan { token: Token::make_word(mark, Some('"')), span });
        }
    }
    Ok(())
}

fn is_window_clause(word: Keyword) -> bool {
    matches!(word, Keyword::PARTITION | Keyword::ORDER | Keyword::ROWS | Keyword::RANGE | Keyword::GROUPS)
}

/// The parenthesis that is open at a token.
pub(super) fn opening(tokens: &[TokenWithSpan], index: usize) -> Option<usize> {
    let mut depth = 0usize;
    (0..index).rev().find(|at| match tokens[*at].token {
        Token::RParen => {
            depth += 1;
            false
        }
        Token::LParen if depth == 0 => true,
        Token::LParen => {
            depth -= 1;
            false
        }
        _ => false,
    })
}

fn is_argument_start(tokens: &[TokenWithSpan], index: usize) -> bool {
    index > 0 && matches!(tokens[index - 1].token, Token::LParen | Token::Comma)
}

/// `f(a, VARIADIC b)` is `f(a, "variadic argument"(b))`.
fn variadic(tokens: &mut Vec<TokenWithSpan>, index: usize, source: &str) -> Result<(), QueryError> {
    let syntax_error = |at: usize| match tokens.get(at) {
        Some(token) => near(source, token),
        None => QueryError::new(ErrorKind::Syntax, "syntax error at end of input"),
    };
    let called = opening(tokens, index).and_then(|open| open.checked_sub(1));
    let meets = ["greatest", "least", "coalesce", "nullif"];
    if called.is_some_and(|name| meets.iter().any(|meeting| is_word(tokens, name, meeting))) {
        return Err(syntax_error(index));
    }
    let ends = |at: usize| matches!(tokens[at].token, Token::RParen | Token::Comma);
    match find_outside(tokens, index + 1, ends) {
        Some(close) if tokens[close].token == Token::RParen => {
            let span = tokens[index].span;
            tokens.insert(close, TokenWithSpan { token: Token::RParen, span });
            replace(tokens, index..index + 1, vec![Token::make_word(VARIADIC, Some('"')), Token::LParen]);
            Ok(())
        }
        other => Err(syntax_error(other.unwrap_or(tokens.len()))),
    }
}

/// TABLESAMPLE knows two methods, each with one parameter.
fn check_sample(tokens: &[TokenWithSpan], index: usize, source: &str) -> Result<(), QueryError> {
    let (Token::Word(method), Token::LParen) = (token(tokens, index + 1), token(tokens, index + 2)) else {
        return Ok(());
    };
    let name = method.value.to_ascii_lowercase();
    let error = if !["bernoulli", "system"].contains(&name.as_str()) {
        QueryError::new(ErrorKind::UndefinedObject, format!("tablesample method {name} does not exist"))
    } else {
        let is_end = |at: usize| matches!(tokens[at].token, Token::Comma | Token::RParen);
        let mut parameters = 1;
        let mut end = find_outside(tokens, index + 3, is_end);
        while let Some(comma) = end.filter(|at| tokens[*at].token == Token::Comma) {
            parameters += 1;
            end = find_outside(tokens, comma + 1, is_end);
        }
        if parameters == 1 {
            return Ok(());
        }
        let message = format!("tablesample method {name} requires 1 argument, not {parameters}");
        QueryError::new(ErrorKind::InvalidTablesampleArgument, message)
    };
    Err(error.position(position_of(source, tokens[index + 1].span.start)))
}

/// Words that have a meaning to other databases only: a table may be called so without AS.
fn is_foreign(word: Keyword, next: Keyword) -> bool {
    match word {
        Keyword::QUALIFY
        | Keyword::TOP
        | Keyword::PIVOT
        | Keyword::UNPIVOT
        | Keyword::MATCH_RECOGNIZE
        | Keyword::APPLY
        | Keyword::PREWHERE
        | Keyword::STRAIGHT_JOIN => true,
        // `SAMPLE BLOCK` is what FOR SYSTEM_TIME became, in a statement inside of another one.
        Keyword::SAMPLE => next != Keyword::BLOCK,
        Keyword::SEMI | Keyword::ANTI | Keyword::ASOF | Keyword::GLOBAL => next == Keyword::JOIN,
        _ => false,
    }
}

fn forget_keyword(tokens: &mut [TokenWithSpan], index: usize) {
    if let Token::Word(word) = &mut tokens[index].token {
        word.keyword = Keyword::NoKeyword;
    }
}

// ---- expressions ----

fn between(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    match keyword(tokens, index + 1) {
        Keyword::ASYMMETRIC => {
            tokens.remove(index + 1);
        }
        Keyword::SYMMETRIC => {
            let Some(and) = find_outside(tokens, index + 2, |at| keyword(tokens, at) == Keyword::AND) else { return };
            replace(tokens, and..and + 1, vec![Token::RParen, Token::make_keyword("AND")]);
            let call = vec![Token::make_word(SYMMETRIC, Some('"')), Token::LParen];
            replace(tokens, index + 1..index + 2, call);
        }
        _ => {}
    }
}

/// A list that begins with a subquery, which the parser would take for a query as a whole.
fn in_list(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    let first = index + 2;
    let is_query = matches!(keyword(tokens, first + 1), Keyword::SELECT | Keyword::WITH);
    if *token(tokens, index + 1) != Token::LParen || *token(tokens, first) != Token::LParen || !is_query {
        return;
    }
    let Some(end) = closing(tokens, first).filter(|end| *token(tokens, end + 1) == Token::Comma) else { return };
    replace(tokens, end..end + 1, vec![Token::RParen, Token::RParen]);
    replace(tokens, first..first + 1, vec![Token::make_word(IN_LIST, Some('"')), Token::LParen, Token::LParen]);
}

/// `substring(x SIMILAR p ESCAPE e)`
fn similar_part(tokens: &mut [TokenWithSpan], index: usize) {
    if *token(tokens, index + 1) != Token::LParen {
        return;
    }
    let similar = find_outside(tokens, index + 2, |place| keyword(tokens, place) == Keyword::SIMILAR);
    let Some(similar) = similar.filter(|place| keyword(tokens, place + 1) != Keyword::TO) else { return };
    let Some(escape) = find_outside(tokens, similar, |place| keyword(tokens, place) == Keyword::ESCAPE) else { return };
    tokens[similar].token = Token::make_keyword("FROM");
    tokens[escape].token = Token::make_keyword("FOR");
}

/// `trim([LEADING | TRAILING | BOTH] [[characters] FROM] list)` is a call of the function with the list and then the
/// characters.
fn trim(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    let after_period = index > 0 && *token(tokens, index - 1) == Token::Period;
    if after_period || *token(tokens, index + 1) != Token::LParen {
        return;
    }
    let Some(close) = closing(tokens, index + 1) else { return };
    let (name, start) = match keyword(tokens, index + 2) {
        Keyword::LEADING => ("ltrim", index + 3),
        Keyword::TRAILING => ("rtrim", index + 3),
        Keyword::BOTH => ("btrim", index + 3),
        _ => ("btrim", index + 2),
    };
    let is_from = |at: usize| keyword(tokens, at) == Keyword::FROM && keyword(tokens, at - 1) != Keyword::DISTINCT;
    let from = find_outside(tokens, start, is_from).filter(|from| *from < close);
    let mut arguments: Vec<TokenWithSpan> = match from {
        None => tokens[start..close].to_vec(),
        Some(from) => tokens[from + 1..close].to_vec(),
    };
    if arguments.is_empty() {
        return;
    }
    if let Some(from) = from.filter(|from| *from > start) {
        arguments.push(TokenWithSpan { token: Token::Comma, span: tokens[from].span });
        arguments.extend_from_slice(&tokens[start..from]);
    }
    tokens.splice(index + 2..close, arguments);
    replace(tokens, index..index + 1, vec![Token::make_word(name, None)]);
}

/// `ROWS FROM (…)` as a function in FROM, which is what the parser reads there.
fn rows_from(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    if *token(tokens, index + 2) == Token::LParen {
        replace(tokens, index..index + 2, vec![Token::make_word(ROWS_FROM, Some('"'))]);
    }
}

/// `[NOT] LIKE ANY (…)` by the name of LIKE's operator, which the parser takes beside ANY and ALL.
fn quantified_like(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    let quantified = matches!(keyword(tokens, index + 1), Keyword::ANY | Keyword::SOME | Keyword::ALL);
    if !quantified || *token(tokens, index + 2) != Token::LParen {
        return;
    }
    let negated = index > 0 && keyword(tokens, index - 1) == Keyword::NOT;
    let operator = match (keyword(tokens, index), negated) {
        (Keyword::LIKE, false) => Token::DoubleTilde,
        (Keyword::LIKE, true) => Token::ExclamationMarkDoubleTilde,
        (_, false) => Token::DoubleTildeAsterisk,
        (_, true) => Token::ExclamationMarkDoubleTildeAsterisk,
    };
    replace(tokens, index - usize::from(negated)..index + 1, vec![operator]);
}

/// `BETWEEN '6 days'::interval PRECEDING AND …`: the parser takes a cast there in parentheses only.
fn cast_offset(tokens: &mut Vec<TokenWithSpan>, index: usize) {
    let Some(before) = index.checked_sub(1) else { return };
    let in_frame = matches!(
        keyword(tokens, before),
        Keyword::BETWEEN | Keyword::AND | Keyword::ROWS | Keyword::RANGE | Keyword::GROUPS
    );
    if !in_frame || *token(tokens, index + 1) != Token::DoubleColon {
        return;
    }
    let is_direction = |at: usize| matches!(keyword(tokens, at), Keyword::PRECEDING | Keyword::FOLLOWING);
    let Some(direction) = find_outside(tokens, index + 2, is_direction) else { return };
    if direction - index > OFFSET_TOKENS_MAX {
        return;
    }
    let span = tokens[index].span;
    tokens.insert(direction, TokenWithSpan { token: Token::RParen, span });
    tokens.insert(index, TokenWithSpan { token: Token::LParen, span });
}
