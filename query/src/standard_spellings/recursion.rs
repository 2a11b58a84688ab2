//! WITH RECURSIVE: the types of a recursive query's two terms.
//!
//! PostgreSQL takes a recursive query's types from its first term and refuses a second one that would widen them. The
//! planner casts instead, and wants fields that agree in everything, also in what a table's column knows of itself.
//! So both terms are planned alone first, compared as PostgreSQL compares them, and cast to the types of the first:
//!
//!     WITH RECURSIVE r(n) AS (first UNION ALL second)
//!     ▶ WITH RECURSIVE r(n) AS (SELECT c::integer FROM (first) t(c) UNION ALL SELECT c::integer FROM (second) t(c))
//!
//! A numeric without a modifier has in PostgreSQL the digits of each value, and here those of its column. Where the
//! second term gives more digits than the first, both get the scale at which the second term, over rows of that scale,
//! asks for no more: `v + 0.25` over `9` settles at two digits. One that asks for more each time, such as `v * 1.05`,
//! becomes a numeric of unknown digits.

use super::rows::column_names;
use super::self_references;
use super::trees::{bare, quoted, select_over};
use super::windows::Context;
use crate::assignment::{cast_syntax, parsed_type};
use crate::error::{ErrorKind, QueryError};
use crate::operators::candidates::common_type;
use crate::operators::resolution::as_decimal;
use crate::output_names::shown_name;
use crate::pg_catalog::format_type;
use crate::query_places::output_place;
use crate::returning;
use crate::sql_types::numeric_of_digits;
use crate::statement_grammar::fold;
use crate::user_types::type_of_oid;
use arrow::datatypes::{DataType, Field};
use catalog::sql_type::{NUMERIC_PRECISION_MAX, SqlType};
use datafusion::sql::sqlparser::ast::{
    self, ArrayElemTypeDef, CastKind, Cte, Expr, Ident, Query, SelectItem, SetExpr, TableFactor, TableWithJoins, Value,
    ValueWithSpan, With,
};

/// What a term is called that is cast.
const TERM: &str = "term@";

/// Settles the recursive queries of a WITH.
pub(super) fn settle(query: &mut Query, context: Context<'_>) -> Result<(), QueryError> {
    let Some(with) = query.with.as_mut().filter(|with| with.recursive) else { return Ok(()) };
    for index in 0..with.cte_tables.len() {
        // Those before it come settled when the terms of another one are planned alone.
        if is_settled(&with.cte_tables[index].query) {
            continue;
        }
        let before = With { cte_tables: with.cte_tables[..index].to_vec(), ..with.clone() };
        settle_table(&mut with.cte_tables[index], before, context)?;
    }
    Ok(())
}

/// Whether both terms are cast to the types that they have in common.
fn is_settled(query: &Query) -> bool {
    let is_cast = |term: &SetExpr| match term {
        SetExpr::Select(select) => matches!(select.from.as_slice(), [TableWithJoins { relation, .. }]
            if matches!(relation, TableFactor::Derived { alias: Some(alias), .. } if alias.name.value == TERM)),
        _ => false,
    };
    matches!(query.body.as_ref(), SetExpr::SetOperation { left, right, .. } if is_cast(left) && is_cast(right))
}

fn settle_table(table: &mut Cte, before: With, context: Context<'_>) -> Result<(), QueryError> {
    without_parentheses(&mut table.query);
    if !self_references::check(table, context)? {
        return Ok(());
    }
    let name = fold(&table.alias.name);
    hand_down(&mut table.query)?;
    let SetExpr::SetOperation { left, right, .. } = table.query.body.as_ref() else { return Ok(()) };
    // What cannot be planned alone is left to the planner, which will say why.
    let outer = (!before.cte_tables.is_empty()).then_some(before);
    let Some(first) = fields(left, outer.clone(), context) else { return Ok(()) };
    let known = outer.unwrap_or_else(empty_with);
    let over = |first: &SetExpr| -> Result<Option<Vec<Second>>, QueryError> {
        let mut known = known.clone();
        known.cte_tables.push(standing_in(table, first)?);
        let fields = fields(right, Some(known), context);
        let second = |(column, field): (usize, &Field)| match open_literal(right, column) {
            Some(Value::Null) => Second::Null,
            Some(_) => Second::Literal,
            None => Second::Typed(ColumnType::of(field)),
        };
        Ok(fields.map(|fields| fields.iter().enumerate().map(second).collect()))
    };
    let Some(second) = over(left)? else { return Ok(()) };
    if first.len() != second.len() {
        return Ok(());
    }
    let mut types: Vec<ColumnType> = first.iter().map(ColumnType::of).collect();
    if types.iter().any(ColumnType::is_of_catalog) {
        return Ok(());
    }
    for (column, (first, second)) in types.iter().zip(&second).enumerate() {
        let unmodified = first.unmodified();
        let second = if let Second::Typed(second) = second { second } else { &unmodified };
        compare(&name, column, first, second).map_err(|error| error.position(place(left, column, context)))?;
    }
    let names: Vec<String> = first.iter().map(|field| shown_name(field.name()).to_string()).collect();
    if !settle_digits(&mut types, second, |types| over(&cast_to(left, types, &names)?))? {
        return Ok(());
    }
    let SetExpr::SetOperation { left, right, .. } = table.query.body.as_mut() else { return Ok(()) };
    **left = cast_to(left, &types, &names)?;
    **right = cast_to(right, &types, &names)?;
    Ok(())
}

