//! Statements with thousands of operators in a row, which programs write: `id = 1 OR id = 2 OR …`, `a || b || …`.
//!
//! The tree of such a chain is as deep as the chain is long, and every walk over it takes a stack as deep. AND and OR may be grouped
//! in any way, so their chains become balanced trees:
//!
//!     ((a OR b) OR c) OR d   ──▶   (a OR b) OR (c OR d)
//!
//! Other operators keep their order, and a chain of more than [`OPERATORS_MAX`] is refused, as PostgreSQL refuses those that are too
//! deep for its stack.

use crate::error::{ErrorKind, QueryError};
use crate::statement::{is_blank, position_of};
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use std::ops::ControlFlow;

/// As many operators may follow each other without a comma or a word of SQL between them.
const OPERATORS_MAX: usize = 500;
/// As many calls with a syntax of their own may be nested. sqlparser reads what is wrong inside of one twice.
const RETRIED_MAX: usize = 16;
/// As many NOTs or signs may follow each other, fewer than the parser follows.
const PREFIXES_MAX: usize = 150;
/// As many relations may be united or joined one after the other.
const RELATIONS_MAX: usize = 1000;
/// Chains of AND and OR up to this length stay as they were written.
const TALL_MIN: usize = 64;

/// Refuses a statement with a chain that is too long.
///
/// # Errors
/// [`ErrorKind::StatementTooComplex`], at the operator that is too much.
pub(crate) fn refuse_long_chains(source: &str, tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let mut open: Vec<Chain> = vec![Chain::default()];
    let mut before = &Token::EOF;
    for token in tokens.iter().filter(|token| !is_blank(&token.token)) {
        let within = open.last_mut().expect("the statement itself is open");
        within.count_prefixes(&token.token);
        match &token.token {
            Token::LParen | Token::LBracket => {
                within.operators += usize::from(token.token == Token::LBracket);
                let retried = within.retried + retries(before);
                open.push(Chain { retried, ..Chain::default() });
            }
            Token::Word(word) if word.keyword == Keyword::CASE => {
                let retried = within.retried;
                open.push(Chain { is_case: true, retried, ..Chain::default() });
            }
            Token::Word(word) if word.keyword == Keyword::END && within.is_case => drop(open.pop()),
            Token::RParen | Token::RBracket => {
                let opened = open.iter().rposition(|chain| !chain.is_case).unwrap_or_default();
                open.truncate(opened.max(1));
            }
            found => within.take(found),
        }
        before = &token.token;
        if open.last().is_some_and(Chain::is_too_long) {
            return Err(QueryError::new(ErrorKind::StatementTooComplex, "stack depth limit exceeded")
                .position(position_of(source, token.span.start))
                .hint("Split the expression into smaller ones."));
        }
    }
    Ok(())
}

/// What was met between two parentheses, or CASE and END.
#[derive(Default)]
struct Chain {
    operators: usize,
    relations: usize,
    /// NOTs and operators in a row.
    prefixes: usize,
    /// Calls around it that may be read twice.
    retried: usize,
    /// Whether CASE begins it, and END ends it.
    is_case: bool,
}

impl Chain {
    fn count_prefixes(&mut self, token: &Token) {
        let negates = matches!(token, Token::Word(word) if word.keyword == Keyword::NOT);
        let opens = matches!(token, Token::LParen | Token::LBracket);
        let goes_on = negates || (is_operator(token) && !opens && !parts(token));
        self.prefixes = if goes_on { self.prefixes + 1 } else { 0 };
    }

    fn take(&mut self, token: &Token) {
        match token {
            Token::Word(word) => match word.keyword {
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN => {
                    self.relations += 1;
                    self.operators = 0;
                }
                Keyword::NoKeyword => {}
                keyword if goes_on(keyword) => self.operators += 1,
                keyword if ends_operand(keyword) => self.operators = 0,
                _ => {}
            },
            token if parts(token) => self.operators = 0,
            token if is_operator(token) => self.operators += 1,
            _ => {}
        }
    }

    fn is_too_long(&self) -> bool {
        self.operators > OPERATORS_MAX
            || self.relations > RELATIONS_MAX
            || self.retried > RETRIED_MAX
            || self.prefixes > PREFIXES_MAX
    }
}

/// How often more than once the arguments of a call may be read.
fn retries(name: &Token) -> usize {
    match name {
        Token::Word(word) => match word.keyword {
            Keyword::POSITION => 2,
            Keyword::EXTRACT | Keyword::SUBSTRING | Keyword::OVERLAY => 1,
            Keyword::CEIL | Keyword::FLOOR => 1,
            _ => 0,
        },
        _ => 0,
    }
}

/// Words between the operands of which no other operator reaches.
fn ends_operand(keyword: Keyword) -> bool {
    use Keyword::{AND, AS, BY, ELSE, FROM, HAVING, OR, SELECT, SET, THEN, VALUES, WHEN, WHERE};
    matches!(keyword, AND | AS | BY | ELSE | FROM | HAVING | OR | SELECT | SET | THEN | VALUES | WHEN | WHERE)
}

/// Words that are operators, or begin with one.
fn goes_on(keyword: Keyword) -> bool {
    use Keyword::{AT, BETWEEN, COLLATE, ILIKE, IN, IS, LIKE, NOTNULL, SIMILAR};
    matches!(keyword, AT | BETWEEN | COLLATE | ILIKE | IN | IS | LIKE | NOTNULL | SIMILAR)
}

/// Whether a token stands between two expressions.
fn parts(token: &Token) -> bool {
    matches!(token, Token::Comma | Token::SemiColon)
}

fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::Word(_)
            | Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::Colon
            | Token::RParen
            | Token::RBracket
            | Token::EOF
    )
}

/// Balances the long chains of AND and OR in a tree.
pub(crate) fn balance<T: VisitMut>(node: &mut T) {
    let _ = walk_mut(node, &mut Balancer);
}

struct Balancer;

impl VisitorMut for Balancer {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = expression {
            let op = op.clone();
            if chain_length(expression, &op) >= TALL_MIN {
                let operands = operands_of(std::mem::replace(expression, Expr::Wildcard(AttachedToken::empty())), &op);
                *expression = balanced(operands, &op);
            }
        }
        ControlFlow::Continue(())
    }
}

fn chain_length(expression: &Expr, of: &BinaryOperator) -> usize {
    let mut length = 1;
    let mut rest = expression;
    while let Expr::BinaryOp { left, op, .. } = rest
        && op == of
    {
        rest = left;
        length += 1;
    }
    length
}

/// The operands of a chain that leans to the left, in their order.
fn operands_of(expression: Expr, of: &BinaryOperator) -> Vec<Expr> {
    let mut operands = Vec::new();
    let mut rest = expression;
    loop {
        match rest {
            Expr::BinaryOp { left, op, right } if op == *of => {
                operands.push(*right);
                rest = *left;
            }
            first => {
                operands.push(first);
                operands.reverse();
                return operands;
            }
        }
    }
}

fn balanced(mut operands: Vec<Expr>, op: &BinaryOperator) -> Expr {
    let right = operands.split_off(operands.len().div_ceil(2));
    if right.is_empty() {
        return operands.pop().expect("a chain has operands");
    }
    let (left, right) = (balanced(operands, op), balanced(right, op));
    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
}
