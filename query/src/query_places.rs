//! What only a query's syntax tree can say of its errors: where they stand, and what the planner does not mind.
//!
//! The planner works on a rewritten tree and many of its errors come without a position. [`refined`] looks the place up in the tree
//! that the client wrote. It also refuses FROM lists in which two tables have one name, which the planner notices only where
//! their columns collide, and aggregates and window functions in clauses that cannot have them, which it notices late or never.

use crate::error::{ErrorKind, QueryError};
use crate::standard_spellings::nesting::each_expr;
use crate::standard_spellings::number_of;
use crate::standard_spellings::order_keys::{ABSENT, absent_key, misplaced_key};
use crate::standard_spellings::trees::{bare, condition_of};
use crate::statement::{Statement, position_of};
use crate::statement_grammar::fold;
use crate::syntax_walks::{walk, walk_expressions};
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, Spanned,
    TableAlias, TableFactor, TableWithJoins, UnaryOperator, Value, ValueWithSpan, Visit, Visitor,
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
    if let Err(told) = &outcome
        && let Some((error, key)) = first_of(query, misplaced_key).filter(|(error, _)| error.message == told.message)
    {
        return Err(error.position(statement.and_then(|statement| place_of(statement, &key))));
    }
    // PostgreSQL looks up tables before it compares their names, and columns and functions before it judges calls.
    if matches!(&outcome, Err(error) if error.kind == ErrorKind::UndefinedTable) {
        return outcome;
    }
    if let Some(name) = doubled_table(query) {
        let message = format!("table name \"{name}\" specified more than once");
        return Err(QueryError::new(ErrorKind::DuplicateAlias, message));
    }
    let unresolved = [ErrorKind::UndefinedColumn, ErrorKind::AmbiguousColumn, ErrorKind::UndefinedFunction];
    if matches!(&outcome, Err(error) if unresolved.contains(&error.kind)) {
        return outcome.map_err(|error| match statement {
            Some(statement) if is_uncompared(&error) => error.position(list_place(query, statement)),
            _ => error,
        });
    }
    if let Some(misplaced) = misplaced_call(query, is_aggregate) {
        let place = statement.and_then(|statement| place_of(statement, &misplaced.call));
        return Err(QueryError::new(misplaced.kind, misplaced.message).position(place));
    }
    // The definition of a view, which is no statement, is planned whatever has become an error since it was taken.
    if statement.is_some()
        && let Some((error, key)) = first_of(query, misplaced_key)
        && outcome.as_ref().err().is_none_or(is_late)
    {
        return Err(error.position(statement.and_then(|statement| place_of(statement, &key))));
    }
    match (outcome, statement) {
        (Err(error), Some(statement)) => Err(placed(error, query, statement)),
        (outcome, _) => outcome,
    }
}

/// Whether what is wrong with a key of ORDER BY goes before what the planner says, which finds what groups lack before it orders, and
/// takes united rows for distinct ones.
fn is_late(told: &QueryError) -> bool {
    told.kind == ErrorKind::Grouping || told.message == ABSENT
}

fn placed(error: QueryError, query: &Query, statement: &Statement) -> QueryError {
    match error.kind {
        ErrorKind::InvalidColumnReference if error.position.is_none() => {
            let item = ordinal(query, &error.message)
                .or_else(|| first_of(query, unordered_distinct))
                .or_else(|| first_of(query, absent_key));
            let place = item.and_then(|item| place_of(statement, &item));
            error.position(place)
        }
        ErrorKind::Syntax if error.message == UNEVEN => match uneven(query) {
            Some((operator, body)) => QueryError {
                message: format!("each {operator} query must have the same number of columns"),
                position: first_place(statement, &body),
                ..error
            },
            None => error,
        },
        ErrorKind::InvalidTextRepresentation
        | ErrorKind::InvalidDatetimeFormat
        | ErrorKind::DatetimeOutOfRange
        | ErrorKind::NumericOutOfRange
            if error.position.is_none() =>
        {
            let literal = unread_literal(query, &error.message);
            error.position(literal.and_then(|literal| place_of(statement, &literal)))
        }
        _ => error,
    }
}

