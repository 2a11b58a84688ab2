//! Parentheses around a whole query: what stands behind them belongs to the query in them.
//!
//!     (SELECT a FROM t LIMIT 2) OFFSET 1     ▶   SELECT a FROM t LIMIT 2 OFFSET 1
//!
//! No clause may stand both inside and outside. The sides of UNION and the like stay queries of their own. Definitions of views that are
//! kept from earlier versions may have such clauses: the parentheses between these stay.

use crate::error::{ErrorKind, QueryError};
use crate::statement::position_of;
use datafusion::sql::sqlparser::ast::{Expr, LimitClause, Offset, Query, SetExpr, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::mem::take;

/// Takes the parentheses away that a query's body is in.
pub(super) fn remove(query: &mut Query, source: &str) -> Result<(), QueryError> {
    while let SetExpr::Query(inner) = query.body.as_mut() {
        let inner = inner.as_mut().clone();
        merge(query, inner).map_err(|(clause, span)| {
            let message = format!("multiple {clause} clauses not allowed");
            QueryError::new(ErrorKind::Syntax, message).position(position_of(source, span.start))
        })?;
    }
    Ok(())
}

/// The same where no clause is there twice.
pub(super) fn remove_needless(query: &mut Query) {
    while let SetExpr::Query(inner) = query.body.as_mut() {
        let inner = inner.as_mut().clone();
        if merge(query, inner).is_err() {
            return;
        }
    }
}

/// Puts the clauses of a query in parentheses to those around it. An error names a clause that is there twice.
fn merge(query: &mut Query, inner: Query) -> Result<(), (&'static str, Span)> {
    if let (Some(outer), Some(_)) = (&query.order_by, &inner.order_by) {
        return Err(("ORDER BY", outer.span()));
    }
    let limits = merged_limits(query, &inner)?;
    if let (Some(outer), Some(_)) = (&query.with, &inner.with) {
        return Err(("WITH", outer.with_token.0.span));
    }
    let mut locks = inner.locks;
    locks.append(&mut take(&mut query.locks));
    *query = Query {
        with: query.with.take().or(inner.with),
        order_by: query.order_by.take().or(inner.order_by),
        limit_clause: limits,
        fetch: query.fetch.take().or(inner.fetch),
        locks,
        ..inner
    };
    Ok(())
}

fn merged_limits(query: &Query, inner: &Query) -> Result<Option<LimitClause>, (&'static str, Span)> {
    let (limit, offset) = limits(query);
    let (inner_limit, inner_offset) = limits(inner);
    if let (Some(outer), Some(_)) = (offset, inner_offset) {
        return Err(("OFFSET", outer.span()));
    }
    let span = limit.map(Spanned::span).or(query.fetch.as_ref().map(Spanned::span));
    if let Some(span) = span
        && (inner_limit.is_some() || inner.fetch.is_some())
    {
        return Err(("LIMIT", span));
    }
    let (limit, offset) = (limit.or(inner_limit).cloned(), offset.or(inner_offset).cloned());
    let is_any = limit.is_some() || offset.is_some();
    Ok(is_any.then_some(LimitClause::LimitOffset { limit, offset, limit_by: Vec::new() }))
}

fn limits(query: &Query) -> (Option<&Expr>, Option<&Offset>) {
    match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => (limit.as_ref(), offset.as_ref()),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests;
