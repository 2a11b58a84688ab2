//! HAVING without GROUP BY and aggregates: `SELECT 1 FROM t HAVING true` has one group, of all rows, even where there are none.

use super::trees::{binary, nested};
use crate::operators::sites::call;
use crate::pg_catalog::contains_aggregate;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Select, SelectItem,
    Value,
};

/// Adds an aggregate that says nothing to the HAVING of such a SELECT, which makes the planner group.
pub(super) fn in_select(select: &mut Select) {
    let Some(having) = select.having.take() else { return };
    let is_grouped = match &select.group_by {
        GroupByExpr::Expressions(items, modifiers) => !items.is_empty() || !modifiers.is_empty(),
        GroupByExpr::All(_) => true,
    };
    let shown = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
            contains_aggregate(expression)
        }
        _ => false,
    });
    let has_groups = is_grouped || shown || contains_aggregate(&having);
    select.having = Some(if has_groups { having } else { binary(counted(), BinaryOperator::And, nested(having)) });
}

/// `count(*) >= 0`
fn counted() -> Expr {
    let mut count = call("count", Vec::new());
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut count {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
    }
    binary(count, BinaryOperator::GtEq, Expr::Value(Value::Number("0".to_string(), false).into()))
}
