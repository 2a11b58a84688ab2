//! EXCEPT and INTERSECT with their multiplicities.
//!
//! DataFusion plans them as anti and semi joins, which lose count: `{1, 1} EXCEPT ALL {1}` gives nothing. Numbering equal rows on both
//! sides makes them exact, because the n-th copy of a row then meets only the n-th copy on the other side.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, WindowFunctionDefinition, cast,
};
use std::sync::{Arc, LazyLock};

/// Rewrites the set operations of a plan that comes from SQL and is not optimised yet: no other NULL-safe semi or anti join is in it.
pub(crate) fn exact_set_operations(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_set_operation(&join) => Ok(Transformed::yes(numbered(&join)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// Whether a join of such a plan is EXCEPT or INTERSECT.
pub(crate) fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.on.len() == join.left.schema().fields().len()
}

fn numbered(join: &Join) -> Result<LogicalPlan> {
    let all = !matches!(join.left.as_ref(), LogicalPlan::Distinct(_));
    let fields = || join.left.schema().fields().iter().zip(join.right.schema().fields());
    let types: Vec<_> = fields()
        .map(|(left, right)| {
            comparison_coercion(left.data_type(), right.data_type()).unwrap_or_else(|| left.data_type().clone())
        })
        .collect();
    let left = side(&join.left, "l", &types, all)?;
    let right = side(&join.right, "r", &types, all)?;
    let keys = |prefix: &str| -> Vec<Column> {
        let count = types.len() + usize::from(all);
        (0..count).map(|index| Column::from_name(format!("__{prefix}{index}"))).collect()
    };
    let joined = LogicalPlanBuilder::from(left).join_detailed(
        right,
        join.join_type,
        (keys("l"), keys("r")),
        None,
        NullEquality::NullEqualsNull,
    )?;
    let shown = join.left.schema().iter().enumerate().map(|(index, (qualifier, field))| {
        Expr::Column(Column::from_name(format!("__l{index}"))).alias_qualified(qualifier.cloned(), field.name())
    });
    joined.project(shown.collect::<Vec<_>>())?.build()
}

/// One side with plain column names, common types and, for ALL, the number of each copy as its last column.
fn side(plan: &LogicalPlan, prefix: &str, types: &[DataType], all: bool) -> Result<LogicalPlan> {
    let name = |index: usize| format!("__{prefix}{index}");
    let columns = plan.schema().columns().into_iter().zip(types).enumerate().map(|(index, (column, data_type))| {
        let value = cast(Expr::Column(column), data_type.clone());
        if all { opaque(value).alias(name(index)) } else { value.alias(name(index)) }
    });
    let plain = LogicalPlanBuilder::from(plan.clone()).project(columns.collect::<Vec<_>>())?;
    if !all {
        return plain.build();
    }
    let keys: Vec<Expr> = (0..types.len()).map(|index| Expr::Column(Column::from_name(name(index)))).collect();
    let function = WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), Vec::new());
    let number = Expr::WindowFunction(Box::new(function)).partition_by(keys.clone()).build()?;
    let copy = Expr::Column(Column::from_name(number.schema_name().to_string())).alias(name(types.len()));
    plain.window(vec![number])?.project(keys.into_iter().chain([copy]).collect::<Vec<_>>())?.build()
}

/// A value as it is, of which the optimiser knows nothing. DataFusion's window over equal columns fails where its input is sorted by
/// some of them and others are constant.
pub(crate) fn opaque(value: Expr) -> Expr {
    OPAQUE.call(vec![value])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Opaque {
    signature: Signature,
}

static OPAQUE: LazyLock<ScalarUDF> =
    LazyLock::new(|| ScalarUDF::new_from_impl(Opaque { signature: Signature::any(1, Volatility::Immutable) }));

impl ScalarUDFImpl for Opaque {
    fn name(&self) -> &str {
        "opaque"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::clone(&args.arg_fields[0]))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.swap_remove(0))
    }
}
