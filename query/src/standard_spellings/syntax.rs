//! What a parsed statement still says in a way of its own, and what PostgreSQL's grammar does not know.
//!
//! BETWEEN SYMMETRIC and WITH TIES come from the tokens as calls and become trees that print as standard SQL, because
//! the definition of a view is kept as text. What sqlparser reads of other databases' SQL is a syntax error here. Functions lose
//! the schema `pg_catalog`, so that each means the same with it and without.

use super::tokens::{DISTINCT_SETS, IN_LIST, SYMMETRIC, SYSTEM_TIME, WITH_TIES};
use super::{parentheses, star_syntax};
use crate::error::{ErrorKind, QueryError};
use crate::operators::grouping_sets::distinct_sets;
use crate::pg_catalog::unqualify;
use crate::statement::{byte_offset, position_of};
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Delete, Expr, Fetch, FromTable, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, Join, JoinOperator, LimitClause, ObjectName, Query, Select, SelectItem, Spanned, Statement,
    TableFactor, TableSample, TableSampleKind, TableSampleMethod, TableSampleModifier, TableVersion, TableWithJoins,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// Functions that have words of their own between the parentheses where no schema stands before them.
const WORDED: [&str; 5] = ["convert", "extract", "interval", "overlay", "trim"];

/// Rewrites a parsed statement in place.
pub(crate) fn mend_spellings(statement: &mut impl VisitMut, source: &str) -> Result<(), QueryError> {
    mended(statement, Mender { source, is_stored: false })
}

/// The same for the definition of a view, which an earlier version may have taken.
pub(crate) fn mend_stored(query: &mut impl VisitMut, source: &str) -> Result<(), QueryError> {
    mended(query, Mender { source, is_stored: true })
}

fn mended(tree: &mut impl VisitMut, mut mender: Mender<'_>) -> Result<(), QueryError> {
    match walk_mut(tree, &mut mender) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Mender<'a> {
    source: &'a str,
    /// Whether it was taken before.
    is_stored: bool,
}

impl VisitorMut for Mender<'_> {
    type Break = QueryError;

    fn pre_visit_statement(&mut self, statement: &mut Statement) -> ControlFlow<QueryError> {
        let target = match statement {
            Statement::Delete(delete) => deleted_from(delete),
            Statement::Update(update) => Some(&update.table),
            _ => None,
        };
        let sample = target.and_then(|target| sample_of(&target.relation));
        let word = |sample: &TableSample| if time_of(sample).is_some() { "SYSTEM_TIME" } else { "TABLESAMPLE" };
        self.refuse(sample.map(|sample| self.syntax_error_at_word(word(sample))))
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        if self.is_stored {
            parentheses::remove_needless(query);
        } else if let Err(error) = parentheses::remove(query, self.source) {
            return ControlFlow::Break(error);
        }
        star_syntax::in_values(&mut query.body);
        if query.fetch.is_none() {
            query.fetch = ties(&mut query.limit_clause);
        }
        let alone = query.order_by.is_none() && query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties);
        self.refuse(
            alone.then(|| QueryError::new(ErrorKind::Syntax, "WITH TIES cannot be specified without ORDER BY clause")),
        )
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        select.projection.iter_mut().for_each(star_syntax::in_item);
        if let GroupByExpr::Expressions(items, _) = &mut select.group_by
            && items.first().is_some_and(|first| is_call(first, DISTINCT_SETS))
        {
            *items = distinct_sets(items.split_off(1));
        }
        let foreign = self.foreign_clause(select);
        self.refuse(foreign)
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } = factor {
            unqualify_function(name);
        }
        let Some(sample) = sample_of(factor) else { return ControlFlow::Continue(()) };
        let table = matches!(factor, TableFactor::Table { args: None, .. });
        if let Some(time) = time_of(sample).cloned() {
            return self.past(factor, time);
        }
        let problem = if !table || sample.modifier != TableSampleModifier::TableSample {
            Some(self.syntax_error_at_word("TABLESAMPLE"))
        } else {
            self.sample_problem(sample)
        };
        self.refuse(problem)
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<QueryError> {
        if let Some(spelt) = star_syntax::spelt_out(expression) {
            *expression = spelt;
        }
        if let Expr::Function(function) = expression {
            unqualify_function(&mut function.name);
        }
        let Expr::Array(array) = expression else { return ControlFlow::Continue(()) };
        if array.named {
            // Brackets inside of ARRAY's are its rows.
            for row in &mut array.elem {
                if let Expr::Array(row) = row {
                    row.named = true;
                }
            }
            return ControlFlow::Continue(());
        }
        let inside = position_of(self.source, array.span().start);
        let error = QueryError::new(ErrorKind::Syntax, "syntax error at or near \"[\"");
        ControlFlow::Break(error.position(inside.map(|place| place.saturating_sub(1))))
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<QueryError> {
        if let Expr::Between { expr, negated, low, high } = expression
            && let Some(low) = argument_of(low, SYMMETRIC)
        {
            *expression = symmetric(expr, *negated, low, high);
        }
        if let Expr::InList { list, .. } = expression
            && let Some(first) = list.first_mut()
            && let Some(query) = argument_of(first, IN_LIST)
        {
            *first = query;
        }
        ControlFlow::Continue(())
    }
}

