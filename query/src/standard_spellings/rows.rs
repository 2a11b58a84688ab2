//! Rows as values: `(a, b) = (1, 2)`, `(a, b) IN (…)`, `ROW(a, b) IS NULL`.
//!
//! Comparisons of rows become comparisons of their parts, by the rules of chapter 9.24 of PostgreSQL's manual. They
//! are right for NULLs because AND and OR are: `(1, NULL) < (2, 0)` is true and `(1, NULL) < (1, 0)` is unknown. What
//! is left of rows in a select list is shown as PostgreSQL prints a record.

use super::trees::{arguments_of, bare, binary, case, joined, nested, not, null, quoted, select_over};
use crate::error::{ErrorKind, QueryError};
use crate::functions::concatenation::RECORD;
use crate::operators::grouping_sets::write_out;
use crate::operators::sites::call;
use crate::output_names::output_name;
use crate::query_places::width;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, GroupByExpr, Ident, Query, Select, SelectItem,
};

/// Longer rows are not compared by an expression inside of another one for each part.
const NESTED_MAX: usize = 8;

/// The parts of a row constructor; `None` for any other expression.
pub(super) fn parts(expression: &Expr) -> Option<Vec<Expr>> {
    match bare(expression) {
        Expr::Tuple(parts) => Some(parts.clone()),
        other => arguments_of(other, "row").map(|parts| parts.into_iter().cloned().collect()),
    }
}

/// The columns that a subquery gets where it stands beside a row of that many parts.
pub(super) fn column_names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("column@{number}")).collect()
}

/// Refuses a subquery that has another number of columns than the row beside it.
pub(super) fn check_width(query: &Query, parts: usize) -> Result<(), QueryError> {
    let message = match width(&query.body) {
        Some(columns) if columns < parts => "subquery has too few columns",
        Some(columns) if columns > parts => "subquery has too many columns",
        _ => return Ok(()),
    };
    Err(QueryError::new(ErrorKind::Syntax, message))
}

/// Rewrites one expression whose operands were rewritten before.
pub(super) fn spelt_out(expression: &Expr) -> Result<Option<Expr>, QueryError> {
    Ok(match expression {
        Expr::BinaryOp { left, op, right } if is_comparison(op) => match (parts(left), bare(right)) {
            (Some(parts), Expr::Subquery(query)) => Some(beside_subquery(parts, op, query)?),
            (Some(left), right) => match self::parts(right) {
                Some(right) => Some(nested(compared(&left, op, &right)?)),
                None => None,
            },
            (None, _) => None,
        },
        Expr::IsNull(row) => parts(row).map(|parts| every(parts, Expr::IsNull)),
        Expr::IsNotNull(row) => parts(row).map(|parts| every(parts, Expr::IsNotNull)),
        Expr::IsDistinctFrom(left, right) => match (parts(left), parts(right)) {
            (Some(left), Some(right)) => Some(distinct(left, right)?),
            _ => None,
        },
        Expr::IsNotDistinctFrom(left, right) => match (parts(left), parts(right)) {
            (Some(left), Some(right)) => Some(not(distinct(left, right)?)),
            _ => None,
        },
        Expr::InList { expr, list, negated } => match parts(expr) {
            Some(row) => Some(in_list(&row, list, *negated)?),
            None => None,
        },
        Expr::Between { expr, negated, low, high } => match (parts(expr), parts(low), parts(high)) {
            (Some(row), Some(low), Some(high)) => Some(between(&row, *negated, &low, &high)?),
            _ => None,
        },
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, array: false, .. }
            if is_text(data_type) =>
        {
            parts(expr).map(|parts| call(RECORD, parts))
        }
        _ => None,
    })
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_))
}

pub(super) fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn uneven() -> QueryError {
    QueryError::new(ErrorKind::Syntax, "unequal number of entries in row expressions")
}

/// `row op row`, part by part.
pub(super) fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Expr, QueryError> {
    if left.len() != right.len() {
        return Err(uneven());
    }
    if left.is_empty() {
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, "cannot compare rows of zero length"));
    }
    let mut pairs = left.iter().zip(right).map(|(left, right)| one(left, op, right));
    match op {
        BinaryOperator::Eq => Ok(joined(pairs.collect::<Result<_, _>>()?, &BinaryOperator::And)),
        BinaryOperator::NotEq => Ok(joined(pairs.collect::<Result<_, _>>()?, &BinaryOperator::Or)),
        _ if left.len() == 1 => pairs.next().unwrap_or_else(|| Err(uneven())),
        _ if left.len() > NESTED_MAX => first_difference(left, op, right),
        _ => {
            let strictly = match op {
                BinaryOperator::LtEq => BinaryOperator::Lt,
                BinaryOperator::GtEq => BinaryOperator::Gt,
                other => other.clone(),
            };
            let rest = compared(&left[1..], op, &right[1..])?;
            let first = one(&left[0], &strictly, &right[0])?;
            let tied = binary(one(&left[0], &BinaryOperator::Eq, &right[0])?, BinaryOperator::And, nested(rest));
            Ok(binary(first, BinaryOperator::Or, nested(tied)))
        }
    }
}

