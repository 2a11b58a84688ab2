//! `concat` and `concat_ws`: any arguments, each as its type prints it, NULLs left out.

use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::{CastContext, cast_array};
use crate::response::Format;
use crate::scan::external;
use crate::types::{EncodedColumn, OutputStyle, Zone, encode_column};
use arrow::array::{ArrayRef, StringViewBuilder};
use arrow::datatypes::{DataType, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    [false, true].map(|separated| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Concatenation { separated, zone: None, signature }))
    })
}

/// A function for the session's time zone, in which timestamps with time zone are printed.
pub(crate) fn bound(function: &ScalarUDF, zone: Zone) -> Option<Arc<ScalarUDF>> {
    let known = function.inner().downcast_ref::<Concatenation>()?;
    let signature = known.signature.clone();
    let bound = Concatenation { separated: known.separated, zone: Some(zone), signature };
    Some(Arc::new(ScalarUDF::new_from_impl(bound)))
}

#[derive(Debug)]
struct Concatenation {
    /// Whether the first argument stands between the others.
    separated: bool,
    zone: Option<Zone>,
    signature: Signature,
}

impl PartialEq for Concatenation {
    fn eq(&self, other: &Self) -> bool {
        self.separated == other.separated && self.zone == other.zone
    }
}

impl Eq for Concatenation {}

impl std::hash::Hash for Concatenation {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.separated.hash(state);
    }
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &str {
        if self.separated { "concat_ws" } else { "concat" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let context = CastContext::from_options(&args.config_options);
        let style = OutputStyle { time_zone: self.zone.unwrap_or(context.zone), ..OutputStyle::default() };
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let mut texts = Vec::with_capacity(args.args.len());
        for (argument, field) in args.args.iter().zip(&args.arg_fields) {
            texts.push(printed(&argument.to_array(rows)?, field, &style, &context).map_err(external)?);
        }
        let joined = if self.separated { with_separator(&texts, rows) } else { one_after_the_other(&texts, rows) };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?));
        }
        Ok(ColumnarValue::Array(joined))
    }
}

fn printed(
    array: &ArrayRef,
    field: &FieldRef,
    style: &OutputStyle,
    context: &CastContext,
) -> std::result::Result<EncodedColumn, QueryError> {
    let sql_type = SqlType::from_field(field)
        .ok_or_else(|| QueryError::new(ErrorKind::CannotCoerce, "an argument of concat cannot be shown as text"))?;
    let array = match sql_type {
        SqlType::Timestamp | SqlType::TimestampTz => cast_array(array, &sql_type, &sql_type, context)?,
        _ => Arc::clone(array),
    };
    encode_column(&array, &sql_type, Format::Text, style)
}

fn one_after_the_other(texts: &[EncodedColumn], rows: usize) -> ArrayRef {
    let mut joined = StringViewBuilder::with_capacity(rows);
    let mut line = String::new();
    for row in 0..rows {
        line.clear();
        texts.iter().filter_map(|text| text.value(row)).for_each(|text| line.push_str(&String::from_utf8_lossy(text)));
        joined.append_value(&line);
    }
    Arc::new(joined.finish())
}

fn with_separator(texts: &[EncodedColumn], rows: usize) -> ArrayRef {
    let mut joined = StringViewBuilder::with_capacity(rows);
    let mut line = String::new();
    for row in 0..rows {
        let Some(separator) = texts.first().and_then(|separator| separator.value(row)) else {
            joined.append_null();
            continue;
        };
        line.clear();
        for (position, text) in texts[1..].iter().filter_map(|text| text.value(row)).enumerate() {
            if position > 0 {
                line.push_str(&String::from_utf8_lossy(separator));
            }
            line.push_str(&String::from_utf8_lossy(text));
        }
        joined.append_value(&line);
    }
    Arc::new(joined.finish())
}
