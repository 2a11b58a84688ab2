//! verify_materialized_view in FROM: its argument is known when the statement is planned, so no column of another relation can be.

use super::windows::Context;
use crate::error::QueryError;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_expressions;
use crate::view_verification::VERIFY;
use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Spanned, TableFactor};
use std::ops::ControlFlow;

/// Refuses a call whose argument hangs on rows; it spells nothing anew.
pub(super) fn spelt_out(factor: &TableFactor, context: Context<'_>) -> Result<Option<TableFactor>, QueryError> {
    let (name, arguments) = match factor {
        TableFactor::Table { name, args: Some(arguments), .. } => (name, &arguments.args),
        TableFactor::Function { name, args, .. } => (name, args),
        _ => return Ok(None),
    };
    let is_meant = matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|name| fold(name) == VERIFY));
    if !is_meant || !arguments.iter().any(hangs_on_rows) {
        return Ok(None);
    }
    let place = context.statement.and_then(|statement| statement.place_of(name.span()));
    Err(QueryError::unsupported(format!("an argument of {VERIFY} that is no constant"))
        .hint(format!("Without an argument {VERIFY}() verifies all views, and names them."))
        .position(place))
}

fn hangs_on_rows(argument: &FunctionArg) -> bool {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = argument else { return false };
    let found = walk_expressions(value, |part| match part {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
