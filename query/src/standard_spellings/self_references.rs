//! Where a recursive query may name itself, as PostgreSQL's `parse_cte.c` has it.
//!
//!     WITH RECURSIVE r AS (first UNION ALL second)
//!
//! The second term names `r` once, among its tables. It does not in a subquery of an expression, nor where an outer join or EXCEPT
//! asks for rows that are not there, because later rows would take back what was given. No aggregate is over `r` for the same reason.

use super::windows::Context;
use crate::error::{ErrorKind, QueryError};
use crate::query_places::{call_in, is_aggregate_call, place_of};
use crate::statement_grammar::fold;
use crate::syntax_walks::walk;
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Ident, Join, JoinOperator, LimitClause, ObjectName, OrderByKind, Query, Select, SelectItem, SetExpr,
    SetOperator, SetQuantifier, TableFactor, Visit, Visitor,
};
use std::ops::ControlFlow;

/// Refuses a recursive query that names itself where it must not. The answer is whether it names itself at all.
pub(super) fn check(table: &Cte, context: Context<'_>) -> Result<bool, QueryError> {
    let name = fold(&table.alias.name);
    let query = table.query.as_ref();
    if references(&name, |finder| finder.query(query, Place::Allowed)).is_empty() {
        return Ok(false);
    }
    let SetExpr::SetOperation { op: SetOperator::Union, left, right, .. } = query.body.as_ref() else {
        let message =
            format!("recursive query \"{name}\" does not have the form non-recursive-term UNION [ALL] recursive-term");
        return Err(recursion(message).position(place(&table.alias.name, context)));
    };
    let within = |words: &str, named: &Ident| {
        let message = format!("recursive reference to query \"{name}\" must not appear within {words}");
        Err(recursion(message).position(place(named, context)))
    };
    if let Some(with) = &query.with
        && let Some((_, named)) = references(&name, |finder| finder.expressions(with)).first()
    {
        return within(Place::Subquery.words(), named);
    }
    refuse_decoration(query, context)?;
    if let Some((known, named)) = references(&name, |finder| finder.body(left, Place::Allowed)).first() {
        return within(if *known == Place::Allowed { "its non-recursive term" } else { known.words() }, named);
    }
    for (number, (known, named)) in references(&name, |finder| finder.body(right, Place::Allowed)).iter().enumerate() {
        if *known != Place::Allowed {
            return within(known.words(), named);
        }
        if number > 0 {
            let message = format!("recursive reference to query \"{name}\" must not appear more than once");
            return Err(recursion(message).position(place(named, context)));
        }
    }
    let is_aggregate = |name: &str| context.is_aggregate(name);
    let mut aggregates = Aggregates { name: &name, hidden: 0, is_aggregate: &is_aggregate };
    if let ControlFlow::Break(call) = walk(right.as_ref(), &mut aggregates) {
        let message = "aggregate functions are not allowed in a recursive query's recursive term";
        return Err(recursion(message).position(expression_place(&call, context)));
    }
    Ok(true)
}

/// Whether a query names a relation, which none of its own WITH hides.
pub(super) fn names(query: &Query, name: &str) -> bool {
    !references(name, |finder| finder.query(query, Place::Allowed)).is_empty()
}

fn recursion(message: impl Into<String>) -> QueryError {
    QueryError::new(ErrorKind::InvalidRecursion, message)
}

fn place(name: &Ident, context: Context<'_>) -> Option<usize> {
    context.statement?.place_of(name.span)
}

fn expression_place(expression: &Expr, context: Context<'_>) -> Option<usize> {
    place_of(context.statement?, expression)
}

/// What stands behind the UNION would be of all rows, which are never there together.
fn refuse_decoration(query: &Query, context: Context<'_>) -> Result<(), QueryError> {
    let order = query.order_by.as_ref().map(|order| match &order.kind {
        OrderByKind::Expressions(items) => items.first().map(|item| &item.expr),
        _ => None,
    });
    let (offset, limit) = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            (offset.as_ref().map(|offset| &offset.value), limit.as_ref())
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(offset), Some(limit)),
        None => (None, None),
    };
    let limit = match (limit, &query.fetch) {
        (None, Some(fetch)) => Some(fetch.quantity.as_ref()),
        (limit, _) => limit.map(Some),
    };
    let locks = (!query.locks.is_empty()).then_some(None);
    let clauses = [("ORDER BY", order), ("OFFSET", offset.map(Some)), ("LIMIT", limit), ("FOR UPDATE/SHARE", locks)];
    match clauses.into_iter().find_map(|(clause, there)| there.map(|expression| (clause, expression))) {
        None => Ok(()),
        Some((clause, expression)) => {
            let message = format!("{clause} in a recursive query is not implemented");
            let place = expression.and_then(|expression| expression_place(expression, context));
            Err(QueryError::new(ErrorKind::FeatureNotSupported, message).position(place))
        }
    }
}

/// What is around a name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Allowed,
    /// A subquery of an expression.
    Subquery,
    /// The side of an outer join that may have no row.
    OuterJoin,
    Intersect,
    Except,
}

impl Place {
    fn words(self) -> &'static str {
        match self {
            Self::Allowed | Self::Subquery => "a subquery",
            Self::OuterJoin => "an outer join",
            Self::Intersect => "INTERSECT",
            Self::Except => "EXCEPT",
        }
    }

    /// The same on a side that may have no row.
    fn of_missing(self) -> Self {
        if self == Self::Allowed { Self::OuterJoin } else { self }
    }
}

