//! Following: what a view's text becomes when a relation that it reads changes its name or its columns.
//!
//! A view means what it meant when it was defined. So after ADD or RENAME its text sees the relation as it was:
//!
//!     SELECT region, sum(amount) FROM public.sales AS sales GROUP BY region         region is renamed to zone
//!       ▶  SELECT zone AS region, sum(amount) FROM public.sales AS sales GROUP BY zone
//!     SELECT * FROM public.sales AS sales JOIN …                                     note is added
//!       ▶  SELECT * FROM (SELECT sales.region AS region, … FROM public.sales AS sales) AS sales JOIN …
//!
//! The first form is for a SELECT over the relation alone, where no name can mean anything else. The second is right for every
//! text, whatever it does with names: the relation is replaced by a list of the columns that it had. A text that cannot tell the
//! difference stays as it is.

use crate::definitions::{alias_of, identifier, qualified};
use crate::error::{ErrorKind, QueryError};
use crate::output_names::output_name;
use crate::returning::select;
use crate::standard_spellings::trees::constraint_of;
use crate::statement::parse_definition;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use catalog::definition::{Column, ObjectName};
use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, Ident, JoinConstraint, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::ops::ControlFlow;

/// What a relation was to the views that read it, and what it becomes.
#[derive(Debug)]
pub(crate) struct Change {
    before: ObjectName,
    after: ObjectName,
    /// The columns that it had, each with its new name; `None` for one that is dropped.
    columns: Vec<(String, Option<String>)>,
    added: Vec<String>,
}

impl Change {
    /// Columns are told apart by their ids.
    pub(crate) fn new(before: (&ObjectName, &[Column]), after: (&ObjectName, &[Column])) -> Self {
        let renamed = |column: &Column| after.1.iter().find(|new| new.id == column.id).map(|new| new.name.clone());
        let known = |column: &&Column| before.1.iter().any(|old| old.id == column.id);
        Self {
            before: before.0.clone(),
            after: after.0.clone(),
            columns: before.1.iter().map(|column| (column.name.clone(), renamed(column))).collect(),
            added: after.1.iter().filter(|column| !known(column)).map(|column| column.name.clone()).collect(),
        }
    }

    fn renamed(&self) -> impl Iterator<Item = (&str, &str)> {
        let kept = self.columns.iter().filter_map(|(old, new)| Some((old.as_str(), new.as_deref()?)));
        kept.filter(|(old, new)| old != new)
    }

    fn dropped(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter(|(_, new)| new.is_none()).map(|(old, _)| old.as_str())
    }

    fn is_before(&self, name: &ast::ObjectName) -> bool {
        names(name, &self.before)
    }
}

/// A bound text has names of two parts, so no name of a CTE is among them.
fn names(name: &ast::ObjectName, object: &ObjectName) -> bool {
    let mut parts = name.0.iter().map(|part| part.as_ident().map(fold));
    parts.next().flatten().is_some_and(|schema| schema == object.schema)
        && parts.next().flatten().is_some_and(|name| name == object.name)
        && parts.next().is_none()
}

/// The name of a relation that a pass is done with, so that the next one leaves it alone; no text can have it.
const DONE: &str = "\u{1}done";

/// The text after the change; `None` for one that counts on the positions of columns of which some are dropped.
pub(crate) fn followed(text: &str, change: &Change) -> Result<Option<String>, QueryError> {
    let mut query = parse_definition(text)?;
    if change.dropped().next().is_some() {
        let mut dropper = Dropper { change, positional: false };
        let _ = walk_mut(&mut query, &mut dropper);
        if dropper.positional {
            return Ok(None);
        }
    }
    let _ = walk_mut(&mut query, &mut Lists { change });
    let words = words_of(text)?;
    let renamed = change.renamed().next().is_some();
    if renamed && !change.renamed().any(|(_, new)| words.iter().any(|word| word == new)) {
        let _ = walk_mut(&mut query, &mut InPlace { change });
    }
    let lists = renamed || (!change.added.is_empty() && tells_columns(&mut query, &words, change));
    let mut naming = Naming { change, lists, error: None };
    let _ = walk_mut(&mut query, &mut naming);
    if let Some(error) = naming.error {
        return Err(error);
    }
    let _ = walk_mut(&mut query, &mut Done { after: &change.after });
    Ok(Some(query.to_string()))
}