impl Mender<'_> {
    fn refuse(&self, error: Option<QueryError>) -> ControlFlow<QueryError> {
        error.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }

    /// `syntax error at or near "x"`, where x is the word or sign that stands at a span's start.
    fn syntax_error(&self, span: Span) -> QueryError {
        let text = self.source.get(byte_offset(self.source, span.start)..).unwrap_or_default();
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let letters = text.chars().take_while(|letter| is_part(*letter)).map(char::len_utf8).sum::<usize>();
        let word = if letters > 0 { &text[..letters] } else { text.get(..1).unwrap_or_default() };
        QueryError::new(ErrorKind::Syntax, format!("syntax error at or near \"{word}\""))
            .position(position_of(self.source, span.start))
    }

    /// The same at the first place where the text has a word that the tree has lost.
    fn syntax_error_at_word(&self, word: &str) -> QueryError {
        let found = self.source.to_uppercase().find(word).filter(|_| self.source.is_ascii());
        QueryError::new(ErrorKind::Syntax, format!("syntax error at or near \"{word}\""))
            .position(found.map(|byte| byte + 1))
    }

    /// Clauses that sqlparser takes for any database.
    fn foreign_clause(&self, select: &Select) -> Option<QueryError> {
        if let Some(SelectItem::Wildcard(star)) = select.projection.iter().find(|item| is_star(item))
            && select.from.is_empty()
        {
            let place = position_of(self.source, star.wildcard_token.0.span.start);
            let message = "SELECT * with no tables specified is not valid";
            return Some(QueryError::new(ErrorKind::Syntax, message).position(place));
        }
        if let Some(into) = &select.into {
            let place = position_of(self.source, into.name.span().start);
            return Some(QueryError::new(ErrorKind::Syntax, "SELECT ... INTO is not allowed here").position(place));
        }
        let starred = select.projection.iter().find_map(|item| match item {
            SelectItem::Wildcard(star) | SelectItem::QualifiedWildcard(_, star) => Some(star),
            _ => None,
        });
        let changed = starred.is_some_and(|star| {
            star.opt_ilike.is_some()
                || star.opt_exclude.is_some()
                || star.opt_except.is_some()
                || star.opt_replace.is_some()
                || star.opt_rename.is_some()
                || star.opt_alias.is_some()
        });
        if let Some(star) = starred.filter(|_| changed) {
            return Some(self.syntax_error(star.wildcard_token.0.span));
        }
        let aliases = select.projection.iter().any(|item| matches!(item, SelectItem::ExprWithAliases { .. }));
        let foreign = aliases
            || select.qualify.is_some()
            || select.prewhere.is_some()
            || select.top.is_some()
            || select.exclude.is_some()
            || select.value_table_mode.is_some()
            || !select.connect_by.is_empty()
            || !select.lateral_views.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || matches!(select.group_by, GroupByExpr::All(_))
            || select.from.iter().flat_map(|from| &from.joins).any(is_foreign_join);
        foreign.then(|| self.syntax_error(select.select_token.0.span))
    }

    fn past(&self, factor: &mut TableFactor, time: Expr) -> ControlFlow<QueryError> {
        let TableFactor::Table { version, sample, args: None, .. } = factor else {
            return ControlFlow::Break(QueryError::unsupported("FOR SYSTEM_TIME of anything but tables and views"));
        };
        (*version, *sample) = (Some(TableVersion::ForSystemTimeAsOf(time)), None);
        ControlFlow::Continue(())
    }

    fn sample_problem(&self, sample: &TableSample) -> Option<QueryError> {
        let plain = sample.bucket.is_none()
            && sample.offset.is_none()
            && sample.quantity.as_ref().is_some_and(|quantity| quantity.parenthesized && quantity.unit.is_none());
        let known = matches!(sample.name, Some(TableSampleMethod::Bernoulli | TableSampleMethod::System));
        (!plain || !known).then(|| self.syntax_error_at_word("TABLESAMPLE"))
    }
}

