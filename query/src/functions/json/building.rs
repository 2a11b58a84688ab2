//! Values from SQL values: to_json, row_to_json, array_to_json, the functions named json_build_… and what aggregates
//! end with.
//!
//! Each takes arguments of any type, so it looks at their fields. Timestamps with time zone are written in the
//! session's zone, which planning binds into the call.

use super::super::strings::invalid;
use super::columns::{Column, Form};
use super::writing::Values;
use crate::error::QueryError;
use crate::functions::overload::{known_types, no_function};
use crate::operators::casts::{CastContext, expression_field};
use crate::operators::contexts::known_function;
use crate::operators::resolution::oid_of;
use crate::scan::external;
use crate::types::Zone;
use crate::types::json::{push_object, push_string};
use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

type Written = std::result::Result<ArrayRef, QueryError>;

/// The functions of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    /// `to_json(value)`
    Value,
    /// `array_to_json(array [, lines])`
    Array,
    /// `row_to_json(row [, lines])`
    Row,
    /// `json_build_array(value, …)`
    BuildArray,
    /// `json_build_object(key, value, …)`
    BuildObject,
    /// The end of `json_agg`, over the array of its values.
    AggregatedArray,
    /// The end of `json_object_agg`, over the array of its keys and values.
    AggregatedObject,
}

const FUNCTIONS: [(&str, Purpose, Form); 12] = [
    ("to_json", Purpose::Value, Form::Json),
    ("to_jsonb", Purpose::Value, Form::Jsonb),
    ("array_to_json", Purpose::Array, Form::Json),
    ("row_to_json", Purpose::Row, Form::Json),
    ("json_build_array", Purpose::BuildArray, Form::Json),
    ("jsonb_build_array", Purpose::BuildArray, Form::Jsonb),
    ("json_build_object", Purpose::BuildObject, Form::Json),
    ("jsonb_build_object", Purpose::BuildObject, Form::Jsonb),
    ("json_agg_finalfn", Purpose::AggregatedArray, Form::Json),
    ("jsonb_agg_finalfn", Purpose::AggregatedArray, Form::Jsonb),
    ("json_object_agg_finalfn", Purpose::AggregatedObject, Form::Json),
    ("jsonb_object_agg_finalfn", Purpose::AggregatedObject, Form::Jsonb),
];

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let all = FUNCTIONS.into_iter();
    all.map(|(name, purpose, form)| Arc::new(ScalarUDF::new_from_impl(Builder::new(name, purpose, form, None))))
        .collect()
}

/// A function for the session's time zone.
pub(crate) fn bound(function: &ScalarUDF, zone: Zone) -> Option<Arc<ScalarUDF>> {
    let known = function.inner().downcast_ref::<Builder>()?;
    let bound = Builder::new(known.name, known.purpose, known.form, Some(zone));
    Some(Arc::new(ScalarUDF::new_from_impl(bound)))
}

#[derive(Debug)]
struct Builder {
    name: &'static str,
    purpose: Purpose,
    form: Form,
    zone: Option<Zone>,
    signature: Signature,
}

impl Builder {
    fn new(name: &'static str, purpose: Purpose, form: Form, zone: Option<Zone>) -> Self {
        let any = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        Self { name, purpose, form, zone, signature: Signature::one_of(any, Volatility::Immutable) }
    }

    /// Whether the function takes such arguments.
    fn accepts(&self, fields: &[FieldRef]) -> bool {
        let lines = |fields: &[FieldRef]| match fields {
            [] => true,
            [lines] => matches!(lines.data_type(), DataType::Boolean | DataType::Null),
            _ => false,
        };
        match (self.purpose, fields) {
            (Purpose::BuildArray | Purpose::BuildObject, _) => true,
            (Purpose::Value, [_]) => true,
            (Purpose::Array, [array, rest @ ..]) => matches!(array.data_type(), DataType::List(_)) && lines(rest),
            (Purpose::Row, [row, rest @ ..]) => is_row(row.data_type()) && lines(rest),
            (Purpose::AggregatedArray | Purpose::AggregatedObject, [_]) => true,
            _ => false,
        }
    }

    fn written(&self, columns: &[ArrayRef], fields: &[FieldRef], rows: usize, zone: Zone) -> Written {
        let values = columns.iter().zip(fields).map(|(column, field)| Values::new(column, field, zone));
        let values = values.collect::<std::result::Result<Vec<_>, _>>()?;
        let mut built = Column::of(self.form);
        let mut out = String::new();
        for row in 0..rows {
            out.clear();
            let given = match self.purpose {
                Purpose::Value | Purpose::Array | Purpose::Row => self.one(&values, columns, row, &mut out)?,
                Purpose::BuildArray => self.push_array(&values, row, &mut out)?,
                Purpose::BuildObject => self.push_pairs(&values, row, &mut out)?,
                Purpose::AggregatedArray => self.aggregated_array(&values[0], row, &mut out)?,
                Purpose::AggregatedObject => self.aggregated_object(&values[0], row, &mut out)?,
            };
            built.push(given.then_some(out.as_str()));
        }
        Ok(built.finish())
    }

    fn push(&self, values: &Values, row: usize, out: &mut String) -> std::result::Result<(), QueryError> {
        match self.form {
            Form::Json => {
                values.push_json(row, false, out);
                Ok(())
            }
            Form::Jsonb => values.push_jsonb(row, out),
        }
    }

