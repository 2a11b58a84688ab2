//! Expressions of a tree, with the number of queries around each: what stands in a query means that query's relations first.

use crate::syntax_walks::{walk, walk_mut};
use datafusion::sql::sqlparser::ast::{Expr, Query, Visit, VisitMut, Visitor, VisitorMut};
use std::marker::PhantomData;
use std::ops::ControlFlow;

/// Calls `visit` with each expression of a tree, outer ones first, and the number of queries around it, until one breaks off.
pub(crate) fn each_expr<B>(tree: &impl Visit, visit: impl FnMut(&Expr, usize) -> ControlFlow<B>) -> ControlFlow<B> {
    walk(tree, &mut Counting { queries: 0, visit, broken: PhantomData })
}

/// The same for a tree that is changed. What `visit` puts in an expression's place is visited below.
pub(crate) fn each_expr_mut<B>(
    tree: &mut impl VisitMut,
    visit: impl FnMut(&mut Expr, usize) -> ControlFlow<B>,
) -> ControlFlow<B> {
    walk_mut(tree, &mut Counting { queries: 0, visit, broken: PhantomData })
}

struct Counting<F, B> {
    /// The queries around what is visited.
    queries: usize,
    visit: F,
    broken: PhantomData<B>,
}

impl<B, F: FnMut(&Expr, usize) -> ControlFlow<B>> Visitor for Counting<F, B> {
    type Break = B;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<B> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<B> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<B> {
        (self.visit)(expression, self.queries)
    }
}

impl<B, F: FnMut(&mut Expr, usize) -> ControlFlow<B>> VisitorMut for Counting<F, B> {
    type Break = B;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<B> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<B> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<B> {
        (self.visit)(expression, self.queries)
    }
}
