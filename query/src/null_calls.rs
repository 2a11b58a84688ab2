//! Calls with a constant NULL are NULL, whatever their other arguments are.
//!
//! PostgreSQL replaces a call of a strict function by NULL when it plans, so that the other arguments are never computed and
//! cannot fail: `x / 0 + NULL` is NULL. Where all arguments are constants, they are computed first and may fail.

use crate::functions::products::PRODUCT;
use crate::functions::quotients::DIVIDE;
use crate::operators::contexts::shown_name;
use crate::pg_catalog::{function_by_oid, functions_by_name};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Volatility};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Arithmetic that is a function here; operators in PostgreSQL, all of them strict.
const ARITHMETIC: [&str; 7] = ["+", "-", "*", "/", "%", DIVIDE, PRODUCT];

/// Replaces strict calls of a constant NULL.
#[derive(Debug)]
pub(crate) struct NullCalls;

impl OptimizerRule for NullCalls {
    fn name(&self) -> &str {
        "null_calls"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // The filters of a scan were conditions before, and its columns are not those of an input.
        if matches!(plan, LogicalPlan::TableScan(_)) {
            return Ok(Transformed::no(plan));
        }
        let mut found = false;
        plan.apply_expressions(|expression| {
            found = found || expression.exists(|part| Ok(is_null_call(part)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        if !found {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let preserver = NamePreserver::new(&plan);
        let mut replaced = |expression: Expr| {
            let name = preserver.save(&expression);
            let replaced = expression.transform_up(|part| null_of(part, &schema))?;
            Ok(replaced.update_data(|expression| name.restore(expression)))
        };
        plan.map_expressions(|expression| match expression {
            // Their keys have the names; an alias around them would be one key.
            sets @ Expr::GroupingSet(_) => sets.map_children(&mut replaced),
            expression => replaced(expression),
        })
    }
}

/// An expression over the columns of a schema with NULLs in the place of such calls.
pub(crate) fn without_null_calls(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    if !expression.exists(|part| Ok(is_null_call(part)))? {
        return Ok(expression);
    }
    Ok(expression.transform_up(|part| null_of(part, schema))?.data)
}

fn null_of(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if !is_null_call(&part) {
        return Ok(Transformed::no(part));
    }
    let (_, field) = part.to_field(schema)?;
    let metadata = (!field.metadata().is_empty()).then(|| FieldMetadata::new_from_field(&field));
    Ok(Transformed::yes(Expr::Literal(ScalarValue::try_from(field.data_type())?, metadata)))
}

/// Whether a call has a constant NULL beside arguments that cannot fail before, and is NULL therefore.
fn is_null_call(part: &Expr) -> bool {
    let Expr::ScalarFunction(call) = part else { return false };
    let is_null = |argument: &Expr| matches!(argument, Expr::Literal(value, _) if value.is_null());
    let (constant, computed): (Vec<&Expr>, Vec<&Expr>) =
        call.args.iter().partition(|argument| matches!(argument, Expr::Literal(..)));
    constant.into_iter().any(is_null)
        && computed.into_iter().all(|argument| argument.any_column_refs() || reads_settings(argument))
        && !part.is_volatile()
        && is_strict(call.func.name())
}

/// Whether an expression is computed when the statement runs, and not when it is planned.
fn reads_settings(expression: &Expr) -> bool {
    let is_stable = |part: &Expr| match part {
        Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Stable,
        _ => false,
    };
    expression.exists(|part| Ok(is_stable(part))).unwrap_or_default()
}

/// Whether all functions of a name are NULL where an argument is.
fn is_strict(name: &str) -> bool {
    if ARITHMETIC.contains(&name) {
        return true;
    }
    let mut known = functions_by_name(shown_name(name)).iter().filter_map(|oid| function_by_oid(*oid)).peekable();
    known.peek().is_some() && known.all(|function| function.is_strict && function.kind == "f" && !function.returns_set)
}
