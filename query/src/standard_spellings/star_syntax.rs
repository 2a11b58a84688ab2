//! Stars in parentheses and rows, after parsing: which of them are columns, and which are the whole row.
//!
//!     SELECT (t.*)             SELECT t.*
//!     (t.*, 1)                 row(t.*, 1), written out by `row_stars`
//!     VALUES (t.*)             VALUES ("columns of"(t.*))
//!     (t.*) = (1, 2)           row(t.*) IS NOT DISTINCT FROM (1, 2), as records are compared
//!     (t.*)::text, f(t.*, 1)   the row of t, which no column is that is called t

use super::rows::is_comparison;
use super::trees::{bare, nested};
use crate::operators::sites::{call, call_quoted};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, WildcardAdditionalOptions,
};

/// The call around a star among the values of VALUES.
pub(super) const COLUMNS: &str = "columns of";

/// The column that a relation's row is written as.
const STAR: &str = "*";

/// Parentheses around a star say nothing in a select list.
pub(super) fn in_item(item: &mut SelectItem) {
    let (SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. }) = &*item else {
        return;
    };
    if let Some(table) = star(expression).cloned() {
        let kind = SelectItemQualifiedWildcardKind::ObjectName(table);
        *item = SelectItem::QualifiedWildcard(kind, WildcardAdditionalOptions::default());
    }
}

pub(super) fn in_values(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => {
            for cell in values.rows.iter_mut().flat_map(|row| &mut row.content) {
                if let Some(columns) = star(cell).map(|table| starred(call_quoted(COLUMNS, Vec::new()), table)) {
                    *cell = columns;
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            in_values(left);
            in_values(right);
        }
        _ => {}
    }
}

/// An expression whose parts were not looked at yet.
pub(super) fn spelt_out(expression: &Expr) -> Option<Expr> {
    if let Some(compared) = compared_records(expression) {
        return Some(compared);
    }
    match expression {
        Expr::Tuple(items) if items.iter().any(|item| star(item).is_some()) => {
            let mut row = call("row", Vec::new());
            if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut row {
                list.args = items.iter().map(|item| FunctionArg::Unnamed(argument(item))).collect();
            }
            Some(row)
        }
        Expr::QualifiedWildcard(table, _) => whole_row(table),
        Expr::Nested(inner) => match inner.as_ref() {
            Expr::QualifiedWildcard(table, _) => whole_row(table),
            _ => None,
        },
        Expr::Function(function) => with_stars(function),
        _ => None,
    }
}

fn argument(item: &Expr) -> FunctionArgExpr {
    match star(item) {
        Some(table) => FunctionArgExpr::QualifiedWildcard(table.clone()),
        None => FunctionArgExpr::Expr(item.clone()),
    }
}

/// A call with its stars in one form, or for anything but ROW with the whole row in their place.
fn with_stars(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let takes_columns = takes_columns(&function.name);
    let changed = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(table)) if !takes_columns => {
            whole_row(table).map(FunctionArgExpr::Expr)
        }
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if takes_columns => {
            star(value).cloned().map(FunctionArgExpr::QualifiedWildcard)
        }
        _ => None,
    };
    if !list.args.iter().any(|argument| changed(argument).is_some()) {
        return None;
    }
    let mut function = function.clone();
    if let FunctionArguments::List(list) = &mut function.args {
        for argument in &mut list.args {
            if let Some(value) = changed(argument) {
                *argument = FunctionArg::Unnamed(value);
            }
        }
    }
    Some(Expr::Function(function))
}

/// Whether a star among the arguments of a function is its columns.
fn takes_columns(name: &ObjectName) -> bool {
    let name = name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| name.value.eq_ignore_ascii_case("row") || name.value == COLUMNS)
}

/// The relation of an expression that is its star.
fn star(expression: &Expr) -> Option<&ObjectName> {
    match bare(expression) {
        Expr::QualifiedWildcard(table, _) => Some(table),
        _ => None,
    }
}

/// A relation's row as one value: `(t.*)`, written as the column that a relation has none of.
fn whole_row(table: &ObjectName) -> Option<Expr> {
    let name = table.0.last().and_then(|part| part.as_ident())?;
    let star = Ident { span: name.span, ..Ident::new(STAR) };
    Some(nested(Expr::CompoundIdentifier(vec![name.clone(), star])))
}

/// The relation whose row an expression is, told by its star.
pub(crate) fn row_of(expression: &Expr) -> Option<&Ident> {
    match expression {
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, star] if star.quote_style.is_none() && star.value == STAR => Some(table),
            _ => None,
        },
        _ => None,
    }
}

/// A call whose only argument is a star.
pub(super) fn starred(mut call: Expr, table: &ObjectName) -> Expr {
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut call {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(table.clone()))];
    }
    call
}

/// A star beside a row is a record, and records are compared with NULLs as equals.
fn compared_records(expression: &Expr) -> Option<Expr> {
    let is_row = |side: &Expr| match bare(side) {
        Expr::Tuple(_) | Expr::QualifiedWildcard(..) => true,
        Expr::Function(function) => takes_columns(&function.name),
        _ => false,
    };
    let are_rows =
        |left: &Expr, right: &Expr| is_row(left) && is_row(right) && (star(left).is_some() || star(right).is_some());
    let row = |side: &Expr| match star(side) {
        Some(table) => Box::new(starred(call("row", Vec::new()), table)),
        None => Box::new(side.clone()),
    };
    match expression {
        Expr::BinaryOp { left, op, right } if is_comparison(op) && are_rows(left, right) => {
            let (left, right) = (row(left), row(right));
            Some(match op {
                BinaryOperator::Eq => Expr::IsNotDistinctFrom(left, right),
                BinaryOperator::NotEq => Expr::IsDistinctFrom(left, right),
                other => Expr::BinaryOp { left, op: other.clone(), right },
            })
        }
        Expr::IsDistinctFrom(left, right) if are_rows(left, right) => Some(Expr::IsDistinctFrom(row(left), row(right))),
        Expr::IsNotDistinctFrom(left, right) if are_rows(left, right) => {
            Some(Expr::IsNotDistinctFrom(row(left), row(right)))
        }
        Expr::InList { expr, list, negated } if star(expr).is_some() => {
            Some(Expr::InList { expr: row(expr), list: list.clone(), negated: *negated })
        }
        _ => None,
    }
}
