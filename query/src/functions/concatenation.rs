//! `concat` and `concat_ws`: any arguments, each as its type prints it, NULLs left out. Records too: `(1,abc,)`.

use super::overload::{known_types, no_function};
use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::{CastContext, cast_array};
use crate::response::Format;
use crate::scan::external;
use crate::types::{EncodedColumn, OutputStyle, Zone, encode_column};
use arrow::array::{ArrayRef, StringViewBuilder, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use std::sync::Arc;

/// The function that a row is in a select list. Nobody can type its name without quotes.
pub(crate) const RECORD: &str = "record@text";
/// The same where an outer join may have added the row, which is NULL then.
pub(crate) const ADDED_RECORD: &str = "record@added";

pub(super) fn functions() -> [Arc<ScalarUDF>; 4] {
    [Form::Plain, Form::Separated, Form::Record, Form::AddedRecord].map(of_form)
}

fn of_form(form: Form) -> Arc<ScalarUDF> {
    // A table may have no columns; the other functions have at least one argument.
    let shapes = match form {
        Form::Record | Form::AddedRecord => vec![TypeSignature::VariadicAny, TypeSignature::Nullary],
        Form::Plain | Form::Separated => vec![TypeSignature::VariadicAny],
    };
    let signature = Signature::one_of(shapes, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Concatenation { form, zone: None, signature }))
}

/// A record of columns. `added` where an outer join may have added the row, which is NULL then.
pub(crate) fn record(added: bool, columns: Vec<Expr>) -> Expr {
    let form = if added { Form::AddedRecord } else { Form::Record };
    Expr::ScalarFunction(ScalarFunction::new_udf(of_form(form), columns))
}

/// A function for the session's time zone, in which timestamps with time zone are printed.
pub(crate) fn bound(function: &ScalarUDF, zone: Zone) -> Option<Arc<ScalarUDF>> {
    let known = function.inner().downcast_ref::<Concatenation>()?;
    let signature = known.signature.clone();
    let bound = Concatenation { form: known.form, zone: Some(zone), signature };
    Some(Arc::new(ScalarUDF::new_from_impl(bound)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Plain,
    /// The first argument stands between the others.
    Separated,
    /// In parentheses, with commas between.
    Record,
    /// The same, but NULL where all arguments are.
    AddedRecord,
}

#[derive(Debug)]
struct Concatenation {
    form: Form,
    zone: Option<Zone>,
    signature: Signature,
}

impl PartialEq for Concatenation {
    fn eq(&self, other: &Self) -> bool {
        self.form == other.form && self.zone == other.zone
    }
}

impl Eq for Concatenation {}

impl std::hash::Hash for Concatenation {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.form.hash(state);
    }
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &str {
        match self.form {
            Form::Plain => "concat",
            Form::Separated => "concat_ws",
            Form::Record => RECORD,
            Form::AddedRecord => ADDED_RECORD,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if self.form == Form::Separated && args.arg_fields.len() < 2 {
            return Err(external(no_function(self.name(), &known_types(args.arg_fields, args.scalar_arguments))));
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8View, true)))
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
        let joined = match self.form {
            Form::Plain => one_after_the_other(&texts, rows),
            Form::Separated => with_separator(&texts, rows),
            Form::Record => records(&texts, rows, false),
            Form::AddedRecord => records(&texts, rows, true),
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?));
        }
        Ok(ColumnarValue::Array(joined))
    }
}

/// A column as the text that its type prints.
pub(super) fn printed(
    array: &ArrayRef,
    field: &FieldRef,
    style: &OutputStyle,
    context: &CastContext,
) -> std::result::Result<EncodedColumn, QueryError> {
    if *array.data_type() == DataType::Null {
        return encode_column(&new_null_array(&DataType::Utf8View, array.len()), &SqlType::Text, Format::Text, style);
    }
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

/// `(1,"a b",)`: NULL is nothing between commas.
fn records(texts: &[EncodedColumn], rows: usize, added: bool) -> ArrayRef {
    let mut joined = StringViewBuilder::with_capacity(rows);
    let mut line = String::new();
    for row in 0..rows {
        if added && texts.iter().all(|text| text.value(row).is_none()) {
            joined.append_null();
            continue;
        }
        line.clear();
        line.push('(');
        for (position, text) in texts.iter().enumerate() {
            if position > 0 {
                line.push(',');
            }
            if let Some(value) = text.value(row) {
                push_part(&mut line, &String::from_utf8_lossy(value));
            }
        }
        line.push(')');
        joined.append_value(&line);
    }
    Arc::new(joined.finish())
}

/// A part of a record, in quotes where PostgreSQL's `record_out` sets them.
fn push_part(line: &mut String, part: &str) {
    let special = |letter: char| matches!(letter, '"' | '\\' | '(' | ')' | ',') || letter.is_ascii_whitespace();
    if !part.is_empty() && !part.contains(special) {
        line.push_str(part);
        return;
    }
    line.push('"');
    for letter in part.chars() {
        if matches!(letter, '"' | '\\') {
            line.push(letter);
        }
        line.push(letter);
    }
    line.push('"');
}
