//! What only a query's syntax tree can say of its errors: where they stand, and what the planner does not mind.
//!
//! The planner works on a rewritten tree and many of its errors come without a position. [`refined`] looks the place up in the tree
//! that the client wrote. It also refuses FROM lists in which two tables have one name, which the planner notices only where
//! their columns collide.

use crate::error::{ErrorKind, QueryError};
use crate::statement::Statement;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, Spanned, TableAlias, TableFactor,
    TableWithJoins, UnaryOperator, Value, Visit, Visitor,
};
use std::ops::ControlFlow;

/// Whether a name is an aggregate's.
type IsAggregate<'a> = &'a dyn Fn(&str) -> bool;

/// The outcome of planning `query`, with an error as PostgreSQL gives it.
pub(crate) fn refined<T>(
    outcome: Result<T, QueryError>,
    query: &Query,
    statement: Option<&Statement>,
    is_aggregate: IsAggregate,
) -> Result<T, QueryError> {
    // PostgreSQL looks up all tables of a FROM list before it compares their names.
    if !matches!(&outcome, Err(error) if error.kind == ErrorKind::UndefinedTable)
        && let Some(name) = doubled_table(query)
    {
        let message = format!("table name \"{name}\" specified more than once");
        return Err(QueryError::new(ErrorKind::DuplicateAlias, message));
    }
    outcome.map_err(|error| match statement {
        Some(statement) if error.position.is_none() => placed(error, query, statement, is_aggregate),
        _ => error,
    })
}

fn placed(error: QueryError, query: &Query, statement: &Statement, is_aggregate: IsAggregate) -> QueryError {
    match error.kind {
        ErrorKind::Grouping if error.column.is_none() => {
            let place = aggregate_in_where(query, is_aggregate).and_then(|call| place_of(statement, &call));
            error.position(place)
        }
        ErrorKind::InvalidColumnReference => {
            let place = ordinal(query, &error.message).and_then(|item| place_of(statement, &item));
            error.position(place)
        }
        ErrorKind::Syntax => match uneven(query) {
            Some((operator, body)) => QueryError {
                message: format!("each {operator} query must have the same number of columns"),
                ..error.position(first_place(statement, &body))
            },
            None => error,
        },
        _ => error,
    }
}

/// Where an expression begins. A minus sign is part of its operand, parentheses are not.
pub(crate) fn place_of(statement: &Statement, expression: &Expr) -> Option<usize> {
    match expression {
        Expr::Nested(inner) => place_of(statement, inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let operand = place_of(statement, expr)?;
            let before: Vec<char> = statement.source.chars().take(operand - 1).collect();
            before.iter().rposition(|character| *character == '-').map(|sign| sign + 1)
        }
        other => statement.place_of(other.span()),
    }
}

/// Where an item of a select list begins.
pub(crate) fn item_place(statement: &Statement, item: &SelectItem) -> Option<usize> {
    match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
            place_of(statement, expression)
        }
        other => statement.place_of(other.span()),
    }
}

/// Where the output column of that index comes from; all columns of a `*` from the `*`.
pub(crate) fn output_place(statement: &Statement, body: &SetExpr, index: usize) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
            let found = select.projection.iter().enumerate().find(|(position, item)| *position == index || star(item));
            item_place(statement, found?.1)
        }
        SetExpr::Values(values) => place_of(statement, values.rows.first()?.get(index)?),
        SetExpr::Query(query) => output_place(statement, &query.body, index),
        _ => None,
    }
}

// ---- positions in the select list ----

/// What ORDER BY or GROUP BY by a number says that no column has.
pub(crate) fn position_message(clause: &str, number: &str) -> String {
    format!("{clause} position {number} is not in select list")
}

/// The item of ORDER BY or GROUP BY that the message is about.
fn ordinal(query: &Query, message: &str) -> Option<Expr> {
    first_of(query, |query| {
        let order = match &query.order_by {
            Some(order) => match &order.kind {
                OrderByKind::Expressions(items) => items.as_slice(),
                OrderByKind::All(_) => &[],
            },
            None => &[],
        };
        let ordered = order.iter().map(|item| ("ORDER BY", &item.expr));
        let grouped = selects(&query.body).into_iter().flat_map(|select| match &select.group_by {
            GroupByExpr::Expressions(items, _) => items.as_slice(),
            GroupByExpr::All(_) => &[],
        });
        let mut all = ordered.chain(grouped.map(|item| ("GROUP BY", item)));
        let found = all.find(|(clause, item)| message == position_message(clause, &item.to_string()));
        found.map(|(_, item)| item.clone())
    })
}

// ---- aggregates ----

/// The first aggregate call in a WHERE.
fn aggregate_in_where(query: &Query, is_aggregate: IsAggregate) -> Option<Expr> {
    first_of(query, |query| {
        let mut conditions = selects(&query.body).into_iter().filter_map(|select| select.selection.as_ref());
        conditions.find_map(|condition| aggregate_in(condition, is_aggregate))
    })
}

