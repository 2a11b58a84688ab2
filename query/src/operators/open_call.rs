//! Open calls: functions in a plan that is made only to find out the types of its parameters.
//!
//! Such a plan has calls whose arguments nobody knows yet, and what they give may be wrong for them as they stand:
//! `$1 + interval '1 day'` is an interval until `$1` is known to be a date. An open call answers with the type of the
//! function that it stands for where that has one, and with Null, which the planner takes anywhere, where it has
//! none; what is unnested is an array of that. It never runs.

use crate::functions::overload::Function;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
};
use std::sync::Arc;

/// A function that takes any arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OpenCall {
    meant: Arc<ScalarUDF>,
    signature: Signature,
}

/// The function as an open call.
pub(crate) fn opened(meant: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let signature =
        Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], meant.signature().volatility);
    Arc::new(ScalarUDF::new_from_impl(OpenCall { meant, signature }))
}

/// The function that a call is of, be it open or not.
pub(crate) fn meant(called: &ScalarUDF) -> &ScalarUDF {
    called.inner().downcast_ref::<OpenCall>().map_or(called, |open| &open.meant)
}

impl ScalarUDFImpl for OpenCall {
    fn name(&self) -> &str {
        self.meant.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.meant.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("an open call's type depends on its fields")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let fields = fields_with_udf(args.arg_fields, self.meant.as_ref());
        let result = fields.and_then(|fields| {
            let scalar_arguments = args.scalar_arguments;
            self.meant.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments })
        });
        let gives_array = self.meant.inner().downcast_ref::<Function>().is_some_and(Function::gives_array);
        let open = if gives_array { DataType::new_list(DataType::Null, true) } else { DataType::Null };
        Ok(result.unwrap_or_else(|_| Arc::new(Field::new(self.name(), open, true))))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a plan for the types of parameters was run")
    }
}
