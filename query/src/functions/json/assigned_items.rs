//! `SET doc['a'][0] = value`: the document with an item set.
//!
//!     tokens     doc = "assigned item"(doc['a'][0], value)
//!     planner    "assigned item"(jsonb_extract_path(jsonb_extract_path(doc, 'a'), 0), value, 'doc')
//!     lowered    "assigned item"(doc, value, false, 'a', '0')
//!
//! Steps are made as in PostgreSQL's `jsonb_set_element`: what is not there is created, an array is filled up with nulls, and a NULL
//! becomes an object, or an array where the first subscript is a number.

use super::access::{array_position, path_position};
use super::columns::{Column, Documents, Form};
use super::paths::extracted_step;
use crate::error::{ErrorKind, QueryError};
use crate::functions::overload::known_types;
use crate::operators::casts::{CastContext, cast_array, expression_field};
use crate::scan::external;
use crate::types::json::document::{self, Kind as ValueKind};
use crate::types::json::{DEPTH_MAX, push_object, too_deep};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use std::borrow::Cow;
use std::sync::Arc;

/// The name of the call.
pub(crate) const ASSIGNED_ITEM: &str = "assigned item";
/// The most items that an array is filled up to: PostgreSQL's own limit of its bytes.
const ITEMS_MAX: usize = 268_435_455;

pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(AssignedItem { signature: Signature::variadic_any(Volatility::Immutable) }))
}