/// The literal of which a message says that it cannot be read, where the tree has it once. What is cast is left out: it tells its place by
/// itself, or is read as a text and cast later.
fn unread_literal(query: &Query, message: &str) -> Option<Expr> {
    let (start, end) = (message.find('"')? + 1, message.rfind('"')?);
    let unread = message.get(start..end)?;
    let (mut cast, mut found) = (Vec::new(), Vec::new());
    let _ = walk_expressions(query, |expression| {
        match expression {
            Expr::Cast { expr, .. } => cast.push(bare(expr).span()),
            Expr::Value(ValueWithSpan {
                value: Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text),
                span,
            }) if text == unread && !cast.contains(span) => found.push(expression.clone()),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    match found.as_slice() {
        [literal] => Some(Expr::clone(literal)),
        _ => None,
    }
}

/// Whether two types are not compared for equality.
fn is_uncompared(error: &QueryError) -> bool {
    error.position.is_none() && error.message.starts_with("operator does not exist: ") && error.message.contains(" = ")
}

/// Where the IN stands, if the tree has one list.
fn list_place(query: &Query, statement: &Statement) -> Option<usize> {
    let mut ends = Vec::new();
    let _ = walk_expressions(query, |expression| {
        if let Expr::InList { expr, .. } = expression {
            ends.push(expr.span().end);
        }
        ControlFlow::<()>::Continue(())
    });
    let [end] = ends.as_slice() else { return None };
    let end = position_of(&statement.source, *end)?;
    let mut behind = statement.source.chars().skip(end - 1);
    behind.position(|letter| !letter.is_whitespace() && letter != ')').map(|letters| end + letters)
}

/// Where an expression begins. A minus sign is part of its operand and a parenthesis of a row; other parentheses are not.
pub(crate) fn place_of(statement: &Statement, expression: &Expr) -> Option<usize> {
    let before = |inner: &Expr, sign: char| {
        let inner = place_of(statement, inner)?;
        let before: Vec<char> = statement.source.chars().take(inner - 1).collect();
        before.iter().rposition(|character| *character == sign).map(|sign| sign + 1)
    };
    match expression {
        Expr::Nested(inner) => place_of(statement, inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => before(expr, '-'),
        Expr::Tuple(values) => before(values.first()?, '('),
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

/// The item of ORDER BY, GROUP BY or DISTINCT ON that the message is about.
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
        let distinct = selects(&query.body).into_iter().flat_map(|select| match &select.distinct {
            Some(Distinct::On(items)) => items.as_slice(),
            _ => &[],
        });
        let mut all =
            ordered.chain(grouped.map(|item| ("GROUP BY", item))).chain(distinct.map(|item| ("DISTINCT ON", item)));
        let shown = |item| number_of(item).unwrap_or(bare(item)).to_string();
        let found = all.find(|(clause, item)| message == position_message(clause, &shown(item)));
        found.map(|(_, item)| item.clone())
    })
}

/// The item of DISTINCT ON that does not stand at the beginning of ORDER BY.
fn unordered_distinct(query: &Query) -> Option<Expr> {
    let OrderByKind::Expressions(order) = &query.order_by.as_ref()?.kind else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let Some(Distinct::On(items)) = &select.distinct else { return None };
    let column = |expr: &Expr| match bare(expr) {
        Expr::Value(number) => {
            let index = number.to_string().parse::<usize>().ok().and_then(|position| position.checked_sub(1));
            match index.and_then(|index| select.projection.get(index)) {
                Some(SelectItem::UnnamedExpr(shown)) => shown.clone(),
                _ => expr.clone(),
            }
        }
        other => other.clone(),
    };
    let keys: Vec<Expr> = order.iter().map(|key| column(&key.expr)).collect();
    let named: Vec<Expr> = items.iter().map(column).collect();
    let other = keys.iter().position(|key| !named.contains(key))?;
    let late = keys[other..].iter().find_map(|key| named.iter().position(|item| item == key));
    let absent = || named.iter().position(|item| !keys.contains(item));
    late.or_else(absent).map(|index| items[index].clone())
}

// ---- aggregates and window functions ----

/// A call where its kind of function cannot be.
struct Misplaced {
    kind: ErrorKind,
    message: String,
    call: Expr,
}

fn misplaced_call(query: &Query, is_aggregate: IsAggregate) -> Option<Misplaced> {
    let in_clauses =
        first_of(query, |query| selects(&query.body).into_iter().find_map(|select| misplaced_in(select, is_aggregate)));
    in_clauses.or_else(|| {
        let mut finder = NestingFinder { is_aggregate, depths: Vec::new() };
        match walk(query, &mut finder) {
            ControlFlow::Break(call) => Some(Misplaced {
                kind: ErrorKind::Grouping,
                message: "aggregate function calls cannot be nested".into(),
                call,
            }),
            ControlFlow::Continue(()) => None,
        }
    })
}

fn misplaced_in(select: &Select, is_aggregate: IsAggregate) -> Option<Misplaced> {
    let joined =
        select.from.iter().flat_map(|tables| &tables.joins).filter_map(|join| condition_of(&join.join_operator));
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(items, _) => items.as_slice(),
        GroupByExpr::All(_) => &[],
    };
    let rows = joined.map(|on| ("JOIN conditions", on));
    let rows = rows.chain(select.selection.iter().map(|condition| ("WHERE", condition)));
    let clauses: Vec<_> = rows.chain(grouped.iter().map(|item| ("GROUP BY", item))).collect();
    let aggregates = clauses.iter().find_map(|(clause, expression)| {
        let call = call_in(*expression, |function| is_aggregate_call(function, is_aggregate))?;
        let message = format!("aggregate functions are not allowed in {clause}");
        Some(Misplaced { kind: ErrorKind::Grouping, message, call })
    });
    aggregates.or_else(|| {
        let mut all = clauses.into_iter().chain(select.having.iter().map(|condition| ("HAVING", condition)));
        all.find_map(|(clause, expression)| {
            let call = call_in(expression, |function| function.over.is_some())?;
            let message = format!("window functions are not allowed in {clause}");
            Some(Misplaced { kind: ErrorKind::Windowing, message, call })
        })
    })
}

/// Whether a call is an aggregate over a group's rows.
pub(crate) fn is_aggregate_call(function: &Function, is_aggregate: IsAggregate) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    function.over.is_none() && name.is_some_and(|name| is_aggregate(&fold(name)))
}

