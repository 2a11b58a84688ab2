//! Fields of rows that are written out: `(ROW(a, b)).f2` is `b`.
//!
//! PostgreSQL calls the fields of such a row `f1`, `f2`, …; of what is no row here [`crate::operators`] says so.

use super::rows::parts;
use super::trees::{bare, nested};
use super::windows::Context;
use crate::error::{ErrorKind, QueryError};
use crate::output_names::output_name;
use crate::query_places::place_of;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{AccessExpr, Expr, Ident, Select, SelectItem};

/// Names the outputs of a SELECT that are fields of rows, and puts these in their place: what is left of a row in a select list is a
/// text.
pub(super) fn in_select(select: &mut Select, context: Context<'_>) -> Result<(), QueryError> {
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(shown) | SelectItem::ExprWithAlias { expr: shown, .. }) = &*item else { continue };
        let Some(field) = spelt_out(shown, context)? else { continue };
        let alias = match &*item {
            SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
            _ => Ident::with_quote('"', output_name(shown)),
        };
        *item = SelectItem::ExprWithAlias { expr: bare(&field).clone(), alias };
    }
    Ok(())
}

/// The field of a row that an expression is.
pub(super) fn spelt_out(expression: &Expr, context: Context<'_>) -> Result<Option<Expr>, QueryError> {
    let Expr::CompoundFieldAccess { root, access_chain } = bare(expression) else { return Ok(None) };
    let ([AccessExpr::Dot(Expr::Identifier(field)), rest @ ..], Some(parts)) = (access_chain.as_slice(), parts(root))
    else {
        return Ok(None);
    };
    let name = fold(field);
    let number = name.strip_prefix('f').and_then(|number| number.parse::<usize>().ok());
    let Some(part) = number.and_then(|number| parts.into_iter().nth(number.checked_sub(1)?)) else {
        let message = format!("could not identify column \"{name}\" in record data type");
        let place = context.statement.and_then(|statement| place_of(statement, bare(root)));
        return Err(QueryError::new(ErrorKind::UndefinedColumn, message).position(place));
    };
    if rest.is_empty() {
        return Ok(Some(nested(part)));
    }
    let inner = Expr::CompoundFieldAccess { root: Box::new(nested(part)), access_chain: rest.to_vec() };
    Ok(Some(spelt_out(&inner, context)?.unwrap_or(inner)))
}
