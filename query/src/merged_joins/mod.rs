//! Joins with USING and NATURAL: the columns that both sides have in common are one.
//!
//! PostgreSQL shows a merged column once and first in `*`; it is the left side's column, the right side's after RIGHT
//! JOIN and the first that is not NULL of both after FULL JOIN; `a.k` still means what `a` has. Here such a join is a
//! relation of its own:
//!
//!     a FULL JOIN b USING (k)  ▶  (a FULL JOIN b USING (k)) AS "merge@0"
//!
//! which [`planning`] plans as a projection. It gives the merged columns the names that are free for anybody, and
//! hides those of the two sides under names that cannot be typed:
//!
//!     "merge@0".k, a."k⌑", a.x, b."k⌑", b.y
//!
//! Which columns there are only the planner knows. So a query is planned once to find out, and where a `*` or `a.k`
//! must be told the hidden names, once more with [`Merges`] in hand.

mod planning;

pub(crate) use planning::MergePlanner;

use crate::output_names::shown_name;
use crate::pg_catalog::select_query;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The alias of a join that merges columns, before its number.
const PREFIX: &str = "merge@";
/// Between the name of a column that was merged and the place of its join; cannot be typed in SQL.
const HIDER: &str = "\u{1}merged";

/// What planning found out of the joins of a query, by their number.
pub(crate) type Merges = BTreeMap<usize, Merge>;

/// The columns of one join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Merge {
    /// What `*` shows, in order.
    visible: Vec<(Option<TableReference>, String)>,
    /// All columns of both sides, in order, those that were merged under the names that they still have.
    sides: Vec<(TableReference, String)>,
    /// A table, its column that was merged, and the name under which that can still be meant.
    hidden: Vec<Hidden>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Hidden {
    table: String,
    column: String,
    name: String,
}

/// Whether a column is a side of a merged one, which `*` does not show.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.contains(HIDER)
}

fn number_of(alias: &TableAlias) -> Option<usize> {
    alias.name.value.strip_prefix(PREFIX)?.parse().ok()
}

/// Makes joins that merge columns relations of their own; what is known of them from an earlier planning tells stars
/// and qualified names what they mean.
pub(crate) fn settle(query: &mut Query, known: &Merges) {
    let _ = walk_mut(query, &mut Settler { known, next: 0 });
}

struct Settler<'a> {
    known: &'a Merges,
    next: usize,
}

impl VisitorMut for Settler<'_> {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let hidden = self.settle_body(&mut query.body);
        if !hidden.is_empty()
            && let Some(order) = &mut query.order_by
        {
            rename(order, &hidden);
        }
        ControlFlow::Continue(())
    }
}

