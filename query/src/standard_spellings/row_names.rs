//! What a name of FROM means as a value: the row of a relation, or the value of a function that gives values.

use crate::pg_catalog::value_column;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_expressions;
use datafusion::sql::sqlparser::ast::{Expr, Ident, JoinOperator, TableFactor, TableWithJoins};
use std::ops::ControlFlow;

#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// A row; `outer` where an outer join may leave its relation out.
    Row { outer: bool },
    /// The relation's only column, by its full name.
    Value([Ident; 2]),
}

/// What a name means that an item of FROM has.
pub(super) fn meaning_in(from: &[TableWithJoins], name: &str) -> Option<Meaning> {
    from.iter().find_map(|tables| named_in(tables, name))
}

fn named_in(tables: &TableWithJoins, name: &str) -> Option<Meaning> {
    let mut found = named_as(&tables.relation, name);
    for join in &tables.joins {
        let (left, right) = match join.join_operator {
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
            JoinOperator::FullOuter(_) => (true, true),
            _ => (false, false),
        };
        let joined = || named_as(&join.relation, name).map(|meaning| left_out(meaning, right));
        found = found.map(|meaning| left_out(meaning, left)).or_else(joined);
    }
    found
}

fn left_out(meaning: Meaning, by_join: bool) -> Meaning {
    match meaning {
        Meaning::Row { outer } => Meaning::Row { outer: outer || by_join },
        value => value,
    }
}

fn named_as(factor: &TableFactor, name: &str) -> Option<Meaning> {
    if let Some(column) = value_column(factor) {
        return (fold(&column[0]) == name).then_some(Meaning::Value(column));
    }
    let is_named = match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => return named_in(table_with_joins, name),
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => fold(&alias.name) == name,
        TableFactor::Table { name: table, .. } => {
            table.0.last().and_then(|part| part.as_ident()).is_some_and(|ident| fold(ident) == name)
        }
        _ => false,
    };
    is_named.then_some(Meaning::Row { outer: false })
}

/// Whether a name stands in an expression, by itself.
pub(super) fn mentions(expression: &Expr, name: &str) -> bool {
    let found = walk_expressions(expression, |part| match part {
        Expr::Identifier(ident) if fold(ident) == name => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
