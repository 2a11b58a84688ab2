//! The order and the groups of queries that call sets in their select lists.
//!
//! DataFusion orders what it has unnested by the outputs alone. Whatever else a query orders by becomes a column beside its outputs, and
//! the order goes around it:
//!
//!     SELECT code, unnest(a) FROM t ORDER BY id
//!       ▶  SELECT * EXCLUDE ("order@1", "order@2") FROM (
//!            SELECT code, unnest(a), id AS "order@1", unnest("unnest@ordinals"(a)) AS "order@2" FROM t) "sets@order"
//!          ORDER BY "order@1", "order@2"
//!
//! The last column keeps the items of a set in their order where nothing else decides. An output that is called as a column which other
//! outputs read gets its name around the query too, because DataFusion would have both beside the sets:
//!
//!     SELECT upper(code) AS code, unnest(a) AS x FROM t
//!       ▶  SELECT "output@1" AS code, x FROM (SELECT upper(code) AS "output@1", unnest(a) AS x FROM t) "sets@order"
//!
//! A set that a query groups by is called before there are groups:
//!
//!     SELECT unnest(a) + 1 AS x, count(*) FROM t GROUP BY 1
//!       ▶  SELECT "group@1" AS x, count(*) FROM t, LATERAL (SELECT unnest(a) + 1 AS "group@1") "sets@groups" GROUP BY "group@1"

use super::rewrite::{call, last_part, select_query};
use super::set_places::is_set_call;
use super::sets::{SetRewriter, plain_arguments};
use crate::functions::values::ORDINALS;
use crate::query_places::call_in;
use crate::standard_spellings::nesting::each_expr;
use crate::standard_spellings::trees::bare;
use crate::statement_grammar::fold;
use crate::syntax_walks::{walk_expressions, walk_mut};
use datafusion::sql::sqlparser::ast::{
    Distinct, ExcludeSelectItem, Expr, Function, GroupByExpr, Ident, ObjectName, OrderBy, OrderByExpr, OrderByKind,
    Query, Select, SelectItem, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins, Value, ValueWithSpan,
    VisitorMut, WildcardAdditionalOptions, With,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Gives the queries of a rewritten statement that call sets an order and groups that DataFusion can compute. `is_query` tells whether
/// a query can be planned.
pub(crate) fn settle_set_orders(
    statement: &mut Statement,
    is_volatile: &dyn Fn(&str) -> bool,
    is_query: &dyn Fn(Query) -> bool,
) {
    let _ = walk_mut(statement, &mut Settler { is_volatile, is_query, withs: Vec::new() });
}

struct Settler<'a> {
    is_volatile: &'a dyn Fn(&str) -> bool,
    is_query: &'a dyn Fn(Query) -> bool,
    /// Those of the queries that the visitor is inside of.
    withs: Vec<Option<With>>,
}

impl VisitorMut for Settler<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.withs.push(query.with.clone());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.settle(query);
        self.withs.pop();
        ControlFlow::Continue(())
    }
}

impl Settler<'_> {
    fn settle(&self, query: &mut Query) {
        if let SetExpr::SetOperation { left, right, .. } = query.body.as_mut() {
            self.settle_side(left);
            self.settle_side(right);
            return;
        }
        let keys = match &mut query.order_by {
            Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) => keys.as_mut_slice(),
            _ => &mut [],
        };
        if let SetExpr::Select(select) = query.body.as_mut()
            && calls_sets(select, keys)
        {
            keys.iter_mut().for_each(|key| list_sets(&mut key.expr));
            self.group_by_sets(select, keys);
            if calls_sets(select, keys) {
                self.order(query);
            }
        }
    }

    /// A side of UNION and the like, which is a query without an order. One in parentheses is visited by itself.
    fn settle_side(&self, side: &mut SetExpr) {
        if matches!(side, SetExpr::Select(_) | SetExpr::SetOperation { .. }) {
            let mut query = select_query(Vec::new(), None);
            std::mem::swap(query.body.as_mut(), side);
            self.settle(&mut query);
            std::mem::swap(query.body.as_mut(), side);
        }
    }
}

/// Makes calls of sets those of `unnest`, as they are in select lists.
fn list_sets(expression: &mut Expr) {
    let _ = walk_mut(expression, &mut SetRewriter { depth: 0 });
}

fn calls_set(expression: &Expr) -> bool {
    call_in(expression, is_set_call).is_some()
}

