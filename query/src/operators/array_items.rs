//! Arrays of varchar and char(n): their items say in their metadata what they are, which aggregates, windows and scalar
//! subqueries forget, or take for another type.
//!
//! So these compute with arrays of text, and what they give is named again:
//!
//!     max(varchar[])     max(varchar[]::text[])::varchar[]
//!     varchar[][2:]      (varchar[]::text[])[2:]::varchar[]
//!     array_agg(char(3)) array_agg(char(3))::char(3)[]

use super::casts::{CastContext, cast_call};
use super::modifiers::unmodified;
use arrow::datatypes::Field;
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection, Subquery};
use std::sync::Arc;

/// Functions that give back one of their values.
const GIVEN_BACK: [&str; 7] = ["min", "max", "first_value", "last_value", "nth_value", "lag", "lead"];

/// An aggregate or a window whose arrays are named again behind it.
pub(super) fn with_item_types(node: LogicalPlan, context: &CastContext) -> Result<LogicalPlan> {
    let calls: Vec<&Expr> = match &node {
        LogicalPlan::Aggregate(aggregate) => aggregate.aggr_expr.iter().collect(),
        LogicalPlan::Window(window) => window.window_expr.iter().collect(),
        _ => return Ok(node),
    };
    let input = merge_schema(&node.inputs());
    let types = calls.into_iter().map(|call| item_type(call, &input)).collect::<Result<Vec<_>>>()?;
    if types.iter().all(Option::is_none) {
        return Ok(node);
    }
    let node = node.map_expressions(|call| with_plain_items(call, &input, context).map(Transformed::yes))?.data;
    let node = node.recompute_schema()?;
    let first = node.schema().fields().len() - types.len();
    let all = node.schema().iter().enumerate();
    // The number of a grouping set is no column outside.
    let shown = all.filter(|(_, (_, field))| field.name() != Aggregate::INTERNAL_GROUPING_ID);
    let shown = shown.map(|(index, (qualifier, field))| {
        let column = Expr::from((qualifier, field));
        match index.checked_sub(first).and_then(|index| types[index].clone()) {
            Some(item) => {
                let plain = SqlType::Array(Box::new(SqlType::Text));
                let named = cast_call(column, plain, SqlType::Array(Box::new(item)), context);
                let named = unmodified(named, node.schema())?;
                Ok(named.alias_qualified(qualifier.cloned(), field.name()))
            }
            None => Ok(column),
        }
    });
    let shown = shown.collect::<Result<Vec<_>>>()?;
    Projection::try_new(shown, Arc::new(node)).map(LogicalPlan::Projection)
}

/// A scalar subquery whose array is named again outside of it.
pub(super) fn subquery_with_item_types(subquery: Subquery, context: &CastContext) -> Result<Expr> {
    let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
    let Some(item) = named_item(field) else { return Ok(Expr::ScalarSubquery(subquery)) };
    let (plain, array) = (SqlType::Array(Box::new(SqlType::Text)), SqlType::Array(Box::new(item)));
    let column = Expr::from((qualifier, field));
    let shown = cast_call(column, array.clone(), plain.clone(), context).alias(field.name());
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project(vec![shown])?.build()?;
    let inner = Expr::ScalarSubquery(subquery.with_plan(Arc::new(plan)));
    Ok(cast_call(inner, plain, array, context))
}

/// A slice of an array; of one whose items are named, it is taken from texts.
pub(super) fn slice_with_item_types(
    mut slice: ScalarFunction,
    schema: &DFSchema,
    context: &CastContext,
) -> Result<Expr> {
    let (_, field) = slice.args[0].to_field(schema)?;
    let Some(item) = named_item(&field) else { return Ok(Expr::ScalarFunction(slice)) };
    let (plain, array) = (SqlType::Array(Box::new(SqlType::Text)), SqlType::Array(Box::new(item)));
    slice.args[0] = cast_call(std::mem::take(&mut slice.args[0]), array.clone(), plain.clone(), context);
    Ok(cast_call(Expr::ScalarFunction(slice), plain, array, context))
}

/// The type of the items of an array that says it in their metadata.
fn named_item(field: &Field) -> Option<SqlType> {
    match SqlType::from_field(field)? {
        SqlType::Array(item) if matches!(*item, SqlType::Varchar { .. } | SqlType::Bpchar { .. }) => Some(*item),
        _ => None,
    }
}

/// The type of the items of the array that a call gives, where its Arrow type does not say it.
fn item_type(call: &Expr, input: &DFSchema) -> Result<Option<SqlType>> {
    let (name, arguments) = match call {
        Expr::Alias(alias) => return item_type(&alias.expr, input),
        Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
        Expr::WindowFunction(call) => (call.fun.name(), &call.params.args),
        _ => return Ok(None),
    };
    let Some(value) = arguments.first() else { return Ok(None) };
    if name != "array_agg" && !GIVEN_BACK.contains(&name) {
        return Ok(None);
    }
    let (_, field) = value.to_field(input)?;
    if name != "array_agg" {
        return Ok(named_item(&field));
    }
    Ok(match SqlType::from_field(&field) {
        Some(SqlType::Varchar { .. }) => Some(SqlType::Varchar { length_max: None }),
        Some(SqlType::Bpchar { length }) => Some(SqlType::Bpchar { length }),
        _ => None,
    })
}

/// A call that gives back one of its arrays, over arrays of text, under the name that it had.
fn with_plain_items(call: Expr, input: &DFSchema, context: &CastContext) -> Result<Expr> {
    let name = call.schema_name().to_string();
    let plain = |arguments: &mut Vec<Expr>| -> Result<bool> {
        let mut changed = false;
        for argument in arguments {
            let (_, field) = argument.to_field(input)?;
            if let Some(item) = named_item(&field) {
                let array = SqlType::Array(Box::new(item));
                *argument =
                    cast_call(std::mem::take(argument), array, SqlType::Array(Box::new(SqlType::Text)), context);
                changed = true;
            }
        }
        Ok(changed)
    };
    match call {
        Expr::Alias(mut alias) => {
            *alias.expr = with_plain_items(*alias.expr, input, context)?.unalias();
            Ok(Expr::Alias(alias))
        }
        Expr::AggregateFunction(mut call) if GIVEN_BACK.contains(&call.func.name()) => {
            let changed = plain(&mut call.params.args)?;
            let call = Expr::AggregateFunction(call);
            Ok(if changed { call.alias(name) } else { call })
        }
        Expr::WindowFunction(mut call) if GIVEN_BACK.contains(&call.fun.name()) => {
            let changed = plain(&mut call.params.args)?;
            let call = Expr::WindowFunction(call);
            Ok(if changed { call.alias(name) } else { call })
        }
        other => Ok(other),
    }
}
