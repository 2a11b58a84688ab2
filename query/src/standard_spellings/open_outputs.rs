//! Outputs of subqueries that have no type: PostgreSQL takes them for text.
//!
//!     SELECT 1 + (SELECT NULL)               integer + text
//!     SELECT x FROM (SELECT NULL AS x) AS s  x is text
//!
//! The leaves of UNION and its like stay as they are, since they get the types of the others.

use super::trees::{bare, null, quoted};
use crate::output_names::output_name;
use datafusion::sql::sqlparser::ast::{CastKind, DataType, Expr, Query, SelectItem, SetExpr, TableFactor};

/// The query behind an expression, if it is one of some kind.
pub(super) fn in_expression(expression: &mut Expr) {
    match expression {
        Expr::Subquery(query) | Expr::InSubquery { subquery: query, .. } => settle(query),
        _ => {}
    }
}

/// The query of a derived table.
pub(super) fn in_factor(factor: &mut TableFactor) {
    if let TableFactor::Derived { subquery, .. } = factor {
        settle(subquery);
    }
}

/// The queries of WITH.
pub(super) fn in_with(query: &mut Query) {
    for table in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        settle(&mut table.query);
    }
}

fn settle(query: &mut Query) {
    match query.body.as_mut() {
        SetExpr::Query(inner) => settle(inner),
        SetExpr::Select(select) => select.projection.iter_mut().for_each(settle_item),
        _ => {}
    }
}

fn settle_item(item: &mut SelectItem) {
    match item {
        SelectItem::UnnamedExpr(expression) if *bare(expression) == null() => {
            let alias = quoted(&output_name(expression));
            *item = SelectItem::ExprWithAlias { expr: text_of(expression), alias };
        }
        SelectItem::ExprWithAlias { expr, .. } if *bare(expr) == null() => *expr = text_of(expr),
        _ => {}
    }
}

fn text_of(expression: &Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expression.clone()),
        data_type: DataType::Text,
        array: false,
        format: None,
    }
}
