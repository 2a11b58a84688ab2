//! Walks over syntax trees: sqlparser's visitors, compiled once.
//!
//! sqlparser compiles a walk through all of its syntax, some thousand functions, for each type of visitor. With more than a hundred visitors
//! that was four fifths of what the compiler made of this crate. Here every visitor stands behind a pointer:
//!
//! ```text
//!     walk(tree, visitor) ──▶ Visit::visit for Hooks, the one type it is compiled for ──▶ visitor
//! ```
//!
//! What a visitor breaks off with stays beside it, so it has no place on the stack of a deep walk either.

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};
use std::ops::ControlFlow;

/// Shows a tree to a visitor, outer parts first, until it breaks off.
#[allow(clippy::disallowed_methods, reason = "the one walk that others go through")]
pub(crate) fn walk<V: Visitor>(tree: &impl Visit, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut kept = Kept { visitor, broken: None };
    let _ = tree.visit(&mut Hooks(&mut kept));
    kept.broken.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// The same for a visitor that may change the tree.
#[allow(clippy::disallowed_methods, reason = "the one walk that others go through")]
pub(crate) fn walk_mut<V: VisitorMut>(tree: &mut impl VisitMut, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut kept = Kept { visitor, broken: None };
    let _ = tree.visit(&mut HooksMut(&mut kept));
    kept.broken.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// Calls `visit` with each expression of a tree, outer ones first, until one breaks off.
pub(crate) fn walk_expressions<B>(tree: &impl Visit, visit: impl FnMut(&Expr) -> ControlFlow<B>) -> ControlFlow<B> {
    walk(tree, &mut Expressions(visit))
}

/// Calls `visit` with each expression of a tree that may be changed, inner ones first, until one breaks off.
pub(crate) fn walk_expressions_mut<B>(
    tree: &mut impl VisitMut,
    visit: impl FnMut(&mut Expr) -> ControlFlow<B>,
) -> ControlFlow<B> {
    walk_mut(tree, &mut Expressions(visit))
}

/// Calls `visit` with the name of each relation of a tree, until one breaks off.
pub(crate) fn walk_relations<B>(tree: &impl Visit, visit: impl FnMut(&ObjectName) -> ControlFlow<B>) -> ControlFlow<B> {
    walk(tree, &mut Relations(visit))
}

struct Expressions<F>(F);

impl<B, F: FnMut(&Expr) -> ControlFlow<B>> Visitor for Expressions<F> {
    type Break = B;

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<B> {
        (self.0)(expression)
    }
}

impl<B, F: FnMut(&mut Expr) -> ControlFlow<B>> VisitorMut for Expressions<F> {
    type Break = B;

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<B> {
        (self.0)(expression)
    }
}

struct Relations<F>(F);

impl<B, F: FnMut(&ObjectName) -> ControlFlow<B>> Visitor for Relations<F> {
    type Break = B;

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<B> {
        (self.0)(name)
    }
}

/// A visitor and what it broke off with.
struct Kept<'a, V, B> {
    visitor: &'a mut V,
    broken: Option<B>,
}

type Shown<'a, T> = &'a T;
type Lent<'a, T> = &'a mut T;

/// The hooks of a visitor whose break is kept beside it.
macro_rules! hooks_behind_a_pointer {
    ($pointer:ident, $walked:ident, $visitor:ident, $given:ident, $($hook:ident($node:ty);)*) => {
        trait $walked {
            $(fn $hook(&mut self, node: $given<'_, $node>) -> ControlFlow<()>;)*
        }

        impl<V: $visitor> $walked for Kept<'_, V, V::Break> {
            $(fn $hook(&mut self, node: $given<'_, $node>) -> ControlFlow<()> {
                let ControlFlow::Break(broken) = self.visitor.$hook(node) else { return ControlFlow::Continue(()) };
                self.broken = Some(broken);
                ControlFlow::Break(())
            })*
        }

        struct $pointer<'a>(&'a mut dyn $walked);

        impl $visitor for $pointer<'_> {
            type Break = ();

            $(fn $hook(&mut self, node: $given<'_, $node>) -> ControlFlow<()> {
                self.0.$hook(node)
            })*
        }
    };
}

macro_rules! hooks_of_all_nodes {
    ($pointer:ident, $walked:ident, $visitor:ident, $given:ident) => {
        hooks_behind_a_pointer! {
            $pointer, $walked, $visitor, $given,
            pre_visit_query(Query);
            post_visit_query(Query);
            pre_visit_select(Select);
            post_visit_select(Select);
            pre_visit_relation(ObjectName);
            post_visit_relation(ObjectName);
            pre_visit_table_factor(TableFactor);
            post_visit_table_factor(TableFactor);
            pre_visit_expr(Expr);
            post_visit_expr(Expr);
            pre_visit_statement(Statement);
            post_visit_statement(Statement);
            pre_visit_value(ValueWithSpan);
            post_visit_value(ValueWithSpan);
        }
    };
}

hooks_of_all_nodes!(Hooks, Hooked, Visitor, Shown);
hooks_of_all_nodes!(HooksMut, HookedMut, VisitorMut, Lent);