/// Gives numerics the digits that both terms have. `over` plans the second term over a first one of such types; the
/// answer is whether it could.
fn settle_digits(
    types: &mut Vec<ColumnType>,
    mut second: Vec<Second>,
    over: impl Fn(&[ColumnType]) -> Result<Option<Vec<Second>>, QueryError>,
) -> Result<bool, QueryError> {
    // A chain of columns hands its digits on by one column each time.
    let rounds = types.iter().filter(|known| known.sql_type.oid() == SqlType::numeric().oid()).count() + 1;
    for round in 0.. {
        let widened = types.iter().zip(&second).map(|(first, second)| {
            let sql_type = match second {
                Second::Null => first.sql_type.clone(),
                Second::Literal => of_any_digits(&first.sql_type),
                Second::Typed(second) => widened(&first.sql_type, &second.sql_type, round >= rounds),
            };
            ColumnType { sql_type, ..*first }
        });
        let widened: Vec<ColumnType> = widened.collect();
        if widened == *types {
            break;
        }
        *types = widened;
        let Some(again) = over(types)? else { return Ok(false) };
        second = again;
    }
    Ok(true)
}

/// The type of a column that has values of both terms: a numeric without a modifier keeps the digits of both, or, where
/// these never end, as many as there are.
fn widened(first: &SqlType, second: &SqlType, is_endless: bool) -> SqlType {
    match (first, second) {
        (SqlType::Array(first), SqlType::Array(second)) => SqlType::Array(Box::new(widened(first, second, is_endless))),
        (SqlType::Numeric { precision, scale, declared: false }, _) if *first != SqlType::numeric() => {
            let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            let (DataType::Decimal128(of_second, digits) | DataType::Decimal256(of_second, digits)) =
                as_decimal(second)
            else {
                return first.clone();
            };
            if digits <= *scale && whole(of_second, digits) <= whole(*precision, *scale) {
                first.clone()
            } else if is_endless {
                SqlType::numeric()
            } else {
                let scale = digits.max(*scale);
                SqlType::Numeric { precision: NUMERIC_PRECISION_MAX, scale, declared: false }
            }
        }
        _ => first.clone(),
    }
}

/// A type whose numerics without a modifier have as many digits as there are.
fn of_any_digits(known: &SqlType) -> SqlType {
    match known {
        SqlType::Array(item) => SqlType::Array(Box::new(of_any_digits(item))),
        SqlType::Numeric { declared: false, .. } => SqlType::numeric(),
        other => other.clone(),
    }
}

/// Takes the parentheses away that are around a whole query.
fn without_parentheses(query: &mut Query) {
    while let SetExpr::Query(inner) = query.body.as_ref() {
        let is_bare = query.with.is_none() && query.order_by.is_none() && query.locks.is_empty();
        if !is_bare || query.limit_clause.is_some() || query.fetch.is_some() {
            return;
        }
        let inner = inner.as_ref().clone();
        *query = inner;
    }
}