impl Settler<'_> {
    /// Settles the SELECTs of a query's body; the names that are hidden in its only one.
    fn settle_body(&mut self, body: &mut SetExpr) -> Vec<Hidden> {
        match body {
            SetExpr::Select(select) => self.settle_select(select),
            SetExpr::SetOperation { left, right, .. } => {
                self.settle_body(left);
                self.settle_body(right);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn settle_select(&mut self, select: &mut Select) -> Vec<Hidden> {
        let before = self.next;
        for tables in &mut select.from {
            self.nest(tables);
        }
        if self.next == before {
            return Vec::new();
        }
        let mut hidden = Vec::new();
        for tables in &mut select.from {
            self.rename_in_joins(tables, &mut hidden);
        }
        if let Some(stars) = select.from.iter().map(|tables| self.star(tables)).collect::<Option<Vec<_>>>() {
            let stars = stars.concat();
            let items = std::mem::take(&mut select.projection).into_iter();
            let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_));
            select.projection =
                items.flat_map(|item| if is_star(&item) { stars.clone() } else { vec![item] }).collect();
        }
        if !hidden.is_empty() {
            self.show_tables(select);
            let from = std::mem::take(&mut select.from);
            rename(select, &hidden);
            select.from = from;
        }
        hidden
    }

    /// `a.*` and `a.k` have the names that they have in `a`.
    fn show_tables(&self, select: &mut Select) {
        let Select { projection, from, .. } = select;
        let mut shown = Vec::with_capacity(projection.len());
        for item in std::mem::take(projection) {
            match item {
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                    let alias = parts.last().map(|name| quoted(fold(name)));
                    let expr = Expr::CompoundIdentifier(parts);
                    shown.push(match alias {
                        Some(alias) => SelectItem::ExprWithAlias { expr, alias },
                        None => SelectItem::UnnamedExpr(expr),
                    });
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let table = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
                    let columns: Vec<_> = from.iter().flat_map(|tables| self.columns_of(tables, &table)).collect();
                    if columns.is_empty() {
                        let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
                        shown.push(SelectItem::QualifiedWildcard(kind, options));
                    }
                    shown.extend(columns.into_iter().map(|(table, column)| {
                        let alias = quoted(shown_name(column).to_string());
                        SelectItem::ExprWithAlias { expr: column_name(Some(table), column), alias }
                    }));
                }
                other => shown.push(other),
            }
        }
        *projection = shown;
    }

    /// The columns of a table behind the outermost join that merges some of them.
    fn columns_of(&self, tables: &TableWithJoins, table: &str) -> Vec<&(TableReference, String)> {
        let factors = std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation));
        let of_factor = |factor: &TableFactor| match factor {
            TableFactor::NestedJoin { alias: Some(alias), .. } => {
                let merge = number_of(alias).and_then(|number| self.known.get(&number));
                let sides = merge.into_iter().flat_map(|merge| &merge.sides);
                sides.filter(|(known, _)| known.table() == table).collect()
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.columns_of(table_with_joins, table),
            _ => Vec::new(),
        };
        factors.flat_map(of_factor).collect()
    }

    /// Puts what stands before and in a join that merges into a relation.
    fn nest(&mut self, tables: &mut TableWithJoins) {
        self.nest_factor(&mut tables.relation);
        for mut join in std::mem::take(&mut tables.joins) {
            self.nest_factor(&mut join.relation);
            let merges = matches!(constraint(&join), Some(JoinConstraint::Using(_) | JoinConstraint::Natural));
            tables.joins.push(join);
            if !merges {
                continue;
            }
            let alias = alias(&format!("{PREFIX}{}", self.next));
            self.next += 1;
            let inside = std::mem::replace(tables, TableWithJoins { relation: nothing(), joins: Vec::new() });
            tables.relation = TableFactor::NestedJoin { table_with_joins: Box::new(inside), alias: Some(alias) };
        }
    }

    /// Joins in parentheses. With a name they are a subquery, of which only the columns that `*` shows can be meant.
    fn nest_factor(&mut self, factor: &mut TableFactor) {
        let TableFactor::NestedJoin { table_with_joins, alias } = factor else { return };
        let before = self.next;
        self.nest(table_with_joins);
        if self.next == before || alias.is_none() {
            return;
        }
        let tables =
            std::mem::replace(table_with_joins.as_mut(), TableWithJoins { relation: nothing(), joins: Vec::new() });
        let star = SelectItem::Wildcard(WildcardAdditionalOptions::default());
        let items = self.star(&tables).unwrap_or_else(|| vec![star]);
        let mut query = select_query(items, None);
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.from = vec![tables];
        }
        *factor = TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: alias.take(), sample: None };
    }

    /// What `*` shows of a FROM item; `None` while that is not known.
    fn star(&self, tables: &TableWithJoins) -> Option<Vec<SelectItem>> {
        let mut items = self.star_of(&tables.relation)?;
        for join in &tables.joins {
            items.extend(self.star_of(&join.relation)?);
        }
        Some(items)
    }

    fn star_of(&self, factor: &TableFactor) -> Option<Vec<SelectItem>> {
        let name = match factor {
            TableFactor::NestedJoin { alias: Some(alias), .. } if number_of(alias).is_some() => {
                let merge = self.known.get(&number_of(alias)?)?;
                return Some(merge.visible.iter().map(column_item).collect());
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => return self.star(table_with_joins),
            TableFactor::Table { alias: None, name, args: None, .. } => name.clone(),
            TableFactor::Table { alias: None, name, .. } | TableFactor::Function { alias: None, name, .. } => {
                ObjectName(name.0.last().cloned().into_iter().collect())
            }
            TableFactor::UNNEST { alias: None, .. } => ObjectName::from(vec![Ident::new("unnest")]),
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. } => ObjectName::from(vec![alias.name.clone()]),
            _ => return None,
        };
        let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
        Some(vec![SelectItem::QualifiedWildcard(kind, WildcardAdditionalOptions::default())])
    }

    /// Gives conditions and lateral subqueries the names that the joins before them have hidden, and adds those of
    /// this FROM item.
    fn rename_in_joins(&self, tables: &mut TableWithJoins, hidden: &mut Vec<Hidden>) {
        self.rename_in_factor(&mut tables.relation, hidden);
        for join in &mut tables.joins {
            self.rename_in_factor(&mut join.relation, hidden);
            if !hidden.is_empty()
                && let Some(JoinConstraint::On(condition)) = constraint_mut(join)
            {
                rename(condition, hidden);
            }
        }
    }

    fn rename_in_factor(&self, factor: &mut TableFactor, hidden: &mut Vec<Hidden>) {
        let TableFactor::NestedJoin { table_with_joins, alias } = factor else {
            if !hidden.is_empty() {
                rename(factor, hidden);
            }
            return;
        };
        self.rename_in_joins(table_with_joins, hidden);
        let merge = alias.as_ref().and_then(number_of).and_then(|number| self.known.get(&number));
        hidden.extend(merge.iter().flat_map(|merge| merge.hidden.iter().cloned()));
    }
}