    fn one(
        &self,
        values: &[Values],
        columns: &[ArrayRef],
        row: usize,
        out: &mut String,
    ) -> std::result::Result<bool, QueryError> {
        let lines = match columns.get(1).map(|lines| lines.as_boolean_opt()) {
            None => false,
            Some(Some(lines)) if lines.is_valid(row) => lines.value(row),
            Some(_) => return Ok(false),
        };
        if values[0].is_null(row) {
            return Ok(false);
        }
        match lines {
            true => values[0].push_json(row, true, out),
            false => self.push(&values[0], row, out)?,
        }
        Ok(true)
    }

    fn push_array(&self, values: &[Values], row: usize, out: &mut String) -> std::result::Result<bool, QueryError> {
        out.push('[');
        for (position, value) in values.iter().enumerate() {
            if position > 0 {
                out.push_str(", ");
            }
            self.push(value, row, out)?;
        }
        out.push(']');
        Ok(true)
    }

    fn push_pairs(&self, values: &[Values], row: usize, out: &mut String) -> std::result::Result<bool, QueryError> {
        if !values.len().is_multiple_of(2) {
            let hint = format!("The arguments of {}() must consist of alternating keys and values.", self.name);
            return Err(invalid("argument list must have even number of elements").hint(hint));
        }
        let pairs = values.chunks_exact(2).enumerate().map(|(position, pair)| {
            let key = pair[0].key(row)?.ok_or_else(|| self.null_key(position * 2 + 1))?;
            let mut value = String::new();
            self.push(&pair[1], row, &mut value)?;
            Ok((key, value))
        });
        self.push_members(pairs, ("{", "}"), out)?;
        Ok(true)
    }

    fn null_key(&self, argument: usize) -> QueryError {
        match self.form {
            Form::Json => invalid(format!("argument {argument} cannot be null")).hint("Object keys should be text."),
            Form::Jsonb => invalid(format!("argument {argument}: key must not be null")),
        }
    }

    /// Members as they come, or for jsonb in canonical order.
    fn push_members(
        &self,
        pairs: impl Iterator<Item = std::result::Result<(String, String), QueryError>>,
        (open, close): (&str, &str),
        out: &mut String,
    ) -> std::result::Result<(), QueryError> {
        if self.form == Form::Jsonb {
            push_object(out, pairs.collect::<std::result::Result<Vec<_>, QueryError>>()?);
            return Ok(());
        }
        out.push_str(open);
        for (position, pair) in pairs.enumerate() {
            let (key, value) = pair?;
            if position > 0 {
                out.push_str(", ");
            }
            push_string(out, &key);
            out.push_str(" : ");
            out.push_str(&value);
        }
        out.push_str(close);
        Ok(())
    }

    /// Arrays and rows stand on lines of their own.
    fn aggregated_array(&self, values: &Values, row: usize, out: &mut String) -> std::result::Result<bool, QueryError> {
        let Values::Arrays(lists, items) = values else { return Ok(false) };
        if lists.is_null(row) {
            return Ok(false);
        }
        if self.form == Form::Jsonb {
            values.push_jsonb(row, out)?;
            return Ok(true);
        }
        out.push('[');
        for (position, item) in positions(lists, row).enumerate() {
            if position > 0 {
                out.push_str(if items.is_structured() && !items.is_null(item) { ", \n " } else { ", " });
            }
            items.push_json(item, false, out);
        }
        out.push(']');
        Ok(true)
    }

    fn aggregated_object(
        &self,
        values: &Values,
        row: usize,
        out: &mut String,
    ) -> std::result::Result<bool, QueryError> {
        let Values::Arrays(lists, items) = values else { return Ok(false) };
        let Values::Rows(_, members) = items.as_ref() else { return Ok(false) };
        let ([(_, keys), (_, values)], true) = (members.as_slice(), lists.is_valid(row)) else { return Ok(false) };
        let pairs = positions(lists, row).map(|pair| {
            let key = keys.key(pair)?.ok_or_else(|| invalid("field name must not be null"))?;
            let mut value = String::new();
            self.push(values, pair, &mut value)?;
            Ok((key, value))
        });
        self.push_members(pairs, ("{ ", " }"), out)?;
        Ok(true)
    }
}

fn positions(lists: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = lists.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

fn is_row(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(_) | DataType::Null)
}

impl PartialEq for Builder {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.zone == other.zone
    }
}

impl Eq for Builder {}

impl Hash for Builder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Builder {
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
        if !self.accepts(args.arg_fields) {
            let known = known_types(args.arg_fields, args.scalar_arguments);
            let oids: Vec<_> = known.iter().map(oid_of).collect();
            let failure = known_function(self.name, &oids).err();
            return Err(external(failure.unwrap_or_else(|| no_function(self.name, &known))));
        }
        Ok(Arc::new(expression_field(&self.form.sql_type()).with_name(self.name)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = self.zone.unwrap_or_else(|| CastContext::from_options(&args.config_options).zone);
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let written = self.written(&columns, &args.arg_fields, rows, zone).map_err(external)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&written, 0)?));
        }
        Ok(ColumnarValue::Array(written))
    }
}