fn unqualify_function(name: &mut ObjectName) {
    let last = name.0.last().and_then(|part| part.as_ident()).map(fold);
    if name.0.len() > 1 && last.is_some_and(|last| !WORDED.contains(&last.as_str())) {
        unqualify(name);
    }
}

fn is_star(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_))
}

fn deleted_from(delete: &Delete) -> Option<&TableWithJoins> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    from.first()
}

fn sample_of(factor: &TableFactor) -> Option<&TableSample> {
    match factor {
        TableFactor::Table { sample: Some(sample), .. } | TableFactor::Derived { sample: Some(sample), .. } => {
            let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample;
            Some(sample)
        }
        _ => None,
    }
}

/// The time of what is FOR SYSTEM_TIME AS OF in the client's text.
fn time_of(sample: &TableSample) -> Option<&Expr> {
    let Some(Expr::Function(call)) = sample.quantity.as_ref().map(|quantity| &quantity.value) else { return None };
    let is_time = call.name.0.last().and_then(|part| part.as_ident()).is_some_and(|name| name.value == SYSTEM_TIME);
    match &call.args {
        FunctionArguments::List(list) if is_time => match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(time))] => Some(time),
            _ => None,
        },
        _ => None,
    }
}

fn is_foreign_join(join: &Join) -> bool {
    use JoinOperator::{CrossJoin, FullOuter, Inner, Join as Plain, Left, LeftOuter, Right, RightOuter};
    let known = matches!(
        join.join_operator,
        Plain(_) | Inner(_) | Left(_) | LeftOuter(_) | Right(_) | RightOuter(_) | FullOuter(_) | CrossJoin(_)
    );
    join.global || !known
}

/// The argument of a call that the tokens were given, which is taken out of it.
fn argument_of(expression: &mut Expr, name: &str) -> Option<Expr> {
    if !is_call(expression, name) {
        return None;
    }
    let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = expression else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => Some(argument.clone()),
        _ => None,
    }
}

/// Whether an expression is the call of this name that the tokens have made.
fn is_call(expression: &Expr, name: &str) -> bool {
    let Expr::Function(function) = expression else { return false };
    match function.name.0.as_slice() {
        [part] => part.as_ident().is_some_and(|ident| ident.quote_style == Some('"') && ident.value == name),
        _ => false,
    }
}

/// `x BETWEEN a AND b OR x BETWEEN b AND a`
fn symmetric(value: &Expr, negated: bool, low: Expr, high: &Expr) -> Expr {
    let between = |low: Expr, high: Expr| {
        Box::new(Expr::Between { expr: Box::new(value.clone()), negated, low: Box::new(low), high: Box::new(high) })
    };
    let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
    let (left, right) = (between(low.clone(), high.clone()), between(high.clone(), low));
    Expr::Nested(Box::new(Expr::BinaryOp { left, op, right }))
}

/// A limit that takes ties along is the query's FETCH.
fn ties(clause: &mut Option<LimitClause>) -> Option<Fetch> {
    let Some(LimitClause::LimitOffset { limit, offset, .. }) = clause else { return None };
    let count = argument_of(limit.as_mut()?, WITH_TIES)?;
    *limit = None;
    if offset.is_none() {
        *clause = None;
    }
    let plain = matches!(count, Expr::Value(_) | Expr::Nested(_));
    let quantity = if plain { count } else { Expr::Nested(Box::new(count)) };
    Some(Fetch { with_ties: true, percent: false, quantity: Some(quantity) })
}
