//! The counts of LIMIT and OFFSET, where they are more than a number, and FETCH … WITH TIES.
//!
//! A count is a call of a function of this module around any expression of one row, a subquery too:
//!
//!     LIMIT (SELECT …)   ▶   limit@count((SELECT …))   ──evaluated, when the query starts──▶   LIMIT 10
//!
//! The functions convert to bigint, refuse negative counts and what is no number; NULL is no limit. They are
//! evaluated before the optimiser sees the plan, which wants numbers. [`with_ties`] makes a filter by rank of a limit
//! that takes ties along:
//!
//!     Limit(k, ties@count(n), Sort(keys, input))
//!     ▶ Sort(number, Filter(rank − k <= n AND number > k, Window(rank and number by keys, input)))
//!
//! EXPLAIN computes nothing. [`left_open`] shows it such a filter, by number, where a count is not known without reading rows.

use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::{CastContext, cast_array};
use crate::operators::resolution::unknown_field;
use crate::scan::external;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::functions_window::rank::rank_udwf;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{ScalarFunction, Sort as SortKey, WindowFunction};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprFunctionExt, Limit, LogicalPlan, LogicalPlanBuilder, Projection, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, WindowUDF, cast, lit, when,
};
use datafusion::physical_plan::collect;
use std::sync::Arc;

/// The functions around the counts of LIMIT, of OFFSET and of FETCH … WITH TIES.
pub(crate) const LIMIT: &str = "limit@count";
pub(crate) const OFFSET: &str = "offset@count";
pub(crate) const WITH_TIES: &str = "ties@count";

/// The functions of this module, for the registry.
pub(crate) fn functions() -> [Arc<ScalarUDF>; 3] {
    [LIMIT, OFFSET, WITH_TIES].map(|name| {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(RowCount { name, signature }))
    })
}