/// The first such call in expressions, but for those in their subqueries.
pub(crate) fn call_in(tree: &impl Visit, wanted: impl Fn(&Function) -> bool) -> Option<Expr> {
    each_expr(tree, |part, queries| match part {
        Expr::Function(function) if queries == 0 && wanted(function) => ControlFlow::Break(part.clone()),
        _ => ControlFlow::Continue(()),
    })
    .break_value()
}

/// Finds an aggregate among the arguments of another.
struct NestingFinder<'a> {
    is_aggregate: IsAggregate<'a>,
    /// For each query around the expression the aggregate calls around it.
    depths: Vec<usize>,
}

impl NestingFinder<'_> {
    fn is_aggregate(&self, expression: &Expr) -> bool {
        matches!(expression, Expr::Function(function) if is_aggregate_call(function, self.is_aggregate))
    }
}

impl Visitor for NestingFinder<'_> {
    type Break = Expr;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Expr> {
        self.depths.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Expr> {
        self.depths.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Expr> {
        if self.is_aggregate(expression)
            && let Some(depth) = self.depths.last_mut()
        {
            *depth += 1;
            if *depth > 1 {
                return ControlFlow::Break(expression.clone());
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Expr> {
        if self.is_aggregate(expression)
            && let Some(depth) = self.depths.last_mut()
        {
            *depth -= 1;
        }
        ControlFlow::Continue(())
    }
}

// ---- set operations ----

/// What the planner's complaint about any set operation becomes before its name is looked up.
pub(crate) const UNEVEN: &str = "each UNION query must have the same number of columns";

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

/// The number of columns of a query, unless a `*` hides it.
pub(crate) fn width(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let plain =
                |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
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
            TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. } => names.push(aliased(alias)),
            TableFactor::Table { name, alias, .. } => {
                let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
                let Some((last, qualifiers)) = parts.split_last() else { continue };
                let own = TableName { name: last.clone(), schema: qualifiers.last().cloned() };
                // The definition of a view aliases every table by its own name.
                let other = alias.as_ref().map(aliased).filter(|alias| alias.name != own.name);
                names.push(other.unwrap_or(own));
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => collect_names(table_with_joins, names),
            _ => {}
        }
    }
}

// ---- walking ----

/// The first thing found in the query or one inside of it, outer ones first.
fn first_of<T>(query: &Query, find: impl FnMut(&Query) -> Option<T>) -> Option<T> {
    match walk(query, &mut QueryFinder(find)) {
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