fn calls_sets(select: &Select, keys: &[OrderByExpr]) -> bool {
    let groups = match &select.group_by {
        GroupByExpr::Expressions(groups, _) => groups.as_slice(),
        GroupByExpr::All(_) => &[],
    };
    let outputs = select.projection.iter().filter_map(value_of);
    outputs.chain(groups).chain(keys.iter().map(|key| &key.expr)).any(calls_set)
}

fn value_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } => Some(bare(value)),
        _ => None,
    }
}

/// What an output is called.
fn name_of(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(fold(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last().map(fold),
        _ => None,
    }
}

fn quoted(name: impl Into<String>) -> Ident {
    Ident::with_quote('"', name)
}

fn is_number(key: &Expr) -> bool {
    matches!(bare(key), Expr::Value(ValueWithSpan { value: Value::Number(..), .. }))
}

// ---- order ----

impl Settler<'_> {
    /// Orders a query by columns of what it makes without an order.
    fn order(&self, query: &mut Query) {
        let SetExpr::Select(select) = query.body.as_mut() else { return };
        let Select { distinct, projection: outputs, .. } = select.as_mut();
        let is_distinct = matches!(distinct, Some(Distinct::Distinct));
        let on = match distinct {
            Some(Distinct::On(on)) => on.as_mut_slice(),
            _ => &mut [],
        };
        let order = match &mut query.order_by {
            Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) => Some(keys),
            _ => None,
        };
        let keys = order.iter().flat_map(|keys| keys.iter()).map(|key| &key.expr);
        let is_ready = match on.is_empty() {
            true if is_distinct || order.is_none() => true,
            true => keys.clone().all(|key| is_output(key, outputs)) && decide(keys, outputs),
            // PostgreSQL calls sets that do not decide behind DISTINCT ON and its order.
            false => {
                order.is_some() && !keys.chain(on.iter()).any(|key| calls_set(output_of(key, outputs).unwrap_or(key)))
            }
        };
        if is_ready && (!on.is_empty() || hidden_columns(outputs, &[]).is_empty()) {
            return;
        }
        on.iter_mut().for_each(list_sets);
        let mut hidden: Vec<Expr> = Vec::new();
        let on_count = on.len();
        for key in on {
            *key = outside(key, outputs, &mut hidden);
        }
        if let Some(order) = order {
            for key in order.iter_mut() {
                key.expr = outside(&key.expr, outputs, &mut hidden);
            }
            // Without them all DISTINCT ON would not begin the order.
            if !is_distinct
                && order.len() >= on_count
                && let Some(ordinals) = self.ordinals(outputs)
            {
                hidden.push(ordinals);
                order.push(OrderByExpr::from(hidden_name(hidden.len())));
            }
        }
        go_around(query, hidden);
    }

    /// The numbers of the items that the sets of a select list give; `None` where their calls cannot be repeated.
    fn ordinals(&self, outputs: &[SelectItem]) -> Option<Expr> {
        let lists: Vec<Expr> = outputs.iter().filter_map(value_of).flat_map(unnested_lists).collect();
        let changes = |function: &Function| {
            let name = last_part(&function.name);
            name == "unnest" || (self.is_volatile)(&name)
        };
        let is_usable = !lists.is_empty() && lists.iter().all(|list| call_in(list, changes).is_none());
        is_usable.then(|| call("unnest", vec![call(ORDINALS, lists)]))
    }
}

/// Whether keys decide between the items of the sets in a select list: each of them is one.
fn decide<'a>(keys: impl Iterator<Item = &'a Expr> + Clone, outputs: &[SelectItem]) -> bool {
    let is_key = |set: &Expr| keys.clone().any(|key| output_of(key, outputs) == Some(set) || bare(key) == set);
    outputs.iter().filter_map(value_of).filter(|value| calls_set(value)).all(is_key)
}

/// Whether DataFusion finds a key among the outputs.
fn is_output(key: &Expr, outputs: &[SelectItem]) -> bool {
    let key = bare(key);
    match key {
        Expr::Identifier(name) => {
            let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_));
            let name = fold(name);
            let is_meant = |item: &SelectItem| name_of(item).as_ref() == Some(&name) || value_of(item) == Some(key);
            outputs.iter().any(|item| is_star(item) || is_meant(item))
        }
        Expr::CompoundIdentifier(_) => outputs.iter().any(|item| value_of(item) == Some(key)),
        other => is_number(other),
    }
}

