//! WITH RECURSIVE: the types of a recursive query's two terms.
//!
//! PostgreSQL takes a recursive query's types from its first term and refuses a second one that would widen them. The
//! planner casts instead, and wants fields that agree in everything, also in what a table's column knows of itself.
//! So both terms are planned alone first, compared as PostgreSQL compares them, and cast to the types of the first:
//!
//!     WITH RECURSIVE r(n) AS (first UNION ALL second)
//!     ▶ WITH RECURSIVE r(n) AS (SELECT c::integer FROM (first) t(c) UNION ALL SELECT c::integer FROM (second) t(c))

use super::rows::column_names;
use super::trees::{quoted, select_over};
use super::windows::Context;
use crate::assignment::cast_syntax;
use crate::error::{ErrorKind, QueryError};
use crate::operators::candidates::common_type;
use crate::output_names::shown_name;
use crate::query_places::output_place;
use crate::returning;
use crate::statement_grammar::fold;
use crate::user_types::type_of_oid;
use arrow::datatypes::Field;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Ident, ObjectName, Query, SelectItem, SetExpr, SetOperator, Value, ValueWithSpan, Visit, Visitor, With,
};
use std::ops::ControlFlow;

/// Settles the recursive queries of a WITH.
pub(super) fn settle(query: &mut Query, context: Context<'_>) -> Result<(), QueryError> {
    let Some(with) = query.with.as_mut().filter(|with| with.recursive) else { return Ok(()) };
    for index in 0..with.cte_tables.len() {
        let before = With { cte_tables: with.cte_tables[..index].to_vec(), ..with.clone() };
        settle_table(&mut with.cte_tables[index], before, context)?;
    }
    Ok(())
}

fn settle_table(table: &mut Cte, before: With, context: Context<'_>) -> Result<(), QueryError> {
    let name = fold(&table.alias.name);
    let query = table.query.as_ref();
    let SetExpr::SetOperation { op: SetOperator::Union, left, right, .. } = query.body.as_ref() else { return Ok(()) };
    if !refers_to(right, &name) {
        return Ok(());
    }
    let misplaced = [
        ("ORDER BY", query.order_by.is_some()),
        ("LIMIT", query.limit_clause.is_some() || query.fetch.is_some()),
        ("FOR UPDATE/SHARE", !query.locks.is_empty()),
    ];
    if let Some((clause, _)) = misplaced.into_iter().find(|(_, there)| *there) {
        let message = format!("{clause} in a recursive query is not implemented");
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
    }
    // What cannot be planned alone is left to the planner, which will say why.
    let outer = (!before.cte_tables.is_empty()).then_some(before);
    let Some(first) = fields(left, outer.clone(), context) else { return Ok(()) };
    let mut known = outer.unwrap_or_else(empty_with);
    known.cte_tables.push(standing_in(table, left)?);
    let Some(second) = fields(right, Some(known), context) else { return Ok(()) };
    if first.len() != second.len() {
        return Ok(());
    }
    let types: Vec<SqlType> = first.iter().map(type_of).collect();
    if types.iter().any(|known| matches!(known, SqlType::Oid | SqlType::Reg(_) | SqlType::Char | SqlType::Name)) {
        return Ok(());
    }
    for (column, (static_type, field)) in types.iter().zip(&second).enumerate() {
        if !is_untyped(right, column) {
            compare(&name, column, static_type, &type_of(field))
                .map_err(|error| error.position(place(left, column, context)))?;
        }
    }
    let SetExpr::SetOperation { left, right, .. } = table.query.body.as_mut() else { return Ok(()) };
    let names: Vec<String> = first.iter().map(|field| shown_name(field.name()).to_string()).collect();
    **left = cast_to(left, &types, &names)?;
    **right = cast_to(right, &types, &names)?;
    Ok(())
}

fn place(body: &SetExpr, column: usize, context: Context<'_>) -> Option<usize> {
    output_place(context.statement?, body, column)
}

fn empty_with() -> With {
    use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
    With { with_token: AttachedToken::empty(), recursive: true, cte_tables: Vec::new() }
}

/// The recursive table with its first term only.
fn standing_in(table: &Cte, first: &SetExpr) -> Result<Cte, QueryError> {
    let mut standing = table.clone();
    *standing.query = body_query(first, None)?;
    Ok(standing)
}

fn body_query(body: &SetExpr, with: Option<With>) -> Result<Query, QueryError> {
    let mut query = returning::select(Vec::new(), Vec::new(), None, with)?;
    *query.body = body.clone();
    Ok(query)
}

/// The columns that a term gives, where it can be planned.
fn fields(body: &SetExpr, with: Option<With>, context: Context<'_>) -> Option<Vec<Field>> {
    let query = body_query(body, with).ok()?;
    let plan = context.planning.again().query_plan(&query, &[], context.statement).ok()?;
    Some(plan.schema().fields().iter().map(|field| field.as_ref().clone()).collect())
}

/// The type of a column; that of a lone NULL is text.
fn type_of(field: &Field) -> SqlType {
    SqlType::from_field(field).unwrap_or(SqlType::Text)
}

fn is_untyped(body: &SetExpr, column: usize) -> bool {
    let SetExpr::Select(select) = body else { return false };
    let Some(SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }) =
        select.projection.get(column)
    else {
        return false;
    };
    matches!(item, Expr::Value(ValueWithSpan { value: Value::Null | Value::SingleQuotedString(_), .. }))
}

fn compare(name: &str, column: usize, first: &SqlType, second: &SqlType) -> Result<(), QueryError> {
    if first.to_string() == second.to_string() {
        return Ok(());
    }
    let overall = match overall(first, second) {
        Some(overall) if overall == first.to_string() => return Ok(()),
        Some(overall) => overall,
        None => {
            let (first, second) = (first.base_name(), second.base_name());
            let message = format!("UNION types {first} and {second} cannot be matched");
            return Err(QueryError::new(ErrorKind::DatatypeMismatch, message));
        }
    };
    let message = format!(
        "recursive query \"{name}\" column {} has type {first} in non-recursive term but type {overall} overall",
        column + 1
    );
    Err(QueryError::new(ErrorKind::DatatypeMismatch, message)
        .hint("Cast the output of the non-recursive term to the correct type."))
}

/// The type of a union of two types, if there is one.
fn overall(first: &SqlType, second: &SqlType) -> Option<String> {
    type_of_oid(common_type(&[first.oid(), second.oid()])?).map(|common| common.base_name())
}

/// `SELECT c1::type AS name, … FROM (body) AS t(c1, …)`
fn cast_to(body: &SetExpr, types: &[SqlType], names: &[String]) -> Result<SetExpr, QueryError> {
    let columns = column_names(types.len());
    let items = columns.iter().zip(types).zip(names).map(|((column, sql_type), name)| {
        let expr = cast_syntax(Expr::Identifier(quoted(column)), sql_type)?;
        Ok(SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) })
    });
    let items = items.collect::<Result<Vec<_>, QueryError>>()?;
    Ok(*select_over(body_query(body, None)?, "term@", &columns, items, None)?.body)
}

/// Whether a relation is named somewhere in a body.
fn refers_to(body: &SetExpr, name: &str) -> bool {
    matches!(Visit::visit(body, &mut Reference(name)), ControlFlow::Break(()))
}

struct Reference<'a>(&'a str);

impl Visitor for Reference<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let named = relation.0.len() == 1 && relation.0[0].as_ident().is_some_and(|ident| fold(ident) == self.0);
        if named { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
