//! Names of registered objects: OIDs that print as names, and text constants that take another's type.
//!
//! `regclass` and its kin are OIDs inside a plan, so that they compare and join. [`name_registered_objects`] turns them into text at
//! the top of a plan and where they are cast to text, and it reads a text constant that one is compared with, as
//! PostgreSQL would; likewise a constant `'{…}'` beside an array.

use super::array_from_text;
use crate::functions::{RegisteredKind, SessionFacts, registered_name, registered_names, registered_oid};
use crate::oid_arrays::oid_items;
use crate::operators::whole_expressions::within;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field};
use catalog::sql_type::TYPE_KEY;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, TableReference};
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::Projection;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use std::sync::Arc;

/// Turns OID aliases into names: where they are cast or concatenated to text, and in the plan's own output. A text constant that one
/// is compared with is read as the name of what it stands for.
pub fn name_registered_objects(plan: LogicalPlan, facts: &Arc<SessionFacts>) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        let mut schema = merge_schema(&node.inputs());
        if let LogicalPlan::Join(join) = &node {
            schema = join.schema.as_ref().clone();
        }
        let preserver = NamePreserver::new(&node);
        let named = node.map_expressions(|expr| {
            let saved = preserver.save(&expr);
            let named = expr.transform_up(|inner| name_expression(inner, &schema, facts))?;
            Ok(if named.transformed { Transformed::yes(saved.restore(named.data)) } else { named })
        })?;
        if named.transformed { named.map_data(LogicalPlan::recompute_schema) } else { Ok(named) }
    })?;
    name_output(plan.data, facts)
}

fn registered_kind(expr: &Expr, schema: &DFSchema) -> Option<RegisteredKind> {
    let (_, field) = expr.to_field(schema).ok()?;
    (*field.data_type() == DataType::Int64).then_some(())?;
    RegisteredKind::parse(field.metadata().get(TYPE_KEY)?)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn name_expression(expr: Expr, schema: &DFSchema, facts: &Arc<SessionFacts>) -> Result<Transformed<Expr>> {
    match &expr {
        Expr::ScalarFunction(call) => {
            let whole = within(call, schema, |part, schema| name_expression(part, schema, facts))?;
            Ok(whole.unwrap_or_else(|| Transformed::no(expr)))
        }
        Expr::Cast(Cast { expr: inner, field }) | Expr::TryCast(TryCast { expr: inner, field })
            if is_text(field.data_type()) =>
        {
            Ok(match registered_kind(inner, schema) {
                Some(kind) => {
                    // The name of an object is text from here on.
                    let name = registered_name(kind, facts).call(vec![inner.as_ref().clone()]);
                    Transformed::yes(Expr::Cast(Cast::new_from_field(Box::new(name), Arc::clone(field))))
                }
                None => Transformed::no(expr),
            })
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left_kind, right_kind) = (registered_kind(left, schema), registered_kind(right, schema));
            let side = |side: &Expr, own: Option<RegisteredKind>, other: Option<RegisteredKind>| match (own, other) {
                (Some(kind), _) if *op == Operator::StringConcat => {
                    registered_name(kind, facts).call(vec![side.clone()])
                }
                (None, Some(kind)) if is_comparison(*op) && is_text_constant(side) => {
                    registered_oid(kind, facts).call(vec![side.clone()])
                }
                _ => side.clone(),
            };
            if left_kind.is_none() && right_kind.is_none() {
                return Ok(read_array_comparison(&expr, schema).map_or(Transformed::no(expr), Transformed::yes));
            }
            let named = BinaryExpr::new(
                Box::new(side(left, left_kind, right_kind)),
                *op,
                Box::new(side(right, right_kind, left_kind)),
            );
            Ok(Transformed::yes(Expr::BinaryExpr(named)))
        }
        _ => Ok(Transformed::no(expr)),
    }
}

/// `roles = '{0}'`: a text constant that is compared with an array is read as one. `None` where nothing is to be done.
fn read_array_comparison(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    if !is_comparison(*op) {
        return None;
    }
    let (new_left, new_right) = (read_array(left, right, schema), read_array(right, left, schema));
    if new_left.is_none() && new_right.is_none() {
        return None;
    }
    let or_old = |new: Option<Expr>, old: &Expr| Box::new(new.unwrap_or_else(|| old.clone()));
    Some(Expr::BinaryExpr(BinaryExpr::new(or_old(new_left, left), *op, or_old(new_right, right))))
}

/// The array that the text `constant` is, of the type of `other`.
fn read_array(constant: &Expr, other: &Expr, schema: &DFSchema) -> Option<Expr> {
    let Expr::Literal(value, _) = constant else { return None };
    let text = value.try_as_str().flatten()?;
    let (_, field) = other.to_field(schema).ok()?;
    matches!(field.data_type(), DataType::List(_)).then_some(())?;
    let array = array_from_text(&field, text)?;
    Some(Expr::Literal(ScalarValue::List(Arc::new(array.as_list::<i32>().clone())), None))
}

fn is_text_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) | ScalarValue::LargeUtf8(_), _))
}

/// A projection over the plan that prints OID aliases by name; the plan itself where it has none.
fn name_output(plan: LogicalPlan, facts: &Arc<SessionFacts>) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let mut named = false;
    let columns = schema.columns().into_iter().zip(schema.iter()).enumerate();
    let exprs = columns.map(|(index, (column, (qualifier, field)))| {
        let expr = Expr::Column(column);
        let printer = match registered_kind(&expr, &schema) {
            Some(kind) => Some(registered_name(kind, facts)),
            None => kind_of_items(&plan, index, field).map(|kind| registered_names(kind, facts)),
        };
        match printer {
            Some(printer) => {
                named = true;
                let qualifier: Option<TableReference> = qualifier.cloned();
                printer.call(vec![expr]).alias_qualified(qualifier, field.name())
            }
            None => expr,
        }
    });
    let exprs: Vec<Expr> = exprs.collect();
    if !named {
        return Ok(plan);
    }
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}

/// What the items of a column are aliases of, where it is an array of such.
fn kind_of_items(plan: &LogicalPlan, index: usize, field: &Field) -> Option<RegisteredKind> {
    let DataType::List(item) = field.data_type() else { return None };
    (*item.data_type() == DataType::Int64).then_some(())?;
    RegisteredKind::parse(&oid_items(plan, index)?.to_string())
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}
