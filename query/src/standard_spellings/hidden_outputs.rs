//! Outputs that are called as columns which other expressions of their query mean.
//!
//!     SELECT -a AS a FROM t ORDER BY a + 0     ▶   SELECT -a AS "a⌑" FROM t ORDER BY a + 0
//!
//! PostgreSQL knows a name of the select list where an item of ORDER BY, GROUP BY or DISTINCT ON is that name and
//! nothing else; in HAVING and inside of expressions it means the table's column. The planner prefers the output
//! everywhere. Where such an expression has the name of an output, the output is called something else, of which
//! clients are shown the name; where the query is a relation of another one, [`crate::shown_names`] gives it back.
//! So is called what stands beside a `*` of the whole statement, which may have a column of the same name.

use super::from_columns::merges;
use super::names::is_star;
use super::trees::{bare, quoted};
use crate::output_names::{hidden_name, output_name, shown_name};
use crate::statement_grammar::fold;
use crate::syntax_walks::{walk_expressions, walk_mut};
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
    VisitorMut,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Renames such outputs of a statement's query and of those in it.
pub(super) fn hide_outputs(query: &mut Query) {
    let _ = walk_mut(query, &mut Hider { queries: 0 });
}

struct Hider {
    /// The queries around what is visited.
    queries: usize,
}

impl VisitorMut for Hider {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        in_query(query, self.queries == 0);
        ControlFlow::Continue(())
    }
}

fn in_query(query: &mut Query, is_whole: bool) {
    let keys: Vec<&mut Expr> = match &mut query.order_by {
        Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) => {
            items.iter_mut().map(|item| &mut item.expr).collect()
        }
        _ => Vec::new(),
    };
    if let SetExpr::Select(select) = query.body.as_mut() {
        return in_select(select, keys, is_whole);
    }
    in_sides(&mut query.body);
    let hidden = first_select(&query.body).map(hidden_names).unwrap_or_default();
    rename(keys, &hidden);
}

/// The sides of UNION and the like, which have no ORDER BY. Those in parentheses are queries, and visited as such.
fn in_sides(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => in_select(select, Vec::new(), false),
        SetExpr::SetOperation { left, right, .. } => {
            in_sides(left);
            in_sides(right);
        }
        _ => {}
    }
}

/// The SELECT after which a body's columns are called.
fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

/// The names of outputs that have others by now.
fn hidden_names(select: &Select) -> HashSet<String> {
    let names = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => {
            let name = shown_name(&alias.value);
            (alias.value == hidden_name(name)).then(|| name.to_string())
        }
        _ => None,
    });
    names.collect()
}

fn in_select(select: &mut Select, keys: Vec<&mut Expr>, is_whole: bool) {
    let is_joined = has_several(&select.from);
    let Select { projection, distinct, having, group_by, .. } = select;
    let on: Vec<&mut Expr> = match distinct {
        Some(Distinct::On(items)) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    let groups = group_keys(group_by);
    let grouped: HashSet<String> = groups.iter().filter_map(|key| name_of(key)).collect();
    let ordering = keys.iter().map(|key| &**key).chain(on.iter().map(|key| &**key));
    let computed = ordering.chain(groups).filter(|key| name_of(key).is_none());
    let read = Read::by(computed.chain(having.iter()), &grouped);
    let is_beside_star = is_whole && projection.iter().any(is_star);
    let mut hidden = HashSet::new();
    for item in projection {
        let (expression, name, is_hidden) = match &*item {
            SelectItem::UnnamedExpr(expression) => {
                let name = output_name(expression);
                let is_hidden = name_of(expression).is_none() && read.has(&name);
                (expression, name, is_hidden)
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let name = fold(alias);
                let is_column = column_name(expr).as_ref() == Some(&name);
                // Of several relations another one may have a column of the name, which is ambiguous then.
                let is_read = read.alone.contains(&name) || (is_column && grouped.contains(&name));
                let may_be_another = is_joined && name_of(expr).is_none() && is_read;
                let is_other = read.has(&name) && !is_column || may_be_another;
                let is_hidden = is_other || (is_beside_star && !grouped.contains(&name));
                (expr, name, is_hidden)
            }
            _ => continue,
        };
        if is_hidden || (is_beside_star && matches!(item, SelectItem::UnnamedExpr(_))) {
            let alias = quoted(&hidden_name(&name));
            *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias };
        }
        if is_hidden {
            hidden.insert(name);
        }
    }
    rename(keys, &hidden);
    rename(on, &hidden);
}

/// Whether a column's name may be that of columns of several relations: what USING and NATURAL merge is one.
fn has_several(from: &[TableWithJoins]) -> bool {
    let is_apart = |tables: &TableWithJoins| {
        !matches!(tables.relation, TableFactor::NestedJoin { .. }) && !tables.joins.iter().any(merges)
    };
    from.len() + from.iter().map(|tables| tables.joins.len()).sum::<usize>() > 1 && from.iter().all(is_apart)
}

/// Gives keys that are names of outputs the names that these have.
fn rename(keys: Vec<&mut Expr>, hidden: &HashSet<String>) {
    for key in keys {
        if let Some(name) = name_of(key).filter(|name| hidden.contains(name)) {
            *key = Expr::Identifier(quoted(&hidden_name(&name)));
        }
    }
}

/// What a SELECT groups by, also inside of grouping sets.
fn group_keys(groups: &GroupByExpr) -> Vec<&Expr> {
    let GroupByExpr::Expressions(items, _) = groups else { return Vec::new() };
    let keys = items.iter().flat_map(|item| match item {
        Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => sets.iter().flatten().collect(),
        other => vec![other],
    });
    keys.collect()
}

/// The name that an expression is and nothing else.
fn name_of(expression: &Expr) -> Option<String> {
    match bare(expression) {
        Expr::Identifier(name) => Some(fold(name)),
        _ => None,
    }
}

/// The same, also behind that of a relation.
fn column_name(expression: &Expr) -> Option<String> {
    match bare(expression) {
        Expr::Identifier(name) => Some(fold(name)),
        Expr::CompoundIdentifier(names) => names.last().map(fold),
        _ => None,
    }
}

/// The names of columns that expressions mean.
#[derive(Default)]
struct Read {
    names: HashSet<String>,
    /// Those of them that stand behind no name of a relation.
    alone: HashSet<String>,
}

impl Read {
    /// A column behind the name of its relation may be one of an outer query, where `grouped` is the name of an output.
    fn by<'a>(expressions: impl Iterator<Item = &'a Expr>, grouped: &HashSet<String>) -> Self {
        let mut read = Self::default();
        for expression in expressions {
            let _ = walk_expressions(expression, |part| {
                let may_be_outer = |name: &String| name_of(part).is_none() && grouped.contains(name);
                read.names.extend(column_name(part).filter(|name| !may_be_outer(name)));
                read.alone.extend(name_of(part));
                ControlFlow::<()>::Continue(())
            });
        }
        read
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}
