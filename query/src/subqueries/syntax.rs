//! What the syntax tree has to say about subqueries before DataFusion plans them.
//!
//!     sum(x) FILTER (WHERE EXISTS (…))   the subquery gets a name by its text: DataFusion tells aggregates apart by how they
//!                                        print, and prints every subquery as `<subquery>`
//!     VALUES (a.x), (a.y)                cells that are not constant become calls that hide which column they are
//!     ARRAY[ROW(a.x), ROW(a.y)]          a call in a subquery: DataFusion plans an array's items without the outer query; an array of
//!                                        values becomes a site

use super::passing::{Says, passing};
use crate::operators::array_syntax::is_array_of_values;
use crate::operators::sites::call_quoted;
use crate::syntax_walks::{walk_expressions, walk_mut};
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, SetExpr, Statement, VisitorMut,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

const NAMED: &str = "subquery@";
const CELL: &str = "cell@value";
/// How many counters of calls there are in a query that is no subquery: the statement's and its own.
const SUBQUERY_DEPTH: usize = 2;

/// Rewrites a statement's tree in place.
pub(crate) fn name_subqueries(tree: &mut Statement) {
    let _ = walk_mut(tree, &mut Namer { calls: vec![0] });
}

/// The function of a call that [`name_subqueries`] made.
pub(crate) fn naming_function(name: &str) -> Option<Arc<ScalarUDF>> {
    if name == CELL {
        return Some(passing(name, Says::Cell));
    }
    name.starts_with(NAMED).then(|| passing(name, Says::Named))
}

struct Namer {
    /// For each query around: how many calls of functions are.
    calls: Vec<usize>,
}

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.calls.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.calls.pop();
        hide_cells(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Function(_))
            && let Some(calls) = self.calls.last_mut()
        {
            *calls += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Some(calls) = self.calls.last_mut() else { return ControlFlow::Continue(()) };
        match expr {
            Expr::Function(_) => *calls -= 1,
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                if let Some(subquery) = named(right) {
                    **right = subquery;
                    *expr = with_name(expr.clone());
                }
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } if *calls > 0 => {
                *expr = with_name(expr.clone());
            }
            Expr::Array(array)
                if self.calls.len() > SUBQUERY_DEPTH
                    && array.elem.iter().any(depends_on_columns)
                    && !is_array_of_values(&array.elem) =>
            {
                *expr = call_quoted("make_array", std::mem::take(&mut array.elem));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn with_name(expr: Expr) -> Expr {
    let mut hasher = DefaultHasher::new();
    expr.to_string().hash(&mut hasher);
    call_quoted(&format!("{NAMED}{:x}", hasher.finish()), vec![expr])
}

/// The subquery of a call that gives it a name.
fn named(expr: &Expr) -> Option<Expr> {
    let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr else { return None };
    let is_named = name.0.first().and_then(|part| part.as_ident()).is_some_and(|ident| ident.value.starts_with(NAMED));
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(subquery))] if is_named => Some(subquery.clone()),
        _ => None,
    }
}

fn hide_cells(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => {
            for cell in values.rows.iter_mut().flat_map(|row| &mut row.content) {
                if depends_on_columns(cell) {
                    *cell = call_quoted(CELL, vec![cell.clone()]);
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            hide_cells(left);
            hide_cells(right);
        }
        _ => {}
    }
}

fn depends_on_columns(cell: &Expr) -> bool {
    let names = walk_expressions(cell, |part| match part {
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Subquery(_)
        | Expr::Exists { .. }
        | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    names.is_break()
}
