//! `x op ANY (array)` and `x op ALL (array)`: a comparison with each element, for every operator that gives a boolean.
//!
//! The comparison is the one that `x op element` is lowered to, over two columns. It runs once over all elements of a
//! batch, and its answers are put together by rows:
//!
//!     x      array          value  element  answer        ANY
//!     1      {1,NULL}   ▶   1      1        true      ▶   true
//!     2      {1,NULL}       2      1        false         NULL
//!                           1      NULL     NULL
//!                           2      NULL     NULL
//!
//! Where the array is constant, `=` becomes IN and other operators a few comparisons, which filters push down and
//! prune by.

use super::contexts::no_array;
use super::lowering::{Argument, Lowering};
use super::resolution::{Operand, resolve};
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchemaRef, Result, ScalarValue, ToDFSchema};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    cast, lit,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;
use datafusion::sql::sqlparser::ast::{self, BinaryOperator};
use std::sync::Arc;

/// The columns of the comparison.
const VALUE: &str = "value";
const ELEMENT: &str = "element";
/// The most elements of a constant array that are compared one by one in the plan.
const COMPARISONS_MAX: usize = 16;

/// Whether the right side of ANY or ALL is a subquery, whose rows are compared.
pub(super) fn is_query(right: &ast::Expr) -> bool {
    match right {
        ast::Expr::Nested(inner) => is_query(inner),
        other => matches!(other, ast::Expr::Subquery(_)),
    }
}

/// Whether there is such a comparison, as its site asks while the planner works.
pub(super) fn check(operator: &BinaryOperator, left: &Operand, right: &Operand) -> Result<(), QueryError> {
    match right {
        None => match left {
            Some(array @ SqlType::Array(_)) => Err(no_array(array.oid())),
            _ => Ok(()),
        },
        Some(SqlType::Array(element)) => resolve(operator, left, &Some(element.as_ref().clone())).map(|_| ()),
        Some(_) => {
            let message = "op ANY/ALL (array) requires array on right side";
            Err(QueryError::new(ErrorKind::WrongObjectType, message))
        }
    }
}

impl Lowering<'_> {
    /// The call that compares a value with the elements of an array.
    pub(super) fn elements(
        &self,
        operator: &BinaryOperator,
        all: bool,
        left: Argument,
        right: Argument,
    ) -> Result<Expr, QueryError> {
        check(operator, &left.known, &right.known)?;
        let element = match (&right.known, &left.known) {
            (Some(SqlType::Array(element)), _) => element.as_ref().clone(),
            (_, Some(known)) => known.clone(),
            _ => SqlType::Text,
        };
        let array_type = SqlType::Array(Box::new(element.clone()));
        let array = match &right.expression {
            // An array of NULLs alone has a type for the planner and none for SQL.
            Expr::Literal(..) | Expr::Placeholder(_) => self.typed(right, &array_type)?,
            _ if right.known.is_none() => cast(right.expression, array_type.data_type()),
            _ => right.expression,
        };
        let known = left.known.clone().unwrap_or_else(|| element.clone());
        let value = self.typed(left, &element)?;
        let schema = Schema::new(vec![known.field(VALUE, true), element.field(ELEMENT, true)]);
        let schema = schema.to_dfschema_ref().map_err(|error| QueryError::unsupported(error.to_string()))?;
        let side = |name: &str, known: SqlType| Argument::known(Expr::Column(Column::from_name(name)), known);
        let compared = self.binary(operator, side(VALUE, known), side(ELEMENT, element))?;
        let coerced = ExprSimplifier::new(SimplifyContext::builder().build()).coerce(compared, &schema);
        let comparison = coerced.map_err(|error| QueryError::unsupported(error.to_string()))?;
        let signature = Signature::user_defined(Volatility::Immutable);
        let function = ScalarUDF::new_from_impl(Elements { comparison, schema, all, signature });
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![value, array])))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Elements {
    /// Over the columns [`VALUE`] and [`ELEMENT`].
    comparison: Expr,
    schema: DFSchemaRef,
    all: bool,
    signature: Signature,
}

impl Elements {
    /// The comparison of given expressions.
    fn of(&self, value: &Expr, element: Expr) -> Result<Expr> {
        let replaced = self.comparison.clone().transform_up(|part| {
            Ok(match &part {
                Expr::Column(column) if column.name == VALUE => Transformed::yes(value.clone()),
                Expr::Column(column) if column.name == ELEMENT => Transformed::yes(element.clone()),
                _ => Transformed::no(part),
            })
        })?;
        Ok(replaced.data)
    }

