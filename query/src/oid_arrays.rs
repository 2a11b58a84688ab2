//! Arrays of OIDs and of their aliases, which are arrays of bigint in plans: an item's Arrow type does not say that it is an OID. What a
//! client is told of a column goes by the values that were put into the array, so the column is followed to them through the plan:
//!
//!     SELECT CASE WHEN … THEN (SELECT array_agg(atttypid) FROM pg_attribute) END      bigint[] in the plan, oid[] to clients
//!     SELECT array_agg(conrelid::regclass) FROM pg_constraint                         the same, names to clients
//!
//! A cast ends the way, as in `array_agg(oid)::bigint[]`, and so does a function that is not known to keep the items.

use crate::functions::RegisteredKind;
use crate::subqueries::ARRAY_OF_ROWS;
use arrow::datatypes::DataType;
use catalog::sql_type::{SqlType, TYPE_KEY};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Case, Distinct, Expr, ExprSchemable, JoinType, LogicalPlan};
use std::collections::HashSet;

/// Aggregates that make an array of their values.
const COLLECTING: [&str; 2] = ["array_agg", ARRAY_OF_ROWS];
/// Functions that give an array with the items of their arrays.
const KEEPING: [&str; 7] =
    ["coalesce", "array_or_empty", "array_append", "array_prepend", "array_cat", "array_remove", "array_replace"];

/// The items of a plan's column, by its place, where it is an array of OIDs: `oid` or an alias of it.
pub(crate) fn oid_items(plan: &LogicalPlan, index: usize) -> Option<SqlType> {
    Search::default().oid_items(plan, index)
}

/// The columns that were looked at, each by its plan's address and its place. Those of plans below plans that name each column twice, as
/// `CASE WHEN … THEN a ELSE a END` does, would be looked at 2ⁿ times.
#[derive(Default)]
struct Search(HashSet<(*const LogicalPlan, usize)>);

impl Search {
    fn oid_items(&mut self, plan: &LogicalPlan, index: usize) -> Option<SqlType> {
        // The search goes on as long as nothing was found.
        if !self.0.insert((std::ptr::from_ref(plan), index)) {
            return None;
        }
        let mut item = |items: &[Expr], index: usize, input: &LogicalPlan| self.items_of(items.get(index)?, input);
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
                None => self.oid_items(&window.input, index),
            },
            LogicalPlan::Distinct(Distinct::On(distinct)) => item(&distinct.select_expr, index, &distinct.input),
            LogicalPlan::Distinct(Distinct::All(input)) => self.oid_items(input, index),
            LogicalPlan::SubqueryAlias(alias) => self.oid_items(&alias.input, index),
            LogicalPlan::Filter(filter) => self.oid_items(&filter.input, index),
            LogicalPlan::Sort(sort) => self.oid_items(&sort.input, index),
            LogicalPlan::Limit(limit) => self.oid_items(&limit.input, index),
            LogicalPlan::Subquery(lateral) => self.oid_items(&lateral.subquery, index),
            LogicalPlan::RecursiveQuery(query) => self.oid_items(&query.static_term, index),
            // The other inputs are of the same type, or NULL.
            LogicalPlan::Union(union) => union.inputs.iter().find_map(|input| self.oid_items(input, index)),
            LogicalPlan::Join(join) => {
                let left = match join.join_type {
                    JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 0,
                    _ => join.left.schema().fields().len(),
                };
                if index < left { self.oid_items(&join.left, index) } else { self.oid_items(&join.right, index - left) }
            }
            _ => None,
        }
    }

    fn items_of(&mut self, value: &Expr, input: &LogicalPlan) -> Option<SqlType> {
        let schema = input.schema();
        match value {
            Expr::Alias(alias) => self.items_of(&alias.expr, input),
            Expr::Column(column) => self.oid_items(input, schema.maybe_index_of_column(column)?),
            Expr::ScalarSubquery(subquery) => self.oid_items(&subquery.subquery, 0),
            Expr::Case(Case { when_then_expr, else_expr, .. }) => {
                let mut results = when_then_expr.iter().map(|(_, then)| then).chain(else_expr);
                results.find_map(|result| self.items_of(result, input))
            }
            Expr::AggregateFunction(call) if COLLECTING.contains(&call.func.name()) => {
                first_oid(&call.params.args, schema)
            }
            Expr::WindowFunction(call) if COLLECTING.contains(&call.fun.name()) => first_oid(&call.params.args, schema),
            Expr::ScalarFunction(call) if call.func.name() == "make_array" => first_oid(&call.args, schema),
            Expr::ScalarFunction(call) if KEEPING.contains(&call.func.name()) => {
                call.args.iter().find_map(|argument| self.items_of(argument, input))
            }
            Expr::ScalarFunction(call) => RegisteredKind::of_items(call.func.name()).map(RegisteredKind::sql_type),
            _ => None,
        }
    }
}

/// The type of the first of the values, where that is an OID.
fn first_oid(values: &[Expr], schema: &DFSchema) -> Option<SqlType> {
    let (_, field) = values.first()?.to_field(schema).ok()?;
    (*field.data_type() == DataType::Int64).then_some(())?;
    let sql_type = SqlType::parse(field.metadata().get(TYPE_KEY)?)?;
    matches!(sql_type, SqlType::Oid | SqlType::Reg(_)).then_some(sql_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit, table_scan, when};

    /// As many plans one above the other as would take 2⁶⁰ looks.
    #[test]
    fn each_column_is_looked_at_once() {
        let items = DataType::List(Field::new_list_field(DataType::Int64, true).into());
        let schema = Schema::new(vec![Field::new("a", items, true)]);
        let mut plan = table_scan(Some("t"), &schema, None).unwrap().build().unwrap();
        for _ in 0..60 {
            let either = when(lit(true), col("a")).otherwise(col("a")).unwrap();
            plan = LogicalPlanBuilder::from(plan).project([either.alias("a")]).unwrap().build().unwrap();
        }
        assert_eq!(oid_items(&plan, 0), None);
    }
}
