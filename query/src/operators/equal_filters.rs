//! FILTER clauses and orders of aggregates that say the same.
//!
//! The planner takes equal aggregates for one, but knows their columns by how they print, and the sites in a filter
//! or an order print with their own names. So equal sites there get one name.

use super::call::SiteKind;
use super::sites::{Annotator, Sites, plain_values};
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArgumentClause, FunctionArguments, ObjectName, VisitorMut,
};
use std::collections::HashMap;
use std::ops::ControlFlow;

impl Annotator<'_> {
    /// Gives sites that equal those of earlier filters and orders their names.
    pub(super) fn unify(&mut self, filter: &mut Expr) {
        let mut unifier = Unifier { sites: &self.sites, known: &mut self.in_calls };
        let _ = walk_mut(filter, &mut unifier);
    }

    /// The same in what an aggregate's values are ordered by.
    pub(super) fn unify_orders(&mut self, function: &mut Function) {
        for key in &mut function.within_group {
            self.unify(&mut key.expr);
        }
        let FunctionArguments::List(list) = &mut function.args else { return };
        for clause in &mut list.clauses {
            if let FunctionArgumentClause::OrderBy(keys) = clause {
                keys.iter_mut().for_each(|key| self.unify(&mut key.expr));
            }
        }
    }
}

struct Unifier<'a> {
    sites: &'a Sites,
    known: &'a mut HashMap<(SiteKind, Vec<Expr>), ObjectName>,
}

impl VisitorMut for Unifier<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expression
            && let Some(kind) = self.sites.kind_of(&function.name)
            && let FunctionArguments::List(list) = &function.args
            && let Some(operands) = plain_values(&list.args)
        {
            let name = self.known.entry((kind.clone(), operands)).or_insert_with(|| function.name.clone());
            function.name = name.clone();
        }
        ControlFlow::Continue(())
    }
}
