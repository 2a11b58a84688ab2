//! Keys of ORDER BY that must be outputs: of rows that are DISTINCT, and of those of UNION and the like, nothing else is left to order by.
//!
//!     SELECT DISTINCT upper(c) FROM t ORDER BY upper(c)   ▶   SELECT DISTINCT upper(c) FROM t ORDER BY 1
//!     SELECT DISTINCT a FROM t ORDER BY a + 0             is an error
//!
//! The planner looks for the columns inside of a key and not for the key. An expression that an item of the select list is becomes the
//! number of that output; [`misplaced_key`] finds what PostgreSQL refuses in a query that the planner takes. A key that may be one with an output
//! by its type, as `a::int` is with an integer `a`, is left to the planner. DISTINCT ON has rules of its own.

use super::names::is_star;
use super::nesting::each_expr;
use super::trees::{bare, constraint_of};
use crate::error::{ErrorKind, QueryError};
use crate::output_names::output_name;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    CastKind, Distinct, Expr, Ident, Join, JoinConstraint, ObjectNamePart, OrderBy, OrderByKind, Query, Select,
    SelectItem, SetExpr, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// Gives keys that are outputs of a SELECT DISTINCT the numbers of these.
pub(super) fn number_outputs(query: &mut Query) {
    let Query { body, order_by: Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }), .. } = query else {
        return;
    };
    let SetExpr::Select(select) = body.as_ref() else { return };
    if !matches!(select.distinct, Some(Distinct::Distinct)) {
        return;
    }
    let tables = Tables::of(select);
    for key in keys.iter_mut().filter(|key| !is_name_or_number(&key.expr)) {
        // From a star on only the planner knows the numbers.
        let mut known = select.projection.iter().take_while(|item| !is_star(item)).filter_map(expression_of);
        if let Some(place) = known.position(|output| tables.same(&key.expr, output)) {
            key.expr = Expr::Value(Value::Number((place + 1).to_string(), false).into());
        }
    }
}

/// A key of a query's ORDER BY that PostgreSQL does not take, and what it says of it.
pub(crate) fn misplaced_key(query: &Query) -> Option<(QueryError, Expr)> {
    let OrderBy { kind: OrderByKind::Expressions(keys), .. } = query.order_by.as_ref()? else { return None };
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { .. } => {
            let key = keys.iter().map(|key| &key.expr).find(|key| !is_name_or_number(key))?;
            return Some((no_result_column(), key.clone()));
        }
        _ => return None,
    };
    let tables = Tables::of(select);
    let is_distinct = matches!(select.distinct, Some(Distinct::Distinct));
    keys.iter().map(|key| &key.expr).find_map(|key| {
        let error = match name_of(key) {
            Some(name) => ambiguous(&name, select, &tables)?,
            None if is_distinct && !may_be_output(key, select, &tables) => absent(),
            None => return None,
        };
        Some((error, key.clone()))
    })
}

/// The key of a SELECT DISTINCT after which the planner has found that one is no output.
pub(crate) fn absent_key(query: &Query) -> Option<Expr> {
    let OrderBy { kind: OrderByKind::Expressions(keys), .. } = query.order_by.as_ref()? else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    if !matches!(select.distinct, Some(Distinct::Distinct)) {
        return None;
    }
    let tables = Tables::of(select);
    let is_output = |key: &Expr| {
        let name = name_of(key);
        let named = |item: &SelectItem| name.is_some() && name_of_output(item) == name;
        matches!(bare(key), Expr::Value(_))
            || select.projection.iter().any(|item| {
                named(item) || is_star(item) || expression_of(item).is_some_and(|output| tables.same(key, output))
            })
    };
    keys.iter().map(|key| &key.expr).find(|key| !is_output(key)).cloned()
}

fn no_result_column() -> QueryError {
    QueryError::new(ErrorKind::FeatureNotSupported, "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
        .detail("Only result column names can be used, not expressions or functions.")
        .hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.")
}

fn absent() -> QueryError {
    let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
    QueryError::new(ErrorKind::InvalidColumnReference, message)
}

/// The error of a name that outputs have which are not the same.
fn ambiguous(name: &str, select: &Select, tables: &Tables) -> Option<QueryError> {
    let named = |item: &&SelectItem| name_of_output(item).as_deref() == Some(name);
    let mut outputs = select.projection.iter().filter(named).filter_map(expression_of);
    let first = outputs.next()?;
    let is_other = |output: &Expr| !may_be_one(first, output) && !tables.same_but_for_type(first, output);
    let error = || QueryError::new(ErrorKind::AmbiguousColumn, format!("ORDER BY \"{name}\" is ambiguous"));
    outputs.any(is_other).then(error)
}

/// Whether one of two columns may be the other without the name of its table, as that of a join that merges columns may.
fn may_be_one(one: &Expr, other: &Expr) -> bool {
    let words = |expression: &Expr| match bare(expression) {
        Expr::Identifier(name) => vec![fold(name)],
        Expr::CompoundIdentifier(names) => names.iter().map(fold).collect(),
        _ => Vec::new(),
    };
    let (one, other) = (words(one), words(other));
    !one.is_empty() && !other.is_empty() && (one.ends_with(&other) || other.ends_with(&one))
}

/// Whether a key that is an expression may be an item of a select list.
fn may_be_output(key: &Expr, select: &Select, tables: &Tables) -> bool {
    is_name_or_number(key)
        || select.projection.iter().filter_map(expression_of).any(|output| tables.same_but_for_type(key, output))
}

/// What needs no comparison, or is none by its words alone.
fn is_name_or_number(key: &Expr) -> bool {
    matches!(
        bare(key),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } | Expr::Value(_)
    )
}