/// Where a relation is named in what is walked, in the order of PostgreSQL's walk.
fn references(name: &str, walk: impl FnOnce(&mut Finder<'_>)) -> Vec<(Place, Ident)> {
    let mut finder = Finder { name, found: Vec::new() };
    walk(&mut finder);
    finder.found
}

struct Finder<'a> {
    name: &'a str,
    found: Vec<(Place, Ident)>,
}

impl Finder<'_> {
    fn query(&mut self, query: &Query, place: Place) {
        if let Some(with) = &query.with {
            if with.recursive && hides(query, self.name) {
                return;
            }
            for table in &with.cte_tables {
                self.query(&table.query, place);
                if fold(&table.alias.name) == self.name {
                    return;
                }
            }
        }
        self.body(&query.body, place);
        self.expressions(&query.order_by);
        self.expressions(&query.limit_clause);
    }

    fn body(&mut self, body: &SetExpr, place: Place) {
        match body {
            SetExpr::Select(select) => self.select(select, place),
            SetExpr::Query(query) => self.query(query, place),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let is_all = *set_quantifier == SetQuantifier::All;
                let (on_left, on_right) = match op {
                    SetOperator::Intersect if is_all => (Place::Intersect, Place::Intersect),
                    SetOperator::Except if is_all => (Place::Except, Place::Except),
                    SetOperator::Except => (place, Place::Except),
                    _ => (place, place),
                };
                self.body(left, on_left);
                self.body(right, on_right);
            }
            other => self.expressions(other),
        }
    }

    fn select(&mut self, select: &Select, place: Place) {
        self.expressions(&select.distinct);
        self.expressions(&select.projection);
        for tables in &select.from {
            self.joined(&tables.relation, &tables.joins, place);
        }
        self.expressions(&select.selection);
        self.expressions(&select.group_by);
        self.expressions(&select.having);
        self.expressions(&select.named_window);
    }

    /// The last join has all that stands before it on its left side.
    fn joined(&mut self, first: &TableFactor, joins: &[Join], place: Place) {
        use JoinOperator::{FullOuter, Left, LeftOuter, Right, RightOuter};
        let Some((last, before)) = joins.split_last() else { return self.factor(first, place) };
        let missing = place.of_missing();
        let (on_left, on_right) = match &last.join_operator {
            Left(_) | LeftOuter(_) => (place, missing),
            Right(_) | RightOuter(_) => (missing, place),
            FullOuter(_) => (missing, missing),
            _ => (place, place),
        };
        self.joined(first, before, on_left);
        self.factor(&last.relation, on_right);
        self.expressions(&last.join_operator);
    }

    fn factor(&mut self, factor: &TableFactor, place: Place) {
        match factor {
            TableFactor::Table { name, args: None, .. } => {
                if let Some(named) = named(name, self.name) {
                    self.found.push((place, named.clone()));
                }
            }
            TableFactor::Derived { subquery, .. } => self.query(subquery, place),
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.joined(&table_with_joins.relation, &table_with_joins.joins, place);
            }
            other => self.expressions(other),
        }
    }

    /// The subqueries of expressions.
    fn expressions(&mut self, part: &impl Visit) {
        let mut finder = InExpressions { name: self.name, hidden: 0, found: &mut self.found };
        let _ = walk(part, &mut finder);
    }
}

/// The name of a relation, if it is that one.
fn named<'a>(relation: &'a ObjectName, name: &str) -> Option<&'a Ident> {
    let [part] = relation.0.as_slice() else { return None };
    part.as_ident().filter(|ident| fold(ident) == name)
}

/// Whether a query's own WITH has another relation of that name.
fn hides(query: &Query, name: &str) -> bool {
    query.with.iter().flat_map(|with| &with.cte_tables).any(|table| fold(&table.alias.name) == name)
}

struct InExpressions<'a> {
    name: &'a str,
    /// Queries around the place that have another relation of the name.
    hidden: usize,
    found: &'a mut Vec<(Place, Ident)>,
}

impl Visitor for InExpressions<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.hidden += usize::from(hides(query, self.name));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.hidden -= usize::from(hides(query, self.name));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if let Some(named) = named(relation, self.name).filter(|_| self.hidden == 0) {
            self.found.push((Place::Subquery, named.clone()));
        }
        ControlFlow::Continue(())
    }
}

/// Finds an aggregate over the recursive query's rows.
struct Aggregates<'a> {
    name: &'a str,
    /// Queries around the place that have another relation of the name.
    hidden: usize,
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl Aggregates<'_> {
    fn is_over(&self, factor: &TableFactor) -> bool {
        match factor {
            TableFactor::Table { name, args: None, .. } => named(name, self.name).is_some(),
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.is_over(&table_with_joins.relation)
                    || table_with_joins.joins.iter().any(|join| self.is_over(&join.relation))
            }
            _ => false,
        }
    }
}

impl Visitor for Aggregates<'_> {
    type Break = Expr;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Expr> {
        self.hidden += usize::from(hides(query, self.name));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Expr> {
        self.hidden -= usize::from(hides(query, self.name));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Expr> {
        let mut tables = select
            .from
            .iter()
            .flat_map(|tables| std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation)));
        if self.hidden > 0 || !tables.any(|factor| self.is_over(factor)) {
            return ControlFlow::Continue(());
        }
        let items = select.projection.iter().filter_map(|item| match item {
            SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
                Some(expression)
            }
            _ => None,
        });
        let mut expressions = items.chain(&select.having);
        match expressions.find_map(|expression| call_in(expression, |call| is_aggregate_call(call, self.is_aggregate)))
        {
            Some(call) => ControlFlow::Break(call),
            None => ControlFlow::Continue(()),
        }
    }
}