/// All words of a text, folded as identifiers are.
fn words_of(text: &str) -> Result<Vec<String>, QueryError> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize();
    let tokens = tokens.map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))?;
    let words = tokens.into_iter().filter_map(|token| match token {
        Token::Word(word) if word.quote_style.is_some() => Some(word.value),
        Token::Word(word) => Some(word.value.to_ascii_lowercase()),
        _ => None,
    });
    Ok(words.collect())
}

/// Whether the meaning of a text may change with the columns that come.
fn tells_columns(query: &mut Query, words: &[String], change: &Change) -> bool {
    if change.added.iter().any(|name| words.contains(name)) {
        return true;
    }
    let mut finder = Finder { change, aliases: Vec::new(), found: false };
    let _ = walk_mut(query, &mut finder);
    // A relation's alias as a value is the whole row.
    let alias_is_value = |alias: &String| words.iter().filter(|word| *word == alias).count() > 1;
    finder.found || (finder.aliases.iter().any(alias_is_value) && has_bare_words(query, &finder.aliases))
}

fn has_bare_words(query: &mut Query, aliases: &[String]) -> bool {
    let mut finder = BareWords { aliases, found: false };
    let _ = walk_mut(query, &mut finder);
    finder.found
}

/// Finds `*` and NATURAL, and what the changed relation is called.
struct Finder<'a> {
    change: &'a Change,
    aliases: Vec<String>,
    found: bool,
}

impl VisitorMut for Finder<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        let reads = select.from.iter().any(|table| self.reads(table));
        let tells = select.projection.iter().any(wildcard) || select.from.iter().any(is_natural);
        self.found |= reads && tells;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, .. } = factor
            && self.change.is_before(name)
        {
            self.aliases
                .push(alias.as_ref().map_or_else(|| self.change.before.name.clone(), |alias| fold(&alias.name)));
        }
        ControlFlow::Continue(())
    }
}

impl Finder<'_> {
    fn reads(&self, table: &TableWithJoins) -> bool {
        let mut factors = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
        factors.any(|factor| match factor {
            TableFactor::Table { name, .. } => self.change.is_before(name),
            TableFactor::NestedJoin { table_with_joins, .. } => self.reads(table_with_joins),
            _ => false,
        })
    }
}

fn is_natural(table: &TableWithJoins) -> bool {
    let natural = |operator| matches!(constraint_of(operator), Some(JoinConstraint::Natural));
    let nested = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => is_natural(table_with_joins),
        _ => false,
    };
    nested(&table.relation) || table.joins.iter().any(|join| natural(&join.join_operator) || nested(&join.relation))
}

/// Finds values that are called as a relation is.
struct BareWords<'a> {
    aliases: &'a [String],
    found: bool,
}

impl VisitorMut for BareWords<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        // A star may be that of a relation further out.
        self.found |= select.projection.iter().any(|item| match item {
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                name.0.last().and_then(|part| part.as_ident()).is_some_and(|name| self.aliases.contains(&fold(name)))
            }
            _ => false,
        });
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        self.found |= match expression {
            Expr::Identifier(name) => self.aliases.contains(&fold(name)),
            // `count(t.*)` and the like name the row too.
            Expr::Function(_) | Expr::QualifiedWildcard(..) => {
                let text = expression.to_string().to_ascii_lowercase();
                self.aliases.iter().any(|alias| text.contains(&format!("{}.*", alias.to_ascii_lowercase())))
            }
            _ => false,
        };
        ControlFlow::Continue(())
    }
}

