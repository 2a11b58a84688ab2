//! Columns that a primary key determines: `SELECT id, name FROM t GROUP BY id` is `GROUP BY id, name`.
//!
//! Of which table a column is, and which key that has, only the planner knows. So this is tried where planning has found a column that is
//! neither grouped by nor inside of an aggregate. Where it is one of a table whose whole primary key is grouped by, it becomes a key too,
//! which makes no other groups: a row that an outer join adds has NULL in all of them.

use super::names::is_star;
use super::trees::bare;
use crate::error::{ErrorKind, QueryError};
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectName, Query, Select, SelectItem, TableFactor, TableWithJoins, Value, VisitorMut,
};
use std::ops::ControlFlow;

/// What is known of a table with a primary key.
pub(crate) struct KeyedTable {
    pub columns: Vec<String>,
    /// Some of the columns.
    pub key: Vec<String>,
}

/// The query with a column that lacked in GROUP BY as a key, where a primary key determines it.
pub(crate) fn with_dependents(
    query: &Query,
    error: &QueryError,
    table: &dyn Fn(&ObjectName) -> Option<KeyedTable>,
) -> Option<Query> {
    let column = error.column.as_deref().filter(|_| error.kind == ErrorKind::Grouping)?;
    let mut query = query.clone();
    let mut dependents = Dependents { column, table, named: Vec::new(), found: false };
    let _ = walk_mut(&mut query, &mut dependents);
    dependents.found.then_some(query)
}

struct Dependents<'a> {
    column: &'a str,
    table: &'a dyn Fn(&ObjectName) -> Option<KeyedTable>,
    /// What WITH names, which are no tables.
    named: Vec<String>,
    found: bool,
}

impl VisitorMut for Dependents<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.named.extend(tables.map(|table| fold(&table.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut factors = Vec::new();
        select.from.iter().for_each(|tables| gather(tables, &mut factors));
        let missing: Vec<Expr> = factors.into_iter().flat_map(|factor| self.missing(factor, select)).collect();
        if let GroupByExpr::Expressions(items, _) = &mut select.group_by
            && !missing.is_empty()
        {
            items.extend(missing);
            self.found = true;
        }
        ControlFlow::Continue(())
    }
}

impl Dependents<'_> {
    /// The column as one of this table, where the table's key is grouped by and the column is not; beside a star all such columns.
    fn missing(&self, factor: &TableFactor, select: &Select) -> Vec<Expr> {
        self.lacking(factor, select).unwrap_or_default()
    }

    fn lacking(&self, factor: &TableFactor, select: &Select) -> Option<Vec<Expr>> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return None };
        let own = name.0.last()?.as_ident()?;
        if name.0.len() == 1 && self.named.contains(&fold(own)) {
            return None;
        }
        if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return None;
        }
        let known = (self.table)(name)?;
        let qualifier = alias.as_ref().map_or(own, |alias| &alias.name);
        let GroupByExpr::Expressions(items, _) = &select.group_by else { return None };
        let is_item = |item: &Expr, column: &str| is_column(grouped(item, select, &known), qualifier, column);
        // A grouping set without the key has no row of the table to tell of.
        let is_key = |column: &str| {
            items.iter().any(|item| match bare(item) {
                Expr::GroupingSets(sets) => {
                    !sets.is_empty() && sets.iter().all(|set| set.iter().any(|item| is_item(item, column)))
                }
                item => is_item(item, column),
            })
        };
        let is_determined = !known.key.is_empty() && known.key.iter().all(|column| is_key(column));
        let lacks = known.columns.iter().any(|column| column == self.column) && !is_key(self.column);
        let is_starred = select.projection.iter().any(is_star);
        let lacking = known.columns.iter().filter(|column| (is_starred || *column == self.column) && !is_key(column));
        let keys = lacking
            .map(|column| Expr::CompoundIdentifier(vec![qualifier.clone(), Ident::with_quote('"', column.as_str())]));
        (is_determined && lacks).then(|| keys.collect())
    }
}

fn gather<'a>(tables: &'a TableWithJoins, factors: &mut Vec<&'a TableFactor>) {
    let joined = tables.joins.iter().map(|join| &join.relation);
    for factor in std::iter::once(&tables.relation).chain(joined) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => gather(table_with_joins, factors),
            other => factors.push(other),
        }
    }
}

/// What an item of GROUP BY groups by: that of the select list that it names or numbers. A column of the table goes before an output
/// of that name.
fn grouped<'a>(item: &'a Expr, select: &'a Select, table: &KeyedTable) -> &'a Expr {
    let shown = |index: usize| match select.projection.get(index) {
        Some(SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. }) => {
            Some(expression)
        }
        _ => None,
    };
    let item = bare(item);
    let found = match item {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse::<usize>().ok().and_then(|place| shown(place.checked_sub(1)?)),
            _ => None,
        },
        Expr::Identifier(name) if table.columns.contains(&fold(name)) => None,
        Expr::Identifier(name) => select.projection.iter().find_map(|shown| match shown {
            SelectItem::ExprWithAlias { expr, alias } if fold(alias) == fold(name) => Some(expr),
            _ => None,
        }),
        _ => None,
    };
    found.map_or(item, bare)
}

fn is_column(expression: &Expr, qualifier: &Ident, column: &str) -> bool {
    match expression {
        Expr::Identifier(name) => fold(name) == column,
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., table, name] => fold(table) == fold(qualifier) && fold(name) == column,
            _ => false,
        },
        _ => false,
    }
}
