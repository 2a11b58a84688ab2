//! `coalesce` of what must be computed once: `coalesce(nextval('s'), 0)`.
//!
//! DataFusion makes a CASE of coalesce, which names each value but the last twice. This one computes all values for all rows.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::is_null;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The first value that is not NULL; they are of one type.
pub(crate) fn computed_once(values: Vec<Expr>) -> Expr {
    ScalarUDF::new_from_impl(Once { signature: Signature::variadic_any(Volatility::Immutable) }).call(values)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Once {
    signature: Signature,
}

impl ScalarUDFImpl for Once {
    fn name(&self) -> &str {
        "coalesce"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type is that of the first value's field")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let Some(first) = args.arg_fields.first() else { return internal_err!("coalesce takes values") };
        Ok(first.as_ref().clone().with_nullable(true).with_name(self.name()).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut values = args.args.iter().map(|value| value.to_array(args.number_rows));
        let Some(first) = values.next() else { return internal_err!("coalesce takes values") };
        let mut found: ArrayRef = first?;
        for value in values {
            let missing: BooleanArray = is_null(&found)?;
            found = zip(&missing, &value?, &found)?;
        }
        Ok(ColumnarValue::Array(found))
    }
}