/// `(SELECT t.a AS a, … FROM relation AS t)`: the list of columns that [`Naming`] makes, and what it is called inside.
fn list_of<'a>(query: &'a mut Query, change: &Change) -> Option<(String, &'a mut Select)> {
    let alone = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let alias = only_relation(select, change)?;
    let plain = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr: Expr::CompoundIdentifier(path), .. } => {
            path.len() == 2 && fold(&path[0]) == alias
        }
        _ => false,
    };
    let rows = select.selection.is_none()
        && select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    (alone && rows && select.projection.iter().all(plain)).then_some((alias, select))
}

/// What the changed relation is called in a SELECT that reads nothing else.
fn only_relation(select: &Select, change: &Change) -> Option<String> {
    let [TableWithJoins { relation: TableFactor::Table { name, alias, args: None, .. }, joins }] =
        select.from.as_slice()
    else {
        return None;
    };
    let positional = alias.as_ref().is_some_and(|alias| !alias.columns.is_empty());
    let found = joins.is_empty() && !positional && change.is_before(name);
    found.then(|| alias.as_ref().map_or_else(|| change.before.name.clone(), |alias| fold(&alias.name)))
}

/// Takes dropped columns off the lists.
struct Dropper<'a> {
    change: &'a Change,
    positional: bool,
}

impl VisitorMut for Dropper<'_> {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, alias: Some(alias), .. } if !alias.columns.is_empty() => {
                self.positional |= self.change.is_before(name);
            }
            TableFactor::Derived { subquery, alias: Some(alias), .. } if alias.columns.is_empty() => {
                if let Some((_, list)) = list_of(subquery, self.change) {
                    list.projection.retain(|item| match item {
                        SelectItem::ExprWithAlias { expr: Expr::CompoundIdentifier(path), .. } => {
                            !self.change.dropped().any(|dropped| fold(&path[1]) == dropped)
                        }
                        _ => true,
                    });
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Renames columns in the lists. Nothing else is in them, so nothing else can be meant.
struct Lists<'a> {
    change: &'a Change,
}

impl VisitorMut for Lists<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some((_, list)) = list_of(query, self.change) else { return ControlFlow::Continue(()) };
        for item in &mut list.projection {
            if let SelectItem::ExprWithAlias { expr: Expr::CompoundIdentifier(path), .. } = item
                && let Some((_, new)) = self.change.renamed().find(|(old, _)| fold(&path[1]) == *old)
            {
                path[1] = identifier(new);
            }
        }
        if let Some(TableFactor::Table { name, .. }) = list.from.first_mut().map(|table| &mut table.relation) {
            *name = ast::ObjectName::from(vec![Ident::new(DONE)]);
        }
        ControlFlow::Continue(())
    }
}

/// Renames columns where a SELECT reads the relation alone.
struct InPlace<'a> {
    change: &'a Change,
}

impl VisitorMut for InPlace<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_ref() else { return ControlFlow::Continue(()) };
        let Some(alias) = only_relation(select, self.change) else { return ControlFlow::Continue(()) };
        let mut nested = Nested { queries: 0, stars: false };
        let _ = walk_mut(query, &mut nested);
        if nested.queries > 1 || nested.stars || query.with.is_some() {
            return ControlFlow::Continue(());
        }
        self.rename(query, &alias);
        ControlFlow::Continue(())
    }
}

