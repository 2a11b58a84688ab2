//! Spellings of standard SQL that the parser or planner does not know, said in words that it does.
//!
//!     TABLE t                        SELECT * FROM t
//!     FETCH FIRST 5 ROWS ONLY        LIMIT 5
//!
//! What has no such spelling is refused here rather than ignored: TABLESAMPLE and WITH TIES.

use crate::error::{ErrorKind, QueryError};
use crate::statement::position_of;
use datafusion::sql::sqlparser::ast::{
    Expr, Fetch, LimitClause, Query, Spanned, Statement, TableFactor, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use std::ops::ControlFlow;

/// `SELECT * FROM` in place of each TABLE that begins a query. The tokens are those of one statement without white space.
pub(crate) fn spell_out_table_commands(tokens: &mut Vec<TokenWithSpan>) {
    let first = word(tokens.first());
    let commands = ["table", "select", "with", "values", "insert", "create"];
    let reads = matches!(tokens.first().map(|token| &token.token), Some(Token::LParen))
        || first.as_deref().is_some_and(|first| commands.contains(&first));
    if !reads {
        return;
    }
    let inserts = first.as_deref() == Some("insert");
    let creates = first.as_deref() == Some("create");
    let mut index = 0;
    while index < tokens.len() {
        let before = if index == 0 { None } else { tokens.get(index - 1) };
        if word(tokens.get(index)).as_deref() == Some("table")
            && matches!(tokens.get(index + 1).map(|token| &token.token), Some(Token::Word(_)))
            && (begins_query(before, creates) || (inserts && !is_label(before)))
        {
            let span = tokens[index].span;
            let spelt = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
            tokens.splice(index..=index, spelt.map(|token| TokenWithSpan { token, span }));
        }
        index += 1;
    }
}

/// An unquoted word, in lower case.
fn word(token: Option<&TokenWithSpan>) -> Option<String> {
    match &token?.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
        _ => None,
    }
}

fn begins_query(before: Option<&TokenWithSpan>, creates: bool) -> bool {
    match before.map(|token| &token.token) {
        None | Some(Token::LParen) => true,
        Some(_) => match word(before).as_deref() {
            Some("union" | "except" | "intersect" | "all" | "distinct") => true,
            // `CREATE MATERIALIZED VIEW v AS TABLE t`; elsewhere a column may be called so.
            Some("as") => creates,
            _ => false,
        },
    }
}

/// After AS or a period the word is a name.
fn is_label(before: Option<&TokenWithSpan>) -> bool {
    matches!(before.map(|token| &token.token), Some(Token::Period)) || word(before).as_deref() == Some("as")
}

/// Rewrites a parsed statement in place.
pub(crate) fn mend_spellings(statement: &mut Statement, source: &str) -> Result<(), QueryError> {
    match VisitMut::visit(statement, &mut Mender { source }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Mender<'a> {
    source: &'a str,
}

impl VisitorMut for Mender<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        match query.fetch.take() {
            None => ControlFlow::Continue(()),
            Some(fetch) => match with_limit(query.limit_clause.take(), fetch) {
                Ok(clause) => {
                    query.limit_clause = Some(clause);
                    ControlFlow::Continue(())
                }
                Err(error) => ControlFlow::Break(error),
            },
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        if let TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } = factor {
            let error =
                QueryError::unsupported("TABLESAMPLE").hint("Use WHERE random() < 0.01 for a sample of the rows.");
            return ControlFlow::Break(error.position(position_of(self.source, factor.span().start)));
        }
        ControlFlow::Continue(())
    }
}

fn with_limit(clause: Option<LimitClause>, fetch: Fetch) -> Result<LimitClause, QueryError> {
    if fetch.with_ties {
        return Err(QueryError::unsupported("FETCH FIRST … WITH TIES")
            .hint("Use rank() OVER (ORDER BY …) in a subquery and compare it outside."));
    }
    if fetch.percent {
        return Err(QueryError::new(ErrorKind::Syntax, "syntax error at or near \"PERCENT\""));
    }
    let one = || Expr::Value(Value::Number("1".into(), false).into());
    let rows = fetch.quantity.unwrap_or_else(one);
    match clause {
        None => Ok(LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: Vec::new() }),
        Some(LimitClause::LimitOffset { limit: None, offset, limit_by }) => {
            Ok(LimitClause::LimitOffset { limit: Some(rows), offset, limit_by })
        }
        Some(_) => Err(QueryError::new(ErrorKind::Syntax, "syntax error at or near \"FETCH\"")),
    }
}