fn column_item((table, column): &(Option<TableReference>, String)) -> SelectItem {
    SelectItem::UnnamedExpr(column_name(table.as_ref(), column))
}

/// A column's name in full.
pub(crate) fn column_name(table: Option<&TableReference>, column: &str) -> Expr {
    let mut parts: Vec<Ident> = table.iter().flat_map(|table| table.to_vec()).map(quoted).collect();
    parts.push(quoted(column.to_string()));
    match parts.len() {
        1 => Expr::Identifier(parts.remove(0)),
        _ => Expr::CompoundIdentifier(parts),
    }
}

fn quoted(name: String) -> Ident {
    Ident::with_quote('"', name)
}

fn alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: quoted(name.to_string()), columns: Vec::new(), at: None }
}

/// What stands for a relation while it is moved.
fn nothing() -> TableFactor {
    crate::returning::table_factor(ObjectName(Vec::new()), None)
}

fn constraint(join: &Join) -> Option<&JoinConstraint> {
    use JoinOperator::{FullOuter, Inner, Join as Plain, Left, LeftOuter, Right, RightOuter};
    match &join.join_operator {
        Plain(on) | Inner(on) | Left(on) | LeftOuter(on) | Right(on) | RightOuter(on) | FullOuter(on) => Some(on),
        _ => None,
    }
}

fn constraint_mut(join: &mut Join) -> Option<&mut JoinConstraint> {
    use JoinOperator::{FullOuter, Inner, Join as Plain, Left, LeftOuter, Right, RightOuter};
    match &mut join.join_operator {
        Plain(on) | Inner(on) | Left(on) | LeftOuter(on) | Right(on) | RightOuter(on) | FullOuter(on) => Some(on),
        _ => None,
    }
}

/// Gives columns that were merged the names under which their tables still have them.
fn rename(tree: &mut impl VisitMut, hidden: &[Hidden]) {
    let _ = walk_mut(tree, &mut Renamer { hidden, shadows: Vec::new() });
}

struct Renamer<'a> {
    hidden: &'a [Hidden],
    /// The tables of the subqueries around the expression, which go by their own names.
    shadows: Vec<Vec<String>>,
}

impl VisitorMut for Renamer<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut names = Vec::new();
        if let SetExpr::Select(select) = query.body.as_ref() {
            select.from.iter().for_each(|tables| collect_names(tables, &mut names));
        }
        self.shadows.push(names);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.shadows.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let Expr::CompoundIdentifier(parts) = expression else { return ControlFlow::Continue(()) };
        let [.., table, column] = parts.as_mut_slice() else { return ControlFlow::Continue(()) };
        let (table, name) = (fold(table), fold(column));
        if self.shadows.iter().flatten().any(|shadow| *shadow == table) {
            return ControlFlow::Continue(());
        }
        if let Some(hidden) = self.hidden.iter().find(|hidden| hidden.table == table && hidden.column == name) {
            let span = column.span;
            *column = quoted(hidden.name.clone());
            column.span = span;
        }
        ControlFlow::Continue(())
    }
}

fn collect_names(tables: &TableWithJoins, names: &mut Vec<String>) {
    for factor in std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => collect_names(table_with_joins, names),
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. } => names.push(fold(&alias.name)),
            TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => {
                names.extend(name.0.last().and_then(|part| part.as_ident()).map(fold));
            }
            _ => {}
        }
    }
}

/// The name under which a table still has a column that was merged in a join.
fn hidden_side(column: &str, number: usize, side: usize) -> String {
    format!("{}{HIDER}{number}.{side}", shown_name(column))
}