/// `CASE WHEN (a = x) IS NOT TRUE THEN a op x WHEN … ELSE z op z END`: the first parts that are not equal decide.
fn first_difference(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Expr, QueryError> {
    let mut branches = Vec::with_capacity(left.len());
    for (left, right) in left.iter().zip(right) {
        let equal = nested(one(left, &BinaryOperator::Eq, right)?);
        branches.push((Expr::IsNotTrue(Box::new(equal)), one(left, op, right)?));
    }
    let last = branches.pop().map_or_else(null, |(_, last)| last);
    Ok(case(branches, last))
}

/// One pair of parts, which may be rows themselves.
fn one(left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Expr, QueryError> {
    match (parts(left), parts(right)) {
        (Some(left), Some(right)) => Ok(nested(compared(&left, op, &right)?)),
        _ => Ok(binary(left.clone(), op.clone(), right.clone())),
    }
}

fn every(parts: Vec<Expr>, test: impl Fn(Box<Expr>) -> Expr) -> Expr {
    nested(joined(parts.into_iter().map(|part| test(Box::new(part))).collect(), &BinaryOperator::And))
}

fn distinct(left: Vec<Expr>, right: Vec<Expr>) -> Result<Expr, QueryError> {
    if left.len() != right.len() {
        return Err(uneven());
    }
    let pairs = left.into_iter().zip(right).map(|(left, right)| Expr::IsDistinctFrom(Box::new(left), Box::new(right)));
    Ok(nested(joined(pairs.map(nested).collect(), &BinaryOperator::Or)))
}

fn in_list(row: &[Expr], list: &[Expr], negated: bool) -> Result<Expr, QueryError> {
    let items = list.iter().map(|item| match parts(item) {
        Some(item) => compared(row, &BinaryOperator::Eq, &item).map(nested),
        None => Err(uneven()),
    });
    let found = nested(joined(items.collect::<Result<_, _>>()?, &BinaryOperator::Or));
    Ok(if negated { nested(not(found)) } else { found })
}

fn between(row: &[Expr], negated: bool, low: &[Expr], high: &[Expr]) -> Result<Expr, QueryError> {
    let above = nested(compared(row, &BinaryOperator::GtEq, low)?);
    let below = nested(compared(row, &BinaryOperator::LtEq, high)?);
    let inside = nested(binary(above, BinaryOperator::And, below));
    Ok(if negated { nested(not(inside)) } else { inside })
}

/// `row op (SELECT …)`: each part stands beside its column, so that a second row is an error as it is for one column.
fn beside_subquery(parts: Vec<Expr>, op: &BinaryOperator, query: &Query) -> Result<Expr, QueryError> {
    check_width(query, parts.len())?;
    let names = column_names(parts.len());
    let columns = names.iter().map(|name| {
        let shown = vec![SelectItem::UnnamedExpr(Expr::Identifier(quoted(name)))];
        Ok(Expr::Subquery(Box::new(select_over(query.clone(), "row@", &names, shown, None)?)))
    });
    Ok(nested(compared(&parts, op, &columns.collect::<Result<Vec<Expr>, QueryError>>()?)?))
}

/// Rows among the columns of a select are shown as records, `GROUP BY (a, b)` groups by both, and sets of them are written out.
pub(super) fn in_select(select: &mut Select) {
    for item in &mut select.projection {
        let (expression, alias) = match item {
            SelectItem::UnnamedExpr(expression) => (expression, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.clone())),
            _ => continue,
        };
        if let Some(parts) = parts(expression) {
            let alias = alias.unwrap_or_else(|| row_name(expression));
            *item = SelectItem::ExprWithAlias { expr: call(RECORD, parts), alias };
        }
    }
    if let GroupByExpr::Expressions(items, _) = &mut select.group_by
        && items.iter().any(|item| matches!(bare(item), Expr::Tuple(parts) if !parts.is_empty()))
    {
        let grouped = std::mem::take(items).into_iter().flat_map(|item| match bare(&item) {
            Expr::Tuple(parts) if !parts.is_empty() => parts.clone(),
            _ => vec![item],
        });
        *items = grouped.collect();
    }
    if let GroupByExpr::Expressions(items, _) = &mut select.group_by {
        write_out(items);
    }
}

fn row_name(expression: &Expr) -> Ident {
    match bare(expression) {
        Expr::Tuple(_) => quoted("row"),
        other => quoted(&output_name(other)),
    }
}
