//! `json_extract_path(value, step, …)` and its like, which are `#>` and `#>>` too, with the steps as one array.

use super::access::{at_path, write_part};
use super::columns::{Column, Documents, Form, list_texts, written};
use crate::error::QueryError;
use crate::functions::overload::{known_types, no_function};
use crate::operators::casts::{CastContext, cast_array, expression_field};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

const FUNCTIONS: [(&str, Form, bool); 4] = [
    ("json_extract_path", Form::Json, false),
    ("json_extract_path_text", Form::Json, true),
    ("jsonb_extract_path", Form::Jsonb, false),
    ("jsonb_extract_path_text", Form::Jsonb, true),
];

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let all = FUNCTIONS.into_iter();
    all.map(|(name, form, as_text)| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(ExtractPath { name, form, as_text, signature }))
    })
    .collect()
}

/// What a jsonb has at a step.
pub(super) fn extract_path(document: Expr, step: Expr) -> Expr {
    let signature = Signature::variadic_any(Volatility::Immutable);
    let function = ExtractPath { name: "jsonb_extract_path", form: Form::Jsonb, as_text: false, signature };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![document, step]))
}

/// The document and the step of a call that [`extract_path`] made.
pub(super) fn extracted_step(expression: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::ScalarFunction(call) = expression else { return None };
    let extracts = call.func.inner().downcast_ref::<ExtractPath>()?;
    match call.args.as_slice() {
        [document, step] if extracts.name == "jsonb_extract_path" => Some((document, step)),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExtractPath {
    name: &'static str,
    form: Form,
    as_text: bool,
    signature: Signature,
}

impl ExtractPath {
    /// Whether the arguments are a value and steps, or a value and an array of steps.
    fn accepts(&self, types: &[Option<SqlType>]) -> bool {
        let is_text = |step: &Option<SqlType>| {
            matches!(
                step,
                None | Some(SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name)
            )
        };
        let of_texts = |step: &Option<SqlType>| match step {
            Some(SqlType::Array(item)) => matches!(item.as_ref(), SqlType::Text | SqlType::Varchar { .. }),
            _ => false,
        };
        let Some((value, steps)) = types.split_first() else { return false };
        let fits = value.as_ref().is_none_or(|known| *known == self.form.sql_type());
        fits && match steps {
            [] => false,
            [step] => is_text(step) || of_texts(step),
            steps => steps.iter().all(is_text),
        }
    }

    fn result(&self) -> SqlType {
        if self.as_text { SqlType::Text } else { self.form.sql_type() }
    }

    fn extracted(&self, columns: &[ArrayRef], context: &CastContext) -> std::result::Result<ArrayRef, QueryError> {
        let form = self.form.sql_type();
        let from = if *columns[0].data_type() == form.data_type() { form.clone() } else { SqlType::Text };
        let value = cast_array(&columns[0], &from, &form, context)?;
        let mut strict = vec![Arc::clone(&value)];
        let steps = match columns[1].as_list_opt::<i32>() {
            Some(list) => {
                strict.push(Arc::clone(&columns[1]));
                Steps::Array(list.clone())
            }
            None => {
                let texts = columns[1..].iter().map(|step| cast_array(step, &SqlType::Text, &SqlType::Text, context));
                Steps::Columns(texts.collect::<std::result::Result<_, _>>()?)
            }
        };
        let documents = Documents::new(&value);
        let target = if self.as_text { Column::text() } else { Column::of(self.form) };
        written(&strict, target, |row, out| {
            write_part(at_path(documents.value(row), &steps.at(row), self.form)?, self.as_text, out)
        })
    }
}

enum Steps {
    Array(arrow::array::ListArray),
    Columns(Vec<ArrayRef>),
}

impl Steps {
    fn at(&self, row: usize) -> Vec<Option<String>> {
        match self {
            Self::Array(lists) => list_texts(lists, row),
            Self::Columns(columns) => {
                let step = |column: &ArrayRef| {
                    let texts = column.as_string_view();
                    texts.is_valid(row).then(|| texts.value(row).to_string())
                };
                columns.iter().map(step).collect()
            }
        }
    }
}

impl ScalarUDFImpl for ExtractPath {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("{}'s type comes with its field", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types = known_types(args.arg_fields, args.scalar_arguments);
        if !self.accepts(&types) {
            return Err(external(no_function(self.name, &types)));
        }
        Ok(Arc::new(expression_field(&self.result()).with_name(self.name)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let context = CastContext::from_options(&args.config_options);
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let extracted = self.extracted(&columns, &context).map_err(external)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&extracted, 0)?));
        }
        Ok(ColumnarValue::Array(extracted))
    }
}
