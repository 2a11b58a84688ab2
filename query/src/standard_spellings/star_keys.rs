//! Names in ORDER BY and DISTINCT ON that a star may have too, beside an output or more than once.
//!
//!     SELECT *, -a AS a FROM t ORDER BY a             is ambiguous where t has a column a
//!     SELECT *, t.a AS a FROM t ORDER BY a            is not: both are one
//!     SELECT * FROM t JOIN u USING (k) ORDER BY a     is ambiguous where t and u have one
//!
//! What a star gives is known when the query is planned. So the items of its FROM are marked like those of [`super::row_stars`], and
//! [`StarKeys`] remembers whose columns to ask for.

use super::from_columns::FromColumns;
use super::likeness::Comparison;
use super::names::is_star;
use super::order_keys::{ambiguous, ambiguous_in_union, name_of};
use super::row_stars::Stars;
use super::set_names::name_of_output;
use super::trees::quoted;
use crate::error::QueryError;
use crate::output_names::shown_name;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, OrderBy, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
};

/// The queries of a statement in which a star may make a key ambiguous.
#[derive(Debug, Default)]
pub(crate) struct StarKeys(Vec<Question>);

#[derive(Debug)]
struct Question {
    /// The SELECT after which the columns of the query are called.
    select: Select,
    keys: Vec<(&'static str, Expr)>,
    /// Whether the SELECT is a side of UNION and the like.
    is_united: bool,
    /// What items of FROM are called, and the numbers of their marks.
    relations: Vec<(String, usize)>,
}

impl StarKeys {
    /// Remembers the keys of a query; `mark` marks the items of the FROM of its SELECT.
    pub(super) fn note(&mut self, query: &mut Query, mark: impl FnOnce(&mut Select) -> Vec<(String, usize)>) {
        let keys = keys_beside_star(query);
        if keys.is_empty() {
            return;
        }
        let is_united = !matches!(query.body.as_ref(), SetExpr::Select(_));
        if let Some(select) = first_select(&mut query.body) {
            let relations = mark(select);
            self.0.push(Question { select: select.clone(), keys, is_united, relations });
        }
    }

    /// The first key that is ambiguous, with what PostgreSQL says of it.
    pub(crate) fn misplaced(self, known: &Stars) -> Option<(QueryError, Expr)> {
        self.0.into_iter().find_map(|question| question.misplaced(known))
    }
}

/// Whether a star may make a key of a query ambiguous.
pub(super) fn has_keys_beside_star(query: &Query) -> bool {
    !keys_beside_star(query).is_empty()
}

/// The names among a query's keys that may be those of several columns: of outputs beside a star, and of several relations.
fn keys_beside_star(query: &Query) -> Vec<(&'static str, Expr)> {
    let Some(select) = named_by(&query.body) else { return Vec::new() };
    if !select.projection.iter().any(is_star) {
        return Vec::new();
    }
    let ordered = match &query.order_by {
        Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) => keys.as_slice(),
        _ => &[],
    };
    let on = match &select.distinct {
        Some(Distinct::On(keys)) => keys.as_slice(),
        _ => &[],
    };
    let ordered = ordered.iter().map(|key| ("ORDER BY", &key.expr));
    let keys = ordered.chain(on.iter().map(|key| ("DISTINCT ON", key)));
    let is_output = |name: &String| select.projection.iter().any(|item| name_of_output(item).as_ref() == Some(name));
    let is_joined = select.from.len() + select.from.iter().map(|tables| tables.joins.len()).sum::<usize>() > 1;
    let may_repeat = |key: &Expr| name_of(key).as_ref().is_some_and(|name| is_joined || is_output(name));
    keys.filter(|(_, key)| may_repeat(key)).map(|(clause, key)| (clause, key.clone())).collect()
}

/// The SELECT after which a body's columns are called.
fn named_by(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::SetOperation { left, .. } => named_by(left),
        SetExpr::Query(query) => named_by(&query.body),
        _ => None,
    }
}

fn first_select(body: &mut SetExpr) -> Option<&mut Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::SetOperation { left, .. } => first_select(left),
        SetExpr::Query(query) => first_select(&mut query.body),
        _ => None,
    }
}

impl Question {
    fn misplaced(mut self, known: &Stars) -> Option<(QueryError, Expr)> {
        let columns = FromColumns::of(&self.select);
        let items = std::mem::take(&mut self.select.projection);
        for item in items {
            match &item {
                SelectItem::Wildcard(_) => self.select.projection.extend(self.star(None, &columns, known)),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), _) => {
                    let table = table.0.last().and_then(|part| part.as_ident()).map(fold);
                    self.select.projection.extend(self.star(table.as_deref(), &columns, known));
                }
                _ => self.select.projection.push(item),
            }
        }
        let comparison = Comparison::of(&self.select);
        self.keys.iter().find_map(|(clause, key)| {
            let name = name_of(key)?;
            let error = match self.is_united {
                true => ambiguous_in_union(&name, &self.select)?,
                false => ambiguous(clause, &name, &self.select, &comparison)?,
            };
            Some((error, key.clone()))
        })
    }

    /// The columns of `*`, or of the star of one table. What joins merge is called without a table.
    fn star(&self, table: Option<&str>, columns: &FromColumns, known: &Stars) -> Vec<SelectItem> {
        let relations = self.relations.iter().filter(|(name, _)| table.is_none_or(|table| table == name));
        let all = relations.flat_map(|(relation, number)| {
            let of_relation = known.get(number).into_iter().flatten();
            of_relation.map(move |(_, column)| (relation.as_str(), shown_name(column)))
        });
        let all: Vec<(&str, &str)> = all.collect();
        let is_merged = |column: &str| {
            table.is_none() && columns.may_merge(column) && all.iter().filter(|(_, known)| *known == column).count() > 1
        };
        let mut shown: Vec<SelectItem> = Vec::with_capacity(all.len());
        for (relation, column) in &all {
            let item = match is_merged(column) {
                true => Expr::Identifier(quoted(column)),
                false => Expr::CompoundIdentifier(vec![quoted(relation), quoted(column)]),
            };
            let item = SelectItem::UnnamedExpr(item);
            if !is_merged(column) || !shown.contains(&item) {
                shown.push(item);
            }
        }
        shown
    }
}