    /// `value [NOT] IN (elements)`, where the comparison is plain.
    fn in_list(&self, value: &Expr, elements: &[ScalarValue]) -> Option<Expr> {
        let wanted = if self.all { Operator::NotEq } else { Operator::Eq };
        let is_side = |side: &Expr, name: &str| matches!(side, Expr::Column(column) if column.name == name);
        match &self.comparison {
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if *op == wanted && is_side(left, VALUE) && is_side(right, ELEMENT) =>
            {
                let list = elements.iter().map(|element| lit(element.clone())).collect();
                Some(Expr::InList(InList::new(Box::new(value.clone()), list, self.all)))
            }
            _ => None,
        }
    }

    /// For each element of each row whether the comparison holds.
    fn answers(&self, value: &ArrayRef, list: &ListArray) -> Result<BooleanArray> {
        let offsets = list.value_offsets();
        let rows = (0..list.len()).flat_map(|row| {
            let count = (offsets[row + 1] - offsets[row]) as usize;
            std::iter::repeat_n(row as u32, count)
        });
        let rows: UInt32Array = rows.collect();
        let first = offsets[0] as usize;
        let items = list.values().slice(first, rows.len());
        let batch = RecordBatch::try_new(Arc::clone(self.schema.inner()), vec![take(value, &rows, None)?, items])?;
        let properties = ExecutionProps::new();
        let planning = PhysicalPlanningContext::default();
        let comparison = create_physical_expr(&self.comparison, &self.schema, &properties, &planning)?;
        let answers = comparison.evaluate(&batch)?.into_array(batch.num_rows())?;
        Ok(answers.as_boolean().clone())
    }
}

impl ScalarUDFImpl for Elements {
    fn name(&self) -> &str {
        if self.all { "all" } else { "any" }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("{} {}({})", args[0].schema_name(), self.name(), args[1].schema_name()))
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        let element = Expr::Column(Column::from_name(format!("{}({})", self.name(), args[1])));
        Ok(self.of(&args[0], element)?.to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, _: &[DataType]) -> Result<Vec<DataType>> {
        let (value, element) = (self.schema.field(0).data_type(), self.schema.field(1).data_type());
        let item = Field::new_list_field(element.clone(), true);
        Ok(vec![value.clone(), DataType::List(Arc::new(item))])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let list = match &args[1] {
            Expr::Literal(ScalarValue::List(list), _) => Arc::clone(list),
            _ => return Ok(ExprSimplifyResult::Original(args)),
        };
        if list.is_null(0) {
            return Ok(ExprSimplifyResult::Simplified(lit(ScalarValue::Boolean(None))));
        }
        let items = list.value(0);
        let elements = (0..items.len()).map(|index| ScalarValue::try_from_array(&items, index));
        let elements = elements.collect::<Result<Vec<ScalarValue>>>()?;
        if let Some(simple) = self.in_list(&args[0], &elements).filter(|_| !elements.is_empty()) {
            return Ok(ExprSimplifyResult::Simplified(simple));
        }
        if elements.len() > COMPARISONS_MAX || (elements.len() > 1 && args[0].is_volatile()) {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let compared = elements.into_iter().map(|element| self.of(&args[0], lit(element)));
        let compared = compared.collect::<Result<Vec<Expr>>>()?;
        let joined = if self.all { conjunction(compared) } else { disjunction(compared) };
        Ok(ExprSimplifyResult::Simplified(joined.unwrap_or_else(|| lit(self.all))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let (value, array) = (args.args[0].to_array(rows)?, args.args[1].to_array(rows)?);
        let lists = array.as_list_opt::<i32>();
        let lists = lists.ok_or_else(|| external(QueryError::unsupported("ANY and ALL over this array")))?;
        let answers = self.answers(&value, lists)?;
        let first = lists.value_offsets()[0];
        let whole = (0..rows).map(|row| {
            if lists.is_null(row) {
                return None;
            }
            let range =
                (lists.value_offsets()[row] - first) as usize..(lists.value_offsets()[row + 1] - first) as usize;
            let mut unknown = false;
            for index in range {
                match answers.is_valid(index).then(|| answers.value(index)) {
                    Some(answer) if answer != self.all => return Some(answer),
                    Some(_) => {}
                    None => unknown = true,
                }
            }
            (!unknown).then_some(self.all)
        });
        let whole: ArrayRef = Arc::new(whole.collect::<BooleanArray>());
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&whole, 0)?));
        }
        Ok(ColumnarValue::Array(whole))
    }
}
