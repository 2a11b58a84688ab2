//! `quote_ident`, `quote_literal`, `quote_nullable` and `format`: values as parts of a statement.
//!
//! Each argument is the text that its type prints; `quote_literal` and `quote_nullable` cast, which spells out
//! booleans.

mod template;

use super::concatenation::printed;
use super::names::quote_identifier;
use super::overload::no_function;
use crate::error::QueryError;
use crate::operators::casts::{CastContext, cast_array};
use crate::operators::resolution::unknown_field;
use crate::scan::external;
use crate::types::{EncodedColumn, OutputStyle, Zone};
use arrow::array::{Array, ArrayRef, StringViewBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use catalog::sql_type::{SqlType, TYPE_KEY};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub(super) fn functions() -> [Arc<ScalarUDF>; 4] {
    [Form::Identifier, Form::Literal, Form::Nullable, Form::Template]
        .map(|form| Arc::new(ScalarUDF::new_from_impl(Quoting::new(form, None))))
}

/// A function for the session's time zone, in which timestamps with time zone are printed.
pub(super) fn bound(function: &ScalarUDF, zone: Zone) -> Option<Arc<ScalarUDF>> {
    let known = function.inner().downcast_ref::<Quoting>()?;
    Some(Arc::new(ScalarUDF::new_from_impl(Quoting::new(known.form, Some(zone)))))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Identifier,
    Literal,
    /// A literal, or the word NULL.
    Nullable,
    /// A text with places for the other arguments.
    Template,
}

#[derive(Debug)]
struct Quoting {
    form: Form,
    zone: Option<Zone>,
    signature: Signature,
}

impl Quoting {
    fn new(form: Form, zone: Option<Zone>) -> Self {
        let any = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        Self { form, zone, signature: Signature::one_of(any, Volatility::Immutable) }
    }

    /// Whether the function takes arguments of these types; `None` is a literal whose type is open.
    fn takes(&self, known: &[Option<SqlType>]) -> bool {
        match (self.form, known) {
            (Form::Identifier, [only]) | (Form::Template, [only, ..]) => only.as_ref().is_none_or(is_text),
            (Form::Literal | Form::Nullable, [_]) => true,
            _ => false,
        }
    }

    fn texts(&self, args: &ScalarFunctionArgs, rows: usize) -> Result<Vec<EncodedColumn>> {
        let context = CastContext::from_options(&args.config_options);
        let style = OutputStyle { time_zone: self.zone.unwrap_or(context.zone), ..OutputStyle::default() };
        let casts = matches!(self.form, Form::Literal | Form::Nullable);
        let columns = args.args.iter().zip(&args.arg_fields).map(|(argument, field)| {
            let column = argument.to_array(rows)?;
            let (column, field) = if casts && *column.data_type() == DataType::Boolean {
                let spelled = cast_array(&column, &SqlType::Bool, &SqlType::Text, &context).map_err(external)?;
                (spelled, plain_field(&DataType::Utf8View))
            } else if casts && matches!(SqlType::from_field(field), Some(SqlType::Bpchar { .. })) {
                // A char(n) as text has no blanks at its end.
                (
                    cast_array(&column, &SqlType::Bpchar { length: None }, &SqlType::Text, &context)
                        .map_err(external)?,
                    plain_field(&DataType::Utf8View),
                )
            } else {
                as_printed(column, field)
            };
            printed(&column, &field, &style, &context).map_err(external)
        });
        columns.collect()
    }
}

fn is_text(sql_type: &SqlType) -> bool {
    use SqlType::{Bpchar, Char, Name, Reg, Text, Varchar};
    matches!(sql_type, Text | Varchar { .. } | Bpchar { .. } | Name | Char | Reg(_))
}

/// Names of registered objects are texts already, and their numbers are printed as numbers.
fn as_printed(column: ArrayRef, field: &FieldRef) -> (ArrayRef, FieldRef) {
    let is_registered = matches!(SqlType::from_field(field), Some(SqlType::Reg(_)));
    let field = if is_registered { plain_field(column.data_type()) } else { Arc::clone(field) };
    (column, field)
}

fn plain_field(data_type: &DataType) -> FieldRef {
    Arc::new(Field::new("argument", data_type.clone(), true))
}

impl PartialEq for Quoting {
    fn eq(&self, other: &Self) -> bool {
        self.form == other.form && self.zone == other.zone
    }
}

impl Eq for Quoting {}

impl Hash for Quoting {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.form.hash(state);
    }
}

impl ScalarUDFImpl for Quoting {
    fn name(&self) -> &str {
        match self.form {
            Form::Identifier => "quote_ident",
            Form::Literal => "quote_literal",
            Form::Nullable => "quote_nullable",
            Form::Template => "format",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let literals = args.scalar_arguments.iter().copied().chain(std::iter::repeat(None));
        let known = args.arg_fields.iter().zip(literals);
        let known: Vec<Option<SqlType>> = known.map(|(field, literal)| known_type(field, literal)).collect();
        if !self.takes(&known) {
            return Err(external(no_function(self.name(), &known)));
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8View, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = self.texts(&args, rows)?;
        let mut quoted = StringViewBuilder::with_capacity(rows);
        let mut values: Vec<Option<Cow<'_, str>>> = Vec::with_capacity(columns.len());
        for row in 0..rows {
            values.clear();
            values.extend(columns.iter().map(|column| column.value(row).map(String::from_utf8_lossy)));
            quoted.append_option(self.row(&values).map_err(external)?);
        }
        let quoted: ArrayRef = Arc::new(quoted.finish());
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&quoted, 0)?));
        }
        Ok(ColumnarValue::Array(quoted))
    }
}

fn known_type(field: &FieldRef, literal: Option<&ScalarValue>) -> Option<SqlType> {
    // A name that was printed is a text, whatever its field remembers.
    if field.metadata().contains_key(TYPE_KEY) && *field.data_type() == DataType::Utf8View {
        return Some(SqlType::Text);
    }
    if unknown_field(field, literal) { None } else { SqlType::from_field(field) }
}

impl Quoting {
    fn row(&self, values: &[Option<Cow<'_, str>>]) -> std::result::Result<Option<String>, QueryError> {
        let first = values.first().and_then(Option::as_deref);
        Ok(match (self.form, first) {
            (Form::Identifier, Some(text)) => Some(quote_identifier(text)),
            (Form::Literal | Form::Nullable, Some(text)) => Some(quote_literal(text)),
            (Form::Nullable, None) => Some("NULL".to_string()),
            (Form::Identifier | Form::Literal | Form::Template, None) => None,
            (Form::Template, Some(text)) => Some(template::fill(text, &values[1..])?),
        })
    }
}

fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
