//! Arrays of OIDs, which are arrays of bigint in plans: an item's Arrow type does not say that it is an OID. What a client is told of a
//! column goes by the values that were put into the array, so the column is followed to them through the plan:
//!
//!     SELECT CASE WHEN … THEN (SELECT array_agg(atttypid) FROM pg_attribute) END      bigint[] in the plan, oid[] to clients
//!
//! A cast ends the way, as in `array_agg(oid)::bigint[]`, and so does a function that is not known to keep the items.

use crate::subqueries::ARRAY_OF_ROWS;
use catalog::sql_type::SqlType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Case, Distinct, Expr, ExprSchemable, JoinType, LogicalPlan};

/// Aggregates that make an array of their values.
const COLLECTING: [&str; 2] = ["array_agg", ARRAY_OF_ROWS];
/// Functions that give an array with the items of their arrays.
const KEEPING: [&str; 7] =
    ["coalesce", "array_or_empty", "array_append", "array_prepend", "array_cat", "array_remove", "array_replace"];

/// Whether a plan's column, by its place, is an array of OIDs.
pub(crate) fn holds_oids(plan: &LogicalPlan, index: usize) -> bool {
    let item = |items: &[Expr], index: usize, input: &LogicalPlan| {
        items.get(index).is_some_and(|item| gives_oids(item, input))
    };
    match plan {
        LogicalPlan::Projection(projection) => item(&projection.expr, index, &projection.input),
        LogicalPlan::Aggregate(aggregate) => {
            let groups = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            match index.checked_sub(groups) {
                Some(index) => item(&aggregate.aggr_expr, index, &aggregate.input),
                None => item(&aggregate.group_expr, index, &aggregate.input),
            }
        }
        LogicalPlan::Window(window) => match index.checked_sub(window.input.schema().fields().len()) {
            Some(index) => item(&window.window_expr, index, &window.input),
            None => holds_oids(&window.input, index),
        },
        LogicalPlan::Distinct(Distinct::On(distinct)) => item(&distinct.select_expr, index, &distinct.input),
        LogicalPlan::Distinct(Distinct::All(input)) => holds_oids(input, index),
        LogicalPlan::SubqueryAlias(alias) => holds_oids(&alias.input, index),
        LogicalPlan::Filter(filter) => holds_oids(&filter.input, index),
        LogicalPlan::Sort(sort) => holds_oids(&sort.input, index),
        LogicalPlan::Limit(limit) => holds_oids(&limit.input, index),
        LogicalPlan::Subquery(lateral) => holds_oids(&lateral.subquery, index),
        LogicalPlan::RecursiveQuery(query) => holds_oids(&query.static_term, index),
        // The other inputs are of the same type, or NULL.
        LogicalPlan::Union(union) => union.inputs.iter().any(|input| holds_oids(input, index)),
        LogicalPlan::Join(join) => {
            let left = match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 0,
                _ => join.left.schema().fields().len(),
            };
            if index < left { holds_oids(&join.left, index) } else { holds_oids(&join.right, index - left) }
        }
        _ => false,
    }
}

fn gives_oids(value: &Expr, input: &LogicalPlan) -> bool {
    let schema = input.schema();
    match value {
        Expr::Alias(alias) => gives_oids(&alias.expr, input),
        Expr::Column(column) => schema.maybe_index_of_column(column).is_some_and(|index| holds_oids(input, index)),
        Expr::ScalarSubquery(subquery) => holds_oids(&subquery.subquery, 0),
        Expr::Case(Case { when_then_expr, else_expr, .. }) => {
            let mut results = when_then_expr.iter().map(|(_, then)| then).chain(else_expr);
            results.any(|result| gives_oids(result, input))
        }
        Expr::AggregateFunction(call) if COLLECTING.contains(&call.func.name()) => {
            begins_with_oid(&call.params.args, schema)
        }
        Expr::WindowFunction(call) if COLLECTING.contains(&call.fun.name()) => {
            begins_with_oid(&call.params.args, schema)
        }
        Expr::ScalarFunction(call) if call.func.name() == "make_array" => begins_with_oid(&call.args, schema),
        Expr::ScalarFunction(call) if KEEPING.contains(&call.func.name()) => {
            call.args.iter().any(|argument| gives_oids(argument, input))
        }
        _ => false,
    }
}

fn begins_with_oid(values: &[Expr], schema: &DFSchema) -> bool {
    let first = values.first().and_then(|value| value.to_field(schema).ok());
    first.is_some_and(|(_, field)| SqlType::from_field(&field) == Some(SqlType::Oid))
}