impl InPlace<'_> {
    fn rename(&self, query: &mut Query, alias: &str) {
        let SetExpr::Select(select) = query.body.as_mut() else { return };
        let shown: Vec<Option<String>> = select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::UnnamedExpr(expression) => Some(output_name(expression)),
                _ => None,
            })
            .collect();
        let mut columns = Columns { change: self.change, alias };
        // ORDER BY names outputs first, which keep their names.
        let mut order_by = query.order_by.take();
        let _ = walk_mut(query, &mut columns);
        let SetExpr::Select(select) = query.body.as_mut() else { return };
        for (item, before) in select.projection.iter_mut().zip(shown) {
            if let (SelectItem::UnnamedExpr(expression), Some(before)) = (&*item, before)
                && output_name(expression) != before
            {
                *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias: identifier(&before) };
            }
        }
        let outputs: Vec<String> = select
            .projection
            .iter()
            .filter_map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
                SelectItem::UnnamedExpr(expression) => Some(output_name(expression)),
                _ => None,
            })
            .collect();
        if let Some(OrderByKind::Expressions(keys)) = order_by.as_mut().map(|order| &mut order.kind) {
            for key in keys {
                if !matches!(&key.expr, Expr::Identifier(name) if outputs.contains(&fold(name))) {
                    let _ = walk_mut(&mut key.expr, &mut columns);
                }
            }
        }
        query.order_by = order_by;
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Some(TableFactor::Table { name, alias: known, .. }) =
                select.from.first_mut().map(|table| &mut table.relation)
        {
            known.get_or_insert_with(|| alias_of(alias));
            *name = ast::ObjectName::from(vec![Ident::new(DONE)]);
        }
    }
}

/// Counts queries, and looks for `*`.
struct Nested {
    queries: usize,
    stars: bool,
}

impl VisitorMut for Nested {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        self.stars |= select.projection.iter().any(star);
        ControlFlow::Continue(())
    }
}

/// Renames columns in expressions of a SELECT over the relation alone.
struct Columns<'a> {
    change: &'a Change,
    alias: &'a str,
}

impl VisitorMut for Columns<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let column = match expression {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(path) if path.len() > 1 && fold(&path[0]) == self.alias => path.get_mut(1),
            _ => None,
        };
        if let Some(column) = column
            && let Some((_, new)) = self.change.renamed().find(|(old, _)| fold(column) == *old)
        {
            *column = identifier(new);
        }
        ControlFlow::Continue(())
    }
}

/// Gives the relation its new name, or puts the list of the columns that it had in its place.
struct Naming<'a> {
    change: &'a Change,
    lists: bool,
    error: Option<QueryError>,
}

impl VisitorMut for Naming<'_> {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, .. } = factor else { return ControlFlow::Continue(()) };
        if !self.change.is_before(name) {
            return ControlFlow::Continue(());
        }
        *name = ast::ObjectName::from(vec![Ident::new(DONE)]);
        let outer = alias.get_or_insert_with(|| alias_of(&self.change.before.name)).clone();
        if self.lists {
            alias.iter_mut().for_each(|alias| alias.columns.clear());
            match self.list(factor.clone(), &outer.name) {
                Ok(subquery) => {
                    *factor = TableFactor::Derived {
                        lateral: false,
                        subquery: Box::new(subquery),
                        alias: Some(outer),
                        sample: None,
                    };
                }
                Err(error) => self.error = Some(error),
            }
        }
        ControlFlow::Continue(())
    }
}

impl Naming<'_> {
    fn list(&self, relation: TableFactor, alias: &Ident) -> Result<Query, QueryError> {
        let kept = self.change.columns.iter().filter_map(|(old, new)| Some((old, new.as_ref()?)));
        let items = kept.map(|(old, new)| SelectItem::ExprWithAlias {
            expr: Expr::CompoundIdentifier(vec![alias.clone(), identifier(new)]),
            alias: identifier(old),
        });
        select(items.collect(), vec![TableWithJoins { relation, joins: Vec::new() }], None, None)
    }
}

/// Gives the relation its name where a pass was done with it.
struct Done<'a> {
    after: &'a ObjectName,
}

impl VisitorMut for Done<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor
            && name.0.len() == 1
            && name.0[0].as_ident().is_some_and(|part| part.value == DONE)
        {
            *name = qualified(self.after);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