/// The call over the document itself and the steps to the item; others come back as they are.
pub(crate) fn over_document(call: ScalarFunction) -> ScalarFunction {
    let ScalarFunction { func, mut args } = call;
    // The third argument names the column.
    let is_lowered = !matches!(args.get(2), Some(Expr::Literal(ScalarValue::Utf8(_), _)));
    if func.name() != ASSIGNED_ITEM || is_lowered {
        return ScalarFunction { func, args };
    }
    let mut steps = Vec::new();
    let mut document = std::mem::take(&mut args[0]);
    while let Some((inner, step)) = extracted_step(&document) {
        steps.push(step.clone());
        document = inner.clone();
    }
    steps.reverse();
    let counts = matches!(steps.first(), Some(Expr::Cast(_)));
    let value = std::mem::take(&mut args[1]);
    ScalarFunction { func, args: [document, value, lit(counts)].into_iter().chain(steps).collect() }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AssignedItem {
    signature: Signature,
}

impl ScalarUDFImpl for AssignedItem {
    fn name(&self) -> &str {
        ASSIGNED_ITEM
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type comes with its field")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types = known_types(args.arg_fields, args.scalar_arguments);
        match &types[1] {
            None | Some(SqlType::Json | SqlType::Jsonb) => {}
            Some(other) => {
                let given = other.base_name();
                let message = format!("subscripted assignment requires type jsonb but expression is of type {given}");
                let error = QueryError::new(ErrorKind::DatatypeMismatch, message);
                return Err(external(error.hint("You will need to rewrite or cast the expression.")));
            }
        }
        Ok(Arc::new(expression_field(&SqlType::Jsonb).with_name(ASSIGNED_ITEM)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let context = CastContext::from_options(&args.config_options);
        let columns = args.args.iter().map(|argument| argument.to_array(args.number_rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut documents = Vec::with_capacity(2);
        for (index, field) in args.arg_fields.iter().take(2).enumerate() {
            let from = SqlType::from_field(field).unwrap_or(SqlType::Text);
            documents.push(cast_array(&columns[index], &from, &SqlType::Jsonb, &context).map_err(external)?);
        }
        assigned(&documents, &columns[2..]).map(ColumnarValue::Array).map_err(external)
    }
}

fn assigned(documents: &[ArrayRef], rest: &[ArrayRef]) -> std::result::Result<ArrayRef, QueryError> {
    let (old, new) = (Documents::new(&documents[0]), Documents::new(&documents[1]));
    let counts = rest[0].as_boolean();
    let steps = rest[1..].iter().map(|step| arrow::compute::cast(step, &DataType::Utf8View));
    let steps = steps.collect::<std::result::Result<Vec<_>, _>>();
    let steps = steps.map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))?;
    let mut built = Column::of(Form::Jsonb);
    for row in 0..documents[0].len() {
        let path = steps.iter().map(|step| {
            let step = step.as_string_view();
            step.is_valid(row).then(|| step.value(row)).ok_or_else(|| {
                QueryError::new(ErrorKind::NullNotAllowed, "jsonb subscript in assignment must not be null")
            })
        });
        let path = path.collect::<std::result::Result<Vec<&str>, _>>()?;
        let text = match documents[0].is_valid(row) {
            true => old.value(row),
            false if counts.value(row) => "[]",
            false => "{}",
        };
        let value = if documents[1].is_valid(row) { new.value(row) } else { "null" };
        let mut out = String::new();
        Assignment { path: &path, value }.write(text, 0, &mut out)?;
        built.push(Some(&out));
    }
    Ok(built.finish())
}

struct Assignment<'a> {
    path: &'a [&'a str],
    value: &'a str,
}

impl Assignment<'_> {
    /// Writes the value that the path reaches after `level` steps, with what the rest of it changes.
    fn write(&self, text: &str, level: usize, out: &mut String) -> std::result::Result<(), QueryError> {
        if level > DEPTH_MAX {
            return Err(too_deep());
        }
        match ValueKind::of(text) {
            _ if level == self.path.len() => {
                out.push_str(self.value);
                Ok(())
            }
            ValueKind::Object => self.write_object(text, level, out),
            ValueKind::Array => self.write_array(text, level, out),
            _ => Err(QueryError::new(ErrorKind::InvalidParameterValue, "cannot replace existing key")
                .detail("The path assumes key is a composite object, but it is a scalar value.")),
        }
    }

    fn write_object(&self, text: &str, level: usize, out: &mut String) -> std::result::Result<(), QueryError> {
        let step = self.path[level];
        let mut members: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        let mut found = false;
        for member in document::members(text) {
            let key = member.key()?;
            let value = if key == step {
                found = true;
                let mut inner = String::new();
                self.write(member.value, level + 1, &mut inner)?;
                Cow::Owned(inner)
            } else {
                Cow::Borrowed(member.value)
            };
            members.push((key, value));
        }
        if !found {
            members.push((Cow::Borrowed(step), Cow::Owned(self.created(level + 1)?)));
        }
        push_object(out, members);
        Ok(())
    }

    fn write_array(&self, text: &str, level: usize, out: &mut String) -> std::result::Result<(), QueryError> {
        let step = self.path[level];
        let position = array_position(step, level)?;
        let count = document::items(text).count();
        let index = match usize::try_from(position) {
            Ok(index) => index,
            Err(_) => count.checked_sub(position.unsigned_abs() as usize).ok_or_else(|| {
                let message = format!("path element at position {} is out of range: {position}", level + 1);
                QueryError::new(ErrorKind::InvalidParameterValue, message)
            })?,
        };
        let mut items: Vec<Cow<'_, str>> = Vec::with_capacity(count + 1);
        for (at, item) in document::items(text).enumerate() {
            items.push(if at == index {
                let mut inner = String::new();
                self.write(item, level + 1, &mut inner)?;
                Cow::Owned(inner)
            } else {
                Cow::Borrowed(item)
            });
        }
        if index >= count {
            let created = self.created(level + 1)?;
            fill(&mut items, index)?;
            items.push(Cow::Owned(created));
        }
        push_items(out, &items);
        Ok(())
    }

    /// What the path makes after `level` steps where nothing is there.
    fn created(&self, level: usize) -> std::result::Result<String, QueryError> {
        let mut value = self.value.to_string();
        for step in self.path[level..].iter().rev() {
            let mut out = String::new();
            match path_position(step) {
                Some(position) => {
                    let mut items = Vec::new();
                    fill(&mut items, usize::try_from(position).unwrap_or(0))?;
                    items.push(Cow::Borrowed(value.as_str()));
                    push_items(&mut out, &items);
                }
                None => push_object(&mut out, vec![(Cow::Borrowed(*step), Cow::Borrowed(value.as_str()))]),
            }
            value = out;
        }
        Ok(value)
    }
}

/// Fills an array up with nulls to so many items.
fn fill(items: &mut Vec<Cow<'_, str>>, count: usize) -> std::result::Result<(), QueryError> {
    const NULL: &str = "null";
    if count.saturating_mul(NULL.len()) > ITEMS_MAX {
        let message = format!("total size of jsonb array elements exceeds the maximum of {ITEMS_MAX} bytes");
        return Err(QueryError::new(ErrorKind::ProgramLimitExceeded, message));
    }
    items.resize(count.max(items.len()), Cow::Borrowed(NULL));
    Ok(())
}

fn push_items(out: &mut String, items: &[Cow<'_, str>]) {
    out.push('[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        out.push_str(item);
    }
    out.push(']');
}