/// A key as it is named around the query, which gets a column for it where it has none.
fn outside(key: &Expr, outputs: &[SelectItem], hidden: &mut Vec<Expr>) -> Expr {
    let key = bare(key);
    if is_number(key) {
        return key.clone();
    }
    if let Expr::Identifier(name) = key
        && let name = fold(name)
        && outputs.iter().any(|item| name_of(item).as_ref() == Some(&name))
    {
        return Expr::Identifier(quoted(name));
    }
    if let Some(name) = outputs.iter().find(|item| value_of(item) == Some(key)).and_then(name_of) {
        return Expr::Identifier(quoted(name));
    }
    let place = hidden.iter().position(|known| known == key).unwrap_or_else(|| {
        hidden.push(key.clone());
        hidden.len() - 1
    });
    Expr::Identifier(hidden_name(place + 1))
}

fn hidden_name(number: usize) -> Ident {
    quoted(format!("order@{number}"))
}

/// The places of outputs that are called as columns are which these outputs and keys read, where all columns are named.
fn hidden_columns(outputs: &[SelectItem], keys: &[Expr]) -> Vec<usize> {
    if outputs.iter().any(|item| value_of(item).is_none()) {
        return Vec::new();
    }
    let mut read = HashSet::new();
    for value in outputs.iter().filter_map(value_of).chain(keys) {
        let _ = walk_expressions(value, |part| {
            read.extend(column_name(part));
            ControlFlow::<()>::Continue(())
        });
    }
    let is_hiding = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr, alias } => {
            let name = fold(alias);
            read.contains(&name) && column_name(bare(expr)).as_ref() != Some(&name) && !calls_set(expr)
        }
        _ => false,
    };
    outputs.iter().enumerate().filter(|(_, item)| is_hiding(item)).map(|(place, _)| place).collect()
}

/// The name of a column without that of its relation.
fn column_name(value: &Expr) -> Option<String> {
    match value {
        Expr::Identifier(name) => Some(fold(name)),
        Expr::CompoundIdentifier(names) => names.last().map(fold),
        _ => None,
    }
}

/// Gives outputs other names, and the select list that gives them their own around the query.
fn rename(outputs: &mut [SelectItem], places: &[usize]) -> Vec<SelectItem> {
    let around = |(place, item): (usize, &mut SelectItem)| {
        let alias = quoted(name_of(item)?);
        let SelectItem::ExprWithAlias { alias: own, .. } = item else {
            return Some(SelectItem::UnnamedExpr(Expr::Identifier(alias)));
        };
        if places.contains(&place) {
            *own = quoted(format!("output@{}", place + 1));
        }
        Some(SelectItem::ExprWithAlias { expr: Expr::Identifier(quoted(fold(own))), alias })
    };
    outputs.iter_mut().enumerate().filter_map(around).collect()
}

/// Lets the order and DISTINCT of a query go around what is left of it, to which columns are added that only they see.
fn go_around(query: &mut Query, hidden: Vec<Expr>) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let distinct = select.distinct.take();
    let hiding = hidden_columns(&select.projection, &hidden);
    let named = (!hiding.is_empty()).then(|| rename(&mut select.projection, &hiding));
    let names: Vec<ObjectName> = (1..=hidden.len()).map(|number| ObjectName::from(vec![hidden_name(number)])).collect();
    let columns = hidden.into_iter().enumerate();
    let columns = columns.map(|(place, expr)| SelectItem::ExprWithAlias { expr, alias: hidden_name(place + 1) });
    select.projection.extend(columns);
    let mut inner = select_query(Vec::new(), None);
    std::mem::swap(&mut inner.body, &mut query.body);
    let exclude = (!names.is_empty()).then_some(ExcludeSelectItem::Multiple(names));
    let star = WildcardAdditionalOptions { opt_exclude: exclude, ..WildcardAdditionalOptions::default() };
    let items = named.unwrap_or_else(|| vec![SelectItem::Wildcard(star)]);
    let outer = select_query(items, Some(derived(inner, "sets@order", false)));
    query.body = outer.body;
    if let SetExpr::Select(outer) = query.body.as_mut() {
        outer.distinct = distinct;
    }
}

fn derived(query: Query, name: &str, lateral: bool) -> TableFactor {
    let alias = TableAlias { explicit: true, name: quoted(name), columns: Vec::new(), at: None };
    TableFactor::Derived { lateral, subquery: Box::new(query), alias: Some(alias), sample: None }
}