/// Gives a recursive query's own WITH to both terms.
fn hand_down(query: &mut Query) -> Result<(), QueryError> {
    let Some(with) = query.with.take() else { return Ok(()) };
    if let SetExpr::SetOperation { left, right, .. } = query.body.as_mut() {
        for term in [left, right] {
            **term = SetExpr::Query(Box::new(body_query(term, Some(with.clone()))?));
        }
    }
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

/// A column of the second term.
enum Second {
    Null,
    /// A text whose type is open.
    Literal,
    Typed(ColumnType),
}

/// The type of a term's column, and its modifier as `pg_attribute.atttypmod` has it.
#[derive(Clone, Debug, PartialEq)]
struct ColumnType {
    sql_type: SqlType,
    modifier: i32,
}

impl ColumnType {
    fn of(field: &Field) -> Self {
        let sql_type = type_of(field);
        let modifier = sql_type.typmod_of(field);
        Self { sql_type, modifier }
    }

    /// The type that an open literal gets beside this one.
    fn unmodified(&self) -> Self {
        Self { sql_type: self.sql_type.clone(), modifier: -1 }
    }

    fn is_of_catalog(&self) -> bool {
        matches!(self.sql_type, SqlType::Oid | SqlType::Reg(_) | SqlType::Char | SqlType::Name)
    }

    fn shown(&self) -> String {
        if self.modifier == self.sql_type.typmod() {
            return self.sql_type.to_string();
        }
        format_type(i64::from(self.sql_type.oid()), Some(i64::from(self.modifier)))
    }

    /// `value::type`
    fn cast(&self, value: Expr) -> Result<Expr, QueryError> {
        let data_type = match digits_syntax(&self.sql_type) {
            Some(data_type) => data_type,
            None if self.modifier == self.sql_type.typmod() || self.modifier == -1 => {
                return cast_syntax(value, &self.sql_type);
            }
            None => match parsed_type(&self.shown()) {
                Ok(data_type) => data_type,
                Err(_) => return cast_syntax(value, &self.sql_type),
            },
        };
        Ok(Expr::Cast { kind: CastKind::DoubleColon, expr: Box::new(value), data_type, array: false, format: None })
    }
}

/// A numeric without a modifier, or an array of some, as syntax that says the digits.
fn digits_syntax(sql_type: &SqlType) -> Option<ast::DataType> {
    match sql_type {
        SqlType::Numeric { precision, scale, declared: false } => Some(numeric_of_digits(*precision, *scale)),
        SqlType::Array(item) => {
            let item = digits_syntax(item)?;
            Some(ast::DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(item), None)))
        }
        _ => None,
    }
}

/// The literal of open type that a term has as a column.
fn open_literal(body: &SetExpr, column: usize) -> Option<&Value> {
    let SetExpr::Select(select) = body else { return None };
    let (SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }) =
        select.projection.get(column)?
    else {
        return None;
    };
    match bare(item) {
        Expr::Value(ValueWithSpan { value: value @ (Value::Null | Value::SingleQuotedString(_)), .. }) => Some(value),
        _ => None,
    }
}

fn compare(name: &str, column: usize, first: &ColumnType, second: &ColumnType) -> Result<(), QueryError> {
    let (oid, other) = (first.sql_type.oid(), second.sql_type.oid());
    let common = if oid == other { Some(oid) } else { common_type(&[oid, other]) };
    let Some(common) = common else {
        let (first, second) = (first.sql_type.base_name(), second.sql_type.base_name());
        let message = format!("UNION types {first} and {second} cannot be matched");
        return Err(QueryError::new(ErrorKind::DatatypeMismatch, message));
    };
    // Of modifiers that differ none is left.
    if common == oid && (first.modifier == -1 || (common == other && first.modifier == second.modifier)) {
        return Ok(());
    }
    let message = format!(
        "recursive query \"{name}\" column {} has type {} in non-recursive term but type {} overall",
        column + 1,
        first.shown(),
        type_of_oid(common).map_or_else(String::new, |overall| overall.to_string())
    );
    Err(QueryError::new(ErrorKind::DatatypeMismatch, message)
        .hint("Cast the output of the non-recursive term to the correct type."))
}

/// `SELECT c1::type AS name, … FROM (body) AS t(c1, …)`
fn cast_to(body: &SetExpr, types: &[ColumnType], names: &[String]) -> Result<SetExpr, QueryError> {
    let columns = column_names(types.len());
    let items = columns.iter().zip(types).zip(names).map(|((column, known), name)| {
        let expr = known.cast(Expr::Identifier(quoted(column)))?;
        Ok(SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) })
    });
    let items = items.collect::<Result<Vec<_>, QueryError>>()?;
    Ok(*select_over(body_query(body, None)?, TERM, &columns, items, None)?.body)
}
