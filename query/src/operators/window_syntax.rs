//! Window functions that the planner knows in other words.
//!
//!     ntile(4) OVER w                             ntile(4) OVER w as an integer
//!     sum(x) OVER ("exclude ties" ORDER BY …)     "sum⌑exclude ties"(x) OVER (ORDER BY …), see `functions/excluded_frames`

use super::sites::{LITERAL_INT4, marked};
use crate::error::QueryError;
use crate::functions::excluded_frames::{Exclusion, ignores_frames};
use crate::functions::json;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Value, WindowType,
};

/// Gives a call whose frame leaves rows out the name of the function that does.
pub(super) fn name_exclusion(function: &mut Function) -> Result<(), QueryError> {
    let Some(WindowType::WindowSpec(window)) = &mut function.over else { return Ok(()) };
    let mark = window.window_name.take();
    let Some((_, exclusion)) = mark.as_ref().and_then(|mark| Exclusion::of_name(&mark.value)) else { return Ok(()) };
    let name = function.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
    if ignores_frames(&name) {
        return Ok(());
    }
    if json::AGGREGATES.iter().any(|(known, _)| *known == name) {
        return Err(QueryError::unsupported(format!("EXCLUDE in a window frame of {name}")));
    }
    let filter = function.filter.take();
    if let FunctionArguments::List(list) = &mut function.args {
        for argument in &mut list.args {
            if let FunctionArg::Unnamed(every @ FunctionArgExpr::Wildcard) = argument {
                *every = FunctionArgExpr::Expr(Expr::Value(Value::Boolean(true).into()));
            }
        }
        let filter = filter.iter().map(|filter| FunctionArg::Unnamed(FunctionArgExpr::Expr(filter.as_ref().clone())));
        list.args.extend(filter);
    }
    let name = exclusion.function_name(&name, filter.is_some());
    function.name = ObjectName::from(vec![Ident::with_quote('"', name)]);
    Ok(())
}

/// A call with OVER said otherwise; `None` where it stays as it is.
pub(super) fn spelt_out(function: &Function, name: &str) -> Option<Expr> {
    function.over.as_ref()?;
    match name {
        "ntile" => Some(marked(Expr::Function(function.clone()), LITERAL_INT4)),
        _ => None,
    }
}
