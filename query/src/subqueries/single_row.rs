//! The check that a subquery which stands for a value has one row.
//!
//! The rows are counted for each key. More than one is an error only where an outer row has that key and its expression is computed,
//! as in PostgreSQL, so the check is a function at the place of the subquery.

use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, Int64Array};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::cast::as_int64_array;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::{Arc, LazyLock};

/// `value` where `rows`, a bigint, is at most one or NULL; else an error. `witness` is any column of the outer plan: it keeps the
/// call from being moved to where there are no outer rows.
pub(super) fn single_row(value: Expr, rows: Expr, witness: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&SINGLE_ROW), vec![value, rows, witness]))
}

static SINGLE_ROW: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(ScalarUDF::new_from_impl(SingleRow { signature: Signature::any(3, Volatility::Immutable) }))
});

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleRow {
    signature: Signature,
}

impl ScalarUDFImpl for SingleRow {
    fn name(&self) -> &str {
        "single_row"
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
        let several = match &args.args[1] {
            ColumnarValue::Array(rows) => has_several(as_int64_array(rows)?),
            ColumnarValue::Scalar(ScalarValue::Int64(rows)) => rows.is_some_and(|rows| rows > 1),
            ColumnarValue::Scalar(_) => false,
        };
        if several {
            let message = "more than one row returned by a subquery used as an expression";
            return Err(external(QueryError::new(ErrorKind::CardinalityViolation, message)));
        }
        Ok(args.args.swap_remove(0))
    }
}

fn has_several(rows: &Int64Array) -> bool {
    (0..rows.len()).any(|row| rows.is_valid(row) && rows.value(row) > 1)
}
