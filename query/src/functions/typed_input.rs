//! Texts read by the input of a type, which refuses what a cast would cut: `"input@character varying(3)"(x)`.

use crate::operators::casts::{CastContext, expression_field};
use crate::scan::external;
use crate::types::{ColumnDecoder, OutputStyle};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

const PREFIX: &str = "input@";

/// What the function is called that reads a type.
pub(crate) fn name_of(sql_type: &SqlType) -> String {
    format!("{PREFIX}{sql_type}")
}

/// The function of that name, if it is one of these.
pub(crate) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let sql_type = SqlType::parse(name.strip_prefix(PREFIX)?)?;
    let signature = Signature::any(1, Volatility::Immutable);
    Some(Arc::new(ScalarUDF::new_from_impl(TypedInput { name: name.to_string(), sql_type, signature })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypedInput {
    name: String,
    sql_type: SqlType,
    signature: Signature,
}

impl ScalarUDFImpl for TypedInput {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.sql_type.data_type())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(expression_field(&self.sql_type)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let style =
            OutputStyle { time_zone: CastContext::from_options(&args.config_options).zone, ..OutputStyle::default() };
        let (texts, is_scalar) = match &args.args[0] {
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
            ColumnarValue::Array(texts) => (Arc::clone(texts), false),
        };
        let texts = cast(&texts, &DataType::Utf8View)?;
        let read = ColumnDecoder::new(self.sql_type.clone(), style).decode(texts.as_string_view().iter());
        let read = read.map_err(|failure| external(failure.error))?;
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&read, 0)?),
            false => ColumnarValue::Array(read),
        })
    }
}
