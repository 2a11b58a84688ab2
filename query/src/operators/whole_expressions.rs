//! Expressions that are computed as a whole: what may be another value each time is computed once.
//!
//! Lowering spells some operators out with an operand in several places, and so does DataFusion's simplifier. For `random()` and
//! the like that is another value in each place:
//!
//!     nullif(floor(random() * 2), 0)    CASE WHEN a = 0 THEN NULL ELSE a END of one a
//!     CASE WHEN random() < 0.5 THEN b ELSE c END    (random() < 0.5 AND b) OR (NOT random() < 0.5 AND c)
//!
//! Such an expression becomes a call of its operand and of the columns in it. The rest of it is in the function, over columns that
//! are the arguments: nobody looks into it who does not ask for its parts, and what stands in a branch is computed for the rows of that branch only.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, ToDFSchema, internal_err};
use datafusion::execution::context::ExecutionProps;
use datafusion::functions::core::coalesce::CoalesceFunc;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;
use std::sync::Arc;

/// The column that stands for the operand.
const OPERAND: &str = "operand@";
/// The columns that stand for the arguments.
const ARGUMENT: &str = "argument@";

/// What `build` makes of an operand, which it may put into several places.
pub(crate) fn of_one<E>(operand: Expr, build: impl FnOnce(Expr) -> Result<Expr, E>) -> Result<Expr, E> {
    if !operand.is_volatile() {
        return build(operand);
    }
    let whole = build(Expr::Column(Column::from_name(OPERAND)))?;
    Ok(call(whole, vec![operand]))
}

/// An expression in which nothing is moved or doubled.
pub(crate) fn as_whole(whole: Expr) -> Expr {
    call(whole, Vec::new())
}

/// The call that computes an expression, of which the arguments so far are the operand.
fn call(whole: Expr, mut arguments: Vec<Expr>) -> Expr {
    let replaced = whole.transform_down(|part| {
        if matches!(&part, Expr::Column(column) if column.name == OPERAND && column.relation.is_none()) {
            return Ok(Transformed::new(argument(0), true, TreeNodeRecursion::Jump));
        }
        if !is_of_plan(&part) {
            return Ok(match part {
                Expr::ScalarFunction(call) if is_coalesce(&call) => Transformed::yes(first_known(call.args)),
                other => Transformed::no(other),
            });
        }
        let known = arguments.iter().position(|known| *known == part && !part.is_volatile());
        let place = known.unwrap_or_else(|| {
            arguments.push(part);
            arguments.len() - 1
        });
        Ok(Transformed::new(argument(place), true, TreeNodeRecursion::Jump))
    });
    let whole = replaced.expect("putting columns in does not fail").data;
    let volatility = if whole.is_volatile() { Volatility::Volatile } else { Volatility::Immutable };
    let signature =
        if arguments.is_empty() { Signature::nullary(volatility) } else { Signature::variadic_any(volatility) };
    ScalarUDF::new_from_impl(Whole { whole, signature }).call(arguments)
}

/// What the simplifier makes a CASE of, and nobody can compute.
fn is_coalesce(call: &ScalarFunction) -> bool {
    call.func.inner().downcast_ref::<CoalesceFunc>().is_some()
}

/// The first of some values that is not NULL; those that are computed once are another function's.
fn first_known(mut values: Vec<Expr>) -> Expr {
    let last = values.pop().map(Box::new);
    let branches = values.into_iter().map(|value| (Box::new(value.clone().is_not_null()), Box::new(value)));
    Expr::Case(Case { expr: None, when_then_expr: branches.collect(), else_expr: last })
}

/// A call of an expression with its parts rewritten, which get the columns that they are over; `None` for another call.
pub(crate) fn within(
    call: &ScalarFunction,
    schema: &DFSchema,
    mut rewrite: impl FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Option<Transformed<Expr>>> {
    let Some(Whole { whole, signature }) = call.func.inner().downcast_ref::<Whole>() else { return Ok(None) };
    let fields = call.args.iter().map(|argument| Ok(argument.to_field(schema)?.1));
    let columns = columns(&fields.collect::<Result<Vec<FieldRef>>>()?)?;
    let rewritten = whole.clone().transform_up(|part| rewrite(part, &columns))?;
    Ok(Some(rewritten.update_data(|whole| {
        let function = ScalarUDF::new_from_impl(Whole { whole, signature: signature.clone() });
        function.call(call.args.clone())
    })))
}

/// The columns that arguments are.
fn columns(arguments: &[FieldRef]) -> Result<DFSchemaRef> {
    let fields = arguments.iter().enumerate().map(|(place, field)| {
        let field = field.as_ref().clone();
        field.with_name(format!("{ARGUMENT}{place}")).with_nullable(true)
    });
    Schema::new(fields.collect::<Vec<_>>()).to_dfschema_ref()
}

fn argument(place: usize) -> Expr {
    Expr::Column(Column::from_name(format!("{ARGUMENT}{place}")))
}

/// What the plan around an expression gives to it, the statement's time among it.
fn is_of_plan(part: &Expr) -> bool {
    if let Expr::ScalarFunction(call) = part {
        return call.args.is_empty() && call.func.signature().volatility == Volatility::Stable;
    }
    matches!(
        part,
        Expr::Column(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::ScalarVariable(..)
            | Expr::Placeholder(_)
            | Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::Unnest(_)
    )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Whole {
    /// Over columns that are the arguments.
    whole: Expr,
    signature: Signature,
}

impl Whole {
    /// The expression with the types that its operators ask for, and the columns that it is over.
    fn over(&self, arguments: &[FieldRef]) -> Result<(Expr, DFSchemaRef)> {
        let schema = columns(arguments)?;
        let coerced = ExprSimplifier::new(SimplifyContext::builder().build()).coerce(self.whole.clone(), &schema)?;
        Ok((coerced, schema))
    }

    /// The expression over the arguments themselves.
    fn spelt_out(&self, arguments: &[Expr]) -> Result<Expr> {
        let place = |column: &Column| column.name.strip_prefix(ARGUMENT).and_then(|place| place.parse::<usize>().ok());
        let replaced = self.whole.clone().transform_down(|part| {
            let argument = match &part {
                Expr::Column(column) => place(column).and_then(|place| arguments.get(place)),
                _ => None,
            };
            Ok(match argument {
                Some(argument) => Transformed::new(argument.clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(part),
            })
        });
        Ok(replaced?.data)
    }
}

impl ScalarUDFImpl for Whole {
    fn name(&self) -> &str {
        "whole"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.spelt_out(args)?.schema_name().to_string())
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.spelt_out(args)?.to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type is that of the expression's field")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let (whole, schema) = self.over(args.arg_fields)?;
        let (_, field) = whole.to_field(&schema)?;
        Ok(Arc::new(field.as_ref().clone().with_name(self.name()).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (whole, schema) = self.over(&args.arg_fields)?;
        let columns = args.args.iter().map(|value| value.to_array(args.number_rows));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema.inner()), columns, &options)?;
        let mut properties = ExecutionProps::new();
        properties.config_options = Some(Arc::clone(&args.config_options));
        let planning = PhysicalPlanningContext::default();
        let computed = create_physical_expr(&whole, &schema, &properties, &planning)?.evaluate(&batch)?;
        Ok(ColumnarValue::Array(computed.into_array(args.number_rows)?))
    }
}