fn name_of(key: &Expr) -> Option<String> {
    match bare(key) {
        Expr::Identifier(name) => Some(fold(name)),
        _ => None,
    }
}

fn expression_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => Some(expression),
        _ => None,
    }
}

fn name_of_output(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expression) => Some(output_name(expression)),
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    }
}

/// The names of a SELECT's tables, behind which its columns are those that are called without them.
struct Tables(Vec<String>);

impl Tables {
    fn of(select: &Select) -> Self {
        let mut names = Vec::new();
        match select.from.iter().all(|tables| collect(tables, &mut names)) {
            true => Self(names),
            false => Self(Vec::new()),
        }
    }

    /// Whether two expressions are the same but for parentheses and spelling.
    fn same(&self, one: &Expr, other: &Expr) -> bool {
        self.same_plain(plain(one, false), plain(other, false))
    }

    /// The same without regard to casts.
    fn same_but_for_type(&self, one: &Expr, other: &Expr) -> bool {
        self.same_plain(plain(one, true), plain(other, true))
    }

    fn same_plain(&self, one: Expr, other: Expr) -> bool {
        if one == other {
            return true;
        }
        let (Some(one), Some(other)) = (self.unqualified(one), self.unqualified(other)) else { return false };
        let mut columns = one.1.iter().zip(&other.1);
        // Behind the names of two tables one name is two columns.
        one.0 == other.0 && columns.all(|(one, other)| one == other || one.is_none() || other.is_none())
    }

    /// An expression with its columns behind no table's name, and the names in their order; `None` where there are queries in it.
    fn unqualified(&self, mut expression: Expr) -> Option<(Expr, Vec<Option<String>>)> {
        let has_query = each_expr(&expression, |part, queries| match part {
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
            _ if queries > 0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        if has_query.is_break() {
            return None;
        }
        let mut visitor = Unqualifier { tables: &self.0, qualifiers: Vec::new() };
        let _ = VisitMut::visit(&mut expression, &mut visitor);
        Some((expression, visitor.qualifiers))
    }
}

/// Whether a join makes one column of two.
pub(super) fn merges(join: &Join) -> bool {
    let constraint = constraint_of(&join.join_operator);
    matches!(constraint, Some(JoinConstraint::Using(_) | JoinConstraint::Natural))
}

/// Gathers the names of tables; false where a column of two tables is one without a name before it.
fn collect(tables: &TableWithJoins, names: &mut Vec<String>) -> bool {
    for factor in std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. } => names.push(fold(&alias.name)),
            TableFactor::Table { name, .. } => {
                names.extend(name.0.last().and_then(|part| part.as_ident()).map(fold));
            }
            _ => {}
        }
    }
    !tables.joins.iter().any(merges)
}

/// An expression with its words as they are looked up and without parentheses; on demand without casts.
fn plain(expression: &Expr, drops_casts: bool) -> Expr {
    let mut plain = expression.clone();
    let _ = VisitMut::visit(&mut plain, &mut Plainer { drops_casts });
    plain
}

struct Plainer {
    drops_casts: bool,
}

impl VisitorMut for Plainer {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Nested(inner) => *expression = inner.as_ref().clone(),
            Expr::Cast { expr, .. } if self.drops_casts => *expression = expr.as_ref().clone(),
            Expr::Cast { kind, .. } => *kind = CastKind::Cast,
            Expr::Identifier(name) => *name = folded(name),
            Expr::CompoundIdentifier(names) => names.iter_mut().for_each(|name| *name = folded(name)),
            Expr::Function(function) => {
                for part in &mut function.name.0 {
                    if let ObjectNamePart::Identifier(name) = part {
                        *name = folded(name);
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn folded(name: &Ident) -> Ident {
    Ident::new(fold(name))
}

struct Unqualifier<'a> {
    tables: &'a [String],
    /// The names before columns, in their order.
    qualifiers: Vec<Option<String>>,
}

impl VisitorMut for Unqualifier<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(_) => self.qualifiers.push(None),
            Expr::CompoundIdentifier(names) => {
                if let [.., table, column] = names.as_slice()
                    && self.tables.contains(&table.value)
                {
                    self.qualifiers.push(Some(table.value.clone()));
                    *expression = Expr::Identifier(column.clone());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