/// The lists that an expression unnests, but for those of its subqueries.
fn unnested_lists(expression: &Expr) -> Vec<Expr> {
    let mut lists = Vec::new();
    let _ = each_expr(expression, |part, queries| {
        if queries == 0
            && let Expr::Function(function) = part
            && last_part(&function.name) == "unnest"
        {
            lists.extend(plain_arguments(&function.args).into_iter().flatten());
        }
        ControlFlow::<()>::Continue(())
    });
    lists
}

// ---- groups ----

impl Settler<'_> {
    /// Calls the sets that a query groups by in a relation beside the others.
    fn group_by_sets(&self, select: &mut Select, keys: &mut [OrderByExpr]) {
        let Select { group_by: GroupByExpr::Expressions(groups, _), projection: outputs, from, .. } = select else {
            return;
        };
        let mut sets: Vec<Expr> = Vec::new();
        for group in groups.iter_mut().flat_map(items_of) {
            let meant = self.grouped(group, outputs, from);
            if !calls_set(&meant) {
                continue;
            }
            let place = sets.iter().position(|known| *known == meant).unwrap_or_else(|| {
                sets.push(meant);
                sets.len() - 1
            });
            *group = Expr::Identifier(group_name(place + 1));
        }
        if !sets.is_empty() {
            call_beside(sets, select, keys);
        }
    }

    /// What a group is: an output of the select list, whose sets are called as they are there, or what it says itself.
    fn grouped(&self, group: &Expr, outputs: &[SelectItem], from: &[TableWithJoins]) -> Expr {
        let output = output_of(group, outputs).filter(|value| calls_set(value));
        if let Some(output) = output.filter(|_| !self.is_column(group, from)) {
            return output.clone();
        }
        let mut own = bare(group).clone();
        list_sets(&mut own);
        own
    }

    /// Whether a group is a column of what a query reads, which goes before an output of that name.
    fn is_column(&self, group: &Expr, from: &[TableWithJoins]) -> bool {
        let name @ Expr::Identifier(_) = bare(group) else { return false };
        if from.is_empty() {
            return false;
        }
        let mut query = select_query(vec![SelectItem::UnnamedExpr(name.clone())], None);
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.from = from.to_vec();
        }
        let withs = self.withs.iter().flatten().cloned();
        query.with = withs.reduce(|mut all, inner| {
            all.recursive |= inner.recursive;
            all.cte_tables.extend(inner.cte_tables);
            all
        });
        (self.is_query)(query)
    }
}

/// What an item of GROUP BY groups by, also inside of grouping sets.
fn items_of(group: &mut Expr) -> Vec<&mut Expr> {
    match group {
        Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => sets.iter_mut().flatten().collect(),
        item => vec![item],
    }
}

/// Adds the relation whose columns are the sets, and reads them there.
fn call_beside(sets: Vec<Expr>, select: &mut Select, keys: &mut [OrderByExpr]) {
    let mut replacer = Replacer { sets: &sets };
    let having = select.having.iter_mut();
    let outputs = select.projection.iter_mut().filter_map(|item| match item {
        SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } => Some(value),
        _ => None,
    });
    for expression in having.chain(outputs).chain(keys.iter_mut().map(|key| &mut key.expr)) {
        let _ = walk_mut(expression, &mut replacer);
    }
    let columns = sets.into_iter().enumerate();
    let columns = columns.map(|(place, expr)| SelectItem::ExprWithAlias { expr, alias: group_name(place + 1) });
    let relation = derived(select_query(columns.collect(), None), "sets@groups", !select.from.is_empty());
    select.from.push(TableWithJoins { relation, joins: Vec::new() });
}

/// The output that a key is named or numbered by.
fn output_of<'a>(key: &Expr, outputs: &'a [SelectItem]) -> Option<&'a Expr> {
    let output = match bare(key) {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => {
            outputs.get(digits.parse::<usize>().ok()?.checked_sub(1)?)
        }
        Expr::Identifier(name) => outputs.iter().find(|item| name_of(item) == Some(fold(name))),
        _ => None,
    };
    output.and_then(value_of)
}

fn group_name(number: usize) -> Ident {
    quoted(format!("group@{number}"))
}

/// Names the columns that sets have become.
struct Replacer<'a> {
    sets: &'a [Expr],
}

impl VisitorMut for Replacer<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Some(place) = self.sets.iter().position(|set| set == bare(expression)) {
            *expression = Expr::Identifier(group_name(place + 1));
        }
        ControlFlow::Continue(())
    }
}
