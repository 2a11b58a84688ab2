//! The grammar of MERGE, with what PostgreSQL has and sqlparser does not: DO NOTHING, OVERRIDING and DEFAULT VALUES.

use super::Words;
use crate::error::{ErrorKind, QueryError};
use crate::merge::{Merge, MergeAction, MergeClause, MergeInsert};
use crate::standard_spellings::mend_spellings;
use crate::statement::{Overriding, StatementKind};
use datafusion::sql::sqlparser::ast::{self, helpers::attached_token::AttachedToken};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{IsOptional, Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

impl Words<'_> {
    /// Whether this is `WITH … MERGE`.
    pub(super) fn merges_with(&self) -> bool {
        self.at_top_level("merge").is_some_and(|index| {
            self.tokens[index - 1].token == Token::RParen && self.word_at(index + 1).as_deref() == Some("into")
        })
    }

    /// `[WITH …] MERGE INTO target USING source ON condition WHEN …`
    pub(super) fn merge(&mut self) -> Result<StatementKind, QueryError> {
        let mut merge = self.parse_rest(parsed_merge)?;
        mend_spellings(&mut merge, self.source)?;
        if unreachable_clause(&merge.clauses) {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(QueryError::new(ErrorKind::Syntax, message));
        }
        Ok(StatementKind::Merge(Box::new(merge)))
    }
}

/// Whether a clause comes after one of its kind that takes every row.
fn unreachable_clause(clauses: &[MergeClause]) -> bool {
    [true, false].into_iter().any(|matched| {
        let kind: Vec<_> = clauses.iter().filter(|clause| clause.matched == matched).collect();
        kind.iter().rev().skip(1).any(|clause| clause.condition.is_none())
    })
}

fn parsed_merge(parser: &mut Parser<'_>) -> Result<Merge, ParserError> {
    let with = if parser.parse_keyword(Keyword::WITH) {
        let with_token = AttachedToken(parser.get_current_token().clone());
        let recursive = parser.parse_keyword(Keyword::RECURSIVE);
        let cte_tables = parser.parse_comma_separated(Parser::parse_cte)?;
        Some(ast::With { with_token, recursive, cte_tables })
    } else {
        None
    };
    parser.expect_keywords(&[Keyword::MERGE, Keyword::INTO])?;
    let target = parser.parse_table_factor()?;
    parser.expect_keyword(Keyword::USING)?;
    let source = parser.parse_table_factor()?;
    parser.expect_keyword(Keyword::ON)?;
    let on = parser.parse_expr()?;
    let mut clauses = vec![parsed_clause(parser)?];
    while parser.peek_keyword(Keyword::WHEN) {
        clauses.push(parsed_clause(parser)?);
    }
    Ok(Merge { with, target, source, on, clauses })
}

fn parsed_clause(parser: &mut Parser<'_>) -> Result<MergeClause, ParserError> {
    parser.expect_keyword(Keyword::WHEN)?;
    let matched = !parser.parse_keyword(Keyword::NOT);
    parser.expect_keyword(Keyword::MATCHED)?;
    let condition = if parser.parse_keyword(Keyword::AND) { Some(parser.parse_expr()?) } else { None };
    parser.expect_keyword(Keyword::THEN)?;
    let action = if parser.parse_keywords(&[Keyword::DO, Keyword::NOTHING]) {
        MergeAction::Nothing
    } else if matched {
        parsed_change(parser)?
    } else {
        MergeAction::Insert(parsed_insert(parser)?)
    };
    Ok(MergeClause { matched, condition, action })
}

/// `UPDATE SET … | DELETE`
fn parsed_change(parser: &mut Parser<'_>) -> Result<MergeAction, ParserError> {
    if parser.parse_keyword(Keyword::DELETE) {
        return Ok(MergeAction::Delete);
    }
    parser.expect_keywords(&[Keyword::UPDATE, Keyword::SET])?;
    parser.parse_comma_separated(Parser::parse_assignment).map(MergeAction::Update)
}

/// `INSERT [(columns)] [OVERRIDING … VALUE] {VALUES (…) | DEFAULT VALUES}`
fn parsed_insert(parser: &mut Parser<'_>) -> Result<MergeInsert, ParserError> {
    parser.expect_keyword(Keyword::INSERT)?;
    let columns = parser.parse_parenthesized_column_list(IsOptional::Optional, false)?;
    let overrides =
        matches!(&parser.peek_token_ref().token, Token::Word(word) if word.value.eq_ignore_ascii_case("overriding"));
    let overriding = if overrides {
        parser.advance_token();
        let overriding = match parser.expect_one_of_keywords(&[Keyword::SYSTEM, Keyword::USER])? {
            Keyword::SYSTEM => Overriding::System,
            _ => Overriding::User,
        };
        parser.expect_keyword(Keyword::VALUE)?;
        overriding
    } else {
        Overriding::Nothing
    };
    if parser.parse_keywords(&[Keyword::DEFAULT, Keyword::VALUES]) {
        return Ok(MergeInsert { columns, overriding, values: None });
    }
    parser.expect_keyword(Keyword::VALUES)?;
    parser.expect_token(&Token::LParen)?;
    let values = Some(parser.parse_comma_separated(Parser::parse_expr)?);
    parser.expect_token(&Token::RParen)?;
    Ok(MergeInsert { columns, overriding, values })
}