fn aggregate_in(expression: &Expr, is_aggregate: IsAggregate) -> Option<Expr> {
    let mut finder = AggregateFinder { is_aggregate, queries: 0 };
    match Visit::visit(expression, &mut finder) {
        ControlFlow::Break(call) => Some(call),
        ControlFlow::Continue(()) => None,
    }
}

struct AggregateFinder<'a> {
    is_aggregate: IsAggregate<'a>,
    /// Subqueries around the expression, whose aggregates are their own.
    queries: usize,
}

impl Visitor for AggregateFinder<'_> {
    type Break = Expr;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Expr> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Expr> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Expr> {
        if let Expr::Function(function) = expression
            && self.queries == 0
            && function.over.is_none()
            && function.name.0.last().and_then(|part| part.as_ident()).is_some_and(|name| (self.is_aggregate)(&fold(name)))
        {
            return ControlFlow::Break(expression.clone());
        }
        ControlFlow::Continue(())
    }
}

// ---- set operations ----

/// A set operation whose sides differ in their number of columns, by its name, and its right side.
fn uneven(query: &Query) -> Option<(&'static str, SetExpr)> {
    first_of(query, |query| uneven_in(&query.body))
}

fn uneven_in(body: &SetExpr) -> Option<(&'static str, SetExpr)> {
    let SetExpr::SetOperation { op, left, right, .. } = body else { return None };
    let inner = uneven_in(left).or_else(|| uneven_in(right));
    inner.or_else(|| {
        // The number of columns of a `*` is not known here. The planner found some operation uneven, so it is this one.
        let even = matches!((width(left), width(right)), (Some(left), Some(right)) if left == right);
        let name = match op {
            SetOperator::Union => "UNION",
            SetOperator::Except | SetOperator::Minus => "EXCEPT",
            SetOperator::Intersect => "INTERSECT",
        };
        (!even).then(|| (name, right.as_ref().clone()))
    })
}

fn width(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let plain = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
            select.projection.iter().all(plain).then_some(select.projection.len())
        }
        SetExpr::Values(values) => values.rows.first().map(|row| row.len()),
        SetExpr::Query(query) => width(&query.body),
        SetExpr::SetOperation { left, .. } => width(left),
        _ => None,
    }
}

fn first_place(statement: &Statement, body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Query(query) => first_place(statement, &query.body),
        SetExpr::SetOperation { left, .. } => first_place(statement, left),
        // PostgreSQL gives no position for VALUES.
        SetExpr::Values(_) => None,
        other => output_place(statement, other, 0),
    }
}

// ---- names of tables ----

/// A name that two tables of one FROM list have.
fn doubled_table(query: &Query) -> Option<String> {
    first_of(query, |query| selects(&query.body).into_iter().find_map(|select| doubled_in(&select.from)))
}

fn doubled_in(from: &[TableWithJoins]) -> Option<String> {
    let mut seen: Vec<TableName> = Vec::new();
    let mut named = Vec::new();
    from.iter().for_each(|tables| collect_names(tables, &mut named));
    for name in named {
        if seen.iter().any(|other| other.collides(&name)) {
            return Some(name.name);
        }
        seen.push(name);
    }
    None
}

struct TableName {
    name: String,
    /// The schema of a table that goes by its own name: tables of two schemas may share one.
    schema: Option<String>,
}

impl TableName {
    fn collides(&self, other: &Self) -> bool {
        self.name == other.name
            && !matches!((&self.schema, &other.schema), (Some(schema), Some(others)) if schema != others)
    }
}

fn collect_names(tables: &TableWithJoins, names: &mut Vec<TableName>) {
    for factor in std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation)) {
        let aliased = |alias: &TableAlias| TableName { name: fold(&alias.name), schema: None };
        match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. } => names.push(aliased(alias)),
            TableFactor::Table { name, alias: None, .. } => {
                let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
                if let Some((last, qualifiers)) = parts.split_last() {
                    names.push(TableName { name: last.clone(), schema: qualifiers.last().cloned() });
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => collect_names(table_with_joins, names),
            _ => {}
        }
    }
}

// ---- walking ----

/// The first thing found in the query or one inside of it, outer ones first.
fn first_of<T>(query: &Query, find: impl FnMut(&Query) -> Option<T>) -> Option<T> {
    match Visit::visit(query, &mut QueryFinder(find)) {
        ControlFlow::Break(found) => Some(found),
        ControlFlow::Continue(()) => None,
    }
}

struct QueryFinder<F>(F);

impl<T, F: FnMut(&Query) -> Option<T>> Visitor for QueryFinder<F> {
    type Break = T;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<T> {
        match (self.0)(query) {
            Some(found) => ControlFlow::Break(found),
            None => ControlFlow::Continue(()),
        }
    }
}

/// The SELECTs that a body consists of, without those of queries inside.
fn selects(body: &SetExpr) -> Vec<&Select> {
    match body {
        SetExpr::Select(select) => vec![select],
        SetExpr::SetOperation { left, right, .. } => [selects(left), selects(right)].concat(),
        _ => Vec::new(),
    }
}