/// The plan with every count that is an expression replaced by its value.
pub(crate) async fn evaluated(plan: &LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let mut counts: Vec<Expr> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            let expressions = [&limit.skip, &limit.fetch].into_iter().flatten();
            counts.extend(expressions.filter(|count| is_count(count)).map(|count| count.as_ref().clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if counts.is_empty() {
        return Ok(plan.clone());
    }
    let mut values = Vec::with_capacity(counts.len());
    for count in counts {
        let value = value_of(count.clone(), state).await?;
        values.push((count, value));
    }
    let replaced = plan.clone().transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(Limit { skip, fetch, input }) => {
            let known = |count: Option<Box<Expr>>| {
                count.map(|count| match values.iter().find(|(known, _)| *known == *count) {
                    Some((_, value)) => Box::new(lit(value.clone())),
                    None => count,
                })
            };
            Ok(Transformed::yes(LogicalPlan::Limit(Limit { skip: known(skip), fetch: known(fetch), input })))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// The plan with filters in the place of limits whose counts only its run may compute: those with subqueries, and volatile ones.
pub(crate) fn left_open(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) if [&limit.skip, &limit.fetch].into_iter().flatten().any(|count| is_open(count)) => {
            let count = limit.fetch.as_deref().cloned();
            numbered(&limit, count, row_number_udwf()).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn is_open(count: &Expr) -> bool {
    count.is_volatile() || count.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_)))).unwrap_or(true)
}

fn is_count(expression: &Expr) -> bool {
    matches!(expression, Expr::ScalarFunction(call) if call.func.inner().downcast_ref::<RowCount>().is_some())
}

/// Runs `SELECT count`.
async fn value_of(count: Expr, state: &SessionState) -> Result<ScalarValue> {
    let plan = LogicalPlanBuilder::empty(true).project([count.alias("count")])?.build()?;
    // A subquery may have a limit of its own.
    let plan = Box::pin(evaluated(&plan, state)).await?;
    let physical = state.create_physical_plan(&plan).await?;
    let batches = collect(physical, state.task_ctx()).await?;
    let rows = batches.iter().find(|batch| batch.num_rows() > 0);
    rows.map_or(Ok(ScalarValue::Int64(None)), |batch| ScalarValue::try_from_array(batch.column(0), 0))
}

/// Rewrites the limits that take ties along. The plan comes from SQL and is not optimised yet.
pub(crate) fn with_ties(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) => match ties(&limit) {
            Some(count) => ranked(&limit, count).map(Transformed::yes),
            None => Ok(Transformed::no(LogicalPlan::Limit(limit))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// The argument of the function around such a limit.
fn ties(limit: &Limit) -> Option<Expr> {
    match limit.fetch.as_deref() {
        Some(Expr::ScalarFunction(ScalarFunction { func, args })) if func.name() == WITH_TIES => args.first().cloned(),
        _ => None,
    }
}

fn ranked(limit: &Limit, count: Expr) -> Result<LogicalPlan> {
    let is_sorted = match limit.input.as_ref() {
        LogicalPlan::Projection(projection) => matches!(projection.input.as_ref(), LogicalPlan::Sort(_)),
        input => matches!(input, LogicalPlan::Sort(_)),
    };
    match is_sorted {
        true => numbered(limit, Some(counted(count)), rank_udwf()),
        false => Err(external(QueryError::unsupported("WITH TIES over this query"))),
    }
}

/// A limit as a filter: rows are taken whose `place` behind the skipped ones is among the first `count`.
fn numbered(limit: &Limit, count: Option<Expr>, place: Arc<WindowUDF>) -> Result<LogicalPlan> {
    let (shown, below) = match limit.input.as_ref() {
        LogicalPlan::Projection(projection) => (Some(projection), projection.input.as_ref()),
        input => (None, input),
    };
    let (keys, input) = match below {
        LogicalPlan::Sort(sort) => (sort.expr.as_slice(), sort.input.as_ref()),
        input => (&[][..], input),
    };
    let (place, number) = (numbering(place, keys)?, numbering(row_number_udwf(), keys)?);
    let column = |window: &Expr| Expr::Column(Column::from_name(window.schema_name().to_string()));
    let (place_column, number_column) = (column(&place), column(&number));
    let skipped = match limit.skip.as_deref() {
        Some(skip) => when(skip.clone().is_null(), lit(0i64)).otherwise(cast(skip.clone(), DataType::Int64))?,
        None => lit(0i64),
    };
    let behind = cast(place_column, DataType::Int64) - skipped.clone();
    let taken = count.map(|count| count.clone().is_null().or(count.clone().gt(lit(0i64)).and(behind.lt_eq(count))));
    let is_behind = cast(number_column.clone(), DataType::Int64).gt(skipped);
    let taken = conjunction(taken.into_iter().chain([is_behind])).unwrap_or(lit(true));
    let windows = if place == number { vec![place] } else { vec![place, number] };
    let plain = LogicalPlanBuilder::from(input.clone())
        .window(windows)?
        .filter(taken)?
        .sort([SortKey::new(number_column, true, false)])?
        .project(input.schema().iter().map(Expr::from))?
        .build()?;
    match shown {
        None => Ok(plain),
        Some(projection) => Projection::try_new(projection.expr.clone(), Arc::new(plain)).map(LogicalPlan::Projection),
    }
}

/// A count as LIMIT reads it.
fn counted(count: Expr) -> Expr {
    let [limit, ..] = functions();
    Expr::ScalarFunction(ScalarFunction::new_udf(limit, vec![count]))
}

fn numbering(function: Arc<WindowUDF>, keys: &[SortKey]) -> Result<Expr> {
    let function = Expr::WindowFunction(Box::new(WindowFunction::new(function, Vec::new())));
    if keys.is_empty() { Ok(function) } else { function.order_by(keys.to_vec()).build() }
}

/// A count of rows, as one of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RowCount {
    name: &'static str,
    signature: Signature,
}

impl RowCount {
    fn clause(&self) -> &'static str {
        if self.name == OFFSET { "OFFSET" } else { "LIMIT" }
    }

    fn check(&self, counts: &ArrayRef) -> Result<(), QueryError> {
        if !counts.as_primitive::<Int64Type>().iter().flatten().any(|count| count < 0) {
            return Ok(());
        }
        let kind = match self.clause() {
            "OFFSET" => ErrorKind::InvalidArgumentForOffset,
            _ => ErrorKind::InvalidArgumentForLimit,
        };
        Err(QueryError::new(kind, format!("{} must not be negative", self.clause())))
    }
}

impl ScalarUDFImpl for RowCount {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let known = match args.scalar_arguments.first().copied().flatten() {
            literal if unknown_field(&args.arg_fields[0], literal) => None,
            _ => SqlType::from_field(&args.arg_fields[0]),
        };
        use SqlType::{Float4, Float8, Int2, Int4, Int8, Numeric};
        match known {
            None | Some(Int2 | Int4 | Int8 | Numeric { .. } | Float4 | Float8) => {
                Ok(Arc::new(Field::new(self.name, DataType::Int64, true)))
            }
            Some(other) => {
                let message =
                    format!("argument of {} must be type bigint, not type {}", self.clause(), other.base_name());
                Err(external(QueryError::new(ErrorKind::DatatypeMismatch, message)))
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let context = CastContext::from_options(&args.config_options);
        let from = SqlType::from_field(&args.arg_fields[0]).unwrap_or(SqlType::Text);
        let constant = matches!(args.args[0], ColumnarValue::Scalar(_));
        let array = args.args[0].to_array(if constant { 1 } else { args.number_rows })?;
        let counts = cast_array(&array, &from, &SqlType::Int8, &context).map_err(external)?;
        self.check(&counts).map_err(external)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&counts, 0)?));
        }
        Ok(ColumnarValue::Array(counts))
    }
}
