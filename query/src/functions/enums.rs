//! enum_first, enum_last and enum_range: the labels of a type, which a value of it names, be it NULL.

use super::constant_value;
use super::overload::{known_types, no_function};
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use crate::types::enum_values;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, TimestampMicrosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, TimestampMicrosecondType};
use catalog::enum_type::EnumType;
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let function = |which| {
        // See `user_types::is_tagged_array`.
        let volatility = if which == Which::Range { Volatility::Volatile } else { Volatility::Immutable };
        let signature = Signature::variadic_any(volatility);
        Arc::new(ScalarUDF::new_from_impl(OfLabels { which, signature }))
    };
    vec![function(Which::First), function(Which::Last), function(Which::Range)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Which {
    First,
    Last,
    Range,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfLabels {
    which: Which,
    signature: Signature,
}

impl OfLabels {
    /// The type that the arguments are of.
    fn type_of(&self, arguments: &[Option<SqlType>]) -> std::result::Result<EnumType, QueryError> {
        let fits = arguments.len() == 1 || (arguments.len() == 2 && self.which == Which::Range);
        let mut known = arguments.iter().flatten();
        match known.next() {
            Some(first @ SqlType::Enum(of)) if fits && known.all(|next| next.oid() == first.oid()) => Ok(of.clone()),
            None if fits => {
                let message = "could not determine polymorphic type because input has type unknown";
                Err(QueryError::new(ErrorKind::DatatypeMismatch, message))
            }
            _ => Err(no_function(self.name(), arguments)),
        }
    }
}

impl ScalarUDFImpl for OfLabels {
    fn name(&self) -> &str {
        match self.which {
            Which::First => "enum_first",
            Which::Last => "enum_last",
            Which::Range => "enum_range",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on its arguments", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let known = known_types(args.arg_fields, args.scalar_arguments);
        let of = SqlType::Enum(self.type_of(&known).map_err(external)?);
        let result = if self.which == Which::Range { SqlType::Array(Box::new(of)) } else { of };
        Ok(Arc::new(Field::new(self.name(), result.data_type(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let result = match args.return_field.data_type() {
            DataType::List(item) => item.data_type().clone(),
            other => other.clone(),
        };
        let Some(known) = EnumType::of_data_type(&result) else { return internal_err!("no enum") };
        let labels = &known.parts().labels;
        let value = |position: Option<i64>| ScalarValue::TimestampMicrosecond(position, Some(Arc::clone(known.tag())));
        let place = |label: Option<&catalog::enum_type::EnumLabel>| label.map(|label| label.position);
        match (self.which, args.args.as_slice()) {
            (Which::First, _) => Ok(ColumnarValue::Scalar(value(place(labels.first())))),
            (Which::Last, _) => Ok(ColumnarValue::Scalar(value(place(labels.last())))),
            (Which::Range, [_]) => {
                let all = range(&known, &[(None, None)]);
                constant_value(&all).map(ColumnarValue::Scalar)
            }
            (Which::Range, bounds) => {
                let constant = bounds.iter().all(|bound| matches!(bound, ColumnarValue::Scalar(_)));
                let rows = if constant { 1 } else { args.number_rows };
                let bounds = bounds.iter().map(|bound| positions(&bound.to_array(rows)?, &known));
                let bounds = bounds.collect::<Result<Vec<_>>>()?;
                let pairs: Vec<_> = bounds[0].iter().copied().zip(bounds[1].iter().copied()).collect();
                let ranges = range(&known, &pairs);
                if constant {
                    constant_value(&ranges).map(ColumnarValue::Scalar)
                } else {
                    Ok(ColumnarValue::Array(ranges))
                }
            }
        }
    }
}

/// A bound of each row; a literal's type may still be open.
fn positions(bounds: &ArrayRef, known: &EnumType) -> Result<Vec<Option<i64>>> {
    let values = match bounds.data_type() {
        DataType::Null => return Ok(vec![None; bounds.len()]),
        DataType::Utf8 => enum_values(bounds.as_string::<i32>().iter(), known).map_err(external)?,
        _ => Arc::clone(bounds),
    };
    Ok(values.as_primitive::<TimestampMicrosecondType>().iter().collect())
}

/// For each pair of bounds the labels between them, both included; a NULL bounds nothing.
fn range(known: &EnumType, bounds: &[(Option<i64>, Option<i64>)]) -> ArrayRef {
    let all: Vec<i64> = known.parts().labels.iter().map(|label| label.position).collect();
    let inside = |(low, high): &(Option<i64>, Option<i64>)| {
        let (low, high) = (low.unwrap_or(i64::MIN), high.unwrap_or(i64::MAX));
        all.iter().copied().filter(move |position| (low..=high).contains(position)).collect::<Vec<i64>>()
    };
    let lists: Vec<Vec<i64>> = bounds.iter().map(inside).collect();
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
    let items = TimestampMicrosecondArray::from(lists.concat()).with_timezone(Arc::clone(known.tag()));
    let field = Arc::new(Field::new("item", known.data_type(), true));
    Arc::new(ListArray::new(field, offsets, Arc::new(items), None))
}
